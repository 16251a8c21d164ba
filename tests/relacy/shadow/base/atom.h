/* SPDX-License-Identifier: ISC */
/* atom.h - the library's door to atomic memory, led into the model: the same functions, each carried out by Relacy with
 * the order that its name says (model.h). They are macros so that the model knows which function of the library asks:
 * histories name it, and a seeded bug weakens the accesses of one function. */
#ifndef SOMA_BASE_ATOM_H
#define SOMA_BASE_ATOM_H

#include <stdbool.h>
#include <stdint.h>

#include <soma_config.h>

#include "base/attr.h"
#include "model.h"

struct atom {
    uint64_t word;
};

#define ATOM_HERE __func__, __FILE__, __LINE__

/* The model executes the library in program order, but for what its loads may see. */
#define atom_compiler_barrier() ((void)0)

#define atom_load_rlx(a) model_load(&(a)->word, ORDER_RLX, ATOM_HERE)
#define atom_load_acq(a) model_load(&(a)->word, ORDER_ACQ, ATOM_HERE)
#define atom_load_seq(a) model_load(&(a)->word, ORDER_SEQ, ATOM_HERE)
#define atom_store_rlx(a, to) model_store(&(a)->word, (to), ORDER_RLX, ATOM_HERE)
#define atom_store_rel(a, to) model_store(&(a)->word, (to), ORDER_REL, ATOM_HERE)
#define atom_add_rlx(a, delta) model_add(&(a)->word, (delta), ORDER_RLX, ATOM_HERE)
#define atom_add_acq(a, delta) model_add(&(a)->word, (delta), ORDER_ACQ, ATOM_HERE)
#define atom_add_acqrel(a, delta) model_add(&(a)->word, (delta), ORDER_ACQREL, ATOM_HERE)
#define atom_add_seq(a, delta) model_add(&(a)->word, (delta), ORDER_SEQ, ATOM_HERE)
#define atom_sub_acqrel(a, delta) model_add(&(a)->word, -(uint64_t)(delta), ORDER_ACQREL, ATOM_HERE)
#define atom_xchg_acq(a, to) model_exchange(&(a)->word, (to), ORDER_ACQ, ATOM_HERE)
#define atom_cas_rlx(a, expected, to) model_cas(&(a)->word, (expected), (to), ORDER_RLX, ATOM_HERE)
#define atom_cas_acq(a, expected, to) model_cas(&(a)->word, (expected), (to), ORDER_ACQ, ATOM_HERE)
#define atom_cas_rel(a, expected, to) model_cas(&(a)->word, (expected), (to), ORDER_REL, ATOM_HERE)
#define atom_cas_acqrel(a, expected, to) model_cas(&(a)->word, (expected), (to), ORDER_ACQREL, ATOM_HERE)
#define atom_cas_seq(a, expected, to) model_cas(&(a)->word, (expected), (to), ORDER_SEQ, ATOM_HERE)
#define atom_cas16_seq(pair, expected0, expected1, to0, to1)                                                           \
    model_cas16(&(pair)->word, (const uint64_t[2]){(expected0), (expected1)}, (const uint64_t[2]){(to0), (to1)},       \
                ORDER_SEQ, ATOM_HERE)

#endif
