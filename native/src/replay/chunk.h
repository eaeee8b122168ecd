// A stretch of the capture, read and decoded by one thread. Enters: a byte range of the file. Leaves: its tracked
// packets, parted by the thread that follows them, and the ledger's counts. Nothing here depends on what came before:
// the pipeline confirms that later.
#pragma once
#include <cstdint>
#include <vector>

#include "decode/decode.h"
#include "decode/tally.h"
#include "replay/capture_file.h"

namespace tapline {

struct Chunk {
  uint64_t begin = 0;  ///< first record's offset: known, or guessed
  uint64_t reached = 0;
  Step step = Step::kEnd;
  FileStatus status;
  std::vector<std::vector<Packet>> parts;  ///< by thread; time_ns is the chunk's own running maximum
  std::vector<int64_t> times;              ///< of every frame, as captured
  std::vector<Tally> tally;                ///< by interface
  int64_t latest = 0;                      ///< largest of `times`

  explicit Chunk(unsigned threads) : parts(threads) {}
  void clear() noexcept;
  uint64_t frames() const noexcept { return times.size(); }
  /// Frames whose time lay behind the clock, given the clock before the chunk.
  uint64_t behind(int64_t clock, int64_t shift) const noexcept;

  /// Makes the stretch resident; false, and broken, when the file has shrunk. Before anything of it is looked at.
  bool touch(const CaptureFile& file, uint64_t from, uint64_t end) noexcept;
  /// Reads on from `from` (appending) until a record boundary at or past `end`.
  void read(const CaptureFile& file, uint64_t from, uint64_t end, const HashSeed& seed) noexcept;
};

}  // namespace tapline
