/* SPDX-License-Identifier: ISC */
/* libgit2.h - as much of libgit2's inside as the files in ours/ lean on, with the edits made: so that they are compiled and tried
 * where libgit2 is not. The real thing is tests/migrate/run. */
#ifndef SOMA_TESTS_MIGRATE_LIBGIT2_H
#define SOMA_TESTS_MIGRATE_LIBGIT2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define GIT_ERROR_OS 2
#define git_error_set(kind, ...) ((void)(kind))

typedef int64_t git_off64;
#define off64_t git_off64

/* ---- Counts ---- */

void linger(void); /* in adapter.c */

typedef struct {
    int val;
} git_atomic32;

typedef struct {
    ssize_t val;
} git_atomic_ssize;

/* Now and then long before the count goes up, so that whoever may free what is counted does. */
static inline int git_atomic32_inc(git_atomic32 *count)
{
    linger();
    return __atomic_add_fetch(&count->val, 1, __ATOMIC_SEQ_CST);
}

static inline int git_atomic32_dec(git_atomic32 *count)
{
    return __atomic_sub_fetch(&count->val, 1, __ATOMIC_SEQ_CST);
}

static inline int git_atomic32_get(git_atomic32 *count)
{
    return __atomic_load_n(&count->val, __ATOMIC_SEQ_CST);
}

static inline ssize_t git_atomic_ssize_add(git_atomic_ssize *count, ssize_t by)
{
    return __atomic_add_fetch(&count->val, by, __ATOMIC_SEQ_CST);
}

static inline ssize_t git_atomic_ssize_get(git_atomic_ssize *count)
{
    return __atomic_load_n(&count->val, __ATOMIC_SEQ_CST);
}

/* ---- The object cache ---- */

enum {
    GIT_CACHE_STORE_ANY,
    GIT_CACHE_STORE_RAW,
    GIT_CACHE_STORE_PARSED
};

typedef struct {
    unsigned char id[20];
} git_oid;

static inline int git_oid_equal(const git_oid *a, const git_oid *b)
{
    return !memcmp(a->id, b->id, sizeof a->id);
}

typedef struct {
    git_oid oid;
    int16_t type;
    uint16_t flags;
    size_t size;
    git_atomic32 refcount;
} git_cached_obj;

typedef struct git_odb_object git_odb_object;
typedef struct git_object git_object;

typedef struct {
    struct git_cache_map *map;
    git_atomic_ssize used_memory;
    uint64_t evicted_to;
} git_cache;

extern bool git_cache__enabled;
extern ssize_t git_cache__max_storage;
extern git_atomic_ssize git_cache__current_storage;

int git_runtime_shutdown_register(void (*callback)(void));
int git_cache_global_init(void);
int git_cache_init(git_cache *cache);
void git_cache_dispose(git_cache *cache);
void git_cache_clear(git_cache *cache);
size_t git_cache_size(git_cache *cache);
bool cache_should_store(int type, size_t size);
void *git_cache_store_raw(git_cache *cache, git_odb_object *entry);
void *git_cache_store_parsed(git_cache *cache, git_object *entry);
git_odb_object *git_cache_get_raw(git_cache *cache, const git_oid *oid);
git_object *git_cache_get_parsed(git_cache *cache, const git_oid *oid);
void *git_cache_get_any(git_cache *cache, const git_oid *oid);
void git_cached_obj_decref(void *entry);

static inline void git_cached_obj_incref(void *entry)
{
    git_atomic32_inc(&((git_cached_obj *)entry)->refcount);
}

/* ---- The cache of delta bases ---- */

#define GIT_PACK_CACHE_MEMORY_LIMIT (16 * 1024 * 1024)
#define GIT_PACK_CACHE_SIZE_LIMIT (1024 * 1024)

typedef struct {
    void *data;
    size_t len;
    int type;
} git_rawobj;

typedef struct {
    git_atomic32 refcount;
    git_rawobj raw;
} git_pack_cache_entry;

typedef struct {
    git_atomic_ssize memory_used;
    size_t memory_limit;
    struct git_pack_bases *entries;
} git_pack_cache;

int git_pack_cache_init(git_pack_cache *cache);
void git_pack_cache_free(git_pack_cache *cache);
git_pack_cache_entry *git_pack_cache_get(git_pack_cache *cache, off64_t offset);
int git_pack_cache_add(git_pack_cache_entry **out, git_pack_cache *cache, git_rawobj *base, off64_t offset);
void git_pack_cache_release(git_pack_cache_entry *entry);

/* In adapter.c: they count what is there. */
void *git__calloc(size_t count, size_t size);
void git__free(void *memory);

#endif
