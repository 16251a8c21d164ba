/* SPDX-License-Identifier: ISC */
/* cancel.h - no call of Soma's is a cancellation point: a thread that is cancelled in one goes on until it is through. */
#ifndef SOMA_BASE_CANCEL_H
#define SOMA_BASE_CANCEL_H

#include <pthread.h>

#include "base/attr.h"

/* Around what the system, or the program, may make a cancellation point. */
ALWAYS_INLINE int soma__cancel_hold(void)
{
    int before = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

ALWAYS_INLINE void soma__cancel_let(int before)
{
    pthread_setcancelstate(before, NULL);
}

#endif
