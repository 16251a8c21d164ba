/* SPDX-License-Identifier: ISC */
/* diff.c - differences of views, call by call: every status, what is told of words and of byte strings, of one map, of
 * maps with one seed and of maps with two; ranges of digests and of cursors. */
#include <criterion/criterion.h>

#include <string.h>

#include <soma/soma.h>

#define KEYS 1000

/* ---- What was told ---- */

struct told {
    enum soma_status what[KEYS]; /* by key */
    uint64_t before[KEYS];
    uint64_t after[KEYS];
    unsigned count;
    unsigned end_at; /* 0: go on for ever */
};

static uint64_t word_of(struct soma_bytes bytes)
{
    uint64_t word = 0;
    if (bytes.len > 0)
        memcpy(&word, bytes.data, bytes.len < sizeof word ? bytes.len : sizeof word);
    return word;
}

static enum soma_status on_difference(const struct soma_difference *difference, void *ctx)
{
    struct told *told = ctx;
    const uint64_t key = word_of(difference->key);
    cr_assert_lt(key, KEYS);
    cr_assert_eq(told->what[key], SOMA_OK, "told twice");
    told->what[key] = difference->what;
    told->before[key] = word_of(difference->before);
    told->after[key] = word_of(difference->after);
    return ++told->count == told->end_at ? SOMA_END : SOMA_OK;
}

static enum soma_status on_word_difference(const struct soma_difference *difference, void *ctx)
{
    cr_assert_eq(difference->word.key, word_of(difference->key));
    cr_assert_eq(difference->word.before, word_of(difference->before));
    cr_assert_eq(difference->word.after, word_of(difference->after));
    return on_difference(difference, ctx);
}

/* ---- Both kinds of map ---- */

struct both {
    soma_u64 *words;
    soma_map *bytes;
};

static struct both open_with(uint64_t seed, unsigned flags, uint64_t digest_key)
{
    const struct soma_u64_options of_words = {.seed = {seed, seed}, .flags = flags, .digest_key = {1, digest_key}};
    const struct soma_map_options of_bytes = {.seed = {seed, seed}, .flags = flags, .digest_key = {1, digest_key}};
    struct both maps = {NULL, NULL};
    cr_assert_eq(soma_u64_new(&of_words, &maps.words), SOMA_OK);
    cr_assert_eq(soma_map_new(&of_bytes, &maps.bytes), SOMA_OK);
    return maps;
}

static struct both open_both(uint64_t seed)
{
    return open_with(seed, SOMA_DIGEST, 2);
}

static void close_both(struct both maps)
{
    soma_u64_free(maps.words);
    soma_map_free(maps.bytes);
}

static void put(struct both maps, uint64_t key, uint64_t value)
{
    soma_u64_put(maps.words, key, value, NULL);
    soma_map_put(maps.bytes, &key, sizeof key, &value, sizeof value, NULL);
}

static void take(struct both maps, uint64_t key)
{
    soma_u64_remove(maps.words, key, NULL);
    soma_map_remove(maps.bytes, &key, sizeof key, NULL);
}

static void fill(struct both maps)
{
    for (uint64_t key = 0; key < KEYS; key += 2)
        put(maps, key, key + 1);
}

/* Changes that every comparison below has to find. */
static void change(struct both maps)
{
    put(maps, 4, 99);
    take(maps, 8);
    put(maps, 11, 12);
    take(maps, 12);
    put(maps, 12, 13); /* as it was */
}

static void must_tell_changes(const struct told *told)
{
    cr_assert_eq(told->count, 3);
    cr_assert_eq(told->what[4], SOMA_REPLACED);
    cr_assert_eq(told->before[4], 5);
    cr_assert_eq(told->after[4], 99);
    cr_assert_eq(told->what[8], SOMA_REMOVED);
    cr_assert_eq(told->before[8], 9);
    cr_assert_eq(told->after[8], 0);
    cr_assert_eq(told->what[11], SOMA_INSERTED);
    cr_assert_eq(told->before[11], 0);
    cr_assert_eq(told->after[11], 12);
}

struct views {
    soma_view *words;
    soma_view *bytes;
};

static struct views view_both(struct both maps)
{
    struct views views = {NULL, NULL};
    cr_assert_eq(soma_u64_view_open(maps.words, &views.words), SOMA_OK);
    cr_assert_eq(soma_map_view_open(maps.bytes, &views.bytes), SOMA_OK);
    return views;
}

static void close_views(struct views views)
{
    soma_view_close(views.words);
    soma_view_close(views.bytes);
}

static void must_differ(struct views a, struct views b)
{
    struct told of_words = {.count = 0};
    struct told of_bytes = {.count = 0};
    cr_assert_eq(soma_diff_views(a.words, b.words, on_word_difference, &of_words), SOMA_OK);
    cr_assert_eq(soma_diff_views(a.bytes, b.bytes, on_difference, &of_bytes), SOMA_OK);
    must_tell_changes(&of_words);
    must_tell_changes(&of_bytes);
}

Test(diff, one_map_at_two_instants)
{
    const struct both maps = open_both(0);
    fill(maps);
    const struct views before = view_both(maps);
    change(maps);
    const struct views after = view_both(maps);
    must_differ(before, after);
    close_views(before);
    close_views(after);
    close_both(maps);
}

static void two_maps(struct both a, struct both b)
{
    fill(a);
    fill(b);
    change(b);
    const struct views of_a = view_both(a);
    const struct views of_b = view_both(b);
    must_differ(of_a, of_b);
    close_views(of_a);
    close_views(of_b);
    close_both(a);
    close_both(b);
}

Test(diff, two_maps_with_one_seed)
{
    two_maps(open_both(7), open_both(7));
}

Test(diff, two_maps_with_two_seeds)
{
    two_maps(open_both(7), open_both(8));
}

Test(diff, two_maps_of_which_one_has_a_digest)
{
    two_maps(open_both(7), open_with(7, 0, 0));
    two_maps(open_with(7, 0, 0), open_both(7));
}

Test(diff, two_maps_with_two_digest_keys)
{
    two_maps(open_both(7), open_with(7, SOMA_DIGEST, 3));
}

Test(diff, values_of_any_length)
{
    const struct both a = open_both(1);
    const struct both b = open_both(2);
    const uint64_t key = 5;
    static const char text[] = "a value that has more than eight bytes and so does not live beside the edge";
    soma_map_put(a.bytes, &key, sizeof key, text, sizeof text, NULL);
    soma_map_put(b.bytes, &key, sizeof key, text, sizeof text - 1, NULL);
    struct told told = {.count = 0};
    const struct views of_a = view_both(a);
    const struct views of_b = view_both(b);
    cr_assert_eq(soma_diff_views(of_a.bytes, of_b.bytes, on_difference, &told), SOMA_OK);
    cr_assert_eq(told.count, 1);
    cr_assert_eq(told.what[5], SOMA_REPLACED);
    cr_assert_eq(soma_diff_views(of_a.bytes, of_a.bytes, on_difference, &told), SOMA_OK);
    cr_assert_eq(told.count, 1, "nothing differs from itself");
    close_views(of_a);
    close_views(of_b);
    close_both(a);
    close_both(b);
}

/* ---- Statuses ---- */

Test(diff, ends_when_told)
{
    const struct both a = open_both(3);
    const struct both b = open_both(3);
    const struct both c = open_both(4);
    fill(a);
    const struct views of_a = view_both(a);
    const struct views of_b = view_both(b);
    const struct views of_c = view_both(c);
    const soma_view *const pairs[][2] = {
        {of_a.words, of_b.words}, {of_b.bytes, of_a.bytes}, {of_a.bytes, of_c.bytes}, {of_c.words, of_a.words}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct told told = {.end_at = 5};
        cr_assert_eq(soma_diff_views(pairs[i][0], pairs[i][1], on_difference, &told), SOMA_END);
        cr_assert_eq(told.count, 5);
    }
    close_views(of_a);
    close_views(of_b);
    close_views(of_c);
    close_both(a);
    close_both(b);
    close_both(c);
}

Test(diff, invalid)
{
    const struct both maps = open_both(0);
    const struct views views = view_both(maps);
    struct told told = {.count = 0};
    cr_assert_eq(soma_diff_views(NULL, views.words, on_difference, &told), SOMA_E_INVALID);
    cr_assert_eq(soma_diff_views(views.words, NULL, on_difference, &told), SOMA_E_INVALID);
    cr_assert_eq(soma_diff_views(views.words, views.words, NULL, &told), SOMA_E_INVALID);
    cr_assert_eq(soma_diff_views(views.words, views.bytes, on_difference, &told), SOMA_E_INVALID);
    close_views(views);
    close_both(maps);
}

/* ---- Ranges ---- */

static void ranges_must_add_up(const soma_view *view, unsigned bits)
{
    struct soma_digest sum = {.count = 0};
    struct soma_digest whole;
    for (uint64_t prefix = 0; prefix >> bits == 0; prefix++) {
        struct soma_digest part;
        soma_cursor *cursor = NULL;
        uint64_t count = 0;
        cr_assert_eq(soma_view_range_digest(view, bits, prefix, &part), SOMA_OK);
        cr_assert_eq(soma_cursor_open_view(view, &cursor), SOMA_OK);
        cr_assert_eq(soma_cursor_range(cursor, bits, prefix), SOMA_OK);
        while (soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK ||
               soma_cursor_next_ref(cursor, NULL, NULL) == SOMA_OK)
            count++;
        soma_cursor_close(cursor);
        cr_assert_eq(part.count, count);
        sum = soma_digest_combine(&sum, &part);
    }
    cr_assert_eq(soma_view_digest(view, &whole), SOMA_OK);
    cr_assert_eq(whole.count, KEYS / 2);
    cr_assert(soma_digest_equal(&whole, &sum));
}

Test(diff, ranges)
{
    const struct both maps = open_both(0);
    fill(maps);
    const struct views views = view_both(maps);
    for (unsigned bits = 0; bits < 12; bits++) {
        ranges_must_add_up(views.words, bits);
        ranges_must_add_up(views.bytes, bits);
    }
    struct soma_digest one;
    cr_assert_eq(soma_view_range_digest(views.words, 64, UINT64_MAX, &one), SOMA_OK);
    cr_assert_eq(soma_view_range_digest(views.words, 65, 0, &one), SOMA_E_INVALID);
    cr_assert_eq(soma_view_range_digest(views.words, 3, 8, &one), SOMA_E_INVALID);
    cr_assert_eq(soma_view_range_digest(NULL, 0, 0, &one), SOMA_E_INVALID);
    cr_assert_eq(soma_view_range_digest(views.words, 0, 0, NULL), SOMA_E_INVALID);
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_view(views.words, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_range(cursor, 65, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_range(cursor, 0, 1), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    cr_assert_eq(soma_cursor_open_sorted(views.words, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_range(cursor, 0, 0), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    close_views(views);
    close_both(maps);
}

Test(diff, ranges_need_digests)
{
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    struct soma_digest digest;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    cr_assert_eq(soma_view_range_digest(view, 0, 0, &digest), SOMA_E_UNSUPPORTED);
    soma_view_close(view);
    soma_u64_free(map);
}
