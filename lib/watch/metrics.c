/* SPDX-License-Identifier: ISC */
/* metrics.c - maps' figures as OpenMetrics text. What belongs to a family of samples stands together there, so all maps are asked
 * first; then the families are gone through. */
#include <inttypes.h>
#include <string.h>

#include <soma/metrics.h>
#include <soma/stats.h>

#include "base/attr.h"
#include "base/check.h"
#include "mem/mem.h"

/* ---- Text ---- */

/* Pieces are collected until they are worth a call. */
struct text {
    soma_metrics_fn write;
    void *ctx;
    bool refused;
    size_t len;
    char piece[1000];
};

/* What is printed at a time is shorter. */
#define PRINT_MOST 400

static void flush(struct text *text)
{
    if (!text->refused)
        text->refused = !text->write(text->piece, text->len, text->ctx);
    text->len = 0;
}

static void put(struct text *text, char c)
{
    if (text->len == sizeof text->piece)
        flush(text);
    text->piece[text->len++] = c;
}

/* Where what is printed next goes. */
static char *room(struct text *text)
{
    if (sizeof text->piece - text->len < PRINT_MOST)
        flush(text);
    return text->piece + text->len;
}

static void took(struct text *text, int len)
{
    text->len += (size_t)len;
}

#define PRINT(text, ...) took((text), snprintf(room(text), PRINT_MOST, __VA_ARGS__))

/* A label's value: three characters have to be escaped. */
static void print_escaped(struct text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            put(text, '\\');
        if (*value == '\n')
            put(text, 'n');
        else
            put(text, *value);
    }
}

/* ---- Families ---- */

enum unit {
    PLAIN,
    BYTES,
    SECONDS, /* given in ns */
    RATIO,   /* given in percent */
};

static const char *const unit_names[] = {[PLAIN] = "", [BYTES] = "bytes", [SECONDS] = "seconds", [RATIO] = "ratio"};

/* A sample: neighbours of one name are a family. */
struct sample {
    const char *name;
    const char *help;
    const char *label; /* besides the map's, or NULL */
    size_t at;         /* in struct soma_stats */
    enum unit unit;
    bool counter;
};

#define AT(field) offsetof(struct soma_stats, field)

static const struct sample of_maps[] = {
    {"soma_map_entries", "Keys in the map.", NULL, AT(entries), PLAIN, false},
    {"soma_map_buckets", "Buckets of its table.", NULL, AT(buckets), PLAIN, false},
    {"soma_map_load_ratio", "Entries for each bucket.", NULL, AT(load_percent), RATIO, false},
    {"soma_map_load_max_ratio", "The load at which the table grows.", NULL, AT(load_percent_max), RATIO, false},
    {"soma_map_grows", "Times the table got more buckets.", NULL, AT(grows), PLAIN, true},
    {"soma_map_shrinks", "Times half of the buckets were given back.", NULL, AT(shrinks), PLAIN, true},
    {"soma_map_retries", "Updates that started again because another one had got in their way.", NULL, AT(retries),
     PLAIN, true},
    {"soma_map_helps", "Half-done work of other threads that an operation met and finished, by kind.", "link",
     AT(helps_link), PLAIN, true},
    {"soma_map_helps", NULL, "unlink", AT(helps_unlink), PLAIN, true},
    {"soma_map_helps", NULL, "bucket", AT(helps_bucket), PLAIN, true},
    {"soma_map_helps", NULL, "grow", AT(helps_grow), PLAIN, true},
    {"soma_map_limits", "Tries of updates that found the cap on deferred memory reached.", NULL, AT(limits), PLAIN,
     true},
    {"soma_map_stalls", "Grace periods that updates found to wait for longer than the map's stall_ns.", NULL,
     AT(stalls), PLAIN, true},
    {"soma_map_table_bytes", "The header and the buckets.", NULL, AT(table_bytes), BYTES, false},
    {"soma_map_entries_bytes", "Entries outside of the table, estimated from a sample.", NULL, AT(entries_bytes), BYTES,
     false},
    {"soma_map_deferred_bytes", "Removed memory that waits for readers.", NULL, AT(deferred_bytes), BYTES, false},
    {"soma_map_deferred_max_bytes", "The cap on it.", NULL, AT(deferred_bytes_max), BYTES, false},
    {"soma_map_views", "Open views.", NULL, AT(views), PLAIN, false},
    {"soma_map_old_versions", "Versions kept for views, estimated from a sample.", NULL, AT(old_versions), PLAIN,
     false},
    {"soma_map_chain_longest", "Entries in the longest chain of a sample.", NULL, AT(chain_longest), PLAIN, false},
};

static const struct sample of_process[] = {
    {"soma_grace_periods", "Grace periods that have passed.", NULL, AT(grace_periods), PLAIN, true},
    {"soma_grace_wait_seconds", "How long the pending grace period has been waiting for readers.", NULL,
     AT(grace_wait_ns), SECONDS, false},
    {"soma_grace_longest_seconds", "The longest that a grace period was seen to wait.", NULL, AT(grace_longest_ns),
     SECONDS, false},
    {"soma_grace_reader_thread", "Kernel thread id of a reader that the pending one waits for, or 0.", NULL,
     AT(reader_thread), PLAIN, false},
};

/* A map and what it has answered. */
struct asked {
    const char *name;
    struct soma_stats stats;
};

static void print_head(struct text *text, const char *name, const char *type, enum unit unit, const char *help)
{
    PRINT(text, "# TYPE %s %s\n", name, type);
    if (unit != PLAIN)
        PRINT(text, "# UNIT %s %s\n", name, unit_names[unit]);
    PRINT(text, "# HELP %s %s\n", name, help);
}

/* No printing of floating point: its form depends on the program's locale. */
static void print_value(struct text *text, enum unit unit, uint64_t value)
{
    if (unit == SECONDS)
        PRINT(text, " %" PRIu64 ".%09" PRIu64 "\n", value / 1000000000, value % 1000000000);
    else if (unit == RATIO)
        PRINT(text, " %" PRIu64 ".%02" PRIu64 "\n", value / 100, value % 100);
    else
        PRINT(text, " %" PRIu64 "\n", value);
}

static void print_map_label(struct text *text, const char *name)
{
    PRINT(text, "{map=\"");
    print_escaped(text, name);
    PRINT(text, "\"");
}

static uint64_t value_of(const struct soma_stats *stats, const struct sample *sample)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + sample->at, sizeof value);
    return value;
}

static void print_of_map(struct text *text, const struct sample *sample, const struct asked *asked)
{
    PRINT(text, "%s%s", sample->name, sample->counter ? "_total" : "");
    print_map_label(text, asked->name);
    if (sample->label)
        PRINT(text, ",kind=\"%s\"", sample->label);
    PRINT(text, "}");
    print_value(text, sample->unit, value_of(&asked->stats, sample));
}

static void print_maps(struct text *text, const struct asked *asked, size_t n)
{
    for (size_t i = 0; i < sizeof of_maps / sizeof *of_maps; i++) {
        const struct sample *sample = &of_maps[i];
        if (sample->help)
            print_head(text, sample->name, sample->counter ? "counter" : "gauge", sample->unit, sample->help);
        for (size_t k = 0; k < n; k++)
            print_of_map(text, sample, &asked[k]);
    }
}

/* The name of a sample of chains, with its map. */
static void print_chain(struct text *text, const char *suffix, const struct asked *asked)
{
    PRINT(text, "soma_map_chain_length_%s", suffix);
    print_map_label(text, asked->name);
}

static void print_chains_of(struct text *text, const struct asked *asked)
{
    const struct soma_stats *stats = &asked->stats;
    uint64_t up_to = 0;
    for (unsigned i = 0; i < SOMA_STATS_CHAINS; i++) {
        up_to += stats->chain_lengths[i];
        print_chain(text, "bucket", asked);
        if (i < SOMA_STATS_CHAINS - 1)
            PRINT(text, ",le=\"%u.0\"} %" PRIu64 "\n", i, up_to);
        else
            PRINT(text, ",le=\"+Inf\"} %" PRIu64 "\n", up_to);
    }
    print_chain(text, "gcount", asked);
    PRINT(text, "} %" PRIu64 "\n", stats->chain_buckets);
    print_chain(text, "gsum", asked);
    PRINT(text, "} %" PRIu64 "\n", stats->chain_entries);
}

static void print_chains(struct text *text, const struct asked *asked, size_t n)
{
    print_head(text, "soma_map_chain_length", "gaugehistogram", PLAIN,
               "Entries from a bucket to the next, of a sample of buckets.");
    for (size_t k = 0; k < n; k++)
        print_chains_of(text, &asked[k]);
}

static void print_process(struct text *text, const struct soma_stats *stats)
{
    for (size_t i = 0; i < sizeof of_process / sizeof *of_process; i++) {
        const struct sample *sample = &of_process[i];
        print_head(text, sample->name, sample->counter ? "counter" : "gauge", sample->unit, sample->help);
        PRINT(text, "%s%s", sample->name, sample->counter ? "_total" : "");
        print_value(text, sample->unit, value_of(stats, sample));
    }
}

/* ---- Arguments ---- */

/* How long the character is that starts here; 0: none does. No long forms, no surrogates, nothing behind U+10FFFF. */
static size_t utf8_len(const unsigned char *at)
{
    const size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    const bool wrong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                       (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
    return wrong ? 0 : len;
}

static bool name_ok(const char *name)
{
    const unsigned char *at = (const unsigned char *)name;
    while (at && *at) {
        const size_t len = utf8_len(at);
        if (len == 0)
            return false;
        at += len;
    }
    return at != NULL;
}

static bool maps_ok(const struct soma_metrics_map *maps, size_t n)
{
    if (!maps && n > 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!name_ok(maps[i].name) || !maps[i].words == !maps[i].bytes)
            return false;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(maps[i].name, maps[k].name) == 0)
                return false;
        }
    }
    return true;
}

static void ask(const struct soma_metrics_map *map, struct asked *asked)
{
    asked->name = map->name;
    asked->stats = (struct soma_stats){.struct_size = sizeof asked->stats};
    if (map->words)
        soma_u64_stats(map->words, &asked->stats);
    else
        soma_map_stats(map->bytes, &asked->stats);
}

enum soma_status soma_metrics_write(const struct soma_metrics_map *maps, size_t n, soma_metrics_fn write, void *ctx)
{
    if (!write || !maps_ok(maps, n)) {
        MISUSE("write or maps is NULL, a name is NULL, no UTF-8 or there twice, or a map is of both kinds or of none");
        return SOMA_E_INVALID;
    }
    const size_t size = (n + 1) * sizeof(struct asked); /* one more, for the process */
    struct asked *asked = soma__mem_alloc(size);
    if (!asked)
        return SOMA_E_NOMEM;
    for (size_t k = 0; k < n; k++)
        ask(&maps[k], &asked[k]);
    asked[n].stats.struct_size = 0;
    soma_process_stats(&asked[n].stats);
    struct text text = {.write = write, .ctx = ctx};
    if (n > 0) {
        print_maps(&text, asked, n);
        print_chains(&text, asked, n);
    }
    print_process(&text, &asked[n].stats);
    PRINT(&text, "# EOF\n");
    flush(&text);
    soma__mem_free(asked, size);
    return text.refused ? SOMA_E_IO : SOMA_OK;
}

/* ---- Where it goes ---- */

static bool to_file(const char *text, size_t len, void *file)
{
    return fwrite(text, 1, len, file) == len;
}

enum soma_status soma_metrics_print(const struct soma_metrics_map *maps, size_t n, FILE *file)
{
    if (!file) {
        MISUSE("file is NULL");
        return SOMA_E_INVALID;
    }
    return soma_metrics_write(maps, n, to_file, file);
}

struct copy {
    char *buf;
    size_t cap;
    size_t len;
};

static bool to_memory(const char *text, size_t len, void *ctx)
{
    struct copy *copy = ctx;
    if (copy->len + 1 < copy->cap) {
        const size_t room = copy->cap - 1 - copy->len;
        memcpy(copy->buf + copy->len, text, len < room ? len : room);
    }
    copy->len += len;
    return true;
}

enum soma_status soma_metrics_copy(const struct soma_metrics_map *maps, size_t n, char *buf, size_t cap, size_t *len)
{
    if (!buf && cap > 0) {
        MISUSE("buf is NULL, and cap is not 0");
        return SOMA_E_INVALID;
    }
    struct copy copy = {.buf = buf, .cap = cap};
    const enum soma_status status = soma_metrics_write(maps, n, to_memory, &copy);
    if (status != SOMA_OK)
        return status;
    if (cap > 0)
        buf[copy.len < cap ? copy.len : cap - 1] = 0;
    if (len)
        *len = copy.len;
    return SOMA_OK;
}
