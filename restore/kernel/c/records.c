/* Where the parts of the transactions of a chunk file lie: cuts framed records and walks over their parts.
 * Source: spec/backup-format.md section 2, spec/ledger-hashing.md sections 6.4 and 6.8. */
#include "records.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define LENGTH_BYTES 4
#define MAX_RECORD_BYTES (128u << 20) /* as wire/records.py */
#define STATUS_OFFSET (1 + 8)         /* of an info: follows the variant and the gas */
#define FIRST_ROOM 4096               /* events */

/* The events found so far. */
struct events {
    uint64_t *offsets;
    size_t count;
    size_t room;
};

static bool push(struct events *events, uint64_t offset) {
    if (events->count == events->room) {
        size_t room = events->room ? 2 * events->room : FIRST_ROOM;
        uint64_t *larger =
            room > SIZE_MAX / sizeof *larger ? NULL : realloc(events->offsets, room * sizeof *larger);
        if (!larger) return false;
        events->offsets = larger;
        events->room = room;
    }
    events->offsets[events->count++] = offset;
    return true;
}

/* Passes over an info, and finds the three hashes in it: they are always there, behind the status. */
static bool walk_info(const struct program *program, struct reader *reader, struct record *record) {
    struct reader inside = *reader;
    record->info = reader->offset;
    if (!walk_root(program, ROOT_TRANSACTION_INFO, reader)) return false;
    if (!walk_bytes(&inside, STATUS_OFFSET) || !walk_root(program, ROOT_EXECUTION_STATUS, &inside)) {
        return false;
    }
    record->hashes = inside.offset;
    return true;
}

static enum outcome walk_events(const struct program *program, struct reader *reader, struct record *record,
                                struct events *events) {
    uint32_t count;
    record->events = reader->offset;
    if (!read_count(reader, &count)) return REFUSED;
    record->first_event = events->count;
    record->event_count = count;
    for (; count > 0; count--) {
        size_t start = reader->offset;
        if (!walk_root(program, ROOT_EVENT, reader)) return REFUSED;
        if (!push(events, start)) return NO_MEMORY;
    }
    return FINE;
}

/* Finds the parts of the one record that `reader` holds. */
static enum outcome find_parts(const struct program *program, bool has_auxiliary, struct reader *reader,
                               struct record *record, struct events *events) {
    record->transaction = reader->offset;
    if (!walk_root(program, ROOT_TRANSACTION, reader)) return REFUSED;
    record->auxiliary_info = reader->offset;
    if (has_auxiliary && !walk_root(program, ROOT_AUXILIARY_INFO, reader)) return REFUSED;
    if (!walk_info(program, reader, record)) return REFUSED;
    enum outcome outcome = walk_events(program, reader, record, events);
    if (outcome != FINE) return outcome;
    record->write_set = reader->offset;
    if (!walk_root(program, ROOT_WRITE_SET, reader)) return REFUSED;
    record->end = reader->offset;
    return reader->offset == reader->end ? FINE : REFUSED;
}

/* Narrows `file` to the next record, and returns what follows it by `*rest`. */
static bool next_record(struct reader *file, size_t *rest) {
    if (file->end - file->offset < LENGTH_BYTES) return false;
    uint32_t length = read_u32_be(file->data + file->offset);
    file->offset += LENGTH_BYTES;
    if (length > MAX_RECORD_BYTES || length > file->end - file->offset) return false;
    *rest = file->offset + length;
    return true;
}

enum outcome find_records(const struct program *program, bool has_auxiliary, const uint8_t *data, size_t size,
                          struct record *records, size_t count, uint64_t **events, size_t *event_count) {
    struct events found = {NULL, 0, 0};
    struct reader file = {data, 0, size};
    enum outcome outcome = FINE;
    for (size_t i = 0; i < count && outcome == FINE; i++) {
        size_t rest = 0;
        outcome = REFUSED;
        if (!next_record(&file, &rest)) break;
        struct reader inside = {data, file.offset, rest};
        outcome = find_parts(program, has_auxiliary, &inside, &records[i], &found);
        file.offset = rest;
    }
    if (outcome == FINE && file.offset != size) outcome = REFUSED;
    *events = found.offsets;
    *event_count = found.count;
    return outcome;
}

struct part part_between(const struct chunk *chunk, uint64_t start, uint64_t end) {
    return (struct part){chunk->data + start, (size_t)(end - start)};
}

bool record_at(const struct chunk *chunk, size_t index, struct record *record) {
    if (index >= chunk->record_count) return false;
    memcpy(record, chunk->records + index * sizeof *record, sizeof *record);
    return record->transaction < record->auxiliary_info && record->auxiliary_info <= record->info
        && record->info < record->hashes && record->hashes < record->events
        && record->events - record->hashes >= 3 * HASH_BYTES && record->events < record->write_set
        && record->write_set < record->end && record->end <= chunk->size
        && record->first_event <= chunk->event_count
        && record->event_count <= chunk->event_count - record->first_event;
}

static uint64_t event_offset(const struct chunk *chunk, uint64_t index) {
    uint64_t offset;
    memcpy(&offset, chunk->events + index * sizeof offset, sizeof offset);
    return offset;
}

struct part event_at(const struct chunk *chunk, const struct record *record, size_t index) {
    uint64_t start = event_offset(chunk, record->first_event + index);
    uint64_t end = record->write_set;
    if (index + 1 < record->event_count) end = event_offset(chunk, record->first_event + index + 1);
    if (start < record->events || end > record->write_set || start > end) {
        return (struct part){chunk->data, 0};
    }
    return part_between(chunk, start, end);
}
