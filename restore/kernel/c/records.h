/* Where the parts of the transactions of a chunk file lie.
 *
 * Columns: one `struct record` for each transaction, and the offset of each event, one after the other. They
 * go to Python as bytes and come back with the same chunk, so that no record ever becomes an object.
 */
#ifndef RESTORE_RECORDS_H
#define RESTORE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "walk.h"

#define HASH_BYTES 32

/* Offsets into the chunk's bytes; each part ends where the next one begins. */
struct record {
    uint64_t transaction;
    uint64_t auxiliary_info; /* empty in format V0, where it stands for none */
    uint64_t info;
    uint64_t hashes; /* in the info: of the transaction, of the events, of the write set */
    uint64_t events; /* their number, then the events */
    uint64_t write_set;
    uint64_t end;
    uint64_t first_event; /* in the column of events */
    uint64_t event_count;
};

/* Hashes of an info, from `hashes` on. */
enum info_hash { TRANSACTION_HASH = 0, EVENT_ROOT = HASH_BYTES, WRITE_SET_HASH = 2 * HASH_BYTES };

/* A chunk and its columns; nothing in them is aligned. */
struct chunk {
    const uint8_t *data;
    size_t size;
    const uint8_t *records;
    size_t record_count;
    const uint8_t *events;
    size_t event_count;
};

struct part {
    const uint8_t *data;
    size_t size;
};

/* What became of the work on a chunk. */
enum outcome { FINE, REFUSED, NO_MEMORY };

/* Record `index`; false unless its offsets are in order and within the chunk. */
bool record_at(const struct chunk *chunk, size_t index, struct record *record);

/* Event `index` of a record that `record_at` gave; empty where its offset is none of the record's. */
struct part event_at(const struct chunk *chunk, const struct record *record, size_t index);

struct part part_between(const struct chunk *chunk, uint64_t start, uint64_t end);

/* Finds the parts of all records of a file.
 *
 * `records` has room for `count` of them; the file must have so many. `*events` is allocated (free it in any
 * case). `has_auxiliary` says whether the format is V1. */
enum outcome find_records(const struct program *program, bool has_auxiliary, const uint8_t *data, size_t size,
                          struct record *records, size_t count, uint64_t **events, size_t *event_count);

#endif
