/* Eight messages at once: AVX-512. */
#include "sha3_levels.h"

#ifdef SHA3_X86
#define LEVEL sha3_avx512
#define LANES 8
#define LEFT 4
#define TARGET __attribute__((target("avx512f,avx512vl")))
#include "sha3_lanes.h"
#endif
