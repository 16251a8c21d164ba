// SPDX-License-Identifier: ISC
// tbb.cc - tbb::concurrent_hash_map, growing by itself; a lock for each bucket and each entry.
//
// What it may have is given to it: the hash of all peers, memory from the allocator of all (std::allocator), an
// accessor for reading where nothing is written, and none at all where nothing is read.
#include <memory>
#include <oneapi/tbb/concurrent_hash_map.h>

#include "peers/hashed.hh"
#include "peers/peer.h"

namespace
{
struct compare {
    size_t hash(const peer_key &key) const { return peer_key_hash(&key); }
    bool equal(const peer_key &a, const peer_key &b) const { return peer_key_equal(&a, &b); }
};

using table =
    tbb::concurrent_hash_map<peer_key, uint64_t, compare, std::allocator<std::pair<const peer_key, uint64_t>>>;
} // namespace

static void *create(uint64_t)
{
    return new table;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    table::const_accessor there;
    if (!static_cast<table *>(map)->find(there, *key))
        return false;
    *value = there->second;
    return true;
}

static inline bool put(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->insert(table::value_type(*key, peer_value_of(key)));
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    table::accessor there;
    const bool inserted = static_cast<table *>(map)->insert(there, table::value_type(*key, value));
    if (!inserted)
        there->second = value;
    return inserted;
}

static inline bool take(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->erase(*key);
}

static uint64_t scan(void *map, uint64_t *sum)
{
    uint64_t n = 0;
    for (const auto &entry : *static_cast<table *>(map)) {
        *sum += entry.second;
        n++;
    }
    return n;
}

static uint64_t count(void *map)
{
    return static_cast<table *>(map)->size();
}

#include "peers/loops.h"

const struct peer_ops peer_tbb = {
    .name = "tbb",
    .about = "tbb::concurrent_hash_map, growing by itself",
    .lacks = LACKS_FREE_READS | LACKS_FREE_WRITES,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};
