/* SPDX-License-Identifier: ISC */
/* lfht-before.c - a table of routes in liburcu's hash table: announced, withdrawn and looked up by several threads. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#define THREADS 4
#define ROUTES 300   /* of each thread's own */
#define DEFAULTS 200 /* that all threads announce: the first wins */

struct route {
    uint32_t prefix, hop;
    struct cds_lfht_node node;
    struct rcu_head head;
};

static struct cds_lfht *routes;
static unsigned long won[THREADS];

static unsigned long hash(uint32_t prefix)
{
    return prefix * 0x9e3779b97f4a7c15UL;
}

static int match(struct cds_lfht_node *node, const void *prefix)
{
    return caa_container_of(node, struct route, node)->prefix == *(const uint32_t *)prefix;
}

static void route_free(struct rcu_head *head)
{
    free(caa_container_of(head, struct route, head));
}

static struct route *route_new(uint32_t prefix, uint32_t hop)
{
    struct route *route = malloc(sizeof *route);
    if (!route)
        exit(1);
    cds_lfht_node_init(&route->node);
    route->prefix = prefix;
    route->hop = hop;
    return route;
}

/* In place of the route that was there, if any. */
static void announce(uint32_t prefix, uint32_t hop)
{
    struct route *route = route_new(prefix, hop);
    urcu_memb_read_lock();
    struct cds_lfht_node *old = cds_lfht_add_replace(routes, hash(prefix), match, &prefix, &route->node);
    if (old)
        urcu_memb_call_rcu(&caa_container_of(old, struct route, node)->head, route_free);
    urcu_memb_read_unlock();
}

/* Unless there is one. Returns whether it is this one. */
static int announce_default(uint32_t prefix, uint32_t hop)
{
    struct route *route = route_new(prefix, hop);
    urcu_memb_read_lock();
    const int first = cds_lfht_add_unique(routes, hash(prefix), match, &prefix, &route->node) == &route->node;
    urcu_memb_read_unlock();
    if (!first)
        free(route);
    return first;
}

static void withdraw(uint32_t prefix)
{
    struct cds_lfht_iter iter;
    urcu_memb_read_lock();
    cds_lfht_lookup(routes, hash(prefix), match, &prefix, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    if (node && cds_lfht_del(routes, node) == 0)
        urcu_memb_call_rcu(&caa_container_of(node, struct route, node)->head, route_free);
    urcu_memb_read_unlock();
}

static void *speaker(void *arg)
{
    const uint32_t self = (uint32_t)(uintptr_t)arg;
    urcu_memb_register_thread();
    for (uint32_t i = 0; i < ROUTES; i++)
        announce((self + 1) << 24 | i, self);
    for (uint32_t i = 0; i < DEFAULTS; i++)
        won[self] += (unsigned long)announce_default(i, self);
    for (uint32_t i = 0; i < ROUTES; i += 2)
        announce((self + 1) << 24 | i, self + 100);
    for (uint32_t i = 0; i < ROUTES; i += 5)
        withdraw((self + 1) << 24 | i);
    urcu_memb_unregister_thread();
    return NULL;
}

/* Lists what there is, and takes it out. */
static void report(void)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    unsigned long all = 0, replaced = 0, hops = 0;
    urcu_memb_read_lock();
    cds_lfht_for_each(routes, &iter, node)
    {
        struct route *route = caa_container_of(node, struct route, node);
        all++;
        if (route->prefix >= DEFAULTS) {
            replaced += route->hop >= 100;
            hops += route->hop;
        }
        if (cds_lfht_del(routes, node) == 0)
            urcu_memb_call_rcu(&route->head, route_free);
    }
    urcu_memb_read_unlock();
    printf("%lu routes, of which %lu were replaced; hops add up to %lu\n", all, replaced, hops);
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned long defaults = 0;
    urcu_memb_register_thread();
    routes = cds_lfht_new_flavor(1024, 64, 0, 0, &urcu_memb_flavor, NULL);
    if (!routes)
        return 1;
    for (uintptr_t t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, speaker, (void *)t);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        defaults += won[t];
    }
    printf("%lu defaults were first\n", defaults);
    report();
    const int destroyed = cds_lfht_destroy(routes, NULL);
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
    return destroyed == 0 ? 0 : 1;
}
