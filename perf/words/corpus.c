/* SPDX-License-Identifier: ISC */
#include "words/corpus.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/fail.h"

/* For parts so small that it does not matter. */
#define READ_AT_ONCE ((size_t)1 << 20)

static void add(struct corpus *corpus, const char *text, size_t len)
{
    if (corpus->n == corpus->room) {
        corpus->room = corpus->room > 0 ? corpus->room * 2 : 1024;
        corpus->keys = grow_or_fail(corpus->keys, corpus->room * sizeof *corpus->keys);
    }
    corpus->keys[corpus->n++] = (struct key){.text = text, .len = (uint32_t)len};
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

void cut_words(struct corpus *corpus, char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        const size_t start = i;
        for (; i < size && in_word(text[i]); i++)
            text[i] = (char)tolower((unsigned char)text[i]);
        if (i > start)
            add(corpus, text + start, i - start);
        i++;
    }
}

void cut_fields(struct corpus *corpus, char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const char *line = text + i;
        const char *end = memchr(line, '\n', size - i);
        const size_t len = end ? (size_t)(end - line) : size - i;
        /* Further lines of a long field begin with a blank. */
        if (len > 0 && !isspace((unsigned char)line[0]) && memmem(line, len, ": ", 2))
            add(corpus, line, len);
        i += len + 1;
    }
}

/* The whole of a file, also of a pipe. The keys point into it, so it stays for good. */
static char *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file)
        fail_usage("cannot read '%s': %s", path, strerror(errno));
    if (fstat(fileno(file), &info) == 0 && S_ISDIR(info.st_mode))
        fail_usage("cannot read '%s': it is a directory", path);
    char *text = NULL;
    size_t some;
    *size = 0;
    do {
        text = grow_or_fail(text, *size + READ_AT_ONCE);
        some = fread(text + *size, 1, READ_AT_ONCE, file);
        *size += some;
    } while (some == READ_AT_ONCE);
    if (ferror(file))
        fail_usage("cannot read '%s': %s", path, strerror(errno));
    fclose(file);
    return text;
}

void corpus_read(struct corpus *corpus, const char *path, corpus_cut cut)
{
    size_t size;
    char *text = read_all(path, &size);
    cut(corpus, text, size);
}
