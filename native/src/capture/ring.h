// One fanout member's packet ring. Enters: frames, copied by the kernel into blocks (TPACKET_V3). Leaves: whole blocks,
// one at a time, and the kernel's own counts of what it saw and what it had to drop.
#pragma once
#include <linux/if_packet.h>

#include <cstdint>
#include <string>
#include <vector>

struct sock_fprog;

namespace tapline {

/// A code of domain/errors.ts and what its text needs; empty when all went well.
struct CaptureStatus {
  const char* code = "";
  std::string detail;
  bool ok() const noexcept { return *code == 0; }
  static CaptureStatus failed(const char* code, const char* what, int error);
};

struct RingOptions {
  uint32_t block_bytes = 256 << 10;
  uint32_t blocks = 64;
  uint32_t retire_ms = 4;
  uint32_t snap_length = 65535;
  bool outgoing = false;  ///< also frames this machine sends; in a fanout group join() says so
  bool promiscuous = true;
  int node = -1;  ///< NUMA node of its memory; negative: any
  uint64_t bytes() const noexcept { return uint64_t{block_bytes} * blocks; }
};

/// A frame in a block that has been handed to us; its bytes live until the block is given back.
struct RingFrame {
  const uint8_t* bytes;
  uint32_t captured;
  uint32_t wire_length;
  int64_t time_ns;
  uint16_t tag;  ///< VLAN tag that the kernel took off, when `tagged`
  bool tagged;
  uint16_t segments;       ///< packets in it: more than one for an offloaded super-packet
  uint16_t segment_bytes;  ///< of payload in each of them but the last
  uint16_t header_length;  ///< that each of the segments carries
  bool partial_checksum;   ///< left for the NIC to fill: never to be judged
};

class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// Opens a socket on the interface that takes nothing yet, with its ring mapped. Shrinks the ring when memory is
  /// short.
  CaptureStatus open(unsigned interface_index, const RingOptions& options);
  /// Joins a fanout group; group 0 asks for a new one, whose number comes back.
  CaptureStatus join(uint16_t& group, bool outgoing, bool ebpf);
  /// How the group spreads frames: one member sets it for all. Negative: no BPF program, use the classic one.
  CaptureStatus spread(int program);
  /// Lets frames in: through `filter`, or all of them.
  CaptureStatus start(const sock_fprog* filter);

  /// Lets nothing more in. What is in the ring stays.
  void close_door() noexcept;

  /// Whether the interface went down since it was last asked.
  bool failed() const noexcept;

  int fd() const noexcept { return fd_; }
  /// The interface it is bound to; 0 once that was deleted, even if another has come by its number.
  unsigned interface_index() const noexcept;
  /// The NUMA node its memory lies on; negative when the kernel does not tell.
  int node() const noexcept { return node_; }
  uint64_t bytes() const noexcept { return uint64_t{block_bytes_} * blocks_; }
  bool locked() const noexcept { return locked_; }

  /// Opens the next block: `opened(dropped)` says whether frames had been dropped, and not asked about, when it was
  /// closed; `each(RingFrame)` comes for every frame, `done()` before the block is given back. False when no block is
  /// ready.
  template <typename Opened, typename Each, typename Done>
  bool next(Opened&& opened, Each&& each, Done&& done) {
    if (!map_) return false;  // closed: its interface is gone
    tpacket_block_desc* block = at(current_);
    const uint32_t status = __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE);
    if ((status & TP_STATUS_USER) == 0) return false;
    opened((status & TP_STATUS_LOSING) != 0);
    const auto* header = reinterpret_cast<const tpacket3_hdr*>(reinterpret_cast<const uint8_t*>(block) +
                                                               block->hdr.bh1.offset_to_first_pkt);
    const uint32_t count = block->hdr.bh1.num_pkts;
    for (uint32_t i = 0; i < count; i++) {
      const auto* following =
          reinterpret_cast<const tpacket3_hdr*>(reinterpret_cast<const uint8_t*>(header) + header->tp_next_offset);
      __builtin_prefetch(following);
      __builtin_prefetch(reinterpret_cast<const uint8_t*>(following) + 64);
      each(frame(header));
      header = following;
    }
    done();
    block->hdr.bh1.num_pkts = 0;  // so that waiting() counts it no more; the kernel sets it when it opens the block
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    current_ = (current_ + 1) % blocks_;
    return true;
  }

  /// Frames that lie in the ring and have not been taken.
  uint64_t waiting() const noexcept;

  struct Counts {
    uint64_t seen = 0;     ///< by the kernel for this socket, drops included
    uint64_t dropped = 0;  ///< no room in the ring
    uint64_t frozen = 0;   ///< times the ring was full
  };
  /// Reading resets the kernel's 32-bit counts: this is their only reader, and it adds up.
  const Counts& counts() noexcept;
  /// As of the last reading.
  const Counts& counts_so_far() const noexcept { return counts_; }
  void close() noexcept;

 private:
  tpacket_block_desc* at(uint32_t block) const noexcept {
    return reinterpret_cast<tpacket_block_desc*>(map_ + uint64_t{block} * block_bytes_);
  }
  RingFrame frame(const tpacket3_hdr* header) const noexcept;

  int fd_ = -1;
  uint8_t* map_ = nullptr;
  uint32_t block_bytes_ = 0;
  uint32_t blocks_ = 0;
  uint32_t current_ = 0;
  bool locked_ = false;
  int node_ = -1;
  Counts counts_;
};

}  // namespace tapline
