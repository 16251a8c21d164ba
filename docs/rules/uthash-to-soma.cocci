// SPDX-License-Identifier: ISC
// uthash-to-soma: an uthash table with an integer value behind a mutex becomes a map without one: soma_u64 if its keys are integers, soma_map if strings.
//
// Only critical sections that are one of these idioms, and nothing else, are rewritten; their locks go. The declaration of the head follows.
// What is left of the table then does not compile, and is yours, as is the struct; and so is the making of the map, which uthash
// does by itself: the declaration does not compile, either, since a map that nobody makes would only answer SOMA_E_INVALID. Values that are read must be uint64_t.
// Of string keys the characters are the map's key, without the NUL; a key that is a call would be made twice, and is left alone.

@put_new@
expression lock, head, key, value, size;
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_INT(head, &key, e);
- if (e == NULL) {
-     e = malloc(size);
-     e->id = key;
-     e->val = value;
-     HASH_ADD_INT(head, id, e);
- }
- open(lock);
+ (void)soma_u64_put_new(head, key, value, NULL);

@count@
expression lock, head, key, size;
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_INT(head, &key, e);
- if (e != NULL) {
-     e->val++;
- } else {
-     e = malloc(size);
-     e->id = key;
-     e->val = 1;
-     HASH_ADD_INT(head, id, e);
- }
- open(lock);
+ (void)soma_u64_fetch_add(head, key, 1, NULL);

@add_present@
expression lock, head, key, size, delta;
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_INT(head, &key, e);
- if (e == NULL) {
-     e = calloc(1, size);
-     e->id = key;
-     HASH_ADD_INT(head, id, e);
- }
(
- e->val += delta;
+ (void)soma_u64_fetch_add(head, key, delta, NULL);
|
- e->val++;
+ (void)soma_u64_fetch_add(head, key, 1, NULL);
)
- open(lock);

@get@
expression lock, head, key, value;
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, val;
@@
- shut(lock);
- HASH_FIND_INT(head, &key, e);
- if (e != NULL)
-     value = e->val;
- open(lock);
+ (void)soma_u64_get(head, key, &value);

@remove@
expression lock, head, key;
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e;
@@
- shut(lock);
- HASH_FIND_INT(head, &key, e);
- if (e != NULL) {
-     HASH_DEL(head, e);
-     free(e);
- }
- open(lock);
+ (void)soma_u64_remove(head, key, NULL);

// String keys.
@put_new_string@
typedef uint64_t;
expression lock, head, value, size;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e == NULL) {
-     e = malloc(size);
(
-     e->id = strdup(key);
|
-     strcpy(e->id, key);
|
-     e->id = key;
)
-     e->val = value;
-     HASH_ADD_STR(head, id, e);
- }
- open(lock);
+ (void)soma_map_put_new(head, key, strlen(key), &(uint64_t){value}, sizeof(uint64_t), NULL);

@put_string@
expression lock, head, value, size;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e == NULL) {
-     e = \(malloc(size)\|calloc(1, size)\);
(
-     e->id = strdup(key);
|
-     strcpy(e->id, key);
|
-     e->id = key;
)
-     HASH_ADD_STR(head, id, e);
- }
- e->val = value;
- open(lock);
+ (void)soma_map_put(head, key, strlen(key), &(uint64_t){value}, sizeof(uint64_t), NULL);

@count_string@
expression lock, head, size;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e != NULL) {
-     e->val++;
- } else {
-     e = malloc(size);
(
-     e->id = strdup(key);
|
-     strcpy(e->id, key);
|
-     e->id = key;
)
-     e->val = 1;
-     HASH_ADD_STR(head, id, e);
- }
- open(lock);
+ (void)soma_map_fetch_add(head, key, strlen(key), 1, NULL);

@add_string@
expression lock, head, size, delta;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id, val;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e == NULL) {
-     e = calloc(1, size);
(
-     e->id = strdup(key);
|
-     strcpy(e->id, key);
|
-     e->id = key;
)
-     HASH_ADD_STR(head, id, e);
- }
(
- e->val += delta;
+ (void)soma_map_fetch_add(head, key, strlen(key), delta, NULL);
|
- e->val++;
+ (void)soma_map_fetch_add(head, key, strlen(key), 1, NULL);
)
- open(lock);

@get_string@
expression lock, head;
uint64_t value;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, val;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e != NULL)
-     value = e->val;
- open(lock);
+ (void)soma_map_get_copy(head, key, strlen(key), &value, sizeof value, NULL);

@remove_string@
expression lock, head;
expression key : script:python() { "(" not in key };
identifier shut =~ "^(pthread_mutex_lock|mtx_lock)$";
identifier open =~ "^(pthread_mutex_unlock|mtx_unlock)$";
identifier e, id;
@@
- shut(lock);
- HASH_FIND_STR(head, key, e);
- if (e != NULL) {
-     HASH_DEL(head, e);
(
-     free(e->id);
-     free(e);
|
-     free(e);
)
- }
- open(lock);
+ (void)soma_map_remove(head, key, strlen(key), NULL);

// The tables that are maps now, and what found entries were kept in.
@is_map@
identifier t;
identifier call =~ "^soma_u64_";
@@
 call(t, ...)

@@
identifier is_map.t;
identifier s;
typedef soma_u64;
symbol to_be_made_with_soma_u64_new;
@@
(
- struct s *t = NULL;
+ soma_u64 *t = to_be_made_with_soma_u64_new;
|
- struct s *t;
+ soma_u64 *t = to_be_made_with_soma_u64_new;
)

@is_string_map@
identifier t;
identifier call =~ "^soma_map_";
@@
 call(t, ...)

@@
identifier is_string_map.t;
identifier s;
typedef soma_map;
symbol to_be_made_with_soma_map_new;
@@
(
- struct s *t = NULL;
+ soma_map *t = to_be_made_with_soma_map_new;
|
- struct s *t;
+ soma_map *t = to_be_made_with_soma_map_new;
)

@@
identifier s, e;
identifier call =~ "^soma_(u64|map)_";
@@
- struct s *e;
  ... when != e
  (void)call(...);
  ... when != e

@depends on is_map || is_string_map@
@@
  #include <uthash.h>
+ #include <soma/soma.h>
