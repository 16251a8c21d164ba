/* SPDX-License-Identifier: ISC */
/* sync.c - a program that keeps a table of lines `key=value` in a file, and makes it equal to that of another such
 * program, on this machine or another:
 *
 *     sync serve ADDRESS FILE [source | target | both]     waits for one other and deals with it; source if nothing is said
 *     sync join  ADDRESS FILE [target | source | both]     goes to one that waits
 *
 * ADDRESS is the path of a Unix socket, or a port of this machine (127.0.0.1). FILE is read if it is there, and
 * written anew if it has changed. Of two values that both have for one key, the greater one stays if it goes both
 * ways. docs/sync.md tells the story.
 *
 * Both sides must have the same seed and digest key. A program has them from its configuration; here they stand
 * below. They are secret: who knows them can make up entries that look alike.
 */
#define _POSIX_C_SOURCE 200809L /* getline(), nanosleep() */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <soma/soma.h>

static const struct soma_map_options options = {
    .seed = {UINT64_C(0x736f6d6120617420), UINT64_C(0x746865206e6f7468)},
    .flags = SOMA_DIGEST,
    .digest_key = {UINT64_C(0x20646f6373206578), UINT64_C(0x616d706c65206b79)},
};

/* ---- The file ---- */

static int load(soma_map *map, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    FILE *file = fopen(path, "r");
    while (file && (len = getline(&line, &room, file)) > 0) {
        const char *equals = memchr(line, '=', (size_t)len);
        len -= line[len - 1] == '\n';
        if (!equals)
            continue;
        const size_t key_len = (size_t)(equals - line);
        const size_t value_len = (size_t)len - key_len - 1;
        if (soma_map_put(map, line, key_len, equals + 1, value_len, NULL) < 0)
            return 0;
    }
    free(line);
    if (file)
        fclose(file);
    return 1;
}

/* Beside the old file, which is there until the new one is whole. */
static int save(soma_map *map, const char *path)
{
    char beside[4096];
    soma_view *view;
    soma_cursor *cursor;
    struct soma_bytes key;
    struct soma_bytes value;
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *file = fopen(beside, "w");
    if (!file || soma_map_view_open(map, &view) != SOMA_OK)
        return 0;
    int good = soma_cursor_open_sorted(view, &cursor) == SOMA_OK;
    while (good && soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK)
        good = fprintf(file, "%.*s=%.*s\n", (int)key.len, (const char *)key.data, (int)value.len,
                       (const char *)value.data) > 0;
    if (good)
        soma_cursor_close(cursor);
    soma_view_close(view);
    return fclose(file) == 0 && good && rename(beside, path) == 0;
}

/* ---- The stream ---- */

static enum soma_status send_all(const void *data, size_t len, void *ctx)
{
    const char *at = data;
    while (len > 0) {
        const ssize_t sent = send(*(const int *)ctx, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return SOMA_E_IO;
        at += sent;
        len -= (size_t)sent;
    }
    return SOMA_OK;
}

static enum soma_status receive_some(void *buf, size_t cap, size_t *len, void *ctx)
{
    const ssize_t got = recv(*(const int *)ctx, buf, cap, 0);
    *len = got > 0 ? (size_t)got : 0;
    return got > 0 ? SOMA_OK : got == 0 ? SOMA_END : SOMA_E_IO;
}

/* A path, or the number of a port. */
static socklen_t address_of(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const long port = strtol(text, NULL, 10);
    if (port > 0 && port <= UINT16_MAX) {
        in.sin_port = htons((uint16_t)port);
        memcpy(address, &in, sizeof in);
        return sizeof in;
    }
    snprintf(un.sun_path, sizeof un.sun_path, "%s", text);
    memcpy(address, &un, sizeof un);
    return sizeof un;
}

/* What was sent last may be lost if a stream is closed while something in it is unread. */
static void end(int stream)
{
    char rest[1 << 12];
    (void)shutdown(stream, SHUT_WR);
    while (recv(stream, rest, sizeof rest, 0) > 0)
        ;
    close(stream);
}

static int serve(const struct sockaddr_storage *address, socklen_t len)
{
    const int one = 1;
    const int waiting = socket(address->ss_family, SOCK_STREAM, 0);
    (void)setsockopt(waiting, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (waiting < 0 || bind(waiting, (const struct sockaddr *)address, len) != 0 || listen(waiting, 1) != 0)
        return -1;
    const int stream = accept(waiting, NULL, NULL);
    close(waiting);
    return stream;
}

/* For some seconds, since the other side may just be starting. */
static int join(const struct sockaddr_storage *address, socklen_t len)
{
    for (int tries = 0; tries < 500; tries++) {
        const int stream = socket(address->ss_family, SOCK_STREAM, 0);
        if (stream < 0 || connect(stream, (const struct sockaddr *)address, len) == 0)
            return stream;
        close(stream);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return -1;
}

/* ---- The session ---- */

static enum soma_status greater(struct soma_conflict *conflict, void *ctx)
{
    (void)ctx;
    const struct soma_bytes *a = &conflict->mine;
    const struct soma_bytes *b = &conflict->theirs;
    const int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order > 0 || (order == 0 && a->len > b->len) ? SOMA_EXISTS : SOMA_REPLACED;
}

static int make_equal(soma_map *map, int stream, enum soma_sync_role role, int joined)
{
    const struct soma_sync_options how = {.role = role, .initiator = joined, .rule = greater};
    struct soma_sync_result result;
    soma_sync *sync;
    if (soma_map_sync_open(map, &how, &sync) != SOMA_OK)
        return 0;
    const enum soma_status status = soma_sync_run_wait(sync, send_all, receive_some, &stream);
    soma_sync_outcome(sync, &result);
    fprintf(stderr,
            "%s: %" PRIu64 " new, %" PRIu64 " replaced, %" PRIu64 " removed; %" PRIu64 " bytes sent, %" PRIu64
            " received, %" PRIu64 " round trips\n",
            soma_sync_reason(sync), result.inserted, result.replaced, result.removed, result.bytes_sent,
            result.bytes_received, result.round_trips);
    soma_sync_close(sync);
    return status == SOMA_OK;
}

static enum soma_sync_role role_of(const char *text)
{
    if (strcmp(text, "both") == 0)
        return SOMA_SYNC_BOTH;
    return strcmp(text, "source") == 0 ? SOMA_SYNC_SOURCE : SOMA_SYNC_TARGET;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage address;
    soma_map *map;
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: sync serve|join ADDRESS FILE [source|target|both]\n");
        return 2;
    }
    const int joins = strcmp(argv[1], "join") == 0;
    const enum soma_sync_role role = role_of(argc == 5 ? argv[4] : joins ? "target" : "source");
    if (soma_map_new(&options, &map) != SOMA_OK || !load(map, argv[3]))
        return 1;
    const socklen_t len = address_of(argv[2], &address);
    const int stream = joins ? join(&address, len) : serve(&address, len);
    if (stream < 0) {
        perror(argv[2]);
        return 1;
    }
    int good = make_equal(map, stream, role, joins);
    if (good && role != SOMA_SYNC_SOURCE)
        good = save(map, argv[3]);
    end(stream);
    soma_map_free(map);
    return good ? 0 : 1;
}
