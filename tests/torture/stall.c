/* SPDX-License-Identifier: ISC */
/* stall.c - one reader that does not leave, under the full load of writers, round after round. What waits for it stays
 * under the cap, at every sample, by the test's own account too: the bytes of the values that were let go, less those
 * that were retired, and the resident set. Updates answer SOMA_E_LIMIT, or wait if the map says so. The stall is told
 * once, not before its time and within a second of it. When the reader has left, all goes on, and nothing is lost. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "stalled.h"
#include "torture.h"

static uint64_t writers = 4;
static uint64_t rounds = 2;
static uint64_t hold_ms = 500;
static uint64_t threshold_ms = 250;
static uint64_t cap_kib = 4096;

#define KEYS 256 /* of each writer */
#define WRITER_IDS (UINT64_C(1) << 48)
#define NO_ID UINT64_MAX
#define VALUE_MOST 96
#define SLACK_KIB (8 * 1024)
#define IN_USE_SLACK_KIB 1024
/* Batches (16 bytes an item) and allocators' overhead come on top of what the cap counts. */
#define RESIDENT_PER_CAP 4
#define CANARY_HOLD_MS 500
#define SANITIZED_CAP_SHARE 8 /* which is reached as fast, then */
#define TOLD_WITHIN_S 1.0
#define RECOVERED_WITHIN_S 1.0
/* A grace period is as old as its start, and whoever starts it may lose the processor before it has looked at readers. */
#define SLIP_S 0.1

/* What the checker is told to expect: a seeded bug is a map made otherwise. */
struct setup {
    bool bytes;
    bool waits;
    bool inside;              /* every update in a section of the program's own */
    unsigned cap_times;       /* the map's cap, in times what is checked; 1 = as promised */
    unsigned threshold_share; /* of what is checked; 1 = as promised */
    bool loses;               /* one value is forgotten */
};

struct writer {
    atomic_uint_fast64_t left_bytes; /* of values that this thread let go */
    atomic_uint_fast64_t done;       /* updates that let something go */
    atomic_uint_fast64_t refused;
    uint64_t stored;     /* how many values */
    uint64_t stored_sum; /* of their scrambled ids */
    uint64_t next;
    uint64_t last[KEYS];
    bool there[KEYS];
    char apart[64];
};

struct world {
    const struct setup *setup;
    soma_u64 *words;
    soma_map *map;
    uint64_t cap;
    atomic_bool done;
    struct writer writers[CREW_MAX];
    atomic_uint_fast64_t gone_bytes; /* of values that were retired */
    atomic_uint_fast64_t gone;
    atomic_uint_fast64_t gone_sum;
    _Atomic int64_t reader; /* the one that stalls */
    atomic_uint told;       /* of it */
    atomic_uint told_of_others;
    _Atomic double told_at;
    _Atomic uint64_t told_waited_ns;
    _Atomic uint64_t told_deferred;
    uint64_t most_bytes; /* at any sample */
    uint64_t most_kib;
    uint64_t base_kib;
    uint64_t base_in_use_kib;
    uint64_t samples;
    uint64_t left_bytes; /* when the reader left */
    double slowest_told;
    double slowest_recovery;
};

static struct world world;

static uint64_t scramble(uint64_t id)
{
    id = (id ^ id >> 31) * UINT64_C(0x7fb5d329728ea185);
    return id ^ id >> 29;
}

static double allowance(double seconds)
{
    return under_sanitizer() ? 10 * seconds : seconds;
}

/* ---- Values: an id each. In the byte map, filling that follows from it ---- */

static size_t value_len(uint64_t id)
{
    return sizeof id + id % 8 * 11;
}

static void value_fill(unsigned char *value, uint64_t id)
{
    memcpy(value, &id, sizeof id);
    memset(value + sizeof id, (int)(id & 0xff), value_len(id) - sizeof id);
}

/* What the map must have counted for such a value, at the least. */
static uint64_t bytes_of(size_t len)
{
    return world.setup->bytes ? sizeof(uint64_t) + len : sizeof(uint64_t);
}

static void id_retired(uint64_t id, uint64_t bytes)
{
    atomic_fetch_add(&world.gone_sum, scramble(id));
    atomic_fetch_add(&world.gone, 1);
    atomic_fetch_add(&world.gone_bytes, bytes);
}

static void word_retired(uint64_t value, void *ctx)
{
    (void)ctx;
    id_retired(value, bytes_of(0));
}

static void bytes_retired(const void *value, size_t len, void *ctx)
{
    unsigned char whole[VALUE_MOST];
    uint64_t id = 0;
    (void)ctx;
    memcpy(&id, value, sizeof id);
    if (EXPECT(len == value_len(id))) {
        value_fill(whole, id);
        EXPECT(memcmp(value, whole, len) == 0);
    }
    id_retired(id, bytes_of(len));
}

static void note_stall(const struct soma_stall *stall, void *ctx)
{
    (void)ctx;
    if (stall->reader_thread != atomic_load(&world.reader)) {
        atomic_fetch_add(&world.told_of_others, 1);
        return;
    }
    atomic_store(&world.told_waited_ns, stall->waited_ns);
    atomic_store(&world.told_deferred, stall->deferred_bytes);
    atomic_store(&world.told_at, now_seconds());
    atomic_fetch_add(&world.told, 1); /* last: who sees it reads the others */
}

/* ---- Writers ---- */

static enum soma_status put(uint64_t key, uint64_t id, uint64_t *old_bytes)
{
    unsigned char value[VALUE_MOST];
    struct soma_bytes old = {NULL, 0};
    if (!world.setup->bytes) {
        *old_bytes = bytes_of(0);
        return soma_u64_put(world.words, key, id, NULL);
    }
    value_fill(value, id);
    const enum soma_status status = soma_map_put(world.map, &key, sizeof key, value, value_len(id), &old);
    *old_bytes = bytes_of(old.len);
    return status;
}

static enum soma_status take(uint64_t key, uint64_t *old_bytes)
{
    struct soma_bytes old = {NULL, 0};
    if (!world.setup->bytes) {
        *old_bytes = bytes_of(0);
        return soma_u64_remove(world.words, key, NULL);
    }
    const enum soma_status status = soma_map_remove(world.map, &key, sizeof key, &old);
    *old_bytes = bytes_of(old.len);
    return status;
}

/* The key's value, or NO_ID. */
static uint64_t looked_up(uint64_t key)
{
    unsigned char value[VALUE_MOST];
    uint64_t found = NO_ID;
    if (!world.setup->bytes) {
        (void)soma_u64_get(world.words, key, &found);
        return found;
    }
    if (soma_map_get_copy(world.map, &key, sizeof key, value, sizeof value, NULL) == SOMA_OK)
        memcpy(&found, value, sizeof found);
    return found;
}

static void note_left(struct writer *self, uint64_t bytes)
{
    atomic_fetch_add_explicit(&self->left_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->done, 1, memory_order_relaxed);
}

/* A refused update changes nothing. */
static void note_refused(struct writer *self, uint64_t key, uint64_t slot)
{
    atomic_fetch_add_explicit(&self->refused, 1, memory_order_relaxed);
    EXPECT(!world.setup->waits);
    EXPECT_EQ(looked_up(key), self->there[slot] ? self->last[slot] : NO_ID);
}

static void put_next(struct writer *self, uint64_t key, uint64_t slot, uint64_t first_id)
{
    const uint64_t id = first_id + self->next;
    uint64_t bytes = 0;
    const enum soma_status status = put(key, id, &bytes);
    if (status == SOMA_E_LIMIT) {
        note_refused(self, key, slot);
        return;
    }
    EXPECT_EQ(status, self->there[slot] ? SOMA_REPLACED : SOMA_INSERTED);
    if (status == SOMA_REPLACED)
        note_left(self, bytes);
    self->there[slot] = true;
    self->last[slot] = id;
    self->next++;
    self->stored++;
    self->stored_sum += scramble(id);
}

static void remove_one(struct writer *self, uint64_t key, uint64_t slot)
{
    uint64_t bytes = 0;
    const enum soma_status status = take(key, &bytes);
    if (status == SOMA_E_LIMIT) {
        note_refused(self, key, slot);
        return;
    }
    EXPECT_EQ(status, SOMA_REMOVED);
    self->there[slot] = false;
    note_left(self, bytes);
}

static void write_on(unsigned index, void *unused)
{
    struct writer *self = &world.writers[index];
    struct rng rng = rng_new(index);
    (void)unused;
    while (!atomic_load_explicit(&world.done, memory_order_relaxed) && failures() == 0) {
        const uint64_t slot = rng_below(&rng, KEYS);
        const uint64_t key = index * KEYS + slot;
        if (world.setup->inside)
            soma_read_enter();
        if (self->there[slot] && rng_below(&rng, 8) == 0)
            remove_one(self, key, slot);
        else
            put_next(self, key, slot, index * WRITER_IDS);
        if (world.setup->inside)
            soma_read_exit();
    }
}

/* ---- Samples ---- */

static uint64_t sum_done(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < writers; i++)
        sum += atomic_load(&world.writers[i].done);
    return sum;
}

static uint64_t sum_refused(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < writers; i++)
        sum += atomic_load(&world.writers[i].refused);
    return sum;
}

static uint64_t sum_left_bytes(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < writers; i++)
        sum += atomic_load(&world.writers[i].left_bytes);
    return sum;
}

/* No more than what is deferred: values are counted after they were let go, and gone before their room is given back.
 * Read in this order, the difference was not exceeded at the moment between. */
static uint64_t deferred_now(void)
{
    const uint64_t left = sum_left_bytes();
    const uint64_t gone = atomic_load(&world.gone_bytes);
    return left > gone ? left - gone : 0;
}

static void sample(void)
{
    const uint64_t bytes = deferred_now();
    const uint64_t kib = resident_kib();
    world.samples++;
    if (bytes > world.most_bytes)
        world.most_bytes = bytes;
    if (kib > world.most_kib)
        world.most_kib = kib;
    EXPECT(bytes <= world.cap);
    if (!under_sanitizer())
        EXPECT(kib <= world.base_kib + RESIDENT_PER_CAP * world.cap / 1024 + SLACK_KIB);
    torture_progress(world.samples, 0, "samples");
}

/* Samples for so long; returns early once `until` says so. */
static void sample_for(double seconds, bool (*until)(void))
{
    const double end = now_seconds() + seconds;
    do {
        sample();
        sleep_ms(1);
    } while (now_seconds() < end && failures() == 0 && !(until && until()));
}

static bool is_told(void)
{
    return atomic_load(&world.told) > 0;
}

/* So much has been let go since the reader left that there must have been room again: what the map counts is at most
 * twice as much as what is counted here. */
static bool is_recovered(void)
{
    return sum_left_bytes() - world.left_bytes >= world.cap / 2;
}

/* ---- One stall ---- */

static void check_told(double before, double after)
{
    const double threshold = (double)threshold_ms * 1e-3;
    if (!EXPECT_EQ(atomic_load(&world.told), 1))
        return;
    const double at = atomic_load(&world.told_at);
    const double waited = (double)atomic_load(&world.told_waited_ns) * 1e-9;
    bool right = EXPECT(at - before >= threshold - SLIP_S);
    right &= EXPECT(waited >= threshold && waited <= at - before + SLIP_S);
    right &= EXPECT(at - after <= threshold + allowance(TOLD_WITHIN_S));
    if (!right)
        printf("# told %.6f s after the reader began to enter, %.6f s after it was inside: waited %.6f s\n",
               at - before, at - after, waited);
    EXPECT(atomic_load(&world.told_deferred) > 0 && atomic_load(&world.told_deferred) <= world.cap);
    if (at - after > world.slowest_told)
        world.slowest_told = at - after;
}

/* The writers have come to the cap: they are refused, or stand still. */
static void check_full(void)
{
    const uint64_t before = sum_done();
    const uint64_t refused = sum_refused();
    sample_for(0.1, NULL);
    if (world.setup->waits)
        EXPECT_EQ(sum_done(), before);
    else
        EXPECT(sum_refused() > refused);
    EXPECT(deferred_now() > 0);
}

static void check_recovery(double left_at)
{
    if (failures() > 0) /* the writers have stopped */
        return;
    sample_for(allowance(RECOVERED_WITHIN_S), is_recovered);
    EXPECT(is_recovered());
    const double took = now_seconds() - left_at;
    if (took > world.slowest_recovery)
        world.slowest_recovery = took;
}

static void stall_once(void)
{
    struct stalled stalled;
    sample_for(0.05, NULL);
    atomic_store(&world.told, 0);
    const double before = now_seconds();
    stalled_start(&stalled);
    const double after = now_seconds();
    atomic_store(&world.reader, stalled.tid);
    sample_for((double)hold_ms * 1e-3, NULL);
    sample_for((double)threshold_ms * 1e-3 + allowance(TOLD_WITHIN_S) - (now_seconds() - after), is_told);
    check_full();
    const double left_at = now_seconds();
    world.left_bytes = sum_left_bytes();
    stalled_stop(&stalled);
    check_recovery(left_at);
    check_told(before, after);
    atomic_store(&world.reader, 0);
}

/* ---- The case ---- */

static void world_open(const struct setup *setup)
{
    memset(&world, 0, sizeof world);
    world.setup = setup;
    world.cap = cap_kib * 1024 / (under_sanitizer() ? SANITIZED_CAP_SHARE : 1);
    const uint64_t cap = world.cap * setup->cap_times;
    const uint64_t stall_ns = threshold_ms * 1000000 / setup->threshold_share;
    const unsigned flags = setup->waits ? SOMA_WAIT_AT_LIMIT : 0;
    const struct soma_u64_options word_options = {.struct_size = sizeof word_options,
                                                  .flags = flags,
                                                  .value_retire = word_retired,
                                                  .deferred_bytes_max = cap,
                                                  .stall_ns = stall_ns,
                                                  .stall = note_stall};
    const struct soma_map_options byte_options = {.struct_size = sizeof byte_options,
                                                  .flags = flags,
                                                  .value_retire = bytes_retired,
                                                  .deferred_bytes_max = cap,
                                                  .stall_ns = stall_ns,
                                                  .stall = note_stall};
    const enum soma_status status =
        setup->bytes ? soma_map_new(&byte_options, &world.map) : soma_u64_new(&word_options, &world.words);
    if (status != SOMA_OK)
        abort();
    memory_settle();
    world.base_kib = resident_kib();
    world.base_in_use_kib = memory_in_use_kib();
}

/* Every value that was stored is retired once. */
static void check_conserved(void)
{
    uint64_t stored = 0;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < writers; i++) {
        stored += world.writers[i].stored;
        sum += world.writers[i].stored_sum;
    }
    if (world.setup->loses)
        stored++;
    EXPECT_EQ(atomic_load(&world.gone), stored);
    EXPECT(atomic_load(&world.gone_sum) == sum);
}

static void check_memory(void)
{
    if (!under_sanitizer())
        EXPECT(memory_in_use_kib() <= world.base_in_use_kib + IN_USE_SLACK_KIB);
}

static void torture(const struct setup *setup)
{
    struct crew crew;
    world_open(setup);
    crew_start(&crew, (unsigned)writers, write_on, NULL);
    for (uint64_t round = 0; round < rounds && failures() == 0; round++)
        stall_once();
    atomic_store(&world.done, true);
    crew_join(&crew);
    soma_barrier_wait();
    EXPECT_EQ(deferred_now(), 0);
    soma_u64_free(world.words);
    soma_map_free(world.map);
    soma_barrier_wait();
    check_conserved();
    check_memory();
}

static void stalls(const void *arg)
{
    const struct setup *setup = arg;
    torture(setup);
    printf("# %s, %s: %" PRIu64 " updates, %" PRIu64 " refused; at most %" PRIu64 " of %" PRIu64 " bytes and %" PRIu64
           " KiB more; told after %.3f s, recovered after %.3f s; %u reports of others\n",
           setup->bytes ? "map" : "u64",
           setup->waits    ? "waits"
           : setup->inside ? "is refused inside"
                           : "is refused",
           sum_done(), sum_refused(), world.most_bytes, world.cap,
           world.most_kib > world.base_kib ? world.most_kib - world.base_kib : 0, world.slowest_told,
           world.slowest_recovery, atomic_load(&world.told_of_others));
    EXPECT(world.most_bytes > world.cap / 8); /* else the cap was never near */
    EXPECT(!leaks_found());
    torture_did(world.samples);
}

/* One short stall shows it. */
static void canary(const void *arg)
{
    const struct setup *setup = arg;
    const uint64_t hold = hold_ms;
    const uint64_t times = rounds;
    hold_ms = hold < CANARY_HOLD_MS ? hold : CANARY_HOLD_MS;
    rounds = 1;
    canary_begin();
    torture(setup);
    const uint64_t caught = canary_end();
    EXPECT(setup->loses ? caught == 1 : caught > 0);
    hold_ms = hold;
    rounds = times;
    torture_did(1);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"writers", "threads that write", &writers, 0},
        {"rounds", "stalls a case", &rounds, 2},
        {"hold", "how long a reader stays, ms", &hold_ms, 60000},
        {"threshold", "what is a stall, ms", &threshold_ms, 0},
        {"cap", "of deferred memory, KiB", &cap_kib, 0},
    };
    const struct test_case cases[] = {
        {"refused-u64", stalls, &(const struct setup){false, false, false, 1, 1, false}},
        {"refused-map", stalls, &(const struct setup){true, false, false, 1, 1, false}},
        {"inside-u64", stalls, &(const struct setup){false, false, true, 1, 1, false}},
        {"inside-map", stalls, &(const struct setup){true, false, true, 1, 1, false}},
        {"waits-u64", stalls, &(const struct setup){false, true, false, 1, 1, false}},
        {"waits-map", stalls, &(const struct setup){true, true, false, 1, 1, false}},
        {"canary-cap", canary, &(const struct setup){true, false, false, 16, 1, false}},
        {"canary-early-report", canary, &(const struct setup){false, false, false, 1, 4, false}},
        {"canary-lost-value", canary, &(const struct setup){false, false, false, 1, 1, true}},
    };
    const struct torture torture = {
        .part = "stall",
        .unit = "samples",
        .about = "A reader stalls under the load of writers: memory stays bounded, the stall is told, all recovers.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
