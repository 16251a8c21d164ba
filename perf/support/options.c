/* SPDX-License-Identifier: ISC */
#include "support/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fail.h"

void texts_add(struct texts *texts, const char *text)
{
    texts->at = grow_or_fail(texts->at, (texts->n + 1) * sizeof *texts->at);
    texts->at[texts->n++] = text;
}

/* A whole number at the start of a text; *end is where it stops. */
static uint64_t number(const struct option *option, const char *text, const char **end)
{
    char *stop = NULL;
    errno = 0;
    const unsigned long long value = isdigit((unsigned char)*text) ? strtoull(text, &stop, 10) : 0;
    if (!stop || errno != 0 || value < 1 || value > option->most)
        fail_usage("%s wants numbers from 1 to %llu, not '%s'", option->name, (unsigned long long)option->most, text);
    *end = stop;
    return value;
}

static void read_count(const struct option *option, const char *text)
{
    const char *end;
    const uint64_t value = number(option, text, &end);
    if (*end != '\0')
        fail_usage("%s wants a number, not '%s'", option->name, text);
    *(uint64_t *)option->into = value;
}

static void read_list(const struct option *option, const char *text)
{
    struct list list = {.n = 0};
    const char *rest = text;
    for (;;) {
        if (list.n == LIST_MAX)
            fail_usage("%s takes at most %d numbers", option->name, LIST_MAX);
        list.at[list.n++] = number(option, rest, &rest);
        if (*rest == '\0')
            break;
        if (*rest++ != ',')
            fail_usage("%s wants numbers with commas between them, not '%s'", option->name, text);
    }
    *(struct list *)option->into = list;
}

static void read_seconds(const struct option *option, const char *text)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value > 0) || value > (double)option->most)
        fail_usage("%s wants seconds above 0, at most %llu, not '%s'", option->name, (unsigned long long)option->most,
                   text);
    *(double *)option->into = value;
}

static void read_argument(const struct option *option, const char *text)
{
    switch (option->kind) {
    case OPTION_COUNT:
        read_count(option, text);
        break;
    case OPTION_LIST:
        read_list(option, text);
        break;
    case OPTION_SECONDS:
        read_seconds(option, text);
        break;
    case OPTION_TEXT:
        *(const char **)option->into = text;
        break;
    case OPTION_TEXTS:
        texts_add(option->into, text);
        break;
    case OPTION_FLAG:
        *(bool *)option->into = true;
        break;
    }
}

static const struct option *find(const struct option *options, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    fail_usage("unknown option '%s' (see --help)", name);
}

bool options_read(const struct option *options, unsigned n, int argc, char **argv, struct texts *operands)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return false;
        if (argv[i][0] != '-') {
            texts_add(operands, argv[i]);
            continue;
        }
        const struct option *option = find(options, n, argv[i]);
        if (option->kind != OPTION_FLAG && ++i == argc)
            fail_usage("%s wants %s after it", option->name, option->argument);
        read_argument(option, argv[i]);
    }
    return true;
}

void options_print(const struct option *options, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s %s", options[i].name, options[i].argument ? options[i].argument : "");
        printf("  %-20s %s\n", left, options[i].help);
    }
    printf("  %-20s %s\n", "--help", "this text");
}
