#include "host/netlink.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tapline {

namespace {
constexpr size_t kLargestReply = 256 << 10;  // the longest known, all features by name, is a tenth of it
constexpr time_t kPatienceSeconds = 10;      // for drivers that reset their device
constexpr size_t align(size_t length) noexcept { return (length + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1}; }

/// The kernel's words in an acknowledgement (extended ack), if it gave any.
std::string words(Bytes message, uint16_t flags) {
  nlmsgerr head;
  if (!(flags & NLM_F_ACK_TLVS) || message.size() < sizeof head) return {};
  std::memcpy(&head, message.data(), sizeof head);
  size_t at = sizeof head;
  if (head.error != 0 && !(flags & NLM_F_CAPPED)) {  // the refused request comes back first
    if (head.msg.nlmsg_len < sizeof(nlmsghdr)) return {};
    at += align(head.msg.nlmsg_len) - sizeof(nlmsghdr);
  }
  if (at > message.size()) return {};
  AttributeReader reader(message.subspan(at));
  for (Attribute attribute; reader.next(attribute);)
    if (attribute.type == NLMSGERR_ATTR_MSG) return std::string(attribute.text());
  return {};
}
}  // namespace

NetlinkStatus NetlinkStatus::failed(int error, std::string_view what) {
  std::string detail(std::strerror(error));
  if (!what.empty()) detail = std::string(what) + " (" + detail + ")";
  return {error, std::move(detail)};
}

std::string_view Attribute::text() const noexcept {
  const auto* from = reinterpret_cast<const char*>(payload.data());
  return {from, static_cast<size_t>(std::find(from, from + payload.size(), '\0') - from)};
}

bool AttributeReader::next(Attribute& out) noexcept {
  nlattr head;
  if (rest_.empty() || damaged_) return false;
  if (rest_.size() < sizeof head) {
    damaged_ = true;
    return false;
  }
  std::memcpy(&head, rest_.data(), sizeof head);
  if (head.nla_len < sizeof head || head.nla_len > rest_.size()) {
    damaged_ = true;
    return false;
  }
  out.type = head.nla_type & NLA_TYPE_MASK;
  out.payload = rest_.subspan(sizeof head, head.nla_len - sizeof head);
  rest_ = rest_.subspan(std::min(align(head.nla_len), rest_.size()));
  return true;
}

NetlinkRequest::NetlinkRequest(uint16_t family, uint8_t command, uint8_t version)
    : bytes_(sizeof(nlmsghdr) + sizeof(genlmsghdr)) {
  const nlmsghdr head{0, family, NLM_F_REQUEST | NLM_F_ACK, 0, 0};
  const genlmsghdr generic{command, version, 0};
  std::memcpy(bytes_.data(), &head, sizeof head);
  std::memcpy(bytes_.data() + sizeof head, &generic, sizeof generic);
}

void NetlinkRequest::put(uint16_t type, Bytes payload) {
  const nlattr head{static_cast<uint16_t>(sizeof(nlattr) + payload.size()), type};
  const auto* from = reinterpret_cast<const uint8_t*>(&head);
  bytes_.insert(bytes_.end(), from, from + sizeof head);
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  bytes_.resize(align(bytes_.size()));
}

void NetlinkRequest::put(uint16_t type, std::string_view text) {
  std::vector<uint8_t> ended(text.begin(), text.end());
  ended.push_back(0);
  put(type, Bytes(ended));
}

size_t NetlinkRequest::begin(uint16_t type) {
  const size_t at = bytes_.size();
  put(static_cast<uint16_t>(type | NLA_F_NESTED), Bytes{});
  return at;
}

void NetlinkRequest::end(size_t nest) noexcept {
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(&bytes_[nest], &length, sizeof length);
}

Bytes NetlinkRequest::finish(uint32_t sequence) noexcept {
  nlmsghdr head;
  std::memcpy(&head, bytes_.data(), sizeof head);
  head.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  head.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &head, sizeof head);
  return bytes_;
}

NetlinkReply read_reply(Bytes datagram, uint32_t sequence) {
  NetlinkReply reply;
  while (!datagram.empty()) {
    nlmsghdr head;
    if (datagram.size() >= sizeof head) std::memcpy(&head, datagram.data(), sizeof head);
    if (datagram.size() < sizeof head || head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.size()) {
      reply.done = true;
      reply.status = NetlinkStatus::failed(EBADMSG, "a damaged netlink message");
      return reply;
    }
    const Bytes body = datagram.subspan(sizeof head, head.nlmsg_len - sizeof head);
    datagram = datagram.subspan(std::min(align(head.nlmsg_len), datagram.size()));
    if (head.nlmsg_seq != sequence) continue;  // an answer to somebody who gave up
    if (head.nlmsg_type == NLMSG_ERROR) {
      reply.done = true;
      int32_t error = -EBADMSG;
      if (body.size() >= sizeof error) std::memcpy(&error, body.data(), sizeof error);
      if (error == INT32_MIN) error = -EBADMSG;
      if (error != 0) reply.status = NetlinkStatus::failed(error < 0 ? -error : error, words(body, head.nlmsg_flags));
      return reply;
    }
    if (head.nlmsg_type == NLMSG_DONE) {
      reply.done = true;
    } else if (head.nlmsg_type >= NLMSG_MIN_TYPE && body.size() >= sizeof(genlmsghdr)) {
      reply.attributes.push_back(body.subspan(sizeof(genlmsghdr)));
    }
  }
  return reply;
}

GenericNetlink::~GenericNetlink() {
  if (fd_ >= 0) close(fd_);
}

NetlinkStatus GenericNetlink::open() {
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  if (fd_ < 0) return NetlinkStatus::failed(errno, "netlink socket");
  const int on = 1;
  const timeval patience{kPatienceSeconds, 0};
  if (setsockopt(fd_, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) ||
      setsockopt(fd_, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) ||
      setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
    return NetlinkStatus::failed(errno, "netlink socket options");
  return {};
}

NetlinkStatus GenericNetlink::ask(NetlinkRequest& request, std::vector<uint8_t>& answer) {
  answer.clear();
  const uint32_t sequence = ++sequence_;
  const Bytes message = request.finish(sequence);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
    return NetlinkStatus::failed(errno, "netlink request");
  std::vector<uint8_t> datagram(kLargestReply);
  for (;;) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const ssize_t got =
        recvfrom(fd_, datagram.data(), datagram.size(), MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return NetlinkStatus::failed(errno == EAGAIN ? ETIMEDOUT : errno, "netlink answer");
    if (static_cast<size_t>(got) > datagram.size()) return NetlinkStatus::failed(EMSGSIZE, "netlink answer");
    if (from.nl_pid != 0) continue;  // only the kernel's word counts
    NetlinkReply reply = read_reply(Bytes(datagram.data(), static_cast<size_t>(got)), sequence);
    if (!reply.attributes.empty()) answer.assign(reply.attributes.back().begin(), reply.attributes.back().end());
    if (reply.done) return std::move(reply.status);
  }
}

NetlinkStatus GenericNetlink::family(const char* name, uint16_t& id) {
  NetlinkRequest request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
  request.put(CTRL_ATTR_FAMILY_NAME, std::string_view(name));
  std::vector<uint8_t> answer;
  if (NetlinkStatus status = ask(request, answer); !status.ok()) return status;
  AttributeReader reader{Bytes(answer)};
  for (Attribute attribute; reader.next(attribute);) {
    if (attribute.type != CTRL_ATTR_FAMILY_ID || attribute.payload.size() < sizeof id) continue;
    std::memcpy(&id, attribute.payload.data(), sizeof id);
    return {};
  }
  return NetlinkStatus::failed(EBADMSG, "the family has no number");
}

}  // namespace tapline
