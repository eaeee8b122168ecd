// The relay behind the driver: any number of outputs, several on one device, IPv6, super-packets, partial checksums.
// Enters: a packet. Leaves: a clone to each output and the packet itself to the last, each with headers of its own; to
// the node's own stack as it came, if subscribers there get it too. Headers are written whole, by one helper each, and
// checksums of UDP by the helper that knows whether they are partial: nothing is written directly, for that would make
// the kernel copy every packet that a tap watches too, relayed or not.
#pragma once
#include <linux/pkt_cls.h>

#include "relay_hop.h"
#include "relay_settle.h"
#include "relay_trace.h"
#include "relay_xdp.h"

#define NEXT (-1)  ///< TCX_NEXT, TC_ACT_UNSPEC: whoever comes after us decides
#define HEADERS (sizeof(struct ethhdr) + 60 + sizeof(struct udphdr))  ///< IPv4 with all its options
#define TUNNEL_HEADERS (HEADERS + HOP_HEADER_BYTES + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

/// Since Linux 6.3.
#define DECAP_IPV4 (1ull << 7)
#define DECAP_IPV6 (1ull << 8)

struct ipv4_headers {
  struct ethhdr eth;
  struct iphdr ip;
} __attribute__((packed));
struct ipv6_headers {
  struct ethhdr eth;
  struct ipv6hdr ip;
} __attribute__((packed));

struct outer_ipv4 {
  struct ethhdr eth;
  struct iphdr ip;
  struct udphdr udp;
  struct hop_header hop;
} __attribute__((packed, aligned(2)));
struct outer_ipv6 {
  struct ethhdr eth;
  struct ipv6hdr ip;
  struct udphdr udp;
  struct hop_header hop;
} __attribute__((packed, aligned(2)));

/// What would not fit on the stack. Nothing else of tc runs on this CPU before the program has ended.
struct workspace {
  struct packet packet;  ///< as it came
  struct packet outer;   ///< the tunnel packet it came in
  struct hop_header hop;
  union {
    struct ipv4_headers ipv4;
    struct ipv6_headers ipv6;
    struct outer_ipv4 outer_ipv4;
    struct outer_ipv6 outer_ipv6;
  };
};
MAP(workspaces, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct workspace, 1, 0);

/// A packet on its way to its outputs. `p` is how it came; `port`, `source`, `destination`: what stands in it at the
/// moment.
struct sending {
  struct __sk_buff* skb;
  struct packet* p;
  struct workspace* work;
  struct relay_settings* settings;
  __u32 first;
  __u32 last;           ///< this output gets the packet itself; RELAY_NONE: all get clones
  __u32 refused;        ///< UNLIMITED, or the reason for all outputs
  __u32 redirect;       ///< ifindex; 0: the last output did not want it
  __u32 packet_length;  ///< the largest one, when it is cut: for the MTU
  __u8 hops;
  __u8 traced;
  __be16 port;
  union relay_address source;
  union relay_address destination;
};

struct fields {
  const __u8* destination_mac;
  const __u8* source_mac;
  const union relay_address* source;
  const union relay_address* destination;
  __be16 port;
  __u8 ttl;
  __u8 tos;
};

static __always_inline __u64 replaced_address(const union relay_address* old, const union relay_address* new) {
  return replaced(old->words[0], new->words[0]) + replaced(old->words[1], new->words[1]) +
         replaced(old->words[2], new->words[2]) + replaced(old->words[3], new->words[3]);
}

/// Ethernet and IP headers, and UDP's port and checksum, become those of `f`. 0, or an errno.
static __always_inline int put_headers(struct sending* s, const struct fields* f) {
  struct packet* p = s->p;
  const __u64 addresses = replaced_address(&s->source, f->source) + replaced_address(&s->destination, f->destination);
  long error;
  if (p->family == 4) {
    struct ipv4_headers* h = &s->work->ipv4;
    error = bpf_skb_load_bytes(s->skb, 0, h, sizeof *h);
    if (error) return error;
    const __u64 changed = replaced(h->ip.ttl, f->ttl) + replaced((__u32)h->ip.tos << 8, (__u32)f->tos << 8);
    __builtin_memcpy(h->eth.h_dest, f->destination_mac, 6);
    __builtin_memcpy(h->eth.h_source, f->source_mac, 6);
    h->ip.check = adjusted(h->ip.check, addresses + changed);
    h->ip.ttl = f->ttl;
    h->ip.tos = f->tos;
    h->ip.saddr = f->source->words[0];
    h->ip.daddr = f->destination->words[0];
    error = bpf_skb_store_bytes(s->skb, 0, h, sizeof *h, 0);
  } else {
    struct ipv6_headers* h = &s->work->ipv6;
    error = bpf_skb_load_bytes(s->skb, 0, h, sizeof *h);
    if (error) return error;
    __builtin_memcpy(h->eth.h_dest, f->destination_mac, 6);
    __builtin_memcpy(h->eth.h_source, f->source_mac, 6);
    h->ip.priority = f->tos >> 4;
    h->ip.flow_lbl[0] = (h->ip.flow_lbl[0] & 0x0f) | f->tos << 4;
    h->ip.hop_limit = f->ttl;
    __builtin_memcpy(&h->ip.saddr, f->source, 16);
    __builtin_memcpy(&h->ip.daddr, f->destination, 16);
    error = bpf_skb_store_bytes(s->skb, 0, h, sizeof *h, 0);
  }
  if (error || p->protocol != IPPROTO_UDP) return error;
  const __u32 check = p->l4 + __builtin_offsetof(struct udphdr, check);
  const __u64 sum = (addresses & 0xffffffff) + (addresses >> 32);
  const __u32 difference = (sum & 0xffffffff) + (sum >> 32);
  // 0 and -1 are both "no change".
  if (difference + 1 > 1)
    error = bpf_l4_csum_replace(s->skb, check, 0, difference, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
  if (!error && s->port != f->port) {
    error = bpf_l4_csum_replace(s->skb, check, s->port, f->port, BPF_F_MARK_MANGLED_0 | 2);
    if (!error) error = bpf_skb_store_bytes(s->skb, p->l4 + __builtin_offsetof(struct udphdr, dest), &f->port, 2, 0);
  }
  s->port = f->port;
  s->source = *f->source;
  s->destination = *f->destination;
  return error;
}

static __always_inline int put_output(struct sending* s, const struct relay_output* o) {
  const struct packet* p = s->p;
  const struct fields f = {
      .destination_mac = o->destination_mac,
      .source_mac = o->source_mac,
      .source = o->flags & RELAY_SET_SOURCE ? &o->source : &p->source,
      .destination = &o->destination,
      .port = o->port,
      .ttl = o->flags & RELAY_SET_TTL ? o->ttl : p->ttl - 1,
      .tos = o->flags & RELAY_SET_DSCP ? (__u8)(o->dscp << 2 | (p->tos & 3)) : p->tos,
  };
  return put_headers(s, &f);
}

static __always_inline void write_outer_ipv6(struct ipv6hdr* ip, struct udphdr* udp, const struct relay_output* o,
                                             __u32 inner_length, __u8 inner_tos, __u16 stream) {
  const __u8 tos = o->flags & RELAY_SET_DSCP ? (__u8)(o->dscp << 2 | (inner_tos & 3)) : inner_tos;
  const __u16 length = inner_length + sizeof *udp + HOP_HEADER_BYTES;
  __builtin_memset(ip, 0, sizeof *ip);
  ip->version = 6;
  ip->priority = tos >> 4;
  ip->flow_lbl[0] = tos << 4;
  ip->payload_len = bpf_htons(length);
  ip->nexthdr = IPPROTO_UDP;
  ip->hop_limit = o->flags & RELAY_SET_TTL ? o->ttl : HOP_OUTER_TTL;
  __builtin_memcpy(&ip->saddr, &o->source, 16);
  __builtin_memcpy(&ip->daddr, &o->destination, 16);
  udp->source = bpf_htons(hop_source_port(o->path, stream));
  udp->dest = o->port;
  udp->len = bpf_htons(length);
  udp->check = 0;
}

static __always_inline __s32 overhead(const struct relay_output* o) {
  return o->flags & RELAY_IPV6 ? HOP_OVERHEAD_IPV6 : HOP_OVERHEAD_IPV4;
}

/// The packet as it came, behind the headers of a tunnel.
static __always_inline int wrap(struct sending* s, const struct relay_output* o) {
  const struct packet* p = s->p;
  const __u16 stream = bpf_get_smp_processor_id();
  struct hop_header* hop = &s->work->hop;
  int error = bpf_skb_adjust_room(s->skb, overhead(o), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  if (error) return error;
  write_hop(hop, o, s->settings, s->hops, &p->source, &p->destination, p->family == 6, stream);
  if (o->flags & RELAY_IPV6) {
    struct outer_ipv6* h = &s->work->outer_ipv6;
    write_ethernet(&h->eth, o, bpf_htons(ETH_P_IPV6));
    write_outer_ipv6(&h->ip, &h->udp, o, p->length, p->tos, stream);
    h->hop = *hop;
    return bpf_skb_store_bytes(s->skb, 0, h, sizeof *h, 0);
  }
  struct outer_ipv4* h = &s->work->outer_ipv4;
  write_ethernet(&h->eth, o, bpf_htons(ETH_P_IP));
  write_outer_ipv4(&h->ip, &h->udp, o, p->length, p->tos, stream);
  h->hop = *hop;
  return bpf_skb_store_bytes(s->skb, 0, h, sizeof *h, 0);
}

/// Back to what it was before wrap(), for the next output.
static __always_inline int strip(struct sending* s, const struct relay_output* o) {
  const int error = bpf_skb_adjust_room(s->skb, -overhead(o), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  const __be16 protocol = s->p->family == 6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
  return error ? error : bpf_skb_store_bytes(s->skb, __builtin_offsetof(struct ethhdr, h_proto), &protocol, 2, 0);
}

/// A tunnel carries the packet as it came, not as an output before it left it.
static __always_inline int put_original(struct sending* s) {
  const struct packet* p = s->p;
  struct ethhdr eth;
  const int error = bpf_skb_load_bytes(s->skb, 0, &eth, sizeof eth);
  if (error) return error;
  const struct fields f = {eth.h_dest, eth.h_source, &p->source, &p->destination, p->port, p->ttl, p->tos};
  return put_headers(s, &f);
}

/// 0: sent, or (the last) about to be; else the reason + 1. `pending` is set when the redirect decides.
static __always_inline __u32 transmit(struct sending* s, const struct relay_output* o, __u32 index) {
  const int wrapped = o->flags & RELAY_WRAP ? 1 : 0;
  if (s->refused != UNLIMITED) return s->refused + 1;
  // A super-packet cannot be numbered: its parts are cut behind us.
  if (wrapped && s->p->packets > 1) return RELAY_DROPPED_MTU + 1;
  const __u32 refused = unwanted(o, s->packet_length + (wrapped ? overhead(o) : 0), s->p->ttl, s->p->family);
  if (refused) return refused;
  int error = wrapped ? put_original(s) : put_output(s, o);
  if (!error && wrapped) error = wrap(s, o);
  if (error) return RELAY_DROPPED_BUFFER + 1;
  const __u64 bytes = s->p->bytes + (wrapped ? overhead(o) : 0);
  if (observed && index == s->last) {
    struct relay_scratch* here = scratch_here();
    if (!here) return RELAY_DROPPED_BUFFER + 1;
    settle_queued(here);
    here->tc.packet = (__u64)bpf_cast_to_kern_ctx(s->skb);
    here->tc.slot = o->slot;
    here->tc.packets = s->p->packets;
    here->tc.bytes = bytes;
    s->redirect = o->ifindex;
    return 0;
  }
  const int verdict = bpf_clone_redirect(s->skb, o->ifindex, 0);
  if (wrapped && strip(s, o)) s->refused = RELAY_DROPPED_BUFFER;
  if (verdict != 0 && verdict != CONGESTED) return reason_of(verdict) + 1;
  count_sent(o->slot, s->p->packets, bytes);
  return 0;
}

static long send_one(__u32 i, void* context) {
  struct sending* s = context;
  const __u32 index = s->first + i;
  const struct relay_output* o = bpf_map_lookup_elem(&outputs, &index);
  if (!o) return 1;
  struct relay_output_counts* counts = counts_of_output(o->slot);
  if (counts) counts->wanted += s->p->packets;
  const __u32 refused = transmit(s, o, index);
  if (refused) count_dropped(o->slot, refused - 1, s->p->packets);
  if (s->traced) trace_output(o->slot, refused);
  return 0;
}

static __always_inline int send_packet(struct __sk_buff* skb, struct workspace* work, const struct match* m,
                                       struct relay_settings* settings, __u8 hops) {
  struct packet* p = &work->packet;
  const int deliver = m->run.flags & RELAY_DELIVER ? 1 : 0;
  struct sending s = {.skb = skb,
                      .p = p,
                      .work = work,
                      .settings = settings,
                      .first = m->run.first,
                      .last = m->run.first + m->run.count - 1,
                      .refused = m->run.flags & RELAY_LIMITED ? limit(m->rule, p->packets) : UNLIMITED,
                      .packet_length = p->length,
                      .hops = hops,
                      .port = p->port,
                      .source = p->source,
                      .destination = p->destination};
  const __u32 tag = skb->vlan_present ? skb->vlan_tci : 0;
  const __be16 tag_protocol = skb->vlan_proto;
  struct ethhdr eth;
  if (skb->gso_size)
    s.packet_length = skb->gso_size + (p->l4 - p->l3) + (p->protocol == IPPROTO_UDP ? sizeof(struct udphdr) : 0);
  // A super-packet may be cut into others before a driver sees it: only a clone's verdict is of all.
  if (!observed || deliver || skb->gso_size) s.last = RELAY_NONE;
  if (skb->vlan_present && bpf_skb_vlan_pop(skb)) s.refused = RELAY_DROPPED_BUFFER;
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof eth)) s.refused = RELAY_DROPPED_BUFFER;
  s.traced = is_traced(settings, m->rule) && trace_begin(p, m->rule);
  bpf_loop(m->run.count, send_one, &s, 0);
  if (s.traced) trace_end(0);
  if (s.redirect) return bpf_redirect(s.redirect, 0);
  if (!deliver) return TC_ACT_SHOT;
  const struct fields came = {eth.h_dest, eth.h_source, &p->source, &p->destination, p->port, p->ttl, p->tos};
  put_headers(&s, &came);
  if (tag) bpf_skb_vlan_push(skb, tag_protocol, tag);
  return NEXT;
}

/// The bytes of all packets that a super-packet is cut into: each has headers of its own.
static __always_inline void weigh(const struct __sk_buff* skb, struct packet* p) {
  const __u32 headers = p->l4 - p->l3 + (p->protocol == IPPROTO_UDP ? sizeof(struct udphdr) : 0);
  p->packets = skb->gso_size && skb->gso_segs > 1 ? skb->gso_segs : 1;
  p->bytes = p->length + (__u64)(p->packets - 1) * headers;
}

static __always_inline int read_packet(struct __sk_buff* skb, __be16 protocol, struct packet* p) {
  void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
  if (protocol == bpf_htons(ETH_P_IP)) return read_ipv4(data, end, skb->len, p);
  if (protocol == bpf_htons(ETH_P_IPV6)) return read_ipv6(data, end, skb->len, p);
  return 0;
}

/// A tunnel ends here: what is in it goes on as if it had just come in.
static __always_inline int open_tunnel(struct __sk_buff* skb, struct workspace* work, struct match* m,
                                       struct relay_settings* settings, __u64 now) {
  const struct packet* outer = &work->outer;
  struct packet* inner = &work->packet;
  struct hop_header* hop = &work->hop;
  struct arrival a = {RELAY_NONE, RELAY_REFUSED_MALFORMED};
  const __u32 hop_at = outer->l4 + sizeof(struct udphdr), frame = skb->len;
  __be16 protocol = 0;
  *inner = (struct packet){};
  if (outer->fragment) {
    a.refused = RELAY_REFUSED_FRAGMENT;
  } else if (!outer->malformed && outer->packets == 1 && !bpf_skb_load_bytes(skb, hop_at, hop, sizeof *hop)) {
    __u8 version = 0;
    bpf_skb_pull_data(skb, frame < TUNNEL_HEADERS ? frame : TUNNEL_HEADERS);
    inner->l3 = (hop_at + HOP_HEADER_BYTES) & 0xff;
    bpf_skb_load_bytes(skb, inner->l3, &version, 1);
    protocol = version >> 4 == 4 ? bpf_htons(ETH_P_IP) : version >> 4 == 6 ? bpf_htons(ETH_P_IPV6) : 0;
    if (read_packet(skb, protocol, inner)) a = check_hop(hop, &outer->source, inner);
  }
  m->rule = a.rule;
  if (a.refused == ADMITTED) a.refused = enter_window(hop, bpf_ktime_get_ns(), settings->wall_ahead_ns);
  if (a.refused == ADMITTED) {
    if (!load_run(m))
      a.refused = RELAY_REFUSED_UNKNOWN_PATH;
    else
      a.refused = admit(m, inner, settings, now);
  }
  if (a.refused != ADMITTED) {
    count_refused(m->port, m->rule, a.refused, 1, frame);
    if (m->rule != RELAY_NONE) trace_refused(settings, inner, m->rule, a.refused);
    return TC_ACT_SHOT;
  }
  inner->packets = 1;
  inner->bytes = inner->length;
  count_matched(m, 1, frame, inner->length, now);
  const __u32 surplus = inner->l3 - sizeof(struct ethhdr);
  inner->l4 -= surplus;
  inner->l3 = sizeof(struct ethhdr);
  const __u64 flags = inner->family == outer->family ? 0 : inner->family == 6 ? DECAP_IPV6 : DECAP_IPV4;
  if (bpf_skb_adjust_room(skb, -(__s32)surplus, BPF_ADJ_ROOM_MAC, flags | BPF_F_ADJ_ROOM_NO_CSUM_RESET) ||
      bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, h_proto), &protocol, 2, 0)) {
    return TC_ACT_SHOT;
  }
  return send_packet(skb, work, m, settings, hop->hops + 1);
}

SEC("tc")
int relay_tc(struct __sk_buff* skb) {
  struct match m = {};
  const __u32 frame = skb->len;
  __u32 vlan = 0;
  struct relay_settings* settings = settings_now();
  const __u32 zero = 0;
  struct workspace* work = bpf_map_lookup_elem(&workspaces, &zero);
  if (!settings || !work) return NEXT;
  struct packet* p = &work->packet;
  if (skb->vlan_present) vlan = skb->vlan_tci & 0xfff;
  if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)) goto pass;
  if ((void*)(long)skb->data + HEADERS > (void*)(long)skb->data_end)
    bpf_skb_pull_data(skb, frame < HEADERS ? frame : HEADERS);
  *p = (struct packet){.l3 = sizeof(struct ethhdr)};
  if (!read_packet(skb, skb->protocol, p)) goto pass;
  weigh(skb, p);
  if (!find(skb->ifindex, vlan, RELAY_TC, p, &m)) goto pass;
  const __u64 now = bpf_ktime_get_coarse_ns();
  if (m.flags & RELAY_TUNNEL) {
    work->outer = *p;
    return open_tunnel(skb, work, &m, settings, now);
  }
  __u32 refused = RELAY_REFUSED_SOURCE;
  if (m.rule != RELAY_NONE) {
    if (!load_run(&m)) goto pass;
    refused = admit(&m, p, settings, now);
  } else if (p->fragment) {
    refused = RELAY_REFUSED_FRAGMENT;
  } else if (p->malformed) {
    refused = RELAY_REFUSED_MALFORMED;
  }
  if (refused != ADMITTED) {
    count_refused(m.port, m.rule, refused, p->packets, frame);
    if (m.rule != RELAY_NONE) trace_refused(settings, p, m.rule, refused);
    return NEXT;
  }
  count_matched(&m, p->packets, frame, p->bytes, now);
  return send_packet(skb, work, &m, settings, 1);
pass:
  count_passed(skb->ifindex, RELAY_TC, skb->gso_segs > 1 ? skb->gso_segs : 1, frame);
  return NEXT;
}
