// Enters: the path of a pcap or pcapng file. Leaves: its records, in file order, straight from the mapping.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tapline {

/// Codes of domain/errors.ts; `ok` is empty.
struct FileStatus {
  const char* code = "";  ///< static string
  uint64_t offset = 0;    ///< where in the file
  std::string detail;     ///< for the message: an errno's text, a length, a magic number
  bool ok() const noexcept { return *code == 0; }
};

struct CaptureInterface {
  std::string name;  ///< if_name of pcapng, else ""
  uint16_t link_type;
  uint32_t snap_length;  ///< 0: no limit
  uint64_t units_per_second;
  int64_t offset_seconds;  ///< pcapng if_tsoffset
  uint64_t capture_drops;  ///< what the capturing program says it dropped (pcapng statistics, which are running totals:
                           ///< the largest met)
};

struct Record {
  const uint8_t* frame;
  uint32_t captured;
  uint32_t wire_length;
  int64_t time_ns;
  uint16_t interface;
  uint16_t link_type;
};

enum class Step : uint8_t {
  kRecord,   ///< `out` is filled
  kEnd,      ///< the offset has reached `end` (a record boundary at or past it), or the file's end
  kChanged,  ///< pcapng: the next block starts a section or adds an interface: only the one sequential cursor may go on
  kBroken,   ///< the file is damaged here; see status
};

class CaptureFile {
 public:
  /// Maps the file. On failure `status` says why and the pointer is null.
  static std::unique_ptr<CaptureFile> open(const char* path, FileStatus& status);
  ~CaptureFile();
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;

  bool pcapng() const noexcept;
  uint64_t size() const noexcept;
  /// Offset of the first packet record (pcapng: after the leading section and interface blocks).
  uint64_t first_record() const noexcept;
  const std::vector<CaptureInterface>& interfaces() const noexcept;

  /// Makes [from, from+length) resident and mapped in one call (MADV_POPULATE_READ where the kernel has it).
  /// False when the file has shrunk underneath us (or its disk fails), which a touch would answer with SIGBUS.
  [[nodiscard]] bool populate(uint64_t from, uint64_t length) const noexcept;

  /// Brings the lines that next() and decode() will touch in [from, to) into the cache; `from` is a record boundary,
  /// the range is populated, a megabyte or less. Each record says where the next one is, so that a plain walk waits for
  /// memory once per record; this walks from several guessed boundaries at once, and the waits overlap. Wrong guesses
  /// cost time, nothing else.
  void warm(uint64_t from, uint64_t to) const noexcept;

  /// Reads the record at `offset` and moves `offset` past it. Non-packet pcapng blocks are passed over. Stateless: any
  /// thread, any offset that is a record boundary. Returns kEnd without reading when offset >= end.
  Step next(uint64_t& offset, uint64_t end, Record& out, FileStatus& status) const noexcept;

  /// pcapng: applies the section or interface block at `offset` (after kChanged) and moves past it. One thread, while
  /// no other reads.
  Step apply_change(uint64_t& offset, FileStatus& status);

  /// To read the file again from first_record(). Blocks applied before keep their interfaces when they are applied
  /// again.
  void rewind() noexcept;

  /// A likely record boundary in [from, to): the first offset from which a chain of plausible records follows. `to`
  /// when there is none. Only a guess: whoever uses it must check that the record before really ends there.
  uint64_t guess_boundary(uint64_t from, uint64_t to) const noexcept;

 private:
  struct State;
  explicit CaptureFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tapline
