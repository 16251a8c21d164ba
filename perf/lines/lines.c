/* SPDX-License-Identifier: ISC */
/* lines.c - the model, what it is fed with, and the work.
 *
 * The library is compiled as for race detection, so that every access is a call, and linked with the calls below instead of the
 * detector. Each thread has a cache without end, of lines of 64 bytes: a write takes the line from all other caches. A thread
 * that touches a line which another has written since it had it is given it anew: a transfer. It was for nothing if the thread
 * reads and writes none of the words that others have written before it loses the line again: then only the neighbourhood
 * is shared (false sharing), else the word (Dubois et al. 1993, "The detection and elimination of useless misses in
 * multiprocessors").
 *
 * Threads take turns, one call each, on keys of their own: what they have in common is the map's, and every call comes from
 * another thread than the last. So counts are the most that can be, and the same in every run but for the hash's seed.
 * Not seen: liburcu's and the allocator's own accesses. A first touch is no transfer. */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#include "lines.h"
#include "map/map_internal.h"
#include "rcu/rcu.h"

#define LINE 64
#define WORD 8
#define THREADS_MOST 32
#define LINES_LOG2 20

static void stop(const char *what)
{
    fprintf(stderr, "perf/sharing: %s\n", what);
    exit(1);
}

/* ---- What an address is ---- */

#define RECORDS 64

static const struct core *the_map;
static const char *records[RECORDS];
static unsigned record_count;

static const struct field {
    size_t at;
    const char *name;
} fields[] = {
    {0, "the header: state, shape"},
    {offsetof(struct core, dir.cursor), "the header: cursor of growth"},
    {offsetof(struct core, hash), "the header: hash"},
    {offsetof(struct core, kind), "the header: views"},
    {offsetof(struct core, owner), "the header: credit, references"},
    {offsetof(struct core, flags), "the header: options"},
    {offsetof(struct core, stripes), "a stripe"},
    {sizeof(struct core), "the header's end"},
};

static const char *place_of(const char *address)
{
    const char *const map = (const char *)the_map;
    if (map && address >= map && address < map + the_map->dir.range_bytes) {
        const size_t at = (size_t)(address - map);
        if (at >= dir_header_bytes(the_map->dir.shape.cell_log2))
            return "a bucket's line";
        unsigned f = 0;
        while (f + 1 < sizeof fields / sizeof fields[0] && fields[f + 1].at <= at)
            f++;
        return fields[f].name;
    }
    const uint64_t counting = map ? core_counting(the_map) : 0;
    const char *const wide = map ? (const char *)core_stripes_wide(the_map, counting) : NULL;
    if (wide && address >= wide && address < wide + core_wide_bytes(the_map))
        return "a stripe";
    for (unsigned i = 0; i < record_count; i++) {
        if (address >= records[i] && address < records[i] + sizeof(struct soma__reader))
            return "a thread's record";
    }
    extern char __data_start[];
    extern char _end[];
    return address >= __data_start && address < _end ? "the library's globals" : "an entry or a batch";
}

/* ---- The model ---- */

struct residence {
    uint8_t stale;   /* words that others have written since this thread lost the line, or since the beginning */
    uint8_t foreign; /* the same at the transfer, as long as none of them was touched; 0: nothing is open */
    const char *place;
};

struct line {
    uintptr_t number; /* 0: none */
    uint32_t holders;
    struct residence of[THREADS_MOST];
};

#define PLACES 16

static struct line *lines;
static struct tally {
    const char *place;
    uint64_t word;    /* transfers of words */
    uint64_t nothing; /* and of neighbours only */
} tallies[PLACES];
static unsigned threads;
static bool recording;
static __thread unsigned self;
static __thread bool in_call;

static struct tally *tally_of(const char *place)
{
    unsigned i = 0;
    while (i + 1 < PLACES && tallies[i].place && tallies[i].place != place)
        i++;
    tallies[i].place = place;
    return &tallies[i];
}

static struct line *line_of(uintptr_t number)
{
    uint64_t i = (number * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - LINES_LOG2);
    for (unsigned tried = 0; tried < 1u << LINES_LOG2; tried++, i = (i + 1) & ((1u << LINES_LOG2) - 1)) {
        if (lines[i].number == 0)
            lines[i].number = number;
        if (lines[i].number == number)
            return &lines[i];
    }
    stop("more lines than the model has room for");
    return NULL;
}

static void residence_end(struct residence *residence)
{
    if (residence->foreign)
        tally_of(residence->place)->nothing++;
    residence->foreign = 0;
}

static void touch_line(uintptr_t number, uint8_t words, bool write)
{
    struct line *line = line_of(number);
    struct residence *mine = &line->of[self];
    if ((line->holders >> self & 1) == 0) {
        mine->foreign = mine->stale;
        mine->stale = 0;
        mine->place = mine->foreign ? place_of((const char *)(number * LINE)) : NULL;
        line->holders |= UINT32_C(1) << self;
    }
    if (mine->foreign & words) {
        tally_of(mine->place)->word++;
        mine->foreign = 0;
    }
    for (unsigned t = 0; write && t < threads; t++) {
        if (t == self)
            continue;
        residence_end(&line->of[t]);
        line->of[t].stale |= words;
        line->holders &= ~(UINT32_C(1) << t);
    }
}

static void touched(const volatile void *address, size_t size, bool write)
{
    if (!recording || !in_call || size == 0)
        return;
    const uintptr_t first = (uintptr_t)address / WORD;
    const uintptr_t last = ((uintptr_t)address + size - 1) / WORD;
    for (uintptr_t word = first; word <= last; word++)
        touch_line(word * WORD / LINE, (uint8_t)(1u << (word % (LINE / WORD))), write);
}

static void model_begin(void)
{
    memset(lines, 0, sizeof *lines << LINES_LOG2);
    memset(tallies, 0, sizeof tallies);
    recording = true;
}

static void model_end(void)
{
    recording = false;
    for (uint64_t i = 0; i < UINT64_C(1) << LINES_LOG2; i++) {
        for (unsigned t = 0; lines[i].number != 0 && t < threads; t++)
            residence_end(&lines[i].of[t]);
    }
}

/* ---- What the compiler calls ---- */

#define PLAIN(name, size)                                                                                              \
    void __tsan_read##name(void *address);                                                                             \
    void __tsan_write##name(void *address);                                                                            \
    void __tsan_unaligned_read##name(void *address);                                                                   \
    void __tsan_unaligned_write##name(void *address);                                                                  \
    void __tsan_read##name(void *address)                                                                              \
    {                                                                                                                  \
        touched(address, size, false);                                                                                 \
    }                                                                                                                  \
    void __tsan_write##name(void *address)                                                                             \
    {                                                                                                                  \
        touched(address, size, true);                                                                                  \
    }                                                                                                                  \
    void __tsan_unaligned_read##name(void *address)                                                                    \
    {                                                                                                                  \
        touched(address, size, false);                                                                                 \
    }                                                                                                                  \
    void __tsan_unaligned_write##name(void *address)                                                                   \
    {                                                                                                                  \
        touched(address, size, true);                                                                                  \
    }

PLAIN(1, 1)
PLAIN(2, 2)
PLAIN(4, 4)
PLAIN(8, 8)
PLAIN(16, 16)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *address, size_t size);
void __tsan_write_range(void *address, size_t size);

void __tsan_init(void) {}
void __tsan_func_entry(void *pc)
{
    (void)pc;
}
void __tsan_func_exit(void) {}
void __tsan_read_range(void *address, size_t size)
{
    touched(address, size, false);
}
void __tsan_write_range(void *address, size_t size)
{
    touched(address, size, true);
}

typedef volatile uint64_t word_at;

uint64_t __tsan_atomic64_load(const word_at *word, int order);
void __tsan_atomic64_store(word_at *word, uint64_t value, int order);
uint64_t __tsan_atomic64_exchange(word_at *word, uint64_t value, int order);
uint64_t __tsan_atomic64_fetch_add(word_at *word, uint64_t delta, int order);
uint64_t __tsan_atomic64_fetch_sub(word_at *word, uint64_t delta, int order);
int __tsan_atomic64_compare_exchange_strong(word_at *word, uint64_t *expected, uint64_t desired, int order,
                                            int failure);
uint64_t __tsan_atomic64_compare_exchange_val(word_at *word, uint64_t expected, uint64_t desired, int order,
                                              int failure);

uint64_t __tsan_atomic64_load(const word_at *word, int order)
{
    (void)order;
    touched(word, WORD, false);
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

void __tsan_atomic64_store(word_at *word, uint64_t value, int order)
{
    (void)order;
    touched(word, WORD, true);
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

uint64_t __tsan_atomic64_exchange(word_at *word, uint64_t value, int order)
{
    (void)order;
    touched(word, WORD, true);
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

uint64_t __tsan_atomic64_fetch_add(word_at *word, uint64_t delta, int order)
{
    (void)order;
    touched(word, WORD, true);
    return __atomic_fetch_add(word, delta, __ATOMIC_SEQ_CST);
}

uint64_t __tsan_atomic64_fetch_sub(word_at *word, uint64_t delta, int order)
{
    (void)order;
    touched(word, WORD, true);
    return __atomic_fetch_sub(word, delta, __ATOMIC_SEQ_CST);
}

/* A swap takes the line for itself, whether it succeeds or not. */
int __tsan_atomic64_compare_exchange_strong(word_at *word, uint64_t *expected, uint64_t desired, int order, int failure)
{
    (void)order, (void)failure;
    touched(word, WORD, true);
    return __atomic_compare_exchange_n(word, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

uint64_t __tsan_atomic64_compare_exchange_val(word_at *word, uint64_t expected, uint64_t desired, int order,
                                              int failure)
{
    __tsan_atomic64_compare_exchange_strong(word, &expected, desired, order, failure);
    return expected;
}

/* One thread at a time is in a call, so this need not be one step. */
bool soma__scheduler_cas16(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                           uint64_t desired1, int order)
{
    (void)order;
    touched(pair, 2 * sizeof *pair, true);
    if (pair[0].word != expected0 || pair[1].word != expected1)
        return false;
    pair[0].word = desired0;
    pair[1].word = desired1;
    return true;
}

/* Threads' records are the only aligned memory that the library asks for. */
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    const int error = __real_posix_memalign(memory, alignment, size);
    if (record_count == RECORDS)
        stop("more records of threads than are kept account of");
    if (error == 0)
        records[record_count++] = *memory;
    return error;
}

/* ---- The machine ---- */

long __real_sysconf(int name);
long __wrap_sysconf(int name);

/* A processor a thread, as each has a cache. */
long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN ? (long)threads : __real_sysconf(name);
}

/* ---- The work ---- */

#define ENTRIES 100000
#define TURNS 20000

struct job;
typedef void (*call_fn)(const struct job *job, uint64_t key);

struct job {
    const char *name;
    call_fn call;
    uint64_t first; /* key */
    bool words;
    bool fresh;   /* each key once */
    bool growing; /* the map begins empty */
};

static soma_u64 *words;
static soma_map *bytes;

static void get_words(const struct job *job, uint64_t key)
{
    uint64_t value;
    (void)job;
    (void)soma_u64_get(words, key, &value);
}
static void put_words(const struct job *job, uint64_t key)
{
    (void)job;
    (void)soma_u64_put(words, key, key, NULL);
}
static void add_words(const struct job *job, uint64_t key)
{
    (void)job;
    (void)soma_u64_fetch_add(words, key, 1, NULL);
}
static void remove_words(const struct job *job, uint64_t key)
{
    (void)job;
    (void)soma_u64_remove(words, key, NULL);
}
static void get_bytes(const struct job *job, uint64_t key)
{
    uint64_t value;
    size_t len;
    (void)job;
    (void)soma_map_get_copy(bytes, &key, sizeof key, &value, sizeof value, &len);
}
static void put_bytes(const struct job *job, uint64_t key)
{
    (void)job;
    (void)soma_map_put(bytes, &key, sizeof key, &key, sizeof key, NULL);
}
static void remove_bytes(const struct job *job, uint64_t key)
{
    (void)job;
    (void)soma_map_remove(bytes, &key, sizeof key, NULL);
}
static void canary_one_line(const struct job *job, uint64_t key)
{
    (void)job, (void)key;
    canary_step(CANARY_ONE_LINE, self);
}
static void canary_apart(const struct job *job, uint64_t key)
{
    (void)job, (void)key;
    canary_step(CANARY_APART, self);
}
static void canary_one_word(const struct job *job, uint64_t key)
{
    (void)job, (void)key;
    canary_step(CANARY_ONE_WORD, self);
}

static const struct job jobs[] = {
    {"words: get, hit", get_words, 0, true, false, false},
    {"words: get, miss", get_words, 1 << 24, true, false, false},
    {"words: put on a present key", put_words, 0, true, false, false},
    {"words: fetch_add on a present key", add_words, 0, true, false, false},
    {"words: insertion", put_words, 1 << 24, true, true, false},
    {"words: removal", remove_words, 0, true, true, false},
    {"words: insertion, while the table grows", put_words, 1 << 24, true, true, true},
    {"bytes: get, hit", get_bytes, 0, false, false, false},
    {"bytes: put on a present key", put_bytes, 0, false, false, false},
    {"bytes: insertion", put_bytes, 1 << 24, false, true, false},
    {"bytes: removal", remove_bytes, 0, false, true, false},
};

static struct crew {
    const struct job *job;
    sem_t turns[THREADS_MOST];
} crew;

/* Its keys are those whose number is its own modulo the number of threads. */
static uint64_t key_of(const struct job *job, uint64_t turn, unsigned thread, uint64_t *rng)
{
    *rng = *rng * UINT64_C(6364136223846793005) + 1442695040888963407;
    const uint64_t number = job->fresh ? turn : (*rng >> 33) % (ENTRIES / threads);
    return job->first + number * threads + thread;
}

static void turn_wait(unsigned thread)
{
    while (sem_wait(&crew.turns[thread]) != 0) {
    }
}

/* The first call of a thread makes its record, and is not counted. */
static void *work(void *arg)
{
    self = (unsigned)(uintptr_t)arg;
    uint64_t rng = self + 1;
    turn_wait(self);
    soma_read_enter();
    soma_read_exit();
    sem_post(&crew.turns[self + 1]);
    for (uint64_t turn = 0; turn < TURNS / threads; turn++) {
        turn_wait(self);
        const uint64_t key = key_of(crew.job, turn, self, &rng);
        in_call = true;
        crew.job->call(crew.job, key);
        in_call = false;
        sem_post(&crew.turns[self + 1 == threads && turn + 1 < TURNS / threads ? 0 : self + 1]);
    }
    return NULL;
}

static void maps_make(const struct job *job)
{
    if (soma_u64_new(NULL, &words) != SOMA_OK || soma_map_new(NULL, &bytes) != SOMA_OK)
        stop("no map");
    for (uint64_t key = 0; key < (job->growing ? 0 : ENTRIES); key++) {
        put_words(job, key);
        put_bytes(job, key);
    }
    the_map = job->words ? &words->core : &bytes->core;
}

/* The main thread has the turn behind the last one's. */
static void run(const struct job *job)
{
    pthread_t crew_threads[THREADS_MOST];
    crew.job = job;
    for (unsigned t = 0; t <= threads; t++)
        sem_init(&crew.turns[t], 0, 0);
    for (unsigned t = 0; t < threads; t++) {
        if (pthread_create(&crew_threads[t], NULL, work, (void *)(uintptr_t)t) != 0)
            stop("no thread");
    }
    sem_post(&crew.turns[0]);
    turn_wait(threads); /* all have a record */
    model_begin();
    sem_post(&crew.turns[0]);
    for (unsigned t = 0; t < threads; t++)
        pthread_join(crew_threads[t], NULL);
    model_end();
}

static void print_place(const struct job *job, const struct tally *tally)
{
    const double turns = (double)(TURNS / threads * threads);
    const double word = (double)tally->word / turns;
    const double nothing = (double)tally->nothing / turns;
    if (tally->place && word + nothing >= 0.0005)
        printf("| %s | %u | %s | %.3f | %.3f |\n", job->name, threads, tally->place, word, nothing);
}

static void measure(const struct job *job)
{
    maps_make(job);
    run(job);
    uint64_t all = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        print_place(job, &tallies[i]);
        all += tallies[i].word + tallies[i].nothing;
    }
    if (all * 2000 < TURNS)
        printf("| %s | %u | nowhere | 0 | 0 |\n", job->name, threads);
    fflush(stdout);
    the_map = NULL;
    soma_u64_free(words);
    soma_map_free(bytes);
    soma_barrier_wait();
}

/* ---- Canaries ---- */

static void canary_must(call_fn call, const char *name, bool word, bool nothing)
{
    const struct job job = {.name = name, .call = call};
    uint64_t found[2] = {0, 0};
    run(&job);
    for (unsigned i = 0; i < PLACES; i++) {
        found[0] += tallies[i].word;
        found[1] += tallies[i].nothing;
    }
    if ((found[0] > TURNS / 2) != word || (found[1] > TURNS / 2) != nothing || (!word && found[0] > 0) ||
        (!nothing && found[1] > 0)) {
        fprintf(stderr, "perf/sharing: canary %s: %llu transfers of words, %llu for nothing\n", name,
                (unsigned long long)found[0], (unsigned long long)found[1]);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    lines = calloc((size_t)1 << LINES_LOG2, sizeof *lines);
    if (!lines)
        stop("no memory");
    threads = 2;
    canary_must(canary_one_line, "two counters on one line", false, true);
    canary_must(canary_apart, "two counters apart", false, false);
    canary_must(canary_one_word, "one counter", true, false);
    printf("| operation | threads | line | transfers of a shared word | of neighbours only |\n|---|---|---|---|---|\n");
    for (int i = 1; i < argc; i++) {
        threads = (unsigned)strtoul(argv[i], NULL, 10);
        if (threads < 2 || threads > THREADS_MOST)
            stop("wants numbers of threads from 2 to 32");
        for (size_t j = 0; j < sizeof jobs / sizeof jobs[0]; j++)
            measure(&jobs[j]);
    }
    return 0;
}
