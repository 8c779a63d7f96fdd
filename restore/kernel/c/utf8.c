/* Whether bytes are UTF-8. Source: Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences". */
#include "utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080ULL

/* Bytes of the character at `text`, of which at most `left` are there; 0 where it is malformed. */
static size_t character(const uint8_t *text, size_t left) {
    uint8_t first = text[0], low = 0x80, high = 0xbf;
    size_t size;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (first < 0xe0) {
        size = 2;
    } else if (first < 0xf0) {
        size = 3;
        if (first == 0xe0) low = 0xa0;  /* no overlong form */
        if (first == 0xed) high = 0x9f; /* no surrogate */
    } else {
        size = 4;
        if (first == 0xf0) low = 0x90;
        if (first == 0xf4) high = 0x8f; /* at most U+10FFFF */
    }
    if (size > left || text[1] < low || text[1] > high) return 0;
    for (size_t i = 2; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
    }
    return size;
}

bool is_utf8(const uint8_t *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= sizeof eight) {
            memcpy(&eight, text + at, sizeof eight);
            if (!(eight & HIGH_BITS)) {
                at += sizeof eight;
                continue;
            }
        }
        size_t step = character(text + at, size - at);
        if (step == 0) return false;
        at += step;
    }
    return true;
}
