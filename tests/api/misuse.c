/* SPDX-License-Identifier: ISC */
/* misuse.c - debug builds name every mistake on standard error; other builds say nothing. Neither ends the program. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

/* Whether the call wrote a line "soma: <where>: <what>" to standard error. */
static bool was_named(void (*call)(void))
{
    char said[512] = "";
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    const int before = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    call();
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    const size_t len = fread(said, 1, sizeof said - 1, file);
    fclose(file);
    const bool named = strncmp(said, "soma: ", 6) == 0 && strstr(said + 6, ": ") != NULL;
    cr_assert(named ? said[len - 1] == '\n' : len == 0, "said: %s", said);
    return named;
}

static void get_null(void)
{
    soma_u64_get(NULL, 1, NULL);
}

static void map_put_null(void)
{
    soma_map_put(NULL, "k", 1, "v", 1, NULL);
}

static void map_get_null_key(void)
{
    soma_map_get_ref(NULL, NULL, 1, NULL);
}

static void retire_null(void)
{
    const enum soma_status status = soma_retire(NULL, NULL);
    cr_assert_eq(status, SOMA_E_INVALID);
}

static void new_without_out(void)
{
    const enum soma_status status = soma_u64_new(NULL, NULL);
    cr_assert_eq(status, SOMA_E_INVALID);
}

static void cursor_of_null(void)
{
    soma_cursor *cursor = NULL;
    const enum soma_status status = soma_cursor_open_u64(NULL, &cursor);
    cr_assert_eq(status, SOMA_E_INVALID);
}

static void cursor_of_the_other_kind(void)
{
    soma_u64 *map = NULL;
    soma_cursor *cursor = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_cursor_open_u64(map, &cursor), SOMA_OK);
    cr_assert_eq(soma_cursor_next_ref(cursor, NULL, NULL), SOMA_E_INVALID);
    soma_cursor_close(cursor);
    soma_u64_free(map);
}

static void synchronize_inside(void)
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

static void no_mistake(void)
{
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_remove(map, 1, NULL), SOMA_ABSENT);
    soma_u64_free(map);
    soma_u64_free(NULL);
    cr_assert_eq(soma_u64_count_approx(map = NULL), 0);
}

Test(misuse, is_named_in_debug_builds)
{
    void (*const mistakes[])(void) = {get_null,       map_put_null,    map_get_null_key,
                                      retire_null,    new_without_out, synchronize_inside,
                                      barrier_inside, cursor_of_null,  cursor_of_the_other_kind};
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++)
        cr_assert_eq(was_named(mistakes[i]), SOMA_TEST_CHECKS, "mistake %zu", i);
}

Test(misuse, is_not_named_without_one)
{
    cr_assert_not(was_named(no_mistake));
}
