/* SPDX-License-Identifier: ISC */
/* rcu.c - the rcu room, state by state: what is due when, what a cap lets through, what a thread leaves behind, and what
 * a fork finds and leaves. One thread at a time moves, so that each answer is known. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <soma/soma.h>

#include "rcu/private.h"
#include "support.h"

#define CAP 64
#define CLOSES (UINT64_C(1) << 20) /* bytes that close a chunk */
#define HANGS_SECONDS 20

static atomic_bool keys_refused; /* for threads' exits, so that no thread gets a record */
static bool forks_unclaimed;     /* another thread could have moved chunks while the process forked */

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
void __real_urcu_bp_before_fork(void);
void __wrap_urcu_bp_before_fork(void);

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    const bool refused = atomic_load(&keys_refused) && value != &soma__reader_spare;
    return refused ? ENOMEM : __real_pthread_setspecific(key, value);
}

void __wrap_urcu_bp_before_fork(void)
{
    if (soma__claim_try()) {
        forks_unclaimed = true;
        soma__claim_drop();
    }
    __real_urcu_bp_before_fork();
}

/* ---- What is retired here ---- */

static atomic_uint released;

static void item_gone(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    (void)owner, (void)a, (void)b;
    atomic_fetch_add(&released, 1);
}

static void owner_gone(struct soma__owner *owner)
{
    (void)owner;
}

static struct soma__owner owner;

static void begin(uint64_t cap)
{
    watchdog(HANGS_SECONDS);
    soma_barrier_wait();
    owner = (struct soma__owner){.release = item_gone, .gone = owner_gone};
    soma__owner_init(&owner, cap);
    atomic_store(&released, 0);
}

static enum soma_status retire_bytes(uint64_t bytes)
{
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = soma__retire_prepare(section.self, &owner, bytes);
    if (status == SOMA_OK)
        soma__retire(section.self, 1, 2);
    if (soma__section_end(section))
        soma__section_work(section.self);
    return status;
}

static unsigned chunks_open(void)
{
    const struct soma__reader *self = soma__reader_joined();
    unsigned n = 0;
    for (int i = 0; i < 2 * SOMA__OPEN_CHUNKS; i++)
        n += self->open[i / SOMA__OPEN_CHUNKS][i % SOMA__OPEN_CHUNKS] != NULL;
    return n;
}

/* ---- A thread that does something, and then sits there ---- */

struct sitter {
    void (*what)(void);
    pthread_t thread;
    sem_t turn;
    sem_t done;
};

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

static void *sit(void *arg)
{
    struct sitter *sitter = arg;
    wait_for(&sitter->turn);
    while (sitter->what) {
        sitter->what();
        sem_post(&sitter->done);
        wait_for(&sitter->turn);
    }
    return NULL;
}

static void sitter_does(struct sitter *sitter, void (*what)(void))
{
    sitter->what = what;
    sem_post(&sitter->turn);
    wait_for(&sitter->done);
}

static void sitter_start(struct sitter *sitter, void (*what)(void))
{
    sem_init(&sitter->turn, 0, 0);
    sem_init(&sitter->done, 0, 0);
    EXPECT_EQ(pthread_create(&sitter->thread, NULL, sit, sitter), 0);
    sitter_does(sitter, what);
}

static void sitter_stop(struct sitter *sitter)
{
    sitter->what = NULL;
    sem_post(&sitter->turn);
    pthread_join(sitter->thread, NULL);
}

static void retire_one(void)
{
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
}

static void retire_cap(void)
{
    EXPECT_EQ(retire_bytes(CAP), SOMA_OK);
}

/* ---- When what is closed is released ---- */

/* With nobody inside, a closed chunk goes at the end of the outermost section: the update's own or the program's. */
static void released_at_once(const void *unused)
{
    (void)unused;
    begin(UINT64_MAX);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT_EQ(chunks_open(), 1);
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 3);

    soma_read_enter();
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    soma_read_enter();
    soma_read_exit();
    EXPECT_EQ(atomic_load(&released), 3);
    soma_read_exit();
    EXPECT_EQ(atomic_load(&released), 4);
    EXPECT_EQ(soma__owner_deferred(&owner), 0);
    verified(4);
}

/* Who finds the claim taken does the work with its next update. */
static void released_next_time(const void *unused)
{
    (void)unused;
    begin(UINT64_MAX);
    EXPECT(soma__claim_try());
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    soma__claim_drop();
    EXPECT_EQ(atomic_load(&released), 0);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 1);
    verified(1);
}

static void enter(void)
{
    soma_read_enter();
}

static void leave(void)
{
    soma_read_exit();
}

/* A reader that is inside whenever somebody looks, but in another section each time, holds nothing up. */
static void another_section(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    sitter_start(&sitter, enter);
    const uint64_t cookie = soma__grace_cookie();
    soma__grace_poll(cookie);
    EXPECT(!soma__grace_passed(cookie));
    sitter_does(&sitter, leave);
    sitter_does(&sitter, enter);
    soma__grace_poll(cookie);
    EXPECT(soma__grace_passed(cookie));
    sitter_does(&sitter, leave);
    sitter_stop(&sitter);
    verified(2);
}

/* ---- A cap ---- */

static void larger_than_cap(const void *unused)
{
    (void)unused;
    begin(CAP);
    soma_read_enter();
    EXPECT_EQ(retire_bytes(10 * CAP), SOMA_OK);
    EXPECT_EQ(retire_bytes(1), SOMA_E_LIMIT);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 1);
    verified(1);
}

/* The cap is in the open chunk of a thread that does nothing more. Who comes to it from inside sections of its own,
 * where it cannot wait, has that collected; once for each time. */
static void cap_of_another(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    enum soma_status status = SOMA_E_LIMIT;
    begin(CAP);
    sitter_start(&sitter, retire_cap);
    for (int i = 0; i < 5 && status != SOMA_OK; i++) {
        soma_read_enter();
        status = retire_bytes(1);
        soma_read_exit();
        EXPECT(!soma__reader_joined()->at_limit);
    }
    EXPECT_EQ(status, SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 1);
    sitter_stop(&sitter);
    soma_barrier_wait();
    verified(1);
}

/* From outside, relief collects it before it gives up. */
static void relief(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    begin(CAP);
    sitter_start(&sitter, retire_cap);
    soma__reader_joined()->wanted = 1;
    EXPECT(soma__retire_relieve(&owner, false));
    EXPECT_EQ(soma__owner_deferred(&owner), 0);
    EXPECT_EQ(atomic_load(&released), 1);
    sitter_stop(&sitter);
    verified(1);
}

/* While a reader is inside there is no room to be had, but one's own chunk is closed: its grace period may start. */
static void no_relief(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    begin(CAP);
    sitter_start(&sitter, enter);
    EXPECT_EQ(retire_bytes(CAP), SOMA_OK);
    EXPECT_EQ(chunks_open(), 1);
    soma__reader_joined()->wanted = 1;
    EXPECT(!soma__retire_relieve(&owner, false));
    EXPECT_EQ(chunks_open(), 0);
    EXPECT(soma__retire_relieve(&owner, true));
    EXPECT_EQ(atomic_load(&released), 0);
    sitter_does(&sitter, leave);
    sitter_stop(&sitter);
    EXPECT(soma__retire_relieve(&owner, false));
    EXPECT_EQ(atomic_load(&released), 1);
    verified(3);
}

/* ---- Work that is held back ---- */

#define HELD 50

static void retire_many(void)
{
    for (unsigned i = 0; i < HELD; i++)
        EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
}

/* Nothing is released, and nothing is refused at the cap; when the outer hold is over, all is released at once. */
static void held_back(const void *unused)
{
    (void)unused;
    begin(CAP);
    soma__work_hold();
    soma__work_hold();
    retire_many();
    EXPECT_EQ(soma__owner_deferred(&owner), HELD * CLOSES);
    EXPECT(!soma__retire_relieve(&owner, true));
    soma__work_resume();
    EXPECT(soma__work_held());
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 0);
    soma__work_resume();
    EXPECT(!soma__work_held());
    EXPECT_EQ(atomic_load(&released), HELD + 1);
    EXPECT_EQ(soma__owner_deferred(&owner), 0);
    verified(3);
}

/* A hold does what was due in it, and nothing else. */
static void held_nothing(const void *unused)
{
    (void)unused;
    begin(UINT64_MAX);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT_EQ(chunks_open(), 1);
    soma__work_hold();
    soma__work_resume();
    EXPECT_EQ(chunks_open(), 1);
    soma__work_hold();
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    soma__work_resume();
    EXPECT_EQ(atomic_load(&released), 2);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    soma__work_hold();
    soma__work_resume();
    EXPECT_EQ(chunks_open(), 1);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 3);
    verified(3);
}

/* What was due before the thread entered a section of its own is due when it leaves that. */
static void held_into_section(const void *unused)
{
    (void)unused;
    begin(UINT64_MAX);
    soma__work_hold();
    retire_many();
    soma_barrier_wait(); /* waits for nothing, since what it would run may want what the thread has locked */
    soma_read_enter();
    soma__work_resume();
    EXPECT_EQ(atomic_load(&released), 0);
    EXPECT_EQ(soma__reader_joined()->due, DUE_NOW);
    soma_read_exit();
    EXPECT_EQ(soma__reader_joined()->due, DUE_NOTHING);
    EXPECT_EQ(atomic_load(&released), HELD);
    verified(HELD);
}

/* A hold ends while a reader is in the way of all that was retired in it. */
static void owe_beside(struct sitter *sitter, uint64_t cap)
{
    begin(cap);
    sitter_start(sitter, enter);
    soma__work_hold();
    retire_many();
    soma__work_resume();
}

/* What a reader is in the way of at the end of a hold stays owed, and is released by the thread's next visit after the reader has
 * gone, all of it. */
static void held_for_reader(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    owe_beside(&sitter, UINT64_MAX);
    EXPECT_EQ(atomic_load(&released), 0);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 0);
    EXPECT_EQ(soma__reader_joined()->due, DUE_AGAIN);
    sitter_does(&sitter, leave);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    EXPECT(atomic_load(&released) >= HELD);
    EXPECT_EQ(soma__reader_joined()->due, DUE_NOTHING);
    sitter_stop(&sitter);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), HELD + 2);
    verified(HELD);
}

/* Relief goes on while something is released: what stands in front of the room may be many batches. */
static void relief_from_afar(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    owe_beside(&sitter, CAP);
    EXPECT_EQ(retire_bytes(CAP), SOMA_E_LIMIT);
    EXPECT(!soma__retire_relieve(&owner, false));
    sitter_does(&sitter, leave);
    EXPECT(soma__retire_relieve(&owner, false));
    EXPECT_EQ(atomic_load(&released), HELD);
    sitter_stop(&sitter);
    EXPECT_EQ(retire_bytes(CAP), SOMA_OK);
    soma_barrier_wait();
    verified(HELD);
}

/* ---- Nobody waits for itself ---- */

/* The waits return at once; nothing is released. */
static void wait_inside(void)
{
    soma_synchronize_wait();
    soma_barrier_wait();
    EXPECT(!soma__retire_relieve(&owner, true));
    EXPECT_EQ(atomic_load(&released), 0);
}

static void wait_in_call(void *arg)
{
    (void)arg;
    soma_barrier_wait();
    EXPECT(!soma__retire_relieve(&owner, true));
    atomic_fetch_add(&released, 1);
}

static void wait_without_record(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    EXPECT(!soma__reader_joined());
    EXPECT_EQ(soma__spare_inside(), 1);
    wait_inside();
    soma_read_exit();
    EXPECT_EQ(soma__spare_inside(), 0);
    EXPECT_EQ(retire_bytes(1), SOMA_E_NOMEM);
    soma_synchronize_wait();
    soma_read_enter(); /* and the thread ends in it */
}

static void waits_for_itself(const void *unused)
{
    (void)unused;
    begin(CAP);
    EXPECT_EQ(retire_bytes(1), SOMA_OK);
    soma_read_enter();
    wait_inside();
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 1);
    EXPECT_EQ(soma_retire(wait_in_call, NULL), SOMA_OK);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 2);
    atomic_store(&released, 0);
    atomic_store(&keys_refused, true);
    crew_run(1, wait_without_record, NULL);
    atomic_store(&keys_refused, false);
    EXPECT_EQ(soma__spare_inside(), 0);
    verified(3);
}

/* ---- What a thread leaves behind ---- */

static struct soma__reader *first_record;

/* Ends inside two sections, with work to be done when they end. */
static void end_inside(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    soma_read_enter();
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    first_record = soma__reader_joined();
    EXPECT_EQ(first_record->depth, 2);
}

/* The next thread has the record. A section that begins inside one of Soma's own calls, as a handler's may, is not its
 * outermost, and does not end it; and nothing is due. */
static void begin_anew(unsigned index, void *arg)
{
    (void)index, (void)arg;
    const struct soma__section section = soma__section_enter();
    EXPECT(section.self == first_record);
    EXPECT(!soma__section_nested(section));
    const uint64_t word = section.self->word.word;
    EXPECT(word & 1);
    soma_read_enter();
    soma_read_exit();
    EXPECT_EQ(section.self->word.word, word);
    soma__section_exit(section);
    EXPECT_EQ(section.self->word.word, word + 1);
    soma_read_enter();
    soma_read_exit();
    EXPECT_EQ(section.self->word.word, word + 3);
    EXPECT_EQ(atomic_load(&released), 0);
}

static void record_taken_over(const void *unused)
{
    (void)unused;
    begin(UINT64_MAX);
    crew_run(1, end_inside, NULL);
    crew_run(1, begin_anew, NULL);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 1);
    verified(1);
}

/* A destructor of the program's own, which comes after Soma's: the thread has a record again, and gives that up too. */
static void late(void *arg)
{
    (void)arg;
    soma_read_enter();
    if (EXPECT(soma__reader_joined() != NULL))
        EXPECT_EQ(soma__reader_joined()->in_use.word, 1);
    soma_read_exit();
}

static pthread_key_t late_key;

static void end_late(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_enter();
    soma_read_exit();
    EXPECT_EQ(pthread_setspecific(late_key, &late_key), 0);
}

static unsigned records_in_use(void)
{
    unsigned n = 0;
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        n += r->in_use.word != 0;
    return n;
}

static void used_after_exit(const void *unused)
{
    (void)unused;
    const unsigned before = records_in_use();
    EXPECT_EQ(pthread_key_create(&late_key, late), 0);
    crew_run(1, end_late, NULL);
    EXPECT_EQ(records_in_use(), before);
    pthread_key_delete(late_key);
    verified(1);
}

/* An exit too many is answered with nothing, and sections after it are sections. */
static void exit_too_many(const void *unused)
{
    (void)unused;
    soma_read_enter();
    soma_read_exit();
    const struct soma__reader *self = soma__reader_joined();
    const uint64_t word = self->word.word;
    soma_read_exit();
    EXPECT_EQ(self->word.word, word);
    EXPECT_EQ(self->depth, 0);
    soma_read_enter();
    EXPECT_EQ(self->word.word, word + 1);
    soma_read_exit();
    EXPECT_EQ(self->word.word, word + 2);
    verified(3);
}

/* ---- A thread that ends in a retired call ---- */

#define CALLS (3 * CHUNK_ITEMS + 7) /* so that a visit has several chunks in hand, the first and the last not full */

static atomic_uint calls_begun;
static atomic_bool calls_inside; /* a call ran inside a section */

static void note_call(void)
{
    const struct soma__reader *self = soma__reader_joined();
    if (soma__section_number(self) & 1)
        atomic_store(&calls_inside, true);
    atomic_fetch_add(&calls_begun, 1);
}

static void ordinary_call(void *arg)
{
    (void)arg;
    note_call();
}

static void ends_thread(void *arg)
{
    (void)arg;
    note_call();
    pthread_exit(NULL);
}

static void ends_thread_inside(void *arg)
{
    (void)arg;
    note_call();
    soma_read_enter();
    pthread_exit(NULL);
}

/* What a call retires in its turn is not lost either. */
static void retires_and_ends(void *arg)
{
    (void)arg;
    note_call();
    EXPECT_EQ(soma_retire(ordinary_call, NULL), SOMA_OK);
    pthread_exit(NULL);
}

static void (*const ends[])(void *) = {ends_thread, ends_thread_inside, retires_and_ends};

static void *retire_and_wait(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < CALLS; i++)
        EXPECT_EQ(soma_retire(i % CHUNK_ITEMS == 5 ? ends[i / CHUNK_ITEMS % 3] : ordinary_call, NULL), SOMA_OK);
    soma_barrier_wait();
    EXPECT(false); /* it has ended */
    return NULL;
}

static void ended_by_call(const void *unused)
{
    (void)unused;
    pthread_t thread;
    begin(UINT64_MAX);
    atomic_store(&calls_begun, 0);
    soma_read_enter(); /* so that the other thread is the one to run them, in its barrier */
    EXPECT_EQ(pthread_create(&thread, NULL, retire_and_wait, NULL), 0);
    sleep_ms(50);
    EXPECT_EQ(atomic_load(&calls_begun), 0);
    soma_read_exit();
    pthread_join(thread, NULL);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&calls_begun), CALLS + 1);
    EXPECT(!atomic_load(&calls_inside));
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        EXPECT_EQ(r->busy.word & 1, 0);
    EXPECT_EQ(chunks_open(), 0);
    verified(CALLS);
}

/* A call that would let itself be cancelled is not, nor is what comes behind it. */
static void lets_itself_be_cancelled(void *arg)
{
    (void)arg;
    pthread_cancel(pthread_self());
    pthread_testcancel();
    note_call();
}

static void *retire_and_be_cancelled(void *arg)
{
    (void)arg;
    EXPECT_EQ(soma_retire(lets_itself_be_cancelled, NULL), SOMA_OK);
    EXPECT_EQ(soma_retire(ordinary_call, NULL), SOMA_OK);
    soma_barrier_wait();
    while (EXPECT_EQ(atomic_load(&calls_begun), 2))
        pthread_testcancel();
    return NULL;
}

static void cancelled_in_call(const void *unused)
{
    (void)unused;
    pthread_t thread;
    void *ended = NULL;
    begin(UINT64_MAX);
    atomic_store(&calls_begun, 0);
    EXPECT_EQ(pthread_create(&thread, NULL, retire_and_be_cancelled, NULL), 0);
    EXPECT_EQ(pthread_join(thread, &ended), 0);
    EXPECT(ended == PTHREAD_CANCELED);
    EXPECT_EQ(atomic_load(&calls_begun), 2);
    verified(2);
}

/* ---- A fork ---- */

static sem_t call_runs;
static sem_t call_ends;

/* Open chunks on both sides, one item each, and inside two sections. */
static void leave_on_both_sides(void)
{
    retire_one();
    struct soma__reader *self = soma__reader_joined();
    self->side_word = self->word.word + 1; /* as if it had looked which side to use when it was the other */
    self->side ^= 1;
    retire_one();
    EXPECT_EQ(chunks_open(), 2);
    soma_read_enter();
    soma_read_enter();
    self->due = DUE_NOW;
    self->at_limit = true;
}

static void stay_busy(void *arg)
{
    (void)arg;
    sem_post(&call_runs);
    wait_for(&call_ends);
}

static void work_forever(unsigned index, void *arg)
{
    (void)index, (void)arg;
    EXPECT_EQ(soma_retire(stay_busy, NULL), SOMA_OK);
    soma_barrier_wait();
}

static void enter_without_record(void)
{
    atomic_store(&keys_refused, true);
    soma_read_enter();
    atomic_store(&keys_refused, false);
    EXPECT_EQ(soma__spare_inside(), 1);
}

static void leave_without_record(void)
{
    soma_read_exit();
}

/* All records but the calling thread's are as new. */
static void check_records_free(void)
{
    unsigned others = 0;
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        if (r == soma__reader_joined()) {
            EXPECT_EQ(r->thread.word, getpid());
            continue;
        }
        others++;
        EXPECT_EQ(r->in_use.word, 0);
        EXPECT_EQ(r->busy.word, 0);
        EXPECT_EQ(r->word.word & 1, 0);
        EXPECT(r->depth == 0 && r->outer == 0 && r->due == DUE_NOTHING && !r->at_limit);
        EXPECT_EQ(r->side_word, 0);
        EXPECT(!r->in_hand && r->released == 0);
    }
    EXPECT(others >= 2);
}

/* In the child, which has one thread. */
static void check_child(uint64_t generation)
{
    watchdog(HANGS_SECONDS);
    EXPECT(!forks_unclaimed);
    EXPECT(soma__claim_try());
    soma__claim_drop();
    EXPECT_EQ(soma__fork_generation(), generation + 1);
    EXPECT_EQ(soma__spare_inside(), 0);
    check_records_free();
    if (failures() > 0)
        return;
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 2);
    EXPECT_EQ(soma__owner_deferred(&owner), 0);
    EXPECT_EQ(retire_bytes(CLOSES), SOMA_OK);
    EXPECT_EQ(atomic_load(&released), 3);
}

static void fork_beside_all(const void *unused)
{
    (void)unused;
    struct sitter sitter;
    struct sitter without;
    struct crew busy;
    begin(UINT64_MAX);
    sem_init(&call_runs, 0, 0);
    sem_init(&call_ends, 0, 0);
    crew_start(&busy, 1, work_forever, NULL);
    wait_for(&call_runs);
    sitter_start(&sitter, leave_on_both_sides);
    sitter_start(&without, enter_without_record);
    const uint64_t generation = soma__fork_generation();
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        check_child(generation);
        _exit(failures() > 0);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT_EQ(status, 0);
    EXPECT(!forks_unclaimed);
    EXPECT(soma__claim_try());
    soma__claim_drop();
    EXPECT_EQ(soma__fork_generation(), generation);
    sitter_does(&without, leave_without_record);
    sitter_stop(&without);
    sitter_stop(&sitter); /* which ends in its sections */
    sem_post(&call_ends);
    crew_join(&busy);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&released), 2);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"released-at-once", released_at_once, NULL},
        {"released-next-time", released_next_time, NULL},
        {"another-section", another_section, NULL},
        {"larger-than-cap", larger_than_cap, NULL},
        {"cap-of-another", cap_of_another, NULL},
        {"relief", relief, NULL},
        {"no-relief", no_relief, NULL},
        {"held-back", held_back, NULL},
        {"held-nothing", held_nothing, NULL},
        {"held-into-section", held_into_section, NULL},
        {"held-for-reader", held_for_reader, NULL},
        {"relief-from-afar", relief_from_afar, NULL},
        {"waits-for-itself", waits_for_itself, NULL},
        {"record-taken-over", record_taken_over, NULL},
        {"used-after-exit", used_after_exit, NULL},
        {"exit-too-many", exit_too_many, NULL},
        {"ended-by-call", ended_by_call, NULL},
        {"cancelled-in-call", cancelled_in_call, NULL},
        {"fork-beside-all", fork_beside_all, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
