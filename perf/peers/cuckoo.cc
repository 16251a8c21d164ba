// SPDX-License-Identifier: ISC
// cuckoo.cc - libcuckoo's cuckoohash_map, growing by itself; every operation locks two of its 65536 spinlocks.
#include <libcuckoo/cuckoohash_map.hh>

#include "peers/hashed.hh"
#include "peers/peer.h"

namespace
{
using table = libcuckoo::cuckoohash_map<peer_key, uint64_t, key_hash, key_equal>;
}

static void *create(uint64_t)
{
    return new table;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    return static_cast<table *>(map)->find(*key, *value);
}

static inline bool put(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->insert(*key, peer_value_of(key));
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    return static_cast<table *>(map)->insert_or_assign(*key, value);
}

static inline bool take(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->erase(*key);
}

static uint64_t scan(void *map, uint64_t *sum)
{
    uint64_t n = 0;
    const auto entries = static_cast<table *>(map)->lock_table();
    for (const auto &entry : entries) {
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

const struct peer_ops peer_cuckoo = {
    .name = "cuckoo",
    .about = "libcuckoo::cuckoohash_map, growing by itself",
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
