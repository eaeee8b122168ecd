// Generated from domain/vocabulary.ts by `make generate`. Do not edit.
// clang-format off
#pragma once

enum relay_refusal {
  RELAY_REFUSED_SOURCE,  ///< no rule of this group takes packets of this source
  RELAY_REFUSED_TTL,  ///< its TTL is used up, and no output sets one of its own
  RELAY_REFUSED_LOOP,  ///< its source is one of this node's own addresses
  RELAY_REFUSED_FRAGMENT,  ///< an IP fragment: only whole packets are relayed
  RELAY_REFUSED_MALFORMED,  ///< a header contradicts itself or is cut off
  RELAY_REFUSED_HOP_LIMIT,  ///< it came through 16 tunnels already
  RELAY_REFUSED_STRANGER,  ///< a tunnel packet from an address that is none of the path's
  RELAY_REFUSED_UNKNOWN_PATH,  ///< a tunnel packet of a path that is not in the plan
  RELAY_REFUSED_TAG,  ///< a tunnel packet whose tag is wrong
  RELAY_REFUSED_REPLAY,  ///< a tunnel packet that came before, or far too late
  RELAY_REFUSED_VERSION,  ///< a tunnel packet of another version
  RELAY_REFUSED_ORPHANED,  ///< the agent has been silent for too long
  RELAY_REFUSED_REASONS,
};

enum relay_drop {
  RELAY_DROPPED_MTU,  ///< larger than the output's MTU
  RELAY_DROPPED_TTL,  ///< its TTL is used up, and this output sets none of its own
  RELAY_DROPPED_NO_ROUTE,  ///< no route to the output's address
  RELAY_DROPPED_NO_NEIGHBOUR,  ///< the next hop's MAC address is not known
  RELAY_DROPPED_INTERFACE,  ///< the output's interface is down or gone
  RELAY_DROPPED_DEVICE,  ///< the device did not take it: its queue was full, or it failed
  RELAY_DROPPED_RATE,  ///< above the rule's limit
  RELAY_DROPPED_STORM,  ///< above the rule's storm cut-off
  RELAY_DROPPED_BUFFER,  ///< no buffer was free, or none could be cloned
  RELAY_DROPPED_WORKER,  ///< the worker process ended while it had it: it may have been sent
  RELAY_DROPPED_REASONS,
};

#ifdef __cplusplus
namespace tapline::relay {
inline constexpr const char* kRefusalNames[] = {"source", "ttl", "loop", "fragment", "malformed", "hop_limit", "stranger", "unknown_path", "tag", "replay", "version", "orphaned"};
inline constexpr const char* kDropNames[] = {"mtu", "ttl", "no_route", "no_neighbour", "interface", "device", "rate", "storm", "buffer", "worker"};
}  // namespace tapline::relay
#endif
