#pragma once
#include <napi.h>

namespace tapline {
/// watchLinks(onChange) → LinkWatch of native/engine.ts
Napi::Value watch_links(const Napi::CallbackInfo& info);
}  // namespace tapline
