#include "generate/capture_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "generate/bytes.h"

namespace tapline::generation {

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

bool OutputFile::open(const std::string& path) {
  path_ = path;
  buffer_.reset(new (std::nothrow) uint8_t[kSize]);
  if (!buffer_) {
    error_ = ENOMEM;
    return false;
  }
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) error_ = errno;
  return fd_ >= 0;
}

bool OutputFile::flush() noexcept {
  for (size_t done = 0; done < used_;) {
    const ssize_t count = ::write(fd_, buffer_.get() + done, used_ - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      error_ = count < 0 ? errno : EIO;
      return false;
    }
    done += static_cast<size_t>(count);
  }
  used_ = 0;
  return true;
}

bool OutputFile::append(const char* text, size_t length) noexcept {
  uint8_t* at = reserve(static_cast<uint32_t>(length));
  if (at == nullptr) return false;
  std::memcpy(at, text, length);
  commit(static_cast<uint32_t>(length));
  return true;
}

bool OutputFile::patch(uint64_t offset, const char* text, size_t length) noexcept {
  if (!flush()) return false;
  if (::pwrite(fd_, text, length, static_cast<off_t>(offset)) == static_cast<ssize_t>(length)) return true;
  error_ = errno;
  return false;
}

bool OutputFile::close() noexcept {
  if (!flush()) return false;
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) == 0) return true;
  error_ = errno;
  return false;
}

std::string OutputFile::problem() const { return std::strerror(error_); }

bool CaptureWriter::open(const std::string& path, bool pcapng, bool nanosecond) {
  pcapng_ = pcapng;
  nanosecond_ = nanosecond;
  header_ = pcapng ? 28 : 16;
  if (!file_.open(path)) return false;
  constexpr uint32_t kSnapLength = 262144;
  uint8_t* at = file_.reserve(64);
  if (at == nullptr) return false;
  if (!pcapng) {
    little32(at, nanosecond ? 0xA1B23C4Du : 0xA1B2C3D4u);
    little16(at + 4, 2);
    little16(at + 6, 4);
    little32(at + 8, 0);
    little32(at + 12, 0);
    little32(at + 16, kSnapLength);
    little32(at + 20, 1);  // Ethernet
    file_.commit(24);
    return true;
  }
  little32(at, 0x0A0D0D0Au);  // section header
  little32(at + 4, 28);
  little32(at + 8, 0x1A2B3C4Du);
  little16(at + 12, 1);
  little16(at + 14, 0);
  std::memset(at + 16, 0xFF, 8);  // section length: not given
  little32(at + 24, 28);
  at += 28;
  little32(at, 1);  // interface description
  little32(at + 4, 32);
  little16(at + 8, 1);  // Ethernet
  little16(at + 10, 0);
  little32(at + 12, kSnapLength);
  little16(at + 16, 9);  // if_tsresol
  little16(at + 18, 1);
  little32(at + 20, 9);  // 10^-9 s, padded
  little32(at + 24, 0);  // end of options
  little32(at + 28, 32);
  file_.commit(60);
  return true;
}

void CaptureWriter::commit(uint32_t length, uint64_t time_ns) noexcept {
  if (!pcapng_) {
    const uint64_t seconds = time_ns / 1000000000u;
    const auto rest = static_cast<uint32_t>(time_ns - seconds * 1000000000u);
    little32(record_, static_cast<uint32_t>(seconds));
    little32(record_ + 4, nanosecond_ ? rest : rest / 1000);
    little32(record_ + 8, length);
    little32(record_ + 12, length);
    file_.commit(16 + length);
    return;
  }
  const uint32_t padding = -length & 3;
  const uint32_t total = 32 + length + padding;
  little32(record_, 6);  // enhanced packet
  little32(record_ + 4, total);
  little32(record_ + 8, 0);
  little32(record_ + 12, static_cast<uint32_t>(time_ns >> 32));
  little32(record_ + 16, static_cast<uint32_t>(time_ns));
  little32(record_ + 20, length);
  little32(record_ + 24, length);
  std::memset(record_ + 28 + length, 0, padding);
  little32(record_ + 28 + length + padding, total);
  file_.commit(total);
}

}  // namespace tapline::generation
