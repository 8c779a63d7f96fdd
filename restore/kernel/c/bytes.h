/* Numbers as they stand in backups and in database keys, read and written at any alignment. */
#ifndef RESTORE_BYTES_H
#define RESTORE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t read_u32_be(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void write_u64_be(uint8_t *at, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

static inline void write_u64_le(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++, value >>= 8) at[i] = (uint8_t)value;
}

/* Bytes from what is looked at to what is fetched meanwhile: memory answers in the time that some records take. */
#define FETCH_AHEAD 2048

#define CACHE_LINE 64

/* Has the memory FETCH_AHEAD behind a record of `size` bytes brought into the cache. Records are passed over by jumps,
 * which the CPU cannot foresee: without this each of them waits for memory. */
static inline void fetch_ahead(const uint8_t *record, size_t size) {
    for (size_t i = 0; i < size; i += CACHE_LINE) {
        /* As a number: what lies there may be behind the end of the buffer, and then nothing is brought. */
        __builtin_prefetch((const void *)((uintptr_t)record + FETCH_AHEAD + i));
    }
}

/* The BCS length (ULEB128 of at most 2^31 - 1, in its shortest form) at `at`, and the place after it; NULL if
 * there is none before `end`. Source: spec/ledger-hashing.md 2.1. */
static inline const uint8_t *read_length(const uint8_t *at, const uint8_t *end, uint64_t *length) {
    uint64_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        if (at >= end) return NULL;
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *length = value;
            return (byte || !shift) && value <= INT32_MAX ? at : NULL;
        }
    }
    return NULL;
}

#endif
