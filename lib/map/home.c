/* SPDX-License-Identifier: ISC */
/* home.c - giving entries of the word map a place, and moving them: see word.h. */
#include "map/word.h"

#include "mem/mem.h"

static struct word_entry *entry_of(struct soma__node *node)
{
    return (struct word_entry *)(void *)((char *)node - offsetof(struct word_entry, node));
}

static struct soma__node *entry_new(uint64_t hash)
{
    struct word_entry *entry = soma__mem_alloc(sizeof *entry);
    if (!entry)
        return NULL;
    atom_store_rlx(&entry->mark, 0); /* VERSION-1 */
    soma__hash_init(&entry->node, hash);
    return &entry->node;
}

bool soma__word_walk_past(struct soma__dir *dir, struct soma__reader *self, uint64_t hash)
{
    struct soma__place place;
    enum soma_status status;
    do {
        place.prev = soma__dir_bucket(dir, WORD_CELL_LOG2, self, hash);
        status = soma__dir_walk(dir, WORD_CELL_LOG2, self, hash, NULL, soma__before_word, &place);
    } while (status == SOMA_CHANGED);
    return status == SOMA_OK;
}

#if HAVE_CAS16

/* ---- The ledger ---- */

#define LEDGER_COOKIE_SHIFT 4

static uint64_t taken_bit(unsigned home)
{
    return UINT64_C(1) << home;
}

static uint64_t resting_bit(unsigned home)
{
    return UINT64_C(1) << (WORD_HOMES + home);
}

static struct atom *ledger_of(struct word_cell *cell)
{
    return &cell->halves[1].word;
}

static unsigned home_number(const struct soma__node *node)
{
    return (uintptr_t)node / sizeof(struct word_entry) % WORD_HOMES;
}

/* What the ledger becomes when a home is claimed; as it is, if it cannot be. */
static uint64_t ledger_claimed(uint64_t word, unsigned home)
{
    if ((word & taken_bit(home)) == 0)
        return word | taken_bit(home);
    if ((word & resting_bit(home)) != 0 && soma__grace_passed(word >> LEDGER_COOKIE_SHIFT))
        return word & ~resting_bit(home);
    return word;
}

/* A ledger that has come back to what it was is no other: a home that was claimed and rests again has a later cookie.
 * order HOME-1 acquire | guarded by: ledger | pairs: HOME-2
 * weaker: the new entry is written before the old one is out of the list, or before who gave the home back is done. */
static struct soma__node *cell_claim(struct word_cell *cell)
{
    uint64_t word = atom_load_rlx(ledger_of(cell)); /* HOME-1: re-checked by the swap */
    for (unsigned home = 0; home < WORD_HOMES;) {
        const uint64_t claimed = ledger_claimed(word, home);
        if (claimed == word)
            home++;
        else if (atom_cas_acq(ledger_of(cell), &word, claimed))
            return &cell->halves[home].node;
    }
    return NULL;
}

/* order HOME-2 release | guards: the home's last entry, out of the list | pairs: HOME-1 */
static void home_give_back(struct soma__node *node)
{
    struct atom *ledger = ledger_of(soma__cell_of(node));
    uint64_t word = atom_load_rlx(ledger); /* HOME-2: re-checked by the swap */
    while (!atom_cas_rel(ledger, &word, word & ~taken_bit(home_number(node))))
        ;
}

void soma__home_rest(struct soma__node *node)
{
    struct atom *ledger = ledger_of(soma__cell_of(node));
    const uint64_t cookie = soma__grace_cookie_near();
    uint64_t word = atom_load_rlx(ledger); /* HOME-2: re-checked by the swap */
    uint64_t resting;
    do {
        const uint64_t flags = (word & ((1 << LEDGER_COOKIE_SHIFT) - 1)) | resting_bit(home_number(node));
        const uint64_t other = word >> LEDGER_COOKIE_SHIFT;
        resting = (cookie > other ? cookie : other) << LEDGER_COOKIE_SHIFT | flags;
    } while (!atom_cas_rel(ledger, &word, resting)); /* HOME-2 */
}

/* A home in the cell of the hash's bucket, or NULL. */
static struct soma__node *home_new(const struct soma__dir *dir, uint64_t hash)
{
    const uint64_t state = soma__dir_state(dir);
    const uint64_t index = soma__bucket_index(soma__bucket_of(hash, dir_m(state)));
    if (soma__bucket_level(index) == dir_going(state) && index != 0) /* S1 in shrink.c */
        return NULL;
    struct soma__node *node = cell_claim(soma__cell_at(dir, index));
    if (node)
        soma__hash_init(node, hash);
    return node;
}

/* ---- Moving ---- */

/* Replaces an entry by a copy, unlinked so far. False: the entry has changed meanwhile; the copy is dropped. */
static bool replace_by_copy(const struct soma__dir *dir, struct soma__node *node, uint64_t edge, uint64_t value,
                            struct soma__node *copy)
{
    soma__word_fill(dir, copy, value, edge);
    const uint64_t replaced = soma__edge_to_node(copy) | EDGE_FROZEN | EDGE_REPLACED;
    if (!soma__node_swap(node, edge, value, replaced, value)) {
        soma__word_drop(dir, copy);
        return false;
    }
    soma__word_linked(dir, copy, edge);
    return true;
}

/* Moves the entry that the place leads to into the cell. False: there is no room in the cell, or to retire it. */
static bool move_in(struct soma__dir *dir, struct soma__reader *self, struct word_cell *cell, struct soma__place *place)
{
    struct soma__node *node = soma__edge_node(place->word);
    const uint64_t value = soma__value_read(node);
    const uint64_t edge = soma__edge_read(&node->edge);
    if (edge & (EDGE_FROZEN | EDGE_TENTATIVE))
        return true;
    if (soma__node_versioned(node) && soma__clock_runs(&core_of_dir(dir)->clock))
        return true;
    struct soma__node *copy = cell_claim(cell);
    if (!copy)
        return false;
    soma__hash_init(copy, soma__hash_read(node));
    if (soma__order_room(&dir->shape.list, self, node, edge | EDGE_FROZEN | EDGE_REPLACED) != SOMA_OK) {
        soma__word_drop(dir, copy);
        return false;
    }
    if (replace_by_copy(dir, node, edge, value, copy)) {
        const uint64_t frozen = soma__edge_read(&node->edge);
        if (soma__order_unlink(&dir->shape.list, self, place->prev, &place->word, frozen) != SOMA_OK)
            return soma__word_walk_past(dir, self, soma__hash_read(node));
    }
    return true;
}

void soma__cell_fill(struct soma__dir *dir, struct soma__reader *self, uint64_t index)
{
    const uint64_t state = soma__dir_state(dir);
    struct word_cell *cell = soma__cell_at(dir, index);
    struct atom *sentinel = &cell->halves[0].word;
    if (soma__bucket_level(index) == dir_going(state) || !soma__edge_starts(soma__edge_read(sentinel)))
        return;
    uint64_t hash = soma__bucket_position(index);
    for (; hash != 0; hash++) {
        struct soma__place place = {.prev = sentinel};
        if (soma__dir_walk(dir, WORD_CELL_LOG2, self, hash, NULL, soma__before_hash, &place) != SOMA_OK)
            return;
        if (place.word & EDGE_BUCKET)
            return;
        struct soma__node *node = soma__edge_node(place.word);
        hash = soma__hash_read(node);
        if (soma__bucket_index(soma__bucket_of(hash, dir_m(state))) != index)
            return;
        if (!(soma__is_home(dir, node) && soma__cell_of(node) == cell) && !move_in(dir, self, cell, &place))
            return;
    }
}

/* Moves the entry of a home out, if there is one. */
static bool move_out(struct soma__dir *dir, struct soma__reader *self, struct soma__node *node)
{
    for (;;) {
        const uint64_t value = soma__value_read(node);
        uint64_t edge = soma__edge_read(&node->edge);
        const uint64_t hash = soma__hash_read(node);
        if (soma__edge_starts(edge)) {
            struct soma__node *copy = soma__word_new(dir, hash);
            if (!copy)
                return false;
            if (!replace_by_copy(dir, node, edge, value, copy))
                continue;
        }
        if (!soma__word_walk_past(dir, self, hash))
            return false;
        /* A tentative one is settled now, unless it was never linked: its thread stayed behind in the parent of a fork. */
        if (!soma__edge_starts(soma__edge_read(&node->edge)))
            return true;
    }
}

bool soma__cell_empty(struct soma__dir *dir, struct soma__reader *self, uint64_t index)
{
    struct word_cell *cell = soma__cell_at(dir, index);
    for (unsigned home = 0; home < WORD_HOMES; home++) {
        const uint64_t word = atom_load_rlx(ledger_of(cell)); /* HOME-1: claims are over, see S1 in shrink.c */
        if ((word & taken_bit(home)) != 0 && (word & resting_bit(home)) == 0 &&
            !move_out(dir, self, &cell->halves[home].node))
            return false;
    }
    return true;
}

#endif

/* ---- Entries ---- */

struct soma__node *soma__word_new(const struct soma__dir *dir, uint64_t hash)
{
#if HAVE_CAS16
    struct soma__node *home = home_new(dir, hash);
    if (home)
        return home;
#endif
    (void)dir;
    return entry_new(hash);
}

void soma__word_drop(const struct soma__dir *dir, struct soma__node *node)
{
#if HAVE_CAS16
    if (soma__is_home(dir, node)) {
        home_give_back(node);
        return;
    }
#endif
    (void)dir;
    if (soma__node_versioned(node))
        soma__mem_free(soma__stamps_at(node), sizeof(struct word_version));
    else
        soma__mem_free(entry_of(node), sizeof(struct word_entry));
}

struct soma__node *soma__word_version(uint64_t hash)
{
    struct word_version *version = soma__mem_alloc(sizeof *version);
    if (!version)
        return NULL;
    atom_store_rlx(&version->entry.mark, NODE_VERSION); /* VERSION-1 */
    soma__hash_init(&version->entry.node, hash);
    return &version->entry.node;
}
