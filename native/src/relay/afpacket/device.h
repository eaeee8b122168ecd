// An output interface. Enters: packets as headers of our own and a payload that lies in the ring, or both together
// there. Leaves: frames on the interface, in batches of one system call, and for each packet exactly one count: sent,
// or dropped for one reason. The kernel copies a packet while it takes it, so the ring's memory is free again after
// flush(). What bounds the copies is the socket's send buffer; when it is full, for longer than a moment, the packet is
// dropped(buffer).
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "relay/afpacket/figures.h"

namespace tapline::relay {

/// Ethernet, a tunnel's headers (IPv6, UDP, hop header), IPv4 with options or IPv6 with extensions, UDP.
inline constexpr size_t kHeaderRoom = 14 + 40 + 8 + 32 + 256;

class Device {
 public:
  /// `send_bytes` is the bound of what the kernel holds of ours.
  Device(unsigned ifindex, uint32_t send_bytes) noexcept;
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  unsigned ifindex() const noexcept { return ifindex_; }
  /// Empty when packets can be sent; else the kernel's words.
  const std::string& problem() const noexcept { return problem_; }

  /// Room for the next packet's headers: put them there, then post().
  uint8_t* header() noexcept { return slots_[count_].header; }
  /// `outcome` is set when it is known, if not null: kTraceSent, or a relay_drop.
  /// With no headers of its own the packet lies in one piece: that costs the kernel less.
  void post(uint32_t header_bytes, const uint8_t* payload, uint32_t payload_bytes, OutputCounts& counts,
            uint8_t* outcome) noexcept {
    Slot& slot = slots_[count_];
    const bool whole = header_bytes == 0;
    slot.parts[0].iov_len = header_bytes;
    slot.parts[1] = {const_cast<uint8_t*>(payload), payload_bytes};
    messages_[count_].msg_hdr.msg_iov = &slot.parts[whole];
    messages_[count_].msg_hdr.msg_iovlen = whole ? 1 : 2;
    slot.counts = &counts;
    slot.outcome = outcome;
    if (++count_ == kBatch) flush();
  }
  /// Sends what was posted, and counts what became of it.
  void flush() noexcept;

 private:
  static constexpr uint32_t kBatch = 64;
  struct Slot {
    iovec parts[2];
    OutputCounts* counts;
    uint8_t* outcome;
    uint8_t header[kHeaderRoom];
  };
  void sent(uint32_t from, uint32_t to) noexcept;
  void dropped(uint32_t at, relay_drop reason) noexcept;

  unsigned ifindex_;
  int fd_ = -1;
  std::string problem_;
  uint32_t count_ = 0;
  std::vector<Slot> slots_;
  mmsghdr messages_[kBatch];
};

}  // namespace tapline::relay
