/* SPDX-License-Identifier: ISC */
/* backend.c - what only backend.h promises: names and the environment, the same digests, cursors and answers on each back-end,
 * borrowed values and value_retire against readers, callbacks that use their map, and allocations that fail: nothing has changed
 * then. The maps' own tests on the back-ends do the rest (meson.build). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/backend.h>
#include <soma/soma.h>

#include "refuse.h"
#include "said.h"
#include "soma_config.h"
#include "stalled.h"
#include "support.h"

static const enum soma_backend backends[] = {SOMA_BACKEND_LOCK_FREE, SOMA_BACKEND_SHARDED_MUTEX, SOMA_BACKEND_MUTEX};
#define BACKENDS 3

/* ---- Which ---- */

static void names(const void *arg)
{
    (void)arg;
    for (int b = SOMA_BACKEND_DEFAULT; b <= SOMA_BACKEND_MUTEX; b++) {
        enum soma_backend parsed = SOMA_BACKEND_DEFAULT;
        EXPECT_EQ(soma_backend_parse(soma_backend_name((enum soma_backend)b), &parsed), SOMA_OK);
        EXPECT_EQ(parsed, b);
        EXPECT(soma_backend_built((enum soma_backend)b));
    }
    enum soma_backend parsed;
    EXPECT_EQ(soma_backend_parse("Mutex", &parsed), SOMA_E_INVALID);
    EXPECT_EQ(soma_backend_parse(NULL, &parsed), SOMA_E_INVALID);
    EXPECT(soma_backend_name((enum soma_backend)4) == NULL);
    EXPECT(!soma_backend_built((enum soma_backend)4));
    verified(4);
}

static void environment(const void *arg)
{
    (void)arg;
    soma_any_u64 *map;
    static const struct {
        const char *value;
        enum soma_backend want;
    } set[] = {{"", SOMA_BACKEND_LOCK_FREE},
               {"default", SOMA_BACKEND_LOCK_FREE},
               {"lock-free", SOMA_BACKEND_LOCK_FREE},
               {"sharded-mutex", SOMA_BACKEND_SHARDED_MUTEX},
               {"mutex", SOMA_BACKEND_MUTEX}};
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) {
        setenv("SOMA_BACKEND", set[i].value, 1);
        EXPECT_EQ(soma_any_u64_new(NULL, &map), SOMA_OK);
        EXPECT_EQ(soma_any_u64_backend(map), set[i].want);
        EXPECT_EQ(soma_any_u64_raw(map) != NULL, set[i].want == SOMA_BACKEND_LOCK_FREE);
        soma_any_u64_free(map);
    }
    EXPECT_EQ(soma_any_u64_new_on(SOMA_BACKEND_SHARDED_MUTEX, NULL, &map), SOMA_OK); /* the option wins */
    EXPECT_EQ(soma_any_u64_backend(map), SOMA_BACKEND_SHARDED_MUTEX);
    soma_any_u64_free(map);
    setenv("SOMA_BACKEND", "spin", 1);
    EXPECT_EQ(
        refused_lines("soma: SOMA_BACKEND=spin is none of default, lock-free, sharded-mutex, mutex: no map is made\n",
                      SOMA_E_INVALID),
        1);
    soma_any_map *bytes;
    unsetenv("SOMA_BACKEND");
    EXPECT_EQ(soma_any_map_new(NULL, &bytes), SOMA_OK);
    EXPECT_EQ(soma_any_map_backend(bytes), SOMA_BACKEND_LOCK_FREE);
    soma_any_map_free(bytes);
    EXPECT_EQ(soma_any_u64_new_on((enum soma_backend)9, NULL, &map), SOMA_E_INVALID);
    EXPECT_EQ(soma_any_u64_new(NULL, NULL), SOMA_E_INVALID);
    verified(9);
}

/* ---- The same on each ---- */

static soma_any_u64 *words_new(enum soma_backend backend, const struct soma_u64_options *options)
{
    soma_any_u64 *map;
    if (soma_any_u64_new_on(backend, options, &map) != SOMA_OK)
        abort();
    return map;
}

static soma_any_map *bytes_new(enum soma_backend backend, const struct soma_map_options *options)
{
    soma_any_map *map;
    if (soma_any_map_new_on(backend, options, &map) != SOMA_OK)
        abort();
    return map;
}

static void digests(const void *arg)
{
    (void)arg;
    struct soma_digest words[BACKENDS];
    struct soma_digest bytes[BACKENDS];
    const struct soma_u64_options options = {.flags = SOMA_DIGEST, .digest_key = {1, 2}};
    const struct soma_map_options map_options = {.flags = SOMA_DIGEST, .digest_key = {1, 2}};
    for (int b = 0; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], &options);
        soma_any_map *other = bytes_new(backends[b], &map_options);
        char key[16] = ""; /* what follows a key counts, too */
        for (uint64_t i = 0; i < 1000; i++) {
            soma_any_u64_put(map, i, i * i, NULL);
            soma_any_map_put(other, key, (size_t)snprintf(key, sizeof key, "%u", (unsigned)i), key, i % 12, NULL);
        }
        soma_any_u64_remove(map, 5, NULL);
        EXPECT_EQ(soma_any_u64_digest(map, &words[b]), SOMA_OK);
        EXPECT_EQ(soma_any_map_digest(other, &bytes[b]), SOMA_OK);
        EXPECT(soma_digest_equal(&words[b], &words[0]));
        EXPECT(soma_digest_equal(&bytes[b], &bytes[0]));
        verified(2);
        soma_any_u64_free(map);
        soma_any_map_free(other);
    }
    EXPECT_EQ(words[0].count, 999);
}

static void cursors(const void *arg)
{
    (void)arg;
    for (int b = 0; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], NULL);
        soma_any_map *other = bytes_new(backends[b], NULL);
        uint64_t want = 0;
        for (uint64_t i = 0; i < 500; i++, want += i * 3) {
            soma_any_u64_put(map, i, i * 2, NULL);
            soma_any_map_put(other, &i, sizeof i, &i, i % 8, NULL);
        }
        soma_any_u64_put(map, 500, 1000, NULL);
        soma_cursor *cursor;
        uint64_t key;
        uint64_t value;
        uint64_t total = 0;
        EXPECT_EQ(soma_any_cursor_open_u64(map, &cursor), SOMA_OK);
        soma_any_u64_free(backends[b] == SOMA_BACKEND_LOCK_FREE ? NULL : map); /* a copy does not need it any more */
        while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
            total += key + value;
        soma_cursor_close(cursor);
        EXPECT_EQ(total, want);
        soma_any_u64_free(backends[b] == SOMA_BACKEND_LOCK_FREE ? map : NULL);
        EXPECT_EQ(soma_any_cursor_open_map(other, &cursor), SOMA_OK);
        struct soma_bytes k;
        struct soma_bytes v;
        uint64_t n = 0;
        for (; soma_cursor_next_ref(cursor, &k, &v) == SOMA_OK; n++)
            EXPECT(k.len == 8 && v.len == *(const unsigned char *)k.data % 8U);
        EXPECT_EQ(n, 500);
        verified(n);
        soma_cursor_close(cursor);
        soma_any_map_free(other);
    }
}

/* What a mutex does not have is refused, never half done. */
static void refusals(const void *arg)
{
    (void)arg;
    soma_view *view;
    for (int b = 1; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], NULL);
        struct soma_digest digest;
        EXPECT_EQ(soma_any_u64_view_open(map, &view), SOMA_E_UNSUPPORTED);
        EXPECT_EQ(soma_any_u64_view_open(map, NULL), SOMA_E_INVALID);
        EXPECT_EQ(soma_any_u64_digest(map, &digest), SOMA_E_UNSUPPORTED);
        soma_any_u64_free(map);
        const struct soma_u64_options strong = {.flags = SOMA_DIGEST_STRONG};
        const struct soma_u64_options huge = {.flags = SOMA_HUGE_PAGES};
        const struct soma_u64_options load = {.load_percent = 1};
        EXPECT_EQ(soma_any_u64_new_on(backends[b], &huge, &map), SOMA_OK); /* a wish, no more */
        soma_any_u64_free(map);
        EXPECT_EQ(soma_any_u64_new_on(backends[b], &strong, &map), SOMA_E_UNSUPPORTED);
        EXPECT_EQ(soma_any_u64_new_on(backends[b], &load, &map), SOMA_E_INVALID);
        verified(6);
    }
    soma_any_u64 *map = words_new(SOMA_BACKEND_LOCK_FREE, NULL);
    EXPECT_EQ(soma_any_u64_view_open(map, &view), SOMA_OK);
    soma_view_close(view);
    soma_any_u64_free(map);
}

/* Arguments that the lock-free map takes, and that it refuses. */
static void many_arguments(const void *arg)
{
    (void)arg;
    for (int b = 0; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], NULL);
        const uint64_t keys[2] = {1, 2};
        uint64_t values[2] = {7, 7};
        bool found[2] = {false, false};
        soma_any_u64_put(map, 1, 5, NULL);
        const uint64_t before = complaints();
        EXPECT_EQ(soma_any_u64_get_many(map, NULL, 0, values, found), 0);
        EXPECT_EQ(complaints(), before);
        EXPECT_EQ(soma_any_u64_get_many(map, keys, SIZE_MAX, NULL, NULL), 0);
        EXPECT_EQ(soma_any_u64_get_many(map, NULL, 2, values, found), 0);
        EXPECT(values[0] == 7 && !found[0]);
        EXPECT_EQ(soma_any_u64_get_many(map, keys, 2, values, found), 1);
        EXPECT(values[0] == 5 && found[0] && !found[1]);
        soma_any_u64_free(map);
        verified(4);
    }
}

/* ---- Readers ---- */

static int retired;

static void on_retire(const void *value, size_t len, void *ctx)
{
    (void)value, (void)ctx;
    retired += len == 3;
}

static void borrowed(const void *arg)
{
    (void)arg;
    for (int b = 0; b < BACKENDS; b++) {
        const struct soma_map_options options = {.value_retire = on_retire};
        soma_any_map *map = bytes_new(backends[b], &options);
        retired = 0;
        soma_any_map_put(map, "k", 1, "one", 3, NULL);
        struct soma_bytes ref;
        struct soma_bytes old;
        struct soma_bytes gone;
        soma_read_enter();
        EXPECT_EQ(soma_any_map_get_ref(map, "k", 1, &ref), SOMA_OK);
        EXPECT_EQ(soma_any_map_put(map, "k", 1, "two", 3, &old), SOMA_REPLACED);
        EXPECT_EQ(soma_any_map_remove(map, "k", 1, &gone), SOMA_REMOVED);
        EXPECT_EQ(soma_any_map_clear(map), SOMA_OK);
        EXPECT(memcmp(ref.data, "one", 3) == 0 && memcmp(old.data, "one", 3) == 0 && memcmp(gone.data, "two", 3) == 0);
        EXPECT_EQ((uintptr_t)ref.data % 8, 0);
        EXPECT_EQ(retired, 0); /* this section could still use what the values hold */
        soma_read_exit();
        soma_barrier_wait();
        EXPECT_EQ(retired, 2);
        soma_any_map_put(map, "k", 1, "end", 3, NULL);
        soma_any_map_free(map);
        soma_barrier_wait();
        EXPECT_EQ(retired, 3);
        verified(6);
    }
}

/* A callback that uses its own map, which would stand still if it ran under the lock. */
static enum soma_status look_around(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    uint64_t other = 0;
    (void)present;
    for (uint64_t i = 0; i < 100; i++)
        EXPECT_EQ(soma_any_u64_get(ctx, key + i, &other), i == 0 ? SOMA_OK : SOMA_ABSENT);
    *value += 1;
    return SOMA_OK;
}

static void look_on(uint64_t key, uint64_t value, void *ctx)
{
    (void)look_around(key, true, &value, ctx);
}

static enum soma_status look_and_take(uint64_t key, uint64_t value, void *ctx)
{
    look_on(key, value, ctx);
    return SOMA_REMOVED;
}

static void callbacks(const void *arg)
{
    (void)arg;
    for (int b = 0; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], NULL);
        soma_any_u64_put(map, 1, 1, NULL);
        watchdog(20);
        EXPECT_EQ(soma_any_u64_update(map, 1, look_around, map), SOMA_REPLACED);
        EXPECT_EQ(soma_any_u64_get_with(map, 1, look_on, map), SOMA_OK);
        uint64_t value = 0;
        EXPECT(soma_any_u64_get(map, 1, &value) == SOMA_OK && value == 2);
        uint64_t place = 0;
        EXPECT_EQ(soma_any_u64_take(map, &place, 2, look_and_take, map, NULL, NULL, NULL), SOMA_END);
        EXPECT_EQ(soma_any_u64_get(map, 1, &value), SOMA_ABSENT);
        watchdog(0);
        verified(1);
        soma_any_u64_free(map);
    }
}

/* ---- Functions for values that have left, which use their map ---- */

#define LEAVING UINT64_C(2000)

static struct {
    soma_any_u64 *words;
    soma_any_map *bytes;
    uint64_t calls;
    uint64_t found; /* keys that were there still */
} left_by;

static void left_by_new(enum soma_backend backend, void (*word_goes)(uint64_t, void *),
                        void (*bytes_go)(const void *, size_t, void *))
{
    left_by.words = words_new(backend, &(const struct soma_u64_options){.value_retire = word_goes});
    left_by.bytes = bytes_new(backend, &(const struct soma_map_options){.value_retire = bytes_go});
}

static void look_left_word(uint64_t value, void *ctx)
{
    (void)ctx;
    left_by.calls++;
    left_by.found += soma_any_u64_get(left_by.words, value, NULL) == SOMA_OK;
}

static void look_left_bytes(const void *value, size_t len, void *ctx)
{
    (void)ctx;
    left_by.calls++;
    left_by.found += soma_any_map_get_copy(left_by.bytes, value, len, NULL, 0, NULL) == SOMA_OK;
}

/* While a cursor's copy is made, every mutex of the map is held; what others have retired waits until then. */
static void cursor_retires(const void *arg)
{
    (void)arg;
    for (int b = 1; b < BACKENDS; b++) {
        left_by_new(backends[b], look_left_word, look_left_bytes);
        left_by.calls = 0;
        watchdog(20);
        for (int kind = 0; kind < 2; kind++) {
            struct stalled stalled;
            stalled_start(&stalled);
            for (uint64_t i = 0; i < 2 * LEAVING; i++) {
                const uint64_t key = i % LEAVING;
                const enum soma_status status =
                    kind ? soma_any_map_put(left_by.bytes, &key, sizeof key, &key, sizeof key, NULL)
                         : soma_any_u64_put(left_by.words, key, key, NULL);
                EXPECT_EQ(status, i < LEAVING ? SOMA_INSERTED : SOMA_REPLACED);
            }
            EXPECT_EQ(left_by.calls, (unsigned)kind * LEAVING);
            stalled_stop(&stalled);
            soma_cursor *cursor;
            EXPECT_EQ(kind ? soma_any_cursor_open_map(left_by.bytes, &cursor)
                           : soma_any_cursor_open_u64(left_by.words, &cursor),
                      SOMA_OK);
            soma_cursor_close(cursor);
            /* Words that are put into cells look for what is due: behind the mutexes. */
            EXPECT(kind == 1 || !HAVE_CAS16 || left_by.calls > 0);
            soma_barrier_wait();
            EXPECT_EQ(left_by.calls, (unsigned)(kind + 1) * LEAVING);
        }
        EXPECT_EQ(left_by.found, left_by.calls);
        left_by.found = 0;
        left_by.calls = 0;
        soma_any_u64_free(left_by.words);
        soma_any_map_free(left_by.bytes);
        EXPECT_EQ(left_by.calls, 2 * LEAVING);
        watchdog(0);
        verified(left_by.calls);
    }
}

/* A cursor that has to wait for its own thread is refused before anything is copied. */
static void cursor_inside(const void *arg)
{
    (void)arg;
    for (int b = 1; b < BACKENDS; b++) {
        soma_any_u64 *map = words_new(backends[b], NULL);
        soma_any_map *other = bytes_new(backends[b], NULL);
        soma_cursor *cursor;
        soma_read_enter();
        atomic_store(&left, 0);
        EXPECT_EQ(soma_any_cursor_open_u64(map, &cursor), SOMA_E_INVALID);
        EXPECT_EQ(soma_any_cursor_open_map(other, &cursor), SOMA_E_INVALID);
        atomic_store(&left, -1);
        soma_read_exit();
        soma_any_u64_free(map);
        soma_any_map_free(other);
        verified(2);
    }
}

static void remove_left_word(uint64_t value, void *ctx)
{
    (void)ctx;
    left_by.calls++;
    left_by.found += soma_any_u64_remove(left_by.words, value, NULL) != SOMA_ABSENT;
}

static void remove_left_bytes(const void *value, size_t len, void *ctx)
{
    (void)ctx;
    left_by.calls++;
    left_by.found += soma_any_map_remove(left_by.bytes, value, len, NULL) != SOMA_ABSENT;
}

/* When a map is freed, its values' own keys are gone already, as after any other call. */
static void freed_removes(const void *arg)
{
    (void)arg;
    for (int b = 1; b < BACKENDS; b++) {
        left_by_new(backends[b], remove_left_word, remove_left_bytes);
        for (uint64_t key = 0; key < 100; key++) {
            soma_any_u64_put(left_by.words, key, key, NULL);
            soma_any_map_put(left_by.bytes, &key, sizeof key, &key, sizeof key, NULL);
        }
        left_by.calls = 0;
        left_by.found = 0;
        soma_any_u64_free(left_by.words);
        soma_any_map_free(left_by.bytes);
        EXPECT_EQ(left_by.found, 0);
        EXPECT_EQ(left_by.calls, 200);
        verified(left_by.calls);
    }
}

/* ---- What takes keep ---- */

static uint64_t over_so_far; /* values that were over when the last entry was shown */

static enum soma_status note_word(uint64_t key, uint64_t value, void *ctx)
{
    (void)key, (void)value, (void)ctx;
    over_so_far = left_by.calls;
    return SOMA_REMOVED;
}

static enum soma_status note_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)key, (void)key_len, (void)value, (void)ctx;
    over_so_far = left_by.calls;
    return SOMA_REMOVED;
}

/* What has left does not wait for the end of the call. */
static void takes_let_go(const void *arg)
{
    (void)arg;
    for (int b = 0; b < BACKENDS; b++) {
        left_by_new(backends[b], look_left_word, look_left_bytes);
        for (uint64_t key = 0; key < LEAVING; key++) {
            soma_any_u64_put(left_by.words, key, key, NULL);
            soma_any_map_put(left_by.bytes, &key, sizeof key, &key, sizeof key, NULL);
        }
        uint64_t place = 0;
        size_t taken = 0;
        left_by.calls = 0;
        EXPECT_EQ(soma_any_u64_take(left_by.words, &place, LEAVING + 1, note_word, NULL, NULL, NULL, &taken), SOMA_END);
        EXPECT_EQ(taken, LEAVING);
        EXPECT(over_so_far > 0);
        soma_barrier_wait();
        left_by.calls = 0;
        over_so_far = 0;
        EXPECT_EQ(soma_any_map_take(left_by.bytes, &place, LEAVING + 1, note_bytes, NULL, NULL, NULL, &taken),
                  SOMA_END);
        EXPECT_EQ(taken, LEAVING);
        EXPECT(over_so_far > 0);
        soma_barrier_wait();
        EXPECT_EQ(left_by.calls, LEAVING);
        over_so_far = 0;
        soma_any_u64_free(left_by.words);
        soma_any_map_free(left_by.bytes);
        verified(2);
    }
}

/* ---- Allocations that fail ---- */

static void retire_word(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

#define VERBS 9

static void see_word(uint64_t key, uint64_t value, void *ctx)
{
    (void)key, (void)ctx;
    EXPECT_EQ(value, 7);
}

static void see_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)ctx;
    EXPECT(key && key_len == sizeof(uint64_t) && value.len == 13 && memcmp(value.data, "seven is more", 13) == 0);
}

static enum soma_status pick_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    see_bytes(key, key_len, value, ctx);
    return SOMA_REMOVED;
}

static enum soma_status word_verb(soma_any_u64 *map, unsigned verb, uint64_t key)
{
    switch (verb) {
    case 0:
        return soma_any_u64_put(map, key, 9, NULL);
    case 1:
        return soma_any_u64_put_new(map, key, 9, NULL);
    case 2:
        return soma_any_u64_replace(map, key, 9, NULL);
    case 3:
        return soma_any_u64_cas(map, key, 7, 9, NULL);
    case 4:
        return soma_any_u64_remove(map, key, NULL);
    case 5:
        return soma_any_u64_remove_if(map, key, 7, NULL);
    case 6:
        return soma_any_u64_get_with(map, key, see_word, NULL);
    case 7: {
        uint64_t place = 0;
        return soma_any_u64_take(map, &place, 2, NULL, NULL, NULL, NULL, NULL);
    }
    default:
        return soma_any_u64_fetch_add(map, key, 9, NULL);
    }
}

static enum soma_status byte_verb(soma_any_map *map, unsigned verb, uint64_t key)
{
    static const char value[] = "a value of some twenty bytes";
    struct soma_bytes out;
    switch (verb) {
    case 0:
        return soma_any_map_put(map, &key, sizeof key, value, sizeof value, &out);
    case 1:
        return soma_any_map_put_new(map, &key, sizeof key, value, sizeof value, &out);
    case 2:
        return soma_any_map_replace(map, &key, sizeof key, value, sizeof value, &out);
    case 3:
        return soma_any_map_cas(map, &key, sizeof key, "seven is more", 13, value, sizeof value, &out);
    case 4:
        return soma_any_map_remove(map, &key, sizeof key, &out);
    case 5:
        return soma_any_map_remove_if(map, &key, sizeof key, "seven is more", 13, &out);
    case 6:
        return soma_any_map_get_with(map, &key, sizeof key, see_bytes, NULL);
    case 7: {
        uint64_t place = 0;
        return soma_any_map_take(map, &place, 2, pick_bytes, NULL, &out, NULL, NULL);
    }
    default:
        return soma_any_map_get_ref(map, &key, sizeof key, &out);
    }
}

/* The n-th allocation of each verb fails, for every n, on a key that is there and one that is not. */
static void refused_words(const void *arg)
{
    const enum soma_backend backend = *(const enum soma_backend *)arg;
    const struct soma_u64_options options = {.flags = SOMA_DIGEST, .value_retire = retire_word};
    uint64_t refused = 0;
    for (unsigned verb = 0; verb < VERBS; verb++) {
        for (int n = 0; n < 30; n++) {
            soma_any_u64 *map = words_new(backend, &options);
            soma_any_u64_put(map, 1, 7, NULL);
            const uint64_t key = n % 2 ? 1 : 2;
            struct soma_digest before;
            struct soma_digest after;
            EXPECT_EQ(soma_any_u64_digest(map, &before), SOMA_OK);
            atomic_store(&left, n / 2);
            const enum soma_status status = word_verb(map, verb, key);
            atomic_store(&left, -1);
            EXPECT_EQ(soma_any_u64_digest(map, &after), SOMA_OK);
            EXPECT(status >= 0 || status == SOMA_E_NOMEM);
            if (status < 0) {
                refused++;
                EXPECT(soma_digest_equal(&before, &after));
                EXPECT(word_verb(map, verb, key) >= 0);
            }
            soma_any_u64_free(map);
            soma_barrier_wait();
        }
    }
    EXPECT(refused > 0);
    verified(refused);
    EXPECT(!leaks_found());
}

static void refused_bytes(const void *arg)
{
    const enum soma_backend backend = *(const enum soma_backend *)arg;
    const struct soma_map_options options = {.flags = SOMA_DIGEST, .value_retire = on_retire};
    uint64_t refused = 0;
    for (unsigned verb = 0; verb < VERBS; verb++) {
        for (int n = 0; n < 30; n++) {
            soma_any_map *map = bytes_new(backend, &options);
            uint64_t key = 1;
            soma_any_map_put(map, &key, sizeof key, "seven is more", 13, NULL);
            key = n % 2 ? 1 : 2;
            struct soma_digest before;
            struct soma_digest after;
            EXPECT_EQ(soma_any_map_digest(map, &before), SOMA_OK);
            atomic_store(&left, n / 2);
            const enum soma_status status = byte_verb(map, verb, key);
            atomic_store(&left, -1);
            EXPECT_EQ(soma_any_map_digest(map, &after), SOMA_OK);
            EXPECT(status >= 0 || status == SOMA_E_NOMEM);
            if (status < 0) {
                refused++;
                EXPECT(soma_digest_equal(&before, &after));
                EXPECT(byte_verb(map, verb, key) >= 0);
            }
            soma_any_map_free(map);
            soma_barrier_wait();
        }
    }
    EXPECT(refused > 0);
    verified(refused);
    EXPECT(!leaks_found());
}

/* Making one, growing uthash's buckets, a cursor's copy. */
static void refused_others(const void *arg)
{
    const enum soma_backend backend = *(const enum soma_backend *)arg;
    uint64_t refused = 0;
    for (int n = 0; n < 8; n++) {
        soma_any_u64 *map = NULL;
        atomic_store(&left, n);
        const enum soma_status status = soma_any_u64_new_on(backend, NULL, &map);
        atomic_store(&left, -1);
        EXPECT(status == SOMA_OK || status == SOMA_E_NOMEM);
        refused += status < 0;
        soma_any_u64_free(map);
    }
    EXPECT(refused > 0);
    soma_any_u64 *map = words_new(backend, NULL);
    uint64_t present = 0;
    for (uint64_t key = 0; key < 3000; key++) {
        atomic_store(&left, 1); /* an entry, and nothing more */
        const enum soma_status status = soma_any_u64_put(map, key, key, NULL);
        atomic_store(&left, -1);
        present += status == SOMA_INSERTED;
        refused += status == SOMA_E_NOMEM;
        EXPECT_EQ(soma_any_u64_get(map, key, NULL), status == SOMA_INSERTED ? SOMA_OK : SOMA_ABSENT);
        if (status < 0)
            present += soma_any_u64_put(map, key, key, NULL) == SOMA_INSERTED;
    }
    EXPECT_EQ(present, 3000);
    EXPECT_EQ(soma_any_u64_count_approx(map), 3000);
    for (int n = 0; n < 40; n += 3) {
        soma_cursor *cursor = NULL;
        atomic_store(&left, n);
        const enum soma_status status = soma_any_cursor_open_u64(map, &cursor);
        atomic_store(&left, -1);
        EXPECT(status == SOMA_OK || status == SOMA_E_NOMEM);
        refused += status < 0;
        soma_cursor_close(cursor);
    }
    soma_any_u64_free(map);
    soma_barrier_wait();
    verified(refused);
    EXPECT(!leaks_found());
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"names", names, NULL},
        {"environment", environment, NULL},
        {"digests", digests, NULL},
        {"cursors", cursors, NULL},
        {"refusals", refusals, NULL},
        {"borrowed", borrowed, NULL},
        {"callbacks", callbacks, NULL},
        {"many-arguments", many_arguments, NULL},
        {"cursor-retires", cursor_retires, NULL},
        {"cursor-inside", cursor_inside, NULL},
        {"freed-removes", freed_removes, NULL},
        {"takes-let-go", takes_let_go, NULL},
        {"refused-words-sharded", refused_words, &backends[1]},
        {"refused-words", refused_words, &backends[2]},
        {"refused-bytes-sharded", refused_bytes, &backends[1]},
        {"refused-bytes", refused_bytes, &backends[2]},
        {"refused-others-sharded", refused_others, &backends[1]},
        {"refused-others", refused_others, &backends[2]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
