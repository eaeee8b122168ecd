// What the kernel copies into the ring: frames to the addresses of rules, so that other traffic costs us nothing.
// Enters: a table. Leaves: a classic BPF program, which needs no right beyond the socket's.
#pragma once
#include <linux/filter.h>

#include <vector>

#include "relay/afpacket/table_file.h"

namespace tapline::relay {

/// With more addresses than this the look-up costs every frame more than it saves: then all IP packets are let in.
inline constexpr size_t kFilteredAddresses = 32;

std::vector<sock_filter> input_filter(const Table& table);

}  // namespace tapline::relay
