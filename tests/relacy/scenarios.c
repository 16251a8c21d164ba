/* SPDX-License-Identifier: ISC */
/* scenarios.c - the table of scenarios. Small on purpose: what a scenario is about should happen in most executions. */
#include "scenarios.h"

/* Hashes. Of the least table's two buckets, 0 is always set up, and small hashes stand there. */
#define A 10
#define B 20
#define C 30
/* The first of bucket 1, which nobody has set up; its parent is bucket 0. */
#define FAR (UINT64_C(0x80) << 56)
/* The last before it: its edge is where the sentinel goes. */
#define BEFORE_FAR (FAR - 1)
/* With TALL: the first of bucket 3, whose parent is bucket 1, and the last before it. */
#define HIGH (UINT64_C(0xc0) << 56)
#define BEFORE_HIGH (HIGH - 1)
/* With TALL: in bucket 2, which is not set up; its parent is bucket 0. */
#define HIGH_UNSET (UINT64_C(0x40) << 56)

/* What a step does not need, it leaves out. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* Name; what it is about; settings; outcomes; entries; each thread's steps. */
/* clang-format off */
const struct scenario scenarios[] = {
    /* ---- The list ---- */
    {"insert-insert", "two insertions of one key: one of them finds it there", 0, 2, {0},
     {{{PUT_NEW, A, 1}, {GET, A}}, {{PUT_NEW, A, 2}, {GET, A}}}},
    {"insert-neighbours", "three insertions at one place", 0, 2, {A},
     {{{PUT, B, 1}}, {{PUT, B + 1, 2}}, {{PUT, C, 3}, {GET, A}}}},
    {"insert-remove", "one key", 0, 3, {0},
     {{{PUT, A, 1}, {REMOVE, A}}, {{PUT_NEW, A, 2}, {REMOVE, A}}}},
    {"remove-remove", "one of them gets the value", 0, 2, {A, B},
     {{{REMOVE, A}}, {{REMOVE, A}}, {{GET, A}}}},
    {"remove-neighbours", "the removed entry's predecessor goes as well", 0, 2, {A, B, C},
     {{{REMOVE, B}}, {{REMOVE, A}}, {{GET, C}}}},
    {"insert-before-removed", "the edge to be swapped leads to, or stands in, what is removed", 0, 2, {A, C},
     {{{PUT, B, 1}}, {{REMOVE, C}}, {{REMOVE, A}}}},
    {"replace-remove", "the value that is removed is the one that was there", 0, 2, {A},
     {{{PUT, A, 1}}, {{REMOVE, A}}}},
    {"replace-replace", "each value is replaced once", 0, 2, {A},
     {{{PUT, A, 1}}, {{REPLACE, A, 2}}, {{CAS, A, 3, BEFORE}}}},
    {"add-add", "no addition is lost", 0, 3, {0},
     {{{ADD, A, 1}}, {{ADD, A, 2}}, {{ADD, A, 4}}}},
    {"get-replace", "a lookup sees one value of the two, never neither", 0, 2, {A, B},
     {{{GET, A}, {GET, A}}, {{PUT, A, 1}, {PUT, A, 2}}}},
    {"get-remove-insert", "a lookup beside a key that goes and comes back", 0, 2, {A, B},
     {{{GET, A}, {GET, B}}, {{REMOVE, A}, {PUT, A, 1}}}},
    {"hand-over", "what was written before a value was stored is seen by who finds the value", 0, 3, {B},
     {{{WRITE}, {PUT, A, 1}}, {{GET, A}, {READ, A, 1}}, {{PUT, B, 2}, {ADD, A, 0}, {READ, A, 1}}}},
    {"hand-over-in-place", "as hand-over, where a value takes another's place", 0, 3, {A},
     {{{WRITE}, {PUT, A, 1}}, {{GET, A}, {READ, A, 1}}, {{CAS, A, 2, BEFORE}}}},
    /* ---- Homes ---- */
    {"home-again", "a home whose entry went, and another entry in it, beside lookups of both", 0, 2, {A, B},
     {{{GET, A}, {GET, C}}, {{REMOVE, A}, {WORK}, {WORK}, {PUT, C, 1}}, {{GET, C}, {GET, B}}}},
    {"home-race", "two insertions for the last home of a bucket", 0, 2, {A},
     {{{PUT, B, 1}, {GET, C}}, {{PUT, C, 2}, {REMOVE, B}}, {{GET, B}, {GET, C}}}},
    {"home-hand-over", "as hand-over, by an entry that is found at home", 0, 2, {0},
     {{{WRITE}, {PUT, A, 1}, {REMOVE, A}}, {{GET, A}, {READ, A, 1}}, {{GET, A}, {READ, A, 1}}}},
    {"home-move-in", "growth moves an entry home beside its update and its removal", CROWDED, 2, {HIGH},
     {{{PUT, HIGH + 1, 1}, {GET, HIGH}}, {{PUT, HIGH, 2}, {GET, HIGH}}, {{REMOVE, HIGH}}}},
    {"home-move-out", "a level that goes moves an entry out beside its update and a lookup", TALL | READY | GOING, 2,
     {HIGH},
     {{{SHRINK, 4}, {GET, HIGH}}, {{PUT, HIGH, 2}, {ADD, HIGH, 1}}, {{GET, HIGH}, {GET, HIGH}}}},
    /* ---- Buckets ---- */
    {"set-up-twice", "two threads set one bucket up, and its parent", TALL, 2, {0},
     {{{PUT, HIGH, 1}}, {{PUT, HIGH + 1, 2}}, {{GET, HIGH}}}},
    {"set-up-insert", "an insertion where the sentinel is to stand", 0, 2, {A},
     {{{PUT, FAR, 1}}, {{PUT, BEFORE_FAR, 2}}, {{PUT, FAR + 1, 3}}}},
    {"set-up-remove", "the entries on both sides of the sentinel's place go", 0, 2, {A, BEFORE_FAR},
     {{{PUT, FAR, 1}, {REMOVE, FAR}}, {{REMOVE, BEFORE_FAR}}, {{REMOVE, A}}}},
    {"growth", "the table grows while others insert, look up and remove", CROWDED, 2, {HIGH},
     {{{PUT, HIGH + 1, 1}}, {{GET, HIGH}, {PUT, HIGH + 2, 2}}, {{REMOVE, HIGH}}}},
    {"leave", "a level leaves while its buckets are set up", TALL | READY, 2, {HIGH},
     {{{SHRINK, 6}}, {{PUT, HIGH_UNSET, 1}}, {{GET, HIGH}}}},
    {"shrink", "a level is taken out beside updates and lookups", TALL | READY | GOING, 2, {BEFORE_HIGH, HIGH},
     {{{SHRINK, 8}}, {{REMOVE, BEFORE_HIGH}, {PUT, HIGH + 1, 1}}, {{GET, HIGH}, {GET, HIGH}}}},
    {"shrink-shrink", "two threads take one level out", TALL | READY | GOING, 2, {HIGH},
     {{{SHRINK, 6}, {GET, HIGH}}, {{SHRINK, 6}, {PUT, HIGH + 1, 1}}}},
    {"grow-back", "the table grows over a level that is going", TALL | READY | GOING | CROWDED, 2, {HIGH},
     {{{SHRINK, 6}}, {{PUT, A, 1}, {PUT, HIGH + 1, 2}}, {{GET, HIGH}, {GET, HIGH + 1}}}},
    /* ---- Views ---- */
    {"view-insert", "a view against two insertions: with the second there is the first", VIEWS | VIEWED, 2, {C},
     {{{OPEN}, {SEE, B}, {SEE, A}}, {{PUT, A, 1}, {PUT, B, 2}}}},
    {"view-insert-before", "the same, in the other order of the list", VIEWS | VIEWED, 2, {C},
     {{{OPEN}, {SEE, A}, {SEE, B}}, {{PUT, B, 1}, {PUT, A, 2}}}},
    {"view-remove", "a view against two removals", VIEWS | VIEWED, 2, {A, B},
     {{{OPEN}, {SEE, B}, {SEE, A}}, {{REMOVE, A}, {REMOVE, B}}}},
    {"view-death", "a version dies while a view takes its number", VIEWS | VIEWED, 2, {A},
     {{{OPEN}, {SEE, A}, {SHUT}}, {{REMOVE, A}, {PUT, B, 1}}, {{OPEN}, {SEE, A}}}},
    {"view-replace", "a view against a replacement and an insertion", VIEWS | VIEWED, 2, {A},
     {{{OPEN}, {SEE, B}, {SEE, A}}, {{PUT, A, 1}, {PUT, B, 2}}}},
    {"view-helped", "who finds a replacement opens a view that has it", VIEWS | VIEWED, 2, {A},
     {{{GET, A}, {OPEN}, {SEE, A}}, {{PUT, A, 1}}, {{OPEN}, {SEE, A}, {GET, A}}}},
    {"view-found", "who has a view with an insertion finds that in the map", VIEWS | VIEWED, 2, {B},
     {{{OPEN}, {GET, A}, {SEE, A}}, {{PUT, A, 1}}, {{OPEN}, {REMOVE, A}, {SEE, A}}}},
    {"view-chain", "removals and insertions of one key", VIEWS | VIEWED, 2, {A},
     {{{REMOVE, A}, {PUT, A, 1}}, {{OPEN}, {SEE, A}, {PUT, A, 2}, {SEE, A}}}},
    {"view-let-go", "a view closes against a replacement and another view", VIEWS | VIEWED, 2, {A},
     {{{SHUT_FIRST}}, {{PUT, A, 1}, {PUT, A, 2}}, {{OPEN}, {SEE, A}, {SHUT}}}},
    {"view-set-up", "an insertion behind a bucket that is set up, against a view", VIEWS | VIEWED, 2, {A},
     {{{OPEN}, {SEE, FAR + 1}, {SEE, FAR}}, {{PUT, FAR, 1}, {PUT, FAR + 1, 2}}}},
    {"view-move", "an entry moves home and is replaced, against a view", VIEWS | VIEWED | CROWDED, 2, {HIGH},
     {{{OPEN}, {SEE, HIGH + 1}, {SEE, HIGH}}, {{PUT, HIGH + 1, 1}, {PUT, HIGH, 2}}, {{REMOVE, HIGH}}}},
    {"view-first", "the first view against updates that keep no versions", VIEWS, 2, {A},
     {{{OPEN}, {SEE, B}, {SEE, A}}, {{PUT, A, 1}, {PUT, B, 2}}}},
    {"view-off", "the last view closes, values change in place, a view opens", VIEWS | VIEWED, 2, {A},
     {{{SHUT_FIRST}, {OPEN}, {SEE, A}}, {{PUT, A, 1}, {PUT, A, 2}}}},
    {"view-compare", "a view is compared with an earlier one beside updates", VIEWS | VIEWED, 2, {A},
     {{{OPEN}, {COMPARE, A}, {COMPARE, B}, {SEE, B}}, {{PUT, A, 1}, {PUT, B, 2}}}},
    {"view-compare-helped", "the same, while another decides the stamps", VIEWS | VIEWED, 2, {A},
     {{{OPEN}, {COMPARE, A}}, {{PUT, A, 1}}, {{OPEN}, {SEE, A}, {COMPARE, A}}}},
    /* ---- Reclamation ---- */
    {"section", "a section of the program's, in which two lookups stand beside their entries' release", AWAY, 2, {A, B},
     {{{ENTER}, {GET, A}, {GET, B}, {LEAVE}}, {{REMOVE, A}, {REMOVE, B}, {WORK}, {WORK}}}},
    {"release", "lookups beside removals that release", AWAY, 2, {A, B},
     {{{GET, B}, {GET, B}}, {{REMOVE, A}, {CLOSE}, {WORK}}, {{REMOVE, B}, {CLOSE}, {WORK}}}},
    {"inbox", "two threads close chunks, a third moves them on", AWAY, 2, {A, B, C},
     {{{REMOVE, A}, {CLOSE}}, {{REMOVE, B}, {CLOSE}}, {{GET, C}, {WORK}, {WORK}}}},
    {"claim", "the claim goes from hand to hand while chunks are due", PENDING | AWAY, 2, {A},
     {{{WORK}, {WORK}}, {{REMOVE, A}, {CLOSE}, {WORK}}, {{GET, A}, {WORK}}}},
    {"sides", "open chunks are collected from threads that go on retiring", AWAY, 2, {A, B, C},
     {{{RELIEVE}, {RELIEVE}, {RELIEVE}, {RELIEVE}}, {{REMOVE, B}, {REMOVE, C}}, {{REMOVE, A}, {RELIEVE}}}},
    {"barrier", "after a barrier the thread's retired call has been made, by whomever", AWAY, 2, {A, B},
     {{{RETIRE}, {BARRIER}}, {{REMOVE, A}, {WORK}, {WORK}}, {{REMOVE, B}, {RELIEVE}}}},
    {"take-over", "a thread ends, and its record is another's", LATE | AWAY, 2, {A, B},
     {{{REMOVE, A}, {EXIT}}, {{REMOVE, B}, {CLOSE}, {WORK}}, {{GET, B}, {EXIT}, {GET, A}}}},
    {"spare", "a thread without a record looks up beside a release", SPARE | AWAY, 2, {A, B},
     {{{GET, B}, {GET, B}}, {{REMOVE, A}, {CLOSE}, {WORK}}, {{GET, A}, {WORK}}}},
    {"owner", "the map is freed while its chunks wait and are released", PENDING | AWAY, 2, {A},
     {{{FREE}}, {{WORK}, {WORK}}, {{WORK}}}},
    {"owner-last", "and its last chunk is closed just before", PENDING | AWAY, 2, {A},
     {{{REMOVE, A}, {CLOSE}, {FREE}}, {{WORK}, {WORK}}, {{WORK}}}},
    /* ---- Reclamation where readers need barriers of their own ---- */
    {"own-section", "as section", OWN_BARRIERS | AWAY, 2, {A, B},
     {{{ENTER}, {GET, A}, {GET, B}, {LEAVE}}, {{REMOVE, A}, {REMOVE, B}, {WORK}, {WORK}}}},
    {"own-release", "as release", OWN_BARRIERS | AWAY, 2, {A, B},
     {{{GET, B}, {GET, B}}, {{REMOVE, A}, {CLOSE}, {WORK}}, {{REMOVE, B}, {CLOSE}, {WORK}}}},
    {"own-spare", "as spare", OWN_BARRIERS | SPARE | AWAY, 2, {A, B},
     {{{GET, B}, {GET, B}}, {{REMOVE, A}, {CLOSE}, {WORK}}, {{GET, A}, {WORK}}}},
    {"own-sides", "as sides", OWN_BARRIERS | AWAY, 2, {A, B, C},
     {{{RELIEVE}, {RELIEVE}, {RELIEVE}, {RELIEVE}}, {{REMOVE, B}, {REMOVE, C}}, {{REMOVE, A}, {RELIEVE}}}},
    {"own-shrink", "as shrink", OWN_BARRIERS | TALL | READY | GOING, 2, {BEFORE_HIGH, HIGH},
     {{{SHRINK, 9}}, {{REMOVE, BEFORE_HIGH}, {PUT, HIGH + 1, 1}}, {{GET, HIGH}, {GET, HIGH}}}},
};
/* clang-format on */

const unsigned scenario_count = sizeof scenarios / sizeof scenarios[0];
