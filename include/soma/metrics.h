/* SPDX-License-Identifier: ISC */
/**
 * metrics.h - what stats.h has of one or several maps, as text that Prometheus and others read: OpenMetrics 1.0.
 *
 *     const struct soma_metrics_map maps[] = {{.name = "sessions", .words = sessions}, {.name = "routes", .bytes = routes}};
 *     soma_metrics_print(maps, 2, stdout);
 *
 * Sent over HTTP, its type is SOMA_METRICS_TYPE. The families' names and what each says: docs/watching.md. http.h serves all this.
 */
#ifndef SOMA_METRICS_H
#define SOMA_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/** For the header Content-Type. */
#define SOMA_METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/** A map and what it is called: the value of the label `map`. Exactly one of the two pointers is set. */
struct soma_metrics_map {
    const char *name;      /**< UTF-8, any characters; each map's another */
    const soma_u64 *words; /**< or NULL */
    const soma_map *bytes; /**< or NULL */
};

/**
 * soma_metrics_fn - takes a piece of text.
 * Return: whether it could; if not, no more comes.
 */
typedef bool (*soma_metrics_fn)(const char *text, size_t len, void *ctx);

/**
 * soma_metrics_write() - the text in pieces; soma_metrics_print() to a file; soma_metrics_copy() into memory.
 * @maps:  n of them, which must stay until the call returns; may be NULL if @n is 0: then what is of the process comes alone.
 * @write: not NULL; gets pieces of at most some 1000 bytes, in order. Called outside of read sections; may use any map.
 * @ctx:   handed to @write.
 * @file:  not NULL; written to with fwrite(), not flushed.
 * @buf:   gets the first @cap - 1 bytes, and a 0 behind them; NULL if @cap is 0.
 * @len:   out on SOMA_OK, may be NULL: the text's whole length. If that is @cap or more, the text was cut.
 *
 * Thread: any, many at a time, beside every operation but the maps' frees.
 * Progress: waits for nothing but @write or @file.  Cost: as soma_u64_stats() for each map.
 * Allocates: some 400 bytes a map, until it returns.
 *
 * Return:
 *   SOMA_OK         all of the text was taken.
 *   SOMA_E_IO       @write or @file took no more; some of the text may be written.
 *   SOMA_E_NOMEM    no memory; nothing was written.
 *   SOMA_E_INVALID  a pointer is NULL that must not be; a name is NULL, no UTF-8, or there twice; an element has both pointers, or
 *                   none. Nothing was written.
 */
SOMA_API enum soma_status soma_metrics_write(const struct soma_metrics_map *maps, size_t n, soma_metrics_fn write,
                                             void *ctx);
SOMA_API enum soma_status soma_metrics_print(const struct soma_metrics_map *maps, size_t n, FILE *file);
SOMA_API enum soma_status soma_metrics_copy(const struct soma_metrics_map *maps, size_t n, char *buf, size_t cap,
                                            size_t *len);

#ifdef __cplusplus
}
#endif

#endif
