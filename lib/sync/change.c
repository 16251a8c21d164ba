/* SPDX-License-Identifier: ISC */
/* change.c - what is to change in a slice. It is kept aside as it comes; once all of it is there, it is sorted by
 * key, what it comes to is compared with what the other side has, and only then it goes into the map: entry by entry,
 * each only if the map still has what the view has. */
#include "sync/sync.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/size.h"
#include "diff/difference.h"
#include "map/bytes.h"
#include "mem/mem.h"

/* ---- What grows ---- */

#define ROOM_FIRST SIZED(64, 2)

bool soma__sync_room(void *vector, size_t n, size_t *cap, size_t size)
{
    void *old;
    if (n < *cap)
        return true;
    const size_t more = *cap ? *cap + (*cap + 1) / 2 : ROOM_FIRST;
    memcpy(&old, vector, sizeof old);
    void *fresh = soma__mem_grow(old, *cap * size, n * size, more * size);
    if (!fresh)
        return false;
    memcpy(vector, &fresh, sizeof fresh);
    *cap = more;
    return true;
}

bool soma__sync_group(struct groups *groups, struct group group)
{
    if (!soma__sync_room(&groups->at, groups->n, &groups->cap, sizeof *groups->at))
        return false;
    groups->at[groups->n++] = group;
    return true;
}

bool soma__sync_number(struct numbers *numbers, uint32_t number)
{
    if (!soma__sync_room(&numbers->at, numbers->n, &numbers->cap, sizeof *numbers->at))
        return false;
    numbers->at[numbers->n++] = number;
    return true;
}

/* ---- Keeping ---- */

#define BLOCK_BYTES SIZED(1 << 16, 64)

struct block {
    struct block *next;
    size_t size;
    size_t used;
    unsigned char bytes[];
};

static unsigned char *block_room(struct changes *changes, size_t len)
{
    struct block *block = changes->blocks;
    if (!block || len > block->size - block->used) {
        const size_t size = len > BLOCK_BYTES ? len : BLOCK_BYTES;
        block = soma__mem_alloc(sizeof *block + size);
        if (!block)
            return NULL;
        *block = (struct block){.next = changes->blocks, .size = size};
        changes->blocks = block;
        changes->bytes += sizeof *block + size;
    }
    unsigned char *at = block->bytes + block->used;
    block->used += len;
    return at;
}

static void copy(unsigned char *to, struct soma_bytes bytes)
{
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
}

enum soma_status soma__sync_note(struct soma_sync *sync, enum op op, const struct walk_entry *entry)
{
    struct changes *changes = &sync->changes;
    const struct soma_bytes value = op == PUT ? entry->value : (struct soma_bytes){.data = NULL};
    const size_t len = entry->key.len + value.len;
    if (changes->bytes + len > sync->options.staged_bytes_max)
        return soma__sync_fail(sync, SOMA_E_LIMIT, "what differs in a slice is more than staged_bytes_max");
    const size_t cap = changes->cap;
    if (!soma__sync_room(&changes->at, changes->n, &changes->cap, sizeof *changes->at))
        return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a change");
    changes->bytes += (changes->cap - cap) * sizeof *changes->at;
    unsigned char *bytes = block_room(changes, len);
    if (!bytes)
        return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a change");
    copy(bytes, entry->key);
    copy(bytes + entry->key.len, value);
    changes->at[changes->n++] = (struct change){.hash = entry->hash,
                                                .bytes = bytes,
                                                .key_len = (uint32_t)entry->key.len,
                                                .value_len = (uint32_t)value.len,
                                                .op = (uint8_t)op};
    return SOMA_OK;
}

void soma__sync_forget(struct soma_sync *sync)
{
    struct changes *changes = &sync->changes;
    while (changes->blocks) {
        struct block *block = changes->blocks;
        changes->blocks = block->next;
        soma__mem_free(block, sizeof *block + block->size);
    }
    if (changes->at)
        soma__mem_free(changes->at, changes->cap * sizeof *changes->at);
    *changes = (struct changes){.n = 0};
}

struct soma_bytes soma__sync_key(const struct change *change)
{
    return (struct soma_bytes){.data = change->bytes, .len = change->key_len};
}

struct soma_bytes soma__sync_value(const struct change *change)
{
    return (struct soma_bytes){.data = change->bytes + change->key_len, .len = change->value_len};
}

int soma__sync_compare(uint64_t hash, struct soma_bytes key, const struct change *change)
{
    return soma__key_order(hash, key, change->hash, soma__sync_key(change));
}

/* ---- Settling ---- */

static int by_key_then_op(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    const int order = soma__sync_compare(x->hash, soma__sync_key(x), y);
    return order != 0 ? order : x->op - y->op;
}

/* What comes in place of what goes is one change. Anything else that is said of a key twice is nonsense. */
static bool settle_pair(const struct change *change, struct change *next)
{
    if (soma__sync_compare(change->hash, soma__sync_key(change), next) != 0)
        return true;
    const bool replacing = change->op == PUT && next->op == REMOVE;
    next->op = NOTHING;
    return replacing;
}

/* Against the view: what the slice's digest would lose and win. */
static enum soma_status settle_one(struct soma_sync *sync, struct change *change)
{
    struct soma_bytes old;
    const struct soma_bytes key = soma__sync_key(change);
    const struct soma_bytes value = soma__sync_value(change);
    struct soma_digest digest;
    if (change->op != PUT && change->op != REMOVE)
        return SOMA_OK;
    const enum soma_status found = soma__sync_look_up(sync, key, &old);
    if (found < 0)
        return found;
    if (found == SOMA_OK) {
        digest = soma__sync_entry_digest(sync, key, old);
        sync->slice_result = soma__digest_less(sync->slice_result, digest);
        change->replaces = change->op == PUT;
    }
    if (change->op == REMOVE)
        return SOMA_OK;
    digest = soma__sync_entry_digest(sync, key, value);
    sync->slice_result = soma_digest_combine(&sync->slice_result, &digest);
    if (change->replaces && soma__bytes_same(old, value))
        change->op = NOTHING;
    return SOMA_OK;
}

enum soma_status soma__sync_settle(struct soma_sync *sync)
{
    struct changes *changes = &sync->changes;
    sync->slice_result = sync->slice_mine;
    if (changes->n > 0)
        qsort(changes->at, changes->n, sizeof *changes->at, by_key_then_op);
    for (size_t i = 0; i + 1 < changes->n; i++) {
        if (!settle_pair(&changes->at[i], &changes->at[i + 1]))
            return soma__sync_fail(sync, SOMA_E_CORRUPT, "a key comes or goes twice");
    }
    for (size_t i = 0; i < changes->n; i++) {
        const enum soma_status status = settle_one(sync, &changes->at[i]);
        if (status < 0)
            return status;
    }
    return SOMA_OK;
}

/* ---- Putting into the map ---- */

static struct soma_difference difference_of(const struct soma_sync *sync, const struct change *change,
                                            struct soma_bytes old)
{
    struct soma_difference difference = {.what = SOMA_INSERTED, .key = soma__sync_key(change)};
    if (change->op == REMOVE || change->replaces) {
        difference.what = change->op == REMOVE ? SOMA_REMOVED : SOMA_REPLACED;
        difference.before = old;
    }
    if (change->op != REMOVE)
        difference.after = soma__sync_value(change);
    if (sync->words)
        soma__difference_words(&difference);
    return difference;
}

static void count(struct soma_sync_result *result, enum soma_status done)
{
    if (done == SOMA_INSERTED)
        result->inserted++;
    else if (done == SOMA_REPLACED)
        result->replaced++;
    else if (done == SOMA_REMOVED)
        result->removed++;
    else
        result->kept++; /* EXISTS, CHANGED, ABSENT: it is not any more what it was */
}

static enum soma_status tell(const struct soma_sync *sync, const struct soma_difference *difference)
{
    if (!sync->options.change)
        return SOMA_OK;
    CALLOUT_BEGINS(NULL);
    const enum soma_status answer = sync->options.change(difference, sync->options.ctx);
    CALLOUT_ENDS("soma_sync_options.change");
    return answer;
}

static enum soma_status apply_one(struct soma_sync *sync, const struct change *change)
{
    struct soma_bytes old;
    const enum soma_status found = soma__sync_look_up(sync, soma__sync_key(change), &old);
    if (found < 0)
        return found;
    const struct soma_difference difference = difference_of(sync, change, old);
    const enum soma_status told = tell(sync, &difference);
    if (told != SOMA_OK)
        return soma__sync_ended(sync, told, "ended by the program's function for changes");
    const enum soma_status done =
        sync->options.look_only ? difference.what : soma__difference_make(sync->core, &difference);
    if (done < 0)
        return soma__sync_fail(sync, done, "a part of the last slice could not be put into the map");
    count(&sync->result, done);
    return SOMA_OK;
}

enum soma_status soma__sync_apply(struct soma_sync *sync)
{
    const struct changes *changes = &sync->changes;
    for (size_t i = 0; i < changes->n; i++) {
        const struct change *change = &changes->at[i];
        if (change->op != PUT && change->op != REMOVE)
            continue;
        const enum soma_status status = apply_one(sync, change);
        if (status != SOMA_OK)
            return status;
    }
    return SOMA_OK;
}
