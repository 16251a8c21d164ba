/* SPDX-License-Identifier: ISC */
/* What unchecked passes over. */
#include <soma/soma.h>

uint64_t checked(soma_u64 *map, soma_map *names)
{
    uint64_t value = 0;
    uint64_t other;
    if (soma_u64_put(map, 1, 1, NULL) < 0)
        return 0;
    (void)soma_map_put_new(names, "k", 1, "v", 1, NULL);
    const enum soma_status status = soma_u64_reserve(map, 1000);
    soma_u64_get(map, 2, &value);
    if (soma_u64_get(map, 3, &other) == SOMA_OK)
        value += other;
    soma_u64_free(map);
    return status == SOMA_OK ? value : 0;
}
