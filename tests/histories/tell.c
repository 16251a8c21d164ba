/* SPDX-License-Identifier: ISC */
/* tell.c - see tell.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tell.h"

#define BAR_MAX 60

static int by_begin(const void *a, const void *b)
{
    const uint64_t x = ((const struct call *)a)->begin;
    const uint64_t y = ((const struct call *)b)->begin;
    return (x > y) - (x < y);
}

struct moment {
    uint64_t time;
    struct event event;
};

static int by_time(const void *a, const void *b)
{
    const uint64_t x = ((const struct moment *)a)->time;
    const uint64_t y = ((const struct moment *)b)->time;
    return (x > y) - (x < y);
}

/* The events of calls; the caller frees them. NULL: no memory. */
static struct event *events_of(const struct call *calls, size_t count, size_t *events)
{
    struct moment *moments = calloc(2 * count + 1, sizeof *moments);
    struct event *list = calloc(2 * count + 1, sizeof *list);
    size_t n = 0;
    for (uint32_t i = 0; moments && list && i < count; i++) {
        moments[n++] = (struct moment){calls[i].begin, {i, false}};
        if (calls[i].end != UINT64_MAX)
            moments[n++] = (struct moment){calls[i].end, {i, true}};
    }
    if (moments)
        qsort(moments, n, sizeof *moments, by_time);
    for (size_t i = 0; moments && list && i < n; i++)
        list[i] = moments[i].event;
    free(moments);
    *events = n;
    return list;
}

static int64_t check(struct linear *linear, const struct call *calls, size_t count, uint64_t state)
{
    size_t n;
    struct event *events = events_of(calls, count, &n);
    const int64_t bad = events ? linear_check(linear, calls, events, n, state) : LINEAR_TOO_WIDE;
    free(events);
    return bad;
}

/* Calls that begin before `time` end before it: nothing is under way then. */
static bool quiet_before(const struct call *calls, size_t count, uint64_t time)
{
    for (size_t i = 0; i < count; i++) {
        if (calls[i].begin < time && calls[i].end > time)
            return false;
    }
    return true;
}

/* Leaves out the calls before the last moment at which nothing was under way and the state is certain. */
static size_t cut_front(struct linear *linear, struct call *calls, size_t count, uint64_t *state)
{
    for (size_t first = count - 1; first > 0; first--) {
        uint64_t states[2];
        if (!quiet_before(calls, count, calls[first].begin))
            continue;
        if (check(linear, calls, first, *state) != LINEAR_HOLDS || linear_states(linear, states, 2) != 1)
            continue;
        *state = states[0];
        memmove(calls, calls + first, (count - first) * sizeof *calls);
        return count - first;
    }
    return count;
}

/* Whether a call left its key as it was, whatever it found: leaving it out explains nothing away. */
static bool changed_nothing(const struct call *call)
{
    return call->verb == KEY_GET || call->verb == KEY_UPDATE_LEAVE || call->status == SOMA_ABSENT ||
           call->status == SOMA_EXISTS || call->status == SOMA_CHANGED || (call->status < 0 && call->verb != KEY_CLEAR);
}

static size_t cut_idle(struct linear *linear, struct call *calls, size_t count, uint64_t state)
{
    for (size_t i = count; i-- > 0;) {
        const struct call left_out = calls[i];
        if (!changed_nothing(&left_out))
            continue;
        memmove(calls + i, calls + i + 1, (count - i - 1) * sizeof *calls);
        if (check(linear, calls, count - 1, state) >= 0) {
            count--;
            continue;
        }
        memmove(calls + i + 1, calls + i, (count - i - 1) * sizeof *calls);
        calls[i] = left_out;
    }
    return count;
}

size_t history_cut(struct linear *linear, struct call *calls, size_t count, uint64_t *state, size_t *bad)
{
    qsort(calls, count, sizeof *calls, by_begin);
    const int64_t first_bad = check(linear, calls, count, *state);
    if (first_bad < 0)
        return 0;
    const uint64_t end = calls[first_bad].end;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (calls[i].begin < end)
            calls[kept++] = calls[i];
    }
    for (size_t i = 0; i < kept; i++) {
        if (calls[i].end > end)
            calls[i].end = UINT64_MAX; /* still under way when the impossible answer came */
    }
    kept = cut_front(linear, calls, kept, state);
    kept = cut_idle(linear, calls, kept, *state);
    const int64_t still = check(linear, calls, kept, *state);
    *bad = still < 0 ? kept : (size_t)still;
    return kept;
}

/* ---- Telling ---- */

static void print_state(FILE *out, uint64_t state)
{
    if (state == 0)
        fputs("absent", out);
    else
        fprintf(out, "%" PRIx64, state);
}

/* A call's bar: columns are the moments of all calls, in order. */
static void print_bar(FILE *out, const struct call *calls, size_t count, const struct call *call)
{
    unsigned from = 0;
    unsigned to = 0;
    unsigned last = 0;
    for (size_t i = 0; i < count; i++) {
        from += (calls[i].begin < call->begin) + (calls[i].end < call->begin);
        to += (calls[i].begin < call->end) + (calls[i].end < call->end);
        last += 1 + (calls[i].end != UINT64_MAX);
    }
    const unsigned scale = last / BAR_MAX + 1;
    fprintf(out, "%*s[", (int)(from / scale), "");
    for (unsigned i = from / scale; i < to / scale; i++)
        fputc('-', out);
    fprintf(out, "%c%*s", call->end == UINT64_MAX ? '>' : ']', (int)(last / scale - to / scale) + 1, "");
}

static void print_call(FILE *out, const struct call *call)
{
    fprintf(out, "%s", verb_of_key_name((enum verb_of_key)call->verb));
    if (call->verb == KEY_CAS || call->verb == KEY_REMOVE_IF)
        fprintf(out, " expecting %" PRIx64, call->expected);
    if (call->verb != KEY_GET && call->verb != KEY_REMOVE && call->verb != KEY_REMOVE_IF && call->verb != KEY_CLEAR &&
        call->verb != KEY_UPDATE_REMOVE && call->verb != KEY_UPDATE_LEAVE)
        fprintf(out, " %" PRIx64, call->value);
    if (call->end == UINT64_MAX) {
        fputs(", still under way", out);
        return;
    }
    fprintf(out, ": %s", soma_status_text((enum soma_status)call->status));
    if (call->result != 0 && call->result != RESULT_UNKNOWN)
        fprintf(out, ", %" PRIx64, call->result);
}

void history_tell(FILE *out, const struct call *calls, size_t count, uint64_t state, size_t bad)
{
    fprintf(out, "  key %" PRIx64 ", before: ", count > 0 ? calls[0].key : 0);
    print_state(out, state);
    fputc('\n', out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  %c T%-3u ", i == bad ? '!' : ' ', calls[i].thread);
        print_bar(out, calls, count, &calls[i]);
        print_call(out, &calls[i]);
        fputc('\n', out);
    }
    if (bad < count) {
        fprintf(out, "  impossible: no order of these calls lets T%u's ", calls[bad].thread);
        print_call(out, &calls[bad]);
        fputs(".\n", out);
    }
}
