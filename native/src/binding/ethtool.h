#pragma once
#include <napi.h>

namespace tapline {
/// ethtool(interface) → Ethtool of native/engine.ts
Napi::Value ethtool(const Napi::CallbackInfo& info);
/// setRings(interface, values), setCoalesce(interface, values), setFeatures(interface, values): throw what the kernel
/// says against it
Napi::Value set_rings(const Napi::CallbackInfo& info);
Napi::Value set_coalesce(const Napi::CallbackInfo& info);
Napi::Value set_features(const Napi::CallbackInfo& info);
/// probe() → HostProbe of native/engine.ts
Napi::Value probe(const Napi::CallbackInfo& info);
}  // namespace tapline
