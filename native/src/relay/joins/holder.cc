#include "relay/joins/holder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

namespace tapline::relay {

namespace {
constexpr size_t kClients = 8;
constexpr size_t kLongestLine = 256;
constexpr size_t kMostMemberships = 65536;
constexpr size_t kMostUnread = 16 << 20;  ///< of answers; who does not read them is not kept
constexpr int kLookMs = 1000;

uint64_t now_ms() noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}
std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }
}  // namespace

Holder::~Holder() {
  for (const Client& client : clients_) close(client.fd);
  if (listener_ >= 0) unlink(options_.socket.c_str());
  for (const int fd : {listener_, signals_, lock_})
    if (fd >= 0) close(fd);
}

std::string Holder::open() {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (options_.socket.size() >= sizeof at.sun_path) return "its socket's path is too long";
  std::memcpy(at.sun_path, options_.socket.c_str(), options_.socket.size());
  lock_ = ::open((options_.socket + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return failed("lock");
  if (flock(lock_, LOCK_EX | LOCK_NB)) return "another one runs";

  rlimit files{};  // one for every 20 groups
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

  unlink(options_.socket.c_str());  // of one that was killed: the lock says that nobody listens
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const mode_t before = umask(0177);
  const bool bound = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  umask(before);
  if (!bound || listen(fd, kClients)) {
    const std::string problem = failed("listen");
    if (fd >= 0) close(fd);
    return problem;
  }
  listener_ = fd;
  heard_ms_ = now_ms();
  return {};
}

void Holder::run() {
  while (!ending_ || !clients_.empty()) {
    std::vector<pollfd> waiting{{signals_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Client& client : clients_)
      waiting.push_back({client.fd, static_cast<short>(client.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    poll(waiting.data(), waiting.size(), kLookMs);
    if (waiting[0].revents != 0) return;
    size_t i = 2;
    for (auto client = clients_.begin(); client != clients_.end(); i++) {
      const short what = waiting[i].revents;
      bool goes_on = true;
      if (what & (POLLIN | POLLHUP | POLLERR)) goes_on = read_from(*client);
      if (goes_on && !client->out.empty()) goes_on = write_to(*client);
      if (ending_ && client->out.empty()) goes_on = false;
      if (goes_on) {
        ++client;
        continue;
      }
      close(client->fd);
      client = clients_.erase(client);
    }
    if (waiting[1].revents != 0 && !ending_) accept_one();
    if (options_.orphan_after_ms > 0 && now_ms() - heard_ms_ > options_.orphan_after_ms) groups_.want({});
  }
}

void Holder::accept_one() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  ucred peer{};
  socklen_t length = sizeof peer;
  const bool known =
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
  if (!known || clients_.size() >= kClients) {
    close(fd);
    return;
  }
  clients_.push_back({fd, {}, {}, {}, 0});
}

bool Holder::read_from(Client& client) {
  char bytes[16384];
  for (;;) {
    const ssize_t got = read(client.fd, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    client.in.append(bytes, static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = client.in.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (!line(client, std::string_view(client.in).substr(begin, end - begin))) return false;
    client.in.erase(0, begin);
    if (client.in.size() > kLongestLine || client.out.size() > kMostUnread) return false;
  }
}

bool Holder::line(Client& client, std::string_view text) {
  if (client.expected > 0) {
    const auto membership = read_membership(text);
    if (!membership) return false;
    client.wanted.insert(*membership);
    if (--client.expected == 0) apply(client);
    return true;
  }
  heard_ms_ = now_ms();
  if (text == "ping") {
    client.out += "end " + std::to_string(groups_.held()) + '\n';
    return true;
  }
  if (text == "release") {
    groups_.want({});
    client.out += "end 0\n";
    ending_ = true;
    return true;
  }
  constexpr std::string_view kWant = "want ";
  if (!text.starts_with(kWant)) return false;
  const std::string_view digits = text.substr(kWant.size());
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), client.expected);
  if (error != std::errc{} || end != digits.data() + digits.size() || client.expected > kMostMemberships) return false;
  client.wanted.clear();
  if (client.expected == 0) apply(client);
  return true;
}

void Holder::apply(Client& client) {
  for (const auto& [membership, error] : groups_.want(client.wanted))
    client.out += "failed " + text_of(membership) + ' ' + std::to_string(error) + '\n';
  client.out += "end " + std::to_string(groups_.held()) + '\n';
  client.wanted.clear();
}

bool Holder::write_to(Client& client) {
  while (!client.out.empty()) {
    const ssize_t put = write(client.fd, client.out.data(), client.out.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN;
    client.out.erase(0, static_cast<size_t>(put));
  }
  return true;
}

}  // namespace tapline::relay
