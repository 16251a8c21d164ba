/* SPDX-License-Identifier: ISC */
/* machine.c - see machine.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"

#define HEAP_BYTES ((size_t)1 << 20)
#define RANGES_MAX 48
#define RANGE_BYTES ((size_t)1 << 16)
#define ARENA_BYTES (HEAP_BYTES + RANGES_MAX * RANGE_BYTES)
/* The same in every process, so that a run is the same. */
#define ARENA_ADDRESS ((void *)(uintptr_t)0x500000000000)

#define BLOCKS_MAX 8192
#define LOCATIONS_MAX 8192
#define STORES 8
#define PROPAGATION 1000

/* ---- Clocks ---- */

#define CLOCKS 8
_Static_assert(THREADS_MAX <= CLOCKS, "a clock for each thread");

struct clock {
    uint16_t of[CLOCKS];
};

static void clock_join(struct clock *into, const struct clock *from)
{
    for (int i = 0; i < CLOCKS; i++)
        into->of[i] = into->of[i] > from->of[i] ? into->of[i] : from->of[i];
}

/* ---- What is known of memory ---- */

struct store {
    uint64_t value;
    struct clock known; /* what who acquires it comes to know: for races */
    struct clock seen;  /* the same, with what barriers have made visible: for what loads may answer */
    struct clock read;  /* when each thread first read it; 0: never */
    uint32_t step;
    uint16_t at; /* the writer's clock */
    uint8_t writer;
    bool seq;
    bool unwritten; /* what was there before any store, in memory that nobody had written */
};

struct location {
    uint32_t stores; /* so many in all; the last STORES are kept */
    struct store last[STORES];
};

enum life {
    UNALLOCATED,
    ALIVE,
    FREED,
};

/* What is known of 8 bytes. */
struct cell {
    uint32_t run; /* in which it is known */
    uint8_t life;
    uint8_t writer;   /* of the last plain write */
    uint16_t written; /* when; 0: not in this run */
    uint16_t read[THREADS_MAX];
    bool unwritten;
    struct location *atomic;
};

struct block {
    char *start;
    size_t size;
    bool freed;
};

struct range {
    char *start;
    char *committed; /* from start to here */
    bool gone;
};

static struct {
    char *arena;
    char *globals;
    size_t globals_bytes;
    const char *ignored;
    const char *ignored_end;
    struct cell *cells; /* of the arena, then of the globals */

    uint32_t run;
    bool weak;
    enum machine_bug bug;
    unsigned thread;
    struct clock known[THREADS_MAX];
    struct clock seen[THREADS_MAX];
    struct clock calls_known;
    struct clock calls_seen;

    size_t heap_used;
    unsigned blocks;
    unsigned blocks_freed;
    unsigned ranges;
    unsigned locations;
    struct range range[RANGES_MAX];
    struct block *block;
    struct location *location;
} machine;

static void *need_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("sched: mmap");
        exit(2);
    }
    return memory;
}

static void machine_set_up(void)
{
    machine.arena = mmap(ARENA_ADDRESS, ARENA_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (machine.arena != ARENA_ADDRESS) {
        perror("sched: the arena's addresses are taken");
        exit(2);
    }
    machine.cells = need_memory((ARENA_BYTES + GLOBALS_MAX) / 8 * sizeof *machine.cells);
    machine.block = need_memory(BLOCKS_MAX * sizeof *machine.block);
    machine.location = need_memory(LOCATIONS_MAX * sizeof *machine.location);
}

void machine_globals(void *from, size_t size)
{
    if (size > GLOBALS_MAX) {
        fprintf(stderr, "sched: the library has %zu bytes of globals\n", size);
        exit(2);
    }
    machine.globals = from;
    machine.globals_bytes = size;
}

bool machine_is_global(const void *address)
{
    return (size_t)((const char *)address - machine.globals) < machine.globals_bytes;
}

void machine_ignore(const void *from, const void *to)
{
    machine.ignored = from;
    machine.ignored_end = to;
}

void machine_begin(bool weak, enum machine_bug bug)
{
    if (!machine.arena)
        machine_set_up();
    machine.run++;
    machine.weak = weak;
    machine.bug = bug;
    machine.thread = 0;
    memset(machine.known, 0, sizeof machine.known);
    memset(machine.seen, 0, sizeof machine.seen);
    memset(&machine.calls_known, 0, sizeof machine.calls_known);
    memset(&machine.calls_seen, 0, sizeof machine.calls_seen);
    for (unsigned t = 0; t < THREADS_MAX; t++)
        machine.known[t].of[t] = machine.seen[t].of[t] = 1;
    machine.heap_used = 0;
    machine.blocks = 0;
    machine.blocks_freed = 0;
    machine.ranges = 0;
    machine.locations = 0;
}

enum machine_bug machine_bug(void)
{
    return machine.bug;
}

void machine_thread(unsigned thread)
{
    machine.thread = thread;
}

static void learn(unsigned thread, const struct clock *known, const struct clock *seen)
{
    clock_join(&machine.known[thread], known);
    clock_join(&machine.seen[thread], seen);
}

/* What the thread does from here on is later than what it has let others know. */
static void tick(unsigned thread)
{
    machine.seen[thread].of[thread] = ++machine.known[thread].of[thread];
    if (machine.known[thread].of[thread] == UINT16_MAX)
        run_failed("the run is too long for the scheduler's clocks");
}

void machine_fork(unsigned threads)
{
    for (unsigned t = 1; t <= threads; t++)
        learn(t, &machine.known[0], &machine.seen[0]);
    tick(0);
}

void machine_join(unsigned threads)
{
    for (unsigned t = 1; t <= threads; t++) {
        learn(0, &machine.known[t], &machine.seen[t]);
        tick(t);
    }
}

void machine_call_entered(void)
{
    learn(machine.thread, &machine.calls_known, &machine.calls_seen);
}

void machine_call_left(void)
{
    clock_join(&machine.calls_known, &machine.known[machine.thread]);
    clock_join(&machine.calls_seen, &machine.seen[machine.thread]);
    tick(machine.thread);
}

void machine_barrier(void)
{
    if (machine.bug == BUG_NO_BARRIER)
        return;
    struct clock all = {{0}};
    for (unsigned t = 0; t < THREADS_MAX; t++)
        clock_join(&all, &machine.seen[t]);
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        machine.seen[t] = all;
        tick(t);
    }
}

/* ---- Cells ---- */

static struct range *range_of(const char *address)
{
    return &machine.range[(size_t)(address - machine.arena - HEAP_BYTES) / RANGE_BYTES];
}

static enum life life_at_first(const char *address)
{
    const size_t offset = (size_t)(address - machine.arena);
    if (offset >= ARENA_BYTES)
        return ALIVE; /* a global */
    if (offset < HEAP_BYTES)
        return UNALLOCATED;
    if ((offset - HEAP_BYTES) / RANGE_BYTES >= machine.ranges)
        return UNALLOCATED;
    const struct range *range = range_of(address);
    return address < range->committed && !range->gone ? ALIVE : UNALLOCATED;
}

/* The cell of an address, or NULL if the machine does not look after it (a stack). */
static struct cell *cell_of(const void *address)
{
    const char *byte = address;
    size_t offset = (size_t)(byte - machine.arena);
    if (offset >= ARENA_BYTES) {
        offset = (size_t)(byte - machine.globals);
        if (offset >= machine.globals_bytes || (byte >= machine.ignored && byte < machine.ignored_end))
            return NULL;
        offset += ARENA_BYTES;
    }
    struct cell *cell = &machine.cells[offset / 8];
    if (cell->run != machine.run) {
        *cell = (struct cell){.run = machine.run, .life = (uint8_t)life_at_first(byte)};
        if (cell->life == UNALLOCATED)
            cell->run = 0; /* it may be committed later */
    }
    return cell;
}

static _Noreturn void bad_access(const char *what, const void *address, const char *why)
{
    char name[80];
    machine_name(address, name, sizeof name);
    run_failed("%s of %s, %s", what, name, why);
}

static void check_life(const struct cell *cell, const void *address, const char *what)
{
    if (cell->life == ALIVE)
        return;
    bad_access(what, address, cell->life == FREED ? "which is freed" : "which is not allocated");
}

/* Whether something that a thread did at this time is before what the current thread does now. */
static bool is_before(unsigned thread, uint16_t time)
{
    return time <= machine.known[machine.thread].of[thread];
}

static void check_write_before(const struct cell *cell, const void *address, const char *what)
{
    if (!is_before(cell->writer, cell->written))
        bad_access(what, address, "racing with a plain write");
}

static void check_stores_before(const struct cell *cell, const void *address, const char *what)
{
    const struct location *loc = cell->atomic;
    if (!loc)
        return;
    const struct store *store = &loc->last[(loc->stores - 1) % STORES];
    if (!is_before(store->writer, store->at))
        bad_access(what, address, "racing with an atomic store");
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        if (!is_before(t, cell->read[t]))
            bad_access(what, address, "racing with a read");
    }
}

static void read_cell(const void *address)
{
    struct cell *cell = cell_of(address);
    if (!cell)
        return;
    check_life(cell, address, "read");
    check_write_before(cell, address, "read");
    const struct location *loc = cell->atomic;
    if (loc && !is_before(loc->last[(loc->stores - 1) % STORES].writer, loc->last[(loc->stores - 1) % STORES].at))
        bad_access("read", address, "racing with an atomic store");
    if (cell->unwritten)
        bad_access("read", address, "which nobody has written");
    cell->read[machine.thread] = machine.known[machine.thread].of[machine.thread];
}

static void check_overwrite(const struct cell *cell, const void *address, const char *what)
{
    check_life(cell, address, what);
    check_write_before(cell, address, what);
    check_stores_before(cell, address, what);
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        if (!is_before(t, cell->read[t]))
            bad_access(what, address, "racing with a read");
    }
}

static void write_cell(const void *address)
{
    struct cell *cell = cell_of(address);
    if (!cell)
        return;
    check_overwrite(cell, address, "write");
    cell->atomic = NULL;
    cell->unwritten = false;
    cell->writer = (uint8_t)machine.thread;
    cell->written = machine.known[machine.thread].of[machine.thread];
}

void machine_read(const void *address, size_t size)
{
    for (uintptr_t a = (uintptr_t)address & ~(uintptr_t)7; a < (uintptr_t)address + size; a += 8)
        read_cell((const void *)a);
}

void machine_write(const void *address, size_t size)
{
    for (uintptr_t a = (uintptr_t)address & ~(uintptr_t)7; a < (uintptr_t)address + size; a += 8)
        write_cell((const void *)a);
}

/* ---- Atomic accesses ---- */

static bool acquires(int order)
{
    return machine.bug != BUG_RELAXED && order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE;
}

static bool releases(int order)
{
    return machine.bug != BUG_RELAXED && order >= __ATOMIC_RELEASE;
}

static bool is_seq(int order)
{
    return machine.bug != BUG_RELAXED && order == __ATOMIC_SEQ_CST;
}

static struct store *newest(struct location *loc)
{
    return &loc->last[(loc->stores - 1) % STORES];
}

/* What the word was before its first atomic access. Who wrote it plainly has to be before (check_write_before). */
static struct location *location_new(const uint64_t *word, struct cell *cell)
{
    if (machine.locations == LOCATIONS_MAX)
        run_failed("the run touches more atomic words than the scheduler can follow");
    struct location *loc = &machine.location[machine.locations++];
    loc->stores = 1;
    loc->last[0] = (struct store){.value = *word, .unwritten = cell->unwritten};
    cell->atomic = loc;
    return loc;
}

static struct location *location_of(uint64_t *word, const char *what)
{
    struct cell *cell = cell_of(word);
    if (!cell)
        return NULL;
    check_life(cell, word, what);
    check_write_before(cell, word, what);
    cell->read[machine.thread] = machine.known[machine.thread].of[machine.thread];
    return cell->atomic ? cell->atomic : location_new(word, cell);
}

static bool is_visible(const struct store *store, bool seq)
{
    const struct clock *seen = &machine.seen[machine.thread];
    if (store->at <= seen->of[store->writer] || (seq && store->seq))
        return true;
    if (run_step() - store->step > PROPAGATION)
        return true;
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        if (store->read.of[t] != 0 && store->read.of[t] <= seen->of[t])
            return true;
    }
    return false;
}

/* How many of the last stores a load may answer. */
static unsigned candidates(struct location *loc, bool seq)
{
    const unsigned kept = loc->stores < STORES ? loc->stores : STORES;
    unsigned n = 1;
    while (n < kept && !is_visible(&loc->last[(loc->stores - n) % STORES], seq))
        n++;
    return n;
}

static uint64_t read_store(struct store *store, const uint64_t *word, int order)
{
    const unsigned t = machine.thread;
    if (store->unwritten)
        bad_access("load", word, "which nobody has written");
    if (store->read.of[t] == 0)
        store->read.of[t] = machine.known[t].of[t];
    if (acquires(order))
        learn(t, &store->known, &store->seen);
    return store->value;
}

uint64_t machine_load(uint64_t *word, int order)
{
    struct location *loc = location_of(word, "load");
    if (!loc)
        return *word;
    unsigned back = 0;
    if (machine.weak) {
        const unsigned n = candidates(loc, is_seq(order));
        back = n > 1 ? decide_stale(n) : 0;
    }
    return read_store(&loc->last[(loc->stores - 1 - back) % STORES], word, order);
}

static void push_store(struct location *loc, uint64_t *word, uint64_t value, int order, const struct store *before)
{
    const unsigned t = machine.thread;
    tick(t);
    struct store store = {.value = value, .at = machine.known[t].of[t], .writer = (uint8_t)t, .seq = is_seq(order)};
    store.step = run_step();
    if (releases(order)) {
        store.known = machine.known[t];
        store.seen = machine.seen[t];
    }
    if (before) { /* a read-modify-write goes on with the release sequence */
        clock_join(&store.known, &before->known);
        clock_join(&store.seen, &before->seen);
    }
    loc->last[loc->stores++ % STORES] = store;
    cell_of(word)->unwritten = false;
    *word = value;
    tick(t);
}

void machine_store(uint64_t *word, uint64_t value, int order)
{
    struct location *loc = location_of(word, "store");
    if (loc)
        push_store(loc, word, value, order, NULL);
    else
        *word = value;
}

uint64_t machine_rmw_begin(uint64_t *word, int order)
{
    struct location *loc = location_of(word, "swap");
    return loc ? read_store(newest(loc), word, order) : *word;
}

void machine_rmw_end(uint64_t *word, uint64_t value, int order)
{
    struct location *loc = location_of(word, "swap");
    if (!loc) {
        *word = value;
        return;
    }
    const struct store before = *newest(loc);
    push_store(loc, word, value, order, &before);
}

void machine_written_as_one(uint64_t *first, uint64_t *second, int order)
{
    const unsigned t = machine.thread;
    uint64_t *const words[] = {first, second};
    for (int i = 0; i < 2 && releases(order); i++) {
        struct location *loc = location_of(words[i], "swap");
        if (loc) {
            clock_join(&newest(loc)->known, &machine.known[t]);
            clock_join(&newest(loc)->seen, &machine.seen[t]);
        }
    }
}

/* ---- The heap ---- */

/* Never the same place twice in a run, so that what is freed stays recognizable. */
void *machine_alloc(size_t size, size_t alignment)
{
    const size_t start = (machine.heap_used + alignment - 1) / alignment * alignment;
    const size_t rounded = (size + 7) / 8 * 8;
    if (machine.blocks == BLOCKS_MAX || start + rounded + 16 > HEAP_BYTES)
        run_failed("the run needs more memory than the scheduler has");
    char *memory = machine.arena + start;
    machine.heap_used = start + rounded + 16; /* a gap that is never allocated */
    machine.block[machine.blocks++] = (struct block){.start = memory, .size = rounded};
    for (size_t i = 0; i < rounded; i += 8) {
        struct cell *cell = &machine.cells[(start + i) / 8];
        *cell = (struct cell){.run = machine.run, .life = ALIVE, .unwritten = true};
    }
    return memory;
}

static struct block *block_of(const void *memory)
{
    for (unsigned i = machine.blocks; i-- > 0;) {
        if (machine.block[i].start == memory)
            return &machine.block[i];
    }
    run_failed("freed %p, which was never allocated", memory);
}

void machine_free(void *memory)
{
    if (!memory || machine.bug == BUG_LEAK)
        return;
    struct block *block = block_of(memory);
    for (size_t i = 0; i < block->size; i += 8) {
        struct cell *cell = cell_of(block->start + i);
        check_overwrite(cell, block->start + i, "freeing");
        cell->life = FREED;
    }
    block->freed = true;
    machine.blocks_freed++;
}

size_t machine_blocks(void)
{
    return machine.blocks - machine.blocks_freed;
}

/* ---- Ranges ---- */

void *machine_reserve(size_t size)
{
    if (machine.ranges == RANGES_MAX || size > RANGE_BYTES)
        run_failed("the run needs %zu bytes for range %u, more than the scheduler has", size, machine.ranges);
    char *start = machine.arena + HEAP_BYTES + machine.ranges * RANGE_BYTES;
    machine.range[machine.ranges++] = (struct range){.start = start, .committed = start};
    return start;
}

bool machine_commit(void *from, size_t size)
{
    struct range *range = range_of(from);
    char *end = (char *)from + size;
    if (end > range->committed) {
        memset(range->committed, 0, (size_t)(end - range->committed));
        range->committed = end;
    }
    return true;
}

bool machine_is_committed(const void *address)
{
    const struct range *range = range_of(address);
    return (const char *)address < range->committed && !range->gone;
}

static void end_life(char *from, char *to, const char *what, enum life life)
{
    for (char *a = from; a < to; a += 8) {
        const struct cell *known = &machine.cells[(size_t)(a - machine.arena) / 8];
        if (known->run != machine.run)
            continue;
        struct cell *cell = cell_of(a);
        check_overwrite(cell, a, what);
        *cell = (struct cell){.run = machine.run, .life = (uint8_t)life};
    }
}

void machine_forget(void *from, size_t size)
{
    end_life(from, (char *)from + size, "giving back", ALIVE);
    memset(from, 0, size);
}

void machine_unreserve(void *from, size_t size)
{
    struct range *range = range_of(from);
    char *end = (char *)from + size;
    end = end < range->committed ? end : range->committed;
    if ((char *)from < end)
        end_life(from, end, "unmapping", FREED);
    if (from == range->start)
        range->gone = true;
    else if ((char *)from < range->committed)
        range->committed = from;
}

size_t machine_ranges(void)
{
    size_t alive = 0;
    for (unsigned i = 0; i < machine.ranges; i++)
        alive += !machine.range[i].gone;
    return alive;
}

/* ---- Names ---- */

void machine_name(const void *address, char *text, size_t size)
{
    const char *byte = address;
    const size_t offset = (size_t)(byte - machine.arena);
    if (offset < HEAP_BYTES) {
        for (unsigned i = machine.blocks; i-- > 0;) {
            const struct block *block = &machine.block[i];
            if (byte >= block->start && byte < block->start + block->size) {
                snprintf(text, size, "block %u+%zu (%zu bytes)", i, (size_t)(byte - block->start), block->size);
                return;
            }
        }
        snprintf(text, size, "heap+%zu", offset);
    } else if (offset < ARENA_BYTES) {
        const size_t range = (offset - HEAP_BYTES) / RANGE_BYTES;
        const size_t inside = (offset - HEAP_BYTES) % RANGE_BYTES;
        const size_t buckets = 4096 - 16; /* see DIR_HEADER for small sizes */
        if (inside >= buckets)
            snprintf(text, size, "map %zu, bucket %zu", range, (inside - buckets) / 8);
        else
            snprintf(text, size, "map %zu+%zu", range, inside);
    } else if ((size_t)(byte - machine.globals) < machine.globals_bytes) {
        snprintf(text, size, "global+%zu", (size_t)(byte - machine.globals));
    } else {
        snprintf(text, size, "%p", address);
    }
}
