/* The properties of a table file, as RocksDB's own writer of external files gives them
 * (spec/aptosdb-schema.md 1.3).
 *
 * The same rows give the same bytes, so times are zero, and nothing says where or by whom the file was
 * written. This also matters to readers: RocksDB keys cached blocks by session identity and file number.
 * Without them in the file it takes those under which it knows the file itself; if they were fixed, all files
 * would share one key. */
#include "properties.h"

#include <string.h>

enum kind { NUMBER, FIXED32, FIXED64, TEXT };

struct property {
    const char *name;
    enum kind kind;
    uint64_t number;
    const char *text;
};

static int put_property(struct block *block, const struct property *property) {
    uint8_t number[VARINT64_BYTES], *end = number;
    switch (property->kind) {
        case NUMBER: end = put_varint(number, property->number); break;
        case FIXED32: end = put_u32(number, (uint32_t)property->number); break;
        case FIXED64: end = put_u64(number, property->number); break;
        case TEXT:
            return block_add(block, property->name, (const uint8_t *)property->text, strlen(property->text));
    }
    return block_add(block, property->name, number, (size_t)(end - number));
}

int put_properties(struct block *block, const struct table_counts *counts) {
    /* In the order of their names, as in every block. */
    const struct property all[] = {
        {"rocksdb.block.based.table.index.type", FIXED32, 0, NULL}, /* binary search, one level */
        {"rocksdb.block.based.table.prefix.filtering", TEXT, 0, "0"},
        {"rocksdb.block.based.table.whole.key.filtering", TEXT, 0, "1"},
        {"rocksdb.column.family.id", NUMBER, INT32_MAX, NULL}, /* not known */
        {"rocksdb.comparator", TEXT, 0, "leveldb.BytewiseComparator"},
        {"rocksdb.compression", TEXT, 0, "LZ4"},
        {"rocksdb.creation.time", NUMBER, 0, NULL},
        {"rocksdb.data.size", NUMBER, counts->data_bytes, NULL},
        {"rocksdb.deleted.keys", NUMBER, 0, NULL},
        /* Set, or overridden from the manifest, when the file is moved in over rows that it overlaps. */
        {"rocksdb.external_sst_file.global_seqno", FIXED64, 0, NULL},
        {"rocksdb.external_sst_file.version", FIXED32, 2, NULL},
        {"rocksdb.filter.size", NUMBER, 0, NULL},
        {"rocksdb.fixed.key.length", NUMBER, 0, NULL},
        {"rocksdb.format.version", NUMBER, 5, NULL},
        {"rocksdb.index.key.is.user.key", NUMBER, 1, NULL},
        {"rocksdb.index.size", NUMBER, counts->index_bytes, NULL},
        {"rocksdb.index.value.is.delta.encoded", NUMBER, 1, NULL},
        {"rocksdb.key.largest.seqno", NUMBER, 0, NULL},
        {"rocksdb.merge.operands", NUMBER, 0, NULL},
        {"rocksdb.merge.operator", TEXT, 0, "nullptr"},
        {"rocksdb.num.data.blocks", NUMBER, counts->blocks, NULL},
        {"rocksdb.num.entries", NUMBER, counts->rows, NULL},
        {"rocksdb.num.filter_entries", NUMBER, 0, NULL},
        {"rocksdb.num.range-deletions", NUMBER, 0, NULL},
        {"rocksdb.oldest.key.time", NUMBER, 0, NULL},
        {"rocksdb.prefix.extractor.name", TEXT, 0, "nullptr"},
        {"rocksdb.property.collectors", TEXT, 0, "[]"},
        {"rocksdb.raw.key.size", NUMBER, counts->key_bytes, NULL},
        {"rocksdb.raw.value.size", NUMBER, counts->value_bytes, NULL},
        {"rocksdb.tail.start.offset", NUMBER, counts->data_bytes, NULL},
    };
    int error = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && !error; i++) error = put_property(block, &all[i]);
    return error;
}
