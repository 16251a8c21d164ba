/* SPDX-License-Identifier: ISC */
/* What walk-and-change passes over. */
#include <glib.h>
#include <soma/soma.h>
#include <stdlib.h>
#include <uthash.h>

void double_all(soma_u64 *map)
{
    soma_view *view = NULL;
    soma_cursor *cursor = NULL;
    uint64_t key;
    uint64_t value;
    if (soma_u64_view_open(map, &view) != SOMA_OK)
        return;
    if (soma_cursor_open_view(view, &cursor) == SOMA_OK) {
        while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
            (void)soma_u64_put(map, key * 2, value, NULL);
        soma_cursor_close(cursor);
    }
    soma_view_close(view);
}

void into_another(soma_u64 *map, soma_u64 *to)
{
    soma_cursor *cursor = NULL;
    uint64_t key;
    uint64_t value;
    if (soma_cursor_open_u64(map, &cursor) != SOMA_OK)
        return;
    while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK) {
        (void)soma_u64_put(to, key, value, NULL);
        (void)soma_u64_remove(map, key, NULL); /* allowed: what is gone is not given */
    }
    soma_cursor_close(cursor);
}

void drop_old(GHashTable *table, int limit)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (GPOINTER_TO_INT(value) < limit)
            g_hash_table_iter_remove(&iter);
    }
    g_hash_table_remove(table, NULL);
}

struct item {
    int id;
    UT_hash_handle hh;
};

void drop_all(struct item *items)
{
    struct item *e;
    struct item *tmp;
    HASH_ITER(hh, items, e, tmp) {
        HASH_DEL(items, e);
        free(e);
    }
}
