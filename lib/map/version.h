/* SPDX-License-Identifier: ISC */
/* version.h - how entries of both kinds of map change while views are open: they get versions.
 *
 * Shape       An entry as it is without views is plain: it is older than any view that is open. A version has stamps in
 *             front of it (stamp.h). In the word before the node, which is the map's, the highest bit tells them apart;
 *             in front of an entry at home stands a word of its cell, which never has that bit.
 *                 version: | death | birth | VERSION ... | hash | edge | second |
 *             In the list, the dead versions of a key stand in the order of their times, and the live entry behind them.
 * States      TENTATIVE on a version's edge: its stamps are to be asked. It is either new and stands for itself, then the mark
 *             goes when its birth is decided; or dead, then the mark stays until it is frozen.
 * Insert      A new version is linked, its birth open; then decided; then the mark is taken off.
 * Remove      A dead copy with the same birth, its death open, replaces the entry, as in any move: one swap freezes the
 *             entry (REPLACED) and links the copy. So whoever finds a frozen entry that is REPLACED goes on to its
 *             successor, and nobody ever asks a frozen one for its times.
 * Replace     The same, and the dead copy's successor is the new version. The copy died when the new version was born.
 * Letting go  A dead version that no view needs is frozen and taken out like any entry.
 * Takes effect  Where its stamp is decided (stamp.h). Updates while no view is open: as in u64.c and bytes.c. A grace period
 *             stands between an update that keeps no version and the first view.
 * Invariants  V1. Plain entries are older than every open view: while one is, new entries are versions.
 *             V2. Who comes to a new version without a mark finds its birth decided: an inserted one has lost the mark then;
 *             to one that replaces another all come by way of the dead copy, whose death they have had decided, and with it
 *             the birth that it refers to. (A view from before the dead one's birth passes that by, and asks for itself.)
 *             V3. So a death's reference is followed only by who found the death undecided, in a section in which the
 *             version that it refers to was still linked.
 */
#ifndef SOMA_MAP_VERSION_H
#define SOMA_MAP_VERSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/atom.h"
#include "base/attr.h"
#include "map/core.h"
#include "order/order.h"
#include "stamp/stamp.h"

/* In the word before a node. */
#define NODE_VERSION (UINT64_C(1) << 63)

/* For who wants the map as it is, not as it was. */
#define SOMA__NOW UINT64_MAX

/* Bytes of stamps in front of what the map's own kind of entry has. */
#define VERSION_BYTES sizeof(struct soma__stamps)

/* order VERSION-1 relaxed | not yet shared: ORDER-3 publishes it; or a word of a cell, without the bit | pairs: VERSION-1 */
ALWAYS_INLINE bool soma__node_versioned(const struct soma__node *node)
{
    const struct atom *before = (const struct atom *)((uintptr_t)node - sizeof(struct atom));
    return (atom_load_rlx(before) & NODE_VERSION) != 0;
}

ALWAYS_INLINE struct soma__stamps *soma__stamps_at(const struct soma__node *node)
{
    return (struct soma__stamps *)((uintptr_t)node - sizeof(struct atom) - sizeof(struct soma__stamps));
}

/* Whether it is a dead version. */
ALWAYS_INLINE bool soma__node_dead(const struct soma__node *node)
{
    return soma__node_versioned(node) && soma__stamps_dead(soma__stamps_at(node));
}

/* Whether an entry with this frozen edge lives on, with its value, in its successor. `in_place`: values of live entries
 * change in place, so that nothing but a move replaces one. */
ALWAYS_INLINE bool soma__node_moved(const struct soma__node *node, uint64_t edge, bool in_place)
{
    const uint64_t replaced = EDGE_FROZEN | EDGE_REPLACED;
    if ((edge & replaced) != replaced || soma__node_dead(node))
        return false;
    return in_place || soma__node_dead(soma__edge_node(edge));
}

/* Whether an unfrozen entry, whose edge is `edge`, is in the map at this number, or now. Decides the stamps that the
 * answer depends on. Inside a section. */
bool soma__visible(const struct core *core, const struct soma__node *node, uint64_t edge, uint64_t at);

/* For struct soma__list: makes up its mind on a version. */
void soma__version_settle(const struct soma__list *list, struct soma__reader *self, struct soma__node *node,
                          uint64_t *edge);

/* What a view sees under a key. OK or ABSENT; inside a section. */
enum soma_status soma__u64_get_at(const struct core *core, uint64_t key, uint64_t at, uint64_t *value);
enum soma_status soma__map_get_at(const struct core *core, const void *key, size_t key_len, uint64_t at, void *buf,
                                  size_t cap, size_t *len, uint64_t *version);

/* What follows changes the list at a place that a walk has found, inside a section in which soma__clock_runs(). SOMA_OK:
 * done. CORE_AGAIN: something has changed meanwhile, and the caller still has what it has made. Else an error. */

/* Links a version that the caller has made, its successor still to be given. */
enum soma_status soma__version_insert(struct core *core, struct soma__reader *self, struct soma__place *place,
                                      struct soma__node *fresh);

/* Takes out the live entry that the place leads to, which had this unmarked edge and this second word; with `fresh`, puts
 * that in its place. */
enum soma_status soma__version_remove(struct core *core, struct soma__reader *self, struct soma__place *place,
                                      uint64_t edge, uint64_t second);
enum soma_status soma__version_replace(struct core *core, struct soma__reader *self, struct soma__place *place,
                                       uint64_t edge, uint64_t second, struct soma__node *fresh);

#endif
