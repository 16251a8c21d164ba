// SPDX-License-Identifier: ISC
// glib-to-soma: a GHashTable of integers or pointers behind a mutex becomes a soma_u64 without one.
//
// Only critical sections that are one of these idioms, and nothing else, are rewritten; their locks go. The table's declaration, creation and
// destruction follow. What is left of the table then does not compile, and is yours. Values that are read must be uint64_t.

@put_new@
expression lock, table, key, value;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier find =~ "^g_hash_table_(lookup|contains)$";
@@
- shut(lock);
- if (!find(table, key))
-     g_hash_table_insert(table, key, value);
- open(lock);
+ (void)soma_u64_put_new(table, SOMA_WORD(key), SOMA_WORD(value), NULL);

@add@
expression lock, table, key, delta;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier value;
type T;
@@
- shut(lock);
(
- T value = GPOINTER_TO_UINT(g_hash_table_lookup(table, key));
|
- T value = GPOINTER_TO_INT(g_hash_table_lookup(table, key));
)
(
- g_hash_table_insert(table, key, GUINT_TO_POINTER(value + delta));
|
- g_hash_table_insert(table, key, GINT_TO_POINTER(value + delta));
)
- open(lock);
+ (void)soma_u64_fetch_add(table, SOMA_WORD(key), delta, NULL);

@add_nested@
expression lock, table, key, delta;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
(
- g_hash_table_insert(table, key, GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(table, key)) + delta));
|
- g_hash_table_insert(table, key, GINT_TO_POINTER(GPOINTER_TO_INT(g_hash_table_lookup(table, key)) + delta));
)
- open(lock);
+ (void)soma_u64_fetch_add(table, SOMA_WORD(key), delta, NULL);

@get@
expression lock, table, key, value;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
(
- value = GPOINTER_TO_UINT(g_hash_table_lookup(table, key));
|
- value = GPOINTER_TO_INT(g_hash_table_lookup(table, key));
)
- open(lock);
+ value = 0;
+ (void)soma_u64_get(table, SOMA_WORD(key), &value);

@put@
expression lock, table, key, value;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier act =~ "^g_hash_table_(insert|replace)$";
@@
- shut(lock);
- act(table, key, value);
- open(lock);
+ (void)soma_u64_put(table, SOMA_WORD(key), SOMA_WORD(value), NULL);

@remove@
expression lock, table, key;
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- g_hash_table_remove(table, key);
- open(lock);
+ (void)soma_u64_remove(table, SOMA_WORD(key), NULL);

// Integers in the clothes of pointers, and pointers.
@@
typedef uint64_t, uintptr_t;
expression k;
@@
(
- SOMA_WORD(GUINT_TO_POINTER(k))
+ k
|
- SOMA_WORD(GINT_TO_POINTER(k))
+ (uint64_t)k
|
- SOMA_WORD(GSIZE_TO_POINTER(k))
+ k
|
- SOMA_WORD(k)
+ (uint64_t)(uintptr_t)k
)

// The tables that are maps now.
@is_map@
identifier t;
identifier call =~ "^soma_u64_";
@@
 call(t, ...)

@@
identifier is_map.t;
@@
- GHashTable *t;
+ soma_u64 *t;

@@
identifier is_map.t;
identifier make =~ "^g_hash_table_new$";
@@
- t = make(...);
+ if (soma_u64_new(NULL, &t) != SOMA_OK)
+     abort();

@@
identifier is_map.t;
identifier end =~ "^g_hash_table_(destroy|unref)$";
@@
- end(t);
+ soma_u64_free(t);

@depends on is_map@
@@
  #include <glib.h>
+ #include <soma/soma.h>
