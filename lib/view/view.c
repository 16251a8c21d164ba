/* SPDX-License-Identifier: ISC */
/* view.c - opening, asking and closing views. How the map keeps what they see: map/version.h; when that is: stamp.h. */
#include "view/view.h"

#include "base/check.h"
#include "map/scan.h"
#include "map/version.h"
#include "mem/mem.h"
#include "rcu/rcu.h"
#include "stamp/stamp.h"

/* Log2 of the buckets to a mark: more marks take more memory, fewer of them let more unchanged entries be looked at. */
#define MARK_BUCKETS_LOG2 SIZED(2, 1)

static enum soma_status open_wait(struct core *core, soma_view **out)
{
    if (!core || !out) {
        MISUSE("map or out is NULL");
        return SOMA_E_INVALID;
    }
    struct soma_view *view = soma__mem_alloc(sizeof *view);
    if (!view)
        return SOMA_E_NOMEM;
    view->core = core;
    atom_store_rlx(&view->counted, 0); /* VIEW-1: not yet shared */
    const unsigned m = dir_m(soma__dir_state(&core->dir));
    const unsigned leaves_log2 = m > MARK_BUCKETS_LOG2 ? m - MARK_BUCKETS_LOG2 : 0;
    const enum soma_status status = soma__clock_enter_wait(&core->clock, leaves_log2, &view->slot, &view->at);
    if (status != SOMA_OK) {
        soma__mem_free(view, sizeof *view);
        return status;
    }
    *out = view;
    return SOMA_OK;
}

enum soma_status soma_u64_view_open(soma_u64 *map, soma_view **out)
{
    return open_wait((struct core *)map, out);
}

enum soma_status soma_map_view_open(soma_map *map, soma_view **out)
{
    return open_wait((struct core *)map, out);
}

void soma_view_close(soma_view *view)
{
    if (!view)
        return;
    struct core *core = view->core;
    const uint64_t at = view->at;
    soma__clock_leave(&core->clock, view->slot);
    soma__mem_free(view, sizeof *view);
    core_view_closed(core, at);
}

enum soma_status soma_view_get_u64(const soma_view *view, uint64_t key, uint64_t *value)
{
    if (UNLIKELY(!view || !view->core->kind->words)) {
        MISUSE("view is NULL, or of a byte map");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = soma__u64_get_at(view->core, key, view->at, value);
    soma__section_exit(section);
    return status;
}

enum soma_status soma_view_get_version(const soma_view *view, const void *key, size_t key_len, void *buf, size_t cap,
                                       size_t *len, uint64_t *version)
{
    if (UNLIKELY(!view || view->core->kind->words || (!key && key_len > 0) || key_len > SOMA_LEN_MAX ||
                 (!buf && cap > 0))) {
        MISUSE("view is NULL or of a word map, key or buf is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = soma__map_get_at(view->core, key, key_len, view->at, buf, cap, len, version);
    soma__section_exit(section);
    return status;
}

enum soma_status soma_view_get_copy(const soma_view *view, const void *key, size_t key_len, void *buf, size_t cap,
                                    size_t *len)
{
    return soma_view_get_version(view, key, key_len, buf, cap, len, NULL);
}

/* ---- Going through a range ---- */

/* One section's worth; kind is known at compile time. */
ALWAYS_INLINE void sum_some(struct core *core, enum soma__kind kind, struct soma__scan *scan, uint64_t at, bool digests,
                            struct soma_digest *sum)
{
    const struct soma__node *node;
    soma__scan_enter(core, kind, scan);
    while ((node = soma__scan_next(core, kind, scan, at))) {
        sum->count++;
        if (digests) {
            uint64_t lanes[2];
            soma__digest_lanes(core->digest_key, core->kind->fnv(core, node, scan->word), lanes);
            sum->lane[0] += lanes[0];
            sum->lane[1] += lanes[1];
        }
    }
}

/* Of the hashes from `first` to `last`: how many entries there are and, with `digests`, what their digests come to. */
static struct soma_digest sum_of(const struct soma_view *view, uint64_t first, uint64_t last, bool digests)
{
    struct core *core = view->core;
    struct soma_digest sum = {.count = 0};
    struct soma__scan scan;
    soma__scan_init(&scan, first, last);
    while (!scan.ended) {
        const struct soma__section section = soma__section_enter();
        if (core->kind->words)
            sum_some(core, KIND_WORDS, &scan, view->at, digests, &sum);
        else
            sum_some(core, KIND_BYTES, &scan, view->at, digests, &sum);
        soma__section_exit(section);
    }
    return sum;
}

enum soma_status soma_view_range_digest(const soma_view *view, unsigned bits, uint64_t prefix, struct soma_digest *out)
{
    if (!view || !out || !soma__prefix_ok(bits, prefix)) {
        MISUSE("view or out is NULL, or prefix has more than bits, or than 64, bits");
        return SOMA_E_INVALID;
    }
    if (!core_digests(view->core))
        return SOMA_E_UNSUPPORTED;
    *out = sum_of(view, soma__prefix_first(bits, prefix), soma__prefix_last(bits, prefix), true);
    return SOMA_OK;
}

enum soma_status soma_view_digest(const soma_view *view, struct soma_digest *out)
{
    return soma_view_range_digest(view, 0, 0, out);
}

/* order VIEW-1 relaxed | value only: all who count come to the same | pairs: VIEW-1 */
uint64_t soma_view_count(const soma_view *view)
{
    if (!view) {
        MISUSE("view is NULL");
        return 0;
    }
    struct atom *counted = (struct atom *)(uintptr_t)&view->counted;
    uint64_t known = atom_load_rlx(counted); /* VIEW-1 */
    if (known == 0) {
        known = sum_of(view, 0, UINT64_MAX, false).count + 1;
        atom_store_rlx(counted, known); /* VIEW-1 */
    }
    return known - 1;
}
