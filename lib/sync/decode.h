/* SPDX-License-Identifier: ISC */
/* decode.h - the bytes of docs/spec/mapdiff.md taken apart. Knows no map and allocates nothing: what is not well
 * formed, or longer than it may be, is CORRUPT; what has not come as a whole yet is MORE. */
#ifndef SOMA_SYNC_DECODE_H
#define SOMA_SYNC_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/digest.h>
#include <soma/map.h>

#include "wire/wire.h"

enum decoded {
    DECODED,
    MORE,
    CORRUPT
};

/* ---- Hello ---- */

#define HELLO_BYTES 96
#define HELLO_MAGIC "mapdiff" /* without its end */
#define HELLO_VERSION 1
#define HELLO_COUNT_MAX (UINT64_C(1) << 48)

struct hello {
    uint8_t version;
    uint8_t kind; /* 1: words, 2: byte strings */
    uint8_t role;
    bool initiator;
    uint32_t window;
    uint64_t agreement;
    uint64_t nonce;
    uint64_t slice;
    uint64_t from;
    struct soma_digest digest;
    struct soma_digest before;
};

/* HELLO_BYTES bytes. Of another version, only that is read. */
enum decoded soma__decode_hello(const void *data, struct hello *out);

/* ---- Frames ---- */

#define FRAME_MAX 65536    /* bytes of a payload */
#define FRAME_HEAD_MAX 4   /* bytes before it */
#define LIST_MAX 8192      /* fingerprints of a range */
#define CHECKS_LOG2_MAX 12 /* checks of a range */

enum frame_type {
    FRAME_SLICE = 1,
    FRAME_CHECKS,
    FRAME_ASK,
    FRAME_EMPTY,
    FRAME_LIST,
    FRAME_DATA,
    FRAME_TURN,
    FRAME_GRANT,
    FRAME_CLOSE,
    FRAME_CLOSED,
    FRAME_AGAIN,
    FRAME_BYE
};

struct frame {
    enum frame_type type;
    struct wire_in payload;
    size_t bytes; /* with its head */
};

enum decoded soma__decode_frame(const void *data, size_t len, struct frame *out);

struct slice_head {
    uint64_t slice;
    uint64_t pass;
    struct soma_digest digest;
};

/* Whole payloads: DECODED or CORRUPT. */
enum decoded soma__decode_slice(struct wire_in payload, struct slice_head *out);
enum decoded soma__decode_digest(struct wire_in payload, struct soma_digest *out);
enum decoded soma__decode_grant(struct wire_in payload, uint64_t *out);
enum decoded soma__decode_bye(struct wire_in payload, uint8_t *out);

/* The items of CHECKS, ASK, EMPTY, LIST, one by one. */
struct range_items {
    struct wire_in in;
    enum frame_type type;
    unsigned bits;
    unsigned log2;   /* of the checks of an item */
    uint64_t prefix; /* of the item that was read */
    uint32_t count;  /* of its checks or fingerprints */
    const unsigned char *numbers;
    bool any;
};

enum decoded soma__decode_ranges(const struct frame *frame, struct range_items *out);
/* DECODED: an item. MORE: there are no more. Not to be called again after CORRUPT. */
enum decoded soma__decode_range(struct range_items *items);
/* A check or fingerprint of the item. */
uint32_t soma__decode_number(const struct range_items *items, uint32_t index);

/* ---- DATA ---- */

struct record {
    bool some; /* or "no record" */
    uint64_t words[2];
    struct soma_bytes key; /* of kind 2, in the bytes that were read */
    struct soma_bytes value;
};

/* Reads on only if it answers DECODED. `need`, out if MORE: so many bytes are needed for sure. */
enum decoded soma__decode_record(struct wire_in *in, bool words, struct record *out, uint64_t *need);
enum decoded soma__decode_varint(struct wire_in *in, uint64_t *out);

#endif
