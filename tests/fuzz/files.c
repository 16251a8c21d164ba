/* SPDX-License-Identifier: ISC */
/* files.c - hands files to a fuzz target that takes plain bytes: a kept corpus (TAP), or one file, as AFL++ does. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file that fails ends the program. */
static bool replay(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    const bool whole = feof(file) && !ferror(file);
    fclose(file);
    if (whole)
        LLVMFuzzerTestOneInput(bytes, size);
    return whole;
}

static int replay_all(DIR *folder, const char *name)
{
    unsigned done = 0;
    char path[4096];
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        if (!replay(path)) {
            printf("not ok 1 - %s cannot be read\n1..1\n", path);
            return 1;
        }
        done++;
    }
    printf("%sok 1 - %u files\n1..1\n", done > 0 ? "" : "not ", done);
    return done == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: fuzz-NAME-replay CORPUS|FILE\n", stderr);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder)
        return replay(argv[1]) ? 0 : 2;
    const int status = replay_all(folder, argv[1]);
    closedir(folder);
    return status;
}
