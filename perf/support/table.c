/* SPDX-License-Identifier: ISC */
#include "support/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "support/fail.h"
#include "support/figures.h"

static void add(struct table *table, const char *text)
{
    table->cells = grow_or_fail(table->cells, (table->n + 1) * sizeof *table->cells);
    table->cells[table->n++] = text_or_fail(text);
}

void table_cell(struct table *table, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(table, text);
}

void table_figure(struct table *table, double value)
{
    char text[FIGURE_TEXT];
    add(table, figure_text(value, text));
}

void table_section(struct table *table, const char *text)
{
    table_cell(table, "%c%s", TABLE_SECTION, text);
    while (table->n % table->columns != 0)
        add(table, "");
}

bool table_is_section(const struct table *table, unsigned row)
{
    return table->cells[row * table->columns][0] == TABLE_SECTION;
}

static int width(const struct table *table, unsigned column)
{
    size_t most = strlen(table->heads[column]);
    for (unsigned row = 0; row < table->n / table->columns; row++) {
        const size_t len = strlen(table->cells[row * table->columns + column]);
        if (!table_is_section(table, row) && len > most)
            most = len;
    }
    return (int)most;
}

static void print_row(const struct table *table, const char *const *texts, FILE *file)
{
    for (unsigned i = 0; i < table->columns; i++) {
        const int wide = width(table, i);
        const bool last = i + 1 == table->columns;
        fprintf(file, "%*s%s", i < table->left ? (last ? 0 : -wide) : wide, texts[i], last ? "\n" : "  ");
    }
}

void table_print(const struct table *table, FILE *file)
{
    print_row(table, table->heads, file);
    for (unsigned row = 0; row < table->n / table->columns; row++) {
        char **cells = &table->cells[row * table->columns];
        if (table_is_section(table, row))
            fprintf(file, "\n%s\n", cells[0] + 1);
        else
            print_row(table, (const char *const *)cells, file);
    }
}

void table_free(struct table *table)
{
    for (unsigned i = 0; i < table->n; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->n = 0;
}
