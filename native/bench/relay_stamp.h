// What the relay's proof rig writes at the beginning of every payload, and looks for at the other end. In C, because
// the sink in the kernel (relay_sink.bpf.c) reads it too. Host byte order: both ends are one machine, and so is the
// clock.
#pragma once
#include <linux/types.h>

#define RELAY_STAMP_MAGIC 0x544c5253u

struct relay_stamp {
  __u32 magic;
  __u32 stream;    ///< which sender: each has numbers of its own
  __u64 sequence;  ///< from 0
  __u64 sent_ns;   ///< CLOCK_MONOTONIC
  __u32 length;    ///< of the payload, this stamp included
  __u32 check;     ///< of the fields above: a damaged stamp is no packet of ours
  __u64 body;      ///< hash of what follows the stamp
};

static inline __u32 relay_stamp_check(const struct relay_stamp* s) {
  const __u64 mixed = (s->sequence * 0x9e3779b97f4a7c15ull) ^ (s->sent_ns * 0xc2b2ae3d27d4eb4full) ^
                      (((__u64)s->stream << 32 | s->length) * 0x165667b19e3779f9ull) ^
                      (s->body * 0xd6e8feb86659fd93ull);
  return (__u32)(mixed >> 32) ^ (__u32)mixed;
}

/// What a sink in the kernel is told, and what it tells (relay_sink.cc).
enum { RELAY_LANES = 32, RELAY_LATENCY_STEPS = 32, RELAY_LATENCY_CELLS = 40 * RELAY_LATENCY_STEPS };

/// Packets that belong together: one sender's, to a run of consecutive destinations. Their numbers are checked as one
/// series.
struct relay_lane {
  __u32 destination[4];  ///< host byte order; IPv4 in the last word, the others 0
  __u32 count;           ///< destinations, the last word rising
  __u32 stream;
  __u16 port;  ///< 0: any, and ESP
  __u16 family;
};

struct relay_counts {
  __u64 received, bytes;
  __u64 unique, duplicate;
  __u64 beyond;             ///< a number past the last one that is kept track of
  __u64 ahead;              ///< numbers jumped over, those that came later included
  __u64 behind;             ///< came after a higher one
  __u64 wrong_length;       ///< not as long as its stamp says
  __u64 varied;             ///< source address, TTL, DSCP, source port or VLAN unlike the first packet's
  __u64 first_ns, last_ns;  ///< last: of each 64th packet, and all of the first 64
};

/// Of a lane's first packet, and the highest number so far.
struct relay_first {
  __u64 highest;  ///< plus one
  __u32 source[4];
  __u16 source_port, vlan;
  __u8 ttl, dscp, taken, pad;
};

/// Of the interface, all lanes together.
struct relay_frames {
  __u64 frames;
  __u64 other;       ///< not of this rig: handed on
  __u64 unexpected;  ///< stamped, but no lane's
  __u64 damaged;     ///< a stamp whose check is wrong
};
