// The fanout program (bpf/fanout.bpf.c), loaded into the kernel.
#pragma once
#include "capture/ring.h"

struct bpf_object;

namespace tapline {

class FanoutProgram {
 public:
  FanoutProgram() = default;
  ~FanoutProgram();
  FanoutProgram(const FanoutProgram&) = delete;
  FanoutProgram& operator=(const FanoutProgram&) = delete;

  /// Not ok where BPF is not allowed; the classic program then does, less evenly.
  CaptureStatus load();
  int fd() const noexcept { return fd_; }

 private:
  bpf_object* object_ = nullptr;
  int fd_ = -1;
};

}  // namespace tapline
