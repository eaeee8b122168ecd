// A running engine as JavaScript holds it: take(), progress(), stop(); ended when the environment goes away.
#pragma once
#include <napi.h>

#include <cstring>
#include <memory>

#include "flow/ledger.h"
#include "flow/outbox.h"

namespace tapline {

template <size_t N>
Napi::Object reasons(Napi::Env env, const uint64_t (&counts)[N], const char* const (&names)[N]) {
  Napi::Object out = Napi::Object::New(env);
  for (size_t i = 0; i < N; i++) out.Set(names[i], static_cast<double>(counts[i]));
  return out;
}

inline Napi::Object ledger_row(Napi::Env env, const InterfaceLedger& row) {
  Napi::Object out = Napi::Object::New(env);
  uint64_t untracked[kUntrackedCount];
  std::copy(std::begin(row.counts.untracked), std::end(row.counts.untracked), untracked);
  untracked[static_cast<size_t>(Untracked::InvalidNumber)] += row.invalid_number;
  out.Set("interface", row.name);
  out.Set("linkType", row.link_type);
  out.Set("seen", static_cast<double>(row.counts.seen));
  out.Set("ringDrops", static_cast<double>(row.ring_drops));
  out.Set("inFlight", static_cast<double>(row.in_flight));
  out.Set("delivered", static_cast<double>(row.counts.delivered));
  out.Set("decoded", static_cast<double>(row.counts.decoded));
  out.Set("tracked", static_cast<double>(row.tracked));
  out.Set("undecodable", reasons(env, row.counts.undecodable, kUndecodableNames));
  out.Set("untracked", reasons(env, untracked, kUntrackedNames));
  out.Set("residue", static_cast<double>(row.residue()));
  out.Set("captureDrops", static_cast<double>(row.capture_drops));
  return out;
}

template <typename Engine>
struct Running {
  explicit Running(std::unique_ptr<Engine> started) : engine(std::move(started)) {}

  std::unique_ptr<Engine> engine;
  bool finished = false;
  EngineProgress last{};

  EngineProgress progress() { return engine ? last = engine->progress() : last; }
  void end() {
    progress();
    engine.reset();
  }
};

template <typename Engine>
void offer(Napi::Env env, Napi::Object out, const std::shared_ptr<Running<Engine>>& running) {
  env.AddCleanupHook(
      [](std::shared_ptr<Running<Engine>>* held) {
        (*held)->end();
        delete held;
      },
      new std::shared_ptr<Running<Engine>>(running));
  out.Set("take", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
            ResultBatch batch;
            if (!running->engine) return call.Env().Null();
            if (!running->engine->outbox().take(batch)) {
              if (running->finished) running->end();  // all was taken: its memory is needed no more
              return call.Env().Null();
            }
            static constexpr const char* kKinds[] = {"flows", "gaps", "links", "blinds"};
            Napi::Object result = Napi::Object::New(call.Env());
            result.Set("kind", kKinds[static_cast<size_t>(batch.kind)]);
            Napi::ArrayBuffer records = Napi::ArrayBuffer::New(call.Env(), batch.records.size());
            std::memcpy(records.Data(), batch.records.data(), batch.records.size());
            result.Set("records", records);
            return result;
          }));
  out.Set("progress", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
            const EngineProgress p = running->progress();
            Napi::Object result = Napi::Object::New(call.Env());
            result.Set("bytesRead", static_cast<double>(p.bytes_read));
            result.Set("bytesTotal", static_cast<double>(p.bytes_total));
            result.Set("packets", static_cast<double>(p.packets));
            result.Set("flows", static_cast<double>(p.flows));
            result.Set("lost", static_cast<double>(p.lost));
            return result;
          }));
  out.Set("stop", Napi::Function::New(env, [running](const Napi::CallbackInfo&) {
            if (running->engine) running->engine->stop();
          }));
}

}  // namespace tapline
