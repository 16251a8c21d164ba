/* SPDX-License-Identifier: ISC */
/* fault.c - memory that cannot be had. A scenario runs again and again, each time in a fresh process: the n-th call for
 * memory fails, for n = 1, 2, ... until the scenario asks for memory less than n times; then again with every call from
 * the n-th on failing. A call may answer SOMA_E_NOMEM; then the map must be as it was. Nothing may abort or hang, no
 * value may be lost or retired twice. The linker sends the library's calls for memory through the functions below. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"
#include "support.h"

/* ---- Injection ---- */

static atomic_bool armed; /* only the calls under test fail */
static atomic_ulong asked;
static atomic_ulong refused;
static unsigned long first_refused; /* 0 = none */
static bool refuse_all_after;

static bool refuse(void)
{
    if (!atomic_load(&armed))
        return false;
    const unsigned long number = atomic_fetch_add(&asked, 1) + 1;
    const bool no = first_refused != 0 && (number == first_refused || (refuse_all_after && number > first_refused));
    if (no)
        atomic_fetch_add(&refused, 1);
    return no;
}

/* With 64-bit file offsets, mmap() is mmap64() to the linker. */
#define ENTRY __attribute__((used))
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *address, size_t size, int protection);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *address, size_t size, int protection);

ENTRY void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

ENTRY void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

ENTRY void *__wrap_realloc(void *memory, size_t size)
{
    return refuse() ? NULL : __real_realloc(memory, size);
}

ENTRY void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return refuse() ? NULL : __real_aligned_alloc(alignment, size);
}

ENTRY int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    return refuse() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

ENTRY void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (!refuse())
        return __real_mmap64(address, size, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

ENTRY int __wrap_mprotect(void *address, size_t size, int protection)
{
    if (!refuse())
        return __real_mprotect(address, size, protection);
    errno = ENOMEM;
    return -1;
}

/* ---- The oracle ---- */

#define KEYS 700
#define VALUES 20000

static struct {
    const struct kind *kind;
    void *map;
    bool there[KEYS];
    uint64_t value[KEYS];
    uint64_t count;
    uint64_t next_value;
    unsigned char left[VALUES];
    unsigned char retired[VALUES];
} world;

static void on_retire(uint64_t value, void *ctx)
{
    (void)ctx;
    if (EXPECT(value < VALUES))
        world.retired[value]++;
}

static const struct kind_options options = {.retired = on_retire};

static void store(uint64_t key, uint64_t value)
{
    if (world.there[key])
        world.left[world.value[key]]++;
    else
        world.count++;
    world.there[key] = true;
    world.value[key] = value;
}

static void drop(uint64_t key)
{
    world.left[world.value[key]]++;
    world.there[key] = false;
    world.count--;
}

/* Lookups work whatever happens to memory, so they run armed too. */
static void check_all(void)
{
    atomic_store(&armed, true);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(world.kind->get(world.map, key, &value), world.there[key] ? SOMA_OK : SOMA_ABSENT);
        EXPECT_EQ(value, world.there[key] ? world.value[key] : 0);
    }
    EXPECT_EQ(world.kind->count(world.map), world.count);
    atomic_store(&armed, false);
    verified(KEYS);
}

/* After each call under test: whether it did what it should. If it did not, it must have been for want of memory, and
 * the map is looked through. */
static bool done(enum soma_status status, enum soma_status want)
{
    atomic_store(&armed, false);
    verified(1);
    if (status == want)
        return true;
    EXPECT_EQ(status, SOMA_E_NOMEM);
    EXPECT(atomic_load(&refused) > 0);
    check_all();
    return false;
}

static uint64_t fresh_value(void)
{
    if (world.next_value == VALUES)
        abort();
    return world.next_value++;
}

static void arm(void)
{
    atomic_store(&armed, true);
}

/* ---- The verbs ---- */

static void do_put(uint64_t key)
{
    const uint64_t value = fresh_value();
    uint64_t old = 0;
    arm();
    if (done(world.kind->put(world.map, key, value, &old), world.there[key] ? SOMA_REPLACED : SOMA_INSERTED)) {
        EXPECT_EQ(old, world.there[key] ? world.value[key] : 0);
        store(key, value);
    }
}

static void do_replace(uint64_t key)
{
    const uint64_t value = fresh_value();
    arm();
    if (done(world.kind->replace(world.map, key, value, NULL), world.there[key] ? SOMA_REPLACED : SOMA_ABSENT) &&
        world.there[key])
        store(key, value);
}

static void do_cas(uint64_t key)
{
    const uint64_t value = fresh_value();
    if (!world.there[key])
        return;
    arm();
    if (done(world.kind->cas(world.map, key, world.value[key], value, NULL), SOMA_REPLACED))
        store(key, value);
}

static void do_remove(uint64_t key)
{
    arm();
    if (done(world.kind->remove(world.map, key, NULL), world.there[key] ? SOMA_REMOVED : SOMA_ABSENT) &&
        world.there[key])
        drop(key);
}

static void do_remove_if(uint64_t key)
{
    if (!world.there[key])
        return;
    arm();
    if (done(world.kind->remove_if(world.map, key, world.value[key], NULL), SOMA_REMOVED))
        drop(key);
}

static enum soma_status answer_stored(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = *(const uint64_t *)ctx;
    return SOMA_OK;
}

static void do_update(uint64_t key)
{
    uint64_t value = fresh_value();
    arm();
    if (done(world.kind->update(world.map, key, answer_stored, &value),
             world.there[key] ? SOMA_REPLACED : SOMA_INSERTED))
        store(key, value);
}

static void do_put_many(uint64_t from)
{
    uint64_t keys[KIND_MANY];
    uint64_t values[KIND_MANY];
    size_t stored = KIND_MANY + 1;
    for (uint64_t i = 0; i < KIND_MANY; i++) {
        keys[i] = (from + i) % KEYS;
        values[i] = fresh_value();
    }
    arm();
    const enum soma_status status = world.kind->put_many(world.map, keys, values, KIND_MANY, &stored);
    atomic_store(&armed, false);
    EXPECT(status == SOMA_OK ? stored == KIND_MANY : stored < KIND_MANY);
    for (uint64_t i = 0; i < stored && i < KIND_MANY; i++)
        store(keys[i], values[i]);
    done(status, SOMA_OK);
}

/* An error leaves some keys in: those are still to be found, with their values. */
static void do_clear(void)
{
    arm();
    const enum soma_status status = world.kind->clear(world.map);
    atomic_store(&armed, false);
    for (uint64_t key = 0; key < KEYS; key++) {
        if (world.there[key] && world.kind->get(world.map, key, NULL) == SOMA_ABSENT)
            drop(key);
    }
    if (done(status, SOMA_OK))
        EXPECT_EQ(world.count, 0);
}

static atomic_uint calls_due;
static atomic_uint calls_run;

static void count_call(void *arg)
{
    (void)arg;
    atomic_fetch_add(&calls_run, 1);
}

static void do_retire(uint64_t key)
{
    (void)key;
    arm();
    if (done(soma_retire(count_call, NULL), SOMA_OK))
        atomic_fetch_add(&calls_due, 1);
}

/* ---- Scenarios ---- */

static void on_keys(void (*verb)(uint64_t key), uint64_t from, uint64_t to)
{
    for (uint64_t key = from; key < to; key++)
        verb(key);
}

/* A map that cannot be made leaves the out pointer alone; then one is made without faults. */
static void open_map(void)
{
    void *map = &world;
    arm();
    const enum soma_status status = world.kind->open(&options, &map);
    atomic_store(&armed, false);
    if (status == SOMA_OK) {
        world.map = map;
        return;
    }
    EXPECT_EQ(status, SOMA_E_NOMEM);
    EXPECT(atomic_load(&refused) > 0);
    world.map = kind_open(world.kind, &options);
}

static void reserve_and_shrink(void)
{
    arm();
    done(world.kind->reserve(world.map, 30000), SOMA_OK);
    arm();
    done(world.kind->shrink(world.map), SOMA_OK);
}

static void close_map(void)
{
    arm();
    world.kind->close(world.map);
    atomic_store(&armed, false);
    soma_barrier_wait();
    for (uint64_t key = 0; key < KEYS; key++) {
        if (world.there[key])
            drop(key);
    }
    for (uint64_t value = 0; value < world.next_value; value++)
        EXPECT_EQ(world.retired[value], world.left[value]);
    EXPECT_EQ(atomic_load(&calls_run), atomic_load(&calls_due));
}

static void every_verb(void)
{
    open_map();
    on_keys(do_put, 0, KEYS);
    on_keys(do_put, 100, 200);
    on_keys(do_replace, 0, 150);
    on_keys(do_cas, 300, 400);
    on_keys(do_update, 200, 300);
    check_all();
    on_keys(do_remove, 0, 550);
    on_keys(do_remove_if, 550, 600);
    on_keys(do_retire, 0, 300);
    on_keys(do_update, 0, 50);
    do_put_many(20);
    do_put_many(KEYS - 30);
    reserve_and_shrink();
    check_all();
    do_clear();
    on_keys(do_put, 0, 100);
    check_all();
    close_map();
}

/* ---- One process a run ---- */

struct result {
    unsigned long asked;
    unsigned long refused;
};

/* Whether the child did all that it should, in time. */
static bool run_child(void (*scenario)(void), unsigned long refuse_from, bool all_after, struct result *result)
{
    int ends[2];
    int status = -1;
    if (pipe(ends) != 0)
        abort();
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        watchdog(20);
        first_refused = refuse_from;
        refuse_all_after = all_after;
        scenario();
        const struct result found = {atomic_load(&asked), atomic_load(&refused)};
        const bool told = write(ends[1], &found, sizeof found) == (ssize_t)sizeof found;
        _exit(failures() > 0 || !told);
    }
    close(ends[1]);
    const bool told = read(ends[0], result, sizeof *result) == (ssize_t)sizeof *result;
    close(ends[0]);
    waitpid(child, &status, 0);
    if (told && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "with call %lu for memory refused%s: wait status %#x\n", refuse_from,
            all_after ? ", and all after it" : "", (unsigned)status);
    return false;
}

/* All of the first, then some: most of the later ones are alike. */
static unsigned long next_number(unsigned long number)
{
    return number < 60 ? number + 1 : number + number / 12;
}

struct setup {
    int kind;
    bool all_after;
};

static void faults(const void *arg)
{
    const struct setup *setup = arg;
    struct result result = {0, 0};
    unsigned long runs = 0;
    world.kind = &kinds[setup->kind];
    EXPECT(run_child(every_verb, 0, false, &result));
    EXPECT(result.asked > 50 && result.refused == 0);
    const unsigned long all = result.asked;
    for (unsigned long number = 1; number <= all && failures() == 0; number = next_number(number)) {
        result = (struct result){0, 0};
        EXPECT(run_child(every_verb, number, setup->all_after, &result));
        EXPECT(result.refused >= 1);
        runs++;
    }
    verified(runs);
}

/* ---- A reader without a record ---- */

static atomic_int stage;

static void wait_for_stage(int wanted)
{
    while (atomic_load(&stage) < wanted)
        sleep_ms(1);
}

static void read_without_memory(unsigned index, void *arg)
{
    (void)index, (void)arg;
    uint64_t value = 0;
    arm();
    soma_read_enter();
    EXPECT_EQ(world.kind->get(world.map, 1, &value), SOMA_OK);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(world.kind->remove(world.map, 1, NULL), SOMA_E_NOMEM);
    EXPECT_EQ(soma_retire(count_call, NULL), SOMA_E_NOMEM);
    atomic_store(&armed, false);
    atomic_store(&stage, 1);
    wait_for_stage(2);
    soma_read_exit();
    atomic_store(&stage, 3);
}

/* "If that fails the section still protects": what is retired while it is open stays. */
static void protects(void)
{
    struct crew reader;
    world.kind = &kinds[0];
    world.map = kind_open(world.kind, &options);
    EXPECT_EQ(world.kind->put(world.map, 1, 1, NULL), SOMA_INSERTED);
    crew_start(&reader, 1, read_without_memory, NULL);
    wait_for_stage(1);
    EXPECT(atomic_load(&refused) > 0);
    EXPECT_EQ(soma_retire(count_call, NULL), SOMA_OK);
    for (uint64_t i = 0; i < 5000; i++) {
        EXPECT(world.kind->put(world.map, 2, i, NULL) >= 0);
        EXPECT(world.kind->remove(world.map, 2, NULL) >= 0);
    }
    sleep_ms(50);
    EXPECT_EQ(atomic_load(&calls_run), 0);
    atomic_store(&stage, 2);
    crew_join(&reader);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&calls_run), 1);
    EXPECT_EQ(atomic_load(&stage), 3);
    world.kind->close(world.map);
}

static void reader_without_record(const void *arg)
{
    struct result result = {0, 0};
    (void)arg;
    EXPECT(run_child(protects, 1, true, &result));
    EXPECT(result.refused > 0);
    verified(1);
}

/* ---- Canaries: a scenario that loses something, one that hangs on to it, one that aborts ---- */

static void loses_a_key(void)
{
    open_map();
    on_keys(do_put, 0, 50);
    world.kind->remove(world.map, 7, NULL);
    check_all();
}

static void retires_twice(void)
{
    open_map();
    on_keys(do_put, 0, 50);
    on_retire(3, NULL);
    close_map();
}

static void aborts(void)
{
    open_map();
    abort();
}

static void canary(const void *arg)
{
    struct result result = {0, 0};
    (void)arg;
    world.kind = &kinds[0];
    if (freopen("/dev/null", "w", stderr) == NULL) /* their complaints are wanted by nobody */
        abort();
    EXPECT(!run_child(loses_a_key, 0, false, &result));
    EXPECT(!run_child(retires_twice, 0, false, &result));
    EXPECT(!run_child(aborts, 0, false, &result));
    verified(3);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-one", faults, &(const struct setup){0, false}},
        {"u64-all-after", faults, &(const struct setup){0, true}},
        {"map-one", faults, &(const struct setup){1, false}},
        {"map-all-after", faults, &(const struct setup){1, true}},
        {"reader-without-record", reader_without_record, NULL},
        {"canary", canary, NULL}, /* last: it closes standard error */
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
