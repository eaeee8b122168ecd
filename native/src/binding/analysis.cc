#include "binding/analysis.h"

#include "binding/running.h"
#include "binding/settle.h"
#include "replay/analysis.h"

namespace tapline {

namespace {

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

}  // namespace

Napi::Value analyze(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const AnalysisOptions options = options_of(info[0].As<Napi::Object>());
  auto settler = std::make_shared<Settler>(env);
  Napi::Object out = Napi::Object::New(env);
  out.Set("done", settler->promise());

  FileStatus status;
  auto running = std::make_shared<Running<Analysis>>(Analysis::open(options, status));
  offer(env, out, running);
  if (!running->engine) {
    settler->settle([status](Napi::Env e, bool& failed) {
      failed = true;
      return coded_error(e, status.code, status.offset, status.detail);
    });
  } else {
    running->engine->start([settler, running = running.get()](const AnalysisResult& result) {
      settler->settle([result, running](Napi::Env e, bool&) {
        running->finished = true;
        return summary(e, result);
      });
    });
  }
  return out;
}

}  // namespace tapline
