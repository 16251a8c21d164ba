// SPDX-License-Identifier: ISC
// memory.cpp - the memory that the library gets from the model (lib/mem/mem.h): what an access may touch, and giving and
// taking back.
#include "inside.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>

namespace inside
{

constexpr size_t PAGE = 16; // so small that a level of two buckets has a page of its own
constexpr size_t BLOCKS = 512;
constexpr size_t JOURNAL = 4096;
constexpr int POISON = 0xd5;

char *arena;
uint16_t lines[ARENA_BYTES / LINE];
block blocks[BLOCKS];
shadow *shadows;
static size_t used;
static size_t block_count;
static uint64_t freed_blocks;
static bool records_refused;

static struct {
    uint64_t *at;
    uint64_t was;
} journal[JOURNAL];
static size_t journaled;

void memory_make_ready()
{
    const size_t granules = ARENA_BYTES / 8 + static_cast<size_t>(_end - __data_start) / 8 + 1;
    void *memory = mmap(nullptr, ARENA_BYTES + granules * sizeof(shadow), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    arena = static_cast<char *>(memory);
    shadows = reinterpret_cast<shadow *>(arena + ARENA_BYTES);
}

void memory_reset()
{
    while (journaled > 0) {
        journaled--;
        *journal[journaled].at = journal[journaled].was;
    }
    memset(lines, 0, used / LINE * sizeof lines[0]);
    used = 0;
    block_count = 0;
    freed_blocks = 0;
    records_refused = false;
}

// ---- What an access may touch ----

static bool known(const block &of)
{
    bool by_any = of.early;
    for (unsigned thread = 0; thread < crew && !by_any; thread++)
        by_any = of.born[thread] != 0 && knows(thread, of.born[thread]);
    return by_any;
}

block *reach(const void *at, rl::debug_info_param info)
{
    if (!in_arena(at)) {
        if (!in_statics(at))
            fail("access to memory that is not the library's", nullptr, info);
        return nullptr;
    }
    block *of = block_of(at);
    if (!of)
        fail("access to memory that is not there", nullptr, info);
    if (of->freed)
        fail("access to memory that was given back", at, info);
    if (!alone && !known(*of))
        fail("access to memory that was not published to this thread", at, info);
    return of;
}

void keep_static(const void *at, shadow &of)
{
    if (of.journaled || in_arena(at))
        return;
    if (journaled == JOURNAL)
        abort();
    auto *granule = reinterpret_cast<uint64_t *>(reinterpret_cast<uintptr_t>(at) & ~uintptr_t{7});
    journal[journaled].at = granule;
    journal[journaled++].was = *granule;
    of.journaled = true;
}

// ---- Giving and taking back ----

struct memory_event {
    const char *what;
    const void *at;
    size_t size;

    void output(std::ostream &s) const { s << what << " " << name{at} << ", " << size << " bytes"; }
};

static block *make_block(char *at, size_t size, const char *kind, bool zero)
{
    if (block_count == BLOCKS)
        abort();
    block *made = &blocks[block_count++];
    memset(made, 0, sizeof *made);
    made->at = at;
    made->size = size;
    made->kind = kind;
    made->zero = zero;
    made->early = alone;
    for (size_t i = 0; i < block_count; i++)
        made->number += strcmp(blocks[i].kind, kind) == 0;
    memset(at, zero ? 0 : POISON, size);
    for (char *line = at; line < at + size; line += LINE)
        lines[static_cast<size_t>(line - arena) / LINE] = static_cast<uint16_t>(made - blocks + 1);
    return made;
}

static void give_birth(block *made)
{
    if (alone)
        return;
    made->born[running()] = ++own_clock();
    rl::context &c = rl::ctx();
    const rl::debug_info info("allocation", "", 0);
    RL_HIST(memory_event){"got", made->at, made->size} RL_HIST_END();
}

static char *take_arena(size_t size, size_t alignment)
{
    const size_t start = (used + alignment - 1) & ~(alignment - 1);
    if (start + size > ARENA_BYTES)
        abort();
    used = start + ((size + LINE - 1) & ~(LINE - 1));
    return arena + start;
}

static void give_back(block *of, rl::debug_info_param info)
{
    reach(of->at, info);
    for (unsigned thread = 0; !alone && thread < crew; thread++) {
        if (!knows(thread, of->last[thread]))
            fail("memory given back while another thread may be using it", of->at, info);
    }
    of->freed = true;
    freed_blocks++;
    if (alone)
        return;
    own_clock() += 1;
    rl::context &c = rl::ctx();
    RL_HIST(memory_event){"gave back", of->at, of->size} RL_HIST_END();
}

} // namespace inside

using namespace inside;

// ---- Doors: lib/mem/mem.h ----

extern "C" {

void *soma__mem_alloc(size_t size)
{
    block *made = make_block(take_arena(size, LINE), size, size <= 32 ? "entry" : "chunk", false);
    give_birth(made);
    return made->at;
}

void soma__mem_free(void *memory, size_t size)
{
    const rl::debug_info info("soma__mem_free", "mem.c", 1);
    block *of = reach(memory, info) ? block_of(memory) : nullptr;
    if (!of || of->at != memory || of->size != size)
        fail("memory given back that was not got like that", memory, info);
    give_back(of, info);
}

int model_posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (records_refused)
        return ENOMEM;
    block *made = make_block(take_arena(size, alignment), size, "record", false);
    give_birth(made);
    *memory = made->at;
    return 0;
}

void *soma__range_reserve(size_t size)
{
    return take_arena(size, PAGE);
}

bool soma__range_commit(char *from, char *to)
{
    while (from < to) {
        block *of = block_of(from);
        char *end = from;
        while (end < to && block_of(end) == of)
            end += LINE;
        if (!of)
            of = make_block(from, static_cast<size_t>(end - from), "range", true);
        give_birth(of);
        from = end;
    }
    return true;
}

void soma__range_huge(char *from, char *to)
{
    (void)from, (void)to;
}

char *soma__page_up(char *address)
{
    return arena + ((static_cast<size_t>(address - arena) + PAGE - 1) & ~(PAGE - 1));
}

char *soma__page_down(char *address)
{
    return arena + (static_cast<size_t>(address - arena) & ~(PAGE - 1));
}

bool soma__range_release(char *from, char *to)
{
    auto *end = reinterpret_cast<uint64_t *>(to);
    for (auto *word = reinterpret_cast<uint64_t *>(from); word < end; word++) {
        if (*word != 0 || shadow_of(word).atomic)
            model_store(word, 0, ORDER_RLX, "soma__range_release", "mem.c", 1);
    }
    return true;
}

void soma__range_free(void *range, size_t size)
{
    char *from = static_cast<char *>(range);
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].at >= from && blocks[i].at < from + size)
            give_back(&blocks[i], rl::debug_info("soma__range_free", "mem.c", 1));
    }
}

// Little, so that a map's range is short.
uint64_t soma__mem_physical(void)
{
    return 1024;
}

// No more than a first page has stripes: scenarios make up the counts of those.
uint64_t soma__mem_processors(void)
{
    return 1;
}
}

// ---- Doors: the scenarios ----

void model_refuse_records(bool refused)
{
    records_refused = refused;
}

uint64_t model_freed(void)
{
    return freed_blocks;
}

const char *model_leaked(void)
{
    for (size_t i = 0; i < block_count; i++) {
        if (!blocks[i].freed && strcmp(blocks[i].kind, "record") != 0)
            return blocks[i].kind;
    }
    return nullptr;
}
