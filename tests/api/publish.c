/* SPDX-License-Identifier: ISC */
/* publish.c - cells: every call, every answer, from one thread; stress/publish.c has the threads. */
#include <criterion/criterion.h>

#include <soma/soma.h>

enum {
    OBJECTS = 3000
};
static int gone[OBJECTS]; /* how often each object was retired; the objects are these counters themselves */

static void retire(void *object)
{
    ++*(int *)object;
}

static void expect_gone(int from, int to, int times)
{
    for (int i = from; i < to; i++)
        cr_assert_eq(gone[i], times, "object %d was retired %d times", i, gone[i]);
}

static void *read_once(const struct soma_cell *cell)
{
    soma_read_enter();
    void *object = soma_cell_read(cell);
    soma_read_exit();
    return object;
}

Test(cell, holds_what_it_was_given)
{
    struct soma_cell cell;
    soma_cell_init(&cell, &gone[0]);
    cr_assert_eq(read_once(&cell), &gone[0]);
    soma_cell_fini(&cell, retire);
    cr_assert_null(read_once(&cell));
    expect_gone(0, 1, 1); /* at once */
}

Test(cell, is_empty_if_it_is_all_zero)
{
    static struct soma_cell zero;
    struct soma_cell cell;
    soma_cell_init(&cell, NULL);
    cr_assert_eq(sizeof cell, 8);
    cr_assert_eq(cell.word, zero.word);
    cr_assert_null(read_once(&zero));
    cr_assert_eq(soma_cell_publish(&zero, &gone[1], retire), SOMA_OK);
    cr_assert_eq(read_once(&zero), &gone[1]);
    soma_cell_fini(&zero, NULL);
    soma_cell_fini(&zero, retire); /* a second time: there is nothing left */
    soma_barrier_wait();
    expect_gone(0, OBJECTS, 0);
}

Test(publish, retires_each_that_it_replaces_once)
{
    struct soma_cell cell;
    soma_cell_init(&cell, NULL);
    for (int i = 0; i < OBJECTS; i++) {
        cr_assert_eq(soma_cell_publish(&cell, &gone[i], retire), SOMA_OK);
        cr_assert_eq(read_once(&cell), &gone[i]);
    }
    soma_barrier_wait();
    expect_gone(0, OBJECTS - 1, 1);
    expect_gone(OBJECTS - 1, OBJECTS, 0);
    cr_assert_eq(soma_cell_publish(&cell, NULL, retire), SOMA_OK);
    cr_assert_null(read_once(&cell));
    soma_barrier_wait();
    expect_gone(0, OBJECTS, 1);
    soma_cell_fini(&cell, retire);
    expect_gone(0, OBJECTS, 1);
}

Test(publish, leaves_what_a_section_has_borrowed)
{
    struct soma_cell cell;
    soma_cell_init(&cell, &gone[0]);
    soma_read_enter();
    void *borrowed = soma_cell_read(&cell);
    for (int i = 1; i < OBJECTS; i++)
        cr_assert_eq(soma_cell_publish(&cell, &gone[i], retire), SOMA_OK);
    soma_barrier_wait(); /* inside a section: returns at once */
    cr_assert_eq(borrowed, &gone[0]);
    expect_gone(0, OBJECTS, 0);
    soma_read_exit();
    soma_barrier_wait();
    expect_gone(0, OBJECTS - 1, 1);
    soma_cell_fini(&cell, NULL);
}

Test(publish, without_retire_leaves_the_old_one_to_the_caller)
{
    struct soma_cell cell;
    soma_cell_init(&cell, &gone[0]);
    cr_assert_eq(soma_cell_publish(&cell, &gone[1], NULL), SOMA_OK);
    cr_assert_eq(soma_cell_publish_if(&cell, &gone[1], &gone[2], NULL), SOMA_OK);
    cr_assert_eq(soma_cell_publish(&cell, &gone[0], NULL), SOMA_OK); /* and may come back */
    cr_assert_eq(read_once(&cell), &gone[0]);
    soma_cell_fini(&cell, NULL);
    soma_barrier_wait();
    expect_gone(0, OBJECTS, 0);
}

Test(publish, once_more_retires_nothing)
{
    struct soma_cell cell;
    soma_cell_init(&cell, &gone[0]);
    cr_assert_eq(soma_cell_publish(&cell, &gone[0], retire), SOMA_OK);
    cr_assert_eq(soma_cell_publish_if(&cell, &gone[0], &gone[0], retire), SOMA_OK);
    soma_barrier_wait();
    cr_assert_eq(read_once(&cell), &gone[0]);
    expect_gone(0, OBJECTS, 0);
    soma_cell_fini(&cell, retire);
    expect_gone(0, 1, 1);
}

Test(publish_if, publishes_only_over_what_is_expected)
{
    struct soma_cell cell;
    soma_cell_init(&cell, NULL);
    cr_assert_eq(soma_cell_publish_if(&cell, &gone[5], &gone[0], retire), SOMA_CHANGED);
    cr_assert_null(read_once(&cell));
    cr_assert_eq(soma_cell_publish_if(&cell, NULL, &gone[0], retire), SOMA_OK);
    cr_assert_eq(soma_cell_publish_if(&cell, NULL, &gone[1], retire), SOMA_CHANGED);
    cr_assert_eq(read_once(&cell), &gone[0]);
    cr_assert_eq(soma_cell_publish_if(&cell, &gone[0], &gone[1], retire), SOMA_OK);
    cr_assert_eq(soma_cell_publish_if(&cell, &gone[1], NULL, retire), SOMA_OK);
    cr_assert_null(read_once(&cell));
    soma_barrier_wait();
    expect_gone(0, 2, 1);
    expect_gone(2, OBJECTS, 0);
    soma_cell_fini(&cell, retire);
}

/* Inside an update's function, the section is that of the update. */
static enum soma_status value_from_cell(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = (uint64_t)(uintptr_t)soma_cell_read(ctx);
    return SOMA_OK;
}

Test(read, works_in_a_function_that_soma_calls)
{
    struct soma_cell cell;
    soma_u64 *map = NULL;
    uint64_t value = 0;
    soma_cell_init(&cell, &gone[7]);
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_eq(soma_u64_update(map, 1, value_from_cell, &cell), SOMA_INSERTED);
    cr_assert_eq(soma_u64_get(map, 1, &value), SOMA_OK);
    cr_assert_eq(value, (uintptr_t)&gone[7]);
    soma_u64_free(map);
    soma_cell_fini(&cell, NULL);
}

static struct soma_cell chained;

/* A retired call may publish. */
static void retire_and_publish(void *object)
{
    retire(object);
    if (object != &gone[OBJECTS - 1])
        cr_assert_eq(soma_cell_publish(&chained, &gone[OBJECTS - 1], retire), SOMA_OK);
}

Test(publish, may_be_called_by_what_it_retires)
{
    soma_cell_init(&chained, &gone[0]);
    cr_assert_eq(soma_cell_publish(&chained, &gone[1], retire_and_publish), SOMA_OK);
    soma_barrier_wait();
    soma_barrier_wait();
    cr_assert_eq(read_once(&chained), &gone[OBJECTS - 1]);
    expect_gone(0, 2, 1);
    soma_cell_fini(&chained, retire);
    expect_gone(OBJECTS - 1, OBJECTS, 1);
}

Test(cell, refuses_null)
{
    soma_cell_init(NULL, &gone[0]);
    soma_cell_fini(NULL, retire);
    cr_assert_null(soma_cell_read(NULL));
    cr_assert_eq(soma_cell_publish(NULL, &gone[0], retire), SOMA_E_INVALID);
    cr_assert_eq(soma_cell_publish_if(NULL, NULL, &gone[0], retire), SOMA_E_INVALID);
    soma_barrier_wait();
    expect_gone(0, OBJECTS, 0);
}
