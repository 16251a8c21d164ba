/* SPDX-License-Identifier: ISC */
#include "libgit2.h"
