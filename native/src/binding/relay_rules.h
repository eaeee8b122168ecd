// Enters: a RelayPlan of native/relay.ts. Leaves: the same in C++ (relay/rules.h), or which field is not what it should
// be.
#pragma once
#include <napi.h>

#include <string>

#include "relay/rules.h"

namespace tapline::relay {

/// Empty: it was read. Else the path of the first field that is wrong, and why.
[[nodiscard]] std::string read_plan(const Napi::Value& from, Plan& out);
[[nodiscard]] std::string read_rule(const Napi::Value& from, Rule& out);

}  // namespace tapline::relay
