/* SPDX-License-Identifier: ISC */
/* image.c - images of frozen maps: in memory, in files, and whether bytes from outside are one. docs/spec/frozen.md has
 * every byte. Numbers are little-endian and read where they stand, so files are for little-endian machines. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "base/loan.h"
#include "frozen/frozen.h"
#include "mem/mem.h"

#define MAGIC "somafrzn"
#define VERSION 1
#define LITTLE_ENDIAN_HERE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* The checksum is SipHash-1-3 under this key: "soma frozen map\0". */
static const uint64_t checksum_key[2] = {UINT64_C(0x6f726620616d6f73), UINT64_C(0x0070616d206e657a)};

/* What comes before the bytes that it sums up. */
#define SUMMED_FROM offsetof(struct frozen_header, version)

uint64_t soma__frozen_checksum(const struct frozen_header *header, uint64_t size)
{
    return soma__siphash13(checksum_key, (const char *)header + SUMMED_FROM, size - SUMMED_FROM);
}

/* ---- In memory ---- */

static const uint64_t *starts_of(const struct frozen_header *header)
{
    return (const uint64_t *)(const void *)((const struct frozen_slot *)(header + 1) + LINE_SLOTS * header->lines);
}

/* Of an image whose header is good. */
static void set_up(struct soma_frozen *frozen, const struct frozen_header *header)
{
    *frozen = (struct soma_frozen){.table = (const struct frozen_slot *)(header + 1),
                                   .homes = header->homes,
                                   .kind = header->kind,
                                   .seed = {header->seed[0], header->seed[1]},
                                   .starts = starts_of(header),
                                   .count = header->count,
                                   .header = header};
    frozen->end = frozen->table + LINE_SLOTS * header->lines;
    frozen->records = (const unsigned char *)(frozen->starts + frozen_starts(header->count));
    soma__mix_init(&frozen->mix, header->seed);
}

/* Of an image. */
static uint64_t size_of(const struct frozen_header *header)
{
    const uint64_t table = header->lines * LINE_SLOTS * sizeof(struct frozen_slot);
    return sizeof *header + table + frozen_starts(header->count) * sizeof(uint64_t) + header->records;
}

soma_frozen *soma__frozen_new(const struct frozen_header *like, bool huge, struct frozen_slot **table)
{
    const uint64_t size = size_of(like);
    soma_frozen *frozen = soma__mem_alloc(sizeof *frozen);
    if (!frozen)
        return NULL;
    struct frozen_header *header = soma__range_reserve(size);
    if (!header)
        goto free_frozen;
    if (!soma__range_commit((char *)header, (char *)header + size))
        goto free_range;
    if (huge)
        soma__range_huge((char *)header, (char *)header + size);
    *header = *like;
    memcpy(header->magic, MAGIC, sizeof header->magic);
    header->version = VERSION;
    header->size = size;
    set_up(frozen, header);
    *table = (struct frozen_slot *)(header + 1);
    return frozen;
free_range:
    soma__range_free(header, size);
free_frozen:
    soma__mem_free(frozen, sizeof *frozen);
    return NULL;
}

void soma_frozen_free(soma_frozen *frozen)
{
    if (!frozen || !ENDS(frozen, WHAT_FROZEN))
        return;
    UNSEAL(frozen->header);
    soma__range_free((void *)(uintptr_t)frozen->header, frozen->header->size);
    BURY(frozen, sizeof *frozen, soma__mem_free);
}

void soma_frozen_retire(void *frozen)
{
    soma_frozen_free(frozen);
}

/* ---- From outside ---- */

static bool is_zero(const uint64_t *words, size_t n)
{
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= words[i];
    return any == 0;
}

/* Whether the header's numbers describe exactly this many bytes. No sum or product here exceeds 2^64. */
static bool header_is_good(const struct frozen_header *header, uint64_t size)
{
    const uint64_t most = size / (sizeof(struct frozen_slot) * LINE_SLOTS);
    const bool kinds = header->kind == FROZEN_WORDS || header->kind == FROZEN_BYTES;
    if (header->size != size || !kinds || !is_zero(header->zero, sizeof header->zero / sizeof *header->zero))
        return false;
    if (header->lines > most || header->homes > header->lines || header->count > LINE_SLOTS * header->lines)
        return false;
    if ((header->count == 0) != (header->lines == 0) || (header->lines == 0) != (header->homes == 0))
        return false;
    if (header->records > size || header->records % 8 != 0 || (header->kind == FROZEN_WORDS && header->records != 0))
        return false;
    return size_of(header) == size;
}

static bool is_same(const struct frozen_slot *a, const struct frozen_slot *b)
{
    return a->hash == b->hash && a->word == b->word;
}

/* Whether a whole record stands there. */
static bool record_is_good(const struct soma_frozen *frozen, uint64_t at)
{
    const uint64_t records = frozen->header->records;
    if (at % 8 != 0 || at >= records) /* so there are 8 bytes */
        return false;
    const struct frozen_record *record = (const struct frozen_record *)(const void *)(frozen->records + at);
    return soma__frozen_record_size(record) <= records - at;
}

/* Whether the group of slots from one to another is an entry that can be found, and its number's start is right. */
static bool group_is_good(const struct soma_frozen *frozen, const struct frozen_slot *first,
                          const struct frozen_slot *last, uint64_t number)
{
    const uint64_t line = (uint64_t)(last - frozen->table) / LINE_SLOTS;
    if (number >= frozen->count || soma__frozen_home(last->hash, frozen->homes) > line)
        return false;
    if (number % START_STEP == 0 && frozen->starts[number / START_STEP] != (uint64_t)(first - frozen->table))
        return false;
    return frozen->kind == FROZEN_WORDS || record_is_good(frozen, last->word);
}

/* F1 to F3. In a table of words two entries of one hash would be one key with two values. */
static bool table_is_good(const struct soma_frozen *frozen)
{
    const struct frozen_slot *first = frozen->table;
    uint64_t number = 0;
    for (const struct frozen_slot *slot = frozen->table; slot != frozen->end; slot++) {
        const bool at_end = slot + 1 == frozen->end;
        if (!at_end && is_same(slot, slot + 1))
            continue;
        if (!group_is_good(frozen, first, slot, number))
            return false;
        if (!at_end && slot->hash >= slot[1].hash && (frozen->kind == FROZEN_WORDS || slot->hash > slot[1].hash))
            return false;
        first = slot + 1;
        number++;
    }
    return number == frozen->count;
}

/* Whether the records lie side by side, as many as there are entries, and each is what its key finds. */
static bool records_are_good(const struct soma_frozen *frozen)
{
    uint64_t number = 0;
    for (uint64_t at = 0; at < frozen->header->records; number++) {
        if (!record_is_good(frozen, at))
            return false;
        const unsigned char *bytes = frozen->records + at;
        const struct frozen_record *record = (const struct frozen_record *)(const void *)bytes;
        const uint64_t size = soma__frozen_record_size(record);
        const uint64_t used = sizeof *record + (uint64_t)record->value_len + record->key_len;
        for (uint64_t i = used; i < size; i++) {
            if (bytes[i] != 0)
                return false;
        }
        if (soma__frozen_record(frozen, bytes + sizeof *record + record->value_len, record->key_len) != record)
            return false;
        at += size;
    }
    return frozen->kind == FROZEN_WORDS || number == frozen->count;
}

enum soma_status soma__frozen_check(struct soma_frozen *frozen, const void *image, uint64_t size)
{
    const struct frozen_header *header = image;
    if (size < sizeof *header || memcmp(header->magic, MAGIC, sizeof header->magic) != 0)
        return SOMA_E_CORRUPT;
    if (header->version != VERSION)
        return SOMA_E_UNSUPPORTED;
    if (!header_is_good(header, size) || header->checksum != soma__frozen_checksum(header, size))
        return SOMA_E_CORRUPT;
    set_up(frozen, header);
    return table_is_good(frozen) && records_are_good(frozen) ? SOMA_OK : SOMA_E_CORRUPT;
}

/* ---- Files ---- */

/* The size of a regular file. */
static enum soma_status file_size(int fd, uint64_t *size)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return SOMA_E_IO;
    if (!S_ISREG(about.st_mode)) {
        errno = ENODEV;
        return SOMA_E_IO;
    }
    *size = (uint64_t)about.st_size;
    return *size < sizeof(struct frozen_header) ? SOMA_E_CORRUPT : SOMA_OK;
}

static enum soma_status open_file(int fd, soma_frozen *frozen)
{
    uint64_t size;
    const enum soma_status status = file_size(fd, &size);
    if (status != SOMA_OK)
        return status;
    const void *image = soma__file_map(fd, size);
    if (!image)
        return errno == ENOMEM ? SOMA_E_NOMEM : SOMA_E_IO;
    const enum soma_status good = soma__frozen_check(frozen, image, size);
    if (good != SOMA_OK)
        soma__range_free((void *)(uintptr_t)image, size);
    return good;
}

enum soma_status soma_frozen_open(int fd, soma_frozen **out)
{
    if (!out) {
        MISUSE("out is NULL");
        return SOMA_E_INVALID;
    }
    if (!LITTLE_ENDIAN_HERE)
        return SOMA_E_UNSUPPORTED;
    soma_frozen *frozen = soma__mem_alloc(sizeof *frozen);
    if (!frozen)
        return SOMA_E_NOMEM;
    const enum soma_status status = open_file(fd, frozen);
    if (status == SOMA_OK) {
        *out = frozen;
        BORN(frozen, WHAT_FROZEN, NULL);
    } else
        soma__mem_free(frozen, sizeof *frozen);
    return status;
}

static enum soma_status write_all(int fd, const void *from, uint64_t size)
{
    const char *bytes = from;
    while (size > 0) {
        const ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR)
            return SOMA_E_IO;
        if (written > 0) {
            bytes += written;
            size -= (uint64_t)written;
        }
    }
    return SOMA_OK;
}

enum soma_status soma_frozen_write(const soma_frozen *frozen, int fd)
{
    if (!LIVES(frozen, WHAT_FROZEN)) {
        MISUSE("frozen is NULL");
        return SOMA_E_INVALID;
    }
    if (!LITTLE_ENDIAN_HERE)
        return SOMA_E_UNSUPPORTED;
    struct frozen_header header = *frozen->header;
    header.checksum = soma__frozen_checksum(frozen->header, header.size);
    const enum soma_status status = write_all(fd, &header, sizeof header);
    return status == SOMA_OK ? write_all(fd, frozen->header + 1, header.size - sizeof header) : status;
}
