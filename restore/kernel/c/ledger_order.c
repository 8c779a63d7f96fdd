/* Gives the rows of a ledger table in ascending order, whatever order they come about in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accumulator.h"
#include "bytes.h"
#include "ledger.h"

#define GROVE_RECORDS 1024 /* whose event accumulators are hashed together */
#define FIRST_ROOM 1024    /* rows */

/* ---- event accumulators: their nodes are hashed many at once */

/* The event accumulators of neighbouring records. */
struct grove {
    uint64_t first_version;
    size_t leaf_counts[GROVE_RECORDS];
    size_t trees;
    size_t nodes;
    const uint8_t *leaves;
    uint64_t *positions;
    uint8_t *hashes;
};

static int take_grove(const struct ledger *ledger, size_t first, size_t end, struct grove *grove) {
    uint64_t next = 0; /* event */
    grove->first_version = ledger->first_version + first;
    grove->trees = grove->nodes = 0;
    grove->leaves = ledger->event_hashes;
    for (size_t i = first; i < end; i++) {
        struct record record;
        if (!record_at(&ledger->chunk, i, &record)) return LEDGER_REFUSED;
        if (i == first) {
            next = record.first_event;
            grove->leaves += next * HASH_BYTES;
        }
        if (record.first_event != next) return LEDGER_REFUSED;
        next += record.event_count;
        grove->leaf_counts[grove->trees++] = (size_t)record.event_count;
        grove->nodes += (size_t)complete_nodes(record.event_count);
    }
    return 0;
}

static int give_grove(const struct grove *grove, take_row *take, void *context) {
    int failed = 0;
    size_t node = 0;
    for (size_t tree = 0; tree < grove->trees; tree++) {
        size_t end = node + (size_t)complete_nodes(grove->leaf_counts[tree]);
        for (; node < end && !failed; node++) {
            struct ledger_row row = {
                .key_size = 16, .value = grove->hashes + node * HASH_BYTES, .value_size = HASH_BYTES};
            write_u64_be(row.key, grove->first_version + tree);
            write_u64_be(row.key + 8, grove->positions[node]);
            failed = take(context, &row);
        }
    }
    return failed;
}

static int grow_grove(const struct ledger *ledger, size_t first, size_t end, struct grove *grove,
                      take_row *take, void *context) {
    int failed = take_grove(ledger, first, end, grove);
    if (failed || grove->nodes == 0) return failed;
    struct forest forest = {ledger->node_seed, grove->trees, grove->leaf_counts, grove->leaves};
    grove->positions = calloc(grove->nodes, sizeof *grove->positions);
    grove->hashes = calloc(grove->nodes, HASH_BYTES);
    failed = ENOMEM;
    if (grove->positions && grove->hashes && forest_nodes(&forest, grove->positions, grove->hashes)) {
        failed = give_grove(grove, take, context);
    }
    free(grove->positions);
    free(grove->hashes);
    return failed;
}

static int accumulator_rows(const struct ledger *ledger, size_t first, size_t end, take_row *take,
                            void *context) {
    struct grove *grove = calloc(1, sizeof *grove);
    int failed = grove ? 0 : ENOMEM;
    for (; first < end && !failed; first += GROVE_RECORDS) {
        size_t stop = end - first > GROVE_RECORDS ? first + GROVE_RECORDS : end;
        failed = grow_grove(ledger, first, stop, grove, take, context);
    }
    free(grove);
    return failed;
}

/* ---- tables whose keys ascend with the version */

static int plain_rows(const struct ledger *ledger, enum ledger_table table, size_t first, size_t end,
                      take_row *take, void *context) {
    int failed = 0;
    for (size_t i = first; i < end && !failed; i++) {
        struct record record;
        if (!record_at(&ledger->chunk, i, &record)) return LEDGER_REFUSED;
        failed = record_rows(ledger, table, ledger->first_version + i, &record, take, context);
    }
    return failed;
}

/* ---- tables whose keys do not: small rows, all of them encoded, collected and sorted */

struct collected {
    uint8_t key[LEDGER_KEY_BYTES];
    uint8_t value[LEDGER_VALUE_BYTES];
    uint8_t key_size;
    uint8_t value_size;
    uint32_t order; /* in which they came */
};

struct collection {
    struct collected *rows;
    size_t count;
    size_t room;
};

static int collect(void *context, const struct ledger_row *row) {
    struct collection *collection = context;
    if (collection->count == collection->room) {
        size_t room = collection->room ? 2 * collection->room : FIRST_ROOM;
        struct collected *larger = NULL;
        if (room <= UINT32_MAX && room <= SIZE_MAX / sizeof *larger) {
            larger = realloc(collection->rows, room * sizeof *larger);
        }
        if (!larger) return ENOMEM;
        collection->rows = larger;
        collection->room = room;
    }
    struct collected *place = &collection->rows[collection->count];
    memcpy(place->key, row->key, row->key_size);
    memcpy(place->value, row->encoded, row->value_size);
    place->key_size = (uint8_t)row->key_size;
    place->value_size = (uint8_t)row->value_size;
    place->order = (uint32_t)collection->count++;
    return 0;
}

/* All keys of a table have the same size. */
static int compare(const void *one, const void *other) {
    const struct collected *left = *(struct collected *const *)one,
                           *right = *(struct collected *const *)other;
    int order = memcmp(left->key, right->key, left->key_size);
    if (order) return order;
    return left->order < right->order ? -1 : left->order > right->order;
}

static int give_sorted(const struct collection *collection, take_row *take, void *context) {
    size_t count = collection->count;
    const struct collected **sorted = calloc(count, sizeof *sorted);
    if (!sorted) return ENOMEM;
    for (size_t i = 0; i < count; i++) sorted[i] = &collection->rows[i];
    qsort(sorted, count, sizeof *sorted, compare);
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) {
        const struct collected *from = sorted[i];
        if (i + 1 < count && memcmp(from->key, sorted[i + 1]->key, from->key_size) == 0) continue;
        struct ledger_row row = {
            .key_size = from->key_size, .value = from->value, .value_size = from->value_size};
        memcpy(row.key, from->key, from->key_size);
        failed = take(context, &row);
    }
    free(sorted);
    return failed;
}

static int sorted_rows(const struct ledger *ledger, enum ledger_table table, size_t first, size_t end,
                       take_row *take, void *context) {
    struct collection collection = {NULL, 0, 0};
    int failed = plain_rows(ledger, table, first, end, collect, &collection);
    if (!failed && collection.count > 0) failed = give_sorted(&collection, take, context);
    free(collection.rows);
    return failed;
}

int ledger_rows(const struct ledger *ledger, enum ledger_table table, size_t first, size_t end,
                take_row *take, void *context) {
    if (table == EVENT_ACCUMULATOR) return accumulator_rows(ledger, first, end, take, context);
    if (table < TRANSACTION_BY_HASH) return plain_rows(ledger, table, first, end, take, context);
    return sorted_rows(ledger, table, first, end, take, context);
}
