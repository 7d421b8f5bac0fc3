/* avx2 -- AVX2 + FMA: 16 registers of 256 bits hold 6 x 2 accumulators, a row of b and a broadcast. */
#define ISA avx2
#define VECTOR_BYTES 32
#define MR 6
#define NV 2
#include <immintrin.h>
#define HOLD(v) __asm__("" : "+x"(v))
#define LARGER_f32 _mm256_max_ps
#define LARGER_f64 _mm256_max_pd
#define LOAD_FIRST_f32(p, count, lane) _mm256_maskload_ps(p, (__m256i)((lane) < (count)))
#define LOAD_FIRST_f64(p, count, lane) _mm256_maskload_pd(p, (__m256i)((lane) < (count)))
#define LOAD_HALVES_f32(low, high) _mm256_loadu2_m128(high, low)
#define LOAD_HALVES_f64(low, high) _mm256_loadu2_m128d(high, low)
#define STORE_HALVES_f32(low, high, v) _mm256_storeu2_m128(high, low, v)
#define STORE_HALVES_f64(low, high, v) _mm256_storeu2_m128d(high, low, v)
#include "../kernel/target_tpl.h"
