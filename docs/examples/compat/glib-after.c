/* SPDX-License-Identifier: ISC */
/* glib-after.c - glib-before.c without its mutex: the tables are Soma's, under GLib's names. docs/compat/glib.md shows what has
 * changed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SOMA_COMPAT_GLIB_NAMES
#include <soma/compat/glib.h>

#define CLIENTS 4
#define REQUESTS 20000

struct session {
    char *user;
    unsigned limit; /* never changes */
};

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

/* Without memory this program ends, as with GLib's own table. */
static enum soma_status sure(enum soma_status status)
{
    if (status < 0)
        g_error("%s", soma_status_text(status));
    return status;
}

static enum soma_status plus_one(gconstpointer page, gboolean present, gpointer *count, gpointer unused)
{
    (void)page;
    (void)present;
    (void)unused;
    *count = GSIZE_TO_POINTER(GPOINTER_TO_SIZE(*count) + 1);
    return SOMA_OK;
}

/* Change what is there: one atomic step. The table takes the key if it is new. */
static void hit(const char *page)
{
    char *key = g_strdup(page);
    if (sure(soma_g_hash_table_update(hits, key, plus_one, NULL)) != SOMA_INSERTED)
        g_free(key);
}

/* Find or make: if several threads make one, the first is everybody's. In the section it cannot be destroyed. */
static unsigned limit_of(const char *user)
{
    soma_read_enter();
    struct session *session = g_hash_table_lookup(sessions, user);
    if (!session) {
        struct session *made = session_new(user);
        gpointer present = made;
        if (sure(soma_g_hash_table_put_new(sessions, made->user, made, &present)) != SOMA_INSERTED)
            session_free(made);
        session = present;
    }
    const unsigned limit = session->limit;
    soma_read_exit();
    return limit;
}

/* Remove, if it is there. */
static gboolean log_out(const char *user)
{
    return g_hash_table_remove(sessions, user);
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
    soma_barrier_wait(); /* all sessions have been freed */
    return 0;
}
