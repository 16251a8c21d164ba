/* SPDX-License-Identifier: ISC */
/* show.c - going through a plan, and the tables, charts and targets that the benchmarks have in common. */
#include "cells/cells.h"

#include <math.h>
#include <string.h>

#include "support/chart.h"
#include "support/page.h"
#include "support/table.h"

unsigned peer_count(const struct bench *bench)
{
    unsigned n = 0;
    while (bench->peers[n])
        n++;
    return n;
}

unsigned cell_count(const struct bench *bench, const struct plan *plan)
{
    return plan->sizes.n * plan->threads.n * peer_count(bench);
}

void for_each_cell(const struct bench *bench, const struct plan *plan, unsigned round,
                   void (*fn)(const struct bench *bench, const struct cell *cell))
{
    const unsigned peers = peer_count(bench);
    for (unsigned i = 0; i < cell_count(bench, plan); i++) {
        const struct cell cell = {
            .peer = bench->peers[(i + round) % peers],
            .threads = (unsigned)plan->threads.at[i / peers % plan->threads.n],
            .size = plan->sizes.at[i / peers / plan->threads.n],
            .seconds = plan->seconds,
        };
        fn(bench, &cell);
    }
}

const char *size_text(uint64_t size, char text[FIGURE_TEXT])
{
    if (size % 1000000 == 0)
        snprintf(text, FIGURE_TEXT, "%lluM", (unsigned long long)size / 1000000);
    else if (size % 1000 == 0)
        snprintf(text, FIGURE_TEXT, "%lluk", (unsigned long long)size / 1000);
    else
        snprintf(text, FIGURE_TEXT, "%llu", (unsigned long long)size);
    return text;
}

void show_table(struct table *table, FILE *page)
{
    table_print(table, stdout);
    putchar('\n');
    page_table(page, table);
    table_free(table);
}

static struct figure_key mops_key(const struct bench *bench, const char *map, uint64_t size, uint64_t threads)
{
    return (struct figure_key){
        .bench = bench->name, .map = map, .metric = "Mops", .size = size, .threads = (unsigned)threads};
}

static void mops_rows(const struct bench *bench, uint64_t size, uint64_t threads, struct table *table)
{
    const double soma = figures_median(mops_key(bench, peer_soma.name, size, threads));
    char text[FIGURE_TEXT];
    for (unsigned p = 0; bench->peers[p]; p++) {
        const double mops = figures_median(mops_key(bench, bench->peers[p]->name, size, threads));
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", bench->peers[p]->name);
        table_figure(table, mops);
        table_figure(table, (double)threads * 1e3 / mops);
        table_cell(table, "%.2fx", soma / mops);
    }
}

static void mops_chart(const struct bench *bench, const struct plan *plan, uint64_t size, FILE *page)
{
    char title[80];
    char text[FIGURE_TEXT];
    snprintf(title, sizeof title, "%s, %s entries", bench->name, size_text(size, text));
    struct chart chart = {.title = title, .unit = "million operations a second"};
    for (unsigned t = 0; t < plan->threads.n && t < CHART_GROUPS; t++) {
        const uint64_t threads = plan->threads.at[t];
        snprintf(chart.group_names[t], sizeof chart.group_names[t], "%llu thread%s", (unsigned long long)threads,
                 threads == 1 ? "" : "s");
        for (unsigned p = 0; bench->peers[p] && p < CHART_SERIES; p++)
            chart.values[t][p] = figures_median(mops_key(bench, bench->peers[p]->name, size, threads));
        chart.groups = t + 1;
    }
    for (unsigned p = 0; bench->peers[p] && p < CHART_SERIES; p++) {
        chart.series_names[p] = bench->peers[p]->name;
        chart.colours[p] = bench->peers[p]->colour;
        chart.series = p + 1;
    }
    chart_draw(page, &chart);
}

void report_mops(const struct bench *bench, const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "threads", "map", "Mops", "ns a thread's op", "soma is"};
    struct table table = {.heads = heads, .columns = 6, .left = 3};
    charts_start(page);
    for (unsigned s = 0; s < plan->sizes.n; s++)
        mops_chart(bench, plan, plan->sizes.at[s], page);
    charts_end(page);
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++)
            mops_rows(bench, plan->sizes.at[s], plan->threads.at[t], &table);
    }
    show_table(&table, page);
}

static const char *verdict(const struct target *target, double measured)
{
    if (isnan(measured))
        return "not measured";
    return (target->at_most ? measured <= target->bound : measured >= target->bound) ? "MET" : "MISSED";
}

void report_targets(const struct bench *bench, FILE *page)
{
    if (bench->target_count == 0)
        return;
    static const char *const heads[] = {"target", "verdict", "wanted", "measured"};
    struct table table = {.heads = heads, .columns = 4, .left = 2};
    char text[FIGURE_TEXT];
    for (unsigned i = 0; i < bench->target_count; i++) {
        const struct target *target = &bench->targets[i];
        const double figure = figures_median(target->figure);
        const double measured = target->against.map ? figure / figures_median(target->against) : figure;
        const char *unit = target->against.map ? "x" : "";
        table_cell(&table, "%s", target->text);
        table_cell(&table, "%s", verdict(target, measured));
        table_cell(&table, "%s %s%s", target->at_most ? "<=" : ">=", figure_text(target->bound, text), unit);
        table_cell(&table, "%s%s", figure_text(measured, text), isnan(measured) ? "" : unit);
    }
    show_table(&table, page);
}
