// What an interface can do for the relay. Enters: its index. Leaves: its driver's XDP, whether frames can be redirected
// to it, and whose programs are there. Only asks: nothing is attached.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace tapline::relay {

enum class XdpMode : uint8_t { Native, Generic, None };
inline constexpr const char* kXdpModeNames[] = {"native", "generic", "none"};

struct InterfaceProbe {
  uint32_t ifindex = 0;
  std::string driver;
  XdpMode xdp = XdpMode::None;
  bool foreign_xdp = false;
  bool foreign_tc = false;
  bool xdp_target = false;
  std::string why;
};

/// `owns`: whether a program of this id is the relay's.
InterfaceProbe probe_interface(uint32_t ifindex, const std::function<bool(uint32_t)>& owns);

}  // namespace tapline::relay
