// Which rule takes a packet, or why none does. Enters: headers, by direct access. Leaves: a rule's outputs, and the
// ledger of the interface: received = passed + matched + refused. A packet from the wire that is refused goes on to the
// node's own stack; a tunnel packet ends here.
#pragma once
#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "generated/relay_reasons.h"
#include "relay_maps.h"

#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

/// An IP packet of a protocol that may be relayed.
struct packet {
  __u32 l3;  ///< where its header lies
  __u32 l4;
  __u32 length;   ///< of the packet as its header says
  __u32 packets;  ///< a super-packet is many
  __u64 bytes;    ///< of all of them
  __u8 family;
  __u8 protocol;
  __u8 ttl;
  __u8 tos;
  __be16 port;
  __u8 fragment;
  __u8 malformed;
  union relay_address source;
  union relay_address destination;
};

struct match {
  union relay_run run;
  __u32 rule;
  __u32 port;
  __u32 flags;
};

static __always_inline void read_udp(void* data, void* end, struct packet* p, __u32 payload) {
  // The verifier has to see that the offset is small.
  struct udphdr* udp = data + (p->l4 & 0xff);
  if ((void*)(udp + 1) > end) {
    p->malformed = 1;
    return;
  }
  p->port = udp->dest;
  const __u32 length = bpf_ntohs(udp->len);
  if (length < sizeof *udp || length > payload) p->malformed = 1;
}

static __always_inline int read_ipv4(void* data, void* end, __u32 frame, struct packet* p) {
  struct iphdr* ip = data + (p->l3 & 0xff);
  if ((void*)(ip + 1) > end) return 0;
  if (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ESP) return 0;
  const __u32 header = ip->ihl * 4;
  p->family = 4;
  p->protocol = ip->protocol;
  p->ttl = ip->ttl;
  p->tos = ip->tos;
  p->l4 = p->l3 + header;
  p->length = bpf_ntohs(ip->tot_len);
  p->source.words[0] = ip->saddr;
  p->destination.words[0] = ip->daddr;
  if (ip->frag_off & bpf_htons(0x3fff))
    p->fragment = ip->frag_off & bpf_htons(0x1fff) ? FRAGMENT_LATER : FRAGMENT_FIRST;
  if (ip->version != 4 || header < sizeof *ip || p->length < header + 8 || p->length > frame - p->l3) {
    p->malformed = 1;
    return 1;
  }
  if (p->protocol == IPPROTO_UDP && p->fragment != FRAGMENT_LATER)
    read_udp(data, end, p, p->fragment ? 0xffff : p->length - header);
  return 1;
}

/// Extension headers but the fragment's are nobody's feed: the packet passes.
static __always_inline int read_ipv6(void* data, void* end, __u32 frame, struct packet* p) {
  struct ipv6hdr* ip = data + (p->l3 & 0xff);
  if ((void*)(ip + 1) > end) return 0;
  p->family = 6;
  p->protocol = ip->nexthdr;
  p->l4 = p->l3 + sizeof *ip;
  if (ip->nexthdr == IPPROTO_FRAGMENT) {
    __u8* fragment = (void*)(ip + 1);
    if ((void*)(fragment + 8) > end) return 0;
    p->protocol = fragment[0];
    p->fragment = FRAGMENT_LATER;  // Its port is not looked for.
  }
  if (p->protocol != IPPROTO_UDP && p->protocol != IPPROTO_ESP) return 0;
  p->ttl = ip->hop_limit;
  p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
  p->length = bpf_ntohs(ip->payload_len) + sizeof *ip;
  __builtin_memcpy(&p->source, &ip->saddr, 16);
  __builtin_memcpy(&p->destination, &ip->daddr, 16);
  if (ip->version != 6 || p->length < sizeof *ip + 8 || p->length > frame - p->l3) {
    p->malformed = 1;
    return 1;
  }
  if (p->protocol == IPPROTO_UDP && !p->fragment) read_udp(data, end, p, p->length - sizeof *ip);
  return 1;
}

static __always_inline struct relay_port_counts* counts_of_port(__u32 slot) {
  return bpf_map_lookup_elem(&port_counts, &slot);
}

static __always_inline void count_passed(__u32 ifindex, __u32 engine, __u64 packets, __u64 bytes) {
  const struct relay_port port = {ifindex, engine};
  __u32* slot = bpf_map_lookup_elem(&port_slots, &port);
  if (!slot) return;
  struct relay_port_counts* counts = counts_of_port(*slot);
  if (!counts) return;
  counts->received += packets;
  counts->bytes += bytes;
  counts->passed += packets;
}

/// `rule`: slot, or RELAY_NONE when it is no single rule's affair.
static __always_inline void count_refused(__u32 port, __u32 rule, __u32 reason, __u64 packets, __u64 frame_bytes) {
  struct relay_port_counts* counts = counts_of_port(port);
  if (counts && reason < RELAY_REFUSAL_ROOM) {
    counts->received += packets;
    counts->bytes += frame_bytes;
    counts->refused[reason] += packets;
  }
  struct relay_rule_counts* of_rule = bpf_map_lookup_elem(&rule_counts, &rule);
  if (of_rule && reason < RELAY_REFUSAL_ROOM) of_rule->refused[reason] += packets;
}

static __always_inline void count_matched(const struct match* m, __u64 packets, __u64 frame_bytes, __u64 bytes,
                                          __u64 now) {
  struct relay_port_counts* counts = counts_of_port(m->port);
  if (counts) {
    counts->received += packets;
    counts->bytes += frame_bytes;
    counts->matched += packets;
  }
  struct relay_rule_counts* of_rule = bpf_map_lookup_elem(&rule_counts, &m->rule);
  if (of_rule) {
    of_rule->matched += packets;
    of_rule->bytes += bytes;
    of_rule->last_ns = now;
  }
}

static __always_inline void take_input(struct match* m, const struct relay_input* input) {
  m->rule = input->rule;
  m->port = input->port;
  m->flags = input->flags;
}

static __always_inline int find_ipv4(__u32 ifindex, __u32 vlan, __u32 engine, const struct packet* p, struct match* m) {
  struct relay_key4 key = {.ifindex = ifindex,
                           .vlan = vlan,
                           .port = p->port,
                           .protocol = p->protocol,
                           .engine = engine,
                           .destination = p->destination.words[0]};
  const struct relay_input* input = bpf_map_lookup_elem(&inputs4, &key);
  if (!input) return 0;
  take_input(m, input);
  if (!(m->flags & RELAY_SOURCES)) return 1;
  key.source = p->source.words[0];
  input = bpf_map_lookup_elem(&inputs4, &key);
  if (input) take_input(m, input);
  return 1;
}

static __always_inline int find_ipv6(__u32 ifindex, __u32 vlan, __u32 engine, const struct packet* p, struct match* m) {
  struct relay_key6 key = {.ifindex = ifindex,
                           .vlan = vlan,
                           .port = p->port,
                           .protocol = p->protocol,
                           .engine = engine,
                           .destination = p->destination};
  const struct relay_input* input = bpf_map_lookup_elem(&inputs6, &key);
  if (!input) return 0;
  take_input(m, input);
  if (!(m->flags & RELAY_SOURCES)) return 1;
  key.source = p->source;
  input = bpf_map_lookup_elem(&inputs6, &key);
  if (input) take_input(m, input);
  return 1;
}

/// False: no rule wants this packet. True with rule RELAY_NONE and no RELAY_TUNNEL: only other sources are wanted.
static __always_inline int find(__u32 ifindex, __u32 vlan, __u32 engine, const struct packet* p, struct match* m) {
  // Port 0 stands for packets whose port cannot be read.
  if (p->protocol == IPPROTO_UDP && p->port == 0 && !p->fragment && !p->malformed) return 0;
  if (p->family == 4) return find_ipv4(ifindex, vlan, engine, p, m);
  return find_ipv6(ifindex, vlan, engine, p, m);
}

/// False: the rule is gone, and its keys will follow.
static __always_inline int load_run(struct match* m) {
  union relay_run* run = bpf_map_lookup_elem(&rules, &m->rule);
  if (!run) return 0;
  m->run.word = *(volatile __u64*)&run->word;  // Once: it may change at any time.
  return m->run.word != 0;
}

static __always_inline int is_own(const struct relay_settings* settings, const union relay_address* source) {
  const __u32 bit = relay_own_bit(source);
  if (!(settings->own_filter[bit / 64 & 63] & 1ull << (bit & 63))) return 0;
  return bpf_map_lookup_elem(&own, source) != 0;
}

#define ADMITTED RELAY_REFUSED_REASONS

/// ADMITTED, or the reason why the rule refuses the packet.
static __always_inline __u32 admit(const struct match* m, const struct packet* p, const struct relay_settings* settings,
                                   __u64 now) {
  if ((__s64)(now - settings->heartbeat_ns) > (__s64)settings->orphan_after_ns) return RELAY_REFUSED_ORPHANED;
  if (p->fragment) return RELAY_REFUSED_FRAGMENT;
  if (p->malformed) return RELAY_REFUSED_MALFORMED;
  if (is_own(settings, &p->source)) return RELAY_REFUSED_LOOP;
  if (p->ttl <= 1 && !(m->run.flags & RELAY_OWN_TTL)) return RELAY_REFUSED_TTL;
  return ADMITTED;
}

#define UNLIMITED RELAY_DROPPED_REASONS
#define CREDIT 1000000000ull

/// UNLIMITED, or the reason why no output may send the packet.
static __noinline __u32 limit(__u32 rule, __u64 packets) {
  struct relay_limit* l = bpf_map_lookup_elem(&limits, &rule);
  if (!l) return UNLIMITED;
  const __u64 now = bpf_ktime_get_ns();
  __u32 verdict = UNLIMITED;
  bpf_spin_lock(&l->lock);
  if (l->pps) {
    __u64 elapsed = now - l->refilled_ns;
    if ((__s64)elapsed < 0) elapsed = 0;
    if (elapsed > 8 * CREDIT) elapsed = 8 * CREDIT;
    l->credit += elapsed * l->pps;
    if (l->credit > l->burst * CREDIT) l->credit = l->burst * CREDIT;
    l->refilled_ns = now;
    if (l->credit < packets * CREDIT)
      verdict = RELAY_DROPPED_RATE;
    else
      l->credit -= packets * CREDIT;
  }
  if (l->storm_pps) {
    if ((__s64)(now - l->second_began_ns) >= (__s64)CREDIT) {
      l->second_began_ns = now;
      l->in_second = 0;
    }
    l->in_second += packets;
    if (l->in_second > l->storm_pps) verdict = RELAY_DROPPED_STORM;
  }
  bpf_spin_unlock(&l->lock);
  return verdict;
}
