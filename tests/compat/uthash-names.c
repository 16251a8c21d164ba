/* SPDX-License-Identifier: ISC */
/* uthash-names.c - soma/compat/uthash.h under uthash's names, in a program that goes on without memory as uthash has it: its handler
 * marks the element, so it needs one, and it is called for adds that get no memory and for nothing else. */
#include <stdio.h>

#include "support.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(elt)                                                                                       \
    do {                                                                                                               \
        refused_adds++;                                                                                                \
        elt->refused = true;                                                                                           \
    } while (0)
/* uthash's own ends the program; what is tested here is which of the two is called. */
#define uthash_fatal(text) fatal((text))
#define SOMA_COMPAT_UTHASH_NAMES
#include <soma/compat/uthash.h>

static unsigned refused_adds;
static unsigned fatal_failures;
static const char *fatal_text;

static void fatal(const char *text)
{
    fatal_failures++;
    fatal_text = text;
}

/* ---- Failures on demand ---- */

static bool refuse;

#define REFUSED(call, parameters, arguments)                                                                           \
    enum soma_status __real_##call parameters;                                                                         \
    enum soma_status __wrap_##call parameters;                                                                         \
    enum soma_status __wrap_##call parameters                                                                          \
    {                                                                                                                  \
        return refuse ? SOMA_E_NOMEM : __real_##call arguments;                                                        \
    }

REFUSED(soma_u64_put_new, (soma_u64 * map, uint64_t key, uint64_t value, uint64_t *present), (map, key, value, present))
REFUSED(soma_u64_put, (soma_u64 * map, uint64_t key, uint64_t value, uint64_t *old), (map, key, value, old))
REFUSED(soma_u64_remove, (soma_u64 * map, uint64_t key, uint64_t *old), (map, key, old))
REFUSED(soma_u64_remove_if, (soma_u64 * map, uint64_t key, uint64_t expected, uint64_t *actual),
        (map, key, expected, actual))
REFUSED(soma_cursor_open_u64, (const soma_u64 *map, soma_cursor **out), (map, out))
REFUSED(soma_retire, (void (*fn)(void *), void *arg), (fn, arg))

/* ---- Cases ---- */

struct user {
    int id;
    bool refused;
    UT_hash_handle hh;
};

static int by_id(const struct user *a, const struct user *b)
{
    return a->id - b->id;
}

/* One add was refused, of this element. */
static bool add_was_refused(struct user *user)
{
    const bool right = refused_adds == 1 && fatal_failures == 0 && user->refused && !user->hh.tbl;
    refused_adds = 0;
    user->refused = false;
    return right;
}

/* Something else failed, for this reason, and the handler for adds was left alone. */
static bool was_fatal(enum soma_status status)
{
    const bool right = fatal_failures == 1 && refused_adds == 0 && strcmp(fatal_text, soma_status_text(status)) == 0;
    fatal_failures = 0;
    refused_adds = 0;
    return right;
}

static void adds(const void *setup)
{
    (void)setup;
    struct user *users = NULL, *present = NULL, a = {.id = 1}, b = {.id = 1};
    refuse = true;
    HASH_ADD_INT(users, id, &a);
    EXPECT(add_was_refused(&a));
    HASH_REPLACE_INT(users, id, &a, present);
    EXPECT(add_was_refused(&a));
    SOMA_HASH_ADD_NEW(hh, users, id, sizeof a.id, &a, present);
    EXPECT(add_was_refused(&a));
    refuse = false;
    HASH_ADD_INT(users, id, &a);
    HASH_ADD_INT(users, id, &b);
    EXPECT(was_fatal(SOMA_EXISTS) && !b.refused);
    HASH_CLEAR(hh, users);
    soma_barrier_wait();
    verified(4);
}

static void others(const void *setup)
{
    (void)setup;
    struct user *users = NULL, *user, *tmp, **array, a = {.id = 1}, b = {.id = 1};
    size_t count;
    bool removed;
    HASH_ADD_INT(users, id, &a);
    refuse = true;
    HASH_DEL(users, &a);
    EXPECT(was_fatal(SOMA_E_NOMEM));
    SOMA_HASH_TRY_DELETE(hh, users, &a, removed);
    EXPECT(was_fatal(SOMA_E_NOMEM) && !removed);
    SOMA_HASH_TAKE(hh, users, &a.id, sizeof a.id, user);
    EXPECT(was_fatal(SOMA_E_NOMEM) && !user);
    HASH_ITER(hh, users, user, tmp)
        EXPECT(false);
    EXPECT(was_fatal(SOMA_E_NOMEM));
    SOMA_HASH_SORTED(hh, users, by_id, array, count);
    EXPECT(was_fatal(SOMA_E_NOMEM) && !array && count == 0);
    SOMA_HASH_RETIRE(free, &b);
    EXPECT(was_fatal(SOMA_E_NOMEM));
    refuse = false;
    b.hh = a.hh;
    HASH_DEL(users, &b);
    EXPECT(was_fatal(SOMA_CHANGED));
    HASH_DEL(users, &a); /* the first of two threads, which retires the element */
    EXPECT(fatal_failures == 0 && refused_adds == 0);
    HASH_DEL(users, &a); /* the second */
    EXPECT(was_fatal(SOMA_ABSENT) && !a.refused);
    struct soma_uthash_table *lost = soma_uthash_show(users);
    refuse = true;
    HASH_CLEAR(hh, users);
    refuse = false;
    EXPECT(was_fatal(SOMA_E_NOMEM) && !users);
    soma_uthash_free(lost);
    soma_barrier_wait();
    verified(10);
}

static const struct test_case cases[] = {
    {"adds without memory", adds, NULL},
    {"whatever else fails", others, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
