/* SPDX-License-Identifier: ISC */
/* dual.c - the second step of a migration. The old map is what programs have: a tree of tsearch(3) behind a mutex. Four threads work on
 * it and on Soma at once, first with the old map's answers, then with Soma's; at the end both must hold the same. With
 * `faulty` the old map forgets every thousandth key, which comes out at the first lookup. docs/migration.md tells the story.
 *
 * usage: dual [faulty] */
#define _GNU_SOURCE 1 /* twalk_r(), tdestroy() */
#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/dual.h>
#include <soma/soma.h>

#define THREADS 4
#define CALLS 20000
#define KEYS UINT64_C(5000)

/* ---- The old map ---- */

struct item {
    uint64_t key;
    uint64_t value;
};

struct old {
    pthread_mutex_t mutex;
    void *root;
    bool faulty;
};

static int compare(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static struct item *find(struct old *old, uint64_t key)
{
    const struct item wanted = {.key = key};
    struct item **node = tfind(&wanted, &old->root, compare);
    return node ? *node : NULL;
}

static enum soma_status insert(struct old *old, uint64_t key, uint64_t value)
{
    if (old->faulty && key % 1000 == 999)
        return SOMA_INSERTED;
    struct item *item = malloc(sizeof *item);
    if (!item)
        return SOMA_E_NOMEM;
    *item = (struct item){.key = key, .value = value};
    if (tsearch(item, &old->root, compare))
        return SOMA_INSERTED;
    free(item);
    return SOMA_E_NOMEM;
}

/* ---- Its calls, as dual.h wants them: the lock is taken as the program takes it today ---- */

static enum soma_status old_get(void *arg, uint64_t key, uint64_t *value)
{
    struct old *old = arg;
    pthread_mutex_lock(&old->mutex);
    const struct item *item = find(old, key);
    if (item && value)
        *value = item->value;
    pthread_mutex_unlock(&old->mutex);
    return item ? SOMA_OK : SOMA_ABSENT;
}

static enum soma_status old_put(void *arg, uint64_t key, uint64_t value, uint64_t *previous)
{
    struct old *old = arg;
    enum soma_status status = SOMA_REPLACED;
    pthread_mutex_lock(&old->mutex);
    struct item *item = find(old, key);
    if (item) {
        if (previous)
            *previous = item->value;
        item->value = value;
    } else {
        status = insert(old, key, value);
    }
    pthread_mutex_unlock(&old->mutex);
    return status;
}

static enum soma_status old_remove(void *arg, uint64_t key, uint64_t *previous)
{
    struct old *old = arg;
    pthread_mutex_lock(&old->mutex);
    struct item *item = find(old, key);
    if (item) {
        if (previous)
            *previous = item->value;
        tdelete(item, &old->root, compare);
    }
    pthread_mutex_unlock(&old->mutex);
    free(item);
    return item ? SOMA_REMOVED : SOMA_ABSENT;
}

struct walk {
    soma_dual_u64_visit visit;
    void *ctx;
    bool over;
};

static void each(const void *node, VISIT which, void *arg)
{
    struct walk *walk = arg;
    const struct item *item = *(struct item *const *)node;
    if (!walk->over && (which == postorder || which == leaf))
        walk->over = !walk->visit(item->key, item->value, walk->ctx);
}

static enum soma_status old_walk(void *arg, soma_dual_u64_visit visit, void *ctx)
{
    struct old *old = arg;
    struct walk walk = {.visit = visit, .ctx = ctx};
    pthread_mutex_lock(&old->mutex);
    twalk_r(old->root, each, &walk);
    pthread_mutex_unlock(&old->mutex);
    return SOMA_OK;
}

static const struct soma_dual_u64_old table = {.get = old_get, .put = old_put, .remove = old_remove, .walk = old_walk};

/* ---- The program ---- */

static soma_dual_u64 *map;

static void *worker(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < CALLS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        const uint64_t key = (random >> 33) % KEYS;
        if (random >> 62 == 0)
            soma_dual_u64_remove(map, key, NULL);
        else if (random >> 62 == 1)
            soma_dual_u64_put(map, key, random, NULL);
        else
            soma_dual_u64_fetch_add(map, key, 1, NULL);
        soma_dual_u64_get(map, key, NULL);
    }
    return NULL;
}

/* How many differences there were. */
static uint64_t run(struct old *old, enum soma_dual_mode mode)
{
    const struct soma_dual_options options = {.mode = mode, .rate = 0.5, .difference = soma_dual_log, .ctx = stderr};
    const struct soma_u64_options soma = {.flags = SOMA_DIGEST};
    if (soma_dual_u64_new(&options, &soma, &table, old, &map) != SOMA_OK)
        return 1;
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, worker, (void *)(uintptr_t)(t + 1)) != 0)
            abort();
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    uint64_t differing = 1;
    if (soma_dual_u64_check(map, SOMA_DUAL_BY_DIGEST, &differing) != SOMA_OK)
        return 1;
    struct soma_dual_counters counters;
    soma_dual_u64_counters(map, &counters);
    uint64_t calls = 0;
    uint64_t compared = 0;
    uint64_t differences = 0;
    for (int v = 0; v < SOMA_DUAL_VERBS; v++) {
        calls += counters.calls[v];
        compared += counters.compared[v];
        differences += counters.differences[v];
    }
    printf("%s: %" PRIu64 " calls, %s, %s\n", mode == SOMA_DUAL_OLD_ANSWERS ? "the old map answers" : "Soma answers",
           calls, compared > calls / 3 ? "about half of them compared" : "too few compared",
           differences == 0 ? "no differences" : "DIFFERENCES");
    soma_dual_u64_free(map);
    return differences;
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "faulty") != 0)) {
        fprintf(stderr, "usage: %s [faulty]\n", argv[0]);
        return 2;
    }
    struct old old = {.mutex = PTHREAD_MUTEX_INITIALIZER, .faulty = argc == 2};
    uint64_t differences = run(&old, SOMA_DUAL_OLD_ANSWERS);
    differences += run(&old, SOMA_DUAL_SOMA_ANSWERS); /* takes over what the old map holds */
    tdestroy(old.root, free);
    pthread_mutex_destroy(&old.mutex);
    return differences == 0 ? 0 : 1;
}
