// relay_joins --socket PATH [--orphan-after-ms N]
// Holds multicast memberships for the agent (relay/joins/holder.h), until it is told to release them, or SIGTERM.
// Started by the agent, but not ended with it. Leaves on standard error one line when it cannot begin, and exits
// with 1.
#include <charconv>
#include <cstdio>
#include <cstring>

#include "relay/joins/holder.h"

int main(int count, char** words) {
  tapline::relay::HolderOptions options;
  bool right = count % 2 == 1;
  for (int i = 1; right && i < count; i += 2) {
    const char* value = words[i + 1];
    if (std::strcmp(words[i], "--socket") == 0) {
      options.socket = value;
    } else if (std::strcmp(words[i], "--orphan-after-ms") == 0) {
      const auto [end, error] = std::from_chars(value, value + std::strlen(value), options.orphan_after_ms);
      right = error == std::errc{} && *end == 0;
    } else {
      right = false;
    }
  }
  if (!right || options.socket.empty()) {
    std::fprintf(stderr, "relay_joins: its options are wrong\n");
    return 2;
  }
  tapline::relay::Holder holder(std::move(options));
  if (const std::string problem = holder.open(); !problem.empty()) {
    std::fprintf(stderr, "relay_joins: %s\n", problem.c_str());
    return 1;
  }
  holder.run();
  return 0;
}
