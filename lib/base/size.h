/* SPDX-License-Identifier: ISC */
/* size.h - constants that have two values: the one that programs get, and one for builds that explore schedules, where
 * everything that needs a full table, batch or block of work to happen must be a few steps away. */
#ifndef SOMA_BASE_SIZE_H
#define SOMA_BASE_SIZE_H

#include <soma_config.h>

#if SMALL_SIZES
#define SIZED(usual, small) (small)
#else
#define SIZED(usual, small) (usual)
#endif

#endif
