/* SPDX-License-Identifier: ISC */
/* kinds.h - both kinds of map behind one table of verbs, so that a concurrent test is written once. Keys and values are
 * ids. The byte map stores each id as bytes whose length and filling follow from it, and every value that comes out is
 * checked to the last byte: a torn or freed one fails the test. */
#ifndef SOMA_TESTS_KINDS_H
#define SOMA_TESTS_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/soma.h>

/* Must live until soma_barrier_wait() after close(). */
struct kind_options {
    uint64_t reserve;
    unsigned flags;
    void (*retired)(uint64_t value, void *ctx); /* each value that left the map; may be NULL */
    void *ctx;                                  /* for retired and stall */
    uint64_t deferred_bytes_max;
    uint64_t stall_ns;
    soma_stall_fn stall;
};

/* What an update puts in place of a value: its answer is SOMA_OK, SOMA_REMOVED or SOMA_EXISTS. */
typedef enum soma_status (*kind_update_fn)(uint64_t key, bool present, uint64_t *value, void *ctx);

struct kind {
    const char *name;
    enum soma_status (*open)(const struct kind_options *options, void **map);
    void (*close)(void *map);
    enum soma_status (*get)(void *map, uint64_t key, uint64_t *value);
    size_t (*get_many)(void *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found);
    enum soma_status (*put)(void *map, uint64_t key, uint64_t value, uint64_t *old);
    enum soma_status (*put_new)(void *map, uint64_t key, uint64_t value, uint64_t *present);
    enum soma_status (*replace)(void *map, uint64_t key, uint64_t value, uint64_t *old);
    enum soma_status (*cas)(void *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual);
    enum soma_status (*remove)(void *map, uint64_t key, uint64_t *old);
    enum soma_status (*remove_if)(void *map, uint64_t key, uint64_t expected, uint64_t *actual);
    enum soma_status (*update)(void *map, uint64_t key, kind_update_fn fn, void *ctx);
    enum soma_status (*fetch_add)(void *map, uint64_t key, uint64_t delta, uint64_t *old);
    enum soma_status (*put_many)(void *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done);
    enum soma_status (*clear)(void *map);
    uint64_t (*count)(void *map);
    enum soma_status (*reserve)(void *map, uint64_t n);
    enum soma_status (*shrink)(void *map);
    enum soma_status (*walk)(const void *map, soma_cursor **cursor);
    enum soma_status (*next)(soma_cursor *cursor, uint64_t *key, uint64_t *value);
    enum soma_status (*view)(void *map, soma_view **view);
    enum soma_status (*view_get)(const soma_view *view, uint64_t key, uint64_t *value);
    enum soma_status (*remove_many)(void *map, const uint64_t *keys, size_t n, bool *found, size_t *done);
    enum soma_status (*get_with)(void *map, uint64_t key, uint64_t *value);
    enum soma_status (*take)(void *map, uint64_t *place, size_t n, uint64_t *keys, uint64_t *values, size_t *taken);
};

/* The most keys that one get_many, put_many, remove_many or take of a kind takes. */
#define KIND_MANY 64

/* word map, byte map */
extern const struct kind kinds[2];

/* The id that a byte map's key or value stands for, checked to the last byte. */
uint64_t kind_id(const void *data, size_t len);

/* Opens a map or ends the program. */
void *kind_open(const struct kind *kind, const struct kind_options *options);

#endif
