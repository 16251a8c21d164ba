/* SPDX-License-Identifier: ISC */
/* view.h - what a view is made of: a map, a number of its clock, and the slot that keeps what that number sees. */
#ifndef SOMA_VIEW_VIEW_H
#define SOMA_VIEW_VIEW_H

#include <stdint.h>

#include <soma/view.h>

#include "base/atom.h"
#include "map/core.h"

struct soma_view {
    struct core *core;   /* constant */
    uint64_t at;         /* constant */
    struct atom *slot;   /* constant */
    struct atom sums;    /* struct soma__sums, made when somebody asks for a digest, or 0 */
    struct atom counted; /* how many entries there are, plus 1; 0: not counted yet */
};

#endif
