/* SPDX-License-Identifier: ISC */
/* mix.c - see mix.h. */
#include <stdio.h>
#include <string.h>

#include "mix.h"

#define PART_MAX 1024

static const struct {
    const char *name;
    unsigned flag;
} names[] = {
    {"words", WORDS},      {"bytes", BYTES},       {"collide", COLLIDE},
    {"long", LONG_VALUES}, {"pointers", POINTERS}, {"faults", FAULTS},
    {"cap", SMALL_CAP},    {"away", AWAY},         {"no-membarrier", NO_MEMBARRIER},
    {"wait", WAITING},     {"own", OWN},           {"owned", OWNED},
    {"digests", DIGESTS},
};

static bool options_parse(const char *options, unsigned *flags)
{
    char all[200];
    char *rest = all;
    *flags = 0;
    snprintf(all, sizeof all, "%s", options ? options : "");
    for (const char *word; (word = strsep(&rest, " ,"));) {
        bool known = *word == '\0';
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strcmp(word, names[i].name) == 0) {
                *flags |= names[i].flag;
                known = true;
            }
        }
        if (!known) {
            fprintf(stderr, "sched: '%s' is no option of a mix\n", word);
            return false;
        }
    }
    if ((*flags & BOTH) == 0)
        *flags |= WORDS;
    return true;
}

bool mix_parse(const char *text, const char *options, unsigned *flags, struct script *scripts, unsigned *threads,
               struct script *signal)
{
    char part[PART_MAX];
    unsigned n = 0;
    signal->count = 0;
    if (!options_parse(options, flags))
        return false;
    for (; text && n <= THREADS_MAX; text = strchr(text, '|'), text = text ? text + 1 : NULL) {
        snprintf(part, sizeof part, "%.*s", (int)strcspn(text, "|"), text);
        const char *start = part + strspn(part, " ");
        if (*start == '!') {
            if (!script_parse(start + 1, signal))
                return false;
            continue;
        }
        if (n == THREADS_MAX || !script_parse(start, &scripts[n++]))
            return false;
    }
    *threads = n > 0 ? n - 1 : 0;
    if (n < 2)
        fprintf(stderr, "sched: a mix needs a part that is done before, '|', and at least one thread\n");
    return n >= 2;
}
