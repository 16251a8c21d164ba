/* SPDX-License-Identifier: ISC */
#include "support/page.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "support/fail.h"

/* Colours c0.. are by contestant and the same in every chart; after Okabe and Ito, told apart by most eyes. */
static const char style[] =
    ":root{color-scheme:light dark;--page:#fdfdfc;--ink:#1c1e21;--soft:#62676e;--line:#d9dce0;--card:#f4f5f6;"
    "--c0:#0068a8;--c1:#7c4da0;--c2:#d98200;--c3:#e8bd3a;--c4:#8b9097;--c5:#2a9d78;--good:#13734f;--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--page:#16181b;--ink:#e7e8ea;--soft:#a3a8af;--line:#3a3e44;--card:#1f2226;"
    "--c0:#56b4e9;--c1:#b995dc;--c2:#f0a030;--c3:#f0dc82;--c4:#8d939b;--c5:#3fc79b;--good:#5fd3a2;--bad:#ff8a80}}"
    "*{box-sizing:border-box}body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:1240px;background:var(--page);"
    "color:var(--ink);font:15px/1.55 system-ui,sans-serif}h1{font-size:1.6rem;margin:0 0 .5rem}"
    "h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}"
    "p{max-width:75ch;margin:.5rem 0}.wide{overflow-x:auto;margin:1rem 0}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}"
    "th,td{padding:.25rem .8rem .25rem 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{color:var(--soft);font-weight:600}.l{text-align:left}.s td{text-align:left;font-weight:600;padding-top:1.1rem}"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr));gap:1rem;margin:1rem 0}"
    "figure{margin:0;padding:.9rem;background:var(--card);border-radius:8px}figcaption{font-weight:600}"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font:11px system-ui,sans-serif}"
    "svg .soft{fill:var(--soft)}svg line{stroke:var(--line)}"
    ".b0{fill:var(--c0)}.b1{fill:var(--c1)}.b2{fill:var(--c2)}.b3{fill:var(--c3)}.b4{fill:var(--c4)}.b5{fill:var(--c5)"
    "}";

void page_escaped(FILE *page, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", page);
            break;
        case '<':
            fputs("&lt;", page);
            break;
        case '>':
            fputs("&gt;", page);
            break;
        case '"':
            fputs("&quot;", page);
            break;
        default:
            fputc(*text, page);
        }
    }
}

FILE *page_open(const char *path, const char *title)
{
    FILE *page = fopen(path, "w");
    if (!page)
        fail("cannot write %s: %s", path, strerror(errno));
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
          page);
    page_escaped(page, title);
    fprintf(page, "</title><style>%s</style></head><body>\n<h1>", style);
    page_escaped(page, title);
    fputs("</h1>\n", page);
    return page;
}

void page_close(FILE *page, const char *path)
{
    fputs("</body></html>\n", page);
    if (fclose(page) != 0)
        fail("cannot write %s: %s", path, strerror(errno));
}

void page_section(FILE *page, const char *title)
{
    fputs("<h2>", page);
    page_escaped(page, title);
    fputs("</h2>\n", page);
}

void page_text(FILE *page, const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("<p>", page);
    page_escaped(page, text);
    fputs("</p>\n", page);
}

static const char *cell_class(const struct table *table, unsigned column, const char *text)
{
    if (strcmp(text, "MET") == 0)
        return " class=\"good\"";
    if (strcmp(text, "MISSED") == 0)
        return " class=\"bad\"";
    return column < table->left ? " class=\"l\"" : "";
}

static void page_row(FILE *page, const struct table *table, const char *tag, const char *const *texts)
{
    fputs("<tr>", page);
    for (unsigned i = 0; i < table->columns; i++) {
        fprintf(page, "<%s%s>", tag, cell_class(table, i, texts[i]));
        page_escaped(page, texts[i]);
        fprintf(page, "</%s>", tag);
    }
    fputs("</tr>\n", page);
}

void page_table(FILE *page, const struct table *table)
{
    fputs("<div class=\"wide\"><table>\n", page);
    page_row(page, table, "th", table->heads);
    for (unsigned row = 0; row < table->n / table->columns; row++) {
        char **cells = &table->cells[row * table->columns];
        if (!table_is_section(table, row)) {
            page_row(page, table, "td", (const char *const *)cells);
            continue;
        }
        fprintf(page, "<tr class=\"s\"><td colspan=\"%u\">", table->columns);
        page_escaped(page, cells[0] + 1);
        fputs("</td></tr>\n", page);
    }
    fputs("</table></div>\n", page);
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        fail("cannot make the directory %s: %s", path, strerror(errno));
}

void page_directory(const char *path)
{
    char part[1024];
    if (strlen(path) >= sizeof part)
        fail("the name of the directory is too long: %s", path);
    for (size_t i = 1; path[i] != '\0'; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        make_directory(part);
    }
    make_directory(path);
}
