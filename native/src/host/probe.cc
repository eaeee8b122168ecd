#include "host/probe.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "capture/fanout.h"

namespace tapline {

namespace {

constexpr int kFanoutIgnoreOutgoing = 0x4000;  // since Linux 6.2, which Debian 12's headers precede
constexpr uint16_t kExperimental = 0x88B5;     // IEEE 802, for local experiments: nobody else's
constexpr uint32_t kBlock = 1 << 20;
constexpr uint32_t kBlocks = 16;  // 16 MiB, the usual ring: locking depends on the size
constexpr int kPatienceMs = 200;

using Outcome = Probe::Outcome;

struct Socket {
  explicit Socket(uint16_t protocol) : fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol))) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  template <typename T>
  bool set(int option, const T& value) const {
    return setsockopt(fd, SOL_PACKET, option, &value, sizeof value) == 0;
  }
  bool filter(const sock_fprog& program) const {
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
  }
  const int fd;
};

std::string words() { return std::strerror(errno); }
Probe result(const char* name, bool works) {
  return {name, works ? Outcome::Works : Outcome::Fails, works ? "" : words()};
}

/// Joins a group of its own, which ends with the socket.
bool join(const Socket& socket, int type) {
  return socket.set(PACKET_FANOUT, (type | kFanoutIgnoreOutgoing | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
}

/// Kernels before 6.2 take the flag and forget it, so one frame is sent over the loopback interface, where every frame
/// goes out and comes in: a member that obeys sees it once.
Probe ignore_outgoing() {
  constexpr const char* kName = "ignoreOutgoing";
  const auto unknown = [](const char* why) { return Probe{kName, Outcome::Unknown, why}; };
  uint32_t token = 0;
  if (getrandom(&token, sizeof token, 0) != sizeof token) return unknown("getrandom");
  uint8_t frame[64] = {};
  frame[12] = kExperimental >> 8;
  frame[13] = kExperimental & 0xFF;
  std::memcpy(frame + 14, &token, sizeof token);

  const Socket member(0);
  sock_filter ours[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_LL_OFF + 14)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(token), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sockaddr_ll loopback{};
  loopback.sll_family = AF_PACKET;
  loopback.sll_protocol = htons(ETH_P_ALL);
  loopback.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
  if (!member.filter({std::size(ours), ours}) ||
      bind(member.fd, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) || !join(member, PACKET_FANOUT_HASH))
    return unknown("the loopback interface is down");
  loopback.sll_halen = ETH_ALEN;
  const Socket sender(0);
  if (sendto(sender.fd, frame, sizeof frame, 0, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) < 0)
    return unknown("the loopback interface is down");
  pollfd readable{member.fd, POLLIN, 0};
  bool came = false;
  while (poll(&readable, 1, came ? 0 : kPatienceMs) == 1) {
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    if (recvfrom(member.fd, frame, sizeof frame, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length) < 0) break;
    if (from.sll_pkttype == PACKET_OUTGOING)
      return {kName, Outcome::Fails, "frames that this node sends are seen, too"};
    came = true;
  }
  return came ? Probe{kName, Outcome::Works, ""} : unknown("the loopback interface brought nothing back");
}

}  // namespace

std::vector<Probe> probe_capture() {
  std::vector<Probe> out;
  // Of a type that nobody sends: no frame reaches these rings.
  const Socket ring(kExperimental);
  out.push_back(result("packetSocket", ring.fd >= 0));
  if (ring.fd < 0) {
    for (const char* name : {"packetRing", "ringLocked", "fanout", "ignoreOutgoing", "fanoutProgram"})
      out.push_back({name, Outcome::Unknown, "no packet socket"});
    return out;
  }
  tpacket_req3 request{};
  request.tp_block_size = kBlock;
  request.tp_block_nr = kBlocks;
  request.tp_frame_size = 2048;
  request.tp_frame_nr = kBlock / request.tp_frame_size * kBlocks;
  request.tp_retire_blk_tov = 10;
  const bool made =
      ring.set(PACKET_VERSION, int{TPACKET_V3}) && ring.set(PACKET_VNET_HDR, 1) && ring.set(PACKET_RX_RING, request);
  out.push_back(result("packetRing", made));
  if (made) {
    constexpr size_t kBytes = size_t{kBlock} * kBlocks;
    void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED, ring.fd, 0);
    out.push_back(result("ringLocked", at != MAP_FAILED));
    if (at != MAP_FAILED) munmap(at, kBytes);
  } else {
    out.push_back({"ringLocked", Outcome::Unknown, "no packet ring"});
  }
  // With a program, as the capture does; the classic kind, which needs no more than the socket.
  const bool grouped = join(ring, PACKET_FANOUT_CBPF);
  out.push_back(result("fanout", grouped));
  out.push_back(grouped ? ignore_outgoing() : Probe{"ignoreOutgoing", Outcome::Unknown, "no fanout group"});
  FanoutProgram program;
  if (const CaptureStatus status = program.load(); !status.ok()) {
    out.push_back({"fanoutProgram", Outcome::Fails, status.detail});
  } else {
    const Socket member(kExperimental);
    out.push_back(result("fanoutProgram", member.fd >= 0 && join(member, PACKET_FANOUT_EBPF) &&
                                              member.set(PACKET_FANOUT_DATA, program.fd())));
  }
  return out;
}

ClockState clock_state() {
  timex state{};
  const int kind = adjtimex(&state);  // without a mode it only reads
  return {kind >= 0 && kind != TIME_ERROR && !(state.status & STA_UNSYNC), static_cast<double>(state.esterror),
          static_cast<double>(state.maxerror)};
}

}  // namespace tapline
