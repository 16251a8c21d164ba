/* SPDX-License-Identifier: ISC */
/* glib-before.c - a server's tables, each a GHashTable, behind one mutex: hits of pages, and sessions of users. glib-after.c is the
 * same program on Soma; docs/compat/glib.md shows what has changed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#define CLIENTS 4
#define REQUESTS 20000

struct session {
    char *user;
    unsigned limit; /* never changes */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *hits;     /* a page's name to a number */
static GHashTable *sessions; /* a user's name to a session */

static struct session *session_new(const char *user)
{
    struct session *session = g_new(struct session, 1);
    session->user = g_strdup(user);
    session->limit = (unsigned)strlen(user) * 10;
    return session;
}

static void session_free(gpointer data)
{
    struct session *session = data;
    g_free(session->user);
    g_free(session);
}

/* Change what is there. */
static void hit(const char *page)
{
    pthread_mutex_lock(&lock);
    const gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(hits, page));
    g_hash_table_insert(hits, g_strdup(page), GSIZE_TO_POINTER(count + 1));
    pthread_mutex_unlock(&lock);
}

/* Find or make. */
static unsigned limit_of(const char *user)
{
    pthread_mutex_lock(&lock);
    struct session *session = g_hash_table_lookup(sessions, user);
    if (!session) {
        session = session_new(user);
        g_hash_table_insert(sessions, session->user, session);
    }
    const unsigned limit = session->limit;
    pthread_mutex_unlock(&lock);
    return limit;
}

/* Remove, if it is there. */
static gboolean log_out(const char *user)
{
    pthread_mutex_lock(&lock);
    const gboolean was_in = g_hash_table_remove(sessions, user);
    pthread_mutex_unlock(&lock);
    return was_in;
}

static gboolean is_guest(gpointer user, gpointer session, gpointer unused)
{
    (void)session;
    (void)unused;
    return g_str_has_prefix(user, "guest");
}

static void *client(void *limits)
{
    char name[32];
    for (unsigned i = 0; i < REQUESTS; i++) {
        g_snprintf(name, sizeof name, "/page/%u", i % 7);
        hit(name);
        g_snprintf(name, sizeof name, "%s%u", i % 3 ? "user" : "guest", i % 50);
        *(unsigned long *)limits += limit_of(name);
        if (i % 10 == 9)
            log_out(name);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[CLIENTS];
    unsigned long limits[CLIENTS] = {0};
    unsigned long sum = 0;
    hits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sessions = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, session_free);
    for (int i = 0; i < CLIENTS; i++)
        if (pthread_create(&threads[i], NULL, client, &limits[i]) != 0)
            return 1;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        sum += limits[i];
    }
    for (int page = 0; page < 7; page++) {
        char name[32];
        g_snprintf(name, sizeof name, "/page/%d", page);
        printf("%s: %zu\n", name, (size_t)GPOINTER_TO_SIZE(g_hash_table_lookup(hits, name)));
    }
    printf("limits: %lu\n", sum);
    limit_of("guest");
    printf("a guest was logged out: %d\n", g_hash_table_foreach_remove(sessions, is_guest, NULL) > 0);
    GHashTableIter iter;
    gpointer session;
    unsigned guests = 0;
    g_hash_table_iter_init(&iter, sessions);
    while (g_hash_table_iter_next(&iter, NULL, &session))
        guests += g_str_has_prefix(((struct session *)session)->user, "guest");
    printf("guests: %u\n", guests);
    g_hash_table_destroy(sessions);
    g_hash_table_destroy(hits);
    return 0;
}
