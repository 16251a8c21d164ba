/* SPDX-License-Identifier: ISC */
/* wordcount.c - counting the words of a text, and the key-value pairs of an index, with many threads into one map. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/chart.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/figures.h"
#include "support/machine.h"
#include "support/options.h"
#include "support/page.h"
#include "support/progress.h"
#include "words/race.h"

#define THREADS_MOST 256
/* A quick run stops reading each corpus after so many keys. */
#define QUICK_KEYS 1000000

static const struct counter_ops *const contestants[] = {&counter_soma, &counter_lfht, &counter_rwlock, &counter_mutex};
#define CONTESTANTS (sizeof contestants / sizeof contestants[0])

/* The two things that are timed, as sections of the table. */
enum phase {
    COUNTING,
    LOOKING_UP,
    PHASES
};
static const char *const phase_names[PHASES] = {"counting", "looking up"};

static const struct quantile {
    const char *metric;
    const char *head;
    double fraction;
} quantiles[] = {{"p50 ns", "p50", 0.5}, {"p99 ns", "p99", 0.99}, {"p99.9 ns", "p99.9", 0.999}};
#define QUANTILES (sizeof quantiles / sizeof quantiles[0])

/* Memory when all that left the map is freed, and when the last thread has just ended. */
#define BYTES "bytes an entry"
#define BYTES_AT_END "bytes an entry with garbage"

#define CORPORA 2

struct job {
    struct list threads;
    uint64_t rounds;
    bool quick;
    const char *out;
    const char *label;
    struct corpus corpora[CORPORA];
    struct oracle oracles[CORPORA];
    unsigned n; /* corpora that there are */
};

/* ---- Command line ---- */

static void help(const struct option *options, unsigned n)
{
    printf("usage: wordcount [options] FILE...\n\n"
           "Counts the words of the files with several threads, into maps of several makes, and compares them.\n\n"
           "options:\n");
    options_print(options, n);
}

static void corpus_add(struct job *job, const char *name, const struct texts *files, corpus_cut cut)
{
    if (files->n == 0)
        return;
    struct corpus *corpus = &job->corpora[job->n];
    corpus->name = name;
    for (unsigned i = 0; i < files->n; i++)
        corpus_read(corpus, files->at[i], cut);
    if (corpus->n == 0)
        fail_usage("nothing to count: no %s in '%s'%s", name, files->at[0], files->n > 1 ? " and the others" : "");
    if (job->quick && corpus->n > QUICK_KEYS)
        corpus->n = QUICK_KEYS;
    job->oracles[job->n] = oracle_of(corpus);
    job->n++;
}

static void read_job(int argc, char **argv, struct job *job)
{
    struct texts words = {.n = 0};
    struct texts fields = {.n = 0};
    const struct option options[] = {
        {"--fields", OPTION_TEXTS, &fields, 0, "FILE", "also count the 'name: value' lines of a file; may be repeated"},
        {"--quick", OPTION_FLAG, &job->quick, 0, NULL, "three rounds of the first million keys: a look, no verdict"},
        {"--threads", OPTION_LIST, &job->threads, THREADS_MOST, "LIST", "numbers of threads (1,2,8,32)"},
        {"--rounds", OPTION_COUNT, &job->rounds, 1000, "N", "how often everything is measured in turn (5; quick: 3)"},
        {"--out", OPTION_TEXT, &job->out, 0, "DIR", "where the report and the figures go (perf/out)"},
        {"--label", OPTION_TEXT, &job->label, 0, "TEXT", "name of the build in the report and the figures"},
    };
    const unsigned n = sizeof options / sizeof options[0];
    if (!options_read(options, n, argc, argv, &words)) {
        help(options, n);
        exit(EXIT_SUCCESS);
    }
    if (words.n == 0 && fields.n == 0)
        fail_usage("wants files to count (see --help)");
    if (job->rounds == 0)
        job->rounds = job->quick ? 3 : 5;
    corpus_add(job, "words", &words, cut_words);
    corpus_add(job, "fields", &fields, cut_fields);
}

/* ---- Measuring ---- */

static struct figure_key key_of(const struct job *job, unsigned corpus, enum phase phase, const char *map,
                                const char *metric, uint64_t threads)
{
    static const char *const benches[CORPORA][PHASES] = {{"words counting", "words looking up"},
                                                         {"fields counting", "fields looking up"}};
    /* Without words, fields are the first corpus. */
    const unsigned kind = job->corpora[corpus].name[0] == 'f';
    return (struct figure_key){.bench = benches[kind][phase],
                               .map = map,
                               .metric = metric,
                               .size = job->oracles[corpus].n,
                               .threads = (unsigned)threads};
}

static void keep(const struct job *job, unsigned corpus, unsigned threads, const char *map,
                 const struct race_result *result)
{
    const struct race_phase *const phases[PHASES] = {&result->counting, &result->looking_up};
    for (enum phase p = COUNTING; p < PHASES; p++) {
        figures_add(key_of(job, corpus, p, map, "Mops", threads), phases[p]->mops);
        for (unsigned q = 0; q < QUANTILES; q++)
            figures_add(key_of(job, corpus, p, map, quantiles[q].metric, threads),
                        (double)hist_at(&phases[p]->hist, quantiles[q].fraction));
    }
    figures_add(key_of(job, corpus, COUNTING, map, BYTES, threads), result->settled_bytes);
    figures_add(key_of(job, corpus, COUNTING, map, BYTES_AT_END, threads), result->end_bytes);
}

/* The contestants take turns within a round, and whose turn is first goes round. */
static void run_round(const struct job *job, unsigned corpus, unsigned threads, unsigned round)
{
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        const struct race race = {
            .ops = contestants[(c + round) % CONTESTANTS],
            .corpus = &job->corpora[corpus],
            .oracle = &job->oracles[corpus],
            .threads = threads,
        };
        struct race_result *result = alloc_or_fail(sizeof *result);
        progress_step("%s: %s, %u thread%s", race.corpus->name, race.ops->name, threads, threads == 1 ? "" : "s");
        race_run(&race, result);
        keep(job, corpus, threads, race.ops->name, result);
        free(result);
    }
}

static void measure(const struct job *job)
{
    progress_start((unsigned)(job->rounds * job->n * job->threads.n * CONTESTANTS));
    for (unsigned round = 0; round < job->rounds; round++) {
        for (unsigned corpus = 0; corpus < job->n; corpus++) {
            for (unsigned t = 0; t < job->threads.n; t++)
                run_round(job, corpus, (unsigned)job->threads.at[t], round);
        }
    }
    progress_end();
}

/* ---- Reporting ---- */

static void table_rows(const struct job *job, unsigned corpus, enum phase phase, uint64_t threads, struct table *table)
{
    const double mutex = figures_median(key_of(job, corpus, phase, counter_mutex.name, "Mops", threads));
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        const char *map = contestants[c]->name;
        const double mops = figures_median(key_of(job, corpus, phase, map, "Mops", threads));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", map);
        table_figure(table, mops);
        table_cell(table, "%.2fx", mops / mutex);
        table_figure(table, figures_median(key_of(job, corpus, phase, map, BYTES, threads)));
        table_figure(table, figures_median(key_of(job, corpus, phase, map, BYTES_AT_END, threads)));
        for (unsigned q = 0; q < QUANTILES; q++)
            table_figure(table, figures_median(key_of(job, corpus, phase, map, quantiles[q].metric, threads)));
    }
}

static void show_results(const struct job *job, FILE *page)
{
    static const char *const heads[] = {"threads",      "map",    "Mops",   "over mutex", "bytes an entry",
                                        "with garbage", "p50 ns", "p99 ns", "p99.9 ns"};
    struct table table = {.heads = heads, .columns = 9, .left = 2};
    for (unsigned corpus = 0; corpus < job->n; corpus++) {
        for (enum phase p = COUNTING; p < PHASES; p++) {
            char title[160];
            snprintf(title, sizeof title, "%s: %s (%zu keys, %zu different)", job->corpora[corpus].name, phase_names[p],
                     job->corpora[corpus].n, job->oracles[corpus].n);
            table_section(&table, title);
            for (unsigned t = 0; t < job->threads.n; t++)
                table_rows(job, corpus, p, job->threads.at[t], &table);
        }
    }
    table_print(&table, stdout);
    putchar('\n');
    page_table(page, &table);
    table_free(&table);
}

static void name_series(struct chart *chart)
{
    chart->series = CONTESTANTS;
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        chart->series_names[c] = contestants[c]->name;
        chart->colours[c] = contestants[c]->colour;
    }
}

static void mops_chart(const struct job *job, unsigned corpus, enum phase phase, FILE *page)
{
    char title[80];
    snprintf(title, sizeof title, "%s: %s", job->corpora[corpus].name, phase_names[phase]);
    struct chart chart = {.title = title, .unit = "million operations a second"};
    name_series(&chart);
    for (unsigned t = 0; t < job->threads.n; t++) {
        const uint64_t threads = job->threads.at[t];
        snprintf(chart.group_names[t], sizeof chart.group_names[t], "%llu thread%s", (unsigned long long)threads,
                 threads == 1 ? "" : "s");
        for (unsigned c = 0; c < CONTESTANTS; c++)
            chart.values[t][c] = figures_median(key_of(job, corpus, phase, contestants[c]->name, "Mops", threads));
        chart.groups = t + 1;
    }
    chart_draw(page, &chart);
}

static void latency_chart(const struct job *job, unsigned corpus, enum phase phase, uint64_t threads, FILE *page)
{
    char title[80];
    snprintf(title, sizeof title, "%s: %s, %llu thread%s", job->corpora[corpus].name, phase_names[phase],
             (unsigned long long)threads, threads == 1 ? "" : "s");
    struct chart chart = {.title = title, .unit = "ns an operation", .log = true, .groups = QUANTILES};
    name_series(&chart);
    for (unsigned q = 0; q < QUANTILES; q++) {
        snprintf(chart.group_names[q], sizeof chart.group_names[q], "%s", quantiles[q].head);
        for (unsigned c = 0; c < CONTESTANTS; c++)
            chart.values[q][c] =
                figures_median(key_of(job, corpus, phase, contestants[c]->name, quantiles[q].metric, threads));
    }
    chart_draw(page, &chart);
}

static void memory_chart(const struct job *job, FILE *page)
{
    struct chart chart = {.title = "memory", .unit = "bytes an entry, keys included"};
    name_series(&chart);
    for (unsigned i = 0; i < job->n * job->threads.n && i < CHART_GROUPS; i++) {
        const unsigned corpus = i / job->threads.n;
        const uint64_t threads = job->threads.at[i % job->threads.n];
        snprintf(chart.group_names[i], sizeof chart.group_names[i], "%s, %llu", job->corpora[corpus].name,
                 (unsigned long long)threads);
        for (unsigned c = 0; c < CONTESTANTS; c++)
            chart.values[i][c] = figures_median(key_of(job, corpus, COUNTING, contestants[c]->name, BYTES, threads));
        chart.groups = i + 1;
    }
    chart_draw(page, &chart);
}

static void show_charts(const struct job *job, FILE *page)
{
    page_section(page, "Throughput");
    charts_start(page);
    for (unsigned corpus = 0; corpus < job->n; corpus++) {
        for (enum phase p = COUNTING; p < PHASES; p++)
            mops_chart(job, corpus, p, page);
    }
    charts_end(page);
    page_section(page, "Latency of single operations");
    page_text(
        page,
        "One operation in %d is timed, with two readings of the clock around it; one reading costs %.0f ns and is "
        "part of the figure. With more threads than cores, the longest ones waited for a core.",
        SAMPLE_EVERY, clock_cost_ns());
    charts_start(page);
    for (unsigned corpus = 0; corpus < job->n; corpus++) {
        for (unsigned t = 0; t < job->threads.n; t++)
            latency_chart(job, corpus, COUNTING, job->threads.at[t], page);
    }
    charts_end(page);
    page_section(page, "Memory");
    page_text(page, "What is resident when all that left the map is freed, by number of threads that counted.");
    charts_start(page);
    memory_chart(job, page);
    charts_end(page);
}

static void show_agreement(const struct job *job, FILE *page)
{
    for (unsigned corpus = 0; corpus < job->n; corpus++) {
        const struct oracle *oracle = &job->oracles[corpus];
        char text[300];
        snprintf(text, sizeof text,
                 "%s: in all runs every contestant had exactly the counts that one thread finds: %zu different keys, "
                 "%llu in all, checksum %016llx.",
                 job->corpora[corpus].name, oracle->n, (unsigned long long)oracle->total,
                 (unsigned long long)oracle->checksum);
        printf("%s\n", text);
        page_text(page, "%s", text);
    }
    putchar('\n');
}

static void page_head(const struct job *job, FILE *page)
{
    page_text(page,
              "Threads count string keys into one shared map, each thread its slice of the corpus; then they look "
              "the same keys up. Figures are medians (rounds: %llu); within a round the contestants take turns, each "
              "time in a process of its own. Higher is better for Mops, lower for the rest.",
              (unsigned long long)job->rounds);
    if (job->quick)
        page_text(page, "A quick run, of the first keys only. Good for a look, not for a verdict.");
    for (unsigned c = 0; c < CONTESTANTS; c++)
        page_text(page, "%s: %s.", contestants[c]->name, contestants[c]->about);
}

static void report(const struct job *job)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/wordcount.html", job->out);
    FILE *page = page_open(path, "Counting with many threads: Soma and other maps");
    page_head(job, page);
    show_agreement(job, page);
    show_charts(job, page);
    page_section(page, "All figures");
    show_results(job, page);
    page_section(page, "Measured on");
    struct table machine = machine_record(job->label);
    table_print(&machine, stdout);
    page_table(page, &machine);
    table_free(&machine);
    page_close(page, path);
    printf("\nreport: %s\n", path);
    snprintf(path, sizeof path, "%s/wordcount.csv", job->out);
    figures_write(path, job->label);
    printf("figures: %s\n", path);
}

int main(int argc, char **argv)
{
    static struct job job = {.threads = {{1, 2, 8, 32}, 4}, .out = "perf/out", .label = "unnamed"};
    read_job(argc, argv, &job);
    page_directory(job.out);
    measure(&job);
    report(&job);
    return EXIT_SUCCESS;
}
