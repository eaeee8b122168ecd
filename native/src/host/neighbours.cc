#include "host/neighbours.h"

#include <linux/neighbour.h>
#include <sys/socket.h>

#include <cerrno>

namespace tapline {

namespace {
/// In these states the address can be sent to; the others are being asked for, or gave no answer.
constexpr uint16_t kUsable = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

RouteRequest request_of(uint16_t type, uint16_t flags, const NeighbourKey& key, uint16_t state, uint8_t entry_flags) {
  ndmsg fixed{};
  fixed.ndm_family = key.family == 4 ? AF_INET : AF_INET6;
  fixed.ndm_ifindex = static_cast<int>(key.ifindex);
  fixed.ndm_state = state;
  fixed.ndm_flags = entry_flags;
  RouteRequest request(type, static_cast<uint16_t>(flags | NLM_F_ACK), fixed);
  request.put(NDA_DST, Bytes(key.address.data(), key.family == 4 ? 4 : 16));
  return request;
}
void ignore(const RouteMessage&) {}
}  // namespace

NetlinkStatus NeighbourList::open() {
  if (NetlinkStatus status = questions_.open(); !status.ok()) return status;
  return events_.open(RTMGRP_NEIGH);
}

void NeighbourList::want(const std::set<NeighbourKey>& wanted) {
  for (auto at = known_.begin(); at != known_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    if (!at->second.fixed) abandon(at->first);
    at = known_.erase(at);
  }
  bool more = false;
  for (const NeighbourKey& key : wanted) more |= known_.try_emplace(key).second;
  if (!more) return;
  list();
  // Managed also when it is known already: else it would be forgotten while only the relay sends to it.
  for (const auto& [key, found] : known_)
    if (!found.fixed) solicit(key);
}

void NeighbourList::list() {
  const ndmsg fixed{};
  RouteRequest request(RTM_GETNEIGH, NLM_F_DUMP, fixed);
  std::map<NeighbourKey, Neighbour> before;
  before.swap(known_);
  for (const auto& [key, found] : before) known_[key];
  const NetlinkStatus status = questions_.ask(request, [this](const RouteMessage& message) { note(message); });
  if (!status.ok()) known_.swap(before);  // what was known still is the best guess; events go on correcting it
}

void NeighbourList::solicit(const NeighbourKey& key) {
  RouteRequest managed = request_of(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, key, NUD_NONE, 0);
  managed.put(NDA_FLAGS_EXT, uint32_t{NTF_EXT_MANAGED});
  if (questions_.ask(managed, ignore).ok()) return;
  RouteRequest once = request_of(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, key, NUD_NONE, NTF_USE);
  // Refused when the interface is down or gone: then there is no neighbour, and none is said to be known.
  [[maybe_unused]] const NetlinkStatus status = questions_.ask(once, ignore);
}

void NeighbourList::abandon(const NeighbourKey& key) {
  // Without the flag it is an entry as any other, and grows old as those do.
  RouteRequest request = request_of(RTM_NEWNEIGH, NLM_F_REPLACE, key, NUD_NONE, NTF_USE);
  [[maybe_unused]] const NetlinkStatus status = questions_.ask(request, ignore);
}

void NeighbourList::nudge() {
  for (const auto& [key, found] : known_)
    if (!found.mac) solicit(key);
}

bool NeighbourList::take() {
  bool changed = false;
  if (!events_.take([&](const RouteMessage& message) { changed |= note(message); })) {
    list();
    changed = true;
  }
  return changed;
}

bool NeighbourList::note(const RouteMessage& message) {
  ndmsg fixed;
  Bytes attributes;
  if ((message.type != RTM_NEWNEIGH && message.type != RTM_DELNEIGH) || !message.read(fixed, attributes)) return false;
  if (fixed.ndm_family != AF_INET && fixed.ndm_family != AF_INET6) return false;
  NeighbourKey key;
  key.ifindex = static_cast<uint32_t>(fixed.ndm_ifindex);
  key.family = fixed.ndm_family == AF_INET ? 4 : 6;
  Neighbour now;
  AttributeReader reader(attributes);
  for (Attribute one; reader.next(one);) {
    if (one.type == NDA_DST && one.payload.size() == (key.family == 4 ? 4u : 16u))
      std::memcpy(key.address.data(), one.payload.data(), one.payload.size());
    if (one.type == NDA_LLADDR && one.payload.size() == 6) {
      now.mac.emplace();
      std::memcpy(now.mac->data(), one.payload.data(), 6);
    }
  }
  if (message.type == RTM_DELNEIGH || (fixed.ndm_state & kUsable) == 0) now.mac.reset();
  now.fixed = now.mac && (fixed.ndm_state & (NUD_PERMANENT | NUD_NOARP));
  const auto found = known_.find(key);
  if (found == known_.end() || found->second == now) return false;
  found->second = now;
  return true;
}

}  // namespace tapline
