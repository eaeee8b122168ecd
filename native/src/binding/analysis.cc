#include "binding/analysis.h"

#include "binding/settle.h"
#include "replay/analysis.h"

namespace tapline {

namespace {

template <size_t N>
Napi::Object reasons(Napi::Env env, const uint64_t (&counts)[N], const char* const (&names)[N]) {
  Napi::Object out = Napi::Object::New(env);
  for (size_t i = 0; i < N; i++) out.Set(names[i], static_cast<double>(counts[i]));
  return out;
}

Napi::Object ledger_row(Napi::Env env, const InterfaceLedger& row) {
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

Napi::Value summary(Napi::Env env, const AnalysisResult& r) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("complete", r.complete);
  out.Set("looped", r.passes);
  if (!r.status.ok()) {
    Napi::Object error = Napi::Object::New(env);
    error.Set("code", r.status.code);
    error.Set("offset", static_cast<double>(r.status.offset));
    error.Set("detail", r.status.detail);
    out.Set("fileError", error);
  }
  out.Set("format", r.pcapng ? "pcapng" : "pcap");
  out.Set("bytesRead", static_cast<double>(r.bytes_read));
  out.Set("packets", static_cast<double>(r.packets));
  out.Set("timeReversed", static_cast<double>(r.time_reversed));
  out.Set("chunksReadAgain", static_cast<double>(r.chunks_read_again));
  out.Set("firstTimeNs", Napi::BigInt::New(env, r.first_time));
  out.Set("lastTimeNs", Napi::BigInt::New(env, r.last_time));
  out.Set("flows", static_cast<double>(r.flows.flows));
  out.Set("gaps", static_cast<double>(r.flows.gaps));
  out.Set("capEvictions", static_cast<double>(r.flows.cap_evictions));
  out.Set("linksDropped", static_cast<double>(r.flows.links_dropped));
  out.Set("peakFlows", static_cast<double>(r.flows.peak));
  out.Set("tombstonesDropped", static_cast<double>(r.tombstones_dropped));
  out.Set("settledEarly", static_cast<double>(r.settled_early));
  out.Set("threads", r.threads);
  out.Set("engineNs", static_cast<double>(r.engine_ns));
  out.Set("waitedNs", static_cast<double>(r.waited_ns));
  if (r.paced) {
    Napi::Object pacing = Napi::Object::New(env);
    pacing.Set("p50Ns", static_cast<double>(r.late_p50));
    pacing.Set("p99Ns", static_cast<double>(r.late_p99));
    pacing.Set("maxNs", static_cast<double>(r.late_max));
    out.Set("pacing", pacing);
  }
  Napi::Array ledger = Napi::Array::New(env, r.ledger.size());
  for (size_t i = 0; i < r.ledger.size(); i++) ledger.Set(static_cast<uint32_t>(i), ledger_row(env, r.ledger[i]));
  out.Set("ledger", ledger);
  return out;
}

AnalysisOptions options_of(const Napi::Object& in) {
  const auto number = [&](const char* name, double otherwise) {
    const Napi::Value value = in.Get(name);
    return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : otherwise;
  };
  AnalysisOptions out;
  out.path = in.Get("path").ToString();
  out.threads = static_cast<unsigned>(number("threads", 1));
  const std::string mode = in.Get("mode").ToString();
  if (mode == "fixed") out.pps = number("pps", 0);
  if (mode == "original") out.speed = 1;
  if (mode == "speed") out.speed = number("speed", 1);
  out.loop = static_cast<unsigned>(number("loop", 1));
  out.limits.settle_ns = static_cast<int64_t>(number("settleNs", 2e9));
  out.limits.idle_ns = static_cast<int64_t>(number("idleNs", 60e9));
  out.limits.max_flows = static_cast<uint32_t>(number("maxFlows", 1 << 20));
  return out;
}

/// What JavaScript holds on to; ended early when the environment goes away.
struct Running {
  std::unique_ptr<Analysis> analysis;
  bool finished = false;
  AnalysisProgress last{};

  AnalysisProgress progress() { return analysis ? last = analysis->progress() : last; }
  void end() {
    progress();
    analysis.reset();
  }
};

}  // namespace

Napi::Value analyze(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const AnalysisOptions options = options_of(info[0].As<Napi::Object>());
  auto settler = std::make_shared<Settler>(env);
  Napi::Object out = Napi::Object::New(env);
  out.Set("done", settler->promise());

  FileStatus status;
  auto running = std::make_shared<Running>();
  running->analysis = Analysis::open(options, status);
  env.AddCleanupHook(
      [](std::shared_ptr<Running>* held) {
        (*held)->end();
        delete held;
      },
      new std::shared_ptr<Running>(running));

  out.Set("take", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
            ResultBatch batch;
            if (!running->analysis) return call.Env().Null();
            if (!running->analysis->outbox().take(batch)) {
              if (running->finished) running->end();  // all was taken: its memory is needed no more
              return call.Env().Null();
            }
            static constexpr const char* kKinds[] = {"flows", "gaps", "links"};
            Napi::Object result = Napi::Object::New(call.Env());
            result.Set("kind", kKinds[static_cast<size_t>(batch.kind)]);
            Napi::ArrayBuffer records = Napi::ArrayBuffer::New(call.Env(), batch.records.size());
            std::memcpy(records.Data(), batch.records.data(), batch.records.size());
            result.Set("records", records);
            return result;
          }));
  out.Set("progress", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
            const AnalysisProgress p = running->progress();
            Napi::Object result = Napi::Object::New(call.Env());
            result.Set("bytesRead", static_cast<double>(p.bytes_read));
            result.Set("bytesTotal", static_cast<double>(p.bytes_total));
            result.Set("packets", static_cast<double>(p.packets));
            result.Set("flows", static_cast<double>(p.flows));
            result.Set("lost", static_cast<double>(p.lost));
            return result;
          }));
  out.Set("stop", Napi::Function::New(env, [running](const Napi::CallbackInfo&) {
            if (running->analysis) running->analysis->stop();
          }));

  if (!running->analysis) {
    settler->settle([status](Napi::Env e, bool& failed) {
      failed = true;
      return coded_error(e, status.code, status.offset, status.detail);
    });
  } else {
    running->analysis->start([settler, running = running.get()](const AnalysisResult& result) {
      settler->settle([result, running](Napi::Env e, bool&) {
        running->finished = true;
        return summary(e, result);
      });
    });
  }
  return out;
}

}  // namespace tapline
