// What the files that are read by BPF (C) and by C++ alike start with: types of a fixed size, and functions without
// calls.
#pragma once
#include <linux/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the relay's tags and bit fields are written for little-endian machines"
#endif

#define RELAY_INLINE static inline __attribute__((always_inline))
