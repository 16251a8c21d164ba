/* SPDX-License-Identifier: ISC */
/* trace.c - see trace.h. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "run.h"
#include "trace.h"

#define LINES_MAX 20000
#define PLACE_MAX 120

struct line {
    uint32_t step;
    unsigned thread;
    const void *pc; /* NULL: a note */
    char text[300];
};

bool trace_on;

static struct line *lines;
static size_t count;

void trace_begin(void)
{
    if (!lines)
        lines = calloc(LINES_MAX, sizeof *lines);
    trace_on = lines != NULL;
    count = 0;
}

static struct line *new_line(const void *pc)
{
    if (count == LINES_MAX)
        return NULL;
    struct line *line = &lines[count++];
    *line = (struct line){.step = run_step(), .thread = run_thread(), .pc = pc};
    return line;
}

/* Values are mostly addresses with flags: named as such where they lead into the library's memory. */
static void value_text(uint64_t value, char *text, size_t size)
{
    char name[100];
    machine_name((const void *)(uintptr_t)(value & ~UINT64_C(7)), name, sizeof name);
    if (value < 4096 || strncmp(name, "0x", 2) == 0)
        snprintf(text, size, "0x%" PRIx64, value);
    else
        snprintf(text, size, "%s%s%s%s", name, value & 4 ? " BUCKET" : "", value & 2 ? " REPLACED" : "",
                 value & 1 ? " FROZEN" : "");
}

void trace_access(const void *pc, const char *what, const void *address, uint64_t value, const char *how)
{
    struct line *line = new_line(pc);
    if (!line)
        return;
    char where[80];
    char text[160];
    machine_name(address, where, sizeof where);
    value_text(value, text, sizeof text);
    snprintf(line->text, sizeof line->text, "%s %s: %s %s", what, where, text, how);
}

void trace_note(const char *format, ...)
{
    struct line *line = trace_on ? new_line(NULL) : NULL;
    if (!line)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
}

/* The innermost frame that is not one of the doors to atomics, as "function at file:line". */
static void place_of(const void *pc, char *place)
{
    Dl_info info;
    char command[600];
    char text[300];
    place[0] = '\0';
    if (!dladdr(pc, &info) || !info.dli_fname)
        return;
    const uintptr_t offset = (uintptr_t)pc - (uintptr_t)info.dli_fbase - 1;
    snprintf(command, sizeof command, "addr2line -s -f -i -p -e '%s' 0x%" PRIxPTR " 2>/dev/null", info.dli_fname,
             offset);
    FILE *tool = popen(command, "r");
    if (!tool)
        return;
    while (fgets(text, sizeof text, tool)) {
        text[strcspn(text, "\n")] = '\0';
        const char *frame = strncmp(text, " (inlined by) ", 14) == 0 ? text + 14 : text;
        snprintf(place, PLACE_MAX, "%.110s", frame);
        if (!strstr(frame, "atom.h"))
            break;
    }
    while (fgets(text, sizeof text, tool)) {
    }
    pclose(tool);
}

struct known_place {
    const void *pc;
    char place[PLACE_MAX];
};

static const char *place_cached(const void *pc)
{
    static struct known_place known[512];
    static size_t used;
    for (size_t i = 0; i < used; i++) {
        if (known[i].pc == pc)
            return known[i].place;
    }
    struct known_place *fresh = &known[used < 511 ? used++ : 511];
    fresh->pc = pc;
    place_of(pc, fresh->place);
    return fresh->place;
}

void trace_print(FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct line *line = &lines[i];
        fprintf(out, "  %5" PRIu32 "  %*sT%u  %s", line->step, 2 * (int)line->thread, "", line->thread, line->text);
        if (line->pc)
            fprintf(out, "   [%s]", place_cached(line->pc));
        fputc('\n', out);
    }
    if (count == LINES_MAX)
        fputs("  ... and more\n", out);
}
