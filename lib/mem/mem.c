/* SPDX-License-Identifier: ISC */
/* mem.c - malloc and mmap behind one door. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/mem.h"

static uintptr_t page_mask(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
}

char *soma__page_down(char *address)
{
    return address - ((uintptr_t)address & page_mask());
}

char *soma__page_up(char *address)
{
    return soma__page_down(address + page_mask());
}

void *soma__mem_alloc(size_t size)
{
    return malloc(size);
}

void soma__mem_free(void *memory, size_t size)
{
    (void)size; /* the malloc family finds it out by itself */
    free(memory);
}

void *soma__range_reserve(size_t size)
{
    void *range = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return range == MAP_FAILED ? NULL : range;
}

bool soma__range_commit(char *from, char *to)
{
    char *start = soma__page_down(from);
    return mprotect(start, (size_t)(soma__page_up(to) - start), PROT_READ | PROT_WRITE) == 0;
}

bool soma__range_release(char *from, char *to)
{
    return madvise(from, (size_t)(to - from), MADV_DONTNEED) == 0;
}

void soma__range_free(void *range, size_t size)
{
    munmap(range, size);
}

const void *soma__file_map(int fd, size_t size)
{
    const void *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    return file == MAP_FAILED ? NULL : file;
}

uint64_t soma__mem_physical(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * (page_mask() + 1) : (uint64_t)1 << 32;
}
