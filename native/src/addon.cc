// What the addon offers, as native/engine.ts declares it. A packet's way, top to bottom:
//   replay/capture_file.h  a mapped file's records
//   capture/ring.h         a live interface's frames, in blocks that the kernel fills
//   decode/decode.h        a record's headers, and what flow it belongs to
//   replay/analysis.h      chunks read in parallel, confirmed in order
//   flow/flow_table.h      a flow's counters, and flow/window.h its gaps
//   flow/outbox.h          records on their way to TypeScript
#include "binding/analysis.h"
#include "binding/capture.h"
#include "binding/ethtool.h"
#include "binding/generation.h"
#include "binding/links.h"
#include "binding/micro.h"
#include "binding/network.h"
#include "binding/peer.h"
#include "binding/relay_kernel.h"
#include "binding/relay_worker.h"
#include "host/unused_memory.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("analyze", Napi::Function::New(env, tapline::analyze));
  exports.Set("capture", Napi::Function::New(env, tapline::capture));
  exports.Set("ethtool", Napi::Function::New(env, tapline::ethtool));
  exports.Set("setRings", Napi::Function::New(env, tapline::set_rings));
  exports.Set("setCoalesce", Napi::Function::New(env, tapline::set_coalesce));
  exports.Set("setFeatures", Napi::Function::New(env, tapline::set_features));
  exports.Set("probe", Napi::Function::New(env, tapline::probe));
  exports.Set("releaseUnused", Napi::Function::New(env, [](const Napi::CallbackInfo&) { tapline::release_unused(); }));
  exports.Set("watchLinks", Napi::Function::New(env, tapline::watch_links));
  exports.Set("generate", Napi::Function::New(env, tapline::generate_traffic));
  exports.Set("peer", Napi::Function::New(env, tapline::peer));
  exports.Set("micro", Napi::Function::New(env, tapline::micro));
  exports.Set("openKernelRelay", Napi::Function::New(env, tapline::open_kernel_relay));
  exports.Set("openRelayWorker", Napi::Function::New(env, tapline::open_relay_worker));
  tapline::offer_network(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(tapline, init)
