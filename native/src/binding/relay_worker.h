#pragma once
#include <napi.h>

namespace tapline {
/// openRelayWorker(options) → WorkerFiles of native/relay-worker.ts
Napi::Value open_relay_worker(const Napi::CallbackInfo& info);
}  // namespace tapline
