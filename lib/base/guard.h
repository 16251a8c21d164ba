/* SPDX-License-Identifier: ISC */
/* guard.h - debug builds remember every handle that a program has been given: what it is, what it stands on, whether it
 * lives. So a call that is given a freed map, a view as a cursor, or a cursor whose map is gone says so, and does not touch
 * what it points to. Other builds only ask whether the handle is NULL. */
#ifndef SOMA_BASE_GUARD_H
#define SOMA_BASE_GUARD_H

#include "base/check.h"

/* What a handle is. */
enum soma__what {
    WHAT_WORDS = 1, /* a word map */
    WHAT_BYTES,     /* a byte map */
    WHAT_MAP,       /* asked for only: either */
    WHAT_VIEW,
    WHAT_CURSOR,
    WHAT_FROZEN,
    WHAT_PATCH,
    WHAT_SYNC
};

#if HAVE_GUARD

/* The handle lives from now on, and needs another, or NULL, to live as long. */
void soma__guard_new(const void *handle, enum soma__what what, const void *on);

/* Whether a call may use the handle; if not, the thread has a reason, unless the handle is NULL. */
bool soma__guard_lives(const void *handle, enum soma__what what);

/* The same, and complains, unless the handle is NULL. */
bool soma__guard_lives_or_says(const void *handle, enum soma__what what, const char *where);

/* Whether a call may change the map; not inside a callback that only looks. */
bool soma__guard_writes(const void *handle, enum soma__what what);

/* How many such callbacks the thread is in. */
extern __thread unsigned soma__updating __attribute__((tls_model("initial-exec")));

/* The map in whose call the thread is in a function of the program's, or NULL. */
extern __thread const void *soma__called_by __attribute__((tls_model("initial-exec")));

/* Ends the handle's life. False: it must not be freed, as it is none, or, as complained, others still stand on it. */
bool soma__guard_ends(const void *handle, enum soma__what what, const char *where);

/* Frees memory, but late, so that no new handle gets the address of one that has just been closed. */
void soma__guard_bury(void *memory, size_t size, void (*release)(void *memory, size_t size));

/* A call that has a handle to itself, as calls on cursors have; or not, and then as soma__guard_lives(). */
struct soma__turn {
    void *slot;
    bool had;
};

struct soma__turn soma__guard_turn(const void *handle, enum soma__what what);
void soma__guard_turn_over(const struct soma__turn *turn);

/* Tells where a token is from, and whether this one is from a map with another seed. */
void soma__guard_token(uint64_t token, uint64_t seed);
bool soma__guard_token_fits(uint64_t token, uint64_t seed);

#define LIVES(handle, what) soma__guard_lives((handle), (what))
#define WRITES(handle, what) soma__guard_writes((handle), (what))
#define ENDS(handle, what) soma__guard_ends((handle), (what), __func__)
/* Of calls that take NULL for nothing. */
#define LIVES_OR_SAYS(handle, what) soma__guard_lives_or_says((handle), (what), __func__)
#define BORN(handle, what, on) soma__guard_new((handle), (what), (on))
#define BURY(memory, size, release) soma__guard_bury((memory), (size), (release))
/* The rest of the block is one turn. */
#define TURN(handle, what)                                                                                             \
    __attribute__((cleanup(soma__guard_turn_over))) const struct soma__turn turn = soma__guard_turn((handle), (what))
#define HAS_TURN(handle) (turn.had)

#else

#define LIVES(handle, what) ((handle) != NULL)
#define WRITES(handle, what) ((handle) != NULL)
#define ENDS(handle, what) true
#define LIVES_OR_SAYS(handle, what) ((handle) != NULL)
#define BORN(handle, what, on) ((void)0)
#define BURY(memory, size, release) (release)((memory), (size))
#define TURN(handle, what) ((void)0)
#define HAS_TURN(handle) ((handle) != NULL)

#endif

#endif
