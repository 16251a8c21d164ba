/* SPDX-License-Identifier: ISC */
/* get.c - lookups in frozen maps, and going through them. The table is told in frozen.h. */
#include <string.h>

#include "base/attr.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/guard.h"
#include "frozen/frozen.h"

/* Lookups of a batch that are under way at once. */
#define BATCH 32

uint64_t soma__frozen_home(uint64_t hash, uint64_t homes)
{
    return bits_scale(hash, homes);
}

ALWAYS_INLINE const struct frozen_slot *home_line(const struct soma_frozen *frozen, uint64_t hash)
{
    return frozen->table + LINE_SLOTS * bits_scale(hash, frozen->homes);
}

/* The first slot from here on whose hash is not smaller, or the end. */
static const struct frozen_slot *search(const struct frozen_slot *from, const struct frozen_slot *end, uint64_t hash)
{
    while (from != end) {
        const struct frozen_slot *middle = from + (end - from) / 2;
        if (middle->hash < hash)
            from = middle + 1;
        else
            end = middle;
    }
    return end;
}

/* How many of a line's hashes are smaller, without a branch. */
ALWAYS_INLINE unsigned smaller_in_line(const struct frozen_slot *line, uint64_t hash)
{
    return (unsigned)(line[0].hash < hash) + (unsigned)(line[1].hash < hash) + (unsigned)(line[2].hash < hash) +
           (unsigned)(line[3].hash < hash);
}

/* The slot of this hash, or NULL. */
ALWAYS_INLINE const struct frozen_slot *find(const struct soma_frozen *frozen, uint64_t hash)
{
    const struct frozen_slot *line = home_line(frozen, hash);
    for (unsigned near = 0; line != frozen->end; line += LINE_SLOTS) {
        const unsigned smaller = smaller_in_line(line, hash);
        if (LIKELY(smaller < LINE_SLOTS))
            return line[smaller].hash == hash ? &line[smaller] : NULL;
        if (++near == LINES_NEAR) {
            line = search(line, frozen->end, hash);
            return line != frozen->end && line->hash == hash ? line : NULL;
        }
    }
    return NULL;
}

static bool is_kind(const struct soma_frozen *frozen, uint32_t kind)
{
    return LIKELY(LIVES(frozen, WHAT_FROZEN) && frozen->kind == kind);
}

/* ---- Words ---- */

enum soma_status soma_frozen_get_u64(const soma_frozen *frozen, uint64_t key, uint64_t *value)
{
    if (!is_kind(frozen, FROZEN_WORDS)) {
        MISUSE("frozen is NULL or not of words");
        return SOMA_E_INVALID;
    }
    const struct frozen_slot *slot = find(frozen, soma__mix_hash(&frozen->mix, key));
    if (!slot)
        return SOMA_ABSENT;
    if (value)
        *value = slot->word;
    return SOMA_OK;
}

/* At most BATCH keys: all lines are asked for before the first is looked at. */
static size_t get_batch(const struct soma_frozen *frozen, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    uint64_t hashes[BATCH];
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        hashes[i] = soma__mix_hash(&frozen->mix, keys[i]);
        PREFETCH(home_line(frozen, hashes[i]));
    }
    for (size_t i = 0; i < n; i++) {
        const struct frozen_slot *slot = find(frozen, hashes[i]);
        if (slot && values)
            values[i] = slot->word;
        if (found)
            found[i] = slot != NULL;
        hits += slot != NULL;
    }
    return hits;
}

size_t soma_frozen_get_many_u64(const soma_frozen *frozen, const uint64_t *keys, size_t n, uint64_t *values,
                                bool *found)
{
    size_t hits = 0;
    if (!is_kind(frozen, FROZEN_WORDS) || (!keys && n > 0)) {
        MISUSE("frozen is NULL or not of words, or keys is NULL");
        return 0;
    }
    for (size_t i = 0; i < n; i += BATCH)
        hits += get_batch(frozen, keys + i, n - i < BATCH ? n - i : BATCH, values ? values + i : NULL,
                          found ? found + i : NULL);
    return hits;
}

/* ---- Bytes ---- */

static const struct frozen_record *record_at(const struct soma_frozen *frozen, const struct frozen_slot *slot)
{
    return (const struct frozen_record *)(const void *)(frozen->records + slot->word);
}

static const unsigned char *record_value(const struct frozen_record *record)
{
    return (const unsigned char *)(record + 1);
}

static const unsigned char *record_key(const struct frozen_record *record)
{
    return record_value(record) + record->value_len;
}

uint64_t soma__frozen_record_size(const struct frozen_record *record)
{
    return (sizeof *record + (uint64_t)record->key_len + record->value_len + 7) & ~(uint64_t)7;
}

static bool is_key(const struct frozen_record *record, const void *key, size_t key_len)
{
    return record->key_len == key_len && (key_len == 0 || memcmp(record_key(record), key, key_len) == 0);
}

/* Keys of equal hashes stand side by side, copies among them. */
const struct frozen_record *soma__frozen_record(const struct soma_frozen *frozen, const void *key, size_t key_len)
{
    const uint64_t hash = soma__siphash13(frozen->seed, key, key_len);
    const struct frozen_slot *slot = find(frozen, hash);
    for (; slot && slot != frozen->end && slot->hash == hash; slot++) {
        if (LIKELY(is_key(record_at(frozen, slot), key, key_len)))
            return record_at(frozen, slot);
    }
    return NULL;
}

enum soma_status soma_frozen_get_ref(const soma_frozen *frozen, const void *key, size_t key_len,
                                     struct soma_bytes *value)
{
    if (!is_kind(frozen, FROZEN_BYTES) || (!key && key_len > 0)) {
        MISUSE("frozen is NULL or not of byte strings, or key is NULL");
        return SOMA_E_INVALID;
    }
    const struct frozen_record *record = soma__frozen_record(frozen, key, key_len);
    if (!record)
        return SOMA_ABSENT;
    if (value)
        *value = (struct soma_bytes){.data = record_value(record), .len = record->value_len};
    return SOMA_OK;
}

/* ---- Going through ---- */

static bool is_same(const struct frozen_slot *a, const struct frozen_slot *b)
{
    return a->hash == b->hash && a->word == b->word;
}

/* The slot of entry number `index`: from the start before it, one group after the other. */
static const struct frozen_slot *slot_of(const struct soma_frozen *frozen, uint64_t index)
{
    const struct frozen_slot *slot = frozen->table + frozen->starts[index / START_STEP];
    for (uint64_t left = index % START_STEP; left > 0; slot++)
        left -= !is_same(slot, slot + 1);
    return slot;
}

uint64_t soma_frozen_count(const soma_frozen *frozen)
{
    return LIVES_OR_SAYS(frozen, WHAT_FROZEN) ? frozen->count : 0;
}

enum soma_status soma_frozen_at_u64(const soma_frozen *frozen, uint64_t index, uint64_t *key, uint64_t *value)
{
    if (!is_kind(frozen, FROZEN_WORDS)) {
        MISUSE("frozen is NULL or not of words");
        return SOMA_E_INVALID;
    }
    if (index >= frozen->count)
        return SOMA_END;
    const struct frozen_slot *slot = slot_of(frozen, index);
    if (key)
        *key = soma__mix_inverse(&frozen->mix, slot->hash);
    if (value)
        *value = slot->word;
    return SOMA_OK;
}

enum soma_status soma_frozen_at_ref(const soma_frozen *frozen, uint64_t index, struct soma_bytes *key,
                                    struct soma_bytes *value)
{
    if (!is_kind(frozen, FROZEN_BYTES)) {
        MISUSE("frozen is NULL or not of byte strings");
        return SOMA_E_INVALID;
    }
    if (index >= frozen->count)
        return SOMA_END;
    const struct frozen_record *record = record_at(frozen, slot_of(frozen, index));
    if (key)
        *key = (struct soma_bytes){.data = record_key(record), .len = record->key_len};
    if (value)
        *value = (struct soma_bytes){.data = record_value(record), .len = record->value_len};
    return SOMA_OK;
}
