#include "relay/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace tapline::relay {

namespace {

constexpr uint32_t kBatch = 1024;

size_t rounded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

size_t pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

size_t cpus() { return static_cast<size_t>(std::max(1, libbpf_num_possible_cpus())); }

template <typename T>
void add(T& sum, const uint64_t* words) {
  static_assert(sizeof(T) % 8 == 0);
  auto* into = reinterpret_cast<uint64_t*>(&sum);
  for (size_t i = 0; i < sizeof(T) / 8; i++) into[i] += words[i];
}

/// A time is the latest of any CPU.
void add(relay_rule_counts& sum, const uint64_t* words) {
  const uint64_t last = std::max<uint64_t>(sum.last_ns, words[offsetof(relay_rule_counts, last_ns) / 8]);
  add<relay_rule_counts>(sum, words);
  sum.last_ns = last;
}

}  // namespace

template <typename T>
MappedArray<T>::~MappedArray() {
  if (at_ != nullptr) munmap(at_, pages(size_ * sizeof(T)));
}

template <typename T>
Status MappedArray<T>::map(int fd) {
  static_assert(sizeof(T) % 8 == 0, "elements lie where C++ looks for them");
  size_ = capacity_of(fd);
  void* at = mmap(nullptr, pages(size_ * sizeof(T)), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return Status::failed("RELAY_FAILED", "mapping a table", errno);
  at_ = static_cast<T*>(at);
  return {};
}

template class MappedArray<relay_run>;
template class MappedArray<relay_output>;
template class MappedArray<relay_name>;
template class MappedArray<relay_settings>;
template class MappedArray<relay_tracing>;

uint32_t capacity_of(int fd) {
  bpf_map_info info{};
  uint32_t bytes = sizeof info;
  return bpf_obj_get_info_by_fd(fd, &info, &bytes) == 0 ? info.max_entries : 0;
}

void read_table(int fd, size_t key_bytes, size_t value_bytes, uint64_t flags,
                const std::function<void(const void*, const void*)>& each) {
  std::vector<uint8_t> key(key_bytes), next(key_bytes), value(value_bytes);
  const void* last = nullptr;
  // A key that is deleted while we read starts the walk again: twice the capacity is more than enough of it.
  for (uint64_t left = uint64_t{capacity_of(fd)} * 2 + 1; left > 0; left--) {
    if (bpf_map_get_next_key(fd, last, next.data()) != 0) return;
    key = next;
    last = key.data();
    if (bpf_map_lookup_elem_flags(fd, key.data(), value.data(), flags) == 0) each(key.data(), value.data());
  }
}

template <typename T>
std::vector<T> read_counts(int fd, uint32_t slots) {
  std::vector<T> out(slots);
  const size_t stride = rounded(sizeof(T)) / 8 * cpus();
  std::vector<uint32_t> keys(kBatch);
  std::vector<uint64_t> values(stride * kBatch);
  uint32_t position = 0, done = 0;
  bool first = true;
  while (done < slots) {
    uint32_t count = std::min(kBatch, slots - done);
    const int error =
        bpf_map_lookup_batch(fd, first ? nullptr : &position, &position, keys.data(), values.data(), &count, nullptr);
    for (uint32_t i = 0; i < count; i++)
      for (size_t cpu = 0; cpu < cpus() && keys[i] < slots; cpu++)
        add(out[keys[i]], values.data() + i * stride + cpu * (stride / cpus()));
    done += count;
    first = false;
    if (error != 0 || count == 0) break;
  }
  return out;
}

template std::vector<relay_port_counts> read_counts(int, uint32_t);
template std::vector<relay_rule_counts> read_counts(int, uint32_t);
template std::vector<relay_output_counts> read_counts(int, uint32_t);

void clear_counts(int fd, uint32_t slot, size_t value_bytes) {
  const std::vector<uint8_t> zeros(rounded(value_bytes) * cpus());
  bpf_map_update_elem(fd, &slot, zeros.data(), BPF_ANY);
}

}  // namespace tapline::relay
