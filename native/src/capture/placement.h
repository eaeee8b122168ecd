// Where a thread runs and where memory lies. Enters: CPU and NUMA node numbers. Leaves: a placed thread or allocation,
// or what is wrong with the wish.
#pragma once
#include <string>

namespace tapline {

inline constexpr int kAnywhere = -1;

/// What is impossible about it; empty when it can be done. Tried out on a thread of its own.
std::string misplaced(int cpu, int node);

/// The calling thread, from now on.
void run_on(int cpu) noexcept;

/// Kernel memory that this thread asks for while this lives comes from the node as long as that has some (a packet ring
/// cannot be moved later: mbind does not reach it). Where policies are forbidden, from anywhere.
class OnNode {
 public:
  explicit OnNode(int node) noexcept;
  ~OnNode();
  OnNode(const OnNode&) = delete;
  OnNode& operator=(const OnNode&) = delete;

 private:
  int before_ = 0;  ///< the thread's policy, to be put back with its nodes
  unsigned long nodes_[16] = {};
  bool changed_ = false;
};

/// The node of a page that is there; kAnywhere when the kernel does not tell.
int node_of(void* at) noexcept;

}  // namespace tapline
