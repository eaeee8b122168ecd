// The ends of a hop tunnel. Enters at the sender: an output, the inner addresses; leaves: the 32 bytes. Enters at the
// receiver: those bytes and who sent them; leaves: the rule, or why they are refused. relay/hop_header.h says what lies
// on the wire.
#pragma once
#include "relay/hop_header.h"
#include "relay_match.h"

/// A number is used up even if the packet is dropped later: that drop is counted at the output.
static __always_inline void write_hop(struct hop_header* hop, const struct relay_output* output,
                                      const struct relay_settings* settings, __u8 hops,
                                      const union relay_address* source, const union relay_address* destination,
                                      int ipv6, __u16 stream) {
  __u32* sequence = bpf_map_lookup_elem(&sequences, &output->sequence);
  hop->version = HOP_VERSION;
  hop->hops = hops;
  hop->stream = hop_16(stream);
  hop->path = hop_32(output->path);
  hop->epoch = hop_32(output->epoch);
  hop->sequence = sequence ? hop_32((*sequence)++) : 0;
  hop->origin_ns = hop_64(bpf_ktime_get_ns() + settings->wall_ahead_ns);
  const __u64 words[4] = {ipv6 ? source->halves[0] : (__u64)destination->words[0] << 32 | source->words[0],
                          source->halves[1], destination->halves[0], destination->halves[1]};
  hop->tag = hop_tag(output->key, (const __u64*)hop, words, ipv6);
}

struct arrival {
  __u32 rule;  ///< RELAY_NONE: of no known path
  __u32 refused;
};

/// Everything but the window, which only a right tag may touch.
static __always_inline struct arrival check_hop(const struct hop_header* hop, const union relay_address* from,
                                                const struct packet* inner) {
  struct arrival a = {RELAY_NONE, ADMITTED};
  if (hop->version != HOP_VERSION) {
    a.refused = RELAY_REFUSED_VERSION;
    return a;
  }
  const __u32 number = hop_32(hop->path);
  struct relay_path* path = bpf_map_lookup_elem(&paths, &number);
  if (!path) {
    a.refused = RELAY_REFUSED_UNKNOWN_PATH;
    return a;
  }
  a.rule = path->rule;
  int known = 0;
  for (__u32 i = 0; i < RELAY_MAX_PEERS; i++) {
    if (i < path->peers && path->peer[i].halves[0] == from->halves[0] && path->peer[i].halves[1] == from->halves[1])
      known = 1;
  }
  const int ipv6 = inner->family == 6;
  const __u64 words[4] = {
      ipv6 ? inner->source.halves[0] : (__u64)inner->destination.words[0] << 32 | inner->source.words[0],
      inner->source.halves[1], inner->destination.halves[0], inner->destination.halves[1]};
  if (!known)
    a.refused = RELAY_REFUSED_STRANGER;
  else if (hop_tag(path->key, (const __u64*)hop, words, ipv6) != hop->tag)
    a.refused = RELAY_REFUSED_TAG;
  return a;
}

/// ADMITTED, or why not. A packet that came through too many tunnels has arrived all the same: it is no loss of the
/// network.
static __noinline __u32 enter_window(const struct hop_header* hop, __u64 now, __u64 wall_ahead_ns) {
  if (!hop) return RELAY_REFUSED_REPLAY;
  const struct relay_stream stream = {hop_32(hop->path), hop_16(hop->stream), hop_32(hop->epoch)};
  struct relay_window* w = bpf_map_lookup_elem(&windows, &stream);
  if (!w) {
    struct relay_scratch* s = scratch_here();
    if (!s) return RELAY_REFUSED_REPLAY;
    bpf_map_update_elem(&windows, &stream, s->no_window, BPF_NOEXIST);
    w = bpf_map_lookup_elem(&windows, &stream);
    if (!w) return RELAY_REFUSED_REPLAY;
  }
  const __u32 number = hop_32(hop->sequence);
  const __s64 age = (__s64)(now + wall_ahead_ns - hop_64(hop->origin_ns));
  bpf_spin_lock(&w->lock);
  const int fresh = hop_window_arrive(&w->window, number, now);
  if (fresh) hop_window_date(&w->window, age);
  bpf_spin_unlock(&w->lock);
  if (!fresh) return RELAY_REFUSED_REPLAY;
  return hop->hops >= HOP_LIMIT ? RELAY_REFUSED_HOP_LIMIT : ADMITTED;
}
