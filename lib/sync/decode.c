/* SPDX-License-Identifier: ISC */
/* decode.c - see decode.h. */
#include "sync/decode.h"

#include <string.h>

#include <soma/sync.h>

/* ---- Hello ---- */

/* Bad, if it is of no entries and yet not 0. */
static struct soma_digest get_digest(struct wire_in *in)
{
    struct soma_digest digest;
    digest.lane[0] = soma__wire_get64(in);
    digest.lane[1] = soma__wire_get64(in);
    digest.count = soma__wire_get64(in);
    if (digest.count == 0 && (digest.lane[0] | digest.lane[1]) != 0)
        in->bad = true;
    return digest;
}

static bool hello_makes_sense(const struct hello *hello, uint8_t initiator, uint8_t zero)
{
    return (hello->kind == 1 || hello->kind == 2) && hello->role >= SOMA_SYNC_SOURCE && hello->role <= SOMA_SYNC_BOTH &&
           initiator <= 1 && zero == 0 && hello->window >= SOMA_SYNC_WINDOW_LEAST &&
           hello->slice >= SOMA_SYNC_SLICE_LEAST && hello->slice <= SOMA_SYNC_SLICE_MAX &&
           hello->digest.count <= HELLO_COUNT_MAX && hello->before.count <= hello->digest.count &&
           (hello->from > 0 || hello->before.count == 0);
}

enum decoded soma__decode_hello(const void *data, struct hello *out)
{
    struct wire_in in = soma__wire_in(data, HELLO_BYTES);
    const size_t magic_len = sizeof HELLO_MAGIC - 1;
    if (memcmp(soma__wire_get(&in, magic_len), HELLO_MAGIC, magic_len) != 0)
        return CORRUPT;
    *out = (struct hello){.version = soma__wire_get8(&in)};
    if (out->version != HELLO_VERSION)
        return DECODED;
    out->kind = soma__wire_get8(&in);
    out->role = soma__wire_get8(&in);
    const uint8_t initiator = soma__wire_get8(&in);
    const uint8_t zero = soma__wire_get8(&in);
    out->initiator = initiator == 1;
    out->window = soma__wire_get32(&in);
    out->agreement = soma__wire_get64(&in);
    out->nonce = soma__wire_get64(&in);
    out->slice = soma__wire_get64(&in);
    out->from = soma__wire_get64(&in);
    out->digest = get_digest(&in);
    out->before = get_digest(&in);
    return !in.bad && hello_makes_sense(out, initiator, zero) ? DECODED : CORRUPT;
}

/* ---- Frames ---- */

enum decoded soma__decode_varint(struct wire_in *in, uint64_t *out)
{
    const size_t left = soma__wire_left(in);
    size_t len = 0;
    while (len < left && len < WIRE_VARINT_MAX && in->at[len] >= 0x80)
        len++;
    if (len == left && len < WIRE_VARINT_MAX)
        return MORE;
    *out = soma__wire_get_varint(in);
    return in->bad ? CORRUPT : DECODED;
}

enum decoded soma__decode_frame(const void *data, size_t len, struct frame *out)
{
    struct wire_in in = soma__wire_in(data, len);
    uint64_t size = 0;
    if (len == 0)
        return MORE;
    const uint8_t type = soma__wire_get8(&in);
    if (type < FRAME_SLICE || type > FRAME_BYE)
        return CORRUPT;
    const enum decoded head = soma__decode_varint(&in, &size);
    if (head != DECODED)
        return head;
    if (size > FRAME_MAX)
        return CORRUPT;
    if (size > soma__wire_left(&in))
        return MORE;
    out->type = (enum frame_type)type;
    out->payload = soma__wire_in(in.at, (size_t)size);
    out->bytes = len - soma__wire_left(&in) + (size_t)size;
    return DECODED;
}

/* Whether a payload was read to its end. */
static enum decoded whole(const struct wire_in *in)
{
    return !in->bad && soma__wire_left(in) == 0 ? DECODED : CORRUPT;
}

enum decoded soma__decode_slice(struct wire_in payload, struct slice_head *out)
{
    out->slice = soma__wire_get_varint(&payload);
    out->pass = soma__wire_get_varint(&payload);
    out->digest = get_digest(&payload);
    return whole(&payload);
}

enum decoded soma__decode_digest(struct wire_in payload, struct soma_digest *out)
{
    *out = get_digest(&payload);
    return whole(&payload);
}

enum decoded soma__decode_grant(struct wire_in payload, uint64_t *out)
{
    *out = soma__wire_get_varint(&payload);
    return *out > 0 ? whole(&payload) : CORRUPT;
}

enum decoded soma__decode_bye(struct wire_in payload, uint8_t *out)
{
    *out = soma__wire_get8(&payload);
    return whole(&payload);
}

/* ---- Ranges ---- */

enum decoded soma__decode_ranges(const struct frame *frame, struct range_items *out)
{
    *out = (struct range_items){.in = frame->payload, .type = frame->type};
    out->bits = soma__wire_get8(&out->in);
    if (frame->type == FRAME_CHECKS) {
        out->log2 = soma__wire_get8(&out->in);
        if (out->log2 < 1 || out->log2 > CHECKS_LOG2_MAX)
            return CORRUPT;
    }
    return out->bits + out->log2 <= 64 && soma__wire_left(&out->in) > 0 ? DECODED : CORRUPT;
}

/* The item's prefix: each is greater than the one before it, and has no more bits than it may. */
static bool next_prefix(struct range_items *items)
{
    const uint64_t gap = soma__wire_get_varint(&items->in);
    const uint64_t prefix = items->any ? items->prefix + 1 + gap : gap;
    const bool ascends = !items->any || prefix > items->prefix;
    items->any = true;
    items->prefix = prefix;
    return ascends && (items->bits == 64 || prefix >> items->bits == 0);
}

enum decoded soma__decode_range(struct range_items *items)
{
    if (soma__wire_left(&items->in) == 0)
        return MORE;
    if (!next_prefix(items))
        return CORRUPT;
    uint64_t count = 0;
    if (items->type == FRAME_CHECKS)
        count = UINT64_C(1) << items->log2;
    else if (items->type == FRAME_LIST)
        count = soma__wire_get_varint(&items->in);
    if (count > LIST_MAX)
        return CORRUPT;
    items->count = (uint32_t)count;
    items->numbers = soma__wire_get(&items->in, count * sizeof(uint32_t));
    return items->in.bad ? CORRUPT : DECODED;
}

uint32_t soma__decode_number(const struct range_items *items, uint32_t index)
{
    struct wire_in in = soma__wire_in(items->numbers + index * sizeof(uint32_t), sizeof(uint32_t));
    return soma__wire_get32(&in);
}

/* ---- DATA ---- */

static enum decoded decode_words(struct wire_in *in, uint64_t tag, struct record *out, uint64_t *need)
{
    if (tag != 1)
        return CORRUPT;
    if (soma__wire_left(in) < sizeof out->words) {
        *need = sizeof out->words;
        return MORE;
    }
    out->words[0] = soma__wire_get64(in);
    out->words[1] = soma__wire_get64(in);
    return DECODED;
}

static enum decoded decode_bytes(struct wire_in *in, uint64_t tag, struct record *out, uint64_t *need)
{
    uint64_t value_len = 0;
    const uint64_t key_len = tag - 1;
    if (key_len > SOMA_LEN_MAX)
        return CORRUPT;
    const enum decoded length = soma__decode_varint(in, &value_len);
    if (length != DECODED)
        return length;
    if (value_len > SOMA_LEN_MAX)
        return CORRUPT;
    if (key_len + value_len > soma__wire_left(in)) {
        *need = key_len + value_len;
        return MORE;
    }
    out->key = (struct soma_bytes){.data = soma__wire_get(in, key_len), .len = key_len};
    out->value = (struct soma_bytes){.data = soma__wire_get(in, value_len), .len = value_len};
    return DECODED;
}

enum decoded soma__decode_record(struct wire_in *in, bool words, struct record *out, uint64_t *need)
{
    struct wire_in ahead = *in;
    uint64_t tag = 0;
    *need = 0;
    enum decoded decoded = soma__decode_varint(&ahead, &tag);
    if (decoded != DECODED)
        return decoded;
    *out = (struct record){.some = tag > 0};
    if (out->some)
        decoded = words ? decode_words(&ahead, tag, out, need) : decode_bytes(&ahead, tag, out, need);
    if (decoded == DECODED)
        *in = ahead;
    return decoded;
}
