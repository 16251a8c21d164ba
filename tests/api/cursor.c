/* SPDX-License-Identifier: ISC */
/* cursor.c - cursors, call by call: every status of every function, and what it leaves behind. SOMA_E_NOMEM is reached in
 * fault/. */
#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)
#define MANY 1000

static soma_u64 *words(uint64_t n)
{
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    for (uint64_t key = 0; key < n; key++)
        cr_assert_eq(soma_u64_put(map, key, key * 2, NULL), SOMA_INSERTED);
    return map;
}

static soma_cursor *over(const soma_u64 *map)
{
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_u64(map, &cursor), SOMA_OK);
    cr_assert_not_null(cursor);
    return cursor;
}

static soma_cursor *over_bytes(const soma_map *map)
{
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_map(map, &cursor), SOMA_OK);
    cr_assert_not_null(cursor);
    return cursor;
}

/* How many entries come until the end. */
static uint64_t rest_of(soma_cursor *cursor)
{
    uint64_t n = 0;
    while (soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK)
        n++;
    return n;
}

/* ---- Opening and closing ---- */

Test(cursor, opening_wants_both)
{
    soma_u64 *map = words(0);
    soma_map *bytes = NULL;
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_map_new(NULL, &bytes), SOMA_OK);
    cr_assert_eq(soma_cursor_open_u64(NULL, &cursor), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_u64(map, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_map(NULL, &cursor), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_map(bytes, NULL), SOMA_E_INVALID);
    cr_assert_null(cursor, "written on SOMA_OK only");
    soma_cursor_close(NULL);
    soma_u64_free(map);
    soma_map_free(bytes);
}

Test(cursor, null_is_invalid)
{
    cr_assert_eq(soma_cursor_next_u64(NULL, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_next_ref(NULL, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_seek(NULL, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_part(NULL, 0, 1), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_range(NULL, 0, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_token(NULL), 0);
}

Test(cursor, the_other_kind_is_invalid)
{
    soma_u64 *map = words(1);
    soma_map *bytes = NULL;
    cr_assert_eq(soma_map_new(NULL, &bytes), SOMA_OK);
    soma_cursor *cursor = over(map);
    soma_cursor *cursor_bytes = over_bytes(bytes);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_next_u64(cursor_bytes, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    soma_cursor_close(cursor);
    soma_cursor_close(cursor_bytes);
    soma_u64_free(map);
    soma_map_free(bytes);
}

/* ---- Words ---- */

Test(cursor, an_empty_map_ends_at_once)
{
    soma_u64 *map = words(0);
    soma_cursor *cursor = over(map);
    uint64_t key = UNTOUCHED;
    uint64_t value = UNTOUCHED;
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END);
    cr_assert_eq(soma_u64_put(map, 1, 2, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END, "until a seek");
    cr_assert(key == UNTOUCHED && value == UNTOUCHED, "written on SOMA_OK only");
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_OK);
    cr_assert(key == 1 && value == 2);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

Test(cursor, gives_each_word_once)
{
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    bool given[MANY] = {false};
    uint64_t key;
    uint64_t value;
    for (int n = 0; n < MANY; n++) {
        cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_OK);
        cr_assert(key < MANY && !given[key] && value == 2 * key);
        given[key] = true;
    }
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

Test(cursor, entries_may_go_meanwhile)
{
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_u64_clear(map), SOMA_OK);
    cr_assert_eq(soma_u64_shrink(map), SOMA_OK);
    cr_assert_lt(rest_of(cursor), MANY);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

/* An open cursor holds nothing back. */
Test(cursor, holds_no_section)
{
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    soma_synchronize_wait();
    soma_barrier_wait();
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

/* ---- Places ---- */

Test(cursor, a_token_leads_back)
{
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    soma_cursor *other = over(map);
    cr_assert_eq(soma_cursor_token(cursor), 0);
    for (int n = 0; n < MANY / 2; n++)
        cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    const uint64_t token = soma_cursor_token(cursor);
    uint64_t key;
    uint64_t again;
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, NULL), SOMA_OK);
    cr_assert_eq(soma_u64_reserve(map, 100 * MANY), SOMA_OK);
    cr_assert_eq(soma_cursor_seek(other, token), SOMA_OK);
    cr_assert_eq(soma_cursor_token(other), token);
    cr_assert_eq(soma_cursor_next_u64(other, &again, NULL), SOMA_OK);
    cr_assert_eq(again, key);
    cr_assert_eq(rest_of(other), MANY / 2 - 1);
    const uint64_t end = soma_cursor_token(other);
    cr_assert_eq(soma_cursor_seek(cursor, end), SOMA_OK);
    cr_assert_eq(rest_of(cursor), 0);
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    cr_assert_eq(rest_of(cursor), MANY);
    cr_assert_eq(soma_cursor_seek(cursor, UINT64_MAX), SOMA_OK);
    cr_assert_leq(rest_of(cursor), 1);
    soma_cursor_close(cursor);
    soma_cursor_close(other);
    soma_u64_free(map);
}

Test(cursor, parts_are_the_whole)
{
    static const uint32_t counts[] = {1, 2, 3, 7, 100, UINT32_MAX};
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t given = 0;
        const uint32_t parts = counts[i];
        for (uint32_t part = 0; part < parts && part < 1000; part++) {
            cr_assert_eq(soma_cursor_part(cursor, part, parts), SOMA_OK);
            given += rest_of(cursor);
        }
        cr_assert(parts > 1000 ? given < MANY : given == MANY);
    }
    cr_assert_eq(soma_cursor_part(cursor, 0, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_part(cursor, 2, 2), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

/* A place outside a part is the part's beginning, or its end. */
Test(cursor, parts_have_ends)
{
    soma_u64 *map = words(MANY);
    soma_cursor *cursor = over(map);
    cr_assert_eq(soma_cursor_part(cursor, 1, 3), SOMA_OK);
    const uint64_t begin = soma_cursor_token(cursor);
    const uint64_t inside = rest_of(cursor);
    cr_assert(begin > 0 && inside > 0);
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    cr_assert_eq(soma_cursor_token(cursor), begin);
    cr_assert_eq(rest_of(cursor), inside);
    cr_assert_eq(soma_cursor_seek(cursor, UINT64_MAX), SOMA_OK);
    cr_assert_eq(rest_of(cursor), 0);
    cr_assert_eq(soma_cursor_part(cursor, 0, 1), SOMA_OK);
    cr_assert_eq(rest_of(cursor), MANY);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

/* ---- Bytes ---- */

/* The n-th key has n bytes, its value 3 n. */
#define LONGEST 300

Test(cursor, gives_each_string_once)
{
    char text[3 * LONGEST];
    bool given[LONGEST] = {false};
    soma_map *map = NULL;
    struct soma_bytes key;
    struct soma_bytes value;
    memset(text, 'x', sizeof text);
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t len = 0; len < LONGEST; len++)
        cr_assert_eq(soma_map_put(map, text, len, text, 3 * len, NULL), SOMA_INSERTED);
    soma_cursor *cursor = over_bytes(map);
    for (int n = 0; n < LONGEST; n++) {
        cr_assert_eq(soma_cursor_next_ref(cursor, &key, &value), SOMA_OK);
        cr_assert(key.len < LONGEST && !given[key.len] && value.len == 3 * key.len);
        cr_assert_eq((uintptr_t)value.data % 8, 0, "aligned to 8");
        cr_assert(memcmp(key.data, text, key.len) == 0 && memcmp(value.data, text, value.len) == 0);
        given[key.len] = true;
    }
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_END);
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_OK, "both may be NULL");
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* What was borrowed stays as it was, whatever becomes of the entry. */
Test(cursor, borrows_copies)
{
    soma_map *map = NULL;
    struct soma_bytes key;
    struct soma_bytes value;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_map_fetch_add(map, "word", 4, 7, NULL), SOMA_INSERTED);
    soma_cursor *cursor = over_bytes(map);
    cr_assert_eq(soma_cursor_next_ref(cursor, &key, &value), SOMA_OK);
    cr_assert_eq(soma_map_fetch_add(map, "word", 4, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_clear(map), SOMA_OK);
    soma_barrier_wait();
    cr_assert_neq(soma_cursor_token(cursor), 0);
    uint64_t word;
    cr_assert_eq(value.len, sizeof word);
    memcpy(&word, value.data, sizeof word);
    cr_assert_eq(word, 7);
    cr_assert(key.len == 4 && memcmp(key.data, "word", 4) == 0);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* Larger and larger entries. */
Test(cursor, makes_room_for_large_entries)
{
    const size_t most = (size_t)1 << 21;
    char *large = calloc(most, 1);
    size_t sum = 0;
    soma_map *map = NULL;
    struct soma_bytes value;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t len = 1; len <= most; len *= 2)
        cr_assert_eq(soma_map_put(map, &len, sizeof len, large, len, NULL), SOMA_INSERTED);
    soma_cursor *cursor = over_bytes(map);
    while (soma_cursor_next_ref(cursor, NULL, &value) == SOMA_OK)
        sum += value.len;
    cr_assert_eq(sum, 2 * most - 1);
    soma_cursor_close(cursor);
    soma_map_free(map);
    free(large);
}

/* ---- Views ---- */

static soma_view *view_of(soma_u64 *map)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    return view;
}

static soma_view *view_of_bytes(soma_map *map)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    return view;
}

Test(cursor, views_want_both)
{
    soma_u64 *map = words(1);
    soma_view *view = view_of(map);
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_view(NULL, &cursor), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_view(view, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_sorted(NULL, &cursor), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_sorted(view, NULL), SOMA_E_INVALID);
    cr_assert_null(cursor, "written on SOMA_OK only");
    soma_view_close(view);
    soma_u64_free(map);
}

/* What a view shows does not change. */
Test(cursor, gives_a_view_as_it_was)
{
    soma_u64 *map = words(MANY);
    soma_view *view = view_of(map);
    soma_cursor *cursor = NULL;
    bool given[MANY] = {false};
    uint64_t key;
    uint64_t value;
    cr_assert_eq(soma_cursor_open_view(view, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_E_INVALID);
    for (uint64_t k = 0; k < MANY; k++) {
        cr_assert_eq(k % 3 ? soma_u64_remove(map, k, NULL) : soma_u64_put(map, k, 7, NULL),
                     k % 3 ? SOMA_REMOVED : SOMA_REPLACED);
        cr_assert_eq(soma_u64_put(map, MANY + k, 7, NULL), SOMA_INSERTED);
    }
    for (int n = 0; n < MANY; n++) {
        cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_OK);
        cr_assert(key < MANY && !given[key] && value == 2 * key);
        given[key] = true;
    }
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END);
    soma_cursor_close(cursor);
    soma_view_close(view);
    soma_u64_free(map);
}

/* ---- In order ---- */

Test(cursor, sorts_words)
{
    soma_u64 *map = words(0);
    static const uint64_t keys[] = {0, 1, 7, UINT64_C(1) << 40, UINT64_C(1) << 63, UINT64_MAX};
    enum {
        N = sizeof keys / sizeof keys[0]
    };
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(soma_u64_put(map, keys[i], i, NULL), SOMA_INSERTED);
    soma_view *view = view_of(map);
    soma_cursor *cursor = NULL;
    uint64_t key;
    uint64_t value;
    cr_assert_eq(soma_cursor_open_sorted(view, &cursor), SOMA_OK);
    soma_view_close(view);
    soma_u64_free(map);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_E_INVALID);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(soma_cursor_token(cursor), i);
        cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_OK);
        cr_assert(key == keys[i] && value == i);
    }
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END);
    cr_assert_eq(soma_cursor_seek(cursor, 4), SOMA_OK);
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, NULL), SOMA_OK);
    cr_assert_eq(key, keys[4]);
    cr_assert_eq(soma_cursor_seek(cursor, 100), SOMA_OK);
    cr_assert_eq(rest_of(cursor), 0);
    for (uint32_t parts = 1, rank; parts < 2 * N; parts++) {
        rank = 0;
        for (uint32_t part = 0; part < parts; part++) {
            cr_assert_eq(soma_cursor_part(cursor, part, parts), SOMA_OK);
            cr_assert_eq(soma_cursor_token(cursor), rank);
            const uint32_t first = rank;
            while (soma_cursor_next_u64(cursor, &key, NULL) == SOMA_OK)
                cr_assert_eq(key, keys[rank++]);
            const uint64_t end = soma_cursor_token(cursor);
            cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
            cr_assert_eq(rest_of(cursor), end - first);
        }
        cr_assert_eq(rank, N);
    }
    soma_cursor_close(cursor);
}

Test(cursor, sorts_strings)
{
    static const char *const keys[] = {"", "a", "aa", "ab", "b", "ba", "ba\xff", "\x80"};
    enum {
        N = sizeof keys / sizeof keys[0]
    };
    char *large = calloc(1, (size_t)3 << 20);
    soma_map *map = NULL;
    struct soma_bytes key;
    struct soma_bytes value;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t i = N; i-- > 0;)
        cr_assert_eq(soma_map_put(map, keys[i], strlen(keys[i]), large, i << 18, NULL), SOMA_INSERTED);
    soma_view *view = view_of_bytes(map);
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_sorted(view, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_E_INVALID);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(soma_cursor_next_ref(cursor, &key, &value), SOMA_OK);
        cr_assert(key.len == strlen(keys[i]) && memcmp(key.data, keys[i], key.len) == 0);
        cr_assert(value.len == i << 18 && (uintptr_t)value.data % 8 == 0);
    }
    cr_assert_eq(soma_cursor_next_ref(cursor, &key, &value), SOMA_END);
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_OK);
    soma_cursor_close(cursor);
    soma_view_close(view);
    soma_map_free(map);
    free(large);
}

Test(cursor, sorts_nothing)
{
    soma_map *map = NULL;
    struct soma_bytes key = {.data = "", .len = 1};
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (int entries = 0; entries < 2; entries++) {
        soma_view *view = view_of_bytes(map);
        soma_cursor *cursor = NULL;
        cr_assert_eq(soma_cursor_open_sorted(view, &cursor), SOMA_OK);
        cr_assert_eq(soma_cursor_next_ref(cursor, &key, NULL), entries ? SOMA_OK : SOMA_END);
        cr_assert_eq(key.len, entries ? 0 : 1);
        cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_END);
        soma_cursor_close(cursor);
        soma_view_close(view);
        cr_assert_eq(soma_map_put(map, "", 0, "", 0, NULL), entries ? SOMA_REPLACED : SOMA_INSERTED);
    }
    soma_map_free(map);
}

/* ---- Copies ---- */

struct told {
    uint64_t calls;
    uint64_t last;
    uint64_t stop; /* at this call */
};

static enum soma_status tell(uint64_t done, uint64_t total, void *ctx)
{
    struct told *told = ctx;
    cr_assert(done <= total && (told->calls == 0 ? done == 0 : done >= told->last));
    told->last = done;
    return ++told->calls == told->stop ? SOMA_END : SOMA_OK;
}

static void never_retired(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
    cr_assert_fail("a value of a copy that was never handed out");
}

static void never_retired_bytes(const void *value, size_t len, void *ctx)
{
    (void)len;
    never_retired(value != NULL, ctx);
}

Test(copy, arguments_must_fit)
{
    soma_u64 *map = words(1);
    soma_map *bytes = NULL;
    cr_assert_eq(soma_map_new(NULL, &bytes), SOMA_OK);
    soma_view *view = view_of(map);
    soma_view *view_bytes = view_of_bytes(bytes);
    soma_u64 *out = NULL;
    soma_map *out_bytes = NULL;
    bool equal = true;
    cr_assert_eq(soma_u64_copy(NULL, NULL, NULL, NULL, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_copy(view_bytes, NULL, NULL, NULL, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_copy(view, NULL, NULL, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_copy(view, &(struct soma_u64_options){.struct_size = 1}, NULL, NULL, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_map_copy(NULL, NULL, NULL, NULL, &out_bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_map_copy(view, NULL, NULL, NULL, &out_bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_map_copy(view_bytes, NULL, NULL, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_copy(view_bytes, &(struct soma_map_options){.struct_size = 1}, NULL, NULL, &out_bytes),
                 SOMA_E_INVALID);
    cr_assert(!out && !out_bytes, "written on SOMA_OK only");
    cr_assert_eq(soma_view_equal(NULL, view, &equal), SOMA_E_INVALID);
    cr_assert_eq(soma_view_equal(view, NULL, &equal), SOMA_E_INVALID);
    cr_assert_eq(soma_view_equal(view, view, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_view_equal(view, view_bytes, &equal), SOMA_E_INVALID);
    soma_view_close(view);
    soma_view_close(view_bytes);
    soma_u64_free(map);
    soma_map_free(bytes);
}

static bool equal_to(const soma_view *a, const soma_view *b)
{
    bool equal = false;
    bool turned = true;
    cr_assert_eq(soma_view_equal(a, b, &equal), SOMA_OK);
    cr_assert_eq(soma_view_equal(b, a, &turned), SOMA_OK);
    cr_assert_eq(equal, turned);
    return equal;
}

Test(copy, words_are_the_same)
{
    enum {
        N = 5 * MANY
    };
    soma_u64 *map = words(N);
    soma_view *view = view_of(map);
    soma_u64 *copy = NULL;
    struct told told = {.calls = 0};
    cr_assert_eq(soma_u64_put(map, 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_put(map, N, 1, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_copy(view, NULL, tell, &told, &copy), SOMA_OK);
    cr_assert(told.calls > 2 && told.last == N);
    cr_assert_eq(soma_u64_count_approx(copy), N);
    soma_view *other = view_of(copy);
    cr_assert(equal_to(view, other));
    cr_assert_eq(soma_u64_put(copy, 5, 11, NULL), SOMA_REPLACED);
    soma_view *changed = view_of(copy);
    cr_assert_not(equal_to(view, changed), "another value");
    soma_view_close(changed);
    cr_assert_eq(soma_u64_put(copy, 5, 10, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_remove(copy, 6, NULL), SOMA_REMOVED);
    changed = view_of(copy);
    cr_assert_not(equal_to(view, changed), "a key less");
    soma_view_close(changed);
    cr_assert_eq(soma_u64_put(copy, N, 12, NULL), SOMA_INSERTED);
    changed = view_of(copy);
    cr_assert_not(equal_to(view, changed), "another key");
    soma_view_close(changed);
    soma_view_close(view);
    soma_view_close(other);
    soma_u64_free(map);
    soma_u64_free(copy);
}

Test(copy, strings_are_the_same)
{
    char text[2 * LONGEST];
    soma_map *map = NULL;
    soma_map *copy = NULL;
    memset(text, 'x', sizeof text);
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t len = 0; len < LONGEST; len++)
        cr_assert_eq(soma_map_put(map, text, len, text, 2 * len, NULL), SOMA_INSERTED);
    soma_view *view = view_of_bytes(map);
    cr_assert_eq(soma_map_clear(map), SOMA_OK);
    cr_assert_eq(soma_map_copy(view, &(struct soma_map_options){.reserve = 10000}, NULL, NULL, &copy), SOMA_OK);
    soma_view *other = view_of_bytes(copy);
    soma_view *empty = view_of_bytes(map);
    cr_assert(equal_to(view, other));
    cr_assert_not(equal_to(view, empty));
    cr_assert(equal_to(empty, empty));
    soma_view_close(empty);
    soma_view_close(other);
    text[0] = 'y';
    cr_assert_eq(soma_map_put(copy, text + 1, LONGEST - 1, text, (size_t)2 * (LONGEST - 1), NULL), SOMA_REPLACED);
    other = view_of_bytes(copy);
    cr_assert_not(equal_to(view, other), "another first letter");
    soma_view_close(other);
    text[0] = 'x';
    cr_assert_eq(soma_map_put(copy, text, LONGEST - 1, text, (size_t)2 * (LONGEST - 1) + 1, NULL), SOMA_REPLACED);
    other = view_of_bytes(copy);
    cr_assert_not(equal_to(view, other), "one letter more");
    soma_view_close(other);
    soma_view_close(view);
    soma_map_free(map);
    soma_map_free(copy);
}

/* Whoever is told may end the copy at any point: nothing is left, and no value is retired. */
Test(copy, may_be_ended)
{
    soma_u64 *map = words(5 * MANY);
    soma_map *bytes = NULL;
    cr_assert_eq(soma_map_new(NULL, &bytes), SOMA_OK);
    for (uint64_t key = 0; key < 5 * MANY; key++)
        cr_assert_eq(soma_map_put(bytes, &key, sizeof key, "value", 5, NULL), SOMA_INSERTED);
    soma_view *view = view_of(map);
    soma_view *view_bytes = view_of_bytes(bytes);
    for (uint64_t stop = 1; stop <= 6; stop++) { /* the sixth is told of the last entries */
        struct told told = {.stop = stop};
        soma_u64 *copy = NULL;
        const struct soma_u64_options options = {.value_retire = never_retired};
        cr_assert_eq(soma_u64_copy(view, &options, tell, &told, &copy), SOMA_END);
        cr_assert(told.calls == stop && !copy);
        soma_map *copy_bytes = NULL;
        const struct soma_map_options options_bytes = {.value_retire = never_retired_bytes};
        told = (struct told){.stop = stop};
        cr_assert_eq(soma_map_copy(view_bytes, &options_bytes, tell, &told, &copy_bytes), SOMA_END);
        cr_assert(told.calls == stop && !copy_bytes);
    }
    soma_barrier_wait();
    soma_view_close(view);
    soma_view_close(view_bytes);
    soma_u64_free(map);
    soma_map_free(bytes);
}

Test(copy, of_nothing)
{
    soma_u64 *map = words(0);
    soma_view *view = view_of(map);
    soma_u64 *copy = NULL;
    struct told told = {.calls = 0};
    cr_assert_eq(soma_u64_copy(view, NULL, tell, &told, &copy), SOMA_OK);
    cr_assert(told.calls > 0 && told.last == 0);
    soma_view_close(view);
    soma_u64_free(copy);
    soma_u64_free(map);
}
