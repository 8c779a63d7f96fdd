/* Which level of SHA3-256 does the work: the best that this CPU can run, or the one that was chosen. */
#include "sha3.h"

#include <stdatomic.h>
#include <string.h>

#include "sha3_levels.h"
#include "sha3_work.h"

struct level {
    const char *name;
    bool (*available)(void);
    void (*wide)(struct sha3_work *work);
    void (*narrow)(struct sha3_work *work); /* goes on where the wide one ends */
};

static bool always(void) { return true; }

#ifdef SHA3_X86
static bool has_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}
#endif

static const struct level levels[] = {
#ifdef SHA3_X86
    {"avx512", has_avx512, sha3_avx512, sha3_avx512_half},
    {"avx2", has_avx2, sha3_avx2, sha3_scalar},
#endif
#ifdef SHA3_ARM
    {"neon", always, sha3_neon, sha3_scalar},
#endif
    {"scalar", always, sha3_scalar, sha3_scalar},
};
#define LEVELS (sizeof levels / sizeof *levels)

/* NULL until the first batch; each thread that finds that would choose the same. */
static const struct level *_Atomic chosen;

static const struct level *best(void) {
    const struct level *level = levels;
    while (!level->available()) level++;
    return level;
}

size_t sha3_available(const char *names[SHA3_MAX_LEVELS]) {
    size_t count = 0;
    for (size_t i = 0; i < LEVELS; i++) {
        if (levels[i].available()) names[count++] = levels[i].name;
    }
    return count;
}

bool sha3_choose(const char *name) {
    for (size_t i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i].name, name) != 0 || !levels[i].available()) continue;
        atomic_store(&chosen, &levels[i]);
        return true;
    }
    return false;
}

void sha3_256_batch(const uint8_t *seed, const struct sha3_input *inputs, size_t count, uint8_t *out,
                    size_t stride) {
    const struct level *level = atomic_load(&chosen);
    if (!level) atomic_store(&chosen, level = best());
    struct sha3_work work = {.seed = seed, .inputs = inputs, .count = count, .out = out, .stride = stride};
    level->wide(&work);
    level->narrow(&work);
}
