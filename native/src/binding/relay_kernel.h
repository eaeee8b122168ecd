#pragma once
#include <napi.h>

namespace tapline {
/// openKernelRelay(options) → KernelRelay of native/relay.ts
Napi::Value open_kernel_relay(const Napi::CallbackInfo& info);
}  // namespace tapline
