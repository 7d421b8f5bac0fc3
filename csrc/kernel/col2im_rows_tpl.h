/* col2im_rows -- bwd_data by products whose rows are positions and whose columns are taps of channels: lanes are full where positions are few,
 * weights are read as they lie, and each row is added to dx as the window that it is.
 *
 * A task has some channels of some images, so that no other adds to them; positions and taps come in one order.
 */

/* Adds a window of some channels, whose first element is (row, column) of their planes: rows, and planes, that follow each other at once. */
static void NAME(col2im_window)(const conv_problem *p, const REAL *from, idx row, idx column, REAL *dx, idx channels, const REAL *end)
{
    const NAME(inside) h = NAME(run_inside)(row, p->dil_h, p->ih, p->kh), w = NAME(run_inside)(column, p->dil_w, p->iw, p->kw);
    const int dense = (p->kw == 1 || p->dil_w == 1) && (p->kh == 1 || p->dil_h == 1);
    const int rows = dense && column == 0 && p->kw == p->iw && h.lo == 0 && h.hi == p->kh, planes = rows && p->kh == p->ih;
    const idx taps = p->kh * p->kw, plane = p->ih * p->iw;
    dx += row * p->iw + column;
    if (planes) {
        NAME(col2im_add)(dx, 1, from, 0, channels * taps, end);
        return;
    }
    for (idx c = 0; c < channels; c++, dx += plane, from += taps) {
        if (rows)
            NAME(col2im_add)(dx, 1, from, 0, taps, end);
        for (idx th = h.lo; th < h.hi && !rows; th++) {
            REAL *const to = dx + th * p->dil_h * p->iw;
            if (p->dil_w == 1)
                NAME(col2im_add)(to, 1, from + th * p->kw, w.lo, w.hi, end);
            else
                NAME(col2im_add)(to, p->dil_w, from + th * p->kw, w.lo, w.hi, end);
        }
    }
}

/* Positions [r0, r1) of a task's images, from `dy` on, as rows. */
static void NAME(col2im_turn)(const conv_call *call, const REAL *dy, idx r0, idx r1, REAL *turned)
{
    const conv_problem *p = &call->plan->p;
    const idx positions = p->oh * p->ow, pitch = line_pitch(p->oc, sizeof(REAL));
    const REAL *const end = (const REAL *)call->src + p->n * p->groups * p->oc * positions;
    for (idx r = r0, next; r < r1; r = next) {
        next = min_idx(r1, (r / positions + 1) * positions);
        NAME(pack_matrix)(turned + (r - r0) * pitch, pitch, dy + r / positions * p->groups * p->oc * positions + r % positions, 1, positions,
                          next - r, p->oc, end);
    }
}

static void NAME(col2im_rows_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx parts = ceil_div(p->ic, plan->m_rows), c0 = index % parts * plan->m_rows, c1 = min_idx(c0 + plan->m_rows, p->ic);
    const idx group = index / parts % p->groups, n0 = index / parts / p->groups * plan->chunk_n, n1 = min_idx(n0 + plan->chunk_n, p->n);
    const idx taps = p->kh * p->kw, plane = p->ih * p->iw, positions = p->oh * p->ow, image = p->groups * p->ic * plane;
    const matrix_product largest = col2im_rows_product(plan, plan->depth, plan->channels);
    char *const scratch = call->scratch + worker * plan->task_bytes;
    REAL *const turned = (REAL *)(scratch + matmul_task_bytes(&largest, NV * LANES, sizeof(REAL)));
    REAL *const products = turned + col2im_rows_turned(plan);
    const REAL *const dy = (const REAL *)call->src + (n0 * p->groups + group) * p->oc * positions;
    const REAL *const weights = (const REAL *)call->weights + group * p->oc * p->ic * taps;
    REAL *const dx = (REAL *)call->dst + n0 * image + group * p->ic * plane;
    for (idx n = n0; n < n1; n++)
        NAME(col2im_blank)(call, dx + (n - n0) * image + c0 * plane, group, c0, c1);
    for (idx r0 = 0, r1; r0 < (n1 - n0) * positions; r0 = r1) {
        r1 = min_idx(r0 + plan->depth, (n1 - n0) * positions);
        NAME(col2im_turn)(call, dy, r0, r1, turned);
        for (idx c = c0, next; c < c1; c = next) {
            next = min_idx(c + plan->channels, c1);
            matrix_product product = col2im_rows_product(plan, r1 - r0, next - c);
            product.a = turned;
            product.b = weights + c * taps;
            product.c = products;
            product.scratch = scratch;
            NAME(matmul_task)(&product, 0, 0);
            for (idx r = r0; r < r1; r++) {
                const idx y = r % positions / p->ow, x = r % p->ow;
                REAL *const to = dx + r / positions * image + c * plane;
                NAME(col2im_window)(p, products + (r - r0) * product.n, y * p->stride_h - p->pad_top, x * p->stride_w - p->pad_left, to,
                                    next - c, to + (next - c) * plane);
            }
        }
    }
}
