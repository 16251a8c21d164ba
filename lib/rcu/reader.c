/* SPDX-License-Identifier: ISC */
/* reader.c - threads' records, and the public read sections.
 *
 * A record is taken on a thread's first section and given up by a thread-exit destructor. liburcu's own destructor runs
 * before ours (its key is older), so a thread that ends inside a section has left it by then. A thread that uses Soma
 * again from a later destructor joins again, and the destructor runs again.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <soma/rcu.h>

#include "base/check.h"
#include "mem/mem.h"
#include "rcu/private.h"

__thread struct soma__reader *soma__self __attribute__((tls_model("initial-exec")));
struct soma__reader soma__reader_spare = {.due = true}; /* due: every exit takes the slow path, which counts */

static __thread unsigned spare_depth; /* sections that this thread entered through the spare record */
static struct atom spare_inside;
static struct atom first_reader; /* struct soma__reader *, head of the list of all records */
static pthread_key_t exit_key;
static bool exit_key_made;

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
    uint64_t head = atom_load_rlx(&first_reader); /* RCU-4: re-checked by the swap */
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
    return atom_load_rlx(&reader->in_use) == 0 && atom_cas_acqrel(&reader->in_use, &free_record, 1);
}

/* order RCU-6 release | guards: the record's own fields | pairs: RCU-5 */
static void reader_give(struct soma__reader *reader)
{
    atom_store_rel(&reader->section, 0);
    atom_store_rel(&reader->in_use, 0);
}

static struct soma__reader *reader_find_free(void)
{
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        if (reader_take(r))
            return r;
    }
    return NULL;
}

static struct soma__reader *reader_make(void)
{
    void *memory;
    if (posix_memalign(&memory, APART, sizeof(struct soma__reader)) != 0)
        return NULL;
    struct soma__reader *reader = memset(memory, 0, sizeof *reader);
    atom_store_rlx(&reader->in_use, 1); /* RCU-4 publishes it */
    list_reader(reader);
    return reader;
}

/* order RCU-7 release | guards: nothing, the nesting word is liburcu's | pairs: RCU-8 */
static void reader_bind(struct soma__reader *reader)
{
    urcu_bp_read_lock(); /* registers the thread with liburcu */
    urcu_bp_read_unlock();
    atom_store_rlx(&reader->thread, (uint64_t)syscall(SYS_gettid)); /* RCU-7: a hint for people */
    atom_store_rel(&reader->section, (uintptr_t)&URCU_TLS(urcu_bp_reader)->ctr);
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

/* order RCU-9 seq_cst | guards: the section about to be entered | pairs: RCU-10
 * weaker: a poll misses a reader that is already reading. */
static struct soma__reader *spare_enter(void)
{
    atom_add_seq(&spare_inside, 1);
    spare_depth++;
    return &soma__reader_spare;
}

/* Inside a section that was entered through the spare record, the thread stays with it, so that the exits match.
 * Signals are held off, since a handler that reads would join again. */
struct soma__reader *soma__reader_join(void)
{
    if (spare_depth > 0 || !exit_key_made)
        return spare_enter();
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct soma__reader *reader = reader_obtain();
    if (reader) {
        reader_bind(reader);
        soma__self = reader;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reader ? reader : spare_enter();
}

/* order RCU-10 seq_cst | guarded by: spare_inside | pairs: RCU-9, RCU-11 */
uint64_t soma__spare_inside(void)
{
    return atom_load_seq(&spare_inside);
}

/* order RCU-11 release | guards: all that the section read | pairs: RCU-10 */
static void spare_leave(void)
{
    spare_depth--;
    atom_sub_acqrel(&spare_inside, 1);
}

void soma__spare_reset(void)
{
    atom_store_rlx(&spare_inside, spare_depth); /* RCU-9: not shared, the child has one thread */
}

/* At thread exit: what the thread retired goes on without it. */
static void reader_leave(void *record)
{
    struct soma__reader *reader = record;
    soma__section_enter();
    soma__chunks_close(reader);
    soma__section_close(reader);
    reader->due = false;
    soma__self = NULL;
    reader_give(reader);
}

__attribute__((constructor)) static void set_up(void)
{
    exit_key_made = pthread_key_create(&exit_key, reader_leave) == 0;
    soma__fork_install();
}

void soma__section_left(struct soma__reader *self)
{
    if (self == &soma__reader_spare)
        spare_leave();
    else if (soma__section_depth() == 0)
        soma__chunks_work(self, WORK_CHUNKS);
}

void soma_read_enter(void)
{
    soma__section_enter();
}

void soma_read_exit(void)
{
    if (UNLIKELY(!soma__self && spare_depth == 0)) {
        MISUSE("no read section is open");
        return;
    }
    struct soma__reader *self = soma__self ? soma__self : &soma__reader_spare;
    if (UNLIKELY(soma__section_depth() == 0)) {
        MISUSE("no read section is open");
        return;
    }
    soma__section_exit(self);
}
