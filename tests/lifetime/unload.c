/* SPDX-License-Identifier: ISC */
/* unload.c - a program that loads the shared library, uses it, and unloads it, over and over, while threads that have
 * used it are still alive or just about to end: some in the same round, one many rounds later. tests/run calls it:
 * `unload path/to/libsoma.so`. It links no Soma; a crash or a hang (an alarm ends it) is the failure. With `--rounds N`
 * it runs for as long as one likes; its last line is `RESULT unload <n> rounds <violations> violations`. */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#define ROUNDS 200
#define LIMIT_SECONDS 60 /* for a hundred rounds */
#define TELL_ROUNDS 100
#define STAY_ROUNDS 32 /* that the thread stays which stays longest */
#define KEYS 500
#define USERS 3

static unsigned done; /* rounds */

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
    fprintf(stderr, "unload: round %u: %s\n", done, what);
    printf("RESULT unload %u rounds 1 violations\n", done);
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

static void finish(struct user *user)
{
    pthread_join(user->thread, NULL);
    sem_destroy(&user->used);
    sem_destroy(&user->unloaded);
}

/* The third user ends with the round, or is handed out, to be let go much later. */
static void once(const char *path, unsigned round, struct user *stays)
{
    struct library library;
    struct user here[USERS];
    struct user *users[USERS] = {&here[0], &here[1], stays ? stays : &here[2]};
    soma_u64 *map = NULL;
    load(&library, path);
    if (library.new_map(NULL, &map) != SOMA_OK)
        fail("soma_u64_new");
    for (unsigned i = 0; i < USERS; i++)
        start(users[i], &library, map, i * KEYS);
    use(&library, map, USERS * KEYS);
    for (unsigned i = 0; i < USERS; i++)
        wait_for(&users[i]->used);
    library.free_map(map);
    if (round % 2 == 0)
        library.barrier();
    sem_post(&users[0]->unloaded); /* ends while the library is being unloaded */
    if (dlclose(library.handle) != 0)
        fail(dlerror());
    sem_post(&users[1]->unloaded); /* ends afterwards */
    if (!stays)
        sem_post(&users[2]->unloaded);
    for (unsigned i = 0; i < (stays ? USERS - 1 : USERS); i++)
        finish(users[i]);
}

static void run(const char *path, unsigned rounds)
{
    struct user stays;
    bool staying = false;
    for (; done < rounds; done++) {
        if (done % TELL_ROUNDS == 0)
            alarm(LIMIT_SECONDS);
        if (done % STAY_ROUNDS == 0 && staying) {
            sem_post(&stays.unloaded);
            finish(&stays);
            staying = false;
        }
        once(path, done, staying ? NULL : &stays);
        staying = true;
        if (rounds > ROUNDS && (done + 1) % TELL_ROUNDS == 0) {
            printf("# unload: %u of %u rounds\n", done + 1, rounds);
            fflush(stdout);
        }
    }
    if (staying) {
        sem_post(&stays.unloaded);
        finish(&stays);
    }
}

static int usage(int status)
{
    fprintf(stderr,
            "usage: unload [--rounds N] path/to/libsoma.so\n\n"
            "Loads the library, uses it from threads and unloads it, N times (%d; in the soak 1000). The last\n"
            "line is `RESULT unload <n> rounds <violations> violations`.\n",
            ROUNDS);
    return status;
}

int main(int argc, char **argv)
{
    unsigned rounds = ROUNDS;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(0);
    if (argc == 4 && strcmp(argv[1], "--rounds") == 0) {
        rounds = (unsigned)strtoul(argv[2], NULL, 0);
        argv += 2;
        argc -= 2;
    }
    if (argc != 2 || rounds == 0)
        return usage(2);
    run(argv[1], rounds);
    printf("unload: %u rounds\n", done);
    printf("RESULT unload %u rounds 0 violations\n", done);
    return 0;
}
