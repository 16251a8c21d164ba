/* SPDX-License-Identifier: ISC */
/* linear.c - see linear.h. */
#include <stdlib.h>

#include "linear.h"

#define SLOTS 64
#define CONFIGURATIONS_MAX 8192

struct configuration {
    uint64_t state;
    uint64_t effected; /* pending calls that have taken effect, by slot */
};

struct linear {
    const struct call *calls;
    uint32_t pending[SLOTS]; /* calls that have begun and not ended */
    uint64_t slots;          /* in use */
    uint64_t clears;         /* slots of clears */
    unsigned count;
    struct configuration configurations[CONFIGURATIONS_MAX];
};

struct linear *linear_new(void)
{
    return calloc(1, sizeof(struct linear));
}

void linear_free(struct linear *linear)
{
    free(linear);
}

const char *verb_of_key_name(enum verb_of_key verb)
{
    static const char *const names[KEY_VERBS] = {
        [KEY_GET] = "get",
        [KEY_PUT] = "put",
        [KEY_PUT_NEW] = "put_new",
        [KEY_REPLACE] = "replace",
        [KEY_CAS] = "cas",
        [KEY_REMOVE] = "remove",
        [KEY_REMOVE_IF] = "remove_if",
        [KEY_ADD] = "fetch_add",
        [KEY_UPDATE] = "update (store)",
        [KEY_UPDATE_REMOVE] = "update (remove)",
        [KEY_UPDATE_LEAVE] = "update (leave)",
        [KEY_PUT_BLIND] = "put_many",
        [KEY_CLEAR] = "clear",
        [KEY_VIEW] = "view",
    };
    return verb < KEY_VERBS ? names[verb] : "?";
}

/* ---- What each call does to its key ---- */

struct answer {
    int status;
    uint64_t result;
    uint64_t after; /* the state then */
};

static struct answer if_expected(uint64_t state, const struct call *call, int done, uint64_t after)
{
    if (state == 0)
        return (struct answer){SOMA_ABSENT, 0, 0};
    if (state != call->expected)
        return (struct answer){SOMA_CHANGED, state, state};
    return (struct answer){done, state, after};
}

static struct answer answer_of(uint64_t state, const struct call *call)
{
    const int stored = state ? SOMA_REPLACED : SOMA_INSERTED;
    switch ((enum verb_of_key)call->verb) {
    case KEY_GET:
        return (struct answer){state ? SOMA_OK : SOMA_ABSENT, state, state};
    case KEY_PUT:
    case KEY_UPDATE:
        return (struct answer){stored, state, call->value};
    case KEY_PUT_NEW:
        return state ? (struct answer){SOMA_EXISTS, state, state} : (struct answer){SOMA_INSERTED, 0, call->value};
    case KEY_REPLACE:
        return state ? (struct answer){SOMA_REPLACED, state, call->value} : (struct answer){SOMA_ABSENT, 0, 0};
    case KEY_CAS:
        return if_expected(state, call, SOMA_REPLACED, call->value);
    case KEY_REMOVE_IF:
        return if_expected(state, call, SOMA_REMOVED, 0);
    case KEY_REMOVE:
    case KEY_UPDATE_REMOVE:
        return (struct answer){state ? SOMA_REMOVED : SOMA_ABSENT, state, 0};
    case KEY_ADD:
        return (struct answer){stored, state, state + call->value};
    case KEY_UPDATE_LEAVE:
        return (struct answer){state ? SOMA_EXISTS : SOMA_ABSENT, state, state};
    case KEY_PUT_BLIND:
        return (struct answer){SOMA_OK, 0, call->value};
    case KEY_CLEAR:
        return (struct answer){SOMA_OK, 0, 0};
    default:
        return (struct answer){-100, 0, state};
    }
}

bool linear_takes_effect(uint64_t state, const struct call *call, uint64_t *after)
{
    const bool failed = call->status == SOMA_E_NOMEM || call->status == SOMA_E_LIMIT;
    *after = state;
    if (failed && call->verb != KEY_CLEAR)
        return true;
    const struct answer answer = answer_of(state, call);
    *after = answer.after;
    if (call->end == UINT64_MAX || call->verb == KEY_CLEAR)
        return true;
    return answer.status == call->status && (answer.result == call->result || call->result == RESULT_UNKNOWN);
}

/* ---- Configurations ---- */

static bool add(struct linear *linear, uint64_t state, uint64_t effected)
{
    for (unsigned i = 0; i < linear->count; i++) {
        if (linear->configurations[i].state == state && linear->configurations[i].effected == effected)
            return true;
    }
    if (linear->count == CONFIGURATIONS_MAX)
        return false;
    linear->configurations[linear->count++] = (struct configuration){state, effected};
    return true;
}

static bool extend_by(struct linear *linear, struct configuration from, unsigned slot)
{
    const struct call *call = &linear->calls[linear->pending[slot]];
    const uint64_t effected = from.effected | UINT64_C(1) << slot;
    uint64_t after;
    if (linear_takes_effect(from.state, call, &after) && !add(linear, after, effected))
        return false;
    /* A clear that failed has come to this key, or has not. */
    return call->verb != KEY_CLEAR || call->status >= 0 || add(linear, from.state, effected);
}

/* All that pending calls can lead to. The list grows while it is walked. */
static bool extend(struct linear *linear)
{
    for (unsigned i = 0; i < linear->count; i++) {
        const struct configuration from = linear->configurations[i];
        for (uint64_t left = linear->slots & ~from.effected; left != 0; left &= left - 1) {
            if (!extend_by(linear, from, (unsigned)__builtin_ctzll(left)))
                return false;
        }
        /* A clear that has removed the key may do so again. */
        if ((from.effected & linear->clears) != 0 && !add(linear, 0, from.effected))
            return false;
    }
    return true;
}

static void keep_effected(struct linear *linear, uint64_t bit)
{
    const unsigned before = linear->count;
    linear->count = 0;
    for (unsigned i = 0; i < before; i++) {
        const struct configuration c = linear->configurations[i];
        if (c.effected & bit)
            add(linear, c.state, c.effected & ~bit);
    }
}

static bool begin_call(struct linear *linear, uint32_t index)
{
    if (~linear->slots == 0)
        return false;
    const unsigned slot = (unsigned)__builtin_ctzll(~linear->slots);
    linear->pending[slot] = index;
    linear->slots |= UINT64_C(1) << slot;
    if (linear->calls[index].verb == KEY_CLEAR)
        linear->clears |= UINT64_C(1) << slot;
    return true;
}

static uint64_t slot_bit(const struct linear *linear, uint32_t index)
{
    for (uint64_t left = linear->slots; left != 0; left &= left - 1) {
        const unsigned slot = (unsigned)__builtin_ctzll(left);
        if (linear->pending[slot] == index)
            return UINT64_C(1) << slot;
    }
    return 0;
}

/* A call that nothing overlaps needs no search. */
static bool end_alone(struct linear *linear, const struct call *call)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < linear->count; i++) {
        uint64_t after;
        if (linear_takes_effect(linear->configurations[i].state, call, &after))
            linear->configurations[kept++] = (struct configuration){after, 0};
    }
    linear->count = kept;
    return kept > 0;
}

static bool end_call(struct linear *linear, uint32_t index, bool *wide)
{
    const uint64_t bit = slot_bit(linear, index);
    *wide = !extend(linear);
    keep_effected(linear, bit);
    linear->slots &= ~bit;
    linear->clears &= ~bit;
    return linear->count > 0;
}

int64_t linear_check(struct linear *linear, const struct call *calls, const struct event *events, size_t count,
                     uint64_t state)
{
    linear->calls = calls;
    linear->slots = 0;
    linear->clears = 0;
    linear->count = 0;
    add(linear, state, 0);
    for (size_t i = 0; i < count; i++) {
        const uint32_t index = events[i].call;
        const bool next_ends = i + 1 < count && events[i + 1].end && events[i + 1].call == index;
        bool wide = false;
        bool holds = true;
        if (events[i].end) {
            holds = end_call(linear, index, &wide);
        } else if (next_ends && linear->slots == 0 && calls[index].verb != KEY_CLEAR) {
            holds = end_alone(linear, &calls[index]);
            i++;
        } else {
            wide = !begin_call(linear, index);
        }
        if (wide)
            return LINEAR_TOO_WIDE;
        if (!holds)
            return index;
    }
    return LINEAR_HOLDS;
}
