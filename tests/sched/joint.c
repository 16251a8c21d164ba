/* SPDX-License-Identifier: ISC */
/* joint.c - see joint.h. */
#include <stdlib.h>
#include <string.h>

#include "joint.h"

#define SLOTS 64
#define CONFIGURATIONS_MAX 8192

struct configuration {
    uint64_t state[KEYS];
    uint64_t effected; /* pending calls that have taken effect, by slot */
};

struct joint {
    const struct call *calls;
    const struct capture *captures;
    uint32_t pending[SLOTS]; /* calls that have begun and not ended */
    uint64_t slots;          /* in use */
    unsigned count;
    struct configuration configurations[CONFIGURATIONS_MAX];
};

struct joint *joint_new(void)
{
    return calloc(1, sizeof(struct joint));
}

void joint_free(struct joint *joint)
{
    free(joint);
}

static bool captures(const struct capture *capture, const uint64_t *state)
{
    for (unsigned key = 0; key < KEYS; key++) {
        if (capture->known[key] && capture->value[key] != state[key])
            return false;
    }
    return true;
}

/* Whether a call may take effect; *after is its key's state then. */
static bool takes_effect(const struct joint *joint, const uint64_t *state, const struct call *call, uint64_t *after)
{
    if (call->verb != KEY_VIEW)
        return linear_takes_effect(state[call->key], call, after);
    return captures(&joint->captures[call->key], state);
}

/* Lets all take effect that may and changes nothing. */
static void settle(const struct joint *joint, struct configuration *c)
{
    for (uint64_t left = joint->slots & ~c->effected; left != 0; left &= left - 1) {
        const unsigned slot = (unsigned)__builtin_ctzll(left);
        const struct call *call = &joint->calls[joint->pending[slot]];
        uint64_t after;
        if (takes_effect(joint, c->state, call, &after) && (call->verb == KEY_VIEW || after == c->state[call->key]))
            c->effected |= UINT64_C(1) << slot;
    }
}

static bool add(struct joint *joint, struct configuration c)
{
    settle(joint, &c);
    for (unsigned i = 0; i < joint->count; i++) {
        if (memcmp(&joint->configurations[i], &c, sizeof c) == 0)
            return true;
    }
    if (joint->count == CONFIGURATIONS_MAX)
        return false;
    joint->configurations[joint->count++] = c;
    return true;
}

static bool add_with(struct joint *joint, const struct configuration *from, unsigned slot, uint64_t key, uint64_t state)
{
    struct configuration c = *from;
    c.effected |= UINT64_C(1) << slot;
    c.state[key] = state;
    return add(joint, c);
}

static bool extend_by(struct joint *joint, const struct configuration *from, unsigned slot)
{
    const struct call *call = &joint->calls[joint->pending[slot]];
    const bool effected = (from->effected >> slot & 1) != 0;
    uint64_t after = 0;
    if (call->verb == KEY_CLEAR) { /* as often as it likes; one that has failed need not have come here */
        return add_with(joint, from, slot, call->key, 0) &&
               (effected || call->status >= 0 || add_with(joint, from, slot, call->key, from->state[call->key]));
    }
    if (effected || !takes_effect(joint, from->state, call, &after))
        return true;
    return add_with(joint, from, slot, call->key, after);
}

/* All that pending calls can lead to. The list grows while it is walked. */
static bool extend(struct joint *joint)
{
    const unsigned before = joint->count;
    joint->count = 0;
    for (unsigned i = 0; i < before; i++) {
        const struct configuration c = joint->configurations[i];
        add(joint, c); /* those that began meanwhile may take effect */
    }
    for (unsigned i = 0; i < joint->count; i++) {
        const struct configuration from = joint->configurations[i];
        for (uint64_t left = joint->slots; left != 0; left &= left - 1) {
            if (!extend_by(joint, &from, (unsigned)__builtin_ctzll(left)))
                return false;
        }
    }
    return true;
}

static bool end_call(struct joint *joint, uint32_t index, bool *wide)
{
    uint64_t bit = 0;
    for (uint64_t left = joint->slots; left != 0; left &= left - 1) {
        if (joint->pending[__builtin_ctzll(left)] == index)
            bit = left & -left;
    }
    *wide = !extend(joint);
    const unsigned before = joint->count;
    joint->slots &= ~bit;
    joint->count = 0;
    for (unsigned i = 0; i < before; i++) {
        struct configuration c = joint->configurations[i];
        if ((c.effected & bit) == 0)
            continue;
        c.effected &= ~bit;
        add(joint, c);
    }
    return joint->count > 0;
}

int64_t joint_check(struct joint *joint, const struct call *calls, const struct capture *captures,
                    const struct event *events, size_t count)
{
    joint->calls = calls;
    joint->captures = captures;
    joint->slots = 0;
    joint->count = 0;
    add(joint, (struct configuration){.effected = 0});
    for (size_t i = 0; i < count; i++) {
        const uint32_t index = events[i].call;
        bool wide = false;
        if (events[i].end) {
            const bool holds = end_call(joint, index, &wide);
            if (wide)
                return LINEAR_TOO_WIDE;
            if (!holds)
                return index;
            continue;
        }
        if (~joint->slots == 0)
            return LINEAR_TOO_WIDE;
        const unsigned slot = (unsigned)__builtin_ctzll(~joint->slots);
        joint->pending[slot] = index;
        joint->slots |= UINT64_C(1) << slot;
    }
    return LINEAR_HOLDS;
}
