/* SPDX-License-Identifier: ISC */
/* refuse.h - for programs linked with --wrap=malloc: from some allocation on, all are refused. */
#ifndef SOMA_TESTS_BACKEND_REFUSE_H
#define SOMA_TESTS_BACKEND_REFUSE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_llong left = -1; /* allocations until all are refused; -1: none is */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    if (atomic_load(&left) >= 0 && atomic_fetch_sub(&left, 1) <= 0) {
        atomic_store(&left, 0);
        errno = ENOMEM;
        return NULL;
    }
    return __real_malloc(size);
}

#endif
