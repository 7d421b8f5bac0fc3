/* avx512 -- AVX-512 (F, VL, DQ, BW): 32 registers of 512 bits hold 14 x 2 accumulators. */
#define ISA avx512
#define VECTOR_BYTES 64
#define MR 14
#define NV 2
#ifdef __AVX512F__ /* but where tests/sanitize.sh has it emulated */
#include <immintrin.h>
#define HOLD(v) __asm__("" : "+v"(v))
#ifndef __SANITIZE_ADDRESS__ /* which sees no reads of assembly, and is built without the optimizations that fuse the others' products */
#define ADD_TIMES_f32(sum, v, a) __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(v), "m"(*(a)))
#define ADD_TIMES_f64(sum, v, a) __asm__("vfmadd231pd %2%{1to8%}, %1, %0" : "+v"(sum) : "v"(v), "m"(*(a)))
#endif
#define LARGER_f32 _mm512_max_ps
#define LARGER_f64 _mm512_max_pd
#define LOAD_FIRST_f32(p, count, lane) _mm512_maskz_loadu_ps(_mm512_cmplt_epi32_mask((__m512i)(lane), (__m512i)(count)), p)
#define LOAD_FIRST_f64(p, count, lane) _mm512_maskz_loadu_pd(_mm512_cmplt_epi64_mask((__m512i)(lane), (__m512i)(count)), p)
#define STORE_FIRST_f32(p, count, lane, v) _mm512_mask_storeu_ps(p, _mm512_cmplt_epi32_mask((__m512i)(lane), (__m512i)(count)), v)
#define STORE_FIRST_f64(p, count, lane, v) _mm512_mask_storeu_pd(p, _mm512_cmplt_epi64_mask((__m512i)(lane), (__m512i)(count)), v)
#endif
#include "../kernel/target_tpl.h"
