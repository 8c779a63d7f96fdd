/* What all levels of SHA3-256 share: a batch on its way through lanes, and its messages cut into blocks.
 *
 * FIPS 202, section 4: the sponge, with a rate of 136 bytes; 5.1, 6.1 and B.2: the padding, in bytes.
 */
#ifndef RESTORE_SHA3_WORK_H
#define RESTORE_SHA3_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sha3.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are taken as they lie in memory: the kernel is for little-endian machines, others do without"
#endif

#define RATE_BYTES 136
#define RATE_WORDS 17
#define STATE_WORDS 25
#define MAX_LANES 8

/* A message in progress, where a level has a lane for it. */
struct sha3_lane {
    const uint8_t *seed;     /* NULL once it is absorbed, and where there is none */
    struct sha3_input input; /* what is not yet absorbed of it */
    uint8_t *digest;         /* where the digest belongs; NULL where the lane is idle */
    bool begun;              /* the state is of this message: its first block was taken */
    bool ended;              /* its last block was taken */
    uint64_t state[STATE_WORDS];
};

/* A batch: messages from `next` on wait, and `active` lanes hold the others that are not finished. */
struct sha3_work {
    const uint8_t *seed;
    const struct sha3_input *inputs;
    size_t count;
    uint8_t *out;
    size_t stride;
    size_t next;
    size_t active;
    struct sha3_lane lanes[MAX_LANES];
};

/* Gives an idle lane the next message that waits, if there is one. */
static inline void sha3_begin(struct sha3_work *work, struct sha3_lane *lane) {
    lane->digest = NULL;
    if (work->next == work->count) return;
    lane->seed = work->seed;
    lane->input = work->inputs[work->next];
    lane->digest = work->out + work->next * work->stride;
    lane->begun = lane->ended = false;
    work->next++;
    work->active++;
}

static inline uint64_t sha3_word(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline size_t sha3_take(uint8_t *to, size_t room, const uint8_t **from, size_t *size) {
    size_t taken = *size < room ? *size : room;
    if (taken == 0) return 0;
    memcpy(to, *from, taken);
    *from += taken;
    *size -= taken;
    return taken;
}

/* The message's next RATE_BYTES, padded if they are the last: where they lie, or put together in `space`. */
static inline const uint8_t *sha3_next_block(struct sha3_lane *lane, uint8_t space[RATE_BYTES]) {
    struct sha3_input *input = &lane->input;
    lane->begun = true;
    if (!lane->seed && input->head_size == 0 && input->body_size >= RATE_BYTES) {
        const uint8_t *block = input->body;
        input->body += RATE_BYTES;
        input->body_size -= RATE_BYTES;
        return block;
    }
    size_t filled = 0;
    if (lane->seed) {
        memcpy(space, lane->seed, SEED_BYTES);
        filled = SEED_BYTES;
        lane->seed = NULL;
    }
    filled += sha3_take(space + filled, RATE_BYTES - filled, &input->head, &input->head_size);
    filled += sha3_take(space + filled, RATE_BYTES - filled, &input->body, &input->body_size);
    if (filled < RATE_BYTES) {
        memset(space + filled, 0, RATE_BYTES - filled);
        space[filled] = 0x06; /* the bits 01 of SHA-3 and the first 1 of the padding */
        space[RATE_BYTES - 1] |= 0x80;
        lane->ended = true;
    }
    return space;
}

#endif
