/* The rows of the ledger tables of proven transactions, each encoded only when it is asked for. */
#ifndef RESTORE_LEDGER_H
#define RESTORE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "records.h"
#include "table.h"
#include "walk.h"

/* The tables, numbered as in restore/target/ledger_rows.py. */
enum ledger_table {
    WRITE_SET,
    TRANSACTION_INFO,
    TRANSACTION,
    AUXILIARY_INFO,
    EVENT,
    EVENT_ACCUMULATOR,
    /* from here on, keys do not ascend with the version */
    TRANSACTION_BY_HASH,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_SUMMARIES,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    BLOCK_INFO,
    BLOCK_BY_VERSION,
    LEDGER_TABLES,
};

/* What rows are made from: see records.h. */
struct ledger {
    struct chunk chunk;
    const uint8_t *event_hashes;
    const uint8_t *node_seed; /* of the nodes of event accumulators */
    const struct program *program;
    uint64_t first_version; /* of the chunk */
};

#define LEDGER_KEY_BYTES 56
#define LEDGER_VALUE_BYTES 97

/* One row. Its value is in the chunk or among the hashes, or encoded in the row itself. */
struct ledger_row {
    uint8_t key[LEDGER_KEY_BYTES];
    size_t key_size;
    const uint8_t *value; /* NULL: it is encoded */
    size_t value_size;
    uint8_t encoded[LEDGER_VALUE_BYTES];
};

static inline const uint8_t *ledger_value(const struct ledger_row *row) {
    return row->value ? row->value : row->encoded;
}

/* Takes a row: 0, or what the system says, which ends the walk. */
typedef int take_row(void *context, const struct ledger_row *row);

#define LEDGER_REFUSED (-1)

/* Gives all rows of one record for one table to `take`, in the order in which they come about: 0, what `take`
 * says, or LEDGER_REFUSED where an event is malformed. Not for EVENT_ACCUMULATOR. */
int record_rows(const struct ledger *ledger, enum ledger_table table, uint64_t version,
                const struct record *record, take_row *take, void *context);

/* Gives all rows of the records from `first` to `end` to `take`, in ascending order, of each key the last
 * one. */
int ledger_rows(const struct ledger *ledger, enum ledger_table table, size_t first, size_t end,
                take_row *take, void *context);

#endif
