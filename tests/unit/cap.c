/* SPDX-License-Identifier: ISC */
/* cap.c - at the cap on deferred memory: every update that would retire something says so and changes nothing; what can
 * be released is; and a stall is told by whoever tries, though nobody else polls. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "stalled.h"
#include "support.h"

/* Room for a few retired words, or for one of the byte entries below and no other. */
#define CAP 64
/* What one takes: at home only its value has to wait. */
#define WORD_BYTES (HAVE_CAS16 ? 16 : 32)
#define KEYS 4

struct seen {
    uint64_t retired; /* values told */
    uint64_t last;    /* the last one of them, if a word */
};

static void word_gone(uint64_t value, void *ctx)
{
    struct seen *seen = ctx;
    seen->retired++;
    seen->last = value;
}

static void ignore(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

static void bytes_gone(const void *value, size_t len, void *ctx)
{
    struct seen *seen = ctx;
    seen->retired++;
    if (len == sizeof seen->last)
        memcpy(&seen->last, value, len);
}

/* ---- Nothing has changed ---- */

static enum soma_status answer_word(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = 99;
    return *(const enum soma_status *)ctx;
}

static void words_unchanged(const soma_u64 *map)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(soma_u64_get(map, key, &value), SOMA_OK);
        EXPECT_EQ(value, key);
    }
    EXPECT_EQ(soma_u64_count_approx(map), KEYS);
    verified(1);
}

static void words_refused(soma_u64 *map)
{
    enum soma_status store = SOMA_OK;
    enum soma_status removal = SOMA_REMOVED;
    const uint64_t keys[2] = {0, 1};
    const uint64_t values[2] = {99, 99};
    size_t done = 1;
    EXPECT_EQ(soma_u64_remove_many(map, keys, 2, NULL, NULL, &done), SOMA_E_LIMIT);
    EXPECT_EQ(done, 0);
    EXPECT_EQ(soma_u64_put(map, 0, 99, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_replace(map, 0, 99, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_cas(map, 0, 0, 99, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_fetch_add(map, 0, 99, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_update(map, 0, answer_word, &store), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_update(map, 0, answer_word, &removal), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_put_many(map, keys, values, 2, &done), SOMA_E_LIMIT);
    EXPECT_EQ(done, 0);
    EXPECT_EQ(soma_u64_remove(map, 0, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_remove_if(map, 0, 0, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_clear(map), SOMA_E_LIMIT);
    uint64_t place = 0;
    EXPECT_EQ(soma_u64_take(map, &place, 9, NULL, NULL, NULL, NULL, &done), SOMA_E_LIMIT);
    EXPECT_EQ(done, 0);
    words_unchanged(map);
}

/* The section that holds the memory is the thread's own, so nothing can be released until it ends; then all can. */
static void words(const void *unused)
{
    (void)unused;
    struct seen seen = {.retired = 0};
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {
        .seed = {1, 2}, .deferred_bytes_max = CAP, .value_retire = word_gone, .ctx = &seen};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    soma_read_enter();
    for (uint64_t key = 100; key < 100 + CAP / WORD_BYTES; key++) {
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    }
    words_refused(map);
    EXPECT_EQ(soma_u64_put(map, 100, 1, NULL), SOMA_INSERTED); /* which retires nothing */
    soma_read_exit();
    EXPECT_EQ(soma_u64_remove(map, 100, NULL), SOMA_REMOVED);
    words_unchanged(map);
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    EXPECT_EQ(soma_u64_count_approx(map), 0);
    soma_barrier_wait();
    EXPECT_EQ(seen.retired, KEYS + CAP / WORD_BYTES + 1);
    soma_u64_free(map);
}

/* ---- The same for byte maps ---- */

static enum soma_status answer_bytes(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len, (void)present;
    *value = (struct soma_bytes){.data = "other", .len = 5};
    return *(const enum soma_status *)ctx;
}

/* Key 0's value is a word, the others' are not. */
static size_t len_of(uint64_t key)
{
    return key == 0 ? sizeof key : sizeof key - 1;
}

static void bytes_unchanged(const soma_map *map)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        size_t len = 0;
        EXPECT_EQ(soma_map_get_copy(map, &key, sizeof key, &value, sizeof value, &len), SOMA_OK);
        EXPECT_EQ(value, key);
        EXPECT_EQ(len, len_of(key));
    }
    EXPECT_EQ(soma_map_count_approx(map), KEYS);
    verified(1);
}

static void bytes_refused(soma_map *map, uint64_t key)
{
    enum soma_status store = SOMA_OK;
    enum soma_status removal = SOMA_REMOVED;
    const size_t n = sizeof key;
    const struct soma_bytes many[1] = {{.data = &key, .len = n}};
    size_t done = 1;
    EXPECT_EQ(soma_map_put(map, &key, n, "other", 5, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_replace(map, &key, n, "other", 5, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_cas(map, &key, n, &key, len_of(key), "other", 5, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_update(map, &key, n, answer_bytes, &store), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_update(map, &key, n, answer_bytes, &removal), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_put_many(map, many, many, 1, &done), SOMA_E_LIMIT);
    EXPECT_EQ(done, 0);
    EXPECT_EQ(soma_map_remove(map, &key, n, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_remove_if(map, &key, n, &key, len_of(key), NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_clear(map), SOMA_E_LIMIT);
    bytes_unchanged(map);
}

static void bytes(const void *unused)
{
    (void)unused;
    struct seen seen = {.retired = 0};
    soma_map *map = NULL;
    const struct soma_map_options options = {.deferred_bytes_max = CAP, .value_retire = bytes_gone, .ctx = &seen};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, &key, len_of(key), NULL), SOMA_INSERTED);
    soma_read_enter();
    EXPECT_EQ(soma_map_put(map, "other key", 9, "and its value", 13, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_remove(map, "other key", 9, NULL), SOMA_REMOVED);
    bytes_refused(map, 0);
    bytes_refused(map, 1);
    const uint64_t word = 0;
    EXPECT_EQ(soma_map_fetch_add(map, &word, sizeof word, 1, NULL), SOMA_E_LIMIT);
    bytes_unchanged(map);
    soma_read_exit();
    EXPECT_EQ(soma_map_clear(map), SOMA_OK);
    EXPECT_EQ(soma_map_count_approx(map), 0);
    soma_barrier_wait();
    EXPECT_EQ(seen.retired, KEYS + 1);
    soma_map_free(map);
}

/* ---- Words of a byte map whose values are told ---- */

/* An addition replaces the entry, so that the old word is told; without value_retire it may change in place. */
static void additions_told(const void *unused)
{
    (void)unused;
    struct seen seen = {.retired = 0};
    soma_map *map = NULL;
    const uint64_t word = 5;
    uint64_t old = 0;
    const struct soma_map_options options = {.value_retire = bytes_gone, .ctx = &seen};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    EXPECT_EQ(soma_map_put(map, "key", 3, &word, sizeof word, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_fetch_add(map, "key", 3, 2, &old), SOMA_REPLACED);
    EXPECT_EQ(old, 5);
    soma_barrier_wait();
    EXPECT_EQ(seen.retired, 1);
    EXPECT_EQ(seen.last, 5);
    soma_map_free(map);
    EXPECT_EQ(seen.retired, 2);
    EXPECT_EQ(seen.last, 7);
    verified(2);
}

/* ---- What can be released is ---- */

/* Under a cap of one entry each removal has to wait for the one before: room is made, nothing is refused. */
static void cap_lets_go(const void *unused)
{
    (void)unused;
    struct seen seen = {.retired = 0};
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {.deferred_bytes_max = WORD_BYTES, .value_retire = word_gone, .ctx = &seen};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < 100; key++) {
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
        verified(1);
    }
    uint64_t place = 0;
    size_t taken = 0;
    for (uint64_t key = 0; key < 100; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_take(map, &place, 1000, NULL, NULL, NULL, NULL, &taken), SOMA_END);
    EXPECT_EQ(taken, 100);
    soma_u64_free(map);
    soma_barrier_wait(); /* `seen` goes */
}

/* Far below the cap, updates release what they retire as they go: little waits at any time. */
static void released_on_the_way(const void *unused)
{
    (void)unused;
    struct seen seen = {.retired = 0};
    soma_u64 *map = NULL;
    uint64_t most = 0;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.value_retire = word_gone, .ctx = &seen}, &map), SOMA_OK);
    for (uint64_t key = 0; key < 100000; key++) {
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
        const uint64_t deferred = soma__owner_deferred(&map->core.owner);
        most = deferred > most ? deferred : most;
    }
    EXPECT(most > 0 && most < 256 << 10); /* of some MB that were removed */
    soma_u64_free(map);
    soma_barrier_wait();
    verified(1);
}

/* ---- What hangs on values ---- */

/* More than a map with this cap takes in advance, so that what it has deferred is what has left, to the byte. */
#define HANGING 5000
#define HANGING_CAP 20000
/* What a removed entry of the byte map counts, with no value but 7 bytes. */
#define ENTRY_BYTES 55

/* What is answered for each value, and what has been asked and told. */
struct hanging {
    uint64_t answer; /* 0: another one each time */
    uint64_t asked;
    uint64_t retired;
};

static uint64_t hangs(struct hanging *hanging)
{
    const uint64_t odd[] = {0, 1, HANGING, UINT64_MAX, 70000, UINT64_MAX / 2 + 1};
    hanging->asked++;
    return hanging->answer ? hanging->answer : odd[hanging->asked * 7 % 6];
}

static uint64_t word_hangs(uint64_t value, void *ctx)
{
    EXPECT(value < 1000);
    return hangs(ctx);
}

static uint64_t bytes_hang(const void *value, size_t len, void *ctx)
{
    EXPECT(value && (len == 7 || len == 8));
    return hangs(ctx);
}

static void word_let_go(uint64_t value, void *ctx)
{
    (void)value;
    ((struct hanging *)ctx)->retired++;
}

static void bytes_let_go(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len;
    ((struct hanging *)ctx)->retired++;
}

static soma_u64 *hanging_words(struct hanging *hanging, uint64_t cap)
{
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {.struct_size = sizeof options,
                                             .seed = {1, 2},
                                             .deferred_bytes_max = cap,
                                             .value_retire = word_let_go,
                                             .value_bytes = word_hangs,
                                             .ctx = hanging};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < 8; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    return map;
}

static soma_map *hanging_bytes(struct hanging *hanging, uint64_t cap)
{
    soma_map *map = NULL;
    const struct soma_map_options options = {.struct_size = sizeof options,
                                             .seed = {1, 2},
                                             .deferred_bytes_max = cap,
                                             .value_retire = bytes_let_go,
                                             .value_bytes = bytes_hang,
                                             .ctx = hanging};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < 8; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, "a value", 7, NULL), SOMA_INSERTED);
    return map;
}

static uint64_t words_deferred(const soma_u64 *map)
{
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_OK);
    return stats.deferred_bytes;
}

static uint64_t bytes_deferred(const soma_map *map)
{
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_map_stats(map, &stats), SOMA_OK);
    return stats.deferred_bytes;
}

/* Each value that leaves counts what hangs on it, until it is let go, and the cap is kept with that. */
static void words_with_objects(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = HANGING};
    soma_u64 *map = hanging_words(&hanging, HANGING_CAP);
    const uint64_t each = WORD_BYTES + HANGING;
    EXPECT_EQ(hanging.asked, 0);
    EXPECT_EQ(words_deferred(map), 0);
    soma_read_enter();
    EXPECT_EQ(soma_u64_put(map, 0, 100, NULL), SOMA_REPLACED);
    EXPECT_EQ(words_deferred(map), each);
    EXPECT_EQ(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    EXPECT_EQ(words_deferred(map), 2 * each);
    EXPECT_EQ(soma_u64_fetch_add(map, 2, 1, NULL), SOMA_REPLACED);
    EXPECT_EQ(words_deferred(map), 3 * each);
    EXPECT_EQ(soma_u64_put(map, 3, 3, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_remove(map, 3, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_clear(map), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_count_approx(map), 7);
    EXPECT_EQ(words_deferred(map), 3 * each);
    soma_read_exit();
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    soma_barrier_wait();
    EXPECT_EQ(words_deferred(map), 0);
    EXPECT_EQ(hanging.retired, 10);
    soma_u64_free(map);
    verified(1);
}

static void bytes_with_objects(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = HANGING};
    soma_map *map = hanging_bytes(&hanging, HANGING_CAP);
    const uint64_t each = ENTRY_BYTES + HANGING;
    const uint64_t keys[] = {0, 1, 2, 3};
    EXPECT_EQ(hanging.asked, 0);
    soma_read_enter();
    EXPECT_EQ(soma_map_put(map, &keys[0], 8, "another", 7, NULL), SOMA_REPLACED);
    EXPECT_EQ(bytes_deferred(map), each);
    EXPECT_EQ(soma_map_remove(map, &keys[1], 8, NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_map_remove_if(map, &keys[2], 8, "a value", 7, NULL), SOMA_REMOVED);
    EXPECT_EQ(bytes_deferred(map), 3 * each);
    EXPECT_EQ(soma_map_put(map, &keys[3], 8, "another", 7, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_remove(map, &keys[3], 8, NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_clear(map), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_count_approx(map), 6);
    soma_read_exit();
    EXPECT_EQ(soma_map_clear(map), SOMA_OK);
    soma_barrier_wait();
    EXPECT_EQ(bytes_deferred(map), 0);
    EXPECT_EQ(hanging.retired, 9);
    soma_map_free(map);
    verified(1);
}

/* What lives on, in another entry or in a dead copy, does not count; when the copy goes, it does. */
static void objects_that_move(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = HANGING};
    soma_u64 *map = hanging_words(&hanging, UINT64_C(1) << 30);
    soma_read_enter();
    for (uint64_t key = 8; key < 900; key++) /* growth moves them about */
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    EXPECT_EQ(hanging.asked, 0);
    soma_read_exit();
    soma_view *view = NULL;
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    soma_barrier_wait();
    soma_read_enter();
    for (uint64_t key = 0; key < 500; key++)
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    EXPECT(words_deferred(map) < 100 * HANGING); /* some are made room for in advance */
    soma_view_close(view);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT(words_deferred(map) >= 500 * HANGING);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(words_deferred(map), 0);
    EXPECT_EQ(hanging.retired, 500);
    soma_u64_free(map);
    verified(1);
}

static void copies_that_move(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = HANGING};
    soma_map *map = hanging_bytes(&hanging, UINT64_C(1) << 30);
    soma_view *view = NULL;
    EXPECT_EQ(soma_map_view_open(map, &view), SOMA_OK);
    soma_read_enter();
    for (uint64_t key = 0; key < 8; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, "another", 7, NULL), SOMA_REPLACED);
    EXPECT(bytes_deferred(map) < 3 * HANGING);
    soma_view_close(view);
    EXPECT_EQ(soma_map_shrink(map), SOMA_OK);
    EXPECT(bytes_deferred(map) >= 8 * HANGING);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(bytes_deferred(map), 0);
    EXPECT_EQ(hanging.retired, 8);
    soma_map_free(map);
    verified(1);
}

/* Where readers leave no room to retire old versions, a sweep by soma_map_shrink() passes them by; they wait for the next. */
static void sweep_without_room(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = HANGING};
    soma_map *map = hanging_bytes(&hanging, 3 * HANGING);
    soma_view *view = NULL;
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_map_view_open(map, &view), SOMA_OK);
    soma_read_enter();
    for (uint64_t key = 0; key < 8; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, "another", 7, NULL), SOMA_REPLACED);
    soma_view_close(view);
    EXPECT_EQ(soma_map_shrink(map), SOMA_OK);
    EXPECT_EQ(soma_map_stats(map, &stats), SOMA_OK);
    EXPECT(stats.old_versions >= 5);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(soma_map_shrink(map), SOMA_OK);
    for (unsigned i = 0; i < 8; i++) {
        soma_barrier_wait();
        EXPECT_EQ(soma_map_shrink(map), SOMA_OK);
    }
    soma_barrier_wait();
    EXPECT_EQ(soma_map_stats(map, &stats), SOMA_OK);
    EXPECT_EQ(stats.old_versions, 0);
    EXPECT_EQ(hanging.retired, 8);
    soma_map_free(map);
    verified(1);
}

/* A program that answers now so, now so, and absurdly, may get SOMA_E_LIMIT, but never puts the account wrong. */
static void fickle(const void *cap)
{
    struct hanging hanging = {.answer = 0};
    soma_u64 *words = hanging_words(&hanging, *(const uint64_t *)cap);
    soma_map *bytes = hanging_bytes(&hanging, *(const uint64_t *)cap);
    struct rng rng = rng_new(1);
    for (int step = 0; step < 20000; step++) {
        const uint64_t key = rng_below(&rng, 40);
        const bool put = rng_below(&rng, 2);
        const enum soma_status in_words = put ? soma_u64_put(words, key, key, NULL) : soma_u64_remove(words, key, NULL);
        const enum soma_status in_bytes = put ? soma_map_put(bytes, &key, sizeof key, "a value", 7, NULL)
                                              : soma_map_remove(bytes, &key, sizeof key, NULL);
        EXPECT(in_words >= 0 || in_words == SOMA_E_LIMIT);
        EXPECT(in_bytes >= 0 || in_bytes == SOMA_E_LIMIT);
    }
    soma_barrier_wait();
    EXPECT_EQ(words_deferred(words), 0);
    EXPECT_EQ(bytes_deferred(bytes), 0);
    soma_u64_free(words);
    soma_map_free(bytes);
    soma_barrier_wait();
    EXPECT(hanging.asked > 100 && hanging.retired > 100);
    verified(1);
}

/* As much as can be said counts as a lot, alone, and not as what is left of the sum. */
static void no_sum_wraps(const void *unused)
{
    (void)unused;
    struct hanging hanging = {.answer = UINT64_MAX};
    soma_u64 *words = hanging_words(&hanging, HANGING_CAP);
    soma_map *bytes = hanging_bytes(&hanging, HANGING_CAP);
    const uint64_t keys[] = {0, 1};
    soma_read_enter();
    EXPECT_EQ(soma_u64_remove(words, keys[0], NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_map_remove(bytes, &keys[0], sizeof keys[0], NULL), SOMA_REMOVED);
    EXPECT_EQ(words_deferred(words), CORE_VALUE_BYTES_MOST + WORD_BYTES);
    EXPECT_EQ(bytes_deferred(bytes), CORE_VALUE_BYTES_MOST + ENTRY_BYTES);
    EXPECT_EQ(soma_u64_remove(words, keys[1], NULL), SOMA_E_LIMIT);
    EXPECT_EQ(soma_map_remove(bytes, &keys[1], sizeof keys[1], NULL), SOMA_E_LIMIT);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(words_deferred(words), 0);
    EXPECT_EQ(bytes_deferred(bytes), 0);
    soma_u64_free(words);
    soma_map_free(bytes);
    verified(1);
}

static void hanging_needs_retiring(const void *unused)
{
    (void)unused;
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.value_bytes = word_hangs}, &words), SOMA_E_INVALID);
    EXPECT_EQ(soma_map_new(&(struct soma_map_options){.value_bytes = bytes_hang}, &bytes), SOMA_E_INVALID);
    EXPECT(!words && !bytes);
    verified(1);
}

/* ---- Room for what goes, not for what stood there in between ---- */

#define BIG 1
#define SMALL 2

/* A value that is changed by another thread while its removal is decided, and changed back while it is asked what it takes. */
struct wavering {
    soma_u64 *map;
    pthread_t remover;
    int changes;
};

static void *put_small(void *map)
{
    EXPECT_EQ(soma_u64_put(map, 0, SMALL, NULL), SOMA_REPLACED);
    return NULL;
}

static void *put_big(void *map)
{
    EXPECT_EQ(soma_u64_put(map, 0, BIG, NULL), SOMA_REPLACED);
    return NULL;
}

static void waver(struct wavering *w, void *(*change)(void *))
{
    pthread_t thread;
    w->changes++;
    EXPECT_EQ(pthread_create(&thread, NULL, change, w->map), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

static uint64_t wavering_bytes(uint64_t value, void *ctx)
{
    struct wavering *w = ctx;
    if (value == SMALL && w->changes == 1 && pthread_equal(w->remover, pthread_self()))
        waver(w, put_big);
    return value == BIG ? 12000 : 100;
}

static enum soma_status remove_wavering(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct wavering *w = ctx;
    EXPECT(key == 0 && present);
    if (*value == BIG && w->changes == 0)
        waver(w, put_small);
    return SOMA_REMOVED;
}

/* Were there room for the small value, and the big one went, it could not be taken out of the list. */
static void room_for_what_goes(const void *unused)
{
    (void)unused;
    struct wavering w = {.remover = pthread_self()};
    const struct soma_u64_options options = {
        .deferred_bytes_max = HANGING_CAP, .value_retire = ignore, .value_bytes = wavering_bytes, .ctx = &w};
    EXPECT_EQ(soma_u64_new(&options, &w.map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(w.map, 0, BIG, NULL), SOMA_INSERTED);
    soma_read_enter();
    EXPECT_EQ(soma_u64_update(w.map, 0, remove_wavering, &w), SOMA_E_LIMIT);
    EXPECT_EQ(soma_u64_count_approx(w.map), 1);
    EXPECT_EQ(soma_u64_put_new(w.map, 0, BIG, NULL), SOMA_EXISTS);
    soma_read_exit();
    EXPECT_EQ(soma_u64_remove(w.map, 0, NULL), SOMA_REMOVED);
    soma_barrier_wait();
    EXPECT_EQ(words_deferred(w.map), 0);
    soma_u64_free(w.map);
    verified(1);
}

/* ---- Taking where another thread's section holds the memory ---- */

struct stay {
    atomic_bool inside;
    atomic_bool leave;
    atomic_int asked; /* how often the program was */
    int ms;           /* to stay, once it was */
};

static void *stay_inside(void *arg)
{
    struct stay *stay = arg;
    soma_read_enter();
    stay->inside = true;
    for (int ms = 0; ms < stay->ms && !stay->leave; ms += stay->asked > 0)
        sleep_ms(1);
    soma_read_exit();
    return NULL;
}

static pthread_t stay_begin(struct stay *stay)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, stay_inside, stay), 0);
    while (!stay->inside)
        sleep_ms(1);
    return thread;
}

static void stay_end(struct stay *stay, pthread_t thread)
{
    stay->leave = true;
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

static enum soma_status take_word(uint64_t key, uint64_t value, void *ctx)
{
    (void)key, (void)value;
    ((struct stay *)ctx)->asked++;
    return SOMA_REMOVED;
}

static enum soma_status take_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)key, (void)key_len, (void)value;
    ((struct stay *)ctx)->asked++;
    return SOMA_REMOVED;
}

/* However long it takes until there is room, the program is asked once before and once then. `waits`: or not at all then, since the
 * call does not wait. */
static void words_asked_once(const void *waits)
{
    struct seen seen = {.retired = 0};
    struct stay stay = {.ms = waits ? 50 : 60000};
    soma_u64 *map = NULL;
    uint64_t place = 0;
    size_t taken = 9;
    const struct soma_u64_options options = {.seed = {1, 2},
                                             .flags = waits ? SOMA_WAIT_AT_LIMIT : 0,
                                             .deferred_bytes_max = CAP,
                                             .value_retire = word_gone,
                                             .ctx = &seen};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    const pthread_t thread = stay_begin(&stay);
    for (uint64_t key = 100; key < 100 + CAP / WORD_BYTES; key++) {
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    }
    EXPECT_EQ(soma_u64_take(map, &place, 1, take_word, &stay, NULL, NULL, &taken), waits ? SOMA_OK : SOMA_E_LIMIT);
    EXPECT(stay.asked >= 1 && stay.asked <= (waits ? 2 : 1));
    EXPECT_EQ(taken, waits ? 1 : 0);
    EXPECT_EQ(soma_u64_count_approx(map), KEYS - taken);
    stay_end(&stay, thread);
    soma_u64_free(map);
    soma_barrier_wait();
    verified(1);
}

static void bytes_asked_once(const void *waits)
{
    struct seen seen = {.retired = 0};
    struct stay stay = {.ms = waits ? 50 : 60000};
    soma_map *map = NULL;
    uint64_t place = 0;
    size_t taken = 9;
    const struct soma_map_options options = {
        .flags = waits ? SOMA_WAIT_AT_LIMIT : 0, .deferred_bytes_max = CAP, .value_retire = bytes_gone, .ctx = &seen};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, &key, len_of(key), NULL), SOMA_INSERTED);
    const pthread_t thread = stay_begin(&stay);
    EXPECT_EQ(soma_map_put(map, "other key", 9, "and its value", 13, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_remove(map, "other key", 9, NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_map_take(map, &place, 1, take_bytes, &stay, NULL, NULL, &taken), waits ? SOMA_OK : SOMA_E_LIMIT);
    EXPECT(stay.asked >= 1 && stay.asked <= (waits ? 2 : 1));
    EXPECT_EQ(taken, waits ? 1 : 0);
    EXPECT_EQ(soma_map_count_approx(map), KEYS - taken);
    stay_end(&stay, thread);
    soma_map_free(map);
    soma_barrier_wait();
    verified(1);
}

/* ---- A stall ---- */

struct told {
    unsigned times;
    int64_t thread;
    uint64_t deferred_bytes;
};

static void note_stall(const struct soma_stall *stall, void *ctx)
{
    struct told *told = ctx;
    told->times++;
    told->thread = stall->reader_thread;
    told->deferred_bytes = stall->deferred_bytes;
}

/* The thread holds itself up: its own section is open, and nobody else is there to poll. It is told all the same; and counted, if
 * there is nobody to tell. */
static void stall_of_ones_own(const void *untold)
{
    struct told told = {.times = 0};
    struct soma_stats stats = {.struct_size = sizeof stats};
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {.deferred_bytes_max = WORD_BYTES,
                                             .value_retire = ignore,
                                             .stall_ns = 1000000,
                                             .stall = untold ? NULL : note_stall,
                                             .ctx = &told};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, 1, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, 2, 2, NULL), SOMA_INSERTED);
    soma_read_enter();
    EXPECT_EQ(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    for (int i = 0; i < 2000 && stats.stalls == 0; i++) {
        EXPECT_EQ(soma_u64_remove(map, 2, NULL), SOMA_E_LIMIT);
        EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_OK);
        sleep_ms(1);
    }
    soma_read_exit();
    EXPECT_EQ(stats.stalls, 1);
    EXPECT_EQ(told.times, !untold);
    EXPECT_EQ(told.thread, untold ? 0 : syscall(SYS_gettid));
    EXPECT_EQ(told.deferred_bytes, untold ? 0 : WORD_BYTES);
    soma_u64_free(map);
    verified(1);
}

#define STALL_MS 20
#define SOME ((uint64_t)2 * SOMA__CHUNK_ITEMS) /* removals that close a batch */

static void remove_some(soma_u64 *map, uint64_t first)
{
    for (uint64_t key = first; key < first + SOME; key++)
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
}

/* A thread that holds work back, for it may hold locks, tells of a stall afterwards. */
static void stall_held_back(const void *unused)
{
    (void)unused;
    struct stalled stalled;
    struct told told = {.times = 0};
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {
        .stall_ns = STALL_MS * UINT64_C(1000000), .stall = note_stall, .ctx = &told};
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < 3 * SOME; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    stalled_start(&stalled);
    soma__work_hold();
    remove_some(map, 0);
    const uint64_t cookie = soma__grace_cookie();
    soma__grace_poll(cookie);
    sleep_ms(2 * STALL_MS);
    soma__grace_poll(cookie);
    remove_some(map, SOME);
    EXPECT_EQ(told.times, 0);
    soma__work_resume();
    remove_some(map, 2 * SOME);
    EXPECT_EQ(told.times, 1);
    stalled_stop(&stalled);
    soma_u64_free(map);
    soma_barrier_wait();
    verified(2);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"words", words, NULL},
        {"bytes", bytes, NULL},
        {"additions-told", additions_told, NULL},
        {"cap-lets-go", cap_lets_go, NULL},
        {"released-on-the-way", released_on_the_way, NULL},
        {"words-with-objects", words_with_objects, NULL},
        {"bytes-with-objects", bytes_with_objects, NULL},
        {"objects-that-move", objects_that_move, NULL},
        {"copies-that-move", copies_that_move, NULL},
        {"fickle", fickle, &(const uint64_t){UINT64_MAX}},
        {"fickle-at-the-cap", fickle, &(const uint64_t){HANGING_CAP}},
        {"no-sum-wraps", no_sum_wraps, NULL},
        {"hanging-needs-retiring", hanging_needs_retiring, NULL},
        {"room-for-what-goes", room_for_what_goes, NULL},
        {"sweep-without-room", sweep_without_room, NULL},
        {"words-asked-once", words_asked_once, NULL},
        {"words-asked-once-waiting", words_asked_once, "waits"},
        {"bytes-asked-once", bytes_asked_once, NULL},
        {"bytes-asked-once-waiting", bytes_asked_once, "waits"},
        {"stall-of-ones-own", stall_of_ones_own, NULL},
        {"stall-untold", stall_of_ones_own, "untold"},
        {"stall-held-back", stall_held_back, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
