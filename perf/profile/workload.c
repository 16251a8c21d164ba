/* SPDX-License-Identifier: ISC */
/* workload.c - what perf/profile/run profiles by itself: threads that look up, put and remove at random in one map.
 *
 * Half of the keys are put in first, from an empty map on, so growth is part of the picture. Some of the operations go
 * to a few hot keys, where threads meet. The map is not freed: what is in it at the end is the program's memory in use.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <soma/soma.h>

#define HOT_KEYS 16
#define THREADS_MAX 256
#define OPS_BETWEEN_CLOCKS 64
#define KEY_ROOM 32
#define VALUE_LEAST 16
#define VALUE_SPREAD 64

struct settings {
    bool bytes;       /* the byte map, not the word map */
    uint64_t entries; /* different keys */
    uint64_t threads; /* how many */
    uint64_t ops;     /* a thread; 0: until the time is over */
    double seconds;   /* if ops is 0 */
    uint64_t mix[3];  /* gets, puts, removes: parts of their sum */
    uint64_t hot;     /* percent of the operations that go to hot keys */
};

static struct settings settings = {.entries = 100000, .threads = 2, .seconds = 2, .mix = {50, 30, 20}, .hot = 10};
static soma_u64 *words;
static soma_map *texts;

struct team_member {
    pthread_t thread;
    uint64_t random; /* state of its generator; not 0 */
    uint64_t ops;    /* done */
};

static void stop(int status, const char *what)
{
    fprintf(stderr, "workload: %s\n", what);
    exit(status);
}

/* ---- One operation ---- */

/* xorshift64 (Marsaglia 2003). */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t draw_key(uint64_t *random)
{
    const uint64_t word = draw(random);
    const uint64_t keys = word % 100 < settings.hot && settings.entries > HOT_KEYS ? HOT_KEYS : settings.entries;
    return (word >> 8) % keys;
}

static enum soma_status get(uint64_t key)
{
    if (!settings.bytes)
        return soma_u64_get(words, key, NULL);
    char text[KEY_ROOM];
    char value[VALUE_LEAST + VALUE_SPREAD];
    size_t len;
    const int key_len = snprintf(text, sizeof text, "key %" PRIu64, key);
    return soma_map_get_copy(texts, text, (size_t)key_len, value, sizeof value, &len);
}

static enum soma_status put(uint64_t key, uint64_t random)
{
    if (!settings.bytes)
        return soma_u64_put(words, key, random, NULL);
    static const char value[VALUE_LEAST + VALUE_SPREAD];
    char text[KEY_ROOM];
    const int key_len = snprintf(text, sizeof text, "key %" PRIu64, key);
    return soma_map_put(texts, text, (size_t)key_len, value, VALUE_LEAST + random % VALUE_SPREAD, NULL);
}

static enum soma_status take(uint64_t key)
{
    if (!settings.bytes)
        return soma_u64_remove(words, key, NULL);
    char text[KEY_ROOM];
    const int key_len = snprintf(text, sizeof text, "key %" PRIu64, key);
    return soma_map_remove(texts, text, (size_t)key_len, NULL);
}

static void operate(uint64_t *random)
{
    const uint64_t key = draw_key(random);
    const uint64_t part = draw(random) % (settings.mix[0] + settings.mix[1] + settings.mix[2]);
    enum soma_status status;
    if (part < settings.mix[0])
        status = get(key);
    else if (part < settings.mix[0] + settings.mix[1])
        status = put(key, *random);
    else
        status = take(key);
    if (status < 0)
        stop(1, soma_status_text(status));
}

/* ---- Threads ---- */

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *work(void *arg)
{
    struct team_member *self = arg;
    const double end = now_seconds() + settings.seconds;
    while (settings.ops ? self->ops < settings.ops : now_seconds() < end) {
        for (int i = 0; i < OPS_BETWEEN_CLOCKS; i++)
            operate(&self->random);
        self->ops += OPS_BETWEEN_CLOCKS;
    }
    return NULL;
}

static void fill(void)
{
    for (uint64_t key = 0; key < settings.entries; key += 2) {
        if (put(key, key) < 0)
            stop(1, "out of memory while the map is filled");
    }
}

static void run_team(void)
{
    static struct team_member team[THREADS_MAX];
    uint64_t ops = 0;
    const double start = now_seconds();
    for (uint64_t i = 0; i < settings.threads; i++) {
        team[i].random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        if (pthread_create(&team[i].thread, NULL, work, &team[i]) != 0)
            stop(1, "cannot start a thread");
    }
    for (uint64_t i = 0; i < settings.threads; i++) {
        pthread_join(team[i].thread, NULL);
        ops += team[i].ops;
    }
    printf("workload: %" PRIu64 " operations in %.2f s\n", ops, now_seconds() - start);
}

/* ---- Options ---- */

static uint64_t to_number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || number < least || number > most)
        stop(2, "a number is out of range, or none");
    return number;
}

static double to_seconds(const char *text)
{
    char *end;
    const double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds > 0 && seconds <= 86400))
        stop(2, "--seconds wants a number up to 86400");
    return seconds;
}

static void to_mix(const char *text)
{
    char rest;
    uint64_t *mix = settings.mix;
    if (sscanf(text, "%3" SCNu64 ":%3" SCNu64 ":%3" SCNu64 "%c", &mix[0], &mix[1], &mix[2], &rest) != 3 ||
        mix[0] + mix[1] + mix[2] == 0)
        stop(2, "--mix wants gets:puts:removes, as in 50:30:20");
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"map", required_argument, NULL, 'm'},     {"entries", required_argument, NULL, 'e'},
        {"threads", required_argument, NULL, 't'}, {"seconds", required_argument, NULL, 's'},
        {"ops", required_argument, NULL, 'o'},     {"mix", required_argument, NULL, 'x'},
        {"hot", required_argument, NULL, 'h'},     {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'm':
            if (strcmp(optarg, "u64") != 0 && strcmp(optarg, "bytes") != 0)
                stop(2, "--map wants u64 or bytes");
            settings.bytes = *optarg == 'b';
            break;
        case 'e':
            settings.entries = to_number(optarg, 1, UINT64_C(1) << 32);
            break;
        case 't':
            settings.threads = to_number(optarg, 1, THREADS_MAX);
            break;
        case 's':
            settings.seconds = to_seconds(optarg);
            break;
        case 'o':
            settings.ops = to_number(optarg, 1, UINT64_MAX);
            break;
        case 'x':
            to_mix(optarg);
            break;
        case 'h':
            settings.hot = to_number(optarg, 0, 100);
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc)
        stop(2, "takes options only");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    const enum soma_status status = settings.bytes ? soma_map_new(NULL, &texts) : soma_u64_new(NULL, &words);
    if (status != SOMA_OK)
        stop(1, soma_status_text(status));
    fill();
    run_team();
    return 0;
}
