// Preloaded into a process of a test: its wall clock, as if somebody had set it. The machine's own stays as it is.
// Enters: CLOCK_STEP, the path of a file of 8 bytes: nanoseconds to add, written by the test while the process runs.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* step;

__attribute__((constructor)) static void map_step(void) {
  const char* path = getenv("CLOCK_STEP");
  const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) abort();
  step = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, fd, 0);
  if (step == MAP_FAILED) abort();
  close(fd);
}

int clock_gettime(clockid_t which, struct timespec* out) {
  const int failed = (int)syscall(SYS_clock_gettime, which, out);
  if (failed || which != CLOCK_REALTIME || !step) return failed;
  const int64_t ns = out->tv_sec * INT64_C(1000000000) + out->tv_nsec + *step;
  *out = (struct timespec){ns / 1000000000, ns % 1000000000};
  return 0;
}

// What JavaScript's Date asks.
int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  return 0;
}
