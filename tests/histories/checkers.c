/* SPDX-License-Identifier: ISC */
/* checkers.c - the checkers tried on histories made by hand: right ones must hold, wrong ones must not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "linear.h"
#include "support.h"
#include "tell.h"

#define CALLS_MAX 8

struct example {
    const char *what;
    bool holds;
    uint64_t state; /* before */
    struct call calls[CALLS_MAX];
};

#define CALL(from, to, kind, in, want, answer, out)                                                                    \
    {                                                                                                                  \
        .begin = (from), .end = (to), .key = 1, .value = (in), .expected = (want), .result = (out), .verb = (kind),    \
        .status = (answer), .thread = (uint16_t)(from)                                                                 \
    }

static const struct example examples[] = {
    {"get of what is there", true, 7, {CALL(1, 2, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"get of another value", false, 7, {CALL(1, 2, KEY_GET, 0, 0, SOMA_OK, 8)}},
    {"get misses", false, 7, {CALL(1, 2, KEY_GET, 0, 0, SOMA_ABSENT, 0)}},
    {"get finds what is not there", false, 0, {CALL(1, 2, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"get beside a put, either way",
     true,
     7,
     {CALL(1, 4, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"get beside a put, the other way",
     true,
     7,
     {CALL(1, 4, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_GET, 0, 0, SOMA_OK, 8)}},
    {"a stale get", false, 7, {CALL(1, 2, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"two gets see a put in both orders",
     false,
     7,
     {CALL(1, 6, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_GET, 0, 0, SOMA_OK, 8),
      CALL(4, 5, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"put says inserted over a value", false, 7, {CALL(1, 2, KEY_PUT, 8, 0, SOMA_INSERTED, 0)}},
    {"put answers another old value", false, 7, {CALL(1, 2, KEY_PUT, 8, 0, SOMA_REPLACED, 9)}},
    {"put answers the next old value",
     false,
     7,
     {CALL(1, 4, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_PUT, 9, 0, SOMA_REPLACED, 9)}},
    {"two puts replace the same",
     false,
     7,
     {CALL(1, 4, KEY_PUT, 8, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_PUT, 9, 0, SOMA_REPLACED, 7)}},
    {"two puts one after the other",
     true,
     7,
     {CALL(1, 4, KEY_PUT, 8, 0, SOMA_REPLACED, 9), CALL(2, 3, KEY_PUT, 9, 0, SOMA_REPLACED, 7)}},
    {"put_new twice",
     false,
     0,
     {CALL(1, 4, KEY_PUT_NEW, 8, 0, SOMA_INSERTED, 0), CALL(2, 3, KEY_PUT_NEW, 9, 0, SOMA_INSERTED, 0)}},
    {"put_new over a value", false, 7, {CALL(1, 2, KEY_PUT_NEW, 8, 0, SOMA_INSERTED, 0)}},
    {"put_new finds another value", false, 7, {CALL(1, 2, KEY_PUT_NEW, 8, 0, SOMA_EXISTS, 6)}},
    {"put_new finds one that it cannot know", true, 7, {CALL(1, 2, KEY_PUT_NEW, 8, 0, SOMA_EXISTS, RESULT_UNKNOWN)}},
    {"replace of what is absent", false, 0, {CALL(1, 2, KEY_REPLACE, 8, 0, SOMA_REPLACED, 5)}},
    {"replace misses", false, 7, {CALL(1, 2, KEY_REPLACE, 8, 0, SOMA_ABSENT, 0)}},
    {"cas of an unexpected value", false, 7, {CALL(1, 2, KEY_CAS, 8, 6, SOMA_REPLACED, 7)}},
    {"cas that is refused for no reason", false, 7, {CALL(1, 2, KEY_CAS, 8, 7, SOMA_CHANGED, 7)}},
    {"two cas win",
     false,
     7,
     {CALL(1, 4, KEY_CAS, 8, 7, SOMA_REPLACED, 7), CALL(2, 3, KEY_CAS, 9, 7, SOMA_REPLACED, 7)}},
    {"remove twice",
     false,
     7,
     {CALL(1, 4, KEY_REMOVE, 0, 0, SOMA_REMOVED, 7), CALL(2, 3, KEY_REMOVE, 0, 0, SOMA_REMOVED, 7)}},
    {"remove of another value", false, 7, {CALL(1, 2, KEY_REMOVE, 0, 0, SOMA_REMOVED, 6)}},
    {"a value comes back",
     false,
     7,
     {CALL(1, 2, KEY_REMOVE, 0, 0, SOMA_REMOVED, 7), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"remove_if of an unexpected value", false, 7, {CALL(1, 2, KEY_REMOVE_IF, 0, 6, SOMA_REMOVED, 7)}},
    {"a lost addition",
     false,
     7,
     {CALL(1, 4, KEY_ADD, 1, 0, SOMA_REPLACED, 7), CALL(2, 3, KEY_ADD, 2, 0, SOMA_REPLACED, 7)}},
    {"two additions",
     true,
     7,
     {CALL(1, 4, KEY_ADD, 1, 0, SOMA_REPLACED, 9), CALL(2, 3, KEY_ADD, 2, 0, SOMA_REPLACED, 7),
      CALL(5, 6, KEY_GET, 0, 0, SOMA_OK, 10)}},
    {"a lost update",
     false,
     7,
     {CALL(1, 2, KEY_UPDATE, 8, 0, SOMA_REPLACED, 7), CALL(3, 4, KEY_UPDATE, 9, 0, SOMA_REPLACED, 7)}},
    {"an update removes what is gone", false, 0, {CALL(1, 2, KEY_UPDATE_REMOVE, 0, 0, SOMA_REMOVED, 7)}},
    {"an update that only looks, wrongly", false, 7, {CALL(1, 2, KEY_UPDATE_LEAVE, 0, 0, SOMA_EXISTS, 8)}},
    {"a lost pair of put_many",
     false,
     7,
     {CALL(1, 2, KEY_PUT_BLIND, 8, 0, SOMA_OK, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"clear leaves what was there",
     false,
     7,
     {CALL(1, 2, KEY_CLEAR, 0, 0, SOMA_OK, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"clear removes twice",
     true,
     7,
     {CALL(1, 6, KEY_CLEAR, 0, 0, SOMA_OK, 0), CALL(2, 3, KEY_PUT, 8, 0, SOMA_INSERTED, 0),
      CALL(4, 5, KEY_GET, 0, 0, SOMA_ABSENT, 0)}},
    {"clear removes after its end",
     false,
     7,
     {CALL(1, 2, KEY_CLEAR, 0, 0, SOMA_OK, 0), CALL(3, 4, KEY_PUT, 8, 0, SOMA_INSERTED, 0),
      CALL(5, 6, KEY_GET, 0, 0, SOMA_ABSENT, 0)}},
    {"a failed put changes nothing",
     true,
     7,
     {CALL(1, 2, KEY_PUT, 8, 0, SOMA_E_NOMEM, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
    {"a failed put changed something",
     false,
     7,
     {CALL(1, 2, KEY_PUT, 8, 0, SOMA_E_NOMEM, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 8)}},
    {"a put that has not returned took effect",
     true,
     7,
     {CALL(1, UINT64_MAX, KEY_PUT, 8, 0, SOMA_OK, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 8)}},
    {"a put that has not returned did not",
     true,
     7,
     {CALL(1, UINT64_MAX, KEY_PUT, 8, 0, SOMA_OK, 0), CALL(3, 4, KEY_GET, 0, 0, SOMA_OK, 7)}},
};

static size_t copy_calls(const struct example *example, struct call *calls)
{
    size_t n = 0;
    for (; n < CALLS_MAX && example->calls[n].begin != 0; n++)
        calls[n] = example->calls[n];
    return n;
}

static void key_by_key(const void *unused)
{
    struct linear *linear = linear_new();
    (void)unused;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct call calls[CALLS_MAX];
        uint64_t state = examples[i].state;
        size_t bad = 0;
        const size_t left = history_cut(linear, calls, copy_calls(&examples[i], calls), &state, &bad);
        if (!EXPECT((left == 0) == examples[i].holds))
            fprintf(stderr, "  %s\n", examples[i].what);
        EXPECT(left == 0 || bad < left);
        verified(1);
    }
    linear_free(linear);
}

/* A long history with one wrong answer is cut down to what makes it impossible. */
static void cut_short(const void *unused)
{
    enum {
        LONG = 300
    };
    struct linear *linear = linear_new();
    struct call *calls = need(LONG, sizeof *calls);
    uint64_t state = 0;
    size_t bad;
    (void)unused;
    for (uint64_t i = 0; i < LONG; i++)
        calls[i] = i % 3 == 2 ? (struct call)CALL(2 * i + 1, 2 * i + 2, KEY_GET, 0, 0, SOMA_OK, 100 + i - 1)
                              : (struct call)CALL(2 * i + 1, 2 * i + 2, KEY_PUT, 100 + i, 0,
                                                  i == 0 ? SOMA_INSERTED : SOMA_REPLACED,
                                                  i == 0 ? 0 : 100 + i - 1 - (i % 3 == 0));
    calls[200].result = 100; /* a get of a value that went long ago */
    const size_t left = history_cut(linear, calls, LONG, &state, &bad);
    EXPECT(left == 1 && calls[0].result == 100 && state == 299);
    verified(1);
    free(calls);
    linear_free(linear);
}

/* ---- The graph ---- */

struct view_example {
    const char *what;
    bool holds;
    struct call calls[CALLS_MAX];
    struct {
        uint64_t begin;
        uint64_t end;
        struct seen seen[2];
    } views[2];
};

#define ON(which, from, to, kind, in, answer, out)                                                                     \
    {                                                                                                                  \
        .begin = (from), .end = (to), .key = (which), .value = (in), .result = (out), .verb = (kind),                  \
        .status = (answer)                                                                                             \
    }

/* Keys 1 and 2; 11 and 21 are put, then replaced by 12 and 22. */
#define BOTH_PUT ON(1, 1, 2, KEY_PUT, 11, SOMA_INSERTED, 0), ON(2, 3, 4, KEY_PUT, 21, SOMA_INSERTED, 0)
#define BOTH_REPLACED ON(1, 10, 20, KEY_PUT, 12, SOMA_REPLACED, 11), ON(2, 30, 40, KEY_PUT, 22, SOMA_REPLACED, 21)

static const struct view_example view_examples[] = {
    {"a view before", true, {BOTH_PUT, BOTH_REPLACED}, {{5, 6, {{1, 11}, {2, 21}}}}},
    {"a view between", true, {BOTH_PUT, BOTH_REPLACED}, {{15, 35, {{1, 12}, {2, 21}}}}},
    {"a view after", true, {BOTH_PUT, BOTH_REPLACED}, {{50, 60, {{1, 12}, {2, 22}}}}},
    {"a fractured view: the later change without the earlier",
     false,
     {BOTH_PUT, BOTH_REPLACED},
     {{15, 45, {{1, 11}, {2, 22}}}}},
    {"a stale view", false, {BOTH_PUT, BOTH_REPLACED}, {{50, 60, {{1, 11}, {2, 22}}}}},
    {"a view from the future", false, {BOTH_PUT, BOTH_REPLACED}, {{5, 6, {{1, 12}, {2, 21}}}}},
    {"a long fork: two views see two changes in different orders",
     false,
     {BOTH_PUT, ON(1, 10, 50, KEY_PUT, 12, SOMA_REPLACED, 11), ON(2, 11, 51, KEY_PUT, 22, SOMA_REPLACED, 21)},
     {{20, 40, {{1, 12}, {2, 21}}}, {21, 41, {{1, 11}, {2, 22}}}}},
    {"two views beside two changes, in one order",
     true,
     {BOTH_PUT, ON(1, 10, 50, KEY_PUT, 12, SOMA_REPLACED, 11), ON(2, 11, 51, KEY_PUT, 22, SOMA_REPLACED, 21)},
     {{20, 40, {{1, 12}, {2, 21}}}, {21, 41, {{1, 12}, {2, 22}}}}},
    {"a view misses what was there throughout", false, {BOTH_PUT, BOTH_REPLACED}, {{5, 45, {{1, 0}, {2, 21}}}}},
    {"a view after a removal",
     true,
     {BOTH_PUT, ON(1, 10, 20, KEY_REMOVE, 0, SOMA_REMOVED, 11)},
     {{30, 40, {{1, 0}, {2, 21}}}}},
    {"a view sees what was removed before",
     false,
     {BOTH_PUT, ON(1, 10, 20, KEY_REMOVE, 0, SOMA_REMOVED, 11)},
     {{30, 40, {{1, 11}, {2, 21}}}}},
    {"a value replaced twice",
     false,
     {BOTH_PUT, ON(1, 10, 20, KEY_PUT, 12, SOMA_REPLACED, 11), ON(1, 15, 25, KEY_PUT, 13, SOMA_REPLACED, 11)},
     {{0, 0, {{0, 0}}}}},
};

static void views(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof view_examples / sizeof *view_examples; i++) {
        const struct view_example *example = &view_examples[i];
        struct graph *graph = graph_new(CALLS_MAX);
        for (size_t c = 0; c < CALLS_MAX && example->calls[c].begin != 0; c++)
            graph_add_call(graph, &example->calls[c]);
        for (size_t v = 0; v < 2 && example->views[v].begin != 0; v++)
            graph_add_view(graph, example->views[v].begin, example->views[v].end, example->views[v].seen, 2);
        if (!EXPECT(graph_check(graph, NULL) == example->holds))
            fprintf(stderr, "  %s\n", example->what);
        graph_free(graph);
        verified(1);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"key-by-key", key_by_key, NULL},
        {"cut-short", cut_short, NULL},
        {"views", views, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
