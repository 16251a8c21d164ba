/* SPDX-License-Identifier: ISC */
/* frozen.c - frozen maps, call by call: every status of every function, and what it leaves behind. SOMA_E_NOMEM is
 * reached in fault/. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)

static soma_frozen *frozen_of(soma_view *view)
{
    soma_frozen *frozen = NULL;
    cr_assert_eq(soma_frozen_build(view, &frozen), SOMA_OK);
    cr_assert_not_null(frozen);
    soma_view_close(view);
    return frozen;
}

/* n words: keys in thousands, values the keys' complements; frozen, and its map freed. */
static soma_frozen *words(uint64_t n)
{
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    for (uint64_t i = 0; i < n; i++)
        cr_assert_eq(soma_u64_put(map, i * 1000, ~(i * 1000), NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    soma_frozen *frozen = frozen_of(view);
    soma_u64_free(map);
    return frozen;
}

/* n byte strings: keys of i bytes, values of 3 i. */
static soma_frozen *strings(size_t n)
{
    static unsigned char bytes[4096];
    soma_map *map = NULL;
    soma_view *view = NULL;
    memset(bytes, 'x', sizeof bytes);
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(soma_map_put(map, bytes, i, bytes, 3 * i, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    soma_frozen *frozen = frozen_of(view);
    soma_map_free(map);
    return frozen;
}

static void expect_words(const soma_frozen *frozen, uint64_t n)
{
    cr_assert_eq(soma_frozen_count(frozen), n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value = UNTOUCHED;
        cr_assert_eq(soma_frozen_get_u64(frozen, i * 1000, &value), SOMA_OK);
        cr_assert_eq(value, ~(i * 1000));
        cr_assert_eq(soma_frozen_get_u64(frozen, i * 1000, NULL), SOMA_OK);
        value = UNTOUCHED;
        cr_assert_eq(soma_frozen_get_u64(frozen, i * 1000 + 1, &value), SOMA_ABSENT);
        cr_assert_eq(value, UNTOUCHED);
    }
}

static void expect_strings(const soma_frozen *frozen, size_t n)
{
    static unsigned char bytes[4096];
    memset(bytes, 'x', sizeof bytes);
    cr_assert_eq(soma_frozen_count(frozen), n);
    for (size_t i = 0; i < n; i++) {
        struct soma_bytes value = {NULL, 0};
        cr_assert_eq(soma_frozen_get_ref(frozen, bytes, i, &value), SOMA_OK);
        cr_assert_eq(value.len, 3 * i);
        cr_assert_eq((uintptr_t)value.data % 8, 0);
        cr_assert(value.len == 0 || memcmp(value.data, bytes, value.len) == 0);
    }
    struct soma_bytes value = {bytes, 1};
    cr_assert_eq(soma_frozen_get_ref(frozen, bytes, n, &value), SOMA_ABSENT);
    cr_assert(value.data == bytes && value.len == 1);
}

/* ---- Building ---- */

Test(build, wants_both)
{
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    soma_frozen *frozen = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    cr_assert_eq(soma_frozen_build(NULL, &frozen), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_build(view, NULL), SOMA_E_INVALID);
    cr_assert_null(frozen);
    soma_view_close(view);
    soma_u64_free(map);
}

Test(build, holds_what_the_view_saw)
{
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    uint64_t value = 0;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_put(map, 1, 10, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_put(map, 2, 20, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    cr_assert_eq(soma_u64_put(map, 1, 11, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_remove(map, 2, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_put(map, 3, 30, NULL), SOMA_INSERTED);
    soma_frozen *frozen = frozen_of(view);
    soma_u64_free(map);
    cr_assert_eq(soma_frozen_count(frozen), 2);
    cr_assert_eq(soma_frozen_get_u64(frozen, 1, &value), SOMA_OK);
    cr_assert_eq(value, 10);
    cr_assert_eq(soma_frozen_get_u64(frozen, 2, &value), SOMA_OK);
    cr_assert_eq(value, 20);
    cr_assert_eq(soma_frozen_get_u64(frozen, 3, &value), SOMA_ABSENT);
    soma_frozen_free(frozen);
}

Test(build, of_words_of_every_number)
{
    for (uint64_t n = 0; n < 100; n++) {
        soma_frozen *frozen = words(n);
        expect_words(frozen, n);
        soma_frozen_free(frozen);
    }
    soma_frozen *frozen = words(30000);
    expect_words(frozen, 30000);
    soma_frozen_free(frozen);
}

Test(build, of_strings_of_every_number)
{
    for (size_t n = 0; n < 70; n++) {
        soma_frozen *frozen = strings(n);
        expect_strings(frozen, n);
        soma_frozen_free(frozen);
    }
    soma_frozen *frozen = strings(1200);
    expect_strings(frozen, 1200);
    soma_frozen_free(frozen);
}

Test(free, of_nothing_does_nothing)
{
    soma_frozen_free(NULL);
    soma_frozen_retire(NULL);
}

/* ---- Lookups ---- */

Test(get, of_extreme_words)
{
    const uint64_t extreme[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_C(1) << 32};
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(soma_u64_put(map, extreme[i], extreme[5 - i], NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    soma_frozen *frozen = frozen_of(view);
    for (int i = 0; i < 6; i++) {
        uint64_t value = UNTOUCHED;
        cr_assert_eq(soma_frozen_get_u64(frozen, extreme[i], &value), SOMA_OK);
        cr_assert_eq(value, extreme[5 - i]);
    }
    soma_frozen_free(frozen);
    soma_u64_free(map);
}

Test(get, refuses_the_other_kind_and_nothing)
{
    soma_frozen *of_words = words(3);
    soma_frozen *of_strings = strings(3);
    struct soma_bytes bytes = {NULL, 7};
    uint64_t word = UNTOUCHED;
    bool found = true;
    cr_assert_eq(soma_frozen_get_u64(NULL, 0, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_get_u64(of_strings, 0, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_get_many_u64(NULL, &word, 1, &word, &found), 0);
    cr_assert_eq(soma_frozen_get_many_u64(of_strings, &word, 1, &word, &found), 0);
    cr_assert_eq(soma_frozen_get_many_u64(of_words, NULL, 1, &word, &found), 0);
    cr_assert_eq(soma_frozen_get_ref(NULL, "x", 1, &bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_get_ref(of_words, "x", 1, &bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_get_ref(of_strings, NULL, 1, &bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_at_u64(NULL, 0, &word, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_at_u64(of_strings, 0, &word, &word), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_at_ref(NULL, 0, &bytes, &bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_at_ref(of_words, 0, &bytes, &bytes), SOMA_E_INVALID);
    cr_assert_eq(soma_frozen_count(NULL), 0);
    cr_assert(word == UNTOUCHED && found && bytes.len == 7);
    cr_assert_eq(soma_frozen_get_ref(of_strings, NULL, 0, &bytes), SOMA_OK);
    cr_assert_eq(bytes.len, 0);
    cr_assert_eq(soma_frozen_get_ref(of_strings, NULL, 0, NULL), SOMA_OK);
    cr_assert_eq(soma_frozen_get_many_u64(of_words, NULL, 0, NULL, NULL), 0);
    soma_frozen_free(of_words);
    soma_frozen_free(of_strings);
}

Test(get_many, answers_as_single_gets)
{
    enum {
        KEYS = 1000
    };
    soma_frozen *frozen = words(KEYS / 2);
    uint64_t keys[KEYS];
    uint64_t values[KEYS];
    bool found[KEYS];
    for (uint64_t i = 0; i < KEYS; i++)
        keys[i] = i * 1000;
    for (size_t n = 0; n <= KEYS; n += n < 70 ? 1 : 31) {
        memset(values, 0x5e, sizeof values);
        const size_t hits = n < KEYS / 2 ? n : KEYS / 2;
        cr_assert_eq(soma_frozen_get_many_u64(frozen, keys, n, values, found), hits);
        for (size_t i = 0; i < n; i++) {
            cr_assert_eq(found[i], i < KEYS / 2);
            cr_assert_eq(values[i], found[i] ? ~keys[i] : UINT64_C(0x5e5e5e5e5e5e5e5e));
        }
        cr_assert_eq(soma_frozen_get_many_u64(frozen, keys, n, NULL, NULL), hits);
    }
    soma_frozen_free(frozen);
}

/* ---- Going through ---- */

Test(at, gives_each_word_once)
{
    enum {
        MANY = 5000
    };
    static int seen[MANY];
    soma_frozen *frozen = words(MANY);
    uint64_t key = 0;
    uint64_t value = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        cr_assert_eq(soma_frozen_at_u64(frozen, i, &key, &value), SOMA_OK);
        cr_assert(key % 1000 == 0 && key / 1000 < MANY && value == ~key);
        seen[key / 1000]++;
        cr_assert_eq(soma_frozen_at_u64(frozen, i, NULL, NULL), SOMA_OK);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(seen[i], 1);
    key = UNTOUCHED;
    cr_assert_eq(soma_frozen_at_u64(frozen, MANY, &key, &key), SOMA_END);
    cr_assert_eq(soma_frozen_at_u64(frozen, UINT64_MAX, &key, &key), SOMA_END);
    cr_assert_eq(key, UNTOUCHED);
    soma_frozen_free(frozen);
}

Test(at, gives_each_string_once)
{
    enum {
        MANY = 300
    };
    static int seen[MANY];
    soma_frozen *frozen = strings(MANY);
    struct soma_bytes key;
    struct soma_bytes value;
    for (uint64_t i = 0; i < MANY; i++) {
        cr_assert_eq(soma_frozen_at_ref(frozen, i, &key, &value), SOMA_OK);
        cr_assert_lt(key.len, MANY);
        cr_assert_eq(value.len, 3 * key.len);
        seen[key.len]++;
        cr_assert_eq(soma_frozen_at_ref(frozen, i, NULL, NULL), SOMA_OK);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert_eq(soma_frozen_at_ref(frozen, MANY, &key, &value), SOMA_END);
    soma_frozen_free(frozen);
}

/* ---- Files ---- */

static int temporary(void)
{
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    const int fd = dup(fileno(file));
    fclose(file);
    cr_assert_geq(fd, 0);
    return fd;
}

static soma_frozen *written_and_opened(soma_frozen *frozen)
{
    soma_frozen *opened = NULL;
    const int fd = temporary();
    cr_assert_eq(soma_frozen_write(frozen, fd), SOMA_OK);
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_OK);
    close(fd);
    soma_frozen_free(frozen);
    return opened;
}

Test(file, holds_what_was_written)
{
    const uint64_t sizes[] = {0, 1, 2, 31, 32, 33, 1000};
    for (int i = 0; i < 7; i++) {
        soma_frozen *opened = written_and_opened(words(sizes[i]));
        expect_words(opened, sizes[i]);
        opened = written_and_opened(opened); /* a copy of a copy */
        expect_words(opened, sizes[i]);
        soma_frozen_free(opened);
        opened = written_and_opened(strings(sizes[i]));
        expect_strings(opened, sizes[i]);
        soma_frozen_free(opened);
    }
}

Test(file, is_not_just_anything)
{
    soma_frozen *opened = NULL;
    int fd = temporary();
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_E_CORRUPT, "empty");
    cr_assert_eq(ftruncate(fd, 100000), 0);
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_E_CORRUPT, "zero");
    cr_assert_eq(soma_frozen_open(fd, NULL), SOMA_E_INVALID);
    close(fd);
    errno = 0;
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_E_IO);
    cr_assert_eq(errno, EBADF);
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(soma_frozen_open(ends[0], &opened), SOMA_E_IO);
    close(ends[0]);
    close(ends[1]);
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_E_CORRUPT);
    close(fd);
    cr_assert_null(opened);
}

Test(file, that_is_not_to_be_read_is_an_error)
{
    char path[] = "/tmp/soma-frozen-XXXXXX";
    soma_frozen *frozen = words(5);
    soma_frozen *opened = NULL;
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(soma_frozen_write(frozen, fd), SOMA_OK);
    const int writing = open(path, O_WRONLY | O_CLOEXEC);
    unlink(path);
    cr_assert_geq(writing, 0);
    cr_assert_eq(soma_frozen_open(writing, &opened), SOMA_E_IO);
    cr_assert_null(opened);
    close(writing);
    close(fd);
    soma_frozen_free(frozen);
}

Test(file, of_a_later_version_is_not_read)
{
    soma_frozen *frozen = words(5);
    soma_frozen *opened = NULL;
    const int fd = temporary();
    cr_assert_eq(soma_frozen_write(frozen, fd), SOMA_OK);
    cr_assert_eq(pwrite(fd, "\2", 1, 16), 1);
    cr_assert_eq(soma_frozen_open(fd, &opened), SOMA_E_UNSUPPORTED);
    cr_assert_null(opened);
    close(fd);
    soma_frozen_free(frozen);
}

Test(file, that_cannot_be_written_is_an_error)
{
    soma_frozen *frozen = words(5);
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const int not_for_writing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = 0;
    cr_assert_eq(soma_frozen_write(frozen, full), SOMA_E_IO);
    cr_assert_eq(errno, ENOSPC);
    cr_assert_eq(soma_frozen_write(frozen, not_for_writing), SOMA_E_IO);
    cr_assert_eq(soma_frozen_write(NULL, full), SOMA_E_INVALID);
    close(full);
    close(not_for_writing);
    expect_words(frozen, 5);
    soma_frozen_free(frozen);
}

/* ---- In a cell ---- */

Test(cell, retires_frozen_maps)
{
    struct soma_cell cell;
    soma_cell_init(&cell, words(1));
    for (uint64_t n = 2; n < 20; n++) {
        cr_assert_eq(soma_cell_publish(&cell, words(n), soma_frozen_retire), SOMA_OK);
        soma_read_enter();
        expect_words(soma_cell_read(&cell), n);
        soma_read_exit();
    }
    soma_cell_fini(&cell, soma_frozen_retire);
    soma_barrier_wait();
}
