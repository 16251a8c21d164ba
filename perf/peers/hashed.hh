// SPDX-License-Identifier: ISC
// hashed.hh - hash and comparison of keys as C++ maps want them.
#ifndef PERF_HASHED_HH
#define PERF_HASHED_HH

#include "peers/key.h"

struct key_hash {
    size_t operator()(const peer_key &key) const { return peer_key_hash(&key); }
};

struct key_equal {
    bool operator()(const peer_key &a, const peer_key &b) const { return peer_key_equal(&a, &b); }
};

#endif
