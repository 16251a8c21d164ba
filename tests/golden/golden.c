/* SPDX-License-Identifier: ISC */
/* golden.c - bytes and digests that must be the same on every machine and in every release: fixed content, made into lines of
 * text, against what is checked in (expected/). tests/golden/oracle computes the same lines from the documents alone, and
 * tests/golden/s390x runs this on a big-endian machine.
 *
 * A section is a function below and a file of its name. What a build or a machine does not have answers SOMA_E_UNSUPPORTED, and
 * its section says so instead of comparing. `golden --print SECTION` prints the lines. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <soma/soma.h>

#include "frozen/frozen.h"
#include "hash/hash.h"
#include "support.h"

#define WORDS 100
#define STRINGS 50
#define STRING_MOST 40

static const uint64_t seed[2] = {UINT64_C(0x0123456789abcdef), 42};
static const uint64_t digest_key[2] = {4711, UINT64_C(0xf00dfeed12345678)};

/* ---- The content ---- */

static uint64_t word_key(uint64_t i)
{
    return i * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t word_value(uint64_t i)
{
    return ~word_key(i) ^ i;
}

/* The first byte is i, so that keys differ. */
static struct soma_bytes string_key(unsigned char bytes[STRING_MOST], unsigned i)
{
    const size_t len = 1 + i % 20;
    for (size_t n = 0; n < len; n++)
        bytes[n] = (unsigned char)(i + n * 3);
    return (struct soma_bytes){bytes, len};
}

static struct soma_bytes string_value(unsigned char bytes[STRING_MOST], unsigned i)
{
    const size_t len = i * 5 % STRING_MOST;
    for (size_t n = 0; n < len; n++)
        bytes[n] = (unsigned char)(i * 7 + n * 11);
    return (struct soma_bytes){bytes, len};
}

static void must(enum soma_status status)
{
    if (status < 0) {
        fprintf(stderr, "golden: %s\n", soma_status_text(status));
        abort();
    }
}

static soma_view *words_view(unsigned flags, soma_u64 **map)
{
    const struct soma_u64_options options = {
        .seed = {seed[0], seed[1]}, .flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    soma_view *view = NULL;
    must(soma_u64_new(&options, map));
    for (uint64_t i = 0; i < WORDS; i++)
        must(soma_u64_put(*map, word_key(i), word_value(i), NULL));
    must(soma_u64_view_open(*map, &view));
    return view;
}

static soma_view *strings_view(unsigned flags, soma_map **map)
{
    const struct soma_map_options options = {
        .seed = {seed[0], seed[1]}, .flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    unsigned char key[STRING_MOST];
    unsigned char value[STRING_MOST];
    soma_view *view = NULL;
    must(soma_map_new(&options, map));
    for (unsigned i = 0; i < STRINGS; i++) {
        const struct soma_bytes k = string_key(key, i);
        const struct soma_bytes v = string_value(value, i);
        must(soma_map_put(*map, k.data, k.len, v.data, v.len, NULL));
    }
    must(soma_map_view_open(*map, &view));
    return view;
}

/* ---- Sections ---- */

typedef enum soma_status (*section_fn)(FILE *out);

static enum soma_status fnv1a(FILE *out)
{
    unsigned char bytes[STRING_MOST];
    for (unsigned i = 0; i < STRINGS; i++) {
        const struct soma_bytes value = string_value(bytes, i);
        fprintf(out, "%u bytes: %016" PRIx64 "\n", (unsigned)value.len,
                soma_fnv1a64(value.data, value.len, SOMA_FNV1A64_BASIS));
    }
    return SOMA_OK;
}

/* Where entries stand: the hashes of words and of byte strings under the seed. */
static enum soma_status positions(FILE *out)
{
    struct soma__mix mix;
    unsigned char bytes[STRING_MOST];
    soma__mix_init(&mix, seed);
    for (uint64_t i = 0; i < 10; i++)
        fprintf(out, "word: %016" PRIx64 "\n", soma__mix_hash(&mix, word_key(i)));
    for (unsigned i = 0; i < STRINGS; i++) {
        const struct soma_bytes value = string_value(bytes, i);
        fprintf(out, "%u bytes: %016" PRIx64 "\n", (unsigned)value.len, soma__siphash13(seed, value.data, value.len));
    }
    return SOMA_OK;
}

static void print_digest(FILE *out, const char *what, const struct soma_digest *digest)
{
    fprintf(out, "%s: %" PRIu64 " %016" PRIx64 " %016" PRIx64 "\n", what, digest->count, digest->lane[0],
            digest->lane[1]);
}

/* The digest of a view, and of the sixteen ranges of its hashes. */
static void view_digests(FILE *out, const char *what, soma_view *view)
{
    struct soma_digest digest;
    must(soma_view_digest(view, &digest));
    print_digest(out, what, &digest);
    for (unsigned prefix = 0; prefix < 16; prefix++) {
        char name[16];
        snprintf(name, sizeof name, "  range %x", prefix);
        must(soma_view_range_digest(view, 4, prefix, &digest));
        print_digest(out, name, &digest);
    }
    soma_view_close(view);
}

static enum soma_status digests(FILE *out)
{
    for (unsigned keyless = 0; keyless < 2; keyless++) {
        const unsigned flags = SOMA_DIGEST | (keyless ? SOMA_DIGEST_KEYLESS : 0);
        struct soma_digest digest;
        soma_u64 *words = NULL;
        soma_map *strings = NULL;
        soma_view *view = words_view(flags, &words);
        must(soma_u64_digest(words, &digest));
        print_digest(out, keyless ? "words, running, keyless" : "words, running", &digest);
        view_digests(out, keyless ? "words, keyless" : "words", view);
        soma_u64_free(words);
        view = strings_view(flags, &strings);
        must(soma_map_digest(strings, &digest));
        print_digest(out, keyless ? "strings, running, keyless" : "strings, running", &digest);
        view_digests(out, keyless ? "strings, keyless" : "strings", view);
        soma_map_free(strings);
    }
    return SOMA_OK;
}

static void print_strong(FILE *out, const char *what, soma_view *view)
{
    struct soma_digest_strong digest;
    unsigned char hash[SOMA_DIGEST_STRONG_HASH];
    must(soma_view_digest_strong(view, &digest));
    must(soma_digest_strong_hash(&digest, hash));
    fprintf(out, "%s: %" PRIu64 " %04x %04x .. %04x ", what, digest.count, digest.lane[0], digest.lane[1],
            digest.lane[SOMA_DIGEST_STRONG_LANES - 1]);
    for (unsigned i = 0; i < sizeof hash; i++)
        fprintf(out, "%02x", hash[i]);
    fputc('\n', out);
    soma_view_close(view);
}

static enum soma_status strong(FILE *out)
{
    if (soma__strong_status() != SOMA_OK)
        return SOMA_E_UNSUPPORTED;
    for (unsigned keyless = 0; keyless < 2; keyless++) {
        const unsigned flags = SOMA_DIGEST_STRONG | (keyless ? SOMA_DIGEST_KEYLESS : 0);
        soma_u64 *words = NULL;
        soma_map *strings = NULL;
        soma_view *view = words_view(flags, &words);
        print_strong(out, keyless ? "words, keyless" : "words", view);
        soma_u64_free(words);
        view = strings_view(flags, &strings);
        print_strong(out, keyless ? "strings, keyless" : "strings", view);
        soma_map_free(strings);
    }
    return SOMA_OK;
}

/* A frozen map's file, as FNV-1a of all its bytes. */
static enum soma_status print_file(FILE *out, const char *what, struct frozen_builder *builder)
{
    soma_frozen *frozen = NULL;
    const int fd = memfd_create("golden", 0);
    must(soma__frozen_finish(builder, seed, 0, &frozen));
    soma__frozen_end(builder);
    const enum soma_status status = fd < 0 ? SOMA_E_IO : soma_frozen_write(frozen, fd);
    if (status == SOMA_OK) {
        const off_t size = lseek(fd, 0, SEEK_END);
        void *bytes = need(1, (size_t)size);
        if (pread(fd, bytes, (size_t)size, 0) != size)
            abort();
        fprintf(out, "%s: %lld bytes, %016" PRIx64 "\n", what, (long long)size,
                soma_fnv1a64(bytes, (size_t)size, SOMA_FNV1A64_BASIS));
        free(bytes);
    }
    close(fd);
    soma_frozen_free(frozen);
    return status;
}

static enum soma_status frozen(FILE *out)
{
    struct frozen_builder builder;
    unsigned char key[STRING_MOST];
    unsigned char value[STRING_MOST];
    must(soma__frozen_begin(&builder, FROZEN_WORDS, WORDS));
    for (uint64_t i = 0; i < WORDS; i++)
        must(soma__frozen_add_word(&builder, word_key(i), word_value(i)));
    const enum soma_status status = print_file(out, "words", &builder);
    if (status != SOMA_OK)
        return status;
    must(soma__frozen_begin(&builder, FROZEN_BYTES, STRINGS));
    for (unsigned i = 0; i < STRINGS; i++)
        must(soma__frozen_add_bytes(&builder, string_key(key, i), string_value(value, i)));
    return print_file(out, "strings", &builder);
}

/* ---- Differences ---- */

/* Every fifth entry is gone, every seventh has another value, and ten are new. */
static void words_change(soma_u64 *map)
{
    for (uint64_t i = 0; i < WORDS + 10; i++) {
        if (i % 5 == 0 && i < WORDS)
            must(soma_u64_remove(map, word_key(i), NULL));
        else if (i % 7 == 0 || i >= WORDS)
            must(soma_u64_put(map, word_key(i), i, NULL));
    }
}

static void strings_change(soma_map *map)
{
    unsigned char key[STRING_MOST];
    unsigned char value[STRING_MOST];
    for (unsigned i = 0; i < STRINGS + 10; i++) {
        const struct soma_bytes k = string_key(key, i);
        const struct soma_bytes v = string_value(value, i + 1);
        if (i % 5 == 0 && i < STRINGS)
            must(soma_map_remove(map, k.data, k.len, NULL));
        else if (i % 7 == 0 || i >= STRINGS)
            must(soma_map_put(map, k.data, k.len, v.data, v.len, NULL));
    }
}

static void print_bytes(FILE *out, const char *what, struct soma_bytes bytes)
{
    const unsigned char *data = bytes.data;
    fprintf(out, "%s: %u bytes", what, (unsigned)bytes.len);
    for (size_t i = 0; i < bytes.len; i++)
        fprintf(out, "%s%02x", i % 32 ? "" : "\n  ", data[i]);
    fputc('\n', out);
}

/* The patch between two views, which are closed. */
static void print_patch(FILE *out, const char *what, soma_view *before, soma_view *after)
{
    soma_patch *patch = NULL;
    must(soma_patch_make(before, after, &patch));
    print_bytes(out, what, soma_patch_bytes(patch));
    soma_patch_free(patch);
    soma_view_close(before);
    soma_view_close(after);
}

static enum soma_status patches(FILE *out)
{
    soma_u64 *words = NULL;
    soma_map *strings = NULL;
    soma_view *before = words_view(0, &words);
    soma_view *after = NULL;
    words_change(words);
    must(soma_u64_view_open(words, &after));
    print_patch(out, "words", before, after);
    before = strings_view(0, &strings);
    strings_change(strings);
    must(soma_map_view_open(strings, &after));
    print_patch(out, "strings", before, after);
    soma_u64_free(words);
    soma_map_free(strings);
    return SOMA_OK;
}

/* What one side has to say now, handed to the other. Whether it was anything. */
static bool say(FILE *out, const char *who, soma_sync *from, soma_sync *to)
{
    unsigned char said[4096];
    size_t len = 0;
    (void)soma_sync_drain(from, said, sizeof said, &len);
    if (len == 0)
        return false;
    print_bytes(out, who, (struct soma_bytes){said, len});
    must(soma_sync_feed(to, said, len, NULL));
    return true;
}

static void print_session(FILE *out, const char *what, soma_sync *target, soma_sync *source)
{
    struct soma_sync_result result;
    fprintf(out, "%s\n", what);
    for (bool said = true; said;) {
        said = say(out, "target", target, source);
        said = say(out, "source", source, target) || said;
    }
    soma_sync_outcome(target, &result);
    fprintf(out, "inserted %" PRIu64 ", replaced %" PRIu64 ", removed %" PRIu64 "\n", result.inserted, result.replaced,
            result.removed);
    soma_sync_close(target);
    soma_sync_close(source);
}

static const struct soma_sync_options as_target = {.role = SOMA_SYNC_TARGET, .initiator = true, .nonce = 1};
static const struct soma_sync_options as_source = {.role = SOMA_SYNC_SOURCE, .nonce = 2};

static enum soma_status sessions(FILE *out)
{
    soma_u64 *words[2] = {NULL, NULL};
    soma_map *strings[2] = {NULL, NULL};
    soma_sync *target = NULL;
    soma_sync *source = NULL;
    for (int i = 0; i < 2; i++) {
        soma_view_close(words_view(SOMA_DIGEST, &words[i]));
        soma_view_close(strings_view(SOMA_DIGEST, &strings[i]));
    }
    words_change(words[1]);
    strings_change(strings[1]);
    must(soma_u64_sync_open(words[0], &as_target, &target));
    must(soma_u64_sync_open(words[1], &as_source, &source));
    print_session(out, "words", target, source);
    must(soma_map_sync_open(strings[0], &as_target, &target));
    must(soma_map_sync_open(strings[1], &as_source, &source));
    print_session(out, "strings", target, source);
    for (int i = 0; i < 2; i++) {
        soma_u64_free(words[i]);
        soma_map_free(strings[i]);
    }
    return SOMA_OK;
}

static const struct section {
    const char *name;
    section_fn print;
} sections[] = {
    {"fnv1a", fnv1a},   {"positions", positions}, {"digests", digests},   {"strong", strong},
    {"frozen", frozen}, {"patches", patches},     {"sessions", sessions},
};
#define SECTIONS (sizeof sections / sizeof sections[0])

/* ---- Comparing ---- */

static void compare(const void *setup)
{
    const struct section *section = setup;
    char path[500];
    char *lines = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&lines, &size);
    const enum soma_status status = section->print(out);
    fclose(out);
    verified(1);
    if (status == SOMA_E_UNSUPPORTED)
        printf("# %s: not in this build, or not on this machine\n", section->name);
    if (EXPECT(status == SOMA_OK || status == SOMA_E_UNSUPPORTED) && status == SOMA_OK) {
        snprintf(path, sizeof path, "%s/%s.txt", GOLDEN_EXPECTED, section->name);
        FILE *file = fopen(path, "r");
        char *wanted = need(size + 2, 1);
        const bool same =
            EXPECT(file) && fread(wanted, 1, size + 1, file) == size && size > 0 && memcmp(wanted, lines, size) == 0;
        EXPECT(same);
        if (file)
            fclose(file);
        free(wanted);
    }
    free(lines);
}

static int print_section(const char *name)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        if (strcmp(name, sections[i].name) == 0)
            return sections[i].print(stdout) == SOMA_OK ? 0 : 1;
    }
    fprintf(stderr, "golden: there is no section '%s'\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    struct test_case cases[SECTIONS];
    if (argc == 3 && strcmp(argv[1], "--print") == 0)
        return print_section(argv[2]);
    for (size_t i = 0; i < SECTIONS; i++)
        cases[i] = (struct test_case){sections[i].name, compare, &sections[i]};
    return test_main(argc, argv, cases, SECTIONS);
}
