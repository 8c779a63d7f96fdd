/* The stored form of blocks, and the footer, of RocksDB's block-based tables, format_version 5. */
#include "table_file.h"

#include <string.h>

#include "crc32c.h"

#define MAGIC 0x88E241B785F4CFF7ULL
#define FORMAT_VERSION 5
#define CHECKSUM_CRC32C 1

/* The footer: the kind of checksum, two handles padded to their longest, version, magic. */
#define FOOTER_BYTES (1 + 2 * HANDLE_BYTES + 4 + 8)

/* So many blocks at most are not tried after one that did not compress: what begins to is found
 * within 32 KiB. */
#define MAX_PAUSE 8

/* The compressed block at `out`, which has room for it as it is: the size, then what LZ4 makes. 0 where that
 * does not save an eighth, which is what RocksDB asks for too. */
static size_t compress(struct table_file *file, const struct buffer *block, uint8_t *out) {
    size_t prefix = (size_t)(put_varint(out, block->size) - out);
    size_t worth = block->size - block->size / 8 - 1;
    if (worth <= prefix) return 0;
    size_t size = lz4_compress(&file->lz4, block->bytes, block->size, out + prefix, worth - prefix);
    return size ? prefix + size : 0;
}

/* Rows that do not compress, like hashes, lie together: with each failure in a row, more blocks are passed
 * over. */
static size_t compress_if_likely(struct table_file *file, const struct buffer *block, uint8_t *out) {
    if (file->pause) {
        file->pause--;
        return 0;
    }
    size_t size = compress(file, block, out);
    if (size) file->failures = 0;
    else if (file->failures < MAX_PAUSE) file->failures++;
    file->pause = file->failures;
    return size;
}

/* RocksDB rotates and shifts checksums, as they may be taken of data that holds checksums. */
static uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8U; }

uint8_t *put_handle(uint8_t *at, const struct handle *handle) {
    return put_varint(put_varint(at, handle->offset), handle->size);
}

int write_block(struct table_file *file, const struct buffer *block, enum compression wanted,
                struct handle *handle) {
    uint8_t *place;
    int error = sink_reserve(&file->sink, VARINT64_BYTES + block->size + TRAILER_BYTES, &place);
    if (error) return error;
    size_t size = wanted == LZ4 ? compress_if_likely(file, block, place) : 0;
    enum compression used = size ? LZ4 : STORED;
    if (!size) {
        size = block->size;
        memcpy(place, block->bytes, size);
    }
    place[size] = (uint8_t)used;
    put_u32(place + size + 1, masked(crc32c(place, size + 1)));
    *handle = (struct handle){sink_size(&file->sink), size};
    sink_take(&file->sink, size + TRAILER_BYTES);
    return 0;
}

int write_footer(struct table_file *file, const struct handle *metaindex, const struct handle *index) {
    uint8_t *place;
    int error = sink_reserve(&file->sink, FOOTER_BYTES, &place);
    if (error) return error;
    memset(place, 0, FOOTER_BYTES);
    place[0] = CHECKSUM_CRC32C;
    put_handle(put_handle(place + 1, metaindex), index);
    put_u64(put_u32(place + 1 + 2 * HANDLE_BYTES, FORMAT_VERSION), MAGIC);
    sink_take(&file->sink, FOOTER_BYTES);
    return 0;
}
