#include "relay/afpacket/compiled.h"

#include <algorithm>
#include <cstring>

namespace tapline::relay {

namespace {
relay_drop reason_of(Unready why) noexcept {
  switch (why) {
    case Unready::NoRoute:
      return RELAY_DROPPED_NO_ROUTE;
    case Unready::NoNeighbour:
      return RELAY_DROPPED_NO_NEIGHBOUR;
    default:
      return RELAY_DROPPED_INTERFACE;
  }
}
}  // namespace

Compiled::Compiled(Table table, FiguresFile& figures, Devices& devices, uint32_t send_bytes, uint64_t seed)
    : table_(std::move(table)), index_(seed), own_(seed * 11), ends_(seed * 13) {
  for (const Address& one : table_.own_addresses) own_.add(MatchKey::of(one.family, one.bytes.data(), 0, 0, 0), 0);
  for (const Address& one : table_.tunnel_addresses) {
    ends_.add(MatchKey::of(one.family, one.bytes.data(), 0, 0, 0), 0);
    index_.note_destination(one);
  }
  for (const SlottedRule& one : table_.rules) {
    const bool room =
        one.slot < figures.max_rules() && std::all_of(one.output_slots.begin(), one.output_slots.end(),
                                                      [&](auto slot) { return slot < figures.max_outputs(); });
    if (!room) {
      skipped_++;
      continue;
    }
    CompiledRule rule{};
    rule.rule = &one.rule;
    rule.slot = one.slot;
    rule.counts = &figures.rule(one.slot);
    rule.tunnel = std::get_if<TunnelInput>(&one.rule.input);
    rule.keeps_ttl = true;
    rule.first_exit = static_cast<uint32_t>(exits_.size());
    rule.exits = static_cast<uint32_t>(one.rule.outputs.size());
    for (size_t i = 0; i < one.rule.outputs.size(); i++) {
      const Output& output = one.rule.outputs[i];
      if (output.ttl || output.tunnel) rule.keeps_ttl = false;
      exits_.push_back(exit_of(output, one.output_slots[i], figures, devices, send_bytes));
    }
    index_.add(one.rule, static_cast<uint32_t>(rules_.size()));
    rules_.push_back(rule);
  }
}

Exit Compiled::exit_of(const Output& output, uint32_t slot, FiguresFile& figures, Devices& devices,
                       uint32_t send_bytes) {
  Exit out{};
  out.output = &output;
  out.slot = slot;
  out.counts = &figures.output(slot);
  out.ready = output.unready == Unready::No;
  out.unready = reason_of(output.unready);
  if (out.ready) {
    auto& device = devices[output.ifindex];
    if (!device || !device->problem().empty()) device = std::make_shared<Device>(output.ifindex, send_bytes);
    if (std::find(used_.begin(), used_.end(), device) == used_.end()) used_.push_back(device);
    out.device = device.get();
    out.ready = device->problem().empty();
  }
  std::memcpy(out.ethernet, output.destination_mac.data(), 6);
  std::memcpy(out.ethernet + 6, output.source_mac.data(), 6);
  const bool six = output.destination.family == 6;
  out.ethernet[12] = six ? 0x86 : 0x08;
  out.ethernet[13] = six ? 0xDD : 0x00;
  return out;
}

}  // namespace tapline::relay
