/* SPDX-License-Identifier: ISC */
/**
 * digest.h - one number for all that a map holds, kept as it goes.
 *
 *     struct soma_u64_options options = {.flags = SOMA_DIGEST, .digest_key = {4711, 815}};   // the same for both maps
 *     ...
 *     struct soma_digest a, b;
 *     if (soma_u64_digest(here, &a) == SOMA_OK && soma_u64_digest(there, &b) == SOMA_OK && soma_digest_equal(&a, &b))
 *         puts("the same, as far as chance goes");
 *
 * A map made with SOMA_DIGEST adds each entry's digest to sums as it comes and takes it off as it goes. So maps of equal content and
 * equal digest key have equal digests, whatever their history, growth and threads, and whatever their hashes' seeds.
 * Different content gives different digests but for a chance of about one in 2^64.
 *
 * What is summed: of each entry FNV-1a 64 over the key and the value, words as 8 bytes, the lowest first; byte strings each behind
 * their length as such a word. Both lanes are that number mixed with a half of the digest key, summed modulo 2^64.
 *
 * Caveat: a digest finds accidents, not attacks. Who may choose keys or values can make different maps with one digest, whatever the
 * digest key: two values with one FNV-1a are found in microseconds (tests/api/forgery.c). The key, random and secret unless one is
 * given, keeps those who only pick among entries from doing so; who sees the digest of one known entry can compute it.
 * Against adversaries there is strong.h.
 *
 * See also: view.h for digests of views; docs/digests.md.
 */
#ifndef SOMA_DIGEST_H
#define SOMA_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A digest: of nothing, all is 0. */
struct soma_digest {
    uint64_t lane[2];
    uint64_t count; /**< how many entries */
};

/** What FNV-1a 64 starts from. */
#define SOMA_FNV1A64_BASIS UINT64_C(0xcbf29ce484222325)

/**
 * soma_fnv1a64() - FNV-1a of 64 bits over some bytes.
 * @data:  @len bytes; NULL if that is 0.
 * @state: SOMA_FNV1A64_BASIS, or what this call gave for the bytes before.
 *
 * Source: Fowler, Noll, Vo; draft-eastlake-fnv. Its published vectors hold.
 */
SOMA_API uint64_t soma_fnv1a64(const void *data, size_t len, uint64_t state);

/**
 * soma_u64_digest(), soma_map_digest() - the digest of a map.
 * @out: out on SOMA_OK. Exact when no update is in flight; beside updates, parts of some may be missing.
 *
 * Thread: any.  Progress: wait-free: a few additions, whatever the size.
 *
 * Return:
 *   SOMA_OK             *@out is the digest.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_INVALID      an argument is NULL.
 */
SOMA_API enum soma_status soma_u64_digest(const soma_u64 *map, struct soma_digest *out);
SOMA_API enum soma_status soma_map_digest(const soma_map *map, struct soma_digest *out);

/**
 * soma_u64_change_token(), soma_map_change_token() - a token for "from now on", to be asked with soma_u64_changed_since().
 * @map:   made with SOMA_DIGEST.
 * @token: out on SOMA_OK; good for this map as long as it lives.
 *
 * Thread: any.  Progress: wait-free but for taking a share in looking for a grace period, after the table has grown.
 * Allocates: marks, 1 byte an entry, with the first call and when the table has grown much. A token that was taken before
 * a table grew so much that its marks were replaced answers "changed" from then on.
 *
 * Return:
 *   SOMA_OK             *@token is the token.
 *   SOMA_E_NOMEM        no memory for marks.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_INVALID      an argument is NULL.
 */
SOMA_API enum soma_status soma_u64_change_token(soma_u64 *map, uint64_t *token);
SOMA_API enum soma_status soma_map_change_token(soma_map *map, uint64_t *token);

/**
 * soma_u64_changed_since(), soma_map_changed_since() - whether anything was put or removed since a token was taken.
 * @bits, @prefix: in which range of hashes, as for soma_view_range_digest(); 0, 0 for the whole map.
 * @changed:       out on SOMA_OK. false: no update of the range that took effect after the token was taken has returned. true:
 *                 perhaps; a range is asked about together with its neighbours in the same some ten entries, and an
 *                 update that was under way when the token was taken may count.
 *
 * So an unchanged map, or part of a map, can be passed over. What changed and changed back has changed.
 *
 * Thread: any.  Progress: wait-free; a few reads, whatever the size of the map and of the range.
 *
 * Return:
 *   SOMA_OK             *@changed says it.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_INVALID      @map or @changed is NULL, @bits is over 64, or @prefix has more bits.
 */
SOMA_API enum soma_status soma_u64_changed_since(const soma_u64 *map, uint64_t token, unsigned bits, uint64_t prefix,
                                                 bool *changed);
SOMA_API enum soma_status soma_map_changed_since(const soma_map *map, uint64_t token, unsigned bits, uint64_t prefix,
                                                 bool *changed);

/** soma_digest_equal() - whether two digests are equal. */
SOMA_API bool soma_digest_equal(const struct soma_digest *a, const struct soma_digest *b);

/** soma_digest_combine() - the digest of two parts that share no key, under one digest key. */
SOMA_API struct soma_digest soma_digest_combine(const struct soma_digest *a, const struct soma_digest *b);

#ifdef __cplusplus
}
#endif

#endif
