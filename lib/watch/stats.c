/* SPDX-License-Identifier: ISC */
/* stats.c - what a map is doing. What is rare it has counted (base/tally.h); the rest is looked at here, when somebody asks: the
 * list by way of a sample of buckets, a few in each section. */
#include <soma/stats.h>

#include "map/map_internal.h"
#include "map/word.h"

/* Buckets in the sample, and in one section. */
#define SAMPLE SIZED(1024, 8)
#define SAMPLE_BLOCK SIZED(64, 2)
/* Nodes passed in one chain, in one section (but for the last chain's), and in all. */
#define CHAIN_MOST SIZED(4096, 8)
#define SECTION_MOST SIZED(4096, 8)
#define STEPS_MOST (UINT64_C(16) * SECTION_MOST)

/* What the sample has found so far. */
struct sample {
    struct soma_stats *stats;
    uint64_t dead;  /* versions that are kept for views, or not swept up yet */
    uint64_t bytes; /* of entries outside of the table */
    uint64_t steps;
};

/* ---- Chains ---- */

/* Whether it counts towards its chain's length. */
static bool look_at(const struct core *core, const struct soma__node *node, uint64_t edge, struct sample *sample)
{
    if (edge & EDGE_FROZEN)
        return false;
    if (!soma__is_home(&core->dir, node))
        sample->bytes += core->kind->entry_bytes(node);
    if (soma__node_dead(node)) {
        sample->dead++;
        return false;
    }
    return true;
}

static void look_at_chain(const struct core *core, uint64_t edge, struct sample *sample)
{
    struct soma_stats *stats = sample->stats;
    uint64_t length = 0;
    for (unsigned passed = 0; (edge & EDGE_BUCKET) == 0 && passed < CHAIN_MOST; passed++) {
        const struct soma__node *node = soma__edge_node(edge);
        edge = soma__edge_read(&node->edge);
        length += look_at(core, node, edge, sample);
        sample->steps++;
    }
    stats->chain_buckets++;
    stats->chain_entries += length;
    stats->chain_lengths[length < SOMA_STATS_CHAINS ? length : SOMA_STATS_CHAINS - 1]++;
    if (length > stats->chain_longest)
        stats->chain_longest = length;
}

/* Looks at buckets from one number of the sample on, for one section; where the next goes on. */
static uint64_t look_at_block(const struct core *core, uint64_t number, struct sample *sample)
{
    const uint64_t most = sample->steps + SECTION_MOST;
    const struct soma__section section = soma__section_enter();
    const uint64_t buckets = UINT64_C(1) << dir_m(soma__dir_state(&core->dir));
    const uint64_t wanted = buckets < SAMPLE ? buckets : SAMPLE;
    const uint64_t end = number + SAMPLE_BLOCK < wanted ? number + SAMPLE_BLOCK : wanted;
    for (; number < end && sample->steps < most; number++) {
        const uint64_t edge = soma__edge_read(soma__dir_bucket_at(&core->dir, buckets / wanted * number));
        if (soma__edge_starts(edge))
            look_at_chain(core, edge, sample);
        else
            sample->stats->chain_unready++;
    }
    soma__section_exit(section);
    return number < wanted ? number : SAMPLE;
}

/* What the sample's share of something says about all of it. */
static uint64_t scaled(uint64_t part, uint64_t all, uint64_t seen)
{
    return seen ? (uint64_t)((double)part / (double)seen * (double)all) : 0;
}

static void look_at_list(const struct core *core, struct soma_stats *stats)
{
    struct sample sample = {.stats = stats};
    for (uint64_t number = 0; number < SAMPLE && sample.steps < STEPS_MOST;)
        number = look_at_block(core, number, &sample);
    /* Versions take memory like entries; where a sample has found only them, they stand for all. */
    const uint64_t all = stats->entries ? stats->entries : sample.dead;
    const uint64_t seen = stats->chain_entries ? stats->chain_entries : sample.dead;
    stats->old_versions = scaled(sample.dead, all, seen);
    stats->entries_bytes = scaled(sample.bytes, all, seen);
}

/* ---- The rest ---- */

static void look_at_size(const struct core *core, struct soma_stats *stats)
{
    const unsigned m = dir_m(soma__dir_state(&core->dir));
    stats->entries = core_count(core);
    stats->buckets = UINT64_C(1) << m;
    stats->load_percent = scaled(100, stats->entries, stats->buckets);
    stats->load_percent_max = core->dir.shape.load;
    const unsigned cell_log2 = core->dir.shape.cell_log2;
    stats->table_bytes = dir_header_bytes(cell_log2) + (stats->buckets << cell_log2) + core_wide_bytes(core);
    stats->deferred_bytes = soma__owner_deferred(&core->owner);
    stats->deferred_bytes_max = core->owner.deferred_max;
    stats->views = soma__clock_views(&core->clock);
}

static void add_counted(const struct core *core, struct soma_stats *stats)
{
    const struct soma__tally *tally = &core->stripes[0].tally;
    stats->grows = soma__tally_sum(tally, EVENT_GROW);
    stats->shrinks = soma__tally_sum(tally, EVENT_SHRINK);
    stats->retries = soma__tally_sum(tally, EVENT_RETRY);
    stats->helps_link = soma__tally_sum(tally, EVENT_HELP_LINK);
    stats->helps_unlink = soma__tally_sum(tally, EVENT_HELP_UNLINK);
    stats->helps_bucket = soma__tally_sum(tally, EVENT_HELP_BUCKET);
    stats->helps_grow = soma__tally_sum(tally, EVENT_HELP_GROW);
    stats->limits = soma__tally_sum(tally, EVENT_LIMIT);
    stats->stalls = soma__tally_sum(tally, EVENT_STALL);
}

static void look_at_grace(struct soma_stats *stats)
{
    soma__grace_poll(soma__grace_cookie());
    const struct soma__stall stall = soma__grace_stall();
    const struct soma__grace_past past = soma__grace_past();
    stats->grace_periods = past.passed;
    stats->grace_longest_ns = past.longest_ns;
    stats->grace_wait_ns = stall.waited_ns;
    stats->reader_thread = stall.waited_ns ? stall.thread : 0;
}

/* struct_size 0 stands for this release's fields. */
static bool out_known(const struct soma_stats *out)
{
    return out && (out->struct_size == 0 || out->struct_size == sizeof *out);
}

static enum soma_status stats_of(const struct core *core, struct soma_stats *out)
{
    if (!core || !out_known(out)) {
        MISUSE("map or out is NULL, or out->struct_size is of no known release");
        return SOMA_E_INVALID;
    }
    struct soma_stats stats = {.struct_size = out->struct_size};
    look_at_grace(&stats);
    look_at_size(core, &stats);
    add_counted(core, &stats);
    look_at_list(core, &stats);
    *out = stats;
    return SOMA_OK;
}

enum soma_status soma_u64_stats(const soma_u64 *map, struct soma_stats *out)
{
    CALL();
    return stats_of(map ? &map->core : NULL, out);
}

enum soma_status soma_map_stats(const soma_map *map, struct soma_stats *out)
{
    CALL();
    return stats_of(map ? &map->core : NULL, out);
}

enum soma_status soma_process_stats(struct soma_stats *out)
{
    if (!out_known(out)) {
        MISUSE("out is NULL, or out->struct_size is of no known release");
        return SOMA_E_INVALID;
    }
    *out = (struct soma_stats){.struct_size = out->struct_size};
    look_at_grace(out);
    return SOMA_OK;
}
