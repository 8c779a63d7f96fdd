/* Append-only binary Merkle trees, level by level, so that a level is one batch of hashes.
 * Source: spec/ledger-hashing.md section 6.5, positions spec/aptosdb-schema.md section 2.2. */
#include "accumulator.h"

#include <stdlib.h>
#include <string.h>

#include "sha3.h"

static const uint8_t PLACEHOLDER[SHA3_BYTES] = "ACCUMULATOR_PLACEHOLDER_HASH";

static void *allocate(size_t count, size_t size) {
    if (count > SIZE_MAX / size) return NULL;
    return malloc(count > 0 ? count * size : 1);
}

static unsigned trailing_zeros(uint64_t value) {
    unsigned count = 0;
    for (; !(value & 1); value >>= 1) count++;
    return count;
}

uint64_t complete_nodes(uint64_t leaves) {
    uint64_t ones = 0;
    for (uint64_t rest = leaves; rest; rest &= rest - 1) ones++;
    return 2 * leaves - ones;
}

/* A complete node's position in the order in which nodes complete. */
static uint64_t post_order(unsigned level, uint64_t index) {
    uint64_t leaves = (index + 1) << level;
    return complete_nodes(leaves) - 1 - (trailing_zeros(leaves) - level);
}

/* ---- trees side by side */

struct level {
    size_t *counts; /* nodes of each tree */
    uint8_t *nodes;
    uint8_t *above;
    struct sha3_input *inputs;
};

static bool level_open(struct level *level, const struct forest *forest) {
    size_t leaves = 0;
    for (size_t i = 0; i < forest->trees; i++) leaves += forest->leaf_counts[i];
    level->counts = allocate(forest->trees, sizeof *level->counts);
    level->nodes = allocate(leaves, SHA3_BYTES);
    level->above = allocate(leaves, SHA3_BYTES);
    level->inputs = allocate(leaves, sizeof *level->inputs);
    if (!level->counts || !level->nodes || !level->above || !level->inputs) return false;
    if (forest->trees > 0) memcpy(level->counts, forest->leaf_counts, forest->trees * sizeof *level->counts);
    if (leaves > 0) memcpy(level->nodes, forest->leaves, leaves * SHA3_BYTES);
    return true;
}

static void level_close(struct level *level) {
    free(level->counts);
    free(level->nodes);
    free(level->above);
    free(level->inputs);
}

/* Replaces the nodes by their parents; a tree of one node ends. `fills` says whether an odd one out gets a
 * placeholder for its neighbour, or none has a parent. Returns how many nodes there are then. */
static size_t climb(struct level *level, const struct forest *forest, bool fills) {
    const uint8_t *node = level->nodes;
    size_t made = 0;
    for (size_t tree = 0; tree < forest->trees; tree++) {
        size_t count = level->counts[tree], pairs = count / 2;
        for (size_t i = 0; i < pairs; i++) {
            level->inputs[made++] = (struct sha3_input){node + 2 * i * SHA3_BYTES, 2 * SHA3_BYTES, NULL, 0};
        }
        if (fills && count > 1 && count % 2) {
            const uint8_t *last = node + (count - 1) * SHA3_BYTES;
            level->inputs[made++] = (struct sha3_input){last, SHA3_BYTES, PLACEHOLDER, SHA3_BYTES};
            pairs++;
        }
        level->counts[tree] = pairs;
        node += count * SHA3_BYTES;
    }
    sha3_256_batch(forest->seed, level->inputs, made, level->above, SHA3_BYTES);
    uint8_t *nodes = level->nodes;
    level->nodes = level->above;
    level->above = nodes;
    return made;
}

bool forest_roots(const struct forest *forest, uint8_t *roots) {
    struct level level;
    bool fine = level_open(&level, forest);
    size_t left = fine ? forest->trees : 0;
    for (size_t tree = 0; tree < left; tree++) memcpy(roots + tree * SHA3_BYTES, PLACEHOLDER, SHA3_BYTES);
    while (left > 0) {
        const uint8_t *node = level.nodes;
        for (size_t tree = 0; tree < forest->trees; tree++) {
            if (level.counts[tree] == 1) memcpy(roots + tree * SHA3_BYTES, node, SHA3_BYTES);
            node += level.counts[tree] * SHA3_BYTES;
        }
        left = climb(&level, forest, true);
    }
    level_close(&level);
    return fine;
}

/* How many complete nodes stand left of a position: one for each bit that a smaller position can have. */
static size_t complete_before(uint64_t position, size_t leaves) {
    size_t before = 0;
    for (unsigned level = 0; leaves >> level; level++) {
        /* Node i of a level stands at (2 i + 1) 2^level - 1. */
        uint64_t first = (1ULL << level) - 1, step = 2ULL << level;
        uint64_t lower = position <= first ? 0 : (position - first + step - 1) / step;
        uint64_t complete = leaves >> level;
        before += (size_t)(lower < complete ? lower : complete);
    }
    return before;
}

/* Puts the complete nodes of one level of all trees where their positions say. */
static void place(const struct forest *forest, const struct level *level, unsigned height,
                  uint64_t *positions, uint8_t *nodes) {
    const uint8_t *node = level->nodes;
    size_t first = 0; /* of a tree, among all nodes */
    for (size_t tree = 0; tree < forest->trees; tree++) {
        size_t leaves = forest->leaf_counts[tree];
        for (size_t i = 0; i < level->counts[tree]; i++) {
            uint64_t position = ((uint64_t)i << (height + 1)) | ((1ULL << height) - 1);
            size_t place = first + complete_before(position, leaves);
            positions[place] = position;
            memcpy(nodes + place * SHA3_BYTES, node, SHA3_BYTES);
            node += SHA3_BYTES;
        }
        first += (size_t)complete_nodes(leaves);
    }
}

bool forest_nodes(const struct forest *forest, uint64_t *positions, uint8_t *nodes) {
    struct level level;
    bool fine = level_open(&level, forest);
    size_t left = fine ? 1 : 0;
    for (unsigned height = 0; left > 0; height++) {
        place(forest, &level, height, positions, nodes);
        left = climb(&level, forest, false);
    }
    level_close(&level);
    return fine;
}

/* ---- one tree that grows */

/* The frozen root of that level, which `count` has a bit for. */
static const uint8_t *frozen_root(const struct growth *growth, unsigned level) {
    uint64_t larger = growth->count >> level >> 1;
    size_t before = 0;
    for (; larger; larger &= larger - 1) before++;
    return growth->roots + before * SHA3_BYTES;
}

bool grow(const struct growth *growth, uint8_t *completed) {
    uint64_t first = growth->count, start = complete_nodes(first);
    size_t count = growth->added;
    uint8_t *nodes = allocate(count, SHA3_BYTES), *above = allocate(count, SHA3_BYTES);
    struct sha3_input *inputs = allocate(count, sizeof *inputs);
    bool fine = nodes && above && inputs;
    if (fine && count > 0) memcpy(nodes, growth->leaves, count * SHA3_BYTES);
    for (unsigned level = 0; fine && count > 0; level++) {
        for (size_t i = 0; i < count; i++) {
            uint64_t place = post_order(level, first + i) - start;
            memcpy(completed + place * SHA3_BYTES, nodes + i * SHA3_BYTES, SHA3_BYTES);
        }
        size_t odd = first & 1, pairs = (count + odd) / 2;
        for (size_t i = 0; i < pairs; i++) {
            const uint8_t *left =
                i == 0 && odd ? frozen_root(growth, level) : nodes + (2 * i - odd) * SHA3_BYTES;
            const uint8_t *right = nodes + (2 * i + 1 - odd) * SHA3_BYTES;
            inputs[i] = (struct sha3_input){left, SHA3_BYTES, right, SHA3_BYTES};
        }
        sha3_256_batch(growth->seed, inputs, pairs, above, SHA3_BYTES);
        uint8_t *swap = nodes;
        nodes = above;
        above = swap;
        count = pairs;
        first >>= 1;
    }
    free(nodes);
    free(above);
    free(inputs);
    return fine;
}
