/* Words of memory at any address, and how far two pieces of memory are equal. */
#ifndef RESTORE_WORDS_H
#define RESTORE_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* How many of the first `size` bytes at `a` and `b` are equal before the first that is not. */
static inline size_t shared_bytes(const uint8_t *a, const uint8_t *b, size_t size) {
    size_t i = 0;
    while (size - i >= 8 && load64(a + i) == load64(b + i)) i += 8;
    while (i < size && a[i] == b[i]) i++;
    return i;
}

#endif
