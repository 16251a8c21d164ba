/* SPDX-License-Identifier: ISC */
/* main.c - explores the scenarios' schedules; TAP. See usage(). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mix.h"
#include "scenarios.h"
#include "shrink.h"

#define PROGRESS_SECONDS 5
/* How often a load answers an older store: one in so many that may. */
#define STALE_ONE_IN 3
#define CANARY_SCHEDULES 20000

static struct {
    uint64_t schedules[5]; /* a scenario, by plan */
    uint64_t seed;
    bool progress;
    bool list;
    bool weak;
    bool canary;
    bool first_kind; /* of each scenario */
    bool second_kind;
    const char *replay; /* plan:seed */
    const char *mix;    /* operations of the user's own */
    const char *mix_options;
    unsigned names;
    char **name;
} options = {.schedules = {2000, 1000, 8000, UINT64_MAX, 0}, .seed = 1, .weak = true};

static const struct {
    const char *name;
    enum strategy_kind kind;
    unsigned depth;
} plans[] = {
    {"random", STRATEGY_RANDOM, 0}, {"pct2", STRATEGY_PCT, 2},     {"pct3", STRATEGY_PCT, 3},
    {"bound1", STRATEGY_BOUND, 1},  {"bound2", STRATEGY_BOUND, 2},
};
enum {
    PLANS = sizeof plans / sizeof *plans
};

static const char usage_text[] =
    "usage: sched [option | scenario]...\n"
    "\n"
    "Runs the library's own code under a scheduler that decides at every atomic access which thread goes on, and "
    "which\n"
    "store a load answers. Names of scenarios choose some; a name's beginning chooses all that begin so.\n"
    "\n"
    "  --random N     schedules a scenario in which another thread goes on now and then (default 2000)\n"
    "  --pct2 N       with priorities and one change of them (default 1000)\n"
    "  --pct3 N       with two changes (default 8000)\n"
    "  --bound1 N     at most N of those with at most one preemption, one after the other (default -1: all)\n"
    "  --bound2 N     the same with two (default 0)\n"
    "  --first-kind   each scenario on one kind of map: words where it is for both\n"
    "  --second-kind  only what --first-kind leaves out\n"
    "  --strong       every load answers the newest store\n"
    "  --seed N       the first seed (default 1)\n"
    "  --replay P:N   run seed N of plan P (random, pct2, pct3) again, shrunk and told step by step; name the "
    "scenario\n"
    "  --mix TEXT     operations of your own instead of the scenarios: 'before | thread | thread | ! signal handler',\n"
    "                 such as 'put a; put b | remove a; get b | put a; clear' (verbs: tests/sched/scenario.h)\n"
    "  --options O    with it, words among: words bytes long collide pointers faults cap wait\n"
    "                 no-membarrier away own owned digests\n"
    "  --canary       seeded bugs of the machine: each must be found\n"
    "  --progress     say on standard error how far it is\n"
    "  --list         list the scenarios and what they are for\n"
    "  --help         this text\n"
    "\n"
    "A failure prints the scenario, the plan and the seed, and the shortest schedule that still fails.\n";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Cases: a scenario on one kind of map ---- */

struct test_case {
    char name[64];
    const struct scenario *scenario;
    unsigned flags;
};

static void case_name(const struct scenario *scenario, unsigned kind, char *name, size_t size)
{
    snprintf(name, size, "%s-%s", scenario->name, kind == WORDS ? "words" : "bytes");
}

/* Each scenario on each of its kinds of map. */
static struct test_case *collect_cases(unsigned *count)
{
    struct test_case *cases = calloc(2 * scenario_count, sizeof *cases);
    unsigned n = 0;
    if (!cases)
        abort();
    for (unsigned i = 0; i < scenario_count; i++) {
        for (unsigned kind = WORDS; kind <= BYTES; kind <<= 1) {
            const bool first = kind == WORDS || (scenarios[i].flags & WORDS) == 0;
            if ((scenarios[i].flags & kind) == 0 || (first ? options.second_kind : options.first_kind))
                continue;
            struct test_case *c = &cases[n++];
            c->scenario = &scenarios[i];
            c->flags = (scenarios[i].flags & ~(unsigned)BOTH) | kind;
            case_name(&scenarios[i], kind, c->name, sizeof c->name);
        }
    }
    *count = n;
    return cases;
}

static bool chosen(const char *name)
{
    for (unsigned i = 0; i < options.names; i++) {
        if (strncmp(name, options.name[i], strlen(options.name[i])) == 0)
            return true;
    }
    return options.names == 0;
}

static struct stage *stage_of_mix(void)
{
    struct script scripts[THREADS_MAX];
    struct script signal;
    unsigned threads;
    unsigned flags;
    if (!mix_parse(options.mix, options.mix_options, &flags, scripts, &threads, &signal))
        exit(2);
    struct stage *stage = stage_new();
    stage_set(stage, flags, scripts, threads, &signal);
    return stage;
}

static struct stage *stage_of(const struct test_case *c)
{
    struct script scripts[THREADS_MAX];
    struct script signal;
    unsigned threads = 0;
    if (options.mix)
        return stage_of_mix();
    bool good = script_parse(c->scenario->before, &scripts[0]) && script_parse(c->scenario->signal, &signal);
    while (good && threads < THREADS_MAX - 1 && c->scenario->threads[threads]) {
        good = script_parse(c->scenario->threads[threads], &scripts[threads + 1]);
        threads++;
    }
    if (!good)
        exit(2);
    struct stage *stage = stage_new();
    stage_set(stage, c->flags, scripts, threads, &signal);
    return stage;
}

/* ---- Exploring ---- */

static struct schedule schedule;

static uint64_t seed_of(uint64_t base, uint64_t run)
{
    return base * UINT64_C(0x9e3779b97f4a7c15) + run;
}

/* How long a run is, when one thread after the other runs to its end. */
static uint32_t steps_of(const struct program *program, enum machine_bug bug)
{
    static const struct schedule none;
    const struct strategy plain = {.kind = STRATEGY_REPLAY, .replay = &none};
    struct outcome outcome;
    run_once(program, &plain, bug, &schedule, &outcome);
    return outcome.steps > 0 ? outcome.steps : 1;
}

static struct strategy strategy_of(unsigned plan, uint32_t steps)
{
    return (struct strategy){.kind = plans[plan].kind,
                             .depth = plans[plan].depth,
                             .weak = options.weak && plans[plan].kind != STRATEGY_BOUND,
                             .steps = steps,
                             .stale = STALE_ONE_IN};
}

static void tell_failure(const struct test_case *c, const struct program *program, unsigned plan, uint64_t run,
                         enum machine_bug bug, struct outcome *outcome)
{
    fprintf(stderr, "\n%s: %s\n  %s\n  again: sched --seed %" PRIu64 " --replay %s:%" PRIu64 " %s\n", c->name,
            outcome->why, c->scenario->race, options.seed, plans[plan].name, run, c->name);
    schedule_shrink(program, bug, &schedule, outcome);
    fprintf(stderr, "  the shortest schedule found: %u switches, %u older stores, %u failed allocations, %u signals\n",
            schedule.switches.count, schedule.stale.count, schedule.failed.count, schedule.signals.count);
    schedule_tell(program, bug, &schedule);
}

static void progress(const char *name, const char *plan, uint64_t done, uint64_t all, double *last)
{
    if (!options.progress || now() - *last < PROGRESS_SECONDS)
        return;
    *last = now();
    fprintf(stderr, "# %s, %s: %" PRIu64 " of %" PRIu64 " schedules\n", name, plan, done, all);
}

/* Runs up to n schedules of a plan; true if one failed, which *outcome is then. */
static bool explore(const struct test_case *c, struct stage *stage, unsigned plan, uint64_t n, enum machine_bug bug,
                    uint64_t *ran, struct outcome *outcome)
{
    const struct program *program = stage_program(stage);
    struct strategy strategy = strategy_of(plan, steps_of(program, bug));
    double last = now();
    for (uint64_t i = 0; i < n; i++) {
        strategy.seed = seed_of(options.seed, i);
        run_once(program, &strategy, bug, &schedule, outcome);
        ++*ran;
        if (outcome->failed)
            return true;
        if (strategy.kind == STRATEGY_BOUND && !strategy_advance(&strategy, program->threads, outcome->steps))
            break;
        progress(c->name, plans[plan].name, i + 1, n, &last);
    }
    return false;
}

/* The least probability with which PCT finds a bug of depth 3 in so many schedules (Burckhardt et al. 2010). */
static double pct3_bound(unsigned threads, uint32_t steps, uint64_t schedules)
{
    return 1 - exp(-(double)schedules / ((double)threads * steps * steps));
}

static bool run_case(const struct test_case *c, uint64_t *ran, uint64_t *calls)
{
    struct stage *stage = stage_of(c);
    const uint32_t steps = steps_of(stage_program(stage), BUG_NONE);
    bool failed = false;
    for (unsigned plan = 0; plan < PLANS && !failed; plan++) {
        const uint64_t before = *ran;
        struct outcome outcome;
        failed = explore(c, stage, plan, options.schedules[plan], BUG_NONE, ran, &outcome);
        if (failed)
            tell_failure(c, stage_program(stage), plan, *ran - before - 1, BUG_NONE, &outcome);
    }
    *calls += stage_calls(stage);
    if (options.progress)
        fprintf(stderr, "# %s: %" PRIu32 " steps, depth 3 by PCT: %.4f %%\n", c->name, steps,
                100 * pct3_bound(stage_program(stage)->threads, steps, options.schedules[2]));
    stage_free(stage);
    return !failed;
}

static int run_all(const struct test_case *cases, unsigned count)
{
    uint64_t ran = 0;
    uint64_t calls = 0;
    unsigned number = 0;
    unsigned bad = 0;
    const double start = now();
    for (unsigned i = 0; i < count; i++) {
        if (!chosen(cases[i].name))
            continue;
        const double began = now();
        const uint64_t before = ran;
        const bool good = run_case(&cases[i], &ran, &calls);
        bad += !good;
        printf("%s %u - %s # %" PRIu64 " schedules, %.1f s\n", good ? "ok" : "not ok", ++number, cases[i].name,
               ran - before, now() - began);
        fflush(stdout);
    }
    printf("1..%u\n", number);
    printf("# seed %" PRIu64 ", %" PRIu64 " schedules, %" PRIu64 " checked calls, %.0f schedules/s\n", options.seed,
           ran, calls, (double)ran / (now() - start));
    /* Meson takes a line that is no TAP for a mistake. */
    printf("%sRESULT sched %" PRIu64 " schedules %u violations\n", getenv("MESON_TEST_ITERATION") ? "# " : "", ran,
           bad);
    return bad > 0 || number == 0;
}

/* ---- Canaries ---- */

static const struct {
    const char *name;
    enum machine_bug bug;
    const char *scenario; /* whose name begins so */
    const char *plan;     /* that has to find it alone; NULL: any */
} canaries[] = {
    {"every order relaxed", BUG_RELAXED, "insert-neighbours-words", NULL},
    {"every order relaxed, byte map", BUG_RELAXED, "insert-neighbours-bytes", NULL},
    {"no barrier on all threads", BUG_NO_BARRIER, "retire-values", NULL},
    {"torn compare-and-swap, in place", BUG_TORN_CAS, "update-in-place-remove-words", NULL},
    {"torn compare-and-swap, by random schedules", BUG_TORN_CAS, "insert-insert-words", "random"},
    {"torn compare-and-swap, by priorities", BUG_TORN_CAS, "insert-insert-words", "pct2"},
    {"torn compare-and-swap, by one preemption", BUG_TORN_CAS, "insert-insert-words", "bound1"},
    {"a leak", BUG_LEAK, "remove-remove-bytes", NULL},
};
enum {
    CANARIES = sizeof canaries / sizeof *canaries
};

static bool canary_found(const struct test_case *cases, unsigned count, unsigned canary)
{
    for (unsigned i = 0; i < count; i++) {
        if (strncmp(cases[i].name, canaries[canary].scenario, strlen(canaries[canary].scenario)) != 0)
            continue;
        struct stage *stage = stage_of(&cases[i]);
        uint64_t ran = 0;
        bool found = false;
        struct outcome outcome;
        for (unsigned plan = 0; plan < PLANS && !found; plan++) {
            if (!canaries[canary].plan || strcmp(canaries[canary].plan, plans[plan].name) == 0)
                found = explore(&cases[i], stage, plan, CANARY_SCHEDULES, canaries[canary].bug, &ran, &outcome);
        }
        if (found)
            printf("# %s: schedule %" PRIu64 ": %s\n", canaries[canary].name, ran, outcome.why);
        stage_free(stage);
        return found;
    }
    return false;
}

static int run_canaries(const struct test_case *cases, unsigned count)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < CANARIES; i++) {
        const bool found = canary_found(cases, count, i);
        printf("%s %u - canary: %s\n", found ? "ok" : "not ok", i + 1, canaries[i].name);
        bad += !found;
    }
    printf("1..%d\n", CANARIES);
    return bad > 0;
}

/* ---- One run again ---- */

static int replay(const struct test_case *cases, unsigned count)
{
    char plan_name[16];
    uint64_t number;
    if (sscanf(options.replay, "%15[^:]:%" SCNu64, plan_name, &number) != 2) {
        fprintf(stderr, "sched: --replay takes PLAN:NUMBER\n");
        return 2;
    }
    for (unsigned plan = 0; plan < PLANS; plan++) {
        for (unsigned i = 0; i < count; i++) {
            if (strcmp(plans[plan].name, plan_name) != 0 || !chosen(cases[i].name))
                continue;
            struct stage *stage = stage_of(&cases[i]);
            struct strategy strategy = strategy_of(plan, steps_of(stage_program(stage), BUG_NONE));
            struct outcome outcome;
            strategy.seed = seed_of(options.seed, number);
            run_once(stage_program(stage), &strategy, BUG_NONE, &schedule, &outcome);
            if (outcome.failed)
                tell_failure(&cases[i], stage_program(stage), plan, number, BUG_NONE, &outcome);
            else
                schedule_tell(stage_program(stage), BUG_NONE, &schedule);
            stage_free(stage);
            return outcome.failed;
        }
    }
    fprintf(stderr, "sched: no such plan or scenario\n");
    return 2;
}

/* ---- The command line ---- */

static _Noreturn void usage(const char *wrong)
{
    if (wrong)
        fprintf(stderr, "sched: %s\n", wrong);
    fputs(usage_text, wrong ? stderr : stdout);
    exit(wrong ? 2 : 0);
}

static uint64_t number_of(const char *text)
{
    char *end;
    const uint64_t n = text ? strtoull(text, &end, 10) : 0;
    if (!text || *end != '\0')
        usage("an option needs a number");
    return n;
}

static bool option_flag(const char *name)
{
    if (strcmp(name, "--progress") == 0)
        options.progress = true;
    else if (strcmp(name, "--list") == 0)
        options.list = true;
    else if (strcmp(name, "--strong") == 0)
        options.weak = false;
    else if (strcmp(name, "--first-kind") == 0)
        options.first_kind = true;
    else if (strcmp(name, "--second-kind") == 0)
        options.second_kind = true;
    else if (strcmp(name, "--canary") == 0)
        options.canary = true;
    else if (strcmp(name, "--help") == 0)
        usage(NULL);
    else
        return false;
    return true;
}

static bool option_value(const char *name, const char *value)
{
    for (unsigned plan = 0; plan < PLANS; plan++) {
        if (strncmp(name, "--", 2) == 0 && strcmp(name + 2, plans[plan].name) == 0) {
            options.schedules[plan] = number_of(value);
            return true;
        }
    }
    if (strcmp(name, "--seed") == 0)
        options.seed = number_of(value);
    else if (strcmp(name, "--replay") == 0)
        options.replay = value ? value : "";
    else if (strcmp(name, "--mix") == 0)
        options.mix = value ? value : "";
    else if (strcmp(name, "--options") == 0)
        options.mix_options = value;
    else
        return false;
    return true;
}

/* Names may stand between options; they come to stand at the front. */
static void parse(int argc, char **argv)
{
    options.name = argv + 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            options.name[options.names++] = argv[i];
        else if (option_flag(argv[i]))
            continue;
        else if (option_value(argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            i++;
        else
            usage("unknown option");
    }
}

/* Whether a scenario's name, on a kind of map that it is for, begins so. Operations of one's own are called mix. */
static bool is_known(const char *name)
{
    char whole[64];
    if (options.mix)
        return strncmp("mix", name, strlen(name)) == 0;
    for (unsigned i = 0; i < scenario_count; i++) {
        for (unsigned kind = WORDS; kind <= BYTES; kind <<= 1) {
            case_name(&scenarios[i], kind, whole, sizeof whole);
            if ((scenarios[i].flags & kind) != 0 && strncmp(whole, name, strlen(name)) == 0)
                return true;
        }
    }
    return false;
}

/* A name that chooses nothing is a mistake, also beside one that does. */
static void check_names(void)
{
    for (unsigned i = 0; i < options.names; i++) {
        if (!is_known(options.name[i])) {
            fprintf(stderr, "sched: %s: no scenario's name begins so; --list has them\n", options.name[i]);
            exit(2);
        }
    }
}

static int perform(const struct test_case *cases, unsigned count)
{
    if (options.list) {
        for (unsigned i = 0; i < count; i++)
            printf("%-32s %s\n", cases[i].name, cases[i].scenario->race);
        return 0;
    }
    if (options.canary)
        return run_canaries(cases, count);
    if (options.replay)
        return replay(cases, count);
    return run_all(cases, count);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    check_names();
    library_find();
    run_catch_crashes();
    static const struct scenario operations = {.name = "mix", .race = "operations of your own"};
    static const struct test_case mix = {.name = "mix", .scenario = &operations};
    unsigned count = 1;
    struct test_case *collected = options.mix ? NULL : collect_cases(&count);
    const int status = perform(collected ? collected : &mix, count);
    free(collected);
    return status;
}
