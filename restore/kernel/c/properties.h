/* The block of a table file that describes it to RocksDB. */
#ifndef RESTORE_PROPERTIES_H
#define RESTORE_PROPERTIES_H

#include <stddef.h>
#include <stdint.h>

#include "block.h"

/* What a table file holds; sizes in bytes. */
struct table_counts {
    uint64_t rows;
    uint64_t key_bytes;   /* as RocksDB stores keys: with the 8 bytes of sequence number and type */
    uint64_t value_bytes;
    uint64_t blocks;
    uint64_t data_bytes;  /* all data blocks as they are stored; what follows is the index */
    uint64_t index_bytes;
};

/* Adds them all to an empty block: 0 or errno. */
int put_properties(struct block *block, const struct table_counts *counts);

#endif
