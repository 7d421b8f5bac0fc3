/* norm -- batch normalization: statistics of a channel in two passes over it, while it is in cache, and a third that writes.
 *
 * The variance is the mean square of what remains when the mean is subtracted: no cancellation.
 */

/* Sum over a channel of a, or of (a - ca) * (b - cb) where b is given: n runs of `points`, added up 64 at a time. */
static inline __attribute__((always_inline)) REAL NAME(channel_sum)(const REAL *a, REAL ca, const REAL *b, REAL cb,
                                                                    const batch_norm *p, const REAL *a_end,
                                                                    const REAL *b_end)
{
    const idx step = p->channels * p->points;
    vec total = {0};
    for (idx n0 = 0; n0 < p->n; n0 += 64) {
        vec part = {0};
        for (idx n = n0; n < min_idx(p->n, n0 + 64); n++)
            part += NAME(reduce)(a + n * step, ca, b ? b + n * step : NULL, cb, p->points, a_end, b_end);
        total += part;
    }
    return NAME(sum)(total);
}

/* y = (x - c) * scale + shift over a channel; with dy: y = (dy - shift - (x - c) * slope) * scale. */
static inline __attribute__((always_inline)) void NAME(channel_write)(const REAL *x, REAL c, const REAL *dy, REAL scale,
                                                                      REAL shift, REAL slope, const batch_norm *p, REAL *y)
{
    const idx step = p->channels * p->points;
    for (idx n = 0; n < p->n; n++, x += step, y += step, dy = dy ? dy + step : NULL) {
        idx i = 0;
        while (i + LANES <= p->points) {
            const vec v = NAME(load)(x + i) - c;
            NAME(store)(y + i, dy ? (NAME(load)(dy + i) - shift - v * slope) * scale : v * scale + shift);
            i += LANES;
            if (i < p->points && i + LANES > p->points)
                i = p->points - LANES; /* the last vector writes some a second time */
        }
        for (; i < p->points; i++)
            y[i] = dy ? (dy[i] - shift - (x[i] - c) * slope) * scale : (x[i] - c) * scale + shift;
    }
}

/* Mean and variance of channel c: measured and noted, or those that are given. */
static void NAME(channel_stats)(const batch_norm *p, idx c, REAL *mean, REAL *var)
{
    const idx count = max_idx(p->n * p->points, 1);
    const REAL *x = (const REAL *)p->x + c * p->points, *end = (const REAL *)p->x + count * p->channels;
    if (p->batch_stats) {
        ((REAL *)p->mean)[c] = NAME(channel_sum)(x, 0, NULL, 0, p, end, NULL) / (REAL)count;
        *mean = ((REAL *)p->mean)[c];
        ((REAL *)p->var)[c] = NAME(channel_sum)(x, *mean, x, *mean, p, end, end) / (REAL)count;
    }
    *mean = ((const REAL *)p->mean)[c];
    *var = ((const REAL *)p->var)[c];
}

static void NAME(batch_norm_run)(const void *call, idx begin, idx end, char *scratch)
{
    const batch_norm *p = call;
    (void)scratch;
    for (idx c = begin; c < end; c++) {
        REAL mean, var;
        NAME(channel_stats)(p, c, &mean, &var);
        const REAL scale = (p->weight ? ((const REAL *)p->weight)[c] : 1) / SQRT(var + (REAL)p->eps);
        const REAL shift = p->bias ? ((const REAL *)p->bias)[c] : 0;
        NAME(channel_write)((const REAL *)p->x + c * p->points, mean, NULL, scale, shift, 0, p,
                            (REAL *)p->y + c * p->points);
    }
}

/* dx = w / s * (dy - mean(dy) - x^ * mean(dy * x^)) with x^ = (x - mean) / s, s = sqrt(var + eps); the means are those of
 * the statistics' own gradients, and absent where those were given. */
static void NAME(batch_norm_grad_run)(const void *call, idx begin, idx end, char *scratch)
{
    const batch_norm *p = call;
    const idx count = p->n * p->points;
    const REAL *x_end = (const REAL *)p->x + count * p->channels, *dy_end = (const REAL *)p->dy + count * p->channels;
    (void)scratch;
    for (idx c = begin; c < end; c++) {
        const REAL *x = (const REAL *)p->x + c * p->points, *dy = (const REAL *)p->dy + c * p->points;
        REAL mean, var;
        NAME(channel_stats)(p, c, &mean, &var);
        const REAL inverse = 1 / SQRT(var + (REAL)p->eps);
        const REAL sum = NAME(channel_sum)(dy, 0, NULL, 0, p, dy_end, NULL);
        const REAL product = NAME(channel_sum)(x, mean, dy, 0, p, x_end, dy_end) * inverse;
        if (p->dbias)
            ((REAL *)p->dbias)[c] = sum;
        if (p->dweight)
            ((REAL *)p->dweight)[c] = product;
        if (p->y)
            NAME(channel_write)(x, mean, dy, (p->weight ? ((const REAL *)p->weight)[c] : 1) * inverse,
                                p->batch_stats ? sum / (REAL)count : 0,
                                p->batch_stats ? product * inverse / (REAL)count : 0, p, (REAL *)p->y + c * p->points);
    }
}
