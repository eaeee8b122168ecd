// The relay in the driver: IPv4, one output. Enters: a frame. Leaves: the same frame, rewritten or wrapped, to the
// output's device; or the node's own stack. XDP cannot see that a checksum is partial (a sender on this machine left it
// to a device): a UDP checksum that equals the sum of the pseudo-header becomes 0, which IPv4 allows. IPv6 does not, so
// it is tc's.
#pragma once
#include "relay_hop.h"
#include "relay_trace.h"

struct tag {
  __be16 tci;
  __be16 protocol;
};

/// One's complement sum of what leaves and what comes (RFC 1624).
static __always_inline __u16 folded(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}

static __always_inline __u64 replaced(__u32 old, __u32 new) { return (__u64)(__u32)~old + new; }

static __always_inline __u16 adjusted(__u16 check, __u64 difference) { return ~folded((__u16)~check + difference); }

static __always_inline int is_partial(const struct iphdr* ip, const struct udphdr* udp) {
  return udp->check == folded((__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) + udp->len);
}

static __always_inline void write_ethernet(struct ethhdr* eth, const struct relay_output* o, __be16 protocol) {
  __builtin_memcpy(eth->h_dest, o->destination_mac, 6);
  __builtin_memcpy(eth->h_source, o->source_mac, 6);
  eth->h_proto = protocol;
}

/// Eight bytes at a time: fields of one IPv4 header that change, and the checksums over them.
static __always_inline void rewrite_ipv4(struct iphdr* ip, struct udphdr* udp, const struct relay_output* o) {
  const __be32 source = o->flags & RELAY_SET_SOURCE ? o->source.words[0] : ip->saddr;
  const __be32 destination = o->destination.words[0];
  __u64 addresses = replaced(ip->saddr, source) + replaced(ip->daddr, destination);
  const __u8 ttl = o->flags & RELAY_SET_TTL ? o->ttl : ip->ttl - 1;
  const __u8 tos = o->flags & RELAY_SET_DSCP ? (__u8)(o->dscp << 2 | (ip->tos & 3)) : ip->tos;
  const __u64 fields = replaced(ip->ttl, ttl) + replaced((__u32)ip->tos << 8, (__u32)tos << 8);
  if (udp && udp->check) {
    if (is_partial(ip, udp)) {
      udp->check = 0;
    } else {
      const __u16 check = adjusted(udp->check, addresses + replaced(udp->dest, o->port));
      udp->check = check ? check : 0xffff;
    }
  }
  if (udp) udp->dest = o->port;
  ip->check = adjusted(ip->check, addresses + fields);
  ip->ttl = ttl;
  ip->tos = tos;
  ip->saddr = source;
  ip->daddr = destination;
}

static __always_inline __u16 ipv4_checksum(const struct iphdr* ip) {
  const __u16* half = (const __u16*)ip;
  __u64 sum = 0;
  for (int i = 0; i < 10; i++) sum += half[i];
  return ~folded(sum);
}

/// 20 + 8 bytes before the hop header.
static __always_inline void write_outer_ipv4(struct iphdr* ip, struct udphdr* udp, const struct relay_output* o,
                                             __u32 inner_length, __u8 inner_tos, __u16 stream) {
  ip->version = 4;
  ip->ihl = 5;
  ip->tos = o->flags & RELAY_SET_DSCP ? (__u8)(o->dscp << 2 | (inner_tos & 3)) : inner_tos;
  ip->tot_len = bpf_htons((__u16)(inner_length + HOP_OVERHEAD_IPV4));
  ip->id = 0;
  ip->frag_off = bpf_htons(0x4000);  // Never cut on the way: RFC 6864 needs no id then.
  ip->ttl = o->flags & RELAY_SET_TTL ? o->ttl : HOP_OUTER_TTL;
  ip->protocol = IPPROTO_UDP;
  ip->check = 0;
  ip->saddr = o->source.words[0];
  ip->daddr = o->destination.words[0];
  ip->check = ipv4_checksum(ip);
  udp->source = bpf_htons(hop_source_port(o->path, stream));
  udp->dest = o->port;
  udp->len = bpf_htons((__u16)(inner_length + HOP_OVERHEAD_IPV4 - sizeof *ip));
  udp->check = 0;
}

/// The frame gets the output's headers. 0, or the reason it could not + 1.
static __always_inline __u32 put_plain(struct xdp_md* ctx, const struct packet* p, const struct relay_output* o) {
  const __u32 surplus = p->l3 - sizeof(struct ethhdr);  // a VLAN tag
  if (surplus && bpf_xdp_adjust_head(ctx, surplus)) return RELAY_DROPPED_BUFFER + 1;
  void *data = (void*)(long)ctx->data, *end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  struct iphdr* ip = (void*)(eth + 1);
  if ((void*)(ip + 1) > end) return RELAY_DROPPED_BUFFER + 1;
  struct udphdr* udp = 0;
  if (p->protocol == IPPROTO_UDP) {
    udp = data + ((p->l4 - surplus) & 0xff);
    if ((void*)(udp + 1) > end) return RELAY_DROPPED_BUFFER + 1;
  }
  write_ethernet(eth, o, bpf_htons(ETH_P_IP));
  rewrite_ipv4(ip, udp, o);
  return 0;
}

static __always_inline __u32 put_wrapped(struct xdp_md* ctx, const struct packet* p, const struct relay_output* o,
                                         const struct relay_settings* settings, __u8 hops) {
  void *data = (void*)(long)ctx->data, *end = (void*)(long)ctx->data_end;
  if (p->protocol == IPPROTO_UDP) {
    struct iphdr* ip = data + (p->l3 & 0x1f);
    struct udphdr* udp = data + (p->l4 & 0xff);
    if ((void*)(udp + 1) > end || (void*)(ip + 1) > end) return RELAY_DROPPED_BUFFER + 1;
    if (is_partial(ip, udp)) udp->check = 0;
  }
  // A short frame's padding is no part of the inner packet.
  const __s32 padding = (__s32)bpf_xdp_get_buff_len(ctx) - (__s32)(p->l3 + p->length);
  if (padding > 0 && bpf_xdp_adjust_tail(ctx, -padding)) return RELAY_DROPPED_BUFFER + 1;
  if (bpf_xdp_adjust_head(ctx, (__s32)(p->l3 - sizeof(struct ethhdr)) - HOP_OVERHEAD_IPV4))
    return RELAY_DROPPED_BUFFER + 1;
  data = (void*)(long)ctx->data;
  end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  struct iphdr* ip = (void*)(eth + 1);
  struct udphdr* udp = (void*)(ip + 1);
  struct hop_header* hop = (void*)(udp + 1);
  if ((void*)(hop + 1) > end) return RELAY_DROPPED_BUFFER + 1;
  const __u16 stream = bpf_get_smp_processor_id();
  write_ethernet(eth, o, bpf_htons(ETH_P_IP));
  write_outer_ipv4(ip, udp, o, p->length, p->tos, stream);
  struct hop_header made;
  write_hop(&made, o, settings, hops, &p->source, &p->destination, 0, stream);
  *hop = made;
  return 0;
}

/// To the output's device, with the output's slot in the frame's metadata for relay_device.
static __always_inline int redirect_frame(struct xdp_md* ctx, const struct relay_output* o, __u32 bytes) {
  struct relay_scratch* s = scratch_here();
  if (!s || bpf_xdp_adjust_meta(ctx, -(int)sizeof(struct relay_meta))) {
    count_dropped(o->slot, RELAY_DROPPED_BUFFER, 1);
    return XDP_DROP;
  }
  struct relay_meta* meta = (void*)(long)ctx->data_meta;
  if ((void*)(meta + 1) > (void*)(long)ctx->data) {
    count_dropped(o->slot, RELAY_DROPPED_BUFFER, 1);
    return XDP_DROP;
  }
  meta->slot = o->slot;
  meta->bytes = bytes;
  s->xdp_slot = o->slot;
  const int action = bpf_redirect_map(&devices, o->ifindex, XDP_DROP);
  if (action != XDP_REDIRECT) count_dropped(o->slot, RELAY_DROPPED_INTERFACE, 1);
  return action;
}

/// The reason + 1 why an output does not send this packet; 0: it does.
static __always_inline __u32 unwanted(const struct relay_output* o, __u32 length, __u8 ttl, __u8 family) {
  if (o->flags & RELAY_UNREADY) return o->unready + 1;
  // What a tunnel brought may be of the other family.
  if (!(o->flags & RELAY_WRAP) && (o->flags & RELAY_IPV6 ? 6 : 4) != family) return RELAY_DROPPED_NO_ROUTE + 1;
  if (length > o->mtu) return RELAY_DROPPED_MTU + 1;
  if (ttl <= 1 && !(o->flags & (RELAY_SET_TTL | RELAY_WRAP))) return RELAY_DROPPED_TTL + 1;
  return 0;
}

static __always_inline int send_frame(struct xdp_md* ctx, const struct packet* p, const struct match* m,
                                      const struct relay_settings* settings, __u8 hops) {
  const __u32 first = m->run.first;
  const struct relay_output* o = bpf_map_lookup_elem(&outputs, &first);
  if (!o) return XDP_DROP;
  struct relay_output_counts* counts = counts_of_output(o->slot);
  if (!counts) return XDP_DROP;
  counts->wanted++;
  const __u32 length = p->length + (o->flags & RELAY_WRAP ? HOP_OVERHEAD_IPV4 : 0);
  __u32 refused = m->run.flags & RELAY_LIMITED ? limit(m->rule, 1) : UNLIMITED;
  refused = refused == UNLIMITED ? unwanted(o, length, p->ttl, 4) : refused + 1;
  if (!refused) refused = o->flags & RELAY_WRAP ? put_wrapped(ctx, p, o, settings, hops) : put_plain(ctx, p, o);
  if (is_traced(settings, m->rule) && trace_begin(p, m->rule)) {
    trace_output(o->slot, refused);
    trace_end(0);
  }
  if (refused) {
    count_dropped(o->slot, refused - 1, 1);
    return XDP_DROP;
  }
  return redirect_frame(ctx, o, length);
}

/// A tunnel ends here: what is in it goes on as if it had just come in.
static __always_inline int unwrap(struct xdp_md* ctx, const struct packet* outer, struct match* m,
                                  const struct relay_settings* settings, __u64 now) {
  void *data = (void*)(long)ctx->data, *end = (void*)(long)ctx->data_end;
  const __u32 frame = bpf_xdp_get_buff_len(ctx);
  struct hop_header hop;
  struct packet inner = {.packets = 1};
  struct arrival a = {RELAY_NONE, RELAY_REFUSED_MALFORMED};
  struct hop_header* on_wire = data + ((outer->l4 + sizeof(struct udphdr)) & 0xff);
  m->rule = RELAY_NONE;
  if (outer->fragment) {
    a.refused = RELAY_REFUSED_FRAGMENT;
  } else if (!outer->malformed && (void*)(on_wire + 1) <= end) {
    hop = *on_wire;
    inner.l3 = (outer->l4 + sizeof(struct udphdr) + HOP_HEADER_BYTES) & 0xff;
    if (read_ipv4(data, end, frame, &inner)) a = check_hop(&hop, &outer->source, &inner);
  }
  m->rule = a.rule;
  if (a.refused == ADMITTED) a.refused = enter_window(&hop, bpf_ktime_get_ns(), settings->wall_ahead_ns);
  if (a.refused == ADMITTED) {
    if (!load_run(m))
      a.refused = RELAY_REFUSED_UNKNOWN_PATH;
    else
      a.refused = admit(m, &inner, settings, now);
  }
  if (a.refused != ADMITTED) {
    count_refused(m->port, m->rule, a.refused, 1, frame);
    if (m->rule != RELAY_NONE) trace_refused(settings, &inner, m->rule, a.refused);
    return XDP_DROP;
  }
  count_matched(m, 1, frame, inner.length, now);
  return send_frame(ctx, &inner, m, settings, hop.hops + 1);
}

SEC("xdp.frags")
int relay_xdp(struct xdp_md* ctx) {
  void *data = (void*)(long)ctx->data, *end = (void*)(long)ctx->data_end;
  const __u32 frame = bpf_xdp_get_buff_len(ctx), ifindex = ctx->ingress_ifindex;
  struct ethhdr* eth = data;
  struct packet p = {.l3 = sizeof *eth, .packets = 1};
  struct match m = {};
  __u32 vlan = 0;
  struct relay_settings* settings = settings_now();
  if (!settings || (void*)(eth + 1) > end) goto pass;
  __be16 protocol = eth->h_proto;
  if (protocol == bpf_htons(ETH_P_8021Q)) {
    struct tag* tag = (void*)(eth + 1);
    if ((void*)(tag + 1) > end) goto pass;
    vlan = bpf_ntohs(tag->tci) & 0xfff;
    protocol = tag->protocol;
    p.l3 += sizeof *tag;
  }
  if (protocol != bpf_htons(ETH_P_IP) || !read_ipv4(data, end, frame, &p)) goto pass;
  if (!find(ifindex, vlan, RELAY_XDP, &p, &m)) goto pass;
  const __u64 now = bpf_ktime_get_coarse_ns();
  if (m.flags & RELAY_TUNNEL) return unwrap(ctx, &p, &m, settings, now);
  __u32 refused = RELAY_REFUSED_SOURCE;
  if (m.rule != RELAY_NONE) {
    if (!load_run(&m)) goto pass;
    refused = admit(&m, &p, settings, now);
  } else if (p.fragment) {
    refused = RELAY_REFUSED_FRAGMENT;
  } else if (p.malformed) {
    refused = RELAY_REFUSED_MALFORMED;
  }
  if (refused != ADMITTED) {
    count_refused(m.port, m.rule, refused, 1, frame);
    if (m.rule != RELAY_NONE) trace_refused(settings, &p, m.rule, refused);
    return XDP_PASS;
  }
  count_matched(&m, 1, frame, p.length, now);
  return send_frame(ctx, &p, &m, settings, 1);
pass:
  count_passed(ifindex, RELAY_XDP, 1, frame);
  return XDP_PASS;
}

/// No bulk is larger: all these are of one of which nothing was heard (relay_settle.h).
static __always_inline void settle_unheard(struct relay_scratch* s) {
  for (int i = 0; i < RELAY_BULK; i++) count_sent(s->frames[i].slot, 1, s->frames[i].bytes);
  s->bulk = 0;
}

/// Runs at the device, for each frame of a bulk, just before relay_flushed: remembers whose it is, and takes the mark
/// off, for it would travel on.
SEC("xdp.frags/devmap")
int relay_device(struct xdp_md* ctx) {
  struct relay_meta* meta = (void*)(long)ctx->data_meta;
  if ((void*)(meta + 1) > (void*)(long)ctx->data) return XDP_PASS;
  const struct relay_meta mark = *meta;
  struct relay_scratch* s = scratch_here();
  if (!observed) {
    count_sent(mark.slot, 1, mark.bytes);
  } else if (s) {
    if (s->bulk >= RELAY_BULK) settle_unheard(s);
    if (s->bulk < RELAY_BULK) {
      s->frames[s->bulk] = mark;
      s->bulk++;
    }
  }
  bpf_xdp_adjust_meta(ctx, sizeof mark);
  return XDP_PASS;
}
