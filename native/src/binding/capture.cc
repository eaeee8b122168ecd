#include "binding/capture.h"

#include "binding/running.h"
#include "binding/settle.h"
#include "capture/live.h"

namespace tapline {

namespace {

Napi::Value number_or_null(Napi::Env env, int value) { return value < 0 ? env.Null() : Napi::Number::New(env, value); }

Napi::Object port_row(Napi::Env env, const PortRow& row) {
  const PortCounts& counts = row.counts;
  Napi::Object out = ledger_row(env, counts.ledger);
  out.Set("bytes", static_cast<double>(counts.bytes));
  out.Set("superPackets", static_cast<double>(counts.super_packets));
  out.Set("segments", static_cast<double>(counts.segments));
  out.Set("partialChecksums", static_cast<double>(counts.partial_checksums));
  out.Set("ringFull", static_cast<double>(counts.frozen));
  out.Set("ringBytes", static_cast<double>(row.ring_bytes));
  out.Set("ringWanted", static_cast<double>(row.ring_wanted));
  out.Set("ringLocked", row.ring_locked);
  out.Set("state", kPortStateNames[static_cast<size_t>(row.state)]);
  out.Set("sinceNs", Napi::BigInt::New(env, row.since));
  out.Set("problem", env.Null());
  if (!row.problem.ok()) {
    Napi::Object problem = Napi::Object::New(env);
    problem.Set("code", row.problem.code);
    problem.Set("detail", row.problem.detail);
    out.Set("problem", problem);
  }
  return out;
}

Napi::Object member_row(Napi::Env env, const MemberRow& row) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("interface", row.interface);
  out.Set("frames", static_cast<double>(row.frames));
  out.Set("flows", static_cast<double>(row.flows));
  out.Set("cpuWanted", number_or_null(env, row.cpu_wanted));
  out.Set("cpu", number_or_null(env, row.cpu));
  out.Set("nodeWanted", number_or_null(env, row.node_wanted));
  out.Set("node", number_or_null(env, row.node));
  return out;
}

Napi::Object stages(Napi::Env env, const Stages& s) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("blocks", static_cast<double>(s.blocks));
  out.Set("frames", static_cast<double>(s.frames));
  out.Set("decodeNs", static_cast<double>(s.decode_ns));
  out.Set("followNs", static_cast<double>(s.follow_ns));
  out.Set("publishNs", static_cast<double>(s.publish_ns));
  out.Set("idlePolls", static_cast<double>(s.idle_polls));
  return out;
}

Napi::Object totals_row(Napi::Env env, size_t protocol, const Totals& t) {
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) { out.Set(name, static_cast<double>(value)); };
  set("protocol", protocol);
  set("flows", t.flows);
  set("packets", t.packets);
  set("bytes", t.bytes);
  set("expected", t.expected);
  set("unique", t.unique);
  set("reordered", t.reordered);
  set("duplicate", t.duplicate);
  set("late", t.late);
  set("lost", t.lost);
  set("pending", t.pending());
  set("gaps", t.gaps);
  set("jumps", t.jumps);
  set("outliers", t.outliers);
  set("restarts", t.restarts);
  return out;
}

Napi::Object figures(Napi::Env env, const LiveSnapshot& s) {
  Napi::Object out = Napi::Object::New(env);
  Napi::Array ports = Napi::Array::New(env, s.ports.size());
  for (size_t i = 0; i < s.ports.size(); i++) ports.Set(static_cast<uint32_t>(i), port_row(env, s.ports[i]));
  out.Set("ledger", ports);
  Napi::Array members = Napi::Array::New(env, s.members.size());
  for (size_t i = 0; i < s.members.size(); i++) members.Set(static_cast<uint32_t>(i), member_row(env, s.members[i]));
  out.Set("members", members);
  Napi::Array protocols = Napi::Array::New(env, s.all.totals.size());
  for (size_t i = 0; i < s.all.totals.size(); i++)
    protocols.Set(static_cast<uint32_t>(i), totals_row(env, i, s.all.totals[i]));
  out.Set("protocols", protocols);
  out.Set("packets", static_cast<double>(s.all.counts.ledger.counts.delivered));
  out.Set("bytesRead", static_cast<double>(s.all.counts.bytes));
  out.Set("firstTimeNs", Napi::BigInt::New(env, s.all.first_time));
  out.Set("lastTimeNs", Napi::BigInt::New(env, s.all.last_time));
  out.Set("flows", static_cast<double>(s.all.flows.flows));
  out.Set("liveFlows", static_cast<double>(s.all.live));
  out.Set("lost", static_cast<double>(s.all.lost));
  out.Set("gaps", static_cast<double>(s.all.flows.gaps));
  out.Set("capEvictions", static_cast<double>(s.all.flows.cap_evictions));
  out.Set("linksDropped", static_cast<double>(s.links_dropped));
  out.Set("tombstonesDropped", static_cast<double>(s.all.tombstones_dropped));
  out.Set("settledEarly", static_cast<double>(s.all.settled_early));
  out.Set("liveWriteErrors", static_cast<double>(s.all.flows.live_errors));
  out.Set("peakFlows", static_cast<double>(s.all.flows.peak));
  out.Set("waitedNs", static_cast<double>(s.waited_ns));
  out.Set("spilledBytes", static_cast<double>(s.spilled.bytes));
  out.Set("unreadBatches", static_cast<double>(s.spilled.unread));
  out.Set("ebpf", s.ebpf);
  out.Set("maxFlows", s.limits.max_flows);
  out.Set("settleNs", static_cast<double>(s.limits.settle_ns));
  out.Set("idleNs", static_cast<double>(s.limits.idle_ns));
  out.Set("sample", s.limits.sample);
  out.Set("filter", s.filter);
  out.Set("clockSteps", static_cast<double>(s.clock_steps));
  out.Set("clockStepNs", static_cast<double>(s.clock_step_ns));
  out.Set("blindsDropped", static_cast<double>(s.blinds_dropped));
  out.Set("stages", stages(env, s.all.stages));
  return out;
}

double number(const Napi::Object& from, const char* name) { return from.Get(name).ToNumber().DoubleValue(); }

PortOptions port_of(const Napi::Object& in) {
  PortOptions out;
  out.name = in.Get("name").ToString();
  if (in.Get("node").IsNumber()) out.node = in.Get("node").ToNumber();
  if (!in.Get("cpus").IsArray()) return out;
  const auto cpus = in.Get("cpus").As<Napi::Array>();
  for (uint32_t i = 0; i < cpus.Length(); i++) out.cpus.push_back(cpus.Get(i).ToNumber());
  return out;
}

LiveOptions options_of(const Napi::Object& in) {
  LiveOptions out;
  const auto ports = in.Get("ports").As<Napi::Array>();
  for (uint32_t i = 0; i < ports.Length(); i++) out.ports.push_back(port_of(ports.Get(i).As<Napi::Object>()));
  out.wait = in.Get("wait").ToBoolean();
  out.threads = static_cast<unsigned>(number(in, "threads"));
  out.filter = in.Get("filter").IsString() ? in.Get("filter").ToString().Utf8Value() : "";
  const auto ring = in.Get("ring").As<Napi::Object>();
  out.ring.block_bytes = static_cast<uint32_t>(number(ring, "blockKiB") * 1024);
  out.ring.blocks = static_cast<uint32_t>(number(ring, "blocks"));
  out.ring.retire_ms = static_cast<uint32_t>(number(ring, "retireMs"));
  out.ring.outgoing = in.Get("direction").ToString().Utf8Value() == "Both";
  out.ring.promiscuous = in.Get("promiscuous").ToBoolean();
  out.limits.settle_ns = static_cast<int64_t>(number(in, "settleNs"));
  out.limits.idle_ns = static_cast<int64_t>(number(in, "idleNs"));
  out.limits.max_flows = static_cast<uint32_t>(number(in, "maxFlows"));
  if (in.Get("sample").IsNumber()) out.limits.sample = std::max(1u, in.Get("sample").ToNumber().Uint32Value());
  return out;
}

LimitsChange change_of(const Napi::Object& in) {
  LimitsChange out;
  if (in.Get("settleNs").IsNumber()) out.settle_ns = static_cast<int64_t>(number(in, "settleNs"));
  if (in.Get("idleNs").IsNumber()) out.idle_ns = static_cast<int64_t>(number(in, "idleNs"));
  if (in.Get("maxFlows").IsNumber()) out.max_flows = std::max(1u, in.Get("maxFlows").ToNumber().Uint32Value());
  if (in.Get("sample").IsNumber()) out.sample = std::max(1u, in.Get("sample").ToNumber().Uint32Value());
  return out;
}

/// A promise, and what settles it from the capture's thread.
std::pair<Napi::Promise, LiveCapture::Answer> awaited(Napi::Env env) {
  auto settler = std::make_shared<Settler>(env);
  return {settler->promise(), [settler](const CaptureStatus& status) {
            settler->settle([status](Napi::Env e, bool& failed) -> Napi::Value {
              failed = !status.ok();
              return failed ? coded_error(e, status.code, 0, status.detail) : e.Undefined();
            });
          }};
}

using Held = std::shared_ptr<Running<LiveCapture>>;

/// A change that is asked of a capture: refused once everything was taken after its end.
template <typename Ask>
void offer_change(Napi::Env env, Napi::Object out, const char* name, const Held& running, Ask ask) {
  out.Set(name, Napi::Function::New(env, [running, ask](const Napi::CallbackInfo& call) -> Napi::Value {
            auto [promise, answer] = awaited(call.Env());
            if (running->engine) {
              ask(*running->engine, call[0], answer);
            } else {
              answer({"CAPTURE_FAILED", "it has ended"});
            }
            return promise;
          }));
}

}  // namespace

Napi::Value capture(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const LiveOptions options = options_of(info[0].As<Napi::Object>());
  auto settler = std::make_shared<Settler>(env);
  Napi::Object out = Napi::Object::New(env);
  out.Set("done", settler->promise());
  CaptureStatus status;
  auto running = std::make_shared<Running<LiveCapture>>(LiveCapture::open(options, status));
  offer(env, out, running);
  offer_change(env, out, "add", running, [](LiveCapture& live, const Napi::Value& port, LiveCapture::Answer answer) {
    live.add(port_of(port.As<Napi::Object>()), std::move(answer));
  });
  offer_change(env, out, "remove", running, [](LiveCapture& live, const Napi::Value& name, LiveCapture::Answer answer) {
    live.remove(name.ToString(), std::move(answer));
  });
  offer_change(env, out, "setFilter", running,
               [](LiveCapture& live, const Napi::Value& text, LiveCapture::Answer answer) {
                 live.set_filter(text.ToString(), std::move(answer));
               });
  out.Set("setLimits", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) {
            if (running->engine) running->engine->set_limits(change_of(call[0].As<Napi::Object>()));
          }));
  out.Set("figures", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
            if (!running->engine) return call.Env().Null();
            return figures(call.Env(), running->engine->snapshot());
          }));
  out.Set(
      "keepLive", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) {
        const auto in = call[0].As<Napi::Object>();
        bool lossless;
        if (running->engine)
          running->engine->keep_live({in.Get("database").ToString().Utf8Value(), in.Get("run").ToNumber().Uint32Value(),
                                      in.Get("startedNs").As<Napi::BigInt>().Int64Value(&lossless)});
      }));
  out.Set("stored", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) {
            if (running->engine) running->engine->outbox().store(call[0].ToNumber().Int64Value());
          }));
  if (!running->engine) {
    settler->settle([status](Napi::Env e, bool& failed) {
      failed = true;
      return coded_error(e, status.code, 0, status.detail);
    });
  } else {
    running->engine->start([settler, running = running.get()](const LiveSnapshot& last) {
      settler->settle([last, running](Napi::Env e, bool&) {
        running->finished = true;
        return figures(e, last);
      });
    });
  }
  return out;
}

}  // namespace tapline
