/* SPDX-License-Identifier: ISC */
/* request.c - see request.h. */
#include "backend/request.h"

#include <soma/rcu.h>

#include "mem/mem.h"

struct soma__decision soma__decide(const struct soma__request *request, bool present, struct soma_bytes has,
                                   uint64_t version)
{
    const struct soma__decision absent = {.status = SOMA_ABSENT};
    const struct soma__decision changed = {.status = SOMA_CHANGED};
    const struct soma__decision invalid = {.status = SOMA_E_INVALID};
    const struct soma__decision remove = {.status = SOMA_REMOVED, .remove = true};
    struct soma__decision store = {.status = present ? SOMA_REPLACED : SOMA_INSERTED, .store = true};
    switch (request->verb) {
    case VERB_GET:
        return present ? (struct soma__decision){.status = SOMA_OK} : absent;
    case VERB_PUT:
        return store;
    case VERB_PUT_NEW:
        return present ? (struct soma__decision){.status = SOMA_EXISTS} : store;
    case VERB_REPLACE:
        return present ? store : absent;
    case VERB_CAS:
        return !present ? absent : soma__bytes_same(has, request->expected) ? store : changed;
    case VERB_CAS_VERSION:
        if (request->number == 0)
            return present ? changed : store;
        return !present ? absent : version == request->number ? store : changed;
    case VERB_REMOVE:
        return present ? remove : absent;
    case VERB_REMOVE_IF:
        return !present ? absent : soma__bytes_same(has, request->expected) ? remove : changed;
    case VERB_FETCH_ADD:
        if (present && has.len != sizeof store.sum)
            return invalid;
        store.sum = request->number + (present ? soma__word_of(has) : 0);
        return store;
    }
    return invalid;
}

/* ---- Values that wait for readers ---- */

/* A value that has left, or that was lent, or both. It outlives the map if need be. */
struct parting {
    struct soma__retiring whom;
    size_t len;
    uint64_t data[];
};

void soma__retire_value(const struct soma__retiring *whom, struct soma_bytes bytes)
{
    if (whom->word)
        whom->word(soma__word_if_any(bytes), whom->ctx);
    else if (whom->bytes)
        whom->bytes(bytes.data, bytes.len, whom->ctx);
}

static void parting_over(void *arg)
{
    struct parting *parting = arg;
    soma__retire_value(&parting->whom, (struct soma_bytes){.data = parting->data, .len = parting->len});
    soma__mem_free(parting, sizeof *parting + parting->len);
}

const void *soma__lend(struct soma_bytes bytes, const struct soma__retiring *whom)
{
    struct parting *parting = soma__mem_alloc(sizeof *parting + bytes.len);
    if (!parting)
        return NULL;
    parting->whom = whom ? *whom : (struct soma__retiring){.ctx = NULL};
    parting->len = bytes.len;
    if (bytes.len > 0)
        memcpy(parting->data, bytes.data, bytes.len);
    if (soma_retire(parting_over, parting) == SOMA_OK)
        return parting->data;
    soma__mem_free(parting, sizeof *parting + bytes.len);
    return NULL;
}
