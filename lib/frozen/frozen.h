/* SPDX-License-Identifier: ISC */
/* frozen.h - a frozen map from inside: its table, its image, and how one is built entry by entry.
 *
 * Shape       An image is one block of memory, the same as the file: header, table, starts, records (docs/spec/frozen.md).
 *             The table is lines of 4 slots, 64 bytes, one cache line. A slot is a hash and a word: the value of a word
 *             entry, whose hash is the key (the mixer is invertible); or where a byte entry's record stands.
 *
 *               home of a hash = the hash, scaled from 2^64 to the number of homes
 *
 *               line 0              line 1              line 2              line 3
 *               | a | b | c | d |   | e | f |*g |*g |   |*g |*g |*g |*g |   | g | h |*i |*i | ...
 *                 a to e live in line 0       f in line 1                     g, h in line 3
 *
 * Placing     Entries are sorted by hash, and each stands in the first slot that is free behind the one before it, but
 *             not before its home line. e found no room at home. What stays empty is filled with copies of the next
 *             entry (*), the end with copies of the last. So every slot holds an entry, no word has to mean "empty", and
 *             the table is sorted from end to end.
 * Invariants  F1. The slots are sorted by hash; equal slots stand together, each group of them is one entry.
 *             F2. The last slot of each group is at or behind the hash's home line.
 *             F3. starts[i] is the slot at which the group of entry 32 i begins.
 * Lookup      From the home line on, the first slot whose hash is not smaller is the entry, or there is none (F1, F2).
 *             Three times in four that is in the home line, else as a rule in the next, which processors fetch along with
 *             it. If it is not in LINES_NEAR lines, a binary search through the rest finds it: so no keys make a lookup
 *             slow. A build that would leave an entry so far from home tries other seeds first.
 */
#ifndef SOMA_FROZEN_FROZEN_H
#define SOMA_FROZEN_FROZEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/frozen.h>

#include "hash/hash.h"

enum {
    FROZEN_WORDS = 1,
    FROZEN_BYTES = 2,
};

#define LINE_SLOTS 4
/* Lines that a lookup goes through before it searches. A table with a good seed of 10^9 entries needs less. */
#define LINES_NEAR 12
/* Entries for 100 slots: fewer are faster and larger. docs/performance.md has the figures. */
#define LOAD_PERCENT 75
/* Entries to a start. */
#define START_STEP 32

struct frozen_slot {
    uint64_t hash;
    uint64_t word;
};

/* The first bytes of an image. */
struct frozen_header {
    char magic[8];
    uint64_t checksum; /* of all that follows; in files only */
    uint32_t version;
    uint32_t kind;
    uint64_t size;    /* of all, bytes */
    uint64_t count;   /* entries */
    uint64_t homes;   /* lines that are somebody's home */
    uint64_t lines;   /* and those behind them, for what has found no room */
    uint64_t records; /* bytes */
    uint64_t seed[2];
    uint64_t zero[6];
};

_Static_assert(sizeof(struct frozen_header) == 128, "the table begins on a line");
_Static_assert(sizeof(struct frozen_slot) * LINE_SLOTS == 64, "a line is a cache line");

/* Before each record; the value, the key and up to 7 zero bytes follow. */
struct frozen_record {
    uint32_t key_len;
    uint32_t value_len;
};

struct soma_frozen {
    const struct frozen_slot *table;
    const struct frozen_slot *end;
    uint64_t homes;
    uint32_t kind;
    struct soma__mix mix; /* of words */
    uint64_t seed[2];     /* of bytes */
    const unsigned char *records;
    const uint64_t *starts;
    uint64_t count;
    const struct frozen_header *header; /* the image */
};

/* How many starts so many entries have. */
static inline uint64_t frozen_starts(uint64_t count)
{
    return count / START_STEP + (count % START_STEP != 0);
}

/* ---- Images (image.c) ---- */

/* A frozen map whose image has a header like this one, whose magic, version and size need not be filled in. The table and what
 * comes behind it are the caller's to fill. huge: its memory shall be huge pages. NULL: no memory. */
soma_frozen *soma__frozen_new(const struct frozen_header *like, bool huge, struct frozen_slot **table);

/* A frozen map over bytes of any content, at a multiple of 8, once they have been looked through; they stay the
 * caller's. SOMA_E_CORRUPT: they are no frozen map. SOMA_E_UNSUPPORTED: one of another version. */
enum soma_status soma__frozen_check(struct soma_frozen *frozen, const void *image, uint64_t size);

uint64_t soma__frozen_checksum(const struct frozen_header *header, uint64_t size);

/* ---- Lookups (get.c) ---- */

uint64_t soma__frozen_home(uint64_t hash, uint64_t homes);

/* A record that holds this key, or NULL. */
const struct frozen_record *soma__frozen_record(const struct soma_frozen *frozen, const void *key, size_t key_len);

/* The bytes that a record takes. */
uint64_t soma__frozen_record_size(const struct frozen_record *record);

/* ---- Building (build.c) ---- */

struct frozen_builder {
    uint32_t kind;
    struct frozen_slot *entries; /* the key, or where the record stands, until they are hashed */
    uint64_t count;
    uint64_t entries_cap;
    unsigned char *records;
    uint64_t records_len;
    uint64_t records_cap;
    bool huge; /* huge pages are wanted for the image */
};

/* Seeds that are tried before a table with entries far from home is put up with. */
#define SEEDS_TRIED 4

/* expected: a guess at the number of entries. */
enum soma_status soma__frozen_begin(struct frozen_builder *builder, uint32_t kind, uint64_t expected);

/* Each key once. SOMA_E_NOMEM: not added. */
enum soma_status soma__frozen_add_word(struct frozen_builder *builder, uint64_t key, uint64_t value);
enum soma_status soma__frozen_add_bytes(struct frozen_builder *builder, struct soma_bytes key, struct soma_bytes value);

/* seed: the first one to be tried; NULL = a random one. SOMA_E_NOMEM: no frozen map. */
enum soma_status soma__frozen_finish(struct frozen_builder *builder, const uint64_t seed[2], unsigned seeds_tried,
                                     soma_frozen **out);

/* In any case, at the end. */
void soma__frozen_end(struct frozen_builder *builder);

/* The image of entries whose hashes are known, sorted by them; records follow. NULL: no memory. */
soma_frozen *soma__frozen_place(const struct frozen_builder *builder, const uint64_t seed[2]);

#endif
