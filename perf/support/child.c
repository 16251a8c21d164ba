/* SPDX-License-Identifier: ISC */
#include "support/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fail.h"

/* No measurement takes this long; one that does hangs. */
#define CHILD_SECONDS_MAX 900

static _Noreturn void child_main(child_fn fn, const void *task, void *result)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* an interrupted run leaves nobody behind to disturb the next one */
    alarm(CHILD_SECONDS_MAX);
    fn(task, result);
    _exit(0); /* the system takes the map apart faster than the map could */
}

static void child_wait(const char *what, pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            fail("%s: cannot wait for its process: %s", what, strerror(errno));
    }
    if (WIFSIGNALED(status))
        fail("%s: ended by signal %d (%s)", what, WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == EXIT_WRONG)
        exit(EXIT_WRONG); /* it has said why */
    if (WEXITSTATUS(status) != 0)
        fail("%s: failed with status %d", what, WEXITSTATUS(status));
}

void child_run(const char *what, child_fn fn, const void *task, void *result, size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("%s: no memory for its result", what);
    fflush(NULL); /* what is in the buffers is the parent's to write, once */
    const pid_t child = fork();
    if (child < 0)
        fail("%s: cannot fork: %s", what, strerror(errno));
    if (child == 0)
        child_main(fn, task, shared);
    child_wait(what, child);
    memcpy(result, shared, size);
    munmap(shared, size);
}
