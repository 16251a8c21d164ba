/* SPDX-License-Identifier: ISC */
/* soma_bases.c - a packfile's cache of delta bases, from offsets to counted objects, on a Soma map instead of a hash table behind
 * a mutex. Goes into libgit2's src/libgit2/ beside pack.c, of which it takes over what touched the table.
 *
 * As in soma_cache.c, the map has one reference to each entry. One that has no other is idle and may be evicted; who finds it in
 * that moment has a reference of its own, and the last one frees.
 */
#include "pack.h"

#include <soma/rcu.h>

#define SOMA_TYPED_NAME git_pack_bases
#define SOMA_TYPED_KEY off64_t
#define SOMA_TYPED_VALUE git_pack_cache_entry *
#include <soma/typed.h>

/* ---- Lifecycle ---- */

void git_pack_cache_release(git_pack_cache_entry *entry)
{
    if (git_atomic32_dec(&entry->refcount) > 0)
        return;
    git__free(entry->raw.data);
    git__free(entry);
}

static void let_go(uint64_t word, void *ctx)
{
    (void)ctx;
    git_pack_cache_release(git_pack_bases_value_of(word));
}

/* What hangs on an entry, for the cap on what waits for readers. */
static uint64_t size_of(uint64_t word, void *ctx)
{
    (void)ctx;
    return git_pack_bases_value_of(word)->raw.len;
}

int git_pack_cache_init(git_pack_cache *cache)
{
    const struct soma_u64_options options = {
        .struct_size = sizeof options, .value_retire = let_go, .value_bytes = size_of};
    const enum soma_status status = git_pack_bases_new(&options, &cache->entries);
    if (status != SOMA_OK) {
        git_error_set(GIT_ERROR_OS, "failed to make a pack cache: %s", soma_status_text(status));
        return -1;
    }
    cache->memory_limit = GIT_PACK_CACHE_MEMORY_LIMIT;
    return 0;
}

void git_pack_cache_free(git_pack_cache *cache)
{
    git_pack_bases_free(cache->entries);
    cache->entries = NULL;
}

/* ---- Looking up ---- */

/* It cannot be freed before this returns. */
static void count_up(off64_t offset, git_pack_cache_entry *entry, void *found)
{
    (void)offset;
    git_atomic32_inc(&entry->refcount);
    *(git_pack_cache_entry **)found = entry;
}

git_pack_cache_entry *git_pack_cache_get(git_pack_cache *cache, off64_t offset)
{
    git_pack_cache_entry *found = NULL;
    git_pack_bases_get_with(cache->entries, offset, count_up, &found);
    return found;
}

/* ---- Adding ---- */

static bool fits(git_pack_cache *cache, size_t bytes)
{
    return (size_t)git_atomic_ssize_get(&cache->memory_used) + bytes <= cache->memory_limit;
}

static enum soma_status take_if_idle(uint64_t key, uint64_t word, void *ctx)
{
    (void)key, (void)ctx;
    return git_atomic32_get(&git_pack_bases_value_of(word)->refcount) == 1 ? SOMA_REMOVED : SOMA_EXISTS;
}

static void evict_idle(git_pack_cache *cache)
{
    enum soma_status status = SOMA_OK;
    uint64_t place = 0;
    while (status == SOMA_OK) {
        uint64_t words[32];
        size_t taken = 0;
        soma_read_enter(); /* while we look at their lengths */
        status = soma_u64_take(git_pack_bases_raw(cache->entries), &place, 32, take_if_idle, NULL, NULL, words, &taken);
        for (size_t i = 0; i < taken; i++)
            git_atomic_ssize_add(&cache->memory_used, -(ssize_t)git_pack_bases_value_of(words[i])->raw.len);
        soma_read_exit();
    }
}

/* An entry with two references, the map's and the caller's. */
static git_pack_cache_entry *entry_new(const git_rawobj *base)
{
    git_pack_cache_entry *entry = git__calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    git_atomic32_inc(&entry->refcount);
    git_atomic32_inc(&entry->refcount);
    entry->raw = *base;
    return entry;
}

/* -1: the caller keeps the base, because it is too large, another was first, or there is no room or memory. */
int git_pack_cache_add(git_pack_cache_entry **out, git_pack_cache *cache, git_rawobj *base, off64_t offset)
{
    git_pack_cache_entry *entry;
    if (base->len > GIT_PACK_CACHE_SIZE_LIMIT)
        return -1;
    if (!fits(cache, base->len))
        evict_idle(cache);
    if (!fits(cache, base->len) || !(entry = entry_new(base)))
        return -1;
    git_atomic_ssize_add(&cache->memory_used, (ssize_t)entry->raw.len); /* before anybody can evict it */
    if (git_pack_bases_put_new(cache->entries, offset, entry, NULL) == SOMA_INSERTED) {
        *out = entry;
        return 0;
    }
    git_atomic_ssize_add(&cache->memory_used, -(ssize_t)entry->raw.len);
    git__free(entry);
    return -1;
}
