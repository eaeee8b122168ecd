// What the relay's steps in user space cost: which rule a packet is for, and room for what leaves. In the kernel the
// rule is found in a hash map of its own; what that costs with 10,000 rules is in `tapline bench relay`.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>

#include "binding/timed.h"
#include "relay/afpacket/device.h"
#include "relay/afpacket/packet.h"
#include "relay/afpacket/rule_index.h"

namespace tapline {

namespace {

using namespace relay;

constexpr size_t kPackets = 4096, kPacketBytes = 64, kRepeat = 50;

Rule rule_of(uint32_t i) {
  Rule rule;
  WireInput input;
  input.destination.bytes = {239, 2, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
  input.port = 5001;
  rule.input = input;
  return rule;
}

/// UDP to the groups of `rules` rules, in no order.
std::vector<uint8_t> packets_for(uint32_t rules) {
  std::vector<uint8_t> bytes(kPackets * kPacketBytes);
  std::minstd_rand random(1);
  for (size_t i = 0; i < kPackets; i++) {
    const uint32_t to = random() % rules;
    const uint8_t head[28] = {0x45,
                              0,
                              0,
                              kPacketBytes,
                              0,
                              0,
                              0,
                              0,
                              64,
                              17,
                              0,
                              0,
                              10,
                              0,
                              0,
                              1,
                              239,
                              2,
                              static_cast<uint8_t>(to >> 8),
                              static_cast<uint8_t>(to),
                              0x27,
                              0x10,
                              0x13,
                              0x89,
                              0,
                              kPacketBytes - 20};
    std::memcpy(&bytes[i * kPacketBytes], head, sizeof head);
  }
  return bytes;
}

}  // namespace

void relay_micro(Napi::Env env, unsigned rounds, const std::function<void(const Napi::Object&)>& add) {
  volatile uint64_t sink = 0;
  for (const uint32_t rules : {1u, 10'000u}) {
    RuleIndex index(std::random_device{}());
    for (uint32_t i = 0; i < rules; i++) index.add(rule_of(i), i);
    const std::vector<uint8_t> bytes = packets_for(rules);
    add(timed(
        env, rules == 1 ? "relay: parse and rule look-up, 1 rule" : "relay: parse and rule look-up, 10,000 rules",
        rounds, kPackets * kRepeat, [] {},
        [&] {
          uint64_t found = 0;
          for (size_t i = 0; i < kPackets * kRepeat; i++) {
            Packet packet;
            uint32_t number = 0;
            const uint8_t* at = &bytes[i % kPackets * kPacketBytes];
            if (parse(at, kPacketBytes, false, packet) == Packet::Form::Whole &&
                index.find(packet, 0, number) == RuleIndex::Match::Rule)
              found += number + 1;
          }
          if (found == 0) std::abort();  // nothing was measured
          sink = sink + found;
        }));
  }
  // A slot of an output's batch, taken, filled with 42 bytes of headers and given back by a flush that sends nothing:
  // the device is none. Each costs a count, too.
  Device device(INT32_MAX, 1 << 16);
  OutputCounts counts{};
  const uint8_t headers[42] = {};
  add(timed(
      env, "relay: buffer taken and given back", rounds, kPackets * kRepeat, [] {},
      [&] {
        for (size_t i = 0; i < kPackets * kRepeat; i++) {
          std::memcpy(device.header(), headers, sizeof headers);
          device.post(sizeof headers, headers, 0, counts, nullptr);
        }
        device.flush();
      }));
}

}  // namespace tapline
