/* SPDX-License-Identifier: ISC */
/* Tables of uthash's with string keys behind mutexes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct visit {
    char page[32];
    uint64_t n;
    UT_hash_handle hh;
};

struct size {
    char *name;
    uint64_t bytes;
    UT_hash_handle hh;
};

static struct visit *visits = NULL;
static struct size *sizes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void visited(const char *page)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v) {
        v->n++;
    } else {
        v = malloc(sizeof *v);
        strcpy(v->page, page);
        v->n = 1;
        HASH_ADD_STR(visits, page, v);
    }
    pthread_mutex_unlock(&lock);
}

static void first_seen(const char *page, uint64_t when)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v == NULL) {
        v = malloc(sizeof *v);
        strcpy(v->page, page);
        v->n = when;
        HASH_ADD_STR(visits, page, v);
    }
    pthread_mutex_unlock(&lock);
}

static uint64_t how_often(const char *page)
{
    struct visit *v;
    uint64_t n = 0;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v)
        n = v->n;
    pthread_mutex_unlock(&lock);
    return n;
}

static void forget(const char *page)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v) {
        HASH_DEL(visits, v);
        free(v);
    }
    pthread_mutex_unlock(&lock);
}

static void grown(const char *name, uint64_t bytes)
{
    struct size *s;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(sizes, name, s);
    if (!s) {
        s = calloc(1, sizeof *s);
        s->name = strdup(name);
        HASH_ADD_STR(sizes, name, s);
    }
    s->bytes += bytes;
    pthread_mutex_unlock(&lock);
}

static void measured(const char *name, uint64_t bytes)
{
    struct size *s;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(sizes, name, s);
    if (s == NULL) {
        s = malloc(sizeof *s);
        s->name = strdup(name);
        HASH_ADD_STR(sizes, name, s);
    }
    s->bytes = bytes;
    pthread_mutex_unlock(&lock);
}

static uint64_t size_of(const char *name)
{
    struct size *s;
    uint64_t bytes = 0;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(sizes, name, s);
    if (s != NULL)
        bytes = s->bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

static void deleted(const char *name)
{
    struct size *s;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(sizes, name, s);
    if (s) {
        HASH_DEL(sizes, s);
        free(s->name);
        free(s);
    }
    pthread_mutex_unlock(&lock);
}

int main(void)
{
    START /* what is done by hand: the maps are made */
        const char *names[] = {"", "index", "about", "index"};
    char name[32];
    for (size_t i = 0; i < 4; i++) {
        strcpy(name, names[i]);
        first_seen(name, 10 * i);
        visited(name);
        grown(name, i + 1);
    }
    visited("new");
    measured("new", 7);
    measured("about", 9);
    forget("about");
    deleted("");
    deleted("not there");
    strcpy(name, "gone");
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", how_often(""), how_often("index"), how_often("about"),
           how_often("new"));
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", size_of(""), size_of("index"), size_of("about"),
           size_of("new"));
    return 0;
}
