// Generated from domain/records.ts by `make generate`. Do not edit.
// clang-format off
#pragma once
#include <cstddef>
#include <cstdint>

namespace tapline {

struct FlowRecord {
  double packet;
  int64_t first_time;
  int64_t last_time;
  double packets;
  double bytes;
  uint8_t meta[8];
  uint8_t tags[8];
  uint8_t sci[8];
  uint8_t source[16];
  uint8_t destination[16];
  double first_number;
  double last_number;
  double expected;
  double unique;
  double reordered;
  double duplicate;
  double late;
  double lost;
  double pending;
  double jumps;
  double outliers;
  double restarts;
  double gaps;
  double min_gap;
  double max_gap;
  double min_inter_arrival;
  double max_inter_arrival;
};
static_assert(sizeof(FlowRecord) == 232);

struct GapRecord {
  double packet;
  double first;
  double last;
  int64_t noticed;
  int64_t confirmed;
  uint8_t meta[8];
  uint8_t tags[8];
  uint8_t sci[8];
  uint8_t source[16];
  uint8_t destination[16];
  uint8_t flags[8];
};
static_assert(sizeof(GapRecord) == 104);

struct LinkRecord {
  double packet;
  double previous;
  uint8_t meta[8];
};
static_assert(sizeof(LinkRecord) == 24);

struct BlindRecord {
  double port;
  int64_t since;
  int64_t until;
  uint8_t meta[8];
};
static_assert(sizeof(BlindRecord) == 32);

struct LiveHeader {
  uint8_t magic[8];
  double version;
  double slot_size;
  double run;
  int64_t started;
  double member;
  double process;
  double slots;
  int64_t visited;
  uint8_t reserved[176];
  uint8_t check[8];
};
static_assert(sizeof(LiveHeader) == 256);

struct LiveMark {
  int64_t visited;
  uint8_t reserved[8];
  uint8_t check[8];
};
static_assert(sizeof(LiveMark) == 24);

inline constexpr char kLiveMagic[] = "taplive\n";
inline constexpr double kLiveVersion = 1;
inline constexpr size_t kLivePage = 4096;

}  // namespace tapline
