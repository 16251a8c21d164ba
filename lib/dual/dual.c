/* SPDX-License-Identifier: ISC */
/* dual.c - a call on both sides, under the mutex of its key, and what they say compared: see dual.h. */
#include "dual/dual.h"

#include <soma_config.h>

#include <soma/rcu.h>

#include "base/cancel.h"
#include "base/check.h"
#include "mem/mem.h"
#include "rcu/rcu.h"

#if HAVE_BACKTRACE
#include <execinfo.h>
#endif

/* ---- Copies ---- */

void *soma__dual_copy_room(struct dual_copy *copy, size_t len)
{
    copy->bytes = (struct soma_bytes){.data = copy->room, .len = len};
    if (len <= sizeof copy->room)
        return copy->room;
    if (copy->large && len > copy->cap)
        soma__dual_copy_fini(copy);
    if (!copy->large) {
        copy->large = soma__mem_alloc(len);
        copy->cap = len;
    }
    copy->bytes.data = copy->large;
    return copy->large;
}

void soma__dual_copy_fini(struct dual_copy *copy)
{
    if (copy->large)
        soma__mem_free(copy->large, copy->cap);
    copy->large = NULL;
}

/* ---- Counting and choosing ---- */

static struct dual_tally *tally(struct dual *dual)
{
    return &dual->tallies[soma__self ? soma__self->index % DUAL_TALLIES : 0];
}

/* order DUAL-1 relaxed | value only, no data behind it | pairs: DUAL-1 */
static void count_one(struct atom *count)
{
    atom_add_rlx(count, 1);
}

static void count_call(struct dual *dual, enum soma_dual_verb verb)
{
    count_one(&tally(dual)->calls[verb]);
}

/* Whether to compare this call. The draws of a thread follow from the seed. */
static bool chosen(struct dual *dual, enum soma_dual_verb verb)
{
    struct dual_tally *here = tally(dual);
    bool yes = dual->all;
    if (!yes && dual->threshold > 0) {
        const uint64_t draw = atom_add_rlx(&here->draws, 1) + 1; /* DUAL-1 */
        yes = soma__digest_finish(dual->options.seed + draw * UINT64_C(0x9e3779b97f4a7c15)) < dual->threshold;
    }
    if (yes)
        count_one(&here->compared[verb]);
    return yes;
}

void soma__dual_counters(const struct dual *dual, struct soma_dual_counters *out)
{
    struct soma_dual_counters sums = {.calls = {0}};
    for (unsigned i = 0; dual && i < DUAL_TALLIES; i++) {
        const struct dual_tally *from = &dual->tallies[i];
        for (unsigned v = 0; v < SOMA_DUAL_VERBS; v++) {
            sums.calls[v] += atom_load_rlx(&from->calls[v]);             /* DUAL-1 */
            sums.compared[v] += atom_load_rlx(&from->compared[v]);       /* DUAL-1 */
            sums.differences[v] += atom_load_rlx(&from->differences[v]); /* DUAL-1 */
        }
    }
    *out = sums;
}

/* ---- Telling ---- */

static struct soma_dual_answer answer_of(const struct dual *dual, const struct dual_said *said)
{
    struct soma_dual_answer answer = {.status = said->status, .told = said->told};
    if (said->told && dual->kind->words)
        answer.word = soma__word_if_any(said->value);
    else if (said->told)
        answer.bytes = said->value;
    return answer;
}

static NOINLINE void tell(struct dual *dual, struct soma_dual_difference *difference)
{
    count_one(&tally(dual)->differences[difference->verb]);
    difference->number = atom_add_rlx(&dual->number, 1) + 1; /* DUAL-1 */
    if (!dual->options.difference)
        return;
#if HAVE_BACKTRACE
    void *stack[SOMA_DUAL_STACK];
    const int cancel = soma__cancel_hold(); /* the first one loads a library */
    difference->stack = stack;
    difference->depth = backtrace(stack, SOMA_DUAL_STACK);
    soma__cancel_let(cancel);
#endif
    dual->options.difference(difference, dual->options.ctx);
}

static void tell_key(struct dual *dual, enum soma_dual_verb verb, struct soma_bytes key, const struct dual_said *old,
                     const struct dual_said *soma)
{
    struct soma_dual_difference difference = {
        .verb = verb, .words = dual->kind->words, .old = answer_of(dual, old), .soma = answer_of(dual, soma)};
    if (dual->kind->words)
        difference.key_word = soma__word_of(key);
    else
        difference.key = key;
    tell(dual, &difference);
}

static void tell_numbers(struct dual *dual, enum soma_dual_verb verb, struct soma_dual_answer old,
                         struct soma_dual_answer soma)
{
    struct soma_dual_difference difference = {.verb = verb, .words = dual->kind->words, .old = old, .soma = soma};
    tell(dual, &difference);
}

static bool agree(const struct dual_said *old, const struct dual_said *soma)
{
    return old->status == soma->status && (!old->told || !soma->told || soma__bytes_same(old->value, soma->value));
}

/* ---- One key ---- */

static const enum soma_dual_verb verb_of[] = {
    [VERB_GET] = SOMA_DUAL_GET,
    [VERB_PUT] = SOMA_DUAL_PUT,
    [VERB_PUT_NEW] = SOMA_DUAL_PUT_NEW,
    [VERB_REPLACE] = SOMA_DUAL_REPLACE,
    [VERB_CAS] = SOMA_DUAL_CAS,
    [VERB_REMOVE] = SOMA_DUAL_REMOVE,
    [VERB_REMOVE_IF] = SOMA_DUAL_REMOVE_IF,
    [VERB_FETCH_ADD] = SOMA_DUAL_FETCH_ADD,
};

static pthread_mutex_t *mutex_of(struct dual *dual, struct soma_bytes key)
{
    const uint64_t hash = dual->kind->words ? soma__mix_hash(&dual->mix, soma__word_of(key))
                                            : soma__siphash13(dual->sip, key.data, key.len);
    return &dual->stripes[hash >> 32 & (DUAL_STRIPES - 1)].mutex;
}

static void deliver(const struct dual_reply *reply, const struct dual_said *said, const void *lent)
{
    if (!said->told)
        return;
    if (reply->word && said->value.len == sizeof *reply->word)
        *reply->word = soma__word_if_any(said->value);
    if (reply->lent)
        *reply->lent = (struct soma_bytes){.data = lent ? lent : said->value.data, .len = said->value.len};
    if (reply->buf && said->value.len > 0)
        memcpy(reply->buf, said->value.data, said->value.len < reply->cap ? said->value.len : reply->cap);
    if (reply->len)
        *reply->len = said->value.len;
}

/* A call that is under way. */
struct call {
    const struct soma__request *request;
    const struct dual_reply *reply;
    bool compared;
    bool look;        /* the old side's value is asked for */
    bool needed;      /* and without it the old side cannot answer */
    bool differs;     /* the sides do, which is to be told */
    const void *lent; /* a copy of the old side's value for the caller */
    struct dual_copy has;
    struct dual_said old;
    struct dual_said soma;
    struct dual_copy *shown; /* if they differ: of Soma's value */
};

/* All that may fail before anything is changed. That the old side cannot look is its answer: the pair's, if it is the one who answers
 * and cannot do without. */
static enum soma_status prepare(struct dual *dual, struct call *call)
{
    if (!call->look)
        return SOMA_OK;
    const enum soma_status status = dual->kind->old_copy(dual, call->request->key, &call->has);
    if (status < 0)
        return status;
    const bool old_answers = dual->options.mode == SOMA_DUAL_OLD_ANSWERS;
    if (old_answers && call->needed && call->has.status < 0)
        return call->has.status;
    const bool lend = call->reply->lent && old_answers && call->has.present;
    if (lend)
        call->lent = soma__lend(call->has.bytes, NULL);
    return lend && !call->lent ? SOMA_E_NOMEM : SOMA_OK;
}

/* A lookup that is not compared: by the answering side alone. */
static enum soma_status look_up(struct dual *dual, struct call *call)
{
    const bool old = dual->options.mode == SOMA_DUAL_OLD_ANSWERS;
    struct dual_said *said = old ? &call->old : &call->soma;
    enum soma_status status = SOMA_OK;
    if (old)
        status = prepare(dual, call);
    if (status < 0)
        return status;
    if (old)
        dual->kind->old_do(dual, call->request, &call->has, said);
    else
        dual->kind->soma_do(dual, call->request, said);
    deliver(call->reply, said, call->lent);
    return said->status;
}

/* For behind the section, which ends Soma's value. Without memory for a copy, it is cut to what there is room for. */
static NOINLINE void keep(const struct dual *dual, struct call *call)
{
    call->differs = true;
    call->shown->large = NULL;
    struct soma_bytes *value = &call->soma.value;
    if (dual->kind->words || !call->soma.told || value->len == 0)
        return;
    void *room = soma__dual_copy_room(call->shown, value->len);
    if (!room) {
        value->len = sizeof call->shown->room;
        room = call->shown->room;
    }
    memcpy(room, value->data, value->len);
    value->data = room;
}

/* The values are looked at under the mutex: a word of Soma's may change where it stands as soon as it is given back. */
static enum soma_status on_both(struct dual *dual, struct call *call)
{
    const struct dual_said *said = dual->options.mode == SOMA_DUAL_OLD_ANSWERS ? &call->old : &call->soma;
    pthread_mutex_t *mutex = mutex_of(dual, call->request->key);
    pthread_mutex_lock(mutex);
    const enum soma_status status = prepare(dual, call);
    if (status == SOMA_OK) {
        dual->kind->old_do(dual, call->request, call->look ? &call->has : NULL, &call->old);
        dual->kind->soma_do(dual, call->request, &call->soma);
        deliver(call->reply, said, call->lent);
        if (call->compared && !agree(&call->old, &call->soma))
            keep(dual, call);
    }
    pthread_mutex_unlock(mutex);
    return status < 0 ? status : said->status;
}

enum soma_status soma__dual_do(struct dual *dual, const struct soma__request *request, const struct dual_reply *reply)
{
    if (!soma__request_ok(request) || (!reply->buf && reply->cap > 0)) {
        MISUSE("a key, value or buffer is NULL with a length, or longer than SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    const bool old_tells =
        dual->options.mode == SOMA_DUAL_OLD_ANSWERS && (reply->word || reply->lent || reply->len || reply->buf);
    const enum soma_dual_verb verb = verb_of[request->verb];
    count_call(dual, verb);
    struct dual_copy shown;
    struct call call = {.request = request, .reply = reply, .compared = chosen(dual, verb), .shown = &shown};
    const bool native = dual->kind->old_native(dual, request->verb);
    call.needed = request->verb != VERB_GET && (!native || (!dual->kind->words && old_tells));
    call.look = request->verb == VERB_GET || call.needed || (!dual->kind->words && call.compared);
    soma_read_enter(); /* what Soma names and what is lent stays until the caller has it */
    const enum soma_status status =
        request->verb == VERB_GET && !call.compared ? look_up(dual, &call) : on_both(dual, &call);
    soma_read_exit();
    if (call.differs) {
        tell_key(dual, verb, request->key, &call.old, &call.soma);
        soma__dual_copy_fini(&shown);
    }
    soma__dual_copy_fini(&call.has);
    if (status == SOMA_INSERTED && request->verb == VERB_FETCH_ADD && reply->word)
        *reply->word = 0;
    return status;
}

/* ---- All of it ----
 *
 * Neither side's calls are inside a section then, so work is held back: retired calls may use the pair. */

static void lock_all(struct dual *dual)
{
    soma__work_hold();
    for (unsigned i = 0; i < DUAL_STRIPES; i++)
        pthread_mutex_lock(&dual->stripes[i].mutex);
}

static void unlock_all(struct dual *dual)
{
    for (unsigned i = DUAL_STRIPES; i-- > 0;)
        pthread_mutex_unlock(&dual->stripes[i].mutex);
    soma__work_resume();
}

enum soma_status soma__dual_clear(struct dual *dual)
{
    if (!dual->kind->old_has(dual, SOMA_DUAL_CLEAR))
        return SOMA_E_UNSUPPORTED;
    count_call(dual, SOMA_DUAL_CLEAR);
    const bool compared = chosen(dual, SOMA_DUAL_CLEAR);
    lock_all(dual);
    const struct soma_dual_answer old = {.status = dual->kind->old_clear(dual)};
    const struct soma_dual_answer soma = {.status = dual->kind->soma_clear(dual)};
    unlock_all(dual);
    if (compared && old.status != soma.status)
        tell_numbers(dual, SOMA_DUAL_CLEAR, old, soma);
    return dual->options.mode == SOMA_DUAL_OLD_ANSWERS ? old.status : soma.status;
}

uint64_t soma__dual_count(struct dual *dual)
{
    const bool both = dual->kind->old_has(dual, SOMA_DUAL_COUNT);
    count_call(dual, SOMA_DUAL_COUNT);
    const bool compared = both && chosen(dual, SOMA_DUAL_COUNT);
    struct soma_dual_answer old = {.told = true};
    struct soma_dual_answer soma = {.told = true};
    lock_all(dual);
    soma.word = core_count(dual->core);
    old.word = both ? dual->kind->old_count(dual) : soma.word;
    unlock_all(dual);
    if (compared && old.word != soma.word)
        tell_numbers(dual, SOMA_DUAL_COUNT, old, soma);
    return dual->options.mode == SOMA_DUAL_OLD_ANSWERS ? old.word : soma.word;
}

/* ---- Checks ---- */

struct check {
    struct dual *dual;
    struct soma_digest digest; /* of what the old map has; its count is of the entries that were given */
    uint64_t differing;
    bool by_digest;
};

static void check_said(struct check *check, struct soma_bytes key, const struct dual_said *old,
                       const struct dual_said *soma)
{
    count_one(&tally(check->dual)->compared[SOMA_DUAL_CHECK]);
    if (agree(old, soma))
        return;
    check->differing++;
    tell_key(check->dual, SOMA_DUAL_CHECK, key, old, soma);
}

static bool visit_old(struct soma_bytes key, struct soma_bytes value, void *ctx)
{
    struct check *check = ctx;
    struct dual *dual = check->dual;
    check->digest.count++;
    if (check->by_digest) {
        soma__digest_add(dual->core->digest_key, soma__entry_fnv(dual->kind->words, key, value), 1, check->digest.lane);
        return true;
    }
    const struct soma__request request = {.verb = VERB_GET, .key = key};
    const struct dual_said old = {.status = SOMA_OK, .told = true, .value = value};
    struct dual_said soma = {.told = false};
    soma_read_enter();
    dual->kind->soma_do(dual, &request, &soma);
    check_said(check, key, &old, &soma);
    soma_read_exit();
    return true;
}

static enum soma_status check_digest(struct check *check)
{
    struct dual *dual = check->dual;
    struct soma_digest digest = {.count = 0};
    const enum soma_status status = dual->kind->soma_digest(dual, &digest);
    if (status != SOMA_OK)
        return status;
    count_one(&tally(dual)->compared[SOMA_DUAL_DIGEST]);
    if (soma_digest_equal(&digest, &check->digest))
        return SOMA_OK;
    check->differing = 1;
    tell_numbers(dual, SOMA_DUAL_DIGEST, (struct soma_dual_answer){.told = true, .word = check->digest.lane[0]},
                 (struct soma_dual_answer){.told = true, .word = digest.lane[0]});
    return SOMA_OK;
}

/* What only Soma has, or the old map cannot look up. */
static enum soma_status check_rest(struct check *check)
{
    struct dual *dual = check->dual;
    soma_cursor *cursor;
    enum soma_status status = dual->kind->soma_cursor(dual, &cursor);
    if (status != SOMA_OK)
        return status;
    struct dual_said soma = {.status = SOMA_OK, .told = true};
    struct dual_said key = {.told = true};
    struct dual_copy has = {.large = NULL};
    while ((status = dual->kind->soma_next(cursor, &key)) == SOMA_OK) {
        status = dual->kind->old_copy(dual, key.value, &has);
        if (status < 0)
            break;
        const struct soma__request request = {.verb = VERB_GET, .key = key.value};
        const struct dual_said old = {.status = has.status < 0 ? has.status : SOMA_ABSENT};
        soma_read_enter();
        dual->kind->soma_do(dual, &request, &soma);
        if (!has.present)
            check_said(check, key.value, &old, &soma);
        soma_read_exit();
    }
    soma__dual_copy_fini(&has);
    soma_cursor_close(cursor);
    return status == SOMA_END ? SOMA_OK : status;
}

static enum soma_status check_walk(struct check *check)
{
    struct dual *dual = check->dual;
    const uint64_t count = core_count(dual->core);
    const enum soma_status status = check_rest(check);
    if (status != SOMA_OK || check->differing > 0 || count == check->digest.count)
        return status;
    check->differing = 1; /* a key twice */
    tell_numbers(dual, SOMA_DUAL_COUNT, (struct soma_dual_answer){.told = true, .word = check->digest.count},
                 (struct soma_dual_answer){.told = true, .word = count});
    return SOMA_OK;
}

enum soma_status soma__dual_check(struct dual *dual, enum soma_dual_how how, uint64_t *differing)
{
    if (how != SOMA_DUAL_BY_DIGEST && how != SOMA_DUAL_BY_WALK) {
        MISUSE("there is no such check");
        return SOMA_E_INVALID;
    }
    struct check check = {.dual = dual, .by_digest = how == SOMA_DUAL_BY_DIGEST};
    if (!dual->kind->old_has(dual, SOMA_DUAL_CHECK) || (check.by_digest && !(dual->core->flags & SOMA_DIGEST)))
        return SOMA_E_UNSUPPORTED;
    count_call(dual, check.by_digest ? SOMA_DUAL_DIGEST : SOMA_DUAL_CHECK);
    lock_all(dual);
    enum soma_status status = dual->kind->old_walk(dual, visit_old, &check);
    if (status >= 0)
        status = check.by_digest ? check_digest(&check) : check_walk(&check);
    unlock_all(dual);
    if (status == SOMA_OK && differing)
        *differing = check.differing;
    return status;
}

/* ---- Birth and death ---- */

enum soma_status soma__dual_options_check(const struct soma_dual_options *options)
{
    const bool known = options->struct_size == 0 || options->struct_size == sizeof *options;
    const bool mode = options->mode == SOMA_DUAL_OLD_ANSWERS || options->mode == SOMA_DUAL_SOMA_ANSWERS;
    if (known && mode && options->rate >= 0 && options->rate <= 1)
        return SOMA_OK;
    MISUSE("options.struct_size or mode is unknown, or rate is not from 0 to 1");
    return SOMA_E_INVALID;
}

struct filling {
    struct dual *dual;
    enum soma_status status;
};

static bool fill(struct soma_bytes key, struct soma_bytes value, void *ctx)
{
    struct filling *filling = ctx;
    const struct soma__request request = {.verb = VERB_PUT, .key = key, .value = value};
    struct dual_said said = {.told = false};
    filling->dual->kind->soma_do(filling->dual, &request, &said);
    if (said.status < 0)
        filling->status = said.status;
    return said.status >= 0;
}

/* Work is held back: the walk may hold the old map's lock, and retired calls may want it. */
static enum soma_status fill_all(struct dual *dual)
{
    struct filling filling = {.dual = dual, .status = SOMA_OK};
    soma__work_hold();
    const enum soma_status walked = dual->kind->old_walk(dual, fill, &filling);
    soma__work_resume();
    return walked < 0 ? walked : filling.status;
}

static void fini_stripes(struct dual *dual, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_mutex_destroy(&dual->stripes[i].mutex);
}

enum soma_status soma__dual_init(struct dual *dual, const struct dual_kind *kind,
                                 const struct soma_dual_options *options, void *old)
{
    dual->kind = kind;
    dual->old = old;
    dual->options = *options;
    dual->all = options->rate >= 1;
    dual->threshold = dual->all ? 0 : (uint64_t)(options->rate * 0x1p64);
    soma__seed_random(dual->sip);
    soma__mix_init(&dual->mix, dual->sip);
    for (unsigned i = 0; i < DUAL_STRIPES; i++) {
        if (pthread_mutex_init(&dual->stripes[i].mutex, NULL) != 0) {
            fini_stripes(dual, i);
            return SOMA_E_NOMEM;
        }
    }
    const enum soma_status status = kind->old_has(dual, SOMA_DUAL_CHECK) ? fill_all(dual) : SOMA_OK;
    if (status < 0)
        fini_stripes(dual, DUAL_STRIPES);
    return status;
}

void soma__dual_fini(struct dual *dual)
{
    fini_stripes(dual, DUAL_STRIPES);
}
