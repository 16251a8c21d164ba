/* SPDX-License-Identifier: ISC */
/* sums.h - digests of parts of a map at the instant of a view, without going through the map each time.
 *
 * Shape       The hashes are divided into equal stretches. A base is the digests of a map at one number, summed up from stretch to
 *             stretch; so that of any run of stretches is one subtraction. It never changes. The map keeps the newest.
 *             The sums of a view are a base from no later than it, and what has to be added to the stretches that have changed
 *             since (stamp/marks.h), summed up in the same way.
 *
 *               base at 7    | 0 | d0 | d0+d1 | d0+d1+d2 | ...        before each stretch, and behind the last
 *               changes      stretch 1: +c1    stretch 9: +c9         what view 12 has more, or less, there
 *
 * Cost        The first sums of a map go through all of it; later ones through the stretches that have changed since a
 *             base. If these are many, a new base is made.
 * Memory      24 bytes a stretch for a base; 32 bytes for each that has changed.
 */
#ifndef SOMA_MAP_SUMS_H
#define SOMA_MAP_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/digest.h>

#include "map/core.h"

struct soma__sums;

/* The digest of the entries with hashes from `first` to `last` that a view with this number sees, by going through them;
 * without digests only their count. Outside sections; nobody closes the view meanwhile. */
struct soma_digest soma__sum_range(struct core *core, uint64_t at, uint64_t first, uint64_t last, bool digests);

/* The sums of a view. NULL: there is no memory, or the map is so small that it is not worth it. As above. */
struct soma__sums *soma__sums_new(struct core *core, uint64_t at);
void soma__sums_free(struct soma__sums *sums);

/* When the map goes. */
void soma__sums_fini(struct core *core);

/* Whether the range with these bits of prefix is a run of stretches. */
bool soma__sums_divide(const struct soma__sums *sums, unsigned bits);

/* Its digest then. */
struct soma_digest soma__sums_of(const struct soma__sums *sums, unsigned bits, uint64_t prefix);

#endif
