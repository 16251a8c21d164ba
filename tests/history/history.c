/* SPDX-License-Identifier: ISC */
/* history.c - recording, and rounds: all events of a round are sorted by key, and within a key by time (a counting
 * sort: times are numbers of a counter, and no two are the same), and each key's events go through linear.c from the
 * states that the round before has left it in. The work is in proportion to the calls, not to the keys. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "history.h"
#include "linear.h"

#define NO_EVENT UINT32_MAX
#define APART _Alignas(128)

struct log {
    APART uint32_t count; /* each thread writes its own */
};

/* What is known of a key: `first`, and possible - 1 more values in the pool. None: it is not looked at. */
struct key {
    uint64_t first;
    uint32_t more; /* where in the pool */
    uint32_t possible;
    uint32_t events; /* in this round, and where they are */
    uint32_t at;
};

struct history {
    APART atomic_uint_fast64_t clock;
    APART struct history_options options;
    struct log logs[HISTORY_THREADS_MAX];
    struct history_call *calls; /* calls_each of each thread */
    uint64_t base;              /* the clock when the round began */

    /* Events are 2 * entry, and one more if it is an end. */
    uint32_t *by_time;
    uint32_t *by_key;
    uint32_t *clears; /* of all keys, by time */
    uint32_t clear_count;
    struct key *keys;
    uint32_t *touched; /* keys with events */
    uint32_t touched_count;

    uint64_t *pool;
    uint32_t pool_used;
    uint32_t pool_size;
    struct linear linear;
    struct history_verdict verdict;
    struct explanation explanation;
};

/* ---- Life ---- */

static uint32_t capacity(const struct history *history)
{
    return history->options.threads * history->options.calls_each;
}

static bool allocate(struct history *history)
{
    const size_t room = capacity(history);
    const size_t keys = history->options.keys;
    history->calls = malloc(room * sizeof *history->calls);
    history->by_time = malloc((2 * room + 2) * sizeof *history->by_time);
    history->by_key = malloc((2 * room + 2) * sizeof *history->by_key);
    history->clears = malloc((2 * room + 2) * sizeof *history->clears);
    history->keys = calloc(keys, sizeof *history->keys);
    history->touched = malloc(keys * sizeof *history->touched);
    const bool linear = linear_init(&history->linear, history->options.is_word);
    return history->calls && history->by_time && history->by_key && history->clears && history->keys &&
           history->touched && linear;
}

struct history *history_new(const struct history_options *options)
{
    const uint64_t room = (uint64_t)options->threads * options->calls_each;
    if (options->threads > HISTORY_THREADS_MAX || room == 0 || room > UINT32_MAX / 4 || options->keys == 0)
        return NULL;
    struct history *history = aligned_alloc(128, sizeof *history);
    if (!history)
        return NULL;
    memset(history, 0, sizeof *history);
    history->options = *options;
    if (!allocate(history)) {
        history_free(history);
        return NULL;
    }
    history_reset(history);
    return history;
}

void history_free(struct history *history)
{
    if (!history)
        return;
    linear_fini(&history->linear);
    free(history->calls);
    free(history->by_time);
    free(history->by_key);
    free(history->clears);
    free(history->keys);
    free(history->touched);
    free(history->pool);
    free(history);
}

void history_reset(struct history *history)
{
    for (uint32_t key = 0; key < history->options.keys; key++)
        history->keys[key] = (struct key){.first = HISTORY_ABSENT, .possible = 1};
    for (unsigned t = 0; t < history->options.threads; t++)
        history->logs[t].count = 0;
    history->pool_used = 0;
    history->explanation.text[0] = '\0';
    history->explanation.sentence = 0;
    history->base = 1;
    atomic_store_explicit(&history->clock, 1, memory_order_relaxed);
}

void history_assume(struct history *history, uint32_t key, uint64_t value)
{
    history->keys[key].first = value;
    history->keys[key].possible = 1;
}

/* ---- Recording ---- */

#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

/* Under the thread sanitizer the clock orders nothing in its eyes, so that it hides no race of the map's; the machine's
 * instruction is the same where the sanitizer runs. */
static uint64_t tick(struct history *history)
{
#if defined(WATCHED) && defined(__x86_64__)
    return atomic_fetch_add_explicit(&history->clock, 1, memory_order_relaxed);
#else
    return atomic_fetch_add_explicit(&history->clock, 1, memory_order_seq_cst);
#endif
}

unsigned history_begin(struct history *history, unsigned thread, const struct history_call *ask)
{
    const unsigned entry = thread * history->options.calls_each + history->logs[thread].count;
    if (history->logs[thread].count++ == history->options.calls_each)
        abort();
    struct history_call *call = &history->calls[entry];
    *call = *ask;
    call->thread = (uint8_t)thread;
    call->end = 0;
    call->call = tick(history);
    return entry;
}

void history_end(struct history *history, unsigned entry, enum soma_status status, uint64_t result)
{
    const uint64_t end = tick(history);
    struct history_call *call = &history->calls[entry];
    call->status = (int8_t)status;
    call->result = result;
    call->end = end;
}

void history_answer(struct history *history, unsigned entry, enum soma_status status, uint64_t result)
{
    history->calls[entry].status = (int8_t)status;
    history->calls[entry].result = result;
}

void history_forget(struct history *history, unsigned thread, uint32_t count)
{
    history->logs[thread].count -= count;
}

uint32_t history_room(const struct history *history, unsigned thread)
{
    return history->options.calls_each - history->logs[thread].count;
}

void history_add(struct history *history, const struct history_call *call)
{
    struct log *log = &history->logs[call->thread];
    struct history_call *copy = &history->calls[call->thread * history->options.calls_each + log->count++];
    *copy = *call;
    copy->call += history->base - 1;
    if (copy->end != 0)
        copy->end += history->base - 1;
    const uint64_t last = (copy->end > copy->call ? copy->end : copy->call) + 1;
    if (atomic_load_explicit(&history->clock, memory_order_relaxed) < last)
        atomic_store_explicit(&history->clock, last, memory_order_relaxed);
}

const struct history_call *history_calls(const struct history *history, unsigned thread, uint32_t *count)
{
    *count = history->logs[thread].count;
    return &history->calls[thread * history->options.calls_each];
}

/* ---- What a key may hold ---- */

static uint64_t state_of(const struct history *history, const struct key *key, uint32_t i)
{
    return i == 0 ? key->first : history->pool[key->more + i - 1];
}

unsigned history_states(const struct history *history, uint32_t key, uint64_t *states, unsigned most)
{
    const struct key *k = &history->keys[key];
    for (uint32_t i = 0; i < k->possible && i < most; i++)
        states[i] = state_of(history, k, i);
    return k->possible;
}

/* Leaves out of the pool what no key refers to any more; makes it larger if it is still half full. */
static bool pool_room(struct history *history, uint32_t more)
{
    if (history->pool_used + more <= history->pool_size)
        return true;
    uint32_t live = 0;
    for (uint32_t key = 0; key < history->options.keys; key++)
        live += history->keys[key].possible > 1 ? history->keys[key].possible - 1 : 0;
    const uint32_t size = 2 * (live + more) > history->pool_size ? 4 * (live + more) : history->pool_size;
    uint64_t *pool = malloc(size * sizeof *pool);
    if (!pool)
        return false;
    history->pool_used = 0;
    for (uint32_t key = 0; key < history->options.keys; key++) {
        struct key *k = &history->keys[key];
        if (k->possible <= 1)
            continue;
        memcpy(&pool[history->pool_used], &history->pool[k->more], (k->possible - 1) * sizeof *pool);
        k->more = history->pool_used;
        history->pool_used += k->possible - 1;
    }
    free(history->pool);
    history->pool = pool;
    history->pool_size = size;
    return true;
}

/* What the checker has found possible. Different ways may lead to one state. */
static void keep_states(struct history *history, struct key *key)
{
    const struct configuration *states;
    const unsigned count = linear_states(&history->linear, &states);
    key->possible = 1;
    key->first = states[0].state;
    if (count == 1)
        return;
    if (!pool_room(history, count)) {
        key->possible = 0;
        history->verdict.undecided++;
        return;
    }
    key->more = history->pool_used;
    for (unsigned i = 1; i < count; i++) {
        bool known = states[i].state == key->first;
        for (uint32_t j = 0; j + 1 < key->possible && !known; j++)
            known = history->pool[key->more + j] == states[i].state;
        if (!known) {
            history->pool[history->pool_used++] = states[i].state;
            key->possible++;
        }
    }
}

/* ---- Sorting a round ---- */

static void sort_by_time(struct history *history, uint32_t ticks)
{
    memset(history->by_time, 0xff, ticks * sizeof *history->by_time);
    for (unsigned t = 0; t < history->options.threads; t++) {
        const uint32_t first = t * history->options.calls_each;
        for (uint32_t entry = first; entry < first + history->logs[t].count; entry++) {
            const struct history_call *call = &history->calls[entry];
            history->by_time[call->call - history->base] = 2 * entry;
            if (call->end != 0)
                history->by_time[call->end - history->base] = 2 * entry + 1;
            else
                history->verdict.unfinished++;
        }
        history->verdict.calls += history->logs[t].count;
    }
}

static void count_by_key(struct history *history, uint32_t ticks)
{
    history->touched_count = 0;
    history->clear_count = 0;
    for (uint32_t time = 0; time < ticks; time++) {
        const uint32_t event = history->by_time[time];
        if (event == NO_EVENT)
            continue;
        const uint32_t key = history->calls[event / 2].key;
        if (key == HISTORY_ALL_KEYS)
            history->clears[history->clear_count++] = event;
        else if (history->keys[key].events++ == 0)
            history->touched[history->touched_count++] = key;
    }
}

static void sort_by_key(struct history *history, uint32_t ticks)
{
    uint32_t at = 0;
    count_by_key(history, ticks);
    for (uint32_t i = 0; i < history->touched_count; i++) {
        struct key *key = &history->keys[history->touched[i]];
        key->at = at;
        at += key->events;
        key->events = 0;
    }
    for (uint32_t time = 0; time < ticks; time++) {
        const uint32_t event = history->by_time[time];
        if (event == NO_EVENT || history->calls[event / 2].key == HISTORY_ALL_KEYS)
            continue;
        struct key *key = &history->keys[history->calls[event / 2].key];
        history->by_key[key->at + key->events++] = event;
    }
}

/* ---- Checking a key ---- */

static uint64_t time_of(const struct history *history, uint32_t event)
{
    const struct history_call *call = &history->calls[event / 2];
    return event % 2 ? call->end : call->call;
}

/* A key's events and those of clears, by time. */
struct cursor {
    uint32_t own;
    uint32_t clear;
};

static uint32_t next_event(const struct history *history, const struct key *key, struct cursor *cursor)
{
    const bool more_own = cursor->own < key->events;
    const bool more_clears = cursor->clear < history->clear_count;
    if (!more_own && !more_clears)
        return NO_EVENT;
    if (more_own && (!more_clears || time_of(history, history->by_key[key->at + cursor->own]) <
                                         time_of(history, history->clears[cursor->clear])))
        return history->by_key[key->at + cursor->own++];
    return history->clears[cursor->clear++];
}

static void explain_key(struct history *history, const struct key *key, uint32_t index)
{
    struct cursor cursor = {0, 0};
    const size_t most = key->events + history->clear_count;
    struct history_call *calls = malloc((most + 1) * sizeof *calls);
    uint64_t *states = malloc(key->possible * sizeof *states);
    uint32_t count = 0;
    if (calls && states) {
        history_states(history, index, states, key->possible);
        for (uint32_t event = next_event(history, key, &cursor); event != NO_EVENT;
             event = next_event(history, key, &cursor)) {
            if (event % 2 == 0)
                calls[count++] = history->calls[event / 2];
        }
        explain(&history->explanation, index, calls, count, states, key->possible, history->options.is_word);
    }
    free(states);
    free(calls);
}

/* Its end follows at once: nothing else of this key is under way. */
static bool is_alone(const struct history *history, const struct key *key, const struct cursor *cursor, uint32_t event)
{
    return history->clear_count == 0 && history->linear.slots == 0 && cursor->own < key->events &&
           history->by_key[key->at + cursor->own] == event + 1;
}

static enum linear_answer run_key(struct history *history, const struct key *key, bool *unfinished)
{
    struct linear *linear = &history->linear;
    enum linear_answer answer = LINEAR_HOLDS;
    struct cursor cursor = {0, 0};
    linear_start(linear);
    for (uint32_t i = 0; i < key->possible; i++)
        linear_add_state(linear, state_of(history, key, i));
    while (answer == LINEAR_HOLDS) {
        const uint32_t event = next_event(history, key, &cursor);
        if (event == NO_EVENT)
            break;
        if (event % 2 == 1) {
            answer = linear_end(linear, event / 2);
            continue;
        }
        const struct history_call *call = &history->calls[event / 2];
        const struct step step = step_of(call, history->options.is_word);
        *unfinished |= call->end == 0;
        history->verdict.overlaps += linear->slots != 0;
        if (is_alone(history, key, &cursor, event)) {
            answer = linear_alone(linear, &step);
            cursor.own++;
        } else if (!step.optional || step_changes(&step)) {
            answer = linear_begin(linear, event / 2, &step);
        }
    }
    return answer;
}

static void check_key(struct history *history, uint32_t index)
{
    struct key *key = &history->keys[index];
    bool unfinished = false;
    if (key->possible == 0)
        return;
    const enum linear_answer answer = run_key(history, key, &unfinished);
    if (answer == LINEAR_IMPOSSIBLE) {
        history->verdict.violations++;
        if (history->explanation.text[0] == '\0')
            explain_key(history, key, index);
    }
    history->verdict.undecided += answer == LINEAR_TOO_MANY;
    if (answer != LINEAR_HOLDS || unfinished)
        key->possible = 0;
    else
        keep_states(history, key);
}

/* Whether one of the clears has an answer that no clear has: then any key will do to say so. */
static bool clear_is_wrong(const struct history *history)
{
    for (uint32_t i = 0; i < history->clear_count; i++) {
        const struct step step = step_of(&history->calls[history->clears[i] / 2], history->options.is_word);
        if (step.guard == WHEN_NEVER)
            return true;
    }
    return false;
}

/* Keys that only clears have come by. */
static void clear_others(struct history *history)
{
    const bool wrong = clear_is_wrong(history);
    for (uint32_t key = 0; key < history->options.keys; key++) {
        const struct key *k = &history->keys[key];
        const bool needed = k->possible > 1 || k->first != HISTORY_ABSENT;
        if (k->events == 0 && (needed || (wrong && history->verdict.violations == 0)))
            check_key(history, key);
    }
}

bool history_check(struct history *history, struct history_verdict *verdict)
{
    const uint64_t clock = atomic_load(&history->clock);
    if (clock - history->base > 2 * (uint64_t)capacity(history))
        abort();
    const uint32_t ticks = (uint32_t)(clock - history->base);
    history->verdict = (struct history_verdict){0};
    sort_by_time(history, ticks);
    sort_by_key(history, ticks);
    for (uint32_t i = 0; i < history->touched_count; i++)
        check_key(history, history->touched[i]);
    if (history->clear_count > 0)
        clear_others(history);
    for (uint32_t i = 0; i < history->touched_count; i++)
        history->keys[history->touched[i]].events = 0;
    for (unsigned t = 0; t < history->options.threads; t++)
        history->logs[t].count = 0;
    history->base = clock;
    history->verdict.most = history->linear.most;
    if (verdict)
        *verdict = history->verdict;
    return history->verdict.violations == 0 && history->verdict.undecided == 0;
}

const char *history_why(const struct history *history)
{
    return history->explanation.text;
}

const char *history_sentence(const struct history *history)
{
    return history->explanation.text + history->explanation.sentence;
}
