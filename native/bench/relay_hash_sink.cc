// Reads every byte of a relayed stream at its end: hash of the payload, checksums, lengths, numbers. For rates that
// allow it.
//   relay_hash_sink INTERFACE --lane STREAM,ADDRESS[+COUNT],PORT ... [--numbers N] [--ring MiB] [--cpu N]
// Enters: frames of the interface by a packet ring; commands on stdin as relay_sink.cc has them. Leaves: the same JSON,
// with `corrupt`, `bad_checksum` and the ring's own drops.
#include <linux/if_ether.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <string_view>

#include "capture/ring.h"
#include "relay_body.h"
#include "relay_lanes.h"

namespace {

using namespace tapline;
using namespace tapline::rig;

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
uint16_t get16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }
uint32_t get32(const uint8_t* at) { return uint32_t{get16(at)} << 16 | get16(at + 2); }

class Reader {
 public:
  Reader(std::vector<relay_lane> lanes, uint64_t numbers) : numbers_(numbers) {
    for (const relay_lane& lane : lanes) {
      Kept& kept = lanes_.emplace_back();
      kept.bits.resize(numbers / 64);
      kept.found.lane = lane;
      kept.found.latency.resize(RELAY_LATENCY_CELLS);
    }
    reset();
  }

  void reset() {
    frames_ = other_ = unexpected_ = damaged_ = 0;
    for (Kept& kept : lanes_) {
      std::fill(kept.bits.begin(), kept.bits.end(), 0);
      LaneFound fresh{.lane = kept.found.lane};
      fresh.bits = kept.bits.data();
      fresh.latency.resize(RELAY_LATENCY_CELLS);
      kept.found = std::move(fresh);
    }
  }

  void take(const RingFrame& frame) {
    frames_++;
    const uint8_t* bytes = frame.bytes;
    const uint8_t* end = bytes + frame.captured;
    uint16_t vlan = frame.tagged ? frame.tag & 0xfff : 0;
    const uint8_t* at = bytes + 14;
    if (end - bytes < 14 + 20 + 8) return void(other_++);
    uint16_t type = get16(bytes + 12);
    if (type == ETH_P_8021Q) {
      vlan = get16(at) & 0xfff;
      type = get16(at + 2);
      at += 4;
    }
    const uint8_t* ip = at;
    relay_first h{};
    uint32_t destination[4]{};
    unsigned family = 4;
    size_t length = 0;
    uint8_t protocol = 0;
    bool good = true;
    uint32_t pseudo = 0;
    if (type == ETH_P_IP && ip[0] == 0x45 && (get16(ip + 6) & 0x3fff) == 0) {
      length = get16(ip + 2) - 20u;
      protocol = ip[9];
      h.ttl = ip[8];
      h.dscp = ip[1] >> 2;
      h.source[3] = get32(ip + 12);
      destination[3] = get32(ip + 16);
      good = ones_sum(ip, 20, 0) == 0xffff;
      pseudo = ones_sum(ip + 12, 8, 0);
      at = ip + 20;
    } else if (type == ETH_P_IPV6 && end - ip >= 48) {
      family = 6;
      length = get16(ip + 4);
      protocol = ip[6];
      h.ttl = ip[7];
      h.dscp = static_cast<uint8_t>(get32(ip) >> 22 & 0x3f);
      for (int i = 0; i < 4; i++) {
        h.source[i] = get32(ip + 8 + 4 * i);
        destination[i] = get32(ip + 24 + 4 * i);
      }
      pseudo = ones_sum(ip + 8, 32, 0);
      at = ip + 40;
    } else {
      return void(other_++);
    }
    uint16_t port = 0;
    if (protocol == 17) {
      h.source_port = get16(at);
      port = get16(at + 2);
      // A partial checksum is the device's to complete; of IPv4, 0 is none.
      const bool none = get16(at + 6) == 0;
      if (frame.partial_checksum || (none && family == 4)) {
      } else if (none || get16(at + 4) != length || static_cast<size_t>(end - at) < length ||
                 ones_sum(at, length, pseudo + 17 + static_cast<uint32_t>(length)) != 0xffff) {
        good = false;
      }
    } else if (protocol != 50) {
      return void(other_++);
    }
    h.vlan = vlan;
    h.taken = 1;
    at += 8;
    relay_stamp stamp{};
    if (static_cast<size_t>(end - at) < sizeof stamp) return void(other_++);
    std::memcpy(&stamp, at, sizeof stamp);
    if (stamp.magic != RELAY_STAMP_MAGIC) return void(other_++);
    if (relay_stamp_check(&stamp) != stamp.check) return void(damaged_++);
    for (Kept& kept : lanes_) {
      const relay_lane& lane = kept.found.lane;
      if (lane.stream != stamp.stream || lane.family != family || (lane.port && lane.port != port)) continue;
      if (destination[3] - lane.destination[3] >= lane.count || std::memcmp(destination, lane.destination, 12) != 0)
        continue;
      return account(kept, h, stamp, at, static_cast<size_t>(end - at), length - 8, good, frame.wire_length);
    }
    unexpected_++;
  }

  void report(uint64_t expected, uint64_t ring_drops) const {
    std::printf("{\"frames\":%llu,\"other\":%llu,\"unexpected\":%llu,\"damaged\":%llu,\"ring_drops\":%llu,\"lanes\":[",
                static_cast<unsigned long long>(frames_), static_cast<unsigned long long>(other_),
                static_cast<unsigned long long>(unexpected_), static_cast<unsigned long long>(damaged_),
                static_cast<unsigned long long>(ring_drops));
    for (size_t i = 0; i < lanes_.size(); i++) {
      if (i > 0) std::printf(",");
      print_lane(lanes_[i].found, numbers_, expected);
    }
    std::printf("]}\n");
  }

 private:
  struct Kept {
    std::vector<uint64_t> bits;
    LaneFound found;
  };

  void account(Kept& kept, const relay_first& h, const relay_stamp& stamp, const uint8_t* payload, size_t there,
               size_t length, bool checksums, uint32_t wire) {
    LaneFound& found = kept.found;
    relay_counts& c = found.counts;
    const int64_t now = now_ns();
    if (c.received++ == 0) c.first_ns = static_cast<uint64_t>(now);
    c.last_ns = static_cast<uint64_t>(now);
    c.bytes += wire;
    if (!checksums) found.bad_checksum++;
    if (length != stamp.length || length > there) {
      c.wrong_length++;
    } else if (body_hash(payload + sizeof stamp, length - sizeof stamp) != stamp.body) {
      found.corrupt++;
    }
    if (now > static_cast<int64_t>(stamp.sent_ns))
      found.latency[latency_cell(static_cast<uint64_t>(now) - stamp.sent_ns)]++;
    const uint64_t number = stamp.sequence;
    if (number >= found.first.highest) {
      c.ahead += number - found.first.highest;
    } else {
      c.behind++;
    }
    const uint64_t highest = std::max<uint64_t>(found.first.highest, number + 1);
    if (!found.first.taken) {
      found.first = h;
    } else if (std::memcmp(found.first.source, h.source, sizeof h.source) != 0 || found.first.ttl != h.ttl ||
               found.first.dscp != h.dscp || found.first.source_port != h.source_port || found.first.vlan != h.vlan) {
      c.varied++;
    }
    found.first.highest = highest;
    if (number >= numbers_) return void(c.beyond++);
    uint64_t& word = kept.bits[number / 64];
    const uint64_t bit = 1ull << (number % 64);
    if (word & bit)
      c.duplicate++;
    else
      c.unique++;
    word |= bit;
  }

  uint64_t numbers_;
  uint64_t frames_ = 0, other_ = 0, unexpected_ = 0, damaged_ = 0;
  std::vector<Kept> lanes_;
};

void must(const CaptureStatus& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "relay_hash_sink: %s: %s\n", status.code, status.detail.c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<relay_lane> lanes;
  uint64_t numbers = 1 << 20, megabytes = 64;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--numbers") numbers = (std::strtoull(argv[i + 1], nullptr, 10) + 63) / 64 * 64;
    if (name == "--ring") megabytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--cpu") {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(std::atoi(argv[i + 1]), &set);
      sched_setaffinity(0, sizeof set, &set);
    }
    if (name != "--lane") continue;
    relay_lane lane;
    if (!lane_from(argv[i + 1], lane)) return std::fprintf(stderr, "relay_hash_sink: no lane: %s\n", argv[i + 1]), 2;
    lanes.push_back(lane);
  }
  const unsigned index = argc > 1 ? if_nametoindex(argv[1]) : 0;
  if (index == 0 || lanes.empty() || numbers == 0 || megabytes == 0) {
    std::fprintf(stderr,
                 "usage: relay_hash_sink INTERFACE --lane STREAM,ADDRESS[+COUNT],PORT ... [--numbers N] [--ring MiB] "
                 "[--cpu N]\n");
    return 2;
  }
  Ring ring;
  RingOptions options;
  options.blocks = static_cast<uint32_t>((megabytes << 20) / options.block_bytes);
  options.retire_ms = 2;
  must(ring.open(index, options));
  uint16_t group = 0;
  must(ring.join(group, false, false));
  must(ring.spread(-1));
  must(ring.start(nullptr));
  Reader reader(std::move(lanes), numbers);
  setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  std::printf("ready\n");
  std::fflush(stdout);
  const auto drain = [&] {
    while (ring.next([](bool) {}, [&](const RingFrame& frame) { reader.take(frame); }, [] {})) {
    }
  };
  uint64_t dropped_before = 0;
  for (pollfd waiting[2] = {{ring.fd(), POLLIN, 0}, {0, POLLIN, 0}};;) {
    if (poll(waiting, 2, 20) < 0) continue;
    drain();
    if ((waiting[1].revents & (POLLIN | POLLHUP)) == 0) continue;
    char line[64];
    const ssize_t length = read(0, line, sizeof line - 1);
    if (length <= 0) return 0;
    line[length] = 0;
    const std::string_view typed = line;
    if (typed.starts_with("end")) return 0;
    const uint64_t dropped = ring.counts().dropped;
    if (typed.starts_with("reset")) {
      dropped_before = dropped;
      reader.reset();
      std::printf("done\n");
    } else if (typed.starts_with("report")) {
      reader.report(std::strtoull(line + 6, nullptr, 10), dropped - dropped_before);
    }
    std::fflush(stdout);
  }
}
