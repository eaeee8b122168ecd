#include "host/own_text.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

namespace tapline {

size_t release_text() noexcept {
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/smaps", "re"), fclose);
  if (length <= 0 || !maps) return 0;
  self[length] = 0;

  size_t released = 0;
  uintptr_t from = 0, to = 0;
  size_t resident = 0;
  bool text = false;
  char line[4096 + 128];
  while (fgets(line, sizeof line, maps.get())) {
    char rights[5];
    int path = 0;
    uintptr_t first = 0, end = 0;
    size_t kib = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &first, &end, rights, &path) == 3 && path > 0) {
      line[strcspn(line, "\n")] = 0;
      from = first;
      to = end;
      resident = 0;
      text = rights[1] == '-' && rights[3] == 'p' && strcmp(line + path, self) == 0;
    } else if (text && sscanf(line, "Rss: %zu", &kib) == 1) {
      resident = kib << 10;
    } else if (text && sscanf(line, "Anonymous: %zu", &kib) == 1) {
      // A page that is not the file's was written to (relocations): it would be lost.
      if (kib == 0 && madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED) == 0) released += resident;
      text = false;
    }
  }
  return released;
}

}  // namespace tapline
