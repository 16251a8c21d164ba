/* SPDX-License-Identifier: ISC */
/* bytes.c - the byte map.
 *
 * An entry is one piece of memory: link, lengths, hash, value, key. It does not change once it is linked: a put on a key
 * that is there links a new entry behind the old one and freezes the old one in the same swap (REPLACED), so nobody ever
 * sees both or neither. Keys with the same hash stand in the order of their lengths, then of their bytes, so a key has
 * one place whatever the hash does.
 *
 * The exception is a value of 8 bytes, a word, which stands beside the link, as in the word map: soma_map_fetch_add()
 * changes it in place, by a 16-byte swap that expects the link unfrozen. So every swap that freezes an entry is of both
 * words, and expects the value that the update has decided upon.
 *
 * Each entry has a number that no other ever gets, its version. Who asks for it must not find another value under it later.
 * So an update in place takes an entry only if nobody has asked; and who asks for the version of an entry that might
 * change in place first replaces it by one that is born asked. In a view nothing changes in place, so there the
 * mark is just set: updates in place that may not know of it had ended before the view was open. A lookup beside them may
 * have read the word earlier; so who finds the mark reads the word behind it.
 *
 * Takes effect
 *   lookups   found: at the read of the word beside the link, which was not frozen when it was read after it; at the
 *             freezing, if it was frozen by a replacement, which is then looked at in the same way. Absent: as in u64.c.
 *   updates   at the swap that links, freezes or adds (ORDER-3, ORDER-6).
 * Progress    As in u64.c.
 */
#include <string.h>

#include <soma/digest.h>
#include <soma/map.h>

#include "map/bytes.h"
#include "map/core.h"
#include "map/map_internal.h"
#include "map/take.h"
#include "map/version.h"
#include "mem/mem.h"

struct byte_entry {
    struct atom lens;       /* constant, like all but the node: key's | value's, shifted | NODE_VERSION */
    struct soma__node node; /* node.second: the value, if it is a word */
    struct atom version;    /* number, shifted | VERSION_ASKED */
    unsigned char data[];   /* value, unless it is a word; then key */
};

/* Somebody knows the number: the value must not change in place any more. */
#define VERSION_ASKED 1

#define LEN_SHIFT 32

_Static_assert(offsetof(struct byte_entry, node.edge) % 16 == 0, "edge and word are one 16-byte word");
_Static_assert(offsetof(struct byte_entry, data) % 8 == 0, "values are aligned");

/* The length of a value that stands beside the link. */
#define WORD_LEN sizeof(uint64_t)

struct key {
    const void *data;
    size_t len;
    uint64_t hash;
};

ALWAYS_INLINE const struct byte_entry *entry_of(const struct soma__node *node)
{
    return (const struct byte_entry *)((uintptr_t)node - offsetof(struct byte_entry, node));
}

/* order BYTES-4 relaxed | not yet shared: ORDER-3 publishes them | pairs: BYTES-4 */
ALWAYS_INLINE uint64_t lens_of(const struct soma__node *node)
{
    return atom_load_rlx(&entry_of(node)->lens);
}

ALWAYS_INLINE size_t key_len(const struct soma__node *node)
{
    return (uint32_t)lens_of(node);
}

ALWAYS_INLINE size_t value_len(const struct soma__node *node)
{
    return (lens_of(node) & ~NODE_VERSION) >> LEN_SHIFT;
}

/* How much of the entry's data is the value. */
ALWAYS_INLINE size_t value_data_len(size_t len)
{
    return len == WORD_LEN ? 0 : len;
}

ALWAYS_INLINE const unsigned char *entry_key(const struct soma__node *node)
{
    return entry_of(node)->data + value_data_len(value_len(node));
}

ALWAYS_INLINE struct soma_bytes entry_value(const struct soma__node *node)
{
    const void *data = value_len(node) == WORD_LEN ? (const void *)&node->second : (const void *)entry_of(node)->data;
    return (struct soma_bytes){.data = data, .len = value_len(node)};
}

#define CELL_LOG2 BYTES_CELL_LOG2

static uint64_t entry_bytes(const struct soma__node *node)
{
    return (soma__node_versioned(node) ? VERSION_BYTES : 0) + sizeof(struct byte_entry) + key_len(node) +
           value_data_len(value_len(node));
}

/* Where the entry's memory starts. */
static void *entry_start(const struct soma__node *node)
{
    return soma__node_versioned(node) ? (void *)soma__stamps_at(node) : (void *)(uintptr_t)entry_of(node);
}

/* order BYTES-2 acquire | guarded by: the word | pairs: BYTES-3, ORDER-6
 * weaker: the link is read before the word, so that a word given after the entry's removal passes for live. */
ALWAYS_INLINE uint64_t word_read(const struct soma__node *node)
{
    return atom_load_acq(&node->second);
}

/* order BYTES-3 relaxed | not yet shared: ORDER-3 publishes it | pairs: BYTES-2 */
ALWAYS_INLINE void word_init(struct soma__node *node, uint64_t word)
{
    atom_store_rlx(&node->second, word);
}

/* How an entry with the key's hash stands to the key: before it (< 0), its own (0), or after it. */
ALWAYS_INLINE int compare_key(const struct soma__node *node, const struct key *key)
{
    const size_t len = key_len(node);
    if (len != key->len)
        return len < key->len ? -1 : 1;
    return soma__memory_compare(entry_key(node), key->data, len);
}

/* Dead versions of a key stand before its live entry. */
ALWAYS_INLINE bool before_key(const struct soma__node *node, uint64_t hash, const void *key, bool dead)
{
    const uint64_t node_hash = soma__hash_read(node);
    return node_hash < hash || (node_hash == hash && compare_key(node, key) < (dead ? 1 : 0));
}

/* What a retired entry is, besides a node. */
enum {
    RETIRE_ENTRY,
    RETIRE_MOVED /* the value lives on in another entry */
};

static uint64_t kind_of(const struct soma__node *node, uint64_t edge)
{
    return soma__node_moved(node, edge, false) ? RETIRE_MOVED : RETIRE_ENTRY;
}

static void release(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    const struct core *core = core_of_owner(owner);
    struct soma__node *node = (struct soma__node *)(uintptr_t)a;
    if (core->value_retire.bytes && b != RETIRE_MOVED) {
        CALLOUT_BEGINS(core);
        core->value_retire.bytes(entry_value(node).data, value_len(node), core->ctx);
        CALLOUT_ENDS("soma_map_options.value_retire");
    }
    soma__mem_free(entry_start(node), entry_bytes(node));
}

/* As in u64.c. Where values are retired none changes in place. */
static NOINLINE uint64_t hanging_bytes(const struct core *core, const struct soma__node *node)
{
    const struct soma_bytes value = entry_value(node);
    CALLBACK_BEGINS();
    const uint64_t bytes = core->value_bytes.bytes(value.data, value.len, core->ctx);
    CALLBACK_ENDS();
    return bytes < CORE_VALUE_BYTES_MOST ? bytes : CORE_VALUE_BYTES_MOST;
}

/* What an entry counts when it leaves with its value. */
ALWAYS_INLINE uint64_t leaving_bytes(const struct core *core, const struct soma__node *node)
{
    return entry_bytes(node) + (UNLIKELY(core->value_bytes.bytes != NULL) ? hanging_bytes(core, node) : 0);
}

static uint64_t node_bytes(const struct soma__list *list, const struct soma__node *node, uint64_t edge)
{
    const struct core *core = core_of_owner(list->owner);
    const bool moved = core->value_bytes.bytes && kind_of(node, edge) == RETIRE_MOVED;
    return moved ? entry_bytes(node) : leaving_bytes(core, node);
}

static void bury(const struct soma__list *list, struct soma__reader *self, struct soma__node *node, uint64_t edge)
{
    (void)list;
    soma__retire(self, (uintptr_t)node, kind_of(node, edge));
}

static void release_linked(struct soma__owner *owner, struct soma__node *node, uint64_t edge)
{
    release(owner, (uintptr_t)node, kind_of(node, edge));
}

/* order BYTES-5 relaxed | not yet shared: ORDER-3 publishes it, and the number stays | pairs: BYTES-5 */
static uint64_t version_of(const struct soma__node *node)
{
    return atom_load_rlx(&entry_of(node)->version) >> 1; /* BYTES-5 */
}

static void version_give(struct soma__node *node, uint64_t version, bool asked)
{
    struct byte_entry *entry = (struct byte_entry *)(uintptr_t)entry_of(node);
    atom_store_rlx(&entry->version, version << 1 | (asked ? VERSION_ASKED : 0)); /* BYTES-5 */
}

/* order BYTES-6 acquire | guarded by: the mark, with all updates in place; the word is read behind it | pairs: BYTES-7
 * weaker: a lookup gives a word from before an update in place with the version that a view has given with the word after it. */
static bool version_is_asked(const struct soma__node *node)
{
    return (atom_load_acq(&entry_of(node)->version) & VERSION_ASKED) != 0;
}

/* order BYTES-7 release | guards: all updates in place: they had ended before the view was open | pairs: BYTES-6
 * The number, to be known from now on. Only where nothing changes in place. */
static uint64_t version_ask(const struct soma__node *node)
{
    struct byte_entry *entry = (struct byte_entry *)(uintptr_t)entry_of(node);
    const uint64_t version = version_of(node);
    if (!version_is_asked(node))
        atom_store_rel(&entry->version, version << 1 | VERSION_ASKED);
    return version;
}

/* An entry of these lengths with this key; a version if `stamps`. NULL: no memory. */
static struct soma__node *entry_new(uint64_t hash, struct soma_bytes key, size_t len, bool stamps)
{
    const size_t ahead = stamps ? VERSION_BYTES : 0;
    char *memory = soma__mem_alloc(ahead + sizeof(struct byte_entry) + key.len + value_data_len(len));
    if (!memory)
        return NULL;
    struct byte_entry *entry = (struct byte_entry *)(void *)(memory + ahead);
    atom_store_rlx(&entry->lens, key.len | (uint64_t)len << LEN_SHIFT | (stamps ? NODE_VERSION : 0)); /* BYTES-4 */
    soma__hash_init(&entry->node, hash);
    if (key.len > 0)
        memcpy(entry->data + value_data_len(len), key.data, key.len);
    return &entry->node;
}

static void entry_fill(struct soma__node *node, const void *value, size_t len)
{
    uint64_t word = 0;
    if (len > 0)
        memcpy(len == WORD_LEN ? (unsigned char *)&word : ((struct byte_entry *)(uintptr_t)entry_of(node))->data, value,
               len);
    word_init(node, word);
}

static struct soma__node *dead_copy(const struct core *core, const struct soma__node *node, uint64_t word)
{
    (void)core;
    const struct soma_bytes key = {.data = entry_key(node), .len = key_len(node)};
    const size_t len = value_len(node);
    struct soma__node *copy = entry_new(soma__hash_read(node), key, len, true);
    if (copy) {
        entry_fill(copy, len == WORD_LEN ? (const void *)&word : (const void *)entry_of(node)->data, len);
        version_give(copy, version_of(node), true);
    }
    return copy;
}

static void drop(const struct core *core, struct soma__node *node)
{
    (void)core;
    soma__mem_free(entry_start(node), entry_bytes(node));
}

/* Walks to a key, which takes out every deleted entry on the way. False: one could not be, for want of room or memory. */
static bool walk_to(struct core *core, struct soma__reader *self, const struct key *key)
{
    struct soma__place place;
    enum soma_status status;
    do {
        place.prev = soma__dir_bucket(&core->dir, CELL_LOG2, self, key->hash);
        status = soma__dir_walk(&core->dir, CELL_LOG2, self, key->hash, key, before_key, &place);
    } while (status == SOMA_CHANGED);
    return status == SOMA_OK;
}

static bool walk_past(struct core *core, struct soma__reader *self, const struct soma__node *node)
{
    const struct key key = {.data = entry_key(node), .len = key_len(node), .hash = soma__hash_read(node)};
    return walk_to(core, self, &key);
}

static uint64_t fnv_bytes(struct soma_bytes bytes, uint64_t state)
{
    return soma__fnv1a64_bytes(bytes.data, bytes.len, state);
}

static uint64_t fnv(const struct core *core, const struct soma__node *node, uint64_t word)
{
    (void)core;
    const struct soma__entry entry = soma__bytes_entry(node, &word);
    return fnv_bytes(entry.value, fnv_bytes(entry.key, SOMA_FNV1A64_BASIS));
}

static const struct core_shape shape = {
    .dir.list.node_bytes = node_bytes,
    .dir.list.settle = soma__version_settle,
    .dir.list.bury = bury,
    .dir.cell_log2 = CELL_LOG2,
    .dir.load = SOMA_MAP_LOAD_DEFAULT,
    .release = release,
    .entry_bytes = entry_bytes,
    .release_linked = release_linked,
    .dead_copy = dead_copy,
    .drop = drop,
    .walk_past = walk_past,
    .fnv = fnv,
};

ALWAYS_INLINE struct key hashed(const struct core *core, const void *data, size_t len)
{
    return (struct key){
        .data = data, .len = len, .hash = soma__siphash13(core->hash.sip.key, data, len) & core->hash.sip.mask};
}

/* ---- For who goes through the map: bytes.h ---- */

struct soma_bytes soma__bytes_key(const struct soma__node *node)
{
    return (struct soma_bytes){.data = entry_key(node), .len = key_len(node)};
}

uint64_t soma__bytes_word(const struct soma__node *node)
{
    return word_read(node);
}

struct soma__entry soma__bytes_entry(const struct soma__node *node, const uint64_t *word)
{
    const size_t len = value_len(node);
    const unsigned char *data = entry_of(node)->data;
    return (struct soma__entry){.key = {.data = data + value_data_len(len), .len = key_len(node)},
                                .value = {.data = len == WORD_LEN ? (const void *)word : data, .len = len},
                                .version = version_of(node)};
}

size_t soma__bytes_entry_most(size_t key_len, size_t value_len)
{
    return VERSION_BYTES + sizeof(struct byte_entry) + key_len + value_len;
}

int soma__bytes_compare(const struct soma__node *node, const void *key, size_t len)
{
    return compare_key(node, &(const struct key){.data = key, .len = len});
}

/* ---- Arguments ---- */

static bool many_ok(const struct soma_bytes *bytes, size_t n)
{
    if (n > CORE_MANY_MAX || (!bytes && n > 0))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!soma__bytes_ok(bytes[i].data, bytes[i].len))
            return false;
    }
    return true;
}

/* ---- Lookup ---- */

/* The entry of a key at a number or, known at compile time, now, from an edge on; or NULL. *word is what stood beside its
 * link. As find_from() in u64.c. */
ALWAYS_INLINE const struct soma__node *find_from(const struct soma__dir *dir, uint64_t edge, const struct key *key,
                                                 uint64_t at, uint64_t *word)
{
    for (;;) {
        if (UNLIKELY(edge & EDGE_BUCKET)) {
            if (LIKELY(soma__dir_edge_ends(dir, CELL_LOG2, edge, key->hash)))
                return NULL;
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        const uint64_t hash = soma__hash_read(node);
        if (hash > key->hash)
            return NULL;
        const int order = hash < key->hash ? -1 : compare_key(node, key);
        if (order > 0)
            return NULL;
        *word = word_read(node);
        edge = soma__edge_read(&node->edge);
        if (order < 0)
            continue;
        if (at == SOMA__NOW) {
            if (LIKELY((edge & (EDGE_FROZEN | EDGE_TENTATIVE)) == 0))
                return node;
            if ((edge & (EDGE_FROZEN | EDGE_REPLACED)) == EDGE_FROZEN)
                return NULL;
        }
        if ((edge & EDGE_FROZEN) == 0 && soma__visible(core_of_dir(dir), node, edge, at))
            return node;
    }
}

ALWAYS_INLINE const struct soma__node *find(const struct core *core, const struct key *key, uint64_t at, uint64_t *word)
{
    return find_from(&core->dir, soma__dir_start(&core->dir, CELL_LOG2, key->hash), key, at, word);
}

/* Copies a value, which is this word if it has a word's length, out. */
static void copy_out(const struct soma__node *node, uint64_t word, void *buf, size_t cap, size_t *len)
{
    const size_t there = value_len(node);
    const size_t copied = there < cap ? there : cap;
    if (LIKELY(there == WORD_LEN && cap >= WORD_LEN))
        memcpy(buf, &word, WORD_LEN);
    else if (copied > 0)
        memcpy(buf, there == WORD_LEN ? (const unsigned char *)&word : entry_of(node)->data, copied);
    if (len)
        *len = there;
}

enum soma_status soma__map_get_at(const struct core *core, const void *key, size_t key_len, uint64_t at, void *buf,
                                  size_t cap, size_t *len, uint64_t *version)
{
    const struct key wanted = hashed(core, key, key_len);
    uint64_t word;
    const struct soma__node *node = find(core, &wanted, at, &word);
    if (!node)
        return SOMA_ABSENT;
    copy_out(node, word, buf, cap, len);
    if (version)
        *version = version_ask(node);
    return SOMA_OK;
}

enum soma_status soma_map_get_copy(const soma_map *map, const void *key, size_t key_len, void *buf, size_t cap,
                                   size_t *len)
{
    if (UNLIKELY(!LIVES(map, WHAT_BYTES) || !soma__bytes_ok(key, key_len) || (!buf && cap > 0))) {
        MISUSE("map, key or buf is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    const struct key wanted = hashed(&map->core, key, key_len);
    SOMA_PROBE4(get_begin, map, wanted.hash, key, key_len);
    const struct soma__section section = soma__section_enter();
    uint64_t word;
    const struct soma__node *node = find(&map->core, &wanted, SOMA__NOW, &word);
    if (node)
        copy_out(node, word, buf, cap, len);
    soma__section_exit(section);
    SOMA_PROBE3(get_end, map, wanted.hash, node ? SOMA_OK : SOMA_ABSENT);
    return node ? SOMA_OK : SOMA_ABSENT;
}

enum soma_status soma_map_get_ref(const soma_map *map, const void *key, size_t key_len, struct soma_bytes *value)
{
    if (UNLIKELY(!LIVES(map, WHAT_BYTES) || !soma__bytes_ok(key, key_len))) {
        MISUSE("map or key is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    const struct key wanted = hashed(&map->core, key, key_len);
    SOMA_PROBE4(get_begin, map, wanted.hash, key, key_len);
    const struct soma__section section = soma__section_enter();
    uint64_t word;
    const struct soma__node *node = find(&map->core, &wanted, SOMA__NOW, &word);
    if (node && value)
        *value = entry_value(node);
    soma__section_exit(section);
    SOMA_PROBE3(get_end, map, wanted.hash, node ? SOMA_OK : SOMA_ABSENT);
    if (node)
        LEND(value);
    return node ? SOMA_OK : SOMA_ABSENT;
}

enum soma_status soma_map_get_with(const soma_map *map, const void *key, size_t key_len, soma_map_with_fn fn, void *ctx)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_BYTES) || !soma__bytes_ok(key, key_len) || !fn)) {
        MISUSE("map, key or fn is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    const struct key wanted = hashed(&map->core, key, key_len);
    SOMA_PROBE4(get_begin, map, wanted.hash, key, key_len);
    const struct soma__section section = soma__section_enter();
    uint64_t word;
    const struct soma__node *node = find(&map->core, &wanted, SOMA__NOW, &word);
    if (node) {
        const struct soma_bytes value = soma__bytes_entry(node, &word).value;
        CALLBACK_BEGINS();
        fn(key, key_len, value, ctx);
        CALLBACK_ENDS();
    }
    soma__section_exit(section);
    SOMA_PROBE3(get_end, map, wanted.hash, node ? SOMA_OK : SOMA_ABSENT);
    return node ? SOMA_OK : SOMA_ABSENT;
}

/* As get_flight() in u64.c. */
static size_t get_flight(const struct core *core, const struct soma_bytes *keys, size_t n, struct soma_bytes *values,
                         bool *found)
{
    struct key wanted[CORE_FLIGHT];
    uint64_t edges[CORE_FLIGHT];
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        wanted[i] = hashed(core, keys[i].data, keys[i].len);
        PREFETCH(soma__dir_bucket_hint(&core->dir, CELL_LOG2, wanted[i].hash));
    }
    for (size_t i = 0; i < n; i++) {
        edges[i] = soma__dir_start(&core->dir, CELL_LOG2, wanted[i].hash);
        PREFETCH(soma__edge_node(edges[i]));
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t word;
        const struct soma__node *node = find_from(&core->dir, edges[i], &wanted[i], SOMA__NOW, &word);
        if (values)
            values[i] = node ? entry_value(node) : (struct soma_bytes){.data = NULL, .len = 0};
        if (found)
            found[i] = node != NULL;
        hits += node != NULL;
        SOMA_PROBE3(get_end, core, wanted[i].hash, node ? SOMA_OK : SOMA_ABSENT);
    }
    return hits;
}

size_t soma_map_get_many(const soma_map *map, const struct soma_bytes *keys, size_t n, struct soma_bytes *values,
                         bool *found)
{
    if (UNLIKELY(!LIVES(map, WHAT_BYTES) || !many_ok(keys, n))) {
        MISUSE("map or a key is NULL, or a length is absurd");
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
    LEND_MANY(values, n);
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
    struct soma_bytes value; /* if STORE */
};

/* What a caller asked for. */
struct order {
    struct soma_bytes value;
    struct soma_bytes expected;
    uint64_t delta;
    uint64_t version; /* expected */
    soma_map_update_fn fn;
    void *ctx;
};

struct update {
    struct core *core;
    struct soma__reader *self;
    struct key key;
    const struct order *order;
    uint64_t word;                  /* what stood beside the link of the entry that is there */
    uint64_t sum;                   /* fetch_add's new value */
    bool in_place;                  /* the new value may take the place of a word */
    bool asked;                     /* the caller gets the new entry's version */
    uint64_t version;               /* that the new entry gets, or has got */
    const struct soma__node *there; /* the entry that is there, or NULL */
    struct soma_bytes stored;       /* the value that was put in, if one was */
    bool versions;                  /* to be kept, see version.h */
    struct soma__node *fresh;       /* made for this update, not linked */
};

/* `present` is NULL if the key is absent. */
typedef struct verdict (*decide_fn)(struct update *update, const struct soma_bytes *present);

static void drop_fresh(struct update *update)
{
    if (update->fresh)
        drop(update->core, update->fresh);
    update->fresh = NULL;
}

/* Makes the entry that is to be linked; from an earlier attempt it is kept if only its value has to change. */
static bool make_fresh(struct update *update, struct soma_bytes value)
{
    const struct key *key = &update->key;
    if (update->fresh && value_len(update->fresh) != value.len)
        drop_fresh(update);
    if (!update->fresh) {
        const struct soma_bytes bytes = {.data = key->data, .len = key->len};
        update->fresh = entry_new(key->hash, bytes, value.len, update->versions);
        if (!update->fresh)
            return false;
    }
    entry_fill(update->fresh, value.data, value.len);
    update->version = core_ticket(update->self);
    version_give(update->fresh, update->version, update->asked);
    if (update->versions)
        soma__stamps_init(soma__stamps_at(update->fresh), STAMP_OPEN, STAMP_NONE);
    return true;
}

static enum soma_status insert(struct update *update, struct soma__place *place, struct soma_bytes value)
{
    if (!make_fresh(update, value))
        return SOMA_E_NOMEM;
    if (update->versions) {
        if (soma__version_insert(update->core, update->self, place, update->fresh) != SOMA_OK)
            return CORE_AGAIN;
    } else {
        soma__edge_init(&update->fresh->edge, soma__edge_onward(place->word));
        if (!soma__edge_swap(place->prev, &place->word, soma__place_to(place, soma__edge_to_node(update->fresh))))
            return CORE_AGAIN;
    }
    update->fresh = NULL;
    core_counted(update->core, update->self, 1);
    return SOMA_INSERTED;
}

/* As take_out() in u64.c. */
static void take_out(struct update *update, struct soma__place *place, uint64_t edge)
{
    const struct soma__dir *dir = &update->core->dir;
    if (LIKELY(soma__order_unlink(&dir->shape.list, update->self, place->prev, &place->word, edge) == SOMA_OK))
        return;
    walk_to(update->core, update->self, &update->key);
}

/* Whether the new value can take the old one's place: both are words, and nobody wants to be told of the old one. */
static bool fits_in_place(const struct update *update, const struct soma__node *node)
{
    return HAVE_CAS16 && !update->versions && update->in_place && value_len(node) == WORD_LEN &&
           !version_is_asked(node) && !update->core->value_retire.bytes;
}

static enum soma_status store(struct update *update, struct soma__place *place, struct soma__node *node, uint64_t edge,
                              struct soma_bytes value)
{
    if (fits_in_place(update, node))
        return soma__node_swap(node, edge, update->word, edge, update->sum) ? SOMA_REPLACED : CORE_AGAIN;
    if (!make_fresh(update, value))
        return SOMA_E_NOMEM;
    if (update->versions) {
        const enum soma_status status =
            soma__version_replace(update->core, update->self, place, edge, update->word, update->fresh);
        update->fresh = status == SOMA_OK ? NULL : update->fresh;
        return status == SOMA_OK ? SOMA_REPLACED : status;
    }
    const uint64_t bytes = leaving_bytes(update->core, node);
    const enum soma_status room = soma__retire_prepare(update->self, &update->core->owner, bytes);
    if (room != SOMA_OK)
        return room;
    soma__edge_init(&update->fresh->edge, edge);
    const uint64_t replaced = soma__edge_to_node(update->fresh) | EDGE_FROZEN | EDGE_REPLACED;
    if (!soma__node_swap(node, edge, update->word, replaced, update->word))
        return CORE_AGAIN;
    update->fresh = NULL;
    take_out(update, place, replaced);
    return SOMA_REPLACED;
}

static enum soma_status remove_entry(struct update *update, struct soma__place *place, struct soma__node *node,
                                     uint64_t edge)
{
    if (update->versions) {
        const enum soma_status status = soma__version_remove(update->core, update->self, place, edge, update->word);
        if (status == SOMA_OK)
            core_counted(update->core, update->self, (uint64_t)-1);
        return status == SOMA_OK ? SOMA_REMOVED : status;
    }
    const uint64_t bytes = leaving_bytes(update->core, node);
    const enum soma_status room = soma__retire_prepare(update->self, &update->core->owner, bytes);
    if (room != SOMA_OK)
        return room;
    if (!soma__node_swap(node, edge, update->word, edge | EDGE_FROZEN, update->word))
        return CORE_AGAIN;
    take_out(update, place, edge | EDGE_FROZEN);
    core_counted(update->core, update->self, (uint64_t)-1);
    return SOMA_REMOVED;
}

/* One attempt: find the key, ask what to do, do it if nothing has changed since. *old is what was there; who decides is
 * shown a word as it was, since the one in the entry may change. */
static enum soma_status attempt(struct update *update, decide_fn decide, struct soma_bytes *old)
{
    struct soma__dir *dir = &update->core->dir;
    struct soma__place place;
    place.prev = soma__dir_bucket(dir, CELL_LOG2, update->self, update->key.hash);
    const enum soma_status walked =
        soma__dir_walk(dir, CELL_LOG2, update->self, update->key.hash, &update->key, before_key, &place);
    if (UNLIKELY(walked != SOMA_OK))
        return walked < 0 ? walked : CORE_AGAIN;
    struct soma__node *node = place.word & EDGE_BUCKET ? NULL : soma__edge_node(place.word);
    if (!node || soma__hash_read(node) != update->key.hash || compare_key(node, &update->key) != 0) {
        *old = (struct soma_bytes){.data = NULL, .len = 0};
        update->there = NULL;
        const struct verdict verdict = decide(update, NULL);
        update->stored = verdict.value;
        if (verdict.what == STORE)
            return insert(update, &place, verdict.value);
        return verdict.what == REMOVE ? SOMA_ABSENT : verdict.answer;
    }
    update->word = word_read(node);
    const uint64_t edge = soma__edge_read(&node->edge);
    if (UNLIKELY(edge & EDGE_FROZEN))
        return CORE_AGAIN;
    *old = entry_value(node);
    update->there = node;
    const struct soma_bytes seen = {.data = old->len == WORD_LEN ? &update->word : old->data, .len = old->len};
    const struct verdict verdict = decide(update, &seen);
    update->stored = verdict.value;
    if (verdict.what == STORE)
        return store(update, &place, node, edge, verdict.value);
    if (verdict.what == REMOVE)
        return remove_entry(update, &place, node, edge);
    return verdict.answer;
}

/* As in u64.c; the entry that was there is in `update`. */
static void digest_update(const struct update *update, uint64_t state, enum soma_status status)
{
    const bool went = status == SOMA_REPLACED || status == SOMA_REMOVED;
    const bool came = status == SOMA_REPLACED || status == SOMA_INSERTED;
    if (!went && !came)
        return;
    const uint64_t *digest_key = update->core->digest_key;
    uint64_t change[2] = {0, 0};
    if (came)
        soma__digest_add(digest_key, fnv_bytes(update->stored, state), 1, change);
    if (went)
        soma__digest_add(digest_key, fnv_bytes(soma__bytes_entry(update->there, &update->word).value, state),
                         (uint64_t)-1, change);
    core_digest_change(update->core, update->self, update->key.hash, change);
}

/* All attempts of an update, inside a section. */
static enum soma_status attempts(struct update *update, decide_fn decide, struct soma_bytes *old)
{
    SOMA_PROBE4(update_begin, update->core, update->key.hash, update->key.data, update->key.len);
    update->versions = soma__clock_runs(&update->core->clock);
    uint64_t state = SOMA_FNV1A64_BASIS;
    if (core_digests(update->core))
        state = fnv_bytes((struct soma_bytes){update->key.data, update->key.len}, state);
    enum soma_status status;
    do {
        status = attempt(update, decide, old);
        if (UNLIKELY(status == CORE_AGAIN))
            core_again(update->core, update->self, update->key.hash);
    } while (UNLIKELY(status == CORE_AGAIN));
    drop_fresh(update);
    if (core_digests(update->core))
        digest_update(update, state, status);
    SOMA_PROBE3(update_end, update->core, update->key.hash, status);
    return status;
}

static bool arguments_ok(const soma_map *map, const void *key, size_t len, const struct order *order)
{
    return WRITES(map, WHAT_BYTES) && soma__bytes_ok(key, len) && soma__bytes_ok(order->value.data, order->value.len) &&
           soma__bytes_ok(order->expected.data, order->expected.len);
}

/* A whole update. `old` is borrowed, so of use only in a section of the caller's own. */
static enum soma_status run_update(struct update *update, decide_fn decide, struct soma_bytes *old)
{
    struct core *core = update->core;
    unsigned tries = 0;
    enum soma_status status;
    do {
        struct soma_bytes found = {.data = NULL, .len = 0};
        const struct soma__section section = soma__section_enter();
        update->self = section.self;
        status = attempts(update, decide, &found);
        core_exit(core, section);
        if (old && status >= 0 && found.data) {
            *old = found;
            LEND(old);
        }
    } while (UNLIKELY(status < 0) && core_retry(core, status, &tries));
    return status;
}

static enum soma_status update_map(soma_map *map, const void *key, size_t len, decide_fn decide,
                                   const struct order *order, struct soma_bytes *old)
{
    if (UNLIKELY(!arguments_ok(map, key, len, order))) {
        MISUSE("map, key or a value is NULL, or a length is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    struct update update = {.core = &map->core, .key = hashed(&map->core, key, len), .order = order};
    return run_update(&update, decide, old);
}

/* ---- The calls, each as what it decides ---- */

static struct verdict decide_put(struct update *update, const struct soma_bytes *present)
{
    (void)present;
    return (struct verdict){.what = STORE, .value = update->order->value};
}

enum soma_status soma_map_put(soma_map *map, const void *key, size_t key_len, const void *value, size_t value_len,
                              struct soma_bytes *old)
{
    CALL();
    const struct order order = {.value = {value, value_len}};
    return update_map(map, key, key_len, decide_put, &order, old);
}

static struct verdict decide_put_new(struct update *update, const struct soma_bytes *present)
{
    return present ? (struct verdict){.what = LEAVE, .answer = SOMA_EXISTS}
                   : (struct verdict){.what = STORE, .value = update->order->value};
}

enum soma_status soma_map_put_new(soma_map *map, const void *key, size_t key_len, const void *value, size_t value_len,
                                  struct soma_bytes *present)
{
    CALL();
    const struct order order = {.value = {value, value_len}};
    return update_map(map, key, key_len, decide_put_new, &order, present);
}

static struct verdict decide_replace(struct update *update, const struct soma_bytes *present)
{
    return present ? (struct verdict){.what = STORE, .value = update->order->value}
                   : (struct verdict){.what = LEAVE, .answer = SOMA_ABSENT};
}

enum soma_status soma_map_replace(soma_map *map, const void *key, size_t key_len, const void *value, size_t value_len,
                                  struct soma_bytes *old)
{
    CALL();
    const struct order order = {.value = {value, value_len}};
    return update_map(map, key, key_len, decide_replace, &order, old);
}

static struct verdict decide_cas(struct update *update, const struct soma_bytes *present)
{
    if (!present)
        return (struct verdict){.what = LEAVE, .answer = SOMA_ABSENT};
    if (!soma__bytes_same(*present, update->order->expected))
        return (struct verdict){.what = LEAVE, .answer = SOMA_CHANGED};
    return (struct verdict){.what = STORE, .value = update->order->value};
}

enum soma_status soma_map_cas(soma_map *map, const void *key, size_t key_len, const void *expected, size_t expected_len,
                              const void *desired, size_t desired_len, struct soma_bytes *actual)
{
    CALL();
    const struct order order = {.value = {desired, desired_len}, .expected = {expected, expected_len}};
    return update_map(map, key, key_len, decide_cas, &order, actual);
}

static struct verdict decide_cas_version(struct update *update, const struct soma_bytes *present)
{
    const uint64_t expected = update->order->version;
    if (!present && expected != 0)
        return (struct verdict){.what = LEAVE, .answer = SOMA_ABSENT};
    if (present && (expected == 0 || version_of(update->there) != expected))
        return (struct verdict){.what = LEAVE, .answer = SOMA_CHANGED};
    return (struct verdict){.what = STORE, .value = update->order->value};
}

enum soma_status soma_map_cas_version(soma_map *map, const void *key, size_t key_len, uint64_t expected_version,
                                      const void *value, size_t value_len, uint64_t *version)
{
    CALL();
    const struct order order = {.value = {value, value_len}, .version = expected_version};
    if (UNLIKELY(!arguments_ok(map, key, key_len, &order))) {
        MISUSE("map, key or value is NULL, or a length is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    struct update update = {
        .core = &map->core, .key = hashed(&map->core, key, key_len), .order = &order, .asked = true};
    const enum soma_status status = run_update(&update, decide_cas_version, NULL);
    if (version && (status == SOMA_REPLACED || status == SOMA_INSERTED))
        *version = update.version;
    return status;
}

/* Whether the entry's value may change in place under a version that somebody has asked for. */
static bool may_change(const struct core *core, const struct soma__node *node)
{
    return HAVE_CAS16 && value_len(node) == WORD_LEN && !core->value_retire.bytes && !version_is_asked(node);
}

/* The same value in an entry that is born asked. */
static struct verdict decide_ask(struct update *update, const struct soma_bytes *present)
{
    if (!present || !may_change(update->core, update->there))
        return (struct verdict){.what = LEAVE, .answer = SOMA_EXISTS};
    return (struct verdict){.what = STORE, .value = *present};
}

enum soma_status soma_map_get_version(const soma_map *map, const void *key, size_t key_len, void *buf, size_t cap,
                                      size_t *len, uint64_t *version)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_BYTES) || !soma__bytes_ok(key, key_len) || (!buf && cap > 0))) {
        MISUSE("map, key or buf is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    static const struct order order;
    struct core *core = (struct core *)(uintptr_t)&map->core;
    struct update update = {.core = core, .key = hashed(core, key, key_len), .order = &order, .asked = true};
    SOMA_PROBE4(get_begin, map, update.key.hash, key, key_len);
    enum soma_status status;
    bool asked;
    do {
        const struct soma__section section = soma__section_enter();
        uint64_t word;
        const struct soma__node *node = find(core, &update.key, SOMA__NOW, &word);
        status = node ? SOMA_OK : SOMA_ABSENT;
        asked = !node || !may_change(core, node);
        if (node && asked) {
            copy_out(node, word_read(node), buf, cap, len); /* BYTES-6: again, the last */
            if (version)
                *version = version_of(node);
        }
        soma__section_exit(section);
        if (!asked)
            status = run_update(&update, decide_ask, NULL);
    } while (!asked && status >= 0);
    SOMA_PROBE3(get_end, core, update.key.hash, status);
    return status;
}

static struct verdict decide_remove(struct update *update, const struct soma_bytes *present)
{
    (void)update, (void)present;
    return (struct verdict){.what = REMOVE};
}

enum soma_status soma_map_remove(soma_map *map, const void *key, size_t key_len, struct soma_bytes *old)
{
    CALL();
    static const struct order order;
    return update_map(map, key, key_len, decide_remove, &order, old);
}

static struct verdict decide_remove_if(struct update *update, const struct soma_bytes *present)
{
    if (present && !soma__bytes_same(*present, update->order->expected))
        return (struct verdict){.what = LEAVE, .answer = SOMA_CHANGED};
    return (struct verdict){.what = REMOVE};
}

enum soma_status soma_map_remove_if(soma_map *map, const void *key, size_t key_len, const void *expected,
                                    size_t expected_len, struct soma_bytes *actual)
{
    CALL();
    const struct order order = {.expected = {expected, expected_len}};
    return update_map(map, key, key_len, decide_remove_if, &order, actual);
}

static struct verdict decide_add(struct update *update, const struct soma_bytes *present)
{
    update->sum = 0;
    if (present) {
        if (present->len != sizeof update->sum)
            return (struct verdict){.what = LEAVE, .answer = SOMA_E_INVALID};
        memcpy(&update->sum, present->data, sizeof update->sum);
    }
    update->sum += update->order->delta;
    return (struct verdict){.what = STORE, .value = {&update->sum, sizeof update->sum}};
}

enum soma_status soma_map_fetch_add(soma_map *map, const void *key, size_t key_len, uint64_t delta, uint64_t *old)
{
    CALL();
    const struct order order = {.delta = delta};
    if (UNLIKELY(!arguments_ok(map, key, key_len, &order))) {
        MISUSE("map or key is NULL, or key_len is over SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    struct update update = {
        .core = &map->core, .key = hashed(&map->core, key, key_len), .order = &order, .in_place = true};
    const enum soma_status status = run_update(&update, decide_add, NULL);
    if (old && status >= 0)
        *old = update.sum - delta;
    return status;
}

static struct verdict decide_update(struct update *update, const struct soma_bytes *present)
{
    struct soma_bytes value = present ? *present : (struct soma_bytes){.data = NULL, .len = 0};
    const struct order *order = update->order;
    CALLBACK_BEGINS();
    const enum soma_status answer = order->fn(update->key.data, update->key.len, present != NULL, &value, order->ctx);
    CALLBACK_ENDS();
    switch (answer) {
    case SOMA_OK:
        if (soma__bytes_ok(value.data, value.len))
            return (struct verdict){.what = STORE, .value = value};
        MISUSE("the callback's value is NULL or too long");
        return (struct verdict){.what = LEAVE, .answer = SOMA_E_INVALID};
    case SOMA_REMOVED:
        return (struct verdict){.what = REMOVE};
    case SOMA_EXISTS:
        return (struct verdict){.what = LEAVE, .answer = present ? SOMA_EXISTS : SOMA_ABSENT};
    default:
        MISUSE("the callback answered neither OK, REMOVED nor EXISTS");
        return (struct verdict){.what = LEAVE, .answer = SOMA_E_INVALID};
    }
}

enum soma_status soma_map_update(soma_map *map, const void *key, size_t key_len, soma_map_update_fn fn, void *ctx)
{
    CALL();
    if (UNLIKELY(!fn)) {
        MISUSE("fn is NULL");
        return SOMA_E_INVALID;
    }
    const struct order order = {.fn = fn, .ctx = ctx};
    return update_map(map, key, key_len, decide_update, &order, NULL);
}

/* ---- Many updates ---- */

/* As in u64.c. */
struct batch {
    const struct soma_bytes *keys;
    const struct soma_bytes *values; /* of puts, else NULL */
    size_t n;
    struct soma_bytes *old; /* or NULL */
    bool *found;            /* or NULL */
    size_t done;
    uint32_t there; /* a bit for each of the last flight's keys: it was there */
};

_Static_assert(CORE_FLIGHT <= 32, "a flight's keys have a bit each");

/* Whether an update has found its key there. */
static bool was_there(enum soma_status status)
{
    return status == SOMA_REPLACED || status == SOMA_REMOVED;
}

/* What it has done, or an error. */
static enum soma_status update_one(struct core *core, struct soma__reader *self, decide_fn decide,
                                   const struct key *key, struct batch *batch)
{
    const size_t i = batch->done;
    const struct order order = {.value = batch->values ? batch->values[i] : (struct soma_bytes){.data = NULL}};
    struct soma_bytes old;
    struct update update = {.core = core, .self = self, .key = *key, .order = &order};
    const enum soma_status status = attempts(&update, decide, &old);
    if (status < 0)
        return status;
    if (batch->old && was_there(status))
        batch->old[i] = old;
    if (batch->found)
        batch->found[i] = was_there(status);
    batch->done++;
    return status;
}

/* The next flight's worth of updates. */
static enum soma_status update_flight(struct core *core, struct soma__reader *self, decide_fn decide,
                                      struct batch *batch)
{
    struct key wanted[CORE_FLIGHT];
    const size_t flight = batch->n - batch->done < CORE_FLIGHT ? batch->n - batch->done : CORE_FLIGHT;
    batch->there = 0;
    for (size_t i = 0; i < flight; i++) {
        const struct soma_bytes key = batch->keys[batch->done + i];
        wanted[i] = hashed(core, key.data, key.len);
        PREFETCH(soma__dir_bucket_hint(&core->dir, CELL_LOG2, wanted[i].hash));
    }
    for (size_t i = 0; i < flight; i++)
        PREFETCH(soma__edge_node(soma__dir_start(&core->dir, CELL_LOG2, wanted[i].hash)));
    for (size_t i = 0; i < flight; i++) {
        const enum soma_status status = update_one(core, self, decide, &wanted[i], batch);
        if (status < 0)
            return status;
        batch->there |= (uint32_t)was_there(status) << i;
    }
    return SOMA_OK;
}

static enum soma_status update_many(soma_map *map, decide_fn decide, struct batch *batch)
{
    enum soma_status status = SOMA_OK;
    unsigned tries = 0;
    while (batch->done < batch->n && status >= 0) {
        const size_t before = batch->done;
        const struct soma__section section = soma__section_enter();
        status = update_flight(&map->core, section.self, decide, batch);
        core_exit_many(&map->core, section, batch->done - before);
        LEND_SOME(batch->old ? batch->old + before : NULL, batch->done - before, batch->there);
        tries = batch->done > before ? 0 : tries;
        if (status < 0 && core_retry(&map->core, status, &tries))
            status = SOMA_OK;
    }
    return status;
}

enum soma_status soma_map_put_many(soma_map *map, const struct soma_bytes *keys, const struct soma_bytes *values,
                                   size_t n, size_t *done)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_BYTES) || !many_ok(keys, n) || !many_ok(values, n))) {
        MISUSE("map, a key or a value is NULL, or a length is absurd");
        return SOMA_E_INVALID;
    }
    struct batch batch = {.keys = keys, .values = values, .n = n};
    const enum soma_status status = update_many(map, decide_put, &batch);
    if (done)
        *done = batch.done;
    return status;
}

enum soma_status soma_map_remove_many(soma_map *map, const struct soma_bytes *keys, size_t n, struct soma_bytes *old,
                                      bool *found, size_t *done)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_BYTES) || !many_ok(keys, n))) {
        MISUSE("map or a key is NULL, or a length is absurd");
        return SOMA_E_INVALID;
    }
    struct batch batch = {.keys = keys, .n = n, .old = old, .found = found};
    const enum soma_status status = update_many(map, decide_remove, &batch);
    if (done)
        *done = batch.done;
    return status;
}

/* ---- Taking from a place on ---- */

/* As in u64.c. */
struct take {
    struct soma__take common;
    soma_map_take_fn fn;
    void *ctx;
    struct soma_bytes *keys;
    struct soma_bytes *values;
};

static enum soma_status take_ask(const struct take *take, struct soma_bytes key, struct soma_bytes value)
{
    if (!take->fn)
        return SOMA_REMOVED;
    CALLBACK_BEGINS();
    const enum soma_status answer = take->fn(key.data, key.len, value, take->ctx);
    CALLBACK_ENDS();
    if (answer == SOMA_REMOVED || answer == SOMA_EXISTS || answer == SOMA_END)
        return answer;
    MISUSE("the callback answered neither REMOVED, EXISTS nor END");
    return SOMA_E_INVALID;
}

static enum soma_status take_one(struct core *core, struct soma__reader *self, struct take *take, uint64_t hash,
                                 const struct soma__entry *entry)
{
    const struct key key = {.data = entry->key.data, .len = entry->key.len, .hash = hash};
    struct soma_bytes value = entry->value;
    uint64_t word;
    for (;;) {
        const enum soma_status answer = take_ask(take, entry->key, value);
        if (answer != SOMA_REMOVED)
            return answer == SOMA_EXISTS ? SOMA_OK : answer;
        const struct order order = {.expected = value};
        struct soma_bytes old;
        struct update update = {.core = core, .self = self, .key = key, .order = &order};
        const enum soma_status status = attempts(&update, decide_remove_if, &old);
        if (status == SOMA_CHANGED) {
            word = update.word;
            value = soma__bytes_entry(update.there, &word).value;
            continue;
        }
        if (status != SOMA_REMOVED)
            return status == SOMA_ABSENT ? SOMA_OK : status;
        const size_t i = take->common.taken++;
        if (take->keys)
            take->keys[i] = soma__bytes_key(update.there);
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
    soma__scan_enter(core, KIND_BYTES, scan);
    for (unsigned looked = 0;; looked++) {
        const struct soma__node *node = soma__scan_next(core, KIND_BYTES, scan, SOMA__NOW);
        /* Keys of one hash are dealt with in one section, if n allows: what stands for the last of them goes when that ends. */
        if (!node || common->taken == common->n || (looked >= TAKE_ENTRIES && scan->hash != scan->from))
            break;
        const struct soma__entry entry = soma__bytes_entry(node, &scan->word);
        status = take_one(core, self, take, scan->hash, &entry);
        if (status != SOMA_OK)
            break;
        soma__scan_pass(scan, entry.key);
    }
    /* If the next key is known to have another hash, behind this one's; else at this one's again. */
    if (scan->after) {
        scan->from += scan->hash > scan->from;
        scan->after = false;
    }
    return status;
}

enum soma_status soma_map_take(soma_map *map, uint64_t *place, size_t n, soma_map_take_fn fn, void *ctx,
                               struct soma_bytes *keys, struct soma_bytes *values, size_t *taken)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_BYTES) || !place || (n > CORE_MANY_MAX && (keys || values)))) {
        MISUSE("map or place is NULL, or n is absurd");
        return SOMA_E_INVALID;
    }
    struct take take = {.common.n = n, .fn = fn, .ctx = ctx, .keys = keys, .values = values};
    const enum soma_status status = soma__take_all(&map->core, &take.common, take_some, place);
    LEND_MANY(keys, take.common.taken);
    LEND_MANY(values, take.common.taken);
    if (taken)
        *taken = take.common.taken;
    return status;
}

/* ---- Birth and death, size ---- */

/* struct_size 0 stands for the first release's fields, which are all there are. */
static bool options_known(const struct soma_map_options *options)
{
    return options->struct_size == 0 || options->struct_size == sizeof *options;
}

enum soma_status soma_map_new(const struct soma_map_options *options, soma_map **out)
{
    CALL();
    static const struct soma_map_options defaults;
    const struct soma_map_options *given = options ? options : &defaults;
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
    struct core *core;
    const enum soma_status status = core_new(&common, &shape, &core);
    if (status != SOMA_OK)
        return status;
    core->hash.sip.key[0] = given->seed[0];
    core->hash.sip.key[1] = given->seed[1];
    core->hash.sip.mask = UINT64_MAX;
    if (given->seed[0] == 0 && given->seed[1] == 0)
        soma__seed_random(core->hash.sip.key);
    core->value_retire.bytes = given->value_retire;
    core->value_bytes.bytes = given->value_bytes;
    *out = (soma_map *)core;
    BORN(core, WHAT_BYTES, NULL);
    return SOMA_OK;
}

void soma_map_free(soma_map *map)
{
    if (map && ENDS(map, WHAT_BYTES))
        core_free(&map->core);
}

void soma__map_hash_mask(soma_map *map, uint64_t mask)
{
    map->core.hash.sip.mask = mask;
}

enum soma_status soma_map_clear(soma_map *map)
{
    CALL();
    if (UNLIKELY(!WRITES(map, WHAT_BYTES))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_clear(&map->core);
}

uint64_t soma_map_count_approx(const soma_map *map)
{
    return LIVES_OR_SAYS(map, WHAT_BYTES) ? core_count(&map->core) : 0;
}

enum soma_status soma_map_reserve(soma_map *map, uint64_t n)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_BYTES))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_reserve(&map->core, n);
}

enum soma_status soma_map_shrink(soma_map *map)
{
    CALL();
    if (UNLIKELY(!LIVES(map, WHAT_BYTES))) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return core_shrink(&map->core);
}
