/* SPDX-License-Identifier: ISC */
/* patch.c - patches, call by call: every status of every function; the bytes that docs/spec/patch.md shows; bytes that are no
 * patch; what is made and taken back. SOMA_E_NOMEM is reached in fault/. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#define KEYS 500
#define SPEC SOMA_TEST_SOURCE "/docs/spec/patch.md"
#define HEADER 48
#define CHECKSUM 8

/* ---- Both kinds of map ---- */

struct both {
    soma_u64 *words;
    soma_map *bytes;
};

static struct both open_both(void)
{
    struct both maps = {NULL, NULL};
    cr_assert_eq(soma_u64_new(NULL, &maps.words), SOMA_OK);
    cr_assert_eq(soma_map_new(NULL, &maps.bytes), SOMA_OK);
    return maps;
}

static void close_both(struct both maps)
{
    soma_u64_free(maps.words);
    soma_map_free(maps.bytes);
    soma_barrier_wait();
}

/* Values of byte maps have as many times the word as its last digit. */
struct text {
    uint64_t words[10];
    size_t len;
};

static struct text text_of(uint64_t value)
{
    struct text text = {.len = 8 * (value % 10)};
    for (size_t i = 0; i < 10; i++)
        text.words[i] = value;
    return text;
}

static void put(struct both maps, uint64_t key, uint64_t value)
{
    const struct text text = text_of(value);
    cr_assert_geq(soma_u64_put(maps.words, key, value, NULL), 0);
    cr_assert_geq(soma_map_put(maps.bytes, &key, sizeof key, text.words, text.len, NULL), 0);
}

static void put_text(soma_map *map, const char *key, const char *value)
{
    cr_assert_geq(soma_map_put(map, key, strlen(key), value, strlen(value), NULL), 0);
}

static void take(struct both maps, uint64_t key)
{
    cr_assert_eq(soma_u64_remove(maps.words, key, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_map_remove(maps.bytes, &key, sizeof key, NULL), SOMA_REMOVED);
}

static void fill(struct both maps)
{
    for (uint64_t key = 0; key < KEYS; key += 2)
        put(maps, key, key + 1);
}

/* Of each kind of difference some. */
static void change(struct both maps)
{
    for (uint64_t key = 0; key < KEYS; key += 10) {
        put(maps, key, key + 7);
        take(maps, key + 2);
        put(maps, key + 1, key);
    }
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
    return views;
}

static void look_away(struct views views)
{
    soma_view_close(views.words);
    soma_view_close(views.bytes);
}

struct patches {
    soma_patch *words;
    soma_patch *bytes;
};

static struct patches make_both(struct views a, struct views b)
{
    struct patches patches = {NULL, NULL};
    cr_assert_eq(soma_patch_make(a.words, b.words, &patches.words), SOMA_OK);
    cr_assert_eq(soma_patch_make(a.bytes, b.bytes, &patches.bytes), SOMA_OK);
    return patches;
}

static void free_both(struct patches patches)
{
    soma_patch_free(patches.words);
    soma_patch_free(patches.bytes);
}

static struct patches invert_both(struct patches patches)
{
    struct patches inverses = {NULL, NULL};
    cr_assert_eq(soma_patch_invert(soma_patch_bytes(patches.words), &inverses.words), SOMA_OK);
    cr_assert_eq(soma_patch_invert(soma_patch_bytes(patches.bytes), &inverses.bytes), SOMA_OK);
    return inverses;
}

static enum soma_status apply_both(struct both maps, struct patches patches, struct soma_patch_outcome *outcome)
{
    struct soma_patch_outcome other;
    const enum soma_status status = soma_patch_apply_u64_wait(maps.words, soma_patch_bytes(patches.words), outcome);
    cr_assert_eq(soma_patch_apply_map_wait(maps.bytes, soma_patch_bytes(patches.bytes), &other), status);
    cr_assert_eq(outcome->kept, other.kept);
    return status;
}

static void must_be_equal(const soma_view *a, const soma_view *b)
{
    bool equal = false;
    cr_assert_eq(soma_view_equal(a, b, &equal), SOMA_OK);
    cr_assert(equal);
}

static void must_look_like(struct both maps, struct views views)
{
    const struct views now = look(maps);
    must_be_equal(now.words, views.words);
    must_be_equal(now.bytes, views.bytes);
    look_away(now);
}

static void must_be_same(struct soma_bytes a, struct soma_bytes b)
{
    cr_assert_eq(a.len, b.len);
    cr_assert_eq(memcmp(a.data, b.data, a.len), 0);
}

/* Two maps that differ, seen. */
struct scene {
    struct both a;
    struct both b;
    struct views of_a;
    struct views of_b;
    struct patches forth;
};

static struct scene scene_open(void)
{
    struct scene scene = {.a = open_both(), .b = open_both()};
    fill(scene.a);
    fill(scene.b);
    change(scene.b);
    scene.of_a = look(scene.a);
    scene.of_b = look(scene.b);
    scene.forth = make_both(scene.of_a, scene.of_b);
    return scene;
}

static void scene_close(struct scene scene)
{
    free_both(scene.forth);
    look_away(scene.of_a);
    look_away(scene.of_b);
    close_both(scene.a);
    close_both(scene.b);
}

/* ---- There and back ---- */

Test(patch, there_and_back)
{
    const struct scene scene = scene_open();
    const struct patches back = invert_both(scene.forth);
    struct soma_patch_outcome outcome;
    cr_assert_eq(apply_both(scene.a, scene.forth, &outcome), SOMA_OK);
    cr_assert_eq(outcome.number, 3 * KEYS / 10);
    cr_assert_eq(outcome.kept, 0);
    must_look_like(scene.a, scene.of_b);
    cr_assert_eq(apply_both(scene.a, scene.forth, &outcome), SOMA_CHANGED, "it is there already");
    cr_assert_eq(outcome.number, 0);
    cr_assert_eq(apply_both(scene.a, back, &outcome), SOMA_OK);
    must_look_like(scene.a, scene.of_a);
    cr_assert_eq(soma_patch_apply_u64_wait(scene.a.words, soma_patch_bytes(scene.forth.words), NULL), SOMA_OK);
    free_both(back);
    scene_close(scene);
}

Test(patch, one_form)
{
    const struct scene scene = scene_open();
    const struct both c = open_both(); /* with other seeds, and filled the other way round */
    for (uint64_t key = KEYS - 2; key < KEYS; key -= 2)
        put(c, key, key + 1);
    const struct views of_c = look(c);
    const struct patches again = make_both(of_c, scene.of_b);
    must_be_same(soma_patch_bytes(again.words), soma_patch_bytes(scene.forth.words));
    must_be_same(soma_patch_bytes(again.bytes), soma_patch_bytes(scene.forth.bytes));
    const struct patches back = make_both(scene.of_b, scene.of_a);
    const struct patches inverse = invert_both(scene.forth);
    must_be_same(soma_patch_bytes(back.words), soma_patch_bytes(inverse.words));
    must_be_same(soma_patch_bytes(back.bytes), soma_patch_bytes(inverse.bytes));
    free_both(again);
    free_both(back);
    free_both(inverse);
    look_away(of_c);
    close_both(c);
    scene_close(scene);
}

/* Keys that begin alike, and none; written the other way round. */
Test(patch, order_of_strings)
{
    static const char *const keys[] = {"",
                                       "a",
                                       "a key",
                                       "a key of",
                                       "a key of ",
                                       "a key of a",
                                       "a key of b",
                                       "a key of b!",
                                       "a key of c",
                                       "b",
                                       "\x7f",
                                       "\x80",
                                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    enum {
        N = sizeof keys / sizeof keys[0]
    };
    const struct both maps = open_both();
    const struct views before = look(maps);
    for (size_t i = N; i-- > 0;)
        cr_assert_eq(soma_map_put(maps.bytes, keys[i], strlen(keys[i]), &i, i % 3, NULL), SOMA_INSERTED);
    const struct views after = look(maps);
    const struct patches patches = make_both(before, after);
    struct soma_patch_reader reader;
    struct soma_difference difference;
    put_text(maps.bytes, "", "the empty key has another value");
    const struct views later = look(maps);
    const struct patches one = make_both(after, later);
    struct soma_patch_info info;
    cr_assert_eq(soma_patch_check(soma_patch_bytes(one.bytes), &info), SOMA_OK);
    cr_assert(info.replaced == 1 && info.inserted == 0 && info.removed == 0);
    free_both(one);
    look_away(later);
    cr_assert_eq(soma_patch_begin(soma_patch_bytes(patches.bytes), &reader), SOMA_OK);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_OK);
        must_be_same(difference.key, (struct soma_bytes){keys[i], strlen(keys[i])});
        cr_assert_eq(difference.after.len, i % 3);
    }
    cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_END);
    soma_patch *twice = NULL; /* what is there cannot be inserted */
    const struct soma_bytes bytes = soma_patch_bytes(patches.bytes);
    cr_assert_eq(soma_patch_compose(bytes, bytes, &twice), SOMA_CHANGED);
    free_both(patches);
    look_away(before);
    look_away(after);
    close_both(maps);
}

Test(patch, nothing_differs)
{
    const struct scene scene = scene_open();
    struct soma_patch_outcome outcome = {7, 7};
    struct soma_patch_info info;
    const struct patches empty = make_both(scene.of_b, scene.of_b);
    cr_assert_eq(soma_patch_bytes(empty.words).len, HEADER + CHECKSUM);
    cr_assert_eq(soma_patch_check(soma_patch_bytes(empty.bytes), &info), SOMA_OK);
    cr_assert(!info.words && info.inserted == 0 && info.replaced == 0 && info.removed == 0);
    cr_assert_eq(apply_both(scene.a, empty, &outcome), SOMA_OK);
    cr_assert_eq(outcome.number, 0);
    must_look_like(scene.a, scene.of_a);
    free_both(empty);
    scene_close(scene);
}

/* ---- Reading ---- */

Test(patch, reads)
{
    const struct scene scene = scene_open();
    struct soma_patch_reader reader;
    struct soma_difference difference;
    struct soma_patch_info info;
    cr_assert_eq(soma_patch_check(soma_patch_bytes(scene.forth.words), &info), SOMA_OK);
    cr_assert(info.words && info.inserted == KEYS / 10 && info.replaced == KEYS / 10 && info.removed == KEYS / 10);
    cr_assert_eq(soma_patch_begin(soma_patch_bytes(scene.forth.words), &reader), SOMA_OK);
    static const enum soma_status whats[] = {SOMA_REPLACED, SOMA_INSERTED, SOMA_REMOVED};
    for (uint64_t i = 0; i < 3 * KEYS / 10; i++) {
        const uint64_t key = i / 3 * 10 + i % 3;
        cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_OK);
        cr_assert_eq(difference.what, whats[i % 3]);
        cr_assert_eq(difference.word.key, key);
        cr_assert_eq(difference.word.before, i % 3 == 1 ? 0 : key + 1);
        cr_assert_eq(difference.word.after, i % 3 == 2 ? 0 : i % 3 == 1 ? key - 1 : key + 7);
        cr_assert(difference.key.len == 8 && memcmp(difference.key.data, &key, 8) == 0);
        cr_assert_eq(difference.before.len, i % 3 == 1 ? 0 : 8);
        cr_assert_eq(difference.after.len, i % 3 == 2 ? 0 : 8);
    }
    cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_END);
    cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_END);
    cr_assert_eq(soma_patch_begin(soma_patch_bytes(scene.forth.bytes), &reader), SOMA_OK);
    unsigned n = 0;
    for (; soma_patch_next(&reader, &difference) == SOMA_OK; n++) {
        uint64_t key;
        cr_assert_eq(difference.key.len, sizeof key);
        memcpy(&key, difference.key.data, sizeof key);
        const struct text text = text_of(key + 1);
        if (difference.what != SOMA_INSERTED)
            must_be_same(difference.before, (struct soma_bytes){text.words, text.len});
    }
    cr_assert_eq(n, 3 * KEYS / 10);
    scene_close(scene);
}

Test(patch, bytes_that_change_while_they_are_read)
{
    const struct scene scene = scene_open();
    const struct soma_bytes bytes = soma_patch_bytes(scene.forth.words);
    unsigned char *copy = malloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    struct soma_patch_reader reader;
    struct soma_difference difference;
    cr_assert_eq(soma_patch_begin((struct soma_bytes){copy, bytes.len}, &reader), SOMA_OK);
    cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_OK);
    memset(copy + HEADER, 0xff, bytes.len - HEADER);
    cr_assert_eq(soma_patch_next(&reader, &difference), SOMA_E_CORRUPT);
    memset(copy + HEADER, 1, bytes.len - HEADER);
    enum soma_status status;
    while ((status = soma_patch_next(&reader, &difference)) == SOMA_OK)
        ;
    cr_assert(status == SOMA_E_CORRUPT || status == SOMA_END);
    free(copy);
    scene_close(scene);
}

/* ---- Bytes that docs/spec/patch.md shows ---- */

/* The hexadecimal bytes of the next block of the page; 0: there is none. */
static size_t next_vector(FILE *page, unsigned char *out, size_t cap)
{
    char line[512];
    bool inside = false;
    size_t len = 0;
    while (fgets(line, sizeof line, page)) {
        const bool fence = strncmp(line, "```", 3) == 0;
        if (fence && inside && len > 0)
            return len;
        inside ^= fence;
        char *at = line;
        unsigned byte;
        int used;
        while (inside && !fence && sscanf(at, "%2x%n", &byte, &used) == 1 && used == 2 && len < cap) {
            out[len++] = (unsigned char)byte;
            at += strspn(at + 2, " ") + 2;
        }
        if (inside && !fence && len < 8)
            len = 0; /* a block of something else */
    }
    return 0;
}

static void must_be_vector(FILE *page, const soma_view *a, const soma_view *b)
{
    unsigned char expected[512];
    soma_patch *patch = NULL;
    const size_t len = next_vector(page, expected, sizeof expected);
    cr_assert_neq(len, 0);
    cr_assert_eq(soma_patch_make(a, b, &patch), SOMA_OK);
    cr_assert_eq(soma_patch_check((struct soma_bytes){expected, len}, NULL), SOMA_OK);
    must_be_same(soma_patch_bytes(patch), (struct soma_bytes){expected, len});
    soma_patch_free(patch);
}

Test(patch, vectors)
{
    FILE *page = fopen(SPEC, "r");
    cr_assert_not_null(page);
    const struct both a = open_both();
    const struct both b = open_both();
    const struct views nothing = look(a);
    soma_u64_put(a.words, 1, 10, NULL);
    soma_u64_put(a.words, 300, 7, NULL);
    soma_u64_put(b.words, 1, 1000, NULL);
    soma_u64_put(b.words, 2, 0, NULL);
    soma_u64_put(b.words, UINT64_MAX, UINT64_MAX, NULL);
    put_text(a.bytes, "ab", "x");
    put_text(a.bytes, "b", "gone");
    put_text(b.bytes, "a", "");
    put_text(b.bytes, "ab", "y");
    const struct views of_a = look(a);
    const struct views of_b = look(b);
    must_be_vector(page, nothing.words, nothing.words);
    must_be_vector(page, of_a.words, of_b.words);
    must_be_vector(page, of_a.bytes, of_b.bytes);
    unsigned char rest[8];
    cr_assert_eq(next_vector(page, rest, sizeof rest), 0);
    fclose(page);
    look_away(nothing);
    look_away(of_a);
    look_away(of_b);
    close_both(a);
    close_both(b);
}

/* ---- Bytes that are no patch ---- */

static enum soma_status check_copy(const unsigned char *bytes, size_t len)
{
    unsigned char *copy = malloc(len + 1); /* so that a sanitizer sees whoever reads on */
    unsigned char *from = copy + 1;
    memcpy(from, bytes, len);
    const enum soma_status status = soma_patch_check((struct soma_bytes){from, len}, NULL);
    free(copy);
    return status;
}

static void must_be_damaged(struct soma_bytes bytes)
{
    unsigned char *copy = malloc(bytes.len + 1);
    memcpy(copy, bytes.data, bytes.len);
    copy[bytes.len] = 0;
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_eq(check_copy(copy, len), SOMA_E_CORRUPT, "cut to %zu", len);
    cr_assert_eq(check_copy(copy, bytes.len + 1), SOMA_E_CORRUPT);
    for (size_t at = 0; at < bytes.len; at++) {
        copy[at] = (unsigned char)(copy[at] ^ 1u << at % 8);
        const enum soma_status want = at >= 8 && at < 12 ? SOMA_E_UNSUPPORTED : SOMA_E_CORRUPT;
        cr_assert_eq(check_copy(copy, bytes.len), want, "a bit of byte %zu", at);
        copy[at] = (unsigned char)(copy[at] ^ 1u << at % 8);
    }
    cr_assert_eq(check_copy(copy, bytes.len), SOMA_OK);
    free(copy);
}

Test(patch, damage)
{
    const struct scene scene = scene_open();
    must_be_damaged(soma_patch_bytes(scene.forth.words));
    must_be_damaged(soma_patch_bytes(scene.forth.bytes));
    scene_close(scene);
}

/* Every call refuses it, and changes nothing. */
static void must_be_refused(const struct scene *scene, struct soma_bytes bytes, enum soma_status want)
{
    struct soma_patch_reader reader;
    struct soma_patch_outcome outcome = {7, 7};
    struct soma_patch_info info = {.inserted = 7};
    soma_patch *patch = NULL;
    uint64_t number = 7;
    cr_assert_eq(soma_patch_check(bytes, &info), want);
    cr_assert_eq(info.inserted, 7);
    cr_assert_eq(soma_patch_begin(bytes, &reader), want);
    cr_assert_eq(soma_patch_invert(bytes, &patch), want);
    cr_assert_eq(soma_patch_compose(bytes, soma_patch_bytes(scene->forth.words), &patch), want);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(scene->forth.words), bytes, &patch), want);
    cr_assert_eq(soma_patch_fits(scene->of_a.words, bytes, &number), want);
    cr_assert_eq(soma_patch_apply_u64_wait(scene->a.words, bytes, &outcome), want);
    cr_assert_eq(soma_patch_apply_map_wait(scene->a.bytes, bytes, &outcome), want);
    cr_assert(!patch && number == 7 && outcome.number == 7 && outcome.kept == 7);
    must_look_like(scene->a, scene->of_a);
}

Test(patch, refused_everywhere)
{
    const struct scene scene = scene_open();
    const struct soma_bytes good = soma_patch_bytes(scene.forth.words);
    unsigned char *copy = malloc(good.len);
    memcpy(copy, good.data, good.len);
    copy[good.len - 1] ^= 1;
    must_be_refused(&scene, (struct soma_bytes){copy, good.len}, SOMA_E_CORRUPT);
    copy[good.len - 1] ^= 1;
    copy[8]++;
    must_be_refused(&scene, (struct soma_bytes){copy, good.len}, SOMA_E_UNSUPPORTED);
    must_be_refused(&scene, (struct soma_bytes){copy, 0}, SOMA_E_CORRUPT);
    must_be_refused(&scene, (struct soma_bytes){NULL, 0}, SOMA_E_CORRUPT);
    must_be_refused(&scene, (struct soma_bytes){NULL, 8}, SOMA_E_INVALID);
    free(copy);
    scene_close(scene);
}

/* ---- Maps that a patch does not fit ---- */

static void must_not_fit(const struct scene *scene, uint64_t number)
{
    struct soma_patch_outcome outcome = {7, 7};
    uint64_t first = 7;
    const struct views before = look(scene->a);
    cr_assert_eq(soma_patch_fits(before.words, soma_patch_bytes(scene->forth.words), &first), SOMA_CHANGED);
    cr_assert_eq(first, number);
    cr_assert_eq(soma_patch_fits(before.bytes, soma_patch_bytes(scene->forth.bytes), NULL), SOMA_CHANGED);
    cr_assert_eq(apply_both(scene->a, scene->forth, &outcome), SOMA_CHANGED);
    cr_assert_eq(outcome.number, number);
    cr_assert_eq(outcome.kept, 0);
    must_look_like(scene->a, before);
    look_away(before);
}

Test(patch, does_not_fit)
{
    const struct scene scene = scene_open();
    cr_assert_eq(soma_patch_fits(scene.of_a.words, soma_patch_bytes(scene.forth.words), NULL), SOMA_OK);
    cr_assert_eq(soma_patch_fits(scene.of_a.bytes, soma_patch_bytes(scene.forth.bytes), NULL), SOMA_OK);
    put(scene.a, 492, 19); /* to be removed, but not with this value */
    must_not_fit(&scene, 3 * KEYS / 10 - 1);
    take(scene.a, 492);
    must_not_fit(&scene, 3 * KEYS / 10 - 1);
    put(scene.a, 11, 3); /* to be inserted */
    must_not_fit(&scene, 4);
    put(scene.a, 0, 3); /* to be replaced */
    must_not_fit(&scene, 0);
    put(scene.a, 0, 1);
    take(scene.a, 11);
    put(scene.a, 492, 493);
    must_look_like(scene.a, scene.of_a);
    struct soma_patch_outcome outcome;
    cr_assert_eq(apply_both(scene.a, scene.forth, &outcome), SOMA_OK);
    scene_close(scene);
}

/* A value of the same length, or one that begins like it. */
Test(patch, does_not_fit_strings)
{
    const struct both a = open_both();
    const struct both b = open_both();
    put_text(a.bytes, "key", "value");
    put_text(b.bytes, "key", "other");
    const struct views of_a = look(a);
    const struct views of_b = look(b);
    soma_patch *patch = NULL;
    cr_assert_eq(soma_patch_make(of_a.bytes, of_b.bytes, &patch), SOMA_OK);
    static const char *const others[] = {"valuf", "valu", "values", ""};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put_text(a.bytes, "key", others[i]);
        soma_view *now = NULL;
        cr_assert_eq(soma_map_view_open(a.bytes, &now), SOMA_OK);
        cr_assert_eq(soma_patch_fits(now, soma_patch_bytes(patch), NULL), SOMA_CHANGED);
        soma_view_close(now);
        cr_assert_eq(soma_patch_apply_map_wait(a.bytes, soma_patch_bytes(patch), NULL), SOMA_CHANGED);
    }
    put_text(a.bytes, "key", "value");
    cr_assert_eq(soma_patch_apply_map_wait(a.bytes, soma_patch_bytes(patch), NULL), SOMA_OK);
    soma_patch_free(patch);
    look_away(of_a);
    look_away(of_b);
    close_both(a);
    close_both(b);
}

/* ---- At the cap ---- */

enum {
    CAP_KEYS = 400,
    CAP_WORDS = 400
};

static atomic_int stage;

static void *reader_body(void *unused)
{
    soma_read_enter();
    atomic_store(&stage, 1);
    while (atomic_load(&stage) < 2)
        usleep(1000);
    soma_read_exit();
    return unused;
}

static unsigned keys_changed(soma_map *map)
{
    uint64_t value[CAP_WORDS];
    unsigned changed = 0;
    for (uint64_t key = 0; key < CAP_KEYS; key++)
        changed += soma_map_get_copy(map, &key, sizeof key, value, sizeof value, NULL) == SOMA_OK && value[0] != 0;
    return changed;
}

/* While a reader is inside, a byte map comes to its cap half-way and nothing goes on; all is taken back as soon as the
 * reader has left. */
static void *releaser_body(void *map)
{
    unsigned before = 0;
    for (unsigned same = 0; same < 20;) {
        const unsigned now = keys_changed(map);
        same = now > 0 && now == before ? same + 1 : 0;
        before = now;
        usleep(10000);
    }
    atomic_store(&stage, 2);
    return NULL;
}

Test(patch, the_cap)
{
    static uint64_t value[CAP_WORDS];
    const struct soma_map_options small = {.deferred_bytes_max = 256 << 10};
    soma_map *a = NULL;
    soma_map *b = NULL;
    soma_view *of_a = NULL;
    soma_view *of_b = NULL;
    soma_patch *patch = NULL;
    cr_assert_eq(soma_map_new(&small, &a), SOMA_OK);
    cr_assert_eq(soma_map_new(NULL, &b), SOMA_OK);
    for (uint64_t key = 0; key < CAP_KEYS; key++) {
        value[0] = 0;
        cr_assert_eq(soma_map_put(a, &key, sizeof key, value, sizeof value, NULL), SOMA_INSERTED);
        value[0] = 1;
        cr_assert_eq(soma_map_put(b, &key, sizeof key, value, sizeof value, NULL), SOMA_INSERTED);
    }
    cr_assert_eq(soma_map_view_open(a, &of_a), SOMA_OK);
    cr_assert_eq(soma_map_view_open(b, &of_b), SOMA_OK);
    cr_assert_eq(soma_patch_make(of_a, of_b, &patch), SOMA_OK);
    soma_view_close(of_b);
    pthread_t reader;
    pthread_t releaser;
    atomic_store(&stage, 0);
    pthread_create(&reader, NULL, reader_body, NULL);
    while (atomic_load(&stage) < 1)
        usleep(1000);
    pthread_create(&releaser, NULL, releaser_body, a);
    struct soma_patch_outcome outcome;
    cr_assert_eq(soma_patch_apply_map_wait(a, soma_patch_bytes(patch), &outcome), SOMA_E_LIMIT);
    cr_assert(outcome.number > 0 && outcome.number < CAP_KEYS && outcome.kept == 0);
    pthread_join(reader, NULL);
    pthread_join(releaser, NULL);
    soma_view *now = NULL;
    cr_assert_eq(soma_map_view_open(a, &now), SOMA_OK);
    must_be_equal(now, of_a);
    soma_view_close(now);
    soma_view_close(of_a);
    soma_barrier_wait();
    soma_patch_free(patch);
    soma_map_free(a);
    soma_map_free(b);
}

/* ---- Two patches as one ---- */

Test(patch, composes)
{
    const struct both maps = open_both();
    fill(maps);
    const struct views first = look(maps);
    change(maps);
    const struct views second = look(maps);
    for (uint64_t key = 0; key < KEYS; key += 20) {
        put(maps, key, key + 1); /* as it was */
        put(maps, key + 2, 5);
        take(maps, key + 1);
        put(maps, key + 10, 99);
        take(maps, key + 11);
        put(maps, key + 11, 98);
        take(maps, key + 14);
        put(maps, key + 15, 1);
    }
    const struct views third = look(maps);
    const struct patches one = make_both(first, second);
    const struct patches other = make_both(second, third);
    const struct patches whole = make_both(first, third);
    soma_patch *both = NULL;
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.words), soma_patch_bytes(other.words), &both), SOMA_OK);
    must_be_same(soma_patch_bytes(both), soma_patch_bytes(whole.words));
    soma_patch_free(both);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.bytes), soma_patch_bytes(other.bytes), &both), SOMA_OK);
    must_be_same(soma_patch_bytes(both), soma_patch_bytes(whole.bytes));
    soma_patch_free(both);
    both = NULL;
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(other.words), soma_patch_bytes(one.words), &both), SOMA_CHANGED);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.bytes), soma_patch_bytes(one.bytes), &both), SOMA_CHANGED);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.bytes), soma_patch_bytes(one.words), &both), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.bytes), soma_patch_bytes(one.bytes), NULL), SOMA_E_INVALID);
    cr_assert_null(both);
    const struct patches back = invert_both(one);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(back.words), soma_patch_bytes(back.words), &both), SOMA_CHANGED);
    cr_assert_eq(soma_patch_compose(soma_patch_bytes(one.bytes), soma_patch_bytes(back.bytes), &both), SOMA_OK);
    cr_assert_eq(soma_patch_bytes(both).len, HEADER + CHECKSUM, "there and back is nothing");
    soma_patch_free(both);
    free_both(one);
    free_both(other);
    free_both(whole);
    free_both(back);
    look_away(first);
    look_away(second);
    look_away(third);
    close_both(maps);
}

/* Of one key, whose value is absent, empty or a text: which of the patches between any two fits behind which. */
Test(patch, composes_if_it_fits)
{
    enum {
        STATES = 4
    };
    static const char *const values[STATES] = {NULL, "", "one", "two"};
    const struct both maps = open_both();
    struct views views[STATES];
    for (int i = 0; i < STATES; i++) {
        if (values[i])
            put_text(maps.bytes, "key", values[i]);
        views[i] = look(maps);
    }
    for (int n = 0; n < STATES * STATES * STATES * STATES; n++) {
        const int at[4] = {n % STATES, n / STATES % STATES, n / STATES / STATES % STATES, n / STATES / STATES / STATES};
        if (at[0] == at[1] || at[2] == at[3])
            continue;
        soma_patch *first = NULL;
        soma_patch *second = NULL;
        soma_patch *both = NULL;
        soma_patch *whole = NULL;
        cr_assert_eq(soma_patch_make(views[at[0]].bytes, views[at[1]].bytes, &first), SOMA_OK);
        cr_assert_eq(soma_patch_make(views[at[2]].bytes, views[at[3]].bytes, &second), SOMA_OK);
        cr_assert_eq(soma_patch_make(views[at[0]].bytes, views[at[3]].bytes, &whole), SOMA_OK);
        cr_assert_eq(soma_patch_compose(soma_patch_bytes(first), soma_patch_bytes(second), &both),
                     at[1] == at[2] ? SOMA_OK : SOMA_CHANGED);
        if (both)
            must_be_same(soma_patch_bytes(both), soma_patch_bytes(whole));
        soma_patch_free(first);
        soma_patch_free(second);
        soma_patch_free(both);
        soma_patch_free(whole);
    }
    for (int i = 0; i < STATES; i++)
        look_away(views[i]);
    close_both(maps);
}

/* ---- Arguments, and where it may be called ---- */

static struct soma_bytes empty_patch; /* for the retired call below */
static soma_u64 *patched;

static void apply_in_call(void *answer)
{
    *(enum soma_status *)answer = soma_patch_apply_u64_wait(patched, empty_patch, NULL);
}

Test(patch, invalid)
{
    const struct scene scene = scene_open();
    const struct soma_bytes words = soma_patch_bytes(scene.forth.words);
    const struct soma_bytes strings = soma_patch_bytes(scene.forth.bytes);
    struct soma_patch_reader reader;
    struct soma_difference difference;
    soma_patch *patch = NULL;
    cr_assert_eq(soma_patch_make(NULL, scene.of_a.words, &patch), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_make(scene.of_a.words, NULL, &patch), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_make(scene.of_a.words, scene.of_b.words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_make(scene.of_a.words, scene.of_b.bytes, &patch), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_invert(words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_begin(words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_begin(words, &reader), SOMA_OK);
    cr_assert_eq(soma_patch_next(&reader, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_next(NULL, &difference), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_fits(NULL, words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_fits(scene.of_a.bytes, words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_apply_u64_wait(NULL, words, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_apply_map_wait(NULL, strings, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_apply_u64_wait(scene.a.words, strings, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_patch_apply_map_wait(scene.a.bytes, words, NULL), SOMA_E_INVALID);
    cr_assert_null(patch);
    cr_assert_null(soma_patch_bytes(NULL).data);
    soma_patch_free(NULL);
    soma_read_enter();
    cr_assert_eq(soma_patch_apply_u64_wait(scene.a.words, words, NULL), SOMA_E_INVALID);
    soma_read_exit();
    enum soma_status answer = SOMA_OK;
    patched = scene.a.words;
    empty_patch = words;
    cr_assert_eq(soma_retire(apply_in_call, &answer), SOMA_OK);
    soma_barrier_wait();
    cr_assert_eq(answer, SOMA_E_INVALID);
    must_look_like(scene.a, scene.of_a);
    scene_close(scene);
}

static void on_word(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

static void on_bytes(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len, (void)ctx;
}

Test(patch, values_that_are_retired)
{
    const struct soma_u64_options of_words = {.value_retire = on_word};
    const struct soma_map_options of_bytes = {.value_retire = on_bytes};
    const struct scene scene = scene_open();
    struct both maps = {NULL, NULL};
    cr_assert_eq(soma_u64_new(&of_words, &maps.words), SOMA_OK);
    cr_assert_eq(soma_map_new(&of_bytes, &maps.bytes), SOMA_OK);
    fill(maps);
    cr_assert_eq(soma_patch_apply_u64_wait(maps.words, soma_patch_bytes(scene.forth.words), NULL), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_patch_apply_map_wait(maps.bytes, soma_patch_bytes(scene.forth.bytes), NULL), SOMA_E_UNSUPPORTED);
    must_look_like(maps, scene.of_a);
    close_both(maps);
    scene_close(scene);
}
