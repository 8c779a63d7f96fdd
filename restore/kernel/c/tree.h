/* The nodes of the 16-way state tree that are final inside one chunk. */
#ifndef RESTORE_TREE_H
#define RESTORE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "columns.h"

/* A finished child of a node that other chunks may still reach. */
struct hanging {
    uint32_t depth, node;
};

struct tree {
    struct node *nodes; /* see columns.h */
    size_t count, room;
    size_t starts[MAX_NIBBLES + 2]; /* by depth; of MAX_NIBBLES + 1: 0, where nothing is */
    struct hanging *hanging;        /* ascending by key */
    size_t hanging_count, hanging_room;
};

enum tree_result { TREE_OK, TREE_UNORDERED, TREE_NO_MEMORY };

/* Builds the tree of `count` leaves, at least 2 and less than 2^32, into an empty one, which is to be freed
 * whatever comes. */
enum tree_result build_tree(struct tree *tree, const struct leaf *leaves, size_t count,
                            const uint8_t *leaf_seed, const uint8_t *internal_seed);

void free_tree(struct tree *tree);

#endif
