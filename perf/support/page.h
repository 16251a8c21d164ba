/* SPDX-License-Identifier: ISC */
/* page.h - a report: one HTML file that needs nothing else, light or dark as the reader's system is. */
#ifndef PERF_PAGE_H
#define PERF_PAGE_H

#include <stdio.h>

#include "support/table.h"

FILE *page_open(const char *path, const char *title);
void page_close(FILE *page, const char *path);

void page_section(FILE *page, const char *title);
void page_text(FILE *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
void page_table(FILE *page, const struct table *table);

/* Puts text where HTML is expected. */
void page_escaped(FILE *page, const char *text);

/* Makes a directory and those above it. */
void page_directory(const char *path);

#endif
