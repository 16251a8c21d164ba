/* SPDX-License-Identifier: ISC */
/* patch.c - differences as bytes, and whether bytes are differences. docs/spec/patch.md has every byte.
 *
 * Bytes from outside come in through soma__patch_open() alone, which looks at all of them. What follows reads them by the same
 * steps, within the same bounds. */
#include "diff/patch.h"

#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "diff/difference.h"
#include "base/guard.h"
#include "hash/hash.h"
#include "map/bytes.h"
#include "mem/mem.h"

#define MAGIC "somaptch"
#define VERSION 1

enum {
    PATCH_WORDS = 1,
    PATCH_BYTES = 2
};

/* Where what is known only at the end stands, and where the differences begin. */
#define SIZE_AT 16
#define COUNTS_AT 24
#define HEADER_BYTES 48
#define CHECKSUM_BYTES 8

/* The checksum is SipHash-1-3 under this key: "soma map patch\0\0". */
static const uint64_t checksum_key[2] = {UINT64_C(0x70616d20616d6f73), UINT64_C(0x0000686374617020)};

uint64_t soma__patch_checksum(const void *bytes, size_t len)
{
    return soma__siphash13(checksum_key, bytes, len - CHECKSUM_BYTES);
}

/* ---- Byte strings ---- */

int soma__bytes_order(struct soma_bytes a, struct soma_bytes b)
{
    const size_t shorter = a.len < b.len ? a.len : b.len;
    const int order = soma__memory_compare(a.data, b.data, shorter);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* ---- Reading a difference ---- */

static struct soma_bytes get_string(struct wire_in *in)
{
    const uint64_t len = soma__wire_get_varint(in);
    in->bad |= len > SOMA_LEN_MAX;
    const void *data = soma__wire_get(in, len);
    return (struct soma_bytes){.data = data, .len = in->bad ? 0 : (size_t)len};
}

static void get_strings(struct wire_in *in, struct soma_difference *difference)
{
    difference->key = get_string(in);
    if (difference->what != SOMA_INSERTED)
        difference->before = get_string(in);
    if (difference->what != SOMA_REMOVED)
        difference->after = get_string(in);
}

static struct soma_bytes bytes_of(const uint64_t *word)
{
    return (struct soma_bytes){.data = word, .len = sizeof *word};
}

/* A key comes as what it is more than the least that it could be. */
static void get_words(struct wire_in *in, struct soma_patch_reader *reader, struct soma_difference *difference)
{
    const uint64_t more = soma__wire_get_varint(in);
    in->bad |= reader->begun && more >= UINT64_MAX - reader->key;
    difference->word.key = reader->begun ? reader->key + 1 + more : more;
    difference->key = bytes_of(&difference->word.key);
    if (difference->what != SOMA_INSERTED) {
        difference->word.before = soma__wire_get_varint(in);
        difference->before = bytes_of(&difference->word.before);
    }
    if (difference->what != SOMA_REMOVED) {
        difference->word.after = soma__wire_get_varint(in);
        difference->after = bytes_of(&difference->word.after);
    }
}

enum soma_status soma_patch_next(struct soma_patch_reader *reader, struct soma_difference *difference)
{
    if (!reader || !difference) {
        MISUSE("reader or difference is NULL");
        return SOMA_E_INVALID;
    }
    if (reader->at == reader->end)
        return SOMA_END;
    struct wire_in in = soma__wire_in(reader->at, (size_t)(reader->end - reader->at));
    const unsigned what = soma__wire_get8(&in);
    if (what < SOMA_INSERTED || what > SOMA_REMOVED)
        return SOMA_E_CORRUPT;
    *difference = (struct soma_difference){.what = (enum soma_status)what};
    if (reader->words)
        get_words(&in, reader, difference);
    else
        get_strings(&in, difference);
    if (in.bad)
        return SOMA_E_CORRUPT;
    reader->at = in.at;
    reader->key = difference->word.key;
    reader->begun = true;
    return SOMA_OK;
}

/* ---- Checking ---- */

struct header {
    uint32_t kind;
    uint64_t size;
    uint64_t count[3]; /* of inserted, replaced, removed */
};

static enum soma_status read_header(struct wire_in *in, struct header *header)
{
    const size_t size = soma__wire_left(in);
    const void *magic = soma__wire_get(in, sizeof MAGIC - 1);
    if (size < HEADER_BYTES + CHECKSUM_BYTES || memcmp(magic, MAGIC, sizeof MAGIC - 1) != 0)
        return SOMA_E_CORRUPT;
    if (soma__wire_get32(in) != VERSION)
        return SOMA_E_UNSUPPORTED;
    header->kind = soma__wire_get32(in);
    header->size = soma__wire_get64(in);
    for (int i = 0; i < 3; i++)
        header->count[i] = soma__wire_get64(in);
    const bool kinds = header->kind == PATCH_WORDS || header->kind == PATCH_BYTES;
    return kinds && header->size == size ? SOMA_OK : SOMA_E_CORRUPT;
}

/* Whether the differences are in order, do something, and are as many as the header says. */
static bool differences_are_good(struct soma_patch_reader reader, const struct header *header)
{
    struct soma_difference difference;
    struct soma_bytes key = {.data = NULL};
    uint64_t count[3] = {0, 0, 0};
    enum soma_status status;
    for (bool first = true; (status = soma_patch_next(&reader, &difference)) == SOMA_OK; first = false) {
        if (!reader.words && !first && soma__bytes_order(key, difference.key) >= 0)
            return false;
        if (difference.what == SOMA_REPLACED && soma__bytes_same(difference.before, difference.after))
            return false;
        key = difference.key;
        count[difference.what - SOMA_INSERTED]++;
    }
    return status == SOMA_END && memcmp(count, header->count, sizeof count) == 0;
}

enum soma_status soma__patch_open(struct soma_bytes bytes, struct soma_patch_info *info,
                                  struct soma_patch_reader *reader)
{
    if (!bytes.data && bytes.len > 0) {
        MISUSE("bytes.data is NULL");
        return SOMA_E_INVALID;
    }
    struct wire_in in = soma__wire_in(bytes.data, bytes.len);
    struct header header;
    const enum soma_status status = read_header(&in, &header);
    if (status != SOMA_OK)
        return status;
    struct wire_in end = soma__wire_in(in.end - CHECKSUM_BYTES, CHECKSUM_BYTES);
    *reader = (struct soma_patch_reader){.at = in.at, .end = end.at, .words = header.kind == PATCH_WORDS};
    if (soma__wire_get64(&end) != soma__patch_checksum(bytes.data, bytes.len) ||
        !differences_are_good(*reader, &header))
        return SOMA_E_CORRUPT;
    *info = (struct soma_patch_info){
        .words = reader->words, .inserted = header.count[0], .replaced = header.count[1], .removed = header.count[2]};
    return SOMA_OK;
}

enum soma_status soma_patch_check(struct soma_bytes bytes, struct soma_patch_info *info)
{
    struct soma_patch_reader reader;
    struct soma_patch_info found;
    const enum soma_status status = soma__patch_open(bytes, &found, &reader);
    if (status == SOMA_OK && info)
        *info = found;
    return status;
}

enum soma_status soma_patch_begin(struct soma_bytes bytes, struct soma_patch_reader *reader)
{
    if (!reader) {
        MISUSE("reader is NULL");
        return SOMA_E_INVALID;
    }
    struct soma_patch_reader first;
    struct soma_patch_info info;
    const enum soma_status status = soma__patch_open(bytes, &info, &first);
    if (status == SOMA_OK)
        *reader = first;
    return status;
}

uint64_t soma__patch_count(const struct soma_patch_info *info)
{
    return info->inserted + info->replaced + info->removed;
}

/* ---- Writing ---- */

void soma__patch_start(struct patch_writer *writer, bool words)
{
    *writer = (struct patch_writer){.words = words, .key = UINT64_MAX};
    soma__wire_put(&writer->out, MAGIC, sizeof MAGIC - 1);
    soma__wire_put32(&writer->out, VERSION);
    soma__wire_put32(&writer->out, words ? PATCH_WORDS : PATCH_BYTES);
    for (int i = 0; i < 4; i++)
        soma__wire_put64(&writer->out, 0); /* the size and the counts, see soma__patch_finish() */
}

static void put_string(struct wire_out *out, struct soma_bytes bytes)
{
    soma__wire_put_varint(out, bytes.len);
    soma__wire_put(out, bytes.data, bytes.len);
}

void soma__patch_add(struct patch_writer *writer, const struct soma_difference *difference)
{
    struct wire_out *out = &writer->out;
    const bool was = difference->what != SOMA_INSERTED;
    const bool will_be = difference->what != SOMA_REMOVED;
    soma__wire_put8(out, (uint8_t)difference->what);
    writer->count[difference->what - SOMA_INSERTED]++;
    if (writer->words) {
        soma__wire_put_varint(out, difference->word.key - writer->key - 1); /* the first: its key */
        writer->key = difference->word.key;
        if (was)
            soma__wire_put_varint(out, difference->word.before);
        if (will_be)
            soma__wire_put_varint(out, difference->word.after);
    } else {
        put_string(out, difference->key);
        if (was)
            put_string(out, difference->before);
        if (will_be)
            put_string(out, difference->after);
    }
}

static void set_little(unsigned char *at, uint64_t word)
{
    for (unsigned i = 0; i < sizeof word; i++)
        at[i] = (unsigned char)(word >> 8 * i);
}

static soma_patch *patch_new(struct patch_writer *writer)
{
    unsigned char *checksum = soma__wire_room(&writer->out, CHECKSUM_BYTES);
    soma_patch *patch = checksum ? soma__mem_alloc(sizeof *patch) : NULL;
    if (!patch)
        return NULL;
    *patch = (soma_patch){.out = writer->out};
    set_little(patch->out.data + SIZE_AT, patch->out.len);
    for (size_t i = 0; i < 3; i++)
        set_little(patch->out.data + COUNTS_AT + 8 * i, writer->count[i]);
    set_little(checksum, soma__patch_checksum(patch->out.data, patch->out.len));
    return patch;
}

enum soma_status soma__patch_finish(struct patch_writer *writer, enum soma_status status, soma_patch **out)
{
    soma_patch *patch = status == SOMA_OK ? patch_new(writer) : NULL;
    if (!patch) {
        soma__wire_free(&writer->out);
        return status == SOMA_OK ? SOMA_E_NOMEM : status;
    }
    *out = patch;
    BORN(patch, WHAT_PATCH, NULL);
    return SOMA_OK;
}

void soma_patch_free(soma_patch *patch)
{
    if (!patch || !ENDS(patch, WHAT_PATCH))
        return;
    soma__wire_free(&patch->out);
    BURY(patch, sizeof *patch, soma__mem_free);
}

struct soma_bytes soma_patch_bytes(const soma_patch *patch)
{
    return LIVES_OR_SAYS(patch, WHAT_PATCH) ? (struct soma_bytes){.data = patch->out.data, .len = patch->out.len}
                                            : (struct soma_bytes){.data = NULL, .len = 0};
}

/* ---- From patches to patches ---- */

enum soma_status soma_patch_invert(struct soma_bytes bytes, soma_patch **out)
{
    if (!out) {
        MISUSE("out is NULL");
        return SOMA_E_INVALID;
    }
    struct soma_patch_reader reader;
    struct soma_patch_info info;
    enum soma_status status = soma__patch_open(bytes, &info, &reader);
    if (status != SOMA_OK)
        return status;
    struct patch_writer writer;
    struct soma_difference difference;
    soma__patch_start(&writer, info.words);
    while ((status = soma_patch_next(&reader, &difference)) == SOMA_OK) {
        const struct soma_difference inverse = soma__difference_inverse(&difference);
        soma__patch_add(&writer, &inverse);
    }
    return soma__patch_finish(&writer, status == SOMA_END ? SOMA_OK : status, out);
}

/* One of two patches that are put together, at a difference. */
struct part {
    struct soma_patch_reader reader;
    struct soma_difference difference;
    enum soma_status status; /* SOMA_END: there is none */
};

static void part_step(struct part *part)
{
    part->status = soma_patch_next(&part->reader, &part->difference);
}

/* Which key comes first: that of `a` (< 0), that of `b` (> 0), or they are one. Not both are at their end. */
static int part_order(const struct part *a, const struct part *b)
{
    if (a->status != SOMA_OK || b->status != SOMA_OK)
        return a->status == SOMA_OK ? -1 : 1;
    if (!a->reader.words)
        return soma__bytes_order(a->difference.key, b->difference.key);
    const uint64_t x = a->difference.word.key;
    const uint64_t y = b->difference.word.key;
    return (x > y) - (x < y);
}

/* One key's difference, then another. False: the second does not fit. */
static bool add_both(struct patch_writer *writer, const struct soma_difference *first,
                     const struct soma_difference *second)
{
    const bool is_there = first->what != SOMA_REMOVED;
    const bool was_there = first->what != SOMA_INSERTED;
    const bool will_be = second->what != SOMA_REMOVED;
    if (is_there != (second->what != SOMA_INSERTED) || !soma__bytes_same(first->after, second->before))
        return false;
    struct soma_difference both = *first;
    both.word.after = second->word.after;
    both.after = second->after;
    if (!was_there && !will_be)
        return true;
    both.what = !was_there ? SOMA_INSERTED : will_be ? SOMA_REPLACED : SOMA_REMOVED;
    if (both.what != SOMA_REPLACED || !soma__bytes_same(both.before, both.after))
        soma__patch_add(writer, &both);
    return true;
}

static enum soma_status compose(struct patch_writer *writer, struct part *a, struct part *b)
{
    part_step(a);
    part_step(b);
    while (a->status == SOMA_OK || b->status == SOMA_OK) {
        const int order = part_order(a, b);
        if (order == 0 && !add_both(writer, &a->difference, &b->difference))
            return SOMA_CHANGED;
        if (order != 0)
            soma__patch_add(writer, order < 0 ? &a->difference : &b->difference);
        if (order <= 0)
            part_step(a);
        if (order >= 0)
            part_step(b);
    }
    return SOMA_OK;
}

enum soma_status soma_patch_compose(struct soma_bytes first, struct soma_bytes second, soma_patch **out)
{
    if (!out) {
        MISUSE("out is NULL");
        return SOMA_E_INVALID;
    }
    struct part a;
    struct part b;
    struct soma_patch_info info;
    enum soma_status status = soma__patch_open(first, &info, &a.reader);
    if (status == SOMA_OK)
        status = soma__patch_open(second, &info, &b.reader);
    if (status != SOMA_OK)
        return status;
    if (a.reader.words != b.reader.words) {
        MISUSE("the patches are for different kinds of map");
        return SOMA_E_INVALID;
    }
    struct patch_writer writer;
    soma__patch_start(&writer, info.words);
    return soma__patch_finish(&writer, compose(&writer, &a, &b), out);
}
