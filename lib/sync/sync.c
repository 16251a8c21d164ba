/* SPDX-License-Identifier: ISC */
/* sync.c - sessions: hello, slices and passes; bytes in and out. Where the rest is: sync.h. */
#include "sync/sync.h"

#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/guard.h"
#include "hash/hash.h"
#include "map/map_internal.h"
#include "mem/mem.h"
#include "view/view.h"

/* ---- Frames ---- */

void soma__sync_frame(struct soma_sync *sync, enum frame_type type, const void *payload, size_t len)
{
    soma__wire_put8(&sync->out, (uint8_t)type);
    soma__wire_put_varint(&sync->out, len);
    soma__wire_put(&sync->out, payload, len);
}

void soma__sync_put_digest(struct wire_out *out, const struct soma_digest *digest)
{
    soma__wire_put64(out, digest->lane[0]);
    soma__wire_put64(out, digest->lane[1]);
    soma__wire_put64(out, digest->count);
}

void soma__sync_digest_frame(struct soma_sync *sync, enum frame_type type, const struct soma_digest *digest)
{
    soma__wire_put8(&sync->out, (uint8_t)type);
    soma__wire_put_varint(&sync->out, sizeof *digest);
    soma__sync_put_digest(&sync->out, digest);
}

#define BYE_ENDED 6 /* the program did */

static enum soma_status end_session(struct soma_sync *sync, enum soma_status status, uint8_t why, const char *reason)
{
    if (sync->phase == FAILED)
        return sync->status;
    if (sync->said_hello && !sync->said_bye)
        soma__sync_frame(sync, FRAME_BYE, &why, sizeof why);
    sync->phase = FAILED;
    sync->status = status < 0 ? status : SOMA_E_INVALID;
    sync->reason = reason;
    return sync->status;
}

enum soma_status soma__sync_fail(struct soma_sync *sync, enum soma_status status, const char *reason)
{
    const bool ours = status < 0 && status >= SOMA_E_UNSUPPORTED;
    return end_session(sync, status, ours ? (uint8_t)-status : BYE_ENDED, reason);
}

enum soma_status soma__sync_ended(struct soma_sync *sync, enum soma_status status, const char *reason)
{
    return end_session(sync, status, BYE_ENDED, reason);
}

void soma__sync_drop(struct wire_out *out, size_t *at)
{
    const size_t left = out->len - *at;
    if (*at < left)
        return;
    if (left > 0)
        memcpy(out->data, out->data + *at, left);
    out->len = left;
    *at = 0;
}

/* ---- Slices and passes ---- */

static enum soma_status begin_pass(struct soma_sync *sync)
{
    const struct hello *initiator = sync->mine.initiator ? &sync->mine : &sync->theirs;
    const struct hello *responder = sync->mine.initiator ? &sync->theirs : &sync->mine;
    const struct group all = {
        .prefix = sync->slice, .count = sync->slice_mine.count, .bits = (uint8_t)sync->slice_bits, .what = DIFFERS};
    sync->key[0] = initiator->nonce ^ sync->pass;
    sync->key[1] = responder->nonce;
    sync->said_slice = false;
    sync->heard_slice = false;
    sync->said_close = false;
    sync->heard_close = false;
    sync->turns = 0;
    soma__sync_forget(sync);
    soma__sync_listen(sync);
    if (sync->mine.initiator)
        return SOMA_OK;
    if (!soma__sync_group(&sync->todo, all))
        return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a range");
    return soma__sync_speak(sync);
}

enum soma_status soma__sync_next_pass(struct soma_sync *sync)
{
    if (++sync->pass == PASSES_MAX)
        return soma__sync_fail(sync, SOMA_E_CORRUPT, "the digests do not agree, however often it is tried");
    sync->result.repeated++;
    return begin_pass(sync);
}

static enum soma_status begin_slice(struct soma_sync *sync)
{
    sync->pass = 0;
    sync->slice_mine = soma__sync_range_digest(sync, sync->slice_bits, sync->slice);
    return begin_pass(sync);
}

static enum soma_status finish(struct soma_sync *sync)
{
    soma__sync_forget(sync);
    sync->result.equal = soma_digest_equal(&sync->result.mine, &sync->result.theirs);
    if (!sync->result.equal)
        return soma__sync_fail(sync, SOMA_E_CORRUPT, "the slices are equal, and the maps are not");
    sync->phase = OVER;
    return SOMA_OK;
}

static void replace_part(struct soma_digest *whole, const struct soma_digest *before, const struct soma_digest *after)
{
    const struct soma_digest rest = soma__digest_less(*whole, *before);
    *whole = soma_digest_combine(&rest, after);
}

enum soma_status soma__sync_next_slice(struct soma_sync *sync)
{
    replace_part(&sync->result.mine, &sync->slice_mine, &sync->slice_result);
    replace_part(&sync->result.theirs, &sync->slice_theirs, &sync->slice_result);
    sync->result.slices++;
    sync->slice++;
    return sync->slice >> sync->slice_bits == 0 ? begin_slice(sync) : finish(sync);
}

/* ---- Hello ---- */

static void say_hello(struct soma_sync *sync)
{
    const struct hello *mine = &sync->mine;
    struct wire_out *out = &sync->out;
    soma__wire_put(out, HELLO_MAGIC, sizeof HELLO_MAGIC - 1);
    soma__wire_put8(out, mine->version);
    soma__wire_put8(out, mine->kind);
    soma__wire_put8(out, mine->role);
    soma__wire_put8(out, mine->initiator);
    soma__wire_put8(out, 0);
    soma__wire_put32(out, mine->window);
    soma__wire_put64(out, mine->agreement);
    soma__wire_put64(out, mine->nonce);
    soma__wire_put64(out, mine->slice);
    soma__wire_put64(out, mine->from);
    soma__sync_put_digest(out, &mine->digest);
    soma__sync_put_digest(out, &mine->before);
    sync->said_hello = true;
}

/* What two sides must have in common: the text for what they have not, or NULL. */
static const char *unlike(const struct hello *mine, const struct hello *theirs)
{
    if (theirs->version != mine->version)
        return "the other side speaks another version";
    if (theirs->kind != mine->kind)
        return "the other side has the other kind of map";
    if (theirs->agreement != mine->agreement)
        return "the other side's map has another seed or digest key";
    if (mine->role == SOMA_SYNC_BOTH ? theirs->role != SOMA_SYNC_BOTH : theirs->role + mine->role != SOMA_SYNC_BOTH)
        return "the other side has a role that does not fit: source and target, or both and both";
    return NULL;
}

static unsigned slice_bits_of(const struct hello *mine, const struct hello *theirs)
{
    const uint64_t most = mine->slice < theirs->slice ? mine->slice : theirs->slice;
    const uint64_t count = mine->digest.count > theirs->digest.count ? mine->digest.count : theirs->digest.count;
    unsigned bits = 0;
    while (count >> bits > most)
        bits++;
    return bits;
}

static enum soma_status agree(struct soma_sync *sync)
{
    const struct hello *mine = &sync->mine;
    const struct hello *theirs = &sync->theirs;
    sync->agreed = true;
    sync->result.theirs = theirs->digest;
    if (soma_digest_equal(&mine->digest, &theirs->digest))
        return finish(sync);
    sync->both = mine->role == SOMA_SYNC_BOTH;
    sync->giver = sync->both ? !mine->initiator : mine->role == SOMA_SYNC_SOURCE;
    sync->slice_bits = slice_bits_of(mine, theirs);
    if (sync->slice_bits > 0 && soma_digest_equal(&mine->before, &theirs->before))
        sync->slice = mine->from >> (64 - sync->slice_bits);
    return begin_slice(sync);
}

static enum soma_status hear_hello(struct soma_sync *sync)
{
    struct hello *mine = &sync->mine;
    struct hello *theirs = &sync->theirs;
    if (soma__decode_hello(sync->in.data, theirs) != DECODED)
        return soma__sync_fail(sync, SOMA_E_CORRUPT, "the other side does not speak this protocol");
    const bool same_version = theirs->version == mine->version;
    if (same_version && theirs->initiator == mine->initiator)
        return soma__sync_fail(sync, SOMA_E_CORRUPT, "not exactly one side is the initiator");
    if (same_version && mine->initiator && theirs->from != mine->from)
        return soma__sync_fail(sync, SOMA_E_CORRUPT, "`from` is not the same");
    if (!mine->initiator) {
        mine->from = theirs->from;
        mine->before = soma__sync_before(sync, mine->from);
        say_hello(sync);
    }
    const char *why = unlike(mine, theirs);
    return why ? soma__sync_fail(sync, SOMA_E_UNSUPPORTED, why) : agree(sync);
}

/* ---- Bytes in ---- */

/* What has come as a whole, from the beginning of `in`. */
static void hear_all(struct soma_sync *sync)
{
    struct wire_out *in = &sync->in;
    size_t at = 0;
    if (sync->phase == GREETING && in->len >= HELLO_BYTES) {
        (void)hear_hello(sync);
        at = HELLO_BYTES;
    }
    while (sync->phase == LISTENING || sync->phase == SPEAKING) {
        struct frame frame;
        const enum decoded decoded = soma__decode_frame(in->data + at, in->len - at, &frame);
        if (decoded == MORE)
            break;
        if (decoded == DECODED && soma__sync_hear(sync, &frame) == SOMA_OK)
            at += frame.bytes;
        else
            (void)soma__sync_fail(sync, SOMA_E_CORRUPT, "a frame is not well formed");
    }
    memmove(in->data, in->data + at, in->len - at);
    in->len -= at;
}

/* Takes some of the bytes; how many. */
static size_t feed_some(struct soma_sync *sync, const unsigned char *data, size_t len)
{
    struct wire_out *in = &sync->in;
    if (len > FRAME_MAX)
        len = FRAME_MAX;
    soma__wire_put(in, data, len);
    if (in->failed) {
        (void)soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for what has come");
        return len;
    }
    hear_all(sync);
    if (sync->out.failed)
        (void)soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for what is to be sent");
    return sync->phase == OVER ? len - in->len : len;
}

static size_t feed(struct soma_sync *sync, const unsigned char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && sync->phase != OVER && sync->phase != FAILED)
        at += feed_some(sync, bytes + at, len - at);
    sync->result.bytes_received += at;
    return at;
}

enum soma_status soma_sync_feed(soma_sync *sync, const void *data, size_t len, size_t *used)
{
    CALL();
    TURN(sync, WHAT_SYNC);
    if (!HAS_TURN(sync) || (!data && len > 0)) {
        MISUSE("sync or data is NULL");
        return SOMA_E_INVALID;
    }
    const size_t at = feed(sync, data, len);
    if (used)
        *used = at;
    if (sync->phase == FAILED)
        return sync->status;
    return sync->phase == OVER ? SOMA_END : SOMA_OK;
}

/* ---- Bytes out ---- */

#define OUT_LEAST SIZED(4096, 32) /* so much is made before some is given, if there is so much */

/* Whether the turn cannot go on before the other side has granted more. */
static bool held_back(const struct soma_sync *sync)
{
    return sync->said.data_at < sync->said.data.len && sync->window_sent == sync->theirs.window;
}

static void say_some(struct soma_sync *sync)
{
    struct wire_out *out = &sync->out;
    while (sync->phase == SPEAKING && !out->failed && out->len - sync->out_at < OUT_LEAST && !held_back(sync))
        (void)soma__sync_say(sync);
    if (out->failed || sync->said.payload.failed || sync->said.data.failed)
        (void)soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for what is to be sent");
}

static enum soma_status drain(struct soma_sync *sync, void *buf, size_t cap, size_t *len)
{
    say_some(sync);
    struct wire_out *out = &sync->out;
    const size_t waiting = out->len - sync->out_at;
    const size_t some = waiting < cap ? waiting : cap;
    if (some > 0)
        memcpy(buf, out->data + sync->out_at, some);
    *len = some;
    sync->out_at += some;
    sync->result.bytes_sent += some;
    soma__sync_drop(out, &sync->out_at);
    if (waiting > 0)
        return SOMA_OK;
    if (sync->phase == FAILED)
        return sync->status;
    return sync->phase == OVER ? SOMA_END : SOMA_OK;
}

enum soma_status soma_sync_drain(soma_sync *sync, void *buf, size_t cap, size_t *len)
{
    CALL();
    TURN(sync, WHAT_SYNC);
    if (!HAS_TURN(sync) || !len || (!buf && cap > 0)) {
        MISUSE("sync, buf or len is NULL");
        return SOMA_E_INVALID;
    }
    return drain(sync, buf, cap, len);
}

/* ---- The whole session ---- */

/* A program's answer that is not SOMA_OK. */
static enum soma_status io_failed(struct soma_sync *sync, enum soma_status status)
{
    sync->said_bye = true;
    return soma__sync_fail(sync, status < 0 ? status : SOMA_E_IO, "the stream has ended, or failed");
}

/* Sends all that can be sent now. SOMA_OK: the other side's turn. */
static enum soma_status send_all(struct soma_sync *sync, void *buf, size_t cap, soma_sync_send_fn send, void *ctx)
{
    for (;;) {
        size_t len;
        const enum soma_status status = drain(sync, buf, cap, &len);
        if (status != SOMA_OK || len == 0)
            return status;
        CALLOUT_BEGINS(NULL);
        const enum soma_status sent = send(buf, len, ctx);
        CALLOUT_ENDS("soma_sync_run_wait");
        if (sent != SOMA_OK)
            return io_failed(sync, sent);
    }
}

#define RUN_BYTES ((size_t)1 << 16)

enum soma_status soma_sync_run_wait(soma_sync *sync, soma_sync_send_fn send, soma_sync_receive_fn receive, void *ctx)
{
    CALL();
    TURN(sync, WHAT_SYNC);
    if (!HAS_TURN(sync) || !send || !receive) {
        MISUSE("sync, send or receive is NULL");
        return SOMA_E_INVALID;
    }
    void *buf = soma__mem_alloc(RUN_BYTES);
    if (!buf)
        return soma__sync_fail(sync, SOMA_E_NOMEM, "no memory for a buffer");
    enum soma_status status;
    while ((status = send_all(sync, buf, RUN_BYTES, send, ctx)) == SOMA_OK) {
        size_t len = 0;
        CALLOUT_BEGINS(NULL);
        const enum soma_status received = receive(buf, RUN_BYTES, &len, ctx);
        CALLOUT_ENDS("soma_sync_run_wait");
        if (received == SOMA_OK && len > 0 && len <= RUN_BYTES)
            (void)feed(sync, buf, len); /* an error comes again when all is sent */
        else
            (void)io_failed(sync, received);
    }
    soma__mem_free(buf, RUN_BYTES);
    return status == SOMA_END ? SOMA_OK : status;
}

/* ---- Observing ---- */

void soma_sync_outcome(const soma_sync *sync, struct soma_sync_result *out)
{
    if (!LIVES(sync, WHAT_SYNC) || !out) {
        MISUSE("sync or out is NULL");
        return;
    }
    *out = sync->result;
}

const char *soma_sync_reason(const soma_sync *sync)
{
    return LIVES_OR_SAYS(sync, WHAT_SYNC) ? sync->reason : "sync is NULL";
}

uint64_t soma_sync_token(const soma_sync *sync)
{
    if (!LIVES(sync, WHAT_SYNC) || sync->phase == OVER)
        return 0;
    if (!sync->agreed)
        return sync->mine.initiator ? sync->mine.from : 0;
    return sync->slice_bits > 0 ? sync->slice << (64 - sync->slice_bits) : 0;
}

/* ---- Birth and death ---- */

static bool options_make_sense(const struct soma_sync_options *options)
{
    return (options->struct_size == 0 || options->struct_size == sizeof *options) &&
           options->role >= SOMA_SYNC_SOURCE && options->role <= SOMA_SYNC_BOTH &&
           (options->rule || options->role != SOMA_SYNC_BOTH || !options->initiator) &&
           (options->slice_entries == 0 ||
            (options->slice_entries >= SOMA_SYNC_SLICE_LEAST && options->slice_entries <= SOMA_SYNC_SLICE_MAX)) &&
           (options->window_bytes == 0 || options->window_bytes >= SOMA_SYNC_WINDOW_LEAST);
}

static uint64_t nonce_of(const struct soma_sync_options *options)
{
    uint64_t random[2] = {options->nonce, 0};
    if (options->nonce == 0)
        soma__seed_random(random);
    return random[0];
}

static void greet(struct soma_sync *sync)
{
    const struct soma_sync_options *options = &sync->options;
    sync->mine = (struct hello){.version = HELLO_VERSION,
                                .kind = sync->words ? 1 : 2,
                                .role = (uint8_t)options->role,
                                .initiator = options->initiator,
                                .window = options->window_bytes ? options->window_bytes : SOMA_SYNC_WINDOW_DEFAULT,
                                .agreement = soma__sync_agreement(sync),
                                .nonce = nonce_of(options),
                                .slice = options->slice_entries ? options->slice_entries : SOMA_SYNC_SLICE_MAX,
                                .from = options->initiator ? options->from : 0,
                                .digest = soma__sync_range_digest(sync, 0, 0)};
    sync->result.mine = sync->mine.digest;
    if (!options->initiator)
        return;
    sync->mine.before = soma__sync_before(sync, options->from);
    say_hello(sync);
    sync->result.round_trips = 1;
}

static enum soma_status sync_init(struct soma_sync *sync, struct core *core)
{
    enum soma_status status = core->kind->words ? soma_u64_view_open((soma_u64 *)core, &sync->view)
                                                : soma_map_view_open((soma_map *)core, &sync->view);
    if (status == SOMA_OK)
        status = soma_cursor_open_view(sync->view, &sync->cursor);
    if (status != SOMA_OK)
        return status;
    if (sync->options.staged_bytes_max == 0)
        sync->options.staged_bytes_max = SOMA_SYNC_STAGED_DEFAULT;
    if (soma__wire_room(&sync->room, sizeof(uint64_t)))
        greet(sync);
    return sync->room.failed || sync->out.failed ? SOMA_E_NOMEM : SOMA_OK;
}

static enum soma_status sync_open(struct core *core, const struct soma_sync_options *options, soma_sync **out)
{
    if (!LIVES(core, WHAT_MAP) || !options || !out || !options_make_sense(options)) {
        MISUSE("an argument is NULL, or an option makes no sense");
        return SOMA_E_INVALID;
    }
    if (!core_digests(core))
        return SOMA_E_UNSUPPORTED;
    struct soma_sync *sync = soma__mem_alloc(sizeof *sync);
    if (!sync)
        return SOMA_E_NOMEM;
    memset(sync, 0, sizeof *sync);
    BORN(sync, WHAT_SYNC, core);
    sync->core = core;
    sync->words = core->kind->words;
    sync->options = *options;
    sync->reason = "ok";
    const enum soma_status status = sync_init(sync, core);
    if (status == SOMA_OK)
        *out = sync;
    else
        soma_sync_close(sync);
    return status;
}

enum soma_status soma_u64_sync_open(soma_u64 *map, const struct soma_sync_options *options, soma_sync **out)
{
    CALL();
    return sync_open((struct core *)map, options, out);
}

enum soma_status soma_map_sync_open(soma_map *map, const struct soma_sync_options *options, soma_sync **out)
{
    CALL();
    return sync_open((struct core *)map, options, out);
}

static void free_vector(void *at, size_t cap, size_t size)
{
    if (at)
        soma__mem_free(at, cap * size);
}

void soma_sync_close(soma_sync *sync)
{
    if (!sync || !ENDS(sync, WHAT_SYNC))
        return;
    soma__sync_forget(sync);
    soma_cursor_close(sync->cursor);
    soma_view_close(sync->view);
    soma__wire_free(&sync->in);
    soma__wire_free(&sync->out);
    soma__wire_free(&sync->room);
    soma__wire_free(&sync->heard.data);
    soma__wire_free(&sync->said.data);
    soma__wire_free(&sync->said.payload);
    free_vector(sync->todo.at, sync->todo.cap, sizeof *sync->todo.at);
    free_vector(sync->owed.at, sync->owed.cap, sizeof *sync->owed.at);
    free_vector(sync->due.at, sync->due.cap, sizeof *sync->due.at);
    free_vector(sync->owed_numbers.at, sync->owed_numbers.cap, sizeof *sync->owed_numbers.at);
    free_vector(sync->heard.numbers.at, sync->heard.numbers.cap, sizeof *sync->heard.numbers.at);
    free_vector(sync->said.sorted.at, sync->said.sorted.cap, sizeof *sync->said.sorted.at);
    free_vector(sync->said.known.at, sync->said.known.cap, sizeof *sync->said.known.at);
    BURY(sync, sizeof *sync, soma__mem_free);
}
