#include "relay/afpacket/control.h"

#include <time.h>

#include <algorithm>
#include <cstring>

namespace tapline::relay {

namespace {
std::string output_name(const std::string& rule, const std::string& output) { return rule + '\n' + output; }
}  // namespace

void Slots::adopt(std::map<std::string, uint32_t> found, uint64_t generation) {
  slots_ = std::move(found);
  std::vector<bool> taken;
  for (const auto& [name, slot] : slots_) {
    if (slot >= taken.size()) taken.resize(slot + 1);
    taken[slot] = true;
  }
  unused_ = static_cast<uint32_t>(taken.size());
  for (uint32_t slot = 0; slot < unused_; slot++)
    if (!taken[slot]) returned_.emplace(generation, slot);
}

uint32_t Slots::find(const std::string& name) const {
  const auto found = slots_.find(name);
  return found == slots_.end() ? kNone : found->second;
}

uint32_t Slots::take(const std::string& name, uint64_t applied) {
  uint32_t slot = kNone;
  if (!returned_.empty() && returned_.begin()->first <= applied) {
    slot = returned_.begin()->second;
    returned_.erase(returned_.begin());
  } else if (unused_ < most_) {
    slot = unused_++;
  }
  if (slot != kNone) slots_[name] = slot;
  return slot;
}

void Slots::keep(const std::map<std::string, uint32_t>& kept, uint64_t generation) {
  for (auto at = slots_.begin(); at != slots_.end();) {
    if (kept.contains(at->first)) {
      ++at;
      continue;
    }
    returned_.emplace(generation, at->second);
    at = slots_.erase(at);
  }
}

std::string Control::open(const std::string& folder, uint32_t ifindex, uint32_t max_rules, uint32_t max_outputs) {
  folder_ = folder;
  if (std::string problem = file_.open(folder + "/figures", max_rules, max_outputs); !problem.empty()) return problem;
  rules_.limit(file_.max_rules());
  outputs_.limit(file_.max_outputs());
  Table found;
  // None is there at first; one that is damaged is replaced: whose slot is whose is lost with it, and so are its
  // counts.
  if (!load_table(folder + "/rules", found).empty() || found.ifindex != ifindex) found = Table{};

  std::map<std::string, uint32_t> rules, outputs;
  for (const SlottedRule& one : found.rules) {
    rules[one.rule.id] = one.slot;
    for (size_t i = 0; i < one.output_slots.size(); i++)
      outputs[output_name(one.rule.id, one.rule.outputs[i].id)] = one.output_slots[i];
  }
  rules_.adopt(std::move(rules), found.generation);
  outputs_.adopt(std::move(outputs), found.generation);
  found.generation = std::max(found.generation, file_.figures().wanted.load());
  found.ifindex = ifindex;
  table_ = std::move(found);
  return {};
}

std::string Control::slot_for(const std::string& name, Slots& slots, std::map<std::string, uint32_t>& kept,
                              uint32_t& out, bool& fresh) {
  out = slots.find(name);
  fresh = out == Slots::kNone;
  // Without a worker nobody counts: the next one begins with the newest table.
  if (fresh) out = slots.take(name, file_.claimed_by() == 0 ? UINT64_MAX : file_.figures().applied.load());
  if (out == Slots::kNone) return "there is no room for another rule or output";
  if (!kept.emplace(name, out).second) return "two have the same name";
  return {};
}

std::string Control::apply(std::vector<Rule> rules, std::vector<Address> tunnel_addresses,
                           std::vector<Address> own_addresses) {
  Table next;
  next.ifindex = table_.ifindex;
  next.tunnel_addresses = std::move(tunnel_addresses);
  next.own_addresses = std::move(own_addresses);
  const Slots rules_before = rules_, outputs_before = outputs_;
  std::map<std::string, uint32_t> rules_kept, outputs_kept;
  std::string problem;
  for (Rule& rule : rules) {
    SlottedRule& one = next.rules.emplace_back();
    one.rule = std::move(rule);
    bool fresh = false;
    problem = slot_for(one.rule.id, rules_, rules_kept, one.slot, fresh);
    if (!problem.empty()) break;
    if (fresh) std::memset(static_cast<void*>(&file_.rule(one.slot)), 0, sizeof(RuleCounts));
    for (const Output& output : one.rule.outputs) {
      uint32_t& slot = one.output_slots.emplace_back();
      problem = slot_for(output_name(one.rule.id, output.id), outputs_, outputs_kept, slot, fresh);
      if (!problem.empty()) break;
      if (fresh) std::memset(static_cast<void*>(&file_.output(slot)), 0, sizeof(OutputCounts));
    }
    if (!problem.empty()) break;
  }
  next.generation = table_.generation;
  const bool same = problem.empty() && table_.generation > 0 && write_table(next) == write_table(table_);
  if (same) return {};
  next.generation = table_.generation + 1;
  if (problem.empty()) {
    // Told first: the worker compares when it sees the file.
    file_.figures().wanted = next.generation;
    problem = save_table(folder_ + "/rules", next);
    if (!problem.empty()) file_.figures().wanted = table_.generation;
  }
  if (!problem.empty()) {
    rules_ = rules_before;
    outputs_ = outputs_before;
    return problem;
  }
  rules_.keep(rules_kept, next.generation);
  outputs_.keep(outputs_kept, next.generation);
  table_ = std::move(next);
  return {};
}

void Control::heartbeat(uint64_t orphan_after_ms) noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  Figures& figures = file_.figures();
  figures.heartbeat_ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  figures.orphan_after_ns = orphan_after_ms * 1'000'000;
}

bool Control::trace(const std::string& rule, uint32_t packets) noexcept {
  const uint32_t slot = rules_.find(rule);
  if (slot == Slots::kNone) return false;
  file_.figures().trace_order = uint64_t{slot} << 32 | packets;
  return true;
}

}  // namespace tapline::relay
