/* SPDX-License-Identifier: ISC */
/* u64.c - pairs of word maps: see dual.h. */
#include "dual/dual.h"

#include <soma/cursor.h>
#include <soma/rcu.h>

#include "base/check.h"
#include "map/map_internal.h"
#include "mem/mem.h"

struct soma_dual_u64 {
    struct dual dual;
    struct soma_dual_u64_old table;
    soma_u64 *soma;
};

static soma_dual_u64 *pair_of(struct dual *dual)
{
    return (soma_dual_u64 *)(void *)dual;
}

static const soma_dual_u64 *pair_of_const(const struct dual *dual)
{
    return (const soma_dual_u64 *)(const void *)dual;
}

/* Points what was said at its word, once the word is there. */
static void say(struct dual_said *said, enum soma_status status)
{
    said->status = status;
    said->told = dual_names_value(status);
    said->value = (struct soma_bytes){.data = &said->word, .len = sizeof said->word};
}

/* ---- The old side ---- */

static bool old_native(const struct dual *dual, enum soma__verb verb)
{
    const struct soma_dual_u64_old *table = &pair_of_const(dual)->table;
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
    const struct soma_dual_u64_old *table = &pair_of_const(dual)->table;
    return verb == SOMA_DUAL_CLEAR   ? table->clear != NULL
           : verb == SOMA_DUAL_COUNT ? table->count != NULL
                                     : table->walk != NULL;
}

static enum soma_status old_copy(struct dual *dual, struct soma_bytes key, struct dual_copy *copy)
{
    uint64_t *word = soma__dual_copy_room(copy, sizeof *word);
    const enum soma_status status = pair_of(dual)->table.get(dual->old, soma__word_of(key), word);
    copy->status = status < 0 ? status : SOMA_OK;
    copy->present = status == SOMA_OK;
    return SOMA_OK;
}

/* What the table lacks, from what the key has, put and remove. */
static void old_derived(struct dual *dual, const struct soma__request *request, const struct dual_copy *has,
                        struct dual_said *said)
{
    const struct soma_dual_u64_old *table = &pair_of(dual)->table;
    if (has->status < 0) {
        say(said, has->status);
        return;
    }
    const struct soma__decision decision = soma__decide(request, has->present, has->bytes, 0);
    enum soma_status done = SOMA_OK;
    if (decision.remove)
        done = table->remove(dual->old, soma__word_of(request->key), NULL);
    else if (decision.store)
        done = table->put(dual->old, soma__word_of(request->key),
                          request->verb == VERB_FETCH_ADD ? decision.sum : soma__word_if_any(request->value), NULL);
    if (has->present)
        said->word = soma__word_if_any(has->bytes);
    say(said, done != SOMA_OK ? done : decision.status);
}

static void old_do(struct dual *dual, const struct soma__request *request, const struct dual_copy *has,
                   struct dual_said *said)
{
    const struct soma_dual_u64_old *table = &pair_of(dual)->table;
    const uint64_t key = soma__word_of(request->key);
    const uint64_t value = soma__word_if_any(request->value);
    const uint64_t expected = soma__word_if_any(request->expected);
    if (request->verb == VERB_GET || !old_native(dual, request->verb)) {
        old_derived(dual, request, has, said);
        return;
    }
    enum soma_status status = SOMA_E_INVALID;
    switch (request->verb) {
    case VERB_PUT:
        status = table->put(dual->old, key, value, &said->word);
        break;
    case VERB_PUT_NEW:
        status = table->put_new(dual->old, key, value, &said->word);
        break;
    case VERB_REPLACE:
        status = table->replace(dual->old, key, value, &said->word);
        break;
    case VERB_CAS:
        status = table->cas(dual->old, key, expected, value, &said->word);
        break;
    case VERB_REMOVE:
        status = table->remove(dual->old, key, &said->word);
        break;
    case VERB_REMOVE_IF:
        status = table->remove_if(dual->old, key, expected, &said->word);
        break;
    case VERB_FETCH_ADD:
        status = table->fetch_add(dual->old, key, request->number, &said->word);
        break;
    default:
        break;
    }
    say(said, status);
}

static uint64_t old_count(struct dual *dual)
{
    return pair_of(dual)->table.count(dual->old);
}

static enum soma_status old_clear(struct dual *dual)
{
    return pair_of(dual)->table.clear(dual->old);
}

/* From words to bytes. */
struct visiting {
    bool (*visit)(struct soma_bytes key, struct soma_bytes value, void *ctx);
    void *ctx;
};

static bool visit_words(uint64_t key, uint64_t value, void *ctx)
{
    const struct visiting *visiting = ctx;
    return visiting->visit((struct soma_bytes){.data = &key, .len = sizeof key},
                           (struct soma_bytes){.data = &value, .len = sizeof value}, visiting->ctx);
}

static enum soma_status old_walk(struct dual *dual,
                                 bool (*visit)(struct soma_bytes key, struct soma_bytes value, void *ctx), void *ctx)
{
    struct visiting visiting = {.visit = visit, .ctx = ctx};
    return pair_of(dual)->table.walk(dual->old, visit_words, &visiting);
}

/* ---- Soma's side ---- */

static void soma_do(struct dual *dual, const struct soma__request *request, struct dual_said *said)
{
    soma_u64 *map = pair_of(dual)->soma;
    const uint64_t key = soma__word_of(request->key);
    const uint64_t value = soma__word_if_any(request->value);
    const uint64_t expected = soma__word_if_any(request->expected);
    enum soma_status status = SOMA_E_INVALID;
    switch (request->verb) {
    case VERB_GET:
        status = soma_u64_get(map, key, &said->word);
        break;
    case VERB_PUT:
        status = soma_u64_put(map, key, value, &said->word);
        break;
    case VERB_PUT_NEW:
        status = soma_u64_put_new(map, key, value, &said->word);
        break;
    case VERB_REPLACE:
        status = soma_u64_replace(map, key, value, &said->word);
        break;
    case VERB_CAS:
        status = soma_u64_cas(map, key, expected, value, &said->word);
        break;
    case VERB_REMOVE:
        status = soma_u64_remove(map, key, &said->word);
        break;
    case VERB_REMOVE_IF:
        status = soma_u64_remove_if(map, key, expected, &said->word);
        break;
    case VERB_FETCH_ADD:
        status = soma_u64_fetch_add(map, key, request->number, &said->word);
        break;
    default:
        break;
    }
    say(said, status);
}

static enum soma_status soma_clear(struct dual *dual)
{
    return soma_u64_clear(pair_of(dual)->soma);
}

static enum soma_status soma_digest(const struct dual *dual, struct soma_digest *out)
{
    return soma_u64_digest(pair_of_const(dual)->soma, out);
}

static enum soma_status cursor_open(const struct dual *dual, soma_cursor **out)
{
    return soma_cursor_open_u64(pair_of_const(dual)->soma, out);
}

static enum soma_status cursor_next(soma_cursor *cursor, struct dual_said *key)
{
    const enum soma_status status = soma_cursor_next_u64(cursor, &key->word, NULL);
    say(key, status);
    return status;
}

static const struct dual_kind kind = {
    .words = true,
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

enum soma_status soma_dual_u64_new(const struct soma_dual_options *options, const struct soma_u64_options *soma,
                                   const struct soma_dual_u64_old *table, void *old, soma_dual_u64 **out)
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
    soma_dual_u64 *pair = soma__mem_alloc(sizeof *pair);
    if (!pair)
        return SOMA_E_NOMEM;
    memset(pair, 0, sizeof *pair);
    pair->table = *table;
    status = soma_u64_new(soma, &pair->soma);
    if (status == SOMA_OK) {
        pair->dual.core = &pair->soma->core;
        status = soma__dual_init(&pair->dual, &kind, given, old);
    }
    if (status != SOMA_OK) {
        soma_u64_free(pair->soma);
        soma__mem_free(pair, sizeof *pair);
        return status;
    }
    *out = pair;
    return SOMA_OK;
}

void soma_dual_u64_free(soma_dual_u64 *map)
{
    if (!map)
        return;
    soma__dual_fini(&map->dual);
    soma_u64_free(map->soma);
    soma__mem_free(map, sizeof *map);
}

soma_u64 *soma_dual_u64_raw(const soma_dual_u64 *map)
{
    return map ? map->soma : NULL;
}

/* ---- Calls ---- */

static enum soma_status ask(soma_dual_u64 *map, enum soma__verb verb, uint64_t key, uint64_t value, uint64_t expected,
                            uint64_t *out)
{
    if (!map) {
        MISUSE("map is NULL");
        return SOMA_E_INVALID;
    }
    const struct soma__request request = {.verb = verb,
                                          .key = {.data = &key, .len = sizeof key},
                                          .value = {.data = &value, .len = sizeof value},
                                          .expected = {.data = &expected, .len = sizeof expected},
                                          .number = value};
    const struct dual_reply reply = {.word = out};
    return soma__dual_do(&map->dual, &request, &reply);
}

enum soma_status soma_dual_u64_get(soma_dual_u64 *map, uint64_t key, uint64_t *value)
{
    return ask(map, VERB_GET, key, 0, 0, value);
}

enum soma_status soma_dual_u64_put(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return ask(map, VERB_PUT, key, value, 0, old);
}

enum soma_status soma_dual_u64_put_new(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    return ask(map, VERB_PUT_NEW, key, value, 0, present);
}

enum soma_status soma_dual_u64_replace(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return ask(map, VERB_REPLACE, key, value, 0, old);
}

enum soma_status soma_dual_u64_cas(soma_dual_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                   uint64_t *actual)
{
    return ask(map, VERB_CAS, key, desired, expected, actual);
}

enum soma_status soma_dual_u64_remove(soma_dual_u64 *map, uint64_t key, uint64_t *old)
{
    return ask(map, VERB_REMOVE, key, 0, 0, old);
}

enum soma_status soma_dual_u64_remove_if(soma_dual_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    return ask(map, VERB_REMOVE_IF, key, 0, expected, actual);
}

enum soma_status soma_dual_u64_fetch_add(soma_dual_u64 *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    return ask(map, VERB_FETCH_ADD, key, delta, 0, old);
}

/* One look, one decision, one change if nothing has changed meanwhile; SOMA_CHANGED if something has. */
static enum soma_status try_update(soma_dual_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx)
{
    uint64_t before = 0;
    const enum soma_status found = soma_dual_u64_get(map, key, &before);
    if (found < 0)
        return found;
    const bool present = found == SOMA_OK;
    uint64_t value = before;
    enum soma_status status = fn(key, present, &value, ctx);
    if (status == SOMA_OK)
        status =
            present ? soma_dual_u64_cas(map, key, before, value, NULL) : soma_dual_u64_put_new(map, key, value, NULL);
    else if (status == SOMA_REMOVED && present)
        status = soma_dual_u64_remove_if(map, key, before, NULL);
    else if (status == SOMA_REMOVED || status == SOMA_EXISTS)
        return present ? status : SOMA_ABSENT;
    else
        return SOMA_E_INVALID;
    return status == SOMA_ABSENT || status == SOMA_EXISTS ? SOMA_CHANGED : status;
}

enum soma_status soma_dual_u64_update(soma_dual_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx)
{
    if (!map || !fn) {
        MISUSE("map or fn is NULL");
        return SOMA_E_INVALID;
    }
    enum soma_status status;
    soma_read_enter();
    do
        status = try_update(map, key, fn, ctx);
    while (status == SOMA_CHANGED);
    soma_read_exit();
    return status;
}

enum soma_status soma_dual_u64_clear(soma_dual_u64 *map)
{
    return map ? soma__dual_clear(&map->dual) : SOMA_E_INVALID;
}

uint64_t soma_dual_u64_count_approx(soma_dual_u64 *map)
{
    return map ? soma__dual_count(&map->dual) : 0;
}

enum soma_status soma_dual_u64_check(soma_dual_u64 *map, enum soma_dual_how how, uint64_t *differing)
{
    return map ? soma__dual_check(&map->dual, how, differing) : SOMA_E_INVALID;
}

void soma_dual_u64_counters(const soma_dual_u64 *map, struct soma_dual_counters *out)
{
    if (out)
        soma__dual_counters(map ? &map->dual : NULL, out);
}
