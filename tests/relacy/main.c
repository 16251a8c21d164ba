/* SPDX-License-Identifier: ISC */
/* main.c - the program `relacy`: scenarios, then canaries, as TAP; and a survey of every order that the library asks
 * for. model.h and model.cpp say what is executed and what can be found. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "scenarios.h"

#define EXECUTIONS 20000
/* From so many executions on, a scenario whose threads never meet has tried nothing. */
#define EXECUTIONS_THAT_MEET 1000
/* A canary has this many in each scenario, whatever --executions says: they stop at the first that finds it. */
#define CANARY_EXECUTIONS 20000
/* Searches for a seeded bug begin with so many in each scenario, and then so many times more. */
#define GLANCE 100
#define GLANCE_GROWTH 10

static const char *const order_names[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};
static const char *const scheduler_names[] = {"random", "full", "bound"};

/* Seeded bugs. Each must be found. */
static const struct model_seed canaries[] = {
    {"canary-publish", "soma__edge_swap", ORDER_SEQ, ORDER_ACQ, false},           /* ORDER-3 */
    {"canary-edge-read", "soma__edge_read", ORDER_SEQ, ORDER_RLX, false},         /* ORDER-1 */
    {"canary-section-close", "soma__section_close", ORDER_REL, ORDER_RLX, false}, /* RCU-1 */
    {"canary-section-open", "soma__section_open", ORDER_REL, ORDER_RLX, false},   /* RCU-15 */
    {"canary-release-at-once", "soma__grace_passed", ORDER_ACQ, ORDER_ACQ, true}, /* no grace period */
    {"canary-no-barrier", "membarrier", ORDER_RLX, ORDER_RLX, false},             /* GRACE-6 */
    {"canary-cookie", "soma__grace_cookie", ORDER_ACQREL, ORDER_ACQ, false},      /* GRACE-5 */
    {"canary-enter", "soma__grace_cookie", ORDER_ACQREL, ORDER_REL, false},       /* GRACE-5, own barriers */
    {"canary-sample", "reader_word", ORDER_ACQ, ORDER_RLX, false},                /* RCU-8 */
    {"canary-inbox", "inbox_put", ORDER_REL, ORDER_RLX, false},                   /* RETIRE-3 */
    {"canary-stamp", "number_now", ORDER_SEQ, ORDER_ACQ, false},                  /* STAMP-2 */
    {"canary-view", "soma__clock_enter_wait", ORDER_SEQ, ORDER_ACQREL, false},    /* STAMP-4 */
    {"canary-slots", "soma__clock_needs", ORDER_SEQ, ORDER_SEQ, true},            /* no view is seen */
    {"canary-marks", "soma__mark_read", ORDER_SEQ, ORDER_ACQ, false},             /* MARKS-1 */
    {"canary-found", "soma__edge_read", ORDER_SEQ, ORDER_ACQ, false},             /* ORDER-1 */
};
#define CANARIES (sizeof canaries / sizeof canaries[0])

static struct {
    struct model_run run;
    struct model_seed seed;
    bool list;
    bool survey;
    bool no_canaries;
    char **names;
    int name_count;
} options = {.run = {.first = 1, .executions = EXECUTIONS}};

/* ---- Scenarios ---- */

static bool chosen(const char *name)
{
    for (int i = 0; i < options.name_count; i++) {
        if (strcmp(options.names[i], name) == 0)
            return true;
    }
    return options.name_count == 0;
}

static double rate(const struct model_result *result)
{
    return result->seconds > 0 ? (double)result->executions / result->seconds : 0;
}

static uint64_t executed; /* of all scenarios */

static bool run_scenario(const struct scenario *scenario, unsigned number)
{
    const struct model_scenario model = scenario_of(scenario);
    struct model_run run = options.run;
    struct model_result result;
    run.scenario = &model;
    model_execute(&run, &result);
    executed += result.executions;
    const bool met = result.outcomes >= scenario->outcomes || result.executions < EXECUTIONS_THAT_MEET;
    if (result.failed)
        printf("# %s: execution %" PRIu64 ": %s\n", scenario->name, result.failed_at, result.reason);
    if (result.failed && run.scheduler == SCHEDULER_RANDOM)
        printf("# again: --first %" PRIu64 " --executions 1 %s\n", result.failed_at, scenario->name);
    if (!result.failed && !met)
        printf("# %s: the threads do not meet\n", scenario->name);
    const bool passed = !result.failed && met && result.executions > 0;
    printf("%s %u - %s: %" PRIu64 " executions%s, %u outcomes, %.1f s, %.0f/s\n", passed ? "ok" : "not ok", number,
           scenario->name, result.executions, result.exhausted ? " (all there are)" : "", result.outcomes,
           result.seconds, rate(&result));
    fflush(stdout);
    return passed;
}

/* ---- Canaries ---- */

/* Whether some scenario finds the seeded bug within so many executions. */
static bool found_within(const struct model_seed *seed, uint64_t executions, char *how, size_t size)
{
    for (unsigned i = 0; i < scenario_count; i++) {
        const struct model_scenario model = scenario_of(&scenarios[i]);
        struct model_run run = options.run;
        struct model_result result;
        run.scenario = &model;
        run.executions = executions;
        run.scheduler = SCHEDULER_RANDOM;
        run.seed = seed;
        run.quiet = true;
        model_execute(&run, &result);
        if (result.failed) {
            snprintf(how, size, "%s, execution %" PRIu64 ": %s", scenarios[i].name, result.failed_at, result.reason);
            return true;
        }
    }
    return false;
}

/* A little of all scenarios first: most bugs are shallow in some. */
static bool found(const struct model_seed *seed, uint64_t executions, char *how, size_t size)
{
    snprintf(how, size, "not found");
    for (uint64_t some = GLANCE; some < executions; some *= GLANCE_GROWTH) {
        if (found_within(seed, some, how, size))
            return true;
    }
    return found_within(seed, executions, how, size);
}

static bool run_canary(const struct model_seed *canary, unsigned number)
{
    char how[400];
    const bool caught = found(canary, CANARY_EXECUTIONS, how, sizeof how);
    printf("%s %u - %s: %s\n", caught ? "ok" : "not ok", number, canary->name, how);
    fflush(stdout);
    return caught;
}

/* ---- The survey: every access with an order, weakened by one step ---- */

struct site {
    const char *function;
    enum model_order order;
};
#define SITES_MOST 256

static unsigned collect_sites(struct site *sites)
{
    unsigned count = 0;
    struct site seen;
    for (unsigned i = 0; model_site(i, &seen.function, &seen.order); i++) {
        bool again = seen.order == ORDER_RLX;
        for (unsigned k = 0; k < count; k++)
            again = again || (sites[k].order == seen.order && strcmp(sites[k].function, seen.function) == 0);
        if (!again && count < SITES_MOST)
            sites[count++] = seen;
    }
    return count;
}

static void survey_weaker(const struct site *site, enum model_order to)
{
    char how[400];
    const struct model_seed seed = {"", site->function, site->order, to, false};
    found(&seed, options.run.executions, how, sizeof how);
    printf("%-28s %-8s -> %-8s %s\n", site->function, order_names[site->order], order_names[to], how);
    fflush(stdout);
}

static int survey(void)
{
    struct site sites[SITES_MOST];
    for (unsigned i = 0; i < scenario_count; i++) {
        const struct model_scenario model = scenario_of(&scenarios[i]);
        struct model_result result;
        model_execute(&(struct model_run){.scenario = &model, .first = 1, .executions = 1000, .quiet = true}, &result);
    }
    const unsigned count = collect_sites(sites);
    for (unsigned i = 0; i < count; i++) {
        if (sites[i].order == ORDER_SEQ)
            survey_weaker(&sites[i], ORDER_ACQREL);
        else if (sites[i].order == ORDER_ACQREL) {
            survey_weaker(&sites[i], ORDER_ACQ);
            survey_weaker(&sites[i], ORDER_REL);
        } else {
            survey_weaker(&sites[i], ORDER_RLX);
        }
    }
    return 0;
}

/* ---- The command line ---- */

static const char help[] =
    "usage: relacy [options] [scenario or canary...]\n"
    "\n"
    "Runs the library's sources under Relacy's C11 memory model, scenario by scenario, then seeded bugs that must be\n"
    "found. Without names: all.\n"
    "\n"
    "  --list             the names, and what each is about\n"
    "  --executions N     of each scenario (20000); 10000000 for a soak, which tells how far it is\n"
    "  --first N          number of the first execution (1): the same numbers are the same executions\n"
    "  --scheduler S      random; full: every execution there is; bound: with at most two forced switches of threads.\n"
    "                     The last two stop after N executions as well, and do not care for --first\n"
    "  --weaken F:A:B     with the accesses of order A in function F made B (relaxed, acquire, release, acq_rel, "
    "seq_cst)\n"
    "  --survey           instead: weakens each order of the library's in turn, and tells which scenario finds it, if "
    "any\n"
    "  --no-canaries      scenarios only\n"
    "  --help             this text\n"
    "\n"
    "Exit status 0 if all passed, 1 if not, 2 if the command line is wrong. A failure comes with Relacy's history of\n"
    "the execution on standard error.\n";

static bool find_name(const char *text, const char *const *names, unsigned count, unsigned *index)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static bool take_weaken(char *text)
{
    unsigned from = 0;
    unsigned to = 0;
    const char *const function = strtok(text, ":");
    const char *const was = strtok(NULL, ":");
    const char *const is = strtok(NULL, ":");
    if (!function || !was || !is || !find_name(was, order_names, 5, &from) || !find_name(is, order_names, 5, &to))
        return false;
    options.seed = (struct model_seed){"weaken", function, (enum model_order)from, (enum model_order)to, false};
    options.run.seed = &options.seed;
    options.no_canaries = true;
    return true;
}

static bool take_number(const char *text, uint64_t *number)
{
    char *end = NULL;
    *number = strtoull(text, &end, 0);
    return *number > 0 && *end == '\0';
}

/* An option with a value; false if it makes no sense. */
static bool take_value(const char *option, char *value)
{
    unsigned scheduler = 0;
    if (!value)
        return false;
    if (strcmp(option, "--executions") == 0)
        return take_number(value, &options.run.executions);
    if (strcmp(option, "--first") == 0)
        return take_number(value, &options.run.first);
    if (strcmp(option, "--weaken") == 0)
        return take_weaken(value);
    if (strcmp(option, "--scheduler") != 0 || !find_name(value, scheduler_names, 3, &scheduler))
        return false;
    options.run.scheduler = (enum model_scheduler)scheduler;
    return true;
}

static bool known_name(const char *name)
{
    for (unsigned i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i].name, name) == 0)
            return true;
    }
    for (unsigned i = 0; i < CANARIES; i++) {
        if (strcmp(canaries[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool take_options(int argc, char **argv)
{
    options.names = argv;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            options.list = true;
        else if (strcmp(argv[i], "--survey") == 0)
            options.survey = true;
        else if (strcmp(argv[i], "--no-canaries") == 0)
            options.no_canaries = true;
        else if (known_name(argv[i]))
            options.names[options.name_count++] = argv[i];
        else if (argv[i][0] != '-' || !take_value(argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

static int list(void)
{
    for (unsigned i = 0; i < scenario_count; i++)
        printf("%-24s %s\n", scenarios[i].name, scenarios[i].what);
    for (unsigned i = 0; i < CANARIES; i++)
        printf("%-24s a seeded bug in %s\n", canaries[i].name, canaries[i].function);
    return 0;
}

static int run_all(void)
{
    unsigned total = 0;
    unsigned number = 0;
    unsigned bad = 0;
    for (unsigned i = 0; i < scenario_count; i++)
        total += chosen(scenarios[i].name);
    for (unsigned i = 0; i < CANARIES && !options.no_canaries; i++)
        total += chosen(canaries[i].name);
    printf("1..%u\n# first execution %" PRIu64 ", %s\n", total, options.run.first,
           scheduler_names[options.run.scheduler]);
    for (unsigned i = 0; i < scenario_count; i++) {
        if (chosen(scenarios[i].name))
            bad += !run_scenario(&scenarios[i], ++number);
    }
    for (unsigned i = 0; i < CANARIES && !options.no_canaries; i++) {
        if (chosen(canaries[i].name))
            bad += !run_canary(&canaries[i], ++number);
    }
    /* Meson takes a line that is no TAP for a mistake. */
    printf("%sRESULT relacy %" PRIu64 " executions %u violations\n", getenv("MESON_TEST_ITERATION") ? "# " : "",
           executed, bad);
    return bad == 0 && total > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    if (!take_options(argc, argv)) {
        fputs(help, stderr);
        return 2;
    }
    if (options.list)
        return list();
    return options.survey ? survey() : run_all();
}
