/* SPDX-License-Identifier: ISC */
/* wire.c - see wire.h. */
#include "wire/wire.h"

#include <string.h>

#include "base/bits.h"
#include "base/size.h"
#include "mem/mem.h"

/* ---- Reading ---- */

static const unsigned char empty[1];

struct wire_in soma__wire_in(const void *data, size_t len)
{
    const unsigned char *at = len > 0 ? data : empty;
    return (struct wire_in){.at = at, .end = at + len, .bad = false};
}

size_t soma__wire_left(const struct wire_in *in)
{
    return in->bad ? 0 : (size_t)(in->end - in->at);
}

const void *soma__wire_get(struct wire_in *in, uint64_t len)
{
    if (in->bad || len > (size_t)(in->end - in->at)) {
        in->bad = true;
        return NULL;
    }
    const unsigned char *at = in->at;
    in->at += len;
    return at;
}

static uint64_t get_little(struct wire_in *in, unsigned bytes)
{
    const unsigned char *at = soma__wire_get(in, bytes);
    uint64_t word = 0;
    for (unsigned i = 0; at && i < bytes; i++)
        word |= (uint64_t)at[i] << 8 * i;
    return word;
}

uint8_t soma__wire_get8(struct wire_in *in)
{
    return (uint8_t)get_little(in, 1);
}

uint32_t soma__wire_get32(struct wire_in *in)
{
    return (uint32_t)get_little(in, 4);
}

uint64_t soma__wire_get64(struct wire_in *in)
{
    return get_little(in, 8);
}

uint64_t soma__wire_get_varint(struct wire_in *in)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < WIRE_VARINT_MAX; i++) {
        const uint64_t byte = get_little(in, 1);
        if (in->bad)
            return 0;
        number |= (byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            /* The tenth byte has room for one bit; a last byte of 0 could have been left out. */
            if ((i + 1 < WIRE_VARINT_MAX || byte == 1) && (byte > 0 || i == 0))
                return number;
            break;
        }
    }
    in->bad = true;
    return 0;
}

/* ---- Writing ---- */

#define ROOM_FIRST SIZED(256, 16)

void soma__wire_free(struct wire_out *out)
{
    if (out->data)
        soma__mem_free(out->data, out->cap);
    *out = (struct wire_out){.data = NULL};
}

static bool grow(struct wire_out *out, size_t len)
{
    if (len > SIZE_MAX / 2 - out->len)
        return false;
    size_t cap = out->cap ? out->cap : ROOM_FIRST;
    while (cap < out->len + len)
        cap += cap / 2;
    unsigned char *data = soma__mem_grow(out->data, out->cap, out->len, cap);
    if (!data)
        return false;
    out->data = data;
    out->cap = cap;
    return true;
}

void *soma__wire_room(struct wire_out *out, size_t len)
{
    if (!out->failed && len > out->cap - out->len)
        out->failed = !grow(out, len);
    if (out->failed)
        return NULL;
    unsigned char *at = out->data + out->len;
    out->len += len;
    return at;
}

void soma__wire_put(struct wire_out *out, const void *data, size_t len)
{
    if (len == 0)
        return;
    void *at = soma__wire_room(out, len);
    if (at)
        memcpy(at, data, len);
}

static void put_little(struct wire_out *out, uint64_t word, unsigned bytes)
{
    unsigned char *at = soma__wire_room(out, bytes);
    if (at)
        bits_put_little(at, word, bytes);
}

void soma__wire_put8(struct wire_out *out, uint8_t byte)
{
    put_little(out, byte, 1);
}

void soma__wire_put32(struct wire_out *out, uint32_t word)
{
    put_little(out, word, 4);
}

void soma__wire_put64(struct wire_out *out, uint64_t word)
{
    put_little(out, word, 8);
}

void soma__wire_put_varint(struct wire_out *out, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        soma__wire_put8(out, (uint8_t)(number | 0x80));
    soma__wire_put8(out, (uint8_t)number);
}
