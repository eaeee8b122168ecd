#pragma once
#include <napi.h>

namespace tapline {
/// micro(rounds) → MicroResult[] of native/engine.ts
Napi::Value micro(const Napi::CallbackInfo& info);
}  // namespace tapline
