#include "binding/generation.h"

#include <thread>

#include "binding/settle.h"
#include "generate/generate.h"

namespace tapline {

namespace {

GenerateOptions options_of(const Napi::Object& in) {
  const auto number = [&](const char* name) { return in.Get(name).ToNumber().DoubleValue(); };
  const auto flag = [&](const char* name) { return in.Get(name).ToBoolean().Value(); };
  const std::string kind = in.Get("protocol").ToString();
  GenerateOptions out;
  out.path = in.Get("path").ToString();
  if (in.Get("truthPath").IsString()) out.truth_path = in.Get("truthPath").ToString();
  out.packets = static_cast<uint64_t>(number("packets"));
  out.flows = static_cast<uint64_t>(number("flows"));
  out.protocol = kind == "ipsec"   ? TrafficKind::kIpsec
                 : kind == "mixed" ? TrafficKind::kMixed
                 : kind == "tcp"   ? TrafficKind::kTcp
                                   : TrafficKind::kMacsec;
  out.seed = static_cast<uint64_t>(number("seed"));
  out.loss = number("loss");
  out.reorder = number("reorder");
  out.duplicate = number("duplicate");
  out.rekey = static_cast<uint64_t>(number("rekey"));
  out.xpn = flag("xpn");
  out.esn = flag("esn");
  out.ipv6 = flag("ipv6");
  out.vlan = flag("vlan");
  out.min_size = static_cast<uint32_t>(number("minSize"));
  out.max_size = static_cast<uint32_t>(number("maxSize"));
  out.pps = number("pps");
  out.nanosecond = flag("nanosecond");
  out.pcapng = flag("pcapng");
  bool lossless = false;
  out.start_ns = in.Get("startNs").As<Napi::BigInt>().Int64Value(&lossless);
  return out;
}

struct Work {
  GenerateOptions options;
  std::atomic<uint64_t> made{0};
  std::atomic<bool> stop{false};
  std::thread thread;

  ~Work() { end(); }
  void end() {
    stop.store(true);
    if (thread.joinable()) thread.join();
  }
};

Napi::Value generated(Napi::Env env, const GenerateResult& r, bool& failed) {
  if (!r.ok()) {
    failed = true;
    Napi::Value error = coded_error(env, r.code, 0, r.detail);
    error.As<Napi::Object>().Set("path", r.path);
    return error;
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("complete", r.complete);
  out.Set("packets", static_cast<double>(r.packets));
  out.Set("bytes", static_cast<double>(r.bytes));
  out.Set("flows", static_cast<double>(r.flows));
  out.Set("lost", static_cast<double>(r.lost));
  return out;
}

}  // namespace

Napi::Value generate_traffic(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = std::make_shared<Work>();
  work->options = options_of(info[0].As<Napi::Object>());
  auto settler = std::make_shared<Settler>(env);
  Napi::Object out = Napi::Object::New(env);
  out.Set("done", settler->promise());
  out.Set("progress", Napi::Function::New(env, [work](const Napi::CallbackInfo& call) -> Napi::Value {
            Napi::Object result = Napi::Object::New(call.Env());
            result.Set("packets", static_cast<double>(work->made.load(std::memory_order_relaxed)));
            result.Set("total", static_cast<double>(work->options.packets));
            return result;
          }));
  out.Set("stop", Napi::Function::New(env, [work](const Napi::CallbackInfo&) { work->stop.store(true); }));
  env.AddCleanupHook(
      [](std::shared_ptr<Work>* held) {
        (*held)->end();
        delete held;
      },
      new std::shared_ptr<Work>(work));
  work->thread = std::thread([w = work.get(), settler] {
    const GenerateResult result = generate(w->options, w->made, w->stop);
    settler->settle([result](Napi::Env e, bool& failed) { return generated(e, result, failed); });
  });
  return out;
}

}  // namespace tapline
