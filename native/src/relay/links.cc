#include "relay/links.h"

#include <dirent.h>

#include <cstdio>

#include "relay/tc_filter.h"

namespace tapline::relay {

namespace {

/// False: it is no port's name.
bool read_name(const std::string& name, PortName& port, bool& filter) {
  const char* text = name.c_str();
  filter = std::sscanf(text, "filter_tc_%u", &port.ifindex) == 1;
  port.engine = RELAY_XDP;
  if (!filter && std::sscanf(text, "link_xdp_%u", &port.ifindex) == 1) return true;
  port.engine = RELAY_TC;
  return filter || std::sscanf(text, "link_tc_%u", &port.ifindex) == 1;
}

}  // namespace

std::string pin_of(const PortName& port, bool filter) {
  return std::string(filter ? "filter_" : "link_") + (port.engine == RELAY_XDP ? "xdp_" : "tc_") +
         std::to_string(port.ifindex);
}

uint32_t program_of(const PortName& port, const Link& link) {
  if (link.filter != 0) return filter_program(port.ifindex, link.filter);
  const auto info = info_of<bpf_link_info>(link.fd.get());
  // Both kinds begin with the interface's index: 0 when it is gone.
  return info.xdp.ifindex == port.ifindex ? info.prog_id : 0;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> out;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return out;
  while (const dirent* entry = readdir(open))
    if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
  closedir(open);
  return out;
}

Links links_in(const std::string& folder, uint32_t handle) {
  Links out;
  for (const std::string& name : names_in(folder)) {
    PortName port{};
    bool filter = false;
    if (!read_name(name, port, filter)) continue;
    const std::string path = folder + "/" + name;
    Link link{filter ? Descriptor() : Descriptor(bpf_obj_get(path.c_str())), name, filter ? handle : 0};
    if (program_of(port, link) == 0)
      std::remove(path.c_str());
    else
      out.emplace(port, std::move(link));
  }
  return out;
}

void clear_pins(const std::string& folder, uint32_t handle) {
  for (const std::string& name : names_in(folder)) {
    PortName port{};
    bool filter = false;
    if (read_name(name, port, filter) && filter) remove_filter(port.ifindex, handle);
    std::remove((folder + "/" + name).c_str());
  }
}

}  // namespace tapline::relay
