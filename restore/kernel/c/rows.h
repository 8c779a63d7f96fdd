/* The database rows of one state chunk, each encoded only when it is asked for. */
#ifndef RESTORE_ROWS_H
#define RESTORE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "columns.h"
#include "table.h"

/* What rows are made from; see columns.h. `nodes` only for rows of nodes. */
struct columns {
    const uint8_t *data;
    const struct span *spans;
    const struct leaf *leaves;
    const struct node *nodes;
    uint64_t version;
};

#define NODE_KEY_BYTES (8 + 1 + MAX_NIBBLES / 2)
#define INTERNAL_BYTES (1 + 4 + 16 * (9 + SHA3_BYTES + 9))

/* One row. The value is one part after the other; parts may point into `columns`, or into the row itself. */
struct row {
    uint8_t key[NODE_KEY_BYTES];
    size_t key_size;
    struct table_part parts[4];
    size_t part_count;
    uint8_t encoded[INTERNAL_BYTES];
};

/* The row of the value of item `index`: key hash and inverted version; an option, and the value as it is. */
void value_row(struct row *row, const struct columns *columns, size_t index);

/* The row of node `index`, which stands at `depth`. */
void node_row(struct row *row, const struct columns *columns, size_t index, unsigned depth);

#endif
