/* Compression to one block of the public "LZ4 block format", made for the small blocks of table files. */
#ifndef RESTORE_LZ4_H
#define RESTORE_LZ4_H

#include <stddef.h>
#include <stdint.h>

#define LZ4_MAX_INPUT 0x7E000000
#define LZ4_HASH_BITS 11

/* Room for the compressor: where four bytes were last seen, by their hash. */
struct lz4_table {
    uint32_t places[1 << LZ4_HASH_BITS];
};

/* Compresses `size` bytes (at most LZ4_MAX_INPUT): the size of the block at `out`, or 0 if it may need more
 * than `capacity` bytes. */
size_t lz4_compress(struct lz4_table *table, const uint8_t *in, size_t size, uint8_t *out, size_t capacity);

#endif
