#include "flow/spool.h"

#include <fcntl.h>
#include <unistd.h>

namespace tapline {

namespace {
/// O_TMPFILE where the file system has it.
int nameless(const std::string& folder) noexcept {
  const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string path = folder + "/.tapline-spool-XXXXXX";
  const int named = mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) unlink(path.c_str());
  return named;
}
}  // namespace

Spool::~Spool() {
  if (fd_ >= 0) close(fd_);
}

void Spool::beside(const std::string& file) {
  const size_t slash = file.rfind('/');
  folder_ = slash == std::string::npos ? "." : file.substr(0, slash + 1);
}

bool Spool::put(const ResultBatch& batch) noexcept {
  const size_t size = batch.records.size();
  if (fd_ < 0) fd_ = nameless(folder_);
  if (fd_ < 0 || pwrite(fd_, batch.records.data(), size, static_cast<off_t>(written_)) != static_cast<ssize_t>(size)) {
    refused_ = true;
    return false;
  }
  written_ += size;
  spilled_ += size;
  waiting_.push_back({batch.kind, size});
  return true;
}

bool Spool::take(ResultBatch& out) noexcept {
  while (!waiting_.empty()) {
    const Waiting next = waiting_.front();
    waiting_.pop_front();
    out.kind = next.kind;
    out.records.resize(next.size);
    const bool whole =
        pread(fd_, out.records.data(), next.size, static_cast<off_t>(read_)) == static_cast<ssize_t>(next.size);
    read_ += next.size;
    if (waiting_.empty()) clear();
    if (whole) return true;
    unread_++;
  }
  return false;
}

void Spool::clear() noexcept {
  refused_ = false;
  if (written_ == 0) return;
  waiting_.clear();
  written_ = read_ = 0;
  if (ftruncate(fd_, 0) != 0) refused_ = true;  // it stays as large as it is, and takes no more for now
}

}  // namespace tapline
