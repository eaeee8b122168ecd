// The end of a relayed packet's way, in the kernel: takes every stamped packet of its lanes at any rate and remembers which numbers came.
// Enters: frames of an interface, by XDP or by tc. Leaves: maps that relay_sink.cc reads; what is not stamped goes on to the stack.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "relay_stamp.h"

const volatile struct relay_lane lanes[RELAY_LANES];
const volatile __u32 lane_count;
const volatile __u64 numbers;  ///< of each lane that are kept track of; a multiple of 64
const volatile __u32 latency_wanted;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} seen SEC(".maps");  // bit n of lane l: word (l * numbers + n) / 64
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, RELAY_LANES);
  __type(key, __u32);
  __type(value, struct relay_counts);
} counts SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RELAY_LANES);
  __type(key, __u32);
  __type(value, struct relay_first);
} firsts SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct relay_frames);
} frames SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, RELAY_LANES* RELAY_LATENCY_CELLS);
  __type(key, __u32);
  __type(value, __u64);
} latencies SEC(".maps");

struct tag {
  __be16 tci;
  __be16 protocol;
} __attribute__((packed));
struct esp {
  __be32 spi, number;
};

/// What of a packet's headers is looked at.
struct headers {
  __u32 source[4], destination[4];
  __u32 length;  ///< of the payload, by the headers
  __u16 family, port, source_port, vlan;
  __u8 ttl, dscp;
};

static __always_inline __u64 log2_of(__u64 v) {
  __u64 bits = 0;
  if (v >> 32) bits += 32, v >>= 32;
  if (v >> 16) bits += 16, v >>= 16;
  if (v >> 8) bits += 8, v >>= 8;
  if (v >> 4) bits += 4, v >>= 4;
  if (v >> 2) bits += 2, v >>= 2;
  return bits + (v >> 1);
}

/// Powers of two, each in 32 equal steps: 3 % wide.
static __always_inline void note_latency(__u32 lane, __u64 ns) {
  const __u64 power = log2_of(ns | 32);
  __u64 cell = (power - 5) * RELAY_LATENCY_STEPS + ((ns >> (power - 5)) & (RELAY_LATENCY_STEPS - 1));
  if (ns < 32) cell = 0;
  if (cell >= RELAY_LATENCY_CELLS) cell = RELAY_LATENCY_CELLS - 1;
  const __u32 key = lane * RELAY_LATENCY_CELLS + (__u32)cell;
  __u64* count = bpf_map_lookup_elem(&latencies, &key);
  if (count) (*count)++;
}

static __always_inline int lane_of(const struct headers* h, __u32 stream) {
  for (__u32 i = 0; i < RELAY_LANES; i++) {
    if (i >= lane_count) break;
    if (lanes[i].stream != stream || lanes[i].family != h->family) continue;
    if (lanes[i].port && lanes[i].port != h->port) continue;
    if (h->destination[3] - lanes[i].destination[3] >= lanes[i].count) continue;
    if (lanes[i].destination[0] != h->destination[0] || lanes[i].destination[1] != h->destination[1] ||
        lanes[i].destination[2] != h->destination[2])
      continue;
    return (int)i;
  }
  return -1;
}

/// True: it was of the rig.
static __always_inline int account(const struct headers* h, const struct relay_stamp* stamp, __u32 wire_length) {
  const __u32 zero = 0;
  struct relay_frames* all = bpf_map_lookup_elem(&frames, &zero);
  if (!all) return 0;
  all->frames++;
  if (!stamp || stamp->magic != RELAY_STAMP_MAGIC) {
    all->other++;
    return 0;
  }
  if (relay_stamp_check(stamp) != stamp->check) {
    all->damaged++;
    return 1;
  }
  const int at = lane_of(h, stamp->stream);
  if (at < 0) {
    all->unexpected++;
    return 1;
  }
  const __u32 lane = (__u32)at;
  struct relay_counts* c = bpf_map_lookup_elem(&counts, &lane);
  struct relay_first* first = bpf_map_lookup_elem(&firsts, &lane);
  if (!c || !first) return 0;
  const __u64 received = ++c->received;
  c->bytes += wire_length;
  if (stamp->length != h->length) c->wrong_length++;
  if (received <= 64 || received % 64 == 0) {
    c->last_ns = bpf_ktime_get_ns();
    if (received == 1) c->first_ns = c->last_ns;
  }
  if (latency_wanted) {
    const __u64 now = bpf_ktime_get_ns();
    if (now > stamp->sent_ns) note_latency(lane, now - stamp->sent_ns);
  }
  if (!first->taken) {
    __builtin_memcpy(first->source, h->source, sizeof h->source);
    first->source_port = h->source_port;
    first->vlan = h->vlan;
    first->ttl = h->ttl;
    first->dscp = h->dscp;
    first->taken = 1;
  } else if (first->source[3] != h->source[3] || first->source[0] != h->source[0] || first->source[1] != h->source[1] ||
             first->source[2] != h->source[2] || first->ttl != h->ttl || first->dscp != h->dscp ||
             first->source_port != h->source_port || first->vlan != h->vlan) {
    c->varied++;
  }
  const __u64 number = stamp->sequence;
  if (number >= first->highest) {
    c->ahead += number - first->highest;
    first->highest = number + 1;
  } else {
    c->behind++;
  }
  if (number >= numbers) {
    c->beyond++;
    return 1;
  }
  const __u32 word = (__u32)((lane * numbers + number) / 64);
  const __u64 bit = 1ull << (number & 63);
  __u64* bits = bpf_map_lookup_elem(&seen, &word);
  if (!bits) return 1;
  if (__sync_fetch_and_or(bits, bit) & bit)
    c->duplicate++;
  else
    c->unique++;
  return 1;
}

/// Reads the headers up to the stamp; null when it is not UDP, ESP, or too short.
static __always_inline const struct relay_stamp* parse(void* at, void* end, struct headers* h) {
  struct ethhdr* eth = at;
  if ((void*)(eth + 1) > end) return 0;
  __be16 protocol = eth->h_proto;
  at = eth + 1;
  if (protocol == bpf_htons(ETH_P_8021Q)) {
    struct tag* tag = at;
    if ((void*)(tag + 1) > end) return 0;
    h->vlan = bpf_ntohs(tag->tci) & 0xfff;
    protocol = tag->protocol;
    at = tag + 1;
  }
  __u8 next;
  __u32 length;
  if (protocol == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = at;
    if ((void*)(ip + 1) > end || ip->ihl != 5 || (ip->frag_off & bpf_htons(0x3fff))) return 0;
    h->family = 4;
    h->source[3] = bpf_ntohl(ip->saddr);
    h->destination[3] = bpf_ntohl(ip->daddr);
    h->ttl = ip->ttl;
    h->dscp = ip->tos >> 2;
    next = ip->protocol;
    length = bpf_ntohs(ip->tot_len) - sizeof *ip;
    at = ip + 1;
  } else if (protocol == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr* ip = at;
    if ((void*)(ip + 1) > end) return 0;
    h->family = 6;
    for (int i = 0; i < 4; i++) {
      h->source[i] = bpf_ntohl(ip->saddr.in6_u.u6_addr32[i]);
      h->destination[i] = bpf_ntohl(ip->daddr.in6_u.u6_addr32[i]);
    }
    h->ttl = ip->hop_limit;
    h->dscp = (__u8)((bpf_ntohl(*(__be32*)ip) >> 22) & 0x3f);
    next = ip->nexthdr;
    length = bpf_ntohs(ip->payload_len);
    at = ip + 1;
  } else {
    return 0;
  }
  if (next == IPPROTO_UDP) {
    struct udphdr* udp = at;
    if ((void*)(udp + 1) > end) return 0;
    h->port = bpf_ntohs(udp->dest);
    h->source_port = bpf_ntohs(udp->source);
    h->length = bpf_ntohs(udp->len) == length ? length - sizeof *udp : 0;
    at = udp + 1;
  } else if (next == IPPROTO_ESP) {
    if (at + sizeof(struct esp) > end) return 0;
    h->length = length - sizeof(struct esp);
    at += sizeof(struct esp);
  } else {
    return 0;
  }
  const struct relay_stamp* stamp = at;
  return (void*)(stamp + 1) > end ? 0 : stamp;
}

SEC("xdp.frags") int sink_xdp(struct xdp_md* context) {
  struct headers h = {};
  const struct relay_stamp* stamp = parse((void*)(long)context->data, (void*)(long)context->data_end, &h);
  // What the headers promise must be there; a short frame is padded, so there may be more.
  const __u32 length = (__u32)bpf_xdp_get_buff_len(context);
  if (h.length > length) h.length = 0;
  return account(&h, stamp, length) ? XDP_DROP : XDP_PASS;
}

SEC("tc") int sink_tc(struct __sk_buff* packet) {
  // Everything up to the stamp's end in one piece.
  if (packet->data_end - packet->data < 128) bpf_skb_pull_data(packet, packet->len < 128 ? packet->len : 128);
  struct headers h = {};
  const struct relay_stamp* stamp = parse((void*)(long)packet->data, (void*)(long)packet->data_end, &h);
  if (packet->vlan_present) h.vlan = packet->vlan_tci & 0xfff;
  if (h.length > packet->len) h.length = 0;
  return account(&h, stamp, packet->len) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

const char terms[] SEC("license") = "Dual BSD/GPL";
