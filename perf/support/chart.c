/* SPDX-License-Identifier: ISC */
#include "support/chart.h"

#include <math.h>
#include <string.h>

#include "support/figures.h"
#include "support/page.h"

/* The drawing, in the units of its viewBox. */
#define WIDTH 600.0
#define HEIGHT 270.0
#define LEFT 46.0
#define RIGHT 6.0
#define TOP 34.0
#define BOTTOM 24.0
#define GROUP_GAP 16.0
#define BAR_GAP 2.0

/* What a height means: from `low` at the bottom to `high` at the top. */
struct scale {
    double low;
    double high;
    double step; /* between lines of the grid; a factor if log */
    bool log;
};

static double y_of(const struct scale *scale, double value)
{
    const double part = scale->log ? log10(value / scale->low) / log10(scale->high / scale->low)
                                   : (value - scale->low) / (scale->high - scale->low);
    const double shown = part < 0 ? 0 : part > 1 ? 1 : part;
    return HEIGHT - BOTTOM - shown * (HEIGHT - BOTTOM - TOP);
}

static void extremes(const struct chart *chart, double *least, double *most)
{
    *least = (double)INFINITY;
    *most = 0;
    for (unsigned g = 0; g < chart->groups; g++) {
        for (unsigned s = 0; s < chart->series; s++) {
            if (chart->values[g][s] > 0)
                *least = fmin(*least, chart->values[g][s]);
            *most = fmax(*most, chart->values[g][s]);
        }
    }
}

/* Lines of the grid at 1, 2 or 5 times a power of ten, about five of them. */
static struct scale linear_scale(double most)
{
    const double power = pow(10, floor(log10(most / 4)));
    const double rough = most / 4 / power;
    const double step = power * (rough <= 1 ? 1 : rough <= 2 ? 2 : rough <= 5 ? 5 : 10);
    return (struct scale){.low = 0, .high = step * ceil(most / step), .step = step};
}

static struct scale log_scale(double least, double most)
{
    const double low = pow(10, floor(log10(least)));
    const double high = pow(10, ceil(log10(most)));
    return (struct scale){.low = low, .high = high > low ? high : low * 10, .step = 10, .log = true};
}

static void draw_grid(FILE *page, const struct scale *scale)
{
    char text[FIGURE_TEXT];
    for (double at = scale->low; at <= scale->high * 1.0001; at = scale->log ? at * scale->step : at + scale->step) {
        const double y = y_of(scale, at);
        fprintf(page, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
        fprintf(page, "<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 5, y + 4,
                at > 0 ? figure_text(at, text) : "0");
    }
}

static void draw_legend(FILE *page, const struct chart *chart)
{
    double x = LEFT;
    for (unsigned s = 0; s < chart->series; s++) {
        fprintf(page, "<rect class=\"b%u\" x=\"%.1f\" y=\"4\" width=\"10\" height=\"10\" rx=\"2\"/>", chart->colours[s],
                x);
        fprintf(page, "<text x=\"%.1f\" y=\"13\">", x + 14);
        page_escaped(page, chart->series_names[s]);
        fputs("</text>", page);
        x += 30 + 6.3 * (double)strlen(chart->series_names[s]);
    }
}

static void draw_bar(FILE *page, const struct chart *chart, const struct scale *scale, unsigned group, unsigned series,
                     double x, double width)
{
    const double value = chart->values[group][series];
    if (isnan(value))
        return;
    char text[FIGURE_TEXT];
    const double y = y_of(scale, value);
    fprintf(page, "<rect class=\"b%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\"><title>",
            chart->colours[series], x, y, width, HEIGHT - BOTTOM - y);
    page_escaped(page, chart->series_names[series]);
    fprintf(page, ", %s: %s %s</title></rect>", chart->group_names[group], figure_text(value, text), chart->unit);
    /* Narrow bars get smaller figures, so that neighbours do not run into each other. */
    const double font = fmin(10.5, width / (0.66 * (double)strlen(text)));
    fprintf(page, "<text style=\"font-size:%.1fpx\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", font,
            x + width / 2, y - 3, text);
}

static void draw_group(FILE *page, const struct chart *chart, const struct scale *scale, unsigned group)
{
    const double wide = (WIDTH - LEFT - RIGHT) / chart->groups;
    const double left = LEFT + wide * group;
    const double bar = fmin(70, (wide - GROUP_GAP) / chart->series);
    const double first = left + (wide - bar * chart->series) / 2;
    for (unsigned s = 0; s < chart->series; s++)
        draw_bar(page, chart, scale, group, s, first + bar * s + BAR_GAP / 2, bar - BAR_GAP);
    fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", left + wide / 2, HEIGHT - 7);
    page_escaped(page, chart->group_names[group]);
    fputs("</text>\n", page);
}

void charts_start(FILE *page)
{
    fputs("<div class=\"charts\">\n", page);
}

void charts_end(FILE *page)
{
    fputs("</div>\n", page);
}

void chart_draw(FILE *page, const struct chart *chart)
{
    double least;
    double most;
    extremes(chart, &least, &most);
    if (!(most > 0))
        return;
    const struct scale scale = chart->log ? log_scale(least, most) : linear_scale(most);
    fputs("<figure><figcaption>", page);
    page_escaped(page, chart->title);
    fprintf(page, " <span style=\"font-weight:400;color:var(--soft)\">%s%s</span></figcaption>", chart->unit,
            chart->log ? ", logarithmic" : "");
    fprintf(page, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n", WIDTH, HEIGHT);
    draw_grid(page, &scale);
    draw_legend(page, chart);
    for (unsigned g = 0; g < chart->groups; g++)
        draw_group(page, chart, &scale, g);
    fputs("</svg></figure>\n", page);
}
