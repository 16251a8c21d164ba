/* SPDX-License-Identifier: ISC */
/* explain.c - see explain.h.
 *
 * Cutting  First behind: what begins after the first impossible answer cannot explain it, and what ends after it has
 *          taken effect by then, with the answer that it gave later, or not. Then calls are left out, greedily, as long
 *          as what is left is impossible *whatever the others did*.
 * Why that is sound
 *          A value is tracked if every call that stores it or says that it took it out is kept, and no call that does
 *          not say what it took (a clear, a pair of put_many, a call that never ended) and is left out can have come by
 *          while it may have been there. All other values become one, OTHER. Take any order that explains all the
 *          calls, and look at it through these glasses: the kept calls still explain their answers, and the others only
 *          go between OTHER and absent (into OTHER only if one of them stores, out of it only if one removes).
 *          So if no order of the kept calls with such steps in between explains the answers, none explains all of them.
 *          test.c tries this on histories that hold: no part of one may be impossible.
 *          Results that nobody stored stay as they are, and fit nothing. Additions that never ended, or do not say what
 *          they added to, make values that nobody knows: then only calls that change nothing are left out.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "explain.h"
#include "linear.h"

#define NO_VALUE UINT32_MAX
#define NOT_FOUND UINT32_MAX
#define SECONDS_MAX 5
#define ROWS_MAX 60
#define BAR_MAX 64

struct event {
    uint64_t time;
    uint32_t call;
    bool end;
};

/* What a call does, with values by their index; NO_VALUE: none. */
struct part {
    struct step step;
    uint32_t when;
    uint32_t then;
    uint32_t from; /* ranks of its events; to: UINT32_MAX if it never ended */
    uint32_t to;
    bool blind; /* changes the key without a word of what was there */
    bool kept;
};

struct value {
    uint64_t value;
    uint32_t from; /* ranks: it was nowhere before this, */
    uint32_t to;   /* nor after this */
    uint32_t makers;
    bool tracked;
};

struct story {
    struct history_call *calls;
    uint32_t count;
    struct part *parts;
    struct event *events;
    uint32_t event_count;
    struct value *values;
    uint32_t value_count;
    uint32_t *blind_from; /* up to each rank, how many blind calls that are left out began, */
    uint32_t *blind_to;   /* and ended */
    const uint64_t *states;
    uint32_t state_count;
    uint64_t cut; /* the last moment that counts */
    bool whole;   /* only what changes nothing may be left out */
    bool (*is_word)(uint64_t value);
    struct linear linear;
};

/* ---- Values ---- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = ((const struct value *)a)->value;
    const uint64_t y = ((const struct value *)b)->value;
    return (x > y) - (x < y);
}

static uint32_t value_index(const struct story *story, uint64_t value)
{
    const struct value wanted = {.value = value};
    const struct value *found =
        value == HISTORY_ABSENT ? NULL : bsearch(&wanted, story->values, story->value_count, sizeof wanted, by_value);
    return found ? (uint32_t)(found - story->values) : NO_VALUE;
}

static void add_value(struct story *story, uint64_t value)
{
    if (value != HISTORY_ABSENT)
        story->values[story->value_count++] = (struct value){.value = value, .from = UINT32_MAX, .to = UINT32_MAX};
}

/* All that was stored, or was there before. */
static void collect_values(struct story *story)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < story->count; i++) {
        if (story->parts[i].step.effect == THEN_SET)
            add_value(story, story->parts[i].step.then);
    }
    for (uint32_t i = 0; i < story->state_count; i++)
        add_value(story, story->states[i]);
    qsort(story->values, story->value_count, sizeof *story->values, by_value);
    for (uint32_t i = 0; i < story->value_count; i++) {
        if (kept == 0 || story->values[kept - 1].value != story->values[i].value)
            story->values[kept++] = story->values[i];
    }
    story->value_count = kept;
}

static bool takes_out(const struct part *part)
{
    return part->when != NO_VALUE && part->step.effect != THEN_SAME;
}

/* From when to when each value may have been there, if the answers are right. */
static void find_spans(struct story *story)
{
    for (uint32_t i = 0; i < story->state_count; i++) {
        const uint32_t v = value_index(story, story->states[i]);
        if (v == NO_VALUE)
            continue;
        story->values[v].from = 0;
        story->values[v].makers = 1;
    }
    for (uint32_t i = 0; i < story->count; i++) {
        struct part *part = &story->parts[i];
        part->when = part->step.guard == WHEN_IS || part->step.guard == WHEN_NOT ? value_index(story, part->step.when)
                                                                                 : NO_VALUE;
        part->then = part->step.effect == THEN_SET ? value_index(story, part->step.then) : NO_VALUE;
        if (part->then == NO_VALUE)
            continue;
        struct value *made = &story->values[part->then];
        made->makers++;
        made->from = part->from < made->from ? part->from : made->from;
    }
    for (uint32_t i = 0; i < story->count; i++) {
        const struct part *part = &story->parts[i];
        if (takes_out(part) && story->values[part->when].makers == 1 && part->to < story->values[part->when].to)
            story->values[part->when].to = part->to;
    }
}

/* ---- Calls and events ---- */

static int by_time(const void *a, const void *b)
{
    const uint64_t x = ((const struct event *)a)->time;
    const uint64_t y = ((const struct event *)b)->time;
    return (x > y) - (x < y);
}

static bool ended(const struct story *story, const struct history_call *call)
{
    return call->end != 0 && call->end <= story->cut;
}

static void sort_events(struct story *story)
{
    story->event_count = 0;
    for (uint32_t i = 0; i < story->count; i++) {
        story->events[story->event_count++] = (struct event){story->calls[i].call, i, false};
        if (ended(story, &story->calls[i]))
            story->events[story->event_count++] = (struct event){story->calls[i].end, i, true};
    }
    qsort(story->events, story->event_count, sizeof *story->events, by_time);
    for (uint32_t rank = 0; rank < story->event_count; rank++) {
        struct part *part = &story->parts[story->events[rank].call];
        if (story->events[rank].end)
            part->to = rank;
        else
            part->from = rank;
    }
}

static void set_out(struct story *story)
{
    story->whole = false;
    for (uint32_t i = 0; i < story->count; i++) {
        struct step step = step_of(&story->calls[i], story->is_word);
        const bool says = step.guard == WHEN_IS && !step.optional;
        step.optional |= !ended(story, &story->calls[i]);
        story->parts[i] =
            (struct part){.step = step, .to = UINT32_MAX, .blind = step_changes(&step) && !says, .kept = true};
        story->whole |= step.effect == THEN_ADD;
    }
    story->value_count = 0;
    sort_events(story);
    collect_values(story);
    find_spans(story);
}

static bool story_init(struct story *story, struct history_call *calls, uint32_t count, const uint64_t *states,
                       uint32_t state_count, bool (*is_word)(uint64_t value))
{
    const size_t room = count + 1;
    *story = (struct story){.calls = calls,
                            .count = count,
                            .cut = UINT64_MAX,
                            .states = states,
                            .state_count = state_count,
                            .is_word = is_word};
    story->parts = calloc(room, sizeof *story->parts);
    story->events = calloc(2 * room, sizeof *story->events);
    story->values = calloc(room + state_count, sizeof *story->values);
    story->blind_from = calloc(2 * room, sizeof *story->blind_from);
    story->blind_to = calloc(2 * room, sizeof *story->blind_to);
    const bool linear = linear_init(&story->linear, is_word);
    if (!story->parts || !story->events || !story->values || !story->blind_from || !story->blind_to || !linear)
        return false;
    set_out(story);
    return true;
}

static void story_fini(struct story *story)
{
    free(story->parts);
    free(story->events);
    free(story->values);
    free(story->blind_from);
    free(story->blind_to);
    linear_fini(&story->linear);
}

/* ---- The projection ---- */

static void count_blind(struct story *story)
{
    uint32_t began = 0;
    uint32_t ended = 0;
    for (uint32_t rank = 0; rank < story->event_count; rank++) {
        const struct part *part = &story->parts[story->events[rank].call];
        const bool counts = part->blind && !part->kept;
        began += counts && !story->events[rank].end;
        ended += counts && story->events[rank].end;
        story->blind_from[rank] = began;
        story->blind_to[rank] = ended;
    }
}

/* Blind calls that are left out and that were under way at any time between the two ranks. */
static uint32_t blind_between(const struct story *story, uint32_t from, uint32_t to)
{
    const uint32_t last = to < story->event_count ? to : story->event_count - 1;
    return story->blind_from[last] - story->blind_to[from];
}

static void choose_tracked(struct story *story)
{
    count_blind(story);
    for (uint32_t i = 0; i < story->value_count; i++) {
        struct value *value = &story->values[i];
        value->tracked =
            story->whole || (value->from != UINT32_MAX && blind_between(story, value->from, value->to) == 0);
    }
    for (uint32_t i = 0; i < story->count && !story->whole; i++) {
        const struct part *part = &story->parts[i];
        if (part->kept)
            continue;
        if (part->then != NO_VALUE)
            story->values[part->then].tracked = false;
        if (takes_out(part))
            story->values[part->when].tracked = false;
    }
}

static bool untracked(const struct story *story, uint32_t value)
{
    return value != NO_VALUE && !story->values[value].tracked;
}

static struct step projected(const struct story *story, const struct part *part)
{
    struct step step = part->step;
    if (untracked(story, part->when)) {
        if (step.guard == WHEN_IS)
            step.when = STATE_OTHER;
        else
            step.guard = WHEN_PRESENT;
    }
    if (untracked(story, part->then))
        step.then = STATE_OTHER;
    return step;
}

/* The call whose answer is impossible given those that are kept, or NOT_FOUND. */
static uint32_t impossible_call(struct story *story)
{
    struct linear *linear = &story->linear;
    linear->drifts_in = false;
    linear->drifts_out = false;
    choose_tracked(story);
    for (uint32_t i = 0; i < story->count; i++) {
        const struct part *part = &story->parts[i];
        if (part->kept || !step_changes(&part->step))
            continue;
        const bool removes = part->step.clears || (part->step.effect == THEN_SET && part->step.then == HISTORY_ABSENT);
        linear->drifts_out |= removes;
        linear->drifts_in |= !removes;
    }
    linear_start(linear);
    for (uint32_t i = 0; i < story->state_count; i++)
        linear_add_state(linear,
                         untracked(story, value_index(story, story->states[i])) ? STATE_OTHER : story->states[i]);
    for (uint32_t rank = 0; rank < story->event_count; rank++) {
        const struct event *event = &story->events[rank];
        const struct part *part = &story->parts[event->call];
        enum linear_answer answer = LINEAR_HOLDS;
        if (!part->kept)
            continue;
        if (event->end) {
            answer = linear_end(linear, event->call);
        } else if (!part->step.optional || step_changes(&part->step)) {
            const struct step step = projected(story, part);
            answer = linear_begin(linear, event->call, &step);
        }
        if (answer != LINEAR_HOLDS)
            return answer == LINEAR_IMPOSSIBLE ? event->call : NOT_FOUND;
    }
    return NOT_FOUND;
}

/* ---- Cutting ---- */

/* Leaves away all behind the end of the impossible call. */
static void cut_behind(struct story *story, uint32_t impossible)
{
    uint32_t count = 0;
    story->cut = story->calls[impossible].end;
    for (uint32_t i = 0; i < story->count; i++) {
        const struct history_call *call = &story->calls[i];
        const struct step *step = &story->parts[i].step;
        if (call->call < story->cut && (ended(story, call) || step_changes(step)))
            story->calls[count++] = *call;
    }
    story->count = count;
    set_out(story);
}

static bool may_go(const struct story *story, uint32_t i)
{
    return story->parts[i].kept && (!story->whole || !step_changes(&story->parts[i].step));
}

/* Tries to leave the calls from...to out; puts them back if the rest would hold. */
static bool leave_out(struct story *story, uint32_t from, uint32_t to, bool *tried)
{
    bool any = false;
    for (uint32_t i = from; i < to; i++)
        any |= may_go(story, i);
    if (!any)
        return false;
    for (uint32_t i = from; i < to; i++)
        tried[i - from] = may_go(story, i);
    for (uint32_t i = from; i < to; i++)
        story->parts[i].kept = story->parts[i].kept && !tried[i - from];
    if (impossible_call(story) != NOT_FOUND)
        return true;
    for (uint32_t i = from; i < to; i++)
        story->parts[i].kept = story->parts[i].kept || tried[i - from];
    return false;
}

static void cut_apart(struct story *story)
{
    const clock_t last = clock() + SECONDS_MAX * CLOCKS_PER_SEC;
    bool *tried = calloc(story->count + 1, sizeof *tried);
    bool again = tried != NULL;
    for (uint32_t chunk = (story->count + 1) / 2; again && clock() < last; chunk = chunk > 1 ? chunk / 2 : 1) {
        bool any = false;
        for (uint32_t from = 0; from < story->count && clock() < last; from += chunk) {
            const uint32_t to = story->count - from < chunk ? story->count : from + chunk;
            any |= leave_out(story, from, to, tried);
        }
        again = chunk > 1 || any;
    }
    free(tried);
}

bool explain_part_is_impossible(const struct history_call *calls, uint32_t count, const bool *kept,
                                const uint64_t *states, uint32_t state_count, bool (*is_word)(uint64_t value))
{
    struct story story;
    bool impossible = false;
    struct history_call *copy = malloc((count + 1) * sizeof *copy);
    if (!copy)
        abort();
    memcpy(copy, calls, count * sizeof *copy);
    if (story_init(&story, copy, count, states, state_count, is_word)) {
        for (uint32_t i = 0; i < count; i++)
            story.parts[i].kept = kept[i] || (story.whole && step_changes(&story.parts[i].step));
        impossible = impossible_call(&story) != NOT_FOUND;
    }
    story_fini(&story);
    free(copy);
    return impossible;
}

/* ---- Words ---- */

__attribute__((format(printf, 2, 3))) static void say(struct explanation *out, const char *format, ...)
{
    const size_t used = strlen(out->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->text + used, sizeof out->text - used, format, arguments);
    va_end(arguments);
}

static void say_value(struct explanation *out, uint64_t value)
{
    if (value == HISTORY_ABSENT)
        say(out, "absent");
    else if (value == HISTORY_UNKNOWN)
        say(out, "something");
    else
        say(out, value < 1000000 ? "%" PRIu64 : "%" PRIx64, value);
}

static bool gives_value(enum history_verb verb)
{
    return verb != HISTORY_GET && verb != HISTORY_REMOVE && verb != HISTORY_REMOVE_IF && verb != HISTORY_CLEAR &&
           verb != HISTORY_UPDATE_REMOVE && verb != HISTORY_UPDATE_LEAVE;
}

static void say_call(struct explanation *out, const struct history_call *call)
{
    say(out, "%s", history_verb_name((enum history_verb)call->verb));
    if (call->verb == HISTORY_CAS || call->verb == HISTORY_REMOVE_IF) {
        say(out, " ");
        say_value(out, call->expected);
    }
    if (gives_value((enum history_verb)call->verb)) {
        say(out, call->verb == HISTORY_CAS ? " to " : " ");
        say_value(out, call->value);
    }
    if (call->end == 0) {
        say(out, ": never ended");
        return;
    }
    say(out, ": %s", spec_status_name(call->status));
    if (call->result != HISTORY_ABSENT) {
        say(out, " ");
        say_value(out, call->result);
    }
}

/* "T2's get" */
static void say_whose(struct explanation *out, const struct history_call *call)
{
    say(out, "T%u's %s", call->thread, history_verb_name((enum history_verb)call->verb));
}

/* A kept call that says it took the value out, not this one; NOT_FOUND. */
static uint32_t other_taker(const struct story *story, uint32_t value, uint32_t not_this)
{
    for (uint32_t i = 0; i < story->count; i++) {
        if (i != not_this && story->parts[i].kept && takes_out(&story->parts[i]) && story->parts[i].when == value)
            return i;
    }
    return NOT_FOUND;
}

/* A kept call that had stored a value when this one began, which nobody took out; NOT_FOUND. */
static uint32_t holder_before(const struct story *story, uint32_t bad)
{
    for (uint32_t i = story->count; i-- > 0;) {
        const struct part *part = &story->parts[i];
        const bool before = ended(story, &story->calls[i]) && story->calls[i].end < story->calls[bad].call;
        if (before && part->kept && part->then != NO_VALUE && story->values[part->then].tracked &&
            other_taker(story, part->then, bad) == NOT_FOUND)
            return i;
    }
    return NOT_FOUND;
}

/* What else must have been there. */
static void say_holder(struct explanation *out, const struct story *story, uint32_t bad)
{
    const uint32_t holder = holder_before(story, bad);
    if (holder == NOT_FOUND) {
        say(out, ", which was not so at any time between its call and its return.");
        return;
    }
    say(out, ", but ");
    say_whose(out, &story->calls[holder]);
    say(out, " had stored ");
    say_value(out, story->parts[holder].step.then);
    say(out, " before it began, and no other call can have taken that out.");
}

/* The impossible call names a value. */
static void say_why_value(struct explanation *out, const struct story *story, uint32_t bad)
{
    const struct part *part = &story->parts[bad];
    const uint32_t taker = part->when == NO_VALUE ? NOT_FOUND : other_taker(story, part->when, bad);
    if (part->when == NO_VALUE) {
        say(out, ", which nobody had stored by then.");
    } else if (taker == NOT_FOUND) {
        say_holder(out, story, bad);
    } else if (ended(story, &story->calls[taker]) && story->calls[taker].end < story->calls[bad].call) {
        say(out, ", which ");
        say_whose(out, &story->calls[taker]);
        say(out, " had taken out before it began.");
    } else if (takes_out(part)) {
        say(out, ", and ");
        say_whose(out, &story->calls[taker]);
        say(out, " says that it took the same value out: it was stored once.");
    } else {
        say(out, ", which ");
        say_whose(out, &story->calls[taker]);
        say(out, " took out, and no order of the two fits the others.");
    }
}

static void say_why(struct explanation *out, const struct story *story, uint32_t bad)
{
    const struct history_call *call = &story->calls[bad];
    const struct part *part = &story->parts[bad];
    out->sentence = strlen(out->text);
    say(out, "Impossible: ");
    say_whose(out, call);
    say(out, " answers %s", spec_status_name(call->status));
    if (call->result != HISTORY_ABSENT) {
        say(out, " ");
        say_value(out, call->result);
    }
    if (part->step.guard == WHEN_NEVER)
        say(out, ", which no such call ever answers.");
    else if (part->step.guard == WHEN_IS && part->step.when == HISTORY_ABSENT)
        say_holder(out, story, bad);
    else if (part->step.guard == WHEN_IS)
        say_why_value(out, story, bad);
    else
        say(out, ", which no order of these calls explains.");
    say(out, "\n");
}

/* ---- Drawing ---- */

/* Ranks among the events of kept calls. */
static void kept_ranks(const struct story *story, uint32_t call, unsigned *from, unsigned *to, unsigned *last)
{
    *last = 0;
    *to = UINT32_MAX;
    for (uint32_t rank = 0; rank < story->event_count; rank++) {
        const struct event *event = &story->events[rank];
        if (!story->parts[event->call].kept)
            continue;
        if (event->call == call && !event->end)
            *from = *last;
        if (event->call == call && event->end)
            *to = *last;
        ++*last;
    }
}

static void draw_bar(struct explanation *out, const struct story *story, uint32_t call)
{
    unsigned from = 0;
    unsigned to = 0;
    unsigned last = 0;
    kept_ranks(story, call, &from, &to, &last);
    const bool ended = to != UINT32_MAX;
    const unsigned wide = last <= 8 ? 4 : last <= 16 ? 3 : 2;
    const unsigned most = last * wide < BAR_MAX ? last * wide : BAR_MAX;
    const unsigned left = last > 0 ? from * most / last : 0;
    const unsigned right = ended ? to * most / last : most;
    char bar[BAR_MAX + 3];
    memset(bar, ' ', sizeof bar);
    memset(bar + left, '=', right > left ? right - left : 1);
    bar[left] = '[';
    bar[right > left ? right : left + 1] = ended ? ']' : '>';
    bar[most + 1] = '\0';
    say(out, "%s", bar);
}

static void draw(struct explanation *out, const struct story *story, uint32_t key, uint32_t all, uint32_t bad)
{
    uint32_t kept = 0;
    uint32_t row = 0;
    for (uint32_t i = 0; i < story->count; i++)
        kept += story->parts[i].kept;
    out->calls = kept;
    say(out, "Not linearizable. Key %" PRIu32 ", which held ", key);
    for (uint32_t i = 0; i < story->state_count; i++) {
        say(out, i > 0 ? " or " : "");
        say_value(out, story->states[i]);
    }
    say(out, " before. Of %" PRIu32 " calls these %" PRIu32 " are impossible, whatever the others did:\n\n", all, kept);
    for (uint32_t i = 0; i < story->count; i++) {
        if (!story->parts[i].kept || (row++ + ROWS_MAX < kept && i != bad))
            continue;
        say(out, "  %c T%-2u ", i == bad ? '!' : ' ', story->calls[i].thread);
        draw_bar(out, story, i);
        say(out, " ");
        say_call(out, &story->calls[i]);
        say(out, "\n");
    }
    say(out, "\n");
}

bool explain(struct explanation *out, uint32_t key, struct history_call *calls, uint32_t count, const uint64_t *states,
             uint32_t state_count, bool (*is_word)(uint64_t value))
{
    struct story story;
    uint32_t bad = NOT_FOUND;
    out->text[0] = '\0';
    if (story_init(&story, calls, count, states, state_count, is_word)) {
        bad = impossible_call(&story);
        if (bad != NOT_FOUND) {
            cut_behind(&story, bad);
            cut_apart(&story);
            bad = impossible_call(&story);
        }
        if (bad != NOT_FOUND) {
            draw(out, &story, key, count, bad);
            say_why(out, &story, bad);
        }
    }
    if (out->text[0] == '\0')
        say(out, "Not linearizable: key %" PRIu32 ", %" PRIu32 " calls; there was no memory to say more.\n", key,
            count);
    story_fini(&story);
    return bad != NOT_FOUND;
}
