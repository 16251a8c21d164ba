/* SPDX-License-Identifier: ISC */
/* locked.c - see locked.h. The one file that knows uthash; without it, all that there is are refusals.
 *
 * Calls out of here never happen under a mutex: value_retire runs from retired calls, which run outside of sections, and a mutex
 * is held inside one if anything is retired. Nobody holds two mutexes, but to copy the map: then all, in their order. What fills
 * the copy are updates, outside of sections, so they hold their work back: else any map's retired calls would run under all of
 * the mutexes, and those may want this map, or a lock that somebody holds who waits for it. */
#include "backend/locked.h"

#include <soma_config.h>

#if HAVE_BACKENDS

#include <pthread.h>
#include <string.h>

#include <soma/rcu.h>

#include "base/attr.h"
#include "hash/hash.h"
#include "map/core.h"
#include "mem/mem.h"
#include "rcu/rcu.h"

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) soma__mem_alloc(size)
#define uthash_free(memory, size) soma__mem_free((memory), (size))
#define uthash_nonfatal_oom(entry) (added = false)
#include <uthash.h>

/* Values up to this many bytes stand in the entry. */
#define SMALL sizeof(uint64_t)

struct entry {
    UT_hash_handle hh;
    uint64_t version; /* 0: nobody has asked for it */
    struct value {
        size_t len;
        union {
            uint64_t word;
            unsigned char small[SMALL];
            unsigned char *large;
        } as;
    } value;
    unsigned char key[];
};

struct shard {
    pthread_mutex_t mutex;
    struct entry *entries;
    char apart[APART]; /* the next one's mutex is on lines of its own */
};

struct soma__locked {
    struct soma__locked_options options;
    struct soma__mix mix; /* words */
    size_t size;          /* of all of this */
    struct shard shards[];
};

static size_t shard_count(const struct soma__locked *map)
{
    return (size_t)1 << map->options.shards_log2;
}

static struct soma_bytes value_bytes(const struct value *value)
{
    return (struct soma_bytes){.data = value->len > SMALL ? value->as.large : value->as.small, .len = value->len};
}

static struct soma_bytes key_bytes(const struct entry *entry)
{
    return (struct soma_bytes){.data = entry->key, .len = entry->hh.keylen};
}

/* ---- Finding ---- */

static uint64_t hash_of(const struct soma__locked *map, struct soma_bytes key)
{
    return map->options.words ? soma__mix_hash(&map->mix, soma__word_of(key))
                              : soma__siphash13(map->options.seed, key.data, key.len);
}

/* The high bits choose the shard; uthash takes the lowest of its 32 bits, which are the middle ones here. */
static struct shard *shard_of(struct soma__locked *map, uint64_t hash)
{
    return &map->shards[map->options.shards_log2 ? hash >> (64 - map->options.shards_log2) : 0];
}

static struct entry *find(const struct shard *shard, struct soma_bytes key, uint64_t hash)
{
    struct entry *entry;
    HASH_FIND_BYHASHVALUE(hh, shard->entries, key.data, (unsigned)key.len, (unsigned)(hash >> 32), entry);
    return entry;
}

/* False: no memory for uthash's buckets; the entry is not there. */
static bool add(struct shard *shard, struct entry *entry, size_t key_len, uint64_t hash)
{
    bool added = true;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->entries, entry->key, (unsigned)key_len, (unsigned)(hash >> 32), entry);
    return added;
}

/* ---- Values ---- */

static bool value_make(struct value *value, struct soma_bytes bytes)
{
    value->len = bytes.len;
    if (bytes.len > SMALL) {
        value->as.large = soma__mem_alloc(bytes.len);
        if (!value->as.large)
            return false;
        memcpy(value->as.large, bytes.data, bytes.len);
    } else if (bytes.len > 0) {
        memcpy(value->as.small, bytes.data, bytes.len);
    }
    return true;
}

static void value_drop(struct value *value)
{
    if (value->len > SMALL)
        soma__mem_free(value->as.large, value->len);
}

static struct entry *entry_make(struct soma_bytes key, const struct value *value)
{
    struct entry *entry = soma__mem_alloc(sizeof *entry + key.len);
    if (!entry)
        return NULL;
    entry->version = 0;
    entry->value = *value;
    if (key.len > 0)
        memcpy(entry->key, key.data, key.len);
    return entry;
}

static void entry_unlink(struct shard *shard, struct entry *entry)
{
    HASH_DEL(shard->entries, entry);
}

static void entry_free(struct entry *entry)
{
    value_drop(&entry->value);
    soma__mem_free(entry, sizeof *entry + entry->hh.keylen);
}

static void entry_remove(struct shard *shard, struct entry *entry)
{
    entry_unlink(shard, entry);
    entry_free(entry);
}

static bool retires(const struct soma__locked *map)
{
    return map->options.retire.word || map->options.retire.bytes;
}

/* ---- Verbs ---- */

/* Numbers are taken from where the lock-free maps take theirs, so that no two entries of any maps share one. */
static void tell_version(struct entry *entry, uint64_t *out)
{
    if (!out)
        return;
    if (entry->version == 0)
        entry->version = core_ticket_slow(&soma__reader_spare);
    *out = entry->version;
}

static void tell_value(const struct soma__reply *reply, const struct entry *found, const void *lent)
{
    const struct soma_bytes bytes = value_bytes(&found->value);
    if (reply->word)
        *reply->word = soma__word_if_any(bytes);
    if (reply->lent)
        *reply->lent = (struct soma_bytes){.data = lent, .len = bytes.len};
    if (reply->buf && bytes.len > 0)
        memcpy(reply->buf, bytes.data, bytes.len < reply->cap ? bytes.len : reply->cap);
    if (reply->len)
        *reply->len = bytes.len;
}

/* The key is absent. */
static enum soma_status insert(struct shard *shard, struct soma_bytes key, uint64_t hash, struct value *value,
                               const struct soma__reply *reply)
{
    struct entry *entry = entry_make(key, value);
    if (!entry)
        return SOMA_E_NOMEM;
    if (!add(shard, entry, key.len, hash)) {
        soma__mem_free(entry, sizeof *entry + key.len);
        return SOMA_E_NOMEM;
    }
    tell_version(entry, reply->version);
    return SOMA_INSERTED;
}

/* The key is there: nothing fails once there is memory for what waits for readers. */
static enum soma_status change(const struct soma__locked *map, struct shard *shard, struct entry *found,
                               struct soma__decision decision, struct value *value, const struct soma__reply *reply)
{
    const bool leaves = retires(map) && (decision.store || decision.remove);
    const void *lent = NULL;
    if (leaves || reply->lent) {
        lent = soma__lend(value_bytes(&found->value), leaves ? &map->options.retire : NULL);
        if (!lent)
            return SOMA_E_NOMEM;
    }
    tell_value(reply, found, lent);
    if (decision.store) {
        value_drop(&found->value);
        found->value = *value;
        found->version = 0;
    }
    if (decision.remove)
        entry_remove(shard, found);
    else if (decision.status != SOMA_CHANGED)
        tell_version(found, reply->version);
    return decision.status;
}

static enum soma_status locked_do(const struct soma__locked *map, struct shard *shard, uint64_t hash,
                                  const struct soma__request *request, const struct soma__reply *reply)
{
    struct entry *found = find(shard, request->key, hash);
    const struct soma_bytes has = found ? value_bytes(&found->value) : (struct soma_bytes){.len = 0};
    const struct soma__decision decision = soma__decide(request, found != NULL, has, found ? found->version : 0);
    if (decision.status < 0 || (!found && !decision.store))
        return decision.status;
    struct value value = {.len = 0};
    struct soma_bytes bytes = request->value;
    if (request->verb == VERB_FETCH_ADD)
        bytes = (struct soma_bytes){.data = &decision.sum, .len = sizeof decision.sum};
    if (decision.store && !value_make(&value, bytes))
        return SOMA_E_NOMEM;
    const enum soma_status status =
        found ? change(map, shard, found, decision, &value, reply) : insert(shard, request->key, hash, &value, reply);
    if (status < 0)
        value_drop(&value);
    if (status == SOMA_INSERTED && request->verb == VERB_FETCH_ADD && reply->word)
        *reply->word = 0;
    return status;
}

enum soma_status soma__locked_do(struct soma__locked *map, const struct soma__request *request,
                                 const struct soma__reply *reply)
{
    struct soma__request asked = *request;
    if (asked.key.len == 0)
        asked.key.data = "";
    const bool section = reply->lent || (retires(map) && request->verb != VERB_GET);
    const uint64_t hash = hash_of(map, asked.key);
    struct shard *shard = shard_of(map, hash);
    if (section)
        soma_read_enter();
    pthread_mutex_lock(&shard->mutex);
    const enum soma_status status = locked_do(map, shard, hash, &asked, reply);
    pthread_mutex_unlock(&shard->mutex);
    if (section)
        soma_read_exit();
    return status;
}

/* ---- From a place on ----
 *
 * uthash's buckets double, and an entry's is the lowest bits of its 32; so their order with these bits turned round stays when they
 * do. A place is a hash with its bits in this order: the shard; the rest of uthash's bits, turned round; the others. */

static uint32_t turned(uint32_t bits)
{
    uint32_t out = 0;
    for (int i = 0; i < 32; i++)
        out |= (bits >> i & 1) << (31 - i);
    return out;
}

static uint64_t place_of(const struct soma__locked *map, uint64_t hash)
{
    const unsigned s = map->options.shards_log2;
    const uint64_t shard = s ? hash >> (64 - s) : 0;
    return (s ? shard << (64 - s) : 0) | (uint64_t)turned((uint32_t)(hash >> 32)) >> s << 32 | (uint32_t)hash;
}

/* The bucket of a place in its shard; those after it in the order are `step` places apart. */
static const UT_hash_bucket *bucket_at(const struct soma__locked *map, const UT_hash_table *table, uint64_t place,
                                       uint64_t *step)
{
    const unsigned s = map->options.shards_log2;
    const uint32_t part = (uint32_t)(place >> 32) << s;
    const uint32_t shard = s ? (uint32_t)(place >> (64 - s)) << (32 - s) : 0;
    *step = UINT64_C(1) << (64 - s - table->log2_num_buckets);
    return &table->buckets[(turned(part) | shard) & (table->num_buckets - 1)];
}

/* The first entry of the shard from the place on, which is in it; or NULL. */
static struct entry *first_from(const struct soma__locked *map, const struct shard *shard, uint64_t place,
                                uint64_t *found)
{
    const unsigned s = map->options.shards_log2;
    const uint64_t last = s ? place | UINT64_MAX >> s : UINT64_MAX;
    while (shard->entries) {
        const UT_hash_table *table = shard->entries->hh.tbl;
        uint64_t step;
        const UT_hash_bucket *bucket = bucket_at(map, table, place, &step);
        struct entry *best = NULL;
        for (UT_hash_handle *hh = bucket->hh_head; hh; hh = hh->hh_next) {
            struct entry *entry = ELMT_FROM_HH(table, hh);
            const uint64_t at = place_of(map, hash_of(map, key_bytes(entry)));
            if (at >= place && (!best || at < *found)) {
                best = entry;
                *found = at;
            }
        }
        if (best || last - place < step)
            return best;
        place = (place | (step - 1)) + 1;
        if ((place & (step - 1)) != 0 || place > last)
            return NULL;
    }
    return NULL;
}

static enum soma_status tell(const struct soma__reply *reply, struct soma_bytes bytes)
{
    if (reply->word)
        *reply->word = soma__word_of(bytes);
    if (!reply->lent)
        return SOMA_OK;
    *reply->lent = (struct soma_bytes){.data = soma__lend(bytes, NULL), .len = bytes.len};
    return reply->lent->data ? SOMA_OK : SOMA_E_NOMEM;
}

enum soma_status soma__locked_next(struct soma__locked *map, uint64_t *place, const struct soma__reply *key,
                                   const struct soma__reply *value)
{
    const unsigned s = map->options.shards_log2;
    uint64_t at = *place;
    for (size_t i = s ? at >> (64 - s) : 0; i < shard_count(map); i++) {
        struct shard *shard = &map->shards[i];
        pthread_mutex_lock(&shard->mutex);
        const struct entry *entry = first_from(map, shard, at, place);
        enum soma_status status = entry ? tell(key, key_bytes(entry)) : SOMA_END;
        if (status == SOMA_OK)
            status = tell(value, value_bytes(&entry->value));
        pthread_mutex_unlock(&shard->mutex);
        if (status != SOMA_END)
            return status;
        at = s ? (uint64_t)(i + 1) << (64 - s) : 0;
    }
    return SOMA_END;
}

/* ---- All of it ---- */

static enum soma_status clear_shard(const struct soma__locked *map, struct shard *shard)
{
    while (shard->entries) {
        if (retires(map) && !soma__lend(value_bytes(&shard->entries->value), &map->options.retire))
            return SOMA_E_NOMEM;
        entry_remove(shard, shard->entries);
    }
    return SOMA_OK;
}

enum soma_status soma__locked_clear(struct soma__locked *map)
{
    enum soma_status status = SOMA_OK;
    for (size_t i = 0; i < shard_count(map) && status == SOMA_OK; i++) {
        soma_read_enter();
        pthread_mutex_lock(&map->shards[i].mutex);
        status = clear_shard(map, &map->shards[i]);
        pthread_mutex_unlock(&map->shards[i].mutex);
        soma_read_exit();
    }
    return status;
}

uint64_t soma__locked_count(struct soma__locked *map)
{
    uint64_t count = 0;
    for (size_t i = 0; i < shard_count(map); i++) {
        pthread_mutex_lock(&map->shards[i].mutex);
        count += HASH_COUNT(map->shards[i].entries);
        pthread_mutex_unlock(&map->shards[i].mutex);
    }
    return count;
}

enum soma_status soma__locked_reserve(uint64_t n)
{
    return n > soma__mem_physical() / sizeof(struct entry) ? SOMA_E_NOMEM : SOMA_OK;
}

enum soma_status soma__locked_digest(struct soma__locked *map, struct soma_digest *out)
{
    if (!map->options.digests)
        return SOMA_E_UNSUPPORTED;
    struct soma_digest digest = {.count = 0};
    for (size_t i = 0; i < shard_count(map); i++) {
        pthread_mutex_lock(&map->shards[i].mutex);
        for (const struct entry *entry = map->shards[i].entries; entry; entry = entry->hh.next, digest.count++)
            soma__digest_add(map->options.digest_key,
                             soma__entry_fnv(map->options.words, key_bytes(entry), value_bytes(&entry->value)), 1,
                             digest.lane);
        pthread_mutex_unlock(&map->shards[i].mutex);
    }
    *out = digest;
    return SOMA_OK;
}

static enum soma_status copy_entry(const struct entry *entry, soma_u64 *words, soma_map *bytes)
{
    const struct soma_bytes key = key_bytes(entry);
    const struct soma_bytes value = value_bytes(&entry->value);
    const enum soma_status status = words ? soma_u64_put(words, soma__word_of(key), soma__word_of(value), NULL)
                                          : soma_map_put(bytes, key.data, key.len, value.data, value.len, NULL);
    return status < 0 ? status : SOMA_OK;
}

enum soma_status soma__locked_copy(struct soma__locked *map, soma_u64 *words, soma_map *bytes)
{
    enum soma_status status = SOMA_OK;
    soma__work_hold();
    for (size_t i = 0; i < shard_count(map); i++)
        pthread_mutex_lock(&map->shards[i].mutex);
    for (size_t i = 0; i < shard_count(map) && status == SOMA_OK; i++) {
        for (const struct entry *entry = map->shards[i].entries; entry && status == SOMA_OK; entry = entry->hh.next)
            status = copy_entry(entry, words, bytes);
    }
    for (size_t i = shard_count(map); i-- > 0;)
        pthread_mutex_unlock(&map->shards[i].mutex);
    soma__work_resume();
    return status;
}

/* ---- Birth and death ---- */

static void fini_shards(struct soma__locked *map, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pthread_mutex_destroy(&map->shards[i].mutex);
    soma__mem_free(map, map->size);
}

enum soma_status soma__locked_new(const struct soma__locked_options *options, struct soma__locked **out)
{
    const size_t count = (size_t)1 << options->shards_log2;
    const size_t size = sizeof(struct soma__locked) + count * sizeof(struct shard);
    struct soma__locked *map = soma__mem_alloc(size);
    if (!map)
        return SOMA_E_NOMEM;
    map->options = *options;
    map->size = size;
    if (options->seed[0] == 0 && options->seed[1] == 0)
        soma__seed_random(map->options.seed);
    soma__mix_init(&map->mix, map->options.seed);
    for (size_t i = 0; i < count; i++) {
        map->shards[i].entries = NULL;
        if (pthread_mutex_init(&map->shards[i].mutex, NULL) != 0) {
            fini_shards(map, i);
            return SOMA_E_NOMEM;
        }
    }
    *out = map;
    return SOMA_OK;
}

void soma__locked_free(struct soma__locked *map)
{
    for (size_t i = 0; i < shard_count(map); i++) {
        struct shard *shard = &map->shards[i];
        while (shard->entries) {
            struct entry *entry = shard->entries;
            entry_unlink(shard, entry); /* first, so that a function that looks its own key up finds nothing */
            soma__retire_value(&map->options.retire, value_bytes(&entry->value));
            entry_free(entry);
        }
    }
    fini_shards(map, shard_count(map));
}

#else

enum soma_status soma__locked_new(const struct soma__locked_options *options, struct soma__locked **out)
{
    (void)options, (void)out;
    return SOMA_E_UNSUPPORTED;
}

/* Nobody asks for these, since none could be made. */
void soma__locked_free(struct soma__locked *map)
{
    (void)map;
}

enum soma_status soma__locked_do(struct soma__locked *map, const struct soma__request *request,
                                 const struct soma__reply *reply)
{
    (void)map, (void)request, (void)reply;
    return SOMA_E_UNSUPPORTED;
}

enum soma_status soma__locked_next(struct soma__locked *map, uint64_t *place, const struct soma__reply *key,
                                   const struct soma__reply *value)
{
    (void)map, (void)place, (void)key, (void)value;
    return SOMA_E_UNSUPPORTED;
}

enum soma_status soma__locked_clear(struct soma__locked *map)
{
    (void)map;
    return SOMA_E_UNSUPPORTED;
}

uint64_t soma__locked_count(struct soma__locked *map)
{
    (void)map;
    return 0;
}

enum soma_status soma__locked_reserve(uint64_t n)
{
    (void)n;
    return SOMA_E_UNSUPPORTED;
}

enum soma_status soma__locked_digest(struct soma__locked *map, struct soma_digest *out)
{
    (void)map, (void)out;
    return SOMA_E_UNSUPPORTED;
}

enum soma_status soma__locked_copy(struct soma__locked *map, soma_u64 *words, soma_map *bytes)
{
    (void)map, (void)words, (void)bytes;
    return SOMA_E_UNSUPPORTED;
}

#endif
