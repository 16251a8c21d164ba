/* SPDX-License-Identifier: ISC */
/* What check-then-act passes over. */
#include <soma/soma.h>

enum soma_status put_if_absent(soma_u64 *map, uint64_t key)
{
    return soma_u64_put_new(map, key, 1, NULL);
}

enum soma_status copy(soma_u64 *from, soma_u64 *to, uint64_t key)
{
    uint64_t value;
    if (soma_u64_get(from, key, &value) == SOMA_OK)
        return soma_u64_put(to, key, value, NULL);
    return SOMA_ABSENT;
}

enum soma_status other_key(soma_u64 *map, uint64_t a, uint64_t b)
{
    uint64_t value;
    if (soma_u64_get(map, a, &value) != SOMA_OK)
        return SOMA_ABSENT;
    return soma_u64_put(map, b, value, NULL);
}

enum soma_status swap_if_same(soma_u64 *map, uint64_t key)
{
    uint64_t value;
    uint64_t actual;
    if (soma_u64_get(map, key, &value) != SOMA_OK)
        return SOMA_ABSENT;
    return soma_u64_cas(map, key, value, value * 2, &actual);
}

enum soma_status by_version(soma_map *map, const char *name, size_t len)
{
    char buf[64];
    uint64_t version = 0;
    (void)soma_map_get_version(map, name, len, buf, sizeof buf, NULL, &version);
    return soma_map_cas_version(map, name, len, version, "new", 3, &version);
}

enum soma_status look_and_put(soma_u64 *map, uint64_t key, uint64_t *before)
{
    const enum soma_status status = soma_u64_put(map, key, 1, NULL);
    if (status < 0)
        return status;
    return soma_u64_get(map, key, before);
}
