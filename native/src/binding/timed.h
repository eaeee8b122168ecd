// How long a step takes, for `tapline bench micro`. Enters: work that does it many times. Leaves: an object with name,
// nsPerOp, spreadNs and rounds.
#pragma once
#include <napi.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace tapline {

/// Best, least and most of `rounds` timings of `work`, which does `ops` operations.
inline Napi::Object timed(Napi::Env env, const char* name, unsigned rounds, size_t ops,
                          const std::function<void()>& prepare, const std::function<void()>& work) {
  std::vector<double> ns;
  for (unsigned i = 0; i < rounds; i++) {
    prepare();
    const auto from = std::chrono::steady_clock::now();
    work();
    ns.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - from).count() /
                 static_cast<double>(ops));
  }
  std::sort(ns.begin(), ns.end());
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", name);
  out.Set("nsPerOp", ns[ns.size() / 2]);
  Napi::Array spread = Napi::Array::New(env, 2);
  spread.Set(0u, ns.front());
  spread.Set(1u, ns.back());
  out.Set("spreadNs", spread);
  out.Set("rounds", rounds);
  return out;
}

/// Steps of the relay in user space.
void relay_micro(Napi::Env env, unsigned rounds, const std::function<void(const Napi::Object&)>& add);

}  // namespace tapline
