/* SPDX-License-Identifier: ISC */
/* u64.c - the word map.
 *
 * An entry is its link, its value and its hash, from which the key can be had back. Link and value stand side by side:
 * an update in place changes the value by one 16-byte swap that expects the link as it was, unfrozen; so it cannot
 * succeed on an entry that has been removed, and a removal, the same kind of swap, takes exactly the value it reports.
 * Without a 16-byte swap (cas16 off) values never change: an update links a new entry behind the old one and freezes the
 * old one in the same swap (REPLACED).
 *
 * Takes effect
 *   get       found: at the read of the value, since the link, read after it, was not frozen; at home (word.h), or at the
 *             entry's deletion, if that came between the reads of its link and of its value. Absent: at the read of the
 *             edge that led past the key's place, or at the freezing of the entry that was found frozen, if that was
 *             later: an entry that is reached was linked when the edge to it was read, and while a frozen entry is
 *             linked no other with its key is (inserting takes it out first).
 *   update    at the swap that changes the value, links the entry or freezes it (ORDER-3, ORDER-6).
 *   no change at the read of the value, with the link unfrozen after it; absent, at the read of the edge, as get.
 * Progress    A lookup never goes back: wait-free but for insertions into its bucket and buckets set up ahead of it. An
 *             update goes back only when another update has got in.
 */
#include <soma/digest.h>
#include <soma/u64.h>

#include "map/core.h"
#include "map/map_internal.h"
#include "map/take.h"
#include "map/word.h"

/* Keys that the calls for many of them look up together: docs/decisions/0015-lookups-in-rounds.md. */
#define WORD_FLIGHT 64

/* What a value that waits for its readers counts towards the cap, where values are to be retired. */
#define VALUE_BYTES 16

/* Kinds of retired items: (node, RETIRE_ENTRY or RETIRE_MOVED) and (value, RETIRE_VALUE). */
enum {
    RETIRE_ENTRY,
    RETIRE_VALUE,
    RETIRE_MOVED /* the value lives on in another entry */
};

/* ---- Retiring ---- */

static uint64_t kind_of(const struct soma__node *node, uint64_t edge)
{
    return soma__node_moved(node, edge, HAVE_CAS16) ? RETIRE_MOVED : RETIRE_ENTRY;
}

static uint64_t entry_bytes(const struct soma__node *node)
{
    return soma__node_versioned(node) ? sizeof(struct word_version) : sizeof(struct word_entry);
}

static void release(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    const struct core *core = core_of_owner(owner);
    struct soma__node *node = (struct soma__node *)(uintptr_t)a;
    const uint64_t value = b == RETIRE_VALUE ? a : soma__value_read(node);
    if (b != RETIRE_VALUE && !soma__is_home(&core->dir, node))
        soma__word_drop(&core->dir, node);
    /* First this: a copy that has failed lets go of its function while others may release what has moved. */
    if (b == RETIRE_MOVED || !core->value_retire.word)
        return;
    CALLOUT_BEGINS(core);
    core->value_retire.word(value, core->ctx);
    CALLOUT_ENDS("soma_u64_options.value_retire");
}

/* For core_free(). */
static void release_linked(struct soma__owner *owner, struct soma__node *node, uint64_t edge)
{
    release(owner, (uintptr_t)node, kind_of(node, edge));
}

/* What hangs on a value. The program may answer this, then that: what is asked of it when room is made is what counts until the
 * room is given back (soma__retire). */
static uint64_t hanging_bytes(const struct core *core, uint64_t value)
{
    if (LIKELY(!core->value_bytes.word))
        return 0;
    CALLBACK_BEGINS();
    const uint64_t bytes = core->value_bytes.word(value, core->ctx);
    CALLBACK_ENDS();
    return bytes < CORE_VALUE_BYTES_MOST ? bytes : CORE_VALUE_BYTES_MOST;
}

/* What an entry counts that goes; its value with it if that is to be retired. An entry at home takes no memory with it. */
ALWAYS_INLINE uint64_t bytes_with(const struct core *core, const struct soma__node *node, bool retired, uint64_t value)
{
    const uint64_t own = soma__is_home(&core->dir, node) ? (retired ? VALUE_BYTES : 0) : entry_bytes(node);
    return retired ? own + hanging_bytes(core, value) : own;
}

/* The value is to be retired if values are and this one has not moved. */
static uint64_t node_bytes(const struct soma__list *list, const struct soma__node *node, uint64_t edge)
{
    const struct core *core = core_of_owner(list->owner);
    const bool retired = core->value_retire.word && kind_of(node, edge) != RETIRE_MOVED;
    return bytes_with(core, node, retired, retired ? soma__value_read(node) : 0);
}

static void bury(const struct soma__list *list, struct soma__reader *self, struct soma__node *node, uint64_t edge)
{
    const struct core *core = core_of_owner(list->owner);
    const uint64_t kind = kind_of(node, edge);
    if (!soma__is_home(&core->dir, node)) {
        soma__retire(self, (uintptr_t)node, kind);
        return;
    }
    if (core->value_retire.word && kind != RETIRE_MOVED)
        soma__retire(self, soma__value_read(node), RETIRE_VALUE);
    soma__home_rest(node);
}

static struct soma__node *dead_copy(const struct core *core, const struct soma__node *node, uint64_t value)
{
    (void)core;
    struct soma__node *copy = soma__word_version(soma__hash_read(node));
    if (copy)
        soma__value_init(copy, value);
    return copy;
}

static void drop(const struct core *core, struct soma__node *node)
{
    soma__word_drop(&core->dir, node);
}

static bool walk_past(struct core *core, struct soma__reader *self, const struct soma__node *node)
{
    return soma__word_walk_past(&core->dir, self, soma__hash_read(node));
}

static uint64_t fnv(const struct core *core, const struct soma__node *node, uint64_t value)
{
    const uint64_t key = soma__mix_inverse(&core->hash.mix, soma__hash_read(node));
    return soma__fnv1a64_words(key, value);
}

static const struct core_shape shape = {
    .dir.list.node_bytes = node_bytes,
    .dir.list.settle = soma__version_settle,
    .dir.list.bury = bury,
    .dir.cell_log2 = WORD_CELL_LOG2,
    .dir.load = WORD_LOAD_PERCENT,
#if HAVE_CAS16
    .dir.fill = soma__cell_fill,
    .dir.empty = soma__cell_empty,
#endif
    .release = release,
    .entry_bytes = entry_bytes,
    .release_linked = release_linked,
    .dead_copy = dead_copy,
    .drop = drop,
    .walk_past = walk_past,
    .fnv = fnv,
    .words = true,
};

/* ---- Lookup ---- */

enum found {
    FOUND_NOT,
    FOUND,
    FOUND_MARKED, /* an entry that may be there or not: ask its stamps */
    FOUND_FURTHER /* nothing yet, see find_from() */
};

/* The one walk of all lookups, from an edge on. It may stand on entries that are no longer linked (see above). With `next`,
 * it stops when it has passed an entry, and *next is the edge to the one behind: FOUND_FURTHER. */
ALWAYS_INLINE enum found find_from(const struct soma__dir *dir, uint64_t edge, uint64_t hash, uint64_t *value,
                                   uint64_t *next)
{
    for (;;) {
        if (UNLIKELY(edge & EDGE_BUCKET)) {
            if (LIKELY(soma__dir_edge_ends(dir, WORD_CELL_LOG2, edge, hash)))
                return FOUND_NOT;
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        const uint64_t node_hash = soma__hash_read(node);
        if (node_hash > hash)
            return FOUND_NOT;
        if (node_hash == hash) {
            *value = soma__value_read(node);
            edge = soma__edge_read(&node->edge);
            if (LIKELY((edge & (EDGE_FROZEN | EDGE_TENTATIVE)) == 0))
                return FOUND;
            if ((edge & EDGE_FROZEN) == 0)
                return FOUND_MARKED;
            if ((edge & EDGE_REPLACED) == 0)
                return FOUND_NOT;
            continue; /* to its replacement */
        }
        edge = soma__edge_read(&node->edge);
        if (next && (edge & EDGE_BUCKET) == 0) {
            *next = edge;
            return FOUND_FURTHER;
        }
    }
}

/* A lookup from its bucket on: first at home, then in the list. */
ALWAYS_INLINE enum found find(const struct soma__dir *dir, uint64_t hash, uint64_t *value)
{
    const struct atom *bucket = soma__dir_bucket_hint(dir, WORD_CELL_LOG2, hash);
    if (LIKELY(soma__cell_find(bucket, hash, value)))
        return FOUND;
    const uint64_t word = soma__edge_read(bucket);
    if (LIKELY(soma__edge_starts(word)))
        return find_from(dir, word, hash, value, NULL);
    return find_from(dir, soma__dir_start(dir, WORD_CELL_LOG2, hash), hash, value, NULL);
}

/* The same with all versions' stamps asked, at a number or now. */
static enum soma_status find_at(const struct core *core, uint64_t hash, uint64_t at, uint64_t *value)
{
    uint64_t edge = soma__dir_start(&core->dir, WORD_CELL_LOG2, hash);
    for (;;) {
        if (edge & EDGE_BUCKET) {
            if (soma__dir_edge_ends(&core->dir, WORD_CELL_LOG2, edge, hash))
                return SOMA_ABSENT;
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        const uint64_t node_hash = soma__hash_read(node);
        if (node_hash > hash)
            return SOMA_ABSENT;
        const uint64_t found = soma__value_read(node);
        edge = soma__edge_read(&node->edge);
        if (node_hash == hash && (edge & EDGE_FROZEN) == 0 && soma__visible(core, node, edge, at)) {
            if (value)
                *value = found;
            return SOMA_OK;
        }
    }
}

enum soma_status soma__u64_get_at(const struct core *core, uint64_t key, uint64_t at, uint64_t *value)
{
    return find_at(core, soma__mix_hash(&core->hash.mix, key), at, value);
}

/* For threads without a record, and where an entry has versions. */
static NOINLINE enum soma_status get_slow(const soma_u64 *map, uint64_t hash, uint64_t *value)
{
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = find_at(&map->core, hash, SOMA__NOW, value);
    soma__section_exit(section);
    SOMA_PROBE3(get_end, map, soma__mix_inverse(&map->core.hash.mix, hash), status);
    return status;
}

static NOINLINE enum soma_status get_first(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    if (!LIVES(map, WHAT_WORDS)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return get_slow(map, soma__mix_hash(&map->core.hash.mix, key), value);
}

/* The fast path calls nothing but in its tail: the fewer instructions a lookup takes, the more lookups the processor
 * has under way, and the more of their cache misses overlap. */
enum soma_status soma_u64_get(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    SOMA_PROBE4(get_begin, map, key, NULL, sizeof key);
    CALL();
    struct soma__reader *self = soma__self;
    if (UNLIKELY(!self || !LIVES(map, WHAT_WORDS)))
        return get_first(map, key, value);
    const struct soma__section section = soma__section_open(self);
    const uint64_t hash = soma__mix_hash(&map->core.hash.mix, key);
    uint64_t word;
    const enum found found = find(&map->core.dir, hash, &word);
    soma__section_close(section);
    if (UNLIKELY(found == FOUND_MARKED))
        return get_slow(map, hash, value);
    SOMA_PROBE3(get_end, map, key, found == FOUND_NOT ? SOMA_ABSENT : SOMA_OK);
    if (found == FOUND_NOT)
        return SOMA_ABSENT;
    if (value)
        *value = word;
    return SOMA_OK;
}

enum soma_status soma_u64_get_with(const soma_u64 *map, uint64_t key, soma_u64_with_fn fn, void *ctx)
{
    SOMA_PROBE4(get_begin, map, key, NULL, sizeof key);
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_WORDS) || !fn)) {
        MISUSE("map or fn is NULL");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const uint64_t hash = soma__mix_hash(&map->core.hash.mix, key);
    uint64_t value;
    const enum found found = find(&map->core.dir, hash, &value);
    const bool hit =
        UNLIKELY(found == FOUND_MARKED) ? find_at(&map->core, hash, SOMA__NOW, &value) == SOMA_OK : found == FOUND;
    if (hit) {
        CALLBACK_BEGINS();
        fn(key, value, ctx);
        CALLBACK_ENDS();
    }
    soma__section_exit(section);
    SOMA_PROBE3(get_end, map, key, hit ? SOMA_OK : SOMA_ABSENT);
    return hit ? SOMA_OK : SOMA_ABSENT;
}

/* Where a lookup goes on that has found nothing at home: the first edge that leads out of the cell's line. */
ALWAYS_INLINE uint64_t edge_onward(const struct soma__dir *dir, const struct atom *bucket, uint64_t hash)
{
    uint64_t edge = soma__edge_read(bucket);
    if (UNLIKELY(!soma__edge_starts(edge)))
        edge = soma__dir_start(dir, WORD_CELL_LOG2, hash);
    while (HAVE_CAS16 && (edge & EDGE_BUCKET) == 0) {
        const struct soma__node *node = soma__edge_node(edge);
        if (soma__cell_of(node) != (const struct word_cell *)(const void *)bucket || soma__hash_read(node) >= hash)
            break;
        edge = soma__edge_read(&node->edge);
    }
    return edge;
}

/* Gives one of many keys' answer where it was asked for; 1 if the key is there. */
ALWAYS_INLINE size_t answer_at(size_t i, bool hit, uint64_t value, uint64_t *values, bool *found)
{
    if (hit && values)
        values[i] = value;
    if (found)
        found[i] = hit;
    return hit;
}

/* A flight: keys looked up together, and those of their lookups that have to walk. */
struct flight {
    uint64_t hashes[WORD_FLIGHT]; /* of all keys */
    uint64_t edges[WORD_FLIGHT];  /* where the walks stand */
    size_t keys[WORD_FLIGHT];     /* whose they are */
    size_t walks;
};

/* Fetches the buckets of a flight. */
ALWAYS_INLINE void flight_starts(struct flight *flight, const struct core *core, const uint64_t *keys, size_t n)
{
    flight->walks = 0;
    for (size_t i = 0; i < n; i++) {
        flight->hashes[i] = soma__mix_hash(&core->hash.mix, keys[i]);
        PREFETCH(soma__dir_bucket_hint(&core->dir, WORD_CELL_LOG2, flight->hashes[i]));
    }
}

/* Fetches what the edge of a walk leads to, if that is an entry, and keeps the walk for the next round. */
ALWAYS_INLINE void walk_keep(struct flight *flight, size_t i, uint64_t edge)
{
    if ((edge & EDGE_BUCKET) == 0)
        PREFETCH(soma__edge_node(edge));
    flight->edges[flight->walks] = edge;
    flight->keys[flight->walks++] = i;
}

/* Takes a walk on by an entry. FOUND_FURTHER: it is kept; else it is over. */
ALWAYS_INLINE enum found walk_on(struct flight *flight, const struct core *core, size_t walk, uint64_t *value)
{
    const size_t i = flight->keys[walk];
    uint64_t next;
    const enum found found = find_from(&core->dir, flight->edges[walk], flight->hashes[i], value, &next);
    if (found == FOUND_FURTHER)
        walk_keep(flight, i, next);
    return found;
}

/* Takes each walk of a flight on; how many of them have found their key. */
ALWAYS_INLINE size_t get_round(struct flight *flight, const struct core *core, const uint64_t *keys, uint64_t *values,
                               bool *found)
{
    (void)keys; /* without probes */
    const size_t walks = flight->walks;
    size_t hits = 0;
    flight->walks = 0;
    for (size_t walk = 0; walk < walks; walk++) {
        const size_t i = flight->keys[walk];
        uint64_t value = 0;
        const enum found end = walk_on(flight, core, walk, &value);
        if (end == FOUND_FURTHER)
            continue;
        const bool hit =
            end == FOUND_MARKED ? find_at(core, flight->hashes[i], SOMA__NOW, &value) == SOMA_OK : end == FOUND;
        hits += answer_at(i, hit, value, values, found);
        SOMA_PROBE3(get_end, core, keys[i], hit ? SOMA_OK : SOMA_ABSENT);
    }
    return hits;
}

/* Looks up to WORD_FLIGHT keys up in rounds, each of which touches the lines that the one before has fetched: the buckets,
 * then an entry of each walk that is left, until none is. Every lookup takes the steps of find(), in their order. */
ALWAYS_INLINE size_t get_flight(const struct core *core, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    const struct soma__dir *dir = &core->dir;
    struct flight flight;
    size_t hits = 0;
    flight_starts(&flight, core, keys, n);
    for (size_t i = 0; i < n; i++) {
        const struct atom *bucket = soma__dir_bucket_hint(dir, WORD_CELL_LOG2, flight.hashes[i]);
        uint64_t value = 0;
        if (soma__cell_find(bucket, flight.hashes[i], &value)) {
            hits += answer_at(i, true, value, values, found);
            SOMA_PROBE3(get_end, core, keys[i], SOMA_OK);
            continue;
        }
        walk_keep(&flight, i, edge_onward(dir, bucket, flight.hashes[i]));
    }
    while (flight.walks > 0)
        hits += get_round(&flight, core, keys, values, found);
    return hits;
}

size_t soma_u64_get_many(const soma_u64 *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    if (UNLIKELY(!LIVES(map, WHAT_WORDS) || (!keys && n > 0) || n > CORE_MANY_MAX)) {
        MISUSE("map or keys is NULL, or n is absurd");
        return 0;
    }
    size_t hits = 0;
    for (size_t done = 0; done < n;) {
        const struct soma__section section = soma__section_enter();
        const size_t end = n - done < CORE_SECTION ? n : done + CORE_SECTION;
        while (done < end) {
            const size_t flight = end - done < WORD_FLIGHT ? end - done : WORD_FLIGHT;
            hits +=
                get_flight(&map->core, keys + done, flight, values ? values + done : NULL, found ? found + done : NULL);
            done += flight;
        }
        soma__section_exit(section);
    }
    return hits;
}

/* ---- Update ---- */

/* What an update wants, given what is there. */
struct verdict {
    enum {
        LEAVE,
        STORE,
        REMOVE
    } what;
    enum soma_status answer; /* if LEAVE */
    uint64_t value;          /* if STORE */
};

/* What a caller asked for: the arguments of one of the calls below. */
struct order {
    uint64_t key;
    uint64_t value;
    uint64_t expected;
    soma_u64_update_fn fn;
    void *ctx;
};

/* Known at compile time, so that each call below is a straight function. */
typedef struct verdict (*decide_fn)(const struct order *order, bool present, uint64_t value);

/* An update on its way: what stays the same from attempt to attempt. */
struct update {
    struct core *core;
    struct soma__reader *self;
    uint64_t hash;
    bool versions;            /* to be kept, see version.h */
    uint64_t stored;          /* the value that was put in, if one was */
    struct soma__node *fresh; /* made for this update, not linked */
};

static bool make_fresh(struct update *update)
{
    if (!update->fresh)
        update->fresh = soma__word_new(&update->core->dir, update->hash);
    return update->fresh != NULL;
}

/* The version that an update links while views are open. */
static bool make_version(struct update *update, uint64_t value)
{
    if (!update->fresh)
        update->fresh = soma__word_version(update->hash);
    if (!update->fresh)
        return false;
    soma__stamps_init(soma__stamps_at(update->fresh), STAMP_OPEN, STAMP_NONE);
    soma__value_init(update->fresh, value);
    return true;
}

static NOINLINE enum soma_status insert_version(struct update *update, struct soma__place *place, uint64_t value)
{
    if (!make_version(update, value))
        return SOMA_E_NOMEM;
    const enum soma_status status = soma__version_insert(update->core, update->self, place, update->fresh);
    if (status != SOMA_OK)
        return status;
    update->fresh = NULL;
    core_counted(update->core, update->self, 1);
    return SOMA_INSERTED;
}

static NOINLINE enum soma_status replace_version(struct update *update, struct soma__place *place, uint64_t edge,
                                                 uint64_t old, uint64_t value)
{
    if (!make_version(update, value))
        return SOMA_E_NOMEM;
    const enum soma_status status = soma__version_replace(update->core, update->self, place, edge, old, update->fresh);
    if (status != SOMA_OK)
        return status;
    update->fresh = NULL;
    return SOMA_REPLACED;
}

static NOINLINE enum soma_status remove_version(struct update *update, struct soma__place *place, uint64_t edge,
                                                uint64_t old)
{
    const enum soma_status status = soma__version_remove(update->core, update->self, place, edge, old);
    if (status != SOMA_OK)
        return status;
    core_counted(update->core, update->self, (uint64_t)-1);
    return SOMA_REMOVED;
}

static enum soma_status insert(struct update *update, struct soma__place *place, uint64_t value)
{
    if (update->versions)
        return insert_version(update, place, value);
    if (!make_fresh(update))
        return SOMA_E_NOMEM;
    const struct soma__dir *dir = &update->core->dir;
    const uint64_t successor = soma__edge_onward(place->word);
    soma__word_fill(dir, update->fresh, value, successor);
    if (!soma__edge_swap(place->prev, &place->word, soma__place_to(place, soma__edge_to_node(update->fresh))))
        return CORE_AGAIN;
    soma__word_linked(dir, update->fresh, successor);
    update->fresh = NULL;
    core_counted(update->core, update->self, 1);
    return SOMA_INSERTED;
}

/* Takes a frozen entry out, now or, if the place has changed, by walking there again; if even that cannot be, whoever
 * comes by next does it. There is room to retire it at the place. */
static void take_out(struct update *update, struct soma__place *place, uint64_t edge)
{
    struct soma__dir *dir = &update->core->dir;
    if (LIKELY(soma__order_unlink(&dir->shape.list, update->self, place->prev, &place->word, edge) == SOMA_OK))
        return;
    soma__word_walk_past(dir, update->self, update->hash);
}

ALWAYS_INLINE enum soma_status store(struct update *update, struct soma__place *place, struct soma__node *node,
                                     uint64_t edge, uint64_t old, uint64_t value)
{
    struct core *core = update->core;
    if (update->versions)
        return replace_version(update, place, edge, old, value);
#if HAVE_CAS16
    if (core->value_retire.word) {
        const uint64_t bytes = VALUE_BYTES + hanging_bytes(core, old);
        const enum soma_status room = soma__retire_prepare(update->self, &core->owner, bytes);
        if (room != SOMA_OK)
            return room;
    }
    if (!soma__node_swap(node, edge, old, edge, value))
        return CORE_AGAIN;
    if (core->value_retire.word)
        soma__retire(update->self, old, RETIRE_VALUE);
#else
    (void)old;
    if (!make_fresh(update))
        return SOMA_E_NOMEM;
    const enum soma_status room = soma__order_room(&core->dir.shape.list, update->self, node, edge);
    if (room != SOMA_OK)
        return room;
    soma__word_fill(&core->dir, update->fresh, value, edge);
    const uint64_t replaced = soma__edge_to_node(update->fresh) | EDGE_FROZEN | EDGE_REPLACED;
    if (!soma__edge_swap(&node->edge, &edge, replaced))
        return CORE_AGAIN;
    update->fresh = NULL;
    take_out(update, place, replaced);
#endif
    return SOMA_REPLACED;
}

static enum soma_status remove_entry(struct update *update, struct soma__place *place, struct soma__node *node,
                                     uint64_t edge, uint64_t old)
{
    if (update->versions)
        return remove_version(update, place, edge, old);
    /* For the value that is to go: until the swap another may come, and go again. */
    const uint64_t bytes = bytes_with(update->core, node, update->core->value_retire.word != NULL, old);
    const enum soma_status room = bytes ? soma__retire_prepare(update->self, &update->core->owner, bytes) : SOMA_OK;
    if (room != SOMA_OK)
        return room;
    ASSERT("O6", (edge & EDGE_TENTATIVE) == 0);
    if (!soma__node_swap(node, edge, old, edge | EDGE_FROZEN, old))
        return CORE_AGAIN;
    take_out(update, place, edge | EDGE_FROZEN);
    core_counted(update->core, update->self, (uint64_t)-1);
    return SOMA_REMOVED;
}

/* One attempt: find the key, ask what to do, do it if nothing has changed since. *old is what was there. */
ALWAYS_INLINE enum soma_status attempt(struct update *update, decide_fn decide, const struct order *order,
                                       uint64_t *old)
{
    struct soma__dir *dir = &update->core->dir;
    struct soma__place place;
    place.prev = soma__dir_bucket(dir, WORD_CELL_LOG2, update->self, update->hash);
    const enum soma_status walked =
        soma__dir_walk(dir, WORD_CELL_LOG2, update->self, update->hash, NULL, soma__before_word, &place);
    if (UNLIKELY(walked != SOMA_OK))
        return walked < 0 ? walked : CORE_AGAIN;
    struct soma__node *node = place.word & EDGE_BUCKET ? NULL : soma__edge_node(place.word);
    if (!node || soma__hash_read(node) != update->hash) {
        const struct verdict verdict = decide(order, false, 0);
        *old = 0;
        update->stored = verdict.value;
        if (verdict.what == STORE)
            return insert(update, &place, verdict.value);
        return verdict.what == REMOVE ? SOMA_ABSENT : verdict.answer;
    }
    *old = soma__value_read(node);
    const uint64_t edge = soma__edge_read(&node->edge);
    if (UNLIKELY(edge & EDGE_FROZEN))
        return CORE_AGAIN;
    const struct verdict verdict = decide(order, true, *old);
    update->stored = verdict.value;
    if (verdict.what == STORE)
        return store(update, &place, node, edge, *old, verdict.value);
    if (verdict.what == REMOVE)
        return remove_entry(update, &place, node, edge, *old);
    return verdict.answer;
}

/* Takes what was there off the map's digest, and adds what is there now. `state` is FNV-1a of the key. */
static NOINLINE void digest_update(struct core *core, const struct soma__reader *self, uint64_t hash, uint64_t state,
                                   enum soma_status status, uint64_t old, uint64_t stored)
{
    const bool went = status == SOMA_REPLACED || status == SOMA_REMOVED;
    const bool came = status == SOMA_REPLACED || status == SOMA_INSERTED;
    if (!went && !came)
        return;
    uint64_t change[2] = {0, 0};
    if (came)
        soma__digest_add(core->digest_key, soma__fnv1a64_word(stored, state), 1, change);
    if (went)
        soma__digest_add(core->digest_key, soma__fnv1a64_word(old, state), (uint64_t)-1, change);
    core_digest_change(core, self, hash, change);
}

/* All attempts of an update, inside a section. */
ALWAYS_INLINE enum soma_status attempts(struct core *core, struct soma__reader *self, decide_fn decide,
                                        const struct order *order, uint64_t *old)
{
    struct update update = {.core = core,
                            .self = self,
                            .hash = soma__mix_hash(&core->hash.mix, order->key),
                            .versions = soma__clock_runs(&core->clock)};
    SOMA_PROBE4(update_begin, core, order->key, NULL, sizeof order->key);
    uint64_t state = SOMA_FNV1A64_BASIS;
    if (core_digests(core)) /* beside the lookup, whose cache misses leave time for it */
        state = soma__fnv1a64_word(order->key, state);
    enum soma_status status;
    do {
        status = attempt(&update, decide, order, old);
        if (UNLIKELY(status == CORE_AGAIN))
            core_again(core, self, update.hash);
    } while (UNLIKELY(status == CORE_AGAIN));
    if (UNLIKELY(update.fresh != NULL))
        soma__word_drop(&core->dir, update.fresh);
    if (core_digests(core))
        digest_update(core, self, update.hash, state, status, *old, update.stored);
    SOMA_PROBE3(update_end, core, order->key, status);
    return status;
}

ALWAYS_INLINE enum soma_status update_map(soma_u64 *map, decide_fn decide, const struct order *order, uint64_t *old)
{
    if (UNLIKELY(!WRITES(map, WHAT_WORDS))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    unsigned tries = 0;
    uint64_t found = 0;
    enum soma_status status;
    do {
        const struct soma__section section = soma__section_enter();
        status = attempts(&map->core, section.self, decide, order, &found);
        core_exit(&map->core, section);
    } while (UNLIKELY(status < 0) && core_retry(&map->core, status, &tries));
    if (old && status >= 0 && status != SOMA_ABSENT)
        *old = found;
    return status;
}

/* ---- The calls, each as what it decides ---- */

ALWAYS_INLINE struct verdict decide_put(const struct order *order, bool present, uint64_t value)
{
    (void)present, (void)value;
    return (struct verdict){.what = STORE, .value = order->value};
}

enum soma_status soma_u64_put(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    CALL();
    const struct order order = {.key = key, .value = value};
    uint64_t found;
    const enum soma_status status = update_map(map, decide_put, &order, &found);
    if (old && status == SOMA_REPLACED)
        *old = found;
    return status;
}

ALWAYS_INLINE struct verdict decide_put_new(const struct order *order, bool present, uint64_t value)
{
    (void)value;
    return present ? (struct verdict){.what = LEAVE, .answer = SOMA_EXISTS}
                   : (struct verdict){.what = STORE, .value = order->value};
}

enum soma_status soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    CALL();
    const struct order order = {.key = key, .value = value};
    uint64_t found;
    const enum soma_status status = update_map(map, decide_put_new, &order, &found);
    if (present && status == SOMA_EXISTS)
        *present = found;
    return status;
}

ALWAYS_INLINE struct verdict decide_replace(const struct order *order, bool present, uint64_t value)
{
    (void)value;
    return present ? (struct verdict){.what = STORE, .value = order->value}
                   : (struct verdict){.what = LEAVE, .answer = SOMA_ABSENT};
}

enum soma_status soma_u64_replace(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    CALL();
    const struct order order = {.key = key, .value = value};
    return update_map(map, decide_replace, &order, old);
}

ALWAYS_INLINE struct verdict decide_cas(const struct order *order, bool present, uint64_t value)
{
    if (!present)
        return (struct verdict){.what = LEAVE, .answer = SOMA_ABSENT};
    if (value != order->expected)
        return (struct verdict){.what = LEAVE, .answer = SOMA_CHANGED};
    return (struct verdict){.what = STORE, .value = order->value};
}

enum soma_status soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    CALL();
    const struct order order = {.key = key, .value = desired, .expected = expected};
    return update_map(map, decide_cas, &order, actual);
}

ALWAYS_INLINE struct verdict decide_remove(const struct order *order, bool present, uint64_t value)
{
    (void)order, (void)present, (void)value;
    return (struct verdict){.what = REMOVE};
}

enum soma_status soma_u64_remove(soma_u64 *map, uint64_t key, uint64_t *old)
{
    CALL();
    const struct order order = {.key = key};
    return update_map(map, decide_remove, &order, old);
}

ALWAYS_INLINE struct verdict decide_remove_if(const struct order *order, bool present, uint64_t value)
{
    if (present && value != order->expected)
        return (struct verdict){.what = LEAVE, .answer = SOMA_CHANGED};
    return (struct verdict){.what = REMOVE};
}

enum soma_status soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    CALL();
    const struct order order = {.key = key, .expected = expected};
    return update_map(map, decide_remove_if, &order, actual);
}

ALWAYS_INLINE struct verdict decide_add(const struct order *order, bool present, uint64_t value)
{
    return (struct verdict){.what = STORE, .value = (present ? value : 0) + order->value};
}

enum soma_status soma_u64_fetch_add(soma_u64 *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    CALL();
    const struct order order = {.key = key, .value = delta};
    return update_map(map, decide_add, &order, old);
}

ALWAYS_INLINE struct verdict decide_update(const struct order *order, bool present, uint64_t value)
{
    uint64_t next = present ? value : 0;
    CALLBACK_BEGINS();
    const enum soma_status answer = order->fn(order->key, present, &next, order->ctx);
    CALLBACK_ENDS();
    switch (answer) {
    case SOMA_OK:
        return (struct verdict){.what = STORE, .value = next};
    case SOMA_REMOVED:
        return (struct verdict){.what = REMOVE};
    case SOMA_EXISTS:
        return (struct verdict){.what = LEAVE, .answer = present ? SOMA_EXISTS : SOMA_ABSENT};
    default:
        MISUSE("the callback answered neither OK, REMOVED nor EXISTS");
        return (struct verdict){.what = LEAVE, .answer = SOMA_E_INVALID};
    }
}

enum soma_status soma_u64_update(soma_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx)
{
    CALL();
    if (UNLIKELY(!fn)) {
        MISUSE("fn is NULL");
        return SOMA_E_INVALID;
    }
    const struct order order = {.key = key, .fn = fn, .ctx = ctx};
    return update_map(map, decide_update, &order, NULL);
}

/* ---- Many updates ---- */

/* What the updates of one call have in common, and where their answers go. */
struct batch {
    const uint64_t *keys;
    const uint64_t *values; /* of puts, else NULL */
    size_t n;
    uint64_t *old; /* or NULL */
    bool *found;   /* or NULL */
    size_t done;
};

/* Fetches what up to WORD_FLIGHT updates will walk through, by looking their keys up and forgetting what was found: the
 * updates walk again, over lines that are near. */
ALWAYS_INLINE void fetch_flight(const struct core *core, const uint64_t *keys, size_t n)
{
    const struct soma__dir *dir = &core->dir;
    struct flight flight;
    flight_starts(&flight, core, keys, n);
    for (size_t i = 0; i < n; i++) {
        const uint64_t hash = flight.hashes[i];
        walk_keep(&flight, i, edge_onward(dir, soma__dir_bucket_hint(dir, WORD_CELL_LOG2, hash), hash));
    }
    while (flight.walks > 0) {
        const size_t walks = flight.walks;
        flight.walks = 0;
        for (size_t walk = 0; walk < walks; walk++) {
            uint64_t value;
            (void)walk_on(&flight, core, walk, &value);
        }
    }
}

ALWAYS_INLINE enum soma_status update_one(struct core *core, struct soma__reader *self, decide_fn decide,
                                          struct batch *batch)
{
    const size_t i = batch->done;
    const struct order order = {.key = batch->keys[i], .value = batch->values ? batch->values[i] : 0};
    uint64_t old = 0;
    const enum soma_status status = attempts(core, self, decide, &order, &old);
    if (status < 0)
        return status;
    answer_at(i, status == SOMA_REPLACED || status == SOMA_REMOVED, old, batch->old, batch->found);
    batch->done++;
    return SOMA_OK;
}

/* Up to a section's worth of updates. */
ALWAYS_INLINE enum soma_status update_section(struct core *core, struct soma__reader *self, decide_fn decide,
                                              struct batch *batch)
{
    const size_t end = batch->n - batch->done < CORE_SECTION ? batch->n : batch->done + CORE_SECTION;
    while (batch->done < end) {
        const size_t flight = end - batch->done < WORD_FLIGHT ? end - batch->done : WORD_FLIGHT;
        fetch_flight(core, batch->keys + batch->done, flight);
        for (size_t i = 0; i < flight; i++) {
            const enum soma_status status = update_one(core, self, decide, batch);
            if (status < 0)
                return status;
        }
    }
    return SOMA_OK;
}

ALWAYS_INLINE enum soma_status update_many(soma_u64 *map, decide_fn decide, struct batch *batch)
{
    enum soma_status status = SOMA_OK;
    unsigned tries = 0;
    while (batch->done < batch->n && status >= 0) {
        const size_t before = batch->done;
        const struct soma__section section = soma__section_enter();
        status = update_section(&map->core, section.self, decide, batch);
        core_exit_many(&map->core, section, batch->done - before);
        tries = batch->done > before ? 0 : tries;
        if (status < 0 && core_retry(&map->core, status, &tries))
            status = SOMA_OK;
    }
    return status;
}

enum soma_status soma_u64_put_many(soma_u64 *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_WORDS) || (n > 0 && (!keys || !values)) || n > CORE_MANY_MAX)) {
        MISUSE("map, keys or values is NULL, or n is absurd");
        return SOMA_E_INVALID;
    }
    struct batch batch = {.keys = keys, .values = values, .n = n};
    const enum soma_status status = update_many(map, decide_put, &batch);
    if (done)
        *done = batch.done;
    return status;
}

enum soma_status soma_u64_remove_many(soma_u64 *map, const uint64_t *keys, size_t n, uint64_t *old, bool *found,
                                      size_t *done)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_WORDS) || (n > 0 && !keys) || n > CORE_MANY_MAX)) {
        MISUSE("map or keys is NULL, or n is absurd");
        return SOMA_E_INVALID;
    }
    struct batch batch = {.keys = keys, .n = n, .old = old, .found = found};
    const enum soma_status status = update_many(map, decide_remove, &batch);
    if (done)
        *done = batch.done;
    return status;
}

/* ---- Taking from a place on ---- */

struct take {
    struct soma__take common; /* first */
    soma_u64_take_fn fn;      /* or NULL */
    void *ctx;
    uint64_t *keys;   /* or NULL */
    uint64_t *values; /* or NULL */
};

/* SOMA_REMOVED, SOMA_EXISTS or SOMA_END. */
static enum soma_status take_ask(const struct take *take, uint64_t key, uint64_t value)
{
    if (!take->fn)
        return SOMA_REMOVED;
    CALLBACK_BEGINS();
    const enum soma_status answer = take->fn(key, value, take->ctx);
    CALLBACK_ENDS();
    if (answer == SOMA_REMOVED || answer == SOMA_EXISTS || answer == SOMA_END)
        return answer;
    MISUSE("the callback answered neither REMOVED, EXISTS nor END");
    return SOMA_E_INVALID;
}

/* Deals with a key that had this value. SOMA_OK: it has been taken, or is to stay, or has gone. */
static enum soma_status take_one(struct core *core, struct soma__reader *self, struct take *take, uint64_t key,
                                 uint64_t value)
{
    struct order order = {.key = key, .expected = value};
    for (;;) {
        const enum soma_status answer = take_ask(take, key, order.expected);
        if (answer != SOMA_REMOVED)
            return answer == SOMA_EXISTS ? SOMA_OK : answer;
        uint64_t old = 0;
        const enum soma_status status = attempts(core, self, decide_remove_if, &order, &old);
        if (status == SOMA_CHANGED) {
            order.expected = old;
            continue;
        }
        if (status != SOMA_REMOVED)
            return status == SOMA_ABSENT ? SOMA_OK : status;
        const size_t i = take->common.taken++;
        if (take->keys)
            take->keys[i] = key;
        if (take->values)
            take->values[i] = old;
        return SOMA_OK;
    }
}

static enum soma_status take_some(struct core *core, struct soma__reader *self, struct soma__take *common)
{
    struct take *take = (struct take *)common;
    struct soma__scan *scan = &common->scan;
    enum soma_status status = SOMA_OK;
    soma__scan_enter(core, KIND_WORDS, scan);
    for (unsigned looked = 0; looked < TAKE_ENTRIES && common->taken < common->n; looked++) {
        if (!soma__scan_next(core, KIND_WORDS, scan, SOMA__NOW))
            break;
        status = take_one(core, self, take, soma__mix_inverse(&core->hash.mix, scan->hash), scan->word);
        if (status != SOMA_OK)
            break;
        soma__scan_pass(scan, (struct soma_bytes){.data = NULL});
    }
    /* No other key has the hash of one that is done with. */
    if (scan->after) {
        scan->ended = scan->ended || scan->from == UINT64_MAX;
        scan->from++;
        scan->after = false;
    }
    return status;
}

enum soma_status soma_u64_take(soma_u64 *map, uint64_t *place, size_t n, soma_u64_take_fn fn, void *ctx, uint64_t *keys,
                               uint64_t *values, size_t *taken)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_WORDS) || !place || (n > CORE_MANY_MAX && (keys || values)))) {
        MISUSE("map or place is NULL, or n is absurd");
        return SOMA_E_INVALID;
    }
    struct take take = {.common.n = n, .fn = fn, .ctx = ctx, .keys = keys, .values = values};
    const enum soma_status status = soma__take_all(&map->core, &take.common, take_some, place);
    if (taken)
        *taken = take.common.taken;
    return status;
}

/* ---- Birth and death, size ---- */

/* struct_size 0 stands for the first release's fields, which are all there are. */
static bool options_known(const struct soma_u64_options *options)
{
    return options->struct_size == 0 || options->struct_size == sizeof *options;
}

enum soma_status soma_u64_new(const struct soma_u64_options *options, soma_u64 **out)
{
    CALL();
    static const struct soma_u64_options defaults;
    const struct soma_u64_options *given = options ? options : &defaults;
    if (!out || !options_known(given)) {
        MISUSE("out is NULL, or options.struct_size is of no known release");
        return SOMA_E_INVALID;
    }
    if (given->value_bytes && !given->value_retire) {
        MISUSE("options.value_bytes is set without value_retire, before which alone it counts: set both");
        return SOMA_E_INVALID;
    }
    const struct core_options common = {.reserve = given->reserve,
                                        .flags = given->flags,
                                        .deferred_bytes_max = given->deferred_bytes_max,
                                        .stall_ns = given->stall_ns,
                                        .stall = given->stall,
                                        .ctx = given->ctx,
                                        .load_percent = given->load_percent,
                                        .digest_key = given->digest_key};
    uint64_t seed[2] = {given->seed[0], given->seed[1]};
    struct core *core;
    const enum soma_status status = core_new(&common, &shape, &core);
    if (status != SOMA_OK)
        return status;
    if (seed[0] == 0 && seed[1] == 0)
        soma__seed_random(seed);
    soma__mix_init(&core->hash.mix, seed);
    core->value_retire.word = given->value_retire;
    core->value_bytes.word = given->value_bytes;
    *out = (soma_u64 *)core;
    BORN(core, WHAT_WORDS, NULL);
    return SOMA_OK;
}

void soma_u64_free(soma_u64 *map)
{
    if (map && ENDS(map, WHAT_WORDS))
        core_free(&map->core);
}

enum soma_status soma_u64_clear(soma_u64 *map)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_WORDS))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_clear(&map->core);
}

uint64_t soma_u64_count_approx(const soma_u64 *map)
{
    return LIVES_OR_SAYS(map, WHAT_WORDS) ? core_count(&map->core) : 0;
}

enum soma_status soma_u64_reserve(soma_u64 *map, uint64_t n)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_WORDS))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_reserve(&map->core, n);
}

enum soma_status soma_u64_shrink(soma_u64 *map)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_WORDS))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_shrink(&map->core);
}
