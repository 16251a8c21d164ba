/* SPDX-License-Identifier: ISC */
/* pin.h - a thread that stays in a read section, so that what is retired meanwhile waits. */
#ifndef SOMA_TESTS_BACKEND_PIN_H
#define SOMA_TESTS_BACKEND_PIN_H

#include <semaphore.h>

#include <soma/rcu.h>

#include "support.h"

struct pin {
    struct crew crew;
    sem_t inside;
    sem_t over;
};

static void pin_body(unsigned index, void *arg)
{
    struct pin *pin = arg;
    (void)index;
    soma_read_enter();
    sem_post(&pin->inside);
    while (sem_wait(&pin->over) != 0)
        ;
    soma_read_exit();
}

static void pin_start(struct pin *pin)
{
    sem_init(&pin->inside, 0, 0);
    sem_init(&pin->over, 0, 0);
    crew_start(&pin->crew, 1, pin_body, pin);
    while (sem_wait(&pin->inside) != 0)
        ;
}

static void pin_stop(struct pin *pin)
{
    sem_post(&pin->over);
    crew_join(&pin->crew);
}

#endif
