/* SPDX-License-Identifier: ISC */
/* http.c - the server of soma/http.h, asked over sockets: every status of every call, every page, maps that come and go while requests
 * run, readers that stay inside. What browsers make of the page: `pages` beside this file. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <soma/http.h>
#include <soma/metrics.h>
#include <soma/soma.h>

#include "support.h"

/* ---- A client ---- */

static int connect_to(unsigned port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The whole answer, to be freed. NULL: there is none. */
static char *ask(unsigned port, const char *method, const char *path, const char *headers)
{
    char request[500];
    const char *host = strncmp(headers, "Host:", 5) == 0 ? "" : "Host: 127.0.0.1\r\n";
    const int len = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%sConnection: close\r\n%s\r\n", method, path,
                             host, headers);
    const int fd = connect_to(port);
    const struct timeval patience = {.tv_sec = 10};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return NULL;
    size_t got = 0;
    char *answer = need(1, 1 << 20);
    if (write(fd, request, (size_t)len) == len) {
        for (ssize_t n = 1; n > 0 && got<(1 << 20) - 1; got += n> 0 ? (size_t)n : 0)
            n = read(fd, answer + got, (1 << 20) - 1 - got);
    }
    close(fd);
    return answer;
}

static int status_of(const char *answer)
{
    int status = 0;
    return answer && sscanf(answer, "HTTP/1.1 %d ", &status) == 1 ? status : 0;
}

/* Whether the answer has this status and these words. */
static bool answers(unsigned port, const char *method, const char *path, const char *headers, int status,
                    const char *words)
{
    char *answer = ask(port, method, path, headers);
    const bool held = status_of(answer) == status && strstr(answer, words) != NULL;
    if (!held)
        printf("# %s %s: %.300s\n", method, path, answer ? answer : "no answer");
    free(answer);
    return held;
}

/* Whether the answer is a good one, without these words. */
static bool lacks(unsigned port, const char *method, const char *path, const char *words)
{
    char *answer = ask(port, method, path, "");
    const bool held = status_of(answer) == 200 && !strstr(answer, words);
    free(answer);
    return held;
}

/* ---- Cases ---- */

static soma_http *start(const struct soma_http_options *options)
{
    soma_http *http = NULL;
    EXPECT_EQ(soma_http_start(options, &http), SOMA_OK);
    return http;
}

static void arguments(const void *setup)
{
    (void)setup;
    soma_http *http = NULL;
    EXPECT_EQ(soma_http_start(NULL, NULL), SOMA_E_INVALID);
    const struct soma_http_options wrong[] = {
        {.struct_size = 1}, {.address = "localhost"}, {.address = ""}, {.port = 65536}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_EQ(soma_http_start(&wrong[i], &http), SOMA_E_INVALID);
    const struct soma_http_options far = {.address = "192.0.2.1"};
    EXPECT_EQ(soma_http_start(&far, &http), SOMA_E_IO);
    EXPECT(http == NULL);
    http = start(&(struct soma_http_options){.struct_size = sizeof(struct soma_http_options), .address = "127.0.0.1"});
    const struct soma_http_options taken = {.port = soma_http_port(http)};
    soma_http *second = NULL;
    EXPECT_EQ(soma_http_start(&taken, &second), SOMA_E_IO);
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &words), SOMA_OK);
    EXPECT_EQ(soma_map_new(NULL, &bytes), SOMA_OK);
    EXPECT_EQ(soma_http_add_u64(NULL, "a", words), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_add_u64(http, NULL, words), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_add_u64(http, "a", NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_add_map(http, "a", NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_add_map(http, "\xff", bytes), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_add_u64(http, "a", words), SOMA_INSERTED);
    EXPECT_EQ(soma_http_add_map(http, "a", bytes), SOMA_EXISTS);
    EXPECT_EQ(soma_http_add_map(http, "b", bytes), SOMA_INSERTED);
    EXPECT_EQ(soma_http_remove_wait(http, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_remove_wait(NULL, "a"), SOMA_E_INVALID);
    EXPECT_EQ(soma_http_remove_wait(http, "c"), SOMA_ABSENT);
    EXPECT_EQ(soma_http_remove_wait(http, "a"), SOMA_REMOVED);
    EXPECT_EQ(soma_http_remove_wait(http, "a"), SOMA_ABSENT);
    EXPECT(answers(soma_http_port(http), "GET", "/metrics", "", 200, "soma_map_entries{map=\"b\"} 0\n"));
    EXPECT(lacks(soma_http_port(http), "GET", "/metrics", "{map=\"a\""));
    EXPECT_EQ(soma_http_port(NULL), 0);
    soma_http_stop_wait(http);
    soma_http_stop_wait(NULL);
    soma_u64_free(words);
    soma_map_free(bytes);
    verified(25);
}

static void pages(const void *setup)
{
    (void)setup;
    soma_http *http = start(&(struct soma_http_options){.title = "<b>&amp; co"});
    const unsigned port = soma_http_port(http);
    EXPECT(port > 0);
    EXPECT(answers(port, "GET", "/", "", 200, "\r\n\r\n<!doctype html>"));
    EXPECT(answers(port, "GET", "/", "", 200, "<title>&lt;b>&amp;amp; co</title>"));
    EXPECT(answers(port, "GET", "/", "", 200, "Content-Security-Policy: default-src 'none'"));
    EXPECT(lacks(port, "GET", "/", "@TITLE@"));
    EXPECT(answers(port, "GET", "/metrics", "", 200, "Content-Type: " SOMA_METRICS_TYPE "\r\n"));
    EXPECT(
        answers(port, "GET", "/metrics", "Accept: text/html\r\n", 200, "Content-Type: text/plain; charset=utf-8\r\n"));
    EXPECT(answers(port, "GET", "/metrics", "", 200, "\n# EOF\n"));
    EXPECT(answers(port, "GET", "/metrics?x=1", "", 200, "Cache-Control: no-store\r\n"));
    EXPECT(answers(port, "GET", "/healthz", "", 200, "\r\n\r\nok\n"));
    EXPECT(answers(port, "HEAD", "/metrics", "", 200, "Content-Length: "));
    EXPECT(lacks(port, "HEAD", "/metrics", "# EOF"));
    EXPECT(answers(port, "GET", "/nowhere", "", 404, "there are /, /metrics and /healthz"));
    EXPECT(answers(port, "POST", "/", "Content-Length: 0\r\n", 405, "Allow: GET, HEAD"));
    soma_http_stop_wait(http);
    EXPECT_EQ(connect_to(port), -1);
    verified(15);
}

/* Whether a request for this host is answered. */
static bool meant(unsigned port, const char *host)
{
    char headers[400];
    snprintf(headers, sizeof headers, "Host: %s\r\n", host);
    char *answer = ask(port, "GET", "/metrics", headers);
    const int status = status_of(answer);
    EXPECT(status == 200 || (status == 421 && !strstr(answer, "soma_")));
    free(answer);
    verified(1);
    return status == 200;
}

/* Pages from elsewhere ask in their own names. */
static void hosts(const void *setup)
{
    (void)setup;
    static const char *const numbers[] = {"127.0.0.1",   "127.0.0.1:9464", "[::1]",         "[::1]:80",
                                          "192.0.2.7:1", "localhost",      "LocalHost:8080"};
    static const char *const wrong[] = {"elsewhere.example",
                                        "elsewhere.example:80",
                                        "localhost.elsewhere.example",
                                        "local",
                                        "127.0.0.1.elsewhere.example",
                                        "[elsewhere.example]",
                                        "::1",
                                        ":80",
                                        "1",
                                        "",
                                        "[fe80::1%eth0]:9464",
                                        "*"};
    static const char *const names[] = {"worker-1", "Worker-1:9464", "b.example.net", "C"};
    char *const long_name = need(1, 301);
    memset(long_name, 'a', 300);
    soma_http *http[] = {start(NULL), start(&(struct soma_http_options){.names = "worker-1,b.example.net,  c,"}),
                         start(&(struct soma_http_options){.names = "other *"}),
                         start(&(struct soma_http_options){.address = "0.0.0.0"})};
    for (size_t server = 0; server < sizeof http / sizeof *http; server++) {
        const unsigned port = soma_http_port(http[server]);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            EXPECT(meant(port, numbers[i]));
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            EXPECT_EQ(meant(port, names[i]), server > 0);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            EXPECT_EQ(meant(port, wrong[i]), server > 1);
        EXPECT_EQ(meant(port, long_name), server > 1);
        if (server < 2)
            EXPECT(answers(port, "POST", "/", "Host: ::\r\nContent-Length: 0\r\n", 421, "`names` in soma/http.h"));
        soma_http_stop_wait(http[server]);
    }
    free(long_name);
}

/* ---- Connections that stay ---- */

/* Whether anything comes within some seconds; 0 bytes: the other side has shut the connection. */
static bool hears(int fd, const char *words)
{
    char answer[2000] = "";
    const ssize_t n = read(fd, answer, sizeof answer - 1);
    return n >= 0 && (*words ? strstr(answer, words) != NULL : n == 0);
}

/* Who connects and does not come to the point cannot keep others out, and goes when there are too many. */
static void slow_connections(const void *setup)
{
    enum {
        SLOW = 150,
        KEPT = 20, /* fewer than are served at a time */
    };
    (void)setup;
    soma_http *http = start(NULL);
    const unsigned port = soma_http_port(http);
    static const char begin[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    const struct timeval patience = {.tv_sec = 5};
    int slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = connect_to(port);
        EXPECT(slow[i] >= 0);
        EXPECT_EQ(setsockopt(slow[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
        EXPECT_EQ(write(slow[i], begin, sizeof begin - 1), sizeof begin - 1);
    }
    EXPECT(answers(port, "GET", "/healthz", "", 200, "ok"));
    EXPECT(answers(port, "GET", "/metrics", "", 200, "# EOF"));
    for (int i = 0; i < SLOW; i++) {
        if (i >= SLOW - KEPT)
            EXPECT_EQ(write(slow[i], "\r\n", 2), 2);
        if (i < SLOW - 2 * KEPT || i >= SLOW - KEPT)
            EXPECT(hears(slow[i], i < SLOW - KEPT ? "" : "ok\n"));
        close(slow[i]);
    }
    soma_http_stop_wait(http);
    verified(SLOW);
}

/* ---- A request that takes its time ---- */

static atomic_bool hold_back;
static atomic_bool held_back;

enum soma_status __real_soma_metrics_write(const struct soma_metrics_map *maps, size_t n, soma_metrics_fn write,
                                           void *ctx);
enum soma_status __wrap_soma_metrics_write(const struct soma_metrics_map *maps, size_t n, soma_metrics_fn write,
                                           void *ctx);

enum soma_status __wrap_soma_metrics_write(const struct soma_metrics_map *maps, size_t n, soma_metrics_fn write,
                                           void *ctx)
{
    while (atomic_load(&hold_back)) {
        atomic_store(&held_back, true);
        sleep_ms(1);
    }
    return __real_soma_metrics_write(maps, n, write, ctx);
}

struct removal {
    soma_http *http;
    atomic_uint returned;
    atomic_uint removed;
};

static void remove_twice(unsigned index, void *arg)
{
    struct removal *removal = arg;
    if (index == 0) {
        EXPECT(
            answers(soma_http_port(removal->http), "GET", "/metrics", "", 200, "soma_map_entries{map=\"slow\"} 0\n"));
        return;
    }
    while (!atomic_load(&held_back))
        sleep_ms(1);
    if (index == 1) {
        sleep_ms(200);
        EXPECT_EQ(atomic_load(&removal->returned), 0);
        atomic_store(&hold_back, false);
        return;
    }
    const enum soma_status status = soma_http_remove_wait(removal->http, "slow");
    EXPECT(status == SOMA_REMOVED || status == SOMA_ABSENT);
    atomic_fetch_add(&removal->removed, status == SOMA_REMOVED);
    atomic_fetch_add(&removal->returned, 1);
}

/* Whoever removes a map may count on it that no request looks at it, also who was not the first. */
static void removed_twice(const void *setup)
{
    (void)setup;
    soma_u64 *map = NULL;
    struct removal removal = {.http = start(NULL)};
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    EXPECT_EQ(soma_http_add_u64(removal.http, "slow", map), SOMA_INSERTED);
    EXPECT_EQ(soma_http_add_u64(removal.http, "other", map), SOMA_INSERTED);
    atomic_store(&held_back, false);
    atomic_store(&hold_back, true);
    crew_run(4, remove_twice, &removal);
    EXPECT_EQ(atomic_load(&removal.removed), 1);
    EXPECT_EQ(atomic_load(&removal.returned), 2);
    EXPECT(lacks(soma_http_port(removal.http), "GET", "/metrics", "slow"));
    EXPECT(answers(soma_http_port(removal.http), "GET", "/metrics", "", 200, "soma_map_entries{map=\"other\"} 0\n"));
    EXPECT_EQ(soma_http_add_u64(removal.http, "slow", map), SOMA_INSERTED);
    soma_http_stop_wait(removal.http);
    soma_u64_free(map);
    verified(4);
}

/* ---- Threads that are cancelled ---- */

static void *request(void *arg)
{
    const struct removal *removal = arg;
    EXPECT(answers(soma_http_port(removal->http), "GET", "/metrics", "", 200, "soma_map_entries{map=\"slow\"} 0\n"));
    return NULL;
}

static void *remove_cancelled(void *arg)
{
    struct removal *removal = arg;
    (void)pthread_cancel(pthread_self());
    atomic_fetch_add(&removal->removed, soma_http_remove_wait(removal->http, "slow") == SOMA_REMOVED);
    atomic_fetch_add(&removal->returned, 1);
    pthread_testcancel();
    return NULL;
}

static void *stop_cancelled(void *arg)
{
    struct removal *removal = arg;
    soma_http *own = NULL;
    (void)pthread_cancel(pthread_self());
    const bool started = soma_http_start(NULL, &own) == SOMA_OK;
    soma_http_stop_wait(own);
    soma_http_stop_wait(removal->http);
    atomic_fetch_add(&removal->returned, started);
    pthread_testcancel();
    return NULL;
}

/* No call is a cancellation point, also where it waits; behind it the thread can be cancelled as before. */
static void cancelled(const void *setup)
{
    (void)setup;
    soma_u64 *map = NULL;
    pthread_t asker;
    pthread_t caller;
    void *end = NULL;
    struct removal removal = {.http = start(NULL)};
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    EXPECT_EQ(soma_http_add_u64(removal.http, "slow", map), SOMA_INSERTED);
    atomic_store(&held_back, false);
    atomic_store(&hold_back, true);
    EXPECT_EQ(pthread_create(&asker, NULL, request, &removal), 0);
    while (!atomic_load(&held_back))
        sleep_ms(1);
    EXPECT_EQ(pthread_create(&caller, NULL, remove_cancelled, &removal), 0);
    sleep_ms(100);
    EXPECT_EQ(atomic_load(&removal.returned), 0);
    atomic_store(&hold_back, false);
    EXPECT_EQ(pthread_join(caller, &end), 0);
    EXPECT(end == PTHREAD_CANCELED);
    EXPECT_EQ(atomic_load(&removal.removed), 1);
    EXPECT_EQ(pthread_join(asker, NULL), 0);
    EXPECT_EQ(pthread_create(&caller, NULL, stop_cancelled, &removal), 0);
    EXPECT_EQ(pthread_join(caller, &end), 0);
    EXPECT(end == PTHREAD_CANCELED);
    EXPECT_EQ(atomic_load(&removal.returned), 2);
    soma_u64_free(map);
    verified(2);
}

/* ---- Maps that come and go ---- */

struct traffic {
    soma_http *http;
    unsigned port;
    bool over; /* under the lock */
    pthread_mutex_t lock;
};

static bool traffic_over(struct traffic *traffic)
{
    pthread_mutex_lock(&traffic->lock);
    const bool over = traffic->over;
    pthread_mutex_unlock(&traffic->lock);
    return over;
}

/* What is freed right behind its removal is where a request that still looks at it would be caught. */
static void come_and_go(struct traffic *traffic)
{
    uint64_t turns = 0;
    for (const double end = now_seconds() + test_seconds() / 4; now_seconds() < end; turns++) {
        soma_u64 *map = NULL;
        EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
        for (uint64_t key = 0; key < 100; key++)
            EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_http_add_u64(traffic->http, "passing", map), SOMA_INSERTED);
        usleep((unsigned)(turns % 3) * 500);
        EXPECT_EQ(soma_http_remove_wait(traffic->http, "passing"), SOMA_REMOVED);
        soma_u64_free(map);
    }
    verified(turns);
}

static void visit(unsigned index, void *arg)
{
    struct traffic *traffic = arg;
    if (index == 0) {
        come_and_go(traffic);
        pthread_mutex_lock(&traffic->lock);
        traffic->over = true;
        pthread_mutex_unlock(&traffic->lock);
        return;
    }
    uint64_t seen = 0;
    while (!traffic_over(traffic)) {
        char *answer = ask(traffic->port, "GET", "/metrics", "");
        EXPECT_EQ(status_of(answer), 200);
        const char *entries = answer ? strstr(answer, "soma_map_entries{map=\"passing\"} ") : NULL;
        EXPECT(answer != NULL && strstr(answer, "\n# EOF\n") != NULL);
        EXPECT(!entries || strncmp(entries + 32, "100\n", 4) == 0);
        seen += entries != NULL;
        free(answer);
    }
    verified(seen);
}

static void coming_and_going(const void *setup)
{
    (void)setup;
    struct traffic traffic = {.http = start(NULL), .lock = PTHREAD_MUTEX_INITIALIZER};
    traffic.port = soma_http_port(traffic.http);
    crew_run(3, visit, &traffic);
    soma_http_stop_wait(traffic.http);
    soma_barrier_wait();
}

/* ---- Health ---- */

static void health(const void *setup)
{
    (void)setup;
    soma_http *http = start(&(struct soma_http_options){.stall_ns = 50000000});
    const unsigned port = soma_http_port(http);
    EXPECT(answers(port, "GET", "/healthz", "", 200, "ok"));
    soma_read_enter();
    answers(port, "GET", "/healthz", "", 200, "ok"); /* from here on it waits, if none was pending before */
    answers(port, "GET", "/healthz", "", 200, "ok");
    sleep_ms(100);
    char thread[60];
    snprintf(thread, sizeof thread, "holds memory back: thread %d, for 0.", (int)getpid());
    EXPECT(answers(port, "GET", "/healthz", "", 503, thread));
    EXPECT(answers(port, "GET", "/healthz", "", 503, "the limit is 0.050 s"));
    soma_read_exit();
    EXPECT(answers(port, "GET", "/healthz", "", 200, "ok"));
    soma_http_stop_wait(http);
    verified(4);
}

static const struct test_case cases[] = {
    {"arguments", arguments, NULL},
    {"pages", pages, NULL},
    {"hosts", hosts, NULL},
    {"slow connections", slow_connections, NULL},
    {"removed twice", removed_twice, NULL},
    {"cancelled callers", cancelled, NULL},
    {"coming and going", coming_and_going, NULL},
    {"health", health, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
