/* SPDX-License-Identifier: ISC */
/* unload.c - a program that loads the shared library, uses it, and unloads it, over and over, while threads that have
 * used it are still alive or just about to end. tests/run calls it: `unload path/to/libsoma.so`. It links no Soma; a
 * crash or a hang (an alarm ends it) is the failure. */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#define ROUNDS 200
#define LIMIT_SECONDS 60
#define KEYS 500

/* ISO C knows no conversion from dlsym()'s pointer to one of these, so they are copied into. */
struct library {
    void *handle;
    enum soma_status (*new_map)(const struct soma_u64_options *options, soma_u64 **out);
    void (*free_map)(soma_u64 *map);
    enum soma_status (*put)(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *old);
    enum soma_status (*get)(const soma_u64 *map, uint64_t key, uint64_t *value);
    enum soma_status (*remove)(soma_u64 *map, uint64_t key, uint64_t *old);
    void (*enter)(void);
    void (*leave)(void);
    void (*barrier)(void);
};

struct user {
    pthread_t thread;
    struct library *library;
    soma_u64 *map;
    uint64_t first;
    sem_t used;
    sem_t unloaded;
};

static void fail(const char *what)
{
    fprintf(stderr, "unload: %s\n", what);
    exit(1);
}

static void resolve(const struct library *library, const char *name, void *slot)
{
    void *const symbol = dlsym(library->handle, name);
    if (!symbol)
        fail(name);
    memcpy(slot, &symbol, sizeof symbol);
}

static void load(struct library *library, const char *path)
{
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        fail(dlerror());
    resolve(library, "soma_u64_new", &library->new_map);
    resolve(library, "soma_u64_free", &library->free_map);
    resolve(library, "soma_u64_put", &library->put);
    resolve(library, "soma_u64_get", &library->get);
    resolve(library, "soma_u64_remove", &library->remove);
    resolve(library, "soma_read_enter", &library->enter);
    resolve(library, "soma_read_exit", &library->leave);
    resolve(library, "soma_barrier_wait", &library->barrier);
}

static void use(const struct library *library, soma_u64 *map, uint64_t first)
{
    for (uint64_t key = first; key < first + KEYS; key++) {
        uint64_t value = 0;
        library->enter();
        if (library->put(map, key, key + 1, NULL) != SOMA_INSERTED)
            fail("put");
        if (library->get(map, key, &value) != SOMA_OK || value != key + 1)
            fail("get");
        library->leave();
        if (library->remove(map, key, &value) != SOMA_REMOVED || value != key + 1)
            fail("remove");
    }
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

static void *use_and_stay(void *arg)
{
    struct user *user = arg;
    use(user->library, user->map, user->first);
    sem_post(&user->used);
    wait_for(&user->unloaded);
    return NULL; /* and now its destructor runs, in a library that has been unloaded */
}

static void start(struct user *user, struct library *library, soma_u64 *map, uint64_t first)
{
    user->library = library;
    user->map = map;
    user->first = first;
    sem_init(&user->used, 0, 0);
    sem_init(&user->unloaded, 0, 0);
    if (pthread_create(&user->thread, NULL, use_and_stay, user) != 0)
        fail("pthread_create");
}

static void once(const char *path, unsigned round)
{
    struct library library;
    struct user users[2];
    soma_u64 *map = NULL;
    load(&library, path);
    if (library.new_map(NULL, &map) != SOMA_OK)
        fail("soma_u64_new");
    for (unsigned i = 0; i < 2; i++)
        start(&users[i], &library, map, i * KEYS);
    use(&library, map, 2 * KEYS);
    for (unsigned i = 0; i < 2; i++)
        wait_for(&users[i].used);
    library.free_map(map);
    if (round % 2 == 0)
        library.barrier();
    sem_post(&users[0].unloaded); /* ends while the library is being unloaded */
    if (dlclose(library.handle) != 0)
        fail(dlerror());
    sem_post(&users[1].unloaded); /* ends afterwards */
    for (unsigned i = 0; i < 2; i++)
        pthread_join(users[i].thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        fail("usage: unload path/to/libsoma.so");
    alarm(LIMIT_SECONDS);
    for (unsigned round = 0; round < ROUNDS; round++)
        once(argv[1], round);
    printf("unload: %d rounds\n", ROUNDS);
    return 0;
}
