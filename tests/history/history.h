/* SPDX-License-Identifier: ISC */
/* history.h - what calls on a map asked and answered, and when; and whether any order of them explains the answers.
 *
 *     struct history *h = history_new(&(struct history_options){.threads = 2, .calls_each = 1000, .keys = 10});
 *     const struct history_call ask = {.verb = HISTORY_PUT, .key = 3, .value = 7};
 *     unsigned entry = history_begin(h, thread, &ask);             // each thread, before its call
 *     ... status = soma_u64_put(map, key, 7, &old) ...
 *     history_end(h, entry, status, old);                          // and after it
 *     struct history_verdict verdict;                              // then one thread alone:
 *     if (!history_check(h, &verdict))
 *         fputs(history_why(h), stderr);
 *
 * Recording takes no lock and knows no thread but the number that it is given: each thread writes into a log of its
 * own, and all share a counter as their clock. Checking is done when nobody calls; it empties the logs and keeps what
 * each key may hold, so that a history of any length is checked round by round in the same memory. Nothing is allocated
 * between history_new() and the first violation, but for the list of possible values, which grows when more of them
 * stay open than ever before.
 *
 * The clock   A counter, not a time. Its read-modify-writes have one order, and each sees the ones before it: so a call
 *             that ended before another began, by the counter, happened before it in the language's own sense, and an
 *             answer that contradicts this is wrong on every machine. Intervals only ever come out longer than the
 *             calls were: no false alarm. A processor's cycle counter would be cheaper, but its order between cores
 *             rests on the machine, and a call whose last store is still in a store buffer has "ended" by it.
 */
#ifndef SOMA_TESTS_HISTORY_H
#define SOMA_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/status.h>

/* No value is one of these. */
#define HISTORY_ABSENT UINT64_C(0)
#define HISTORY_UNKNOWN UINT64_MAX /* as a result: nobody can know; any will do */

#define HISTORY_THREADS_MAX 16
#define HISTORY_ALL_KEYS UINT32_MAX /* the key of a clear */

enum history_verb {
    HISTORY_GET, /* also a key of get_many */
    HISTORY_PUT,
    HISTORY_PUT_NEW,
    HISTORY_REPLACE,
    HISTORY_CAS,
    HISTORY_REMOVE,
    HISTORY_REMOVE_IF,
    HISTORY_ADD,
    HISTORY_UPDATE,        /* an update that stores; the result is what its function saw last */
    HISTORY_UPDATE_ADD,    /* one that adds */
    HISTORY_UPDATE_REMOVE, /* one that removes */
    HISTORY_UPDATE_LEAVE,  /* one that only looks */
    HISTORY_PUT_MANY,      /* one of its pairs; SOMA_OK, or an error if it was not stored */
    HISTORY_CLEAR,         /* removes each key once or more often, somewhere in its interval */
    HISTORY_VERBS
};

const char *history_verb_name(enum history_verb verb);

/* One call. A call for many keys is one of these for each key, all over the same interval. */
struct history_call {
    uint64_t call;     /* when it began and ended */
    uint64_t end;      /* 0: never; it has taken effect or not, or will */
    uint64_t value;    /* what goes in; the number to add */
    uint64_t expected; /* of cas and remove_if */
    uint64_t result;   /* what came out; HISTORY_ABSENT if the answer names no value */
    uint32_t key;      /* an index */
    uint8_t verb;
    int8_t status;
    uint8_t thread;
};

struct history_options {
    unsigned threads;
    uint32_t calls_each; /* how many calls a thread can record in a round */
    uint32_t keys;       /* 0 ... keys - 1 */
    /* Which values fetch_add can add to; it answers SOMA_E_INVALID for others. NULL: all. */
    bool (*is_word)(uint64_t value);
};

struct history;

/* NULL if there is no memory. */
struct history *history_new(const struct history_options *options);
void history_free(struct history *history);

/* Forgets everything: all keys are absent, no call was made. */
void history_reset(struct history *history);

/* Before a round: the key holds this value. */
void history_assume(struct history *history, uint32_t key, uint64_t value);

/* ---- Recording ---- */

/* A call begins: verb, key, value and expected of `ask`. Returns its entry. There must be room. */
unsigned history_begin(struct history *history, unsigned thread, const struct history_call *ask);

/* It has ended with this answer. A call that never ends is left without. */
void history_end(struct history *history, unsigned entry, enum soma_status status, uint64_t result);

/* What a call that has ended answered, if that comes out later: a view is opened, then asked. */
void history_answer(struct history *history, unsigned entry, enum soma_status status, uint64_t result);

/* The thread's last calls are forgotten. */
void history_forget(struct history *history, unsigned thread, uint32_t count);

/* How many more calls the thread can record in this round. */
uint32_t history_room(const struct history *history, unsigned thread);

/* A call with given times, for histories made by hand. Times differ, start at 1, and are less than twice the calls that
 * there is room for. */
void history_add(struct history *history, const struct history_call *call);

/* ---- Checking, while nobody records ---- */

struct history_verdict {
    uint64_t calls;      /* that were checked, a clear of all keys as one */
    uint64_t violations; /* keys whose answers no order explains */
    uint64_t undecided;  /* keys with more open possibilities than the checker can follow */
    uint64_t unfinished; /* calls without an end */
    uint64_t overlaps;   /* calls that began while others on their key were under way */
    unsigned most;       /* possibilities that were open at once, at any time */
};

/* Checks the round and begins the next one. False if there is a violation, or something stays undecided. A key with
 * either, or with an unfinished call, is not looked at again until history_reset(). */
bool history_check(struct history *history, struct history_verdict *verdict);

/* The first violation since history_reset(): the smallest history found that is still impossible, drawn, and a
 * sentence. Empty if there was none. */
const char *history_why(const struct history *history);
/* Its last line, the sentence. */
const char *history_sentence(const struct history *history);

/* What the key may hold. Returns how many values there are, of which up to `most` are stored; 0: it is no longer looked
 * at. */
unsigned history_states(const struct history *history, uint32_t key, uint64_t *states, unsigned most);

/* All calls of the round, thread by thread, for other checkers; *count is set. history_check() throws them away. */
const struct history_call *history_calls(const struct history *history, unsigned thread, uint32_t *count);

#endif
