/* SPDX-License-Identifier: ISC */
/* view.c - opening, asking and closing views. How the map keeps what they see: map/version.h; when that is: stamp.h. */
#include "view/view.h"

#include "base/check.h"
#include "base/probe.h"
#include "base/guard.h"
#include "map/bytes.h"
#include "map/sums.h"
#include "map/version.h"
#include "mem/mem.h"
#include "rcu/rcu.h"
#include "stamp/stamp.h"

static enum soma_status open_wait(struct core *core, soma_view **out)
{
    if (!LIVES(core, WHAT_MAP) || !out) {
        MISUSE("map or out is NULL");
        return SOMA_E_INVALID;
    }
    struct soma_view *view = soma__mem_alloc(sizeof *view);
    if (!view)
        return SOMA_E_NOMEM;
    view->core = core;
    atom_store_rlx(&view->counted, 0); /* VIEW-1: not yet shared */
    atom_store_rlx(&view->sums, 0);    /* VIEW-2: not yet shared */
    const enum soma_status status = soma__clock_enter_wait(&core->clock, core_marks_log2(core), &view->slot, &view->at);
    if (status != SOMA_OK) {
        soma__mem_free(view, sizeof *view);
        return status;
    }
    SOMA_PROBE2(view_open, core, view->at);
    *out = view;
    BORN(view, WHAT_VIEW, core);
    return SOMA_OK;
}

enum soma_status soma_u64_view_open(soma_u64 *map, soma_view **out)
{
    CALL();
    return open_wait((struct core *)map, out);
}

enum soma_status soma_map_view_open(soma_map *map, soma_view **out)
{
    CALL();
    return open_wait((struct core *)map, out);
}

void soma_view_close(soma_view *view)
{
    CALL();
    if (!view || !ENDS(view, WHAT_VIEW))
        return;
    struct core *core = view->core;
    const uint64_t at = view->at;
    const uint64_t sums = atom_load_rlx(&view->sums); /* VIEW-2: ordered by the caller, who alone has the view */
    if (sums != 0)
        soma__sums_free((struct soma__sums *)(uintptr_t)sums);
    SOMA_PROBE2(view_close, core, at);
    soma__clock_leave(&core->clock, view->slot);
    BURY(view, sizeof *view, soma__mem_free);
    core_view_closed(core, at);
}

enum soma_status soma_view_get_u64(const soma_view *view, uint64_t key, uint64_t *value)
{
    if (UNLIKELY(!LIVES(view, WHAT_VIEW) || !view->core->kind->words)) {
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
    if (UNLIKELY(!LIVES(view, WHAT_VIEW) || view->core->kind->words || !soma__bytes_ok(key, key_len) ||
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

/* ---- Digests and counts ---- */

/* The view's sums, made now if need be; or NULL.
 * order VIEW-2 acqrel | guards: the sums | pairs: VIEW-2
 * weaker: a digest is read from sums that are not there yet. */
static const struct soma__sums *sums_of(const soma_view *view)
{
    struct atom *known = (struct atom *)(uintptr_t)&view->sums;
    uint64_t word = atom_load_acq(known); /* VIEW-2 */
    if (word != 0)
        return (const struct soma__sums *)(uintptr_t)word;
    struct soma__sums *made = soma__sums_new(view->core, view->at);
    if (!made)
        return NULL;
    if (atom_cas_acqrel(known, &word, (uintptr_t)made)) /* VIEW-2 */
        return made;
    soma__sums_free(made);
    return (const struct soma__sums *)(uintptr_t)word;
}

static struct soma_digest range_digest(const soma_view *view, unsigned bits, uint64_t prefix)
{
    const struct soma__sums *sums = sums_of(view);
    if (sums && soma__sums_divide(sums, bits))
        return soma__sums_of(sums, bits, prefix);
    return soma__sum_range(view->core, view->at, soma__prefix_first(bits, prefix), soma__prefix_last(bits, prefix),
                           true);
}

enum soma_status soma_view_range_digest(const soma_view *view, unsigned bits, uint64_t prefix, struct soma_digest *out)
{
    if (!LIVES(view, WHAT_VIEW) || !out || !soma__prefix_ok(bits, prefix)) {
        MISUSE("view or out is NULL, or prefix has more than bits, or than 64, bits");
        return SOMA_E_INVALID;
    }
    if (!core_digests(view->core))
        return SOMA_E_UNSUPPORTED;
    *out = range_digest(view, bits, prefix);
    return SOMA_OK;
}

enum soma_status soma_view_digest(const soma_view *view, struct soma_digest *out)
{
    return soma_view_range_digest(view, 0, 0, out);
}

/* order VIEW-1 relaxed | value only: all who count come to the same | pairs: VIEW-1 */
uint64_t soma_view_count(const soma_view *view)
{
    if (!LIVES(view, WHAT_VIEW)) {
        MISUSE("view is NULL");
        return 0;
    }
    struct atom *counted = (struct atom *)(uintptr_t)&view->counted;
    uint64_t known = atom_load_rlx(counted); /* VIEW-1 */
    if (known == 0) {
        const struct soma_digest all = core_digests(view->core)
                                           ? range_digest(view, 0, 0)
                                           : soma__sum_range(view->core, view->at, 0, UINT64_MAX, false);
        known = all.count + 1;
        atom_store_rlx(counted, known); /* VIEW-1 */
    }
    return known - 1;
}
