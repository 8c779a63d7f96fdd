/* Two messages at once: NEON, which every 64-bit ARM has. */
#include "sha3_levels.h"

#ifdef SHA3_ARM
#define LEVEL sha3_neon
#define LANES 2
#define LEFT 1
#define TARGET
#include "sha3_lanes.h"
#endif
