/* The compressor of LZ4 blocks: one probe of a hash table for each position, the first match is taken.
 *
 * A block is a row of sequences: a token (four bits of the number of literals, four of the match's length -
 * 4), more bytes of the first number if it is 15 or more, the literals, the distance of the match in two
 * bytes, more bytes of the second number. The last sequence is literals only. A match ends at least 5 bytes
 * before the end of the input and starts at least 12 before it. */
#include "lz4.h"

#include <stdbool.h>
#include <string.h>

#include "words.h"

#define MIN_MATCH 4
#define MAX_DISTANCE 65535
#define LAST_LITERALS 5
#define LAST_MATCH 12

/* Most rows of literals are no longer. */
#define SHORT 16

/* After 2^PATIENCE_BITS probes without a match steps grow by one, and again: hashes and keys are passed fast.
 * Against 6, which others take, a table gets 1 to 2 % larger, and is written 10 to 20 % faster. */
#define PATIENCE_BITS 4

static uint32_t hash(uint32_t four_bytes) { return four_bytes * 2654435761U >> (32 - LZ4_HASH_BITS); }

/* What a length adds behind its four bits in the token. */
static uint8_t *put_length(uint8_t *at, size_t length) {
    if (length < 15) return at;
    for (length -= 15; length >= 255; length -= 255) *at++ = 255;
    *at++ = (uint8_t)length;
    return at;
}

static uint8_t nibble(size_t length) { return (uint8_t)(length < 15 ? length : 15); }

/* Copies `count` bytes; one fixed copy where they are few, and both sides have room for it. */
static void copy(uint8_t *to, const uint8_t *to_end, const uint8_t *from, const uint8_t *from_end,
                 size_t count) {
    if (count <= SHORT && to_end - to >= SHORT && from_end - from >= SHORT) memcpy(to, from, SHORT);
    else memcpy(to, from, count);
}

/* What is compressed, and what of it is written so far. */
struct stream {
    const uint8_t *in, *in_end;
    uint8_t *at, *end;
};

/* One sequence, where there is surely room for it; `match` is 0 for the last one. */
static bool put_sequence(struct stream *s, const uint8_t *literals, size_t count, size_t distance,
                         size_t match) {
    size_t extra = match ? match - MIN_MATCH : 0;
    if (1 + count / 255 + 1 + count + 2 + extra / 255 + 1 > (size_t)(s->end - s->at)) return false;
    *s->at++ = (uint8_t)(nibble(count) << 4 | nibble(extra));
    s->at = put_length(s->at, count);
    copy(s->at, s->end, literals, s->in_end, count);
    s->at += count;
    if (!match) return true;
    *s->at++ = (uint8_t)distance;
    *s->at++ = (uint8_t)(distance >> 8);
    s->at = put_length(s->at, extra);
    return true;
}

size_t lz4_compress(struct lz4_table *table, const uint8_t *in, size_t size, uint8_t *out, size_t capacity) {
    memset(table, 0, sizeof *table);
    struct stream s = {in, in + size, out, out + capacity};
    uint32_t *places = table->places;
    const size_t last_start = size < LAST_MATCH ? 0 : size - LAST_MATCH;
    size_t anchor = 0, misses = 0;
    for (size_t position = 1; position <= last_start;) {
        uint32_t word = load32(in + position), *place = &places[hash(word)];
        size_t earlier = *place;
        *place = (uint32_t)position;
        if (load32(in + earlier) != word || position - earlier > MAX_DISTANCE) {
            position += 1 + (misses++ >> PATIENCE_BITS);
            continue;
        }
        while (position > anchor && earlier > 0 && in[position - 1] == in[earlier - 1]) {
            position--;
            earlier--;
        }
        size_t match = MIN_MATCH + shared_bytes(in + earlier + MIN_MATCH, in + position + MIN_MATCH,
                                                size - LAST_LITERALS - position - MIN_MATCH);
        if (!put_sequence(&s, in + anchor, position - anchor, position - earlier, match)) return 0;
        position += match;
        anchor = position;
        misses = 0;
        places[hash(load32(in + position - 2))] = (uint32_t)(position - 2);
    }
    return put_sequence(&s, in + anchor, size - anchor, 0, 0) ? (size_t)(s.at - out) : 0;
}
