#include "relay/afpacket/table_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <type_traits>

namespace tapline::relay {

namespace {
constexpr uint64_t kMagic = 0x31305F5041465054;  // "TPAF_01": another layout has another number
constexpr size_t kMostElements = 1 << 20;        // of any list: no damaged length asks for all memory
constexpr size_t kLargestFile = 256 << 20;

/// FNV-1a, by words: the file is trusted as far as its folder is; this finds what a full disk or a crash cut off.
uint64_t digest(std::span<const uint8_t> bytes) noexcept {
  uint64_t hash = 0xCBF29CE484222325;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3;
  return hash;
}

class Writer {
 public:
  template <typename T>
  void operator()(const T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      const auto* from = reinterpret_cast<const uint8_t*>(&value);
      bytes.insert(bytes.end(), from, from + sizeof value);
    } else {
      fields(*this, value);
    }
  }
  template <size_t N>
  void operator()(const std::array<uint8_t, N>& value) {
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  void operator()(const std::string& value) {
    (*this)(static_cast<uint32_t>(value.size()));
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  template <typename T>
  void operator()(const std::vector<T>& list) {
    (*this)(static_cast<uint32_t>(list.size()));
    for (const T& one : list) (*this)(one);
  }
  template <typename T>
  void operator()(const std::optional<T>& value) {
    (*this)(static_cast<uint8_t>(value ? 1 : 0));
    if (value) (*this)(*value);
  }
  void operator()(const std::variant<WireInput, TunnelInput>& value) {
    (*this)(static_cast<uint8_t>(value.index()));
    std::visit([this](const auto& input) { (*this)(input); }, value);
  }
  std::vector<uint8_t> bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  template <typename T>
  void operator()(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      uint8_t byte = 0;
      (*this)(byte);
      value = byte != 0;
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      take(&value, sizeof value);
    } else {
      fields(*this, value);
    }
  }
  template <size_t N>
  void operator()(std::array<uint8_t, N>& value) {
    take(value.data(), N);
  }
  void operator()(std::string& value) {
    value.resize(length());
    take(value.data(), value.size());
  }
  template <typename T>
  void operator()(std::vector<T>& list) {
    const size_t count = length();
    for (size_t i = 0; i < count && whole_; i++) (*this)(list.emplace_back());
  }
  template <typename T>
  void operator()(std::optional<T>& value) {
    uint8_t there = 0;
    (*this)(there);
    if (there) (*this)(value.emplace());
  }
  void operator()(std::variant<WireInput, TunnelInput>& value) {
    uint8_t which = 0;
    (*this)(which);
    if (which > 1) whole_ = false;
    if (which == 0) (*this)(value.emplace<WireInput>());
    if (which == 1) (*this)(value.emplace<TunnelInput>());
  }
  bool whole() const noexcept { return whole_ && rest_.empty(); }

 private:
  void take(void* to, size_t size) noexcept {
    if (size > rest_.size()) whole_ = false;
    if (!whole_ || size == 0) return;
    std::memcpy(to, rest_.data(), size);
    rest_ = rest_.subspan(size);
  }
  /// Of a list or a text: never more than there are bytes left.
  size_t length() {
    uint32_t count = 0;
    (*this)(count);
    if (count > kMostElements || count > rest_.size()) whole_ = false;
    return whole_ ? count : 0;
  }

  std::span<const uint8_t> rest_;
  bool whole_ = true;
};

// What is in the file, in its order; `A` writes or reads, and `T` is const or not.
template <typename T, typename Plain>
concept Either = std::is_same_v<std::remove_const_t<T>, Plain>;

template <typename A, Either<Address> T>
void fields(A& a, T& x) {
  a(x.family), a(x.bytes);
}
template <typename A, Either<WireInput> T>
void fields(A& a, T& x) {
  a(x.ifindex), a(x.vlan), a(x.protocol), a(x.destination), a(x.port), a(x.sources);
}
template <typename A, Either<TunnelInput> T>
void fields(A& a, T& x) {
  a(x.path), a(x.key), a(x.peers);
}
template <typename A, Either<TunnelOutput> T>
void fields(A& a, T& x) {
  a(x.path), a(x.epoch), a(x.key);
}
template <typename A, Either<Output> T>
void fields(A& a, T& x) {
  a(x.id), a(x.ifindex), a(x.destination), a(x.port), a(x.ttl), a(x.dscp), a(x.source);
  a(x.destination_mac), a(x.source_mac), a(x.mtu), a(x.unready), a(x.tunnel);
}
template <typename A, Either<Rule> T>
void fields(A& a, T& x) {
  a(x.id), a(x.engine), a(x.input), a(x.outputs), a(x.deliver_local), a(x.limit_pps), a(x.limit_burst), a(x.storm_pps);
}
template <typename A, Either<SlottedRule> T>
void fields(A& a, T& x) {
  a(x.rule), a(x.slot), a(x.output_slots);
}
template <typename A, Either<Table> T>
void fields(A& a, T& x) {
  a(x.generation), a(x.ifindex), a(x.rules), a(x.tunnel_addresses), a(x.own_addresses);
}

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

/// Bytes from outside never become a value that the code below does not know.
const char* nonsense(const Table& table) {
  const auto sane = [](const Address& address) { return address.family == 4 || address.family == 6; };
  for (const SlottedRule& one : table.rules) {
    if (one.output_slots.size() != one.rule.outputs.size()) return "an output without a slot";
    for (const Output& output : one.rule.outputs)
      if (!sane(output.destination) || output.unready > Unready::Interface || (output.source && !sane(*output.source)))
        return "an output";
    if (const auto* wire = std::get_if<WireInput>(&one.rule.input)) {
      if (!sane(wire->destination)) return "an input";
      if (wire->protocol != Carried::Udp && wire->protocol != Carried::Esp) return "a protocol";
    }
  }
  return nullptr;
}
}  // namespace

std::vector<uint8_t> write_table(const Table& table) {
  Writer body;
  body(table);
  Writer out;
  out(kMagic);
  out(digest(body.bytes));
  out.bytes.insert(out.bytes.end(), body.bytes.begin(), body.bytes.end());
  return std::move(out.bytes);
}

std::string read_table(std::span<const uint8_t> bytes, Table& out) {
  uint64_t head[2];
  if (bytes.size() < sizeof head) return "it is cut off";
  std::memcpy(head, bytes.data(), sizeof head);
  if (head[0] != kMagic) return "it is of another version";
  const std::span<const uint8_t> body = bytes.subspan(sizeof head);
  if (head[1] != digest(body)) return "it is damaged";
  Reader reader(body);
  reader(out);
  if (!reader.whole()) return "its lengths are wrong";
  if (const char* what = nonsense(out)) return std::string("it makes no sense: ") + what;
  return {};
}

std::string save_table(const std::string& path, const Table& table) {
  const std::vector<uint8_t> bytes = write_table(table);
  const std::string beside = path + ".new";
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed("open");
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t got = write(fd, bytes.data() + written, bytes.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    written += static_cast<size_t>(got);
  }
  std::string problem = written == bytes.size() ? "" : failed("write");
  if (close(fd) && problem.empty()) problem = failed("close");
  if (problem.empty() && rename(beside.c_str(), path.c_str())) problem = failed("rename");
  return problem;
}

std::string load_table(const std::string& path, Table& out) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("open");
  struct stat about {};
  if (fstat(fd, &about) || static_cast<uint64_t>(about.st_size) > kLargestFile) {
    close(fd);
    return "it is too large";
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(about.st_size));
  size_t taken = 0;
  while (taken < bytes.size()) {
    const ssize_t got = read(fd, bytes.data() + taken, bytes.size() - taken);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    taken += static_cast<size_t>(got);
  }
  close(fd);
  bytes.resize(taken);
  return read_table(bytes, out);
}

}  // namespace tapline::relay
