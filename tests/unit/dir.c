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

struct late {
    soma_u64 *map;
    struct soma__dir *dir;
    struct reader reader;
    struct crew crew;
};

static void late_begin(struct late *late)
{
    sem_init(&late->reader.inside, 0, 0);
    sem_init(&late->reader.leave, 0, 0);
    EXPECT_EQ(soma_u64_new(NULL, &late->map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(late->map, 1, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_reserve(late->map, 4096), SOMA_OK);
    late->dir = &late->map->core.dir;
    soma__dir_unreserve(late->dir);
}

/* The level is in use again. */
static void late_back(struct late *late)
{
    EXPECT_EQ(soma_u64_reserve(late->map, 4096), SOMA_OK);
    soma__dir_unreserve(late->dir);
}

/* The grace period starts, and then a reader comes. */
static void late_reader(struct late *late, uint64_t cookie)
{
    soma__grace_poll(cookie);
    crew_start(&late->crew, 1, sit_inside, &late->reader);
    while (sem_wait(&late->reader.inside) != 0) {
    }
}

/* While the reader is inside, who has seen the level in use, DRAIN does not pass (S1); then all goes on. */
static void late_end(struct late *late)
{
    const unsigned first = dir_first_log2(late->dir->shape.cell_log2);
    for (int i = 0; i < 20; i++) {
        EXPECT_EQ(soma_u64_shrink(late->map), SOMA_OK);
        const enum dir_phase phase = dir_phase(soma__dir_state(late->dir));
        EXPECT(phase == DIR_LEAVING || phase == DIR_DRAIN);
        sleep_ms(1);
    }
    sem_post(&late->reader.leave);
    crew_join(&late->crew);
    for (int i = 0; i < 1000 && dir_m(soma__dir_state(late->dir)) != first; i++)
        EXPECT_EQ(soma_u64_shrink(late->map), SOMA_OK);
    EXPECT_EQ(dir_m(soma__dir_state(late->dir)), first);
    EXPECT_EQ(soma_u64_get(late->map, 1, NULL), SOMA_OK);
    soma_u64_free(late->map);
}

static void late_swap(struct late *late, uint64_t leaving, uint64_t cookie)
{
    soma__dir_state_swap(late->dir, leaving, dir_state(dir_m(leaving), dir_going(leaving), DIR_DRAIN, cookie));
}

/* What happens meanwhile if a level that leaves asks for a cookie: the thread has not said yet that it leaves. */
static struct late *meanwhile;

__attribute__((used)) uint64_t __wrap_soma__grace_cookie(void);
uint64_t __real_soma__grace_cookie(void);

uint64_t __wrap_soma__grace_cookie(void)
{
    const uint64_t cookie = __real_soma__grace_cookie();
    struct late *late = meanwhile;
    meanwhile = NULL;
    if (late)
        late_reader(late, cookie);
    return cookie;
}

/* This thread is about to move the level on to DRAIN, with a cookie drawn for it, when others take the level back into
 * use, a grace period starts, a reader comes, and the level leaves again. `twin`: the level is about to leave again before the
 * grace period starts, so that no cookie tells the two apart. */
static void late_drain(const void *twin)
{
    struct late late;
    late_begin(&late);
    soma_read_enter();
    start_leaving(late.dir);
    const uint64_t leaving = soma__dir_state(late.dir);
    const uint64_t cookie = soma__grace_cookie();
    late_back(&late);
    if (twin)
        meanwhile = &late;
    else
        late_reader(&late, cookie);
    start_leaving(late.dir);
    EXPECT(soma__dir_state(late.dir) != leaving);
    late_swap(&late, leaving, cookie);
    if (meanwhile)
        late_reader(&late, cookie);
    meanwhile = NULL;
    soma_read_exit();
    late_end(&late);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"numbers", numbers, NULL}, {"late-drain", late_drain, NULL}, {"late-twin", late_drain, "twin"}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
