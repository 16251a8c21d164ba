/* SPDX-License-Identifier: ISC */
/* What borrowed passes over. */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

struct user {
    char name[64];
    size_t len;
};

void inside(soma_map *map)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK)
        printf("%.*s\n", (int)value.len, (const char *)value.data);
    soma_read_exit();
}

size_t length(soma_map *map)
{
    struct soma_bytes value;
    size_t len = 0;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK)
        len = value.len;
    soma_read_exit();
    return len;
}

void copied(soma_map *map, struct user *user)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK && value.len <= sizeof user->name) {
        memcpy(user->name, value.data, value.len);
        user->len = value.len;
    }
    soma_read_exit();
}

void twice(soma_map *map)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "a", 1, &value) == SOMA_OK)
        fwrite(value.data, 1, value.len, stdout);
    soma_read_exit();
    soma_read_enter();
    if (soma_map_get_ref(map, "b", 1, &value) == SOMA_OK)
        fwrite(value.data, 1, value.len, stdout);
    soma_read_exit();
}

void local(soma_map *map)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(map, "k", 1, &value) == SOMA_OK) {
        const char *text = value.data;
        puts(text);
    }
    soma_read_exit();
}

int object_inside(const struct soma_cell *cell)
{
    soma_read_enter();
    const int *object = soma_cell_read(cell);
    const int value = object ? *object : 0;
    soma_read_exit();
    return value;
}
