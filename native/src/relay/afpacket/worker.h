// A worker: one process, one input interface, two threads. Enters: the table's file and the figures' file, an
// interface. Leaves: packets relayed, until it is told to end or the interface is gone. The packet thread never waits
// for the other, which reads tables, asks the kernel what the ring had to drop, and hears signals.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "capture/ring.h"
#include "relay/afpacket/compiled.h"
#include "relay/afpacket/forwarder.h"
#include "relay/afpacket/hush.h"

namespace tapline::relay {

struct WorkerOptions {
  std::string folder;  ///< holds `rules` and `figures`
  unsigned ifindex = 0;
  int cpu = -1;              ///< of the packet thread; negative: any
  uint32_t block_kib = 128;  ///< holds a super-packet of 64 KiB
  uint32_t blocks = 256;
  uint32_t retire_ms = 1;       ///< a packet waits this long at most for others to come
  uint32_t send_kib = 8 << 10;  ///< of each output interface: what the kernel may hold of ours
};

class Worker {
 public:
  explicit Worker(WorkerOptions options) : options_(std::move(options)) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Everything opened, the table read, frames let in.
  CaptureStatus open();
  /// Until SIGTERM or SIGINT (an empty code), or until it cannot go on.
  CaptureStatus run();

 private:
  CaptureStatus watch();
  bool read_table_file();
  void offer(std::unique_ptr<Compiled> table);
  void forget_old();
  void count_drops() noexcept;
  void relay() noexcept;
  void wake() const noexcept;

  WorkerOptions options_;
  FiguresFile figures_;
  Ring ring_;
  Hush hush_;
  Devices devices_;
  std::unique_ptr<Forwarder> forwarder_;
  uint64_t seed_ = 0;

  int signals_ = -1, changes_ = -1, wake_ = -1;
  std::vector<std::unique_ptr<Compiled>> tables_;  ///< the one in use, one that is offered, and those not yet forgotten
  std::atomic<const Compiled*> offered_{nullptr};
  std::atomic<const Compiled*> in_use_{nullptr};
  std::atomic<bool> ending_{false};
  std::thread packets_;
};

}  // namespace tapline::relay
