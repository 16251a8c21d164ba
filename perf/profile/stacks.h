/* SPDX-License-Identifier: ISC */
/* stacks.h - call stacks counted inside the program, for the two libraries that perf/profile/run preloads.
 *
 * Behind one lock, which is taken a few hundred times a second at most. Stacks and counts come out as text: a line
 * "@ address ..." for each stack, innermost first, a line of counts under it, and the program's mappings at the end.
 */
#ifndef PERF_PROFILE_STACKS_H
#define PERF_PROFILE_STACKS_H

#include <execinfo.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STACK_DEPTH 64
#define STACK_ROOM 16384 /* different stacks; what comes after is counted as lost. A power of two. */
#define STACK_COUNTS 4

struct stack {
    uint64_t counts[STACK_COUNTS];
    uint64_t tag; /* the caller's, part of what makes stacks differ */
    int depth;    /* 0: a free slot */
    void *frames[STACK_DEPTH];
};

static struct stack stacks[STACK_ROOM];
static uint64_t stacks_lost;
static pthread_mutex_t stacks_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t stack_hash(void *const *frames, int depth, uint64_t tag)
{
    uint64_t hash = tag + (uint64_t)depth;
    for (int i = 0; i < depth; i++)
        hash = (hash ^ (uintptr_t)frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* The slot of a stack, with the lock held; NULL if there is no room. */
static struct stack *stack_find(void *const *frames, int depth, uint64_t tag)
{
    const uint64_t hash = stack_hash(frames, depth, tag);
    for (uint64_t i = 0; i < STACK_ROOM; i++) {
        struct stack *stack = &stacks[(hash + i) % STACK_ROOM];
        if (stack->depth == 0) {
            stack->tag = tag;
            stack->depth = depth;
            memcpy(stack->frames, frames, (size_t)depth * sizeof *frames);
            return stack;
        }
        if (stack->depth == depth && stack->tag == tag &&
            memcmp(stack->frames, frames, (size_t)depth * sizeof *frames) == 0)
            return stack;
    }
    stacks_lost++;
    return NULL;
}

static void stack_print_frames(FILE *file, const struct stack *stack)
{
    fputc('@', file);
    for (int i = 0; i < stack->depth; i++)
        fprintf(file, " %p", stack->frames[i]);
    fputc('\n', file);
}

static void stacks_print_mappings(FILE *file)
{
    fputs("\nMAPPED_LIBRARIES:\n", file);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        return;
    char line[4352];
    while (fgets(line, sizeof line, maps))
        fputs(line, file);
    fclose(maps);
}

/* The file that a prefix and this process's number name; NULL if there is none. */
static FILE *stacks_open(const char *prefix)
{
    char path[4096];
    if (!prefix || snprintf(path, sizeof path, "%s.%d.stacks", prefix, (int)getpid()) >= (int)sizeof path)
        return NULL;
    return fopen(path, "w");
}

#endif
