/* SPDX-License-Identifier: ISC */
/* loan.h - debug builds lend copies of what is borrowed in a read section, and take them back when it ends: their pages can
 * then not be read. Who does all the same is told so, and may go on, with the old bytes. Under the address sanitizer
 * the copies are freed instead, and it speaks. */
#ifndef SOMA_BASE_LOAN_H
#define SOMA_BASE_LOAN_H

#include "base/check.h"

#if HAVE_GUARD

/* The same bytes, for as long as the thread's outermost section lasts; `by` is the call that lends them. Where there is no
 * room for a copy: the bytes themselves. */
const void *soma__loan(const void *bytes, size_t len, const char *by);

/* The thread's outermost section ends here. */
void soma__loans_end(const void *entered, const void *left);

/* A copy that another takes the place of, as with cursors: from the last call to the next. */
struct soma__loan_one {
    uint64_t chunk; /* plus 1; 0: none */
};

const void *soma__loan_one(struct soma__loan_one *one, const void *bytes, size_t len, const char *by);
void soma__loan_one_end(struct soma__loan_one *one);

/* Pages that nobody may write to any more; and, before they are freed, may again. */
void soma__seal(void *pages, size_t size);
void soma__unseal(const void *pages);

/* Whether the bytes are of a loan that is over; then the thread has a reason. */
bool soma__loan_over(const void *bytes);

#define LENT(bytes, len) soma__loan((bytes), (len), __func__)
#define LOAN_OVER(bytes) soma__loan_over(bytes)
#define SEAL(pages, size) soma__seal((pages), (size))
#define UNSEAL(pages) soma__unseal(pages)

#else

#define LENT(bytes, len) (bytes)
#define LOAN_OVER(bytes) false
#define SEAL(pages, size) ((void)0)
#define UNSEAL(pages) ((void)0)

#endif

#endif
