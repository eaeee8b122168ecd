// The relay's programs and maps in the kernel, and their pins in bpffs, by which they outlive this process. Enters: a
// folder, sizes. Leaves: loaded programs, descriptors of maps; what an earlier process left there is taken over, and
// its programs are replaced where ours differ.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "relay/compile.h"
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

  /// Idempotent. RELAY_INTERFACE_TAKEN when somebody else's program is there: it stays.
  Status attach(const PortName& port);
  void detach(const PortName& port);
  std::vector<PortName> attached() const;

  /// XDP may send to this interface; false: there is none.
  bool add_device(uint32_t ifindex);

  /// Whether a program of this kernel-wide id is ours.
  bool owns(uint32_t program_id) const;

  /// Takes down whatever is attached and pinned.
  void uninstall();

  int fd(const char* program) const;

 private:
  struct Link {
    Descriptor fd;
    std::string pin;
  };

  Status load(bool observed);
  Status make_folder();
  bool adopt_maps();
  void discard_pins();
  Status pin_maps();
  Status observe(uint32_t engine);
  void forget_observers(uint32_t engine);
  Descriptor lock_;
  Descriptor adopted_devices_;
  void adopt_links();
  void copy_devices();
  std::string pin(const std::string& name) const { return options_.pins + "/" + name; }

  KernelOptions options_;
  bpf_object* object_ = nullptr;
  MapDescriptors maps_;
  std::map<PortName, Link> ports_;
  std::map<std::string, Link> observers_;  ///< by program
  bool adopted_ = false;
  bool upgraded_ = false;
  bool observed_ = false;
};

}  // namespace tapline::relay
