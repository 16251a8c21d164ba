/* SPDX-License-Identifier: ISC */
/* options.h - the command line, described by a table. */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define LIST_MAX 16

/* A list of numbers, as in 1,2,8,32. */
struct list {
    uint64_t at[LIST_MAX];
    unsigned n;
};

/* Texts given one by one, as in the names of files. */
struct texts {
    const char **at;
    unsigned n;
};

enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_COUNT,   /* uint64_t, 1 and up */
    OPTION_LIST,    /* struct list, each 1 and up */
    OPTION_SECONDS, /* double, above 0 */
    OPTION_TEXT,    /* const char * */
    OPTION_TEXTS,   /* struct texts; may be given more than once */
};

struct option {
    const char *name; /* with its dashes */
    enum option_kind kind;
    void *into; /* stays as it is if the option is not given */
    uint64_t most;
    const char *argument; /* how the help calls it; NULL for a flag */
    const char *help;
};

/* Reads argv[1] and on. What is no option goes to *operands. Anything wrong ends the program with one line and
 * EXIT_USAGE. False: --help was asked for. */
bool options_read(const struct option *options, unsigned n, int argc, char **argv, struct texts *operands);

/* The part of a help text that names the options. */
void options_print(const struct option *options, unsigned n);

void texts_add(struct texts *texts, const char *text);

#endif
