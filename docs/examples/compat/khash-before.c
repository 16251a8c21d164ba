/* SPDX-License-Identifier: ISC */
/* khash-before.c - readings of sensors, summed in a khash behind a mutex. khash-after.c is the same program on Soma;
 * docs/compat/khash.md shows what has changed. */
#include <pthread.h>
#include <stdio.h>

#include <htslib/khash.h>

#define THREADS 4
#define READINGS 20000
#define SENSORS 11

struct tally {
    unsigned readings;
    unsigned long sum;
    unsigned highest;
};

KHASH_MAP_INIT_INT(tallies, struct tally)
KHASH_SET_INIT_INT(dead)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static khash_t(tallies) * tallies;
static khash_t(dead) * dead;

/* Find or enter, and change what is there. Answers whether there was memory. */
static int add_reading(unsigned sensor, unsigned reading)
{
    int ret;
    pthread_mutex_lock(&lock);
    const khint_t k = kh_put(tallies, tallies, sensor, &ret);
    if (ret > 0)
        kh_value(tallies, k) = (struct tally){0, 0, 0};
    if (ret >= 0) {
        struct tally *tally = &kh_value(tallies, k);
        tally->readings++;
        tally->sum += reading;
        tally->highest = reading > tally->highest ? reading : tally->highest;
    }
    pthread_mutex_unlock(&lock);
    return ret >= 0;
}

/* Only the first who says so reports it. */
static int report_dead(unsigned sensor)
{
    int ret;
    pthread_mutex_lock(&lock);
    kh_put(dead, dead, sensor, &ret);
    pthread_mutex_unlock(&lock);
    return ret > 0;
}

static struct tally tally_of(unsigned sensor)
{
    struct tally tally = {0, 0, 0};
    pthread_mutex_lock(&lock);
    const khint_t k = kh_get(tallies, tallies, sensor);
    if (k != kh_end(tallies))
        tally = kh_value(tallies, k);
    pthread_mutex_unlock(&lock);
    return tally;
}

static void *station(void *reports)
{
    for (unsigned i = 0; i < READINGS; i++) {
        if (!add_reading(i % SENSORS, i * 7 % 1000))
            return NULL;
        if (i % 5000 == 4999)
            *(unsigned *)reports += (unsigned)report_dead(i / 5000);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned reports[THREADS] = {0};
    tallies = kh_init(tallies);
    dead = kh_init(dead);
    if (!tallies || !dead)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, station, &reports[i]) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < SENSORS; i++) {
        const struct tally tally = tally_of(i);
        printf("sensor %u: %u readings, sum %lu, highest %u\n", i, tally.readings, tally.sum, tally.highest);
    }
    printf("reported dead: %u\n", reports[0] + reports[1] + reports[2] + reports[3]);
    unsigned long sum = 0;
    for (khint_t k = kh_begin(dead); k != kh_end(dead); ++k)
        if (kh_exist(dead, k))
            sum += kh_key(dead, k);
    printf("sum of their numbers: %lu\n", sum);
    kh_destroy(dead, dead);
    kh_destroy(tallies, tallies);
    return 0;
}
