// SPDX-License-Identifier: ISC
// glib-to-soma: a GHashTable behind a mutex becomes a map without one: soma_u64 if its keys are integers or pointers, soma_map if strings.
//
// Only critical sections that are one of these idioms, and nothing else, are rewritten; their locks go. The table's declaration, creation and
// destruction follow. What is left of the table then does not compile, and is yours. Values that are read must be uint64_t.
//
// How a table is made says what its keys are: with g_str_hash, strings, and its values are integers, or copies of strings, which are kept with their
// NUL; with g_direct_hash or NULL, words. Tables with other hash functions, or with functions that destroy more than what g_free does, stay as they are; so do, with
// string keys, other pointers as values, and keys that are calls, which would be made twice. Of keys the characters are the map's key. A table
// that is made in another file is taken for one of words.

@initialize:python@
@@
import re
strings = set()
others = set()

def last(text):
    return re.split(r"->|\.", re.sub(r"\s", "", text))[-1]

def of_words(table):
    return last(table) not in strings | others

def of_strings(table):
    return last(table) in strings - others

@made@
expression t, hash;
expression list more;
identifier make =~ "^g_hash_table_new(_full)?$";
@@
 t = make(hash, more)

@script:python@
t << made.t; hash << made.hash; more << made.more;
@@
destroys = {word.strip() for word in str(more).split(",")[1:]}
if hash == "g_str_hash" and destroys <= {"g_free", "free", "NULL"}:
    strings.add(last(t))
elif hash not in ("g_direct_hash", "NULL") or destroys - {"NULL"}:
    others.add(last(t))

@put_new@
expression lock, key, value;
expression table : script:python() { of_words(table) };
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
expression lock, key, delta;
expression table : script:python() { of_words(table) };
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
expression lock, key, delta;
expression table : script:python() { of_words(table) };
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
expression lock, key, value;
expression table : script:python() { of_words(table) };
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
expression lock, key, value;
expression table : script:python() { of_words(table) };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier act =~ "^g_hash_table_(insert|replace)$";
@@
- shut(lock);
- act(table, key, value);
- open(lock);
+ (void)soma_u64_put(table, SOMA_WORD(key), SOMA_WORD(value), NULL);

@remove@
expression lock, key;
expression table : script:python() { of_words(table) };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- g_hash_table_remove(table, key);
- open(lock);
+ (void)soma_u64_remove(table, SOMA_WORD(key), NULL);

// Strings.
@put_new_string@
typedef uint64_t;
expression lock, value;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier find =~ "^g_hash_table_(lookup|contains)$";
@@
- shut(lock);
- if (!find(table, key))
(
-     g_hash_table_insert(table, \(key\|g_strdup(key)\), \(GUINT_TO_POINTER(value)\|GINT_TO_POINTER(value)\|GSIZE_TO_POINTER(value)\));
+     (void)soma_map_put_new(table, key, strlen(key), &(uint64_t){value}, sizeof(uint64_t), NULL);
|
-     g_hash_table_insert(table, \(key\|g_strdup(key)\), g_strdup(value));
+     (void)soma_map_put_new(table, key, strlen(key), value, strlen(value) + 1, NULL);
)
- open(lock);

@add_string@
expression lock, delta;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier value;
type T;
@@
- shut(lock);
- T value = \(GPOINTER_TO_UINT\|GPOINTER_TO_INT\|GPOINTER_TO_SIZE\)(g_hash_table_lookup(table, key));
- g_hash_table_insert(table, \(key\|g_strdup(key)\), \(GUINT_TO_POINTER\|GINT_TO_POINTER\|GSIZE_TO_POINTER\)(value + delta));
- open(lock);
+ (void)soma_map_fetch_add(table, key, strlen(key), delta, NULL);

@get_string@
expression lock;
uint64_t value;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- value = \(GPOINTER_TO_UINT\|GPOINTER_TO_INT\|GPOINTER_TO_SIZE\)(g_hash_table_lookup(table, key));
- open(lock);
+ value = 0;
+ (void)soma_map_get_copy(table, key, strlen(key), &value, sizeof value, NULL);

@get_copy_string@
expression lock, value;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- value = g_strdup(g_hash_table_lookup(table, key));
- open(lock);
+ {
+     struct soma_bytes found = {0};
+     soma_read_enter();
+     (void)soma_map_get_ref(table, key, strlen(key), &found);
+     value = g_strdup(found.data);
+     soma_read_exit();
+ }

@contains_string@
expression lock, value;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- value = g_hash_table_contains(table, key);
- open(lock);
+ value = soma_map_get_copy(table, key, strlen(key), NULL, 0, NULL) == SOMA_OK;

@put_string@
expression lock, value;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
identifier act =~ "^g_hash_table_(insert|replace)$";
@@
- shut(lock);
(
- act(table, \(key\|g_strdup(key)\), \(GUINT_TO_POINTER\|GINT_TO_POINTER\|GSIZE_TO_POINTER\)(value));
+ (void)soma_map_put(table, key, strlen(key), &(uint64_t){value}, sizeof(uint64_t), NULL);
|
- act(table, \(key\|g_strdup(key)\), g_strdup(value));
+ (void)soma_map_put(table, key, strlen(key), value, strlen(value) + 1, NULL);
)
- open(lock);

@remove_string@
expression lock;
expression table : script:python() { of_strings(table) };
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|g_mutex_lock)$";
identifier open =~ "^(pthread_mutex_unlock|g_mutex_unlock)$";
@@
- shut(lock);
- g_hash_table_remove(table, key);
- open(lock);
+ (void)soma_map_remove(table, key, strlen(key), NULL);

// Integers in the clothes of pointers, and pointers.
@@
typedef uintptr_t;
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

@is_string_map@
identifier t;
identifier call =~ "^soma_map_";
@@
 call(t, ...)

@@
identifier is_string_map.t;
@@
- GHashTable *t;
+ soma_map *t;

@@
identifier is_string_map.t;
identifier make =~ "^g_hash_table_new(_full)?$";
@@
- t = make(...);
+ if (soma_map_new(NULL, &t) != SOMA_OK)
+     abort();

@@
identifier is_string_map.t;
identifier end =~ "^g_hash_table_(destroy|unref)$";
@@
- end(t);
+ soma_map_free(t);

@depends on is_map || is_string_map@
@@
  #include <glib.h>
+ #include <soma/soma.h>
