/* SPDX-License-Identifier: ISC */
/* hsearch-other.c - a second file with the process-wide table of soma/compat/hsearch.h. */
#define SOMA_COMPAT_HSEARCH_NAMES
#include <soma/compat/hsearch.h>

ENTRY *other_search(char *key, void *data, ACTION action);

ENTRY *other_search(char *key, void *data, ACTION action)
{
    return hsearch((ENTRY){key, data}, action);
}
