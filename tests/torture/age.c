/* SPDX-License-Identifier: ISC */
/* age.c - node-age torture, in the manner of the Linux kernel's rcutorture.
 *
 * What the maps hold leads to objects, and every object has an age:
 *
 *     0   in a map
 *     1   taken out, perhaps still being looked at (marked by who took it out, in a section of its own)
 *     2   one grace period later: value_retire was called
 *     n   n - 1 grace periods later, each of them a soma_retire() in a retired call, up to --pipe
 *     then poisoned, and used again (`pool`) or freed (`heap`)
 *
 * Readers borrow objects in sections of every length, look at them at once and again before they leave. Nobody may ever
 * see an age of 2 or more, a poisoned object, or one that has become another. The histogram of all ages is printed.
 *
 * Beside them one thread waits for grace periods, one after the other. A section in which one both began and ended is
 * counted too: none may. In the second histogram that is 2 and more.
 *
 * The canaries release too early, read outside a section, and wait for nothing: each must be caught.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <soma/soma.h>

#include "torture.h"

#define BINS 12
#define HELD_MOST 4
#define FILLING_STEP 16
#define FILLING_MOST (4 * FILLING_STEP)
#define FRESH UINT64_C(0x6672657368206f62)
#define POISON UINT64_C(0xdeaddeaddeaddead)
#define POISON_BYTE 0xde
#define CANARY_SECONDS 2.0
#define CANARY_ATTEMPTS 8

static uint64_t readers = 3;
static uint64_t updaters = 2;
static uint64_t narrow = 16; /* keys at the least */
static uint64_t pipe_length = 10;
static uint64_t pool_size = 1 << 16;

enum seeded_bug {
    NO_BUG,
    EARLY_AGE,    /* an object grows older without waiting for its readers */
    EARLY_POISON, /* and is released */
    NO_SECTION,   /* readers do not open sections */
    NO_WAITING,   /* grace periods that are over at once */
};

struct setup {
    bool bytes; /* byte map: values hold the object's address, its stamp and filling */
    bool heap;  /* objects are freed for good, not used again */
    enum seeded_bug bug;
};

struct object {
    atomic_uint_fast64_t tag;
    atomic_uint_fast64_t stamp; /* of birth: no two are the same */
    atomic_uint_fast64_t key;
    atomic_uint age;
    struct object *next; /* behind the pool's lock */
};

/* What one reader saw. */
struct seen {
    uint64_t ages[BINS];
    uint64_t batches[BINS];
    uint64_t poisoned;
    uint64_t changed; /* another object now, or bytes that are not what they were */
    uint64_t looks;
    uint64_t sections;
    char apart[64];
};

struct world {
    const struct setup *setup;
    soma_u64 *words;
    soma_map *bytes;
    struct object *pool;
    struct object *unused;
    pthread_mutex_t lock;
    atomic_uint_fast64_t made; /* objects that are not in the pool */
    atomic_uint_fast64_t stamps;
    atomic_uint_fast64_t begun; /* grace periods of the waiting thread */
    atomic_uint_fast64_t ended;
    atomic_uint_fast64_t taken_out;
    atomic_uint_fast64_t steps; /* of ageing */
    atomic_uint_fast64_t misplaced;
    atomic_bool done;
    struct seen seen[CREW_MAX];
};

/* Retired calls get an object only, so there is one world at a time. */
static struct world world;

/* ---- Objects: from the pool or the heap, and back ---- */

static void object_free(struct object *object)
{
    atomic_store(&object->tag, POISON);
    atomic_store_explicit(&object->stamp, POISON, memory_order_relaxed);
    atomic_fetch_sub(&world.made, 1);
    if (world.setup->heap) {
        free(object);
        return;
    }
    pthread_mutex_lock(&world.lock);
    object->next = world.unused;
    world.unused = object;
    pthread_mutex_unlock(&world.lock);
}

static struct object *object_unused(void)
{
    if (world.setup->heap)
        return need(1, sizeof(struct object));
    pthread_mutex_lock(&world.lock);
    struct object *object = world.unused;
    if (object)
        world.unused = object->next;
    pthread_mutex_unlock(&world.lock);
    return object;
}

/* NULL if all are in the pipe. */
static struct object *object_new(uint64_t key)
{
    struct object *object = atomic_load(&world.made) < pool_size ? object_unused() : NULL;
    if (!object)
        return NULL;
    atomic_fetch_add(&world.made, 1);
    atomic_store_explicit(&object->key, key, memory_order_relaxed);
    atomic_store_explicit(&object->stamp, atomic_fetch_add(&world.stamps, 1), memory_order_relaxed);
    atomic_store_explicit(&object->age, 0, memory_order_relaxed);
    atomic_store_explicit(&object->tag, FRESH, memory_order_relaxed);
    return object;
}

/* ---- Ageing ---- */

static void grow_older(void *arg)
{
    struct object *object = arg;
    const unsigned age = atomic_fetch_add(&object->age, 1) + 1;
    atomic_fetch_add(&world.steps, 1);
    if (age > pipe_length)
        object_free(object);
    else
        EXPECT_EQ(soma_retire(grow_older, object), SOMA_OK);
}

/* One grace period after it was taken out. */
static void object_retired(struct object *object)
{
    const unsigned age = atomic_exchange(&object->age, 2);
    if (age > 1 || atomic_load(&object->tag) != FRESH)
        atomic_fetch_add(&world.misplaced, 1);
    atomic_fetch_add(&world.taken_out, 1);
    EXPECT_EQ(soma_retire(grow_older, object), SOMA_OK);
}

/* Inside a section that was open when it was taken out, so nobody else has come to it yet, unless by a seeded bug. */
static void object_taken_out(struct object *object)
{
    unsigned young = 0;
    if (!atomic_compare_exchange_strong(&object->age, &young, 1))
        atomic_fetch_add(&world.misplaced, 1);
    if (world.setup->bug == EARLY_AGE)
        object_retired(object);
    if (world.setup->bug == EARLY_POISON)
        object_free(object);
}

static bool releases_early(void)
{
    return world.setup->bug == EARLY_AGE || world.setup->bug == EARLY_POISON;
}

static void word_retired(uint64_t value, void *ctx)
{
    (void)ctx;
    if (!releases_early())
        object_retired((struct object *)(uintptr_t)value);
}

/* ---- Values of the byte map ---- */

struct value {
    struct object *object;
    uint64_t stamp;
    uint64_t key;
    unsigned char filling[FILLING_MOST];
};

#define VALUE_LEAST offsetof(struct value, filling)

static size_t value_make(struct value *value, struct object *object)
{
    value->object = object;
    value->stamp = atomic_load_explicit(&object->stamp, memory_order_relaxed);
    value->key = atomic_load_explicit(&object->key, memory_order_relaxed);
    const size_t filling = value->stamp % 5 * FILLING_STEP;
    memset(value->filling, (int)(value->stamp & 0x7f), filling);
    return VALUE_LEAST + filling;
}

static bool value_whole(const struct value *value, size_t len)
{
    if (len != VALUE_LEAST + value->stamp % 5 * FILLING_STEP)
        return false;
    for (size_t i = 0; i < len - VALUE_LEAST; i++) {
        if (value->filling[i] != (value->stamp & 0x7f))
            return false;
    }
    return true;
}

/* The last who may see these bytes. They are freed next, so poison is the library's to lose. */
static void value_retired(const void *bytes, size_t len, void *ctx)
{
    const struct value *value = bytes;
    struct object *object = value->object;
    (void)ctx;
    if (!value_whole(value, len))
        atomic_fetch_add(&world.misplaced, 1);
    memset((void *)(uintptr_t)bytes, POISON_BYTE, len);
    if (!releases_early())
        object_retired(object);
}

/* ---- Borrowing ---- */

struct held {
    const struct object *object;
    uint64_t stamp;
    uint64_t key;
    const struct value *value; /* byte map */
    size_t len;
};

static void hold_word(struct held *held, uint64_t word, uint64_t key)
{
    const struct object *object = (const struct object *)(uintptr_t)word;
    *held = (struct held){
        .object = object, .stamp = atomic_load_explicit(&object->stamp, memory_order_relaxed), .key = key};
}

static void hold_bytes(struct held *held, const struct soma_bytes *bytes, uint64_t key)
{
    const struct value *value = bytes->data;
    *held =
        (struct held){.object = value->object, .stamp = value->stamp, .key = key, .value = value, .len = bytes->len};
}

static unsigned borrow_words(struct held *held, const uint64_t *keys, unsigned n)
{
    uint64_t words[HELD_MOST];
    bool found[HELD_MOST];
    unsigned count = 0;
    if (n == 1)
        found[0] = soma_u64_get(world.words, keys[0], &words[0]) == SOMA_OK;
    else
        soma_u64_get_many(world.words, keys, n, words, found);
    for (unsigned i = 0; i < n; i++) {
        if (found[i])
            hold_word(&held[count++], words[i], keys[i]);
    }
    return count;
}

static unsigned borrow_bytes(struct held *held, const uint64_t *keys, unsigned n)
{
    struct soma_bytes names[HELD_MOST];
    struct soma_bytes values[HELD_MOST];
    bool found[HELD_MOST];
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        names[i] = (struct soma_bytes){&keys[i], sizeof keys[i]};
    if (n == 1)
        found[0] = soma_map_get_ref(world.bytes, &keys[0], sizeof keys[0], &values[0]) == SOMA_OK;
    else
        soma_map_get_many(world.bytes, names, n, values, found);
    for (unsigned i = 0; i < n; i++) {
        if (found[i])
            hold_bytes(&held[count++], &values[i], keys[i]);
    }
    return count;
}

static unsigned borrow(struct held *held, const uint64_t *keys, unsigned n)
{
    return world.setup->bytes ? borrow_bytes(held, keys, n) : borrow_words(held, keys, n);
}

/* ---- Readers ---- */

static void look(struct seen *seen, const struct held *held)
{
    const uint64_t tag = atomic_load_explicit(&held->object->tag, memory_order_relaxed);
    const unsigned age = atomic_load_explicit(&held->object->age, memory_order_relaxed);
    seen->looks++;
    seen->ages[age < BINS ? age : BINS - 1]++;
    seen->poisoned += tag == POISON;
    seen->changed += tag != POISON && tag != FRESH;
    seen->changed += atomic_load_explicit(&held->object->stamp, memory_order_relaxed) != held->stamp;
    seen->changed += atomic_load_explicit(&held->object->key, memory_order_relaxed) != held->key;
    if (held->value)
        seen->changed += held->value->stamp != held->stamp || held->value->key != held->key ||
                         held->value->object != held->object || !value_whole(held->value, held->len);
}

static void nap_us(unsigned us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

/* Mostly not at all, often a little, now and then long enough for many grace periods to want to end. */
static void dwell(struct rng *rng)
{
    const uint64_t draw = rng_below(rng, 256);
    if (draw == 0) {
        nap_us(2000);
    } else if (draw < 4) {
        nap_us(100);
    } else if (draw < 12) {
        sched_yield();
    } else if (draw < 64) {
        for (volatile uint64_t i = 0; i < draw * 20;)
            i++;
    }
}

/* Grace periods that ended in the section; the one that was under way when it began may be one of them. */
static void count_batches(struct seen *seen, uint64_t begun, uint64_t ended)
{
    const uint64_t ended_now = atomic_load(&world.ended);
    uint64_t bin = ended_now - ended;
    if (ended_now > begun && bin < 2)
        bin = 2;
    seen->batches[bin < BINS ? bin : BINS - 1]++;
    seen->sections++;
}

static void read_once(struct seen *seen, struct rng *rng, uint64_t range)
{
    struct held held[HELD_MOST];
    uint64_t keys[HELD_MOST];
    const bool inside = world.setup->bug != NO_SECTION;
    const unsigned depth = inside ? 1 + (unsigned)rng_below(rng, 3) : 0;
    const unsigned n = rng_below(rng, 4) == 0 ? HELD_MOST : 1;
    for (unsigned i = 0; i < n; i++)
        keys[i] = rng_below(rng, range);
    for (unsigned i = 0; i < depth; i++)
        soma_read_enter();
    const uint64_t ended = atomic_load(&world.ended);
    const uint64_t begun = atomic_load(&world.begun);
    const unsigned count = borrow(held, keys, n);
    for (unsigned i = 0; i < count; i++)
        look(seen, &held[i]);
    for (unsigned i = 1; i < depth; i++)
        soma_read_exit();
    dwell(rng);
    for (unsigned i = 0; i < count; i++)
        look(seen, &held[i]);
    count_batches(seen, begun, ended);
    if (depth > 0)
        soma_read_exit();
}

static void read_on(unsigned index)
{
    struct rng rng = rng_new(100 + index);
    while (!atomic_load_explicit(&world.done, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++)
            read_once(&world.seen[index], &rng, narrow);
    }
}

/* ---- Updaters: every verb that lets a value go ---- */

static enum soma_status decide(bool present, uint64_t draw)
{
    return present && draw % 3 == 0 ? SOMA_REMOVED : SOMA_OK;
}

/* An update's function: what it put, and what it found last. */
struct step {
    uint64_t fresh;
    struct value value;
    size_t len;
    uint64_t draw;
    struct object *old;
};

static enum soma_status word_step(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct step *step = ctx;
    (void)key;
    step->old = present ? (struct object *)(uintptr_t)*value : NULL;
    *value = step->fresh;
    return decide(present, step->draw);
}

static enum soma_status byte_step(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    struct step *step = ctx;
    (void)key, (void)key_len;
    step->old = present ? ((const struct value *)value->data)->object : NULL;
    *value = (struct soma_bytes){&step->value, step->len};
    return decide(present, step->draw);
}

/* One verb, by a draw. In `old` goes what it took out. */
static enum soma_status update_word(uint64_t key, struct object *fresh, uint64_t draw, struct object **old)
{
    uint64_t was = 0;
    enum soma_status status;
    struct step step = {.fresh = (uintptr_t)fresh, .draw = draw >> 8};
    switch (draw & 15) {
    case 0:
    case 1:
        status = soma_u64_remove(world.words, key, &was);
        break;
    case 2:
        status = soma_u64_replace(world.words, key, step.fresh, &was);
        break;
    case 3:
        status = soma_u64_put_new(world.words, key, step.fresh, NULL);
        break;
    case 4:
        status = soma_u64_update(world.words, key, word_step, &step);
        was = (uintptr_t)step.old;
        break;
    case 5:
    case 6:
        status = soma_u64_get(world.words, key, &was);
        if (status == SOMA_OK && draw & 16)
            status = soma_u64_remove_if(world.words, key, was, NULL);
        else if (status == SOMA_OK)
            status = soma_u64_cas(world.words, key, was, step.fresh, NULL);
        break;
    default:
        status = soma_u64_put(world.words, key, step.fresh, &was);
    }
    *old = (struct object *)(uintptr_t)was;
    return status;
}

/* As update_word(). Inside a section, for the old values' bytes. */
static enum soma_status update_bytes(uint64_t key, struct object *fresh, uint64_t draw, struct object **old)
{
    struct soma_bytes was = {NULL, 0};
    enum soma_status status;
    struct step step = {.draw = draw >> 8};
    step.len = value_make(&step.value, fresh);
    switch (draw & 15) {
    case 0:
    case 1:
        status = soma_map_remove(world.bytes, &key, sizeof key, &was);
        break;
    case 2:
        status = soma_map_replace(world.bytes, &key, sizeof key, &step.value, step.len, &was);
        break;
    case 3:
        status = soma_map_put_new(world.bytes, &key, sizeof key, &step.value, step.len, NULL);
        break;
    case 4:
        status = soma_map_update(world.bytes, &key, sizeof key, byte_step, &step);
        *old = step.old;
        return status;
    case 5:
    case 6:
        status = soma_map_get_ref(world.bytes, &key, sizeof key, &was);
        if (status == SOMA_OK && draw & 16)
            status = soma_map_remove_if(world.bytes, &key, sizeof key, was.data, was.len, NULL);
        else if (status == SOMA_OK)
            status = soma_map_cas(world.bytes, &key, sizeof key, was.data, was.len, &step.value, step.len, NULL);
        break;
    default:
        status = soma_map_put(world.bytes, &key, sizeof key, &step.value, step.len, &was);
    }
    *old = was.data ? ((const struct value *)was.data)->object : NULL;
    return status;
}

/* Half of the updates run in a section, in which what they took out can be marked. */
static void update_once(struct rng *rng, uint64_t range)
{
    const uint64_t key = rng_below(rng, range);
    const uint64_t draw = rng_next(rng);
    const bool inside = world.setup->bytes || releases_early() || draw & 32;
    struct object *old = NULL;
    struct object *fresh = object_new(key);
    if (!fresh) {
        soma_barrier_wait();
        return;
    }
    if (inside)
        soma_read_enter();
    const enum soma_status status =
        world.setup->bytes ? update_bytes(key, fresh, draw, &old) : update_word(key, fresh, draw, &old);
    EXPECT(status >= 0 || status == SOMA_E_LIMIT);
    if (inside && (status == SOMA_REPLACED || status == SOMA_REMOVED))
        object_taken_out(old);
    if (inside)
        soma_read_exit();
    if (status != SOMA_INSERTED && status != SOMA_REPLACED)
        object_free(fresh); /* nobody has seen it */
}

static void clear_all(void)
{
    if (!releases_early())
        EXPECT((world.setup->bytes ? soma_map_clear(world.bytes) : soma_u64_clear(world.words)) >= 0);
}

/* The range of keys widens and narrows, so that tables grow and shrink; now and then everything goes. */
static void update_on(unsigned index)
{
    struct rng rng = rng_new(200 + index);
    for (uint64_t n = 0; !atomic_load_explicit(&world.done, memory_order_relaxed); n++) {
        const uint64_t wide = n / 8192 % 4;
        update_once(&rng, narrow << wide * 3);
        if (n % 32768 == 32767)
            clear_all();
    }
}

/* ---- Grace periods, one after the other ---- */

static void wait_on(void)
{
    struct rng rng = rng_new(300);
    for (uint64_t n = 1; !atomic_load_explicit(&world.done, memory_order_relaxed); n++) {
        atomic_store(&world.begun, n);
        if (world.setup->bug != NO_WAITING)
            soma_synchronize_wait();
        atomic_store(&world.ended, n);
        if (rng_below(&rng, 64) == 0)
            soma_barrier_wait();
        else if (rng_below(&rng, 4) == 0 || world.setup->bug == NO_WAITING)
            nap_us((unsigned)rng_below(&rng, 200));
    }
}

static void take_part(unsigned index, void *unused)
{
    (void)unused;
    if (index < readers)
        read_on(index);
    else if (index < readers + updaters)
        update_on(index);
    else
        wait_on();
}

/* ---- The case ---- */

static void world_open(const struct setup *setup)
{
    const struct soma_u64_options word_options = {.struct_size = sizeof word_options, .value_retire = word_retired};
    const struct soma_map_options byte_options = {.struct_size = sizeof byte_options, .value_retire = value_retired};
    memset(&world, 0, sizeof world);
    world.setup = setup;
    pthread_mutex_init(&world.lock, NULL);
    if (!setup->heap) {
        world.pool = need(pool_size, sizeof *world.pool);
        for (uint64_t i = 0; i < pool_size; i++) {
            world.pool[i].next = world.unused;
            world.unused = &world.pool[i];
        }
    }
    const enum soma_status status =
        setup->bytes ? soma_map_new(&byte_options, &world.bytes) : soma_u64_new(&word_options, &world.words);
    if (status != SOMA_OK)
        abort();
}

/* Every object goes through the pipe, a barrier a step, and comes home. */
static void world_close(void)
{
    soma_u64_free(world.words);
    soma_map_free(world.bytes);
    for (uint64_t i = 0; i <= pipe_length + 1; i++)
        soma_barrier_wait();
    if (!releases_early())
        EXPECT_EQ(atomic_load(&world.made), 0);
    free(world.pool);
    pthread_mutex_destroy(&world.lock);
}

static struct seen sum_of_seen(void)
{
    struct seen sum = {.looks = 0};
    for (uint64_t i = 0; i < readers; i++) {
        for (unsigned bin = 0; bin < BINS; bin++) {
            sum.ages[bin] += world.seen[i].ages[bin];
            sum.batches[bin] += world.seen[i].batches[bin];
        }
        sum.poisoned += world.seen[i].poisoned;
        sum.changed += world.seen[i].changed;
        sum.looks += world.seen[i].looks;
        sum.sections += world.seen[i].sections;
    }
    return sum;
}

static void print_bins(const char *what, const uint64_t *bins)
{
    printf("# %s:", what);
    for (unsigned bin = 0; bin < BINS; bin++)
        printf(" %" PRIu64, bins[bin]);
    puts("");
}

static uint64_t from_two_on(const uint64_t *bins)
{
    uint64_t sum = 0;
    for (unsigned bin = 2; bin < BINS; bin++)
        sum += bins[bin];
    return sum;
}

static struct seen torture(const struct setup *setup)
{
    struct crew crew;
    world_open(setup);
    const double start = now_seconds();
    const double wanted = torture_seconds();
    const double seconds = setup->bug != NO_BUG && wanted > CANARY_SECONDS ? CANARY_SECONDS : wanted;
    crew_start(&crew, (unsigned)(readers + updaters) + 1, take_part, NULL);
    while (now_seconds() - start < seconds && failures() == 0) {
        sleep_ms(50);
        torture_progress(atomic_load(&world.ended), 0, "grace periods");
    }
    atomic_store(&world.done, true);
    crew_join(&crew);
    const struct seen seen = sum_of_seen();
    print_bins("ages seen, 0 1 2 ...", seen.ages);
    print_bins("grace periods in a section, 0 1 2 ...", seen.batches);
    printf("# poisoned %" PRIu64 ", changed %" PRIu64 ", sections %" PRIu64 ", taken out %" PRIuFAST64
           ", steps of ageing %" PRIuFAST64 ", grace periods %" PRIuFAST64 "\n",
           seen.poisoned, seen.changed, seen.sections, atomic_load(&world.taken_out), atomic_load(&world.steps),
           atomic_load(&world.ended));
    world_close();
    return seen;
}

static void ages(const void *arg)
{
    const struct setup *setup = arg;
    const struct seen seen = torture(setup);
    EXPECT_EQ(from_two_on(seen.ages), 0);
    EXPECT_EQ(from_two_on(seen.batches), 0);
    EXPECT_EQ(seen.poisoned, 0);
    EXPECT_EQ(seen.changed, 0);
    EXPECT_EQ(atomic_load(&world.misplaced), 0);
    /* Else nothing was tried: nobody held what had gone, nothing got through the pipe, no grace period ended. */
    EXPECT(seen.ages[0] > 0 && seen.ages[1] > 0);
    EXPECT(atomic_load(&world.ended) > 0);
    EXPECT(atomic_load(&world.steps) >= pipe_length - 1);
    EXPECT(!leaks_found());
    torture_did(seen.looks);
}

static bool shown(enum seeded_bug bug, const struct seen *seen)
{
    switch (bug) {
    case EARLY_AGE:
    case NO_SECTION:
        return from_two_on(seen->ages) > 0;
    case EARLY_POISON:
        return seen->poisoned > 0;
    case NO_WAITING:
        return from_two_on(seen->batches) > 0;
    case NO_BUG:
        break;
    }
    return false;
}

/* Each bug where it must show, sooner or later: on a slow machine threads may not meet in the first second. */
static void canary(const void *arg)
{
    const struct setup *setup = arg;
    bool found = false;
    for (int attempt = 0; attempt < CANARY_ATTEMPTS && !found; attempt++) {
        canary_begin();
        const struct seen seen = torture(setup);
        canary_end();
        found = shown(setup->bug, &seen);
    }
    EXPECT(found);
    torture_did(1);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"readers", "threads that look", &readers, 0},
        {"updaters", "threads that take out and put in", &updaters, 0},
        {"keys", "keys at the least", &narrow, 0},
        {"pipe", "grace periods that an object grows old in", &pipe_length, 0},
        {"objects", "objects at the most", &pool_size, 0},
    };
    const struct test_case cases[] = {
        {"pool-u64", ages, &(const struct setup){false, false, NO_BUG}},
        {"heap-u64", ages, &(const struct setup){false, true, NO_BUG}},
        {"pool-map", ages, &(const struct setup){true, false, NO_BUG}},
        {"heap-map", ages, &(const struct setup){true, true, NO_BUG}},
        {"canary-early-age-u64", canary, &(const struct setup){false, false, EARLY_AGE}},
        {"canary-early-age-map", canary, &(const struct setup){true, false, EARLY_AGE}},
        {"canary-early-poison", canary, &(const struct setup){false, false, EARLY_POISON}},
        {"canary-no-section", canary, &(const struct setup){false, false, NO_SECTION}},
        {"canary-no-waiting", canary, &(const struct setup){false, false, NO_WAITING}},
    };
    const struct torture torture = {
        .part = "age",
        .unit = "looks",
        .about = "Readers look at objects that grow older by the grace period, and must see none that is over age.",
        .soak_seconds = 600,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    if (sizeof world.seen / sizeof world.seen[0] < readers)
        return 2;
    return torture_main(argc, argv, &torture);
}
