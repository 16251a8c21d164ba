/* SPDX-License-Identifier: ISC */
/* views.c - accounts among which threads move money, and an auditor who counts it while they go on. A transfer takes the sum
 * out of one account, then puts it into another; so what is there at any one instant is all the money but for the transfers
 * under way, one a thread at the most. Views are of one instant: what they hold never is outside of these bounds.
 * docs/views.md tells the story. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <soma/soma.h>

#define ACCOUNTS UINT64_C(1000)
#define EACH UINT64_C(100) /* in an account, in the beginning */
#define SUM UINT64_C(10)   /* of a transfer */
#define TELLERS 3
#define AUDITS 100

static soma_u64 *accounts;
static atomic_bool closing;

static enum soma_status take_out(uint64_t account, bool present, uint64_t *money, void *ctx)
{
    (void)account, (void)ctx;
    if (!present || *money < SUM)
        return SOMA_EXISTS; /* leave it as it is */
    *money -= SUM;
    return SOMA_OK;
}

static void *teller(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&closing)) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        const uint64_t from = (random >> 33) % ACCOUNTS;
        const uint64_t to = (random >> 43) % ACCOUNTS;
        if (soma_u64_update(accounts, from, take_out, NULL) != SOMA_REPLACED)
            continue;
        while (soma_u64_fetch_add(accounts, to, SUM, NULL) < 0)
            ; /* no memory for the moment: the money must not be lost */
    }
    return NULL;
}

/* All the money at one instant. */
static uint64_t audit(const soma_view *view)
{
    soma_cursor *cursor;
    uint64_t money;
    uint64_t all = 0;
    if (soma_cursor_open_view(view, &cursor) != SOMA_OK)
        return 0;
    while (soma_cursor_next_u64(cursor, NULL, &money) == SOMA_OK)
        all += money;
    soma_cursor_close(cursor);
    return all;
}

int main(void)
{
    pthread_t tellers[TELLERS];
    soma_view *opening;
    unsigned wrong = 0;
    if (soma_u64_new(NULL, &accounts) != SOMA_OK)
        return 1;
    for (uint64_t account = 0; account < ACCOUNTS; account++)
        (void)soma_u64_put(accounts, account, EACH, NULL);
    if (soma_u64_view_open(accounts, &opening) != SOMA_OK) /* kept until the evening */
        return 1;
    for (uintptr_t t = 0; t < TELLERS; t++)
        pthread_create(&tellers[t], NULL, teller, (void *)(t + 1));

    for (int n = 0; n < AUDITS; n++) {
        soma_view *view;
        if (soma_u64_view_open(accounts, &view) != SOMA_OK)
            return 1;
        const uint64_t all = audit(view);
        wrong += all > ACCOUNTS * EACH || all + TELLERS * SUM < ACCOUNTS * EACH || all != audit(view);
        wrong += soma_view_count(view) != ACCOUNTS;
        soma_view_close(view);
    }

    atomic_store(&closing, true);
    for (int t = 0; t < TELLERS; t++)
        pthread_join(tellers[t], NULL);
    uint64_t first;
    wrong += soma_view_get_u64(opening, 0, &first) != SOMA_OK || first != EACH;
    printf("%d audits, %u wrong; in the morning %" PRIu64 "\n", AUDITS, wrong, audit(opening));
    wrong += audit(opening) != ACCOUNTS * EACH;
    soma_view_close(opening);
    soma_u64_free(accounts);
    return wrong ? 1 : 0;
}
