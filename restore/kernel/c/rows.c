/* Encodes the rows of state values and of tree nodes.
 *
 * Source: spec/aptosdb-schema.md 2.3 (state_value_by_key_hash) and 2.5 (jellyfish_merkle_node).
 */
#include "rows.h"

#include <string.h>

#include "bytes.h"

static const uint8_t LIVE_VALUE = 1, LEAF_TAG = 1, INTERNAL_TAG = 2;

/* Groups of 7 bits before the last byte of a varint, which then has the remaining 8 bits of a u64. */
#define VARINT_GROUPS 8

static uint8_t *write_varint(uint8_t *at, uint64_t value) {
    for (int group = 0; value > 0x7f && group < VARINT_GROUPS; group++, value >>= 7) {
        *at++ = (uint8_t)(value | 0x80);
    }
    *at++ = (uint8_t)value;
    return at;
}

void value_row(struct row *row, const struct columns *columns, size_t index) {
    const struct span *span = &columns->spans[index];
    memcpy(row->key, columns->leaves[index].key, SHA3_BYTES);
    write_u64_be(row->key + SHA3_BYTES, ~columns->version);
    row->key_size = SHA3_BYTES + 8;
    row->parts[0] = (struct table_part){&LIVE_VALUE, 1};
    row->parts[1] = (struct table_part){columns->data + span->value, span->end - span->value};
    row->part_count = 2;
}

/* The row of a leaf: tag, both hashes, the key's BCS form, and the version of its value. */
static void leaf_value(struct row *row, const struct columns *columns, size_t leaf) {
    const struct span *span = &columns->spans[leaf];
    write_u64_le(row->encoded, columns->version);
    row->parts[0] = (struct table_part){&LEAF_TAG, 1};
    row->parts[1] = (struct table_part){columns->leaves[leaf].key, sizeof *columns->leaves};
    row->parts[2] = (struct table_part){columns->data + span->key, span->value - span->key};
    row->parts[3] = (struct table_part){row->encoded, 8};
    row->part_count = 4;
}

/* The row of an internal node: tag, which nibbles have children, which of these are leaves, the children. */
static void internal_value(struct row *row, const struct columns *columns, const struct node *node,
                           unsigned depth) {
    uint8_t *at = row->encoded + 5;
    unsigned existing = 0, leaves = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *child = &columns->nodes[node->children + i];
        unsigned bit = 1u << nibble_at(columns->leaves[child->first_leaf].key, depth);
        existing |= bit;
        at = write_varint(at, columns->version);
        memcpy(at, child->hash, SHA3_BYTES);
        at += SHA3_BYTES;
        if (child->count) {
            at = write_varint(at, child->leaves);
        } else {
            leaves |= bit;
        }
    }
    row->encoded[0] = INTERNAL_TAG;
    row->encoded[1] = (uint8_t)existing;
    row->encoded[2] = (uint8_t)(existing >> 8);
    row->encoded[3] = (uint8_t)leaves;
    row->encoded[4] = (uint8_t)(leaves >> 8);
    row->parts[0] = (struct table_part){row->encoded, (size_t)(at - row->encoded)};
    row->part_count = 1;
}

void node_row(struct row *row, const struct columns *columns, size_t index, unsigned depth) {
    const struct node *node = &columns->nodes[index];
    size_t path_bytes = (depth + 1) / 2;
    write_u64_be(row->key, columns->version);
    row->key[8] = (uint8_t)depth;
    memcpy(row->key + 9, columns->leaves[node->first_leaf].key, path_bytes);
    if (depth & 1) row->key[8 + path_bytes] &= 0xf0;
    row->key_size = 9 + path_bytes;
    if (node->count) {
        internal_value(row, columns, node, depth);
    } else {
        leaf_value(row, columns, node->first_leaf);
    }
}
