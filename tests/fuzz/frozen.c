/* SPDX-License-Identifier: ISC */
/* frozen.c - a fuzzer's bytes as the file of a frozen map. The size in the header and the checksum are put right, so that
 * what comes behind them is reached; whatever passes the checks is used in every way, in memory of its very size.
 *
 * As a libFuzzer target: fuzz-frozen CORPUS. As a program that runs a kept corpus: fuzz-frozen-replay CORPUS (files.c). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "frozen/frozen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
    fprintf(stderr, "fuzz-frozen: %s\n", what);
    abort();
}

static void use_words(const struct soma_frozen *frozen)
{
    for (uint64_t i = 0; i < frozen->count; i++) {
        uint64_t key;
        uint64_t value;
        uint64_t again;
        if (soma_frozen_at_u64(frozen, i, &key, &value) != SOMA_OK)
            fail("an entry is missing");
        if (soma_frozen_get_u64(frozen, key, &again) != SOMA_OK || again != value)
            fail("a key cannot be found");
        if (soma_frozen_get_many_u64(frozen, &key, 1, &again, NULL) != 1 || again != value)
            fail("a key cannot be found in a batch");
        (void)soma_frozen_get_u64(frozen, key + 1, &again);
    }
}

static void use_strings(const struct soma_frozen *frozen)
{
    for (uint64_t i = 0; i < frozen->count; i++) {
        struct soma_bytes key;
        struct soma_bytes value;
        struct soma_bytes again;
        if (soma_frozen_at_ref(frozen, i, &key, &value) != SOMA_OK)
            fail("an entry is missing");
        if (soma_frozen_get_ref(frozen, key.data, key.len, &again) != SOMA_OK || again.data != value.data)
            fail("a key cannot be found");
        (void)soma_frozen_get_ref(frozen, value.data, value.len, &again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct soma_frozen frozen;
    unsigned char *image = malloc(size > 0 ? size : 1);
    if (!image)
        return 0;
    if (size > 0)
        memcpy(image, data, size);
    if (size >= sizeof(struct frozen_header)) {
        struct frozen_header *header = (struct frozen_header *)(void *)image;
        header->size = size;
        header->checksum = soma__frozen_checksum(header, size);
    }
    const enum soma_status status = soma__frozen_check(&frozen, image, size);
    BORN(&frozen, WHAT_FROZEN, NULL);
    if (status == SOMA_OK && frozen.kind == FROZEN_WORDS)
        use_words(&frozen);
    else if (status == SOMA_OK)
        use_strings(&frozen);
    else if (status != SOMA_E_CORRUPT && status != SOMA_E_UNSUPPORTED)
        fail("an answer that makes no sense");
    free(image);
    return 0;
}
