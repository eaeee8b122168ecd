// The pcapng format: blocks of type, length, body and the length again; sections that set the byte order.
// Enters: mapped bytes. Leaves: packets; and the sections and interfaces that change how the following packets are
// read.
#pragma once
#include <cstdint>
#include <vector>

#include "replay/capture_file.h"

namespace tapline {

class PcapngFormat {
 public:
  static constexpr uint32_t kSectionHeader = 0x0A0D0D0A;

  static bool recognizes(const uint8_t* data, uint64_t size) noexcept;

  /// Applies the section and the interfaces before the first packet, and moves behind them.
  Step open(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status);
  void rewind() noexcept { section_ = leading_; }
  Step next(const uint8_t* data, uint64_t size, uint64_t& offset, uint64_t end, Record& out,
            FileStatus& status) noexcept;
  Step apply_change(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status);
  uint64_t guess(const uint8_t* data, uint64_t size, uint64_t from, uint64_t to) const noexcept;
  /// How far the block at `offset` reaches, 0 when it cannot be one.
  uint64_t length_at(const uint8_t* data, uint64_t size, uint64_t offset) const noexcept;

  std::vector<CaptureInterface> interfaces;

 private:
  /// What next() needs of an interface, small.
  struct Clock {
    uint64_t multiplier;  ///< ns per unit when that is a whole number, else 0
    uint64_t units_per_second;
    int64_t offset_seconds;
    uint32_t snap_length;
    uint32_t limit;
    uint16_t link_type;
  };
  struct Block {
    const uint8_t* bytes;
    uint32_t type;
    uint32_t length;
  };

  template <bool kSwapped>
  Step next_in(const uint8_t* data, uint64_t size, uint64_t& offset, uint64_t end, Record& out,
               FileStatus& status) noexcept;
  template <bool kSwapped>
  Step block_at(const uint8_t* data, uint64_t size, uint64_t offset, Block& block, FileStatus& status) const noexcept;
  template <bool kSwapped>
  Step packet(const Block& block, uint64_t offset, Record& out, FileStatus& status) const noexcept;
  template <bool kSwapped>
  Step add_interface(const Block& block, uint64_t offset, FileStatus& status);
  template <bool kSwapped>
  void note_statistics(const Block& block) noexcept;
  template <bool kSwapped>
  uint64_t guess_in(const uint8_t* data, uint64_t size, uint64_t from, uint64_t to) const noexcept;
  Step start_section(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status) noexcept;

  struct Section {
    bool swapped = false;
    size_t first = 0;  ///< its first interface
    size_t count = 0;  ///< interfaces it has so far
  };
  Section section_;
  Section leading_;
  std::vector<Clock> clocks_;
};

}  // namespace tapline
