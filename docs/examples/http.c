/* SPDX-License-Identifier: ISC */
/* http.c - a program at work whose maps can be watched in a browser. docs/watching.md tells the story.
 *
 *     example-http [--port N] [--seconds N] [--stall SECONDS]
 *
 * Two maps, threads that use them, and a server at 127.0.0.1. --stall: every two seconds one thread stays in a read section for so
 * long, which /healthz complains of, and then again. Without --seconds it runs until it is interrupted. */
#define _POSIX_C_SOURCE 200809L /* nanosleep() */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <soma/http.h>
#include <soma/soma.h>

#define WORKERS 2
#define VISITORS 100000

static soma_u64 *visits;   /* visitor to number of visits */
static soma_map *sessions; /* name to something that comes and goes */
static volatile sig_atomic_t over;

static void stop(int signal)
{
    (void)signal;
    over = 1;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Some visitors come often, most seldom; sessions are opened and closed, more by day than by night. */
static void *work(void *arg)
{
    uint64_t random = (uintptr_t)arg * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint64_t turn = 0; !over; turn++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        soma_u64_fetch_add(visits, random % (random % 4 ? 16 : VISITORS), 1, NULL);
        char name[32];
        const int len = snprintf(name, sizeof name, "session %u", (unsigned)(random >> 40) % 20000);
        if (turn % 400000 < 200000)
            soma_map_put(sessions, name, (size_t)len, &turn, sizeof turn, NULL);
        else
            soma_map_remove(sessions, name, (size_t)len, NULL);
        if (turn % 500 == 0)
            pause_ms(2);
    }
    return NULL;
}

static void *stay_inside(void *seconds)
{
    while (!over) {
        sleep(2);
        soma_read_enter();
        for (int i = 0; i < *(int *)seconds * 10 && !over; i++)
            pause_ms(100);
        soma_read_exit();
    }
    return NULL;
}

static int serve(unsigned port, int seconds, int *stall)
{
    soma_http *http;
    const struct soma_http_options options = {.port = port, .title = "Visits and sessions"};
    if (soma_http_start(&options, &http) != SOMA_OK) {
        perror("cannot serve");
        return 1;
    }
    const bool shown = soma_http_add_u64(http, "visits", visits) == SOMA_INSERTED &&
                       soma_http_add_map(http, "sessions", sessions) == SOMA_INSERTED;
    printf("http://127.0.0.1:%u/\n", soma_http_port(http));
    fflush(stdout);
    pthread_t workers[WORKERS];
    pthread_t reader;
    for (uintptr_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, (void *)i);
    if (*stall > 0)
        pthread_create(&reader, NULL, stay_inside, stall);
    for (int i = 0; (i < seconds * 10 || seconds == 0) && !over; i++)
        pause_ms(100);
    over = 1;
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    if (*stall > 0)
        pthread_join(reader, NULL);
    soma_http_stop_wait(http);
    return shown ? 0 : 1;
}

static int number(int argc, char **argv, const char *option)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], option) == 0)
            return atoi(argv[i + 1]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int stall = number(argc, argv, "--stall");
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    const struct soma_map_options options = {.deferred_bytes_max = 8 << 20, .flags = SOMA_WAIT_AT_LIMIT};
    if (soma_u64_new(NULL, &visits) != SOMA_OK || soma_map_new(&options, &sessions) != SOMA_OK)
        return 1;
    const int status = serve((unsigned)number(argc, argv, "--port"), number(argc, argv, "--seconds"), &stall);
    soma_map_free(sessions);
    soma_u64_free(visits);
    soma_barrier_wait();
    return status;
}
