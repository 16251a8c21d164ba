/* SPDX-License-Identifier: ISC */
/* races.c - races that no scenario of tests/sched can name, since they need more than calls and keys: a callback that is
 * told of stalls, a signal before a thread has used Soma, a list in a state that takes three threads and a failure to
 * get into. Runs so many schedules of each; TAP. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "probe.h"
#include "run.h"
#include "steps.h"

static soma_u64 *map;
static uint64_t done; /* what the case checks, over all its runs */

static uint64_t key_of(uint64_t hash)
{
    return soma__mix_inverse(soma__u64_mix(map), hash);
}

static void expect(bool held, const char *what)
{
    if (!held)
        run_failed("%s", what);
}

static void open_map(const struct soma_u64_options *options)
{
    expect(soma_u64_new(options, &map) == SOMA_OK, "no map");
}

static void close_map(void)
{
    soma_u64_free(map);
    soma_barrier_wait();
    expect(machine_ranges() == 0, "the map is still there");
}

/* ---- One stall, seen by two threads at once: one of them tells it ---- */

#define STALL_NS 2000

static uint64_t told;
static uint64_t graces_before;

static void note_stall(const struct soma_stall *stall, void *ctx)
{
    (void)ctx;
    expect(stall->waited_ns >= STALL_NS, "a stall is told too early");
    told++;
}

static void stall_set_up(void *arg)
{
    (void)arg;
    open_map(&(struct soma_u64_options){
        .seed = {1, 2}, .deferred_bytes_max = 64, .stall_ns = STALL_NS, .stall = note_stall});
    for (uint64_t key = 0; key < 8; key++)
        expect(soma_u64_put(map, key, key, NULL) == SOMA_INSERTED, "no insertion");
    told = 0;
    graces_before = soma__grace_stall().grace;
}

static void stall_body(unsigned thread, void *arg)
{
    (void)arg;
    if (thread == 1) {
        soma_read_enter();
        for (uint64_t key = 0; key < 8; key++)
            soma_u64_get(map, key, NULL);
        soma_read_exit();
        return;
    }
    for (uint64_t key = thread; key < 8; key += 2) {
        const enum soma_status status = soma_u64_remove(map, key, NULL);
        expect(status == SOMA_REMOVED || status == SOMA_E_LIMIT, "neither removed nor at the cap");
    }
}

/* A grace period that waits is told once, however many there are. */
static void stall_check(void *arg)
{
    (void)arg;
    expect(told <= soma__grace_stall().grace - graces_before, "a stall is told twice");
    done += told;
    close_map();
}

/* ---- A thread's first call, interrupted by a handler's ---- */

static bool any_signal(unsigned thread, void *arg)
{
    (void)thread, (void)arg;
    return true;
}

static void first_set_up(void *arg)
{
    (void)arg;
    open_map(&(struct soma_u64_options){.seed = {1, 2}});
    expect(soma_u64_put(map, 1, 10, NULL) == SOMA_INSERTED, "no insertion");
}

static void look(void)
{
    uint64_t value = 0;
    expect(soma_u64_get(map, 1, &value) == SOMA_OK && value == 10, "a key is missing");
}

static void first_body(unsigned thread, void *arg)
{
    (void)arg;
    if (thread == 1)
        soma_read_enter();
    look();
    if (thread == 1)
        soma_read_exit();
    const enum soma_status status = soma_u64_put(map, thread + 1, 20, NULL);
    expect(status == SOMA_INSERTED || status == SOMA_E_NOMEM, "neither inserted nor out of memory");
}

static void first_signal(unsigned thread, void *arg)
{
    (void)thread, (void)arg;
    look();
    done++;
}

static void first_check(void *arg)
{
    (void)arg;
    look();
    close_map(); /* waits for ever if a thread is left inside */
}

/* ---- Clearing, from one sentinel that goes to the next ---- */

/* With 8 buckets: those of 1/8 and 3/8 go together, and 2/8 stands between them, unless whoever set it up came too late
 * with linking it, found a deleted entry in the way, and had no memory to take that out. */
#define EIGHTHS(n) ((uint64_t)(n) << 61)

static uint64_t bucket_of(uint64_t hash)
{
    return soma__bucket_index(soma__bucket_of(hash, 3));
}

static void clear_set_up(void *arg)
{
    (void)arg;
    open_map(&(struct soma_u64_options){.seed = {1, 2}});
    expect(soma_u64_reserve(map, 8) == SOMA_OK, "no buckets");
    for (uint64_t eighth = 1; eighth <= 3; eighth++) {
        expect(soma_u64_put(map, key_of(EIGHTHS(eighth) + 1), 0, NULL) == SOMA_INSERTED, "no insertion");
        expect(soma_u64_remove(map, key_of(EIGHTHS(eighth) + 1), NULL) == SOMA_REMOVED, "no removal");
    }
    expect(soma_u64_put(map, key_of(EIGHTHS(7) + 1), 0, NULL) == SOMA_INSERTED, "no insertion");
    soma__dir_unreserve(&map->core.dir);
    expect(soma__dir_shrink_start(&map->core.dir, 1, 4), "the level stays");
    step_to_phase(&map->core, DIR_UNLINK);
    step_unset(&map->core, bucket_of(EIGHTHS(1)), bucket_of(EIGHTHS(2)));
}

static void clear_body(unsigned thread, void *arg)
{
    (void)arg;
    if (thread == 1)
        expect(soma_u64_clear(map) == SOMA_OK, "not cleared");
    else
        probe_shrink_step(&map->core);
}

static void clear_check(void *arg)
{
    (void)arg;
    step_to_phase(&map->core, DIR_STEADY);
    expect(soma_u64_count_approx(map) == 0, "an entry is left");
    expect(soma_u64_get(map, key_of(EIGHTHS(7) + 1), NULL) == SOMA_ABSENT, "an entry is left in the list");
    for (uint64_t eighth = 0; eighth < 8; eighth++) {
        expect(soma_u64_put(map, key_of(EIGHTHS(eighth) + 1), 0, NULL) == SOMA_INSERTED, "no insertion");
        expect(soma_u64_get(map, key_of(EIGHTHS(eighth) + 1), NULL) == SOMA_OK, "a key is missing");
    }
    done++;
    close_map();
}

/* ---- All of them ---- */

#define STEPS 20000

static const struct {
    const char *name;
    enum machine_bug canary; /* with this bug of the machine a schedule must fail */
    struct program program;
} races[] = {
    {"stall-told-once",
     BUG_TORN_CAS,
     {.threads = 3, .steps_max = STEPS, .set_up = stall_set_up, .body = stall_body, .check = stall_check}},
    {"first-call-signal",
     BUG_RELAXED,
     {.threads = 2,
      .steps_max = STEPS,
      .set_up = first_set_up,
      .body = first_body,
      .signal = first_signal,
      .may_signal = any_signal,
      .check = first_check}},
    {"first-call-signal-no-memory",
     BUG_RELAXED,
     {.threads = 2,
      .steps_max = STEPS,
      .set_up = first_set_up,
      .body = first_body,
      .signal = first_signal,
      .may_signal = any_signal,
      .check = first_check,
      .faults = true}},
    {"clear-going-level",
     BUG_RELAXED,
     {.threads = 2, .steps_max = STEPS, .set_up = clear_set_up, .body = clear_body, .check = clear_check}},
};
enum {
    RACES = sizeof races / sizeof *races
};

/* Runs up to so many schedules, until one fails; what it says is the outcome. */
static void explore(const struct program *program, enum machine_bug bug, uint64_t schedules, struct outcome *outcome)
{
    static struct schedule schedule;
    struct strategy strategy = {.kind = STRATEGY_REPLAY, .replay = &schedule};
    run_once(program, &strategy, BUG_NONE, &schedule, outcome);
    strategy = (struct strategy){.kind = STRATEGY_RANDOM, .weak = true, .stale = 3, .steps = outcome->steps + 1};
    done = 0;
    for (uint64_t i = 0; i < schedules && !outcome->failed; i++) {
        strategy.seed = i;
        run_once(program, &strategy, bug, &schedule, outcome);
    }
}

static bool run_race(int race, uint64_t schedules)
{
    struct outcome outcome;
    explore(&races[race].program, BUG_NONE, schedules, &outcome);
    const bool good = !outcome.failed && done > 0;
    printf("%s %d - %s: %" PRIu64 " facts in %" PRIu64 " schedules\n", good ? "ok" : "not ok", race + 1,
           races[race].name, done, schedules);
    if (outcome.failed)
        fprintf(stderr, "%s: %s\n", races[race].name, outcome.why);
    return good;
}

static bool run_canary(int race, uint64_t schedules)
{
    struct outcome outcome;
    explore(&races[race].program, races[race].canary, schedules, &outcome);
    printf("%s %d - canary: %s: %s\n", outcome.failed ? "ok" : "not ok", race + 1, races[race].name, outcome.why);
    return outcome.failed;
}

int main(int argc, char **argv)
{
    /* Apart, since what a broken machine makes the library do does not count. */
    const bool canary = argc > 1 && strcmp(argv[1], "--canary") == 0;
    const uint64_t schedules = argc == 2 + canary ? strtoull(argv[1 + canary], NULL, 10) : 0;
    int bad = 0;
    if (schedules == 0) {
        fprintf(stderr, "usage: races-counted [--canary] SCHEDULES\n\nRuns so many schedules of each race; with "
                        "--canary, on machines with a seeded bug, which must be found.\n");
        return 2;
    }
    library_find();
    run_catch_crashes();
    for (int i = 0; i < RACES; i++)
        bad += canary ? !run_canary(i, schedules) : !run_race(i, schedules);
    printf("1..%d\n", RACES);
    return bad > 0;
}
