// What became of a step: a code of domain/errors.ts, and the words for its text.
#pragma once
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace tapline::relay {

struct [[nodiscard]] Status {
  const char* code = "";
  std::string detail;
  bool ok() const noexcept { return *code == 0; }
  static Status failed(const char* code, std::string_view what, int error) {
    return {code, std::string(what) + ": " + std::strerror(error < 0 ? -error : error)};
  }
};

/// A file descriptor and its end.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const noexcept { return fd_; }
  bool open() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace tapline::relay
