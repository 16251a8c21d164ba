/* SPDX-License-Identifier: ISC */
/* misuse.c - what SOMA_MISUSE asks for, and the words of debug builds. */
#include "base/cancel.h"
#include "base/check.h"

#if HAVE_GUARD

#include <dlfcn.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REASON_BYTES 900

__thread const char *soma__call __attribute__((tls_model("initial-exec")));
static __thread char reason[REASON_BYTES] __attribute__((tls_model("initial-exec")));

static struct {
    bool ends;
    bool traces;
    uint64_t section_ns;
} asked; /* written before main() */

/* ---- SOMA_MISUSE ---- */

#define TRACE_FRAMES 32

static void ask_for(const char *word, size_t len)
{
    static const char section[] = "section=";
    const size_t section_len = sizeof section - 1;
    char *end = NULL;
    if (len == strlen("print") && memcmp(word, "print", len) == 0)
        asked.ends = false;
    else if (len == strlen("abort") && memcmp(word, "abort", len) == 0)
        asked.ends = true;
    else if (len == strlen("trace") && memcmp(word, "trace", len) == 0)
        asked.traces = true;
    else if (len > section_len && memcmp(word, section, section_len) == 0 && word[section_len] != '-' &&
             (asked.section_ns = strtoull(word + section_len, &end, 10) * 1000000, end == word + len))
        return;
    else
        soma__complain("SOMA_MISUSE", "a word is none of print, abort, trace, section=MILLISECONDS");
}

__attribute__((constructor(101))) static void read_environment(void)
{
    void *frames[1];
    for (const char *word = getenv("SOMA_MISUSE"); word && *word;) {
        const size_t len = strcspn(word, ",");
        ask_for(word, len);
        word += len + (word[len] == ',');
    }
    if (asked.traces)
        (void)backtrace(frames, 1); /* the first call takes memory, which a later one in a handler must not */
}

uint64_t soma__section_limit_ns(void)
{
    return asked.section_ns;
}

/* ---- What is said ---- */

const char *soma__place(const void *code, char text[PLACE_BYTES])
{
    Dl_info info;
    if (!code || dladdr(code, &info) == 0 || !info.dli_fname) {
        (void)snprintf(text, PLACE_BYTES, "%p", code);
        return text;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    const size_t offset = (size_t)((const char *)code - (const char *)info.dli_fbase);
    if (info.dli_sname)
        (void)snprintf(text, PLACE_BYTES, "%s+0x%zx (%s+0x%zx)", info.dli_sname,
                       (size_t)((const char *)code - (const char *)info.dli_saddr), file, offset);
    else
        (void)snprintf(text, PLACE_BYTES, "%s+0x%zx", file, offset);
    return text;
}

void soma__because(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
}

const char *soma__caller(const char *where)
{
    const bool internal = strncmp(where, "soma_", strlen("soma_")) != 0 || where[strlen("soma_")] == '_';
    return internal && soma__call ? soma__call : where;
}

void soma__misuse(const char *where, const char *what)
{
    char text[REASON_BYTES];
    (void)snprintf(text, sizeof text, "%s", reason[0] ? reason : what);
    reason[0] = '\0';
    soma__complain(soma__caller(where), text);
    if (asked.traces) {
        void *frames[TRACE_FRAMES];
        const int cancel = soma__cancel_hold();
        backtrace_symbols_fd(frames, backtrace(frames, TRACE_FRAMES), STDERR_FILENO);
        soma__cancel_let(cancel);
    }
    if (asked.ends)
        abort();
}

#endif
