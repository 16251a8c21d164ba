/* SPDX-License-Identifier: ISC */
/* dir.c - the room dir/: buckets' numbers, and interleavings of shrinking that threads alone would hardly ever meet, set
 * up step by step. */
#include <semaphore.h>

#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "support.h"

/* ---- Numbers ---- */

/* By the definition: with 2^m buckets the bucket of a hash is its top m bits; growth leaves numbers as they are. */
static void numbers(const void *unused)
{
    (void)unused;
    struct rng rng = rng_new(1);
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t hash = i < 3 ? (uint64_t)0 - i : rng_next(&rng);
        for (unsigned m = 1; m < 40; m++) {
            const uint64_t index = soma__bucket_index(soma__bucket_of(hash, m));
            const uint64_t prefix = hash >> (64 - m);
            EXPECT(index < UINT64_C(1) << m);
            if (prefix == 0) {
                EXPECT_EQ(index, 0);
                continue;
            }
            EXPECT_EQ(soma__bucket_position(index), prefix << (64 - m));
            EXPECT(soma__bucket_level(index) <= m && index >> soma__bucket_level(index) == 0);
            if (prefix % 2 == 0)
                EXPECT_EQ(index, soma__bucket_index(soma__bucket_of(hash, m - 1)));
        }
        verified(1);
    }
}

/* ---- A thread that is late in starting to drain a level ---- */

struct reader {
    sem_t inside;
    sem_t leave;
};

static void sit_inside(unsigned index, void *arg)
{
    struct reader *reader = arg;
    (void)index;
    soma_read_enter();
    sem_post(&reader->inside);
    while (sem_wait(&reader->leave) != 0) {
    }
    soma_read_exit();
}

static void start_leaving(struct soma__dir *dir)
{
    EXPECT(soma__dir_shrink_start(dir, 1, 4));
    EXPECT_EQ(dir_phase(soma__dir_state(dir)), DIR_LEAVING);
}

/* This thread is about to move the level on to DRAIN, with a cookie drawn for it, when others take the level back into
 * use, a grace period starts, a reader comes who sees the level in use, and the level leaves again. The late step must
 * not let DRAIN pass while that reader is inside (S1). */
static void late_drain(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    struct reader reader;
    struct crew crew;
    sem_init(&reader.inside, 0, 0);
    sem_init(&reader.leave, 0, 0);
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, 1, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    struct soma__dir *dir = &map->core.dir;
    const unsigned first = dir_first_log2(dir->shape.cell_log2);
    soma__dir_unreserve(dir);

    soma_read_enter();
    start_leaving(dir);
    const uint64_t leaving = soma__dir_state(dir);
    const uint64_t cookie = soma__grace_cookie();
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    soma__dir_unreserve(dir);
    soma__grace_poll(cookie);
    crew_start(&crew, 1, sit_inside, &reader);
    while (sem_wait(&reader.inside) != 0) {
    }
    start_leaving(dir);
    soma__dir_state_swap(dir, leaving, dir_state(dir_m(leaving), dir_going(leaving), DIR_DRAIN, cookie));
    soma_read_exit();

    for (int i = 0; i < 20; i++) {
        EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
        EXPECT(dir_phase(soma__dir_state(dir)) == DIR_LEAVING || dir_phase(soma__dir_state(dir)) == DIR_DRAIN);
        sleep_ms(1);
    }
    sem_post(&reader.leave);
    crew_join(&crew);
    for (int i = 0; i < 1000 && dir_m(soma__dir_state(dir)) != first; i++)
        EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), first);
    EXPECT_EQ(soma_u64_get(map, 1, NULL), SOMA_OK);
    soma_u64_free(map);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"numbers", numbers, NULL}, {"late-drain", late_drain, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
