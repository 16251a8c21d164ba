/* SPDX-License-Identifier: ISC */
/* misuse.h - a rule: how it is broken, what is then said, and how it is kept. */
#ifndef SOMA_TEST_MISUSE_H
#define SOMA_TEST_MISUSE_H

/* Under a sanitizer that frees what is lent, it speaks instead of the library. */
#define SANITIZER_SPEAKS 1
/* The call is allowed to end the program. */
#define MAY_END 2
/* More lines may follow. */
#define SAYS_MORE 4

struct rule {
    const char *name;
    void (*broken)(void);
    const char *says; /* what follows the first "soma: "; * stands for anything */
    void (*kept)(void);
    int flags;
    const char *environment; /* SOMA_MISUSE */
};

extern const struct rule rules[];
extern const int rules_count;

#endif
