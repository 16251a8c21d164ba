/* SPDX-License-Identifier: ISC */
/* wire.h - numbers and byte strings as bytes, for files and other machines: little-endian, or in as few bytes as they need.
 *
 * Varint      7 bits a byte, the lowest first; every byte but the last has its highest bit set. Only the shortest form of
 *             a number is one, so each number has one form (LEB128).
 * Reading     Never past the end. Bytes that are not there, or not well formed, make the reader bad: from then on it gives
 *             zeros and nothing. So who reads asks once, at the end; and takes no length for granted before.
 * Writing     Into memory that grows. If there is none the writer has failed, and what is written from then on is lost.
 */
#ifndef SOMA_WIRE_WIRE_H
#define SOMA_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the longest varint. */
#define WIRE_VARINT_MAX 10

/* ---- Reading ---- */

struct wire_in {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
};

struct wire_in soma__wire_in(const void *data, size_t len);

uint8_t soma__wire_get8(struct wire_in *in);
uint32_t soma__wire_get32(struct wire_in *in);
uint64_t soma__wire_get64(struct wire_in *in);
uint64_t soma__wire_get_varint(struct wire_in *in);

/* The next bytes, where they stand. NULL, and the reader is bad, if there are not so many; not NULL for none. */
const void *soma__wire_get(struct wire_in *in, uint64_t len);

/* Bytes that have not been read; 0 of a bad one. */
size_t soma__wire_left(const struct wire_in *in);

/* ---- Writing ---- */

struct wire_out {
    unsigned char *data;
    size_t len;
    size_t cap;
    bool failed;
};

/* All zero is a writer that has written nothing. Ends it and frees what it has written. */
void soma__wire_free(struct wire_out *out);

/* Room for so many bytes behind what has been written. NULL: no memory, it has failed. */
void *soma__wire_room(struct wire_out *out, size_t len);

void soma__wire_put(struct wire_out *out, const void *data, size_t len);
void soma__wire_put8(struct wire_out *out, uint8_t byte);
void soma__wire_put32(struct wire_out *out, uint32_t word);
void soma__wire_put64(struct wire_out *out, uint64_t word);
void soma__wire_put_varint(struct wire_out *out, uint64_t number);

#endif
