/* Encodes the rows of the ledger tables. Same rows as `transaction_rows` in target/rows.py.
 * Source: spec/aptosdb-schema.md sections 2.1 and 2.2; blocks and senders spec/ledger-hashing.md
 * sections 6.1, 6.2. */
#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "ledger.h"

enum { ADDRESS_BYTES = 32, EVENT_KEY_BYTES = 40 };

static const uint8_t NO_AUXILIARY_INFO[] = {0}; /* what a record of format V0 stands for */

static uint64_t read_u64_le(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

/* ---- rows being written */

static void key_bytes(struct ledger_row *row, const uint8_t *bytes, size_t size) {
    memcpy(row->key + row->key_size, bytes, size);
    row->key_size += size;
}

static void key_number(struct ledger_row *row, uint64_t number) {
    write_u64_be(row->key + row->key_size, number);
    row->key_size += 8;
}

static void value_bytes(struct ledger_row *row, const uint8_t *bytes, size_t size) {
    memcpy(row->encoded + row->value_size, bytes, size);
    row->value_size += size;
}

/* As in a key; `value_u64` as BCS has it. */
static void value_number(struct ledger_row *row, uint64_t number) {
    write_u64_be(row->encoded + row->value_size, number);
    row->value_size += 8;
}

static void value_u64(struct ledger_row *row, uint64_t number) {
    write_u64_le(row->encoded + row->value_size, number);
    row->value_size += 8;
}

static void value_byte(struct ledger_row *row, uint8_t byte) { row->encoded[row->value_size++] = byte; }

static void value_part(struct ledger_row *row, struct part part) {
    row->value = part.data;
    row->value_size = part.size;
}

static struct ledger_row empty_row(void) {
    struct ledger_row row;
    row.key_size = row.value_size = 0;
    row.value = NULL;
    return row;
}

/* ---- parts */

static int part_row(uint64_t version, struct part part, take_row *take, void *context) {
    struct ledger_row row = empty_row();
    key_number(&row, version);
    value_part(&row, part);
    return take(context, &row);
}

static struct part auxiliary_info(const struct ledger *ledger, const struct record *record) {
    if (record->auxiliary_info == record->info) {
        return (struct part){NO_AUXILIARY_INFO, sizeof NO_AUXILIARY_INFO};
    }
    return part_between(&ledger->chunk, record->auxiliary_info, record->info);
}

static int by_hash_row(const struct ledger *ledger, uint64_t version, const struct record *record,
                       take_row *take, void *context) {
    struct ledger_row row = empty_row();
    key_bytes(&row, ledger->chunk.data + record->hashes + TRANSACTION_HASH, HASH_BYTES);
    value_number(&row, version);
    return take(context, &row);
}

/* ---- senders */

/* What keeps a user's transaction from being replayed. */
struct sender {
    const uint8_t *address;
    uint64_t sequence_number;
    bool has_nonce;
    uint64_t nonce;
};

/* The extra config at which `reader` stands: its version, perhaps a multisig account, perhaps a nonce. */
static bool read_nonce(struct reader *reader, struct sender *sender) {
    const uint8_t *data = reader->data;
    if (!walk_bytes(reader, 2)) return false;
    if (data[reader->offset - 1] && !walk_bytes(reader, ADDRESS_BYTES)) return false;
    if (!walk_bytes(reader, 1)) return false;
    sender->has_nonce = data[reader->offset - 1];
    if (!sender->has_nonce) return true;
    if (!walk_bytes(reader, 8)) return false;
    sender->nonce = read_u64_le(data + reader->offset - 8);
    return true;
}

/* Who sent a transaction; false if no user did. */
static bool read_sender(const struct ledger *ledger, const struct record *record, struct sender *sender) {
    enum { USER = 0, PAYLOAD_V2 = 4, ENCRYPTED_PAYLOAD = 5 };
    struct reader reader = {ledger->chunk.data, record->transaction, record->auxiliary_info};
    const uint8_t *start = reader.data + reader.offset;
    if (start[0] != USER || !walk_bytes(&reader, 1 + ADDRESS_BYTES + 8 + 1)) return false;
    sender->address = start + 1;
    sender->sequence_number = read_u64_le(start + 1 + ADDRESS_BYTES);
    sender->has_nonce = false;
    uint8_t payload = reader.data[reader.offset - 1];
    if (payload != PAYLOAD_V2 && payload != ENCRYPTED_PAYLOAD) return true;
    /* A version, or the state of the encryption; then what stands before the extra config. */
    return walk_bytes(&reader, 1)
        && walk_root(ledger->program, payload == PAYLOAD_V2 ? ROOT_EXECUTABLE : ROOT_CIPHERTEXT, &reader)
        && read_nonce(&reader, sender);
}

static int by_account_row(const struct ledger *ledger, uint64_t version, const struct record *record,
                          take_row *take, void *context) {
    struct sender sender;
    if (!read_sender(ledger, record, &sender) || sender.has_nonce) return 0;
    struct ledger_row row = empty_row();
    key_bytes(&row, sender.address, ADDRESS_BYTES);
    key_number(&row, sender.sequence_number);
    value_number(&row, version);
    return take(context, &row);
}

static int summary_row(const struct ledger *ledger, uint64_t version, const struct record *record,
                       take_row *take, void *context) {
    enum { SUMMARY_V1 = 0, NONCE = 0, SEQUENCE_NUMBER = 1 };
    struct sender sender;
    if (!read_sender(ledger, record, &sender)) return 0;
    struct ledger_row row = empty_row();
    key_bytes(&row, sender.address, ADDRESS_BYTES);
    key_number(&row, version);
    value_byte(&row, SUMMARY_V1);
    value_bytes(&row, sender.address, ADDRESS_BYTES);
    value_u64(&row, version);
    value_bytes(&row, ledger->chunk.data + record->hashes + TRANSACTION_HASH, HASH_BYTES);
    value_byte(&row, sender.has_nonce ? NONCE : SEQUENCE_NUMBER);
    value_u64(&row, sender.has_nonce ? sender.nonce : sender.sequence_number);
    return take(context, &row);
}

/* ---- events */

static int event_row(uint64_t version, uint64_t index, struct part event, take_row *take, void *context) {
    struct ledger_row row = empty_row();
    key_number(&row, version);
    key_number(&row, index);
    value_part(&row, event);
    return take(context, &row);
}

/* Whether an event has a handle: its key and its number there follow the variant. */
static bool has_handle(struct part event) {
    enum { WITH_HANDLE = 0 };
    return event.size > 1 + EVENT_KEY_BYTES + 8 && event.data[0] == WITH_HANDLE;
}

static int by_key_row(uint64_t version, uint64_t index, struct part event, take_row *take, void *context) {
    if (!has_handle(event)) return 0;
    struct ledger_row row = empty_row();
    key_bytes(&row, event.data + 1, EVENT_KEY_BYTES);
    key_number(&row, read_u64_le(event.data + 1 + EVENT_KEY_BYTES));
    value_number(&row, version);
    value_number(&row, index);
    return take(context, &row);
}

static int by_version_row(uint64_t version, uint64_t index, struct part event, take_row *take,
                          void *context) {
    if (!has_handle(event)) return 0;
    struct ledger_row row = empty_row();
    key_bytes(&row, event.data + 1, EVENT_KEY_BYTES);
    key_number(&row, version);
    key_number(&row, read_u64_le(event.data + 1 + EVENT_KEY_BYTES));
    value_number(&row, index);
    return take(context, &row);
}

/* ---- blocks */

struct block {
    const uint8_t *id, *proposer;
    uint64_t epoch, round, height, timestamp;
};

/* Whether an event is of the handle 3 of 0x1, which announces blocks. */
static bool announces_block(struct part event) {
    static const uint8_t handle[EVENT_KEY_BYTES] = {[0] = 3, [EVENT_KEY_BYTES - 1] = 1};
    return has_handle(event) && memcmp(event.data + 1, handle, sizeof handle) == 0;
}

/* Reads what the event says of its block; false where it is malformed. */
static bool read_block(const struct ledger *ledger, struct part event, struct block *block) {
    struct reader reader = {event.data, 1 + EVENT_KEY_BYTES + 8, event.size};
    uint32_t size;
    if (!walk_root(ledger->program, ROOT_TYPE_TAG, &reader)) return false;
    if (!read_count(&reader, &size) || size != reader.end - reader.offset) return false;
    const uint8_t *start = event.data + reader.offset;
    if (!walk_bytes(&reader, HASH_BYTES + 3 * 8)) return false;
    block->id = start;
    block->epoch = read_u64_le(start + HASH_BYTES);
    block->round = read_u64_le(start + HASH_BYTES + 8);
    block->height = read_u64_le(start + HASH_BYTES + 16);
    /* Votes for the block before. */
    if (!read_count(&reader, &size) || !walk_bytes(&reader, size)) return false;
    block->proposer = event.data + reader.offset;
    if (!walk_bytes(&reader, ADDRESS_BYTES)) return false;
    /* Proposers that failed. */
    if (!read_count(&reader, &size) || !walk_bytes(&reader, 8 * (uint64_t)size)) return false;
    if (!walk_bytes(&reader, 8)) return false;
    block->timestamp = read_u64_le(event.data + reader.offset - 8);
    return reader.offset == reader.end;
}

static int block_row(const struct ledger *ledger, enum ledger_table table, uint64_t version,
                     struct part event, take_row *take, void *context) {
    enum { BLOCK_INFO_V0 = 0 };
    struct block block;
    if (!announces_block(event)) return 0;
    if (!read_block(ledger, event, &block)) return LEDGER_REFUSED;
    struct ledger_row row = empty_row();
    if (table == BLOCK_BY_VERSION) {
        key_number(&row, version);
        value_number(&row, block.height);
        return take(context, &row);
    }
    key_number(&row, block.height);
    value_byte(&row, BLOCK_INFO_V0);
    value_bytes(&row, block.id, HASH_BYTES);
    value_u64(&row, block.epoch);
    value_u64(&row, block.round);
    value_bytes(&row, block.proposer, ADDRESS_BYTES);
    value_u64(&row, version);
    value_u64(&row, block.timestamp);
    return take(context, &row);
}

/* ---- records */

static int event_rows(const struct ledger *ledger, enum ledger_table table, uint64_t version,
                      const struct record *record, take_row *take, void *context) {
    int failed = 0;
    for (uint64_t index = 0; index < record->event_count && !failed; index++) {
        struct part event = event_at(&ledger->chunk, record, (size_t)index);
        switch (table) {
        case EVENT: failed = event_row(version, index, event, take, context); break;
        case EVENT_BY_KEY: failed = by_key_row(version, index, event, take, context); break;
        case EVENT_BY_VERSION: failed = by_version_row(version, index, event, take, context); break;
        default: failed = block_row(ledger, table, version, event, take, context); break;
        }
    }
    return failed;
}

int record_rows(const struct ledger *ledger, enum ledger_table table, uint64_t version,
                const struct record *record, take_row *take, void *context) {
    const struct chunk *chunk = &ledger->chunk;
    switch (table) {
    case WRITE_SET:
        return part_row(version, part_between(chunk, record->write_set, record->end), take, context);
    case TRANSACTION_INFO:
        return part_row(version, part_between(chunk, record->info, record->events), take, context);
    case TRANSACTION:
        return part_row(version, part_between(chunk, record->transaction, record->auxiliary_info), take,
                        context);
    case AUXILIARY_INFO: return part_row(version, auxiliary_info(ledger, record), take, context);
    case TRANSACTION_BY_HASH: return by_hash_row(ledger, version, record, take, context);
    case TRANSACTION_BY_ACCOUNT: return by_account_row(ledger, version, record, take, context);
    case TRANSACTION_SUMMARIES: return summary_row(ledger, version, record, take, context);
    default: return event_rows(ledger, table, version, record, take, context);
    }
}
