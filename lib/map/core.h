/* SPDX-License-Identifier: ISC */
/* core.h - what both kinds of map are made of: the header of the map's reservation, counting, reclamation of entries,
 * and the calls that do not look at keys. */
#ifndef SOMA_MAP_CORE_H
#define SOMA_MAP_CORE_H

#include <stddef.h>
#include <stdint.h>

#include <soma/options.h>
#include <soma/publish.h>
#include <soma/status.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "base/probe.h"
#include "base/size.h"
#include "base/tally.h"
#include "dir/dir.h"
#include "hash/hash.h"
#include "order/order.h"
#include "rcu/rcu.h"
#include "stamp/stamp.h"

/* Counters are striped by thread, so that counting does not move one line between cores. So many are in the first page; */
#define CORE_STRIPES TALLY_STRIPES
/* a table with 2^this buckets gets others, as many as there are processors if those are more, */
#define CORE_WIDE_LOG2 SIZED(12, 2)
/* but no more than this: the mask of a thread's number fits in the bits of an address that are 0. */
#define CORE_WIDE_MOST APART

/* Insertions and removals of a stripe between shares of growth. */
#define CORE_HELP_PERIOD SIZED(8, 2)
/* A thread's sections with updates, of any map, from one that sees to a map whatever it has done to it to the next, on average,
 * log2: */
#define CORE_IDLE_LOG2 SIZED(8, 2)
/* and where there is something to do. */
#define CORE_BUSY_LOG2 SIZED(4, 1)
/* A thread's shares of growth between looks for a grace period, without which homes stay empty. */
#define CORE_LOOK_PERIOD SIZED(64, 1)
/* Small tables look each time they help: they grow within a few insertions. */
#define CORE_SMALL_LOG2 12

/* What a value may stand for in the cap: sums of two stay sums. */
#define CORE_VALUE_BYTES_MOST (UINT64_MAX / 4)

/* An array so long is a mistake, and its length in bytes would overflow. */
#define CORE_MANY_MAX (SIZE_MAX / 64)
/* Many lookups or puts share a read section, but no section is longer than this. */
#define CORE_SECTION 1024
/* So many memory accesses are under way at a time in the byte map's calls for many keys; for the word map's see u64.c. */
#define CORE_FLIGHT 16

/* Log2 of the buckets to a mark (stamp/marks.h): more marks take more memory, fewer of them let more unchanged entries be
 * looked at. */
#define CORE_MARK_BUCKETS_LOG2 SIZED(2, 1)

/* The options that both kinds of map share. */
struct core_options {
    uint64_t reserve;
    unsigned flags;
    uint64_t deferred_bytes_max;
    uint64_t stall_ns;
    soma_stall_fn stall;
    void *ctx;
    unsigned load_percent;
    const uint64_t *digest_key; /* both halves */
};

/* What load_percent may be. */
#define CORE_LOAD_LEAST 25
#define CORE_LOAD_MOST 1000

struct core_shape;

struct stripe {
    struct atom count ALIGNED(APART); /* insertions minus removals, modulo 2^64 */
    struct atom lanes[2];             /* digests of what came minus those of what went, if the map keeps them */
    struct atom run;                  /* buckets that its threads are to set up: see dir.c */
    struct soma__tally tally;         /* what is rare; only in the first page */
};

_Static_assert(sizeof(struct stripe) == APART, "a stripe's rare events are in its own line");

/* The header of a map. It outlives the map's buckets by the memory that still waits for readers. */
struct core {
    struct soma__dir dir; /* first: the buckets stand at a fixed distance behind it */

    union {
        struct soma__mix mix;
        struct {
            uint64_t key[2];
            uint64_t mask; /* all ones; tests make hashes collide with less */
        } sip;
    } hash ALIGNED(64); /* constant */

    struct atom counting;          /* the stripes in use: see core_stripe(); written once, when the map gets others */
    struct soma__clock clock;      /* views; written when one opens or closes */
    const struct core_shape *kind; /* constant */
    struct {
        struct atom wanted; /* how many views have closed */
        struct atom done;   /* how many of them have had their dead versions let go */
        struct atom goal;   /* what will be done when the present sweep ends */
        struct atom at;     /* it has come to this hash; 0: none is under way */
        struct atom kept;   /* the latest death of a version that was left in the list for a view, so far */
    } sweep;

    struct soma_cell base; /* digests of its parts, for views: struct soma__base, or NULL (sums.h) */

    union {
        void (*word)(uint64_t value, void *ctx);
        void (*bytes)(const void *value, size_t len, void *ctx);
    } value_retire; /* constant; either may be NULL */

    union {
        uint64_t (*word)(uint64_t value, void *ctx);
        uint64_t (*bytes)(const void *value, size_t len, void *ctx);
    } value_bytes; /* constant; likewise; asked only where values are retired */

    struct soma__owner owner ALIGNED(APART);
    unsigned flags;
    uint64_t digest_key[2];
    uint64_t stall_ns;
    soma_stall_fn stall;
    void *ctx;
    struct atom stall_told; /* the last grace period that was reported */

    struct stripe stripes[CORE_STRIPES];
};

_Static_assert(sizeof(struct core) <= DIR_HEADER_LEAST, "the header fits before the buckets");

/* What a kind of map is. */
struct core_shape {
    struct soma__shape dir;
    /* Frees one retired item. */
    void (*release)(struct soma__owner *owner, uint64_t a, uint64_t b);
    /* What an entry outside of the table takes. */
    uint64_t (*entry_bytes)(const struct soma__node *node);
    /* Frees an entry that is still linked, with its edge, when the map goes. */
    void (*release_linked)(struct soma__owner *owner, struct soma__node *node, uint64_t edge);
    /* For version.h. A version like this entry, with this second word; only its stamps and successor are missing. NULL: no
     * memory. Frees one that was never linked. Walks to an entry's key, which takes out all that is deleted on the way. */
    struct soma__node *(*dead_copy)(const struct core *core, const struct soma__node *node, uint64_t second);
    void (*drop)(const struct core *core, struct soma__node *node);
    bool (*walk_past)(struct core *core, struct soma__reader *self, const struct soma__node *node);
    /* FNV-1a 64 over an entry that has this second word: see digest.h. */
    uint64_t (*fnv)(const struct core *core, const struct soma__node *node, uint64_t second);
    bool words; /* or byte strings */
};

/* Makes a map but for its hash and value_retire, which the caller sets. Statuses as soma_u64_new(). */
enum soma_status core_new(const struct core_options *options, const struct core_shape *shape, struct core **out);
void core_free(struct core *core);

enum soma_status core_clear(struct core *core);
uint64_t core_count(const struct core *core);
enum soma_status core_reserve(struct core *core, uint64_t n);
enum soma_status core_shrink(struct core *core);

/* Notes that a version with this death stays in the list for now.
 * order CORE-5 relaxed | value only: who closes a view the while may see it too late, and leaves the version to the next sweep | pairs: CORE-5 */
ALWAYS_INLINE void core_version_kept(struct core *core, uint64_t death)
{
    uint64_t kept = atom_load_rlx(&core->sweep.kept);                      /* CORE-5 */
    while (kept < death && !atom_cas_rlx(&core->sweep.kept, &kept, death)) /* CORE-5 */
        ;
}

/* After the view with this number has closed: its dead versions can go. Some go now, others with later updates, or
 * core_shrink(). */
void core_view_closed(struct core *core, uint64_t at);

ALWAYS_INLINE struct core *core_of_owner(struct soma__owner *owner)
{
    return (struct core *)(void *)((char *)owner - offsetof(struct core, owner));
}

ALWAYS_INLINE const struct core *core_of_dir(const struct soma__dir *dir)
{
    return (const struct core *)(const void *)dir;
}

/* ---- Stripes ----
 *
 * The word `counting` is the address of the stripes in use and, in its lowest bits, how many they are, less one. It first leads to
 * those in the first page; once, if ever, to others. Both are summed up.
 * Whoever has counted in the others has read the word that leads to them; so does everybody who comes after that count, since
 * nobody reads an older word than one that was read before. A sum that misses the others misses only changes that
 * are under way beside it, as it may miss those in a stripe that it has just read. */

/* order CORE-7 acquire | guarded by: counting, which leads to stripes that are all 0 | pairs: CORE-8 */
ALWAYS_INLINE uint64_t core_counting(const struct core *core)
{
    return atom_load_acq(&core->counting);
}

/* How many stripes such a word leads to, and the first. */
ALWAYS_INLINE uint64_t core_stripes_of(uint64_t counting)
{
    return counting % CORE_WIDE_MOST + 1;
}

ALWAYS_INLINE struct stripe *core_stripes_at(uint64_t counting)
{
    return (struct stripe *)(uintptr_t)(counting & ~(uint64_t)(CORE_WIDE_MOST - 1));
}

/* A thread's. */
ALWAYS_INLINE struct stripe *core_stripe(const struct core *core, const struct soma__reader *self)
{
    const uint64_t counting = core_counting(core);
    return core_stripes_at(counting) + (self->index & (core_stripes_of(counting) - 1));
}

/* The stripes in use, if they are not those in the first page; else NULL. */
ALWAYS_INLINE struct stripe *core_stripes_wide(const struct core *core, uint64_t counting)
{
    struct stripe *stripes = core_stripes_at(counting);
    return stripes == core->stripes ? NULL : stripes;
}

/* What they take. */
ALWAYS_INLINE uint64_t core_wide_bytes(const struct core *core)
{
    const uint64_t counting = core_counting(core);
    return core_stripes_wide(core, counting) ? core_stripes_of(counting) * sizeof(struct stripe) : 0;
}

/* Counts one insertion (by = 1) or removal (by = -1), and now and then does a share of growth or shrinking. */
void core_tend(struct core *core, struct soma__reader *self, uint64_t changes);

/* order CORE-1 relaxed | value only, no data behind it | pairs: CORE-1 */
ALWAYS_INLINE void core_counted(struct core *core, struct soma__reader *self, uint64_t by)
{
    const uint64_t count = atom_add_rlx(&core_stripe(core, self)->count, by) + by;
    if (UNLIKELY(count % CORE_HELP_PERIOD == 0))
        core_tend(core, self, count);
}

/* A number that nobody else gets, never 0: threads take them from a shared counter by the block. */
uint64_t core_ticket_slow(struct soma__reader *self);

ALWAYS_INLINE uint64_t core_ticket(struct soma__reader *self)
{
    return LIKELY(self->tickets[0] < self->tickets[1]) ? self->tickets[0]++ : core_ticket_slow(self);
}

/* Log2 of the marks that the map should have. */
ALWAYS_INLINE unsigned core_marks_log2(const struct core *core)
{
    const unsigned m = dir_m(soma__dir_state(&core->dir));
    return m > CORE_MARK_BUCKETS_LOG2 ? m - CORE_MARK_BUCKETS_LOG2 : 0;
}

/* Whether updates have to keep the map's digest. */
ALWAYS_INLINE bool core_digests(const struct core *core)
{
    return UNLIKELY((core->flags & SOMA_DIGEST) != 0);
}

/* Adds to a map's digest what came minus what went, under a key with this hash. Inside the section in which it has.
 * order CORE-6 relaxed | value only, no data behind it | pairs: CORE-6 */
ALWAYS_INLINE void core_digest_change(struct core *core, const struct soma__reader *self, uint64_t hash,
                                      const uint64_t change[2])
{
    struct stripe *stripe = core_stripe(core, self);
    for (int i = 0; i < 2; i++)
        atom_add_rlx(&stripe->lanes[i], change[i]); /* CORE-6 */
    soma__clock_changed(&core->clock, hash);
}

/* An update starts again. */
ALWAYS_INLINE void core_again(struct core *core, const struct soma__reader *self, uint64_t hash)
{
    SOMA_PROBE2(update_retry, core, hash);
    (void)hash;
    soma__tally_count(&core->stripes[0].tally, self->index, EVENT_RETRY);
}

/* What an update leaves behind, outside its section: released memory, a stall reported; neither while the thread holds work
 * back. */
void core_left(struct core *core, struct soma__reader *self);

/* The end of an update's section, where there is more to do than to end it. */
void core_exit_slow(struct core *core, struct soma__section section);

/* Now and then it sees to the map. The count alone would not do: a removal takes back what an insertion has counted, and a new value
 * counts nothing, but a table on its way down, and versions that wait for a sweep, may have no other updates to wait for. The spare
 * record always has something due, so nobody counts there. */
ALWAYS_INLINE void core_exit(struct core *core, struct soma__section section)
{
    struct soma__reader *self = section.self;
    if (LIKELY(self->due == DUE_NOTHING && --self->rest >= 0))
        soma__section_close(section);
    else
        core_exit_slow(core, section);
}

/* The same after so many updates. */
ALWAYS_INLINE void core_exit_many(struct core *core, struct soma__section section, size_t n)
{
    if (section.self != &soma__reader_spare)
        section.self->rest -= (int64_t)n;
    core_exit(core, section);
}

/* What an attempt at an update answers when another update got in the way. Never leaves the map. */
#define CORE_AGAIN ((enum soma_status)100)

/* After an update that failed for want of memory or at the cap, outside its section: whether to try again. `tries`
 * counts, and starts at 0. */
bool core_retry(struct core *core, enum soma_status status, unsigned *tries);

#endif
