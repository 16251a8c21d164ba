/* SPDX-License-Identifier: ISC */
/* table.h - a table of texts that can be printed and put on a page. */
#ifndef PERF_TABLE_H
#define PERF_TABLE_H

#include <stdbool.h>
#include <stdio.h>

struct table {
    const char *const *heads;
    unsigned columns;
    unsigned left; /* so many columns, from the first, are words and stand to the left; numbers stand to the right */
    char **cells;  /* row by row; a cell that starts with TABLE_SECTION heads a section, the rest of its row is empty */
    unsigned n;    /* cells so far */
};

#define TABLE_SECTION '\1'

/* The next cell; rows fill up from the left. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number as by figure_text(). */
void table_figure(struct table *table, double value);

/* A row that heads what follows. */
void table_section(struct table *table, const char *text);

bool table_is_section(const struct table *table, unsigned row);
void table_print(const struct table *table, FILE *file);
void table_free(struct table *table);

#endif
