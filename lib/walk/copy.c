/* SPDX-License-Identifier: ISC */
/* copy.c - a new map with what a view shows. A cursor reads, in short sections. */
#include <soma/copy.h>
#include <soma/cursor.h>

#include "base/check.h"
#include "base/guard.h"
#include "dir/dir.h"
#include "map/core.h"
#include "mem/mem.h"
#include "view/view.h"

/* Entries between two calls of who wants to know how far it is. */
#define COPY_CHUNK SIZED(1024, 2)
/* Words put at a time. */
#define COPY_WORDS SIZED(128, 2)

struct copy {
    struct core *into;
    soma_cursor *from;
    soma_copy_fn progress;
    void *ctx;
    uint64_t done;
    uint64_t total;
};

static enum soma_status told(const struct copy *copy)
{
    if (!copy->progress)
        return SOMA_OK;
    CALLOUT_BEGINS(NULL);
    const enum soma_status answer = copy->progress(copy->done, copy->total, copy->ctx);
    CALLOUT_ENDS("soma_*_copy");
    return answer;
}

/* ---- Words ---- */

_Static_assert(COPY_CHUNK % COPY_WORDS == 0, "a chunk is some stretches");

/* Up to `most` entries, in stretches. */
static enum soma_status copy_words(struct copy *copy, uint64_t most)
{
    uint64_t keys[COPY_WORDS];
    uint64_t values[COPY_WORDS];
    while (most > 0) {
        size_t n = 0;
        while (n < COPY_WORDS && soma_cursor_next_u64(copy->from, &keys[n], &values[n]) == SOMA_OK)
            n++;
        if (n == 0)
            return SOMA_END;
        const enum soma_status status = soma_u64_put_many((soma_u64 *)copy->into, keys, values, n, NULL);
        if (status < 0)
            return status;
        copy->done += n;
        most -= n;
    }
    return SOMA_OK;
}

/* ---- Bytes ---- */

static enum soma_status copy_bytes(struct copy *copy, uint64_t most)
{
    struct soma_bytes key;
    struct soma_bytes value;
    for (; most > 0; most--) {
        enum soma_status status = soma_cursor_next_ref(copy->from, &key, &value);
        if (status != SOMA_OK)
            return status;
        status = soma_map_put((soma_map *)copy->into, key.data, key.len, value.data, value.len, NULL);
        if (status < 0)
            return status;
        copy->done++;
    }
    return SOMA_OK;
}

/* ---- Both ---- */

static enum soma_status copy_all(struct copy *copy)
{
    enum soma_status status = told(copy);
    while (status == SOMA_OK) {
        status = copy->into->kind->words ? copy_words(copy, COPY_CHUNK) : copy_bytes(copy, COPY_CHUNK);
        const bool ended = status == SOMA_END;
        if (status == SOMA_OK || ended)
            status = told(copy);
        if (status == SOMA_OK && ended)
            return SOMA_OK;
    }
    return status;
}

/* Copies into a map that nobody else knows, and is empty. */
static enum soma_status copy_into(const soma_view *view, struct core *into, bool keep_room, soma_copy_fn progress,
                                  void *ctx)
{
    struct copy copy = {.into = into, .progress = progress, .ctx = ctx, .total = soma_view_count(view)};
    enum soma_status status = soma_cursor_open_view(view, &copy.from);
    if (status != SOMA_OK)
        return status;
    /* Where there is no room for so many buckets, chains grow, as in any map. */
    if (copy.total > 0)
        (void)core_reserve(into, copy.total);
    if (!keep_room)
        soma__dir_unreserve(&into->dir);
    status = copy_all(&copy);
    soma_cursor_close(copy.from);
    return status;
}

/* The kind of map that a view is of, or neither. */
static bool is_of(const soma_view *view, bool words)
{
    return LIVES(view, WHAT_VIEW) && view->core->kind->words == words;
}

enum soma_status soma_u64_copy(const soma_view *view, const struct soma_u64_options *options, soma_copy_fn progress,
                               void *ctx, soma_u64 **out)
{
    if (!out || !is_of(view, true)) {
        MISUSE("out or view is NULL, or view is of a byte map");
        return SOMA_E_INVALID;
    }
    soma_u64 *copy;
    enum soma_status status = soma_u64_new(options, &copy);
    if (status != SOMA_OK)
        return status;
    struct core *core = (struct core *)copy;
    status = copy_into(view, core, options && options->reserve > 0, progress, ctx);
    if (status != SOMA_OK) {
        core->value_retire.word = NULL; /* the values are the other map's */
        soma_u64_free(copy);
        return status;
    }
    *out = copy;
    return SOMA_OK;
}

enum soma_status soma_map_copy(const soma_view *view, const struct soma_map_options *options, soma_copy_fn progress,
                               void *ctx, soma_map **out)
{
    if (!out || !is_of(view, false)) {
        MISUSE("out or view is NULL, or view is of a word map");
        return SOMA_E_INVALID;
    }
    soma_map *copy;
    enum soma_status status = soma_map_new(options, &copy);
    if (status != SOMA_OK)
        return status;
    struct core *core = (struct core *)copy;
    status = copy_into(view, core, options && options->reserve > 0, progress, ctx);
    if (status != SOMA_OK) {
        core->value_retire.bytes = NULL;
        soma_map_free(copy);
        return status;
    }
    *out = copy;
    return SOMA_OK;
}
