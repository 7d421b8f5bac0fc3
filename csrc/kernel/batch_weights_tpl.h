/* batch_weights -- the gradients of weights and bias from arrays that lie batch-last (batch_tpl.h): dot products along rows of images,
 * a few output channels by a few taps at a time. */
typedef struct {
    const REAL *x, *dy; /* of the first point, image, output channel */
    const idx *row;     /* of x, by tap */
    idx dy_channel;
    idx begin, end, width; /* points, counted through their rows */
    idx x_line, x_column, dy_line, dy_column; /* from one row of points to the next, from one point to the next */
    idx images;
} NAME(batch_dots);

/* sums[j * R + i] = sum over points and images of dy[j] * x[row[i]]: R taps by C output channels; with R = 0 of dy[j]. */
__attribute__((always_inline)) static inline void NAME(batch_dot)(const int R, const int C, const NAME(batch_dots) *restrict t, REAL *sums)
{
    const idx whole = t->images / LANES * LANES;
    const mask inside = NAME(iota)() < (mask){0} + (WORD)(t->images - whole);
    vec acc[BATCH_CHANNELS][BATCH_ROWS];
#pragma GCC unroll 8
    for (int j = 0; j < C; j++)
#pragma GCC unroll 8
        for (int i = 0; i < (R > 0 ? R : 1); i++)
            acc[j][i] = (vec){0};
    idx y = t->begin / t->width, x = t->begin % t->width;
    for (idx q = t->begin; q < t->end; q++) {
        const REAL *dy = t->dy + y * t->dy_line + x * t->dy_column, *row[BATCH_ROWS];
#pragma GCC unroll 8
        for (int i = 0; i < R; i++)
            row[i] = t->x + t->row[i] + y * t->x_line + x * t->x_column;
        for (idx n = 0; n < whole; n += LANES) {
            vec b[BATCH_ROWS];
#pragma GCC unroll 8
            for (int i = 0; i < R; i++)
                b[i] = NAME(load)(row[i] + n);
#pragma GCC unroll 8
            for (int j = 0; j < C; j++) {
                const vec d = NAME(load)(dy + j * t->dy_channel + n);
                if (R == 0)
                    acc[j][0] += d;
#pragma GCC unroll 8
                for (int i = 0; i < R; i++)
                    acc[j][i] += d * b[i];
            }
        }
        if (whole < t->images)
#pragma GCC unroll 8
            for (int j = 0; j < C; j++) {
                const vec d = (vec)((mask)NAME(load)(dy + j * t->dy_channel + whole) & inside);
                if (R == 0)
                    acc[j][0] += d;
#pragma GCC unroll 8
                for (int i = 0; i < R; i++)
                    acc[j][i] += d * (vec)((mask)NAME(load)(row[i] + whole) & inside);
            }
        if (++x == t->width) {
            x = 0;
            y++;
        }
    }
    REAL kept[BATCH_CHANNELS * BATCH_ROWS * LANES];
#pragma GCC unroll 8
    for (int j = 0; j < C; j++)
#pragma GCC unroll 8
        for (int i = 0; i < (R > 0 ? R : 1); i++)
            NAME(store)(kept + (j * (R > 0 ? R : 1) + i) * LANES, acc[j][i]);
    NAME(sum_each)(sums, kept, C * (R > 0 ? R : 1));
}

#define DOTS_CASE(R) case R: if (R <= BATCH_ROWS && R * C + R < REGISTERS) NAME(batch_dot)(R, C, t, sums); break;
__attribute__((always_inline)) static inline void NAME(dots_heights)(const NAME(batch_dots) *t, int rows, REAL *sums, const int C)
{
    switch (rows) {
        DOTS_CASE(0) CASES_6(DOTS_CASE)
    }
}
#undef DOTS_CASE

static void NAME(batch_dots_run)(const NAME(batch_dots) *t, int rows, int channels, REAL *sums)
{
    switch (channels) {
    case 1: NAME(dots_heights)(t, rows, sums, 1); break;
    case 2: NAME(dots_heights)(t, rows, sums, 2); break;
    case 3: NAME(dots_heights)(t, rows, sums, 3); break;
    case 4: NAME(dots_heights)(t, rows, sums, 4); break;
#if MR >= 14
    default: NAME(dots_heights)(t, rows, sums, 5); break;
#endif
    }
}

/* dst[j * dst_channel + i * step] (+)= sums[j * rows + i]. */
static void NAME(batch_put)(REAL *dst, idx dst_channel, idx step, const REAL *sums, idx rows, idx channels, int first)
{
    for (idx j = 0; j < channels; j++, dst += dst_channel, sums += rows)
        for (idx i = 0; i < rows; i++)
            dst[i * step] = sums[i] + (first ? 0 : dst[i * step]);
}

/* dst[j * dst_channel + i * step] (+)= the products of all points that `t` begins with, for `channels` of dy and taps that read row[i]; without
 * rows, the sums of dy. A lane adds at most `block` terms before its sum is added to the others. */
static void NAME(batch_products)(NAME(batch_dots) t, idx points, idx block, const idx *row, idx rows, idx channels, REAL *dst,
                                 idx dst_channel, idx step, int first)
{
    REAL sums[BATCH_CHANNELS * BATCH_ROWS + LANES];
    const idx most = even(points, block / ceil_div(t.images, LANES)), across = max_idx(rows, 1);
    const int square = MR >= 14 && ceil_div(rows, 5) * ceil_div(channels, 5) < ceil_div(rows, BATCH_ROWS) * ceil_div(channels, 4);
    const idx highest = square ? 5 : BATCH_ROWS, widest = square ? 5 : 4;
    const REAL *const dy = t.dy;
    for (idx m = 0, high; m < across; m += high) {
        high = even(across - m, highest);
        t.row = row + m;
        for (idx o = 0, wide; o < channels; o += wide) {
            wide = even(channels - o, widest);
            t.dy = dy + o * t.dy_channel;
            for (t.begin = 0; t.begin < points; t.begin = t.end) {
                t.end = min_idx(t.begin + most, points);
                NAME(batch_dots_run)(&t, rows > 0 ? (int)high : 0, (int)wide, sums);
                NAME(batch_put)(dst + o * dst_channel + m * step, dst_channel, step, sums, high, wide, first && t.begin == 0);
            }
        }
    }
}

/* The source rows of channels [c0, c1) at one tap, or at all; returns how many. */
static idx NAME(batch_rows_of)(idx *row, const lattice *lat, idx c0, idx c1, idx tap, idx pitch)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx h0 = tap < 0 ? 0 : tap / w->taps, h1 = tap < 0 ? h->taps : h0 + 1, w0 = tap < 0 ? 0 : tap % w->taps, w1 = tap < 0 ? w->taps : w0 + 1;
    idx rows = 0;
    for (idx c = c0; c < c1; c++)
        for (idx y = h0; y < h1; y++)
            for (idx x = w0; x < w1; x++)
                row[rows++] = ((c * h->size + tap_position(h, y)) * w->size + tap_position(w, x)) * pitch;
    return rows;
}

/* dw of input channels [m0, m1) of a group. Without padding all taps meet all points; else each its own. */
static void NAME(batch_weights_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const conv_axis *h = &t.lat.h, *w = &t.lat.w;
    const idx taps = h->taps * w->taps, columns = p->ic * taps, pitch = batch_pitch(plan, p->n), block = accumulation_block(p->n * p->oh * p->ow);
    REAL *const packed = (REAL *)(call->scratch + worker * plan->task_bytes);
    idx *const row = (idx *)(packed + batch_packed(plan, &t.lat));
    REAL *const dst = (REAL *)call->dst + t.group * p->oc * columns + t.m0 * taps;
    const REAL *const dy = (const REAL *)call->weights + t.group * p->oc * p->oh * p->ow * pitch;
    const int inside = lattice_inside(&t.lat);
    for (idx n = 0; n < p->n; n += plan->chunk_n) {
        const idx images = min_idx(plan->chunk_n, p->n - n);
        const NAME(batch_rows) src = NAME(batch_source)(call, &t, n, n + images, packed);
        for (idx tap = inside ? -1 : 0; tap < (inside ? 0 : taps); tap++) {
            const axis_run all_h = {0, h->grid, 0, 0}, all_w = {0, w->grid, 0, 0};
            const axis_run rh = inside ? all_h : axis_points(h, tap / w->taps), rw = inside ? all_w : axis_points(w, tap % w->taps);
            const idx rows = NAME(batch_rows_of)(row, &t.lat, t.m0, t.m1, tap, src.pitch), step = inside ? 1 : taps;
            const idx points = (rh.p1 - rh.p0) * (rw.p1 - rw.p0);
            REAL *const to = dst + (inside ? 0 : tap);
            const NAME(batch_dots) d = {
                .x = src.first + (rh.p0 * h->step * w->size + rw.p0 * w->step) * src.pitch, .dy = dy + n + (rh.p0 * p->ow + rw.p0) * pitch,
                .dy_channel = p->oh * p->ow * pitch, .width = rw.p1 - rw.p0, .x_line = h->step * w->size * src.pitch,
                .x_column = w->step * src.pitch, .dy_line = p->ow * pitch, .dy_column = pitch, .images = images};
            if (points > 0 && rows > 0)
                NAME(batch_products)(d, points, block, row, rows, p->oc, to, columns, step, n == 0);
            for (idx o = 0; o < p->oc && n == 0 && points == 0; o++) /* a tap that meets padding alone */
                for (idx i = 0; i < rows; i++)
                    to[o * columns + i * step] = 0;
        }
    }
}

/* db of dy that lies batch-last: the same sums without a source. */
static void NAME(batch_bias)(const conv_problem *p, const REAL *dy, REAL *db)
{
    const idx points = p->oh * p->ow, pitch = line_pitch(p->n, sizeof(REAL)), block = accumulation_block(p->n * points);
    const idx most = round_up(block, ALIGNMENT) * LANES;
    for (idx n = 0; n < p->n; n += most) {
        const NAME(batch_dots) d = {.dy = dy + n, .dy_channel = points * pitch, .width = points, .dy_column = pitch,
                                    .images = min_idx(most, p->n - n)};
        NAME(batch_products)(d, points, block, NULL, 0, p->groups * p->oc, db, 1, 0, n == 0);
    }
}
