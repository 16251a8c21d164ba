/* SPDX-License-Identifier: ISC */
/* guard.c - the register of handles, in debug builds.
 *
 * A table of fixed size, so that it needs no memory and no lock: a handle is looked for in a few slots from its hash on.
 * A slot is never empty again. When its handle has been freed, it still says so, until it is needed for another. If
 * all slots of a window hold living handles, a new handle is not registered, and from then on no call is told that a
 * handle is unknown.
 */
#include "base/guard.h"

#if HAVE_GUARD

#include <unistd.h>

#include "base/atom.h"

#define SLOTS ((uint64_t)1 << 14)
#define WINDOW 64

/* A slot's state: a serial number, what it holds, and whether that lives or is just being entered. 0: nothing yet. */
#define STATE_LIVES 1
#define STATE_ENTERED 2
#define STATE_WHAT_SHIFT 4
#define STATE_WHAT_MASK 15
#define STATE_SERIAL_SHIFT 8

struct slot {
    struct atom handle;
    struct atom state;
    struct atom on;    /* what it stands on: serial, shifted | the slot's number plus 1; or 0 */
    struct atom users; /* how many stand on it */
    struct atom turn;  /* the thread whose call has it to itself, or 0 */
};

#define ON_SHIFT 16

static struct slot slots[SLOTS];
static struct atom crowded; /* a handle could not be registered */
static struct atom process; /* the one that registered the first */

static const struct {
    const char *name;
    const char *made;
    const char *freed;
} kinds[] = {
    [WHAT_WORDS] = {"word map", "soma_u64_new()", "soma_u64_free()"},
    [WHAT_BYTES] = {"byte map", "soma_map_new()", "soma_map_free()"},
    [WHAT_MAP] = {"map", "soma_u64_new() or soma_map_new()", "its free call"},
    [WHAT_VIEW] = {"view", "soma_u64_view_open() or soma_map_view_open()", "soma_view_close()"},
    [WHAT_CURSOR] = {"cursor", "soma_cursor_open_*()", "soma_cursor_close()"},
    [WHAT_FROZEN] = {"frozen map", "soma_frozen_build() or soma_frozen_open()", "soma_frozen_free()"},
    [WHAT_PATCH] = {"patch", "soma_patch_make()", "soma_patch_free()"},
    [WHAT_SYNC] = {"session", "soma_u64_sync_open() or soma_map_sync_open()", "soma_sync_close()"},
};

static uint64_t scrambled(uint64_t x)
{
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static struct slot *window_slot(const void *handle, uint64_t i)
{
    return &slots[(scrambled((uintptr_t)handle) + i) % SLOTS];
}

static enum soma__what state_what(uint64_t state)
{
    return (enum soma__what)(state >> STATE_WHAT_SHIFT & STATE_WHAT_MASK);
}

/* order GUARD-1 acquire | guarded by: state, with what the slot holds | pairs: GUARD-2
 * weaker: a slot is taken for the handle that it held before. */
static uint64_t state_read(const struct slot *slot)
{
    return atom_load_acq(&slot->state);
}

/* order GUARD-2 release | guards: what the slot holds | pairs: GUARD-1 */
static void state_set(struct slot *slot, uint64_t state)
{
    atom_store_rel(&slot->state, state);
}

/* order GUARD-3 relaxed | value only: what a slot holds is ordered by GUARD-1, counts have nothing behind them | pairs: GUARD-3 */
static uint64_t word(const struct atom *a)
{
    return atom_load_rlx(a);
}

/* The slot of a handle, rather one that lives, or NULL; with its state. */
static struct slot *find(const void *handle, uint64_t *state)
{
    struct slot *dead = NULL;
    for (uint64_t i = 0; i < WINDOW; i++) {
        struct slot *slot = window_slot(handle, i);
        const uint64_t seen = state_read(slot);
        if (seen == 0)
            break;
        if (word(&slot->handle) != (uintptr_t)handle || (seen & STATE_ENTERED) != 0)
            continue;
        if (seen & STATE_LIVES) {
            *state = seen;
            return slot;
        }
        dead = slot;
        *state = seen;
    }
    return dead;
}

/* ---- Birth ---- */

/* The old handle's end and the new one's claim are one swap. */
static bool claim(struct slot *slot, uint64_t state)
{
    /* order GUARD-4 acqrel | guards: who has the slot | pairs: GUARD-4 */
    return atom_cas_acqrel(&slot->state, &state, state | STATE_ENTERED); /* GUARD-4 */
}

/* First choice: the slot of a dead handle with the same address; then an empty one; then any whose handle is dead. */
static struct slot *claim_any(const void *handle, uint64_t *state)
{
    for (int choice = 0; choice < 3; choice++) {
        for (uint64_t i = 0; i < WINDOW; i++) {
            struct slot *slot = window_slot(handle, i);
            *state = state_read(slot);
            const bool same = word(&slot->handle) == (uintptr_t)handle;
            const bool wanted = choice == 0 ? *state != 0 && same : (choice == 1 ? *state == 0 : *state != 0);
            if (wanted && (*state & (STATE_LIVES | STATE_ENTERED)) == 0 && claim(slot, *state))
                return slot;
            if (*state == 0)
                break;
        }
    }
    return NULL;
}

static uint64_t stand_on(const void *on)
{
    uint64_t state = 0;
    struct slot *slot = on ? find(on, &state) : NULL;
    if (!slot || (state & STATE_LIVES) == 0)
        return 0;
    atom_add_rlx(&slot->users, 1); /* GUARD-3 */
    return (state >> STATE_SERIAL_SHIFT) << ON_SHIFT | (uint64_t)(slot - slots + 1);
}

/* What a handle stands on, if that still is what it was; with its state. */
static struct slot *stands_on(uint64_t on, uint64_t *state)
{
    if (on == 0)
        return NULL;
    struct slot *slot = &slots[(on & ((1 << ON_SHIFT) - 1)) - 1];
    *state = state_read(slot);
    return (*state >> STATE_SERIAL_SHIFT) << ON_SHIFT == (on >> ON_SHIFT) << ON_SHIFT ? slot : NULL;
}

static void step_off(uint64_t on)
{
    uint64_t state;
    struct slot *slot = stands_on(on, &state);
    if (slot)
        atom_add_rlx(&slot->users, (uint64_t)-1); /* GUARD-3 */
}

/* The one of several that ends it, if they try at once. */
static bool end(struct slot *slot, uint64_t state)
{
    return atom_cas_acqrel(&slot->state, &state, state & ~(uint64_t)STATE_LIVES); /* GUARD-4 */
}

/* A forked child has handles of threads that it does not have, and cannot close them. */
static bool in_child(void)
{
    return word(&process) != (uint64_t)getpid();
}

void soma__guard_new(const void *handle, enum soma__what what, const void *on)
{
    uint64_t state = 0;
    if (word(&process) == 0)
        atom_store_rlx(&process, (uint64_t)getpid()); /* GUARD-3 */
    struct slot *slot = find(handle, &state);
    if (slot && (state & STATE_LIVES) != 0 && state_what(state) == what) { /* it stands on something else from now on */
        step_off(word(&slot->on));
        atom_store_rlx(&slot->on, stand_on(on)); /* GUARD-3 */
        return;
    }
    if (slot && (state & STATE_LIVES) != 0) /* what was there has gone without a word */
        (void)end(slot, state);
    slot = claim_any(handle, &state);
    if (!slot) {
        atom_store_rlx(&crowded, 1); /* GUARD-3 */
        return;
    }
    atom_store_rlx(&slot->handle, (uintptr_t)handle); /* GUARD-3 */
    atom_store_rlx(&slot->on, stand_on(on));          /* GUARD-3 */
    atom_store_rlx(&slot->users, 0);                  /* GUARD-3 */
    atom_store_rlx(&slot->turn, 0);                   /* GUARD-3 */
    const uint64_t serial = (state >> STATE_SERIAL_SHIFT) + 1;
    state_set(slot, serial << STATE_SERIAL_SHIFT | (uint64_t)what << STATE_WHAT_SHIFT | STATE_LIVES);
}

/* ---- Life ---- */

static bool is_of(enum soma__what is, enum soma__what wanted)
{
    return is == wanted || (wanted == WHAT_MAP && (is == WHAT_WORDS || is == WHAT_BYTES));
}

static void is_another(enum soma__what is, enum soma__what wanted)
{
    if (is == WHAT_FROZEN)
        soma__because(
            "this is a frozen map, which does not change and has calls of its own: soma_frozen_get_*() read it; "
            "write to the map it was built from, and build another from a view of that");
    else
        soma__because("this is a %s, and the call takes a %s: pass what %s gave", kinds[is].name, kinds[wanted].name,
                      kinds[wanted].made);
}

/* Whether all that it stands on lives. */
static bool stands(const struct slot *slot, enum soma__what what)
{
    uint64_t on = word(&slot->on);
    while (on != 0) {
        uint64_t state;
        const struct slot *under = stands_on(on, &state);
        if (!under || (state & STATE_LIVES) == 0) {
            soma__because("the %s that this %s looks into has been freed: close the %s first",
                          under ? kinds[state_what(state)].name : "map or view", kinds[what].name, kinds[what].name);
            return false;
        }
        on = word(&under->on);
    }
    return true;
}

/* The slot of a handle that a call may use, or NULL; *unknown: it may be used, but there is none. */
static struct slot *usable(const void *handle, enum soma__what what, bool *unknown)
{
    uint64_t state = 0;
    struct slot *slot = handle ? find(handle, &state) : NULL;
    *unknown = false;
    if (!handle)
        return NULL;
    if (!slot) {
        *unknown = word(&crowded) != 0;
        if (!*unknown)
            soma__because("%p is no %s, or one that is long gone: pass what %s gave", handle, kinds[what].name,
                          kinds[what].made);
        return NULL;
    }
    const enum soma__what is = state_what(state);
    if ((state & STATE_LIVES) == 0)
        soma__because("the %s has been freed by %s: let everybody who uses it come to an end before", kinds[is].name,
                      kinds[is].freed);
    else if (!is_of(is, what))
        is_another(is, what);
    else if (stands(slot, is))
        return slot;
    return NULL;
}

bool soma__guard_lives(const void *handle, enum soma__what what)
{
    bool unknown;
    return usable(handle, what, &unknown) || unknown;
}

__thread unsigned soma__updating __attribute__((tls_model("initial-exec")));
__thread const void *soma__called_by __attribute__((tls_model("initial-exec")));

static bool may_write(void)
{
    if (soma__updating > 0)
        soma__because(
            "called by a function that another call runs, which only looks things up: do it after that call has "
            "returned");
    return soma__updating == 0;
}

bool soma__guard_writes(const void *handle, enum soma__what what)
{
    return soma__guard_lives(handle, what) && may_write();
}

bool soma__guard_lives_or_says(const void *handle, enum soma__what what, const char *where)
{
    const bool lives = soma__guard_lives(handle, what);
    if (!lives && handle)
        soma__misuse(where, "");
    return lives;
}

/* The address is the thread's name. */
static uintptr_t this_thread(void)
{
    static __thread char thread;
    return (uintptr_t)&thread;
}

static bool has_turn(const struct slot *slot)
{
    return word(&slot->turn) == this_thread();
}

/* order GUARD-5 acqrel | guards: the handle's fields, between calls of two threads | pairs: GUARD-6
 * weaker: what the last thread wrote to the cursor is not seen, though the program ordered the calls. */
struct soma__turn soma__guard_turn(const void *handle, enum soma__what what)
{
    bool unknown;
    struct slot *slot = usable(handle, what, &unknown);
    if (!slot)
        return (struct soma__turn){.slot = NULL, .had = unknown};
    uint64_t other = 0;
    if (atom_cas_acqrel(&slot->turn, &other, this_thread())) /* GUARD-5 */
        return (struct soma__turn){.slot = slot, .had = true};
    soma__because("%s is in a call on this %s: it is for one call at a time; open one for each thread",
                  other != this_thread() ? "another thread"
                  : what == WHAT_SYNC    ? "the code that has called this function, or was interrupted by it,"
                                         : "the code that this signal handler interrupted",
                  kinds[what].name);
    return (struct soma__turn){.slot = NULL, .had = false};
}

/* order GUARD-6 release | guards: the handle's fields | pairs: GUARD-5 */
void soma__guard_turn_over(const struct soma__turn *turn)
{
    struct slot *slot = turn->slot;
    if (slot)
        atom_store_rel(&slot->turn, 0); /* GUARD-6 */
}

/* ---- Death ---- */

bool soma__guard_ends(const void *handle, enum soma__what what, const char *where)
{
    uint64_t state = 0;
    struct slot *slot = find(handle, &state);
    if (!slot && word(&crowded) != 0)
        return true;
    const enum soma__what is = slot ? state_what(state) : what;
    if (!slot)
        soma__because("%p is no %s, or one that is long gone: pass what %s gave", handle, kinds[what].name,
                      kinds[what].made);
    else if ((state & STATE_LIVES) != 0 && !is_of(is, what))
        is_another(is, what);
    else if (is_of(is, WHAT_MAP) && !may_write())
        (void)0; /* it has a reason */
    else if (handle == soma__called_by)
        soma__because(
            "called by a function of this %s's, its stall or value_retire, in the middle of a call on it: free it "
            "elsewhere",
            kinds[is].name);
    else if (has_turn(slot))
        soma__because("called by a function that a call on this %s has called: do it after that call", kinds[is].name);
    else if ((state & STATE_LIVES) == 0 || !end(slot, state))
        soma__because("the %s has been freed before: free it once, when nobody uses it any more", kinds[is].name);
    else {
        step_off(word(&slot->on));
        if (word(&slot->users) == 0 || in_child())
            return true;
        soma__because(
            "%lu views, cursors or sessions on this %s are open: close them first; until the program ends, its "
            "memory stays",
            (unsigned long)word(&slot->users), kinds[is].name);
    }
    soma__misuse(where, "");
    return false;
}

/* ---- Memory of the dead ---- */

#define GRAVES 64

static struct {
    struct atom memory; /* 0: free */
    size_t size;
    void (*release)(void *memory, size_t size);
} graves[GRAVES];
static struct atom buried;

/* What is put in takes the place of what was put in long ago, which is freed.
 * order GUARD-7 acqrel | guards: the grave's size and release, while its memory is DIGGING | pairs: GUARD-7 */
void soma__guard_bury(void *memory, size_t size, void (*release)(void *memory, size_t size))
{
    enum {
        DIGGING = 1
    };
    const uint64_t at = atom_add_rlx(&buried, 1) % GRAVES; /* GUARD-3 */
    uint64_t old = atom_load_acq(&graves[at].memory);      /* GUARD-7 */
    if (old == DIGGING || !atom_cas_acqrel(&graves[at].memory, &old, DIGGING)) {
        release(memory, size); /* another thread has come round to the same grave */
        return;
    }
    if (old != 0)
        graves[at].release((void *)(uintptr_t)old, graves[at].size);
    graves[at].size = size;
    graves[at].release = release;
    atom_store_rel(&graves[at].memory, (uintptr_t)memory); /* GUARD-7 */
}

/* ---- Tokens ---- */

#define TOKENS 1024
/* Beginnings of parts, the same in every map, and the hashes of tests. */
#define TOKEN_LEAST ((uint64_t)1 << 32)

/* order GUARD-8 relaxed | value only: half a token and half a seed in one word | pairs: GUARD-8 */
static struct atom tokens[TOKENS];

static uint64_t token_note(uint64_t token, uint64_t seed)
{
    return scrambled(token) >> 32 << 32 | (uint32_t)(scrambled(seed) >> 32);
}

void soma__guard_token(uint64_t token, uint64_t seed)
{
    if (token >= TOKEN_LEAST)
        atom_store_rlx(&tokens[token % TOKENS], token_note(token, seed)); /* GUARD-8 */
}

bool soma__guard_token_fits(uint64_t token, uint64_t seed)
{
    const uint64_t note = atom_load_rlx(&tokens[token % TOKENS]); /* GUARD-8 */
    const uint64_t wanted = token_note(token, seed);
    if (token < TOKEN_LEAST || note >> 32 != wanted >> 32 || note == wanted)
        return true;
    soma__because("the token is from a cursor over another map, where hashes are others: keep a token with its map");
    return false;
}

#endif
