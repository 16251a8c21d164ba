/* SPDX-License-Identifier: ISC */
/* http.c - a page, metrics and health over HTTP. Knows Soma's public headers only, since it is a library of its own.
 *
 * Maps come and go under a lock. A request takes it to note which maps there are, each of which it holds; it asks them without the
 * lock, and takes it again to let go. Who removes a map marks it, so that no request finds it any more, and waits until nobody holds it.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <soma/http.h>
#include <soma/metrics.h>
#include <soma/options.h>
#include <soma/stats.h>

#include "http/page.h"

/* Connections at a time, and how long one may be idle: browsers and scrapers come seldom. When one more comes, the oldest goes, so that nobody
 * can keep others out by staying. So some more are let in, until those that are to go have gone. */
#define CONNECTIONS_MOST 32
#define CONNECTIONS_SPARE 32
#define IDLE_SECONDS 15

/* A connection that is open; by the server's thread only. */
struct caller {
    int fd;
    uint64_t number; /* in their order, from 1; 0: none is here */
    bool leaving;
};

struct shown {
    struct shown *next;
    struct soma_metrics_map map; /* its name is behind this structure */
    unsigned held;               /* by requests; under the lock */
    bool leaving;                /* somebody waits until nobody holds it; under the lock */
};

struct soma_http {
    struct MHD_Daemon *daemon;
    unsigned port;
    uint64_t stall_ns;
    char *page;  /* constant */
    char *names; /* that it goes by besides; constant */
    struct caller callers[CONNECTIONS_MOST + CONNECTIONS_SPARE];
    uint64_t called; /* connections so far */
    pthread_mutex_t lock;
    pthread_cond_t let_go;
    struct shown *first; /* under the lock */
    size_t count;        /* of those that are not leaving; under the lock */
};

/* ---- Cancellation ----
 *
 * No call is a cancellation point (soma/rcu.h): around what the system makes one. */

static int cancel_hold(void)
{
    int before = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static void cancel_let(int before)
{
    pthread_setcancelstate(before, NULL);
}

/* ---- Maps ---- */

/* The map of a name that is leaving, or is not; else the end. */
static struct shown **find(struct soma_http *http, const char *name, bool leaving)
{
    struct shown **at = &http->first;
    while (*at && ((*at)->leaving != leaving || strcmp((*at)->map.name, name) != 0))
        at = &(*at)->next;
    return at;
}

/* Whether soma_metrics_write() would have it. */
static bool name_ok(const char *name, const soma_u64 *words, const soma_map *bytes)
{
    const struct soma_metrics_map map = {.name = name, .words = words, .bytes = bytes};
    return name && (words || bytes) && soma_metrics_copy(&map, 1, NULL, 0, NULL) != SOMA_E_INVALID;
}

static enum soma_status add(struct soma_http *http, const char *name, const soma_u64 *words, const soma_map *bytes)
{
    if (!http || !name_ok(name, words, bytes))
        return SOMA_E_INVALID;
    const size_t size = strlen(name) + 1;
    struct shown *shown = malloc(sizeof *shown + size);
    if (!shown)
        return SOMA_E_NOMEM;
    *shown = (struct shown){.map = {.name = memcpy(shown + 1, name, size), .words = words, .bytes = bytes}};
    pthread_mutex_lock(&http->lock);
    struct shown **at = find(http, name, false);
    const bool fresh = !*at;
    if (fresh) {
        *at = shown;
        http->count++;
    }
    pthread_mutex_unlock(&http->lock);
    if (!fresh)
        free(shown);
    return fresh ? SOMA_INSERTED : SOMA_EXISTS;
}

enum soma_status soma_http_add_u64(soma_http *http, const char *name, const soma_u64 *map)
{
    return add(http, name, map, NULL);
}

enum soma_status soma_http_add_map(soma_http *http, const char *name, const soma_map *map)
{
    return add(http, name, NULL, map);
}

/* Under the lock: no request may find it any more, and none has it when this returns. */
static void leave(struct soma_http *http, struct shown *shown)
{
    shown->leaving = true;
    http->count--;
    while (shown->held > 0)
        pthread_cond_wait(&http->let_go, &http->lock);
    struct shown **at = &http->first;
    while (*at != shown)
        at = &(*at)->next;
    *at = shown->next;
    pthread_cond_broadcast(&http->let_go);
}

enum soma_status soma_http_remove_wait(soma_http *http, const char *name)
{
    if (!http || !name)
        return SOMA_E_INVALID;
    const int cancel = cancel_hold();
    pthread_mutex_lock(&http->lock);
    struct shown *shown = *find(http, name, false);
    if (shown)
        leave(http, shown);
    while (*find(http, name, true)) /* another thread is about to remove it */
        pthread_cond_wait(&http->let_go, &http->lock);
    pthread_mutex_unlock(&http->lock);
    cancel_let(cancel);
    free(shown);
    return shown ? SOMA_REMOVED : SOMA_ABSENT;
}

/* What a request holds: an element for each map. */
struct held {
    size_t n;
    struct shown **shown;
    struct soma_metrics_map *maps;
};

/* False: no memory; nothing is held. */
static bool hold(struct soma_http *http, struct held *held)
{
    pthread_mutex_lock(&http->lock);
    held->n = 0;
    held->shown = calloc(http->count + 1, sizeof(struct shown *));
    held->maps = calloc(http->count + 1, sizeof(struct soma_metrics_map));
    const bool done = held->shown && held->maps;
    for (struct shown *shown = http->first; done && shown; shown = shown->next) {
        if (shown->leaving)
            continue;
        shown->held++;
        held->shown[held->n] = shown;
        held->maps[held->n++] = shown->map;
    }
    pthread_mutex_unlock(&http->lock);
    if (!done) {
        free(held->shown);
        free(held->maps);
    }
    return done;
}

static void let_go(struct soma_http *http, struct held *held)
{
    pthread_mutex_lock(&http->lock);
    for (size_t i = 0; i < held->n; i++)
        held->shown[i]->held--;
    pthread_cond_broadcast(&http->let_go);
    pthread_mutex_unlock(&http->lock);
    free(held->shown);
    free(held->maps);
}

/* ---- Answers ---- */

/* Text that grows. */
struct text {
    char *bytes;
    size_t len;
    size_t cap;
};

static bool append(const char *bytes, size_t len, void *ctx)
{
    struct text *text = ctx;
    if (!text->bytes || text->cap - text->len < len) {
        const size_t cap = (text->cap + len + 1) * 2;
        char *grown = realloc(text->bytes, cap);
        if (!grown)
            return false;
        text->bytes = grown;
        text->cap = cap;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    return true;
}

static bool append_text(struct text *text, const char *words)
{
    return append(words, strlen(words), text);
}

/* Sends a response, and gives it back. NULL: no memory for it; the connection is closed. */
static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status, const char *type,
                                     struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
                            "'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    const enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

#define PLAIN "text/plain; charset=utf-8"

static enum MHD_Result send_words(struct MHD_Connection *connection, unsigned status, const char *words)
{
    return send_response(
        connection, status, PLAIN,
        MHD_create_response_from_buffer(strlen(words), (void *)(uintptr_t)words, MHD_RESPMEM_MUST_COPY));
}

/* Browsers are told that it is text, which they show; for others it is what it is. */
static const char *metrics_type(struct MHD_Connection *connection)
{
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    return accept && strstr(accept, "text/html") ? PLAIN : SOMA_METRICS_TYPE;
}

static enum MHD_Result send_metrics(struct soma_http *http, struct MHD_Connection *connection)
{
    struct held held;
    if (!hold(http, &held))
        return send_words(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
    struct text text = {NULL, 0, 0};
    const enum soma_status status = soma_metrics_write(held.maps, held.n, append, &text);
    let_go(http, &held);
    struct MHD_Response *response = NULL;
    if (status == SOMA_OK)
        response = MHD_create_response_from_buffer(text.len, text.bytes, MHD_RESPMEM_MUST_FREE);
    if (response)
        return send_response(connection, MHD_HTTP_OK, metrics_type(connection), response);
    free(text.bytes);
    return send_words(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
}

static enum MHD_Result send_health(const struct soma_http *http, struct MHD_Connection *connection)
{
    struct soma_stats stats = {.struct_size = sizeof stats};
    soma_process_stats(&stats);
    if (stats.grace_wait_ns <= http->stall_ns)
        return send_words(connection, MHD_HTTP_OK, "ok\n");
    char reason[200];
    (void)snprintf(reason, sizeof reason,
                   "a read section that stays open holds memory back: thread %" PRId64 ", for %" PRIu64 ".%03" PRIu64
                   " s; the limit is %" PRIu64 ".%03" PRIu64 " s\n",
                   stats.reader_thread, stats.grace_wait_ns / 1000000000, stats.grace_wait_ns / 1000000 % 1000,
                   http->stall_ns / 1000000000, http->stall_ns / 1000000 % 1000);
    return send_words(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

/* ---- Who is asked ---- */

#define NAME_MOST 255 /* bytes; DNS allows no more */

static bool is_number(int family, const char *text, size_t len)
{
    char number[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (len >= sizeof number)
        return false;
    memcpy(number, text, len);
    number[len] = '\0';
    return inet_pton(family, number, address) == 1;
}

/* Whether a name is among others, which commas and spaces separate. */
static bool is_among(const char *names, const char *name, size_t len)
{
    static const char between[] = ", ";
    for (names += strspn(names, between); *names; names += strspn(names, between)) {
        const size_t size = strcspn(names, between);
        if (size == len && strncasecmp(names, name, len) == 0)
            return true;
        names += size;
    }
    return false;
}

/* Whether a request is for this server; `*` among its names lets any in. A page from elsewhere in a browser on this machine asks in its own
 * name, which somebody has made to lead here, and would be shown the answer. Numbers cannot be made to lead elsewhere; who is no browser need
 * not say a name. */
static bool is_meant(const struct soma_http *http, const char *host)
{
    if (!host || is_among(http->names, "*", 1))
        return true;
    if (*host == '[')
        return is_number(AF_INET6, host + 1, strcspn(host + 1, "]"));
    const size_t len = strcspn(host, ":");
    if (len == 0 || len > NAME_MOST)
        return false;
    return is_number(AF_INET, host, len) || is_among("localhost", host, len) || is_among(http->names, host, len);
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *data_len, void **state)
{
    (void)version, (void)data, (void)data_len, (void)state;
    struct soma_http *http = ctx;
    if (!is_meant(http, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host")))
        return send_words(connection, MHD_HTTP_MISDIRECTED_REQUEST,
                          "asked by a name that is not this server's: see `names` in soma/http.h\n");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") == 0)
        return send_metrics(http, connection);
    if (strcmp(url, "/healthz") == 0)
        return send_health(http, connection);
    if (strcmp(url, "/") != 0)
        return send_words(connection, MHD_HTTP_NOT_FOUND, "not found; there are /, /metrics and /healthz\n");
    return send_response(connection, MHD_HTTP_OK, "text/html; charset=utf-8",
                         MHD_create_response_from_buffer(strlen(http->page), http->page, MHD_RESPMEM_PERSISTENT));
}

/* ---- Connections ---- */

/* If there are too many, the oldest is shut, which its owner notices as if the other side had. */
static void make_room(struct soma_http *http)
{
    struct caller *oldest = NULL;
    unsigned staying = 0;
    for (unsigned i = 0; i < CONNECTIONS_MOST + CONNECTIONS_SPARE; i++) {
        struct caller *caller = &http->callers[i];
        if (caller->number == 0 || caller->leaving)
            continue;
        staying++;
        if (!oldest || caller->number < oldest->number)
            oldest = caller;
    }
    if (staying > CONNECTIONS_MOST) {
        oldest->leaving = true;
        (void)shutdown(oldest->fd, SHUT_RDWR);
    }
}

/* Told of each connection that comes or goes. Of one that goes before its socket is closed, and before its place counts as free: so a place is
 * there for who comes. */
static void comes_or_goes(void *ctx, struct MHD_Connection *connection, void **place,
                          enum MHD_ConnectionNotificationCode what)
{
    struct soma_http *http = ctx;
    struct caller *caller = http->callers;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        *(struct caller *)*place = (struct caller){0};
        return;
    }
    while (caller->number != 0)
        caller++;
    *caller = (struct caller){.fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                              .number = ++http->called};
    *place = caller;
    make_room(http);
}

/* ---- The page ---- */

/* Where the title goes. */
#define MARK "@TITLE@"

static bool append_escaped(struct text *text, const char *words)
{
    bool done = true;
    for (; done && *words; words++) {
        if (*words == '&')
            done = append_text(text, "&amp;");
        else if (*words == '<')
            done = append_text(text, "&lt;");
        else
            done = append(words, 1, text);
    }
    return done;
}

/* NULL: no memory. */
static char *page_with(const char *title)
{
    struct text text = {NULL, 0, 0};
    const char *at = soma__http_page;
    bool done = true;
    for (const char *mark; done && (mark = strstr(at, MARK)); at = mark + strlen(MARK))
        done = append(at, (size_t)(mark - at), &text) && append_escaped(&text, title);
    if (done && append(at, strlen(at) + 1, &text))
        return text.bytes;
    free(text.bytes);
    return NULL;
}

/* ---- Birth and death ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool address_of(const struct soma_http_options *options, union address *out)
{
    const char *text = options->address ? options->address : "127.0.0.1";
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)options->port);
        return true;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons((uint16_t)options->port);
    return inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1;
}

/* Whether only this machine reaches it: 127.0.0.0/8 or ::1. */
static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* Where other machines are let in, browsers on this one are no way round anything. */
static const char *names_of(const struct soma_http_options *options, const union address *address)
{
    if (options->names)
        return options->names;
    return is_loopback(address) ? "" : "*";
}

static unsigned port_of(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

/* The server's thread inherits that all signals are blocked: they are the program's. */
static struct MHD_Daemon *start_daemon(struct soma_http *http, const union address *address)
{
    sigset_t all;
    sigset_t before;
    const int cancel = cancel_hold();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const unsigned v6 = address->any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | v6, 0, NULL, NULL, answer, http, MHD_OPTION_SOCK_ADDR, &address->any,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST + CONNECTIONS_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
        MHD_OPTION_NOTIFY_CONNECTION, comes_or_goes, http, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    cancel_let(cancel);
    return daemon;
}

enum soma_status soma_http_start(const struct soma_http_options *options, soma_http **out)
{
    static const struct soma_http_options defaults;
    const struct soma_http_options *given = options ? options : &defaults;
    union address address;
    if (!out || (given->struct_size != 0 && given->struct_size != sizeof *given) || given->port > UINT16_MAX ||
        !address_of(given, &address))
        return SOMA_E_INVALID;
    struct soma_http *http = calloc(1, sizeof *http);
    if (!http)
        return SOMA_E_NOMEM;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->let_go, NULL);
    http->stall_ns = given->stall_ns ? given->stall_ns : SOMA_STALL_NS_DEFAULT;
    http->page = page_with(given->title ? given->title : "Soma");
    http->names = strdup(names_of(given, &address));
    const bool made = http->page && http->names;
    if (made)
        http->daemon = start_daemon(http, &address);
    if (!http->daemon) {
        const enum soma_status status = made ? SOMA_E_IO : SOMA_E_NOMEM;
        soma_http_stop_wait(http);
        return status;
    }
    http->port = port_of(http->daemon);
    *out = http;
    return SOMA_OK;
}

unsigned soma_http_port(const soma_http *http)
{
    return http ? http->port : 0;
}

void soma_http_stop_wait(soma_http *http)
{
    if (!http)
        return;
    const int cancel = cancel_hold();
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    cancel_let(cancel);
    while (http->first) {
        struct shown *next = http->first->next;
        free(http->first);
        http->first = next;
    }
    pthread_cond_destroy(&http->let_go);
    pthread_mutex_destroy(&http->lock);
    free(http->page);
    free(http->names);
    free(http);
}
