/* SPDX-License-Identifier: ISC */
/* runner.c - see runner.h. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "linear.h"
#include "map/map_internal.h"
#include "runner.h"
#include "support.h"
#include "tell.h"

#define MANY 4
/* Above this many keys nobody clears: a clear is a call on every key. */
#define CLEAR_KEYS_MAX 16
/* The graph of dependencies is built for rounds of up to so many calls. */
#define GRAPH_CALLS_MAX 40000

struct worker {
    struct run *run;
    unsigned index;
    struct rng rng;
    uint64_t ids;
    struct call *calls;
    uint32_t count;
    uint64_t *seen; /* by key: the value that this thread last saw */
};

struct run {
    const struct setup *setup;
    void *map;
    uint64_t *keys;  /* what the key of an index is */
    uint64_t *state; /* of each key, when the round began */
    atomic_uint_fast64_t clock;
    pthread_barrier_t barrier;
    atomic_bool stop;
    bool filling;  /* this round puts more than it removes */
    uint32_t room; /* calls that a log has room for */
    struct worker workers[THREADS_MAX];

    /* Checking. */
    struct linear *linear;
    struct call *calls;   /* all logs' */
    struct event *events; /* by key, in the order of time */
    uint32_t *at;         /* by time: 2 * call + whether it is an end */
    uint32_t *first;      /* by key: where its events begin */
};

/* ---- One call ---- */

static uint64_t now(struct run *run)
{
    return atomic_fetch_add_explicit(&run->clock, 1, memory_order_acq_rel);
}

/* Different for every call, and never 0. Multiples of 5 are words in the byte map (kinds.c). */
static uint64_t fresh_id(struct worker *worker)
{
    const uint64_t id = (uint64_t)(worker->index + 1) << 48 | ++worker->ids;
    return worker->run->setup->long_values ? id : 5 * id;
}

/* Sums of these are no ids, and no two sums are the same, but for a chance of one in millions of millions. */
static uint64_t fresh_delta(struct worker *worker)
{
    return 5 * (rng_next(&worker->rng) >> 16 | 1);
}

static struct call *log_call(struct worker *worker, enum verb_of_key verb, uint32_t key)
{
    struct call *call = &worker->calls[worker->count++];
    *call = (struct call){.key = key, .verb = (uint8_t)verb, .thread = (uint16_t)worker->index};
    return call;
}

struct update {
    struct call *call;
};

static enum soma_status update_value(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct update *update = ctx;
    (void)key;
    update->call->result = present ? *value : 0;
    *value = update->call->value;
    if (update->call->verb == KEY_UPDATE_REMOVE)
        return SOMA_REMOVED;
    return update->call->verb == KEY_UPDATE_LEAVE ? SOMA_EXISTS : SOMA_OK;
}

static enum soma_status perform(struct run *run, struct call *call)
{
    const struct kind *kind = run->setup->kind;
    const uint64_t key = run->keys[call->key];
    struct update update = {call};
    switch ((enum verb_of_key)call->verb) {
    case KEY_GET:
        return kind->get(run->map, key, &call->result);
    case KEY_PUT:
        return kind->put(run->map, key, call->value, &call->result);
    case KEY_PUT_NEW:
        return kind->put_new(run->map, key, call->value, &call->result);
    case KEY_REPLACE:
        return kind->replace(run->map, key, call->value, &call->result);
    case KEY_CAS:
        return kind->cas(run->map, key, call->expected, call->value, &call->result);
    case KEY_REMOVE:
        return kind->remove(run->map, key, &call->result);
    case KEY_REMOVE_IF:
        return kind->remove_if(run->map, key, call->expected, &call->result);
    case KEY_ADD:
        return kind->fetch_add(run->map, key, call->value, &call->result);
    default:
        return kind->update(run->map, key, update_value, &update);
    }
}

static void one_key(struct worker *worker, enum verb_of_key verb, uint32_t key)
{
    struct run *run = worker->run;
    struct call *call = log_call(worker, verb, key);
    call->value = verb == KEY_ADD ? fresh_delta(worker) : fresh_id(worker);
    call->expected = worker->seen[key];
    call->begin = now(run);
    const enum soma_status status = perform(run, call);
    call->end = now(run);
    call->status = (int8_t)status;
    if (status == SOMA_INSERTED || status == SOMA_REPLACED)
        worker->seen[key] = verb == KEY_ADD ? call->result + call->value : call->value;
    else if (call->result != 0)
        worker->seen[key] = call->result;
    const bool lives = status == SOMA_EXISTS || status == SOMA_CHANGED;
    if (lives && run->setup->bytes && !run->setup->long_values && verb != KEY_UPDATE_LEAVE)
        call->result = RESULT_UNKNOWN; /* a borrowed word may have changed before it was looked at */
}

/* Keys of a call for many are all different, so that each has its own answer. */
static void choose_many(struct worker *worker, uint32_t *keys, uint32_t count)
{
    const uint32_t first = (uint32_t)rng_below(&worker->rng, worker->run->setup->keys);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = (first + i * 7919) % worker->run->setup->keys;
}

static void get_many(struct worker *worker)
{
    struct run *run = worker->run;
    uint32_t indexes[MANY];
    uint64_t keys[MANY];
    uint64_t values[MANY];
    bool found[MANY];
    struct call *calls[MANY];
    const uint32_t count = run->setup->keys >= MANY ? MANY : 1;
    choose_many(worker, indexes, count);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = run->keys[indexes[i]];
        calls[i] = log_call(worker, KEY_GET, indexes[i]);
        calls[i]->begin = now(run);
    }
    run->setup->kind->get_many(run->map, keys, count, values, found);
    for (uint32_t i = 0; i < count; i++) {
        calls[i]->end = now(run);
        calls[i]->status = found[i] ? SOMA_OK : SOMA_ABSENT;
        calls[i]->result = found[i] ? values[i] : 0;
    }
}

static void put_many(struct worker *worker)
{
    struct run *run = worker->run;
    uint32_t indexes[MANY];
    uint64_t keys[MANY];
    uint64_t values[MANY];
    struct call *calls[MANY];
    size_t done = 0;
    const uint32_t count = run->setup->keys >= MANY ? MANY : 1;
    choose_many(worker, indexes, count);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = run->keys[indexes[i]];
        values[i] = fresh_id(worker);
        calls[i] = log_call(worker, KEY_PUT_BLIND, indexes[i]);
        calls[i]->value = values[i];
        calls[i]->begin = now(run);
    }
    (void)run->setup->kind->put_many(run->map, keys, values, count, &done);
    for (uint32_t i = 0; i < count; i++) {
        calls[i]->end = now(run);
        calls[i]->status = i < done ? SOMA_OK : SOMA_E_NOMEM;
    }
}

static void clear(struct worker *worker)
{
    struct run *run = worker->run;
    struct call *calls[CLEAR_KEYS_MAX];
    for (uint32_t key = 0; key < run->setup->keys; key++) {
        calls[key] = log_call(worker, KEY_CLEAR, key);
        calls[key]->begin = now(run);
    }
    const enum soma_status status = run->setup->kind->clear(run->map);
    for (uint32_t key = 0; key < run->setup->keys; key++) {
        calls[key]->end = now(run);
        calls[key]->status = (int8_t)status;
    }
}

/* ---- A round ---- */

/* How often in 1024 each verb comes, when the map is to fill and when it is to empty. */
static const struct {
    uint16_t filling;
    uint16_t emptying;
} weights[KEY_VERBS] = {
    [KEY_GET] = {250, 250},  [KEY_PUT] = {220, 90},          [KEY_PUT_NEW] = {130, 50},     [KEY_REPLACE] = {70, 70},
    [KEY_CAS] = {80, 80},    [KEY_REMOVE] = {60, 230},       [KEY_REMOVE_IF] = {30, 80},    [KEY_ADD] = {70, 40},
    [KEY_UPDATE] = {50, 30}, [KEY_UPDATE_REMOVE] = {20, 60}, [KEY_UPDATE_LEAVE] = {20, 20},
};

static enum verb_of_key choose_verb(struct worker *worker)
{
    uint64_t draw = rng_below(&worker->rng, 1000);
    for (enum verb_of_key verb = KEY_GET; verb < KEY_PUT_BLIND; verb++) {
        const uint64_t weight = worker->run->filling ? weights[verb].filling : weights[verb].emptying;
        if (draw < weight)
            return verb == KEY_ADD && worker->run->setup->long_values ? KEY_PUT : verb;
        draw -= weight;
    }
    return KEY_GET;
}

/* Now and then the table is made to grow or to shrink under everybody. */
static void resize(struct worker *worker)
{
    struct run *run = worker->run;
    if (rng_below(&worker->rng, 2))
        (void)run->setup->kind->reserve(run->map, UINT64_C(1) << (8 + rng_below(&worker->rng, 7)));
    else
        (void)run->setup->kind->shrink(run->map);
}

static void one_call(struct worker *worker)
{
    const struct setup *setup = worker->run->setup;
    const uint64_t draw = rng_below(&worker->rng, 4096);
    if (draw < 3)
        resize(worker);
    else if (draw < 5 && setup->keys <= CLEAR_KEYS_MAX)
        clear(worker);
    else if (draw < 60)
        get_many(worker);
    else if (draw < 100)
        put_many(worker);
    else
        one_key(worker, choose_verb(worker), (uint32_t)rng_below(&worker->rng, setup->keys));
}

static void play_round(struct worker *worker)
{
    worker->count = 0;
    while (worker->count < worker->run->setup->round)
        one_call(worker);
}

/* ---- Checking a round ---- */

static uint32_t gather(struct run *run)
{
    uint32_t total = 0;
    for (unsigned t = 0; t < run->setup->threads; t++) {
        memcpy(&run->calls[total], run->workers[t].calls, run->workers[t].count * sizeof *run->calls);
        total += run->workers[t].count;
    }
    return total;
}

/* Sorts all events by key, and by time within a key: a counting sort over the line of time. */
static void sort_events(struct run *run, uint32_t total)
{
    const uint32_t keys = run->setup->keys;
    memset(run->first, 0, (keys + 2) * sizeof *run->first);
    for (uint32_t i = 0; i < total; i++) {
        run->at[run->calls[i].begin] = 2 * i;
        run->at[run->calls[i].end] = 2 * i + 1;
        run->first[run->calls[i].key + 2] += 2;
    }
    for (uint32_t key = 0; key < keys; key++)
        run->first[key + 2] += run->first[key + 1];
    for (uint32_t time = 0; time < 2 * total; time++) {
        const uint32_t call = run->at[time] / 2;
        run->events[run->first[run->calls[call].key + 1]++] = (struct event){call, run->at[time] % 2 != 0};
    }
}

static void tell(const struct run *run, uint32_t key)
{
    const uint32_t from = run->first[key];
    const uint32_t to = run->first[key + 1];
    struct call *calls = need((to - from) / 2 + 1, sizeof *calls);
    size_t count = 0;
    uint64_t state = run->state[key];
    size_t bad = 0;
    for (uint32_t i = from; i < to; i++) {
        if (!run->events[i].end)
            calls[count++] = run->calls[run->events[i].call];
    }
    fprintf(stderr, "%s: not linearizable (seed %" PRIu64 "); %zu calls on the key in this round, cut down to:\n",
            run->setup->name, test_seed(), count);
    count = history_cut(run->linear, calls, count, &state, &bad);
    history_tell(stderr, calls, count, state, bad);
    free(calls);
}

/* What the key holds now that nobody is at the map; it must be one of the states that its history allows. */
static bool settle(struct run *run, uint32_t key)
{
    uint64_t states[8];
    uint64_t value = 0;
    const size_t n = linear_states(run->linear, states, 8);
    const bool there = run->setup->kind->get(run->map, run->keys[key], &value) == SOMA_OK;
    run->state[key] = there ? value : 0;
    for (size_t i = 0; i < n; i++) {
        if (states[i] == run->state[key])
            return true;
    }
    return n == 8;
}

static bool check_key(struct run *run, uint32_t key, bool quiet)
{
    const uint32_t from = run->first[key];
    const int64_t bad =
        linear_check(run->linear, run->calls, run->events + from, run->first[key + 1] - from, run->state[key]);
    if (bad == LINEAR_HOLDS) {
        if (settle(run, key))
            return true;
        if (!quiet)
            fprintf(stderr, "%s: key %" PRIu32 " holds %" PRIx64 " after a history that does not lead there\n",
                    run->setup->name, key, run->state[key]);
        return false;
    }
    if (!quiet && bad == LINEAR_TOO_WIDE)
        fprintf(stderr, "%s: too many calls at once to be checked\n", run->setup->name);
    else if (!quiet)
        tell(run, key);
    return false;
}

static bool graph_holds(struct run *run, uint32_t total, bool quiet, struct tally *tally)
{
    if (total > GRAPH_CALLS_MAX)
        return true;
    struct graph *graph = graph_new(total);
    if (!graph)
        return true;
    for (uint32_t i = 0; i < total; i++)
        graph_add_call(graph, &run->calls[i]);
    const bool holds = graph_check(graph, quiet ? NULL : stderr);
    graph_free(graph);
    tally->graph_nodes += total;
    return holds;
}

static void check_round(struct run *run, bool quiet, struct tally *tally)
{
    const uint32_t total = gather(run);
    uint64_t violations = 0;
    sort_events(run, total);
    for (uint32_t key = 0; key < run->setup->keys && violations == 0; key++) {
        if (run->first[key] < run->first[key + 1])
            violations += !check_key(run, key, quiet);
    }
    if (violations == 0 && tally->rounds % 8 == 0)
        violations += !graph_holds(run, total, quiet, tally);
    tally->calls += total;
    tally->violations += violations;
    tally->rounds++;
}

/* ---- A run ---- */

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    for (;;) {
        pthread_barrier_wait(&run->barrier);
        if (atomic_load(&run->stop))
            return;
        play_round(&run->workers[index]);
        pthread_barrier_wait(&run->barrier);
    }
}

static void choose_keys(struct run *run)
{
    const struct setup *setup = run->setup;
    struct rng rng = rng_new(setup->keys);
    if (setup->bytes && setup->hashes != HASHES_GOOD)
        soma__map_hash_mask(run->map, setup->hashes == HASHES_CLOSE ? 0 : UINT64_C(7) << 61);
    for (uint32_t i = 0; i < setup->keys; i++) {
        if (setup->bytes)
            run->keys[i] = i + 1;
        else if (setup->hashes == HASHES_GOOD)
            run->keys[i] = rng_next(&rng);
        else if (setup->hashes == HASHES_CLOSE)
            run->keys[i] = soma__mix_inverse(soma__u64_mix(run->map), (UINT64_C(0xb7) << 56) + i);
        else
            run->keys[i] = soma__mix_inverse(soma__u64_mix(run->map), ((uint64_t)i << 61) + i);
    }
}

static struct run *open_run(const struct setup *setup)
{
    const struct kind_options options = {.reserve = 0};
    struct run *run = need(1, sizeof *run);
    run->setup = setup;
    run->room = setup->round + (setup->keys <= CLEAR_KEYS_MAX ? CLEAR_KEYS_MAX : MANY);
    const uint32_t room = run->room * setup->threads;
    run->map = kind_open(setup->kind, &options);
    run->keys = need(setup->keys, sizeof *run->keys);
    run->state = need(setup->keys, sizeof *run->state);
    run->first = need(setup->keys + 2, sizeof *run->first);
    run->calls = need(room, sizeof *run->calls);
    run->events = need(2 * room, sizeof *run->events);
    run->at = need(2 * room, sizeof *run->at);
    run->linear = linear_new();
    choose_keys(run);
    pthread_barrier_init(&run->barrier, NULL, setup->threads + 1);
    for (unsigned t = 0; t < setup->threads; t++) {
        struct worker *worker = &run->workers[t];
        worker->run = run;
        worker->index = t;
        worker->rng = rng_new(100 * setup->keys + t);
        worker->calls = need(run->room, sizeof *worker->calls);
        worker->seen = need(setup->keys, sizeof *worker->seen);
    }
    return run;
}

static void close_run(struct run *run)
{
    run->setup->kind->close(run->map);
    soma_barrier_wait();
    pthread_barrier_destroy(&run->barrier);
    for (unsigned t = 0; t < run->setup->threads; t++) {
        free(run->workers[t].calls);
        free(run->workers[t].seen);
    }
    linear_free(run->linear);
    free(run->at);
    free(run->events);
    free(run->calls);
    free(run->first);
    free(run->state);
    free(run->keys);
    free(run);
}

void run_setup(const struct setup *setup, uint64_t calls, double until, bool quiet, struct tally *tally)
{
    static struct crew crew;
    struct run *run = open_run(setup);
    const uint64_t goal = tally->calls + calls;
    crew_start(&crew, setup->threads, work, run);
    while (tally->calls < goal && now_seconds() < until && tally->violations == 0) {
        atomic_store(&run->clock, 0);
        run->filling = tally->rounds / 3 % 2 == 0;
        pthread_barrier_wait(&run->barrier);
        pthread_barrier_wait(&run->barrier);
        check_round(run, quiet, tally);
    }
    atomic_store(&run->stop, true);
    pthread_barrier_wait(&run->barrier);
    crew_join(&crew);
    close_run(run);
}
