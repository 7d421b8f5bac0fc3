/* col2im_rows -- bwd_data from few positions, such as those of a kernel as large as the image: the positions of some images are the rows
 * of a product, taps of channels its columns, so that lanes are full; each row is added to dx as the window that it is.
 *
 * A task has some channels of its images, so that no other adds to them; positions and taps come in one order.
 */

/* Adds a window of some channels, whose first element is (row, column) of their planes: rows, and planes, that follow each other at once. */
static void NAME(col2im_window)(const conv_problem *p, const REAL *from, idx row, idx column, REAL *dx, idx channels, const REAL *end)
{
    const int dense = (p->kw == 1 || p->dil_w == 1) && (p->kh == 1 || p->dil_h == 1);
    const int rows = dense && column == 0 && p->kw == p->iw && row >= 0 && row + p->kh <= p->ih, planes = rows && p->kh == p->ih;
    const idx joined = planes ? channels * p->kh * p->kw : p->kh * p->kw;
    for (idx c = 0; c < (planes ? 1 : channels); c++)
        for (idx th = 0; th < (rows ? 1 : p->kh); th++) {
            const idx y = row + th * p->dil_h;
            REAL *const to = dx + (c * p->ih + y) * p->iw;
            if (rows)
                NAME(col2im_add)(to, joined, 0, 1, from + c * joined, joined, end);
            else if (y >= 0 && y < p->ih)
                NAME(col2im_add)(to, p->iw, column, p->dil_w, from + (c * p->kh + th) * p->kw, p->kw, end);
        }
}

static void NAME(col2im_rows_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx parts = ceil_div(p->ic, plan->channels), c0 = index % parts * plan->channels, c1 = min_idx(c0 + plan->channels, p->ic);
    const idx group = index / parts % p->groups, n0 = index / parts / p->groups * plan->chunk_n, n1 = min_idx(n0 + plan->chunk_n, p->n);
    const idx taps = p->kh * p->kw, plane = p->ih * p->iw, positions = p->oh * p->ow, pitch = line_pitch(p->oc, sizeof(REAL));
    const idx columns = (c1 - c0) * taps, rows = (n1 - n0) * positions;
    matrix_product product = {.m = rows, .rows = rows, .n = columns, .columns = columns, .k = p->oc, .a_row = pitch, .a_col = 1,
                              .b = (const REAL *)call->weights + (group * p->oc * p->ic + c0) * taps, .b_row = p->ic * taps, .b_col = 1,
                              .c_row = columns, .scratch = call->scratch + worker * plan->task_bytes};
    REAL *const turned = (REAL *)(product.scratch + matmul_task_bytes(&product, NV * LANES, sizeof(REAL)));
    REAL *const products = turned + (plan->chunk_n * positions + LANES) * pitch;
    const REAL *const dy_end = (const REAL *)call->src + p->n * p->groups * p->oc * positions;
    for (idx n = n0; n < n1; n++)
        NAME(pack_matrix)(turned + (n - n0) * positions * pitch, pitch, (const REAL *)call->src + (n * p->groups + group) * p->oc * positions,
                          1, positions, positions, p->oc, dy_end);
    product.a = turned;
    product.c = products;
    NAME(matmul_task)(&product, 0, 0);
    const REAL *row = products;
    for (idx n = n0; n < n1; n++) {
        REAL *const dx = (REAL *)call->dst + ((n * p->groups + group) * p->ic + c0) * plane, *const end = dx + (c1 - c0) * plane;
        NAME(col2im_blank)(call, dx, group, c0, c1);
        for (idx y = 0; y < p->oh; y++)
            for (idx x = 0; x < p->ow; x++, row += columns)
                NAME(col2im_window)(p, row, y * p->stride_h - p->pad_top, x * p->stride_w - p->pad_left, dx, c1 - c0, end);
    }
}
