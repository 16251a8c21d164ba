/* SPDX-License-Identifier: ISC */
/* sync.c - sessions without memory: the n-th call for some fails, for every n until a session asks less often; then
 * again with every call from the n-th on failing. One side ends with SOMA_E_NOMEM or is told of it; its map is as it
 * was, or holds a part of what it was to become if the slice was already being put into it; and with memory, the next
 * session makes the maps equal. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "support.h"

#define KEYS UINT64_C(300)

/* ---- Injection ---- */

static uint64_t asked;
static uint64_t first_refused; /* 0 = none */
static bool all_after;
static bool armed;

void *__real_malloc(size_t size);
__attribute__((used)) void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    if (!armed)
        return __real_malloc(size);
    asked++;
    const bool no = asked == first_refused || (all_after && asked > first_refused);
    return no ? NULL : __real_malloc(size);
}

/* ---- Maps ---- */

struct side {
    bool words;
    soma_u64 *u64;
    soma_map *map;
};

static void put(struct side *side, uint64_t key, uint64_t value)
{
    unsigned char bytes[200];
    memset(bytes, (int)value, sizeof bytes);
    if (side->words)
        soma_u64_put(side->u64, key, value, NULL);
    else
        soma_map_put(side->map, &key, sizeof key, bytes, value % sizeof bytes, NULL);
}

static struct side side_new(bool words, uint64_t from, uint64_t to)
{
    struct side side = {.words = words};
    const struct soma_u64_options of_words = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    const struct soma_map_options of_bytes = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    EXPECT_EQ(words ? soma_u64_new(&of_words, &side.u64) : soma_map_new(&of_bytes, &side.map), SOMA_OK);
    for (uint64_t key = from; key < to; key++)
        put(&side, key, key % 7 == from % 7 ? from + key : key);
    return side;
}

static void side_free(struct side *side)
{
    soma_u64_free(side->u64);
    soma_map_free(side->map);
}

static struct soma_digest digest_of(const struct side *side)
{
    struct soma_digest digest = {.count = 0};
    EXPECT_EQ(side->words ? soma_u64_digest(side->u64, &digest) : soma_map_digest(side->map, &digest), SOMA_OK);
    return digest;
}

/* ---- A session ---- */

static enum soma_status rule(struct soma_conflict *conflict, void *ctx)
{
    (void)conflict, (void)ctx;
    return SOMA_EXISTS;
}

static enum soma_status open_sync(struct side *side, bool both, bool initiator, soma_sync **sync)
{
    const struct soma_sync_options options = {.role = both        ? SOMA_SYNC_BOTH
                                                      : initiator ? SOMA_SYNC_TARGET
                                                                  : SOMA_SYNC_SOURCE,
                                              .initiator = initiator,
                                              .rule = rule,
                                              .nonce = 5};
    return side->words ? soma_u64_sync_open(side->u64, &options, sync) : soma_map_sync_open(side->map, &options, sync);
}

static void talk(soma_sync *syncs[2], enum soma_status answers[2])
{
    static unsigned char bytes[5000];
    for (unsigned turn = 0, quiet = 0; quiet < 2; turn ^= 1) {
        size_t len = 0;
        quiet++;
        while ((answers[turn] = soma_sync_drain(syncs[turn], bytes, sizeof bytes, &len)) == SOMA_OK && len > 0) {
            (void)soma_sync_feed(syncs[turn ^ 1], bytes, len, NULL);
            quiet = 0;
        }
    }
}

/* Whether it went well; if not, what is said is what may be said. */
static bool session(struct side sides[2], bool both)
{
    soma_sync *syncs[2] = {NULL, NULL};
    enum soma_status answers[2] = {SOMA_OK, SOMA_OK};
    const struct soma_digest before[2] = {digest_of(&sides[0]), digest_of(&sides[1])};
    armed = true;
    for (unsigned i = 0; i < 2 && answers[0] == SOMA_OK; i++)
        answers[0] = open_sync(&sides[i], both, i == 0, &syncs[i]);
    if (answers[0] == SOMA_OK)
        talk(syncs, answers);
    armed = false;
    const bool good = answers[0] == SOMA_END && answers[1] == SOMA_END;
    EXPECT(good || answers[0] == SOMA_E_NOMEM || answers[1] == SOMA_E_NOMEM);
    for (unsigned i = 0; i < 2 && !good && syncs[0] && syncs[1]; i++) {
        struct soma_sync_result result;
        const struct soma_digest after = digest_of(&sides[i]);
        soma_sync_outcome(syncs[i], &result);
        EXPECT(soma_digest_equal(&before[i], &after) || result.inserted + result.replaced + result.removed > 0);
    }
    soma_sync_close(syncs[0]);
    soma_sync_close(syncs[1]);
    return good;
}

/* True: the n-th call was not reached. */
static bool refuse(bool words, bool both, uint64_t n, bool all)
{
    struct side sides[2] = {side_new(words, 0, KEYS), side_new(words, 100, KEYS + 100)};
    asked = 0;
    first_refused = n;
    all_after = all;
    const bool good = session(sides, both);
    const bool reached = asked >= n;
    EXPECT(good || reached);
    first_refused = 0;
    all_after = false;
    EXPECT(session(sides, both));
    const struct soma_digest a = digest_of(&sides[0]);
    const struct soma_digest b = digest_of(&sides[1]);
    EXPECT(soma_digest_equal(&a, &b));
    side_free(&sides[0]);
    side_free(&sides[1]);
    verified(1);
    return !reached;
}

static void all_of(bool words, bool both)
{
    for (unsigned all = 0; all < 2; all++) {
        for (uint64_t n = 1; failures() == 0 && !refuse(words, both, n, all); n += n < 100 ? 1 : 7)
            ;
    }
}

static void words_one_way(const void *unused)
{
    (void)unused;
    all_of(true, false);
}

static void words_both_ways(const void *unused)
{
    (void)unused;
    all_of(true, true);
}

static void strings_one_way(const void *unused)
{
    (void)unused;
    all_of(false, false);
}

static void strings_both_ways(const void *unused)
{
    (void)unused;
    all_of(false, true);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"words, one way", words_one_way, NULL},
                                      {"words, both ways", words_both_ways, NULL},
                                      {"strings, one way", strings_one_way, NULL},
                                      {"strings, both ways", strings_both_ways, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
