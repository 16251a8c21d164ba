// SPDX-License-Identifier: ISC
// cds.cc - libcds: Michael's hash map, or with PEER_SPLIT the split-ordered list; both with its buffered RCU.
//
// What it may have is given to it: the RCU in place of hazard pointers, which cost a fence at every entry of a chain; a
// buffer of 65536 retired entries, so that few updates wait for readers; a value that changes where it stands; the
// number of entries beforehand, since Michael's map has a fixed number of buckets and the split-ordered list does not
// grow its table past the number it is told.
#include <atomic>
#include <cds/init.h>
#include <cds/urcu/general_buffered.h>
#ifdef PEER_SPLIT
#include <cds/container/michael_list_rcu.h>
#include <cds/container/split_list_map_rcu.h>
#else
#include <cds/container/michael_kvlist_rcu.h>
#include <cds/container/michael_map_rcu.h>
#endif
#include <cds/threading/model.h>

#include "peers/hashed.hh"
#include "peers/peer.h"

namespace
{
using rcu = cds::urcu::gc<cds::urcu::general_buffered<>>;

#define RETIRED_MOST 65536
#define SIZE_LEAST 4096

// Order within a chain. Words stand as they are; texts by length first, then by their bytes.
struct key_compare {
    int operator()(const peer_key &a, const peer_key &b) const
    {
#ifdef PEER_STRINGS
        return a.len != b.len ? (a.len < b.len ? -1 : 1) : memcmp(a.at, b.at, a.len);
#else
        return a < b ? -1 : a > b;
#endif
    }
};

// A value as the map keeps it.
struct value {
    std::atomic<uint64_t> word;

    value() : word(0) {}
    value(uint64_t start) : word(start) {}
    value(const value &other) : word(other.word.load(std::memory_order_relaxed)) {}
};

#ifdef PEER_SPLIT
struct traits : cds::container::split_list::traits {
    using ordered_list = cds::container::michael_list_tag;
    using hash = key_hash;
    using item_counter = cds::atomicity::cache_friendly_item_counter;
    struct ordered_list_traits : cds::container::michael_list::traits {
        using compare = key_compare;
    };
};
using table = cds::container::SplitListMap<rcu, peer_key, value, traits>;
#else
struct list_traits : cds::container::michael_list::traits {
    using compare = key_compare;
};
struct traits : cds::container::michael_map::traits {
    using hash = key_hash;
    using item_counter = cds::atomicity::cache_friendly_item_counter;
};
using table =
    cds::container::MichaelHashMap<rcu, cds::container::MichaelKVList<rcu, peer_key, value, list_traits>, traits>;
#endif
} // namespace

static void thread_enter()
{
    cds::threading::Manager::attachThread();
}

static void thread_leave()
{
    cds::threading::Manager::detachThread();
}

static void *create(uint64_t size)
{
    static bool ready;
    if (!ready) {
        cds::Initialize();
        new rcu(RETIRED_MOST);
        ready = true;
    }
    thread_enter();
    auto *map = new table(size > SIZE_LEAST ? size : SIZE_LEAST, 1);
    thread_leave();
    return map;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    return static_cast<table *>(map)->find(
        *key, [value](table::value_type &there) { *value = there.second.word.load(std::memory_order_relaxed); });
}

static inline bool put(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->insert(*key, peer_value_of(key));
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    auto *entries = static_cast<table *>(map);
    const auto store = [value](table::value_type &there) { there.second.word.store(value, std::memory_order_relaxed); };
    for (;;) {
        if (entries->find(*key, store))
            return false;
        if (entries->insert(*key, value))
            return true;
    }
}

static inline bool take(void *map, const peer_key *key)
{
    return static_cast<table *>(map)->erase(*key);
}

static uint64_t scan(void *map, uint64_t *sum)
{
    auto *entries = static_cast<table *>(map);
    uint64_t n = 0;
    const table::rcu_lock section;
    for (auto entry = entries->begin(); entry != entries->end(); ++entry) {
        *sum += entry->second.word.load(std::memory_order_relaxed);
        n++;
    }
    return n;
}

static uint64_t count(void *map)
{
    return static_cast<table *>(map)->size();
}

static void settle()
{
    thread_enter();
    rcu::force_dispose();
    thread_leave();
}

#include "peers/loops.h"

#ifdef PEER_SPLIT
#define PEER peer_cds_split
#define NAME "cds-split"
#define ABOUT "libcds SplitListMap (split-ordered list), buffered RCU, made for as many entries as come"
#else
#define PEER peer_cds_michael
#define NAME "cds-michael"
#define ABOUT "libcds MichaelHashMap, buffered RCU, made with one bucket an entry"
#endif

const struct peer_ops PEER = {
    .name = NAME,
    .about = ABOUT,
    .lacks = LACKS_GROWTH | LACKS_ANY_THREAD | LACKS_OLD_VALUES,
    .create = create,
    .thread_enter = thread_enter,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = settle,
};
