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
 *   get       found: at the read of the value, since the link, read after it, was not frozen. Absent: at the read of the
 *             edge that led past the key's place, or at the freezing of the entry that was found frozen, if that was
 *             later: an entry that is reached was linked when the edge to it was read, and while a frozen entry is
 *             linked no other with its key is (inserting takes it out first).
 *   update    at the swap that changes the value, links the entry or freezes it (WORD-1, ORDER-3).
 *   no change at the read of the value, with the link unfrozen after it; absent, at the read of the edge, as get.
 * Progress    A lookup never goes back: wait-free but for insertions into its bucket and buckets set up ahead of it. An
 *             update goes back only when another update has got in.
 */
#include <soma/u64.h>

#include "map/core.h"
#include "map/map_internal.h"
#include "mem/mem.h"

struct word_entry {
    struct soma__node node; /* node.second is the value */
    uint64_t stamps;        /* room for the times of birth and death that views will need */
} ALIGNED(16);

_Static_assert(sizeof(struct word_entry) == 32, "two entries a line");
_Static_assert(offsetof(struct word_entry, node.second) == 8, "edge and value are one 16-byte word");

/* What a value that waits for its readers counts towards the cap, where values are to be retired. */
#define VALUE_BYTES 16

/* Kinds of retired items: (entry, RETIRE_ENTRY) and (value, RETIRE_VALUE). */
enum {
    RETIRE_ENTRY,
    RETIRE_VALUE
};

static uint64_t entry_bytes(const struct soma__node *node)
{
    (void)node;
    return sizeof(struct word_entry);
}

/* order WORD-2 acquire | guarded by: value | pairs: WORD-1, WORD-3
 * weaker: what the value points to is read before it is written; and the link is read before the value, so that a value
 * given after the entry's removal passes for live. */
ALWAYS_INLINE uint64_t value_read(const struct soma__node *node)
{
    return atom_load_acq(&node->second);
}

/* order WORD-3 relaxed | not yet shared: ORDER-3 publishes it | pairs: WORD-2 */
ALWAYS_INLINE void value_init(struct soma__node *node, uint64_t value)
{
    atom_store_rlx(&node->second, value);
}

/* ---- Retiring values ---- */

static void release(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    const struct core *core = core_of_owner(owner);
    uint64_t value = a;
    if (b == RETIRE_ENTRY) {
        struct word_entry *entry = (struct word_entry *)(uintptr_t)a;
        value = value_read(&entry->node);
        soma__mem_free(entry, sizeof *entry);
    }
    if (core->value_retire.word)
        core->value_retire.word(value, core->ctx);
}

/* ---- Lookup ---- */

/* The one walk of all lookups, from an edge on. It may stand on entries that are no longer linked (see above). */
ALWAYS_INLINE bool find_from(const struct soma__dir *dir, uint64_t edge, uint64_t hash, uint64_t *value)
{
    for (;;) {
        if (UNLIKELY(edge & EDGE_BUCKET)) {
            if (LIKELY(soma__dir_edge_ends(dir, edge, hash)))
                return false;
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        if (node->hash > hash)
            return false;
        if (node->hash == hash) {
            const uint64_t found = value_read(node);
            edge = soma__edge_read(&node->edge);
            if (LIKELY((edge & EDGE_FROZEN) == 0)) {
                *value = found;
                return true;
            }
            if ((edge & EDGE_REPLACED) == 0)
                return false;
            continue; /* to its replacement */
        }
        edge = soma__edge_read(&node->edge);
    }
}

/* A lookup from its bucket on. Most hits are the bucket's first entry, and a plain edge to it needs no unpacking. */
ALWAYS_INLINE bool find(const struct soma__dir *dir, uint64_t hash, uint64_t *value)
{
    const uint64_t word = soma__edge_read(soma__dir_bucket_hint(dir, hash));
    if (LIKELY((word & EDGE_FLAGS) == 0 && word != 0)) {
        const struct soma__node *node = (const struct soma__node *)(uintptr_t)word;
        if (LIKELY(node->hash == hash)) {
            *value = value_read(node);
            if (LIKELY((soma__edge_read(&node->edge) & EDGE_FROZEN) == 0))
                return true;
        }
        return find_from(dir, word, hash, value);
    }
    return find_from(dir, soma__dir_start(dir, hash), hash, value);
}

ALWAYS_INLINE enum soma_status get(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    const uint64_t hash = soma__mix_hash(&map->core.hash.mix, key);
    uint64_t found;
    if (!find(&map->core.dir, hash, &found))
        return SOMA_ABSENT;
    if (value)
        *value = found;
    return SOMA_OK;
}

static NOINLINE enum soma_status get_slow(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    if (!map) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = get(map, key, value);
    soma__section_exit(section);
    return status;
}

/* The fast path calls nothing but in its tail: the fewer instructions a lookup takes, the more lookups the processor
 * has under way, and the more of their cache misses overlap. */
enum soma_status soma_u64_get(const soma_u64 *map, uint64_t key, uint64_t *value)
{
    struct soma__reader *self = soma__self;
    if (UNLIKELY(!self || !map))
        return get_slow(map, key, value);
    const struct soma__section section = soma__section_open(self);
    const enum soma_status status = get(map, key, value);
    soma__section_close(section);
    return status;
}

/* Looks up to CORE_FLIGHT keys up in three rounds, each of which touches the lines that the one before has fetched. */
ALWAYS_INLINE size_t get_flight(const struct core *core, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    uint64_t hashes[CORE_FLIGHT];
    uint64_t edges[CORE_FLIGHT];
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        hashes[i] = soma__mix_hash(&core->hash.mix, keys[i]);
        PREFETCH(soma__dir_bucket_hint(&core->dir, hashes[i]));
    }
    for (size_t i = 0; i < n; i++) {
        edges[i] = soma__dir_start(&core->dir, hashes[i]);
        if ((edges[i] & EDGE_BUCKET) == 0)
            PREFETCH(soma__edge_node(edges[i]));
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        const bool hit = find_from(&core->dir, edges[i], hashes[i], &value);
        if (hit && values)
            values[i] = value;
        if (found)
            found[i] = hit;
        hits += hit;
    }
    return hits;
}

size_t soma_u64_get_many(const soma_u64 *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    if (UNLIKELY(!map || (!keys && n > 0) || n > CORE_MANY_MAX)) {
        MISUSE("map or keys is NULL, or n is absurd");
        return 0;
    }
    size_t hits = 0;
    for (size_t done = 0; done < n;) {
        const struct soma__section section = soma__section_enter();
        const size_t end = n - done < CORE_SECTION ? n : done + CORE_SECTION;
        while (done < end) {
            const size_t flight = end - done < CORE_FLIGHT ? end - done : CORE_FLIGHT;
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
    struct word_entry *fresh; /* made for this update, not linked */
};

static bool make_fresh(struct update *update)
{
    if (update->fresh)
        return true;
    update->fresh = soma__mem_alloc(sizeof *update->fresh);
    if (!update->fresh)
        return false;
    update->fresh->node.hash = update->hash;
    update->fresh->stamps = 0;
    return true;
}

/* Gives the value and the successor; linking publishes both. */
ALWAYS_INLINE void fill_fresh(const struct update *update, uint64_t value, uint64_t successor)
{
    value_init(&update->fresh->node, value);
    soma__edge_init(&update->fresh->node.edge, successor);
}

static enum soma_status insert(struct update *update, struct soma__place *place, uint64_t value)
{
    if (!make_fresh(update))
        return SOMA_E_NOMEM;
    fill_fresh(update, value, place->word);
    if (!soma__edge_swap(place->prev, &place->word, soma__edge_to_node(&update->fresh->node)))
        return CORE_AGAIN;
    update->fresh = NULL;
    core_counted(update->core, update->self, 1);
    return SOMA_INSERTED;
}

/* Takes a frozen entry out, now or, if the place has changed, by walking there again; if even that cannot be, whoever
 * comes by next does it. There is room to retire it at the place. */
static void take_out(struct update *update, struct soma__place *place, uint64_t edge)
{
    const struct soma__dir *dir = &update->core->dir;
    if (LIKELY(soma__order_unlink(&dir->list, update->self, place->prev, &place->word, edge) == SOMA_OK))
        return;
    enum soma_status status;
    do {
        place->prev = soma__dir_bucket(&update->core->dir, update->self, update->hash);
        status = soma__dir_walk(dir, update->self, update->hash, NULL, soma__before_hash, place);
    } while (status == SOMA_CHANGED);
}

/* order WORD-1 acqrel | guards: what the value points to | pairs: WORD-2
 * weaker: as WORD-2. One swap of link and value; see atom_cas16_acqrel(). Without it, ORDER-3 does all. */
static enum soma_status store(struct update *update, struct soma__place *place, struct soma__node *node, uint64_t edge,
                              uint64_t old, uint64_t value)
{
    struct core *core = update->core;
#if HAVE_CAS16
    (void)place;
    if (core->value_retire.word) {
        const enum soma_status room = soma__retire_prepare(update->self, &core->owner, VALUE_BYTES);
        if (room != SOMA_OK)
            return room;
    }
    if (!atom_cas16_acqrel(&node->edge, edge, old, edge, value)) /* WORD-1 */
        return CORE_AGAIN;
    if (core->value_retire.word)
        soma__retire(update->self, old, RETIRE_VALUE, VALUE_BYTES);
#else
    (void)old;
    if (!make_fresh(update))
        return SOMA_E_NOMEM;
    const enum soma_status room = soma__retire_prepare(update->self, &core->owner, sizeof *update->fresh);
    if (room != SOMA_OK)
        return room;
    fill_fresh(update, value, edge);
    const uint64_t replaced = soma__edge_to_node(&update->fresh->node) | EDGE_FROZEN | EDGE_REPLACED;
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
    const enum soma_status room = soma__retire_prepare(update->self, &update->core->owner, sizeof(struct word_entry));
    if (room != SOMA_OK)
        return room;
#if HAVE_CAS16
    if (!atom_cas16_acqrel(&node->edge, edge, old, edge | EDGE_FROZEN, old)) /* WORD-1 */
        return CORE_AGAIN;
#else
    (void)old;
    if (!soma__edge_swap(&node->edge, &edge, edge | EDGE_FROZEN))
        return CORE_AGAIN;
#endif
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
    place.prev = soma__dir_bucket(dir, update->self, update->hash);
    const enum soma_status walked = soma__dir_walk(dir, update->self, update->hash, NULL, soma__before_hash, &place);
    if (UNLIKELY(walked != SOMA_OK))
        return walked < 0 ? walked : CORE_AGAIN;
    struct soma__node *node = place.word & EDGE_BUCKET ? NULL : soma__edge_node(place.word);
    if (!node || node->hash != update->hash) {
        const struct verdict verdict = decide(order, false, 0);
        *old = 0;
        if (verdict.what == STORE)
            return insert(update, &place, verdict.value);
        return verdict.what == REMOVE ? SOMA_ABSENT : verdict.answer;
    }
    *old = value_read(node);
    const uint64_t edge = soma__edge_read(&node->edge);
    if (UNLIKELY(edge & EDGE_FROZEN))
        return CORE_AGAIN;
    const struct verdict verdict = decide(order, true, *old);
    if (verdict.what == STORE)
        return store(update, &place, node, edge, *old, verdict.value);
    if (verdict.what == REMOVE)
        return remove_entry(update, &place, node, edge, *old);
    return verdict.answer;
}

/* All attempts of an update, inside a section. */
ALWAYS_INLINE enum soma_status attempts(struct core *core, struct soma__reader *self, decide_fn decide,
                                        const struct order *order, uint64_t *old)
{
    struct update update = {.core = core, .self = self, .hash = soma__mix_hash(&core->hash.mix, order->key)};
    enum soma_status status;
    do {
        status = attempt(&update, decide, order, old);
    } while (UNLIKELY(status == CORE_AGAIN));
    if (UNLIKELY(update.fresh != NULL))
        soma__mem_free(update.fresh, sizeof *update.fresh);
    return status;
}

ALWAYS_INLINE enum soma_status update_map(soma_u64 *map, decide_fn decide, const struct order *order, uint64_t *old)
{
    if (UNLIKELY(!map)) {
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
    const struct order order = {.key = key, .expected = expected};
    return update_map(map, decide_remove_if, &order, actual);
}

ALWAYS_INLINE struct verdict decide_add(const struct order *order, bool present, uint64_t value)
{
    return (struct verdict){.what = STORE, .value = (present ? value : 0) + order->value};
}

enum soma_status soma_u64_fetch_add(soma_u64 *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    const struct order order = {.key = key, .value = delta};
    return update_map(map, decide_add, &order, old);
}

ALWAYS_INLINE struct verdict decide_update(const struct order *order, bool present, uint64_t value)
{
    uint64_t next = present ? value : 0;
    switch (order->fn(order->key, present, &next, order->ctx)) {
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
    if (UNLIKELY(!fn)) {
        MISUSE("fn is NULL");
        return SOMA_E_INVALID;
    }
    const struct order order = {.key = key, .fn = fn, .ctx = ctx};
    return update_map(map, decide_update, &order, NULL);
}

/* ---- Many puts ---- */

/* Fetches what the puts of a flight will walk through. */
ALWAYS_INLINE void fetch_flight(const struct core *core, const uint64_t *keys, size_t n)
{
    uint64_t hashes[CORE_FLIGHT];
    for (size_t i = 0; i < n; i++) {
        hashes[i] = soma__mix_hash(&core->hash.mix, keys[i]);
        PREFETCH(soma__dir_bucket_hint(&core->dir, hashes[i]));
    }
    for (size_t i = 0; i < n; i++)
        PREFETCH(soma__edge_node(soma__dir_start(&core->dir, hashes[i])));
}

/* Stores up to a section's worth of pairs; *done goes up with each. */
static enum soma_status put_section(struct core *core, struct soma__reader *self, const uint64_t *keys,
                                    const uint64_t *values, size_t end, size_t *done)
{
    while (*done < end) {
        const size_t flight = end - *done < CORE_FLIGHT ? end - *done : CORE_FLIGHT;
        fetch_flight(core, keys + *done, flight);
        for (size_t i = 0; i < flight; i++) {
            const struct order order = {.key = keys[*done], .value = values[*done]};
            uint64_t old;
            const enum soma_status status = attempts(core, self, decide_put, &order, &old);
            if (status < 0)
                return status;
            ++*done;
        }
    }
    return SOMA_OK;
}

enum soma_status soma_u64_put_many(soma_u64 *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done)
{
    if (UNLIKELY(!map || (n > 0 && (!keys || !values)) || n > CORE_MANY_MAX)) {
        MISUSE("map, keys or values is NULL, or n is absurd");
        return SOMA_E_INVALID;
    }
    enum soma_status status = SOMA_OK;
    size_t stored = 0;
    unsigned tries = 0;
    while (stored < n && status >= 0) {
        const size_t before = stored;
        const struct soma__section section = soma__section_enter();
        status = put_section(&map->core, section.self, keys, values,
                             n - stored < CORE_SECTION ? n : stored + CORE_SECTION, &stored);
        core_exit(&map->core, section);
        tries = stored > before ? 0 : tries;
        if (status < 0 && core_retry(&map->core, status, &tries))
            status = SOMA_OK;
    }
    if (done)
        *done = stored;
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
    static const struct soma_u64_options defaults;
    const struct soma_u64_options *given = options ? options : &defaults;
    if (!out || !options_known(given)) {
        MISUSE("out is NULL, or options.struct_size is of no known release");
        return SOMA_E_INVALID;
    }
    const struct core_options common = {.reserve = given->reserve,
                                        .flags = given->flags,
                                        .deferred_bytes_max = given->deferred_bytes_max,
                                        .stall_ns = given->stall_ns,
                                        .stall = given->stall,
                                        .ctx = given->ctx};
    uint64_t seed[2] = {given->seed[0], given->seed[1]};
    struct core *core;
    const enum soma_status status = core_new(&common, release, entry_bytes, &core);
    if (status != SOMA_OK)
        return status;
    if (seed[0] == 0 && seed[1] == 0)
        soma__seed_random(seed);
    soma__mix_init(&core->hash.mix, seed);
    core->value_retire.word = given->value_retire;
    *out = (soma_u64 *)core;
    return SOMA_OK;
}

void soma_u64_free(soma_u64 *map)
{
    if (map)
        core_free(&map->core);
}

enum soma_status soma_u64_clear(soma_u64 *map)
{
    if (UNLIKELY(!map)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_clear(&map->core);
}

uint64_t soma_u64_count_approx(const soma_u64 *map)
{
    return map ? core_count(&map->core) : 0;
}

enum soma_status soma_u64_reserve(soma_u64 *map, uint64_t n)
{
    if (UNLIKELY(!map)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_reserve(&map->core, n);
}

enum soma_status soma_u64_shrink(soma_u64 *map)
{
    if (UNLIKELY(!map)) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_shrink(&map->core);
}
