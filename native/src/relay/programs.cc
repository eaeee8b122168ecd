#include "relay/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdio>

#include "bpf/relay.bpf.o.h"
#include "relay/tc_filter.h"

namespace tapline::relay {

namespace {

/// Each costs every packet of the machine a little: they are there while a program of their engine is attached.
struct Observer {
  const char* name;
  uint32_t engine;
};
constexpr Observer kObservers[] = {{"relay_flushed", RELAY_XDP},
                                   {"relay_astray", RELAY_XDP},
                                   {"relay_transmitted", RELAY_TC},
                                   {"relay_freed", RELAY_TC}};
constexpr const char* kPrograms[] = {"relay_xdp",    "relay_device",      "relay_tc",   "relay_flushed",
                                     "relay_astray", "relay_transmitted", "relay_freed"};

struct NamedMap {
  const char* name;
  int MapDescriptors::*fd;
};
constexpr NamedMap kMaps[] = {
    {"inputs4", &MapDescriptors::inputs4},
    {"inputs6", &MapDescriptors::inputs6},
    {"rules", &MapDescriptors::rules},
    {"outputs", &MapDescriptors::outputs},
    {"paths", &MapDescriptors::paths},
    {"windows", &MapDescriptors::windows},
    {"limits", &MapDescriptors::limits},
    {"settings", &MapDescriptors::settings},
    {"own", &MapDescriptors::own},
    {"port_slots", &MapDescriptors::port_slots},
    {"port_counts", &MapDescriptors::port_counts},
    {"rule_counts", &MapDescriptors::rule_counts},
    {"output_counts", &MapDescriptors::output_counts},
    {"rule_names", &MapDescriptors::rule_names},
    {"output_names", &MapDescriptors::output_names},
    {"path_names", &MapDescriptors::path_names},
    {"sequences", &MapDescriptors::sequences},
    {"devices", &MapDescriptors::devices},
    {"scratch", &MapDescriptors::scratch},
    {"tracing", &MapDescriptors::tracing},
    {"traces", &MapDescriptors::traces},
};

bool same_program(int a, int b) {
  const auto one = info_of<bpf_prog_info>(a), other = info_of<bpf_prog_info>(b);
  return one.id != 0 && other.id != 0 && std::memcmp(one.tag, other.tag, sizeof one.tag) == 0;
}

bool same_form(int fd, const bpf_map* map) {
  const auto info = info_of<bpf_map_info>(fd);
  return info.type == bpf_map__type(map) && info.key_size == bpf_map__key_size(map) &&
         info.value_size == bpf_map__value_size(map);
}

}  // namespace

Programs::~Programs() {
  // Links end with their descriptors; a filter would stay.
  if (options_.pins.empty())
    for (const auto& [port, link] : ports_)
      if (link.filter != 0) remove_filter(port.ifindex, link.filter);
  if (object_ != nullptr) bpf_object__close(object_);
}

int Programs::fd(const char* program) const {
  const bpf_program* found = bpf_object__find_program_by_name(object_, program);
  return found == nullptr ? -1 : bpf_program__fd(found);
}

Status Programs::make_folder() {
  std::string path;
  for (size_t at = 0; at != std::string::npos;) {
    at = options_.pins.find('/', at + 1);
    path = options_.pins.substr(0, at);
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Status::failed("RELAY_PINS", path, errno);
  }
  struct statfs system {};
  if (statfs(path.c_str(), &system) != 0) return Status::failed("RELAY_PINS", path, errno);
  if (static_cast<uint32_t>(system.f_type) != BPF_FS_MAGIC) return {"RELAY_PINS", path + " is not in a bpffs"};
  lock_ = Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_.open() || flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    return {"RELAY_PINS", path + " is used by another relay"};
  return {};
}

/// True: all of an earlier relay's maps are there, in our form.
bool Programs::adopt_maps() {
  std::vector<Descriptor> found;
  for (const NamedMap& map : kMaps) {
    Descriptor fd(bpf_obj_get(pin(std::string("map_") + map.name).c_str()));
    if (!fd.open() || !same_form(fd.get(), bpf_object__find_map_by_name(object_, map.name))) return false;
    found.push_back(std::move(fd));
  }
  for (size_t i = 0; i < found.size(); i++) {
    // Programs that are replaced get devices of their own: an entry cannot be replaced without a moment in which it is
    // not there.
    if (kMaps[i].fd == &MapDescriptors::devices)
      adopted_devices_ = std::move(found[i]);
    else if (bpf_map__reuse_fd(bpf_object__find_map_by_name(object_, kMaps[i].name), found[i].get()) != 0)
      return false;
  }
  return true;
}

Status Programs::load(bool observed) {
  if (object_ != nullptr) bpf_object__close(object_);
  LIBBPF_OPTS(bpf_object_open_opts, open, .object_name = "tapline_relay");
  object_ = bpf_object__open_mem(kRelayObject, sizeof kRelayObject, &open);
  if (object_ == nullptr) return Status::failed("RELAY_NOT_ALLOWED", "the relay's programs", errno);
  const auto size = [&](const char* name, uint32_t entries) {
    bpf_map__set_max_entries(bpf_object__find_map_by_name(object_, name), entries);
  };
  // A quarter more than is asked for: what is replaced is freed a second after its last use.
  const uint32_t rules = options_.max_rules + options_.max_rules / 4 + 64;
  const uint32_t outputs = options_.max_outputs + options_.max_outputs / 4 + RELAY_MAX_OUTPUTS;
  for (const char* name : {"rules", "rule_counts", "rule_names", "limits", "paths", "path_names", "sequences"})
    size(name, rules);
  for (const char* name : {"outputs", "output_counts", "output_names"}) size(name, outputs);
  size("path_names", outputs);
  size("sequences", outputs);
  size("inputs4", rules * 4);
  size("inputs6", rules * 4);
  if (!options_.pins.empty()) {
    adopted_ = adopt_maps();
    if (!adopted_) clear_pins(options_.pins, filter_);
  }
  const uint32_t value = observed ? 1 : 0;
  bpf_map__set_initial_value(bpf_object__find_map_by_name(object_, ".rodata.observed"), &value, sizeof value);
  for (const Observer& one : kObservers)
    bpf_program__set_autoload(bpf_object__find_program_by_name(object_, one.name), observed);
  const int error = bpf_object__load(object_);
  // Where mitigations are on, the kernel allows computed places in a packet to CAP_PERFMON only.
  if (error == -EACCES) return Status::failed("RELAY_NOT_ALLOWED", "the relay's programs without CAP_PERFMON", error);
  if (error != 0)
    return Status::failed(error == -EPERM ? "RELAY_NOT_ALLOWED" : "RELAY_FAILED", "the relay's programs", error);
  for (const NamedMap& map : kMaps) maps_.*map.fd = bpf_map__fd(bpf_object__find_map_by_name(object_, map.name));
  if (adopted_) maps_.devices = adopted_devices_.get();
  observed_ = observed;
  return {};
}

Status Programs::pin_maps() {
  for (const NamedMap& map : kMaps)
    if (bpf_obj_pin(maps_.*map.fd, pin(std::string("map_") + map.name).c_str()) != 0)
      return Status::failed("RELAY_PINS", map.name, errno);
  return {};
}

/// Two of a kind may run for a moment: what the first settles is not there for the second.
Status Programs::observe(uint32_t engine) {
  for (const Observer& one : kObservers) {
    if (!observed_ || one.engine != engine) continue;
    bpf_link* attached = bpf_program__attach(bpf_object__find_program_by_name(object_, one.name));
    if (attached == nullptr) return Status::failed("RELAY_NOT_ALLOWED", one.name, errno);
    Link link{Descriptor(dup(bpf_link__fd(attached))), std::string("link_") + one.name, 0};
    bpf_link__disconnect(attached);
    bpf_link__destroy(attached);
    if (!options_.pins.empty()) {
      unlink(pin(link.pin).c_str());
      if (bpf_obj_pin(link.fd.get(), pin(link.pin).c_str()) != 0) return Status::failed("RELAY_PINS", link.pin, errno);
    }
    observers_.insert_or_assign(one.name, std::move(link));
  }
  return {};
}

void Programs::forget_observers(uint32_t engine) {
  for (const auto& [port, link] : ports_)
    if (port.engine == engine) return;
  for (const Observer& one : kObservers) {
    if (one.engine != engine) continue;
    if (!options_.pins.empty()) unlink(pin(std::string("link_") + one.name).c_str());
    observers_.erase(one.name);
  }
}

/// Our own, with what is in the adopted one: whoever sends by it finds all at once.
void Programs::copy_devices() {
  const int from = adopted_devices_.get();
  maps_.devices = bpf_map__fd(bpf_object__find_map_by_name(object_, "devices"));
  uint32_t ifindex = 0;
  for (const void* last = nullptr; bpf_map_get_next_key(from, last, &ifindex) == 0; last = &ifindex)
    add_device(ifindex);
}

Status Programs::open(const KernelOptions& options) {
  options_ = options;
  libbpf_set_print(nullptr);
  tcx_ = options_.tcx && has_tcx();
  filter_ = filter_handle(options_.pins);
  if (!options_.pins.empty()) {
    if (const Status status = make_folder(); !status.ok()) return status;
    if (const Status status = former_.find(options_.pins); !status.ok()) return status;
  }
  // What cannot be observed may still be carried.
  Status status = load(options_.observe);
  if (!status.ok()) status = load(false);
  if (!status.ok()) return status;
  bool replace = options_.renew;
  if (adopted_) {
    ports_ = links_in(options_.pins, filter_);
    for (const char* name : kPrograms) {
      const Descriptor pinned(bpf_obj_get(pin(std::string("program_") + name).c_str()));
      if (!same_program(pinned.get(), fd(name))) replace = true;
    }
  } else if (!options_.pins.empty()) {
    if (status = pin_maps(); !status.ok()) return status;
  }
  for (const Observer& one : kObservers)
    if (Descriptor pinned(bpf_obj_get(pin(std::string("link_") + one.name).c_str())); pinned.open())
      observers_.insert_or_assign(one.name, Link{std::move(pinned), std::string("link_") + one.name, 0});
  if (!adopted_ || replace) {
    if (adopted_) copy_devices();
    for (const Observer& one : kObservers)
      if (observers_.contains(one.name))
        if (status = observe(one.engine); !status.ok()) return status;
    for (const auto& [port, link] : ports_)
      if (status = replace_program(port, link); !status.ok()) return status;
    if (adopted_) {
      const std::string devices = pin("map_devices");
      unlink(devices.c_str());
      if (bpf_obj_pin(maps_.devices, devices.c_str()) != 0) return Status::failed("RELAY_PINS", "devices", errno);
    }
    for (const char* name : kPrograms) {
      if (options_.pins.empty() || fd(name) < 0) continue;
      unlink(pin(std::string("program_") + name).c_str());
      if (bpf_obj_pin(fd(name), pin(std::string("program_") + name).c_str()) != 0)
        return Status::failed("RELAY_PINS", name, errno);
    }
    upgraded_ = adopted_;
  }
  for (const auto& [port, link] : ports_)
    if (!observers_.contains(port.engine == RELAY_XDP ? "relay_flushed" : "relay_transmitted"))
      if (status = observe(port.engine); !status.ok()) return status;
  return {};
}

/// Between two packets.
Status Programs::replace_program(const PortName& port, const Link& link) {
  const int program = fd(port.engine == RELAY_XDP ? "relay_xdp" : "relay_tc");
  if (link.filter != 0) return put_filter(port.ifindex, link.filter, program);
  const int error = bpf_link_update(link.fd.get(), program, nullptr);
  return error == 0 ? Status{} : Status::failed("RELAY_FAILED", "replacing " + link.pin, error);
}

/// A filter's name first: a filter that nobody knows of would stay for ever.
Status Programs::pin_link(const Link& link) {
  if (options_.pins.empty()) return {};
  const std::string path = pin(link.pin);
  if (link.filter != 0 && mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return Status::failed("RELAY_PINS", link.pin, errno);
  if (link.filter != 0) return {};
  unlink(path.c_str());
  return bpf_obj_pin(link.fd.get(), path.c_str()) == 0 ? Status{} : Status::failed("RELAY_PINS", link.pin, errno);
}

Status Programs::attach_link(const PortName& port, Link& link) {
  const bool xdp = port.engine == RELAY_XDP;
  if (!xdp && !tcx_) {
    link.filter = filter_;
    link.pin = pin_of(port, true);
    if (const Status status = pin_link(link); !status.ok()) return status;
    return replace_program(port, link);
  }
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = xdp ? XDP_FLAGS_DRV_MODE : 0u);
  const int fd_of_link = bpf_link_create(fd(xdp ? "relay_xdp" : "relay_tc"), static_cast<int>(port.ifindex),
                                         xdp ? BPF_XDP : kTcxIngress, xdp ? &options : nullptr);
  const std::string where = (xdp ? "xdp on interface " : "tc on interface ") + std::to_string(port.ifindex);
  if (fd_of_link < 0)
    return Status::failed(
        fd_of_link == -EBUSY || fd_of_link == -EEXIST ? "RELAY_INTERFACE_TAKEN" : "RELAY_ATTACH_FAILED", where,
        fd_of_link);
  link.fd = Descriptor(fd_of_link);
  return pin_link(link);
}

Status Programs::attach(const PortName& port) {
  if (former_.holds(port)) return {};  // Its packets go on by the old rules: see take_over().
  if (const auto known = ports_.find(port); known != ports_.end()) {
    if (program_of(port, known->second) != 0) return {};
    detach(port);  // The interface went away, and another one has its number; or somebody took our filter away.
  }
  if (!observers_.contains(port.engine == RELAY_XDP ? "relay_flushed" : "relay_transmitted"))
    if (const Status status = observe(port.engine); !status.ok()) return status;
  Link link{{}, pin_of(port, false), 0};
  if (const Status status = attach_link(port, link); !status.ok()) {
    if (link.filter != 0) rmdir(pin(link.pin).c_str());
    forget_observers(port.engine);
    return status;
  }
  ports_.emplace(port, std::move(link));
  return {};
}

Status Programs::take_over(const std::set<PortName>& wanted) {
  if (!former_.any()) return {};
  for (Links& old = former_.links(); !old.empty(); old.erase(old.begin())) {
    auto& [port, link] = *old.begin();
    if (!wanted.contains(port)) continue;
    if (!observers_.contains(port.engine == RELAY_XDP ? "relay_flushed" : "relay_transmitted"))
      if (const Status status = observe(port.engine); !status.ok()) return status;
    if (const Status status = pin_link(link); !status.ok()) return status;
    if (const Status status = replace_program(port, link); !status.ok()) return status;
    former_.forget(link.pin);
    ports_.insert_or_assign(port, std::move(link));
  }
  former_.remove(filter_);
  return {};
}

void Programs::mend() {
  for (const auto& [port, link] : ports_)
    // That of an interface that went away cannot.
    if (link.filter != 0 && program_of(port, link) == 0) (void)replace_program(port, link);
}

void Programs::detach(const PortName& port) {
  const auto found = ports_.find(port);
  if (found == ports_.end()) return;
  if (found->second.filter != 0) remove_filter(port.ifindex, found->second.filter);
  if (!options_.pins.empty()) std::remove(pin(found->second.pin).c_str());
  ports_.erase(found);
  forget_observers(port.engine);
}

std::vector<PortName> Programs::attached() const {
  std::vector<PortName> out;
  for (const auto& [port, link] : ports_) out.push_back(port);
  return out;
}

bool Programs::add_device(uint32_t ifindex) {
  // An entry that is replaced is not there for a moment, and a packet of that moment is lost.
  bpf_devmap_val known{};
  if (bpf_map_lookup_elem(maps_.devices, &ifindex, &known) == 0 && known.bpf_prog.id != 0) return true;
  const bpf_devmap_val value{ifindex, {fd("relay_device")}};
  return bpf_map_update_elem(maps_.devices, &ifindex, &value, BPF_ANY) == 0;
}

bool Programs::owns(uint32_t program_id) const {
  for (const auto& [port, link] : ports_)
    if (program_of(port, link) == program_id) return true;
  return false;
}

void Programs::uninstall() {
  for (const auto& [port, link] : ports_)
    if (link.filter != 0) remove_filter(port.ifindex, link.filter);
  ports_.clear();
  observers_.clear();
  former_.remove(filter_);
  if (options_.pins.empty()) return;
  clear_pins(options_.pins, filter_);
  rmdir(options_.pins.c_str());
}

}  // namespace tapline::relay
