/* SPDX-License-Identifier: ISC */
/* ledger.h - who stored which value, and who got it back. Values are unique numbers below `size`. Every value that was
 * stored must come back exactly once as somebody's old value, or be there at the end; and be retired exactly once. This
 * is what a put with a wrong old value, a lost insertion or a resurrected entry breaks. */
#ifndef SOMA_TESTS_LEDGER_H
#define SOMA_TESTS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ledger {
    uint64_t size;
    atomic_uchar *stored;
    atomic_uchar *returned;
    atomic_uchar *retired;
    uint64_t *keys; /* under which key a value is stored; written before it is */
};

void ledger_init(struct ledger *ledger, uint64_t size);
void ledger_fini(struct ledger *ledger);

void ledger_stored(struct ledger *ledger, uint64_t value);
/* It came out of the map for good, from this key. */
void ledger_returned(struct ledger *ledger, uint64_t value, uint64_t key);
void ledger_retired(uint64_t value, void *ledger);
/* It was seen under this key and stays. */
void ledger_seen(const struct ledger *ledger, uint64_t value, uint64_t key);

/* At rest, all that is left returned. With `taken` set, some values may have gone without being returned. */
void ledger_audit_returned(const struct ledger *ledger, bool taken);
/* At rest, the map freed. */
void ledger_audit_retired(const struct ledger *ledger);

#endif
