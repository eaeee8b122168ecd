// Routes, addresses and neighbours as JavaScript asks for them. What the kernel answers from memory is asked at once;
// what changes is heard by a thread.
#include "binding/network.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "binding/settle.h"
#include "host/neighbours.h"
#include "host/routes.h"

namespace tapline {

namespace {
constexpr int kGatherMs = 20;  ///< a change seldom comes alone
constexpr int kNudgeMs = 1000;

Napi::Value refuse(Napi::Env env, const NetlinkStatus& status) {
  const bool denied = status.error == EPERM || status.error == EACCES;
  const char* code = denied ? "NETWORK_NOT_PERMITTED" : "NETWORK_FAILED";
  Napi::Error(env, coded_error(env, code, 0, status.detail)).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value bytes(Napi::Env env, const uint8_t* from, size_t length) {
  Napi::Uint8Array out = Napi::Uint8Array::New(env, length);
  std::memcpy(out.Data(), from, length);
  return out;
}
Napi::Value bytes(Napi::Env env, const relay::Address& address) {
  return bytes(env, address.bytes.data(), address.family == 4 ? 4 : 16);
}

/// False: an exception is pending.
bool read_address(const Napi::Value& from, relay::Address& out) {
  if (from.IsTypedArray() && from.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = from.As<Napi::Uint8Array>();
    if (array.ElementLength() == 4 || array.ElementLength() == 16) {
      out.family = array.ElementLength() == 4 ? 4 : 6;
      std::memcpy(out.bytes.data(), array.Data(), array.ElementLength());
      return true;
    }
  }
  Napi::TypeError::New(from.Env(), "an address is 4 or 16 bytes").ThrowAsJavaScriptException();
  return false;
}
uint32_t index_of(const Napi::Value& from) { return from.IsNumber() ? from.As<Napi::Number>().Uint32Value() : 0; }

Napi::Value find(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  relay::Address to;
  if (!read_address(info[0], to)) return env.Undefined();
  std::optional<Route> route;
  if (const NetlinkStatus status = find_route(to, index_of(info[1]), route); !status.ok()) return refuse(env, status);
  if (!route) return env.Null();
  Napi::Object out = Napi::Object::New(env);
  const char* kind = route->kind == RTN_LOCAL       ? "local"
                     : route->kind == RTN_MULTICAST ? "multicast"
                     : route->kind == RTN_BROADCAST ? "broadcast"
                     : route->kind == RTN_UNICAST   ? "unicast"
                                                    : "none";
  out.Set("ifindex", route->ifindex);
  out.Set("kind", kind);
  out.Set("gateway", route->gateway ? bytes(env, *route->gateway) : env.Null());
  out.Set("source", route->source ? bytes(env, *route->source) : env.Null());
  out.Set("mtu", route->mtu);
  return out;
}

Napi::Value addresses(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::vector<OwnAddress> found;
  if (const NetlinkStatus status = list_addresses(found); !status.ok()) return refuse(env, status);
  Napi::Array out = Napi::Array::New(env, found.size());
  for (size_t i = 0; i < found.size(); i++) {
    Napi::Object row = Napi::Object::New(env);
    row.Set("ifindex", found[i].ifindex);
    row.Set("address", bytes(env, found[i].address));
    row.Set("prefix", found[i].prefix);
    row.Set("joined", (found[i].flags & IFA_F_MCAUTOJOIN) != 0);
    row.Set("ours", found[i].protocol == kRelayAddressProtocol);
    out.Set(static_cast<uint32_t>(i), row);
  }
  return out;
}

Napi::Value add_group(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  relay::Address group;
  if (!read_address(info[1], group)) return env.Undefined();
  const NetlinkStatus status = add_group_address(index_of(info[0]), group);
  if (status.ok()) return Napi::String::New(env, "added");
  if (status.error == EEXIST) return Napi::String::New(env, "exists");
  if (status.error == ENOBUFS || status.error == ENOMEM) return Napi::String::New(env, "full");
  return refuse(env, status);
}

Napi::Value remove_group(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  relay::Address group;
  if (!read_address(info[1], group)) return env.Undefined();
  const NetlinkStatus status = remove_group_address(index_of(info[0]), group);
  if (status.ok()) return Napi::Boolean::New(env, true);
  if (status.error == EADDRNOTAVAIL || status.error == ENODEV) return Napi::Boolean::New(env, false);
  return refuse(env, status);
}

/// What is told: at most one on its way, the next when that was seen.
struct Change {
  std::map<NeighbourKey, Neighbour> neighbours;
  bool routes = false;
};

class NetworkWatch {
 public:
  NetworkWatch(Napi::Env env, const Napi::Function& on_change)
      : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        call_(Napi::ThreadSafeFunction::New(env, on_change, "tapline network", 1, 1)) {}
  ~NetworkWatch() {
    stop();
    close(wake_);
  }

  NetlinkStatus open() {
    if (NetlinkStatus status = neighbours_.open(); !status.ok()) return status;
    return routes_.open(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
  }
  void start() {
    thread_ = std::thread([this] { run(); });
  }
  void want(std::set<NeighbourKey> wanted) {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = std::move(wanted);
    }
    wake();
  }
  void stop() {
    if (stopped_.exchange(true)) return;
    wake();
    if (thread_.joinable()) thread_.join();
    call_.Abort();
  }

 private:
  void wake() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
  }

  void run() {
    bool changed = false, routes = false;
    while (!stopped_) {
      pollfd waiting[] = {{neighbours_.fd(), POLLIN, 0}, {routes_.fd(), POLLIN, 0}, {wake_, POLLIN, 0}};
      const int ready = poll(waiting, 3, changed || routes ? kGatherMs : kNudgeMs);
      if (waiting[0].revents != 0) changed |= neighbours_.take();
      if (waiting[1].revents != 0) {
        routes_.take([](const RouteMessage&) {});
        routes = true;
      }
      if (waiting[2].revents != 0) changed |= take_wanted();
      if (ready != 0 || stopped_) continue;
      if (!changed && !routes) neighbours_.nudge();
      if ((changed || routes) && tell(routes)) changed = routes = false;
    }
  }

  bool take_wanted() {
    uint64_t count;
    [[maybe_unused]] const ssize_t got = read(wake_, &count, sizeof count);
    std::optional<std::set<NeighbourKey>> wanted;
    {
      const std::lock_guard lock(mutex_);
      wanted.swap(wanted_);
    }
    if (wanted) neighbours_.want(*wanted);
    return wanted.has_value();
  }

  bool tell(bool routes) {
    auto* change = new Change{neighbours_.all(), routes};
    const napi_status status = call_.NonBlockingCall(change, [](Napi::Env env, Napi::Function on_change, Change* told) {
      const std::unique_ptr<Change> owned(told);
      if (env == nullptr) return;
      Napi::Array list = Napi::Array::New(env);
      for (const auto& [key, neighbour] : owned->neighbours) {
        if (!neighbour.mac) continue;
        Napi::Object row = Napi::Object::New(env);
        row.Set("ifindex", key.ifindex);
        row.Set("address", bytes(env, key.address.data(), key.family == 4 ? 4 : 16));
        row.Set("mac", bytes(env, neighbour.mac->data(), 6));
        list.Set(list.Length(), row);
      }
      Napi::Object out = Napi::Object::New(env);
      out.Set("neighbours", list);
      out.Set("routesChanged", owned->routes);
      on_change.Call({out});
    });
    if (status != napi_ok) delete change;
    return status == napi_ok || status == napi_closing;
  }

  NeighbourList neighbours_;
  RouteSocket routes_;
  const int wake_;
  Napi::ThreadSafeFunction call_;
  std::mutex mutex_;
  std::optional<std::set<NeighbourKey>> wanted_;
  std::thread thread_;
  std::atomic<bool> stopped_{false};
};

Napi::Value watch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto watching = std::make_shared<NetworkWatch>(env, info[0].As<Napi::Function>());
  if (const NetlinkStatus status = watching->open(); !status.ok()) return refuse(env, status);
  watching->start();
  env.AddCleanupHook(
      [](std::shared_ptr<NetworkWatch>* held) {
        (*held)->stop();
        delete held;
      },
      new std::shared_ptr<NetworkWatch>(watching));
  Napi::Object out = Napi::Object::New(env);
  out.Set("want", Napi::Function::New(env, [watching](const Napi::CallbackInfo& call) {
            std::set<NeighbourKey> wanted;
            const auto list = call[0].As<Napi::Array>();
            for (uint32_t i = 0; i < list.Length(); i++) {
              const auto one = list.Get(i).As<Napi::Object>();
              relay::Address address;
              if (!read_address(one.Get("address"), address)) return;
              wanted.insert({index_of(one.Get("ifindex")), address.family, address.bytes});
            }
            watching->want(std::move(wanted));
          }));
  out.Set("stop", Napi::Function::New(env, [watching](const Napi::CallbackInfo&) { watching->stop(); }));
  return out;
}
}  // namespace

void offer_network(Napi::Env env, Napi::Object exports) {
  exports.Set("findRoute", Napi::Function::New(env, find));
  exports.Set("listAddresses", Napi::Function::New(env, addresses));
  exports.Set("addGroupAddress", Napi::Function::New(env, add_group));
  exports.Set("removeGroupAddress", Napi::Function::New(env, remove_group));
  exports.Set("watchNetwork", Napi::Function::New(env, watch));
}

}  // namespace tapline
