// A program as a filter of an interface's clsact qdisc: how tc's programs are attached by kernels before 6.6, which
// have no tcx. Enters: an interface, a handle of our own, a program. Leaves: a filter that stays when this process
// ends. Nobody else's filter or qdisc is replaced or removed; a clsact qdisc that was made for ours is left there, for
// others may have begun to use it.
#pragma once
#include <cstdint>
#include <string>

#include "relay/status.h"

namespace tapline::relay {

/// Whoever wants to see packets before us takes a lower one; those that tc gives by itself are far higher.
inline constexpr uint32_t kFilterPriority = 84;

/// The kernel attaches by tcx links.
bool has_tcx();

/// Of the relay that pins in this folder, whatever the layout: the layout is the folder's last part.
uint32_t filter_handle(const std::string& pins);

/// Kernel-wide id of the program that our filter runs; 0: there is no such filter.
uint32_t filter_program(uint32_t ifindex, uint32_t handle);

/// In place of what our filter ran before, between two packets. RELAY_INTERFACE_TAKEN when a filter of another kind has
/// our priority.
Status put_filter(uint32_t ifindex, uint32_t handle, int program);
void remove_filter(uint32_t ifindex, uint32_t handle);

}  // namespace tapline::relay
