/* SPDX-License-Identifier: ISC */
/* count_probes.c - preloaded: counts how often each USDT probe of Soma fires, by call stack, without any privilege.
 *
 * A probe is a nop whose address stands in an ELF note (.note.stapsdt). Here every such nop becomes a breakpoint of the
 * program's own: the signal's handler notes the stack and goes on behind it. A probe is never inside malloc or the
 * dynamic linker, and the handler runs right at it, so it may call what any function may. x86-64 only.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "stacks.h"

#define PROVIDER "soma"
#define PROBES_MAX 1024
#define NAME_ROOM 32
#define NOP 0x90
#define BREAKPOINT 0xcc

struct probe {
    uintptr_t address;
    unsigned short *semaphore; /* to be raised, or the probe is passed by */
    char name[NAME_ROOM];
};

static struct probe probes[PROBES_MAX];
static size_t probe_count;

/* ---- Finding them ---- */

struct image {
    const char *bytes;
    size_t size;
    uintptr_t bias; /* where the program has it, less where its file says */
};

static const ElfW(Shdr) * section_named(const struct image *image, const char *name)
{
    const ElfW(Ehdr) *header = (const void *)image->bytes;
    const ElfW(Shdr) *sections = (const void *)(image->bytes + header->e_shoff);
    const char *names = image->bytes + sections[header->e_shstrndx].sh_offset;
    for (int i = 0; i < header->e_shnum; i++) {
        if (strcmp(names + sections[i].sh_name, name) == 0)
            return &sections[i];
    }
    return NULL;
}

/* SOMA_COUNT_ONLY: the names of those that are to be counted, each with a space behind it. */
static bool wanted(const char *name)
{
    const char *only = getenv("SOMA_COUNT_ONLY");
    const size_t len = strlen(name);
    for (const char *at = only; at && *at; at += strcspn(at, " ") + 1) {
        if (strncmp(at, name, len) == 0 && at[len] == ' ')
            return true;
    }
    return !only;
}

/* A note's content: location, base, semaphore; then provider, name and arguments, each ended by a zero. */
static void add_probe(const struct image *image, const char *content, uintptr_t base)
{
    uintptr_t words[3];
    memcpy(words, content, sizeof words);
    const char *provider = content + sizeof words;
    const char *name = provider + strlen(provider) + 1;
    if (strcmp(provider, PROVIDER) != 0 || probe_count == PROBES_MAX || !wanted(name))
        return;
    struct probe *probe = &probes[probe_count];
    const uintptr_t moved = (base ? base - words[1] : 0) + image->bias;
    probe->address = words[0] + moved;
    probe->semaphore = words[2] ? (unsigned short *)(words[2] + moved) : NULL;
    snprintf(probe->name, sizeof probe->name, "%s", name);
    if (*(const unsigned char *)probe->address == NOP)
        probe_count++;
}

static size_t padded(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

static void read_notes(const struct image *image)
{
    const ElfW(Shdr) *notes = section_named(image, ".note.stapsdt");
    const ElfW(Shdr) *base = section_named(image, ".stapsdt.base");
    if (!notes || notes->sh_offset + notes->sh_size > image->size)
        return;
    const char *at = image->bytes + notes->sh_offset;
    const char *end = at + notes->sh_size;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *content = at + sizeof *note + padded(note->n_namesz);
        add_probe(image, content, base ? base->sh_addr : 0);
        at = content + padded(note->n_descsz);
    }
}

static int read_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    struct stat status;
    const int fd = open(*info->dlpi_name ? info->dlpi_name : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fstat(fd, &status) == 0 && (size_t)status.st_size > sizeof(ElfW(Ehdr))) {
        struct image image = {.size = (size_t)status.st_size, .bias = info->dlpi_addr};
        void *bytes = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            image.bytes = bytes;
            if (memcmp(bytes, ELFMAG, SELFMAG) == 0)
                read_notes(&image);
            munmap(bytes, image.size);
        }
    }
    close(fd);
    return 0;
}

/* ---- Counting ---- */

static const struct probe *probe_at(uintptr_t address)
{
    for (size_t i = 0; i < probe_count; i++) {
        if (probes[i].address == address)
            return &probes[i];
    }
    return NULL;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)info;
    const uintptr_t address = (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] - 1;
    const struct probe *probe = probe_at(address);
    if (!probe) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    void *frames[STACK_DEPTH];
    const int all = backtrace(frames, STACK_DEPTH);
    int first = 0;
    while (first < all && (uintptr_t)frames[first] - address > 1)
        first++;
    if (first < all)
        frames[first] = (void *)address;
    pthread_mutex_lock(&stacks_lock);
    struct stack *stack = first < all ? stack_find(frames + first, all - first, (uint64_t)(probe - probes)) : NULL;
    if (stack)
        stack->counts[0]++;
    pthread_mutex_unlock(&stacks_lock);
}

static bool plant(const struct probe *probe)
{
    const uintptr_t page = probe->address & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
    void *memory = (void *)page;
    if (mprotect(memory, probe->address + 1 - page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    *(unsigned char *)probe->address = BREAKPOINT;
    if (probe->semaphore)
        ++*probe->semaphore;
    return mprotect(memory, probe->address + 1 - page, PROT_READ | PROT_EXEC) == 0;
}

/* ---- Beginning and end ---- */

static __attribute__((destructor)) void finish(void)
{
    FILE *file = stacks_open(getenv("SOMA_COUNT_PROBES"));
    if (!file)
        return;
    fprintf(file, "probes %zu\n", probe_count);
    pthread_mutex_lock(&stacks_lock);
    for (int i = 0; i < STACK_ROOM; i++) {
        if (stacks[i].depth == 0)
            continue;
        stack_print_frames(file, &stacks[i]);
        fprintf(file, "  %s %llu\n", probes[stacks[i].tag].name, (unsigned long long)stacks[i].counts[0]);
    }
    if (stacks_lost)
        fprintf(file, "LOST %llu\n", (unsigned long long)stacks_lost);
    pthread_mutex_unlock(&stacks_lock);
    stacks_print_mappings(file);
    fclose(file);
}

static void fork_child(void)
{
    pthread_mutex_init(&stacks_lock, NULL);
    memset(stacks, 0, sizeof stacks);
}

static __attribute__((constructor)) void begin(void)
{
    void *frame;
    backtrace(&frame, 1); /* it loads a library the first time */
    dl_iterate_phdr(read_module, NULL);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(SIGTRAP, &action, NULL);
    pthread_atfork(NULL, NULL, fork_child);
    for (size_t i = 0; i < probe_count; i++) {
        if (!plant(&probes[i]))
            fprintf(stderr, "count_probes: cannot write to the code of %s\n", probes[i].name);
    }
}
