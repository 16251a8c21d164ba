/* SPDX-License-Identifier: ISC */
/* patch.h - patches from inside: one difference at a time, from bytes and to bytes. Shared by the files of this room. */
#ifndef SOMA_DIFF_PATCH_H
#define SOMA_DIFF_PATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/patch.h>

#include "wire/wire.h"

struct soma_patch {
    struct wire_out out; /* complete */
};

/* ---- Reading ---- */

/* The checksum of a patch of this length, which stands behind what it sums up. For tests, too. */
uint64_t soma__patch_checksum(const void *bytes, size_t len);

/* As soma_patch_check(), with a reader before the first difference. */
enum soma_status soma__patch_open(struct soma_bytes bytes, struct soma_patch_info *info,
                                  struct soma_patch_reader *reader);

uint64_t soma__patch_count(const struct soma_patch_info *info);

/* Byte by byte; a string before those that it begins. */
int soma__bytes_order(struct soma_bytes a, struct soma_bytes b);

/* ---- Writing ---- */

/* Takes differences in the order of their keys. */
struct patch_writer {
    struct wire_out out;
    bool words;
    uint64_t key;      /* the one before */
    uint64_t count[3]; /* of inserted, replaced, removed */
};

void soma__patch_start(struct patch_writer *writer, bool words);
void soma__patch_add(struct patch_writer *writer, const struct soma_difference *difference);

/* Ends the writer: gives the patch, if `status` is OK and there was memory for it. */
enum soma_status soma__patch_finish(struct patch_writer *writer, enum soma_status status, soma_patch **out);

#endif
