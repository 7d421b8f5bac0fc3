/* pool -- max pooling by rows of outputs, and the maps by index that belong to it.
 *
 * Without indices the largest of each column, then of the columns of each window. With them, and where something is not
 * finite, columns whose windows lie inside the plane are done LANES at a time, reading the source where it lies, stride elements
 * apart; the few at the borders, and those so near the end of the array that a vector would reach beyond it, one by one.
 */

/* Rows of taps inside the plane for one row of outputs. */
typedef struct {
    const REAL *first; /* source row of tap row `low` */
    idx low, high;     /* tap rows [low, high) */
    idx top;           /* row of tap row 0, perhaps outside */
} NAME(pool_row);

static inline NAME(pool_row) NAME(pool_row_of)(const max_pool *p, idx plane, idx o)
{
    const idx top = o * p->stride_h - p->pad_h, low = top < 0 ? ceil_div(-top, p->dil_h) : 0;
    const idx high = top + (p->kh - 1) * p->dil_h < p->ih ? p->kh : ceil_div(p->ih - top, p->dil_h);
    const REAL *first = (const REAL *)p->x + (plane * p->ih + top + low * p->dil_h) * p->iw;
    return (NAME(pool_row)){.first = first, .low = low, .high = high, .top = top};
}

/* One output, its window clipped to the plane. */
static void NAME(max_pool_one)(const max_pool *p, const NAME(pool_row) *r, idx o, REAL *y, int64_t *index)
{
    const idx left = o * p->stride_w - p->pad_w;
    const idx low = left < 0 ? ceil_div(-left, p->dil_w) : 0, high = min_idx(p->kw, ceil_div(p->iw - left, p->dil_w));
    const REAL *row = r->first + left;
    const REAL *at = row + low * p->dil_w;
    REAL best = *at;
    for (idx i = r->low; i < r->high; i++, row += p->dil_h * p->iw)
        for (idx j = low; j < high; j++)
            if (row[j * p->dil_w] > best || row[j * p->dil_w] != row[j * p->dil_w]) {
                at = row + j * p->dil_w;
                best = *at;
            }
    *y = best;
    if (index)
        *index = (r->top + r->low * p->dil_h) * p->iw + (at - r->first);
}

/* LANES outputs whose first taps begin at `from`; `index` where indices are wanted: offsets from there. */
static inline __attribute__((always_inline)) vec NAME(max_pool_block)(const max_pool *p, const REAL *from, idx rows,
                                                                      idx stride, int wanted, mask *index)
{
    vec best = NAME(load_strided)(from, stride);
    mask at = {0};
    for (idx i = 0; i < rows; i++)
        for (idx j = 0; j < p->kw; j++) {
            const idx offset = i * p->dil_h * p->iw + j * p->dil_w;
            const vec v = NAME(load_strided)(from + offset, stride);
            const mask wins = (v > best) | (v != v);
            best = (vec)(((mask)v & wins) | ((mask)best & ~wins));
            if (wanted)
                at = (((mask){0} + (WORD)offset) & wins) | (at & ~wins);
        }
    *index = at;
    return best;
}

#define POOL_ROW 2048 /* columns whose largest are kept */

/* One row of outputs, first down the columns, then along them; padding is -Inf. 0, and part of y, where it does not apply: a NaN must win. */
static inline __attribute__((always_inline)) int NAME(max_pool_quick)(const max_pool *p, const NAME(pool_row) *r, const REAL *limit,
                                                                      idx stride, REAL *y)
{
    REAL row[POOL_ROW + 4 * LANES];
    const idx rows = r->high - r->low, step = p->dil_h * p->iw, reach = (p->kw - 1) * p->dil_w + 1;
    const idx most = (POOL_ROW - reach) / stride / LANES * LANES;
    if (most <= 0 || stride > 2)
        return 0;
    for (idx o = 0, count; o < p->ow; o += count) {
        count = min_idx(most, p->ow - o);
        const idx x0 = o * stride - p->pad_w, width = round_up(count, LANES) * stride + reach;
        const idx lo = max_idx(0, -x0), hi = max_idx(lo, min_idx(width, p->iw - x0));
        const REAL *from = r->first + x0;
        vec unfit = {0}; /* NaN where anything is not finite */
        if (limit - from < (rows - 1) * step + round_up(hi - lo, LANES) + lo)
            return 0;
        for (idx x = lo; x < hi; x += LANES) {
            vec best = NAME(load)(from + x);
            unfit += best * 0;
            for (idx i = 1; i < rows; i++) {
                const vec v = NAME(load)(from + i * step + x);
                unfit += v * 0;
                best = NAME(larger)(v, best);
            }
            NAME(store)(row + x, best);
        }
        if (NAME(sum)(unfit) != 0)
            return 0;
        for (idx x = 0; x < lo; x++)
            row[x] = -INFINITY;
        for (idx x = hi; x < width; x += LANES)
            NAME(store)(row + x, (vec){0} - INFINITY);
        for (idx q = 0; q < count; q += LANES) {
            vec best = NAME(load_strided)(row + q * stride, stride);
            for (idx j = 1; j < p->kw; j++)
                best = NAME(larger)(NAME(load_strided)(row + q * stride + j * p->dil_w, stride), best);
            NAME(copy)(y + o + q, (const REAL *)&best, min_idx(LANES, count - q));
        }
    }
    return 1;
}

static inline __attribute__((always_inline)) void NAME(max_pool_rows)(const max_pool *p, idx begin, idx end, idx stride,
                                                                      int wanted)
{
    const REAL *const limit = (const REAL *)p->x + p->planes * p->ih * p->iw;
    const idx inside = p->iw - 1 - (p->kw - 1) * p->dil_w + p->pad_w; /* the last column's first tap, padding counted */
    const idx left = min_idx(p->ow, ceil_div(p->pad_w, stride));     /* outputs [left, right) have all their columns */
    const idx right = max_idx(left, inside < 0 ? 0 : min_idx(p->ow, inside / stride + 1));
    idx plane = begin / p->oh, row = begin % p->oh;
    for (idx unit = begin; unit < end; unit++) {
        const NAME(pool_row) r = NAME(pool_row_of)(p, plane, row);
        const idx rows = r.high - r.low, reach = (rows - 1) * p->dil_h * p->iw + (p->kw - 1) * p->dil_w + stride * LANES;
        REAL *y = (REAL *)p->y + unit * p->ow;
        int64_t *indices = wanted ? p->indices + unit * p->ow : NULL;
        idx o = !wanted && NAME(max_pool_quick)(p, &r, limit, stride, y) ? p->ow : 0;
        while (o < p->ow) {
            const REAL *from = r.first + o * stride - p->pad_w;
            if (o < left || o >= right || limit - from < reach || reach > INT32_MAX) { /* an offset fits its lane */
                NAME(max_pool_one)(p, &r, o, y + o, wanted ? indices + o : NULL);
                o++;
                continue;
            }
            mask at;
            const idx count = min_idx(LANES, right - o);
            const vec best = NAME(max_pool_block)(p, from, rows, stride, wanted, &at);
            if (count == LANES)
                NAME(store)(y + o, best);
            else
                NAME(copy)(y + o, (const REAL *)&best, count);
            if (wanted) {
                const int64_t start = (r.top + r.low * p->dil_h) * p->iw + o * stride - p->pad_w;
                WORD offset[LANES];
                __builtin_memcpy(offset, &at, sizeof at);
                for (int lane = 0; lane < count; lane++)
                    indices[o + lane] = start + lane * stride + offset[lane];
            }
            o += count;
        }
        if (++row == p->oh) {
            row = 0;
            plane++;
        }
    }
}

static void NAME(max_pool_run)(const void *call, idx begin, idx end, char *scratch)
{
    const max_pool *p = call;
    (void)scratch;
    if (p->indices)
        NAME(max_pool_rows)(p, begin, end, p->stride_w, 1);
    else if (p->stride_w == 1)
        NAME(max_pool_rows)(p, begin, end, 1, 0);
    else if (p->stride_w == 2)
        NAME(max_pool_rows)(p, begin, end, 2, 0);
    else
        NAME(max_pool_rows)(p, begin, end, p->stride_w, 0);
}

/* y[indices[i]] = x[i], or += */
static inline __attribute__((always_inline)) void NAME(scatter_planes)(const plane_map *m, idx begin, idx end, int add)
{
    const idx from = m->from, to = m->to;
    uint64_t highest = 0; /* a negative index is higher than any */
    for (idx plane = begin; plane < end; plane++) {
        const REAL *x = (const REAL *)m->x + plane * from;
        const int64_t *indices = m->indices + plane * from;
        REAL *y = (REAL *)m->y + plane * to;
        for (idx i = 0; i < to; i++)
            y[i] = 0;
        for (idx i = 0; i < from; i++) {
            const uint64_t at = (uint64_t)indices[i];
            highest = at > highest ? at : highest;
            if (at < (uint64_t)to)
                y[at] = add ? y[at] + x[i] : x[i];
        }
    }
    if (highest >= (uint64_t)to)
        __atomic_store_n(m->bad, 1, __ATOMIC_RELAXED);
}

static void NAME(scatter_run)(const void *call, idx begin, idx end, char *scratch)
{
    const plane_map *m = call;
    (void)scratch;
    if (m->add)
        NAME(scatter_planes)(m, begin, end, 1);
    else
        NAME(scatter_planes)(m, begin, end, 0);
}

/* y[i] = x[indices[i]] */
static void NAME(gather_run)(const void *call, idx begin, idx end, char *scratch)
{
    const plane_map *m = call;
    (void)scratch;
    for (idx plane = begin; plane < end; plane++) {
        const REAL *x = (const REAL *)m->x + plane * m->from;
        const int64_t *indices = m->indices + plane * m->to;
        REAL *y = (REAL *)m->y + plane * m->to;
        for (idx i = 0; i < m->to; i++) {
            const int64_t from = indices[i];
            if (from < 0 || from >= m->from)
                __atomic_store_n(m->bad, 1, __ATOMIC_RELAXED);
            else
                y[i] = x[from];
        }
    }
}
