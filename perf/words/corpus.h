/* SPDX-License-Identifier: ISC */
/* corpus.h - the texts, cut into keys before anything is timed. */
#ifndef PERF_CORPUS_H
#define PERF_CORPUS_H

#include <stddef.h>
#include <stdint.h>

struct key {
    const char *text; /* into the corpus; not terminated */
    uint32_t len;
};

struct corpus {
    const char *name;
    struct key *keys;
    size_t n;
    size_t room;
};

/* How a text becomes keys. */
typedef void (*corpus_cut)(struct corpus *corpus, char *text, size_t size);

/* Runs of ASCII letters, digits and underscores, in lower case. */
void cut_words(struct corpus *corpus, char *text, size_t size);

/* Lines of the form "name: value", each one key; other lines are passed over. */
void cut_fields(struct corpus *corpus, char *text, size_t size);

/* Reads a file and adds its keys. Ends the program with one line and EXIT_USAGE if it cannot be read. */
void corpus_read(struct corpus *corpus, const char *path, corpus_cut cut);

#endif
