#include "relay/tables.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>

namespace tapline::relay {

namespace {

/// No program runs for so long: what it may still see is kept for this time.
constexpr uint64_t kGraceNs = 1'000'000'000;

bool same(const relay_path& a, const relay_path& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

Status Tables::open(const MapDescriptors& maps) {
  maps_ = maps;
  if (Status status = runs_.map(maps.rules); !status.ok()) return status;
  if (Status status = outputs_.map(maps.outputs); !status.ok()) return status;
  if (Status status = settings_.map(maps.settings); !status.ok()) return status;
  if (Status status = rule_slots_.open(maps.rule_names); !status.ok()) return status;
  if (Status status = output_slots_.open(maps.output_names); !status.ok()) return status;
  if (Status status = path_slots_.open(maps.path_names); !status.ok()) return status;
  used_.assign(outputs_.size(), false);
  for (uint32_t slot = 0; slot < runs_.size(); slot++)
    if (const relay_run run = runs_[slot]; run.word != 0) mark({run.first, run.count}, true);
  read_table(maps.inputs4, sizeof(relay_key4), sizeof(relay_input), 0, [&](const void* key, const void* value) {
    inputs_[InputKey::of(*static_cast<const relay_key4*>(key))] = *static_cast<const relay_input*>(value);
  });
  read_table(maps.inputs6, sizeof(relay_key6), sizeof(relay_input), 0, [&](const void* key, const void* value) {
    InputKey known{6, {}};
    std::memcpy(&known.key, key, sizeof known.key);
    inputs_[known] = *static_cast<const relay_input*>(value);
  });
  read_table(maps.paths, sizeof(uint32_t), sizeof(relay_path), 0, [&](const void* key, const void* value) {
    std::memcpy(&paths_[*static_cast<const uint32_t*>(key)], value, sizeof(relay_path));
  });
  read_table(maps.port_slots, sizeof(relay_port), sizeof(uint32_t), 0, [&](const void* key, const void* value) {
    const auto* port = static_cast<const relay_port*>(key);
    port_slots_[{port->ifindex, port->engine}] = *static_cast<const uint32_t*>(value);
  });
  return {};
}

void Tables::mark(Run run, bool used) {
  for (uint32_t i = run.first; i < run.first + run.count && i < used_.size(); i++) used_[i] = used;
}

/// First fit, from where the last search ended: a load of many rules looks at each place once.
std::optional<uint32_t> Tables::find_run(uint16_t count) {
  const auto size = static_cast<uint32_t>(used_.size());
  uint32_t length = 0;
  for (uint32_t tried = 0, at = next_; tried < size + count; tried++, at++) {
    if (at >= size) at = 0, length = 0;
    length = used_[at] ? 0 : length + 1;
    if (length < count) continue;
    next_ = at + 1;
    return at + 1 - count;
  }
  return std::nullopt;
}

Status Tables::check_room(const Compiled& plan) {
  size_t rules = 0, outputs = 0, paths = 0, keys = 0;
  std::set<Digest> new_paths;
  for (const CompiledRule& rule : plan.rules) {
    rules += rule_slots_.find(rule.name) ? 0 : 1;
    for (const CompiledOutput& output : rule.outputs) {
      outputs += output_slots_.find(output.name) ? 0 : 1;
      if (output.path != Digest{} && !path_slots_.find(output.path))
        paths += new_paths.insert(output.path).second ? 1 : 0;
    }
  }
  for (const auto& [key, input] : plan.inputs) keys += inputs_.contains(key) ? 0 : 1;
  if (rules <= rule_slots_.free() && outputs <= output_slots_.free() && paths <= path_slots_.free() &&
      inputs_.size() + keys <= capacity_of(maps_.inputs4))
    return {};
  size_t all_outputs = 0;
  for (const CompiledRule& rule : plan.rules) all_outputs += rule.outputs.size();
  if (plan.rules.size() > runs_.size() || all_outputs > outputs_.size() ||
      plan.inputs.size() > capacity_of(maps_.inputs4))
    return {"RELAY_FULL", std::to_string(plan.rules.size()) + " rules, " + std::to_string(all_outputs) + " outputs"};
  return {"RELAY_ROOM", std::to_string(rules) + " rules wait"};
}

/// Rules that are not in the plan end now; their keys, counters and runs are freed later.
void Tables::drop_others(const Compiled& plan, uint64_t now_ns, Changes& changes) {
  std::set<Digest> rules;
  live_outputs_.clear();
  live_paths_.clear();
  for (const CompiledRule& rule : plan.rules) {
    rules.insert(rule.name);
    for (const CompiledOutput& output : rule.outputs) {
      live_outputs_.insert(output.name);
      live_paths_.insert(output.path);
    }
  }
  for (const auto& [name, slot] : rule_slots_.all()) {
    if (rules.contains(name)) {
      old_rules_.erase(name);
      continue;
    }
    if (const relay_run run = runs_[slot]; run.word != 0) {
      std::atomic_ref<__u64>(runs_[slot].word).store(0, std::memory_order_release);
      old_runs_.push_back({now_ns, {run.first, run.count}});
      changes.rules_removed++;
    }
    old_rules_.emplace(name, now_ns);
  }
  for (const auto& [name, slot] : output_slots_.all()) {
    if (live_outputs_.contains(name))
      old_outputs_.erase(name);
    else
      old_outputs_.emplace(name, now_ns);
  }
  std::vector<Digest> unused;
  for (const auto& [name, slot] : path_slots_.all())
    if (!live_paths_.contains(name)) unused.push_back(name);
  // Its numbering goes on if it comes back under the same slot's name only by chance: the plan gives a new epoch then.
  for (const Digest& name : unused) path_slots_.release(name);
}

Status Tables::add_ports(const Compiled& plan) {
  std::set<uint32_t> taken;
  for (const auto& [port, slot] : port_slots_) taken.insert(slot);
  for (const PortName& port : plan.ports) {
    if (port_slots_.contains(port)) continue;
    uint32_t slot = 0;
    while (taken.contains(slot)) slot++;
    if (slot >= RELAY_MAX_PORTS) {
      // The counters of an interface that no rule names any more make room.
      const auto unused = std::find_if(port_slots_.begin(), port_slots_.end(),
                                       [&](const auto& entry) { return !plan.ports.contains(entry.first); });
      if (unused == port_slots_.end())
        return {"RELAY_FULL", "more than " + std::to_string(RELAY_MAX_PORTS) + " interfaces"};
      const relay_port old{unused->first.ifindex, unused->first.engine};
      slot = unused->second;
      bpf_map_delete_elem(maps_.port_slots, &old);
      port_slots_.erase(unused);
    }
    const relay_port key{port.ifindex, port.engine};
    clear_counts(maps_.port_counts, slot, sizeof(relay_port_counts));
    if (bpf_map_update_elem(maps_.port_slots, &key, &slot, BPF_ANY) != 0)
      return Status::failed("RELAY_FAILED", "port", errno);
    taken.insert(slot);
    port_slots_[port] = slot;
  }
  return {};
}

void Tables::write_limit(const CompiledRule& rule, uint32_t slot) {
  if ((rule.flags & RELAY_LIMITED) == 0) return;
  relay_limit now{};
  bpf_map_lookup_elem_flags(maps_.limits, &slot, &now, BPF_F_LOCK);
  if (now.pps == rule.rule->limit_pps && now.burst == rule.rule->limit_burst && now.storm_pps == rule.rule->storm_pps)
    return;
  relay_limit limit{};
  limit.pps = rule.rule->limit_pps;
  limit.burst = rule.rule->limit_burst == 0 ? 1 : rule.rule->limit_burst;
  limit.storm_pps = rule.rule->storm_pps;
  limit.credit = limit.burst * 1'000'000'000;
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  limit.refilled_ns = limit.second_began_ns =
      static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  bpf_map_update_elem(maps_.limits, &slot, &limit, BPF_F_LOCK);
}

Status Tables::write_rules(const Compiled& plan, uint64_t now_ns, Changes& changes) {
  for (const CompiledRule& rule : plan.rules) {
    const uint32_t slot = rule_slots_.take(rule.name);
    std::vector<relay_output> wanted;
    for (const CompiledOutput& output : rule.outputs) {
      wanted.push_back(output.layout);
      wanted.back().slot = output_slots_.take(output.name);
      if (output.path != Digest{}) wanted.back().sequence = path_slots_.take(output.path);
    }
    write_limit(rule, slot);
    const relay_run old = runs_[slot];
    const auto count = static_cast<uint16_t>(wanted.size());
    const bool there = old.word != 0 && old.count == count && old.flags == rule.flags &&
                       std::memcmp(&outputs_[old.first], wanted.data(), wanted.size() * sizeof(relay_output)) == 0;
    if (there) {
      changes.rules_kept++;
      continue;
    }
    const auto first = find_run(count);
    if (!first) return {"RELAY_ROOM", "outputs wait"};
    std::memcpy(&outputs_[*first], wanted.data(), wanted.size() * sizeof(relay_output));
    mark({*first, count}, true);
    relay_run run{};
    run.first = *first;
    run.count = count;
    run.flags = rule.flags;
    std::atomic_ref<__u64>(runs_[slot].word).store(run.word, std::memory_order_release);
    if (old.word != 0) old_runs_.push_back({now_ns, {old.first, old.count}});
    changes.rules_written++;
  }
  return {};
}

Status Tables::write_paths(const Compiled& plan) {
  for (const auto& [number, path] : plan.paths) {
    relay_path wanted = path.layout;
    wanted.rule = rule_slots_.take(plan.rules[path.rule].name);
    const auto known = paths_.find(number);
    if (known != paths_.end() && same(known->second, wanted)) continue;
    if (bpf_map_update_elem(maps_.paths, &number, &wanted, BPF_ANY) != 0)
      return Status::failed("RELAY_FAILED", "path " + std::to_string(number), errno);
    paths_[number] = wanted;
  }
  bool removed = false;
  for (auto at = paths_.begin(); at != paths_.end();) {
    if (plan.paths.contains(at->first)) {
      at++;
      continue;
    }
    bpf_map_delete_elem(maps_.paths, &at->first);
    at = paths_.erase(at);
    removed = true;
  }
  if (!removed) return {};
  std::vector<relay_stream> ended;
  read_table(maps_.windows, sizeof(relay_stream), sizeof(relay_window), BPF_F_LOCK, [&](const void* key, const void*) {
    const auto* stream = static_cast<const relay_stream*>(key);
    if (!paths_.contains(stream->path)) ended.push_back(*stream);
  });
  for (const relay_stream& stream : ended) bpf_map_delete_elem(maps_.windows, &stream);
  return {};
}

Status Tables::write_input(const InputKey& key, const relay_input& input) {
  const relay_key4 ipv4 = key.ipv4();
  const int error = key.family == 4 ? bpf_map_update_elem(maps_.inputs4, &ipv4, &input, BPF_ANY)
                                    : bpf_map_update_elem(maps_.inputs6, &key.key, &input, BPF_ANY);
  return error == 0 ? Status{} : Status::failed("RELAY_FAILED", "input", errno);
}

void Tables::erase_input(const InputKey& key) {
  const relay_key4 ipv4 = key.ipv4();
  if (key.family == 4)
    bpf_map_delete_elem(maps_.inputs4, &ipv4);
  else
    bpf_map_delete_elem(maps_.inputs6, &key.key);
}

Status Tables::write_inputs(const Compiled& plan) {
  // Keys with a source come before the flag that makes programs look for them.
  for (const bool any : {false, true}) {
    for (const auto& [key, input] : plan.inputs) {
      if (key.any_source() != any) continue;
      relay_input wanted{};
      wanted.rule = input.rule == kNoRule ? RELAY_NONE : *rule_slots_.find(plan.rules[input.rule].name);
      wanted.port = static_cast<uint16_t>(port_slots_.at({key.key.ifindex, key.key.engine}));
      wanted.flags = input.flags;
      const auto known = inputs_.find(key);
      if (known != inputs_.end() && std::memcmp(&known->second, &wanted, sizeof wanted) == 0) continue;
      if (const Status status = write_input(key, wanted); !status.ok()) return status;
      inputs_[key] = wanted;
    }
  }
  return {};
}

/// A key whose rule is gone leaves with it, in collect(): its place would be given to another key at once.
void Tables::drop_inputs(const Compiled& plan) {
  for (auto at = inputs_.begin(); at != inputs_.end();) {
    const bool waits = at->second.rule != RELAY_NONE && !is_live(at->second.rule);
    if (plan.inputs.contains(at->first) || waits) {
      at++;
      continue;
    }
    erase_input(at->first);
    at = inputs_.erase(at);
  }
}

void Tables::write_own(const Compiled& plan) {
  std::set<std::array<uint64_t, 2>> wanted, there;
  uint64_t filter[64] = {};
  const uint32_t one = 1;
  for (const relay_address& address : plan.own) {
    wanted.insert({address.halves[0], address.halves[1]});
    const uint32_t bit = relay_own_bit(&address);
    filter[bit / 64] |= 1ull << (bit & 63);
    bpf_map_update_elem(maps_.own, &address, &one, BPF_ANY);
  }
  read_table(maps_.own, sizeof(relay_address), sizeof one, 0, [&](const void* key, const void*) {
    const auto* address = static_cast<const relay_address*>(key);
    there.insert({address->halves[0], address->halves[1]});
  });
  for (size_t i = 0; i < 64; i++) std::atomic_ref<__u64>(settings_[0].own_filter[i]).store(filter[i]);
  for (const auto& halves : there)
    if (!wanted.contains(halves)) bpf_map_delete_elem(maps_.own, halves.data());
}

Status Tables::apply(const Compiled& plan, uint64_t now_ns, Changes& changes) {
  collect(now_ns);
  const Status room = check_room(plan);
  if (std::strcmp(room.code, "RELAY_FULL") == 0) return room;
  if (const Status status = add_ports(plan); !status.ok()) return status;
  write_own(plan);
  if (!room.ok()) {
    drop_others(plan, now_ns, changes);
    return room;
  }
  if (const Status status = write_rules(plan, now_ns, changes); !status.ok()) return status;
  if (const Status status = write_paths(plan); !status.ok()) return status;
  // New rules first, then the end of old ones: a group that goes from one rule to another is never without.
  if (const Status status = write_inputs(plan); !status.ok()) return status;
  drop_others(plan, now_ns, changes);
  drop_inputs(plan);
  return {};
}

void Tables::collect(uint64_t now_ns) {
  const auto over = [now_ns](uint64_t since) { return now_ns - since >= kGraceNs; };
  std::erase_if(old_runs_, [&](const auto& old) {
    if (!over(old.first)) return false;
    mark(old.second, false);
    return true;
  });
  std::set<uint32_t> dead;
  for (const auto& [name, since] : old_rules_)
    if (over(since)) dead.insert(*rule_slots_.find(name));
  if (!dead.empty())
    std::erase_if(inputs_, [&](const auto& entry) {
      if (!dead.contains(entry.second.rule)) return false;
      erase_input(entry.first);
      return true;
    });
  const auto free_slots = [&](std::map<Digest, uint64_t>& old, Slots& slots, int counts, size_t bytes) {
    std::erase_if(old, [&](const auto& entry) {
      if (!over(entry.second)) return false;
      clear_counts(counts, *slots.find(entry.first), bytes);
      slots.release(entry.first);
      return true;
    });
  };
  free_slots(old_rules_, rule_slots_, maps_.rule_counts, sizeof(relay_rule_counts));
  free_slots(old_outputs_, output_slots_, maps_.output_counts, sizeof(relay_output_counts));
}

}  // namespace tapline::relay
