// What lies in the maps of the relay's BPF programs, and what each map is for: one definition for src/bpf/relay.bpf.c
// and for C++. A change of any struct here is a new RELAY_LAYOUT: programs of one layout never read the maps of
// another.
//
//   inputs4, 6  relay_key4, 6 → relay_input  which rule takes a packet. Values never change in place
//   rules       slot → relay_run             a rule's outputs, in one word: a change is one store, between two packets
//   outputs     index → relay_output         runs of outputs. A run in use is never written to; it is freed a second
//   after its last use paths       path → relay_path            a tunnel that ends here windows     relay_stream →
//   relay_window  what arrived of a tunnel limits      rule slot → relay_limit      its token bucket and storm cut-off
//   settings    0 → relay_settings           written by the agent, read by programs
//   own         address → nothing            this node's own: a packet from one of them is a loop
//   port_slots  relay_port → slot            to count what passes
//   *_counts    slot → counters, per CPU     they keep their slots while rules change; the *_names maps say whose slot
//   it is sequences   path slot → u32, per CPU     the last number sent devices     ifindex → device             where
//   XDP may send to scratch     0 → relay_scratch, per CPU   what one program leaves for the next one traces      ring
//   of relay_trace
#pragma once
#include <linux/bpf.h>

#include "both.h"
#include "hop_window.h"

#define RELAY_LAYOUT 1
#define RELAY_MAX_OUTPUTS 64  ///< of a rule
#define RELAY_MAX_PEERS 8     ///< of a path
#define RELAY_MAX_PORTS 256
#define RELAY_MAX_DEVICES 256
#define RELAY_MAX_WINDOWS 16384
#define RELAY_NONE 0xffffffffu

/// Addresses are 16 bytes; those of IPv4 fill the first four.
union relay_address {
  __u8 bytes[16];
  __u32 words[4];
  __u64 halves[2];
};

enum relay_engine { RELAY_XDP, RELAY_TC };

/// No bytes between fields that nobody sets: the kernel compares all of them.
struct relay_key6 {
  __u32 ifindex;
  __u16 vlan;
  __be16 port;    ///< 0 with protocol UDP: the group's fragments, which have no port
  __u8 protocol;  ///< IPPROTO_UDP or IPPROTO_ESP
  __u8 engine;
  __u8 zero[6];
  union relay_address destination;
  union relay_address source;  ///< zero: any
};

/// The same for IPv4: it is hashed and compared for every packet, so it is short.
struct relay_key4 {
  __u32 ifindex;
  __u16 vlan;
  __be16 port;
  __u8 protocol;
  __u8 engine;
  __u8 zero[2];
  __be32 destination;
  __be32 source;
};

enum relay_input_flags {
  RELAY_SOURCES = 1,  ///< there are keys with a source, too; with rule RELAY_NONE only those
  RELAY_TUNNEL = 2,   ///< tunnel packets to this node: their path has the rule
};

struct relay_input {
  __u32 rule;  ///< slot, or RELAY_NONE
  __u16 port;  ///< slot of the interface's counters
  __u16 flags;
};

enum relay_rule_flags {
  RELAY_OWN_TTL = 1,  ///< an output sets a TTL, or is a tunnel: a packet whose own is used up can leave
  RELAY_LIMITED = 2,  ///< `limits` has its bucket
  RELAY_DELIVER = 4,  ///< the node's own subscribers get the packet, too
};

/// All zero: the rule is gone; its keys follow.
union relay_run {
  struct {
    __u32 first;  ///< index in `outputs`
    __u16 count;
    __u16 flags;
  };
  __u64 word;
};

enum relay_output_flags {
  RELAY_SET_TTL = 1,
  RELAY_SET_DSCP = 2,
  RELAY_SET_SOURCE = 4,
  RELAY_IPV6 = 8,      ///< of its addresses; they are of the packet's family unless it is a tunnel
  RELAY_WRAP = 16,     ///< a tunnel
  RELAY_UNREADY = 32,  ///< every packet is dropped, for `unready`
};

struct relay_output {
  __u32 slot;
  __u32 ifindex;
  __u16 flags;
  __u16 mtu;  ///< the largest IP packet
  __be16 port;
  __u8 ttl;
  __u8 dscp;  ///< 0 to 63
  __u8 destination_mac[6];
  __u8 source_mac[6];
  __u32 zero;
  union relay_address destination;
  union relay_address source;
  __u32 unready;  ///< enum relay_drop
  __u32 path;
  __u64 key[2];
  __u32 epoch;
  __u32 sequence;  ///< slot in `sequences`
};

struct relay_path {
  __u32 rule;
  __u32 peers;
  __u64 key[2];
  union relay_address peer[RELAY_MAX_PEERS];
};

struct relay_stream {
  __u32 path;
  __u32 stream;
  __u32 epoch;
};

struct relay_window {
  struct bpf_spin_lock lock;
  __u32 zero;
  struct hop_window window;
};

/// Credit is in packets × 10^9, so that ns × packets a second need no division.
struct relay_limit {
  struct bpf_spin_lock lock;
  __u32 zero;
  __u64 pps;  ///< 0: none
  __u64 burst;
  __u64 storm_pps;  ///< 0: none
  __u64 credit;
  __u64 refilled_ns;
  __u64 second_began_ns;
  __u64 in_second;
};

/// One 64-bit word each: programs may read them while they are written. Times are of the monotonic clock.
struct relay_settings {
  __u64 heartbeat_ns;
  __u64 orphan_after_ns;
  __u64 wall_ahead_ns;   ///< the wall clock less the monotonic one
  __u64 devices_id;      ///< of the map: whose redirect failed
  __u64 traced;          ///< slot of the rule + 1; 0: none
  __u64 own_filter[64];  ///< one bit of 4,096 for each own address: most packets need no look-up
};

RELAY_INLINE __u32 relay_own_bit(const union relay_address* address) {
  const __u32 mixed = address->words[0] ^ address->words[1] ^ address->words[2] ^ address->words[3];
  return (mixed * 0x9E3779B1u) >> 20;
}

struct relay_port {
  __u32 ifindex;
  __u32 engine;
};

/// Which name a slot belongs to: its SipHash under two keys. Zero: free.
struct relay_name {
  __u64 digest[2];
};

/// `refused` and `dropped` are indexed by relay_refusal and relay_drop of generated/relay_reasons.h.
#define RELAY_REFUSAL_ROOM 16
#define RELAY_DROP_ROOM 13

struct relay_port_counts {
  __u64 received;
  __u64 bytes;  ///< of frames
  __u64 passed;
  __u64 matched;
  __u64 refused[RELAY_REFUSAL_ROOM];
};

struct relay_rule_counts {
  __u64 matched;
  __u64 bytes;    ///< of IP packets
  __u64 last_ns;  ///< monotonic, to the tick
  __u64 zero;
  __u64 refused[RELAY_REFUSAL_ROOM];
};

struct relay_output_counts {
  __u64 wanted;
  __u64 sent;
  __u64 sent_bytes;  ///< of IP packets
  __u64 dropped[RELAY_DROP_ROOM];
};

/// XDP metadata of a frame on its way from the program that redirects it to the one at the device.
struct relay_meta {
  __u32 slot;
  __u32 bytes;
};

/// The kernel sends in bulks of 16; they are not known before the first frame of one.
#define RELAY_BULK 32

/// Given to tc's redirect, and not yet settled.
struct relay_pending {
  __u64 packet;  ///< the kernel's name for it; 0: nothing is pending
  __u32 slot;
  __u32 zero;
  __u64 packets;
  __u64 bytes;
};

struct relay_traced {
  __u32 slot;
  __u32 verdict;  ///< 0: handed to the device; else relay_drop + 1
};

struct relay_trace {
  __u64 at_ns;  ///< monotonic
  __u32 rule;
  __u32 length;   ///< of the IP packet
  __u16 refused;  ///< 0: no; else relay_refusal + 1
  __u16 outputs;
  __u8 ttl;
  __u8 family;
  __u16 zero;
  union relay_address source;
  struct relay_traced output[RELAY_MAX_OUTPUTS];
};

struct relay_scratch {
  __u32 bulk;      ///< frames in it
  __u32 xdp_slot;  ///< of the frame that was redirected last
  struct relay_meta frames[RELAY_BULK];
  struct relay_pending tc;
  struct relay_trace trace;
  __u64 no_window[sizeof(struct relay_window) / 8];  ///< stays zero
};

/// Written by the agent when it asks, with settings.traced; counts down.
struct relay_tracing {
  __s64 left;
};

#ifdef __cplusplus
static_assert(sizeof(relay_key6) == 48 && sizeof(relay_key4) == 20 && sizeof(relay_input) == 8 &&
              sizeof(relay_run) == 8);
static_assert(sizeof(relay_output) == 96 && sizeof(relay_stream) == 12 && sizeof(relay_port) == 8);
static_assert(sizeof(relay_rule_counts) == 160 && sizeof(relay_output_counts) == 128);
#endif
