/* SPDX-License-Identifier: ISC */
/* view.c - opening, asking and closing views. How the map keeps what they see: map/version.h; when that is: stamp.h. */
#include "view/view.h"

#include "base/check.h"
#include "map/scan.h"
#include "map/version.h"
#include "mem/mem.h"
#include "rcu/rcu.h"
#include "stamp/stamp.h"

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
    const enum soma_status status = soma__clock_enter_wait(&core->clock, &view->slot, &view->at);
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

/* ---- Counting ---- */

/* One section's worth of the view; kind is known at compile time. */
ALWAYS_INLINE uint64_t count_some(struct core *core, enum soma__kind kind, struct soma__scan *scan, uint64_t at)
{
    uint64_t count = 0;
    soma__scan_enter(core, kind, scan);
    while (soma__scan_next(core, kind, scan, at))
        count++;
    return count;
}

static uint64_t count(struct core *core, uint64_t at)
{
    struct soma__scan scan;
    uint64_t counted = 0;
    soma__scan_init(&scan, 0, UINT64_MAX);
    while (!scan.ended) {
        const struct soma__section section = soma__section_enter();
        counted +=
            core->kind->words ? count_some(core, KIND_WORDS, &scan, at) : count_some(core, KIND_BYTES, &scan, at);
        soma__section_exit(section);
    }
    return counted;
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
        known = count(view->core, view->at) + 1;
        atom_store_rlx(counted, known); /* VIEW-1 */
    }
    return known - 1;
}
