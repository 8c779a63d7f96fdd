/* Builds the tree nodes that are final inside one chunk: all but the paths of its first and its last leaf.
 *
 * The argument stands in proof/builder.py, whose `build_chunk_tree` gives the same. Depths are done from the
 * deepest up. The nodes of one depth, ascending, fall into families of one parent each; four binary levels of
 * all families are folded together, so that the lanes of the hash are always full.
 *
 * Source: spec/ledger-hashing.md 5.1 to 5.5.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define NODE_LEVELS 4
#define NODE_SLOTS 16

/* Children folded together: enough to keep all lanes busy, few enough to stay in the cache. */
#define SLICE 1024

static const uint8_t PLACEHOLDER[SHA3_BYTES] = "SPARSE_MERKLE_PLACEHOLDER_HASH";

struct pair {
    uint8_t left[SHA3_BYTES], right[SHA3_BYTES];
};

/* One binary level of the children in hand. */
struct level {
    uint32_t slots[SLICE + NODE_SLOTS]; /* family and nibble, later their upper bits */
    uint8_t lone[SLICE + NODE_SLOTS];   /* whether it still is a lone leaf, which moves up as it is */
    uint8_t hashes[SLICE + NODE_SLOTS][SHA3_BYTES];
    size_t count;
};

struct fold {
    struct level levels[2], *level, *next;
    struct pair pairs[SLICE + NODE_SLOTS];
    struct sha3_input inputs[SLICE + NODE_SLOTS];
    uint32_t places[SLICE + NODE_SLOTS];
    uint8_t hashes[SLICE + NODE_SLOTS][SHA3_BYTES];
};

/* The number of nibbles with which two keys begin alike, MAX_NIBBLES if all are. */
static unsigned shared_nibbles(const uint8_t *left, const uint8_t *right) {
    unsigned byte = 0;
    while (byte < SHA3_BYTES && left[byte] == right[byte]) byte++;
    if (byte == SHA3_BYTES) return MAX_NIBBLES;
    return 2 * byte + ((left[byte] ^ right[byte]) < 16);
}

/* The entries with room for more, but never more than 32 bits count; NULL if there is no memory. */
static void *grown(void *entries, size_t *room, size_t entry_bytes) {
    size_t wanted = *room ? *room + *room / 2 : 1024;
    if (wanted > UINT32_MAX || wanted > SIZE_MAX / entry_bytes) return NULL;
    void *larger = realloc(entries, wanted * entry_bytes);
    if (larger) *room = wanted;
    return larger;
}

static int add_node(struct tree *tree, struct node node) {
    if (tree->count == tree->room) {
        struct node *nodes = grown(tree->nodes, &tree->room, sizeof *nodes);
        if (!nodes) return 0;
        tree->nodes = nodes;
    }
    tree->nodes[tree->count++] = node;
    return 1;
}

static int add_hanging(struct tree *tree, uint32_t depth, uint32_t node) {
    if (tree->hanging_count == tree->hanging_room) {
        struct hanging *hanging = grown(tree->hanging, &tree->hanging_room, sizeof *hanging);
        if (!hanging) return 0;
        tree->hanging = hanging;
    }
    tree->hanging[tree->hanging_count++] = (struct hanging){depth, node};
    return 1;
}

/* Folds one binary level: slots 2i and 2i + 1 become slot i. */
static void fold_level(struct fold *fold, const uint8_t *seed) {
    struct level *level = fold->level, *next = fold->next;
    size_t pairs = 0;
    next->count = 0;
    for (size_t i = 0; i < level->count; i++) {
        uint32_t slot = level->slots[i];
        size_t place = next->count++;
        int has_right = i + 1 < level->count && level->slots[i + 1] == (slot | 1) && !(slot & 1);
        next->slots[place] = slot >> 1;
        next->lone[place] = !has_right && level->lone[i];
        if (next->lone[place]) {
            memcpy(next->hashes[place], level->hashes[i], SHA3_BYTES);
            continue;
        }
        struct pair *pair = &fold->pairs[pairs];
        memcpy(pair->left, slot & 1 ? PLACEHOLDER : level->hashes[i], SHA3_BYTES);
        const uint8_t *right = has_right ? level->hashes[i + 1] : slot & 1 ? level->hashes[i] : PLACEHOLDER;
        memcpy(pair->right, right, SHA3_BYTES);
        fold->places[pairs++] = (uint32_t)place;
        i += has_right;
    }
    for (size_t i = 0; i < pairs; i++) {
        fold->inputs[i] = (struct sha3_input){fold->pairs[i].left, sizeof *fold->pairs, NULL, 0};
    }
    sha3_256_batch(seed, fold->inputs, pairs, fold->hashes[0], SHA3_BYTES);
    for (size_t i = 0; i < pairs; i++) memcpy(next->hashes[fold->places[i]], fold->hashes[i], SHA3_BYTES);
    fold->level = next;
    fold->next = level;
}

/* Gives the families in hand their hashes. */
static void fold_families(struct fold *fold, struct node *families, const uint8_t *seed) {
    for (int i = 0; i < NODE_LEVELS; i++) fold_level(fold, seed);
    for (size_t i = 0; i < fold->level->count; i++) {
        memcpy(families[i].hash, fold->level->hashes[i], SHA3_BYTES);
    }
    fold->level->count = 0;
}

static void add_child(struct level *level, uint32_t family, unsigned nibble, const struct node *child) {
    level->slots[level->count] = family << NODE_LEVELS | nibble;
    level->lone[level->count] = !child->count;
    memcpy(level->hashes[level->count++], child->hash, SHA3_BYTES);
}

/* Everything that one call of `build_tree` works with. */
struct build {
    struct tree *tree;
    const struct leaf *leaves;
    size_t count;
    uint32_t *order;                   /* the inner leaves by depth, ascending in each */
    size_t buckets[MAX_NIBBLES + 2];   /* by depth: where its leaves begin in `order` */
    uint8_t (*hashes)[SHA3_BYTES];     /* of the leaves */
    struct node *parents;              /* of the depth that was done last, ascending */
    size_t parent_count, parent_room;
    struct fold fold;
};

/* Finds the depth of each inner leaf: where both neighbours have parted from it. */
static enum tree_result place_leaves(struct build *build) {
    const struct leaf *leaves = build->leaves;
    uint8_t *depths = malloc(build->count);
    if (!depths) return TREE_NO_MEMORY;
    unsigned left = 0;
    for (size_t i = 0; i + 1 < build->count; i++) {
        if (memcmp(leaves[i].key, leaves[i + 1].key, SHA3_BYTES) >= 0) {
            free(depths);
            return TREE_UNORDERED;
        }
        unsigned right = shared_nibbles(leaves[i].key, leaves[i + 1].key) + 1;
        if (i) {
            depths[i] = (uint8_t)(left > right ? left : right);
            build->buckets[depths[i] + 1]++;
        }
        left = right;
    }
    for (unsigned depth = 1; depth < MAX_NIBBLES + 2; depth++) {
        build->buckets[depth] += build->buckets[depth - 1];
    }
    size_t next[MAX_NIBBLES + 2];
    memcpy(next, build->buckets, sizeof next);
    for (size_t i = 1; i + 1 < build->count; i++) build->order[next[depths[i]]++] = (uint32_t)i;
    free(depths);
    return TREE_OK;
}

static void hash_leaves(struct build *build, const uint8_t *seed) {
    struct sha3_input *inputs = build->fold.inputs;
    for (size_t done = 0; done < build->count; done += SLICE) {
        size_t slice = build->count - done < SLICE ? build->count - done : SLICE;
        for (size_t i = 0; i < slice; i++) {
            inputs[i] = (struct sha3_input){build->leaves[done + i].key, sizeof *build->leaves, NULL, 0};
        }
        sha3_256_batch(seed, inputs, slice, build->hashes[done], SHA3_BYTES);
    }
}

static int add_parent(struct build *build, struct node parent) {
    if (build->parent_count == build->parent_room) {
        struct node *parents = grown(build->parents, &build->parent_room, sizeof *parents);
        if (!parents) return 0;
        build->parents = parents;
    }
    build->parents[build->parent_count++] = parent;
    return 1;
}

/* Merges the leaves of one depth with the nodes whose children were done before: all that is final there. */
static int gather_depth(struct build *build, unsigned depth) {
    size_t leaf = build->buckets[depth], leaf_end = build->buckets[depth + 1], parent = 0;
    build->tree->starts[depth] = build->tree->count;
    while (leaf < leaf_end || parent < build->parent_count) {
        struct node node;
        int is_parent = parent < build->parent_count &&
                        (leaf == leaf_end || build->parents[parent].first_leaf < build->order[leaf]);
        if (is_parent) {
            node = build->parents[parent++];
        } else {
            uint32_t index = build->order[leaf++];
            node = (struct node){.first_leaf = index, .leaves = 1};
            memcpy(node.hash, build->hashes[index], SHA3_BYTES);
        }
        if (!add_node(build->tree, node)) return 0;
    }
    build->parent_count = 0;
    return 1;
}

/* Whether the node at the first `depth` nibbles of `key` may still get children from other chunks. */
static int is_open(const struct build *build, const uint8_t *key, unsigned depth) {
    return shared_nibbles(key, build->leaves[0].key) >= depth ||
           shared_nibbles(key, build->leaves[build->count - 1].key) >= depth;
}

/* Makes the parents of all nodes at `depth`, but those that are open: their children hang. */
static int close_families(struct build *build, unsigned depth, const uint8_t *seed) {
    const struct tree *tree = build->tree;
    size_t folded = 0; /* parents that have their hashes */
    for (size_t i = tree->starts[depth], end; i < tree->count; i = end) {
        const uint8_t *key = build->leaves[tree->nodes[i].first_leaf].key;
        end = i + 1;
        if (is_open(build, key, depth - 1)) {
            if (!add_hanging(build->tree, depth, (uint32_t)i)) return 0;
            continue;
        }
        struct node family = {.first_leaf = tree->nodes[i].first_leaf, .children = (uint32_t)i};
        for (end = i; end < tree->count; end++) {
            const struct node *child = &tree->nodes[end];
            const uint8_t *child_key = build->leaves[child->first_leaf].key;
            if (shared_nibbles(key, child_key) < depth - 1) break;
            uint32_t place = (uint32_t)(build->parent_count - folded);
            add_child(build->fold.level, place, nibble_at(child_key, depth - 1), child);
            family.leaves += child->leaves;
            family.count++;
        }
        if (!add_parent(build, family)) return 0;
        if (build->fold.level->count >= SLICE) {
            fold_families(&build->fold, build->parents + folded, seed);
            folded = build->parent_count;
        }
    }
    if (folded < build->parent_count) fold_families(&build->fold, build->parents + folded, seed);
    return 1;
}

static int is_left(const struct hanging *one, const struct hanging *other, const struct tree *tree) {
    uint32_t left = tree->nodes[one->node].first_leaf;
    uint32_t right = tree->nodes[other->node].first_leaf;
    return left < right;
}

/* Those of a depth ascend already, so few steps are left to do for each. */
static void sort_hanging(struct tree *tree) {
    struct hanging *hanging = tree->hanging;
    for (size_t i = 1; i < tree->hanging_count; i++) {
        struct hanging moved = hanging[i];
        size_t place = i;
        for (; place && is_left(&moved, &hanging[place - 1], tree); place--) {
            hanging[place] = hanging[place - 1];
        }
        hanging[place] = moved;
    }
}

static enum tree_result build_all(struct build *build, const uint8_t *leaf_seed,
                                  const uint8_t *internal_seed) {
    build->fold.level = &build->fold.levels[0];
    build->fold.next = &build->fold.levels[1];
    enum tree_result placed = place_leaves(build);
    if (placed != TREE_OK) return placed;
    hash_leaves(build, leaf_seed);
    for (unsigned depth = MAX_NIBBLES; depth; depth--) {
        if (!gather_depth(build, depth)) return TREE_NO_MEMORY;
        if (!close_families(build, depth, internal_seed)) return TREE_NO_MEMORY;
    }
    build->tree->starts[0] = build->tree->count;
    sort_hanging(build->tree);
    return TREE_OK;
}

enum tree_result build_tree(struct tree *tree, const struct leaf *leaves, size_t count,
                            const uint8_t *leaf_seed, const uint8_t *internal_seed) {
    enum tree_result result = TREE_NO_MEMORY;
    struct build *build = calloc(1, sizeof *build);
    if (!build) return result;
    build->tree = tree;
    build->leaves = leaves;
    build->count = count;
    build->order = malloc(count * sizeof *build->order);
    build->hashes = malloc(count * sizeof *build->hashes);
    if (build->order && build->hashes) result = build_all(build, leaf_seed, internal_seed);
    free(build->order);
    free(build->hashes);
    free(build->parents);
    free(build);
    return result;
}

void free_tree(struct tree *tree) {
    free(tree->nodes);
    free(tree->hanging);
}
