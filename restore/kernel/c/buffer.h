/* Bytes that grow, and the integers of RocksDB's files: little endian, or LEB128 ("varint"). */
#ifndef RESTORE_BUFFER_H
#define RESTORE_BUFFER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The longest varints of 32 and of 64 bits. */
#define VARINT32_BYTES 5
#define VARINT64_BYTES 10

/* Empty when all is zero; `bytes` is for free(). */
struct buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* Makes room for `more` bytes after those that are there: 0 or ENOMEM. */
static inline int buffer_reserve(struct buffer *buffer, size_t more) {
    if (more <= buffer->capacity - buffer->size) return 0;
    if (more > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4) return ENOMEM;
    size_t capacity = buffer->size + more;
    if (capacity < buffer->capacity * 2) capacity = buffer->capacity * 2;
    uint8_t *bytes = realloc(buffer->bytes, capacity);
    if (!bytes) return ENOMEM;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return 0;
}

/* Each writes one number at `at`, and returns the place behind it. */

static inline uint8_t *put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
    return at + 4;
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
    return at + 8;
}

static inline uint8_t *put_varint(uint8_t *at, uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

#endif
