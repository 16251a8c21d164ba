/* SPDX-License-Identifier: ISC */
/* adapter.c - the files in ours/ with a stand-in for libgit2: who gets which object, and that threads that share a cache free each
 * object once, never early, and keep the caches' accounts. */
#include <stdatomic.h>
#include <stdio.h>

#include "libgit2.h"
#include "support.h"

#include <soma/rcu.h>

#define THREADS 4
#define KEYS 512
#define OBJECT_BYTES 100
#define BASE_BYTES 64

/* ---- What libgit2 has ---- */

bool git_cache__enabled = true;
ssize_t git_cache__max_storage;
git_atomic_ssize git_cache__current_storage;

static atomic_long blocks; /* of memory, not yet freed */
static void (*at_shutdown)(void);

void *git__calloc(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (!block)
        abort();
    atomic_fetch_add(&blocks, 1);
    return block;
}

void git__free(void *block)
{
    if (block)
        atomic_fetch_sub(&blocks, 1);
    free(block);
}

/* For about a thousand of the other threads' steps. */
void linger(void)
{
    static _Thread_local unsigned calls;
    if (++calls % 256 == 0)
        sleep_ms(2);
}

bool cache_should_store(int type, size_t size)
{
    (void)type;
    return git_cache__enabled && size < 4096;
}

void git_cached_obj_decref(void *entry)
{
    git_cached_obj *object = entry;
    if (git_atomic32_dec(&object->refcount) > 0)
        return;
    object->type = -1;
    git__free(object);
}

int git_runtime_shutdown_register(void (*callback)(void))
{
    at_shutdown = callback;
    return 0;
}

/* ---- Objects ---- */

/* Two keys each begin alike. */
static git_oid oid_of(uint64_t key)
{
    git_oid oid = {{0}};
    oid.id[3] = (unsigned char)(key >> 1);
    oid.id[4] = (unsigned char)(key >> 9);
    oid.id[12] = (unsigned char)(key & 1);
    return oid;
}

static git_cached_obj *object_new(uint64_t key)
{
    git_cached_obj *object = git__calloc(1, sizeof *object);
    object->oid = oid_of(key);
    object->size = OBJECT_BYTES;
    object->type = 1;
    return object;
}

static bool is_object(const git_cached_obj *object, uint64_t key)
{
    const git_oid oid = oid_of(key);
    return object->type == 1 && object->size == OBJECT_BYTES && !memcmp(&object->oid, &oid, sizeof oid);
}

static git_cached_obj *store_new(git_cache *cache, uint64_t key, bool parsed)
{
    git_cached_obj *object = object_new(key);
    return parsed ? git_cache_store_parsed(cache, (void *)object) : git_cache_store_raw(cache, (void *)object);
}

static void cache_open(git_cache *cache, ssize_t limit)
{
    git_cache__max_storage = limit;
    git_cache__enabled = true;
    EXPECT_EQ(git_cache_init(cache), 0);
    EXPECT_EQ(git_cache_global_init(), 0);
}

/* Everything has been given back but `kept` blocks. */
static void cache_close(git_cache *cache, long kept)
{
    EXPECT_EQ(git_cache__current_storage.val, cache->used_memory.val);
    EXPECT_EQ(cache->used_memory.val, (ssize_t)git_cache_size(cache) * OBJECT_BYTES);
    git_cache_dispose(cache);
    at_shutdown();
    EXPECT_EQ(git_cache__current_storage.val, 0);
    EXPECT_EQ(atomic_load(&blocks), kept);
    verified(4);
}

static void kinds(const void *setup)
{
    git_cache cache;
    (void)setup;
    cache_open(&cache, 1 << 20);
    git_cached_obj *raw = store_new(&cache, 7, false);
    git_cached_obj *again = store_new(&cache, 7, false);
    EXPECT(again == raw); /* the first stays */
    git_cached_obj *parsed = store_new(&cache, 7, true);
    EXPECT(parsed != raw && (void *)git_cache_get_parsed(&cache, &parsed->oid) == parsed); /* and takes its place */
    EXPECT(!git_cache_get_raw(&cache, &parsed->oid));
    EXPECT(git_cache_get_any(&cache, &parsed->oid) == parsed);
    git_cached_obj *late = store_new(&cache, 7, false);
    EXPECT(late != parsed && late != raw && git_cache_size(&cache) == 1);
    for (int i = 0; i < 3; i++)
        git_cached_obj_decref(parsed);
    git_cached_obj_decref(late);
    for (int i = 0; i < 2; i++)
        git_cached_obj_decref(raw);
    verified(6);
    cache_close(&cache, 0);
}

static void alike(const void *setup)
{
    git_cache cache;
    (void)setup;
    cache_open(&cache, 1 << 20);
    git_cached_obj *first = store_new(&cache, 6, false);
    git_cached_obj *second = store_new(&cache, 7, true);
    EXPECT(is_object(first, 6) && is_object(second, 7) && git_cache_size(&cache) == 1);
    EXPECT(!git_cache_get_any(&cache, &second->oid));
    EXPECT(git_cache_get_any(&cache, &first->oid) == first);
    git_cached_obj_decref(first);
    git_cached_obj_decref(first);
    git_cached_obj_decref(second);
    verified(3);
    cache_close(&cache, 0);
}

static void switched_off(const void *setup)
{
    git_cache cache;
    (void)setup;
    cache_open(&cache, 1 << 20);
    for (uint64_t key = 0; key < 2000; key++)
        git_cached_obj_decref(store_new(&cache, key, false));
    EXPECT_EQ(git_cache_size(&cache), 1000);
    git_cache__enabled = false;
    git_cached_obj *own = store_new(&cache, 3000, false);
    EXPECT(is_object(own, 3000) && git_cache_size(&cache) == 0);
    EXPECT(!git_cache_get_any(&cache, &own->oid));
    git_cached_obj_decref(own);
    cache_close(&cache, 0);
}

/* A reference that nobody gives back must be noticed. */
static void forgotten(const void *setup)
{
    git_cache cache;
    (void)setup;
    cache_open(&cache, 1 << 20);
    git_cached_obj *kept = store_new(&cache, 1, false);
    canary_begin();
    cache_close(&cache, 0);
    EXPECT_EQ(canary_end(), 1);
    git_cached_obj_decref(kept);
    EXPECT_EQ(atomic_load(&blocks), 0);
    verified(1);
}

struct objects {
    git_cache cache;
    double end;
};

static void use_objects(unsigned index, void *arg)
{
    struct objects *run = arg;
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (++steps % 64 || now_seconds() < run->end) {
        const uint64_t key = rng_below(&rng, KEYS);
        const uint64_t what = rng_below(&rng, 1000);
        const git_oid oid = oid_of(key);
        git_cached_obj *object =
            what < 500 ? git_cache_get_any(&run->cache, &oid) : store_new(&run->cache, key, what & 1);
        if (what == 999)
            git_cache_clear(&run->cache);
        if (!object)
            continue;
        EXPECT(is_object(object, key));
        git_cached_obj_decref(object);
    }
    verified(steps);
}

static void objects(const void *setup)
{
    struct objects run = {.end = now_seconds() + test_seconds()};
    (void)setup;
    cache_open(&run.cache, KEYS / 2 * OBJECT_BYTES);
    crew_run(THREADS, use_objects, &run);
    cache_close(&run.cache, 0);
}

/* ---- Delta bases ---- */

static git_rawobj base_new(uint64_t key)
{
    git_rawobj base = {.data = git__calloc(1, BASE_BYTES), .len = BASE_BYTES};
    memcpy(base.data, &key, sizeof key);
    return base;
}

static bool is_base(const git_pack_cache_entry *entry, uint64_t key)
{
    return entry->raw.len == BASE_BYTES && !memcmp(entry->raw.data, &key, sizeof key);
}

static bool add_new(git_pack_cache *cache, uint64_t key, git_pack_cache_entry **entry)
{
    git_rawobj base = base_new(key);
    if (git_pack_cache_add(entry, cache, &base, (off64_t)key) == 0)
        return true;
    git__free(base.data);
    return false;
}

static void in_use(const void *setup)
{
    git_pack_cache cache = {{0}, 0, NULL};
    git_pack_cache_entry *first = NULL;
    git_pack_cache_entry *second = NULL;
    (void)setup;
    EXPECT_EQ(git_pack_cache_init(&cache), 0);
    cache.memory_limit = BASE_BYTES + BASE_BYTES / 2;
    EXPECT(add_new(&cache, 1, &first));
    EXPECT(!add_new(&cache, 1, &second)); /* is there */
    EXPECT(!add_new(&cache, 2, &second)); /* no room while the first is in use */
    git_pack_cache_release(first);
    EXPECT(add_new(&cache, 2, &second));
    EXPECT(!git_pack_cache_get(&cache, 1) && cache.memory_used.val == BASE_BYTES);
    git_pack_cache_free(&cache);
    soma_barrier_wait();
    EXPECT(is_base(second, 2)); /* ours still */
    git_pack_cache_release(second);
    EXPECT_EQ(atomic_load(&blocks), 0);
    verified(7);
}

struct bases {
    git_pack_cache cache;
    double end;
};

static void use_bases(unsigned index, void *arg)
{
    struct bases *run = arg;
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (++steps % 64 || now_seconds() < run->end) {
        const uint64_t key = rng_below(&rng, KEYS);
        git_pack_cache_entry *entry = git_pack_cache_get(&run->cache, (off64_t)key);
        if (!entry && !add_new(&run->cache, key, &entry))
            continue;
        EXPECT(is_base(entry, key));
        git_pack_cache_release(entry);
    }
    verified(steps);
}

static void bases(const void *setup)
{
    struct bases run = {.end = now_seconds() + test_seconds()};
    (void)setup;
    EXPECT_EQ(git_pack_cache_init(&run.cache), 0);
    run.cache.memory_limit = KEYS / 2 * BASE_BYTES;
    crew_run(THREADS, use_bases, &run);
    long present = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        git_pack_cache_entry *entry = git_pack_cache_get(&run.cache, (off64_t)key);
        if (!entry)
            continue;
        present++;
        git_pack_cache_release(entry);
    }
    EXPECT_EQ(run.cache.memory_used.val, present * BASE_BYTES);
    git_pack_cache_free(&run.cache);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&blocks), 0);
    verified(2);
}

static const struct test_case cases[] = {
    {"objects: raw and parsed", kinds, NULL},
    {"objects: ids that begin alike", alike, NULL},
    {"objects: switched off", switched_off, NULL},
    {"objects: canary: a forgotten reference", forgotten, NULL},
    {"objects: threads", objects, NULL},
    {"bases: in use", in_use, NULL},
    {"bases: threads", bases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
