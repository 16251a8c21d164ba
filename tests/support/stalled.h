/* SPDX-License-Identifier: ISC */
/* stalled.h - a thread that sits inside a read section for as long as a test wants. */
#ifndef SOMA_TESTS_STALLED_H
#define SOMA_TESTS_STALLED_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>

struct stalled {
    pthread_t thread;
    sem_t inside;
    sem_t leave;
    int64_t tid; /* the kernel's id of the thread */
};

/* Returns once the thread is inside. */
void stalled_start(struct stalled *stalled);

/* The thread leaves its section and ends. */
void stalled_stop(struct stalled *stalled);

/* For the status of a forked child: waits, and returns the exit status, or 1000 and the signal. */
int child_status(int pid);

/* How long a child may take before an alarm ends it. */
unsigned child_seconds(void);

#endif
