// A capture filter in libpcap's language, compiled for one interface (VLAN tags that the kernel took off are
// understood).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "capture/ring.h"

struct sock_filter;

namespace tapline {

class Filter {
 public:
  Filter();
  ~Filter();
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  /// FILTER_BPF_INVALID with libpcap's own words when it does not compile. Needs no interface.
  static CaptureStatus check(const std::string& text);
  /// Empty text: everything. FILTER_BPF_INVALID with libpcap's own words when it does not compile.
  CaptureStatus compile(const std::string& interface, const std::string& text);
  /// Null: everything.
  const sock_fprog* program() const noexcept;

 private:
  std::vector<sock_filter> code_;
  std::unique_ptr<sock_fprog> program_;
};

}  // namespace tapline
