/* SPDX-License-Identifier: ISC */
/* replay.c - runs inputs from files, TAP; and writes the first inputs of a corpus from the scenarios. For AFL++ as well:
 * one file, one run, and a failure ends with abort(). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "input.h"
#include "scenarios.h"
#include "target.h"

#define INPUT_MAX ((size_t)1 << 16)

static unsigned number;

static bool run_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
    number++;
    return true;
}

static bool run_folder(const char *path)
{
    char name[4096];
    DIR *folder = opendir(path);
    if (!folder)
        return run_file(path);
    bool good = true;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        good &= run_file(name);
    }
    closedir(folder);
    return good;
}

static bool write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size) {
        perror(path);
        return false;
    }
    return fclose(file) == 0;
}

static bool write_scenario(const char *folder, const struct scenario *scenario, unsigned kind)
{
    static struct input input;
    uint8_t bytes[256];
    char name[100];
    bool good = script_parse(scenario->before, &input.scripts[0]) && script_parse(scenario->signal, &input.signal);
    input.flags = (scenario->flags & ~(unsigned)BOTH) | kind;
    input.schedule.weak = true;
    for (input.threads = 0; input.threads < THREADS_MAX - 1 && scenario->threads[input.threads]; input.threads++)
        good &= script_parse(scenario->threads[input.threads], &input.scripts[input.threads + 1]);
    snprintf(name, sizeof name, "%s-%s", scenario->name, kind == WORDS ? "words" : "bytes");
    const size_t size = input_encode(&input, bytes, sizeof bytes);
    return good && write_file(folder, name, bytes, size);
}

static bool write_corpus(const char *folder)
{
    bool good = true;
    mkdir(folder, 0777);
    for (unsigned i = 0; i < scenario_count; i++) {
        for (unsigned kind = WORDS; kind <= BYTES; kind <<= 1) {
            if (scenarios[i].flags & kind)
                good &= write_scenario(folder, &scenarios[i], kind);
        }
    }
    return good;
}

int main(int argc, char **argv)
{
    bool good = true;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        puts("usage: fuzz-replay FILE-OR-FOLDER...\n       fuzz-replay --seeds FOLDER   write the scenarios as inputs");
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--seeds") == 0)
        return argc == 3 && write_corpus(argv[2]) ? 0 : 2;
    for (int i = 1; i < argc; i++)
        good &= run_folder(argv[i]);
    printf("%s 1 - %u inputs\n1..1\n", good && number > 0 ? "ok" : "not ok", number);
    return good && number > 0 ? 0 : 1;
}
