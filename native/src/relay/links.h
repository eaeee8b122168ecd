// What holds a program at an interface: a link, pinned; or a filter (tc_filter.h), for which a folder of its name
// stands among the pins. Enters: a folder of pins. Leaves: what of it still holds; the rest is cleared away.
#pragma once
#include <bpf/bpf.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "relay/compile.h"
#include "relay/status.h"

namespace tapline::relay {

inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  ///< since Linux 6.6; Debian 12's headers lack it

struct Link {
  Descriptor fd;  ///< of a filter: none
  std::string pin;
  uint32_t filter = 0;  ///< its handle; 0: a link
};
using Links = std::map<PortName, Link>;

/// What the kernel says of a program, a map or a link.
template <typename T>
T info_of(int fd) {
  T info{};
  uint32_t bytes = sizeof info;
  if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0) return T{};
  return info;
}

std::string pin_of(const PortName& port, bool filter);

/// Kernel-wide id of the program that it holds; 0: it holds none any more.
uint32_t program_of(const PortName& port, const Link& link);

/// `handle`: of our filters.
Links links_in(const std::string& folder, uint32_t handle);

/// Every pin, and what it holds; the folder itself stays.
void clear_pins(const std::string& folder, uint32_t handle);

/// Names in a folder, but those with a dot in front.
std::vector<std::string> names_in(const std::string& folder);

}  // namespace tapline::relay
