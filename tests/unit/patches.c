/* SPDX-License-Identifier: ISC */
/* patches.c - bytes that are nearly a patch, with the right checksum; and what becomes of a patch that is disturbed half-way. For
 * that the linker sends the calls by which a patch is made and taken back through the functions below: before any of them an intruder
 * changes keys, or it fails. So each place at which something can come between is tried, with each key, and what is there
 * afterwards is known. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "diff/patch.h"
#include "support.h"

#define KEYS UINT64_C(9)
#define INTRUDED UINT64_C(555)
#define CALLS_MAX 64

/* ---- Disturbance ---- */

static struct {
    bool armed;
    uint64_t calls;
    uint64_t keys[CALLS_MAX]; /* of the calls */
    uint64_t at;              /* before this call, counted from 1, */
    void (*intruder)(void);   /* this runs, or */
    enum soma_status answer;  /* it fails so, if not OK: */
    uint64_t failing;         /* it and the next, so many in all */
} disturbance;

/* OK: the call may go on. */
static enum soma_status disturb(uint64_t key)
{
    if (!disturbance.armed)
        return SOMA_OK;
    if (disturbance.calls < CALLS_MAX)
        disturbance.keys[disturbance.calls] = key;
    const uint64_t number = ++disturbance.calls;
    if (number < disturbance.at || number >= disturbance.at + disturbance.failing)
        return SOMA_OK;
    if (disturbance.intruder)
        disturbance.intruder();
    return disturbance.answer;
}

static atomic_bool memory_refused;

static uint64_t word_of(const void *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return word;
}

#define ENTRY __attribute__((used))
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
enum soma_status __real_soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present);
enum soma_status __real_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                     uint64_t *actual);
enum soma_status __real_soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual);
enum soma_status __real_soma_map_put_new(soma_map *map, const void *key, size_t key_len, const void *value,
                                         size_t value_len, struct soma_bytes *present);
enum soma_status __real_soma_map_cas(soma_map *map, const void *key, size_t key_len, const void *expected,
                                     size_t expected_len, const void *desired, size_t desired_len,
                                     struct soma_bytes *actual);
enum soma_status __real_soma_map_remove_if(soma_map *map, const void *key, size_t key_len, const void *expected,
                                           size_t expected_len, struct soma_bytes *actual);
enum soma_status __wrap_soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present);
enum soma_status __wrap_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                     uint64_t *actual);
enum soma_status __wrap_soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual);
enum soma_status __wrap_soma_map_put_new(soma_map *map, const void *key, size_t key_len, const void *value,
                                         size_t value_len, struct soma_bytes *present);
enum soma_status __wrap_soma_map_cas(soma_map *map, const void *key, size_t key_len, const void *expected,
                                     size_t expected_len, const void *desired, size_t desired_len,
                                     struct soma_bytes *actual);
enum soma_status __wrap_soma_map_remove_if(soma_map *map, const void *key, size_t key_len, const void *expected,
                                           size_t expected_len, struct soma_bytes *actual);

ENTRY void *__wrap_malloc(size_t size)
{
    return atomic_load(&memory_refused) ? NULL : __real_malloc(size);
}

ENTRY enum soma_status __wrap_soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    const enum soma_status status = disturb(key);
    return status != SOMA_OK ? status : __real_soma_u64_put_new(map, key, value, present);
}

ENTRY enum soma_status __wrap_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                           uint64_t *actual)
{
    const enum soma_status status = disturb(key);
    return status != SOMA_OK ? status : __real_soma_u64_cas(map, key, expected, desired, actual);
}

ENTRY enum soma_status __wrap_soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    const enum soma_status status = disturb(key);
    return status != SOMA_OK ? status : __real_soma_u64_remove_if(map, key, expected, actual);
}

ENTRY enum soma_status __wrap_soma_map_put_new(soma_map *map, const void *key, size_t key_len, const void *value,
                                               size_t value_len, struct soma_bytes *present)
{
    const enum soma_status status = disturb(word_of(key));
    return status != SOMA_OK ? status : __real_soma_map_put_new(map, key, key_len, value, value_len, present);
}

ENTRY enum soma_status __wrap_soma_map_cas(soma_map *map, const void *key, size_t key_len, const void *expected,
                                           size_t expected_len, const void *desired, size_t desired_len,
                                           struct soma_bytes *actual)
{
    const enum soma_status status = disturb(word_of(key));
    return status != SOMA_OK
               ? status
               : __real_soma_map_cas(map, key, key_len, expected, expected_len, desired, desired_len, actual);
}

ENTRY enum soma_status __wrap_soma_map_remove_if(soma_map *map, const void *key, size_t key_len, const void *expected,
                                                 size_t expected_len, struct soma_bytes *actual)
{
    const enum soma_status status = disturb(word_of(key));
    return status != SOMA_OK ? status : __real_soma_map_remove_if(map, key, key_len, expected, expected_len, actual);
}

/* ---- A map, and a patch for it ---- */

static struct {
    bool of_words;
    soma_u64 *words;
    soma_map *bytes;
    soma_view *beside; /* or NULL */
    uint64_t first;    /* keys of the intruder */
    uint64_t second;
    bool removes;
} world;

static soma_patch *patches[2]; /* of bytes, of words */

/* 0 is none. So each third is inserted, removed, replaced. */
static uint64_t before(uint64_t key)
{
    return key % 3 == 0 ? 0 : 100 + key;
}

static uint64_t after(uint64_t key)
{
    return key % 3 == 1 ? 0 : 200 + key;
}

/* Byte values have 8, 16 or 24 bytes of the word. */
static void store(uint64_t key, uint64_t value)
{
    const uint64_t text[3] = {value, value, value};
    enum soma_status status;
    if (value == 0)
        status = world.of_words ? soma_u64_remove(world.words, key, NULL)
                                : soma_map_remove(world.bytes, &key, sizeof key, NULL);
    else
        status = world.of_words ? soma_u64_put(world.words, key, value, NULL)
                                : soma_map_put(world.bytes, &key, sizeof key, text, 8 * (1 + value % 3), NULL);
    EXPECT(status >= 0);
}

static uint64_t now_at(uint64_t key)
{
    uint64_t text[3] = {0, 0, 0};
    size_t len = 0;
    if (world.of_words)
        return soma_u64_get(world.words, key, &text[0]) == SOMA_OK ? text[0] : 0;
    if (soma_map_get_copy(world.bytes, &key, sizeof key, text, sizeof text, &len) == SOMA_OK)
        EXPECT_EQ(len, 8 * (1 + text[0] % 3));
    return text[0];
}

static void intrude_at(uint64_t key)
{
    store(key, world.removes && now_at(key) != 0 ? 0 : INTRUDED);
}

static void intrude(void)
{
    intrude_at(world.first);
    if (world.second != world.first)
        intrude_at(world.second);
}

static uint64_t intruded(uint64_t key, uint64_t was)
{
    const bool here = key == world.first || key == world.second;
    return !here ? was : world.removes && was != 0 ? 0 : INTRUDED;
}

static soma_view *look(void)
{
    soma_view *view = NULL;
    EXPECT_EQ(world.of_words ? soma_u64_view_open(world.words, &view) : soma_map_view_open(world.bytes, &view),
              SOMA_OK);
    return view;
}

static void open_world(bool of_words, bool with_view)
{
    memset(&world, 0, sizeof world);
    memset(&disturbance, 0, sizeof disturbance);
    world.of_words = of_words;
    if ((of_words ? soma_u64_new(NULL, &world.words) : soma_map_new(NULL, &world.bytes)) != SOMA_OK)
        abort();
    for (uint64_t key = 0; key < KEYS; key++) {
        if (before(key))
            store(key, before(key));
    }
    if (with_view)
        world.beside = look();
}

static void close_world(void)
{
    soma_view_close(world.beside);
    soma_u64_free(world.words);
    soma_map_free(world.bytes);
    soma_barrier_wait();
}

/* The patch that every world takes. */
static void make_patches(void)
{
    for (int words = 0; words < 2; words++) {
        open_world(words, false);
        soma_view *const from = look();
        for (uint64_t key = 0; key < KEYS; key++)
            store(key, after(key));
        soma_view *const to = look();
        EXPECT_EQ(soma_patch_make(from, to, &patches[words]), SOMA_OK);
        soma_view_close(from);
        soma_view_close(to);
        close_world();
    }
}

static void free_patches(void)
{
    soma_patch_free(patches[0]);
    soma_patch_free(patches[1]);
    EXPECT(!leaks_found());
}

static enum soma_status apply(struct soma_patch_outcome *outcome)
{
    const struct soma_bytes bytes = soma_patch_bytes(patches[world.of_words]);
    disturbance.armed = true;
    const enum soma_status status = world.of_words ? soma_patch_apply_u64_wait(world.words, bytes, outcome)
                                                   : soma_patch_apply_map_wait(world.bytes, bytes, outcome);
    disturbance.armed = false;
    return status;
}

/* The first `made` differences are there, the others are not; but for the intruder's keys, if it has been. */
static void must_have(uint64_t made, bool with_intruder)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        const uint64_t want = key < made ? after(key) : before(key);
        if (with_intruder && (key == world.first || key == world.second))
            EXPECT(now_at(key) == 0 || now_at(key) == INTRUDED);
        else
            EXPECT_EQ(now_at(key), want);
    }
    if (world.beside) {
        soma_view *const now = look();
        for (uint64_t key = 0; world.of_words && key < KEYS; key++) {
            uint64_t value = 0;
            EXPECT_EQ(soma_view_get_u64(world.beside, key, &value), before(key) ? SOMA_OK : SOMA_ABSENT);
            EXPECT_EQ(value, before(key));
        }
        soma_view_close(now);
    }
    verified(KEYS);
}

/* ---- Intruders ---- */

/* Before call `at` of a patch in which two keys, or one, are changed then. */
static void disturbed(bool of_words, bool with_view, bool removes, uint64_t at)
{
    for (uint64_t first = 0; first < KEYS; first++) {
        for (uint64_t second = first; second < KEYS; second++) {
            open_world(of_words, with_view);
            world.first = first;
            world.second = second;
            world.removes = removes;
            disturbance.at = at;
            disturbance.failing = 1;
            disturbance.intruder = intrude;
            struct soma_patch_outcome outcome = {99, 99};
            const enum soma_status status = apply(&outcome);
            const uint64_t made = at - 1; /* then */
            if (second < made) {
                EXPECT_EQ(status, SOMA_OK);
                EXPECT(outcome.number == KEYS && outcome.kept == 0);
                must_have(KEYS, true);
            } else {
                EXPECT_EQ(status, SOMA_CHANGED);
                EXPECT_EQ(outcome.number, first < made ? second : first);
                EXPECT_EQ(outcome.kept, first < made ? 1 : 0);
                must_have(0, true);
            }
            EXPECT_EQ(now_at(first), intruded(first, first < made ? after(first) : before(first)));
            EXPECT_EQ(now_at(second), intruded(second, second < made ? after(second) : before(second)));
            close_world();
        }
    }
}

/* What does not fit is seen before anything is changed. */
static void misfits(bool of_words)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        open_world(of_words, false);
        world.first = world.second = key;
        intrude();
        struct soma_patch_outcome outcome = {99, 99};
        EXPECT_EQ(apply(&outcome), SOMA_CHANGED);
        EXPECT(outcome.number == key && outcome.kept == 0 && disturbance.calls == 0);
        must_have(0, true);
        close_world();
    }
}

static void intruders(const void *arg)
{
    const bool of_words = *(const int *)arg == 0;
    make_patches();
    for (uint64_t at = 1; at <= KEYS; at++) {
        for (int how = 0; how < 4; how++)
            disturbed(of_words, how & 1, how & 2, at);
    }
    misfits(of_words);
    free_patches();
}

/* ---- No memory for taking back ---- */

#define MANY UINT64_C(3000)

static void refuse_memory(void)
{
    intrude();
    atomic_store(&memory_refused, true);
}

/* Of many keys, the last is changed before its turn, and there is no memory from then on: all that is needed to take the others
 * back has been put aside. */
static void last_of_many(bool of_words, bool with_view)
{
    soma_patch *patch = NULL;
    struct soma_patch_outcome outcome = {99, 99};
    open_world(of_words, false);
    for (uint64_t key = 0; key < MANY; key++)
        store(key, before(key));
    soma_view *const from = look();
    for (uint64_t key = 0; key < MANY; key++)
        store(key, after(key));
    soma_view *const to = look();
    EXPECT_EQ(soma_patch_make(from, to, &patch), SOMA_OK);
    for (uint64_t key = 0; key < MANY; key++)
        store(key, before(key));
    soma_view_close(from);
    soma_view_close(to);
    world.beside = with_view ? look() : NULL;
    world.first = world.second = of_words ? MANY - 1 : UINT64_C(2815); /* in the order of their bytes */
    disturbance.at = MANY;
    disturbance.failing = 1;
    disturbance.intruder = refuse_memory;
    disturbance.armed = true;
    const struct soma_bytes bytes = soma_patch_bytes(patch);
    const enum soma_status status = of_words ? soma_patch_apply_u64_wait(world.words, bytes, &outcome)
                                             : soma_patch_apply_map_wait(world.bytes, bytes, &outcome);
    disturbance.armed = false;
    atomic_store(&memory_refused, false);
    EXPECT_EQ(status, SOMA_CHANGED);
    EXPECT_EQ(outcome.number, MANY - 1);
    EXPECT_EQ(outcome.kept, 0);
    for (uint64_t key = 0; key < MANY; key++)
        EXPECT_EQ(now_at(key), key == world.first ? INTRUDED : before(key));
    soma_patch_free(patch);
    close_world();
    verified(MANY);
}

static void without_memory(const void *arg)
{
    const bool of_words = *(const int *)arg == 0;
    last_of_many(of_words, false);
    last_of_many(of_words, true);
    EXPECT(!leaks_found());
}

/* ---- Failures ---- */

/* Call `at` and the next fail, so many; then all goes well. They are tried again, but for the first, which ends the patch. */
static void failed(bool of_words, enum soma_status answer, uint64_t at, uint64_t failing)
{
    open_world(of_words, at % 2);
    disturbance.at = at;
    disturbance.answer = answer;
    disturbance.failing = failing;
    struct soma_patch_outcome outcome = {99, 99};
    EXPECT_EQ(apply(&outcome), answer);
    EXPECT_EQ(outcome.number, at - 1);
    EXPECT_EQ(outcome.kept, 0);
    must_have(0, false);
    EXPECT_EQ(disturbance.calls, at == 1 ? 1 : at + failing - 1 + at - 1);
    for (uint64_t i = 0; i < at; i++)
        EXPECT_EQ(disturbance.keys[i], i);
    for (uint64_t i = 0; i + 1 < at; i++) /* from the last back to the first */
        EXPECT_EQ(disturbance.keys[disturbance.calls - 1 - i], i);
    close_world();
}

/* Memory that does not come back any more: what has been made stays, and is told of. */
static void failed_for_good(bool of_words, uint64_t at)
{
    open_world(of_words, false);
    disturbance.at = at;
    disturbance.answer = SOMA_E_NOMEM;
    disturbance.failing = 1000000;
    struct soma_patch_outcome outcome = {99, 99};
    EXPECT_EQ(apply(&outcome), SOMA_E_NOMEM);
    EXPECT_EQ(outcome.number, at - 1);
    EXPECT_EQ(outcome.kept, at - 1);
    must_have(at - 1, false);
    close_world();
}

static void failures_of_calls(const void *arg)
{
    const bool of_words = *(const int *)arg == 0;
    make_patches();
    for (uint64_t at = 1; at <= KEYS; at++) {
        for (uint64_t failing = 1; failing <= 10; failing += 3) {
            failed(of_words, SOMA_E_NOMEM, at, failing);
            failed(of_words, SOMA_E_LIMIT, at, failing);
        }
    }
    failed_for_good(of_words, 1);
    failed_for_good(of_words, 4);
    free_patches();
}

/* ---- Bytes ---- */

#define HEADER 48
#define CHECKSUM 8
#define BODY_MAX 40

/* A patch of these differences, good or not; the checksum is right. */
struct made_up {
    bool good;
    unsigned char kind;
    unsigned char count[3];
    const char *body;
    size_t len;
    int more; /* bytes that the size in the header has more than there are */
};

#define BODY(text) text, sizeof text - 1

static const struct made_up made_up[] = {
    /* words */
    {true, 1, {0, 0, 0}, BODY(""), 0},
    {true, 1, {1, 0, 0}, BODY("\1\5\7"), 0},
    {true, 1, {1, 1, 1}, BODY("\3\5\7\2\0\0\1\1\4\0"), 0},
    {true, 1, {2, 0, 0}, BODY("\1\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0\1\0\0"), 0},
    {false, 1, {1, 0, 0}, BODY("\1\5\7"), 1},
    {false, 1, {1, 0, 0}, BODY("\1\5\7"), -1},
    {false, 0, {1, 0, 0}, BODY("\1\1a\0"), 0},
    {false, 3, {1, 0, 0}, BODY("\1\1a\0"), 0},
    {false, 1, {0, 1, 0}, BODY("\1\5\7"), 0},
    {false, 1, {2, 0, 0}, BODY("\1\5\7"), 0},
    {false, 1, {0, 0, 0}, BODY("\1\5\7"), 0},
    {false, 1, {1, 0, 0}, BODY(""), 0},
    {false, 1, {0, 0, 0}, BODY("\0\5\7\10"), 0},
    {false, 1, {0, 0, 0}, BODY("\4\5\7\10"), 0},
    {false, 1, {1, 0, 0}, BODY("\1\5"), 0},
    {false, 1, {1, 0, 0}, BODY("\1\5\7\0"), 0},
    {false, 1, {1, 0, 0}, BODY("\1\x85\0\7"), 0},
    {false, 1, {0, 1, 0}, BODY("\2\5\7\7"), 0},
    {false, 1, {2, 0, 0}, BODY("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0\1\0\0"), 0},
    {false, 1, {2, 0, 0}, BODY("\1\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0\1\1\0"), 0},
    /* byte strings */
    {true, 2, {1, 0, 0}, BODY("\1\1a\0"), 0},
    {true, 2, {1, 0, 1}, BODY("\1\0\0\3\1a\1x"), 0},
    {true, 2, {2, 0, 0}, BODY("\1\1a\0\1\2ab\0"), 0},
    {true, 2, {0, 1, 0}, BODY("\2\1a\1x\2xy"), 0},
    {false, 2, {2, 0, 0}, BODY("\1\1a\0\1\1a\0"), 0},
    {false, 2, {2, 0, 0}, BODY("\1\1b\0\1\1a\0"), 0},
    {false, 2, {2, 0, 0}, BODY("\1\2ab\0\1\1a\0"), 0},
    {false, 2, {0, 1, 0}, BODY("\2\1a\1x\1x"), 0},
    {false, 2, {1, 0, 0}, BODY("\1\5a\0"), 0},
    {false, 2, {1, 0, 0}, BODY("\1\1a\1"), 0},
    {false, 2, {1, 0, 0}, BODY("\1\xff\xff\xff\xff\7\0"), 0},
    {false, 2, {1, 0, 0}, BODY("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0"), 0},
};

static void put_checksum(unsigned char *bytes, size_t len)
{
    const uint64_t checksum = soma__patch_checksum(bytes, len);
    for (size_t i = 0; i < CHECKSUM; i++)
        bytes[len - CHECKSUM + i] = (unsigned char)(checksum >> 8 * i);
}

/* In memory of its very size. */
static unsigned char *write_made_up(const struct made_up *made, size_t *len)
{
    *len = HEADER + made->len + CHECKSUM;
    unsigned char *bytes = need(1, *len);
    memcpy(bytes, "somaptch\1\0\0", 12);
    bytes[12] = made->kind;
    bytes[16] = (unsigned char)(*len + (size_t)made->more);
    for (int i = 0; i < 3; i++)
        bytes[24 + 8 * i] = made->count[i];
    memcpy(bytes + HEADER, made->body, made->len);
    put_checksum(bytes, *len);
    return bytes;
}

static void bytes(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        size_t len;
        unsigned char *const bytes = write_made_up(&made_up[i], &len);
        const enum soma_status status = soma_patch_check((struct soma_bytes){bytes, len}, NULL);
        if (!EXPECT_EQ(status, made_up[i].good ? SOMA_OK : SOMA_E_CORRUPT))
            printf("# the one of number %zu\n", i);
        bytes[8] = 2;
        EXPECT_EQ(soma_patch_check((struct soma_bytes){bytes, len}, NULL), SOMA_E_UNSUPPORTED);
        bytes[8] = 1;
        bytes[3] = 'b';
        put_checksum(bytes, len);
        EXPECT_EQ(soma_patch_check((struct soma_bytes){bytes, len}, NULL), SOMA_E_CORRUPT);
        free(bytes);
        verified(1);
    }
}

/* ---- A seeded bug ---- */

/* An intruder who comes unseen: the checks must not hold. */
static void canary(const void *arg)
{
    struct soma_patch_outcome outcome = {99, 99};
    make_patches();
    open_world(*(const int *)arg == 0, false);
    EXPECT_EQ(apply(&outcome), SOMA_OK);
    intrude_at(4);
    canary_begin();
    must_have(KEYS, false);
    EXPECT_EQ(canary_end(), 1);
    close_world();
    free_patches();
    verified(1);
}

int main(int argc, char **argv)
{
    static const int of_words = 0;
    static const int of_bytes = 1;
    const struct test_case cases[] = {
        {"bytes", bytes, NULL},
        {"intruders-u64", intruders, &of_words},
        {"intruders-map", intruders, &of_bytes},
        {"without-memory-u64", without_memory, &of_words},
        {"without-memory-map", without_memory, &of_bytes},
        {"failures-u64", failures_of_calls, &of_words},
        {"failures-map", failures_of_calls, &of_bytes},
        {"canary-u64", canary, &of_words},
        {"canary-map", canary, &of_bytes},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
