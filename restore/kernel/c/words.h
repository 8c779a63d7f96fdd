/* Words of memory at any address, and how far two pieces of memory are equal. */
#ifndef RESTORE_WORDS_H
#define RESTORE_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shared_bytes takes the first byte of a word to be its lowest"
#endif

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
    for (; size - i >= 8; i += 8) {
        uint64_t difference = load64(a + i) ^ load64(b + i);
        if (difference) return i + (size_t)__builtin_ctzll(difference) / 8;
    }
    while (i < size && a[i] == b[i]) i++;
    return i;
}

#endif
