/* SPDX-License-Identifier: ISC */
/* script.c - see script.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define LINE_MAX_LENGTH 200
#define WORDS_MAX 16

static const char *const verbs[HISTORY_VERBS] = {"get",           "put",          "put_new",  "replace", "cas",
                                                 "remove",        "remove_if",    "add",      "update",  "update_add",
                                                 "update_remove", "update_leave", "put_many", "clear"};

static const struct {
    const char *name;
    int status;
} statuses[] = {
    {"ok", SOMA_OK},         {"inserted", SOMA_INSERTED}, {"replaced", SOMA_REPLACED}, {"removed", SOMA_REMOVED},
    {"absent", SOMA_ABSENT}, {"exists", SOMA_EXISTS},     {"changed", SOMA_CHANGED},   {"nomem", SOMA_E_NOMEM},
    {"limit", SOMA_E_LIMIT}, {"invalid", SOMA_E_INVALID},
};

static void unreadable(const char *text)
{
    fprintf(stderr, "cannot read: %s\n", text);
    abort();
}

static uint64_t number(const char *word)
{
    if (strcmp(word, "absent") == 0)
        return HISTORY_ABSENT;
    if (strcmp(word, "unknown") == 0)
        return HISTORY_UNKNOWN;
    return strtoull(word, NULL, 10);
}

static int status_named(const char *word)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (strcmp(word, statuses[i].name) == 0)
            return statuses[i].status;
    }
    unreadable(word);
    return 0;
}

static void read_verb(struct script_call *out, char *word)
{
    char *at = strchr(word, '@');
    if (at)
        *at++ = '\0';
    if (strcmp(word, "view") == 0) {
        out->view = true;
        return;
    }
    unsigned verb = 0;
    while (verb < HISTORY_VERBS && strcmp(word, verbs[verb]) != 0)
        verb++;
    if (verb == HISTORY_VERBS)
        unreadable(word);
    out->call.verb = (uint8_t)verb;
    out->call.key = at ? (uint32_t)number(at) : verb == HISTORY_CLEAR ? HISTORY_ALL_KEYS : 0;
}

static void read_seen(struct script_call *out, char *word)
{
    char *colon = strchr(word, ':');
    if (!colon || out->seen_count == SCRIPT_SEEN)
        unreadable(word);
    out->seen[out->seen_count++] = (struct graph_seen){(uint32_t)strtoul(word, NULL, 10), number(colon + 1)};
}

static void read_times(struct history_call *call, const char *word)
{
    char *dash;
    call->call = strtoull(word, &dash, 10);
    if (*dash != '-')
        unreadable(word);
    call->end = dash[1] == '?' ? 0 : strtoull(dash + 1, NULL, 10);
}

/* What goes in, then = status and what came out. */
static void read_values(struct script_call *out, char **words, unsigned count)
{
    unsigned in = 0;
    uint64_t values[2] = {0, 0};
    for (unsigned i = 0; i < count; i++) {
        if (out->view) {
            read_seen(out, words[i]);
        } else if (strcmp(words[i], "=") == 0 && i + 1 < count) {
            out->call.status = (int8_t)status_named(words[i + 1]);
            out->call.result = i + 2 < count ? number(words[i + 2]) : HISTORY_ABSENT;
            break;
        } else if (in < 2) {
            values[in++] = number(words[i]);
        }
    }
    const bool expects = out->call.verb == HISTORY_CAS || out->call.verb == HISTORY_REMOVE_IF;
    out->call.expected = expects ? values[0] : 0;
    out->call.value = out->call.verb == HISTORY_CAS ? values[1] : expects ? 0 : values[0];
}

static void read_call(struct script_call *out, char *line)
{
    char *words[WORDS_MAX];
    unsigned count = 0;
    char *rest = NULL;
    *out = (struct script_call){.seen_count = 0};
    for (char *word = strtok_r(line, " ", &rest); word && count < WORDS_MAX; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    if (count < 3)
        unreadable(line);
    out->call.thread = (uint8_t)number(words[0]);
    read_times(&out->call, words[1]);
    read_verb(out, words[2]);
    read_values(out, words + 3, count - 3);
}

uint32_t script_read(const char *text, struct script_call *calls)
{
    uint32_t count = 0;
    while (*text) {
        char line[LINE_MAX_LENGTH];
        const size_t length = strcspn(text, ";");
        if (length >= sizeof line || count == SCRIPT_CALLS)
            unreadable(text);
        memcpy(line, text, length);
        line[length] = '\0';
        read_call(&calls[count++], line);
        text += length + (text[length] == ';');
    }
    return count;
}
