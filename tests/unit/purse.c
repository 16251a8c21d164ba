/* SPDX-License-Identifier: ISC */
/* purse.c - memory that is put aside: handed out when the system has none, the smallest piece that will do, and only by a thread
 * that has the purse open. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem.h"
#include "support.h"

static atomic_bool refused;

#define ENTRY __attribute__((used))
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

ENTRY void *__wrap_malloc(size_t size)
{
    return atomic_load(&refused) ? NULL : __real_malloc(size);
}

/* Pieces as they are put in, and what is asked for. */
static const size_t first_sizes[] = {100, 40, 64, 40};
static const size_t second_sizes[] = {4096, 4096, 8};

struct want {
    size_t size;
    size_t left[2]; /* pieces in the lists afterwards */
};

static size_t length(struct soma__piece *const *list)
{
    size_t n = 0;
    const void *piece = *list;
    for (; piece; n++)
        piece = *(const void *const *)piece; /* the link stands first */
    return n;
}

static void fill(struct soma__purse *purse)
{
    for (size_t i = 0; i < sizeof first_sizes / sizeof first_sizes[0]; i++)
        EXPECT(soma__purse_put(&purse->lists[0], first_sizes[i]));
    for (size_t i = 0; i < sizeof second_sizes / sizeof second_sizes[0]; i++)
        EXPECT(soma__purse_put(&purse->lists[1], second_sizes[i]));
}

static void hands_out(const void *unused)
{
    static const struct want wants[] = {
        {41, {3, 3}},  /* 64 of 100, 64 */
        {40, {2, 3}},  /* one of the two */
        {8, {2, 2}},   /* of the second list */
        {8, {1, 2}},   /* the other of 40 */
        {101, {1, 1}}, /* 4096 */
        {100, {0, 1}}, {1, {0, 0}},
    };
    struct soma__purse purse = {.lists = {NULL, NULL}};
    (void)unused;
    fill(&purse);
    atomic_store(&refused, true);
    EXPECT(!soma__mem_alloc(8)); /* it is not open */
    soma__purse_open(&purse);
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        void *memory = soma__mem_alloc(wants[i].size);
        if (!EXPECT(memory))
            break;
        memset(memory, 0xaa, wants[i].size);
        EXPECT_EQ(length(&purse.lists[0]), wants[i].left[0]);
        EXPECT_EQ(length(&purse.lists[1]), wants[i].left[1]);
        soma__mem_free(memory, wants[i].size);
        verified(1);
    }
    EXPECT(!soma__mem_alloc(1));
    EXPECT(!soma__purse_put(&purse.lists[0], 1));
    atomic_store(&refused, false);
    soma__purse_open(NULL);
    soma__purse_drop(&purse.lists[0]);
    soma__purse_drop(&purse.lists[1]);
    EXPECT(!leaks_found());
}

static void asks_first(const void *unused)
{
    struct soma__purse purse = {.lists = {NULL, NULL}};
    (void)unused;
    fill(&purse);
    soma__purse_open(&purse);
    void *memory = soma__mem_alloc(40);
    EXPECT(memory && length(&purse.lists[0]) == 4); /* the system has some */
    soma__mem_free(memory, 40);
    atomic_store(&refused, true);
    EXPECT(!soma__mem_alloc(4097)); /* no piece is so large */
    EXPECT(length(&purse.lists[0]) == 4 && length(&purse.lists[1]) == 3);
    soma__purse_open(NULL);
    EXPECT(!soma__mem_alloc(8));
    atomic_store(&refused, false);
    soma__purse_drop(&purse.lists[0]);
    soma__purse_drop(&purse.lists[1]);
    EXPECT(!purse.lists[0] && !purse.lists[1]);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"hands-out", hands_out, NULL},
        {"asks-first", asks_first, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
