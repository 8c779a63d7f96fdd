/* The writer of RocksDB table files: rows -> data blocks -> index, properties, metaindex and footer.
 *
 * Written from the public description of RocksDB's block-based table format and from files that RocksDB
 * wrote. */
#include "table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "buffer.h"
#include "properties.h"
#include "table_file.h"
#include "words.h"

/* RocksDB's default, and the node's. */
#define BLOCK_BYTES 4096

/* A block ends before a row that would take it beyond BLOCK_BYTES, if it is fuller than this. */
#define FULL_BYTES (BLOCK_BYTES / 10 * 9)

/* Every so many rows a whole key is stored, and its place listed at the end of the block: a "restart". */
#define RESTART_ROWS 16

/* What RocksDB appends to a key: sequence number 0, type "value", in 8 bytes, little endian. */
#define TAG_BYTES 8
static const uint8_t TAG[TAG_BYTES] = {1};

struct table_writer {
    struct table_file file;
    struct table_counts counts;
    struct buffer last_key;
    struct block data; /* the block that is being filled */
    size_t data_rows;
    struct block index;
};

/* ---- the index ---- */

static int add_to_index(struct table_writer *writer, const uint8_t *separator, size_t size,
                        const struct handle *handle) {
    struct buffer *bytes = &writer->index.bytes;
    int error = block_restart(&writer->index);
    if (!error) error = buffer_reserve(bytes, 2 * VARINT32_BYTES + size + HANDLE_BYTES);
    if (error) return error;
    uint8_t *at = put_varint(bytes->bytes + bytes->size, 0); /* shared with the row before */
    at = put_varint(at, size);
    if (size) memcpy(at, separator, size);
    bytes->size = (size_t)(put_handle(at + size, handle) - bytes->bytes);
    return 0;
}

/* Makes `last` a short key at or above itself, and below `next`, with which it shares `shared` bytes. */
static void shorten(struct buffer *last, const uint8_t *next, size_t next_size, size_t shared) {
    if (shared == last->size) return;
    if (last->bytes[shared] + 1 == next[shared] && next_size == shared + 1) return;
    last->bytes[shared]++;
    last->size = shared + 1;
}

/* Writes the data block and its row of the index, whose key is what `last_key` holds. */
static int end_data(struct table_writer *writer) {
    struct handle handle;
    int error = block_end(&writer->data);
    if (!error) error = write_block(&writer->file, &writer->data.bytes, LZ4, &handle);
    if (!error) error = add_to_index(writer, writer->last_key.bytes, writer->last_key.size, &handle);
    if (error) return error;
    writer->counts.blocks++;
    writer->data_rows = 0;
    block_clear(&writer->data);
    return 0;
}

/* ---- rows ---- */

int table_open(struct table_writer **writer, const char *path) {
    struct table_writer *new = calloc(1, sizeof *new);
    if (!new) return ENOMEM;
    int error = sink_open(&new->file.sink, path);
    if (error) free(new);
    else *writer = new;
    return error;
}

static bool is_full(const struct table_writer *writer, size_t row_bytes) {
    size_t size = block_size(&writer->data);
    return size > FULL_BYTES && size + row_bytes > BLOCK_BYTES;
}

/* Makes `key` the last key, of which `shared` bytes are there. */
static int replace_last(struct table_writer *writer, const uint8_t *key, size_t key_size, size_t shared) {
    struct buffer *last = &writer->last_key;
    last->size = shared;
    if (buffer_reserve(last, key_size - shared)) return ENOMEM;
    if (key_size > shared) memcpy(last->bytes + shared, key + shared, key_size - shared);
    last->size = key_size;
    return 0;
}

/* Adds the row to the data block. */
static int put_row(struct table_writer *writer, const uint8_t *key, size_t key_size, size_t shared,
                   const struct table_part *parts, size_t count, size_t value_size) {
    struct buffer *bytes = &writer->data.bytes;
    int error = 0;
    if (writer->data_rows++ % RESTART_ROWS == 0) {
        shared = 0;
        error = block_restart(&writer->data);
    }
    if (!error) error = buffer_reserve(bytes, 3 * VARINT32_BYTES + key_size + TAG_BYTES + value_size);
    if (error) return error;
    uint8_t *at = put_varint(bytes->bytes + bytes->size, shared);
    at = put_varint(at, key_size - shared + TAG_BYTES);
    at = put_varint(at, value_size);
    if (key_size > shared) memcpy(at, key + shared, key_size - shared);
    at += key_size - shared;
    memcpy(at, TAG, TAG_BYTES);
    at += TAG_BYTES;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size) memcpy(at, parts[i].bytes, parts[i].size);
        at += parts[i].size;
    }
    bytes->size = (size_t)(at - bytes->bytes);
    return 0;
}

int table_add_parts(struct table_writer *writer, const uint8_t *key, size_t key_size,
                    const struct table_part *parts, size_t count) {
    size_t value_size = 0, shared = 0;
    if (key_size > TABLE_MAX_ROW_BYTES) return EFBIG;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > TABLE_MAX_ROW_BYTES - key_size - value_size) return EFBIG;
        value_size += parts[i].size;
    }
    if (writer->counts.rows) {
        const struct buffer *last = &writer->last_key;
        shared = shared_bytes(last->bytes, key, last->size < key_size ? last->size : key_size);
        if (shared == key_size || (shared < last->size && key[shared] < last->bytes[shared])) return EINVAL;
    }
    int error = 0;
    if (is_full(writer, key_size + TAG_BYTES + value_size)) {
        shorten(&writer->last_key, key, key_size, shared);
        error = end_data(writer);
    }
    if (!error) error = put_row(writer, key, key_size, shared, parts, count, value_size);
    if (!error) error = replace_last(writer, key, key_size, shared);
    if (error) return error;
    writer->counts.rows++;
    writer->counts.key_bytes += key_size + TAG_BYTES;
    writer->counts.value_bytes += value_size;
    return 0;
}

int table_add(struct table_writer *writer, const uint8_t *key, size_t key_size, const uint8_t *value,
              size_t value_size) {
    struct table_part part = {value, value_size};
    return table_add_parts(writer, key, key_size, &part, 1);
}

/* ---- the end of the file ---- */

static int write_index(struct table_writer *writer, struct handle *handle) {
    writer->counts.data_bytes = sink_size(&writer->file.sink);
    int error = block_end(&writer->index);
    if (error) return error;
    writer->counts.index_bytes = writer->index.bytes.size + TRAILER_BYTES;
    return write_block(&writer->file, &writer->index.bytes, STORED, handle);
}

static int write_properties(struct table_writer *writer, struct handle *handle) {
    struct block block = {0};
    int error = put_properties(&block, &writer->counts);
    if (!error) error = block_end(&block);
    if (!error) error = write_block(&writer->file, &block.bytes, STORED, handle);
    block_free(&block);
    return error;
}

/* The block that names the others by name: only one has a name. */
static int write_metaindex(struct table_writer *writer, const struct handle *properties,
                           struct handle *handle) {
    struct block block = {0};
    uint8_t value[HANDLE_BYTES];
    size_t size = (size_t)(put_handle(value, properties) - value);
    int error = block_add(&block, "rocksdb.properties", value, size);
    if (!error) error = block_end(&block);
    if (!error) error = write_block(&writer->file, &block.bytes, STORED, handle);
    block_free(&block);
    return error;
}

static void release(struct table_writer *writer) {
    free(writer->last_key.bytes);
    block_free(&writer->data);
    block_free(&writer->index);
    free(writer);
}

int table_finish(struct table_writer *writer, uint64_t *file_size) {
    struct handle index, properties, metaindex;
    int error = writer->counts.rows ? end_data(writer) : EINVAL;
    if (!error) error = write_index(writer, &index);
    if (!error) error = write_properties(writer, &properties);
    if (!error) error = write_metaindex(writer, &properties, &metaindex);
    if (!error) error = write_footer(&writer->file, &metaindex, &index);
    if (error) {
        table_abort(writer);
        return error;
    }
    *file_size = sink_size(&writer->file.sink);
    error = sink_finish(&writer->file.sink);
    release(writer);
    return error;
}

void table_abort(struct table_writer *writer) {
    sink_abort(&writer->file.sink);
    release(writer);
}
