/* SPDX-License-Identifier: ISC */
/* version.c - see version.h. */
#include "map/version.h"

static struct core *core_of_list(const struct soma__list *list)
{
    return core_of_owner(list->owner);
}

/* ---- Asking ---- */

bool soma__visible(const struct core *core, const struct soma__node *node, uint64_t edge, uint64_t at)
{
    if (!soma__node_versioned(node))
        return true;
    struct soma__stamps *stamps = soma__stamps_at(node);
    const uint64_t hash = soma__hash_read(node);
    if (soma__stamp_birth(&core->clock, hash, stamps) > at)
        return false;
    if ((edge & EDGE_TENTATIVE) == 0 || !soma__stamps_dead(stamps))
        return true;
    return at < soma__stamp_death(&core->clock, hash, stamps);
}

/* Freezes a dead version that nobody needs. There may be no room to retire it: then it stays for now. */
static void let_go(const struct soma__list *list, struct soma__reader *self, struct soma__node *dead, uint64_t *edge)
{
    struct core *core = core_of_list(list);
    struct soma__stamps *stamps = soma__stamps_at(dead);
    const uint64_t hash = soma__hash_read(dead);
    const uint64_t death = soma__stamp_death(&core->clock, hash, stamps);
    const bool needed = soma__clock_needs(&core->clock, soma__stamp_birth(&core->clock, hash, stamps), death);
    while (!needed && (*edge & EDGE_FROZEN) == 0 && soma__order_room(list, self, dead, *edge) == SOMA_OK) {
        if (soma__edge_swap(&dead->edge, edge, *edge | EDGE_FROZEN))
            *edge |= EDGE_FROZEN;
    }
    if ((*edge & EDGE_FROZEN) == 0)
        core_version_kept(core, death);
}

void soma__version_settle(const struct soma__list *list, struct soma__reader *self, struct soma__node *node,
                          uint64_t *edge)
{
    if (soma__node_dead(node)) {
        let_go(list, self, node, edge);
        return;
    }
    if (soma__node_versioned(node))
        soma__stamp_birth(&core_of_list(list)->clock, soma__hash_read(node), soma__stamps_at(node));
    soma__order_settle(node, edge);
}

/* ---- Changing ---- */

static void settle_fresh(struct core *core, struct soma__reader *self, struct soma__node *fresh, uint64_t successor)
{
    uint64_t edge = successor | EDGE_TENTATIVE;
    soma__version_settle(&core->dir.shape.list, self, fresh, &edge);
}

enum soma_status soma__version_insert(struct core *core, struct soma__reader *self, struct soma__place *place,
                                      struct soma__node *fresh)
{
    const uint64_t successor = soma__edge_onward(place->word);
    soma__edge_init(&fresh->edge, successor | EDGE_TENTATIVE);
    if (!soma__edge_swap(place->prev, &place->word, soma__place_to(place, soma__edge_to_node(fresh))))
        return CORE_AGAIN;
    settle_fresh(core, self, fresh, successor);
    return SOMA_OK;
}

/* Takes out the entry that the place leads to, frozen, and then the dead copy that stands for it, if nobody needs that.
 * Whoever comes by next does what cannot be done now; a walk that did not come as far as the copy has not let it go either. */
static void take_out(struct core *core, struct soma__reader *self, struct soma__place *place, struct soma__node *dead)
{
    const struct soma__list *list = &core->dir.shape.list;
    const struct soma__node *node = soma__edge_node(place->word);
    const uint64_t frozen = soma__edge_read(&node->edge);
    if (soma__order_unlink(list, self, place->prev, &place->word, frozen) != SOMA_OK) {
        if (!core->kind->walk_past(core, self, node))
            core_version_kept(core, soma__stamp_death(&core->clock, soma__hash_read(dead), soma__stamps_at(dead)));
        return;
    }
    uint64_t edge = soma__edge_read(&dead->edge);
    let_go(list, self, dead, &edge);
    if ((edge & EDGE_FROZEN) && soma__order_unlink(list, self, place->prev, &place->word, edge) != SOMA_OK)
        core->kind->walk_past(core, self, dead);
}

/* A dead copy of an entry, with its birth. NULL: no memory. */
static struct soma__node *dead_copy(struct core *core, const struct soma__node *node, uint64_t second, uint64_t death)
{
    struct soma__node *dead = core->kind->dead_copy(core, node, second);
    if (!dead)
        return NULL;
    const uint64_t birth = soma__node_versioned(node)
                               ? soma__stamp_birth(&core->clock, soma__hash_read(node), soma__stamps_at(node))
                               : 0; /* V1 */
    soma__stamps_init(soma__stamps_at(dead), soma__stamp_of(birth), death);
    return dead;
}

/* Freezes the entry and links its dead copy, with all behind that, in its place; else drops the copy. */
static enum soma_status replace_by(struct core *core, struct soma__reader *self, struct soma__place *place,
                                   uint64_t edge, uint64_t second, struct soma__node *dead)
{
    struct soma__node *node = soma__edge_node(place->word);
    const uint64_t frozen = soma__edge_to_node(dead) | EDGE_FROZEN | EDGE_REPLACED;
    enum soma_status status = soma__order_room(&core->dir.shape.list, self, node, frozen);
    if (status == SOMA_OK && !soma__node_swap(node, edge, second, frozen, second))
        status = CORE_AGAIN;
    if (status != SOMA_OK) {
        core->kind->drop(core, dead);
        return status;
    }
    soma__stamp_death(&core->clock, soma__hash_read(dead), soma__stamps_at(dead));
    take_out(core, self, place, dead);
    return SOMA_OK;
}

enum soma_status soma__version_remove(struct core *core, struct soma__reader *self, struct soma__place *place,
                                      uint64_t edge, uint64_t second)
{
    struct soma__node *dead = dead_copy(core, soma__edge_node(place->word), second, STAMP_OPEN);
    if (!dead)
        return SOMA_E_NOMEM;
    soma__edge_init(&dead->edge, edge | EDGE_TENTATIVE);
    return replace_by(core, self, place, edge, second, dead);
}

enum soma_status soma__version_replace(struct core *core, struct soma__reader *self, struct soma__place *place,
                                       uint64_t edge, uint64_t second, struct soma__node *fresh)
{
    const uint64_t death = soma__stamp_birth_of(soma__stamps_at(fresh));
    struct soma__node *dead = dead_copy(core, soma__edge_node(place->word), second, death);
    if (!dead)
        return SOMA_E_NOMEM;
    soma__edge_init(&fresh->edge, edge); /* V2 */
    soma__edge_init(&dead->edge, soma__edge_to_node(fresh) | EDGE_TENTATIVE);
    return replace_by(core, self, place, edge, second, dead);
}
