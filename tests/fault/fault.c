/* SPDX-License-Identifier: ISC */
/* fault.c - memory that cannot be had. A scenario runs again and again, each time in a fresh process: the n-th call for
 * memory fails, for n = 1, 2, ... until the scenario asks for memory less than n times; then again with every call from
 * the n-th on failing. A call may answer SOMA_E_NOMEM; then the map must be as it was. Nothing may abort or hang, no
 * value may be lost or retired twice. The linker sends the library's calls for memory through the functions below, which
 * keep an account of every site in lib/ that asks: each must have been asked, and refused.
 *
 * What the library asks for before main() is refused in a process of its own (`--set-up`): the key by which threads give
 * up their records, the kernel's barrier, random numbers, the fork handlers.
 *
 * Later ones of many calls are sampled; with `--every` each is refused once. */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <soma_config.h>

#include "diff/patch.h"
#include "kinds.h"
#include "support.h"

/* ---- Injection ---- */

static atomic_bool armed; /* only the calls under test fail */
static atomic_ulong asked;
static atomic_ulong refused;
static unsigned long first_refused; /* 0 = none */
static bool refuse_all_after;

/* Where lib/ asks for memory. One table for all processes of a run. */
enum site {
    RECORD,
    RECORD_KEY,
    BATCH,
    WORD_ENTRY,
    BYTE_ENTRY,
    CURSOR,
    CURSOR_BYTES,
    VIEW,
    PATCH,
    RANGE,
    FIRST_PAGE,
    MORE_PAGES,
    STRIPES,
    STRIPES_PAGES,
    VIEW_SLOTS,
    OTHER,
    SITES
};

static const char *const site_names[SITES] = {
    [RECORD] = "a thread's record",          [RECORD_KEY] = "a thread's key",
    [BATCH] = "a batch of retired memory",   [WORD_ENTRY] = "an entry of a word map",
    [BYTE_ENTRY] = "an entry of a byte map", [CURSOR] = "a cursor",
    [CURSOR_BYTES] = "a cursor's bytes",     [VIEW] = "a view, and what is made of it",
    [PATCH] = "a patch, and what it needs",  [RANGE] = "a map's addresses",
    [FIRST_PAGE] = "a map's first page",     [VIEW_SLOTS] = "slots for views",
    [STRIPES] = "addresses for stripes",     [STRIPES_PAGES] = "pages for stripes",
    [MORE_PAGES] = "pages for growth",       [OTHER] = "something unknown",
};

static struct site_account {
    atomic_ulong granted;
    atomic_ulong refused;
} * accounts;

/* A batch has 4 KiB, entries here some hundred bytes at the most. */
#define BATCH_LEAST 4000
/* A view has some words, a block of slots many. */
#define SLOTS_LEAST 200

/* On a machine with so many processors a large map has as many stripes, and no other addresses have this size. */
#define PROCESSORS 64
#define STRIPES_BYTES ((size_t)64 * 128)

static const void *stripes; /* the latest */

static bool in_byte_map;    /* whose entries those are */
static bool in_opening;     /* the first commitment of a map */
static bool in_cursor_open; /* nothing else asks for memory in a cursor's calls */
static bool in_cursor_next;
static bool in_view_calls;   /* opening, sorting, copying and comparing */
static bool in_viewing;      /* a view is being opened */
static bool in_patch_calls;  /* making, inverting, composing and applying */
static bool set_up_refused;  /* something before main() */
static bool advice_declined; /* madvise() fails, as it does on locked memory */

static bool refuse(enum site site)
{
    if (!atomic_load(&armed))
        return false;
    const unsigned long number = atomic_fetch_add(&asked, 1) + 1;
    const bool no = first_refused != 0 && (number == first_refused || (refuse_all_after && number > first_refused));
    if (accounts)
        atomic_fetch_add(no ? &accounts[site].refused : &accounts[site].granted, 1);
    if (no)
        atomic_fetch_add(&refused, 1);
    return no;
}

static enum site malloc_site(size_t size)
{
    if (in_cursor_open || in_cursor_next)
        return in_cursor_open ? CURSOR : CURSOR_BYTES;
    if (in_patch_calls)
        return PATCH;
    if (in_view_calls)
        return VIEW;
    if (in_viewing && size < BATCH_LEAST)
        return size < SLOTS_LEAST ? VIEW : VIEW_SLOTS;
    return size >= BATCH_LEAST ? BATCH : in_byte_map ? BYTE_ENTRY : WORD_ENTRY;
}

/* Before main(): the environment names what is refused. */
static bool refuse_set_up(const char *what)
{
    const char *const wanted = getenv("SOMA_TEST_REFUSE");
    const bool no = wanted && strcmp(wanted, what) == 0;
    set_up_refused |= no;
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
long __real_sysconf(int name);
int __real_mprotect(void *address, size_t size, int protection);
int __real_madvise(void *address, size_t size, int advice);
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __real_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
ssize_t __real_getrandom(void *buffer, size_t size, unsigned flags);
long __real_syscall(long number, ...);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *address, size_t size, int protection);
long __wrap_sysconf(int name);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);
long __wrap_syscall(long number, ...);

ENTRY void *__wrap_malloc(size_t size)
{
    return refuse(malloc_site(size)) ? NULL : __real_malloc(size);
}

ENTRY void *__wrap_calloc(size_t count, size_t size)
{
    return refuse(OTHER) ? NULL : __real_calloc(count, size);
}

ENTRY void *__wrap_realloc(void *memory, size_t size)
{
    return refuse(OTHER) ? NULL : __real_realloc(memory, size);
}

ENTRY void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return refuse(OTHER) ? NULL : __real_aligned_alloc(alignment, size);
}

ENTRY int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    return refuse(RECORD) ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

ENTRY int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return refuse(RECORD_KEY) ? ENOMEM : __real_pthread_setspecific(key, value);
}

ENTRY void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (refuse(size == STRIPES_BYTES ? STRIPES : RANGE)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *range = __real_mmap64(address, size, protection, flags, file, offset);
    if (size == STRIPES_BYTES)
        stripes = range;
    return range;
}

ENTRY int __wrap_mprotect(void *address, size_t size, int protection)
{
    const enum site site = in_opening ? FIRST_PAGE : address == stripes ? STRIPES_PAGES : MORE_PAGES;
    in_opening = false;
    if (!refuse(site))
        return __real_mprotect(address, size, protection);
    errno = ENOMEM;
    return -1;
}

ENTRY long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN ? PROCESSORS : __real_sysconf(name);
}

ENTRY int __wrap_madvise(void *address, size_t size, int advice)
{
    if (!advice_declined)
        return __real_madvise(address, size, advice);
    atomic_fetch_add(&refused, 1);
    errno = EINVAL;
    return -1;
}

ENTRY int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    return refuse_set_up("key") ? EAGAIN : __real_pthread_key_create(key, destroy);
}

ENTRY int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return refuse_set_up("fork-handlers") ? ENOMEM : __real_pthread_atfork(before, parent, child);
}

ENTRY ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
    if (!refuse_set_up("random"))
        return __real_getrandom(buffer, size, flags);
    errno = ENOSYS;
    return -1;
}

/* The library's calls have at most three arguments. */
ENTRY long __wrap_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    const long a = va_arg(list, long);
    const long b = va_arg(list, long);
    const long c = va_arg(list, long);
    va_end(list);
    if (number != SYS_membarrier || !refuse_set_up("barrier"))
        return __real_syscall(number, a, b, c);
    errno = ENOSYS;
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

/* Views, each with what the map held when it was opened. */
#define VIEWS 3

static struct {
    soma_view *view;
    bool there[KEYS];
    uint64_t value[KEYS];
    uint64_t count;
} views[VIEWS];

static void on_retire(uint64_t value, void *ctx)
{
    (void)ctx;
    if (EXPECT(value < VALUES))
        world.retired[value]++;
}

static const struct kind_options options = {
    .flags = HAVE_STRONG ? SOMA_DIGEST | SOMA_DIGEST_STRONG : SOMA_DIGEST,
    .retired = on_retire,
};

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

static void check_view(int v)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(world.kind->view_get(views[v].view, key, &value), views[v].there[key] ? SOMA_OK : SOMA_ABSENT);
        EXPECT_EQ(value, views[v].there[key] ? views[v].value[key] : 0);
    }
    EXPECT_EQ(soma_view_count(views[v].view), views[v].count);
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
    for (int v = 0; v < VIEWS; v++) {
        if (views[v].view)
            check_view(v);
    }
    atomic_store(&armed, false);
    verified(KEYS);
}

/* Of the calls that fail, all of the first and some of the others have the whole map looked at. */
#define LOOK_FIRST 40
#define LOOK_EVERY 16

static bool look_now(void)
{
    static unsigned long missed;
    return ++missed < LOOK_FIRST || missed % LOOK_EVERY == 0;
}

/* After each call under test: whether it did what it should. If it did not, it must have been for want of memory, and
 * the map is looked through. */
static bool done_without_map(enum soma_status status, enum soma_status want)
{
    atomic_store(&armed, false);
    verified(1);
    if (status == want)
        return true;
    EXPECT_EQ(status, SOMA_E_NOMEM);
    EXPECT(atomic_load(&refused) > 0);
    return false;
}

static bool done(enum soma_status status, enum soma_status want)
{
    if (done_without_map(status, want))
        return true;
    if (look_now())
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

static void do_put_new(uint64_t key)
{
    const uint64_t value = fresh_value();
    arm();
    if (done(world.kind->put_new(world.map, key, value, NULL), world.there[key] ? SOMA_EXISTS : SOMA_INSERTED) &&
        !world.there[key])
        store(key, value);
}

/* To a value that no other is equal to. Words only: the byte map adds to bare words, which are no ids. */
static void do_fetch_add(uint64_t key)
{
    const uint64_t value = fresh_value();
    if (world.kind != &kinds[0])
        return;
    arm();
    if (done(world.kind->fetch_add(world.map, key, value - (world.there[key] ? world.value[key] : 0), NULL),
             world.there[key] ? SOMA_REPLACED : SOMA_INSERTED))
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

/* A pass that is refused memory has told what it took; the rest is still there, from the place on. */
static void do_take(void)
{
    uint64_t place = 0;
    uint64_t keys[8];
    uint64_t values[8];
    for (bool more = true; more;) {
        size_t taken = 9;
        arm();
        const enum soma_status status = world.kind->take(world.map, &place, 8, keys, values, &taken);
        atomic_store(&armed, false);
        EXPECT(status == SOMA_OK ? taken == 8 : taken <= 8);
        for (size_t i = 0; i < taken && i < 8; i++) {
            EXPECT(world.there[keys[i]] && world.value[keys[i]] == values[i]);
            drop(keys[i]);
        }
        more = status == SOMA_OK;
        if (more)
            continue;
        if (done(status, SOMA_END))
            EXPECT_EQ(world.count, 0);
    }
}

/* Whether there was one; without memory, the same call finds it as soon as there is some. */
static bool next_entry(soma_cursor *cursor, uint64_t *key, uint64_t *value)
{
    in_cursor_next = true;
    arm();
    enum soma_status status = world.kind->next(cursor, key, value);
    if (status != SOMA_END && !done_without_map(status, SOMA_OK))
        status = world.kind->next(cursor, key, value);
    atomic_store(&armed, false);
    in_cursor_next = false;
    EXPECT(status == SOMA_OK || status == SOMA_END);
    return status == SOMA_OK;
}

static void do_walk(void)
{
    soma_cursor *cursor = NULL;
    bool given[KEYS] = {false};
    uint64_t count = 0;
    uint64_t key = 0;
    uint64_t value = 0;
    in_cursor_open = true;
    arm();
    const bool opened = done_without_map(world.kind->walk(world.map, &cursor), SOMA_OK);
    in_cursor_open = false;
    EXPECT_EQ(opened, cursor != NULL);
    if (!opened)
        return;
    for (; next_entry(cursor, &key, &value); count++) {
        EXPECT(key < KEYS && !given[key] && world.there[key] && world.value[key] == value);
        given[key % KEYS] = true;
    }
    EXPECT_EQ(count, world.count);
    soma_cursor_close(cursor);
}

static enum soma_status open_view(soma_view **view)
{
    return world.kind == &kinds[0] ? soma_u64_view_open(world.map, view) : soma_map_view_open(world.map, view);
}

static enum soma_status copy_view(const soma_view *view, void **copy)
{
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    const enum soma_status status = world.kind == &kinds[0] ? soma_u64_copy(view, NULL, NULL, NULL, &words)
                                                            : soma_map_copy(view, NULL, NULL, NULL, &bytes);
    *copy = world.kind == &kinds[0] ? (void *)words : (void *)bytes;
    return status;
}

static void check_sorted(soma_cursor *cursor)
{
    uint64_t key = 0;
    uint64_t value = 0;
    uint64_t count = 0;
    for (; world.kind->next(cursor, &key, &value) == SOMA_OK; count++)
        EXPECT(key < KEYS && world.there[key] && world.value[key] == value);
    EXPECT_EQ(count, world.count);
}

static void check_copy(void *copy)
{
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(world.kind->get(copy, key, NULL), world.there[key] ? SOMA_OK : SOMA_ABSENT);
    EXPECT_EQ(world.kind->count(copy), world.count);
}

static void check_strong(const soma_view *view)
{
    const enum soma_status want = HAVE_STRONG ? SOMA_OK : SOMA_E_UNSUPPORTED;
    struct soma_digest_strong digest = {.count = UINT64_MAX};
    arm();
    const bool summed = done_without_map(soma_view_digest_strong(view, &digest), want) && HAVE_STRONG;
    EXPECT_EQ(digest.count, summed ? world.count : UINT64_MAX);
}

/* A view, and what can be made of it: done, or not at all. */
static void do_view(void)
{
    soma_view *view = NULL;
    soma_cursor *sorted = NULL;
    void *copy = NULL;
    bool equal = false;
    in_view_calls = true;
    arm();
    const bool opened = done_without_map(open_view(&view), SOMA_OK);
    EXPECT_EQ(opened, view != NULL);
    if (opened) {
        arm();
        if (done_without_map(soma_cursor_open_sorted(view, &sorted), SOMA_OK))
            check_sorted(sorted);
        arm();
        if (done_without_map(copy_view(view, &copy), SOMA_OK))
            check_copy(copy);
        else
            EXPECT(!copy);
        arm();
        const bool compared = done_without_map(soma_view_equal(view, view, &equal), SOMA_OK);
        EXPECT_EQ(compared, equal);
        check_strong(view);
    }
    soma_cursor_close(sorted);
    if (copy)
        world.kind->close(copy);
    soma_view_close(view);
    in_view_calls = false;
    soma_barrier_wait();
}

/* A view's digest needs no memory; with some it is kept. */
static void do_digest(void)
{
    soma_view *view = NULL;
    struct soma_digest seen = {.count = 0};
    struct soma_digest running = {.count = 0};
    if (!EXPECT_EQ(open_view(&view), SOMA_OK))
        return;
    arm();
    EXPECT(done_without_map(soma_view_digest(view, &seen), SOMA_OK));
    EXPECT_EQ(world.kind == &kinds[0] ? soma_u64_digest(world.map, &running) : soma_map_digest(world.map, &running),
              SOMA_OK);
    EXPECT(soma_digest_equal(&seen, &running));
    EXPECT_EQ(seen.count, world.count);
    soma_view_close(view);
    soma_barrier_wait();
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

/* A cell, which holds what was last published in it, whatever is refused. */
static struct soma_cell cell;
static char objects[4 * KEYS];
static char *published;
static unsigned objects_made;

static void object_gone(void *object)
{
    EXPECT(object != soma_cell_read(&cell));
    count_call(object);
}

static void published_if(bool done, char *next)
{
    EXPECT(soma_cell_read(&cell) == (done ? next : published));
    if (!done)
        return;
    if (published)
        atomic_fetch_add(&calls_due, 1);
    published = next;
}

static void do_publish(uint64_t key)
{
    (void)key;
    char *next = &objects[objects_made++];
    arm();
    published_if(done(soma_cell_publish(&cell, next, object_gone), SOMA_OK), next);
}

static void do_publish_if(uint64_t key)
{
    char *next = &objects[objects_made++];
    arm();
    if (key % 3 == 0) {
        (void)done(soma_cell_publish_if(&cell, next, next + 1, object_gone), SOMA_CHANGED);
        EXPECT(soma_cell_read(&cell) == published);
    } else {
        published_if(done(soma_cell_publish_if(&cell, published, next, object_gone), SOMA_OK), next);
    }
}

/* ---- Scenarios ---- */

static void on_keys(void (*verb)(uint64_t key), uint64_t from, uint64_t to)
{
    for (uint64_t key = from; key < to; key++)
        verb(key);
}

static bool try_open(const struct kind_options *wanted, void **map)
{
    in_opening = true;
    in_byte_map = world.kind == &kinds[1];
    arm();
    const enum soma_status status = world.kind->open(wanted, map);
    atomic_store(&armed, false);
    in_opening = false;
    if (status == SOMA_OK)
        return true;
    EXPECT_EQ(status, SOMA_E_NOMEM);
    EXPECT(atomic_load(&refused) > 0);
    return false;
}

/* A map that cannot be made leaves the out pointer alone; then one is made without faults. */
static void open_map(void)
{
    if (!try_open(&options, &world.map)) {
        EXPECT(world.map == NULL);
        world.map = kind_open(world.kind, &options);
    }
}

/* With room from the start, which is another thing that may not be had. */
static void open_and_close(void)
{
    static const struct kind_options roomy = {.reserve = 30000};
    void *map = NULL;
    if (try_open(&roomy, &map))
        world.kind->close(map);
    else
        EXPECT(map == NULL);
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

/* The first sections of threads, and what they retire. */
static void thread_body(unsigned index, void *unused)
{
    (void)unused;
    do_put(index);
    do_publish(index);
    do_retire(index);
    do_remove(index);
    on_keys(do_put, 10, 30);
}

/* One after the other, for the oracle has no threads. */
static void short_threads(void)
{
    for (int i = 0; i < 3; i++)
        crew_run(1, thread_body, NULL);
}

static void every_verb(void)
{
    open_and_close();
    open_map();
    on_keys(do_put, 0, KEYS);
    short_threads();
    on_keys(do_put_new, 0, 20);
    on_keys(do_fetch_add, 0, 100);
    on_keys(do_put, 100, 200);
    on_keys(do_replace, 0, 150);
    on_keys(do_cas, 300, 400);
    on_keys(do_update, 200, 300);
    check_all();
    on_keys(do_remove, 0, 550);
    on_keys(do_remove_if, 550, 600);
    on_keys(do_retire, 0, 300);
    on_keys(do_publish, 0, 600);
    on_keys(do_publish_if, 0, 600);
    on_keys(do_update, 0, 50);
    do_put_many(20);
    do_put_many(KEYS - 30);
    reserve_and_shrink();
    check_all();
    do_clear();
    on_keys(do_put, 0, 100);
    do_take();
    check_all();
    on_keys(do_put, 0, 100);
    on_keys(do_put_new, 90, 150);
    on_keys(do_fetch_add, 140, 200);
    check_all();
    close_map();
}

static void walks(void)
{
    open_map();
    on_keys(do_put, 0, 10);
    do_walk();
    do_view();
    on_keys(do_put, 0, 200);
    do_walk();
    do_view();
    close_map();
}

/* A frozen map is made, or nothing has changed. */
static soma_frozen *try_freeze(const soma_view *view)
{
    soma_frozen *frozen = NULL;
    in_opening = true;
    arm();
    const bool made = done_without_map(soma_frozen_build(view, &frozen), SOMA_OK);
    in_opening = false;
    EXPECT(made == (frozen != NULL));
    return frozen;
}

/* Read back from a file, or not. */
static soma_frozen *try_reopen(soma_frozen *frozen)
{
    soma_frozen *opened = NULL;
    FILE *file = tmpfile();
    if (!file || soma_frozen_write(frozen, fileno(file)) != SOMA_OK)
        abort();
    arm();
    const bool made = done_without_map(soma_frozen_open(fileno(file), &opened), SOMA_OK);
    EXPECT(made == (opened != NULL));
    fclose(file);
    if (!made)
        return frozen;
    soma_frozen_free(frozen);
    return opened;
}

static void check_frozen(const soma_frozen *frozen, bool of_words)
{
    uint64_t key = 0;
    struct soma_bytes bytes = {NULL, 0};
    EXPECT_EQ(soma_frozen_count(frozen), KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        if (of_words) {
            EXPECT(soma_frozen_get_u64(frozen, i, &key) == SOMA_OK && key == i);
        } else {
            EXPECT(soma_frozen_get_ref(frozen, &i, sizeof i, &bytes) == SOMA_OK && bytes.len == i);
        }
    }
}

/* Views of both kinds, frozen again and again. */
static void freezing(void)
{
    static const char zeros[KEYS];
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    soma_view *seen[2];
    bool opened = soma_u64_new(NULL, &words) == SOMA_OK && soma_map_new(NULL, &bytes) == SOMA_OK;
    for (uint64_t i = 0; opened && i < KEYS; i++)
        opened = soma_u64_put(words, i, i, NULL) >= 0 && soma_map_put(bytes, &i, sizeof i, zeros, i, NULL) >= 0;
    if (!opened || soma_u64_view_open(words, &seen[0]) != SOMA_OK || soma_map_view_open(bytes, &seen[1]) != SOMA_OK)
        abort();
    for (int round = 0; round < 6; round++) {
        for (int kind = 0; kind < 2; kind++) {
            soma_frozen *frozen = try_freeze(seen[kind]);
            if (!frozen)
                continue;
            frozen = try_reopen(frozen);
            check_frozen(frozen, kind == 0);
            soma_frozen_free(frozen);
        }
    }
    soma_view_close(seen[0]);
    soma_view_close(seen[1]);
    soma_u64_free(words);
    soma_map_free(bytes);
}

/* ---- Two maps ---- */

#define COPIED 600
#define LONG_VALUE 20000

/* With a seed, so that two maps have one order; one value is longer than what a cursor fetches at a time. */
static soma_map *map_of_many(size_t long_value)
{
    static const char zeros[LONG_VALUE];
    soma_map *map = NULL;
    bool opened = soma_map_new(&(struct soma_map_options){.seed = {1, 2}}, &map) == SOMA_OK;
    for (uint64_t i = 0; opened && i < COPIED; i++)
        opened = soma_map_put(map, &i, sizeof i, zeros, i == COPIED / 2 ? long_value : 3, NULL) == SOMA_INSERTED;
    if (!opened)
        abort();
    return map;
}

static soma_view *view_of(soma_map *map)
{
    soma_view *view = NULL;
    if (soma_map_view_open(map, &view) != SOMA_OK)
        abort();
    return view;
}

/* Copied and compared, or nothing has changed. */
static void copying(void)
{
    soma_map *map = map_of_many(LONG_VALUE);
    soma_map *other = map_of_many(LONG_VALUE - 1);
    soma_view *seen[2] = {view_of(map), view_of(other)};
    soma_map *copy = NULL;
    bool equal = true;
    in_view_calls = true;
    arm();
    if (done_without_map(soma_view_equal(seen[0], seen[1], &equal), SOMA_OK))
        EXPECT(!equal);
    arm();
    const bool made = done_without_map(soma_map_copy(seen[0], NULL, NULL, NULL, &copy), SOMA_OK);
    in_view_calls = false;
    EXPECT(made == (copy != NULL));
    if (made)
        EXPECT_EQ(soma_map_count_approx(copy), COPIED);
    soma_map_free(copy);
    soma_view_close(seen[0]);
    soma_view_close(seen[1]);
    soma_map_free(map);
    soma_map_free(other);
}

#define PATCH_KEYS 40

/* What a key has in one map or the other; 0: nothing. So some keys are inserted, some removed, some replaced. */
static uint64_t patch_value(uint64_t key, bool after)
{
    return key % 4 == (after ? 1 : 0) ? 0 : key % 4 == 3 ? 7 : 100 + 100 * after + key;
}

static struct {
    void *map;
    soma_patch *patch;
    bool applied; /* as far as the map's oracle goes */
} patching;

static void check_patched(void)
{
    for (uint64_t key = 0; key < PATCH_KEYS; key++) {
        uint64_t value = 0;
        const uint64_t want = patch_value(key, patching.applied);
        EXPECT_EQ(world.kind->get(patching.map, key, &value), want ? SOMA_OK : SOMA_ABSENT);
        EXPECT_EQ(value, want);
    }
}

/* All or nothing; if all memory is refused from a call on, taking back has none but what was put aside. */
static void try_apply(unsigned index, void *patch)
{
    struct soma_patch_outcome outcome = {0, 0};
    const struct soma_bytes bytes = soma_patch_bytes(patch);
    (void)index;
    const unsigned long before = atomic_load(&accounts[PATCH].refused);
    arm();
    const enum soma_status status = world.kind == &kinds[0] ? soma_patch_apply_u64_wait(patching.map, bytes, &outcome)
                                                            : soma_patch_apply_map_wait(patching.map, bytes, &outcome);
    if (atomic_load(&accounts[PATCH].refused) > before) /* also if it is only for taking back */
        EXPECT_EQ(status, SOMA_E_NOMEM);
    patching.applied ^= done_without_map(status, SOMA_OK);
    struct soma_patch_info info;
    EXPECT_EQ(soma_patch_check(bytes, &info), SOMA_OK);
    EXPECT_EQ(outcome.number == info.inserted + info.replaced + info.removed, status == SOMA_OK);
    EXPECT_EQ(outcome.kept, 0);
    check_patched();
}

/* There is one if there was memory for it. */
static void made_or_not(enum soma_status status, soma_patch *const *patch)
{
    EXPECT_EQ(done_without_map(status, SOMA_OK), *patch != NULL);
}

/* There and back, the latter by a thread that may not get a record; and both put together. */
static void try_patch(soma_patch *patch)
{
    soma_patch *inverse = NULL;
    soma_patch *nothing = NULL;
    try_apply(0, patch);
    arm();
    made_or_not(soma_patch_invert(soma_patch_bytes(patch), &inverse), &inverse);
    if (inverse) {
        arm();
        made_or_not(soma_patch_compose(soma_patch_bytes(patch), soma_patch_bytes(inverse), &nothing), &nothing);
        if (patching.applied)
            crew_run(1, try_apply, inverse);
    }
    soma_patch_free(inverse);
    soma_patch_free(nothing);
}

static void fill_for_patch(void *map, bool after)
{
    for (uint64_t key = 0; key < PATCH_KEYS; key++) {
        if (patch_value(key, after))
            EXPECT_EQ(world.kind->put(map, key, patch_value(key, after), NULL), SOMA_INSERTED);
    }
}

/* A patch between two maps, for one of which a view stays open, or none. */
static void patch_once(bool beside)
{
    static const struct kind_options plain;
    soma_view *before = NULL;
    soma_view *after = NULL;
    soma_patch *patch = NULL;
    void *other = kind_open(world.kind, &plain);
    patching.map = kind_open(world.kind, &plain);
    patching.applied = false;
    fill_for_patch(patching.map, false);
    fill_for_patch(other, true);
    EXPECT_EQ(world.kind->view(patching.map, &before), SOMA_OK);
    EXPECT_EQ(world.kind->view(other, &after), SOMA_OK);
    in_patch_calls = true;
    arm();
    made_or_not(soma_patch_make(before, after, &patch), &patch);
    arm();
    if (patch)
        (void)done_without_map(soma_patch_fits(before, soma_patch_bytes(patch), NULL), SOMA_OK);
    soma_view_close(after);
    if (!beside)
        soma_view_close(before);
    if (patch)
        try_patch(patch);
    atomic_store(&armed, false);
    in_patch_calls = false;
    if (beside)
        soma_view_close(before);
    soma_patch_free(patch);
    world.kind->close(patching.map);
    world.kind->close(other);
    soma_barrier_wait();
    verified(1);
}

static void patches(void)
{
    patch_once(false);
    patch_once(true);
}

/* One that cannot be opened leaves nothing behind; then it is opened without faults. */
static void view_open(int v)
{
    in_viewing = true;
    arm();
    if (!done(world.kind->view(world.map, &views[v].view), SOMA_OK)) {
        EXPECT(views[v].view == NULL);
        EXPECT_EQ(world.kind->view(world.map, &views[v].view), SOMA_OK);
    }
    in_viewing = false;
    memcpy(views[v].there, world.there, sizeof world.there);
    memcpy(views[v].value, world.value, sizeof world.value);
    views[v].count = world.count;
}

static void view_close(int v)
{
    arm();
    soma_view_close(views[v].view);
    atomic_store(&armed, false);
    views[v].view = NULL;
}

/* Updates need memory for versions as well; none of them may change the map, or a view, when there is none. */
/* In a table so large that few changes are kept as such. */
static void with_digests(void)
{
    open_map();
    EXPECT_EQ(world.kind->reserve(world.map, 40000), SOMA_OK);
    on_keys(do_put, 0, 200);
    do_digest();
    view_open(0);
    on_keys(do_put, 0, 6);
    do_digest();
    on_keys(do_remove, 8, 40);
    do_digest();
    view_close(0);
    close_map();
}

static void with_views(void)
{
    open_map();
    view_open(2); /* among the first calls for memory, of which none is left out */
    view_close(2);
    on_keys(do_put, 0, 200);
    view_open(0);
    on_keys(do_put, 100, 300);
    on_keys(do_fetch_add, 50, 150);
    on_keys(do_remove, 0, 40);
    check_all();
    view_open(1);
    on_keys(do_replace, 30, 120);
    on_keys(do_cas, 120, 160);
    on_keys(do_update, 160, 220);
    on_keys(do_remove_if, 200, 240);
    do_put_many(20);
    short_threads();
    check_all();
    view_close(0);
    view_open(2);
    reserve_and_shrink();
    do_clear();
    on_keys(do_put_new, 0, 100);
    check_all();
    view_close(1);
    do_take();
    check_all();
    do_clear();
    reserve_and_shrink();
    check_all();
    view_close(2);
    on_keys(do_put, 50, 150);
    check_all();
    close_map();
}

/* Sums in a byte map: a refused addition adds nothing. */
static void byte_sums(void)
{
    soma_map *map = NULL;
    uint64_t want[200] = {0};
    in_byte_map = true;
    if (soma_map_new(NULL, &map) != SOMA_OK)
        abort();
    for (uint64_t i = 0; i < 1200; i++) {
        const uint64_t key = i * 7 % 200;
        uint64_t old = want[key];
        arm();
        const enum soma_status status = soma_map_fetch_add(map, &key, sizeof key, i + 1, &old);
        const bool added = done_without_map(status, want[key] == 0 ? SOMA_INSERTED : SOMA_REPLACED);
        EXPECT_EQ(old, want[key]);
        want[key] += added ? i + 1 : 0;
    }
    for (uint64_t key = 0; key < 200; key++) {
        uint64_t sum = 0;
        EXPECT_EQ(soma_map_get_copy(map, &key, sizeof key, &sum, sizeof sum, NULL), want[key] ? SOMA_OK : SOMA_ABSENT);
        EXPECT_EQ(sum, want[key]);
    }
    soma_map_free(map);
}

/* A table that has given its pages back, or could not, and grows into them again. */
static void pages_back(void)
{
    open_map();
    for (int round = 0; round < 3; round++) {
        done(world.kind->reserve(world.map, 30000), SOMA_OK);
        on_keys(do_put, 0, KEYS);
        check_all();
        on_keys(do_remove, 100, KEYS);
        for (int i = 0; i < 3; i++) {
            done(world.kind->shrink(world.map), SOMA_OK);
            soma_barrier_wait();
        }
        check_all();
    }
    close_map();
}

static void pages_stay(void)
{
    advice_declined = true;
    pages_back();
    EXPECT(atomic_load(&refused) > 0); /* else no page was to be given back */
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
        EXPECT(!leaks_found());
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

static bool every; /* number, not some of them */

/* All of the first, then some: most of the later ones are alike. */
static unsigned long next_number(unsigned long number)
{
    return every || number < 60 ? number + 1 : number + number / 12;
}

struct setup {
    void (*scenario)(void);
    int kind;
    bool all_after;
};

static unsigned long refusals; /* of all cases */

static void faults(const void *arg)
{
    const struct setup *setup = arg;
    struct result result = {0, 0};
    unsigned long runs = 0;
    world.kind = &kinds[setup->kind];
    EXPECT(run_child(setup->scenario, 0, false, &result));
    EXPECT(result.asked > 50 && result.refused == 0);
    const unsigned long all = result.asked;
    for (unsigned long number = 1; number <= all && failures() == 0; number = next_number(number)) {
        result = (struct result){0, 0};
        EXPECT(run_child(setup->scenario, number, setup->all_after, &result));
        EXPECT(result.refused >= 1 || result.asked < number); /* hashes are random, so some runs ask less often */
        runs++;
        if (every)
            watchdog(60); /* it is long, but not stuck */
    }
    printf("# %lu calls for memory, %lu of them refused in turn\n", all, runs);
    refusals += runs;
    verified(runs);
}

/* Each place in lib/ that asks was granted and refused, and there is none that nobody knows of. */
static void check_sites(void)
{
    for (int site = 0; site < SITES; site++) {
        const unsigned long granted = atomic_load(&accounts[site].granted);
        const unsigned long refused_there = atomic_load(&accounts[site].refused);
        EXPECT(site == OTHER ? granted + refused_there == 0 : granted > 0 && refused_there > 0);
    }
    verified(SITES);
}

/* After the cases that refuse. Then with a hole in the account, and with something in it that should not be. */
static void sites(const void *unused)
{
    (void)unused;
    for (int site = 0; site < SITES; site++)
        printf("# %s: %lu times granted, %lu times refused\n", site_names[site], atomic_load(&accounts[site].granted),
               atomic_load(&accounts[site].refused));
    check_sites();
    for (int site = 0; site < SITES; site++) {
        const unsigned long was = atomic_exchange(&accounts[site].refused, site == OTHER);
        canary_begin();
        check_sites();
        EXPECT_EQ(canary_end(), 1);
        atomic_store(&accounts[site].refused, was);
    }
}

static void pages_case(const void *arg)
{
    struct result result = {0, 0};
    for (int kind = 0; kind < 2; kind++) {
        world.kind = &kinds[kind];
        EXPECT(run_child(arg ? pages_stay : pages_back, 0, false, &result));
    }
    verified(2);
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
    soma_barrier_wait(); /* at once, also with memory for a record: it would wait for this section */
    atomic_store(&stage, 1);
    wait_for_stage(2);
    soma_read_exit();
    atomic_store(&stage, 3);
}

/* "Wait until all that was retired before the call has run": there is nothing to refuse it with. */
static void wait_without_memory(unsigned index, void *arg)
{
    const unsigned *retires = arg;
    (void)index;
    arm();
    soma_barrier_wait();
    EXPECT(atomic_load(&calls_run) >= *retires);
    EXPECT_EQ(soma_retire(count_call, NULL), SOMA_E_NOMEM);
    soma_barrier_wait();
    int cancel = PTHREAD_CANCEL_DISABLE;
    EXPECT_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel), 0);
    EXPECT_EQ(cancel, PTHREAD_CANCEL_ENABLE);
}

/* A thread that is cancelled while it waits does not take away what the others wait with. */
static void *wait_cancelled(void *arg)
{
    wait_without_memory(0, arg);
    return NULL;
}

static void is_cancelled(void)
{
    pthread_t waiter;
    unsigned retires = 0;
    soma_read_enter();
    EXPECT_EQ(pthread_create(&waiter, NULL, wait_cancelled, &retires), 0);
    while (atomic_load(&refused) == 0)
        sleep_ms(1);
    sleep_ms(5);
    EXPECT_EQ(pthread_cancel(waiter), 0);
    sleep_ms(5);
    soma_read_exit();
    EXPECT_EQ(pthread_join(waiter, NULL), 0);
    atomic_store(&armed, false);
}

/* Has a record of its own from now on, and keeps it. */
static void stay(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    soma_read_exit();
    atomic_store(&stage, 1);
    wait_for_stage(2);
}

static void waits(void)
{
    struct crew waiters;
    struct crew other;
    unsigned retires = 0;
    is_cancelled();
    crew_start(&other, 1, stay, NULL);
    wait_for_stage(1);
    for (; retires < 100; retires++)
        EXPECT_EQ(soma_retire(count_call, NULL), SOMA_OK);
    crew_start(&waiters, 3, wait_without_memory, &retires);
    crew_join(&waiters);
    EXPECT(atomic_load(&refused) > 0);
    EXPECT_EQ(atomic_load(&calls_run), retires);
    atomic_store(&armed, false);
    atomic_store(&stage, 2);
    crew_join(&other);
}

static void wait_without_record(const void *arg)
{
    struct result result = {0, 0};
    (void)arg;
    EXPECT(run_child(waits, 1, true, &result));
    EXPECT(result.refused > 0);
    verified(1);
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

/* ---- Canaries: a scenario that loses something, one that retires twice, one that aborts, one that leaks ---- */

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

#ifdef __SANITIZE_ADDRESS__
static void leaks(void)
{
    open_map();
    for (int i = 0; i < 100; i++) {
        void *volatile lost = need(1, 1000);
        lost = NULL;
        (void)lost;
    }
}
#endif

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
#ifdef __SANITIZE_ADDRESS__
    EXPECT(!run_child(leaks, 0, false, &result));
#endif
    verified(3);
}

/* ---- What is refused before main() ---- */

static void without_help(void)
{
    every_verb();
    atomic_store(&calls_run, 0);
    atomic_store(&calls_due, 0);
}

static void hold_section(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    atomic_store(&stage, 1);
    wait_for_stage(2);
    soma_read_exit();
}

/* A section holds back what is retired while it is open. */
static void section_protects(void)
{
    struct crew reader;
    atomic_store(&stage, 0);
    crew_start(&reader, 1, hold_section, NULL);
    wait_for_stage(1);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(soma_retire(count_call, NULL), SOMA_OK);
    sleep_ms(20);
    EXPECT_EQ(atomic_load(&calls_run), 0);
    atomic_store(&stage, 2);
    crew_join(&reader);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&calls_run), 1000);
}

/* An insertion could be made, but not be taken back. */
static void patch_without_record(void)
{
    soma_u64 *map = NULL;
    struct patch_writer writer;
    struct soma_patch_outcome outcome = {1, 1};
    soma_patch *patch = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, 8, 8, NULL), SOMA_INSERTED);
    soma__patch_start(&writer, true);
    soma__patch_add(&writer, &(const struct soma_difference){.what = SOMA_INSERTED, .word = {7, 0, 7}});
    soma__patch_add(&writer, &(const struct soma_difference){.what = SOMA_REMOVED, .word = {8, 8, 0}});
    EXPECT_EQ(soma__patch_finish(&writer, SOMA_OK, &patch), SOMA_OK);
    EXPECT_EQ(soma_patch_apply_u64_wait(map, soma_patch_bytes(patch), &outcome), SOMA_E_NOMEM);
    EXPECT(outcome.number == 0 && outcome.kept == 0);
    EXPECT_EQ(soma_u64_count_approx(map), 1);
    EXPECT_EQ(soma_u64_get(map, 7, NULL), SOMA_ABSENT);
    soma_patch_free(patch);
    soma_u64_free(map);
}

/* No thread has a record: all read, and insert; what would have to retire something is refused. */
static void without_records(void)
{
    uint64_t value = 0;
    world.map = kind_open(world.kind, &options);
    for (uint64_t key = 0; key < KEYS; key++) {
        EXPECT_EQ(world.kind->put(world.map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(world.kind->put(world.map, key, key, NULL), SOMA_E_NOMEM);
        EXPECT_EQ(world.kind->remove(world.map, key, NULL), SOMA_E_NOMEM);
        EXPECT_EQ(world.kind->put_new(world.map, key, key, NULL), SOMA_EXISTS);
        EXPECT_EQ(world.kind->get(world.map, key, &value), SOMA_OK);
        EXPECT_EQ(value, key);
        world.retired[key] = 0;
    }
    EXPECT_EQ(soma_retire(count_call, NULL), SOMA_E_NOMEM);
    soma_barrier_wait();
    EXPECT_EQ(world.kind->clear(world.map), SOMA_E_NOMEM);
    patch_without_record();
    EXPECT_EQ(world.kind->count(world.map), KEYS);
    world.kind->close(world.map);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(world.retired[key], 1);
}

/* In the process that was started for it. */
static int set_up_without(const char *what)
{
    watchdog(20);
    EXPECT(set_up_refused || strcmp(what, "random") == 0); /* those are asked for with the first map */
    for (int kind = 0; kind < 2 && failures() == 0; kind++) {
        memset(&world, 0, sizeof world);
        world.kind = &kinds[kind];
        if (strcmp(what, "key") == 0) {
            without_records();
            continue;
        }
        without_help();
        section_protects();
        atomic_store(&calls_run, 0);
    }
    EXPECT(set_up_refused);
    return failures() > 0;
}

static void set_up(const void *what)
{
    const pid_t child = fork();
    int status = -1;
    if (child == 0) {
        setenv("SOMA_TEST_REFUSE", what, 1);
        execl("/proc/self/exe", "fault", "--set-up", (const char *)what, (char *)NULL);
        _exit(9);
    }
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    verified(1);
}

/* ---- All of it ---- */

static void take_every(int *argc, char **argv)
{
    int left = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--every") == 0)
            every = true;
        else
            argv[left++] = argv[i];
    }
    *argc = left;
}

static int usage(void)
{
    fputs("usage: fault [--every] [--seconds S] [--seed N] [--timeout S] [--list] [case...]\n\n"
          "Every call for memory fails once, and once with all after it; without --every, some of the later ones.\n"
          "With it, the last line is `RESULT fault <n> refusals <violations> violations`.\n",
          stderr);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--set-up") == 0)
        return set_up_without(argv[2]);
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage();
    const struct test_case cases[] = {
        {"u64-one", faults, &(const struct setup){every_verb, 0, false}},
        {"u64-all-after", faults, &(const struct setup){every_verb, 0, true}},
        {"map-one", faults, &(const struct setup){every_verb, 1, false}},
        {"map-all-after", faults, &(const struct setup){every_verb, 1, true}},
        {"digests-u64-one", faults, &(const struct setup){with_digests, 0, false}},
        {"digests-u64-all-after", faults, &(const struct setup){with_digests, 0, true}},
        {"digests-map-one", faults, &(const struct setup){with_digests, 1, false}},
        {"views-u64-one", faults, &(const struct setup){with_views, 0, false}},
        {"views-u64-all-after", faults, &(const struct setup){with_views, 0, true}},
        {"views-map-one", faults, &(const struct setup){with_views, 1, false}},
        {"views-map-all-after", faults, &(const struct setup){with_views, 1, true}},
        {"sums-one", faults, &(const struct setup){byte_sums, 1, false}},
        {"sums-all-after", faults, &(const struct setup){byte_sums, 1, true}},
        {"walks-u64-one", faults, &(const struct setup){walks, 0, false}},
        {"walks-u64-all-after", faults, &(const struct setup){walks, 0, true}},
        {"walks-map-one", faults, &(const struct setup){walks, 1, false}},
        {"walks-map-all-after", faults, &(const struct setup){walks, 1, true}},
        {"freezing-one", faults, &(const struct setup){freezing, 0, false}},
        {"freezing-all-after", faults, &(const struct setup){freezing, 0, true}},
        {"copying-one", faults, &(const struct setup){copying, 1, false}},
        {"copying-all-after", faults, &(const struct setup){copying, 1, true}},
        {"patches-u64-one", faults, &(const struct setup){patches, 0, false}},
        {"patches-u64-all-after", faults, &(const struct setup){patches, 0, true}},
        {"patches-map-one", faults, &(const struct setup){patches, 1, false}},
        {"patches-map-all-after", faults, &(const struct setup){patches, 1, true}},
        {"sites", sites, NULL}, /* after all that may refuse */
        {"pages-back", pages_case, NULL},
        {"pages-stay", pages_case, "stay"},
        {"set-up-key", set_up, "key"},
        {"set-up-barrier", set_up, "barrier"},
        {"set-up-random", set_up, "random"},
        {"set-up-fork-handlers", set_up, "fork-handlers"},
        {"reader-without-record", reader_without_record, NULL},
        {"wait-without-record", wait_without_record, NULL},
        {"canary", canary, NULL}, /* last: it closes standard error */
    };
    accounts = __real_mmap64(NULL, SITES * sizeof *accounts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (accounts == MAP_FAILED)
        abort();
    take_every(&argc, argv);
    const int status = test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
    if (every)
        printf("RESULT fault %lu refusals %d violations\n", refusals, status != 0);
    return status;
}
