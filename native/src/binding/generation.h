#pragma once
#include <napi.h>

namespace tapline {
/// generate(options) → Generation of native/engine.ts
Napi::Value generate_traffic(const Napi::CallbackInfo& info);
}  // namespace tapline
