/* SPDX-License-Identifier: ISC */
/* library.c - the library under test is a shared object of its own, so that its globals and its thread-local variables
 * are one piece of memory each: the globals are put back before each run, the thread-local ones are swapped with the
 * coroutines. */
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "runtime.h"

#define LIBRARY_NAME "libsoma_scheduled"
#define TLS_MAX ((size_t)256)

static struct {
    char *globals;
    size_t globals_size;
    char *tls;
    size_t tls_size;
    const char *kept; /* what is not put back: a part of the globals, or nothing */
    const char *kept_end;
    char initial[2][GLOBALS_MAX]; /* on a kernel without membarrier, and with it */
    char tls_initial[TLS_MAX];
} library;

/* The writable segment behind what the loader has made read-only after relocation. */
static void note_segment(const struct dl_phdr_info *info, const ElfW(Phdr) * segment, uintptr_t relro_end)
{
    const uintptr_t from = info->dlpi_addr + segment->p_vaddr;
    const uintptr_t to = from + segment->p_memsz;
    const uintptr_t start = relro_end > from && relro_end <= to ? relro_end : from;
    library.globals = (char *)start;
    library.globals_size = to - start;
}

/* What the loader calls once the library is there. */
static void run_constructors(const struct dl_phdr_info *info, const ElfW(Phdr) * segment)
{
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(info->dlpi_addr + segment->p_vaddr);
    void (**functions)(void) = NULL;
    size_t count = 0;
    for (; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_INIT_ARRAY)
            functions = (void (**)(void))(info->dlpi_addr + entry->d_un.d_ptr);
        if (entry->d_tag == DT_INIT_ARRAYSZ)
            count = entry->d_un.d_val / sizeof *functions;
    }
    for (size_t i = 0; functions && i < count; i++)
        functions[i]();
}

/* The globals as they are after the library was loaded on either kernel. */
static void note_initial(const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC || library.globals_size > GLOBALS_MAX)
            continue;
        for (int works = 0; works < 2; works++) {
            runtime_membarrier(works);
            run_constructors(info, &info->dlpi_phdr[i]);
            memcpy(library.initial[works], library.globals, library.globals_size);
        }
    }
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    if (!strstr(info->dlpi_name, LIBRARY_NAME))
        return 0;
    uintptr_t relro_end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_GNU_RELRO)
            relro_end = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz + 4095) & ~(uintptr_t)4095;
        if (segment->p_type == PT_TLS) {
            library.tls = info->dlpi_tls_data;
            library.tls_size = segment->p_memsz;
        }
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) != 0)
            note_segment(info, segment, relro_end);
    }
    note_initial(info);
    return 1;
}

void library_find(void)
{
    dl_iterate_phdr(look, NULL);
    if (!library.globals || !library.tls || library.globals_size > GLOBALS_MAX || library.tls_size > TLS_MAX) {
        fprintf(stderr, "sched: %s is not loaded, or larger than expected\n", LIBRARY_NAME);
        exit(2);
    }
    memcpy(library.tls_initial, library.tls, library.tls_size);
    machine_globals(library.globals, library.globals_size);
}

void library_keep(const void *from, const void *to)
{
    library.kept = from;
    library.kept_end = to;
}

/* Puts the globals between two addresses back. */
static void put_back(const char *from, const char *to, bool membarrier)
{
    const size_t at = (size_t)(from - library.globals);
    memcpy(library.globals + at, library.initial[membarrier] + at, (size_t)(to - from));
}

void library_reset(bool membarrier)
{
    const char *end = library.globals + library.globals_size;
    runtime_membarrier(membarrier);
    if (library.kept) {
        put_back(library.globals, library.kept, membarrier);
        put_back(library.kept_end, end, membarrier);
    } else {
        put_back(library.globals, end, membarrier);
    }
    memcpy(library.tls, library.tls_initial, library.tls_size);
}

size_t library_tls_size(void)
{
    return library.tls_size;
}

void *library_tls(void)
{
    return library.tls;
}

const void *library_tls_initial(void)
{
    return library.tls_initial;
}
