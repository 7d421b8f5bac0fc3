/* vector -- names and vector types of one dtype on one ISA.
 *
 * Included by target_tpl.h once for each dtype with REAL (float, double), WORD (an integer as wide) and DT (f32, f64) defined; the target defines
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

/* One element wide integers, for masks and shuffles. */
typedef WORD NAME(mask) __attribute__((vector_size(VECTOR_BYTES)));
#define mask NAME(mask)

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
    return (vec)((mask)v & ~(v < 0));
}

/* The first `count` lanes of p, zeros after; reads nothing at or beyond `end`. */
static inline vec NAME(load_some)(const REAL *p, idx count, const REAL *end)
{
    mask keep;
    vec v = {0};
    for (int lane = 0; lane < LANES; lane++)
        keep[lane] = lane;
    if (p + LANES <= end)
        return (vec)((mask)NAME(load)(p) & (keep < (mask){0} + (WORD)count));
    for (int lane = 0; lane < LANES; lane++)
        if (lane < count)
            v[lane] = p[lane];
    return v;
}

static inline REAL NAME(sum)(vec v)
{
    REAL half[LANES];
    NAME(store)(half, v);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int lane = 0; lane < width; lane++)
            half[lane] += half[lane + width];
    return half[0];
}

/* dst[j * to + i] = src[i * from + j] for i, j < LANES: log2(LANES) rounds of swaps between rows. */
static inline void NAME(transpose)(REAL *dst, idx to, const REAL *src, idx from)
{
    vec r[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        r[i] = NAME(load)(src + i * from);
#pragma GCC unroll 4
    for (int s = 1; s < LANES; s *= 2) {
        mask low, high;
#pragma GCC unroll 16
        for (int lane = 0; lane < LANES; lane++) {
            low[lane] = lane & s ? LANES + lane - s : lane;
            high[lane] = lane & s ? LANES + lane : lane + s;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & s)) {
                vec a = r[i], b = r[i + s];
                r[i] = __builtin_shuffle(a, b, low);
                r[i + s] = __builtin_shuffle(a, b, high);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        NAME(store)(dst + i * to, r[i]);
}
