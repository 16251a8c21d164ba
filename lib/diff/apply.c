/* SPDX-License-Identifier: ISC */
/* apply.c - patches into maps: all of one, or nothing.
 *
 * Each difference is one compare-and-swap that expects the value before; taking it back is the same with the difference turned
 * round. So neither overwrites what another thread has stored. Differences are made in the patch's order and taken back in the
 * reverse: what is made at any instant is a beginning of the patch.
 *
 * Taking back must not fail. What it may need is had before the first change (mem.h: purses): an entry for each value that is put
 * back; one for each value that goes again, whose dead version stays behind while views are open; and the batches in which
 * all those wait for their readers. At the cap on deferred memory it waits for readers, which is why the caller may not be one. */
#include <string.h>

#include <soma/rcu.h>

#include "base/check.h"
#include "diff/difference.h"
#include "base/guard.h"
#include "diff/patch.h"
#include "map/bytes.h"
#include "map/core.h"
#include "map/map_internal.h"
#include "map/word.h"
#include "mem/mem.h"
#include "rcu/rcu.h"
#include "view/view.h"

/* ---- Looking ---- */

static bool word_fits(const soma_view *view, const struct soma_difference *difference)
{
    uint64_t value;
    const enum soma_status status = soma_view_get_u64(view, difference->word.key, &value);
    if (difference->what == SOMA_INSERTED)
        return status == SOMA_ABSENT;
    return status == SOMA_OK && value == difference->word.before;
}

/* `room` takes the value before. */
static bool string_fits(const soma_view *view, const struct soma_difference *difference, void *room)
{
    const struct soma_bytes before = difference->before;
    size_t len = 0;
    const enum soma_status status =
        soma_view_get_copy(view, difference->key.data, difference->key.len, room, before.len, &len);
    if (difference->what == SOMA_INSERTED)
        return status == SOMA_ABSENT;
    return status == SOMA_OK && soma__bytes_same(before, (struct soma_bytes){.data = room, .len = len});
}

/* The longest value that is to be found. */
static size_t longest_before(struct soma_patch_reader reader)
{
    struct soma_difference difference;
    size_t longest = 0;
    while (!reader.words && soma_patch_next(&reader, &difference) == SOMA_OK) {
        if (difference.before.len > longest)
            longest = difference.before.len;
    }
    return longest;
}

/* Whether a view has what is wanted; *number is of the first difference that it has not. */
static enum soma_status view_fits(const soma_view *view, struct soma_patch_reader reader, uint64_t *number)
{
    const size_t longest = longest_before(reader);
    void *room = longest > 0 ? soma__mem_alloc(longest) : NULL;
    if (longest > 0 && !room)
        return SOMA_E_NOMEM;
    struct soma_difference difference;
    bool fits = true;
    for (*number = 0; fits && soma_patch_next(&reader, &difference) == SOMA_OK; *number += fits)
        fits = reader.words ? word_fits(view, &difference) : string_fits(view, &difference, room);
    if (room)
        soma__mem_free(room, longest);
    return fits ? SOMA_OK : SOMA_CHANGED;
}

enum soma_status soma_patch_fits(const soma_view *view, struct soma_bytes bytes, uint64_t *number)
{
    struct soma_patch_reader reader;
    struct soma_patch_info info;
    enum soma_status status = soma__patch_open(bytes, &info, &reader);
    if (status != SOMA_OK)
        return status;
    if (!LIVES(view, WHAT_VIEW) || view->core->kind->words != info.words) {
        MISUSE("view is NULL, or of the other kind of map than the patch");
        return SOMA_E_INVALID;
    }
    uint64_t first = 0;
    status = view_fits(view, reader, &first);
    if (status == SOMA_CHANGED && number)
        *number = first;
    return status;
}

/* ---- Memory for taking back ---- */

/* Where a difference stands in the patch, and what taking it back may need. */
struct step {
    const unsigned char *at;
    uint64_t key; /* the one before it */
    struct soma__piece *pieces;
};

struct plan {
    struct core *core;
    struct soma_patch_reader first;
    uint64_t count;
    struct step *steps;
    struct soma__piece *chunks;
};

/* Batches that are closed early, since somebody collects them. */
#define CHUNKS_SPARE 8

static size_t entry_most(const struct plan *plan, struct soma_bytes key, struct soma_bytes value)
{
    return plan->core->kind->words ? sizeof(struct word_version) : soma__bytes_entry_most(key.len, value.len);
}

static bool put_aside_for(const struct plan *plan, const struct soma_difference *difference, struct step *step,
                          uint64_t *bytes)
{
    const struct soma_bytes key = difference->key;
    if (difference->what != SOMA_INSERTED) {
        *bytes += entry_most(plan, key, difference->before);
        if (!soma__purse_put(&step->pieces, entry_most(plan, key, difference->before)))
            return false;
    }
    if (difference->what != SOMA_REMOVED) {
        *bytes += entry_most(plan, key, difference->after);
        return soma__purse_put(&step->pieces, entry_most(plan, key, difference->after));
    }
    return true;
}

/* For two retired items a difference: what it replaces, and that one's dead version. */
static bool put_chunks_aside(struct plan *plan, uint64_t bytes)
{
    const uint64_t chunks = 2 * plan->count / SOMA__CHUNK_ITEMS + 2 * bytes / SOMA__CHUNK_RETIRED_BYTES + CHUNKS_SPARE;
    for (uint64_t i = 0; i < chunks; i++) {
        if (!soma__purse_put(&plan->chunks, soma__chunk_bytes()))
            return false;
    }
    return true;
}

static void give_back(struct plan *plan)
{
    for (uint64_t i = 0; i < plan->count; i++)
        soma__purse_drop(&plan->steps[i].pieces);
    soma__purse_drop(&plan->chunks);
    soma__mem_free(plan->steps, plan->count * sizeof *plan->steps);
}

static enum soma_status put_aside(struct plan *plan)
{
    struct soma_patch_reader reader = plan->first;
    struct soma_difference difference;
    uint64_t bytes = 0;
    plan->steps = soma__mem_alloc(plan->count * sizeof *plan->steps); /* a difference has a byte: no overflow */
    if (!plan->steps)
        return SOMA_E_NOMEM;
    memset(plan->steps, 0, plan->count * sizeof *plan->steps);
    bool had = true;
    for (uint64_t i = 0; had && i < plan->count; i++) {
        plan->steps[i].at = reader.at;
        plan->steps[i].key = reader.key;
        had = soma_patch_next(&reader, &difference) == SOMA_OK &&
              put_aside_for(plan, &difference, &plan->steps[i], &bytes);
    }
    if (had && put_chunks_aside(plan, bytes))
        return SOMA_OK;
    give_back(plan);
    return SOMA_E_NOMEM;
}

/* ---- Doing ---- */

/* OK: it is made. CHANGED: the key has not what was wanted. */
static enum soma_status make(struct core *core, const struct soma_difference *difference)
{
    const enum soma_status status = soma__difference_make(core, difference);
    if (status < 0)
        return status;
    return status == difference->what ? SOMA_OK : SOMA_CHANGED;
}

/* ---- Taking back ---- */

/* How often who has no memory tries again after all that can be released has been. */
#define NOMEM_TRIES 16

/* Whether the key has its value before again. */
static bool take_back(struct plan *plan, const struct soma_difference *difference)
{
    const struct soma_difference inverse = soma__difference_inverse(difference);
    unsigned tries = 0;
    for (;;) {
        const enum soma_status status = make(plan->core, &inverse);
        if (status >= 0)
            return status == SOMA_OK;
        if (status == SOMA_E_NOMEM && ++tries > NOMEM_TRIES)
            return false;
        if (status == SOMA_E_NOMEM)
            soma_barrier_wait();
        else
            soma__retire_relieve(&plan->core->owner, true);
    }
}

/* The first `made` differences, from the last. Gives how many keys do not have their values before again. */
static uint64_t take_all_back(struct plan *plan, uint64_t made)
{
    uint64_t kept = 0;
    while (made-- > 0) {
        struct step *step = &plan->steps[made];
        struct soma_patch_reader reader = plan->first;
        struct soma_difference difference;
        reader.at = step->at;
        reader.key = step->key;
        reader.begun = made > 0;
        struct soma__purse purse = {.lists = {step->pieces, plan->chunks}};
        soma__purse_open(&purse);
        kept += soma_patch_next(&reader, &difference) != SOMA_OK || !take_back(plan, &difference);
        soma__purse_open(NULL);
        step->pieces = purse.lists[0];
        plan->chunks = purse.lists[1];
        soma__purse_drop(&step->pieces);
    }
    return kept;
}

/* ---- All of it ---- */

static enum soma_status make_all(struct plan *plan, struct soma_patch_outcome *outcome)
{
    struct soma_patch_reader reader = plan->first;
    struct soma_difference difference;
    outcome->number = 0;
    enum soma_status status = put_aside(plan);
    if (status != SOMA_OK)
        return status;
    uint64_t made = 0;
    for (; made < plan->count; made++) {
        status = soma_patch_next(&reader, &difference);
        if (status == SOMA_OK)
            status = make(plan->core, &difference);
        if (status != SOMA_OK)
            break;
    }
    outcome->number = made;
    if (status != SOMA_OK)
        outcome->kept = take_all_back(plan, made);
    give_back(plan);
    return status;
}

static enum soma_status core_fits(struct core *core, const struct plan *plan, uint64_t *number)
{
    soma_view *view;
    enum soma_status status =
        core->kind->words ? soma_u64_view_open((soma_u64 *)core, &view) : soma_map_view_open((soma_map *)core, &view);
    if (status != SOMA_OK)
        return status;
    status = view_fits(view, plan->first, number);
    soma_view_close(view);
    return status;
}

/* Whether the call makes sense: the map's kind is the patch's, values that leave can come back, the thread may wait. */
static enum soma_status may_apply(const struct core *core, const struct soma_patch_info *info)
{
    if (core->kind->words != info->words) {
        MISUSE("the patch is for the other kind of map");
        return SOMA_E_INVALID;
    }
    if (core->kind->words ? core->value_retire.word != NULL : core->value_retire.bytes != NULL)
        return SOMA_E_UNSUPPORTED;
    const enum soma_status status = soma__retire_may_wait();
    if (status == SOMA_E_INVALID)
        MISUSE("called inside a read section or a retired call, where it might wait for itself");
    return status;
}

static enum soma_status apply(struct core *core, struct soma_bytes bytes, struct soma_patch_outcome *outcome)
{
    struct plan plan = {.core = core};
    struct soma_patch_info info;
    enum soma_status status = soma__patch_open(bytes, &info, &plan.first);
    if (status == SOMA_OK)
        status = may_apply(core, &info);
    if (status == SOMA_E_INVALID || status == SOMA_E_CORRUPT || status == SOMA_E_UNSUPPORTED)
        return status;
    struct soma_patch_outcome found = {.number = 0};
    plan.count = soma__patch_count(&info);
    if (status == SOMA_OK && plan.count > 0)
        status = core_fits(core, &plan, &found.number);
    if (status == SOMA_OK && plan.count > 0)
        status = make_all(&plan, &found);
    if (outcome)
        *outcome = found;
    return status;
}

enum soma_status soma_patch_apply_u64_wait(soma_u64 *map, struct soma_bytes bytes, struct soma_patch_outcome *outcome)
{
    if (!LIVES(map, WHAT_WORDS)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return apply(&map->core, bytes, outcome);
}

enum soma_status soma_patch_apply_map_wait(soma_map *map, struct soma_bytes bytes, struct soma_patch_outcome *outcome)
{
    if (!LIVES(map, WHAT_BYTES)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return apply(&map->core, bytes, outcome);
}
