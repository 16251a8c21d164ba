/* SPDX-License-Identifier: ISC */
/* model.h - the library under Relacy: what the model gives to the library, to the scenarios and to main.c. */
#ifndef SOMA_TESTS_MODEL_H
#define SOMA_TESTS_MODEL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- For the library: atomic memory (shadow/base/atom.h) ---- */

enum model_order {
    ORDER_RLX,
    ORDER_ACQ,
    ORDER_REL,
    ORDER_ACQREL,
    ORDER_SEQ,
};

#define MODEL_SITE const char *function, const char *file, unsigned line

uint64_t model_load(const uint64_t *word, enum model_order order, MODEL_SITE);
void model_store(uint64_t *word, uint64_t to, enum model_order order, MODEL_SITE);
uint64_t model_add(uint64_t *word, uint64_t delta, enum model_order order, MODEL_SITE);
uint64_t model_exchange(uint64_t *word, uint64_t to, enum model_order order, MODEL_SITE);
bool model_cas(uint64_t *word, uint64_t *expected, uint64_t to, enum model_order order, MODEL_SITE);
bool model_cas16(uint64_t *pair, const uint64_t expected[2], const uint64_t to[2], enum model_order order, MODEL_SITE);

/* ---- For the library: the system (shadow/host.h) ---- */

long model_syscall(long number, ...);
void *model_memset(void *memory, int byte, size_t size);
int model_nanosleep(const struct timespec *wanted, struct timespec *left);
int model_clock_gettime(clockid_t clock, struct timespec *now);
int model_posix_memalign(void **memory, size_t alignment, size_t size);
int model_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int model_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int model_pthread_setspecific(pthread_key_t key, const void *value);
int model_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);

/* ---- For the scenarios ---- */

/* Simulated threads 0, 1, 2, and the one that sets up before them and looks after them. */
#define MODEL_THREADS 3
#define MODEL_MAIN MODEL_THREADS

/* Sets the library up again as when it is loaded; lib_reader.c. */
void model_library_set_up(void);

/* Before and after the threads: acts as this thread from now on. */
void model_become(unsigned thread);

/* The destructor of the running thread's key, as at thread exit. */
void model_thread_exit(void);

/* From now on threads get no memory for a record of their own. */
void model_refuse_records(bool refused);

/* A plain access to memory of the model's, as the library's are seen. */
void model_touch(void *word, bool store);

/* Ends the execution as a failure; Relacy tells how it came about. */
void model_fail(const char *text);
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            model_fail("broken: " #condition);                                                                         \
    } while (0)

/* Blocks of memory given back so far; NULL or the kind of one that was not, readers' records apart. */
uint64_t model_freed(void);
const char *model_leaked(void);

/* What this execution came to, for counting how many ways there are; swaps that failed tell ways apart as well. */
void model_outcome(uint64_t outcome);

/* ---- For main.c ---- */

/* What a run executes; before() and after() run alone. */
struct model_scenario {
    const char *name;
    unsigned threads;
    bool own_barriers; /* the kernel offers none */
    void (*before)(const void *arg);
    void (*thread)(const void *arg, unsigned thread);
    void (*after)(const void *arg);
    const void *arg;
};

/* A seeded bug: the accesses of one function of the library that have the order `from` get the order `to`. */
struct model_seed {
    const char *name;
    const char *function; /* "membarrier": the kernel's barrier is left out */
    enum model_order from;
    enum model_order to;
    bool all_ones; /* instead: its loads answer 2^64 - 1 */
};

enum model_scheduler {
    SCHEDULER_RANDOM,
    SCHEDULER_FULL,
    SCHEDULER_BOUND,
};

struct model_run {
    const struct model_scenario *scenario;
    enum model_scheduler scheduler;
    uint64_t first; /* number of the first execution, from 1: what is random follows from it */
    uint64_t executions;
    const struct model_seed *seed; /* or NULL */
    bool quiet;                    /* no history, no progress */
};

struct model_result {
    bool failed;
    bool exhausted; /* a searching scheduler has seen all there is */
    uint64_t executions;
    uint64_t failed_at;
    unsigned outcomes; /* different ones */
    double seconds;    /* of the processor */
    char reason[256];
};

void model_execute(const struct model_run *run, struct model_result *result);

/* An access of the library that the runs so far have executed. False: there are no more. */
bool model_site(unsigned index, const char **function, enum model_order *order);

#ifdef __cplusplus
}
#endif

#endif
