/* The levels of SHA3-256: one for each kind of vectors, each in a file of its own; sha3.c chooses. */
#ifndef RESTORE_SHA3_LEVELS_H
#define RESTORE_SHA3_LEVELS_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define SHA3_X86
#elif defined(__GNUC__) && defined(__aarch64__)
#define SHA3_ARM
#endif

struct sha3_work;

/* Each takes a batch to its end, or to where so few messages are left that a narrower level is as fast. */
void sha3_avx512(struct sha3_work *work);
void sha3_avx512_half(struct sha3_work *work);
void sha3_avx2(struct sha3_work *work);
void sha3_neon(struct sha3_work *work);
void sha3_scalar(struct sha3_work *work);

#define SHA3_MAX_LEVELS 3

/* Names of the levels that this CPU can run, best first, to `names`; returns how many. */
size_t sha3_available(const char *names[SHA3_MAX_LEVELS]);

/* Hashes on the level of this name from now on, in all threads; false where this CPU cannot run it. */
bool sha3_choose(const char *name);

#endif
