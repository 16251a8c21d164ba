/* SPDX-License-Identifier: ISC */
/* threads.c - a hundred thousand short threads, most of which end without cleaning up: inside sections, with borrowed
 * bytes, with batches that nobody has closed, cancelled in their sleep, with destructors that use Soma again. Every so
 * often, and at the end, a grace period must end within a second, everything that was retired must have gone, and there
 * are no more records, and there is no more memory, than the threads alive at one time need. */
#include <inttypes.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rcu/rcu.h"

#include "kinds.h"
#include "stalled.h"
#include "torture.h"

static uint64_t threads = 6000;
static uint64_t at_once = 8;

#define KEYS 20      /* that a thread works on */
#define SLOTS 64     /* sets of keys: threads of different numbers share one after the other */
#define SMALL_MAPS 6 /* more than a thread has open batches */
#define CHECK_EVERY 500
#define GRACE_SECONDS 1.0
#define GRACE_SECONDS_SANITIZED 10.0
#define SLACK_KIB (4 * 1024)
#define IN_USE_SLACK_KIB 512

enum way {
    RETURNS,
    ENDS_INSIDE,
    ENDS_INSIDE_TWICE,
    CANCELLED_ASLEEP,
    CANCELLED_INSIDE,
    OPEN_BATCHES,
    HOLDS_BYTES,
    ONLY_READS,
    DETACHED,
    DETACHED_INSIDE,
    WAYS
};

struct world {
    void *maps[2];
    void *small[SMALL_MAPS];
    soma_map *bytes;
    pthread_key_t key;
    atomic_uint_fast64_t stored;
    atomic_uint_fast64_t stored_sum;
    atomic_uint_fast64_t retired;
    atomic_uint_fast64_t retired_sum;
    atomic_uint_fast64_t calls_due;
    atomic_uint_fast64_t calls;
    atomic_uint_fast64_t destructions;
    atomic_uint_fast64_t detached; /* begun */
    double slowest_grace;
    uint64_t most_records;
    uint64_t base_kib;
    uint64_t base_in_use_kib;
};

static struct world world;

struct life {
    pthread_t thread;
    uint64_t number;
    sem_t worked;
};

static uint64_t scramble(uint64_t id)
{
    id = (id ^ id >> 31) * UINT64_C(0x7fb5d329728ea185);
    return id ^ id >> 29;
}

static void note_value(uint64_t value, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&world.retired, 1);
    atomic_fetch_add(&world.retired_sum, scramble(value));
}

static void note_call(void *arg)
{
    (void)arg;
    atomic_fetch_add(&world.calls, 1);
}

/* ---- What threads do ---- */

static void retire_call(void)
{
    EXPECT_EQ(soma_retire(note_call, NULL), SOMA_OK);
    atomic_fetch_add(&world.calls_due, 1);
}

static void put(unsigned k, void *map, uint64_t key, uint64_t value)
{
    EXPECT(kinds[k].put(map, key, value, NULL) >= 0);
    atomic_fetch_add(&world.stored, 1);
    atomic_fetch_add(&world.stored_sum, scramble(value));
}

/* Keys that no other thread alive works on: they are at most at_once apart, and SLOTS more. */
static uint64_t first_key(uint64_t number)
{
    return number % (SLOTS * at_once) * KEYS;
}

static void update_maps(uint64_t number)
{
    const uint64_t first = first_key(number);
    for (unsigned k = 0; k < 2; k++) {
        for (uint64_t i = 0; i < 2 * KEYS; i++)
            put(k, world.maps[k], first + i % KEYS, number * 4 * KEYS + k * 2 * KEYS + i);
        for (uint64_t i = 0; i < KEYS; i += 2)
            EXPECT_EQ(kinds[k].remove(world.maps[k], first + i, NULL), SOMA_REMOVED);
    }
    retire_call();
}

static void update_small_maps(uint64_t number)
{
    for (unsigned i = 0; i < SMALL_MAPS; i++) {
        put(0, world.small[i], number % at_once, number);
        put(0, world.small[i], number % at_once, number + 1);
    }
}

static void read_maps(uint64_t number)
{
    uint64_t value = 0;
    for (unsigned k = 0; k < 2; k++) {
        EXPECT_EQ(kinds[k].get(world.maps[k], UINT64_MAX - 1, &value), SOMA_OK);
        EXPECT_EQ(value, k);
        kinds[k].get(world.maps[k], first_key(number), &value);
    }
}

/* Until it is cancelled. Not in a call that the thread sanitizer wraps: it loses track of the thread. */
static void sleep_on(struct life *life)
{
    sem_post(&life->worked);
    for (;;) {
        if (under_sanitizer()) {
            pthread_testcancel();
            sched_yield();
        } else {
            sleep_ms(10000);
        }
    }
}

static void hold_bytes(void)
{
    struct soma_bytes value = {NULL, 0};
    soma_read_enter();
    EXPECT_EQ(soma_map_get_ref(world.bytes, "key", 3, &value), SOMA_OK);
    EXPECT(value.len == 5 && memcmp(value.data, "value", 5) == 0);
    pthread_exit(NULL);
}

static void *live(void *arg)
{
    struct life *life = arg;
    const uint64_t number = life->number;
    const enum way way = (enum way)(number % WAYS);
    if (pthread_setspecific(world.key, life) != 0)
        abort();
    if (way != ONLY_READS)
        update_maps(number);
    switch (way) {
    case ENDS_INSIDE_TWICE:
        soma_read_enter();
        retire_call();
        soma_read_enter();
        pthread_exit(NULL);
    case ENDS_INSIDE:
    case DETACHED_INSIDE:
        soma_read_enter();
        pthread_exit(NULL);
    case CANCELLED_INSIDE:
        soma_read_enter();
        retire_call();
        sleep_on(life);
        break;
    case CANCELLED_ASLEEP:
        sleep_on(life);
        break;
    case OPEN_BATCHES:
        update_small_maps(number);
        pthread_exit(NULL);
    case HOLDS_BYTES:
        hold_bytes();
        break;
    case ONLY_READS:
        read_maps(number);
        soma_read_enter();
        pthread_exit(NULL);
    default:
        read_maps(number);
    }
    return NULL;
}

/* After the last round, Soma's own destructor has one more; the thread sanitizer's takes the last. */
static unsigned destructions(void)
{
    return under_sanitizer() ? 2 : 3;
}

/* The program's own destructor, in several rounds. Soma's destructor has run before each but perhaps the first. */
static void use_again(void *arg)
{
    static __thread unsigned round;
    const struct life *life = arg;
    read_maps(life->number);
    put(1, world.maps[1], first_key(life->number), life->number);
    retire_call();
    if (life->number % 3 == 0)
        soma_read_enter(); /* and never leaves */
    if (++round < destructions() && pthread_setspecific(world.key, arg) != 0)
        abort();
    atomic_fetch_add(&world.destructions, 1);
}

/* ---- Starting and ending them ---- */

static bool is_detached(uint64_t number)
{
    return number % WAYS == DETACHED || number % WAYS == DETACHED_INSIDE;
}

static bool is_cancelled(uint64_t number)
{
    return number % WAYS == CANCELLED_ASLEEP || number % WAYS == CANCELLED_INSIDE;
}

static void start(struct life *life, uint64_t number)
{
    life->number = number;
    sem_init(&life->worked, 0, 0);
    if (pthread_create(&life->thread, NULL, live, life) != 0)
        abort();
    if (is_detached(number))
        pthread_detach(life->thread);
}

static void finish(struct life *life)
{
    if (is_detached(life->number))
        return;
    if (is_cancelled(life->number)) {
        while (sem_wait(&life->worked) != 0) {
        }
        pthread_cancel(life->thread);
    }
    pthread_join(life->thread, NULL);
    sem_destroy(&life->worked);
}

/* What detached threads leave behind is known by their destructions. */
static void wait_for_destructions(uint64_t count)
{
    while (atomic_load(&world.destructions) < count)
        sleep_ms(0);
}

/* ---- Checks ---- */

/* The thread-exit destructors of detached threads may still run after their last round of ours. */
static uint64_t records_most(void)
{
    return 3 * at_once + 4;
}

/* A door of the room would be a door for tests alone. */
struct soma__reader *soma__readers(void);

static void check_records(void)
{
    uint64_t count = 0;
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        count++;
    EXPECT(count <= records_most());
    if (count > world.most_records)
        world.most_records = count;
}

static void check_grace(void)
{
    const double before = now_seconds();
    soma_synchronize_wait();
    const double took = now_seconds() - before;
    EXPECT(took < (under_sanitizer() ? GRACE_SECONDS_SANITIZED : GRACE_SECONDS));
    if (took > world.slowest_grace)
        world.slowest_grace = took;
}

/* All calls have run; all values but those in the maps have gone. */
static void check_retired(void)
{
    uint64_t in_maps = 0;
    soma_barrier_wait();
    for (unsigned k = 0; k < 2; k++)
        in_maps += kinds[k].count(world.maps[k]);
    for (unsigned i = 0; i < SMALL_MAPS; i++)
        in_maps += kinds[0].count(world.small[i]);
    EXPECT_EQ(atomic_load(&world.calls), atomic_load(&world.calls_due));
    EXPECT_EQ(atomic_load(&world.retired), atomic_load(&world.stored) - in_maps);
}

/* Once a quarter of the threads has been, memory takes its shape. */
static void check_memory(uint64_t number)
{
    memory_settle();
    const uint64_t kib = resident_kib();
    if (number >= threads / 4 && world.base_kib == 0) {
        world.base_kib = kib;
        world.base_in_use_kib = memory_in_use_kib();
    }
    if (world.base_kib > 0 && !under_sanitizer()) {
        EXPECT(kib <= world.base_kib + SLACK_KIB);
        EXPECT(memory_in_use_kib() <= world.base_in_use_kib + IN_USE_SLACK_KIB);
    }
}

static void check_all(uint64_t number)
{
    check_grace();
    check_records();
    check_retired();
    check_memory(number);
}

/* ---- The case ---- */

static void world_open(void)
{
    static const struct kind_options options = {.retired = note_value};
    memset(&world, 0, sizeof world);
    for (unsigned k = 0; k < 2; k++) {
        world.maps[k] = kind_open(&kinds[k], &options);
        put(k, world.maps[k], UINT64_MAX - 1, k);
    }
    for (unsigned i = 0; i < SMALL_MAPS; i++)
        world.small[i] = kind_open(&kinds[0], &options);
    if (soma_map_new(NULL, &world.bytes) != SOMA_OK ||
        soma_map_put(world.bytes, "key", 3, "value", 5, NULL) != SOMA_INSERTED ||
        pthread_key_create(&world.key, use_again) != 0)
        abort();
}

static void world_close(void)
{
    for (unsigned k = 0; k < 2; k++)
        kinds[k].close(world.maps[k]);
    for (unsigned i = 0; i < SMALL_MAPS; i++)
        kinds[0].close(world.small[i]);
    soma_map_free(world.bytes);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&world.retired), atomic_load(&world.stored));
    EXPECT(atomic_load(&world.retired_sum) == atomic_load(&world.stored_sum));
    pthread_key_delete(world.key);
}

static void short_lives(const void *unused)
{
    struct life *lives = need(at_once, sizeof *lives);
    uint64_t next_check = CHECK_EVERY;
    uint64_t number = 0;
    (void)unused;
    world_open();
    while (number < threads && failures() == 0) {
        for (uint64_t i = 0; i < at_once; i++)
            start(&lives[i], number++);
        for (uint64_t i = 0; i < at_once; i++)
            finish(&lives[i]);
        wait_for_destructions(number * destructions());
        if (number >= next_check) {
            check_all(number);
            next_check += CHECK_EVERY;
        }
        torture_progress(number, threads, "threads");
    }
    check_all(number);
    printf("# %" PRIu64 " threads, %" PRIu64 " records at the most, grace periods within %.3f s, %" PRIu64
           " KiB resident after a quarter, %" PRIu64 " at the end\n",
           number, world.most_records, world.slowest_grace, world.base_kib, resident_kib());
    world_close();
    free(lives);
    EXPECT(!leaks_found());
    torture_did(number);
}

/* ---- Canaries: a reader that stays, more threads alive than should be, a lost value ---- */

static void leave_late(unsigned index, void *arg)
{
    (void)index;
    sleep_ms((unsigned)((under_sanitizer() ? GRACE_SECONDS_SANITIZED : GRACE_SECONDS) * 1000) + 200);
    stalled_stop(arg);
}

static void canary_grace(void)
{
    struct stalled stalled;
    struct crew crew;
    stalled_start(&stalled);
    crew_start(&crew, 1, leave_late, &stalled);
    canary_begin();
    check_grace();
    EXPECT_EQ(canary_end(), 1);
    crew_join(&crew);
}

static void canary_records(void)
{
    const uint64_t count = records_most() + 1;
    struct stalled *stalled = need(count, sizeof *stalled);
    for (uint64_t i = 0; i < count; i++)
        stalled_start(&stalled[i]);
    canary_begin();
    check_records();
    EXPECT_EQ(canary_end(), 1);
    for (uint64_t i = 0; i < count; i++)
        stalled_stop(&stalled[i]);
    free(stalled);
}

static void canary(const void *unused)
{
    (void)unused;
    world_open();
    canary_grace();
    canary_records();
    check_retired();
    atomic_fetch_add(&world.stored, 1);
    canary_begin();
    check_retired();
    EXPECT_EQ(canary_end(), 1);
    atomic_fetch_sub(&world.stored, 1);
    world_close();
    torture_did(3);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"threads", "threads that live and end", &threads, 100000},
        {"at-once", "threads alive at a time", &at_once, 0},
    };
    const struct test_case cases[] = {
        {"short-lives", short_lives, NULL}, {"canary", canary, NULL}, /* last: its records stay */
    };
    const struct torture torture = {
        .part = "threads",
        .unit = "threads",
        .about = "Threads come and end in every way; nothing is held up, lost, or piles up.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
