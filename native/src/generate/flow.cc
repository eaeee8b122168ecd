#include "generate/flow.h"

#include <cstring>

#include "generate/bytes.h"
#include "generate/random.h"

namespace tapline::generation {

namespace {

constexpr uint8_t kEndStation = 0x40;
constexpr uint8_t kExplicitSci = 0x20;
constexpr uint8_t kBroadcastSci = 0x10;
constexpr uint8_t kEncrypted = 0x0C;  // E and C
constexpr uint8_t kIcv = 16;

uint32_t sum_words(const uint8_t* at, uint32_t length) noexcept {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < length; i += 2) sum += get16(at + i);
  return sum;
}

/// An end's address: its index among the machines on its side shows in the low bits, so that no two flows share a
/// source.
void put_mac(uint8_t* at, unsigned side, uint32_t machine) noexcept {
  put16(at, 0x0200 | side << 4);  // locally administered
  put32(at + 2, machine);
}
void put_address(uint8_t* at, bool ipv6, unsigned side, uint32_t machine) noexcept {
  if (!ipv6) {
    put32(at, side == 0 ? 0x0A000000u | machine : 0xAC100000u | (machine & 0xFFFFF));  // 10/8 and 172.16/12
    return;
  }
  put32(at, 0x20010DB8u);  // the prefix of examples
  put32(at + 4, side);
  put32(at + 8, 0);
  put32(at + 12, machine);
}

/// Ethernet addresses and tags; returns where the EtherType stands.
uint8_t put_link(const GenerateOptions& options, Flow& flow, uint64_t draw, uint32_t near, uint32_t far,
                 bool back) noexcept {
  put_mac(flow.header, back ? 0 : 1, back ? near : far);
  put_mac(flow.header + 6, back ? 1 : 0, back ? far : near);
  flow.tags = options.vlan ? static_cast<uint8_t>(draw % 3) : 0;
  uint8_t at = 12;
  for (uint8_t tag = 0; tag < flow.tags; ++tag, at += 4) {
    put16(flow.header + at, tag + 1 < flow.tags ? 0x88A8 : 0x8100);
    const uint32_t id = 1 + static_cast<uint32_t>(draw >> (8 + 12 * tag)) % 4094;
    put16(flow.header + at + 2, static_cast<uint32_t>(draw >> (40 + 3 * tag) & 7) << 13 | id);
  }
  return at;
}

void make_macsec(uint64_t turn, uint64_t draw, Flow& flow, uint8_t at) noexcept {
  put16(flow.header + at, 0x88E5);
  flow.network = static_cast<uint8_t>(at + 2);
  const unsigned shape = turn % 8;
  uint8_t control = kExplicitSci;
  if (shape == 3) control = kEndStation;
  if (shape == 6) control = turn & 8 ? kBroadcastSci : kBroadcastSci | kEndStation;
  // Some associations only protect integrity; their user data is of the EtherType for local experiments.
  if (shape != 5) control |= kEncrypted;
  flow.header[flow.network] = control;
  flow.association_number = draw >> 32 & 3;
  flow.header_length = static_cast<uint8_t>(flow.network + 6);
  if (control & kExplicitSci) {
    std::memcpy(flow.header + flow.header_length, flow.header + 6, 6);
    put16(flow.header + flow.header_length + 6, 1 + (draw >> 34 & 3));
    flow.header_length = static_cast<uint8_t>(flow.header_length + 8);
  }
  flow.min_frame = static_cast<uint8_t>(flow.header_length + 2 + kIcv);
}

void make_ip(uint64_t round, uint64_t draw, Flow& flow, uint8_t at, uint32_t near, uint32_t far, bool back) noexcept {
  put16(flow.header + at, flow.ipv6 ? 0x86DD : 0x0800);
  flow.network = static_cast<uint8_t>(at + 2);
  uint8_t* ip = flow.header + flow.network;
  const uint8_t protocol = flow.kind == Kind::kEsp   ? 50
                           : flow.kind == Kind::kAh  ? 51
                           : flow.kind == Kind::kTcp ? 6
                                                     : 17;
  const uint32_t size = flow.ipv6 ? 16 : 4;
  uint8_t* addresses = ip + (flow.ipv6 ? 8 : 12);
  if (flow.ipv6) {
    put32(ip, 0x60000000u | static_cast<uint32_t>(draw >> 44));  // version and flow label
    ip[6] = protocol;
    ip[7] = 64;
  } else {
    ip[0] = 0x45;
    put16(ip + 6, 0x4000);  // don't fragment
    ip[8] = 64;
    ip[9] = protocol;
  }
  put_address(addresses + (back ? size : 0), flow.ipv6, 0, near);
  put_address(addresses + (back ? 0 : size), flow.ipv6, 1, far);
  if (!flow.ipv6) flow.header_sum = sum_words(ip, 20);
  const uint8_t checked = flow.kind == Kind::kTcp ? 6 : 17;
  flow.pseudo_sum = sum_words(addresses, 2 * size) + checked;

  uint8_t* transport = ip + (flow.ipv6 ? 40 : 20);
  flow.header_length = static_cast<uint8_t>(transport - flow.header);
  // Ports that no dissector claims; both directions of a pair draw the same two.
  const auto near_port = static_cast<uint32_t>(50000 + (draw >> 16) % 4300);
  const auto far_port = static_cast<uint32_t>(38000 + (draw >> 30) % 3000);
  switch (flow.kind) {
    case Kind::kEsp:
      flow.header_length = static_cast<uint8_t>(flow.header_length + 8);
      break;
    case Kind::kNatTEsp:
      put16(transport, round & 1 ? 4500 : near_port);
      put16(transport + 2, 4500);
      flow.header_length = static_cast<uint8_t>(flow.header_length + 16);
      break;
    case Kind::kAh:
      transport[0] = 17;  // what follows: UDP
      transport[1] = 4;   // 24 bytes, in words, less two
      put16(transport + 24, near_port);
      put16(transport + 26, far_port);
      flow.header_length = static_cast<uint8_t>(flow.header_length + 32);
      break;
    case Kind::kTcp:
      put16(transport, back ? far_port : near_port);
      put16(transport + 2, back ? near_port : far_port);
      put16(transport + 12, 0x5018);  // 20 bytes; PSH, ACK
      put16(transport + 14, 64000);
      flow.header_length = static_cast<uint8_t>(flow.header_length + 20);
      break;
    default:
      put16(transport, back ? far_port : near_port);
      put16(transport + 2, back ? near_port : far_port);
      flow.header_length = static_cast<uint8_t>(flow.header_length + 8);
  }
  const bool esp = flow.kind == Kind::kEsp || flow.kind == Kind::kNatTEsp;
  flow.min_frame = static_cast<uint8_t>(flow.header_length + (esp ? 8 + 4 + kIcv : 1));  // IV, one padded word, ICV
}

}  // namespace

Kind kind_of(TrafficKind traffic, uint64_t index) noexcept {
  using enum Kind;
  static constexpr Kind kIpsecKinds[8] = {kEsp, kAh, kNatTEsp, kEsp, kEsp, kEsp, kNatTEsp, kEsp};
  static constexpr Kind kMixedKinds[8] = {kMacsec, kEsp, kTcp, kUdp, kAh, kNatTEsp, kMacsec, kEsp};
  switch (traffic) {
    case TrafficKind::kMacsec:
      return kMacsec;
    case TrafficKind::kTcp:
      return kTcp;
    case TrafficKind::kIpsec:
      return kIpsecKinds[index % 8];
    case TrafficKind::kMixed:
      break;
  }
  return kMixedKinds[index / 2 % 8];
}

void make_flow(const GenerateOptions& options, uint64_t index, Flow& flow) noexcept {
  flow = Flow{};
  flow.association = kNone;
  flow.delayed = kNone;
  flow.kind = kind_of(options.protocol, index);
  const bool paired = flow.kind == Kind::kTcp || flow.kind == Kind::kUdp;
  const uint64_t first = paired ? index & ~1ull : index;  // what both directions share is drawn for the first
  const bool back = paired && (index & 1);
  const uint64_t draw = mix(mix(options.seed + 1) + first);
  const uint32_t near = scatter(static_cast<uint32_t>(first), 24, options.seed);
  const auto far = static_cast<uint32_t>(draw >> 40) & 0xFFFFF;
  const bool by_index = options.protocol == TrafficKind::kMacsec || options.protocol == TrafficKind::kIpsec;
  const uint64_t turn = by_index ? index : index / 2;  // kinds repeat every 8 turns
  const uint64_t round = turn / 8;
  // Two thirds, for each kind.
  flow.ipv6 = options.ipv6 && flow.kind != Kind::kMacsec && (turn % 8 + round) % 3 != 0;
  const uint8_t at = put_link(options, flow, mix(draw), near, far, back);
  if (flow.kind == Kind::kMacsec) {
    make_macsec(by_index ? index : round * 4 + turn % 8 / 6 * 2 + index % 2, draw, flow, at);
  } else {
    make_ip(round, draw, flow, at, near, far, back);
  }
  if (flow.min_frame < 60) flow.min_frame = 60;
  flow.tcp_next = static_cast<uint32_t>(mix(draw + index + 7));
}

uint64_t sci_of(const Flow& flow) noexcept {
  const uint8_t control = flow.header[flow.network];
  const uint8_t* at = control & kExplicitSci ? flow.header + flow.network + 6 : flow.header + 6;
  uint64_t sci = 0;
  for (unsigned i = 0; i < 6; ++i) sci = sci << 8 | at[i];
  if (control & kExplicitSci) return sci << 16 | get16(at + 6);
  return sci << 16 | (control & kBroadcastSci ? 0 : 1);
}

uint32_t port_of(const Flow& flow, unsigned which) noexcept {
  return get16(flow.header + flow.network + (flow.ipv6 ? 40 : 20) + 2 * which);
}

}  // namespace tapline::generation
