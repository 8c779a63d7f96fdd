/* CRC-32C: eight bytes at a time where the CPU has an instruction; else, and in the last bytes, four bits. */
#include "crc32c.h"

#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <nmmintrin.h>
#define HARDWARE __attribute__((target("sse4.2")))
#define HAS_HARDWARE() __builtin_cpu_supports("sse4.2")
#define NEXT(crc, word) _mm_crc32_u64(crc, word)
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HARDWARE
#define HAS_HARDWARE() 1
#define NEXT(crc, word) __crc32cd((uint32_t)(crc), word)
#endif

/* What four bits at the low end do to the rest; the polynomial is 0x82F63B78, reflected. */
static const uint32_t NIBBLES[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

static uint32_t by_nibbles(uint32_t crc, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
    }
    return crc;
}

#ifdef HARDWARE
HARDWARE static uint32_t by_words(uint32_t crc, const uint8_t *data, size_t words) {
    uint64_t wide = crc;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, data + 8 * i, sizeof word);
        wide = NEXT(wide, word);
    }
    return (uint32_t)wide;
}
#endif

uint32_t crc32c(const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    size_t done = 0;
#ifdef HARDWARE
    if (HAS_HARDWARE()) {
        done = size / 8 * 8;
        crc = by_words(crc, data, size / 8);
    }
#endif
    return ~by_nibbles(crc, data + done, size - done);
}
