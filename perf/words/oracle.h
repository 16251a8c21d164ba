/* SPDX-License-Identifier: ISC */
/* oracle.h - the right counts, found by one thread with a table that shares nothing with the contestants'. */
#ifndef PERF_ORACLE_H
#define PERF_ORACLE_H

#include "words/corpus.h"

struct oracle_entry {
    struct key key;
    uint64_t count;
};

struct oracle {
    struct oracle_entry *entries; /* n of them, each key once */
    size_t n;
    uint64_t total;    /* of all counts */
    uint64_t checksum; /* of all entries, in whatever order */
};

struct oracle oracle_of(const struct corpus *corpus);

/* What one key and its count add to a checksum. */
uint64_t oracle_digest(const struct key *key, uint64_t count);

#endif
