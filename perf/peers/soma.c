/* SPDX-License-Identifier: ISC */
/* soma.c - Soma's word map, or with PEER_STRINGS its byte map, one key at a time and in batches. */
#include <soma/soma.h>

#include "peers/peer.h"
#include "support/fail.h"

#define BATCH_MAX 256

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

#ifdef PEER_STRINGS

#define MAP "soma_map"
#define GET_MANY "soma_map_get_many() and soma_map_put_many()"
#define soma_count_approx soma_map_count_approx
#define soma_shrink soma_map_shrink

#define LOAD SOMA_MAP_LOAD_DEFAULT

void *peer_soma_with_load(unsigned load_percent)
{
    soma_map *map = NULL;
    must(soma_map_new(&(struct soma_map_options){.load_percent = load_percent}, &map));
    return map;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    size_t len;
    return soma_map_get_copy(map, key->at, key->len, value, sizeof *value, &len) == SOMA_OK;
}

static inline enum soma_status put_new(void *map, const peer_key *key, uint64_t value)
{
    return soma_map_put_new(map, key->at, key->len, &value, sizeof value, NULL);
}

static inline enum soma_status put_over(void *map, const peer_key *key, uint64_t value)
{
    return soma_map_put(map, key->at, key->len, &value, sizeof value, NULL);
}

static inline enum soma_status remove_key(void *map, const peer_key *key)
{
    return soma_map_remove(map, key->at, key->len, NULL);
}

/* What comes out is borrowed, so the values are copied before the section ends. */
static size_t get_many(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    struct soma_bytes key_bytes[BATCH_MAX];
    struct soma_bytes there[BATCH_MAX];
    bool found[BATCH_MAX];
    for (size_t i = 0; i < n; i++)
        key_bytes[i] = (struct soma_bytes){keys[i].at, keys[i].len};
    soma_read_enter();
    const size_t total = soma_map_get_many(map, key_bytes, n, there, found);
    for (size_t i = 0; i < n; i++) {
        if (found[i])
            memcpy(&values[i], there[i].data, sizeof values[i]);
    }
    soma_read_exit();
    return total;
}

static enum soma_status put_many(void *map, const peer_key *keys, const uint64_t *values, size_t n, size_t *done)
{
    struct soma_bytes key_bytes[BATCH_MAX];
    struct soma_bytes value_bytes[BATCH_MAX];
    for (size_t i = 0; i < n; i++) {
        key_bytes[i] = (struct soma_bytes){keys[i].at, keys[i].len};
        value_bytes[i] = (struct soma_bytes){&values[i], sizeof values[i]};
    }
    return soma_map_put_many(map, key_bytes, value_bytes, n, done);
}

#define soma_cursor_open soma_cursor_open_map

static inline bool next_value(soma_cursor *cursor, uint64_t *value)
{
    struct soma_bytes there;
    const enum soma_status status = soma_cursor_next_ref(cursor, NULL, &there);
    must(status);
    if (status == SOMA_OK)
        memcpy(value, there.data, sizeof *value);
    return status == SOMA_OK;
}

#else

#define MAP "soma_u64"
#define GET_MANY "soma_u64_get_many() and soma_u64_put_many()"
#define soma_count_approx soma_u64_count_approx
#define soma_shrink soma_u64_shrink

#define LOAD SOMA_U64_LOAD_DEFAULT

void *peer_soma_with_load(unsigned load_percent)
{
    soma_u64 *map = NULL;
    must(soma_u64_new(&(struct soma_u64_options){.load_percent = load_percent}, &map));
    return map;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    return soma_u64_get(map, *key, value) == SOMA_OK;
}

static inline enum soma_status put_new(void *map, const peer_key *key, uint64_t value)
{
    return soma_u64_put_new(map, *key, value, NULL);
}

static inline enum soma_status put_over(void *map, const peer_key *key, uint64_t value)
{
    return soma_u64_put(map, *key, value, NULL);
}

static inline enum soma_status remove_key(void *map, const peer_key *key)
{
    return soma_u64_remove(map, *key, NULL);
}

static size_t get_many(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    return soma_u64_get_many(map, keys, n, values, NULL);
}

static enum soma_status put_many(void *map, const peer_key *keys, const uint64_t *values, size_t n, size_t *done)
{
    return soma_u64_put_many(map, keys, values, n, done);
}

#define soma_cursor_open soma_cursor_open_u64

static inline bool next_value(soma_cursor *cursor, uint64_t *value)
{
    uint64_t key;
    return soma_cursor_next_u64(cursor, &key, value) == SOMA_OK;
}

#endif

static void *create(uint64_t size)
{
    (void)size; /* Soma starts empty and grows, as it does in use */
    return peer_soma_with_load(0);
}

static void *create_spacious(uint64_t size)
{
    (void)size;
    return peer_soma_with_load(LOAD / 2);
}

static inline bool put(void *map, const peer_key *key)
{
    const enum soma_status status = put_new(map, key, peer_value_of(key));
    must(status);
    return status == SOMA_INSERTED;
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    const enum soma_status status = put_over(map, key, value);
    must(status);
    return status == SOMA_INSERTED;
}

static inline bool take(void *map, const peer_key *key)
{
    const enum soma_status status = remove_key(map, key);
    must(status);
    return status == SOMA_REMOVED;
}

static size_t get_batch(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        values[i] = 0; /* a missed key leaves its place alone */
    for (size_t from = 0; from < n; from += BATCH_MAX)
        found += get_many(map, keys + from, n - from < BATCH_MAX ? n - from : BATCH_MAX, values + from);
    return found;
}

static size_t put_batch(void *map, const peer_key *keys, size_t n)
{
    uint64_t values[BATCH_MAX];
    size_t stored = 0;
    while (stored < n) {
        const size_t some = n - stored < BATCH_MAX ? n - stored : BATCH_MAX;
        size_t done = 0;
        for (size_t i = 0; i < some; i++)
            values[i] = peer_value_of(&keys[stored + i]);
        must(put_many(map, keys + stored, values, some, &done));
        stored += done;
    }
    return stored;
}

static uint64_t scan(void *map, uint64_t *sum)
{
    soma_cursor *cursor = NULL;
    uint64_t n = 0;
    must(soma_cursor_open(map, &cursor));
    for (uint64_t value; next_value(cursor, &value); n++)
        *sum += value;
    soma_cursor_close(cursor);
    return n;
}

static uint64_t count(void *map)
{
    return soma_count_approx(map);
}

static void shrink(void *map)
{
    must(soma_shrink(map));
    soma_barrier_wait();
    /* Readers that were in the way of the first call are gone now. */
    must(soma_shrink(map));
    soma_barrier_wait();
}

#include "peers/loops.h"

const struct peer_ops peer_soma = {
    .name = "soma",
    .about = MAP ", made empty with default options",
    .colour = 0,
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
    .settle = soma_barrier_wait,
    .shrink = shrink,
};

const struct peer_ops peer_soma_spacious = {
    .name = "soma-spacious",
    .about = MAP ", with half the load_percent",
    .colour = 2,
    .create = create_spacious,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = soma_barrier_wait,
    .shrink = shrink,
};

const struct peer_ops peer_soma_batch = {
    .name = "soma-batch",
    .about = "the same through " GET_MANY,
    .colour = 1,
    .batched = true,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_batch,
    .put_each = put_batch,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = soma_barrier_wait,
    .shrink = shrink,
};
