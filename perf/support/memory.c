/* SPDX-License-Identifier: ISC */
#include "support/memory.h"

#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <string.h>

#include "support/fail.h"

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

/* A field of a file of the form "Name:   123 kB", in bytes. */
static int64_t field_bytes(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail("cannot read %s", path);
    char line[256];
    long long kilobytes = -1;
    while (kilobytes < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), "%lld", &kilobytes);
    }
    fclose(file);
    if (kilobytes < 0)
        fail("%s has no field %s", path, name);
    return kilobytes * 1024;
}

/* smaps_rollup and not statm: it counts the pages one by one, while the counters behind statm are only roughly right.
 */
struct memory memory_now(void)
{
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl("arena." TEXT_OF(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL, NULL, 0);
    return (struct memory){
        .resident = field_bytes("/proc/self/smaps_rollup", "Anonymous:"),
        .huge = field_bytes("/proc/self/smaps_rollup", "AnonHugePages:"),
        .page_tables = field_bytes("/proc/self/status", "VmPTE:"),
    };
}

const char *memory_allocator(void)
{
    const char *version = "unknown";
    size_t size = sizeof version;
    mallctl("version", &version, &size, NULL, 0);
    return version;
}
