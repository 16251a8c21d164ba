/* SPDX-License-Identifier: ISC */
/* make.c - a patch from two views. Differences come in the order of hashes, or in none, and go into the patch in the order of their
 * keys: so all are collected first, one behind the other, with a table of where they are, and the table is sorted. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "diff/difference.h"
#include "base/guard.h"
#include "diff/patch.h"
#include "map/core.h"
#include "view/view.h"

struct item {
    uint64_t head; /* a word; or how a string begins, so that most comparisons end there */
    uintptr_t at;  /* where the record stands: counted from the first one's beginning, and later in memory */
};

/* What is remembered of a difference, in front of its byte strings. */
struct record {
    uint32_t what;
    uint32_t key_len;
    uint32_t before_len;
    uint32_t after_len;
};

struct collection {
    bool words;
    struct wire_out records;
    struct wire_out items;
};

/* ---- Collecting ---- */

/* Strings with different heads are in the order of their heads. */
static uint64_t head_of(struct soma_bytes key)
{
    const unsigned char *bytes = key.data;
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; i++)
        head = head << 8 | (i < key.len ? bytes[i] : 0);
    return head;
}

static enum soma_status collect(const struct soma_difference *difference, void *ctx)
{
    struct collection *all = ctx;
    const struct item item = {.head = all->words ? difference->word.key : head_of(difference->key),
                              .at = all->records.len};
    const struct record record = {.what = (uint32_t)difference->what,
                                  .key_len = (uint32_t)difference->key.len,
                                  .before_len = (uint32_t)difference->before.len,
                                  .after_len = (uint32_t)difference->after.len};
    soma__wire_put(&all->items, &item, sizeof item);
    soma__wire_put(&all->records, &record, sizeof record);
    soma__wire_put(&all->records, difference->key.data, difference->key.len);
    soma__wire_put(&all->records, difference->before.data, difference->before.len);
    soma__wire_put(&all->records, difference->after.data, difference->after.len);
    return all->items.failed || all->records.failed ? SOMA_E_NOMEM : SOMA_OK;
}

static struct soma_difference difference_at(const struct item *item, bool words)
{
    const unsigned char *at = (const unsigned char *)item->at;
    struct record record;
    memcpy(&record, at, sizeof record);
    at += sizeof record;
    struct soma_difference difference = {.what = (enum soma_status)record.what};
    difference.key = (struct soma_bytes){.data = at, .len = record.key_len};
    difference.before = (struct soma_bytes){.data = at + record.key_len, .len = record.before_len};
    difference.after = (struct soma_bytes){.data = at + record.key_len + record.before_len, .len = record.after_len};
    if (words)
        soma__difference_words(&difference);
    return difference;
}

/* ---- Sorting ---- */

static int compare_words(const void *a, const void *b)
{
    const uint64_t x = ((const struct item *)a)->head;
    const uint64_t y = ((const struct item *)b)->head;
    return (x > y) - (x < y);
}

static int compare_strings(const void *a, const void *b)
{
    const int order = compare_words(a, b);
    return order != 0 ? order : soma__bytes_order(difference_at(a, false).key, difference_at(b, false).key);
}

static void add_all(struct patch_writer *writer, const struct collection *all)
{
    struct item *items = (struct item *)(void *)all->items.data;
    const size_t count = all->items.len / sizeof *items;
    for (size_t i = 0; i < count; i++)
        items[i].at += (uintptr_t)all->records.data;
    if (count > 0)
        qsort(items, count, sizeof *items, all->words ? compare_words : compare_strings);
    for (size_t i = 0; i < count; i++) {
        const struct soma_difference difference = difference_at(&items[i], all->words);
        soma__patch_add(writer, &difference);
    }
}

enum soma_status soma_patch_make(const soma_view *a, const soma_view *b, soma_patch **out)
{
    if (!LIVES(a, WHAT_VIEW) || !LIVES(b, WHAT_VIEW) || !out || a->core->kind->words != b->core->kind->words) {
        MISUSE("a view or out is NULL, or the views are of different kinds of map");
        return SOMA_E_INVALID;
    }
    struct collection all = {.words = a->core->kind->words};
    struct patch_writer writer;
    enum soma_status status = soma_diff_views(a, b, collect, &all);
    if (status == SOMA_OK) {
        soma__patch_start(&writer, all.words);
        add_all(&writer, &all);
    }
    soma__wire_free(&all.records);
    soma__wire_free(&all.items);
    return status == SOMA_OK ? soma__patch_finish(&writer, SOMA_OK, out) : status;
}
