/* SPDX-License-Identifier: ISC */
/* metrics.c - the text that maps' figures are written as: where it goes, what it refuses. What it says is read by openmetrics, beside
 * this file, from what `watch-metrics --print` writes. */
#include <stdio.h>
#include <string.h>

#include <soma/soma.h>

#include "support.h"

struct maps {
    soma_u64 *words;
    soma_map *bytes;
    struct soma_metrics_map of[2];
};

/* All that a label has to escape, and characters of two to four bytes. */
#define NASTY "back\\slash \"quote\" line\nbreak {a=b},# \xc3\xa9 \xe2\x82\xac \xf0\x9f\x97\xba"

static struct maps open_maps(void)
{
    struct maps maps = {NULL, NULL, {{NULL, NULL, NULL}, {NULL, NULL, NULL}}};
    EXPECT_EQ(soma_u64_new(NULL, &maps.words), SOMA_OK);
    EXPECT_EQ(soma_map_new(NULL, &maps.bytes), SOMA_OK);
    for (uint64_t key = 0; key < 1000; key++)
        EXPECT_EQ(soma_u64_put(maps.words, key, key, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_put(maps.bytes, "key", 3, "value", 5, NULL), SOMA_INSERTED);
    maps.of[0] = (struct soma_metrics_map){.name = "words", .words = maps.words};
    maps.of[1] = (struct soma_metrics_map){.name = NASTY, .bytes = maps.bytes};
    return maps;
}

static void close_maps(struct maps *maps)
{
    soma_u64_free(maps->words);
    soma_map_free(maps->bytes);
}

/* The library's calls for memory come here. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
static bool no_memory;

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

static size_t left; /* pieces that are taken */

static bool take(const char *text, size_t len, void *ctx)
{
    (void)text;
    *(size_t *)ctx += len;
    return left-- > 0;
}

static void arguments(const void *setup)
{
    (void)setup;
    struct maps maps = open_maps();
    struct soma_metrics_map of[2] = {maps.of[0], maps.of[1]};
    size_t seen = 0;
    left = 1000;
    EXPECT_EQ(soma_metrics_write(of, 2, NULL, &seen), SOMA_E_INVALID);
    EXPECT_EQ(soma_metrics_write(NULL, 2, take, &seen), SOMA_E_INVALID);
    EXPECT_EQ(soma_metrics_print(of, 2, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_metrics_copy(of, 2, NULL, 1, NULL), SOMA_E_INVALID);
    of[1].name = of[0].name;
    EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_E_INVALID);
    of[1] = (struct soma_metrics_map){.name = "neither"};
    EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_E_INVALID);
    of[1] = (struct soma_metrics_map){.name = "both", .words = maps.words, .bytes = maps.bytes};
    EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_E_INVALID);
    of[1] = (struct soma_metrics_map){.words = maps.words};
    EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_E_INVALID);
    EXPECT_EQ(soma_metrics_copy(of, 2, NULL, 0, &seen), SOMA_E_INVALID);
    static const char *const no_utf8[] = {
        "\x80",         "\xc3",     "\xc0\xaf",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "a\xff",        "\xc3("};
    for (size_t i = 0; i < sizeof no_utf8 / sizeof *no_utf8; i++) {
        of[1].name = no_utf8[i];
        EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_E_INVALID);
    }
    static const char *const utf8[] = {
        "", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    EXPECT_EQ(seen, 0);
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++) {
        of[1].name = utf8[i];
        EXPECT_EQ(soma_metrics_write(of, 2, take, &seen), SOMA_OK);
    }
    EXPECT(seen > 0);
    close_maps(&maps);
    verified(29);
}

static void refused(const void *setup)
{
    (void)setup;
    struct maps maps = open_maps();
    size_t seen = 0;
    no_memory = true;
    const enum soma_status status = soma_metrics_write(maps.of, 2, take, &seen);
    no_memory = false;
    EXPECT_EQ(status, SOMA_E_NOMEM);
    EXPECT_EQ(seen, 0);
    left = 2;
    EXPECT_EQ(soma_metrics_write(maps.of, 2, take, &seen), SOMA_E_IO);
    EXPECT(seen <= 3 * 1000);
    FILE *full = fopen("/dev/full", "w");
    if (EXPECT(full != NULL)) {
        setvbuf(full, NULL, _IONBF, 0);
        EXPECT_EQ(soma_metrics_print(maps.of, 2, full), SOMA_E_IO);
        fclose(full);
    }
    close_maps(&maps);
    verified(5);
}

/* Cut anywhere, it is the beginning of the whole, and its length is known. */
static void copies(const void *setup)
{
    (void)setup;
    struct maps maps = open_maps();
    static char whole[1 << 16];
    static char cut[1 << 16];
    size_t len = 0;
    EXPECT_EQ(soma_metrics_copy(NULL, 0, whole, sizeof whole, &len), SOMA_OK);
    EXPECT_EQ(strlen(whole), len);
    EXPECT(strstr(whole, "soma_grace_periods_total ") != NULL && strstr(whole, "soma_map_") == NULL);
    EXPECT_EQ(soma_metrics_copy(maps.of, 2, whole, sizeof whole, &len), SOMA_OK);
    EXPECT_EQ(strlen(whole), len);
    EXPECT(strcmp(whole + len - 6, "# EOF\n") == 0);
    const size_t caps[] = {0, 1, 2, 999, 1000, 1001, 1002, 5000, 100000};
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        size_t said = 0;
        const size_t cap = caps[i] < sizeof cut ? caps[i] : sizeof cut;
        memset(cut, 'x', sizeof cut);
        EXPECT_EQ(soma_metrics_copy(maps.of, 1, cap ? cut : NULL, cap, &said), SOMA_OK);
        EXPECT(said > 2000 && said < len);
        EXPECT(cap == 0 || strlen(cut) == (said < cap ? said : cap - 1));
        EXPECT(cap == 0 || cap == sizeof cut || cut[cap] == 'x');
        EXPECT(cap == 0 || strncmp(cut, "# TYPE soma_map_entries gauge\n", cap - 1 < 30 ? cap - 1 : 30) == 0);
    }
    close_maps(&maps);
    verified(50);
}

/* A name that is longer than what is printed at a time. */
static void long_name(const void *setup)
{
    (void)setup;
    struct maps maps = open_maps();
    static char name[3001];
    static char whole[1 << 18];
    memset(name, 'n', sizeof name - 1);
    maps.of[0].name = name;
    EXPECT_EQ(soma_metrics_copy(maps.of, 1, whole, sizeof whole, NULL), SOMA_OK);
    const char *found = strstr(whole, name);
    EXPECT(found && strncmp(found + sizeof name - 1, "\"} 1000\n", 8) == 0);
    close_maps(&maps);
    verified(2);
}

static const struct test_case cases[] = {
    {"arguments", arguments, NULL},
    {"refused", refused, NULL},
    {"copies", copies, NULL},
    {"long-name", long_name, NULL},
};

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        struct maps maps = open_maps();
        const enum soma_status status = soma_metrics_print(maps.of, 2, stdout);
        close_maps(&maps);
        return status == SOMA_OK ? 0 : 1;
    }
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
