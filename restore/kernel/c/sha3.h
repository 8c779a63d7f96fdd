/* SHA3-256 (FIPS 202) of many short inputs at once, with the widest vectors that the CPU has. */
#ifndef RESTORE_SHA3_H
#define RESTORE_SHA3_H

#include <stddef.h>
#include <stdint.h>

#define SHA3_BYTES 32
#define SEED_BYTES 32

/* One message, in two parts that follow each other; either may be empty. */
struct sha3_input {
    const uint8_t *head;
    size_t head_size;
    const uint8_t *body;
    size_t body_size;
};

/* SHA3-256 of `seed || head || body` of each input, to `out + i * stride`. `seed` has SEED_BYTES, or is NULL
 * for none. `out` overlaps no input. Needs no interpreter lock; no memory is allocated. */
void sha3_256_batch(const uint8_t *seed, const struct sha3_input *inputs, size_t count, uint8_t *out,
                    size_t stride);

#endif
