/* SPDX-License-Identifier: ISC */
/* say.c - the own turn: what is said of the ranges that differ, and the entries that the other side lacks. It is made
 * as it is taken, a frame or two at a time, so that what waits to be sent stays small however much there is to be
 * said. */
#include "sync/sync.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/bits.h"
#include "base/size.h"
#include "hash/hash.h"

/* Ranges are divided into parts of about so many entries. One with some more, as chance has it, is listed all the
 * same instead of being divided once more, which would take a turn; if a list was asked for, with still more. */
#define FEW 16
#define FEW_LISTED 40
#define FEW_ASKED 80
/* Bytes of checks in a turn that are not worth a turn more: where few ranges differ they are divided into so many parts at once. */
#define TURN_BYTES 4096
#define PARTS_LOG2 4
/* If so many ranges were compared and all of them differed, so will their parts. */
#define ALL_DIFFER 1024

/* So much may wait to be sent, or to go into a frame. */
#define WAITING SIZED((size_t)1 << 15, 64)

static enum soma_status no_memory(struct soma_sync *sync)
{
    return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for what is to be sent");
}

/* ---- What is to be said ---- */

static int by_hash(const void *a, const void *b)
{
    const struct group *x = a;
    const struct group *y = b;
    const uint64_t first = soma__prefix_first(x->bits, x->prefix);
    const uint64_t other = soma__prefix_first(y->bits, y->prefix);
    return (first > other) - (first < other);
}

static enum frame_type answer_of(const struct soma_sync *sync, const struct group *group)
{
    const uint64_t few = !sync->giver && group->what == ASKED ? FEW_ASKED : FEW_LISTED;
    if (sync->giver && group->count == 0)
        return FRAME_EMPTY;
    if (group->count <= few || group->bits == 64)
        return sync->giver ? FRAME_ASK : FRAME_LIST;
    return FRAME_CHECKS;
}

/* How many parts each range gets, if `ranges` of them with so many entries are to be divided. */
static unsigned parts_log2(const struct soma_sync *sync, uint64_t ranges, uint64_t entries)
{
    const unsigned wanted = bits_log2_ceil((entries / ranges + FEW - 1) / FEW);
    unsigned most = PARTS_LOG2;
    while (ranges * sizeof(uint32_t) << (most + 1) <= TURN_BYTES)
        most++;
    if (sync->heard.compared >= ALL_DIFFER && sync->heard.differed == sync->heard.compared)
        most = CHECKS_LOG2_MAX;
    const unsigned parts = wanted < most ? wanted : most;
    return parts > 0 ? parts : 1;
}

/* Two of them that share a hash could not be said in order. */
static bool plan(struct soma_sync *sync)
{
    struct groups *todo = &sync->todo;
    uint64_t ranges = 0;
    uint64_t entries = 0;
    if (todo->n > 0)
        qsort(todo->at, todo->n, sizeof *todo->at, by_hash);
    for (size_t i = 0; i < todo->n; i++) {
        struct group *group = &todo->at[i];
        if (i > 0 &&
            soma__prefix_first(group->bits, group->prefix) <= soma__prefix_last(group[-1].bits, group[-1].prefix))
            return false;
        group->what = (uint8_t)answer_of(sync, group);
        if (group->what != FRAME_CHECKS)
            continue;
        ranges++;
        entries += group->count;
    }
    sync->said.log2 = ranges > 0 ? parts_log2(sync, ranges, entries) : 0;
    return true;
}

enum soma_status soma__sync_speak(struct soma_sync *sync)
{
    sync->phase = SPEAKING;
    sync->due.n = 0;
    sync->said.stage = sync->said_slice ? FRAME_CHECKS : FRAME_SLICE;
    sync->said.at = 0;
    sync->said.asks = false;
    sync->said.in_group = false;
    sync->said.data.len = 0;
    sync->said.data_at = 0;
    return plan(sync) ? SOMA_OK : soma__sync_fail(sync, SOMA_E_CORRUPT, "a range is asked about twice");
}

static void next_stage(struct soma_sync *sync)
{
    sync->said.stage++;
    sync->said.at = 0;
}

static enum soma_status say_slice(struct soma_sync *sync)
{
    struct wire_out *payload = &sync->said.payload;
    payload->len = 0;
    soma__wire_put_varint(payload, sync->slice);
    soma__wire_put_varint(payload, sync->pass);
    soma__sync_put_digest(payload, &sync->slice_mine);
    soma__sync_frame(sync, FRAME_SLICE, payload->data, payload->len);
    payload->len = 0;
    sync->said_slice = true;
    next_stage(sync);
    return SOMA_OK;
}

/* ---- Ranges ---- */

static void end_frame(struct soma_sync *sync)
{
    struct wire_out *payload = &sync->said.payload;
    if (payload->len > 0)
        soma__sync_frame(sync, sync->said.stage, payload->data, payload->len);
    payload->len = 0;
}

/* The head of an item that takes `size` bytes behind its prefix; in a new frame, if it is about other ranges or there is no room. */
static void begin_item(struct soma_sync *sync, const struct group *group, unsigned log2, size_t size)
{
    struct wire_out *payload = &sync->said.payload;
    if (payload->len + WIRE_VARINT_MAX + size > FRAME_MAX || sync->said.frame_bits != group->bits ||
        sync->said.frame_log2 != log2)
        end_frame(sync);
    const bool first = payload->len == 0;
    if (first) {
        soma__wire_put8(payload, group->bits);
        if (log2 > 0)
            soma__wire_put8(payload, (uint8_t)log2);
    }
    soma__wire_put_varint(payload, first ? group->prefix : group->prefix - sync->said.frame_prefix - 1);
    sync->said.frame_bits = group->bits;
    sync->said.frame_log2 = log2;
    sync->said.frame_prefix = group->prefix;
}

static enum soma_status say_checks(struct soma_sync *sync, const struct group *group)
{
    const unsigned left = 64 - group->bits;
    const unsigned log2 = sync->said.log2 < left ? sync->said.log2 : left;
    begin_item(sync, group, log2, sizeof(uint32_t) << log2);
    for (uint64_t i = 0; i < UINT64_C(1) << log2; i++) {
        const struct soma_digest digest =
            soma__sync_range_digest(sync, group->bits + log2, (group->prefix << log2) + i);
        soma__wire_put32(&sync->said.payload, soma__sync_check(sync, &digest));
    }
    sync->said.asks = true;
    return SOMA_OK;
}

static enum soma_status say_list(struct soma_sync *sync, const struct group *group)
{
    struct walk_entry entry;
    enum soma_status status;
    const struct group due = {.prefix = group->prefix, .count = group->count, .bits = group->bits, .what = ANSWER};
    if (group->count > LIST_MAX)
        return soma__sync_fail(sync, SOMA_E_LIMIT, "too many entries have one hash");
    begin_item(sync, group, 0, WIRE_VARINT_MAX + group->count * sizeof(uint32_t));
    soma__wire_put_varint(&sync->said.payload, group->count);
    soma__sync_range(sync, group->bits, group->prefix);
    while ((status = soma__sync_entry(sync, &entry)) == SOMA_OK)
        soma__wire_put32(&sync->said.payload, soma__sync_fingerprint(sync, &entry));
    sync->said.asks = true;
    sync->result.fingerprints += group->count;
    if (status == SOMA_END)
        status = soma__sync_group(&sync->due, due) ? SOMA_OK : no_memory(sync);
    return status;
}

static enum soma_status say_empty(struct soma_sync *sync, const struct group *group)
{
    const struct group due = {.prefix = group->prefix, .bits = group->bits, .what = REPLY_ALL};
    begin_item(sync, group, 0, 0);
    return !sync->both || soma__sync_group(&sync->due, due) ? SOMA_OK : no_memory(sync);
}

static enum soma_status say_range(struct soma_sync *sync, const struct group *group)
{
    switch (group->what) {
    case FRAME_CHECKS:
        return say_checks(sync, group);
    case FRAME_LIST:
        return say_list(sync, group);
    case FRAME_EMPTY:
        return say_empty(sync, group);
    default:
        begin_item(sync, group, 0, 0);
        return SOMA_OK;
    }
}

/* The ranges of todo about which this stage is. */
static enum soma_status say_ranges(struct soma_sync *sync)
{
    while (sync->said.at < sync->todo.n) {
        const struct group *group = &sync->todo.at[sync->said.at];
        if (group->what == sync->said.stage) {
            if (sync->out.len - sync->out_at >= WAITING)
                return SOMA_OK;
            const enum soma_status status = say_range(sync, group);
            if (status != SOMA_OK)
                return status;
        }
        sync->said.at++;
    }
    end_frame(sync);
    next_stage(sync);
    return SOMA_OK;
}

/* ---- Entries ---- */

static void put_bytes(struct wire_out *out, bool words, struct soma_bytes bytes)
{
    if (!words) {
        soma__wire_put(out, bytes.data, bytes.len);
        return;
    }
    uint64_t word;
    memcpy(&word, bytes.data, sizeof word);
    soma__wire_put64(out, word);
}

static void put_record(struct soma_sync *sync, struct soma_bytes key, struct soma_bytes value)
{
    struct wire_out *data = &sync->said.data;
    soma__wire_put_varint(data, sync->words ? 1 : key.len + 1);
    if (!sync->words)
        soma__wire_put_varint(data, value.len);
    put_bytes(data, sync->words, key);
    put_bytes(data, sync->words, value);
    sync->result.entries_sent++;
    sync->result.entries_sent_bytes += key.len + value.len;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum soma_status begin_group(struct soma_sync *sync, const struct group *group)
{
    struct pairs *sorted = &sync->said.sorted;
    sorted->n = 0;
    sync->said.known.n = 0;
    for (uint32_t i = 0; group->what == ANSWER && i < group->count; i++) {
        if (!soma__sync_room(&sorted->at, sorted->n, &sorted->cap, sizeof *sorted->at) ||
            !soma__sync_number(&sync->said.known, 0))
            return no_memory(sync);
        sorted->at[sorted->n++] = (uint64_t)sync->owed_numbers.at[group->first + i] << 32 | i;
    }
    if (sorted->n > 0)
        qsort(sorted->at, sorted->n, sizeof *sorted->at, by_number);
    soma__sync_range(sync, group->bits, group->prefix);
    sync->said.in_group = true;
    sync->said.index = 0;
    sync->said.number = group->first;
    return SOMA_OK;
}

/* Whether a fingerprint is in the group's list; it is known here then. */
static bool in_list(struct soma_sync *sync, uint32_t fingerprint)
{
    const struct pairs *sorted = &sync->said.sorted;
    size_t low = 0;
    size_t high = sorted->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted->at[middle] >> 32 < fingerprint)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = false;
    for (; low < sorted->n && sorted->at[low] >> 32 == fingerprint; low++) {
        sync->said.known.at[sorted->at[low] & UINT32_MAX] = 1;
        found = true;
    }
    return found;
}

/* An entry of a REPLY_SOME: this one's index is wanted. It may have been decided for a value that is made of both. */
static void put_wanted(struct soma_sync *sync, const struct walk_entry *entry)
{
    const uint32_t decided = sync->owed_numbers.at[sync->said.number + 1];
    const struct change *change = decided > 0 ? &sync->changes.at[decided - 1] : NULL;
    put_record(sync, entry->key, change && change->op == PUT ? soma__sync_value(change) : entry->value);
    sync->said.number += 2;
}

static void put_entry(struct soma_sync *sync, const struct group *group, const struct walk_entry *entry)
{
    const uint64_t index = sync->said.index++;
    const size_t end = group->first + 2 * group->count;
    if (group->what == REPLY_SOME) {
        if (sync->said.number < end && sync->owed_numbers.at[sync->said.number] == index)
            put_wanted(sync, entry);
    } else if (group->what == REPLY_ALL || !in_list(sync, soma__sync_fingerprint(sync, entry))) {
        put_record(sync, entry->key, entry->value);
    }
}

/* Behind the records; and what this side does not know. */
static enum soma_status end_group(struct soma_sync *sync, const struct group *group)
{
    struct wire_out *data = &sync->said.data;
    struct group due = {.prefix = group->prefix, .bits = group->bits, .what = REPLY_SOME};
    sync->said.in_group = false;
    sync->said.at++;
    soma__wire_put_varint(data, 0);
    if (group->what != ANSWER)
        return SOMA_OK;
    for (uint64_t i = 0; i < group->count; i++)
        due.count += !sync->said.known.at[i];
    soma__wire_put_varint(data, due.count);
    uint64_t next = 0;
    for (uint64_t i = 0; i < group->count; i++) {
        if (sync->said.known.at[i])
            continue;
        soma__wire_put_varint(data, i - next);
        next = i + 1;
    }
    if (!sync->both || due.count == 0)
        return SOMA_OK;
    return soma__sync_group(&sync->due, due) ? SOMA_OK : no_memory(sync);
}

/* Entries up to WAITING bytes, or to the end of the turn's. */
static enum soma_status fill_data(struct soma_sync *sync)
{
    while (sync->said.at < sync->owed.n && sync->said.data.len - sync->said.data_at < WAITING) {
        struct walk_entry entry;
        const struct group *group = &sync->owed.at[sync->said.at];
        enum soma_status status = SOMA_OK;
        if (!sync->said.in_group)
            status = begin_group(sync, group);
        if (status == SOMA_OK)
            status = soma__sync_entry(sync, &entry);
        if (status == SOMA_OK)
            put_entry(sync, group, &entry);
        else if (status == SOMA_END)
            status = end_group(sync, group);
        if (status != SOMA_OK)
            return status;
    }
    return sync->said.data.failed ? no_memory(sync) : SOMA_OK;
}

/* As many frames as the window lets through. */
static void cut_data(struct soma_sync *sync)
{
    struct wire_out *data = &sync->said.data;
    while (sync->said.data_at < data->len && sync->out.len - sync->out_at < WAITING) {
        const uint64_t window = sync->theirs.window - sync->window_sent;
        size_t len = data->len - sync->said.data_at;
        if (len > FRAME_MAX)
            len = FRAME_MAX;
        if (len > window)
            len = (size_t)window;
        if (len == 0)
            return;
        soma__sync_frame(sync, FRAME_DATA, data->data + sync->said.data_at, len);
        sync->said.data_at += len;
        sync->window_sent += len;
    }
    soma__sync_drop(data, &sync->said.data_at);
}

static enum soma_status say_data(struct soma_sync *sync)
{
    const enum soma_status status = fill_data(sync);
    if (status != SOMA_OK)
        return status;
    cut_data(sync);
    if (sync->said.at == sync->owed.n && sync->said.data.len == 0)
        next_stage(sync);
    return SOMA_OK;
}

/* ---- Ends of turns ---- */

static enum soma_status say_turn(struct soma_sync *sync)
{
    soma__sync_frame(sync, FRAME_TURN, NULL, 0);
    sync->result.round_trips++;
    soma__sync_listen(sync);
    return SOMA_OK;
}

static enum soma_status say_again(struct soma_sync *sync)
{
    if (sync->pass + 1 < PASSES_MAX)
        soma__sync_frame(sync, FRAME_AGAIN, NULL, 0);
    sync->result.round_trips += sync->mine.initiator;
    return soma__sync_next_pass(sync);
}

static enum soma_status say_close(struct soma_sync *sync)
{
    enum soma_status status = soma__sync_settle(sync);
    if (status != SOMA_OK)
        return status;
    if (!sync->both && !soma_digest_equal(&sync->slice_result, &sync->slice_theirs))
        return say_again(sync);
    if (!sync->both)
        status = soma__sync_apply(sync);
    if (status != SOMA_OK)
        return status;
    soma__sync_digest_frame(sync, FRAME_CLOSE, &sync->slice_result);
    sync->said_close = true;
    sync->result.round_trips++;
    soma__sync_listen(sync);
    return SOMA_OK;
}

static enum soma_status say_closed(struct soma_sync *sync)
{
    enum soma_status status = soma__sync_settle(sync);
    if (status != SOMA_OK)
        return status;
    if (!soma_digest_equal(&sync->slice_result, &sync->closing))
        return say_again(sync);
    status = soma__sync_apply(sync);
    if (status != SOMA_OK)
        return status;
    soma__sync_digest_frame(sync, FRAME_CLOSED, &sync->slice_result);
    status = soma__sync_next_slice(sync);
    sync->result.round_trips += sync->phase == LISTENING;
    return status;
}

static enum soma_status say_end(struct soma_sync *sync)
{
    if (sync->giver)
        return sync->heard_close ? say_closed(sync) : say_turn(sync);
    return sync->said.asks ? say_turn(sync) : say_close(sync);
}

enum soma_status soma__sync_say(struct soma_sync *sync)
{
    switch (sync->said.stage) {
    case FRAME_SLICE:
        return say_slice(sync);
    case FRAME_DATA:
        return say_data(sync);
    case FRAME_TURN:
        return say_end(sync);
    default:
        return say_ranges(sync);
    }
}
