/* SPDX-License-Identifier: ISC */
/* stalled.c - see stalled.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <soma/soma.h>

#include "stalled.h"
#include "support.h"

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

static void *sit(void *arg)
{
    struct stalled *stalled = arg;
    soma_read_enter();
    stalled->tid = syscall(SYS_gettid);
    sem_post(&stalled->inside);
    wait_for(&stalled->leave);
    soma_read_exit();
    return NULL;
}

void stalled_start(struct stalled *stalled)
{
    sem_init(&stalled->inside, 0, 0);
    sem_init(&stalled->leave, 0, 0);
    if (pthread_create(&stalled->thread, NULL, sit, stalled) != 0)
        abort();
    wait_for(&stalled->inside);
}

void stalled_stop(struct stalled *stalled)
{
    sem_post(&stalled->leave);
    pthread_join(stalled->thread, NULL);
    sem_destroy(&stalled->inside);
    sem_destroy(&stalled->leave);
}

int child_status(int pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

unsigned child_seconds(void)
{
    return under_sanitizer() ? 30 : 3;
}
