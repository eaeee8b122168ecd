#include "relay/afpacket/device.h"

#include <linux/if_packet.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tapline::relay {

namespace {
constexpr size_t kEthernetBytes = 14;  // counts are of IP packets
constexpr int kPatienceMs = 2;         ///< for a full send buffer to drain: the input's ring holds more than that

relay_drop reason_of(int error) noexcept {
  switch (error) {
    case EAGAIN:
      return RELAY_DROPPED_BUFFER;
    case EMSGSIZE:
      return RELAY_DROPPED_MTU;
    case ENETDOWN:
    case ENXIO:
    case ENODEV:
    case EBADF:
      return RELAY_DROPPED_INTERFACE;
    default:
      return RELAY_DROPPED_DEVICE;  // ENOBUFS: its queue was full
  }
}
}  // namespace

Device::Device(unsigned ifindex, uint32_t send_bytes) noexcept : ifindex_(ifindex), slots_(kBatch) {
  std::memset(messages_, 0, sizeof messages_);
  for (Slot& slot : slots_) slot.parts[0].iov_base = slot.header;
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);  // protocol 0: it receives nothing
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(ifindex);
  if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) {
    problem_ = std::strerror(errno);
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    return;
  }
  // Past the queueing discipline: one lock less for each packet, and a full device answers at once instead of losing
  // later.
  const int on = 1;
  setsockopt(fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  const auto bytes = static_cast<int>(send_bytes);
  if (setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes))  // needs CAP_NET_ADMIN
    setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);         // up to net.core.wmem_max
}

Device::~Device() {
  if (fd_ >= 0) close(fd_);
}

void Device::sent(uint32_t from, uint32_t to) noexcept {
  for (uint32_t i = from; i < to; i++) {
    Slot& slot = slots_[i];
    slot.counts->sent.add(1);
    slot.counts->sent_bytes.add(slot.parts[0].iov_len + slot.parts[1].iov_len - kEthernetBytes);
    if (slot.outcome) *slot.outcome = kTraceSent;
  }
}

void Device::dropped(uint32_t at, relay_drop reason) noexcept {
  slots_[at].counts->dropped[reason].add(1);
  if (slots_[at].outcome) *slots_[at].outcome = static_cast<uint8_t>(reason);
}

void Device::flush() noexcept {
  bool waited = false;
  for (uint32_t at = 0; at < count_;) {
    const int taken = fd_ < 0 ? -1 : sendmmsg(fd_, messages_ + at, count_ - at, 0);
    if (taken > 0) {
      sent(at, at + static_cast<uint32_t>(taken));
      at += static_cast<uint32_t>(taken);
      continue;
    }
    const int error = fd_ < 0 ? EBADF : errno;
    if (error == EINTR) continue;
    if (error == EAGAIN && !waited) {
      waited = true;
      pollfd room{fd_, POLLOUT, 0};
      poll(&room, 1, kPatienceMs);
      continue;
    }
    dropped(at++, reason_of(error));
  }
  count_ = 0;
}

}  // namespace tapline::relay
