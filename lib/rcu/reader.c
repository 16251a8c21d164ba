/* SPDX-License-Identifier: ISC */
/* reader.c - threads' records, and the public read sections.
 *
 * A record is taken on a thread's first section and given up by a thread-exit destructor, whatever section the thread
 * ended in. A thread that uses Soma again from a later destructor joins again, and the destructor runs again.
 *
 * The fast path finds the record in soma__self. Where the kernel has no membarrier, soma__self stays NULL, so that
 * every section takes the slow path, which executes a barrier of its own.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <soma/rcu.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/probe.h"
#include "base/guard.h"
#include "mem/mem.h"
#include "rcu/private.h"

__thread struct soma__reader *soma__self __attribute__((tls_model("initial-exec")));
/* So every exit takes the slow path, which counts, and every update's sees to its map. */
struct soma__reader soma__reader_spare = {.due = DUE_NOW, .rest = -1};

static __thread struct soma__reader *joined; /* the thread's record, also where soma__self is not to be used */
static __thread unsigned spare_depth;        /* sections that this thread entered through the spare record */
static struct atom spare_inside;
static struct atom first_reader; /* struct soma__reader *, head of the list of all records */
static pthread_key_t exit_key;
static bool exit_key_made;
static bool membarrier_works;

/* What a waiting call takes where there is no other record. */
static struct soma__reader reserve;

bool soma__membarrier_works(void)
{
    return membarrier_works;
}

struct soma__reader *soma__reader_joined(void)
{
    return joined;
}

/* order RCU-3 acquire | guarded by: first_reader | pairs: RCU-4
 * weaker: a record's constant fields are read before they are written. */
struct soma__reader *soma__readers(void)
{
    return (struct soma__reader *)(uintptr_t)atom_load_acq(&first_reader);
}

/* order RCU-4 release | guards: the new record's fields | pairs: RCU-3
 * weaker: who walks the list finds a record whose fields are not written yet. */
static void list_reader(struct soma__reader *fresh)
{
    uint64_t head = atom_load_acq(&first_reader); /* RCU-3: the index is taken from it */
    do {
        fresh->next = (struct soma__reader *)(uintptr_t)head;
        fresh->index = fresh->next ? fresh->next->index + 1 : 0;
    } while (!atom_cas_acqrel(&first_reader, &head, (uintptr_t)fresh));
}

/* order RCU-5 acquire | guarded by: in_use | pairs: RCU-6
 * weaker: the thread sees the record's chunks as they were before the last thread gave them away. */
static bool reader_take(struct soma__reader *reader)
{
    uint64_t free_record = 0;
    return atom_load_rlx(&reader->in_use) == 0 && atom_cas_acq(&reader->in_use, &free_record, 1);
}

/* order RCU-6 release | guards: the record's own fields | pairs: RCU-5 */
static void reader_give(struct soma__reader *reader)
{
    atom_store_rel(&reader->in_use, 0);
}

static struct soma__reader *reader_find_free(void)
{
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        if (r != &reserve && reader_take(r))
            return r;
    }
    return NULL;
}

/* A new thread's first update sees to its map; where schedules are explored, a later one, for scenarios of its own. */
#define FIRST_REST SIZED(0, 3)

static struct soma__reader *reader_make(void)
{
    void *memory;
    if (posix_memalign(&memory, APART, sizeof(struct soma__reader)) != 0)
        return NULL;
    struct soma__reader *reader = memset(memory, 0, sizeof *reader);
    reader->rest = FIRST_REST;
    atom_store_rlx(&reader->in_use, 1); /* RCU-4 publishes it */
    list_reader(reader);
    return reader;
}

/* A record that is all the calling thread's, or NULL. */
static struct soma__reader *reader_obtain(void)
{
    struct soma__reader *reader = reader_find_free();
    if (!reader)
        reader = reader_make();
    if (reader && pthread_setspecific(exit_key, reader) != 0) {
        reader_give(reader);
        return NULL;
    }
    return reader;
}

/* The list is asked, rather than a flag of the reserve's: a forked child may find it taken, and not listed yet. */
static bool reserve_listed(void)
{
    const struct soma__reader *r = soma__readers();
    while (r && r != &reserve)
        r = r->next;
    return r != NULL;
}

/* No key gives it up when the thread ends, which it must not before it has returned it. */
static struct soma__reader *reserve_obtain(void)
{
    if (!reader_take(&reserve))
        return NULL;
    if (!reserve_listed())
        list_reader(&reserve);
    return &reserve;
}

/* The thread's record, obtained if it has none; NULL if that fails. Signals are held off, since a handler that reads
 * would join again. */
static struct soma__reader *join_as(struct soma__reader *(*obtain)(void))
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atom_compiler_barrier(); /* the compiler believes that pthread_sigmask() cannot come back here */
    if (!joined)             /* a handler may have joined before signals were held off */
        joined = obtain();
    if (joined) {
        /* order RCU-14 relaxed | a hint for people | pairs: GRACE-7 */
        atom_store_rlx(&joined->thread, (uint64_t)syscall(SYS_gettid)); /* RCU-14 */
        if (membarrier_works)
            soma__self = joined;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return joined;
}

static struct soma__reader *join(void)
{
    return joined || !exit_key_made ? joined : join_as(reader_obtain);
}

/* order RCU-9 acquire | guarded by: spare_inside | pairs: RCU-10
 * weaker: a poller that sees no section, and a section that does not see what was unlinked before. Both are
 * read-modify-writes: either the poller's is later and counts the section, or it is earlier and the section knows all
 * that the poller knew. */
static struct soma__section spare_enter(void)
{
    /* A thread that ends inside is to leave, as others are. That takes no memory but in a program with more keys than the
     * system keeps room for in every thread. */
    if (spare_depth == 1 && exit_key_made)
        (void)pthread_setspecific(exit_key, &soma__reader_spare);
    atom_add_acq(&spare_inside, 1);
    return (struct soma__section){.self = &soma__reader_spare, .after = 0};
}

/* order RCU-10 acqrel | guarded by: spare_inside | pairs: RCU-9, RCU-11
 * weaker: as RCU-9. */
uint64_t soma__spare_inside(void)
{
    return atom_add_acqrel(&spare_inside, 0);
}

/* order RCU-11 release | guards: all that the section read | pairs: RCU-10 */
void soma__section_spare_left(void)
{
    spare_depth--;
    atom_sub_acqrel(&spare_inside, 1);
}

void soma__spare_reset(void)
{
    atom_store_rlx(&spare_inside, spare_depth); /* RCU-9: not shared, the child has one thread */
}

/* Where the kernel has no barrier for all threads, entering takes its place among the cookies and the starts of grace
 * periods (GRACE-5, GRACE-6), which are read-modify-writes of one word: either the start is later and its poller sees
 * the section, or it is earlier and the section sees what was unlinked before it. */
static struct soma__section joined_open(struct soma__reader *self)
{
    const struct soma__section section = soma__section_open(self);
    if (!membarrier_works)
        (void)soma__grace_cookie();
    return section;
}

/* Inside a section that was entered through the spare record, the thread stays with it, so that the exits match. */
struct soma__section soma__section_enter_slow(void)
{
    struct soma__reader *self = spare_depth > 0 ? NULL : join();
    if (!self) {
        /* First the depth, so that a handler does not join from here on; one that has, since join() failed, did so for
         * the thread, whose exit it has arranged for. */
        spare_depth++;
        atom_compiler_barrier();
        if (spare_depth > 1 || !joined)
            return spare_enter();
        spare_depth--;
        self = joined;
    }
    return joined_open(self);
}

bool soma__section_nested(struct soma__section section)
{
    return section.self == &soma__reader_spare ? spare_depth > 1 : section.after == 0;
}

static void spare_leave(void)
{
    while (spare_depth > 0)
        soma__section_spare_left();
}

/* ---- What debug builds watch over ---- */

#if HAVE_GUARD

static __thread const void *entered; /* where the program's section begins, if one is open */

/* order RCU-16 relaxed | value only: a section is named, and no more | pairs: RCU-16 */
static void watch_enter(struct soma__reader *self, const void *code)
{
    entered = code;
    if (self == &soma__reader_spare || soma__section_limit_ns() == 0)
        return;
    atom_store_rlx(&self->entered, (uintptr_t)code);
    atom_store_rlx(&self->since, soma__now_ns());
}

void soma__section_watch(struct soma__reader *reader)
{
    uint64_t since = atom_load_rlx(&reader->since); /* RCU-16 */
    const uint64_t now = since != 0 ? soma__now_ns() : 0;
    if (now < since || now - since <= soma__section_limit_ns() || !atom_cas_rlx(&reader->since, &since, 0)) /* RCU-16 */
        return;
    char place[PLACE_BYTES];
    soma__because(
        "the read section of thread %lu, entered at %s, has been open for %lu ms: leave it with soma_read_exit() "
        "soon, since what is deleted meanwhile cannot be freed",
        (unsigned long)atom_load_rlx(&reader->thread),                                /* RCU-14 */
        soma__place((const void *)(uintptr_t)atom_load_rlx(&reader->entered), place), /* RCU-16 */
        (unsigned long)((now - since) / 1000000));
    soma__misuse("soma_read_enter", "");
}

/* The program's last section is about to end. */
static void watch_exit(struct soma__reader *self, const void *code)
{
    soma__loans_end(entered, code);
    if (self != &soma__reader_spare) {
        soma__section_watch(self);
        atom_store_rlx(&self->since, 0); /* RCU-16 */
    }
}

static void watch_end(const char *where, const char *what)
{
    char place[PLACE_BYTES];
    soma__because(
        "%s inside the read section that was entered at %s: every soma_read_enter() needs its soma_read_exit() "
        "before that",
        what, soma__place(entered, place));
    soma__misuse(where, "");
}

static void watch_thread_end(struct soma__reader *self, bool inside)
{
    if (!inside)
        return;
    watch_end("soma_read_enter", "the thread has ended");
    watch_exit(self, NULL);
}

__attribute__((destructor)) static void watch_process_end(void)
{
    if (spare_depth > 0 || (joined && joined->depth > 0))
        watch_end("soma_read_enter", "the program has ended");
}

bool soma__section_inside(void)
{
    return spare_depth > 0 || (joined && (atom_load_rlx(&joined->word) & 1) != 0); /* RCU-7 */
}

const void *soma__section_lend(const void *bytes, size_t len, const char *by)
{
    if (spare_depth > 0 || (joined && joined->depth > 0))
        return soma__loan(bytes, len, soma__caller(by));
    if (bytes && !soma__section_inside())
        soma__misuse(by,
                     "what it lends may be freed before it is read, as no read section is open: call soma_read_enter() "
                     "before, and soma_read_exit() after the last use; or copy it with soma_map_get_copy(), or pass "
                     "NULL");
    return bytes;
}

static uint64_t program_depth(void)
{
    return joined ? joined->depth : spare_depth;
}

static struct soma__callback function_begins(void)
{
    return (struct soma__callback){.depth = program_depth(), .call = soma__call};
}

static void function_ends(const struct soma__callback *callback, const char *where)
{
    soma__call = callback->call;
    if (program_depth() != callback->depth)
        soma__misuse(where,
                     "the callback has left a read section open, or closed one that it did not open: close in it "
                     "just what it opens");
}

struct soma__callback soma__callback_begins(void)
{
    soma__updating++;
    return function_begins();
}

void soma__callback_ends(const struct soma__callback *callback, const char *where)
{
    soma__updating--;
    function_ends(callback, where);
}

static __thread bool stalled; /* in a function that is told of a stall */

struct soma__callout soma__callout_begins(const void *map, bool of_stall)
{
    const struct soma__callout callout = {.base = function_begins(), .of = soma__called_by, .stalled = stalled};
    if (map)
        soma__called_by = map;
    stalled |= of_stall;
    return callout;
}

void soma__callout_ends(const struct soma__callout *callout, const char *from)
{
    soma__called_by = callout->of;
    stalled = callout->stalled;
    function_ends(&callout->base, from);
}

bool soma__callout_stalled(void)
{
    return stalled;
}

bool soma__callout_may_wait(bool wants, bool first, const char *where)
{
    if (wants && stalled && first)
        soma__misuse(where,
                     "called by a stall function on a map that waits at its cap, which is for readers: update another "
                     "one in it");
    return wants && !stalled;
}

#define WATCH_ENTER(self) watch_enter((self), __builtin_return_address(0))
#define WATCH_EXIT(self) watch_exit((self), __builtin_return_address(0))
#define WATCH_THREAD_END(self, inside) watch_thread_end((self), (inside))

#else

#define WATCH_ENTER(self) ((void)0)
#define WATCH_EXIT(self) ((void)0)
#define WATCH_THREAD_END(self, inside) ((void)0)

#endif

/* ---- A thread's end ---- */

/* order RCU-13 release | guards: all that the thread's last section read | pairs: RCU-8 */
static void sections_end(struct soma__reader *reader)
{
    reader->depth = 0; /* before the word moves, or a handler's section would not end */
    reader->outer = 0;
    const uint64_t word = atom_load_rlx(&reader->word); /* RCU-7 */
    if (word & 1)
        atom_store_rel(&reader->word, word + 1); /* RCU-13 */
}

/* A retired call has ended the thread: here it goes on with the next one. If that ends it again, it comes here again. */
static void finish_retired(struct soma__reader *reader)
{
    sections_end(reader);
    (void)pthread_setspecific(exit_key, reader);
    soma__chunks_finish(reader);
    (void)pthread_setspecific(exit_key, NULL);
}

/* At thread exit: what the thread retired goes on without it, and what section it was in is over. */
static void reader_leave(void *record)
{
    struct soma__reader *reader = record;
    if (reader == &soma__reader_spare) {
        WATCH_THREAD_END(reader, spare_depth > 0);
        spare_leave();
        return;
    }
    WATCH_THREAD_END(reader, reader->depth > 0);
    if (UNLIKELY(soma__chunks_in_hand(reader)))
        finish_retired(reader);
    const struct soma__section section = joined_open(reader);
    soma__chunks_close(reader);
    soma__section_close(section);
    sections_end(reader);
    reader->due = DUE_NOTHING;
    reader->at_limit = false;
    soma__self = NULL;
    joined = NULL;
    reader_give(reader);
}

/* How long one that has to wait for the reserve sleeps before it looks again. */
#define RESERVE_SLEEP_NS 100000

/* A handler that comes in between waits with the record that the thread has by then. */
bool soma__reserve_borrow_wait(void)
{
    while (spare_depth == 0 && !join()) {
        if (join_as(reserve_obtain) == &reserve)
            return true;
        soma__sleep_ns(RESERVE_SLEEP_NS);
    }
    return false;
}

void soma__reserve_return(void)
{
    reader_leave(&reserve);
}

/* Early, for constructors that use maps. Private expedited barriers have to be asked for once; the kernel remembers it for
 * the process and its children. */
__attribute__((constructor(101))) static void set_up(void)
{
    exit_key_made = pthread_key_create(&exit_key, reader_leave) == 0;
    membarrier_works = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    soma__fork_install();
}

void soma__section_work(struct soma__reader *self)
{
    if (self == &soma__reader_spare)
        soma__section_spare_left();
    else if ((atom_load_rlx(&self->word) & 1) == 0) /* RCU-7 */
        soma__chunks_work(self);
}

/* ---- The program's own sections ----
 *
 * They nest by a count. Only the outermost moves the thread's word, and only if it did not start inside a call of
 * Soma's (a signal handler may). The order of the stores keeps a handler that nests between any two of them from taking
 * the outermost's part. */

void soma_read_enter(void)
{
    urcu_bp_read_lock();
    const struct soma__section section = soma__section_enter();
    if (section.self == &soma__reader_spare) {
        if (spare_depth == 1)
            WATCH_ENTER(section.self);
        return;
    }
    if (section.self->depth == 0)
        WATCH_ENTER(section.self);
    section.self->depth++;
    atom_compiler_barrier();
    if (section.after != 0)
        section.self->outer = section.after;
    SOMA_PROBE2(section_begin, section.self, section.self->depth);
}

static void program_exit(struct soma__reader *self)
{
    SOMA_PROBE2(section_end, self, self->depth);
    struct soma__section section = {.self = self, .after = 0};
    if (self->depth == 1) {
        section.after = self->outer;
        self->outer = 0;
        atom_compiler_barrier();
    }
    self->depth--;
    atom_compiler_barrier();
    const bool due = section.after != 0 && self->due == DUE_NOW;
    if (UNLIKELY(due))
        self->due = DUE_NOTHING; /* before the thread is outside: as soma__section_end() */
    soma__section_close(section);
    if (UNLIKELY(due))
        soma__section_work(self);
}

void soma_read_exit(void)
{
    /* With a record of its own, the depth is raised for a moment only: soma__section_enter_slow(), which this interrupts. */
    struct soma__reader *self = joined || spare_depth == 0 ? joined : &soma__reader_spare;
    if (UNLIKELY(!self || (self == joined && self->depth == 0))) {
        MISUSE("this thread has no read section open: each soma_read_exit() ends one soma_read_enter() of the same "
               "thread");
        return;
    }
    if (self == &soma__reader_spare ? spare_depth == 1 : self->depth == 1)
        WATCH_EXIT(self);
    urcu_bp_read_unlock();
    if (self == &soma__reader_spare)
        soma__section_spare_left();
    else
        program_exit(self);
}
