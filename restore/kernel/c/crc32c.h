/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), with the instruction that CPUs have for it. */
#ifndef RESTORE_CRC32C_H
#define RESTORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const uint8_t *data, size_t size);

#endif
