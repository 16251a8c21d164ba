/* SPDX-License-Identifier: ISC */
/* digest.c - FNV-1a's published vectors; digests of maps and views: every verb, every status, against maps that have come to the
 * same content another way. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#define KEYS 64
#define STEPS 20000

static const uint64_t digest_key[2] = {4711, 815};

/* ---- FNV-1a ---- */

static uint64_t fnv(const char *text)
{
    return soma_fnv1a64(text, strlen(text), SOMA_FNV1A64_BASIS);
}

Test(digest, published_vectors)
{
    cr_assert_eq(fnv(""), UINT64_C(0xcbf29ce484222325));
    cr_assert_eq(fnv("a"), UINT64_C(0xaf63dc4c8601ec8c));
    cr_assert_eq(fnv("b"), UINT64_C(0xaf63df4c8601f1a5));
    cr_assert_eq(fnv("foobar"), UINT64_C(0x85944171f73967e8));
    cr_assert_eq(soma_fnv1a64(NULL, 0, 7), 7);
    cr_assert_eq(soma_fnv1a64("bar", 3, fnv("foo")), fnv("foobar"), "goes on where it ended");
}

/* ---- Words ---- */

static soma_u64 *words_with(unsigned flags)
{
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {.flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    return map;
}

static struct soma_digest of_words(const soma_u64 *map)
{
    struct soma_digest digest;
    cr_assert_eq(soma_u64_digest(map, &digest), SOMA_OK);
    return digest;
}

/* The digest of the same content, put in anew from the highest key on; and as a view sees it. */
static void words_must_agree(soma_u64 *map)
{
    const struct soma_digest running = of_words(map);
    struct soma_digest seen;
    soma_view *view = NULL;
    soma_u64 *again = words_with(SOMA_DIGEST);
    for (uint64_t key = KEYS; key-- > 0;) {
        uint64_t value;
        if (soma_u64_get(map, key, &value) == SOMA_OK)
            soma_u64_put(again, key, value, NULL);
    }
    const struct soma_digest anew = of_words(again);
    cr_assert(soma_digest_equal(&running, &anew));
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    cr_assert_eq(soma_view_digest(view, &seen), SOMA_OK);
    cr_assert(soma_digest_equal(&running, &seen));
    soma_view_close(view);
    soma_u64_free(again);
}

static enum soma_status toggle(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)ctx;
    *value = key * 3;
    return present ? SOMA_REMOVED : SOMA_OK;
}

static void word_step(soma_u64 *map, unsigned draw, uint64_t key)
{
    const uint64_t keys[2] = {key, (key + 1) % KEYS};
    const uint64_t values[2] = {draw, draw};
    switch (draw % 11) {
    case 0:
        soma_u64_put(map, key, draw, NULL);
        break;
    case 1:
        soma_u64_put_new(map, key, draw, NULL);
        break;
    case 2:
        soma_u64_replace(map, key, draw, NULL);
        break;
    case 3:
        soma_u64_cas(map, key, key * 3, draw, NULL);
        break;
    case 4:
        soma_u64_remove(map, key, NULL);
        break;
    case 5:
        soma_u64_remove_if(map, key, key * 3, NULL);
        break;
    case 6:
        soma_u64_fetch_add(map, key, 1, NULL);
        break;
    case 7:
        cr_assert(soma_u64_update(map, key, toggle, NULL) >= 0);
        break;
    case 8:
        cr_assert_eq(soma_u64_put_many(map, keys, values, 2, NULL), SOMA_OK);
        break;
    case 9:
        cr_assert_eq(soma_u64_remove_many(map, keys, 2, NULL, NULL, NULL), SOMA_OK);
        break;
    default:
        if (draw % 1100 == 10)
            soma_u64_clear(map);
        uint64_t place = (uint64_t)draw << 40;
        cr_assert(soma_u64_take(map, &place, 3, NULL, NULL, NULL, NULL, NULL) >= 0);
    }
}

static void words_run(bool keep_view)
{
    soma_u64 *map = words_with(SOMA_DIGEST);
    soma_view *view = NULL;
    struct soma_digest then;
    unsigned seed = 1;
    for (int i = 0; i < STEPS; i++) {
        if (keep_view && i == STEPS / 2) {
            then = of_words(map);
            cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
        }
        const unsigned draw = (unsigned)rand_r(&seed);
        word_step(map, draw, (uint64_t)rand_r(&seed) % KEYS);
        if (i % 500 == 0)
            words_must_agree(map);
    }
    if (keep_view) {
        struct soma_digest seen;
        cr_assert_eq(soma_view_digest(view, &seen), SOMA_OK);
        cr_assert(soma_digest_equal(&seen, &then), "the view's digest is the map's at its instant");
        soma_view_close(view);
    }
    soma_u64_clear(map);
    const struct soma_digest empty = of_words(map);
    cr_assert(soma_digest_equal(&empty, &(struct soma_digest){.count = 0}));
    soma_u64_free(map);
}

Test(digest, words_by_every_verb)
{
    words_run(false);
}

Test(digest, words_beside_a_view)
{
    words_run(true);
}

/* ---- Bytes ---- */

static soma_map *bytes_with(unsigned flags)
{
    soma_map *map = NULL;
    const struct soma_map_options options = {.flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    cr_assert_eq(soma_map_new(&options, &map), SOMA_OK);
    return map;
}

static struct soma_digest of_bytes(const soma_map *map)
{
    struct soma_digest digest;
    cr_assert_eq(soma_map_digest(map, &digest), SOMA_OK);
    return digest;
}

static void bytes_must_agree(soma_map *map)
{
    const struct soma_digest running = of_bytes(map);
    struct soma_digest seen;
    soma_view *view = NULL;
    soma_map *again = bytes_with(SOMA_DIGEST);
    for (unsigned char key = KEYS; key-- > 0;) {
        char value[32];
        size_t len;
        if (soma_map_get_copy(map, &key, 1, value, sizeof value, &len) == SOMA_OK)
            soma_map_put(again, &key, 1, value, len, NULL);
    }
    const struct soma_digest anew = of_bytes(again);
    cr_assert(soma_digest_equal(&running, &anew));
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    cr_assert_eq(soma_view_digest(view, &seen), SOMA_OK);
    cr_assert(soma_digest_equal(&running, &seen));
    soma_view_close(view);
    soma_map_free(again);
}

static enum soma_status longer(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len, (void)ctx;
    if (present && value->len > 20)
        return SOMA_REMOVED;
    *value = (struct soma_bytes){"twenty-one characters", 21};
    return SOMA_OK;
}

static void byte_step(soma_map *map, unsigned draw, unsigned char key)
{
    static const char text[] = "a value of some length";
    const size_t len = draw / 16 % sizeof text;
    uint64_t version = 0;
    switch (draw % 11) {
    case 0:
        soma_map_put(map, &key, 1, text, len, NULL);
        break;
    case 1:
        soma_map_put_new(map, &key, 1, text, len, NULL);
        break;
    case 2:
        soma_map_replace(map, &key, 1, text, len, NULL);
        break;
    case 3:
        soma_map_cas(map, &key, 1, text, 8, text, len, NULL);
        break;
    case 4:
        soma_map_remove(map, &key, 1, NULL);
        break;
    case 5:
        soma_map_remove_if(map, &key, 1, text, 8, NULL);
        break;
    case 6:
        soma_map_fetch_add(map, &key, 1, 1, NULL);
        break;
    case 7:
        cr_assert(soma_map_update(map, &key, 1, longer, NULL) >= 0);
        break;
    case 8:
        if (soma_map_get_version(map, &key, 1, NULL, 0, NULL, &version) == SOMA_OK)
            soma_map_cas_version(map, &key, 1, version, text, len, NULL);
        break;
    case 9:
        cr_assert_eq(soma_map_put_many(map, &(struct soma_bytes){&key, 1}, &(struct soma_bytes){text, len}, 1, NULL),
                     SOMA_OK);
        break;
    default:
        if (draw % 1100 == 10)
            soma_map_clear(map);
    }
}

static void bytes_run(bool keep_view)
{
    soma_map *map = bytes_with(SOMA_DIGEST);
    soma_view *view = NULL;
    unsigned seed = 2;
    if (keep_view)
        cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    for (int i = 0; i < STEPS; i++) {
        const unsigned draw = (unsigned)rand_r(&seed);
        byte_step(map, draw, (unsigned char)((unsigned)rand_r(&seed) % KEYS));
        if (i % 500 == 0)
            bytes_must_agree(map);
    }
    soma_view_close(view);
    soma_map_free(map);
}

Test(digest, bytes_by_every_verb)
{
    bytes_run(false);
}

Test(digest, bytes_beside_a_view)
{
    bytes_run(true);
}

/* ---- Keys, parts, statuses ---- */

Test(digest, other_keys_give_others)
{
    soma_u64 *secret[2];
    soma_u64 *open[2];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(soma_u64_new(&(struct soma_u64_options){.flags = SOMA_DIGEST}, &secret[i]), SOMA_OK);
        open[i] = NULL;
        cr_assert_eq(soma_u64_new(&(struct soma_u64_options){.flags = SOMA_DIGEST | SOMA_DIGEST_KEYLESS}, &open[i]),
                     SOMA_OK);
        soma_u64_put(secret[i], 1, 2, NULL);
        soma_u64_put(open[i], 1, 2, NULL);
    }
    const struct soma_digest a = of_words(secret[0]);
    const struct soma_digest b = of_words(secret[1]);
    const struct soma_digest c = of_words(open[0]);
    const struct soma_digest d = of_words(open[1]);
    cr_assert(!soma_digest_equal(&a, &b));
    cr_assert(soma_digest_equal(&c, &d));
    cr_assert(!soma_digest_equal(&a, &c));
    for (int i = 0; i < 2; i++) {
        soma_u64_free(secret[i]);
        soma_u64_free(open[i]);
    }
}

Test(digest, half_a_key_is_a_key)
{
    struct soma_digest digests[2];
    for (int i = 0; i < 2; i++) {
        soma_u64 *map = NULL;
        const struct soma_u64_options options = {.flags = SOMA_DIGEST, .digest_key = {0, 5}};
        cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
        soma_u64_put(map, 1, 2, NULL);
        digests[i] = of_words(map);
        soma_u64_free(map);
    }
    cr_assert(soma_digest_equal(&digests[0], &digests[1]));
}

Test(digest, parts_make_the_whole)
{
    soma_u64 *whole = words_with(SOMA_DIGEST);
    soma_u64 *part[2] = {words_with(SOMA_DIGEST), words_with(SOMA_DIGEST)};
    for (uint64_t key = 0; key < KEYS; key++) {
        soma_u64_put(whole, key, key, NULL);
        soma_u64_put(part[key % 2], key, key, NULL);
    }
    const struct soma_digest even = of_words(part[0]);
    const struct soma_digest odd = of_words(part[1]);
    const struct soma_digest both = soma_digest_combine(&even, &odd);
    const struct soma_digest all = of_words(whole);
    cr_assert(soma_digest_equal(&both, &all));
    cr_assert(!soma_digest_equal(&even, &odd));
    soma_u64_free(whole);
    soma_u64_free(part[0]);
    soma_u64_free(part[1]);
}

Test(digest, statuses)
{
    soma_u64 *words = words_with(0);
    soma_map *bytes = bytes_with(0);
    soma_view *view = NULL;
    struct soma_digest digest = {.count = 77};
    cr_assert_eq(soma_u64_view_open(words, &view), SOMA_OK);
    cr_assert_eq(soma_u64_digest(words, &digest), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_map_digest(bytes, &digest), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_view_digest(view, &digest), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_u64_digest(NULL, &digest), SOMA_E_INVALID);
    cr_assert_eq(soma_map_digest(NULL, &digest), SOMA_E_INVALID);
    cr_assert_eq(soma_view_digest(NULL, &digest), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_digest(words, NULL), SOMA_E_INVALID);
    cr_assert_eq(digest.count, 77);
    soma_view_close(view);
    soma_u64_free(words);
    soma_map_free(bytes);
}

/* ---- What has changed ---- */

static bool words_changed(const soma_u64 *map, uint64_t token, unsigned bits, uint64_t prefix)
{
    bool changed = true;
    cr_assert_eq(soma_u64_changed_since(map, token, bits, prefix, &changed), SOMA_OK);
    return changed;
}

static uint64_t words_token(soma_u64 *map)
{
    uint64_t token = 0;
    cr_assert_eq(soma_u64_change_token(map, &token), SOMA_OK);
    return token;
}

#define PLENTY 20000
#define RANGE_BITS 8

Test(digest, changes_of_words)
{
    soma_u64 *map = words_with(SOMA_DIGEST);
    for (uint64_t key = 0; key < PLENTY; key++)
        soma_u64_put(map, key, key, NULL);
    const uint64_t before = words_token(map);
    cr_assert(!words_changed(map, before, 0, 0));
    uint64_t value;
    soma_u64_get(map, 5, &value);
    soma_u64_put_new(map, 5, 6, NULL);
    soma_u64_remove(map, PLENTY, NULL);
    cr_assert(!words_changed(map, before, 0, 0), "what changes nothing is no change");
    soma_u64_put(map, 5, 6, NULL);
    const uint64_t between = words_token(map);
    cr_assert(words_changed(map, before, 0, 0));
    cr_assert(!words_changed(map, between, 0, 0));
    unsigned ranges = 0;
    for (uint64_t prefix = 0; prefix >> RANGE_BITS == 0; prefix++)
        ranges += words_changed(map, before, RANGE_BITS, prefix);
    cr_assert_eq(ranges, 1, "one key is in one range");
    soma_u64_put(map, 5, 5, NULL);
    cr_assert(words_changed(map, between, 0, 0), "changed back has changed");
    soma_u64_free(map);
}

Test(digest, changes_of_words_beside_a_view)
{
    soma_u64 *map = words_with(SOMA_DIGEST);
    soma_view *view = NULL;
    const uint64_t first = words_token(map);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    cr_assert(!words_changed(map, first, 0, 0));
    soma_u64_put(map, 1, 1, NULL);
    cr_assert(words_changed(map, first, 0, 0));
    const uint64_t second = words_token(map);
    soma_u64_remove(map, 1, NULL);
    cr_assert(words_changed(map, second, 0, 0));
    const uint64_t third = words_token(map);
    soma_view_close(view);
    cr_assert(!words_changed(map, third, 0, 0));
    soma_u64_clear(map);
    cr_assert(!words_changed(map, third, 0, 0), "there was nothing to be cleared");
    soma_u64_put(map, 1, 1, NULL);
    cr_assert(words_changed(map, third, 0, 0));
    soma_u64_free(map);
}

/* Marks that have become too few are replaced: then tokens say what they do not know. */
Test(digest, changes_of_a_growing_map)
{
    soma_u64 *map = words_with(SOMA_DIGEST);
    const uint64_t early = words_token(map);
    cr_assert(!words_changed(map, early, 0, 0));
    for (uint64_t key = 0; key < PLENTY; key++)
        soma_u64_put(map, key, key, NULL);
    const uint64_t late = words_token(map);
    cr_assert(words_changed(map, early, 0, 0));
    cr_assert(!words_changed(map, late, 0, 0));
    soma_u64_clear(map);
    cr_assert(words_changed(map, late, 0, 0));
    soma_u64_free(map);
}

Test(digest, changes_of_bytes)
{
    soma_map *map = bytes_with(SOMA_DIGEST);
    uint64_t token = 0;
    bool changed = true;
    soma_map_put(map, "key", 3, "value", 5, NULL);
    cr_assert_eq(soma_map_change_token(map, &token), SOMA_OK);
    cr_assert_eq(soma_map_changed_since(map, token, 0, 0, &changed), SOMA_OK);
    cr_assert(!changed);
    soma_map_put(map, "key", 3, "other", 5, NULL);
    cr_assert_eq(soma_map_changed_since(map, token, 0, 0, &changed), SOMA_OK);
    cr_assert(changed);
    soma_map_free(map);
}

Test(digest, changes_statuses)
{
    soma_u64 *words = words_with(0);
    soma_map *bytes = bytes_with(SOMA_DIGEST);
    uint64_t token = 7;
    bool changed;
    cr_assert_eq(soma_u64_change_token(words, &token), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_u64_changed_since(words, 0, 0, 0, &changed), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_u64_change_token(NULL, &token), SOMA_E_INVALID);
    cr_assert_eq(soma_map_change_token(bytes, NULL), SOMA_E_INVALID);
    cr_assert_eq(token, 7);
    cr_assert_eq(soma_map_changed_since(NULL, 0, 0, 0, &changed), SOMA_E_INVALID);
    cr_assert_eq(soma_map_changed_since(bytes, 0, 0, 0, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_changed_since(bytes, 0, 65, 0, &changed), SOMA_E_INVALID);
    cr_assert_eq(soma_map_changed_since(bytes, 0, 3, 8, &changed), SOMA_E_INVALID);
    soma_u64_free(words);
    soma_map_free(bytes);
}
