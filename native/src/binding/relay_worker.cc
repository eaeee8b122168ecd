// A worker's files as JavaScript holds them: rules in, figures out.
#include "binding/relay_worker.h"

#include <time.h>

#include <memory>

#include "binding/relay_rules.h"
#include "binding/settle.h"
#include "relay/afpacket/control.h"

namespace tapline {

namespace {
using relay::Control;

template <size_t N>
Napi::Object reasons(Napi::Env env, const relay::Count (&counts)[N], const char* const (&names)[N]) {
  Napi::Object out = Napi::Object::New(env);
  for (size_t i = 0; i < N; i++) out.Set(names[i], static_cast<double>(counts[i].get()));
  return out;
}
void set(Napi::Object& out, const char* name, const relay::Count& count) {
  out.Set(name, static_cast<double>(count.get()));
}

uint64_t since_boot_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Napi::Value throw_files(Napi::Env env, const std::string& problem) {
  Napi::Error(env, coded_error(env, "RELAY_WORKER_FILES", 0, problem)).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value apply(const Napi::CallbackInfo& info, Control& control) {
  Napi::Env env = info.Env();
  relay::Plan plan;
  if (const std::string problem = relay::read_plan(info[0], plan); !problem.empty()) {
    Napi::Error(env, coded_error(env, "RELAY_BAD_PLAN", 0, problem)).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  std::vector<relay::Address> ends;
  for (const relay::TunnelPort& port : plan.tunnel_ports)
    if (port.ifindex == control.table().ifindex && port.engine == relay::Engine::AfPacket) ends = port.addresses;
  const std::string problem = control.apply(std::move(plan.rules), std::move(ends), std::move(plan.own_addresses));
  if (!problem.empty()) return throw_files(env, problem);
  return Napi::Number::New(env, static_cast<double>(control.table().generation));
}

Napi::Value state(Napi::Env env, Control& control) {
  const relay::Figures& figures = control.file().figures();
  Napi::Object out = Napi::Object::New(env);
  out.Set("pid", control.file().claimed_by());
  out.Set("ready", figures.ready.load() != 0 && control.file().claimed_by() != 0);
  out.Set("starts", static_cast<double>(figures.starts.load()));
  out.Set("wanted", static_cast<double>(figures.wanted.load()));
  out.Set("applied", static_cast<double>(figures.applied.load()));
  out.Set("unreadable", static_cast<double>(figures.refused_table.load()));
  return out;
}

Napi::Object port_row(Napi::Env env, const relay::PortCounts& port, uint32_t ifindex) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("ifindex", ifindex);
  out.Set("engine", "afpacket");
  set(out, "received", port.received);
  set(out, "bytes", port.bytes);
  set(out, "passed", port.passed);
  set(out, "matched", port.matched);
  out.Set("refused", reasons(env, port.refused, relay::kRefusalNames));
  set(out, "ringDrops", port.ring_drops);
  return out;
}

Napi::Object hop_row(Napi::Env env, const relay::HopSlot& slot) {
  hop_window window = slot.window;  // a number may come while it is copied: it shows with the next reading
  hop_window_settle(&window, since_boot_ns());
  Napi::Object out = Napi::Object::New(env);
  out.Set("path", slot.path);
  out.Set("stream", slot.stream);
  out.Set("epoch", slot.epoch);
  out.Set("unique", static_cast<double>(window.unique));
  out.Set("lost", static_cast<double>(window.lost));
  out.Set("pending", static_cast<double>(hop_window_pending(&window)));
  out.Set("duplicate", static_cast<double>(window.duplicate));
  out.Set("reordered", static_cast<double>(window.reordered));
  out.Set("late", static_cast<double>(window.late));
  Napi::Array latency = Napi::Array::New(env, HOP_LATENCIES);
  for (uint32_t i = 0; i < HOP_LATENCIES; i++) latency.Set(i, static_cast<double>(window.latency[i]));
  out.Set("latency", latency);
  return out;
}

Napi::Value figures(Napi::Env env, Control& control) {
  relay::FiguresFile& file = control.file();
  Napi::Array ports = Napi::Array::New(env), rules = Napi::Array::New(env), outputs = Napi::Array::New(env),
              hops = Napi::Array::New(env);
  ports.Set(0u, port_row(env, file.figures().port, control.table().ifindex));
  for (const relay::SlottedRule& one : control.table().rules) {
    const relay::RuleCounts& counts = file.rule(one.slot);
    Napi::Object rule = Napi::Object::New(env);
    rule.Set("id", one.rule.id);
    set(rule, "matched", counts.matched);
    set(rule, "bytes", counts.bytes);
    rule.Set("refused", reasons(env, counts.refused, relay::kRefusalNames));
    rule.Set("lastNs", Napi::BigInt::New(env, counts.last_ns.get()));
    rules.Set(rules.Length(), rule);
    for (size_t i = 0; i < one.output_slots.size(); i++) {
      const relay::OutputCounts& sums = file.output(one.output_slots[i]);
      Napi::Object output = Napi::Object::New(env);
      output.Set("rule", one.rule.id);
      output.Set("id", one.rule.outputs[i].id);
      set(output, "wanted", sums.wanted);
      set(output, "sent", sums.sent);
      set(output, "sentBytes", sums.sent_bytes);
      output.Set("dropped", reasons(env, sums.dropped, relay::kDropNames));
      outputs.Set(outputs.Length(), output);
    }
  }
  for (const relay::HopSlot& slot : file.figures().hops)
    if (slot.used.load(std::memory_order_acquire)) hops.Set(hops.Length(), hop_row(env, slot));
  Napi::Object out = Napi::Object::New(env);
  out.Set("ports", ports);
  out.Set("rules", rules);
  out.Set("outputs", outputs);
  out.Set("hops", hops);
  return out;
}

Napi::Value traces(Napi::Env env, Control& control) {
  Napi::Array out = Napi::Array::New(env);
  control.take_traces([&](const relay::TraceRecord& record) {
    const auto& rules = control.table().rules;
    const relay::SlottedRule* rule = nullptr;
    for (const relay::SlottedRule& one : rules)
      if (one.slot == record.rule_slot) rule = &one;
    if (!rule) return;  // it was removed meanwhile
    Napi::Object row = Napi::Object::New(env);
    row.Set("atNs", Napi::BigInt::New(env, record.at_ns));
    row.Set("rule", rule->rule.id);
    const size_t bytes = record.family == 4 ? 4 : 16;
    Napi::Uint8Array source = Napi::Uint8Array::New(env, bytes);
    std::memcpy(source.Data(), record.source, bytes);
    row.Set("source", source);
    row.Set("length", record.length);
    row.Set("ttl", record.ttl);
    if (record.refused < RELAY_REFUSED_REASONS) row.Set("refused", relay::kRefusalNames[record.refused]);
    Napi::Array outputs = Napi::Array::New(env);
    for (size_t i = 0; i < record.outputs && i < relay::kTraceOutputs; i++) {
      Napi::Object output = Napi::Object::New(env);
      std::string id;
      for (size_t k = 0; k < rule->output_slots.size(); k++)
        if (rule->output_slots[k] == record.output_slot[i]) id = rule->rule.outputs[k].id;
      output.Set("id", id);
      if (record.dropped[i] < RELAY_DROPPED_REASONS) output.Set("dropped", relay::kDropNames[record.dropped[i]]);
      outputs.Set(outputs.Length(), output);
    }
    row.Set("outputs", outputs);
    out.Set(out.Length(), row);
  });
  return out;
}

/// After close() there is nothing to ask.
template <typename Use>
Napi::Function method(Napi::Env env, const std::shared_ptr<std::unique_ptr<Control>>& held, const Use& use) {
  return Napi::Function::New(env, [held, use](const Napi::CallbackInfo& call) -> Napi::Value {
    if (!*held) return throw_files(call.Env(), "it was closed");
    return use(call, **held);
  });
}
}  // namespace

Napi::Value open_relay_worker(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto options = info[0].As<Napi::Object>();
  const auto number = [&](const char* name) { return options.Get(name).ToNumber().Uint32Value(); };
  auto held = std::make_shared<std::unique_ptr<Control>>(std::make_unique<Control>());
  const std::string folder = options.Get("folder").ToString();
  if (const std::string problem = (*held)->open(folder, number("ifindex"), number("maxRules"), number("maxOutputs"));
      !problem.empty())
    return throw_files(env, folder + ": " + problem);
  Napi::Object out = Napi::Object::New(env);
  out.Set("apply", method(env, held, [](const auto& call, Control& control) { return apply(call, control); }));
  out.Set("state", method(env, held, [](const auto& call, Control& control) { return state(call.Env(), control); }));
  out.Set("figures",
          method(env, held, [](const auto& call, Control& control) { return figures(call.Env(), control); }));
  out.Set("takeTraces",
          method(env, held, [](const auto& call, Control& control) { return traces(call.Env(), control); }));
  out.Set("heartbeat", method(env, held, [](const auto& call, Control& control) -> Napi::Value {
            control.heartbeat(static_cast<uint64_t>(call[0].ToNumber().Int64Value()));
            return call.Env().Undefined();
          }));
  out.Set("trace", method(env, held, [](const auto& call, Control& control) -> Napi::Value {
            return Napi::Boolean::New(call.Env(), control.trace(call[0].ToString(), call[1].ToNumber().Uint32Value()));
          }));
  out.Set("close", Napi::Function::New(env, [held](const Napi::CallbackInfo&) { held->reset(); }));
  return out;
}

}  // namespace tapline
