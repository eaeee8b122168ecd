// relay_worker --folder F --interface INDEX [--cpu N] [--block-kib N] [--blocks N] [--retire-ms N] [--send-kib N]
// Relays what comes in by one interface, after the rules in F (relay/afpacket/worker.h), until SIGTERM. Started by the
// agent, but not ended with it. Leaves on standard error one line "CODE detail" when it cannot go on, and exits with 1.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "relay/afpacket/worker.h"

namespace {

bool number(const char* text, uint32_t least, uint32_t most, uint32_t& out) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), out);
  return error == std::errc{} && *end == 0 && out >= least && out <= most;
}

bool read(int count, char** words, tapline::relay::WorkerOptions& out) {
  for (int i = 1; i < count; i += 2) {
    const auto is = [&](const char* name) { return std::strcmp(words[i], name) == 0; };
    if (i + 1 == count) return false;
    const char* value = words[i + 1];
    uint32_t cpu = 0;
    if (is("--folder"))
      out.folder = value;
    else if (is("--interface") && number(value, 1, INT32_MAX, out.ifindex))
      continue;
    else if (is("--cpu") && number(value, 0, 1023, cpu))
      out.cpu = static_cast<int>(cpu);
    else if (is("--block-kib") && number(value, 4, 4096, out.block_kib) && out.block_kib % 4 == 0)
      continue;
    else if (is("--blocks") && number(value, 2, 65536, out.blocks))
      continue;
    else if (is("--retire-ms") && number(value, 1, 1000, out.retire_ms))
      continue;
    else if (is("--send-kib") && number(value, 64, 1 << 20, out.send_kib))
      continue;
    else
      return false;
  }
  return !out.folder.empty() && out.ifindex > 0;
}

}  // namespace

int main(int count, char** words) {
  tapline::relay::WorkerOptions options;
  if (!read(count, words, options)) {
    std::fprintf(stderr, "RELAY_WORKER_FAILED its options are wrong\n");
    return 2;
  }
  tapline::relay::Worker worker(std::move(options));
  tapline::CaptureStatus status = worker.open();
  if (status.ok()) status = worker.run();
  if (status.ok()) return 0;
  dprintf(STDERR_FILENO, "%s %s\n", status.code, status.detail.c_str());
  return 1;
}
