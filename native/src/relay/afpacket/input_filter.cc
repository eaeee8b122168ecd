#include "relay/afpacket/input_filter.h"

#include <linux/if_ether.h>

#include <algorithm>

#include "bytes.h"

namespace tapline::relay {

namespace {
constexpr uint32_t kWhole = 0xFFFFFFFF;
constexpr uint32_t kDestination4 = 14 + 16, kDestination6 = 14 + 24;

sock_filter statement(uint16_t code, uint32_t k) { return BPF_STMT(code, k); }
sock_filter equals(uint32_t k, uint8_t yes, uint8_t no) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no); }
}  // namespace

std::vector<sock_filter> input_filter(const Table& table) {
  std::vector<Address> wanted = table.tunnel_addresses;
  for (const SlottedRule& one : table.rules)
    if (const auto* wire = std::get_if<WireInput>(&one.rule.input)) wanted.push_back(wire->destination);
  const auto order = [](const Address& a, const Address& b) {
    return a.family != b.family ? a.family < b.family : a.bytes < b.bytes;
  };
  std::sort(wanted.begin(), wanted.end(), order);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const bool all = wanted.size() > kFilteredAddresses;

  std::vector<sock_filter> four, six;
  for (const Address& one : wanted) {
    if (all) break;
    if (one.family == 4) {
      four.push_back(equals(be32(one.bytes.data()), 0, 1));
      four.push_back(statement(BPF_RET | BPF_K, kWhole));
      continue;
    }
    for (uint32_t word = 0; word < 4; word++) {
      six.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kDestination6 + 4 * word));
      six.push_back(equals(be32(one.bytes.data() + 4 * word), 0, static_cast<uint8_t>(2 * (3 - word) + 1)));
    }
    six.push_back(statement(BPF_RET | BPF_K, kWhole));
  }
  if (!four.empty()) four.insert(four.begin(), statement(BPF_LD | BPF_W | BPF_ABS, kDestination4));
  four.push_back(statement(BPF_RET | BPF_K, all ? kWhole : 0));
  six.push_back(statement(BPF_RET | BPF_K, all ? kWhole : 0));

  std::vector<sock_filter> out{
      statement(BPF_LD | BPF_H | BPF_ABS, 12),
      equals(ETH_P_IP, 3, 0),
      equals(ETH_P_IPV6, 1, 0),
      statement(BPF_RET | BPF_K, 0),
      statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(four.size())),
  };
  out.insert(out.end(), four.begin(), four.end());
  out.insert(out.end(), six.begin(), six.end());
  return out;
}

}  // namespace tapline::relay
