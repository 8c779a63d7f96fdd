/* One message at a time, in plain C. */
#define LEVEL sha3_scalar
#define LANES 1
#define LEFT 0
#define TARGET
#include "sha3_lanes.h"
