/* SPDX-License-Identifier: ISC */
/* support.c - see support.h. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define FAILURES_SHOWN 10
#define MISUSES_SHOWN 3
#define TIMEOUT_SECONDS 120

static double seconds = 1.0;
static uint64_t seed;
static unsigned timeout = TIMEOUT_SECONDS;
static atomic_uint_fast64_t failed;
static atomic_uint_fast64_t facts;
static atomic_uint_fast64_t canary_failed;
static atomic_bool in_canary;
static char watchdog_text[200];

double test_seconds(void)
{
    return seconds;
}

uint64_t test_seed(void)
{
    return seed;
}

/* ---- Checks ---- */

uint64_t failures(void)
{
    return atomic_load(&failed);
}

void verified(uint64_t n)
{
    atomic_fetch_add(&facts, n);
}

/* Whether this failure should be told. */
static bool count_failure(void)
{
    if (atomic_load(&in_canary)) {
        atomic_fetch_add(&canary_failed, 1);
        return false;
    }
    return atomic_fetch_add(&failed, 1) < FAILURES_SHOWN;
}

bool expect_at(bool held, const char *file, int line, const char *what)
{
    if (!held && count_failure())
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    return held;
}

bool expect_eq_at(int64_t got, int64_t want, const char *file, int line, const char *what)
{
    if (got != want && count_failure())
        fprintf(stderr, "%s:%d: failed: %s: %" PRId64 " != %" PRId64 "\n", file, line, what, got, want);
    return got == want;
}

void canary_begin(void)
{
    atomic_store(&canary_failed, 0);
    atomic_store(&in_canary, true);
}

uint64_t canary_end(void)
{
    atomic_store(&in_canary, false);
    return atomic_load(&canary_failed);
}

/* The library's debug builds name broken invariants and misuses through this function, and go on. Where the library is
 * linked statically, this definition takes its place, so that a broken invariant fails the test. Misuses are committed
 * on purpose, by the thousand; a few of them are shown. */
void soma__complain(const char *where, const char *what);

static atomic_uint misuses;

uint64_t complaints(void)
{
    return atomic_load(&misuses);
}

void soma__complain(const char *where, const char *what)
{
    if (strstr(what, "broken invariant") == NULL) {
        if (atomic_fetch_add(&misuses, 1) < MISUSES_SHOWN)
            fprintf(stderr, "soma: %s: %s\n", where, what);
    } else if (count_failure()) {
        fprintf(stderr, "failed: soma: %s: %s\n", where, what);
    }
}

/* ---- Random numbers: splitmix64 ---- */

struct rng rng_new(uint64_t stream)
{
    struct rng rng = {seed ^ (stream + 1) * UINT64_C(0xd1342543de82ef95)};
    return rng;
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return rng_next(rng) % limit;
}

/* ---- Time ---- */

double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void sleep_ms(unsigned ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void watchdog_bites(int signal_number)
{
    (void)signal_number;
    const ssize_t written = write(STDERR_FILENO, watchdog_text, strlen(watchdog_text));
    _exit(written < 0 ? 125 : 124);
}

void watchdog(unsigned limit)
{
    static timer_t timer;
    static pid_t owner; /* a fork inherits no timers */
    if (owner != getpid()) {
        struct sigaction action = {.sa_handler = watchdog_bites};
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM};
        sigaction(SIGVTALRM, &action, NULL);
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
            abort();
        owner = getpid();
    }
    const struct itimerspec when = {.it_value = {.tv_sec = limit}};
    timer_settime(timer, 0, &when, NULL);
}

/* ---- Threads ---- */

static void *crew_member_run(void *arg)
{
    const struct crew_member *member = arg;
    pthread_barrier_wait(&member->crew->start);
    member->crew->body(member->index, member->crew->arg);
    return NULL;
}

void crew_start(struct crew *crew, unsigned count, void (*body)(unsigned index, void *arg), void *arg)
{
    if (count > CREW_MAX)
        abort();
    crew->count = count;
    crew->body = body;
    crew->arg = arg;
    pthread_barrier_init(&crew->start, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        crew->members[i] = (struct crew_member){crew, i};
        if (pthread_create(&crew->threads[i], NULL, crew_member_run, &crew->members[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&crew->start);
}

void crew_join(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        pthread_join(crew->threads[i], NULL);
    pthread_barrier_destroy(&crew->start);
}

void crew_run(unsigned count, void (*body)(unsigned index, void *arg), void *arg)
{
    struct crew crew;
    crew_start(&crew, count, body, arg);
    crew_join(&crew);
}

/* ---- Memory ---- */

void *need(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

uint64_t resident_kib(void)
{
    uint64_t total = 0;
    uint64_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm)
        return 0;
    const int fields = fscanf(statm, "%" SCNu64 " %" SCNu64, &total, &pages);
    fclose(statm);
    return fields == 2 ? pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024) : 0;
}

unsigned thread_count(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return 0;
    for (const struct dirent *task = readdir(tasks); task; task = readdir(tasks))
        count += task->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* Weak: there only in a build with the leak checker. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool leaks_found(void)
{
    return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0;
}

bool under_sanitizer(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

/* ---- Cases ---- */

static bool chosen(const char *name, int argc, char **argv)
{
    if (argc == 0)
        return true;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return false;
}

static bool run_case(const struct test_case *one, unsigned number)
{
    atomic_store(&failed, 0);
    atomic_store(&facts, 0);
    snprintf(watchdog_text, sizeof watchdog_text, "watchdog: case %s still ran after %u s, seed %" PRIu64 "\n",
             one->name, timeout, seed);
    watchdog(timeout);
    const double start = now_seconds();
    one->run(one->setup);
    watchdog(0);
    const uint64_t checked = atomic_load(&facts);
    if (checked == 0)
        fprintf(stderr, "%s: verified nothing\n", one->name);
    if (failures() > 0)
        fprintf(stderr, "%s: %" PRIu64 " checks failed; --seed %" PRIu64 "\n", one->name, failures(), seed);
    const bool passed = failures() == 0 && checked > 0;
    printf("%s %u - %s: %" PRIu64 " facts in %.2f s\n", passed ? "ok" : "not ok", number, one->name, checked,
           now_seconds() - start);
    fflush(stdout);
    return passed;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seconds S] [--seed N] [--timeout S] [--list] [case...]\n", program);
    return 2;
}

/* Takes the options out of argv; returns how many arguments are left, or -1. */
static int take_options(int argc, char **argv, bool *list)
{
    int left = 0;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--list") == 0)
            *list = true;
        else if (more && strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[++i], NULL);
        else if (more && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 0);
        else if (more && strcmp(argv[i], "--timeout") == 0)
            timeout = (unsigned)strtoul(argv[++i], NULL, 0);
        else if (argv[i][0] == '-')
            return -1;
        else
            argv[left++] = argv[i];
    }
    return left;
}

static void take_environment(void)
{
    const char *const for_seconds = getenv("SOMA_TEST_SECONDS");
    const char *const for_seed = getenv("SOMA_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (for_seconds)
        seconds = strtod(for_seconds, NULL);
    seed = for_seed ? strtoull(for_seed, NULL, 0) : (uint64_t)now.tv_sec * 1000003 ^ (uint64_t)now.tv_nsec;
}

int test_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
    bool list = false;
    unsigned total = 0;
    unsigned number = 0;
    bool all_passed = true;
    take_environment();
    const int names = take_options(argc, argv, &list);
    if (names < 0)
        return usage(argv[0]);
    for (size_t i = 0; i < count; i++)
        total += chosen(cases[i].name, names, argv);
    if (list) {
        for (size_t i = 0; i < count; i++)
            puts(cases[i].name);
        return 0;
    }
    if (total == 0)
        return usage(argv[0]);
    printf("1..%u\n# seed %" PRIu64 "\n", total, seed);
    fflush(stdout);
    for (size_t i = 0; i < count; i++) {
        if (chosen(cases[i].name, names, argv))
            all_passed &= run_case(&cases[i], ++number);
    }
    return all_passed ? 0 : 1;
}
