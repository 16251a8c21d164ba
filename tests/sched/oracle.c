/* SPDX-License-Identifier: ISC */
/* oracle.c - linearizability of small histories, key by key.
 *
 * Source   Wing & Gong 1993; Lowe 2017, just-in-time linearization. Keys are checked one by one, which is enough
 *          (Herlihy & Wing 1990: linearizability is local).
 * How      All calls' beginnings and ends are one sequence. A configuration is a state of the key and the calls that
 *          have taken effect but not ended. At each end, every configuration is extended by pending calls in every
 *          possible order; those in which the ending call has taken effect go on. None left: no order explains it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define ENTRIES_MAX 512
#define CONFIGURATIONS_MAX 4096

struct entry {
    uint32_t call;
    uint32_t end; /* 0: not ended */
    uint8_t verb;
    uint8_t key;
    uint8_t thread;
    int8_t status;
    uint64_t value;
    uint64_t expected;
    uint64_t result;
};

/* A key's state: 0 is absent, no id is 0. */
struct configuration {
    uint64_t state;
    uint64_t effected; /* pending calls that have taken effect, by slot */
};

struct oracle {
    uint32_t clock;
    unsigned count;
    struct entry entries[ENTRIES_MAX];
    unsigned configurations;
    struct configuration configuration[CONFIGURATIONS_MAX];
};

struct oracle *oracle_new(void)
{
    return calloc(1, sizeof(struct oracle));
}

void oracle_free(struct oracle *oracle)
{
    free(oracle);
}

void oracle_begin(struct oracle *oracle)
{
    oracle->clock = 0;
    oracle->count = 0;
}

unsigned oracle_call(struct oracle *oracle, unsigned thread)
{
    if (oracle->count == ENTRIES_MAX)
        run_failed("more calls than the oracle can take");
    oracle->entries[oracle->count] = (struct entry){.call = ++oracle->clock, .thread = (uint8_t)thread};
    return oracle->count++;
}

void oracle_return(struct oracle *oracle, unsigned entry, enum verb verb, unsigned key, uint64_t value,
                   uint64_t expected, enum soma_status status, uint64_t result)
{
    struct entry *e = &oracle->entries[entry];
    e->end = ++oracle->clock;
    e->verb = (uint8_t)verb;
    e->key = (uint8_t)key;
    e->status = (int8_t)status;
    e->value = value;
    e->expected = expected;
    e->result = result;
}

/* ---- What each call does to a key ---- */

struct answer {
    int status;
    uint64_t result;
    uint64_t after;
};

static struct answer compare(uint64_t state, const struct entry *e, int done, uint64_t after)
{
    if (state == 0)
        return (struct answer){SOMA_ABSENT, 0, 0};
    if (state != e->expected)
        return (struct answer){SOMA_CHANGED, state, state};
    return (struct answer){done, state, after};
}

static struct answer answer_of(uint64_t state, const struct entry *e)
{
    const int stored = state ? SOMA_REPLACED : SOMA_INSERTED;
    switch ((enum verb)e->verb) {
    case DO_GET:
        return (struct answer){state ? SOMA_OK : SOMA_ABSENT, state, state};
    case DO_PUT:
    case DO_UPDATE:
        return (struct answer){stored, state, e->value};
    case DO_PUT_NEW:
        return state ? (struct answer){SOMA_EXISTS, state, state} : (struct answer){SOMA_INSERTED, 0, e->value};
    case DO_REPLACE:
        return state ? (struct answer){SOMA_REPLACED, state, e->value} : (struct answer){SOMA_ABSENT, 0, 0};
    case DO_CAS:
        return compare(state, e, SOMA_REPLACED, e->value);
    case DO_REMOVE_IF:
        return compare(state, e, SOMA_REMOVED, 0);
    case DO_REMOVE:
    case DO_UPDATE_REMOVE:
        return (struct answer){state ? SOMA_REMOVED : SOMA_ABSENT, state, 0};
    case DO_ADD:
        return (struct answer){stored, state, state + e->value};
    case DO_UPDATE_LEAVE:
        return (struct answer){state ? SOMA_EXISTS : SOMA_ABSENT, state, state};
    case DO_PUT_MANY:
        return (struct answer){SOMA_OK, 0, e->value};
    case DO_CLEAR:
        return (struct answer){SOMA_OK, 0, 0};
    default:
        return (struct answer){-100, 0, state};
    }
}

/* Whether the call may take effect on this state; *after is the state then. A call that failed changed nothing; a
 * clear that failed may have come to this key or not. */
static bool takes_effect(uint64_t state, const struct entry *e, uint64_t *after)
{
    *after = state;
    if (e->status == SOMA_E_NOMEM || e->status == SOMA_E_LIMIT)
        return true;
    const struct answer answer = answer_of(state, e);
    *after = answer.after;
    if (e->verb == DO_UPDATE_REMOVE && e->status == SOMA_ABSENT && state == 0)
        return true;
    return answer.status == e->status && (answer.result == e->result || e->result == RESULT_UNKNOWN);
}

/* ---- One key ---- */

struct key_check {
    struct oracle *oracle;
    unsigned pending[64]; /* entries that have begun and not ended, by slot */
    uint64_t slots;       /* in use */
};

static bool add_configuration(struct oracle *oracle, struct configuration new)
{
    for (unsigned i = 0; i < oracle->configurations; i++) {
        const struct configuration *c = &oracle->configuration[i];
        if (c->state == new.state && c->effected == new.effected)
            return true;
    }
    if (oracle->configurations == CONFIGURATIONS_MAX)
        return false;
    oracle->configuration[oracle->configurations++] = new;
    return true;
}

/* Whether a clear is under way: it removes each key at least once, and may do so again. */
static bool clears(const struct key_check *check)
{
    for (uint64_t left = check->slots; left != 0; left &= left - 1) {
        if (check->oracle->entries[check->pending[__builtin_ctzll(left)]].verb == DO_CLEAR)
            return true;
    }
    return false;
}

/* All that pending calls can lead to. */
static bool extend(const struct key_check *check)
{
    struct oracle *oracle = check->oracle;
    for (unsigned i = 0; i < oracle->configurations; i++) {
        for (uint64_t left = check->slots & ~oracle->configuration[i].effected; left != 0; left &= left - 1) {
            const unsigned slot = (unsigned)__builtin_ctzll(left);
            const struct entry *e = &oracle->entries[check->pending[slot]];
            struct configuration next = oracle->configuration[i];
            next.effected |= UINT64_C(1) << slot;
            if (takes_effect(oracle->configuration[i].state, e, &next.state) && !add_configuration(oracle, next))
                return false;
            if (e->verb == DO_CLEAR && e->status < 0) {
                next.state = 0;
                if (!add_configuration(oracle, next))
                    return false;
            }
        }
        if (clears(check) && !add_configuration(oracle, (struct configuration){0, oracle->configuration[i].effected}))
            return false;
    }
    return true;
}

/* The call in this slot ends: it must have taken effect. */
static bool end_call(struct key_check *check, unsigned slot)
{
    struct oracle *oracle = check->oracle;
    const uint64_t bit = UINT64_C(1) << slot;
    if (!extend(check))
        return false;
    const unsigned before = oracle->configurations;
    oracle->configurations = 0;
    for (unsigned i = 0; i < before; i++) {
        struct configuration c = oracle->configuration[i];
        if ((c.effected & bit) == 0)
            continue;
        c.effected &= ~bit;
        add_configuration(oracle, c);
    }
    check->slots &= ~bit;
    return oracle->configurations > 0;
}

static unsigned slot_of(const struct key_check *check, unsigned entry)
{
    for (uint64_t left = check->slots; left != 0; left &= left - 1) {
        const unsigned slot = (unsigned)__builtin_ctzll(left);
        if (check->pending[slot] == entry)
            return slot;
    }
    return 0;
}

/* The entry that cannot be explained, or -1. */
static int check_key(struct oracle *oracle, unsigned key)
{
    struct key_check check = {.oracle = oracle};
    int event[2 * ENTRIES_MAX + 2]; /* by time: entry + 1 begins, -(entry + 1) ends, 0 is another key's */
    memset(event, 0, (oracle->clock + 1) * sizeof *event);
    for (unsigned i = 0; i < oracle->count; i++) {
        if (oracle->entries[i].end != 0 && oracle->entries[i].key == key) {
            event[oracle->entries[i].call] = (int)i + 1;
            event[oracle->entries[i].end] = -((int)i + 1);
        }
    }
    oracle->configurations = 0;
    add_configuration(oracle, (struct configuration){.state = 0, .effected = 0});
    for (uint32_t time = 1; time <= oracle->clock; time++) {
        if (event[time] > 0) {
            const unsigned slot = (unsigned)__builtin_ctzll(~check.slots);
            check.pending[slot] = (unsigned)event[time] - 1;
            check.slots |= UINT64_C(1) << slot;
        } else if (event[time] < 0 && !end_call(&check, slot_of(&check, (unsigned)-event[time] - 1))) {
            return -event[time] - 1;
        }
    }
    return -1;
}

bool oracle_holds(struct oracle *oracle, char *why, size_t size)
{
    for (unsigned key = 0; key < KEYS; key++) {
        const int bad = check_key(oracle, key);
        if (bad < 0)
            continue;
        const struct entry *e = &oracle->entries[bad];
        snprintf(why, size, "not linearizable: T%u's %s of key %c answers %s, %" PRIx64 ", which no order explains",
                 e->thread, verb_name((enum verb)e->verb), 'a' + (int)key,
                 soma_status_text((enum soma_status)e->status), e->result);
        return false;
    }
    return true;
}
