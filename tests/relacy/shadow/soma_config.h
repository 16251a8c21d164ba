/* SPDX-License-Identifier: ISC */
/* soma_config.h - the library's build options, as the model has them. */
#ifndef SOMA_RELACY_CONFIG_H
#define SOMA_RELACY_CONFIG_H

/* The build says whether link and value are one 16-byte word: both kinds of list are run. */
#define HAVE_CAS16 RELACY_CAS16
#define HAVE_CHECKS 1
#define HAVE_STRONG 0
/* Full batches and tables are a few steps away. */
#define SMALL_SIZES 1

#endif
