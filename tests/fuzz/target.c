/* SPDX-License-Identifier: ISC */
/* target.c - one input, one run: what libFuzzer calls, and what main() in replay.c calls for files and for AFL++.
 *
 * A run that fails is shrunk and told, and the program aborts, which is what fuzzers take for a find. With SOMA_MIX set,
 * the operations are its, "before | thread | thread ... [| ! handler]", and all bytes are the schedule; SOMA_MIX_OPTIONS
 * are words among: bytes collide long pointers faults no-membarrier cap wait.
 */
#include <stdio.h>
#include <stdlib.h>

#include "input.h"
#include "mix.h"
#include "shrink.h"
#include "target.h"

#if COVERED

void __sanitizer_cov_8bit_counters_init(uint8_t *from, uint8_t *to);
void __wrap___sanitizer_cov_8bit_counters_init(uint8_t *from, uint8_t *to);

/* The library's counters stand among its globals, and every thread counts. */
void __wrap___sanitizer_cov_8bit_counters_init(uint8_t *from, uint8_t *to)
{
    machine_ignore(from, to);
    __sanitizer_cov_8bit_counters_init(from, to);
}

#endif

static struct input input;
static struct stage *stage;
static bool given; /* the operations, by SOMA_MIX */
static bool ready;

static void set_up(void)
{
    const char *mix = getenv("SOMA_MIX");
    ready = true;
    stage = stage_new();
    library_find();
    run_catch_crashes();
    if (!mix)
        return;
    given = true;
    if (!mix_parse(mix, getenv("SOMA_MIX_OPTIONS"), &input.flags, input.scripts, &input.threads, &input.signal))
        exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct schedule decided;
    struct outcome outcome;
    if (!ready)
        set_up();
    if (given)
        input_decode_schedule(bytes, size, &input.schedule);
    else
        input_decode(bytes, size, &input);
    stage_set(stage, input.flags, input.scripts, input.threads, &input.signal);
    const struct strategy strategy = {.kind = STRATEGY_REPLAY, .replay = &input.schedule};
    run_once(stage_program(stage), &strategy, target_bug, &decided, &outcome);
    if (outcome.failed) {
        fprintf(stderr, "sched: %s\n", outcome.why);
        schedule_shrink(stage_program(stage), target_bug, &input.schedule, &outcome);
        schedule_tell(stage_program(stage), target_bug, &input.schedule);
        abort();
    }
    return 0;
}
