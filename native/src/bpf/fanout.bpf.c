// Which fanout member gets a frame: one flow stays on one thread, for every protocol that is followed.
// (PACKET_FANOUT_HASH puts all MACsec on one thread: it knows nothing behind that EtherType.)
// Enters: a frame, at its MAC header, whether it is coming in or going out. Leaves: a number; the kernel takes it modulo the members.
// VLAN tags and tunnels are passed over: both directions and all tags of a flow meet on one thread.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

/// Set at load time: who sends the packets must not choose the thread.
const volatile __u64 seed = 0;

#define MAX_TAGS 4
#define MAX_EXTENSIONS 6

static __always_inline __u32 spread(__u64 a, __u64 b) {
  __u64 h = (a ^ seed) * 0x9E3779B97F4A7C15ull;
  h ^= h >> 29;
  h = (h + b) * 0xBF58476D1CE4E5B9ull;
  h ^= h >> 32;
  h *= 0x94D049BB133111EBull;
  return h >> 33;
}

static __always_inline int load(struct __sk_buff *skb, __u32 at, void *to, __u32 length) {
  return bpf_skb_load_bytes_relative(skb, at, to, length, BPF_HDR_START_MAC);
}

static __always_inline __u32 macsec(struct __sk_buff *skb, __u32 at) {
  __u8 control;
  __u64 sci = 0;
  if (load(skb, at, &control, 1)) return 0;
  if (control & 0x20) {
    if (load(skb, at + 6, &sci, 8)) return 0;
  } else if (load(skb, 6, &sci, 6)) {
    return 0;
  }
  return spread(sci, 1);
}

/// Behind the addresses. `pair` is the same for both directions, `destination` is not.
static __always_inline __u32 transport(struct __sk_buff *skb, __u32 at, __u8 protocol, __u64 pair, __u64 destination) {
  __u32 word = 0;
  if (protocol == IPPROTO_ESP) return load(skb, at, &word, 4) ? 0 : spread(destination, word);
  if (protocol == IPPROTO_AH) return load(skb, at + 4, &word, 4) ? 0 : spread(destination, word);
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return spread(pair, protocol);
  __u16 ports[2];
  if (load(skb, at, ports, 4)) return spread(pair, protocol);
  if (protocol == IPPROTO_UDP && (ports[0] == bpf_htons(4500) || ports[1] == bpf_htons(4500))) {
    if (load(skb, at + 8, &word, 4) == 0 && word != 0) return spread(destination, word);
  }
  return spread(pair, (__u32)ports[0] + ports[1] + ((__u32)(ports[0] ^ ports[1]) << 16));
}

static __always_inline __u32 ipv4(struct __sk_buff *skb, __u32 at) {
  __u8 head[20];
  if (load(skb, at, head, sizeof head)) return 0;
  const __u32 source = *(__u32 *)(head + 12), destination = *(__u32 *)(head + 16);
  const __u64 pair = (__u64)(source ^ destination) << 32 | (__u32)(source + destination);
  // A later fragment has no header to follow: it goes by its addresses, and is counted as a fragment wherever it lands.
  if (*(__u16 *)(head + 6) & bpf_htons(0x1FFF)) return spread(pair, head[9]);
  return transport(skb, at + (head[0] & 0x0F) * 4, head[9], pair, destination);
}

static __always_inline __u32 ipv6(struct __sk_buff *skb, __u32 at) {
  __u8 head[40];
  if (load(skb, at, head, sizeof head)) return 0;
  const __u64 *source = (__u64 *)(head + 8), *destination = (__u64 *)(head + 24);
  const __u64 from = source[0] * 31 + source[1], to = destination[0] * 31 + destination[1];
  const __u64 pair = (from ^ to) + (from + to);
  __u8 next = head[6];
  at += 40;
  for (int i = 0; i < MAX_EXTENSIONS; i++) {
    __u8 extension[4];
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT) break;
    if (load(skb, at, extension, 4)) return spread(pair, next);
    if (next == IPPROTO_FRAGMENT && (*(__u16 *)(extension + 2) & bpf_htons(0xFFF8))) return spread(pair, extension[0]);
    at += next == IPPROTO_FRAGMENT ? 8 : (extension[1] + 1) * 8;
    next = extension[0];
  }
  return transport(skb, at, next, pair, to);
}

SEC("socket")
int fanout(struct __sk_buff *skb) {
  __u16 type;
  __u32 at = 14;
  if (load(skb, 12, &type, 2)) return 0;
  for (int i = 0; i < MAX_TAGS; i++) {
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD) && type != bpf_htons(0x9100)) break;
    if (load(skb, at + 2, &type, 2)) return 0;
    at += 4;
  }
  if (type == bpf_htons(ETH_P_MACSEC)) return macsec(skb, at);
  if (type == bpf_htons(ETH_P_IP)) return ipv4(skb, at);
  if (type == bpf_htons(ETH_P_IPV6)) return ipv6(skb, at);
  return 0;
}
