/* SPDX-License-Identifier: ISC */
/* backend.c - the back-ends by name, and which one is meant. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma_config.h>

#include "base/atom.h"
#include "base/cancel.h"
#include "base/check.h"

/* All are held at once for a copy, and the thread sanitizer knows up to 64 mutexes that a thread holds. */
#define SHARDS_LOG2 5

static const char *const names[] = {
    [SOMA_BACKEND_DEFAULT] = "default",
    [SOMA_BACKEND_LOCK_FREE] = "lock-free",
    [SOMA_BACKEND_SHARDED_MUTEX] = "sharded-mutex",
    [SOMA_BACKEND_MUTEX] = "mutex",
};
#define NAMES (sizeof names / sizeof names[0])

const char *soma_backend_name(enum soma_backend backend)
{
    return (size_t)backend < NAMES ? names[backend] : NULL;
}

enum soma_status soma_backend_parse(const char *name, enum soma_backend *out)
{
    if (!name || !out) {
        MISUSE("name or out is NULL");
        return SOMA_E_INVALID;
    }
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum soma_backend)i;
            return SOMA_OK;
        }
    }
    return SOMA_E_INVALID;
}

bool soma_backend_built(enum soma_backend backend)
{
    const bool locked = backend == SOMA_BACKEND_SHARDED_MUTEX || backend == SOMA_BACKEND_MUTEX;
    return (size_t)backend < NAMES && (!locked || HAVE_BACKENDS);
}

/* ---- What the environment asks for ---- */

#define LINE_BYTES 256

/* order BACKEND-1 relaxed | value only: the swap lets one thread | pairs: BACKEND-1
 * On standard error, in every build, once: whoever has set the variable may not see what the program makes of the status. In one
 * write, so that it comes in one piece. */
static void say_once(const char *name, const char *what)
{
    static struct atom said;
    uint64_t first = 0;
    char line[LINE_BYTES];
    if (!atom_cas_rlx(&said, &first, 1))
        return;
    const int len = snprintf(line, sizeof line, "soma: SOMA_BACKEND=%.64s %s: no map is made\n", name, what);
    const int cancel = soma__cancel_hold();
    const ssize_t written = len > 0 ? write(STDERR_FILENO, line, (size_t)len) : 0;
    (void)written; /* perhaps nobody listens */
    soma__cancel_let(cancel);
}

static enum soma_status choose_by_environment(enum soma_backend *backend)
{
    const char *name = secure_getenv("SOMA_BACKEND");
    if (name && name[0] != '\0' && soma_backend_parse(name, backend) != SOMA_OK) {
        say_once(name, "is none of default, lock-free, sharded-mutex, mutex");
        return SOMA_E_INVALID;
    }
    if (*backend == SOMA_BACKEND_DEFAULT)
        *backend = SOMA_BACKEND_LOCK_FREE;
    if (!soma_backend_built(*backend)) {
        say_once(name, "is not in this build");
        return SOMA_E_UNSUPPORTED;
    }
    return SOMA_OK;
}

enum soma_status soma__backend_choose(enum soma_backend asked, enum soma_backend *out)
{
    enum soma_backend backend = asked;
    const enum soma_status status = asked == SOMA_BACKEND_DEFAULT ? choose_by_environment(&backend) : SOMA_OK;
    if (status != SOMA_OK)
        return status;
    if (!soma_backend_name(backend)) {
        MISUSE("there is no such back-end");
        return SOMA_E_INVALID;
    }
    *out = backend;
    return SOMA_OK;
}

enum soma_status soma__backend_options(enum soma_backend backend, const struct core *checked,
                                       struct soma__locked_options *out)
{
    if (checked->flags & SOMA_DIGEST_STRONG)
        return SOMA_E_UNSUPPORTED;
    *out = (struct soma__locked_options){.words = checked->kind->words,
                                         .shards_log2 = backend == SOMA_BACKEND_MUTEX ? 0 : SHARDS_LOG2,
                                         .digests = (checked->flags & SOMA_DIGEST) != 0,
                                         .digest_key = {checked->digest_key[0], checked->digest_key[1]},
                                         .retire.ctx = checked->ctx};
    return SOMA_OK;
}
