/* SPDX-License-Identifier: ISC */
/* configuration.c - settings that are read all the time and changed now and then: a live map for who changes them, a frozen
 * copy in a cell for who reads them. docs/frozen.md tells the story. Answers 0 if no reader ever saw two settings that do
 * not belong together. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <soma/soma.h>

#define READERS 2
#define CHANGES 500

static soma_map *live;
static struct soma_cell published; /* a soma_frozen * */

static bool set(const char *name, unsigned number)
{
    return soma_map_put(live, name, strlen(name), &number, sizeof number, NULL) >= 0;
}

static unsigned setting(const soma_frozen *settings, const char *name)
{
    struct soma_bytes value;
    unsigned number = 0;
    if (soma_frozen_get_ref(settings, name, strlen(name), &value) == SOMA_OK && value.len == sizeof number)
        memcpy(&number, value.data, sizeof number);
    return number;
}

/* Freezes the settings as they are at one instant; readers go on with the old ones if there is no memory for that. */
static bool publish(void)
{
    soma_view *view;
    soma_frozen *next = NULL;
    if (soma_map_view_open(live, &view) != SOMA_OK)
        return false;
    const bool built = soma_frozen_build(view, &next) == SOMA_OK;
    soma_view_close(view);
    if (built && soma_cell_publish(&published, next, soma_frozen_retire) == SOMA_OK)
        return true;
    soma_frozen_free(next);
    return false;
}

/* Every published copy has a limit that is twice the other. */
static void *serve(void *broken)
{
    unsigned requests = 0;
    while (requests < CHANGES) {
        soma_read_enter();
        const soma_frozen *settings = soma_cell_read(&published);
        requests = setting(settings, "requests.max");
        if (setting(settings, "replies.max") != 2 * requests)
            *(bool *)broken = true;
        soma_read_exit(); /* from here on, settings may be freed at any time */
    }
    return NULL;
}

static bool change(unsigned number)
{
    return set("requests.max", number) && set("replies.max", 2 * number) && publish();
}

int main(void)
{
    pthread_t threads[READERS];
    bool broken[READERS] = {false};
    if (soma_map_new(NULL, &live) != SOMA_OK || !change(1))
        return 1;
    for (int i = 0; i < READERS; i++)
        if (pthread_create(&threads[i], NULL, serve, &broken[i]) != 0)
            return 1;
    for (unsigned number = 2; number <= CHANGES; number++)
        while (!change(number))
            continue;
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    soma_cell_fini(&published, soma_frozen_retire);
    soma_map_free(live);
    soma_barrier_wait();
    printf("%d changes, %d readers\n", CHANGES, READERS);
    return broken[0] || broken[1];
}
