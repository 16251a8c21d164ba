/* SPDX-License-Identifier: ISC */
/* typed.c - what typed.h emits, in both kinds: narrow types, floating point, pointers, structs. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOMA_TYPED_NAME ages
#define SOMA_TYPED_KEY uint32_t
#define SOMA_TYPED_VALUE double
#include <soma/typed.h>

#define SOMA_TYPED_NAME tallies
#define SOMA_TYPED_KEY uint64_t
#define SOMA_TYPED_VALUE int16_t
#define SOMA_TYPED_FETCH_ADD
#include <soma/typed.h>

#define SOMA_TYPED_NAME totals
#define SOMA_TYPED_KEY char
#define SOMA_TYPED_VALUE int64_t
#define SOMA_TYPED_FETCH_ADD
#include <soma/typed.h>

#define SOMA_TYPED_NAME names
#define SOMA_TYPED_KEY int
#define SOMA_TYPED_VALUE char *
#include <soma/typed.h>

struct triple {
    int32_t x, y, z; /* no padding */
};

struct record {
    double weight;
    char label[50];
};

#define SOMA_TYPED_NAME records
#define SOMA_TYPED_KEY struct triple
#define SOMA_TYPED_VALUE struct record
#define SOMA_TYPED_BYTES
#include <soma/typed.h>

#define SOMA_TYPED_NAME octets
#define SOMA_TYPED_KEY struct triple
#define SOMA_TYPED_VALUE uint8_t
#define SOMA_TYPED_BYTES
#define SOMA_TYPED_FETCH_ADD
#include <soma/typed.h>

#if defined(SOMA_TYPED_NAME) || defined(SOMA_TYPED_KEY) || defined(SOMA_TYPED_VALUE) || defined(SOMA_TYPED_BYTES) ||   \
    defined(SOMA_TYPED_FETCH_ADD)
#error "typed.h takes its parameters back"
#endif

/* ---- Words ---- */

static struct ages *fresh_ages(void)
{
    struct ages *map = NULL;
    cr_assert_eq(ages_new(NULL, &map), SOMA_OK);
    return map;
}

/* Doubles as bits: equal and not just close, and no complaint about comparing them. */
static bool is(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

Test(typed_word, one_key)
{
    struct ages *map = fresh_ages();
    double out = 0.5;
    cr_assert_eq(ages_get(map, 1, &out), SOMA_ABSENT);
    cr_assert_eq(ages_replace(map, 1, 1.5, &out), SOMA_ABSENT);
    cr_assert_eq(ages_cas(map, 1, 0.0, 1.5, &out), SOMA_ABSENT);
    cr_assert_eq(ages_remove(map, 1, &out), SOMA_ABSENT);
    cr_assert_eq(ages_remove_if(map, 1, 0.0, &out), SOMA_ABSENT);
    cr_assert_eq(ages_put(map, 1, 1.5, &out), SOMA_INSERTED);
    cr_assert(is(out, 0.5), "written on the answers that name it only");
    cr_assert(ages_get(map, 1, &out) == SOMA_OK && is(out, 1.5));
    cr_assert(ages_put(map, 1, 2.5, &out) == SOMA_REPLACED && is(out, 1.5));
    cr_assert(ages_put_new(map, 1, 9.5, &out) == SOMA_EXISTS && is(out, 2.5));
    cr_assert(ages_replace(map, 1, 3.5, &out) == SOMA_REPLACED && is(out, 2.5));
    cr_assert(ages_cas(map, 1, 2.5, 9.5, &out) == SOMA_CHANGED && is(out, 3.5));
    cr_assert(ages_cas(map, 1, 3.5, 4.5, &out) == SOMA_REPLACED && is(out, 3.5));
    cr_assert(ages_remove_if(map, 1, 3.5, &out) == SOMA_CHANGED && is(out, 4.5));
    cr_assert(ages_remove_if(map, 1, 4.5, &out) == SOMA_REMOVED && is(out, 4.5));
    cr_assert_eq(ages_put_new(map, 1, -5.5, NULL), SOMA_INSERTED);
    cr_assert(ages_remove(map, 1, &out) == SOMA_REMOVED && is(out, -5.5));
    ages_free(map);
}

Test(typed_word, out_pointers_may_be_null)
{
    struct ages *map = fresh_ages();
    cr_assert_eq(ages_put(map, 1, 1.5, NULL), SOMA_INSERTED);
    cr_assert_eq(ages_put(map, 1, 2.5, NULL), SOMA_REPLACED);
    cr_assert_eq(ages_get(map, 1, NULL), SOMA_OK);
    cr_assert_eq(ages_put_new(map, 1, 2.5, NULL), SOMA_EXISTS);
    cr_assert_eq(ages_replace(map, 1, 3.5, NULL), SOMA_REPLACED);
    cr_assert_eq(ages_cas(map, 1, 3.5, 4.5, NULL), SOMA_REPLACED);
    cr_assert_eq(ages_remove_if(map, 1, 3.5, NULL), SOMA_CHANGED);
    cr_assert_eq(ages_remove(map, 1, NULL), SOMA_REMOVED);
    ages_free(map);
}

static void show(uint32_t key, double value, void *ctx)
{
    *(double *)ctx = key + value;
}

static enum soma_status halve(uint32_t key, bool present, double *value, void *ctx)
{
    cr_assert_eq(key, UINT32_MAX);
    *(bool *)ctx = present;
    cr_assert(present || is(*value, 0.0));
    *value = present ? *value / 2 : 64.0;
    return *value < 10.0 ? SOMA_REMOVED : SOMA_OK;
}

Test(typed_word, update)
{
    struct ages *map = fresh_ages();
    bool present = true;
    double value = 0;
    double shown = 0;
    cr_assert_eq(ages_put(map, 3, 0.5, NULL), SOMA_INSERTED);
    cr_assert_eq(ages_get_with(map, 3, show, &shown), SOMA_OK);
    cr_assert_eq(shown, 3.5);
    cr_assert_eq(ages_get_with(map, UINT32_MAX, show, &shown), SOMA_ABSENT);
    cr_assert_eq(ages_get_with(map, 3, NULL, &shown), SOMA_E_INVALID);
    cr_assert_eq(ages_update(map, UINT32_MAX, halve, &present), SOMA_INSERTED);
    cr_assert_not(present);
    cr_assert_eq(ages_update(map, UINT32_MAX, halve, &present), SOMA_REPLACED);
    cr_assert(present);
    cr_assert(ages_get(map, UINT32_MAX, &value) == SOMA_OK && is(value, 32.0));
    cr_assert_eq(ages_update(map, UINT32_MAX, halve, &present), SOMA_REPLACED);
    cr_assert_eq(ages_update(map, UINT32_MAX, halve, &present), SOMA_REMOVED);
    cr_assert_eq(ages_update(map, 1, NULL, NULL), SOMA_E_INVALID);
    ages_free(map);
}

enum {
    MANY = 200
};

static void check_ages_get_many(const struct ages *map, const uint32_t *keys, size_t n)
{
    double values[MANY];
    bool found[MANY];
    for (size_t i = 0; i < n; i++)
        values[i] = -1.0;
    cr_assert_eq(ages_get_many(map, keys, n, values, found), (n + 1) / 2);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(found[i], i % 2 == 0);
        cr_assert(is(values[i], found[i] ? (double)i / 4 : -1.0));
    }
    cr_assert_eq(ages_get_many(map, keys, n, NULL, NULL), (n + 1) / 2);
}

Test(typed_word, many)
{
    struct ages *map = fresh_ages();
    uint32_t keys[MANY];
    double values[MANY];
    size_t done = 77;
    for (uint32_t i = 0; i < MANY; i++) {
        keys[i] = i * 3;
        values[i] = (double)i / 4;
    }
    cr_assert_eq(ages_put_many(map, keys, values, MANY, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    for (uint32_t i = 1; i < MANY; i += 2)
        cr_assert_eq(ages_remove(map, keys[i], NULL), SOMA_REMOVED);
    const size_t sizes[] = {0, 1, 63, 64, 65, 128, MANY};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_ages_get_many(map, keys, sizes[i]);
    bool found[MANY];
    cr_assert_eq(ages_remove_many(map, keys, MANY, found, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(found[i], i % 2 == 0);
    cr_assert_eq(ages_remove_many(map, NULL, 1, NULL, &done), SOMA_E_INVALID);
    cr_assert_eq(ages_put_many(map, NULL, NULL, 0, &done), SOMA_OK);
    cr_assert_eq(done, 0);
    cr_assert_eq(ages_put_many(map, NULL, values, 1, &done), SOMA_E_INVALID);
    cr_assert_eq(ages_put_many(map, keys, NULL, 1, NULL), SOMA_E_INVALID);
    cr_assert_eq(ages_get_many(map, NULL, 3, NULL, NULL), 0);
    cr_assert_eq(ages_count_approx(map), 0);
    ages_free(map);
}

struct choice {
    unsigned asked;
    unsigned stop_after; /* 0: never */
};

static enum soma_status take_even(uint32_t key, double value, void *ctx)
{
    struct choice *choice = ctx;
    if (choice->stop_after && choice->asked == choice->stop_after)
        return SOMA_END;
    choice->asked++;
    cr_assert(is(value, (double)key / 4));
    return key % 2 ? SOMA_EXISTS : SOMA_REMOVED;
}

static struct ages *filled_ages(void)
{
    struct ages *map = fresh_ages();
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(ages_put(map, i, (double)i / 4, NULL), SOMA_INSERTED);
    return map;
}

/* More than one hand-over takes, and no multiple of that. */
Test(typed_word, take)
{
    struct ages *map = filled_ages();
    struct choice choice = {.stop_after = 0};
    uint32_t keys[MANY];
    double values[MANY];
    uint64_t place = 0;
    size_t taken = 77;
    cr_assert_eq(ages_take(map, &place, MANY, take_even, &choice, keys, values, &taken), SOMA_END);
    cr_assert(choice.asked == MANY && taken == MANY / 2 && place == 0);
    for (size_t i = 0; i < taken; i++) {
        cr_assert(keys[i] < MANY && keys[i] % 2 == 0 && is(values[i], (double)keys[i] / 4));
        cr_assert_eq(ages_get(map, keys[i], NULL), SOMA_ABSENT);
    }
    cr_assert_eq(ages_take(map, &place, 70, NULL, NULL, NULL, values, &taken), SOMA_OK);
    cr_assert(taken == 70 && ages_count_approx(map) == MANY / 2 - 70);
    cr_assert_eq(ages_take(map, &place, SIZE_MAX, NULL, NULL, NULL, NULL, &taken), SOMA_END);
    cr_assert(taken == MANY / 2 - 70 && ages_count_approx(map) == 0);
    ages_free(map);
}

Test(typed_word, take_stops)
{
    struct ages *map = filled_ages();
    struct choice choice = {.stop_after = 180};
    uint32_t keys[MANY];
    uint64_t place = 0;
    size_t taken = 77;
    cr_assert_eq(ages_take(map, &place, MANY, take_even, &choice, keys, NULL, &taken), SOMA_OK);
    cr_assert(choice.asked == 180 && taken > 64 && taken == MANY - ages_count_approx(map) && place != 0);
    taken = 77;
    cr_assert_eq(ages_take(map, NULL, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(ages_take(NULL, &place, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(taken, 77);
    cr_assert_eq(ages_take(map, &place, 0, NULL, NULL, keys, NULL, &taken), SOMA_OK);
    cr_assert_eq(taken, 0);
    cr_assert_eq(ages_take(map, &place, 1, NULL, NULL, NULL, NULL, NULL), SOMA_OK);
    ages_free(map);
}

Test(typed_word, size)
{
    struct ages *map = fresh_ages();
    cr_assert_eq(ages_reserve(map, 1000), SOMA_OK);
    cr_assert_eq(ages_reserve(map, 0), SOMA_E_INVALID);
    cr_assert_eq(ages_put(map, 7, 7.0, NULL), SOMA_INSERTED);
    cr_assert_eq(ages_shrink(map), SOMA_OK);
    cr_assert_eq(ages_count_approx(map), 1);
    cr_assert_eq(soma_u64_count_approx(ages_raw(map)), 1);
    cr_assert_eq(ages_clear(map), SOMA_OK);
    cr_assert_eq(ages_count_approx(map), 0);
    ages_free(map);
    ages_free(NULL);
}

Test(typed_word, null_map)
{
    double out = 0.5;
    size_t done = 77;
    const uint32_t key = 1;
    cr_assert_eq(ages_new(NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(ages_get(NULL, 1, &out), SOMA_E_INVALID);
    cr_assert_eq(ages_put(NULL, 1, 1.0, &out), SOMA_E_INVALID);
    cr_assert_eq(ages_get_many(NULL, &key, 1, &out, NULL), 0);
    cr_assert_eq(ages_put_many(NULL, &key, &out, 1, &done), SOMA_E_INVALID);
    cr_assert_eq(ages_clear(NULL), SOMA_E_INVALID);
    cr_assert(is(out, 0.5));
    cr_assert_eq(done, 77);
}

Test(typed_word, narrow_sums_wrap_in_their_own_width)
{
    struct tallies *map = NULL;
    int16_t value = 0;
    cr_assert_eq(tallies_new(NULL, &map), SOMA_OK);
    cr_assert_eq(tallies_fetch_add(map, 1, 32767, &value), SOMA_INSERTED);
    cr_assert_eq(value, 0);
    cr_assert_eq(tallies_fetch_add(map, 1, 1, &value), SOMA_REPLACED);
    cr_assert_eq(value, 32767);
    cr_assert(tallies_get(map, 1, &value) == SOMA_OK && value == -32768);
    cr_assert_eq(tallies_cas(map, 1, -32768, 5, NULL), SOMA_REPLACED, "nothing carried over");
    cr_assert_eq(tallies_fetch_add(map, 1, -6, NULL), SOMA_REPLACED);
    cr_assert_eq(tallies_remove_if(map, 1, -1, NULL), SOMA_REMOVED);
    tallies_free(map);
}

Test(typed_word, wide_sums)
{
    struct totals *map = NULL;
    int64_t value = 0;
    cr_assert_eq(totals_new(NULL, &map), SOMA_OK);
    cr_assert_eq(totals_fetch_add(map, 'x', -5, &value), SOMA_INSERTED);
    cr_assert_eq(value, 0);
    cr_assert_eq(totals_fetch_add(map, 'x', 2, &value), SOMA_REPLACED);
    cr_assert_eq(value, -5);
    cr_assert_eq(totals_cas(map, 'x', -3, INT64_MAX, NULL), SOMA_REPLACED);
    cr_assert_eq(totals_fetch_add(map, 'x', 1, NULL), SOMA_REPLACED);
    cr_assert(totals_get(map, 'x', &value) == SOMA_OK && value == INT64_MIN);
    totals_free(map);
}

static int freed;

static void name_retire(uint64_t word, void *ctx)
{
    cr_assert_null(ctx);
    free(names_value_of(word));
    freed++;
}

static char *named(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    cr_assert_not_null(copy);
    return strcpy(copy, text);
}

Test(typed_word, owned_pointers)
{
    struct names *map = NULL;
    char *value = NULL;
    cr_assert_eq(names_new(&(struct soma_u64_options){.value_retire = name_retire}, &map), SOMA_OK);
    cr_assert_eq(names_put(map, -1, named("minus one"), NULL), SOMA_INSERTED);
    soma_read_enter();
    cr_assert_eq(names_get(map, -1, &value), SOMA_OK);
    cr_assert_eq(names_put(map, -1, named("less"), NULL), SOMA_REPLACED);
    cr_assert_str_eq(value, "minus one");
    soma_read_exit();
    names_free(map);
    soma_barrier_wait();
    cr_assert_eq(freed, 2);
}

/* ---- Bytes ---- */

static struct records *fresh_records(void)
{
    struct records *map = NULL;
    cr_assert_eq(records_new(NULL, &map), SOMA_OK);
    return map;
}

static struct record record_of(int number)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.weight = number;
    snprintf(record.label, sizeof record.label, "number %d", number);
    return record;
}

static bool equal(const struct record *a, int number)
{
    const struct record b = record_of(number);
    return memcmp(a, &b, sizeof b) == 0;
}

Test(typed_bytes, one_key)
{
    struct records *map = fresh_records();
    const struct triple k = {1, -2, 3};
    const struct record one = record_of(1), two = record_of(2), three = record_of(3);
    struct record out = record_of(0);
    cr_assert_eq(records_get(map, &k, &out), SOMA_ABSENT);
    cr_assert_eq(records_replace(map, &k, &one, &out), SOMA_ABSENT);
    cr_assert_eq(records_cas(map, &k, &one, &two, &out), SOMA_ABSENT);
    cr_assert_eq(records_remove(map, &k, &out), SOMA_ABSENT);
    cr_assert_eq(records_remove_if(map, &k, &one, &out), SOMA_ABSENT);
    cr_assert_eq(records_put(map, &k, &one, &out), SOMA_INSERTED);
    cr_assert(equal(&out, 0), "written on the answers that name it only");
    cr_assert(records_get(map, &k, &out) == SOMA_OK && equal(&out, 1));
    cr_assert(records_put(map, &k, &two, &out) == SOMA_REPLACED && equal(&out, 1));
    cr_assert(records_put_new(map, &k, &one, &out) == SOMA_EXISTS && equal(&out, 2));
    cr_assert(records_replace(map, &k, &three, &out) == SOMA_REPLACED && equal(&out, 2));
    cr_assert(records_cas(map, &k, &two, &one, &out) == SOMA_CHANGED && equal(&out, 3));
    cr_assert(records_cas(map, &k, &three, &one, &out) == SOMA_REPLACED && equal(&out, 3));
    cr_assert(records_remove_if(map, &k, &two, &out) == SOMA_CHANGED && equal(&out, 1));
    cr_assert(records_remove_if(map, &k, &one, &out) == SOMA_REMOVED && equal(&out, 1));
    cr_assert_eq(records_put_new(map, &k, &two, NULL), SOMA_INSERTED);
    cr_assert(records_remove(map, &k, &out) == SOMA_REMOVED && equal(&out, 2));
    records_free(map);
}

Test(typed_bytes, out_pointers_may_be_null)
{
    struct records *map = fresh_records();
    const struct triple k = {0, 0, 0};
    const struct record one = record_of(1);
    cr_assert_eq(records_put(map, &k, &one, NULL), SOMA_INSERTED);
    cr_assert_eq(records_put(map, &k, &one, NULL), SOMA_REPLACED);
    cr_assert_eq(records_get(map, &k, NULL), SOMA_OK);
    cr_assert_eq(records_put_new(map, &k, &one, NULL), SOMA_EXISTS);
    cr_assert_eq(records_replace(map, &k, &one, NULL), SOMA_REPLACED);
    cr_assert_eq(records_cas(map, &k, &one, &one, NULL), SOMA_REPLACED);
    cr_assert_eq(records_remove(map, &k, NULL), SOMA_REMOVED);
    cr_assert_eq(records_get(map, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(records_put(map, &k, NULL, NULL), SOMA_E_INVALID);
    records_free(map);
}

static enum soma_status grow_heavier(const struct triple *key, bool present, struct record *value, void *ctx)
{
    const struct record zero = {0};
    cr_assert_eq(key->y, -2);
    cr_assert(present || memcmp(value, &zero, sizeof zero) == 0);
    *value = record_of(present ? (int)value->weight + 1 : *(const int *)ctx);
    return value->weight > 12 ? SOMA_REMOVED : SOMA_OK;
}

Test(typed_bytes, update)
{
    struct records *map = fresh_records();
    const struct triple k = {1, -2, 3};
    struct record out;
    int first = 10;
    cr_assert_eq(records_update(map, &k, grow_heavier, &first), SOMA_INSERTED);
    cr_assert_eq(records_update(map, &k, grow_heavier, &first), SOMA_REPLACED);
    cr_assert(records_get(map, &k, &out) == SOMA_OK && equal(&out, 11));
    cr_assert_eq(records_update(map, &k, grow_heavier, &first), SOMA_REPLACED);
    cr_assert_eq(records_update(map, &k, grow_heavier, &first), SOMA_REMOVED);
    cr_assert_eq(records_update(map, &k, NULL, NULL), SOMA_E_INVALID);
    records_free(map);
}

Test(typed_bytes, many)
{
    struct records *map = fresh_records();
    static struct triple keys[MANY];
    static struct record values[MANY];
    static struct record out[MANY];
    bool found[MANY];
    size_t done = 77;
    for (int i = 0; i < MANY; i++) {
        keys[i] = (struct triple){i, -i, 7};
        values[i] = record_of(i);
        out[i] = record_of(-1);
    }
    cr_assert_eq(records_put_many(map, keys, values, MANY, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    for (int i = 1; i < MANY; i += 2)
        cr_assert_eq(records_remove(map, &keys[i], NULL), SOMA_REMOVED);
    cr_assert_eq(records_get_many(map, keys, MANY, out, found), MANY / 2);
    for (int i = 0; i < MANY; i++)
        cr_assert(found[i] == (i % 2 == 0) && equal(&out[i], found[i] ? i : -1));
    cr_assert_eq(records_get_many(map, keys, 65, NULL, NULL), 33);
    cr_assert_eq(records_get_many(map, NULL, 1, NULL, NULL), 0);
    cr_assert_eq(records_remove_many(map, keys, MANY, found, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(found[i], i % 2 == 0);
    cr_assert_eq(records_put_many(map, keys, NULL, 1, NULL), SOMA_E_INVALID);
    records_free(map);
}

static enum soma_status take_light(const struct triple *key, const struct record *value, void *ctx)
{
    ++*(unsigned *)ctx;
    cr_assert(key->y == -key->x && equal(value, key->x));
    return value->weight < MANY / 2 ? SOMA_REMOVED : SOMA_EXISTS;
}

Test(typed_bytes, take)
{
    struct records *map = fresh_records();
    static struct triple keys[MANY];
    static struct record values[MANY];
    unsigned asked = 0;
    uint64_t place = 0;
    size_t taken = 77;
    for (int i = 0; i < MANY; i++) {
        const struct record value = record_of(i);
        cr_assert_eq(records_put(map, &(struct triple){i, -i, 7}, &value, NULL), SOMA_INSERTED);
    }
    cr_assert_eq(records_take(map, &place, MANY, take_light, &asked, keys, values, &taken), SOMA_END);
    cr_assert(asked == MANY && taken == MANY / 2);
    for (size_t i = 0; i < taken; i++)
        cr_assert(keys[i].x < MANY / 2 && keys[i].z == 7 && equal(&values[i], keys[i].x));
    cr_assert_eq(records_take(map, &place, 70, NULL, NULL, keys, NULL, &taken), SOMA_OK);
    cr_assert(taken == 70 && records_count_approx(map) == MANY / 2 - 70);
    cr_assert_eq(records_take(map, &place, 3, NULL, NULL, NULL, NULL, NULL), SOMA_OK);
    cr_assert_eq(records_take(map, &place, SIZE_MAX, NULL, NULL, NULL, NULL, &taken), SOMA_END);
    cr_assert(taken == MANY / 2 - 73 && records_count_approx(map) == 0);
    cr_assert_eq(records_take(map, NULL, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(records_take(NULL, &place, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    records_free(map);
}

static enum soma_status take_all_octets(const struct triple *key, const uint8_t *value, void *ctx)
{
    *(int *)ctx = key->x + *value;
    return SOMA_REMOVED;
}

/* In the map the key stands behind one byte. */
Test(typed_bytes, takes_what_is_not_aligned)
{
    struct octets *map = NULL;
    const struct triple k = {1000, 2, 3};
    const uint8_t nine = 9;
    struct triple key = {0, 0, 0};
    uint8_t value = 0;
    uint64_t place = 0;
    int seen = 0;
    cr_assert_eq(octets_new(NULL, &map), SOMA_OK);
    cr_assert_eq(octets_put(map, &k, &nine, NULL), SOMA_INSERTED);
    cr_assert_eq(octets_take(map, &place, 2, take_all_octets, &seen, &key, &value, NULL), SOMA_END);
    cr_assert(seen == 1009 && key.x == 1000 && key.z == 3 && value == 9);
    octets_free(map);
}

Test(typed_bytes, sums_wrap_in_their_own_width)
{
    struct octets *map = NULL;
    const struct triple k = {1, 2, 3};
    uint8_t value = 9;
    cr_assert_eq(octets_new(NULL, &map), SOMA_OK);
    cr_assert_eq(octets_fetch_add(map, &k, 200, &value), SOMA_INSERTED);
    cr_assert_eq(value, 0);
    cr_assert_eq(octets_fetch_add(map, &k, 100, &value), SOMA_REPLACED);
    cr_assert_eq(value, 200);
    cr_assert(octets_get(map, &k, &value) == SOMA_OK && value == 44);
    octets_free(map);
}

Test(typed_bytes, size)
{
    struct records *map = fresh_records();
    const struct triple k = {1, 2, 3};
    const struct record one = record_of(1);
    cr_assert_eq(records_reserve(map, 1000), SOMA_OK);
    cr_assert_eq(records_put(map, &k, &one, NULL), SOMA_INSERTED);
    cr_assert_eq(records_shrink(map), SOMA_OK);
    cr_assert_eq(records_count_approx(map), 1);
    cr_assert_eq(soma_map_count_approx(records_raw(map)), 1);
    cr_assert_eq(records_clear(map), SOMA_OK);
    cr_assert_eq(records_count_approx(map), 0);
    records_free(map);
    cr_assert_eq(records_new(NULL, NULL), SOMA_E_INVALID);
}

static double retired_weight;

static void record_retire(const void *value, size_t len, void *ctx)
{
    cr_assert_eq(len, sizeof(struct record));
    cr_assert_null(ctx);
    retired_weight += records_value_of(value).weight;
}

Test(typed_bytes, retired_values)
{
    struct records *map = NULL;
    const struct triple k = {1, 2, 3};
    const struct record ten = record_of(10), seven = record_of(7);
    cr_assert_eq(records_new(&(struct soma_map_options){.value_retire = record_retire}, &map), SOMA_OK);
    cr_assert_eq(records_put(map, &k, &ten, NULL), SOMA_INSERTED);
    cr_assert_eq(records_put(map, &k, &seven, NULL), SOMA_REPLACED);
    records_free(map);
    soma_barrier_wait();
    cr_assert(is(retired_weight, 17.0));
}
