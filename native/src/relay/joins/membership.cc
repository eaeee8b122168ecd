#include "relay/joins/membership.h"

#include <charconv>

namespace tapline::relay {

namespace {
/// 8 or 32 digits, two to a byte; the number of bytes, or 0.
size_t read_hex(std::string_view text, std::array<uint8_t, 16>& out) {
  if (text.size() != 8 && text.size() != 32) return 0;
  for (size_t i = 0; i < text.size(); i += 2) {
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, out[i / 2], 16);
    if (error != std::errc{} || end != text.data() + i + 2) return 0;
  }
  return text.size() / 2;
}
std::string hex(uint8_t family, const std::array<uint8_t, 16>& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < (family == 4 ? 4u : 16u); i++) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}
}  // namespace

std::optional<Membership> read_membership(std::string_view line) {
  const size_t first = line.find(' '), second = line.rfind(' ');
  if (first == std::string_view::npos || first == second) return std::nullopt;
  Membership out;
  const auto [end, error] = std::from_chars(line.data(), line.data() + first, out.ifindex);
  if (error != std::errc{} || end != line.data() + first || out.ifindex == 0) return std::nullopt;
  const std::string_view source = line.substr(second + 1);
  const size_t bytes = read_hex(line.substr(first + 1, second - first - 1), out.group);
  if (bytes == 0) return std::nullopt;
  out.family = bytes == 4 ? 4 : 6;
  out.specific = source != "*";
  if (out.specific && read_hex(source, out.source) != bytes) return std::nullopt;
  const bool is_group = out.family == 4 ? (out.group[0] & 0xF0) == 0xE0 : out.group[0] == 0xFF;
  return is_group ? std::optional(out) : std::nullopt;
}

std::string text_of(const Membership& membership) {
  return std::to_string(membership.ifindex) + ' ' + hex(membership.family, membership.group) + ' ' +
         (membership.specific ? hex(membership.family, membership.source) : "*");
}

}  // namespace tapline::relay
