// The hop tunnel of docs/semantics.md: an IP packet in UDP, behind 32 bytes that number it, date it and prove who sent
// it. Enters: fields. Leaves: their bytes, and the tag. The inner packet travels as it came, its TTL too: one tunnel is
// one link. An output's TTL, DSCP, source, destination and MTU are those of the outer packet; without them 64, and the
// inner DSCP. The outer UDP checksum is 0 (RFC 6935 allows it for tunnels over IPv6): the inner one goes with its
// packet, and is complete.
#pragma once
#include "both.h"
#include "siphash.h"

#define HOP_VERSION 1
#define HOP_PORT 6087
/// A packet that came through so many tunnels is refused: the first sender writes 1, each next one more than came.
#define HOP_LIMIT 16
#define HOP_OUTER_TTL 64
/// Streams of senders in user space begin here; below are CPUs of the kernel's engines: two numberings never share a
/// stream.
#define HOP_STREAM_PROCESS 0x8000

/// Big-endian on the wire.
struct hop_header {
  __u8 version;
  __u8 hops;
  __be16 stream;  ///< who numbers: the sending CPU, or HOP_STREAM_PROCESS and up
  __be32 path;
  __be32 epoch;
  __be32 sequence;   ///< of path, stream and epoch; the first is any
  __be64 origin_ns;  ///< the wall clock, ns since 1970
  __be64 tag;
};
#define HOP_HEADER_BYTES 32
#define HOP_OVERHEAD_IPV4 (20 + 8 + HOP_HEADER_BYTES)
#define HOP_OVERHEAD_IPV6 (40 + 8 + HOP_HEADER_BYTES)

/// Swaps both ways.
RELAY_INLINE __u16 hop_16(__u16 value) { return __builtin_bswap16(value); }
RELAY_INLINE __u32 hop_32(__u32 value) { return __builtin_bswap32(value); }
RELAY_INLINE __u64 hop_64(__u64 value) { return __builtin_bswap64(value); }

/// `header`: its first 24 bytes. `addresses`: the inner packet's source and destination as they lie in its header, one
/// word of IPv4, four of IPv6.
RELAY_INLINE __u64 hop_tag(const __u64 key[2], const __u64 header[3], const __u64* addresses, int ipv6) {
  struct siphash s;
  siphash_begin(&s, key[0], key[1]);
  siphash_word(&s, header[0]);
  siphash_word(&s, header[1]);
  siphash_word(&s, header[2]);
  siphash_word(&s, addresses[0]);
  if (!ipv6) return siphash_end(&s, 32);
  siphash_word(&s, addresses[1]);
  siphash_word(&s, addresses[2]);
  siphash_word(&s, addresses[3]);
  return siphash_end(&s, 56);
}

/// Of the outer UDP header, in the machine's order: one for each path and stream, so that whoever spreads flows keeps
/// each stream's order.
RELAY_INLINE __u16 hop_source_port(__u32 path, __u16 stream) {
  __u32 h = (path ^ (__u32)stream << 16) * 0x9E3779B1u;
  return (__u16)(49152 + (h >> 18));
}

#ifdef __cplusplus
static_assert(sizeof(hop_header) == HOP_HEADER_BYTES);
#else
_Static_assert(sizeof(struct hop_header) == HOP_HEADER_BYTES, "on the wire");
#endif
