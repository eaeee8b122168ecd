// What became of packets that were handed over. The kernel says it after the program has ended, on the same CPU and
// before the next packet: what that program left in `scratch` is whose packet it was. A handler that finds nothing
// there heard of somebody else's.
#pragma once
#include <bpf/bpf_tracing.h>
#include <linux/errno.h>

#include "generated/relay_reasons.h"
#include "relay_maps.h"

/// Of a negative errno, or of a positive code of a queue (NET_XMIT_DROP).
static __always_inline __u32 reason_of(int verdict) {
  switch (verdict) {
    case -ENOMEM:
      return RELAY_DROPPED_BUFFER;
    case -ENODEV:
    case -EINVAL:
    case -ENETDOWN:
    case -EOPNOTSUPP:
      return RELAY_DROPPED_INTERFACE;
    case -EMSGSIZE:
      return RELAY_DROPPED_MTU;
    default:
      return RELAY_DROPPED_DEVICE;
  }
}

/// NET_XMIT_CN: it is queued, and the queue asks for less.
#define CONGESTED 2
static __always_inline void settle(__u32 slot, int verdict, __u64 packets, __u64 bytes) {
  if (verdict == 0 || verdict == CONGESTED)
    count_sent(slot, packets, bytes);
  else
    count_dropped(slot, reason_of(verdict), packets);
}

/// A device took the first `sent` frames of a bulk. Frames before these are of a bulk of which nothing was heard (a
/// kernel may keep a process from being traced, and what an interrupt does on its back with it): they count as sent.
SEC("tp_btf/xdp_devmap_xmit")
int BPF_PROG(relay_flushed, const void* from, const void* to, int sent, int drops, int error) {
  struct relay_scratch* s = scratch_here();
  if (!s) return 0;
  const __u32 count = s->bulk;
  if (count == 0) return 0;
  s->bulk = 0;
  const int taken = (int)count - drops;
  for (int i = 0; i < RELAY_BULK && i < (int)count; i++) {
    const struct relay_meta frame = s->frames[i];
    if (i < taken)
      count_sent(frame.slot, 1, frame.bytes);
    else
      count_dropped(frame.slot, RELAY_DROPPED_DEVICE, 1);
  }
  return 0;
}

/// A frame did not reach a device's bulk.
SEC("tp_btf/xdp_redirect_err")
int BPF_PROG(relay_astray, const void* device, const void* program, const void* target, int error, int map_type,
             __u32 map, __u32 index) {
  struct relay_settings* settings = settings_now();
  struct relay_scratch* s = scratch_here();
  if (settings && s && settings->devices_id == map) count_dropped(s->xdp_slot, reason_of(error), 1);
  return 0;
}

/// The kernel's name for a packet, so that it is known again.
extern void* bpf_cast_to_kern_ctx(void* skb) __ksym;

/// What is still pending was queued: the queue took it. (Or nothing was heard of it: see relay_flushed.)
static __always_inline void settle_queued(struct relay_scratch* s) {
  if (s->tc.packet == 0) return;
  s->tc.packet = 0;
  count_sent(s->tc.slot, s->tc.packets, s->tc.bytes);
}

/// A driver was given a packet.
SEC("tp_btf/net_dev_xmit")
int BPF_PROG(relay_transmitted, const void* skb, int verdict) {
  struct relay_scratch* s = scratch_here();
  if (!s || s->tc.packet == 0 || s->tc.packet != (__u64)skb) return 0;
  s->tc.packet = 0;
  settle(s->tc.slot, verdict, s->tc.packets, s->tc.bytes);
  return 0;
}

/// A packet was dropped before a driver had it, or by one.
SEC("tp_btf/kfree_skb")
int BPF_PROG(relay_freed, const void* skb) {
  struct relay_scratch* s = scratch_here();
  if (!s || s->tc.packet == 0 || s->tc.packet != (__u64)skb) return 0;
  s->tc.packet = 0;
  count_dropped(s->tc.slot, RELAY_DROPPED_DEVICE, s->tc.packets);
  return 0;
}
