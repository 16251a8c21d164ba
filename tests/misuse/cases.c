/* SPDX-License-Identifier: ISC */
/* cases.c - the rules, broken and kept. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <soma/frozen.h>
#include <soma/patch.h>
#include <soma/soma.h>
#include <soma/sync.h>

#include "misuse.h"

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

/* What a rule needs, or the case is none. */
static void need(bool there)
{
    if (!there) {
        (void)printf("a case could not be set up\n");
        abort();
    }
}

static volatile unsigned char seen;

static void use(struct soma_bytes bytes)
{
    seen = *(const volatile unsigned char *)bytes.data;
}

static soma_map *bytes_map(void)
{
    soma_map *map = NULL;
    need(soma_map_new(NULL, &map) == SOMA_OK && soma_map_put(map, "key", 3, "a value", 7, NULL) == SOMA_INSERTED &&
         soma_map_put(map, "other", 5, "another", 7, NULL) == SOMA_INSERTED);
    return map;
}

static soma_u64 *words_map(void)
{
    soma_u64 *map = NULL;
    need(soma_u64_new(NULL, &map) == SOMA_OK);
    for (uint64_t i = 1; i <= 100; i++)
        need(soma_u64_put(map, i, i, NULL) == SOMA_INSERTED);
    return map;
}

/* ---- Borrowing ---- */

static void lookup_outside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes value;
    need(soma_map_get_ref(map, "key", 3, &value) == SOMA_OK);
    soma_map_free(map);
}

static void lookup_inside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes value;
    soma_read_enter();
    need(soma_map_get_ref(map, "key", 3, &value) == SOMA_OK);
    use(value);
    soma_read_exit();
    need(soma_map_get_ref(map, "key", 3, NULL) == SOMA_OK); /* whether it is there */
    soma_map_free(map);
}

static void old_outside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes old;
    need(soma_map_remove(map, "key", 3, &old) == SOMA_REMOVED);
    soma_map_free(map);
}

static void old_inside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes old;
    soma_read_enter();
    need(soma_map_remove(map, "key", 3, &old) == SOMA_REMOVED);
    use(old);
    soma_read_exit();
    need(soma_map_remove(map, "key", 3, &old) == SOMA_ABSENT); /* lends nothing */
    soma_map_free(map);
}

static void cell_outside(void)
{
    static int object;
    struct soma_cell cell;
    soma_cell_init(&cell, &object);
    need(soma_cell_read(&cell) == &object);
}

static void cell_inside(void)
{
    static int object;
    struct soma_cell cell;
    soma_cell_init(&cell, &object);
    soma_read_enter();
    need(soma_cell_read(&cell) == &object);
    soma_read_exit();
}

static void value_after_section(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes value;
    soma_read_enter();
    need(soma_map_get_ref(map, "key", 3, &value) == SOMA_OK);
    soma_read_exit();
    use(value);
    soma_map_free(map);
}

static void value_copied(void)
{
    soma_map *map = bytes_map();
    char copy[16];
    size_t len = 0;
    need(soma_map_get_copy(map, "key", 3, copy, sizeof copy, &len) == SOMA_OK);
    use((struct soma_bytes){.data = copy, .len = len});
    soma_map_free(map);
}

static void old_after_section(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes old;
    soma_read_enter();
    need(soma_map_put(map, "key", 3, "new", 3, &old) == SOMA_REPLACED);
    soma_read_exit();
    use(old);
    soma_map_free(map);
}

/* One that is there and one that is not, whose place in `old` is no value. */
static void remove_two(soma_map *map, struct soma_bytes old[2], bool *found)
{
    const struct soma_bytes keys[2] = {{"key", 3}, {"absent", 6}};
    old[1] = (struct soma_bytes){(const void *)(uintptr_t)8, 100};
    need(soma_map_remove_many(map, keys, 2, old, found, NULL) == SOMA_OK);
    need((uintptr_t)old[1].data == 8 && old[1].len == 100);
}

static void many_after_section(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes old[2];
    soma_read_enter();
    remove_two(map, old, NULL);
    soma_read_exit();
    use(old[0]);
    soma_map_free(map);
}

static void many_inside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes old[2];
    bool found[2];
    soma_read_enter();
    remove_two(map, old, found);
    use(old[0]);
    soma_read_exit();
    need(found[0] && !found[1]);
    soma_map_free(map);
}

static void value_handed_back(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes value;
    soma_read_enter();
    need(soma_map_get_ref(map, "key", 3, &value) == SOMA_OK);
    soma_read_exit();
    (void)soma_map_put(map, "copy", 4, value.data, value.len, NULL);
    soma_map_free(map);
}

static void value_handed_back_inside(void)
{
    soma_map *map = bytes_map();
    struct soma_bytes value;
    soma_read_enter();
    soma_read_enter();
    need(soma_map_get_ref(map, "key", 3, &value) == SOMA_OK);
    soma_read_exit();
    need(soma_map_put(map, "copy", 4, value.data, value.len, NULL) == SOMA_INSERTED);
    soma_read_exit();
    soma_map_free(map);
}

static soma_cursor *over(const soma_map *map)
{
    soma_cursor *cursor = NULL;
    need(soma_cursor_open_map(map, &cursor) == SOMA_OK);
    return cursor;
}

static void entry_after_next(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    struct soma_bytes key;
    struct soma_bytes value;
    need(soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK && soma_cursor_next_ref(cursor, NULL, NULL) == SOMA_OK);
    use(key);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

static void entry_after_part(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    struct soma_bytes key;
    need(soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK && soma_cursor_part(cursor, 0, 2) == SOMA_OK);
    use(key);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

static void entry_after_range(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    struct soma_bytes key;
    need(soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK && soma_cursor_range(cursor, 0, 0) == SOMA_OK);
    use(key);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

static void entry_handed_back(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    struct soma_bytes key;
    need(soma_cursor_next_ref(cursor, &key, NULL) == SOMA_OK);
    soma_cursor_close(cursor);
    (void)soma_map_remove(map, key.data, key.len, NULL);
    soma_map_free(map);
}

static void entry_before_next(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    struct soma_bytes key;
    struct soma_bytes value;
    uint64_t version;
    while (soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK) {
        need(soma_cursor_version(cursor, &version) == SOMA_OK && soma_cursor_token(cursor) != 0);
        use(key);
        use(value);
        need(soma_map_remove(map, key.data, key.len, NULL) == SOMA_REMOVED);
    }
    soma_cursor_close(cursor);
    soma_map_free(map);
}

/* ---- Sections ---- */

static void exit_alone(void)
{
    soma_read_enter();
    soma_read_exit();
    soma_read_exit();
}

static void exit_paired(void)
{
    soma_read_enter();
    soma_read_enter();
    soma_read_exit();
    soma_read_exit();
}

static void *enters(void *arg)
{
    soma_read_enter();
    return arg;
}

static void *enters_and_exits(void *arg)
{
    soma_read_enter();
    soma_read_exit();
    return arg;
}

static void in_thread(void *(*what)(void *))
{
    pthread_t thread;
    need(pthread_create(&thread, NULL, what, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

static void thread_ends_inside(void)
{
    in_thread(enters);
}

static void thread_ends_outside(void)
{
    in_thread(enters_and_exits);
}

static void program_ends_inside(void)
{
    soma_read_enter();
    exit(0);
}

static void program_ends_outside(void)
{
    exit_paired();
    exit(0);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void stays_long(void)
{
    soma_read_enter();
    sleep_ms(120);
    soma_read_exit();
}

static void stays_short(void)
{
    soma_read_enter();
    soma_read_exit();
}

static void *calls_synchronize(void *arg)
{
    soma_synchronize_wait();
    return arg;
}

/* Named while it is open, by who waits for it. */
static void stays_beside_waiter(void)
{
    pthread_t waiter;
    soma_read_enter();
    need(pthread_create(&waiter, NULL, calls_synchronize, NULL) == 0);
    sleep_ms(300);
    (void)write(STDERR_FILENO, "still inside\n", strlen("still inside\n"));
    soma_read_exit();
    pthread_join(waiter, NULL);
}

static void waits_inside(void)
{
    soma_read_enter();
    soma_synchronize_wait();
    soma_read_exit();
}

static void barrier_inside(void)
{
    soma_read_enter();
    soma_barrier_wait();
    soma_read_exit();
}

static void waits_outside(void)
{
    soma_synchronize_wait();
    soma_barrier_wait();
}

/* ---- Lives ---- */

static void words_after_free(void)
{
    soma_u64 *map = words_map();
    soma_u64_free(map);
    uint64_t value;
    (void)soma_u64_get(map, 1, &value);
}

static void bytes_after_free(void)
{
    soma_map *map = bytes_map();
    soma_map_free(map);
    (void)soma_map_put(map, "key", 3, "v", 1, NULL);
}

static void count_after_free(void)
{
    soma_u64 *map = words_map();
    soma_u64_free(map);
    (void)soma_u64_count_approx(map);
}

static void words_then_free(void)
{
    for (int i = 0; i < 100; i++)
        soma_u64_free(words_map());
    soma_u64_free(NULL);
}

static void free_twice(void)
{
    soma_map *map = bytes_map();
    soma_map_free(map);
    soma_map_free(map);
}

static void free_once(void)
{
    for (int i = 0; i < 100; i++)
        soma_map_free(bytes_map());
    soma_map_free(NULL);
}

static void free_beside_view(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK);
    soma_u64_free(map);
}

static void free_behind_view(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_cursor *cursor = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_cursor_open_sorted(view, &cursor) == SOMA_OK);
    soma_view_close(view);
    soma_u64_free(map);
    need(soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK); /* a sorted one needs neither */
    soma_cursor_close(cursor);
}

/* The map stays in memory, but not for use. */
static void cursor_after_map(void)
{
    soma_u64 *map = words_map();
    soma_cursor *cursor = NULL;
    need(soma_cursor_open_u64(map, &cursor) == SOMA_OK);
    soma_u64_free(map);
    (void)soma_cursor_next_u64(cursor, NULL, NULL);
}

static void cursor_after_view(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_cursor *cursor = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_cursor_open_view(view, &cursor) == SOMA_OK);
    soma_view_close(view);
    (void)soma_cursor_next_u64(cursor, NULL, NULL);
}

static void cursor_before_view(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_cursor *cursor = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_cursor_open_view(view, &cursor) == SOMA_OK &&
         soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK);
    soma_cursor_close(cursor);
    soma_view_close(view);
    soma_u64_free(map);
}

/* The second close must not be that of the view that has been opened in between. */
static void view_closed_twice(void)
{
    soma_u64 *map = words_map();
    soma_view *first = NULL;
    soma_view *second = NULL;
    need(soma_u64_view_open(map, &first) == SOMA_OK);
    soma_view_close(first);
    need(soma_u64_view_open(map, &second) == SOMA_OK);
    soma_view_close(first);
    need(soma_view_count(second) == 100);
    soma_view_close(second);
    soma_u64_free(map);
}

static void view_after_close(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK);
    soma_view_close(view);
    (void)soma_view_get_u64(view, 1, NULL);
    soma_u64_free(map);
}

static void views_closed_once(void)
{
    soma_u64 *map = words_map();
    for (int i = 0; i < 200; i++) {
        soma_view *view = NULL;
        need(soma_u64_view_open(map, &view) == SOMA_OK && soma_view_get_u64(view, 1, NULL) == SOMA_OK);
        soma_view_close(view);
    }
    soma_view_close(NULL);
    soma_u64_free(map);
}

static void cursor_closed_twice(void)
{
    soma_map *map = bytes_map();
    soma_cursor *cursor = over(map);
    soma_cursor_close(cursor);
    soma_cursor_close(cursor);
    soma_map_free(map);
}

static void session_closed_twice(void)
{
    soma_u64 *map = NULL;
    soma_sync *sync = NULL;
    const struct soma_u64_options options = {.flags = SOMA_DIGEST};
    const struct soma_sync_options giver = {.role = SOMA_SYNC_SOURCE};
    need(soma_u64_new(&options, &map) == SOMA_OK && soma_u64_sync_open(map, &giver, &sync) == SOMA_OK);
    soma_sync_close(sync);
    soma_sync_close(sync);
    soma_u64_free(map);
}

static void patch_after_free(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_patch *patch = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_patch_make(view, view, &patch) == SOMA_OK);
    soma_patch_free(patch);
    (void)soma_patch_bytes(patch);
    soma_view_close(view);
    soma_u64_free(map);
}

static void patch_before_free(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_patch *patch = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_patch_make(view, view, &patch) == SOMA_OK);
    need(soma_patch_bytes(patch).len > 0);
    soma_patch_free(patch);
    soma_view_close(view);
    soma_u64_free(map);
}

/* ---- One at a time ---- */

static atomic_bool caught;

static void *asks_for_token(void *arg)
{
    while (!caught) {
        if (soma_cursor_token(arg) == 0) /* 0 is no place behind an entry */
            caught = true;
    }
    return NULL;
}

static void cursor_shared(void)
{
    soma_u64 *map = words_map();
    soma_cursor *cursor = NULL;
    pthread_t other;
    need(soma_cursor_open_u64(map, &cursor) == SOMA_OK && soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK);
    const uint64_t token = soma_cursor_token(cursor);
    need(pthread_create(&other, NULL, asks_for_token, cursor) == 0);
    while (!caught) {
        if (soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_E_INVALID)
            caught = true;
        if (soma_cursor_seek(cursor, token) == SOMA_E_INVALID)
            caught = true;
    }
    pthread_join(other, NULL);
}

static void *walks(void *arg)
{
    soma_cursor *cursor = NULL;
    need(soma_cursor_open_u64(arg, &cursor) == SOMA_OK);
    while (soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK)
        ;
    soma_cursor_close(cursor);
    return NULL;
}

static void cursors_of_two_threads(void)
{
    soma_u64 *map = words_map();
    pthread_t other;
    need(pthread_create(&other, NULL, walks, map) == 0);
    walks(map);
    pthread_join(other, NULL);
    soma_u64_free(map);
}

/* ---- The right thing ---- */

static void other_kind(void)
{
    soma_map *map = bytes_map();
    (void)soma_u64_put((soma_u64 *)map, 1, 1, NULL);
    soma_map_free(map);
}

static void not_a_map(void)
{
    static uint64_t words[64];
    (void)soma_u64_put((soma_u64 *)words, 1, 1, NULL);
}

static soma_frozen *frozen_words(void)
{
    soma_u64 *map = words_map();
    soma_view *view = NULL;
    soma_frozen *frozen = NULL;
    need(soma_u64_view_open(map, &view) == SOMA_OK && soma_frozen_build(view, &frozen) == SOMA_OK);
    soma_view_close(view);
    soma_u64_free(map);
    return frozen;
}

static void frozen_written(void)
{
    soma_frozen *frozen = frozen_words();
    (void)soma_u64_put((soma_u64 *)frozen, 1, 1, NULL);
    soma_frozen_free(frozen);
}

static void frozen_bytes_written(void)
{
    soma_map *map = bytes_map();
    soma_view *view = NULL;
    soma_frozen *frozen = NULL;
    struct soma_bytes value;
    need(soma_map_view_open(map, &view) == SOMA_OK && soma_frozen_build(view, &frozen) == SOMA_OK &&
         soma_frozen_get_ref(frozen, "key", 3, &value) == SOMA_OK);
    ((volatile char *)(uintptr_t)value.data)[0] = 'A';
    soma_frozen_free(frozen);
    soma_view_close(view);
    soma_map_free(map);
}

static void frozen_after_free(void)
{
    soma_frozen *frozen = frozen_words();
    soma_frozen_free(frozen);
    (void)soma_frozen_count(frozen);
}

static void frozen_read(void)
{
    soma_frozen *frozen = frozen_words();
    uint64_t value = 0;
    need(soma_frozen_get_u64(frozen, 7, &value) == SOMA_OK && value == 7 && soma_frozen_count(frozen) == 100);
    soma_frozen_free(frozen);
    soma_frozen_free(NULL);
}

static uint64_t token_in(soma_u64 *map, soma_cursor **cursor)
{
    need(soma_cursor_open_u64(map, cursor) == SOMA_OK && soma_cursor_next_u64(*cursor, NULL, NULL) == SOMA_OK);
    return soma_cursor_token(*cursor);
}

static void token_elsewhere(void)
{
    soma_u64 *maps[] = {words_map(), words_map()};
    soma_cursor *cursors[2];
    const uint64_t token = token_in(maps[0], &cursors[0]);
    (void)token_in(maps[1], &cursors[1]);
    need(soma_cursor_seek(cursors[1], token) == SOMA_OK);
    for (int i = 0; i < 2; i++) {
        soma_cursor_close(cursors[i]);
        soma_u64_free(maps[i]);
    }
}

static void token_at_home(void)
{
    soma_u64 *map = words_map();
    soma_cursor *cursors[2];
    const uint64_t token = token_in(map, &cursors[0]);
    (void)token_in(map, &cursors[1]);
    need(soma_cursor_seek(cursors[1], token) == SOMA_OK && soma_cursor_seek(cursors[0], 0) == SOMA_OK);
    soma_cursor_close(cursors[0]);
    soma_cursor_close(cursors[1]);
    soma_u64_free(map);
}

/* ---- Callbacks ---- */

static soma_u64 *shared_map;

static enum soma_status writes_elsewhere(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)present, (void)ctx;
    *value = key;
    (void)soma_u64_put(shared_map, key + 1, 1, NULL);
    return SOMA_OK;
}

static enum soma_status frees_the_map(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present, (void)value;
    soma_u64_free(ctx);
    return SOMA_EXISTS;
}

static enum soma_status looks_elsewhere(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)present, (void)ctx;
    soma_read_enter();
    const enum soma_status status = soma_u64_get(shared_map, key + 1, value);
    soma_read_exit();
    return status == SOMA_OK ? SOMA_OK : SOMA_EXISTS;
}

static enum soma_status leaves_section_open(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present, (void)value, (void)ctx;
    soma_read_enter();
    return SOMA_EXISTS;
}

static enum soma_status answers_nonsense(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present, (void)value, (void)ctx;
    return SOMA_CHANGED;
}

static void update_with(soma_u64_update_fn fn)
{
    shared_map = words_map();
    (void)soma_u64_update(shared_map, 1, fn, shared_map);
}

static void update_writes(void)
{
    update_with(writes_elsewhere);
    soma_u64_free(shared_map);
}

static void update_frees(void)
{
    update_with(frees_the_map);
    soma_u64_free(shared_map);
}

static void update_enters(void)
{
    update_with(leaves_section_open);
    soma_read_exit();
    soma_u64_free(shared_map);
}

static void update_answers(void)
{
    update_with(answers_nonsense);
    soma_u64_free(shared_map);
}

static void update_looks(void)
{
    update_with(looks_elsewhere);
    uint64_t value = 0;
    need(soma_u64_get(shared_map, 1, &value) == SOMA_OK && value == 2);
    soma_u64_free(shared_map);
}

static void with_puts(uint64_t key, uint64_t value, void *ctx)
{
    (void)soma_u64_put((soma_u64 *)ctx, key, value + 1, NULL);
}

static void with_enters(uint64_t key, uint64_t value, void *ctx)
{
    (void)key, (void)value, (void)ctx;
    soma_read_enter();
}

static void with_gets(uint64_t key, uint64_t value, void *ctx)
{
    soma_read_enter();
    need(soma_u64_get((const soma_u64 *)ctx, key, &value) == SOMA_OK);
    soma_read_exit();
}

static void with_put_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)soma_map_put((soma_map *)ctx, key, key_len, value.data, value.len, NULL);
}

static void get_with_writes(void)
{
    soma_u64 *map = words_map();
    need(soma_u64_get_with(map, 1, with_puts, map) == SOMA_OK);
    soma_u64_free(map);
}

static void get_with_writes_bytes(void)
{
    soma_map *map = bytes_map();
    need(soma_map_get_with(map, "key", 3, with_put_bytes, map) == SOMA_OK);
    soma_map_free(map);
}

static void get_with_enters(void)
{
    soma_u64 *map = words_map();
    need(soma_u64_get_with(map, 1, with_enters, map) == SOMA_OK);
    soma_read_exit();
    soma_u64_free(map);
}

static void get_with_looks(void)
{
    soma_u64 *map = words_map();
    need(soma_u64_get_with(map, 1, with_gets, map) == SOMA_OK);
    soma_u64_free(map);
}

static enum soma_status takes_and_puts(uint64_t key, uint64_t value, void *ctx)
{
    (void)soma_u64_put((soma_u64 *)ctx, key, value + 1, NULL);
    return SOMA_END;
}

static enum soma_status takes_nonsense(uint64_t key, uint64_t value, void *ctx)
{
    return soma_u64_get((const soma_u64 *)ctx, key, &value);
}

static enum soma_status takes_looked_up(uint64_t key, uint64_t value, void *ctx)
{
    soma_read_enter();
    need(soma_u64_get((const soma_u64 *)ctx, key, &value) == SOMA_OK);
    soma_read_exit();
    return value % 2 ? SOMA_REMOVED : SOMA_EXISTS;
}

static enum soma_status takes_bytes_nonsense(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)key, (void)key_len, (void)value, (void)ctx;
    return SOMA_REPLACED;
}

static void take_with(soma_u64_take_fn fn, enum soma_status want)
{
    soma_u64 *map = words_map();
    uint64_t place = 0;
    need(soma_u64_take(map, &place, 10, fn, map, NULL, NULL, NULL) == want);
    soma_u64_free(map);
}

static void take_writes(void)
{
    take_with(takes_and_puts, SOMA_OK);
}

static void take_answers(void)
{
    take_with(takes_nonsense, SOMA_E_INVALID);
}

static void take_looks(void)
{
    take_with(takes_looked_up, SOMA_OK);
}

static void take_answers_bytes(void)
{
    soma_map *map = bytes_map();
    uint64_t place = 0;
    need(soma_map_take(map, &place, 10, takes_bytes_nonsense, NULL, NULL, NULL, NULL) == SOMA_E_INVALID);
    soma_map_free(map);
}

/* What hangs on a value: asked of it, and asked elsewhere about it, once. */
static soma_u64 *sizes_map;
static void (*sizes_fn)(void);

static void sizes_put(void)
{
    (void)soma_u64_put(sizes_map, 1, 2, NULL);
}

static void sizes_enter(void)
{
    (void)soma_u64_get(sizes_map, 1, NULL);
    soma_read_enter();
}

static void sizes_get(void)
{
    soma_read_enter();
    need(soma_u64_get(sizes_map, 1, NULL) == SOMA_OK);
    soma_read_exit();
}

static uint64_t word_size(uint64_t value, void *ctx)
{
    (void)ctx;
    void (*const fn)(void) = sizes_fn;
    sizes_fn = NULL;
    if (fn)
        fn();
    return value;
}

static uint64_t value_size(const void *value, size_t len, void *ctx)
{
    (void)value;
    return word_size(len, ctx);
}

static void retires_word(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

static void retires_value(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len, (void)ctx;
}

static void word_sizes_with(void (*fn)(void))
{
    const struct soma_u64_options options = {.value_retire = retires_word, .value_bytes = word_size};
    soma_u64 *map = NULL;
    sizes_map = words_map();
    need(soma_u64_new(&options, &map) == SOMA_OK && soma_u64_put(map, 1, 1, NULL) == SOMA_INSERTED);
    sizes_fn = fn;
    need(soma_u64_clear(map) == SOMA_OK && !sizes_fn);
    if (fn == sizes_enter)
        soma_read_exit();
    soma_u64_free(map);
    soma_u64_free(sizes_map);
}

/* It is asked when the view that has kept the value is closed. */
static void value_sizes_with(void (*fn)(void))
{
    const struct soma_map_options options = {.value_retire = retires_value, .value_bytes = value_size};
    soma_map *map = NULL;
    soma_view *view = NULL;
    sizes_map = words_map();
    need(soma_map_new(&options, &map) == SOMA_OK && soma_map_put(map, "key", 3, "old", 3, NULL) == SOMA_INSERTED &&
         soma_map_view_open(map, &view) == SOMA_OK && soma_map_put(map, "key", 3, "new", 3, NULL) == SOMA_REPLACED);
    sizes_fn = fn;
    soma_view_close(view);
    need(!sizes_fn);
    if (fn == sizes_enter)
        soma_read_exit();
    soma_map_free(map);
    soma_u64_free(sizes_map);
}

static void value_bytes_writes(void)
{
    word_sizes_with(sizes_put);
}

static void value_bytes_enters(void)
{
    word_sizes_with(sizes_enter);
}

static void value_bytes_looks(void)
{
    word_sizes_with(sizes_get);
}

static void bytes_value_bytes_writes(void)
{
    value_sizes_with(sizes_put);
}

static void bytes_value_bytes_enters(void)
{
    value_sizes_with(sizes_enter);
}

static void bytes_value_bytes_looks(void)
{
    value_sizes_with(sizes_get);
}

static void waits(void *arg)
{
    (void)arg;
    soma_barrier_wait();
}

static void frees(void *arg)
{
    free(arg);
}

static void retired_waits(void)
{
    need(soma_retire(waits, NULL) == SOMA_OK);
    soma_barrier_wait();
}

static void retired_frees(void)
{
    need(soma_retire(frees, malloc(1)) == SOMA_OK);
    soma_barrier_wait();
}

/* ---- Functions of the program's that Soma calls ---- */

static soma_u64 *own_map; /* the one that the functions below belong to */

static void enters_and_stays(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
    soma_read_enter();
}

static void frees_its_map(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
    soma_u64_free(own_map);
}

static void looks_and_frees(uint64_t value, void *ctx)
{
    soma_read_enter();
    need(soma_u64_get(ctx, 1, NULL) == SOMA_OK && soma_u64_put(ctx, value, 1, NULL) > 0);
    soma_read_exit();
    need(soma_retire(free, malloc(1)) == SOMA_OK);
}

static void retire_with(void (*value_retire)(uint64_t value, void *ctx), void *ctx)
{
    const struct soma_u64_options options = {.value_retire = value_retire, .ctx = ctx};
    need(soma_u64_new(&options, &own_map) == SOMA_OK && soma_u64_put(own_map, 1, 2, NULL) == SOMA_INSERTED);
    soma_u64_free(own_map);
}

static void retire_enters(void)
{
    retire_with(enters_and_stays, NULL);
    soma_read_exit();
}

static void retire_frees(void)
{
    retire_with(frees_its_map, NULL);
}

static void retire_looks(void)
{
    soma_u64 *other = words_map();
    retire_with(looks_and_frees, other);
    soma_u64_free(other);
}

static atomic_bool inside;
static atomic_bool told;

static void *stays_inside(void *arg)
{
    soma_read_enter();
    inside = true;
    while (!told)
        sleep_ms(1);
    soma_read_exit();
    return arg;
}

/* Another thread stays inside until a stall has been told of, once. */
static void stall_with(soma_stall_fn stall)
{
    const struct soma_u64_options options = {.stall = stall, .stall_ns = 1};
    pthread_t reader;
    need(soma_u64_new(&options, &own_map) == SOMA_OK && pthread_create(&reader, NULL, stays_inside, NULL) == 0);
    while (!inside)
        sleep_ms(1);
    for (uint64_t i = 0; !told; i++)
        need(soma_u64_put(own_map, i % 100, i, NULL) > 0 && soma_u64_remove(own_map, i % 100, NULL) > 0);
    pthread_join(reader, NULL);
    soma_u64_free(own_map);
}

static void stall_synchronizes(const struct soma_stall *stall, void *ctx)
{
    (void)stall, (void)ctx;
    soma_synchronize_wait();
    told = true;
}

static void stall_drains(const struct soma_stall *stall, void *ctx)
{
    (void)stall, (void)ctx;
    soma_barrier_wait();
    told = true;
}

static void stall_frees_map(const struct soma_stall *stall, void *ctx)
{
    frees_its_map(0, ctx);
    told = stall->waited_ns > 0;
}

static void stall_fills(const struct soma_stall *stall, void *ctx)
{
    (void)stall, (void)ctx;
    const struct soma_map_options options = {.flags = SOMA_WAIT_AT_LIMIT, .deferred_bytes_max = 1 << 16};
    soma_map *full = NULL;
    static char value[1 << 12];
    need(soma_map_new(&options, &full) == SOMA_OK);
    for (int i = 0; i < 1000 && soma_map_put(full, "key", 3, value, sizeof value, NULL) > 0; i++)
        value[0]++;
    told = true;
    soma_map_free(full);
}

static void stall_fills_words(const struct soma_stall *stall, void *ctx)
{
    (void)stall, (void)ctx;
    const struct soma_u64_options options = {
        .flags = SOMA_WAIT_AT_LIMIT, .deferred_bytes_max = 64, .value_retire = retires_word};
    soma_u64 *full = NULL;
    const uint64_t keys[10] = {0};
    need(soma_u64_new(&options, &full) == SOMA_OK);
    need(soma_u64_put_many(full, keys, keys, 10, NULL) == SOMA_E_LIMIT);
    told = true;
    soma_u64_free(full);
}

static void stall_looks_up(const struct soma_stall *stall, void *ctx)
{
    (void)ctx;
    soma_read_enter();
    need(stall->waited_ns > 0 && soma_u64_get(own_map, 1000, NULL) == SOMA_ABSENT);
    soma_read_exit();
    need(soma_u64_put(own_map, 1000, 1, NULL) > 0);
    told = true;
}

static void stall_waits(void)
{
    stall_with(stall_synchronizes);
}

static void stall_barrier(void)
{
    stall_with(stall_drains);
}

static void stall_frees(void)
{
    stall_with(stall_frees_map);
}

static void stall_at_limit(void)
{
    stall_with(stall_fills);
}

static void stall_words_at_limit(void)
{
    stall_with(stall_fills_words);
}

static void stall_looks(void)
{
    stall_with(stall_looks_up);
}

static enum soma_status diff_closes_view(const struct soma_difference *difference, void *ctx)
{
    (void)difference;
    soma_view_close(ctx);
    return SOMA_END;
}

static enum soma_status diff_leaves_open(const struct soma_difference *difference, void *ctx)
{
    (void)difference, (void)ctx;
    soma_read_enter();
    return SOMA_END;
}

static enum soma_status diff_copies(const struct soma_difference *difference, void *ctx)
{
    soma_read_enter();
    need(soma_u64_put(ctx, difference->word.key + 1000, difference->word.after, NULL) > 0);
    soma_read_exit();
    return SOMA_OK;
}

/* The second view is closed by the function, if that is what it does. */
static void diff_with(soma_diff_fn fn, bool closes)
{
    soma_u64 *map = words_map();
    soma_view *a = NULL;
    soma_view *b = NULL;
    need(soma_u64_view_open(map, &a) == SOMA_OK && soma_u64_put(map, 1, 9, NULL) == SOMA_REPLACED &&
         soma_u64_view_open(map, &b) == SOMA_OK);
    (void)soma_diff_views(a, b, fn, closes ? (void *)b : (void *)map);
    if (closes)
        return;
    soma_view_close(a);
    soma_view_close(b);
    soma_u64_free(map);
}

static void diff_closes(void)
{
    diff_with(diff_closes_view, true);
}

static void diff_enters(void)
{
    diff_with(diff_leaves_open, false);
    soma_read_exit();
}

static void diff_right(void)
{
    diff_with(diff_copies, false);
}

static soma_sync *target;

static enum soma_status change_feeds(const struct soma_difference *difference, void *ctx)
{
    (void)difference, (void)ctx;
    return soma_sync_feed(target, "", 1, NULL) == SOMA_E_INVALID ? SOMA_E_IO : SOMA_OK;
}

static enum soma_status change_closes(const struct soma_difference *difference, void *ctx)
{
    (void)difference, (void)ctx;
    soma_sync_close(target);
    return SOMA_E_IO;
}

static enum soma_status change_looks(const struct soma_difference *difference, void *ctx)
{
    (void)difference;
    struct soma_sync_result so_far;
    soma_sync_outcome(target, &so_far);
    return soma_u64_put(ctx, 2000, 1, NULL) > 0 ? SOMA_OK : SOMA_E_IO;
}

static enum soma_status pump(soma_sync *from, soma_sync *to)
{
    char bytes[256];
    size_t len = 0;
    enum soma_status status = soma_sync_drain(from, bytes, sizeof bytes, &len);
    while (status == SOMA_OK && len > 0) {
        status = soma_sync_feed(to, bytes, len, NULL);
        if (status == SOMA_OK)
            status = soma_sync_drain(from, bytes, sizeof bytes, &len);
    }
    return status;
}

static void session_with(soma_diff_fn change)
{
    const struct soma_u64_options options = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    soma_u64 *maps[2] = {NULL, NULL};
    soma_sync *source = NULL;
    soma_u64 *other = words_map();
    const struct soma_sync_options sides[2] = {{.role = SOMA_SYNC_SOURCE, .initiator = true},
                                               {.role = SOMA_SYNC_TARGET, .change = change, .ctx = other}};
    need(soma_u64_new(&options, &maps[0]) == SOMA_OK && soma_u64_new(&options, &maps[1]) == SOMA_OK &&
         soma_u64_put(maps[0], 1, 1, NULL) == SOMA_INSERTED &&
         soma_u64_sync_open(maps[0], &sides[0], &source) == SOMA_OK &&
         soma_u64_sync_open(maps[1], &sides[1], &target) == SOMA_OK);
    while (pump(source, target) == SOMA_OK && pump(target, source) == SOMA_OK) {
    }
    need((soma_u64_get(maps[1], 1, NULL) == SOMA_OK) == (change == change_looks));
    soma_sync_close(source);
    soma_sync_close(target);
    soma_u64_free(maps[0]);
    soma_u64_free(maps[1]);
    soma_u64_free(other);
}

static void session_fed(void)
{
    session_with(change_feeds);
}

static void session_closed(void)
{
    session_with(change_closes);
}

static void session_right(void)
{
    session_with(change_looks);
}

/* ---- Arguments ---- */

static void options_unset(void)
{
    struct soma_u64_options options;
    soma_u64 *map = NULL;
    memset(&options, 0xa5, sizeof options);
    need(soma_u64_new(&options, &map) == SOMA_E_INVALID);
}

static void flags_unknown(void)
{
    const struct soma_map_options options = {.flags = 1u << 30};
    soma_map *map = NULL;
    need(soma_map_new(&options, &map) == SOMA_E_INVALID);
}

static void options_set(void)
{
    const struct soma_u64_options options = {.struct_size = sizeof options, .reserve = 10};
    soma_u64 *map = NULL;
    need(soma_u64_new(&options, &map) == SOMA_OK);
    soma_u64_free(map);
}

static void null_map(void)
{
    (void)soma_u64_put(NULL, 1, 1, NULL);
}

static void real_map(void)
{
    soma_u64_free(words_map());
}

/* ---- The rules ---- */

#define OUTSIDE                                                                                                        \
    "what it lends may be freed before it is read, as no read section is open: call soma_read_enter() before, and "    \
    "soma_read_exit() after the last use; or copy it with soma_map_get_copy(), or pass NULL"
#define AFTER                                                                                                          \
    "what it lent is used after the end of the read section (entered at *misuse+0x*, left at *misuse+0x*): copy it "   \
    "with soma_map_get_copy(), or use it before soma_read_exit()"
#define HANDED_BACK                                                                                                    \
    "the key or value is borrowed, and the read section that it was borrowed in is over: copy it with "                \
    "soma_map_get_copy(), or make the call before soma_read_exit()"
#define ENDED                                                                                                          \
    " has ended inside the read section that was entered at *misuse+0x*: every soma_read_enter() needs its "           \
    "soma_read_exit() before that"
#define OPEN_FOR                                                                                                       \
    "the read section of thread *, entered at *misuse+0x*, has been open for * ms: leave it with soma_read_exit() "    \
    "soon, since what is deleted meanwhile cannot be freed"
#define FREED(what, call) "the " what " has been freed by " call ": let everybody who uses it come to an end before"
#define TWICE(what) "the " what " has been freed before: free it once, when nobody uses it any more"
#define OPEN_ON                                                                                                        \
    "1 views, cursors or sessions on this word map are open: close them first; until the program ends, its memory "    \
    "stays"
#define IN_CALLBACK                                                                                                    \
    "called by a function that another call runs, which only looks things up: do it after that call has returned"

#define IN_STALL                                                                                                       \
    "called by a stall function, which must not wait for the reader that it is told of: note it, and wait elsewhere"
#define OF_THE_MAP                                                                                                     \
    "called by a function of this word map's, its stall or value_retire, in the middle of a call on it: free it "      \
    "elsewhere"
#define LEFT_OPEN                                                                                                      \
    "the callback has left a read section open, or closed one that it did not open: close in it just what it opens"

const struct rule rules[] = {
    {"lookup-outside", lookup_outside, "soma_map_get_ref: " OUTSIDE, lookup_inside, 0, NULL},
    {"old-outside", old_outside, "soma_map_remove: " OUTSIDE, old_inside, 0, NULL},
    {"cell-outside", cell_outside,
     "soma_cell_read: no read section is open, so what it gives may be retired before it is used: call "
     "soma_read_enter() before, and soma_read_exit() after the last use",
     cell_inside, 0, NULL},
    {"value-after-section", value_after_section, "soma_map_get_ref: " AFTER, value_copied, SANITIZER_SPEAKS, NULL},
    {"old-after-section", old_after_section, "soma_map_put: " AFTER, old_inside, SANITIZER_SPEAKS, NULL},
    {"many-after-section", many_after_section, "soma_map_remove_many: " AFTER, many_inside, SANITIZER_SPEAKS, NULL},
    {"value-handed-back", value_handed_back, "soma_map_put: " HANDED_BACK, value_handed_back_inside, SANITIZER_SPEAKS,
     NULL},
    {"entry-after-next", entry_after_next,
     "soma_cursor_next_ref: what it lent is used after another call on the cursor: copy it before, or open a second "
     "cursor",
     entry_before_next, SANITIZER_SPEAKS, NULL},
    {"entry-after-part", entry_after_part,
     "soma_cursor_next_ref: what it lent is used after another call on the cursor: copy it before, or open a second "
     "cursor",
     entry_before_next, SANITIZER_SPEAKS, NULL},
    {"entry-after-range", entry_after_range,
     "soma_cursor_next_ref: what it lent is used after another call on the cursor: copy it before, or open a second "
     "cursor",
     entry_before_next, SANITIZER_SPEAKS, NULL},
    {"entry-handed-back", entry_handed_back,
     "soma_map_remove: the key or value is borrowed from a cursor that has gone on since: copy it before the next call "
     "on the cursor",
     entry_before_next, SANITIZER_SPEAKS, NULL},
    {"exit-alone", exit_alone,
     "soma_read_exit: this thread has no read section open: each soma_read_exit() ends one soma_read_enter() of the "
     "same "
     "thread",
     exit_paired, 0, NULL},
    {"thread-ends-inside", thread_ends_inside, "soma_read_enter: the thread" ENDED, thread_ends_outside, 0, NULL},
    {"program-ends-inside", program_ends_inside, "soma_read_enter: the program" ENDED, program_ends_outside, 0, NULL},
    {"section-long", stays_long, "soma_read_enter: " OPEN_FOR, stays_short, 0, "section=50"},
    {"section-never-left", stays_beside_waiter, "soma_read_enter: " OPEN_FOR "\nstill inside", stays_short, 0,
     "section=50"},
    {"wait-inside", waits_inside,
     "soma_synchronize_wait: called inside a read section or a callback, where it would wait for itself: call it "
     "outside",
     waits_outside, 0, NULL},
    {"barrier-inside", barrier_inside,
     "soma_barrier_wait: called inside a read section or a retired call, where it would wait for itself: call it "
     "outside",
     waits_outside, 0, NULL},
    {"words-after-free", words_after_free, "soma_u64_get: " FREED("word map", "soma_u64_free()"), words_then_free, 0,
     NULL},
    {"bytes-after-free", bytes_after_free, "soma_map_put: " FREED("byte map", "soma_map_free()"), free_once, 0, NULL},
    {"count-after-free", count_after_free, "soma_u64_count_approx: " FREED("word map", "soma_u64_free()"),
     words_then_free, 0, NULL},
    {"free-twice", free_twice, "soma_map_free: " TWICE("byte map"), free_once, 0, NULL},
    {"free-beside-view", free_beside_view, "soma_u64_free: " OPEN_ON, free_behind_view, 0, NULL},
    {"cursor-after-map", cursor_after_map,
     "soma_u64_free: " OPEN_ON "\nsoma: soma_cursor_next_u64: the word map that this cursor looks into has been freed: "
     "close the cursor first",
     cursor_before_view, 0, NULL},
    {"cursor-after-view", cursor_after_view,
     "soma_view_close: 1 views, cursors or sessions on this view are open: close them first; until the program ends, "
     "its "
     "memory stays\nsoma: soma_cursor_next_u64: the view that this cursor looks into has been freed: close the cursor "
     "first",
     cursor_before_view, 0, NULL},
    {"view-closed-twice", view_closed_twice, "soma_view_close: " TWICE("view"), views_closed_once, 0, NULL},
    {"view-after-close", view_after_close, "soma_view_get_u64: " FREED("view", "soma_view_close()"), views_closed_once,
     0, NULL},
    {"cursor-closed-twice", cursor_closed_twice, "soma_cursor_close: " TWICE("cursor"), entry_before_next, 0, NULL},
    {"session-closed-twice", session_closed_twice, "soma_sync_close: " TWICE("session"), real_map, 0, NULL},
    {"patch-after-free", patch_after_free, "soma_patch_bytes: " FREED("patch", "soma_patch_free()"), patch_before_free,
     0, NULL},
    {"cursor-shared", cursor_shared,
     "soma_cursor_*: another thread is in a call on this cursor: it is for one call at a time; open one for each "
     "thread",
     cursors_of_two_threads, SAYS_MORE, NULL},
    {"other-kind", other_kind,
     "soma_u64_put: this is a byte map, and the call takes a word map: pass what soma_u64_new() gave", real_map, 0,
     NULL},
    {"not-a-map", not_a_map,
     "soma_u64_put: 0x* is no word map, or one that is long gone: pass what soma_u64_new() gave", real_map, 0, NULL},
    {"frozen-written", frozen_written,
     "soma_u64_put: this is a frozen map, which does not change and has calls of its own: soma_frozen_get_*() read it; "
     "write to the map it was built from, and build another from a view of that",
     frozen_read, 0, NULL},
    {"frozen-bytes-written", frozen_bytes_written,
     "soma_frozen: the bytes of a frozen map are written to, and it does not change: write to the map that it was "
     "built "
     "from, and build another from a view of that",
     frozen_read, SANITIZER_SPEAKS, NULL},
    {"frozen-after-free", frozen_after_free, "soma_frozen_count: " FREED("frozen map", "soma_frozen_free()"),
     frozen_read, 0, NULL},
    {"token-elsewhere", token_elsewhere,
     "soma_cursor_seek: the token is from a cursor over another map, where hashes are others: keep a token with its "
     "map",
     token_at_home, 0, NULL},
    {"update-writes", update_writes, "soma_u64_put: " IN_CALLBACK, update_looks, 0, NULL},
    {"update-frees", update_frees, "soma_u64_free: " IN_CALLBACK, update_looks, 0, NULL},
    {"update-enters", update_enters,
     "soma_u64_update: the callback has left a read section open, or closed one that it did not open: close in it just "
     "what it opens",
     update_looks, 0, NULL},
    {"update-answers", update_answers, "soma_u64_update: the callback answered neither OK, REMOVED nor EXISTS",
     update_looks, 0, NULL},
    {"get-with-writes", get_with_writes, "soma_u64_put: " IN_CALLBACK, get_with_looks, 0, NULL},
    {"get-with-writes-bytes", get_with_writes_bytes, "soma_map_put: " IN_CALLBACK, get_with_looks, 0, NULL},
    {"get-with-enters", get_with_enters,
     "soma_u64_get_with: the callback has left a read section open, or closed one that it did not open: close in it "
     "just what it opens",
     get_with_looks, 0, NULL},
    {"take-writes", take_writes, "soma_u64_put: " IN_CALLBACK, take_looks, 0, NULL},
    {"take-answers", take_answers, "soma_u64_take: the callback answered neither REMOVED, EXISTS nor END", take_looks,
     0, NULL},
    {"take-answers-bytes", take_answers_bytes, "soma_map_take: the callback answered neither REMOVED, EXISTS nor END",
     take_looks, 0, NULL},
    {"value-bytes-writes", value_bytes_writes, "soma_u64_put: " IN_CALLBACK, value_bytes_looks, 0, NULL},
    {"value-bytes-enters", value_bytes_enters, "soma_u64_clear: " LEFT_OPEN, value_bytes_looks, 0, NULL},
    {"value-bytes-writes-bytes", bytes_value_bytes_writes, "soma_u64_put: " IN_CALLBACK, bytes_value_bytes_looks, 0,
     NULL},
    {"value-bytes-enters-bytes", bytes_value_bytes_enters, "soma_view_close: " LEFT_OPEN, bytes_value_bytes_looks, 0,
     NULL},
    {"retired-waits", retired_waits,
     "soma_barrier_wait: called inside a read section or a retired call, where it would wait for itself: call it "
     "outside",
     retired_frees, 0, NULL},
    {"retire-enters", retire_enters, "soma_u64_options.value_retire: " LEFT_OPEN, retire_looks, 0, NULL},
    {"retire-frees", retire_frees, "soma_u64_free: " OF_THE_MAP, retire_looks, 0, NULL},
    {"stall-waits", stall_waits, "soma_synchronize_wait: " IN_STALL, stall_looks, 0, NULL},
    {"stall-barrier", stall_barrier, "soma_barrier_wait: " IN_STALL, stall_looks, 0, NULL},
    {"stall-frees", stall_frees, "soma_u64_free: " OF_THE_MAP, stall_looks, 0, NULL},
    {"stall-at-limit", stall_at_limit,
     "soma_map_put: called by a stall function on a map that waits at its cap, which is for readers: update another "
     "one in it",
     stall_looks, 0, NULL},
    {"stall-words-at-limit", stall_words_at_limit,
     "soma_u64_put_many: called by a stall function on a map that waits at its cap, which is for readers: update "
     "another "
     "one in it",
     stall_looks, 0, NULL},
    {"diff-closes", diff_closes,
     "soma_view_close: 1 views, cursors or sessions on this view are open: close them first; until the program ends, "
     "its memory stays",
     diff_right, SAYS_MORE, NULL},
    {"diff-enters", diff_enters, "soma_diff_views: " LEFT_OPEN, diff_right, 0, NULL},
    {"session-fed", session_fed,
     "soma_sync_feed: the code that has called this function, or was interrupted by it, is in a call on this session: "
     "it is for one call at a time; open one for each thread",
     session_right, 0, NULL},
    {"session-closed", session_closed,
     "soma_sync_close: called by a function that a call on this session has called: do it after that call",
     session_right, 0, NULL},
    {"options-unset", options_unset, "soma_u64_new: out is NULL, or options.struct_size is of no known release",
     options_set, 0, NULL},
    {"flags-unknown", flags_unknown, "soma_map_new: options.flags has an unknown bit", options_set, 0, NULL},
    {"null-map", null_map, "soma_u64_put: map is NULL", real_map, 0, NULL},
};

const int rules_count = COUNT(rules);
