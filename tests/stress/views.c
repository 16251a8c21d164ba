/* SPDX-License-Identifier: ISC */
/* views.c - views of a map while threads change it with every verb, and the table grows and shrinks. What only the map at one
 * instant can have:
 *
 *   pairs    A writer counts each pair's first key up, then its second: a view has them equal, or the first ahead by one.
 *   order    A writer writes n under keys 0, 1, ... in turn: a view has, in this order, numbers that fall by one at one place.
 *   money    Tokens wander: one is put under a new key before it is taken away under its old one. A view has each token
 *            once or twice, and, if the owner says which is under way, never not at all.
 *   births   A key and its twin: the key is put in before its twin and removed after it. A view with the twin has the key.
 *   time     What a view has is no older than what its opener knew to be done before, and no newer than what had begun by
 *            then; and what a thread's next view has is no older than what the last one had.
 *
 * A view is read twice, by key and by cursor, by the thread that has opened it, or by another one to which it is handed, which
 * closes it; some stay open for many others; one is open from the beginning to the end. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "support.h"

#define WRITERS 2
#define LOOKERS 2
#define SHELF 4 /* views that wait for whoever comes by */

#define PAIRS 16
#define ROW 24
#define TOKENS 16
#define PLACES 16 /* that a token wanders through */
#define TWINS 16
#define FILL_FAST 2000
#define FILL_SANITIZED 500

/* Keys of a writer: its number, the invariant they belong to, an index. */
enum {
    FIRST,
    SECOND,
    ROW_KEY,
    TOKEN,
    BORN,
    TWIN,
    FILLING
};

static uint64_t key_of(unsigned writer, unsigned what, uint64_t index)
{
    return (uint64_t)(writer * 8 + what) << 32 | index;
}

/* A multiple of 5 is a word in both kinds of map. */
#define UNIT 5

struct writer {
    atomic_uint_fast64_t begun[PAIRS]; /* the first key's number that is being written, or done */
    atomic_uint_fast64_t done[PAIRS];  /* the second's that is done */
    atomic_uint_fast64_t row_begun;
    atomic_uint_fast64_t row_done; /* whole rows */
    uint64_t place[TOKENS];
    uint64_t count[PAIRS];
    uint64_t row;
    struct rng rng;
};

/* What the opener of a view knew before, and found out afterwards. */
struct bounds {
    uint64_t pair_least[WRITERS][PAIRS];
    uint64_t pair_most[WRITERS][PAIRS];
    uint64_t row_least[WRITERS];
    uint64_t row_most[WRITERS];
};

struct seen {
    soma_view *view;
    struct bounds bounds;
};

struct run {
    const struct kind *kind;
    void *map;
    uint64_t fill;
    double end;
    atomic_bool done;
    struct writer writers[WRITERS];
    pthread_mutex_t lock; /* of the shelf */
    struct seen *shelf[SHELF];
    soma_view *whole; /* open all the time: of the map as it was in the beginning */
    atomic_uint_fast64_t views;
    atomic_uint_fast64_t handed;
};

/* ---- Writers ---- */

static enum soma_status set_to(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = *(const uint64_t *)ctx;
    return SOMA_OK;
}

/* Gives an own key a new value by any verb that does. */
static void write_value(struct run *run, struct writer *w, uint64_t key, uint64_t old, uint64_t value)
{
    const struct kind *kind = run->kind;
    size_t done = 0;
    switch (rng_below(&w->rng, 7)) {
    case 0:
        EXPECT_EQ(kind->put(run->map, key, value, NULL), SOMA_REPLACED);
        break;
    case 1:
        EXPECT_EQ(kind->replace(run->map, key, value, NULL), SOMA_REPLACED);
        break;
    case 2:
        EXPECT_EQ(kind->cas(run->map, key, old, value, NULL), SOMA_REPLACED);
        break;
    case 3:
        EXPECT_EQ(kind->update(run->map, key, set_to, &value), SOMA_REPLACED);
        break;
    case 4:
        EXPECT_EQ(kind->put_many(run->map, &key, &value, 1, &done), SOMA_OK);
        break;
    default:
        EXPECT_EQ(kind->fetch_add(run->map, key, value - old, NULL), SOMA_REPLACED);
        break;
    }
}

static void count_pair(struct run *run, struct writer *w, unsigned number)
{
    const uint64_t i = rng_below(&w->rng, PAIRS);
    const uint64_t old = w->count[i] * UNIT;
    const uint64_t n = ++w->count[i];
    atomic_store(&w->begun[i], n);
    write_value(run, w, key_of(number, FIRST, i), old, n * UNIT);
    write_value(run, w, key_of(number, SECOND, i), old, n * UNIT);
    atomic_store(&w->done[i], n);
}

static void write_row(struct run *run, struct writer *w, unsigned number)
{
    const uint64_t old = w->row * UNIT;
    const uint64_t n = ++w->row;
    atomic_store(&w->row_begun, n);
    for (uint64_t i = 0; i < ROW; i++)
        write_value(run, w, key_of(number, ROW_KEY, i), old, n * UNIT);
    atomic_store(&w->row_done, n);
}

static void move_token(struct run *run, struct writer *w, unsigned number)
{
    const struct kind *kind = run->kind;
    const uint64_t t = rng_below(&w->rng, TOKENS);
    const uint64_t from = w->place[t];
    const uint64_t to = (from + 1 + rng_below(&w->rng, PLACES - 1)) % PLACES;
    const uint64_t from_key = key_of(number, TOKEN, t * PLACES + from);
    uint64_t old = 0;
    bool found = false;
    size_t done = 0;
    EXPECT_EQ(kind->put_new(run->map, key_of(number, TOKEN, t * PLACES + to), t * UNIT, NULL), SOMA_INSERTED);
    switch (rng_below(&w->rng, 3)) {
    case 0:
        EXPECT_EQ(kind->remove_if(run->map, from_key, t * UNIT, NULL), SOMA_REMOVED);
        break;
    case 1:
        EXPECT_EQ(kind->remove_many(run->map, &from_key, 1, &found, &done), SOMA_OK);
        EXPECT(found);
        break;
    default:
        EXPECT_EQ(kind->remove(run->map, from_key, &old), SOMA_REMOVED);
        EXPECT_EQ(old, t * UNIT);
    }
    w->place[t] = to;
}

static void bear_twins(struct run *run, struct writer *w, unsigned number)
{
    const struct kind *kind = run->kind;
    const uint64_t i = rng_below(&w->rng, TWINS);
    const uint64_t value = rng_below(&w->rng, 1000);
    EXPECT_EQ(kind->put(run->map, key_of(number, BORN, i), value, NULL), SOMA_INSERTED);
    EXPECT_EQ(kind->put(run->map, key_of(number, TWIN, i), value, NULL), SOMA_INSERTED);
    EXPECT_EQ(kind->remove(run->map, key_of(number, TWIN, i), NULL), SOMA_REMOVED);
    EXPECT_EQ(kind->remove(run->map, key_of(number, BORN, i), NULL), SOMA_REMOVED);
}

static void write(struct run *run, unsigned number)
{
    struct writer *w = &run->writers[number];
    while (!atomic_load(&run->done) && failures() == 0) {
        switch (rng_below(&w->rng, 5)) {
        case 0:
            write_row(run, w, number);
            break;
        case 1:
            move_token(run, w, number);
            break;
        case 2:
            bear_twins(run, w, number);
            break;
        default:
            count_pair(run, w, number);
        }
    }
}

static void begin(struct run *run, unsigned number)
{
    struct writer *w = &run->writers[number];
    w->rng = rng_new(100 + number);
    for (uint64_t i = 0; i < PAIRS; i++) {
        EXPECT_EQ(run->kind->put(run->map, key_of(number, FIRST, i), 0, NULL), SOMA_INSERTED);
        EXPECT_EQ(run->kind->put(run->map, key_of(number, SECOND, i), 0, NULL), SOMA_INSERTED);
    }
    for (uint64_t i = 0; i < ROW; i++)
        EXPECT_EQ(run->kind->put(run->map, key_of(number, ROW_KEY, i), 0, NULL), SOMA_INSERTED);
    for (uint64_t t = 0; t < TOKENS; t++)
        EXPECT_EQ(run->kind->put(run->map, key_of(number, TOKEN, t * PLACES), t * UNIT, NULL), SOMA_INSERTED);
}

/* Makes the table grow and shrink. */
static void fill_and_empty(struct run *run)
{
    while (!atomic_load(&run->done) && failures() == 0) {
        for (uint64_t i = 0; i < run->fill && !atomic_load(&run->done); i++)
            run->kind->put(run->map, key_of(WRITERS, FILLING, i), i, NULL);
        for (uint64_t i = 0; i < run->fill; i++)
            run->kind->remove(run->map, key_of(WRITERS, FILLING, i), NULL);
        EXPECT_EQ(run->kind->shrink(run->map), SOMA_OK);
    }
}

/* ---- What a view has ---- */

/* A whole view, by key or by cursor. What is absent is UINT64_MAX. */
struct content {
    uint64_t first[WRITERS][PAIRS];
    uint64_t second[WRITERS][PAIRS];
    uint64_t row[WRITERS][ROW];
    uint64_t token[WRITERS][TOKENS * PLACES];
    uint64_t born[WRITERS][TWINS];
    uint64_t twin[WRITERS][TWINS];
    uint64_t count;
};

static uint64_t *room_for(struct content *content, uint64_t key)
{
    const unsigned what = key >> 32 & 7;
    const uint64_t writer = key >> 35;
    const uint64_t i = key & UINT32_MAX;
    if (what == FILLING)
        return NULL;
    if (!EXPECT(writer < WRITERS && i < TOKENS * PLACES))
        return NULL;
    uint64_t *rooms[] = {content->first[writer], content->second[writer], content->row[writer],
                         content->token[writer], content->born[writer],   content->twin[writer]};
    return &rooms[what][i];
}

static void by_cursor(const struct run *run, const soma_view *view, struct content *content)
{
    soma_cursor *cursor = NULL;
    uint64_t key = 0;
    uint64_t value = 0;
    memset(content, 0xff, sizeof *content);
    content->count = 0;
    EXPECT_EQ(soma_cursor_open_view(view, &cursor), SOMA_OK);
    while (run->kind->next(cursor, &key, &value) == SOMA_OK) {
        uint64_t *room = room_for(content, key);
        EXPECT(!room || *room == UINT64_MAX);
        if (room)
            *room = value;
        content->count++;
    }
    soma_cursor_close(cursor);
}

static uint64_t value_of(const struct run *run, const soma_view *view, uint64_t key)
{
    uint64_t value = 0;
    return run->kind->view_get(view, key, &value) == SOMA_OK ? value : UINT64_MAX;
}

/* Where the tokens are by key is looked at seldom: there are many places. */
static void by_key(const struct run *run, const soma_view *view, struct content *content, bool tokens)
{
    memset(content, 0xff, sizeof *content);
    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint64_t i = PAIRS; i-- > 0;) {
            content->first[w][i] = value_of(run, view, key_of(w, FIRST, i));
            content->second[w][i] = value_of(run, view, key_of(w, SECOND, i));
        }
        for (uint64_t i = 0; i < ROW; i++)
            content->row[w][i] = value_of(run, view, key_of(w, ROW_KEY, i));
        for (uint64_t i = 0; i < TWINS; i++) {
            content->born[w][i] = value_of(run, view, key_of(w, BORN, i));
            content->twin[w][i] = value_of(run, view, key_of(w, TWIN, i));
        }
        for (uint64_t i = 0; tokens && i < TOKENS * PLACES; i++)
            content->token[w][i] = value_of(run, view, key_of(w, TOKEN, i));
    }
}

static void check_tokens(const uint64_t *token)
{
    unsigned under_way = 0;
    for (uint64_t t = 0; t < TOKENS; t++) {
        unsigned places = 0;
        for (uint64_t p = 0; p < PLACES; p++) {
            places += token[t * PLACES + p] != UINT64_MAX;
            EXPECT(token[t * PLACES + p] == UINT64_MAX || token[t * PLACES + p] == t * UNIT);
        }
        EXPECT(places == 1 || places == 2);
        under_way += places == 2;
    }
    EXPECT(under_way <= 1); /* a writer moves one at a time */
}

static void check_content(const struct content *content, const struct bounds *bounds, bool tokens)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        unsigned ahead = 0;
        for (uint64_t i = 0; i < PAIRS; i++) {
            const uint64_t first = content->first[w][i] / UNIT;
            const uint64_t second = content->second[w][i] / UNIT;
            EXPECT(first == second || first == second + 1);
            EXPECT(second >= bounds->pair_least[w][i] && first <= bounds->pair_most[w][i]);
            ahead += first != second;
        }
        for (uint64_t i = 1; i < ROW; i++) {
            EXPECT(content->row[w][i - 1] == content->row[w][i] || content->row[w][i - 1] == content->row[w][i] + UNIT);
            ahead += content->row[w][i - 1] != content->row[w][i];
        }
        EXPECT(content->row[w][ROW - 1] / UNIT >= bounds->row_least[w]);
        EXPECT(content->row[w][0] / UNIT <= bounds->row_most[w]);
        EXPECT(ahead <= 1); /* a writer does one thing at a time */
        for (uint64_t i = 0; i < TWINS; i++)
            EXPECT(content->twin[w][i] == UINT64_MAX || content->twin[w][i] == content->born[w][i]);
        if (tokens)
            check_tokens(content->token[w]);
    }
}

/* Twice, in both ways: it must be the same. */
static void check_view(const struct run *run, const struct seen *seen, struct rng *rng, struct content *found)
{
    static _Thread_local struct content again;
    const bool tokens = rng_below(rng, 8) == 0;
    by_key(run, seen->view, found, tokens);
    check_content(found, &seen->bounds, tokens);
    by_cursor(run, seen->view, &again);
    check_content(&again, &seen->bounds, true);
    EXPECT(memcmp(found->first, again.first, sizeof again.first) == 0);
    EXPECT(memcmp(found->second, again.second, sizeof again.second) == 0);
    EXPECT(memcmp(found->row, again.row, sizeof again.row) == 0);
    EXPECT(memcmp(found->born, again.born, sizeof again.born) == 0);
    EXPECT(memcmp(found->twin, again.twin, sizeof again.twin) == 0);
    EXPECT(!tokens || memcmp(found->token, again.token, sizeof again.token) == 0);
    EXPECT_EQ(soma_view_count(seen->view), again.count);
}

/* ---- Who looks ---- */

static struct seen *open_view(struct run *run)
{
    struct seen *seen = need(1, sizeof *seen);
    struct bounds *b = &seen->bounds;
    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint64_t i = 0; i < PAIRS; i++)
            b->pair_least[w][i] = atomic_load(&run->writers[w].done[i]);
        b->row_least[w] = atomic_load(&run->writers[w].row_done);
    }
    EXPECT_EQ(run->kind->view(run->map, &seen->view), SOMA_OK);
    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint64_t i = 0; i < PAIRS; i++)
            b->pair_most[w][i] = atomic_load(&run->writers[w].begun[i]);
        b->row_most[w] = atomic_load(&run->writers[w].row_begun);
    }
    atomic_fetch_add(&run->views, 1);
    return seen;
}

static void close_seen(struct seen *seen)
{
    soma_view_close(seen->view);
    free(seen);
}

/* Puts a view on the shelf for another thread; what stood in its place is the caller's. */
static struct seen *hand_on(struct run *run, struct seen *seen, uint64_t place)
{
    pthread_mutex_lock(&run->lock);
    struct seen *taken = run->shelf[place];
    run->shelf[place] = seen;
    pthread_mutex_unlock(&run->lock);
    return taken;
}

/* One thread's views follow each other in time. */
static void check_later(const struct content *before, const struct content *after)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint64_t i = 0; i < PAIRS; i++)
            EXPECT(before->first[w][i] <= after->first[w][i] && before->second[w][i] <= after->second[w][i]);
        for (uint64_t i = 0; i < ROW; i++)
            EXPECT(before->row[w][i] <= after->row[w][i]);
    }
}

static void check_whole(const struct run *run)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint64_t i = 0; i < PAIRS; i++)
            EXPECT_EQ(value_of(run, run->whole, key_of(w, FIRST, i)), 0);
        for (uint64_t i = 0; i < TWINS; i++)
            EXPECT_EQ(value_of(run, run->whole, key_of(w, TWIN, i)), UINT64_MAX);
    }
}

static void look(struct run *run, unsigned number)
{
    static _Thread_local struct content content[2];
    struct rng rng = rng_new(200 + number);
    for (uint64_t n = 0; !atomic_load(&run->done) && failures() == 0; n++) {
        struct seen *seen = open_view(run);
        check_view(run, seen, &rng, &content[n % 2]);
        if (n > 0)
            check_later(&content[1 - n % 2], &content[n % 2]);
        verified(1);
        if (rng_below(&rng, 2)) {
            close_seen(seen);
            continue;
        }
        static _Thread_local struct content other;
        struct seen *taken = hand_on(run, seen, rng_below(&rng, SHELF));
        if (taken) {
            check_view(run, taken, &rng, &other);
            close_seen(taken);
            atomic_fetch_add(&run->handed, 1);
        }
        if (run->whole && n % 32 == 0)
            check_whole(run);
    }
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < WRITERS) {
        write(run, index);
    } else if (index < WRITERS + LOOKERS) {
        look(run, index);
    } else if (index == WRITERS + LOOKERS) {
        fill_and_empty(run);
    } else {
        while (now_seconds() < run->end && failures() == 0)
            sleep_ms(1);
        atomic_store(&run->done, true);
    }
}

struct setup {
    const struct kind *kind;
    bool whole; /* one view is open all the time; else the mode goes on and off */
};

static void views(const void *arg)
{
    const struct setup *setup = arg;
    static struct run run;
    const struct kind_options options = {.reserve = 0};
    run = (struct run){.kind = setup->kind, .end = now_seconds() + test_seconds()};
    run.fill = under_sanitizer() ? FILL_SANITIZED : FILL_FAST;
    run.map = kind_open(run.kind, &options);
    pthread_mutex_init(&run.lock, NULL);
    for (unsigned w = 0; w < WRITERS; w++)
        begin(&run, w);
    if (setup->whole)
        EXPECT_EQ(run.kind->view(run.map, &run.whole), SOMA_OK);
    crew_run(WRITERS + LOOKERS + 2, work, &run);
    if (run.whole) {
        EXPECT_EQ(soma_view_count(run.whole), WRITERS * (2 * PAIRS + ROW + TOKENS));
        soma_view_close(run.whole);
    }
    for (unsigned i = 0; i < SHELF; i++) {
        if (run.shelf[i])
            close_seen(run.shelf[i]);
    }
    EXPECT(atomic_load(&run.views) > 0);
    printf("# %s: %lu views, %lu of them checked by two threads\n", run.kind->name,
           (unsigned long)atomic_load(&run.views), (unsigned long)atomic_load(&run.handed));
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

/* Seeded bugs: contents that no instant had. */
static void canary(const void *arg)
{
    static struct content content;
    static struct bounds bounds;
    (void)arg;
    for (int bug = 0; bug < 6; bug++) {
        content = (struct content){.count = 0};
        memset(content.token, 0xff, sizeof content.token);
        memset(bounds.pair_most, 0x7f, sizeof bounds.pair_most);
        memset(bounds.row_most, 0x7f, sizeof bounds.row_most);
        for (unsigned w = 0; w < WRITERS; w++) {
            for (uint64_t t = 0; t < TOKENS; t++)
                content.token[w][t * PLACES] = t * UNIT;
        }
        check_content(&content, &bounds, true);
        canary_begin();
        content.second[0][3] += UNIT * (bug == 0);
        content.row[1][5] += UNIT * (bug == 1);
        content.token[0][2 * PLACES] |= bug == 2 ? UINT64_MAX : 0;
        content.born[1][2] |= bug == 3 ? UINT64_MAX : 0;
        if (bug == 4)
            content.first[0][0] = content.first[0][1] = UNIT;
        bounds.pair_least[0][0] = bug == 5;
        check_content(&content, &bounds, true);
        EXPECT(canary_end() >= 1);
        bounds.pair_least[0][0] = 0;
        verified(1);
    }
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64", views, &(const struct setup){&kinds[0], false}},
        {"u64-whole", views, &(const struct setup){&kinds[0], true}},
        {"map", views, &(const struct setup){&kinds[1], false}},
        {"map-whole", views, &(const struct setup){&kinds[1], true}},
        {"canary", canary, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
