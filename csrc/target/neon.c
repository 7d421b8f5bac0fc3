/* neon -- 128-bit vectors, AArch64: 32 registers hold 6 x 4 accumulators. */
#define ISA neon
#define VECTOR_BYTES 16
#define MR 6
#define NV 4
#define HOLD(v) __asm__("" : "+w"(v))
#include "../kernel/target_tpl.h"
