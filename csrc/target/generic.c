/* generic -- 128-bit vectors, the compiler's baseline: 16 registers hold 6 x 2 accumulators. */
#define ISA generic
#define VECTOR_BYTES 16
#define MR 6
#define NV 2
#ifdef __SSE2__
#include <emmintrin.h>
#define HOLD(v) __asm__("" : "+x"(v))
#define LARGER_f32 _mm_max_ps
#define LARGER_f64 _mm_max_pd
#endif
#include "../kernel/target_tpl.h"
