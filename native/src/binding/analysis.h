#pragma once
#include <napi.h>

namespace tapline {
/// analyze(options) → Analysis of native/engine.ts
Napi::Value analyze(const Napi::CallbackInfo& info);
}  // namespace tapline
