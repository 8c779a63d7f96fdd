/* Passes over BCS values: the interpreter of the programs that wire/program.py compiles.
 *
 * A sequence of operations ends with END; those of an option's, vector's or map's content stand inside it,
 * those of a recursive type elsewhere. Every offset is compared with the end before anything is read, and
 * every address with the program, so that no program can read beyond either.
 *
 * Accepts exactly what the closures of wire/layouts.py accept. Source: spec/ledger-hashing.md section 2.1.
 */
#include "walk.h"

#include <string.h>

#include "bytes.h"
#include "utf8.h"

/* Each with its operands; restore/wire/program.py numbers them alike. */
enum operation {
    END,
    SKIP,         /* bytes: passes over them */
    BOOLEAN,      /* one byte, 0 or 1 */
    BYTES,        /* a length, and so many bytes */
    TEXT,         /* the same, of UTF-8 */
    OPTION,       /* words: a byte says whether the content follows; its operations take so many words */
    FIXED_VECTOR, /* bytes: a length, and so many elements of that size */
    VECTOR,       /* words: a length, and so many elements; the operations of one, with their END */
    MAP,          /* words, words: a length, and so many pairs; the operations of a key, those of a value */
    STRUCT,       /* address: of the operations of a struct that can get deep */
    ENUM,         /* address: of the number of variants, then of the address of each */
    METADATA_V1,  /* slot deposit, bytes deposit (a node writes no 0 there), creation time */
    REFUSE,       /* nothing that a node writes */
};

static bool walk_sequence(const struct program *program, size_t at, struct reader *reader, unsigned depth);

uint32_t program_word(const struct program *program, size_t address) {
    uint32_t word = END;
    if (address < program->count) memcpy(&word, program->words + address * sizeof word, sizeof word);
    return word;
}

bool walk_bytes(struct reader *reader, uint64_t size) {
    if (size > reader->end - reader->offset) return false;
    reader->offset += size;
    return true;
}

bool read_count(struct reader *reader, uint32_t *count) {
    uint64_t length = 0;
    const uint8_t *after = read_length(reader->data + reader->offset, reader->data + reader->end, &length);
    if (!after) return false;
    reader->offset = (size_t)(after - reader->data);
    *count = (uint32_t)length;
    return true;
}

static bool walk_flag(struct reader *reader, bool *flag) {
    if (reader->offset == reader->end || reader->data[reader->offset] > 1) return false;
    *flag = reader->data[reader->offset++];
    return true;
}

static bool walk_text(struct reader *reader) {
    uint32_t size;
    if (!read_count(reader, &size)) return false;
    size_t start = reader->offset;
    return walk_bytes(reader, size) && is_utf8(reader->data + start, size);
}

static bool walk_vector(const struct program *program, size_t element, struct reader *reader,
                        unsigned depth) {
    uint32_t count;
    if (!read_count(reader, &count)) return false;
    for (; count > 0; count--) {
        if (!walk_sequence(program, element, reader, depth)) return false;
    }
    return true;
}

/* Whether the bytes of one key sort after those of another. */
static bool is_after(const uint8_t *key, size_t size, const uint8_t *previous, size_t previous_size) {
    int order = memcmp(key, previous, size < previous_size ? size : previous_size);
    return order > 0 || (order == 0 && size > previous_size);
}

static bool walk_map(const struct program *program, size_t key, size_t value, struct reader *reader,
                     unsigned depth) {
    uint32_t count;
    if (!read_count(reader, &count)) return false;
    const uint8_t *previous = reader->data;
    size_t previous_size = 0; /* below every key: no key is empty */
    for (; count > 0; count--) {
        size_t start = reader->offset;
        if (!walk_sequence(program, key, reader, depth)) return false;
        const uint8_t *encoded = reader->data + start;
        size_t size = reader->offset - start;
        if (!is_after(encoded, size, previous, previous_size)) return false;
        previous = encoded;
        previous_size = size;
        if (!walk_sequence(program, value, reader, depth)) return false;
    }
    return true;
}

static bool walk_enum(const struct program *program, size_t table, struct reader *reader, unsigned depth) {
    if (reader->offset == reader->end) return false;
    uint8_t index = reader->data[reader->offset++];
    /* An index of two bytes or more is unknown too: no enum has more than 127 variants. */
    if (index >= program_word(program, table) || depth >= MAX_DEPTH) return false;
    return walk_sequence(program, program_word(program, table + 1 + index), reader, depth + 1);
}

static bool walk_metadata_v1(struct reader *reader) {
    static const uint8_t none[8];
    size_t start = reader->offset;
    return walk_bytes(reader, 24) && memcmp(reader->data + start + 8, none, sizeof none) != 0;
}

/* Recursion ends with the depth: content of a vector or a map stands inside its operations, and whatever
 * stands elsewhere counts. */
static bool walk_sequence(const struct program *program, size_t at, struct reader *reader, unsigned depth) {
    for (;;) {
        uint32_t operation = program_word(program, at);
        uint32_t operand = program_word(program, at + 1);
        uint32_t count;
        bool flag, fine;
        at += 2;
        switch (operation) {
        case END: return true;
        case SKIP: fine = walk_bytes(reader, operand); break;
        case BOOLEAN:
            at--;
            fine = walk_flag(reader, &flag);
            break;
        case BYTES:
            at--;
            fine = read_count(reader, &count) && walk_bytes(reader, count);
            break;
        case TEXT:
            at--;
            fine = walk_text(reader);
            break;
        case OPTION:
            fine = walk_flag(reader, &flag);
            if (fine && !flag) at += operand;
            break;
        case FIXED_VECTOR:
            fine = read_count(reader, &count) && walk_bytes(reader, (uint64_t)count * operand);
            break;
        case VECTOR:
            fine = walk_vector(program, at, reader, depth);
            at += operand;
            break;
        case MAP: {
            uint32_t value_words = program_word(program, at);
            at++;
            fine = walk_map(program, at, at + operand, reader, depth);
            at += (size_t)operand + value_words;
            break;
        }
        case STRUCT: fine = depth < MAX_DEPTH && walk_sequence(program, operand, reader, depth + 1); break;
        case ENUM: fine = walk_enum(program, operand, reader, depth); break;
        case METADATA_V1:
            at--;
            fine = walk_metadata_v1(reader);
            break;
        default: /* REFUSE */ return false;
        }
        if (!fine) return false;
    }
}

bool walk_value(const struct program *program, uint32_t address, struct reader *reader) {
    return walk_sequence(program, address, reader, 0);
}

bool walk_root(const struct program *program, enum root root, struct reader *reader) {
    return walk_value(program, program_word(program, root), reader);
}
