/* SPDX-License-Identifier: ISC */
/* play.c - plays a scenario: sets the map up, takes the threads' steps, and checks at the end what they were answered
 * and what is left.
 *
 * The answers: for each key there must be an order of the steps on it, in which each thread's steps keep their order,
 * so that every answer, and the final content, is what a plain variable would have given. Nothing more holds for one
 * key: in the C11 memory model no clock is shared, so what one thread did "before" another means nothing unless it is
 * told. What the map tells across threads, the verbs WRITE and READ try.
 */
#include <string.h>

#include <soma/soma.h>

#include "map/core.h"
#include "map/map_internal.h"
#include "map/version.h"
#include "map/word.h"
#include "mem/mem.h"
#include "rcu/private.h"
#include "scenarios.h"

/* A level of buckets more than the least, and the bucket of it that READY sets up. */
#define FIRST_LOG2 dir_first_log2(WORD_CELL_LOG2)
#define TALL_LOG2 (FIRST_LOG2 + 1)
#define READY_BUCKET 3
/* A stripe that is nobody's: with it the count is made what a scenario wants. */
#define SPARE_STRIPE (CORE_STRIPES - 1)

struct answer {
    const struct step *step;
    enum soma_status status;
    uint64_t old;
    bool given;
};

/* An open view. */
struct view {
    bool open;
    struct atom *slot;
    uint64_t at;
};

static struct {
    soma_u64 *map;
    unsigned threads;
    bool freed;       /* the map, by a step */
    uint64_t *called; /* a plain word, which the retired call writes */
    struct answer answers[MODEL_THREADS][STEPS_MOST];
    struct view views[MODEL_THREADS + 1]; /* each thread's, and the one from before */
} world;

static uint64_t key_of(uint64_t hash)
{
    return soma__mix_inverse(soma__u64_mix(world.map), hash);
}

/* ---- Before ---- */

static void join(unsigned thread)
{
    model_become(thread);
    soma__section_exit(soma__section_enter());
    model_become(MODEL_MAIN);
}

static void set_up_bucket(uint64_t index)
{
    const struct soma__section section = soma__section_enter();
    soma__dir_bucket_set_up(&world.map->core.dir, section.self, soma__bucket_form(index));
    soma__section_exit(section);
}

static void shrink(uint64_t steps)
{
    struct soma__dir *dir = &world.map->core.dir;
    for (uint64_t i = 0; i < steps; i++) {
        const struct soma__section section = soma__section_enter();
        if (!soma__dir_shrink_start(dir, 0, 1))
            soma__dir_shrink_step(dir, section.self);
        core_exit(&world.map->core, section);
    }
}

static void make_tall(unsigned settings)
{
    struct soma__dir *dir = &world.map->core.dir;
    CHECK(soma__dir_reserve(dir, UINT64_C(1) << TALL_LOG2) == SOMA_OK);
    soma__dir_unreserve(dir);
    if (settings & READY)
        set_up_bucket(READY_BUCKET);
    while ((settings & GOING) && dir_phase(soma__dir_state(dir)) != DIR_UNLINK)
        shrink(1);
}

/* The entries are counted, but only `count` of them: what the table does is up to the scenario. */
static void make_count(uint64_t count)
{
    struct core *core = &world.map->core;
    for (unsigned i = 0; i < CORE_STRIPES; i++)
        atom_store_rlx(&core->stripes[i].count, CORE_HELP_PERIOD - 1);
    atom_store_rlx(&core->stripes[SPARE_STRIPE].count, count - (CORE_STRIPES - 1) * (CORE_HELP_PERIOD - 1));
}

/* The table neither grows nor shrinks by itself, and there are no buckets to be set up ahead of need. */
static void make_quiet(void)
{
    struct soma__dir *dir = &world.map->core.dir;
    atom_store_rlx(&dir->cursor, UINT64_C(1) << TALL_LOG2);
    make_count(dir_m(soma__dir_state(dir)) == FIRST_LOG2 ? -(uint64_t)CORE_STRIPES : 1);
}

/* As many entries are counted as there are buckets, and the next insertion looks at the table's size. */
static void make_crowded(void)
{
    const struct soma__dir *dir = &world.map->core.dir;
    set_up_bucket(1);
    make_count(dir_entries(dir, dir_m(soma__dir_state(dir))));
}

/* The claim is held meanwhile, so that nobody moves the chunk on. */
static void make_pending(void)
{
    CHECK(soma_u64_put(world.map, key_of(90), 1, NULL) == SOMA_INSERTED);
    CHECK(soma_u64_put(world.map, key_of(91), 1, NULL) == SOMA_INSERTED);
    CHECK(soma__claim_try());
    CHECK(soma_u64_remove(world.map, key_of(90), NULL) == SOMA_REMOVED);
    CHECK(soma_u64_remove(world.map, key_of(91), NULL) == SOMA_REMOVED);
    soma__claim_drop();
    CHECK(model_freed() == 0);
}

static void make_homes_taken(void)
{
    for (uint64_t hash = 1; hash <= WORD_HOMES; hash++)
        CHECK(soma_u64_put(world.map, key_of(hash), 1, NULL) == SOMA_INSERTED);
}

static void view_open(struct view *view)
{
    CHECK(soma__clock_enter_wait(&world.map->core.clock, 1, &view->slot, &view->at) == SOMA_OK);
    view->open = true;
}

static void view_close(struct view *view)
{
    if (!view->open)
        return;
    view->open = false;
    soma__clock_leave(&world.map->core.clock, view->slot);
    core_view_closed(&world.map->core, view->at);
}

static void before(const void *arg)
{
    const struct scenario *scenario = arg;
    const struct soma_u64_options options = {.seed = {1, 2}};
    memset(&world, 0, sizeof world);
    CHECK(soma_u64_new(&options, &world.map) == SOMA_OK);
    if (scenario->settings & AWAY)
        make_homes_taken();
    for (unsigned i = 0; i < INITIAL_MOST && scenario->initial[i] != 0; i++)
        CHECK(soma_u64_put(world.map, key_of(scenario->initial[i]), BEFORE + i, NULL) == SOMA_INSERTED);
    for (unsigned thread = 0; thread < MODEL_THREADS && scenario->steps[thread][0].verb != END; thread++)
        world.threads++;
    for (unsigned thread = 0; thread < world.threads && !(scenario->settings & LATE); thread++) {
        if (thread > 0 || !(scenario->settings & SPARE))
            join(thread);
    }
    model_refuse_records((scenario->settings & SPARE) != 0);
    world.called = soma__mem_alloc(sizeof *world.called);
    *world.called = 0;
    model_touch(world.called, true);
    if (scenario->settings & TALL)
        make_tall(scenario->settings);
    if (scenario->settings & CROWDED)
        make_crowded();
    else
        make_quiet();
    if (scenario->settings & PENDING)
        make_pending();
    if (scenario->settings & VIEWED)
        view_open(&world.views[MODEL_MAIN]);
}

/* ---- The threads ---- */

static bool takes_key(enum verb verb)
{
    return (verb >= GET && verb <= ADD) || verb == OPEN || verb == SEE;
}

static void use_map(const struct step *step, struct answer *answer)
{
    soma_u64 *map = world.map;
    const uint64_t key = key_of(step->at);
    switch (step->verb) {
    case GET:
        answer->status = soma_u64_get(map, key, &answer->old);
        break;
    case PUT:
        answer->status = soma_u64_put(map, key, step->value, &answer->old);
        break;
    case PUT_NEW:
        answer->status = soma_u64_put_new(map, key, step->value, &answer->old);
        break;
    case REPLACE:
        answer->status = soma_u64_replace(map, key, step->value, &answer->old);
        break;
    case CAS:
        answer->status = soma_u64_cas(map, key, step->expected, step->value, &answer->old);
        break;
    case REMOVE:
        answer->status = soma_u64_remove(map, key, &answer->old);
        break;
    default:
        answer->status = soma_u64_fetch_add(map, key, step->value, &answer->old);
        break;
    }
}

static void close_chunks(void)
{
    const struct soma__section section = soma__section_enter();
    soma__chunks_close(section.self);
    soma__section_exit(section);
    soma__chunks_work(section.self);
}

static void work(void)
{
    const struct soma__section section = soma__section_enter();
    soma__section_exit(section);
    soma__chunks_work(section.self);
}

static void retired_call(void *arg)
{
    model_touch(arg, true);
    ++*(uint64_t *)arg;
}

/* After it: what the call did is there, and known. */
static void barrier(void)
{
    soma_barrier_wait();
    model_touch(world.called, false);
    CHECK(*world.called == 1);
}

static void see(const struct view *view, uint64_t hash, struct answer *answer)
{
    const struct soma__section section = soma__section_enter();
    answer->status = soma__u64_get_at(&world.map->core, key_of(hash), view->at, &answer->old);
    soma__section_exit(section);
}

static void compare(const struct view *view, uint64_t hash, struct answer *answer)
{
    const uint64_t first = world.views[MODEL_MAIN].at;
    const bool changed = soma__clock_changed_any(&world.map->core.clock, first, hash, hash);
    answer->status = changed ? SOMA_CHANGED : SOMA_OK;
    CHECK(first < view->at);
}

static void take_step(unsigned index, const struct step *step, struct answer *answer)
{
    switch (step->verb) {
    case OPEN:
        view_open(&world.views[index]);
        break;
    case SEE:
        see(&world.views[index], step->at, answer);
        break;
    case COMPARE:
        compare(&world.views[index], step->at, answer);
        break;
    case SHUT:
        view_close(&world.views[index]);
        break;
    case SHUT_FIRST:
        view_close(&world.views[MODEL_MAIN]);
        break;
    case WRITE:
        model_touch(world.called, true);
        break;
    case READ:
        if (answer[-1].status != SOMA_ABSENT && answer[-1].old == step->value)
            model_touch(world.called, false);
        break;
    case ENTER:
        soma_read_enter();
        break;
    case LEAVE:
        soma_read_exit();
        break;
    case CLOSE:
        close_chunks();
        break;
    case WORK:
        work();
        break;
    case RELIEVE:
        soma__retire_relieve(&world.map->core.owner, false);
        break;
    case RETIRE:
        CHECK(soma_retire(retired_call, world.called) == SOMA_OK);
        break;
    case BARRIER:
        barrier();
        break;
    case SHRINK:
        shrink(step->at);
        break;
    case EXIT:
        model_thread_exit();
        break;
    case FREE:
        world.freed = true;
        soma_u64_free(world.map);
        break;
    default:
        use_map(step, answer);
        break;
    }
}

static void thread(const void *arg, unsigned index)
{
    const struct scenario *scenario = arg;
    for (unsigned i = 0; i < STEPS_MOST && scenario->steps[index][i].verb != END; i++) {
        struct answer *answer = &world.answers[index][i];
        take_step(index, &scenario->steps[index][i], answer);
        answer->step = &scenario->steps[index][i];
        answer->given = takes_key(answer->step->verb);
    }
}

/* ---- After: the answers ---- */

struct content {
    bool present;
    uint64_t value;
};

/* Whether a step on this content would be answered like that; makes the step. */
static bool explains(const struct answer *answer, struct content *content)
{
    const struct step *step = answer->step;
    const struct content was = *content;
    enum soma_status status = was.present ? SOMA_REPLACED : SOMA_INSERTED;
    bool tells = was.present; /* the old value */
    switch (step->verb) {
    case GET:
        status = was.present ? SOMA_OK : SOMA_ABSENT;
        break;
    case PUT:
        *content = (struct content){true, step->value};
        break;
    case PUT_NEW:
        status = was.present ? SOMA_EXISTS : SOMA_INSERTED;
        *content = was.present ? was : (struct content){true, step->value};
        break;
    case REPLACE:
        status = was.present ? SOMA_REPLACED : SOMA_ABSENT;
        *content = was.present ? (struct content){true, step->value} : was;
        break;
    case CAS:
        status = !was.present ? SOMA_ABSENT : was.value == step->expected ? SOMA_REPLACED : SOMA_CHANGED;
        *content = status == SOMA_REPLACED ? (struct content){true, step->value} : was;
        break;
    case REMOVE:
        status = was.present ? SOMA_REMOVED : SOMA_ABSENT;
        content->present = false;
        break;
    default:
        *content = (struct content){true, (was.present ? was.value : 0) + step->value};
        tells = tells || answer->status == SOMA_INSERTED;
        break;
    }
    return answer->status == status && (!tells || answer->old == (was.present ? was.value : 0));
}

/* Whether some order of the steps on this key, from each thread's next one on, explains all answers and the end. */
static bool explained(uint64_t at, const unsigned next[MODEL_THREADS], struct content content, struct content end)
{
    bool over = true;
    for (unsigned thread_index = 0; thread_index < world.threads; thread_index++) {
        unsigned i = next[thread_index];
        const struct answer *answers = world.answers[thread_index];
        while (i < STEPS_MOST && (!answers[i].given || answers[i].step->at != at))
            i++;
        if (i == STEPS_MOST)
            continue;
        over = false;
        struct content then = content;
        if (!explains(&answers[i], &then))
            continue;
        unsigned after[MODEL_THREADS];
        memcpy(after, next, sizeof after);
        after[thread_index] = i + 1;
        if (explained(at, after, then, end))
            return true;
    }
    return over && content.present == end.present && (!end.present || content.value == end.value);
}

static struct content content_before(const struct scenario *scenario, uint64_t at)
{
    for (unsigned i = 0; i < INITIAL_MOST; i++) {
        if (scenario->initial[i] == at)
            return (struct content){true, BEFORE + i};
    }
    return (struct content){false, 0};
}

/* ---- The same with views, which have all keys at one instant ---- */

#define KEYS_MOST 8

struct contents {
    unsigned keys;
    uint64_t at[KEYS_MOST];
    struct content now[KEYS_MOST];
    struct content end[KEYS_MOST];
};

static struct content *content_of(struct contents *contents, uint64_t at)
{
    unsigned key = 0;
    while (key < contents->keys && contents->at[key] != at)
        key++;
    CHECK(key < contents->keys);
    return &contents->now[key];
}

/* Whether a view that is opened by this answer's step, and all that was seen in it, has this content. */
static bool captures(const struct answer *answer, unsigned left, struct contents *contents)
{
    for (unsigned i = 1; i < left && answer[i].step && answer[i].step->verb != OPEN; i++) {
        if (answer[i].step->verb != SEE)
            continue;
        const struct content *now = content_of(contents, answer[i].step->at);
        if ((answer[i].status == SOMA_OK) != now->present || (now->present && answer[i].old != now->value))
            return false;
    }
    return true;
}

static bool explained_together(const unsigned next[MODEL_THREADS], struct contents contents)
{
    bool over = true;
    for (unsigned thread_index = 0; thread_index < world.threads; thread_index++) {
        unsigned i = next[thread_index];
        const struct answer *answers = world.answers[thread_index];
        while (i < STEPS_MOST && (!answers[i].given || answers[i].step->verb == SEE))
            i++;
        if (i == STEPS_MOST)
            continue;
        over = false;
        struct contents then = contents;
        const bool possible = answers[i].step->verb == OPEN
                                  ? captures(&answers[i], STEPS_MOST - i, &then)
                                  : explains(&answers[i], content_of(&then, answers[i].step->at));
        if (!possible)
            continue;
        unsigned after[MODEL_THREADS];
        memcpy(after, next, sizeof after);
        after[thread_index] = i + 1;
        if (explained_together(after, then))
            return true;
    }
    for (unsigned key = 0; over && key < contents.keys; key++) {
        const struct content *now = &contents.now[key];
        const struct content *end = &contents.end[key];
        over = now->present == end->present && (!end->present || now->value == end->value);
    }
    return over;
}

static uint64_t mixed(uint64_t sum, uint64_t x)
{
    sum = (sum ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 29;
}

static void add_key(const struct scenario *scenario, struct contents *contents, uint64_t at)
{
    for (unsigned key = 0; key < contents->keys; key++) {
        if (contents->at[key] == at)
            return;
    }
    CHECK(contents->keys < KEYS_MOST);
    struct content end = {false, 0};
    end.present = soma_u64_get(world.map, key_of(at), &end.value) == SOMA_OK;
    contents->at[contents->keys] = at;
    contents->now[contents->keys] = content_before(scenario, at);
    contents->end[contents->keys++] = end;
}

static void check_views(const struct scenario *scenario)
{
    struct contents contents = {.keys = 0};
    uint64_t outcome = model_freed();
    for (unsigned t = 0; t < world.threads; t++) {
        for (unsigned i = 0; i < STEPS_MOST; i++) {
            const struct answer *answer = &world.answers[t][i];
            if (!answer->given)
                continue;
            if (answer->step->verb != OPEN)
                add_key(scenario, &contents, answer->step->at);
            outcome = mixed(mixed(outcome, answer->status), answer->old);
        }
    }
    if (!explained_together((const unsigned[MODEL_THREADS]){0}, contents))
        model_fail("no order of the steps and views explains the answers");
    model_outcome(outcome);
}

/* Views that did not differ do not differ. */
static void check_comparisons(void)
{
    for (unsigned t = 0; t < world.threads; t++) {
        for (unsigned i = 0; i < STEPS_MOST; i++) {
            const struct answer *answer = &world.answers[t][i];
            if (!answer->step || answer->step->verb != COMPARE || answer->status != SOMA_OK)
                continue;
            struct answer before = {.old = 0};
            struct answer now = {.old = 0};
            see(&world.views[MODEL_MAIN], answer->step->at, &before);
            see(&world.views[t], answer->step->at, &now);
            if (before.status != now.status || before.old != now.old)
                model_fail("a key without a mark has changed");
        }
    }
}

/* Nobody needs dead versions any more. */
static void close_views(void)
{
    for (unsigned i = 0; i <= MODEL_THREADS; i++)
        view_close(&world.views[i]);
    CHECK(soma_u64_shrink(world.map) == SOMA_OK);
}

static void check_answers(const struct scenario *scenario)
{
    uint64_t outcome = model_freed();
    for (unsigned t = 0; t < world.threads; t++) {
        for (unsigned i = 0; i < STEPS_MOST; i++) {
            const struct answer *answer = &world.answers[t][i];
            if (!answer->given)
                continue;
            struct content end = {false, 0};
            end.present = soma_u64_get(world.map, key_of(answer->step->at), &end.value) == SOMA_OK;
            if (!explained(answer->step->at, (const unsigned[MODEL_THREADS]){0},
                           content_before(scenario, answer->step->at), end))
                model_fail("no order of the steps explains the answers");
            outcome = mixed(mixed(mixed(outcome, answer->status), answer->old), end.value * 2 + end.present);
        }
    }
    model_outcome(mixed(outcome, dir_phase(soma__dir_state(&world.map->core.dir))));
}

/* ---- After: the list and the memory ---- */

/* O1, O2: hashes do not fall, sentinels stand where they belong, and nothing frozen is left behind. */
static void check_list(void)
{
    const struct soma__dir *dir = &world.map->core.dir;
    uint64_t edge = soma__edge_read(soma__dir_bucket_at(dir, 0));
    uint64_t hash = 0;
    for (unsigned hops = 0; edge != EDGE_END; hops++) {
        CHECK(hops < 1000);
        CHECK((edge & EDGE_FROZEN) == 0);
        if (edge & EDGE_BUCKET) {
            const uint64_t index = soma__dir_bucket_index(dir, soma__edge_bucket(edge));
            CHECK(soma__bucket_position(index) >= hash);
            hash = soma__bucket_position(index);
            edge = soma__edge_onward(soma__edge_read(soma__edge_bucket(edge)));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        CHECK(!soma__node_dead(node));
        CHECK(soma__hash_read(node) >= hash);
        hash = soma__hash_read(node);
        edge = soma__edge_read(&node->edge);
    }
}

static void after(const void *arg)
{
    for (unsigned t = 0; t < world.threads; t++) {
        model_become(t);
        model_thread_exit();
    }
    model_become(MODEL_MAIN);
    if (world.freed) {
        model_outcome(model_freed());
    } else {
        const struct scenario *scenario = arg;
        if (scenario->settings & VIEWS) {
            check_views(scenario);
            check_comparisons();
            close_views();
        } else {
            check_answers(scenario);
        }
        check_list();
        soma_u64_free(world.map);
    }
    soma_barrier_wait();
    soma__mem_free(world.called, sizeof *world.called);
    if (model_leaked())
        model_fail(strcmp(model_leaked(), "entry") == 0   ? "an entry leaked"
                   : strcmp(model_leaked(), "chunk") == 0 ? "a chunk leaked"
                                                          : "a map's range leaked");
}

struct model_scenario scenario_of(const struct scenario *scenario)
{
    struct model_scenario made = {.name = scenario->name,
                                  .own_barriers = (scenario->settings & OWN_BARRIERS) != 0,
                                  .before = before,
                                  .thread = thread,
                                  .after = after,
                                  .arg = scenario};
    while (made.threads < MODEL_THREADS && scenario->steps[made.threads][0].verb != END)
        made.threads++;
    return made;
}
