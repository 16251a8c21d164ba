/* SPDX-License-Identifier: ISC */
/* digests.c - two replicas of a map, each filled by threads of its own, in orders of their own. Their digests say that they have
 * come to the same; then one is damaged, and digests of ranges of hashes lead to the place, without a look at the other
 * entries. Last, the same question put so that nobody who chose the entries can have forged the answer. docs/digests.md tells
 * the story. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <soma/soma.h>

#define KEYS UINT64_C(100000)
#define THREADS 3

/* Agreed upon beforehand: the digest key, so that digests can be compared; the seed, so that ranges of hashes can. A program draws
 * them once, keeps them from the public, and gives them to every replica. */
static const struct soma_u64_options agreed = {
    .flags = SOMA_DIGEST,
    .digest_key = {UINT64_C(0x5fd0c1e26a4be4d7), UINT64_C(0x8a6a3c6f1c2f5b09)},
    .seed = {UINT64_C(0x1d9a7df0b4e5a3c1), UINT64_C(0x60b1c4d2e9f80735)},
};

struct part {
    pthread_t thread;
    soma_u64 *map;
    uint64_t index;
};

/* Every replica takes detours of its own. */
static void *fill(void *arg)
{
    const struct part *part = arg;
    for (uint64_t key = part->index; key < KEYS; key += THREADS) {
        (void)soma_u64_put(part->map, key, key ^ (uintptr_t)part->map, NULL);
        (void)soma_u64_put(part->map, key, key * key, NULL);
    }
    return NULL;
}

static soma_u64 *replica(void)
{
    struct part parts[THREADS];
    soma_u64 *map;
    if (soma_u64_new(&agreed, &map) != SOMA_OK)
        return NULL;
    for (unsigned t = 0; t < THREADS; t++) {
        parts[t] = (struct part){.map = map, .index = t};
        pthread_create(&parts[t].thread, NULL, fill, &parts[t]);
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(parts[t].thread, NULL);
    return map;
}

static bool same(const soma_u64 *here, const soma_u64 *there)
{
    struct soma_digest a;
    struct soma_digest b;
    return soma_u64_digest(here, &a) == SOMA_OK && soma_u64_digest(there, &b) == SOMA_OK && soma_digest_equal(&a, &b);
}

/* Halves of halves: 20 bits are one entry's range or so. In real life the digests come over the wire. */
static uint64_t range_that_differs(const soma_view *here, const soma_view *there, unsigned bits)
{
    uint64_t prefix = 0;
    for (unsigned b = 1; b <= bits; b++) {
        struct soma_digest a;
        struct soma_digest c;
        prefix <<= 1;
        if (soma_view_range_digest(here, b, prefix, &a) != SOMA_OK ||
            soma_view_range_digest(there, b, prefix, &c) != SOMA_OK || soma_digest_equal(&a, &c))
            prefix++; /* not here, so there */
    }
    return prefix;
}

/* The key in the range whose values differ; UINT64_MAX: none. */
static uint64_t key_that_differs(const soma_view *here, const soma_view *there, unsigned bits)
{
    const uint64_t prefix = range_that_differs(here, there, bits);
    soma_cursor *cursor;
    uint64_t key;
    uint64_t value;
    uint64_t found = UINT64_MAX;
    if (soma_cursor_open_view(here, &cursor) != SOMA_OK)
        return found;
    (void)soma_cursor_range(cursor, bits, prefix);
    while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK) {
        uint64_t other;
        if (soma_view_get_u64(there, key, &other) != SOMA_OK || other != value)
            found = key;
    }
    soma_cursor_close(cursor);
    return found;
}

/* Whether the strong digests of two small maps say so; true where this build has none. */
static bool strong_digests_tell(uint64_t a, uint64_t b)
{
    const uint64_t values[2] = {a, b};
    unsigned char hash[2][SOMA_DIGEST_STRONG_HASH];
    for (int i = 0; i < 2; i++) {
        const struct soma_u64_options options = {.flags = SOMA_DIGEST_STRONG, .digest_key = {1, 2}};
        struct soma_digest_strong digest;
        soma_u64 *map;
        soma_view *view;
        if (soma_u64_new(&options, &map) != SOMA_OK)
            return true; /* SOMA_E_UNSUPPORTED */
        (void)soma_u64_put(map, 7, values[i], NULL);
        if (soma_u64_view_open(map, &view) != SOMA_OK || soma_view_digest_strong(view, &digest) != SOMA_OK ||
            soma_digest_strong_hash(&digest, hash[i]) != SOMA_OK)
            return false;
        soma_view_close(view);
        soma_u64_free(map);
    }
    return (memcmp(hash[0], hash[1], sizeof hash[0]) == 0) == (a == b);
}

int main(void)
{
    soma_u64 *here = replica();
    soma_u64 *there = replica();
    soma_view *views[2];
    if (!here || !there || !same(here, there))
        return 1;
    (void)soma_u64_fetch_add(there, 4711, 1, NULL);
    if (same(here, there) || soma_u64_view_open(here, &views[0]) != SOMA_OK ||
        soma_u64_view_open(there, &views[1]) != SOMA_OK)
        return 1;
    const uint64_t key = key_that_differs(views[0], views[1], 20);
    printf("key %" PRIu64 " differs\n", key);
    soma_view_close(views[0]);
    soma_view_close(views[1]);
    soma_u64_free(here);
    soma_u64_free(there);
    return key == 4711 && strong_digests_tell(3, 3) && strong_digests_tell(3, 4) ? 0 : 1;
}
