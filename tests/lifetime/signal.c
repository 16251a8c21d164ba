/* SPDX-License-Identifier: ISC */
/* signal.c - a handler that looks things up and opens sections, over threads that do everything else. Its answers are
 * right, no section stays open, and it never ends up in the allocator that it may have interrupted. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "kinds.h"
#include "support.h"

#define WORKERS 3
#define SECONDS 3.0
#define PERMANENT 100
#define MOVING 2000
#define MOVING_FIRST 1000
#define ROUND (UINT64_C(1) << 32) /* a value is its key plus a multiple of this */

static soma_u64 *words;
static soma_map *bytes;
static atomic_uint_fast64_t handled;
static atomic_uint_fast64_t wrong;
static atomic_uint_fast64_t misplaced; /* retired calls in a handler that interrupted the program's own code */
static atomic_bool done;
static __thread volatile sig_atomic_t in_handler;
static __thread volatile sig_atomic_t in_program;
static __thread volatile sig_atomic_t released;

/* What any lookup must find; also in the handler, so it only counts. */
static void look(uint64_t key, bool permanent)
{
    uint64_t value = 0;
    size_t len = 0;
    soma_read_enter();
    const enum soma_status word = soma_u64_get(words, key, &value);
    if (word == SOMA_OK ? value % ROUND != key : permanent || word != SOMA_ABSENT)
        atomic_fetch_add(&wrong, 1);
    const enum soma_status copy = soma_map_get_copy(bytes, &key, sizeof key, &value, sizeof value, &len);
    if (copy == SOMA_OK ? len != sizeof value || value % ROUND != key : permanent || copy != SOMA_ABSENT)
        atomic_fetch_add(&wrong, 1);
    soma_read_exit();
}

static void look_outside(uint64_t key)
{
    uint64_t value = 0;
    if (soma_u64_get(words, key, &value) != SOMA_OK || value % ROUND != key)
        atomic_fetch_add(&wrong, 1);
    if (soma_map_get_copy(bytes, &key, sizeof key, &value, sizeof value, NULL) != SOMA_OK || value % ROUND != key)
        atomic_fetch_add(&wrong, 1);
}

static void handle(int number)
{
    (void)number;
    const int before = errno;
    const uint64_t n = atomic_fetch_add(&handled, 1);
    in_handler = 1;
    look_outside(n % PERMANENT);
    look(n % PERMANENT, true);
    look(MOVING_FIRST + n % MOVING, false);
    in_handler = 0;
    errno = before;
}

/* Updates, also from a retired call, and the allocator at other times: a handler that frees memory meets it there. */
static void update_both(uint64_t key, uint64_t n)
{
    const uint64_t value = key + n * ROUND;
    EXPECT(soma_u64_put(words, key, value, NULL) >= 0);
    EXPECT(soma_map_put(bytes, &key, sizeof key, &value, sizeof value, NULL) >= 0);
}

static void remove_both(uint64_t key)
{
    EXPECT(soma_u64_remove(words, key, NULL) >= 0);
    EXPECT(soma_map_remove(bytes, &key, sizeof key, NULL) >= 0);
}

/* Whether a retired call runs where it must not: it may lock and allocate, and so may the code that was interrupted. */
static bool runs_misplaced(void)
{
    released = 1;
    if (in_handler && in_program) {
        atomic_fetch_add(&misplaced, 1);
        return true;
    }
    return false;
}

static void value_gone(const void *value, size_t len, void *ctx)
{
    (void)value, (void)ctx;
    EXPECT_EQ(len, sizeof(uint64_t));
    runs_misplaced();
}

static void update_later(void *arg)
{
    if (runs_misplaced())
        return;
    const uint64_t n = (uint64_t)(uintptr_t)arg;
    for (uint64_t key = 0; key < PERMANENT; key++)
        update_both(key, n);
}

static void allocate(uint64_t n)
{
    void *blocks[32];
    in_program = 1;
    for (unsigned i = 0; i < 32; i++)
        blocks[i] = need(1, 16 + (n + i) % 40 * 64);
    for (unsigned i = 0; i < 32; i++)
        free(blocks[i]);
    in_program = 0;
}

static void work(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    for (uint64_t n = 0; !atomic_load(&done) && failures() == 0; n++) {
        const uint64_t key = MOVING_FIRST + rng_below(&rng, MOVING);
        soma_read_enter();
        update_both(key, n);
        look(rng_below(&rng, PERMANENT), true);
        soma_read_exit();
        update_both(rng_below(&rng, PERMANENT), n);
        remove_both(MOVING_FIRST + rng_below(&rng, MOVING));
        look(key, false);
        look_outside(rng_below(&rng, PERMANENT));
        if (n % 100 == 0)
            EXPECT_EQ(soma_retire(update_later, (void *)(uintptr_t)n), SOMA_OK);
        allocate(n);
    }
}

static void fill(void)
{
    EXPECT_EQ(soma_u64_new(NULL, &words), SOMA_OK);
    const struct soma_map_options options = {.value_retire = value_gone};
    EXPECT_EQ(soma_map_new(&options, &bytes), SOMA_OK);
    for (uint64_t key = 0; key < PERMANENT; key++)
        update_both(key, 0);
}

static void count_retired(void *arg)
{
    ++*(unsigned *)arg;
}

/* No section is left open, of a thread that has ended or of this one. */
static void check_rest(void)
{
    unsigned count = 0;
    const double before = now_seconds();
    soma_synchronize_wait();
    EXPECT(now_seconds() - before < 1.0);
    EXPECT_EQ(soma_retire(count_retired, &count), SOMA_OK);
    soma_barrier_wait();
    EXPECT_EQ(count, 1);
    EXPECT_EQ(atomic_load(&wrong), 0);
    EXPECT_EQ(atomic_load(&misplaced), 0);
}

static void finish(void)
{
    check_rest();
    EXPECT(atomic_load(&handled) > 0);
    verified(atomic_load(&handled));
    soma_u64_free(words);
    soma_map_free(bytes);
    soma_barrier_wait();
}

static void begin(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&handled, 0);
    atomic_store(&wrong, 0);
    atomic_store(&misplaced, 0);
    atomic_store(&done, false);
    fill();
}

/* Every worker gets as many signals as it can take; a nap lets it do something in between. */
static void bombarded(const void *unused)
{
    (void)unused;
    struct crew crew;
    begin();
    crew_start(&crew, WORKERS, work, NULL);
    sleep_ms(20); /* for the threads' first use of Soma, before which a handler may not use it */
    for (const double end = now_seconds() + SECONDS; now_seconds() < end && failures() == 0;) {
        for (unsigned i = 0; i < WORKERS; i++)
            pthread_kill(crew.threads[i], SIGUSR1);
        const struct timespec nap = {0, 20000};
        nanosleep(&nap, NULL);
    }
    atomic_store(&done, true);
    crew_join(&crew);
    finish();
}

/* One thread alone, whose own calls are all there is to reclaim memory, under a timer. */
static void timed(const void *unused)
{
    (void)unused;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec period = {{0, 200000}, {0, 200000}};
    timer_t timer;
    begin();
    if (!EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0))
        return;
    timer_settime(timer, 0, &period, NULL);
    struct rng rng = rng_new(9);
    const double end = now_seconds() + SECONDS / 2;
    for (uint64_t n = 0; now_seconds() < end && failures() == 0; n++) {
        update_both(MOVING_FIRST + rng_below(&rng, MOVING), n);
        remove_both(MOVING_FIRST + rng_below(&rng, MOVING));
        released = 0;
        EXPECT_EQ(soma_retire(update_later, (void *)(uintptr_t)n), SOMA_OK);
        /* Calls have just run and may have left more to do: that is for the next call of Soma's, not for a handler. */
        for (unsigned i = 0; i < (released ? 3000 : 1); i++)
            allocate(n + i);
    }
    timer_delete(timer);
    finish();
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"bombarded", bombarded, NULL}, {"timed", timed, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
