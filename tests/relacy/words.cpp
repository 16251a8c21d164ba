// SPDX-License-Identifier: ISC
// words.cpp - every access of the library: atomic words, which Relacy keeps, and plain ones, which may not race.
#include "inside.h"

#include <algorithm>
#include <cstdlib>

namespace inside
{

constexpr size_t CELLS = 1024;
constexpr size_t SITES = 512;
constexpr uint64_t POISON_WORD = UINT64_C(0xd5d5d5d5d5d5d5d5);
constexpr uintptr_t WILD_BELOW = size_t{1} << 16;
constexpr uintptr_t WILD_ABOVE = uintptr_t{1} << 47;

struct site {
    const char *function;
    model_order order;
};

uint64_t contended;
static cell cells[CELLS];
static size_t cell_count;
static site sites[SITES];
static void (*first_value)(rl::atomic_data *data);
static void (*end_sequence)(rl::atomic_data *data, unsigned index, bool releases);
static void (*release_all)(rl::atomic_data *data, unsigned index);

static const char *const order_names[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};

struct atom_event {
    const char *what;
    const void *word;
    model_order order;
    uint64_t found;
    uint64_t left;
    bool old;

    void output(std::ostream &s) const
    {
        s << what << " " << name{word} << " " << order_names[order] << std::hex << ": " << found;
        if (left != found)
            s << " -> " << left;
        s << std::dec << (old ? " [an older value]" : "");
    }
};

struct plain_event {
    const void *word;
    bool store;
    size_t size;

    void output(std::ostream &s) const
    {
        s << (store ? "plain store " : "plain load ") << name{word} << ", " << size << " bytes";
    }
};

// ---- Atomic words ----

template <rl::thread_id_t N> static void make_first_value(rl::atomic_data *data)
{
    auto &impl = *static_cast<rl::atomic_data_impl<N> *>(data);
    for (unsigned i = 0; i < HISTORY; i++)
        impl.history_[i].busy_ = false;
    auto &first = impl.history_[0];
    first.busy_ = true;
    first.seq_cst_ = false;
    first.thread_id_ = 0;
    first.acq_rel_timestamp_ = 0; // before everything: known to all
    for (rl::thread_id_t i = 0; i < N; i++) {
        first.acq_rel_order_[i] = 0;
        first.first_seen_order_[i] = static_cast<stamp>(-1);
    }
    impl.current_index_ = HISTORY; // position 0
}

// A plain store ends the release sequences before it: it carries what it releases itself, if anything.
template <rl::thread_id_t N> static void end_release_sequence(rl::atomic_data *data, unsigned index, bool releases)
{
    auto &stored = static_cast<rl::atomic_data_impl<N> *>(data)->history_[index];
    for (rl::thread_id_t i = 0; i < N; i++)
        stored.acq_rel_order_[i] = releases ? rl::ctx().threadx_->acq_rel_order_[i] : 0;
}

/* What a store releases is all that its thread has done by now. */
template <rl::thread_id_t N> static void release_by_now(rl::atomic_data *data, unsigned index)
{
    auto &stored = static_cast<rl::atomic_data_impl<N> *>(data)->history_[index];
    for (rl::thread_id_t i = 0; i < N; i++)
        stored.acq_rel_order_[i] = std::max(stored.acq_rel_order_[i], rl::ctx().threadx_->acq_rel_order_[i]);
}

void words_reset()
{
    first_value = crew == 2 ? make_first_value<2> : make_first_value<MODEL_THREADS>;
    end_sequence = crew == 2 ? end_release_sequence<2> : end_release_sequence<MODEL_THREADS>;
    release_all = crew == 2 ? release_by_now<2> : release_by_now<MODEL_THREADS>;
    cell_count = 0;
    contended = 0;
}

void words_settle()
{
    for (size_t i = 0; i < cell_count; i++) {
        keep_static(cells[i].word, shadow_of(cells[i].word));
        *cells[i].word = cells[i].value;
        rl::ctx().atomic_dtor(cells[i].data);
        shadow_of(cells[i].word).atomic = nullptr;
    }
    cell_count = 0;
}

static cell &cell_of(shadow &of, uint64_t *word)
{
    if (!of.atomic) {
        if (cell_count == CELLS)
            abort();
        cell &made = cells[cell_count++];
        made.word = word;
        made.value = *word;
        made.history[0] = *word;
        made.data = rl::ctx().atomic_ctor(nullptr);
        first_value(made.data);
        of.atomic = &made;
    }
    return *of.atomic;
}

static void change(cell &atomic, unsigned index, uint64_t to)
{
    atomic.value = to;
    atomic.history[index] = to;
}

static unsigned cell_load(rl::atomic_data *data, model_order order)
{
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQ:
    case ORDER_ACQREL:
        return self.atomic_load_acquire(data);
    case ORDER_SEQ:
        return self.atomic_load_seq_cst(data);
    default:
        return self.atomic_load_relaxed(data);
    }
}

static bool releases(model_order order)
{
    return order == ORDER_REL || order == ORDER_ACQREL || order == ORDER_SEQ;
}

static unsigned cell_store(rl::atomic_data *data, model_order order)
{
    rl::thread_info_base &self = *rl::ctx().threadx_;
    const unsigned index = releases(order) ? self.atomic_store_release(data) : self.atomic_store_relaxed(data);
    end_sequence(data, index, releases(order));
    return index;
}

static unsigned cell_modify(rl::atomic_data *data, model_order order)
{
    bool aba = false;
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQREL:
        return self.atomic_rmw_acq_rel(data, aba);
    case ORDER_SEQ:
        return self.atomic_rmw_seq_cst(data, aba);
    case ORDER_ACQ:
        return self.atomic_rmw_acquire(data, aba);
    case ORDER_REL:
        return self.atomic_rmw_release(data, aba);
    default:
        return self.atomic_rmw_relaxed(data, aba);
    }
}

// A compare-and-swap that fails is a load of the newest value.
static void cell_look(rl::atomic_data *data, model_order order)
{
    rl::thread_info_base &self = *rl::ctx().threadx_;
    switch (order) {
    case ORDER_ACQREL:
    case ORDER_ACQ:
        self.atomic_load_acquire_rmw(data);
        break;
    case ORDER_SEQ:
        self.atomic_load_seq_cst_rmw(data);
        break;
    default:
        self.atomic_load_relaxed_rmw(data);
        break;
    }
}

static void remember_site(const char *function, model_order order)
{
    size_t i = (reinterpret_cast<uintptr_t>(function) / 4 * 8 + order) % SITES;
    while (sites[i].function && (sites[i].function != function || sites[i].order != order))
        i = (i + 1) % SITES;
    sites[i].function = function;
    sites[i].order = order;
}

static bool is_seeded(const char *function, model_order order)
{
    const model_seed *seed = job ? job->seed : nullptr;
    return seed && seed->from == order && strcmp(seed->function, function) == 0;
}

static model_order actual_order(const char *function, model_order order)
{
    if (!alone)
        remember_site(function, order);
    return is_seeded(function, order) ? job->seed->to : order;
}

// Where the atomic access may be interrupted, and what it touches.
static block *arrive(const uint64_t *word, rl::debug_info_param info)
{
    if (!alone)
        point();
    return reach(word, info);
}

static void check_value(uint64_t value, const uint64_t *word, rl::debug_info_param info)
{
    if (value == POISON_WORD)
        fail("a word is read that nobody has written", word, info);
}

// ---- Plain words ----

static void plain_granule(const void *at, bool store, rl::debug_info_param info)
{
    shadow &of = shadow_of(at);
    if (store) {
        keep_static(at, of);
        of.written = true;
    }
    if (alone)
        return;
    for (unsigned thread = 0; thread < crew; thread++) {
        if (!knows(thread, of.stores[thread]) || (store && !knows(thread, of.loads[thread])))
            fail(store ? "data race: plain store" : "data race: plain load", at, info);
    }
    (store ? of.stores : of.loads)[running()] = own_clock();
}

static void plain(const void *at, size_t size, bool store, const void *caller)
{
    if (!ready)
        return;
    plain_caller = caller;
    if (!in_arena(at) && !in_statics(at)) {
        // A thread's stack, or where only a wild pointer leads: a bit of poison, or next to null.
        if (reinterpret_cast<uintptr_t>(at) - WILD_BELOW >= WILD_ABOVE - WILD_BELOW)
            fail("access through a wild pointer", nullptr, rl::debug_info("", "", 0));
        plain_caller = nullptr;
        return;
    }
    const rl::debug_info info("plain access", "", 0);
    block *of = reach(at, info);
    if (!alone) {
        own_clock() += 1;
        rl::context &c = rl::ctx();
        RL_HIST(plain_event){at, store, size} RL_HIST_END();
    }
    const char *byte = static_cast<const char *>(at);
    if (!store && of && !of->zero && !shadow_of(at).written)
        fail("memory is read that nobody has written", at, info);
    for (size_t done = 0; done < size; done += 8)
        plain_granule(byte + done, store, info);
    if (!alone)
        leave_trace(of);
    plain_caller = nullptr;
}

} // namespace inside

using namespace inside;

// ---- Doors: atomic memory ----

#define MODEL_INFO rl::debug_info(function, file, line)

uint64_t model_load(const uint64_t *word, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    if (is_seeded(function, wanted) && job->seed->all_ones)
        return UINT64_MAX;
    block *of = arrive(word, info);
    uint64_t value = *word;
    bool old = false;
    if (!alone) {
        cell *atomic = shadow_of(word).atomic;
        if (atomic) {
            value = atomic->history[cell_load(atomic->data, order)];
            old = value != atomic->value;
        } else {
            own_clock() += 1;
        }
        leave_trace(of);
        rl::context &c = rl::ctx();
        RL_HIST(atom_event){"load", word, order, value, value, old} RL_HIST_END();
    }
    check_value(value, word, info);
    return value;
}

void model_store(uint64_t *word, uint64_t to, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    shade.written = true;
    if (alone) {
        keep_static(word, shade);
        *word = to;
        return;
    }
    cell &atomic = cell_of(shade, word);
    const uint64_t found = atomic.value;
    change(atomic, cell_store(atomic.data, order), to);
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){"store", word, order, found, to, false} RL_HIST_END();
}

static uint64_t modify(uint64_t *word, uint64_t to, bool add, model_order wanted, const char *what, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    shade.written = true;
    if (alone) {
        keep_static(word, shade);
        const uint64_t found = *word;
        *word = add ? found + to : to;
        return found;
    }
    cell &atomic = cell_of(shade, word);
    const uint64_t found = atomic.value;
    change(atomic, cell_modify(atomic.data, order), add ? found + to : to);
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){what, word, order, found, atomic.value, false} RL_HIST_END();
    check_value(found, word, info);
    return found;
}

uint64_t model_add(uint64_t *word, uint64_t delta, model_order order, MODEL_SITE)
{
    return modify(word, delta, true, order, "add", function, file, line);
}

uint64_t model_exchange(uint64_t *word, uint64_t to, model_order order, MODEL_SITE)
{
    return modify(word, to, false, order, "exchange", function, file, line);
}

bool model_cas(uint64_t *word, uint64_t *expected, uint64_t to, model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(word, info);
    shadow &shade = shadow_of(word);
    const uint64_t found = shade.atomic ? shade.atomic->value : *word;
    const bool done = found == *expected;
    check_value(found, word, info);
    *expected = found;
    if (alone) {
        if (done) {
            keep_static(word, shade);
            *word = to;
        }
        return done;
    }
    cell &atomic = cell_of(shade, word);
    if (done)
        change(atomic, cell_modify(atomic.data, order), to);
    else
        cell_look(atomic.data, order);
    contended += !done;
    leave_trace(of);
    rl::context &c = rl::ctx();
    RL_HIST(atom_event){done ? "swap" : "failed swap", word, order, found, done ? to : found, false} RL_HIST_END();
    return done;
}

bool model_cas16(uint64_t *pair, const uint64_t expected[2], const uint64_t to[2], model_order wanted, MODEL_SITE)
{
    const rl::debug_info info = MODEL_INFO;
    const model_order order = actual_order(function, wanted);
    block *of = arrive(pair, info);
    unsigned index[2] = {0, 0};
    bool done = true;
    for (int i = 0; i < 2; i++) {
        const cell *atomic = shadow_of(pair + i).atomic;
        done = done && (atomic ? atomic->value : pair[i]) == expected[i];
    }
    for (int i = 0; i < 2; i++) {
        if (alone) {
            pair[i] = done ? to[i] : pair[i];
            continue;
        }
        cell &atomic = cell_of(shadow_of(pair + i), pair + i);
        const uint64_t found = atomic.value;
        if (done)
            change(atomic, index[i] = cell_modify(atomic.data, order), to[i]);
        else
            cell_look(atomic.data, order);
        leave_trace(of);
        rl::context &c = rl::ctx();
        RL_HIST(atom_event){
            done ? "swap of two" : "failed swap of two", pair + i, order, found, atomic.value, false} RL_HIST_END();
    }
    /* The two stores are one: who acquires either knows both. */
    for (int i = 0; i < 2 && done && !alone && releases(order); i++)
        release_all(shadow_of(pair + i).atomic->data, index[i]);
    return done;
}

// ---- Doors: plain memory, as the compiler calls them ----

#define CALLER __builtin_return_address(0)
#define PLAIN(size)                                                                                                    \
    void __tsan_read##size(void *at)                                                                                   \
    {                                                                                                                  \
        plain(at, size, false, CALLER);                                                                                \
    }                                                                                                                  \
    void __tsan_write##size(void *at)                                                                                  \
    {                                                                                                                  \
        plain(at, size, true, CALLER);                                                                                 \
    }                                                                                                                  \
    void __tsan_unaligned_read##size(void *at)                                                                         \
    {                                                                                                                  \
        plain(at, size, false, CALLER);                                                                                \
    }                                                                                                                  \
    void __tsan_unaligned_write##size(void *at)                                                                        \
    {                                                                                                                  \
        plain(at, size, true, CALLER);                                                                                 \
    }

extern "C" {
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *at, size_t size)
{
    plain(at, size, false, CALLER);
}

void __tsan_write_range(void *at, size_t size)
{
    plain(at, size, true, CALLER);
}

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

void *model_memset(void *memory, int byte, size_t size)
{
    plain(memory, size, true, CALLER);
    return memset(memory, byte, size);
}
}

// ---- Doors: the scenarios and main.c ----

void model_touch(void *word, bool store)
{
    plain(word, sizeof(uint64_t), store, CALLER);
}

bool model_site(unsigned index, const char **function, model_order *order)
{
    for (const site &seen : sites) {
        if (seen.function && index-- == 0) {
            *function = seen.function;
            *order = seen.order;
            return true;
        }
    }
    return false;
}
