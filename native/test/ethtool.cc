// Netlink messages made by hand: what the kernel would say, and what it never should.
#include "host/ethtool.h"

#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <catch2/catch.hpp>
#include <cerrno>

using namespace tapline;

namespace {

/// The attributes of a request, without its two headers.
Bytes attributes(NetlinkRequest& request) { return request.finish(1).subspan(sizeof(nlmsghdr) + sizeof(genlmsghdr)); }
NetlinkRequest message() { return {20, 1, 1}; }

struct Bit {
  std::string_view name;
  bool value;
};
void put_bitset(NetlinkRequest& to, uint16_t type, bool with_mask, std::initializer_list<Bit> list) {
  const size_t set = to.begin(type);
  if (!with_mask) to.flag(ETHTOOL_A_BITSET_NOMASK);
  to.put(ETHTOOL_A_BITSET_SIZE, uint32_t{64});
  const size_t bits = to.begin(ETHTOOL_A_BITSET_BITS);
  for (const Bit& bit : list) {
    const size_t one = to.begin(ETHTOOL_A_BITSET_BITS_BIT);
    to.put(ETHTOOL_A_BITSET_BIT_INDEX, uint32_t{7});
    to.put(ETHTOOL_A_BITSET_BIT_NAME, bit.name);
    if (bit.value) to.flag(ETHTOOL_A_BITSET_BIT_VALUE);
    to.end(one);
  }
  to.end(bits);
  to.end(set);
}

NetlinkRequest features() {
  NetlinkRequest made = message();
  put_bitset(made, ETHTOOL_A_FEATURES_HW, true, {{"rx-gro", true}, {"rx-lro", false}, {"loopback", true}});
  put_bitset(made, ETHTOOL_A_FEATURES_WANTED, false, {{"rx-gro", false}});
  put_bitset(made, ETHTOOL_A_FEATURES_ACTIVE, false, {{"rx-lro", false}});
  put_bitset(made, ETHTOOL_A_FEATURES_NOCHANGE, false, {{"loopback", false}, {"of another kernel", false}});
  return made;
}

/// An acknowledgement as the kernel lays it out, with its words behind.
std::vector<uint8_t> acknowledgement(int error, uint16_t flags, std::string_view words, uint32_t refused = 0) {
  std::vector<uint8_t> out(sizeof(nlmsghdr) + sizeof(nlmsgerr) + refused);
  nlmsgerr body{error, {static_cast<uint32_t>(sizeof(nlmsghdr)) + refused, 20, 0, 7, 0}};
  std::memcpy(&out[sizeof(nlmsghdr)], &body, sizeof body);
  nlattr attribute{static_cast<uint16_t>(sizeof(nlattr) + words.size() + 1), NLMSGERR_ATTR_MSG};
  const auto* from = reinterpret_cast<uint8_t*>(&attribute);
  out.insert(out.end(), from, from + sizeof attribute);
  out.insert(out.end(), words.begin(), words.end());
  out.resize((out.size() + 4) & ~size_t{3});
  const nlmsghdr head{static_cast<uint32_t>(out.size()), NLMSG_ERROR, flags, 7, 0};
  std::memcpy(out.data(), &head, sizeof head);
  return out;
}

}  // namespace

TEST_CASE("settings that the driver fills are read, with their width; others are absent") {
  NetlinkRequest made = message();
  made.put(ETHTOOL_A_COALESCE_RX_USECS, uint32_t{50});
  made.put(ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX, uint8_t{1});
  made.put(999, uint32_t{1});
  Settings found;
  REQUIRE(read_settings(attributes(made), kCoalesce, found));
  REQUIRE(found.size() == 2);
  CHECK(found[0].first->name == std::string("rxUsecs"));
  CHECK(found[0].second == 50);
  CHECK(found[1].first->name == std::string("adaptiveRx"));
  CHECK(found[1].second == 1);
}

TEST_CASE("a setting that is narrower than it should be is damage, not a number") {
  NetlinkRequest made = message();
  made.put(ETHTOOL_A_RINGS_RX, uint8_t{3});
  Settings found;
  CHECK_FALSE(read_settings(attributes(made), kRings, found));
}

TEST_CASE("features: changeable by the first bitset, unless never; wanted and active by lists") {
  NetlinkRequest made = features();
  std::vector<Feature> found;
  REQUIRE(read_features(attributes(made), found));
  REQUIRE(found.size() == 3);
  CHECK((found[0].name == "rx-gro" && found[0].changeable && found[0].wanted && !found[0].active));
  CHECK((found[1].name == "rx-lro" && !found[1].changeable && !found[1].wanted && found[1].active));
  CHECK((found[2].name == "loopback" && !found[2].changeable));
}

TEST_CASE("a message cut off anywhere is noticed or read for what it still says; nothing is read beyond it") {
  NetlinkRequest made = features();
  const Bytes all = attributes(made);
  for (size_t length = 0; length < all.size(); length++) {
    const std::vector<uint8_t> cut(all.begin(), all.begin() + static_cast<ptrdiff_t>(length));  // for the sanitizer
    std::vector<Feature> found;
    if (read_features(Bytes(cut), found)) CHECK(found.size() <= 3);
    if (length % 4 != 0) {
      found.clear();
      CHECK_FALSE(read_features(Bytes(cut), found));
    }
  }
}

TEST_CASE("an attribute longer than its message, shorter than its head, and a name without an end") {
  for (const uint16_t length : {uint16_t{0}, uint16_t{3}, uint16_t{9}, uint16_t{0xFFFF}}) {
    std::vector<uint8_t> bytes(8, 'x');
    std::memcpy(bytes.data(), &length, sizeof length);
    AttributeReader reader{Bytes(bytes)};
    Attribute attribute;
    CHECK_FALSE(reader.next(attribute));
    CHECK_FALSE(reader.whole());
  }
  const std::vector<uint8_t> name{'a', 'b'};
  CHECK(Attribute{1, Bytes(name)}.text() == "ab");
}

TEST_CASE("a refusal carries the kernel's words, whether or not the request comes back with it") {
  auto capped = acknowledgement(-EINVAL, NLM_F_ACK_TLVS | NLM_F_CAPPED, "bit name not found");
  NetlinkReply reply = read_reply(Bytes(capped), 7);
  CHECK(reply.done);
  CHECK(reply.status.error == EINVAL);
  CHECK(reply.status.detail == "bit name not found (Invalid argument)");

  auto whole = acknowledgement(-EPERM, NLM_F_ACK_TLVS, "no", 24);
  CHECK(read_reply(Bytes(whole), 7).status.detail == "no (Operation not permitted)");

  auto silent = acknowledgement(-EOPNOTSUPP, 0, "unused");
  CHECK(read_reply(Bytes(silent), 7).status.detail == "Operation not supported");
  auto fine = acknowledgement(0, NLM_F_ACK_TLVS | NLM_F_CAPPED, "a warning");
  CHECK(read_reply(Bytes(fine), 7).status.ok());
}

TEST_CASE("a refused request that claims to be longer than the datagram, or shorter than its head") {
  for (const uint32_t length : {uint32_t{0}, uint32_t{15}, uint32_t{0x7FFFFFFF}, UINT32_MAX}) {
    auto bytes = acknowledgement(-EINVAL, NLM_F_ACK_TLVS, "words");
    std::memcpy(&bytes[sizeof(nlmsghdr) + sizeof(int)], &length, sizeof length);
    const NetlinkReply reply = read_reply(Bytes(bytes), 7);
    CHECK(reply.status.error == EINVAL);
    CHECK(reply.status.detail == "Invalid argument");
  }
}

TEST_CASE("an answer to another request is passed over; a damaged length ends the reading") {
  auto bytes = acknowledgement(-EINVAL, 0, "");
  CHECK_FALSE(read_reply(Bytes(bytes), 8).done);
  for (const uint32_t length : {uint32_t{0}, uint32_t{15}, uint32_t{4096}}) {
    std::memcpy(bytes.data(), &length, sizeof length);
    CHECK(read_reply(Bytes(bytes), 7).status.error == EBADMSG);
  }
  CHECK(read_reply(Bytes(bytes).first(10), 7).status.error == EBADMSG);
}
