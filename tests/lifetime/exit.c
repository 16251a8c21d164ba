/* SPDX-License-Identifier: ISC */
/* exit.c - a process may end at any time: with retired work pending, with maps that were never freed, with other
 * threads in the middle of updates, by return from main or by exit(). It ends at once, and well. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kinds.h"
#include "stalled.h"
#include "support.h"

#define THREADS 3
#define KEYS 2000
#define ROUNDS 20
#define ROUNDS_SANITIZED 3 /* the thread sanitizer sleeps a second at exit */

static void *maps[2]; /* never freed, never out of reach */
static atomic_uint gone;
static struct stalled stalled;

static void note_value(uint64_t value, void *ctx)
{
    (void)value;
    atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void note_call(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

/* ---- What the process that ends does ---- */

static void update(uint64_t first)
{
    for (unsigned k = 0; k < 2; k++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            if (kinds[k].put(maps[k], first + i, i, NULL) < 0)
                _exit(10);
        }
        for (uint64_t i = 0; i < KEYS; i += 2) {
            if (kinds[k].remove(maps[k], first + i, NULL) != SOMA_REMOVED)
                _exit(11);
        }
    }
    if (soma_retire(note_call, &gone) != SOMA_OK)
        _exit(12);
}

static void *update_on(void *arg)
{
    const uint64_t first = (uint64_t)(uintptr_t)arg;
    for (;;)
        update(first);
    return NULL;
}

static void start_threads(void)
{
    for (uintptr_t i = 1; i <= THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, update_on, (void *)(i * KEYS)) != 0)
            _exit(13);
        pthread_detach(thread);
    }
    sleep_ms(20);
}

static void use_at_exit(void)
{
    update(1000 * KEYS);
}

static void open_views(void)
{
    static soma_view *views[2];
    update(2000 * KEYS);
    for (unsigned k = 0; k < 2; k++) {
        if (kinds[k].view(maps[k], &views[k]) != SOMA_OK)
            _exit(16);
    }
}

/* Letters: t threads, s a stalled reader, v views that stay open, i inside a section, a uses Soma in an exit handler, x exit(), else return. */
static int end_as(const char *how)
{
    static const struct kind_options options = {.retired = note_value, .ctx = &gone};
    alarm(child_seconds());
    for (unsigned k = 0; k < 2; k++)
        maps[k] = kind_open(&kinds[k], &options);
    if (strchr(how, 'v'))
        open_views();
    if (strchr(how, 's'))
        stalled_start(&stalled);
    if (strchr(how, 't'))
        start_threads();
    if (strchr(how, 'a') && atexit(use_at_exit) != 0)
        _exit(14);
    update(0);
    if (strchr(how, 'i'))
        soma_read_enter();
    if (strchr(how, 'x'))
        exit(0);
    return 0;
}

/* ---- What starts it ---- */

static void ends_well(const void *arg)
{
    const char *const how = arg;
    const int rounds = under_sanitizer() ? ROUNDS_SANITIZED : ROUNDS;
    for (int i = 0; i < rounds && failures() == 0; i++) {
        const int pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "exit", "--end-as", how, (char *)NULL);
            _exit(15);
        }
        EXPECT_EQ(child_status(pid), 0);
        verified(1);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--end-as") == 0)
        return end_as(argv[2]);
    const struct test_case cases[] = {
        {"return", ends_well, "-"},
        {"exit", ends_well, "x"},
        {"return-with-threads", ends_well, "t"},
        {"exit-with-threads", ends_well, "tx"},
        {"return-with-stalled", ends_well, "s"},
        {"return-with-views", ends_well, "vt"},
        {"exit-with-views", ends_well, "vtx"},
        {"exit-with-all", ends_well, "tvsaix"},
        {"return-using-soma", ends_well, "ta"},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
