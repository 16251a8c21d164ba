/* SPDX-License-Identifier: ISC */
/* run.c - see run.h. */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "map/map_internal.h"
#include "run.h"
#include "support.h"
#include "words.h"

#define CALLS_EACH 4096
#define REST_READS 512 /* keys that are looked at while all are at rest */
/* What must be left of the round's room before a call. */
#define ROUND_LEAVES (VIEW_KEYS + REST_READS)
#define MANY 8
/* Keys that a view is asked for, and views that a thread has open at a time. */
#define VIEW_KEYS 12
#define VIEWS_OPEN 3
/* Keys that nobody keeps a history of: they come and go beside the others. */
#define BALLAST 2048
#define BALLAST_COLLIDING 16
#define BALLAST_FIRST UINT32_C(0x40000000)
/* So many calls of its own a reader stays in its section, where there is a cap to be reached. */
#define STAY 256
/* So often a thread is made to let others run, wherever it is, give or take a half. Every other round goes undisturbed,
 * ten times as fast: what meets there, meets on different processors at the very same time. */
#define PREEMPT_NS 60000
#define PREEMPT_SELDOM_NS 250000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* How often in a thousand each verb comes, while the map is to fill, and while it is to empty. */
static const struct {
    uint16_t filling;
    uint16_t emptying;
} weights[HISTORY_VERBS] = {
    [HISTORY_GET] = {230, 230},      [HISTORY_PUT] = {180, 80},          [HISTORY_PUT_NEW] = {120, 40},
    [HISTORY_REPLACE] = {60, 60},    [HISTORY_CAS] = {80, 80},           [HISTORY_REMOVE] = {60, 210},
    [HISTORY_REMOVE_IF] = {30, 90},  [HISTORY_ADD] = {100, 60},          [HISTORY_UPDATE] = {50, 30},
    [HISTORY_UPDATE_ADD] = {40, 20}, [HISTORY_UPDATE_REMOVE] = {20, 70}, [HISTORY_UPDATE_LEAVE] = {20, 20},
    [HISTORY_PUT_MANY] = {10, 10},
};

/* A view that has been opened; its answers come later. */
struct open_view {
    soma_view *view; /* or NULL */
    uint32_t keys[VIEW_KEYS];
    unsigned entries[VIEW_KEYS];
    uint32_t count;
};

struct worker {
    struct run *run;
    unsigned index;
    unsigned stays; /* calls until it leaves its section */
    struct rng rng;
    uint64_t ids;
    bool preempts;
    timer_t timer;
    struct open_view open[VIEWS_OPEN];
    struct run_view *views; /* of this round */
    uint32_t views_count;
    uint64_t *seen; /* by key: the value that this thread saw last */
};

struct run {
    const struct setup *setup;
    struct kind_options options;
    void *map;
    uint64_t *keys; /* what the key of an index is */
    struct history *history;
    pthread_barrier_t barrier;
    atomic_bool stop;
    bool filling;
    bool viewing;
    struct rng rng;
    uint64_t preempt_ns; /* 0: never */
    unsigned threads;
    uint32_t phase; /* rounds that the map fills, and empties */
    struct crew crew;
    struct worker workers[HISTORY_THREADS_MAX];
};

struct history *run_history(struct run *run)
{
    return run->history;
}

/* ---- Values ---- */

/* Different for every call, and never 0. */
static uint64_t fresh_id(struct worker *worker)
{
    const uint64_t id = ((uint64_t)(worker->index + 1) << 40 | ++worker->ids) * WORDS_EVERY;
    const bool is_word = worker->run->setup->values == VALUES_WORDS ? rng_below(&worker->rng, 4) > 0 : false;
    return is_word ? id : id + 1 + worker->ids % (WORDS_EVERY - 1);
}

/* Sums are as good as unique. A multiple, so that words stay words. */
static uint64_t fresh_delta(struct worker *worker)
{
    return (rng_next(&worker->rng) >> 16 | 1) * WORDS_EVERY;
}

/* ---- Calls on one key ---- */

struct update {
    const struct history_call *ask;
    uint64_t saw;
};

/* The last time that it is asked is the one that counts. */
static enum soma_status update_value(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct update *update = ctx;
    (void)key;
    update->saw = present ? *value : HISTORY_ABSENT;
    switch ((enum history_verb)update->ask->verb) {
    case HISTORY_UPDATE_ADD:
        *value = (present ? *value : 0) + update->ask->value;
        return SOMA_OK;
    case HISTORY_UPDATE_REMOVE:
        return SOMA_REMOVED;
    case HISTORY_UPDATE_LEAVE:
        return SOMA_EXISTS;
    default:
        *value = update->ask->value;
        return SOMA_OK;
    }
}

static enum soma_status updated(const struct run *run, const struct history_call *ask, uint64_t *result)
{
    struct update update = {ask, HISTORY_ABSENT};
    const enum soma_status status = run->setup->kind->update(run->map, run->keys[ask->key], update_value, &update);
    *result = status < 0 ? HISTORY_ABSENT : update.saw;
    return status;
}

static enum soma_status perform(const struct run *run, const struct history_call *ask, uint64_t *result)
{
    const struct kind *kind = run->setup->kind;
    const uint64_t key = run->keys[ask->key];
    *result = HISTORY_ABSENT;
    switch ((enum history_verb)ask->verb) {
    case HISTORY_GET:
        return kind->get(run->map, key, result);
    case HISTORY_PUT:
        return kind->put(run->map, key, ask->value, result);
    case HISTORY_PUT_NEW:
        return kind->put_new(run->map, key, ask->value, result);
    case HISTORY_REPLACE:
        return kind->replace(run->map, key, ask->value, result);
    case HISTORY_CAS:
        return kind->cas(run->map, key, ask->expected, ask->value, result);
    case HISTORY_REMOVE:
        return kind->remove(run->map, key, result);
    case HISTORY_REMOVE_IF:
        return kind->remove_if(run->map, key, ask->expected, result);
    case HISTORY_ADD:
        return kind->fetch_add(run->map, key, ask->value, result);
    default:
        return updated(run, ask, result);
    }
}

static void one_key(struct worker *worker, enum history_verb verb, uint32_t key)
{
    struct run *run = worker->run;
    const bool adds = verb == HISTORY_ADD || verb == HISTORY_UPDATE_ADD;
    struct history_call ask = {.verb = (uint8_t)verb, .key = key, .expected = worker->seen[key]};
    uint64_t result;
    if ((verb == HISTORY_CAS || verb == HISTORY_REMOVE_IF) && ask.expected == HISTORY_ABSENT)
        ask.expected = 1;
    if (verb != HISTORY_GET && verb != HISTORY_REMOVE && verb != HISTORY_REMOVE_IF)
        ask.value = adds ? fresh_delta(worker) : fresh_id(worker);
    const unsigned entry = history_begin(run->history, worker->index, &ask);
    const enum soma_status status = perform(run, &ask, &result);
    history_end(run->history, entry, status, result);
    if (result != HISTORY_ABSENT && result != HISTORY_UNKNOWN)
        worker->seen[key] = result;
    if (verb != HISTORY_UPDATE_LEAVE && (status == SOMA_INSERTED || status == SOMA_REPLACED))
        worker->seen[key] = adds ? result + ask.value : ask.value;
}

/* ---- Calls on many ---- */

/* Different keys, so that each has an answer of its own. */
static uint32_t choose_many(struct worker *worker, uint32_t *keys)
{
    const uint32_t all = worker->run->setup->keys;
    const uint32_t count = all < MANY ? all : (uint32_t)rng_below(&worker->rng, MANY) + 1;
    const uint32_t first = (uint32_t)rng_below(&worker->rng, all);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = (first + i) % all;
    return count;
}

static void get_many(struct worker *worker)
{
    struct run *run = worker->run;
    uint32_t indexes[MANY];
    uint64_t keys[MANY];
    uint64_t values[MANY];
    bool found[MANY];
    unsigned entries[MANY];
    const uint32_t count = choose_many(worker, indexes);
    for (uint32_t i = 0; i < count; i++) {
        const struct history_call ask = {.verb = HISTORY_GET, .key = indexes[i]};
        keys[i] = run->keys[indexes[i]];
        entries[i] = history_begin(run->history, worker->index, &ask);
    }
    const size_t total = run->setup->kind->get_many(run->map, keys, count, values, found);
    size_t seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        history_end(run->history, entries[i], found[i] ? SOMA_OK : SOMA_ABSENT, found[i] ? values[i] : HISTORY_ABSENT);
        seen += found[i];
    }
    EXPECT_EQ(total, seen);
}

static void put_many(struct worker *worker)
{
    struct run *run = worker->run;
    uint32_t indexes[MANY];
    uint64_t keys[MANY];
    uint64_t values[MANY];
    unsigned entries[MANY];
    size_t done = 0;
    const uint32_t count = choose_many(worker, indexes);
    for (uint32_t i = 0; i < count; i++) {
        const struct history_call ask = {
            .verb = HISTORY_PUT_MANY, .key = indexes[i], .value = values[i] = fresh_id(worker)};
        keys[i] = run->keys[indexes[i]];
        entries[i] = history_begin(run->history, worker->index, &ask);
    }
    const enum soma_status status = run->setup->kind->put_many(run->map, keys, values, count, &done);
    EXPECT((status == SOMA_OK) == (done == count));
    for (uint32_t i = 0; i < count; i++)
        history_end(run->history, entries[i], i < done ? SOMA_OK : status, HISTORY_ABSENT);
}

static void clear(struct worker *worker)
{
    struct run *run = worker->run;
    const struct history_call ask = {.verb = HISTORY_CLEAR, .key = HISTORY_ALL_KEYS};
    const unsigned entry = history_begin(run->history, worker->index, &ask);
    history_end(run->history, entry, run->setup->kind->clear(run->map), HISTORY_ABSENT);
}

/* ---- Views ---- */

/* What a view sees was there at an instant of the call that opened it: lookups over that interval. */
static void open_view(struct worker *worker, struct open_view *open)
{
    struct run *run = worker->run;
    const uint32_t all = run->setup->keys;
    const uint32_t first = (uint32_t)rng_below(&worker->rng, all);
    open->count = all < VIEW_KEYS ? all : VIEW_KEYS;
    for (uint32_t i = 0; i < open->count; i++) {
        const struct history_call ask = {.verb = HISTORY_GET, .key = open->keys[i] = (first + i) % all};
        open->entries[i] = history_begin(run->history, worker->index, &ask);
    }
    const enum soma_status status = run->setup->kind->view(run->map, &open->view);
    for (uint32_t i = 0; i < open->count; i++)
        history_end(run->history, open->entries[i], SOMA_ABSENT, HISTORY_ABSENT);
    if (!EXPECT_EQ(status, SOMA_OK)) {
        open->view = NULL;
        history_forget(run->history, worker->index, open->count);
        return;
    }
    uint32_t calls;
    history_calls(run->history, worker->index, &calls);
    worker->views[worker->views_count++] = (struct run_view){calls - open->count, open->count};
}

/* A cursor must give what the lookups found. */
static void walk_view(const struct run *run, const struct open_view *open, const uint64_t *values)
{
    soma_cursor *cursor = NULL;
    uint64_t key = 0;
    uint64_t value = 0;
    uint32_t given = 0;
    uint32_t there = 0;
    if (!EXPECT_EQ(soma_cursor_open_view(open->view, &cursor), SOMA_OK))
        return;
    while (run->setup->kind->next(cursor, &key, &value) == SOMA_OK) {
        for (uint32_t i = 0; i < open->count; i++) {
            if (run->keys[open->keys[i]] == key) {
                EXPECT_EQ(values[i], value);
                given++;
            }
        }
    }
    for (uint32_t i = 0; i < open->count; i++)
        there += values[i] != HISTORY_ABSENT;
    EXPECT_EQ(given, there);
    soma_cursor_close(cursor);
}

static void ask_view(struct worker *worker, struct open_view *open)
{
    const struct run *run = worker->run;
    uint64_t values[VIEW_KEYS];
    for (uint32_t i = 0; i < open->count; i++) {
        values[i] = HISTORY_ABSENT;
        const enum soma_status status = run->setup->kind->view_get(open->view, run->keys[open->keys[i]], &values[i]);
        history_answer(run->history, open->entries[i], status, values[i]);
    }
    if (run->setup->kind->next && rng_below(&worker->rng, 256) == 0)
        walk_view(run, open, values);
    soma_view_close(open->view);
    open->view = NULL;
}

static void some_view(struct worker *worker)
{
    struct open_view *open = &worker->open[rng_below(&worker->rng, VIEWS_OPEN)];
    if (open->view)
        ask_view(worker, open);
    else if (worker->stays == 0) /* in its section it could not wait for a grace period */
        open_view(worker, open);
}

const struct run_view *run_views(const struct run *run, unsigned thread, uint32_t *count)
{
    *count = run->workers[thread].views_count;
    return run->workers[thread].views;
}

/* ---- What nobody keeps a history of ---- */

/* The table is made to grow or to shrink under everybody. */
static void resize(struct worker *worker)
{
    const struct run *run = worker->run;
    if (rng_below(&worker->rng, 2))
        EXPECT_EQ(run->setup->kind->reserve(run->map, UINT64_C(1) << (8 + rng_below(&worker->rng, 8))), SOMA_OK);
    else
        EXPECT_EQ(run->setup->kind->shrink(run->map), SOMA_OK);
}

static void ballast(struct worker *worker)
{
    const struct run *run = worker->run;
    const uint32_t all = run->setup->hashes == HASHES_GOOD ? BALLAST : BALLAST_COLLIDING;
    const uint64_t key = BALLAST_FIRST + rng_below(&worker->rng, all);
    uint64_t old;
    if (run->filling)
        (void)run->setup->kind->put(run->map, key, key, &old);
    else
        (void)run->setup->kind->remove(run->map, key, &old);
}

/* One thread stays in a section for a while, so that what is retired has to wait, and the cap is reached. */
static void stay(struct worker *worker)
{
    if (worker->run->setup->cap == 0 || worker->index != 0)
        return;
    if (worker->stays > 0 && --worker->stays == 0) {
        soma_read_exit();
    } else if (worker->stays == 0 && rng_below(&worker->rng, 4 * STAY) == 0) {
        soma_read_enter();
        worker->stays = STAY;
    }
}

/* ---- Preemption ---- */

/* On a few processors calls hardly ever meet. A signal stops a thread at any instruction, also in the middle of the
 * library's, and its handler lets the others go on. */
static void let_others_run(int number)
{
    (void)number;
    sched_yield();
}

static void preempt_init(struct worker *worker)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    worker->preempts = timer_create(CLOCK_MONOTONIC, &event, &worker->timer) == 0;
}

/* Nanoseconds from one to the next; 0: no more. */
static void preempt_every(const struct worker *worker, uint64_t ns)
{
    const struct itimerspec when = {.it_interval = {.tv_nsec = (long)ns}, .it_value = {.tv_nsec = (long)ns}};
    if (worker->preempts)
        timer_settime(worker->timer, 0, &when, NULL);
}

static void preempt_fini(const struct worker *worker)
{
    if (worker->preempts)
        timer_delete(worker->timer);
}

/* ---- A round ---- */

static enum history_verb choose_verb(struct worker *worker)
{
    const struct setup *setup = worker->run->setup;
    uint64_t draw = rng_below(&worker->rng, 1000);
    for (enum history_verb verb = HISTORY_GET; verb < HISTORY_CLEAR; verb++) {
        const uint64_t weight = worker->run->filling ? weights[verb].filling : weights[verb].emptying;
        if (draw >= weight) {
            draw -= weight;
            continue;
        }
        if (verb == HISTORY_ADD && setup->values == VALUES_LONG)
            return HISTORY_UPDATE_ADD;
        return verb == HISTORY_PUT_MANY && setup->says_all ? HISTORY_PUT : verb;
    }
    return HISTORY_GET;
}

static void any_key(struct worker *worker)
{
    const uint32_t key = (uint32_t)rng_below(&worker->rng, worker->run->setup->keys);
    const enum history_verb verb = choose_verb(worker);
    /* What is expected is often what is there. */
    if ((verb == HISTORY_CAS || verb == HISTORY_REMOVE_IF) && rng_below(&worker->rng, 2))
        one_key(worker, HISTORY_GET, key);
    if (verb == HISTORY_PUT_MANY)
        put_many(worker);
    else
        one_key(worker, verb, key);
}

static void one_call(struct worker *worker)
{
    const struct setup *setup = worker->run->setup;
    const uint64_t draw = rng_below(&worker->rng, 65536);
    stay(worker);
    if (worker->run->viewing && rng_below(&worker->rng, 65536) < setup->views)
        some_view(worker);
    else if (draw < 24)
        resize(worker);
    else if (draw < 40 && !setup->says_all && (setup->keys < 4096 || draw == 24))
        clear(worker);
    else if (draw < 2000)
        ballast(worker);
    else if (draw < 3000)
        get_many(worker);
    else
        any_key(worker);
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    struct worker *worker = &run->workers[index];
    preempt_init(worker);
    for (;;) {
        pthread_barrier_wait(&run->barrier);
        if (atomic_load(&run->stop))
            break;
        if (run->preempt_ns > 0)
            preempt_every(worker, run->preempt_ns / 2 + rng_below(&worker->rng, run->preempt_ns));
        worker->views_count = 0;
        while (history_room(run->history, index) >= ROUND_LEAVES)
            one_call(worker);
        for (unsigned i = 0; i < VIEWS_OPEN; i++) {
            if (worker->open[i].view)
                ask_view(worker, &worker->open[i]);
        }
        if (worker->stays > 0) {
            worker->stays = 0;
            soma_read_exit();
        }
        preempt_every(worker, 0);
        pthread_barrier_wait(&run->barrier);
    }
    preempt_fini(worker);
}

/* With nobody else about, each of these keys holds one value, which settles what the history left open. */
static void look_at_rest(struct run *run)
{
    struct worker *worker = &run->workers[0];
    const uint32_t all = run->setup->keys;
    for (uint32_t i = 0; i < all && history_room(run->history, 0) > 0; i++)
        one_key(worker, HISTORY_GET, all <= REST_READS ? i : (uint32_t)rng_below(&worker->rng, all));
}

/* ---- Runs ---- */

static void choose_keys(struct run *run, struct rng *rng)
{
    const struct setup *setup = run->setup;
    if (setup->bytes && setup->hashes != HASHES_GOOD)
        soma__map_hash_mask(run->map, setup->hashes == HASHES_SAME ? 0 : UINT64_C(7) << 61);
    for (uint32_t i = 0; i < setup->keys; i++) {
        if (setup->bytes)
            run->keys[i] = i + 1;
        else if (setup->hashes == HASHES_GOOD)
            run->keys[i] = rng_next(rng) << 20 | i;
        else if (setup->hashes == HASHES_SAME)
            run->keys[i] = soma__mix_inverse(soma__u64_mix(run->map), (UINT64_C(0xb7) << 56) + i);
        else
            run->keys[i] = soma__mix_inverse(soma__u64_mix(run->map), ((uint64_t)i << 61) + i);
    }
}

struct run *run_open(const struct setup *setup, unsigned threads, uint64_t stream)
{
    const struct history_options options = {.threads = threads,
                                            .calls_each = CALLS_EACH + ROUND_LEAVES,
                                            .keys = setup->keys,
                                            .is_word = setup->values == VALUES_WORDS ? words_is_word : NULL};
    const struct sigaction action = {.sa_handler = let_others_run, .sa_flags = SA_RESTART};
    struct run *run = need(1, sizeof *run);
    sigaction(SIGUSR2, &action, NULL);
    struct rng rng = rng_new(stream * 1000 + 999);
    run->setup = setup;
    run->threads = threads;
    run->options.deferred_bytes_max = setup->cap;
    run->map = kind_open(setup->kind, &run->options);
    run->keys = need(setup->keys, sizeof *run->keys);
    run->phase = 2 + setup->keys / (threads * CALLS_EACH / 4);
    run->history = history_new(&options);
    if (!run->history)
        abort();
    choose_keys(run, &rng);
    run->rng = rng;
    for (unsigned t = 0; t < threads; t++) {
        run->workers[t] = (struct worker){.run = run, .index = t, .rng = rng_new(stream * 1000 + t)};
        run->workers[t].seen = need(setup->keys, sizeof *run->workers[t].seen);
        run->workers[t].views = need(options.calls_each, sizeof *run->workers[t].views);
    }
    pthread_barrier_init(&run->barrier, NULL, threads + 1);
    crew_start(&run->crew, threads, work, run);
    return run;
}

void run_close(struct run *run)
{
    atomic_store(&run->stop, true);
    pthread_barrier_wait(&run->barrier);
    crew_join(&run->crew);
    pthread_barrier_destroy(&run->barrier);
    run->setup->kind->close(run->map);
    soma_barrier_wait();
    for (unsigned t = 0; t < run->threads; t++) {
        free(run->workers[t].seen);
        free(run->workers[t].views);
    }
    history_free(run->history);
    free(run->keys);
    free(run);
}

static void count_calls(const struct run *run, struct tally *tally)
{
    for (unsigned t = 0; t < run->threads; t++) {
        tally->views += run->workers[t].views_count;
        uint32_t count;
        const struct history_call *calls = history_calls(run->history, t, &count);
        for (uint32_t i = 0; i < count; i++) {
            const int status = calls[i].status;
            tally->by_verb[calls[i].verb]++;
            tally->effective[calls[i].verb] += status == SOMA_INSERTED || status == SOMA_REPLACED ||
                                               status == SOMA_REMOVED ||
                                               (status == SOMA_OK && calls[i].verb != HISTORY_GET);
            tally->refused += status == SOMA_E_NOMEM || status == SOMA_E_LIMIT;
        }
    }
}

/* Says whether the round has views. In most that do, one is open all the time: else nearly every one that is opened
 * waits for all others to leave their sections. */
static soma_view *hold_view(struct run *run, uint64_t round)
{
    const uint64_t draw = rng_below(&run->rng, 8);
    soma_view *held = NULL;
    run->viewing = run->setup->says_all || draw < 3 || round == 0;
    if (run->viewing && draw != 0)
        EXPECT_EQ(run->setup->kind->view(run->map, &held), SOMA_OK);
    return held;
}

void run_play(struct run *run, struct tally *tally)
{
    const double start = now_seconds();
    static const uint64_t preempt[] = {PREEMPT_NS, 0, PREEMPT_SELDOM_NS, 0};
    run->preempt_ns = preempt[tally->rounds % (sizeof preempt / sizeof *preempt)];
    run->filling = tally->rounds / run->phase % 2 == 0;
    soma_view *held = hold_view(run, tally->rounds);
    pthread_barrier_wait(&run->barrier);
    pthread_barrier_wait(&run->barrier);
    soma_view_close(held);
    look_at_rest(run);
    tally->rounds++;
    tally->playing += now_seconds() - start;
}

bool run_check(struct run *run, struct tally *tally)
{
    const double start = now_seconds();
    struct history_verdict verdict;
    count_calls(run, tally);
    const bool holds = history_check(run->history, &verdict);
    tally->calls += verdict.calls;
    tally->violations += verdict.violations;
    tally->undecided += verdict.undecided;
    tally->overlaps += verdict.overlaps;
    tally->most = verdict.most > tally->most ? verdict.most : tally->most;
    tally->checking += now_seconds() - start;
    return holds && verdict.unfinished == 0;
}
