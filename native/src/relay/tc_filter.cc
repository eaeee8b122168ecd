#include "relay/tc_filter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <cerrno>

#include "relay/compile.h"
#include "relay/links.h"

namespace tapline::relay {

namespace {

constexpr int kLoopback = 1;  ///< of every network namespace the first interface

struct Hook : bpf_tc_hook {
  explicit Hook(uint32_t index) : bpf_tc_hook{} {
    sz = sizeof(bpf_tc_hook);
    ifindex = static_cast<int>(index);
    attach_point = BPF_TC_INGRESS;
  }
};

}  // namespace

bool has_tcx() {
  uint32_t count = 0;
  return bpf_prog_query(kLoopback, kTcxIngress, 0, nullptr, nullptr, &count) == 0;
}

uint32_t filter_handle(const std::string& pins) {
  const size_t last = pins.rfind('/');
  const Digest digest = digest_of("filter", last == std::string::npos ? "" : pins.substr(0, last));
  return static_cast<uint32_t>(digest.halves[0]) | 1;
}

uint32_t filter_program(uint32_t ifindex, uint32_t handle) {
  const Hook hook(ifindex);
  LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = kFilterPriority);
  return bpf_tc_query(&hook, &filter) == 0 ? filter.prog_id : 0;
}

Status put_filter(uint32_t ifindex, uint32_t handle, int program) {
  const std::string where = "filter on interface " + std::to_string(ifindex);
  Hook hook(ifindex);
  if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST)
    return Status::failed("RELAY_ATTACH_FAILED", where, error);
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program, .flags = BPF_TC_F_REPLACE, .handle = handle,
              .priority = kFilterPriority);
  const int error = bpf_tc_attach(&hook, &filter);
  if (error == 0) return {};
  return Status::failed(error == -EINVAL || error == -EEXIST ? "RELAY_INTERFACE_TAKEN" : "RELAY_ATTACH_FAILED", where,
                        error);
}

void remove_filter(uint32_t ifindex, uint32_t handle) {
  const Hook hook(ifindex);
  LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = kFilterPriority);
  bpf_tc_detach(&hook, &filter);
}

}  // namespace tapline::relay
