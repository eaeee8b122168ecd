// What this kernel lets this process do, found out by doing it. Enters: nothing. Leaves: each step of a capture, tried
// on sockets that take no frame, and how good the clock is. Nothing stays open or changed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tapline {

struct Probe {
  enum class Outcome : uint8_t { Works, Fails, Unknown };
  const char* name;
  Outcome outcome;
  std::string detail;  ///< the kernel's words, unless it works
};

/// packetSocket, packetRing, ringLocked, fanout, ignoreOutgoing, fanoutProgram; those after a step that failed are
/// Unknown. Sends one frame of an experimental type over the loopback interface.
std::vector<Probe> probe_capture();

struct ClockState {
  bool synchronised = false;
  double estimated_error_us = 0;
  double largest_error_us = 0;
};
ClockState clock_state();

}  // namespace tapline
