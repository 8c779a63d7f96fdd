/* A table file as a row of stored blocks and a footer: compression, checksums, and where each block lies. */
#ifndef RESTORE_TABLE_FILE_H
#define RESTORE_TABLE_FILE_H

#include <stdint.h>

#include "buffer.h"
#include "lz4.h"
#include "sink.h"

/* What follows each block: a byte for the compression, four for the checksum. */
#define TRAILER_BYTES 5

enum compression { STORED = 0, LZ4 = 4 };

/* Where a block lies, without its trailer. */
struct handle {
    uint64_t offset;
    uint64_t size;
};

#define HANDLE_BYTES (2 * VARINT64_BYTES)

struct table_file {
    struct sink sink;
    struct lz4_table lz4;
    unsigned failures; /* of compression, in a row */
    unsigned pause;    /* so many blocks more are not tried */
};

/* Writes a handle (at most HANDLE_BYTES) at `at`, and returns the place behind it. */
uint8_t *put_handle(uint8_t *at, const struct handle *handle);

/* Writes a block, not empty, compressed if `wanted` says so and it is worth it: 0 or errno. */
int write_block(struct table_file *file, const struct buffer *block, enum compression wanted,
                struct handle *handle);

int write_footer(struct table_file *file, const struct handle *metaindex, const struct handle *index);

#endif
