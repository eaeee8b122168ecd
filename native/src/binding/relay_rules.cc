#include "binding/relay_rules.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace tapline::relay {

namespace {

/// Reads fields and remembers the first that is wrong; after that everything reads as zero.
class Reader {
 public:
  std::string problem;

  Napi::Value field(const Napi::Object& from, const char* name) {
    Napi::Value value = from.Get(name);
    // A getter that threw: the exception must not be pending when the next call is made.
    if (from.Env().IsExceptionPending()) {
      from.Env().GetAndClearPendingException();
      wrong(name, "cannot be read");
      return from.Env().Undefined();
    }
    return value;
  }

  void wrong(const char* name, const char* why) {
    if (problem.empty()) problem = path_ + name + " " + why;
  }

  template <typename T>
  T number(const Napi::Object& from, const char* name, uint64_t most = std::numeric_limits<T>::max()) {
    return number_of<T>(field(from, name), name, most);
  }
  template <typename T>
  std::optional<T> optional(const Napi::Object& from, const char* name, uint64_t most = std::numeric_limits<T>::max()) {
    const Napi::Value value = field(from, name);
    if (value.IsUndefined()) return std::nullopt;
    return number_of<T>(value, name, most);
  }
  bool flag(const Napi::Object& from, const char* name) {
    const Napi::Value value = field(from, name);
    if (value.IsBoolean()) return value.As<Napi::Boolean>();
    wrong(name, "is not a boolean");
    return false;
  }
  std::string text(const Napi::Object& from, const char* name) {
    const Napi::Value value = field(from, name);
    if (value.IsString()) return value.As<Napi::String>();
    wrong(name, "is not a text");
    return {};
  }
  template <size_t N>
  std::array<uint8_t, N> bytes(const Napi::Object& from, const char* name) {
    std::array<uint8_t, N> out{};
    const Napi::Value value = field(from, name);
    if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array &&
        value.As<Napi::Uint8Array>().ElementLength() == N)
      std::memcpy(out.data(), value.As<Napi::Uint8Array>().Data(), N);
    else
      wrong(name, "has the wrong number of bytes");
    return out;
  }
  Address address(const Napi::Value& value, const char* name) {
    Address out;
    if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
      const auto array = value.As<Napi::Uint8Array>();
      if (array.ElementLength() == 4 || array.ElementLength() == 16) {
        out.family = array.ElementLength() == 4 ? 4 : 6;
        std::memcpy(out.bytes.data(), array.Data(), array.ElementLength());
        return out;
      }
    }
    wrong(name, "is not 4 or 16 bytes");
    return out;
  }
  std::vector<Address> addresses(const Napi::Object& from, const char* name) {
    std::vector<Address> out;
    each(field(from, name), name, [&](const Napi::Value& one) { out.push_back(address(one, name)); });
    return out;
  }
  template <typename F>
  void each(const Napi::Value& list, const char* name, F&& read) {
    if (!list.IsArray()) return wrong(name, "is not a list");
    const auto array = list.As<Napi::Array>();
    const std::string outer = path_;
    for (uint32_t i = 0; i < array.Length() && problem.empty(); i++) {
      path_ = outer + name + "[" + std::to_string(i) + "]: ";
      read(array.Get(i));
    }
    path_ = outer;
  }

 private:
  template <typename T>
  T number_of(const Napi::Value& value, const char* name, uint64_t most) {
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (number >= 0 && number == std::floor(number) && number <= static_cast<double>(most))
      return static_cast<T>(number);
    wrong(name, "is out of range");
    return 0;
  }

  std::string path_;
};

constexpr uint64_t kMostRate = 1'000'000'000;  ///< packets a second: ns × this fits 64 bits for 8 s

Engine engine_of(Reader& reader, const Napi::Object& from) {
  const std::string name = reader.text(from, "engine");
  if (name == "xdp") return Engine::Xdp;
  if (name == "tc") return Engine::Tc;
  if (name != "afpacket") reader.wrong("engine", "is none");
  return Engine::AfPacket;
}

WireInput wire_of(Reader& reader, const Napi::Object& from) {
  WireInput out;
  out.ifindex = reader.number<uint32_t>(from, "ifindex", INT32_MAX);
  out.vlan = reader.number<uint16_t>(from, "vlan", 4094);
  const std::string protocol = reader.text(from, "protocol");
  if (protocol == "ESP")
    out.protocol = Carried::Esp;
  else if (protocol != "UDP")
    reader.wrong("protocol", "is none");
  out.destination = reader.address(reader.field(from, "destination"), "destination");
  out.port = reader.number<uint16_t>(from, "port");
  out.sources = reader.addresses(from, "sources");
  return out;
}

TunnelInput tunnel_of(Reader& reader, const Napi::Object& from) {
  return {reader.number<uint32_t>(from, "path"), reader.bytes<16>(from, "key"), reader.addresses(from, "peers")};
}

Unready unready_of(Reader& reader, const Napi::Object& from) {
  if (reader.field(from, "unready").IsUndefined()) return Unready::No;
  const std::string why = reader.text(from, "unready");
  if (why == "no_route") return Unready::NoRoute;
  if (why == "no_neighbour") return Unready::NoNeighbour;
  if (why != "interface") reader.wrong("unready", "is no reason");
  return Unready::Interface;
}

Output output_of(Reader& reader, const Napi::Object& from) {
  Output out;
  out.id = reader.text(from, "id");
  out.ifindex = reader.number<uint32_t>(from, "ifindex", INT32_MAX);
  out.destination = reader.address(reader.field(from, "destination"), "destination");
  out.port = reader.number<uint16_t>(from, "port");
  out.ttl = reader.optional<uint8_t>(from, "ttl");
  out.dscp = reader.optional<uint8_t>(from, "dscp", 63);
  if (const Napi::Value source = reader.field(from, "source"); !source.IsUndefined())
    out.source = reader.address(source, "source");
  out.destination_mac = reader.bytes<6>(from, "destinationMac");
  out.source_mac = reader.bytes<6>(from, "sourceMac");
  out.mtu = reader.number<uint16_t>(from, "mtu");
  out.unready = unready_of(reader, from);
  if (const Napi::Value tunnel = reader.field(from, "tunnel"); tunnel.IsObject()) {
    const auto wrap = tunnel.As<Napi::Object>();
    out.tunnel = TunnelOutput{reader.number<uint32_t>(wrap, "path"), reader.number<uint32_t>(wrap, "epoch"),
                              reader.bytes<16>(wrap, "key")};
  }
  return out;
}

Rule rule_of(Reader& reader, const Napi::Object& from) {
  Rule out;
  out.id = reader.text(from, "id");
  out.engine = engine_of(reader, from);
  if (const Napi::Value input = reader.field(from, "input"); !input.IsObject())
    reader.wrong("input", "is not there");
  else if (input.As<Napi::Object>().Has("path"))
    out.input = tunnel_of(reader, input.As<Napi::Object>());
  else
    out.input = wire_of(reader, input.As<Napi::Object>());
  reader.each(reader.field(from, "outputs"), "outputs", [&](const Napi::Value& one) {
    if (one.IsObject())
      out.outputs.push_back(output_of(reader, one.As<Napi::Object>()));
    else
      reader.wrong("", "is not an output");
  });
  out.deliver_local = reader.flag(from, "deliverLocal");
  out.limit_pps = reader.number<uint64_t>(from, "limitPps", kMostRate);
  out.limit_burst = reader.number<uint64_t>(from, "limitBurst", kMostRate);
  out.storm_pps = reader.number<uint64_t>(from, "stormPps", kMostRate);
  return out;
}

TunnelPort port_of(Reader& reader, const Napi::Object& from) {
  return {reader.number<uint32_t>(from, "ifindex", INT32_MAX), engine_of(reader, from),
          reader.addresses(from, "addresses")};
}

}  // namespace

std::string read_rule(const Napi::Value& from, Rule& out) {
  Reader reader;
  if (!from.IsObject()) return "the rule is not an object";
  out = rule_of(reader, from.As<Napi::Object>());
  return reader.problem;
}

std::string read_plan(const Napi::Value& from, Plan& out) {
  Reader reader;
  if (!from.IsObject()) return "the plan is not an object";
  const auto plan = from.As<Napi::Object>();
  reader.each(reader.field(plan, "rules"), "rules", [&](const Napi::Value& one) {
    if (one.IsObject())
      out.rules.push_back(rule_of(reader, one.As<Napi::Object>()));
    else
      reader.wrong("", "is not a rule");
  });
  reader.each(reader.field(plan, "tunnelPorts"), "tunnelPorts", [&](const Napi::Value& one) {
    if (one.IsObject())
      out.tunnel_ports.push_back(port_of(reader, one.As<Napi::Object>()));
    else
      reader.wrong("", "is not a port");
  });
  out.own_addresses = reader.addresses(plan, "ownAddresses");
  return reader.problem;
}

}  // namespace tapline::relay
