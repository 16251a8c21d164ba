/* SPDX-License-Identifier: ISC */
/* request.h - calls on a map of either kind as data, for those who hold a lock while they find out what a call comes to. To them
 * keys and values are bytes, and a word is 8 of them. */
#ifndef SOMA_BACKEND_REQUEST_H
#define SOMA_BACKEND_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/map.h>
#include <soma/status.h>

#include "base/attr.h"
#include "map/bytes.h"

enum soma__verb {
    VERB_GET,
    VERB_PUT,
    VERB_PUT_NEW,
    VERB_REPLACE,
    VERB_CAS,
    VERB_CAS_VERSION,
    VERB_REMOVE,
    VERB_REMOVE_IF,
    VERB_FETCH_ADD,
};

struct soma__request {
    enum soma__verb verb;
    struct soma_bytes key;
    struct soma_bytes value;    /* to be stored */
    struct soma_bytes expected; /* VERB_CAS, VERB_REMOVE_IF */
    uint64_t number;            /* VERB_FETCH_ADD: what to add. VERB_CAS_VERSION: the expected version, 0: absent */
};

/* What a verb comes to. */
struct soma__decision {
    enum soma_status status;
    bool store; /* the request's value, but for VERB_FETCH_ADD: the sum */
    bool remove;
    uint64_t sum;
};

/* Given what the key has. */
struct soma__decision soma__decide(const struct soma__request *request, bool present, struct soma_bytes has,
                                   uint64_t version);

/* Whether its keys and values can be some. */
ALWAYS_INLINE bool soma__request_ok(const struct soma__request *request)
{
    return soma__bytes_ok(request->key.data, request->key.len) &&
           soma__bytes_ok(request->value.data, request->value.len) &&
           soma__bytes_ok(request->expected.data, request->expected.len);
}

/* 0 for none. */
ALWAYS_INLINE uint64_t soma__word_if_any(struct soma_bytes bytes)
{
    return bytes.data ? soma__word_of(bytes) : 0;
}

ALWAYS_INLINE struct soma_bytes soma__bytes_of(const void *data, size_t len)
{
    return (struct soma_bytes){.data = data, .len = len};
}

/* ---- Values that wait for readers ---- */

/* Whom to tell that a value has left; either may be NULL. */
struct soma__retiring {
    void (*word)(uint64_t value, void *ctx);
    void (*bytes)(const void *value, size_t len, void *ctx);
    void *ctx;
};

void soma__retire_value(const struct soma__retiring *whom, struct soma_bytes bytes);

/* A copy, aligned to 8, that goes when the caller's section has ended; then `whom`, if any, is told. Inside a section. NULL: no
 * memory, nothing will happen. */
const void *soma__lend(struct soma_bytes bytes, const struct soma__retiring *whom);

#endif
