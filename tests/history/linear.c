/* SPDX-License-Identifier: ISC */
/* linear.c - linearizability of one key, event by event.
 *
 * Source   Wing & Gong 1993; Lowe 2017, just-in-time linearization; keys one by one (Herlihy & Wing 1990:
 *          linearizability is local; Horn & Kroening 2015 for what it saves).
 * How      A configuration is a state of the key and the pending calls that have taken effect. When a call ends, every
 *          configuration in which it has not taken effect is extended by pending calls in every possible order until
 *          it has, and no further: what comes later can be linearized later. None left: no order explains the answers.
 * Reads    A pending call that never changes anything and whose answer fits takes effect at once, and the configuration
 *          in which it has not is dropped: whatever order goes on from there goes on from here.
 * Clear    Removes the key at least once in its interval, and as often again as it likes: a put beside it may be undone
 *          by it or not (soma/u64.h). One that failed removes it any number of times, also none. What it may have done
 *          to calls that are still pending has to be settled before it ends, so there the search goes to the end.
 * Bounds   The cost depends on the calls that are pending at once, never on the length of the history. Values are
 *          unique and most calls say what they replaced, so few pending calls fit a state; the worst case is calls that
 *          do not say (put_many, clear): 2^slots.
 */
#include <stdlib.h>
#include <string.h>

#include "linear.h"

/* Sets up to this size are searched from end to end. */
#define SEARCHED 8
#define TABLE_SIZE (2 * LINEAR_CONFIGURATIONS_MAX)

/* ---- Sets of configurations ---- */

static bool set_init(struct configurations *set)
{
    *set = (struct configurations){.generation = 1};
    set->items = malloc(LINEAR_CONFIGURATIONS_MAX * sizeof *set->items);
    set->table = calloc(TABLE_SIZE, sizeof *set->table);
    return set->items && set->table;
}

static void set_empty(struct configurations *set)
{
    if (set->count >= SEARCHED && ++set->generation == 0) {
        memset(set->table, 0, TABLE_SIZE * sizeof *set->table);
        set->generation = 1;
    }
    set->count = 0;
}

static uint64_t place_of(struct configuration c)
{
    uint64_t h = (c.state ^ c.effected * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    h ^= h >> 29;
    return h * UINT64_C(0x94d049bb133111eb) >> 32;
}

static bool same(struct configuration a, struct configuration b)
{
    return a.state == b.state && a.effected == b.effected;
}

/* Puts the index into the table, unless the configuration is there. */
static bool table_add(struct configurations *set, unsigned index)
{
    for (uint64_t at = place_of(set->items[index]);; at++) {
        uint64_t *cell = &set->table[at % TABLE_SIZE];
        if (*cell >> 32 != set->generation) {
            *cell = (uint64_t)set->generation << 32 | (index + 1);
            return true;
        }
        if (same(set->items[(uint32_t)*cell - 1], set->items[index]))
            return false;
    }
}

/* False if there is no room. */
static bool set_add(struct configurations *set, struct configuration new)
{
    if (set->count < SEARCHED) {
        for (unsigned i = 0; i < set->count; i++) {
            if (same(set->items[i], new))
                return true;
        }
        set->items[set->count++] = new;
        return true;
    }
    if (set->count == LINEAR_CONFIGURATIONS_MAX)
        return false;
    if (set->count == SEARCHED) {
        for (unsigned i = 0; i < SEARCHED; i++)
            table_add(set, i);
    }
    set->items[set->count] = new;
    set->count += table_add(set, set->count);
    return true;
}

bool linear_init(struct linear *linear, bool (*is_word)(uint64_t value))
{
    *linear = (struct linear){.is_word = is_word};
    const bool now = set_init(&linear->now);
    return set_init(&linear->next) && now;
}

void linear_fini(struct linear *linear)
{
    free(linear->now.items);
    free(linear->now.table);
    free(linear->next.items);
    free(linear->next.table);
}

void linear_start(struct linear *linear)
{
    linear->slots = 0;
    linear->readers = 0;
    linear->clears = 0;
    set_empty(&linear->now);
}

void linear_add_state(struct linear *linear, uint64_t state)
{
    set_add(&linear->now, (struct configuration){state, 0});
}

/* ---- From configuration to configuration ---- */

/* All pending calls that never change anything take effect where their answers fit; so do clears where nothing is. */
static void settle(const struct linear *linear, struct configuration *c)
{
    uint64_t left = linear->readers & ~c->effected;
    if (c->state == HISTORY_ABSENT)
        c->effected |= linear->clears;
    for (; left != 0; left &= left - 1) {
        const unsigned slot = (unsigned)__builtin_ctzll(left);
        uint64_t after = 0;
        if (step_takes(&linear->steps[slot], linear->is_word, c->state, &after))
            c->effected |= UINT64_C(1) << slot;
    }
}

/* To the next set if what has to take effect has, else to those that have to be extended. `done` is 0 where everything
 * has to be extended. */
static bool sort_in(struct linear *linear, struct configuration c, uint64_t done)
{
    settle(linear, &c);
    if ((c.effected & done) == 0)
        return set_add(&linear->now, c);
    c.effected &= ~done;
    return set_add(&linear->next, c);
}

/* What nobody recorded, and clears, can make of a state. */
static bool drift(struct linear *linear, struct configuration c, uint64_t done)
{
    const bool goes = linear->clears != 0 ? c.state != HISTORY_ABSENT : linear->drifts_out && c.state == STATE_OTHER;
    if (goes && !sort_in(linear, (struct configuration){HISTORY_ABSENT, c.effected}, done))
        return false;
    if (linear->drifts_in && c.state == HISTORY_ABSENT)
        return sort_in(linear, (struct configuration){STATE_OTHER, c.effected}, done);
    return true;
}

/* `now` grows while it is walked through. */
static bool extend_all(struct linear *linear, uint64_t done)
{
    for (unsigned i = 0; i < linear->now.count; i++) {
        const struct configuration c = linear->now.items[i];
        for (uint64_t left = linear->slots & ~linear->readers & ~c.effected; left != 0; left &= left - 1) {
            const unsigned slot = (unsigned)__builtin_ctzll(left);
            const struct step *step = &linear->steps[slot];
            struct configuration next = c;
            next.effected |= UINT64_C(1) << slot;
            if (!step_takes(step, linear->is_word, c.state, &next.state))
                continue;
            if (!(step->optional && next.state == c.state) && !sort_in(linear, next, done))
                return false;
        }
        if (!drift(linear, c, done))
            return false;
    }
    return true;
}

static void swap_sets(struct linear *linear)
{
    const struct configurations spare = linear->now;
    linear->now = linear->next;
    linear->next = spare;
}

/* All that pending calls can lead to; then only what has the ending call in it stays. */
static bool extend_to_the_end(struct linear *linear, uint64_t ending)
{
    if (!extend_all(linear, 0))
        return false;
    for (unsigned i = 0; i < linear->now.count; i++) {
        struct configuration c = linear->now.items[i];
        if ((c.effected & ending) == 0)
            continue;
        c.effected &= ~ending;
        set_add(&linear->next, c);
    }
    return true;
}

/* ---- Events ---- */

enum linear_answer linear_begin(struct linear *linear, unsigned entry, const struct step *step)
{
    if (linear->slots == UINT64_MAX)
        return LINEAR_TOO_MANY;
    const unsigned slot = (unsigned)__builtin_ctzll(~linear->slots);
    const uint64_t bit = UINT64_C(1) << slot;
    linear->steps[slot] = *step;
    linear->entries[slot] = entry;
    linear->slots |= bit;
    if (step->clears)
        linear->clears |= bit;
    else if (step->effect == THEN_SAME)
        linear->readers |= bit;
    return LINEAR_HOLDS;
}

static uint64_t bit_of(const struct linear *linear, unsigned entry)
{
    for (uint64_t left = linear->slots; left != 0; left &= left - 1) {
        const unsigned slot = (unsigned)__builtin_ctzll(left);
        if (linear->entries[slot] == entry)
            return UINT64_C(1) << slot;
    }
    abort(); /* an end without a beginning */
}

enum linear_answer linear_end(struct linear *linear, unsigned entry)
{
    const uint64_t ending = bit_of(linear, entry);
    const bool clear = (linear->clears & ending) != 0;
    const uint64_t done = clear ? 0 : ending;
    const struct configurations before = linear->now;
    bool room = true;
    set_empty(&linear->next);
    set_empty(&linear->now);
    /* The items are sorted in again in their place: none is written before it has been read. */
    for (unsigned i = 0; i < before.count && room; i++)
        room = sort_in(linear, before.items[i], done);
    room = room && (clear ? extend_to_the_end(linear, ending) : extend_all(linear, done));
    if (!room)
        return LINEAR_TOO_MANY;
    const unsigned most = linear->now.count > linear->next.count ? linear->now.count : linear->next.count;
    linear->most = most > linear->most ? most : linear->most;
    swap_sets(linear);
    linear->slots &= ~ending;
    linear->readers &= ~ending;
    linear->clears &= ~ending;
    return linear->now.count > 0 ? LINEAR_HOLDS : LINEAR_IMPOSSIBLE;
}

enum linear_answer linear_alone(struct linear *linear, const struct step *step)
{
    if (linear->drifts_in || linear->drifts_out || step->clears || linear->now.count != 1) {
        linear_begin(linear, 0, step);
        return linear_end(linear, 0);
    }
    struct configuration *c = &linear->now.items[0];
    return step_takes(step, linear->is_word, c->state, &c->state) ? LINEAR_HOLDS : LINEAR_IMPOSSIBLE;
}

unsigned linear_states(struct linear *linear, const struct configuration **states)
{
    *states = linear->now.items;
    return linear->now.count;
}
