/* SPDX-License-Identifier: ISC */
/* hear.c - the other side's turn, frame by frame: which ranges differ, and what is to change. */
#include "sync/sync.h"

#include <string.h>

#include "base/attr.h"
#include "hash/hash.h"
#include "map/bytes.h"

static enum soma_status corrupt(struct soma_sync *sync, const char *reason)
{
    return soma__sync_fail(sync, SOMA_E_CORRUPT, reason);
}

static enum soma_status no_memory(struct soma_sync *sync)
{
    return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a range");
}

void soma__sync_listen(struct soma_sync *sync)
{
    sync->phase = LISTENING;
    sync->todo.n = 0;
    sync->owed.n = 0;
    sync->owed_numbers.n = 0;
    sync->heard.part = sync->heard_slice ? PART_CHECKS : PART_SLICE;
    sync->heard.asks = false;
    memset(sync->heard.any, 0, sizeof sync->heard.any);
    sync->heard.compared = 0;
    sync->heard.differed = 0;
    sync->heard.data.len = 0;
    sync->heard.need = 0;
    sync->heard.due = 0;
    sync->heard.reading = READ_RECORDS;
    sync->heard.numbers.n = 0;
}

/* ---- SLICE ---- */

static enum soma_status hear_slice(struct soma_sync *sync, const struct frame *frame)
{
    struct slice_head head;
    if (sync->heard.part != PART_SLICE || soma__decode_slice(frame->payload, &head) != DECODED)
        return corrupt(sync, "SLICE is not due, or not well formed");
    if (head.slice != sync->slice || head.pass != sync->pass)
        return corrupt(sync, "SLICE has another number than is due");
    if (sync->slice_bits == 0 && !soma_digest_equal(&head.digest, &sync->theirs.digest))
        return corrupt(sync, "the only SLICE has another digest than the map");
    if (sync->slice_bits > 0 && sync->pass > 0 && !soma_digest_equal(&head.digest, &sync->slice_theirs))
        return corrupt(sync, "SLICE has another digest than in the pass before");
    sync->heard_slice = true;
    sync->heard.part = PART_CHECKS;
    sync->slice_theirs = head.digest;
    return SOMA_OK;
}

/* ---- CHECKS, ASK, EMPTY, LIST ---- */

static enum soma_status differs(struct soma_sync *sync, enum what what, unsigned bits, uint64_t prefix, uint64_t count)
{
    if (sync->todo.n >= RANGES_MAX)
        return corrupt(sync, "more ranges differ than can be");
    const struct group group = {.prefix = prefix, .count = count, .bits = (uint8_t)bits, .what = (uint8_t)what};
    return soma__sync_group(&sync->todo, group) ? SOMA_OK : no_memory(sync);
}

static enum soma_status hear_checks(struct soma_sync *sync, const struct range_items *item)
{
    const unsigned bits = item->bits + item->log2;
    for (uint32_t i = 0; i < item->count; i++) {
        const uint64_t prefix = (item->prefix << item->log2) + i;
        const struct soma_digest digest = soma__sync_range_digest(sync, bits, prefix);
        sync->heard.compared++;
        sync->result.ranges++;
        if (soma__sync_check(sync, &digest) == soma__decode_number(item, i))
            continue;
        sync->heard.differed++;
        sync->result.ranges_differ++;
        const enum soma_status status = differs(sync, DIFFERS, bits, prefix, digest.count);
        if (status != SOMA_OK)
            return status;
    }
    return SOMA_OK;
}

/* To the target, that all it has in the range is to go. */
static enum soma_status hear_empty(struct soma_sync *sync, const struct range_items *item)
{
    struct walk_entry entry;
    enum soma_status status;
    if (sync->both) {
        const struct group all = {.prefix = item->prefix, .bits = (uint8_t)item->bits, .what = REPLY_ALL};
        if (sync->owed.n >= RANGES_MAX)
            return corrupt(sync, "more ranges are empty than can be");
        return soma__sync_group(&sync->owed, all) ? SOMA_OK : no_memory(sync);
    }
    soma__sync_range(sync, item->bits, item->prefix);
    while ((status = soma__sync_entry(sync, &entry)) == SOMA_OK) {
        status = soma__sync_note(sync, REMOVE, &entry);
        if (status != SOMA_OK)
            return status;
    }
    return status == SOMA_END ? SOMA_OK : status;
}

static enum soma_status hear_list(struct soma_sync *sync, const struct range_items *item)
{
    const struct group list = {.prefix = item->prefix,
                               .count = item->count,
                               .first = sync->owed_numbers.n,
                               .bits = (uint8_t)item->bits,
                               .what = ANSWER};
    if (sync->owed.n >= RANGES_MAX || item->count > NUMBERS_MAX - sync->owed_numbers.n)
        return corrupt(sync, "more fingerprints than can be");
    for (uint32_t i = 0; i < item->count; i++) {
        if (!soma__sync_number(&sync->owed_numbers, soma__decode_number(item, i)))
            return no_memory(sync);
    }
    sync->result.fingerprints += item->count;
    return soma__sync_group(&sync->owed, list) ? SOMA_OK : no_memory(sync);
}

static enum soma_status hear_range(struct soma_sync *sync, const struct range_items *item)
{
    switch (item->type) {
    case FRAME_CHECKS:
        return hear_checks(sync, item);
    case FRAME_ASK:
        return differs(sync, ASKED, item->bits, item->prefix,
                       soma__sync_range_digest(sync, item->bits, item->prefix).count);
    case FRAME_EMPTY:
        return hear_empty(sync, item);
    default:
        return hear_list(sync, item);
    }
}

/* Ranges of a type ascend, within a turn. */
static bool ascends(struct soma_sync *sync, const struct range_items *item)
{
    const uint64_t first = soma__prefix_first(item->bits, item->prefix);
    const bool good = !sync->heard.any[item->type] || first > sync->heard.last[item->type];
    sync->heard.any[item->type] = true;
    sync->heard.last[item->type] = soma__prefix_last(item->bits, item->prefix);
    return good;
}

static enum soma_status hear_ranges(struct soma_sync *sync, const struct frame *frame)
{
    const enum part part = frame->type == FRAME_CHECKS ? PART_CHECKS : PART_RANGES;
    const bool may = frame->type == FRAME_CHECKS || (frame->type == FRAME_LIST) == sync->giver;
    struct range_items items;
    if (!may || sync->heard.part == PART_SLICE || sync->heard.part > part ||
        soma__decode_ranges(frame, &items) != DECODED)
        return corrupt(sync, "ranges are not due, or not well formed");
    sync->heard.part = part;
    sync->heard.asks |= frame->type == FRAME_CHECKS || frame->type == FRAME_LIST;
    enum decoded decoded;
    while ((decoded = soma__decode_range(&items)) == DECODED) {
        if (!ascends(sync, &items))
            return corrupt(sync, "ranges do not ascend");
        const enum soma_status status = hear_range(sync, &items);
        if (status != SOMA_OK)
            return status;
    }
    return decoded == MORE ? SOMA_OK : corrupt(sync, "a range is not well formed");
}

/* ---- DATA: records ---- */

/* An entry of the other side's for a key that is here with another value: the lister decides. */
static enum soma_status decide(struct soma_sync *sync, const struct walk_entry *theirs, struct soma_bytes mine)
{
    struct soma_conflict conflict = {.key = theirs->key, .mine = mine, .theirs = theirs->value};
    if (sync->words) {
        memcpy(&conflict.word.key, theirs->key.data, sizeof conflict.word.key);
        memcpy(&conflict.word.mine, mine.data, sizeof conflict.word.mine);
        memcpy(&conflict.word.theirs, theirs->value.data, sizeof conflict.word.theirs);
    }
    sync->result.conflicts++;
    CALLOUT_BEGINS(NULL);
    const enum soma_status chosen = sync->options.rule(&conflict, sync->options.ctx);
    CALLOUT_ENDS("soma_sync_options.rule");
    if (chosen == SOMA_EXISTS)
        return soma__sync_note(sync, KEEP, theirs);
    if (chosen == SOMA_REPLACED)
        return soma__sync_note(sync, PUT, theirs);
    if (sync->words)
        conflict.merged = (struct soma_bytes){.data = &conflict.word.merged, .len = sizeof conflict.word.merged};
    if (chosen != SOMA_OK || conflict.merged.len > SOMA_LEN_MAX || (!conflict.merged.data && conflict.merged.len > 0))
        return soma__sync_ended(sync, chosen, "ended by the program's rule for conflicts");
    const struct walk_entry merged = {.hash = theirs->hash, .key = theirs->key, .value = conflict.merged};
    const enum soma_status status = soma__sync_note(sync, PUT, &merged);
    if (status == SOMA_OK)
        sync->changes.at[sync->changes.n - 1].send = true;
    return status;
}

static enum soma_status hear_entry(struct soma_sync *sync, const struct group *group, const struct record *record)
{
    const struct walk_entry entry = soma__sync_entry_of(sync, record);
    const struct changes *changes = &sync->changes;
    if (entry.hash < soma__prefix_first(group->bits, group->prefix) ||
        entry.hash > soma__prefix_last(group->bits, group->prefix))
        return corrupt(sync, "an entry is not in its range");
    if (changes->n > sync->heard.change && soma__sync_compare(entry.hash, entry.key, &changes->at[changes->n - 1]) <= 0)
        return corrupt(sync, "entries do not ascend");
    sync->result.entries_received++;
    sync->result.entries_received_bytes += entry.key.len + entry.value.len;
    struct soma_bytes mine;
    if (sync->giver)
        return soma__sync_note(sync, PUT, &entry);
    const enum soma_status found = soma__sync_look_up(sync, entry.key, &mine);
    if (found == SOMA_OK && soma__bytes_same(mine, entry.value))
        return corrupt(sync, "an entry that is here, and was listed");
    if (found == SOMA_OK && sync->both)
        return decide(sync, &entry, mine);
    return found < 0 ? found : soma__sync_note(sync, PUT, &entry);
}

/* ---- DATA: what the giver does not know ---- */

/* The target: these entries go. */
static enum soma_status indices_go(struct soma_sync *sync, const struct group *group)
{
    const struct numbers *numbers = &sync->heard.numbers;
    size_t next = 0;
    soma__sync_range(sync, group->bits, group->prefix);
    for (uint32_t i = 0; next < numbers->n; i++) {
        struct walk_entry entry;
        enum soma_status status = soma__sync_entry(sync, &entry);
        if (status == SOMA_OK && i == numbers->at[next]) {
            status = soma__sync_note(sync, REMOVE, &entry);
            next++;
        }
        if (status != SOMA_OK)
            return status;
    }
    return SOMA_OK;
}

/* The lister, in both directions: these entries are owed, but for those where it has decided for the giver's value.
 * With each index goes the number of the change that was decided, plus 1, or 0. */
static enum soma_status indices_owed(struct soma_sync *sync, const struct group *group)
{
    const struct numbers *numbers = &sync->heard.numbers;
    const struct changes *changes = &sync->changes;
    struct group reply = {
        .prefix = group->prefix, .first = sync->owed_numbers.n, .bits = group->bits, .what = REPLY_SOME};
    size_t change = sync->heard.change;
    size_t next = 0;
    soma__sync_range(sync, group->bits, group->prefix);
    for (uint32_t i = 0; next < numbers->n; i++) {
        struct walk_entry entry;
        const enum soma_status status = soma__sync_entry(sync, &entry);
        if (status != SOMA_OK)
            return status;
        if (i != numbers->at[next])
            continue;
        next++;
        while (change < changes->n && soma__sync_compare(entry.hash, entry.key, &changes->at[change]) > 0)
            change++;
        const bool decided =
            change < changes->n && soma__sync_compare(entry.hash, entry.key, &changes->at[change]) == 0;
        if (decided && changes->at[change].op == PUT && !changes->at[change].send)
            continue; /* for the giver's value: it has it */
        if (!soma__sync_number(&sync->owed_numbers, i) ||
            !soma__sync_number(&sync->owed_numbers, decided ? (uint32_t)change + 1 : 0))
            return no_memory(sync);
        reply.count++;
    }
    return soma__sync_group(&sync->owed, reply) ? SOMA_OK : no_memory(sync);
}

/* ---- DATA: pieces ---- */

static enum soma_status group_heard(struct soma_sync *sync)
{
    const struct group group = sync->due.at[sync->heard.due];
    enum soma_status status = SOMA_OK;
    if (sync->heard.numbers.n > 0)
        status = sync->both ? indices_owed(sync, &group) : indices_go(sync, &group);
    if (status != SOMA_OK)
        return status;
    sync->heard.due++;
    sync->heard.change = sync->changes.n;
    sync->heard.reading = READ_RECORDS;
    sync->heard.numbers.n = 0;
    return SOMA_OK;
}

static enum soma_status hear_record(struct soma_sync *sync, const struct record *record)
{
    if (record->some)
        return hear_entry(sync, &sync->due.at[sync->heard.due], record);
    if (sync->giver)
        return group_heard(sync);
    sync->heard.reading = READ_COUNT;
    return SOMA_OK;
}

static enum soma_status hear_count(struct soma_sync *sync, uint64_t count)
{
    if (count > sync->due.at[sync->heard.due].count)
        return corrupt(sync, "more entries are unknown than were listed");
    sync->heard.reading = READ_INDICES;
    sync->heard.indices = count;
    return count == 0 ? group_heard(sync) : SOMA_OK;
}

static enum soma_status hear_index(struct soma_sync *sync, uint64_t gap)
{
    struct numbers *numbers = &sync->heard.numbers;
    const uint64_t listed = sync->due.at[sync->heard.due].count;
    const uint64_t least = numbers->n > 0 ? numbers->at[numbers->n - 1] + UINT64_C(1) : 0;
    if (gap >= listed - least)
        return corrupt(sync, "an index is not in its list");
    if (!soma__sync_number(numbers, (uint32_t)(least + gap)))
        return no_memory(sync);
    return numbers->n == sync->heard.indices ? group_heard(sync) : SOMA_OK;
}

/* The next thing in what has come of the turn's entries. `status` is what came of it, if it was there. */
static enum decoded take_one(struct soma_sync *sync, struct wire_in *in, enum soma_status *status)
{
    struct record record;
    uint64_t number = 0;
    enum decoded decoded;
    if (sync->heard.reading == READ_RECORDS) {
        decoded = soma__decode_record(in, sync->words, &record, &sync->heard.need);
        if (decoded == DECODED)
            *status = hear_record(sync, &record);
        return decoded;
    }
    decoded = soma__decode_varint(in, &number);
    if (decoded == DECODED)
        *status = sync->heard.reading == READ_COUNT ? hear_count(sync, number) : hear_index(sync, number);
    return decoded;
}

/* What has been read makes room for what comes. */
static void drop_read(struct wire_out *data, size_t read)
{
    if (read > 0 && read < data->len)
        memmove(data->data, data->data + read, data->len - read);
    data->len -= read;
}

static enum soma_status take_all(struct soma_sync *sync)
{
    struct wire_out *data = &sync->heard.data;
    struct wire_in in = soma__wire_in(data->data, data->len);
    enum soma_status status = SOMA_OK;
    enum decoded decoded = DECODED;
    if (data->len < sync->heard.need)
        return SOMA_OK;
    sync->heard.need = 0;
    while (status == SOMA_OK && decoded == DECODED && soma__wire_left(&in) > 0) {
        if (sync->heard.due == sync->due.n)
            return corrupt(sync, "entries for which nobody has asked");
        decoded = take_one(sync, &in, &status);
    }
    if (decoded == CORRUPT)
        return corrupt(sync, "an entry is not well formed");
    drop_read(data, data->len - soma__wire_left(&in));
    if (sync->heard.need > sync->options.staged_bytes_max)
        return soma__sync_fail(sync, SOMA_E_LIMIT, "an entry is larger than staged_bytes_max");
    return status;
}

/* So many bytes more may come, once they are half of the window. */
static enum soma_status grant(struct soma_sync *sync, size_t len)
{
    sync->window_heard += len;
    if (sync->window_heard > sync->mine.window)
        return corrupt(sync, "more entries at once than the window lets through");
    if (sync->window_heard < sync->mine.window / 2)
        return SOMA_OK;
    struct wire_out payload = {.data = NULL};
    soma__wire_put_varint(&payload, sync->window_heard);
    soma__sync_frame(sync, FRAME_GRANT, payload.data, payload.len);
    sync->out.failed |= payload.failed;
    soma__wire_free(&payload);
    sync->window_heard = 0;
    return SOMA_OK;
}

static enum soma_status hear_data(struct soma_sync *sync, const struct frame *frame)
{
    const size_t len = soma__wire_left(&frame->payload);
    if (sync->heard.part == PART_SLICE || len == 0)
        return corrupt(sync, "DATA is not due, or empty");
    if (sync->heard.part < PART_DATA)
        sync->heard.change = sync->changes.n;
    sync->heard.part = PART_DATA;
    soma__wire_put(&sync->heard.data, frame->payload.at, len);
    if (sync->heard.data.failed)
        return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for entries");
    const enum soma_status status = take_all(sync);
    return status == SOMA_OK ? grant(sync, len) : status;
}

/* ---- Ends of turns ---- */

static enum soma_status hear_closed(struct soma_sync *sync, const struct frame *frame)
{
    struct soma_digest digest;
    if (soma__decode_digest(frame->payload, &digest) != DECODED || !soma_digest_equal(&digest, &sync->slice_result))
        return corrupt(sync, "CLOSED is not well formed, or has another digest");
    const enum soma_status status = sync->both ? soma__sync_apply(sync) : SOMA_OK;
    return status == SOMA_OK ? soma__sync_next_slice(sync) : status;
}

/* Whether a turn may end so. */
static bool may_end(const struct soma_sync *sync, enum frame_type type)
{
    if (sync->heard.part == PART_SLICE || sync->heard.due < sync->due.n || sync->heard.data.len > 0)
        return false;
    if (!sync->giver)
        return sync->said_close ? type == FRAME_CLOSED || (type == FRAME_AGAIN && sync->both) : type == FRAME_TURN;
    return sync->heard.asks ? type == FRAME_TURN : type == FRAME_CLOSE || (type == FRAME_AGAIN && !sync->both);
}

static enum soma_status hear_end(struct soma_sync *sync, const struct frame *frame)
{
    if (!may_end(sync, frame->type))
        return corrupt(sync, "a turn ends as it must not");
    if (++sync->turns > TURNS_MAX)
        return corrupt(sync, "more turns than can be");
    if (frame->type == FRAME_CLOSED)
        return hear_closed(sync, frame);
    if (frame->type == FRAME_CLOSE) {
        sync->heard_close = true;
        if (soma__decode_digest(frame->payload, &sync->closing) != DECODED)
            return corrupt(sync, "CLOSE is not well formed");
        if (!sync->both && !soma_digest_equal(&sync->closing, &sync->slice_mine))
            return corrupt(sync, "CLOSE of a target has another digest than its source");
        return soma__sync_speak(sync);
    }
    if (soma__wire_left(&frame->payload) > 0)
        return corrupt(sync, "TURN or AGAIN is not empty");
    return frame->type == FRAME_TURN ? soma__sync_speak(sync) : soma__sync_next_pass(sync);
}

/* ---- All frames ---- */

static enum soma_status hear_grant(struct soma_sync *sync, const struct frame *frame)
{
    uint64_t granted;
    if (soma__decode_grant(frame->payload, &granted) != DECODED || granted > sync->window_sent)
        return corrupt(sync, "GRANT is not well formed, or of more than was sent");
    sync->window_sent -= granted;
    return SOMA_OK;
}

/* What the other side could not do. */
static enum soma_status hear_bye(struct soma_sync *sync, const struct frame *frame)
{
    uint8_t why;
    if (soma__decode_bye(frame->payload, &why) != DECODED)
        return corrupt(sync, "BYE is not well formed");
    sync->said_bye = true;
    switch (why) {
    case -SOMA_E_CORRUPT:
        return corrupt(sync, "the other side could make no sense of what it got");
    case -SOMA_E_UNSUPPORTED:
        return soma__sync_fail(sync, SOMA_E_UNSUPPORTED, "the other side finds that the two do not fit each other");
    case -SOMA_E_NOMEM:
        return soma__sync_fail(sync, SOMA_E_IO, "the other side has no memory");
    case -SOMA_E_LIMIT:
        return soma__sync_fail(sync, SOMA_E_IO, "the other side has come to a limit of its own");
    default:
        return soma__sync_fail(sync, SOMA_E_IO, "the other side has ended the session");
    }
}

enum soma_status soma__sync_hear(struct soma_sync *sync, const struct frame *frame)
{
    if (frame->type == FRAME_GRANT)
        return hear_grant(sync, frame);
    if (frame->type == FRAME_BYE)
        return hear_bye(sync, frame);
    if (sync->phase != LISTENING)
        return corrupt(sync, "the other side speaks out of its turn");
    switch (frame->type) {
    case FRAME_SLICE:
        return hear_slice(sync, frame);
    case FRAME_CHECKS:
    case FRAME_ASK:
    case FRAME_EMPTY:
    case FRAME_LIST:
        return hear_ranges(sync, frame);
    case FRAME_DATA:
        return hear_data(sync, frame);
    default:
        return hear_end(sync, frame);
    }
}
