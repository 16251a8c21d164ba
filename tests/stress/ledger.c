/* SPDX-License-Identifier: ISC */
/* ledger.c - see ledger.h. */
#include <stdlib.h>

#include "ledger.h"
#include "support.h"

void ledger_init(struct ledger *ledger, uint64_t size)
{
    ledger->size = size;
    ledger->stored = need(size, sizeof *ledger->stored);
    ledger->returned = need(size, sizeof *ledger->returned);
    ledger->retired = need(size, sizeof *ledger->retired);
    ledger->keys = need(size, sizeof *ledger->keys);
}

void ledger_fini(struct ledger *ledger)
{
    free(ledger->stored);
    free(ledger->returned);
    free(ledger->retired);
    free(ledger->keys);
}

static void note(const struct ledger *ledger, atomic_uchar *column, uint64_t value)
{
    if (EXPECT(value < ledger->size))
        atomic_fetch_add_explicit(&column[value], 1, memory_order_relaxed);
}

void ledger_stored(struct ledger *ledger, uint64_t value)
{
    note(ledger, ledger->stored, value);
}

void ledger_seen(const struct ledger *ledger, uint64_t value, uint64_t key)
{
    if (EXPECT(value < ledger->size))
        EXPECT_EQ(ledger->keys[value], key);
}

void ledger_returned(struct ledger *ledger, uint64_t value, uint64_t key)
{
    ledger_seen(ledger, value, key);
    note(ledger, ledger->returned, value);
}

void ledger_retired(uint64_t value, void *ledger)
{
    struct ledger *self = ledger;
    note(self, self->retired, value);
}

void ledger_audit_returned(const struct ledger *ledger, bool taken)
{
    uint64_t stored = 0;
    for (uint64_t value = 0; value < ledger->size; value++) {
        const unsigned times = atomic_load(&ledger->stored[value]);
        const unsigned back = atomic_load(&ledger->returned[value]);
        EXPECT(times <= 1);
        EXPECT(back == times || (taken && back < times));
        stored += times;
    }
    verified(stored);
}

void ledger_audit_retired(const struct ledger *ledger)
{
    for (uint64_t value = 0; value < ledger->size; value++)
        EXPECT_EQ(atomic_load(&ledger->retired[value]), atomic_load(&ledger->stored[value]));
}
