/* SPDX-License-Identifier: ISC */
/* urcu-bp.h - liburcu's part of a section is liburcu's business; here it is nothing. */
#ifndef SOMA_RELACY_URCU_BP_H
#define SOMA_RELACY_URCU_BP_H

static inline void urcu_bp_read_lock(void) {}
static inline void urcu_bp_read_unlock(void) {}
static inline void urcu_bp_before_fork(void) {}
static inline void urcu_bp_after_fork_parent(void) {}
static inline void urcu_bp_after_fork_child(void) {}

#endif
