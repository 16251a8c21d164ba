/* SPDX-License-Identifier: ISC */
#include "support/machine.h"

#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "support/clock.h"
#include "support/memory.h"

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

#if defined(__clang__)
#define COMPILER "Clang " __clang_version__
#else
#define COMPILER "GCC " __VERSION__
#endif

/* The first line of a file that starts with `name`, from behind the separator to a quote or its end; "unknown" if there
 * is none. */
static const char *line_of(const char *path, const char *name, const char *separator, char *line, size_t size)
{
    FILE *file = fopen(path, "r");
    char *found = NULL;
    while (file && !found && fgets(line, (int)size, file)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        char *behind = strstr(line, separator);
        found = behind ? behind + strlen(separator) : line;
        found[strcspn(found, "\n\"")] = '\0';
    }
    if (file)
        fclose(file);
    return found ? found : "unknown";
}

static void row(struct table *table, const char *what, const char *which)
{
    table_cell(table, "%s", what);
    table_cell(table, "%s", which);
}

unsigned machine_cores(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (unsigned)cores : 1;
}

static void hardware(struct table *table)
{
    char line[256];
    char text[64];
    row(table, "processor", line_of("/proc/cpuinfo", "model name", ": ", line, sizeof line));
    snprintf(text, sizeof text, "%u online", machine_cores());
    row(table, "cores", text);
    const double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    snprintf(text, sizeof text, "%.1f GiB", bytes / (double)(UINT64_C(1) << 30));
    row(table, "memory", text);
    row(table, "huge pages", line_of("/sys/kernel/mm/transparent_hugepage/enabled", "", "", line, sizeof line));
}

static void software(struct table *table)
{
    char line[256];
    char text[200];
    struct utsname system;
    uname(&system);
    snprintf(text, sizeof text, "%s %s %s", system.sysname, system.release, system.machine);
    row(table, "kernel", text);
    row(table, "system", line_of("/etc/os-release", "PRETTY_NAME", "=\"", line, sizeof line));
    row(table, "compiler", COMPILER);
    row(table, "C library", gnu_get_libc_version());
    row(table, "liburcu", PERF_URCU_VERSION);
    row(table, "uthash", TEXT_OF(UTHASH_VERSION));
    const char *settings = getenv("MALLOC_CONF");
    snprintf(text, sizeof text, "jemalloc %.*s, MALLOC_CONF %s", (int)strcspn(memory_allocator(), "-"),
             memory_allocator(), settings ? settings : "not set");
    row(table, "allocator of all", text);
}

struct table machine_record(const char *label)
{
    static const char *const heads[] = {"what", "which"};
    struct table table = {.heads = heads, .columns = 2, .left = 2};
    char text[64];
    const time_t now = time(NULL);
    struct tm when;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &when));
    row(&table, "date", text);
    table_cell(&table, "Soma");
    table_cell(&table, "%s, build %s", PERF_SOMA_VERSION, label);
    hardware(&table);
    software(&table);
    snprintf(text, sizeof text, "CLOCK_MONOTONIC, %.0f ns a reading", clock_cost_ns());
    row(&table, "clock", text);
    return table;
}
