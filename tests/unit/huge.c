/* SPDX-License-Identifier: ISC */
/* huge.c - SOMA_HUGE_PAGES: what the system is asked for, that it stands in the process's map of memory, that all of it is given
 * back, and that nothing is different where it is refused. The library's madvise() goes through the function below. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <soma/soma.h>

#include "kinds.h"
#include "map/map_internal.h"
#include "support.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define PAGE ((size_t)4096)
#define ENTRIES 600000 /* 8 MiB of buckets in the byte map, which has the smaller ones */

/* ---- What is asked ---- */

#define PIECES 64

static struct piece {
    char *at;
    size_t size;
} pieces[PIECES];
static unsigned piece_count;
static bool declined;

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);

int __wrap_madvise(void *address, size_t size, int advice)
{
    if (advice != MADV_HUGEPAGE)
        return __real_madvise(address, size, advice);
    EXPECT(piece_count < PIECES);
    pieces[piece_count++ % PIECES] = (struct piece){address, size};
    if (!declined)
        return __real_madvise(address, size, advice);
    errno = EINVAL;
    return -1;
}

static uint64_t bytes_asked(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < piece_count; i++)
        bytes += pieces[i].size;
    return bytes;
}

/* ---- What the system says ---- */

/* Whether a huge page may stand at an address ("hg"), and the bytes in huge pages of the mapping that it is in. */
static bool mapping_of(const char *address, bool *marked, uint64_t *huge_bytes)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;
    bool found = false;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long from;
        unsigned long to;
        unsigned long long kib;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (here && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
            *huge_bytes = kib * 1024;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            *marked = strstr(line, " hg") != NULL;
        found |= here;
    }
    if (file)
        fclose(file);
    return found;
}

/* What is written there: "[never]", say. */
static bool system_has_huge_pages(void)
{
    char line[128] = "[never]";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    return strstr(line, "[never]") == NULL;
}

static uint64_t resident_pages(char *from, size_t size)
{
    static unsigned char there[(64 << 20) / 4096];
    uint64_t pages = 0;
    EXPECT(size / PAGE <= sizeof there);
    EXPECT_EQ(mincore(from, size, there), 0);
    for (size_t i = 0; i < size / PAGE; i++)
        pages += there[i] & 1;
    return pages;
}

/* ---- Maps ---- */

static void *map_with(const struct kind *kind, unsigned flags, uint64_t reserve)
{
    const struct kind_options options = {.flags = flags, .reserve = reserve};
    piece_count = 0;
    return kind_open(kind, &options);
}

static void fill(const struct kind *kind, void *map, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        EXPECT_EQ(kind->put(map, i, i + 1, NULL), SOMA_INSERTED);
}

static void must_hold(const struct kind *kind, void *map, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value = 0;
        EXPECT_EQ(kind->get(map, i, &value), SOMA_OK);
        EXPECT_EQ(value, i + 1);
    }
    verified(n);
}

static const struct core *core_of(const struct kind *kind, void *map)
{
    return kind == &kinds[0] ? &((soma_u64 *)map)->core : &((soma_map *)map)->core;
}

/* Each piece is of whole huge pages within one level of the table. */
static void pieces_must_be_of_levels(const struct soma__dir *dir)
{
    for (unsigned i = 0; i < piece_count; i++) {
        const char *at = pieces[i].at;
        EXPECT_EQ((uintptr_t)at % HUGE_PAGE, 0);
        EXPECT(pieces[i].size > 0 && pieces[i].size % HUGE_PAGE == 0);
        const uint64_t first = soma__dir_bucket_index(dir, (const struct atom *)(const void *)at);
        const uint64_t last =
            soma__dir_bucket_index(dir, (const struct atom *)(const void *)(at + pieces[i].size - sizeof(uint64_t)));
        EXPECT_EQ(bits_log2_ceil(first + 1), bits_log2_ceil(last + 1));
        EXPECT(last < UINT64_C(1) << dir_m(soma__dir_state(dir)));
    }
}

/* Growth bit by bit, or at once. */
static void grown(const void *setup)
{
    const struct kind *kind = setup;
    for (unsigned at_once = 0; at_once < 2; at_once++) {
        void *map = map_with(kind, SOMA_HUGE_PAGES, at_once ? ENTRIES : 0);
        fill(kind, map, ENTRIES);
        EXPECT(piece_count > 0);
        pieces_must_be_of_levels(&core_of(kind, map)->dir);
        EXPECT(bytes_asked() >= HUGE_PAGE);
        must_hold(kind, map, ENTRIES);
        kind->close(map);
    }
}

static void unasked(const void *setup)
{
    const struct kind *kind = setup;
    void *map = map_with(kind, 0, 0);
    fill(kind, map, ENTRIES);
    EXPECT_EQ(piece_count, 0);
    verified(1);
    kind->close(map);
}

/* A map without entries is one page, and a small one asks for nothing. */
static void small(const void *setup)
{
    const struct kind *kind = setup;
    void *map = map_with(kind, SOMA_HUGE_PAGES, 0);
    const struct soma__dir *dir = &core_of(kind, map)->dir;
    EXPECT_EQ(resident_pages((char *)(uintptr_t)dir, PAGE), 1);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), dir_first_log2(dir->shape.cell_log2));
    fill(kind, map, 1000);
    EXPECT_EQ(piece_count, 0);
    must_hold(kind, map, 1000);
    kind->close(map);
}

static void given_back(const void *setup)
{
    const struct kind *kind = setup;
    void *map = map_with(kind, SOMA_HUGE_PAGES, 0);
    const struct soma__dir *dir = &core_of(kind, map)->dir;
    const unsigned first = dir_first_log2(dir->shape.cell_log2);
    fill(kind, map, ENTRIES);
    EXPECT(piece_count > 0);
    for (unsigned i = 0; i < piece_count && i < PIECES; i++)
        EXPECT(resident_pages(pieces[i].at, pieces[i].size) > 0);
    EXPECT_EQ(kind->clear(map), SOMA_OK);
    for (int i = 0; i < 1000 && dir_m(soma__dir_state(dir)) != first; i++) {
        EXPECT_EQ(kind->shrink(map), SOMA_OK);
        soma_barrier_wait();
    }
    EXPECT_EQ(dir_m(soma__dir_state(dir)), first);
    EXPECT_EQ(kind->shrink(map), SOMA_OK);
    for (unsigned i = 0; i < piece_count && i < PIECES; i++)
        EXPECT_EQ(resident_pages(pieces[i].at, pieces[i].size), 0);
    fill(kind, map, ENTRIES);
    must_hold(kind, map, ENTRIES);
    kind->close(map);
}

static void refused(const void *setup)
{
    const struct kind *kind = setup;
    declined = true;
    void *map = map_with(kind, SOMA_HUGE_PAGES, 0);
    fill(kind, map, ENTRIES);
    EXPECT(piece_count > 0);
    must_hold(kind, map, ENTRIES);
    EXPECT_EQ(kind->clear(map), SOMA_OK);
    EXPECT_EQ(kind->shrink(map), SOMA_OK);
    EXPECT_EQ(kind->count(map), 0);
    kind->close(map);
    declined = false;
}

static void marked(const void *setup)
{
    const struct kind *kind = setup;
    void *map = map_with(kind, SOMA_HUGE_PAGES, ENTRIES);
    bool mark = false;
    uint64_t huge_bytes = 0;
    EXPECT(piece_count > 0);
    fill(kind, map, ENTRIES);
    if (!system_has_huge_pages()) {
        printf("# skipped: this system never has huge pages\n");
    } else {
        for (unsigned i = 0; i < piece_count && i < PIECES; i++) {
            EXPECT(mapping_of(pieces[i].at, &mark, &huge_bytes));
            EXPECT(mark);
        }
        printf("# %llu KiB of the last mapping are huge pages\n", (unsigned long long)huge_bytes / 1024);
        EXPECT(mapping_of((const char *)core_of(kind, map), &mark, &huge_bytes));
        EXPECT(!mark);
    }
    verified(1);
    kind->close(map);
}

/* ---- Frozen maps ---- */

static void frozen_of(const struct kind *kind, unsigned flags, bool refuse_it)
{
    soma_view *view;
    soma_frozen *frozen;
    void *map = map_with(kind, flags, 0);
    fill(kind, map, ENTRIES);
    EXPECT_EQ(kind->view(map, &view), SOMA_OK);
    piece_count = 0;
    declined = refuse_it;
    EXPECT_EQ(soma_frozen_build(view, &frozen), SOMA_OK);
    declined = false;
    soma_view_close(view);
    EXPECT_EQ(piece_count, flags != 0);
    if (piece_count == 1) /* all but the ends; a word takes some 22 bytes */
        EXPECT(pieces[0].size % HUGE_PAGE == 0 && pieces[0].size + 2 * HUGE_PAGE > (size_t)20 * ENTRIES);
    EXPECT_EQ(soma_frozen_count(frozen), ENTRIES);
    if (kind == &kinds[0]) {
        for (uint64_t i = 0; i < ENTRIES; i++) {
            uint64_t value = 0;
            EXPECT_EQ(soma_frozen_get_u64(frozen, i, &value), SOMA_OK);
            EXPECT_EQ(value, i + 1);
        }
    }
    verified(1);
    soma_frozen_free(frozen);
    kind->close(map);
}

static void frozen(const void *setup)
{
    frozen_of(setup, 0, false);
    frozen_of(setup, SOMA_HUGE_PAGES, false);
    frozen_of(setup, SOMA_HUGE_PAGES, true);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"grown-words", grown, &kinds[0]},           {"grown-bytes", grown, &kinds[1]},
        {"unasked-words", unasked, &kinds[0]},       {"unasked-bytes", unasked, &kinds[1]},
        {"small-words", small, &kinds[0]},           {"small-bytes", small, &kinds[1]},
        {"given-back-words", given_back, &kinds[0]}, {"given-back-bytes", given_back, &kinds[1]},
        {"refused-words", refused, &kinds[0]},       {"refused-bytes", refused, &kinds[1]},
        {"marked-words", marked, &kinds[0]},         {"marked-bytes", marked, &kinds[1]},
        {"frozen-words", frozen, &kinds[0]},         {"frozen-bytes", frozen, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
