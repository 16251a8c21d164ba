/* SPDX-License-Identifier: ISC */
/* publication.c - a configuration that threads read while another puts new ones in its place. docs/publication.md tells
 * the story. Answers 0 if no reader ever saw a configuration that was not whole. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <soma/soma.h>

#define READERS 3
#define VERSIONS 2000

/* Filled before it is published, never changed after. Both limits always agree. */
struct config {
    unsigned version;
    unsigned requests_max;
    unsigned replies_max;
};

static struct soma_cell current; /* all-zero: it holds NULL */

static struct config *config_new(unsigned version)
{
    struct config *config = malloc(sizeof *config);
    if (config)
        *config = (struct config){version, 10 * version, 20 * version};
    return config;
}

static bool config_is_whole(const struct config *config)
{
    return config->requests_max == 10 * config->version && config->replies_max == 20 * config->version;
}

static void *serve(void *broken)
{
    bool last = false;
    while (!last) {
        soma_read_enter();
        const struct config *config = soma_cell_read(&current);
        if (!config_is_whole(config))
            *(bool *)broken = true;
        last = config->version == VERSIONS;
        soma_read_exit(); /* from here on, config may be freed at any time */
    }
    return NULL;
}

/* Tries again while there is no memory: nothing has changed then. */
static void reload(unsigned version)
{
    struct config *next = NULL;
    while (!next)
        next = config_new(version);
    while (soma_cell_publish(&current, next, free) != SOMA_OK)
        continue;
}

int main(void)
{
    pthread_t threads[READERS];
    bool broken[READERS] = {false};
    reload(1);
    for (int i = 0; i < READERS; i++)
        if (pthread_create(&threads[i], NULL, serve, &broken[i]) != 0)
            return 1;
    for (unsigned version = 2; version <= VERSIONS; version++)
        reload(version);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    soma_cell_fini(&current, free);
    soma_barrier_wait(); /* all the others have been freed, too */
    printf("%u configurations, %d readers\n", VERSIONS, READERS);
    return broken[0] || broken[1] || broken[2];
}
