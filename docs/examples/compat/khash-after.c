/* SPDX-License-Identifier: ISC */
/* khash-after.c - khash-before.c without its mutex: the tables are Soma's, under khash's names. docs/compat/khash.md shows what has
 * changed. */
#include <pthread.h>
#include <stdio.h>

#define SOMA_COMPAT_KHASH_NAMES
#include <soma/compat/khash.h>

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

static khash_t(tallies) * tallies;
static khash_t(dead) * dead;

static enum soma_status take_reading(const uint32_t *sensor, bool present, struct tally *tally, void *reading)
{
    const unsigned now = *(const unsigned *)reading;
    (void)sensor;
    (void)present; /* a new one is all-zero */
    tally->readings++;
    tally->sum += now;
    tally->highest = now > tally->highest ? now : tally->highest;
    return SOMA_OK;
}

/* Find or enter, and change what is there: one atomic step. Answers whether there was memory. */
static int add_reading(unsigned sensor, unsigned reading)
{
    return soma_kh_update(tallies, tallies, sensor, take_reading, &reading) >= 0;
}

/* Only the first who says so reports it. */
static int report_dead(unsigned sensor)
{
    int ret;
    kh_put(dead, dead, sensor, &ret);
    return ret > 0;
}

static struct tally tally_of(unsigned sensor)
{
    struct tally tally = {0, 0, 0};
    soma_kh_copy(tallies, tallies, sensor, &tally);
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
    uint32_t sensor;
    soma_kh_foreach_key(dead, sensor, sum += sensor);
    printf("sum of their numbers: %lu\n", sum);
    kh_destroy(dead, dead);
    kh_destroy(tallies, tallies);
    return 0;
}
