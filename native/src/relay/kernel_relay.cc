#include "relay/kernel_relay.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>

namespace tapline::relay {

namespace {

constexpr size_t kMaxTraces = 10'000;  ///< not taken yet; what comes after them is not kept
constexpr uint64_t kBeatsBetweenCleanings = 60;

uint64_t clock_now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t monotonic() { return clock_now(CLOCK_MONOTONIC); }
uint64_t wall_ahead() { return clock_now(CLOCK_REALTIME) - monotonic(); }

void store(__u64& word, uint64_t value) { std::atomic_ref<__u64>(word).store(value, std::memory_order_release); }

}  // namespace

KernelRelay::~KernelRelay() {
  if (ring_ != nullptr) ring_buffer__free(ring_);
}

Status KernelRelay::open(const KernelOptions& options) {
  if (Status status = programs_.open(options); !status.ok()) return status;
  const MapDescriptors& maps = programs_.maps();
  if (Status status = settings_.map(maps.settings); !status.ok()) return status;
  if (Status status = tracing_.map(maps.tracing); !status.ok()) return status;
  if (Status status = tables_.open(maps); !status.ok()) return status;
  store(settings_[0].orphan_after_ns, options.orphan_after_ms * 1'000'000);
  bpf_map_info info{};
  uint32_t bytes = sizeof info;
  bpf_obj_get_info_by_fd(maps.devices, &info, &bytes);
  store(settings_[0].devices_id, info.id);
  heartbeat();
  ring_ = ring_buffer__new(
      maps.traces,
      [](void* relay, void* data, size_t length) {
        auto* self = static_cast<KernelRelay*>(relay);
        if (length >= sizeof(relay_trace) && self->traces_.size() < kMaxTraces)
          self->traces_.push_back(self->told(*static_cast<relay_trace*>(data)));
        return 0;
      },
      this, nullptr);
  return ring_ == nullptr ? Status::failed("RELAY_FAILED", "traces", errno) : Status{};
}

InterfaceProbe KernelRelay::probe(uint32_t ifindex) const {
  return probe_interface(ifindex, [this](uint32_t id) { return programs_.owns(id); });
}

/// Programs first: a rule may come once its packets are seen. What was attached for a plan that fails is taken off
/// again.
Status KernelRelay::attach(const Compiled& plan, std::vector<PortName>& fresh) {
  const std::vector<PortName> before = programs_.attached();
  for (const PortName& port : plan.ports) {
    const bool known = std::find(before.begin(), before.end(), port) != before.end();
    if (const Status status = programs_.attach(port); !status.ok()) {
      for (const PortName& one : fresh) programs_.detach(one);
      return status;
    }
    if (!known) fresh.push_back(port);
  }
  // One that is not there yet has no entry: what is sent to it is dropped as such, until the agent applies again.
  for (const uint32_t device : plan.devices) programs_.add_device(device);
  return {};
}

void KernelRelay::release(const Compiled& plan) {
  for (const PortName& port : programs_.attached())
    if (!plan.ports.contains(port)) programs_.detach(port);
}

Status KernelRelay::apply(const Plan& plan) {
  Compiled compiled;
  if (Status status = compile(plan, compiled); !status.ok()) return status;
  std::vector<PortName> fresh;
  if (Status status = attach(compiled, fresh); !status.ok()) return status;
  changes_ = {};
  if (Status status = tables_.apply(compiled, monotonic(), changes_); !status.ok()) {
    for (const PortName& one : fresh) programs_.detach(one);
    return status;
  }
  if (Status status = programs_.take_over(compiled.ports); !status.ok()) return status;
  release(compiled);
  names_.clear();
  for (const CompiledRule& rule : compiled.rules) {
    NamedRule named{rule.name, rule.rule->id, {}};
    for (size_t i = 0; i < rule.outputs.size(); i++)
      named.outputs.push_back({rule.outputs[i].name, rule.rule->outputs[i].id});
    names_.push_back(std::move(named));
  }
  return {};
}

void KernelRelay::heartbeat() {
  const uint64_t now = monotonic();
  store(settings_[0].wall_ahead_ns, wall_ahead());
  store(settings_[0].heartbeat_ns, now);
  tables_.collect(now);
  programs_.mend();
  if (++beats_ % kBeatsBetweenCleanings == 0) forget_old_windows(programs_.maps(), now);
}

Figures KernelRelay::figures() const {
  return read_figures(programs_.maps(), tables_, names_, monotonic(), wall_ahead());
}

Status KernelRelay::trace(const std::string& rule, uint32_t packets) {
  const auto slot = tables_.rules().find(digest_of("rule", rule));
  if (!slot) return {"RELAY_NO_RULE", rule};
  store(settings_[0].traced, 0);
  std::atomic_ref<__s64>(tracing_[0].left).store(static_cast<__s64>(std::min<uint32_t>(packets, kMaxTraces)));
  store(settings_[0].traced, packets == 0 ? 0 : uint64_t{*slot} + 1);
  return {};
}

Trace KernelRelay::told(const relay_trace& trace) const {
  Trace out{};
  out.at_ns = trace.at_ns + wall_ahead();
  out.source.family = trace.family;
  std::memcpy(out.source.bytes.data(), trace.source.bytes, 16);
  out.length = trace.length;
  out.ttl = trace.ttl;
  if (trace.refused != 0) out.refused = trace.refused - 1u;
  const NamedRule* named = nullptr;
  for (const NamedRule& one : names_)
    if (tables_.rules().find(one.name) == trace.rule) named = &one;
  if (named == nullptr) return out;
  out.rule = named->id;
  for (uint32_t i = 0; i < trace.outputs && i < RELAY_MAX_OUTPUTS; i++)
    for (const NamedOutput& output : named->outputs)
      if (tables_.outputs().find(output.name) == trace.output[i].slot)
        out.outputs.push_back(
            {output.id, trace.output[i].verdict == 0 ? std::nullopt : std::optional(trace.output[i].verdict - 1)});
  return out;
}

std::vector<Trace> KernelRelay::take_traces() {
  ring_buffer__consume(ring_);
  if (std::atomic_ref<__s64>(tracing_[0].left).load() <= 0) store(settings_[0].traced, 0);
  return std::exchange(traces_, {});
}

void KernelRelay::uninstall() {
  names_.clear();
  programs_.uninstall();
}

}  // namespace tapline::relay
