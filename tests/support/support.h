/* SPDX-License-Identifier: ISC */
/* support.h - what the plain test programs share: cases reported as TAP, checks that count, random numbers, threads, a
 * watchdog. They are plain because Criterion cannot run under the thread sanitizer.
 *
 *     static void sums(const void *setup) { ... EXPECT(sum == 10); verified(1); }
 *     static const struct test_case cases[] = {{"sums", sums, NULL}};
 *     int main(int argc, char **argv) { return test_main(argc, argv, cases, 1); }
 *
 * A case fails if an EXPECT() did, or if it verified nothing. Options: --seconds S, --seed N, --list, names of cases.
 */
#ifndef SOMA_TESTS_SUPPORT_H
#define SOMA_TESTS_SUPPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Cases ---- */

struct test_case {
    const char *name;
    void (*run)(const void *setup);
    const void *setup;
};

int test_main(int argc, char **argv, const struct test_case *cases, size_t count);

/* How long a case that runs "for a while" should do so, and the seed that everything random starts from. */
double test_seconds(void);
uint64_t test_seed(void);

/* ---- Checks ---- */

#define EXPECT(condition) expect_at((condition), __FILE__, __LINE__, #condition)
#define EXPECT_EQ(got, want) expect_eq_at((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got " == " #want)

/* Both return whether the check held. */
bool expect_at(bool held, const char *file, int line, const char *what);
bool expect_eq_at(int64_t got, int64_t want, const char *file, int line, const char *what);

/* Says that n facts were checked; a case that checks none fails. */
void verified(uint64_t n);

/* Between the two, checks are meant to fail: for trying a checker on a seeded bug. Returns how many did. */
void canary_begin(void);
uint64_t canary_end(void);

/* Misuses that a debug build of the library has named, in programs that link it statically. */
uint64_t complaints(void);

/* Failed checks since the case began. */
uint64_t failures(void);

/* ---- Random numbers ---- */

struct rng {
    uint64_t state;
};

struct rng rng_new(uint64_t stream);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t limit);

/* ---- Time ---- */

double now_seconds(void);
void sleep_ms(unsigned ms);

/* Kills the program with a message when the seconds are over; 0 = call it off. Uses SIGVTALRM. */
void watchdog(unsigned seconds);

/* ---- Threads ---- */

#define CREW_MAX 64

/* Threads that start together. */
struct crew {
    pthread_t threads[CREW_MAX];
    struct crew_member {
        struct crew *crew;
        unsigned index;
    } members[CREW_MAX];
    unsigned count;
    void (*body)(unsigned index, void *arg);
    void *arg;
    pthread_barrier_t start;
};

void crew_start(struct crew *crew, unsigned count, void (*body)(unsigned index, void *arg), void *arg);
void crew_join(struct crew *crew);
void crew_run(unsigned count, void (*body)(unsigned index, void *arg), void *arg);

/* ---- Memory ---- */

/* Zeroed memory, or the end of the program. */
void *need(size_t count, size_t size);

/* The resident set in KiB. */
uint64_t resident_kib(void);

/* Threads of this process that the kernel knows. */
unsigned thread_count(void);

/* Under a leak checker: whether memory was leaked so far. Without one: false. */
bool leaks_found(void);

/* True where a sanitizer makes time and memory figures meaningless. */
bool under_sanitizer(void);

#endif
