/* SPDX-License-Identifier: ISC */
/* What check-then-act finds. */
#include <soma/soma.h>

void put_if_absent(soma_u64 *map, uint64_t key)
{
    uint64_t value;
    if (soma_u64_get(map, key, &value) != SOMA_OK)
        (void)soma_u64_put(map, key, 1, NULL); /* finds: check-then-act */
}

void count(soma_u64 *map, uint64_t key)
{
    uint64_t value = 0;
    if (soma_u64_get(map, key, &value) == SOMA_OK) {
        (void)soma_u64_put(map, key, value + 1, NULL); /* finds: check-then-act */
    } else {
        (void)soma_u64_put(map, key, 1, NULL); /* finds: check-then-act */
    }
}

void count_in_two(soma_u64 *map, uint64_t key)
{
    uint64_t value = 0;
    (void)soma_u64_get(map, key, &value);
    value++;
    (void)soma_u64_put(map, key, value, NULL); /* finds: check-then-act */
}

void by_way_of_status(soma_map *map, const char *name, size_t len)
{
    char buf[64];
    enum soma_status status = soma_map_get_copy(map, name, len, buf, sizeof buf, NULL);
    if (status == SOMA_ABSENT)
        (void)soma_map_put(map, name, len, "new", 3, NULL); /* finds: check-then-act */
}

enum soma_status early_return(soma_map *map, const char *name, size_t len)
{
    if (soma_map_get_ref(map, name, len, NULL) == SOMA_OK)
        return SOMA_EXISTS;
    return soma_map_put(map, name, len, "new", 3, NULL); /* finds: check-then-act */
}

void remove_if_old(soma_u64 *map, uint64_t key, uint64_t limit)
{
    uint64_t value = 0;
    if (soma_u64_get(map, key, &value) == SOMA_OK && value < limit)
        (void)soma_u64_remove(map, key, NULL); /* finds: check-then-act */
}
