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

/* ---- x (n, channels), a point to each: lanes over channels ---- */

/* `count` of LANES channels from c on of an array of one value for each channel, `absent` where there is none. */
static vec NAME(channels_of)(const batch_norm *p, const void *values, idx c, idx count, REAL absent)
{
    const REAL *v = values;
    return v ? NAME(load_some)(v + c, count, v + p->channels) : (vec){0} + absent;
}

static inline __attribute__((always_inline)) vec NAME(column_sum)(const REAL *a, vec ca, const REAL *b, vec cb, idx c,
                                                                  idx count, const batch_norm *p)
{
    const REAL *a_end = a + p->n * p->channels, *b_end = b ? b + p->n * p->channels : NULL;
    vec total = {0};
    for (idx n0 = 0; n0 < p->n; n0 += 64) {
        vec part = {0};
        for (idx n = n0; n < min_idx(p->n, n0 + 64); n++) {
            const vec x = NAME(load_some)(a + n * p->channels + c, count, a_end);
            part += b ? (x - ca) * (NAME(load_some)(b + n * p->channels + c, count, b_end) - cb) : x;
        }
        total += part;
    }
    return total;
}

/* Means and 1 / sqrt(var + eps). */
static vec NAME(column_stats)(const batch_norm *p, idx c, idx count, vec *mean)
{
    const REAL rows = (REAL)max_idx(p->n, 1);
    if (p->batch_stats) {
        const vec m = NAME(column_sum)(p->x, (vec){0}, NULL, (vec){0}, c, count, p) / rows;
        NAME(store_some)((REAL *)p->mean + c, m, count);
        NAME(store_some)((REAL *)p->var + c, NAME(column_sum)(p->x, m, p->x, m, c, count, p) / rows, count);
    }
    *mean = NAME(channels_of)(p, p->mean, c, count, 0);
    vec var = NAME(channels_of)(p, p->var, c, count, 0) + (REAL)p->eps;
    for (int lane = 0; lane < LANES; lane++)
        var[lane] = SQRT(var[lane]);
    return 1 / var;
}

static void NAME(norm_columns)(const batch_norm *p, idx c, idx count)
{
    vec mean;
    const vec inverse = NAME(column_stats)(p, c, count, &mean);
    const vec scale = NAME(channels_of)(p, p->weight, c, count, 1) * inverse, shift = NAME(channels_of)(p, p->bias, c, count, 0);
    const REAL *x = p->x, *end = x + p->n * p->channels;
    for (idx at = c; at < p->n * p->channels; at += p->channels)
        NAME(store_some)((REAL *)p->y + at, (NAME(load_some)(x + at, count, end) - mean) * scale + shift, count);
}

static void NAME(norm_grad_columns)(const batch_norm *p, idx c, idx count)
{
    vec mean;
    const vec inverse = NAME(column_stats)(p, c, count, &mean);
    const REAL *x = p->x, *dy = p->dy, rows = (REAL)max_idx(p->n, 1);
    const REAL *x_end = x + p->n * p->channels, *dy_end = dy + p->n * p->channels;
    const vec sum = NAME(column_sum)(dy, (vec){0}, NULL, (vec){0}, c, count, p);
    const vec product = NAME(column_sum)(x, mean, dy, (vec){0}, c, count, p) * inverse;
    if (p->dbias)
        NAME(store_some)((REAL *)p->dbias + c, sum, count);
    if (p->dweight)
        NAME(store_some)((REAL *)p->dweight + c, product, count);
    if (!p->y)
        return;
    const vec scale = NAME(channels_of)(p, p->weight, c, count, 1) * inverse;
    const vec shift = p->batch_stats ? sum / rows : (vec){0}, slope = p->batch_stats ? product * inverse / rows : (vec){0};
    for (idx at = c; at < p->n * p->channels; at += p->channels) {
        const vec v = NAME(load_some)(x + at, count, x_end) - mean, g = NAME(load_some)(dy + at, count, dy_end);
        NAME(store_some)((REAL *)p->y + at, (g - shift - v * slope) * scale, count);
    }
}

/* ---- all units of a task ---- */

static void NAME(batch_norm_run)(const void *call, idx begin, idx end, char *scratch)
{
    const batch_norm *p = call;
    (void)scratch;
    if (p->points == 1) {
        for (idx c = begin; c < end; c += LANES)
            NAME(norm_columns)(p, c, min_idx(LANES, end - c));
        return;
    }
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
    if (p->points == 1) {
        for (idx c = begin; c < end; c += LANES)
            NAME(norm_grad_columns)(p, c, min_idx(LANES, end - c));
        return;
    }
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
