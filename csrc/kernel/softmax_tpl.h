/* softmax -- exp(x) / sum(exp(x)) along an axis, or its logarithm, without overflow.
 *
 * Along the last axis lanes go along the sum; along another they are sums beside each other, SOFTMAX_VECTORS vectors of them at a time, row by
 * row. A sum is cut into blocks of SOFTMAX_BLOCK vectors or rows. What is not finite makes NaN of all results of its sum.
 */
#define SOFTMAX_BLOCK 32

/* `count` lanes of p, -Inf after, which is the largest of nothing and whose exponential is zero. */
static inline vec NAME(softmax_load)(const REAL *p, idx count, const REAL *end)
{
    if (count >= LANES)
        return NAME(load)(p);
    const mask inside = NAME(iota)() < (mask){0} + (WORD)count;
    return (vec)((mask)NAME(load_some)(p, count, end) | ((mask)((vec){0} - INFINITY) & ~inside));
}

static inline void NAME(softmax_store)(REAL *p, vec v, idx count)
{
    if (count >= LANES)
        NAME(store)(p, v);
    else
        NAME(copy)(p, (const REAL *)&v, count);
}

static void NAME(softmax_along)(const softmax *s, idx row)
{
    const REAL *const x = (const REAL *)s->x + row * s->size, *const end = (const REAL *)s->x + s->outer * s->size;
    REAL *const y = (REAL *)s->y + row * s->size;
    vec most = (vec){0} - INFINITY;
    for (idx j = 0; j < s->size; j += LANES)
        most = NAME(larger)(NAME(softmax_load)(x + j, s->size - j, end), most);
    const REAL highest = NAME(highest)(most);
    WIDE total = 0;
    for (idx j = 0; j < s->size;) {
        vec sum = {0};
        for (const idx stop = min_idx(s->size, j + SOFTMAX_BLOCK * LANES); j < stop; j += LANES) {
            const vec e = NAME(exp)(NAME(softmax_load)(x + j, s->size - j, end) - highest);
            if (!s->logarithm)
                NAME(softmax_store)(y + j, e, s->size - j);
            sum += e;
        }
        total += (WIDE)NAME(sum)(sum);
    }
    const REAL divisor = (REAL)total, logarithm = (REAL)log((double)total);
    for (idx j = 0; j < s->size; j += LANES) {
        const idx left = s->size - j;
        const vec v = s->logarithm ? NAME(softmax_load)(x + j, left, end) - highest - logarithm : NAME(load_some)(y + j, left, y + s->size) / divisor;
        NAME(softmax_store)(y + j, v, left);
    }
}

/* The sums at columns [first, first + columns) of the planes behind x. */
static void NAME(softmax_across)(const softmax *s, const REAL *x, REAL *y, idx columns, const REAL *end)
{
    vec most[SOFTMAX_VECTORS], sum[SOFTMAX_VECTORS], block[SOFTMAX_VECTORS];
    const int vectors = (int)ceil_div(columns, LANES);
    for (int q = 0; q < vectors; q++) {
        most[q] = (vec){0} - INFINITY;
        sum[q] = block[q] = (vec){0};
    }
    for (idx i = 0; i < s->size; i++)
        for (int q = 0; q < vectors; q++)
            most[q] = NAME(larger)(NAME(softmax_load)(x + i * s->inner + q * LANES, columns - q * LANES, end), most[q]);
    for (idx i = 0; i < s->size; i++) {
        for (int q = 0; q < vectors; q++) {
            const idx at = i * s->inner + q * LANES, left = columns - q * LANES;
            const vec e = NAME(exp)(NAME(softmax_load)(x + at, left, end) - most[q]);
            if (!s->logarithm)
                NAME(softmax_store)(y + at, e, left);
            block[q] += e;
        }
        if ((i + 1) % SOFTMAX_BLOCK == 0 || i + 1 == s->size)
            for (int q = 0; q < vectors; q++) {
                sum[q] += block[q];
                block[q] = (vec){0};
            }
    }
    for (int q = 0; q < vectors && s->logarithm; q++)
        for (int lane = 0; lane < LANES; lane++)
            sum[q][lane] = (REAL)log((double)sum[q][lane]);
    for (idx i = 0; i < s->size; i++)
        for (int q = 0; q < vectors; q++) {
            const idx at = i * s->inner + q * LANES, left = columns - q * LANES;
            const vec v = s->logarithm ? NAME(softmax_load)(x + at, left, end) - most[q] - sum[q] : NAME(load_some)(y + at, left, y + at + left) / sum[q];
            NAME(softmax_store)(y + at, v, left);
        }
}

static void NAME(softmax_run)(const void *call, idx begin, idx end, char *scratch)
{
    const softmax *s = call;
    const idx columns = SOFTMAX_VECTORS * LANES, runs = ceil_div(s->inner, columns), plane = s->size * s->inner;
    (void)scratch;
    for (idx unit = begin; unit < end; unit++)
        if (s->inner == 1) {
            NAME(softmax_along)(s, unit);
        } else {
            const idx first = unit % runs * columns, at = unit / runs * plane + first;
            NAME(softmax_across)(s, (const REAL *)s->x + at, (REAL *)s->y + at, min_idx(columns, s->inner - first),
                                 (const REAL *)s->x + s->outer * plane);
        }
}
