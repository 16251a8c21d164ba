/* SPDX-License-Identifier: ISC */
/* chart.h - bars in groups, as SVG within a page. */
#ifndef PERF_CHART_H
#define PERF_CHART_H

#include <stdbool.h>
#include <stdio.h>

#define CHART_GROUPS 16
#define CHART_SERIES 8

struct chart {
    const char *title;
    const char *unit;
    bool log; /* each line of the grid is ten times the one below */
    unsigned groups;
    unsigned series;
    char group_names[CHART_GROUPS][32];
    const char *series_names[CHART_SERIES];
    unsigned colours[CHART_SERIES];            /* of the page's style */
    double values[CHART_GROUPS][CHART_SERIES]; /* NAN: no bar */
};

/* Charts stand side by side where there is room. */
void charts_start(FILE *page);
void charts_end(FILE *page);

/* A chart without a single bar is left out. */
void chart_draw(FILE *page, const struct chart *chart);

#endif
