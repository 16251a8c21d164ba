/* SPDX-License-Identifier: ISC */
/* soma_config.h - the library as programs get it, but for the 16-byte swap, which is a call that the model sees. */
#define HAVE_BACKENDS 0
#define HAVE_BACKTRACE 0
#define HAVE_CAS16 1
#define HAVE_CHECKS 0
#define HAVE_STRONG 0
#define SMALL_SIZES 0
#define UNDER_SCHEDULER 1
