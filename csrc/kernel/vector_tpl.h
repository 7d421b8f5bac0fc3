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

/* 0, 1, 2, ...: what shuffles and masks are computed from. A loop over lanes would not become a constant. */
static inline mask NAME(iota)(void)
{
    static const WORD numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mask m;
    __builtin_memcpy(&m, numbers, sizeof m);
    return m;
}

static inline vec NAME(load)(const REAL *p)
{
    return *(const mem *)p;
}

static inline void NAME(store)(REAL *p, vec v)
{
    *(mem *)p = v;
}

/* sum + v * *a, where *a gets no register of its own. */
__attribute__((always_inline)) static inline vec NAME(add_times)(vec sum, vec v, const REAL *a)
{
#ifdef ADD_TIMES_f32
    NAME(ADD_TIMES)(sum, v, a);
    return sum;
#else
    return sum + v * *a;
#endif
}

/* Lines of p[0, count) are called, which no prefetcher would: elsewhere, or too few in a row. Inline: a function that does no more than
 * that has no effect in the compiler's eyes. */
__attribute__((always_inline)) static inline void NAME(call_lines)(const REAL *p, idx count)
{
    for (idx i = 0; i < count; i += ALIGNMENT / (idx)sizeof(REAL))
        __builtin_prefetch(p + i);
}

/* a in the lanes of a mask, else b, to the last bit. */
__attribute__((always_inline)) static inline vec NAME(where)(mask in, vec a, vec b)
{
    return (vec)(((mask)a & in) | ((mask)b & ~in));
}

static inline vec NAME(size)(vec v)
{
    return (vec)((mask)v & ~(mask)(-(vec){0}));
}

/* a > b ? a : b, which is b where one is a NaN. A comparison gives all ones where it holds. */
static inline vec NAME(larger)(vec a, vec b)
{
#ifdef LARGER_f32
    return NAME(LARGER)(a, b);
#else
    return NAME(where)(a > b, a, b);
#endif
}

/* max(v, 0) that keeps a NaN. */
static inline vec NAME(relu)(vec v)
{
    return NAME(larger)((vec){0}, v);
}

/* The first `count` lanes of p, zeros after; reads nothing at or beyond `end`. */
static inline vec NAME(load_some)(const REAL *p, idx count, const REAL *end)
{
#ifdef LOAD_FIRST_f32
    (void)end;
    return (vec)NAME(LOAD_FIRST)(p, (mask){0} + (WORD)count, NAME(iota)());
#else
    vec v = {0};
    if (p + LANES <= end)
        return (vec)((mask)NAME(load)(p) & (NAME(iota)() < (mask){0} + (WORD)count));
    for (int lane = 0; lane < LANES; lane++)
        if (lane < count)
            v[lane] = p[lane];
    return v;
#endif
}

/* The first `count` lanes to p. */
static inline void NAME(store_some)(REAL *p, vec v, idx count)
{
    if (count == LANES) {
        NAME(store)(p, v);
        return;
    }
#ifdef STORE_FIRST_f32
    NAME(STORE_FIRST)(p, (mask){0} + (WORD)count, NAME(iota)(), v);
#else
    __builtin_memcpy(p, &v, (size_t)count * sizeof(REAL));
#endif
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

/* N rows turned round, N a power of two up to LANES, by log2(N) rounds of swaps between rows: r[j][g + i] = src[i][g + j]
 * for i, j < N and g = 0, N, 2 * N, ... */
__attribute__((always_inline)) static inline void NAME(turn)(vec *r, const REAL *const *src, const int N)
{
#pragma GCC unroll 16
    for (int i = 0; i < N; i++)
        r[i] = NAME(load)(src[i]);
#pragma GCC unroll 4
    for (int s = 1; s < N; s *= 2) {
        /* lanes with bit s come from the second row, shifted by s; the others from the first */
        const mask low = NAME(iota)() + (((NAME(iota)() & s) != 0) & (LANES - s)), high = low + s;
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            if (!(i & s)) {
                vec a = r[i], b = r[i + s];
                r[i] = __builtin_shuffle(a, b, low);
                r[i + s] = __builtin_shuffle(a, b, high);
            }
    }
}

/* Sums of lanes that are `half` apart, of a and then of b; in every 128 bits by themselves where half is less, beyond which shuffles cost more. */
__attribute__((always_inline)) static inline vec NAME(fold)(vec a, vec b, const int half)
{
    const int span = half >= (int)(16 / sizeof(REAL)) ? LANES : (int)(16 / sizeof(REAL));
    const mask lane = NAME(iota)(), at = lane & (span / 2 - 1);
    const mask from = (lane & -span) + 2 * at - (at & (half - 1)) + (lane & (span / 2)) * (2 * LANES / span);
    return __builtin_shuffle(a, b, from) + __builtin_shuffle(a, b, from + half);
}

/* The sums of all lanes of r[i], i < n, in lane i. The order of additions is that of `sum`. */
__attribute__((always_inline)) static inline vec NAME(fold_all)(vec *r, int n)
{
    const int parts = VECTOR_BYTES / 16; /* the folds leave i in lane i / parts of part i % parts */
    const mask lane = NAME(iota)(), order = (lane & (parts - 1)) * (LANES / parts) + lane / parts;
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2, n = (n + 1) / 2)
#pragma GCC unroll 8
        for (int i = 0; i < (n + 1) / 2; i++)
            r[i] = NAME(fold)(r[2 * i], r[2 * i + 1 < n ? 2 * i + 1 : 2 * i], half);
    return __builtin_shuffle(r[0], order);
}

/* sums[i] = the sum of rows[i * LANES] and the LANES - 1 after it, i < count, a constant; `sums` has room for a whole vector at the end. */
__attribute__((always_inline)) static inline void NAME(sum_each)(REAL *sums, const REAL *rows, const int count)
{
#pragma GCC unroll 16
    for (int first = 0; first < count; first += LANES) {
        const int n = count - first < LANES ? count - first : LANES;
        vec r[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < n; i++)
            r[i] = NAME(load)(rows + (first + i) * LANES);
        NAME(store)(sums + first, NAME(fold_all)(r, n));
    }
}

/* dst[j * to + i] = src[i][j] for i, j < LANES. */
static inline void NAME(transpose_rows)(REAL *dst, idx to, const REAL *const *src)
{
    vec r[LANES];
    NAME(turn)(r, src, LANES);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        NAME(store)(dst + i * to, r[i]);
}

static inline void NAME(transpose)(REAL *dst, idx to, const REAL *src, idx from)
{
    const REAL *rows[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++, src += from) {
        __asm__("" : "+r"(src)); /* one addition each; the compiler would multiply in vectors */
        rows[i] = src;
    }
    NAME(transpose_rows)(dst, to, rows);
}

/* dst[i] = src[i], i < n: the same bytes may be moved twice, none outside is touched. */
static inline void NAME(copy)(REAL *dst, const REAL *src, idx n)
{
    if (n >= LANES) {
        for (idx i = 0; i + LANES <= n; i += LANES)
            NAME(store)(dst + i, NAME(load)(src + i));
        NAME(store)(dst + n - LANES, NAME(load)(src + n - LANES));
        return;
    }
    /* two halves that overlap: the largest power of two that fits, from either end */
    for (idx half = LANES / 2; half > 0; half /= 2)
        if (n >= half) {
            const size_t bytes = (size_t)half * sizeof(REAL);
            REAL *last = dst + n - half;
            const REAL *from = src + n - half;
            switch (bytes) {
            case 32:
                __builtin_memcpy(dst, src, 32);
                __builtin_memcpy(last, from, 32);
                return;
            case 16:
                __builtin_memcpy(dst, src, 16);
                __builtin_memcpy(last, from, 16);
                return;
            case 8:
                __builtin_memcpy(dst, src, 8);
                __builtin_memcpy(last, from, 8);
                return;
            default:
                *dst = *src;
                return;
            }
        }
}

/* ---- pieces: the lanes that one shuffle of two vectors reaches. A target whose shuffles do not cross the middle of a vector
 * defines LOAD_HALVES and STORE_HALVES; what is to be shuffled is then loaded with its halves `apart`, wherever they have to be. ---- */
#ifdef LOAD_HALVES_f32
#define PIECE (LANES / 2)
#else
#define PIECE LANES
#endif

static inline vec NAME(load_pieces)(const REAL *p, idx apart)
{
#ifdef LOAD_HALVES_f32
    return NAME(LOAD_HALVES)(p, p + apart);
#else
    (void)apart;
    return NAME(load)(p);
#endif
}

static inline void NAME(store_pieces)(REAL *p, idx apart, vec v)
{
#ifdef LOAD_HALVES_f32
    NAME(STORE_HALVES)(p, p + apart, v);
#else
    (void)apart;
    NAME(store)(p, v);
#endif
}

/* The lane of its piece that each is, and the first of that. */
#define LANE_OF_PIECE (NAME(iota)() & (PIECE - 1))
#define FIRST_OF_PIECE (NAME(iota)() & -PIECE)

/* Of each piece: the even lanes of a, then of b; the odd ones. */
__attribute__((always_inline)) static inline vec NAME(evens)(vec a, vec b)
{
    const mask lane = 2 * LANE_OF_PIECE;
    return __builtin_shuffle(a, b, FIRST_OF_PIECE + lane + ((lane >= PIECE) & (LANES - PIECE)));
}

__attribute__((always_inline)) static inline vec NAME(odds)(vec a, vec b)
{
    const mask lane = 2 * LANE_OF_PIECE;
    return __builtin_shuffle(a, b, FIRST_OF_PIECE + lane + 1 + ((lane >= PIECE) & (LANES - PIECE)));
}

/* Of each piece: lanes of a and b in turn, from its lower half; from the upper one. */
__attribute__((always_inline)) static inline vec NAME(turns_low)(vec a, vec b)
{
    return __builtin_shuffle(a, b, FIRST_OF_PIECE + LANE_OF_PIECE / 2 + (NAME(iota)() & 1) * LANES);
}

__attribute__((always_inline)) static inline vec NAME(turns_high)(vec a, vec b)
{
    return __builtin_shuffle(a, b, FIRST_OF_PIECE + LANE_OF_PIECE / 2 + PIECE / 2 + (NAME(iota)() & 1) * LANES);
}

/* Of each piece: the lanes of v from lane `by` on, then every second one of `more` from lane `odd` on. */
__attribute__((always_inline)) static inline vec NAME(moved)(vec v, vec more, const int by, const int odd)
{
    const mask lane = LANE_OF_PIECE + by;
    return __builtin_shuffle(v, more, NAME(iota)() + by + ((lane >= PIECE) & (LANES - 2 * PIECE + odd + lane)));
}

/* The even elements of 2 * LANES of them. */
static inline vec NAME(load_even)(const REAL *p)
{
    return NAME(evens)(NAME(load_pieces)(p, 2 * PIECE), NAME(load_pieces)(p + PIECE, 2 * PIECE));
}

#define SHUFFLED_STEP 4 /* elements that are no further apart are shuffled, others are loaded one by one */

/* LANES elements, `step` <= SHUFFLED_STEP apart: reads step * LANES of them. */
__attribute__((always_inline)) static inline vec NAME(load_step)(const REAL *p, const int step)
{
    const mask lane = NAME(iota)();
    if (step == 1)
        return NAME(load)(p);
    if (step == 2)
        return NAME(load_even)(p);
    if (step == 4)
        return __builtin_shuffle(NAME(load_even)(p), NAME(load_even)(p + 2 * LANES), 2 * lane);
    /* of three vectors: those that the first two have, then the others */
    const mask two = 3 * lane < 2 * LANES;
    return __builtin_shuffle(__builtin_shuffle(NAME(load)(p), NAME(load)(p + LANES), 3 * lane), NAME(load)(p + 2 * LANES),
                             (lane & two) | ((3 * lane - LANES) & ~two));
}

/* LANES elements, `stride` apart, and nothing but them. */
static inline vec NAME(load_each)(const REAL *p, idx stride)
{
    vec v;
    for (int lane = 0; lane < LANES; lane++)
        v[lane] = p[lane * stride];
    return v;
}

/* The same, with a stride of 2 from as many pairs: one element more is read. */
static inline vec NAME(load_strided)(const REAL *p, idx stride)
{
    return stride == 1 ? NAME(load)(p) : stride == 2 ? NAME(load_even)(p) : NAME(load_each)(p, stride);
}
