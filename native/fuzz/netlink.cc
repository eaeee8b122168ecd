// Any bytes as what came from the kernel: a datagram, and the attributes of each group of settings.
#include <cstdlib>

#include "host/ethtool.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tapline;
  const Bytes bytes(data, size);
  const NetlinkReply reply = read_reply(bytes, 1);
  if (!reply.status.ok() && reply.status.detail.empty()) abort();
  for (const Bytes attributes : reply.attributes)
    if (attributes.data() < data || attributes.data() + attributes.size() > data + size) abort();
  for (const SettingGroup* group : {&kRings, &kCoalesce, &kChannels}) {
    Settings found;
    read_settings(bytes, *group, found);
  }
  std::vector<Feature> features;
  read_features(bytes, features);
  for (const Feature& feature : features)
    if (feature.name.empty()) abort();
  return 0;
}
