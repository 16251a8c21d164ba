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

#include <soma/cursor.h>

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

int git_cache_init(git_cache *cache)
{
    const struct soma_u64_options options = {.struct_size = sizeof options, .value_retire = let_go};
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

static void take_out(git_cache *cache, uint64_t key)
{
    git_cached_obj *old;
    soma_read_enter(); /* while we look at its size */
    if (git_cache_map_remove(cache->map, key, &old) == SOMA_REMOVED)
        account(cache, -(ssize_t)old->size);
    soma_read_exit();
}

/* Everything that is there when the call begins. */
void git_cache_clear(git_cache *cache)
{
    soma_cursor *cursor;
    uint64_t key;
    if (git_cache_size(cache) == 0 || soma_cursor_open_u64(git_cache_map_raw(cache->map), &cursor) != SOMA_OK)
        return;
    while (soma_cursor_next_u64(cursor, &key, NULL) == SOMA_OK)
        take_out(cache, key);
    soma_cursor_close(cursor);
}

/* From behind the last that a cursor gave, round the end, at most once through all. */
static void evict(git_cache *cache, soma_cursor *cursor, size_t count)
{
    uint64_t key;
    for (int rounds = 0; count > 0 && rounds < 2;) {
        const enum soma_status status = soma_cursor_next_u64(cursor, &key, NULL);
        if (status == SOMA_END) {
            soma_cursor_seek(cursor, 0);
            rounds++;
        } else if (status == SOMA_OK) {
            take_out(cache, key);
            count--;
        } else
            return;
    }
}

/* As many as always: one in 2048, at least eight. From where the last eviction ended: at the beginning of the table there is hardly
 * anything left. Two threads that start from the same place take out more or less the same; that does no harm. */
static void make_room(git_cache *cache)
{
    const size_t share = git_cache_size(cache) / 2048;
    soma_cursor *cursor;
    if (soma_cursor_open_u64(git_cache_map_raw(cache->map), &cursor) != SOMA_OK)
        return;
    soma_cursor_seek(cursor, __atomic_load_n(&cache->evicted_to, __ATOMIC_RELAXED));
    evict(cache, cursor, share < 8 ? 8 : share);
    __atomic_store_n(&cache->evicted_to, soma_cursor_token(cursor), __ATOMIC_RELAXED);
    soma_cursor_close(cursor);
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

static void *get(git_cache *cache, const git_oid *oid, unsigned flags)
{
    git_cached_obj *found = NULL;
    if (!git_cache__enabled)
        return NULL;
    soma_read_enter();
    if (git_cache_map_get(cache->map, key_of(oid), &found) == SOMA_OK && matches(found, oid, flags))
        git_cached_obj_incref(found);
    else
        found = NULL;
    soma_read_exit();
    return found;
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
