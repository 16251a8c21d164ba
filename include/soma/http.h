/* SPDX-License-Identifier: ISC */
/**
 * http.h - a small server inside the program, for people and for Prometheus: what its maps are doing.
 *
 *     soma_http *http;
 *     if (soma_http_start(NULL, &http) == SOMA_OK) {           // 127.0.0.1, any free port
 *         soma_http_add_u64(http, "sessions", sessions);
 *         printf("http://127.0.0.1:%u/\n", soma_http_port(http));
 *         ...
 *         soma_http_stop_wait(http);                            // then the maps may be freed
 *     }
 *
 *     /          a page with live charts; needs nothing from elsewhere
 *     /metrics   metrics.h
 *     /healthz   200 `ok`, or 503 and the reason, while a read section holds memory back for too long
 *
 * A library of its own, libsoma-http (pkg-config soma-http), on GNU libmicrohttpd: programs without it do not depend on that.
 * One thread of its own serves all requests, one after the other, with all signals blocked. All is read only.
 *
 * Caveat: whoever reaches the port reads the maps' names and figures, never keys or values; there are no passwords and there is no
 * TLS. The default address lets in what runs on this machine only. For others, put a proxy in front, or use a tunnel.
 * While only this machine is let in, a web page from elsewhere in a browser on it is kept out: requests must name an address in numbers,
 * `localhost`, or one of the options' `names`, else the answer is 421.
 * At most 32 connections are served at a time: when one more comes, the oldest is closed. One that is idle for 15 seconds is, too.
 * fork: the child has no server; it must not use the handle.
 */
#ifndef SOMA_HTTP_H
#define SOMA_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct soma_http soma_http;

/** All-zero is the default in every field. */
struct soma_http_options {
    size_t struct_size;  /**< sizeof of this structure, or 0: the fields of release 0.1 */
    const char *address; /**< IPv4 or IPv6, in numbers; NULL = "127.0.0.1" */
    unsigned port;       /**< 0 = any that is free; soma_http_port() says which */
    uint64_t stall_ns;   /**< /healthz: how long readers may hold a grace period up; 0 = SOMA_STALL_NS_DEFAULT */
    const char *title;   /**< of the page, UTF-8; NULL = "Soma" */
    /**
     * Host names that it may be asked by, besides addresses in numbers and `localhost`: separated by commas or spaces, without ports, in any
     * case; `*` = any, which lets web pages in (above). NULL = none, if only this machine reaches `address`, else any.
     */
    const char *names;
};

/**
 * soma_http_start() - start serving.
 * @options: NULL for the defaults. Not needed after the call.
 * @out:     written on SOMA_OK only; the caller's until soma_http_stop_wait().
 *
 * Return:
 *   SOMA_OK         it serves.
 *   SOMA_E_INVALID  @out is NULL, struct_size is of no known release, address is none, or port is over 65535.
 *   SOMA_E_IO       the system refuses: the port is taken or not allowed, or there is no such address. errno may say more.
 *   SOMA_E_NOMEM    no memory.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_http_start(const struct soma_http_options *options, soma_http **out);

/** soma_http_port() - the port that it serves on. 0 for NULL. */
SOMA_API unsigned soma_http_port(const soma_http *http);

/**
 * soma_http_add_u64() - show a word map; soma_http_add_map() a byte map.
 * @name: as in metrics.h: UTF-8, copied. Maps are shown in the order in which they came.
 * @map:  must live until soma_http_remove_wait() or soma_http_stop_wait() has returned.
 *
 * Thread: any, also while requests run. A short lock, which no request holds while it works.
 *
 * Return:
 *   SOMA_INSERTED   it is shown from now on.
 *   SOMA_EXISTS     a map of this name is; nothing changed.
 *   SOMA_E_NOMEM    no memory; nothing changed.
 *   SOMA_E_INVALID  an argument is NULL, or @name is no UTF-8; nothing changed.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_http_add_u64(soma_http *http, const char *name, const soma_u64 *map);
SOMA_API SOMA_NODISCARD enum soma_status soma_http_add_map(soma_http *http, const char *name, const soma_map *map);

/**
 * soma_http_remove_wait() - show a map no more. After it has returned, no request looks at the map, and it may be freed.
 *
 * Thread: any, also while requests run.  Blocks: until the request that looks at it, if there is one, has its text: milliseconds. So does a
 * second call for the same name, which is SOMA_ABSENT then.
 *
 * Return: SOMA_REMOVED · SOMA_ABSENT no map of this name is shown · SOMA_E_INVALID an argument is NULL.
 */
SOMA_API enum soma_status soma_http_remove_wait(soma_http *http, const char *name);

/**
 * soma_http_stop_wait() - stop serving, and give everything back but the maps. NULL does nothing.
 *
 * Thread: any one; no other call on @http may be running or come later.  Blocks: until the request that runs, if any, is over.
 */
SOMA_API void soma_http_stop_wait(soma_http *http);

#ifdef __cplusplus
}
#endif

#endif
