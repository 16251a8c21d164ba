/* SPDX-License-Identifier: ISC */
/* bytes.h - the entries of the byte map, for who goes through them inside a section; and what can be one. */
#ifndef SOMA_MAP_BYTES_H
#define SOMA_MAP_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <soma/map.h>

#include "base/attr.h"
#include "hash/hash.h"
#include "base/loan.h"
#include "order/order.h"

/* A bucket is its sentinel. */
#define BYTES_CELL_LOG2 3

/* Whether a key or a value that a caller has given can be one. */
ALWAYS_INLINE bool soma__bytes_ok(const void *data, size_t len)
{
    return (data || len == 0) && len <= SOMA_LEN_MAX && !LOAN_OVER(data);
}

/* memcmp() takes no NULL, not even for no bytes. */
ALWAYS_INLINE int soma__memory_compare(const void *a, const void *b, size_t len)
{
    return len ? memcmp(a, b, len) : 0;
}

ALWAYS_INLINE bool soma__bytes_same(struct soma_bytes a, struct soma_bytes b)
{
    return a.len == b.len && soma__memory_compare(a.data, b.data, a.len) == 0;
}

/* A word as its 8 bytes stand. */
ALWAYS_INLINE uint64_t soma__word_of(struct soma_bytes bytes)
{
    uint64_t word;
    memcpy(&word, bytes.data, sizeof word);
    return word;
}

/* FNV-1a 64 over an entry of either kind of map, for its digest. */
ALWAYS_INLINE uint64_t soma__entry_fnv(bool words, struct soma_bytes key, struct soma_bytes value)
{
    if (words)
        return soma__fnv1a64_words(soma__word_of(key), soma__word_of(value));
    return soma__fnv1a64_bytes(value.data, value.len, soma__fnv1a64_bytes(key.data, key.len, SOMA_FNV1A64_BASIS));
}

struct soma_bytes soma__bytes_key(const struct soma__node *node);

/* What stands beside the entry's edge, to be read before it: its value, if that is 8 bytes. */
uint64_t soma__bytes_word(const struct soma__node *node);

/* All of it. `word` is what stood beside its edge, to which `value` points if that is the value: under `version` it may
 * change then, so who gives that to somebody asks for it by key. */
struct soma__entry {
    struct soma_bytes key;
    struct soma_bytes value;
    uint64_t version;
};

struct soma__entry soma__bytes_entry(const struct soma__node *node, const uint64_t *word);

/* How an entry stands to a key of the same hash: before it (< 0), its own (0), or after it. */
int soma__bytes_compare(const struct soma__node *node, const void *key, size_t len);

/* The most memory that an entry with these lengths takes. */
size_t soma__bytes_entry_most(size_t key_len, size_t value_len);

#endif
