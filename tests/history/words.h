/* SPDX-License-Identifier: ISC */
/* words.h - the byte map once more, for histories in which fetch_add meets all other verbs. A value whose id is a
 * multiple of 5 is a word of 8 bytes, which additions change where it stands; others are longer, and every byte of them
 * is checked. A borrowed word may change while it is looked at: what is read then was there at some time during the
 * call, so it is a right answer; only of cas and remove_if it may turn out to be what was expected after all, and is
 * then answered as HISTORY_UNKNOWN. */
#ifndef SOMA_TESTS_HISTORY_WORDS_H
#define SOMA_TESTS_HISTORY_WORDS_H

#include "kinds.h"

#define WORDS_EVERY 5

extern const struct kind words_kind;

/* What fetch_add can add to. */
bool words_is_word(uint64_t value);

#endif
