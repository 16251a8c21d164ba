/* SPDX-License-Identifier: ISC */
/* strong.c - strong digests of views: a cursor fetches the entries, in short sections; they are hashed outside of them. */
#include <soma/cursor.h>
#include <soma/strong.h>

#include "base/check.h"
#include "base/guard.h"
#include "hash/hash.h"
#include "map/core.h"
#include "view/view.h"

static enum soma_status add_words(soma_cursor *cursor, const uint64_t digest_key[2], struct soma_digest_strong *sum)
{
    uint64_t key;
    uint64_t value;
    for (; soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK; sum->count++)
        soma__strong_add_words(digest_key, key, value, sum->lane);
    return SOMA_OK;
}

static enum soma_status add_bytes(soma_cursor *cursor, const uint64_t digest_key[2], struct soma_digest_strong *sum)
{
    struct soma_bytes key;
    struct soma_bytes value;
    enum soma_status status;
    for (; (status = soma_cursor_next_ref(cursor, &key, &value)) == SOMA_OK; sum->count++)
        soma__strong_add_bytes(digest_key, key.data, key.len, value.data, value.len, sum->lane);
    return status == SOMA_END ? SOMA_OK : status;
}

enum soma_status soma_view_digest_strong(const soma_view *view, struct soma_digest_strong *out)
{
    if (!LIVES(view, WHAT_VIEW) || !out) {
        MISUSE("view or out is NULL");
        return SOMA_E_INVALID;
    }
    const struct core *core = view->core;
    if ((core->flags & SOMA_DIGEST_STRONG) == 0)
        return SOMA_E_UNSUPPORTED;
    soma_cursor *cursor;
    enum soma_status status = soma_cursor_open_view(view, &cursor);
    if (status != SOMA_OK)
        return status;
    struct soma_digest_strong sum = {.count = 0};
    status = core->kind->words ? add_words(cursor, core->digest_key, &sum) : add_bytes(cursor, core->digest_key, &sum);
    soma_cursor_close(cursor);
    if (status == SOMA_OK)
        *out = sum;
    return status;
}
