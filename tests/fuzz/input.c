/* SPDX-License-Identifier: ISC */
/* input.c - see input.h. */
#include <string.h>

#include "input.h"

#define RACING_MAX 4
#define VERB_BITS 5
#define VERB_MASK ((1u << VERB_BITS) - 1)

static const unsigned option_bits[7] = {COLLIDE, LONG_VALUES, POINTERS, FAULTS, NO_MEMBARRIER, SMALL_CAP, WAITING};

struct bytes {
    const uint8_t *next;
    const uint8_t *end;
};

static unsigned take(struct bytes *bytes)
{
    return bytes->next < bytes->end ? *bytes->next++ : 0;
}

static unsigned flags_of(unsigned byte)
{
    unsigned flags = byte & 1 ? BYTES : WORDS;
    for (unsigned i = 0; i < 7; i++) {
        if (byte >> (i + 1) & 1)
            flags |= option_bits[i];
    }
    if (flags & WORDS)
        flags &= ~(unsigned)(COLLIDE | LONG_VALUES);
    else
        flags &= ~(unsigned)POINTERS;
    return flags;
}

/* Whether an operation makes sense with these options: values that are pointers cannot be counted with, nor compared. */
static bool fits(unsigned flags, enum verb verb)
{
    if (verb >= DO_PUBLISH || verb == DO_MEET) /* who does not come keeps the others waiting */
        return false;
    if (verb == DO_SUB) /* of another's word it makes no sense */
        return false;
    if (flags & POINTERS)
        return verb != DO_ADD && verb != DO_CAS && verb != DO_REMOVE_IF && verb != DO_PUT_MANY && verb != DO_UPDATE &&
               verb != DO_UPDATE_REMOVE && verb != DO_UPDATE_LEAVE;
    return verb != DO_ADD || (flags & LONG_VALUES) == 0;
}

/* What a handler may do: look keys up. */
static bool fits_handler(enum verb verb)
{
    return verb == DO_GET || verb == DO_GET_MANY || verb == DO_COUNT || verb == DO_ENTER || verb == DO_EXIT ||
           verb == DO_HOLD || verb == DO_SEE;
}

/* `view`: the slot of the script's views. */
static void take_script(struct bytes *bytes, unsigned flags, unsigned count, unsigned view, struct script *script)
{
    script->count = count;
    for (unsigned i = 0; i < count; i++) {
        const unsigned byte = take(bytes);
        const enum verb verb = (enum verb)(byte & VERB_MASK);
        script->ops[i] = (struct op){.verb = (uint8_t)(fits(flags, verb) ? verb : DO_GET),
                                     .key = (uint8_t)(byte >> VERB_BITS),
                                     .view = (uint8_t)view};
    }
}

static void add(struct decisions *decisions, uint32_t *at, unsigned gap, unsigned value)
{
    *at += gap + 1;
    if (decisions->count < DECISIONS_MAX)
        decisions->list[decisions->count++] = (struct decision){.at = *at, .value = (uint8_t)value};
}

static void take_decisions(struct bytes *bytes, struct schedule *schedule)
{
    uint32_t at[4] = {0};
    struct decisions *const sorts[4] = {&schedule->switches, &schedule->stale, &schedule->failed, &schedule->signals};
    for (unsigned i = 0; i < 4; i++)
        sorts[i]->count = 0;
    while (bytes->next < bytes->end) {
        const unsigned gap = take(bytes);
        const unsigned what = take(bytes);
        const unsigned sort = what & 3;
        const unsigned value = what >> 2 & 7;
        if (sort < 3 || schedule->signals.count == 0)
            add(sorts[sort], &at[sort], gap, sort == 0 ? value % RACING_MAX + 1 : value);
    }
}

void input_decode_schedule(const uint8_t *bytes, size_t size, struct schedule *schedule)
{
    struct bytes all = {bytes, bytes + size};
    schedule->weak = (take(&all) & 1) != 0;
    schedule->calls_ordered = true;
    take_decisions(&all, schedule);
}

void input_decode(const uint8_t *bytes, size_t size, struct input *input)
{
    struct bytes all = {bytes, bytes + size};
    unsigned counts[RACING_MAX + 1];
    input->flags = flags_of(take(&all));
    const unsigned shape = take(&all);
    const unsigned lengths = take(&all) | take(&all) << 8;
    input->threads = (shape & 3) + 1;
    counts[0] = shape >> 2 & 7;
    for (unsigned t = 1; t <= RACING_MAX; t++)
        counts[t] = lengths >> 4 * (t - 1) & 7; /* runs stay short enough to be followed */
    input->schedule.weak = (shape >> 5 & 1) != 0;
    input->schedule.calls_ordered = true;
    for (unsigned t = 0; t <= input->threads; t++)
        take_script(&all, input->flags, counts[t], t % 2, &input->scripts[t]); /* some have one to themselves */
    take_script(&all, input->flags, shape >> 6, 0, &input->signal);
    for (unsigned i = 0; i < input->signal.count; i++) {
        if (!fits_handler((enum verb)input->signal.ops[i].verb))
            input->signal.ops[i].verb = DO_GET;
    }
    take_decisions(&all, &input->schedule);
}

/* ---- The other way ---- */

static unsigned flags_byte(unsigned flags)
{
    unsigned byte = flags & BYTES ? 1 : 0;
    for (unsigned i = 0; i < 7; i++)
        byte |= (flags & option_bits[i]) != 0 ? 2u << i : 0;
    return byte;
}

static unsigned at_most(unsigned n, unsigned most)
{
    return n < most ? n : most;
}

size_t input_encode(const struct input *input, uint8_t *bytes, size_t size)
{
    unsigned counts[RACING_MAX + 2] = {0};
    size_t used = 4;
    const unsigned threads = at_most(input->threads, RACING_MAX);
    counts[0] = at_most(input->scripts[0].count, 7);
    for (unsigned t = 1; t <= threads; t++)
        counts[t] = at_most(input->scripts[t].count, 7);
    const unsigned handler = at_most(input->signal.count, 3);
    const unsigned lengths = counts[1] | counts[2] << 4 | counts[3] << 8 | counts[4] << 12;
    if (size < 4)
        return 0;
    bytes[0] = (uint8_t)flags_byte(input->flags);
    bytes[1] = (uint8_t)((threads - 1) | counts[0] << 2 | (input->schedule.weak ? 1u << 5 : 0) | handler << 6);
    bytes[2] = (uint8_t)lengths;
    bytes[3] = (uint8_t)(lengths >> 8);
    for (unsigned t = 0; t <= threads + 1; t++) {
        const struct script *script = t <= threads ? &input->scripts[t] : &input->signal;
        for (unsigned i = 0; i < (t <= threads ? counts[t] : handler) && used < size; i++)
            bytes[used++] = (uint8_t)(script->ops[i].verb | script->ops[i].key << VERB_BITS);
    }
    return used;
}
