/* A block of a table file while it is built: rows, then the places of those with a whole key ("restarts"). */
#ifndef RESTORE_BLOCK_H
#define RESTORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Empty when all is zero. */
struct block {
    struct buffer bytes;
    struct buffer restarts; /* 32 bits each */
};

/* Notes that the next row has a whole key: 0, ENOMEM, or EFBIG where 32 bits do not reach it. */
int block_restart(struct block *block);

/* Adds a row with a whole key; for blocks of few rows. */
int block_add(struct block *block, const char *key, const uint8_t *value, size_t value_size);

/* What the block takes once it is ended. */
size_t block_size(const struct block *block);

/* Appends the restarts: `bytes` is the block. */
int block_end(struct block *block);

void block_clear(struct block *block);

void block_free(struct block *block);

#endif
