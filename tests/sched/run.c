/* SPDX-License-Identifier: ISC */
/* run.c - see run.h. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "rng.h"
#include "run.h"
#include "trace.h"

#define STACK_BYTES ((size_t)256 << 10)
#define TLS_MAX 256
#define NEVER UINT32_MAX
#define EXIT_ROUNDS 4
/* Plain accesses are about as many as steps. */
#define MOMENTS_PER_STEP 2

struct fiber {
    jmp_buf env;
    ucontext_t context;
    char *stack;
    char tls[TLS_MAX];
    void *exit_value;
    bool started; /* its coroutine exists and waits for a run */
    bool done;
    bool blocked; /* signals */
    unsigned priority;
};

static struct {
    const struct program *program;
    const struct strategy *strategy;
    struct schedule *schedule;
    struct outcome *outcome;
    struct fiber fibers[THREADS_MAX];
    void (*destructor)(void *value);
    struct rng rng;
    unsigned thread;
    bool racing;
    uint32_t step;
    uint32_t next; /* the step at which something is to be decided */
    uint32_t next_switch;
    uint32_t next_signal;
    uint32_t moments; /* steps, and plain accesses if there may be a signal */
    uint32_t loads;
    uint32_t allocations;
    unsigned gap;    /* STRATEGY_RANDOM: the mean distance between switches */
    unsigned change; /* STRATEGY_PCT: the next of the changes */
    uint32_t changes[16];
    unsigned used_switches; /* of a schedule that is replayed */
    unsigned used_stale;
    unsigned used_failed;
    unsigned used_signals;
    jmp_buf failed;
    bool in_signal;
    unsigned signalled; /* which thread is */
} run;

unsigned run_thread(void)
{
    return run.thread;
}

uint32_t run_step(void)
{
    return run.step;
}

void run_failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run.outcome->why, sizeof run.outcome->why, format, arguments);
    va_end(arguments);
    run.outcome->failed = true;
    _longjmp(run.failed, 1);
}

static void decided(struct decisions *decisions, uint32_t at, unsigned value)
{
    if (decisions->count == DECISIONS_MAX)
        run_failed("the run needs more decisions than the scheduler remembers");
    decisions->list[decisions->count++] = (struct decision){.at = at, .value = (uint8_t)value};
}

/* ---- Choosing who goes on ---- */

static unsigned runnable(unsigned *threads)
{
    unsigned n = 0;
    for (unsigned t = 1; t <= run.program->threads; t++) {
        if (!run.fibers[t].done)
            threads[n++] = t;
    }
    return n;
}

/* Who goes on where nothing was decided: the next one in a circle. */
static unsigned by_default(void)
{
    for (unsigned i = 1; i <= run.program->threads; i++) {
        const unsigned t = (run.thread + i - 1) % run.program->threads + 1;
        if (!run.fibers[t].done)
            return t;
    }
    return 0;
}

static unsigned highest_priority(const unsigned *threads, unsigned n)
{
    unsigned best = threads[0];
    for (unsigned i = 1; i < n; i++) {
        if (run.fibers[threads[i]].priority > run.fibers[best].priority)
            best = threads[i];
    }
    return best;
}

static void pct_lower(void)
{
    run.fibers[run.thread].priority = (unsigned)(sizeof run.changes / sizeof *run.changes) - run.change;
    run.change++;
    run.next_switch = run.change < run.strategy->depth - 1 ? run.changes[run.change] : NEVER;
}

static const struct decision *next_of(const struct decisions *decisions, unsigned used)
{
    return used < decisions->count ? &decisions->list[used] : NULL;
}

static const struct decisions *given_switches(void)
{
    return run.strategy->kind == STRATEGY_REPLAY ? &run.strategy->replay->switches : &run.strategy->preemptions;
}

/* The thread that the given schedule names for this step, or 0. */
static unsigned given_target(void)
{
    unsigned target = 0;
    const struct decision *decision;
    while ((decision = next_of(given_switches(), run.used_switches)) && decision->at <= run.step) {
        if (decision->at == run.step)
            target = decision->value;
        run.used_switches++;
    }
    run.next_switch = decision ? decision->at : NEVER;
    return target >= 1 && target <= run.program->threads && !run.fibers[target].done ? target : 0;
}

/* `must`: the current thread cannot, or should not, go on. */
static unsigned choose(bool must)
{
    unsigned threads[THREADS_MAX] = {0};
    const unsigned n = runnable(threads);
    unsigned target;
    switch (run.strategy->kind) {
    case STRATEGY_RANDOM:
        run.next_switch = run.step + 1 + (uint32_t)rng_below(&run.rng, 2 * run.gap);
        return threads[rng_below(&run.rng, n)];
    case STRATEGY_PCT:
        if (run.step >= run.next_switch)
            pct_lower();
        if (must && !run.fibers[run.thread].done && run.thread != 0)
            run.fibers[run.thread].priority = 0;
        target = highest_priority(threads, n);
        return must && run.fibers[target].priority == 0 ? by_default() : target; /* all wait: in turn */
    case STRATEGY_BOUND:
    case STRATEGY_REPLAY:
        target = given_target();
        if (target != 0)
            return target;
        return must ? by_default() : run.thread;
    }
    return by_default();
}

/* ---- Coroutines ---- */

static void fiber_load(unsigned thread)
{
    run.thread = thread;
    machine_thread(thread);
    memcpy(library_tls(), run.fibers[thread].tls, library_tls_size());
}

static _Noreturn void fiber_resume(unsigned thread)
{
    fiber_load(thread);
    if (run.fibers[thread].started)
        _longjmp(run.fibers[thread].env, 1);
    run.fibers[thread].started = true;
    setcontext(&run.fibers[thread].context);
    abort();
}

static void switch_to(unsigned thread)
{
    struct fiber *from = &run.fibers[run.thread];
    memcpy(from->tls, library_tls(), library_tls_size());
    if (_setjmp(from->env) == 0)
        fiber_resume(thread);
}

/* A coroutine runs the body once a run, and waits in between. */
static void fiber_main(void)
{
    for (;;) {
        struct fiber *me = &run.fibers[run.thread];
        run.program->body(run.thread, run.program->arg);
        for (int i = 0; i < EXIT_ROUNDS && me->exit_value; i++) {
            void *value = me->exit_value;
            me->exit_value = NULL;
            run.destructor(value);
        }
        me->done = true;
        run.step++;
        unsigned threads[THREADS_MAX];
        unsigned next = 0;
        if (runnable(threads) > 0) {
            next = choose(true);
            if (next != by_default())
                decided(&run.schedule->switches, run.step, next);
        }
        switch_to(next);
    }
}

static void fiber_prepare(struct fiber *fiber)
{
    if (!fiber->stack) {
        fiber->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fiber->stack == MAP_FAILED) {
            perror("sched: a stack");
            exit(2);
        }
    }
    if (!fiber->started) {
        getcontext(&fiber->context);
        fiber->context.uc_stack = (stack_t){.ss_sp = fiber->stack, .ss_size = STACK_BYTES};
        makecontext(&fiber->context, fiber_main, 0);
    }
    memcpy(fiber->tls, library_tls_initial(), library_tls_size());
    fiber->exit_value = NULL;
    fiber->done = false;
    fiber->blocked = false;
}

/* ---- Steps ---- */

static void plan_next(void)
{
    run.next = run.program->signal ? 0 : run.next_switch;
}

static void plan_signal(void)
{
    const struct decision *given;
    run.next_signal = NEVER;
    if (run.strategy->kind == STRATEGY_REPLAY) {
        given = next_of(&run.strategy->replay->signals, run.used_signals);
        run.next_signal = given ? given->at : NEVER;
    } else if (run.program->signal && run.strategy->kind != STRATEGY_BOUND && run.used_signals == 0) {
        run.next_signal = 1 + (uint32_t)rng_below(&run.rng, MOMENTS_PER_STEP * run.strategy->steps + 1);
    }
}

static void signal_now(void)
{
    const unsigned thread = run.thread;
    if (run.in_signal || run.fibers[thread].blocked || !run.program->may_signal(thread, run.program->arg)) {
        run.next_signal = run.moments + 1;
        return;
    }
    decided(&run.schedule->signals, run.moments, 1);
    run.used_signals++;
    plan_signal();
    plan_next();
    run.in_signal = true;
    run.signalled = thread;
    run.program->signal(thread, run.program->arg);
    run.in_signal = false;
}

bool run_in_handler(void)
{
    return run.in_signal && run.signalled == run.thread;
}

void run_moment(void)
{
    if (!run.racing || !run.program->signal)
        return;
    if (++run.moments >= run.next_signal)
        signal_now();
}

static void take_step(bool must)
{
    if (!run.racing)
        return;
    run.step++;
    if (run.step > run.program->steps_max)
        run_failed("no end after %" PRIu32 " steps", run.program->steps_max);
    if (run.step < run.next && !must)
        return;
    run_moment();
    if (run.step >= run.next_switch || must) {
        const unsigned next = choose(must);
        plan_next();
        if (next != (must ? by_default() : run.thread))
            decided(&run.schedule->switches, run.step, next);
        if (next != run.thread)
            switch_to(next);
        return;
    }
    plan_next();
}

void run_point(void)
{
    take_step(false);
}

void run_yield(void)
{
    take_step(true);
}

unsigned decide_stale(unsigned n)
{
    if (!run.racing)
        return 0;
    const uint32_t load = run.loads++;
    unsigned back = 0;
    if (run.strategy->kind == STRATEGY_REPLAY) {
        const struct decision *given;
        while ((given = next_of(&run.strategy->replay->stale, run.used_stale)) && given->at <= load) {
            back = given->at == load ? given->value : 0;
            run.used_stale++;
        }
        back = back < n ? back : 0;
    } else if (rng_below(&run.rng, run.strategy->stale) == 0) {
        back = (unsigned)rng_below(&run.rng, n);
    }
    if (back > 0)
        decided(&run.schedule->stale, load, back);
    return back;
}

bool run_should_fail(void)
{
    if (!run.racing || !run.program->faults)
        return false;
    const uint32_t allocation = run.allocations++;
    bool fail = false;
    if (run.strategy->kind == STRATEGY_REPLAY) {
        const struct decision *given;
        while ((given = next_of(&run.strategy->replay->failed, run.used_failed)) && given->at <= allocation) {
            fail = given->at == allocation;
            run.used_failed++;
        }
    } else if (run.strategy->kind != STRATEGY_BOUND) {
        fail = rng_below(&run.rng, 4) == 0;
    }
    if (fail)
        decided(&run.schedule->failed, allocation, 1);
    return fail;
}

void run_signals_blocked(bool blocked)
{
    run.fibers[run.thread].blocked = blocked;
}

void *run_exit_value(void)
{
    return run.fibers[run.thread].exit_value;
}

void run_set_exit_value(void *value)
{
    run.fibers[run.thread].exit_value = value;
}

void run_on_exit(void (*destructor)(void *value))
{
    run.destructor = destructor;
}

void run_call_entered(void)
{
    if (run.schedule->calls_ordered)
        machine_call_entered();
}

void run_call_left(void)
{
    if (run.schedule->calls_ordered)
        machine_call_left();
}

bool run_calls_ordered(void)
{
    return run.schedule->calls_ordered;
}

bool run_is_weak(void)
{
    return run.schedule->weak;
}

static void crashed(int signal)
{
    run_failed("the library crashed: %s", signal == SIGFPE ? "arithmetic" : "an address that is none");
}

/* On a stack of its own, which is left by run_failed(): so the next one is not held off. */
void run_catch_crashes(void)
{
    static char stack[1 << 16];
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

/* ---- A run ---- */

static int by_step(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void pct_prepare(void)
{
    const unsigned n = run.program->threads;
    const unsigned most = sizeof run.changes / sizeof *run.changes;
    for (unsigned t = 1; t <= n; t++)
        run.fibers[t].priority = most + t;
    for (unsigned t = n; t > 1; t--) {
        const unsigned other = 1 + (unsigned)rng_below(&run.rng, t);
        const unsigned priority = run.fibers[t].priority;
        run.fibers[t].priority = run.fibers[other].priority;
        run.fibers[other].priority = priority;
    }
    run.change = 0;
    for (unsigned i = 0; i + 1 < run.strategy->depth; i++)
        run.changes[i] = 1 + (uint32_t)rng_below(&run.rng, run.strategy->steps + 1);
    qsort(run.changes, run.strategy->depth - 1, sizeof *run.changes, by_step);
    run.next_switch = run.strategy->depth > 1 ? run.changes[0] : NEVER;
}

static void strategy_prepare(void)
{
    const struct strategy *strategy = run.strategy;
    struct schedule *schedule = run.schedule;
    run.rng = (struct rng){strategy->seed};
    run.gap = 1u << rng_below(&run.rng, 6);
    run.next_switch = strategy->kind == STRATEGY_RANDOM ? 1 : NEVER;
    run.used_switches = run.used_stale = run.used_failed = run.used_signals = 0;
    run.loads = run.allocations = run.moments = 0;
    if (strategy->kind == STRATEGY_REPLAY) {
        schedule->weak = strategy->replay->weak;
        schedule->calls_ordered = strategy->replay->calls_ordered;
    } else {
        schedule->weak = strategy->weak && rng_below(&run.rng, 2) == 0;
        schedule->calls_ordered = !schedule->weak || rng_below(&run.rng, 2) == 0;
    }
    schedule->switches.count = schedule->stale.count = schedule->failed.count = schedule->signals.count = 0;
    if (strategy->kind == STRATEGY_PCT)
        pct_prepare();
}

static void race(void)
{
    run.racing = true;
    run.step = 0;
    run.thread = 0;
    unsigned first = choose(true);
    if (run.strategy->kind == STRATEGY_BOUND)
        first = 1 + run.strategy->order % run.program->threads;
    if (first != 1)
        decided(&run.schedule->switches, 0, first);
    plan_signal();
    plan_next();
    switch_to(first);
    run.racing = false;
}

void run_once(const struct program *program, const struct strategy *strategy, enum machine_bug bug,
              struct schedule *schedule, struct outcome *outcome)
{
    run.program = program;
    run.strategy = strategy;
    run.schedule = schedule;
    run.outcome = outcome;
    run.racing = false;
    run.in_signal = false;
    run.step = 0;
    outcome->failed = false;
    outcome->why[0] = '\0';
    library_reset(!program->no_membarrier);
    strategy_prepare();
    machine_begin(schedule->weak, bug);
    for (unsigned t = 0; t <= program->threads; t++) {
        if (t > 0)
            fiber_prepare(&run.fibers[t]);
        run.fibers[t].blocked = false;
    }
    memcpy(run.fibers[0].tls, library_tls_initial(), library_tls_size());
    run.fibers[0].started = true;
    fiber_load(0);
    if (_setjmp(run.failed) == 0) {
        program->set_up(program->arg);
        machine_fork(program->threads);
        race();
        machine_join(program->threads);
        program->check(program->arg);
    } else {
        for (unsigned t = 1; t < THREADS_MAX; t++)
            run.fibers[t].started = false; /* abandoned somewhere in the middle */
    }
    run.racing = false;
    outcome->steps = run.step;
}

/* ---- Every schedule with few preemptions ----
 *
 * A run is given by who starts and by a list of preemptions (step, thread), in order. The list counts like a number:
 * the last preemption moves to the next thread, then to the next step; when it has come to the end of the run, it goes
 * and the one before it moves. A run whose list is not full is followed by the same with one preemption more. */

static bool advance_last(struct strategy *strategy, unsigned threads, uint32_t steps)
{
    struct decisions *list = &strategy->preemptions;
    while (list->count > 0) {
        struct decision *last = &list->list[list->count - 1];
        if (last->value < threads) {
            last->value++;
            return true;
        }
        if (last->at < steps) {
            last->at++;
            last->value = 1;
            return true;
        }
        list->count--;
    }
    return false;
}

bool strategy_advance(struct strategy *strategy, unsigned threads, uint32_t steps)
{
    struct decisions *list = &strategy->preemptions;
    const uint32_t after = list->count > 0 ? list->list[list->count - 1].at : 0;
    if (list->count < strategy->depth && after < steps) {
        list->list[list->count++] = (struct decision){.at = after + 1, .value = 1};
        return true;
    }
    if (advance_last(strategy, threads, steps))
        return true;
    return ++strategy->order < threads;
}
