/* SPDX-License-Identifier: ISC */
/* sync.h - a session from inside. The words are those of docs/spec/mapdiff.md: giver and lister, turns, passes, slices.
 *
 *     sync.c     birth, hello, slices and passes, bytes in and out
 *     hear.c     the frames of the other side's turn: what differs, what is to change
 *     say.c      the frames of the own turn, some at a time, as they are taken
 *     change.c   what is to change: kept aside, settled, put into the map
 *     entry.c    the view: its entries and their digests
 *     decode.c   bytes taken apart
 *
 * Only one side speaks at a time. So what was heard in a turn (`todo`, `owed`) is complete before it is answered, and
 * what is said makes a list of what must be heard (`due`). All three hold ranges; they grow with what has come, not
 * with what is announced.
 */
#ifndef SOMA_SYNC_SYNC_H
#define SOMA_SYNC_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/cursor.h>
#include <soma/sync.h>

#include "map/core.h"
#include "sync/decode.h"
#include "walk/walk.h"
#include "wire/wire.h"

/* What no side comes near that keeps to the rules, in one turn; and its turns in a pass. */
#define RANGES_MAX (1u << 22)
#define NUMBERS_MAX (1u << 22)
#define TURNS_MAX 128
#define PASSES_MAX 8

/* ---- What grows ---- */

/* What a range is about. In `todo`, once it is decided what to say: the type of the frame. */
enum what {
    DIFFERS = FRAME_BYE + 1, /* todo: not decided yet */
    ASKED,                   /* todo: the same, and a list is wanted */
    ANSWER,                  /* owed, by the giver: numbers are fingerprints. due: what was listed */
    REPLY_ALL,               /* owed or due: all entries in the range */
    REPLY_SOME               /* the same: those whose indices are among the numbers */
};

struct group {
    uint64_t prefix;
    uint64_t count; /* todo: entries here. Else how many numbers there are, */
    size_t first;   /* from here on; of REPLY_SOME, pairs of them */
    uint8_t bits;
    uint8_t what; /* enum what, or enum frame_type */
};

struct groups {
    struct group *at;
    size_t n;
    size_t cap;
};

struct numbers {
    uint32_t *at;
    size_t n;
    size_t cap;
};

struct pairs {
    uint64_t *at;
    size_t n;
    size_t cap;
};

enum op {
    PUT,
    REMOVE,
    KEEP,   /* decided: what is here stays, and goes to the other side */
    NOTHING /* settled: there is nothing to do after all */
};

/* Key and value stand side by side in a block. */
struct change {
    uint64_t hash;
    const unsigned char *bytes;
    uint32_t key_len;
    uint32_t value_len;
    uint8_t op;    /* enum op */
    bool send;     /* a PUT that the other side has to get as well */
    bool replaces; /* settled: the view has another value */
};

struct block;

struct changes {
    struct change *at;
    size_t n;
    size_t cap;
    struct block *blocks;
    uint64_t bytes; /* all memory */
};

/* Makes room for one more of `size` bytes behind `n`. False: no memory; nothing changed. */
bool soma__sync_room(void *vector, size_t n, size_t *cap, size_t size);
bool soma__sync_group(struct groups *groups, struct group group);
bool soma__sync_number(struct numbers *numbers, uint32_t number);

/* ---- A session ---- */

enum phase {
    GREETING, /* the other side's hello has not come */
    LISTENING,
    SPEAKING,
    OVER,
    FAILED
};

/* A place in the other side's turn: frames come in this order. */
enum part {
    PART_SLICE,
    PART_CHECKS,
    PART_RANGES,
    PART_DATA
};

enum reading {
    READ_RECORDS,
    READ_COUNT,
    READ_INDICES
};

struct soma_sync {
    /* constant */
    struct core *core;
    soma_view *view;
    soma_cursor *cursor; /* for whatever range is gone through */
    bool words;
    struct soma_sync_options options;

    enum phase phase;
    enum soma_status status;
    const char *reason;
    struct soma_sync_result result;

    struct hello mine;
    struct hello theirs;
    bool giver;
    bool both;

    struct wire_out in;  /* of a hello or frame that is not complete */
    struct wire_out out; /* to be drained, from `out_at` on */
    size_t out_at;

    unsigned slice_bits;
    uint64_t slice;
    uint64_t pass;
    uint64_t key[2]; /* of the pass */
    struct soma_digest slice_mine;
    struct soma_digest slice_theirs;
    struct soma_digest slice_result; /* once it is settled */
    bool said_slice;                 /* in this pass */
    bool heard_slice;
    bool said_close;
    bool heard_close;
    bool agreed; /* both hellos fit each other */
    bool said_hello;
    bool said_bye;              /* or there is nobody to be told */
    struct soma_digest closing; /* the lister's result, once it was heard */
    unsigned turns;             /* of the other side's, in this pass */

    struct groups todo; /* heard: ranges that differ */
    struct groups owed; /* heard: entries that are to be said */
    struct numbers owed_numbers;
    struct groups due; /* said: entries that are to be heard */
    struct changes changes;

    /* The other side's turn. */
    struct {
        enum part part;
        bool asks;                     /* it wants an answer */
        uint64_t last[FRAME_LIST + 1]; /* by type: the last hash of the last range */
        bool any[FRAME_LIST + 1];
        uint64_t compared; /* checks, and how many of them differed */
        uint64_t differed;
        struct wire_out data;   /* of DATA, what has come of something that is not whole yet */
        uint64_t need;          /* so many bytes, before it is worth a look */
        size_t due;             /* the group that is being heard */
        size_t change;          /* its first change */
        enum reading reading;   /* what comes next of it */
        uint64_t indices;       /* how many there are */
        struct numbers numbers; /* those that have come */
    } heard;

    /* The own turn. */
    struct {
        enum frame_type stage;   /* up to TURN, which stands for any end */
        size_t at;               /* in todo or owed */
        unsigned log2;           /* of the checks of a range, where there are so many bits */
        bool asks;               /* it wants an answer */
        struct wire_out payload; /* of the frame that is being made, */
        unsigned frame_bits;     /* which is about such ranges, */
        unsigned frame_log2;
        uint64_t frame_prefix; /* this one last */
        bool in_group;         /* the cursor stands in owed.at[at] */
        uint64_t index;        /* of its next entry */
        size_t number;         /* the next of the group's numbers */
        struct pairs sorted;   /* the group's fingerprints, with their indices in the low half */
        struct numbers known;  /* by index, whether an entry here has it */
        struct wire_out data;  /* of the turn's entries, what has not gone into frames yet: from `data_at` on */
        size_t data_at;
    } said;

    uint64_t window_theirs; /* bytes of DATA that may be sent */
    uint64_t window_sent;   /* so many are not granted yet */
    uint64_t window_heard;  /* bytes of DATA that have come and are not granted yet */

    struct wire_out room; /* for values that are looked up */
};

/* Ends the session with an error, tells the other side, gives the status. */
enum soma_status soma__sync_fail(struct soma_sync *sync, enum soma_status status, const char *reason);

/* The same with what a function of the program's has answered: whatever it is, the other side is told that the program ended it. */
enum soma_status soma__sync_ended(struct soma_sync *sync, enum soma_status status, const char *reason);

/* ---- sync.c ---- */

void soma__sync_frame(struct soma_sync *sync, enum frame_type type, const void *payload, size_t len);
/* A frame of one digest. */
void soma__sync_digest_frame(struct soma_sync *sync, enum frame_type type, const struct soma_digest *digest);
void soma__sync_put_digest(struct wire_out *out, const struct soma_digest *digest);
/* Forgets what has been taken, up to `at`, once that is half of it. */
void soma__sync_drop(struct wire_out *out, size_t *at);
enum soma_status soma__sync_next_pass(struct soma_sync *sync);
/* The slice is done, its changes are in the map. */
enum soma_status soma__sync_next_slice(struct soma_sync *sync);

/* ---- hear.c, say.c ---- */

enum soma_status soma__sync_hear(struct soma_sync *sync, const struct frame *frame);
/* The other side's turn begins. */
void soma__sync_listen(struct soma_sync *sync);
/* The own turn begins. */
enum soma_status soma__sync_speak(struct soma_sync *sync);
/* Some of it, behind `out`. */
enum soma_status soma__sync_say(struct soma_sync *sync);

/* ---- change.c ---- */

enum soma_status soma__sync_note(struct soma_sync *sync, enum op op, const struct walk_entry *entry);
/* What the changes come to: `slice_result`. */
enum soma_status soma__sync_settle(struct soma_sync *sync);
enum soma_status soma__sync_apply(struct soma_sync *sync);
void soma__sync_forget(struct soma_sync *sync);
/* Less than, equal to or greater than 0, as of two entries of a map. */
int soma__sync_compare(uint64_t hash, struct soma_bytes key, const struct change *change);
struct soma_bytes soma__sync_key(const struct change *change);
struct soma_bytes soma__sync_value(const struct change *change);

/* ---- entry.c ---- */

void soma__sync_range(struct soma_sync *sync, unsigned bits, uint64_t prefix);
/* The next entry of the range: SOMA_OK or SOMA_END, or no memory. */
enum soma_status soma__sync_entry(struct soma_sync *sync, struct walk_entry *out);
/* An entry from a record. */
struct walk_entry soma__sync_entry_of(const struct soma_sync *sync, const struct record *record);
/* What the view has under a key, in `room`: SOMA_OK or SOMA_ABSENT, or no memory. */
enum soma_status soma__sync_look_up(struct soma_sync *sync, struct soma_bytes key, struct soma_bytes *value);
struct soma_digest soma__sync_range_digest(const struct soma_sync *sync, unsigned bits, uint64_t prefix);
struct soma_digest soma__sync_before(const struct soma_sync *sync, uint64_t from);
struct soma_digest soma__sync_entry_digest(const struct soma_sync *sync, struct soma_bytes key,
                                           struct soma_bytes value);
uint32_t soma__sync_check(const struct soma_sync *sync, const struct soma_digest *digest);
uint32_t soma__sync_fingerprint(const struct soma_sync *sync, const struct walk_entry *entry);
/* What both maps must have in common, without telling it. */
uint64_t soma__sync_agreement(const struct soma_sync *sync);

#endif
