/* SPDX-License-Identifier: ISC */
/* view.c - views, call by call: every status of every function, what each verb leaves for a view to see, and what becomes
 * of values that are kept for one. SOMA_E_NOMEM is reached in fault/. */
#include <criterion/criterion.h>

#include <stdbool.h>
#include <string.h>

#include <soma/soma.h>

#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)
#define MANY 1000

/* ---- Both kinds of map, with words as keys and values ---- */

/* Values that have been retired: how many, and their sum. */
static uint64_t retired_count;
static uint64_t retired_sum;

static void on_word(uint64_t value, void *ctx)
{
    (void)ctx;
    retired_count++;
    retired_sum += value;
}

static void on_bytes(const void *value, size_t len, void *ctx)
{
    uint64_t word = 0;
    memcpy(&word, value, len < sizeof word ? len : sizeof word);
    on_word(word, ctx);
}

struct both {
    soma_u64 *words;
    soma_map *bytes;
};

static struct both open_both(void)
{
    const struct soma_u64_options of_words = {.value_retire = on_word};
    const struct soma_map_options of_bytes = {.value_retire = on_bytes};
    struct both maps = {NULL, NULL};
    cr_assert_eq(soma_u64_new(&of_words, &maps.words), SOMA_OK);
    cr_assert_eq(soma_map_new(&of_bytes, &maps.bytes), SOMA_OK);
    retired_count = 0;
    retired_sum = 0;
    return maps;
}

static void close_both(struct both maps)
{
    soma_u64_free(maps.words);
    soma_map_free(maps.bytes);
    soma_barrier_wait();
}

struct views {
    soma_view *words;
    soma_view *bytes;
};

static struct views look(struct both maps)
{
    struct views views = {NULL, NULL};
    cr_assert_eq(soma_u64_view_open(maps.words, &views.words), SOMA_OK);
    cr_assert_eq(soma_map_view_open(maps.bytes, &views.bytes), SOMA_OK);
    cr_assert(views.words && views.bytes);
    return views;
}

static void look_away(struct views views)
{
    soma_view_close(views.words);
    soma_view_close(views.bytes);
}

/* Values of byte maps are 8 bytes long, which stand beside the link, or 24, which do not, as the key is even or odd. */
struct text {
    uint64_t words[3];
    size_t len;
};

static struct text text_of(uint64_t key, uint64_t value)
{
    return (struct text){{value, ~value, value}, key % 2 ? 24 : 8};
}

static void put(struct both maps, uint64_t key, uint64_t value, enum soma_status want)
{
    const struct text text = text_of(key, value);
    cr_assert_eq(soma_u64_put(maps.words, key, value, NULL), want);
    cr_assert_eq(soma_map_put(maps.bytes, &key, sizeof key, text.words, text.len, NULL), want);
}

static void take(struct both maps, uint64_t key)
{
    cr_assert_eq(soma_u64_remove(maps.words, key, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_map_remove(maps.bytes, &key, sizeof key, NULL), SOMA_REMOVED);
}

static uint64_t walk_words(soma_view *view)
{
    soma_cursor *cursor = NULL;
    uint64_t key;
    uint64_t value;
    uint64_t n = 0;
    cr_assert_eq(soma_cursor_open_view(view, &cursor), SOMA_OK);
    for (; soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK; n++) {
        uint64_t seen = UNTOUCHED;
        cr_assert_eq(soma_view_get_u64(view, key, &seen), SOMA_OK);
        cr_assert_eq(seen, value);
    }
    cr_assert_eq(soma_cursor_next_u64(cursor, &key, &value), SOMA_END);
    soma_cursor_close(cursor);
    return n;
}

static uint64_t walk_bytes(soma_view *view)
{
    soma_cursor *cursor = NULL;
    struct soma_bytes key;
    struct soma_bytes value;
    uint64_t n = 0;
    cr_assert_eq(soma_cursor_open_view(view, &cursor), SOMA_OK);
    for (; soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK; n++) {
        struct text seen;
        cr_assert_eq(soma_view_get_copy(view, key.data, key.len, seen.words, sizeof seen.words, &seen.len), SOMA_OK);
        cr_assert(seen.len == value.len && memcmp(seen.words, value.data, value.len) == 0);
    }
    cr_assert_eq(soma_cursor_next_ref(cursor, &key, &value), SOMA_END);
    soma_cursor_close(cursor);
    return n;
}

static void has(struct views views, uint64_t key, uint64_t value)
{
    const struct text want = text_of(key, value);
    struct text text = {.len = 0};
    uint64_t word = UNTOUCHED;
    cr_assert_eq(soma_view_get_u64(views.words, key, &word), SOMA_OK);
    cr_assert_eq(word, value);
    cr_assert_eq(soma_view_get_copy(views.bytes, &key, sizeof key, text.words, sizeof text.words, &text.len), SOMA_OK);
    cr_assert(text.len == want.len && memcmp(text.words, want.words, want.len) == 0);
}

static void lacks(struct views views, uint64_t key)
{
    size_t len = MANY;
    uint64_t word = UNTOUCHED;
    cr_assert_eq(soma_view_get_u64(views.words, key, &word), SOMA_ABSENT);
    cr_assert_eq(soma_view_get_copy(views.bytes, &key, sizeof key, &word, sizeof word, &len), SOMA_ABSENT);
    cr_assert(word == UNTOUCHED && len == MANY, "written on SOMA_OK only");
}

/* Counted before it is walked, and after. */
static void counts(struct views views, uint64_t n)
{
    for (int twice = 0; twice < 2; twice++) {
        cr_assert_eq(soma_view_count(views.words), n);
        cr_assert_eq(soma_view_count(views.bytes), n);
        cr_assert_eq(walk_words(views.words), n);
        cr_assert_eq(walk_bytes(views.bytes), n);
    }
}

/* ---- Arguments ---- */

Test(view, opening_wants_both)
{
    struct both maps = open_both();
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_view_open(NULL, &view), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_view_open(maps.words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_view_open(NULL, &view), SOMA_E_INVALID);
    cr_assert_eq(soma_map_view_open(maps.bytes, NULL), SOMA_E_INVALID);
    cr_assert_null(view, "written on SOMA_OK only");
    soma_view_close(NULL);
    close_both(maps);
}

Test(view, null_is_invalid)
{
    soma_cursor *cursor = NULL;
    uint64_t word = UNTOUCHED;
    size_t len = MANY;
    cr_assert_eq(soma_view_get_u64(NULL, 1, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_view_get_copy(NULL, "k", 1, &word, sizeof word, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_view_count(NULL), 0);
    cr_assert_eq(soma_cursor_open_view(NULL, &cursor), SOMA_E_INVALID);
    cr_assert(word == UNTOUCHED && len == MANY && !cursor);
}

Test(view, the_other_kind_is_invalid)
{
    struct both maps = open_both();
    struct views views = look(maps);
    uint64_t word = UNTOUCHED;
    cr_assert_eq(soma_view_get_u64(views.bytes, 1, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_view_get_copy(views.words, "k", 1, &word, sizeof word, NULL), SOMA_E_INVALID);
    cr_assert_eq(word, UNTOUCHED);
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_cursor_open_view(views.words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_cursor_open_view(views.words, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    cr_assert_eq(soma_cursor_open_view(views.bytes, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_u64(cursor, NULL, NULL), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    look_away(views);
    close_both(maps);
}

Test(view, bytes_want_their_pointers)
{
    struct both maps = open_both();
    char buf[16];
    size_t len = MANY;
    cr_assert_eq(soma_map_put(maps.bytes, NULL, 0, "value", 5, NULL), SOMA_INSERTED);
    struct views views = look(maps);
    cr_assert_eq(soma_view_get_copy(views.bytes, NULL, 1, buf, sizeof buf, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_view_get_copy(views.bytes, "k", (size_t)SOMA_LEN_MAX + 1, buf, sizeof buf, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_view_get_copy(views.bytes, NULL, 0, NULL, 1, &len), SOMA_E_INVALID);
    cr_assert_eq(len, MANY);
    cr_assert_eq(soma_view_get_copy(views.bytes, NULL, 0, NULL, 0, &len), SOMA_OK);
    cr_assert_eq(len, 5, "the full length");
    memset(buf, 'x', sizeof buf);
    cr_assert_eq(soma_view_get_copy(views.bytes, NULL, 0, buf, 3, NULL), SOMA_OK);
    cr_assert(memcmp(buf, "valx", 4) == 0);
    cr_assert_eq(soma_view_get_u64(views.words, 1, NULL), SOMA_ABSENT);
    look_away(views);
    close_both(maps);
}

/* The first view waits for a grace period, so it cannot be opened inside a section; others can. */
Test(view, opens_inside_a_section_only_if_another_is_open)
{
    struct both maps = open_both();
    soma_view *first = NULL;
    soma_view *second = NULL;
    put(maps, 1, 10, SOMA_INSERTED);
    soma_read_enter();
    cr_assert_eq(soma_u64_view_open(maps.words, &first), SOMA_E_INVALID);
    cr_assert_eq(soma_map_view_open(maps.bytes, &first), SOMA_E_INVALID);
    cr_assert_null(first);
    soma_read_exit();
    put(maps, 1, 11, SOMA_REPLACED);
    cr_assert_eq(soma_u64_view_open(maps.words, &first), SOMA_OK);
    soma_read_enter();
    cr_assert_eq(soma_u64_view_open(maps.words, &second), SOMA_OK);
    cr_assert_eq(soma_u64_put(maps.words, 1, 12, NULL), SOMA_REPLACED);
    uint64_t value;
    cr_assert_eq(soma_view_get_u64(second, 1, &value), SOMA_OK);
    cr_assert_eq(value, 11);
    soma_view_close(second);
    soma_view_close(first);
    cr_assert_eq(soma_u64_view_open(maps.words, &first), SOMA_E_INVALID, "closed again");
    soma_read_exit();
    close_both(maps);
}

/* ---- What a view sees ---- */

Test(view, of_empty_maps)
{
    struct both maps = open_both();
    struct views views = look(maps);
    lacks(views, 0);
    counts(views, 0);
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, key, SOMA_INSERTED);
    for (uint64_t key = 0; key < MANY; key++)
        lacks(views, key);
    counts(views, 0);
    look_away(views);
    close_both(maps);
}

Test(view, of_a_map_that_rests)
{
    struct both maps = open_both();
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, 3 * key, SOMA_INSERTED);
    struct views views = look(maps);
    for (uint64_t key = 0; key < MANY; key++)
        has(views, key, 3 * key);
    lacks(views, MANY);
    counts(views, MANY);
    look_away(views);
    close_both(maps);
}

static enum soma_status to_seven(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = 7;
    return *(const enum soma_status *)ctx;
}

static enum soma_status to_sevens(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    static const uint64_t seven = 7;
    (void)key, (void)key_len, (void)present;
    *value = (struct soma_bytes){&seven, sizeof seven};
    return *(const enum soma_status *)ctx;
}

/* Each verb, on both kinds of map, on a key whose value, if it is there, is 5, a word, that it makes 7 if it can. */
static enum soma_status do_put(struct both maps, uint64_t key)
{
    const uint64_t value = 7;
    const enum soma_status status = soma_u64_put(maps.words, key, value, NULL);
    cr_assert_eq(soma_map_put(maps.bytes, &key, sizeof key, &value, sizeof value, NULL), status);
    return status;
}

static enum soma_status do_put_new(struct both maps, uint64_t key)
{
    const uint64_t value = 7;
    const enum soma_status status = soma_u64_put_new(maps.words, key, value, NULL);
    cr_assert_eq(soma_map_put_new(maps.bytes, &key, sizeof key, &value, sizeof value, NULL), status);
    return status;
}

static enum soma_status do_replace(struct both maps, uint64_t key)
{
    const uint64_t value = 7;
    const enum soma_status status = soma_u64_replace(maps.words, key, value, NULL);
    cr_assert_eq(soma_map_replace(maps.bytes, &key, sizeof key, &value, sizeof value, NULL), status);
    return status;
}

static enum soma_status do_cas(struct both maps, uint64_t key)
{
    const uint64_t five = 5;
    const uint64_t value = 7;
    const enum soma_status status = soma_u64_cas(maps.words, key, five, value, NULL);
    cr_assert_eq(soma_map_cas(maps.bytes, &key, sizeof key, &five, sizeof five, &value, sizeof value, NULL), status);
    return status;
}

static enum soma_status do_cas_changed(struct both maps, uint64_t key)
{
    const uint64_t six = 6;
    const uint64_t value = 7;
    const enum soma_status status = soma_u64_cas(maps.words, key, six, value, NULL);
    cr_assert_eq(soma_map_cas(maps.bytes, &key, sizeof key, &six, sizeof six, &value, sizeof value, NULL), status);
    return status;
}

static enum soma_status do_remove(struct both maps, uint64_t key)
{
    const enum soma_status status = soma_u64_remove(maps.words, key, NULL);
    cr_assert_eq(soma_map_remove(maps.bytes, &key, sizeof key, NULL), status);
    return status;
}

static enum soma_status do_remove_if(struct both maps, uint64_t key)
{
    const uint64_t five = 5;
    const enum soma_status status = soma_u64_remove_if(maps.words, key, five, NULL);
    cr_assert_eq(soma_map_remove_if(maps.bytes, &key, sizeof key, &five, sizeof five, NULL), status);
    return status;
}

static enum soma_status do_remove_if_changed(struct both maps, uint64_t key)
{
    const uint64_t six = 6;
    const enum soma_status status = soma_u64_remove_if(maps.words, key, six, NULL);
    cr_assert_eq(soma_map_remove_if(maps.bytes, &key, sizeof key, &six, sizeof six, NULL), status);
    return status;
}

static enum soma_status do_fetch_add(struct both maps, uint64_t key)
{
    const enum soma_status status = soma_u64_fetch_add(maps.words, key, 2, NULL);
    cr_assert_eq(soma_map_fetch_add(maps.bytes, &key, sizeof key, 2, NULL), status);
    return status;
}

static enum soma_status update_as(struct both maps, uint64_t key, enum soma_status answer)
{
    const enum soma_status status = soma_u64_update(maps.words, key, to_seven, &answer);
    cr_assert_eq(soma_map_update(maps.bytes, &key, sizeof key, to_sevens, &answer), status);
    return status;
}

static enum soma_status do_update(struct both maps, uint64_t key)
{
    return update_as(maps, key, SOMA_OK);
}

static enum soma_status do_update_remove(struct both maps, uint64_t key)
{
    return update_as(maps, key, SOMA_REMOVED);
}

static enum soma_status do_update_leave(struct both maps, uint64_t key)
{
    return update_as(maps, key, SOMA_EXISTS);
}

static enum soma_status do_put_many(struct both maps, uint64_t key)
{
    const uint64_t value = 7;
    const struct soma_bytes key_bytes = {&key, sizeof key};
    const struct soma_bytes value_bytes = {&value, sizeof value};
    cr_assert_eq(soma_u64_put_many(maps.words, &key, &value, 1, NULL), SOMA_OK);
    cr_assert_eq(soma_map_put_many(maps.bytes, &key_bytes, &value_bytes, 1, NULL), SOMA_OK);
    return SOMA_OK;
}

static enum soma_status do_remove_many(struct both maps, uint64_t key)
{
    const struct soma_bytes key_bytes = {&key, sizeof key};
    cr_assert_eq(soma_u64_remove_many(maps.words, &key, 1, NULL, NULL, NULL), SOMA_OK);
    cr_assert_eq(soma_map_remove_many(maps.bytes, &key_bytes, 1, NULL, NULL, NULL), SOMA_OK);
    return SOMA_OK;
}

static enum soma_status do_take(struct both maps, uint64_t key)
{
    uint64_t place[2] = {0, 0};
    size_t taken[2] = {0, 0};
    (void)key;
    cr_assert_eq(soma_u64_take(maps.words, &place[0], 2, NULL, NULL, NULL, NULL, &taken[0]), SOMA_END);
    cr_assert_eq(soma_map_take(maps.bytes, &place[1], 2, NULL, NULL, NULL, NULL, &taken[1]), SOMA_END);
    cr_assert_eq(taken[0], taken[1]);
    return taken[0] ? SOMA_REMOVED : SOMA_ABSENT;
}

static enum soma_status do_clear(struct both maps, uint64_t key)
{
    (void)key;
    cr_assert_eq(soma_u64_clear(maps.words), SOMA_OK);
    cr_assert_eq(soma_map_clear(maps.bytes), SOMA_OK);
    return SOMA_OK;
}

/* What it answers and leaves behind (0: absence), where nothing was and where 5 was. */
static const struct {
    const char *name;
    enum soma_status (*run)(struct both maps, uint64_t key);
    enum soma_status answer[2];
    uint64_t after[2];
} verbs[] = {
    {"put", do_put, {SOMA_INSERTED, SOMA_REPLACED}, {7, 7}},
    {"put_new", do_put_new, {SOMA_INSERTED, SOMA_EXISTS}, {7, 5}},
    {"replace", do_replace, {SOMA_ABSENT, SOMA_REPLACED}, {0, 7}},
    {"cas", do_cas, {SOMA_ABSENT, SOMA_REPLACED}, {0, 7}},
    {"cas, changed", do_cas_changed, {SOMA_ABSENT, SOMA_CHANGED}, {0, 5}},
    {"remove", do_remove, {SOMA_ABSENT, SOMA_REMOVED}, {0, 0}},
    {"remove_if", do_remove_if, {SOMA_ABSENT, SOMA_REMOVED}, {0, 0}},
    {"remove_if, changed", do_remove_if_changed, {SOMA_ABSENT, SOMA_CHANGED}, {0, 5}},
    {"fetch_add", do_fetch_add, {SOMA_INSERTED, SOMA_REPLACED}, {2, 7}},
    {"update", do_update, {SOMA_INSERTED, SOMA_REPLACED}, {7, 7}},
    {"update, remove", do_update_remove, {SOMA_ABSENT, SOMA_REMOVED}, {0, 0}},
    {"update, leave", do_update_leave, {SOMA_ABSENT, SOMA_EXISTS}, {0, 5}},
    {"put_many", do_put_many, {SOMA_OK, SOMA_OK}, {7, 7}},
    {"remove_many", do_remove_many, {SOMA_OK, SOMA_OK}, {0, 0}},
    {"clear", do_clear, {SOMA_OK, SOMA_OK}, {0, 0}},
    {"take", do_take, {SOMA_ABSENT, SOMA_REMOVED}, {0, 0}},
};

#define KEY 8 /* even: its values are words */

static void expect_key(struct views views, uint64_t value)
{
    if (value)
        has(views, KEY, value);
    else
        lacks(views, KEY);
    counts(views, value != 0);
}

/* After each verb, the view from before it and the one from behind it, while both are open and when only one is. */
Test(view, keeps_what_each_verb_changes)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        for (int there = 0; there < 2; there++) {
            struct both maps = open_both();
            if (there)
                put(maps, KEY, 5, SOMA_INSERTED);
            struct views before = look(maps);
            cr_assert_eq(verbs[i].run(maps, KEY), verbs[i].answer[there], "%s", verbs[i].name);
            struct views after = look(maps);
            expect_key(before, there ? 5 : 0);
            expect_key(after, verbs[i].after[there]);
            look_away(before);
            expect_key(after, verbs[i].after[there]);
            look_away(after);
            struct views later = look(maps);
            expect_key(later, verbs[i].after[there]);
            look_away(later);
            close_both(maps);
        }
    }
}

static void show_word(uint64_t key, uint64_t value, void *ctx)
{
    cr_assert_eq(key, KEY);
    *(uint64_t *)ctx += value;
}

static void show_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    uint64_t word = 0;
    cr_assert(key_len == sizeof word && value.len == sizeof word && key);
    memcpy(&word, value.data, sizeof word);
    *(uint64_t *)ctx += word;
}

/* What lookups with a function show, once, of a key that has versions. */
static void expect_shown(struct both maps, bool there, uint64_t value)
{
    const uint64_t key = KEY;
    const enum soma_status want = there ? SOMA_OK : SOMA_ABSENT;
    uint64_t shown[2] = {0, 0};
    cr_assert_eq(soma_u64_get_with(maps.words, key, show_word, &shown[0]), want);
    cr_assert_eq(soma_map_get_with(maps.bytes, &key, sizeof key, show_bytes, &shown[1]), want);
    cr_assert(shown[0] == (there ? value : 0) && shown[1] == shown[0]);
}

/* Each verb after each other, a view between any two. */
Test(view, keeps_pairs_of_verbs)
{
    const size_t n = sizeof verbs / sizeof verbs[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            struct both maps = open_both();
            put(maps, KEY, 5, SOMA_INSERTED);
            struct views first = look(maps);
            verbs[i].run(maps, KEY);
            struct views second = look(maps);
            uint64_t now = 0;
            verbs[j].run(maps, KEY);
            const bool there = soma_u64_get(maps.words, KEY, &now) == SOMA_OK;
            expect_shown(maps, there, now);
            struct views third = look(maps);
            expect_key(first, 5);
            expect_key(second, verbs[i].after[1]);
            expect_key(third, there ? now : 0);
            look_away(second);
            expect_key(first, 5);
            look_away(first);
            expect_key(third, there ? now : 0);
            look_away(third);
            close_both(maps);
        }
    }
}

/* More than the slots that there are at first, each of another instant, closed in another order. */
#define AT_ONCE 150

Test(view, many_at_once)
{
    struct both maps = open_both();
    struct views views[AT_ONCE];
    for (uint64_t i = 0; i < AT_ONCE; i++) {
        views[i] = look(maps);
        put(maps, 1, i, i ? SOMA_REPLACED : SOMA_INSERTED);
        put(maps, 2, i, i ? SOMA_REPLACED : SOMA_INSERTED);
        put(maps, 1000 + i, i, SOMA_INSERTED);
    }
    for (uint64_t step = 0; step < AT_ONCE; step++) {
        const uint64_t closed = (step * 7 + 3) % AT_ONCE;
        for (uint64_t i = 0; i < AT_ONCE; i += 10) {
            if (!views[i].words)
                continue;
            for (uint64_t key = 1; key <= 2; key++) {
                if (i == 0)
                    lacks(views[i], key);
                else
                    has(views[i], key, i - 1);
            }
            counts(views[i], i ? i + 2 : 0);
        }
        look_away(views[closed]);
        views[closed] = (struct views){NULL, NULL};
    }
    close_both(maps);
}

Test(view, two_of_one_instant)
{
    struct both maps = open_both();
    put(maps, 1, 10, SOMA_INSERTED);
    struct views one = look(maps);
    struct views other = look(maps);
    put(maps, 1, 11, SOMA_REPLACED);
    take(maps, 1);
    has(one, 1, 10);
    has(other, 1, 10);
    look_away(one);
    has(other, 1, 10);
    look_away(other);
    close_both(maps);
}

/* Comes and goes many times within one view's time, and between the times of two. */
Test(view, keys_that_come_and_go)
{
    struct both maps = open_both();
    put(maps, 1, 10, SOMA_INSERTED);
    struct views old = look(maps);
    for (uint64_t i = 0; i < 50; i++) {
        take(maps, 1);
        put(maps, 1, 100 + i, SOMA_INSERTED);
        put(maps, 2, i, SOMA_INSERTED);
        struct views middle = look(maps);
        take(maps, 2);
        put(maps, 1, 200 + i, SOMA_REPLACED);
        has(middle, 1, 100 + i);
        has(middle, 2, i);
        has(old, 1, 10);
        lacks(old, 2);
        counts(middle, 2);
        counts(old, 1);
        look_away(middle);
    }
    look_away(old);
    close_both(maps);
}

Test(view, survives_growth_and_shrinking)
{
    struct both maps = open_both();
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, key, SOMA_INSERTED);
    struct views views = look(maps);
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, key + 1, SOMA_REPLACED);
    cr_assert_eq(soma_u64_reserve(maps.words, 50 * MANY), SOMA_OK);
    cr_assert_eq(soma_map_reserve(maps.bytes, 50 * MANY), SOMA_OK);
    for (uint64_t key = 0; key < MANY; key++)
        take(maps, key);
    cr_assert_eq(soma_u64_shrink(maps.words), SOMA_OK);
    cr_assert_eq(soma_map_shrink(maps.bytes), SOMA_OK);
    for (uint64_t key = 0; key < MANY; key++)
        has(views, key, key);
    counts(views, MANY);
    look_away(views);
    close_both(maps);
}

/* ---- Values ---- */

/* Each value is retired once, whether a version kept a copy of it or not, and however it left. */
Test(view, values_are_retired_once)
{
    for (int keep_open = 0; keep_open < 2; keep_open++) {
        struct both maps = open_both();
        uint64_t put_in = 0;
        uint64_t sum = 0;
        struct views views[4];
        for (uint64_t i = 0; i < MANY; i++) {
            if (i % 250 == 0)
                views[i / 250] = look(maps);
            put(maps, i % 30, i, i < 30 || (i % 30 == 7 && i > 37) ? SOMA_INSERTED : SOMA_REPLACED);
            put_in += 2;
            sum += 2 * i;
            if (i % 30 == 7 && i > 30)
                take(maps, 7);
        }
        for (size_t i = 0; i < 4; i++)
            look_away(views[i]);
        if (keep_open) {
            cr_assert_eq(soma_u64_shrink(maps.words), SOMA_OK);
            cr_assert_eq(soma_map_shrink(maps.bytes), SOMA_OK);
            soma_barrier_wait();
            cr_assert_eq(retired_count, put_in - 2 * 29, "%lu", (unsigned long)retired_count);
        }
        close_both(maps);
        cr_assert_eq(retired_count, put_in);
        cr_assert_eq(retired_sum, sum);
    }
}

/* What goes while versions of it are kept is retired when the last of them goes, and by the map's end at the latest. */
Test(view, values_outlive_their_views_by_the_map_at_most)
{
    struct both maps = open_both();
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, key, SOMA_INSERTED);
    struct views views = look(maps);
    for (uint64_t key = 0; key < MANY; key++)
        take(maps, key);
    soma_barrier_wait();
    cr_assert_eq(retired_count, 0, "they can still be seen");
    counts(views, MANY);
    look_away(views);
    close_both(maps);
    cr_assert_eq(retired_count, 2 * MANY);
    cr_assert_eq(retired_sum, (uint64_t)MANY * (MANY - 1));
}

/* Clearing passes what is kept, however much stands in one place. */
Test(view, clearing_passes_what_is_kept)
{
    struct both maps = open_both();
    for (uint64_t key = 0; key < MANY * 40; key++)
        put(maps, key, key, SOMA_INSERTED);
    struct views views = look(maps);
    for (int twice = 0; twice < 2; twice++) {
        cr_assert_eq(soma_u64_clear(maps.words), SOMA_OK);
        cr_assert_eq(soma_map_clear(maps.bytes), SOMA_OK);
        cr_assert_eq(soma_u64_shrink(maps.words), SOMA_OK);
        cr_assert_eq(soma_map_shrink(maps.bytes), SOMA_OK);
    }
    counts(views, MANY * 40);
    look_away(views);
    close_both(maps);
}

/* A shrink lets all dead versions go. */
Test(view, shrinking_after_it_lets_all_go)
{
    struct both maps = open_both();
    for (uint64_t key = 0; key < MANY; key++)
        put(maps, key, key, SOMA_INSERTED);
    struct views views = look(maps);
    cr_assert_eq(soma_u64_clear(maps.words), SOMA_OK);
    cr_assert_eq(soma_map_clear(maps.bytes), SOMA_OK);
    look_away(views);
    cr_assert_eq(soma_u64_shrink(maps.words), SOMA_OK);
    cr_assert_eq(soma_map_shrink(maps.bytes), SOMA_OK);
    soma_barrier_wait();
    cr_assert_eq(retired_count, 2 * MANY);
    close_both(maps);
}

/* ---- Words in byte maps, which change in place while no view is open ---- */

Test(view, words_of_byte_maps)
{
    soma_map *map = NULL;
    soma_view *view[3];
    uint64_t word = 0;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(soma_map_view_open(map, &view[i]), SOMA_OK);
        for (int n = 0; n < 100; n++) {
            uint64_t old = 0;
            cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, &old), SOMA_REPLACED);
            cr_assert_eq(old, 2 + 100 * i + n);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        size_t len = 0;
        cr_assert_eq(soma_view_get_copy(view[i], "n", 1, &word, sizeof word, &len), SOMA_OK);
        cr_assert(word == 2 + 100 * i && len == 8);
    }
    cr_assert_eq(soma_map_put(map, "n", 1, "no word", 7, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_E_INVALID);
    for (size_t i = 0; i < 3; i++)
        soma_view_close(view[i]);
    cr_assert_eq(soma_map_put(map, "n", 1, &word, 8, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_fetch_add(map, "n", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_get_copy(map, "n", 1, &word, sizeof word, NULL), SOMA_OK);
    cr_assert_eq(word, 203);
    soma_map_free(map);
}

/* Values of every length from nothing up, and one that is empty under an empty key. */
Test(view, values_of_all_lengths)
{
    char text[70];
    char seen[70];
    soma_map *map = NULL;
    soma_view *view = NULL;
    memset(text, 'x', sizeof text);
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t len = 0; len < sizeof text; len++)
        cr_assert_eq(soma_map_put(map, text, len, text, len, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    for (size_t len = 0; len < sizeof text; len++)
        cr_assert_eq(soma_map_put(map, text, len, text, (len + 1) % 17, NULL), SOMA_REPLACED);
    for (size_t len = 0; len < sizeof text; len++) {
        size_t got = sizeof text;
        cr_assert_eq(soma_view_get_copy(view, text, len, seen, sizeof seen, &got), SOMA_OK);
        cr_assert(got == len && memcmp(seen, text, len) == 0);
    }
    soma_view_close(view);
    soma_map_free(map);
}

/* An open view holds no section: what is retired meanwhile is freed. */
Test(view, holds_no_section)
{
    struct both maps = open_both();
    put(maps, 1, 10, SOMA_INSERTED);
    struct views views = look(maps);
    soma_synchronize_wait();
    soma_barrier_wait();
    put(maps, 2, 20, SOMA_INSERTED);
    take(maps, 2);
    soma_barrier_wait();
    cr_assert_eq(retired_count, 2, "no view sees it");
    look_away(views);
    close_both(maps);
}

/* Views of one map do not make another keep versions. */
Test(view, belongs_to_its_map)
{
    struct both maps = open_both();
    soma_u64 *other = NULL;
    const struct soma_u64_options options = {.value_retire = on_word};
    cr_assert_eq(soma_u64_new(&options, &other), SOMA_OK);
    cr_assert_eq(soma_u64_put(other, 1, 10, NULL), SOMA_INSERTED);
    struct views views = look(maps);
    cr_assert_eq(soma_u64_put(other, 1, 11, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_remove(other, 1, NULL), SOMA_REMOVED);
    soma_barrier_wait();
    cr_assert_eq(retired_count, 2);
    look_away(views);
    soma_u64_free(other);
    close_both(maps);
}
