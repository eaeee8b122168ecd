// Enters: every association the tables opened. Leaves: links between those of one SCI or one address pair, oldest
// first.
#pragma once
#include <vector>

#include "flow/flow_table.h"

namespace tapline {

void link_associations(std::vector<Association> all, Outbox& outbox);

}  // namespace tapline
