/* SPDX-License-Identifier: ISC */
/* wire.c - numbers and strings as bytes: each comes back, ends are kept to, and no number has two forms. */
#include <criterion/criterion.h>

#include <string.h>

#include "wire/wire.h"

static const uint64_t numbers[] = {
    0, 1, 0x7f, 0x80, 0x3fff, 0x4000, UINT32_MAX, 1u << 31, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

Test(wire, comes_back)
{
    struct wire_out out = {.data = NULL};
    for (size_t i = 0; i < NUMBERS; i++) {
        soma__wire_put_varint(&out, numbers[i]);
        soma__wire_put64(&out, numbers[i]);
        soma__wire_put32(&out, (uint32_t)numbers[i]);
        soma__wire_put8(&out, (uint8_t)numbers[i]);
        soma__wire_put(&out, &numbers[i], i % 9);
    }
    cr_assert(!out.failed);
    struct wire_in in = soma__wire_in(out.data, out.len);
    for (size_t i = 0; i < NUMBERS; i++) {
        cr_assert_eq(soma__wire_get_varint(&in), numbers[i]);
        cr_assert_eq(soma__wire_get64(&in), numbers[i]);
        cr_assert_eq(soma__wire_get32(&in), (uint32_t)numbers[i]);
        cr_assert_eq(soma__wire_get8(&in), (uint8_t)numbers[i]);
        const void *bytes = soma__wire_get(&in, i % 9);
        cr_assert_not_null(bytes);
        cr_assert(memcmp(bytes, &numbers[i], i % 9) == 0);
    }
    cr_assert(!in.bad);
    cr_assert_eq(soma__wire_left(&in), 0);
    soma__wire_free(&out);
}

Test(wire, little_endian)
{
    struct wire_out out = {.data = NULL};
    soma__wire_put32(&out, 0x04030201);
    soma__wire_put64(&out, UINT64_C(0x0807060504030201));
    soma__wire_put_varint(&out, 300);
    static const unsigned char expected[] = {1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0xac, 2};
    cr_assert_eq(out.len, sizeof expected);
    cr_assert(memcmp(out.data, expected, sizeof expected) == 0);
    soma__wire_free(&out);
}

Test(wire, every_end)
{
    static const unsigned char bytes[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (size_t len = 0; len < sizeof bytes; len++) {
        struct wire_in in = soma__wire_in(bytes, len);
        cr_assert_eq(soma__wire_get64(&in), 0);
        cr_assert(in.bad);
        in = soma__wire_in(bytes, len);
        cr_assert_eq(soma__wire_get_varint(&in), 0);
        cr_assert(in.bad);
        in = soma__wire_in(bytes, len);
        cr_assert_null(soma__wire_get(&in, len + 1));
        cr_assert(in.bad);
        cr_assert_null(soma__wire_get(&in, 0), "bad stays bad");
        cr_assert_eq(soma__wire_left(&in), 0);
        in = soma__wire_in(bytes, len);
        cr_assert_null(soma__wire_get(&in, UINT64_MAX));
    }
    struct wire_in none = soma__wire_in(NULL, 0);
    cr_assert_not_null(soma__wire_get(&none, 0));
    cr_assert(!none.bad);
}

Test(wire, one_form_each)
{
    static const struct {
        unsigned char bytes[12];
        size_t len;
    } bad[] = {
        {{0x80, 0x00}, 2},
        {{0xff, 0x80, 0x00}, 3},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00}, 11},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_in in = soma__wire_in(bad[i].bytes, bad[i].len);
        cr_assert_eq(soma__wire_get_varint(&in), 0);
        cr_assert(in.bad);
    }
}

Test(wire, no_memory)
{
    struct wire_out out = {.data = NULL};
    soma__wire_put8(&out, 7);
    cr_assert_null(soma__wire_room(&out, SIZE_MAX / 2));
    cr_assert(out.failed);
    soma__wire_put8(&out, 8);
    cr_assert_eq(out.len, 1, "what comes after a failure is lost");
    soma__wire_free(&out);
}
