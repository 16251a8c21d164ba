// SPDX-License-Identifier: ISC
// model.cpp - the library's own sources under Relacy, which executes them with all the freedom of the C11 memory model:
// a load may see an old value whenever nothing forbids it, and any thread may run at any access.
//
// Source      https://github.com/dvyukov/relacy (package relacy-dev). Its atomics want to be C++ objects; here the
//             library stays C, and what it calls `struct atom` becomes one of Relacy's words on its first change.
// How         shadow/ stands before lib/ in the include path: base/atom.h leads every atomic access here, host.h every
//             question to the system. The compiler's -fsanitize=thread makes a call of every plain access; those calls
//             (__tsan_*) end here as well, not in a sanitizer. Nothing in lib/ is copied or changed.
// Files       Here are the executions, their threads, and what the library asks of the system; words.cpp has its
//             accesses, memory.cpp the memory it gets, inside.h what the three share.
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
#include "inside.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <sys/syscall.h>

#include <linux/membarrier.h>

namespace inside
{

constexpr size_t OUTCOMES = 4096;
constexpr uint64_t CONTENDED_MOST = 2; // more failed swaps are no other outcome
constexpr size_t LOCAL_BYTES = 128;    // at least the library's thread-local variables
constexpr size_t DEPTH_LIMIT = 20000;  // accesses of an execution; more is taken for one without an end
// Random executions differ in how long threads stay at it: at one access in 1, 2, 4 ... another may run. What takes a
// thread that stands still while another does a lot is met as well as what takes a switch at every turn.
constexpr unsigned PATIENCES = 6;
constexpr double PROGRESS_SECONDS = 5;

const model_run *job;
bool alone = true;
bool ready;
unsigned crew;
unsigned patience;
uint64_t execution;
const void *plain_caller;
static uint64_t executions;
static uint64_t ticks;
static char complaint[256];
// Rates are by the processor's time: what else the machine does would look like executions that get slower.
static double started_at;
static double told_at;
static double told_worked;
static uint64_t told;

unsigned holder;
static char locals[MODEL_THREADS + 1][LOCAL_BYTES];
static char fresh_locals[LOCAL_BYTES];
static void *specific[MODEL_THREADS + 1];
static void (*key_destructor)(void *);

static uint64_t outcome_set[OUTCOMES];
static unsigned outcome_count;

// ---- Failing, and telling ----

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

// ---- Threads ----

static size_t local_bytes()
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

// ---- Executions ----

static void make_ready()
{
    if (ready)
        return;
    if (local_bytes() > LOCAL_BYTES)
        abort();
    memory_make_ready();
    memcpy(fresh_locals, __start_soma_threads, local_bytes());
    ready = true;
}

static void reset()
{
    memory_reset();
    words_reset();
    execution++;
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
static void settle()
{
    alone = true;
    words_settle();
    exchange_locals(MODEL_MAIN);
}

static double seconds(clockid_t clock)
{
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

static void tell_progress()
{
    if (job->quiet || executions % 1024 != 0)
        return;
    const double now = seconds(CLOCK_MONOTONIC);
    if (now - told_at < PROGRESS_SECONDS)
        return;
    const double worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
    printf("# %s: %" PRIu64 " of %" PRIu64 " executions, %.0f/s, %u outcomes\n", job->scenario->name, executions,
           job->executions, static_cast<double>(executions - told) / (worked - told_worked), outcome_count);
    fflush(stdout);
    told_at = now;
    told_worked = worked;
    told = executions;
}

template <rl::thread_id_t N> struct suite : rl::test_suite<suite<N>, N> {
    void before()
    {
        alone = true;
        crew = N;
        patience = rl::ctx().is_random_sched() ? 1u << rl::ctx().rand(PATIENCES, rl::sched_type_user) : 1;
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

} // namespace inside

using namespace inside;

// ---- Doors: the system ----

extern "C" {

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

// ---- Doors: the scenarios ----

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

void model_fail(const char *text)
{
    fail(text, nullptr, rl::debug_info("", "", 0));
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

// ---- Doors: main.c ----

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
    told_at = seconds(CLOCK_MONOTONIC);
    started_at = told_worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (run->scenario->threads == 2)
        simulate<2>(run, result);
    else
        simulate<MODEL_THREADS>(run, result);
    result->outcomes = outcome_count;
    result->seconds = seconds(CLOCK_PROCESS_CPUTIME_ID) - started_at;
    job = nullptr;
}
