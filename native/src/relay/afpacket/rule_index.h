// Which rule a packet is for. Enters: the table's rules. Leaves: for a packet's destination, and then its source, the
// rule's place. Made anew for every table, then only read; one look-up for a rule of any source, two for one of some.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "relay/afpacket/packet.h"

namespace tapline::relay {

/// 24 bytes, compared as they are.
struct MatchKey {
  uint64_t words[3] = {};
  bool operator==(const MatchKey&) const = default;
  static MatchKey of(uint8_t family, const uint8_t* address, uint8_t protocol, uint16_t vlan, uint16_t port) noexcept {
    MatchKey key;
    std::memcpy(key.words, address, family == 4 ? 4 : 16);
    key.words[2] = uint64_t{port} | uint64_t{vlan} << 16 | uint64_t{protocol} << 32 | uint64_t{family} << 40;
    return key;
  }
};

/// From a key to a number; open addressing, at most half full.
class MatchTable {
 public:
  explicit MatchTable(uint64_t seed = 0) : seed_(seed | 1) {}
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t find(const MatchKey& key) const noexcept {
    for (uint64_t at = hash(key);; at++) {
      const Entry& entry = entries_[at & mask_];
      if (entry.value == kNone) return kNone;
      if (entry.key == key) return entry.value;
    }
  }
  /// The value that the key has now: `value` if it was new.
  uint32_t add(const MatchKey& key, uint32_t value) {
    if (2 * (size_ + 1) > entries_.size()) grow();
    for (uint64_t at = hash(key);; at++) {
      Entry& entry = entries_[at & mask_];
      if (entry.value != kNone && entry.key == key) return entry.value;
      if (entry.value != kNone) continue;
      entry = {key, value};
      size_++;
      return value;
    }
  }

 private:
  struct Entry {
    MatchKey key;
    uint32_t value = kNone;
  };
  uint64_t hash(const MatchKey& key) const noexcept {
    using Wide = unsigned __int128;
    const auto mix = [](uint64_t a, uint64_t b) {
      const Wide product = static_cast<Wide>(a) * b;
      return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    };
    return mix(mix(key.words[0] ^ seed_, key.words[1] ^ 0x9E3779B97F4A7C15), key.words[2] ^ seed_ ^ 0xD1B54A32D192ED03);
  }
  void grow() {
    std::vector<Entry> old(entries_.size() * 2);
    old.swap(entries_);
    mask_ = entries_.size() - 1;
    size_ = 0;
    for (const Entry& entry : old)
      if (entry.value != kNone) add(entry.key, entry.value);
  }

  uint64_t seed_;
  uint64_t mask_ = 15;
  size_t size_ = 0;
  std::vector<Entry> entries_ = std::vector<Entry>(16);
};

class RuleIndex {
 public:
  /// Rules are numbered as they are added. The seed is random: senders must not choose who collides.
  explicit RuleIndex(uint64_t seed) : groups_(seed), sources_(seed * 3), destinations_(seed * 5), paths_(seed * 7) {}

  /// `number` of the rule; a second rule for the same packets is not heard: plans are checked before.
  void add(const Rule& rule, uint32_t number) {
    if (const auto* tunnel = std::get_if<TunnelInput>(&rule.input)) {
      paths_.add(path_key(tunnel->path), number);
      return;
    }
    const auto& wire = std::get<WireInput>(rule.input);
    const Address& to = wire.destination;
    note_destination(to);
    const MatchKey key =
        MatchKey::of(to.family, to.bytes.data(), static_cast<uint8_t>(wire.protocol), wire.vlan, wire.port);
    const auto fresh = static_cast<uint32_t>(any_.size());
    const uint32_t group = groups_.add(key, fresh);
    if (group == fresh) any_.push_back({});
    if (wire.sources.empty() && any_[group].rule == MatchTable::kNone) any_[group].rule = number;
    for (const Address& source : wire.sources) {
      any_[group].by_source = true;
      sources_.add(source_key(source.family, source.bytes.data(), group), number);
    }
  }
  /// Of this node, where tunnel packets come to.
  void note_destination(const Address& address) {
    destinations_.add(MatchKey::of(address.family, address.bytes.data(), 0, 0, 0), 0);
  }

  enum class Match : uint8_t { None, Rule, Source };  ///< Source: the group is ours, its sender is not
  Match find(const Packet& packet, uint16_t vlan, uint32_t& number) const noexcept {
    const MatchKey key = MatchKey::of(packet.family, packet.destination(), packet.protocol, vlan, packet.port);
    const uint32_t group = groups_.find(key);
    if (group == MatchTable::kNone) return Match::None;
    const Group& found = any_[group];
    number = found.rule;
    if (found.by_source) {
      const uint32_t specific = sources_.find(source_key(packet.family, packet.source(), group));
      if (specific != MatchTable::kNone) number = specific;
    }
    return number == MatchTable::kNone ? Match::Source : Match::Rule;
  }
  uint32_t path(uint32_t path) const noexcept { return paths_.find(path_key(path)); }
  /// Whether any rule is for packets to this address: what is wrong with such a packet is our concern.
  bool concerns(uint8_t family, const uint8_t* address) const noexcept {
    return destinations_.find(MatchKey::of(family, address, 0, 0, 0)) != MatchTable::kNone;
  }

 private:
  struct Group {
    uint32_t rule = MatchTable::kNone;  ///< of any source
    bool by_source = false;
  };
  static MatchKey source_key(uint8_t family, const uint8_t* source, uint32_t group) noexcept {
    MatchKey key;
    std::memcpy(key.words, source, family == 4 ? 4 : 16);
    key.words[2] = group;
    return key;
  }
  static MatchKey path_key(uint32_t path) noexcept {
    MatchKey key;
    key.words[0] = path;
    return key;
  }

  MatchTable groups_, sources_, destinations_, paths_;
  std::vector<Group> any_;
};

}  // namespace tapline::relay
