// Enters: what traffic to make. Leaves: a capture file and, beside it, the truth about it: what an observer of
// docs/semantics.md must count. The same options give the same bytes of both files on every machine.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

namespace tapline {

enum class TrafficKind : uint8_t { kMacsec, kIpsec, kMixed, kTcp };

/// The fields of GenerateOptions in native/engine.ts.
struct GenerateOptions {
  std::string path;
  std::string truth_path;  ///< empty: no truth file
  uint64_t packets = 0;    ///< written to the capture
  uint64_t flows = 1;
  TrafficKind protocol = TrafficKind::kMacsec;
  uint64_t seed = 1;
  double loss = 0;       ///< share of the numbers, at most 0.9
  double reorder = 0;    ///< share of the packets, at most 0.5
  double duplicate = 0;  ///< share of the packets, at most 1
  uint64_t rekey = 0;    ///< numbers between rekeys; 0: never
  bool xpn = false;
  bool esn = false;
  bool ipv6 = false;
  bool vlan = false;
  uint32_t min_size = 64;
  uint32_t max_size = 1500;
  double pps = 1e6;
  bool nanosecond = true;
  bool pcapng = false;  ///< always in nanoseconds
  int64_t start_ns = 0;
};

struct GenerateResult {
  const char* code = "";  ///< of domain/errors.ts; empty when all went well
  std::string path;       ///< the file that could not be written
  std::string detail;
  bool complete = false;  ///< false after a stop: both files are sound and agree, but shorter
  uint64_t packets = 0;
  uint64_t bytes = 0;  ///< on the wire
  uint64_t flows = 0;  ///< as an observer counts them: each rekey makes another
  uint64_t lost = 0;   ///< as an observer counts them
  bool ok() const noexcept { return *code == 0; }
};

/// Blocks until done or stopped. `made` counts the packets written so far; `stop` ends the work within a few thousand
/// packets.
[[nodiscard]] GenerateResult generate(const GenerateOptions& options, std::atomic<uint64_t>& made,
                                      const std::atomic<bool>& stop);

}  // namespace tapline
