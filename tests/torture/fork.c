/* SPDX-License-Identifier: ISC */
/* fork.c - thousands of forks while four writers are in the middle of everything, from two threads at once, from inside
 * sections and retired calls. Each child has a whole map of each kind, goes through it, uses every kind of call, may
 * start a thread or fork again, frees the maps, and must be done before an alarm. The parent's maps are checked too. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kinds.h"
#include "stalled.h"
#include "torture.h"

static uint64_t forks = 120;
static uint64_t writers = 4;
static uint64_t forkers = 2;
static uint64_t keys = 1000; /* of each writer */

#define PERMANENT 300
#define ROUND (UINT64_C(1) << 32)     /* a value is its key plus a multiple of this */
#define OWN_FIRST (UINT64_C(1) << 30) /* keys of a child, by generation */
#define OWN 100
#define GENERATIONS 3
#define CAP (UINT64_C(4) << 20) /* little enough that a fork does not take long to copy */

struct world {
    void *maps[2];
    atomic_bool done;
    atomic_uint_fast64_t number; /* of forks begun */
    atomic_uint_fast64_t finished;
    atomic_uint_fast64_t rounds; /* of writers, each of which retires a call */
    atomic_uint_fast64_t calls;  /* of those, run */
    atomic_uint_fast64_t retired[2];
    atomic_uint_fast64_t retired_sum[2];
    atomic_uint_fast64_t stored[2];
    atomic_uint_fast64_t stored_sum[2];
    atomic_uint_fast64_t own_retired; /* in a child: of its own values */
    uint64_t *last[2];                /* by key: what its writer put last; 0 = not there */
};

static struct world world;

static uint64_t scramble(uint64_t id)
{
    id = (id ^ id >> 31) * UINT64_C(0x7fb5d329728ea185);
    return id ^ id >> 29;
}

static void note_retired(unsigned k, uint64_t value)
{
    atomic_fetch_add(&world.retired[k], 1);
    atomic_fetch_add(&world.retired_sum[k], scramble(value));
    if (value % ROUND >= OWN_FIRST)
        atomic_fetch_add(&world.own_retired, 1);
}

static void word_retired(uint64_t value, void *ctx)
{
    (void)ctx;
    note_retired(0, value);
}

static void bytes_retired(uint64_t value, void *ctx)
{
    (void)ctx;
    note_retired(1, value);
}

/* Keys in the maps: PERMANENT that stay, then the writers'. */
static uint64_t key_count(void)
{
    return PERMANENT + writers * keys;
}

/* ---- What a child may find wrong ---- */

enum wrong {
    FINE,
    LOST_PERMANENT,
    STRANGE_VALUE,
    BAD_PUT,
    BAD_REMOVE,
    BAD_UPDATE,
    BAD_CLEAR,
    BAD_THREAD,
    BAD_CHILD,
    BAD_RETIRE,
    NOT_RUN,
    RUN_EARLY,
    OWN_NOT_RETIRED,
    TORN,
    WRONGS,
};

static const char *const wrong_text[WRONGS] = {
    [FINE] = "fine",
    [LOST_PERMANENT] = "a key that always was there is not",
    [STRANGE_VALUE] = "a value that was never stored under its key",
    [BAD_PUT] = "a put with a wrong answer",
    [BAD_REMOVE] = "a remove with a wrong answer",
    [BAD_UPDATE] = "an update with a wrong answer",
    [BAD_CLEAR] = "a map that is not empty after it was cleared",
    [BAD_THREAD] = "no thread could be started",
    [BAD_CHILD] = "a child of its own that failed",
    [BAD_RETIRE] = "soma_retire() failed",
    [NOT_RUN] = "a retired call that did not run once",
    [RUN_EARLY] = "a retired call that ran in the section that it waits for",
    [OWN_NOT_RETIRED] = "values of its own that were not retired once",
    [TORN] = "a value with torn bytes",
};

/* ---- In the child ---- */

static bool is_value_of(uint64_t key, uint64_t value)
{
    return value % ROUND == key;
}

/* The whole map: what must be there is, and what is there is right. */
static enum wrong check_map(unsigned k)
{
    for (uint64_t key = 0; key < key_count(); key++) {
        uint64_t value = 0;
        const enum soma_status status = kinds[k].get(world.maps[k], key, &value);
        if (key < PERMANENT && (status != SOMA_OK || value != key))
            return LOST_PERMANENT;
        if (status == SOMA_OK ? !is_value_of(key, value) : status != SOMA_ABSENT)
            return STRANGE_VALUE;
    }
    return FINE;
}

static enum soma_status add_round(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)ctx;
    *value = present ? *value + ROUND : key;
    return SOMA_OK;
}

/* Keys of the caller's own: three values each, of which it counts what it stored. */
static enum wrong use_own(unsigned k, uint64_t first, uint64_t *stored)
{
    const struct kind *kind = &kinds[k];
    void *map = world.maps[k];
    for (uint64_t key = first; key < first + OWN; key++) {
        if (kind->put(map, key, key, NULL) != SOMA_INSERTED ||
            kind->put(map, key, key + ROUND, NULL) != SOMA_REPLACED ||
            kind->put_new(map, key, key, NULL) != SOMA_EXISTS)
            return BAD_PUT;
        if (kind->update(map, key, add_round, NULL) != SOMA_REPLACED)
            return BAD_UPDATE;
        *stored += 3;
    }
    for (uint64_t key = first; key < first + OWN; key++) {
        uint64_t old = 0;
        if (key % 3 != 0 && (kind->remove(map, key, &old) != SOMA_REMOVED || old != key + 2 * ROUND))
            return BAD_REMOVE;
        if (key % 3 == 0 && (kind->get(map, key, &old) != SOMA_OK || old != key + 2 * ROUND))
            return BAD_REMOVE;
    }
    return FINE;
}

/* Over what the writers left in the middle of something. */
static enum wrong use_theirs(unsigned k)
{
    for (uint64_t key = PERMANENT; key < key_count(); key += 3) {
        uint64_t old = key;
        if (kinds[k].put(world.maps[k], key, key + ROUND, &old) < 0)
            return BAD_PUT;
        if (!is_value_of(key, old))
            return STRANGE_VALUE;
        if (key % 2 == 0 && (kinds[k].remove(world.maps[k], key, &old) != SOMA_REMOVED || old != key + ROUND))
            return BAD_REMOVE;
    }
    return check_map(k);
}

static enum wrong clear_and_fill(unsigned k)
{
    if (kinds[k].clear(world.maps[k]) != SOMA_OK || kinds[k].shrink(world.maps[k]) != SOMA_OK)
        return BAD_CLEAR;
    for (uint64_t key = 0; key < key_count(); key++) {
        if (kinds[k].get(world.maps[k], key, NULL) != SOMA_ABSENT)
            return BAD_CLEAR;
        if (kinds[k].put(world.maps[k], key, key, NULL) != SOMA_INSERTED)
            return BAD_PUT;
    }
    return check_map(k);
}

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static enum wrong reclaim(void)
{
    static unsigned calls;
    calls = 0;
    if (soma_retire(count_up, &calls) != SOMA_OK)
        return BAD_RETIRE;
    soma_barrier_wait();
    return calls == 1 ? FINE : NOT_RUN;
}

struct helper {
    enum wrong wrong;
    uint64_t stored;
};

static void *help(void *arg)
{
    struct helper *helper = arg;
    for (unsigned k = 0; k < 2 && !helper->wrong; k++)
        helper->wrong = use_own(k, OWN_FIRST + (GENERATIONS + k + 1) * OWN, &helper->stored);
    return NULL;
}

static enum wrong start_thread(uint64_t *stored)
{
    struct helper helper = {FINE, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, help, &helper) != 0)
        return BAD_THREAD;
    const enum wrong wrong = reclaim();
    pthread_join(thread, NULL);
    *stored += helper.stored;
    return wrong ? wrong : helper.wrong;
}

static enum wrong live(uint64_t number, unsigned generation);

static enum wrong fork_again(uint64_t number, unsigned generation)
{
    const int pid = fork();
    if (pid == 0)
        _exit((int)live(number, generation + 1));
    return child_status(pid) == FINE ? FINE : BAD_CHILD;
}

static enum wrong use_all(uint64_t number, unsigned generation, uint64_t *stored)
{
    enum wrong wrong = FINE;
    for (unsigned k = 0; k < 2 && !wrong; k++) {
        wrong = use_own(k, OWN_FIRST + generation * OWN, stored);
        if (!wrong)
            wrong = use_theirs(k);
        if (!wrong && number % 5 == 1)
            wrong = clear_and_fill(k);
    }
    if (!wrong)
        wrong = reclaim();
    if (!wrong && number % 8 == 5)
        wrong = start_thread(stored);
    if (!wrong && number % 8 == 3 && generation + 1 < GENERATIONS)
        wrong = fork_again(number, generation);
    return wrong;
}

/* All that a child does. A child's child starts with what its parent stored. */
static enum wrong live(uint64_t number, unsigned generation)
{
    static uint64_t stored;
    alarm(child_seconds());
    enum wrong wrong = check_map(0);
    if (!wrong)
        wrong = check_map(1);
    soma_barrier_wait(); /* the writers may have filled the cap, and kinds' verbs make no room inside their sections */
    if (!wrong)
        wrong = use_all(number, generation, &stored);
    for (unsigned k = 0; k < 2; k++)
        kinds[k].close(world.maps[k]);
    soma_barrier_wait();
    if (!wrong && atomic_load(&world.own_retired) != stored)
        wrong = OWN_NOT_RETIRED;
    return !wrong && failures() > 0 ? TORN : wrong;
}

/* ---- Ways of forking ---- */

static void report(uint64_t number, int status)
{
    atomic_fetch_add(&world.finished, 1);
    if (EXPECT_EQ(status, FINE))
        return;
    const char *const what = status >= 0 && status < WRONGS ? wrong_text[status] : "a signal, or no end in time";
    fprintf(stderr, "fork %" PRIu64 ": status %d: %s\n", number, status, what);
}

static void fork_plainly(uint64_t number)
{
    const int pid = fork();
    if (pid == 0)
        _exit((int)live(number, 0));
    report(number, child_status(pid));
}

/* What is retired waits for the section that the child has inherited. */
static enum wrong live_inside(uint64_t number)
{
    static unsigned calls;
    calls = 0;
    alarm(child_seconds());
    if (soma_retire(count_up, &calls) != SOMA_OK)
        return BAD_RETIRE;
    const enum wrong wrong = check_map((unsigned)number / 8 % 2);
    if (calls != 0)
        return RUN_EARLY;
    soma_read_exit();
    soma_barrier_wait();
    if (calls != 1)
        return NOT_RUN;
    return wrong ? wrong : live(number, 0);
}

static void fork_inside(uint64_t number)
{
    soma_read_enter();
    soma_read_enter();
    soma_read_exit();
    const int pid = fork();
    if (pid == 0)
        _exit((int)live_inside(number));
    soma_read_exit(); /* before the wait, in which the writers would reach the cap */
    report(number, child_status(pid));
}

/* In a retired call no room can be made at the cap, and a barrier returns at once: the child reads, and inserts. */
static enum wrong live_in_call(void)
{
    alarm(child_seconds());
    for (unsigned k = 0; k < 2; k++) {
        const enum wrong wrong = check_map(k);
        if (wrong)
            return wrong;
        for (uint64_t key = OWN_FIRST; key < OWN_FIRST + OWN; key++) {
            uint64_t value = 0;
            if (kinds[k].put(world.maps[k], key, key, NULL) != SOMA_INSERTED ||
                kinds[k].get(world.maps[k], key, &value) != SOMA_OK || value != key)
                return BAD_PUT;
        }
    }
    return failures() > 0 ? TORN : FINE;
}

static void fork_in_call(void *arg)
{
    const int pid = fork();
    if (pid == 0)
        _exit((int)live_in_call());
    report((uintptr_t)arg, child_status(pid));
}

static void fork_once(uint64_t number)
{
    switch (number % 8) {
    case 7:
        fork_inside(number);
        break;
    case 6:
        EXPECT_EQ(soma_retire(fork_in_call, (void *)(uintptr_t)number), SOMA_OK);
        soma_barrier_wait();
        break;
    default:
        fork_plainly(number);
    }
}

static void fork_on(unsigned index)
{
    uint64_t number;
    while (failures() == 0 && (number = atomic_fetch_add(&world.number, 1)) < forks) {
        fork_once(number);
        if (index == 0)
            torture_progress(atomic_load(&world.finished), forks, "forks");
    }
}

/* ---- The writers ---- */

/* While a forker is inside a section, the cap may be reached; kinds' verbs make no room inside their own. */
static void write_key(unsigned k, uint64_t key, bool removes, uint64_t n)
{
    const uint64_t value = key + n % (ROUND - 1) * ROUND + ROUND;
    enum soma_status status;
    for (;;) {
        status = removes ? kinds[k].remove(world.maps[k], key, NULL) : kinds[k].put(world.maps[k], key, value, NULL);
        if (status != SOMA_E_LIMIT)
            break;
        soma_barrier_wait();
    }
    const bool there = world.last[k][key] != 0;
    EXPECT_EQ(status, removes ? (there ? SOMA_REMOVED : SOMA_ABSENT) : there ? SOMA_REPLACED : SOMA_INSERTED);
    world.last[k][key] = removes ? 0 : value;
    if (!removes) {
        atomic_fetch_add_explicit(&world.stored[k], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&world.stored_sum[k], scramble(value), memory_order_relaxed);
    }
}

static void note_call(void *arg)
{
    (void)arg;
    atomic_fetch_add(&world.calls, 1);
}

/* Tables fill up and empty, so they grow and shrink; calls are retired on the way. */
static void write_on(unsigned index)
{
    const uint64_t first = PERMANENT + index * keys;
    for (uint64_t n = 0; !atomic_load(&world.done) && failures() == 0; n++) {
        for (uint64_t i = 0; i < 2 * keys && !atomic_load(&world.done); i++) {
            const bool removes = i >= keys;
            write_key((unsigned)(i + n) % 2, first + i % keys, removes, n);
            if (!removes)
                write_key((unsigned)(i + n + 1) % 2, first + i % keys, false, n);
        }
        EXPECT_EQ(soma_retire(note_call, NULL), SOMA_OK);
        atomic_fetch_add(&world.rounds, 1);
    }
}

struct role {
    void (*body)(unsigned index);
};

static void play(unsigned index, void *arg)
{
    ((const struct role *)arg)->body(index);
}

/* ---- The case ---- */

static void world_open(void)
{
    const struct kind_options words = {.retired = word_retired, .deferred_bytes_max = CAP};
    static const struct kind_options bytes = {.retired = bytes_retired, .deferred_bytes_max = CAP};
    memset(&world, 0, sizeof world);
    world.maps[0] = kind_open(&kinds[0], &words);
    world.maps[1] = kind_open(&kinds[1], &bytes);
    for (unsigned k = 0; k < 2; k++) {
        world.last[k] = need(key_count(), sizeof *world.last[k]);
        for (uint64_t key = 0; key < PERMANENT; key++) {
            EXPECT_EQ(kinds[k].put(world.maps[k], key, key, NULL), SOMA_INSERTED);
            atomic_fetch_add(&world.stored[k], 1);
            atomic_fetch_add(&world.stored_sum[k], scramble(key));
        }
    }
}

/* The parent's maps hold what the writers put last, and every value that was stored is retired once. */
static void world_close(void)
{
    for (unsigned k = 0; k < 2; k++) {
        EXPECT_EQ(check_map(k), FINE);
        for (uint64_t key = PERMANENT; key < key_count() && failures() == 0; key++) {
            uint64_t value = 0;
            EXPECT_EQ(kinds[k].get(world.maps[k], key, &value), world.last[k][key] ? SOMA_OK : SOMA_ABSENT);
            EXPECT_EQ(value, world.last[k][key]);
        }
        kinds[k].close(world.maps[k]);
        soma_barrier_wait();
        EXPECT_EQ(atomic_load(&world.retired[k]), atomic_load(&world.stored[k]));
        EXPECT(atomic_load(&world.retired_sum[k]) == atomic_load(&world.stored_sum[k]));
        free(world.last[k]);
    }
    EXPECT_EQ(reclaim(), FINE);
    EXPECT_EQ(atomic_load(&world.calls), atomic_load(&world.rounds));
}

static void forks_beside(const void *unused)
{
    struct crew writing;
    struct crew forking;
    (void)unused;
    world_open();
    crew_start(&writing, (unsigned)writers, play, &(struct role){write_on});
    sleep_ms(20);
    crew_start(&forking, (unsigned)forkers - 1, play, &(struct role){fork_on});
    fork_on(0);
    crew_join(&forking);
    atomic_store(&world.done, true);
    crew_join(&writing);
    EXPECT_EQ(atomic_load(&world.finished), forks);
    EXPECT(atomic_load(&world.rounds) > 0);
    printf("# %" PRIuFAST64 " forks, %" PRIuFAST64 " rounds of writing beside them\n", atomic_load(&world.finished),
           atomic_load(&world.rounds));
    world_close();
    torture_did(forks);
}

/* ---- Canaries: a child that hangs, one that misses a key, one with a strange value, one whose values stay ---- */

static int status_of(void (*spoil)(void))
{
    const int pid = fork();
    if (pid == 0) {
        spoil();
        _exit((int)live(0, 0));
    }
    return child_status(pid);
}

static void spoil_hang(void)
{
    alarm(1);
    for (;;)
        pause();
}

static void spoil_key(void)
{
    kinds[0].remove(world.maps[0], 7, NULL);
}

static void spoil_value(void)
{
    kinds[1].put(world.maps[1], PERMANENT, 12345, NULL);
}

static void spoil_account(void)
{
    atomic_store(&world.own_retired, 1);
}

static void canary(const void *unused)
{
    (void)unused;
    world_open();
    EXPECT_EQ(status_of(spoil_hang), 1014);
    EXPECT_EQ(status_of(spoil_key), LOST_PERMANENT);
    EXPECT_EQ(status_of(spoil_value), STRANGE_VALUE);
    EXPECT_EQ(status_of(spoil_account), OWN_NOT_RETIRED);
    world_close();
    torture_did(4);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"forks", "children", &forks, 10000},
        {"writers", "threads that write", &writers, 0},
        {"forkers", "threads that fork", &forkers, 0},
        {"keys", "keys of each writer", &keys, 0},
    };
    const struct test_case cases[] = {{"canary", canary, NULL}, {"writing", forks_beside, NULL}};
    const struct torture torture = {
        .part = "fork",
        .unit = "forks",
        .about = "Forks beside running writers: each child uses and frees whole maps before an alarm.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
