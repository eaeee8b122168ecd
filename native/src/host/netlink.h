// Netlink messages. Enters: attributes to send, bytes that came back. Leaves: a request laid out as the kernel reads
// it, and attributes of which none reaches beyond its message. Sizes and order of bytes are the machine's own (RFC
// 3549).
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tapline {

using Bytes = std::span<const uint8_t>;

/// What became of a request: 0, or a positive errno with the kernel's own words where it gave any.
struct [[nodiscard]] NetlinkStatus {
  int error = 0;
  std::string detail;
  bool ok() const noexcept { return error == 0; }
  static NetlinkStatus failed(int error, std::string_view what);
};

/// One attribute; `payload` points into the message it was read from.
struct Attribute {
  uint16_t type;
  Bytes payload;
  bool as(uint8_t& out) const noexcept { return copy(out); }
  bool as(uint32_t& out) const noexcept { return copy(out); }
  /// Up to the first zero, at most the whole payload.
  std::string_view text() const noexcept;

 private:
  template <typename T>
  bool copy(T& out) const noexcept {
    if (payload.size() < sizeof out) return false;
    std::memcpy(&out, payload.data(), sizeof out);
    return true;
  }
};

/// Reads attributes one after the other; ends at the first that does not fit.
class AttributeReader {
 public:
  explicit AttributeReader(Bytes bytes) noexcept : rest_(bytes) {}
  bool next(Attribute& out) noexcept;
  /// All bytes were attributes. False: the message is cut off or damaged.
  bool whole() const noexcept { return !damaged_; }

 private:
  Bytes rest_;
  bool damaged_ = false;
};

/// A request to a generic netlink family, growing attribute by attribute.
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t family, uint8_t command, uint8_t version);
  void put(uint16_t type, Bytes payload);
  void put(uint16_t type, uint32_t value) { put(type, Bytes(reinterpret_cast<const uint8_t*>(&value), sizeof value)); }
  void put(uint16_t type, uint8_t value) { put(type, Bytes(&value, 1)); }
  void put(uint16_t type, std::string_view text);
  void flag(uint16_t type) { put(type, Bytes{}); }
  /// Begins an attribute that holds others; the answer is given to end().
  size_t begin(uint16_t type);
  void end(size_t nest) noexcept;
  /// The finished message, with its length, number and flags filled in.
  Bytes finish(uint32_t sequence) noexcept;

 private:
  std::vector<uint8_t> bytes_;
};

/// What one datagram from the kernel says about the request numbered `sequence`.
struct NetlinkReply {
  bool done = false;  ///< the request was acknowledged or refused: nothing follows
  NetlinkStatus status;
  std::vector<Bytes> attributes;  ///< of each answer in it, behind the generic header; point into the datagram
};
NetlinkReply read_reply(Bytes datagram, uint32_t sequence);

/// A socket to the kernel's generic netlink. Every call blocks until the kernel has answered, which takes as long as
/// the driver does: no frame's way may wait for it.
class GenericNetlink {
 public:
  GenericNetlink() = default;
  ~GenericNetlink();
  GenericNetlink(const GenericNetlink&) = delete;
  GenericNetlink& operator=(const GenericNetlink&) = delete;

  NetlinkStatus open();
  NetlinkStatus family(const char* name, uint16_t& id);
  /// `answer` receives the attributes of the last answer, empty if there was only an acknowledgement.
  NetlinkStatus ask(NetlinkRequest& request, std::vector<uint8_t>& answer);

 private:
  int fd_ = -1;
  uint32_t sequence_ = 0;
};

}  // namespace tapline
