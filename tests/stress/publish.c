/* SPDX-License-Identifier: ISC */
/* publish.c - cells under load. Publishers put objects into a few cells, plainly or in the place of the one they read;
 * readers borrow objects and look at every word of them, twice. An object is filled before it is published and ruined
 * when it is retired, so a reader that sees a half-written, a retired or a freed one says so. Of each cell, the objects
 * that a reader sees one after the other are never an older one after a newer. What was published and what was retired
 * come out even at the end. */
#include <stdatomic.h>
#include <stdlib.h>

#include <soma/soma.h>

#include "support.h"

#define CELLS 3
#define WORDS 40
#define PUBLISHERS 2
#define READERS 2
#define RUINED UINT64_MAX

struct object {
    uint64_t number; /* of its cell: one more than that of the object that it was made from */
    uint64_t words[WORDS];
};

static struct {
    struct soma_cell cells[CELLS];
    double end;
    atomic_bool stop;
    atomic_uint_fast64_t made;
    atomic_uint_fast64_t retired;
} run;

static struct object *object_new(uint64_t number)
{
    struct object *object = malloc(sizeof *object);
    if (!object)
        abort();
    object->number = number;
    for (int i = 0; i < WORDS; i++)
        object->words[i] = number * WORDS + (uint64_t)i;
    atomic_fetch_add(&run.made, 1);
    return object;
}

static void object_gone(void *arg)
{
    struct object *object = arg;
    EXPECT(object->number != RUINED);
    object->number = RUINED;
    for (int i = 0; i < WORDS; i++)
        object->words[i] = RUINED;
    free(object);
    atomic_fetch_add(&run.retired, 1);
}

static bool is_whole(const struct object *object)
{
    for (int i = 0; i < WORDS; i++) {
        if (object->words[i] != object->number * WORDS + (uint64_t)i)
            return false;
    }
    return object->number != RUINED;
}

/* ---- Publishers ---- */

/* The next of its cell, if nobody else was faster. */
static void publish_next(struct soma_cell *cell)
{
    soma_read_enter();
    struct object *old = soma_cell_read(cell);
    struct object *next = object_new(old->number + 1);
    const enum soma_status status = soma_cell_publish_if(cell, old, next, object_gone);
    soma_read_exit();
    if (status == SOMA_OK)
        return;
    EXPECT_EQ(status, SOMA_CHANGED);
    object_gone(next);
}

/* Cell 0 has one publisher, which needs no comparison. */
static void publish_plainly(uint64_t number)
{
    EXPECT_EQ(soma_cell_publish(&run.cells[0], object_new(number), object_gone), SOMA_OK);
}

static void publishes(unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (failures() == 0 && (++steps % 64 || now_seconds() < run.end)) {
        if (index == 0)
            publish_plainly(steps + 1);
        publish_next(&run.cells[1 + rng_below(&rng, CELLS - 1)]);
    }
    atomic_store(&run.stop, true);
    verified(steps);
}

/* ---- Readers ---- */

static void reads(unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t seen[CELLS] = {0};
    uint64_t looked = 0;
    while (failures() == 0 && !atomic_load(&run.stop)) {
        const uint64_t at = rng_below(&rng, CELLS);
        soma_read_enter();
        const struct object *object = soma_cell_read(&run.cells[at]);
        EXPECT(is_whole(object) && object->number >= seen[at]);
        seen[at] = object->number;
        if (looked % 1024 == 0)
            sleep_ms(1); /* now and then for long */
        EXPECT(is_whole(object) && object->number == seen[at]);
        soma_read_exit();
        looked++;
    }
    verified(looked);
}

static void work(unsigned index, void *unused)
{
    (void)unused;
    if (index < PUBLISHERS)
        publishes(index);
    else
        reads(index);
}

static void whole_objects(const void *unused)
{
    (void)unused;
    run.end = now_seconds() + test_seconds();
    for (int i = 0; i < CELLS; i++)
        soma_cell_init(&run.cells[i], object_new(1));
    crew_run(PUBLISHERS + READERS, work, NULL);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&run.retired), atomic_load(&run.made) - CELLS);
    for (int i = 0; i < CELLS; i++)
        soma_cell_fini(&run.cells[i], object_gone);
    EXPECT_EQ(atomic_load(&run.retired), atomic_load(&run.made));
}

/* Objects that are not whole. */
static void canary(const void *unused)
{
    (void)unused;
    struct object *object = object_new(9);
    EXPECT(is_whole(object));
    object->words[WORDS - 1]++;
    EXPECT(!is_whole(object));
    object->words[WORDS - 1]--;
    object->number++;
    EXPECT(!is_whole(object));
    free(object);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"whole-objects", whole_objects, NULL}, {"canary", canary, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
