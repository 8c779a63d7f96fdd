/* RocksDB table files, to be moved into an instance ("ingested"), written without the interpreter's lock.
 *
 * The format is RocksDB's block-based table of format_version 5, which 8.10 to 10.x read, with LZ4 where it
 * saves an eighth, CRC-32C, and one index block; every row has sequence number 0. The same rows give the same
 * bytes.
 *
 * Nothing is synced: RocksDB syncs a file that it takes over before the instance's manifest names it.
 *
 * Bounds: 300 KiB, four times the largest row, and three times the index: for each block (3.6 to 4 KiB of
 * rows, or one larger row) some 14 bytes and, at most, its last key. */
#ifndef RESTORE_TABLE_H
#define RESTORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Key and value of one row together; far below what RocksDB's 32-bit lengths hold. */
#define TABLE_MAX_ROW_BYTES ((size_t)1 << 30)

struct table_writer;

/* A piece of a value. */
struct table_part {
    const uint8_t *bytes;
    size_t size;
};

/* Creates the file, which must not be there: 0 or errno. */
int table_open(struct table_writer **writer, const char *path);

/* Adds a row: 0 or errno. EINVAL where the key is not above the one before, EFBIG where the row is too large.
 * After an error the writer can only be aborted. */
int table_add(struct table_writer *writer, const uint8_t *key, size_t key_size, const uint8_t *value,
              size_t value_size);

/* The same with a value of `count` parts that follow each other. */
int table_add_parts(struct table_writer *writer, const uint8_t *key, size_t key_size,
                    const struct table_part *parts, size_t count);

/* Completes and closes the file, at least one row of it: 0 or errno, and then there is no file. The writer is
 * gone either way. */
int table_finish(struct table_writer *writer, uint64_t *file_size);

/* Closes and removes the file; the writer is gone. */
void table_abort(struct table_writer *writer);

/* Ends a file whose rows were added, or where adding one `failed`: completes it, or removes it and returns that. */
static inline int table_end(struct table_writer *writer, int failed, uint64_t *file_size) {
    if (!failed) return table_finish(writer, file_size);
    table_abort(writer);
    return failed;
}

#endif
