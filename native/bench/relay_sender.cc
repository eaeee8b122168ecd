// Sends stamped packets for a relay to carry, as fast as one core can or paced, and says exactly what it sent.
//   relay_sender INTERFACE --packets N | --seconds S  [--group ADDRESS] [--groups N] [--sources N] [--source ADDRESS]
//     [--port N] [--source-port N] [--size PAYLOAD] [--pps N] [--cpu N] [--ttl N] [--dscp N] [--vlan ID] [--protocol
//     udp|esp]
//     [--destination-mac MAC] [--source-mac MAC] [--checksum 0] [--retry 0] [--batch N]
//     [--lose-every N] [--duplicate-every N] [--swap-every N] [--corrupt-every N] [--shorten-every N] [--damage-every
//     N]
// Every packet carries a number and the time (relay_stamp.h). Groups take turns by the number; each source has numbers
// of its own. The last line of options makes deliberate faults, by the number: left out, sent twice, sent after its
// successor, a bit turned in the payload, a byte cut off, the stamp spoilt. Leaves: one line of JSON. What the device
// refuses is sent again (counted: retries), or with --retry 0 left (refused). An interrupt ends the sending like
// --seconds does.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string_view>
#include <vector>

#include "relay_body.h"
#include "relay_stamp.h"

namespace {

using tapline::rig::Bodies;
using tapline::rig::ones_sum;

constexpr unsigned kHeaderRoom = 128;  ///< Ethernet, VLAN, IPv6, UDP or ESP, stamp: at most 106
volatile sig_atomic_t interrupted = 0;

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}
void put16(uint8_t* at, uint16_t v) {
  v = htons(v);
  std::memcpy(at, &v, 2);
}

struct Options {
  uint64_t packets = ~0ull;
  double seconds = 0, pps = 0;
  const char* group = "239.1.1.1";
  const char* source = "10.0.1.1";
  uint32_t groups = 1, sources = 1;
  uint16_t port = 5001, source_port = 10000, size = 1400, vlan = 0;
  uint8_t ttl = 64, dscp = 0;
  bool esp = false, checksum = true, retry = true;
  uint8_t source_mac[6] = {2, 0, 0, 0, 1, 1};
  uint8_t destination_mac[6] = {};  ///< zero: the group's
  unsigned batch = 64;
  uint64_t lose = 0, duplicate = 0, swap = 0, corrupt = 0, shorten = 0, damage = 0;
};

bool mac_from(const char* text, uint8_t (&mac)[6]) {
  return std::sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6;
}

/// Everything before the stamp, for one source and one group, checksums of the unchanging part included.
struct Template {
  uint8_t bytes[kHeaderRoom]{};
  uint8_t ip_at = 14, transport_at = 0, stamp_at = 0;
  uint32_t sum = 0;  ///< of pseudo-header and UDP header
};

Template template_of(const Options& o, uint32_t group, uint32_t source) {
  Template t;
  uint8_t* b = t.bytes;
  const auto length = static_cast<uint16_t>(o.size + 8);  // UDP's header and ESP's are of one size
  std::memcpy(b + 6, o.source_mac, 6);
  in_addr v4, v4_source;
  in6_addr v6, v6_source;
  const bool four = inet_pton(AF_INET, o.group, &v4) == 1;
  if (four ? inet_pton(AF_INET, o.source, &v4_source) != 1
           : inet_pton(AF_INET6, o.group, &v6) != 1 || inet_pton(AF_INET6, o.source, &v6_source) != 1) {
    std::fprintf(stderr, "relay_sender: %s and %s are no pair of addresses\n", o.source, o.group);
    std::exit(2);
  }
  if (o.vlan) {
    put16(b + 12, ETH_P_8021Q);
    put16(b + 14, o.vlan);
    t.ip_at = 18;
  }
  put16(b + t.ip_at - 2, four ? ETH_P_IP : ETH_P_IPV6);
  uint8_t* ip = b + t.ip_at;
  const uint8_t protocol = o.esp ? 50 : 17;
  auto raise = [](uint8_t* at, uint32_t by) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    word = htonl(ntohl(word) + by);
    std::memcpy(at, &word, 4);
  };
  if (four) {
    ip[0] = 0x45;
    ip[1] = static_cast<uint8_t>(o.dscp << 2);
    put16(ip + 2, static_cast<uint16_t>(length + 20));
    ip[6] = 0x40;  // not to be fragmented
    ip[8] = o.ttl;
    ip[9] = protocol;
    std::memcpy(ip + 12, &v4_source, 4);
    std::memcpy(ip + 16, &v4, 4);
    raise(ip + 12, source);
    raise(ip + 16, group);
    put16(ip + 10, static_cast<uint16_t>(~ones_sum(ip, 20, 0)));
    t.transport_at = static_cast<uint8_t>(t.ip_at + 20);
    t.sum = ones_sum(ip + 12, 8, 0);
  } else {
    ip[0] = static_cast<uint8_t>(0x60 | o.dscp >> 2);
    ip[1] = static_cast<uint8_t>(o.dscp << 6);
    put16(ip + 4, length);
    ip[6] = protocol;
    ip[7] = o.ttl;
    std::memcpy(ip + 8, &v6_source, 16);
    std::memcpy(ip + 24, &v6, 16);
    raise(ip + 20, source);
    raise(ip + 36, group);
    t.transport_at = static_cast<uint8_t>(t.ip_at + 40);
    t.sum = ones_sum(ip + 8, 32, 0);
  }
  static constexpr uint8_t none[6] = {};
  if (std::memcmp(o.destination_mac, none, 6) != 0) {
    std::memcpy(b, o.destination_mac, 6);
  } else if (four) {
    const uint8_t mac[6] = {1, 0, 0x5e, static_cast<uint8_t>(ip[17] & 0x7f), ip[18], ip[19]};
    std::memcpy(b, mac, 6);
  } else {
    const uint8_t mac[6] = {0x33, 0x33, ip[36], ip[37], ip[38], ip[39]};
    std::memcpy(b, mac, 6);
  }
  uint8_t* transport = b + t.transport_at;
  if (o.esp) {
    transport[3] = static_cast<uint8_t>(source + 1);  // SPI; its number stays 0: the stamp has one
  } else {
    put16(transport, o.source_port);
    put16(transport + 2, o.port);
    put16(transport + 4, length);
    t.sum = ones_sum(transport, 6, t.sum + length + protocol);
  }
  t.stamp_at = static_cast<uint8_t>(t.transport_at + 8);
  return t;
}

/// Which packets come, in which order, faults included.
class Order {
 public:
  explicit Order(const Options& o) : o_(o), next_(0) {}
  struct Turn {
    uint64_t number;
    uint32_t source;
    bool again;  ///< second time: no further fault
  };
  /// False: no number of those wanted is left.
  bool next(uint64_t until, Turn& turn) {
    while (waiting_.empty()) {
      if (next_ >= until) return false;
      const uint64_t number = next_++;
      const bool lose = every(number, o_.lose), swap = every(number, o_.swap) && next_ < until;
      if (lose) {
        lost += o_.sources;
        continue;
      }
      if (swap) {
        push(next_++);
        swapped += o_.sources;
      }
      push(number);
    }
    turn = waiting_.front();
    waiting_.pop_front();
    return true;
  }
  static bool every(uint64_t number, uint64_t n) { return n > 0 && number > 0 && number % n == 0; }
  /// One past the highest number there was.
  uint64_t highest() const { return next_; }
  uint64_t lost = 0, duplicated = 0, swapped = 0;

 private:
  void push(uint64_t number) {
    for (uint32_t s = 0; s < o_.sources; s++) {
      waiting_.push_back({number, s, false});
      if (every(number, o_.duplicate)) {
        waiting_.push_back({number, s, true});
        duplicated++;
      }
    }
  }
  const Options& o_;
  uint64_t next_;
  std::deque<Turn> waiting_;
};

bool read_options(int argc, char** argv, Options& o) {
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    const auto whole = [&] { return std::strtoull(value, nullptr, 10); };
    if (name == "--packets")
      o.packets = whole();
    else if (name == "--seconds")
      o.seconds = std::atof(value);
    else if (name == "--pps")
      o.pps = std::atof(value);
    else if (name == "--group")
      o.group = value;
    else if (name == "--groups")
      o.groups = static_cast<uint32_t>(whole());
    else if (name == "--source")
      o.source = value;
    else if (name == "--sources")
      o.sources = static_cast<uint32_t>(whole());
    else if (name == "--port")
      o.port = static_cast<uint16_t>(whole());
    else if (name == "--source-port")
      o.source_port = static_cast<uint16_t>(whole());
    else if (name == "--size")
      o.size = static_cast<uint16_t>(whole());
    else if (name == "--vlan")
      o.vlan = static_cast<uint16_t>(whole());
    else if (name == "--ttl")
      o.ttl = static_cast<uint8_t>(whole());
    else if (name == "--dscp")
      o.dscp = static_cast<uint8_t>(whole());
    else if (name == "--protocol")
      o.esp = std::string_view(value) == "esp";
    else if (name == "--checksum")
      o.checksum = whole() != 0;
    else if (name == "--retry")
      o.retry = whole() != 0;
    else if (name == "--batch")
      o.batch = static_cast<unsigned>(whole());
    else if (name == "--lose-every")
      o.lose = whole();
    else if (name == "--duplicate-every")
      o.duplicate = whole();
    else if (name == "--swap-every")
      o.swap = whole();
    else if (name == "--corrupt-every")
      o.corrupt = whole();
    else if (name == "--shorten-every")
      o.shorten = whole();
    else if (name == "--damage-every")
      o.damage = whole();
    else if (name == "--destination-mac") {
      if (!mac_from(value, o.destination_mac)) return false;
    } else if (name == "--source-mac") {
      if (!mac_from(value, o.source_mac)) return false;
    } else if (name == "--cpu") {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(std::atoi(value), &set);
      if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
    } else {
      return false;
    }
  }
  return (o.packets != ~0ull || o.seconds > 0) && o.size >= 64 && o.groups > 0 && o.groups <= 65536 && o.sources > 0 &&
         o.sources <= 16 && o.batch > 0 && o.batch <= 1024;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (argc < 2 || !read_options(argc, argv, o)) {
    std::fprintf(
        stderr,
        "usage: relay_sender INTERFACE --packets N | --seconds S [...]; native/bench/relay_sender.cc says what\n");
    return 2;
  }
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) fail("socket");
  const int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  // Room for more than a veth's ring of 256: the device refuses, the socket does not put us to sleep.
  const int room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  if (to.sll_ifindex == 0) fail(argv[1]);
  if (bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to)) fail("bind");

  std::vector<Template> templates;
  templates.reserve(size_t{o.groups} * o.sources);
  for (uint32_t g = 0; g < o.groups; g++)
    for (uint32_t s = 0; s < o.sources; s++) templates.push_back(template_of(o, g, s));
  const size_t body = o.size - sizeof(relay_stamp);
  const Bodies bodies(body);
  if (o.pps > 0)
    o.batch = std::clamp<unsigned>(static_cast<unsigned>(o.pps / 50'000), 1, o.batch);  // at most 20 µs apart
  std::vector<uint8_t> headers(size_t{o.batch} * kHeaderRoom), spoilt(size_t{o.batch} * body);
  std::vector<iovec> parts(size_t{o.batch} * 2);
  std::vector<mmsghdr> messages(o.batch);
  for (unsigned i = 0; i < o.batch; i++) {
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &parts[i * 2];
    messages[i].msg_hdr.msg_iovlen = 2;
  }

  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  Order order(o);
  const uint64_t end = o.packets == ~0ull ? ~0ull : o.packets;
  uint64_t sent = 0, bytes = 0, retries = 0, refused = 0, corrupted = 0, shortened = 0, damaged = 0;
  const int64_t from = now_ns();
  const int64_t until = o.seconds > 0 ? from + static_cast<int64_t>(o.seconds * 1e9) : INT64_MAX;
  int64_t now = from;
  for (bool more = true; more && now < until && !interrupted; now = now_ns()) {
    unsigned wanted = 0;
    for (Order::Turn turn; wanted < o.batch && (more = order.next(end, turn)); wanted++) {
      const Template& t = templates[(turn.number % o.groups) * o.sources + turn.source];
      uint8_t* header = &headers[size_t{wanted} * kHeaderRoom];
      std::memcpy(header, t.bytes, t.stamp_at);
      relay_stamp stamp{RELAY_STAMP_MAGIC,       turn.source, turn.number, static_cast<uint64_t>(now), o.size, 0,
                        bodies.hash(turn.number)};
      stamp.check = relay_stamp_check(&stamp);
      if (o.checksum && !o.esp) {
        const uint32_t sum =
            ones_sum(reinterpret_cast<uint8_t*>(&stamp), sizeof stamp, t.sum + bodies.sum(turn.number));
        const auto checksum = static_cast<uint16_t>(~sum);
        put16(header + t.transport_at + 6, checksum ? checksum : 0xffff);
      }
      const uint8_t* content = bodies.at(turn.number);
      size_t length = body;
      if (!turn.again) {
        if (Order::every(turn.number, o.corrupt)) {
          uint8_t* copy = &spoilt[size_t{wanted} * body];
          std::memcpy(copy, content, body);
          copy[turn.number / o.corrupt % body] ^= 0x10;
          content = copy;
          corrupted++;
        }
        if (Order::every(turn.number, o.shorten)) {
          length--;
          shortened++;
        }
        if (Order::every(turn.number, o.damage)) {
          stamp.sequence ^= 0x100;
          damaged++;
        }
      }
      std::memcpy(header + t.stamp_at, &stamp, sizeof stamp);
      if (length != body) {  // the headers say so, too: a relay may not refuse it
        uint8_t* ip = header + t.ip_at;
        const bool four = ip[0] >> 4 == 4;
        put16(four ? ip + 2 : ip + 4, static_cast<uint16_t>(length + sizeof stamp + 8 + (four ? 20 : 0)));
        if (four) {
          put16(ip + 10, 0);
          put16(ip + 10, static_cast<uint16_t>(~ones_sum(ip, 20, 0)));
        }
        if (!o.esp) {
          put16(header + t.transport_at + 4, static_cast<uint16_t>(length + sizeof stamp + 8));
          put16(header + t.transport_at + 6, 0);
        }
      }
      parts[wanted * 2] = {header, t.stamp_at + sizeof stamp};
      parts[wanted * 2 + 1] = {const_cast<uint8_t*>(content), length};
      bytes += t.stamp_at + sizeof stamp + length;
    }
    for (unsigned done = 0; done < wanted;) {
      const int n = sendmmsg(fd, &messages[done], wanted - done, 0);
      if (n >= 0) {
        done += static_cast<unsigned>(n);
        sent += static_cast<unsigned>(n);
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
      if (o.retry) {
        retries++;
        sched_yield();
        if (interrupted) {
          refused += wanted - done;
          break;
        }
      } else {
        refused++;
        done++;
      }
    }
    if (o.pps > 0) {
      const int64_t due = from + static_cast<int64_t>(static_cast<double>(sent + refused) * 1e9 / o.pps);
      while (now_ns() < due && !interrupted)
        sched_yield();  // not asleep: that ends too late; not alone: others need the core
    }
  }
  const double took = static_cast<double>(now_ns() - from) / 1e9;
  auto u = [](uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "{\"sent\":%llu,\"numbers\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"pps\":%.0f,\"retries\":%llu,\"refused\":%llu,"
      "\"lost\":%llu,\"duplicated\":%llu,\"swapped\":%llu,\"corrupted\":%llu,\"shortened\":%llu,\"damaged\":%llu}\n",
      u(sent), u(order.highest()), u(bytes), took, static_cast<double>(sent) / took, u(retries), u(refused),
      u(order.lost), u(order.duplicated), u(order.swapped), u(corrupted), u(shortened), u(damaged));
  close(fd);
  return 0;
}
