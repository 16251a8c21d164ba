/* SPDX-License-Identifier: ISC */
/* sorted.c - cursors that go through a view in the order of its keys. The list is in the order of hashes, so there is no other way
 * than to copy the view and sort the copy. Places are ranks. */
#include "walk/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "mem/mem.h"

/* Bytes of keys and values are kept in blocks of this size, or of one entry's that is larger. */
#define BLOCK_BYTES SIZED(((size_t)1 << 20) - 64, 64)
#define VALUE_ALIGN sizeof(uint64_t)

struct sorted_word {
    uint64_t key;
    uint64_t value;
};

/* The value, and the key behind it. */
struct sorted_item {
    const unsigned char *at;
    uint32_t value_len;
    uint32_t key_len;
    uint64_t version;
};

struct block {
    struct block *next;
    size_t size; /* of all of it */
    unsigned char data[];
};

struct walk_sorted {
    uint64_t count;
    uint64_t first; /* the part: ranks from first up to but not with end */
    uint64_t end;
    uint64_t next;
    bool given; /* the one before next was the last answer */
    struct block *blocks;
    size_t left; /* bytes in the first block that are free */
    size_t size; /* of all of this */
    union {
        struct sorted_word words[1]; /* as many as there are */
        struct sorted_item items[1];
    } all;
};

/* ---- Orders ---- */

static int compare_words(const void *a, const void *b)
{
    const uint64_t x = ((const struct sorted_word *)a)->key;
    const uint64_t y = ((const struct sorted_word *)b)->key;
    return x < y ? -1 : x > y;
}

static int compare_items(const void *a, const void *b)
{
    const struct sorted_item *x = a;
    const struct sorted_item *y = b;
    const size_t shorter = x->key_len < y->key_len ? x->key_len : y->key_len;
    const int order = shorter ? memcmp(x->at + x->value_len, y->at + y->value_len, shorter) : 0;
    return order ? order : x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

/* ---- Filling ---- */

static struct block *block_add(struct walk_sorted *sorted, size_t least)
{
    const size_t room = least > BLOCK_BYTES ? least : BLOCK_BYTES;
    struct block *block = soma__mem_alloc(sizeof *block + room);
    if (!block)
        return NULL;
    block->next = sorted->blocks;
    block->size = sizeof *block + room;
    sorted->blocks = block;
    sorted->left = room;
    return block;
}

static unsigned char *block_room(struct walk_sorted *sorted, size_t size)
{
    struct block *block = sorted->blocks;
    if (!block || size > sorted->left)
        block = block_add(sorted, size);
    if (!block)
        return NULL;
    unsigned char *room = block->data + (block->size - sizeof *block - sorted->left);
    sorted->left -= size;
    return room;
}

static enum soma_status take_words(struct soma_cursor *cursor, struct walk_sorted *sorted)
{
    struct sorted_word word;
    for (; soma_cursor_next_u64(cursor, &word.key, &word.value) == SOMA_OK; sorted->count++)
        sorted->all.words[sorted->count] = word;
    qsort(sorted->all.words, sorted->count, sizeof word, compare_words);
    return SOMA_OK;
}

static size_t item_size(const struct soma__entry *entry)
{
    return (entry->value.len + entry->key.len + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
}

static enum soma_status take_items(struct soma_cursor *cursor, struct walk_sorted *sorted)
{
    struct soma__entry entry = {.version = 0};
    enum soma_status status;
    for (; (status = soma_cursor_next_ref(cursor, NULL, NULL)) == SOMA_OK; sorted->count++) {
        soma__cursor_given(cursor, &entry);
        unsigned char *at = block_room(sorted, item_size(&entry));
        if (!at)
            return SOMA_E_NOMEM;
        if (entry.value.len > 0)
            memcpy(at, entry.value.data, entry.value.len);
        if (entry.key.len > 0)
            memcpy(at + entry.value.len, entry.key.data, entry.key.len);
        sorted->all.items[sorted->count] = (struct sorted_item){.at = at,
                                                                .value_len = (uint32_t)entry.value.len,
                                                                .key_len = (uint32_t)entry.key.len,
                                                                .version = entry.version};
    }
    if (status != SOMA_END)
        return status;
    qsort(sorted->all.items, sorted->count, sizeof sorted->all.items[0], compare_items);
    return SOMA_OK;
}

/* ---- Walking ---- */

static enum soma_status next_rank(struct walk_sorted *sorted, uint64_t *rank)
{
    sorted->given = sorted->next < sorted->end;
    if (!sorted->given)
        return SOMA_END;
    *rank = sorted->next++;
    return SOMA_OK;
}

enum soma_status soma__sorted_next_u64(struct walk_sorted *sorted, uint64_t *key, uint64_t *value)
{
    uint64_t rank;
    const enum soma_status status = next_rank(sorted, &rank);
    if (status != SOMA_OK)
        return status;
    if (key)
        *key = sorted->all.words[rank].key;
    if (value)
        *value = sorted->all.words[rank].value;
    return SOMA_OK;
}

static struct soma__entry item_at(const struct walk_sorted *sorted, uint64_t rank)
{
    const struct sorted_item *item = &sorted->all.items[rank];
    return (struct soma__entry){.key = {.data = item->at + item->value_len, .len = item->key_len},
                                .value = {.data = item->at, .len = item->value_len},
                                .version = item->version};
}

enum soma_status soma__sorted_next_ref(struct walk_sorted *sorted, struct soma_bytes *key, struct soma_bytes *value)
{
    uint64_t rank;
    const enum soma_status status = next_rank(sorted, &rank);
    if (status != SOMA_OK)
        return status;
    const struct soma__entry entry = item_at(sorted, rank);
    if (key)
        *key = entry.key;
    if (value)
        *value = entry.value;
    return SOMA_OK;
}

bool soma__sorted_given(const struct walk_sorted *sorted, struct soma__entry *given)
{
    if (sorted->given)
        *given = item_at(sorted, sorted->next - 1);
    return sorted->given;
}

uint64_t soma__sorted_token(const struct walk_sorted *sorted)
{
    return sorted->next;
}

void soma__sorted_seek(struct walk_sorted *sorted, uint64_t token)
{
    sorted->next = token < sorted->first ? sorted->first : token;
    sorted->given = false;
}

void soma__sorted_part(struct walk_sorted *sorted, uint32_t part, uint32_t parts)
{
    const uint64_t width = sorted->count / parts;
    const uint64_t rest = sorted->count % parts; /* one more for each of the first parts */
    sorted->first = part * width + (part < rest ? part : rest);
    sorted->end = sorted->first + width + (part < rest);
    sorted->next = sorted->first;
    sorted->given = false;
}

/* ---- Birth and death ---- */

void soma__sorted_free(struct walk_sorted *sorted)
{
    while (sorted->blocks) {
        struct block *block = sorted->blocks;
        sorted->blocks = block->next;
        soma__mem_free(block, block->size);
    }
    soma__mem_free(sorted, sorted->size);
}

/* All that an open cursor over a view will give. NULL: no memory. */
static struct walk_sorted *sorted_new(struct soma_cursor *cursor, uint64_t count)
{
    const size_t each = cursor->kind == KIND_WORDS ? sizeof(struct sorted_word) : sizeof(struct sorted_item);
    if (count > (SIZE_MAX - sizeof(struct walk_sorted)) / each)
        return NULL;
    const size_t size = sizeof(struct walk_sorted) + count * each;
    struct walk_sorted *sorted = soma__mem_alloc(size);
    if (!sorted)
        return NULL;
    *sorted = (struct walk_sorted){.size = size};
    if ((cursor->kind == KIND_WORDS ? take_words(cursor, sorted) : take_items(cursor, sorted)) != SOMA_OK) {
        soma__sorted_free(sorted);
        return NULL;
    }
    soma__sorted_part(sorted, 0, 1);
    return sorted;
}

enum soma_status soma_cursor_open_sorted(const soma_view *view, soma_cursor **out)
{
    if (!LIVES(view, WHAT_VIEW) || !out) {
        MISUSE("view or out is NULL");
        return SOMA_E_INVALID;
    }
    soma_cursor *cursor = NULL;
    const enum soma_status status = soma_cursor_open_view(view, &cursor);
    if (status != SOMA_OK)
        return status;
    cursor->sorted = sorted_new(cursor, soma_view_count(view));
    if (!cursor->sorted) {
        soma_cursor_close(cursor);
        return SOMA_E_NOMEM;
    }
    BORN(cursor, WHAT_CURSOR, NULL); /* the view and the map may go */
    *out = cursor;
    return SOMA_OK;
}
