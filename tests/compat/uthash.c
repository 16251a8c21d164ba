/* SPDX-License-Identifier: ISC */
/* uthash.c - soma/compat/uthash.h against the original, element by element, and threads against each other.
 *
 * Elements carry a handle of each, so that both tables hold the same ones. The calls that put and remove go through wrappers
 * that can be told to fail.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uthash.h>

#include "support.h"

/* What the hook was told last, and how often. */
static int told;
static int told_status;
static const void *told_element;
#define SOMA_UTHASH_FAILED(element, status) (told++, told_status = (int)(status), told_element = (element))
#include <soma/compat/uthash.h>

/* ---- Failures on demand ---- */

static bool refuse;

enum soma_status __real_soma_u64_put_new(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_put_new(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __real_soma_u64_remove_if(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __wrap_soma_u64_remove_if(soma_u64 *, uint64_t, uint64_t, uint64_t *);
enum soma_status __real_soma_cursor_open_u64(const soma_u64 *, soma_cursor **);
enum soma_status __wrap_soma_cursor_open_u64(const soma_u64 *, soma_cursor **);
enum soma_status __real_soma_u64_new(const struct soma_u64_options *, soma_u64 **);
enum soma_status __wrap_soma_u64_new(const struct soma_u64_options *, soma_u64 **);

enum soma_status __real_soma_retire(void (*)(void *), void *);
enum soma_status __wrap_soma_retire(void (*)(void *), void *);

enum soma_status __wrap_soma_retire(void (*fn)(void *), void *arg)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_retire(fn, arg);
}

enum soma_status __wrap_soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    return refuse ? SOMA_E_NOMEM : __real_soma_u64_put_new(map, key, value, present);
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

/* Which of malloc, calloc and realloc find nothing, in what is linked into this program. */
enum {
    NO_MALLOC = 1,
    NO_CALLOC = 2,
    NO_REALLOC = 4
};
static atomic_uint starve;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return atomic_load(&starve) & NO_MALLOC ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return atomic_load(&starve) & NO_CALLOC ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return atomic_load(&starve) & NO_REALLOC ? NULL : __real_realloc(old, size);
}

/* ---- Against the original ---- */

#define KEYS 96
#define EACH 3 /* elements of the same key */
#define KEY_MAX 20

struct item {
    unsigned char key[KEY_MAX];
    unsigned len;
    unsigned seen; /* pass that met it last */
    UT_hash_handle oh;
    soma_hash_handle hh;
};

struct pair {
    struct item items[KEYS][EACH];
    struct item *original;
    struct item *ours;
    unsigned pass;
    struct rng rng;
};

/* Lengths of keys: all equal, or mixed. */
static const unsigned four = 4, eight = 8, twelve = 12, mixed = 0;

static void pair_init(struct pair *pair, unsigned len)
{
    memset(pair, 0, sizeof *pair);
    pair->rng = rng_new(len + 1);
    for (unsigned k = 0; k < KEYS; k++) {
        for (unsigned e = 0; e < EACH; e++) {
            struct item *item = &pair->items[k][e];
            item->len = len ? len : k % (KEY_MAX + 1);
            for (unsigned b = 0; b < item->len; b++)
                item->key[b] = (unsigned char)(b > 0 ? 0
                                               : len ? k
                                                     : k / (KEY_MAX + 1)); /* mixed: told apart by length */
        }
    }
}

static struct item *original_of(struct pair *pair, const struct item *like)
{
    struct item *found;
    HASH_FIND(oh, pair->original, like->key, like->len, found);
    return found;
}

static struct item *ours_of(struct pair *pair, const struct item *like)
{
    struct item *found;
    SOMA_HASH_FIND(hh, pair->ours, like->key, like->len, found);
    return found;
}

static void pair_add(struct pair *pair, struct item *item)
{
    struct item *present, *holder = original_of(pair, item);
    const int before = told;
    if (!holder)
        HASH_ADD(oh, pair->original, key, item->len, item);
    if (rng_below(&pair->rng, 2)) {
        SOMA_HASH_ADD_NEW(hh, pair->ours, key, item->len, item, present);
        EXPECT(present == holder);
        EXPECT_EQ(told, before);
    } else if (item != holder) {
        SOMA_HASH_ADD(hh, pair->ours, key, item->len, item);
        EXPECT_EQ(told, before + (holder ? 1 : 0));
        EXPECT((item->hh.tbl == NULL) == (holder != NULL));
    }
}

static void pair_replace(struct pair *pair, struct item *item)
{
    struct item *original, *ours;
    HASH_REPLACE(oh, pair->original, key, item->len, item, original);
    SOMA_HASH_REPLACE(hh, pair->ours, key, item->len, item, ours);
    EXPECT(original == ours);
}

static void pair_del(struct pair *pair, struct item *item)
{
    struct item *holder = original_of(pair, item), *taken;
    bool removed;
    if (rng_below(&pair->rng, 2)) {
        SOMA_HASH_TAKE(hh, pair->ours, item->key, item->len, taken);
        EXPECT(taken == holder);
        if (holder)
            HASH_DELETE(oh, pair->original, holder);
        return;
    }
    item->hh.key = item->key;
    item->hh.keylen = item->len;
    SOMA_HASH_TRY_DELETE(hh, pair->ours, item, removed);
    EXPECT_EQ(removed, holder == item);
    if (holder == item)
        HASH_DELETE(oh, pair->original, item);
}

/* Each walk meets what the original has, once; half of the walks remove, also what they have not met yet. */
static void pair_walk(struct pair *pair)
{
    struct item *item, *tmp;
    const unsigned pass = ++pair->pass, count = HASH_CNT(oh, pair->original);
    const bool removing = rng_below(&pair->rng, 2);
    unsigned met = 0, removed = 0;
    SOMA_HASH_ITER(hh, pair->ours, item, tmp) {
        EXPECT(original_of(pair, item) == item);
        EXPECT(item->seen != pass);
        item->seen = pass;
        met++;
        if (removing) {
            struct item *other = original_of(pair, &pair->items[rng_below(&pair->rng, KEYS)][0]);
            if (other) {
                removed += other->seen != pass;
                HASH_DELETE(oh, pair->original, other);
                SOMA_HASH_DELETE(hh, pair->ours, other);
            }
        }
    }
    EXPECT(item == NULL);
    EXPECT_EQ(met, count - removed);
}

static void pair_check(struct pair *pair)
{
    for (unsigned k = 0; k < KEYS; k++)
        EXPECT(ours_of(pair, &pair->items[k][0]) == original_of(pair, &pair->items[k][0]));
    EXPECT_EQ(SOMA_HASH_CNT(hh, pair->ours), HASH_CNT(oh, pair->original));
    verified(KEYS);
}

static void pair_step(struct pair *pair)
{
    struct item *item = &pair->items[rng_below(&pair->rng, KEYS)][rng_below(&pair->rng, EACH)];
    const uint64_t what = rng_below(&pair->rng, 1000);
    if (what < 400)
        pair_add(pair, item);
    else if (what < 600 && original_of(pair, item) != item)
        pair_replace(pair, item);
    else if (what < 985)
        pair_del(pair, item);
    else if (what < 999)
        pair_walk(pair);
    else {
        HASH_CLEAR(oh, pair->original);
        SOMA_HASH_CLEAR(hh, pair->ours);
        EXPECT(pair->ours == NULL);
    }
    if (what % 50 == 0)
        pair_check(pair);
}

static void agrees(const void *setup)
{
    static struct pair pair;
    pair_init(&pair, *(const unsigned *)setup);
    for (unsigned i = 0; i < 10000; i++)
        pair_step(&pair);
    pair_check(&pair);
    /* The check sees an element too few, and one in another's place. */
    struct item *present, *first = &pair.items[1][0];
    SOMA_HASH_TAKE(hh, pair.ours, first->key, first->len, present);
    if (!present)
        SOMA_HASH_ADD(hh, pair.ours, key, first->len, first);
    canary_begin();
    pair_check(&pair);
    EXPECT(canary_end() == 2);
    HASH_CLEAR(oh, pair.original);
    SOMA_HASH_CLEAR(hh, pair.ours);
    soma_barrier_wait();
}

/* ---- The short macros ---- */

struct user {
    int id;
    char name[12];
    const char *alias;
    const void *place;
    soma_hash_handle hh, by_name, by_alias, by_place;
};

static void short_names(const void *setup)
{
    (void)setup;
    struct user *ids = NULL, *found, *old;
    struct user a = {.id = 1, .name = "anna", .alias = "an", .place = &a},
                b = {.id = 2, .name = "berthold", .place = &b};
    struct user c = {.id = 1, .name = "clara-maria"};
    SOMA_HASH_ADD_INT(ids, id, &a);
    SOMA_HASH_ADD_INT(ids, id, &b);
    SOMA_HASH_FIND_INT(ids, &b.id, found);
    EXPECT(found == &b);
    SOMA_HASH_REPLACE_INT(ids, id, &c, old);
    EXPECT(old == &a);
    EXPECT_EQ(SOMA_HASH_COUNT(ids), 2);
    SOMA_HASH_DEL(ids, &c);
    SOMA_HASH_FIND_INT(ids, &c.id, found);
    EXPECT(found == NULL);
    SOMA_HASH_CLEAR(hh, ids);

    struct user *names = NULL;
    SOMA_HASH_ADD_STR(names, name, &a);
    SOMA_HASH_ADD_STR(names, name, &b);
    SOMA_HASH_ADD_STR(names, name, &c);
    SOMA_HASH_FIND_STR(names, "berthold", found);
    EXPECT(found == &b);
    SOMA_HASH_FIND_STR(names, "clara-maria", found);
    EXPECT(found == &c);
    SOMA_HASH_REPLACE_STR(names, name, &a, old);
    EXPECT(old == &a);
    SOMA_HASH_CLEAR(hh, names);
    SOMA_HASH_FIND_STR(names, "anna", found);
    EXPECT(found == NULL);

    struct user *places = NULL;
    const void *where = &b;
    SOMA_HASH_ADD_PTR(places, place, &a);
    SOMA_HASH_ADD_PTR(places, place, &b);
    SOMA_HASH_FIND_PTR(places, &where, found);
    EXPECT(found == &b);
    SOMA_HASH_REPLACE_PTR(places, place, &b, old);
    EXPECT(old == &b);
    SOMA_HASH_CLEAR(hh, places);
    verified(10);
    soma_barrier_wait();
}

/* One element in three tables, each by a handle of its own. */
static void several_handles(const void *setup)
{
    (void)setup;
    struct user *names = NULL, *aliases = NULL, *places = NULL, *found, *tmp;
    struct user a = {.id = 1, .name = "anna", .alias = "an", .place = &a};
    SOMA_HASH_ADD(by_name, names, name, strlen(a.name), &a);
    SOMA_HASH_ADD_KEYPTR(by_alias, aliases, a.alias, strlen(a.alias), &a);
    SOMA_HASH_ADD(by_place, places, place, sizeof a.place, &a);
    SOMA_HASH_FIND(by_alias, aliases, "an", 2, found);
    EXPECT(found == &a);
    SOMA_HASH_DELETE(by_name, names, &a);
    EXPECT_EQ(SOMA_HASH_CNT(by_name, names), 0);
    EXPECT(names != NULL);
    SOMA_HASH_ITER(by_place, places, found, tmp)
        EXPECT(found == &a);
    SOMA_HASH_CLEAR(by_name, names);
    SOMA_HASH_CLEAR(by_alias, aliases);
    SOMA_HASH_CLEAR(by_place, places);
    soma_barrier_wait();
    verified(4);
}

/* ---- Walks that end early, sorting, misuse, failure ---- */

#define SOME 300

struct number {
    unsigned id, rank;
    soma_hash_handle hh;
};

static struct number numbers[SOME];

static struct number *numbered(void)
{
    struct number *all = NULL;
    for (unsigned i = 0; i < SOME; i++) {
        numbers[i].id = i;
        numbers[i].rank = i * 7919 % 64;
        SOMA_HASH_ADD(hh, all, id, sizeof numbers[i].id, &numbers[i]);
    }
    return all;
}

static void note(void *arg)
{
    *(bool *)arg = true;
}

/* Whether this thread has left all sections: else the barrier would return without effect. */
static bool outside(void)
{
    bool ran = false;
    EXPECT_EQ(soma_retire(note, &ran), SOMA_OK);
    soma_barrier_wait();
    return ran;
}

static struct number *first_over(struct number *all, unsigned id)
{
    struct number *number, *tmp;
    SOMA_HASH_ITER(hh, all, number, tmp)
        if (number->id > id)
            return number;
    return NULL;
}

static void walks_end(const void *setup)
{
    (void)setup;
    struct number *all = numbered(), *number, *tmp, *inner, *tmp2;
    EXPECT(first_over(all, SOME / 2) != NULL);
    EXPECT(outside());
    EXPECT(first_over(all, SOME) == NULL);
    EXPECT(outside());
    unsigned pairs = 0;
    SOMA_HASH_ITER(hh, all, number, tmp) {
        SOMA_HASH_ITER(hh, all, inner, tmp2) {
            if (++pairs % 10 == 0)
                break;
        }
        if (number->id % 2)
            continue;
        EXPECT(!tmp);
    }
    EXPECT_EQ(pairs, SOME * 10);
    EXPECT(outside());
    SOMA_HASH_CLEAR(hh, all);
    SOMA_HASH_ITER(hh, all, number, tmp)
        EXPECT(false);
    EXPECT(outside());
    verified(SOME);
}

static int by_rank(const struct number *a, const struct number *b)
{
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static void sorts(const void *setup)
{
    (void)setup;
    struct number *all = NULL, **array, *taken;
    size_t count;
    SOMA_HASH_SORTED(hh, all, by_rank, array, count);
    EXPECT(array == NULL && count == 0);
    all = numbered();
    for (unsigned left = SOME; left > 0; left--) {
        uint64_t sum = 0;
        SOMA_HASH_SORTED(hh, all, by_rank, array, count);
        EXPECT_EQ(count, left);
        for (size_t i = 0; i < count; i++) {
            sum += array[i]->id;
            EXPECT(i == 0 || array[i - 1]->rank <= array[i]->rank);
        }
        EXPECT_EQ(sum, (uint64_t)left * (left - 1) / 2);
        free(array);
        const unsigned last = left - 1;
        SOMA_HASH_TAKE(hh, all, &last, sizeof last, taken);
        EXPECT(taken == &numbers[last]);
    }
    SOMA_HASH_CLEAR(hh, all);
    soma_barrier_wait();
    verified(SOME);
}

/* The handle is no element: reading through it stops the program. */
static void handle_faults(const void *setup)
{
    (void)setup;
    struct number *all = numbered();
    const pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr); /* a sanitizer's report */
        const volatile unsigned id = all->id;
        _exit(id == 0 ? 42 : 43);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) != 42 && WEXITSTATUS(status) != 43);
    SOMA_HASH_CLEAR(hh, all);
    soma_barrier_wait();
    verified(1);
}

/* The hook was told this, once. */
static bool was_told(enum soma_status status, const void *element)
{
    const bool right = told == 1 && told_status == (int)status && told_element == element;
    told = 0;
    return right;
}

static void failures_are_told(const void *setup)
{
    (void)setup;
    struct number *all = NULL, *found, *tmp, a = {.id = 1}, b = {.id = 1}, c = {.id = 2}, **array;
    bool removed;
    size_t count;
    told = 0;
    atomic_store(&starve, NO_CALLOC);
    SOMA_HASH_ADD(hh, all, id, sizeof a.id, &a);
    EXPECT(was_told(SOMA_E_NOMEM, &a) && !a.hh.tbl && !all);
    atomic_store(&starve, 0);
    refuse = true;
    SOMA_HASH_ADD(hh, all, id, sizeof a.id, &a);
    EXPECT(was_told(SOMA_E_NOMEM, &a) && !a.hh.tbl);
    refuse = false;
    SOMA_HASH_DEL(all, &a);
    EXPECT(was_told(SOMA_ABSENT, &a));
    SOMA_HASH_ADD(hh, all, id, sizeof a.id, &a);
    EXPECT(told == 0 && a.hh.tbl);
    SOMA_HASH_ADD(hh, all, id, sizeof b.id, &b);
    EXPECT(was_told(SOMA_EXISTS, &b) && !b.hh.tbl);
    SOMA_HASH_DEL(all, &b);
    EXPECT(was_told(SOMA_CHANGED, &b));
    SOMA_HASH_TRY_DELETE(hh, all, &b, removed);
    EXPECT(told == 0 && !removed);
    refuse = true;
    SOMA_HASH_ADD_NEW(hh, all, id, sizeof c.id, &c, found);
    EXPECT(was_told(SOMA_E_NOMEM, &c) && !found && !c.hh.tbl);
    SOMA_HASH_DEL(all, &a);
    EXPECT(was_told(SOMA_E_NOMEM, &a) && a.hh.tbl);
    SOMA_HASH_ITER(hh, all, found, tmp)
        EXPECT(false);
    EXPECT(was_told(SOMA_E_NOMEM, NULL));
    SOMA_HASH_SORTED(hh, all, by_rank, array, count);
    EXPECT(was_told(SOMA_E_NOMEM, NULL) && !array && count == 0);
    SOMA_HASH_RETIRE(free, &b);
    EXPECT(was_told(SOMA_E_NOMEM, &b));
    refuse = false;
    SOMA_HASH_ADD(hh, all, id, sizeof c.id, &c);
    atomic_store(&starve, NO_REALLOC);
    SOMA_HASH_SORTED(hh, all, by_rank, array, count);
    EXPECT(was_told(SOMA_E_NOMEM, NULL) && !array && count == 0);
    atomic_store(&starve, NO_MALLOC);
    SOMA_HASH_SORTED(hh, all, by_rank, array, count);
    EXPECT(was_told(SOMA_E_NOMEM, NULL) && !array && count == 0);
    atomic_store(&starve, 0);
    SOMA_HASH_FIND(hh, all, &a.id, sizeof a.id, found);
    EXPECT(found == &a);
    EXPECT_EQ(SOMA_HASH_COUNT(all), 2);
    struct soma_uthash_table *lost = soma_uthash_show(all);
    refuse = true;
    SOMA_HASH_CLEAR(hh, all);
    EXPECT(was_told(SOMA_E_NOMEM, NULL) && !all);
    refuse = false;
    soma_uthash_free(lost);
    soma_barrier_wait();
    verified(14);
}

/* ---- Threads ---- */

#define THREADS 4
#define RANGE 64
#define ROUNDS 10000
#define ALIVE 0x600dU

struct session {
    uint64_t id;
    unsigned alive;
    soma_hash_handle hh;
};

static struct session *sessions;
static atomic_ulong freed;
static atomic_ulong in, out; /* elements that went in and came out, by what the calls said */

static void session_free(void *arg)
{
    struct session *session = arg;
    EXPECT_EQ(session->alive, ALIVE);
    session->alive = 0;
    free(session);
    atomic_fetch_add(&freed, 1);
}

static void session_retire(struct session *session)
{
    atomic_fetch_add(&out, 1);
    SOMA_HASH_RETIRE(session_free, session);
}

static struct session *session_new(uint64_t id)
{
    struct session *session = calloc(1, sizeof *session);
    session->id = id;
    session->alive = ALIVE;
    return session;
}

static void session_put(uint64_t id, bool replace)
{
    struct session *session = session_new(id), *other;
    if (replace) {
        SOMA_HASH_REPLACE(hh, sessions, id, sizeof session->id, session, other);
        atomic_fetch_add(&in, 1);
        if (other)
            session_retire(other);
        return;
    }
    soma_read_enter();
    SOMA_HASH_ADD_NEW(hh, sessions, id, sizeof session->id, session, other);
    EXPECT(!other || (other->id == id && other->alive == ALIVE));
    soma_read_exit();
    if (other)
        free(session);
    else
        atomic_fetch_add(&in, 1);
}

static void session_drop(uint64_t id, bool take)
{
    struct session *session;
    bool removed = false;
    soma_read_enter();
    if (take)
        SOMA_HASH_TAKE(hh, sessions, &id, sizeof id, session);
    else
        SOMA_HASH_FIND(hh, sessions, &id, sizeof id, session);
    if (session && !take)
        SOMA_HASH_TRY_DELETE(hh, sessions, session, removed);
    if (session) {
        EXPECT(session->id == id && session->alive == ALIVE);
        if (take || removed)
            session_retire(session);
    }
    soma_read_exit();
}

static void visitor(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    struct session *session, *tmp;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t id = rng_below(&rng, RANGE), what = rng_below(&rng, 100);
        if (what < 49)
            session_put(id, what % 2);
        else if (what < 99)
            session_drop(id, what % 2);
        else
            SOMA_HASH_ITER(hh, sessions, session, tmp)
                EXPECT(session->id < RANGE && session->alive == ALIVE);
    }
}

static void threads_conserve(const void *setup)
{
    (void)setup;
    struct session *session, *tmp;
    atomic_store(&freed, 0);
    atomic_store(&in, 0);
    atomic_store(&out, 0);
    sessions = NULL;
    told = 0;
    crew_run(THREADS, visitor, NULL);
    const unsigned long left = atomic_load(&in) - atomic_load(&out);
    EXPECT_EQ(SOMA_HASH_COUNT(sessions), left);
    SOMA_HASH_ITER(hh, sessions, session, tmp) {
        SOMA_HASH_DEL(sessions, session);
        session_retire(session);
    }
    EXPECT_EQ(SOMA_HASH_COUNT(sessions), 0);
    SOMA_HASH_CLEAR(hh, sessions);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&freed), atomic_load(&in));
    EXPECT_EQ(atomic_load(&out), atomic_load(&in));
    EXPECT_EQ(told, 0);
    verified(atomic_load(&in));
}

/* Elements are nobody's here, so that a table may be cleared at any time. */
static struct session pool[THREADS][RANGE];

static void clearer(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        struct session *session = &pool[index][rng_below(&rng, RANGE)], *found, *tmp;
        const uint64_t what = rng_below(&rng, 100), id = session->id;
        unsigned met = 0;
        if (what < 3)
            SOMA_HASH_CLEAR(hh, sessions);
        else if (what < 60)
            SOMA_HASH_REPLACE(hh, sessions, id, sizeof session->id, session, found);
        else if (what < 95) {
            SOMA_HASH_FIND(hh, sessions, &id, sizeof id, found);
            EXPECT(!found || found->id == id);
        } else
            SOMA_HASH_ITER(hh, sessions, found, tmp)
                met++;
        EXPECT(met <= THREADS * RANGE);
    }
}

static void clears_beside(const void *setup)
{
    (void)setup;
    sessions = NULL;
    told = 0;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < RANGE; i++)
            pool[t][i].id = i;
    crew_run(THREADS, clearer, NULL);
    EXPECT_EQ(told, 0);
    EXPECT(SOMA_HASH_COUNT(sessions) <= RANGE);
    SOMA_HASH_CLEAR(hh, sessions);
    EXPECT_EQ(SOMA_HASH_COUNT(sessions), 0);
    soma_barrier_wait();
    verified(THREADS * (uint64_t)ROUNDS / 10);
}

/* Elements that stay, and others that come and go in numbers that let the tables grow and shrink. Keys are short or long. */
#define STAYING 600
#define PASSING 6000
#define WALKS 8

struct word {
    char text[20];
    unsigned number;
    soma_hash_handle hh;
};

static struct word *words;
static atomic_bool walked;
static atomic_uint passed; /* times that a passer has put all, or taken all */

static void word_name(struct word *word, unsigned number)
{
    word->number = number;
    (void)snprintf(word->text, sizeof word->text, number % 2 ? "%u" : "word-%u-of-many", number);
}

/* Each that stays, once. */
static void walk_words(void)
{
    static unsigned char met[STAYING + PASSING];
    struct word *word, *tmp;
    memset(met, 0, sizeof met);
    soma_read_enter();
    SOMA_HASH_ITER(hh, words, word, tmp)
        EXPECT_EQ(met[word->number]++, 0);
    soma_read_exit();
    unsigned staying = 0;
    for (unsigned number = 0; number < STAYING; number++)
        staying += met[number];
    EXPECT_EQ(staying, STAYING);
}

static void walk_or_pass(unsigned index, void *arg)
{
    (void)arg;
    struct word name, *word, *present;
    if (index == 0) {
        for (unsigned i = 0; i < WALKS || atomic_load(&passed) < 4; i++)
            walk_words();
        atomic_store(&walked, true);
        return;
    }
    for (unsigned i = 0; !atomic_load(&walked); i++) {
        const unsigned number = STAYING + i % PASSING;
        if (number == STAYING && i > 0)
            atomic_fetch_add(&passed, 1);
        if (i / PASSING % 2 == 0) {
            word = need(1, sizeof *word);
            word_name(word, number);
            SOMA_HASH_ADD_KEYPTR_NEW(hh, words, word->text, strlen(word->text), word, present);
            if (present)
                free(word);
            continue;
        }
        word_name(&name, number);
        SOMA_HASH_TAKE(hh, words, name.text, strlen(name.text), word);
        if (word)
            SOMA_HASH_RETIRE(free, word);
    }
}

static void walks_beside(const void *setup)
{
    (void)setup;
    static struct word staying[STAYING];
    struct word *word, *tmp;
    words = NULL;
    told = 0;
    atomic_store(&walked, false);
    atomic_store(&passed, 0);
    for (unsigned number = 0; number < STAYING; number++) {
        word_name(&staying[number], number);
        SOMA_HASH_ADD_STR(words, text, &staying[number]);
    }
    crew_run(3, walk_or_pass, NULL);
    /* The walk sees that one is gone. */
    SOMA_HASH_DEL(words, &staying[STAYING / 2]);
    canary_begin();
    walk_words();
    EXPECT(canary_end() == 1);
    SOMA_HASH_ITER(hh, words, word, tmp) {
        SOMA_HASH_DEL(words, word);
        if (word->number >= STAYING)
            SOMA_HASH_RETIRE(free, word);
    }
    SOMA_HASH_CLEAR(hh, words);
    soma_barrier_wait();
    EXPECT_EQ(told, 0);
    verified(WALKS * (uint64_t)STAYING);
}

static const struct test_case cases[] = {
    {"agrees with uthash, keys of 4 bytes", agrees, &four},
    {"agrees with uthash, keys of 8 bytes", agrees, &eight},
    {"agrees with uthash, keys of 12 bytes", agrees, &twelve},
    {"agrees with uthash, keys of 0 to 20 bytes", agrees, &mixed},
    {"the short macros", short_names, NULL},
    {"several handles in an element", several_handles, NULL},
    {"walks end in every way", walks_end, NULL},
    {"sorts", sorts, NULL},
    {"the handle is no element", handle_faults, NULL},
    {"failures are told, and change nothing", failures_are_told, NULL},
    {"threads: what goes in comes out once", threads_conserve, NULL},
    {"threads: clearing beside everything", clears_beside, NULL},
    {"threads: walks beside growth and shrinking", walks_beside, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
