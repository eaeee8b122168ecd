// Counts a relayed stream at its end, inside the kernel, at any rate: which numbers came, how often, in what order, how
// late.
//   relay_sink INTERFACE --lane STREAM,ADDRESS[+COUNT],PORT ... [--numbers N] [--mode xdp|tc] [--latency 1]
// Enters: commands on stdin, a line each: "report N" (of each lane the numbers 0 to N-1 are expected), "reset", "end".
// Leaves: "ready" once it is attached; a line of JSON for each report, "done" for each reset. It detaches at its end,
// whatever that is: the kernel's link goes with the process.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "bpf/relay_sink.bpf.o.h"
#include "relay_lanes.h"

namespace {

using namespace tapline::rig;

constexpr int kTcxIngress = 46;  ///< BPF_TCX_INGRESS: newer than the headers

/// The layout of the program's constants (relay_sink.bpf.c).
struct Constants {
  relay_lane lanes[RELAY_LANES];
  uint32_t lane_count;
  uint64_t numbers;
  uint32_t latency_wanted;
};

[[noreturn]] void fail(const char* what, int error) {
  std::fprintf(stderr, "relay_sink: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

class Sink {
 public:
  Sink(const std::vector<relay_lane>& lanes, uint64_t numbers, bool latency)
      : lanes_(lanes), numbers_(numbers), cpus_(static_cast<size_t>(libbpf_num_possible_cpus())) {
    object_ = bpf_object__open_mem(kRelaySinkObject, sizeof kRelaySinkObject, nullptr);
    if (!object_) fail("program", errno);
    bpf_map* constants = bpf_object__find_map_by_name(object_, ".rodata");
    Constants c{};
    for (size_t i = 0; i < lanes.size(); i++) c.lanes[i] = lanes[i];
    c.lane_count = static_cast<uint32_t>(lanes.size());
    c.numbers = numbers;
    c.latency_wanted = latency;
    size_t size = 0;
    bpf_map__initial_value(constants, &size);
    if (size > sizeof c || size < offsetof(Constants, latency_wanted) + 4)
      fail("its constants have another size", EINVAL);
    if (const int error = bpf_map__set_initial_value(constants, &c, size)) fail("constants", -error);
    words_ = static_cast<uint32_t>(lanes.size() * numbers / 64);
    if (const int error = bpf_map__set_max_entries(map("seen"), words_)) fail("bitmap", -error);
    if (const int error = bpf_object__load(object_)) fail("loading the program", -error);
    void* mapped = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map("seen")), 0);
    if (mapped == MAP_FAILED) fail("mapping the bitmap", errno);
    bits_ = static_cast<volatile uint64_t*>(mapped);
  }
  ~Sink() {
    if (link_ >= 0) ::close(link_);
    munmap(const_cast<uint64_t*>(bits_), bytes());
    bpf_object__close(object_);
  }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  void attach(unsigned index, bool xdp) {
    const int program = bpf_program__fd(bpf_object__find_program_by_name(object_, xdp ? "sink_xdp" : "sink_tc"));
    LIBBPF_OPTS(bpf_link_create_opts, options);
    if (xdp) options.flags = XDP_FLAGS_DRV_MODE;
    link_ = bpf_link_create(program, static_cast<int>(index), xdp ? BPF_XDP : static_cast<bpf_attach_type>(kTcxIngress),
                            &options);
    if (link_ < 0) fail("attaching", -link_);
  }

  void reset() {
    for (uint32_t i = 0; i < words_; i++) bits_[i] = 0;
    zero<relay_counts>("counts", static_cast<uint32_t>(lanes_.size()), cpus_);
    zero<relay_first>("firsts", static_cast<uint32_t>(lanes_.size()), 1);
    zero<relay_frames>("frames", 1, cpus_);
    zero<uint64_t>("latencies", static_cast<uint32_t>(lanes_.size() * RELAY_LATENCY_CELLS), cpus_);
  }

  void report(uint64_t expected) {
    relay_frames all{};
    for (const relay_frames& one : values<relay_frames>("frames", 0, cpus_)) {
      all.frames += one.frames;
      all.other += one.other;
      all.unexpected += one.unexpected;
      all.damaged += one.damaged;
    }
    std::printf("{\"frames\":%llu,\"other\":%llu,\"unexpected\":%llu,\"damaged\":%llu,\"lanes\":[",
                static_cast<unsigned long long>(all.frames), static_cast<unsigned long long>(all.other),
                static_cast<unsigned long long>(all.unexpected), static_cast<unsigned long long>(all.damaged));
    for (uint32_t i = 0; i < lanes_.size(); i++) {
      if (i > 0) std::printf(",");
      print_lane(found(i), numbers_, expected);
    }
    std::printf("]}\n");
  }

 private:
  bpf_map* map(const char* name) const { return bpf_object__find_map_by_name(object_, name); }
  size_t bytes() const { return (size_t{words_} * 8 + 4095) & ~size_t{4095}; }

  template <typename Value>
  std::vector<Value> values(const char* name, uint32_t key, size_t count) const {
    static_assert(sizeof(Value) % 8 == 0);  // per-CPU values lie at multiples of eight
    std::vector<Value> out(count);
    if (bpf_map_lookup_elem(bpf_map__fd(map(name)), &key, out.data())) fail(name, errno);
    return out;
  }
  template <typename Value>
  void zero(const char* name, uint32_t keys, size_t count) {
    const std::vector<Value> none(count);
    for (uint32_t key = 0; key < keys; key++)
      if (bpf_map_update_elem(bpf_map__fd(map(name)), &key, none.data(), BPF_ANY)) fail(name, errno);
  }

  LaneFound found(uint32_t lane) const {
    LaneFound f{.lane = lanes_[lane]};
    for (const relay_counts& one : values<relay_counts>("counts", lane, cpus_)) {
      relay_counts& sum = f.counts;
      if (one.received == 0) continue;
      sum.first_ns = sum.received == 0 ? one.first_ns : std::min(sum.first_ns, one.first_ns);
      sum.last_ns = std::max(sum.last_ns, one.last_ns);
      sum.received += one.received;
      sum.bytes += one.bytes;
      sum.unique += one.unique;
      sum.duplicate += one.duplicate;
      sum.beyond += one.beyond;
      sum.ahead += one.ahead;
      sum.behind += one.behind;
      sum.wrong_length += one.wrong_length;
      sum.varied += one.varied;
    }
    f.first = values<relay_first>("firsts", lane, 1)[0];
    f.bits = bits_ + lane * numbers_ / 64;
    f.latency.resize(RELAY_LATENCY_CELLS);
    for (uint32_t cell = 0; cell < RELAY_LATENCY_CELLS; cell++)
      for (const uint64_t n : values<uint64_t>("latencies", lane * RELAY_LATENCY_CELLS + cell, cpus_))
        f.latency[cell] += n;
    return f;
  }

  std::vector<relay_lane> lanes_;
  uint64_t numbers_;
  size_t cpus_;
  bpf_object* object_ = nullptr;
  int link_ = -1;
  uint32_t words_ = 0;
  volatile uint64_t* bits_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<relay_lane> lanes;
  uint64_t numbers = 1 << 20;
  bool xdp = true, latency = false;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--numbers") numbers = (std::strtoull(argv[i + 1], nullptr, 10) + 63) / 64 * 64;
    if (name == "--mode") xdp = std::string_view(argv[i + 1]) != "tc";
    if (name == "--latency") latency = std::atoi(argv[i + 1]) != 0;
    if (name != "--lane") continue;
    relay_lane lane;
    if (!lane_from(argv[i + 1], lane)) return std::fprintf(stderr, "relay_sink: no lane: %s\n", argv[i + 1]), 2;
    lanes.push_back(lane);
  }
  const unsigned index = argc > 1 ? if_nametoindex(argv[1]) : 0;
  if (index == 0 || lanes.empty() || lanes.size() > RELAY_LANES || numbers == 0) {
    std::fprintf(stderr,
                 "usage: relay_sink INTERFACE --lane STREAM,ADDRESS[+COUNT],PORT ... [--numbers N] [--mode xdp|tc] "
                 "[--latency 1]\n");
    return 2;
  }
  Sink sink(lanes, numbers, latency);
  sink.attach(index, xdp);
  setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  std::printf("ready\n");
  std::fflush(stdout);
  for (char line[64]; std::fgets(line, sizeof line, stdin);) {
    const std::string_view typed = line;
    if (typed.starts_with("end")) break;
    if (typed.starts_with("reset")) {
      sink.reset();
      std::printf("done\n");
    } else if (typed.starts_with("report")) {
      sink.report(std::strtoull(line + 6, nullptr, 10));
    }
    std::fflush(stdout);
  }
  return 0;
}
