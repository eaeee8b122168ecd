// Nanoseconds for each step of a packet's way, alone and with its data in the cache: what a step costs, not what a
// capture costs.
#include "binding/micro.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "binding/timed.h"
#include "decode/decode.h"
#include "flow/flow_table.h"

namespace tapline {

namespace {

constexpr size_t kFrames = 4096;
constexpr size_t kFrameBytes = 128;

struct NoGaps final : GapSink {
  void gap(const Gap&) noexcept override {}
};

/// Frames of `flows` flows, each with its next number, in MACsec with an explicit SCI or in ESP over IPv4.
std::vector<uint8_t> frames(bool esp, size_t flows) {
  std::vector<uint8_t> bytes(kFrames * kFrameBytes);
  for (size_t i = 0; i < kFrames; i++) {
    uint8_t* f = &bytes[i * kFrameBytes];
    const auto flow = static_cast<uint32_t>(i % flows);
    const auto number = static_cast<uint32_t>(i / flows + 1);
    const auto put32 = [&](size_t at, uint32_t value) {
      for (int b = 0; b < 4; b++) f[at + static_cast<size_t>(b)] = static_cast<uint8_t>(value >> (24 - 8 * b));
    };
    if (esp) {
      f[12] = 0x08;
      f[14] = 0x45;
      f[17] = kFrameBytes - 14;
      f[22] = 64;
      f[23] = 50;
      put32(26, 0x0A000001);
      put32(30, 0x0A010000 + flow);
      put32(34, 0x1000 + flow);
      put32(38, number);
    } else {
      f[12] = 0x88;
      f[13] = 0xE5;
      f[14] = 0x2C;  // SCI present, encrypted and changed
      put32(16, number);
      put32(20, 0x02000000);
      put32(24, flow << 16 | 1);
    }
  }
  return bytes;
}

}  // namespace

Napi::Value micro(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const unsigned rounds = std::max(1u, info[0].ToNumber().Uint32Value());
  const HashSeed seed = HashSeed::random();
  Napi::Array results = Napi::Array::New(env);
  const auto add = [&](const Napi::Object& result) { results.Set(results.Length(), result); };
  volatile uint64_t sink = 0;
  const auto nothing = [] {};

  constexpr size_t kRepeat = 50;
  for (const bool esp : {false, true}) {
    const std::vector<uint8_t> bytes = frames(esp, 1024);
    add(timed(env, esp ? "header parse, ESP over IPv4" : "header parse, MACsec", rounds, kFrames * kRepeat, nothing,
              [&] {
                Packet p;
                uint64_t sum = 0;
                for (size_t r = 0; r < kRepeat; r++) {
                  for (size_t i = 0; i < kFrames; i++) {
                    decode(&bytes[i * kFrameBytes], kFrameBytes, kFrameBytes, 1, seed, p);
                    sum += p.hash + p.number;
                  }
                }
                sink = sink + sum;
              }));
  }

  for (const size_t flows : {size_t{1024}, size_t{50'000}}) {
    // The same flows again and again, each with its next number: look-up, counters and the in-order check, in batches.
    std::vector<Packet> packets(flows);
    for (size_t i = 0; i < flows; i++) {
      uint8_t frame[kFrameBytes] = {};
      std::memcpy(frame, frames(false, 1).data(), 20);
      for (int b = 0; b < 4; b++) frame[20 + b] = static_cast<uint8_t>(i >> (24 - 8 * b));
      decode(frame, kFrameBytes, kFrameBytes, 1, seed, packets[i]);
      packets[i].addresses = kNoAddresses;
      packets[i].interface = 0;
      packets[i].ordinal = static_cast<uint32_t>(i);
      packets[i].time_ns = static_cast<int64_t>(i);
    }
    std::shuffle(packets.begin(), packets.end(), std::minstd_rand(1));
    Outbox outbox(1 << 10);
    FlowTable table({2'000'000'000, 60'000'000'000, 1u << 17}, outbox);
    std::vector<FlowTable::Tally> tally(1);
    uint32_t number = 0;
    const size_t passes = 200'000 / flows + 1;
    add(timed(env, flows == 1024 ? "flow look-up and count, 1,024 flows" : "flow look-up and count, 50,000 flows",
              rounds, passes * flows, nothing, [&] {
                for (size_t pass = 0; pass < passes; pass++) {
                  number++;
                  for (Packet& p : packets) p.number = number;
                  table.follow(packets, 0, 0, 1, tally);
                }
              }));
  }

  const auto window = [&](const char* name, const std::function<uint32_t(uint32_t)>& order) {
    constexpr uint32_t kNumbers = 200'000;
    std::vector<uint32_t> numbers;
    for (uint32_t i = 0; i < kNumbers; i++) {
      if (const uint32_t n = order(i)) numbers.push_back(n);
    }
    WindowMemory memory(1 << 15, 1);
    Window rule(2'000'000'000, memory);
    Sequence s;
    int64_t hi = 0;
    NoGaps none;
    add(timed(
        env, name, rounds, numbers.size(),
        [&] {
          Window::begin(s, 0, false);
          hi = 0;
        },
        [&] {
          int64_t now = 0;
          for (const uint32_t n : numbers) rule.arrive(s, hi, n, now += 1000, none);
          rule.finish(s, now, none);
        }));
  };
  window("window update, in order", [](uint32_t i) { return i + 1; });
  window("window update, every pair swapped", [](uint32_t i) { return (i ^ 1) + 1; });
  window("window update, 5 % lost", [](uint32_t i) { return i % 20 == 7 ? 0 : i + 1; });
  window("window update, shuffled by 8", [](uint32_t i) { return (i & ~7u) + ((i * 5) & 7) + 1; });
  relay_micro(env, rounds, add);
  return results;
}

}  // namespace tapline
