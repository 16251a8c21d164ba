/* SPDX-License-Identifier: ISC */
#include "support/figures.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fail.h"

struct figure {
    struct figure_key key;
    double *samples;
    unsigned n;
};

static struct figure *figures;
static unsigned figure_count;

static bool same(const struct figure_key *a, const struct figure_key *b)
{
    return a->size == b->size && a->threads == b->threads && a->batch == b->batch && strcmp(a->map, b->map) == 0 &&
           strcmp(a->metric, b->metric) == 0 && strcmp(a->bench, b->bench) == 0;
}

static struct figure *find(const struct figure_key *key)
{
    for (unsigned i = 0; i < figure_count; i++) {
        if (same(&figures[i].key, key))
            return &figures[i];
    }
    return NULL;
}

static struct figure *make(const struct figure_key *key)
{
    figures = grow_or_fail(figures, (figure_count + 1) * sizeof *figures);
    figures[figure_count] = (struct figure){.key = *key};
    return &figures[figure_count++];
}

void figures_add(struct figure_key key, double value)
{
    struct figure *figure = find(&key);
    if (!figure)
        figure = make(&key);
    figure->samples = grow_or_fail(figure->samples, (figure->n + 1) * sizeof(double));
    figure->samples[figure->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The sample at a place in the order from least (0) to greatest (1); of two middle ones their mean. */
static double at(const struct figure *figure, double place)
{
    double *sorted = alloc_or_fail(figure->n * sizeof *sorted);
    memcpy(sorted, figure->samples, figure->n * sizeof *sorted);
    qsort(sorted, figure->n, sizeof *sorted, by_value);
    const double rank = place * (figure->n - 1);
    const double value = (sorted[(unsigned)floor(rank)] + sorted[(unsigned)ceil(rank)]) / 2;
    free(sorted);
    return value;
}

double figures_median(struct figure_key key)
{
    const struct figure *figure = find(&key);
    return figure ? at(figure, 0.5) : (double)NAN;
}

double figures_least(struct figure_key key)
{
    const struct figure *figure = find(&key);
    return figure ? at(figure, 0) : (double)NAN;
}

void figures_write(const char *path, const char *label)
{
    FILE *file = fopen(path, "w");
    if (!file)
        fail("cannot write %s: %s", path, strerror(errno));
    fprintf(file, "build,bench,map,metric,entries,threads,batch,median,least,greatest,rounds\n");
    for (unsigned i = 0; i < figure_count; i++) {
        const struct figure *figure = &figures[i];
        const struct figure_key *key = &figure->key;
        fprintf(file, "%s,%s,%s,%s,%llu,%u,%u,%.6g,%.6g,%.6g,%u\n", label, key->bench, key->map, key->metric,
                (unsigned long long)key->size, key->threads, key->batch, at(figure, 0.5), at(figure, 0), at(figure, 1),
                figure->n);
    }
    if (fclose(file) != 0)
        fail("cannot write %s: %s", path, strerror(errno));
}

const char *figure_text(double value, char text[FIGURE_TEXT])
{
    const double size = fabs(value);
    if (isnan(value))
        return strcpy(text, "-");
    if (size >= 9999.5e3)
        snprintf(text, FIGURE_TEXT, "%.1fM", value / 1e6);
    else if (size >= 999.5e3)
        snprintf(text, FIGURE_TEXT, "%.2fM", value / 1e6);
    else if (size >= 9999.5)
        snprintf(text, FIGURE_TEXT, size >= 99950 ? "%.0fk" : "%.1fk", value / 1e3);
    else
        snprintf(text, FIGURE_TEXT, size >= 99.95 ? "%.0f" : size >= 9.995 ? "%.1f" : "%.2f", value);
    return text;
}
