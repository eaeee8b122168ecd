// A group that this node is to receive, of all or of one source, on one interface. Enters: a line of text. Leaves:
// values; and back again.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relay/rules.h"

namespace tapline::relay {

struct Membership {
  uint32_t ifindex = 0;
  uint8_t family = 4;
  bool specific = false;  ///< of `source` only
  std::array<uint8_t, 16> group{}, source{};
  auto operator<=>(const Membership&) const = default;
};

/// "INDEX GROUP SOURCE", addresses as hexadecimal bytes, with * for any source. None: it is not one, or GROUP is no
/// group.
std::optional<Membership> read_membership(std::string_view line);
std::string text_of(const Membership& membership);

}  // namespace tapline::relay
