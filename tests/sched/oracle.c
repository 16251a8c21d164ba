/* SPDX-License-Identifier: ISC */
/* oracle.c - see oracle.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "linear.h"
#include "oracle.h"
#include "scenario.h"

#define CALLS_MAX 512
#define CAPTURES_MAX 64

struct oracle {
    struct linear *linear;
    struct joint *joint;
    uint32_t events; /* beginnings and ends so far */
    uint32_t count;
    struct call calls[CALLS_MAX];
    struct event event[2 * CALLS_MAX];
    unsigned captures;
    struct capture capture[CAPTURES_MAX];
};

struct oracle *oracle_new(void)
{
    struct oracle *oracle = calloc(1, sizeof *oracle);
    if (oracle) {
        oracle->linear = linear_new();
        oracle->joint = joint_new();
    }
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    linear_free(oracle->linear);
    joint_free(oracle->joint);
    free(oracle);
}

void oracle_begin(struct oracle *oracle)
{
    oracle->events = 0;
    oracle->count = 0;
    oracle->captures = 0;
}

struct call *oracle_call(struct oracle *oracle, unsigned thread, enum verb_of_key verb, unsigned key)
{
    if (oracle->count == CALLS_MAX)
        run_failed("more calls than the oracle can take");
    struct call *call = &oracle->calls[oracle->count];
    *call = (struct call){
        .begin = oracle->events, .end = UINT64_MAX, .key = key, .verb = (uint8_t)verb, .thread = (uint16_t)thread};
    oracle->event[oracle->events++] = (struct event){.call = oracle->count++, .end = false};
    return call;
}

void oracle_return(struct oracle *oracle, struct call *call)
{
    call->end = oracle->events;
    oracle->event[oracle->events++] = (struct event){.call = (uint32_t)(call - oracle->calls), .end = true};
}

struct call *oracle_view(struct oracle *oracle, unsigned thread, struct capture **capture)
{
    if (oracle->captures == CAPTURES_MAX)
        run_failed("more views than the oracle can take");
    *capture = &oracle->capture[oracle->captures];
    **capture = (struct capture){.count = 0};
    return oracle_call(oracle, thread, KEY_VIEW, oracle->captures++);
}

/* Calls on many keys, and views of all of them, are explained by one order only together. */
static bool holds_together(struct oracle *oracle, char *why, size_t size)
{
    const int64_t bad = joint_check(oracle->joint, oracle->calls, oracle->capture, oracle->event, oracle->events);
    if (bad == LINEAR_TOO_WIDE)
        snprintf(why, size, "more calls at once than the oracle can follow");
    if (bad < 0)
        return bad == LINEAR_HOLDS;
    const struct call *call = &oracle->calls[bad];
    size_t used =
        (size_t)snprintf(why, size, "not linearizable with views: no order explains all up to the end of T%u's %s",
                         call->thread, verb_of_key_name((enum verb_of_key)call->verb));
    for (unsigned i = 0; i < oracle->captures && used < size; i++) {
        used += (size_t)snprintf(why + used, size - used, "; view %u:", i + 1);
        for (unsigned key = 0; key < KEYS && used < size; key++) {
            if (oracle->capture[i].known[key])
                used += (size_t)snprintf(why + used, size - used, " %c %" PRIx64, 'a' + (int)key,
                                         oracle->capture[i].value[key]);
        }
    }
    return false;
}

bool oracle_holds(struct oracle *oracle, char *why, size_t size)
{
    struct event events[2 * CALLS_MAX];
    for (unsigned key = 0; key < KEYS; key++) {
        size_t n = 0;
        for (uint32_t i = 0; i < oracle->events; i++) {
            const struct call *call = &oracle->calls[oracle->event[i].call];
            if (call->key == key && call->verb != KEY_VIEW)
                events[n++] = oracle->event[i];
        }
        const int64_t bad = linear_check(oracle->linear, oracle->calls, events, n, 0);
        if (bad == LINEAR_HOLDS)
            continue;
        if (bad == LINEAR_TOO_WIDE) {
            snprintf(why, size, "more calls at once on a key than the oracle can follow");
            return false;
        }
        const struct call *call = &oracle->calls[bad];
        snprintf(why, size, "not linearizable: T%u's %s of key %c answers %s, %" PRIx64 ", which no order explains",
                 call->thread, verb_of_key_name((enum verb_of_key)call->verb), 'a' + (int)key,
                 soma_status_text((enum soma_status)call->status), call->result);
        return false;
    }
    return oracle->captures == 0 || holds_together(oracle, why, size);
}
