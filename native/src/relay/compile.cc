#include "relay/compile.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "generated/relay_reasons.h"
#include "relay/hop_header.h"
#include "relay/siphash.h"

namespace tapline::relay {

namespace {

Status wrong(const std::string& rule, const std::string& why) {
  return {"RELAY_BAD_PLAN", "rule " + rule + ": " + why};
}

relay_address bytes_of(const Address& address) {
  relay_address out{};
  std::memcpy(out.bytes, address.bytes.data(), address.family == 4 ? 4 : 16);
  return out;
}

uint8_t engine_of(Engine engine) { return engine == Engine::Xdp ? RELAY_XDP : RELAY_TC; }

InputKey key_of(uint32_t ifindex, Engine engine, const Address& destination) {
  InputKey out{destination.family, {}};
  out.key.ifindex = ifindex;
  out.key.engine = engine_of(engine);
  out.key.destination = bytes_of(destination);
  return out;
}

uint32_t drop_of(Unready unready) {
  switch (unready) {
    case Unready::NoRoute:
      return RELAY_DROPPED_NO_ROUTE;
    case Unready::NoNeighbour:
      return RELAY_DROPPED_NO_NEIGHBOUR;
    default:
      return RELAY_DROPPED_INTERFACE;
  }
}

relay_output layout_of(const Output& output) {
  relay_output out{};
  out.ifindex = output.ifindex;
  out.mtu = output.mtu;
  out.port = htons(output.port);
  if (output.ttl) out.flags |= RELAY_SET_TTL;
  out.ttl = output.ttl.value_or(0);
  if (output.dscp) out.flags |= RELAY_SET_DSCP;
  out.dscp = output.dscp.value_or(0);
  if (output.source) {
    out.flags |= RELAY_SET_SOURCE;
    out.source = bytes_of(*output.source);
  }
  if (output.destination.family == 6) out.flags |= RELAY_IPV6;
  out.destination = bytes_of(output.destination);
  std::memcpy(out.destination_mac, output.destination_mac.data(), 6);
  std::memcpy(out.source_mac, output.source_mac.data(), 6);
  if (output.unready != Unready::No) {
    out.flags |= RELAY_UNREADY;
    out.unready = drop_of(output.unready);
  }
  if (output.tunnel) {
    out.flags |= RELAY_WRAP;
    out.path = output.tunnel->path;
    out.epoch = output.tunnel->epoch;
    std::memcpy(out.key, output.tunnel->key.data(), sizeof out.key);
  }
  return out;
}

Status check_output(const Rule& rule, const Output& output) {
  const auto* wire = std::get_if<WireInput>(&rule.input);
  if (output.tunnel && !output.source) return wrong(rule.id, "tunnel " + output.id + " has no source");
  if (output.source && output.source->family != output.destination.family)
    return wrong(rule.id, "output " + output.id + " has addresses of two families");
  if (!output.tunnel && wire && output.destination.family != wire->destination.family)
    return wrong(rule.id, "output " + output.id + " has another address family than the input");
  if (rule.engine == Engine::Xdp && output.destination.family != 4) return wrong(rule.id, "xdp relays IPv4 only");
  return {};
}

Status check(const Rule& rule) {
  if (rule.outputs.empty() || rule.outputs.size() > RELAY_MAX_OUTPUTS)
    return wrong(rule.id, "1 to " + std::to_string(RELAY_MAX_OUTPUTS) + " outputs");
  if (rule.engine == Engine::Xdp && (rule.outputs.size() != 1 || rule.deliver_local))
    return wrong(rule.id, "xdp has one output and delivers nothing to the node itself");
  if (const auto* wire = std::get_if<WireInput>(&rule.input)) {
    if (wire->ifindex == 0) return wrong(rule.id, "no interface");
    if (rule.engine == Engine::Xdp && wire->destination.family != 4) return wrong(rule.id, "xdp relays IPv4 only");
    if ((wire->port == 0) != (wire->protocol == Carried::Esp)) return wrong(rule.id, "UDP has a port, ESP has none");
    for (const Address& source : wire->sources)
      if (source.family != wire->destination.family) return wrong(rule.id, "a source of another address family");
  } else if (std::get<TunnelInput>(rule.input).peers.size() > RELAY_MAX_PEERS) {
    return wrong(rule.id, "more than " + std::to_string(RELAY_MAX_PEERS) + " addresses of a path's peer");
  }
  for (const Output& output : rule.outputs)
    if (const Status status = check_output(rule, output); !status.ok()) return status;
  return {};
}

uint16_t flags_of(const Rule& rule) {
  uint16_t flags = 0;
  for (const Output& output : rule.outputs)
    if (output.ttl || output.tunnel) flags |= RELAY_OWN_TTL;
  if (rule.limit_pps != 0 || rule.storm_pps != 0) flags |= RELAY_LIMITED;
  if (rule.deliver_local) flags |= RELAY_DELIVER;
  return flags;
}

/// A key that one rule alone may have.
Status claim(Compiled& out, const InputKey& key, uint32_t rule, uint16_t flags) {
  CompiledInput& input = out.inputs[key];
  if (input.rule != kNoRule)
    return wrong(out.rules[rule].rule->id, "takes the same packets as rule " + out.rules[input.rule].rule->id);
  input.rule = rule;
  input.flags |= flags;
  return {};
}

Status add_wire(Compiled& out, const WireInput& wire, uint32_t rule) {
  const Engine engine = out.rules[rule].rule->engine;
  InputKey wanted = key_of(wire.ifindex, engine, wire.destination);
  wanted.key.vlan = wire.vlan;
  wanted.key.protocol = static_cast<uint8_t>(wire.protocol);
  out.ports.insert({wire.ifindex, wanted.key.engine});
  // Fragments have no port: they are refused in the name of the only rule of their group, or of none.
  if (wire.protocol == Carried::Udp) {
    const auto [marker, first] = out.inputs.try_emplace(wanted);
    marker->second.rule = first ? rule : kNoRule;
  }
  wanted.key.port = htons(wire.port);
  if (wire.sources.empty()) return claim(out, wanted, rule, 0);
  out.inputs[wanted].flags |= RELAY_SOURCES;
  for (const Address& source : wire.sources) {
    wanted.key.source = bytes_of(source);
    if (const Status status = claim(out, wanted, rule, 0); !status.ok()) return status;
  }
  return {};
}

Status add_tunnel(Compiled& out, const TunnelInput& tunnel, uint32_t rule) {
  CompiledPath path{rule, {}};
  path.layout.peers = static_cast<uint32_t>(tunnel.peers.size());
  std::memcpy(path.layout.key, tunnel.key.data(), sizeof path.layout.key);
  for (size_t i = 0; i < tunnel.peers.size(); i++) path.layout.peer[i] = bytes_of(tunnel.peers[i]);
  if (!out.paths.emplace(tunnel.path, path).second)
    return wrong(out.rules[rule].rule->id, "path " + std::to_string(tunnel.path) + " has a rule already");
  return {};
}

Status add_tunnel_port(Compiled& out, const TunnelPort& port) {
  if (port.engine == Engine::AfPacket) return {};
  for (const Address& address : port.addresses) {
    if (port.engine == Engine::Xdp && address.family != 4) continue;
    InputKey wanted = key_of(port.ifindex, port.engine, address);
    wanted.key.protocol = IPPROTO_UDP;
    out.ports.insert({port.ifindex, wanted.key.engine});
    wanted.key.port = htons(HOP_PORT);
    if (out.inputs[wanted].rule != kNoRule)
      return wrong(out.rules[out.inputs[wanted].rule].rule->id, "takes the tunnels' port");
    out.inputs[wanted].flags |= RELAY_TUNNEL;
  }
  return {};
}

uint64_t digest_half(std::string_view text, uint64_t key) {
  siphash s;
  siphash_begin(&s, key, ~key);
  for (size_t at = 0; at < text.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, std::min<size_t>(8, text.size() - at));
    siphash_word(&s, word);
  }
  return siphash_end(&s, text.size());
}

}  // namespace

Digest digest_of(std::string_view kind, std::string_view first, std::string_view second) {
  std::string text;
  for (const std::string_view part : {kind, first, second})
    text += std::to_string(part.size()) + ":" + std::string(part);
  return {{digest_half(text, 1) | 1, digest_half(text, 2)}};  // Never zero: that is a free slot.
}

Status compile(const Plan& plan, Compiled& out) {
  std::set<Digest> names;
  for (const Rule& rule : plan.rules) {
    if (rule.engine == Engine::AfPacket) continue;
    if (const Status status = check(rule); !status.ok()) return status;
    CompiledRule compiled{digest_of("rule", rule.id), &rule, flags_of(rule), {}};
    if (!names.insert(compiled.name).second) return wrong(rule.id, "is there twice");
    for (const Output& output : rule.outputs) {
      CompiledOutput one{digest_of("output", rule.id, output.id), {}, layout_of(output)};
      if (!names.insert(one.name).second) return wrong(rule.id, "output " + output.id + " is there twice");
      if (output.tunnel) one.path = digest_of("path", std::to_string(output.tunnel->path));
      compiled.outputs.push_back(one);
      if (rule.engine == Engine::Xdp) out.devices.insert(output.ifindex);
    }
    out.rules.push_back(std::move(compiled));
  }
  for (uint32_t i = 0; i < out.rules.size(); i++) {
    const Rule& rule = *out.rules[i].rule;
    const auto* wire = std::get_if<WireInput>(&rule.input);
    const Status status = wire ? add_wire(out, *wire, i) : add_tunnel(out, std::get<TunnelInput>(rule.input), i);
    if (!status.ok()) return status;
  }
  for (const TunnelPort& port : plan.tunnel_ports)
    if (const Status status = add_tunnel_port(out, port); !status.ok()) return status;
  for (const Address& address : plan.own_addresses) out.own.push_back(bytes_of(address));
  return {};
}

}  // namespace tapline::relay
