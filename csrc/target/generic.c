/* generic -- 128-bit vectors, the compiler's baseline: 16 registers hold 6 x 2 accumulators. */
#define ISA generic
#define VECTOR_BYTES 16
#define MR 6
#define NV 2
#include "../kernel/target_tpl.h"
