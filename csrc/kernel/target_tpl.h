/* target -- everything compiled once for an ISA: both dtypes, and the one table that leaves the object.
 *
 * The includer defines ISA, VECTOR_BYTES, MR and NV.
 */
#define STENCIL_WIDE (MR >= 14 ? 8 : 4) /* vectors: two rows of them and the source are registers */

#include <float.h>
#include <math.h>

#include "../layouts.h"

#define REAL float
#define WIDE double
#define WIDE_SQRT sqrt
#define TINY FLT_MIN
#define WORD int32_t
#define EXP expf
#define SQRT sqrtf
#define ERF erff
#define TANH tanhf
#define DT f32
#include "set_tpl.h"
#undef REAL
#undef WIDE
#undef WIDE_SQRT
#undef TINY
#undef WORD
#undef EXP
#undef SQRT
#undef ERF
#undef TANH
#undef DT

#define REAL double
#define WIDE long double
#define WIDE_SQRT sqrtl
#define TINY DBL_MIN
#define WORD int64_t
#define EXP exp
#define SQRT sqrt
#define ERF erf
#define TANH tanh
#define DT f64
#include "set_tpl.h"
#undef REAL
#undef WIDE
#undef WIDE_SQRT
#undef TINY
#undef WORD
#undef EXP
#undef SQRT
#undef ERF
#undef TANH
#undef DT

#define TABLE_JOIN(isa) kernels_##isa
#define TABLE_EXPAND(isa) TABLE_JOIN(isa)
#define TEXT_JOIN(isa) #isa
#define TEXT_EXPAND(isa) TEXT_JOIN(isa)

extern const kernel_table TABLE_EXPAND(ISA);
const kernel_table TABLE_EXPAND(ISA) = {.name = TEXT_EXPAND(ISA), .mr = MR, .nv = NV, .set = {&set_f32, &set_f64}};
