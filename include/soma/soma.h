/* SPDX-License-Identifier: ISC */
/** soma.h - everything but the template typed.h, in reading order. */
#ifndef SOMA_SOMA_H
#define SOMA_SOMA_H

#include <soma/status.h>
#include <soma/options.h>
#include <soma/rcu.h>
#include <soma/publish.h>
#include <soma/u64.h>
#include <soma/map.h>
#include <soma/digest.h>
#include <soma/view.h>
#include <soma/cursor.h>
#include <soma/copy.h>
#include <soma/strong.h>
#include <soma/diff.h>
#include <soma/patch.h>
#include <soma/frozen.h>
#include <soma/sync.h>

#endif
