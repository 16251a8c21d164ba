/* SPDX-License-Identifier: ISC */
/* shrink.c - see shrink.h. Parts of each list of decisions are left out, halves first, then ever smaller ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"
#include "trace.h"

/* The decisions of a run, as of the schedule that was given: what it decided besides is not kept. */
static bool fails(const struct program *program, enum machine_bug bug, const struct schedule *schedule,
                  struct outcome *outcome)
{
    static struct schedule decided;
    const struct strategy replay = {.kind = STRATEGY_REPLAY, .replay = schedule};
    run_once(program, &replay, bug, &decided, outcome);
    return outcome->failed;
}

static void leave_out(struct decisions *list, unsigned from, unsigned n)
{
    memmove(&list->list[from], &list->list[from + n], (list->count - from - n) * sizeof *list->list);
    list->count -= n;
}

static bool shrink_list(const struct program *program, enum machine_bug bug, struct schedule *schedule,
                        struct decisions *list, struct outcome *outcome)
{
    static struct decisions before;
    bool any = false;
    for (unsigned n = (list->count + 1) / 2; n > 0; n /= 2) {
        for (unsigned from = 0; from + n <= list->count;) {
            struct outcome tried;
            before = *list;
            leave_out(list, from, n);
            if (fails(program, bug, schedule, &tried)) {
                *outcome = tried;
                any = true;
            } else {
                *list = before;
                from += n;
            }
        }
    }
    return any;
}

void schedule_shrink(const struct program *program, enum machine_bug bug, struct schedule *schedule,
                     struct outcome *outcome)
{
    struct outcome again;
    if (!fails(program, bug, schedule, &again)) {
        fprintf(stderr, "  (the run does not fail again from its decisions: %s)\n", outcome->why);
        return;
    }
    bool any;
    do {
        any = shrink_list(program, bug, schedule, &schedule->stale, outcome);
        any |= shrink_list(program, bug, schedule, &schedule->failed, outcome);
        any |= shrink_list(program, bug, schedule, &schedule->signals, outcome);
        any |= shrink_list(program, bug, schedule, &schedule->switches, outcome);
    } while (any);
}

void schedule_tell(const struct program *program, enum machine_bug bug, const struct schedule *schedule)
{
    struct outcome outcome;
    trace_begin();
    fails(program, bug, schedule, &outcome);
    trace_print(stderr);
    trace_on = false;
    fprintf(stderr, "  => %s\n", outcome.failed ? outcome.why : "no failure");
}
