/* SPDX-License-Identifier: ISC */
/* mem.h - where memory comes from. Small objects: malloc, which is jemalloc's where the build has it. Tables: one
 * reserved range of addresses a map, whose pages are committed as it grows and given back as it shrinks. */
#ifndef SOMA_MEM_MEM_H
#define SOMA_MEM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 16-byte aligned, or NULL. `soma__mem_free` is told the size again. */
void *soma__mem_alloc(size_t size);
void soma__mem_free(void *memory, size_t size);

/* Memory of `size` bytes with the first `used` of what was in the old, which is gone then (NULL: there was none). NULL: no
 * memory; the old stays. */
void *soma__mem_grow(void *old, size_t old_size, size_t used, size_t size);

/* ---- Memory put aside, for what must not fail ----
 * Pieces are had one by one while things go well, and handed out by soma__mem_alloc() when the system has nothing left. */

struct soma__piece;

#define SOMA__PURSE_LISTS 2

struct soma__purse {
    struct soma__piece *lists[SOMA__PURSE_LISTS];
};

/* Puts a piece for this size in front of a list, and gives all of a list back. False: no memory. */
bool soma__purse_put(struct soma__piece **list, size_t size);
void soma__purse_drop(struct soma__piece **list);

/* From now on, what this thread cannot get from the system it gets from this purse: the smallest piece that is large
 * enough. NULL: from none any more. */
void soma__purse_open(struct soma__purse *purse);

/* Reserves addresses without memory, page-aligned; NULL if there is no room. */
void *soma__range_reserve(size_t size);

/* Makes [from, to) readable and writable, zero where it was not committed before; bounds round outwards to pages. */
bool soma__range_commit(char *from, char *to);

/* The page boundary at or after, and at or before, an address. */
char *soma__page_up(char *address);
char *soma__page_down(char *address);

/* Gives the memory of the pages from one boundary to another back; they read as zero afterwards. False: the system keeps
 * it, say because it is locked, and nothing has changed. */
bool soma__range_release(char *from, char *to);

/* Wants huge pages for those that lie within [from, to) as a whole. The system may decline, or have none: nothing is different
 * then. */
#define MEM_HUGE_LOG2 21
void soma__range_huge(char *from, char *to);

/* Ends a reservation, or a page-aligned part of one. */
void soma__range_free(void *range, size_t size);

/* The first bytes of a file, to be read only, page-aligned; ended by soma__range_free(). NULL: errno says why. */
const void *soma__file_map(int fd, size_t size);

/* The machine's memory in bytes, and its processors. */
uint64_t soma__mem_physical(void);
uint64_t soma__mem_processors(void);

#endif
