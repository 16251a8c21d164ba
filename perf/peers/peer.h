/* SPDX-License-Identifier: ISC */
/* peer.h - what every map under measurement looks like: keys of key.h to 64-bit values.
 *
 * The calls take several keys, so that the loop over them stands inside the adapter, where the compiler sees the map's
 * own inline functions, and an indirect call is paid once for many operations. Each operation of a call takes effect by
 * itself, with its own lock and its own search.
 *
 * Adapters end the program when the map refuses an operation, so a figure is about operations that were done. A map
 * lives as long as the process that made it (see support/child.h), so there is no call to free one. */
#ifndef PERF_PEER_H
#define PERF_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peers/key.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a map does not offer that Soma's does. */
enum peer_lack {
    LACKS_FREE_READS = 1 << 0,   /* a lookup takes a lock, so it waits for who holds it */
    LACKS_FREE_WRITES = 1 << 1,  /* an update takes a lock */
    LACKS_MANY_WRITERS = 1 << 2, /* one writer at a time, for which the caller has to see */
    LACKS_GROWTH = 1 << 3,       /* wants to know its size beforehand */
    LACKS_ANY_THREAD = 1 << 4,   /* threads must register */
    LACKS_REST = 1 << 5,         /* threads must keep telling that they hold nothing */
    LACKS_OLD_VALUES = 1 << 6,   /* an upsert as it is done here does not tell what it replaced */
    LACKS_ALL_KEYS = 1 << 7,     /* some words cannot be keys */
    LACKS_BEING_A_MAP = 1 << 8,  /* a limit: filled once by one thread, then only read; no upsert, no removal */
};

struct peer_ops {
    const char *name;
    const char *about; /* what is compared, in words */
    unsigned colour;   /* in charts */
    unsigned lacks;    /* of enum peer_lack */
    bool batched;      /* the keys of a call go to the map at once; put_each() cannot tell old keys from new */

    void *(*create)(uint64_t size); /* 0: as empty as it comes */
    void (*thread_enter)(void);     /* before a thread's first operation */
    void (*thread_leave)(void);     /* after its last one */
    void (*quiescent)(void);        /* the thread holds nothing; called every QUIESCENT_OPS operations */

    /* How many were found; values[i] belongs to keys[i] and is 0 if that was not found. */
    size_t (*get_each)(void *map, const peer_key *keys, size_t n, uint64_t *values);
    /* Inserts the keys that are not there, each with its peer_value_of(); how many that were. */
    size_t (*put_each)(void *map, const peer_key *keys, size_t n);
    /* Stores values[i] under keys[i], present or not; how many were not there. */
    size_t (*upsert_each)(void *map, const peer_key *keys, const uint64_t *values, size_t n);
    /* How many were there. */
    size_t (*remove_each)(void *map, const peer_key *keys, size_t n);
    /* Visits every entry, adding up the values; how many. Nobody changes the map. NULL: the map has no such call. */
    uint64_t (*scan)(void *map, uint64_t *sum);

    uint64_t (*count)(void *map); /* exact while nobody changes the map */
    void (*settle)(void);         /* waits until removed entries are freed */
    void (*shrink)(void *map);    /* makes the table as small as it gets; NULL where nobody asks for it */
};

/* How often a thread tells the qsbr flavor that it holds nothing. It costs next to nothing, and with more threads than
 * cores a table whose grace periods wait longer than that cannot grow in time. */
#define QUIESCENT_OPS 64

extern const struct peer_ops peer_soma;
extern const struct peer_ops peer_soma_spacious;
extern const struct peer_ops peer_soma_batch;

/* A map for the two adapters above, with this load_percent. */
void *peer_soma_with_load(unsigned load_percent);
extern const struct peer_ops peer_lfht;
extern const struct peer_ops peer_lfht_grow;
extern const struct peer_ops peer_memb;
extern const struct peer_ops peer_memb_grow;
extern const struct peer_ops peer_ck;
extern const struct peer_ops peer_tbb;
extern const struct peer_ops peer_cuckoo;
extern const struct peer_ops peer_cds_michael;
extern const struct peer_ops peer_cds_split;
extern const struct peer_ops peer_glib;
extern const struct peer_ops peer_mutex;
extern const struct peer_ops peer_rwlock;
extern const struct peer_ops peer_stripes;
extern const struct peer_ops peer_std;
extern const struct peer_ops peer_array;
extern const struct peer_ops peer_linear; /* words only */
extern const struct peer_ops peer_linear_batch;

/* For maps that have nothing to do in a call. */
void peer_nothing(void);

#ifdef __cplusplus
}
#endif

#endif
