/* SPDX-License-Identifier: ISC */
#include "words/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "support/fail.h"

/* FNV-1a, 64 bits: not the hash of any contestant, so that a flaw of theirs is not repeated here. */
static uint64_t fnv1a(const struct key *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < key->len; i++)
        hash = (hash ^ (unsigned char)key->text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t oracle_digest(const struct key *key, uint64_t count)
{
    uint64_t digest = fnv1a(key) ^ count * UINT64_C(0x9e3779b97f4a7c15);
    digest = (digest ^ digest >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return digest ^ digest >> 27;
}

/* Linear probing over slots, a power of two, of which at most half are taken. */
static struct oracle_entry *slot_of(struct oracle_entry *slots, size_t mask, const struct key *key)
{
    size_t i = fnv1a(key) & mask;
    while (slots[i].count > 0 && (slots[i].key.len != key->len || memcmp(slots[i].key.text, key->text, key->len) != 0))
        i = (i + 1) & mask;
    return &slots[i];
}

static struct oracle pack(struct oracle_entry *slots, size_t mask)
{
    struct oracle oracle = {.entries = slots};
    for (size_t i = 0; i <= mask; i++) {
        if (slots[i].count == 0)
            continue;
        oracle.total += slots[i].count;
        oracle.checksum += oracle_digest(&slots[i].key, slots[i].count);
        slots[oracle.n++] = slots[i];
    }
    oracle.entries = grow_or_fail(slots, oracle.n * sizeof *slots);
    return oracle;
}

struct oracle oracle_of(const struct corpus *corpus)
{
    size_t slots_n = 16;
    while (slots_n < corpus->n * 2)
        slots_n *= 2;
    struct oracle_entry *slots = alloc_or_fail(slots_n * sizeof *slots);
    memset(slots, 0, slots_n * sizeof *slots);
    for (size_t i = 0; i < corpus->n; i++) {
        struct oracle_entry *slot = slot_of(slots, slots_n - 1, &corpus->keys[i]);
        slot->key = corpus->keys[i];
        slot->count++;
    }
    return pack(slots, slots_n - 1);
}
