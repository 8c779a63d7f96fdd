#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "module.h"
#include "sha3.h"

#define RATE 136

static const uint64_t ROUND_CONSTANTS[24] = {
    0x0000000000000001ULL, 0x0000000000008082ULL, 0x800000000000808aULL, 0x8000000080008000ULL, 0x000000000000808bULL,
    0x0000000080000001ULL, 0x8000000080008081ULL, 0x8000000000008009ULL, 0x000000000000008aULL, 0x0000000000000088ULL,
    0x0000000080008009ULL, 0x000000008000000aULL, 0x000000008000808bULL, 0x800000000000008bULL, 0x8000000000008089ULL,
    0x8000000000008003ULL, 0x8000000000008002ULL, 0x8000000000000080ULL, 0x000000000000800aULL, 0x800000008000000aULL,
    0x8000000080008081ULL, 0x8000000000008080ULL, 0x0000000080000001ULL, 0x8000000080008008ULL,
};
static const int ROTATIONS[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};
static const int PLACES[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};

static uint64_t rotated(uint64_t value, int by) { return value << by | value >> (64 - by); }

static void permute(uint64_t s[25]) {
    for (int round = 0; round < 24; round++) {
        uint64_t c[5], t;
        for (int x = 0; x < 5; x++) c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        for (int x = 0; x < 5; x++) {
            t = c[(x + 4) % 5] ^ rotated(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5) s[x + y] ^= t;
        }
        t = s[1];
        for (int i = 0; i < 24; i++) {
            uint64_t next = s[PLACES[i]];
            s[PLACES[i]] = rotated(t, ROTATIONS[i]);
            t = next;
        }
        for (int y = 0; y < 25; y += 5) {
            for (int x = 0; x < 5; x++) c[x] = s[y + x];
            for (int x = 0; x < 5; x++) s[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
        }
        s[0] ^= ROUND_CONSTANTS[round];
    }
}

static size_t absorb(uint64_t s[25], size_t at, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        s[at / 8] ^= (uint64_t)data[i] << (8 * (at % 8));
        if (++at == RATE) {
            permute(s);
            at = 0;
        }
    }
    return at;
}

void sha3_256_batch(const uint8_t *seed, const struct sha3_input *inputs, size_t count, uint8_t *out, size_t stride) {
    for (size_t i = 0; i < count; i++) {
        uint64_t s[25] = {0};
        size_t at = 0;
        if (seed) at = absorb(s, at, seed, SEED_BYTES);
        at = absorb(s, at, inputs[i].head, inputs[i].head_size);
        at = absorb(s, at, inputs[i].body, inputs[i].body_size);
        s[at / 8] ^= 6ULL << (8 * (at % 8));
        s[16] ^= 0x8000000000000000ULL;
        permute(s);
        memcpy(out + i * stride, s, SHA3_BYTES);
    }
}

PyMethodDef sha3_methods[] = {{NULL, NULL, 0, NULL}};
