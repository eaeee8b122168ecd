#include "capture/fanout.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "bpf/fanout.bpf.o.h"

namespace tapline {

FanoutProgram::~FanoutProgram() {
  if (object_) bpf_object__close(object_);
}

CaptureStatus FanoutProgram::load() {
  libbpf_set_print(nullptr);
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "tapline");
  object_ = bpf_object__open_mem(kFanoutObject, sizeof kFanoutObject, &options);
  if (!object_) return CaptureStatus::failed("CAPTURE_FAILED", "fanout program", errno);
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
    return CaptureStatus::failed("CAPTURE_FAILED", "getrandom", errno);
  bpf_map* constants = bpf_object__find_map_by_name(object_, ".rodata");
  size_t size = 0;
  if (!constants || !bpf_map__initial_value(constants, &size) || size != sizeof seed ||
      bpf_map__set_initial_value(constants, &seed, sizeof seed))
    return {"CAPTURE_FAILED", "the fanout program has no seed"};
  if (const int error = bpf_object__load(object_))
    return CaptureStatus::failed("CAPTURE_FAILED", "fanout program", -error);
  fd_ = bpf_program__fd(bpf_object__find_program_by_name(object_, "fanout"));
  return {};
}

}  // namespace tapline
