/* SPDX-License-Identifier: ISC */
/* entry.c - the view of a session: its entries, their digests, checks and fingerprints. */
#include "sync/sync.h"

#include <string.h>

#include "base/bits.h"
#include "hash/hash.h"
#include "view/view.h"

/* ---- Entries ---- */

void soma__sync_range(struct soma_sync *sync, unsigned bits, uint64_t prefix)
{
    (void)soma_cursor_range(sync->cursor, bits, prefix);
}

enum soma_status soma__sync_entry(struct soma_sync *sync, struct walk_entry *out)
{
    const enum soma_status status = soma__cursor_next(sync->cursor, out);
    return status < 0 ? soma__sync_fail(sync, status, "no memory for an entry") : status;
}

static uint64_t hash_of(const struct soma_sync *sync, struct soma_bytes key)
{
    const struct core *core = sync->core;
    if (!sync->words)
        return soma__siphash13(core->hash.sip.key, key.data, key.len) & core->hash.sip.mask;
    uint64_t word;
    memcpy(&word, key.data, sizeof word);
    return soma__mix_hash(&core->hash.mix, word);
}

struct walk_entry soma__sync_entry_of(const struct soma_sync *sync, const struct record *record)
{
    struct walk_entry entry = {
        .words = {record->words[0], record->words[1]}, .key = record->key, .value = record->value};
    if (sync->words)
        entry.key = (struct soma_bytes){.data = record->words, .len = sizeof record->words[0]};
    if (sync->words)
        entry.value = (struct soma_bytes){.data = record->words + 1, .len = sizeof record->words[1]};
    entry.hash = hash_of(sync, entry.key);
    return entry;
}

enum soma_status soma__sync_look_up(struct soma_sync *sync, struct soma_bytes key, struct soma_bytes *value)
{
    struct wire_out *room = &sync->room;
    if (sync->words) {
        uint64_t word;
        uint64_t found = 0;
        memcpy(&word, key.data, sizeof word);
        const enum soma_status status = soma_view_get_u64(sync->view, word, &found);
        memcpy(room->data, &found, sizeof found);
        *value = (struct soma_bytes){.data = room->data, .len = sizeof found};
        return status;
    }
    for (;;) {
        size_t len = 0;
        const enum soma_status status = soma_view_get_copy(sync->view, key.data, key.len, room->data, room->cap, &len);
        *value = (struct soma_bytes){.data = room->data, .len = len};
        if (status != SOMA_OK || len <= room->cap)
            return status;
        room->len = 0;
        if (!soma__wire_room(room, len))
            return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a value");
    }
}

/* ---- Digests ---- */

struct soma_digest soma__sync_range_digest(const struct soma_sync *sync, unsigned bits, uint64_t prefix)
{
    struct soma_digest digest = {.count = 0};
    (void)soma_view_range_digest(sync->view, bits, prefix, &digest);
    return digest;
}

/* The hashes below `from` are one range for each bit that it has: those that have a 0 there, and are like it above. */
struct soma_digest soma__sync_before(const struct soma_sync *sync, uint64_t from)
{
    struct soma_digest sum = {.count = 0};
    for (unsigned bits = 1; bits <= 64; bits++) {
        const uint64_t prefix = from >> (64 - bits);
        if ((prefix & 1) == 0)
            continue;
        const struct soma_digest part = soma__sync_range_digest(sync, bits, prefix ^ 1);
        sum = soma_digest_combine(&sum, &part);
    }
    return sum;
}

struct soma_digest soma__sync_entry_digest(const struct soma_sync *sync, struct soma_bytes key, struct soma_bytes value)
{
    struct soma_digest digest = {.count = 1};
    soma__digest_lanes(sync->core->digest_key, soma__entry_fnv(sync->words, key, value), digest.lane);
    return digest;
}

uint32_t soma__sync_check(const struct soma_sync *sync, const struct soma_digest *digest)
{
    unsigned char bytes[24];
    bits_put_little(bytes, digest->lane[0], 8);
    bits_put_little(bytes + 8, digest->lane[1], 8);
    bits_put_little(bytes + 16, digest->count, 8);
    return (uint32_t)soma__siphash13(sync->key, bytes, sizeof bytes);
}

uint32_t soma__sync_fingerprint(const struct soma_sync *sync, const struct walk_entry *entry)
{
    const struct soma_digest digest = soma__sync_entry_digest(sync, entry->key, entry->value);
    return soma__sync_check(sync, &digest);
}

uint64_t soma__sync_agreement(const struct soma_sync *sync)
{
    const struct core *core = sync->core;
    unsigned char bytes[24];
    size_t len = 0;
    if (sync->words) {
        bits_put_little(bytes, core->hash.mix.second, 8);
        len = 8;
    }
    bits_put_little(bytes + len, core->digest_key[0], 8);
    bits_put_little(bytes + len + 8, core->digest_key[1], 8);
    const uint64_t of_words[2] = {core->hash.mix.salt, core->hash.mix.first};
    return soma__siphash24(sync->words ? of_words : core->hash.sip.key, bytes, len + 16);
}
