/* SPDX-License-Identifier: ISC */
/* graph.c - see graph.h.
 *
 * Source   Kingsbury & Alvaro 2020 (Elle): where values are unique and every update says what it replaced, the order of
 *          a key's versions is known, not guessed.
 * Nodes    Calls and views, and moments of the line of time.
 * Edges    Real time: who ended before another began, by way of a chain of moments, so that there are as many edges as
 *          calls. Versions: who stored a value, then who took it out. Looks: who stored a value, then who saw it, then
 *          who took it out.
 * Absence  Values are unique, absence is not. A key's life is a row of stretches, from an insertion to the removal, and
 *          of looks that found it absent; all these must stand one after the other. Which order, real time mostly
 *          says. Where it does not, an order is chosen (by what is the earliest that one can end and the latest that
 *          the other can begin, which agrees with all that is certain); if that makes a cycle, one choice on the cycle
 *          is turned around, then the other way is taken for certain, and so on, as in any search.
 * Answer   No cycle: the nodes in the graph's order explain all answers. A cycle of what is certain: no order does. So
 *          both answers are exact; when the search becomes too long there is none.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "spec.h"

#define NONE UINT32_MAX
#define TRIES_MAX 400
#define CYCLE_STARTS_MAX 2000
#define WHY_SIZE 8192
#define CYCLE_SHOWN 24

enum reason {
    BY_TIME,
    STORED_SEEN,
    STORED_TAKEN,
    SEEN_TAKEN,
    APART_CERTAIN, /* two of a key's stretches and absences, */
    APART_CHOSEN   /* this order of which is a choice */
};

struct node {
    struct history_call call; /* of a view: thread, and times */
    bool view;
    uint64_t begin;
    uint64_t end; /* UINT64_MAX: never */
    uint64_t earliest;
    uint64_t latest;
};

/* A node and one of the keys that it is about. */
struct look {
    uint32_t node;
    uint32_t key;
    uint64_t when; /* what was there; of a mere look, all there is */
    uint64_t then;
    bool changes;
};

struct version {
    uint32_t key;
    uint64_t value;
    uint32_t maker; /* NONE: it was there before */
    uint32_t taker; /* NONE: it stays */
    uint32_t next;  /* the version that the taker put in its place */
    bool first;     /* of a stretch */
};

/* A stretch of a key, or a look that found it absent. */
struct item {
    uint32_t key;
    uint32_t first; /* NONE: from before */
    uint32_t last;  /* NONE: for good */
    bool absence;
    uint64_t rank;
    uint32_t place;
};

struct edge {
    uint32_t from;
    uint32_t to;
    uint32_t key;
    uint8_t reason;
};

struct graph {
    bool (*is_word)(uint64_t value);
    uint32_t node_room;
    uint32_t look_room;
    uint32_t node_count;
    uint32_t all_count; /* with the moments behind */
    uint32_t look_count;
    uint32_t version_count;
    uint32_t item_count;
    uint32_t edge_count;
    uint32_t certain_count; /* edges before the choices */
    struct node *nodes;
    struct look *looks;
    struct version *versions;
    struct item *items;
    struct edge *edges;
    uint32_t edge_room;
    /* By node. */
    uint32_t *out_at; /* edges by where they begin: where they are in `out` */
    uint32_t *out;
    uint32_t *degree;
    uint32_t *order;
    uint32_t *place;   /* in the order */
    uint32_t *came_by; /* an edge, while looking for a cycle */
    uint32_t *distance;
    uint64_t *times;
    bool undecided;
    bool impossible;
    unsigned tries;
    char why[WHY_SIZE];
};

/* ---- Life ---- */

struct graph *graph_new(uint32_t nodes, uint32_t looks, bool (*is_word)(uint64_t value))
{
    struct graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    const size_t all = 3 * (size_t)nodes + 4;
    const size_t room = 2 * (size_t)looks + nodes + 8;
    g->is_word = is_word;
    g->node_room = nodes;
    g->look_room = looks;
    g->edge_room = (uint32_t)(4 * all + 6 * room + TRIES_MAX);
    g->nodes = calloc(nodes, sizeof *g->nodes);
    g->looks = calloc(room, sizeof *g->looks);
    g->versions = calloc(room, sizeof *g->versions);
    g->items = calloc(room, sizeof *g->items);
    g->edges = calloc(g->edge_room, sizeof *g->edges);
    g->out_at = calloc(all + 1, sizeof *g->out_at);
    g->out = calloc(g->edge_room, sizeof *g->out);
    g->degree = calloc(all, sizeof *g->degree);
    g->order = calloc(all, sizeof *g->order);
    g->place = calloc(all, sizeof *g->place);
    g->came_by = calloc(all, sizeof *g->came_by);
    g->distance = calloc(all, sizeof *g->distance);
    g->times = calloc(4 * (size_t)nodes + 2, sizeof *g->times);
    if (!g->nodes || !g->looks || !g->versions || !g->items || !g->edges || !g->out_at || !g->out || !g->degree ||
        !g->order || !g->place || !g->came_by || !g->distance || !g->times) {
        graph_free(g);
        return NULL;
    }
    graph_reset(g);
    return g;
}

void graph_free(struct graph *g)
{
    if (!g)
        return;
    free(g->nodes);
    free(g->looks);
    free(g->versions);
    free(g->items);
    free(g->edges);
    free(g->out_at);
    free(g->out);
    free(g->degree);
    free(g->order);
    free(g->place);
    free(g->came_by);
    free(g->distance);
    free(g->times);
    free(g);
}

void graph_reset(struct graph *g)
{
    g->node_count = 0;
    g->look_count = 0;
    g->version_count = 0;
    g->item_count = 0;
    g->undecided = false;
    g->impossible = false;
    g->tries = 0;
    g->why[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static void say(struct graph *g, const char *format, ...)
{
    const size_t used = strlen(g->why);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g->why + used, sizeof g->why - used, format, arguments);
    va_end(arguments);
}

/* ---- What was done ---- */

void graph_initial(struct graph *g, uint32_t key, uint64_t value)
{
    if (value != HISTORY_ABSENT)
        g->looks[g->look_count++] = (struct look){NONE, key, HISTORY_ABSENT, value, true};
}

static void undecided(struct graph *g, const char *why)
{
    if (!g->undecided)
        say(g, "Undecided: %s.\n", why);
    g->undecided = true;
}

static uint32_t add_node(struct graph *g, const struct history_call *call, bool view)
{
    if (g->node_count == g->node_room)
        abort();
    g->nodes[g->node_count] =
        (struct node){.call = *call, .view = view, .begin = call->call, .end = call->end == 0 ? UINT64_MAX : call->end};
    return g->node_count++;
}

static void add_look(struct graph *g, struct look look)
{
    if (g->look_count == g->look_room)
        abort();
    g->looks[g->look_count++] = look;
}

void graph_add_call(struct graph *g, const struct history_call *call)
{
    const struct step step = step_of(call, g->is_word);
    const bool changes = step_changes(&step);
    if (step.optional && !changes)
        return;
    const uint32_t node = add_node(g, call, false);
    if (step.guard == WHEN_NEVER) {
        say(g, "Impossible: T%u's %s answers %s, which no such call ever answers.\n", call->thread,
            history_verb_name((enum history_verb)call->verb), spec_status_name(call->status));
        g->impossible = true;
    } else if (changes && (step.optional || step.guard != WHEN_IS || step.effect != THEN_SET)) {
        undecided(g, "a call does not say what it replaced");
    } else if (step.guard == WHEN_IS) {
        add_look(g, (struct look){node, call->key, step.when, step.then, changes});
    }
}

void graph_add_view(struct graph *g, unsigned thread, uint64_t begin, uint64_t end, const struct graph_seen *seen,
                    uint32_t count)
{
    const struct history_call call = {.call = begin, .end = end, .thread = (uint8_t)thread};
    const uint32_t node = add_node(g, &call, true);
    for (uint32_t i = 0; i < count; i++)
        add_look(g, (struct look){node, seen[i].key, seen[i].value, 0, false});
}

/* ---- Versions ---- */

static int by_version(const void *a, const void *b)
{
    const struct version *x = a;
    const struct version *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static struct version *find_version(struct graph *g, uint32_t key, uint64_t value)
{
    const struct version wanted = {.key = key, .value = value};
    return bsearch(&wanted, g->versions, g->version_count, sizeof wanted, by_version);
}

static void add_edge(struct graph *g, uint32_t from, uint32_t to, uint32_t key, enum reason reason)
{
    if (from == NONE || to == NONE || from == to)
        return;
    if (g->edge_count == g->edge_room)
        abort();
    g->edges[g->edge_count++] = (struct edge){from, to, key, (uint8_t)reason};
}

static void name_node(struct graph *g, uint32_t node)
{
    const struct node *n = &g->nodes[node];
    if (n->view)
        say(g, "T%u's view (%" PRIu64 " to %" PRIu64 ")", n->call.thread, n->begin, n->end);
    else
        say(g, "T%u's %s of key %" PRIu32 " (%" PRIu64 " to %" PRIu64 ")", n->call.thread,
            history_verb_name((enum history_verb)n->call.verb), n->call.key, n->begin, n->end);
}

static void impossible_look(struct graph *g, uint32_t node, const char *what, uint64_t value, uint32_t key)
{
    g->impossible = true;
    say(g, "Impossible: ");
    name_node(g, node);
    say(g, " %s %" PRIx64 " of key %" PRIu32 ", ", what, value, key);
}

static void make_versions(struct graph *g)
{
    for (uint32_t i = 0; i < g->look_count; i++) {
        const struct look *look = &g->looks[i];
        if (look->changes && look->then != HISTORY_ABSENT)
            g->versions[g->version_count++] =
                (struct version){look->key, look->then, look->node, NONE, NONE, look->when == HISTORY_ABSENT};
    }
    qsort(g->versions, g->version_count, sizeof *g->versions, by_version);
    for (uint32_t i = 1; i < g->version_count; i++) {
        if (by_version(&g->versions[i - 1], &g->versions[i]) == 0)
            undecided(g, "a value was stored twice");
    }
}

/* Who took each version out, and what came in its place. */
static void take_versions(struct graph *g)
{
    for (uint32_t i = 0; i < g->look_count && !g->impossible; i++) {
        const struct look *look = &g->looks[i];
        if (!look->changes || look->when == HISTORY_ABSENT)
            continue;
        struct version *version = find_version(g, look->key, look->when);
        if (!version) {
            impossible_look(g, look->node, "took out", look->when, look->key);
            say(g, "which nobody had stored.\n");
        } else if (version->maker == look->node) {
            impossible_look(g, look->node, "took out", look->when, look->key);
            say(g, "which it stored itself.\n");
        } else if (version->taker != NONE) {
            impossible_look(g, look->node, "took out", look->when, look->key);
            say(g, "which ");
            name_node(g, version->taker);
            say(g, " took out too; it was stored once.\n");
        } else {
            version->taker = look->node;
            const struct version *next = look->then == HISTORY_ABSENT ? NULL : find_version(g, look->key, look->then);
            version->next = next ? (uint32_t)(next - g->versions) : NONE;
            add_edge(g, version->maker, version->taker, look->key, STORED_TAKEN);
        }
    }
}

static void look_at_versions(struct graph *g)
{
    for (uint32_t i = 0; i < g->look_count && !g->impossible; i++) {
        const struct look *look = &g->looks[i];
        if (look->changes)
            continue;
        if (look->when == HISTORY_ABSENT) {
            g->items[g->item_count++] = (struct item){look->key, look->node, look->node, true, 0, 0};
            continue;
        }
        const struct version *version = find_version(g, look->key, look->when);
        if (!version) {
            impossible_look(g, look->node, "saw", look->when, look->key);
            say(g, "which nobody had stored.\n");
            return;
        }
        add_edge(g, version->maker, look->node, look->key, STORED_SEEN);
        add_edge(g, look->node, version->taker, look->key, SEEN_TAKEN);
    }
}

/* A ring of versions, each taken out by the maker of the next, has no first one; its edges are a cycle. */
static void make_stretches(struct graph *g)
{
    for (uint32_t i = 0; i < g->version_count; i++) {
        const struct version *version = &g->versions[i];
        if (!version->first)
            continue;
        const uint32_t first = version->maker;
        while (version->next != NONE)
            version = &g->versions[version->next];
        g->items[g->item_count++] = (struct item){version->key, first, version->taker, false, 0, 0};
    }
}

/* ---- Time ---- */

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Pairs of a time and what it is: 2 * node, and one more for an end. */
static void chain_time(struct graph *g)
{
    uint32_t count = 0;
    uint32_t moment = g->node_count;
    bool began = false;
    for (uint32_t i = 0; i < g->node_count; i++) {
        g->times[2 * count] = g->nodes[i].begin;
        g->times[2 * count++ + 1] = 2 * (uint64_t)i;
        if (g->nodes[i].end == UINT64_MAX)
            continue;
        g->times[2 * count] = g->nodes[i].end;
        g->times[2 * count++ + 1] = 2 * (uint64_t)i + 1;
    }
    qsort(g->times, count, 2 * sizeof *g->times, by_number);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = (uint32_t)(g->times[2 * i + 1] / 2);
        if (g->times[2 * i + 1] % 2 == 0) {
            add_edge(g, moment, node, 0, BY_TIME);
            began = true;
            continue;
        }
        if (began)
            add_edge(g, moment, moment + 1, 0, BY_TIME);
        moment += began;
        began = false;
        add_edge(g, node, moment, 0, BY_TIME);
    }
    g->all_count = moment + 1;
}

/* ---- Order ---- */

static void sort_edges(struct graph *g)
{
    memset(g->out_at, 0, (g->all_count + 1) * sizeof *g->out_at);
    memset(g->degree, 0, g->all_count * sizeof *g->degree);
    for (uint32_t i = 0; i < g->edge_count; i++) {
        g->out_at[g->edges[i].from + 1]++;
        g->degree[g->edges[i].to]++;
    }
    for (uint32_t i = 0; i < g->all_count; i++)
        g->out_at[i + 1] += g->out_at[i];
    for (uint32_t i = 0; i < g->edge_count; i++)
        g->out[g->out_at[g->edges[i].from]++] = i;
    for (uint32_t i = g->all_count; i > 0; i--)
        g->out_at[i] = g->out_at[i - 1];
    g->out_at[0] = 0;
}

/* Puts the nodes in an order that the edges allow (Kahn 1962). False: there is a cycle, among nodes with a degree. */
static bool sort_nodes(struct graph *g)
{
    uint32_t count = 0;
    sort_edges(g);
    for (uint32_t i = 0; i < g->all_count; i++) {
        if (g->degree[i] == 0)
            g->order[count++] = i;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = g->order[i];
        g->place[node] = i;
        for (uint32_t at = g->out_at[node]; at < g->out_at[node + 1]; at++) {
            const uint32_t to = g->edges[g->out[at]].to;
            if (--g->degree[to] == 0)
                g->order[count++] = to;
        }
    }
    return count == g->all_count;
}

/* When each node can take effect at the earliest and at the latest, given the edges between calls. */
static void bound_nodes(struct graph *g)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        g->nodes[i].earliest = g->nodes[i].begin;
        g->nodes[i].latest = g->nodes[i].end;
    }
    for (uint32_t i = 0; i < g->all_count; i++) {
        const uint32_t from = g->order[i];
        for (uint32_t at = g->out_at[from]; from < g->node_count && at < g->out_at[from + 1]; at++) {
            const uint32_t to = g->edges[g->out[at]].to;
            if (to < g->node_count && g->nodes[to].earliest < g->nodes[from].earliest)
                g->nodes[to].earliest = g->nodes[from].earliest;
        }
    }
    for (uint32_t i = g->all_count; i-- > 0;) {
        const uint32_t from = g->order[i];
        for (uint32_t at = g->out_at[from]; from < g->node_count && at < g->out_at[from + 1]; at++) {
            const uint32_t to = g->edges[g->out[at]].to;
            if (to < g->node_count && g->nodes[from].latest > g->nodes[to].latest)
                g->nodes[from].latest = g->nodes[to].latest;
        }
    }
}

static int by_place(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* `x` cannot stand before `y`. */
static bool cannot_precede(const struct graph *g, const struct item *x, const struct item *y)
{
    if (x->last == NONE || y->first == NONE)
        return true;
    return g->nodes[x->last].earliest > g->nodes[y->first].latest;
}

static void put_apart(struct graph *g, const struct item *x, const struct item *y)
{
    add_edge(g, x->last, y->first, x->key, cannot_precede(g, y, x) ? APART_CERTAIN : APART_CHOSEN);
}

/* x cannot precede y if earliest(last of x) > latest(first of y). Sorted by the sum of the two for each item, x stands
 * before y only if that is possible, or the other way round is not possible either. */
static void rank_items(struct graph *g)
{
    for (uint32_t i = 0; i < g->item_count; i++) {
        struct item *item = &g->items[i];
        const uint64_t end = item->last == NONE ? UINT64_MAX / 2 : g->nodes[item->last].earliest;
        const uint64_t latest = item->first == NONE ? 0 : g->nodes[item->first].latest;
        item->rank = item->first == NONE ? 0 : end + (latest < UINT64_MAX / 2 ? latest : UINT64_MAX / 2);
        item->place = item->first == NONE ? 0 : g->place[item->first];
    }
    qsort(g->items, g->item_count, sizeof *g->items, by_place);
}

/* Edges between what stands side by side: from a stretch by way of the absences to the next one. */
static void order_items(struct graph *g)
{
    rank_items(g);
    const struct item *stretch = NULL;
    const struct item *absences = NULL; /* since that stretch */
    for (uint32_t i = 0; i < g->item_count; i++) {
        const struct item *item = &g->items[i];
        if (i == 0 || item->key != g->items[i - 1].key) {
            stretch = NULL;
            absences = NULL;
        }
        if (stretch && stretch->last == NONE && !g->impossible) {
            impossible_look(g, item->first == NONE ? 0 : item->first, item->absence ? "missed" : "inserted beside",
                            stretch->first == NONE ? 0 : g->nodes[stretch->first].call.value, item->key);
            say(g, "which nobody took out.\n");
        }
        if (stretch)
            put_apart(g, stretch, item);
        if (item->absence) {
            absences = absences ? absences : item;
            continue;
        }
        for (; absences && absences < item; absences++)
            put_apart(g, absences, item);
        stretch = item;
        absences = NULL;
    }
}

/* ---- Cycles ---- */

/* The shortest way from a node back to itself, by breadth; moments cost nothing, so they go to the front. Returns its
 * length in calls, and leaves edges in came_by; NONE: there is none shorter than `limit`. */
static uint32_t shortest_from(struct graph *g, uint32_t start, uint32_t limit)
{
    const uint32_t size = 2 * g->all_count;
    uint32_t *queue = malloc(size * sizeof *queue);
    uint32_t head = g->all_count;
    uint32_t tail = head;
    uint32_t best = NONE;
    if (!queue)
        return NONE;
    memset(g->distance, 0xff, g->all_count * sizeof *g->distance);
    queue[tail++] = start;
    while (head < tail && best == NONE) {
        const uint32_t node = queue[head++];
        const uint32_t so_far = node == start ? 0 : g->distance[node];
        for (uint32_t at = g->out_at[node]; at < g->out_at[node + 1] && best == NONE; at++) {
            const uint32_t to = g->edges[g->out[at]].to;
            const uint32_t cost = so_far + (to < g->node_count);
            if (g->degree[to] == 0 || cost >= limit || g->distance[to] <= cost)
                continue;
            const bool seen = g->distance[to] != NONE;
            g->distance[to] = cost;
            g->came_by[to] = g->out[at];
            if (to == start)
                best = cost;
            else if (seen)
                continue; /* still queued, or cheaper only by what a moment saves */
            else if (to < g->node_count || head == 0)
                queue[tail++] = to;
            else
                queue[--head] = to;
        }
    }
    free(queue);
    return best;
}

/* Leaves in came_by the shortest cycle found and returns a node of it. */
static uint32_t find_cycle(struct graph *g)
{
    uint32_t best = NONE;
    uint32_t found = NONE;
    uint32_t last = NONE;
    uint32_t starts = 0;
    for (uint32_t i = 0; i < g->node_count && (starts < CYCLE_STARTS_MAX || found == NONE); i++) {
        if (g->degree[i] == 0)
            continue;
        starts++;
        const uint32_t length = shortest_from(g, i, best);
        last = i;
        if (length != NONE) {
            best = length;
            found = i;
        }
    }
    if (found != NONE && found != last)
        shortest_from(g, found, NONE);
    return found;
}

static void say_edge(struct graph *g, const struct edge *edge)
{
    static const char *const reasons[] = {
        [BY_TIME] = "returned before the call of",
        [STORED_SEEN] = "stored what was seen by",
        [STORED_TAKEN] = "stored what was taken out by",
        [SEEN_TAKEN] = "saw what was there before",
        [APART_CERTAIN] = "must have found or left the key absent before",
        [APART_CHOSEN] = "found or left the key absent before",
    };
    say(g, " %s\n", reasons[edge->reason]);
}

static void tell_cycle(struct graph *g, uint32_t start)
{
    const struct edge *steps[CYCLE_SHOWN];
    unsigned count = 0;
    uint32_t node = start;
    g->why[0] = '\0';
    do {
        const struct edge *edge = &g->edges[g->came_by[node]];
        if (node < g->node_count && count < CYCLE_SHOWN)
            steps[count++] = edge;
        node = edge->from;
    } while (node != start);
    say(g, "Impossible: each of these must come before the next, and the last before the first:\n");
    for (unsigned i = count; i-- > 0;) {
        /* Through moments, back to the call that ended. */
        const struct edge *edge = steps[i];
        uint32_t from = edge->from;
        while (from >= g->node_count)
            from = g->edges[g->came_by[from]].from;
        say(g, "  ");
        name_node(g, from);
        say_edge(g, edge);
    }
    say(g, "  ");
    name_node(g, start);
    say(g, "\n");
}

/* A choice on the cycle, or NONE. */
static uint32_t choice_on(const struct graph *g, uint32_t start)
{
    uint32_t node = start;
    do {
        const uint32_t edge = g->came_by[node];
        if (g->edges[edge].reason == APART_CHOSEN)
            return edge;
        node = g->edges[edge].from;
    } while (node != start);
    return NONE;
}

/* ---- Search ---- */

/* The other order of the two items between which a chosen edge stands. */
static struct edge turned(const struct graph *g, const struct edge *edge)
{
    const struct item *before = NULL;
    const struct item *after = NULL;
    for (uint32_t i = 0; i < g->item_count; i++) {
        if (g->items[i].key != edge->key)
            continue;
        if (g->items[i].last == edge->from)
            before = &g->items[i];
        if (g->items[i].first == edge->to)
            after = &g->items[i];
    }
    return (struct edge){after->last, before->first, edge->key, APART_CERTAIN};
}

/* With what is certain so far; adds more certain edges as it finds them. */
static enum graph_answer solve(struct graph *g, unsigned depth)
{
    while (g->tries++ < TRIES_MAX) {
        g->edge_count = g->certain_count;
        if (!sort_nodes(g)) {
            tell_cycle(g, find_cycle(g));
            return GRAPH_IMPOSSIBLE;
        }
        bound_nodes(g);
        order_items(g);
        if (g->impossible)
            return GRAPH_IMPOSSIBLE;
        if (sort_nodes(g))
            return GRAPH_HOLDS;
        const uint32_t start = find_cycle(g);
        const uint32_t choice = choice_on(g, start);
        if (choice == NONE) {
            tell_cycle(g, start);
            return GRAPH_IMPOSSIBLE;
        }
        const struct edge chosen = g->edges[choice];
        const struct edge other = turned(g, &chosen);
        const uint32_t certain = g->certain_count;
        g->edges[g->certain_count++] = other;
        const enum graph_answer answer = depth > 0 ? solve(g, depth - 1) : GRAPH_UNDECIDED;
        if (answer != GRAPH_IMPOSSIBLE)
            return answer;
        g->certain_count = certain;
        g->edges[g->certain_count] = chosen;
        g->edges[g->certain_count++].reason = APART_CERTAIN;
    }
    return GRAPH_UNDECIDED;
}

enum graph_answer graph_check(struct graph *g)
{
    g->version_count = 0;
    g->item_count = 0;
    g->edge_count = 0;
    g->tries = 0;
    if (g->undecided)
        return GRAPH_UNDECIDED;
    make_versions(g);
    if (g->undecided)
        return GRAPH_UNDECIDED;
    take_versions(g);
    look_at_versions(g);
    if (g->impossible)
        return GRAPH_IMPOSSIBLE;
    make_stretches(g);
    chain_time(g);
    g->certain_count = g->edge_count;
    const enum graph_answer answer = solve(g, 64);
    if (answer == GRAPH_UNDECIDED)
        undecided(g, "too many orders to try");
    return answer;
}

const char *graph_why(const struct graph *g)
{
    return g->why;
}

uint64_t graph_edges(const struct graph *g)
{
    return g->edge_count;
}

unsigned graph_retries(const struct graph *g)
{
    return g->tries > 0 ? g->tries - 1 : 0;
}
