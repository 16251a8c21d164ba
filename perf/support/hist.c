/* SPDX-License-Identifier: ISC */
#include "support/hist.h"

void hist_merge(struct hist *into, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->longest > into->longest)
        into->longest = from->longest;
}

uint64_t hist_bucket_top(unsigned bucket)
{
    if (bucket < 2u << HIST_PARTS_LOG2)
        return bucket;
    const unsigned shift = (bucket >> HIST_PARTS_LOG2) - 1;
    const uint64_t part = bucket - (shift << HIST_PARTS_LOG2);
    return ((part + 1) << shift) - 1;
}

uint64_t hist_above(const struct hist *hist, unsigned bucket)
{
    uint64_t above = 0;
    for (unsigned i = bucket + 1; i < HIST_BUCKETS; i++)
        above += hist->counts[i];
    return above;
}

uint64_t hist_at(const struct hist *hist, double fraction)
{
    const double wanted = fraction * (double)hist->total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen > 0 && (double)seen >= wanted)
            return hist_bucket_top(i) < hist->longest ? hist_bucket_top(i) : hist->longest;
    }
    return hist->longest;
}
