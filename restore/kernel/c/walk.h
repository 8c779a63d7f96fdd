/* Passes over BCS values by a table of layouts, compiled to a program of 32-bit words (wire/program.py). */
#ifndef RESTORE_WALK_H
#define RESTORE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_DEPTH 500 /* the limit that BCS puts on structs and enums inside each other */

/* The program begins with the addresses of the types that the kernel itself asks for, in this order. */
enum root {
    ROOT_TRANSACTION,
    ROOT_AUXILIARY_INFO,
    ROOT_TRANSACTION_INFO,
    ROOT_EXECUTION_STATUS,
    ROOT_EVENT,
    ROOT_WRITE_SET,
    ROOT_TYPE_TAG,
    ROOT_PAYLOAD,
    ROOT_EXECUTABLE,
    ROOT_CIPHERTEXT,
    ROOT_ENCRYPTED,
};

struct program {
    const uint8_t *words; /* native byte order, perhaps unaligned */
    size_t count;
};

/* Bytes that are read from `offset` on, and never at or beyond `end`. */
struct reader {
    const uint8_t *data;
    size_t offset;
    size_t end;
};

/* The word at `address`; 0, which ends a sequence, beyond the program. */
uint32_t program_word(const struct program *program, size_t address);

/* Passes over one value of the type at `address`; false where it is malformed. */
bool walk_value(const struct program *program, uint32_t address, struct reader *reader);

/* Passes over one value of a type that the kernel knows. */
bool walk_root(const struct program *program, enum root root, struct reader *reader);

/* Passes over `size` bytes, if they are there. */
bool walk_bytes(struct reader *reader, uint64_t size);

/* Reads the length of a sequence: ULEB128 in its shortest form, at most 2^31 - 1. */
bool read_count(struct reader *reader, uint32_t *count);

#endif
