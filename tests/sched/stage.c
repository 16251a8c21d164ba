/* SPDX-License-Identifier: ISC */
/* stage.c - a scenario on a map: the keys, the calls, what they answered, and what must hold at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "map/word.h"
#include "oracle.h"
#include "probe.h"
#include "rcu/private.h"
#include "runtime.h"
#include "scenario.h"
#include "trace.h"

#define CAP_BYTES 128
#define VALUE_LONG 16
#define HOLDS 4
#define RETIRED_MAX 32
#define LETTERS_MAX 24
#define ADDITIONS_MAX 5 /* of a thread, that can be told from each other */
#define TOLD_MAX 64
/* More than a level that is leaving needs to come back. */
#define RESERVED_STEPS 8
/* More than any scenario grows to. */
#define BUCKETS_SEEN 128

/* Where the keys of letters stand: the top byte of their hashes. */
static const uint8_t places[KEYS] = {0x0c, 0x2c, 0x4c, 0x6c, 0x8c, 0xac, 0xcc, 0xec};
/* In word maps, whose hashes can be chosen: on the edges of their buckets, and the least and the greatest of all. */
static const uint64_t hashes[KEYS] = {0,
                                      UINT64_C(0x20) << 56,
                                      UINT64_C(0x5f) << 56,
                                      UINT64_C(0x60) << 56,
                                      UINT64_C(0x80) << 56,
                                      (UINT64_C(0xc0) << 56) - 1,
                                      UINT64_C(0xc0) << 56,
                                      UINT64_MAX};

struct hold {
    const unsigned char *data;
    size_t len;
    unsigned char copy[VALUE_LONG];
};

struct actor {
    const struct script *script;
    unsigned done;       /* operations */
    unsigned depth;      /* sections open */
    uint64_t last[KEYS]; /* values last seen */
    unsigned values;     /* made so far */
    unsigned additions;  /* made so far */
    uint64_t added;      /* by the last addition, if the key was there and it has not been taken back */
    struct hold holds[HOLDS];
    unsigned held;
    unsigned meetings;
    uint64_t taken; /* a value that the thread has taken out and has to free, or 0 */
    uint64_t token;
    bool has_token;
};

/* A view that is open, and what it was seen to hold. */
struct viewed {
    soma_view *view;
    struct capture *capture;
    unsigned users;   /* who look at it */
    bool claimed;     /* it is being opened or closed */
    uint64_t *handed; /* who opens it hands it to who looks at it, and they to who closes it */
};

/* Two views that do not differ in these keys, as they said. */
struct likeness {
    const struct capture *a;
    const struct capture *b;
    bool alike[KEYS];
};

#define LIKENESSES 8

/* A version that somebody was told, with the value. */
struct told {
    uint64_t version;
    uint64_t value;
};

struct stage {
    struct program program;
    unsigned flags;
    unsigned threads;
    struct script scripts[THREADS_MAX];
    struct script signal;
    struct actor actors[THREADS_MAX];
    soma_u64 *words;
    soma_map *bytes;
    uint64_t keys[KEYS];
    bool keys_known;
    uint8_t retired[RETIRED_MAX]; /* how often each retired call has run */
    uint64_t *note[RETIRED_MAX];  /* what each retired call writes to, and who waits for it reads */
    bool accepted[RETIRED_MAX];   /* soma_retire() has returned SOMA_OK */
    unsigned retires;
    uint64_t *letters; /* one for each call of each thread: written before the call, read by who sees its value */
    uint64_t additions[THREADS_MAX * ADDITIONS_MAX]; /* the ids of the calls that made them */
    unsigned met;                                    /* comings of threads to meetings */
    struct soma_cell *cell;
    struct viewed views[VIEWS];
    struct likeness likenesses[LIKENESSES];
    unsigned likeness_count;
    struct told told[TOLD_MAX];
    unsigned tellings;
    struct oracle *oracle;
    uint64_t calls;
};

static bool is_words(const struct stage *stage)
{
    return (stage->flags & WORDS) != 0;
}

static struct core *core_of(const struct stage *stage)
{
    return is_words(stage) ? &stage->words->core : &stage->bytes->core;
}

/* ---- Values ----
 *
 * A value is an id, different for each call. In a word map it is the word, or the address of an object that holds it;
 * in a byte map the 8 bytes, or 16: the id and its complement. */

static uint64_t fresh_id(struct actor *actor, unsigned thread)
{
    return (uint64_t)(thread + 1) << 24 | (uint64_t)++actor->values << 8;
}

/* ---- Happens-before ----
 *
 * Who sees a value sees what was written before the call that stored it. So each call writes a letter first, plainly,
 * and who gets its value reads the letter: a race, if the value was not handed over in order. */

static uint64_t *letter_of(const struct stage *stage, uint64_t id)
{
    const uint64_t thread = (id >> 24) - 1;
    const uint64_t number = id >> 8 & 0xffff;
    const bool is_id = id >> 24 > 0 && thread < THREADS_MAX && number > 0 && number < LETTERS_MAX;
    return is_id ? &stage->letters[thread * LETTERS_MAX + number] : NULL;
}

static void letter_write(const struct stage *stage, uint64_t id)
{
    uint64_t *letter = letter_of(stage, id);
    if (letter)
        machine_write(letter, sizeof *letter);
}

/* A word is an id in its lower half; above it stands a bit for each addition, so that a sum tells whose it is. A thread's
 * additions beyond ADDITIONS_MAX go to the highest bits, which tell nothing. */
#define ID_BITS 32
#define ID_MASK ((UINT64_C(1) << ID_BITS) - 1)
#define ADDITION_BEYOND (UINT64_C(1) << 62)

static uint64_t addition_new(struct stage *stage, unsigned thread, uint64_t id)
{
    struct actor *actor = &stage->actors[thread];
    if (actor->additions == ADDITIONS_MAX)
        return ADDITION_BEYOND;
    const unsigned number = thread * ADDITIONS_MAX + actor->additions++;
    stage->additions[number] = id;
    return UINT64_C(1) << (ID_BITS + number);
}

static void letter_seen(const struct stage *stage, uint64_t id)
{
    const uint64_t *letter = letter_of(stage, id);
    if (letter)
        machine_read(letter, sizeof *letter);
}

/* Of all calls that a word comes from. */
static void letters_read(const struct stage *stage, uint64_t word)
{
    letter_seen(stage, word & ID_MASK);
    for (unsigned i = 0; i < THREADS_MAX * ADDITIONS_MAX; i++) {
        if (word >> (ID_BITS + i) & 1)
            letter_seen(stage, stage->additions[i]);
    }
}

/* In OWNED scenarios a word belongs to the map; while additions to it stand, those who made them look at its letter; who
 * takes it out without any such addition has it for itself, and writes the letter again. */
static void letter_owned(const struct stage *stage, const struct call *call)
{
    const bool taken = call->status == SOMA_REMOVED || (call->status == SOMA_REPLACED && call->verb != KEY_ADD);
    if (taken && call->result >> ID_BITS == 0)
        letter_write(stage, call->result);
    const bool added = call->verb == KEY_ADD && call->value <= ADDITION_BEYOND; /* else one is taken back */
    if (added && call->status == SOMA_REPLACED)
        letter_seen(stage, call->result & ID_MASK);
}

static uint64_t *object_new(uint64_t id)
{
    uint64_t *object = machine_alloc(sizeof *object, 16);
    machine_write(object, sizeof *object);
    *object = id;
    return object;
}

static uint64_t to_word(const struct stage *stage, uint64_t id)
{
    return stage->flags & POINTERS ? (uint64_t)(uintptr_t)object_new(id) : id;
}

/* Only inside a section, if values are pointers. */
static uint64_t from_word(const struct stage *stage, uint64_t word)
{
    if ((stage->flags & POINTERS) == 0)
        return word;
    const uint64_t *object = (const uint64_t *)(uintptr_t)word;
    machine_read(object, sizeof *object);
    return *object;
}

static void word_gone(uint64_t word, void *ctx)
{
    const struct stage *stage = ctx;
    if (stage->flags & POINTERS)
        machine_free((void *)(uintptr_t)word);
}

static size_t to_bytes(const struct stage *stage, uint64_t id, unsigned char *bytes)
{
    const uint64_t not_id = ~id;
    memcpy(bytes, &id, sizeof id);
    if ((stage->flags & LONG_VALUES) == 0)
        return sizeof id;
    memcpy(bytes + sizeof id, &not_id, sizeof not_id);
    return VALUE_LONG;
}

static uint64_t from_bytes(const struct stage *stage, const void *data, size_t len)
{
    uint64_t id[2] = {0, 0};
    if (len != sizeof id[0])
        machine_read(data, len); /* words are read as one, whoever changes them */
    if (len > sizeof id || (len == sizeof id && (stage->flags & LONG_VALUES) == 0))
        run_failed("a value of %zu bytes came out", len);
    memcpy(id, data, len);
    if (len == sizeof id && id[1] != ~id[0])
        run_failed("a torn value came out: %016" PRIx64 " %016" PRIx64, id[0], id[1]);
    return id[0];
}

/* ---- One call ---- */

static const enum verb_of_key key_verbs[VERBS] = {
    [DO_GET] = KEY_GET,
    [DO_ASK] = KEY_GET,
    [DO_PUT] = KEY_PUT,
    [DO_PUT_NEW] = KEY_PUT_NEW,
    [DO_REPLACE] = KEY_REPLACE,
    [DO_CAS] = KEY_CAS,
    [DO_REMOVE] = KEY_REMOVE,
    [DO_REMOVE_IF] = KEY_REMOVE_IF,
    [DO_ADD] = KEY_ADD,
    [DO_SUB] = KEY_ADD,
    [DO_UPDATE] = KEY_UPDATE,
    [DO_UPDATE_REMOVE] = KEY_UPDATE_REMOVE,
    [DO_UPDATE_LEAVE] = KEY_UPDATE_LEAVE,
};

/* An update's callback sets the result itself: what it last saw is what the update acted upon. */
struct update_call {
    const struct stage *stage;
    struct call *call;
    unsigned char bytes[VALUE_LONG];
};

static enum soma_status answer_of(const struct call *call)
{
    if (call->verb == KEY_UPDATE_REMOVE)
        return SOMA_REMOVED;
    return call->verb == KEY_UPDATE_LEAVE ? SOMA_EXISTS : SOMA_OK;
}

/* Nobody finds two values under one version. */
static void tell(struct stage *stage, uint64_t version, uint64_t value)
{
    for (unsigned i = 0; i < stage->tellings; i++) {
        if (stage->told[i].version == version && stage->told[i].value != value)
            run_failed("version %" PRIx64 " has the values %" PRIx64 " and %" PRIx64, version, stage->told[i].value,
                       value);
    }
    if (stage->tellings < TOLD_MAX)
        stage->told[stage->tellings++] = (struct told){.version = version, .value = value};
}

static enum soma_status update_word(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct update_call *update = ctx;
    (void)key;
    update->call->result = present ? *value : 0;
    *value = ++update->call->value; /* another in each attempt; the last one counts */
    return answer_of(update->call);
}

static enum soma_status update_bytes(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    struct update_call *update = ctx;
    (void)key, (void)key_len;
    update->call->result = present ? from_bytes(update->stage, value->data, value->len) : 0;
    value->data = update->bytes;
    value->len = to_bytes(update->stage, ++update->call->value, update->bytes);
    return answer_of(update->call);
}

static void call_words(struct stage *stage, struct call *call)
{
    soma_u64 *map = stage->words;
    const uint64_t key = stage->keys[call->key];
    const bool stores = call->verb == KEY_PUT || call->verb == KEY_PUT_NEW || call->verb == KEY_REPLACE;
    const uint64_t word = stores ? to_word(stage, call->value) : call->value;
    uint64_t old = 0;
    struct update_call update = {.stage = stage, .call = call};
    switch ((enum verb_of_key)call->verb) {
    case KEY_GET:
        call->status = (int8_t)soma_u64_get(map, key, &old);
        break;
    case KEY_PUT:
        call->status = (int8_t)soma_u64_put(map, key, word, &old);
        break;
    case KEY_PUT_NEW:
        call->status = (int8_t)soma_u64_put_new(map, key, word, &old);
        break;
    case KEY_REPLACE:
        call->status = (int8_t)soma_u64_replace(map, key, word, &old);
        break;
    case KEY_CAS:
        call->status = (int8_t)soma_u64_cas(map, key, call->expected, word, &old);
        break;
    case KEY_REMOVE:
        call->status = (int8_t)soma_u64_remove(map, key, &old);
        break;
    case KEY_REMOVE_IF:
        call->status = (int8_t)soma_u64_remove_if(map, key, call->expected, &old);
        break;
    case KEY_ADD:
        call->status = (int8_t)soma_u64_fetch_add(map, key, call->value, &old);
        break;
    default:
        call->status = (int8_t)soma_u64_update(map, key, update_word, &update);
        return;
    }
    const bool refused = call->status < 0 || call->status == SOMA_EXISTS || call->status == SOMA_ABSENT;
    if (stores && refused && (stage->flags & POINTERS))
        machine_free((void *)(uintptr_t)word);
    if (old != 0)
        call->result = from_word(stage, old);
    if ((stage->flags & OWN) && (call->status == SOMA_REMOVED || call->status == SOMA_REPLACED))
        stage->actors[run_thread()].taken = old;
}

/* Outside a section of its own, if values are read where they stand; so the call has one. */
static void call_bytes(struct stage *stage, struct call *call)
{
    soma_map *map = stage->bytes;
    const uint64_t *key = &stage->keys[call->key];
    const size_t len = sizeof *key;
    unsigned char value[VALUE_LONG];
    unsigned char expected[VALUE_LONG];
    const size_t value_len = to_bytes(stage, call->value, value);
    const size_t expected_len = to_bytes(stage, call->expected, expected);
    struct soma_bytes old = {.data = NULL, .len = 0};
    struct update_call update = {.stage = stage, .call = call};
    size_t got = 0;
    switch ((enum verb_of_key)call->verb) {
    case KEY_GET:
        call->status = (int8_t)soma_map_get_copy(map, key, len, value, sizeof value, &got);
        if (call->status == SOMA_OK)
            call->result = from_bytes(stage, value, got);
        return;
    case KEY_PUT:
        call->status = (int8_t)soma_map_put(map, key, len, value, value_len, &old);
        break;
    case KEY_PUT_NEW:
        call->status = (int8_t)soma_map_put_new(map, key, len, value, value_len, &old);
        break;
    case KEY_REPLACE:
        call->status = (int8_t)soma_map_replace(map, key, len, value, value_len, &old);
        break;
    case KEY_CAS:
        call->status = (int8_t)soma_map_cas(map, key, len, expected, expected_len, value, value_len, &old);
        break;
    case KEY_REMOVE:
        call->status = (int8_t)soma_map_remove(map, key, len, &old);
        break;
    case KEY_REMOVE_IF:
        call->status = (int8_t)soma_map_remove_if(map, key, len, expected, expected_len, &old);
        break;
    case KEY_ADD:
        call->status = (int8_t)soma_map_fetch_add(map, key, len, call->value, &call->result);
        return;
    default:
        call->status = (int8_t)soma_map_update(map, key, len, update_bytes, &update);
        return;
    }
    if (old.data)
        call->result = from_bytes(stage, old.data, old.len);
    const bool lives = call->status == SOMA_EXISTS || call->status == SOMA_CHANGED;
    if (lives && (stage->flags & LONG_VALUES) == 0)
        call->result = RESULT_UNKNOWN; /* a word that is borrowed where it stands may change until it is read */
}

/* Whether the caller must be in a section to look at what comes out. */
static bool borrows(const struct stage *stage, const struct call *call)
{
    if (is_words(stage))
        return (stage->flags & POINTERS) != 0;
    return call->verb != KEY_GET && call->verb != KEY_ADD;
}

/* A lookup that asks for the version. */
static void call_ask(struct stage *stage, struct call *call)
{
    const uint64_t *key = &stage->keys[call->key];
    unsigned char value[VALUE_LONG];
    size_t len = 0;
    uint64_t version = 0;
    call->status = (int8_t)soma_map_get_version(stage->bytes, key, sizeof *key, value, sizeof value, &len, &version);
    if (call->status != SOMA_OK)
        return;
    call->result = from_bytes(stage, value, len);
    tell(stage, version, call->result);
}

static void run_call(struct stage *stage, struct call *call, bool ask)
{
    const bool section = borrows(stage, call);
    if (section)
        soma_read_enter();
    if (is_words(stage))
        call_words(stage, call);
    else if (ask)
        call_ask(stage, call);
    else
        call_bytes(stage, call);
    if (section)
        soma_read_exit();
}

/* What the call has taken out is the thread's, once its readers have left. */
static void free_taken(struct actor *actor)
{
    if (actor->taken == 0)
        return;
    soma_synchronize_wait();
    machine_free((void *)(uintptr_t)actor->taken);
    actor->taken = 0;
}

/* What is deferred stays at or below the cap. */
static void check_cap(const struct stage *stage)
{
    const uint64_t deferred = core_of(stage)->owner.deferred.word;
    if ((stage->flags & SMALL_CAP) && deferred > CAP_BYTES)
        run_failed("%" PRIu64 " bytes are deferred, more than the cap", deferred);
}

static void keyed(struct stage *stage, unsigned thread, enum verb verb, unsigned key)
{
    struct actor *actor = &stage->actors[thread];
    const uint64_t value = fresh_id(actor, thread);
    const uint64_t delta = verb == DO_ADD ? addition_new(stage, thread, value) : verb == DO_SUB ? -actor->added : 0;
    trace_note("%s %c, value %" PRIx64 ", expected %" PRIx64, verb_name(verb), 'a' + (int)key, value, actor->last[key]);
    letter_write(stage, value);
    run_call_entered();
    struct call *call = oracle_call(stage->oracle, thread, key_verbs[verb], key);
    call->value = delta != 0 ? delta : value;
    call->expected = actor->last[key];
    run_call(stage, call, verb == DO_ASK);
    if (stage->flags & OWNED)
        letter_owned(stage, call);
    else if (call->result != RESULT_UNKNOWN)
        letters_read(stage, call->result);
    run_call_left();
    oracle_return(stage->oracle, call);
    free_taken(actor);
    trace_note("%s %c answers %s, %" PRIx64, verb_name(verb), 'a' + (int)key,
               soma_status_text((enum soma_status)call->status), call->result);
    if (call->status == SOMA_INSERTED || call->status == SOMA_REPLACED)
        actor->last[key] = delta != 0 ? call->result + delta : call->value;
    else if (call->result != 0 && call->result != RESULT_UNKNOWN)
        actor->last[key] = call->result;
    if (delta != 0)
        actor->added = verb == DO_ADD && call->status == SOMA_REPLACED ? delta : 0;
    stage->calls++;
    check_cap(stage);
}

/* ---- Calls for many keys ---- */

static void get_many(struct stage *stage, unsigned thread)
{
    uint64_t values[KEYS];
    struct soma_bytes keys[KEYS];
    struct soma_bytes found_bytes[KEYS];
    bool found[KEYS];
    struct call *calls[KEYS];
    run_call_entered();
    for (unsigned k = 0; k < KEYS; k++) {
        calls[k] = oracle_call(stage->oracle, thread, KEY_GET, k);
        keys[k] = (struct soma_bytes){.data = &stage->keys[k], .len = sizeof stage->keys[k]};
    }
    soma_read_enter();
    if (is_words(stage))
        soma_u64_get_many(stage->words, stage->keys, KEYS, values, found);
    else
        soma_map_get_many(stage->bytes, keys, KEYS, found_bytes, found);
    for (unsigned k = 0; k < KEYS; k++) {
        if (found[k])
            values[k] = is_words(stage) ? from_word(stage, values[k])
                                        : from_bytes(stage, found_bytes[k].data, found_bytes[k].len);
    }
    soma_read_exit();
    run_call_left();
    for (unsigned k = 0; k < KEYS; k++) {
        calls[k]->status = found[k] ? SOMA_OK : SOMA_ABSENT;
        calls[k]->result = found[k] ? values[k] : 0;
        oracle_return(stage->oracle, calls[k]);
    }
    stage->calls += KEYS;
}

struct sight {
    struct stage *stage;
    struct call *call;
    unsigned times;
};

static void see_word(uint64_t key, uint64_t value, void *ctx)
{
    struct sight *sight = ctx;
    (void)key;
    sight->call->result = from_word(sight->stage, value); /* it must not be gone */
    sight->times++;
}

static void see_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct sight *sight = ctx;
    (void)key, (void)key_len;
    sight->call->result = from_bytes(sight->stage, value.data, value.len);
    sight->times++;
}

/* The call needs no section, whatever its value is. */
static void get_with(struct stage *stage, unsigned thread, unsigned key)
{
    const uint64_t *word = &stage->keys[key];
    struct sight sight = {.stage = stage};
    run_call_entered();
    sight.call = oracle_call(stage->oracle, thread, KEY_GET, key);
    sight.call->status =
        (int8_t)(is_words(stage) ? soma_u64_get_with(stage->words, *word, see_word, &sight)
                                 : soma_map_get_with(stage->bytes, word, sizeof *word, see_bytes, &sight));
    run_call_left();
    if (sight.times != (sight.call->status == SOMA_OK))
        run_failed("get_with has called its function %u times", sight.times);
    oracle_return(stage->oracle, sight.call);
    stage->calls++;
}

/* Which key a cursor or a comparison gives. */
static unsigned key_given(const struct stage *stage, struct soma_bytes bytes)
{
    uint64_t word;
    unsigned key = 0;
    machine_read(bytes.data, bytes.len);
    memcpy(&word, bytes.data, sizeof word);
    while (key < KEYS && stage->keys[key] != word)
        key++;
    if (key == KEYS)
        run_failed("a cursor gave key %016" PRIx64, word);
    return key;
}

/* The next entry of a cursor: which key it is, and its value. */
static enum soma_status walk_next(const struct stage *stage, soma_cursor *cursor, unsigned *key, uint64_t *value)
{
    uint64_t word = 0;
    struct soma_bytes key_bytes;
    struct soma_bytes value_bytes;
    enum soma_status status;
    do
        status = is_words(stage) ? soma_cursor_next_u64(cursor, &word, value)
                                 : soma_cursor_next_ref(cursor, &key_bytes, &value_bytes);
    while (status == SOMA_E_NOMEM);
    if (status != SOMA_OK)
        return status;
    if (is_words(stage)) {
        key_bytes = (struct soma_bytes){.data = &word, .len = sizeof word};
        *value = from_word(stage, *value);
    } else {
        *value = from_bytes(stage, value_bytes.data, value_bytes.len);
    }
    *key = key_given(stage, key_bytes);
    return SOMA_OK;
}

/* The version of what a cursor over a byte map has given, if it is still there. */
static void walk_ask(struct stage *stage, const soma_cursor *cursor, uint64_t value)
{
    uint64_t version = 0;
    if (soma_cursor_version(cursor, &version) == SOMA_OK)
        tell(stage, version, value);
}

/* A token may lie before entries with the same hash, or the highest one, that were given. */
static bool walks_anew(const struct stage *stage, const soma_cursor *cursor)
{
    return (stage->flags & COLLIDE) == 0 && soma_cursor_token(cursor) != UINT64_MAX;
}

/* A key that is given had this value at some instant. One that is not was absent at some instant. */
static void walk(struct stage *stage, unsigned thread, enum verb verb)
{
    uint64_t values[KEYS] = {0};
    struct call *calls[KEYS];
    soma_cursor *cursor;
    unsigned key;
    uint64_t value;
    if ((is_words(stage) ? soma_cursor_open_u64(stage->words, &cursor) : soma_cursor_open_map(stage->bytes, &cursor)) !=
        SOMA_OK)
        return;
    run_call_entered();
    for (unsigned k = 0; k < KEYS; k++)
        calls[k] = oracle_call(stage->oracle, thread, KEY_GET, k);
    if (stage->flags & POINTERS)
        soma_read_enter();
    while (walk_next(stage, cursor, &key, &value) == SOMA_OK) {
        if (values[key] != 0)
            run_failed("a cursor gave key %c twice", 'a' + (int)key);
        values[key] = value;
        if (verb == DO_WALK_ASK)
            walk_ask(stage, cursor, value);
        if (verb == DO_WALK_ANEW && walks_anew(stage, cursor))
            soma_cursor_seek(cursor, soma_cursor_token(cursor));
    }
    if (stage->flags & POINTERS)
        soma_read_exit();
    run_call_left();
    for (unsigned k = 0; k < KEYS; k++) {
        calls[k]->status = values[k] ? SOMA_OK : SOMA_ABSENT;
        calls[k]->result = values[k];
        oracle_return(stage->oracle, calls[k]);
    }
    soma_cursor_close(cursor);
    stage->calls += KEYS;
}

/* ---- Views ---- */

/* So does a program that gives a view to another thread. */
static void hand_over(struct viewed *viewed)
{
    machine_rmw_end(viewed->handed, machine_rmw_begin(viewed->handed, __ATOMIC_RELEASE) + 1, __ATOMIC_RELEASE);
}

static void take_over(const struct viewed *viewed)
{
    machine_rmw_begin(viewed->handed, __ATOMIC_ACQUIRE);
}

static void view_open(struct stage *stage, unsigned thread, unsigned slot)
{
    struct viewed *viewed = &stage->views[slot];
    soma_view *view = NULL;
    if (viewed->view || viewed->claimed)
        return;
    viewed->claimed = true;
    run_call_entered();
    struct call *call = oracle_view(stage->oracle, thread, &viewed->capture);
    const enum soma_status status =
        is_words(stage) ? soma_u64_view_open(stage->words, &view) : soma_map_view_open(stage->bytes, &view);
    run_call_left();
    oracle_return(stage->oracle, call);
    trace_note("view %u opens: %s", slot + 1, soma_status_text(status));
    const bool refused = (status == SOMA_E_NOMEM && (stage->flags & FAULTS) != 0) ||
                         (status == SOMA_E_INVALID && stage->actors[thread].depth > 0);
    if (status != SOMA_OK && !refused)
        run_failed("opening a view answers %s", soma_status_text(status));
    if (status == SOMA_OK) {
        hand_over(viewed);
        viewed->view = view;
    }
    viewed->claimed = false;
    stage->calls++;
}

/* NULL: there is none. */
static struct viewed *view_use(struct stage *stage, unsigned slot)
{
    struct viewed *viewed = &stage->views[slot];
    if (!viewed->view || viewed->claimed)
        return NULL;
    viewed->users++;
    take_over(viewed);
    return viewed;
}

static void view_used(struct viewed *viewed)
{
    hand_over(viewed);
    viewed->users--;
}

/* A view answers the same again and again. */
static void capture(struct viewed *viewed, unsigned key, uint64_t value)
{
    struct capture *capture = viewed->capture;
    if (capture->known[key] && capture->value[key] != value)
        run_failed("a view answers %" PRIx64 " for key %c, and %" PRIx64 " before", value, 'a' + (int)key,
                   capture->value[key]);
    capture->count += !capture->known[key];
    capture->known[key] = true;
    capture->value[key] = value;
}

/* While it is open its values are alive, outside sections, too. */
static void view_see(struct stage *stage, unsigned slot, unsigned key, bool ask)
{
    struct viewed *viewed = view_use(stage, slot);
    uint64_t value = 0;
    unsigned char bytes[VALUE_LONG];
    size_t len = 0;
    uint64_t version = 0;
    if (!viewed)
        return;
    run_call_entered();
    const enum soma_status status =
        is_words(stage) ? soma_view_get_u64(viewed->view, stage->keys[key], &value)
                        : soma_view_get_version(viewed->view, &stage->keys[key], sizeof stage->keys[key], bytes,
                                                sizeof bytes, &len, ask ? &version : NULL);
    run_call_left();
    if (status != SOMA_OK && status != SOMA_ABSENT)
        run_failed("a view answers %s", soma_status_text(status));
    if (status == SOMA_OK)
        value = is_words(stage) ? from_word(stage, value) : from_bytes(stage, bytes, len);
    if (version != 0)
        tell(stage, version, value);
    trace_note("view %u has %" PRIx64 " for %c", slot + 1, value, 'a' + (int)key);
    if ((stage->flags & OWNED) == 0)
        letters_read(stage, value);
    capture(viewed, key, value);
    view_used(viewed);
    stage->calls++;
}

static void view_see_all(struct stage *stage, unsigned slot)
{
    struct viewed *viewed = view_use(stage, slot);
    uint64_t values[KEYS] = {0};
    soma_cursor *cursor;
    unsigned key;
    uint64_t value;
    uint64_t present = 0;
    if (!viewed)
        return;
    run_call_entered();
    if (soma_cursor_open_view(viewed->view, &cursor) == SOMA_OK) {
        while (walk_next(stage, cursor, &key, &value) == SOMA_OK) {
            if (values[key] != 0)
                run_failed("a cursor over a view gave key %c twice", 'a' + (int)key);
            values[key] = value;
            present++;
        }
        soma_cursor_close(cursor);
        const uint64_t counted = soma_view_count(viewed->view);
        if (counted != present)
            run_failed("a view of %" PRIu64 " entries counts %" PRIu64, present, counted);
        for (key = 0; key < KEYS; key++) {
            trace_note("view %u has %" PRIx64 " for %c", slot + 1, values[key], 'a' + (int)key);
            capture(viewed, key, values[key]);
        }
        stage->calls++;
    }
    run_call_left();
    view_used(viewed);
}

struct comparison {
    struct stage *stage;
    struct viewed *a;
    struct viewed *b;
    bool differ[KEYS];
};

static uint64_t value_given(const struct stage *stage, struct soma_bytes bytes)
{
    uint64_t word;
    if (bytes.len == 0)
        return 0;
    if (!is_words(stage))
        return from_bytes(stage, bytes.data, bytes.len);
    memcpy(&word, bytes.data, sizeof word);
    return from_word(stage, word);
}

static enum soma_status on_difference(const struct soma_difference *difference, void *ctx)
{
    struct comparison *comparison = ctx;
    const struct stage *stage = comparison->stage;
    const unsigned key = key_given(stage, difference->key);
    const bool before = difference->what != SOMA_INSERTED;
    const bool after = difference->what != SOMA_REMOVED;
    if (comparison->differ[key])
        run_failed("a comparison gave key %c twice", 'a' + (int)key);
    comparison->differ[key] = true;
    trace_note("they differ in %c: %s", 'a' + (int)key, soma_status_text(difference->what));
    capture(comparison->a, key, before ? value_given(stage, difference->before) : 0);
    capture(comparison->b, key, after ? value_given(stage, difference->after) : 0);
    return SOMA_OK;
}

/* What is not told must be the same whoever looks, and whenever. */
static void views_compare(struct stage *stage, unsigned slot)
{
    struct comparison comparison = {.stage = stage};
    if (slot + 1 == VIEWS || !(comparison.a = view_use(stage, slot)))
        return;
    comparison.b = view_use(stage, slot + 1);
    if (comparison.b) {
        run_call_entered();
        const enum soma_status status =
            soma_diff_views(comparison.a->view, comparison.b->view, on_difference, &comparison);
        run_call_left();
        trace_note("views %u and %u are compared: %s", slot + 1, slot + 2, soma_status_text(status));
        if (status == SOMA_OK && stage->likeness_count < LIKENESSES) {
            struct likeness *likeness = &stage->likenesses[stage->likeness_count++];
            likeness->a = comparison.a->capture;
            likeness->b = comparison.b->capture;
            for (unsigned key = 0; key < KEYS; key++)
                likeness->alike[key] = !comparison.differ[key];
        }
        view_used(comparison.b);
        stage->calls++;
    }
    view_used(comparison.a);
}

static void likenesses_check(const struct stage *stage)
{
    for (unsigned i = 0; i < stage->likeness_count; i++) {
        const struct likeness *likeness = &stage->likenesses[i];
        for (unsigned key = 0; key < KEYS; key++) {
            const bool known = likeness->a->known[key] && likeness->b->known[key];
            if (known && likeness->alike[key] && likeness->a->value[key] != likeness->b->value[key])
                run_failed("views that do not differ in key %c have %" PRIx64 " and %" PRIx64, 'a' + (int)key,
                           likeness->a->value[key], likeness->b->value[key]);
        }
    }
}

/* The parts of so many bits are gone through; the whole is summed up from what is known of earlier views, where something
 * is. */
#define PART_BITS 4

static void view_digest(struct stage *stage, unsigned slot)
{
    struct viewed *viewed = (stage->flags & DIGESTS) != 0 ? view_use(stage, slot) : NULL;
    struct soma_digest sum = {.count = 0};
    struct soma_digest part;
    struct soma_digest whole;
    if (!viewed)
        return;
    run_call_entered();
    if (soma_view_digest(viewed->view, &whole) != SOMA_OK)
        run_failed("a view has no digest");
    for (uint64_t prefix = 0; prefix >> PART_BITS == 0; prefix++) {
        if (soma_view_range_digest(viewed->view, PART_BITS, prefix, &part) != SOMA_OK)
            run_failed("a part of a view has no digest");
        sum = soma_digest_combine(&sum, &part);
    }
    run_call_left();
    trace_note("view %u has %" PRIu64 " entries by its digest", slot + 1, whole.count);
    if (!soma_digest_equal(&whole, &sum))
        run_failed("a view of %" PRIu64 " entries has a digest of %" PRIu64, sum.count, whole.count);
    view_used(viewed);
    stage->calls++;
}

static void token(struct stage *stage, unsigned thread)
{
    struct actor *actor = &stage->actors[thread];
    run_call_entered();
    actor->has_token = is_words(stage) ? soma_u64_change_token(stage->words, &actor->token) == SOMA_OK
                                       : soma_map_change_token(stage->bytes, &actor->token) == SOMA_OK;
    run_call_left();
    stage->calls++;
}

/* All bits of the key's hash: the smallest range there is. */
static void changed(struct stage *stage, unsigned thread, unsigned key)
{
    const struct actor *actor = &stage->actors[thread];
    bool told = false;
    if (!actor->has_token)
        return;
    const uint64_t id = stage->keys[key];
    run_call_entered();
    const enum soma_status status =
        is_words(stage)
            ? soma_u64_changed_since(stage->words, actor->token, 64, soma__mix_hash(soma__u64_mix(stage->words), id),
                                     &told)
            : soma_map_changed_since(stage->bytes, actor->token, 8,
                                     soma__siphash13(stage->bytes->core.hash.sip.key, &id, sizeof id) >> 56, &told);
    run_call_left();
    if (status != SOMA_OK || !told)
        run_failed("a change of key %c is not told: %s", 'a' + (int)key, soma_status_text(status));
    stage->calls++;
}

static void view_close(struct stage *stage, unsigned slot)
{
    struct viewed *viewed = &stage->views[slot];
    if (!viewed->view || viewed->claimed)
        return;
    viewed->claimed = true;
    while (viewed->users > 0)
        run_yield();
    take_over(viewed);
    run_call_entered();
    soma_view_close(viewed->view);
    run_call_left();
    trace_note("view %u is closed", slot + 1);
    viewed->view = NULL;
    viewed->claimed = false;
    stage->calls++;
}

/* Then what views leave behind may wait for the map's next updates. */
static bool views_used(const struct stage *stage)
{
    return core_of(stage)->clock.now.word != 0;
}

static void views_end(struct stage *stage)
{
    for (unsigned slot = 0; slot < VIEWS; slot++) {
        view_see_all(stage, slot);
        view_digest(stage, slot);
        for (unsigned key = 0; key < KEYS; key++)
            view_see(stage, slot, key, false);
        view_close(stage, slot);
        machine_free(stage->views[slot].handed);
    }
    likenesses_check(stage);
}

/* put_many does not say what was there; the history takes any answer of a put for it. */
static void put_many(struct stage *stage, unsigned thread, unsigned first)
{
    enum {
        MANY = 3
    };
    uint64_t keys[MANY];
    uint64_t ids[MANY];
    struct soma_bytes key_bytes[MANY];
    struct soma_bytes value_bytes[MANY];
    unsigned char bytes[MANY][VALUE_LONG];
    struct call *calls[MANY];
    size_t done = 0;
    run_call_entered();
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = stage->keys[(first + i) % KEYS];
        ids[i] = fresh_id(&stage->actors[thread], thread);
        letter_write(stage, ids[i]);
        key_bytes[i] = (struct soma_bytes){.data = &keys[i], .len = sizeof keys[i]};
        value_bytes[i] = (struct soma_bytes){.data = bytes[i], .len = to_bytes(stage, ids[i], bytes[i])};
        calls[i] = oracle_call(stage->oracle, thread, KEY_PUT_BLIND, (first + i) % KEYS);
        calls[i]->value = ids[i];
    }
    if (is_words(stage))
        (void)soma_u64_put_many(stage->words, keys, ids, MANY, &done);
    else
        (void)soma_map_put_many(stage->bytes, key_bytes, value_bytes, MANY, &done);
    run_call_left();
    for (unsigned i = 0; i < MANY; i++) {
        calls[i]->status = i < done ? SOMA_OK : SOMA_E_NOMEM;
        oracle_return(stage->oracle, calls[i]);
    }
    stage->calls += MANY;
}

static void clear(struct stage *stage, unsigned thread)
{
    struct call *calls[KEYS];
    run_call_entered();
    for (unsigned k = 0; k < KEYS; k++)
        calls[k] = oracle_call(stage->oracle, thread, KEY_CLEAR, k);
    const enum soma_status status = is_words(stage) ? soma_u64_clear(stage->words) : soma_map_clear(stage->bytes);
    run_call_left();
    for (unsigned k = 0; k < KEYS; k++) {
        calls[k]->status = (int8_t)status;
        oracle_return(stage->oracle, calls[k]);
    }
    stage->calls += KEYS;
}

/* What a pass that takes everything out has come to: as many removals as there are keys, all within its time. A key that was there
 * throughout has been taken; so of one that has not been, absence is as good an answer. */
struct taking {
    struct stage *stage;
    struct call *calls[KEYS];
    enum soma_status status;
};

static enum soma_status take_word(uint64_t key, uint64_t value, void *ctx)
{
    const struct taking *taking = ctx;
    (void)key;
    (void)from_word(taking->stage, value); /* it must not be gone */
    return SOMA_REMOVED;
}

static enum soma_status take_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    const struct taking *taking = ctx;
    (void)key, (void)key_len;
    (void)from_bytes(taking->stage, value.data, value.len);
    return SOMA_REMOVED;
}

static void taken(const struct taking *taking, uint64_t key, uint64_t result)
{
    for (unsigned k = 0; k < KEYS; k++) {
        if (taking->stage->keys[k] != key)
            continue;
        if (taking->calls[k]->status == SOMA_REMOVED)
            run_failed("take has given a key twice");
        taking->calls[k]->status = SOMA_REMOVED;
        taking->calls[k]->result = result;
        return;
    }
    run_failed("take gives a key that nobody has");
}

/* Two at a time. */
static size_t take_two(struct taking *taking, uint64_t *place)
{
    const struct stage *stage = taking->stage;
    uint64_t keys[2];
    uint64_t values[2];
    struct soma_bytes key_bytes[2];
    struct soma_bytes value_bytes[2];
    size_t count = 0;
    if (is_words(stage))
        taking->status = soma_u64_take(stage->words, place, 2, take_word, taking, keys, values, &count);
    else
        taking->status = soma_map_take(stage->bytes, place, 2, take_bytes, taking, key_bytes, value_bytes, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_words(stage)) {
            taken(taking, keys[i], from_word(stage, values[i]));
            continue;
        }
        memcpy(&keys[i], key_bytes[i].data, sizeof keys[i]);
        taken(taking, keys[i], from_bytes(stage, value_bytes[i].data, value_bytes[i].len));
    }
    return count;
}

static void take(struct stage *stage, unsigned thread)
{
    struct taking taking = {.stage = stage, .status = SOMA_OK};
    uint64_t place = 0;
    run_call_entered();
    for (unsigned k = 0; k < KEYS; k++)
        taking.calls[k] = oracle_call(stage->oracle, thread, KEY_REMOVE, k);
    soma_read_enter(); /* to look at what comes out */
    while (taking.status == SOMA_OK) {
        if (take_two(&taking, &place) < 2 && taking.status == SOMA_OK)
            run_failed("take has stopped in the middle");
    }
    soma_read_exit();
    run_call_left();
    if (taking.status == SOMA_END && place != 0)
        run_failed("take does not go back to the beginning");
    for (unsigned k = 0; k < KEYS; k++) {
        if (taking.calls[k]->status != SOMA_REMOVED)
            taking.calls[k]->status = taking.status < 0 ? (int8_t)taking.status : SOMA_ABSENT;
        oracle_return(stage->oracle, taking.calls[k]);
    }
    stage->calls += KEYS;
}

/* ---- What is not a key's ---- */

static void grow(struct stage *stage)
{
    const uint64_t n = UINT64_C(2) << dir_m(core_of(stage)->dir.state.word);
    if (is_words(stage))
        (void)soma_u64_reserve(stage->words, n);
    else
        (void)soma_map_reserve(stage->bytes, n);
}

static void shrink(struct stage *stage)
{
    if (is_words(stage))
        (void)soma_u64_shrink(stage->words);
    else
        (void)soma_map_shrink(stage->bytes);
}

static void count(const struct stage *stage)
{
    const uint64_t n = is_words(stage) ? soma_u64_count_approx(stage->words) : soma_map_count_approx(stage->bytes);
    if (n > KEYS + THREADS_MAX)
        run_failed("count_approx answers %" PRIu64, n);
}

static void hold(struct stage *stage, unsigned thread, unsigned key)
{
    struct actor *actor = &stage->actors[thread];
    struct hold *hold = &actor->holds[actor->held % HOLDS];
    struct soma_bytes value = {.data = NULL, .len = 0};
    if (actor->depth == 0 || actor->held == HOLDS)
        return;
    if (is_words(stage)) {
        uint64_t word = 0;
        if ((stage->flags & POINTERS) == 0 || soma_u64_get(stage->words, stage->keys[key], &word) != SOMA_OK)
            return;
        value = (struct soma_bytes){.data = (const void *)(uintptr_t)word, .len = sizeof(uint64_t)};
    } else if (soma_map_get_ref(stage->bytes, &stage->keys[key], sizeof stage->keys[key], &value) != SOMA_OK) {
        return;
    }
    if (!is_words(stage) && value.len == sizeof(uint64_t))
        return; /* a word may change where it stands */
    *hold = (struct hold){.data = value.data, .len = value.len};
    machine_read(hold->data, hold->len);
    memcpy(hold->copy, hold->data, hold->len);
    actor->held++;
}

/* ---- The cell ---- */

/* Plainly, so that a reader that does not know of it races. */
static void object_gone(void *object)
{
    machine_write(object, sizeof(uint64_t));
    machine_free(object);
}

static void publish(struct stage *stage, unsigned thread)
{
    uint64_t *object = object_new(fresh_id(&stage->actors[thread], thread));
    if (soma_cell_publish(stage->cell, object, object_gone) != SOMA_OK)
        object_gone(object);
}

static void publish_if(struct stage *stage, unsigned thread)
{
    uint64_t *object = object_new(fresh_id(&stage->actors[thread], thread));
    soma_read_enter();
    if (soma_cell_publish_if(stage->cell, soma_cell_read(stage->cell), object, object_gone) != SOMA_OK)
        object_gone(object);
    soma_read_exit();
}

static void borrow(struct stage *stage, unsigned thread)
{
    struct actor *actor = &stage->actors[thread];
    const uint64_t *object = actor->depth > 0 && actor->held < HOLDS ? soma_cell_read(stage->cell) : NULL;
    if (!object)
        return;
    struct hold *hold = &actor->holds[actor->held++];
    *hold = (struct hold){.data = (const unsigned char *)object, .len = sizeof *object};
    machine_read(hold->data, hold->len);
    memcpy(hold->copy, hold->data, hold->len);
}

static void leave(struct stage *stage, unsigned thread)
{
    struct actor *actor = &stage->actors[thread];
    if (actor->depth == 0)
        return;
    for (unsigned i = 0; i < actor->held && actor->depth == 1; i++) {
        const struct hold *hold = &actor->holds[i];
        machine_read(hold->data, hold->len);
        if (memcmp(hold->copy, hold->data, hold->len) != 0)
            run_failed("a borrowed value changed");
    }
    if (actor->depth == 1)
        actor->held = 0;
    actor->depth--;
    soma_read_exit();
}

static struct stage *retiring; /* the stage of this run */

static void retire(struct stage *stage);

/* One in three retires another. */
static void retired(void *arg)
{
    uint8_t *counter = arg;
    const unsigned number = (unsigned)(counter - retiring->retired);
    if (number % 3 == 1)
        retire(retiring);
    machine_write(retiring->note[number], sizeof(uint64_t));
    ++*counter;
}

static void retire(struct stage *stage)
{
    retiring = stage;
    if (stage->retires == RETIRED_MAX)
        return;
    const unsigned number = stage->retires++;
    stage->retired[number] = 0;
    stage->note[number] = object_new(number);
    stage->accepted[number] = false;
    if (soma_retire(retired, &stage->retired[number]) == SOMA_OK)
        stage->accepted[number] = true;
    else
        stage->retired[number] = 1; /* refused, so never to be called */
}

/* All that was retired before the barrier was called has run when it returns. */
static void barrier(const struct stage *stage)
{
    bool before[RETIRED_MAX];
    const unsigned retires = stage->retires;
    memcpy(before, stage->accepted, sizeof before);
    soma_barrier_wait();
    for (unsigned i = 0; i < retires; i++) {
        if (before[i] && stage->retired[i] == 0)
            run_failed("the barrier returned before a retired call had run");
        if (before[i])
            machine_read(stage->note[i], sizeof(uint64_t));
    }
}

static void retired_check(const struct stage *stage)
{
    for (unsigned i = 0; i < stage->retires; i++) {
        if (stage->retired[i] != 1)
            run_failed("a retired call ran %u times", stage->retired[i]);
        machine_free(stage->note[i]);
    }
}

/* By nobody: they never come back. */
static void take_homes(const struct soma__dir *dir)
{
    for (uint64_t i = 0; i < UINT64_C(1) << dir_first_log2(WORD_CELL_LOG2); i++)
        soma__cell_at(dir, i)->halves[1].word.word = (1 << WORD_HOMES) - 1;
}

/* The map goes while what was removed from it waits for readers: its last page goes with the last of that. */
static void other_map(void)
{
    const struct soma_u64_options options = {.seed = {3, 4}};
    soma_u64 *map;
    if (soma_u64_new(&options, &map) != SOMA_OK)
        return;
    if (HAVE_CAS16)
        take_homes(&map->core.dir);
    for (uint64_t key = 0; key < 3; key++) {
        (void)soma_u64_put(map, key, key, NULL);
        (void)soma_u64_remove(map, key, NULL);
    }
    soma_u64_free(map);
}

/* Until all threads have come here, as often as this one: until then none of them ends. They learn nothing from it. */
static void meet(struct stage *stage, unsigned thread)
{
    const unsigned meetings = ++stage->actors[thread].meetings;
    stage->met++;
    while (stage->met < meetings * stage->threads)
        run_yield();
}

static void perform(struct stage *stage, unsigned thread, struct op op)
{
    struct actor *actor = &stage->actors[thread];
    switch ((enum verb)op.verb) {
    case DO_GET_MANY:
        get_many(stage, thread);
        break;
    case DO_WALK:
    case DO_WALK_ANEW:
    case DO_WALK_ASK:
        walk(stage, thread, (enum verb)op.verb);
        break;
    case DO_PUT_MANY:
        put_many(stage, thread, op.key);
        break;
    case DO_CLEAR:
        clear(stage, thread);
        break;
    case DO_GET_WITH:
        get_with(stage, thread, op.key);
        break;
    case DO_TAKE:
        take(stage, thread);
        break;
    case DO_COUNT:
        count(stage);
        break;
    case DO_GROW:
        grow(stage);
        break;
    case DO_SHRINK:
        shrink(stage);
        break;
    case DO_STEP:
        probe_shrink_step(core_of(stage));
        break;
    case DO_ENTER:
        soma_read_enter();
        actor->depth++;
        break;
    case DO_EXIT:
        leave(stage, thread);
        break;
    case DO_HOLD:
        hold(stage, thread, op.key);
        break;
    case DO_RETIRE:
        retire(stage);
        break;
    case DO_OTHER_MAP:
        other_map();
        break;
    case DO_BARRIER:
        if (actor->depth == 0)
            barrier(stage);
        break;
    case DO_SYNCHRONIZE:
        if (actor->depth == 0)
            soma_synchronize_wait();
        break;
    case DO_MEET:
        meet(stage, thread);
        break;
    case DO_OPEN:
        view_open(stage, thread, op.view);
        break;
    case DO_SEE:
    case DO_SEE_ASK:
        view_see(stage, op.view, op.key, op.verb == DO_SEE_ASK);
        break;
    case DO_SEE_ALL:
        view_see_all(stage, op.view);
        break;
    case DO_DIGEST:
        view_digest(stage, op.view);
        break;
    case DO_TOKEN:
        token(stage, thread);
        break;
    case DO_CHANGED:
        changed(stage, thread, op.key);
        break;
    case DO_DIFF:
        views_compare(stage, op.view);
        break;
    case DO_CLOSE:
        view_close(stage, op.view);
        break;
    case DO_SUB:
        if (actor->added != 0)
            keyed(stage, thread, DO_SUB, op.key);
        break;
    case DO_PUBLISH:
        publish(stage, thread);
        break;
    case DO_PUBLISH_IF:
        publish_if(stage, thread);
        break;
    case DO_BORROW:
        borrow(stage, thread);
        break;
    default:
        keyed(stage, thread, (enum verb)op.verb, op.key);
    }
}

static void perform_all(struct stage *stage, unsigned thread, const struct script *script)
{
    for (unsigned i = 0; i < script->count; i++) {
        if (i > 0 || thread != 0)
            trace_note("%s", verb_name((enum verb)script->ops[i].verb));
        perform(stage, thread, script->ops[i]);
        stage->actors[thread].done++;
    }
}

/* ---- The stage's parts ---- */

static unsigned map_flags(const struct stage *stage)
{
    const unsigned waits = stage->flags & WAITING ? SOMA_WAIT_AT_LIMIT : 0;
    return stage->flags & DIGESTS ? waits | SOMA_DIGEST : waits;
}

static void open_words(struct stage *stage)
{
    const struct soma_u64_options options = {
        .seed = {1, 2},
        .flags = map_flags(stage),
        .value_retire = (stage->flags & (POINTERS | OWN)) == POINTERS ? word_gone : NULL,
        .ctx = stage,
        .deferred_bytes_max = stage->flags & SMALL_CAP ? CAP_BYTES : 0,
    };
    if (soma_u64_new(&options, &stage->words) != SOMA_OK)
        run_failed("no map");
    if (HAVE_CAS16 && (stage->flags & AWAY))
        take_homes(&stage->words->core.dir);
    if (stage->keys_known)
        return;
    for (unsigned k = 0; k < KEYS; k++)
        stage->keys[k] = soma__mix_inverse(soma__u64_mix(stage->words), hashes[k]);
    stage->keys_known = true;
}

static void open_bytes(struct stage *stage)
{
    const struct soma_map_options options = {
        .seed = {1, 2},
        .flags = map_flags(stage),
        .deferred_bytes_max = stage->flags & SMALL_CAP ? CAP_BYTES : 0,
    };
    if (soma_map_new(&options, &stage->bytes) != SOMA_OK)
        run_failed("no map");
    if (stage->flags & COLLIDE)
        soma__map_hash_mask(stage->bytes, 0);
    if (stage->keys_known)
        return;
    const uint64_t *seed = stage->bytes->core.hash.sip.key;
    for (unsigned k = 0; k < KEYS; k++) {
        for (stage->keys[k] = k; soma__siphash13(seed, &stage->keys[k], sizeof stage->keys[k]) >> 56 != places[k];)
            stage->keys[k] += KEYS;
    }
    stage->keys_known = true;
}

static void stage_set_up(void *arg)
{
    struct stage *stage = arg;
    oracle_begin(stage->oracle);
    memset(stage->actors, 0, sizeof stage->actors);
    stage->retires = 0;
    stage->met = 0;
    stage->words = NULL;
    stage->bytes = NULL;
    stage->letters = machine_alloc(THREADS_MAX * LETTERS_MAX * sizeof *stage->letters, 16);
    stage->cell = machine_alloc(sizeof *stage->cell, 16);
    soma_cell_init(stage->cell, NULL);
    memset(stage->views, 0, sizeof stage->views);
    stage->likeness_count = 0;
    stage->tellings = 0;
    for (unsigned slot = 0; slot < VIEWS; slot++)
        stage->views[slot].handed = object_new(0);
    if (is_words(stage))
        open_words(stage);
    else
        open_bytes(stage);
    perform_all(stage, 0, &stage->scripts[0]);
    while (stage->actors[0].depth > 0)
        leave(stage, 0); /* else the others might wait for it for ever */
    for (unsigned t = 1; t <= stage->threads; t++)
        memcpy(stage->actors[t].last, stage->actors[0].last, sizeof stage->actors[t].last);
}

static void stage_body(unsigned thread, void *arg)
{
    struct stage *stage = arg;
    perform_all(stage, thread, &stage->scripts[thread]);
}

/* A handler runs as its thread, once that has used Soma. */
static bool stage_may_signal(unsigned thread, void *arg)
{
    const struct stage *stage = arg;
    return stage->actors[thread].done > 0;
}

static void stage_signal(unsigned thread, void *arg)
{
    struct stage *stage = arg;
    const unsigned depth = stage->actors[thread].depth;
    trace_note("a signal");
    for (unsigned i = 0; i < stage->signal.count; i++) {
        if (stage->signal.ops[i].verb != DO_EXIT || stage->actors[thread].depth > depth)
            perform(stage, thread, stage->signal.ops[i]);
    }
    while (stage->actors[thread].depth > depth)
        leave(stage, thread); /* a handler closes what it opens, and nothing else */
    trace_note("the handler returns");
}

/* What must hold of the list when nobody is at it: order, and sentinels in their places (O1, O5). `tended`: no view is open,
 * and what was let go has been taken out. */
static void check_list(const struct stage *stage, bool tended)
{
    const struct soma__dir *dir = &core_of(stage)->dir;
    const bool room = (stage->flags & (FAULTS | SMALL_CAP)) == 0;
    uint64_t edge = soma__dir_bucket_at(dir, 0)->word;
    uint64_t hash = 0;
    unsigned length = 0;
    while (soma__edge_onward(edge) != EDGE_END) {
        if (++length > 200)
            run_failed("the list does not end");
        const struct soma__node *node = edge & EDGE_BUCKET ? NULL : soma__edge_node(edge);
        const struct atom *next = node ? &node->edge : soma__edge_bucket(edge);
        const uint64_t at = node ? node->hash.word : soma__bucket_position(soma__dir_bucket_index(dir, next));
        if (at < hash)
            run_failed("O1: the list is out of order");
        hash = at;
        edge = next->word;
        if ((edge & EDGE_FROZEN) && room && tended)
            run_failed("what was removed is still linked");
        if (node && soma__node_dead(node) && room && tended)
            run_failed("a dead version is linked, though no view is open");
    }
}

/* The map's digest, which its stripes add up to, is that of what is there. */
static void check_digest(struct stage *stage)
{
    struct soma_digest summed;
    struct soma_digest there;
    soma_view *view = NULL;
    if (is_words(stage) ? soma_u64_view_open(stage->words, &view) : soma_map_view_open(stage->bytes, &view))
        return; /* no memory */
    if (soma_view_digest(view, &there) != SOMA_OK ||
        (is_words(stage) ? soma_u64_digest(stage->words, &summed) : soma_map_digest(stage->bytes, &summed)) != SOMA_OK)
        run_failed("no digest at the end");
    if (!soma_digest_equal(&summed, &there))
        run_failed("the stripes' digest is not that of what is there");
    soma_view_close(view);
}

static void check_end(struct stage *stage)
{
    uint64_t present = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        keyed(stage, 0, DO_GET, k);
        uint64_t word;
        size_t len;
        present += is_words(stage) ? soma_u64_get(stage->words, stage->keys[k], &word) == SOMA_OK
                                   : soma_map_get_copy(stage->bytes, &stage->keys[k], sizeof stage->keys[k], NULL, 0,
                                                       &len) == SOMA_OK;
    }
    const uint64_t counted =
        is_words(stage) ? soma_u64_count_approx(stage->words) : soma_map_count_approx(stage->bytes);
    if (counted != present)
        run_failed("%" PRIu64 " keys are there, count_approx answers %" PRIu64, present, counted);
    if (stage->flags & DIGESTS)
        check_digest(stage);
}

/* Records that stand in blocks; the reserve does not. */
static unsigned records(void)
{
    unsigned n = 0;
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        n += !machine_is_global(r);
    return n;
}

/* What was reserved is there, once a level that was leaving meanwhile has come back. */
static void check_reserved(struct stage *stage)
{
    const struct soma__dir *dir = &core_of(stage)->dir;
    for (int i = 0; i < RESERVED_STEPS; i++)
        probe_shrink_step(core_of(stage));
    const unsigned m = dir_m(dir->state.word);
    if (m < dir->floor_log2.word)
        run_failed("2^%" PRIu64 " buckets are reserved, and there are 2^%u", dir->floor_log2.word, m);
}

/* Helping sets up every bucket, those of a level that has come back, too. In a weak run who helps may not have heard that it
 * has: then they wait until they are needed. */
static void check_set_up(struct stage *stage)
{
    const struct soma__dir *dir = &core_of(stage)->dir;
    if ((stage->flags & SET_UP) == 0 || run_is_weak())
        return;
    for (int i = 0; i < BUCKETS_SEEN; i++)
        probe_help(core_of(stage));
    for (uint64_t i = 0; i < UINT64_C(1) << dir_m(dir->state.word); i++) {
        if (!soma__edge_starts(soma__dir_bucket_at(dir, i)->word))
            run_failed("bucket %" PRIu64 " of 2^%u is not set up", i, dir_m(dir->state.word));
    }
}

/* A level that can go does, and leaves nothing behind. */
static void check_shrinks(struct stage *stage)
{
    const struct soma__dir *dir = &core_of(stage)->dir;
    const uint64_t present =
        is_words(stage) ? soma_u64_count_approx(stage->words) : soma_map_count_approx(stage->bytes);
    shrink(stage);
    const uint64_t state = dir->state.word;
    const unsigned m = dir_m(state);
    if (dir_phase(state) != DIR_STEADY)
        run_failed("a level stays in phase %d", dir_phase(state));
    if (m > dir_first_log2(dir->shape.cell_log2) && present <= dir_entries(dir, m - 1) / 4 * 4)
        run_failed("%" PRIu64 " entries keep 2^%u buckets", present, m);
    for (uint64_t i = UINT64_C(1) << m; i < BUCKETS_SEEN; i++) {
        const struct atom *cell = soma__dir_bucket_at(dir, i);
        for (size_t word = 0; word < (size_t)1 << dir->shape.cell_log2 >> 3; word++) {
            if (machine_is_committed(&cell[word]) && cell[word].word != 0)
                run_failed("bucket %" PRIu64 " of 2^%u is not empty", i, m);
        }
    }
}

/* Records are free when their threads have ended; thread 0 has one. */
static void check_records(void)
{
    unsigned n = 0;
    for (const struct soma__reader *r = soma__readers(); r; r = r->next)
        n += r->in_use.word != 0;
    if (n > 1)
        run_failed("%u records are nobody's and not free", n - 1);
}

static void stage_check(void *arg)
{
    struct stage *stage = arg;
    char why[400];
    check_end(stage);
    check_list(stage, !views_used(stage));
    views_end(stage);
    check_records();
    check_reserved(stage);
    check_set_up(stage);
    check_shrinks(stage);
    check_list(stage, true);
    unsigned retires;
    do { /* what a retired call retires is no part of the barrier that runs it */
        retires = stage->retires;
        soma_barrier_wait();
    } while (stage->retires != retires);
    if (core_of(stage)->owner.deferred.word != 0)
        run_failed("%" PRIu64 " bytes are deferred after a barrier", core_of(stage)->owner.deferred.word);
    if (run_calls_ordered() && !oracle_holds(stage->oracle, why, sizeof why))
        run_failed("%s", why);
    for (unsigned k = 0; k < KEYS && (stage->flags & OWN); k++)
        keyed(stage, 0, DO_REMOVE, k);
    machine_free(stage->letters);
    soma_cell_fini(stage->cell, object_gone);
    machine_free(stage->cell);
    soma_u64_free(stage->words);
    soma_map_free(stage->bytes);
    soma_barrier_wait();
    retired_check(stage);
    if (machine_blocks() != records() || machine_ranges() != 0)
        run_failed("a leak: %zu blocks for %u records, %zu maps", machine_blocks(), records(), machine_ranges());
}

struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    if (stage)
        stage->oracle = oracle_new();
    if (!stage || !stage->oracle) {
        perror("sched: a stage");
        exit(2);
    }
    return stage;
}

/* A batch of all keys takes some 600 steps, more beside others. */
#define STEPS_BASE 20000
#define STEPS_OP 1000

static uint32_t steps_max(const struct script *scripts, unsigned threads)
{
    uint32_t steps = STEPS_BASE;
    for (unsigned t = 1; t <= threads; t++)
        steps += STEPS_OP * scripts[t].count;
    return steps;
}

void stage_set(struct stage *stage, unsigned flags, const struct script *scripts, unsigned threads,
               const struct script *signal)
{
    if ((flags & BOTH) != (stage->flags & BOTH))
        stage->keys_known = false;
    stage->flags = flags;
    stage->threads = threads;
    memcpy(stage->scripts, scripts, (threads + 1) * sizeof *scripts);
    stage->signal = *signal;
    stage->program = (struct program){.threads = threads,
                                      .set_up = stage_set_up,
                                      .body = stage_body,
                                      .signal = stage->signal.count > 0 ? stage_signal : NULL,
                                      .may_signal = stage_may_signal,
                                      .check = stage_check,
                                      .arg = stage,
                                      .steps_max = steps_max(scripts, threads),
                                      .faults = (flags & FAULTS) != 0,
                                      .no_membarrier = (flags & NO_MEMBARRIER) != 0};
}

void stage_free(struct stage *stage)
{
    oracle_free(stage->oracle);
    free(stage);
}

const struct program *stage_program(struct stage *stage)
{
    return &stage->program;
}

uint64_t stage_calls(const struct stage *stage)
{
    return stage->calls;
}
