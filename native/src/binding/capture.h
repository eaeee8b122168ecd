#pragma once
#include <napi.h>

namespace tapline {
/// capture(options) → Capture of native/engine.ts
Napi::Value capture(const Napi::CallbackInfo& info);
}  // namespace tapline
