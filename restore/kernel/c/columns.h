/* What is known of one state chunk, by columns: each is an array that Python holds as `bytes`.
 *
 *   data     the chunk's file: framed records
 *   spans    for each item, where its key begins, its value begins, and its value ends in `data`
 *   leaves   for each item, the hash of its key and the hash of its value
 *   nodes    the nodes that are final inside the chunk: the deepest first, ascending in each depth
 *   starts   for each depth, where its nodes begin; those of depth d end where those of d - 1 begin
 */
#ifndef RESTORE_COLUMNS_H
#define RESTORE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "sha3.h"

#define MAX_NIBBLES 64

struct span {
    uint64_t key, value, end;
};

struct leaf {
    uint8_t key[SHA3_BYTES], value[SHA3_BYTES];
};

struct node {
    uint8_t hash[SHA3_BYTES];
    uint32_t first_leaf; /* of those below it; the path is a prefix of this leaf's key */
    uint32_t leaves;     /* below it */
    uint32_t children;   /* where its children begin among the nodes one deeper */
    uint32_t count;      /* of them; 0 for a leaf */
};

static inline unsigned nibble_at(const uint8_t *key, unsigned depth) {
    return depth & 1 ? key[depth / 2] & 15 : key[depth / 2] >> 4;
}

#endif
