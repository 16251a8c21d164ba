/* SPDX-License-Identifier: ISC */
/* sync.c - a fuzzer's bytes as what the other side of a session says. The first byte chooses who this side is, the
 * second cuts the stream; the rest are frames, behind a hello that fits, in which SLICE and CLOSED are put right, so
 * that what comes behind them is reached. Or, by a bit of the first byte, all of it as it is: hello, too. Whatever is
 * said: no crash, memory within bounds, and either an answer that makes sense or a map that is as it was.
 *
 * As a libFuzzer target: fuzz-sync CORPUS. As a program that runs a kept corpus: fuzz-sync-replay CORPUS (files.c). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "sync/sync.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SAID_MAX 4096
#define STAGED_MAX 100000

enum {
    WORDS = 1,
    INITIATOR = 2,
    ROLE = 4 + 8,
    AS_IT_IS = 16
};

static void fail(const char *what)
{
    fprintf(stderr, "fuzz-sync: %s\n", what);
    abort();
}

/* ---- This side ---- */

struct side {
    soma_u64 *words;
    soma_map *strings;
    soma_sync *sync;
};

static enum soma_status rule(struct soma_conflict *conflict, void *ctx)
{
    (void)ctx;
    conflict->word.merged = conflict->word.mine + conflict->word.theirs;
    conflict->merged = conflict->key;
    return conflict->mine.len % 3 == 0 ? SOMA_OK : conflict->word.mine % 2 ? SOMA_EXISTS : SOMA_REPLACED;
}

/* Sixty entries, so that there is something to be divided; the other side has some of them, some with other values, and some more. */
static struct side open_side(uint8_t how, bool other)
{
    struct side side = {NULL, NULL, NULL};
    const struct soma_u64_options of_words = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    const struct soma_map_options of_strings = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    struct soma_sync_options options = {.initiator = ((how & INITIATOR) != 0) != other,
                                        .nonce = 5,
                                        .rule = rule,
                                        .staged_bytes_max = STAGED_MAX,
                                        .window_bytes = SOMA_SYNC_WINDOW_LEAST};
    const unsigned role = (how & ROLE) / 4 % 3;
    options.role = role == 2 ? SOMA_SYNC_BOTH : (role == 0) != other ? SOMA_SYNC_SOURCE : SOMA_SYNC_TARGET;
    if (how & WORDS ? soma_u64_new(&of_words, &side.words) != SOMA_OK
                    : soma_map_new(&of_strings, &side.strings) != SOMA_OK)
        fail("no memory");
    for (uint64_t i = other ? 30 : 0; i < (other ? 70 : 60); i++) {
        const uint64_t value = other && i % 5 == 0 ? i + 1 : i;
        if (how & WORDS)
            soma_u64_put(side.words, i, value, NULL);
        else
            soma_map_put(side.strings, &i, 1 + i % 3, "a value", value % 7, NULL);
    }
    if ((how & WORDS ? soma_u64_sync_open(side.words, &options, &side.sync)
                     : soma_map_sync_open(side.strings, &options, &side.sync)) != SOMA_OK)
        fail("no session");
    return side;
}

static void close_side(struct side *side)
{
    soma_sync_close(side->sync);
    soma_u64_free(side->words);
    soma_map_free(side->strings);
}

static struct soma_digest digest_of(const struct side *side)
{
    struct soma_digest digest = {.count = 0};
    (void)(side->words ? soma_u64_digest(side->words, &digest) : soma_map_digest(side->strings, &digest));
    return digest;
}

/* ---- The other side ---- */

/* Numbers of which a fuzzer knows nothing: the session knows what it wants to hear. */
static void put_right(struct soma_sync *sync, unsigned char *data, size_t size)
{
    struct wire_out out = {.data = NULL};
    if (size >= 28 && data[0] == FRAME_SLICE && data[1] == 26) {
        data[2] = (unsigned char)sync->slice;
        data[3] = (unsigned char)sync->pass;
        soma__sync_put_digest(&out, &sync->theirs.digest);
        memcpy(data + 4, out.data, out.len);
    } else if (size >= 26 && (data[0] == FRAME_CLOSE || data[0] == FRAME_CLOSED) && data[1] == 24) {
        soma__sync_put_digest(&out, data[0] == FRAME_CLOSED ? &sync->slice_result : &sync->slice_mine);
        memcpy(data + 2, out.data, out.len);
    }
    soma__wire_free(&out);
}

static void drain(struct soma_sync *sync)
{
    unsigned char said[SAID_MAX];
    size_t len = 0;
    do
        (void)soma_sync_drain(sync, said, sizeof said, &len);
    while (len > 0);
}

/* Frame by frame, so that the session has its turns; what is no whole frame goes in pieces. */
static void talk(struct soma_sync *sync, unsigned char *data, size_t size, size_t piece)
{
    drain(sync);
    while (size > 0) {
        struct frame frame;
        const bool whole = soma__decode_frame(data, size, &frame) == DECODED;
        size_t len = whole ? frame.bytes : size < piece ? size : piece;
        if (whole)
            put_right(sync, data, size);
        if (soma_sync_feed(sync, data, len, NULL) != SOMA_OK)
            break;
        if (sync->changes.bytes > STAGED_MAX + (1 << 18) || sync->in.cap > 4 * (size_t)FRAME_MAX)
            fail("more memory than may be used");
        drain(sync);
        data += len;
        size -= len;
    }
    drain(sync);
}

static void feed_hello(const struct side *side, uint8_t how)
{
    unsigned char hello[HELLO_BYTES];
    size_t len = 0;
    struct side other = open_side(how, true);
    (void)soma_sync_drain(side->sync, hello, sizeof hello, &len);
    (void)soma_sync_feed(other.sync, hello, len, NULL);
    (void)soma_sync_drain(other.sync, hello, sizeof hello, &len);
    if (len != sizeof hello || soma_sync_feed(side->sync, hello, len, NULL) != SOMA_OK)
        fail("a hello that fits is refused");
    close_side(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned char *bytes = malloc(size);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    struct side side = open_side(bytes[0], false);
    const struct soma_digest before = digest_of(&side);
    if (bytes[0] & AS_IT_IS)
        drain(side.sync);
    else
        feed_hello(&side, bytes[0]);
    talk(side.sync, bytes + 2, size - 2, 1 + bytes[1]);
    struct soma_sync_result result;
    soma_sync_outcome(side.sync, &result);
    const struct soma_digest after = digest_of(&side);
    const bool changed = !soma_digest_equal(&before, &after);
    if (changed && result.inserted + result.replaced + result.removed == 0)
        fail("a change that is not counted");
    if (changed && !(bytes[0] & AS_IT_IS) && !soma_digest_equal(&after, &side.sync->slice_result))
        fail("the map is neither as it was nor as it was to become");
    free(bytes);
    close_side(&side);
    return 0;
}
