#include "relay/afpacket/hush.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "relay/hop_header.h"

namespace tapline::relay {

namespace {
bool is_group(const Address& address) noexcept {
  return address.family == 4 ? (address.bytes[0] & 0xF0) == 0xE0 : address.bytes[0] == 0xFF;
}
}  // namespace

Hush::~Hush() {
  for (const auto& [place, fd] : sockets_)
    if (fd >= 0) close(fd);
}

void Hush::follow(const Table& table) {
  std::set<Place> wanted;
  for (const Address& end : table.tunnel_addresses)
    wanted.insert({end.family, static_cast<uint8_t>(Carried::Udp), HOP_PORT, end.bytes});
  for (const SlottedRule& one : table.rules) {
    const auto* wire = std::get_if<WireInput>(&one.rule.input);
    if (!wire || one.rule.deliver_local || is_group(wire->destination)) continue;  // nobody answers to a group
    wanted.insert(
        {wire->destination.family, static_cast<uint8_t>(wire->protocol), wire->port, wire->destination.bytes});
  }
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    if (at->second >= 0) close(at->second);
    at = sockets_.erase(at);
  }
  for (const Place& place : wanted)
    if (!sockets_.contains(place)) sockets_[place] = open(place);
}

int Hush::open(const Place& place) {
  const bool raw = place.protocol != static_cast<uint8_t>(Carried::Udp);
  const int fd =
      socket(place.family == 4 ? AF_INET : AF_INET6, (raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC, place.protocol);
  if (fd < 0) return -1;
  sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  const sock_fprog filter{1, nothing};
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool failed = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0;
  if (place.family == 4) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(place.port);
    std::memcpy(&at.sin_addr, place.address.data(), 4);
    failed = failed || bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at);
  } else {
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(place.port);
    std::memcpy(&at.sin6_addr, place.address.data(), 16);
    failed = failed || bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at);
  }
  if (!failed) return fd;
  close(fd);
  return -1;
}

}  // namespace tapline::relay
