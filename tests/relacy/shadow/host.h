/* SPDX-License-Identifier: ISC */
/* host.h - included before every file of the library: what it asks of the system is answered by the model (model.h).
 * All simulated threads share one thread of the system, so the library's thread-local variables become variables in a
 * section of their own, which the model exchanges whenever another simulated thread runs. */
#ifndef SOMA_RELACY_HOST_H
#define SOMA_RELACY_HOST_H

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define __thread __attribute__((section("soma_threads")))
#define tls_model(model) aligned(8)

#define syscall model_syscall
#define memset model_memset
#define nanosleep model_nanosleep
#define clock_gettime model_clock_gettime
#define posix_memalign model_posix_memalign
#define pthread_atfork model_pthread_atfork
#define pthread_key_create model_pthread_key_create
#define pthread_setspecific model_pthread_setspecific
#define pthread_sigmask model_pthread_sigmask

#endif
