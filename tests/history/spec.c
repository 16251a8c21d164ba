/* SPDX-License-Identifier: ISC */
/* spec.c - see spec.h. One function for each kind of answer, one line for each verb. */
#include "spec.h"

const char *history_verb_name(enum history_verb verb)
{
    static const char *const names[HISTORY_VERBS] = {"get",
                                                     "put",
                                                     "put_new",
                                                     "replace",
                                                     "cas",
                                                     "remove",
                                                     "remove_if",
                                                     "fetch_add",
                                                     "update",
                                                     "update that adds",
                                                     "update that removes",
                                                     "update that looks",
                                                     "put of many",
                                                     "clear"};
    return verb < HISTORY_VERBS ? names[verb] : "?";
}

const char *spec_status_name(int status)
{
    switch (status) {
    case SOMA_OK:
        return "ok";
    case SOMA_INSERTED:
        return "inserted";
    case SOMA_REPLACED:
        return "replaced";
    case SOMA_REMOVED:
        return "removed";
    case SOMA_ABSENT:
        return "absent";
    case SOMA_EXISTS:
        return "exists";
    case SOMA_CHANGED:
        return "changed";
    case SOMA_E_NOMEM:
        return "no memory";
    case SOMA_E_LIMIT:
        return "limit";
    case SOMA_E_INVALID:
        return "invalid";
    default:
        return "a status that no call has";
    }
}

/* ---- Answers ---- */

static struct step never(void)
{
    return (struct step){.guard = WHEN_NEVER};
}

static struct step nothing(void)
{
    return (struct step){.guard = WHEN_ANY, .effect = THEN_SAME};
}

/* Found absent; `effect` and `then` say what it left. */
static struct step found_absent(const struct history_call *call, int effect, uint64_t then)
{
    if (call->result != HISTORY_ABSENT && call->result != HISTORY_UNKNOWN)
        return never();
    return (struct step){.guard = WHEN_IS, .when = HISTORY_ABSENT, .effect = effect, .then = then};
}

/* Found the value that the result names. */
static struct step found(const struct history_call *call, int effect, uint64_t then)
{
    if (call->result == HISTORY_ABSENT)
        return never();
    if (call->result == HISTORY_UNKNOWN)
        return (struct step){.guard = WHEN_PRESENT, .effect = effect, .then = then};
    return (struct step){.guard = WHEN_IS, .when = call->result, .effect = effect, .then = then};
}

static struct step stored(const struct history_call *call, uint64_t value)
{
    if (call->status == SOMA_INSERTED)
        return found_absent(call, THEN_SET, value);
    return call->status == SOMA_REPLACED ? found(call, THEN_SET, value) : never();
}

static struct step removed(const struct history_call *call)
{
    if (call->status == SOMA_ABSENT)
        return found_absent(call, THEN_SAME, 0);
    return call->status == SOMA_REMOVED ? found(call, THEN_SET, HISTORY_ABSENT) : never();
}

static struct step looked(const struct history_call *call, int present)
{
    if (call->status == SOMA_ABSENT)
        return found_absent(call, THEN_SAME, 0);
    return call->status == present ? found(call, THEN_SAME, 0) : never();
}

/* Of cas and remove_if: `done` is the answer when the value was as expected. */
static struct step compared(const struct history_call *call, int done, uint64_t then)
{
    const bool unknown = call->result == HISTORY_UNKNOWN;
    if (call->status == SOMA_ABSENT)
        return found_absent(call, THEN_SAME, 0);
    if (call->status == done) {
        if (call->expected == HISTORY_ABSENT || (!unknown && call->result != call->expected))
            return never();
        return (struct step){.guard = WHEN_IS, .when = call->expected, .effect = THEN_SET, .then = then};
    }
    if (call->status != SOMA_CHANGED || call->result == call->expected)
        return never();
    if (unknown)
        return (struct step){.guard = WHEN_NOT, .when = call->expected};
    return found(call, THEN_SAME, 0);
}

static struct step added(const struct history_call *call, bool (*is_word)(uint64_t value))
{
    const bool unknown = call->result == HISTORY_UNKNOWN;
    if (call->status == SOMA_E_INVALID) {
        const bool says = call->result != HISTORY_ABSENT && !unknown;
        return is_word && !says ? (struct step){.guard = WHEN_NO_WORD} : never();
    }
    if (call->status == SOMA_INSERTED)
        return stored(call, call->value);
    if (call->status == SOMA_REPLACED && unknown)
        return (struct step){.guard = WHEN_PRESENT_WORD, .effect = THEN_ADD, .then = call->value};
    if (!unknown && is_word && !is_word(call->result))
        return never();
    return stored(call, call->result + call->value);
}

static struct step added_by_update(const struct history_call *call)
{
    if (call->status == SOMA_REPLACED && call->result == HISTORY_UNKNOWN)
        return found(call, THEN_ADD, call->value);
    return stored(call, call->status == SOMA_INSERTED ? call->value : call->result + call->value);
}

/* The two statuses that every update may have and that change nothing. */
static struct step refused(const struct history_call *call)
{
    if (call->verb == HISTORY_GET)
        return never();
    struct step step = nothing();
    step.clears = call->verb == HISTORY_CLEAR; /* some keys are gone */
    return call->result == HISTORY_ABSENT || call->result == HISTORY_UNKNOWN ? step : never();
}

/* ---- Calls that never ended ---- */

static struct step may(int guard, uint64_t when, int effect, uint64_t then)
{
    return (struct step){.guard = guard, .when = when, .effect = effect, .then = then, .optional = true};
}

static struct step unfinished(const struct history_call *call, bool (*is_word)(uint64_t value))
{
    switch ((enum history_verb)call->verb) {
    case HISTORY_PUT:
    case HISTORY_UPDATE:
    case HISTORY_PUT_MANY:
        return may(WHEN_ANY, 0, THEN_SET, call->value);
    case HISTORY_PUT_NEW:
        return may(WHEN_IS, HISTORY_ABSENT, THEN_SET, call->value);
    case HISTORY_REPLACE:
        return may(WHEN_PRESENT, 0, THEN_SET, call->value);
    case HISTORY_CAS:
        return may(WHEN_IS, call->expected, THEN_SET, call->value);
    case HISTORY_REMOVE:
    case HISTORY_UPDATE_REMOVE:
        return may(WHEN_PRESENT, 0, THEN_SET, HISTORY_ABSENT);
    case HISTORY_REMOVE_IF:
        return may(WHEN_IS, call->expected, THEN_SET, HISTORY_ABSENT);
    case HISTORY_ADD:
        return may(is_word ? WHEN_WORD : WHEN_ANY, 0, THEN_ADD, call->value);
    case HISTORY_UPDATE_ADD:
        return may(WHEN_ANY, 0, THEN_ADD, call->value);
    case HISTORY_CLEAR: {
        struct step step = may(WHEN_ANY, 0, THEN_SAME, 0);
        step.clears = true;
        return step;
    }
    default:
        return may(WHEN_ANY, 0, THEN_SAME, 0);
    }
}

/* ---- Verbs ---- */

/* Those that answer nothing but a status. */
static struct step silent(const struct history_call *call, struct step step)
{
    const bool says = call->result != HISTORY_ABSENT && call->result != HISTORY_UNKNOWN;
    return call->status == SOMA_OK && !says ? step : never();
}

struct step step_of(const struct history_call *call, bool (*is_word)(uint64_t value))
{
    if (call->end == 0)
        return unfinished(call, is_word);
    if (call->status == SOMA_E_NOMEM || call->status == SOMA_E_LIMIT)
        return refused(call);
    switch ((enum history_verb)call->verb) {
    case HISTORY_GET:
        return looked(call, SOMA_OK);
    case HISTORY_PUT:
    case HISTORY_UPDATE:
        return stored(call, call->value);
    case HISTORY_PUT_NEW:
        return call->status == SOMA_EXISTS     ? looked(call, SOMA_EXISTS)
               : call->status == SOMA_INSERTED ? stored(call, call->value)
                                               : never();
    case HISTORY_REPLACE:
        return call->status == SOMA_ABSENT     ? looked(call, SOMA_ABSENT)
               : call->status == SOMA_REPLACED ? stored(call, call->value)
                                               : never();
    case HISTORY_CAS:
        return compared(call, SOMA_REPLACED, call->value);
    case HISTORY_REMOVE:
    case HISTORY_UPDATE_REMOVE:
        return removed(call);
    case HISTORY_REMOVE_IF:
        return compared(call, SOMA_REMOVED, HISTORY_ABSENT);
    case HISTORY_ADD:
        return added(call, is_word);
    case HISTORY_UPDATE_ADD:
        return added_by_update(call);
    case HISTORY_UPDATE_LEAVE:
        return looked(call, SOMA_EXISTS);
    case HISTORY_PUT_MANY:
        return silent(call, (struct step){.guard = WHEN_ANY, .effect = THEN_SET, .then = call->value});
    case HISTORY_CLEAR:
        return silent(call, (struct step){.guard = WHEN_ANY, .effect = THEN_SET, .clears = true});
    default:
        return never();
    }
}

/* ---- Steps ---- */

static bool word(bool (*is_word)(uint64_t value), uint64_t state)
{
    return !is_word || is_word(state);
}

static bool guard_holds(const struct step *step, bool (*is_word)(uint64_t value), uint64_t state)
{
    switch (step->guard) {
    case WHEN_ANY:
        return true;
    case WHEN_IS:
        return state == step->when;
    case WHEN_PRESENT:
        return state != HISTORY_ABSENT;
    case WHEN_NOT:
        return state != HISTORY_ABSENT && state != step->when;
    case WHEN_WORD:
        return state == HISTORY_ABSENT || state == STATE_OTHER || word(is_word, state);
    case WHEN_PRESENT_WORD:
        return state != HISTORY_ABSENT && (state == STATE_OTHER || word(is_word, state));
    case WHEN_NO_WORD:
        return state != HISTORY_ABSENT && (state == STATE_OTHER || !word(is_word, state));
    default:
        return false;
    }
}

bool step_takes(const struct step *step, bool (*is_word)(uint64_t value), uint64_t state, uint64_t *after)
{
    if (!guard_holds(step, is_word, state))
        return false;
    *after = step->effect == THEN_SAME ? state : step->effect == THEN_SET ? step->then : state + step->then;
    return true;
}
