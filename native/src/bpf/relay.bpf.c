// The relay's programs, and what they share. Enters: packets, at the driver (relay_xdp) or behind it (relay_tc).
// Leaves: packets, to the outputs' devices; counters. Read relay/layout.h first, then relay_match.h. The agent writes
// rules and reads counters; it is not needed for forwarding.
#include "relay_xdp.h"

#include "relay_settle.h"
#include "relay_tc.h"

char _license[] SEC("license") = "Dual BSD/GPL";
