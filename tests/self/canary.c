/* SPDX-License-Identifier: ISC */
/* canary.c - one seeded bug a macro; the sanitizer that is meant for it must report it. If it stays silent, so would it
 * over the library. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(RACE)

static int shared;

static void *count(void *arg)
{
    for (int i = 0; i < 100000; i++)
        shared++;
    return arg;
}

static int bug(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, count, NULL) != 0)
        return 0;
    count(NULL);
    pthread_join(other, NULL);
    return shared == 0;
}

#elif defined(USE_AFTER_FREE)

static int bug(void)
{
    volatile char *memory = malloc(8);
    free((void *)memory);
    return memory[3] == 7;
}

#elif defined(LEAK)

static void *volatile kept;

/* Many, so that no register or stack slot that was left behind finds them all. */
static int bug(void)
{
    for (int i = 0; i < 100; i++)
        kept = malloc(100);
    kept = NULL;
    return 0;
}

#elif defined(OVERFLOW)

static int bug(void)
{
    volatile int most = INT_MAX;
    most = most + 1;
    return most == 7;
}

#else
#error "name a bug: RACE, USE_AFTER_FREE, LEAK or OVERFLOW"
#endif

int main(void)
{
    const int wrong = bug();
    puts("the bug was not reported");
    return wrong;
}
