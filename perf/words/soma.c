/* SPDX-License-Identifier: ISC */
/* soma.c - Soma's byte map; a count is a value of eight bytes, raised by soma_map_fetch_add(). */
#include <soma/soma.h>

#include "support/fail.h"
#include "words/counter.h"

static void *create(void)
{
    soma_map *map = NULL;
    const enum soma_status status = soma_map_new(NULL, &map);
    if (status != SOMA_OK)
        fail("soma: %s", soma_status_text(status));
    return map;
}

static void nothing(void) {}

static void add(void *map, const struct key *key)
{
    const enum soma_status status = soma_map_fetch_add(map, key->text, key->len, 1, NULL);
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

static uint64_t get(void *map, const struct key *key)
{
    uint64_t count = 0;
    size_t len = 0;
    soma_map_get_copy(map, key->text, key->len, &count, sizeof count, &len);
    return count;
}

static uint64_t distinct(void *map)
{
    return soma_map_count_approx(map);
}

const struct counter_ops counter_soma = {
    .name = "soma",
    .about = "soma_map, made empty with default options; soma_map_fetch_add(). Its hash is keyed (SipHash-1-3)",
    .colour = 0,
    .create = create,
    .thread_enter = nothing,
    .thread_leave = nothing,
    .quiescent = nothing,
    .add = add,
    .get = get,
    .distinct = distinct,
    .settle = soma_barrier_wait,
};
