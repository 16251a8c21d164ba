/* SPDX-License-Identifier: ISC */
/* diff.c - where two views differ, and whether they do. Views of one map are gone through side by side where it has changed since the
 * earlier; views of maps in one order where their digests differ, or everywhere. Else what one has is looked up in the other. */
#include <soma/diff.h>

#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "base/size.h"
#include "map/bytes.h"
#include "map/core.h"
#include "mem/mem.h"
#include "view/view.h"
#include "walk/walk.h"

/* ---- Telling ---- */

struct diff {
    const soma_view *a;
    const soma_view *b;
    bool words;
    bool exact; /* equal digests are no proof */
    soma_diff_fn fn;
    void *ctx;
};

/* A side of the comparison, at an entry. */
struct side {
    soma_cursor *cursor;
    enum soma_status status; /* SOMA_END: there is no entry */
    struct walk_entry entry;
};

static const struct walk_entry nothing;

static enum soma_status tell(const struct diff *diff, enum soma_status what, const struct walk_entry *before,
                             const struct walk_entry *after)
{
    const struct walk_entry *with_key = what == SOMA_INSERTED ? after : before;
    const struct soma_difference difference = {
        .what = what,
        .word = {.key = with_key->words[0], .before = before->words[1], .after = after->words[1]},
        .key = with_key->key,
        .before = before->value,
        .after = after->value,
    };
    CALLOUT_BEGINS(NULL);
    const enum soma_status answer = diff->fn(&difference, diff->ctx);
    CALLOUT_ENDS("soma_diff_views");
    return answer;
}

static enum soma_status tell_if_replaced(const struct diff *diff, const struct walk_entry *before,
                                         const struct walk_entry *after)
{
    return soma__bytes_same(before->value, after->value) ? SOMA_OK : tell(diff, SOMA_REPLACED, before, after);
}

/* ---- Stepping ---- */

static void step(struct side *side)
{
    side->status = soma__cursor_next(side->cursor, &side->entry);
}

/* Which of two entries comes first: that of `a` (< 0), that of `b` (> 0), or they have one key. As in the list of a map. */
static int compare(const struct side *a, const struct side *b)
{
    if (a->status == SOMA_END || b->status == SOMA_END)
        return (a->status == SOMA_END) - (b->status == SOMA_END);
    return soma__key_order(a->entry.hash, a->entry.key, b->entry.hash, b->entry.key);
}

/* ---- Side by side ---- */

static enum soma_status merge(const struct diff *diff, struct side *a, struct side *b)
{
    enum soma_status status = SOMA_OK;
    step(a);
    step(b);
    while (status == SOMA_OK && a->status >= 0 && b->status >= 0 && (a->status == SOMA_OK || b->status == SOMA_OK)) {
        const int order = compare(a, b);
        if (order < 0)
            status = tell(diff, SOMA_REMOVED, &a->entry, &nothing);
        else if (order > 0)
            status = tell(diff, SOMA_INSERTED, &nothing, &b->entry);
        else
            status = tell_if_replaced(diff, &a->entry, &b->entry);
        if (order <= 0)
            step(a);
        if (order >= 0)
            step(b);
    }
    if (status != SOMA_OK)
        return status;
    if (a->status < 0)
        return a->status;
    return b->status < 0 ? b->status : SOMA_OK;
}

/* Two views of one map differ where it has changed after the earlier one. */
static enum soma_status merge_changed(const struct diff *diff, struct side *a, struct side *b)
{
    const struct soma__clock *clock = &diff->a->core->clock;
    const uint64_t after = diff->a->at < diff->b->at ? diff->a->at : diff->b->at;
    enum soma_status status = SOMA_OK;
    uint64_t first = 0;
    uint64_t last = 0;
    while (status == SOMA_OK && soma__clock_changed_next(clock, after, &first, &last)) {
        soma__cursor_between(a->cursor, first, last);
        soma__cursor_between(b->cursor, first, last);
        status = merge(diff, a, b);
        first = last + 1;
        if (first == 0)
            break;
    }
    return status;
}

/* Entries of both sides, up to which a range is gone through instead of divided. */
#define MERGE_ENTRIES SIZED(128, 2)

static enum soma_status merge_range(const struct diff *diff, struct side *a, struct side *b, unsigned bits,
                                    uint64_t prefix)
{
    (void)soma_cursor_range(a->cursor, bits, prefix);
    (void)soma_cursor_range(b->cursor, bits, prefix);
    return merge(diff, a, b);
}

/* Views of two maps in one order, with one digest key: goes down to the ranges whose digests differ, by halves. */
static enum soma_status descend(const struct diff *diff, struct side *a, struct side *b, unsigned bits, uint64_t prefix)
{
    struct soma_digest of_a;
    struct soma_digest of_b;
    (void)soma_view_range_digest(diff->a, bits, prefix, &of_a);
    (void)soma_view_range_digest(diff->b, bits, prefix, &of_b);
    if (soma_digest_equal(&of_a, &of_b))
        return SOMA_OK;
    if (bits == 64 || of_a.count + of_b.count <= MERGE_ENTRIES)
        return merge_range(diff, a, b, bits, prefix);
    const enum soma_status status = descend(diff, a, b, bits + 1, prefix << 1);
    return status == SOMA_OK ? descend(diff, a, b, bits + 1, prefix << 1 | 1) : status;
}

/* ---- By looking up ---- */

/* Room for the value that is looked up. */
struct room {
    void *data;
    size_t cap;
};

static void room_free(struct room *room)
{
    if (room->data)
        soma__mem_free(room->data, room->cap);
}

static enum soma_status room_for(struct room *room, size_t size)
{
    void *data = soma__mem_alloc(size);
    if (!data)
        return SOMA_E_NOMEM;
    room_free(room);
    *room = (struct room){.data = data, .cap = size};
    return SOMA_OK;
}

/* What a view has under an entry's key: OK or ABSENT. */
static enum soma_status look_up(const struct diff *diff, const soma_view *view, const struct walk_entry *entry,
                                struct room *room, struct walk_entry *found)
{
    *found = (struct walk_entry){.words = {entry->words[0], 0}};
    if (diff->words) {
        found->value = (struct soma_bytes){.data = &found->words[1], .len = sizeof found->words[1]};
        return soma_view_get_u64(view, entry->words[0], &found->words[1]);
    }
    for (;;) {
        size_t len = 0;
        enum soma_status status =
            soma_view_get_copy(view, entry->key.data, entry->key.len, room->data, room->cap, &len);
        if (status == SOMA_OK && len > room->cap) {
            status = room_for(room, len);
            if (status == SOMA_OK)
                continue;
        }
        found->value = (struct soma_bytes){.data = room->data, .len = len};
        return status;
    }
}

/* Tells of what `from` has and the other has not and, if `from` is the first, of what both have with other values. */
static enum soma_status one_way(const struct diff *diff, struct side *from, const soma_view *other, bool first)
{
    struct room room = {.data = NULL};
    enum soma_status status = SOMA_OK;
    for (step(from); from->status == SOMA_OK; step(from)) {
        struct walk_entry found;
        status = look_up(diff, other, &from->entry, &room, &found);
        if (status == SOMA_ABSENT)
            status = first ? tell(diff, SOMA_REMOVED, &from->entry, &nothing)
                           : tell(diff, SOMA_INSERTED, &nothing, &from->entry);
        else if (status == SOMA_OK && first)
            status = tell_if_replaced(diff, &from->entry, &found);
        if (status != SOMA_OK)
            break;
    }
    room_free(&room);
    return status == SOMA_OK && from->status < 0 ? from->status : status;
}

static enum soma_status both_ways(const struct diff *diff, struct side *a, struct side *b)
{
    const enum soma_status status = one_way(diff, a, diff->b, true);
    return status == SOMA_OK ? one_way(diff, b, diff->a, false) : status;
}

/* ---- Both ---- */

static bool same_order(const struct diff *diff)
{
    const struct core *a = diff->a->core;
    const struct core *b = diff->b->core;
    if (diff->words)
        return memcmp(&a->hash.mix, &b->hash.mix, sizeof a->hash.mix) == 0;
    return memcmp(&a->hash.sip, &b->hash.sip, sizeof a->hash.sip) == 0;
}

static bool same_digests(const struct diff *diff)
{
    const struct core *a = diff->a->core;
    const struct core *b = diff->b->core;
    return core_digests(a) && core_digests(b) && memcmp(a->digest_key, b->digest_key, sizeof a->digest_key) == 0;
}

static enum soma_status compare_all(const struct diff *diff, struct side *a, struct side *b)
{
    enum soma_status status = soma_cursor_open_view(diff->a, &a->cursor);
    if (status != SOMA_OK)
        return status;
    status = soma_cursor_open_view(diff->b, &b->cursor);
    if (status != SOMA_OK)
        return status;
    if (diff->a->core == diff->b->core)
        return merge_changed(diff, a, b);
    if (!same_order(diff))
        return both_ways(diff, a, b);
    return !diff->exact && same_digests(diff) ? descend(diff, a, b, 0, 0) : merge(diff, a, b);
}

static enum soma_status compare_views(const soma_view *a, const soma_view *b, bool exact, soma_diff_fn fn, void *ctx)
{
    const struct diff diff = {.a = a, .b = b, .words = a->core->kind->words, .exact = exact, .fn = fn, .ctx = ctx};
    struct side sides[2] = {{.cursor = NULL}, {.cursor = NULL}};
    const enum soma_status status = compare_all(&diff, &sides[0], &sides[1]);
    soma_cursor_close(sides[0].cursor);
    soma_cursor_close(sides[1].cursor);
    return status;
}

/* Whether they are views, of one kind of map. */
static bool comparable(const soma_view *a, const soma_view *b)
{
    return LIVES(a, WHAT_VIEW) && LIVES(b, WHAT_VIEW) && a->core->kind->words == b->core->kind->words;
}

enum soma_status soma_diff_views(const soma_view *a, const soma_view *b, soma_diff_fn fn, void *ctx)
{
    if (!comparable(a, b) || !fn) {
        MISUSE("a view or fn is NULL, or the views are of different kinds of map");
        return SOMA_E_INVALID;
    }
    return compare_views(a, b, false, fn, ctx);
}

static enum soma_status at_first(const struct soma_difference *difference, void *ctx)
{
    (void)difference, (void)ctx;
    return SOMA_CHANGED;
}

enum soma_status soma_view_equal(const soma_view *a, const soma_view *b, bool *equal)
{
    if (!comparable(a, b) || !equal) {
        MISUSE("a view or equal is NULL, or the views are of different kinds of map");
        return SOMA_E_INVALID;
    }
    const enum soma_status status = compare_views(a, b, true, at_first, NULL);
    if (status < 0)
        return status;
    *equal = status == SOMA_OK;
    return SOMA_OK;
}
