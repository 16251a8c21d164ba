/* SPDX-License-Identifier: ISC */
/* machine.h - what the figures were measured on, and with what. */
#ifndef PERF_MACHINE_H
#define PERF_MACHINE_H

#include "support/table.h"

unsigned machine_cores(void);

/* A table of two columns: what, and which. `label` names the build. */
struct table machine_record(const char *label);

#endif
