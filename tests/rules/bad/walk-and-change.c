/* SPDX-License-Identifier: ISC */
/* What walk-and-change finds. */
#include <glib.h>
#include <soma/soma.h>
#include <stdlib.h>
#include <uthash.h>

void double_all(soma_u64 *map)
{
    soma_cursor *cursor = NULL;
    uint64_t key;
    uint64_t value;
    if (soma_cursor_open_u64(map, &cursor) != SOMA_OK)
        return;
    while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
        (void)soma_u64_put(map, key * 2, value, NULL); /* finds: walk-and-change */
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
            g_hash_table_remove(table, key); /* finds: walk-and-change */
    }
}

struct item {
    int id;
    UT_hash_handle hh;
};

void drop_all(struct item *items)
{
    struct item *e;
    for (e = items; e != NULL; e = e->hh.next) {
        HASH_DEL(items, e); /* finds: walk-and-change */
        free(e);
    }
}
