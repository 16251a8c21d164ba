/* SPDX-License-Identifier: ISC */
/* loan.c - copies of what is borrowed, in debug builds.
 *
 * They stand in chunks of one piece of memory, which are given out in turn, so that a chunk is used again only when all
 * others have been. A thread fills a chunk with the copies of one section. At its end the chunk cannot be read any more.
 * A read of it comes to on_fault(), which names the call that lent the bytes and makes them readable again, so that
 * the program goes on as other builds would. What a program has arranged for other faults, it keeps; but if it
 * puts its own handler in the place of this one, only the system speaks. Under the address sanitizer chunks are poisoned
 * instead, and it is the sanitizer that speaks. Nothing is allocated: a handler may borrow in the middle of malloc().
 *
 * Not everything is watched: no value that is larger than a chunk, of one section no more than LENT_MOST chunks, and of a
 * thread's sections and calls on cursors the first WATCHED_FIRST that borrow, and then one in WATCHED_EVERY, since each
 * takes two calls of the system's.
 */
#include "base/loan.h"

#if HAVE_GUARD

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atom.h"
#include "base/attr.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define CHUNKS ((uint64_t)512)
#define LENT_MOST 64
#define WATCHED_FIRST 1024
#define WATCHED_EVERY 32
#define PAGE_MOST ((size_t)64 << 10)

#if UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* ---- Chunks ---- */

enum {
    CHUNK_FREE,
    CHUNK_LENT,
    CHUNK_OVER
};

static unsigned char memory[CHUNKS][CHUNK_BYTES] ALIGNED(PAGE_MOST);

/* order LOAN-1 acqrel | guards: the chunk's fields and bytes | pairs: LOAN-1
 * weaker: a chunk is filled while the thread that had it is still ending its loan. */
static struct {
    struct atom state;
    const void *entered; /* of a loan that is over: where its section began, and ended */
    const void *left;
} chunks[CHUNKS];

static struct atom given;     /* chunks so far */
static struct atom installed; /* whether on_fault() is */
static struct sigaction before;

/* In front of every copy. */
struct head {
    const char *by; /* NULL behind the last */
    size_t len;
};

static void on_fault(int number, siginfo_t *info, void *context);

/* order LOAN-2 acqrel | guards: `before` | pairs: LOAN-2 */
static void install(void)
{
    uint64_t no = 0;
    if (UNDER_ASAN || atom_load_acq(&installed) != 0 || !atom_cas_acqrel(&installed, &no, 1)) /* LOAN-2 */
        return;
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    (void)sigaction(SIGSEGV, NULL, &before);
    (void)sigaction(SIGSEGV, &ours, NULL);
}

static bool chunk_open(uint64_t at)
{
#if UNDER_ASAN
    __asan_unpoison_memory_region(memory[at], CHUNK_BYTES);
    return true;
#else
    return mprotect(memory[at], CHUNK_BYTES, PROT_READ | PROT_WRITE) == 0;
#endif
}

static bool chunk_shut(uint64_t at)
{
#if UNDER_ASAN
    __asan_poison_memory_region(memory[at], CHUNK_BYTES);
    return true;
#else
    return mprotect(memory[at], CHUNK_BYTES, PROT_NONE) == 0;
#endif
}

/* A chunk for the calling thread, plus 1, or 0: all are lent. */
static uint64_t chunk_take(void)
{
    install();
    for (uint64_t i = 0; i < CHUNKS; i++) {
        const uint64_t at = atom_add_rlx(&given, 1) % CHUNKS; /* LOAN-1: ordered by the swap */
        uint64_t state = atom_load_acq(&chunks[at].state);    /* LOAN-1 */
        if (state == CHUNK_LENT || !atom_cas_acqrel(&chunks[at].state, &state, CHUNK_LENT)) /* LOAN-1 */
            continue;
        if (state == CHUNK_FREE || chunk_open(at))
            return at + 1;
        atom_store_rel(&chunks[at].state, CHUNK_OVER); /* LOAN-1 */
    }
    return 0;
}

static void chunk_end(uint64_t chunk, const void *entered, const void *left)
{
    const uint64_t at = chunk - 1;
    chunks[at].entered = entered;
    chunks[at].left = left;
    const bool closed = chunk_shut(at);
    atom_store_rel(&chunks[at].state, closed ? CHUNK_OVER : CHUNK_FREE); /* LOAN-1 */
}

static size_t room_for(size_t len)
{
    return sizeof(struct head) + ((len + 15) & ~(size_t)15);
}

/* The copies end with a head that says so, if there is room for one. */
static const void *chunk_add(uint64_t chunk, size_t at, const void *bytes, size_t len, const char *by)
{
    unsigned char *to = memory[chunk - 1] + at;
    const struct head head = {.by = by, .len = len};
    const struct head last = {.by = NULL, .len = 0};
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, bytes, len);
    if (at + room_for(len) + sizeof last <= CHUNK_BYTES)
        memcpy(to + room_for(len), &last, sizeof last);
    return to + sizeof head;
}

/* ---- Loans ---- */

static __thread struct {
    uint64_t chunks[LENT_MOST];
    unsigned count;
    size_t used;    /* of the last */
    uint64_t turns; /* sections that have borrowed, and calls on cursors */
    bool passed;    /* this section is not watched */
    bool busy;      /* in the middle of a loan: what a handler borrows then is not watched */
} lent __attribute__((tls_model("initial-exec")));

static bool is_watched(void)
{
    const uint64_t turn = lent.turns++;
    return UNDER_ASAN || turn < WATCHED_FIRST || turn % WATCHED_EVERY == 0;
}

static bool has_room(size_t len)
{
    if (lent.count == 0 && !lent.passed)
        lent.passed = !is_watched();
    if (lent.passed)
        return false;
    if (lent.count > 0 && lent.used + room_for(len) <= CHUNK_BYTES)
        return true;
    if (lent.count == LENT_MOST || room_for(len) > CHUNK_BYTES)
        return false;
    const uint64_t chunk = chunk_take();
    if (chunk == 0)
        return false;
    lent.chunks[lent.count++] = chunk;
    lent.used = 0;
    return true;
}

const void *soma__loan(const void *bytes, size_t len, const char *by)
{
    if (len == 0 || lent.busy)
        return bytes;
    lent.busy = true;
    atom_compiler_barrier();
    if (has_room(len)) {
        const size_t at = lent.used;
        lent.used += room_for(len);
        bytes = chunk_add(lent.chunks[lent.count - 1], at, bytes, len, by);
    }
    atom_compiler_barrier();
    lent.busy = false;
    return bytes;
}

void soma__loans_end(const void *entered, const void *left)
{
    if (lent.busy) /* a handler's section, in the middle of a loan */
        return;
    lent.busy = true;
    atom_compiler_barrier();
    while (lent.count > 0)
        chunk_end(lent.chunks[--lent.count], entered, left);
    lent.passed = false;
    atom_compiler_barrier();
    lent.busy = false;
}

const void *soma__loan_one(struct soma__loan_one *one, const void *bytes, size_t len, const char *by)
{
    soma__loan_one_end(one);
    if (len > 0 && room_for(len) <= CHUNK_BYTES && is_watched())
        one->chunk = chunk_take();
    return one->chunk ? chunk_add(one->chunk, 0, bytes, len, by) : bytes;
}

void soma__loan_one_end(struct soma__loan_one *one)
{
    if (one->chunk)
        chunk_end(one->chunk, NULL, NULL);
    one->chunk = 0;
}

/* ---- Uses of what is over ---- */

/* The chunk's number, or CHUNKS: the address is in none whose loan is over. */
static uint64_t chunk_over(const void *address)
{
    const uintptr_t distance = (uintptr_t)address - (uintptr_t)memory;
    const uint64_t at = distance / CHUNK_BYTES;
    return distance < sizeof memory && atom_load_acq(&chunks[at].state) == CHUNK_OVER ? at : CHUNKS; /* LOAN-1 */
}

/* The call that lent the bytes at an address of a chunk that can be read. */
static const char *lender(uint64_t chunk, const unsigned char *address)
{
    const char *by = "soma_map_get_ref";
    for (size_t at = 0; at + sizeof(struct head) <= CHUNK_BYTES;) {
        struct head head;
        memcpy(&head, memory[chunk] + at, sizeof head);
        if (!head.by)
            break;
        by = head.by;
        at += room_for(head.len);
        if (address < memory[chunk] + at)
            break;
    }
    return by;
}

static void say_over(uint64_t at)
{
    char entered[PLACE_BYTES];
    char left[PLACE_BYTES];
    if (chunks[at].entered)
        soma__because(
            "what it lent is used after the end of the read section (entered at %s, left at %s): copy it with "
            "soma_map_get_copy(), or use it before soma_read_exit()",
            soma__place(chunks[at].entered, entered), soma__place(chunks[at].left, left));
    else
        soma__because("what it lent is used after another call on the cursor: copy it before, or open a second cursor");
}

bool soma__loan_over(const void *bytes)
{
    const uint64_t at = chunk_over(bytes);
    if (at == CHUNKS || UNDER_ASAN) /* the sanitizer speaks when it is read */
        return false;
    if (chunks[at].entered)
        soma__because(
            "the key or value is borrowed, and the read section that it was borrowed in is over: copy it with "
            "soma_map_get_copy(), or make the call before soma_read_exit()");
    else
        soma__because(
            "the key or value is borrowed from a cursor that has gone on since: copy it before the next call on "
            "the cursor");
    return true;
}

/* ---- Seals ---- */

#define SEALS 64

/* order LOAN-3 acqrel | guards: the size | pairs: LOAN-3 */
static struct {
    struct atom pages; /* 0: free; SEALING: being written */
    struct atom size;
} seals[SEALS];

/* Where all seals are in use: the pages are left as they are. */
void soma__seal(void *pages, size_t size)
{
    enum {
        SEALING = 1
    };
    install();
    for (size_t i = 0; i < SEALS; i++) {
        uint64_t none = 0;
        if (!atom_cas_acqrel(&seals[i].pages, &none, SEALING)) /* LOAN-3 */
            continue;
        atom_store_rlx(&seals[i].size, size); /* LOAN-3 */
        const bool sealed = mprotect(pages, size, PROT_READ) == 0;
        atom_store_rel(&seals[i].pages, sealed ? (uintptr_t)pages : 0); /* LOAN-3 */
        return;
    }
}

void soma__unseal(const void *pages)
{
    for (size_t i = 0; i < SEALS; i++) {
        if (atom_load_rlx(&seals[i].pages) == (uintptr_t)pages) /* LOAN-3: the caller's own */
            atom_store_rel(&seals[i].pages, 0);                 /* LOAN-3 */
    }
}

/* Whether the address is of sealed pages, which can then be written to. */
static bool break_seal(const void *address)
{
    for (size_t i = 0; i < SEALS; i++) {
        const uintptr_t pages = atom_load_acq(&seals[i].pages); /* LOAN-3 */
        const uint64_t size = atom_load_rlx(&seals[i].size);    /* LOAN-3 */
        if (pages != 0 && (uintptr_t)address - pages < size)
            return mprotect((void *)pages, size, PROT_READ | PROT_WRITE) == 0;
    }
    return false;
}

/* ---- Faults ---- */

static void fault_of_others(int number, siginfo_t *info, void *context)
{
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction)
        before.sa_sigaction(number, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(number);
    else
        (void)sigaction(number, &before, NULL); /* the access is tried again, and ends as it would have without us */
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const uint64_t at = info->si_code > 0 ? chunk_over(info->si_addr) : CHUNKS;
    if (at == CHUNKS && info->si_code > 0 && break_seal(info->si_addr)) {
        soma__misuse("soma_frozen",
                     "the bytes of a frozen map are written to, and it does not change: write to the map that "
                     "it was built from, and build another from a view of that");
        return;
    }
    if (at == CHUNKS || !chunk_open(at)) {
        fault_of_others(number, info, context);
        return;
    }
    say_over(at);
    const char *by = lender(at, info->si_addr);
    atom_store_rel(&chunks[at].state, CHUNK_FREE); /* LOAN-1 */
    soma__misuse(by, "");
}

#endif
