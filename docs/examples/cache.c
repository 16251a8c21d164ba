/* SPDX-License-Identifier: ISC */
/* cache.c - answers that are dear to compute, kept for who asks next; those that are out of date are dropped. Values are
 * borrowed inside read sections, not copied. docs/guide/ownership.md tells the story. Answers 0 if all answers were right. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <soma/soma.h>

#define THREADS 4
#define QUESTIONS 50
#define ASKED 20000

/* A value of the map: the bytes of this struct. */
struct answer {
    unsigned epoch; /* when it was computed */
    unsigned length;
};

static soma_map *cache;
static atomic_uint epoch; /* answers of earlier ones are out of date */
static atomic_uint computed;

static struct answer compute(const char *question)
{
    atomic_fetch_add(&computed, 1);
    return (struct answer){.epoch = atomic_load(&epoch), .length = (unsigned)strlen(question)};
}

/* What the cache has, if it is not out of date. What is borrowed is used and left inside the section. */
static bool look_up(const char *question, unsigned *length)
{
    bool known = false;
    struct soma_bytes found;
    soma_read_enter();
    if (soma_map_get_ref(cache, question, strlen(question), &found) == SOMA_OK) {
        const struct answer *answer = found.data; /* aligned to 8; borrowed until soma_read_exit() */
        known = answer->epoch == atomic_load(&epoch);
        *length = answer->length;
        if (!known) /* take out just this answer, not one that another thread has put in its place */
            (void)soma_map_remove_if(cache, question, strlen(question), found.data, found.len, NULL);
    }
    soma_read_exit();
    return known;
}

static unsigned ask(const char *question)
{
    unsigned length;
    if (look_up(question, &length))
        return length;
    const struct answer answer = compute(question); /* outside of the section: it takes long */
    /* SOMA_EXISTS: another thread was first, and its answer is as good. An error: the next one computes it again. */
    (void)soma_map_put_new(cache, question, strlen(question), &answer, sizeof answer, NULL);
    return answer.length;
}

static void *client(void *wrong)
{
    char question[32];
    for (unsigned i = 0; i < ASKED; i++) {
        const int len = snprintf(question, sizeof question, "question %u", i * 7 % QUESTIONS);
        if (ask(question) != (unsigned)len)
            *(bool *)wrong = true;
        if (i % 5000 == 4999)
            atomic_fetch_add(&epoch, 1);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    bool wrong[THREADS] = {false};
    if (soma_map_new(NULL, &cache) != SOMA_OK)
        return 1;
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, client, &wrong[t]) != 0)
            return 1;
    bool right = true;
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        right &= !wrong[t];
    }
    printf("%d questions, %u answers computed\n", THREADS * ASKED, atomic_load(&computed));
    soma_map_free(cache);
    return right && atomic_load(&computed) < THREADS * ASKED ? 0 : 1;
}
