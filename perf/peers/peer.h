/* SPDX-License-Identifier: ISC */
/* peer.h - what every map under measurement looks like: 64-bit keys to 64-bit values.
 *
 * The calls take several keys, so that the loop over them stands inside the adapter, where the compiler sees the map's
 * own inline functions, and an indirect call is paid once for many operations. Each operation of a call takes effect by
 * itself, with its own lock and its own search. A value is value_of() its key.
 *
 * Adapters end the program when the map refuses an operation, so a figure is about operations that were done. A map
 * lives as long as the process that made it (see support/child.h), so there is no call to free one. */
#ifndef PERF_PEER_H
#define PERF_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_ops {
    const char *name;
    const char *about; /* what is compared, in words */
    unsigned colour;   /* in charts */
    bool batched;      /* the keys of a call go to the map at once; put_each() cannot tell old keys from new */

    void *(*create)(uint64_t size); /* 0: as empty as it comes */
    void (*thread_enter)(void);     /* before a thread's first operation */
    void (*thread_leave)(void);     /* after its last one */
    void (*quiescent)(void);        /* the thread holds nothing; called every QUIESCENT_OPS operations */

    /* How many were found; values[i] belongs to keys[i] and is 0 if that was not found. */
    size_t (*get_each)(void *map, const uint64_t *keys, size_t n, uint64_t *values);
    /* Inserts the keys that are not there; how many that were. */
    size_t (*put_each)(void *map, const uint64_t *keys, size_t n);
    /* How many were there. */
    size_t (*remove_each)(void *map, const uint64_t *keys, size_t n);

    uint64_t (*count)(void *map); /* exact while nobody changes the map */
    void (*settle)(void);         /* waits until removed entries are freed */
    void (*shrink)(void *map);    /* makes the table as small as it gets */
};

/* How often a thread tells the qsbr flavor that it holds nothing. It costs next to nothing, and with more threads than
 * cores a table whose grace periods wait longer than that cannot grow in time. */
#define QUIESCENT_OPS 64

extern const struct peer_ops peer_soma;
extern const struct peer_ops peer_soma_batch;
extern const struct peer_ops peer_lfht;
extern const struct peer_ops peer_lfht_grow;
extern const struct peer_ops peer_mutex;

/* For maps that have nothing to do in a call. */
void peer_nothing(void);

#endif
