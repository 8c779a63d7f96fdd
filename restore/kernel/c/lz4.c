/* The compressor of LZ4 blocks: one probe of a hash table for each position, the first match is taken.
 *
 * A block is a row of sequences: a token (four bits of the number of literals, four of the match's length - 4), more
 * bytes of the first number if it is 15 or more, the literals, the distance of the match in two bytes, more bytes of
 * the second number. The last sequence is literals only. A match ends at least 5 bytes before the end of the input and
 * starts at least 12 before it. */
#include "lz4.h"

#include <string.h>

#include "words.h"

#define MIN_MATCH 4
#define MAX_DISTANCE 65535
#define LAST_LITERALS 5
#define LAST_MATCH 12

/* After so many probes (a power of two) without a match steps grow by one: data that does not compress is passed fast. */
#define PATIENCE_BITS 6

static uint32_t hash(uint32_t four_bytes) { return four_bytes * 2654435761U >> (32 - LZ4_HASH_BITS); }

/* What a length adds behind its four bits in the token. */
static uint8_t *put_length(uint8_t *at, size_t length) {
    if (length < 15) return at;
    for (length -= 15; length >= 255; length -= 255) *at++ = 255;
    *at++ = (uint8_t)length;
    return at;
}

static uint8_t nibble(size_t length) { return (uint8_t)(length < 15 ? length : 15); }

/* One sequence; `match` is 0 for the last one. The place behind it, or NULL where there may be no room. */
static uint8_t *put_sequence(uint8_t *at, const uint8_t *end, const uint8_t *literals, size_t count, size_t distance,
                             size_t match) {
    size_t extra = match ? match - MIN_MATCH : 0;
    if (1 + count / 255 + 1 + count + 2 + extra / 255 + 1 > (size_t)(end - at)) return NULL;
    *at++ = (uint8_t)(nibble(count) << 4 | nibble(extra));
    at = put_length(at, count);
    memcpy(at, literals, count);
    at += count;
    if (!match) return at;
    *at++ = (uint8_t)distance;
    *at++ = (uint8_t)(distance >> 8);
    return put_length(at, extra);
}

/* Remembers `position`, and gives the place that was there before. */
static uint32_t swap(struct lz4_table *table, const uint8_t *in, size_t position) {
    uint32_t *slot = &table->places[hash(load32(in + position))];
    uint32_t before = *slot;
    *slot = table->base + (uint32_t)position;
    return before;
}

/* The position that `place` stands for, if the bytes there match those at `position`; else `position` itself. */
static size_t candidate(const struct lz4_table *table, const uint8_t *in, size_t position, uint32_t place) {
    if (place < table->base) return position;
    size_t earlier = place - table->base;
    if (position - earlier > MAX_DISTANCE || load32(in + earlier) != load32(in + position)) return position;
    return earlier;
}

static void begin(struct lz4_table *table, size_t size) {
    if (table->base == 0 || size > UINT32_MAX - table->base) {
        memset(table->places, 0, sizeof table->places);
        table->base = 1;
    }
}

size_t lz4_compress(struct lz4_table *table, const uint8_t *in, size_t size, uint8_t *out, size_t capacity) {
    uint8_t *at = out, *end = out + capacity;
    size_t anchor = 0, position = 0, misses = 0;
    begin(table, size);
    while (size >= LAST_MATCH && position <= size - LAST_MATCH) {
        size_t earlier = candidate(table, in, position, swap(table, in, position));
        if (earlier == position) {
            position += 1 + (misses++ >> PATIENCE_BITS);
            continue;
        }
        while (position > anchor && earlier > 0 && in[position - 1] == in[earlier - 1]) {
            position--;
            earlier--;
        }
        size_t match = MIN_MATCH + shared_bytes(in + earlier + MIN_MATCH, in + position + MIN_MATCH,
                                                size - LAST_LITERALS - position - MIN_MATCH);
        at = put_sequence(at, end, in + anchor, position - anchor, position - earlier, match);
        if (!at) break;
        position += match;
        anchor = position;
        misses = 0;
        swap(table, in, position - 2);
    }
    table->base += (uint32_t)size;
    if (at) at = put_sequence(at, end, in + anchor, size - anchor, 0, 0);
    return at ? (size_t)(at - out) : 0;
}
