/* machine -- what the costs take from the machine beyond their arithmetic: measured, where the targets' registers are 16 (Zen 3, AVX2) and
 * where they are 32 of 64 bytes (Sapphire Rapids, AVX-512). How a blocking or a tile differs between them stands with the algorithm.
 */
#ifndef FASTCONV_MACHINE_H
#define FASTCONV_MACHINE_H

#include "kernels.h"

/* Cycles, or a share of the cycles on paper. */
typedef struct {
    double far_line;      /* share of a line from memory or to it: others are called meanwhile */
    double gemm_run;      /* to see where a run of a row comes from, for the channels of a block */
    double weights_pack;  /* an element of the panels of bwd_weights by gemm */
    double channels_task; /* to begin with an image: less than it takes, since others share it */
    double channels_few;  /* share: a tile that is left after the few products of one channel */
    double stencil_loads; /* share of a vector's load, anywhere in a row: two where it crosses lines, as half of the short vectors do and nearly all long ones */
    double stencil;       /* share of all */
    double slide_line;    /* a line of planes that the second-level cache keeps */
    double slide_far;     /* a line from memory or to it, a strip's from every row */
    double planes_turn;   /* a vector that is turned, with its load and its store; the shuffles of long ones go one by one */
    double planes_near;   /* share: products from the second-level cache, of long vectors a line for each */
    double winograd_some; /* a vector of transformed weights that is not full: stored by a mask, or element by element */
    double winograd_line; /* a line of transformed kernels that no cache keeps */
    double winograd_left; /* of the source's transforms that the second-level cache has no room for */
    double winograd_spilled; /* of all transforms, written to memory and read */
    double winograd_far;  /* of the source or the results, from memory or to it */
    double fft_apart;     /* a vector of a pair whose elements move one by one */
    double fft_again;     /* a line that the second-level cache, where it is small, has lost before its next columns are wanted */
} machine_costs;

/* Whether a target has 16 vector registers: its tiles are small, and take terms faster than they come. */
static inline int small_tiles(const conv_plan *plan)
{
    return plan->kernels->mr < 14;
}

static inline const machine_costs *machine_of(const conv_plan *plan)
{
    static const machine_costs small = {
        .far_line = 1, .gemm_run = 22, .weights_pack = 1.5, .channels_task = 800, .channels_few = 1.15, .stencil_loads = 1.45, .stencil = 1,
        .slide_line = 6, .slide_far = 25, .planes_turn = 6.5, .planes_near = 1.1,
        .winograd_some = 10, .winograd_line = 0, .winograd_left = 18, .winograd_spilled = 80, .winograd_far = 30,
        .fft_apart = 35, .fft_again = 50,
    };
    static const machine_costs wide = {
        .far_line = 0.4, .gemm_run = 44, .weights_pack = 1, .channels_task = 400, .channels_few = 1.3, .stencil_loads = 1.9, .stencil = 0.9,
        .slide_line = 3, .slide_far = 11, .planes_turn = 11.5, .planes_near = 1,
        .winograd_some = 6, .winograd_line = 4, .winograd_left = 7, .winograd_spilled = 40, .winograd_far = 8,
        .fft_apart = 25, .fft_again = 2,
    };
    return small_tiles(plan) ? &small : &wide;
}

#endif
