/* Append-only binary Merkle trees: of transactions, and of the events of one transaction.
 * proof/accumulator.py explains them. */
#ifndef RESTORE_ACCUMULATOR_H
#define RESTORE_ACCUMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some trees side by side, of the same seed. */
struct forest {
    const uint8_t *seed;
    size_t trees;
    const size_t *leaf_counts; /* one for each tree */
    const uint8_t *leaves;     /* 32 bytes each, those of one tree after those of another */
};

/* The root of each tree, 32 bytes: the placeholder without leaves. false without memory. */
bool forest_roots(const struct forest *forest, uint8_t *roots);

/* How many complete nodes a tree has, leaves included. */
uint64_t complete_nodes(uint64_t leaves);

/* All complete nodes of each tree, in the order of their positions from left to right, which are the
 * ascending keys of event accumulators; `positions` and `nodes` have room for the complete nodes of all
 * trees. false without memory. */
bool forest_nodes(const struct forest *forest, uint64_t *positions, uint8_t *nodes);

/* One tree, and leaves that are appended to it. */
struct growth {
    const uint8_t *seed;
    uint64_t count;       /* leaves before */
    const uint8_t *roots; /* frozen roots of those, from the largest to the smallest */
    const uint8_t *leaves;
    size_t added;
};

/* Writes every node that the new leaves complete, in the order in which they complete; `completed` has room
 * for them. false without memory. */
bool grow(const struct growth *growth, uint8_t *completed);

#endif
