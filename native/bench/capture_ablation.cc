// What each step of the capture is worth: the same decoding and the same flow table behind five ways to get frames.
//   capture_ablation INTERFACE --mode recvmsg|recvmmsg|ring-copy|ring-single|ring-block [--cpu N] [--ring MiB]
//
//   recvmsg      one system call and one copy a frame
//   recvmmsg     one system call for up to 64 frames, one copy a frame
//   ring-copy    the kernel's ring, each frame copied out of it before it is looked at; a block at a time
//   ring-single  the ring, nothing copied, each frame decoded and followed by itself
//   ring-block   the ring, nothing copied, a block decoded and then followed: what the sensor does
//
// Enters: frames of the interface, until SIGINT. Leaves: one line of JSON. Time and processor time run from the first
// frame to the last: neither start-up nor the end's records are in them. One thread reads; another takes the records,
// so that nothing waits, and is not in the figures. VLAN tags that the kernel took off are not asked for by the two
// socket modes: their traffic must have none.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "capture/fanout.h"
#include "capture/ring.h"
#include "decode/decode.h"
#include "decode/tally.h"
#include "flow/flow_table.h"

namespace {

using namespace tapline;

constexpr unsigned kMessages = 64;
constexpr uint32_t kSlot = 2048;  ///< longest frame that the socket modes take whole
constexpr int kPollMs = 20;
constexpr int64_t kTickNs = 200'000'000;
constexpr unsigned kTicks = 5;
constexpr uint16_t kEthernet = 1;

volatile sig_atomic_t interrupted = 0;

int64_t now_of(clockid_t clock) noexcept {
  timespec t;
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}
void must(const CaptureStatus& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", status.code, status.detail.c_str());
  std::exit(1);
}

/// Decoding and following, as LiveCapture does them.
class Work {
 public:
  explicit Work(Outbox& outbox) : table_({2'000'000'000, 60'000'000'000, 1u << 20}, outbox) {
    if (!table_.allocated()) fail("flow table");
  }

  void add(const uint8_t* bytes, uint32_t captured, uint32_t wire, int64_t time) noexcept {
    if (batch_.empty()) floor_ = clock_;
    clock_ = std::max(clock_, time);
    Packet& packet = batch_.emplace_back();
    decode(bytes, captured, wire, kEthernet, seed_, packet);
    packet.time_ns = clock_;
    packet.interface = 0;
    packet.ordinal = static_cast<uint32_t>(counts_.delivered++ - first_);
    if (!counts_.judge(packet)) batch_.pop_back();
  }

  /// The frames added since the last call; their bytes may go afterwards.
  void follow() noexcept {
    table_.follow(batch_, floor_, 0, first_ + 1, followed_);
    batch_.clear();
    first_ = counts_.delivered;
  }

  /// What time brings, and the marks of the measurement; a few times a second.
  void tick() noexcept {
    if (counts_.delivered == 0) return;
    const int64_t wall = now_of(CLOCK_MONOTONIC);
    if (wall - ticked_ < kTickNs) return;
    ticked_ = wall;
    table_.tick(clock_, kTicks);
  }

  uint64_t frames() const noexcept { return counts_.delivered; }
  FlowTable& table() noexcept { return table_; }
  int64_t clock() const noexcept { return clock_; }

 private:
  FlowTable table_;
  HashSeed seed_ = HashSeed::random();
  Tally counts_;
  std::vector<Packet> batch_;
  std::vector<FlowTable::Tally> followed_{1};
  int64_t clock_ = 0, floor_ = 0, ticked_ = 0;
  uint64_t first_ = 0;
};

/// From the first frame to the last, in both clocks.
struct Span {
  int64_t wall_from = 0, wall_to = 0, cpu_from = 0, cpu_to = 0;
  void begin() noexcept {
    if (wall_from) return;
    wall_from = now_of(CLOCK_MONOTONIC);
    cpu_from = now_of(CLOCK_THREAD_CPUTIME_ID);
  }
  void end() noexcept {
    wall_to = now_of(CLOCK_MONOTONIC);
    cpu_to = now_of(CLOCK_THREAD_CPUTIME_ID);
  }
};

bool wait_for(int fd) noexcept {
  pollfd waiting{fd, POLLIN | POLLERR, 0};
  return poll(&waiting, 1, kPollMs) > 0;
}

/// `take(work)` handles what there is and says whether there was anything; the span ends when there is no more.
template <typename Take>
Span read_until_interrupted(int fd, Work& work, Take&& take) {
  Span span;
  while (!interrupted) {
    work.tick();
    const uint64_t before = work.frames();
    if (take(work)) {
      if (before == 0) span.begin();
      continue;
    }
    if (span.wall_from) span.end();  // the wait that follows costs nothing
    wait_for(fd);
  }
  if (span.wall_from && !span.wall_to) span.end();
  return span;
}

struct Counted {
  Span span;
  uint64_t seen = 0, dropped = 0;
};

class PacketSocket {
 public:
  PacketSocket(unsigned index, int megabytes) {
    fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
    if (fd_ < 0) fail("socket");
    const int size = megabytes << 20, on = 1;
    if (setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) fail("SO_RCVBUFFORCE");
    if (setsockopt(fd_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on)) fail("SO_TIMESTAMPNS");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(index);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) fail("bind");
    packet_mreq request{};
    request.mr_ifindex = address.sll_ifindex;
    request.mr_type = PACKET_MR_PROMISC;
    if (setsockopt(fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request)) fail("promiscuous mode");
  }
  ~PacketSocket() { close(fd_); }
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  int fd() const noexcept { return fd_; }
  Counted counted(const Span& span) const noexcept {
    tpacket_stats stats{};
    socklen_t length = sizeof stats;
    if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &stats, &length)) fail("PACKET_STATISTICS");
    return {span, stats.tp_packets, stats.tp_drops};
  }

 private:
  int fd_;
};

/// Room for `kMessages` frames and the times beside them; owns what the headers point to.
struct Messages {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(size_t{kMessages} * kSlot);
  std::vector<iovec> parts{kMessages};
  std::vector<mmsghdr> headers{kMessages};
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(timespec))];
  };
  std::vector<Control> controls{kMessages};

  void reset(unsigned i) noexcept {
    parts[i] = {&bytes[size_t{i} * kSlot], kSlot};
    headers[i] = {};
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_control = controls[i].bytes;
    headers[i].msg_hdr.msg_controllen = sizeof controls[i].bytes;
  }
  /// `length` is the frame's on the wire (MSG_TRUNC).
  void hand(unsigned i, uint32_t length, Work& work) noexcept {
    timespec t{};
    for (cmsghdr* c = CMSG_FIRSTHDR(&headers[i].msg_hdr); c; c = CMSG_NXTHDR(&headers[i].msg_hdr, c)) {
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) std::memcpy(&t, CMSG_DATA(c), sizeof t);
    }
    work.add(&bytes[size_t{i} * kSlot], std::min(length, kSlot), length, int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec);
  }
};

Counted by_recvmsg(unsigned index, int megabytes, Work& work) {
  PacketSocket in(index, megabytes);
  Messages room;
  const Span span = read_until_interrupted(in.fd(), work, [&](Work& w) {
    room.reset(0);
    const ssize_t got = recvmsg(in.fd(), &room.headers[0].msg_hdr, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) return false;
    room.hand(0, static_cast<uint32_t>(got), w);
    w.follow();
    return true;
  });
  return in.counted(span);
}

Counted by_recvmmsg(unsigned index, int megabytes, Work& work) {
  PacketSocket in(index, megabytes);
  Messages room;
  for (unsigned i = 0; i < kMessages; i++) room.reset(i);
  const Span span = read_until_interrupted(in.fd(), work, [&](Work& w) {
    const int got = recvmmsg(in.fd(), room.headers.data(), kMessages, MSG_DONTWAIT | MSG_TRUNC, nullptr);
    if (got <= 0) return false;
    for (unsigned i = 0; i < static_cast<unsigned>(got); i++) room.hand(i, room.headers[i].msg_len, w);
    w.follow();
    for (unsigned i = 0; i < static_cast<unsigned>(got); i++) room.reset(i);
    return true;
  });
  return in.counted(span);
}

enum class FromRing { kCopied, kSingle, kBlock };

Counted by_ring(unsigned index, int megabytes, Work& work, FromRing how) {
  FanoutProgram program;
  const bool ebpf = program.load().ok();
  Ring ring;
  RingOptions options;
  options.blocks = static_cast<uint32_t>((int64_t{megabytes} << 20) / options.block_bytes);
  must(ring.open(index, options));
  uint16_t group = 0;
  must(ring.join(group, false, ebpf));
  must(ring.spread(ebpf ? program.fd() : -1));
  must(ring.start(nullptr));
  std::vector<uint8_t> copies(options.block_bytes);
  const Span span = read_until_interrupted(ring.fd(), work, [&](Work& w) {
    uint32_t used = 0;
    return ring.next([](bool) {},
                     [&](const RingFrame& frame) {
                       const uint8_t* bytes = frame.bytes;
                       if (how == FromRing::kCopied) {
                         std::memcpy(&copies[used], bytes, frame.captured);  // a block's frames fit a block
                         bytes = &copies[used];
                         used += frame.captured;
                       }
                       w.add(bytes, frame.captured, frame.wire_length, frame.time_ns);
                       if (how == FromRing::kSingle) w.follow();
                     },
                     [&] { w.follow(); });
  });
  const Ring::Counts& counts = ring.counts();
  return {span, counts.seen, counts.dropped};
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view mode;
  int cpu = -1, megabytes = 64;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--mode") mode = argv[i + 1];
    if (name == "--cpu") cpu = std::atoi(argv[i + 1]);
    if (name == "--ring") megabytes = std::atoi(argv[i + 1]);
  }
  const unsigned index = argc > 1 ? if_nametoindex(argv[1]) : 0;
  if (index == 0 || mode.empty() || megabytes < 1 || megabytes > 1024) {
    std::fprintf(stderr,
                 "usage: capture_ablation INTERFACE --mode recvmsg|recvmmsg|ring-copy|ring-single|ring-block [--cpu N] "
                 "[--ring MiB]\n");
    return 2;
  }
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  Outbox outbox(256);
  std::atomic<bool> over{false};
  std::thread taker([&] {
    ResultBatch batch;
    while (!over.load(std::memory_order_relaxed)) {
      while (outbox.take(batch)) {
      }
      const timespec pause{0, 20'000'000};
      nanosleep(&pause, nullptr);
    }
  });
  if (cpu >= 0) pin_to(cpu);

  Work work(outbox);
  Counted counted;
  if (mode == "recvmsg") {
    counted = by_recvmsg(index, megabytes, work);
  } else if (mode == "recvmmsg") {
    counted = by_recvmmsg(index, megabytes, work);
  } else if (mode == "ring-copy") {
    counted = by_ring(index, megabytes, work, FromRing::kCopied);
  } else if (mode == "ring-single") {
    counted = by_ring(index, megabytes, work, FromRing::kSingle);
  } else if (mode == "ring-block") {
    counted = by_ring(index, megabytes, work, FromRing::kBlock);
  } else {
    std::fprintf(stderr, "capture_ablation: there is no mode %s\n", std::string(mode).c_str());
    std::_Exit(2);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  work.table().finish(work.clock());
  const auto lost = work.table().live().lost.load(std::memory_order_relaxed);
  over = true;
  taker.join();
  const Span& span = counted.span;
  std::printf(
      "{\"frames\":%llu,\"seen\":%llu,\"dropped\":%llu,\"wall_ns\":%lld,\"cpu_ns\":%lld,\"rss_bytes\":%llu,\"flows\":%"
      "llu,\"lost\":%llu}\n",
      static_cast<unsigned long long>(work.frames()), static_cast<unsigned long long>(counted.seen),
      static_cast<unsigned long long>(counted.dropped), static_cast<long long>(span.wall_to - span.wall_from),
      static_cast<long long>(span.cpu_to - span.cpu_from), static_cast<unsigned long long>(usage.ru_maxrss) * 1024,
      static_cast<unsigned long long>(work.table().counts().flows), static_cast<unsigned long long>(lost));
  return 0;
}
