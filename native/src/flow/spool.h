// Results for which the outbox has no memory, in a file beside the database until they are taken. A million gaps in two
// seconds come faster than any database takes them. Enters and leaves: batches, in their order. The file has no name,
// so that nothing is left of it when the process dies.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace tapline {

enum class ResultKind : uint8_t { kFlows, kGaps, kLinks, kBlinds };

struct ResultBatch {
  ResultKind kind;
  std::vector<uint8_t> records;
};

class Spool {
 public:
  explicit Spool(size_t limit) : limit_(limit) {}
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// In the folder of this file. Until then there is no room.
  void beside(const std::string& file);
  bool room() const noexcept { return !folder_.empty() && !refused_ && written_ < limit_; }
  bool empty() const noexcept { return waiting_.empty(); }
  /// False when the file cannot take it: the disk is full. There is no room then until clear().
  [[nodiscard]] bool put(const ResultBatch& batch) noexcept;
  /// The oldest. What cannot be read back is counted, and the next is tried.
  bool take(ResultBatch& out) noexcept;
  /// Forgets what waits; makes room.
  void clear() noexcept;

  /// Bytes that ever went through the file, and batches that it did not give back.
  uint64_t spilled() const noexcept { return spilled_; }
  uint64_t unread() const noexcept { return unread_; }

 private:
  struct Waiting {
    ResultKind kind;
    size_t size;
  };

  const size_t limit_;
  std::string folder_;
  int fd_ = -1;
  bool refused_ = false;
  size_t written_ = 0;  ///< end of what was written; both are 0 again when all is read
  size_t read_ = 0;
  std::deque<Waiting> waiting_;
  uint64_t spilled_ = 0;
  uint64_t unread_ = 0;
};

}  // namespace tapline
