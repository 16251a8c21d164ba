/* SPDX-License-Identifier: ISC */
/* diffs.c - a price list and a copy of it that follows by patches, as it would in another process: what a day has changed is
 * printed, written to a file, read back, checked and applied to the copy. Then the day is taken back, in the list; and
 * what somebody has changed by hand in the copy is not overwritten. docs/diffs.md tells the story. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

static soma_map *prices;
static soma_map *copy;
static int wrong;

static void must(bool held, const char *what)
{
    if (!held)
        printf("WRONG: %s\n", what);
    wrong += !held;
}

static void set(soma_map *map, const char *article, uint64_t cents)
{
    must(soma_map_put(map, article, strlen(article), &cents, sizeof cents, NULL) >= 0, article);
}

static uint64_t price_of(soma_map *map, const char *article)
{
    uint64_t cents = 0;
    (void)soma_map_get_copy(map, article, strlen(article), &cents, sizeof cents, NULL);
    return cents;
}

static soma_view *look(soma_map *map)
{
    soma_view *view = NULL;
    must(soma_map_view_open(map, &view) == SOMA_OK, "a view");
    return view;
}

/* ---- What is different ---- */

static uint64_t cents_in(struct soma_bytes bytes)
{
    uint64_t cents = 0;
    if (bytes.len == sizeof cents)
        memcpy(&cents, bytes.data, sizeof cents); /* in a patch they may stand anywhere */
    return cents;
}

static enum soma_status show(const struct soma_difference *d, void *ctx)
{
    (void)ctx;
    printf("  %-8.*s %4" PRIu64 " -> %4" PRIu64 "\n", (int)d->key.len, (const char *)d->key.data, cents_in(d->before),
           cents_in(d->after));
    return SOMA_OK;
}

/* ---- Through a file ---- */

static void save(FILE *file, struct soma_bytes patch)
{
    must(fwrite(patch.data, 1, patch.len, file) == patch.len && fflush(file) == 0, "the file is written");
    rewind(file);
}

/* Whatever the file holds. */
static enum soma_status follow(FILE *file, soma_map *map)
{
    static unsigned char room[4096];
    struct soma_patch_info info;
    const struct soma_bytes bytes = {room, fread(room, 1, sizeof room, file)};
    const enum soma_status status = soma_patch_check(bytes, &info);
    if (status != SOMA_OK)
        return status;
    printf("a patch of %zu bytes: %" PRIu64 " new, %" PRIu64 " changed, %" PRIu64 " gone\n", bytes.len, info.inserted,
           info.replaced, info.removed);
    return soma_patch_apply_map_wait(map, bytes, NULL);
}

static void a_day(void)
{
    set(prices, "apples", 220);
    set(prices, "figs", 540);
    must(soma_map_remove(prices, "plums", 5, NULL) == SOMA_REMOVED, "plums are sold out");
}

static void same(soma_map *a, soma_map *b, bool want)
{
    soma_view *const of_a = look(a);
    soma_view *const of_b = look(b);
    bool equal = !want;
    must(soma_view_equal(of_a, of_b, &equal) == SOMA_OK && equal == want, want ? "the same" : "not the same");
    soma_view_close(of_a);
    soma_view_close(of_b);
}

int main(void)
{
    soma_patch *patch = NULL;
    soma_patch *back = NULL;
    FILE *file = tmpfile();
    if (!file || soma_map_new(NULL, &prices) != SOMA_OK)
        return 1;
    set(prices, "apples", 199);
    set(prices, "pears", 249);
    set(prices, "plums", 320);
    soma_view *const morning = look(prices);
    if (soma_map_copy(morning, NULL, NULL, NULL, &copy) != SOMA_OK) /* with a seed of its own */
        return 1;
    a_day();
    soma_view *const evening = look(prices);
    must(soma_diff_views(morning, evening, show, NULL) == SOMA_OK, "differences");
    if (soma_patch_make(morning, evening, &patch) != SOMA_OK)
        return 1;

    save(file, soma_patch_bytes(patch));
    must(follow(file, copy) == SOMA_OK, "the copy follows");
    same(prices, copy, true);

    if (soma_patch_invert(soma_patch_bytes(patch), &back) != SOMA_OK)
        return 1;
    must(soma_patch_apply_map_wait(prices, soma_patch_bytes(back), NULL) == SOMA_OK, "as in the morning");
    must(price_of(prices, "plums") == 320 && price_of(prices, "figs") == 0, "as in the morning");

    set(copy, "figs", 600); /* by hand: so the day cannot be taken back here */
    must(soma_patch_apply_map_wait(copy, soma_patch_bytes(back), NULL) == SOMA_CHANGED, "it does not fit");
    must(price_of(copy, "figs") == 600 && price_of(copy, "apples") == 220, "nothing has changed");
    same(prices, copy, false);

    fclose(file);
    soma_patch_free(patch);
    soma_patch_free(back);
    soma_view_close(morning);
    soma_view_close(evening);
    soma_map_free(copy);
    soma_map_free(prices);
    return wrong ? 1 : 0;
}
