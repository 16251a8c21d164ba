/* SPDX-License-Identifier: ISC */
/* views.c - the graph of dependencies on histories by hand, on small random ones of many keys with views, where a
 * search through all orders must say the same, and on what real threads did to real maps, where it must find no
 * cycle. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "graph.h"
#include "run.h"
#include "script.h"
#include "support.h"
#include "words.h"

/* Spoilt histories of each kind that a case must have seen. */
#define ENOUGH 100

/* ---- By hand ---- */

static const struct {
    const char *what;
    bool holds;
    const char *text;
} scripts[] = {
    {"a view of one instant", true, "0 1-2 put@0 5 = inserted; 0 3-4 put@1 6 = inserted; 1 5-6 view 0:5 1:6"},
    {"a view in the middle", true, "0 1-2 put@0 5 = inserted; 0 4-5 put@1 6 = inserted; 1 3-6 view 0:5 1:absent"},
    {"fractured: the second write without the first", false,
     "0 2-3 put@0 5 = inserted; 0 4-5 put@1 6 = inserted; 1 1-6 view 0:absent 1:6"},
    {"fractured: one new value and one old one", false,
     "0 1-2 put@0 1 = inserted; 0 3-4 put@1 2 = inserted; 0 6-7 put@0 3 = replaced 1; 0 8-9 put@1 4 = replaced 2; "
     "1 5-10 view 0:1 1:4"},
    {"not fractured: writes beside each other", true,
     "0 1-2 put@0 1 = inserted; 0 3-4 put@1 2 = inserted; 0 6-9 put@0 3 = replaced 1; 2 7-8 put@1 4 = replaced 2; "
     "1 5-10 view 0:1 1:4"},
    {"long fork: two views, two orders", false,
     "0 1-8 put@0 5 = inserted; 1 2-9 put@1 6 = inserted; 2 3-6 view 0:5 1:absent; 3 4-7 view 0:absent 1:6"},
    {"no fork: two views in one order", true,
     "0 1-8 put@0 5 = inserted; 1 2-9 put@1 6 = inserted; 2 3-6 view 0:5 1:absent; 3 4-7 view 0:5 1:6"},
    {"stale: a view of what was gone", false, "0 1-2 put@0 5 = inserted; 0 3-4 put@0 6 = replaced 5; 1 5-6 view 0:5"},
    {"stale: a view behind an update that it must know of", false,
     "0 1-2 put@0 5 = inserted; 0 3-4 put@1 6 = inserted; 1 5-6 view 0:5 1:absent"},
    {"back in time: a later view is older", false, "0 1-10 put@0 5 = inserted; 1 2-3 view 0:5; 1 4-5 view 0:absent"},
    {"a view ahead of a get", false, "0 1-10 put@0 5 = inserted; 1 2-3 view 0:5 1:absent; 2 4-5 get@0 = absent"},
    {"a view and a get beside each other", true,
     "0 1-10 put@0 5 = inserted; 1 2-4 view 0:5 1:absent; 2 3-5 get@0 = absent"},
    {"a view of the future", false, "1 1-2 view 0:5; 0 3-4 put@0 5 = inserted"},
    {"a view of what nobody stored", false, "0 1-2 put@0 5 = inserted; 1 3-4 view 0:7"},
    {"between two lives", true,
     "0 1-2 put@0 5 = inserted; 0 3-4 remove@0 = removed 5; 0 6-7 put@0 8 = inserted; 1 5-8 view 0:absent"},
    {"absent in the middle of a life", false,
     "0 1-2 put@0 5 = inserted; 1 3-4 view 0:absent; 0 5-6 remove@0 = removed 5"},
    {"two lives at once", false, "0 1-4 put@0 5 = inserted; 1 2-3 put@0 6 = inserted; 0 5-6 remove@0 = removed 6"},
    {"two lives, the order by who removed", true,
     "0 1-8 put@0 5 = inserted; 1 2-7 put@0 6 = inserted; 2 3-6 remove@0 = removed 5; 2 9-10 get@0 = ok 6"},
    {"two lives, the order by a view", true,
     "0 1-20 put@0 5 = inserted; 1 2-21 put@0 6 = inserted; 2 3-18 remove@0 = removed 5; 3 4-19 remove@0 = removed 6; "
     "4 5-6 put@1 7 = inserted; 5 7-8 view 0:6 1:7; 5 9-10 view 0:5 1:7"},
    {"two lives, two views in two orders", false,
     "0 1-20 put@0 5 = inserted; 1 2-21 put@0 6 = inserted; 2 3-18 remove@0 = removed 5; 3 4-19 remove@0 = removed 6; "
     "5 7-8 view 0:6; 5 9-10 view 0:5; 5 11-12 view 0:6"},
    {"taken out twice", false, "0 1-2 put@0 5 = inserted; 0 3-6 remove@0 = removed 5; 1 4-5 put@0 6 = replaced 5"},
    {"a ring of replacements", false, "0 1-4 put@0 5 = replaced 6; 1 2-3 put@0 6 = replaced 5"},
    {"an answer that there is not", false, "0 1-2 get@0 = inserted"},
    {"write skew is no matter of views", true,
     "0 1-2 put@0 1 = inserted; 0 3-4 put@1 2 = inserted; 0 5-10 put@0 3 = replaced 1; 1 6-9 put@1 4 = replaced 2; "
     "2 7-8 view 0:1 1:2; 3 11-12 view 0:3 1:4"},
};

static enum graph_answer answer_for(struct graph *graph, const char *text)
{
    struct script_call calls[SCRIPT_CALLS];
    const uint32_t count = script_read(text, calls);
    graph_reset(graph);
    for (uint32_t i = 0; i < count; i++) {
        if (calls[i].view)
            graph_add_view(graph, calls[i].call.thread, calls[i].call.call, calls[i].call.end, calls[i].seen,
                           calls[i].seen_count);
        else
            graph_add_call(graph, &calls[i].call);
    }
    return graph_check(graph);
}

void views_by_hand(const void *setup)
{
    struct graph *graph = graph_new(SCRIPT_CALLS, SCRIPT_CALLS * SCRIPT_SEEN, NULL);
    (void)setup;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        const enum graph_answer answer = answer_for(graph, scripts[i].text);
        if (!EXPECT(answer == (scripts[i].holds ? GRAPH_HOLDS : GRAPH_IMPOSSIBLE)))
            fprintf(stderr, "%s: answered %d\n%s", scripts[i].what, (int)answer, graph_why(graph));
        EXPECT(scripts[i].holds || strstr(graph_why(graph), "Impossible") != NULL);
        verified(1);
    }
    EXPECT(answer_for(graph, "0 1-2 put_many@0 5 = ok") == GRAPH_UNDECIDED);
    EXPECT(answer_for(graph, "0 1-? put@0 5") == GRAPH_UNDECIDED);
    EXPECT(answer_for(graph, "0 1-2 put@0 5 = inserted; 0 3-4 put@0 5 = replaced 5") == GRAPH_UNDECIDED);
    graph_free(graph);
}

/* ---- Small random ones ---- */

#define KEYS 3
#define CALLS_MAX 8
#define THREADS 4

struct whole {
    uint64_t values[KEYS];
};

struct mixed {
    struct script_call calls[CALLS_MAX];
    unsigned count;
};

static void effect(const struct script_call *ask, const struct whole *state, struct script_call *told,
                   struct whole *after)
{
    *told = *ask;
    *after = *state;
    if (ask->view) {
        for (uint32_t i = 0; i < ask->seen_count; i++)
            told->seen[i].value = state->values[ask->seen[i].key];
        return;
    }
    const uint32_t key = ask->call.key;
    const uint64_t there = state->values[key];
    told->call.result = there;
    switch ((enum history_verb)ask->call.verb) {
    case HISTORY_PUT:
        told->call.status = there ? SOMA_REPLACED : SOMA_INSERTED;
        after->values[key] = ask->call.value;
        break;
    case HISTORY_REMOVE:
        told->call.status = there ? SOMA_REMOVED : SOMA_ABSENT;
        after->values[key] = HISTORY_ABSENT;
        break;
    default:
        told->call.status = there ? SOMA_OK : SOMA_ABSENT;
        break;
    }
}

static struct script_call random_ask(struct rng *rng, unsigned number)
{
    static const uint8_t verbs[] = {HISTORY_PUT, HISTORY_PUT, HISTORY_REMOVE, HISTORY_GET};
    struct script_call ask = {.view = rng_below(rng, 3) == 0};
    ask.call.verb = verbs[rng_below(rng, 4)];
    ask.call.key = (uint32_t)rng_below(rng, KEYS);
    ask.call.value = ask.call.verb == HISTORY_PUT ? 10 + number : 0;
    for (uint32_t key = 0; ask.view && key < KEYS; key++) {
        if (rng_below(rng, 3))
            ask.seen[ask.seen_count++] = (struct graph_seen){key, 0};
    }
    return ask;
}

static void random_mixed(struct rng *rng, struct mixed *mixed)
{
    int current[THREADS] = {-1, -1, -1, -1};
    bool effected[THREADS] = {false};
    const unsigned goal = 2 + (unsigned)rng_below(rng, CALLS_MAX - 1);
    struct whole state = {{0}};
    uint64_t clock = 1;
    unsigned under_way = 0;
    mixed->count = 0;
    while (mixed->count < goal || under_way > 0) {
        const unsigned t = (unsigned)rng_below(rng, THREADS);
        if (current[t] < 0) {
            if (mixed->count == goal)
                continue;
            current[t] = (int)mixed->count;
            effected[t] = false;
            mixed->calls[mixed->count] = random_ask(rng, mixed->count);
            mixed->calls[mixed->count].call.thread = (uint8_t)t;
            mixed->calls[mixed->count++].call.call = clock++;
            under_way++;
        } else if (!effected[t]) {
            struct script_call told;
            struct whole after;
            effect(&mixed->calls[current[t]], &state, &told, &after);
            mixed->calls[current[t]] = told;
            state = after;
            effected[t] = true;
        } else {
            mixed->calls[current[t]].call.end = clock++;
            current[t] = -1;
            under_way--;
        }
    }
}

/* Another value that was there at some time, or absence. */
static uint64_t some_value(struct rng *rng, const struct mixed *mixed, uint32_t key)
{
    const struct script_call *other = &mixed->calls[rng_below(rng, mixed->count)];
    return !other->view && other->call.key == key ? other->call.value : HISTORY_ABSENT;
}

static void spoil(struct rng *rng, struct mixed *mixed)
{
    struct script_call *call = &mixed->calls[rng_below(rng, mixed->count)];
    if (call->view) {
        if (call->seen_count > 0) {
            struct graph_seen *seen = &call->seen[rng_below(rng, call->seen_count)];
            seen->value = some_value(rng, mixed, seen->key);
        }
        return;
    }
    call->call.result = some_value(rng, mixed, call->call.key);
    const bool there = call->call.result != HISTORY_ABSENT;
    if (call->call.verb == HISTORY_PUT)
        call->call.status = there ? SOMA_REPLACED : SOMA_INSERTED;
    else if (call->call.verb == HISTORY_REMOVE)
        call->call.status = there ? SOMA_REMOVED : SOMA_ABSENT;
    else
        call->call.status = there ? SOMA_OK : SOMA_ABSENT;
}

static bool told_so(const struct script_call *call, const struct whole *state, struct whole *after)
{
    struct script_call told;
    effect(call, state, &told, after);
    if (!call->view)
        return told.call.status == call->call.status && told.call.result == call->call.result;
    for (uint32_t i = 0; i < call->seen_count; i++) {
        if (told.seen[i].value != call->seen[i].value)
            return false;
    }
    return true;
}

static bool some_order(const struct mixed *mixed, unsigned done, const struct whole *state)
{
    if (done == (1u << mixed->count) - 1)
        return true;
    for (unsigned i = 0; i < mixed->count; i++) {
        struct whole after;
        bool next = (done >> i & 1) == 0;
        for (unsigned j = 0; j < mixed->count; j++)
            next &= (done >> j & 1) || mixed->calls[j].call.end > mixed->calls[i].call.call;
        if (next && told_so(&mixed->calls[i], state, &after) && some_order(mixed, done | 1u << i, &after))
            return true;
    }
    return false;
}

static enum graph_answer answer_mixed(struct graph *graph, const struct mixed *mixed)
{
    graph_reset(graph);
    for (unsigned i = 0; i < mixed->count; i++) {
        const struct script_call *call = &mixed->calls[i];
        if (call->view)
            graph_add_view(graph, call->call.thread, call->call.call, call->call.end, call->seen, call->seen_count);
        else
            graph_add_call(graph, &call->call);
    }
    return graph_check(graph);
}

static void tell(const struct mixed *mixed, const struct graph *graph)
{
    for (unsigned i = 0; i < mixed->count; i++) {
        const struct script_call *call = &mixed->calls[i];
        fprintf(stderr, "%u %" PRIu64 "-%" PRIu64 " ", call->call.thread, call->call.call, call->call.end);
        if (call->view)
            fprintf(stderr, "view");
        else
            fprintf(stderr, "%s@%u %" PRIu64 " = %d %" PRIu64, history_verb_name((enum history_verb)call->call.verb),
                    call->call.key, call->call.value, call->call.status, call->call.result);
        for (uint32_t s = 0; s < call->seen_count; s++)
            fprintf(stderr, " %u:%" PRIu64, call->seen[s].key, call->seen[s].value);
        fprintf(stderr, ";\n");
    }
    fputs(graph_why(graph), stderr);
}

void views_small(const void *setup)
{
    static const struct whole empty;
    struct graph *graph = graph_new(CALLS_MAX, CALLS_MAX * SCRIPT_SEEN, NULL);
    struct rng rng = rng_new(600);
    const double end = now_seconds() + test_seconds() / 2;
    uint64_t right = 0;
    uint64_t wrong = 0;
    uint64_t retries = 0;
    (void)setup;
    while ((now_seconds() < end || right < ENOUGH || wrong < ENOUGH) && failures() == 0) {
        struct mixed mixed;
        random_mixed(&rng, &mixed);
        if (!EXPECT(answer_mixed(graph, &mixed) == GRAPH_HOLDS))
            tell(&mixed, graph);
        retries += graph_retries(graph);
        spoil(&rng, &mixed);
        const bool holds = some_order(&mixed, 0, &empty);
        if (!EXPECT(answer_mixed(graph, &mixed) == (holds ? GRAPH_HOLDS : GRAPH_IMPOSSIBLE)))
            tell(&mixed, graph);
        retries += graph_retries(graph);
        right += holds;
        wrong += !holds;
        verified(2);
    }
    EXPECT(right >= ENOUGH && wrong >= ENOUGH);
    printf("# spoilt histories with views: %" PRIu64 " still right, %" PRIu64 " wrong; other orders tried %" PRIu64
           " times\n",
           right, wrong, retries);
    graph_free(graph);
}

/* ---- Real threads ---- */

#define GRAPH_THREADS 4
#define GRAPH_CALLS 20000
#define SEEN_MAX 64

uint64_t views_goal;
uint64_t views_checked;
uint64_t views_violations;

static void add_view(struct graph *graph, unsigned thread, const struct history_call *calls, uint32_t count)
{
    struct graph_seen seen[SEEN_MAX];
    for (uint32_t i = 0; i < count; i++)
        seen[i] = (struct graph_seen){calls[i].key, calls[i].result};
    graph_add_view(graph, thread, calls[count - 1].call, calls[0].end, seen, count);
}

/* The last lookup of the round, with everybody at rest, is told to have answered otherwise: there must be a cycle. */
static struct history_call spoilt(const struct history_call *call)
{
    struct history_call wrong = *call;
    EXPECT_EQ(call->verb, HISTORY_GET);
    wrong.status = call->status == SOMA_OK ? SOMA_ABSENT : SOMA_OK;
    wrong.result = wrong.status == SOMA_OK ? 1 : HISTORY_ABSENT;
    return wrong;
}

static void add_thread(struct graph *graph, struct run *run, unsigned t, bool spoil)
{
    uint32_t count;
    uint32_t views;
    const struct history_call *calls = history_calls(run_history(run), t, &count);
    const struct run_view *view = run_views(run, t, &views);
    const struct run_view *last = view + views;
    for (uint32_t i = 0; i < count;) {
        if (view < last && i == view->first) {
            add_view(graph, t, &calls[i], view->count);
            i += view++->count;
            continue;
        }
        const struct history_call wrong = spoil && t == 0 && i + 1 == count ? spoilt(&calls[i]) : calls[i];
        graph_add_call(graph, &wrong);
        i++;
    }
}

static enum graph_answer answer_round(struct graph *graph, struct run *run, uint32_t keys, bool spoil)
{
    graph_reset(graph);
    for (uint32_t key = 0; key < keys; key++) {
        uint64_t state = HISTORY_ABSENT;
        EXPECT_EQ(history_states(run_history(run), key, &state, 1), 1);
        graph_initial(graph, key, state);
    }
    for (unsigned t = 0; t < GRAPH_THREADS; t++)
        add_thread(graph, run, t, spoil);
    return graph_check(graph);
}

void views_real(const void *setup)
{
    const struct setup *how = setup;
    struct graph *graph =
        graph_new(GRAPH_CALLS, GRAPH_CALLS + how->keys, how->values == VALUES_WORDS ? words_is_word : NULL);
    struct tally tally = {0};
    struct run *run = run_open(how, GRAPH_THREADS, 9);
    const double start = now_seconds();
    const double end = start + test_seconds() / 2;
    double told = start;
    double checking = 0;
    bool holds = true;
    do {
        run_play(run, &tally);
        const double before = now_seconds();
        const enum graph_answer answer = answer_round(graph, run, how->keys, false);
        checking += now_seconds() - before;
        if (!EXPECT(answer == GRAPH_HOLDS))
            fprintf(stderr, "%s\n", graph_why(graph));
        if (tally.rounds <= 2)
            EXPECT(answer_round(graph, run, how->keys, true) == GRAPH_IMPOSSIBLE);
        holds = run_check(run, &tally) && answer == GRAPH_HOLDS;
        views_violations += answer != GRAPH_HOLDS;
        watchdog(120);
        if (views_goal > 0 && now_seconds() - told > 5) {
            told = now_seconds();
            printf("# %s: %" PRIu64 " of %" PRIu64 " views; %" PRIu64 " before\n", how->name, tally.views, views_goal,
                   views_checked);
            fflush(stdout);
        }
    } while (EXPECT(holds) && failures() == 0 && (views_goal > 0 ? tally.views < views_goal : now_seconds() < end));
    EXPECT(tally.views > 0);
    if (!holds)
        fprintf(stderr, "%s\n", history_why(run_history(run)));
    views_checked += tally.views;
    views_violations += tally.violations + tally.undecided;
    printf("# %s: %" PRIu64 " calls and %" PRIu64 " views through the graph (%.2f s of %.2f s)\n", how->name,
           tally.calls, tally.views, checking, now_seconds() - start);
    verified(tally.calls);
    run_close(run);
    graph_free(graph);
}

/* ---- Maps whose views are wrong ---- */

/* Each answers from the live map, some keys or all, or from an older view than its own. */
static soma_u64 *live;
static _Thread_local soma_view *older;

static enum soma_status keep_map(void *map, soma_view **view)
{
    live = map;
    return kinds[0].view(map, view);
}

static enum soma_status live_get(const soma_view *view, uint64_t key, uint64_t *value)
{
    (void)view;
    return soma_u64_get(live, key, value);
}

/* Half of it is of another time. */
static enum soma_status torn_get(const soma_view *view, uint64_t key, uint64_t *value)
{
    return key & 1 ? soma_u64_get(live, key, value) : soma_view_get_u64(view, key, value);
}

/* The instant of an earlier one: the thread's last is handed out, and a new one kept. */
static enum soma_status open_late(void *map, soma_view **view)
{
    soma_view *fresh = NULL;
    enum soma_status status = kinds[0].view(map, &fresh);
    if (status == SOMA_OK && !older)
        status = kinds[0].view(map, &older);
    if (status != SOMA_OK)
        return status;
    *view = older;
    older = fresh;
    return SOMA_OK;
}

#define CANARY_SECONDS 60

void views_canary(const void *setup)
{
    struct kind broken = kinds[0];
    const struct setup few = {.name = "broken", .kind = &broken, .keys = 10, .views = 3000, .says_all = true};
    struct graph *graph = graph_new(GRAPH_CALLS, GRAPH_CALLS + few.keys, NULL);
    struct tally tally = {0};
    const double start = now_seconds();
    enum graph_answer answer;
    bool holds;
    const char *how = setup;
    broken.view = strcmp(how, "late") == 0 ? open_late : keep_map;
    if (strcmp(how, "late") != 0)
        broken.view_get = strcmp(how, "torn") == 0 ? torn_get : live_get;
    broken.next = NULL; /* cursors would tell */
    struct run *run = run_open(&few, GRAPH_THREADS, 78);
    do {
        run_play(run, &tally);
        answer = answer_round(graph, run, few.keys, false);
        holds = run_check(run, &tally);
    } while (answer == GRAPH_HOLDS && now_seconds() < start + CANARY_SECONDS);
    EXPECT(answer == GRAPH_IMPOSSIBLE);
    EXPECT(!holds);
    printf("# found after %.2f s and %" PRIu64 " views\n", now_seconds() - start, tally.views);
    verified(1);
    run_close(run);
    graph_free(graph);
}
