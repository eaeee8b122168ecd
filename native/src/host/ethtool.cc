#include "host/ethtool.h"

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>

namespace tapline {

namespace {

// The header is attribute 1 of every message of the family.
constexpr uint16_t kHeader = 1;
static_assert(ETHTOOL_A_RINGS_HEADER == kHeader && ETHTOOL_A_COALESCE_HEADER == kHeader &&
              ETHTOOL_A_CHANNELS_HEADER == kHeader && ETHTOOL_A_FEATURES_HEADER == kHeader);

constexpr SettingField kRingFields[] = {
    {"rxMax", ETHTOOL_A_RINGS_RX_MAX, false},
    {"txMax", ETHTOOL_A_RINGS_TX_MAX, false},
    {"rx", ETHTOOL_A_RINGS_RX, false},
    {"tx", ETHTOOL_A_RINGS_TX, false},
};
constexpr SettingField kCoalesceFields[] = {
    {"rxUsecs", ETHTOOL_A_COALESCE_RX_USECS, false},          {"rxFrames", ETHTOOL_A_COALESCE_RX_MAX_FRAMES, false},
    {"txUsecs", ETHTOOL_A_COALESCE_TX_USECS, false},          {"txFrames", ETHTOOL_A_COALESCE_TX_MAX_FRAMES, false},
    {"adaptiveRx", ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX, true}, {"adaptiveTx", ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX, true},
};
constexpr SettingField kChannelFields[] = {
    {"rxMax", ETHTOOL_A_CHANNELS_RX_MAX, false},
    {"txMax", ETHTOOL_A_CHANNELS_TX_MAX, false},
    {"combinedMax", ETHTOOL_A_CHANNELS_COMBINED_MAX, false},
    {"rx", ETHTOOL_A_CHANNELS_RX_COUNT, false},
    {"tx", ETHTOOL_A_CHANNELS_TX_COUNT, false},
    {"combined", ETHTOOL_A_CHANNELS_COMBINED_COUNT, false},
};

constexpr uint32_t kMostStatistics = 1 << 16;
// Queues may be added between asking for the count and asking for the values, and the kernel then writes as many values
// as it has, however many there was room for.
constexpr uint32_t kSlack = 1 << 12;

template <size_t N>
std::string text(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

void put_header(NetlinkRequest& request, unsigned index) {
  const size_t header = request.begin(kHeader);
  request.put(ETHTOOL_A_HEADER_DEV_INDEX, uint32_t{index});
  request.end(header);
}

struct NamedBit {
  std::string_view name;
  bool value = false;
};

/// Each bit of a verbose bitset. A bitset without a mask lists only those that are set.
template <typename Each>
bool each_bit(Bytes bitset, const Each& each) {
  bool without_mask = false;
  Bytes bits;
  AttributeReader reader(bitset);
  for (Attribute part; reader.next(part);) {
    if (part.type == ETHTOOL_A_BITSET_NOMASK) without_mask = true;
    if (part.type == ETHTOOL_A_BITSET_BITS) bits = part.payload;
  }
  AttributeReader list(bits);
  for (Attribute bit; list.next(bit);) {
    if (bit.type != ETHTOOL_A_BITSET_BITS_BIT) continue;
    NamedBit out{{}, without_mask};
    AttributeReader fields(bit.payload);
    for (Attribute field; fields.next(field);) {
      if (field.type == ETHTOOL_A_BITSET_BIT_NAME) out.name = field.text();
      if (field.type == ETHTOOL_A_BITSET_BIT_VALUE) out.value = true;
    }
    if (!fields.whole()) return false;
    if (!out.name.empty()) each(out);
  }
  return reader.whole() && list.whole();
}

}  // namespace

const SettingGroup kRings{ETHTOOL_MSG_RINGS_GET, ETHTOOL_MSG_RINGS_SET, kRingFields, std::size(kRingFields)};
const SettingGroup kCoalesce{ETHTOOL_MSG_COALESCE_GET, ETHTOOL_MSG_COALESCE_SET, kCoalesceFields,
                             std::size(kCoalesceFields)};
const SettingGroup kChannels{ETHTOOL_MSG_CHANNELS_GET, 0, kChannelFields, std::size(kChannelFields)};

bool read_settings(Bytes attributes, const SettingGroup& group, Settings& out) {
  AttributeReader reader(attributes);
  for (Attribute attribute; reader.next(attribute);) {
    const auto* field = std::find_if(group.fields, group.fields + group.count,
                                     [&](const SettingField& f) { return f.attribute == attribute.type; });
    if (field == group.fields + group.count) continue;
    uint32_t value = 0;
    uint8_t byte = 0;
    if (field->byte ? !attribute.as(byte) : !attribute.as(value)) return false;
    out.emplace_back(field, field->byte ? byte : value);
  }
  return reader.whole();
}

bool read_features(Bytes attributes, std::vector<Feature>& out) {
  Bytes changeable, wanted, active, never;
  AttributeReader reader(attributes);
  for (Attribute attribute; reader.next(attribute);) {
    if (attribute.type == ETHTOOL_A_FEATURES_HW) changeable = attribute.payload;
    if (attribute.type == ETHTOOL_A_FEATURES_WANTED) wanted = attribute.payload;
    if (attribute.type == ETHTOOL_A_FEATURES_ACTIVE) active = attribute.payload;
    if (attribute.type == ETHTOOL_A_FEATURES_NOCHANGE) never = attribute.payload;
  }
  // The first comes with a mask, and so names every feature that this kernel knows.
  bool sound = reader.whole() && each_bit(changeable, [&](const NamedBit& bit) {
                 out.push_back({std::string(bit.name), false, false, bit.value});
               });
  const auto mark = [&](Bytes set, const auto& how) {
    sound = each_bit(set,
                     [&](const NamedBit& bit) {
                       const auto found =
                           std::find_if(out.begin(), out.end(), [&](const Feature& f) { return f.name == bit.name; });
                       if (bit.value && found != out.end()) how(*found);
                     }) &&
            sound;
  };
  mark(wanted, [](Feature& feature) { feature.wanted = true; });
  mark(active, [](Feature& feature) { feature.active = true; });
  mark(never, [](Feature& feature) { feature.changeable = false; });
  return sound;
}

Ethtool::~Ethtool() {
  if (socket_ >= 0) close(socket_);
}

NetlinkStatus Ethtool::open(const std::string& interface) {
  interface_ = interface;
  index_ = if_nametoindex(interface.c_str());
  if (index_ == 0) return NetlinkStatus::failed(ENODEV, "");
  if (NetlinkStatus status = netlink_.open(); !status.ok()) return status;
  if (NetlinkStatus status = netlink_.family(ETHTOOL_GENL_NAME, family_); !status.ok())
    return NetlinkStatus::failed(status.error, "this kernel has no ethtool family");
  socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return socket_ < 0 ? NetlinkStatus::failed(errno, "socket") : NetlinkStatus{};
}

NetlinkStatus Ethtool::get(uint8_t command, std::vector<uint8_t>& answer) {
  NetlinkRequest request(family_, command, ETHTOOL_GENL_VERSION);
  put_header(request, index_);
  return netlink_.ask(request, answer);
}

NetlinkStatus Ethtool::settings(const SettingGroup& group, Settings& out) {
  std::vector<uint8_t> answer;
  if (NetlinkStatus status = get(group.get, answer); !status.ok()) return status;
  return read_settings(answer, group, out) ? NetlinkStatus{} : NetlinkStatus::failed(EBADMSG, "");
}

NetlinkStatus Ethtool::set(const SettingGroup& group, const Settings& values) {
  NetlinkRequest request(family_, group.set, ETHTOOL_GENL_VERSION);
  put_header(request, index_);
  for (const auto& [field, value] : values) {
    if (field->byte)
      request.put(field->attribute, static_cast<uint8_t>(value));
    else
      request.put(field->attribute, value);
  }
  std::vector<uint8_t> answer;
  return netlink_.ask(request, answer);
}

NetlinkStatus Ethtool::features(std::vector<Feature>& out) {
  std::vector<uint8_t> answer;
  if (NetlinkStatus status = get(ETHTOOL_MSG_FEATURES_GET, answer); !status.ok()) return status;
  return read_features(answer, out) ? NetlinkStatus{} : NetlinkStatus::failed(EBADMSG, "");
}

NetlinkStatus Ethtool::set_features(const std::vector<std::pair<std::string, bool>>& wanted) {
  NetlinkRequest request(family_, ETHTOOL_MSG_FEATURES_SET, ETHTOOL_GENL_VERSION);
  put_header(request, index_);
  const size_t set = request.begin(ETHTOOL_A_FEATURES_WANTED);
  const size_t bits = request.begin(ETHTOOL_A_BITSET_BITS);
  for (const auto& [name, on] : wanted) {
    const size_t bit = request.begin(ETHTOOL_A_BITSET_BITS_BIT);
    request.put(ETHTOOL_A_BITSET_BIT_NAME, std::string_view(name));
    if (on) request.flag(ETHTOOL_A_BITSET_BIT_VALUE);
    request.end(bit);
  }
  request.end(bits);
  request.end(set);
  std::vector<uint8_t> answer;
  return netlink_.ask(request, answer);
}

NetlinkStatus Ethtool::ioctl(void* request) {
  ifreq interface {};
  interface_.copy(interface.ifr_name, sizeof interface.ifr_name - 1);
  interface.ifr_data = static_cast<char*>(request);
  return ::ioctl(socket_, SIOCETHTOOL, &interface) < 0 ? NetlinkStatus::failed(errno, "") : NetlinkStatus{};
}

NetlinkStatus Ethtool::driver(Driver& out) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (NetlinkStatus status = ioctl(&info); !status.ok()) return status;
  out = {text(info.driver), text(info.version), text(info.fw_version), text(info.bus_info)};
  return {};
}

NetlinkStatus Ethtool::statistics(std::vector<std::pair<std::string, uint64_t>>& out) {
  // Words of 8 bytes throughout: the kernel's structures begin with two numbers of 4 and end with a list.
  std::vector<uint64_t> sets(1 + sizeof(ethtool_sset_info) / sizeof(uint64_t));
  auto* set = reinterpret_cast<ethtool_sset_info*>(sets.data());
  set->cmd = ETHTOOL_GSSET_INFO;
  set->sset_mask = 1ull << ETH_SS_STATS;
  if (NetlinkStatus status = ioctl(set); !status.ok()) return status;
  if (set->sset_mask == 0) return NetlinkStatus::failed(EOPNOTSUPP, "");
  const uint32_t count = set->data[0];
  if (count > kMostStatistics) return NetlinkStatus::failed(E2BIG, "");

  const size_t room = size_t{count} + kSlack;
  std::vector<uint64_t> names(1 + (sizeof(ethtool_gstrings) + room * ETH_GSTRING_LEN) / sizeof(uint64_t));
  std::vector<uint64_t> values(1 + sizeof(ethtool_stats) / sizeof(uint64_t) + room);
  auto* strings = reinterpret_cast<ethtool_gstrings*>(names.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_STATS;
  strings->len = count;
  auto* stats = reinterpret_cast<ethtool_stats*>(values.data());
  stats->cmd = ETHTOOL_GSTATS;
  stats->n_stats = count;
  if (NetlinkStatus status = ioctl(strings); !status.ok()) return status;
  if (NetlinkStatus status = ioctl(stats); !status.ok()) return status;
  if (strings->len != count || stats->n_stats != count)
    return NetlinkStatus::failed(EAGAIN, "the counters changed while they were read");
  for (uint32_t i = 0; i < count; i++) {
    const auto* name = reinterpret_cast<const char*>(strings->data) + size_t{i} * ETH_GSTRING_LEN;
    out.emplace_back(std::string(name, strnlen(name, ETH_GSTRING_LEN)), stats->data[i]);
  }
  return {};
}

}  // namespace tapline
