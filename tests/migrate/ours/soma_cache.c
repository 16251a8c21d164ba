/* SPDX-License-Identifier: ISC */
/* soma_cache.c - libgit2's object cache, from object ids to counted objects, on a Soma map instead of a hash table behind a
 * read-write lock. Goes into libgit2's src/libgit2/ beside cache.c, of which it takes over what touched the table.
 *
 * The map has one reference to each object in it and lets go of it in value_retire, that is after every section that may have
 * found the object. So whoever finds one in a section may take a reference of its own: the count is at least one there.
 *
 * An object id is a hash, so its first eight bytes are the key, and the map need not hash or keep all twenty. What is found is
 * compared in full. Of two objects whose ids begin alike, the second to come is not cached: a cache may do that.
 */
#include "cache.h"

#include "odb.h"
#include "runtime.h"

#define SOMA_TYPED_NAME git_cache_map
#define SOMA_TYPED_KEY uint64_t
#define SOMA_TYPED_VALUE git_cached_obj *
#include <soma/typed.h>

/* At shutdown: what has left the caches is let go of. */
int git_cache_global_init(void)
{
    return git_runtime_shutdown_register(soma_barrier_wait);
}

/* ---- Lifecycle ---- */

static void let_go(uint64_t word, void *ctx)
{
    (void)ctx;
    git_cached_obj_decref(git_cache_map_value_of(word));
}

/* What hangs on an object, for the cap on what waits for readers. */
static uint64_t size_of(uint64_t word, void *ctx)
{
    (void)ctx;
    return git_cache_map_value_of(word)->size;
}

int git_cache_init(git_cache *cache)
{
    const struct soma_u64_options options = {
        .struct_size = sizeof options, .value_retire = let_go, .value_bytes = size_of};
    enum soma_status status;
    memset(cache, 0, sizeof *cache);
    status = git_cache_map_new(&options, &cache->map);
    if (status != SOMA_OK) {
        git_error_set(GIT_ERROR_OS, "failed to make a cache: %s", soma_status_text(status));
        return -1;
    }
    return 0;
}

void git_cache_dispose(git_cache *cache)
{
    git_cache_clear(cache);
    git_cache_map_free(cache->map);
    memset(cache, 0, sizeof *cache);
}

size_t git_cache_size(git_cache *cache)
{
    return (size_t)git_cache_map_count_approx(cache->map);
}

/* ---- Taking objects out ---- */

static void account(git_cache *cache, ssize_t bytes)
{
    git_atomic_ssize_add(&cache->used_memory, bytes);
    git_atomic_ssize_add(&git_cache__current_storage, bytes);
}

/* How many are taken out in one call. */
#define BATCH 32

/* Takes out up to `count` from a place on, at most BATCH; more than 0 unless there are none. Gives the number of those that went. */
static size_t take_out(git_cache *cache, uint64_t *place, size_t count, enum soma_status *status)
{
    uint64_t words[BATCH];
    size_t taken = 0;
    ssize_t bytes = 0;
    soma_read_enter(); /* while we look at their sizes */
    *status = soma_u64_take(git_cache_map_raw(cache->map), place, count < BATCH ? count : BATCH, NULL, NULL, NULL,
                            words, &taken);
    for (size_t i = 0; i < taken; i++)
        bytes += (ssize_t)git_cache_map_value_of(words[i])->size;
    soma_read_exit();
    if (taken > 0)
        account(cache, -bytes);
    return taken;
}

/* Everything that is there when the call begins. */
void git_cache_clear(git_cache *cache)
{
    enum soma_status status = SOMA_OK;
    uint64_t place = 0;
    while (status == SOMA_OK)
        take_out(cache, &place, BATCH, &status);
}

/* As many as always: one in 2048, at least eight. From where the last eviction ended, round the end: at the beginning of the table
 * there is hardly anything left. Two threads that start from the same place share what is there. */
static void make_room(git_cache *cache)
{
    const size_t share = git_cache_size(cache) / 2048;
    size_t count = share < 8 ? 8 : share;
    uint64_t place = __atomic_load_n(&cache->evicted_to, __ATOMIC_RELAXED);
    for (int ends = 0; count > 0 && ends < 2;) {
        enum soma_status status;
        count -= take_out(cache, &place, count, &status);
        ends += status == SOMA_END;
        if (status < 0)
            break;
    }
    __atomic_store_n(&cache->evicted_to, place, __ATOMIC_RELAXED);
}

/* ---- Looking up ---- */

static uint64_t key_of(const git_oid *oid)
{
    uint64_t key;
    memcpy(&key, oid->id, sizeof key);
    return key;
}

/* The flags: GIT_CACHE_STORE_ANY takes either kind. */
static bool matches(const git_cached_obj *object, const git_oid *oid, unsigned flags)
{
    return git_oid_equal(&object->oid, oid) && (!flags || object->flags == flags);
}

struct lookup {
    const git_oid *oid;
    unsigned flags;
    git_cached_obj *found;
};

/* It cannot be freed before this returns. */
static void count_up(uint64_t key, git_cached_obj *object, void *ctx)
{
    struct lookup *lookup = ctx;
    (void)key;
    if (!matches(object, lookup->oid, lookup->flags))
        return;
    git_cached_obj_incref(object);
    lookup->found = object;
}

static void *get(git_cache *cache, const git_oid *oid, unsigned flags)
{
    struct lookup lookup = {oid, flags, NULL};
    if (git_cache__enabled)
        git_cache_map_get_with(cache->map, key_of(oid), count_up, &lookup);
    return lookup.found;
}

git_odb_object *git_cache_get_raw(git_cache *cache, const git_oid *oid)
{
    return get(cache, oid, GIT_CACHE_STORE_RAW);
}

git_object *git_cache_get_parsed(git_cache *cache, const git_oid *oid)
{
    return get(cache, oid, GIT_CACHE_STORE_PARSED);
}

void *git_cache_get_any(git_cache *cache, const git_oid *oid)
{
    return get(cache, oid, GIT_CACHE_STORE_ANY);
}

/* ---- Storing ---- */

/* A parsed object takes the raw one's place; else the first to come stays. In the caller's section an object that was found cannot be
 * freed, so the same address is the same object. */
static enum soma_status offer(git_cache *cache, git_cached_obj *entry, git_cached_obj **stored)
{
    const uint64_t key = key_of(&entry->oid);
    const enum soma_status status = git_cache_map_put_new(cache->map, key, entry, stored);
    if (status != SOMA_EXISTS || entry->flags != GIT_CACHE_STORE_PARSED ||
        !matches(*stored, &entry->oid, GIT_CACHE_STORE_RAW))
        return status;
    return git_cache_map_cas(cache->map, key, *stored, entry, NULL);
}

/* Gives the caller a reference to the object that is in the cache now, if it is of the same kind, else to its own. */
static git_cached_obj *add(git_cache *cache, git_cached_obj *entry)
{
    git_cached_obj *stored = NULL;
    enum soma_status status;
    git_cached_obj_incref(entry); /* the map's */
    soma_read_enter();
    do
        status = offer(cache, entry, &stored);
    while (status == SOMA_CHANGED || status == SOMA_ABSENT); /* another thread came between */
    if (status == SOMA_INSERTED)
        account(cache, (ssize_t)entry->size);
    else if (status != SOMA_REPLACED)
        git_cached_obj_decref(entry); /* the map has not taken it, also if memory or the cap refuses */
    if (status == SOMA_EXISTS && matches(stored, &entry->oid, entry->flags)) {
        git_cached_obj_incref(stored);
        git_cached_obj_decref(entry);
        entry = stored;
    }
    soma_read_exit();
    return entry;
}

static void *store(git_cache *cache, git_cached_obj *entry, uint16_t flags)
{
    entry->flags = flags;
    git_cached_obj_incref(entry);
    if (!git_cache__enabled)
        git_cache_clear(cache);
    if (!cache_should_store(entry->type, entry->size))
        return entry;
    if (git_atomic_ssize_get(&git_cache__current_storage) > git_cache__max_storage)
        make_room(cache);
    return add(cache, entry);
}

void *git_cache_store_raw(git_cache *cache, git_odb_object *entry)
{
    return store(cache, (git_cached_obj *)entry, GIT_CACHE_STORE_RAW);
}

void *git_cache_store_parsed(git_cache *cache, git_object *entry)
{
    return store(cache, (git_cached_obj *)entry, GIT_CACHE_STORE_PARSED);
}
