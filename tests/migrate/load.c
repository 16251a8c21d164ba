/* SPDX-License-Identifier: ISC */
/* load.c - threads that share libgit2's object cache, as built with the table it came with or with Soma's: the same source, linked
 * with either library. One run is one line of figures; `run` takes turns and compares.
 *
 * usage: load KIND UPDATES THREADS SECONDS
 *   KIND     commits: git_commit_lookup() in one repository, whose objects come from memory
 *            cache: git_cache_get_raw() and git_cache_store_raw() alone
 *   roomy    the same with room for everything: nothing is evicted, stores find what is there
 *   UPDATES  percent of the steps that look for what mostly is not there (commits), or store (cache, roomy)
 *
 * What comes back is checked: the object must be the one that was asked for. A wrong one ends in status 1.
 */
#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cache.h"
#include "odb.h"

#define OBJECTS 20000 /* asked for */
#define ROOM 10000    /* that the cache may hold, about */
#define HOT 8000      /* that all but updates ask for */
#define OBJECT_BYTES 200
#define THREADS_MAX 64

static git_oid oids[OBJECTS];
static char *texts[OBJECTS];
static git_repository *repository;
static git_cache cache;
static unsigned updates;
static atomic_bool stop;
static atomic_ulong reads; /* of the backend */

struct tally {
    uint64_t steps;
    uint64_t hits;
    uint64_t wrong;
};

/* ---- Small things ---- */

static void must(bool held, const char *what)
{
    if (held)
        return;
    const git_error *error = git_error_last();
    fprintf(stderr, "load: %s: %s\n", what, error ? error->message : "failed");
    exit(2);
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Objects that come from memory ---- */

static unsigned slot_of(const git_oid *oid)
{
    uint64_t start;
    memcpy(&start, oid->id, sizeof start);
    return (unsigned)(start % (2 * OBJECTS));
}

static int index_of[2 * OBJECTS]; /* open addressing; an index plus one */

static int find(const git_oid *oid)
{
    for (unsigned at = slot_of(oid); index_of[at]; at = (at + 1) % (2 * OBJECTS))
        if (git_oid_equal(&oids[index_of[at] - 1], oid))
            return index_of[at] - 1;
    return -1;
}

static int backend_read(void **data, size_t *len, git_object_t *type, git_odb_backend *backend, const git_oid *oid)
{
    const int index = find(oid);
    if (index < 0)
        return GIT_ENOTFOUND;
    atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    *len = strlen(texts[index]);
    *type = GIT_OBJECT_COMMIT;
    *data = git_odb_backend_data_alloc(backend, *len + 1);
    if (!*data)
        return -1;
    memcpy(*data, texts[index], *len + 1);
    return 0;
}

static int backend_exists(git_odb_backend *backend, const git_oid *oid)
{
    (void)backend;
    return find(oid) >= 0;
}

static void backend_free(git_odb_backend *backend)
{
    free(backend);
}

static void texts_make(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        texts[i] = malloc(OBJECT_BYTES + 64);
        must(texts[i] != NULL, "memory");
        const int len = snprintf(texts[i], OBJECT_BYTES + 64,
                                 "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.org> %d +0000\n"
                                 "committer A <a@example.org> %d +0000\n\ncommit %06d\n",
                                 i, i, i);
        must(git_odb_hash(&oids[i], texts[i], (size_t)len, GIT_OBJECT_COMMIT) == 0, "hash");
        unsigned at = slot_of(&oids[i]);
        while (index_of[at])
            at = (at + 1) % (2 * OBJECTS);
        index_of[at] = i + 1;
    }
}

static void repository_make(void)
{
    git_odb *odb;
    git_odb_backend *backend = calloc(1, sizeof *backend);
    must(backend != NULL, "memory");
    git_odb_init_backend(backend, GIT_ODB_BACKEND_VERSION);
    backend->read = backend_read;
    backend->exists = backend_exists;
    backend->free = backend_free;
    must(git_odb_new(&odb) == 0 && git_odb_add_backend(odb, backend, 1) == 0, "object database");
    must(git_repository_wrap_odb(&repository, odb) == 0, "repository");
    git_odb_free(odb);
    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
}

/* ---- Steps ---- */

static void step_commit(uint64_t random, bool update, struct tally *tally)
{
    const unsigned index = (unsigned)(random >> 8) % (update ? OBJECTS : HOT);
    git_commit *commit;
    if (git_commit_lookup(&commit, repository, &oids[index])) {
        tally->wrong++;
        return;
    }
    if (git_commit_time(commit) != (git_time_t)index || !git_oid_equal(git_commit_id(commit), &oids[index]))
        tally->wrong++;
    git_commit_free(commit);
}

static git_odb_object *object_new(unsigned index)
{
    git_odb_object *object = git__calloc(1, sizeof *object);
    must(object != NULL, "memory");
    git_oid_cpy(&object->cached.oid, &oids[index]);
    object->cached.type = GIT_OBJECT_COMMIT;
    object->cached.size = OBJECT_BYTES;
    object->buffer = git__malloc(sizeof index);
    must(object->buffer != NULL, "memory");
    memcpy(object->buffer, &index, sizeof index);
    return object;
}

static void step_cache(uint64_t random, bool update, struct tally *tally)
{
    const unsigned index = (unsigned)(random >> 8) % OBJECTS;
    git_odb_object *object =
        update ? git_cache_store_raw(&cache, object_new(index)) : git_cache_get_raw(&cache, &oids[index]);
    if (!object)
        return;
    tally->hits += !update;
    unsigned found;
    memcpy(&found, object->buffer, sizeof found);
    if (found != index || !git_oid_equal(&object->cached.oid, &oids[index]))
        tally->wrong++;
    git_cached_obj_decref(object);
}

/* ---- Threads ---- */

static void (*step)(uint64_t random, bool update, struct tally *tally);
static pthread_barrier_t start;

struct worker {
    pthread_t thread;
    uint64_t seed;
    struct tally tally;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct tally tally = {0};
    uint64_t random = worker->seed;
    pthread_barrier_wait(&start);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 32; i++) {
            const uint64_t r = next(&random);
            step(r, (r & 0xff) * 100 < (uint64_t)updates * 256, &tally);
        }
        tally.steps += 32;
    }
    worker->tally = tally;
    return NULL;
}

/* Everything is asked for once, so that the cache is full. */
static void fill(void)
{
    struct tally tally = {0};
    for (uint64_t i = OBJECTS; i-- > 0;)
        step(i << 8, true, &tally);
    must(tally.wrong == 0, "a wrong answer while filling");
    atomic_store(&reads, 0);
}

static struct tally measure(unsigned threads, double seconds, double *wall)
{
    static struct worker workers[THREADS_MAX];
    const struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    struct tally sum = {0};
    pthread_barrier_init(&start, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        workers[i].seed = i + 1;
        must(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
    }
    pthread_barrier_wait(&start);
    const double begin = seconds_of(CLOCK_MONOTONIC);
    nanosleep(&pause, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.steps += workers[i].tally.steps;
        sum.hits += workers[i].tally.hits;
        sum.wrong += workers[i].tally.wrong;
    }
    *wall = seconds_of(CLOCK_MONOTONIC) - begin;
    return sum;
}

/* The share of lookups that the cache answered. */
static double hit_rate(const struct tally *tally)
{
    if (step == step_commit)
        return 1.0 - (double)atomic_load(&reads) / (double)tally->steps;
    return (double)tally->hits / ((double)tally->steps * (100.0 - updates) / 100.0);
}

int main(int argc, char **argv)
{
    const unsigned threads = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
    const double seconds = argc == 5 ? atof(argv[4]) : 0;
    const bool commits = argc == 5 && !strcmp(argv[1], "commits");
    const bool roomy = argc == 5 && !strcmp(argv[1], "roomy");
    if (threads < 1 || threads > THREADS_MAX || seconds <= 0 || !(commits || roomy || !strcmp(argv[1], "cache"))) {
        fprintf(stderr, "usage: load commits|cache|roomy UPDATES THREADS SECONDS\n");
        return 2;
    }
    updates = (unsigned)atoi(argv[2]);
    step = commits ? step_commit : step_cache;
    git_libgit2_init();
    texts_make();
    const ssize_t room = (roomy ? OBJECTS : ROOM) * (ssize_t)(commits ? strlen(texts[0]) : OBJECT_BYTES);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, room);
    must(git_cache_init(&cache) == 0, "cache");
    repository_make();
    fill();
    double wall;
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const struct tally tally = measure(threads, seconds, &wall);
    const double used = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s %u %u %.0f %.1f %.3f %ld %llu\n", argv[1], updates, threads, (double)tally.steps / wall,
           used * 1e9 / (double)tally.steps, hit_rate(&tally), usage.ru_maxrss, (unsigned long long)tally.wrong);
    git_cache_dispose(&cache);
    git_repository_free(repository);
    git_libgit2_shutdown();
    return tally.wrong ? 1 : 0;
}
