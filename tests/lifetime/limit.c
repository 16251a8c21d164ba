/* SPDX-License-Identifier: ISC */
/* limit.c - the cap on deferred memory, with a reader that does not leave: updates that let something go are refused
 * and change nothing, the stall is told once and truly, memory stays bounded, and all goes on when the reader has left.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kinds.h"
#include "stalled.h"
#include "support.h"

#define WRITERS 2
#define KEYS 64
#define IDS 400000 /* values a writer may store; each is an id, stored at most once */
#define CAP (UINT64_C(1) << 20)
#define STALL_NS UINT64_C(50000000)
#define FRESH_FIRST (UINT64_C(1) << 40)
#define FRESH_MOST 1000
#define RESIDENT_KIB_MORE (32 * 1024)

struct run {
    const struct kind *kind;
    void *map;
    double start;
    double end;
    atomic_uint_fast64_t refused;
    atomic_uint_fast64_t told;
    int64_t told_thread;
    atomic_uchar *retired; /* by id: how often */
    unsigned char *stored; /* by id: whether it went into the map */
    uint64_t last[WRITERS * KEYS];
    uint64_t next[WRITERS];
    uint64_t fresh[WRITERS];
};

/* Keys and values here are multiples of this, for which the byte map's ids are the bare words. */
#define STEP 5

/* Without a section around it, which the byte map's verb has: inside one, no memory can be released. */
static enum soma_status put_outside(const struct kind *kind, void *map, uint64_t key, uint64_t value)
{
    key *= STEP;
    value *= STEP;
    if (kind == &kinds[0])
        return kind->put(map, key, value, NULL);
    return soma_map_put(map, &key, sizeof key, &value, sizeof value, NULL);
}

static void note_retired(uint64_t value, void *ctx)
{
    struct run *run = ctx;
    if (EXPECT(value % STEP == 0 && value / STEP < WRITERS * IDS))
        atomic_fetch_add(&run->retired[value / STEP], 1);
}

static void note_stall(const struct soma_stall *stall, void *ctx)
{
    struct run *run = ctx;
    EXPECT(stall->waited_ns >= STALL_NS);
    EXPECT((double)stall->waited_ns * 1e-9 <= now_seconds() - run->start);
    EXPECT(stall->deferred_bytes > 0 && stall->deferred_bytes <= CAP);
    run->told_thread = stall->reader_thread;
    atomic_fetch_add(&run->told, 1);
}

/* A refused update must leave everything alone, and updates that let nothing go are not refused, but for a few: where
 * a removed entry stands in the way that nobody had room to take out. */
static void check_refused(struct run *run, unsigned index, uint64_t key)
{
    uint64_t value = 0;
    EXPECT_EQ(run->kind->get(run->map, key * STEP, &value), SOMA_OK);
    EXPECT_EQ(value, run->last[key] * STEP);
    EXPECT_EQ(run->kind->put_new(run->map, key * STEP, 0, &value), SOMA_EXISTS);
    EXPECT_EQ(value, run->last[key] * STEP);
    if (run->fresh[index] < FRESH_MOST && run->next[index] < IDS) {
        const uint64_t id = index * IDS + run->next[index]++;
        const enum soma_status status = put_outside(run->kind, run->map, FRESH_FIRST + id, id);
        run->stored[id] = status == SOMA_INSERTED;
        run->fresh[index] += status == SOMA_INSERTED;
        EXPECT(status == SOMA_INSERTED || status == SOMA_E_LIMIT);
    }
    atomic_fetch_add(&run->refused, 1);
}

/* Whether there was an id left to store. */
static bool put_next(struct run *run, unsigned index, enum soma_status *status)
{
    if (run->next[index] == IDS)
        return false;
    const uint64_t id = index * IDS + run->next[index];
    const uint64_t key = index * KEYS + id % KEYS;
    *status = put_outside(run->kind, run->map, key, id);
    if (*status == SOMA_E_LIMIT) {
        check_refused(run, index, key);
        return true;
    }
    EXPECT_EQ(*status, SOMA_REPLACED);
    run->last[key] = id;
    run->stored[id] = 1;
    run->next[index]++;
    return true;
}

static void write_on(unsigned index, void *arg)
{
    struct run *run = arg;
    enum soma_status status;
    while (now_seconds() < run->end && failures() == 0 && put_next(run, index, &status)) {
    }
}

static void check_retired(const struct run *run)
{
    for (uint64_t id = 0; id < WRITERS * IDS && failures() == 0; id++)
        EXPECT_EQ(atomic_load(&run->retired[id]), run->stored[id]);
    verified(WRITERS * IDS);
}

static void fill(struct run *run)
{
    for (unsigned index = 0; index < WRITERS; index++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            const uint64_t id = index * IDS + run->next[index]++;
            const uint64_t key = index * KEYS + id % KEYS;
            run->last[key] = id;
            run->stored[id] = 1;
            EXPECT_EQ(put_outside(run->kind, run->map, key, id), SOMA_INSERTED);
        }
    }
}

static void stalled_reader(const void *arg)
{
    struct run run = {.kind = arg};
    const struct kind_options options = {
        .retired = note_retired, .ctx = &run, .deferred_bytes_max = CAP, .stall_ns = STALL_NS, .stall = note_stall};
    run.retired = need(WRITERS * IDS, sizeof *run.retired);
    run.stored = need(WRITERS * IDS, 1);
    memset(run.stored, 0, WRITERS * IDS); /* resident from here on */
    for (uint64_t id = 0; id < WRITERS * IDS; id++)
        atomic_store(&run.retired[id], 0);
    run.map = kind_open(run.kind, &options);
    fill(&run);
    soma_barrier_wait();
    struct stalled stalled;
    stalled_start(&stalled);
    const uint64_t resident = resident_kib();
    run.start = now_seconds();
    run.end = run.start + 1.0;
    crew_run(WRITERS, write_on, &run);
    const uint64_t resident_now = resident_kib();
    EXPECT(atomic_load(&run.refused) > 0);
    for (unsigned index = 0; index < WRITERS; index++)
        EXPECT(run.fresh[index] > 0);
    if (!under_sanitizer() && !EXPECT(resident_now < resident + RESIDENT_KIB_MORE))
        printf("# %s: %u KiB more after %u refusals\n", run.kind->name, (unsigned)(resident_now - resident),
               (unsigned)atomic_load(&run.refused));
    EXPECT_EQ(atomic_load(&run.told), 1);
    EXPECT_EQ(run.told_thread, stalled.tid);
    EXPECT_EQ(run.kind->remove(run.map, 0, NULL), SOMA_E_LIMIT);
    stalled_stop(&stalled);
    for (unsigned i = 0; i < 1000; i++) {
        enum soma_status status = SOMA_REPLACED;
        put_next(&run, i % WRITERS, &status);
        EXPECT_EQ(status, SOMA_REPLACED);
    }
    run.kind->close(run.map);
    soma_barrier_wait();
    check_retired(&run);
    free(run.retired);
    free(run.stored);
}

/* ---- SOMA_WAIT_AT_LIMIT ---- */

#define WAIT_CAP (UINT64_C(64) << 10)
#define WAIT_PUTS 20000 /* let go of more than the cap */

struct waiting {
    const struct kind *kind;
    void *map;
    atomic_uint_fast64_t puts;
};

static void ignore(uint64_t value, void *ctx)
{
    (void)ctx;
    EXPECT_EQ(value % STEP, 0);
}

static void put_all(unsigned index, void *arg)
{
    struct waiting *waiting = arg;
    (void)index;
    for (uint64_t i = 0; i < WAIT_PUTS && failures() == 0; i++) {
        EXPECT_EQ(put_outside(waiting->kind, waiting->map, 1, i), SOMA_REPLACED);
        atomic_fetch_add(&waiting->puts, 1);
    }
}

static void waits_at_limit(const void *arg)
{
    struct waiting waiting = {.kind = arg};
    const struct kind_options options = {
        .flags = SOMA_WAIT_AT_LIMIT, .retired = ignore, .deferred_bytes_max = WAIT_CAP};
    waiting.map = kind_open(waiting.kind, &options);
    EXPECT_EQ(put_outside(waiting.kind, waiting.map, 1, 0), SOMA_INSERTED);
    struct stalled stalled;
    struct crew crew;
    stalled_start(&stalled);
    crew_start(&crew, 1, put_all, &waiting);
    sleep_ms(300);
    const uint64_t before = atomic_load(&waiting.puts);
    sleep_ms(200);
    EXPECT(before > 0 && before < WAIT_PUTS);
    EXPECT_EQ(atomic_load(&waiting.puts), before);
    stalled_stop(&stalled);
    crew_join(&crew);
    EXPECT_EQ(atomic_load(&waiting.puts), WAIT_PUTS);
    soma_read_enter();
    uint64_t i = 0;
    enum soma_status status = SOMA_REPLACED;
    while (i < WAIT_PUTS && (status = put_outside(waiting.kind, waiting.map, 1, i)) == SOMA_REPLACED)
        i++;
    EXPECT_EQ(status, SOMA_E_LIMIT);
    soma_read_exit();
    EXPECT_EQ(put_outside(waiting.kind, waiting.map, 1, i), SOMA_REPLACED);
    waiting.kind->close(waiting.map);
    soma_barrier_wait();
    verified(WAIT_PUTS);
}

/* ---- A retired call at the cap of a map that waits: it is what would have to make room, so it must not wait ---- */

static void put_at_cap(void *arg)
{
    const struct waiting *waiting = arg;
    for (uint64_t i = 0; i < WAIT_PUTS; i++) {
        const enum soma_status status = put_outside(waiting->kind, waiting->map, 1, i);
        if (status != SOMA_REPLACED && status != SOMA_E_LIMIT)
            _exit(3);
    }
}

static void waits_not_for_itself(const void *arg)
{
    struct waiting waiting = {.kind = arg};
    const struct kind_options options = {
        .flags = SOMA_WAIT_AT_LIMIT, .retired = ignore, .deferred_bytes_max = WAIT_CAP};
    const int pid = fork();
    if (pid == 0) {
        alarm(child_seconds());
        waiting.map = kind_open(waiting.kind, &options);
        if (put_outside(waiting.kind, waiting.map, 1, 0) != SOMA_INSERTED ||
            soma_retire(put_at_cap, &waiting) != SOMA_OK)
            _exit(2);
        soma_barrier_wait();
        _exit(0);
    }
    EXPECT_EQ(child_status(pid), 0);
    verified(1);
}

/* ---- No reader stalls, though nothing moved for longer than the limit: a pause is no stall ---- */

#define BURSTS 12
#define BURST_PUTS 50000
#define PAUSE_MS 60

static void note_burst_stall(const struct soma_stall *stall, void *ctx)
{
    const struct run *run = ctx;
    /* A thread that lost the processor may be told of, but not for longer than the burst has lasted. */
    EXPECT((double)stall->waited_ns * 1e-9 <= now_seconds() - run->start);
}

static void burst(unsigned index, void *arg)
{
    const struct run *run = arg;
    for (uint64_t i = 0; i < BURST_PUTS; i++)
        put_outside(run->kind, run->map, index, i);
}

static void pause_is_no_stall(const void *arg)
{
    struct run run = {.kind = arg};
    const struct kind_options options = {
        .retired = ignore, .ctx = &run, .stall_ns = PAUSE_MS * UINT64_C(500000), .stall = note_burst_stall};
    run.map = kind_open(run.kind, &options);
    for (int i = 0; i < BURSTS; i++) {
        soma_barrier_wait();
        sleep_ms(PAUSE_MS);
        run.start = now_seconds();
        crew_run(WRITERS, burst, &run);
    }
    run.kind->close(run.map);
    soma_barrier_wait();
    verified(BURSTS);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"stalled-u64", stalled_reader, &kinds[0]},
        {"stalled-map", stalled_reader, &kinds[1]},
        {"wait-u64", waits_at_limit, &kinds[0]},
        {"wait-map", waits_at_limit, &kinds[1]},
        {"self-wait-u64", waits_not_for_itself, &kinds[0]},
        {"self-wait-map", waits_not_for_itself, &kinds[1]},
        {"pause-u64", pause_is_no_stall, &kinds[0]},
        {"pause-map", pause_is_no_stall, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
