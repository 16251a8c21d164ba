/* SPDX-License-Identifier: ISC */
/* instructions.c - one call, over and over, for perf/instructions to count under callgrind.
 *
 *     instructions NAME TIMES     NAME: --list prints them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#define KEYS 1000

static soma_u64 *words;
static soma_map *bytes;
static volatile uint64_t used;

static void word_get(uint64_t key)
{
    uint64_t value;
    soma_u64_get(words, key, &value);
}

/* A value that is used while it cannot go: in a section, or by a function. */
static void word_section_get(uint64_t key)
{
    uint64_t value;
    soma_read_enter();
    if (soma_u64_get(words, key, &value) == SOMA_OK)
        used += value;
    soma_read_exit();
}

static void use_word(uint64_t key, uint64_t value, void *ctx)
{
    (void)key;
    *(volatile uint64_t *)ctx += value;
}

static void word_get_with(uint64_t key)
{
    soma_u64_get_with(words, key, use_word, (void *)&used);
}

static void word_get_absent(uint64_t key)
{
    word_get(key + KEYS * 10);
}

static void word_put(uint64_t key)
{
    soma_u64_put(words, key, key, NULL);
}

static void word_fetch_add(uint64_t key)
{
    soma_u64_fetch_add(words, key, 1, NULL);
}

static void word_remove_put(uint64_t key)
{
    soma_u64_remove(words, key, NULL);
    soma_u64_put_new(words, key, key, NULL);
}

static void bytes_get(uint64_t key)
{
    char value[16];
    size_t len;
    soma_map_get_copy(bytes, &key, sizeof key, value, sizeof value, &len);
}

/* Keys of 24 bytes to words. */
struct text {
    uint64_t words[3];
};

static struct text text_of(uint64_t key)
{
    return (struct text){.words = {1, key, 2}};
}

static void text_get(uint64_t key)
{
    const struct text text = text_of(key);
    uint64_t value;
    size_t len;
    soma_map_get_copy(bytes, &text, sizeof text, &value, sizeof value, &len);
}

static void text_get_absent(uint64_t key)
{
    text_get(key + KEYS * 10);
}

static void text_put(uint64_t key)
{
    const struct text text = text_of(key);
    soma_map_put(bytes, &text, sizeof text, &key, sizeof key, NULL);
}

static void bytes_section_get(uint64_t key)
{
    struct soma_bytes value;
    soma_read_enter();
    if (soma_map_get_ref(bytes, &key, sizeof key, &value) == SOMA_OK)
        used += *(const char *)value.data;
    soma_read_exit();
}

static void use_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)key, (void)key_len;
    *(volatile uint64_t *)ctx += *(const char *)value.data;
}

static void bytes_get_with(uint64_t key)
{
    soma_map_get_with(bytes, &key, sizeof key, use_bytes, (void *)&used);
}

static void bytes_put(uint64_t key)
{
    soma_map_put(bytes, &key, sizeof key, "another", 7, NULL);
}

static void bytes_remove_put(uint64_t key)
{
    soma_map_remove(bytes, &key, sizeof key, NULL);
    soma_map_put_new(bytes, &key, sizeof key, "value", 5, NULL);
}

static const struct {
    const char *name;
    void (*call)(uint64_t key);
} calls[] = {
    {"u64-get", word_get},
    {"u64-get-absent", word_get_absent},
    {"u64-section-get", word_section_get},
    {"u64-get-with", word_get_with},
    {"u64-put", word_put},
    {"u64-fetch-add", word_fetch_add},
    {"u64-remove-put", word_remove_put},
    {"map-get", bytes_get},
    {"map-get-text", text_get},
    {"map-absent-text", text_get_absent},
    {"map-section-get", bytes_section_get},
    {"map-get-with", bytes_get_with},
    {"map-put", bytes_put},
    {"map-put-text", text_put},
    {"map-remove-put", bytes_remove_put},
};

#define CALLS (sizeof calls / sizeof *calls)

static bool open_maps(void)
{
    const struct soma_u64_options of_words = {.reserve = 4096, .seed = {1, 2}};
    const struct soma_map_options of_bytes = {.reserve = 4096, .seed = {1, 2}};
    if (soma_u64_new(&of_words, &words) != SOMA_OK || soma_map_new(&of_bytes, &bytes) != SOMA_OK)
        return false;
    for (uint64_t key = 0; key < 2 * KEYS; key++) {
        word_put(key);
        bytes_put(key);
        text_put(key);
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < CALLS; i++)
            puts(calls[i].name);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < CALLS; i++) {
        if (strcmp(argv[1], calls[i].name) != 0 || !open_maps())
            continue;
        const long times = atol(argv[2]);
        for (long n = 0; n < times; n++)
            calls[i].call((uint64_t)n % KEYS);
        return 0;
    }
    return 2;
}
