/* SPDX-License-Identifier: ISC */
/* core.c - maps without their keys: birth and death, counting, clearing, what to do at the cap. */
#include "map/core.h"

#include <soma/digest.h>

#include "map/sums.h"
#include "map/version.h"
#include "map/word.h"
#include "mem/mem.h"

/* ---- Birth and death ---- */

static void free_page(void *dir, size_t size)
{
    (void)size;
    soma__dir_free_page(dir);
}

static void core_gone(struct soma__owner *owner)
{
    BURY(&core_of_owner(owner)->dir, 0, free_page);
}

static enum soma_status flags_check(unsigned flags)
{
    if (flags &
        ~(unsigned)(SOMA_DIGEST | SOMA_DIGEST_KEYLESS | SOMA_DIGEST_STRONG | SOMA_WAIT_AT_LIMIT | SOMA_HUGE_PAGES)) {
        MISUSE("options.flags has an unknown bit");
        return SOMA_E_INVALID;
    }
    return (flags & SOMA_DIGEST_STRONG) != 0 ? soma__strong_status() : SOMA_OK;
}

static void digest_init(struct core *core, const struct core_options *options)
{
    if ((options->flags & (SOMA_DIGEST | SOMA_DIGEST_STRONG)) == 0 || (options->flags & SOMA_DIGEST_KEYLESS) != 0)
        return;
    core->digest_key[0] = options->digest_key[0];
    core->digest_key[1] = options->digest_key[1];
    if (core->digest_key[0] == 0 && core->digest_key[1] == 0)
        soma__seed_random(core->digest_key);
}

/* ---- Stripes ---- */

/* order CORE-8 release | guards: the stripes, which are all 0 | pairs: CORE-7
 * weaker: who counts in them does so before they are there. */
static bool counting_swap(struct core *core, uint64_t from, uint64_t to)
{
    return atom_cas_rel(&core->counting, &from, to);
}

static void stripes_free(const struct core *core, uint64_t counting)
{
    struct stripe *wide = core_stripes_wide(core, counting);
    if (wide)
        soma__range_free(wide, core_stripes_of(counting) * sizeof *wide);
}

/* After growth: more stripes for a large map, unless it has them. Without memory it goes on with those it has, until it
 * grows again. */
static void widen(struct core *core)
{
    const uint64_t counting = core_counting(core);
    if (dir_m(soma__dir_state(&core->dir)) < CORE_WIDE_LOG2 || core_stripes_wide(core, counting))
        return;
    const uint64_t processors = soma__mem_processors();
    const uint64_t wanted = UINT64_C(1) << bits_log2_ceil(processors);
    const uint64_t count = wanted < CORE_WIDE_MOST ? wanted : CORE_WIDE_MOST;
    const size_t size = count * sizeof(struct stripe);
    if (count <= CORE_STRIPES)
        return;
    char *wide = soma__range_reserve(size);
    if (!wide)
        return;
    if (!soma__range_commit(wide, wide + size) || !counting_swap(core, counting, (uintptr_t)wide | (count - 1)))
        soma__range_free(wide, size);
}

enum soma_status core_new(const struct core_options *options, const struct core_shape *shape, struct core **out)
{
    const unsigned load = options->load_percent ? options->load_percent : shape->dir.load;
    enum soma_status known = flags_check(options->flags);
    if (load < CORE_LOAD_LEAST || load > CORE_LOAD_MOST) {
        MISUSE("options.load_percent is neither 0 nor from 25 to 1000");
        known = SOMA_E_INVALID;
    }
    if (known != SOMA_OK)
        return known;
    struct soma__dir *dir = soma__dir_new(shape->dir.cell_log2, (options->flags & SOMA_HUGE_PAGES) != 0);
    if (!dir)
        return SOMA_E_NOMEM;
    struct core *core = (struct core *)(void *)dir;
    soma__dir_init(dir, &shape->dir);
    atom_store_rlx(&core->counting, (uintptr_t)core->stripes | (CORE_STRIPES - 1)); /* CORE-8: not yet shared */
    dir->shape.list.owner = &core->owner;
    dir->shape.list.tally = &core->stripes[0].tally;
    dir->shape.load = load;
    soma__owner_init(&core->owner,
                     options->deferred_bytes_max ? options->deferred_bytes_max : SOMA_DEFERRED_BYTES_DEFAULT);
    core->owner.release = shape->release;
    core->owner.of = core;
    core->kind = shape;
    core->owner.gone = core_gone;
    core->flags = options->flags;
    digest_init(core, options);
    core->stall = options->stall;
    core->stall_ns = options->stall_ns ? options->stall_ns : SOMA_STALL_NS_DEFAULT;
    core->ctx = options->ctx;
    if (options->reserve > 0) {
        if (soma__dir_reserve(dir, options->reserve) != SOMA_OK) {
            core_free(core);
            return SOMA_E_NOMEM;
        }
        widen(core);
    }
    *out = core;
    return SOMA_OK;
}

/* Entries that are frozen but still linked are nobody's yet (O4), so what is linked is all to be released. */
void core_free(struct core *core)
{
    uint64_t edge = soma__edge_read(soma__dir_bucket_at(&core->dir, 0));
    while (soma__edge_onward(edge) != EDGE_END) {
        if (edge & EDGE_BUCKET) {
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        struct soma__node *node = soma__edge_node(edge);
        edge = soma__edge_read(&node->edge);
        core->kind->release_linked(&core->owner, node, edge);
    }
    soma__sums_fini(core);
    stripes_free(core, core_counting(core));
    soma__clock_fini(&core->clock);
    soma__dir_free_buckets(&core->dir);
    soma__owner_drop(&core->owner);
}

/* ---- Counting ---- */

uint64_t core_count(const struct core *core)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < CORE_STRIPES; i++)
        count += atom_load_rlx(&core->stripes[i].count); /* CORE-1 */
    const uint64_t counting = core_counting(core);
    const struct stripe *wide = core_stripes_wide(core, counting);
    for (unsigned i = 0; wide && i < core_stripes_of(counting); i++)
        count += atom_load_rlx(&wide[i].count); /* CORE-1 */
    /* Read one after the other, so a removal may be seen without its insertion. */
    return (int64_t)count > 0 ? count : 0;
}

#define TICKETS SIZED(1 << 16, 2)

/* order CORE-4 relaxed | value only, no data behind it | pairs: CORE-4 */
uint64_t core_ticket_slow(struct soma__reader *self)
{
    static struct atom given;
    if (self == &soma__reader_spare)
        return atom_add_rlx(&given, 1) + 1;
    const uint64_t first = atom_add_rlx(&given, TICKETS) + 1;
    self->tickets[0] = first + 1;
    self->tickets[1] = first + TICKETS;
    return first;
}

/* Homes rest until grace periods pass, but wait in no chunk, whose closing would see to that, and to stalls. */
static void look_for_grace(struct soma__reader *self)
{
    if (self == &soma__reader_spare || self->tended % CORE_LOOK_PERIOD != 0)
        return;
    soma__grace_poll(soma__grace_cookie_near());
    if (self->due == DUE_NOTHING)
        self->due = DUE_AGAIN;
}

/* ---- Digests ---- */

static void add_lanes(const struct stripe *stripes, uint64_t count, struct soma_digest *sum)
{
    for (uint64_t i = 0; i < count; i++) {
        sum->lane[0] += atom_load_rlx(&stripes[i].lanes[0]); /* CORE-6 */
        sum->lane[1] += atom_load_rlx(&stripes[i].lanes[1]); /* CORE-6 */
    }
}

static enum soma_status digest(const struct core *core, struct soma_digest *out)
{
    if (!LIVES(core, WHAT_MAP) || !out) {
        MISUSE("map or out is NULL");
        return SOMA_E_INVALID;
    }
    if (!core_digests(core))
        return SOMA_E_UNSUPPORTED;
    *out = (struct soma_digest){.count = core_count(core)};
    add_lanes(core->stripes, CORE_STRIPES, out);
    const uint64_t counting = core_counting(core);
    const struct stripe *wide = core_stripes_wide(core, counting);
    if (wide)
        add_lanes(wide, core_stripes_of(counting), out);
    return SOMA_OK;
}

enum soma_status soma_u64_digest(const soma_u64 *map, struct soma_digest *out)
{
    CALL();
    return digest((const struct core *)map, out);
}

enum soma_status soma_map_digest(const soma_map *map, struct soma_digest *out)
{
    CALL();
    return digest((const struct core *)map, out);
}

/* ---- Changes ---- */

static enum soma_status change_token(struct core *core, uint64_t *token)
{
    if (!LIVES(core, WHAT_MAP) || !token) {
        MISUSE("map or token is NULL");
        return SOMA_E_INVALID;
    }
    if (!core_digests(core))
        return SOMA_E_UNSUPPORTED;
    uint64_t taken;
    if (!soma__clock_token(&core->clock, core_marks_log2(core), &taken))
        return SOMA_E_NOMEM;
    *token = taken;
    return SOMA_OK;
}

static enum soma_status changed_since(const struct core *core, uint64_t token, unsigned bits, uint64_t prefix,
                                      bool *changed)
{
    if (!LIVES(core, WHAT_MAP) || !changed || !soma__prefix_ok(bits, prefix)) {
        MISUSE("map or changed is NULL, or prefix has more than bits, or than 64, bits");
        return SOMA_E_INVALID;
    }
    if (!core_digests(core))
        return SOMA_E_UNSUPPORTED;
    *changed =
        soma__clock_changed_any(&core->clock, token, soma__prefix_first(bits, prefix), soma__prefix_last(bits, prefix));
    return SOMA_OK;
}

enum soma_status soma_u64_change_token(soma_u64 *map, uint64_t *token)
{
    CALL();
    return change_token((struct core *)map, token);
}

enum soma_status soma_map_change_token(soma_map *map, uint64_t *token)
{
    CALL();
    return change_token((struct core *)map, token);
}

enum soma_status soma_u64_changed_since(const soma_u64 *map, uint64_t token, unsigned bits, uint64_t prefix,
                                        bool *changed)
{
    CALL();
    return changed_since((const struct core *)map, token, bits, prefix, changed);
}

enum soma_status soma_map_changed_since(const soma_map *map, uint64_t token, unsigned bits, uint64_t prefix,
                                        bool *changed)
{
    CALL();
    return changed_since((const struct core *)map, token, bits, prefix, changed);
}

/* ---- Letting dead versions go that were kept for a view ---- */

/* Entries that one share of a sweep passes; shares that the closing of a view does itself. */
#define SWEEP_ENTRIES SIZED(64, 2)
#define SWEEP_AT_ONCE SIZED(16, 1)

/* order CORE-3 relaxed | value only: a sweep that two threads or none do leaves something for the next | pairs: CORE-3 */
static bool sweep_pending(const struct core *core)
{
    return UNLIKELY(atom_load_rlx(&core->sweep.done) != atom_load_rlx(&core->sweep.wanted)); /* CORE-3 */
}

static bool leads_to_marked(uint64_t word)
{
    return (word & EDGE_BUCKET) == 0 && (soma__edge_read(&soma__edge_node(word)->edge) & EDGE_TENTATIVE) != 0;
}

/* Walks on from a hash past some entries, as updates do, which takes out every dead version that no view needs. Where it
 * has come to, or 0: to the end. */
static uint64_t sweep_from(struct core *core, struct soma__reader *self, uint64_t hash)
{
    const struct soma__dir *dir = &core->dir;
    for (int i = 0; i < SWEEP_ENTRIES; i++) {
        struct soma__place place;
        place.prev = soma__dir_bucket_near(dir, dir->shape.cell_log2, hash, &place.word);
        const enum soma_status status =
            soma__dir_walk(dir, dir->shape.cell_log2, self, hash, NULL, soma__before_word, &place);
        if (status == SOMA_CHANGED)
            continue;
        if (status != SOMA_OK)
            return hash | 1; /* no room to retire: from here again */
        if (soma__edge_onward(place.word) == EDGE_END)
            return 0;
        const uint64_t from = hash;
        if (place.word & EDGE_BUCKET)
            hash = soma__bucket_position(soma__dir_bucket_index(dir, soma__edge_bucket(place.word)));
        else
            hash = soma__hash_read(soma__edge_node(place.word));
        /* A dead version that stays may have others behind it that do not: they are passed on the way to their own hash. */
        const bool again = hash != from && leads_to_marked(place.word);
        hash += again ? 0 : 1;
        if (hash == 0)
            return 0;
    }
    return hash;
}

/* Whether this, or another thread at the same time, got anywhere. */
static bool sweep_some(struct core *core, struct soma__reader *self)
{
    const uint64_t wanted = atom_load_rlx(&core->sweep.wanted); /* CORE-3 */
    uint64_t at = atom_load_rlx(&core->sweep.at);               /* CORE-3 */
    const bool first = at == 0;
    const uint64_t next = sweep_from(core, self, at);
    const bool moved = next != at;
    if (!atom_cas_rlx(&core->sweep.at, &at, next)) /* CORE-3 */
        return true;
    if (first)
        atom_store_rlx(&core->sweep.goal, wanted); /* CORE-3 */
    if (next == 0)
        atom_store_rlx(&core->sweep.done, atom_load_rlx(&core->sweep.goal)); /* CORE-3 */
    return moved || next == 0;
}

static bool sweep_share(struct core *core)
{
    const struct soma__section section = soma__section_enter();
    const bool moved = sweep_some(core, section.self);
    core_exit(core, section);
    return moved;
}

void core_view_closed(struct core *core, uint64_t at)
{
    if (atom_load_rlx(&core->sweep.kept) <= at) /* CORE-5: no version has died since */
        return;
    atom_add_rlx(&core->sweep.wanted, 1); /* CORE-3 */
    for (int i = 0; i < SWEEP_AT_ONCE && sweep_pending(core); i++)
        sweep_share(core);
}

/* Where there is no room to retire, what is left waits for the next sweep. */
static void sweep_all(struct core *core)
{
    if (atom_load_rlx(&core->sweep.kept) == 0) /* CORE-5 */
        return;
    const uint64_t wanted = atom_add_rlx(&core->sweep.wanted, 1) + 1;                                     /* CORE-3 */
    for (int idle = 0; idle < SWEEP_AT_ONCE && (int64_t)(wanted - atom_load_rlx(&core->sweep.done)) > 0;) /* CORE-3 */
        idle = sweep_share(core) ? 0 : idle + 1;
}

/* What the table is to have room for. Dead versions, which nobody counts, stand in the buckets, too: as long as there may be
 * any, it does not shrink. */
static uint64_t count_to_fit(const struct core *core)
{
    const uint64_t count = core_count(core);
    const uint64_t room = dir_entries(&core->dir, dir_m(soma__dir_state(&core->dir)));
    return count < room && (soma__clock_runs(&core->clock) || sweep_pending(core)) ? room : count;
}

/* Whether it is a thread's turn to look at the table's size. With twice the stripes a look costs twice as much, and each
 * takes its turn half as often: a stripe is read as often as ever. The turns of stripes that go on together come one after
 * the other. Where some of them stand still, theirs are missed: so a table that has not much room for each stripe is looked at
 * more often, or those that go on would have filled it several times over before the first of them looks. */
static bool fit_turn(const struct core *core, const struct soma__reader *self, uint64_t changes)
{
    const uint64_t stripes = core_stripes_of(core_counting(core));
    const uint64_t room = dir_entries(&core->dir, dir_m(soma__dir_state(&core->dir)));
    uint64_t turns = stripes;
    while (turns > 1 && turns * stripes * CORE_HELP_PERIOD > room)
        turns /= 2;
    return ((changes / CORE_HELP_PERIOD + self->index) & (turns - 1)) == 0;
}

void core_tend(struct core *core, struct soma__reader *self, uint64_t changes)
{
    const bool small = dir_m(soma__dir_state(&core->dir)) < CORE_SMALL_LOG2;
    if (self != &soma__reader_spare)
        self->tended++;
    if ((small || fit_turn(core, self, changes)) && soma__dir_fit(&core->dir, count_to_fit(core)))
        widen(core);
    if (core->dir.shape.fill)
        look_for_grace(self);
    soma__dir_help(&core->dir, self, &core_stripe(core, self)->run);
    if (sweep_pending(core))
        sweep_some(core, self);
}

/* ---- Reclamation ---- */

/* order CORE-2 relaxed | value only: two threads may race to report, the swap lets one | pairs: CORE-2 */
static bool stall_is_new(struct core *core, uint64_t grace)
{
    uint64_t told = atom_load_rlx(&core->stall_told);                     /* CORE-2 */
    return told < grace && atom_cas_rlx(&core->stall_told, &told, grace); /* CORE-2 */
}

static void report_stall(struct core *core)
{
    const struct soma__stall seen = soma__grace_stall();
    if (seen.waited_ns < core->stall_ns || !stall_is_new(core, seen.grace))
        return;
    const struct soma_stall stall = {.waited_ns = seen.waited_ns,
                                     .deferred_bytes = soma__owner_deferred(&core->owner),
                                     .reader_thread = seen.thread};
    SOMA_PROBE3(stall, stall.waited_ns, stall.reader_thread, core);
    soma__tally_count(&core->stripes[0].tally, 0, EVENT_STALL);
    if (!core->stall)
        return;
    CALLOUT_OF_STALL_BEGINS(core);
    core->stall(&stall, core->ctx);
    CALLOUT_ENDS("soma_*_options.stall");
}

void core_left(struct core *core, struct soma__reader *self)
{
    soma__section_work(self);
    if (!soma__work_held())
        report_stall(core);
}

/* Sees to a map. How long the thread rests then is told by the numbers of its section and of its shares of growth, mixed, from half
 * to one and a half times as long as on average: in whatever rhythm a program goes through its maps, none of them is left out.
 * What an update has been refused is still what it wants when it tries again. */
static void upkeep(struct core *core, struct soma__reader *self)
{
    const bool busy = sweep_pending(core) || dir_phase(soma__dir_state(&core->dir)) != DIR_STEADY;
    const unsigned log2 = busy ? CORE_BUSY_LOG2 : CORE_IDLE_LOG2;
    const uint64_t mixed = (soma__section_number(self) + self->tended) * UINT64_C(0x9E3779B97F4A7C15);
    const uint64_t wanted = self->wanted;
    if (self != &soma__reader_spare)
        self->rest = ((int64_t)1 << (log2 - 1)) + (int64_t)(mixed >> (64 - log2));
    core_tend(core, self, mixed);
    if (self != &soma__reader_spare)
        self->wanted = wanted;
}

void core_exit_slow(struct core *core, struct soma__section section)
{
    struct soma__reader *self = section.self;
    if (self->due != DUE_NOTHING && self != &soma__reader_spare)
        self->rest--;
    if (self->rest < 0)
        upkeep(core, self);
    if (soma__section_end(section))
        core_left(core, self);
}

/* Tries at the cap. Each lets some chunks go if their readers have left; if eight in a row do not help, some reader is
 * in the way, and the caller is told. */
#define LIMIT_TRIES SIZED(8, 2)

bool core_retry(struct core *core, enum soma_status status, unsigned *tries)
{
    if (LIKELY(status != SOMA_E_LIMIT))
        return false;
    SOMA_PROBE1(at_limit, core);
    soma__tally_count(&core->stripes[0].tally, 0, EVENT_LIMIT);
    soma__grace_poll(soma__grace_cookie()); /* inside the caller's own section nobody else might */
    report_stall(core);
    const bool wait = MAY_WAIT((core->flags & SOMA_WAIT_AT_LIMIT) != 0, *tries == 0);
    if (!wait && ++*tries > LIMIT_TRIES)
        return false;
    return soma__retire_relieve(&core->owner, wait);
}

/* ---- Clearing ---- */

/* Entries removed, and sentinels passed, in one section. */
#define CLEAR_ENTRIES SIZED(64, 2)
#define CLEAR_HOPS SIZED(1024, 2)

static void cleared(struct core *core, struct soma__reader *self, const struct soma__node *node, uint64_t second)
{
    if (core_digests(core)) {
        uint64_t change[2] = {0, 0};
        soma__digest_add(core->digest_key, core->kind->fnv(core, node, second), (uint64_t)-1, change);
        core_digest_change(core, self, soma__hash_read(node), change);
    }
    core_counted(core, self, (uint64_t)-1);
}

/* While views are open: removes a live entry. SOMA_EXISTS: it was a dead version that is needed, and the place is behind it. */
static enum soma_status clear_version(struct core *core, struct soma__reader *self, struct soma__place *place)
{
    struct soma__node *node = soma__edge_node(place->word);
    for (;;) {
        const uint64_t second = atom_load_acq(&node->second); /* WORD-2, BYTES-2 */
        const uint64_t edge = soma__edge_read(&node->edge);
        if (edge & EDGE_FROZEN)
            return SOMA_CHANGED;
        if (edge & EDGE_TENTATIVE) {
            place->prev = &node->edge;
            place->word = edge;
            return SOMA_EXISTS;
        }
        const enum soma_status status = soma__version_remove(core, self, place, edge, second);
        if (status == SOMA_OK)
            cleared(core, self, node, second);
        if (status != CORE_AGAIN)
            return status;
    }
}

/* Freezes the entry that the place leads to and takes it out. SOMA_OK: gone, the place leads past it. SOMA_EXISTS: it stays
 * for a view, the place is behind it. SOMA_CHANGED: the place's predecessor has changed. */
static enum soma_status clear_entry(struct core *core, struct soma__reader *self, struct soma__place *place)
{
    const struct soma__list *list = &core->dir.shape.list;
    struct soma__node *node = soma__edge_node(place->word);
    uint64_t edge = soma__edge_read(&node->edge);
    if ((edge & (EDGE_FROZEN | EDGE_TENTATIVE)) == EDGE_TENTATIVE)
        list->settle(list, self, node, &edge);
    if ((edge & EDGE_FROZEN) == 0 && ((edge & EDGE_TENTATIVE) != 0 || soma__clock_runs(&core->clock)))
        return clear_version(core, self, place);
    while ((edge & EDGE_FROZEN) == 0) {
        const enum soma_status room = soma__order_room(list, self, node, edge);
        if (room != SOMA_OK)
            return room;
        const uint64_t frozen = soma__edge_onward(edge) | EDGE_FROZEN;
        if (soma__edge_swap(&node->edge, &edge, frozen)) {
            edge = frozen;
            cleared(core, self, node, atom_load_acq(&node->second)); /* WORD-2, BYTES-2 */
        }
    }
    /* The value that went may stand for more than the one that room was made for: then it waits, frozen, for more room. */
    return soma__order_unlink(list, self, place->prev, &place->word, edge);
}

/* Clears on from the hash *position until the section is long enough: some entries are gone, or the position has moved on.
 * SOMA_END: the list is clear. */
static enum soma_status clear_some(struct core *core, struct soma__reader *self, uint64_t *position)
{
    const struct soma__dir *dir = &core->dir;
    const unsigned cell_log2 = dir->shape.cell_log2;
    const uint64_t from = *position;
    struct soma__place place = {.prev = soma__dir_bucket(&core->dir, cell_log2, self, from)};
    const enum soma_status walked = soma__dir_walk(dir, cell_log2, self, from, NULL, soma__before_hash, &place);
    if (walked != SOMA_OK)
        return walked < 0 ? walked : SOMA_OK;
    for (int entries = 0, hops = 0; entries < CLEAR_ENTRIES && (hops < CLEAR_HOPS || *position == from);) {
        if (place.word & EDGE_FROZEN)
            return SOMA_OK;
        if (soma__edge_onward(place.word) == EDGE_END)
            return SOMA_END;
        if (place.word & EDGE_BUCKET) {
            *position = soma__bucket_position(soma__dir_bucket_index(dir, soma__edge_bucket(place.word)));
            hops++;
            if (!soma__order_step_bucket(&dir->shape.list, self, &place))
                return SOMA_OK;
            continue;
        }
        const uint64_t hash = soma__hash_read(soma__edge_node(place.word));
        const enum soma_status status = clear_entry(core, self, &place);
        if (status < 0)
            return status;
        if (status == SOMA_EXISTS) {
            *position = hash;
            hops++;
        } else {
            entries++;
        }
    }
    return SOMA_OK;
}

enum soma_status core_clear(struct core *core)
{
    uint64_t position = 0;
    unsigned tries = 0;
    for (;;) {
        const struct soma__section section = soma__section_enter();
        const enum soma_status status = clear_some(core, section.self, &position);
        core_exit(core, section);
        if (status == SOMA_END)
            return SOMA_OK;
        if (status == SOMA_OK)
            tries = 0;
        else if (!core_retry(core, status, &tries))
            return status;
    }
}

/* ---- Size ---- */

enum soma_status core_reserve(struct core *core, uint64_t n)
{
    if (n == 0) {
        MISUSE("n is 0");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = soma__dir_reserve(&core->dir, n);
    if (status == SOMA_OK)
        widen(core);
    core_exit(core, section);
    return status;
}

/* At most the load afterwards, which is where growth would start. */
#define SHRINK_NOW_QUARTERS 4
/* Readers that are passing by let a grace period end within a few polls; one that stays does not. */
#define SHRINK_IDLE_POLLS SIZED(64, 4)

enum soma_status core_shrink(struct core *core)
{
    soma__dir_unreserve(&core->dir);
    sweep_all(core);
    for (int idle = 0; idle < SHRINK_IDLE_POLLS;) {
        const struct soma__section section = soma__section_enter();
        const bool started = soma__dir_shrink_start(&core->dir, count_to_fit(core), SHRINK_NOW_QUARTERS);
        const bool moved = soma__dir_shrink_step(&core->dir, section.self);
        const uint64_t state = soma__dir_state(&core->dir);
        core_exit(core, section);
        if (!started && !moved && dir_phase(state) == DIR_STEADY)
            return SOMA_OK;
        idle = moved ? 0 : idle + 1;
        soma__grace_poll(dir_cookie(state));
    }
    return SOMA_OK;
}
