/* SPDX-License-Identifier: ISC */
/* handler.c - a signal handler behind every single instruction of a call: the processor stops behind each, and a handler
 * looks things up. So the order that the compiler has given the stores is seen as it is. A thread's first section is gone
 * through again and again, with a handler behind the n-th instruction alone, for n = 0, 1, ... until it is over.
 *
 * The library holds signals off where it must; here it only says so, since a trap cannot be held off. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <soma/soma.h>

#include "rcu/private.h"
#include "support.h"

#if defined(__x86_64__)

#define TRAP_FLAG 0x100
#define STEPS_MOST 20000
#define EVERY UINT64_MAX
#define NEVER (UINT64_MAX - 1)
#define KEY 1
#define VALUE 2

static soma_u64 *map;

static struct {
    bool on;
    bool held_off; /* signals are */
    bool handling;
    uint64_t at;   /* the instruction behind which the handler comes, or EVERY */
    uint64_t then; /* a later one, behind which it comes again, or NEVER */
    uint64_t seen;
    uint64_t wrong;
} steps;

static bool keys_refused; /* for the thread's exit, other than in the handler */
static bool keys_refused_always;

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    if (!steps.on)
        return __real_pthread_sigmask(how, set, before);
    steps.held_off = before != NULL; /* the library asks for the old mask when it blocks */
    return 0;
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    const bool refused = keys_refused_always || (keys_refused && !steps.handling);
    return refused && value != &soma__reader_spare ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* ---- The handler ---- */

/* A section of the program's and one of Soma's own, and the thread is left as it was found. */
static void look(void)
{
    struct soma__reader *const self = soma__reader_joined();
    const uint64_t before = self ? self->word.word : 0;
    const uint64_t depth = self ? self->depth : 0;
    uint64_t value = 0;
    soma_read_enter();
    steps.wrong += soma_u64_get(map, KEY, &value) != SOMA_OK || value != VALUE;
    soma_read_exit();
    if (self)
        steps.wrong += self->depth != depth || self->word.word != (before & 1 ? before : before + 2);
}

static void trapped(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    if (!steps.on || steps.held_off)
        return;
    const uint64_t now = steps.seen++;
    if (now != steps.at && now != steps.then && steps.at != EVERY)
        return;
    steps.handling = true;
    look();
    steps.handling = false;
    if (steps.at != EVERY && (steps.then == NEVER || now == steps.then))
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* Below the red zone, which belongs to the compiler. */
#define CHANGE_FLAGS(how)                                                                                              \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" how " (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::        \
                         : "memory", "cc")

/* Whether the call was not over before the handler came. */
static bool interrupt(uint64_t at, uint64_t then, void (*call)(void))
{
    steps.at = at;
    steps.then = then;
    steps.seen = 0;
    steps.held_off = false;
    steps.on = true;
    CHANGE_FLAGS("orq $0x100,");
    call();
    CHANGE_FLAGS("andq $~0x100,");
    steps.on = false;
    return steps.seen > at;
}

/* ---- What is interrupted ---- */

static unsigned released;

static bool inside_now(void)
{
    const struct soma__section section = soma__section_enter();
    const bool nested = soma__section_nested(section);
    soma__section_exit(section);
    return nested;
}

static void nested_sections(void)
{
    soma_read_enter();
    soma_read_enter();
    soma_read_exit();
    steps.wrong += !inside_now();
    soma_read_exit();
}

static void one_section(void)
{
    soma_read_enter();
    steps.wrong += !inside_now();
    soma_read_exit();
}

static void update(void)
{
    steps.wrong += soma_u64_put(map, KEY, VALUE, NULL) != SOMA_REPLACED;
}

static void item_gone(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    (void)owner, (void)a, (void)b;
    steps.wrong += steps.handling;
    released++;
}

static void owner_gone(struct soma__owner *owner)
{
    (void)owner;
}

static struct soma__owner owner = {.release = item_gone, .gone = owner_gone, .refs = {1}, .deferred_max = UINT64_MAX};

/* As much as closes a chunk, if it is not 1. */
static void retire_bytes(uint64_t bytes)
{
    const struct soma__section section = soma__section_enter();
    steps.wrong += soma__retire_prepare(section.self, &owner, bytes) != SOMA_OK;
    soma__retire(section.self, 1, 2);
    if (soma__section_end(section))
        soma__section_work(section.self);
}

static void close_outside(void)
{
    retire_bytes(1 << 20);
}

static void close_inside(void)
{
    soma_read_enter();
    retire_bytes(1 << 20);
    soma_read_exit();
}

static const struct interrupted_call {
    const char *name;
    void (*call)(void);
    unsigned releases;
} calls[] = {
    {"one section", one_section, 0},    {"nested sections", nested_sections, 0},        {"an update", update, 0},
    {"a full chunk", close_outside, 2}, {"a full chunk in a section", close_inside, 2},
};

/* ---- A thread that has a record ---- */

static void check_outside(void)
{
    const struct soma__reader *self = soma__reader_joined();
    EXPECT((self->word.word & 1) == 0);
    EXPECT_EQ(self->depth, 0);
    EXPECT_EQ(self->outer, 0);
}

static void joined_thread(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].releases > 0)
            retire_bytes(1);
        released = 0;
        interrupt(EVERY, NEVER, calls[i].call);
        check_outside();
        EXPECT_EQ(released, calls[i].releases);
        if (!EXPECT_EQ(steps.wrong, 0))
            printf("# %s, of %u instructions\n", calls[i].name, (unsigned)steps.seen);
        verified(steps.seen);
    }
}

/* ---- A thread's first section, with a record to be had or not ---- */

static unsigned records_in_use(void)
{
    unsigned n = 0;
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        n += r->in_use.word != 0;
    return n;
}

struct first {
    bool refused;        /* no record for the thread itself */
    bool refused_always; /* nor for its handler */
    void (*call)(void);
    unsigned apart; /* the handler comes again, up to so many instructions later; 0: it does not */
};

struct first_run {
    const struct first *first;
    uint64_t at;
    uint64_t then;
    bool on;
};

static void first_section(unsigned index, void *arg)
{
    struct first_run *run = arg;
    (void)index;
    urcu_bp_read_lock(); /* liburcu's own record, for which it really holds signals off */
    urcu_bp_read_unlock();
    keys_refused = run->first->refused;
    keys_refused_always = run->first->refused_always;
    run->on = interrupt(run->at, run->then, run->first->call);
    keys_refused = false;
    keys_refused_always = false;
}

static void run_first(struct first_run *run)
{
    crew_run(1, first_section, run);
    EXPECT_EQ(records_in_use(), 1); /* this thread's */
    EXPECT_EQ(soma__spare_inside(), 0);
    if (!EXPECT_EQ(steps.wrong, 0) || !EXPECT(run->at < STEPS_MOST) || failures() > 0)
        printf("# behind instructions %u and %lld\n", (unsigned)run->at, (long long)run->then);
    verified(1);
}

static void first_sections(const void *setup)
{
    const struct first *first = setup;
    struct first_run run = {.first = first, .on = true};
    for (run.at = 0; run.on && failures() == 0; run.at++) {
        run.then = NEVER;
        run_first(&run);
        for (run.then = run.at + 1; run.then <= run.at + first->apart && failures() == 0; run.then++) {
            const bool on = run.on;
            run_first(&run);
            run.on = on;
        }
    }
}

/* ---- */

static void join_only(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    soma_read_exit();
}

static void set_up(void)
{
    const struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, KEY, VALUE, NULL), SOMA_INSERTED);
    crew_run(4, join_only, NULL); /* leaves free records, so that no handler needs memory */
}

int main(int argc, char **argv)
{
    static const struct first firsts[] = {
        {false, false, one_section, 0},    {true, false, one_section, 0},    {true, true, one_section, 0},
        {true, false, nested_sections, 0}, {true, true, nested_sections, 0}, {true, false, one_section, 10},
    };
    const struct test_case cases[] = {
        {"joined", joined_thread, NULL},
        {"first", first_sections, &firsts[0]},
        {"first-refused", first_sections, &firsts[1]},
        {"first-refused-always", first_sections, &firsts[2]},
        {"first-refused-nested", first_sections, &firsts[3]},
        {"first-refused-always-nested", first_sections, &firsts[4]},
        {"first-refused-twice", first_sections, &firsts[5]},
    };
    set_up();
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

#else

int main(void)
{
    puts("1..0 # SKIP it knows how to stop behind each instruction on x86-64 only");
    return 0;
}

#endif
