#include "flow/links.h"

#include <algorithm>

namespace tapline {

void link_associations(std::vector<Association> all, Outbox& outbox) {
  std::sort(all.begin(), all.end(), [](const Association& a, const Association& b) {
    return a.group != b.group ? a.group < b.group : a.packet < b.packet;
  });
  Gather<LinkRecord> links(ResultKind::kLinks, outbox);
  for (size_t i = 1; i < all.size(); i++) {
    if (all[i].group != all[i - 1].group || all[i].resumed) continue;
    LinkRecord& link = links.add();
    link =
        LinkRecord{static_cast<double>(uint64_t{all[i].packet}), static_cast<double>(uint64_t{all[i - 1].packet}), {}};
    link.meta[0] = static_cast<uint8_t>(LinkKind::Rekey);
  }
  links.flush();
}

}  // namespace tapline
