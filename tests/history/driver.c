/* SPDX-License-Identifier: ISC */
/* driver.c - histories of real threads on both kinds of map, every answer checked. As a test: each case for a while.
 * With --operations N: until so many calls are checked, with other numbers of threads and other random streams on the
 * way. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "run.h"
#include "support.h"
#include "words.h"

#define THREADS_DEFAULT 4
#define PROGRESS_SECONDS 5.0
/* A round takes milliseconds. */
#define HANG_SECONDS 120
/* Calls until the map is made anew, with another number of threads. */
#define SLICE 2000000
#define CASES_MAX 64

#define U64 &kinds[0], false, VALUES_ANY
#define MAP &kinds[1], true, VALUES_LONG
#define WORDS &words_kind, true, VALUES_WORDS
/* So little that a reader who stays makes updates fail. */
#define CAP 4096
/* How many in 65536 calls open a view or close one. */
#define VIEWS 600
#define GRAPH_VIEWS 16000

static const struct setup setups[] = {
    {"u64-one-key", U64, HASHES_GOOD, 1, 0, VIEWS, false},
    {"u64-ten-keys", U64, HASHES_GOOD, 10, 0, VIEWS, false},
    {"u64-neighbours", U64, HASHES_SAME, 10, 0, VIEWS, false},
    {"u64-few-places", U64, HASHES_FEW, 300, 0, VIEWS, false},
    {"u64-cap", U64, HASHES_GOOD, 10, CAP, VIEWS, false},
    {"u64-many-keys", U64, HASHES_GOOD, 100000, 0, VIEWS, false},
    {"map-one-key", MAP, HASHES_GOOD, 1, 0, VIEWS, false},
    {"map-ten-keys", MAP, HASHES_GOOD, 10, 0, VIEWS, false},
    {"map-collisions", MAP, HASHES_SAME, 10, 0, VIEWS, false},
    {"map-few-places", MAP, HASHES_FEW, 300, 0, VIEWS, false},
    {"map-cap", MAP, HASHES_GOOD, 10, CAP, VIEWS, false},
    {"map-many-keys", MAP, HASHES_GOOD, 100000, 0, VIEWS, false},
    {"words-one-key", WORDS, HASHES_GOOD, 1, 0, VIEWS, false},
    {"words-ten-keys", WORDS, HASHES_GOOD, 10, 0, VIEWS, false},
    {"words-collisions", WORDS, HASHES_SAME, 10, 0, VIEWS, false},
    {"words-many-keys", WORDS, HASHES_GOOD, 100000, 0, VIEWS, false},
};
#define SETUPS (sizeof setups / sizeof *setups)

/* Of each, views and updates are held against each other. */
static const struct setup graphs[] = {
    {"graph-u64", U64, HASHES_GOOD, 10, 0, GRAPH_VIEWS, true},
    {"graph-u64-two", U64, HASHES_GOOD, 2, 0, GRAPH_VIEWS, true},
    {"graph-u64-neighbours", U64, HASHES_SAME, 10, 0, GRAPH_VIEWS, true},
    {"graph-map", MAP, HASHES_GOOD, 100, 0, GRAPH_VIEWS, true},
    {"graph-map-collisions", MAP, HASHES_SAME, 10, 0, GRAPH_VIEWS, true},
    {"graph-words", WORDS, HASHES_GOOD, 10, 0, GRAPH_VIEWS, true},
};
#define GRAPHS (sizeof graphs / sizeof *graphs)

static uint64_t operations; /* in all; 0: for a while */
static uint64_t views;      /* to be checked; 0: for a while */
static unsigned threads_wanted;
static bool progress;
static size_t chosen; /* cases that share the operations */

static struct tally total;
static double started;
static double told;

/* ---- One setup ---- */

static unsigned threads_for(uint64_t slice)
{
    static const unsigned counts[] = {4, 2, 3, 8};
    if (threads_wanted > 0)
        return threads_wanted;
    return operations == 0 ? THREADS_DEFAULT : counts[slice % (sizeof counts / sizeof *counts)];
}

static void tell_progress(const struct setup *setup, uint64_t calls, uint64_t goal)
{
    const double now = now_seconds();
    watchdog(HANG_SECONDS);
    if (!progress || now - told < PROGRESS_SECONDS)
        return;
    told = now;
    printf("# %s: %" PRIu64, setup->name, calls);
    if (goal > 0)
        printf(" of %" PRIu64, goal);
    printf(" calls; in all %" PRIu64 " in %.0f s, %.2f million a second, %" PRIu64 " violations\n", total.calls + calls,
           now - started, (double)(total.calls + calls) / (now - started) / 1e6, total.violations);
    fflush(stdout);
}

static void tell_violation(const struct setup *setup, struct run *run, unsigned threads, uint64_t stream)
{
    fprintf(stderr, "%s, %u threads, --seed %" PRIu64 ", stream %" PRIu64 ":\n%s\n", setup->name, threads, test_seed(),
            stream, history_why(run_history(run)));
}

/* A map of its own, until there are so many calls or the time is over. */
static void play_slice(const struct setup *setup, uint64_t slice, uint64_t goal, double end, struct tally *tally)
{
    const unsigned threads = threads_for(slice);
    const uint64_t stream = slice * 100 + (uint64_t)(setup - setups);
    const uint64_t last = goal > 0 && goal < tally->calls + SLICE ? goal : tally->calls + SLICE;
    struct run *run = run_open(setup, threads, stream);
    bool holds = true;
    do {
        run_play(run, tally);
        holds = run_check(run, tally);
        tell_progress(setup, tally->calls, goal);
    } while (holds && failures() == 0 && (goal > 0 ? tally->calls < last : now_seconds() < end));
    if (!EXPECT(holds))
        tell_violation(setup, run, threads, stream);
    run_close(run);
}

/* Each verb must have been called, and those that change something must have done so. */
static void audit_tally(const struct setup *setup, const struct tally *tally)
{
    if (tally->calls < 100000)
        return;
    for (enum history_verb verb = HISTORY_GET; verb < HISTORY_VERBS; verb++) {
        const bool rare = verb == HISTORY_CLEAR && setup->keys > 1000;
        const bool not_here = verb == HISTORY_ADD && setup->values == VALUES_LONG;
        const bool looks = verb == HISTORY_GET || verb == HISTORY_UPDATE_LEAVE;
        EXPECT(rare || not_here || tally->by_verb[verb] > 0);
        const bool refused = setup->cap != 0; /* at a cap, what comes seldom may be refused each time */
        EXPECT(rare || not_here || looks || refused || tally->effective[verb] > 0);
    }
    EXPECT(tally->views > 0);
    EXPECT(setup->cap == 0 || tally->refused > 0);
    EXPECT(setup->keys > 10 || tally->overlaps > 0 || threads_wanted == 1);
}

static void play(const void *arg)
{
    const struct setup *setup = arg;
    const uint64_t goal = operations > 0 ? (operations + chosen - 1) / chosen : 0;
    const double end = now_seconds() + test_seconds() / 4;
    struct tally tally = {0};
    uint64_t slice = 0;
    do {
        play_slice(setup, slice++, goal, end, &tally);
    } while (failures() == 0 && goal > 0 && tally.calls < goal);
    audit_tally(setup, &tally);
    EXPECT_EQ(tally.violations, 0);
    EXPECT_EQ(tally.undecided, 0);
    printf("# %s: %" PRIu64 " calls, %.2f million a second (playing %.2f s, checking %.2f s); %.3f %% beside others on "
           "their key, at most %u possibilities; %" PRIu64 " refused; %" PRIu64 " views\n",
           setup->name, tally.calls, (double)tally.calls / (tally.playing + tally.checking) / 1e6, tally.playing,
           tally.checking, 100 * (double)tally.overlaps / (double)tally.calls, tally.most, tally.refused, tally.views);
    total.calls += tally.calls;
    total.violations += tally.violations;
    total.undecided += tally.undecided;
    verified(tally.calls);
}

/* ---- Options ---- */

static int usage(const char *program, int status)
{
    fprintf(stderr,
            "usage: %s [options] [case...]\n\n"
            "Real threads do anything to a map; all their calls, answers and times are recorded, and checked for\n"
            "linearizability key by key. What fails is cut down and drawn. Without --operations, each case runs a\n"
            "quarter of --seconds; the checkers are tried out on histories of their own as well.\n\n"
            "  --operations N  check N calls (1e8 will do), shared by the cases; only those on real maps run\n"
            "  --views N       check N views (1e7 will do), shared by the graph cases; only those run\n"
            "  --threads N     1 to %d threads (%d; with --operations: 4, 2, 3, 8 in turn)\n"
            "  --progress      say every few seconds how far it is\n"
            "  --seconds S     length of a case (1)\n"
            "  --seed N        start of all that is random; it is printed, but threads meet as they like\n"
            "  --timeout S     when a case counts as hung (%d after a round)\n"
            "  --list          the cases\n"
            "  --help          this text\n\n"
            "With --operations the last line is `RESULT history <n> operations <violations> violations`, with\n"
            "--views `RESULT views <n> views <violations> violations`.\n",
            program, HISTORY_THREADS_MAX, THREADS_DEFAULT, HANG_SECONDS);
    return status;
}

static bool take_number(const char *text, double most, double *value)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 1 && *value <= most;
}

/* Takes our options out of argv and leaves the others to test_main(). Returns how many are left; 0: help, -1: a
 * mistake. */
static int take_options(int argc, char **argv)
{
    int left = 1;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        double value = 0;
        if (strcmp(argv[i], "--help") == 0)
            return 0;
        if (strcmp(argv[i], "--progress") == 0) {
            progress = true;
        } else if (strcmp(argv[i], "--operations") == 0) {
            if (!more || !take_number(argv[++i], 1e15, &value))
                return -1;
            operations = (uint64_t)value;
        } else if (strcmp(argv[i], "--views") == 0) {
            if (!more || !take_number(argv[++i], 1e15, &value))
                return -1;
            views = (uint64_t)value;
        } else if (strcmp(argv[i], "--threads") == 0) {
            if (!more || !take_number(argv[++i], HISTORY_THREADS_MAX, &value))
                return -1;
            threads_wanted = (unsigned)value;
        } else {
            argv[left++] = argv[i];
        }
    }
    return left;
}

static size_t add_case(struct test_case *cases, size_t count, const char *name, void (*run)(const void *),
                       const void *setup)
{
    cases[count] = (struct test_case){name, run, setup};
    return count + 1;
}

static const char *const wrong_views[] = {"canary-view-live", "canary-view-torn", "canary-view-late"};

static size_t add_checkers(struct test_case *cases, size_t count)
{
    count = add_case(cases, count, "small-keys", small_keys, NULL);
    count = add_case(cases, count, "small-parts", small_parts, NULL);
    count = add_case(cases, count, "small-views", views_small, NULL);
    count = add_case(cases, count, "small-rate", small_rate, NULL);
    count = add_case(cases, count, "views", views_by_hand, NULL);
    for (size_t i = 0; i < sizeof wrong_views / sizeof *wrong_views; i++)
        count = add_case(cases, count, wrong_views[i], views_canary, strrchr(wrong_views[i], '-') + 1);
    count = add_case(cases, count, "canary-answers", canary_answers, NULL);
    for (size_t i = 0; i < CANARY_MAPS; i++)
        count = add_case(cases, count, canary_map_names[i], canary_map, canary_maps[i]);
    return count;
}

static size_t named_cases(int argc, char **argv, const struct test_case *cases, size_t count)
{
    size_t named = 0;
    for (size_t i = 0; i < count; i++) {
        for (int a = 1; a < argc; a++)
            named += strcmp(argv[a], cases[i].name) == 0;
    }
    return named > 0 ? named : count;
}

int main(int argc, char **argv)
{
    struct test_case cases[CASES_MAX];
    size_t count = 0;
    const int left = take_options(argc, argv);
    if (left <= 0)
        return usage(argv[0], left == 0 ? 0 : 2);
    for (size_t i = 0; i < SETUPS && views == 0; i++)
        count = add_case(cases, count, setups[i].name, play, &setups[i]);
    for (size_t i = 0; i < GRAPHS && operations == 0; i++)
        count = add_case(cases, count, graphs[i].name, views_real, &graphs[i]);
    if (operations == 0 && views == 0)
        count = add_checkers(cases, count);
    chosen = named_cases(left, argv, cases, count);
    views_goal = (views + chosen - 1) / chosen;
    started = told = now_seconds();
    const int status = test_main(left, argv, cases, count);
    if (operations > 0 && total.calls > 0)
        printf("# %.2f million calls a second\nRESULT history %" PRIu64 " operations %" PRIu64 " violations\n",
               (double)total.calls / (now_seconds() - started) / 1e6, total.calls, total.violations + total.undecided);
    if (views > 0)
        printf("# %.0f views a second\nRESULT views %" PRIu64 " views %" PRIu64 " violations\n",
               (double)views_checked / (now_seconds() - started), views_checked, views_violations);
    return status;
}
