// Enters: frames, built in place. Leaves: a pcap or pcapng file, written in big blocks.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace tapline::generation {

/// A file that is written front to back, through one large buffer.
class OutputFile {
 public:
  OutputFile() = default;
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  [[nodiscard]] bool open(const std::string& path);
  /// Room for `length` bytes (at most 1 MiB); null when the disk failed.
  uint8_t* reserve(uint32_t length) noexcept {
    if (used_ + length > kSize && !flush()) return nullptr;
    return buffer_.get() + used_;
  }
  void commit(uint32_t length) noexcept { used_ += length; }
  [[nodiscard]] bool append(const char* text, size_t length) noexcept;
  [[nodiscard]] bool flush() noexcept;
  /// Overwrites bytes that were written before.
  [[nodiscard]] bool patch(uint64_t offset, const char* text, size_t length) noexcept;
  [[nodiscard]] bool close() noexcept;
  const std::string& path() const noexcept { return path_; }
  /// The text of what went wrong.
  std::string problem() const;

 private:
  static constexpr size_t kSize = 4u << 20;
  std::string path_;
  std::unique_ptr<uint8_t[]> buffer_;
  size_t used_ = 0;
  int fd_ = -1;
  int error_ = 0;
};

class CaptureWriter {
 public:
  static constexpr uint32_t kMaxFrame = 65535;

  /// False: see file().problem().
  [[nodiscard]] bool open(const std::string& path, bool pcapng, bool nanosecond);
  /// Where to build the next frame, kMaxFrame + 128 bytes; null when the disk failed.
  uint8_t* frame() noexcept {
    record_ = file_.reserve(kMaxFrame + 256);
    return record_ == nullptr ? nullptr : record_ + header_;
  }
  /// Finishes the record around the frame that was just built.
  void commit(uint32_t length, uint64_t time_ns) noexcept;
  OutputFile& file() noexcept { return file_; }

 private:
  OutputFile file_;
  uint8_t* record_ = nullptr;
  uint32_t header_ = 16;
  bool pcapng_ = false;
  bool nanosecond_ = true;
};

}  // namespace tapline::generation
