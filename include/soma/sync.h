/* SPDX-License-Identifier: ISC */
/**
 * sync.h - make a map equal to one on another machine, over any stream of bytes, by sending what differs.
 *
 *     struct soma_sync_options options = {.role = SOMA_SYNC_TARGET, .initiator = true};   // there: SOMA_SYNC_SOURCE, false
 *     soma_sync *sync;
 *     if (soma_map_sync_open(map, &options, &sync) == SOMA_OK) {
 *         if (soma_sync_run_wait(sync, send_some, receive_some, &socket) != SOMA_OK)
 *             fprintf(stderr, "%s\n", soma_sync_reason(sync));
 *         soma_sync_close(sync);
 *     }
 *
 * Both maps need SOMA_DIGEST and the same seed and digest key (SOMA_DIGEST_KEYLESS: the same seed); neither is sent.
 * The two sides compare digests of ranges of hashes, go on only where they differ, then list fingerprints of entries,
 * then send the entries that differ. docs/spec/mapdiff.md has every byte.
 *
 * A session compares a view of its map, as it was when the session was opened, and changes the map itself. An entry
 * that has changed since is left as it is and counted (`kept`); another session deals with it.
 *
 * The map is dealt with in slices (`slice_entries`). What is received for a slice is kept aside until all of it has
 * come and its digest has been found to be right; then it is put into the map. So bytes that make no sense,
 * SOMA_E_CORRUPT, leave the map as it was after the last whole slice; with one slice, as it was. Memory: what differs
 * in a slice, with keys and values and some 40 bytes each, at most `staged_bytes_max`; and some 100 bytes for each
 * range that differs, of which a side that means harm can make some million. Nothing is allocated by what the other
 * side says that it will send.
 *
 * Thread: one at a time for each session; beside every other use of the map but its free.
 *
 * Caveat: fingerprints find accidents, not attacks. The stream must be one that can be trusted, and so must a source.
 *
 * See also: docs/sync.md; diff.h for two maps in one process.
 */
#ifndef SOMA_SYNC_H
#define SOMA_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/diff.h>
#include <soma/digest.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A session. Opaque; made by soma_*_sync_open(). */
typedef struct soma_sync soma_sync;

/** What becomes of the map. */
enum soma_sync_role {
    SOMA_SYNC_SOURCE = 1, /**< it stays as it is; the other side is SOMA_SYNC_TARGET */
    SOMA_SYNC_TARGET = 2, /**< it becomes equal to the source */
    SOMA_SYNC_BOTH = 3,   /**< so is the other side; both get what either has */
};

/** One key for which the two sides have different values. */
struct soma_conflict {
    /** Of word maps. */
    struct {
        uint64_t key;
        uint64_t mine;
        uint64_t theirs;
        uint64_t merged; /**< out */
    } word;
    /** Of byte maps; borrowed for the call. */
    struct soma_bytes key;
    struct soma_bytes mine;
    struct soma_bytes theirs;
    struct soma_bytes merged; /**< out; must stay until the session's call that asks returns */
};

/**
 * soma_sync_rule_fn - decides what both sides will have, outside of any read section of Soma's; it may use any map.
 *
 * Return: SOMA_EXISTS, what the asked side has · SOMA_REPLACED, what the other has · SOMA_OK, `merged` · an error,
 * which ends the session with just that. Anything else is SOMA_E_INVALID.
 */
typedef enum soma_status (*soma_sync_rule_fn)(struct soma_conflict *conflict, void *ctx);

/** slice_entries when the option is 0, and at most. */
#define SOMA_SYNC_SLICE_MAX (UINT64_C(1) << 20)
/** slice_entries at least. */
#define SOMA_SYNC_SLICE_LEAST UINT64_C(256)
/** window_bytes when the option is 0, and at least. */
#define SOMA_SYNC_WINDOW_DEFAULT (UINT32_C(1) << 20)
#define SOMA_SYNC_WINDOW_LEAST (UINT32_C(1) << 16)
/** staged_bytes_max when the option is 0. */
#define SOMA_SYNC_STAGED_DEFAULT (UINT64_C(1) << 30)

/** Options of soma_*_sync_open(). All-zero is the default but for `role`, and `rule` where it says so. */
struct soma_sync_options {
    size_t struct_size;       /**< sizeof(struct soma_sync_options), or 0 */
    enum soma_sync_role role; /**< not 0 */
    bool initiator;           /**< exactly one of the two sides is; say, who opened the connection */
    bool look_only;           /**< change nothing; `change` is told what would be changed */
    soma_sync_rule_fn rule;   /**< SOMA_SYNC_BOTH: asked at the initiator, where it is needed; else not asked */
    /**
     * Told of each difference before it is put into the map; may be NULL. An error ends the session with just that,
     * anything else but SOMA_OK with SOMA_E_INVALID; what was told before is in the map.
     */
    soma_diff_fn change;
    void *ctx;     /**< handed to `rule` and `change` */
    uint64_t from; /**< where to go on, from soma_sync_token(); of the responder not used */
    /** How many entries a slice has at most, about; the lesser of the two sides' counts. 0 = SOMA_SYNC_SLICE_MAX. */
    uint64_t slice_entries;
    uint32_t window_bytes; /**< of entries, that may be on their way to this side. 0 = SOMA_SYNC_WINDOW_DEFAULT */
    /** Memory for what differs in a slice; more is SOMA_E_LIMIT. 0 = SOMA_SYNC_STAGED_DEFAULT. */
    uint64_t staged_bytes_max;
    uint64_t nonce; /**< 0 = random. Fix it only for reproducible runs */
};

/** What a session has done so far. */
struct soma_sync_result {
    bool equal;                /**< it has come to its end: the two views' maps, with the changes, have equal digests */
    struct soma_digest mine;   /**< of the view, with what was to change in the slices that are done */
    struct soma_digest theirs; /**< of the other side's; known when its hello has come */
    uint64_t inserted;         /**< changes of this map; with look_only, those that were told */
    uint64_t replaced;
    uint64_t removed;
    uint64_t kept;          /**< left as they are, since they have changed after the session was opened */
    uint64_t conflicts;     /**< keys for which `rule` was asked */
    uint64_t ranges;        /**< checks of ranges that were compared here */
    uint64_t ranges_differ; /**< of these, how many differed */
    uint64_t fingerprints;  /**< sent and received */
    uint64_t entries_sent;  /**< and the bytes of their keys and values */
    uint64_t entries_sent_bytes;
    uint64_t entries_received;
    uint64_t entries_received_bytes;
    uint64_t bytes_sent; /**< all bytes */
    uint64_t bytes_received;
    uint64_t round_trips; /**< how often this side has spoken and waited for the answer */
    uint64_t slices;      /**< that are done */
    uint64_t repeated;    /**< passes that had to be repeated, since different ranges had one check */
};

/* ---- Lifecycle ---- */

/**
 * soma_u64_sync_open() - begin a session with a word map; soma_map_sync_open() with a byte map.
 * @map:     not NULL; must outlive the session.
 * @options: not NULL.
 * @out:     the session; the caller's, to be closed with soma_sync_close(). Written on SOMA_OK only.
 *
 * Opens a view (see soma_u64_view_open() for what that waits for), which stays open until the session is closed.
 *
 * Return:
 *   SOMA_OK             *@out is open.
 *   SOMA_E_INVALID      an argument is NULL, an option makes no sense, or a view cannot be opened here.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_NOMEM        no memory; nothing changed.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_u64_sync_open(soma_u64 *map, const struct soma_sync_options *options,
                                                            soma_sync **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_map_sync_open(soma_map *map, const struct soma_sync_options *options,
                                                            soma_sync **out);

/** soma_sync_close() - end a session, wherever it is. NULL is allowed and does nothing. */
SOMA_API void soma_sync_close(soma_sync *sync);

/* ---- Talking ----
 *
 * A session neither sends nor receives: it is fed with what has come, in pieces of any size, and gives what is to go.
 * It never waits. Both calls answer an error again and again once there is one; the map is as it was after the last
 * whole slice, unless the page says otherwise. What is drained after an error tells the other side of it.
 *
 * Errors of both:
 *   SOMA_E_CORRUPT      what the other side says makes no sense, or it says that of this side.
 *   SOMA_E_UNSUPPORTED  the two maps have not the same kind, seed, digest key and version of the protocol, or roles that do not
 *                       fit each other; soma_sync_reason() says which.
 *   SOMA_E_LIMIT        staged_bytes_max; or the map's cap on deferred memory was reached while a slice was put into it.
 *   SOMA_E_NOMEM        no memory.
 *   SOMA_E_IO           the other side ended the session.
 *   SOMA_E_INVALID      an argument is NULL.
 *   other               what `rule` or `change` answered.
 * After SOMA_E_NOMEM or SOMA_E_LIMIT while a slice was being put into the map, a part of it is there: entries that
 * the other side has. A new session finds the rest.
 */

/**
 * soma_sync_feed() - hand over bytes that have come.
 * @data: @len bytes; NULL if that is 0.
 * @used: out, may be NULL: how many of them were the session's; fewer than @len only if it ended.
 *
 * Return: SOMA_OK · SOMA_END, it is over and all is well · an error, as listed for both calls.
 */
SOMA_API enum soma_status soma_sync_feed(soma_sync *sync, const void *data, size_t len, size_t *used);

/**
 * soma_sync_drain() - take bytes that are to be sent.
 * @buf: room for @cap bytes.
 * @len: out: how many there were; 0 if there is nothing to be sent before more has come.
 *
 * Return: SOMA_OK, also with 0 bytes · SOMA_END, it is over, all is well, and nothing is left to be sent · an error,
 * as listed for both calls, when what tells the other side of it has been taken.
 */
SOMA_API enum soma_status soma_sync_drain(soma_sync *sync, void *buf, size_t cap, size_t *len);

/**
 * soma_sync_send_fn - sends all of these bytes, however long it takes.
 * Return: SOMA_OK, or an error, which ends the session with just that. Anything else is SOMA_E_IO.
 */
typedef enum soma_status (*soma_sync_send_fn)(const void *data, size_t len, void *ctx);

/**
 * soma_sync_receive_fn - waits for some bytes, at least one, at most @cap.
 * Return: SOMA_OK, with *@len; or an error, which ends the session with just that. Anything else, say SOMA_END for
 * the end of the stream, is SOMA_E_IO.
 */
typedef enum soma_status (*soma_sync_receive_fn)(void *buf, size_t cap, size_t *len, void *ctx);

/**
 * soma_sync_run_wait() - the whole session, over functions that send and receive.
 *
 * It may receive bytes behind the session's end if the other side goes on talking; those are lost.
 *
 * Return: SOMA_OK, all is well: the result is equal · an error of soma_sync_feed(), or what @send or
 * @receive answered.
 */
SOMA_API enum soma_status soma_sync_run_wait(soma_sync *sync, soma_sync_send_fn send, soma_sync_receive_fn receive,
                                             void *ctx);

/* ---- Observing ---- */

/** soma_sync_outcome() - what has been done so far. @out: not NULL. */
SOMA_API void soma_sync_outcome(const soma_sync *sync, struct soma_sync_result *out);

/** soma_sync_reason() - a short English text for the error that the session has answered; of none, "ok". Never NULL. */
SOMA_API const char *soma_sync_reason(const soma_sync *sync);

/**
 * soma_sync_token() - where another session, of these two maps, may go on: the option `from`. 0: from the beginning.
 *
 * Good for what is between two slices. It need not be believed: both sides compare the digests of all that is before
 * it, and begin at the beginning if they differ. Without it, what is equal costs some bytes of checks and no entries.
 */
SOMA_API uint64_t soma_sync_token(const soma_sync *sync);

#ifdef __cplusplus
}
#endif

#endif
