// A network interface's settings, through the kernel's ethtool family (Documentation/networking/ethtool-netlink.rst).
// Enters: an interface's name. Leaves: rings, offloads, interrupt moderation, channels, driver and its counters, each
// with the kernel's words where the driver has none; and changes to them.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "host/netlink.h"

namespace tapline {

/// A value in a message: what JavaScript calls it, its attribute, and its width. The same for reading and setting.
struct SettingField {
  const char* name;
  uint16_t attribute;
  bool byte;  ///< u8, else u32
};

/// One of the kernel's flat groups of settings.
struct SettingGroup {
  uint8_t get, set;  ///< commands; set 0: nothing can be changed
  const SettingField* fields;
  size_t count;
};
extern const SettingGroup kRings, kCoalesce, kChannels;

using Settings = std::vector<std::pair<const SettingField*, uint32_t>>;

struct Feature {
  std::string name;
  bool active = false;
  bool wanted = false;
  bool changeable = false;
};

struct Driver {
  std::string name, version, firmware, bus;
};

/// False when the message is damaged. Fields that the driver does not fill are not in it.
bool read_settings(Bytes attributes, const SettingGroup& group, Settings& out);
bool read_features(Bytes attributes, std::vector<Feature>& out);

class Ethtool {
 public:
  Ethtool() = default;
  ~Ethtool();
  Ethtool(const Ethtool&) = delete;
  Ethtool& operator=(const Ethtool&) = delete;

  /// ENODEV when there is no such interface in this network namespace.
  NetlinkStatus open(const std::string& interface);
  unsigned index() const noexcept { return index_; }

  NetlinkStatus settings(const SettingGroup& group, Settings& out);
  NetlinkStatus set(const SettingGroup& group, const Settings& values);
  NetlinkStatus features(std::vector<Feature>& out);
  /// The kernel grants what it can and says nothing of the rest: read again to know.
  NetlinkStatus set_features(const std::vector<std::pair<std::string, bool>>& wanted);

  /// By ioctl: netlink has neither.
  NetlinkStatus driver(Driver& out);
  NetlinkStatus statistics(std::vector<std::pair<std::string, uint64_t>>& out);

 private:
  NetlinkStatus ioctl(void* request);
  NetlinkStatus get(uint8_t command, std::vector<uint8_t>& answer);

  GenericNetlink netlink_;
  uint16_t family_ = 0;
  unsigned index_ = 0;
  std::string interface_;
  int socket_ = -1;
};

}  // namespace tapline
