#include "relay_frames.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

namespace relay_test {

Ran run(const Bench& bench, const char* program, const Bytes& in, uint32_t gso_segments, uint32_t gso_size) {
  const bool xdp = std::strcmp(program, "relay_xdp") == 0;
  Ran out;
  out.frame.resize(in.size() + 256);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(), .data_out = out.frame.data(),
              .data_size_in = static_cast<uint32_t>(in.size()),
              .data_size_out = static_cast<uint32_t>(out.frame.size()), .repeat = 1);
  __sk_buff skb{};
  skb.gso_segs = gso_segments;
  skb.gso_size = gso_size;
  if (!xdp) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof skb;
  }
  REQUIRE(bpf_prog_test_run_opts(bench.programs.fd(program), &options) == 0);
  out.verdict = static_cast<int>(options.retval);
  out.frame.resize(options.data_size_out);
  // The mark for relay_device lies before the frame.
  if (xdp && out.verdict == XDP_REDIRECT) out.frame.erase(out.frame.begin(), out.frame.begin() + sizeof(relay_meta));
  out.ns = options.duration;
  return out;
}

}  // namespace relay_test
