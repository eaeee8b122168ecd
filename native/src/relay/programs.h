// The relay's programs and maps in the kernel, and their pins in bpffs, by which they outlive this process. Enters: a
// folder, sizes. Leaves: loaded programs, descriptors of maps; what an earlier process left there is taken over, and
// its programs are replaced where ours differ.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "relay/compile.h"
#include "relay/former_pins.h"
#include "relay/links.h"
#include "relay/maps.h"

struct bpf_object;
struct bpf_link;
struct bpf_program;

namespace tapline::relay {

struct KernelOptions {
  std::string pins;  ///< empty: nothing is pinned, all ends with the process
  uint32_t max_rules = 10'000;
  uint32_t max_outputs = 20'000;
  uint64_t orphan_after_ms = 3'600'000;
  bool renew = false;   ///< replace adopted programs even by equal ones
  bool observe = true;  ///< losses behind a redirect, if it is allowed
  bool tcx = true;      ///< false: filters even where the kernel has tcx
};

class Programs {
 public:
  Programs() = default;
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  Status open(const KernelOptions& options);
  const MapDescriptors& maps() const noexcept { return maps_; }
  bool adopted() const noexcept { return adopted_; }
  bool upgraded() const noexcept { return upgraded_; }
  /// Losses behind a redirect are seen.
  bool observed() const noexcept { return observed_; }

  /// tc's programs are attached by tcx; else by filters.
  bool tcx() const noexcept { return tcx_; }

  /// Idempotent. RELAY_INTERFACE_TAKEN when somebody else's program is there: it stays. Where another layout's program
  /// is, it goes on until take_over().
  Status attach(const PortName& port);
  void detach(const PortName& port);
  std::vector<PortName> attached() const;
  /// The rules are in the maps: what another layout's programs carry, ours do from now on; nothing of it is left.
  Status take_over(const std::set<PortName>& wanted);
  /// Filters that somebody took away come back.
  void mend();

  /// XDP may send to this interface; false: there is none.
  bool add_device(uint32_t ifindex);

  /// Whether a program of this kernel-wide id is ours.
  bool owns(uint32_t program_id) const;

  /// Takes down whatever is attached and pinned.
  void uninstall();

  int fd(const char* program) const;

 private:
  Status load(bool observed);
  Status make_folder();
  bool adopt_maps();
  Status pin_maps();
  Status observe(uint32_t engine);
  void forget_observers(uint32_t engine);
  void copy_devices();
  Status replace_program(const PortName& port, const Link& link);
  Status pin_link(const Link& link);
  Status attach_link(const PortName& port, Link& link);
  std::string pin(const std::string& name) const { return options_.pins + "/" + name; }

  KernelOptions options_;
  Descriptor lock_;
  Descriptor adopted_devices_;
  FormerPins former_;
  bpf_object* object_ = nullptr;
  MapDescriptors maps_;
  Links ports_;
  std::map<std::string, Link> observers_;  ///< by program
  bool adopted_ = false;
  bool upgraded_ = false;
  bool observed_ = false;
  bool tcx_ = true;
  uint32_t filter_ = 0;  ///< handle of ours
};

}  // namespace tapline::relay
