#pragma once
#include <napi.h>

namespace tapline {
/// findRoute, listAddresses, addGroupAddress, removeGroupAddress, watchNetwork of native/network.ts
void offer_network(Napi::Env env, Napi::Object exports);
}  // namespace tapline
