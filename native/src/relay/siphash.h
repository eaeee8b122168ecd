// SipHash-2-4 (Aumasson and Bernstein, 2012) of whole 64-bit words: the tag of a hop header, and the digest of a name.
// Enters: a key, words. Leaves: 64 bits. The last block says the length in bytes, as in the paper; there never is a
// rest.
#pragma once
#include "both.h"

struct siphash {
  __u64 v0, v1, v2, v3;
};

#define SIPHASH_ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

RELAY_INLINE void siphash_round(struct siphash* s) {
  s->v0 += s->v1;
  s->v1 = SIPHASH_ROTATE(s->v1, 13);
  s->v1 ^= s->v0;
  s->v0 = SIPHASH_ROTATE(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = SIPHASH_ROTATE(s->v3, 16);
  s->v3 ^= s->v2;
  s->v0 += s->v3;
  s->v3 = SIPHASH_ROTATE(s->v3, 21);
  s->v3 ^= s->v0;
  s->v2 += s->v1;
  s->v1 = SIPHASH_ROTATE(s->v1, 17);
  s->v1 ^= s->v2;
  s->v2 = SIPHASH_ROTATE(s->v2, 32);
}

RELAY_INLINE void siphash_begin(struct siphash* s, __u64 key0, __u64 key1) {
  s->v0 = key0 ^ 0x736f6d6570736575ull;
  s->v1 = key1 ^ 0x646f72616e646f6dull;
  s->v2 = key0 ^ 0x6c7967656e657261ull;
  s->v3 = key1 ^ 0x7465646279746573ull;
}

/// Eight bytes of the message, as they lie in memory.
RELAY_INLINE void siphash_word(struct siphash* s, __u64 word) {
  s->v3 ^= word;
  siphash_round(s);
  siphash_round(s);
  s->v0 ^= word;
}

RELAY_INLINE __u64 siphash_end(struct siphash* s, __u64 bytes) {
  siphash_word(s, bytes << 56);
  s->v2 ^= 0xff;
  siphash_round(s);
  siphash_round(s);
  siphash_round(s);
  siphash_round(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
