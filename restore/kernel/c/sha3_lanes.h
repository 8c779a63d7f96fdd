/* SHA3-256 of as many messages at once as a vector has lanes: the body of every level. A level's file defines
 *     LEVEL     the name of its function
 *     LANES     how many messages
 *     LEFT      it ends where no more messages than these are left; 0 for none
 *     TARGET    the attribute of functions that use its instructions, or nothing
 * and includes this. The permutation is that of FIPS 202, section 3: word i of a state is the lane at
 * x = i % 5, y = i / 5 there. It is written so that a compiler finds rotations and three-way logic where the
 * target has them, and that 25 words and what changes them stay in registers where there are 32.
 */
#include "sha3_levels.h"
#include "sha3_work.h"

#if LANES == 1
typedef uint64_t vector;
#else
typedef uint64_t vector __attribute__((vector_size(8 * LANES)));
#endif

/* The states side by side: word i of all of them is one vector. */
union states {
    vector vectors[STATE_WORDS];
    uint64_t words[STATE_WORDS][LANES];
};

static const uint64_t round_constants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#define ROTATED(value, by) ((value) << (by) | (value) >> (64 - (by)))

/* Theta: what each column of the words `a` is changed by. */
#define THETA(a)                                                                                            \
    c0 = a##0 ^ a##5 ^ a##10 ^ a##15 ^ a##20;                                                               \
    c1 = a##1 ^ a##6 ^ a##11 ^ a##16 ^ a##21;                                                               \
    c2 = a##2 ^ a##7 ^ a##12 ^ a##17 ^ a##22;                                                               \
    c3 = a##3 ^ a##8 ^ a##13 ^ a##18 ^ a##23;                                                               \
    c4 = a##4 ^ a##9 ^ a##14 ^ a##19 ^ a##24;                                                               \
    d0 = c4 ^ ROTATED(c1, 1);                                                                               \
    d1 = c0 ^ ROTATED(c2, 1);                                                                               \
    d2 = c1 ^ ROTATED(c3, 1);                                                                               \
    d3 = c2 ^ ROTATED(c4, 1);                                                                               \
    d4 = c3 ^ ROTATED(c0, 1)

/* Chi: a row `e`, of the five words that rho and pi bring there. */
#define CHI(e0, e1, e2, e3, e4, word0, word1, word2, word3, word4)                                          \
    b0 = word0, b1 = word1, b2 = word2, b3 = word3, b4 = word4;                                             \
    e0 = b0 ^ (~b1 & b2);                                                                                   \
    e1 = b1 ^ (~b2 & b3);                                                                                   \
    e2 = b2 ^ (~b3 & b4);                                                                                   \
    e3 = b3 ^ (~b4 & b0);                                                                                   \
    e4 = b4 ^ (~b0 & b1)

/* One round: from the words `a` to the words `e`. */
#define ROUND(a, e, constant)                                                                               \
    THETA(a);                                                                                               \
    CHI(e##0, e##1, e##2, e##3, e##4, a##0 ^ d0, ROTATED(a##6 ^ d1, 44), ROTATED(a##12 ^ d2, 43),           \
        ROTATED(a##18 ^ d3, 21), ROTATED(a##24 ^ d4, 14));                                                  \
    e##0 ^= constant;                                                                                       \
    CHI(e##5, e##6, e##7, e##8, e##9, ROTATED(a##3 ^ d3, 28), ROTATED(a##9 ^ d4, 20),                       \
        ROTATED(a##10 ^ d0, 3), ROTATED(a##16 ^ d1, 45), ROTATED(a##22 ^ d2, 61));                          \
    CHI(e##10, e##11, e##12, e##13, e##14, ROTATED(a##1 ^ d1, 1), ROTATED(a##7 ^ d2, 6),                    \
        ROTATED(a##13 ^ d3, 25), ROTATED(a##19 ^ d4, 8), ROTATED(a##20 ^ d0, 18));                          \
    CHI(e##15, e##16, e##17, e##18, e##19, ROTATED(a##4 ^ d4, 27), ROTATED(a##5 ^ d0, 36),                  \
        ROTATED(a##11 ^ d1, 10), ROTATED(a##17 ^ d2, 15), ROTATED(a##23 ^ d3, 56));                         \
    CHI(e##20, e##21, e##22, e##23, e##24, ROTATED(a##2 ^ d2, 62), ROTATED(a##8 ^ d3, 55),                  \
        ROTATED(a##14 ^ d4, 39), ROTATED(a##15 ^ d0, 41), ROTATED(a##21 ^ d1, 2))

TARGET static void permute(vector s[STATE_WORDS]) {
    vector a0 = s[0], a1 = s[1], a2 = s[2], a3 = s[3], a4 = s[4];
    vector a5 = s[5], a6 = s[6], a7 = s[7], a8 = s[8], a9 = s[9];
    vector a10 = s[10], a11 = s[11], a12 = s[12], a13 = s[13], a14 = s[14];
    vector a15 = s[15], a16 = s[16], a17 = s[17], a18 = s[18], a19 = s[19];
    vector a20 = s[20], a21 = s[21], a22 = s[22], a23 = s[23], a24 = s[24];
    vector b0, b1, b2, b3, b4, c0, c1, c2, c3, c4, d0, d1, d2, d3, d4;
    vector e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12;
    vector e13, e14, e15, e16, e17, e18, e19, e20, e21, e22, e23, e24;
    for (size_t round = 0; round < 24; round += 2) {
        ROUND(a, e, round_constants[round]);
        ROUND(e, a, round_constants[round + 1]);
    }
    s[0] = a0, s[1] = a1, s[2] = a2, s[3] = a3, s[4] = a4;
    s[5] = a5, s[6] = a6, s[7] = a7, s[8] = a8, s[9] = a9;
    s[10] = a10, s[11] = a11, s[12] = a12, s[13] = a13, s[14] = a14;
    s[15] = a15, s[16] = a16, s[17] = a17, s[18] = a18, s[19] = a19;
    s[20] = a20, s[21] = a21, s[22] = a22, s[23] = a23, s[24] = a24;
}

#if LANES == 8
#define OF_EACH_LANE(value)                                                                                 \
    {value(0), value(1), value(2), value(3), value(4), value(5), value(6), value(7)}
#elif LANES == 4
#define OF_EACH_LANE(value) {value(0), value(1), value(2), value(3)}
#elif LANES == 2
#define OF_EACH_LANE(value) {value(0), value(1)}
#else
#define OF_EACH_LANE(value) value(0)
#endif

/* Takes in the next block of each message; where that is its first, the state is still another's. */
TARGET static void absorb(vector s[STATE_WORDS], struct sha3_work *work) {
    static const uint8_t nothing[RATE_BYTES];
    uint8_t spaces[LANES][RATE_BYTES];
    const uint8_t *blocks[LANES];
    uint64_t kept[LANES];
    for (size_t i = 0; i < LANES; i++) {
        struct sha3_lane *lane = &work->lanes[i];
        kept[i] = lane->begun ? UINT64_MAX : 0;
        blocks[i] = lane->digest ? sha3_next_block(lane, spaces[i]) : nothing;
    }
#define KEPT(lane) kept[lane]
#define WORD(lane) sha3_word(blocks[lane] + 8 * i)
    vector keep = OF_EACH_LANE(KEPT);
    for (size_t i = 0; i < RATE_WORDS; i++) {
        vector words = OF_EACH_LANE(WORD);
        s[i] = (s[i] & keep) ^ words;
    }
    for (size_t i = RATE_WORDS; i < STATE_WORDS; i++) s[i] &= keep;
}

/* Gives out the digests of messages that have ended, and lets others begin in their lanes. */
static void replace_ended(const union states *states, struct sha3_work *work) {
    for (size_t i = 0; i < LANES; i++) {
        struct sha3_lane *lane = &work->lanes[i];
        if (!lane->digest || !lane->ended) continue;
        for (size_t word = 0; word < SHA3_BYTES / 8; word++) {
            memcpy(lane->digest + 8 * word, &states->words[word][i], 8);
        }
        work->active--;
        sha3_begin(work, lane);
    }
}

/* Begins as many messages as there are lanes for, beside those that a wider level has left. */
static void enter(union states *states, struct sha3_work *work) {
    for (size_t i = 0; i < LANES; i++) {
        struct sha3_lane *lane = &work->lanes[i];
        if (i >= work->active) sha3_begin(work, lane);
        for (size_t word = 0; word < STATE_WORDS; word++) states->words[word][i] = lane->state[word];
    }
}

/* Leaves the messages that are not finished in the first lanes, for a narrower level to go on. */
static void leave(const union states *states, struct sha3_work *work) {
    for (size_t i = 0, to = 0; to < work->active; i++) {
        if (!work->lanes[i].digest) continue;
        work->lanes[to] = work->lanes[i];
        for (size_t word = 0; word < STATE_WORDS; word++) {
            work->lanes[to].state[word] = states->words[word][i];
        }
        to++;
    }
}

TARGET void LEVEL(struct sha3_work *work) {
    if (work->active + (work->count - work->next) <= LEFT) return;
    union states states;
    enter(&states, work);
    while (work->active > LEFT) {
        absorb(states.vectors, work);
        permute(states.vectors);
        replace_ended(&states, work);
    }
    leave(&states, work);
}
