/* target -- everything compiled once for an ISA: both dtypes, and the one table that leaves the object.
 *
 * The includer defines ISA, VECTOR_BYTES, MR and NV; and LARGER_f32 and LARGER_f64 where one instruction gives a > b ? a : b;
 * likewise LOAD_FIRST_ and STORE_FIRST_ where one moves the lanes before `count` and touches no others; LOAD_HALVES_ and STORE_HALVES_ where shuffles of two
 * vectors stay within their halves (vector_tpl.h, pieces); HOLD where a vector is to wait in a register, which the compiler would rather read
 * from memory for each of its uses; ADD_TIMES_ where a multiplication can read a number and spread it over its lanes, which the compiler has
 * it do for numbers of one use alone.
 */
#ifndef HOLD
#define HOLD(v) ((void)0)
#endif
#define STENCIL_WIDE (MR >= 14 ? 8 : 4) /* vectors: two rows of them and the source are registers */

/* A case for each height: what is inlined needs it as a constant, and a switch is what C has instead of a template argument. */
#define CASES_4(CASE) CASE(1) CASE(2) CASE(3) CASE(4)
#define CASES_6(CASE) CASES_4(CASE) CASE(5) CASE(6)
#define CASES_8(CASE) CASES_6(CASE) CASE(7) CASE(8)
#define CASES_12(CASE) CASES_8(CASE) CASE(9) CASE(10) CASE(11) CASE(12)
#define CASES_14(CASE) CASES_12(CASE) CASE(13) CASE(14)
#if MR >= 14
#define CASES_MR CASES_14
#else
#define CASES_MR CASES_6
#endif
_Static_assert(MR == 14 || MR == 6, "tiles of other heights have no case");

#include <float.h>
#include <math.h>

#include "../layouts.h"
#include "../plane_layouts.h"
#include "../transform_layouts.h"

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
