/* SPDX-License-Identifier: ISC */
/* scenario.h - what races, in a few words: a map, what is done before, and what each thread does.
 *
 * Threads' parts are lists of operations, separated by semicolons: a verb and, for most, a key from a to h; for views a slot
 * from 1 to 4 (and then, for one verb, a key): "open 1; see 1 b; close 1". Keys stand
 * in the list in the order of their letters (not in colliding scenarios of byte maps, where all hashes are equal):
 *
 *     with 2 buckets    0: a b c d              1: e f g h
 *     with 4            0: a b    2: c d        1: e f    3: g h
 *     with 8            a | b | c | d | ...     (each its own)
 *
 * A scenario passes if every run of it does: the map answers as some sequence of the calls would (oracle.h), nothing
 * races, nothing freed is touched, nothing leaks, no invariant breaks, and it ends.
 */
#ifndef SOMA_TESTS_SCHED_SCENARIO_H
#define SOMA_TESTS_SCHED_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run.h"

#define OPS_MAX 48
#define KEYS 8
#define VIEWS 4

enum verb {
    DO_GET,
    DO_PUT,
    DO_PUT_NEW,
    DO_REPLACE,
    DO_CAS, /* expects what the thread last saw of the key */
    DO_REMOVE,
    DO_REMOVE_IF,
    DO_ADD,
    DO_UPDATE,
    DO_UPDATE_REMOVE,
    DO_UPDATE_LEAVE,
    DO_GET_MANY, /* all keys */
    DO_PUT_MANY, /* this key and the two behind it */
    DO_CLEAR,
    DO_COUNT,
    DO_GROW,   /* reserve() twice the buckets */
    DO_SHRINK, /* shrink() */
    DO_STEP,   /* one step of a shrink that is under way */
    DO_ENTER,  /* a read section */
    DO_EXIT,
    DO_HOLD, /* borrow the key's value, in a section; exit looks at it again */
    DO_RETIRE,
    DO_BARRIER,
    DO_SYNCHRONIZE,
    DO_OTHER_MAP,  /* a map of its own, whose last entries outlive it */
    DO_MEET,       /* wait until all threads are here */
    DO_SUB,        /* take the last addition back, if it was one to a key that was there */
    DO_WALK,       /* a cursor, through all of the map */
    DO_WALK_ANEW,  /* the same; after each entry it goes to its own token */
    DO_PUBLISH,    /* a new object in a cell that all threads share; the old one is freed after its readers */
    DO_PUBLISH_IF, /* in the place of the object that is read first, in the same section */
    DO_BORROW,     /* what the cell holds, in a section; exit looks at it again */
    DO_OPEN,       /* open a view in a slot, 1 to 4, if there is none */
    DO_SEE,        /* look a key up in the view of a slot, if there is one */
    DO_CLOSE,      /* close the view of a slot; what is open at the end is looked at once more, and closed */
    DO_SEE_ALL,    /* a cursor through a view, and its count */
    DO_DIFF,       /* where the view of a slot and that of the next one differ */
    DO_DIGEST,     /* of a view, and of its parts */
    DO_TOKEN,      /* a token, from which on the thread's own changes must be told */
    DO_CHANGED,    /* whether a change of this key is, which it must be: the thread has made one */
    DO_ASK,        /* byte maps: look a key up, with its version */
    DO_SEE_ASK,    /* the same in the view of a slot, if there is one */
    DO_WALK_ASK,   /* a walk that asks for the version of each entry */
    DO_GET_WITH,   /* look a key up, and its value in the function that is called on it */
    DO_TAKE,       /* take everything out, two at a time, from the beginning to the end; not in colliding scenarios */
    VERBS
};

struct op {
    uint8_t verb;
    uint8_t key;
    uint8_t view; /* the slot, from 0 on */
};

struct script {
    unsigned count;
    struct op ops[OPS_MAX];
};

enum scenario_flags {
    WORDS = 1 << 0,
    BYTES = 1 << 1,
    BOTH = WORDS | BYTES,
    COLLIDE = 1 << 2,     /* all hashes are equal (byte maps) */
    LONG_VALUES = 1 << 3, /* byte maps: values that are not words */
    POINTERS = 1 << 4,    /* word maps: values are pointers to objects that value_retire frees */
    FAULTS = 1 << 5,      /* allocations may fail */
    NO_MEMBARRIER = 1 << 6,
    SMALL_CAP = 1 << 7, /* room for two deferred entries */
    WAITING = 1 << 8,   /* with it: wait at the cap */
    AWAY = 1 << 9,      /* word maps: the first buckets' homes are taken, so entries have memory of their own */
    OWN = 1 << 10,      /* with POINTERS: who takes a value out, outside sections, waits for its readers and frees it */
    DIGESTS = 1 << 12,  /* the map keeps digests */
    OWNED = 1 << 11,    /* who takes a word out to which nothing is added owns what it stands for */
    SET_UP = 1 << 13,   /* helping sets up all buckets: one thread helps at a time, and none stops in the middle */
};

struct scenario {
    const char *name;
    const char *race; /* what it is for */
    unsigned flags;
    const char *before;
    const char *threads[THREADS_MAX - 1]; /* up to the first NULL */
    const char *signal;                   /* a handler's part, or NULL */
};

/* A scenario on one kind of map, ready to be run. */
struct stage;

/* False, with a message on standard error, if a part cannot be read. */
bool script_parse(const char *text, struct script *script);
const char *verb_name(enum verb verb);

struct stage *stage_new(void);
/* scripts[0] is done before, scripts[1..threads] race. */
void stage_set(struct stage *stage, unsigned flags, const struct script *scripts, unsigned threads,
               const struct script *signal);
void stage_free(struct stage *stage);
const struct program *stage_program(struct stage *stage);

/* Calls checked so far. */
uint64_t stage_calls(const struct stage *stage);

#endif
