/* SPDX-License-Identifier: ISC */
/* build.c - frozen maps from views. Entries are collected, hashed, sorted by hash, and placed (frozen.h). */
#include <string.h>

#include <soma/cursor.h>

#include "base/check.h"
#include "base/guard.h"
#include "base/loan.h"
#include "frozen/frozen.h"
#include "mem/mem.h"
#include "view/view.h"

/* ---- Collecting ---- */

#define ENTRIES_LEAST 16
#define RECORDS_LEAST 1024

/* A block twice as large, with what was in it; the old one is gone then. NULL: no memory, and the old one stays. */
static void *doubled(void *block, uint64_t used, uint64_t cap)
{
    return cap > SIZE_MAX / 2 ? NULL : soma__mem_grow(block, cap, used, 2 * cap);
}

enum soma_status soma__frozen_begin(struct frozen_builder *builder, uint32_t kind, uint64_t expected)
{
    const uint64_t cap = expected > ENTRIES_LEAST ? expected : ENTRIES_LEAST;
    *builder = (struct frozen_builder){.kind = kind, .entries_cap = cap, .records_cap = RECORDS_LEAST};
    if (cap > SIZE_MAX / sizeof *builder->entries)
        return SOMA_E_NOMEM;
    builder->entries = soma__mem_alloc(cap * sizeof *builder->entries);
    builder->records = soma__mem_alloc(RECORDS_LEAST);
    return builder->entries && builder->records ? SOMA_OK : SOMA_E_NOMEM;
}

void soma__frozen_end(struct frozen_builder *builder)
{
    if (builder->entries)
        soma__mem_free(builder->entries, builder->entries_cap * sizeof *builder->entries);
    if (builder->records)
        soma__mem_free(builder->records, builder->records_cap);
}

enum soma_status soma__frozen_add_word(struct frozen_builder *builder, uint64_t key, uint64_t value)
{
    if (builder->count == builder->entries_cap) {
        const uint64_t used = builder->count * sizeof *builder->entries;
        struct frozen_slot *larger = doubled(builder->entries, used, used);
        if (!larger)
            return SOMA_E_NOMEM;
        builder->entries = larger;
        builder->entries_cap *= 2;
    }
    builder->entries[builder->count++] = (struct frozen_slot){.hash = key, .word = value};
    return SOMA_OK;
}

static enum soma_status records_extend(struct frozen_builder *builder, uint64_t size)
{
    while (builder->records_cap - builder->records_len < size) {
        unsigned char *larger = doubled(builder->records, builder->records_len, builder->records_cap);
        if (!larger)
            return SOMA_E_NOMEM;
        builder->records = larger;
        builder->records_cap *= 2;
    }
    return SOMA_OK;
}

static unsigned char *append(unsigned char *to, struct soma_bytes bytes)
{
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

enum soma_status soma__frozen_add_bytes(struct frozen_builder *builder, struct soma_bytes key, struct soma_bytes value)
{
    const struct frozen_record record = {.key_len = (uint32_t)key.len, .value_len = (uint32_t)value.len};
    const uint64_t size = soma__frozen_record_size(&record);
    const uint64_t at = builder->records_len;
    enum soma_status status = records_extend(builder, size);
    if (status == SOMA_OK)
        status = soma__frozen_add_word(builder, 0, at);
    if (status != SOMA_OK)
        return status;
    unsigned char *to = builder->records + at;
    memset(to + size - sizeof record, 0, sizeof record); /* the padding, for one */
    memcpy(to, &record, sizeof record);
    append(append(to + sizeof record, value), key);
    builder->records_len += size;
    return SOMA_OK;
}

/* ---- Hashing ---- */

static uint64_t hash_of_record(const struct frozen_builder *builder, uint64_t at, const uint64_t seed[2])
{
    const unsigned char *bytes = builder->records + at;
    struct frozen_record record;
    memcpy(&record, bytes, sizeof record);
    return soma__siphash13(seed, bytes + sizeof record + record.value_len, record.key_len);
}

/* From `old`, under which the entries are hashed now; NULL: their keys are plain. */
static void hash_all(struct frozen_builder *builder, const uint64_t seed[2], const uint64_t old[2])
{
    struct soma__mix mix;
    struct soma__mix old_mix;
    soma__mix_init(&mix, seed);
    soma__mix_init(&old_mix, old ? old : seed);
    for (uint64_t i = 0; i < builder->count; i++) {
        struct frozen_slot *entry = &builder->entries[i];
        if (builder->kind == FROZEN_BYTES)
            entry->hash = hash_of_record(builder, entry->word, seed);
        else
            entry->hash = soma__mix_hash(&mix, old ? soma__mix_inverse(&old_mix, entry->hash) : entry->hash);
    }
}

/* ---- Sorting ---- */

#define DIGIT_BITS 8
#define DIGITS (64 / DIGIT_BITS)
#define DIGIT_VALUES (1 << DIGIT_BITS)

static unsigned digit_of(uint64_t hash, unsigned digit)
{
    return (unsigned)(hash >> (digit * DIGIT_BITS)) & (DIGIT_VALUES - 1);
}

static void sort_by_digit(const struct frozen_slot *from, struct frozen_slot *to, uint64_t count, unsigned digit)
{
    uint64_t next[DIGIT_VALUES] = {0};
    uint64_t before = 0;
    for (uint64_t i = 0; i < count; i++)
        next[digit_of(from[i].hash, digit)]++;
    for (unsigned value = 0; value < DIGIT_VALUES; value++) {
        const uint64_t here = next[value];
        next[value] = before;
        before += here;
    }
    for (uint64_t i = 0; i < count; i++)
        to[next[digit_of(from[i].hash, digit)]++] = from[i];
}

/* By hash, from the lowest digit up; the number of digits is even, so the result is where it began. */
static void sort(struct frozen_slot *entries, struct frozen_slot *spare, uint64_t count)
{
    for (unsigned digit = 0; digit < DIGITS; digit += 2) {
        sort_by_digit(entries, spare, count, digit);
        sort_by_digit(spare, entries, count, digit + 1);
    }
}

/* ---- Placing ---- */

static uint64_t homes_for(uint64_t count)
{
    const uint64_t slots = count + count / LOAD_PERCENT * (100 - LOAD_PERCENT) +
                           count % LOAD_PERCENT * (100 - LOAD_PERCENT) / LOAD_PERCENT;
    return (slots + LINE_SLOTS - 1) / LINE_SLOTS;
}

/* Where an entry stands: in the first free slot, but not before its home. */
static uint64_t place_of(uint64_t hash, uint64_t homes, uint64_t next_free)
{
    const uint64_t home = LINE_SLOTS * soma__frozen_home(hash, homes);
    return home > next_free ? home : next_free;
}

/* How many slots sorted entries take, and how many lines the farthest is from its home. */
static uint64_t slots_for(const struct frozen_builder *builder, uint64_t homes, uint64_t *farthest)
{
    uint64_t next = 0;
    *farthest = 0;
    for (uint64_t i = 0; i < builder->count; i++) {
        const uint64_t hash = builder->entries[i].hash;
        next = place_of(hash, homes, next) + 1;
        const uint64_t lines = (next - 1) / LINE_SLOTS - soma__frozen_home(hash, homes);
        *farthest = lines > *farthest ? lines : *farthest;
    }
    return next;
}

/* The table and the starts; what lies between two entries is the second one's. */
static void fill(const struct frozen_builder *builder, uint64_t homes, struct frozen_slot *table, uint64_t slots,
                 uint64_t *starts)
{
    uint64_t next = 0;
    for (uint64_t i = 0; i < builder->count; i++) {
        const struct frozen_slot entry = builder->entries[i];
        const uint64_t last = i + 1 < builder->count ? place_of(entry.hash, homes, next) : slots - 1;
        if (i % START_STEP == 0)
            starts[i / START_STEP] = next;
        while (next <= last)
            table[next++] = entry;
    }
}

soma_frozen *soma__frozen_place(const struct frozen_builder *builder, const uint64_t seed[2])
{
    uint64_t farthest;
    const uint64_t homes = homes_for(builder->count);
    const uint64_t used = slots_for(builder, homes, &farthest);
    const uint64_t lines = used > LINE_SLOTS * homes ? (used + LINE_SLOTS - 1) / LINE_SLOTS : homes;
    const struct frozen_header header = {.kind = builder->kind,
                                         .count = builder->count,
                                         .homes = homes,
                                         .lines = lines,
                                         .records = builder->records_len,
                                         .seed = {seed[0], seed[1]}};
    struct frozen_slot *table;
    soma_frozen *frozen = soma__frozen_new(&header, builder->huge, &table);
    if (!frozen)
        return NULL;
    uint64_t *starts = (uint64_t *)(table + LINE_SLOTS * lines);
    fill(builder, homes, table, LINE_SLOTS * lines, starts);
    memcpy(starts + frozen_starts(builder->count), builder->records, builder->records_len);
    SEAL((void *)(uintptr_t)frozen->header, frozen->header->size);
    BORN(frozen, WHAT_FROZEN, NULL);
    return frozen;
}

/* Hashed and sorted under a seed that leaves no entry far from home, if one of so many does. */
static void arrange(struct frozen_builder *builder, struct frozen_slot *spare, uint64_t seed[2], unsigned seeds_tried)
{
    uint64_t before[2];
    uint64_t farthest;
    for (unsigned tried = 1;; tried++) {
        hash_all(builder, seed, tried > 1 ? before : NULL);
        sort(builder->entries, spare, builder->count);
        (void)slots_for(builder, homes_for(builder->count), &farthest);
        if (farthest < LINES_NEAR || tried >= seeds_tried)
            return;
        memcpy(before, seed, sizeof before);
        soma__seed_random(seed);
    }
}

enum soma_status soma__frozen_finish(struct frozen_builder *builder, const uint64_t seed[2], unsigned seeds_tried,
                                     soma_frozen **out)
{
    uint64_t found[2];
    const uint64_t bytes = builder->count * sizeof *builder->entries;
    struct frozen_slot *spare = soma__mem_alloc(bytes + 1); /* not 0 */
    if (!spare)
        return SOMA_E_NOMEM;
    if (seed)
        memcpy(found, seed, sizeof found);
    else
        soma__seed_random(found);
    arrange(builder, spare, found, seeds_tried);
    soma__mem_free(spare, bytes + 1);
    soma_frozen *frozen = soma__frozen_place(builder, found);
    if (!frozen)
        return SOMA_E_NOMEM;
    *out = frozen;
    return SOMA_OK;
}

/* ---- From a view ---- */

static enum soma_status collect(struct frozen_builder *builder, soma_cursor *cursor)
{
    enum soma_status status = SOMA_OK;
    struct soma_bytes key;
    struct soma_bytes value;
    uint64_t word_key;
    uint64_t word;
    while (status == SOMA_OK) {
        if (builder->kind == FROZEN_WORDS) {
            status = soma_cursor_next_u64(cursor, &word_key, &word);
            status = status == SOMA_OK ? soma__frozen_add_word(builder, word_key, word) : status;
        } else {
            status = soma_cursor_next_ref(cursor, &key, &value);
            status = status == SOMA_OK ? soma__frozen_add_bytes(builder, key, value) : status;
        }
    }
    return status == SOMA_END ? SOMA_OK : status;
}

static enum soma_status build(const soma_view *view, struct frozen_builder *builder, soma_frozen **out)
{
    soma_cursor *cursor;
    enum soma_status status = soma_cursor_open_view(view, &cursor);
    if (status != SOMA_OK)
        return status;
    status = collect(builder, cursor);
    soma_cursor_close(cursor);
    return status == SOMA_OK ? soma__frozen_finish(builder, NULL, SEEDS_TRIED, out) : status;
}

enum soma_status soma_frozen_build(const soma_view *view, soma_frozen **out)
{
    if (!LIVES(view, WHAT_VIEW) || !out) {
        MISUSE("view or out is NULL");
        return SOMA_E_INVALID;
    }
    struct frozen_builder builder;
    const uint32_t kind = view->core->kind->words ? FROZEN_WORDS : FROZEN_BYTES;
    enum soma_status status = soma__frozen_begin(&builder, kind, soma_view_count(view));
    builder.huge = (view->core->flags & SOMA_HUGE_PAGES) != 0;
    if (status == SOMA_OK)
        status = build(view, &builder, out);
    soma__frozen_end(&builder);
    return status;
}
