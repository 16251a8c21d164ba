/* SPDX-License-Identifier: ISC */
/* small.c - small random histories of one key, right ones and spoilt ones: the checker must say what a search through
 * all orders says, which knows the verbs by a table of its own. Parts of right histories must never look impossible to
 * explain.c. And how many small histories a second can be checked. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cases.h"
#include "explain.h"
#include "history.h"
#include "support.h"

#define CALLS_MAX 9
#define THREADS 3
/* Spoilt histories of each kind that a case must have seen. */
#define ENOUGH 100

static bool odd_is_no_word(uint64_t value)
{
    return value % 2 == 0;
}

/* ---- The map as a function ---- */

struct answer {
    int status;
    uint64_t result;
    uint64_t after;
};

static struct answer answer_of(const struct history_call *call, uint64_t state)
{
    const uint64_t v = call->value;
    const bool hit = state != 0 && state == call->expected;
    const int missed = state == 0 ? SOMA_ABSENT : SOMA_CHANGED;
    switch ((enum history_verb)call->verb) {
    case HISTORY_GET:
        return (struct answer){state ? SOMA_OK : SOMA_ABSENT, state, state};
    case HISTORY_PUT:
    case HISTORY_UPDATE:
        return (struct answer){state ? SOMA_REPLACED : SOMA_INSERTED, state, v};
    case HISTORY_PUT_NEW:
        return (struct answer){state ? SOMA_EXISTS : SOMA_INSERTED, state, state ? state : v};
    case HISTORY_REPLACE:
        return (struct answer){state ? SOMA_REPLACED : SOMA_ABSENT, state, state ? v : 0};
    case HISTORY_CAS:
        return (struct answer){hit ? SOMA_REPLACED : missed, state, hit ? v : state};
    case HISTORY_REMOVE:
    case HISTORY_UPDATE_REMOVE:
        return (struct answer){state ? SOMA_REMOVED : SOMA_ABSENT, state, 0};
    case HISTORY_REMOVE_IF:
        return (struct answer){hit ? SOMA_REMOVED : missed, state, hit ? 0 : state};
    case HISTORY_ADD:
        if (state % 2 == 1)
            return (struct answer){SOMA_E_INVALID, 0, state};
        return (struct answer){state ? SOMA_REPLACED : SOMA_INSERTED, state, state + v};
    case HISTORY_UPDATE_ADD:
        return (struct answer){state ? SOMA_REPLACED : SOMA_INSERTED, state, state + v};
    case HISTORY_UPDATE_LEAVE:
        return (struct answer){state ? SOMA_EXISTS : SOMA_ABSENT, state, state};
    case HISTORY_PUT_MANY:
        return (struct answer){SOMA_OK, 0, v};
    default:
        return (struct answer){SOMA_OK, 0, 0};
    }
}

/* ---- Random histories ---- */

struct small {
    struct history_call calls[CALLS_MAX];
    unsigned count;
    uint64_t initial;
};

static bool refuses(enum history_verb verb)
{
    return verb != HISTORY_GET;
}

/* What a call is asked, and on the way what was right at the moment that it took effect. */
static struct history_call random_call(struct rng *rng, unsigned number)
{
    struct history_call call = {.verb = (uint8_t)rng_below(rng, HISTORY_VERBS)};
    /* Mostly values of their own, at times the same as others. */
    call.value = rng_below(rng, 8) ? 10 + number : 10 + rng_below(rng, 4);
    call.expected = 10 + rng_below(rng, CALLS_MAX);
    if (call.verb == HISTORY_ADD || call.verb == HISTORY_UPDATE_ADD)
        call.value = UINT64_C(100) << number;
    return call;
}

static void take_effect(struct rng *rng, struct history_call *call, uint64_t *state)
{
    if (refuses((enum history_verb)call->verb) && rng_below(rng, 16) == 0) {
        call->status = SOMA_E_NOMEM;
        call->result = 0;
        return;
    }
    const struct answer answer = answer_of(call, *state);
    call->status = (int8_t)answer.status;
    call->result = answer.status == SOMA_INSERTED || answer.status == SOMA_ABSENT ? 0 : answer.result;
    *state = answer.after;
    const bool named = answer.status == SOMA_EXISTS || answer.status == SOMA_CHANGED || answer.status == SOMA_REPLACED;
    if (named && rng_below(rng, 16) == 0)
        call->result = HISTORY_UNKNOWN;
}

/* Threads take steps in a random order: a call begins, takes effect, ends. Clears take effect again and again. */
static void random_history(struct rng *rng, struct small *small)
{
    struct {
        int current;
        bool effected;
    } threads[THREADS] = {{-1, false}, {-1, false}, {-1, false}};
    const unsigned goal = 1 + (unsigned)rng_below(rng, CALLS_MAX);
    uint64_t clock = 1;
    unsigned under_way = 0;
    small->initial = rng_below(rng, 3) == 0 ? 10 + rng_below(rng, 12) : 0;
    small->count = 0;
    uint64_t state = small->initial;
    while (small->count < goal || under_way > 0) {
        const unsigned t = (unsigned)rng_below(rng, THREADS);
        if (threads[t].current < 0) {
            if (small->count == goal)
                continue;
            small->calls[small->count] = random_call(rng, small->count);
            small->calls[small->count].thread = (uint8_t)t;
            small->calls[small->count].call = clock++;
            threads[t].current = (int)small->count++;
            threads[t].effected = false;
            under_way++;
            continue;
        }
        struct history_call *call = &small->calls[threads[t].current];
        const bool again = call->verb == HISTORY_CLEAR && threads[t].effected && rng_below(rng, 2);
        if (!threads[t].effected || again) {
            if (again)
                state = 0;
            else
                take_effect(rng, call, &state);
            threads[t].effected = true;
        } else {
            call->end = rng_below(rng, 20) ? clock++ : 0;
            threads[t].current = -1;
            under_way--;
            if (call->end == 0 && small->count == goal)
                continue;
        }
    }
}

static void spoil(struct rng *rng, struct small *small)
{
    static const int8_t statuses[] = {SOMA_OK,     SOMA_INSERTED, SOMA_REPLACED, SOMA_REMOVED,  SOMA_ABSENT,
                                      SOMA_EXISTS, SOMA_CHANGED,  SOMA_E_NOMEM,  SOMA_E_INVALID};
    struct history_call *call = &small->calls[rng_below(rng, small->count)];
    const struct history_call *other = &small->calls[rng_below(rng, small->count)];
    switch (rng_below(rng, 4)) {
    case 0:
        call->status = statuses[rng_below(rng, sizeof statuses)];
        break;
    case 1:
        call->result = other->value;
        break;
    case 2:
        call->result = other->result;
        call->status = other->status;
        break;
    default:
        call->result = rng_below(rng, 2) ? 0 : small->initial;
        break;
    }
}

/* ---- All orders ---- */

struct search {
    const struct small *small;
    uint64_t seen[1 << CALLS_MAX][24]; /* by what is done: states that have been tried */
    uint8_t seen_count[1 << CALLS_MAX];
};

static bool fits(const struct history_call *call, uint64_t state, uint64_t *after)
{
    const struct answer answer = answer_of(call, state);
    const bool silent = answer.status == SOMA_INSERTED || answer.status == SOMA_ABSENT;
    const uint64_t result = silent ? 0 : answer.result;
    *after = answer.after;
    if (call->end == 0)
        return true;
    if (call->status == SOMA_E_NOMEM) {
        *after = state;
        return refuses((enum history_verb)call->verb) && (call->result == 0 || call->result == HISTORY_UNKNOWN);
    }
    return answer.status == call->status && (result == call->result || call->result == HISTORY_UNKNOWN);
}

static bool may_come_next(const struct small *small, unsigned done, unsigned i)
{
    for (unsigned j = 0; j < small->count; j++) {
        const bool before = small->calls[j].end != 0 && small->calls[j].end < small->calls[i].call;
        if (before && (done >> j & 1) == 0)
            return false;
    }
    return true;
}

static bool search_from(struct search *search, unsigned done, uint64_t state)
{
    const struct small *small = search->small;
    bool all = true;
    for (unsigned i = 0; i < small->count; i++)
        all &= small->calls[i].end == 0 || (done >> i & 1);
    if (all)
        return true;
    for (unsigned s = 0; s < search->seen_count[done]; s++) {
        if (search->seen[done][s] == state)
            return false;
    }
    if (search->seen_count[done] < 24)
        search->seen[done][search->seen_count[done]++] = state;
    for (unsigned i = 0; i < small->count; i++) {
        const struct history_call *call = &small->calls[i];
        uint64_t after = 0;
        if ((done >> i & 1) || !may_come_next(small, done, i))
            continue;
        /* A clear that has begun removes whenever it likes, and is over when it has removed once, or failed. */
        if (call->verb == HISTORY_CLEAR && state != 0 && search_from(search, done, 0))
            return true;
        if (fits(call, state, &after) && search_from(search, done | 1u << i, after))
            return true;
    }
    return false;
}

static bool some_order_explains(const struct small *small)
{
    static struct search search;
    search.small = small;
    memset(search.seen_count, 0, sizeof search.seen_count);
    return search_from(&search, 0, small->initial);
}

/* ---- Cases ---- */

static bool checked(struct history *history, const struct small *small)
{
    struct history_verdict verdict;
    history_reset(history);
    history_assume(history, 0, small->initial);
    for (unsigned i = 0; i < small->count; i++) {
        struct history_call call = small->calls[i];
        if (call.verb == HISTORY_CLEAR && call.call % 2)
            call.key = HISTORY_ALL_KEYS;
        history_add(history, &call);
    }
    const bool holds = history_check(history, &verdict);
    EXPECT_EQ(verdict.undecided, 0);
    return holds;
}

static void tell(const struct small *small)
{
    fprintf(stderr, "held %" PRIu64 " before\n", small->initial);
    for (unsigned i = 0; i < small->count; i++)
        fprintf(stderr, "  T%u %" PRIu64 "-%" PRIu64 " %s %" PRIu64 " expected %" PRIu64 " = %d %" PRIu64 "\n",
                small->calls[i].thread, small->calls[i].call, small->calls[i].end,
                history_verb_name((enum history_verb)small->calls[i].verb), small->calls[i].value,
                small->calls[i].expected, small->calls[i].status, small->calls[i].result);
}

static struct history *small_history(void)
{
    const struct history_options options = {
        .threads = THREADS, .calls_each = CALLS_MAX, .keys = 2, .is_word = odd_is_no_word};
    return history_new(&options);
}

void small_keys(const void *setup)
{
    struct history *history = small_history();
    struct rng rng = rng_new(500);
    const double end = now_seconds() + test_seconds() / 2;
    uint64_t right = 0;
    uint64_t wrong = 0;
    (void)setup;
    while ((now_seconds() < end || right < ENOUGH || wrong < ENOUGH) && failures() == 0) {
        struct small small;
        random_history(&rng, &small);
        if (!EXPECT(checked(history, &small)))
            tell(&small);
        if (!EXPECT(some_order_explains(&small)))
            tell(&small);
        for (unsigned times = 1 + (unsigned)rng_below(&rng, 2); times > 0; times--)
            spoil(&rng, &small);
        const bool holds = some_order_explains(&small);
        if (!EXPECT_EQ(checked(history, &small), holds))
            tell(&small);
        EXPECT(holds == (history_why(history)[0] == '\0'));
        if (!EXPECT(holds || strstr(history_sentence(history), "Impossible:") != NULL)) {
            tell(&small);
            fputs(history_why(history), stderr);
        }
        right += holds;
        wrong += !holds;
        verified(2);
    }
    EXPECT(right >= ENOUGH && wrong >= ENOUGH);
    printf("# spoilt histories: %" PRIu64 " still right, %" PRIu64 " wrong\n", right, wrong);
    history_free(history);
}

void small_parts(const void *setup)
{
    struct rng rng = rng_new(501);
    const double end = now_seconds() + test_seconds() / 2;
    uint64_t impossible = 0;
    (void)setup;
    while (now_seconds() < end && failures() == 0) {
        struct small small;
        bool kept[CALLS_MAX];
        random_history(&rng, &small);
        for (unsigned i = 0; i < small.count; i++)
            kept[i] = rng_below(&rng, 4) > 0;
        if (!EXPECT(!explain_part_is_impossible(small.calls, small.count, kept, &small.initial, 1, odd_is_no_word)))
            tell(&small);
        spoil(&rng, &small);
        if (explain_part_is_impossible(small.calls, small.count, kept, &small.initial, 1, odd_is_no_word)) {
            if (!EXPECT(!some_order_explains(&small)))
                tell(&small);
            impossible++;
        }
        verified(2);
    }
    EXPECT(impossible > 10);
}

/* What a scheduler or a fuzzer does: three calls of three threads, recorded, checked, forgotten. */
void small_rate(const void *setup)
{
    enum {
        KEPT = 512
    };
    static struct small smalls[KEPT];
    struct history *history = small_history();
    struct rng rng = rng_new(502);
    uint64_t checks = 0;
    (void)setup;
    for (unsigned i = 0; i < KEPT; i++) {
        do {
            random_history(&rng, &smalls[i]);
        } while (smalls[i].count < CALLS_MAX);
    }
    const double start = now_seconds();
    do {
        for (unsigned i = 0; i < KEPT; i++) {
            if (!EXPECT(checked(history, &smalls[i])))
                tell(&smalls[i]);
            checks++;
        }
    } while (now_seconds() < start + test_seconds() / 4);
    const double rate = (double)checks / (now_seconds() - start);
    printf("# histories of 3 threads and 9 calls: %.0f checked a second\n", rate);
    EXPECT(under_sanitizer() || rate > 20000);
    verified(checks);
    history_free(history);
}
