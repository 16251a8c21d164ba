/* SPDX-License-Identifier: ISC */
/* sync.c - sessions between two maps whose threads go on changing them. Threads add to counters in both maps, and the
 * rule for a conflict is the greater value: so no counter ever goes down, and in each map it is at least what was
 * added to it there. A session that overwrote what had changed since it was opened would lose some. Other keys come
 * and go. When the threads have gone, one session makes the maps equal. */
#include <stdatomic.h>

#include <soma/soma.h>

#include "support.h"

#define KEYS UINT64_C(4000)
#define COUNTERS UINT64_C(32) /* keys from KEYS on */
#define WRITERS 4             /* every second one writes to one of the maps */

static soma_u64 *maps[2];
static atomic_bool done;
static _Atomic uint64_t added[2][COUNTERS];

static void write_on(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(100 + index);
    const unsigned side = index % 2;
    while (!atomic_load(&done)) {
        const uint64_t key = rng_below(&rng, KEYS);
        const uint64_t counter = rng_below(&rng, COUNTERS);
        if (soma_u64_fetch_add(maps[side], KEYS + counter, 1, NULL) >= 0)
            atomic_fetch_add(&added[side][counter], 1);
        if (rng_below(&rng, 3) == 0)
            (void)soma_u64_remove(maps[side], key, NULL);
        else
            (void)soma_u64_put(maps[side], key, rng_next(&rng), NULL);
    }
}

static enum soma_status greater(struct soma_conflict *conflict, void *ctx)
{
    (void)ctx;
    return conflict->word.mine > conflict->word.theirs ? SOMA_EXISTS : SOMA_REPLACED;
}

static struct soma_sync_result session(void)
{
    static unsigned char bytes[1 << 16];
    soma_sync *syncs[2] = {NULL, NULL};
    struct soma_sync_result result;
    for (unsigned i = 0; i < 2; i++) {
        const struct soma_sync_options options = {
            .role = SOMA_SYNC_BOTH, .initiator = i == 0, .slice_entries = 1024, .rule = greater};
        EXPECT_EQ(soma_u64_sync_open(maps[i], &options, &syncs[i]), SOMA_OK);
    }
    for (unsigned turn = 0, quiet = 0; quiet < 2; turn ^= 1) {
        size_t len = 0;
        quiet++;
        while (soma_sync_drain(syncs[turn], bytes, sizeof bytes, &len) == SOMA_OK && len > 0) {
            (void)soma_sync_feed(syncs[turn ^ 1], bytes, len, NULL);
            quiet = 0;
        }
    }
    soma_sync_outcome(syncs[0], &result);
    EXPECT(result.equal);
    soma_sync_close(syncs[0]);
    soma_sync_close(syncs[1]);
    return result;
}

static void nothing_is_lost(void)
{
    for (unsigned side = 0; side < 2; side++) {
        for (uint64_t i = 0; i < COUNTERS; i++) {
            uint64_t value = 0;
            const uint64_t least = atomic_load(&added[side][i]);
            (void)soma_u64_get(maps[side], KEYS + i, &value);
            EXPECT(value >= least);
            verified(1);
        }
    }
}

static void beside_writers(const void *unused)
{
    (void)unused;
    struct crew crew;
    struct soma_digest digests[2];
    uint64_t kept = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct soma_u64_options options = {.seed = {5, 6}, .flags = SOMA_DIGEST, .digest_key = {7, 8}};
        EXPECT_EQ(soma_u64_new(&options, &maps[i]), SOMA_OK);
    }
    crew_start(&crew, WRITERS, write_on, NULL);
    const double end = now_seconds() + test_seconds();
    do {
        kept += session().kept;
        nothing_is_lost();
    } while (now_seconds() < end && failures() == 0);
    atomic_store(&done, true);
    crew_join(&crew);
    nothing_is_lost();
    EXPECT_EQ(session().kept, 0);
    nothing_is_lost();
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(soma_u64_digest(maps[i], &digests[i]), SOMA_OK);
        soma_u64_free(maps[i]);
    }
    EXPECT(soma_digest_equal(&digests[0], &digests[1]));
    EXPECT(kept > 0);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"beside writers", beside_writers, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
