// The relay's maps; relay/layout.h says what lies in each. Sizes that the agent chooses are set before they are made.
#pragma once
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

#include "relay/layout.h"

#define MAP(name, kind, k, v, entries, flags) \
  struct {                                    \
    __uint(type, kind);                       \
    __uint(max_entries, entries);             \
    __uint(map_flags, flags);                 \
    __type(key, k);                           \
    __type(value, v);                         \
  } name SEC(".maps")

MAP(inputs4, BPF_MAP_TYPE_HASH, struct relay_key4, struct relay_input, 1, 0);
MAP(inputs6, BPF_MAP_TYPE_HASH, struct relay_key6, struct relay_input, 1, 0);
MAP(rules, BPF_MAP_TYPE_ARRAY, __u32, union relay_run, 1, BPF_F_MMAPABLE);
MAP(outputs, BPF_MAP_TYPE_ARRAY, __u32, struct relay_output, 1, BPF_F_MMAPABLE);
MAP(paths, BPF_MAP_TYPE_HASH, __u32, struct relay_path, 1, 0);
MAP(windows, BPF_MAP_TYPE_HASH, struct relay_stream, struct relay_window, RELAY_MAX_WINDOWS, BPF_F_NO_PREALLOC);
MAP(limits, BPF_MAP_TYPE_ARRAY, __u32, struct relay_limit, 1, 0);
MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, struct relay_settings, 1, BPF_F_MMAPABLE);
MAP(own, BPF_MAP_TYPE_HASH, union relay_address, __u32, 1024, BPF_F_NO_PREALLOC);
MAP(port_slots, BPF_MAP_TYPE_HASH, struct relay_port, __u32, RELAY_MAX_PORTS, 0);
MAP(port_counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct relay_port_counts, RELAY_MAX_PORTS, 0);
MAP(rule_counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct relay_rule_counts, 1, 0);
MAP(output_counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct relay_output_counts, 1, 0);
MAP(rule_names, BPF_MAP_TYPE_ARRAY, __u32, struct relay_name, 1, BPF_F_MMAPABLE);
MAP(output_names, BPF_MAP_TYPE_ARRAY, __u32, struct relay_name, 1, BPF_F_MMAPABLE);
MAP(path_names, BPF_MAP_TYPE_ARRAY, __u32, struct relay_name, 1, BPF_F_MMAPABLE);
MAP(sequences, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u32, 1, 0);
MAP(devices, BPF_MAP_TYPE_DEVMAP_HASH, __u32, struct bpf_devmap_val, RELAY_MAX_DEVICES, 0);
MAP(scratch, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct relay_scratch, 1, 0);
MAP(tracing, BPF_MAP_TYPE_ARRAY, __u32, struct relay_tracing, 1, BPF_F_MMAPABLE);

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 18);
} traces SEC(".maps");

/// What becomes of a packet that was handed over is observed (relay_settle.h). Without the right to: each output of tc
/// is a clone, whose verdict comes back, and a frame that XDP hands over counts as sent.
SEC(".rodata.observed") const volatile __u32 observed = 1;

static __always_inline struct relay_settings* settings_now(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct relay_scratch* scratch_here(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline struct relay_output_counts* counts_of_output(__u32 slot) {
  return bpf_map_lookup_elem(&output_counts, &slot);
}

static __always_inline void count_dropped(__u32 slot, __u32 reason, __u64 packets) {
  struct relay_output_counts* counts = counts_of_output(slot);
  if (counts && reason < RELAY_DROP_ROOM) counts->dropped[reason] += packets;
}

static __always_inline void count_sent(__u32 slot, __u64 packets, __u64 bytes) {
  struct relay_output_counts* counts = counts_of_output(slot);
  if (!counts) return;
  counts->sent += packets;
  counts->sent_bytes += bytes;
}
