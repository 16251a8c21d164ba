/* SPDX-License-Identifier: ISC */
/**
 * strong.h - digests of views that hold against those who choose the entries.
 *
 *     struct soma_u64_options options = {.flags = SOMA_DIGEST_STRONG, .digest_key = {4711, 815}};   // the same for both maps
 *     ...
 *     unsigned char mine[SOMA_DIGEST_STRONG_HASH];
 *     struct soma_digest_strong digest;
 *     if (soma_view_digest_strong(view, &digest) == SOMA_OK && soma_digest_strong_hash(&digest, mine) == SOMA_OK)
 *         send(peer, mine, sizeof mine, 0);                                    // equal there: the same content
 *
 * Views of equal content under one digest key have equal strong digests, whatever the maps' histories, growth and seeds. To find
 * different content with equal digests is not feasible, also for who knows the key, sees all digests and chooses all keys and values.
 * For digests that cost next to nothing but are no match for that, see digest.h; for which to take, docs/digests.md.
 *
 * What is summed: LtHash with 1,024 lanes of 16 bits over BLAKE2b. Of each entry a seed, BLAKE2b-512 keyed with the digest key's 16
 * bytes (zeros without a key) over the key and the value: words as 8 bytes, byte strings each behind its length as such a
 * word; personalised "soma entry words" or "soma entry bytes". From it 32 blocks, BLAKE2b-512 over the seed and the block's
 * number as a word, personalised "soma entry lanes", stand for 1,024 numbers, which are added modulo 2^16. All numbers lowest byte first.
 *
 * Cost: some 5 microseconds an entry and 2 KiB a digest; nothing before one is asked for. Built only where libsodium was found.
 *
 * Source: Bellare, Micciancio: A New Paradigm for Collision-Free Hashing (1997); Lewi, Kim, Maykov, Weis: Securing Update
 * Propagation with Homomorphic Hashing (2019); RFC 7693.
 */
#ifndef SOMA_STRONG_H
#define SOMA_STRONG_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/status.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

#define SOMA_DIGEST_STRONG_LANES 1024
/** Bytes of a strong digest's short form. */
#define SOMA_DIGEST_STRONG_HASH 32

/** A strong digest: of nothing, all is 0. */
struct soma_digest_strong {
    uint16_t lane[SOMA_DIGEST_STRONG_LANES];
    uint64_t count; /**< how many entries */
};

/* ---- Reading ---- */

/**
 * soma_view_digest_strong() - the strong digest of what a view shows.
 * @view: of a map made with SOMA_DIGEST_STRONG.
 * @out:  out on SOMA_OK.
 *
 * Thread: any.  Progress: goes through the view as a cursor does, in short read sections; waits for nothing.
 * Allocates: a cursor, and for byte maps room for the largest entry.
 *
 * Return:
 *   SOMA_OK             *@out is the digest.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST_STRONG.
 *   SOMA_E_INVALID      an argument is NULL.
 *   SOMA_E_NOMEM        no memory.
 */
SOMA_API enum soma_status soma_view_digest_strong(const soma_view *view, struct soma_digest_strong *out);

/** soma_digest_strong_equal() - whether two strong digests are equal. */
SOMA_API bool soma_digest_strong_equal(const struct soma_digest_strong *a, const struct soma_digest_strong *b);

/**
 * soma_digest_strong_combine() - the strong digest of two parts that share no key, under one digest key.
 * @out: out; may be @a or @b.
 *
 * Caveat: what is in 65,536 parts at once adds up to nothing. Only the count tells.
 */
SOMA_API void soma_digest_strong_combine(const struct soma_digest_strong *a, const struct soma_digest_strong *b,
                                         struct soma_digest_strong *out);

/**
 * soma_digest_strong_hash() - a strong digest's short form, as good as the whole for telling whether two are equal.
 * @out: out on SOMA_OK: BLAKE2b-256, personalised "soma digest hash", over the lanes and the count, lowest byte first.
 *
 * Return:
 *   SOMA_OK             @out is it.
 *   SOMA_E_UNSUPPORTED  this build has no strong digests.
 *   SOMA_E_INVALID      an argument is NULL.
 */
SOMA_API enum soma_status soma_digest_strong_hash(const struct soma_digest_strong *digest,
                                                  unsigned char out[SOMA_DIGEST_STRONG_HASH]);

#ifdef __cplusplus
}
#endif

#endif
