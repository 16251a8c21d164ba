/* SPDX-License-Identifier: ISC */
/* tell.c - differences as text. Nothing here is called but by the program. */
#include <soma/dual.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <inttypes.h>

#include <soma_config.h>

#include "base/atom.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "mem/mem.h"

#if HAVE_BACKTRACE
#include <execinfo.h>
#endif

#define SHOWN 32
#define LINES 4096

static const char *const verbs[SOMA_DUAL_VERBS] = {
    [SOMA_DUAL_GET] = "get",
    [SOMA_DUAL_PUT] = "put",
    [SOMA_DUAL_PUT_NEW] = "put_new",
    [SOMA_DUAL_REPLACE] = "replace",
    [SOMA_DUAL_CAS] = "cas",
    [SOMA_DUAL_REMOVE] = "remove",
    [SOMA_DUAL_REMOVE_IF] = "remove_if",
    [SOMA_DUAL_FETCH_ADD] = "fetch_add",
    [SOMA_DUAL_CLEAR] = "clear",
    [SOMA_DUAL_COUNT] = "count",
    [SOMA_DUAL_CHECK] = "check",
    [SOMA_DUAL_DIGEST] = "digest",
};

const char *soma_dual_verb_name(enum soma_dual_verb verb)
{
    return (size_t)verb < SOMA_DUAL_VERBS ? verbs[verb] : NULL;
}

/* Text that knows how long it would be. */
struct text {
    char *buf;
    size_t cap;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    const size_t at = text->len < text->cap ? text->len : text->cap;
    char *to = text->buf ? text->buf + at : NULL;
    va_list args;
    va_start(args, format);
    const int more = vsnprintf(to, text->cap - at, format, args); // NOLINT(clang-analyzer-valist.Uninitialized): wrong
    va_end(args);
    text->len += more > 0 ? (size_t)more : 0;
}

static const char *status_name(enum soma_status status)
{
    switch (status) {
    case SOMA_OK:
        return "SOMA_OK";
    case SOMA_INSERTED:
        return "SOMA_INSERTED";
    case SOMA_REPLACED:
        return "SOMA_REPLACED";
    case SOMA_REMOVED:
        return "SOMA_REMOVED";
    case SOMA_ABSENT:
        return "SOMA_ABSENT";
    case SOMA_EXISTS:
        return "SOMA_EXISTS";
    case SOMA_CHANGED:
        return "SOMA_CHANGED";
    case SOMA_E_NOMEM:
        return "SOMA_E_NOMEM";
    case SOMA_E_INVALID:
        return "SOMA_E_INVALID";
    case SOMA_E_LIMIT:
        return "SOMA_E_LIMIT";
    default:
        return soma_status_text(status);
    }
}

static void add_bytes(struct text *text, struct soma_bytes bytes)
{
    const unsigned char *data = bytes.data;
    add(text, "\"");
    for (size_t i = 0; i < bytes.len && i < SHOWN; i++) {
        const bool plain = data[i] >= ' ' && data[i] <= '~' && data[i] != '"' && data[i] != '\\';
        add(text, plain ? "%c" : "\\x%02x", data[i]);
    }
    add(text, bytes.len > SHOWN ? "\"... of %zu bytes" : "\"", bytes.len);
}

static bool has_key(enum soma_dual_verb verb)
{
    return verb != SOMA_DUAL_CLEAR && verb != SOMA_DUAL_COUNT && verb != SOMA_DUAL_DIGEST;
}

static void add_answer(struct text *text, const struct soma_dual_difference *difference,
                       const struct soma_dual_answer *answer)
{
    if (has_key(difference->verb) || difference->verb == SOMA_DUAL_CLEAR)
        add(text, "%s", status_name(answer->status));
    if (!answer->told)
        return;
    if (has_key(difference->verb))
        add(text, " ");
    if (difference->words || !has_key(difference->verb))
        add(text, "%" PRIu64, answer->word);
    else
        add_bytes(text, answer->bytes);
}

static void add_stack(struct text *text, const struct soma_dual_difference *difference)
{
    char **names = NULL;
#if HAVE_BACKTRACE
    if (difference->depth > 0)
        names = backtrace_symbols(difference->stack, difference->depth);
#endif
    for (int i = 0; i < difference->depth; i++) {
        if (names)
            add(text, "    #%d %s\n", i, names[i]);
        else
            add(text, "    #%d [%p]\n", i, difference->stack[i]);
    }
    free((void *)names);
}

size_t soma_dual_format(const struct soma_dual_difference *difference, char *buf, size_t cap)
{
    struct text text = {.buf = buf, .cap = buf ? cap : 0};
    const char *verb = soma_dual_verb_name(difference->verb);
    add(&text, "soma dual: difference %" PRIu64 ": %s", difference->number, verb ? verb : "?");
    if (has_key(difference->verb)) {
        add(&text, " ");
        if (difference->words)
            add(&text, "%" PRIu64, difference->key_word);
        else
            add_bytes(&text, difference->key);
    }
    add(&text, ": old ");
    add_answer(&text, difference, &difference->old);
    add(&text, ", soma ");
    add_answer(&text, difference, &difference->soma);
    add(&text, "\n");
    add_stack(&text, difference);
    return text.len;
}

/* ---- A log ---- */

/* Of each map, so many are all logged; of those behind them, of whatever map, one in this time. */
#define FIRST 100
#define APART_NS 1000000000

static struct atom logged_ns; /* when the last of those was */
static struct atom left_out;  /* since then */

/* order DUAL-2 relaxed | value only: of threads that come at once, the swap lets one | pairs: DUAL-2 */
static bool is_due(const struct soma_dual_difference *difference)
{
    if (difference->number <= FIRST)
        return true;
    const uint64_t now = soma__now_ns();
    uint64_t last = atom_load_rlx(&logged_ns);
    if (now >= last + APART_NS && atom_cas_rlx(&logged_ns, &last, now))
        return true;
    atom_add_rlx(&left_out, 1);
    return false;
}

static void log_to(FILE *file, const struct soma_dual_difference *difference)
{
    uint64_t missing = atom_load_rlx(&left_out);             /* DUAL-2 */
    if (missing > 0 && atom_cas_rlx(&left_out, &missing, 0)) /* DUAL-2 */
        (void)fprintf(file, "soma dual: %" PRIu64 " not shown\n", missing);
    char few[LINES];
    const size_t len = soma_dual_format(difference, few, sizeof few);
    char *all = len < sizeof few ? NULL : soma__mem_alloc(len + 1);
    if (all)
        soma_dual_format(difference, all, len + 1);
    (void)fputs(all ? all : few, file);
    if (all)
        soma__mem_free(all, len + 1);
}

void soma_dual_log(const struct soma_dual_difference *difference, void *ctx)
{
    if (!is_due(difference))
        return;
    const int cancel = soma__cancel_hold();
    log_to(ctx ? ctx : stderr, difference);
    soma__cancel_let(cancel);
}
