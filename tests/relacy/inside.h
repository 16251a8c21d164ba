// SPDX-License-Identifier: ISC
// inside.h - what the model's own files share: what is known of memory, of words and of the simulated threads. The rest
// of the tests sees model.h alone.
#ifndef SOMA_TESTS_INSIDE_H
#define SOMA_TESTS_INSIDE_H

#include <relacy/relacy.hpp>

#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno

#include <cstdint>
#include <cstring>

#include "model.h"

extern "C" {
extern char __data_start[];
extern char _end[];
extern char __executable_start[];
extern char __start_soma_threads[];
extern char __stop_soma_threads[];
}

namespace inside
{

constexpr size_t ARENA_BYTES = size_t{1} << 20;
constexpr size_t LINE = 16; // memory is handed out in lines
constexpr unsigned HISTORY = rl::atomic_history_size;

using stamp = rl::timestamp_t;

// A word that Relacy keeps: one that was written since the threads started.
struct cell {
    uint64_t *word;
    uint64_t value;
    uint64_t history[HISTORY];
    rl::atomic_data *data;
};

// What is known of each 8 bytes of the arena and of the library's statics.
struct shadow {
    uint64_t execution; // anything below is of an older one if this is
    cell *atomic;
    bool written;
    bool journaled;
    stamp loads[MODEL_THREADS];
    stamp stores[MODEL_THREADS];
};

struct block {
    char *at;
    size_t size;
    const char *kind;
    unsigned number;
    bool early; // made before the threads started: known to all
    bool zero;  // nobody has to write it first
    bool freed;
    stamp born[MODEL_THREADS];
    stamp last[MODEL_THREADS]; // each thread's last access
};

// ---- The execution (model.cpp) ----

extern const model_run *job;
extern bool alone; // before and after the threads; also while the program is loaded
extern bool ready;
extern unsigned crew; // simulated threads
extern unsigned patience;
extern uint64_t execution;
extern const void *plain_caller; // the code whose plain access is looked at

[[noreturn]] void fail(const char *text, const void *at, rl::debug_info_param info);

// Where something is, as histories tell it.
struct name {
    const void *at;
};

std::ostream &operator<<(std::ostream &s, name named);

// ---- Threads (model.cpp) ----

extern unsigned holder; // whose thread-local variables are in place

// Puts another thread's in place.
void exchange_locals(unsigned thread);

inline unsigned running()
{
    return static_cast<unsigned>(rl::ctx().threadx_->index_);
}

// Another thread may run here.
inline void point()
{
    if (patience > 1 && rl::ctx().rand(patience, rl::sched_type_user) != 0)
        return;
    rl::ctx().sched();
    exchange_locals(running());
}

// Whether the running thread knows of all that a thread had done by a stamp of its own.
inline bool knows(unsigned thread, stamp when)
{
    return rl::ctx().threadx_->acq_rel_order_[thread] >= when;
}

inline stamp &own_clock()
{
    return rl::ctx().threadx_->own_acq_rel_order_;
}

// ---- Memory (memory.cpp) ----

extern char *arena;
extern uint16_t lines[ARENA_BYTES / LINE]; // number of the block + 1
extern block blocks[];
extern shadow *shadows;

// Once, before the first execution; and before each.
void memory_make_ready();
void memory_reset();

inline bool in_arena(const void *at)
{
    return static_cast<size_t>(static_cast<const char *>(at) - arena) < ARENA_BYTES && arena;
}

inline bool in_statics(const void *at)
{
    const char *byte = static_cast<const char *>(at);
    return byte >= __data_start && byte < _end && !(byte >= __start_soma_threads && byte < __stop_soma_threads);
}

inline block *block_of(const void *at)
{
    if (!in_arena(at))
        return nullptr;
    const unsigned number = lines[static_cast<size_t>(static_cast<const char *>(at) - arena) / LINE];
    return number ? &blocks[number - 1] : nullptr;
}

inline shadow &shadow_of(const void *at)
{
    size_t index = 0;
    if (in_arena(at))
        index = static_cast<size_t>(static_cast<const char *>(at) - arena) / 8;
    else
        index = ARENA_BYTES / 8 + reinterpret_cast<uintptr_t>(at) / 8 - reinterpret_cast<uintptr_t>(__data_start) / 8;
    shadow &of = shadows[index];
    if (of.execution != execution) {
        memset(&of, 0, sizeof of);
        of.execution = execution;
    }
    return of;
}

// The block that an access touches, after every complaint about it; null for statics.
block *reach(const void *at, rl::debug_info_param info);

// After an access: when it was.
inline void leave_trace(block *of)
{
    if (of)
        of->last[running()] = own_clock();
}

// A static is about to change: before the next execution it gets its old value back.
void keep_static(const void *at, shadow &of);

// ---- Words (words.cpp) ----

extern uint64_t contended; // swaps that failed

// Before each execution, whose number of threads is known.
void words_reset();

// The threads are over: what the words hold is what they were left with.
void words_settle();

} // namespace inside

#endif
