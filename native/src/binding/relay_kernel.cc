#include "binding/relay_kernel.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "binding/relay_rules.h"
#include "binding/settle.h"
#include "generated/relay_reasons.h"
#include "relay/kernel_relay.h"

namespace tapline {

namespace {

using relay::KernelRelay;

template <size_t N>
Napi::Object reasons(Napi::Env env, const __u64* counts, const char* const (&names)[N]) {
  Napi::Object out = Napi::Object::New(env);
  for (size_t i = 0; i < N; i++) out.Set(names[i], static_cast<double>(counts[i]));
  return out;
}

/// Of one list; rows without any share one object: ten thousand idle rules would each make two.
template <size_t N>
class Reasons {
 public:
  Reasons(Napi::Env env, const char* const (&names)[N]) : env_(env), names_(names) {
    const __u64 zeros[N] = {};
    none_ = reasons(env, zeros, names);
  }
  Napi::Object of(const __u64* counts) const {
    const bool any = std::any_of(counts, counts + N, [](__u64 count) { return count != 0; });
    return any ? reasons(env_, counts, names_) : none_;
  }

 private:
  Napi::Env env_;
  const char* const (&names_)[N];
  Napi::Object none_;
};

void set(Napi::Object& out, const char* name, uint64_t value) { out.Set(name, static_cast<double>(value)); }

Napi::Object port_row(Napi::Env env, const relay::PortFigures& port) {
  Napi::Object out = Napi::Object::New(env);
  set(out, "ifindex", port.port.ifindex);
  out.Set("engine", port.port.engine == RELAY_XDP ? "xdp" : "tc");
  set(out, "received", port.counts.received);
  set(out, "bytes", port.counts.bytes);
  set(out, "passed", port.counts.passed);
  set(out, "matched", port.counts.matched);
  out.Set("refused", reasons(env, port.counts.refused, relay::kRefusalNames));
  set(out, "ringDrops", 0);
  return out;
}

template <typename Refusals>
Napi::Object rule_row(Napi::Env env, const relay::RuleFigures& rule, const Refusals& refusals) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("id", rule.id);
  set(out, "matched", rule.counts.matched);
  set(out, "bytes", rule.counts.bytes);
  out.Set("refused", refusals.of(rule.counts.refused));
  out.Set("lastNs", Napi::BigInt::New(env, rule.last_ns));
  return out;
}

template <typename Drops>
Napi::Object output_row(Napi::Env env, const relay::OutputFigures& output, const Drops& drops) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("rule", output.rule);
  out.Set("id", output.id);
  set(out, "wanted", output.counts.wanted);
  set(out, "sent", output.counts.sent);
  set(out, "sentBytes", output.counts.sent_bytes);
  out.Set("dropped", drops.of(output.counts.dropped));
  return out;
}

Napi::Object hop_row(Napi::Env env, const relay::HopFigures& hop) {
  Napi::Object out = Napi::Object::New(env);
  set(out, "path", hop.stream.path);
  set(out, "stream", hop.stream.stream);
  set(out, "epoch", hop.stream.epoch);
  set(out, "unique", hop.window.unique);
  set(out, "lost", hop.window.lost);
  set(out, "pending", hop_window_pending(&hop.window));
  set(out, "duplicate", hop.window.duplicate);
  set(out, "reordered", hop.window.reordered);
  set(out, "late", hop.window.late);
  Napi::Array latency = Napi::Array::New(env, HOP_LATENCIES);
  for (uint32_t i = 0; i < HOP_LATENCIES; i++) latency.Set(i, static_cast<double>(hop.window.latency[i]));
  out.Set("latency", latency);
  return out;
}

template <typename Row, typename Make>
Napi::Array rows(Napi::Env env, const std::vector<Row>& from, const Make& make) {
  Napi::Array out = Napi::Array::New(env, from.size());
  for (size_t i = 0; i < from.size(); i++) out.Set(static_cast<uint32_t>(i), make(env, from[i]));
  return out;
}

Napi::Value figures(Napi::Env env, const KernelRelay& kernel) {
  const relay::Figures now = kernel.figures();
  Napi::Object out = Napi::Object::New(env);
  out.Set("ports", rows(env, now.ports, port_row));
  const Reasons refusals(env, relay::kRefusalNames);
  const Reasons drops(env, relay::kDropNames);
  out.Set("rules", rows(env, now.rules, [&](Napi::Env e, const auto& rule) { return rule_row(e, rule, refusals); }));
  out.Set("outputs",
          rows(env, now.outputs, [&](Napi::Env e, const auto& output) { return output_row(e, output, drops); }));
  out.Set("hops", rows(env, now.hops, hop_row));
  return out;
}

Napi::Object trace_row(Napi::Env env, const relay::Trace& trace) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("atNs", Napi::BigInt::New(env, trace.at_ns));
  out.Set("rule", trace.rule);
  const size_t bytes = trace.source.family == 4 ? 4 : 16;
  Napi::Uint8Array source = Napi::Uint8Array::New(env, bytes);
  std::memcpy(source.Data(), trace.source.bytes.data(), bytes);
  out.Set("source", source);
  set(out, "length", trace.length);
  set(out, "ttl", trace.ttl);
  if (trace.refused) out.Set("refused", relay::kRefusalNames[*trace.refused]);
  out.Set("outputs", rows(env, trace.outputs, [](Napi::Env e, const relay::TracedOutput& output) {
            Napi::Object row = Napi::Object::New(e);
            row.Set("id", output.id);
            if (output.dropped) row.Set("dropped", relay::kDropNames[*output.dropped]);
            return row;
          }));
  return out;
}

Napi::Value probe_row(Napi::Env env, const relay::InterfaceProbe& probe) {
  Napi::Object out = Napi::Object::New(env);
  set(out, "ifindex", probe.ifindex);
  out.Set("driver", probe.driver);
  out.Set("xdp", relay::kXdpModeNames[static_cast<size_t>(probe.xdp)]);
  out.Set("foreignXdp", probe.foreign_xdp);
  out.Set("foreignTc", probe.foreign_tc);
  out.Set("xdpTarget", probe.xdp_target);
  out.Set("why", probe.why);
  return out;
}

Napi::Value thrown(Napi::Env env, const relay::Status& status) {
  Napi::Error(env, coded_error(env, status.code, 0, status.detail)).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value apply(const Napi::CallbackInfo& call, KernelRelay& kernel) {
  relay::Plan plan;
  if (const std::string problem = relay::read_plan(call[0], plan); !problem.empty())
    return thrown(call.Env(), {"RELAY_BAD_PLAN", problem});
  if (const relay::Status status = kernel.apply(plan); !status.ok()) return thrown(call.Env(), status);
  Napi::Object out = Napi::Object::New(call.Env());
  set(out, "rulesWritten", kernel.changes().rules_written);
  set(out, "rulesKept", kernel.changes().rules_kept);
  set(out, "rulesRemoved", kernel.changes().rules_removed);
  return out;
}

relay::KernelOptions options_of(const Napi::Object& in) {
  relay::KernelOptions out;
  if (in.Get("pins").IsString()) out.pins = in.Get("pins").ToString();
  out.max_rules = in.Get("maxRules").ToNumber().Uint32Value();
  out.max_outputs = in.Get("maxOutputs").ToNumber().Uint32Value();
  out.orphan_after_ms = static_cast<uint64_t>(in.Get("orphanAfterMs").ToNumber().Int64Value());
  out.renew = in.Get("renew").ToBoolean();
  out.tcx = !in.Get("filters").ToBoolean();
  return out;
}

using Held = std::shared_ptr<std::unique_ptr<KernelRelay>>;

/// After close() there is nothing to ask.
template <typename Use>
Napi::Function method(Napi::Env env, const Held& held, const Use& use) {
  return Napi::Function::New(env, [held, use](const Napi::CallbackInfo& call) -> Napi::Value {
    if (!*held) return thrown(call.Env(), {"RELAY_FAILED", "it was closed"});
    return use(call, **held);
  });
}

}  // namespace

Napi::Value open_kernel_relay(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Held held = std::make_shared<std::unique_ptr<KernelRelay>>(std::make_unique<KernelRelay>());
  if (const relay::Status status = (*held)->open(options_of(info[0].As<Napi::Object>())); !status.ok())
    return thrown(env, status);
  Napi::Object out = Napi::Object::New(env);
  out.Set("adopted", (*held)->adopted());
  out.Set("upgraded", (*held)->upgraded());
  out.Set("observed", (*held)->observed());
  out.Set("tcx", (*held)->tcx());
  out.Set("probe", method(env, held, [](const auto& call, KernelRelay& kernel) {
            return probe_row(call.Env(), kernel.probe(call[0].ToNumber().Uint32Value()));
          }));
  out.Set("apply", method(env, held, [](const auto& call, KernelRelay& kernel) { return apply(call, kernel); }));
  out.Set("heartbeat", method(env, held, [](const auto& call, KernelRelay& kernel) {
            kernel.heartbeat();
            return call.Env().Undefined();
          }));
  out.Set("figures",
          method(env, held, [](const auto& call, KernelRelay& kernel) { return figures(call.Env(), kernel); }));
  out.Set("trace", method(env, held, [](const auto& call, KernelRelay& kernel) -> Napi::Value {
            const relay::Status status = kernel.trace(call[0].ToString(), call[1].ToNumber().Uint32Value());
            return status.ok() ? call.Env().Undefined() : thrown(call.Env(), status);
          }));
  out.Set("takeTraces", method(env, held, [](const auto& call, KernelRelay& kernel) -> Napi::Value {
            return rows(call.Env(), kernel.take_traces(), trace_row);
          }));
  out.Set("uninstall", method(env, held, [](const auto& call, KernelRelay& kernel) {
            kernel.uninstall();
            return call.Env().Undefined();
          }));
  out.Set("close", Napi::Function::New(env, [held](const Napi::CallbackInfo&) { held->reset(); }));
  return out;
}

}  // namespace tapline
