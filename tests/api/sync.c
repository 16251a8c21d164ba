/* SPDX-License-Identifier: ISC */
/* sync.c - sessions between two maps, call by call: every status, what is told and counted, conflicts, changes that
 * come in between, sessions that only look, slices and tokens, and a stream through the system's sockets.
 * SOMA_E_NOMEM is reached in fault/, and SOMA_E_CORRUPT by every sentence of the specification in unit/. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <soma/soma.h>

#define KEYS UINT64_C(2000)

static soma_u64 *words_new(uint64_t seed, unsigned flags)
{
    const struct soma_u64_options options = {.seed = {seed, seed}, .flags = flags, .digest_key = {1, 2}};
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    return map;
}

static soma_map *strings_new(uint64_t seed)
{
    const struct soma_map_options options = {.seed = {seed, seed}, .flags = SOMA_DIGEST, .digest_key = {1, 2}};
    soma_map *map = NULL;
    cr_assert_eq(soma_map_new(&options, &map), SOMA_OK);
    return map;
}

/* Two maps that differ in a key here, a key there, and a value. */
struct pair {
    soma_u64 *a;
    soma_u64 *b;
};

static struct pair pair_new(void)
{
    const struct pair pair = {words_new(7, SOMA_DIGEST), words_new(7, SOMA_DIGEST)};
    for (uint64_t key = 0; key < KEYS; key++) {
        if (key != 1)
            soma_u64_put(pair.a, key, key, NULL);
        if (key != 2)
            soma_u64_put(pair.b, key, key == 3 ? 33 : key, NULL);
    }
    return pair;
}

static void pair_free(struct pair pair)
{
    soma_u64_free(pair.a);
    soma_u64_free(pair.b);
}

static void must_be_equal(const struct pair *pair)
{
    struct soma_digest a;
    struct soma_digest b;
    cr_assert_eq(soma_u64_digest(pair->a, &a), SOMA_OK);
    cr_assert_eq(soma_u64_digest(pair->b, &b), SOMA_OK);
    cr_assert(soma_digest_equal(&a, &b));
}

static soma_sync *open_sync(soma_u64 *map, const struct soma_sync_options *options)
{
    soma_sync *sync = NULL;
    cr_assert_eq(soma_u64_sync_open(map, options, &sync), SOMA_OK);
    return sync;
}

/* What each side's calls answer in the end; after so many bytes in all, what is said is lost. */
static void talk(soma_sync *a, soma_sync *b, size_t bytes_most, enum soma_status answers[2])
{
    soma_sync *const sides[2] = {a, b};
    unsigned char bytes[1000];
    size_t all = 0;
    for (unsigned turn = 0, quiet = 0; quiet < 2; turn ^= 1) {
        size_t len = 0;
        quiet++;
        while ((answers[turn] = soma_sync_drain(sides[turn], bytes, sizeof bytes, &len)) == SOMA_OK && len > 0) {
            all += len;
            quiet = 0;
            if (all <= bytes_most)
                (void)soma_sync_feed(sides[turn ^ 1], bytes, len, NULL);
        }
    }
}

/* Target and source, the target begins; whatever is not set is so. */
static void run(struct pair *pair, struct soma_sync_options target, struct soma_sync_options source,
                struct soma_sync_result results[2], enum soma_status answers[2])
{
    target.initiator = true;
    if (!target.role)
        target.role = SOMA_SYNC_TARGET;
    if (!source.role)
        source.role = SOMA_SYNC_SOURCE;
    soma_sync *a = open_sync(pair->a, &target);
    soma_sync *b = open_sync(pair->b, &source);
    talk(a, b, SIZE_MAX, answers);
    soma_sync_outcome(a, &results[0]);
    soma_sync_outcome(b, &results[1]);
    soma_sync_close(a);
    soma_sync_close(b);
}

static const struct soma_sync_options usual;

/* ---- One way ---- */

Test(sync, one_way)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    run(&pair, usual, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(answers[1], SOMA_END);
    must_be_equal(&pair);
    cr_assert_eq(soma_u64_get(pair.a, 2, NULL), SOMA_ABSENT);
    cr_assert(results[0].equal && results[1].equal);
    cr_assert_eq(results[0].inserted, 1);
    cr_assert_eq(results[0].replaced, 1);
    cr_assert_eq(results[0].removed, 1);
    cr_assert_eq(results[0].kept, 0);
    cr_assert_eq(results[0].conflicts, 0);
    cr_assert_eq(results[0].entries_received, 2);
    cr_assert_eq(results[0].entries_received_bytes, 32);
    cr_assert_eq(results[1].entries_sent, 2);
    cr_assert_eq(results[1].entries_sent_bytes, 32);
    cr_assert_eq(results[0].bytes_sent, results[1].bytes_received);
    cr_assert_eq(results[0].bytes_received, results[1].bytes_sent);
    cr_assert_eq(results[0].slices, 1);
    cr_assert_eq(results[0].repeated, 0);
    cr_assert_gt(results[0].ranges, 0);
    cr_assert_geq(results[0].ranges, results[0].ranges_differ);
    cr_assert_gt(results[0].fingerprints, 0);
    cr_assert(soma_digest_equal(&results[0].mine, &results[1].mine));
    cr_assert(soma_digest_equal(&results[0].mine, &results[0].theirs));
    run(&pair, usual, usual, results, answers);
    cr_assert_eq(results[0].bytes_sent + results[0].bytes_received, 192, "hellos");
    cr_assert_eq(results[0].round_trips, 1);
    cr_assert_eq(results[1].round_trips, 0);
    pair_free(pair);
}

Test(sync, looks_only)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    struct soma_digest before;
    struct soma_digest after;
    cr_assert_eq(soma_u64_digest(pair.a, &before), SOMA_OK);
    run(&pair, (struct soma_sync_options){.look_only = true}, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(results[0].inserted + results[0].replaced + results[0].removed, 3);
    cr_assert_eq(soma_u64_digest(pair.a, &after), SOMA_OK);
    cr_assert(soma_digest_equal(&before, &after));
    pair_free(pair);
}

/* ---- What is told ---- */

struct told {
    unsigned count;
    enum soma_status answer;
    soma_u64 *changed; /* the map, if somebody changes it meanwhile */
};

static enum soma_status on_change(const struct soma_difference *difference, void *ctx)
{
    struct told *told = ctx;
    const uint64_t key = difference->word.key;
    cr_assert(difference->what == (key == 1 ? SOMA_INSERTED : key == 2 ? SOMA_REMOVED : SOMA_REPLACED));
    cr_assert_eq(difference->word.before, key == 1 ? 0 : key);
    cr_assert_eq(difference->word.after, key == 1 ? 1 : key == 2 ? 0 : 33);
    cr_assert_eq(difference->key.len, 8);
    cr_assert_eq(difference->before.len, key == 1 ? 0 : 8);
    cr_assert_eq(difference->after.len, key == 2 ? 0 : 8);
    told->count++;
    if (told->changed)
        soma_u64_put(told->changed, key, 99, NULL);
    return told->answer;
}

Test(sync, tells_of_changes)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    struct told told = {.answer = SOMA_E_FROZEN};
    const struct soma_sync_options options = {.change = on_change, .ctx = &told};
    run(&pair, options, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_E_FROZEN);
    cr_assert_eq(answers[1], SOMA_E_IO, "the other side is told");
    told.answer = SOMA_END;
    run(&pair, options, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_E_INVALID);
    cr_assert_eq(told.count, 2);
    told.answer = SOMA_OK;
    run(&pair, options, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(told.count, 5);
    must_be_equal(&pair);
    pair_free(pair);
}

Test(sync, keeps_what_has_changed_meanwhile)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    struct told told = {.answer = SOMA_OK, .changed = pair.a};
    uint64_t value;
    run(&pair, (struct soma_sync_options){.change = on_change, .ctx = &told}, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(results[0].kept, 3);
    cr_assert_eq(results[0].inserted + results[0].replaced + results[0].removed, 0);
    for (uint64_t key = 1; key <= 3; key++) {
        cr_assert_eq(soma_u64_get(pair.a, key, &value), SOMA_OK);
        cr_assert_eq(value, 99);
    }
    run(&pair, usual, usual, results, answers);
    must_be_equal(&pair);
    pair_free(pair);
}

/* What is said to be empty is not listed. */
Test(sync, an_empty_source)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    cr_assert_eq(soma_u64_clear(pair.b), SOMA_OK);
    run(&pair, usual, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    must_be_equal(&pair);
    cr_assert_eq(results[0].removed, KEYS - 1);
    cr_assert_eq(results[0].fingerprints + results[1].fingerprints, 0);
    pair_free(pair);
}

/* ---- Both ways ---- */

struct ruling {
    enum soma_status answer;
    uint64_t merged;
    unsigned asked;
};

static enum soma_status rule(struct soma_conflict *conflict, void *ctx)
{
    struct ruling *ruling = ctx;
    cr_assert_eq(conflict->word.key, 3);
    cr_assert_eq(conflict->word.mine, 3);
    cr_assert_eq(conflict->word.theirs, 33);
    cr_assert(conflict->key.len == 8 && conflict->mine.len == 8 && conflict->theirs.len == 8);
    conflict->word.merged = ruling->merged;
    ruling->asked++;
    return ruling->answer;
}

/* `sent`: by who decides. The giver has taken the value over, or has had it: `given`. */
static void must_become(enum soma_status answer, uint64_t merged, uint64_t wanted, uint64_t sent, bool given)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    uint64_t value = 0;
    struct ruling ruling = {.answer = answer, .merged = merged};
    run(&pair, (struct soma_sync_options){.role = SOMA_SYNC_BOTH, .rule = rule, .ctx = &ruling},
        (struct soma_sync_options){.role = SOMA_SYNC_BOTH}, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(answers[1], SOMA_END);
    must_be_equal(&pair);
    cr_assert_eq(soma_u64_get(pair.b, 3, &value), SOMA_OK);
    cr_assert_eq(value, wanted);
    cr_assert_eq(soma_u64_count_approx(pair.a), KEYS);
    cr_assert_eq(ruling.asked, 1);
    cr_assert_eq(results[0].conflicts, 1);
    cr_assert_eq(results[1].conflicts, 0);
    cr_assert_eq(results[0].entries_sent, sent);
    cr_assert_eq(results[1].replaced, given);
    cr_assert_eq(results[0].replaced, wanted != 3);
    pair_free(pair);
}

Test(sync, both_ways)
{
    must_become(SOMA_EXISTS, 0, 3, 2, true);
    must_become(SOMA_REPLACED, 0, 33, 1, false);
    must_become(SOMA_OK, 333, 333, 2, true);
    must_become(SOMA_OK, 33, 33, 2, false);
    must_become(SOMA_OK, 3, 3, 2, true);
}

static void must_end(enum soma_status answer, enum soma_status wanted)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    struct ruling ruling = {.answer = answer};
    run(&pair, (struct soma_sync_options){.role = SOMA_SYNC_BOTH, .rule = rule, .ctx = &ruling},
        (struct soma_sync_options){.role = SOMA_SYNC_BOTH}, results, answers);
    cr_assert_eq(answers[0], wanted);
    cr_assert_eq(answers[1], SOMA_E_IO);
    cr_assert_eq(soma_u64_count_approx(pair.a), KEYS - 1, "nothing changed");
    cr_assert_eq(soma_u64_count_approx(pair.b), KEYS - 1);
    pair_free(pair);
}

Test(sync, a_rule_can_end_it)
{
    for (int status = SOMA_E_UNSUPPORTED; status < 0; status++)
        must_end((enum soma_status)status, (enum soma_status)status);
    must_end(SOMA_END, SOMA_E_INVALID);
    must_end((enum soma_status) - 50, (enum soma_status) - 50);
}

static enum soma_status join(struct soma_conflict *conflict, void *ctx)
{
    char *joined = ctx;
    memcpy(joined, conflict->mine.data, conflict->mine.len);
    memcpy(joined + conflict->mine.len, conflict->theirs.data, conflict->theirs.len);
    conflict->merged = (struct soma_bytes){joined, conflict->mine.len + conflict->theirs.len};
    return SOMA_OK;
}

static enum soma_status join_badly(struct soma_conflict *conflict, void *ctx)
{
    conflict->merged = (struct soma_bytes){ctx, (size_t)SOMA_LEN_MAX + 1};
    return SOMA_OK;
}

static void strings_run(soma_map *a, soma_map *b, soma_sync_rule_fn how, void *ctx, enum soma_status answers[2])
{
    const struct soma_sync_options first = {.role = SOMA_SYNC_BOTH, .initiator = true, .rule = how, .ctx = ctx};
    const struct soma_sync_options second = {.role = SOMA_SYNC_BOTH};
    soma_sync *x = NULL;
    soma_sync *y = NULL;
    cr_assert_eq(soma_map_sync_open(a, &first, &x), SOMA_OK);
    cr_assert_eq(soma_map_sync_open(b, &second, &y), SOMA_OK);
    talk(x, y, SIZE_MAX, answers);
    soma_sync_close(x);
    soma_sync_close(y);
}

Test(sync, strings_are_merged)
{
    soma_map *a = strings_new(3);
    soma_map *b = strings_new(3);
    char room[16];
    size_t len = 0;
    enum soma_status answers[2];
    soma_map_put(a, "key", 3, "left ", 5, NULL);
    soma_map_put(b, "key", 3, "right", 5, NULL);
    strings_run(a, b, join_badly, room, answers);
    cr_assert_eq(answers[0], SOMA_E_INVALID);
    strings_run(a, b, join_badly, NULL, answers);
    cr_assert_eq(answers[0], SOMA_E_INVALID);
    strings_run(a, b, join, room, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(soma_map_get_copy(b, "key", 3, room, sizeof room, &len), SOMA_OK);
    cr_assert(len == 10 && memcmp(room, "left right", 10) == 0);
    soma_map_free(a);
    soma_map_free(b);
}

/* ---- Slices, tokens, limits ---- */

Test(sync, goes_on_from_a_token)
{
    struct pair pair = {words_new(7, SOMA_DIGEST), words_new(7, SOMA_DIGEST)};
    for (uint64_t key = 0; key < KEYS; key++)
        soma_u64_put(pair.b, key, key, NULL);
    struct soma_sync_options target = {.role = SOMA_SYNC_TARGET, .initiator = true, .slice_entries = 256};
    struct soma_sync_options source = {.role = SOMA_SYNC_SOURCE};
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    soma_sync *a = open_sync(pair.a, &target);
    soma_sync *b = open_sync(pair.b, &source);
    cr_assert_eq(soma_sync_token(a), 0);
    talk(a, b, 20000, answers);
    cr_assert_eq(answers[0], SOMA_OK, "it waits");
    const uint64_t token = soma_sync_token(a);
    const uint64_t come = soma_u64_count_approx(pair.a);
    cr_assert_neq(token, 0);
    cr_assert(come > 0 && come < KEYS);
    soma_sync_close(a);
    soma_sync_close(b);
    target.from = token;
    a = open_sync(pair.a, &target);
    cr_assert_eq(soma_sync_token(a), token);
    soma_sync_close(a);
    run(&pair, target, source, results, answers);
    must_be_equal(&pair);
    cr_assert_eq(results[0].inserted, KEYS - come);
    cr_assert_lt(results[0].slices, 8);
    cr_assert_geq(results[0].slices, 1);
    soma_u64_remove(pair.a, 5, NULL);
    soma_u64_remove(pair.b, 6, NULL);
    for (target.from = 0; target.from < UINT64_MAX / 8 * 7; target.from += UINT64_MAX / 8) { /* not to be believed */
        soma_u64_put(pair.a, 1000, target.from, NULL);
        run(&pair, target, source, results, answers);
        must_be_equal(&pair);
    }
    pair_free(pair);
}

Test(sync, more_than_may_be_kept)
{
    struct pair pair = pair_new();
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    soma_u64_clear(pair.a);
    run(&pair, (struct soma_sync_options){.staged_bytes_max = 10000}, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_E_LIMIT);
    cr_assert_eq(answers[1], SOMA_E_IO);
    cr_assert_eq(soma_u64_count_approx(pair.a), 0);
    run(&pair, (struct soma_sync_options){.staged_bytes_max = 100000, .slice_entries = 256}, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    must_be_equal(&pair);
    pair_free(pair);
}

Test(sync, a_large_value_through_a_narrow_window)
{
    soma_map *a = strings_new(3);
    soma_map *b = strings_new(3);
    static unsigned char value[1000000];
    static unsigned char got[sizeof value];
    size_t len = 0;
    enum soma_status answers[2];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (unsigned char)(i * i >> 7);
    soma_map_put(b, "large", 5, value, sizeof value, NULL);
    const struct soma_sync_options target = {
        .role = SOMA_SYNC_TARGET, .initiator = true, .window_bytes = SOMA_SYNC_WINDOW_LEAST};
    const struct soma_sync_options source = {.role = SOMA_SYNC_SOURCE};
    soma_sync *x = NULL;
    soma_sync *y = NULL;
    cr_assert_eq(soma_map_sync_open(a, &target, &x), SOMA_OK);
    cr_assert_eq(soma_map_sync_open(b, &source, &y), SOMA_OK);
    talk(x, y, SIZE_MAX, answers);
    cr_assert_eq(answers[0], SOMA_END);
    cr_assert_eq(soma_map_get_copy(a, "large", 5, got, sizeof got, &len), SOMA_OK);
    cr_assert(len == sizeof value && memcmp(got, value, len) == 0);
    soma_sync_close(x);
    soma_sync_close(y);
    soma_map_free(a);
    soma_map_free(b);
}

/* ---- Sides that do not fit ---- */

static void must_not_fit(soma_sync *a, soma_sync *b, const char *word)
{
    enum soma_status answers[2];
    talk(a, b, SIZE_MAX, answers);
    cr_assert_eq(answers[0], SOMA_E_UNSUPPORTED);
    cr_assert_eq(answers[1], SOMA_E_UNSUPPORTED);
    cr_assert(strstr(soma_sync_reason(a), word) || strstr(soma_sync_reason(b), word));
    soma_sync_close(a);
    soma_sync_close(b);
}

Test(sync, sides_that_do_not_fit)
{
    struct pair pair = pair_new();
    soma_u64 *seeded = words_new(8, SOMA_DIGEST);
    soma_u64 *keyless = words_new(7, SOMA_DIGEST | SOMA_DIGEST_KEYLESS);
    soma_map *strings = strings_new(7);
    struct soma_sync_options first = {.role = SOMA_SYNC_TARGET, .initiator = true};
    struct soma_sync_options second = {.role = SOMA_SYNC_SOURCE};
    must_not_fit(open_sync(pair.a, &first), open_sync(seeded, &second), "seed");
    must_not_fit(open_sync(pair.a, &first), open_sync(keyless, &second), "digest key");
    soma_sync *of_strings = NULL;
    cr_assert_eq(soma_map_sync_open(strings, &second, &of_strings), SOMA_OK);
    must_not_fit(open_sync(pair.a, &first), of_strings, "kind");
    second.role = SOMA_SYNC_TARGET;
    must_not_fit(open_sync(pair.a, &first), open_sync(pair.b, &second), "role");
    second.role = SOMA_SYNC_BOTH;
    must_not_fit(open_sync(pair.a, &first), open_sync(pair.b, &second), "role");
    second.role = SOMA_SYNC_SOURCE;
    second.initiator = true;
    enum soma_status answers[2];
    soma_sync *a = open_sync(pair.a, &first);
    soma_sync *b = open_sync(pair.b, &second);
    talk(a, b, SIZE_MAX, answers);
    cr_assert_eq(answers[0], SOMA_E_CORRUPT);
    cr_assert_eq(answers[1], SOMA_E_CORRUPT);
    soma_sync_close(a);
    soma_sync_close(b);
    soma_u64_free(seeded);
    soma_u64_free(keyless);
    soma_map_free(strings);
    pair_free(pair);
}

Test(sync, keyless_maps)
{
    struct pair pair = {words_new(7, SOMA_DIGEST | SOMA_DIGEST_KEYLESS),
                        words_new(7, SOMA_DIGEST | SOMA_DIGEST_KEYLESS)};
    struct soma_sync_result results[2];
    enum soma_status answers[2];
    soma_u64_put(pair.b, 5, 6, NULL);
    run(&pair, usual, usual, results, answers);
    cr_assert_eq(answers[0], SOMA_END);
    must_be_equal(&pair);
    pair_free(pair);
}

/* ---- Through the system ---- */

static enum soma_status send_all(const void *data, size_t len, void *ctx)
{
    const char *at = data;
    for (ssize_t sent; len > 0; at += sent, len -= (size_t)sent) {
        sent = send(*(const int *)ctx, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return SOMA_E_IO;
    }
    return SOMA_OK;
}

static enum soma_status receive_some(void *buf, size_t cap, size_t *len, void *ctx)
{
    const ssize_t got = recv(*(const int *)ctx, buf, cap, 0);
    *len = got > 0 ? (size_t)got : 0;
    return got > 0 ? SOMA_OK : got == 0 ? SOMA_END : SOMA_E_IO;
}

struct end {
    soma_sync *sync;
    int socket;
    enum soma_status status;
};

static void *run_end(void *arg)
{
    struct end *end = arg;
    end->status = soma_sync_run_wait(end->sync, send_all, receive_some, &end->socket);
    shutdown(end->socket, SHUT_RDWR);
    return NULL;
}

Test(sync, runs_over_sockets)
{
    struct pair pair = {words_new(7, SOMA_DIGEST), words_new(7, SOMA_DIGEST)};
    for (uint64_t key = 0; key < 100 * KEYS; key++)
        soma_u64_put(pair.b, key, key, NULL);
    const struct soma_sync_options target = {.role = SOMA_SYNC_TARGET, .initiator = true};
    const struct soma_sync_options source = {.role = SOMA_SYNC_SOURCE};
    int sockets[2];
    pthread_t thread;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    struct end a = {open_sync(pair.a, &target), sockets[0], SOMA_OK};
    struct end b = {open_sync(pair.b, &source), sockets[1], SOMA_OK};
    cr_assert_eq(pthread_create(&thread, NULL, run_end, &b), 0);
    run_end(&a);
    pthread_join(thread, NULL);
    cr_assert_eq(a.status, SOMA_OK);
    cr_assert_eq(b.status, SOMA_OK);
    must_be_equal(&pair);
    soma_sync_close(a.sync);
    soma_sync_close(b.sync);
    close(sockets[0]);
    close(sockets[1]);
    pair_free(pair);
}

struct script {
    enum soma_status send;
    enum soma_status receive;
    size_t len;
};

static enum soma_status scripted_send(const void *data, size_t len, void *ctx)
{
    (void)data, (void)len;
    return ((const struct script *)ctx)->send;
}

static enum soma_status scripted_receive(void *buf, size_t cap, size_t *len, void *ctx)
{
    const struct script *script = ctx;
    memset(buf, 0, cap);
    *len = script->len;
    return script->receive;
}

static void must_answer(struct script script, enum soma_status wanted)
{
    struct pair pair = pair_new();
    const struct soma_sync_options options = {.role = SOMA_SYNC_TARGET, .initiator = true};
    soma_sync *sync = open_sync(pair.a, &options);
    cr_assert_eq(soma_sync_run_wait(sync, scripted_send, scripted_receive, &script), wanted);
    cr_assert_eq(soma_sync_run_wait(sync, scripted_send, scripted_receive, &script), wanted, "it stays so");
    cr_assert_str_neq(soma_sync_reason(sync), "ok");
    soma_sync_close(sync);
    pair_free(pair);
}

Test(sync, streams_that_fail)
{
    must_answer((struct script){.send = SOMA_E_FROZEN}, SOMA_E_FROZEN);
    must_answer((struct script){.send = SOMA_END}, SOMA_E_IO);
    must_answer((struct script){.receive = SOMA_END}, SOMA_E_IO);
    must_answer((struct script){.receive = SOMA_E_FROZEN}, SOMA_E_FROZEN);
    must_answer((struct script){.len = 0}, SOMA_E_IO);
    must_answer((struct script){.len = SIZE_MAX}, SOMA_E_IO);
    must_answer((struct script){.len = 100}, SOMA_E_CORRUPT);
}

/* ---- Statuses ---- */

Test(sync, bytes_behind_the_end)
{
    struct pair pair = {words_new(7, SOMA_DIGEST), words_new(7, SOMA_DIGEST)};
    const struct soma_sync_options target = {.role = SOMA_SYNC_TARGET, .initiator = true};
    const struct soma_sync_options source = {.role = SOMA_SYNC_SOURCE};
    soma_sync *a = open_sync(pair.a, &target);
    soma_sync *b = open_sync(pair.b, &source);
    unsigned char bytes[200] = {0};
    size_t len = 0;
    size_t used = 0;
    cr_assert_eq(soma_sync_drain(a, bytes, sizeof bytes, &len), SOMA_OK);
    cr_assert_eq(len, 96);
    cr_assert_eq(soma_sync_feed(b, bytes, sizeof bytes, &used), SOMA_END);
    cr_assert_eq(used, 96, "the rest is somebody else's");
    cr_assert_eq(soma_sync_feed(b, bytes, sizeof bytes, &used), SOMA_END);
    cr_assert_eq(used, 0);
    cr_assert_eq(soma_sync_drain(b, bytes, 10, &len), SOMA_OK);
    cr_assert_eq(len, 10);
    cr_assert_eq(soma_sync_token(b), 0);
    soma_sync_close(a);
    soma_sync_close(b);
    pair_free(pair);
}

Test(sync, invalid)
{
    struct pair pair = pair_new();
    soma_map *strings = strings_new(7);
    soma_sync *sync = NULL;
    const struct soma_sync_options good = {.role = SOMA_SYNC_TARGET, .initiator = true};
    cr_assert_eq(soma_u64_sync_open(NULL, &good, &sync), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_sync_open(pair.a, NULL, &sync), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_sync_open(pair.a, &good, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_map_sync_open(NULL, &good, &sync), SOMA_E_INVALID);
    const struct soma_sync_options bad[] = {
        {.role = (enum soma_sync_role)0},
        {.role = (enum soma_sync_role)4},
        {.role = SOMA_SYNC_TARGET, .struct_size = 1},
        {.role = SOMA_SYNC_BOTH, .initiator = true},
        {.role = SOMA_SYNC_TARGET, .slice_entries = SOMA_SYNC_SLICE_LEAST - 1},
        {.role = SOMA_SYNC_TARGET, .slice_entries = SOMA_SYNC_SLICE_MAX + 1},
        {.role = SOMA_SYNC_TARGET, .window_bytes = SOMA_SYNC_WINDOW_LEAST - 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(soma_map_sync_open(strings, &bad[i], &sync), SOMA_E_INVALID);
    cr_assert_null(sync);
    soma_u64 *plain = words_new(7, 0);
    cr_assert_eq(soma_u64_sync_open(plain, &good, &sync), SOMA_E_UNSUPPORTED);
    soma_read_enter();
    cr_assert_eq(soma_u64_sync_open(pair.a, &good, &sync), SOMA_E_INVALID, "it would have to wait");
    soma_read_exit();
    cr_assert_eq(soma_u64_sync_open(pair.a, &good, &sync), SOMA_OK);
    unsigned char byte;
    size_t len;
    struct soma_sync_result result;
    cr_assert_eq(soma_sync_feed(NULL, &byte, 1, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_feed(sync, NULL, 1, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_feed(sync, NULL, 0, NULL), SOMA_OK);
    cr_assert_eq(soma_sync_drain(NULL, &byte, 1, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_drain(sync, NULL, 1, &len), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_drain(sync, &byte, 1, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_run_wait(NULL, send_all, receive_some, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_run_wait(sync, NULL, receive_some, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_sync_run_wait(sync, send_all, NULL, NULL), SOMA_E_INVALID);
    soma_sync_outcome(NULL, &result);
    soma_sync_outcome(sync, NULL);
    cr_assert_eq(soma_sync_token(NULL), 0);
    cr_assert_str_eq(soma_sync_reason(sync), "ok");
    cr_assert_str_neq(soma_sync_reason(NULL), "ok");
    soma_sync_close(NULL);
    soma_sync_close(sync);
    soma_u64_free(plain);
    soma_map_free(strings);
    pair_free(pair);
}
