/* SPDX-License-Identifier: ISC */
/* version.c - versioned entries: every answer, the value and the version as one, A-B-A, words that fetch_add changes. */
#include <criterion/criterion.h>

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

/* A word's first version needs room for the entry that it replaces. */
Test(version, at_the_cap)
{
    const struct soma_map_options options = {.deferred_bytes_max = 4096};
    soma_map *map = fresh(&options);
    const uint64_t word = 5;
    uint64_t version = 7;
    cr_assert_eq(soma_map_put(map, "n", 1, &word, sizeof word, NULL), SOMA_INSERTED);
    soma_read_enter();
    while (put(map, "a", "some value, which waits for the section") >= 0)
        ;
    const enum soma_status status = soma_map_get_version(map, "n", 1, NULL, 0, NULL, &version);
    cr_assert(status == SOMA_E_LIMIT || status == SOMA_OK, "without a 16-byte swap words do not change in place");
    cr_assert_eq(status == SOMA_E_LIMIT, version == 7);
    soma_read_exit();
    soma_barrier_wait();
    cr_assert_eq(soma_map_get_version(map, "n", 1, NULL, 0, NULL, NULL), SOMA_OK);
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
