/* SPDX-License-Identifier: ISC */
/* hsearch.c - soma/compat/hsearch.h beside the C library's own tables: the same random calls give the same answers; threads that
 * enter and change the same entries; no memory; the process-wide table, which hsearch-other.c uses as well. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/compat/hsearch.h>
#include <soma/rcu.h>

#include "support.h"

ENTRY *other_search(char *key, void *data, ACTION action);

/* ---- Memory that is refused ---- */

static bool armed;
static uint64_t asked;
static uint64_t first_refused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
__attribute__((used)) void *__wrap_malloc(size_t size);
__attribute__((used)) void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size)
{
    return armed && ++asked >= first_refused ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return armed && ++asked >= first_refused ? NULL : __real_calloc(count, size);
}

/* ---- Keys ---- */

#define KEYS 500

/* Two copies of each, since the table keeps the pointer of the one that was entered. */
static char keys[2][KEYS][16];

static void make_keys(void)
{
    for (unsigned i = 0; i < KEYS; i++)
        for (unsigned copy = 0; copy < 2; copy++)
            snprintf(keys[copy][i], sizeof keys[copy][i], "%u", i * i);
}

static ENTRY item_of(unsigned copy, unsigned number, uintptr_t data)
{
    return (ENTRY){keys[copy][number], (void *)data};
}

/* ---- Against the C library ---- */

static bool seeded_bug;

static void compare(struct soma_hsearch_data *ours, struct hsearch_data *theirs, struct rng *rng)
{
    const ACTION action = rng_below(rng, 3) ? FIND : ENTER;
    const unsigned number = (unsigned)rng_below(rng, KEYS);
    const ENTRY item = item_of((unsigned)rng_below(rng, 2), number, (uintptr_t)rng_next(rng));
    ENTRY *found[2] = {NULL, NULL};
    int errors[2];
    errno = 0;
    const int they_say = hsearch_r(item, action, &found[0], theirs);
    errors[0] = errno;
    errno = 0;
    const int we_say = soma_hsearch_r(item, action, &found[1], ours);
    errors[1] = errno;
    EXPECT_EQ(we_say, they_say);
    EXPECT_EQ(errors[1], errors[0]);
    verified(1);
    if (!EXPECT((found[0] != NULL) == (found[1] != NULL)) || !found[0])
        return;
    if (seeded_bug && action == ENTER)
        found[1]->data = item.data;
    EXPECT(found[0]->key == found[1]->key && found[0]->data == found[1]->data);
    if (number % 7 == 0) {
        void *const was = found[0]->data;
        found[0]->data = item.data;
        EXPECT(soma_hsearch_exchange(found[1], item.data) == was);
    }
}

static void same_as_libc(const void *setup)
{
    struct soma_hsearch_data ours = {NULL};
    struct hsearch_data theirs;
    struct rng rng = rng_new(1);
    seeded_bug = setup != NULL;
    memset(&theirs, 0, sizeof theirs);
    make_keys();
    if (seeded_bug)
        canary_begin();
    EXPECT_EQ(soma_hcreate_r(2 * KEYS, &ours), hcreate_r(2 * KEYS, &theirs));
    for (int i = 0; i < 20000; i++)
        compare(&ours, &theirs, &rng);
    hdestroy_r(&theirs);
    soma_hdestroy_r(&ours);
    if (seeded_bug)
        EXPECT(canary_end() > 0);
    seeded_bug = false;
}

static void lifecycle(const void *setup)
{
    struct soma_hsearch_data table = {NULL};
    ENTRY *entry = NULL;
    (void)setup;
    make_keys();
    errno = 0;
    EXPECT(soma_hcreate_r(1, NULL) == 0 && errno == EINVAL);
    EXPECT(soma_hsearch_r(item_of(0, 1, 0), ENTER, &entry, &table) == 0 && errno == EINVAL && entry == NULL);
    errno = 0;
    EXPECT(soma_hcreate_r(SIZE_MAX, &table) == 0 && errno == ENOMEM);
    EXPECT_EQ(soma_hcreate_r(1, &table), 1);
    EXPECT(soma_hcreate_r(1, &table) == 0 && errno == EBUSY);
    for (unsigned i = 0; i < KEYS; i++) /* many more than it was made for */
        EXPECT(soma_hsearch_r(item_of(0, i, i), ENTER, &entry, &table) && entry->key == keys[0][i]);
    for (unsigned i = 0; i < KEYS; i++)
        EXPECT(soma_hsearch_r(item_of(1, i, 0), FIND, &entry, &table) && (uintptr_t)soma_hsearch_load(entry) == i);
    soma_hdestroy_r(&table);
    EXPECT(table.map == NULL);
    EXPECT_EQ(soma_hcreate_r(0, &table), 1);
    EXPECT(soma_hsearch_r(item_of(0, 1, 0), FIND, &entry, &table) == 0 && errno == ESRCH);
    soma_hdestroy_r(&table);
    errno = 0;
    soma_hdestroy_r(NULL);
    EXPECT_EQ(errno, EINVAL);
    verified(2 * KEYS);
}

static void process_wide(const void *setup)
{
    (void)setup;
    make_keys();
    for (int round = 0; round < 2; round++) {
        EXPECT_EQ(soma_hcreate(10), 1);
        EXPECT_EQ(soma_hcreate(10), 0);
        EXPECT(soma_hsearch(item_of(0, 1, 0), FIND) == NULL);
        EXPECT(soma_hsearch(item_of(0, 1, 5), ENTER) != NULL);
        ENTRY *const entry = other_search(keys[1][1], NULL, ENTER);
        EXPECT(entry != NULL && entry->key == keys[0][1]);
        EXPECT(other_search(keys[1][2], NULL, FIND) == NULL);
        soma_hdestroy();
        verified(1);
    }
}

/* ---- Threads ---- */

#define THREADS 4
#define ROUNDS 10000
#define SHARED 64

static struct soma_hsearch_data shared;
static char own[THREADS][SHARED][16];
static unsigned winners[SHARED];

static void enter_and_count(unsigned index, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned number = i % SHARED;
        ENTRY *entry;
        if (!EXPECT(soma_hsearch_r((ENTRY){own[index][number], NULL}, ENTER, &entry, &shared)))
            return;
        if (i < SHARED && entry->key == own[index][number])
            __atomic_fetch_add(&winners[number], 1, __ATOMIC_RELAXED);
        void *data = soma_hsearch_load(entry);
        while (soma_hsearch_cas(entry, data, (void *)((uintptr_t)data + 1), &data) == SOMA_CHANGED)
            continue;
        verified(1);
    }
}

static void threads(const void *setup)
{
    (void)setup;
    memset(winners, 0, sizeof winners);
    for (unsigned thread = 0; thread < THREADS; thread++)
        for (unsigned i = 0; i < SHARED; i++)
            snprintf(own[thread][i], sizeof own[thread][i], "key %u", i);
    EXPECT_EQ(soma_hcreate_r(1, &shared), 1);
    crew_run(THREADS, enter_and_count, NULL);
    uintptr_t sum = 0;
    for (unsigned i = 0; i < SHARED; i++) {
        ENTRY *entry;
        EXPECT(soma_hsearch_r((ENTRY){own[0][i], NULL}, FIND, &entry, &shared));
        sum += (uintptr_t)entry->data;
        EXPECT_EQ(winners[i], 1);
    }
    EXPECT_EQ(sum, THREADS * ROUNDS);
    soma_hdestroy_r(&shared);
}

/* ---- No memory ---- */

static bool refuse(unsigned number, uint64_t n)
{
    struct soma_hsearch_data table = {NULL};
    ENTRY *entry = NULL;
    EXPECT_EQ(soma_hcreate_r(10, &table), 1);
    EXPECT_EQ(soma_hsearch_r(item_of(0, 1, 5), ENTER, &entry, &table), 1);
    errno = 0;
    asked = 0;
    first_refused = n;
    armed = true;
    const int entered = soma_hsearch_r(item_of(1, number, 6), ENTER, &entry, &table);
    armed = false;
    EXPECT(entered ? entry != NULL : errno == ENOMEM && entry == NULL);
    EXPECT(soma_hsearch_r(item_of(1, 1, 0), FIND, &entry, &table) && entry->key == keys[0][1]);
    EXPECT_EQ(soma_hsearch_r(item_of(0, 2, 0), FIND, &entry, &table), entered && number == 2);
    soma_hdestroy_r(&table);
    verified(1);
    return !entered;
}

static void without_memory(const void *setup)
{
    unsigned hits = 0;
    (void)setup;
    make_keys();
    for (uint64_t n = 1; refuse(2, n); n++)
        hits++;
    EXPECT(hits > 0);
    EXPECT(!refuse(1, 1)); /* what is there needs none */
}

int main(int argc, char **argv)
{
    static const int bug = 1;
    static const struct test_case cases[] = {
        {"same", same_as_libc, NULL}, {"canary", same_as_libc, &bug},       {"lifecycle", lifecycle, NULL},
        {"threads", threads, NULL},   {"process-wide", process_wide, NULL}, {"no-memory", without_memory, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
