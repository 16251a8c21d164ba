/* SPDX-License-Identifier: ISC */
/* bench.c - the word map beside its peers: the command line, the rounds, the report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cells/cells.h"
#include "peers/check.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/machine.h"
#include "support/page.h"
#include "support/progress.h"
#include "support/rng.h"

#define SIZE_MOST (UINT64_C(1) << 31) /* updates draws from twice as many keys, and rng_below() ends at 2^32 */
#define THREADS_MOST 256

static const struct bench *const benches[] = {
    &bench_hits,   &bench_updates, &bench_load, &bench_batch,  &bench_memory, &bench_space, &bench_scan,   &bench_views,
    &bench_frozen, &bench_huge,    &bench_diff, &bench_digest, &bench_patch,  &bench_sync,  &bench_strings};
#define BENCHES (sizeof benches / sizeof benches[0])

static const struct peer_ops *const all_peers[] = {&peer_soma, &peer_soma_batch, &peer_lfht, &peer_lfht_grow,
                                                   &peer_mutex};
#define PEERS (sizeof all_peers / sizeof all_peers[0])

/* What the command line asked for; what it did not name is empty or 0. */
struct wishes {
    const char *name; /* of the benchmark, or "all" */
    struct plan plan;
    bool quick;
    const char *out;
    const char *label;
};

/* ---- Command line ---- */

static void help(const struct option *options, unsigned n)
{
    printf("usage: bench NAME [options]\n\nbenchmarks:\n");
    for (unsigned i = 0; i < BENCHES; i++)
        printf("  %-20s %s\n", benches[i]->name, benches[i]->about);
    printf("  %-20s %s\n\noptions:\n", "all", "all of these, in one report");
    options_print(options, n);
}

static bool asked_for(const struct wishes *wishes, const struct bench *bench)
{
    return strcmp(wishes->name, "all") == 0 || strcmp(wishes->name, bench->name) == 0;
}

static void name_must_be_known(const struct wishes *wishes)
{
    for (unsigned i = 0; i < BENCHES; i++) {
        if (asked_for(wishes, benches[i]))
            return;
    }
    fail_usage("unknown benchmark '%s' (see --help)", wishes->name);
}

static struct wishes read_wishes(int argc, char **argv)
{
    struct wishes wishes = {.out = "perf/out", .label = "unnamed"};
    struct texts names = {.n = 0};
    const struct option options[] = {
        {"--quick", OPTION_FLAG, &wishes.quick, 0, NULL, "fewer rounds, shorter and smaller runs: a look, no verdict"},
        {"--sizes", OPTION_LIST, &wishes.plan.sizes, SIZE_MOST, "LIST", "entries, as in 1000000,10000000"},
        {"--threads", OPTION_LIST, &wishes.plan.threads, THREADS_MOST, "LIST", "numbers of threads, as in 1,2"},
        {"--rounds", OPTION_COUNT, &wishes.plan.rounds, 1000, "N", "how often everything is measured in turn"},
        {"--seconds", OPTION_SECONDS, &wishes.plan.seconds, 600, "S", "length of a measurement that time ends"},
        {"--out", OPTION_TEXT, &wishes.out, 0, "DIR", "where the report and the figures go (perf/out)"},
        {"--label", OPTION_TEXT, &wishes.label, 0, "TEXT", "name of the build in the report and the figures"},
    };
    const unsigned n = sizeof options / sizeof options[0];
    if (!options_read(options, n, argc, argv, &names)) {
        help(options, n);
        exit(EXIT_SUCCESS);
    }
    if (names.n != 1)
        fail_usage("wants the name of one benchmark (see --help)");
    wishes.name = names.at[0];
    name_must_be_known(&wishes);
    return wishes;
}

static struct plan plan_of(const struct bench *bench, const struct wishes *wishes)
{
    struct plan plan = wishes->quick ? bench->quick : bench->full;
    if (wishes->plan.sizes.n > 0)
        plan.sizes = wishes->plan.sizes;
    if (wishes->plan.threads.n > 0)
        plan.threads = wishes->plan.threads;
    if (wishes->plan.rounds > 0)
        plan.rounds = wishes->plan.rounds;
    if (wishes->plan.seconds > 0)
        plan.seconds = wishes->plan.seconds;
    return plan;
}

/* ---- Measuring ---- */

static void check_peers(void)
{
    progress_start(PEERS);
    for (unsigned i = 0; i < PEERS; i++) {
        progress_step("does %s answer rightly?", all_peers[i]->name);
        peer_check(all_peers[i]);
    }
}

static void measure(const struct wishes *wishes)
{
    unsigned steps = 0;
    for (unsigned i = 0; i < BENCHES; i++) {
        const struct plan plan = plan_of(benches[i], wishes);
        if (asked_for(wishes, benches[i]))
            steps += (unsigned)plan.rounds * benches[i]->steps(benches[i], &plan);
    }
    progress_start(steps);
    for (unsigned i = 0; i < BENCHES; i++) {
        const struct plan plan = plan_of(benches[i], wishes);
        if (!asked_for(wishes, benches[i]))
            continue;
        for (unsigned round = 0; round < plan.rounds; round++)
            benches[i]->round(benches[i], &plan, round);
    }
    progress_end();
}

/* ---- Reporting ---- */

/* What drawing keys costs without a map; it is in every figure of Mops, the same for all. */
static double drawing_ns(void)
{
    enum {
        DRAWS = 20000000
    };
    uint64_t rng = key_at(0);
    volatile uint64_t sink;
    const uint64_t start = clock_ns();
    for (unsigned i = 0; i < DRAWS; i++)
        sink = key_at(rng_below(&rng, DRAWS));
    (void)sink;
    return (double)(clock_ns() - start) / DRAWS;
}

static void page_head(FILE *page, const struct wishes *wishes)
{
    page_text(page, "64-bit keys to 64-bit values. Every figure is the median of rounds in which the contestants took "
                    "turns, each time in a process of its own. Higher is better for Mops, lower for the rest.");
    if (wishes->quick)
        page_text(page, "A quick run: short, few rounds, partly smaller maps. Good for a look, not for a verdict.");
    page_text(page,
              "Drawing a key costs %.1f ns and reading the clock %.0f ns; both are in the figures of all "
              "contestants and nowhere subtracted.",
              drawing_ns(), clock_cost_ns());
    for (unsigned i = 0; i < PEERS; i++)
        page_text(page, "%s: %s.", all_peers[i]->name, all_peers[i]->about);
}

static void report(const struct wishes *wishes)
{
    char path[1200];
    char title[80];
    snprintf(path, sizeof path, "%s/bench-%s.html", wishes->out, wishes->name);
    snprintf(title, sizeof title, "Soma beside its peers: %s", wishes->name);
    FILE *page = page_open(path, title);
    page_head(page, wishes);
    for (unsigned i = 0; i < BENCHES; i++) {
        const struct plan plan = plan_of(benches[i], wishes);
        if (!asked_for(wishes, benches[i]))
            continue;
        char heading[160];
        snprintf(heading, sizeof heading, "%s: %s (rounds: %llu)", benches[i]->name, benches[i]->about,
                 (unsigned long long)plan.rounds);
        printf("%s\n\n", heading);
        page_section(page, heading);
        benches[i]->report(benches[i], &plan, page);
        report_targets(benches[i], page);
    }
    struct table machine = machine_record(wishes->label);
    page_section(page, "Measured on");
    show_table(&machine, page);
    page_close(page, path);
    printf("report: %s\n", path);
    snprintf(path, sizeof path, "%s/bench-%s.csv", wishes->out, wishes->name);
    figures_write(path, wishes->label);
    printf("figures: %s\n", path);
}

int main(int argc, char **argv)
{
    const struct wishes wishes = read_wishes(argc, argv);
    page_directory(wishes.out);
    check_peers();
    measure(&wishes);
    report(&wishes);
    return EXIT_SUCCESS;
}
