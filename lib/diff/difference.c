/* SPDX-License-Identifier: ISC */
/* difference.c - see difference.h. */
#include "diff/difference.h"

#include <string.h>

static uint64_t word_of(struct soma_bytes bytes)
{
    uint64_t word = 0;
    if (bytes.len == sizeof word)
        memcpy(&word, bytes.data, sizeof word);
    return word;
}

void soma__difference_words(struct soma_difference *difference)
{
    difference->word.key = word_of(difference->key);
    difference->word.before = word_of(difference->before);
    difference->word.after = word_of(difference->after);
}

struct soma_difference soma__difference_inverse(const struct soma_difference *difference)
{
    static const enum soma_status inverses[] = {
        [SOMA_INSERTED] = SOMA_REMOVED, [SOMA_REPLACED] = SOMA_REPLACED, [SOMA_REMOVED] = SOMA_INSERTED};
    return (struct soma_difference){
        .what = inverses[difference->what],
        .word = {.key = difference->word.key, .before = difference->word.after, .after = difference->word.before},
        .key = difference->key,
        .before = difference->after,
        .after = difference->before,
    };
}

static enum soma_status make_word(soma_u64 *map, const struct soma_difference *difference)
{
    const uint64_t key = difference->word.key;
    switch (difference->what) {
    case SOMA_INSERTED:
        return soma_u64_put_new(map, key, difference->word.after, NULL);
    case SOMA_REPLACED:
        return soma_u64_cas(map, key, difference->word.before, difference->word.after, NULL);
    default:
        return soma_u64_remove_if(map, key, difference->word.before, NULL);
    }
}

static enum soma_status make_string(soma_map *map, const struct soma_difference *difference)
{
    const struct soma_bytes key = difference->key;
    const struct soma_bytes before = difference->before;
    const struct soma_bytes after = difference->after;
    switch (difference->what) {
    case SOMA_INSERTED:
        return soma_map_put_new(map, key.data, key.len, after.data, after.len, NULL);
    case SOMA_REPLACED:
        return soma_map_cas(map, key.data, key.len, before.data, before.len, after.data, after.len, NULL);
    default:
        return soma_map_remove_if(map, key.data, key.len, before.data, before.len, NULL);
    }
}

enum soma_status soma__difference_make(struct core *core, const struct soma_difference *difference)
{
    return core->kind->words ? make_word((soma_u64 *)core, difference) : make_string((soma_map *)core, difference);
}
