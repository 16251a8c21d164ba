/* SPDX-License-Identifier: ISC */
/* backend.h - what both kinds of map need to be on any back-end. */
#ifndef SOMA_BACKEND_BACKEND_H
#define SOMA_BACKEND_BACKEND_H

#include <soma/backend.h>
#include <soma/options.h>

#include "backend/locked.h"
#include "map/core.h"

/* The back-end that is meant, never the default. SOMA_E_INVALID: there is none of that name. SOMA_E_UNSUPPORTED: the environment
 * names one that is not in this build. Both of the environment's are said on standard error, once. */
enum soma_status soma__backend_choose(enum soma_backend asked, enum soma_backend *out);

/* Options for the mutexes from those of a lock-free map that was made with the same, which is how they are checked: all but
 * seed, value_retire and ctx. SOMA_E_UNSUPPORTED: they ask for what a mutex does not have. */
enum soma_status soma__backend_options(enum soma_backend backend, const struct core *checked,
                                       struct soma__locked_options *out);

#endif
