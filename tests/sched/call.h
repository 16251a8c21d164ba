/* SPDX-License-Identifier: ISC */
/* call.h - what a history is made of: calls on one key each, with what they were given and what they answered.
 *
 * Values are ids, unique but for additions' sums; 0 stands for "absent", so no id is 0. A call for many keys is as many
 * calls within one interval.
 */
#ifndef SOMA_TESTS_SCHED_CALL_H
#define SOMA_TESTS_SCHED_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/status.h>

enum verb_of_key {
    KEY_GET,
    KEY_PUT,
    KEY_PUT_NEW,
    KEY_REPLACE,
    KEY_CAS,
    KEY_REMOVE,
    KEY_REMOVE_IF,
    KEY_ADD,
    KEY_UPDATE,        /* by a callback that stores */
    KEY_UPDATE_REMOVE, /* that removes */
    KEY_UPDATE_LEAVE,  /* that leaves it as it is */
    KEY_PUT_BLIND,     /* a put that does not say what was there: of put_many */
    KEY_CLEAR,         /* removes once or more often, somewhere in its interval */
    KEY_VIEW,          /* of all keys at once: what a view has captured, whose number is `key` */
    KEY_VERBS
};

/* A result that nobody can know: a borrowed word that may have changed until it was looked at. Any will do. */
#define RESULT_UNKNOWN UINT64_MAX

struct call {
    uint64_t begin; /* a time between calls and returns; no two are the same */
    uint64_t end;   /* UINT64_MAX: it has not returned, and may have taken effect or not */
    uint64_t key;
    uint64_t value; /* that goes in; a delta */
    uint64_t expected;
    uint64_t result; /* that came out */
    uint8_t verb;
    int8_t status;
    uint16_t thread;
};

const char *verb_of_key_name(enum verb_of_key verb);

#endif
