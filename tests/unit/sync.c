/* SPDX-License-Identifier: ISC */
/* sync.c - the protocol between two maps, from inside: the sessions and numbers that docs/spec/mapdiff.md shows, byte
 * by byte; every sentence of it that says what is corrupt; damaged bytes; two things with one check, which takes
 * another pass. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "support.h"
#include "sync/sync.h"

static const uint64_t seed[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static soma_u64 *words_new(void)
{
    const struct soma_u64_options options = {.seed = {seed[0], seed[1]}, .flags = SOMA_DIGEST, .digest_key = {1, 2}};
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(&options, &map), SOMA_OK);
    return map;
}

static soma_map *strings_new(void)
{
    const struct soma_map_options options = {.seed = {seed[0], seed[1]}, .flags = SOMA_DIGEST, .digest_key = {1, 2}};
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    return map;
}

static enum soma_status keep_mine(struct soma_conflict *conflict, void *ctx)
{
    (void)conflict, (void)ctx;
    return SOMA_EXISTS;
}

static struct soma_sync_options options_of(enum soma_sync_role role, bool initiator)
{
    return (struct soma_sync_options){
        .role = role, .initiator = initiator, .nonce = initiator ? 5 : 6, .rule = keep_mine};
}

static soma_sync *open_words(soma_u64 *map, enum soma_sync_role role, bool initiator)
{
    const struct soma_sync_options options = options_of(role, initiator);
    soma_sync *sync = NULL;
    EXPECT_EQ(soma_u64_sync_open(map, &options, &sync), SOMA_OK);
    return sync;
}

static soma_sync *open_strings(soma_map *map, enum soma_sync_role role, bool initiator)
{
    const struct soma_sync_options options = options_of(role, initiator);
    soma_sync *sync = NULL;
    EXPECT_EQ(soma_map_sync_open(map, &options, &sync), SOMA_OK);
    return sync;
}

/* ---- The vectors of the specification ---- */

static char *spec;

static void read_spec(void)
{
    FILE *file = fopen(SPEC, "rb");
    if (spec || !EXPECT(file != NULL))
        return;
    spec = need(1 << 17, 1);
    EXPECT(fread(spec, 1, (1 << 17) - 1, file) > 0);
    fclose(file);
}

/* Whether the table of vectors has this number. */
static void expect_in_spec(uint64_t number, int digits)
{
    char text[20];
    snprintf(text, sizeof text, "%0*" PRIx64, digits, number);
    const char *const vectors = strstr(spec, "## Vectors");
    if (EXPECT(vectors && strstr(vectors, text)))
        verified(1);
    else
        fprintf(stderr, "# not in the specification: %s\n", text);
}

static void numbers(const void *unused)
{
    (void)unused;
    read_spec();
    soma_u64 *words = words_new();
    soma_map *strings = strings_new();
    const struct soma__mix *mix = soma__u64_mix(words);
    static const unsigned char bytes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_in_spec(soma__siphash24(seed, "", 0), 16);
    expect_in_spec(soma__siphash13(seed, "", 0), 16);
    expect_in_spec(soma__siphash13(seed, "a", 1), 16);
    expect_in_spec(soma__siphash13(seed, bytes, sizeof bytes), 16);
    expect_in_spec(mix->salt, 16);
    expect_in_spec(mix->first, 16);
    expect_in_spec(mix->second, 16);
    expect_in_spec(soma__mix_hash(mix, 0), 16);
    expect_in_spec(soma__mix_hash(mix, 1), 16);
    expect_in_spec(soma__mix_hash(mix, 2), 16);
    expect_in_spec(soma__mix_hash(mix, UINT64_MAX), 16);

    soma_sync *of_words = open_words(words, SOMA_SYNC_TARGET, true);
    soma_sync *of_strings = open_strings(strings, SOMA_SYNC_TARGET, true);
    static const uint64_t one = 1;
    static const uint64_t two = 2;
    struct soma_digest digest =
        soma__sync_entry_digest(of_words, (struct soma_bytes){&one, sizeof one}, (struct soma_bytes){&two, sizeof two});
    expect_in_spec(digest.lane[0], 16);
    expect_in_spec(digest.lane[1], 16);
    digest = soma__sync_entry_digest(of_strings, (struct soma_bytes){"a", 1}, (struct soma_bytes){"b", 1});
    expect_in_spec(digest.lane[0], 16);
    expect_in_spec(digest.lane[1], 16);
    of_strings->key[0] = 5;
    of_strings->key[1] = 6;
    const struct soma_digest nothing = {.count = 0};
    expect_in_spec(soma__sync_check(of_strings, &nothing), 8);
    expect_in_spec(soma__sync_check(of_strings, &digest), 8);
    expect_in_spec(soma__sync_agreement(of_words), 16);
    expect_in_spec(soma__sync_agreement(of_strings), 16);
    soma_sync_close(of_words);
    soma_sync_close(of_strings);
    soma_u64_free(words);
    soma_map_free(strings);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of the next block behind `at`: lines of digits behind four spaces. */
static size_t next_block(const char **at, unsigned char *to)
{
    size_t len = 0;
    const char *line = strstr(*at, "\n    ");
    while (line && strncmp(line, "\n    ", 5) == 0) {
        for (line += 5; digit(*line) >= 0; line += 2)
            to[len++] = (unsigned char)(digit(line[0]) << 4 | digit(line[1]));
    }
    *at = line ? line : "";
    return len;
}

/* The sides say in turn what stands under a heading. */
static void expect_session(const char *heading, soma_sync *initiator, soma_sync *responder)
{
    static unsigned char said[1 << 14];
    static unsigned char wanted[1 << 14];
    soma_sync *const sides[2] = {initiator, responder};
    read_spec();
    const char *at = strstr(spec, heading);
    if (!EXPECT(at != NULL))
        return;
    const char *const end = strstr(at + 4, "\n### ");
    for (unsigned turn = 0;; turn++) {
        size_t len = 0;
        enum soma_status status = soma_sync_drain(sides[turn % 2], said, sizeof said, &len);
        if (status != SOMA_OK) {
            EXPECT_EQ(status, SOMA_END);
            break;
        }
        EXPECT_EQ(next_block(&at, wanted), len);
        EXPECT(memcmp(said, wanted, len) == 0);
        EXPECT(!end || at <= end);
        status = soma_sync_feed(sides[(turn + 1) % 2], said, len, NULL);
        EXPECT(status == SOMA_OK || status == SOMA_END);
        verified(len);
        if (len == 0)
            break;
    }
    soma_sync_close(initiator);
    soma_sync_close(responder);
}

static void sessions(const void *unused)
{
    (void)unused;
    soma_u64 *a = words_new();
    soma_u64 *b = words_new();
    for (uint64_t i = 1; i <= 3; i++) {
        soma_u64_put(a, i + 1, i == 2 ? 31 : 10 * i + 10, NULL);
        soma_u64_put(b, i, 10 * i, NULL);
    }
    expect_session("### A small map, one way", open_words(a, SOMA_SYNC_TARGET, true),
                   open_words(b, SOMA_SYNC_SOURCE, false));
    EXPECT_EQ(soma_u64_count_approx(a), 3);
    soma_u64_clear(a);
    soma_u64_clear(b);
    for (uint64_t k = 1; k <= 60; k++) {
        soma_u64_put(a, k, k * k, NULL);
        soma_u64_put(b, k, k == 12 ? 0 : k * k, NULL);
    }
    soma_u64_remove(a, 7, NULL);
    soma_u64_remove(b, 9, NULL);
    expect_session("### A range that is divided", open_words(a, SOMA_SYNC_TARGET, true),
                   open_words(b, SOMA_SYNC_SOURCE, false));
    EXPECT_EQ(soma_u64_get(a, 7, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_get(a, 9, NULL), SOMA_ABSENT);
    soma_u64_free(a);
    soma_u64_free(b);
}

static void session_both_ways(const void *unused)
{
    (void)unused;
    soma_map *a = strings_new();
    soma_map *b = strings_new();
    soma_map_put(a, "colour", 6, "teal", 4, NULL);
    soma_map_put(a, "size", 4, "7", 1, NULL);
    soma_map_put(b, "colour", 6, "red", 3, NULL);
    soma_map_put(b, "", 0, "", 0, NULL);
    expect_session("### Both ways, with a conflict", open_strings(a, SOMA_SYNC_BOTH, true),
                   open_strings(b, SOMA_SYNC_BOTH, false));
    EXPECT_EQ(soma_map_count_approx(a), 3);
    EXPECT_EQ(soma_map_count_approx(b), 3);
    soma_map_free(a);
    soma_map_free(b);
}

/* ---- What is corrupt ---- */

/* The other side is made of bytes: `S` stands for the SLICE that is due, `D` for its digest, `T` lets the session have its turn. */

static void drain_all(soma_sync *sync)
{
    unsigned char bytes[1000];
    size_t len;
    do
        (void)soma_sync_drain(sync, bytes, sizeof bytes, &len);
    while (len > 0);
}

static void feed_digest(soma_sync *sync, const struct soma_digest *digest)
{
    struct wire_out out = {.data = NULL};
    soma__sync_put_digest(&out, digest);
    (void)soma_sync_feed(sync, out.data, out.len, NULL);
    soma__wire_free(&out);
}

/* The hello of a session with the other role, changed at one place; `at` HELLO_BYTES: not changed. */
static void feed_hello(soma_sync *sync, soma_sync *other, size_t at, unsigned char byte)
{
    unsigned char hello[HELLO_BYTES + 1];
    unsigned char theirs[HELLO_BYTES];
    size_t len = 0;
    if (other->mine.initiator == false) { /* it says its hello when it has heard one */
        (void)soma_sync_drain(sync, theirs, sizeof theirs, &len);
        (void)soma_sync_feed(other, theirs, len, NULL);
    }
    (void)soma_sync_drain(other, hello, HELLO_BYTES, &len);
    EXPECT_EQ(len, HELLO_BYTES);
    hello[at] = byte;
    (void)soma_sync_feed(sync, hello, HELLO_BYTES, NULL);
}

static void feed_text(soma_sync *sync, const struct soma_digest *digest, const char *text)
{
    static const unsigned char slice[] = {FRAME_SLICE, 26, 0, 0};
    for (; *text; text++) {
        if (*text == 'S') {
            (void)soma_sync_feed(sync, slice, sizeof slice, NULL);
            feed_digest(sync, digest);
        } else if (*text == 'D') {
            feed_digest(sync, digest);
        } else if (*text == 'T') {
            drain_all(sync);
        } else if (digit(*text) >= 0) {
            const unsigned char byte = (unsigned char)(digit(text[0]) << 4 | digit(text[1]));
            (void)soma_sync_feed(sync, &byte, 1, NULL);
            text++;
        }
    }
}

struct saying {
    const char *text;
    enum soma_status status;
};

#define ROLE_OF_OTHER(role) ((role) == SOMA_SYNC_BOTH ? SOMA_SYNC_BOTH : (enum soma_sync_role)(3 - (role)))

/* The map under test has the words 1 to 3, or the strings a, b, c; the other side's a word, or a string, that it has not. */
static void expect_status(enum soma_sync_role role, bool words, bool initiator, const struct saying *saying)
{
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_map *strings = strings_new();
    soma_map *others = strings_new();
    for (uint64_t i = 1; i <= 3; i++) {
        soma_u64_put(map, i, i, NULL);
        soma_map_put(strings, &"abc"[i - 1], 1, "value", 5, NULL);
    }
    soma_u64_put(other, 9, 9, NULL);
    soma_map_put(others, "i", 1, "value", 5, NULL);
    soma_sync *sync = words ? open_words(map, role, initiator) : open_strings(strings, role, initiator);
    soma_sync *peer = words ? open_words(other, ROLE_OF_OTHER(role), !initiator)
                            : open_strings(others, ROLE_OF_OTHER(role), !initiator);
    const struct soma_digest digest = peer->mine.digest;
    feed_hello(sync, peer, HELLO_BYTES, 0);
    if (!initiator)
        drain_all(sync);
    feed_text(sync, &digest, saying->text);
    drain_all(sync);
    size_t len;
    if (!EXPECT_EQ(soma_sync_drain(sync, NULL, 0, &len), saying->status))
        fprintf(stderr, "# after '%s': %s\n", saying->text, soma_sync_reason(sync));
    struct soma_digest after;
    struct soma_digest before = sync->mine.digest;
    EXPECT_EQ(words ? soma_u64_digest(map, &after) : soma_map_digest(strings, &after), SOMA_OK);
    EXPECT(soma_digest_equal(&before, &after));
    soma_sync_close(sync);
    soma_sync_close(peer);
    soma_u64_free(map);
    soma_u64_free(other);
    soma_map_free(strings);
    soma_map_free(others);
    verified(1);
}

/* To a target that is the initiator: the source begins. */
static const struct saying to_target[] = {
    {"", SOMA_OK},
    {"0700", SOMA_E_CORRUPT},                                                     /* no SLICE */
    {"03020000", SOMA_E_CORRUPT},                                                 /* no SLICE */
    {"060100", SOMA_E_CORRUPT},                                                   /* no SLICE */
    {"011a0100D", SOMA_E_CORRUPT},                                                /* of another slice */
    {"011a0001D", SOMA_E_CORRUPT},                                                /* of another pass */
    {"010100", SOMA_E_CORRUPT},                                                   /* a short one */
    {"011b0000D00", SOMA_E_CORRUPT},                                              /* a long one */
    {"011a0000000000000000000000000000000000000000000000000000", SOMA_E_CORRUPT}, /* another digest than hello's */
    {"S S", SOMA_E_CORRUPT},
    {"0000", SOMA_E_CORRUPT}, /* no such frames */
    {"0d00", SOMA_E_CORRUPT},
    {"02818004", SOMA_E_CORRUPT},               /* 65,537 bytes */
    {"02ffffffffffffffffffff", SOMA_E_CORRUPT}, /* no number */
    {"028000", SOMA_E_CORRUPT},
    {"S 020300000000", SOMA_E_CORRUPT}, /* no parts */
    {"S 0203000d0000", SOMA_E_CORRUPT}, /* 2^13 parts */
    {"S 0203410100", SOMA_E_CORRUPT},   /* 65 bits */
    {"S 0203400100", SOMA_E_CORRUPT},   /* 64 bits, parts of 65 */
    {"S 020103", SOMA_E_CORRUPT},
    {"S 02020001", SOMA_E_CORRUPT}, /* of nothing */
    {"S 030100", SOMA_E_CORRUPT},
    {"S 0300", SOMA_E_CORRUPT},
    {"S 020b00010111111111222222220700", SOMA_E_CORRUPT}, /* of 0 bits, the range 1 */
    {"S 020400010011", SOMA_E_CORRUPT},                   /* less than two checks */
    {"S 03020001", SOMA_E_CORRUPT},
    {"S 030300008000", SOMA_E_CORRUPT},
    {"S 0303010002", SOMA_E_CORRUPT},                          /* 0 and 3, of 1 bit */
    {"S 030c40ffffffffffffffffff0100", SOMA_E_CORRUPT},        /* 2^64 - 1 and a range behind it */
    {"S 0302000003020000", SOMA_E_CORRUPT},                    /* a range twice */
    {"S 0302010103020000", SOMA_E_CORRUPT},                    /* the half before all */
    {"S 03020000 020b0001001111111122222222", SOMA_E_CORRUPT}, /* CHECKS behind ASK */
    {"S 0503000000", SOMA_E_CORRUPT},                          /* LIST by the giver */
    {"S 060100", SOMA_E_CORRUPT},                              /* nothing was listed */
    {"S 0600", SOMA_E_CORRUPT},
    {"S 070100", SOMA_E_CORRUPT},
    {"S 0b00", SOMA_E_CORRUPT}, /* nothing was closed */
    {"S 0a18D", SOMA_E_CORRUPT},
    {"S 0918D", SOMA_E_CORRUPT},
    {"080100", SOMA_E_CORRUPT}, /* grants nothing */
    {"080101", SOMA_E_CORRUPT}, /* more than was sent */
    {"08020000", SOMA_E_CORRUPT},
    {"0c0105", SOMA_E_CORRUPT},
    {"0c0107", SOMA_E_UNSUPPORTED},
    {"0c0101", SOMA_E_IO},
    {"0c0103", SOMA_E_IO},
    {"0c0106", SOMA_E_IO},
    {"0c01ff", SOMA_E_IO},
    {"0c00", SOMA_E_CORRUPT},
    {"0c020600", SOMA_E_CORRUPT},
    {"S 03020000 0700 0700", SOMA_E_CORRUPT},   /* out of its turn */
    {"S 03020000 0700 T 0700", SOMA_E_CORRUPT}, /* no answer to the list */
    {"S 03020000 0700 T 0602", SOMA_OK},
    {"S 03020000 0700 T 060102", SOMA_E_CORRUPT},       /* no such record */
    {"S 03020000 0700 T 060101 0700", SOMA_E_CORRUPT},  /* half of one */
    {"S 03020000 0700 T 06020004", SOMA_E_CORRUPT},     /* 4 of 3 */
    {"S 03020000 0700 T 0603000103", SOMA_E_CORRUPT},   /* the fourth of 3 */
    {"S 03020000 0700 T 060400020200", SOMA_E_CORRUPT}, /* the third and the fourth */
    {"S 03020000 0700 T 06028000", SOMA_E_CORRUPT},
    {"S 03020000 0700 T 060cffffffffffffffffffffffff", SOMA_E_CORRUPT},
    {"S 03020000 0700 T 0603008000", SOMA_E_CORRUPT},
    {"S 03020000 0700 T 0603000000", SOMA_E_CORRUPT}, /* one answer too many */
    {"S 03020000 0700 T 062301 0100000000000000 0000000000000000 01 0100000000000000 0000000000000000 00",
     SOMA_E_CORRUPT},
    {"S 04020000 03020000 0700 T 06050003000000 0700", SOMA_E_CORRUPT}, /* gone twice: found when the turn is taken */
    {"S 020b0001001111111122222222 03020100 0700", SOMA_E_CORRUPT},     /* a half is checked, and asked for */
    {"S 03020000 0700 T 0611 01 0100000000000000 0100000000000000", SOMA_E_CORRUPT}, /* an entry that is here */
    {"S 03020000 0700 T 0611 01 0100000000000000 0000000000000000", SOMA_OK},
    {"S 03020000 0700 T 06020000 0700", SOMA_OK},             /* another digest: said again */
    {"S 03020000 0700 T 060700018080808010", SOMA_E_CORRUPT}, /* the one of number 2^32 */
    {"S 020b0101011111111122222222 03020100 0700", SOMA_OK},  /* the upper half is checked, the lower one asked for */
    {"S 03020100 0700 T 0611 01 1100000000000000 0000000000000000", SOMA_OK},
    {"S 03020100 0700 T 0611 01 0a00000000000000 0000000000000000", SOMA_E_CORRUPT}, /* of the other half */
    {"S 0700 T S 0700", SOMA_E_CORRUPT},
};

/* To a source that is the initiator: the target begins. */
static const struct saying to_source[] = {
    {"S 03020000", SOMA_E_CORRUPT}, /* ASK and EMPTY by the lister */
    {"S 04020000", SOMA_E_CORRUPT},
    {"S 050400008140", SOMA_E_CORRUPT}, /* 8,193 fingerprints */
    {"S 050400000111", SOMA_E_CORRUPT},
    {"S 0700", SOMA_E_CORRUPT}, /* asks nothing, and does not close */
    {"S 05030000000700 T 0700", SOMA_E_CORRUPT},
    {"S 0503000000 0918D", SOMA_E_CORRUPT}, /* asks and closes */
    {"S 0503000000 0700 T 060100", SOMA_E_CORRUPT},
    {"S 0503000000 0700 T 0917D", SOMA_E_CORRUPT},
    {"S 0503000000 0700 T 0a18D", SOMA_E_CORRUPT},
    {"S 0503000000 0700 T 0b0100", SOMA_E_CORRUPT},
    {"S 0503000000 0700 T 0918D", SOMA_E_CORRUPT}, /* another digest: a target would not have closed */
    {"S 0503000000 0700 T 0b00", SOMA_OK},
    {"S 0503000000 0700 T 080135", SOMA_OK}, /* 53 bytes were sent */
    {"S 0503000000 0700 T 080136", SOMA_E_CORRUPT},
};

/* To the giver of two; it is the responder, and has asked for a list of its three entries' range. */
static const struct saying to_giver[] = {
    {"S 0b00", SOMA_E_CORRUPT},
    {"S 0503000000 0700 T 0b00", SOMA_E_CORRUPT},                /* only the giver says so */
    {"S 050700000111111111 0700 T 0700", SOMA_E_CORRUPT},        /* an entry was asked for */
    {"S 050700000111111111 0700 T 060100 0700", SOMA_E_CORRUPT}, /* asks nothing, and does not close */
    {"S 050700000111111111 0700 T 060100 0918D", SOMA_OK},       /* another digest: said again */
    {"S 050700000111111111 0700 T 060100 0918 0100000000000000 0000000000000000 0000000000000000",
     SOMA_E_CORRUPT},                                         /* of no entries, and not 0 */
    {"S 050700000111111111 0700 T 06020000", SOMA_E_CORRUPT}, /* one reply too many */
};

/* To the lister of two, which is the initiator. */
static const struct saying to_lister[] = {
    {"S 03020000 0700 T 0611 01 0100000000000000 0100000000000000", SOMA_E_CORRUPT}, /* an entry that is here */
    {"S 03020000 0700 T 0611 01 0100000000000000 0000000000000000", SOMA_OK},
    {"S 03020000 0700 T 06020000 0700 T 0b00", SOMA_OK},
};

/* To a target of strings. */
static const struct saying strings_to_target[] = {
    {"S 03020000 0700 T 060580ffffff7f", SOMA_E_CORRUPT},   /* a long key */
    {"S 03020000 0700 T 060602ffffffff0f", SOMA_E_CORRUPT}, /* a long value */
    {"S 03020000 0700 T 0606028080808000", SOMA_E_CORRUPT},
    {"S 03020000 0700 T 060602ffffffff07", SOMA_E_LIMIT}, /* more than may be kept: as soon as it is said */
    {"S 03020000 0700 T 0604020161", SOMA_OK},
    {"S 03020000 0700 T 0608 02016161 02016162", SOMA_E_CORRUPT}, /* a key twice */
};

#define EXPECT_ALL(role, words, initiator, sayings)                                                                    \
    for (size_t i_ = 0; i_ < sizeof(sayings) / sizeof *(sayings); i_++)                                                \
    expect_status(role, words, initiator, &(sayings)[i_])

static void nonsense(const void *unused)
{
    (void)unused;
    EXPECT_ALL(SOMA_SYNC_TARGET, true, true, to_target);
    EXPECT_ALL(SOMA_SYNC_SOURCE, true, true, to_source);
    EXPECT_ALL(SOMA_SYNC_BOTH, true, false, to_giver);
    EXPECT_ALL(SOMA_SYNC_BOTH, true, true, to_lister);
    EXPECT_ALL(SOMA_SYNC_TARGET, false, true, strings_to_target);
}

/* A source that asks for a list again and again, and never has anything to say about it. */
static void many_turns(const void *unused)
{
    (void)unused;
    for (unsigned more = 0; more < 2; more++) {
        struct soma_digest digest;
        size_t len;
        soma_u64 *map = words_new();
        soma_u64 *other = words_new();
        soma_u64_put(other, 9, 9, NULL);
        soma_sync *sync = open_words(map, SOMA_SYNC_TARGET, true);
        soma_sync *peer = open_words(other, SOMA_SYNC_SOURCE, false);
        digest = peer->mine.digest;
        feed_hello(sync, peer, HELLO_BYTES, 0);
        feed_text(sync, &digest, "S 03020000 0700 T");
        for (unsigned turn = 1; turn < 128 + more; turn++)
            feed_text(sync, &digest, "03020000 06020000 0700 T");
        EXPECT_EQ(soma_sync_drain(sync, NULL, 0, &len), more ? SOMA_E_CORRUPT : SOMA_OK);
        soma_sync_close(sync);
        soma_sync_close(peer);
        soma_u64_free(map);
        soma_u64_free(other);
        verified(1);
    }
}

/* What a side has in a slice is the same in each pass. */
static void slice_of_each_pass(const void *unused)
{
    (void)unused;
    static const char *const second[] = {"011a0001D", "011a0001 0000000000000000 0000000000000000 0000000000000000"};
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    for (uint64_t i = 0; i < 300; i++) {
        soma_u64_put(map, i, i, NULL);
        soma_u64_put(other, i, i + 1, NULL);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct soma_sync_options options = options_of(SOMA_SYNC_TARGET, true);
        soma_sync *sync = NULL;
        size_t len;
        options.slice_entries = SOMA_SYNC_SLICE_LEAST;
        EXPECT_EQ(soma_u64_sync_open(map, &options, &sync), SOMA_OK);
        soma_sync *peer = open_words(other, SOMA_SYNC_SOURCE, false);
        const struct soma_digest digest = peer->mine.digest;
        feed_hello(sync, peer, HELLO_BYTES, 0);
        EXPECT_EQ(sync->slice_bits, 1);
        feed_text(sync, &digest, "S 04020100 0700 T"); /* nothing there: not so, and said again */
        EXPECT_EQ(sync->pass, 1);
        feed_text(sync, &digest, second[i]);
        drain_all(sync);
        EXPECT_EQ(soma_sync_drain(sync, NULL, 0, &len), i == 0 ? SOMA_OK : SOMA_E_CORRUPT);
        soma_sync_close(sync);
        soma_sync_close(peer);
        verified(1);
    }
    soma_u64_free(map);
    soma_u64_free(other);
}

/* A target closes only when it has what the source has: there is nothing to be said again. */
static void again_after_close(const void *unused)
{
    (void)unused;
    static const unsigned char again[] = {FRAME_AGAIN, 0};
    unsigned char bytes[1000];
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_u64_put(map, 1, 1, NULL);
    soma_u64_put(other, 2, 2, NULL);
    soma_sync *target = open_words(map, SOMA_SYNC_TARGET, true);
    soma_sync *source = open_words(other, SOMA_SYNC_SOURCE, false);
    for (unsigned turn = 0; turn < 4 && !target->said_close; turn++) {
        size_t len = 0;
        (void)soma_sync_drain(target, bytes, sizeof bytes, &len);
        (void)soma_sync_feed(source, bytes, len, NULL);
        (void)soma_sync_drain(source, bytes, target->said_close ? 0 : sizeof bytes, &len);
        (void)soma_sync_feed(target, bytes, len, NULL);
        drain_all(turn == 1 ? target : source);
    }
    EXPECT(target->said_close);
    EXPECT_EQ(soma_sync_feed(target, again, sizeof again, NULL), SOMA_E_CORRUPT);
    EXPECT_EQ(soma_u64_get(map, 2, NULL), SOMA_OK);
    soma_sync_close(target);
    soma_sync_close(source);
    soma_u64_free(map);
    soma_u64_free(other);
    verified(1);
}

/* ---- Hello ---- */

static void hellos(const void *unused)
{
    (void)unused;
    static const struct {
        size_t at;
        unsigned char byte;
        enum soma_status status;
    } changed[] = {
        {0, 'M', SOMA_E_CORRUPT},   {6, 'g', SOMA_E_CORRUPT},   {7, 2, SOMA_E_UNSUPPORTED},  {8, 0, SOMA_E_CORRUPT},
        {8, 3, SOMA_E_CORRUPT},     {8, 2, SOMA_E_UNSUPPORTED}, {9, 0, SOMA_E_CORRUPT},      {9, 4, SOMA_E_CORRUPT},
        {9, 2, SOMA_E_UNSUPPORTED}, {9, 3, SOMA_E_UNSUPPORTED}, {10, 1, SOMA_E_CORRUPT},     {10, 2, SOMA_E_CORRUPT},
        {11, 1, SOMA_E_CORRUPT},    {14, 0, SOMA_E_CORRUPT},    {16, 0, SOMA_E_UNSUPPORTED}, {34, 0, SOMA_E_CORRUPT},
        {34, 17, SOMA_E_CORRUPT},   {40, 1, SOMA_E_CORRUPT},    {71, 1, SOMA_E_CORRUPT},     {HELLO_BYTES, 0, SOMA_OK},
        {64, 0, SOMA_E_CORRUPT},    {72, 1, SOMA_E_CORRUPT},    {80, 1, SOMA_E_CORRUPT},     {88, 1, SOMA_E_CORRUPT},
    };
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_u64_put(other, 1, 1, NULL);
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        soma_sync *sync = open_words(map, SOMA_SYNC_TARGET, true);
        soma_sync *peer = open_words(other, SOMA_SYNC_SOURCE, false);
        size_t len;
        feed_hello(sync, peer, changed[i].at, changed[i].byte);
        drain_all(sync);
        if (!EXPECT_EQ(soma_sync_drain(sync, NULL, 0, &len), changed[i].status))
            fprintf(stderr, "# byte %zu: %s\n", changed[i].at, soma_sync_reason(sync));
        EXPECT(strcmp(soma_sync_reason(sync), "ok") != 0 || changed[i].status == SOMA_OK);
        soma_sync_close(sync);
        soma_sync_close(peer);
        verified(1);
    }
    soma_u64_free(map);
    soma_u64_free(other);
}

/* Where to go on from is not forgotten, whatever the other side's hello was. */
static void token_of_refused(const void *unused)
{
    (void)unused;
    static const struct {
        size_t at;
        unsigned char byte;
    } changed[] = {{0, 'M'}, {7, 2}, {8, 2}, {9, 2}, {10, 1}, {16, 0}, {71, 1}};
    const uint64_t from = UINT64_C(1) << 63;
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_u64_put(other, 1, 1, NULL);
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        struct soma_sync_options options = options_of(SOMA_SYNC_TARGET, true);
        options.from = from;
        soma_sync *sync = NULL;
        EXPECT_EQ(soma_u64_sync_open(map, &options, &sync), SOMA_OK);
        soma_sync *peer = open_words(other, SOMA_SYNC_SOURCE, false);
        size_t len;
        feed_hello(sync, peer, changed[i].at, changed[i].byte);
        drain_all(sync);
        EXPECT(soma_sync_drain(sync, NULL, 0, &len) < 0);
        if (!EXPECT_EQ(soma_sync_token(sync), from))
            fprintf(stderr, "# byte %zu\n", changed[i].at);
        soma_sync_close(sync);
        soma_sync_close(peer);
        verified(1);
    }
    soma_u64_free(map);
    soma_u64_free(other);
}

/* The responder has said nothing yet: to what makes no sense it says nothing, to what does not fit hello and BYE. */
static void hellos_to_responder(const void *unused)
{
    (void)unused;
    static const struct {
        size_t at;
        unsigned char byte;
        size_t said;
        enum soma_status status;
    } changed[] = {
        {0, 'M', 0, SOMA_E_CORRUPT},
        {8, 0, 0, SOMA_E_CORRUPT},
        {10, 0, 0, SOMA_E_CORRUPT},
        {88, 1, 0, SOMA_E_CORRUPT},
        {40, 1, 0, SOMA_OK},
        {7, 2, HELLO_BYTES + 3, SOMA_E_UNSUPPORTED},
        {8, 2, HELLO_BYTES + 3, SOMA_E_UNSUPPORTED},
        {16, 0, HELLO_BYTES + 3, SOMA_E_UNSUPPORTED},
    };
    unsigned char said[1000];
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_u64_put(other, 1, 1, NULL);
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        soma_sync *sync = open_words(map, SOMA_SYNC_TARGET, false);
        soma_sync *peer = open_words(other, SOMA_SYNC_SOURCE, true);
        size_t len;
        feed_hello(sync, peer, changed[i].at, changed[i].byte);
        (void)soma_sync_drain(sync, said, sizeof said, &len);
        if (changed[i].status == SOMA_OK)
            EXPECT(len > HELLO_BYTES);
        else
            EXPECT_EQ(len, changed[i].said);
        EXPECT_EQ(soma_sync_drain(sync, NULL, 0, &len), changed[i].status);
        soma_sync_close(sync);
        soma_sync_close(peer);
        verified(1);
    }
    soma_u64_free(map);
    soma_u64_free(other);
}

/* Of another version nothing else is looked at; what is before `from` is part of the map. */
static void hellos_taken_apart(const void *unused)
{
    (void)unused;
    unsigned char bytes[HELLO_BYTES + 1] = HELLO_MAGIC;
    struct hello hello;
    size_t len;
    bytes[7] = HELLO_VERSION + 1;
    EXPECT_EQ(soma__decode_hello(bytes, &hello), DECODED);
    soma_u64 *map = words_new();
    soma_u64_put(map, 1, 1, NULL);
    struct soma_sync_options options = options_of(SOMA_SYNC_TARGET, true);
    soma_sync *sync = NULL;
    options.from = UINT64_MAX; /* behind all */
    EXPECT_EQ(soma_u64_sync_open(map, &options, &sync), SOMA_OK);
    EXPECT_EQ(soma_sync_drain(sync, bytes, HELLO_BYTES, &len), SOMA_OK);
    EXPECT_EQ(soma__decode_hello(bytes, &hello), DECODED);
    EXPECT_EQ(hello.before.count, 1);
    bytes[88] = 2;
    EXPECT_EQ(soma__decode_hello(bytes, &hello), CORRUPT);
    soma_sync_close(sync);
    soma_u64_free(map);
    verified(3);
}

/* ---- Damage ---- */

/* A session in which one byte of what one side says is another; `at` is counted over all of it. Gives how many bytes it said. */
static size_t talk_damaged(soma_sync *damaged, soma_sync *other, size_t at, unsigned char by)
{
    unsigned char bytes[4096];
    size_t said = 0;
    for (unsigned quiet = 0; quiet < 2;) {
        size_t len;
        quiet++;
        (void)soma_sync_drain(damaged, bytes, sizeof bytes, &len);
        if (at >= said && at - said < len)
            bytes[at - said] ^= by;
        said += len;
        (void)soma_sync_feed(other, bytes, len, NULL);
        quiet = len > 0 ? 0 : quiet;
        (void)soma_sync_drain(other, bytes, sizeof bytes, &len);
        (void)soma_sync_feed(damaged, bytes, len, NULL);
        quiet = len > 0 ? 0 : quiet;
    }
    return said;
}

static void fill_strings(soma_map *target, soma_map *source)
{
    soma_map_clear(target);
    soma_map_clear(source);
    for (uint64_t i = 0; i < 60; i++) {
        soma_map_put(source, &i, sizeof i, "value", 5, NULL);
        if (i != 7)
            soma_map_put(target, &i, sizeof i, i == 12 ? "other" : "value", 5, NULL);
    }
    soma_map_remove(source, &(uint64_t){20}, sizeof(uint64_t), NULL);
}

/* Every byte of the source's, changed: the target is as it was, or as the source. */
static void damage(const void *unused)
{
    (void)unused;
    static const unsigned char by[] = {1, 2, 0x10, 0x80, 0xff};
    soma_map *target = strings_new();
    soma_map *source = strings_new();
    size_t length = 1;
    uint64_t refused = 0;
    for (size_t at = 0; at < length; at++) {
        for (size_t i = 0; i < sizeof by; i++) {
            struct soma_digest before;
            struct soma_digest after;
            struct soma_digest wanted;
            fill_strings(target, source);
            EXPECT_EQ(soma_map_digest(target, &before), SOMA_OK);
            EXPECT_EQ(soma_map_digest(source, &wanted), SOMA_OK);
            soma_sync *a = open_strings(target, SOMA_SYNC_TARGET, true);
            soma_sync *b = open_strings(source, SOMA_SYNC_SOURCE, false);
            length = talk_damaged(b, a, at, by[i]);
            EXPECT_EQ(soma_map_digest(target, &after), SOMA_OK);
            const bool equal = soma_digest_equal(&after, &wanted);
            EXPECT(equal || soma_digest_equal(&after, &before));
            refused += !equal;
            soma_sync_close(a);
            soma_sync_close(b);
            verified(1);
        }
    }
    EXPECT(refused > 100);
    soma_map_free(target);
    soma_map_free(source);
}

/* ---- Two things with one check ---- */

/* As if a side had found nothing that differs: so it is when two things have one check. `passes` times. */
static void talk_blind(soma_sync *blind, soma_sync *other, uint64_t passes)
{
    unsigned char bytes[4096];
    for (unsigned quiet = 0; quiet < 2;) {
        size_t len;
        quiet++;
        if (blind->pass < passes && blind->phase == SPEAKING)
            blind->todo.n = 0;
        (void)soma_sync_drain(blind, bytes, sizeof bytes, &len);
        (void)soma_sync_feed(other, bytes, len, NULL);
        quiet = len > 0 ? 0 : quiet;
        (void)soma_sync_drain(other, bytes, sizeof bytes, &len);
        (void)soma_sync_feed(blind, bytes, len, NULL);
        quiet = len > 0 ? 0 : quiet;
    }
}

/* The first of two sides is blind. */
static void expect_repeated(enum soma_sync_role role, bool initiator, uint64_t passes)
{
    soma_map *maps[2] = {strings_new(), strings_new()};
    struct soma_digest digests[2];
    struct soma_digest before;
    struct soma_sync_result result;
    fill_strings(maps[0], maps[1]);
    EXPECT_EQ(soma_map_digest(maps[0], &before), SOMA_OK);
    soma_sync *blind = open_strings(maps[0], role, initiator);
    soma_sync *other = open_strings(maps[1], ROLE_OF_OTHER(role), !initiator);
    talk_blind(blind, other, passes);
    soma_sync_outcome(blind, &result);
    for (unsigned i = 0; i < 2; i++)
        EXPECT_EQ(soma_map_digest(maps[i], &digests[i]), SOMA_OK);
    size_t len;
    if (passes < PASSES_MAX) {
        EXPECT(result.equal && soma_digest_equal(&digests[0], &digests[1]));
        EXPECT_EQ(result.repeated, passes);
    } else {
        EXPECT_EQ(soma_sync_drain(blind, NULL, 0, &len), SOMA_E_CORRUPT);
        EXPECT_EQ(soma_sync_drain(other, NULL, 0, &len), SOMA_E_CORRUPT);
        EXPECT(soma_digest_equal(&digests[0], &before));
    }
    soma_sync_close(blind);
    soma_sync_close(other);
    soma_map_free(maps[0]);
    soma_map_free(maps[1]);
    verified(1);
}

static void one_check_for_two(const void *unused)
{
    (void)unused;
    static const enum soma_sync_role roles[] = {SOMA_SYNC_SOURCE, SOMA_SYNC_TARGET, SOMA_SYNC_BOTH};
    static const uint64_t passes[] = {0, 1, 2, PASSES_MAX - 1, PASSES_MAX};
    for (size_t role = 0; role < 3; role++) {
        for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
            expect_repeated(roles[role], true, passes[i]);
            if (roles[role] != SOMA_SYNC_BOTH ||
                passes[i] <= 1) /* such a giver begins again before it can be made blind */
                expect_repeated(roles[role], false, passes[i]);
        }
    }
}

/* Fingerprints have 32 bits: among so many values of a key some two have one. */
#define VALUES (1u << 18)

struct fingerprint {
    uint32_t number;
    uint32_t value;
};

static int by_fingerprint(const void *a, const void *b)
{
    const struct fingerprint *x = a;
    const struct fingerprint *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void two_values(const soma_sync *sync, uint64_t key, uint64_t values[2])
{
    struct fingerprint *all = need(VALUES, sizeof *all);
    for (uint32_t i = 0; i < VALUES; i++) {
        const uint64_t value = i;
        const struct soma_digest digest = soma__sync_entry_digest(sync, (struct soma_bytes){&key, sizeof key},
                                                                  (struct soma_bytes){&value, sizeof value});
        all[i] = (struct fingerprint){.number = soma__sync_check(sync, &digest), .value = i};
    }
    qsort(all, VALUES, sizeof *all, by_fingerprint);
    uint32_t at = 0;
    while (at + 2 < VALUES && all[at].number != all[at + 1].number)
        at++;
    EXPECT_EQ(all[at].number, all[at + 1].number);
    values[0] = all[at].value;
    values[1] = all[at + 1].value;
    free(all);
}

/* What one pass takes for equal, the next tells apart: it has another key. */
static void one_fingerprint(const void *unused)
{
    (void)unused;
    soma_u64 *target = words_new();
    soma_u64 *source = words_new();
    uint64_t values[2];
    soma_sync *a = open_words(target, SOMA_SYNC_TARGET, true);
    a->key[0] = 5; /* the nonces of both, as they will be in the first pass */
    a->key[1] = 6;
    two_values(a, 1, values);
    soma_sync_close(a);
    soma_u64_put(target, 1, values[0], NULL);
    soma_u64_put(source, 1, values[1], NULL);
    a = open_words(target, SOMA_SYNC_TARGET, true);
    soma_sync *b = open_words(source, SOMA_SYNC_SOURCE, false);
    struct soma_sync_result result;
    talk_blind(a, b, 0);
    soma_sync_outcome(a, &result);
    EXPECT(result.equal);
    EXPECT_EQ(result.repeated, 1);
    EXPECT_EQ(soma_u64_get(target, 1, &values[0]), SOMA_OK);
    EXPECT_EQ(values[0], values[1]);
    soma_sync_close(a);
    soma_sync_close(b);
    soma_u64_free(target);
    soma_u64_free(source);
    verified(1);
}

/* ---- Limits ---- */

/* A target that lists more than all turns may. */
static void many_fingerprints(const void *unused)
{
    (void)unused;
    static unsigned char list[1 + 3 + 1 + 2 + 2 + LIST_MAX * 4];
    soma_u64 *map = words_new();
    soma_u64 *other = words_new();
    soma_u64_put(other, 9, 9, NULL);
    soma_sync *sync = open_words(map, SOMA_SYNC_SOURCE, true);
    soma_sync *peer = open_words(other, SOMA_SYNC_TARGET, false);
    const struct soma_digest digest = peer->mine.digest;
    feed_hello(sync, peer, HELLO_BYTES, 0);
    feed_text(sync, &digest, "S");
    for (unsigned i = 0; i <= NUMBERS_MAX / LIST_MAX; i++) {
        struct wire_out out = {.data = NULL};
        soma__wire_put8(&out, 10);
        soma__wire_put_varint(&out, i);
        soma__wire_put_varint(&out, LIST_MAX);
        const size_t head = out.len;
        struct wire_out frame = {.data = NULL};
        soma__wire_put8(&frame, FRAME_LIST);
        soma__wire_put_varint(&frame, head + LIST_MAX * 4);
        soma__wire_put(&frame, out.data, head);
        soma__wire_put(&frame, list, LIST_MAX * 4);
        const enum soma_status status = soma_sync_feed(sync, frame.data, frame.len, NULL);
        EXPECT_EQ(status, i < NUMBERS_MAX / LIST_MAX ? SOMA_OK : SOMA_E_CORRUPT);
        soma__wire_free(&out);
        soma__wire_free(&frame);
    }
    soma_sync_close(sync);
    soma_sync_close(peer);
    soma_u64_free(map);
    soma_u64_free(other);
    verified(1);
}

/* More entries with one hash than a list may have. */
static void one_hash(const void *unused)
{
    (void)unused;
    soma_map *target = strings_new();
    soma_map *source = strings_new();
    soma__map_hash_mask(target, 0);
    soma__map_hash_mask(source, 0);
    for (uint32_t i = 0; i <= LIST_MAX; i++)
        soma_map_put(target, &i, sizeof i, "", 0, NULL);
    soma_map_put(source, "key", 3, "", 0, NULL);
    soma_sync *a = open_strings(target, SOMA_SYNC_TARGET, true);
    soma_sync *b = open_strings(source, SOMA_SYNC_SOURCE, false);
    size_t len;
    talk_blind(a, b, 0);
    EXPECT_EQ(soma_sync_drain(a, NULL, 0, &len), SOMA_E_LIMIT);
    EXPECT(soma_sync_drain(b, NULL, 0, &len) < 0);
    soma_sync_close(a);
    soma_sync_close(b);
    soma_map_free(target);
    soma_map_free(source);
    verified(1);
}

/* Every slice is as it should be, and all together are not what the hello has promised. */
static void another_whole(const void *unused)
{
    (void)unused;
    soma_u64 *target = words_new();
    soma_u64 *source = words_new();
    for (uint64_t i = 0; i < 2 * SOMA_SYNC_SLICE_LEAST; i++) {
        soma_u64_put(target, i, i, NULL);
        soma_u64_put(source, i, i + i % 2, NULL);
    }
    struct soma_sync_options options = options_of(SOMA_SYNC_TARGET, true);
    options.slice_entries = SOMA_SYNC_SLICE_LEAST;
    for (unsigned lie = 0; lie < 2; lie++) {
        soma_sync *a = NULL;
        EXPECT_EQ(soma_u64_sync_open(target, &options, &a), SOMA_OK);
        soma_sync *b = open_words(source, SOMA_SYNC_SOURCE, false);
        size_t len;
        b->mine.digest.lane[0] += 1 - lie;
        talk_blind(a, b, 0);
        EXPECT_EQ(soma_sync_drain(a, NULL, 0, &len), lie ? SOMA_END : SOMA_E_CORRUPT);
        soma_sync_close(a);
        soma_sync_close(b);
    }
    soma_u64_free(target);
    soma_u64_free(source);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"numbers of the specification", numbers, NULL},
                                      {"sessions of the specification", sessions, NULL},
                                      {"a session both ways", session_both_ways, NULL},
                                      {"nonsense", nonsense, NULL},
                                      {"many turns", many_turns, NULL},
                                      {"a slice in each pass", slice_of_each_pass, NULL},
                                      {"AGAIN after CLOSE", again_after_close, NULL},
                                      {"hellos", hellos, NULL},
                                      {"token-of-refused", token_of_refused, NULL},
                                      {"hellos to a responder", hellos_to_responder, NULL},
                                      {"hellos taken apart", hellos_taken_apart, NULL},
                                      {"damage", damage, NULL},
                                      {"two things with one check", one_check_for_two, NULL},
                                      {"two values with one fingerprint", one_fingerprint, NULL},
                                      {"many fingerprints", many_fingerprints, NULL},
                                      {"one hash for many", one_hash, NULL},
                                      {"another whole than its parts", another_whole, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
