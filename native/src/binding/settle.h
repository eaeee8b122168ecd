// A promise that a native thread settles. Enters: a closure that makes the value, on JavaScript's thread. Leaves: a
// settled promise.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <string>

namespace tapline {

/// An Error with the code of domain/errors.ts and what its text needs.
inline Napi::Value coded_error(Napi::Env env, const char* code, uint64_t offset, const std::string& detail) {
  Napi::Error error = Napi::Error::New(env, std::string(code) + (detail.empty() ? "" : ": " + detail));
  error.Set("code", code);
  error.Set("offset", static_cast<double>(offset));
  error.Set("detail", detail);
  return error.Value();
}

class Settler {
 public:
  using Make = std::function<Napi::Value(Napi::Env, bool& failed)>;

  explicit Settler(Napi::Env env)
      : deferred_(Napi::Promise::Deferred::New(env)),
        call_(Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "tapline",
                                            1, 1)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  /// From any thread, once.
  void settle(Make make) {
    auto* job = new Job{deferred_, std::move(make)};
    const napi_status status = call_.NonBlockingCall(job, [](Napi::Env env, Napi::Function, Job* done) {
      const std::unique_ptr<Job> owned(done);
      bool failed = false;
      const Napi::Value value = owned->make(env, failed);
      if (failed) {
        owned->deferred.Reject(value);
      } else {
        owned->deferred.Resolve(value);
      }
    });
    if (status != napi_ok) delete job;  // the environment is closing: nobody waits any more
    call_.Release();
  }

 private:
  struct Job {
    Napi::Promise::Deferred deferred;
    Make make;
  };
  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction call_;
};

}  // namespace tapline
