// The relay's maps (layout.h) as C++ uses them: arrays that are mapped into memory, and tables and counters behind
// system calls. Enters: descriptors. Leaves: typed access.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "relay/layout.h"
#include "relay/status.h"

namespace tapline::relay {

/// An ARRAY map with BPF_F_MMAPABLE: programs see each store at once.
template <typename T>
class MappedArray {
 public:
  MappedArray() = default;
  ~MappedArray();
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;

  Status map(int fd);
  T& operator[](size_t at) noexcept { return at_[at]; }
  const T& operator[](size_t at) const noexcept { return at_[at]; }
  uint32_t size() const noexcept { return size_; }

 private:
  T* at_ = nullptr;
  uint32_t size_ = 0;
};

extern template class MappedArray<relay_run>;
extern template class MappedArray<relay_output>;
extern template class MappedArray<relay_name>;
extern template class MappedArray<relay_settings>;
extern template class MappedArray<relay_tracing>;

/// Descriptors of all maps, by what lies in them. They belong to whoever filled this in.
struct MapDescriptors {
  int inputs4 = -1, inputs6 = -1, rules = -1, outputs = -1, paths = -1, windows = -1, limits = -1, settings = -1,
      own = -1;
  int port_slots = -1, port_counts = -1, rule_counts = -1, output_counts = -1;
  int rule_names = -1, output_names = -1, path_names = -1, sequences = -1, devices = -1, scratch = -1;
  int tracing = -1, traces = -1;
};

/// How many entries a map was made for.
uint32_t capacity_of(int fd);

/// All entries of a hash map; `each` gets pointers to key and value.
void read_table(int fd, size_t key_bytes, size_t value_bytes, uint64_t flags,
                const std::function<void(const void* key, const void* value)>& each);

/// The first `slots` of a per-CPU array of counters, each summed over the CPUs. T is made of 64-bit words only.
template <typename T>
std::vector<T> read_counts(int fd, uint32_t slots);

/// All CPUs' counters of a slot.
void clear_counts(int fd, uint32_t slot, size_t value_bytes);

}  // namespace tapline::relay
