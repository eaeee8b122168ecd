// Keeps the kernel from answering "port unreachable" to what is relayed here: a packet ring only gets copies, and
// nobody else listens. Enters: a table. Leaves: sockets at its unicast addresses that take packets and drop them at
// once.
#pragma once
#include <compare>
#include <map>

#include "relay/afpacket/table_file.h"

namespace tapline::relay {

class Hush {
 public:
  Hush() = default;
  ~Hush();
  Hush(const Hush&) = delete;
  Hush& operator=(const Hush&) = delete;

  /// One that cannot be had, for somebody listens there, is not needed.
  void follow(const Table& table);

 private:
  struct Place {
    uint8_t family, protocol;
    uint16_t port;
    std::array<uint8_t, 16> address;
    auto operator<=>(const Place&) const = default;
  };
  static int open(const Place& place);
  std::map<Place, int> sockets_;
};

}  // namespace tapline::relay
