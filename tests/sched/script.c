/* SPDX-License-Identifier: ISC */
/* script.c - from words to operations. */
#include <stdio.h>
#include <string.h>

#include "scenario.h"

static const struct {
    const char *name;
    bool keyed;
    bool viewed;
} verbs[VERBS] = {
    [DO_GET] = {"get", true, false},
    [DO_PUT] = {"put", true, false},
    [DO_PUT_NEW] = {"put_new", true, false},
    [DO_REPLACE] = {"replace", true, false},
    [DO_CAS] = {"cas", true, false},
    [DO_REMOVE] = {"remove", true, false},
    [DO_REMOVE_IF] = {"remove_if", true, false},
    [DO_ADD] = {"fetch_add", true, false},
    [DO_UPDATE] = {"update", true, false},
    [DO_UPDATE_REMOVE] = {"update_remove", true, false},
    [DO_UPDATE_LEAVE] = {"update_leave", true, false},
    [DO_GET_MANY] = {"get_many", false, false},
    [DO_PUT_MANY] = {"put_many", true, false},
    [DO_CLEAR] = {"clear", false, false},
    [DO_COUNT] = {"count", false, false},
    [DO_GROW] = {"grow", false, false},
    [DO_SHRINK] = {"shrink", false, false},
    [DO_STEP] = {"step", false, false},
    [DO_ENTER] = {"enter", false, false},
    [DO_EXIT] = {"exit", false, false},
    [DO_HOLD] = {"hold", true, false},
    [DO_RETIRE] = {"retire", false, false},
    [DO_OTHER_MAP] = {"other_map", false, false},
    [DO_BARRIER] = {"barrier", false, false},
    [DO_SYNCHRONIZE] = {"synchronize", false, false},
    [DO_MEET] = {"meet", false, false},
    [DO_SUB] = {"fetch_sub", true, false},
    [DO_WALK] = {"walk", false, false},
    [DO_WALK_ANEW] = {"walk_anew", false, false},
    [DO_PUBLISH] = {"publish", false, false},
    [DO_PUBLISH_IF] = {"publish_if", false, false},
    [DO_BORROW] = {"borrow", false, false},
    [DO_OPEN] = {"open", false, true},
    [DO_SEE] = {"see", true, true},
    [DO_CLOSE] = {"close", false, true},
    [DO_SEE_ALL] = {"see_all", false, true},
    [DO_DIFF] = {"diff", false, true},
    [DO_DIGEST] = {"digest", false, true},
    [DO_TOKEN] = {"token", false, false},
    [DO_CHANGED] = {"changed", true, false},
    [DO_ASK] = {"ask", true, false},
    [DO_SEE_ASK] = {"see_ask", true, true},
    [DO_WALK_ASK] = {"walk_ask", false, false},
    [DO_GET_WITH] = {"get_with", true, false},
    [DO_TAKE] = {"take", false, false},
};

const char *verb_name(enum verb verb)
{
    return verbs[verb].name;
}

static int verb_of(const char *name)
{
    for (int i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return i;
    }
    return -1;
}

static bool parse_one(const char *text, struct script *script)
{
    char name[32];
    char about[3] = {0};
    const int n = sscanf(text, " %31[a-z_] %c %c %c", name, &about[0], &about[1], &about[2]);
    const int verb = n >= 1 ? verb_of(name) : -1;
    if (verb < 0 || n != 1 + verbs[verb].keyed + verbs[verb].viewed)
        return false;
    const int view = verbs[verb].viewed ? about[0] - '1' : 0;
    const int key = verbs[verb].keyed ? about[verbs[verb].viewed] - 'a' : 0;
    if (view < 0 || view >= VIEWS || key < 0 || key >= KEYS)
        return false;
    script->ops[script->count++] = (struct op){.verb = (uint8_t)verb, .key = (uint8_t)key, .view = (uint8_t)view};
    return true;
}

bool script_parse(const char *text, struct script *script)
{
    char part[64];
    script->count = 0;
    while (text && *text) {
        const size_t length = strcspn(text, ";");
        snprintf(part, sizeof part, "%.*s", (int)length, text);
        if (strspn(part, " ") != strlen(part) && (script->count == OPS_MAX || !parse_one(part, script))) {
            fprintf(stderr, "sched: '%s' is no operation, or one too many\n", part);
            return false;
        }
        text += length + (text[length] == ';');
    }
    return true;
}
