/* SPDX-License-Identifier: ISC */
/* fork.c - forks while other threads are in the middle of everything. The child has one thread, whole maps, and must be
 * able to do all that the parent can: read, write, reclaim, free, start threads, fork again. */
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "kinds.h"
#include "stalled.h"
#include "support.h"

#define FORKS 200
#define WRITERS 3
#define PERMANENT 500
#define OWN_FIRST (UINT64_C(1) << 50) /* keys of the children */
#define OWN 300
#define FILL_SMALL 200   /* keys that a writer replaces and removes */
#define FILL_LARGE 50000 /* keys by which a table grows and shrinks */

struct run {
    const struct kind *kind;
    void *map;
    uint64_t fill;
    atomic_bool done;
    atomic_uint_fast64_t rounds;
};

/* ---- In the child: a number says what was wrong ---- */

enum wrong {
    FINE,
    LOST_PERMANENT,
    BAD_PUT,
    BAD_REMOVE,
    BAD_THREAD,
    BAD_GRANDCHILD,
    BAD_RETIRE,
    NOT_RUN,
    BORROWED,
    BAD_VIEW,
    TORN,
};

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static enum wrong permanent_there(const struct run *run)
{
    for (uint64_t key = 0; key < PERMANENT; key++) {
        uint64_t value = 0;
        if (run->kind->get(run->map, key, &value) != SOMA_OK || value != key)
            return LOST_PERMANENT;
    }
    return FINE;
}

static enum wrong use_map(const struct run *run, uint64_t first)
{
    for (uint64_t i = 0; i < OWN; i++) {
        if (run->kind->put(run->map, first + i, i, NULL) != SOMA_INSERTED)
            return BAD_PUT;
        if (run->kind->put(run->map, first + i, i + 1, NULL) != SOMA_REPLACED)
            return BAD_PUT;
    }
    for (uint64_t i = 0; i < OWN; i++) {
        uint64_t old = 0;
        if (run->kind->remove(run->map, first + i, &old) != SOMA_REMOVED || old != i + 1)
            return BAD_REMOVE;
    }
    return permanent_there(run);
}

static enum wrong reclaim(void)
{
    static unsigned calls;
    calls = 0;
    if (soma_retire(count_up, &calls) != SOMA_OK)
        return BAD_RETIRE;
    soma_barrier_wait();
    return calls == 1 ? FINE : NOT_RUN;
}

static void *thread_of_child(void *arg)
{
    static int answer;
    enum wrong wrong = use_map(arg, OWN_FIRST + 2 * OWN);
    answer = (int)(wrong ? wrong : reclaim());
    return &answer;
}

/* Sanitizers do not let the child of many threads start one. */
static enum wrong start_thread(struct run *run)
{
    pthread_t thread;
    void *answer = NULL;
    if (under_sanitizer())
        return FINE;
    if (pthread_create(&thread, NULL, thread_of_child, run) != 0)
        return BAD_THREAD;
    enum wrong wrong = use_map(run, OWN_FIRST + OWN);
    pthread_join(thread, &answer);
    return wrong ? wrong : (enum wrong) * (int *)answer;
}

static enum wrong fork_again(const struct run *run)
{
    const int pid = fork();
    if (pid == 0) {
        alarm(child_seconds());
        enum wrong wrong = use_map(run, OWN_FIRST);
        _exit((int)(wrong ? wrong : reclaim()));
    }
    return child_status(pid) == 0 ? FINE : BAD_GRANDCHILD;
}

static enum wrong child(struct run *run, int number)
{
    alarm(child_seconds());
    enum wrong wrong = permanent_there(run);
    soma_barrier_wait(); /* the writers may have filled the cap, and kinds' verbs make no room inside their sections */
    if (!wrong)
        wrong = use_map(run, OWN_FIRST);
    if (!wrong && number % 10 == 0)
        wrong = start_thread(run);
    if (!wrong && number % 10 == 5)
        wrong = fork_again(run);
    if (!wrong)
        wrong = reclaim();
    run->kind->close(run->map);
    if (!wrong)
        wrong = reclaim();
    return !wrong && failures() > 0 ? TORN : wrong;
}

/* ---- In the parent ---- */

/* Little enough that a fork does not take long to copy. */
#define CAP (UINT64_C(8) << 20)

/* While the parent is inside a section, the writers may fill the cap; then they try again until it is over. */
static void put_at_last(const struct run *run, uint64_t key, uint64_t value)
{
    enum soma_status status;
    do {
        status = run->kind->put(run->map, key, value, NULL);
    } while (status == SOMA_E_LIMIT && !atomic_load(&run->done));
    EXPECT(status >= 0 || atomic_load(&run->done));
}

static void remove_at_last(const struct run *run, uint64_t key)
{
    enum soma_status status;
    do {
        status = run->kind->remove(run->map, key, NULL);
    } while (status == SOMA_E_LIMIT && !atomic_load(&run->done));
    EXPECT(status == SOMA_REMOVED || atomic_load(&run->done));
}

static void fill_and_empty(unsigned index, void *arg)
{
    struct run *run = arg;
    const uint64_t first = PERMANENT + index * run->fill;
    while (!atomic_load(&run->done)) {
        for (uint64_t i = 0; i < run->fill && !atomic_load(&run->done); i++) {
            put_at_last(run, first + i, i);
            put_at_last(run, first + i, i);
        }
        for (uint64_t i = 0; i < run->fill && !atomic_load(&run->done); i++)
            remove_at_last(run, first + i);
        atomic_fetch_add(&run->rounds, 1);
    }
}

static void open_map(struct run *run)
{
    const struct kind_options options = {.deferred_bytes_max = CAP};
    run->map = kind_open(run->kind, &options);
    for (uint64_t key = 0; key < PERMANENT; key++)
        EXPECT_EQ(run->kind->put(run->map, key, key, NULL), SOMA_INSERTED);
}

static void fork_once(struct run *run, int number)
{
    const int pid = fork();
    if (pid == 0)
        _exit((int)child(run, number));
    EXPECT_EQ(child_status(pid), FINE);
    verified(1);
}

static void fork_often(const struct kind *kind, uint64_t fill, int forks)
{
    struct run run = {.kind = kind, .fill = fill};
    struct crew crew;
    open_map(&run);
    crew_start(&crew, WRITERS, fill_and_empty, &run);
    for (int number = 0; number < forks && failures() == 0; number++)
        fork_once(&run, number);
    atomic_store(&run.done, true);
    crew_join(&crew);
    EXPECT(atomic_load(&run.rounds) > 0);
    EXPECT_EQ(permanent_there(&run), FINE);
    soma_barrier_wait(); /* as in child() */
    EXPECT_EQ(use_map(&run, OWN_FIRST), FINE);
    EXPECT_EQ(reclaim(), FINE);
    run.kind->close(run.map);
    soma_barrier_wait();
}

static void while_writing(const void *arg)
{
    fork_often(arg, FILL_SMALL, FORKS);
}

static void while_resizing(const void *arg)
{
    fork_often(arg, under_sanitizer() ? FILL_LARGE / 10 : FILL_LARGE, FORKS / 4);
}

/* The reader that stalls is not in the child, so nothing holds the child up. */
static void while_stalled(const void *arg)
{
    struct run run = {.kind = arg};
    struct stalled stalled;
    open_map(&run);
    stalled_start(&stalled);
    for (uint64_t key = 0; key < PERMANENT; key++)
        EXPECT_EQ(run.kind->put(run.map, key, key, NULL), SOMA_REPLACED);
    for (int number = 0; number < 20; number++)
        fork_once(&run, number);
    stalled_stop(&stalled);
    EXPECT_EQ(reclaim(), FINE);
    run.kind->close(run.map);
    soma_barrier_wait();
}

/* In the child of a section: what is borrowed stays, until the section ends there too. */
static enum wrong inside_child(struct run *run, soma_map *bytes, const struct soma_bytes *borrowed)
{
    static unsigned calls;
    calls = 0;
    alarm(child_seconds());
    if (soma_map_put(bytes, "key", 3, "another", 7, NULL) != SOMA_REPLACED || soma_retire(count_up, &calls) != SOMA_OK)
        return BAD_PUT;
    for (int i = 0; i < 1000; i++) {
        if (soma_map_put(bytes, "key", 3, "more", 4, NULL) != SOMA_REPLACED)
            return BAD_PUT;
    }
    if (borrowed->len != 8 || *(const uint64_t *)borrowed->data != 42 || calls != 0)
        return BORROWED;
    soma_read_exit();
    soma_barrier_wait();
    soma_map_free(bytes);
    return calls == 1 ? child(run, 0) : NOT_RUN;
}

static void inside_section(const void *arg)
{
    struct run run = {.kind = arg, .fill = FILL_SMALL};
    struct crew crew;
    soma_map *bytes = NULL;
    const uint64_t word = 42;
    struct soma_bytes borrowed = {NULL, 0};
    EXPECT_EQ(soma_map_new(NULL, &bytes), SOMA_OK);
    EXPECT_EQ(soma_map_put(bytes, "key", 3, &word, sizeof word, NULL), SOMA_INSERTED);
    open_map(&run);
    crew_start(&crew, WRITERS, fill_and_empty, &run);
    for (int number = 0; number < 40 && failures() == 0; number++) {
        soma_read_enter();
        soma_read_enter();
        EXPECT_EQ(soma_map_get_ref(bytes, "key", 3, &borrowed), SOMA_OK);
        soma_read_exit();
        const int pid = fork();
        if (pid == 0)
            _exit((int)inside_child(&run, bytes, &borrowed));
        soma_read_exit(); /* before the wait, in which the writers would reach the cap on deferred memory */
        EXPECT_EQ(child_status(pid), FINE);
        verified(1);
    }
    atomic_store(&run.done, true);
    crew_join(&crew);
    EXPECT_EQ(reclaim(), FINE);
    soma_map_free(bytes);
    run.kind->close(run.map);
    soma_barrier_wait();
}

/* ---- Views ---- */

#define OPENERS 2
#define VIEW_FORKS 15

/* Every key of PERMANENT has the value `number` in the view, and the keys of the children are not there. */
static enum wrong view_has(const struct run *run, const soma_view *view, uint64_t number)
{
    for (uint64_t key = 0; key < PERMANENT; key++) {
        uint64_t value = 0;
        if (run->kind->view_get(view, key, &value) != SOMA_OK || value != number)
            return BAD_VIEW;
    }
    return run->kind->view_get(view, OWN_FIRST, NULL) == SOMA_ABSENT ? FINE : BAD_VIEW;
}

/* The child has the parent's views, asks them, changes the map beside them, opens one of its own and closes all. */
static enum wrong child_with_views(struct run *run, soma_view *const views[2], uint64_t number)
{
    soma_view *own = NULL;
    alarm(child_seconds());
    enum wrong wrong = view_has(run, views[0], number - 1);
    soma_barrier_wait(); /* as in child() */
    for (uint64_t key = 0; !wrong && key < PERMANENT; key++) {
        if (run->kind->put(run->map, key, number + 1, NULL) != SOMA_REPLACED)
            wrong = BAD_PUT;
    }
    if (!wrong && run->kind->view(run->map, &own) != SOMA_OK)
        wrong = BAD_VIEW;
    for (uint64_t key = 0; !wrong && key < PERMANENT; key++) {
        if (run->kind->remove(run->map, key, NULL) != SOMA_REMOVED)
            wrong = BAD_REMOVE;
    }
    wrong = wrong ? wrong : view_has(run, views[0], number - 1);
    wrong = wrong ? wrong : view_has(run, views[1], number);
    wrong = wrong ? wrong : view_has(run, own, number + 1);
    soma_view_close(views[0]);
    wrong = wrong ? wrong : view_has(run, views[1], number);
    soma_view_close(views[1]);
    wrong = wrong ? wrong : view_has(run, own, number + 1);
    soma_view_close(own);
    if (!wrong && run->kind->shrink(run->map) != SOMA_OK)
        wrong = BAD_VIEW;
    run->kind->close(run->map);
    return wrong ? wrong : reclaim();
}

/* Others open and close views meanwhile, so that a fork meets them in the middle of it. */
static void open_and_close(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < WRITERS) {
        fill_and_empty(index, run);
        return;
    }
    while (!atomic_load(&run->done)) {
        soma_view *view = NULL;
        EXPECT_EQ(run->kind->view(run->map, &view), SOMA_OK);
        soma_view_close(view);
    }
}

static void with_views(const void *arg)
{
    struct run run = {.kind = arg, .fill = FILL_SMALL};
    struct crew crew;
    open_map(&run);
    crew_start(&crew, WRITERS + OPENERS, open_and_close, &run);
    for (uint64_t number = 1; number <= VIEW_FORKS && failures() == 0; number++) {
        soma_view *views[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) {
            for (uint64_t key = 0; key < PERMANENT; key++)
                put_at_last(&run, key, number - 1 + (uint64_t)i);
            EXPECT_EQ(run.kind->view(run.map, &views[i]), SOMA_OK);
        }
        const int pid = fork();
        if (pid == 0)
            _exit((int)child_with_views(&run, views, number));
        EXPECT_EQ(child_status(pid), FINE);
        EXPECT_EQ(view_has(&run, views[0], number - 1), FINE);
        EXPECT_EQ(view_has(&run, views[1], number), FINE);
        soma_view_close(views[0]);
        soma_view_close(views[1]);
        verified(1);
    }
    atomic_store(&run.done, true);
    crew_join(&crew);
    run.kind->close(run.map);
    soma_barrier_wait();
}

/* Its runtime may leave a spin lock of its own taken in the child of many threads, which then hangs in free(). */
static bool under_thread_sanitizer(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

int main(int argc, char **argv)
{
    if (under_thread_sanitizer()) {
        puts("1..0 # SKIP the thread sanitizer cannot fork beside threads");
        return 0;
    }
    const struct test_case cases[] = {
        {"writing-u64", while_writing, &kinds[0]},   {"writing-map", while_writing, &kinds[1]},
        {"resizing-u64", while_resizing, &kinds[0]}, {"resizing-map", while_resizing, &kinds[1]},
        {"stalled-u64", while_stalled, &kinds[0]},   {"stalled-map", while_stalled, &kinds[1]},
        {"section-u64", inside_section, &kinds[0]},  {"section-map", inside_section, &kinds[1]},
        {"views-u64", with_views, &kinds[0]},        {"views-map", with_views, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
