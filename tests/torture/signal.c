/* SPDX-License-Identifier: ISC */
/* signal.c - a million handlers that look things up, over threads that put, remove, grow, retire and allocate. SIGUSR1 is
 * sent by every thread to every other, SIGALRM comes from a timer of each thread and one of the process; each
 * may interrupt the other's handler; on the thread's own stack or another one.
 *
 * Every answer must be right. Most exactly where a handler interrupts a put: of a key that only its own thread writes, it
 * finds the value before or the one after. A thread that stands still is a deadlock, and the watchdog ends the program.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <soma/soma.h>

#include "stalled.h"
#include "torture.h"

static uint64_t handlers = 60000; /* a case */
static uint64_t workers = 4;
static uint64_t period_us = 100;

#define PERMANENT 100
#define MOVING 4000
#define MOVING_FIRST 1000
#define OWN_FIRST 100000
#define ROUND (UINT64_C(1) << 32) /* a value is its key plus a multiple of this */
#define STACK_BYTES (64 * 1024)
#define MANY 8

#ifndef sigev_notify_thread_id /* glibc has the field, not yet its name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum seeded_bug {
    NO_BUG,
    WRONG_ANSWER,
    DEADLOCK
};

struct setup {
    bool users;  /* SIGUSR1 by pthread_kill() */
    bool timers; /* SIGALRM */
    bool stacks; /* handlers on stacks of their own */
    enum seeded_bug bug;
};

struct worker {
    atomic_uint_fast64_t ops;
    uint64_t own_key;
    volatile uint64_t before; /* the value under own_key, */
    volatile uint64_t after;  /* and what a put is about to make of it */
    char apart[64];
};

struct world {
    const struct setup *setup;
    soma_u64 *words;
    soma_map *bytes;
    atomic_bool done;
    atomic_uint ready;
    atomic_uint_fast64_t handled;
    atomic_uint_fast64_t nested;    /* in another handler */
    atomic_uint_fast64_t over_puts; /* in the middle of a put of the key that was looked up */
    atomic_uint_fast64_t on_stacks; /* on another stack */
    atomic_uint_fast64_t wrong;
    struct worker workers[CREW_MAX];
    struct crew crew;
    pthread_mutex_t lock; /* of the seeded deadlock */
};

static struct world world;
static __thread struct worker *self; /* NULL in the main thread */
static __thread volatile sig_atomic_t depth;
static __thread char *stack;

static void count_wrong(bool right)
{
    if (!right)
        atomic_fetch_add(&world.wrong, 1);
}

/* ---- In handlers, so it only counts; and elsewhere ---- */

static void look_words(uint64_t key, bool permanent)
{
    uint64_t value = 0;
    const enum soma_status status = soma_u64_get(world.words, key, &value);
    count_wrong(status == SOMA_OK ? value % ROUND == key : !permanent && status == SOMA_ABSENT);
}

static void look_bytes(uint64_t key, bool permanent)
{
    uint64_t value = 0;
    size_t len = 0;
    const enum soma_status status = soma_map_get_copy(world.bytes, &key, sizeof key, &value, sizeof value, &len);
    count_wrong(status == SOMA_OK ? value % ROUND == key && len == sizeof value : !permanent && status == SOMA_ABSENT);
}

static void look_inside(uint64_t key)
{
    struct soma_bytes borrowed = {NULL, 0};
    uint64_t value = 0;
    soma_read_enter();
    if (soma_map_get_ref(world.bytes, &key, sizeof key, &borrowed) == SOMA_OK) {
        memcpy(&value, borrowed.data, sizeof value);
        count_wrong(value % ROUND == key && borrowed.len == sizeof value);
    }
    look_words(key, false);
    soma_read_exit();
}

static void look_at_many(uint64_t first)
{
    uint64_t keys[MANY];
    uint64_t values[MANY];
    bool found[MANY];
    for (uint64_t i = 0; i < MANY; i++)
        keys[i] = (first + i) % PERMANENT;
    count_wrong(soma_u64_get_many(world.words, keys, MANY, values, found) == MANY);
    for (uint64_t i = 0; i < MANY; i++)
        count_wrong(found[i] && values[i] % ROUND == keys[i]);
}

static void look_at_own(void)
{
    uint64_t word = 0;
    uint64_t copy = 0;
    const uint64_t before = self->before;
    const uint64_t after = self->after;
    count_wrong(soma_u64_get(world.words, self->own_key, &word) == SOMA_OK && (word == before || word == after));
    count_wrong(soma_map_get_copy(world.bytes, &self->own_key, sizeof self->own_key, &copy, sizeof copy, NULL) ==
                    SOMA_OK &&
                (copy == before || copy == after));
    if (before != after)
        atomic_fetch_add(&world.over_puts, 1);
}

static void handle(int number)
{
    const int error = errno;
    const char here = 0;
    const uint64_t n = atomic_fetch_add(&world.handled, 1);
    (void)number;
    if (depth++ > 0)
        atomic_fetch_add(&world.nested, 1);
    if (stack && &here >= stack && &here < stack + STACK_BYTES)
        atomic_fetch_add(&world.on_stacks, 1);
    if (self)
        look_at_own();
    look_words(n % PERMANENT, true);
    look_bytes(n % PERMANENT, true);
    look_inside(MOVING_FIRST + n % MOVING);
    look_at_many(n);
    if (world.setup->bug == DEADLOCK && self) {
        pthread_mutex_lock(&world.lock);
        pthread_mutex_unlock(&world.lock);
    }
    depth--;
    errno = error;
}

/* ---- Workers ---- */

static void put_both(uint64_t key, uint64_t value)
{
    EXPECT(soma_u64_put(world.words, key, value, NULL) >= 0);
    EXPECT(soma_map_put(world.bytes, &key, sizeof key, &value, sizeof value, NULL) >= 0);
}

static void remove_both(uint64_t key)
{
    EXPECT(soma_u64_remove(world.words, key, NULL) >= 0);
    EXPECT(soma_map_remove(world.bytes, &key, sizeof key, NULL) >= 0);
}

static void put_own(uint64_t n)
{
    const uint64_t value = self->own_key + n * ROUND;
    if (world.setup->bug == DEADLOCK)
        pthread_mutex_lock(&world.lock);
    self->after = value;
    put_both(self->own_key, value);
    self->before = value;
    if (world.setup->bug == DEADLOCK)
        pthread_mutex_unlock(&world.lock);
}

static void note_call(void *arg)
{
    free(arg);
}

static void use_allocator(uint64_t n)
{
    void *blocks[8];
    for (unsigned i = 0; i < 8; i++)
        blocks[i] = need(1, 16 + (n + i) % 40 * 64);
    for (unsigned i = 0; i < 7; i++)
        free(blocks[i]);
    EXPECT_EQ(soma_retire(note_call, blocks[7]), SOMA_OK);
}

/* Keys come for a while and go for a while, so tables grow and shrink. */
static void work_once(struct rng *rng, uint64_t n)
{
    const uint64_t key = MOVING_FIRST + rng_below(rng, MOVING);
    put_own(n);
    if (n / 4096 % 2 == 0)
        put_both(key, key + n * ROUND);
    else
        remove_both(key);
    soma_read_enter();
    put_both(n % PERMANENT, n % PERMANENT + n * ROUND + (world.setup->bug == WRONG_ANSWER));
    look_inside(key);
    soma_read_exit();
    if (world.setup->users && n % 4 == 0)
        pthread_kill(world.crew.threads[n / 4 % workers], SIGUSR1);
    if (n % 16 == 0)
        use_allocator(n);
    if (n % 4096 == 0)
        soma_barrier_wait();
}

static void stack_make(void)
{
    if (!world.setup->stacks)
        return;
    stack = need(1, STACK_BYTES);
    const stack_t other = {.ss_sp = stack, .ss_size = STACK_BYTES};
    EXPECT_EQ(sigaltstack(&other, NULL), 0);
}

static void stack_free(void)
{
    if (!world.setup->stacks)
        return;
    const stack_t none = {.ss_flags = SS_DISABLE};
    EXPECT_EQ(sigaltstack(&none, NULL), 0);
    free(stack);
    stack = NULL;
}

static bool timer_start(timer_t *timer)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    const struct timespec period = {0, (long)period_us * 1000};
    if (!world.setup->timers || !EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, timer), 0))
        return false;
    return EXPECT_EQ(timer_settime(*timer, 0, &(struct itimerspec){period, period}, NULL), 0);
}

/* A handler may use Soma once its thread has; so the threads come first. */
static void work_on(unsigned index, void *unused)
{
    struct rng rng = rng_new(index);
    timer_t timer;
    (void)unused;
    self = &world.workers[index];
    self->own_key = OWN_FIRST + index;
    put_own(0);
    stack_make();
    atomic_fetch_add(&world.ready, 1);
    while (atomic_load(&world.ready) < workers)
        sched_yield();
    const bool timed = timer_start(&timer);
    for (uint64_t n = 1; !atomic_load_explicit(&world.done, memory_order_relaxed); n++) {
        work_once(&rng, n);
        atomic_fetch_add_explicit(&self->ops, 1, memory_order_relaxed);
    }
    if (timed)
        timer_delete(timer);
    /* What is still on its way comes here; no handler runs on a stack that is gone. */
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGALRM);
    sigaddset(&both, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &both, NULL);
    stack_free();
}

/* ---- The case ---- */

static void world_open(const struct setup *setup)
{
    memset(&world, 0, sizeof world);
    world.setup = setup;
    pthread_mutex_init(&world.lock, NULL);
    if (soma_u64_new(NULL, &world.words) != SOMA_OK || soma_map_new(NULL, &world.bytes) != SOMA_OK)
        abort();
    for (uint64_t key = 0; key < PERMANENT; key++)
        put_both(key, key);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART | (setup->stacks ? SA_ONSTACK : 0)};
    sigemptyset(&action.sa_mask);
    EXPECT_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    EXPECT_EQ(sigaction(SIGALRM, &action, NULL), 0);
}

static void process_timer(unsigned us)
{
    const struct itimerspec period = {{0, (long)us * 1000}, {0, (long)us * 1000}};
    static timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    if (us > 0 && EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0))
        EXPECT_EQ(timer_settime(timer, 0, &period, NULL), 0);
    else if (us == 0)
        timer_delete(timer);
}

/* Whether every worker has done something since this was last true. */
static bool all_move(uint64_t *seen)
{
    for (uint64_t i = 0; i < workers; i++) {
        if (atomic_load(&world.workers[i].ops) == seen[i])
            return false;
    }
    for (uint64_t i = 0; i < workers; i++)
        seen[i] = atomic_load(&world.workers[i].ops);
    return true;
}

static void watch(void)
{
    uint64_t seen[CREW_MAX] = {0};
    const uint64_t failed = failures();
    while (atomic_load(&world.handled) < handlers && failures() == failed && atomic_load(&world.wrong) == 0) {
        sleep_ms(1);
        if (all_move(seen))
            torture_progress(atomic_load(&world.handled), handlers, "handlers");
    }
}

static void check_rest(void)
{
    const double before = now_seconds();
    soma_synchronize_wait();
    EXPECT(now_seconds() - before < (under_sanitizer() ? 10.0 : 1.0));
    soma_u64_free(world.words);
    soma_map_free(world.bytes);
    soma_barrier_wait();
}

static void torture(const struct setup *setup)
{
    world_open(setup);
    crew_start(&world.crew, (unsigned)workers, work_on, NULL);
    while (atomic_load(&world.ready) < workers)
        sleep_ms(1);
    if (setup->timers)
        process_timer((unsigned)period_us);
    watch();
    if (setup->timers)
        process_timer(0);
    atomic_store(&world.done, true);
    crew_join(&world.crew);
    check_rest();
}

static void handled(const void *arg)
{
    const struct setup *setup = arg;
    torture(setup);
    printf("# %" PRIuFAST64 " handlers: %" PRIuFAST64 " over a put, %" PRIuFAST64 " in a handler, %" PRIuFAST64
           " on another stack\n",
           atomic_load(&world.handled), atomic_load(&world.over_puts), atomic_load(&world.nested),
           atomic_load(&world.on_stacks));
    EXPECT_EQ(atomic_load(&world.wrong), 0);
    EXPECT(atomic_load(&world.over_puts) > 0 || under_sanitizer()); /* which deliver signals between calls */
    EXPECT((atomic_load(&world.on_stacks) > 0) == setup->stacks);
    EXPECT(!leaks_found());
    torture_did(atomic_load(&world.handled));
}

/* ---- Canaries, in a process each, since one does not come back ---- */

static int status_of(const struct setup *setup)
{
    fflush(NULL);
    const int pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(3);
        torture_hang(under_sanitizer() ? 6 : 2);
        torture(setup);
        _exit(atomic_load(&world.wrong) > 0 ? 1 : 0);
    }
    return child_status(pid);
}

static void canary(const void *unused)
{
    (void)unused;
    EXPECT_EQ(status_of(&(const struct setup){true, false, false, WRONG_ANSWER}), 1);
    EXPECT_EQ(status_of(&(const struct setup){true, false, false, DEADLOCK}), 124); /* the watchdog's */
    torture_did(2);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"handlers", "handlers a case", &handlers, 1000000},
        {"workers", "threads that are interrupted", &workers, 0},
        {"period", "of each timer, microseconds", &period_us, 0},
    };
    const struct test_case cases[] = {
        {"canary", canary, NULL}, /* first: it forks */
        {"users", handled, &(const struct setup){true, false, false, NO_BUG}},
        {"timers", handled, &(const struct setup){false, true, false, NO_BUG}},
        {"other-stacks", handled, &(const struct setup){true, true, true, NO_BUG}},
    };
    const struct torture torture = {
        .part = "signal",
        .unit = "handlers",
        .about = "Signal handlers look things up over threads that update.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
