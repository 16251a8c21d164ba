/* SPDX-License-Identifier: ISC */
/* patch.c - a fuzzer's bytes as a patch. The size in the header, the checksum and, at a second try, the counts are put right, so
 * that what comes behind them is reached. Whatever is a patch must be the only form of what it says; and it is turned round
 * twice, put together with its inverse, and applied to a map that it fits, and taken back.
 *
 * As a libFuzzer target: fuzz-patch CORPUS. As a program that runs a kept corpus: fuzz-patch-replay CORPUS (files.c). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "diff/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER 48
#define LEAST (HEADER + 8)

static void fail(const char *what)
{
    fprintf(stderr, "fuzz-patch: %s\n", what);
    abort();
}

static void must(bool held, const char *what)
{
    if (!held)
        fail(what);
}

/* ---- Putting right ---- */

static void set_little(unsigned char *at, uint64_t word)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(word >> 8 * i);
}

static void put_right(unsigned char *bytes, size_t size)
{
    set_little(bytes + 16, size);
    set_little(bytes + size - 8, soma__patch_checksum(bytes, size));
}

static void put_counts_right(unsigned char *bytes, size_t size)
{
    struct soma_patch_reader reader = {.at = bytes + HEADER, .end = bytes + size - 8, .words = bytes[12] == 1};
    struct soma_difference difference;
    uint64_t count[3] = {0, 0, 0};
    while (soma_patch_next(&reader, &difference) == SOMA_OK)
        count[difference.what - SOMA_INSERTED]++;
    for (int i = 0; i < 3; i++)
        set_little(bytes + 24 + 8 * i, count[i]);
    put_right(bytes, size);
}

/* ---- Using a patch ---- */

static void must_be_same(struct soma_bytes a, struct soma_bytes b, const char *what)
{
    must(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, what);
}

static void write_again(struct soma_bytes bytes, const struct soma_patch_info *info)
{
    struct soma_patch_reader reader;
    struct soma_difference difference;
    struct patch_writer writer;
    soma_patch *again;
    must(soma_patch_begin(bytes, &reader) == SOMA_OK, "it is a patch once, and then none");
    soma__patch_start(&writer, info->words);
    while (soma_patch_next(&reader, &difference) == SOMA_OK)
        soma__patch_add(&writer, &difference);
    if (soma__patch_finish(&writer, SOMA_OK, &again) != SOMA_OK)
        return;
    must_be_same(soma_patch_bytes(again), bytes, "two forms of one patch");
    soma_patch_free(again);
}

/* New ones for each patch: a leak checker does not see what a map holds. */
static soma_u64 *words;
static soma_map *strings;

/* What the map has to have for the patch to fit; or takes it out again. */
static void set_up(const struct soma_difference *difference, bool of_words, bool in)
{
    const struct soma_bytes key = difference->key;
    const struct soma_bytes value = difference->before;
    if (of_words && in)
        must(soma_u64_put_new(words, difference->word.key, difference->word.before, NULL) == SOMA_INSERTED, "put");
    else if (of_words)
        must(soma_u64_remove_if(words, difference->word.key, difference->word.before, NULL) == SOMA_REMOVED, "take");
    else if (in)
        must(soma_map_put_new(strings, key.data, key.len, value.data, value.len, NULL) == SOMA_INSERTED, "put");
    else
        must(soma_map_remove_if(strings, key.data, key.len, value.data, value.len, NULL) == SOMA_REMOVED, "take");
}

static void set_up_all(struct soma_bytes bytes, bool of_words, bool in)
{
    struct soma_patch_reader reader;
    struct soma_difference difference;
    must(soma_patch_begin(bytes, &reader) == SOMA_OK, "it is a patch once, and then none");
    while (soma_patch_next(&reader, &difference) == SOMA_OK) {
        if (difference.what != SOMA_INSERTED)
            set_up(&difference, of_words, in);
    }
}

static enum soma_status apply(struct soma_bytes bytes, bool of_words)
{
    struct soma_patch_outcome outcome = {.number = 0};
    const enum soma_status status = of_words ? soma_patch_apply_u64_wait(words, bytes, &outcome)
                                             : soma_patch_apply_map_wait(strings, bytes, &outcome);
    must(outcome.kept == 0, "something was kept");
    return status;
}

static void apply_there_and_back(struct soma_bytes bytes, struct soma_bytes inverse, const struct soma_patch_info *info)
{
    const uint64_t count = soma__patch_count(info);
    must(soma_u64_new(NULL, &words) == SOMA_OK && soma_map_new(NULL, &strings) == SOMA_OK, "no map");
    set_up_all(bytes, info->words, true);
    must(apply(bytes, info->words) == SOMA_OK, "it does not fit");
    must(apply(bytes, info->words) == (count > 0 ? SOMA_CHANGED : SOMA_OK), "it fits twice");
    must(apply(inverse, info->words) == SOMA_OK, "the inverse does not fit");
    set_up_all(bytes, info->words, false);
    must((info->words ? soma_u64_count_approx(words) : soma_map_count_approx(strings)) == 0, "something is left");
    soma_u64_free(words);
    soma_map_free(strings);
    soma_barrier_wait();
}

/* Every other difference of the patch or of its inverse, from the first or the second on. */
static soma_patch *half_of(struct soma_bytes bytes, bool odd)
{
    struct soma_patch_reader reader;
    struct soma_difference difference;
    struct patch_writer writer;
    soma_patch *half = NULL;
    must(soma_patch_begin(bytes, &reader) == SOMA_OK, "it is a patch once, and then none");
    soma__patch_start(&writer, reader.words);
    for (bool take = !odd; soma_patch_next(&reader, &difference) == SOMA_OK; take = !take) {
        if (take)
            soma__patch_add(&writer, &difference);
    }
    must(soma__patch_finish(&writer, SOMA_OK, &half) == SOMA_OK, "no half");
    return half;
}

/* What one half takes back of the whole, leaves the other. */
static void put_together(struct soma_bytes bytes, struct soma_bytes inverse)
{
    for (int odd = 0; odd < 2; odd++) {
        soma_patch *back = half_of(inverse, odd);
        soma_patch *rest = half_of(bytes, !odd);
        soma_patch *left;
        must(soma_patch_compose(bytes, soma_patch_bytes(back), &left) == SOMA_OK, "the half does not fit");
        must_be_same(soma_patch_bytes(left), soma_patch_bytes(rest), "the half leaves something else than the other");
        soma_patch_free(left);
        must(soma_patch_compose(soma_patch_bytes(rest), soma_patch_bytes(back), &left) == SOMA_OK, "halves do not fit");
        soma_patch_free(left);
        soma_patch_free(back);
        soma_patch_free(rest);
    }
}

static void use(struct soma_bytes bytes, const struct soma_patch_info *info)
{
    soma_patch *inverse;
    soma_patch *again;
    soma_patch *nothing;
    struct soma_patch_info left;
    write_again(bytes, info);
    must(soma_patch_invert(bytes, &inverse) == SOMA_OK, "no inverse");
    must(soma_patch_invert(soma_patch_bytes(inverse), &again) == SOMA_OK, "no inverse of the inverse");
    must_be_same(soma_patch_bytes(again), bytes, "the inverse of the inverse is another patch");
    must(soma_patch_compose(bytes, soma_patch_bytes(inverse), &nothing) == SOMA_OK, "there and back do not fit");
    must(soma_patch_check(soma_patch_bytes(nothing), &left) == SOMA_OK && soma__patch_count(&left) == 0, "not back");
    put_together(bytes, soma_patch_bytes(inverse));
    apply_there_and_back(bytes, soma_patch_bytes(inverse), info);
    soma_patch_free(inverse);
    soma_patch_free(again);
    soma_patch_free(nothing);
}

/* Whether it is a patch; then everything is done with it. */
static bool try(const unsigned char *data, size_t size)
{
    struct soma_patch_info info;
    unsigned char *copy = malloc(size > 0 ? size : 1); /* of its very size */
    if (!copy)
        return true;
    if (size > 0)
        memcpy(copy, data, size);
    const struct soma_bytes bytes = {copy, size};
    const enum soma_status status = soma_patch_check(bytes, &info);
    must(status == SOMA_OK || status == SOMA_E_CORRUPT || status == SOMA_E_UNSUPPORTED,
         "an answer that makes no sense");
    if (status == SOMA_OK)
        use(bytes, &info);
    free(copy);
    return status == SOMA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (try(data, size) || size < LEAST)
        return 0;
    unsigned char *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    put_right(copy, size);
    if (!try(copy, size)) {
        put_counts_right(copy, size);
        try(copy, size);
    }
    free(copy);
    return 0;
}
