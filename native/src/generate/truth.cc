#include "generate/truth.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "generate/bytes.h"

namespace tapline::generation {

namespace {

// The totals stand at the file's head but are known last: room is left for them, in spaces.
constexpr size_t kTotalsRoom = 4096;

void field(std::string& out, const char* name, uint64_t value) {
  out += '"';
  out += name;
  out += "\":";
  out += std::to_string(value);
  out += ',';
}
void field(std::string& out, const char* name, double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out += '"';
  out += name;
  out += "\":";
  out.append(text, end);
  out += ',';
}
void field(std::string& out, const char* name, bool value) {
  out += '"';
  out += name;
  out += value ? "\":true," : "\":false,";
}
void field(std::string& out, const char* name, const char* value) {
  out += '"';
  out += name;
  out += "\":\"";
  out += value;
  out += "\",";
}

void field_mac(std::string& out, const char* name, const uint8_t* at) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", at[0], at[1], at[2], at[3], at[4], at[5]);
  field(out, name, text);
}
void field_address(std::string& out, const char* name, const uint8_t* at, bool ipv6) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(ipv6 ? AF_INET6 : AF_INET, at, text, sizeof text);
  field(out, name, text);
}

void identity(std::string& out, const Flow& flow, const Association& association) {
  if (flow.kind == Kind::kMacsec) {
    char sci[17];
    std::snprintf(sci, sizeof sci, "%016llx", static_cast<unsigned long long>(sci_of(flow)));
    field(out, "sci", sci);
    field(out, "an", uint64_t{association.number});
    field_mac(out, "source", flow.header + 6);
    field_mac(out, "destination", flow.header);
  } else {
    const uint8_t* addresses = flow.header + flow.network + (flow.ipv6 ? 8 : 12);
    field_address(out, "source", addresses, flow.ipv6);
    field_address(out, "destination", addresses + (flow.ipv6 ? 16 : 4), flow.ipv6);
    if (flow.numbered()) field(out, "spi", uint64_t{association.spi});
    if (!flow.numbered() || flow.kind == Kind::kNatTEsp) {
      out += "\"ports\":[" + std::to_string(port_of(flow, 0)) + ',' + std::to_string(port_of(flow, 1)) + "],";
    }
    field(out, "nat_t", flow.kind == Kind::kNatTEsp);
    field(out, "ipv6", flow.ipv6);
  }
  out += "\"vlan\":[";
  for (uint8_t tag = 0; tag < flow.tags; ++tag) {
    if (tag != 0) out += ',';
    out += std::to_string(get16(flow.header + 14 + 4 * tag) & 0xFFF);
  }
  out += "],";
}

void close_object(std::string& out) {
  out.back() = '}';  // in place of the last comma
}

void totals_fields(std::string& out, const Totals& totals) {
  field(out, "flows", totals.flows);
  field(out, "packets", totals.packets);
  field(out, "bytes", totals.bytes);
  field(out, "sent", totals.sent);
  field(out, "dropped", totals.dropped);
  field(out, "duplicated", totals.duplicated);
}
void counter_fields(std::string& out, const Totals& totals, uint64_t duplicate) {
  field(out, "expected", totals.expected);
  field(out, "unique", totals.unique);
  field(out, "reordered", totals.reordered);
  field(out, "duplicate", duplicate);
  field(out, "late", uint64_t{0});
  field(out, "lost", totals.lost);
  field(out, "gaps", totals.gaps);
  field(out, "max_gap", totals.max_gap);
}

}  // namespace

Protocol protocol_of(Kind kind) noexcept {
  switch (kind) {
    case Kind::kMacsec:
      return Protocol::Macsec;
    case Kind::kAh:
      return Protocol::Ah;
    case Kind::kTcp:
      return Protocol::Tcp;
    case Kind::kUdp:
      return Protocol::Udp;
    default:
      return Protocol::Esp;
  }
}

void Totals::add(const Association& association, bool numbered) noexcept {
  sent += association.sent();
  dropped += association.sent() - association.unique();
  if (association.packets == 0) return;
  ++flows;
  packets += association.packets;
  bytes += association.bytes;
  duplicated += association.duplicated;
  if (!numbered) return;
  expected += association.expected();
  unique += association.unique();
  reordered += association.reordered;
  lost += association.lost();
  gaps += association.gaps;
  max_gap = std::max(max_gap, uint64_t{association.max_gap});
}

bool Truth::open(const GenerateOptions& options) {
  if (options.truth_path.empty()) return true;
  if (!file_.open(options.truth_path)) return false;
  writing_ = true;
  static constexpr const char* kTraffic[] = {"macsec", "ipsec", "mixed", "tcp"};
  line_ = "{\"version\":1,\n\"options\":{";
  field(line_, "packets", options.packets);
  field(line_, "flows", options.flows);
  field(line_, "protocol", kTraffic[static_cast<size_t>(options.protocol)]);
  field(line_, "seed", options.seed);
  field(line_, "loss", options.loss);
  field(line_, "reorder", options.reorder);
  field(line_, "duplicate", options.duplicate);
  field(line_, "rekey", options.rekey);
  field(line_, "xpn", options.xpn);
  field(line_, "esn", options.esn);
  field(line_, "ipv6", options.ipv6);
  field(line_, "vlan", options.vlan);
  field(line_, "minSize", uint64_t{options.min_size});
  field(line_, "maxSize", uint64_t{options.max_size});
  field(line_, "pps", options.pps);
  field(line_, "nanosecond", options.nanosecond);
  field(line_, "pcapng", options.pcapng);
  field(line_, "startNs", std::to_string(options.start_ns).c_str());  // a string: beyond what JSON readers hold exactly
  close_object(line_);
  line_ += ",\n";
  head_ = line_.size();
  line_.append(kTotalsRoom, ' ');
  line_ += "\n\"flows\":[";
  failed_ = !file_.append(line_.data(), line_.size());
  return !failed_;
}

void Truth::add(const Flow& flow, const Association& association) {
  const bool numbered = flow.numbered();
  const auto protocol = static_cast<size_t>(protocol_of(flow.kind));
  all_.add(association, numbered);
  by_protocol_[protocol].add(association, numbered);
  if (!writing_ || failed_ || association.packets == 0) return;

  line_ = first_ ? "\n{" : ",\n{";
  first_ = false;
  field(line_, "protocol", kProtocolNames[protocol]);
  field(line_, "packet", association.first_packet);
  identity(line_, flow, association);
  Totals one{};
  one.add(association, numbered);
  one.flows = 0;
  field(line_, "packets", one.packets);
  field(line_, "bytes", one.bytes);
  field(line_, "sent", one.sent);
  field(line_, "dropped", one.dropped);
  field(line_, "duplicated", one.duplicated);
  field(line_, "rekeyed", association.rekeyed);
  if (association.previous != 0) field(line_, "previous", association.previous);
  field(line_, "first_number", numbered ? association.lowest : 0);
  field(line_, "last_number", numbered ? association.highest : 0);
  counter_fields(line_, one, numbered ? one.duplicated : 0);
  field(line_, "min_gap", uint64_t{numbered ? association.min_gap : 0});
  close_object(line_);
  failed_ = !file_.append(line_.data(), line_.size());
}

void Truth::add_eapol(uint32_t length) noexcept {
  ++eapol_;
  ++all_.packets;
  all_.bytes += length;
}

bool Truth::close(bool complete) {
  if (!writing_) return true;
  static constexpr char kEnd[] = "\n]}\n";
  if (failed_ || !file_.append(kEnd, sizeof kEnd - 1)) return false;
  std::string totals = "\"complete\":";
  totals += complete ? "true" : "false";
  totals += ",\n\"totals\":{";
  totals_fields(totals, all_);
  uint64_t copies = 0;
  for (size_t protocol = 0; protocol <= static_cast<size_t>(Protocol::Ah); ++protocol)
    copies += by_protocol_[protocol].duplicated;
  counter_fields(totals, all_, copies);
  totals += "\n\"byProtocol\":{";
  for (size_t protocol = 0; protocol < kProtocolCount; ++protocol) {
    totals += protocol == 0 ? "\n\"" : ",\n\"";
    totals += kProtocolNames[protocol];
    totals += "\":{";
    totals_fields(totals, by_protocol_[protocol]);
    counter_fields(totals, by_protocol_[protocol],
                   protocol <= static_cast<size_t>(Protocol::Ah) ? by_protocol_[protocol].duplicated : 0);
    close_object(totals);
  }
  totals += "},\n\"untracked\":{\"eapol\":" + std::to_string(eapol_) + "}},";
  return file_.patch(head_, totals.data(), totals.size()) && file_.close();
}

}  // namespace tapline::generation
