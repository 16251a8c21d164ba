/* SPDX-License-Identifier: ISC */
/* sums.c - see sums.h. */
#include "map/sums.h"

#include <soma/publish.h>

#include "map/scan.h"
#include "mem/mem.h"

/* Log2 of the buckets to a stretch. */
#define STRETCH_BUCKETS_LOG2 SIZED(4, 1)
/* If more than one stretch of so many has changed, a new base is made. */
#define CHANGED_PART 16

struct soma__base {
    struct atom refs;
    uint64_t at;               /* the number of the view whose digests these are */
    unsigned log2;             /* of the stretches */
    size_t size;               /* bytes of all this */
    struct soma_digest sums[]; /* of what stands before each stretch, and behind the last */
};

/* Before the stretch behind this one there is so much more than in the base. */
struct change {
    uint64_t stretch;
    struct soma_digest sum;
};

struct soma__sums {
    struct soma__base *base;
    struct change *changes; /* by stretch */
    uint64_t count;
    uint64_t cap;
};

/* ---- Digests ---- */

static struct soma_digest more(struct soma_digest a, struct soma_digest b)
{
    return soma_digest_combine(&a, &b);
}

/* ---- Going through entries ---- */

/* What is summed up, and where: in sums[0] for hashes below 2^shift, in sums[1] for the next as many, and so on. */
struct adding {
    struct soma_digest *sums;
    uint64_t first;
    unsigned shift;
    bool digests;
};

/* One section's worth; kind is known at compile time. */
ALWAYS_INLINE void add_some(struct core *core, enum soma__kind kind, struct soma__scan *scan, uint64_t at,
                            const struct adding *adding)
{
    const struct soma__node *node;
    soma__scan_enter(core, kind, scan);
    while ((node = soma__scan_next(core, kind, scan, at))) {
        struct soma_digest *sum = &adding->sums[(scan->hash - adding->first) >> 1 >> adding->shift];
        sum->count++;
        if (adding->digests)
            soma__digest_add(core->digest_key, core->kind->fnv(core, node, scan->word), 1, sum->lane);
    }
}

static void add_all(struct core *core, uint64_t at, uint64_t last, const struct adding *adding)
{
    struct soma__scan scan;
    soma__scan_init(&scan, adding->first, last);
    while (!scan.ended) {
        const struct soma__section section = soma__section_enter();
        if (core->kind->words)
            add_some(core, KIND_WORDS, &scan, at, adding);
        else
            add_some(core, KIND_BYTES, &scan, at, adding);
        soma__section_exit(section);
    }
}

struct soma_digest soma__sum_range(struct core *core, uint64_t at, uint64_t first, uint64_t last, bool digests)
{
    struct soma_digest sum = {.count = 0};
    const struct adding adding = {.sums = &sum, .first = first, .shift = 63, .digests = digests};
    add_all(core, at, last, &adding);
    return sum;
}

/* ---- Bases ---- */

/* The stretch that a hash is in. */
static uint64_t stretch_of(const struct soma__base *base, uint64_t hash)
{
    return hash >> 1 >> (63 - base->log2);
}

static uint64_t stretches(const struct soma__base *base)
{
    return UINT64_C(1) << base->log2;
}

/* The first hash of a stretch; of the one behind the last, 0. */
static uint64_t stretch_first(const struct soma__base *base, uint64_t stretch)
{
    return stretch << 1 << (63 - base->log2);
}

/* To what is added to sums[i], the i-th stretch from this one on. */
static void add_stretches(struct core *core, const struct soma__base *base, uint64_t at, uint64_t from, uint64_t to,
                          struct soma_digest *sums)
{
    const struct adding adding = {
        .sums = sums, .first = stretch_first(base, from), .shift = 63 - base->log2, .digests = true};
    add_all(core, at, stretch_first(base, to + 1) - 1, &adding);
}

/* order SUMS-1 acqrel | guards: the base, which the last to let it go has freed after all reads of it | pairs: SUMS-1
 * A map holds its newest base, and lets go of it a grace period after that was replaced; so within a section it may be
 * taken hold of without a look. */
static void base_hold(struct soma__base *base)
{
    atom_add_rlx(&base->refs, 1); /* SUMS-1: its holder has it */
}

static void base_drop(void *arg)
{
    struct soma__base *base = arg;
    if (base && atom_sub_acqrel(&base->refs, 1) == 1) /* SUMS-1 */
        soma__range_free(base, base->size);
}

/* A base made by going through the whole map, held by the caller. NULL: no memory. */
static struct soma__base *base_new(struct core *core, uint64_t at, unsigned log2)
{
    const size_t size = sizeof(struct soma__base) + (((size_t)1 << log2) + 1) * sizeof(struct soma_digest);
    struct soma__base *base = soma__range_reserve(size);
    if (!base)
        return NULL;
    if (!soma__range_commit((char *)base, (char *)base + size)) {
        soma__range_free(base, size);
        return NULL;
    }
    atom_store_rlx(&base->refs, 1); /* SUMS-1: not yet shared */
    base->at = at;
    base->log2 = log2;
    base->size = size;
    add_stretches(core, base, at, 0, stretches(base) - 1, &base->sums[1]);
    for (uint64_t i = 0; i < stretches(base); i++)
        base->sums[i + 1] = more(base->sums[i + 1], base->sums[i]);
    return base;
}

/* The map's newest, held by the caller; or NULL. */
static struct soma__base *base_of(const struct core *core)
{
    const struct soma__section section = soma__section_enter();
    struct soma__base *base = soma_cell_read(&core->base);
    if (base)
        base_hold(base);
    soma__section_exit(section);
    return base;
}

/* If it cannot be kept, the next view makes its own. */
static void base_keep(struct core *core, struct soma__base *base)
{
    base_hold(base);
    if (soma_cell_publish(&core->base, base, base_drop) != SOMA_OK)
        base_drop(base);
}

void soma__sums_fini(struct core *core)
{
    soma_cell_fini(&core->base, base_drop);
}

/* ---- Changes ---- */

/* What stands in this stretch by the base. */
static struct soma_digest base_stretch(const struct soma__base *base, uint64_t stretch)
{
    return soma__digest_less(base->sums[stretch + 1], base->sums[stretch]);
}

static bool changes_grow(struct soma__sums *sums, uint64_t more_of_them)
{
    uint64_t cap = sums->cap ? sums->cap : 16;
    while (cap < sums->count + more_of_them)
        cap *= 2;
    struct change *changes = sums->changes;
    changes =
        soma__mem_grow(changes, sums->cap * sizeof *changes, sums->count * sizeof *changes, cap * sizeof *changes);
    if (!changes)
        return false;
    sums->changes = changes;
    sums->cap = cap;
    return true;
}

/* Adds the changes in these stretches. False: no memory. */
static bool changes_add(struct core *core, uint64_t at, struct soma__sums *sums, uint64_t from, uint64_t to)
{
    const struct soma__base *base = sums->base;
    if (sums->cap - sums->count < to - from + 1 && !changes_grow(sums, to - from + 1))
        return false;
    for (uint64_t stretch = from; stretch <= to; stretch++) {
        struct soma_digest now = {.count = 0};
        add_stretches(core, base, at, stretch, stretch, &now);
        const struct soma_digest before =
            sums->count > 0 ? sums->changes[sums->count - 1].sum : (struct soma_digest){.count = 0};
        const struct soma_digest changed = soma__digest_less(now, base_stretch(base, stretch));
        sums->changes[sums->count++] = (struct change){.stretch = stretch, .sum = more(before, changed)};
    }
    return true;
}

/* All changes since the base. False: they are too many, or there is no memory. */
static bool changes_find(struct core *core, uint64_t at, struct soma__sums *sums)
{
    const struct soma__base *base = sums->base;
    uint64_t first = 0;
    uint64_t last = 0;
    while (soma__clock_changed_next(&core->clock, base->at, &first, &last)) {
        const uint64_t from = stretch_of(base, first);
        const uint64_t to = stretch_of(base, last);
        if (sums->count + (to - from) >= stretches(base) / CHANGED_PART || !changes_add(core, at, sums, from, to))
            return false;
        first = stretch_first(base, to + 1);
        if (first == 0)
            break;
    }
    return true;
}

/* ---- Sums ---- */

static unsigned log2_wanted(const struct core *core)
{
    const unsigned m = dir_m(soma__dir_state(&core->dir));
    return m > STRETCH_BUCKETS_LOG2 ? m - STRETCH_BUCKETS_LOG2 : 0;
}

/* Whether the map's base is good for this view. */
static bool is_of_use(const struct soma__base *base, uint64_t at, unsigned log2)
{
    return base && base->at <= at && base->log2 + 1 >= log2 && base->log2 <= log2 + 1;
}

/* Gives the sums a base, and finds what has changed since. */
static bool find(struct core *core, uint64_t at, struct soma__sums *sums)
{
    const unsigned log2 = log2_wanted(core);
    sums->base = base_of(core);
    if (is_of_use(sums->base, at, log2) && changes_find(core, at, sums))
        return true;
    sums->count = 0;
    const uint64_t known = sums->base ? sums->base->at : 0;
    base_drop(sums->base);
    sums->base = log2 > 0 ? base_new(core, at, log2) : NULL;
    if (sums->base && known <= at)
        base_keep(core, sums->base);
    return sums->base != NULL;
}

struct soma__sums *soma__sums_new(struct core *core, uint64_t at)
{
    struct soma__sums *sums = soma__mem_alloc(sizeof *sums);
    if (!sums)
        return NULL;
    *sums = (struct soma__sums){.base = NULL};
    if (!find(core, at, sums)) {
        soma__sums_free(sums);
        return NULL;
    }
    return sums;
}

void soma__sums_free(struct soma__sums *sums)
{
    base_drop(sums->base);
    if (sums->changes)
        soma__mem_free(sums->changes, sums->cap * sizeof *sums->changes);
    soma__mem_free(sums, sizeof *sums);
}

/* All changes in stretches below this one, summed up. */
static struct soma_digest changed_below(const struct soma__sums *sums, uint64_t stretch)
{
    uint64_t low = 0;
    uint64_t high = sums->count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (sums->changes[middle].stretch < stretch)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? sums->changes[low - 1].sum : (struct soma_digest){.count = 0};
}

static struct soma_digest all_below(const struct soma__sums *sums, uint64_t stretch)
{
    return more(sums->base->sums[stretch], changed_below(sums, stretch));
}

bool soma__sums_divide(const struct soma__sums *sums, unsigned bits)
{
    return bits <= sums->base->log2;
}

struct soma_digest soma__sums_of(const struct soma__sums *sums, unsigned bits, uint64_t prefix)
{
    const unsigned below = sums->base->log2 - bits;
    return soma__digest_less(all_below(sums, (prefix + 1) << below), all_below(sums, prefix << below));
}
