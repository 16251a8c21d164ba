/* SPDX-License-Identifier: ISC */
/* take.h - taking entries out from a place on: what both kinds of map share.
 *
 * A scan (scan.h) finds the entries, and each is removed as by a removal that expects the value that the program was asked about; so
 * nothing is taken twice, and nothing that the program has not seen. A place is the position of a scan between two sections: all
 * hashes below it are done. It is a number, and nothing is kept for it.
 *
 * At the cap    The program's answer is good for the section in which it was given: later, what the value pointed to may have been freed,
 *               and another thing put in its place. So where the cap has refused a removal, the program is asked again, but only
 *               when there is room for what was refused, which is then the thread's own for the section.
 *
 * Takes effect  For each entry, as its removal.
 * Progress      As a removal's, for each entry that is taken; as a scan's, for the others.
 */
#ifndef SOMA_MAP_TAKE_H
#define SOMA_MAP_TAKE_H

#include "map/core.h"
#include "map/scan.h"

/* Entries that one section looks at. */
#define TAKE_ENTRIES SIZED(64, 2)

struct soma__take {
    struct soma__scan scan;
    size_t n; /* at the most */
    size_t taken;
};

/* One section's worth, at the end of which the scan's position is a place. SOMA_OK: go on. SOMA_END: the program wants no more. */
typedef enum soma_status (*soma__take_fn)(struct core *core, struct soma__reader *self, struct soma__take *take);

/* *place: where to begin; where to go on, 0 at the end. */
ALWAYS_INLINE enum soma_status soma__take_all(struct core *core, struct soma__take *take, soma__take_fn some,
                                              uint64_t *place)
{
    enum soma_status status = SOMA_OK;
    unsigned tries = 0;
    uint64_t wanted = 0; /* bytes that the cap has refused; 0: none */
    soma__scan_init(&take->scan, *place, UINT64_MAX);
    while (status == SOMA_OK && take->taken < take->n && !take->scan.ended) {
        const size_t before = take->taken;
        const struct soma__section section = soma__section_enter();
        if (UNLIKELY(wanted != 0))
            status = soma__retire_prepare(section.self, &core->owner, wanted);
        if (LIKELY(status == SOMA_OK))
            status = some(core, section.self, take);
        wanted = UNLIKELY(status == SOMA_E_LIMIT) ? section.self->wanted : 0;
        core_exit_many(core, section, take->taken - before);
        tries = take->taken > before ? 0 : tries;
        if (status < 0 && core_retry(core, status, &tries))
            status = SOMA_OK;
    }
    *place = take->scan.ended ? 0 : take->scan.from;
    if (status < 0)
        return status;
    return take->scan.ended ? SOMA_END : SOMA_OK;
}

#endif
