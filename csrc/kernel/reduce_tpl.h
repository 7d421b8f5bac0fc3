/* reduce -- sums along a run, whole vectors in four chains; a chain's lane sums at most 128 terms before they are added to
 * the others. */
#define REDUCE_RUN (128 * 4 * LANES)

/* The lanes of a sum over i < count of a[i], or of (a[i] - ca) * (b[i] - cb) where b is given. */
static inline __attribute__((always_inline)) vec NAME(reduce)(const REAL *a, REAL ca, const REAL *b, REAL cb, idx count,
                                                              const REAL *a_end, const REAL *b_end)
{
    vec total = {0};
    for (idx i0 = 0; i0 < count; i0 += REDUCE_RUN) {
        const idx end = min_idx(count, i0 + REDUCE_RUN);
        vec sum[4] = {{0}};
        idx i = i0;
        for (; i + 4 * LANES <= end; i += 4 * LANES)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) {
                const vec x = NAME(load)(a + i + v * LANES);
                sum[v] += b ? (x - ca) * (NAME(load)(b + i + v * LANES) - cb) : x;
            }
        for (; i < end; i += LANES) {
            const vec x = NAME(load_some)(a + i, end - i, a_end);
            const vec term = b ? (x - ca) * (NAME(load_some)(b + i, end - i, b_end) - cb) : x;
            sum[0] += (vec)((mask)term & (NAME(iota)() < (mask){0} + (WORD)min_idx(LANES, end - i)));
        }
        total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    return total;
}
#undef REDUCE_RUN
