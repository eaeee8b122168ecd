// Sends made frames on an interface as fast as one core can, or paced, and says exactly what it sent and what it left
// out.
//   wire_sender INTERFACE --packets N | --seconds S  [--flows N] [--kind macsec|esp|tcp|mixed] [--size BYTES] [--loss
//   RATE]
//   [--lose-every N] [--pps N] [--seed N] [--cpu N] [--taps 1] [--first N]
// Every flow's numbers rise by one from 1 (or --first); a share of them is skipped (--loss), or each N-th of every flow
// (--lose-every). At the end one line of JSON: sent, bytes, skipped (numbers left out between sent ones), gaps (runs of
// them), flows. An interrupt ends the sending like --seconds does.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr unsigned kBatch = 64;
constexpr unsigned kHeaders = 64;  ///< enough for the longest made header

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

struct Random {
  uint64_t state;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

enum class Kind : uint8_t { kMacsec, kEsp, kTcp, kUdp };

struct Flow {
  Kind kind;
  uint32_t next = 1;
  uint64_t skipped = 0, gaps = 0;  ///< confirmed by a later number
  uint64_t run = 0;                ///< skipped since the last one sent
};

void put16(uint8_t* at, uint16_t v) {
  v = htons(v);
  std::memcpy(at, &v, 2);
}
void put32(uint8_t* at, uint32_t v) {
  v = htonl(v);
  std::memcpy(at, &v, 4);
}

void ipv4(uint8_t* f, uint32_t flow, uint8_t protocol, uint16_t length) {
  put16(f + 12, ETH_P_IP);
  uint8_t* ip = f + 14;
  ip[0] = 0x45;
  put16(ip + 2, length);
  ip[8] = 64;
  ip[9] = protocol;
  put32(ip + 12, 0x0A000001);
  put32(ip + 16, 0x0A400000 + flow);
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += static_cast<uint32_t>(ip[i] << 8 | ip[i + 1]);
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  put16(ip + 10, static_cast<uint16_t>(~sum));
}

void fill(uint8_t* f, Kind kind, uint32_t flow, uint32_t number, uint16_t size) {
  std::memset(f, 0, kHeaders);
  const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  std::memcpy(f, macs, 12);
  const auto length = static_cast<uint16_t>(size - 14);
  switch (kind) {
    case Kind::kMacsec:
      put16(f + 12, 0x88E5);
      f[14] = 0x2C;
      put32(f + 16, number);
      put32(f + 20, 0x02000000 | flow >> 16);
      put32(f + 24, flow << 16 | 1);
      break;
    case Kind::kEsp:
      ipv4(f, flow, 50, length);
      put32(f + 34, 0x10000 + flow);
      put32(f + 38, number);
      break;
    case Kind::kTcp:
      ipv4(f, flow, 6, length);
      put16(f + 34, 40000);
      put16(f + 36, 443);
      put32(f + 38, number * 1000);
      f[46] = 0x50;
      f[47] = 0x10;
      break;
    case Kind::kUdp:
      ipv4(f, flow, 17, length);
      put16(f + 34, 40000);
      put16(f + 36, 5000);
      put16(f + 38, static_cast<uint16_t>(length - 20));
      break;
  }
}

volatile sig_atomic_t interrupted = 0;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(
        stderr,
        "usage: wire_sender INTERFACE --packets N|--seconds S [--flows N] [--kind macsec|esp|tcp|mixed] [--size "
        "B] [--loss R] [--lose-every N] [--pps N] [--seed N] [--cpu N]\n");
    return 2;
  }
  double seconds = 0, loss = 0, pps = 0;
  uint32_t lose_every = 0;
  bool taps = false;  ///< through the queueing layer, so that captures on this end see the frames too
  uint64_t packets = ~0ull, seed = 1;
  uint32_t flows = 1000;
  uint16_t size = 1442;
  uint32_t first = 1;
  std::string_view kind = "macsec";
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--seconds") seconds = std::atof(value);
    if (name == "--packets") packets = std::strtoull(value, nullptr, 10);
    if (name == "--flows") flows = static_cast<uint32_t>(std::atol(value));
    if (name == "--kind") kind = value;
    if (name == "--size") size = static_cast<uint16_t>(std::atoi(value));
    if (name == "--loss") loss = std::atof(value);
    if (name == "--lose-every") lose_every = static_cast<uint32_t>(std::atol(value));
    if (name == "--pps") pps = std::atof(value);
    if (name == "--seed") seed = std::strtoull(value, nullptr, 10);
    if (name == "--first") first = static_cast<uint32_t>(std::atol(value));
    if (name == "--taps") taps = std::atoi(value) != 0;
    if (name == "--cpu") {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(std::atoi(value), &set);
      sched_setaffinity(0, sizeof set, &set);
    }
  }
  if (packets == ~0ull && seconds == 0) return std::fprintf(stderr, "wire_sender: --packets or --seconds\n"), 2;

  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) fail("socket");
  const int on = taps ? 0 : 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  if (to.sll_ifindex == 0) fail(argv[1]);
  if (bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to)) fail("bind");

  std::vector<Flow> all(flows);
  for (uint32_t i = 0; i < flows; i++) {
    all[i].next = first;
    all[i].kind = kind == "esp"     ? Kind::kEsp
                  : kind == "tcp"   ? Kind::kTcp
                  : kind == "mixed" ? static_cast<Kind>(i % 4)
                                    : Kind::kMacsec;
  }
  Random random{seed * 0x9E3779B97F4A7C15ull + 1};
  const auto unlucky = static_cast<uint64_t>(loss * 4294967296.0);

  std::vector<uint8_t> payload(size, 0xA5);
  std::vector<uint8_t> headers(kBatch * kHeaders);
  std::vector<iovec> parts(kBatch * 2);
  std::vector<mmsghdr> messages(kBatch);
  for (unsigned i = 0; i < kBatch; i++) {
    parts[i * 2] = {&headers[i * kHeaders], std::min<size_t>(kHeaders, size)};
    parts[i * 2 + 1] = {payload.data(), size > kHeaders ? size - kHeaders : 0u};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &parts[i * 2];
    messages[i].msg_hdr.msg_iovlen = 2;
  }

  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  uint64_t sent = 0;
  const int64_t from = now_ns();
  const int64_t until = seconds > 0 ? from + static_cast<int64_t>(seconds * 1e9) : INT64_MAX;
  int64_t now = from;
  for (uint32_t turn = 0; sent < packets && now < until && !interrupted; now = now_ns()) {
    const auto wanted = static_cast<unsigned>(std::min<uint64_t>(kBatch, packets - sent));
    for (unsigned i = 0; i < wanted; i++, turn = turn + 1 == flows ? 0 : turn + 1) {
      Flow& flow = all[turn];
      const bool numbered = flow.kind <= Kind::kEsp;
      while (numbered && flow.next > first &&
             ((lose_every > 0 && flow.next % lose_every == 0) || (random.next() >> 32) < unlucky)) {
        flow.next++;
        flow.run++;
      }
      if (flow.run > 0) {
        flow.skipped += flow.run;
        flow.gaps++;
        flow.run = 0;
      }
      fill(&headers[i * kHeaders], flow.kind, turn, flow.next++, size);
    }
    for (unsigned done = 0; done < wanted;) {
      const int n = sendmmsg(fd, &messages[done], wanted - done, 0);
      if (n < 0) {
        if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) continue;
        fail("sendmmsg");
      }
      done += static_cast<unsigned>(n);
    }
    sent += wanted;
    if (pps > 0) {
      const int64_t due = from + static_cast<int64_t>(static_cast<double>(sent) * 1e9 / pps);
      while (now_ns() < due) {
        const timespec nap{0, 50'000};
        if (due - now_ns() > 100'000) nanosleep(&nap, nullptr);
      }
    }
  }
  const double took = static_cast<double>(now_ns() - from) / 1e9;
  uint64_t skipped = 0, gaps = 0;
  for (const Flow& flow : all) {
    skipped += flow.skipped;
    gaps += flow.gaps;
  }
  std::printf(
      "{\"sent\":%llu,\"bytes\":%llu,\"skipped\":%llu,\"gaps\":%llu,\"flows\":%u,\"seconds\":%.6f,\"pps\":%.0f}\n",
      static_cast<unsigned long long>(sent), static_cast<unsigned long long>(sent * size),
      static_cast<unsigned long long>(skipped), static_cast<unsigned long long>(gaps), flows, took,
      static_cast<double>(sent) / took);
  close(fd);
  return 0;
}
