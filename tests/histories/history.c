/* SPDX-License-Identifier: ISC */
/* history.c - histories of real threads on both kinds of map, checked call by call; and maps with seeded bugs, which must
 * be found. With --operations N it is the soak: N calls in all, one line of result. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"
#include "support.h"

#define WORDS &kinds[0], false, false
#define BYTES &kinds[1], true, false
#define LONG_BYTES &kinds[1], true, true

static const struct setup setups[] = {
    {"u64-one-key", WORDS, HASHES_GOOD, 1, 3, 4000},
    {"u64-few-keys", WORDS, HASHES_GOOD, 10, 4, 8000},
    {"u64-neighbours", WORDS, HASHES_CLOSE, 12, 4, 8000},
    {"u64-few-places", WORDS, HASHES_FEW, 300, 4, 8000},
    {"u64-many-keys", WORDS, HASHES_GOOD, 100000, 4, 40000},
    {"map-one-key", BYTES, HASHES_GOOD, 1, 3, 4000},
    {"map-few-keys", BYTES, HASHES_GOOD, 10, 4, 8000},
    {"map-collisions", BYTES, HASHES_CLOSE, 12, 4, 8000},
    {"map-few-places", LONG_BYTES, HASHES_FEW, 300, 4, 8000},
    {"map-long-values", LONG_BYTES, HASHES_GOOD, 10, 4, 8000},
    {"map-many-keys", LONG_BYTES, HASHES_GOOD, 100000, 4, 40000},
};
#define SETUPS (sizeof setups / sizeof *setups)

static void holds(const void *arg)
{
    struct tally tally = {0};
    run_setup(arg, UINT64_MAX / 2, now_seconds() + test_seconds() / 2, false, &tally);
    EXPECT_EQ(tally.violations, 0);
    verified(tally.calls);
}

/* ---- Maps with seeded bugs ---- */

/* Reads, then writes: another addition in between is lost. */
static enum soma_status add_in_two_steps(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    uint64_t value = 0;
    const enum soma_status found = kinds[0].get(map, key, &value);
    uint64_t replaced;
    (void)kinds[0].put(map, key, value + delta, &replaced);
    *old = value;
    return found == SOMA_OK ? SOMA_REPLACED : SOMA_INSERTED;
}

/* Says what was there a moment before, which may be an earlier value than the one that was replaced. */
static enum soma_status put_after_looking(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    uint64_t before = 0;
    const bool there = kinds[0].get(map, key, &before) == SOMA_OK;
    const enum soma_status status = kinds[0].put(map, key, value, old);
    if (there && status == SOMA_REPLACED)
        *old = before;
    return status;
}

/* Two threads may both be told that they removed it. */
static enum soma_status remove_after_looking(void *map, uint64_t key, uint64_t *old)
{
    uint64_t gone;
    if (kinds[0].get(map, key, old) != SOMA_OK)
        return SOMA_ABSENT;
    (void)kinds[0].remove(map, key, &gone);
    return SOMA_REMOVED;
}

/* Now and then answers what was there a while ago. */
static enum soma_status stale_get(void *map, uint64_t key, uint64_t *value)
{
    static __thread uint64_t last;
    static __thread unsigned count;
    const enum soma_status status = kinds[0].get(map, key, value);
    if (status == SOMA_OK && ++count % 64 == 0 && last != 0)
        *value = last;
    else if (status == SOMA_OK)
        last = *value;
    return status;
}

enum seeded {
    SEEDED_ADD,
    SEEDED_PUT,
    SEEDED_REMOVE,
    SEEDED_GET
};

static void seeded_bug(const void *arg)
{
    struct kind broken = kinds[0];
    struct setup setup = {"seeded", &broken, false, false, HASHES_GOOD, 3, 4, 4000};
    struct tally tally = {0};
    switch (*(const enum seeded *)arg) {
    case SEEDED_ADD:
        broken.fetch_add = add_in_two_steps;
        break;
    case SEEDED_PUT:
        broken.put = put_after_looking;
        break;
    case SEEDED_REMOVE:
        broken.remove = remove_after_looking;
        break;
    case SEEDED_GET:
        broken.get = stale_get;
        break;
    }
    run_setup(&setup, UINT64_MAX / 2, now_seconds() + 20, true, &tally);
    EXPECT(tally.violations > 0);
    verified(tally.calls);
}

/* ---- The soak ---- */

static uint64_t number_after(int argc, char **argv, const char *option)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], option) == 0)
            return strtoull(argv[i + 1], NULL, 10);
    }
    return 0;
}

/* In pieces, so that the watchdog can tell a hang, and a reader how far it is. */
#define PIECE 1000000
#define PIECE_SECONDS 120

static int soak(uint64_t operations, unsigned threads)
{
    struct tally tally = {0};
    const double began = now_seconds();
    for (size_t i = 0; i < SETUPS; i++) {
        struct setup setup = setups[i];
        const uint64_t goal = operations / SETUPS * (i + 1);
        setup.threads = threads > 0 && threads <= THREADS_MAX ? threads : setup.threads;
        while (tally.calls < goal && tally.violations == 0) {
            watchdog(PIECE_SECONDS);
            run_setup(&setup, goal - tally.calls < PIECE ? goal - tally.calls : PIECE, now_seconds() + PIECE_SECONDS,
                      false, &tally);
            printf("# %s: %" PRIu64 " of %" PRIu64 " calls, %.0f/s\n", setup.name, tally.calls, operations,
                   (double)tally.calls / (now_seconds() - began));
            fflush(stdout);
        }
    }
    watchdog(0);
    printf("RESULT histories %" PRIu64 " operations %" PRIu64 " violations\n", tally.calls, tally.violations);
    return tally.violations > 0 || tally.calls == 0;
}

int main(int argc, char **argv)
{
    static const enum seeded seeded[] = {SEEDED_ADD, SEEDED_PUT, SEEDED_REMOVE, SEEDED_GET};
    struct test_case cases[SETUPS + 4];
    const uint64_t operations = number_after(argc, argv, "--operations");
    if (operations > 0)
        return soak(operations, (unsigned)number_after(argc, argv, "--threads"));
    for (size_t i = 0; i < SETUPS; i++)
        cases[i] = (struct test_case){setups[i].name, holds, &setups[i]};
    cases[SETUPS] = (struct test_case){"canary-lost-addition", seeded_bug, &seeded[0]};
    cases[SETUPS + 1] = (struct test_case){"canary-old-value", seeded_bug, &seeded[1]};
    cases[SETUPS + 2] = (struct test_case){"canary-removed-twice", seeded_bug, &seeded[2]};
    cases[SETUPS + 3] = (struct test_case){"canary-stale-get", seeded_bug, &seeded[3]};
    return test_main(argc, argv, cases, SETUPS + 4);
}
