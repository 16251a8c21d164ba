// SPDX-License-Identifier: ISC
// std.cc - std::unordered_map behind a std::mutex, with the hash of all peers.
#include <mutex>
#include <unordered_map>

#include "peers/hashed.hh"
#include "peers/peer.h"

namespace
{
struct locked {
    std::mutex mutex;
    std::unordered_map<peer_key, uint64_t, key_hash, key_equal> table;
};
} // namespace

static void *create(uint64_t)
{
    return new locked;
}

static inline bool find(void *arg, const peer_key *key, uint64_t *value)
{
    auto *map = static_cast<locked *>(arg);
    const std::lock_guard<std::mutex> guard(map->mutex);
    const auto there = map->table.find(*key);
    if (there == map->table.end())
        return false;
    *value = there->second;
    return true;
}

static inline bool put(void *arg, const peer_key *key)
{
    auto *map = static_cast<locked *>(arg);
    const std::lock_guard<std::mutex> guard(map->mutex);
    return map->table.try_emplace(*key, peer_value_of(key)).second;
}

static inline bool upsert(void *arg, const peer_key *key, uint64_t value)
{
    auto *map = static_cast<locked *>(arg);
    const std::lock_guard<std::mutex> guard(map->mutex);
    return map->table.insert_or_assign(*key, value).second;
}

static inline bool take(void *arg, const peer_key *key)
{
    auto *map = static_cast<locked *>(arg);
    const std::lock_guard<std::mutex> guard(map->mutex);
    return map->table.erase(*key) == 1;
}

static uint64_t scan(void *arg, uint64_t *sum)
{
    auto *map = static_cast<locked *>(arg);
    const std::lock_guard<std::mutex> guard(map->mutex);
    for (const auto &entry : map->table)
        *sum += entry.second;
    return map->table.size();
}

static uint64_t count(void *arg)
{
    return static_cast<locked *>(arg)->table.size();
}

#include "peers/loops.h"

const struct peer_ops peer_std = {
    .name = "std",
    .about = "std::unordered_map behind a std::mutex, locked once an operation",
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
