/* Whether the parts of all transactions of a chunk are those that their infos commit to, and the hashes of
 * the infos.
 *
 * The work goes in slices of records, so that memory stays small and every batch of hashes is large.
 * Same checks as proof/transactions.py. Source: spec/ledger-hashing.md sections 6.1 to 6.4 and 6.8. */
#include "transactions.h"

#include <stdlib.h>
#include <string.h>

#include "accumulator.h"
#include "sha3.h"

#define SLICE_RECORDS 1024

/* A user transaction: variant, sender, sequence number, then the payload. */
enum { USER_TRANSACTION = 0, PAYLOAD_OFFSET = 1 + 32 + 8, ENCRYPTED_PAYLOAD = 5, AS_SENT = 0 };

#define HASHED_AUXILIARY_INFO 1 /* the one variant that has a hash in the info */

/* Records of a slice and room for what is hashed. */
struct slice {
    struct record records[SLICE_RECORDS];
    size_t event_counts[SLICE_RECORDS];
    size_t count;
    size_t event_count;
    struct sha3_input *inputs; /* for each record or each event, whatever is more */
    uint8_t hashes[SLICE_RECORDS * SHA3_BYTES];
    uint8_t *rewritten; /* beginnings of transactions that are not hashed verbatim */
};

static const uint8_t *seed(const struct check *check, enum transaction_seed which) {
    return check->seeds + which * SEED_BYTES;
}

static struct sha3_input whole(struct part part) {
    return (struct sha3_input){part.data, part.size, NULL, 0};
}

/* ---- transactions */

/* Where an encrypted payload that became something else ends, as it was sent and as it is; false for all
 * others. */
static bool find_encrypted(const struct check *check, const struct record *record, size_t *sent_end,
                           size_t *payload_end) {
    const uint8_t *transaction = check->chunk.data + record->transaction;
    size_t size = record->auxiliary_info - record->transaction;
    if (transaction[0] != USER_TRANSACTION || size < PAYLOAD_OFFSET + 2) return false;
    if (transaction[PAYLOAD_OFFSET] != ENCRYPTED_PAYLOAD || transaction[PAYLOAD_OFFSET + 1] == AS_SENT) {
        return false;
    }
    struct reader sent = {transaction, PAYLOAD_OFFSET + 2, size};
    struct reader payload = {transaction, PAYLOAD_OFFSET, size};
    if (!walk_root(check->program, ROOT_ENCRYPTED, &sent)) return false;
    if (!walk_root(check->program, ROOT_PAYLOAD, &payload)) return false;
    *sent_end = sent.offset;
    *payload_end = payload.offset;
    return true;
}

/* Fills `inputs` with what the hashes of the transactions cover: each verbatim, but for an encrypted payload,
 * which counts as it was sent, whatever became of its decryption. */
static bool cover_transactions(const struct check *check, struct slice *slice) {
    size_t sent_end, payload_end, room = 0;
    for (size_t i = 0; i < slice->count; i++) {
        if (find_encrypted(check, &slice->records[i], &sent_end, &payload_end)) room += sent_end;
    }
    if (room > 0 && !(slice->rewritten = malloc(room))) return false;
    uint8_t *start = slice->rewritten;
    for (size_t i = 0; i < slice->count; i++) {
        const struct record *record = &slice->records[i];
        struct part verbatim = part_between(&check->chunk, record->transaction, record->auxiliary_info);
        slice->inputs[i] = whole(verbatim);
        if (room > 0 && find_encrypted(check, record, &sent_end, &payload_end)) {
            memcpy(start, verbatim.data, sent_end);
            start[PAYLOAD_OFFSET + 1] = AS_SENT;
            slice->inputs[i] = (struct sha3_input){start, sent_end, verbatim.data + payload_end,
                                                   verbatim.size - payload_end};
            start += sent_end;
        }
    }
    return true;
}

/* ---- what the infos commit to */

/* Whether the hash of every record is the one in its info. */
static bool match(const struct check *check, const struct slice *slice, enum info_hash which) {
    for (size_t i = 0; i < slice->count; i++) {
        const uint8_t *expected = check->chunk.data + slice->records[i].hashes + which;
        if (memcmp(slice->hashes + i * SHA3_BYTES, expected, SHA3_BYTES) != 0) return false;
    }
    return true;
}

static enum outcome check_transactions(const struct check *check, struct slice *slice) {
    bool fine = cover_transactions(check, slice);
    if (fine) {
        sha3_256_batch(seed(check, SEED_TRANSACTION), slice->inputs, slice->count, slice->hashes, SHA3_BYTES);
    }
    free(slice->rewritten);
    slice->rewritten = NULL;
    if (!fine) return NO_MEMORY;
    return match(check, slice, TRANSACTION_HASH) ? FINE : REFUSED;
}

static enum outcome check_write_sets(const struct check *check, struct slice *slice) {
    for (size_t i = 0; i < slice->count; i++) {
        const struct record *record = &slice->records[i];
        slice->inputs[i] = whole(part_between(&check->chunk, record->write_set, record->end));
    }
    sha3_256_batch(seed(check, SEED_WRITE_SET), slice->inputs, slice->count, slice->hashes, SHA3_BYTES);
    return match(check, slice, WRITE_SET_HASH) ? FINE : REFUSED;
}

static enum outcome check_events(const struct check *check, struct slice *slice) {
    size_t made = 0;
    for (size_t i = 0; i < slice->count; i++) {
        const struct record *record = &slice->records[i];
        slice->event_counts[i] = (size_t)record->event_count;
        for (size_t k = 0; k < record->event_count; k++) {
            slice->inputs[made++] = whole(event_at(&check->chunk, record, k));
        }
    }
    uint8_t *leaves = check->event_hashes + slice->records[0].first_event * SHA3_BYTES;
    sha3_256_batch(seed(check, SEED_EVENT), slice->inputs, made, leaves, SHA3_BYTES);
    struct forest forest = {seed(check, SEED_EVENT_NODE), slice->count, slice->event_counts, leaves};
    if (!forest_roots(&forest, slice->hashes)) return NO_MEMORY;
    return match(check, slice, EVENT_ROOT) ? FINE : REFUSED;
}

/* The hash of the auxiliary info in an info; NULL where there is none. It is one of the options behind the
 * three hashes: the second one in V0, the third one in V1. */
static const uint8_t *committed_auxiliary(const struct check *check, const struct record *record) {
    const uint8_t *data = check->chunk.data;
    uint64_t offset = record->hashes + 3 * HASH_BYTES;
    unsigned before = data[record->info] == 0 ? 1 : 2;
    for (; before > 0 && offset < record->events; before--) offset += data[offset] ? 1 + HASH_BYTES : 1;
    if (offset >= record->events || !data[offset]) return NULL;
    return record->events - offset > HASH_BYTES ? data + offset + 1 : NULL;
}

static bool has_hashed_auxiliary(const struct check *check, const struct record *record) {
    return record->auxiliary_info < record->info
        && check->chunk.data[record->auxiliary_info] == HASHED_AUXILIARY_INFO;
}

static enum outcome check_auxiliary_infos(const struct check *check, struct slice *slice) {
    size_t made = 0;
    for (size_t i = 0; i < slice->count; i++) {
        const struct record *record = &slice->records[i];
        if (!has_hashed_auxiliary(check, record)) continue;
        slice->inputs[made++] = whole(part_between(&check->chunk, record->auxiliary_info, record->info));
    }
    sha3_256_batch(seed(check, SEED_AUXILIARY_INFO), slice->inputs, made, slice->hashes, SHA3_BYTES);
    const uint8_t *found = slice->hashes;
    for (size_t i = 0; i < slice->count; i++) {
        const uint8_t *expected = committed_auxiliary(check, &slice->records[i]);
        bool hashed = has_hashed_auxiliary(check, &slice->records[i]);
        if (hashed != (expected != NULL)) return REFUSED;
        if (!hashed) continue;
        if (memcmp(found, expected, SHA3_BYTES) != 0) return REFUSED;
        found += SHA3_BYTES;
    }
    return FINE;
}

static void hash_infos(const struct check *check, struct slice *slice, size_t first) {
    for (size_t i = 0; i < slice->count; i++) {
        const struct record *record = &slice->records[i];
        slice->inputs[i] = whole(part_between(&check->chunk, record->info, record->events));
    }
    sha3_256_batch(seed(check, SEED_INFO), slice->inputs, slice->count, check->leaves + first * SHA3_BYTES,
                   SHA3_BYTES);
}

/* ---- slices */

static enum outcome check_slice(const struct check *check, struct slice *slice, size_t first) {
    enum outcome outcome = check_transactions(check, slice);
    if (outcome == FINE) outcome = check_events(check, slice);
    if (outcome == FINE) outcome = check_write_sets(check, slice);
    if (outcome == FINE) outcome = check_auxiliary_infos(check, slice);
    if (outcome == FINE) hash_infos(check, slice, first);
    return outcome;
}

/* Takes the records from `first` on, and room to hash them. */
static enum outcome take_slice(const struct check *check, struct slice *slice, size_t first, size_t *room) {
    size_t events = 0;
    for (slice->count = 0;
         slice->count < SLICE_RECORDS && first + slice->count < check->chunk.record_count;) {
        struct record *record = &slice->records[slice->count];
        if (!record_at(&check->chunk, first + slice->count, record)) return REFUSED;
        events += (size_t)record->event_count;
        slice->count++;
    }
    size_t needed = events > slice->count ? events : slice->count;
    if (needed > *room) {
        free(slice->inputs);
        slice->inputs =
            needed > SIZE_MAX / sizeof *slice->inputs ? NULL : malloc(needed * sizeof *slice->inputs);
        *room = slice->inputs ? needed : 0;
    }
    return slice->inputs ? FINE : NO_MEMORY;
}

enum outcome check_chunk(const struct check *check) {
    struct slice *slice = calloc(1, sizeof *slice);
    if (!slice) return NO_MEMORY;
    enum outcome outcome = FINE;
    size_t room = 0;
    for (size_t first = 0; outcome == FINE && first < check->chunk.record_count; first += SLICE_RECORDS) {
        outcome = take_slice(check, slice, first, &room);
        if (outcome == FINE) outcome = check_slice(check, slice, first);
    }
    free(slice->inputs);
    free(slice);
    return outcome;
}
