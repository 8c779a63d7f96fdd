/* Whether the parts of transactions are those that their infos commit to. */
#ifndef RESTORE_TRANSACTIONS_H
#define RESTORE_TRANSACTIONS_H

#include <stdint.h>

#include "records.h"
#include "walk.h"

/* The seeds of the hashes, one after the other as they come from Python. */
enum transaction_seed {
    SEED_TRANSACTION,
    SEED_WRITE_SET,
    SEED_EVENT,
    SEED_EVENT_NODE,
    SEED_AUXILIARY_INFO,
    SEED_INFO,
    TRANSACTION_SEEDS,
};

/* A chunk whose columns of records and events are known, and room for what comes out. */
struct check {
    const struct program *program;
    const uint8_t *seeds;
    struct chunk chunk;
    uint8_t *leaves;       /* for each record, the hash of its info */
    uint8_t *event_hashes; /* for each event */
};

/* Hashes everything, and compares it with the infos. */
enum outcome check_chunk(const struct check *check);

#endif
