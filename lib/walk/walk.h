/* SPDX-License-Identifier: ISC */
/* walk.h - a cursor from inside: a scan's position, and entries that have been copied out and not given yet. */
#ifndef SOMA_WALK_WALK_H
#define SOMA_WALK_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/cursor.h>

#include "base/size.h"
#include "map/bytes.h"
#include "map/core.h"
#include "map/scan.h"

/* What is fetched in one section, at most: entries of a word map; entries of a byte map, and their bytes, but for one that
 * alone is larger. */
#define WALK_WORDS SIZED(128, 2)
#define WALK_ITEMS SIZED(64, 2)
#define WALK_BYTES SIZED(8192, 32)

struct walk_word {
    uint64_t hash;
    uint64_t value;
};

/* In the cursor's bytes stand the value, at a multiple of 8, and behind it the key. */
struct walk_item {
    uint64_t hash;
    size_t at;
    size_t value_len;
    size_t key_len;
    uint64_t version;
};

/* All entries of a view in the order of their keys: sorted.c. */
struct walk_sorted;

struct soma_cursor {
    struct core *core;    /* constant, like the two below */
    enum soma__kind kind; /* of map */
    uint64_t at;          /* the instant: SOMA__NOW, or a view's */
    uint64_t first;       /* the part: the hashes from first to last */
    uint64_t last;
    uint64_t hash;              /* of the last entry given; if there is one and the cursor is not sorted */
    uint64_t token;             /* the place behind the last entry given */
    struct walk_sorted *sorted; /* NULL, or what to go through instead of the map */

    struct soma__scan scan; /* behind what has been fetched */
    unsigned next;          /* to be given */
    unsigned count;         /* fetched */
    bool tie;               /* the entry behind them has the hash of the last */
    unsigned char *bytes;   /* copies of keys and values; NULL at first */
    size_t bytes_cap;
    union {
        struct walk_word words[WALK_WORDS];
        struct walk_item items[WALK_ITEMS];
    } batch;
#if HAVE_GUARD
    struct soma__loan_one loan; /* what it has lent */
#endif
};

/* An entry of either kind of map. */
struct walk_entry {
    uint64_t hash;
    uint64_t words[2]; /* of a word map */
    struct soma_bytes key;
    struct soma_bytes value; /* of a word map, both are the words */
};

/* The next entry of a cursor that is not sorted, borrowed until the next call; words are where `entry` is. */
enum soma_status soma__cursor_next(soma_cursor *cursor, struct walk_entry *entry);

/* Which of two keys comes first in a map: that of hash_a (< 0), that of hash_b (> 0), or they are one. */
int soma__key_order(uint64_t hash_a, struct soma_bytes a, uint64_t hash_b, struct soma_bytes b);

/* Restricts a cursor that is not sorted to these hashes, and goes to the first of them. */
void soma__cursor_between(soma_cursor *cursor, uint64_t first, uint64_t last);
/* The last entry given by a cursor over a byte map. False: none, since it was opened or went elsewhere. */
bool soma__cursor_given(const soma_cursor *cursor, struct soma__entry *given);
bool soma__sorted_given(const struct walk_sorted *sorted, struct soma__entry *given);

enum soma_status soma__sorted_next_u64(struct walk_sorted *sorted, uint64_t *key, uint64_t *value);
enum soma_status soma__sorted_next_ref(struct walk_sorted *sorted, struct soma_bytes *key, struct soma_bytes *value);
uint64_t soma__sorted_token(const struct walk_sorted *sorted);
void soma__sorted_seek(struct walk_sorted *sorted, uint64_t token);
void soma__sorted_part(struct walk_sorted *sorted, uint32_t part, uint32_t parts);
void soma__sorted_free(struct walk_sorted *sorted);

#endif
