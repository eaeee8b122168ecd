#include "binding/capture.h"

#include "binding/running.h"
#include "binding/settle.h"
#include "capture/live.h"

namespace tapline {

namespace {

Napi::Object port_row(Napi::Env env, const PortCounts& port) {
  Napi::Object out = ledger_row(env, port.ledger);
  out.Set("bytes", static_cast<double>(port.bytes));
  out.Set("superPackets", static_cast<double>(port.super_packets));
  out.Set("segments", static_cast<double>(port.segments));
  out.Set("partialChecksums", static_cast<double>(port.partial_checksums));
  out.Set("ringFull", static_cast<double>(port.frozen));
  out.Set("ringBytes", static_cast<double>(port.ring_bytes));
  out.Set("ringLocked", port.ring_locked);
  out.Set("gone", port.gone);
  return out;
}

Napi::Object figures(Napi::Env env, const LiveSnapshot& s) {
  Napi::Object out = Napi::Object::New(env);
  Napi::Array ports = Napi::Array::New(env, s.ports.size());
  uint64_t packets = 0, bytes = 0;
  for (size_t i = 0; i < s.ports.size(); i++) {
    ports.Set(static_cast<uint32_t>(i), port_row(env, s.ports[i]));
    packets += s.ports[i].ledger.counts.delivered;
    bytes += s.ports[i].bytes;
  }
  out.Set("ledger", ports);
  Napi::Array members = Napi::Array::New(env, s.members.size());
  for (size_t i = 0; i < s.members.size(); i++) {
    Napi::Object member = Napi::Object::New(env);
    member.Set("interface", s.members[i].interface);
    member.Set("frames", static_cast<double>(s.members[i].frames));
    member.Set("flows", static_cast<double>(s.members[i].flows));
    members.Set(static_cast<uint32_t>(i), member);
  }
  out.Set("members", members);
  out.Set("packets", static_cast<double>(packets));
  out.Set("bytesRead", static_cast<double>(bytes));
  out.Set("firstTimeNs", Napi::BigInt::New(env, s.first_time));
  out.Set("lastTimeNs", Napi::BigInt::New(env, s.last_time));
  out.Set("flows", static_cast<double>(s.flows));
  out.Set("liveFlows", static_cast<double>(s.live_flows));
  out.Set("lost", static_cast<double>(s.lost));
  out.Set("gaps", static_cast<double>(s.gaps));
  out.Set("capEvictions", static_cast<double>(s.cap_evictions));
  out.Set("linksDropped", static_cast<double>(s.links_dropped));
  out.Set("tombstonesDropped", static_cast<double>(s.tombstones_dropped));
  out.Set("settledEarly", static_cast<double>(s.settled_early));
  out.Set("liveWriteErrors", static_cast<double>(s.live_errors));
  out.Set("peakFlows", static_cast<double>(s.peak_flows));
  out.Set("waitedNs", static_cast<double>(s.waited_ns));
  out.Set("ebpf", s.ebpf);
  return out;
}

LiveOptions options_of(const Napi::Object& in) {
  const auto number = [&](const Napi::Object& from, const char* name) {
    return from.Get(name).ToNumber().DoubleValue();
  };
  LiveOptions out;
  const auto names = in.Get("interfaces").As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); i++) out.interfaces.push_back(names.Get(i).ToString());
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
  return out;
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
