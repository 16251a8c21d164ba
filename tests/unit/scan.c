/* SPDX-License-Identifier: ISC */
/* scan.c - scans over lists in states that last for a few instructions, and scans that stand on something while it is
 * taken away under them. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "map/scan.h"
#include "map/take.h"
#include "map/word.h"
#include "support.h"

#define KEYS 8

/* Keys with the hashes 0 to KEYS - 1, which share a bucket, and one at the end. */
static soma_u64 *words(void)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    for (uint64_t hash = 0; hash < KEYS; hash++)
        EXPECT_EQ(soma_u64_put(map, soma__mix_inverse(soma__u64_mix(map), hash), hash, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, soma__mix_inverse(soma__u64_mix(map), UINT64_MAX), KEYS, NULL), SOMA_INSERTED);
    return map;
}

static void put(soma_u64 *map, uint64_t hash, uint64_t value)
{
    EXPECT(soma_u64_put(map, soma__mix_inverse(soma__u64_mix(map), hash), value, NULL) >= 0);
}

static void remove_hash(soma_u64 *map, uint64_t hash)
{
    EXPECT_EQ(soma_u64_remove(map, soma__mix_inverse(soma__u64_mix(map), hash), NULL), SOMA_REMOVED);
}

/* The entry of a hash. Inside a section. */
static struct soma__node *node_of(struct core *core, struct soma__reader *self, uint64_t hash)
{
    const unsigned cell_log2 = core->dir.shape.cell_log2;
    struct soma__place place = {.prev = soma__dir_bucket(&core->dir, cell_log2, self, hash)};
    EXPECT_EQ(soma__dir_walk(&core->dir, cell_log2, self, hash, NULL, soma__before_hash, &place), SOMA_OK);
    struct soma__node *node = soma__edge_node(place.word);
    EXPECT_EQ(soma__hash_read(node), hash);
    return node;
}

/* Freezes the entry of a hash, as a removal that stops in the middle. */
static void freeze_only(soma_u64 *map, uint64_t hash)
{
    const struct soma__section section = soma__section_enter();
    struct soma__node *node = node_of(&map->core, section.self, hash);
    uint64_t edge = soma__edge_read(&node->edge);
    EXPECT(soma__edge_swap(&node->edge, &edge, edge | EDGE_FROZEN));
    soma__section_exit(section);
}

/* Replaces the entry of a hash `times` over, as moves that stop in the middle: all stay linked. */
static void replace_only(soma_u64 *map, uint64_t hash, uint64_t value, int times)
{
    struct core *core = &map->core;
    const struct soma__section section = soma__section_enter();
    struct soma__node *node = node_of(core, section.self, hash);
    for (; times > 0; times--) {
        uint64_t edge = soma__edge_read(&node->edge);
        struct soma__node *copy = soma__word_new(&core->dir, hash);
        soma__word_fill(&core->dir, copy, value, soma__edge_onward(edge));
        EXPECT(soma__edge_swap(&node->edge, &edge, soma__edge_to_node(copy) | EDGE_FROZEN | EDGE_REPLACED));
        node = copy;
    }
    soma__section_exit(section);
}

/* ---- Scans, a step at a time ---- */

struct steps {
    soma_u64 *map;
    struct soma__scan scan;
    struct soma__section section;
};

static struct steps begin(soma_u64 *map)
{
    struct steps steps = {.map = map, .section = soma__section_enter()};
    soma__scan_init(&steps.scan, 0, UINT64_MAX);
    soma__scan_enter(&map->core, KIND_WORDS, &steps.scan);
    return steps;
}

/* The next entry must be of this hash. */
static void step(struct steps *steps, uint64_t hash, uint64_t value)
{
    if (EXPECT(soma__scan_next(&steps->map->core, KIND_WORDS, &steps->scan, SOMA__NOW) != NULL)) {
        EXPECT_EQ(steps->scan.hash, hash);
        EXPECT_EQ(steps->scan.word, value);
        soma__scan_pass(&steps->scan, (struct soma_bytes){.data = NULL});
        verified(1);
    }
}

/* The rest must be these hashes, each its own value, and the end. */
static void finish(struct steps *steps, uint64_t first, uint64_t last)
{
    for (uint64_t hash = first; hash <= last; hash++)
        step(steps, hash, hash);
    step(steps, UINT64_MAX, KEYS);
    EXPECT(soma__scan_next(&steps->map->core, KIND_WORDS, &steps->scan, SOMA__NOW) == NULL);
    EXPECT(steps->scan.ended);
    soma__section_exit(steps->section);
    soma_u64_free(steps->map);
}

/* ---- States ---- */

/* Deleted and still linked, at the beginning, in the middle and behind one another. */
static void frozen(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    for (uint64_t i = KEYS; i > 0; i--) { /* from behind: the walk to one takes out those before it */
        if (i - 1 != 2 && i - 1 < 5)
            freeze_only(map, i - 1);
    }
    struct steps steps = begin(map);
    step(&steps, 2, 2);
    finish(&steps, 5, KEYS - 1);
}

/* Replaced, once or over and over, and all still linked; the last of them is not settled if it is at home. */
static void replaced(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    replace_only(map, 7, 77, 3);
    replace_only(map, 4, 44, 1);
    replace_only(map, 0, 100, 2);
    struct steps steps = begin(map);
    step(&steps, 0, 100);
    for (uint64_t hash = 1; hash < 4; hash++)
        step(&steps, hash, hash);
    step(&steps, 4, 44);
    step(&steps, 5, 5);
    step(&steps, 6, 6);
    step(&steps, 7, 77);
    finish(&steps, 1, 0);
}

/* Replaced, and the replacement deleted. */
static void replaced_and_frozen(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    replace_only(map, 4, 44, 1);
    const struct soma__section section = soma__section_enter();
    uint64_t edge = soma__dir_start(&map->core.dir, WORD_CELL_LOG2, 0);
    while (soma__hash_read(soma__edge_node(edge)) < 4)
        edge = soma__edge_read(&soma__edge_node(edge)->edge);
    edge = soma__edge_read(&soma__edge_node(edge)->edge);
    struct atom *copy = &soma__edge_node(edge)->edge;
    edge = soma__edge_read(copy);
    EXPECT(soma__edge_swap(copy, &edge, soma__edge_onward(edge) | EDGE_FROZEN));
    soma__section_exit(section);
    struct steps steps = begin(map);
    for (uint64_t hash = 0; hash < 4; hash++)
        step(&steps, hash, hash);
    finish(&steps, 5, KEYS - 1);
}

/* Sentinels that are not settled, or on their way out, and still linked. */
static void sentinels(const void *flags)
{
    soma_u64 *map = words();
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    put(map, UINT64_MAX, KEYS); /* sets buckets up */
    for (uint64_t hash = UINT64_MAX; hash != 0; hash <<= 1) {
        struct atom *bucket = (struct atom *)(uintptr_t)soma__dir_bucket_hint(&map->core.dir, WORD_CELL_LOG2, hash);
        uint64_t word = soma__edge_read(bucket);
        if (soma__edge_starts(word) && soma__dir_bucket_index(&map->core.dir, bucket) != 0)
            EXPECT(soma__edge_swap(bucket, &word, word | *(const uint64_t *)flags));
    }
    struct steps steps = begin(map);
    finish(&steps, 0, KEYS - 1);
}

/* ---- Under a scan ---- */

/* What it stands in front of is removed, and one of them comes back: the rest is there, and nothing twice. */
static void removed_ahead(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    struct steps steps = begin(map);
    step(&steps, 0, 0);
    remove_hash(map, 1);
    remove_hash(map, 2);
    remove_hash(map, 3);
    put(map, 1, 1); /* before the place where the scan left the list */
    finish(&steps, 4, KEYS - 1);
}

/* What was given is replaced or removed behind it and put again. */
static void changed_behind(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    struct steps steps = begin(map);
    step(&steps, 0, 0);
    step(&steps, 1, 1);
    step(&steps, 2, 2);
    replace_only(map, 2, 22, 2);
    remove_hash(map, 1);
    put(map, 1, 11);
    finish(&steps, 3, KEYS - 1);
}

/* What comes next is replaced, and its replacement too, and all are taken out. */
static void replaced_ahead(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    struct steps steps = begin(map);
    step(&steps, 0, 0);
    replace_only(map, 1, 10, 1);
    replace_only(map, 1, 11, 2);
    put(map, 3, 3);
    step(&steps, 1, 11);
    finish(&steps, 2, KEYS - 1);
}

/* Growth and shrinking between two sections. */
static void table_changes(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    struct steps steps = begin(map);
    for (uint64_t hash = 0; hash < 3; hash++)
        step(&steps, hash, hash);
    soma__section_exit(steps.section);
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    put(map, 3, 3);
    steps.section = soma__section_enter();
    soma__scan_enter(&map->core, KIND_WORDS, &steps.scan);
    step(&steps, 3, 3);
    soma__section_exit(steps.section);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    steps.section = soma__section_enter();
    soma__scan_enter(&map->core, KIND_WORDS, &steps.scan);
    finish(&steps, 4, KEYS - 1);
}

/* ---- Sections that are long enough ---- */

/* A table without entries is gone through in stretches, and the position moves on. */
static void stretches(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.reserve = 100000}, &map), SOMA_OK);
    for (uint64_t key = 0; key < 50000; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    struct soma__scan scan;
    uint64_t before = 0;
    unsigned sections = 0;
    for (soma__scan_init(&scan, 0, UINT64_MAX); !scan.ended; sections++) {
        const struct soma__section section = soma__section_enter();
        soma__scan_enter(&map->core, KIND_WORDS, &scan);
        EXPECT(soma__scan_next(&map->core, KIND_WORDS, &scan, SOMA__NOW) == NULL);
        soma__section_exit(section);
        EXPECT(scan.ended || scan.from > before);
        before = scan.from;
    }
    EXPECT(sections > 10);
    soma_u64_free(map);
    verified(sections);
}

/* ---- Keys with equal hashes ---- */

/* A byte map with so many keys, which have few hashes. */
static soma_map *colliding(uint64_t keys, uint64_t mask, size_t value_len)
{
    soma_map *map = NULL;
    unsigned char *value = need(value_len + 1, 1);
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    soma__map_hash_mask(map, mask);
    for (uint64_t key = 0; key < keys; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, value, value_len, NULL), SOMA_INSERTED);
    free(value);
    return map;
}

static uint64_t hash_of(const soma_map *map, struct soma_bytes key)
{
    return soma__siphash13(map->core.hash.sip.key, key.data, key.len) & map->core.hash.sip.mask;
}

/* A token lies behind the entry, or before its hash if the next one has the same; wherever batches end. */
static void tokens(const void *keys)
{
    soma_map *map = colliding(*(const uint64_t *)keys, UINT64_C(0xff) << 50, 3);
    soma_cursor *cursor = NULL;
    struct soma_bytes key;
    EXPECT_EQ(soma_cursor_open_map(map, &cursor), SOMA_OK);
    EXPECT_EQ(soma_cursor_next_ref(cursor, &key, NULL), SOMA_OK);
    for (bool more = true; more; verified(1)) {
        const uint64_t hash = hash_of(map, key);
        const uint64_t token = soma_cursor_token(cursor);
        more = soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK;
        EXPECT_EQ(token, more && hash_of(map, key) == hash ? hash : hash + 1);
    }
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* Entries with one hash, each so large that there is no room for it: the key to go on behind comes along. */
static void key_comes_along(const void *unused)
{
    (void)unused;
    soma_map *map = colliding(0, 0, 0);
    soma_cursor *cursor = NULL;
    struct soma_bytes key;
    struct soma_bytes value;
    unsigned char *large = need(1 << 20, 1);
    unsigned char name[8] = {0};
    for (size_t len = 1; len <= 1 << 20; len *= 4) {
        name[0]++; /* in the order of the keys */
        EXPECT_EQ(soma_map_put(map, name, sizeof name, large, len, NULL), SOMA_INSERTED);
    }
    EXPECT_EQ(soma_cursor_open_map(map, &cursor), SOMA_OK);
    name[0] = 0;
    while (soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK) {
        EXPECT_EQ(((const unsigned char *)key.data)[0], ++name[0]);
        EXPECT_EQ(value.len, (size_t)1 << (2 * (name[0] - 1)));
    }
    EXPECT_EQ(name[0], 11);
    soma_cursor_close(cursor);
    soma_map_free(map);
    free(large);
    verified(name[0]);
}

/* Behind the highest hash there is no place: not the beginning, at any rate. */
static void word_tokens(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    soma_cursor *cursor = NULL;
    EXPECT_EQ(soma_cursor_open_u64(map, &cursor), SOMA_OK);
    for (uint64_t hash = 0; hash < KEYS; hash++) {
        EXPECT_EQ(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
        EXPECT_EQ(soma_cursor_token(cursor), hash + 1);
    }
    EXPECT_EQ(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_OK);
    EXPECT(soma_cursor_token(cursor) == UINT64_MAX);
    EXPECT_EQ(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_END);
    EXPECT(soma_cursor_token(cursor) == UINT64_MAX);
    soma_cursor_close(cursor);
    soma_u64_free(map);
    verified(KEYS);
}

/* A copy has room for all at once, but does not insist on it, unless it was told to. */
static void copy_keeps_room(const void *unused)
{
    (void)unused;
    soma_u64 *map = words();
    soma_view *view = NULL;
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    for (int asked = 0; asked < 2; asked++) {
        soma_u64 *copy = NULL;
        const struct soma_u64_options options = {.reserve = asked ? 100000 : 0};
        EXPECT_EQ(soma_u64_copy(view, &options, NULL, NULL, &copy), SOMA_OK);
        EXPECT_EQ(copy->core.dir.floor_log2.word > 0, asked);
        soma_u64_free(copy);
        verified(1);
    }
    soma_view_close(view);
    soma_u64_free(map);
}

/* A cursor over entries of one hash has fetched the empty key, which comes first, and has no room for what comes next. */
static void empty_key(const void *unused)
{
    (void)unused;
    static const char zeros[100000];
    soma_map *map = NULL;
    soma_cursor *cursor = NULL;
    struct soma_bytes key;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    soma__map_hash_mask(map, 0);
    EXPECT_EQ(soma_map_put(map, "", 0, "v", 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_put(map, "long", 4, zeros, sizeof zeros, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_cursor_open_map(map, &cursor), SOMA_OK);
    EXPECT(soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK && key.len == 0);
    EXPECT(soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK && key.len == 4);
    EXPECT_EQ(soma_cursor_next_ref(cursor, &key, NULL), SOMA_END);
    soma_cursor_close(cursor);
    soma_map_free(map);
    verified(3);
}

/* ---- Taking ---- */

static enum soma_status keep_hash_3(uint64_t key, uint64_t value, void *ctx)
{
    (void)key;
    ++*(unsigned *)ctx;
    return value == 3 ? SOMA_EXISTS : SOMA_REMOVED;
}

/* Places are hashes: from one on, to behind one, and to the last of all. */
static void take_places(const void *arg)
{
    (void)arg;
    soma_u64 *map = words();
    uint64_t values[KEYS];
    uint64_t place = 2;
    size_t taken = 0;
    unsigned asked = 0;
    EXPECT_EQ(soma_u64_take(map, &place, 2, keep_hash_3, &asked, NULL, values, &taken), SOMA_OK);
    EXPECT(taken == 2 && asked == 3 && values[0] == 2 && values[1] == 4);
    EXPECT_EQ(place, 5);
    EXPECT_EQ(soma_u64_take(map, &place, 3, keep_hash_3, &asked, NULL, values, &taken), SOMA_OK);
    EXPECT(taken == 3 && values[0] == 5 && values[2] == 7);
    EXPECT_EQ(place, 8);
    EXPECT_EQ(soma_u64_take(map, &place, 1, keep_hash_3, &asked, NULL, values, &taken), SOMA_END);
    EXPECT(taken == 1 && values[0] == KEYS && place == 0); /* the last hash */
    EXPECT_EQ(soma_u64_take(map, &place, KEYS, keep_hash_3, &asked, NULL, values, &taken), SOMA_END);
    EXPECT(taken == 2 && values[0] == 0 && values[1] == 1 && place == 0);
    EXPECT_EQ(soma_u64_count_approx(map), 1);
    soma_u64_free(map);
    verified(1);
}

/* Many keys of one hash, more than a section looks at, some of which stay. */
#define ALIKE (3 * TAKE_ENTRIES)

static enum soma_status keep_thirds(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    uint64_t number = 0;
    EXPECT_EQ(key_len, sizeof number);
    memcpy(&number, key, key_len);
    EXPECT_EQ(value.len, 2);
    ++*(unsigned *)ctx;
    return number % 3 ? SOMA_REMOVED : SOMA_EXISTS;
}

static soma_map *alike(uint64_t mask)
{
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    soma__map_hash_mask(map, mask);
    for (uint64_t key = 0; key < ALIKE; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, "ab", 2, NULL), SOMA_INSERTED);
    return map;
}

static void take_alike(const void *arg)
{
    const uint64_t mask = *(const uint64_t *)arg;
    soma_map *map = alike(mask);
    uint64_t place = 0;
    size_t taken = 0;
    unsigned asked = 0;
    EXPECT_EQ(soma_map_take(map, &place, ALIKE, keep_thirds, &asked, NULL, NULL, &taken), SOMA_END);
    EXPECT(taken == ALIKE - ALIKE / 3 && asked == ALIKE);
    EXPECT_EQ(soma_map_count_approx(map), ALIKE / 3);
    soma_map_free(map);
    map = alike(mask);
    size_t total = 0;
    for (unsigned calls = 0; calls <= ALIKE; calls++) { /* a few at a time */
        const enum soma_status status = soma_map_take(map, &place, 5, keep_thirds, &asked, NULL, NULL, &taken);
        total += taken;
        if (status == SOMA_END)
            break;
        EXPECT(status == SOMA_OK && taken == 5);
    }
    EXPECT_EQ(total, ALIKE - ALIKE / 3);
    soma_map_free(map);
    verified(1);
}

int main(int argc, char **argv)
{
    static const uint64_t frozen_flag = EDGE_FROZEN;
    static const uint64_t tentative_flag = EDGE_TENTATIVE;
    const struct test_case cases[] = {
        {"frozen", frozen, NULL},
        {"replaced", replaced, NULL},
        {"replaced-and-frozen", replaced_and_frozen, NULL},
        {"frozen-sentinels", sentinels, &frozen_flag},
        {"tentative-sentinels", sentinels, &tentative_flag},
        {"removed-ahead", removed_ahead, NULL},
        {"changed-behind", changed_behind, NULL},
        {"replaced-ahead", replaced_ahead, NULL},
        {"table-changes", table_changes, NULL},
        {"stretches", stretches, NULL},
        {"empty-key", empty_key, NULL},
        {"tokens-alone", tokens, &(const uint64_t){100}},
        {"tokens-in-pairs", tokens, &(const uint64_t){400}},
        {"tokens-in-crowds", tokens, &(const uint64_t){20000}},
        {"key-comes-along", key_comes_along, NULL},
        {"word-tokens", word_tokens, NULL},
        {"copy-keeps-room", copy_keeps_room, NULL},
        {"take-places", take_places, NULL},
        {"take-alike", take_alike, &(const uint64_t){0}},
        {"take-neighbours", take_alike, &(const uint64_t){1}},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
