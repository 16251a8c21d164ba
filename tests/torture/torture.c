/* SPDX-License-Identifier: ISC */
/* torture.c - see torture.h. */
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"

#define CASES_MOST 32
#define PROGRESS_SECONDS 5.0
/* Without a sign of progress for so long, the program hangs. */
#define HANG_SECONDS 60
#define HANG_SECONDS_SANITIZED 240
/* The small sizes take too long with every access watched. */
#define SANITIZED_SHARE 5

static const struct torture *current;
static double scale = 1;
static bool seconds_given;
static bool soak;
static unsigned hang_seconds;
static uint64_t violations;
static atomic_uint_fast64_t units;
static double told_at;
static double case_start;

double torture_seconds(void)
{
    if (seconds_given)
        return test_seconds();
    return (soak && current->soak_seconds > 0 ? current->soak_seconds : test_seconds()) * scale;
}

void torture_did(uint64_t n)
{
    atomic_fetch_add(&units, n);
    verified(n);
}

void torture_progress(uint64_t done, uint64_t goal, const char *unit)
{
    const double now = now_seconds();
    watchdog(hang_seconds);
    if (now - told_at < PROGRESS_SECONDS)
        return;
    told_at = now;
    printf("# %s: %" PRIu64, current->part, done);
    if (goal > 0)
        printf(" of %" PRIu64, goal);
    printf(" %s after %.0f s\n", unit, now - case_start);
    fflush(stdout);
}

void torture_hang(unsigned seconds)
{
    hang_seconds = seconds;
    watchdog(seconds);
}

/* ---- Memory ---- */

/* Weak: there only where the program is linked with jemalloc. */
int mallctl(const char *name, void *old, size_t *old_len, void *fresh, size_t fresh_len) __attribute__((weak));

void memory_settle(void)
{
    malloc_trim(0);
    if (mallctl) {
        mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
        mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* 4096: all of them */
    }
}

uint64_t memory_in_use_kib(void)
{
    if (mallctl) {
        uint64_t epoch = 1;
        size_t bytes = 0;
        size_t len = sizeof bytes;
        mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
        mallctl("stats.allocated", &bytes, &len, NULL, 0);
        return bytes / 1024;
    }
    const struct mallinfo2 info = mallinfo2();
    return (info.uordblks + info.hblkhd) / 1024;
}

/* ---- Cases: each one's failures count as violations ---- */

static void run_and_count(const void *arg)
{
    const struct test_case *one = arg;
    const uint64_t before = atomic_load(&units);
    case_start = told_at = now_seconds();
    watchdog(hang_seconds);
    one->run(one->setup);
    const bool did_something = atomic_load(&units) > before;
    EXPECT(did_something);
    violations += failures();
}

/* ---- Options ---- */

static void print_size(const struct torture_option *option)
{
    char name[40];
    snprintf(name, sizeof name, "--%s N", option->name);
    fprintf(stderr, "  %-14s %s (%" PRIu64, name, option->what, *option->value);
    if (option->soak > 0)
        fprintf(stderr, "; in the soak %" PRIu64, option->soak);
    fputs(")\n", stderr);
}

static int usage(const char *program, int status)
{
    fprintf(stderr, "usage: %s [options] [case...]\n\n%s\n\n", program, current->about);
    for (size_t i = 0; i < current->option_count; i++)
        print_size(&current->options[i]);
    if (current->soak_seconds > 0)
        fprintf(stderr, "  %-14s length of a case that runs for a while (1; in the soak %.0f)\n", "--seconds S",
                current->soak_seconds);
    fputs("  --soak         the size that a release is held to\n"
          "  --scale X      X times the small size, or that of the soak\n"
          "  --hang S       without progress for so long, the program has hung\n"
          "  --seed N       start of all that is random\n"
          "  --list         the cases\n"
          "  --help         this text\n\n"
          "The last line is `RESULT <part> <n> <unit> <violations> violations`.\n",
          stderr);
    return status;
}

static const struct torture_option *find_option(const char *argument)
{
    for (size_t i = 0; i < current->option_count; i++) {
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, current->options[i].name) == 0)
            return &current->options[i];
    }
    return NULL;
}

/* What no option has set: times the scale. At least one of everything. */
static void resize_options(const bool *given)
{
    for (size_t i = 0; i < current->option_count; i++) {
        const struct torture_option *option = &current->options[i];
        if (given[i] || option->soak == 0)
            continue;
        double value = (double)(soak ? option->soak : *option->value) * scale;
        if (under_sanitizer())
            value /= SANITIZED_SHARE;
        *option->value = value < 1 ? 1 : (uint64_t)value;
    }
}

static bool take_number(const char *text, double *value)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0;
}

/* Takes our options out of argv and leaves the others to test_main(). Returns how many arguments are left, or -1. */
static int take_options(int argc, char **argv, bool *given)
{
    int left = 1;
    for (int i = 1; i < argc; i++) {
        const struct torture_option *option = find_option(argv[i]);
        const bool scales = strcmp(argv[i], "--scale") == 0;
        const bool hangs = strcmp(argv[i], "--hang") == 0;
        double value = 0;
        if (strcmp(argv[i], "--help") == 0)
            return -1;
        if (strcmp(argv[i], "--soak") == 0) {
            soak = true;
        } else if (option || scales || hangs) {
            if (i + 1 == argc || !take_number(argv[++i], &value))
                return -2;
            if (scales)
                scale = value;
            else if (hangs)
                hang_seconds = (unsigned)value;
            else
                *option->value = (uint64_t)value;
            if (option)
                given[option - current->options] = true;
        } else {
            seconds_given |= strcmp(argv[i], "--seconds") == 0;
            argv[left++] = argv[i];
        }
    }
    return left;
}

/* Meson takes a line that is no TAP for a mistake. */
static void print_result(void)
{
    printf("%sRESULT %s %" PRIu64 " %s %" PRIu64 " violations\n", getenv("MESON_TEST_ITERATION") ? "# " : "",
           current->part, atomic_load(&units), current->unit, violations);
}

int torture_main(int argc, char **argv, const struct torture *torture)
{
    bool given[CASES_MOST] = {false};
    bool lists = false;
    struct test_case wrapped[CASES_MOST];
    current = torture;
    hang_seconds = under_sanitizer() ? HANG_SECONDS_SANITIZED : HANG_SECONDS;
    if (torture->case_count > CASES_MOST || torture->option_count > CASES_MOST)
        abort();
    const int left = take_options(argc, argv, given);
    if (left < 0)
        return usage(argv[0], left == -1 ? 0 : 2);
    for (int i = 1; i < left; i++)
        lists |= strcmp(argv[i], "--list") == 0;
    resize_options(given);
    for (size_t i = 0; i < torture->case_count; i++)
        wrapped[i] = (struct test_case){torture->cases[i].name, run_and_count, &torture->cases[i]};
    const int status = test_main(left, argv, wrapped, torture->case_count);
    if (!lists && status != 2)
        print_result();
    return status;
}
