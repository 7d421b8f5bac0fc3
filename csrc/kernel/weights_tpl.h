/* weights -- the gradient of the weights, three ways:
 *
 *   dw[o][m] = sum over positions k of dy[o][k] * x[m][k],   m = (c, th, tw), x[m] the source at the shift of tap m
 *
 *   outer    lanes over o; x is broadcast from where it lies, at the shift of each m (LISTED_A)
 *   dot      lanes over k; few o (depthwise): nothing is transposed, sums run along the rows
 *   weights  lanes over m; panels of transposed im2col: few positions and many channels
 *
 * A task owns outputs and reduces over all positions alone, box after box, so that the order of every sum is fixed.
 */

/* The b-th box of positions; 0 past the last. */
static int NAME(weights_box)(const conv_plan *plan, const lattice *lat, idx b, NAME(box) *box)
{
    const NAME(task) t = {.chunk = b, .lat = *lat};
    const idx boxes = ceil_div(lat->w.grid, plan->chunk_w) * ceil_div(lat->h.grid, plan->chunk_h) *
                      ceil_div(plan->p.n, plan->chunk_n);
    *box = NAME(task_box)(plan, &t);
    return b < boxes;
}

/* Where each position of the box and each row m = (c, th, tw) is in the source. */
static void NAME(view_tables)(int32_t *at, idx *row, const NAME(view) *view, const lattice *lat, const NAME(box) *box,
                              idx channels)
{
    for (idx n = 0; n < box->n; n++)
        for (idx y = 0; y < box->h; y++)
            for (idx x = 0; x < box->w; x++)
                *at++ = (int32_t)NAME(view_point)(view, n, y, x);
    for (idx c = 0; c < channels; c++)
        for (idx th = 0; th < lat->h.taps; th++)
            for (idx tw = 0; tw < lat->w.taps; tw++)
                *row++ = NAME(view_tap)(view, c, th, tw);
}

/* The gradient at the box's positions as panels of lanes over output channels [o0, o1): panel (position, nr) for each tile. */
static void NAME(outer_panels)(REAL *panels, int widest, const REAL *dy, idx image, idx channel, idx row, const NAME(box) *box,
                               idx o0, idx o1, const REAL *end)
{
    const idx rows = box->w == row ? 1 : box->h, run = box->w == row ? box->h * box->w : box->w; /* side by side in dy */
    const idx positions = box->n * box->h * box->w;
    for (idx o = o0, nr; o < o1; o += nr, panels += positions * nr) {
        REAL *panel = panels;
        nr = NAME(tile_vectors)(widest, o1 - o) * LANES;
        for (idx n = box->n0; n < box->n0 + box->n; n++)
            for (idx y = 0; y < rows; y++, panel += run * nr)
                NAME(pack_matrix)(panel, nr, dy + n * image + o * channel + (box->h0 + y) * row + box->w0, 1, channel, run,
                                  min_idx(nr, o1 - o), end);
    }
}

/* sums (m, nr) += x[row[m] + at[k]] * panel (k, nr) over the positions of a box. */
static void NAME(outer_rows)(REAL *sums, const REAL *x, const idx *row, idx rows, const int32_t *at, const REAL *panel,
                             idx positions, idx kblock, int nv, int first)
{
    const idx nr = nv * LANES;
    NAME(tile_run) *const tile = NAME(tile_of)(nv, NAME(LISTED_A), NAME(PANEL_B));
    const idx most = min_idx(NAME(tile_rows)(nv), OUTER_ROWS);
    for (idx m = 0, height; m < rows; m += height) {
        REAL *const out = sums + m * nr;
        const NAME(tile_args) t = {.k = positions, .kblock = even(positions, kblock), .a = x, .row = row + m, .b = panel, .at = at,
                                   .out = out, .ldout = nr, .prev = first ? NULL : out, .ldprev = nr};
        height = ceil_div(rows - m, ceil_div(rows - m, most));
        tile(&t, (int)height);
    }
}

/* dw (oc, m) of a range of input channels and a chunk of output channels, by outer products: nothing is expanded by taps.
 * As many rows m as stay in cache pass by all positions, summed with lanes over output channels, and are turned once. */
static void NAME(outer_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    NAME(task) t = NAME(task_decode)(plan, index);
    const idx taps = p->kh * p->kw, columns = p->ic * taps, points = p->oh * p->ow;
    const idx o0 = t.chunk * plan->depth, o1 = min_idx(o0 + plan->depth, p->oc);
    if (o0 >= o1 || t.m0 >= t.m1)
        return;

    const idx most = plan->chunk_n * plan->chunk_h * plan->chunk_w, kblock = accumulation_block(p->n * points);
    REAL *const panels = (REAL *)(call->scratch + worker * plan->task_bytes);
    REAL *const sums = panels + (plan->depth * most + LANES * plan->nv * LANES);
    idx *row = (idx *)(sums + (plan->channels * taps + LANES) * plan->depth);
    int32_t *at = (int32_t *)(row + plan->channels * taps);
    REAL *packed = (REAL *)((char *)at + round_up(most * (idx)sizeof *at, ALIGNMENT));
    const REAL *dy = (const REAL *)call->weights + t.group * p->oc * points;
    const idx dy_image = p->groups * p->oc * points;
    const REAL *end = (const REAL *)call->weights + p->n * dy_image;
    const NAME(source) src = NAME(task_source)(call, &t);
    NAME(box) box;

    for (idx c = t.m0; c < t.m1; c += plan->channels) {
        const idx rows = (min_idx(c + plan->channels, t.m1) - c) * taps;
        for (idx b = 0, known = -1; NAME(weights_box)(plan, &t.lat, b, &box); b++) {
            const idx positions = box.n * box.h * box.w;
            const NAME(view) view = NAME(box_view)(&src, &t.lat, &box, c, c + rows / taps, packed);
            if (positions != known) /* boxes of one size look alike: a smaller one is cut from one axis */
                NAME(view_tables)(at, row, &view, &t.lat, &box, rows / taps);
            known = positions;
            NAME(outer_panels)(panels, plan->nv, dy, dy_image, points, p->ow, &box, o0, o1, end);
            for (idx o = o0, nv; o < o1; o += nv * LANES) {
                nv = NAME(tile_vectors)(plan->nv, o1 - o);
                NAME(outer_rows)(sums + (o - o0) * rows, view.base, row, rows, at, panels + (o - o0) * positions, positions,
                                 kblock, (int)nv, b == 0);
            }
        }
        for (idx o = o0, nr; o < o1; o += nr) {
            nr = NAME(tile_vectors)(plan->nv, o1 - o) * LANES;
            for (idx i = 0; i < min_idx(nr, o1 - o); i++) {
                const REAL *from = sums + (o - o0) * rows + i;
                REAL *to = (REAL *)call->dst + (t.group * p->oc + o + i) * columns + c * taps;
                for (idx m = 0; m < rows; m++)
                    to[m] = from[m * nr];
            }
        }
    }
}

/* ---- dot ---- */

/* Where the row of each tap of `channels` starts in the packed source. */
static void NAME(weights_rows)(idx *row, const lattice *lat, const NAME(box) *box, idx channels)
{
    const idx channel = NAME(channel_shift)(box, box->area);
    for (idx c = 0, k = 0; c < channels; c++)
        for (idx th = 0; th < lat->h.taps; th++)
            for (idx tw = 0; tw < lat->w.taps; tw++)
                row[k++] = c * channel + NAME(tap_shift)(lat, box, box->area, th, tw);
}

typedef struct {
    const REAL *x, *dy, *dy_end; /* packed rows; the gradient of the box's first position; the array's end */
    const idx *row;              /* of the packed source, by channel and tap */
    idx dy_channel, dy_image, dy_row;
    const NAME(box) *box;
    REAL *dst;                   /* dw of the first channel and tap */
    idx dst_channel;
    int first;
} NAME(dot_args);

/* One vector of positions, `some` lanes of it where those are not all: R taps by C output channels. */
__attribute__((always_inline)) static inline void NAME(dot_step)(const int R, const int C, vec acc[DOT_TAPS][4], const NAME(dot_args) *t,
                                                                 const REAL *x, const REAL *dy, const idx some)
{
    vec source[DOT_TAPS];
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
        const REAL *const from = x + t->row[i];
        source[i] = some < LANES ? NAME(load_some)(from, some, from + LANES) : NAME(load)(from); /* the packed rows end in slack */
    }
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
        const REAL *const from = dy + j * t->dy_channel;
        const vec gradient = some < LANES ? NAME(load_some)(from, some, t->dy_end) : NAME(load)(from);
        /* each is loaded once: as operands of the products they would be loaded R times, and most loads cross lines */
        __asm__ volatile("" : : : "memory");
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            acc[i][j] += gradient * source[i];
    }
}

/* What a box adds to R taps of C output channels: their accumulators, (C, R), added up. */
__attribute__((noinline)) static void NAME(dot_add)(const NAME(dot_args) *t, const REAL *accumulators, int R, int C)
{
    REAL sums[DOT_PRODUCTS(MR) + LANES];
    for (int first = 0; first < R * C; first += LANES) {
        vec r[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            r[i] = NAME(load)(accumulators + min_idx(first + i, R * C - 1) * LANES);
        NAME(store)(sums + first, NAME(fold_all)(r, LANES));
    }
    for (int j = 0; j < C; j++)
        for (int i = 0; i < R; i++) {
            REAL *dst = t->dst + j * t->dst_channel + i;
            *dst = sums[j * R + i] + (t->first ? 0 : *dst);
        }
}

/* dst[j][i] (+)= sum of x[row[i] + k] * dy[j][k] over the box, lanes along its rows: R taps by C output channels. */
__attribute__((always_inline)) static inline void NAME(dot_body)(const int R, const int C,
                                                                 const NAME(dot_args) *restrict t)
{
    const NAME(box) *box = t->box;
    const idx whole = box->w / LANES * LANES;
    vec acc[DOT_TAPS][4];
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < C; j++)
            acc[i][j] = (vec){0};
    for (idx n = 0; n < box->n; n++)
        for (idx y = 0; y < box->h; y++) {
            const REAL *x = t->x + (n * box->rows + y) * box->pitch, *dy = t->dy + n * t->dy_image + y * t->dy_row;
            for (idx k = 0; k < whole; k += LANES)
                NAME(dot_step)(R, C, acc, t, x + k, dy + k, LANES);
            if (whole < box->w)
                NAME(dot_step)(R, C, acc, t, x + whole, dy + whole, box->w - whole);
        }
    REAL accumulators[DOT_PRODUCTS(MR) * LANES] __attribute__((aligned(VECTOR_BYTES)));
#pragma GCC unroll 4
    for (int j = 0; j < C; j++)
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
            NAME(store)(accumulators + (j * R + i) * LANES, acc[i][j]);
    NAME(dot_add)(t, accumulators, R, C);
}

#define DOT_CASE(R) case R: if (R * C <= DOT_PRODUCTS(MR)) NAME(dot_body)(R, C, t); break;
__attribute__((always_inline)) static inline void NAME(dot_heights)(const NAME(dot_args) *t, int height, const int C)
{
    switch (height) {
        CASES_12(DOT_CASE)
    }
}
#undef DOT_CASE

static void NAME(dot_1)(const NAME(dot_args) *t, int height)
{
    NAME(dot_heights)(t, height, 1);
}

static void NAME(dot_2)(const NAME(dot_args) *t, int height)
{
    NAME(dot_heights)(t, height, 2);
}

static void NAME(dot_4)(const NAME(dot_args) *t, int height)
{
    NAME(dot_heights)(t, height, 4);
}

/* Taps [m0, m1) of all channels of a group, one after the other, and all of its output channels, by dot products along the rows. So many
 * channels are packed as stay in cache, and rows of the gradient are read for all of them at once. */
static void NAME(dot_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const idx taps = p->kh * p->kw, columns = p->ic * taps, points = p->oh * p->ow;
    const REAL *dy = (const REAL *)call->weights;
    const NAME(source) src = NAME(task_source)(call, &t);
    idx *row = (idx *)(call->scratch + worker * plan->task_bytes);
    REAL *packed = (REAL *)((char *)row + round_up(plan->channels * taps * (idx)sizeof *row, ALIGNMENT));
    NAME(box) box;

    for (idx b = 0; NAME(weights_box)(plan, &t.lat, b, &box); b++) {
        NAME(weights_rows)(row, &t.lat, &box, plan->channels);
        NAME(dot_args) d = {.x = packed, .dy_end = dy + p->n * p->groups * p->oc * points, .dy_channel = points,
                            .dy_image = p->groups * p->oc * points, .dy_row = p->ow, .box = &box,
                            .dst_channel = columns, .first = b == 0};
        for (idx m0 = t.m0, m1; m0 < t.m1; m0 = m1) {
            const idx c = m0 / taps, end = min_idx(c + plan->channels, p->ic);
            m1 = min_idx(t.m1, end * taps);
            NAME(pack_rows)(packed, &src, &t.lat, &box, c, ceil_div(m1, taps));
            for (idx o = 0, wide; o < p->oc; o += wide) {
                wide = p->oc - o >= 4 ? 4 : p->oc - o >= 2 ? 2 : 1;
                d.dy = dy + box.n0 * d.dy_image + (t.group * p->oc + o) * points + box.h0 * p->ow + box.w0;
                for (idx m = m0, height; m < m1; m += height) {
                    height = ceil_div(m1 - m, ceil_div(m1 - m, dot_taps(MR, wide)));
                    d.row = row + m - c * taps;
                    d.dst = (REAL *)call->dst + (t.group * p->oc + o) * columns + m;
                    (wide == 4 ? NAME(dot_4) : wide == 2 ? NAME(dot_2) : NAME(dot_1))(&d, (int)height);
                }
            }
        }
    }
}

/* ---- weights ---- */

/* Rows [m0, m1) of dy over the positions [k0, k1) run on over images: dst[(m - m0) * pitch + k - k0]. */
static void NAME(pack_gradient)(REAL *dst, idx pitch, const REAL *dy, idx image, idx points, idx m0, idx m1, idx k0,
                                idx k1)
{
    for (idx m = m0; m < m1; m++, dst += pitch)
        for (idx k = k0, len; k < k1; k += len) {
            len = min_idx(k1 - k, points - k % points);
            NAME(copy)(dst + k - k0, dy + k / points * image + m * points + k % points, len);
        }
}

/* dw (oc, ic*kh*kw) = dy (oc, positions) im2col(x)^T (positions, ic*kh*kw), over one block of positions after the
 * other. A task is a chunk of columns of one group. */
static void NAME(weights_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const idx columns = p->ic * p->kh * p->kw, points = p->oh * p->ow, positions = p->n * points;
    const idx j0 = t.chunk * plan->chunk_w, j1 = min_idx(j0 + plan->chunk_w, columns);
    const int nr = plan->nv * LANES;
    if (j0 >= j1 || t.m0 >= t.m1)
        return;

    REAL *buffer = (REAL *)(call->scratch + worker * plan->task_bytes);
    REAL *panels = buffer + BUFFER_ROWS * NV * LANES;
    const idx depth = plan->depth, rows = WEIGHTS_ROWS;
    REAL *gradient = panels + ceil_div(plan->chunk_w, nr) * depth * nr;
    const REAL *dy = (const REAL *)call->weights + t.group * p->oc * points;
    const idx dy_image = p->groups * p->oc * points;
    const NAME(source) src = NAME(task_source)(call, &t);
    NAME(block) g = {.nv = plan->nv, .buffer = buffer, .dst_row = columns, .dst_step = 1,
                     .dst = (REAL *)call->dst + t.group * p->oc * columns, .kblock = accumulation_block(positions)};

    for (idx k0 = 0; k0 < positions; k0 += depth) {
        const idx k1 = min_idx(k0 + depth, positions);
        /* in place where that is one dense run and rows of it do not collide */
        const int one_image = k0 / points == (k1 - 1) / points && rows_together(points * (idx)sizeof(REAL), MR) == MR;
        g.first = k0 == 0;
        g.k = k1 - k0;
        for (idx j = j0; j < j1; j += nr)
            NAME(pack_positions)(panels + (j - j0) * depth, nr, &src, &t.lat, j, (int)min_idx(nr, j1 - j), k0, k1);
        for (idx m = t.m0; m < t.m1; m += rows) {
            const idx m1 = min_idx(m + rows, t.m1);
            g.lda = one_image ? points : line_pitch(g.k, sizeof(REAL));
            g.a = one_image ? dy + k0 / points * dy_image + k0 % points : gradient;
            g.a_first = one_image ? 0 : m;
            if (!one_image)
                NAME(pack_gradient)(gradient, g.lda, dy, dy_image, points, m, m1, k0, k1);
            g.m1 = m;
            NAME(block_rows)(&g, rows, m1);
            /* a tile's rows of the result go on over all panels: one by one, each of their lines would lie in a page of its own */
            for (idx j = j0, beside; j < j1; j += beside * nr) {
                const NAME(segment) s = {j, 0, (int)min_idx(nr, j1 - j)};
                beside = max_idx(1, (j1 - j) / nr);
                NAME(block_columns)(&g, panels + (j - j0) * depth, beside - 1, depth * nr, &s, 1);
            }
        }
    }
}
