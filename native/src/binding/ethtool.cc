// A network interface's settings, and what the kernel allows, as JavaScript objects.
#include "binding/ethtool.h"

#include <cerrno>

#include "binding/settle.h"
#include "host/ethtool.h"
#include "host/probe.h"

namespace tapline {

namespace {

/// Throws. `Value()` of it is never looked at.
Napi::Value refuse(Napi::Env env, const NetlinkStatus& status) {
  const char* code = status.error == ENODEV                            ? "INTERFACE_NOT_FOUND"
                     : status.error == EPERM || status.error == EACCES ? "ETHTOOL_NOT_PERMITTED"
                                                                       : "ETHTOOL_FAILED";
  Napi::Error(env, coded_error(env, code, 0, status.detail)).ThrowAsJavaScriptException();
  return env.Undefined();
}

/// { value } or { notSupported: why }: a driver that lacks something is no error.
template <typename Fill>
Napi::Object part(Napi::Env env, const NetlinkStatus& status, const Fill& fill) {
  Napi::Object out = Napi::Object::New(env);
  if (status.ok()) {
    Napi::Object value = Napi::Object::New(env);
    fill(value);
    out.Set("value", value);
  } else {
    out.Set("notSupported", status.detail);
  }
  return out;
}

Napi::Object settings(Napi::Env env, Ethtool& tool, const SettingGroup& group) {
  Settings found;
  const NetlinkStatus status = tool.settings(group, found);
  return part(env, status, [&](Napi::Object& out) {
    for (const auto& [field, value] : found) {
      if (field->byte)
        out.Set(field->name, value != 0);
      else
        out.Set(field->name, value);
    }
  });
}

Napi::Value set(const Napi::CallbackInfo& info, const SettingGroup& group) {
  Napi::Env env = info.Env();
  Ethtool tool;
  if (const NetlinkStatus status = tool.open(info[0].ToString()); !status.ok()) return refuse(env, status);
  const auto wanted = info[1].As<Napi::Object>();
  Settings values;
  for (size_t i = 0; i < group.count; i++) {
    const SettingField& field = group.fields[i];
    if (wanted.Has(field.name)) values.emplace_back(&field, wanted.Get(field.name).ToNumber().Uint32Value());
  }
  if (const NetlinkStatus status = tool.set(group, values); !status.ok()) return refuse(env, status);
  return env.Undefined();
}

}  // namespace

Napi::Value ethtool(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Ethtool tool;
  if (const NetlinkStatus status = tool.open(info[0].ToString()); !status.ok()) return refuse(env, status);
  Napi::Object out = Napi::Object::New(env);
  out.Set("index", tool.index());
  Driver driver;
  const NetlinkStatus named = tool.driver(driver);
  out.Set("driver", part(env, named, [&](Napi::Object& value) {
            value.Set("name", driver.name);
            value.Set("version", driver.version);
            value.Set("firmware", driver.firmware);
            value.Set("bus", driver.bus);
          }));
  out.Set("rings", settings(env, tool, kRings));
  out.Set("coalesce", settings(env, tool, kCoalesce));
  out.Set("channels", settings(env, tool, kChannels));
  std::vector<Feature> features;
  const NetlinkStatus listed = tool.features(features);
  out.Set("features", part(env, listed, [&](Napi::Object& value) {
            for (const Feature& feature : features) {
              Napi::Object one = Napi::Object::New(env);
              one.Set("active", feature.active);
              one.Set("wanted", feature.wanted);
              one.Set("changeable", feature.changeable);
              value.Set(feature.name, one);
            }
          }));
  std::vector<std::pair<std::string, uint64_t>> statistics;
  const NetlinkStatus counted = tool.statistics(statistics);
  out.Set("statistics", part(env, counted, [&](Napi::Object& value) {
            for (const auto& [name, count] : statistics) value.Set(name, static_cast<double>(count));
          }));
  return out;
}

Napi::Value set_rings(const Napi::CallbackInfo& info) { return set(info, kRings); }
Napi::Value set_coalesce(const Napi::CallbackInfo& info) { return set(info, kCoalesce); }

Napi::Value set_features(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Ethtool tool;
  if (const NetlinkStatus status = tool.open(info[0].ToString()); !status.ok()) return refuse(env, status);
  const auto wanted = info[1].As<Napi::Object>();
  std::vector<std::pair<std::string, bool>> values;
  const Napi::Array names = wanted.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = names.Get(i).ToString();
    values.emplace_back(name, wanted.Get(name).ToBoolean());
  }
  if (const NetlinkStatus status = tool.set_features(values); !status.ok()) return refuse(env, status);
  return env.Undefined();
}

Napi::Value probe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  static constexpr const char* kOutcomes[] = {"works", "fails", "unknown"};
  Napi::Object capture = Napi::Object::New(env);
  for (const Probe& one : probe_capture()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("outcome", kOutcomes[static_cast<size_t>(one.outcome)]);
    entry.Set("detail", one.detail);
    capture.Set(one.name, entry);
  }
  const ClockState state = clock_state();
  Napi::Object clock = Napi::Object::New(env);
  clock.Set("synchronised", state.synchronised);
  clock.Set("estimatedErrorUs", state.estimated_error_us);
  clock.Set("largestErrorUs", state.largest_error_us);
  Napi::Object out = Napi::Object::New(env);
  out.Set("capture", capture);
  out.Set("clock", clock);
  return out;
}

}  // namespace tapline
