/* SPDX-License-Identifier: ISC */
/* mem.c - malloc and mmap behind one door. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attr.h"
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

/* ---- Objects ---- */

struct soma__piece {
    struct soma__piece *next;
    size_t size;
};

static __thread struct soma__purse *open_purse;

/* Where the smallest piece of a list that is large enough hangs; NULL: nowhere. */
static struct soma__piece **fitting(struct soma__piece **list, size_t size)
{
    struct soma__piece **best = NULL;
    for (struct soma__piece **at = list; *at; at = &(*at)->next) {
        if ((*at)->size >= size && (!best || (*at)->size < (*best)->size))
            best = at;
    }
    return best;
}

static COLD void *purse_take(size_t size)
{
    struct soma__piece **best = NULL;
    for (int i = 0; open_purse && i < SOMA__PURSE_LISTS; i++) {
        struct soma__piece **at = fitting(&open_purse->lists[i], size);
        if (at && (!best || (*at)->size < (*best)->size))
            best = at;
    }
    if (!best)
        return NULL;
    struct soma__piece *piece = *best;
    *best = piece->next;
    return piece;
}

void *soma__mem_alloc(size_t size)
{
    void *memory = malloc(size);
    return LIKELY(memory != NULL) ? memory : purse_take(size);
}

void soma__mem_free(void *memory, size_t size)
{
    (void)size; /* the malloc family finds it out by itself */
    free(memory);
}

void *soma__mem_grow(void *old, size_t old_size, size_t used, size_t size)
{
    void *fresh = soma__mem_alloc(size);
    if (!fresh || !old)
        return fresh;
    memcpy(fresh, old, used);
    soma__mem_free(old, old_size);
    return fresh;
}

bool soma__purse_put(struct soma__piece **list, size_t size)
{
    struct soma__piece *piece = malloc(size > sizeof *piece ? size : sizeof *piece);
    if (!piece)
        return false;
    *piece = (struct soma__piece){.next = *list, .size = size};
    *list = piece;
    return true;
}

void soma__purse_drop(struct soma__piece **list)
{
    while (*list) {
        struct soma__piece *piece = *list;
        *list = piece->next;
        free(piece);
    }
}

void soma__purse_open(struct soma__purse *purse)
{
    open_purse = purse;
}

/* ---- Ranges ---- */

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

void soma__range_huge(char *from, char *to)
{
    const uintptr_t rest = ((uintptr_t)1 << MEM_HUGE_LOG2) - 1;
    char *start = from + (-(uintptr_t)from & rest);
    char *end = to - ((uintptr_t)to & rest);
    if (start < end)
        (void)madvise(start, (size_t)(end - start), MADV_HUGEPAGE);
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

uint64_t soma__mem_processors(void)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > 0 ? (uint64_t)processors : 1;
}
