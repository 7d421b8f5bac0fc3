/* avx2 -- AVX2 + FMA: 16 registers of 256 bits hold 6 x 2 accumulators, a row of b and a broadcast. */
#define ISA avx2
#define VECTOR_BYTES 32
#define MR 6
#define NV 2
#include <immintrin.h>
#define LARGER_f32 _mm256_max_ps
#define LARGER_f64 _mm256_max_pd
#include "../kernel/target_tpl.h"
