/* The parts that are common to all blocks of a table file: data, index, properties, metaindex. */
#include "block.h"

#include <string.h>

/* Blocks stay below 2 GiB, which is far below what their 32-bit numbers reach. */
#define MAX_BLOCK_BYTES ((size_t)1 << 31)

int block_restart(struct block *block) {
    if (block->bytes.size > MAX_BLOCK_BYTES) return EFBIG;
    if (buffer_reserve(&block->restarts, sizeof(uint32_t))) return ENOMEM;
    put_u32(block->restarts.bytes + block->restarts.size, (uint32_t)block->bytes.size);
    block->restarts.size += sizeof(uint32_t);
    return 0;
}

int block_add(struct block *block, const char *key, const uint8_t *value, size_t value_size) {
    struct buffer *bytes = &block->bytes;
    size_t key_size = strlen(key);
    int error = block_restart(block);
    if (!error) error = buffer_reserve(bytes, 3 * VARINT32_BYTES + key_size + value_size);
    if (error) return error;
    uint8_t *at = put_varint(bytes->bytes + bytes->size, 0); /* shared with the row before */
    at = put_varint(at, key_size);
    at = put_varint(at, value_size);
    memcpy(at, key, key_size);
    memcpy(at + key_size, value, value_size);
    bytes->size = (size_t)(at + key_size + value_size - bytes->bytes);
    return 0;
}

size_t block_size(const struct block *block) {
    return block->bytes.size + block->restarts.size + sizeof(uint32_t);
}

int block_end(struct block *block) {
    struct buffer *bytes = &block->bytes, *restarts = &block->restarts;
    if (buffer_reserve(bytes, restarts->size + sizeof(uint32_t))) return ENOMEM;
    uint8_t *at = bytes->bytes + bytes->size;
    if (restarts->size) memcpy(at, restarts->bytes, restarts->size);
    put_u32(at + restarts->size, (uint32_t)(restarts->size / sizeof(uint32_t)));
    bytes->size += restarts->size + sizeof(uint32_t);
    return 0;
}

void block_clear(struct block *block) {
    block->bytes.size = 0;
    block->restarts.size = 0;
}

void block_free(struct block *block) {
    free(block->bytes.bytes);
    free(block->restarts.bytes);
}
