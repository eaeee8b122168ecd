// Any bytes as a capture file: opened through a memfd, walked to its end twice, warmed, and asked for boundaries.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "replay/capture_file.h"

namespace {

/// Every byte handed out must be readable: the sanitizer checks the mapping's bounds page by page, this the file's.
uint64_t walk(tapline::CaptureFile& file) {
  using tapline::Step;
  uint64_t offset = file.first_record(), sum = 0;
  tapline::FileStatus status;
  tapline::Record record;
  for (;;) {
    const uint64_t before = offset;
    Step step = file.next(offset, file.size(), record, status);
    if (step == Step::kChanged)
      step = file.apply_change(offset, status);
    else if (step == Step::kRecord)
      for (uint32_t i = 0; i < record.captured; ++i) sum += record.frame[i];
    if (step != Step::kRecord) {
      if ((step == Step::kBroken) == status.ok()) abort();
      return sum + offset;
    }
    if (offset <= before || offset > file.size() || record.interface >= 0xFFFF) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("capture", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) abort();
  tapline::FileStatus status;
  const auto file = tapline::CaptureFile::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), status);
  if ((file == nullptr) == status.ok()) abort();
  if (file != nullptr) {
    if (!file->populate(0, size)) abort();
    for (uint64_t from = 0; from < size; from += 1 + size / 8) {
      const uint64_t guess = file->guess_boundary(from, size);
      if (guess < from || guess > size) abort();
      file->warm(guess, size);
    }
    const uint64_t first = walk(*file);
    file->rewind();
    if (walk(*file) != first) abort();  // the second pass sees what the first saw
  }
  close(fd);
  return 0;
}
