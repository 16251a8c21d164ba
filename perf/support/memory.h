/* SPDX-License-Identifier: ISC */
/* memory.h - how much memory the process holds, as the kernel sees it. */
#ifndef PERF_MEMORY_H
#define PERF_MEMORY_H

#include <stdint.h>

struct memory {
    int64_t resident;    /* anonymous pages, bytes: the heap and the tables, without code and files */
    int64_t huge;        /* of that, in huge pages */
    int64_t page_tables; /* what the kernel spends to map them, bytes; in no figure of resident memory */
};

/* First makes the allocator give back what it only caches, so that its caches do not blur the figure. */
struct memory memory_now(void);

/* The allocator's version. */
const char *memory_allocator(void);

#endif
