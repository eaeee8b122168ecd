// Enters: the descriptor of a connected UNIX socket. Leaves: who is at its other end, as the kernel noted it at connect
// (unix(7)).
#include "binding/peer.h"

#include <sys/socket.h>
#include <sys/types.h>

#include <vector>

namespace tapline {

Napi::Value peer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = info[0].As<Napi::Number>().Int32Value();
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return env.Null();
  // Supplementary groups: a member of the socket's group often has it only among these. 65,536 is the kernel's own
  // limit.
  std::vector<gid_t> groups(64);
  socklen_t bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes);
  if (result != 0 && bytes > groups.size() * sizeof(gid_t)) {
    groups.resize(bytes / sizeof(gid_t));
    result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes);
  }
  groups.resize(result == 0 ? bytes / sizeof(gid_t) : 0);

  Napi::Array listed = Napi::Array::New(env, groups.size());
  for (size_t i = 0; i < groups.size(); i++) listed.Set(static_cast<uint32_t>(i), Napi::Number::New(env, groups[i]));
  Napi::Object out = Napi::Object::New(env);
  out.Set("pid", who.pid);
  out.Set("uid", who.uid);
  out.Set("gid", who.gid);
  out.Set("groups", listed);
  return out;
}

}  // namespace tapline
