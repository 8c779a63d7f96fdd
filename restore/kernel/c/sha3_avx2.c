/* Four messages at once: AVX2. */
#include "sha3_levels.h"

#ifdef SHA3_X86
#define LEVEL sha3_avx2
#define LANES 4
#define LEFT 1
#define TARGET __attribute__((target("avx2")))
#include "sha3_lanes.h"
#endif
