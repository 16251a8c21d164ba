/* SPDX-License-Identifier: ISC */
/* What unchecked finds. */
#include <soma/soma.h>

uint64_t unchecked(soma_u64 *map, soma_map *names)
{
    uint64_t value;
    soma_u64_put(map, 1, 1, NULL);                 /* finds: unchecked */
    soma_map_put_new(names, "k", 1, "v", 1, NULL); /* finds: unchecked */
    soma_u64_reserve(map, 1000);                   /* finds: unchecked */
    soma_u64_get(map, 2, &value);                  /* finds: unchecked */
    return value;
}

soma_u64 *made(void)
{
    soma_u64 *map = NULL;
    soma_u64_new(NULL, &map); /* finds: unchecked */
    return map;
}
