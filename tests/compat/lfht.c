/* SPDX-License-Identifier: ISC */
/* lfht.c - soma/compat/lfht.h against the original, node by node, and threads against each other.
 *
 * Items carry a node of each, so that both tables hold the same ones. The calls that put and remove go through wrappers that
 * can be told to fail. The threads run under Soma's sections, and again under a flavor of liburcu's, whose synchronization
 * the thread sanitizer cannot see.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include "support.h"

/* What the hook was told last, and how often. */
static int told, told_status;
#define SOMA_LFHT_FAILED(status) (told++, told_status = (int)(status))
#include <soma/compat/lfht.h>

/* Whether liburcu's threads may be seen to synchronize with ours. */
#if defined(__SANITIZE_THREAD__)
#define SEES_URCU 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SEES_URCU 0
#endif
#endif
#ifndef SEES_URCU
#define SEES_URCU 1
#endif

/* ---- Failures on demand ---- */

static bool refuse;

enum soma_status __real_soma_u64_put_new(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_put_new(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __real_soma_u64_cas(soma_u64 *, uint64_t, uint64_t, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_cas(soma_u64 *, uint64_t, uint64_t, uint64_t, uint64_t *);
enum soma_status __real_soma_u64_remove_if(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_remove_if(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __real_soma_cursor_open_u64(const soma_u64 *, soma_cursor **);
enum soma_status __wrap_soma_cursor_open_u64(const soma_u64 *, soma_cursor **);
enum soma_status __real_soma_u64_new(const struct soma_u64_options *, soma_u64 **);
enum soma_status __wrap_soma_u64_new(const struct soma_u64_options *, soma_u64 **);

/* With `yielding`, another thread often gets in between what a call reads and what it swaps. */
static atomic_bool yielding;

enum soma_status __real_soma_u64_get(const soma_u64 *, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_get(const soma_u64 *, uint64_t, uint64_t *);

enum soma_status __wrap_soma_u64_get(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    static _Thread_local unsigned calls;
    const enum soma_status status = __real_soma_u64_get(map, key, value);
    if (atomic_load(&yielding) && ++calls % 16 == 0)
        sched_yield();
    return status;
}

/* Behind the section of the call that takes it out, a node may be freed by whom another call has told so. */
static _Thread_local const struct soma_lfht_node *leaves;
static _Thread_local unsigned left_late;

void __real_soma_read_exit(void);
void __wrap_soma_read_exit(void);

void __wrap_soma_read_exit(void)
{
    left_late += leaves && leaves->table != SOMA_LFHT_LEFT;
    __real_soma_read_exit();
}

enum soma_status __wrap_soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_u64_put_new(map, key, value, present);
}

enum soma_status __wrap_soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_u64_cas(map, key, expected, desired, actual);
}

enum soma_status __wrap_soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_u64_remove_if(map, key, expected, actual);
}

enum soma_status __wrap_soma_cursor_open_u64(const soma_u64 *map, soma_cursor **out)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_cursor_open_u64(map, out);
}

enum soma_status __wrap_soma_u64_new(const struct soma_u64_options *options, soma_u64 **out)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_u64_new(options, out);
}

/* Which of malloc and calloc find nothing, in what is linked into this program. */
enum {
    NO_MALLOC = 1,
    NO_CALLOC = 2
};
static atomic_uint starve;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return atomic_load(&starve) & NO_MALLOC ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return atomic_load(&starve) & NO_CALLOC ? NULL : __real_calloc(count, size);
}

/* ---- Against the original ---- */

#define KEYS 60
#define STEPS 10000

struct item {
    unsigned key;
    unsigned seen; /* pass that met it last */
    struct cds_lfht_node original;
    struct soma_lfht_node ours;
};

/* Items are not used twice, so that no grace period is needed. */
struct pair {
    struct cds_lfht *original;
    struct soma_lfht *ours;
    struct item *items;
    unsigned used, pass;
    unsigned long mask; /* of the hash */
    struct rng rng;
};

static const unsigned long good = ~0UL, few = 3, equal = 0;

static struct item *of_original(struct cds_lfht_node *node)
{
    return node ? caa_container_of(node, struct item, original) : NULL;
}

static struct item *of_ours(struct soma_lfht_node *node)
{
    return node ? caa_container_of(node, struct item, ours) : NULL;
}

static int same_original(struct cds_lfht_node *node, const void *key)
{
    return of_original(node)->key == *(const unsigned *)key;
}

static int same_ours(struct soma_lfht_node *node, const void *key)
{
    return of_ours(node)->key == *(const unsigned *)key;
}

static unsigned long hash_of(const struct pair *pair, unsigned key)
{
    return (key * 0x9e3779b97f4a7c15UL) & pair->mask;
}

static struct item *item_new(struct pair *pair)
{
    struct item *item = &pair->items[pair->used++];
    item->key = (unsigned)rng_below(&pair->rng, KEYS);
    cds_lfht_node_init(&item->original);
    soma_lfht_node_init(&item->ours);
    return item;
}

static struct item *item_any(struct pair *pair)
{
    const unsigned recent = pair->used < 4 * KEYS ? pair->used : 4 * KEYS;
    return recent ? &pair->items[pair->used - 1 - rng_below(&pair->rng, recent)] : NULL;
}

static void pair_put(struct pair *pair, uint64_t how)
{
    struct item *item = item_new(pair);
    const unsigned long hash = hash_of(pair, item->key);
    if (how == 0) {
        cds_lfht_add(pair->original, hash, &item->original);
        soma_lfht_add(pair->ours, hash, &item->ours);
    } else if (how == 1) {
        struct cds_lfht_node *node =
            cds_lfht_add_unique(pair->original, hash, same_original, &item->key, &item->original);
        EXPECT(of_original(node) ==
               of_ours(soma_lfht_add_unique(pair->ours, hash, same_ours, &item->key, &item->ours)));
    } else {
        struct cds_lfht_node *node =
            cds_lfht_add_replace(pair->original, hash, same_original, &item->key, &item->original);
        EXPECT(of_original(node) ==
               of_ours(soma_lfht_add_replace(pair->ours, hash, same_ours, &item->key, &item->ours)));
    }
}

/* Goes to one of a key's nodes in both, and puts another there: of the same key, or not; perhaps after it was removed. */
static void pair_replace(struct pair *pair)
{
    struct item *item = item_new(pair);
    struct cds_lfht_iter original;
    struct soma_lfht_iter ours;
    const unsigned key = rng_below(&pair->rng, 10) ? item->key : item->key + 1;
    cds_lfht_lookup(pair->original, hash_of(pair, item->key), same_original, &item->key, &original);
    soma_lfht_lookup(pair->ours, hash_of(pair, item->key), same_ours, &item->key, &ours);
    for (uint64_t n = rng_below(&pair->rng, 3); n > 0 && cds_lfht_iter_get_node(&original); n--) {
        cds_lfht_next_duplicate(pair->original, same_original, &item->key, &original);
        soma_lfht_next_duplicate(pair->ours, same_ours, &item->key, &ours);
    }
    struct item *there = of_original(cds_lfht_iter_get_node(&original));
    EXPECT(of_ours(soma_lfht_iter_get_node(&ours)) == there);
    if (there && rng_below(&pair->rng, 4) == 0) {
        EXPECT_EQ(cds_lfht_del(pair->original, &there->original), 0);
        EXPECT_EQ(soma_lfht_del(pair->ours, &there->ours), 0);
    }
    const int answer =
        cds_lfht_replace(pair->original, &original, hash_of(pair, key), same_original, &key, &item->original);
    EXPECT_EQ(soma_lfht_replace(pair->ours, &ours, hash_of(pair, key), same_ours, &key, &item->ours), answer);
}

static void pair_del(struct pair *pair)
{
    struct item *item = item_any(pair);
    if (!item || !item->ours.table) /* never added: the original would follow its node */
        return;
    EXPECT_EQ(soma_lfht_is_node_deleted(&item->ours), cds_lfht_is_node_deleted(&item->original) != 0);
    EXPECT_EQ(soma_lfht_del(pair->ours, &item->ours), cds_lfht_del(pair->original, &item->original));
    EXPECT(soma_lfht_is_node_deleted(&item->ours));
}

/* Both give the same nodes for a key, in the same order. */
static void pair_lookup(struct pair *pair, unsigned key)
{
    struct cds_lfht_iter original;
    struct soma_lfht_iter ours;
    struct soma_lfht_node *node;
    cds_lfht_lookup(pair->original, hash_of(pair, key), same_original, &key, &original);
    soma_lfht_for_each_duplicate(pair->ours, hash_of(pair, key), same_ours, &key, &ours, node) {
        EXPECT(of_ours(node) == of_original(cds_lfht_iter_get_node(&original)));
        if (cds_lfht_iter_get_node(&original))
            cds_lfht_next_duplicate(pair->original, same_original, &key, &original);
    }
    EXPECT(cds_lfht_iter_get_node(&original) == NULL);
}

/* A walk meets what the original has, once; half of the walks remove what they are at, or something else. */
static void pair_walk(struct pair *pair)
{
    struct soma_lfht_iter iter;
    struct item *item, *other;
    long before, after;
    unsigned long count, met = 0, removed = 0;
    const unsigned pass = ++pair->pass;
    const bool removing = rng_below(&pair->rng, 2);
    cds_lfht_count_nodes(pair->original, &before, &count, &after);
    soma_lfht_for_each_entry(pair->ours, &iter, item, ours) {
        EXPECT(item->seen != pass && !cds_lfht_is_node_deleted(&item->original));
        item->seen = pass;
        met++;
        other = removing ? rng_below(&pair->rng, 2) ? item : item_any(pair) : NULL;
        if (other && other->ours.table && soma_lfht_del(pair->ours, &other->ours) == 0) {
            EXPECT_EQ(cds_lfht_del(pair->original, &other->original), 0);
            removed += other->seen != pass;
        }
    }
    EXPECT_EQ(met + removed, count);
}

static void pair_check(struct pair *pair)
{
    unsigned long count, count2;
    long before, before2, after, after2;
    cds_lfht_count_nodes(pair->original, &before, &count, &after);
    soma_lfht_count_nodes(pair->ours, &before2, &count2, &after2);
    EXPECT_EQ(count2, count);
    EXPECT_EQ(before2, count);
    EXPECT_EQ(after2, count);
    for (unsigned key = 0; key < KEYS; key++)
        pair_lookup(pair, key);
    verified(KEYS);
}

static void pair_step(struct pair *pair)
{
    const uint64_t what = rng_below(&pair->rng, 1000);
    if (what < 450)
        pair_put(pair, what % 3);
    else if (what < 550)
        pair_replace(pair);
    else if (what < 970)
        pair_del(pair);
    else if (what < 990)
        pair_walk(pair);
    else
        pair_check(pair);
}

/* Takes all out; then the tables can be destroyed, not before. */
static void pair_end(struct pair *pair)
{
    struct soma_lfht_iter iter;
    struct soma_lfht_node *node;
    pthread_attr_t attr, *back = NULL;
    pair->ours->attr = &attr;
    EXPECT_EQ(soma_lfht_destroy(pair->ours, &back), cds_lfht_destroy(pair->original, NULL));
    EXPECT(back == NULL);
    urcu_memb_read_lock();
    soma_lfht_for_each(pair->ours, &iter, node) {
        EXPECT_EQ(cds_lfht_del(pair->original, &of_ours(node)->original), 0);
        EXPECT_EQ(soma_lfht_del(pair->ours, node), 0);
    }
    urcu_memb_read_unlock();
    EXPECT_EQ(soma_lfht_destroy(pair->ours, &back), 0);
    EXPECT_EQ(cds_lfht_destroy(pair->original, NULL), 0);
    EXPECT(back == &attr);
    free(pair->items);
    soma_barrier_wait();
}

static void agrees(const void *setup)
{
    struct pair pair = {.mask = *(const unsigned long *)setup, .items = need(STEPS + 1, sizeof(struct item))};
    urcu_memb_register_thread();
    pair.rng = rng_new(pair.mask);
    pair.original = cds_lfht_new_flavor(64, 1, 0, CDS_LFHT_ACCOUNTING, &urcu_memb_flavor, NULL);
    pair.ours = soma_lfht_new_flavor(1, 1, 0, SOMA_LFHT_AUTO_RESIZE | SOMA_LFHT_ACCOUNTING, &urcu_memb_flavor, NULL);
    for (unsigned i = 0; i < STEPS; i++) {
        urcu_memb_read_lock();
        pair_step(&pair);
        urcu_memb_read_unlock();
        if (i == STEPS / 2)
            soma_lfht_resize(pair.ours, 4096);
    }
    urcu_memb_read_lock();
    pair_check(&pair);
    /* The check sees a node too many: in both counters, in the count, and in the lookup. */
    struct item *item = item_new(&pair);
    soma_lfht_add(pair.ours, hash_of(&pair, item->key), &item->ours);
    canary_begin();
    pair_check(&pair);
    EXPECT(canary_end() == 4);
    EXPECT_EQ(soma_lfht_del(pair.ours, &item->ours), 0);
    urcu_memb_read_unlock();
    pair_end(&pair);
    urcu_memb_unregister_thread();
}

static void arguments(const void *setup)
{
    (void)setup;
    static const unsigned long sizes[] = {0, 1, 2, 3, 64, 100};
    for (unsigned i = 0; i < 6 * 6 * 6; i++) {
        const unsigned long init = sizes[i % 6], min = sizes[i / 6 % 6], max = sizes[i / 36];
        struct cds_lfht *original = cds_lfht_new_flavor(init, min, max, 0, &urcu_memb_flavor, NULL);
        struct soma_lfht *ours = soma_lfht_new(init, min, max, 0, NULL);
        EXPECT((original != NULL) == (ours != NULL));
        if (original)
            cds_lfht_destroy(original, NULL);
        if (ours)
            soma_lfht_destroy(ours, NULL);
        verified(1);
    }
}

/* ---- Failure ---- */

static bool was_told(enum soma_status status)
{
    const bool right = told == 1 && told_status == (int)status;
    told = 0;
    return right;
}

static void failures_are_told(const void *setup)
{
    (void)setup;
    struct soma_lfht *ht;
    struct soma_lfht_iter iter;
    struct item items[4] = {{.key = 1}, {.key = 1}, {.key = 1}, {.key = 1}};
    struct soma_lfht_node *a = &items[0].ours, *b = &items[1].ours, *c = &items[2].ours, *d = &items[3].ours,
                          *other = NULL;
    unsigned long count;
    long before, after;
    told = 0;
    atomic_store(&starve, NO_CALLOC);
    EXPECT(soma_lfht_new(1, 1, 0, 0, NULL) == NULL);
    atomic_store(&starve, 0);
    refuse = true;
    EXPECT(soma_lfht_new(1, 1, 0, 0, NULL) == NULL);
    refuse = false;
    ht = soma_lfht_new(1, 1, 0, 0, NULL);
    soma_read_enter();
    refuse = true;
    soma_lfht_add(ht, 7, a);
    EXPECT(was_told(SOMA_E_NOMEM));
    EXPECT(soma_lfht_add_unique(ht, 7, same_ours, &items[0].key, a) == NULL && was_told(SOMA_E_NOMEM));
    EXPECT(soma_lfht_add_replace(ht, 7, same_ours, &items[0].key, a) == NULL && was_told(SOMA_E_NOMEM));
    EXPECT_EQ(soma_lfht_try_add(ht, 7, a), SOMA_E_NOMEM);
    refuse = false;
    EXPECT_EQ(soma_lfht_try_add(ht, 7, a), SOMA_INSERTED);
    EXPECT_EQ(soma_lfht_try_add_unique(ht, 7, same_ours, &items[0].key, b, &other), SOMA_EXISTS);
    EXPECT(other == a);
    atomic_store(&starve, NO_MALLOC);
    EXPECT_EQ(soma_lfht_try_add(ht, 7, b), SOMA_E_NOMEM);
    atomic_store(&starve, 0);
    soma_lfht_add(ht, 7, b);
    soma_lfht_add(ht, 7, c);
    atomic_store(&starve, NO_MALLOC);
    EXPECT_EQ(soma_lfht_del(ht, b), -ENOMEM);
    soma_lfht_lookup(ht, 7, same_ours, &items[0].key, &iter);
    EXPECT_EQ(soma_lfht_replace(ht, &iter, 7, same_ours, &items[0].key, d), -ENOMEM);
    atomic_store(&starve, 0);
    refuse = true;
    EXPECT_EQ(soma_lfht_try_add_replace(ht, 7, same_ours, &items[0].key, d, &other), SOMA_E_NOMEM);
    EXPECT_EQ(soma_lfht_del(ht, b), -ENOMEM);
    soma_lfht_first(ht, &iter);
    EXPECT(was_told(SOMA_E_NOMEM) && !soma_lfht_iter_get_node(&iter));
    soma_lfht_count_nodes(ht, &before, &count, &after);
    EXPECT(was_told(SOMA_E_NOMEM));
    refuse = false;
    soma_lfht_count_nodes(ht, &before, &count, &after);
    EXPECT(before == 0 && count == 3 && after == 0); /* without counters */
    EXPECT(!soma_lfht_is_node_deleted(b) && !soma_lfht_is_node_deleted(d));
    EXPECT_EQ(soma_lfht_try_add_replace(ht, 7, same_ours, &items[0].key, d, &other), SOMA_REPLACED);
    EXPECT(other == a && soma_lfht_is_node_deleted(a));
    soma_lfht_lookup(ht, 7, same_ours, &items[0].key, &iter);
    EXPECT(soma_lfht_iter_get_node(&iter) == d);
    soma_lfht_next(ht, &iter);
    EXPECT(was_told(SOMA_E_UNSUPPORTED) && !soma_lfht_iter_get_node(&iter));
    EXPECT_EQ(soma_lfht_del(ht, NULL), -ENOENT);
    EXPECT(soma_lfht_del(ht, b) == 0 && soma_lfht_del(ht, c) == 0 && soma_lfht_del(ht, d) == 0);
    soma_read_exit();
    EXPECT_EQ(soma_lfht_destroy(ht, NULL), 0);
    soma_barrier_wait();
    verified(24);
}

/* What has left a table is asked whether it has when that is gone, as call_rcu()'s callbacks do. */
static void asked_afterwards(const void *setup)
{
    (void)setup;
    static const unsigned long hashes[] = {7, 7, 8, 9}; /* two in one place */
    struct item items[5] = {{.key = 1}, {.key = 2}, {.key = 3}, {.key = 4}, {.key = 1}};
    struct soma_lfht_node *other = NULL;
    struct soma_lfht_iter iter;
    struct soma_lfht *ht = soma_lfht_new(1, 1, 0, 0, NULL);
    for (int i = 0; i < 5; i++)
        soma_lfht_node_init(&items[i].ours);
    soma_read_enter();
    for (int i = 0; i < 4; i++)
        soma_lfht_add(ht, hashes[i], &items[i].ours);
    leaves = &items[0].ours;
    EXPECT_EQ(soma_lfht_try_add_replace(ht, 7, same_ours, &items[0].key, &items[4].ours, &other), SOMA_REPLACED);
    leaves = NULL;
    EXPECT(other == &items[0].ours);
    soma_lfht_lookup(ht, 8, same_ours, &items[2].key, &iter);
    soma_lfht_node_init(&items[0].ours);
    items[0].key = items[2].key;
    EXPECT_EQ(soma_lfht_replace(ht, &iter, 8, same_ours, &items[2].key, &items[0].ours), 0);
    EXPECT(!soma_lfht_is_node_deleted(&items[0].ours));
    for (int i = 0; i < 5; i++) {
        leaves = &items[i].ours;
        EXPECT_EQ(soma_lfht_del(ht, &items[i].ours), i == 2 ? -ENOENT : 0);
    }
    leaves = NULL;
    EXPECT_EQ(left_late, 0);
    soma_read_exit();
    EXPECT_EQ(soma_lfht_destroy(ht, NULL), 0);
    soma_barrier_wait();
    for (int i = 0; i < 5; i++)
        EXPECT(soma_lfht_is_node_deleted(&items[i].ours));
    verified(5);
}

/* ---- Threads ---- */

#define THREADS 4
#define RANGE 32
#define KEPT 8 /* keys below are replaced, and never gone */
#define ROUNDS 8000
#define ALIVE 0x600dU

struct object {
    unsigned key, alive;
    struct soma_lfht_node node;
    struct rcu_head head;
};

/* Under what the nodes are kept and freed. */
struct flavor {
    void (*join)(void);
    void (*part)(void);
    void (*enter)(void);
    void (*leave)(void);
    void (*free_later)(struct object *object);
    void (*barrier)(void);
};

static struct soma_lfht *table;
static const struct flavor *flavor;
static atomic_ulong in, out, freed;

static void object_free(void *arg)
{
    struct object *object = arg;
    EXPECT_EQ(object->alive, ALIVE);
    object->alive = 0;
    free(object);
    atomic_fetch_add(&freed, 1);
}

static void nothing(void) {}

static void soma_free_later(struct object *object)
{
    EXPECT_EQ(soma_retire(object_free, object), SOMA_OK);
}

static const struct flavor soma_flavor = {nothing,        nothing,         soma_read_enter,
                                          soma_read_exit, soma_free_later, soma_barrier_wait};

#if SEES_URCU
static void head_free(struct rcu_head *head)
{
    object_free(caa_container_of(head, struct object, head));
}

static void memb_enter(void)
{
    urcu_memb_read_lock();
}

static void memb_leave(void)
{
    urcu_memb_read_unlock();
}

static void memb_free_later(struct object *object)
{
    urcu_memb_call_rcu(&object->head, head_free);
}

static const struct flavor memb_flavor = {
    urcu_memb_register_thread, urcu_memb_unregister_thread, memb_enter, memb_leave, memb_free_later, urcu_memb_barrier};
#endif

static int same_object(struct soma_lfht_node *node, const void *key)
{
    const struct object *object = caa_container_of(node, struct object, node);
    EXPECT_EQ(object->alive, ALIVE);
    return object->key == *(const unsigned *)key;
}

/* Neighbours share a hash, so that arrays come and go. */
static unsigned long object_hash(unsigned key)
{
    return key / 4;
}

static struct object *object_new(unsigned key)
{
    struct object *object = need(1, sizeof *object);
    object->key = key;
    object->alive = ALIVE;
    soma_lfht_node_init(&object->node);
    return object;
}

/* Of a node that has left the table by a call of this thread. */
static void object_gone(struct soma_lfht_node *node)
{
    atomic_fetch_add(&out, 1);
    flavor->free_later(caa_container_of(node, struct object, node));
}

static void put_unique(unsigned key)
{
    struct object *object = object_new(key);
    if (soma_lfht_add_unique(table, object_hash(key), same_object, &key, &object->node) == &object->node)
        atomic_fetch_add(&in, 1);
    else
        free(object);
}

static void put_replace(unsigned key)
{
    struct object *object = object_new(key);
    struct soma_lfht_node *old = soma_lfht_add_replace(table, object_hash(key), same_object, &key, &object->node);
    atomic_fetch_add(&in, 1);
    if (old)
        object_gone(old);
}

static void replace_there(unsigned key)
{
    struct object *object = object_new(key);
    struct soma_lfht_iter iter;
    soma_lfht_lookup(table, object_hash(key), same_object, &key, &iter);
    if (soma_lfht_replace(table, &iter, object_hash(key), same_object, &key, &object->node) == 0) {
        EXPECT(soma_lfht_is_node_deleted(iter.node));
        atomic_fetch_add(&in, 1);
        object_gone(iter.node);
    } else {
        free(object);
    }
}

static void drop(unsigned key)
{
    struct soma_lfht_iter iter;
    soma_lfht_lookup(table, object_hash(key), same_object, &key, &iter);
    if (soma_lfht_iter_get_node(&iter) && soma_lfht_del(table, iter.node) == 0)
        object_gone(iter.node);
}

/* A walk that asks for each key once, and for those that stay just once. Returns the nodes met. */
static unsigned walk_once(void)
{
    unsigned met[RANGE] = {0}, all = 0;
    struct soma_lfht_iter iter;
    struct object *object = NULL;
    soma_lfht_for_each_entry(table, &iter, object, node) {
        EXPECT_EQ(object->alive, ALIVE);
        met[object->key]++;
        all++;
    }
    for (unsigned key = 0; key < KEPT; key++)
        EXPECT_EQ(met[key], 1);
    return all;
}

/* At most one node of a key at a time, by lookups; just one of those that stay. */
static void look_unique(unsigned key)
{
    struct soma_lfht_iter iter;
    struct soma_lfht_node *node;
    unsigned met = 0;
    soma_lfht_for_each_duplicate(table, object_hash(key), same_object, &key, &iter, node)
        met++;
    if (key < KEPT)
        EXPECT_EQ(met, 1);
}

static void unique_worker(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    flavor->join();
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned key = (unsigned)rng_below(&rng, RANGE);
        const uint64_t what = rng_below(&rng, 100);
        flavor->enter();
        if (what < 5)
            (void)walk_once();
        else if (what < 30)
            look_unique(key);
        else if (what < 50)
            put_replace(key);
        else if (what < 65)
            replace_there(key);
        else if (key < KEPT || what < 75)
            put_unique(key);
        else
            drop(key);
        flavor->leave();
    }
    flavor->part();
}

static void duplicates_worker(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    flavor->join();
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned key = (unsigned)rng_below(&rng, RANGE);
        const uint64_t what = rng_below(&rng, 100);
        flavor->enter();
        if (what < 35) {
            soma_lfht_add(table, object_hash(key), &object_new(key)->node);
            atomic_fetch_add(&in, 1);
        } else if (what < 45)
            put_replace(key);
        else if (what < 55)
            put_unique(key);
        else
            drop(key);
        flavor->leave();
    }
    flavor->part();
}

/* Every node that went in comes out once, and is freed once. */
static void conserved(void)
{
    struct soma_lfht_iter iter;
    struct soma_lfht_node *node;
    unsigned long count;
    long before, after;
    flavor->enter();
    soma_lfht_count_nodes(table, &before, &count, &after);
    EXPECT_EQ(count, atomic_load(&in) - atomic_load(&out));
    EXPECT(before == (long)count && after == (long)count);
    soma_lfht_for_each(table, &iter, node) {
        EXPECT_EQ(soma_lfht_del(table, node), 0);
        object_gone(node);
    }
    flavor->leave();
    EXPECT_EQ(soma_lfht_destroy(table, NULL), 0);
    flavor->barrier();
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&out), atomic_load(&in));
    EXPECT_EQ(atomic_load(&freed), atomic_load(&in));
    EXPECT_EQ(told, 0);
    verified(atomic_load(&in));
}

static void begin(const struct flavor *with)
{
    flavor = with;
    told = 0;
    atomic_store(&in, 0);
    atomic_store(&out, 0);
    atomic_store(&freed, 0);
    table = soma_lfht_new(1, 1, 0, SOMA_LFHT_ACCOUNTING, NULL);
    flavor->join();
}

static void threads_unique(const void *setup)
{
    begin(setup);
    flavor->enter();
    for (unsigned key = 0; key < KEPT; key++)
        put_unique(key);
    flavor->leave();
    atomic_store(&yielding, true);
    crew_run(THREADS, unique_worker, NULL);
    atomic_store(&yielding, false);
    flavor->enter();
    (void)walk_once();
    /* The walk sees a key twice, and so does the lookup. */
    struct object *twice = object_new(3);
    soma_lfht_add(table, object_hash(3), &twice->node);
    canary_begin();
    (void)walk_once();
    look_unique(3);
    EXPECT(canary_end() == 2);
    EXPECT_EQ(soma_lfht_del(table, &twice->node), 0);
    flavor->leave();
    conserved();
    free(twice);
    flavor->part();
}

static void threads_duplicates(const void *setup)
{
    begin(setup);
    atomic_store(&yielding, true);
    crew_run(THREADS, duplicates_worker, NULL);
    atomic_store(&yielding, false);
    conserved();
    flavor->part();
}

/* Nodes that stay, and others that come and go in numbers that let the table grow and shrink. */
#define STAYING 1000
#define PASSING 6000
#define WALKS 8

static atomic_bool walked;
static atomic_uint passed; /* times that a passer has put all, or taken all */

static unsigned long spread(unsigned key)
{
    return key / 2 * 0x9e3779b97f4a7c15UL;
} /* two of a hash */

/* Each that stays, once. */
static void walk_staying(void)
{
    static unsigned char met[STAYING + PASSING];
    struct soma_lfht_iter iter;
    struct soma_lfht_node *node;
    unsigned staying = 0;
    memset(met, 0, sizeof met);
    flavor->enter();
    soma_lfht_for_each(table, &iter, node)
        EXPECT_EQ(met[caa_container_of(node, struct object, node)->key]++, 0);
    flavor->leave();
    for (unsigned key = 0; key < STAYING; key++)
        staying += met[key];
    EXPECT_EQ(staying, STAYING);
}

/* Each passer has keys of its own. */
static void walk_or_pass(unsigned index, void *arg)
{
    (void)arg;
    struct soma_lfht_iter iter;
    flavor->join();
    for (unsigned i = 0; index == 0 && (i < WALKS || atomic_load(&passed) < 4); i++)
        walk_staying();
    if (index == 0)
        atomic_store(&walked, true);
    for (unsigned i = 0; !atomic_load(&walked); i++) {
        const unsigned key = STAYING + (index - 1) * (PASSING / 2) + i % (PASSING / 2);
        if (i > 0 && i % (PASSING / 2) == 0)
            atomic_fetch_add(&passed, 1);
        flavor->enter();
        if (i / (PASSING / 2) % 2 == 0) {
            soma_lfht_add(table, spread(key), &object_new(key)->node);
            atomic_fetch_add(&in, 1);
        } else {
            soma_lfht_lookup(table, spread(key), same_object, &key, &iter);
            if (EXPECT(iter.node != NULL) && EXPECT_EQ(soma_lfht_del(table, iter.node), 0))
                object_gone(iter.node);
        }
        flavor->leave();
    }
    flavor->part();
}

static void walks_beside(const void *setup)
{
    begin(setup);
    atomic_store(&walked, false);
    atomic_store(&passed, 0);
    struct object *last = NULL;
    for (unsigned key = 0; key < STAYING; key++) {
        last = object_new(key);
        soma_lfht_add(table, spread(key), &last->node);
        atomic_fetch_add(&in, 1);
    }
    crew_run(3, walk_or_pass, NULL);
    /* The walk sees that one is gone. */
    flavor->enter();
    EXPECT_EQ(soma_lfht_del(table, &last->node), 0);
    flavor->leave();
    canary_begin();
    walk_staying();
    EXPECT(canary_end() == 1);
    object_gone(&last->node);
    conserved();
    flavor->part();
}

static const struct test_case cases[] = {
    {"agrees with liburcu, good hashes", agrees, &good},
    {"agrees with liburcu, four hashes", agrees, &few},
    {"agrees with liburcu, equal hashes", agrees, &equal},
    {"arguments", arguments, NULL},
    {"failures are told, and change nothing", failures_are_told, NULL},
    {"asked when the table is gone", asked_afterwards, NULL},
    {"threads: unique keys", threads_unique, &soma_flavor},
    {"threads: duplicates", threads_duplicates, &soma_flavor},
    {"threads: walks beside growth and shrinking", walks_beside, &soma_flavor},
#if SEES_URCU
    {"threads: unique keys, nodes under liburcu", threads_unique, &memb_flavor},
    {"threads: duplicates, nodes under liburcu", threads_duplicates, &memb_flavor},
#endif
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
