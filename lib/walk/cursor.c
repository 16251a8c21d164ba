/* SPDX-License-Identifier: ISC */
/* cursor.c - cursors over maps. A cursor copies some entries out in one short section (map/scan.h has the argument why each key
 * comes once) and then gives them one by one, outside any section. */
#include "walk/walk.h"

#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "map/map_internal.h"
#include "mem/mem.h"
#include "view/view.h"

#define VALUE_ALIGN sizeof(uint64_t)

/* ---- Fetching ---- */

/* Inside a section. */
static void fetch_words(struct soma_cursor *cursor)
{
    struct soma__scan *scan = &cursor->scan;
    soma__scan_enter(cursor->core, KIND_WORDS, scan);
    while (cursor->count < WALK_WORDS) {
        if (!soma__scan_next(cursor->core, KIND_WORDS, scan, cursor->at))
            return;
        cursor->batch.words[cursor->count++] = (struct walk_word){.hash = scan->hash, .value = scan->word};
        soma__scan_pass(scan, (struct soma_bytes){.data = NULL});
    }
}

static size_t aligned_up(size_t size)
{
    return (size + VALUE_ALIGN - 1) & ~(VALUE_ALIGN - 1);
}

/* Copies an entry to this place in the cursor's bytes. */
static struct walk_item copy_item(struct soma_cursor *cursor, size_t at, const struct soma__entry *entry)
{
    unsigned char *to = cursor->bytes + at;
    if (entry->value.len > 0)
        memcpy(to, entry->value.data, entry->value.len);
    if (entry->key.len > 0)
        memcpy(to + entry->value.len, entry->key.data, entry->key.len);
    return (struct walk_item){.hash = cursor->scan.hash,
                              .at = at,
                              .value_len = entry->value.len,
                              .key_len = entry->key.len,
                              .version = entry->version};
}

static struct soma_bytes item_key(const struct soma_cursor *cursor, const struct walk_item *item)
{
    return (struct soma_bytes){.data = cursor->bytes + item->at + item->value_len, .len = item->key_len};
}

static struct soma_bytes item_value(const struct soma_cursor *cursor, const struct walk_item *item)
{
    return (struct soma_bytes){.data = cursor->bytes + item->at, .len = item->value_len};
}

/* Inside a section. The bytes that there must be room for before even one entry can be fetched, or 0. */
static size_t fetch_items(struct soma_cursor *cursor)
{
    struct soma__scan *scan = &cursor->scan;
    size_t used = 0;
    soma__scan_enter(cursor->core, KIND_BYTES, scan);
    for (;;) {
        const struct soma__node *node = soma__scan_next(cursor->core, KIND_BYTES, scan, cursor->at);
        if (!node)
            return 0;
        const struct soma__entry entry = soma__bytes_entry(node, &scan->word);
        const size_t size = aligned_up(entry.value.len + entry.key.len);
        if (cursor->count == WALK_ITEMS || size > cursor->bytes_cap - used) {
            cursor->tie = cursor->count > 0 && cursor->batch.items[cursor->count - 1].hash == scan->hash;
            return cursor->count > 0 ? 0 : size;
        }
        struct walk_item *item = &cursor->batch.items[cursor->count++];
        *item = copy_item(cursor, used, &entry);
        soma__scan_pass(scan, item_key(cursor, item));
        used += size;
    }
}

/* Room for one entry of this size, and some more. The key that the scan stands behind comes along. */
static enum soma_status grow_bytes(struct soma_cursor *cursor, size_t size)
{
    const size_t cap = size < WALK_BYTES ? WALK_BYTES : aligned_up(size + size / 2);
    unsigned char *bytes = soma__mem_alloc(cap);
    if (!bytes)
        return SOMA_E_NOMEM;
    struct soma_bytes *key = &cursor->scan.key;
    if (cursor->scan.after && key->len > 0)
        memcpy(bytes, key->data, key->len);
    key->data = bytes;
    if (cursor->bytes)
        soma__mem_free(cursor->bytes, cursor->bytes_cap);
    cursor->bytes = bytes;
    cursor->bytes_cap = cap;
    return SOMA_OK;
}

/* One section's worth; it may come to nothing where the map is sparse. */
static enum soma_status fetch_some(struct soma_cursor *cursor)
{
    size_t wanted = 0;
    const struct soma__section section = soma__section_enter();
    if (cursor->kind == KIND_WORDS)
        fetch_words(cursor);
    else
        wanted = fetch_items(cursor);
    soma__section_exit(section);
    return wanted ? grow_bytes(cursor, wanted) : SOMA_OK;
}

static NOINLINE enum soma_status fetch(struct soma_cursor *cursor)
{
    cursor->next = 0;
    cursor->count = 0;
    cursor->tie = false;
    while (cursor->count == 0) {
        if (cursor->scan.ended)
            return SOMA_END;
        const enum soma_status status = fetch_some(cursor);
        if (status != SOMA_OK)
            return status;
    }
    return SOMA_OK;
}

/* ---- Giving ---- */

#if HAVE_GUARD

static void take_back(struct soma_cursor *cursor)
{
    soma__loan_one_end(&cursor->loan);
}

static void give(struct soma_cursor *cursor, struct soma_bytes *key, struct soma_bytes *value)
{
    struct soma_bytes *first = value && value->len > 0 ? value : key;
    if (!first)
        return;
    /* Behind a value stands its key: copy_item(). */
    const bool both = first == value && key && key->data == (const char *)value->data + value->len;
    const size_t len = first->len + (both ? key->len : 0);
    first->data = soma__loan_one(&cursor->loan, first->data, len, "soma_cursor_next_ref");
    if (both)
        key->data = (const char *)first->data + first->len;
}

/* What tokens of maps with the same hashes have in common. */
static uint64_t seed_of(const struct soma_cursor *cursor)
{
    const uint64_t *seed = cursor->core->hash.sip.key; /* or the mixer's first words */
    return seed[0] ^ (seed[1] << 1 | seed[1] >> 63);
}

#define LENT_NOTHING(cursor) ((cursor)->loan.chunk = 0)
#define TAKE_BACK(cursor) take_back(cursor)
#define GIVE(cursor, status, key, value) ((status) == SOMA_OK ? give((cursor), (key), (value)) : (void)0)
#define TOKEN_OF(cursor) (soma__guard_token((cursor)->token, seed_of(cursor)), (cursor)->token)
#define TOKEN_FITS(cursor, token) soma__guard_token_fits((token), seed_of(cursor))

#else

#define LENT_NOTHING(cursor) ((void)0)
#define TAKE_BACK(cursor) ((void)0)
#define GIVE(cursor, status, key, value) ((void)0)
#define TOKEN_OF(cursor) (cursor)->token
#define TOKEN_FITS(cursor, token) true

#endif

/* Whether there is an entry to be given. */
ALWAYS_INLINE enum soma_status ready(struct soma_cursor *cursor)
{
    return LIKELY(cursor->next < cursor->count) ? SOMA_OK : fetch(cursor);
}

/* The place behind an entry with this hash; if others of this hash follow, before all of them. */
ALWAYS_INLINE uint64_t token_behind(uint64_t hash, bool tie)
{
    return tie || hash == UINT64_MAX ? hash : hash + 1;
}

enum soma_status soma_cursor_next_u64(soma_cursor *cursor, uint64_t *key, uint64_t *value)
{
    TURN(cursor, WHAT_CURSOR);
    if (UNLIKELY(!HAS_TURN(cursor) || cursor->kind != KIND_WORDS)) {
        MISUSE("cursor is NULL, or goes through a byte map");
        return SOMA_E_INVALID;
    }
    if (UNLIKELY(cursor->sorted != NULL))
        return soma__sorted_next_u64(cursor->sorted, key, value);
    const enum soma_status status = ready(cursor);
    if (UNLIKELY(status != SOMA_OK))
        return status;
    const struct walk_word *word = &cursor->batch.words[cursor->next++];
    cursor->hash = word->hash;
    cursor->token = token_behind(word->hash, false);
    if (key)
        *key = soma__mix_inverse(&cursor->core->hash.mix, word->hash);
    if (value)
        *value = word->value;
    return SOMA_OK;
}

enum soma_status soma_cursor_next_ref(soma_cursor *cursor, struct soma_bytes *key, struct soma_bytes *value)
{
    TURN(cursor, WHAT_CURSOR);
    if (UNLIKELY(!HAS_TURN(cursor) || cursor->kind != KIND_BYTES)) {
        MISUSE("cursor is NULL, or goes through a word map");
        return SOMA_E_INVALID;
    }
    TAKE_BACK(cursor);
    if (UNLIKELY(cursor->sorted != NULL)) {
        const enum soma_status status = soma__sorted_next_ref(cursor->sorted, key, value);
        GIVE(cursor, status, key, value);
        return status;
    }
    const enum soma_status status = ready(cursor);
    if (UNLIKELY(status != SOMA_OK))
        return status;
    const struct walk_item *item = &cursor->batch.items[cursor->next++];
    const bool tie = cursor->next < cursor->count ? item[1].hash == item->hash : cursor->tie;
    cursor->hash = item->hash;
    cursor->token = token_behind(item->hash, tie);
    if (key)
        *key = item_key(cursor, item);
    if (value)
        *value = item_value(cursor, item);
    GIVE(cursor, status, key, value);
    return SOMA_OK;
}

enum soma_status soma__cursor_next(soma_cursor *cursor, struct walk_entry *entry)
{
    enum soma_status status;
    if (cursor->kind == KIND_WORDS) {
        status = soma_cursor_next_u64(cursor, &entry->words[0], &entry->words[1]);
        entry->key = (struct soma_bytes){.data = &entry->words[0], .len = sizeof entry->words[0]};
        entry->value = (struct soma_bytes){.data = &entry->words[1], .len = sizeof entry->words[1]};
    } else {
        status = soma_cursor_next_ref(cursor, &entry->key, &entry->value);
    }
    if (status == SOMA_OK)
        entry->hash = cursor->hash;
    return status;
}

int soma__key_order(uint64_t hash_a, struct soma_bytes a, uint64_t hash_b, struct soma_bytes b)
{
    if (hash_a != hash_b)
        return hash_a < hash_b ? -1 : 1;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return soma__memory_compare(a.data, b.data, a.len);
}

/* ---- Versions ---- */

bool soma__cursor_given(const soma_cursor *cursor, struct soma__entry *given)
{
    if (cursor->sorted)
        return soma__sorted_given(cursor->sorted, given);
    if (cursor->next == 0)
        return false;
    const struct walk_item *item = &cursor->batch.items[cursor->next - 1];
    *given = (struct soma__entry){
        .key = item_key(cursor, item), .value = item_value(cursor, item), .version = item->version};
    return true;
}

/* The version that the key has in the view. */
static void ask_view(const soma_cursor *cursor, struct soma__entry *given)
{
    const struct soma__section section = soma__section_enter();
    const enum soma_status status =
        soma__map_get_at(cursor->core, given->key.data, given->key.len, cursor->at, NULL, 0, NULL, &given->version);
    soma__section_exit(section);
    ASSERT("cursors: a view has what it has given", status == SOMA_OK);
    (void)status;
}

/* The version that the key has now, if it still has this word. */
static enum soma_status ask_map(const soma_cursor *cursor, struct soma__entry *given)
{
    unsigned char word[VALUE_ALIGN];
    size_t len = 0;
    const enum soma_status status = soma_map_get_version((const soma_map *)cursor->core, given->key.data,
                                                         given->key.len, word, sizeof word, &len, &given->version);
    if (status != SOMA_OK)
        return status;
    return len == sizeof word && memcmp(word, given->value.data, sizeof word) == 0 ? SOMA_OK : SOMA_CHANGED;
}

/* Values do not change under their versions, but for words under one that nobody has asked for. */
static enum soma_status ask(const soma_cursor *cursor, struct soma__entry *given)
{
    if (given->value.len != sizeof(uint64_t))
        return SOMA_OK;
    if (cursor->at == SOMA__NOW || cursor->sorted) /* the view of a sorted one may be closed */
        return ask_map(cursor, given);
    ask_view(cursor, given);
    return SOMA_OK;
}

enum soma_status soma_cursor_version(const soma_cursor *cursor, uint64_t *version)
{
    TURN(cursor, WHAT_CURSOR);
    struct soma__entry given;
    if (UNLIKELY(!HAS_TURN(cursor) || cursor->kind != KIND_BYTES || !soma__cursor_given(cursor, &given))) {
        MISUSE("cursor is NULL, goes through a word map, or has given no entry");
        return SOMA_E_INVALID;
    }
    const enum soma_status status = ask(cursor, &given);
    if (status == SOMA_OK && version)
        *version = given.version;
    return status;
}

/* ---- Places ---- */

static void go_to(struct soma_cursor *cursor, uint64_t place)
{
    cursor->token = place > cursor->first ? place : cursor->first;
    soma__scan_init(&cursor->scan, cursor->token, cursor->last);
    cursor->next = 0;
    cursor->count = 0;
}

void soma__cursor_between(soma_cursor *cursor, uint64_t first, uint64_t last)
{
    cursor->first = first;
    cursor->last = last;
    go_to(cursor, first);
}

uint64_t soma_cursor_token(const soma_cursor *cursor)
{
    TURN(cursor, WHAT_CURSOR);
    if (!HAS_TURN(cursor)) {
        MISUSE("cursor is NULL");
        return 0;
    }
    return cursor->sorted ? soma__sorted_token(cursor->sorted) : TOKEN_OF(cursor);
}

enum soma_status soma_cursor_seek(soma_cursor *cursor, uint64_t token)
{
    TURN(cursor, WHAT_CURSOR);
    if (!HAS_TURN(cursor)) {
        MISUSE("cursor is NULL");
        return SOMA_E_INVALID;
    }
    TAKE_BACK(cursor);
    if (cursor->sorted) {
        soma__sorted_seek(cursor->sorted, token);
        return SOMA_OK;
    }
    if (!TOKEN_FITS(cursor, token))
        MISUSE("the token is another map's");
    go_to(cursor, token);
    return SOMA_OK;
}

enum soma_status soma_cursor_part(soma_cursor *cursor, uint32_t part, uint32_t parts)
{
    TURN(cursor, WHAT_CURSOR);
    if (!HAS_TURN(cursor) || part >= parts) {
        MISUSE("cursor is NULL, or part is not below parts");
        return SOMA_E_INVALID;
    }
    TAKE_BACK(cursor);
    if (cursor->sorted) {
        soma__sorted_part(cursor->sorted, part, parts);
        return SOMA_OK;
    }
    const uint64_t width = UINT64_MAX / parts; /* parts * width hashes, and the rest to the last */
    const uint64_t first = part * width;
    soma__cursor_between(cursor, first, part + 1 == parts ? UINT64_MAX : first + (width - 1));
    return SOMA_OK;
}

enum soma_status soma_cursor_range(soma_cursor *cursor, unsigned bits, uint64_t prefix)
{
    TURN(cursor, WHAT_CURSOR);
    if (!HAS_TURN(cursor) || cursor->sorted || !soma__prefix_ok(bits, prefix)) {
        MISUSE("cursor is NULL or sorted, or prefix has more than bits, or than 64, bits");
        return SOMA_E_INVALID;
    }
    TAKE_BACK(cursor);
    soma__cursor_between(cursor, soma__prefix_first(bits, prefix), soma__prefix_last(bits, prefix));
    return SOMA_OK;
}

/* ---- Birth and death ---- */

/* A cursor only looks; but whether an entry is part of a view may first have to be decided. */
static struct core *core_of(const void *map)
{
    return (struct core *)(uintptr_t)map;
}

/* `on` is the handle that it was opened on. */
static enum soma_status cursor_new(struct core *core, enum soma__kind kind, uint64_t at, const void *on,
                                   soma_cursor **out)
{
    (void)on;
    struct soma_cursor *cursor = soma__mem_alloc(sizeof *cursor);
    if (!cursor)
        return SOMA_E_NOMEM;
    cursor->core = core;
    cursor->kind = kind;
    cursor->at = at;
    cursor->first = 0;
    cursor->last = UINT64_MAX;
    cursor->bytes = NULL;
    cursor->bytes_cap = 0;
    cursor->sorted = NULL;
    go_to(cursor, 0);
    *out = cursor;
    LENT_NOTHING(cursor);
    BORN(cursor, WHAT_CURSOR, on);
    return SOMA_OK;
}

enum soma_status soma_cursor_open_u64(const soma_u64 *map, soma_cursor **out)
{
    if (!LIVES(map, WHAT_WORDS) || !out) {
        MISUSE("map or out is NULL");
        return SOMA_E_INVALID;
    }
    return cursor_new(core_of(map), KIND_WORDS, SOMA__NOW, map, out);
}

enum soma_status soma_cursor_open_map(const soma_map *map, soma_cursor **out)
{
    if (!LIVES(map, WHAT_BYTES) || !out) {
        MISUSE("map or out is NULL");
        return SOMA_E_INVALID;
    }
    return cursor_new(core_of(map), KIND_BYTES, SOMA__NOW, map, out);
}

enum soma_status soma_cursor_open_view(const soma_view *view, soma_cursor **out)
{
    if (!LIVES(view, WHAT_VIEW) || !out) {
        MISUSE("view or out is NULL");
        return SOMA_E_INVALID;
    }
    return cursor_new(view->core, view->core->kind->words ? KIND_WORDS : KIND_BYTES, view->at, view, out);
}

void soma_cursor_close(soma_cursor *cursor)
{
    if (!cursor || !ENDS(cursor, WHAT_CURSOR))
        return;
    TAKE_BACK(cursor);
    if (cursor->sorted)
        soma__sorted_free(cursor->sorted);
    if (cursor->bytes)
        soma__mem_free(cursor->bytes, cursor->bytes_cap);
    BURY(cursor, sizeof *cursor, soma__mem_free);
}
