#include "host/unused_memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace tapline {

namespace {
struct Range {
  uintptr_t from, to;
};

/// Mapped from the program's file and never written to. Looking is dear: the kernel walks all pages of the process.
std::vector<Range> clean_text() {
  std::vector<Range> found;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/smaps", "re"), fclose);
  if (length <= 0 || !maps) return found;
  self[length] = 0;

  Range range{};
  bool text = false;
  char line[4096 + 128];
  while (fgets(line, sizeof line, maps.get())) {
    char rights[5];
    int path = 0;
    Range next{};
    size_t kib = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &next.from, &next.to, rights, &path) == 3 &&
        path > 0) {
      line[strcspn(line, "\n")] = 0;
      range = next;
      text = rights[1] == '-' && rights[3] == 'p' && strcmp(line + path, self) == 0;
    } else if (text && sscanf(line, "Anonymous: %zu", &kib) == 1) {
      // A page that is not the file's was written to (relocations): it would be lost.
      if (kib == 0) found.push_back(range);
      text = false;
    }
  }
  return found;
}
}  // namespace

void release_unused() noexcept {
  static const std::vector<Range> text = clean_text();
  for (const Range& range : text) madvise(reinterpret_cast<void*>(range.from), range.to - range.from, MADV_DONTNEED);
  malloc_trim(0);
}

}  // namespace tapline
