/* SPDX-License-Identifier: ISC */
/* misuse.c - runs each rule's broken use, which must be named in just these words, and its right use, which must be silent.
 * `misuse --checks 1` runs all; `misuse broken NAME` and `misuse kept NAME` run one, as a program would. */
#include <fnmatch.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "misuse.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

#define SAID_BYTES 65536

static int failed;
static int number;
static const char *self;

static void result(bool good, const char *how, const char *name)
{
    printf("%sok %d - %s: %s\n", good ? "" : "not ", ++number, how, name);
    failed += !good;
}

/* Runs this program for one rule; its status, and what it has written to standard error. */
static int run(const char *how, const struct rule *rule, const char *environment, char said[SAID_BYTES])
{
    int out[2];
    if (pipe(out) != 0)
        exit(2);
    const pid_t child = fork();
    if (child == 0) {
        dup2(out[1], STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        if (environment)
            setenv("SOMA_MISUSE", environment, 1);
        else
            unsetenv("SOMA_MISUSE");
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        execl(self, self, how, rule->name, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    size_t len = 0;
    for (ssize_t got; len < SAID_BYTES - 1 && (got = read(out[0], said + len, SAID_BYTES - 1 - len)) > 0;)
        len += (size_t)got;
    said[len] = '\0';
    close(out[0]);
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static bool ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* All of it, or only the first line. */
static bool says(const struct rule *rule, char *said)
{
    const size_t len = strlen(said);
    char *end = (rule->flags & SAYS_MORE) != 0 ? strchr(said, '\n') : said + len - (len > 0);
    if (!end || *end != '\n' || strncmp(said, "soma: ", 6) != 0)
        return false;
    *end = '\0';
    const bool same = fnmatch(rule->says, said + 6, FNM_NOESCAPE) == 0;
    *end = '\n';
    return same;
}

static void try_broken(const struct rule *rule)
{
    static char said[SAID_BYTES];
    const int status = run("broken", rule, rule->environment, said);
    bool good;
    if (UNDER_ASAN && (rule->flags & SANITIZER_SPEAKS) != 0)
        good = !ended_well(status) && strstr(said, "AddressSanitizer") != NULL;
    else
        good = says(rule, said) && (ended_well(status) || (rule->flags & MAY_END) != 0);
    if (!good)
        printf("# status %x, said: %s# wanted: soma: %s\n", status, said, rule->says);
    result(good, "is named", rule->name);
}

static void try_kept(const struct rule *rule)
{
    static char said[SAID_BYTES];
    const int status = run("kept", rule, rule->environment, said);
    const bool good = ended_well(status) && said[0] == '\0';
    if (!good)
        printf("# status %x, said: %s\n", status, said);
    result(good, "the right use is silent", rule->name);
}

/* SOMA_MISUSE=abort ends the program at the first misuse; trace tells where; a wrong word is named. */
static void try_environment(const struct rule *rule)
{
    static char said[SAID_BYTES];
    const int status = run("broken", rule, "abort", said);
    result(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && says(rule, said), "ends with SOMA_MISUSE=abort",
           rule->name);
    run("broken", rule, "trace", said);
    result(strstr(said, "misuse(") != NULL || strstr(said, "misuse+") != NULL, "tells where with SOMA_MISUSE=trace",
           rule->name);
    run("kept", rule, "trace,abrt,section=x", said);
    static const char wrong[] = "soma: SOMA_MISUSE: a word is none of print, abort, trace, section=MILLISECONDS\n";
    const char *second = strncmp(said, wrong, strlen(wrong)) == 0 ? said + strlen(wrong) : "";
    result(strcmp(second, wrong) == 0, "two wrong words are named", "SOMA_MISUSE");
}

/* Every rule has a line in the page. */
static void try_docs(const char *path)
{
    static char page[1 << 16];
    FILE *file = fopen(path, "r");
    const size_t len = file ? fread(page, 1, sizeof page - 1, file) : 0;
    page[len] = '\0';
    if (file)
        fclose(file);
    for (int i = 0; i < rules_count; i++) {
        char wanted[128];
        (void)snprintf(wanted, sizeof wanted, "| `%s` |", rules[i].name);
        if (!strstr(page, wanted))
            printf("# no line starts with %s\n", wanted);
        result(strstr(page, wanted) != NULL, "is in docs/misuse.md", rules[i].name);
    }
}

static int run_one(const char *how, const char *name)
{
    for (int i = 0; i < rules_count; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            (strcmp(how, "broken") == 0 ? rules[i].broken : rules[i].kept)();
            return 0;
        }
    }
    fprintf(stderr, "misuse: no rule %s\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    const bool checks = argc > 2 && strcmp(argv[1], "--checks") == 0 && argv[2][0] == '1';
    static char path[4096]; /* whose last part is in messages */
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        return 2;
    self = path;
    if (argc == 3 && strcmp(argv[1], "--checks") != 0)
        return run_one(argv[1], argv[2]);
    if (argc < 3) {
        fprintf(stderr, "usage: misuse --checks 0|1 [--docs FILE] | broken NAME | kept NAME\n");
        return 2;
    }
    printf("TAP version 13\n");
    for (int i = 0; i < rules_count; i++) {
        if (checks)
            try_broken(&rules[i]);
        try_kept(&rules[i]);
    }
    if (checks)
        try_environment(&rules[0]);
    if (argc > 4)
        try_docs(argv[4]);
    printf("1..%d\n", number);
    return failed != 0;
}
