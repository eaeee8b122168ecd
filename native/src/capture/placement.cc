#include "capture/placement.h"

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>

namespace tapline {

namespace {
// The system calls themselves: libnuma would be a package for four lines.
constexpr unsigned kNodes = 1024;
constexpr unsigned kBits = sizeof(unsigned long) * CHAR_BIT;

long set_policy(int mode, const unsigned long* nodes) noexcept {
  return syscall(SYS_set_mempolicy, mode, nodes, nodes ? kNodes + 1 : 0);
}
/// 0, or the error.
int prefer(int node) noexcept {
  if (node < 0 || node >= static_cast<int>(kNodes)) return EINVAL;
  unsigned long nodes[kNodes / kBits] = {};
  nodes[node / kBits] = 1ul << (node % kBits);
  return set_policy(MPOL_PREFERRED, nodes) ? errno : 0;
}
int pin(int cpu) noexcept {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
}  // namespace

std::string misplaced(int cpu, int node) {
  std::string wrong;
  std::thread trial([&] {
    if (const int error = cpu == kAnywhere ? 0 : pin(cpu))
      wrong = "CPU " + std::to_string(cpu) + ": " + std::strerror(error);
    // EPERM: a container's seccomp profile. The ring then lies where it lies, and the figures say where.
    if (const int error = node == kAnywhere ? 0 : prefer(node); error != 0 && error != EPERM && error != ENOSYS)
      wrong = "NUMA node " + std::to_string(node) + ": " + std::strerror(error);
  });
  trial.join();
  return wrong;
}

void run_on(int cpu) noexcept {
  if (cpu != kAnywhere) pin(cpu);
}

OnNode::OnNode(int node) noexcept {
  if (node == kAnywhere) return;
  static_assert(sizeof nodes_ * CHAR_BIT == kNodes);
  if (syscall(SYS_get_mempolicy, &before_, nodes_, kNodes, nullptr, 0)) return;
  changed_ = prefer(node) == 0;
}

OnNode::~OnNode() {
  if (changed_) set_policy(before_, before_ == MPOL_DEFAULT ? nullptr : nodes_);
}

int node_of(void* at) noexcept {
  int node = kAnywhere;
  return syscall(SYS_get_mempolicy, &node, nullptr, 0, at, MPOL_F_NODE | MPOL_F_ADDR) ? kAnywhere : node;
}

}  // namespace tapline
