#include "relay/former_pins.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>

#include "relay/tc_filter.h"

namespace tapline::relay {

namespace {

/// v and a number.
bool is_layout(const std::string& name) {
  return name.size() > 1 && name[0] == 'v' && name.find_first_not_of("0123456789", 1) == std::string::npos;
}

}  // namespace

Status FormerPins::find(const std::string& pins) {
  const size_t last = pins.rfind('/');
  if (last == std::string::npos || !is_layout(pins.substr(last + 1))) return {};
  const std::string parent = pins.substr(0, last);
  for (const std::string& name : names_in(parent)) {
    if (!is_layout(name) || name == pins.substr(last + 1)) continue;
    const std::string path = parent + "/" + name;
    Descriptor lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock.open() || flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
      return {"RELAY_PINS", path + " is used by another relay"};
    links_.merge(links_in(path, filter_handle(pins)));
    folders_.push_back({path, std::move(lock)});
  }
  return {};
}

void FormerPins::forget(const std::string& pin) {
  for (const Folder& folder : folders_) std::remove((folder.path + "/" + pin).c_str());
}

void FormerPins::remove(uint32_t handle) {
  links_.clear();
  for (const Folder& folder : folders_) {
    clear_pins(folder.path, handle);
    rmdir(folder.path.c_str());
  }
  folders_.clear();
}

}  // namespace tapline::relay
