/* SPDX-License-Identifier: ISC */
/**
 * soma.h - everything in libsoma but the template typed.h, backend_names.h and compat/, in reading order.
 *
 * Soma is a map for programs whose threads share one: lookups never write to shared memory, every update takes effect at one
 * instant, and no call waits for another thread but those with `_wait` in their names, the opening of a map's first view, and what a
 * program asks for: updates under SOMA_WAIT_AT_LIMIT, mutex back-ends and dual runs.
 *
 *     soma_u64 *map;
 *     uint64_t value;
 *     if (soma_u64_new(NULL, &map) != SOMA_OK) ...
 *     soma_u64_put(map, 42, 7, NULL);
 *     soma_u64_get(map, 42, &value);
 *     soma_u64_free(map);
 *
 *   Maps:       of words (u64.h), of byte strings (map.h), of your own types (typed.h). Any thread uses them as they are.
 *   Answers:    an enum soma_status: 0 or more says what happened; below 0 is an error, and nothing has changed (status.h).
 *   Ownership:  what goes in is copied; words come out as copies; struct soma_bytes are borrowed, inside a read section
 *               (rcu.h).
 *   Memory:     what leaves a map is freed behind its readers, under a cap for each map; none to be had is an error.
 *   Instants:   a view is a whole map as it was (view.h); a cursor goes through a live map, or through a view (cursor.h).
 *   Copies:     an object in a cell (publish.h), a frozen map (frozen.h), a copy (copy.h).
 *   Equality:   digests (digest.h, strong.h), differences (diff.h) and patches (patch.h), two machines (sync.h).
 *   Watching:   figures (stats.h), the same as text for Prometheus (metrics.h), and as pages (http.h, a library of its own).
 *   Moving:     old map and new side by side (dual.h), the same program on a mutex (backend.h), others' calls (compat/).
 */
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
#include <soma/stats.h>
#include <soma/metrics.h>
#include <soma/backend.h>
#include <soma/dual.h>

#endif
