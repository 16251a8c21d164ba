/* SPDX-License-Identifier: ISC */
/* leaks.c - Criterion leaks a copy of its options; with that out of the way, what is left is ours. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:criterion_handle_args\n";
}
