// The times in which an interface was not seen, or not all of it. Enters: outages as they begin and end, and what rings
// had no room for. Leaves: a record for each when it is over; of an outage that goes on, one a second, of the same
// beginning, unless the interface was removed.
#pragma once
#include <cstdint>
#include <mutex>
#include <vector>

#include "flow/outbox.h"
#include "generated/vocabulary.h"

namespace tapline {

class BlindLog {
 public:
  explicit BlindLog(Outbox& outbox) : outbox_(outbox) {}

  /// An outage of one reason; another one that is open on the port ends then.
  void begin(size_t port, BlindReason reason, int64_t at);
  void end(size_t port, int64_t at);
  /// The port came to nothing.
  void forget(size_t port);
  /// A ring had no room some time within. From any thread; near ones are one record.
  void ring_full(size_t port, int64_t since, int64_t until);

  /// Hands on what is over; what the outbox has no room for waits here, up to a limit.
  void flush(int64_t now);
  /// The capture ended: everything is over.
  void finish(int64_t now);

  uint64_t dropped();

 private:
  static constexpr int64_t kNear = 1'000'000'000;
  static constexpr size_t kLimit = 4096;  ///< of records that wait; more are dropped, and counted
  struct Times {
    int64_t since = 0, until = 0;
    BlindReason reason{};
    bool open = false;
  };
  struct OfPort {
    Times outage, full;
  };
  OfPort& of(size_t port);
  void record(size_t port, const Times& times);
  std::vector<uint8_t> bytes() const;

  Outbox& outbox_;
  std::mutex mutex_;
  std::vector<OfPort> ports_;
  std::vector<BlindRecord> over_;
  uint64_t dropped_ = 0;
};

}  // namespace tapline
