// The pcap format: a header of 24 bytes, then records of 16 bytes and a frame each.
// Enters: mapped bytes. Leaves: one record at a time, in a handful of instructions.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "bytes.h"
#include "replay/capture_file.h"

namespace tapline {

/// No frame is longer, whatever a header says: libpcap's and Wireshark's own limit. A larger snap length raises it, up
/// to:
constexpr uint32_t kLongestFrame = 262'144;
constexpr uint32_t kLongestSnapLength = 64u << 20;

constexpr uint32_t frame_limit(uint32_t snap_length) noexcept {
  return std::clamp(snap_length, kLongestFrame, kLongestSnapLength);
}

/// Asks for the line at which the next record starts and the one behind it: header and, mostly, all that decoding
/// reads. A prefetch never faults, so that it may point past the mapping.
inline void prefetch_record(const uint8_t* at) noexcept {
  __builtin_prefetch(at);
  __builtin_prefetch(at + 64);
}

struct PcapFormat {
  bool swapped = false;
  uint32_t fraction_ns = 1000;  ///< ns per unit of the fraction: 1000 or 1
  uint32_t limit = kLongestFrame;
  uint16_t link_type = 0;

  static constexpr uint64_t kHeader = 24;
  static constexpr uint64_t kRecord = 16;

  template <bool kSwapped>
  Step next(const uint8_t* data, uint64_t size, uint64_t& offset, Record& out, FileStatus& status) const noexcept {
    if (size - offset < kRecord) [[unlikely]]
      return truncated(offset, status);
    const uint8_t* header = data + offset;
    const uint32_t captured = load<uint32_t, kSwapped>(header + 8);
    if (captured > limit) [[unlikely]]
      return impossible(offset, captured, status);
    if (size - offset - kRecord < captured) [[unlikely]]
      return truncated(offset, status);
    out.frame = header + kRecord;
    prefetch_record(out.frame + captured);
    out.captured = captured;
    out.wire_length = load<uint32_t, kSwapped>(header + 12);
    out.time_ns = int64_t{load<uint32_t, kSwapped>(header)} * 1'000'000'000 +
                  int64_t{load<uint32_t, kSwapped>(header + 4)} * fraction_ns;
    out.interface = 0;
    out.link_type = link_type;
    offset += kRecord + captured;
    return Step::kRecord;
  }

  /// The first offset in [from, to) from which several plausible records follow, or reach the end of the file exactly.
  template <bool kSwapped>
  uint64_t guess(const uint8_t* data, uint64_t size, uint64_t from, uint64_t to) const noexcept {
    if (size < kHeader + kRecord) return UINT64_MAX;
    const uint32_t first = load<uint32_t, kSwapped>(data + kHeader);
    to = std::min(to, size - kRecord + 1);
    for (uint64_t offset = from; offset < to; ++offset) {
      if (chain<kSwapped>(data, size, offset, first)) return offset;
    }
    return UINT64_MAX;
  }

  /// How far the record at `offset` reaches, 0 when it cannot be one.
  template <bool kSwapped>
  uint64_t length_at(const uint8_t* data, uint64_t size, uint64_t offset) const noexcept {
    if (size - offset < kRecord) return 0;
    const uint32_t captured = load<uint32_t, kSwapped>(data + offset + 8);
    return captured > limit ? 0 : kRecord + captured;
  }

 private:
  static constexpr int kChain = 5;
  static constexpr uint32_t kDay = 86'400, kYear = 366 * kDay;

  template <bool kSwapped>
  bool chain(const uint8_t* data, uint64_t size, uint64_t offset, uint32_t first) const noexcept {
    uint32_t before = 0;
    for (int i = 0; i < kChain; ++i) {
      if (offset == size && i > 0) return true;
      if (size - offset < kRecord) return false;
      const uint8_t* header = data + offset;
      const uint32_t captured = load<uint32_t, kSwapped>(header + 8);
      if (captured > limit || size - offset - kRecord < captured) return false;
      if (load<uint32_t, kSwapped>(header + 12) > limit) return false;
      if (load<uint32_t, kSwapped>(header + 4) >= 1'000'000'000 / fraction_ns) return false;
      const uint32_t seconds = load<uint32_t, kSwapped>(header);
      if (apart(seconds, first) > kYear || (i > 0 && apart(seconds, before) > kDay)) return false;
      before = seconds;
      offset += kRecord + captured;
    }
    return true;
  }

  static uint32_t apart(uint32_t a, uint32_t b) noexcept { return a < b ? b - a : a - b; }

  [[gnu::cold]] static Step truncated(uint64_t offset, FileStatus& status) {
    status = {"FILE_TRUNCATED", offset, ""};
    return Step::kBroken;
  }
  [[gnu::cold]] static Step impossible(uint64_t offset, uint32_t captured, FileStatus& status) {
    status = {"FILE_BAD_LENGTH", offset, "a captured length of " + std::to_string(captured)};
    return Step::kBroken;
  }
};

}  // namespace tapline
