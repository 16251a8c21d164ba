/* SPDX-License-Identifier: ISC */
/* map.c - the byte map, call by call: every status of every function, and what it leaves behind. SOMA_E_NOMEM is
 * reached in fault/, SOMA_E_LIMIT in limit.c. */
#include <limits.h>
#include <pthread.h>
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#define BIG ((size_t)1 << 20)
#define TOO_LONG ((size_t)SOMA_LEN_MAX + 1)

static const char untouched[] = "untouched";

static soma_map *fresh(void)
{
    soma_map *map = NULL;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    cr_assert_not_null(map);
    return map;
}

static struct soma_bytes text(const char *string)
{
    return (struct soma_bytes){string, strlen(string)};
}

static bool same(struct soma_bytes a, struct soma_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static enum soma_status put(soma_map *map, const char *key, const char *value, struct soma_bytes *old)
{
    return soma_map_put(map, key, strlen(key), value, strlen(value), old);
}

static void expect_bytes(const soma_map *map, struct soma_bytes key, struct soma_bytes want)
{
    struct soma_bytes got = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_get_ref(map, key.data, key.len, &got), SOMA_OK);
    cr_assert(same(got, want));
    cr_assert_eq((uintptr_t)got.data % 8, 0, "aligned to 8");
    soma_read_exit();
}

static void expect_text(const soma_map *map, const char *key, const char *want)
{
    expect_bytes(map, text(key), text(want));
}

/* ---- new, free ---- */

static enum soma_status new_with(const struct soma_map_options *options)
{
    soma_map *map = NULL;
    const enum soma_status status = soma_map_new(options, &map);
    cr_assert_eq(status == SOMA_OK, map != NULL, "written on SOMA_OK only");
    if (status == SOMA_OK) {
        cr_assert_eq(put(map, "key", "value", NULL), SOMA_INSERTED);
        expect_text(map, "key", "value");
    }
    soma_map_free(map);
    return status;
}

Test(map_new, takes_defaults)
{
    cr_assert_eq(new_with(NULL), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){0}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){.struct_size = sizeof(struct soma_map_options)}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){.seed = {1, 2}}), SOMA_OK);
}

Test(map_new, refuses_unknown_sizes)
{
    const size_t full = sizeof(struct soma_map_options);
    const size_t wrong[] = {1, 8, full - 8, full - 1, full + 1, full + 8, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(new_with(&(struct soma_map_options){.struct_size = wrong[i]}), SOMA_E_INVALID);
}

Test(map_new, knows_its_flags)
{
    cr_assert_eq(new_with(&(struct soma_map_options){.flags = SOMA_WAIT_AT_LIMIT}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){.flags = SOMA_DIGEST}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){.flags = SOMA_HUGE_PAGES}), SOMA_OK);
    for (unsigned bit = 5; bit < 32; bit++)
        cr_assert_eq(new_with(&(struct soma_map_options){.flags = 1u << bit}), SOMA_E_INVALID);
    cr_assert_eq(new_with(&(struct soma_map_options){.flags = 1u << 31 | SOMA_DIGEST_STRONG}), SOMA_E_INVALID);
}

Test(map_new, knows_what_load_makes_sense)
{
    const unsigned good[] = {25, SOMA_MAP_LOAD_DEFAULT, 1000};
    const unsigned bad[] = {1, 24, 1001, UINT_MAX};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(new_with(&(struct soma_map_options){.load_percent = good[i]}), SOMA_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(new_with(&(struct soma_map_options){.load_percent = bad[i]}), SOMA_E_INVALID);
}

Test(map_new, reserves)
{
    cr_assert_eq(new_with(&(struct soma_map_options){.reserve = 1000000}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_map_options){.reserve = UINT64_MAX}), SOMA_E_NOMEM);
}

Test(map_new, refuses_no_out)
{
    cr_assert_eq(soma_map_new(NULL, NULL), SOMA_E_INVALID);
}

Test(map_free, takes_null)
{
    soma_map_free(NULL);
}

/* ---- Arguments that make no sense ---- */

static enum soma_status answer_ok(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len, (void)present, (void)value, (void)ctx;
    return SOMA_OK;
}

/* Every verb with this map and key, which must be refused. */
static void not_called(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)key, (void)key_len, (void)value, (void)ctx;
    cr_assert_fail("the call was refused");
}

static void refuse_key(soma_map *map, const void *key, size_t len)
{
    struct soma_bytes out = text(untouched);
    uint64_t word = 77;
    char buf[4] = "abc";
    cr_assert_eq(soma_map_get_copy(map, key, len, buf, sizeof buf, &out.len), SOMA_E_INVALID);
    cr_assert_eq(soma_map_get_ref(map, key, len, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_get_with(map, key, len, not_called, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_put(map, key, len, "v", 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_put_new(map, key, len, "v", 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_replace(map, key, len, "v", 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas(map, key, len, "v", 1, "w", 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_remove(map, key, len, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_remove_if(map, key, len, "v", 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_fetch_add(map, key, len, 1, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_map_update(map, key, len, answer_ok, NULL), SOMA_E_INVALID);
    cr_assert(same(out, text(untouched)));
    cr_assert_eq(word, 77);
    cr_assert_str_eq(buf, "abc");
}

static void refuse_many(soma_map *map, struct soma_bytes key, struct soma_bytes value)
{
    const struct soma_bytes keys[2] = {text("good"), key};
    const struct soma_bytes values[2] = {text("good"), value};
    size_t done = 77;
    cr_assert_eq(soma_map_put_many(map, keys, values, 2, &done), SOMA_E_INVALID);
    cr_assert_eq(done, 77);
}

Test(map_invalid, null_map)
{
    const struct soma_bytes one = text("one");
    refuse_key(NULL, "key", 3);
    refuse_many(NULL, one, one);
    cr_assert_eq(soma_map_get_many(NULL, &one, 1, NULL, NULL), 0);
    cr_assert_eq(soma_map_put_many(NULL, NULL, NULL, 0, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_clear(NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_count_approx(NULL), 0);
    cr_assert_eq(soma_map_reserve(NULL, 1), SOMA_E_INVALID);
    cr_assert_eq(soma_map_shrink(NULL), SOMA_E_INVALID);
}

Test(map_invalid, keys)
{
    soma_map *map = fresh();
    const struct soma_bytes bad[2] = {{NULL, 1}, {"x", TOO_LONG}};
    for (int i = 0; i < 2; i++) {
        refuse_key(map, bad[i].data, bad[i].len);
        refuse_many(map, bad[i], text("good"));
        bool found[2] = {true, true};
        const struct soma_bytes keys[2] = {text("good"), bad[i]};
        cr_assert_eq(soma_map_get_many(map, keys, 2, NULL, found), 0);
    }
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

static void refuse_value(soma_map *map, struct soma_bytes bad)
{
    cr_assert_eq(soma_map_put(map, "key", 3, bad.data, bad.len, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_put_new(map, "key", 3, bad.data, bad.len, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_put_new(map, "new", 3, bad.data, bad.len, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_replace(map, "key", 3, bad.data, bad.len, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas(map, "key", 3, "value", 5, bad.data, bad.len, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas(map, "key", 3, bad.data, bad.len, "value", 5, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_remove_if(map, "key", 3, bad.data, bad.len, NULL), SOMA_E_INVALID);
    refuse_many(map, text("key"), bad);
}

Test(map_invalid, values)
{
    soma_map *map = fresh();
    char buf[4];
    cr_assert_eq(put(map, "key", "value", NULL), SOMA_INSERTED);
    refuse_value(map, (struct soma_bytes){NULL, 1});
    refuse_value(map, (struct soma_bytes){"x", TOO_LONG});
    cr_assert_eq(soma_map_get_copy(map, "key", 3, NULL, sizeof buf, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_update(map, "key", 3, NULL, NULL), SOMA_E_INVALID);
    expect_text(map, "key", "value");
    cr_assert_eq(soma_map_count_approx(map), 1);
    soma_map_free(map);
}

Test(map_invalid, null_arrays)
{
    soma_map *map = fresh();
    const struct soma_bytes one = text("one");
    size_t done = 77;
    cr_assert_eq(soma_map_put_many(map, NULL, &one, 1, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_map_put_many(map, &one, NULL, 1, &done), SOMA_E_INVALID);
    cr_assert_eq(done, 77);
    cr_assert_eq(soma_map_get_many(map, NULL, 1, NULL, NULL), 0);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

/* ---- Reading ---- */

Test(map_get_copy, cuts_and_tells)
{
    soma_map *map = fresh();
    char buf[8] = "1234567";
    size_t len = 77;
    cr_assert_eq(soma_map_get_copy(map, "k", 1, buf, sizeof buf, &len), SOMA_ABSENT);
    cr_assert_eq(len, 77);
    cr_assert_str_eq(buf, "1234567");
    cr_assert_eq(put(map, "k", "abcdef", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_get_copy(map, "k", 1, buf, 3, &len), SOMA_OK);
    cr_assert_eq(len, 6);
    cr_assert_str_eq(buf, "abc4567");
    cr_assert_eq(soma_map_get_copy(map, "k", 1, buf, sizeof buf, &len), SOMA_OK);
    cr_assert_str_eq(buf, "abcdef7", "not a byte past the value");
    len = 77;
    cr_assert_eq(soma_map_get_copy(map, "k", 1, NULL, 0, &len), SOMA_OK);
    cr_assert_eq(len, 6);
    cr_assert_eq(soma_map_get_copy(map, "k", 1, NULL, 0, NULL), SOMA_OK);
    soma_map_free(map);
}

Test(map_get_ref, borrows_for_the_section)
{
    soma_map *map = fresh();
    struct soma_bytes value = text(untouched);
    cr_assert_eq(soma_map_get_ref(map, "k", 1, &value), SOMA_ABSENT);
    cr_assert(same(value, text(untouched)));
    cr_assert_eq(put(map, "k", "before", NULL), SOMA_INSERTED);
    soma_read_enter();
    cr_assert_eq(soma_map_get_ref(map, "k", 1, &value), SOMA_OK);
    cr_assert_eq(put(map, "k", "after", NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
    for (int i = 0; i < 2000; i++)
        cr_assert_geq(put(map, "other", "churn", NULL), 0);
    cr_assert(same(value, text("before")), "whole, though it left the map");
    soma_read_exit();
    cr_assert_eq(soma_map_get_ref(map, "other", 5, NULL), SOMA_OK);
    cr_assert_eq(soma_map_get_ref(map, "other", 5, &value), SOMA_OK);
    cr_assert_eq(value.len, 5, "usable outside a section");
    soma_map_free(map);
}

/* ---- Keys and values of all lengths ---- */

struct witness {
    const soma_map *map;
    char value[16];
    size_t len;
    int runs;
};

static void witness(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct witness *seen = ctx;
    seen->runs++;
    seen->len = value.len;
    cr_assert_leq(value.len, sizeof seen->value);
    cr_assert_eq((uintptr_t)value.data % 8, 0);
    if (value.len > 0)
        memcpy(seen->value, value.data, value.len);
    cr_assert_eq(soma_map_get_ref(seen->map, key, key_len, NULL), SOMA_OK, "may look things up");
    soma_barrier_wait(); /* returns at once, since this is inside a read section */
}

static void expect_witness(soma_map *map, const char *value)
{
    struct witness seen = {.map = map};
    cr_assert_eq(soma_map_get_with(map, "k", 1, witness, &seen), SOMA_ABSENT);
    cr_assert_eq(seen.runs, 0, "nothing to be shown");
    cr_assert_eq(put(map, "k", value, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_get_with(map, "k", 1, witness, &seen), SOMA_OK);
    cr_assert(seen.runs == 1 && same((struct soma_bytes){seen.value, seen.len}, text(value)));
    cr_assert_eq(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
}

Test(map_get_with, shows_what_is_there_once)
{
    soma_map *map = fresh();
    expect_witness(map, "");
    expect_witness(map, "value");
    expect_witness(map, "a word's"); /* 8 bytes */
    expect_witness(map, "longer than that");
    cr_assert_eq(soma_map_get_with(map, "k", 1, NULL, NULL), SOMA_E_INVALID);
    soma_map_free(map);
}

/* A word is shown as it was found, whatever becomes of it meanwhile. */
static void *add_one(void *map)
{
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    return NULL;
}

static void sees_a_copy(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    const uint64_t before = 5;
    pthread_t thread;
    (void)key, (void)key_len;
    cr_assert_eq(pthread_create(&thread, NULL, add_one, ctx), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(same(value, (struct soma_bytes){&before, sizeof before}));
}

Test(map_get_with, shows_words_as_they_were)
{
    soma_map *map = fresh();
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 5, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_get_with(map, "n", 1, sees_a_copy, map), SOMA_OK);
    uint64_t sum = 0;
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 0, &sum), SOMA_REPLACED);
    cr_assert_eq(sum, 6);
    soma_map_free(map);
}

Test(map_bytes, empty_ones_are_like_others)
{
    soma_map *map = fresh();
    struct soma_bytes old = text(untouched);
    cr_assert_eq(soma_map_put(map, NULL, 0, NULL, 0, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_put(map, "x", 0, "y", 0, &old), SOMA_REPLACED);
    cr_assert_eq(old.len, 0);
    expect_bytes(map, text(""), text(""));
    cr_assert_eq(soma_map_cas(map, NULL, 0, NULL, 0, "full", 4, NULL), SOMA_REPLACED);
    expect_bytes(map, text(""), text("full"));
    cr_assert_eq(soma_map_cas(map, NULL, 0, NULL, 0, "more", 4, NULL), SOMA_CHANGED);
    cr_assert_eq(put(map, "", "", NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_remove_if(map, "", 0, NULL, 0, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

Test(map_bytes, every_length_to_300)
{
    soma_map *map = fresh();
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t len = 0; len <= sizeof bytes; len++)
        cr_assert_eq(soma_map_put(map, bytes, len, bytes, sizeof bytes - len, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_count_approx(map), sizeof bytes + 1);
    for (size_t len = 0; len <= sizeof bytes; len++)
        expect_bytes(map, (struct soma_bytes){bytes, len}, (struct soma_bytes){bytes, sizeof bytes - len});
    soma_map_free(map);
}

Test(map_bytes, one_byte_or_one_bit_makes_a_key)
{
    soma_map *map = fresh();
    unsigned char key[16] = {0};
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof key; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memset(key, 0, sizeof key);
            key[i] = (unsigned char)(1u << bit);
            number++;
            cr_assert_eq(soma_map_put(map, key, sizeof key, &number, sizeof number, NULL), SOMA_INSERTED);
        }
    }
    memset(key, 0, sizeof key);
    for (size_t len = 1; len <= sizeof key; len++)
        cr_assert_eq(soma_map_put(map, key, len, "", 0, NULL), SOMA_INSERTED, "zeros of other lengths");
    cr_assert_eq(soma_map_count_approx(map), 8 * sizeof key + sizeof key);
    soma_map_free(map);
}

Test(map_bytes, a_mebibyte_each)
{
    soma_map *map = fresh();
    unsigned char *big = malloc(BIG);
    cr_assert_not_null(big);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (unsigned char)(i ^ i >> 8);
    cr_assert_eq(soma_map_put(map, big, BIG, big, BIG, NULL), SOMA_INSERTED);
    expect_bytes(map, (struct soma_bytes){big, BIG}, (struct soma_bytes){big, BIG});
    big[BIG - 1] ^= 1;
    cr_assert_eq(soma_map_get_ref(map, big, BIG, NULL), SOMA_ABSENT, "the last byte counts");
    big[BIG - 1] ^= 1;
    cr_assert_eq(soma_map_cas(map, big, BIG, big, BIG, big, BIG - 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_remove_if(map, big, BIG, big, BIG - 1, NULL), SOMA_REMOVED);
    free(big);
    soma_map_free(map);
}

Test(map_bytes, are_copied_in)
{
    soma_map *map = fresh();
    char key[] = "key";
    char value[] = "value";
    cr_assert_eq(soma_map_put(map, key, 3, value, 5, NULL), SOMA_INSERTED);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    expect_text(map, "key", "value");
    soma_map_free(map);
}

/* ---- One key ---- */

Test(map_put, inserts_and_replaces)
{
    soma_map *map = fresh();
    struct soma_bytes old = text(untouched);
    soma_read_enter();
    cr_assert_eq(put(map, "k", "one", &old), SOMA_INSERTED);
    cr_assert(same(old, text(untouched)));
    cr_assert_eq(put(map, "k", "two", &old), SOMA_REPLACED);
    cr_assert(same(old, text("one")));
    cr_assert_eq(put(map, "k", "three", NULL), SOMA_REPLACED);
    soma_read_exit();
    expect_text(map, "k", "three");
    soma_map_free(map);
}

Test(map_put_new, never_replaces)
{
    soma_map *map = fresh();
    struct soma_bytes present = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_put_new(map, "k", 1, "one", 3, &present), SOMA_INSERTED);
    cr_assert(same(present, text(untouched)));
    cr_assert_eq(soma_map_put_new(map, "k", 1, "two", 3, &present), SOMA_EXISTS);
    cr_assert(same(present, text("one")));
    cr_assert_eq(soma_map_put_new(map, "k", 1, "two", 3, NULL), SOMA_EXISTS);
    soma_read_exit();
    expect_text(map, "k", "one");
    soma_map_free(map);
}

Test(map_replace, never_inserts)
{
    soma_map *map = fresh();
    struct soma_bytes old = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_replace(map, "k", 1, "one", 3, &old), SOMA_ABSENT);
    cr_assert(same(old, text(untouched)));
    cr_assert_eq(put(map, "k", "one", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_replace(map, "k", 1, "two", 3, &old), SOMA_REPLACED);
    cr_assert(same(old, text("one")));
    soma_read_exit();
    expect_text(map, "k", "two");
    soma_map_free(map);
}

Test(map_cas, compares_bytes)
{
    soma_map *map = fresh();
    struct soma_bytes actual = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_cas(map, "k", 1, "", 0, "x", 1, &actual), SOMA_ABSENT, "absent is not empty");
    cr_assert(same(actual, text(untouched)));
    cr_assert_eq(put(map, "k", "one", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_cas(map, "k", 1, "on", 2, "two", 3, &actual), SOMA_CHANGED);
    cr_assert(same(actual, text("one")));
    cr_assert_eq(soma_map_cas(map, "k", 1, "onE", 3, "two", 3, NULL), SOMA_CHANGED);
    cr_assert_eq(soma_map_cas(map, "k", 1, "one", 3, "two", 3, &actual), SOMA_REPLACED);
    cr_assert(same(actual, text("one")));
    cr_assert_eq(soma_map_cas(map, "k", 1, "two", 3, "two", 3, NULL), SOMA_REPLACED);
    soma_read_exit();
    expect_text(map, "k", "two");
    soma_map_free(map);
}

Test(map_remove, takes_out)
{
    soma_map *map = fresh();
    struct soma_bytes old = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_remove(map, "k", 1, &old), SOMA_ABSENT);
    cr_assert(same(old, text(untouched)));
    cr_assert_eq(put(map, "k", "one", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_remove(map, "k", 1, &old), SOMA_REMOVED);
    cr_assert(same(old, text("one")));
    cr_assert_eq(soma_map_get_ref(map, "k", 1, NULL), SOMA_ABSENT);
    cr_assert_eq(put(map, "k", "two", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
    soma_read_exit();
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

Test(map_remove_if, compares_bytes)
{
    soma_map *map = fresh();
    struct soma_bytes actual = text(untouched);
    soma_read_enter();
    cr_assert_eq(soma_map_remove_if(map, "k", 1, "", 0, &actual), SOMA_ABSENT);
    cr_assert(same(actual, text(untouched)));
    cr_assert_eq(put(map, "k", "one", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_remove_if(map, "k", 1, "ones", 4, &actual), SOMA_CHANGED);
    cr_assert(same(actual, text("one")));
    actual = text(untouched);
    cr_assert_eq(soma_map_remove_if(map, "k", 1, "one", 3, &actual), SOMA_REMOVED);
    cr_assert(same(actual, text("one")));
    soma_read_exit();
    cr_assert_eq(soma_map_get_ref(map, "k", 1, NULL), SOMA_ABSENT);
    soma_map_free(map);
}

Test(map_fetch_add, adds_to_native_words)
{
    soma_map *map = fresh();
    uint64_t old = 77;
    uint64_t word = 0;
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 5, &old), SOMA_INSERTED);
    cr_assert_eq(old, 0);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, (uint64_t)-6, &old), SOMA_REPLACED);
    cr_assert_eq(old, 5);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 0, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_get_copy(map, "n", 1, &word, sizeof word, NULL), SOMA_OK);
    cr_assert_eq(word, UINT64_MAX);
    word = 40;
    cr_assert_eq(soma_map_put(map, "m", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_fetch_add(map, "m", 1, 2, &old), SOMA_REPLACED);
    cr_assert_eq(old, 40);
    soma_map_free(map);
}

Test(map_fetch_add, refuses_other_lengths)
{
    soma_map *map = fresh();
    uint64_t old = 77;
    const char *const values[] = {"", "1", "1234567", "123456789", "1234567890123456"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cr_assert_geq(put(map, "t", values[i], NULL), 0);
        cr_assert_eq(soma_map_fetch_add(map, "t", 1, 1, &old), SOMA_E_INVALID);
        expect_text(map, "t", values[i]);
    }
    cr_assert_eq(old, 77);
    soma_map_free(map);
}

/* ---- update ---- */

struct script {
    const soma_map *map;
    enum soma_status answer;
    struct soma_bytes store;
    const char *saw; /* what the value must be; NULL: absent */
    int runs;
};

static enum soma_status follow(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    struct script *script = ctx;
    script->runs++;
    cr_assert(key_len == 3 && memcmp(key, "key", 3) == 0);
    cr_assert_eq(present, script->saw != NULL);
    if (present)
        cr_assert(same(*value, text(script->saw)));
    else
        cr_assert(value->data == NULL && value->len == 0);
    cr_assert_eq(soma_map_get_ref(script->map, key, key_len, NULL) == SOMA_OK, present, "may look things up");
    soma_barrier_wait(); /* returns at once, since this is inside a read section */
    *value = script->store;
    return script->answer;
}

static enum soma_status run_script(soma_map *map, enum soma_status answer, const char *saw, struct soma_bytes store)
{
    struct script script = {.map = map, .answer = answer, .store = store, .saw = saw};
    const enum soma_status status = soma_map_update(map, "key", 3, follow, &script);
    cr_assert_geq(script.runs, 1);
    return status;
}

Test(map_update, does_what_it_is_told)
{
    soma_map *map = fresh();
    cr_assert_eq(run_script(map, SOMA_EXISTS, NULL, text("x")), SOMA_ABSENT);
    cr_assert_eq(run_script(map, SOMA_REMOVED, NULL, text("x")), SOMA_ABSENT);
    cr_assert_eq(soma_map_count_approx(map), 0);
    cr_assert_eq(run_script(map, SOMA_OK, NULL, text("one")), SOMA_INSERTED);
    cr_assert_eq(run_script(map, SOMA_EXISTS, "one", text("x")), SOMA_EXISTS);
    expect_text(map, "key", "one");
    cr_assert_eq(run_script(map, SOMA_OK, "one", text("longer than before")), SOMA_REPLACED);
    expect_text(map, "key", "longer than before");
    cr_assert_eq(run_script(map, SOMA_OK, "longer than before", (struct soma_bytes){NULL, 0}), SOMA_REPLACED);
    expect_text(map, "key", "");
    cr_assert_eq(run_script(map, SOMA_REMOVED, "", text("x")), SOMA_REMOVED);
    cr_assert_eq(soma_map_get_ref(map, "key", 3, NULL), SOMA_ABSENT);
    soma_map_free(map);
}

static enum soma_status keep_value(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len, (void)present, (void)value, (void)ctx;
    return SOMA_OK;
}

Test(map_update, may_store_what_it_was_given)
{
    soma_map *map = fresh();
    cr_assert_eq(soma_map_update(map, "key", 3, keep_value, NULL), SOMA_INSERTED);
    expect_text(map, "key", "");
    cr_assert_eq(put(map, "key", "a value", NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_update(map, "key", 3, keep_value, NULL), SOMA_REPLACED);
    expect_text(map, "key", "a value");
    soma_map_free(map);
}

Test(map_update, refuses_other_answers)
{
    soma_map *map = fresh();
    const int answers[] = {SOMA_INSERTED, SOMA_REPLACED, SOMA_ABSENT,    SOMA_CHANGED, SOMA_END,
                           SOMA_E_NOMEM,  SOMA_E_LIMIT,  SOMA_E_INVALID, 42,           -42};
    cr_assert_eq(put(map, "key", "one", NULL), SOMA_INSERTED);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        cr_assert_eq(run_script(map, (enum soma_status)answers[i], "one", text("x")), SOMA_E_INVALID);
    cr_assert_eq(run_script(map, SOMA_OK, "one", (struct soma_bytes){NULL, 3}), SOMA_E_INVALID);
    cr_assert_eq(run_script(map, SOMA_OK, "one", (struct soma_bytes){"x", TOO_LONG}), SOMA_E_INVALID);
    expect_text(map, "key", "one");
    cr_assert_eq(soma_map_remove(map, "key", 3, NULL), SOMA_REMOVED);
    cr_assert_eq(run_script(map, SOMA_OK, NULL, (struct soma_bytes){NULL, 3}), SOMA_E_INVALID);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

/* ---- take ---- */

struct picker {
    soma_map *map;
    int asked;
    int stop_after; /* if not 0 */
    unsigned last;
    enum soma_status odd; /* the answer for odd keys */
};

static enum soma_status pick(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct picker *picker = ctx;
    struct soma_bytes looked_up;
    cr_assert_eq(key_len, sizeof picker->last);
    memcpy(&picker->last, key, key_len);
    if (picker->stop_after && picker->asked == picker->stop_after)
        return SOMA_END;
    picker->asked++;
    cr_assert_eq((uintptr_t)value.data % 8, 0);
    soma_read_enter();
    cr_assert_eq(soma_map_get_ref(picker->map, key, key_len, &looked_up), SOMA_OK, "may look things up");
    cr_assert(same(looked_up, value));
    soma_read_exit();
    return picker->last % 2 ? picker->odd : SOMA_REMOVED;
}

static soma_map *filled(unsigned n)
{
    soma_map *map = fresh();
    for (unsigned key = 0; key < n; key++)
        cr_assert_eq(soma_map_put(map, &key, sizeof key, "some value", key % 11, NULL), SOMA_INSERTED);
    return map;
}

static unsigned number_of(struct soma_bytes key)
{
    unsigned number = 0;
    cr_assert_eq(key.len, sizeof number);
    memcpy(&number, key.data, sizeof number);
    return number;
}

Test(map_take, takes_each_once)
{
    const size_t sizes[] = {1, 7, 100, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        soma_map *map = filled(1000);
        static struct soma_bytes keys[5000];
        static struct soma_bytes values[5000];
        uint64_t place = 0;
        uint64_t sum = 0;
        size_t total = 0;
        size_t taken = 0;
        enum soma_status status;
        soma_read_enter();
        do {
            status = soma_map_take(map, &place, sizes[s], NULL, NULL, keys, values, &taken);
            cr_assert(status == SOMA_END ? place == 0 : status == SOMA_OK && taken == sizes[s]);
            total += taken;
            for (size_t i = 0; i < taken; i++) {
                const unsigned key = number_of(keys[i]);
                cr_assert(key < 1000 && same(values[i], (struct soma_bytes){"some value", key % 11}));
                cr_assert_eq(soma_map_get_ref(map, &key, sizeof key, NULL), SOMA_ABSENT);
                sum += key;
            }
            cr_assert_eq(soma_map_count_approx(map), 1000 - total);
        } while (status == SOMA_OK);
        soma_read_exit();
        cr_assert(total == 1000 && sum == 999 * 1000 / 2);
        soma_map_free(map);
    }
}

Test(map_take, does_as_it_is_told)
{
    soma_map *map = filled(1000);
    struct picker picker = {.map = map, .odd = SOMA_EXISTS, .stop_after = 10};
    uint64_t place = 0;
    size_t taken = 99;
    cr_assert_eq(soma_map_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_OK);
    cr_assert(picker.asked == 10 && taken == 1000 - soma_map_count_approx(map));
    const unsigned in_front_of = picker.last;
    cr_assert_eq(soma_map_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_OK);
    cr_assert(picker.last == in_front_of && taken == 0);
    picker.stop_after = 0;
    cr_assert_eq(soma_map_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_END);
    cr_assert(picker.asked == 1000 && soma_map_count_approx(map) == 500);
    cr_assert_eq(soma_map_take(map, &place, 1000, NULL, NULL, NULL, NULL, NULL), SOMA_END);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

/* Another thread changes the value, or removes the key, while the program decides. */
static void *changes(void *map)
{
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    return NULL;
}

static void *removes(void *map)
{
    cr_assert_eq(soma_map_remove(map, "n", 1, NULL), SOMA_REMOVED);
    return NULL;
}

struct slow {
    soma_map *map;
    void *(*meanwhile)(void *);
    int asked;
};

static enum soma_status decide_slowly(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct slow *slow = ctx;
    const uint64_t want = slow->asked ? 11 : 10;
    pthread_t thread;
    cr_assert(same((struct soma_bytes){key, key_len}, text("n")));
    cr_assert(same(value, (struct soma_bytes){&want, sizeof want}));
    if (slow->asked++)
        return SOMA_REMOVED;
    cr_assert_eq(pthread_create(&thread, NULL, slow->meanwhile, slow->map), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return SOMA_REMOVED;
}

Test(map_take, takes_the_value_that_was_asked_about)
{
    for (int change = 0; change < 2; change++) {
        struct slow slow = {.map = fresh(), .meanwhile = change ? changes : removes};
        const uint64_t eleven = 11;
        struct soma_bytes value = {untouched, 0};
        uint64_t place = 0;
        size_t taken = 9;
        cr_assert_eq(soma_map_fetch_add(slow.map, "n", 1, 10, NULL), SOMA_INSERTED);
        soma_read_enter();
        cr_assert_eq(soma_map_take(slow.map, &place, 2, decide_slowly, &slow, NULL, &value, &taken), SOMA_END);
        cr_assert(slow.asked == change + 1 && taken == (size_t)change);
        cr_assert(change ? same(value, (struct soma_bytes){&eleven, sizeof eleven}) : value.data == untouched);
        soma_read_exit();
        soma_map_free(slow.map);
    }
}

Test(map_take, refuses)
{
    soma_map *map = filled(3);
    struct picker picker = {.map = map, .odd = SOMA_REPLACED};
    uint64_t place = 0;
    size_t taken = 7;
    cr_assert_eq(soma_map_take(NULL, &place, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(soma_map_take(map, NULL, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    struct soma_bytes lent[1];
    cr_assert_eq(soma_map_take(map, &place, SIZE_MAX, NULL, NULL, lent, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(soma_map_take(map, &place, SIZE_MAX / 64 + 1, NULL, NULL, NULL, lent, &taken), SOMA_E_INVALID);
    cr_assert(taken == 7 && place == 0);
    cr_assert_eq(soma_map_take(map, &place, 0, NULL, NULL, NULL, NULL, &taken), SOMA_OK);
    cr_assert(taken == 0 && place == 0 && soma_map_count_approx(map) == 3);
    cr_assert_eq(soma_map_take(map, &place, 3, pick, &picker, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert(picker.last == 1 && taken == 3 - soma_map_count_approx(map));
    picker.odd = SOMA_REMOVED;
    cr_assert_eq(soma_map_take(map, &place, SIZE_MAX, pick, &picker, NULL, NULL, &taken), SOMA_END);
    cr_assert_eq(soma_map_count_approx(map), 0, "the place was in front of it");
    soma_map_free(map);
}

/* ---- Many keys ---- */

enum {
    MANY = 3000
};

struct many {
    char text[MANY][12];
    struct soma_bytes keys[MANY];
    struct soma_bytes values[MANY];
    bool found[MANY];
};

static void number_keys(struct many *many)
{
    for (size_t i = 0; i < MANY; i++) {
        const int len = snprintf(many->text[i], sizeof many->text[i], "key %zu", i);
        many->keys[i] = (struct soma_bytes){many->text[i], (size_t)len};
    }
}

static void check_get_many(const soma_map *map, struct many *many, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        many->values[i] = text(untouched);
        many->found[i] = i % 3 != 0;
    }
    soma_read_enter();
    const size_t there = (n + 2) / 3;
    cr_assert_eq(soma_map_get_many(map, many->keys, n, many->values, many->found), there);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(many->found[i], i % 3 == 0);
        if (many->found[i])
            cr_assert(same(many->values[i], many->keys[i]));
        else
            cr_assert(many->values[i].data == NULL && many->values[i].len == 0);
    }
    soma_read_exit();
    cr_assert_eq(soma_map_get_many(map, many->keys, n, NULL, many->found), there);
    cr_assert_eq(soma_map_get_many(map, many->keys, n, many->values, NULL), there);
    cr_assert_eq(soma_map_get_many(map, many->keys, n, NULL, NULL), there);
}

Test(map_get_many, answers_each)
{
    soma_map *map = fresh();
    static struct many many;
    const size_t sizes[] = {0, 1, 2, 15, 16, 17, 33, 100, 1023, 1024, 1025, MANY};
    number_keys(&many);
    for (size_t i = 0; i < MANY; i += 3)
        cr_assert_eq(put(map, many.text[i], many.text[i], NULL), SOMA_INSERTED);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_get_many(map, &many, sizes[i]);
    soma_map_free(map);
}

Test(map_put_many, stores_in_order)
{
    soma_map *map = fresh();
    static struct many many;
    size_t done = 77;
    number_keys(&many);
    for (size_t i = 0; i < MANY; i++) {
        many.values[i] = many.keys[i];
        many.keys[i] = many.keys[i % 500];
    }
    cr_assert_eq(soma_map_put_many(map, NULL, NULL, 0, &done), SOMA_OK);
    cr_assert_eq(done, 0);
    cr_assert_eq(soma_map_put_many(map, many.keys, many.values, MANY, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    cr_assert_eq(soma_map_count_approx(map), 500);
    for (size_t i = 0; i < 500; i++)
        expect_bytes(map, many.keys[i], many.values[MANY - 500 + i]);
    cr_assert_eq(soma_map_put_many(map, many.keys, many.values, 1, NULL), SOMA_OK);
    expect_bytes(map, many.keys[0], many.values[0]);
    soma_map_free(map);
}

Test(map_remove_many, removes_in_order)
{
    soma_map *map = fresh();
    static struct many many;
    struct soma_bytes *old = many.values;
    size_t done = 77;
    number_keys(&many);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(put(map, many.text[i], many.text[i], NULL), SOMA_INSERTED);
    many.keys[7] = many.keys[3];
    cr_assert_eq(soma_map_remove_many(map, NULL, 0, NULL, NULL, &done), SOMA_OK);
    cr_assert_eq(done, 0);
    soma_read_enter();
    cr_assert_eq(soma_map_remove_many(map, many.keys, MANY, old, many.found, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        cr_assert_eq(many.found[i], i != 7);
        cr_assert(!many.found[i] || same(old[i], many.keys[i]));
    }
    soma_read_exit();
    cr_assert_eq(soma_map_count_approx(map), 1);
    cr_assert_eq(soma_map_remove_many(map, many.keys, MANY, NULL, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_map_remove_many(NULL, many.keys, 1, NULL, NULL, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_map_remove_many(map, NULL, 1, NULL, NULL, &done), SOMA_E_INVALID);
    soma_map_free(map);
}

/* What an absent key's place in `old` holds is the caller's: no address, perhaps. */
Test(map_remove_many, leaves_absent_ones_alone)
{
    soma_map *map = fresh();
    struct soma_bytes keys[40];
    struct soma_bytes old[40];
    bool found[40];
    char names[40];
    for (size_t i = 0; i < 40; i++) {
        names[i] = (char)('0' + i);
        keys[i] = (struct soma_bytes){&names[i], 1};
        old[i] = (struct soma_bytes){(const void *)(uintptr_t)8, 100};
        if (i % 3 == 0)
            cr_assert_eq(soma_map_put(map, keys[i].data, 1, keys[i].data, 1, NULL), SOMA_INSERTED);
    }
    soma_read_enter();
    cr_assert_eq(soma_map_remove_many(map, keys, 40, old, found, NULL), SOMA_OK);
    for (size_t i = 0; i < 40; i++)
        cr_assert(found[i] ? i % 3 == 0 && same(old[i], keys[i]) : (uintptr_t)old[i].data == 8 && old[i].len == 100);
    soma_read_exit();
    soma_map_free(map);
}

/* ---- Clear, size ---- */

Test(map_clear, empties)
{
    soma_map *map = fresh();
    static struct many many;
    number_keys(&many);
    cr_assert_eq(soma_map_clear(map), SOMA_OK);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++)
            cr_assert_eq(put(map, many.text[i], many.text[i], NULL), SOMA_INSERTED);
        cr_assert_eq(soma_map_count_approx(map), MANY);
        cr_assert_eq(soma_map_clear(map), SOMA_OK);
        cr_assert_eq(soma_map_count_approx(map), 0);
        cr_assert_eq(soma_map_get_many(map, many.keys, MANY, NULL, NULL), 0);
    }
    soma_map_free(map);
}

Test(map_reserve, and_shrink_keep_what_is_there)
{
    soma_map *map = fresh();
    cr_assert_eq(put(map, "k", "v", NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_reserve(map, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_map_reserve(map, UINT64_MAX), SOMA_E_NOMEM);
    cr_assert_eq(soma_map_reserve(map, 300000), SOMA_OK);
    expect_text(map, "k", "v");
    cr_assert_eq(soma_map_shrink(map), SOMA_OK);
    expect_text(map, "k", "v");
    cr_assert_eq(soma_map_count_approx(map), 1);
    soma_map_free(map);
}

/* ---- The cap ---- */

/* An entry larger than the cap goes alone; nothing is refused for ever, and nobody waits for ever. */
static void replace_and_remove_large(unsigned flags)
{
    const struct soma_map_options options = {.flags = flags, .deferred_bytes_max = 1};
    static const char large[5000];
    soma_map *map = NULL;
    cr_assert_eq(soma_map_new(&options, &map), SOMA_OK);
    for (int round = 0; round < 20; round++) {
        cr_assert_eq(soma_map_put(map, "k", 1, large, sizeof large, NULL), SOMA_INSERTED);
        cr_assert_eq(soma_map_put(map, "k", 1, large, sizeof large, NULL), SOMA_REPLACED);
        cr_assert_eq(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
        cr_assert_eq(soma_map_put(map, "k", 1, large, sizeof large, NULL), SOMA_INSERTED);
        cr_assert_eq(soma_map_clear(map), SOMA_OK);
    }
    soma_map_free(map);
}

Test(map_cap, lets_an_entry_larger_than_it_through, .timeout = 10)
{
    replace_and_remove_large(0);
    replace_and_remove_large(SOMA_WAIT_AT_LIMIT);
}

/* ---- Words that change where they stand ---- */

Test(map_fetch_add, changes_a_borrowed_word_at_most_to_the_sum)
{
    soma_map *map = fresh();
    uint64_t word = 40;
    struct soma_bytes borrowed = {NULL, 0};
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    soma_read_enter();
    cr_assert_eq(soma_map_get_ref(map, "n", 1, &borrowed), SOMA_OK);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 2, NULL), SOMA_REPLACED);
    memcpy(&word, borrowed.data, sizeof word);
    cr_assert(word == 40 || word == 42);
    cr_assert_eq(soma_map_get_ref(map, "n", 1, &borrowed), SOMA_OK);
    word = 100;
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 2, NULL), SOMA_REPLACED);
    memcpy(&word, borrowed.data, sizeof word);
    cr_assert_eq(word, 42, "a put makes a new entry, so the old word stays");
    soma_read_exit();
    soma_map_free(map);
}
