/* SPDX-License-Identifier: ISC */
/* map.c - pairs of byte maps: see dual.h. */
#include "dual/dual.h"

#include <soma/cursor.h>
#include <soma/rcu.h>

#include "base/check.h"
#include "map/map_internal.h"
#include "mem/mem.h"

struct soma_dual_map {
    struct dual dual;
    struct soma_dual_map_old table;
    soma_map *soma;
};

static soma_dual_map *pair_of(struct dual *dual)
{
    return (soma_dual_map *)(void *)dual;
}

static const soma_dual_map *pair_of_const(const struct dual *dual)
{
    return (const soma_dual_map *)(const void *)dual;
}

/* ---- The old side ---- */

static bool old_native(const struct dual *dual, enum soma__verb verb)
{
    const struct soma_dual_map_old *table = &pair_of_const(dual)->table;
    switch (verb) {
    case VERB_PUT_NEW:
        return table->put_new;
    case VERB_REPLACE:
        return table->replace;
    case VERB_CAS:
        return table->cas;
    case VERB_REMOVE_IF:
        return table->remove_if;
    case VERB_FETCH_ADD:
        return table->fetch_add;
    default:
        return true;
    }
}

static bool old_has(const struct dual *dual, enum soma_dual_verb verb)
{
    const struct soma_dual_map_old *table = &pair_of_const(dual)->table;
    return verb == SOMA_DUAL_CLEAR   ? table->clear != NULL
           : verb == SOMA_DUAL_COUNT ? table->count != NULL
                                     : table->walk != NULL;
}

/* In as much memory as it takes. */
static enum soma_status old_copy(struct dual *dual, struct soma_bytes key, struct dual_copy *copy)
{
    size_t len = sizeof copy->room;
    for (;;) {
        const size_t cap = len;
        void *room = soma__dual_copy_room(copy, cap);
        if (!room)
            return SOMA_E_NOMEM;
        const enum soma_status status = pair_of(dual)->table.get(dual->old, key, room, cap, &len);
        copy->status = status < 0 ? status : SOMA_OK;
        copy->present = status == SOMA_OK;
        copy->bytes.len = copy->present ? len : 0;
        if (!copy->present || len <= cap)
            return SOMA_OK;
    }
}

static void say_copy(struct dual_said *said, enum soma_status status, const struct dual_copy *has)
{
    said->status = status;
    said->told = has && has->present && dual_names_value(status);
    if (said->told)
        said->value = has->bytes;
}

/* What the table lacks, from what the key has, put and remove. */
static void old_derived(struct dual *dual, const struct soma__request *request, const struct dual_copy *has,
                        struct dual_said *said)
{
    const struct soma_dual_map_old *table = &pair_of(dual)->table;
    if (has->status < 0) {
        say_copy(said, has->status, has);
        return;
    }
    const struct soma__decision decision = soma__decide(request, has->present, has->bytes, 0);
    enum soma_status done = SOMA_OK;
    struct soma_bytes value = request->value;
    if (request->verb == VERB_FETCH_ADD)
        value = (struct soma_bytes){.data = &decision.sum, .len = sizeof decision.sum};
    if (decision.remove)
        done = table->remove(dual->old, request->key);
    else if (decision.store)
        done = table->put(dual->old, request->key, value);
    say_copy(said, done != SOMA_OK ? done : decision.status, has);
}

static void old_do(struct dual *dual, const struct soma__request *request, const struct dual_copy *has,
                   struct dual_said *said)
{
    const struct soma_dual_map_old *table = &pair_of(dual)->table;
    if (request->verb == VERB_GET || !old_native(dual, request->verb)) {
        old_derived(dual, request, has, said);
        return;
    }
    enum soma_status status = SOMA_E_INVALID;
    switch (request->verb) {
    case VERB_PUT:
        status = table->put(dual->old, request->key, request->value);
        break;
    case VERB_PUT_NEW:
        status = table->put_new(dual->old, request->key, request->value);
        break;
    case VERB_REPLACE:
        status = table->replace(dual->old, request->key, request->value);
        break;
    case VERB_CAS:
        status = table->cas(dual->old, request->key, request->expected, request->value);
        break;
    case VERB_REMOVE:
        status = table->remove(dual->old, request->key);
        break;
    case VERB_REMOVE_IF:
        status = table->remove_if(dual->old, request->key, request->expected);
        break;
    case VERB_FETCH_ADD:
        status = table->fetch_add(dual->old, request->key, request->number);
        break;
    default:
        break;
    }
    say_copy(said, status, has);
}

static uint64_t old_count(struct dual *dual)
{
    return pair_of(dual)->table.count(dual->old);
}

static enum soma_status old_clear(struct dual *dual)
{
    return pair_of(dual)->table.clear(dual->old);
}

static enum soma_status old_walk(struct dual *dual,
                                 bool (*visit)(struct soma_bytes key, struct soma_bytes value, void *ctx), void *ctx)
{
    return pair_of(dual)->table.walk(dual->old, visit, ctx);
}

/* ---- Soma's side ---- */

static void soma_do(struct dual *dual, const struct soma__request *request, struct dual_said *said)
{
    soma_map *map = pair_of(dual)->soma;
    const struct soma_bytes key = request->key;
    const struct soma_bytes value = request->value;
    const struct soma_bytes expected = request->expected;
    enum soma_status status = SOMA_E_INVALID;
    switch (request->verb) {
    case VERB_GET:
        status = soma_map_get_ref(map, key.data, key.len, &said->value);
        break;
    case VERB_PUT:
        status = soma_map_put(map, key.data, key.len, value.data, value.len, &said->value);
        break;
    case VERB_PUT_NEW:
        status = soma_map_put_new(map, key.data, key.len, value.data, value.len, &said->value);
        break;
    case VERB_REPLACE:
        status = soma_map_replace(map, key.data, key.len, value.data, value.len, &said->value);
        break;
    case VERB_CAS:
        status = soma_map_cas(map, key.data, key.len, expected.data, expected.len, value.data, value.len, &said->value);
        break;
    case VERB_REMOVE:
        status = soma_map_remove(map, key.data, key.len, &said->value);
        break;
    case VERB_REMOVE_IF:
        status = soma_map_remove_if(map, key.data, key.len, expected.data, expected.len, &said->value);
        break;
    case VERB_FETCH_ADD:
        status = soma_map_fetch_add(map, key.data, key.len, request->number, &said->word);
        said->value = (struct soma_bytes){.data = &said->word, .len = sizeof said->word};
        break;
    default:
        break;
    }
    said->status = status;
    said->told = dual_names_value(status);
}

static enum soma_status soma_clear(struct dual *dual)
{
    return soma_map_clear(pair_of(dual)->soma);
}

static enum soma_status soma_digest(const struct dual *dual, struct soma_digest *out)
{
    return soma_map_digest(pair_of_const(dual)->soma, out);
}

static enum soma_status cursor_open(const struct dual *dual, soma_cursor **out)
{
    return soma_cursor_open_map(pair_of_const(dual)->soma, out);
}

static enum soma_status cursor_next(soma_cursor *cursor, struct dual_said *key)
{
    return soma_cursor_next_ref(cursor, &key->value, NULL);
}

static const struct dual_kind kind = {
    .words = false,
    .old_copy = old_copy,
    .old_do = old_do,
    .old_native = old_native,
    .soma_do = soma_do,
    .old_has = old_has,
    .old_count = old_count,
    .old_clear = old_clear,
    .old_walk = old_walk,
    .soma_clear = soma_clear,
    .soma_digest = soma_digest,
    .soma_cursor = cursor_open,
    .soma_next = cursor_next,
};

/* ---- Birth and death ---- */

enum soma_status soma_dual_map_new(const struct soma_dual_options *options, const struct soma_map_options *soma,
                                   const struct soma_dual_map_old *table, void *old, soma_dual_map **out)
{
    static const struct soma_dual_options defaults;
    const struct soma_dual_options *given = options ? options : &defaults;
    if (!out || !table || !table->get || !table->put || !table->remove) {
        MISUSE("out or table is NULL, or the table lacks get, put or remove");
        return SOMA_E_INVALID;
    }
    enum soma_status status = soma__dual_options_check(given);
    if (status != SOMA_OK)
        return status;
    soma_dual_map *pair = soma__mem_alloc(sizeof *pair);
    if (!pair)
        return SOMA_E_NOMEM;
    memset(pair, 0, sizeof *pair);
    pair->table = *table;
    status = soma_map_new(soma, &pair->soma);
    if (status == SOMA_OK) {
        pair->dual.core = &pair->soma->core;
        status = soma__dual_init(&pair->dual, &kind, given, old);
    }
    if (status != SOMA_OK) {
        soma_map_free(pair->soma);
        soma__mem_free(pair, sizeof *pair);
        return status;
    }
    *out = pair;
    return SOMA_OK;
}

void soma_dual_map_free(soma_dual_map *map)
{
    if (!map)
        return;
    soma__dual_fini(&map->dual);
    soma_map_free(map->soma);
    soma__mem_free(map, sizeof *map);
}

soma_map *soma_dual_map_raw(const soma_dual_map *map)
{
    return map ? map->soma : NULL;
}

/* ---- Calls ---- */

static const struct soma_bytes none;

static enum soma_status ask(soma_dual_map *map, const struct soma__request *request, const struct dual_reply *reply)
{
    if (!map) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    return soma__dual_do(&map->dual, request, reply);
}

static enum soma_status ask_lent(soma_dual_map *map, enum soma__verb verb, struct soma_bytes key,
                                 struct soma_bytes value, struct soma_bytes expected, struct soma_bytes *out)
{
    const struct soma__request request = {.verb = verb, .key = key, .value = value, .expected = expected};
    const struct dual_reply reply = {.lent = out};
    return ask(map, &request, &reply);
}

enum soma_status soma_dual_map_get_copy(soma_dual_map *map, const void *key, size_t key_len, void *buf, size_t cap,
                                        size_t *len)
{
    const struct soma__request request = {.verb = VERB_GET, .key = soma__bytes_of(key, key_len)};
    const struct dual_reply reply = {.buf = buf, .cap = cap, .len = len};
    return ask(map, &request, &reply);
}

enum soma_status soma_dual_map_get_ref(soma_dual_map *map, const void *key, size_t key_len, struct soma_bytes *value)
{
    return ask_lent(map, VERB_GET, soma__bytes_of(key, key_len), none, none, value);
}

enum soma_status soma_dual_map_put(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                   size_t value_len, struct soma_bytes *old)
{
    return ask_lent(map, VERB_PUT, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len), none, old);
}

enum soma_status soma_dual_map_put_new(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                       size_t value_len, struct soma_bytes *present)
{
    return ask_lent(map, VERB_PUT_NEW, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len), none, present);
}

enum soma_status soma_dual_map_replace(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                       size_t value_len, struct soma_bytes *old)
{
    return ask_lent(map, VERB_REPLACE, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len), none, old);
}

enum soma_status soma_dual_map_cas(soma_dual_map *map, const void *key, size_t key_len, const void *expected,
                                   size_t expected_len, const void *desired, size_t desired_len,
                                   struct soma_bytes *actual)
{
    return ask_lent(map, VERB_CAS, soma__bytes_of(key, key_len), soma__bytes_of(desired, desired_len),
                    soma__bytes_of(expected, expected_len), actual);
}

enum soma_status soma_dual_map_remove(soma_dual_map *map, const void *key, size_t key_len, struct soma_bytes *old)
{
    return ask_lent(map, VERB_REMOVE, soma__bytes_of(key, key_len), none, none, old);
}

enum soma_status soma_dual_map_remove_if(soma_dual_map *map, const void *key, size_t key_len, const void *expected,
                                         size_t expected_len, struct soma_bytes *actual)
{
    return ask_lent(map, VERB_REMOVE_IF, soma__bytes_of(key, key_len), none, soma__bytes_of(expected, expected_len),
                    actual);
}

enum soma_status soma_dual_map_fetch_add(soma_dual_map *map, const void *key, size_t key_len, uint64_t delta,
                                         uint64_t *old)
{
    const struct soma__request request = {.verb = VERB_FETCH_ADD, .key = soma__bytes_of(key, key_len), .number = delta};
    const struct dual_reply reply = {.word = old};
    return ask(map, &request, &reply);
}

/* One look, one decision, one change if nothing has changed meanwhile; SOMA_CHANGED if something has. Inside a section. A word
 * of Soma's may change where it stands, so what is expected is the word that `fn` was shown. */
static enum soma_status try_update(soma_dual_map *map, struct soma_bytes key, soma_map_update_fn fn, void *ctx)
{
    struct soma_bytes found = none;
    const enum soma_status got = ask_lent(map, VERB_GET, key, none, none, &found);
    if (got < 0)
        return got;
    const bool present = got == SOMA_OK;
    uint64_t word = 0;
    if (present && found.len == sizeof word) {
        word = soma__word_of(found);
        found.data = &word;
    }
    struct soma_bytes value = found;
    enum soma_status status = fn(key.data, key.len, present, &value, ctx);
    if (status == SOMA_OK)
        status = ask_lent(map, present ? VERB_CAS : VERB_PUT_NEW, key, value, found, NULL);
    else if (status == SOMA_REMOVED && present)
        status = ask_lent(map, VERB_REMOVE_IF, key, none, found, NULL);
    else if (status == SOMA_REMOVED || status == SOMA_EXISTS)
        return present ? status : SOMA_ABSENT;
    else
        return SOMA_E_INVALID;
    return status == SOMA_ABSENT || status == SOMA_EXISTS ? SOMA_CHANGED : status;
}

enum soma_status soma_dual_map_update(soma_dual_map *map, const void *key, size_t key_len, soma_map_update_fn fn,
                                      void *ctx)
{
    if (!map || !fn) {
        MISUSE("map or fn is NULL");
        return SOMA_E_INVALID;
    }
    enum soma_status status;
    soma_read_enter();
    do
        status = try_update(map, soma__bytes_of(key, key_len), fn, ctx);
    while (status == SOMA_CHANGED);
    soma_read_exit();
    return status;
}

enum soma_status soma_dual_map_clear(soma_dual_map *map)
{
    return map ? soma__dual_clear(&map->dual) : SOMA_E_INVALID;
}

uint64_t soma_dual_map_count_approx(soma_dual_map *map)
{
    return map ? soma__dual_count(&map->dual) : 0;
}

enum soma_status soma_dual_map_check(soma_dual_map *map, enum soma_dual_how how, uint64_t *differing)
{
    return map ? soma__dual_check(&map->dual, how, differing) : SOMA_E_INVALID;
}

void soma_dual_map_counters(const soma_dual_map *map, struct soma_dual_counters *out)
{
    if (out)
        soma__dual_counters(map ? &map->dual : NULL, out);
}
