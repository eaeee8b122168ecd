#include "binding/links.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "binding/settle.h"
#include "capture/link_list.h"

namespace tapline {

namespace {
constexpr int kGatherMs = 20;  ///< a change seldom comes alone

Napi::Value listed(Napi::Env env, const std::vector<Link>& links) {
  Napi::Array out = Napi::Array::New(env, links.size());
  for (size_t i = 0; i < links.size(); i++) {
    const Link& link = links[i];
    Napi::Object row = Napi::Object::New(env);
    row.Set("index", link.index);
    row.Set("name", link.name);
    row.Set("up", link.up);
    row.Set("running", link.running);
    row.Set("mac", link.mac);
    row.Set("mtu", link.mtu);
    out.Set(static_cast<uint32_t>(i), row);
  }
  return out;
}

/// The thread that reads, and the list on its way to JavaScript: one at a time, the next when that was seen.
class LinkWatch {
 public:
  LinkWatch(Napi::Env env, const Napi::Function& on_change)
      : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        call_(Napi::ThreadSafeFunction::New(env, on_change, "tapline links", 1, 1)) {}
  ~LinkWatch() {
    stop();
    close(wake_);
  }

  CaptureStatus open() { return list_.open(); }
  void start() {
    thread_ = std::thread([this] { run(); });
  }
  void stop() {
    if (stopped_.exchange(true)) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
    if (thread_.joinable()) thread_.join();
    call_.Abort();
  }

 private:
  void run() {
    bool changed = true;
    while (!stopped_) {
      pollfd waiting[] = {{list_.fd(), POLLIN, 0}, {wake_, POLLIN, 0}};
      poll(waiting, 2, changed ? kGatherMs : -1);
      if (waiting[0].revents != 0) list_.read([&changed] { changed = true; });
      // Gathered: nothing more came for a moment. While JavaScript has not seen the last list, the next waits.
      if (changed && waiting[0].revents == 0 && !stopped_) changed = !tell();
    }
  }

  bool tell() {
    auto* links = new std::vector<Link>;
    for (const auto& [index, link] : list_.all()) links->push_back(link);
    const napi_status status =
        call_.NonBlockingCall(links, [](Napi::Env env, Napi::Function on_change, std::vector<Link>* told) {
          const std::unique_ptr<std::vector<Link>> owned(told);
          if (env != nullptr) on_change.Call({listed(env, *owned)});
        });
    if (status != napi_ok) delete links;
    return status == napi_ok || status == napi_closing;
  }

  LinkList list_;
  const int wake_;
  Napi::ThreadSafeFunction call_;
  std::thread thread_;
  std::atomic<bool> stopped_{false};
};
}  // namespace

Napi::Value watch_links(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto watch = std::make_shared<LinkWatch>(env, info[0].As<Napi::Function>());
  if (const CaptureStatus status = watch->open(); !status.ok()) {
    Napi::Error(env, coded_error(env, status.code, 0, status.detail)).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  watch->start();
  env.AddCleanupHook(
      [](std::shared_ptr<LinkWatch>* held) {
        (*held)->stop();
        delete held;
      },
      new std::shared_ptr<LinkWatch>(watch));
  Napi::Object out = Napi::Object::New(env);
  out.Set("stop", Napi::Function::New(env, [watch](const Napi::CallbackInfo&) { watch->stop(); }));
  return out;
}

}  // namespace tapline
