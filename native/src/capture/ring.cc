#include "capture/ring.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <utility>

#include "capture/placement.h"

namespace tapline {

namespace {
constexpr int kFanoutIgnoreOutgoing =
    0x4000;  // since Linux 6.2; Debian 12's headers lack it. The socket's own option is ignored in a group
constexpr uint32_t kFewestBlocks = 2;

/// virtio_net_hdr; linux/virtio_net.h is not C++ everywhere.
struct Offload {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;  ///< reaches to the end of the transport header
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
};
static_assert(sizeof(Offload) == 10);
constexpr uint8_t kNeedsChecksum = 1;

template <typename T>
int set(int fd, int option, const T& value) noexcept {
  return setsockopt(fd, SOL_PACKET, option, &value, sizeof value);
}

sock_filter kNothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

/// Without eBPF: SCI, SPI or the symmetric sum of addresses and ports, spread by a multiplication. IPv6 goes by its
/// addresses' last words.
#define LL(offset) static_cast<uint32_t>(SKF_LL_OFF + (offset))
sock_filter kClassic[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, LL(12)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_MACSEC, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LL(20)),  // the SCI, or else what stands there
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LL(24)),
    BPF_JUMP(BPF_JMP | BPF_JA, 17, 0, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 19),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LL(23)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 50, 0, 4),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, LL(14)),
    BPF_STMT(BPF_LD | BPF_W | BPF_IND, LL(14)),
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_JUMP(BPF_JMP | BPF_JA, 9, 0, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 51, 0, 4),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, LL(14)),
    BPF_STMT(BPF_LD | BPF_W | BPF_IND, LL(18)),
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_JUMP(BPF_JMP | BPF_JA, 4, 0, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LL(26)),
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LL(30)),
    BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
    BPF_STMT(BPF_LD | BPF_IMM, 0),
    BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
    BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9E3779B1u),
    BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 20),  // only the top bits depend on every bit of the sum
    BPF_STMT(BPF_RET | BPF_A, 0),
};
#undef LL

/// What the kernel says may still be taken; 0 when it does not say. Rings count against no cgroup.
uint64_t memory_left() noexcept {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (!file) return 0;
  unsigned long long kib = 0;
  char line[128];
  while (kib == 0 && std::fgets(line, sizeof line, file)) {
    if (std::sscanf(line, "MemAvailable: %llu", &kib) != 1) kib = 0;
  }
  std::fclose(file);
  return kib * 1024;
}

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }
}  // namespace

CaptureStatus CaptureStatus::failed(const char* code, const char* what, int error) {
  return {code, std::string(what) + ": " + std::strerror(error)};
}

Ring::~Ring() { close(); }

void Ring::close() noexcept {
  if (map_) munmap(map_, bytes());
  if (fd_ >= 0) ::close(fd_);
  map_ = nullptr;
  fd_ = -1;
  blocks_ = 0;
  current_ = 0;
}

CaptureStatus Ring::open(unsigned interface_index, const RingOptions& options) {
  // The kernel would give all the memory there is to a ring that asks for more, and the machine would stand still.
  const uint64_t left = memory_left();
  if (left > 0 && options.bytes() > left) {
    return {"CAPTURE_RING_FAILED",
            mebibytes(options.bytes()) + " asked for, and this machine has " + mebibytes(left) + " left"};
  }
  // Protocol 0: nothing arrives before the ring and the filter are there.
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    return errno == EPERM ? CaptureStatus{"CAPTURE_NOT_PERMITTED", "CAP_NET_RAW"}
                          : CaptureStatus::failed("CAPTURE_FAILED", "socket", errno);
  }
  const int version = TPACKET_V3, on = 1;
  if (set(fd_, PACKET_VERSION, version)) return CaptureStatus::failed("CAPTURE_FAILED", "TPACKET_V3", errno);
  if (set(fd_, PACKET_VNET_HDR, on)) return CaptureStatus::failed("CAPTURE_FAILED", "PACKET_VNET_HDR", errno);
  if (!options.outgoing && set(fd_, PACKET_IGNORE_OUTGOING, on))
    return CaptureStatus::failed("CAPTURE_FAILED", "PACKET_IGNORE_OUTGOING", errno);

  block_bytes_ = options.block_bytes;
  blocks_ = options.blocks;
  const OnNode placed(options.node);
  for (;;) {
    tpacket_req3 request{};
    request.tp_block_size = block_bytes_;
    request.tp_block_nr = blocks_;
    request.tp_frame_size = 2048;
    request.tp_frame_nr = block_bytes_ / request.tp_frame_size * blocks_;
    request.tp_retire_blk_tov = options.retire_ms;
    if (set(fd_, PACKET_RX_RING, request) == 0) break;
    if (errno != ENOMEM || blocks_ <= kFewestBlocks)
      return CaptureStatus::failed("CAPTURE_RING_FAILED", "PACKET_RX_RING", errno);
    blocks_ = blocks_ * 3 / 4 < kFewestBlocks ? kFewestBlocks : blocks_ * 3 / 4;
  }
  void* at = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED | MAP_POPULATE, fd_, 0);
  locked_ = at != MAP_FAILED;
  if (!locked_) at = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) return CaptureStatus::failed("CAPTURE_RING_FAILED", "mmap", errno);
  map_ = static_cast<uint8_t*>(at);
  node_ = node_of(map_);

  const sock_fprog nothing{1, kNothing};
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof nothing))
    return CaptureStatus::failed("CAPTURE_FAILED", "SO_ATTACH_FILTER", errno);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(interface_index);
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address))
    return CaptureStatus::failed(errno == ENODEV || errno == ENETDOWN ? "INTERFACE_DOWN" : "CAPTURE_FAILED", "bind",
                                 errno);
  int down = 0;  // binding to an interface that is down succeeds, and then says so
  socklen_t length = sizeof down;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &down, &length) == 0 && down != 0)
    return CaptureStatus::failed("INTERFACE_DOWN", "bind", down);
  if (options.promiscuous) {
    packet_mreq request{};
    request.mr_ifindex = address.sll_ifindex;
    request.mr_type = PACKET_MR_PROMISC;
    if (set(fd_, PACKET_ADD_MEMBERSHIP, request))
      return CaptureStatus::failed("CAPTURE_FAILED", "promiscuous mode", errno);
  }
  return {};
}

CaptureStatus Ring::join(uint16_t& group, bool outgoing, bool ebpf) {
  int flags = ebpf ? PACKET_FANOUT_EBPF : PACKET_FANOUT_CBPF;
  if (!outgoing) flags |= kFanoutIgnoreOutgoing;
  if (group == 0) flags |= PACKET_FANOUT_FLAG_UNIQUEID;
  const int argument = group | flags << 16;
  if (set(fd_, PACKET_FANOUT, argument)) return CaptureStatus::failed("CAPTURE_FAILED", "PACKET_FANOUT", errno);
  if (group == 0) {
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(fd_, SOL_PACKET, PACKET_FANOUT, &value, &length))
      return CaptureStatus::failed("CAPTURE_FAILED", "PACKET_FANOUT", errno);
    group = static_cast<uint16_t>(value);
  }
  return {};
}

CaptureStatus Ring::spread(int program) {
  const sock_fprog classic{static_cast<uint16_t>(std::size(kClassic)), kClassic};
  const int failed = program >= 0 ? set(fd_, PACKET_FANOUT_DATA, program) : set(fd_, PACKET_FANOUT_DATA, classic);
  return failed ? CaptureStatus::failed("CAPTURE_FAILED", "PACKET_FANOUT_DATA", errno) : CaptureStatus{};
}

CaptureStatus Ring::start(const sock_fprog* filter) {
  const int unused = 0;
  // Without a filter there is none to take off, which is just as well.
  const bool failed = filter ? setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof *filter)
                             : setsockopt(fd_, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) && errno != ENOENT;
  return failed ? CaptureStatus::failed("CAPTURE_FAILED", "SO_ATTACH_FILTER", errno) : CaptureStatus{};
}

bool Ring::failed() const noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0;
}

void Ring::close_door() noexcept {
  const sock_fprog nothing{1, kNothing};
  setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof nothing);
}

unsigned Ring::interface_index() const noexcept {
  sockaddr_ll address{};
  socklen_t length = sizeof address;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) || address.sll_ifindex < 0) return 0;
  return static_cast<unsigned>(address.sll_ifindex);
}

RingFrame Ring::frame(const tpacket3_hdr* header) const noexcept {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(header) + header->tp_mac;
  RingFrame out;
  out.bytes = bytes;
  out.captured = header->tp_snaplen;
  out.wire_length = header->tp_len;
  out.time_ns = int64_t{header->tp_sec} * 1'000'000'000 + header->tp_nsec;
  out.tagged = header->tp_status & TP_STATUS_VLAN_VALID;
  out.tag = out.tagged ? static_cast<uint16_t>(header->hv1.tp_vlan_tci) : 0;
  Offload offload;
  std::memcpy(&offload, bytes - sizeof offload, sizeof offload);
  out.partial_checksum = offload.flags & kNeedsChecksum;
  out.segments = 1;
  out.header_length = 0;
  out.segment_bytes = offload.gso_size;
  if (offload.gso_type != 0 && offload.gso_size > 0 && header->tp_len > offload.hdr_len) {
    out.header_length = offload.hdr_len;
    out.segments = static_cast<uint16_t>((header->tp_len - offload.hdr_len + offload.gso_size - 1) / offload.gso_size);
  }
  return out;
}

uint64_t Ring::waiting() const noexcept {
  uint64_t frames = 0;
  if (!map_) return 0;
  for (uint32_t i = 0; i < blocks_; i++) frames += __atomic_load_n(&at(i)->hdr.bh1.num_pkts, __ATOMIC_RELAXED);
  return frames;
}

const Ring::Counts& Ring::counts() noexcept {
  tpacket_stats_v3 read{};
  socklen_t length = sizeof read;
  if (fd_ >= 0 && getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &read, &length) == 0) {
    counts_.seen += read.tp_packets;
    counts_.dropped += read.tp_drops;
    counts_.frozen += read.tp_freeze_q_cnt;
  }
  return counts_;
}

}  // namespace tapline
