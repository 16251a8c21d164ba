/* SPDX-License-Identifier: ISC */
/* copy.c - a new map with what a view shows, and whether two views show the same. A cursor reads, in short sections. */
#include <soma/copy.h>
#include <soma/cursor.h>

#include <string.h>

#include "base/check.h"
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
    return copy->progress ? copy->progress(copy->done, copy->total, copy->ctx) : SOMA_OK;
}

/* ---- Words ---- */

/* Up to `most` entries. */
static enum soma_status copy_words(struct copy *copy, uint64_t most)
{
    uint64_t keys[COPY_WORDS];
    uint64_t values[COPY_WORDS];
    while (most > 0) {
        size_t n = 0;
        while (n < COPY_WORDS && n < most && soma_cursor_next_u64(copy->from, &keys[n], &values[n]) == SOMA_OK)
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
    if (copy.total > 0)
        status = core_reserve(into, copy.total);
    if (!keep_room)
        soma__dir_unreserve(&into->dir);
    if (status == SOMA_OK)
        status = copy_all(&copy);
    soma_cursor_close(copy.from);
    return status;
}

/* The kind of map that a view is of, or neither. */
static bool is_of(const soma_view *view, bool words)
{
    return view && view->core->kind->words == words;
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

/* ---- Comparing ---- */

static enum soma_status same_words(soma_cursor *cursor, const soma_view *b, bool *equal)
{
    uint64_t key;
    uint64_t value;
    while (*equal && soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK) {
        uint64_t other = 0;
        *equal = soma_view_get_u64(b, key, &other) == SOMA_OK && other == value;
    }
    return SOMA_OK;
}

/* Whether the value of this length under the key is these bytes; `room` is as long. */
static bool same_value(const soma_view *b, struct soma_bytes key, struct soma_bytes value, void *room)
{
    size_t len = 0;
    return soma_view_get_copy(b, key.data, key.len, room, value.len, &len) == SOMA_OK && len == value.len &&
           (len == 0 || memcmp(room, value.data, len) == 0);
}

#define EQUAL_ROOM 256

static enum soma_status same_bytes(soma_cursor *cursor, const soma_view *b, bool *equal)
{
    unsigned char small[EQUAL_ROOM];
    struct soma_bytes key;
    struct soma_bytes value;
    enum soma_status status = SOMA_OK;
    while (*equal && (status = soma_cursor_next_ref(cursor, &key, &value)) == SOMA_OK) {
        void *room = value.len > sizeof small ? soma__mem_alloc(value.len) : small;
        if (!room)
            return SOMA_E_NOMEM;
        *equal = same_value(b, key, value, room);
        if (room != small)
            soma__mem_free(room, value.len);
    }
    return status < 0 ? status : SOMA_OK;
}

enum soma_status soma_view_equal(const soma_view *a, const soma_view *b, bool *equal)
{
    if (!a || !b || !equal || !is_of(b, a->core->kind->words)) {
        MISUSE("a view or equal is NULL, or the views are of different kinds of map");
        return SOMA_E_INVALID;
    }
    soma_cursor *cursor;
    enum soma_status status = soma_cursor_open_view(a, &cursor);
    if (status != SOMA_OK)
        return status;
    bool same = soma_view_count(a) == soma_view_count(b);
    status = a->core->kind->words ? same_words(cursor, b, &same) : same_bytes(cursor, b, &same);
    soma_cursor_close(cursor);
    if (status == SOMA_OK)
        *equal = same;
    return status;
}
