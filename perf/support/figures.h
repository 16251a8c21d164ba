/* SPDX-License-Identifier: ISC */
/* figures.h - what was measured: one figure for each thing asked, with one sample a round. */
#ifndef PERF_FIGURES_H
#define PERF_FIGURES_H

#include <stdint.h>

/* What a figure is about. Texts are constants; a number that means nothing here is 0. */
struct figure_key {
    const char *bench;  /* which benchmark, or which part of it */
    const char *map;    /* which contestant */
    const char *metric; /* what was measured, unit last */
    uint64_t size;      /* entries */
    unsigned threads;
    unsigned batch; /* keys a call */
};

void figures_add(struct figure_key key, double value);

/* Over the rounds so far; NAN if there is no such figure. */
double figures_median(struct figure_key key);
double figures_least(struct figure_key key);

/* All figures, one a line, in the order in which they first came. */
void figures_write(const char *path, const char *label);

/* A number in at most seven characters: 0.42, 12.3, 1234, 12.3k, 4.56M. "-" for NAN. */
#define FIGURE_TEXT 24
const char *figure_text(double value, char text[FIGURE_TEXT]);

#endif
