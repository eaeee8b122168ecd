#include "capture/filter.h"

#include <linux/filter.h>
#include <pcap/pcap.h>

#include <memory>

namespace tapline {

Filter::Filter() = default;
Filter::~Filter() = default;
const sock_fprog* Filter::program() const noexcept { return program_.get(); }

CaptureStatus Filter::check(const std::string& text) {
  if (text.empty()) return {};
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> handle(pcap_open_dead(DLT_EN10MB, 65535), pcap_close);
  if (!handle) return {"CAPTURE_FAILED", "libpcap"};
  bpf_program compiled{};
  if (pcap_compile(handle.get(), &compiled, text.c_str(), 1, PCAP_NETMASK_UNKNOWN))
    return {"FILTER_BPF_INVALID", pcap_geterr(handle.get())};
  pcap_freecode(&compiled);
  return {};
}

CaptureStatus Filter::compile(const std::string& interface, const std::string& text) {
  if (text.empty()) return {};
  char problem[PCAP_ERRBUF_SIZE] = "";
  // A live handle, for only that makes libpcap ask for the tag beside the frame.
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> handle(pcap_create(interface.c_str(), problem), pcap_close);
  if (!handle) return {"CAPTURE_FAILED", problem};
  pcap_set_snaplen(handle.get(), 256);
  pcap_set_buffer_size(handle.get(), 64 << 10);
  if (pcap_activate(handle.get()) < 0) return {"CAPTURE_FAILED", pcap_geterr(handle.get())};
  bpf_program compiled{};
  if (pcap_compile(handle.get(), &compiled, text.c_str(), 1, PCAP_NETMASK_UNKNOWN))
    return {"FILTER_BPF_INVALID", pcap_geterr(handle.get())};
  for (unsigned i = 0; i < compiled.bf_len; i++) {
    const bpf_insn& from = compiled.bf_insns[i];
    code_.push_back(sock_filter{from.code, from.jt, from.jf, from.k});
  }
  pcap_freecode(&compiled);
  program_ = std::make_unique<sock_fprog>(sock_fprog{static_cast<uint16_t>(code_.size()), code_.data()});
  return {};
}

}  // namespace tapline
