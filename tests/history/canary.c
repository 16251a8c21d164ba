/* SPDX-License-Identifier: ISC */
/* canary.c - the checker tried on what it must find: wrong histories by hand, at least one for each verb, each beside
 * one that differs little and is right; and maps with seeded bugs, under the same threads as the real ones. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "cases.h"
#include "run.h"
#include "script.h"
#include "support.h"
#include "words.h"

/* ---- Histories by hand ---- */

static const struct pair {
    const char *what;
    const char *wrong;
    const char *right;
} pairs[] = {
    {"get: stale", "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 get = ok 5",
     "0 1-2 put 5 = inserted; 0 3-6 put 6 = replaced 5; 1 4-5 get = ok 5"},
    {"get: before it was there", "1 1-2 get = ok 5; 0 3-4 put 5 = inserted",
     "1 1-3 get = ok 5; 0 2-4 put 5 = inserted"},
    {"get: nobody stored it", "0 1-2 put 5 = inserted; 1 3-4 get = ok 6", "0 1-2 put 5 = inserted; 1 3-4 get = ok 5"},
    {"get: lost insertion", "0 1-2 put 5 = inserted; 1 3-4 get = absent", "0 1-4 put 5 = inserted; 1 2-3 get = absent"},
    {"get: two readers, two orders", "0 1-8 put 5 = inserted; 1 2-3 get = ok 5; 2 4-5 get = absent",
     "0 1-8 put 5 = inserted; 1 2-4 get = ok 5; 2 3-5 get = absent"},
    {"get: no such status", "0 1-2 get = inserted", "0 1-2 get = absent"},
    {"get: refused", "0 1-2 get = nomem", "0 1-2 put 5 = nomem; 0 3-4 get = absent"},
    {"put: old value of another", "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 put 7 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 put 7 = replaced 6"},
    {"put: the same old value twice", "0 1-2 put 5 = inserted; 0 3-6 put 6 = replaced 5; 1 4-5 put 7 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-6 put 6 = replaced 5; 1 4-5 put 7 = replaced 6"},
    {"put: the next value for the old one", "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 6",
     "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5"},
    {"put: inserted twice", "0 1-4 put 5 = inserted; 1 2-3 put 6 = inserted",
     "0 1-4 put 5 = inserted; 1 2-3 put 6 = replaced 5"},
    {"put: replaced nothing", "0 1-2 put 5 = replaced 4", "0 1-2 put 5 = inserted"},
    {"put: refused, yet stored", "0 1-2 put 5 = nomem; 1 3-4 get = ok 5", "0 1-2 put 5 = limit; 1 3-4 get = absent"},
    {"put_new: exists, but gone", "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 1 5-6 put_new 6 = exists 5",
     "0 1-2 put 5 = inserted; 0 3-6 remove = removed 5; 1 4-5 put_new 6 = exists 5"},
    {"put_new: both won", "0 1-4 put_new 5 = inserted; 1 2-3 put_new 6 = inserted",
     "0 1-4 put_new 5 = inserted; 1 2-3 put_new 6 = exists 5"},
    {"put_new: stored although it was there", "0 1-2 put 5 = inserted; 1 3-4 put_new 6 = exists 5; 1 5-6 get = ok 6",
     "0 1-2 put 5 = inserted; 1 3-4 put_new 6 = exists 5; 1 5-6 get = ok 5"},
    {"put_new: an answer of put", "0 1-2 put 5 = inserted; 1 3-4 put_new 6 = replaced 5",
     "0 1-2 put 5 = inserted; 1 3-4 put 6 = replaced 5"},
    {"replace: absent, but there", "0 1-2 put 5 = inserted; 1 3-4 replace 6 = absent",
     "0 1-3 put 5 = inserted; 1 2-4 replace 6 = absent"},
    {"replace: inserted", "0 1-2 replace 5 = inserted", "0 1-2 replace 5 = absent"},
    {"replace: of what was removed", "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 1 5-6 replace 6 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-6 remove = removed 6; 1 4-5 replace 6 = replaced 5"},
    {"cas: both won", "0 1-2 put 5 = inserted; 0 3-6 cas 5 6 = replaced 5; 1 4-5 cas 5 7 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-6 cas 5 6 = replaced 5; 1 4-5 cas 5 7 = changed 6"},
    {"cas: changed to what was expected", "0 1-2 put 5 = inserted; 0 3-4 cas 5 6 = changed 5",
     "0 1-2 put 5 = inserted; 0 3-4 cas 4 6 = changed 5"},
    {"cas: not what it found", "0 1-2 put 5 = inserted; 0 3-4 cas 5 6 = replaced 4",
     "0 1-2 put 5 = inserted; 0 3-4 cas 5 6 = replaced 5"},
    {"cas: failed, yet stored", "0 1-2 put 5 = inserted; 0 3-4 cas 4 6 = changed 5; 1 5-6 get = ok 6",
     "0 1-2 put 5 = inserted; 0 3-4 cas 5 6 = replaced 5; 1 5-6 get = ok 6"},
    {"cas: changed, cannot be known", "0 1-2 put 5 = inserted; 1 3-4 cas 5 6 = changed unknown",
     "0 1-2 put 5 = inserted; 1 3-4 cas 4 6 = changed unknown"},
    {"remove: twice", "0 1-2 put 5 = inserted; 0 3-6 remove = removed 5; 1 4-5 remove = removed 5",
     "0 1-2 put 5 = inserted; 0 3-6 remove = removed 5; 1 4-5 remove = absent"},
    {"remove: resurrected", "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 1 5-6 get = ok 5",
     "0 1-2 put 5 = inserted; 0 3-5 remove = removed 5; 1 4-6 get = ok 5"},
    {"remove: absent, but there", "0 1-2 put 5 = inserted; 1 3-4 remove = absent; 1 5-6 get = ok 5",
     "0 1-4 put 5 = inserted; 1 2-3 remove = absent; 1 5-6 get = ok 5"},
    {"remove: says so, does not", "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 0 5-6 put 7 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 0 5-6 put 7 = inserted"},
    {"remove_if: another value", "0 1-2 put 5 = inserted; 1 3-4 remove_if 4 = removed 4",
     "0 1-2 put 5 = inserted; 1 3-4 remove_if 4 = changed 5"},
    {"remove_if: changed, but it was there", "0 1-2 put 5 = inserted; 1 3-4 remove_if 4 = changed 6",
     "0 1-2 put 5 = inserted; 0 3-6 put 6 = replaced 5; 1 4-5 remove_if 5 = changed 6"},
    {"remove_if: after it was replaced",
     "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 remove_if 5 = removed 5",
     "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 remove_if 6 = removed 6"},
    {"add: one lost", "0 1-2 put 10 = inserted; 0 3-6 add 1 = replaced 10; 1 4-5 add 2 = replaced 10",
     "0 1-2 put 10 = inserted; 0 3-6 add 1 = replaced 10; 1 4-5 add 2 = replaced 11"},
    {"add: sum of nothing", "0 1-2 add 3 = inserted; 0 3-4 get = ok 4", "0 1-2 add 3 = inserted; 0 3-4 get = ok 3"},
    {"add: invalid on a word", "0 1-2 add 3 = inserted; 0 3-4 add 3 = invalid",
     "0 1-2 add 3 = inserted; 0 3-4 add 4 = replaced 3"},
    {"update: stale", "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 update 7 = replaced 5",
     "0 1-2 put 5 = inserted; 0 3-4 put 6 = replaced 5; 1 5-6 update 7 = replaced 6"},
    {"update: saw one, replaced another", "0 1-2 put 5 = inserted; 1 3-4 update 7 = inserted",
     "0 1-4 put 5 = replaced 7; 1 2-3 update 7 = inserted"},
    {"update_add: one lost",
     "0 1-2 put 10 = inserted; 0 3-6 update_add 1 = replaced 10; 1 4-5 update_add 1 = replaced 10",
     "0 1-2 put 10 = inserted; 0 3-6 update_add 1 = replaced 10; 1 4-5 update_add 1 = replaced 11"},
    {"update_remove: what was removed",
     "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 1 5-6 update_remove = removed 5",
     "0 1-2 put 5 = inserted; 0 3-4 remove = removed 5; 1 5-6 update_remove = absent"},
    {"update_leave: did not leave", "0 1-2 put 5 = inserted; 1 3-4 update_leave = exists 5; 1 5-6 get = absent",
     "0 1-2 put 5 = inserted; 1 3-4 update_leave = exists 5; 1 5-6 get = ok 5"},
    {"update_leave: stale", "0 1-2 put 5 = inserted; 1 3-4 update_leave = absent",
     "0 1-3 put 5 = inserted; 1 2-4 update_leave = absent"},
    {"put_many: lost", "0 1-2 put_many 5 = ok; 1 3-4 get = absent", "0 1-3 put_many 5 = ok; 1 2-4 get = absent"},
    {"put_many: twice", "0 1-2 put_many 5 = ok; 1 3-4 remove = removed 5; 1 5-6 get = ok 5",
     "0 1-5 put_many 5 = ok; 1 2-3 remove = removed 5; 1 4-6 get = absent"},
    {"put_many: the rest is not stored", "0 1-2 put_many 5 = limit; 1 3-4 get = ok 5",
     "0 1-2 put_many 5 = limit; 1 3-4 get = absent"},
    {"clear: left it", "0 1-2 put 5 = inserted; 1 3-4 clear = ok; 0 5-6 get = ok 5",
     "0 1-2 put 5 = inserted; 1 3-4 clear = limit; 0 5-6 get = ok 5"},
    {"clear: left it, by one that was refused and one that was not",
     "0 1-2 put 5 = inserted; 1 3-4 clear = limit; 1 5-6 clear = ok; 0 7-8 get = ok 5",
     "0 1-2 put 5 = inserted; 1 3-4 clear = limit; 0 5-6 get = absent"},
    {"clear: what was put after it", "1 1-2 clear = ok; 0 3-4 put 5 = inserted; 0 5-6 get = absent",
     "1 1-4 clear = ok; 0 2-3 put 5 = inserted; 0 5-6 get = absent"},
    {"clear: removed, and there again",
     "0 1-2 put 5 = inserted; 1 3-8 clear = ok; 0 4-5 get = absent; 0 6-7 get = ok 5",
     "0 1-2 put 5 = inserted; 1 3-8 clear = ok; 0 4-5 get = ok 5; 0 6-7 get = absent"},
    {"clear: a put beside it was undone, and a later get did not see that",
     "1 1-6 clear = ok; 0 2-3 put 5 = inserted; 0 4-5 get = absent; 2 7-8 get = ok 5",
     "1 1-4 clear = ok; 0 2-6 put 5 = inserted; 2 3-5 get = ok 5; 2 7-8 get = absent"},
    {"never ended: two effects of one", "0 1-? put 5; 1 2-3 remove = removed 5; 1 4-5 remove = removed 5",
     "0 1-? put 5; 1 2-3 get = absent; 1 4-5 remove = removed 5; 1 6-7 get = absent"},
    {"never ended: a remove takes no more than one",
     "0 1-2 put 5 = inserted; 1 3-? remove; 0 4-5 get = absent; 0 6-7 put 6 = inserted; 0 8-9 get = absent",
     "0 1-2 put 5 = inserted; 1 3-? remove; 0 4-5 get = absent; 0 6-7 put 6 = inserted; 0 8-9 get = ok 6"},
};

static bool holds(struct history *history, const char *text)
{
    struct script_call calls[SCRIPT_CALLS];
    const uint32_t count = script_read(text, calls);
    struct history_verdict verdict;
    history_reset(history);
    for (uint32_t i = 0; i < count; i++)
        history_add(history, &calls[i].call);
    const bool answer = history_check(history, &verdict);
    EXPECT_EQ(verdict.undecided, 0);
    EXPECT_EQ(verdict.calls, count);
    return answer;
}

void canary_answers(const void *setup)
{
    const struct history_options options = {.threads = 3, .calls_each = SCRIPT_CALLS, .keys = 2};
    struct history *history = history_new(&options);
    bool verbs[HISTORY_VERBS] = {false};
    (void)setup;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct script_call calls[SCRIPT_CALLS];
        if (!EXPECT(holds(history, pairs[i].right)))
            fprintf(stderr, "held to be wrong: %s, as it should be\n%s", pairs[i].what, history_why(history));
        if (!EXPECT(!holds(history, pairs[i].wrong)))
            fprintf(stderr, "held to be right: %s\n", pairs[i].what);
        EXPECT(strstr(history_sentence(history), "Impossible:") == history_sentence(history));
        for (uint32_t c = script_read(pairs[i].wrong, calls); c-- > 0;)
            verbs[calls[c].call.verb] = true;
        verified(2);
    }
    for (unsigned verb = 0; verb < HISTORY_VERBS; verb++)
        EXPECT(verbs[verb]);
    history_free(history);
}

/* ---- Maps with seeded bugs ---- */

/* The bugs are windows of some nanoseconds; now and then somebody else gets the processor there. */
static void window(void)
{
    static _Thread_local unsigned times;
    if (++times % 64 == 0)
        sched_yield();
}

/* Reads, then writes: another addition in between is lost. */
static enum soma_status add_in_two_steps(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    uint64_t value = 0;
    uint64_t replaced = 0;
    const enum soma_status found = kinds[0].get(map, key, &value);
    window();
    const enum soma_status status = kinds[0].put(map, key, value + delta, &replaced);
    if (status < 0)
        return status;
    *old = value;
    return found == SOMA_OK ? SOMA_REPLACED : SOMA_INSERTED;
}

/* Its old value is what a lookup finds beside it: an earlier value, or a later one. */
static enum soma_status put_and_look(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    uint64_t before = 0;
    const bool there = kinds[0].get(map, key, &before) == SOMA_OK;
    window();
    const enum soma_status status = kinds[0].put(map, key, value, old);
    if (there && status == SOMA_REPLACED)
        *old = before;
    return status;
}

static enum soma_status put_new_in_two_steps(void *map, uint64_t key, uint64_t value, uint64_t *present)
{
    uint64_t old = 0;
    if (kinds[0].get(map, key, present) == SOMA_OK)
        return SOMA_EXISTS;
    window();
    const enum soma_status status = kinds[0].put(map, key, value, &old);
    return status < 0 ? status : SOMA_INSERTED;
}

static enum soma_status remove_and_look(void *map, uint64_t key, uint64_t *old)
{
    uint64_t gone = 0;
    if (kinds[0].get(map, key, old) != SOMA_OK)
        return SOMA_ABSENT;
    window();
    const enum soma_status status = kinds[0].remove(map, key, &gone);
    return status < 0 ? status : SOMA_REMOVED;
}

static enum soma_status cas_in_two_steps(void *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    uint64_t old = 0;
    if (kinds[0].get(map, key, actual) != SOMA_OK)
        return SOMA_ABSENT;
    if (*actual != expected)
        return SOMA_CHANGED;
    window();
    const enum soma_status status = kinds[0].replace(map, key, desired, &old);
    if (status != SOMA_REPLACED)
        *actual = HISTORY_ABSENT;
    return status;
}

/* Now and then what was there a while ago. */
static enum soma_status stale_get(void *map, uint64_t key, uint64_t *value)
{
    static _Thread_local uint64_t kept;
    static _Thread_local uint64_t kept_key;
    static _Thread_local unsigned count;
    const enum soma_status status = kinds[0].get(map, key, value);
    if (status != SOMA_OK)
        return status;
    if (kept != 0 && kept_key == key && ++count % 64 == 0) {
        *value = kept;
        kept = 0;
    } else if (kept == 0) {
        kept = *value;
        kept_key = key;
    }
    return status;
}

enum broken {
    BROKEN_ADD,
    BROKEN_PUT,
    BROKEN_PUT_NEW,
    BROKEN_REMOVE,
    BROKEN_CAS,
    BROKEN_GET
};

static const enum broken brokens[CANARY_MAPS] = {BROKEN_ADD,    BROKEN_PUT, BROKEN_PUT_NEW,
                                                 BROKEN_REMOVE, BROKEN_CAS, BROKEN_GET};
const void *const canary_maps[CANARY_MAPS] = {&brokens[0], &brokens[1], &brokens[2],
                                              &brokens[3], &brokens[4], &brokens[5]};
const char *const canary_map_names[CANARY_MAPS] = {"canary-add",    "canary-put", "canary-put-new",
                                                   "canary-remove", "canary-cas", "canary-get"};

static void break_kind(struct kind *kind, enum broken how)
{
    switch (how) {
    case BROKEN_ADD:
        kind->fetch_add = add_in_two_steps;
        break;
    case BROKEN_PUT:
        kind->put = put_and_look;
        break;
    case BROKEN_PUT_NEW:
        kind->put_new = put_new_in_two_steps;
        break;
    case BROKEN_REMOVE:
        kind->remove = remove_and_look;
        break;
    case BROKEN_CAS:
        kind->cas = cas_in_two_steps;
        break;
    case BROKEN_GET:
        kind->get = stale_get;
        break;
    }
}

/* It takes a second at most; a busy machine may take longer. */
#define CANARY_SECONDS 60

void canary_map(const void *setup)
{
    struct kind broken = kinds[0];
    const struct setup few = {.name = "broken", .kind = &broken, .keys = 2};
    struct tally tally = {0};
    const double start = now_seconds();
    break_kind(&broken, *(const enum broken *)setup);
    struct run *run = run_open(&few, 4, 77);
    do {
        run_play(run, &tally);
    } while (run_check(run, &tally) && now_seconds() < start + CANARY_SECONDS);
    EXPECT(tally.violations > 0);
    if (tally.violations > 0)
        printf("# found after %.2f s and %" PRIu64 " calls. %s", now_seconds() - start, tally.calls,
               history_sentence(run_history(run)));
    EXPECT(strstr(history_why(run_history(run)), "Impossible:") != NULL);
    verified(1);
    run_close(run);
}
