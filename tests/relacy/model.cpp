// SPDX-License-Identifier: ISC
// model.cpp - the library's own sources under Relacy, which executes them with all the freedom of the C11 memory model:
// a load may see an old value whenever nothing forbids it, and any thread may run at any access.
//
// Source      https://github.com/dvyukov/relacy (package relacy-dev). Its atomics want to be C++ objects; here the
//             library stays C, and what it calls `struct atom` becomes one of Relacy's words on its first change.
// How         shadow/ stands before lib/ in the include path: base/atom.h leads every atomic access here, host.h every
//             question to the system. The compiler's -fsanitize=thread makes a call of every plain access; those calls
//             (__tsan_*) end here as well, not in a sanitizer. Nothing in lib/ is copied or changed.
// What fails  - a data race on a plain word, statics included (the clocks are Relacy's)
//             - an access to memory that was given back, or that nobody has written, or that the accessing thread has
//               not learnt of (its allocation does not happen before the access), or that is not committed
//             - memory given back while some thread's access does not happen before that
//             - memory that is never given back
//             - what the library's ASSERT() and the scenarios say; an execution without an end
// Model       C11's, with the release sequences of C++20 and C23: what a thread stores later, relaxed, does not carry
//             on what it released earlier. Relacy itself has the older rule.
// Barrier     The kernel's barrier on all threads (membarrier) is Relacy's system-wide fence: at one instant, all that
//             any thread has done is known to all. The real one reaches each thread at an instant of its own, in
//             between; a flaw that needs two of these instants to be apart is not found. The scenarios with
//             OWN_BARRIERS tell the library that there is none, as on kernels without it: there it is C11 alone.
// Not seen    A load sees one of the last three values of a word, never one that is yet to be stored (load buffering);
//             a failing compare-and-swap sees the newest. Memory is never used again within an execution, so an ABA by
//             address is not met (the library's readers exclude it: see O4 and the sections). Neither fork nor signals.
#include <relacy/relacy.hpp>

#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno

#include <sys/mman.h>

#include <cerrno>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <sys/syscall.h>

#include <linux/membarrier.h>

#include "model.h"

extern "C" {
extern char __data_start[];
extern char _end[];
extern char __executable_start[];
extern char __start_soma_threads[];
extern char __stop_soma_threads[];
}

namespace
{

constexpr size_t ARENA_BYTES = size_t{1} << 20;
constexpr size_t LINE = 16; // memory is handed out in lines
constexpr size_t PAGE = 16; // so small that a level of two buckets has a page of its own
constexpr size_t CELLS = 1024;
constexpr size_t BLOCKS = 512;
constexpr size_t JOURNAL = 4096;
constexpr size_t OUTCOMES = 4096;
constexpr uint64_t CONTENDED_MOST = 2; // more failed swaps are no other outcome
constexpr size_t SITES = 512;
constexpr size_t LOCAL_BYTES = 128;   // at least the library's thread-local variables
constexpr size_t DEPTH_LIMIT = 20000; // accesses of an execution; more is taken for one without an end
constexpr int POISON = 0xd5;
constexpr uint64_t POISON_WORD = UINT64_C(0xd5d5d5d5d5d5d5d5);
constexpr uintptr_t WILD_BELOW = size_t{1} << 16;
constexpr uintptr_t WILD_ABOVE = uintptr_t{1} << 47;
constexpr unsigned HISTORY = rl::atomic_history_size;
// Random executions differ in how long threads stay at it: at one access in 1, 2, 4 ... another may run. What takes a
// thread that stands still while another does a lot is met as well as what takes a switch at every turn.
constexpr unsigned PATIENCES = 6;
constexpr double PROGRESS_SECONDS = 5;

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

struct site {
    const char *function;
    model_order order;
};

const model_run *job;
bool alone = true; // before and after the threads; also while the program is loaded
bool ready;
unsigned crew; // simulated threads
unsigned patience;
uint64_t execution;
uint64_t executions;
uint64_t ticks;
uint64_t freed_blocks;
bool records_refused;
uint64_t contended;       // swaps that failed
const void *plain_caller; // the code whose plain access is looked at
char complaint[256];
double started_at;
double told_at;
uint64_t told;

char *arena;
size_t used;
uint16_t lines[ARENA_BYTES / LINE]; // number of the block + 1
block blocks[BLOCKS];
size_t block_count;
cell cells[CELLS];
size_t cell_count;
shadow *shadows;
void (*first_value)(rl::atomic_data *data);
void (*end_sequence)(rl::atomic_data *data, unsigned index, bool releases);

struct {
    uint64_t *at;
    uint64_t was;
} journal[JOURNAL];
size_t journaled;

char locals[MODEL_THREADS + 1][LOCAL_BYTES];
char fresh_locals[LOCAL_BYTES];
unsigned holder; // whose thread-local variables are in place
void *specific[MODEL_THREADS + 1];
void (*key_destructor)(void *);

uint64_t outcome_set[OUTCOMES];
unsigned outcome_count;
site sites[SITES];

// ---- Failing, and telling ----

struct name {
    const void *at;
};

block *block_of(const void *at);

std::ostream &operator<<(std::ostream &s, name named)
{
    const block *of = block_of(named.at);
    const auto at = reinterpret_cast<uintptr_t>(named.at);
    if (of)
        s << of->kind << of->number << "+" << at - reinterpret_cast<uintptr_t>(of->at);
    else
        s << "static " << std::hex << at - reinterpret_cast<uintptr_t>(__executable_start) << std::dec;
    return s;
}

[[noreturn]] void fail(const char *text, const void *at, rl::debug_info_param info)
{
    char where[64] = "";
    if (at) {
        const block *of = block_of(at);
        if (of)
            snprintf(where, sizeof where, ": %s%u+%zu", of->kind, of->number,
                     static_cast<size_t>(static_cast<const char *>(at) - of->at));
        else
            snprintf(where, sizeof where, ": static 0x%zx",
                     static_cast<size_t>(static_cast<const char *>(at) - __executable_start));
    }
    if (plain_caller)
        snprintf(complaint, sizeof complaint, "%s%s, at 0x%zx (addr2line -i tells)", text, where,
                 static_cast<size_t>(static_cast<const char *>(plain_caller) - __executable_start));
    else if (info.line_)
        snprintf(complaint, sizeof complaint, "%s%s, in %s()", text, where, info.func_);
    else
        snprintf(complaint, sizeof complaint, "%s%s", text, where);
    if (!rl::is_ctx()) {
        fprintf(stderr, "%s\n", complaint);
        abort();
    }
    rl::ctx().fail_test(complaint, rl::test_result_user_assert_failed, info);
    abort();
}

const char *const order_names[] = {"relaxed", "acquire", "release", "acq_rel"};

struct atom_event {
    const char *what;
    const void *word;
    model_order order;
    uint64_t found;
    uint64_t left;
    bool old;

    void output(std::ostream &s) const
    {
        s << what << " " << name{word} << " " << order_names[order] << std::hex << ": " << found;
        if (left != found)
            s << " -> " << left;
        s << std::dec << (old ? " [an older value]" : "");
    }
};

struct plain_event {
    const void *word;
    bool store;
    size_t size;

    void output(std::ostream &s) const
    {
        s << (store ? "plain store " : "plain load ") << name{word} << ", " << size << " bytes";
    }
};

struct memory_event {
    const char *what;
    const void *at;
    size_t size;

    void output(std::ostream &s) const { s << what << " " << name{at} << ", " << size << " bytes"; }
};

// ---- Threads ----

unsigned running()
{
    return static_cast<unsigned>(rl::ctx().threadx_->index_);
}

size_t local_bytes()
{
    return static_cast<size_t>(__stop_soma_threads - __start_soma_threads);
}

void exchange_locals(unsigned thread)
{
    if (holder == thread)
        return;
    memcpy(locals[holder], __start_soma_threads, local_bytes());
    memcpy(__start_soma_threads, locals[thread], local_bytes());
    holder = thread;
}

// Another thread may run here.
void point()
{
    if (patience > 1 && rl::ctx().rand(patience, rl::sched_type_user) != 0)
        return;
    rl::ctx().sched();
    exchange_locals(running());
}

// Whether the running thread knows of all that a thread had done by a stamp of its own.
bool knows(unsigned thread, stamp when)
{
    return rl::ctx().threadx_->acq_rel_order_[thread] >= when;
}

stamp &own_clock()
{
    return rl::ctx().threadx_->own_acq_rel_order_;
}

// ---- Memory: what an access may touch ----

bool in_arena(const void *at)
{
    return static_cast<size_t>(static_cast<const char *>(at) - arena) < ARENA_BYTES && arena;
}

bool in_statics(const void *at)
{
    const char *byte = static_cast<const char *>(at);
    return byte >= __data_start && byte < _end && !(byte >= __start_soma_threads && byte < __stop_soma_threads);
}

block *block_of(const void *at)
{
    if (!in_arena(at))
        return nullptr;
    const unsigned number = lines[static_cast<size_t>(static_cast<const char *>(at) - arena) / LINE];
    return number ? &blocks[number - 1] : nullptr;
}

shadow &shadow_of(const void *at)
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

bool known(const block &of)
{
    bool by_any = of.early;
    for (unsigned thread = 0; thread < crew && !by_any; thread++)
        by_any = of.born[thread] != 0 && knows(thread, of.born[thread]);
    return by_any;
}

// The block that an access touches, after every complaint about it; null for statics.
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

// After an access: when it was.
void leave_trace(block *of)
{
    if (of)
        of->last[running()] = own_clock();
}

// A static is about to change: before the next execution it gets its old value back.
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

// ---- Memory: giving and taking back ----

block *make_block(char *at, size_t size, const char *kind, bool zero)
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

void give_birth(block *made)
{
    if (alone)
        return;
    made->born[running()] = ++own_clock();
    rl::context &c = rl::ctx();
    const rl::debug_info info("allocation", "", 0);
    RL_HIST(memory_event){"got", made->at, made->size} RL_HIST_END();
}

char *take_arena(size_t size, size_t alignment)
{
    const size_t start = (used + alignment - 1) & ~(alignment - 1);
    if (start + size > ARENA_BYTES)
        abort();
    used = start + ((size + LINE - 1) & ~(LINE - 1));
    return arena + start;
}

void give_back(block *of, rl::debug_info_param info)
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

// ---- Atomic words ----

template <rl::thread_id_t N> void make_first_value(rl::atomic_data *data)
{
    auto &impl = *static_cast<rl::atomic_data_impl<N> *>(data);
    for (unsigned i = 0; i < HISTORY; i++)
        impl.history_[i].busy_ = false;
    auto &first = impl.history_[0];
    first.busy_ = true;
    first.seq_cst_ = false;
    first.thread_id_ = 0;
    first.acq_rel_timestamp_ = 0; // before everything: known to all
    for (rl::thread_id_t i = 0; i < N; i++) {
        first.acq_rel_order_[i] = 0;
        first.first_seen_order_[i] = static_cast<stamp>(-1);
    }
    impl.current_index_ = HISTORY; // position 0
}

// A plain store ends the release sequences before it: it carries what it releases itself, if anything.
template <rl::thread_id_t N> void end_release_sequence(rl::atomic_data *data, unsigned index, bool releases)
{
    auto &stored = static_cast<rl::atomic_data_impl<N> *>(data)->history_[index];
    for (rl::thread_id_t i = 0; i < N; i++)
        stored.acq_rel_order_[i] = releases ? rl::ctx().threadx_->acq_rel_order_[i] : 0;
}

cell &cell_of(shadow &of, uint64_t *word)
{
    if (!of.atomic) {
        if (cell_count == CELLS)
            abort();
        cell &made = cells[cell_count++];
        made.word = word;
        made.value = *word;
        made.history[0] = *word;
        made.data = rl::ctx().atomic_ctor(nullptr);
        first_value(made.data);
        of.atomic = &made;
    }
    return *of.atomic;
}

void change(cell &atomic, unsigned index, uint64_t to)
{
    atomic.value = to;
    atomic.history[index] = to;
}

unsigned cell_load(rl::atomic_data *data, model_order order)
{
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQ:
    case ORDER_ACQREL:
        return self.atomic_load_acquire(data);
    default:
        return self.atomic_load_relaxed(data);
    }
}

unsigned cell_store(rl::atomic_data *data, model_order order)
{
    const bool releases = order == ORDER_REL || order == ORDER_ACQREL;
    rl::thread_info_base &self = *rl::ctx().threadx_;
    const unsigned index = releases ? self.atomic_store_release(data) : self.atomic_store_relaxed(data);
    end_sequence(data, index, releases);
    return index;
}

unsigned cell_modify(rl::atomic_data *data, model_order order)
{
    bool aba = false;
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQREL:
        return self.atomic_rmw_acq_rel(data, aba);
    case ORDER_ACQ:
        return self.atomic_rmw_acquire(data, aba);
    case ORDER_REL:
        return self.atomic_rmw_release(data, aba);
    default:
        return self.atomic_rmw_relaxed(data, aba);
    }
}

// A compare-and-swap that fails is a load of the newest value.
void cell_look(rl::atomic_data *data, model_order order)
{
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQREL:
    case ORDER_ACQ:
        self.atomic_load_acquire_rmw(data);
        break;
    default:
        self.atomic_load_relaxed_rmw(data);
        break;
    }
}

void remember_site(const char *function, model_order order)
{
    size_t i = (reinterpret_cast<uintptr_t>(function) / 4 * 8 + order) % SITES;
    while (sites[i].function && (sites[i].function != function || sites[i].order != order))
        i = (i + 1) % SITES;
    sites[i].function = function;
    sites[i].order = order;
}

bool is_seeded(const char *function, model_order order)
{
    const model_seed *seed = job ? job->seed : nullptr;
    return seed && seed->from == order && strcmp(seed->function, function) == 0;
}

model_order actual_order(const char *function, model_order order)
{
    if (!alone)
        remember_site(function, order);
    return is_seeded(function, order) ? job->seed->to : order;
}

// Where the atomic access may be interrupted, and what it touches.
block *arrive(const uint64_t *word, rl::debug_info_param info)
{
    if (!alone)
        point();
    return reach(word, info);
}

void check_value(uint64_t value, const uint64_t *word, rl::debug_info_param info)
{
    if (value == POISON_WORD)
        fail("a word is read that nobody has written", word, info);
}

// ---- Plain words ----

void plain_granule(const void *at, bool store, rl::debug_info_param info)
{
    shadow &of = shadow_of(at);
    if (store) {
        keep_static(at, of);
        of.written = true;
    }
    if (alone)
        return;
    for (unsigned thread = 0; thread < crew; thread++) {
        if (!knows(thread, of.stores[thread]) || (store && !knows(thread, of.loads[thread])))
            fail(store ? "data race: plain store" : "data race: plain load", at, info);
    }
    (store ? of.stores : of.loads)[running()] = own_clock();
}

void plain(const void *at, size_t size, bool store, const void *caller)
{
    if (!ready)
        return;
    plain_caller = caller;
    if (!in_arena(at) && !in_statics(at)) {
        // A thread's stack, or where only a wild pointer leads: a bit of poison, or next to null.
        if (reinterpret_cast<uintptr_t>(at) - WILD_BELOW >= WILD_ABOVE - WILD_BELOW)
            fail("access through a wild pointer", nullptr, rl::debug_info("", "", 0));
        plain_caller = nullptr;
        return;
    }
    const rl::debug_info info("plain access", "", 0);
    block *of = reach(at, info);
    if (!alone) {
        own_clock() += 1;
        rl::context &c = rl::ctx();
        RL_HIST(plain_event){at, store, size} RL_HIST_END();
    }
    const char *byte = static_cast<const char *>(at);
    if (!store && of && !of->zero && !shadow_of(at).written)
        fail("memory is read that nobody has written", at, info);
    for (size_t done = 0; done < size; done += 8)
        plain_granule(byte + done, store, info);
    if (!alone)
        leave_trace(of);
    plain_caller = nullptr;
}

// ---- Executions ----

void make_ready()
{
    if (ready)
        return;
    const size_t granules = ARENA_BYTES / 8 + static_cast<size_t>(_end - __data_start) / 8 + 1;
    void *memory = mmap(nullptr, ARENA_BYTES + granules * sizeof(shadow), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || local_bytes() > LOCAL_BYTES)
        abort();
    arena = static_cast<char *>(memory);
    shadows = reinterpret_cast<shadow *>(arena + ARENA_BYTES);
    memcpy(fresh_locals, __start_soma_threads, local_bytes());
    ready = true;
}

void reset()
{
    while (journaled > 0) {
        journaled--;
        *journal[journaled].at = journal[journaled].was;
    }
    execution++;
    memset(lines, 0, used / LINE * sizeof lines[0]);
    used = 0;
    block_count = 0;
    cell_count = 0;
    freed_blocks = 0;
    records_refused = false;
    contended = 0;
    ticks = 0;
    complaint[0] = '\0';
    plain_caller = nullptr;
    for (auto &local : locals)
        memcpy(local, fresh_locals, local_bytes());
    memcpy(__start_soma_threads, fresh_locals, local_bytes());
    holder = MODEL_MAIN;
    memset(specific, 0, sizeof specific);
}

// The threads are over: what the words hold is what they were left with.
void settle()
{
    alone = true;
    for (size_t i = 0; i < cell_count; i++) {
        keep_static(cells[i].word, shadow_of(cells[i].word));
        *cells[i].word = cells[i].value;
        rl::ctx().atomic_dtor(cells[i].data);
        shadow_of(cells[i].word).atomic = nullptr;
    }
    cell_count = 0;
    exchange_locals(MODEL_MAIN);
}

double seconds()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void tell_progress()
{
    if (job->quiet || executions % 1024 != 0)
        return;
    const double now = seconds();
    if (now - told_at < PROGRESS_SECONDS)
        return;
    printf("# %s: %" PRIu64 " of %" PRIu64 " executions, %.0f/s, %u outcomes\n", job->scenario->name, executions,
           job->executions, static_cast<double>(executions - told) / (now - told_at), outcome_count);
    fflush(stdout);
    told_at = now;
    told = executions;
}

template <rl::thread_id_t N> struct suite : rl::test_suite<suite<N>, N> {
    void before()
    {
        alone = true;
        crew = N;
        patience = rl::ctx().is_random_sched() ? 1u << rl::ctx().rand(PATIENCES, rl::sched_type_user) : 1;
        first_value = make_first_value<N>;
        end_sequence = end_release_sequence<N>;
        reset();
        model_library_set_up();
        job->scenario->before(job->scenario->arg);
        alone = false;
    }

    void thread(unsigned index)
    {
        exchange_locals(index);
        job->scenario->thread(job->scenario->arg, index);
    }

    void after()
    {
        settle();
        job->scenario->after(job->scenario->arg);
        executions++;
        tell_progress();
        if (job->scheduler != SCHEDULER_RANDOM && executions >= job->executions)
            rl::ctx().rl_until("enough executions", rl::debug_info("", "", 0));
    }
};

struct null_buffer : std::streambuf {
    int overflow(int c) override { return c; }
};

} // namespace

// ---- Doors: atomic memory ----

#define MODEL_INFO rl::debug_info(function, file, line)

uint64_t model_load(const uint64_t *word, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    if (is_seeded(function, wanted) && job->seed->all_ones)
        return UINT64_MAX;
    block *of = arrive(word, info);
    uint64_t value = *word;
    bool old = false;
    if (!alone) {
        cell *atomic = shadow_of(word).atomic;
        if (atomic) {
            value = atomic->history[cell_load(atomic->data, order)];
            old = value != atomic->value;
        } else {
            own_clock() += 1;
        }
        leave_trace(of);
        rl::context &c = rl::ctx();
        RL_HIST(atom_event){"load", word, order, value, value, old} RL_HIST_END();
    }
    check_value(value, word, info);
    return value;
}

void model_store(uint64_t *word, uint64_t to, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    shade.written = true;
    if (alone) {
        keep_static(word, shade);
        *word = to;
        return;
    }
    cell &atomic = cell_of(shade, word);
    const uint64_t found = atomic.value;
    change(atomic, cell_store(atomic.data, order), to);
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){"store", word, order, found, to, false} RL_HIST_END();
}

static uint64_t modify(uint64_t *word, uint64_t to, bool add, model_order wanted, const char *what, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    shade.written = true;
    if (alone) {
        keep_static(word, shade);
        const uint64_t found = *word;
        *word = add ? found + to : to;
        return found;
    }
    cell &atomic = cell_of(shade, word);
    const uint64_t found = atomic.value;
    change(atomic, cell_modify(atomic.data, order), add ? found + to : to);
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){what, word, order, found, atomic.value, false} RL_HIST_END();
    check_value(found, word, info);
    return found;
}

uint64_t model_add(uint64_t *word, uint64_t delta, model_order order, MODEL_SITE)
{
    return modify(word, delta, true, order, "add", function, file, line);
}

uint64_t model_exchange(uint64_t *word, uint64_t to, model_order order, MODEL_SITE)
{
    return modify(word, to, false, order, "exchange", function, file, line);
}

bool model_cas(uint64_t *word, uint64_t *expected, uint64_t to, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    const uint64_t found = shade.atomic ? shade.atomic->value : *word;
    const bool done = found == *expected;
    check_value(found, word, info);
    *expected = found;
    if (alone) {
        if (done) {
            keep_static(word, shade);
            *word = to;
        }
        return done;
    }
    cell &atomic = cell_of(shade, word);
    if (done)
        change(atomic, cell_modify(atomic.data, order), to);
    else
        cell_look(atomic.data, order);
    contended += !done;
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){done ? "swap" : "failed swap", word, order, found, done ? to : found, false} RL_HIST_END();
    return done;
}

bool model_cas16(uint64_t *pair, const uint64_t expected[2], const uint64_t to[2], model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(pair, info);
    bool done = true;
    for (int i = 0; i < 2; i++) {
        const cell *atomic = shadow_of(pair + i).atomic;
        done = done && (atomic ? atomic->value : pair[i]) == expected[i];
    }
    for (int i = 0; i < 2; i++) {
        if (alone) {
            pair[i] = done ? to[i] : pair[i];
            continue;
        }
        cell &atomic = cell_of(shadow_of(pair + i), pair + i);
        const uint64_t found = atomic.value;
        if (done)
            change(atomic, cell_modify(atomic.data, order), to[i]);
        else
            cell_look(atomic.data, order);
        leave_trace(of);
        rl::context &c = rl::ctx();
        RL_HIST(atom_event){
            done ? "swap of two" : "failed swap of two", pair + i, order, found, atomic.value, false} RL_HIST_END();
    }
    return done;
}

// ---- Doors: plain memory, as the compiler calls them ----

#define CALLER __builtin_return_address(0)
#define PLAIN(size)                                                                                                    \
    void __tsan_read##size(void *at)                                                                                   \
    {                                                                                                                  \
        plain(at, size, false, CALLER);                                                                                \
    }                                                                                                                  \
    void __tsan_write##size(void *at)                                                                                  \
    {                                                                                                                  \
        plain(at, size, true, CALLER);                                                                                 \
    }                                                                                                                  \
    void __tsan_unaligned_read##size(void *at)                                                                         \
    {                                                                                                                  \
        plain(at, size, false, CALLER);                                                                                \
    }                                                                                                                  \
    void __tsan_unaligned_write##size(void *at)                                                                        \
    {                                                                                                                  \
        plain(at, size, true, CALLER);                                                                                 \
    }

extern "C" {
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *at, size_t size)
{
    plain(at, size, false, CALLER);
}

void __tsan_write_range(void *at, size_t size)
{
    plain(at, size, true, CALLER);
}

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

void *model_memset(void *memory, int byte, size_t size)
{
    plain(memory, size, true, CALLER);
    return memset(memory, byte, size);
}
}

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

char *soma__page_up(char *address)
{
    return arena + ((static_cast<size_t>(address - arena) + PAGE - 1) & ~(PAGE - 1));
}

char *soma__page_down(char *address)
{
    return arena + (static_cast<size_t>(address - arena) & ~(PAGE - 1));
}

void soma__range_release(char *from, char *to)
{
    auto *end = reinterpret_cast<uint64_t *>(to);
    for (auto *word = reinterpret_cast<uint64_t *>(from); word < end; word++) {
        if (*word != 0 || shadow_of(word).atomic)
            model_store(word, 0, ORDER_RLX, "soma__range_release", "mem.c", 1);
    }
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

// ---- Doors: the system ----

long model_syscall(long number, ...)
{
    va_list rest;
    va_start(rest, number);
    const int command = va_arg(rest, int);
    va_end(rest);
    if (number == SYS_gettid)
        return holder + 1;
    if (number != SYS_membarrier)
        return -1;
    if (!ready || job->scenario->own_barriers)
        return -1;
    const bool seeded = job->seed && strcmp(job->seed->function, "membarrier") == 0;
    if (command == MEMBARRIER_CMD_PRIVATE_EXPEDITED && !alone && !seeded) {
        point();
        rl::context &c = rl::ctx();
        const rl::debug_info info("membarrier", "", 0);
        c.rl_global_fence();
        RL_HIST(rl::user_event){"barrier on all threads"} RL_HIST_END();
    }
    return 0;
}

int model_nanosleep(const timespec *, timespec *)
{
    if (!alone) {
        rl::ctx().yield(1, rl::debug_info("nanosleep", "", 0));
        exchange_locals(running());
    }
    return 0;
}

int model_clock_gettime(clockid_t, timespec *now)
{
    ticks++;
    now->tv_sec = 0;
    now->tv_nsec = static_cast<long>(ticks);
    return 0;
}

int model_pthread_atfork(void (*)(void), void (*)(void), void (*)(void))
{
    return 0;
}

int model_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    *key = 1;
    key_destructor = destructor;
    return 0;
}

int model_pthread_setspecific(pthread_key_t, const void *value)
{
    specific[holder] = const_cast<void *>(value);
    return 0;
}

int model_pthread_sigmask(int, const sigset_t *, sigset_t *)
{
    return 0;
}

void soma__complain(const char *where, const char *what)
{
    fail(what, nullptr, rl::debug_info(where, "lib", 1));
}
}

// ---- For the scenarios ----

void model_become(unsigned thread)
{
    exchange_locals(thread);
}

void model_thread_exit(void)
{
    void *value = specific[holder];
    specific[holder] = nullptr;
    if (value)
        key_destructor(value);
}

void model_refuse_records(bool refused)
{
    records_refused = refused;
}

void model_touch(void *word, bool store)
{
    plain(word, sizeof(uint64_t), store, CALLER);
}

void model_fail(const char *text)
{
    fail(text, nullptr, rl::debug_info("", "", 0));
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

void model_outcome(uint64_t outcome)
{
    outcome = outcome * 31 + (contended < CONTENDED_MOST ? contended : CONTENDED_MOST);
    outcome += outcome == 0;
    size_t i = outcome % OUTCOMES;
    for (; outcome_set[i] != outcome; i = (i + 1) % OUTCOMES) {
        if (outcome_set[i] == 0) {
            if (outcome_count < OUTCOMES / 2) {
                outcome_set[i] = outcome;
                outcome_count++;
            }
            return;
        }
    }
}

// ---- For main.c ----

bool model_site(unsigned index, const char **function, model_order *order)
{
    for (const site &seen : sites) {
        if (seen.function && index-- == 0) {
            *function = seen.function;
            *order = seen.order;
            return true;
        }
    }
    return false;
}

template <rl::thread_id_t N> static void simulate(const model_run *run, model_result *result)
{
    static null_buffer nowhere;
    std::ostream silent(&nowhere);
    rl::test_params params;
    char first[32];
    snprintf(first, sizeof first, "%" PRIu64 " ", run->first);
    params.initial_state = run->scheduler == SCHEDULER_RANDOM ? first : "";
    params.iteration_count = run->first + run->executions - 1;
    params.search_type = run->scheduler == SCHEDULER_RANDOM ? rl::sched_random
                         : run->scheduler == SCHEDULER_FULL ? rl::sched_full
                                                            : rl::sched_bound;
    params.context_bound = 2;
    params.execution_depth_limit = DEPTH_LIMIT;
    params.output_stream = &silent;
    params.progress_stream = &silent;
    rl::simulate<suite<N>>(params);
    alone = true;
    const bool enough = params.test_result == rl::test_result_until_condition_hit;
    result->failed = params.test_result != rl::test_result_success && !enough;
    result->exhausted = run->scheduler != SCHEDULER_RANDOM && !result->failed && !enough;
    result->failed_at = params.stop_iteration;
    result->executions = enough ? run->executions : executions; // Relacy repeats the last one, as if it had failed
    if (!result->failed)
        return;
    result->executions = params.stop_iteration - run->first + 1;
    snprintf(result->reason, sizeof result->reason, "%s",
             complaint[0] ? complaint : rl::test_result_str(params.test_result));
    if (run->quiet)
        return;
    // Once more, to tell how it came about.
    params.output_stream = &std::cerr;
    params.collect_history = true;
    params.initial_state = params.final_state;
    rl::simulate<suite<N>>(params);
    alone = true;
}

void model_execute(const model_run *run, model_result *result)
{
    memset(result, 0, sizeof *result);
    make_ready();
    job = run;
    executions = 0;
    outcome_count = 0;
    memset(outcome_set, 0, sizeof outcome_set);
    told = 0;
    started_at = told_at = seconds();
    if (run->scenario->threads == 2)
        simulate<2>(run, result);
    else
        simulate<MODEL_THREADS>(run, result);
    result->outcomes = outcome_count;
    result->seconds = seconds() - started_at;
    job = nullptr;
}
