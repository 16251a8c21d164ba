/* SPDX-License-Identifier: ISC */
/* glib-names.c - a program of one thread that uses every name of GLib's that the header takes over. It is built twice, with and
 * without ORIGINAL, which changes one include line, and has to print the same. */
#include <stdio.h>
#include <stdlib.h>

#ifdef ORIGINAL
#include <glib.h>
#else
#define SOMA_COMPAT_GLIB_NAMES
#include <soma/compat/glib.h>
#endif

static void add(gpointer key, gpointer value, gpointer sum)
{
    *(gsize *)sum += (gsize)strlen(key) * 1000 + GPOINTER_TO_SIZE(value);
}

static gboolean odd(gpointer key, gpointer value, gpointer unused)
{
    (void)key;
    (void)unused;
    return GPOINTER_TO_SIZE(value) % 2 == 1;
}

static void show(const char *what, GHashTable *table)
{
    gsize sum = 0;
    g_hash_table_foreach(table, add, &sum);
    printf("%s: %u entries, %zu\n", what, g_hash_table_size(table), sum);
}

static GHashTable *filled(void)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (gsize i = 0; i < 200; i++)
        g_hash_table_insert(table, g_strdup_printf("%zu", i * i), GSIZE_TO_POINTER(i));
    return table;
}

static void iterate(GHashTable *table)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const gsize number = GPOINTER_TO_SIZE(value);
        if (number % 5 == 0) {
            g_hash_table_iter_remove(&iter);
        } else if (number % 5 == 1) {
            g_hash_table_iter_steal(&iter);
            g_free(key);
        } else {
            g_hash_table_iter_replace(&iter, GSIZE_TO_POINTER(number + 1000));
        }
    }
    printf("of the same table: %d\n", g_hash_table_iter_get_hash_table(&iter) == table);
}

static void copies(GHashTable *table)
{
    guint length = 0;
    gpointer *array = g_hash_table_get_keys_as_array(table, &length);
    GList *keys = g_hash_table_get_keys(table);
    GList *values = g_hash_table_get_values(table);
    printf("%u, %u, %u\n", length, g_list_length(keys), g_list_length(values));
    g_list_free(keys);
    g_list_free(values);
    g_free(array);
}

static void free_key(gpointer key, gpointer value, gpointer unused)
{
    (void)value;
    (void)unused;
    g_free(key);
}

int main(void)
{
    g_autoptr(GHashTable) table = filled();
    gpointer key = NULL;
    gpointer value = NULL;
    show("filled", table);
    printf("%d %d\n", g_hash_table_insert(table, g_strdup("4"), NULL),
           g_hash_table_replace(table, g_strdup("9"), NULL));
    printf("%zu %d %d\n", (size_t)GPOINTER_TO_SIZE(g_hash_table_lookup(table, "16")),
           g_hash_table_contains(table, "17"), g_hash_table_lookup_extended(table, "25", &key, &value));
    printf("%s %zu\n", (const char *)key, (size_t)GPOINTER_TO_SIZE(value));
    printf("%d\n", g_hash_table_remove(table, "36"));
    printf("%d\n", g_hash_table_remove(table, "36"));
    printf("%d\n", g_hash_table_lookup_extended(table, "49", &key, NULL) && g_hash_table_steal(table, "49"));
    g_free(key);
    printf("%d\n", g_hash_table_steal_extended(table, "64", &key, &value));
    printf("%s %zu\n", (const char *)key, (size_t)GPOINTER_TO_SIZE(value));
    g_free(key);
    printf("%d\n", g_hash_table_steal_extended(table, "64", &key, &value));
    printf("%d %d\n", key == NULL, value == NULL);
    iterate(table);
    show("iterated", table);
    copies(table);
    printf("%d\n", g_hash_table_find(table, odd, NULL) != NULL);
    printf("%u\n", g_hash_table_foreach_remove(table, odd, NULL));
    printf("%d\n", g_hash_table_find(table, odd, NULL) != NULL);
    g_hash_table_foreach(table, free_key, NULL);
    g_hash_table_steal_all(table);
    show("stolen", table);

    GHashTable *set = g_hash_table_new(g_direct_hash, g_direct_equal);
    GHashTable *similar = g_hash_table_new_similar(set);
    printf("%d\n", g_hash_table_add(set, &key));
    printf("%d\n", g_hash_table_add(set, &key));
    g_hash_table_add(similar, &value);
    printf("%u\n", g_hash_table_foreach_steal(similar, odd, NULL));
    g_hash_table_remove_all(similar);
    printf("%u\n", g_hash_table_size(similar));
    g_hash_table_unref(similar);
    GDestroyNotify give_back = (GDestroyNotify)g_hash_table_unref;
    give_back(g_hash_table_ref(set));
    g_hash_table_destroy(set);
#ifndef ORIGINAL
    soma_barrier_wait();
#endif
    return 0;
}
