/* SPDX-License-Identifier: ISC */
/* What borrowed finds. */
#include <soma/soma.h>
#include <stdio.h>

struct user {
    const char *name;
    struct soma_bytes bytes;
};

static const char *last_name;

void after_exit(soma_map *map)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) != SOMA_OK) {
        soma_read_exit();
        return;
    }
    soma_read_exit();
    printf("%.*s\n", (int)value.len, (const char *)value.data); /* finds: borrowed */
}

void old_after_exit(soma_map *map)
{
    struct soma_bytes old;
    soma_read_enter();
    const enum soma_status status = soma_map_put(map, "k", 1, "v", 1, &old);
    soma_read_exit();
    if (status == SOMA_REPLACED)
        fwrite(old.data, 1, old.len, stdout); /* finds: borrowed */
}

const char *returned(soma_map *map)
{
    struct soma_bytes value;
    if (soma_map_get_ref(map, "k", 1, &value) != SOMA_OK)
        return NULL;
    return value.data; /* finds: borrowed */
}

void stored(soma_map *map, struct user *user)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK)
        user->name = value.data; /* finds: borrowed */
    soma_read_exit();
}

void stored_whole(soma_map *map, struct user *user)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK)
        user->bytes = value; /* finds: borrowed */
    soma_read_exit();
}

void stored_global(soma_map *map)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK)
        last_name = value.data; /* finds: borrowed */
    soma_read_exit();
}

int object_after_exit(const struct soma_cell *cell)
{
    soma_read_enter();
    const int *object = soma_cell_read(cell);
    soma_read_exit();
    return *object; /* finds: borrowed */
}
