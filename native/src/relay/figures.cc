#include "relay/figures.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

namespace tapline::relay {

namespace {

constexpr uint64_t kOldWindowNs = 600'000'000'000;

template <typename T>
T at_slot(const std::vector<T>& counts, std::optional<uint32_t> slot) {
  return slot && *slot < counts.size() ? counts[*slot] : T{};
}

std::vector<HopFigures> read_hops(const MapDescriptors& maps) {
  std::vector<HopFigures> out;
  read_table(maps.windows, sizeof(relay_stream), sizeof(relay_window), BPF_F_LOCK,
             [&](const void* key, const void* value) {
               HopFigures hop{};
               std::memcpy(&hop.stream, key, sizeof hop.stream);
               std::memcpy(&hop.window, static_cast<const uint8_t*>(value) + offsetof(relay_window, window),
                           sizeof hop.window);
               out.push_back(hop);
             });
  return out;
}

/// tc packets that went into a queue, of which nobody has said more: the queue took them. The next packet on that CPU
/// will count them.
void add_queued(int fd, std::vector<relay_output_counts>& outputs) {
  const int cpus = std::max(1, libbpf_num_possible_cpus());
  const size_t stride = (sizeof(relay_scratch) + 7) & ~size_t{7};
  std::vector<uint8_t> all(stride * static_cast<size_t>(cpus));
  const uint32_t zero = 0;
  if (bpf_map_lookup_elem(fd, &zero, all.data()) != 0) return;
  for (int cpu = 0; cpu < cpus; cpu++) {
    relay_pending pending{};
    std::memcpy(&pending, all.data() + stride * static_cast<size_t>(cpu) + offsetof(relay_scratch, tc), sizeof pending);
    if (pending.packet == 0 || pending.slot >= outputs.size()) continue;
    outputs[pending.slot].sent += pending.packets;
    outputs[pending.slot].sent_bytes += pending.bytes;
  }
}

}  // namespace

Figures read_figures(const MapDescriptors& maps, const Tables& tables, const std::vector<NamedRule>& names,
                     uint64_t now_ns, uint64_t wall_ahead_ns) {
  Figures out;
  const auto ports = read_counts<relay_port_counts>(maps.port_counts, RELAY_MAX_PORTS);
  for (const auto& [port, slot] : tables.ports()) out.ports.push_back({port, at_slot(ports, slot)});
  const auto rules = read_counts<relay_rule_counts>(maps.rule_counts, tables.rules().end());
  auto outputs = read_counts<relay_output_counts>(maps.output_counts, tables.outputs().end());
  add_queued(maps.scratch, outputs);
  for (const NamedRule& name : names) {
    RuleFigures rule{name.id, at_slot(rules, tables.rules().find(name.name)), 0};
    if (rule.counts.last_ns != 0) rule.last_ns = rule.counts.last_ns + wall_ahead_ns;
    out.rules.push_back(std::move(rule));
    for (const NamedOutput& output : name.outputs)
      out.outputs.push_back({name.id, output.id, at_slot(outputs, tables.outputs().find(output.name))});
  }
  out.hops = read_hops(maps);
  for (HopFigures& hop : out.hops) hop_window_settle(&hop.window, now_ns);
  return out;
}

void forget_old_windows(const MapDescriptors& maps, uint64_t now_ns) {
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> newest;
  const std::vector<HopFigures> hops = read_hops(maps);
  for (const HopFigures& hop : hops) {
    uint64_t& last = newest[{hop.stream.path, hop.stream.stream}];
    last = std::max<uint64_t>(last, hop.window.advanced_ns);
  }
  for (const HopFigures& hop : hops) {
    const bool newer = newest[{hop.stream.path, hop.stream.stream}] > hop.window.advanced_ns;
    if (newer && now_ns - hop.window.advanced_ns > kOldWindowNs) bpf_map_delete_elem(maps.windows, &hop.stream);
  }
}

}  // namespace tapline::relay
