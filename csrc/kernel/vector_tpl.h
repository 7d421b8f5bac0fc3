/* vector -- names and vector types of one dtype on one ISA.
 *
 * Included by target_tpl.h once for each dtype with REAL (float, double) and DT (f32, f64) defined; the target defines
 * VECTOR_BYTES, MR, NV. NAME(x) is x with the dtype appended, so that both dtypes live in one object.
 */
#ifndef NAME
#define NAME_JOIN(x, dt) x##_##dt
#define NAME_EXPAND(x, dt) NAME_JOIN(x, dt)
#define NAME(x) NAME_EXPAND(x, DT)
#endif

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* In registers, and in memory at any address of a REAL. */
typedef REAL NAME(vec) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL NAME(mem) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
#define vec NAME(vec)
#define mem NAME(mem)

static inline vec NAME(load)(const REAL *p)
{
    return *(const mem *)p;
}

static inline void NAME(store)(REAL *p, vec v)
{
    *(mem *)p = v;
}

/* max(v, 0) that keeps a NaN: the lanes below zero are cleared. A comparison gives all ones where it holds. */
static inline vec NAME(relu)(vec v)
{
    typedef __typeof__(v < 0) mask;
    return (vec)((mask)v & ~(v < 0));
}
