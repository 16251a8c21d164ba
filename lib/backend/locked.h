/* SPDX-License-Identifier: ISC */
/* locked.h - a table of uthash behind one mutex, or many such by hash: what backend.h calls mutex and sharded-mutex. Both kinds of
 * map are this one: to it, keys and values are bytes, and a word is 8 of them. Not lock-free, on purpose, and not to be
 * reached from any other room's maps. */
#ifndef SOMA_BACKEND_LOCKED_H
#define SOMA_BACKEND_LOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/digest.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#include "backend/request.h"

struct soma__locked;

/* What the options come down to. */
struct soma__locked_options {
    bool words;
    unsigned shards_log2;
    uint64_t seed[2];
    bool digests;
    uint64_t digest_key[2];
    struct soma__retiring retire;
};

/* Where the value that was found goes, on the answers that name one; what is not wanted is NULL. */
struct soma__reply {
    uint64_t *word;          /* the value is one; 0 when VERB_FETCH_ADD inserts */
    struct soma_bytes *lent; /* a copy, good until the caller's section ends */
    void *buf;               /* the first cap bytes */
    size_t cap;
    size_t *len;
    uint64_t *version; /* of the entry that was found, or of the one that was stored */
};

/* SOMA_E_UNSUPPORTED: not in this build. */
enum soma_status soma__locked_new(const struct soma__locked_options *options, struct soma__locked **out);
void soma__locked_free(struct soma__locked *map);

/* Every verb for one key. Arguments are checked; lengths of nothing may come with any pointer. */
enum soma_status soma__locked_do(struct soma__locked *map, const struct soma__request *request,
                                 const struct soma__reply *reply);

/* The first entry from a place on, in an order of all hashes; *place becomes its own. SOMA_END: there is none. Inside a section, if
 * anything is lent. Of two byte keys with one hash it may always be the same one. */
enum soma_status soma__locked_next(struct soma__locked *map, uint64_t *place, const struct soma__reply *key,
                                   const struct soma__reply *value);

enum soma_status soma__locked_clear(struct soma__locked *map);
uint64_t soma__locked_count(struct soma__locked *map);
enum soma_status soma__locked_digest(struct soma__locked *map, struct soma_digest *out);

/* Makes no room, but refuses what no machine has. */
enum soma_status soma__locked_reserve(uint64_t n);

/* Puts all there is at one instant into an empty map: the one that is not NULL. */
enum soma_status soma__locked_copy(struct soma__locked *map, soma_u64 *words, soma_map *bytes);

#endif
