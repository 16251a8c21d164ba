/* SPDX-License-Identifier: ISC */
/* dual.h - what both kinds of pair are made of: mutexes by key, the choice of calls, counting, telling. To it keys and values
 * are bytes, and a word is 8 of them. Why mutexes: docs/decisions/0012-dual-run.md. */
#ifndef SOMA_DUAL_DUAL_H
#define SOMA_DUAL_DUAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/cursor.h>
#include <soma/digest.h>
#include <soma/dual.h>

#include "backend/request.h"
#include "base/atom.h"
#include "base/attr.h"
#include "hash/hash.h"
#include "map/core.h"

/* Few enough for the thread sanitizer, which knows up to 64 mutexes that a thread holds at once. */
#define DUAL_STRIPES 32
#define DUAL_TALLIES 8

/* A value's copy. */
struct dual_copy {
    enum soma_status status; /* what the old map has answered, if it is an error */
    bool present;
    struct soma_bytes bytes;
    uint64_t room[32];
    void *large; /* if that is not enough */
    size_t cap;  /* of what is large */
};

/* What a side said. */
struct dual_said {
    enum soma_status status;
    bool told;
    struct soma_bytes value;
    uint64_t word; /* where a word's value stands */
};

/* Where the answering side's value goes; what is not wanted is NULL. */
struct dual_reply {
    uint64_t *word;
    struct soma_bytes *lent;
    void *buf;
    size_t cap;
    size_t *len;
};

struct dual_tally {
    struct atom draws;
    struct atom calls[SOMA_DUAL_VERBS];
    struct atom compared[SOMA_DUAL_VERBS];
    struct atom differences[SOMA_DUAL_VERBS];
    char apart[APART];
};

struct dual_stripe {
    pthread_mutex_t mutex;
    char apart[64];
};

struct dual;

/* What a kind of pair is. */
struct dual_kind {
    bool words;
    /* The old map's value, which the table's functions need or which is to be told; an error of the old map stands in the copy.
     * SOMA_E_NOMEM: no memory for it. */
    enum soma_status (*old_copy)(struct dual *dual, struct soma_bytes key, struct dual_copy *copy);
    /* `has`: what old_copy() found, or NULL if it was not asked. */
    void (*old_do)(struct dual *dual, const struct soma__request *request, const struct dual_copy *has,
                   struct dual_said *said);
    bool (*old_native)(const struct dual *dual, enum soma__verb verb); /* no copy is needed */
    void (*soma_do)(struct dual *dual, const struct soma__request *request, struct dual_said *said);
    /* The calls on all of it; NULL in the table: has_*() is false. */
    bool (*old_has)(const struct dual *dual, enum soma_dual_verb verb);
    uint64_t (*old_count)(struct dual *dual);
    enum soma_status (*old_clear)(struct dual *dual);
    enum soma_status (*old_walk)(struct dual *dual,
                                 bool (*visit)(struct soma_bytes key, struct soma_bytes value, void *ctx), void *ctx);
    enum soma_status (*soma_clear)(struct dual *dual);
    enum soma_status (*soma_digest)(const struct dual *dual, struct soma_digest *out);
    enum soma_status (*soma_cursor)(const struct dual *dual, soma_cursor **out);
    enum soma_status (*soma_next)(soma_cursor *cursor, struct dual_said *key);
};

/* The first member of either kind. */
struct dual {
    const struct dual_kind *kind;
    struct core *core; /* of the Soma map */
    void *old;
    struct soma_dual_options options;
    bool all;           /* are compared */
    uint64_t threshold; /* or those drawn below this */
    struct soma__mix mix;
    uint64_t sip[2];
    struct atom number; /* of differences */
    struct dual_tally tallies[DUAL_TALLIES];
    struct dual_stripe stripes[DUAL_STRIPES];
};

enum soma_status soma__dual_options_check(const struct soma_dual_options *options);

/* Sets all but `core` up and puts what the old map has into the Soma map. Nothing is left behind if it fails. */
enum soma_status soma__dual_init(struct dual *dual, const struct dual_kind *kind,
                                 const struct soma_dual_options *options, void *old);
void soma__dual_fini(struct dual *dual);

enum soma_status soma__dual_do(struct dual *dual, const struct soma__request *request, const struct dual_reply *reply);
enum soma_status soma__dual_clear(struct dual *dual);
uint64_t soma__dual_count(struct dual *dual);
enum soma_status soma__dual_check(struct dual *dual, enum soma_dual_how how, uint64_t *differing);
void soma__dual_counters(const struct dual *dual, struct soma_dual_counters *out);

/* Room for a value of this length, which becomes what the copy has. NULL: no memory. */
void *soma__dual_copy_room(struct dual_copy *copy, size_t len);
void soma__dual_copy_fini(struct dual_copy *copy);

/* Whether an answer of this status comes with the value that was found. */
ALWAYS_INLINE bool dual_names_value(enum soma_status status)
{
    return status == SOMA_OK || status == SOMA_REPLACED || status == SOMA_REMOVED || status == SOMA_EXISTS ||
           status == SOMA_CHANGED;
}

#endif
