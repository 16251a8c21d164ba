/* SPDX-License-Identifier: ISC */
/* version.c - versioned entries: every answer, the value and the version as one, A-B-A, words that fetch_add changes, what cursors
 * give. */
#include <criterion/criterion.h>

#include <stdbool.h>
#include <string.h>

#include <soma/soma.h>

static soma_map *fresh(const struct soma_map_options *options)
{
    soma_map *map = NULL;
    cr_assert_eq(soma_map_new(options, &map), SOMA_OK);
    return map;
}

static enum soma_status put(soma_map *map, const char *key, const char *value)
{
    return soma_map_put(map, key, strlen(key), value, strlen(value), NULL);
}

/* The version of a key that must be there with this value. */
static uint64_t version_of(const soma_map *map, const char *key, const void *value, size_t value_len)
{
    char buf[64];
    size_t len = 0;
    uint64_t version = 0;
    cr_assert_eq(soma_map_get_version(map, key, strlen(key), buf, sizeof buf, &len, &version), SOMA_OK);
    cr_assert_eq(len, value_len);
    cr_assert_arr_eq(buf, value, value_len);
    cr_assert_neq(version, 0);
    return version;
}

static enum soma_status cas(soma_map *map, const char *key, uint64_t expected, const char *value, uint64_t *version)
{
    return soma_map_cas_version(map, key, strlen(key), expected, value, strlen(value), version);
}

Test(version, absent)
{
    soma_map *map = fresh(NULL);
    uint64_t version = 77;
    size_t len = 77;
    cr_assert_eq(soma_map_get_version(map, "a", 1, NULL, 0, &len, &version), SOMA_ABSENT);
    cr_assert_eq(version, 77);
    cr_assert_eq(len, 77);
    cr_assert_eq(cas(map, "a", 5, "x", &version), SOMA_ABSENT);
    cr_assert_eq(version, 77);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}

Test(version, zero_means_absent)
{
    soma_map *map = fresh(NULL);
    uint64_t version = 0;
    cr_assert_eq(cas(map, "a", 0, "one", &version), SOMA_INSERTED);
    cr_assert_eq(version, version_of(map, "a", "one", 3));
    cr_assert_eq(cas(map, "a", 0, "two", &version), SOMA_CHANGED);
    cr_assert_eq(version, version_of(map, "a", "one", 3));
    soma_map_free(map);
}

Test(version, replaced_once)
{
    soma_map *map = fresh(NULL);
    put(map, "a", "one");
    const uint64_t first = version_of(map, "a", "one", 3);
    cr_assert_eq(version_of(map, "a", "one", 3), first, "asking changes nothing");
    uint64_t second = 0;
    cr_assert_eq(cas(map, "a", first, "two", &second), SOMA_REPLACED);
    cr_assert_neq(second, first);
    cr_assert_eq(version_of(map, "a", "two", 3), second);
    cr_assert_eq(cas(map, "a", first, "three", NULL), SOMA_CHANGED);
    version_of(map, "a", "two", 3);
    soma_map_free(map);
}

Test(version, changed_and_changed_back)
{
    soma_map *map = fresh(NULL);
    put(map, "a", "one");
    const uint64_t first = version_of(map, "a", "one", 3);
    put(map, "a", "two");
    put(map, "a", "one");
    cr_assert_eq(cas(map, "a", first, "x", NULL), SOMA_CHANGED);
    soma_map_remove(map, "a", 1, NULL);
    cr_assert_eq(cas(map, "a", first, "x", NULL), SOMA_ABSENT);
    put(map, "a", "one");
    cr_assert_eq(cas(map, "a", first, "x", NULL), SOMA_CHANGED);
    cr_assert_neq(version_of(map, "a", "one", 3), first);
    soma_map_free(map);
}

/* A word's version is asked for, then the word goes up and down again. */
static void words(soma_map *map)
{
    uint64_t word = 5;
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    const uint64_t first = version_of(map, "n", &word, sizeof word);
    cr_assert_eq(version_of(map, "n", &word, sizeof word), first);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, UINT64_MAX, NULL), SOMA_REPLACED);
    cr_assert_eq(cas(map, "n", first, "x", NULL), SOMA_CHANGED);
    const uint64_t third = version_of(map, "n", &word, sizeof word);
    cr_assert_neq(third, first);
    const uint64_t next = 6;
    uint64_t version = 0;
    cr_assert_eq(soma_map_cas_version(map, "n", 1, third, &next, sizeof next, &version), SOMA_REPLACED);
    cr_assert_eq(version_of(map, "n", &next, sizeof next), version);
    cr_assert_eq(soma_map_count_approx(map), 1);
    soma_map_free(map);
}

Test(version, words_that_change_in_place)
{
    words(fresh(NULL));
}

static unsigned retired;

static void count_retired(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len, (void)ctx;
    retired++;
}

Test(version, words_that_are_retired)
{
    const struct soma_map_options options = {.value_retire = count_retired};
    words(fresh(&options));
    soma_barrier_wait();
    cr_assert_eq(retired, 4, "5, 6, 5 and 6: each value once");
}

Test(version, in_views)
{
    soma_map *map = fresh(NULL);
    uint64_t word = 9;
    put(map, "a", "one");
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    uint64_t version = 0;
    uint64_t again = 0;
    char buf[8];
    size_t len = 0;
    cr_assert_eq(soma_view_get_version(view, "a", 1, buf, sizeof buf, &len, &version), SOMA_OK);
    cr_assert_eq(len, 3);
    cr_assert_eq(version, version_of(map, "a", "one", 3));
    cr_assert_eq(cas(map, "a", version, "two", NULL), SOMA_REPLACED);
    cr_assert_eq(soma_view_get_version(view, "a", 1, buf, sizeof buf, &len, &again), SOMA_OK);
    cr_assert_eq(again, version, "the old entry keeps its version");
    cr_assert_eq(soma_view_get_version(view, "n", 1, NULL, 0, NULL, &version), SOMA_OK);
    soma_view_close(view);
    /* Without views, words change in place, but not those that somebody has asked for. */
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(cas(map, "n", version, "x", NULL), SOMA_CHANGED);
    cr_assert_eq(soma_view_get_version(NULL, "n", 1, NULL, 0, NULL, NULL), SOMA_E_INVALID);
    soma_map_free(map);
}

/* ---- Cursors ---- */

static soma_cursor *over(const soma_map *map)
{
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_map(map, &cursor), SOMA_OK);
    return cursor;
}

static soma_cursor *over_view(const soma_view *view, bool sorted)
{
    soma_cursor *cursor = NULL;
    cr_assert_eq(sorted ? soma_cursor_open_sorted(view, &cursor) : soma_cursor_open_view(view, &cursor), SOMA_OK);
    return cursor;
}

/* Moves a cursor to this key. */
static void go_to(soma_cursor *cursor, const char *key)
{
    struct soma_bytes found = {.data = NULL, .len = 0};
    cr_assert_eq(soma_cursor_seek(cursor, 0), SOMA_OK);
    while (found.len != strlen(key) || memcmp(found.data, key, found.len) != 0)
        cr_assert_eq(soma_cursor_next_ref(cursor, &found, NULL), SOMA_OK);
}

static uint64_t given_with(const soma_cursor *cursor)
{
    uint64_t version = 0;
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_OK);
    cr_assert_neq(version, 0);
    return version;
}

/* Two entries: "a" is "one", "n" the word 5. */
static soma_map *two(void)
{
    const uint64_t word = 5;
    soma_map *map = fresh(NULL);
    put(map, "a", "one");
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    return map;
}

Test(version, of_what_a_cursor_gives)
{
    const uint64_t word = 5;
    soma_map *map = two();
    soma_cursor *cursor = over(map);
    go_to(cursor, "a");
    const uint64_t first = given_with(cursor);
    cr_assert_eq(given_with(cursor), first);
    cr_assert_eq(version_of(map, "a", "one", 3), first);
    cr_assert_eq(cas(map, "a", first, "two", NULL), SOMA_REPLACED);
    cr_assert_eq(given_with(cursor), first, "of what was given, not of what is there");
    cr_assert_eq(cas(map, "a", first, "three", NULL), SOMA_CHANGED);
    go_to(cursor, "n");
    const uint64_t second = given_with(cursor);
    cr_assert_eq(given_with(cursor), second);
    cr_assert_eq(version_of(map, "n", &word, sizeof word), second);
    cr_assert_eq(soma_cursor_version(cursor, NULL), SOMA_OK);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* Words change in place, so what a cursor over the live map has given may be there no more. */
Test(version, of_words_that_change_behind_a_cursor)
{
    soma_map *map = two();
    soma_cursor *cursor = over(map);
    uint64_t version = 7;
    go_to(cursor, "n");
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_CHANGED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, UINT64_MAX, NULL), SOMA_REPLACED);
    const uint64_t back = given_with(cursor);
    cr_assert_eq(cas(map, "n", back, "other", NULL), SOMA_REPLACED);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_CHANGED);
    const uint64_t longer[2] = {5, 0};
    cr_assert_eq(soma_map_put(map, "n", 1, longer, sizeof longer, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_CHANGED, "a value that begins with the word is another");
    cr_assert_eq(soma_map_remove(map, "n", 1, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_ABSENT);
    cr_assert_eq(version, 7, "written on SOMA_OK only");
    soma_cursor_close(cursor);
    soma_map_free(map);
}

static void change_both(soma_map *map)
{
    put(map, "a", "two");
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
}

Test(version, of_what_a_view_s_cursor_gives)
{
    soma_map *map = two();
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    change_both(map);
    soma_cursor *cursor = over_view(view, false);
    for (const char *key = "an"; *key; key++) {
        const char name[] = {*key, 0};
        uint64_t version = 0;
        go_to(cursor, name);
        cr_assert_eq(soma_view_get_version(view, name, 1, NULL, 0, NULL, &version), SOMA_OK);
        cr_assert_eq(given_with(cursor), version);
        cr_assert_eq(cas(map, name, version, "x", NULL), SOMA_CHANGED);
    }
    soma_cursor_close(cursor);
    soma_view_close(view);
    soma_map_free(map);
}

/* A word whose version a view's cursor has given no longer changes in place. */
Test(version, of_a_word_that_a_view_s_cursor_gives)
{
    const uint64_t word = 5;
    soma_map *map = two();
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    soma_cursor *cursor = over_view(view, false);
    go_to(cursor, "n");
    const uint64_t version = given_with(cursor);
    soma_cursor_close(cursor);
    soma_view_close(view);
    cr_assert_eq(version_of(map, "n", &word, sizeof word), version);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(cas(map, "n", version, "x", NULL), SOMA_CHANGED);
    soma_map_free(map);
}

/* A sorted cursor outlives its view. */
Test(version, of_what_a_sorted_cursor_gives)
{
    const uint64_t word = 5;
    soma_map *map = two();
    const uint64_t first = version_of(map, "a", "one", 3);
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    soma_cursor *cursor = over_view(view, true);
    soma_view_close(view);
    uint64_t version = 7;
    go_to(cursor, "n");
    cr_assert_eq(given_with(cursor), version_of(map, "n", &word, sizeof word));
    change_both(map);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_CHANGED);
    cr_assert_eq(version, 7);
    go_to(cursor, "a");
    cr_assert_eq(given_with(cursor), first);
    cr_assert_eq(cas(map, "a", first, "x", NULL), SOMA_CHANGED);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* Where a cursor stands, but has given nothing. */
static void nothing_given(soma_cursor *cursor)
{
    uint64_t version = 7;
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_E_INVALID, "nothing has been given");
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_seek(cursor, soma_cursor_token(cursor)), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_E_INVALID, "a seek goes elsewhere");
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_END);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_E_INVALID, "the end is no entry");
    cr_assert_eq(soma_cursor_part(cursor, 0, 1), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_part(cursor, 0, 1), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_E_INVALID, "so does a part");
    cr_assert_eq(version, 7);
    soma_cursor_close(cursor);
}

Test(version, of_nothing_given)
{
    soma_map *map = two();
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    nothing_given(over(map));
    nothing_given(over_view(view, false));
    nothing_given(over_view(view, true));
    soma_view_close(view);
    soma_map_free(map);
}

Test(version, of_words_there_is_none)
{
    soma_u64 *map = NULL;
    soma_cursor *cursor = NULL;
    uint64_t version = 7;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_put(map, 1, 2, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_cursor_open_u64(map, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_version(NULL, &version), SOMA_E_INVALID);
    cr_assert_eq(version, 7);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

/* ---- Errors ---- */

/* A word's first version needs room for the entry that it replaces. */
Test(version, at_the_cap)
{
    const struct soma_map_options options = {.deferred_bytes_max = 4096};
    soma_map *map = fresh(&options);
    const uint64_t word = 5;
    uint64_t version = 7;
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    soma_cursor *cursor = over(map);
    go_to(cursor, "n");
    soma_read_enter();
    while (put(map, "a", "some value, which waits for the section") >= 0)
        ;
    const enum soma_status status = soma_map_get_version(map, "n", 1, NULL, 0, NULL, &version);
    cr_assert_eq(soma_cursor_version(cursor, &version), status);
    cr_assert(status == SOMA_E_LIMIT || status == SOMA_OK, "without a 16-byte swap words do not change in place");
    cr_assert_eq(status == SOMA_E_LIMIT, version == 7);
    soma_read_exit();
    soma_barrier_wait();
    cr_assert_eq(soma_map_get_version(map, "n", 1, NULL, 0, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_cursor_version(cursor, NULL), SOMA_OK);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

Test(version, bad_arguments)
{
    soma_map *map = fresh(NULL);
    uint64_t version = 7;
    cr_assert_eq(soma_map_get_version(NULL, "a", 1, NULL, 0, NULL, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_map_get_version(map, NULL, 1, NULL, 0, NULL, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_map_get_version(map, "a", 1, NULL, 1, NULL, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas_version(NULL, "a", 1, 0, "x", 1, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas_version(map, NULL, 1, 0, "x", 1, &version), SOMA_E_INVALID);
    cr_assert_eq(soma_map_cas_version(map, "a", 1, 0, NULL, 1, &version), SOMA_E_INVALID);
    cr_assert_eq(version, 7);
    cr_assert_eq(soma_map_count_approx(map), 0);
    soma_map_free(map);
}
