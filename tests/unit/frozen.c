/* SPDX-License-Identifier: ISC */
/* frozen.c - the table of frozen maps: entries far from home, equal hashes, seeds that are no good, and images of which
 * any one byte is wrong, or what one check is for. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <soma/soma.h>

#include "base/guard.h"
#include "frozen/frozen.h"
#include "support.h"

static const uint64_t seed[2] = {3, 4};

static struct frozen_builder begin(uint32_t kind, uint64_t expected)
{
    struct frozen_builder builder;
    if (soma__frozen_begin(&builder, kind, expected) != SOMA_OK)
        abort();
    return builder;
}

static soma_frozen *finish(struct frozen_builder *builder, unsigned seeds_tried)
{
    soma_frozen *frozen = NULL;
    if (soma__frozen_finish(builder, seed, seeds_tried, &frozen) != SOMA_OK)
        abort();
    soma__frozen_end(builder);
    return frozen;
}

static bool is_good(const soma_frozen *frozen)
{
    struct soma_frozen again;
    const uint64_t size = frozen->header->size;
    struct frozen_header *copy = need(1, size);
    memcpy(copy, frozen->header, size);
    copy->checksum = soma__frozen_checksum(copy, size);
    const enum soma_status status = soma__frozen_check(&again, copy, size);
    free(copy);
    return status == SOMA_OK;
}

/* The farthest that an entry is from its home, in lines. */
static uint64_t farthest(const soma_frozen *frozen)
{
    uint64_t most = 0;
    for (const struct frozen_slot *slot = frozen->table; slot != frozen->end; slot++) {
        const uint64_t line = (uint64_t)(slot - frozen->table) / LINE_SLOTS;
        const uint64_t home = soma__frozen_home(slot->hash, frozen->homes);
        most = line > home && line - home > most ? line - home : most;
    }
    return most;
}

/* ---- Crowds ---- */

#define CROWD 500

/* Keys whose hashes are neighbours under the seed, at either end of all hashes or in the middle. */
static uint64_t crowd_key(uint64_t first_hash, uint64_t i)
{
    struct soma__mix mix;
    soma__mix_init(&mix, seed);
    return soma__mix_inverse(&mix, first_hash + i);
}

static soma_frozen *crowd(uint64_t first_hash, unsigned seeds_tried)
{
    struct frozen_builder builder = begin(FROZEN_WORDS, 1); /* it has to grow */
    for (uint64_t i = CROWD; i-- > 0;)                      /* they have to be sorted */
        EXPECT_EQ(soma__frozen_add_word(&builder, crowd_key(first_hash, 2 * i), i), SOMA_OK);
    return finish(&builder, seeds_tried);
}

static void look_through_crowd(const soma_frozen *frozen, uint64_t first_hash)
{
    for (uint64_t i = 0; i < CROWD; i++) {
        uint64_t value = 0;
        EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(first_hash, 2 * i), &value), SOMA_OK);
        EXPECT_EQ(value, i);
        EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(first_hash, 2 * i + 1), &value), SOMA_ABSENT);
    }
    EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(0, 0), NULL), first_hash == 0 ? SOMA_OK : SOMA_ABSENT);
    EXPECT(is_good(frozen));
    verified(CROWD);
}

/* With one seed there is no way out: the crowd is put up with, and found by searching. */
static void crowds_are_put_up_with(const void *unused)
{
    (void)unused;
    const uint64_t ends[] = {0, UINT64_C(1) << 63, UINT64_MAX - 2 * CROWD + 2, UINT64_MAX - 2 * CROWD + 1};
    for (int i = 0; i < 4; i++) {
        soma_frozen *frozen = crowd(ends[i], 1);
        EXPECT(memcmp(frozen->seed, seed, sizeof seed) == 0);
        EXPECT(farthest(frozen) > LINES_NEAR);
        look_through_crowd(frozen, ends[i]);
        soma_frozen_free(frozen);
    }
}

static void crowds_get_another_seed(const void *unused)
{
    (void)unused;
    soma_frozen *frozen = crowd(0, SEEDS_TRIED);
    EXPECT(memcmp(frozen->seed, seed, sizeof seed) != 0);
    EXPECT(farthest(frozen) < LINES_NEAR);
    look_through_crowd(frozen, 0);
    soma_frozen_free(frozen);
}

/* ---- Equal hashes ---- */

#define EQUALS 100

/* Byte strings that all stand under the hash of one of them: that one is found, wherever it stands among them. */
static void equal_hashes(const void *unused)
{
    (void)unused;
    for (uint64_t real = 0; real < EQUALS; real += 9) {
        struct frozen_builder builder = begin(FROZEN_BYTES, EQUALS);
        for (uint64_t i = 0; i < EQUALS; i++) {
            const struct soma_bytes bytes = {&i, sizeof i};
            EXPECT_EQ(soma__frozen_add_bytes(&builder, bytes, bytes), SOMA_OK);
            builder.entries[i].hash = soma__siphash13(seed, &real, sizeof real);
        }
        soma_frozen *frozen = soma__frozen_place(&builder, seed);
        soma__frozen_end(&builder);
        for (uint64_t i = 0; i < EQUALS; i++) {
            struct soma_bytes value = {NULL, 0};
            const bool is_found = soma_frozen_get_ref(frozen, &i, sizeof i, &value) == SOMA_OK;
            EXPECT(is_found == (i == real) && (!is_found || memcmp(value.data, &i, sizeof i) == 0));
            EXPECT_EQ(soma_frozen_at_ref(frozen, i, &value, NULL), SOMA_OK);
            EXPECT(value.len == sizeof i && memcmp(value.data, &i, sizeof i) == 0);
        }
        EXPECT(!is_good(frozen)); /* the others cannot be found */
        soma_frozen_free(frozen);
        verified(EQUALS);
    }
}

/* A longer key that begins with another, under its hash, is not that. */
static void equal_hashes_of_longer(const void *unused)
{
    (void)unused;
    struct frozen_builder builder = begin(FROZEN_BYTES, 1);
    const struct soma_bytes key = {"ab", 2};
    EXPECT_EQ(soma__frozen_add_bytes(&builder, key, key), SOMA_OK);
    builder.entries[0].hash = soma__siphash13(seed, "a", 1);
    soma_frozen *frozen = soma__frozen_place(&builder, seed);
    soma__frozen_end(&builder);
    EXPECT_EQ(soma_frozen_get_ref(frozen, "a", 1, NULL), SOMA_ABSENT);
    soma_frozen_free(frozen);
    verified(1);
}

/* ---- Wrong images ---- */

static soma_frozen *small_words(uint64_t n)
{
    struct frozen_builder builder = begin(FROZEN_WORDS, n);
    for (uint64_t i = 0; i < n; i++)
        EXPECT_EQ(soma__frozen_add_word(&builder, i, i), SOMA_OK);
    return finish(&builder, 1);
}

static soma_frozen *small_strings(uint64_t n)
{
    struct frozen_builder builder = begin(FROZEN_BYTES, n);
    for (uint64_t i = 0; i < n; i++) {
        const struct soma_bytes key = {"abcdefghijklmnopqrstuvwxyz0123456789....", i};
        EXPECT_EQ(soma__frozen_add_bytes(&builder, key, (struct soma_bytes){key.data, i % 7}), SOMA_OK);
    }
    return finish(&builder, 1);
}

/* Looks everything up; whatever the answers are, nothing may be touched that is not there (sanitizers see it). */
static void use(const soma_frozen *frozen)
{
    uint64_t word;
    struct soma_bytes bytes;
    for (uint64_t i = 0; i < 40; i++) {
        if (frozen->kind == FROZEN_WORDS) {
            (void)soma_frozen_get_u64(frozen, i, &word);
            (void)soma_frozen_at_u64(frozen, i, &word, NULL);
        } else {
            (void)soma_frozen_get_ref(frozen, "abcdefghijklmnopqrstuvwxyz0123456789....", i, &bytes);
            (void)soma_frozen_at_ref(frozen, i, NULL, &bytes);
        }
    }
}

/* In memory of its very size. With the checksum put right, some changes are another good image: a value, say. */
static bool accepted(const void *image, uint64_t size, uint64_t at, unsigned char flip, bool resum)
{
    struct soma_frozen frozen;
    unsigned char *copy = need(1, size > 0 ? size : 1);
    memcpy(copy, image, size);
    if (at < size)
        copy[at] ^= flip;
    if (resum && size >= sizeof(struct frozen_header))
        ((struct frozen_header *)(void *)copy)->checksum = soma__frozen_checksum((const void *)copy, size);
    const bool good = soma__frozen_check(&frozen, copy, size) == SOMA_OK;
    BORN(&frozen, WHAT_FROZEN, NULL);
    if (good)
        use(&frozen);
    free(copy);
    return good;
}

static void wrong_images(soma_frozen *frozen)
{
    const uint64_t size = frozen->header->size;
    struct frozen_header *image = need(1, size);
    memcpy(image, frozen->header, size);
    image->checksum = soma__frozen_checksum(image, size);
    soma_frozen_free(frozen);
    EXPECT(accepted(image, size, size, 0, false));
    for (uint64_t at = 0; at < size; at++) {
        EXPECT(!accepted(image, at, size, 0, false));
        EXPECT(!accepted(image, at, size, 0, true));
        for (unsigned flip = 1; flip < 256; flip++)
            EXPECT(!accepted(image, size, at, (unsigned char)flip, false));
        for (unsigned bit = 0; bit < 8; bit++)
            (void)accepted(image, size, at, (unsigned char)(1u << bit), true);
    }
    free(image);
    verified(size);
}

static void any_byte_wrong(const void *unused)
{
    (void)unused;
    wrong_images(small_words(0));
    wrong_images(small_words(1));
    wrong_images(small_words(33));
    wrong_images(small_strings(1));
    wrong_images(small_strings(9));
}

#define CLAIMS 8

/* What the header claims is compared with the size that there is before anything is computed with it. */
static void huge_claims(const void *unused)
{
    (void)unused;
    const uint64_t claims[CLAIMS] = {
        0, 1000, UINT64_C(1) << 32, UINT64_C(1) << 58, UINT64_C(1) << 62, UINT64_MAX - 63, UINT64_MAX - 7, UINT64_MAX};
    const size_t fields[] = {offsetof(struct frozen_header, size), offsetof(struct frozen_header, count),
                             offsetof(struct frozen_header, homes), offsetof(struct frozen_header, lines),
                             offsetof(struct frozen_header, records)};
    soma_frozen *frozen = small_strings(9);
    const uint64_t size = frozen->header->size;
    struct frozen_header *image = need(1, size);
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            for (size_t claim = 0; claim < CLAIMS * CLAIMS; claim++) {
                memcpy(image, frozen->header, size);
                memcpy((char *)image + fields[a], &claims[claim / CLAIMS], sizeof claims[0]);
                memcpy((char *)image + fields[b], &claims[claim % CLAIMS], sizeof claims[0]);
                EXPECT(!accepted(image, size, size, 0, true));
                verified(1);
            }
        }
    }
    free(image);
    soma_frozen_free(frozen);
}

/* ---- Wrong images, one for each check ---- */

#define EDGE_PAGES 4
#define PAGE UINT64_C(4096)

/* An image that a check is for, to be changed. */
struct wrong {
    struct frozen_header *header;
    struct frozen_slot *table;
    uint64_t *starts;
    unsigned char *records;
    uint64_t size;
};

/* A copy of a good one, with room for a few bytes more. */
static struct wrong wrong_from(soma_frozen *frozen)
{
    struct wrong wrong = {.size = frozen->header->size};
    wrong.header = need(1, wrong.size + 64);
    memcpy(wrong.header, frozen->header, wrong.size);
    wrong.table = (struct frozen_slot *)(wrong.header + 1);
    wrong.starts = (uint64_t *)(wrong.table + LINE_SLOTS * wrong.header->lines);
    wrong.records = (unsigned char *)(wrong.starts + frozen_starts(wrong.header->count));
    soma_frozen_free(frozen);
    return wrong;
}

/* At the end of what can be read: a step too far ends the program. */
static void refuse(struct wrong *wrong)
{
    static unsigned char *edge;
    struct soma_frozen frozen;
    if (!edge) {
        edge = mmap(NULL, (EDGE_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (edge == MAP_FAILED)
            abort();
        edge += EDGE_PAGES * PAGE;
        EXPECT_EQ(mprotect(edge, PAGE, PROT_NONE), 0);
    }
    unsigned char *image = edge - wrong->size;
    if (wrong->size >= sizeof *wrong->header) {
        wrong->header->size = wrong->size;
        wrong->header->checksum = soma__frozen_checksum(wrong->header, wrong->size);
    }
    memcpy(image, wrong->header, wrong->size);
    EXPECT_EQ(soma__frozen_check(&frozen, image, wrong->size), SOMA_E_CORRUPT);
    free(wrong->header);
    verified(1);
}

static void wrong_headers(const void *unused)
{
    (void)unused;
    struct wrong wrong = wrong_from(small_strings(9));
    wrong.header->kind = FROZEN_WORDS | FROZEN_BYTES;
    refuse(&wrong);
    wrong = wrong_from(small_words(9));
    wrong.header->zero[5] = 1;
    refuse(&wrong);
    wrong = wrong_from(small_words(9)); /* its table's bytes are as many, modulo 2^64 */
    wrong.header->lines += UINT64_C(1) << 58;
    refuse(&wrong);
    wrong = wrong_from(small_words(9));
    memset((char *)wrong.header + wrong.size, 0, 8);
    wrong.size += 8;
    refuse(&wrong);
    wrong = wrong_from(small_words(9));
    wrong.size = 64;
    wrong.header->size = wrong.size;
    refuse(&wrong);
}

/* Records of so many bytes that the table may be larger than the file. */
static void wrong_records_wrap(const void *unused)
{
    (void)unused;
    struct wrong wrong = wrong_from(small_strings(1));
    wrong.size = sizeof *wrong.header + LINE_SLOTS * sizeof *wrong.table;
    wrong.header->lines = wrong.size / (LINE_SLOTS * sizeof *wrong.table);
    wrong.header->records = 0 - 2 * LINE_SLOTS * sizeof *wrong.table - sizeof *wrong.starts;
    EXPECT_EQ(wrong.header->lines, 3);
    refuse(&wrong);
}

/* The first slot from here on that stands alone, as do the two around it, for an entry that no start leads to. */
static struct frozen_slot *slot_alone(const struct wrong *wrong)
{
    for (struct frozen_slot *slot = wrong->table + 1;; slot++) {
        const bool in_line = (slot - wrong->table) % LINE_SLOTS < LINE_SLOTS - 2;
        if (in_line && slot[-1].hash != slot->hash && slot->hash != slot[1].hash && slot[1].hash != slot[2].hash)
            return slot;
    }
}

static void wrong_tables(const void *unused)
{
    (void)unused;
    struct wrong wrong = wrong_from(small_words(30));
    struct frozen_slot *slot = slot_alone(&wrong);
    const struct frozen_slot first = slot[0];
    slot[0] = slot[1];
    slot[1] = first;
    refuse(&wrong);
    wrong = wrong_from(small_words(30));
    slot = slot_alone(&wrong);
    slot[1].hash = slot[0].hash;
    refuse(&wrong);
    wrong = wrong_from(small_words(30));
    wrong.header->count++;
    refuse(&wrong);
    wrong = wrong_from(small_words(40)); /* more entries than starts */
    wrong.header->count = START_STEP;
    wrong.size -= sizeof *wrong.starts;
    refuse(&wrong);
}

/* Entries side by side from the beginning on, before their homes. */
static void wrong_homes(const void *unused)
{
    (void)unused;
    struct wrong wrong = wrong_from(small_words(30));
    const uint64_t slots = LINE_SLOTS * wrong.header->lines;
    uint64_t n = 0;
    for (uint64_t i = 1; i < slots; i++) {
        if (wrong.table[i].hash != wrong.table[n].hash)
            wrong.table[++n] = wrong.table[i];
    }
    EXPECT_EQ(n + 1, wrong.header->count);
    for (uint64_t i = n + 1; i < slots; i++)
        wrong.table[i] = wrong.table[n];
    refuse(&wrong);
}

static void wrong_records(const void *unused)
{
    (void)unused;
    struct frozen_record record;
    struct wrong wrong = wrong_from(small_strings(2)); /* the second one's: 8 bytes, then 2, then 6 that are zero */
    EXPECT_EQ(wrong.header->records, 24);
    wrong.records[23] = 1;
    refuse(&wrong);
    wrong = wrong_from(small_strings(2)); /* lengths that come to the same, modulo 2^32 */
    memcpy(&record, wrong.records + 8, sizeof record);
    record.key_len += UINT32_C(1) << 31;
    record.value_len += UINT32_C(1) << 31;
    memcpy(wrong.records + 8, &record, sizeof record);
    refuse(&wrong);
    wrong = wrong_from(small_strings(2)); /* a third one, longer than what there is */
    record = (struct frozen_record){.key_len = 4096, .value_len = 0};
    memcpy(wrong.records + 24, &record, sizeof record);
    wrong.header->records += sizeof record;
    wrong.size += sizeof record;
    refuse(&wrong);
    wrong = wrong_from(small_strings(2)); /* one for both */
    for (uint64_t i = 0; i < LINE_SLOTS * wrong.header->lines; i++)
        wrong.table[i].word = 0;
    wrong.header->records = 8;
    wrong.size -= 16;
    refuse(&wrong);
}

/* ---- More than there can be ---- */

static void more_than_memory(const void *unused)
{
    (void)unused;
    struct frozen_builder builder;
    EXPECT_EQ(soma__frozen_begin(&builder, FROZEN_WORDS, UINT64_MAX), SOMA_E_NOMEM);
    soma__frozen_end(&builder);
    builder = begin(FROZEN_WORDS, 1);
    const struct frozen_builder before = builder;
    builder.count = builder.entries_cap =
        (UINT64_C(1) << 59) + 1; /* of 16 bytes: more than half of the address space */
    EXPECT_EQ(soma__frozen_add_word(&builder, 1, 1), SOMA_E_NOMEM);
    EXPECT(builder.entries == before.entries && builder.count == builder.entries_cap);
    builder = before;
    soma__frozen_end(&builder);
    verified(2);
}

/* ---- Files that take less at a time ---- */

static void interrupt(int signal)
{
    (void)signal;
}

/* A pipe that is full for a while, and a clock that interrupts: writes stop in the middle, and before anything is written. */
static void interrupted_writes(const void *unused)
{
    (void)unused;
    const struct sigaction action = {.sa_handler = interrupt};
    const struct itimerval often = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    const struct itimerval never = {.it_value = {.tv_usec = 0}};
    soma_frozen *frozen = small_words(40000);
    const uint64_t size = frozen->header->size;
    int ends[2];
    EXPECT(pipe(ends) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    const pid_t reader = fork();
    if (reader == 0) {
        char bytes[4096];
        uint64_t got = 0;
        ssize_t n;
        close(ends[1]);
        usleep(20000);
        while ((n = read(ends[0], bytes, sizeof bytes)) > 0)
            got += (uint64_t)n;
        _exit(got == size ? 0 : 1);
    }
    setitimer(ITIMER_REAL, &often, NULL);
    const bool files = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__; /* elsewhere they cannot be written */
    EXPECT_EQ(soma_frozen_write(frozen, ends[1]), files ? SOMA_OK : SOMA_E_UNSUPPORTED);
    setitimer(ITIMER_REAL, &never, NULL);
    close(ends[0]);
    close(ends[1]);
    int status = -1;
    EXPECT(waitpid(reader, &status, 0) == reader && WIFEXITED(status) && WEXITSTATUS(status) == (files ? 0 : 1));
    soma_frozen_free(frozen);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"crowds-are-put-up-with", crowds_are_put_up_with, NULL},
        {"crowds-get-another-seed", crowds_get_another_seed, NULL},
        {"equal-hashes", equal_hashes, NULL},
        {"any-byte-wrong", any_byte_wrong, NULL},
        {"huge-claims", huge_claims, NULL},
        {"equal-hashes-of-longer", equal_hashes_of_longer, NULL},
        {"wrong-headers", wrong_headers, NULL},
        {"wrong-records-wrap", wrong_records_wrap, NULL},
        {"wrong-tables", wrong_tables, NULL},
        {"wrong-homes", wrong_homes, NULL},
        {"wrong-records", wrong_records, NULL},
        {"more-than-memory", more_than_memory, NULL},
        {"interrupted-writes", interrupted_writes, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
