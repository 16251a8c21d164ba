/* SPDX-License-Identifier: ISC */
/* mutex.c - what most programs do: uthash behind a mutex, a readers-writer lock, or one mutex for each of 64 parts.
 *
 * What it may have is given to it: the hash is one multiplication and is computed before the lock is taken, words are
 * compared as words, entries are allocated and freed outside the lock. */
#include <pthread.h>
#include <stdlib.h>

#include "peers/key.h"
#include "support/fail.h"

#define HASH_KEYCMP(a, b, n) (!peer_key_equal((const peer_key *)(a), (const peer_key *)(b)))
#define uthash_fatal(message) fail("uthash: %s", message)
#include <uthash.h>

#include "peers/peer.h"

#define STRIPES_LOG2 6
#ifdef PEER_STRIPES
#define PARTS (1u << STRIPES_LOG2)
#else
#define PARTS 1u
#endif

struct entry {
    peer_key key;
    uint64_t value;
    UT_hash_handle hh;
};

#ifdef PEER_RWLOCK
typedef pthread_rwlock_t lock;
#define lock_init(lock) pthread_rwlock_init(lock, NULL)
#define lock_read pthread_rwlock_rdlock
#define lock_write pthread_rwlock_wrlock
#define unlock pthread_rwlock_unlock
#else
typedef pthread_mutex_t lock;
#define lock_init(lock) pthread_mutex_init(lock, NULL)
#define lock_read pthread_mutex_lock
#define lock_write pthread_mutex_lock
#define unlock pthread_mutex_unlock
#endif

/* A part of the map; cache lines of its own, so that threads at different parts do not meet. */
struct part {
    lock lock;
    struct entry *head;
} __attribute__((aligned(128)));

static void *create(uint64_t size)
{
    (void)size; /* uthash knows no reservation */
    struct part *parts = aligned_alloc(_Alignof(struct part), PARTS * sizeof *parts);
    if (!parts)
        fail("uthash: out of memory");
    for (unsigned i = 0; i < PARTS; i++) {
        lock_init(&parts[i].lock);
        parts[i].head = NULL;
    }
    return parts;
}

/* The high bits choose the part, uthash takes low ones. */
static inline struct part *part_of(void *map, uint64_t hash)
{
    struct part *parts = map;
    return PARTS > 1 ? &parts[(uint32_t)hash >> (32 - STRIPES_LOG2)] : parts;
}

static inline struct entry *lookup(const struct part *part, const peer_key *key, uint64_t hash)
{
    struct entry *entry;
    HASH_FIND_BYHASHVALUE(hh, part->head, key, sizeof *key, (unsigned)hash, entry);
    return entry;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    const uint64_t hash = peer_key_hash(key);
    struct part *part = part_of(map, hash);
    lock_read(&part->lock);
    const struct entry *entry = lookup(part, key, hash);
    if (entry)
        *value = entry->value;
    unlock(&part->lock);
    return entry != NULL;
}

/* The thread's entry for the next insertion; kept when the key turns out to be taken. */
static _Thread_local struct entry *spare;

static inline void insert(struct part *part, const peer_key *key, uint64_t hash, uint64_t value)
{
    struct entry *entry = spare;
    entry->key = *key;
    entry->value = value;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, part->head, &entry->key, sizeof entry->key, (unsigned)hash, entry);
    spare = NULL;
}

static inline bool put(void *map, const peer_key *key)
{
    const uint64_t hash = peer_key_hash(key);
    struct part *part = part_of(map, hash);
    if (!spare)
        spare = alloc_or_fail(sizeof *spare);
    lock_write(&part->lock);
    const bool absent = !lookup(part, key, hash);
    if (absent)
        insert(part, key, hash, peer_value_of(key));
    unlock(&part->lock);
    return absent;
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    const uint64_t hash = peer_key_hash(key);
    struct part *part = part_of(map, hash);
    if (!spare)
        spare = alloc_or_fail(sizeof *spare);
    lock_write(&part->lock);
    struct entry *entry = lookup(part, key, hash);
    if (entry)
        entry->value = value;
    else
        insert(part, key, hash, value);
    unlock(&part->lock);
    return !entry;
}

static inline bool take(void *map, const peer_key *key)
{
    const uint64_t hash = peer_key_hash(key);
    struct part *part = part_of(map, hash);
    lock_write(&part->lock);
    struct entry *entry = lookup(part, key, hash);
    if (entry)
        HASH_DEL(part->head, entry);
    unlock(&part->lock);
    free(entry);
    return entry != NULL;
}

static uint64_t scan(void *map, uint64_t *sum)
{
    struct part *parts = map;
    uint64_t n = 0;
    for (unsigned i = 0; i < PARTS; i++) {
        lock_read(&parts[i].lock);
        for (const struct entry *entry = parts[i].head; entry; entry = entry->hh.next, n++)
            *sum += entry->value;
        unlock(&parts[i].lock);
    }
    return n;
}

static uint64_t count(void *map)
{
    const struct part *parts = map;
    uint64_t n = 0;
    for (unsigned i = 0; i < PARTS; i++)
        n += HASH_COUNT(parts[i].head);
    return n;
}

static void thread_leave(void)
{
    free(spare);
    spare = NULL;
}

/* uthash keeps its table until the last entry goes, and frees it then. */
static void shrink(void *map)
{
    (void)map;
}

#include "peers/loops.h"

#if defined(PEER_RWLOCK)
#define PEER peer_rwlock
#define NAME "rwlock"
#define ABOUT "uthash behind a pthread readers-writer lock, locked once an operation"
#elif defined(PEER_STRIPES)
#define PEER peer_stripes
#define NAME "stripes"
#define ABOUT "64 uthash tables by hash, each behind a pthread mutex of its own"
#else
#define PEER peer_mutex
#define NAME "mutex"
#define ABOUT "uthash behind a pthread mutex, locked once an operation"
#endif

const struct peer_ops PEER = {
    .name = NAME,
    .about = ABOUT,
    .colour = 4,
    .lacks = LACKS_FREE_READS | LACKS_FREE_WRITES,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
    .shrink = shrink,
};
