/* SPDX-License-Identifier: ISC */
/* glib.c - soma/compat/glib.h beside GLib's own table: the same random calls give the same answers, and destroy the same keys and
 * values; threads against each other, with exact counts and nothing destroyed too early, twice or never; and what happens
 * without memory. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include <soma/compat/glib.h>

#include "support.h"

/* ---- Memory that is refused ---- */

static bool armed;
static uint64_t asked;
static uint64_t first_refused;

static bool refused(void)
{
    return armed && ++asked >= first_refused;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
__attribute__((used)) void *__wrap_malloc(size_t size);
__attribute__((used)) void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused() ? NULL : __real_calloc(count, size);
}

/* ---- Maps that are refused, and a thread that gets in between ---- */

static bool no_maps;
static void (*behind_swap)(void); /* called once, behind the next swap of a chain for another */

enum soma_status __real_soma_u64_new(const struct soma_u64_options *options, soma_u64 **out);
enum soma_status __real_soma_map_new(const struct soma_map_options *options, soma_map **out);
enum soma_status __real_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                     uint64_t *actual);
__attribute__((used)) enum soma_status __wrap_soma_u64_new(const struct soma_u64_options *options, soma_u64 **out);
__attribute__((used)) enum soma_status __wrap_soma_map_new(const struct soma_map_options *options, soma_map **out);
__attribute__((used)) enum soma_status __wrap_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected,
                                                           uint64_t desired, uint64_t *actual);

enum soma_status __wrap_soma_u64_new(const struct soma_u64_options *options, soma_u64 **out)
{
    return no_maps ? SOMA_E_NOMEM : __real_soma_u64_new(options, out);
}

enum soma_status __wrap_soma_map_new(const struct soma_map_options *options, soma_map **out)
{
    return no_maps ? SOMA_E_NOMEM : __real_soma_map_new(options, out);
}

enum soma_status __wrap_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    const enum soma_status status = __real_soma_u64_cas(map, key, expected, desired, actual);
    void (*const call)(void) = behind_swap;
    if (call && status == SOMA_REPLACED) {
        behind_swap = NULL;
        call();
    }
    return status;
}

/* ---- Keys and values ---- */

/* What a table gets a pointer to. Two objects with one number are equal keys. */
struct object {
    union {
        gint i;
        gint64 i64;
        gdouble d;
        char text[16];
    } as;
    uint64_t number;
    uint64_t id;
};

enum side {
    THEIRS,
    OURS,
    SIDES,
};

/* What was destroyed: how many, and a sum that tells which. */
struct ledger {
    uint64_t count;
    uint64_t sum;
};
static struct ledger keys_gone[SIDES];
static struct ledger values_gone[SIDES];

static void note(struct ledger *ledger, struct object *object)
{
    ledger->count++;
    ledger->sum += object->id * UINT64_C(0x9e3779b97f4a7c15);
    free(object);
}

static void their_key_gone(gpointer key)
{
    note(&keys_gone[THEIRS], key);
}

static void our_key_gone(gpointer key)
{
    note(&keys_gone[OURS], key);
}

static void their_value_gone(gpointer value)
{
    note(&values_gone[THEIRS], value);
}

static void our_value_gone(gpointer value)
{
    note(&values_gone[OURS], value);
}

static guint number_hash(gconstpointer key)
{
    return (guint)((const struct object *)key)->number * 2654435761u;
}

static guint number_hash_few(gconstpointer key)
{
    return (guint)((const struct object *)key)->number % 3;
}

static guint number_hash_one(gconstpointer key)
{
    (void)key;
    return 7;
}

static gboolean number_equal(gconstpointer a, gconstpointer b)
{
    return ((const struct object *)a)->number == ((const struct object *)b)->number;
}

static void as_int(struct object *object)
{
    object->as.i = (gint)object->number - 5;
}

static void as_int64(struct object *object)
{
    object->as.i64 = (gint64)object->number << 40;
}

/* 0.0 and -0.0 are one number. */
static void as_double(struct object *object)
{
    object->as.d = (double)object->number / 4;
    if (object->number == 0 && object->id / 2 % 2)
        object->as.d = -0.0;
}

static void as_text(struct object *object)
{
    g_snprintf(object->as.text, sizeof object->as.text, "%" G_GUINT64_FORMAT, object->number * object->number);
}

static void as_number(struct object *object)
{
    (void)object;
}

struct kind {
    GHashFunc hash;
    GEqualFunc equal;
    void (*fill)(struct object *object); /* NULL: the keys are numbers in pointers */
    bool destroys;
    uint64_t numbers;
};

static struct object *object_new(uint64_t number, uint64_t id, const struct kind *kind)
{
    struct object *object = need(1, sizeof *object);
    object->number = number;
    object->id = id;
    if (kind && kind->fill)
        kind->fill(object);
    return object;
}

/* ---- Both tables ---- */

struct both {
    const struct kind *kind;
    GHashTable *theirs;
    soma_g_hash_table *ours;
    struct rng rng;
    uint64_t next_id;
    GPtrArray *loose; /* what no table destroys */
};

static struct both both_new(const struct kind *kind, uint64_t stream)
{
    struct both both = {.kind = kind, .rng = rng_new(stream)};
    const bool keys = kind->destroys && kind->fill;
    both.theirs = g_hash_table_new_full(kind->hash, kind->equal, keys ? their_key_gone : NULL,
                                        kind->destroys ? their_value_gone : NULL);
    both.ours = soma_g_hash_table_new_full(kind->hash, kind->equal, keys ? our_key_gone : NULL,
                                           kind->destroys ? our_value_gone : NULL);
    both.loose = g_ptr_array_new_with_free_func(free);
    memset(keys_gone, 0, sizeof keys_gone);
    memset(values_gone, 0, sizeof values_gone);
    return both;
}

/* A key, or a pair of them, one for each side. */
static void keys_new(struct both *both, uint64_t number, gpointer key[SIDES])
{
    const uint64_t id = ++both->next_id;
    for (int side = 0; side < SIDES; side++) {
        key[side] = both->kind->fill ? (gpointer)object_new(number, id, both->kind) : GSIZE_TO_POINTER(number);
        if (!both->kind->destroys && both->kind->fill)
            g_ptr_array_add(both->loose, key[side]);
    }
}

static void values_new(struct both *both, gpointer value[SIDES])
{
    const uint64_t id = ++both->next_id;
    const uint64_t number = rng_below(&both->rng, 100);
    for (int side = 0; side < SIDES; side++) {
        value[side] = object_new(number, id, NULL);
        if (!both->kind->destroys)
            g_ptr_array_add(both->loose, value[side]);
    }
}

/* What came out for good is the test's. */
static void keep_loose(struct both *both, gpointer key, gpointer value)
{
    if (!both->kind->destroys)
        return;
    if (key && both->kind->fill)
        g_ptr_array_add(both->loose, key);
    if (value)
        g_ptr_array_add(both->loose, value);
}

static uint64_t number_of(const struct both *both, gconstpointer key)
{
    return both->kind->fill ? ((const struct object *)key)->number : GPOINTER_TO_SIZE(key);
}

static uint64_t id_of(gconstpointer object)
{
    return object ? ((const struct object *)object)->id : 0;
}

/* The key itself, where it is an object: which of equal ones is in the table matters. */
static uint64_t key_id(const struct both *both, gconstpointer key)
{
    return both->kind->fill ? id_of(key) : GPOINTER_TO_SIZE(key);
}

static void both_forget(struct both *both)
{
    g_hash_table_destroy(both->theirs);
    soma_g_hash_table_destroy(both->ours);
    soma_barrier_wait();
    EXPECT(memcmp(&keys_gone[THEIRS], &keys_gone[OURS], sizeof keys_gone[OURS]) == 0);
    EXPECT(memcmp(&values_gone[THEIRS], &values_gone[OURS], sizeof values_gone[OURS]) == 0);
    EXPECT(!both->kind->destroys || values_gone[OURS].count > 0);
    g_ptr_array_free(both->loose, TRUE);
}

/* ---- Sums over all entries, by every way there is of going through them ---- */

struct sum {
    const struct both *both;
    uint64_t sum;
    uint64_t count;
    uint64_t modulus;
    uint64_t rest;
    struct both *stolen;
};

static void add_up(gpointer key, gpointer value, gpointer data)
{
    struct sum *sum = data;
    sum->sum += (key_id(sum->both, key) + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ id_of(value);
    sum->count++;
}

static gboolean picked(gpointer key, gpointer value, gpointer data)
{
    const struct sum *sum = data;
    return (number_of(sum->both, key) + ((struct object *)value)->number) % sum->modulus == sum->rest;
}

/* What is taken out without a destroy function is often freed on the way, which GLib does not mind. */
static void free_now(gpointer key, gpointer value, gpointer data)
{
    const struct both *both = data;
    if (both->kind->destroys && both->kind->fill)
        free(key);
    if (both->kind->destroys)
        free(value);
}

static gboolean picked_to_free(gpointer key, gpointer value, gpointer data)
{
    struct sum *sum = data;
    if (!picked(key, value, data))
        return FALSE;
    free_now(key, value, sum->stolen);
    return TRUE;
}

static void sums_agree(struct both *both)
{
    struct sum theirs = {.both = both};
    struct sum ours = {.both = both};
    struct sum iterated = {.both = both};
    soma_g_hash_table_iter iter;
    gpointer key;
    gpointer value;
    g_hash_table_foreach(both->theirs, add_up, &theirs);
    soma_g_hash_table_foreach(both->ours, add_up, &ours);
    soma_g_hash_table_iter_init(&iter, both->ours);
    EXPECT(soma_g_hash_table_iter_get_hash_table(&iter) == both->ours);
    while (soma_g_hash_table_iter_next(&iter, &key, &value))
        add_up(key, value, &iterated);
    EXPECT_EQ(ours.sum, theirs.sum);
    EXPECT_EQ(ours.count, theirs.count);
    EXPECT_EQ(iterated.sum, theirs.sum);
    EXPECT_EQ(iterated.count, theirs.count);
    EXPECT_EQ(soma_g_hash_table_size(both->ours), g_hash_table_size(both->theirs));
    verified(3);
}

static uint64_t list_sum(const struct both *both, GList *list, bool keys)
{
    uint64_t sum = 0;
    for (GList *at = list; at; at = at->next)
        sum += (keys ? key_id(both, at->data) : id_of(at->data)) * UINT64_C(0x9e3779b97f4a7c15);
    g_list_free(list);
    return sum;
}

static void lists_agree(struct both *both)
{
    guint length[SIDES] = {0};
    gpointer *array[SIDES];
    EXPECT_EQ(list_sum(both, soma_g_hash_table_get_keys(both->ours), true),
              list_sum(both, g_hash_table_get_keys(both->theirs), true));
    EXPECT_EQ(list_sum(both, soma_g_hash_table_get_values(both->ours), false),
              list_sum(both, g_hash_table_get_values(both->theirs), false));
    array[THEIRS] = g_hash_table_get_keys_as_array(both->theirs, &length[THEIRS]);
    array[OURS] = soma_g_hash_table_get_keys_as_array(both->ours, &length[OURS]);
    EXPECT_EQ(length[OURS], length[THEIRS]);
    uint64_t sum[SIDES] = {0};
    for (int side = 0; side < SIDES; side++) {
        for (guint i = 0; i < length[side]; i++)
            sum[side] += key_id(both, array[side][i]) * UINT64_C(0x9e3779b97f4a7c15);
        EXPECT(array[side][length[side]] == NULL);
        g_free(array[side]);
    }
    EXPECT_EQ(sum[OURS], sum[THEIRS]);
    verified(3);
}

/* ---- One call on both ---- */

/* A key to look up with, which no table keeps. */
static gpointer key_to_ask(struct both *both, struct object *object)
{
    const uint64_t number = rng_below(&both->rng, both->kind->numbers);
    if (!both->kind->fill)
        return GSIZE_TO_POINTER(number);
    *object = (struct object){.number = number, .id = 1};
    both->kind->fill(object);
    return object;
}

static bool seeded_bug;

static void store(struct both *both)
{
    gpointer key[SIDES];
    gpointer value[SIDES];
    keys_new(both, rng_below(&both->rng, both->kind->numbers), key);
    values_new(both, value);
    if (rng_below(&both->rng, 2) == 0) {
        const bool bug = seeded_bug;
        EXPECT_EQ(bug ? soma_g_hash_table_replace(both->ours, key[OURS], value[OURS])
                      : soma_g_hash_table_insert(both->ours, key[OURS], value[OURS]),
                  g_hash_table_insert(both->theirs, key[THEIRS], value[THEIRS]));
    } else {
        EXPECT_EQ(soma_g_hash_table_replace(both->ours, key[OURS], value[OURS]),
                  g_hash_table_replace(both->theirs, key[THEIRS], value[THEIRS]));
    }
    verified(1);
}

static void look(struct both *both)
{
    struct object object;
    const gpointer asked_for = key_to_ask(both, &object);
    gpointer key[SIDES] = {NULL, NULL};
    gpointer value[SIDES] = {NULL, NULL};
    EXPECT_EQ(id_of(soma_g_hash_table_lookup(both->ours, asked_for)),
              id_of(g_hash_table_lookup(both->theirs, asked_for)));
    EXPECT_EQ(soma_g_hash_table_contains(both->ours, asked_for), g_hash_table_contains(both->theirs, asked_for));
    const gboolean there = g_hash_table_lookup_extended(both->theirs, asked_for, &key[THEIRS], &value[THEIRS]);
    EXPECT_EQ(soma_g_hash_table_lookup_extended(both->ours, asked_for, &key[OURS], &value[OURS]), there);
    if (there)
        EXPECT_EQ(key_id(both, key[OURS]), key_id(both, key[THEIRS]));
    EXPECT_EQ(id_of(value[OURS]), id_of(value[THEIRS]));
    verified(1);
}

static void take(struct both *both)
{
    struct object object;
    const gpointer asked_for = key_to_ask(both, &object);
    gpointer key[SIDES] = {NULL, NULL};
    gpointer value[SIDES] = {NULL, NULL};
    switch (rng_below(&both->rng, 3)) {
    case 0:
        EXPECT_EQ(soma_g_hash_table_remove(both->ours, asked_for), g_hash_table_remove(both->theirs, asked_for));
        break;
    case 1:
        EXPECT_EQ(soma_g_hash_table_steal_extended(both->ours, asked_for, &key[OURS], &value[OURS]),
                  g_hash_table_steal_extended(both->theirs, asked_for, &key[THEIRS], &value[THEIRS]));
        break;
    default:
        g_hash_table_lookup_extended(both->theirs, asked_for, &key[THEIRS], &value[THEIRS]);
        soma_g_hash_table_lookup_extended(both->ours, asked_for, &key[OURS], &value[OURS]);
        EXPECT_EQ(soma_g_hash_table_steal(both->ours, asked_for), g_hash_table_steal(both->theirs, asked_for));
        break;
    }
    EXPECT_EQ(id_of(value[OURS]), id_of(value[THEIRS]));
    for (int side = 0; side < SIDES; side++)
        keep_loose(both, key[side], value[side]);
    verified(1);
}

static void sweep(struct both *both)
{
    struct sum sum = {.both = both, .modulus = 3, .rest = rng_below(&both->rng, 3), .stolen = both};
    if (rng_below(&both->rng, 2) == 0)
        EXPECT_EQ(soma_g_hash_table_foreach_remove(both->ours, picked, &sum),
                  g_hash_table_foreach_remove(both->theirs, picked, &sum));
    else
        EXPECT_EQ(soma_g_hash_table_foreach_steal(both->ours, picked_to_free, &sum),
                  g_hash_table_foreach_steal(both->theirs, picked_to_free, &sum));
    EXPECT((soma_g_hash_table_find(both->ours, picked, &sum) == NULL) ==
           (g_hash_table_find(both->theirs, picked, &sum) == NULL));
    EXPECT(soma_g_hash_table_find(both->ours, picked, &sum) == NULL);
    verified(1);
}

/* Iterators that remove, steal and replace, each by what the entry's numbers say. */
static void iterate_theirs(struct both *both, uint64_t rest)
{
    struct sum sum = {.both = both, .modulus = 5, .rest = rest};
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    g_hash_table_iter_init(&iter, both->theirs);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const uint64_t fate = (number_of(both, key) + ((struct object *)value)->number + rest) % sum.modulus;
        if (fate == 0) {
            g_hash_table_iter_remove(&iter);
        } else if (fate == 1) {
            keep_loose(both, key, value);
            g_hash_table_iter_steal(&iter);
        } else if (fate == 2) {
            struct object *next = object_new(((struct object *)value)->number + 1, id_of(value) + 1, NULL);
            if (!both->kind->destroys)
                g_ptr_array_add(both->loose, next);
            g_hash_table_iter_replace(&iter, next);
        }
    }
}

static void iterate_ours(struct both *both, uint64_t rest)
{
    struct sum sum = {.both = both, .modulus = 5, .rest = rest};
    soma_g_hash_table_iter iter;
    gpointer key;
    gpointer value;
    soma_read_enter();
    soma_g_hash_table_iter_init(&iter, both->ours);
    while (soma_g_hash_table_iter_next(&iter, &key, &value)) {
        const uint64_t fate = (number_of(both, key) + ((struct object *)value)->number + rest) % sum.modulus;
        if (fate == 0) {
            soma_g_hash_table_iter_remove(&iter);
        } else if (fate == 1) {
            keep_loose(both, key, value);
            soma_g_hash_table_iter_steal(&iter);
        } else if (fate == 2) {
            struct object *next = object_new(((struct object *)value)->number + 1, id_of(value) + 1, NULL);
            if (!both->kind->destroys)
                g_ptr_array_add(both->loose, next);
            soma_g_hash_table_iter_replace(&iter, next);
        }
    }
    soma_read_exit();
}

static void iterate(struct both *both)
{
    const uint64_t rest = rng_below(&both->rng, 5);
    iterate_theirs(both, rest);
    iterate_ours(both, rest);
    sums_agree(both);
}

static void empty(struct both *both)
{
    if (rng_below(&both->rng, 2) == 0) {
        g_hash_table_remove_all(both->theirs);
        soma_g_hash_table_remove_all(both->ours);
    } else {
        g_hash_table_foreach(both->theirs, free_now, both);
        soma_g_hash_table_foreach(both->ours, free_now, both);
        g_hash_table_steal_all(both->theirs);
        soma_g_hash_table_steal_all(both->ours);
    }
    EXPECT_EQ(soma_g_hash_table_size(both->ours), 0);
    verified(1);
}

static void play(struct both *both, unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        const uint64_t dice = rng_below(&both->rng, 1000);
        if (dice < 550)
            store(both);
        else if (dice < 780)
            look(both);
        else if (dice < 980)
            take(both);
        else if (dice < 986)
            sweep(both);
        else if (dice < 990)
            iterate(both);
        else if (dice < 994)
            lists_agree(both);
        else if (dice < 998)
            sums_agree(both);
        else if (dice == 999)
            empty(both);
    }
}

static void same_as_glib(const void *setup)
{
    struct both both = both_new(setup, 1);
    play(&both, 6000);
    /* A reference more: destroy empties the table, and it is still there. */
    g_hash_table_ref(both.theirs);
    EXPECT(soma_g_hash_table_ref(both.ours) == both.ours);
    g_hash_table_destroy(both.theirs);
    soma_g_hash_table_destroy(both.ours);
    sums_agree(&both);
    play(&both, 500);
    both_forget(&both);
}

/* The comparison must notice a table that keeps the wrong one of two equal keys. */
static void canary_same(const void *setup)
{
    struct both both = both_new(setup, 2);
    canary_begin();
    seeded_bug = true;
    play(&both, 2000);
    both_forget(&both);
    seeded_bug = false;
    EXPECT(canary_end() > 0);
    verified(1);
}

static void sets(const void *setup)
{
    (void)setup;
    struct both both = both_new(&(struct kind){g_str_hash, g_str_equal, as_text, false, 50}, 3);
    for (int i = 0; i < 500; i++) {
        gpointer key[SIDES];
        keys_new(&both, rng_below(&both.rng, 50), key);
        EXPECT_EQ(soma_g_hash_table_add(both.ours, key[OURS]), g_hash_table_add(both.theirs, key[THEIRS]));
        verified(1);
    }
    sums_agree(&both);
    char one[] = "one";
    g_autoptr(soma_g_hash_table) similar = soma_g_hash_table_new_similar(both.ours);
    EXPECT(soma_g_hash_table_add(similar, one) && !soma_g_hash_table_add(similar, one));
    both_forget(&both);
}

/* A hash that is one for all, and more entries than an iterator takes up at once, which removes while it goes. */
static void long_chain(const void *setup)
{
    (void)setup;
    soma_g_hash_table *table = soma_g_hash_table_new_full(number_hash_one, number_equal, free, NULL);
    for (uint64_t i = 0; i < 300; i++)
        soma_g_hash_table_insert(table, object_new(i, i, NULL), GSIZE_TO_POINTER(i));
    bool seen[300] = {false};
    soma_g_hash_table_iter iter;
    gpointer key;
    gpointer value;
    soma_read_enter();
    soma_g_hash_table_iter_init(&iter, table);
    while (soma_g_hash_table_iter_next(&iter, &key, &value)) {
        const uint64_t number = ((struct object *)key)->number;
        EXPECT(!seen[number]);
        seen[number] = true;
        verified(1);
        if (number % 2)
            soma_g_hash_table_iter_remove(&iter);
        else /* what comes during the walk stands in front of what is to be given */
            soma_g_hash_table_insert(table, object_new(1000 + number, 0, NULL), NULL);
    }
    soma_read_exit();
    for (int i = 0; i < 300; i++)
        EXPECT(seen[i]);
    EXPECT_EQ(soma_g_hash_table_size(table), 300);
    soma_g_hash_table_remove_all(table);
    EXPECT_EQ(soma_g_hash_table_size(table), 0);
    soma_g_hash_table_unref(table);
    soma_barrier_wait();
}

/* ---- The calls that GLib lacks ---- */

static enum soma_status plus_one(gconstpointer key, gboolean present, gpointer *value, gpointer data)
{
    (void)key;
    (void)present;
    *value = GSIZE_TO_POINTER(GPOINTER_TO_SIZE(*value) + 1);
    return GPOINTER_TO_SIZE(*value) > GPOINTER_TO_SIZE(data) ? SOMA_REMOVED : SOMA_OK;
}

static enum soma_status leave(gconstpointer key, gboolean present, gpointer *value, gpointer data)
{
    (void)key;
    (void)present;
    (void)value;
    return *(enum soma_status *)data;
}

static void more_verbs(const void *setup)
{
    (void)setup;
    char one[] = "one";
    char also_one[] = "one";
    char no[] = "no";
    gpointer found = NULL;
    gpointer key = NULL;
    soma_g_hash_table *table = soma_g_hash_table_new(g_str_hash, g_str_equal);
    EXPECT_EQ(soma_g_hash_table_put_new(table, one, GINT_TO_POINTER(5), &found), SOMA_INSERTED);
    EXPECT_EQ(soma_g_hash_table_put_new(table, also_one, GINT_TO_POINTER(6), &found), SOMA_EXISTS);
    EXPECT(found == GINT_TO_POINTER(5));
    EXPECT_EQ(soma_g_hash_table_cas(table, also_one, GINT_TO_POINTER(4), GINT_TO_POINTER(7), &found), SOMA_CHANGED);
    EXPECT(found == GINT_TO_POINTER(5));
    EXPECT_EQ(soma_g_hash_table_cas(table, also_one, found, GINT_TO_POINTER(7), &found), SOMA_REPLACED);
    EXPECT_EQ(soma_g_hash_table_cas(table, "two", NULL, NULL, NULL), SOMA_ABSENT);
    EXPECT_EQ(soma_g_hash_table_update(table, also_one, plus_one, GINT_TO_POINTER(9)), SOMA_REPLACED);
    EXPECT_EQ(soma_g_hash_table_remove_if(table, "one", GINT_TO_POINTER(7), &found), SOMA_CHANGED);
    EXPECT(found == GINT_TO_POINTER(8));
    EXPECT(soma_g_hash_table_lookup_extended(table, "one", &key, NULL) && key == one);
    EXPECT(!soma_g_hash_table_lookup_extended(table, "two", &key, &found) && !key && !found);
    EXPECT_EQ(soma_g_hash_table_update(table, also_one, plus_one, GINT_TO_POINTER(9)), SOMA_REPLACED);
    EXPECT_EQ(soma_g_hash_table_update(table, also_one, plus_one, GINT_TO_POINTER(9)), SOMA_REMOVED);
    EXPECT_EQ(soma_g_hash_table_update(table, also_one, plus_one, GINT_TO_POINTER(0)), SOMA_ABSENT);
    EXPECT_EQ(soma_g_hash_table_update(table, also_one, plus_one, GINT_TO_POINTER(9)), SOMA_INSERTED);
    EXPECT_EQ(soma_g_hash_table_update(table, one, leave, &(enum soma_status){SOMA_EXISTS}), SOMA_EXISTS);
    EXPECT_EQ(soma_g_hash_table_update(table, no, leave, &(enum soma_status){SOMA_EXISTS}), SOMA_ABSENT);
    EXPECT_EQ(soma_g_hash_table_update(table, one, leave, &(enum soma_status){SOMA_CHANGED}), SOMA_E_INVALID);
    EXPECT_EQ(soma_g_hash_table_remove_if(table, "one", GINT_TO_POINTER(1), NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_g_hash_table_remove_if(table, "one", GINT_TO_POINTER(1), NULL), SOMA_ABSENT);
    EXPECT_EQ(soma_g_hash_table_size(table), 0);
    soma_g_hash_table_unref(table);
    EXPECT_EQ(soma_g_hash_table_try_new(NULL, NULL, NULL, NULL, NULL, NULL), SOMA_E_INVALID);
    verified(20);
}

static soma_g_hash_table *between_table;
static guint between_size;

/* What another thread does while an update has put a second pair into a chain and not yet counted it. */
static void take_both(void)
{
    struct object key = {.number = 0};
    for (; key.number < 2; key.number++)
        EXPECT(soma_g_hash_table_remove(between_table, &key));
    between_size = soma_g_hash_table_size(between_table);
}

static void size_is_never_negative(const void *setup)
{
    (void)setup;
    between_table = soma_g_hash_table_new_full(number_hash_one, number_equal, free, NULL);
    between_size = 7;
    EXPECT(soma_g_hash_table_insert(between_table, object_new(0, 0, NULL), NULL));
    behind_swap = take_both;
    EXPECT(soma_g_hash_table_insert(between_table, object_new(1, 1, NULL), NULL));
    EXPECT_EQ(between_size, 0);
    EXPECT_EQ(soma_g_hash_table_size(between_table), 0);
    soma_g_hash_table_unref(between_table);
    verified(2);
}

/* Tables in a table, given back by its destroy function: often inside a retired call. */
static void nested(const void *setup)
{
    soma_g_hash_table *outer = soma_g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)soma_g_hash_table_unref);
    (void)setup;
    memset(values_gone, 0, sizeof values_gone);
    for (size_t i = 0; i < 40; i++) {
        soma_g_hash_table *inner = soma_g_hash_table_new_full(g_str_hash, g_str_equal, our_key_gone, our_value_gone);
        for (uint64_t j = 0; j < 10; j++)
            soma_g_hash_table_insert(inner, object_new(j, j, NULL), object_new(j, j, NULL));
        EXPECT_EQ(soma_g_hash_table_size(inner), 1); /* no text: one key */
        soma_g_hash_table_insert(outer, GSIZE_TO_POINTER(i % 20), inner);
    }
    for (size_t i = 0; i < 10; i++)
        EXPECT(soma_g_hash_table_remove(outer, GSIZE_TO_POINTER(i)));
    soma_barrier_wait();
    soma_barrier_wait(); /* what the inner tables have retired */
    EXPECT_EQ(values_gone[OURS].count, 40 * 9 + 30);
    soma_g_hash_table_destroy(outer);
    soma_barrier_wait();
    EXPECT_EQ(values_gone[OURS].count, 40 * 10);
    verified(40);
}

/* ---- Destroy functions that use the table ---- */

/* A table of members, of one side, and what their destroy functions have seen of it. */
struct registry {
    enum side side;
    gpointer table;
    const struct kind *kind;
    struct ledger gone;
    uint64_t seen;    /* members, by destroy functions of others or of their own */
    uint64_t entered; /* by destroy functions */
    bool enters;      /* the first that goes enters another one */
    bool keeps;       /* the first that goes takes a reference */
};

/* One that takes itself out when it goes. Those from LATE on come while others go, and leave the table alone. */
struct member {
    struct registry *registry;
    struct object key;
};
#define LATE 100000

/* One and the same call on either side's table. */
#define ON(registry, verb, ...)                                                                                        \
    ((registry)->side == OURS ? soma_g_hash_table_##verb(__VA_ARGS__) : g_hash_table_##verb(__VA_ARGS__))

static bool enter(struct registry *registry, uint64_t number)
{
    struct member *member = need(1, sizeof *member);
    member->registry = registry;
    member->key.number = number;
    member->key.id = number;
    registry->kind->fill(&member->key);
    const bool done = ON(registry, insert, registry->table, &member->key, member);
    if (!done)
        free(member);
    return done;
}

static void count_one(gpointer key, gpointer value, gpointer data)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)data;
}

static void member_gone(gpointer data)
{
    struct member *member = data;
    struct registry *registry = member->registry;
    registry->gone.count++;
    registry->gone.sum += (member->key.id + 1) * UINT64_C(0x9e3779b97f4a7c15);
    if (member->key.number < LATE) {
        registry->seen += (uint64_t)ON(registry, remove, registry->table, &member->key);
        registry->seen += ON(registry, lookup, registry->table, &member->key) != NULL;
        registry->seen += ON(registry, size, registry->table) - registry->entered;
        uint64_t walked = 0;
        ON(registry, foreach, registry->table, count_one, &walked);
        registry->seen += walked - registry->entered;
        if (registry->keeps)
            (void)(registry->side == OURS ? (gpointer)soma_g_hash_table_ref(registry->table)
                                          : (gpointer)g_hash_table_ref(registry->table));
        registry->keeps = false;
        if (registry->enters) {
            registry->enters = false;
            registry->entered += enter(registry, LATE);
        }
    }
    free(member);
}

static void registry_fill(struct registry *registry, uint64_t members)
{
    for (uint64_t i = 0; i < members; i++)
        EXPECT(enter(registry, i));
}

static void registry_make(struct registry *registry, enum side side, const struct kind *kind, uint64_t members)
{
    memset(registry, 0, sizeof *registry);
    registry->side = side;
    registry->kind = kind;
    registry->table = side == OURS ? (gpointer)soma_g_hash_table_new_full(kind->hash, kind->equal, NULL, member_gone)
                                   : (gpointer)g_hash_table_new_full(kind->hash, kind->equal, NULL, member_gone);
    registry_fill(registry, members);
}

/* What members do to the table that they go with is what GLib's do. */
static void members_deregister(const void *setup)
{
    static const uint64_t members[] = {1, 1000, 1000, 1000};
    for (unsigned turn = 0; turn < sizeof members / sizeof *members; turn++) {
        struct registry registries[SIDES];
        for (int side = 0; side < SIDES; side++) {
            struct registry *registry = &registries[side];
            registry_make(registry, side, setup, members[turn]);
            registry->keeps = turn == 2;
            registry->enters = turn == 3;
            ON(registry, destroy, registry->table);
            EXPECT_EQ(registry->gone.count, members[turn] + (turn == 3));
            EXPECT_EQ(registry->entered, turn == 3);
            EXPECT_EQ(registry->seen, 0);
            if (turn != 2)
                continue;
            /* The reference that was taken keeps a table that works. */
            EXPECT(enter(registry, LATE));
            EXPECT_EQ(ON(registry, size, registry->table), 1);
            ON(registry, unref, registry->table);
        }
        soma_barrier_wait();
        EXPECT_EQ(registries[OURS].gone.count, registries[THEIRS].gone.count);
        EXPECT_EQ(registries[OURS].gone.sum, registries[THEIRS].gone.sum);
        verified(members[turn]);
    }
}

/* The last reference may be given back without destroy, which GLib does not have an answer for. */
static void members_deregister_from_unref(const void *setup)
{
    struct registry registry;
    registry_make(&registry, OURS, setup, 1000);
    soma_g_hash_table_unref(registry.table);
    EXPECT_EQ(registry.gone.count, 1000);
    EXPECT_EQ(registry.seen, 0);
    /* What has left before is another matter: the table is kept until it has gone. */
    registry_make(&registry, OURS, setup, 10);
    struct object key = {.number = 5};
    registry.kind->fill(&key);
    EXPECT(soma_g_hash_table_remove(registry.table, &key));
    registry.entered = soma_g_hash_table_size(registry.table);
    soma_barrier_wait();
    registry.entered = 0;
    soma_g_hash_table_destroy(registry.table);
    EXPECT_EQ(registry.gone.count, 10);
    EXPECT_EQ(registry.seen, 0);
    verified(1010);
}

static gboolean renew(gpointer key, gpointer value, gpointer table)
{
    (void)value;
    if (((struct object *)key)->number == 1)
        soma_g_hash_table_insert(table, object_new(1, 0, NULL), object_new(11, 0, NULL));
    return TRUE;
}

/* What was said about an entry holds for its key and value, not for others that have come since. */
static void decisions(const void *setup)
{
    soma_g_hash_table *table = soma_g_hash_table_new_full(number_hash_few, number_equal, our_key_gone, our_value_gone);
    soma_g_hash_table_iter iter;
    gpointer key = NULL;
    gpointer value = NULL;
    (void)setup;
    memset(values_gone, 0, sizeof values_gone);
    for (uint64_t i = 0; i < 3; i++)
        soma_g_hash_table_insert(table, object_new(i, i, NULL), object_new(i, i, NULL));
    EXPECT_EQ(soma_g_hash_table_foreach_remove(table, renew, table), 2);
    EXPECT_EQ(soma_g_hash_table_size(table), 1);
    soma_g_hash_table_iter_init(&iter, table);
    EXPECT(soma_g_hash_table_iter_next(&iter, &key, NULL));
    renew(key, NULL, table);
    soma_g_hash_table_iter_remove(&iter);
    soma_g_hash_table_iter_steal(&iter);
    EXPECT_EQ(soma_g_hash_table_size(table), 1);
    /* What was replaced by the iterator is what it has shown. */
    soma_g_hash_table_iter_replace(&iter, object_new(12, 0, NULL));
    soma_g_hash_table_iter_remove(&iter);
    EXPECT_EQ(soma_g_hash_table_size(table), 0);
    /* A value that is stored again does not go. */
    struct object *stays = object_new(5, 5, NULL);
    key = object_new(5, 5, NULL);
    soma_g_hash_table_insert(table, key, stays);
    soma_barrier_wait();
    const uint64_t before = values_gone[OURS].count;
    EXPECT_EQ(soma_g_hash_table_cas(table, key, stays, stays, &value), SOMA_REPLACED);
    EXPECT_EQ(soma_g_hash_table_update(table, key, leave, &(enum soma_status){SOMA_OK}), SOMA_REPLACED);
    soma_barrier_wait();
    EXPECT(value == stays && stays->number == 5);
    EXPECT_EQ(values_gone[OURS].count, before);
    soma_g_hash_table_unref(table);
    EXPECT_EQ(values_gone[OURS].count, before + 1);
    verified(10);
}

/* ---- Threads ---- */

#define THREADS 4
#define ROUNDS 4000
#define NUMBERS 32
#define ALIVE UINT64_C(0x11fe11fe11fe11fe)

static atomic_uint_fast64_t made;
static atomic_uint_fast64_t gone;
static atomic_uint_fast64_t won;

struct item {
    uint64_t alive;
    struct object key; /* as a key */
    uint64_t word;
};

static struct item *item_new(uint64_t number, uint64_t word)
{
    struct item *item = need(1, sizeof *item);
    item->alive = ALIVE;
    item->key.number = number;
    item->word = word;
    as_text(&item->key);
    atomic_fetch_add(&made, 1);
    return item;
}

static void item_gone(gpointer item)
{
    EXPECT(((struct item *)item)->alive == ALIVE);
    ((struct item *)item)->alive = 0;
    atomic_fetch_add(&gone, 1);
    free(item);
}

static gpointer key_of(struct item *item)
{
    return &item->key;
}

static void key_gone(gpointer key)
{
    item_gone((char *)key - offsetof(struct item, key));
}

/* Each adds one to every number again and again, however often it has to try. */
static void count_up(unsigned index, void *arg)
{
    (void)index;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct item *key = item_new(i % NUMBERS, 0);
        const enum soma_status status =
            soma_g_hash_table_update(arg, key_of(key), plus_one, GSIZE_TO_POINTER(SIZE_MAX));
        EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED);
        if (status == SOMA_INSERTED)
            atomic_fetch_add(&won, 1);
        else
            item_gone(key);
    }
}

static uint64_t counted(soma_g_hash_table *table)
{
    uint64_t sum = 0;
    GList *values = soma_g_hash_table_get_values(table);
    for (GList *at = values; at; at = at->next)
        sum += GPOINTER_TO_SIZE(at->data);
    g_list_free(values);
    return sum;
}

static void counts_are_exact(const void *setup)
{
    const struct kind *kind = setup;
    soma_g_hash_table *table = soma_g_hash_table_new_full(kind->hash, kind->equal, key_gone, NULL);
    made = gone = won = 0;
    crew_run(THREADS, count_up, table);
    EXPECT_EQ(counted(table), THREADS * ROUNDS);
    EXPECT_EQ(soma_g_hash_table_size(table), NUMBERS);
    EXPECT_EQ(won, NUMBERS);
    verified(THREADS * ROUNDS);
    /* What a thread that looks up and inserts would lose is noticed: */
    struct item *probe = item_new(0, 0);
    const gpointer stale = soma_g_hash_table_lookup(table, key_of(probe));
    soma_g_hash_table_update(table, key_of(probe), plus_one, GSIZE_TO_POINTER(SIZE_MAX));
    soma_g_hash_table_insert(table, key_of(probe), GSIZE_TO_POINTER(GPOINTER_TO_SIZE(stale) + 1));
    canary_begin();
    EXPECT_EQ(counted(table), THREADS * ROUNDS + 2);
    EXPECT_EQ(canary_end(), 1);
    soma_g_hash_table_destroy(table);
    soma_barrier_wait();
    EXPECT_EQ(gone, made);
}

static gboolean every_third(gpointer key, gpointer value, gpointer data)
{
    (void)data;
    EXPECT(((struct item *)value)->alive == ALIVE);
    return (((struct object *)key)->number + ((struct item *)value)->word) % 3 == 0;
}

static void churn_once(soma_g_hash_table *table, struct rng *rng)
{
    struct item *key = item_new(rng_below(rng, NUMBERS), 0);
    struct item *value = item_new(0, rng_next(rng));
    gpointer stolen_key;
    gpointer stolen;
    switch (rng_below(rng, 6)) {
    case 0:
        soma_g_hash_table_insert(table, key_of(key), value);
        return;
    case 1:
        soma_g_hash_table_replace(table, key_of(key), value);
        return;
    case 2:
        if (soma_g_hash_table_put_new(table, key_of(key), value, NULL) == SOMA_INSERTED)
            return;
        break;
    case 3:
        soma_g_hash_table_remove(table, key_of(key));
        break;
    case 4:
        if (soma_g_hash_table_steal_extended(table, key_of(key), &stolen_key, &stolen)) {
            EXPECT(soma_retire(key_gone, stolen_key) == SOMA_OK);
            EXPECT(soma_retire(item_gone, stolen) == SOMA_OK);
        }
        break;
    default:
        soma_read_enter();
        stolen = soma_g_hash_table_lookup(table, key_of(key));
        if (stolen) {
            EXPECT(((struct item *)stolen)->alive == ALIVE);
            if (soma_g_hash_table_cas(table, key_of(key), stolen, value, NULL) == SOMA_REPLACED)
                value = NULL;
        }
        soma_read_exit();
        break;
    }
    item_gone(key);
    if (value)
        item_gone(value);
}

static void churn(unsigned index, void *arg)
{
    soma_g_hash_table *table = arg;
    struct rng rng = rng_new(100 + index);
    for (unsigned i = 0; i < ROUNDS / 2; i++) {
        churn_once(table, &rng);
        soma_g_hash_table_iter iter;
        gpointer key;
        gpointer value;
        if (i % 64 == 0) {
            soma_read_enter();
            soma_g_hash_table_iter_init(&iter, table);
            while (soma_g_hash_table_iter_next(&iter, &key, &value)) {
                EXPECT(((struct item *)value)->alive == ALIVE);
                if (rng_below(&rng, 8) == 0)
                    soma_g_hash_table_iter_remove(&iter);
                else if (rng_below(&rng, 8) == 0)
                    soma_g_hash_table_iter_replace(&iter, item_new(0, 1));
            }
            soma_read_exit();
        } else if (i % 64 == 32) {
            soma_g_hash_table_foreach_remove(table, every_third, NULL);
        } else if (i % 512 == 100) {
            soma_g_hash_table_remove_all(table);
        }
    }
    verified(ROUNDS / 2);
}

/* Whatever threads do, what came in goes once, and not while somebody looks at it. */
static void all_goes_once(const void *setup)
{
    const struct kind *kind = setup;
    soma_g_hash_table *table = soma_g_hash_table_new_full(kind->hash, kind->equal, key_gone, item_gone);
    made = gone = 0;
    crew_run(THREADS, churn, table);
    gpointer *keys = soma_g_hash_table_get_keys_as_array(table, NULL);
    guint count = 0;
    while (keys[count])
        EXPECT(soma_g_hash_table_contains(table, keys[count++]));
    EXPECT_EQ(count, soma_g_hash_table_size(table));
    g_free(keys);
    soma_g_hash_table_destroy(table);
    soma_barrier_wait();
    EXPECT_EQ(gone, made);
}

/* Even numbers stay, odd ones come and go: walks give those that stay once, and none twice. */
#define WALKED 400

struct walk {
    soma_g_hash_table *table;
    bool iterators; /* not with long chains: the header says so */
};

static atomic_bool walked;

static void see(gpointer key, gpointer value, gpointer data)
{
    (void)value;
    ((unsigned *)data)[((struct object *)key)->number]++;
}

static void see_all(const struct walk *walk, bool iterate)
{
    unsigned seen[WALKED] = {0};
    soma_g_hash_table_iter iter;
    gpointer key;
    soma_read_enter();
    soma_g_hash_table_iter_init(&iter, walk->table);
    if (!iterate)
        soma_g_hash_table_foreach(walk->table, see, seen);
    while (iterate && soma_g_hash_table_iter_next(&iter, &key, NULL))
        see(key, NULL, seen);
    soma_read_exit();
    for (unsigned i = 0; i < WALKED; i++)
        EXPECT(i % 2 ? seen[i] <= 1 : seen[i] == 1);
    verified(1);
}

static void come_and_go(soma_g_hash_table *table, struct rng *rng)
{
    struct item *key = item_new(2 * rng_below(rng, WALKED / 2) + 1, 0);
    if (rng_below(rng, 2) == 0) {
        soma_g_hash_table_insert(table, key_of(key), item_new(0, 0));
        return;
    }
    soma_g_hash_table_remove(table, key_of(key));
    key->key.number--; /* one that stays gets another key and value */
    as_text(&key->key);
    soma_g_hash_table_replace(table, key_of(key), item_new(0, 0));
}

static void walk_or_churn(unsigned index, void *arg)
{
    struct walk *walk = arg;
    struct rng rng = rng_new(200 + index);
    for (unsigned i = 0; index == 0 && (i < 20 || atomic_load(&gone) < 5000); i++)
        see_all(walk, walk->iterators && i % 2);
    if (index == 0)
        atomic_store(&walked, true);
    while (!atomic_load(&walked))
        come_and_go(walk->table, &rng);
}

static void walks_are_whole(const void *setup)
{
    const struct kind *kind = setup;
    struct walk walk = {.iterators = kind->hash != number_hash_few};
    made = gone = 0;
    atomic_store(&walked, false);
    walk.table = soma_g_hash_table_new_full(kind->hash, kind->equal, key_gone, item_gone);
    for (uint64_t i = 0; i < WALKED; i += 2)
        soma_g_hash_table_insert(walk.table, key_of(item_new(i, 0)), item_new(0, 0));
    crew_run(3, walk_or_churn, &walk);
    soma_g_hash_table_destroy(walk.table);
    soma_barrier_wait();
    EXPECT_EQ(gone, made);
}

/* ---- No memory ---- */

struct refusals {
    unsigned told;
    enum soma_status status;
};

static void on_refusal(soma_g_hash_table *table, enum soma_status status, const char *call, gpointer data)
{
    struct refusals *refusals = data;
    armed = false;
    EXPECT(table != NULL && g_str_has_prefix(call, "soma_g_hash_table_"));
    refusals->told++;
    refusals->status = status;
}

static void add_number(gpointer key, gpointer value, gpointer data)
{
    *(uint64_t *)data += ((struct object *)key)->number * 100 + ((struct object *)value)->number;
}

/* The n-th call for memory, and all later ones, fail in one call on a table of 20. */
static bool refuse(const struct kind *kind, unsigned verb, uint64_t n)
{
    struct refusals refusals = {0, SOMA_OK};
    const struct soma_g_hash_table_options options = {.error = on_refusal, .error_data = &refusals};
    soma_g_hash_table *table = NULL;
    memset(keys_gone, 0, sizeof keys_gone);
    memset(values_gone, 0, sizeof values_gone);
    EXPECT_EQ(soma_g_hash_table_try_new(kind->hash, kind->equal, our_key_gone, our_value_gone, &options, &table),
              SOMA_OK);
    for (uint64_t i = 0; i < 20; i++)
        soma_g_hash_table_insert(table, object_new(i, i, kind), object_new(i, i, NULL));
    uint64_t before = 0;
    uint64_t after = 0;
    soma_g_hash_table_foreach(table, add_number, &before);
    struct object *key = object_new(verb == 0 ? 77 : 7, 77, kind);
    struct object *value = object_new(1, 77, NULL);
    struct sum sum = {.modulus = 3, .rest = 0};
    const struct both both = {.kind = kind};
    sum.both = &both;
    asked = 0;
    first_refused = n;
    armed = true;
    if (verb <= 1)
        soma_g_hash_table_insert(table, key, value);
    else if (verb == 2)
        soma_g_hash_table_replace(table, key, value);
    else if (verb == 3)
        soma_g_hash_table_remove(table, key);
    else if (verb == 4)
        soma_g_hash_table_foreach_remove(table, picked, &sum);
    else
        soma_g_hash_table_foreach(table, add_number, &after);
    armed = false;
    const bool hit = refusals.told > 0;
    if (hit) {
        EXPECT_EQ(refusals.told, 1);
        EXPECT_EQ(refusals.status, SOMA_E_NOMEM);
        after = 0;
        soma_g_hash_table_foreach(table, add_number, &after);
        EXPECT(verb == 4 || after == before);
        soma_barrier_wait();
        EXPECT_EQ(soma_g_hash_table_size(table), verb == 4 ? 20 - keys_gone[OURS].count : 20);
    }
    if (hit || verb > 2) {
        free(key);
        free(value);
    }
    const uint64_t taken = hit || verb > 2 ? 0 : 1;
    soma_g_hash_table_unref(table);
    soma_barrier_wait();
    EXPECT_EQ(keys_gone[OURS].count, 20 + taken);
    EXPECT_EQ(values_gone[OURS].count, 20 + taken);
    verified(1);
    return hit;
}

static void without_memory(const void *setup)
{
    for (unsigned verb = 0; verb <= 5; verb++) {
        unsigned hits = 0;
        for (uint64_t n = 1; refuse(setup, verb, n); n++)
            hits++;
        /* Removals find room in batches, and need none of their own but where a chain becomes shorter. */
        EXPECT(hits > 0 || verb == 3 || verb == 4);
    }
    soma_g_hash_table *table = NULL;
    asked = 0;
    first_refused = 1;
    armed = true;
    EXPECT_EQ(soma_g_hash_table_try_new(NULL, NULL, NULL, NULL, NULL, &table), SOMA_E_NOMEM);
    armed = false;
    EXPECT(table == NULL);
}

/* Where there is no memory for another map, destroy functions find an empty table all the same, and cannot fill it. */
static void members_deregister_without_memory(const void *setup)
{
    struct refusals refusals = {0, SOMA_OK};
    const struct soma_g_hash_table_options options = {.error = on_refusal, .error_data = &refusals};
    soma_g_hash_table *table = NULL;
    const struct kind *kind = setup;
    struct registry registry = {.side = OURS, .kind = kind, .enters = true, .keeps = true};
    EXPECT_EQ(soma_g_hash_table_try_new(kind->hash, kind->equal, NULL, member_gone, &options, &table), SOMA_OK);
    registry.table = table;
    registry_fill(&registry, 1000);
    no_maps = true;
    soma_g_hash_table_destroy(table);
    no_maps = false;
    EXPECT_EQ(registry.gone.count, 1000);
    EXPECT_EQ(registry.seen, 0);
    EXPECT_EQ(registry.entered, 0);
    EXPECT_EQ(refusals.told, 1);
    EXPECT_EQ(refusals.status, SOMA_E_NOMEM);
    soma_g_hash_table_iter iter;
    soma_g_hash_table_iter_init(&iter, table);
    EXPECT(!soma_g_hash_table_iter_next(&iter, NULL, NULL));
    EXPECT(!enter(&registry, 1));
    EXPECT_EQ(refusals.told, 2);
    soma_g_hash_table_remove_all(table);
    soma_g_hash_table_unref(table);
    EXPECT_EQ(refusals.told, 2);
    verified(1000);
}

/* Without an error function a program ends as it does with GLib. */
static void ends_as_glib_does(const void *setup)
{
    (void)setup;
    const pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(STDERR_FILENO);
        signal(SIGTRAP, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        soma_g_hash_table *table = soma_g_hash_table_new(NULL, NULL);
        armed = true;
        asked = 0;
        first_refused = 1;
        soma_g_hash_table_insert(table, NULL, NULL);
        _exit(0);
    }
    int status = 0;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) && (WTERMSIG(status) == SIGTRAP || WTERMSIG(status) == SIGABRT));
    verified(1);
}

/* A cap on what waits for readers is kept: with one inside, removals are refused, and nothing is lost. */
static void cap_is_kept(const void *setup)
{
    (void)setup;
    struct refusals refusals = {0, SOMA_OK};
    const struct soma_g_hash_table_options options = {
        .reserve = 1000, .deferred_bytes_max = 1024, .error = on_refusal, .error_data = &refusals};
    soma_g_hash_table *table = NULL;
    EXPECT_EQ(soma_g_hash_table_try_new(NULL, NULL, NULL, NULL, &options, &table), SOMA_OK);
    for (size_t i = 0; i < 1000; i++)
        soma_g_hash_table_insert(table, GSIZE_TO_POINTER(i), GSIZE_TO_POINTER(i));
    soma_read_enter();
    unsigned removed = 0;
    for (size_t i = 0; i < 1000; i++)
        removed += (unsigned)soma_g_hash_table_remove(table, GSIZE_TO_POINTER(i));
    EXPECT(removed > 0 && removed < 1000);
    EXPECT_EQ(refusals.told, 1000 - removed);
    EXPECT_EQ(refusals.status, SOMA_E_LIMIT);
    EXPECT_EQ(soma_g_hash_table_size(table), 1000 - removed);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(soma_g_hash_table_try_remove(table, GSIZE_TO_POINTER(999)), SOMA_REMOVED);
    soma_g_hash_table_unref(table);
    verified(1000);
}

int main(int argc, char **argv)
{
    static const struct kind addresses = {NULL, NULL, NULL, true, 60};
    static const struct kind direct = {g_direct_hash, g_direct_equal, NULL, false, 60};
    static const struct kind ints = {g_int_hash, g_int_equal, as_int, true, 60};
    static const struct kind int64s = {g_int64_hash, g_int64_equal, as_int64, true, 300};
    static const struct kind doubles = {g_double_hash, g_double_equal, as_double, true, 60};
    static const struct kind strings = {g_str_hash, g_str_equal, as_text, true, 60};
    static const struct kind loose = {g_str_hash, g_str_equal, as_text, false, 300};
    static const struct kind custom = {number_hash, number_equal, as_number, true, 300};
    static const struct kind few = {number_hash_few, number_equal, as_number, true, 60};
    static const struct kind one = {number_hash_one, number_equal, as_number, true, 200};
    static const struct test_case cases[] = {
        {"addresses", same_as_glib, &addresses},
        {"direct", same_as_glib, &direct},
        {"ints", same_as_glib, &ints},
        {"int64s", same_as_glib, &int64s},
        {"doubles", same_as_glib, &doubles},
        {"strings", same_as_glib, &strings},
        {"strings-unowned", same_as_glib, &loose},
        {"custom", same_as_glib, &custom},
        {"custom-few-hashes", same_as_glib, &few},
        {"custom-one-hash", same_as_glib, &one},
        {"canary-strings", canary_same, &strings},
        {"canary-custom", canary_same, &few},
        {"sets", sets, NULL},
        {"long-chain", long_chain, NULL},
        {"more-verbs", more_verbs, NULL},
        {"nested", nested, NULL},
        {"decisions", decisions, NULL},
        {"size-in-flight", size_is_never_negative, NULL},
        {"members-strings", members_deregister, &strings},
        {"members-ints", members_deregister, &ints},
        {"members-one-hash", members_deregister, &one},
        {"members-unref-strings", members_deregister_from_unref, &strings},
        {"members-unref-ints", members_deregister_from_unref, &ints},
        {"members-no-memory-strings", members_deregister_without_memory, &strings},
        {"members-no-memory-few-hashes", members_deregister_without_memory, &few},
        {"counts-strings", counts_are_exact, &strings},
        {"counts-custom", counts_are_exact, &few},
        {"churn-strings", all_goes_once, &strings},
        {"churn-custom", all_goes_once, &custom},
        {"churn-few-hashes", all_goes_once, &few},
        {"walks-strings", walks_are_whole, &strings},
        {"walks-custom", walks_are_whole, &custom},
        {"walks-few-hashes", walks_are_whole, &few},
        {"no-memory-strings", without_memory, &strings},
        {"no-memory-ints", without_memory, &ints},
        {"no-memory-few-hashes", without_memory, &few},
        {"no-error-function", ends_as_glib_does, NULL},
        {"cap", cap_is_kept, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
