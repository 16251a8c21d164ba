/* SPDX-License-Identifier: ISC */
/* graph.c - see graph.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

/* What a node is, for people. */
struct node {
    const struct call *call; /* NULL: a view, or a moment on the line of time */
    uint64_t begin;
    uint64_t end; /* 0: a moment */
};

struct edge {
    uint32_t to;
    uint32_t next; /* index + 1; 0: the last */
};

/* A stretch in which a key is there: from the call that inserted it to the one that removed it. */
struct stretch {
    uint64_t key;
    uint32_t insertion;
    uint32_t removal; /* NONE: it is still there, or nobody saw it go */
};

/* Who made a value of a key, and who replaced it. */
struct version {
    uint64_t key;
    uint64_t value;
    uint32_t maker;
    uint32_t replacer;
};

struct view {
    uint32_t node;
    const struct seen *seen;
    uint32_t count;
};

#define NONE UINT32_MAX

struct graph {
    uint32_t room;
    uint32_t count;
    struct node *nodes;
    uint32_t *first_edge; /* index + 1 */
    uint32_t *incoming;
    struct edge *edges;
    size_t edge_count;
    size_t edge_room;
    struct version *versions; /* open addressing by (key, value) */
    uint32_t version_room;    /* a power of two */
    struct view *views;
    uint32_t view_count;
    bool gaps;   /* some calls changed keys without saying how: what nobody saw go may have gone */
    bool failed; /* memory ran out: the graph says nothing */
};

struct graph *graph_new(uint32_t calls)
{
    struct graph *graph = calloc(1, sizeof *graph);
    if (!graph)
        return NULL;
    graph->room = 2 * calls + 64;
    graph->edge_room = 12 * (size_t)calls + 256;
    graph->version_room = 64;
    while (graph->version_room < 4 * calls)
        graph->version_room *= 2;
    graph->nodes = calloc(graph->room, sizeof *graph->nodes);
    graph->first_edge = calloc(graph->room, sizeof *graph->first_edge);
    graph->incoming = calloc(graph->room, sizeof *graph->incoming);
    graph->edges = calloc(graph->edge_room, sizeof *graph->edges);
    graph->versions = calloc(graph->version_room, sizeof *graph->versions);
    graph->views = calloc(graph->room, sizeof *graph->views);
    if (!graph->nodes || !graph->first_edge || !graph->incoming || !graph->edges || !graph->versions || !graph->views) {
        graph_free(graph);
        return NULL;
    }
    return graph;
}

void graph_free(struct graph *graph)
{
    free(graph->views);
    free(graph->versions);
    free(graph->edges);
    free(graph->incoming);
    free(graph->first_edge);
    free(graph->nodes);
    free(graph);
}

static uint32_t add_node(struct graph *graph, struct node node)
{
    if (graph->count == graph->room) {
        graph->failed = true;
        return 0;
    }
    graph->nodes[graph->count] = node;
    return graph->count++;
}

static void add_edge(struct graph *graph, uint32_t from, uint32_t to)
{
    if (from == to || from == NONE || to == NONE)
        return;
    if (graph->edge_count == graph->edge_room) {
        struct edge *more = realloc(graph->edges, 2 * graph->edge_room * sizeof *more);
        graph->failed |= !more;
        if (!more)
            return;
        graph->edges = more;
        graph->edge_room *= 2;
    }
    graph->edges[graph->edge_count++] = (struct edge){.to = to, .next = graph->first_edge[from]};
    graph->first_edge[from] = (uint32_t)graph->edge_count;
    graph->incoming[to]++;
}

/* ---- Versions ---- */

/* The version's place, made if need be. */
static struct version *version_of(struct graph *graph, uint64_t key, uint64_t value)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15) ^ value) * UINT64_C(0xd1342543de82ef95) >> 20;
    for (;; at++) {
        struct version *version = &graph->versions[at & (graph->version_room - 1)];
        if (version->value == 0)
            *version = (struct version){key, value, NONE, NONE};
        if (version->key == key && version->value == value)
            return version;
    }
}

static bool stores(const struct call *call)
{
    return call->status == SOMA_INSERTED || call->status == SOMA_REPLACED;
}

static uint64_t left_behind(const struct call *call)
{
    if (call->status == SOMA_REMOVED)
        return 0;
    if (stores(call))
        return call->verb == KEY_ADD ? call->result + call->value : call->value;
    return call->result;
}

static bool is_certain(const struct call *call)
{
    return call->end != UINT64_MAX && call->status >= 0 && call->verb != KEY_CLEAR && call->verb != KEY_PUT_BLIND &&
           call->result != RESULT_UNKNOWN;
}

void graph_add_call(struct graph *graph, const struct call *call)
{
    if (call->end == UINT64_MAX || call->verb == KEY_CLEAR || call->verb == KEY_PUT_BLIND)
        graph->gaps = true;
    if (call->end == UINT64_MAX)
        return;
    add_node(graph, (struct node){.call = call, .begin = call->begin, .end = call->end});
}

void graph_add_view(struct graph *graph, uint64_t begin, uint64_t end, const struct seen *seen, uint32_t count)
{
    const uint32_t node = add_node(graph, (struct node){.begin = begin, .end = end});
    if (!graph->failed)
        graph->views[graph->view_count++] = (struct view){node, seen, count};
}

/* Who made which value, and who replaced it. Two makers or two replacers are impossible in themselves. */
static bool note_versions(struct graph *graph, uint32_t calls, FILE *out)
{
    for (uint32_t i = 0; i < calls; i++) {
        const struct call *call = graph->nodes[i].call;
        if (!call || !is_certain(call) || !(stores(call) || call->status == SOMA_REMOVED))
            continue;
        struct version *old = call->result != 0 ? version_of(graph, call->key, call->result) : NULL;
        struct version *new = stores(call) ? version_of(graph, call->key, left_behind(call)) : NULL;
        const bool twice = (old && old->replacer != NONE) || (new &&new->maker != NONE);
        if (twice && call->verb != KEY_ADD) {
            if (out)
                fprintf(out, "key %" PRIx64 ": a value was %s twice, the second time by T%u's %s\n", call->key,
                        old && old->replacer != NONE ? "replaced" : "made", call->thread,
                        verb_of_key_name((enum verb_of_key)call->verb));
            return false;
        }
        if (old)
            old->replacer = i;
        if (new)
            new->maker = i;
    }
    return true;
}

static void add_read(struct graph *graph, uint32_t node, uint64_t key, uint64_t value)
{
    const struct version *version = version_of(graph, key, value);
    add_edge(graph, version->maker, node);
    add_edge(graph, node, version->replacer);
}

static void add_version_edges(struct graph *graph, uint32_t calls)
{
    for (uint32_t i = 0; i < graph->version_room; i++)
        add_edge(graph, graph->versions[i].maker, graph->versions[i].replacer);
    for (uint32_t i = 0; i < calls; i++) {
        const struct call *call = graph->nodes[i].call;
        if (call && is_certain(call) && !stores(call) && call->status != SOMA_REMOVED && call->result != 0)
            add_read(graph, i, call->key, call->result);
    }
    for (uint32_t v = 0; v < graph->view_count; v++) {
        for (uint32_t k = 0; k < graph->views[v].count; k++) {
            if (graph->views[v].seen[k].value != 0)
                add_read(graph, graph->views[v].node, graph->views[v].seen[k].key, graph->views[v].seen[k].value);
        }
    }
}

/* ---- Absence ---- */

static const struct graph *sorted; /* for the comparison */

static int by_insertion(const void *a, const void *b)
{
    const struct stretch *x = a;
    const struct stretch *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    const uint64_t p = sorted->nodes[x->insertion].end;
    const uint64_t q = sorted->nodes[y->insertion].end;
    return (p > q) - (p < q);
}

/* From an insertion along the versions to the removal. */
static uint32_t removal_of(struct graph *graph, uint32_t insertion)
{
    const struct call *call = graph->nodes[insertion].call;
    for (uint32_t steps = 0; steps < graph->count; steps++) {
        const uint32_t next = version_of(graph, call->key, left_behind(call))->replacer;
        if (next == NONE)
            return NONE;
        call = graph->nodes[next].call;
        if (call->status == SOMA_REMOVED)
            return next;
    }
    return NONE;
}

static size_t collect_stretches(struct graph *graph, uint32_t calls, struct stretch *stretches)
{
    size_t n = 0;
    for (uint32_t i = 0; i < calls; i++) {
        const struct call *call = graph->nodes[i].call;
        if (call && is_certain(call) && call->status == SOMA_INSERTED)
            stretches[n++] = (struct stretch){call->key, i, removal_of(graph, i)};
    }
    sorted = graph;
    qsort(stretches, n, sizeof *stretches, by_insertion);
    return n;
}

/* Whether the first stretch can only come before the second: the other way round contradicts real time. */
static bool must_precede(const struct graph *graph, const struct stretch *first, const struct stretch *second)
{
    if (first->removal == NONE || (second->removal == NONE && graph->gaps))
        return false;
    return second->removal == NONE || graph->nodes[second->removal].begin > graph->nodes[first->insertion].end;
}

/* A view that saw a key absent: after every stretch that it must come after, before every one that it must come before. */
static void add_absences(struct graph *graph, const struct stretch *stretches, size_t n)
{
    for (uint32_t v = 0; v < graph->view_count; v++) {
        const struct view *view = &graph->views[v];
        for (uint32_t k = 0; k < view->count; k++) {
            if (view->seen[k].value != 0)
                continue;
            for (size_t s = 0; s < n; s++) {
                const struct stretch *stretch = &stretches[s];
                if (stretch->key != view->seen[k].key)
                    continue;
                if (graph->nodes[stretch->insertion].end < graph->nodes[view->node].begin)
                    add_edge(graph, stretch->removal, view->node); /* it was there before, so it has gone */
                if (stretch->removal == NONE && graph->gaps)
                    continue;
                if (stretch->removal == NONE || graph->nodes[stretch->removal].begin > graph->nodes[view->node].end)
                    add_edge(graph, view->node, stretch->insertion); /* it goes later, so it has not come */
            }
        }
    }
}

static void add_stretch_edges(struct graph *graph, uint32_t calls)
{
    struct stretch *stretches = calloc(calls + 1, sizeof *stretches);
    if (!stretches) {
        graph->failed = true;
        return;
    }
    const size_t n = collect_stretches(graph, calls, stretches);
    for (size_t i = 0; i + 1 < n; i++) {
        if (stretches[i].key == stretches[i + 1].key && must_precede(graph, &stretches[i], &stretches[i + 1]))
            add_edge(graph, stretches[i].removal, stretches[i + 1].insertion);
    }
    add_absences(graph, stretches, n);
    free(stretches);
}

/* ---- Real time: a line of moments, one for each end ---- */

struct instant {
    uint64_t time;
    uint32_t node;
    bool end;
};

static int by_instant(const void *a, const void *b)
{
    const uint64_t x = ((const struct instant *)a)->time;
    const uint64_t y = ((const struct instant *)b)->time;
    return (x > y) - (x < y);
}

static void add_time(struct graph *graph, uint32_t nodes)
{
    struct instant *instants = calloc(2 * nodes + 1, sizeof *instants);
    size_t n = 0;
    uint32_t last = NONE;
    graph->failed |= !instants;
    for (uint32_t i = 0; instants && i < nodes; i++) {
        instants[n++] = (struct instant){graph->nodes[i].begin, i, false};
        instants[n++] = (struct instant){graph->nodes[i].end, i, true};
    }
    if (instants)
        qsort(instants, n, sizeof *instants, by_instant);
    for (size_t i = 0; i < n && !graph->failed; i++) {
        if (!instants[i].end) {
            add_edge(graph, last, instants[i].node);
            continue;
        }
        const uint32_t moment = add_node(graph, (struct node){.begin = instants[i].time});
        add_edge(graph, last, moment);
        add_edge(graph, instants[i].node, moment);
        last = moment;
    }
    free(instants);
}

/* ---- Cycles ---- */

/* Takes away what nothing leads to, again and again (Kahn 1962); what is left is cycles and what they lead to. */
static uint32_t peel(struct graph *graph, uint32_t *queue)
{
    uint32_t head = 0;
    uint32_t tail = 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        if (graph->incoming[i] == 0)
            queue[tail++] = i;
    }
    while (head < tail) {
        for (uint32_t e = graph->first_edge[queue[head++]]; e != 0; e = graph->edges[e - 1].next) {
            if (--graph->incoming[graph->edges[e - 1].to] == 0)
                queue[tail++] = graph->edges[e - 1].to;
        }
    }
    return tail;
}

static void print_node(const struct graph *graph, uint32_t index, FILE *out)
{
    const struct node *node = &graph->nodes[index];
    if (node->call)
        fprintf(out, "    T%u's %s of key %" PRIx64 ": %s, %" PRIx64 " (%" PRIu64 " to %" PRIu64 ")\n",
                node->call->thread, verb_of_key_name((enum verb_of_key)node->call->verb), node->call->key,
                soma_status_text((enum soma_status)node->call->status), node->call->result, node->begin, node->end);
    else if (node->end != 0)
        fprintf(out, "    a view (%" PRIu64 " to %" PRIu64 ")\n", node->begin, node->end);
    else
        fprintf(out, "    ... in real time, past %" PRIu64 " ...\n", node->begin);
}

/* The shortest way from a node back to itself, breadth first; the nodes that lead there, by who found them. */
static bool find_cycle(const struct graph *graph, uint32_t from, uint32_t *found_by, uint32_t *queue)
{
    uint32_t head = 0;
    uint32_t tail = 0;
    memset(found_by, 0xff, graph->count * sizeof *found_by);
    queue[tail++] = from;
    while (head < tail) {
        const uint32_t at = queue[head++];
        for (uint32_t e = graph->first_edge[at]; e != 0; e = graph->edges[e - 1].next) {
            const uint32_t to = graph->edges[e - 1].to;
            if (to == from) {
                found_by[from] = at;
                return true;
            }
            if (graph->incoming[to] != 0 && found_by[to] == NONE) {
                found_by[to] = at;
                queue[tail++] = to;
            }
        }
    }
    return false;
}

static void print_cycle(const struct graph *graph, FILE *out, uint32_t *found_by, uint32_t *queue)
{
    for (uint32_t i = 0; i < graph->count; i++) {
        if (graph->incoming[i] == 0 || graph->nodes[i].end == 0 || !find_cycle(graph, i, found_by, queue))
            continue;
        fprintf(out, "  no order explains these, each of which must come before the one above it:\n");
        uint32_t at = i;
        do {
            print_node(graph, at, out);
            at = found_by[at];
        } while (at != i);
        return;
    }
}

bool graph_check(struct graph *graph, FILE *out)
{
    const uint32_t nodes = graph->count;
    if (!note_versions(graph, nodes, out))
        return false;
    add_version_edges(graph, nodes);
    add_stretch_edges(graph, nodes);
    add_time(graph, nodes);
    uint32_t *queue = calloc(graph->count + 1, sizeof *queue);
    uint32_t *found_by = calloc(graph->count + 1, sizeof *found_by);
    bool holds = true;
    if (!graph->failed && queue && found_by) {
        holds = peel(graph, queue) == graph->count;
        if (!holds && out)
            print_cycle(graph, out, found_by, queue);
    }
    free(found_by);
    free(queue);
    return holds;
}
