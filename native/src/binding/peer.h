#pragma once
#include <napi.h>

namespace tapline {
/// peer(fd) → Peer of native/engine.ts
Napi::Value peer(const Napi::CallbackInfo& info);
}  // namespace tapline
