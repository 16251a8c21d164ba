/* SPDX-License-Identifier: ISC */
/* sample_malloc.c - preloaded: samples what a program takes from malloc, and what of it is in use at the end.
 *
 * For programs whose malloc is not a jemalloc with profiling. About every PERIOD bytes (exponentially distributed, drawn
 * a thread) an allocation is sampled: its stack is counted, its address remembered until it is freed. What comes out has
 * the form of jemalloc's heap dumps, and is scaled back in the same way. The malloc behind it stays the program's own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "stacks.h"

#define PERIOD_DEFAULT 65536
#define SAMPLED_ROOM 65536 /* sampled allocations alive at a time; a power of two */
/* Lent to dlsym(), which may want memory before malloc is known. Never given back. */
#define EARLY_BYTES 65536

enum {
    IN_USE,
    IN_USE_BYTES,
    TAKEN,
    TAKEN_BYTES
};

struct sampled {
    uintptr_t address; /* 0: never used; TOMB: used before */
    uint64_t bytes;
    struct stack *stack;
};
#define TOMB 1

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
} real;

static struct sampled sampled[SAMPLED_ROOM];
/* How many sampled addresses share a byte; free() looks here first, and hardly ever further. */
static uint32_t filter[SAMPLED_ROOM];
static uint64_t period = PERIOD_DEFAULT;
static bool ready;
static char early[EARLY_BYTES] __attribute__((aligned(16)));
static size_t early_used;

static __thread int64_t bytes_left __attribute__((tls_model("initial-exec")));
static __thread uint64_t random_state __attribute__((tls_model("initial-exec")));
static __thread bool busy __attribute__((tls_model("initial-exec")));

/* ---- When to sample ---- */

static int64_t draw_distance(void)
{
    if (random_state == 0)
        random_state = (uintptr_t)&random_state * UINT64_C(0x9e3779b97f4a7c15) | 1;
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    const double uniform = ((double)(random_state >> 11) + 1) / 9007199254740993.0;
    return (int64_t)(-log(uniform) * (double)period) + 1;
}

/* ---- What is sampled ---- */

static size_t slot_of(uintptr_t address)
{
    return (address * UINT64_C(0x9e3779b97f4a7c15)) >> 48;
}

static void remember(uintptr_t address, uint64_t bytes, struct stack *stack)
{
    const size_t first = slot_of(address);
    for (size_t i = 0; i < SAMPLED_ROOM; i++) {
        struct sampled *slot = &sampled[(first + i) % SAMPLED_ROOM];
        if (slot->address > TOMB)
            continue;
        *slot = (struct sampled){.address = address, .bytes = bytes, .stack = stack};
        __atomic_fetch_add(&filter[first], 1, __ATOMIC_RELAXED);
        stack->counts[IN_USE]++;
        stack->counts[IN_USE_BYTES] += bytes;
        return;
    }
    stacks_lost++;
}

static void sample(void *memory, size_t bytes)
{
    void *frames[STACK_DEPTH];
    busy = true;
    const int skip = 2; /* this function and the one that the program called */
    const int depth = backtrace(frames, STACK_DEPTH) - skip;
    pthread_mutex_lock(&stacks_lock);
    struct stack *stack = depth > 0 ? stack_find(frames + skip, depth, 0) : NULL;
    if (stack) {
        stack->counts[TAKEN]++;
        stack->counts[TAKEN_BYTES] += bytes;
        remember((uintptr_t)memory, bytes, stack);
    }
    pthread_mutex_unlock(&stacks_lock);
    busy = false;
}

/* Inlined, so that sample() knows how many frames are ours. */
static inline __attribute__((always_inline)) void taken(void *memory, size_t bytes)
{
    if (!memory || !ready || busy)
        return;
    bytes_left -= (int64_t)bytes;
    if (bytes_left > 0)
        return;
    const bool first = random_state == 0;
    bytes_left = draw_distance();
    if (!first)
        sample(memory, bytes);
}

static void given_back(void *memory)
{
    const size_t first = slot_of((uintptr_t)memory);
    if (__atomic_load_n(&filter[first], __ATOMIC_RELAXED) == 0)
        return;
    pthread_mutex_lock(&stacks_lock);
    for (size_t i = 0; i < SAMPLED_ROOM; i++) {
        struct sampled *slot = &sampled[(first + i) % SAMPLED_ROOM];
        if (slot->address == 0)
            break;
        if (slot->address != (uintptr_t)memory)
            continue;
        slot->stack->counts[IN_USE]--;
        slot->stack->counts[IN_USE_BYTES] -= slot->bytes;
        slot->address = TOMB;
        __atomic_fetch_sub(&filter[first], 1, __ATOMIC_RELAXED);
        break;
    }
    pthread_mutex_unlock(&stacks_lock);
}

/* ---- The malloc family ---- */

static void *early_alloc(size_t bytes)
{
    const size_t start = __atomic_fetch_add(&early_used, (bytes + 15) & ~(size_t)15, __ATOMIC_RELAXED);
    return start + bytes <= EARLY_BYTES ? early + start : NULL;
}

static bool is_early(const void *memory)
{
    return (const char *)memory >= early && (const char *)memory < early + EARLY_BYTES;
}

/* C has no cast from an object to a function; POSIX has them in the same form. */
static void look_up(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

/* malloc last: as long as it is not known, memory comes from `early`. */
static void find_real(void)
{
    look_up(&real.free, "free");
    look_up(&real.calloc, "calloc");
    look_up(&real.realloc, "realloc");
    look_up(&real.posix_memalign, "posix_memalign");
    look_up(&real.aligned_alloc, "aligned_alloc");
    look_up(&real.malloc, "malloc");
}

void *malloc(size_t bytes)
{
    if (!real.malloc)
        return early_alloc(bytes);
    void *memory = real.malloc(bytes);
    taken(memory, bytes);
    return memory;
}

void free(void *memory)
{
    if (!memory || is_early(memory))
        return;
    given_back(memory);
    real.free(memory);
}

void *calloc(size_t count, size_t size)
{
    if (!real.malloc)
        return early_alloc(count * size); /* the array is zero, and used once */
    void *memory = real.calloc(count, size);
    taken(memory, count * size);
    return memory;
}

void *realloc(void *memory, size_t bytes)
{
    if (!real.malloc || is_early(memory)) {
        void *copy = malloc(bytes);
        if (copy && memory)
            memcpy(copy, memory,
                   (size_t)(early + EARLY_BYTES - (char *)memory) < bytes
                       ? (size_t)(early + EARLY_BYTES - (char *)memory)
                       : bytes);
        return copy;
    }
    if (memory)
        given_back(memory);
    void *moved = real.realloc(memory, bytes);
    taken(moved, bytes);
    return moved;
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    const int error = real.posix_memalign(out, alignment, bytes);
    if (error == 0)
        taken(*out, bytes);
    return error;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    void *memory = real.aligned_alloc(alignment, bytes);
    taken(memory, bytes);
    return memory;
}

/* ---- Beginning and end ---- */

static void print_counts(FILE *file, const uint64_t *counts)
{
    fprintf(file, "  t*: %llu: %llu [%llu: %llu]\n", (unsigned long long)counts[IN_USE],
            (unsigned long long)counts[IN_USE_BYTES], (unsigned long long)counts[TAKEN],
            (unsigned long long)counts[TAKEN_BYTES]);
}

static __attribute__((destructor)) void finish(void)
{
    busy = true;
    FILE *file = stacks_open(getenv("SOMA_SAMPLE_MALLOC"));
    if (!file)
        return;
    pthread_mutex_lock(&stacks_lock);
    fprintf(file, "heap_v2/%llu\n", (unsigned long long)period);
    for (int i = 0; i < STACK_ROOM; i++) {
        if (stacks[i].depth == 0)
            continue;
        stack_print_frames(file, &stacks[i]);
        print_counts(file, stacks[i].counts);
    }
    if (stacks_lost)
        fprintf(file, "LOST %llu\n", (unsigned long long)stacks_lost);
    pthread_mutex_unlock(&stacks_lock);
    stacks_print_mappings(file);
    fclose(file);
}

static void fork_child(void)
{
    pthread_mutex_init(&stacks_lock, NULL);
    memset(stacks, 0, sizeof stacks);
    memset(sampled, 0, sizeof sampled);
    memset(filter, 0, sizeof filter);
}

static __attribute__((constructor)) void begin(void)
{
    void *frame;
    find_real();
    backtrace(&frame, 1); /* it loads a library the first time */
    const char *given = getenv("SOMA_SAMPLE_MALLOC_PERIOD");
    if (given && strtoull(given, NULL, 10) > 0)
        period = strtoull(given, NULL, 10);
    pthread_atfork(NULL, NULL, fork_child);
    ready = true;
}
