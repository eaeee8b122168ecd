// The relay's engines in the kernel, as the agent uses them: native/relay.ts's KernelRelay in C++. Enters: plans.
// Leaves: maps and attached programs that forward without us; figures; traces. Read layout.h for what lies in the
// kernel, and src/bpf/relay.bpf.c for who uses it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "relay/figures.h"
#include "relay/interface_probe.h"
#include "relay/programs.h"
#include "relay/rules.h"
#include "relay/tables.h"

struct ring_buffer;

namespace tapline::relay {

struct TracedOutput {
  std::string id;
  std::optional<uint32_t> dropped;  ///< enum relay_drop
};
struct Trace {
  uint64_t at_ns;  ///< of the wall clock
  std::string rule;
  Address source;
  uint32_t length;
  uint8_t ttl;
  std::optional<uint32_t> refused;  ///< enum relay_refusal
  std::vector<TracedOutput> outputs;
};

class KernelRelay {
 public:
  KernelRelay() = default;
  ~KernelRelay();
  KernelRelay(const KernelRelay&) = delete;
  KernelRelay& operator=(const KernelRelay&) = delete;

  Status open(const KernelOptions& options);
  bool adopted() const noexcept { return programs_.adopted(); }
  bool upgraded() const noexcept { return programs_.upgraded(); }
  bool observed() const noexcept { return programs_.observed(); }
  bool tcx() const noexcept { return programs_.tcx(); }
  InterfaceProbe probe(uint32_t ifindex) const;
  /// All or nothing, but for RELAY_ROOM: see Tables::apply.
  Status apply(const Plan& plan);
  const Changes& changes() const noexcept { return changes_; }
  void heartbeat();
  Figures figures() const;
  Status trace(const std::string& rule, uint32_t packets);
  std::vector<Trace> take_traces();
  void uninstall();
  /// For tests: a program's descriptor.
  int program(const char* name) const { return programs_.fd(name); }
  const MapDescriptors& maps() const noexcept { return programs_.maps(); }

 private:
  Status attach(const Compiled& plan, std::vector<PortName>& fresh);
  void release(const Compiled& plan);
  Trace told(const relay_trace& trace) const;

  Programs programs_;
  Tables tables_;
  MappedArray<relay_settings> settings_;
  MappedArray<relay_tracing> tracing_;
  std::vector<NamedRule> names_;
  std::vector<Trace> traces_;
  ring_buffer* ring_ = nullptr;
  Changes changes_;
  uint64_t beats_ = 0;
};

}  // namespace tapline::relay
