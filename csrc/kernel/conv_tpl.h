/* conv -- the three rows of one table: gemm and direct (fwd and bwd_data), weights (bwd_weights).
 *
 * A task is one (phase, group, chunk of outputs, chunk of rows); it packs its source and calls block_column. Tasks
 * share nothing but what they read, and write disjoint outputs, so who runs them and in which order cannot matter.
 */
typedef struct {
    idx phase_h, phase_w, group, chunk, m0, m1;
    lattice lat;
} NAME(task);

/* rows: of the result, in one group. Tasks are ordered so that neighbours share their source. */
static NAME(task) NAME(task_decode)(const conv_plan *plan, idx task)
{
    NAME(task) t = {0};
    idx m_chunk = task % plan->m_chunks;
    task /= plan->m_chunks;
    t.chunk = task % plan->chunks;
    task /= plan->chunks;
    t.group = task % plan->p.groups;
    task /= plan->p.groups;
    t.phase_w = task % plan->phases_w;
    t.phase_h = task / plan->phases_w;
    t.lat = plan_lattice(plan, t.phase_h, t.phase_w);
    idx rows = t.lat.result_channels;
    idx step = ceil_div(rows, plan->m_chunks);
    t.m0 = min_idx(m_chunk * step, rows);
    t.m1 = min_idx(t.m0 + step, rows);
    return t;
}

/* The group's weights of a lattice: w itself in fwd; what prepare laid out in bwd_data. Taps before phase i of an axis
 * of `period` phases: sum of ceil((kernel - j) / period) for j < i. */
static idx NAME(taps_before)(idx kernel, idx period, idx phase)
{
    idx sum = 0;
    for (idx j = 0; j < phase; j++)
        sum += ceil_div(kernel - j, period);
    return sum;
}

static idx NAME(phase_offset)(const conv_problem *p, idx phase_h, idx phase_w, idx taps_h)
{
    idx period_h = p->stride_h / gcd_idx(p->stride_h, p->dil_h), period_w = p->stride_w / gcd_idx(p->stride_w, p->dil_w);
    return p->ic * p->oc * (NAME(taps_before)(p->kh, period_h, phase_h) * p->kw +
                            taps_h * NAME(taps_before)(p->kw, period_w, phase_w));
}

static NAME(block) NAME(task_block)(const conv_call *call, const NAME(task) *t, REAL *buffer)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx group_weights = p->oc * p->ic * p->kh * p->kw;
    NAME(block) g = {.nv = plan->nv, .buffer = buffer,
                     .lda = t->lat.source_channels * t->lat.h.taps * t->lat.w.taps,
                     .dst_row = t->lat.h.out_size * t->lat.w.out_size, .dst_step = t->lat.w.out_step};
    g.a = (const REAL *)call->weights + t->group * group_weights;
    g.dst = (REAL *)call->dst + t->group * t->lat.result_channels * g.dst_row;
    g.kblock = accumulation_block(g.lda);
    if (p->pass == CONV_FWD) {
        g.bias = call->bias ? (const REAL *)call->bias + t->group * p->oc : NULL;
        g.relu = p->activation == CONV_RELU;
    } else {
        g.a += NAME(phase_offset)(p, t->phase_h, t->phase_w, t->lat.h.taps);
        g.fold = p->pad_mode != CONV_ZEROS;
    }
    return g;
}

static NAME(source) NAME(task_source)(const conv_call *call, const NAME(task) *t)
{
    const conv_problem *p = &call->plan->p;
    const REAL *first = call->src;
    const idx plane = t->lat.h.size * t->lat.w.size, image = p->groups * t->lat.source_channels * plane;
    /* The gradient's own padding is always of zeros: its mode says where the results fold, not what is read. */
    return (NAME(source)){.first = first + t->group * t->lat.source_channels * plane, .end = first + p->n * image,
                          .image = image, .plane = plane,
                          .mode = p->pass == CONV_BWD_DATA ? CONV_ZEROS : p->pad_mode};
}

/* Rows of a that stay in the second-level cache while the columns pass. */
static inline idx NAME(row_block)(idx k)
{
    return max_idx(MR, 393216 / (k * (idx)sizeof(REAL)) / MR * MR);
}

static void NAME(gemm_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const lattice *lat = &t.lat;
    const idx points = lat->h.grid * lat->w.grid, taps = lat->h.taps * lat->w.taps;
    const int nr = plan->nv * LANES;
    if (points == 0 || t.m0 >= t.m1)
        return;
    const idx chunks_w = ceil_div(points, plan->chunk_w);
    const idx n0 = t.chunk / chunks_w * plan->chunk_n, n1 = min_idx(n0 + plan->chunk_n, plan->p.n);
    const idx j0 = n0 * points + t.chunk % chunks_w * plan->chunk_w;
    const idx j1 = plan->chunk_n > 1 ? n1 * points : min_idx(j0 + plan->chunk_w, n1 * points);
    if (j0 >= j1)
        return;

    REAL *buffer = (REAL *)(call->scratch + worker * plan->task_bytes);
    REAL *panels = buffer + MR * 4 * NV * LANES;
    const idx depth = plan->channels * taps;
    int32_t *off = (int32_t *)(panels + ceil_div(plan->chunk_n * plan->chunk_w, nr) * depth * nr);
    NAME(block) g = NAME(task_block)(call, &t, buffer);
    const NAME(source) src = NAME(task_source)(call, &t);
    const idx image = plan->p.groups * lat->result_channels * g.dst_row;
    const REAL *a = g.a;
    NAME(segment) s[4 * NV * LANES];

    g.off = off;
    for (idx k = 0; k < depth; k++)
        off[k] = (int32_t)(k * nr);
    for (idx c0 = 0; c0 < lat->source_channels; c0 += plan->channels) {
        const idx c1 = min_idx(c0 + plan->channels, lat->source_channels);
        g.first = c0 == 0;
        g.last = c1 == lat->source_channels;
        g.a = a + c0 * taps;
        g.k = (c1 - c0) * taps;
        for (idx j = j0; j < j1; j += nr)
            NAME(pack_im2col)(panels + (j - j0) * depth, nr, &src, lat, c0, c1, j, (int)min_idx(nr, j1 - j));
        const idx rows = NAME(row_block)(g.k);
        for (idx m = t.m0; m < t.m1; m += rows)
            for (idx j = j0; j < j1; j += nr) {
                int segments = 0, len;
                idx n = j / points, row = j % points / lat->w.grid, column = j % lat->w.grid;
                for (int done = 0; done < nr && j + done < j1; done += len, column = 0) {
                    len = (int)min_idx(min_idx(nr - done, j1 - j - done), lat->w.grid - column);
                    segments = NAME(add_segments)(s, segments, lat, g.fold ? plan->p.pad_mode : CONV_ZEROS, n * image,
                                                  row, column, done, len);
                    if (++row == lat->h.grid) {
                        row = 0;
                        n++;
                    }
                }
                NAME(block_column)(&g, m, min_idx(m + rows, t.m1), panels + (j - j0) * depth, s, segments);
            }
    }
}

static NAME(box) NAME(task_box)(const conv_plan *plan, const NAME(task) *t)
{
    const conv_axis *h = &t->lat.h, *w = &t->lat.w;
    const idx chunks_w = ceil_div(w->grid, plan->chunk_w), chunks_h = ceil_div(h->grid, plan->chunk_h);
    NAME(box) box = {.fh = axis_row_layout(h), .fw = axis_row_layout(w)};
    if (chunks_w == 0 || chunks_h == 0)
        return box;
    box.w0 = t->chunk % chunks_w * plan->chunk_w;
    box.h0 = t->chunk / chunks_w % chunks_h * plan->chunk_h;
    box.n0 = t->chunk / chunks_w / chunks_h * plan->chunk_n;
    box.w = min_idx(plan->chunk_w, w->grid - box.w0);
    box.h = min_idx(plan->chunk_h, h->grid - box.h0);
    box.n = max_idx(0, min_idx(plan->chunk_n, plan->p.n - box.n0));
    box.rows = box.h + box.fh.span;
    box.pitch = plan->pitch;
    box.area = box.n * box.rows * box.pitch;
    return box;
}

/* The shift of each tap in the packed rows. */
static void NAME(direct_offsets)(int32_t *off, const lattice *lat, const NAME(box) *box, idx channels)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    for (idx c = 0; c < channels; c++)
        for (idx th = 0; th < h->taps; th++) {
            const idx row = floor_div(tap_position(h, th), h->step) - box->fh.lowest;
            const idx plane_h = c * box->fh.period + th % box->fh.period;
            for (idx tw = 0; tw < w->taps; tw++) {
                const idx column = floor_div(tap_position(w, tw), w->step) - box->fw.lowest;
                const idx plane = plane_h * box->fw.period + tw % box->fw.period;
                *off++ = (int32_t)(plane * box->area + row * box->pitch + column);
            }
        }
}

/* The column tile that starts at packed element j: its segments, and where the next one starts (returned). Elements
 * that hold no point (between rows, between images) are computed and thrown away, or passed over at a tile's start. */
static idx NAME(direct_segments)(NAME(segment) *s, int *segments, const lattice *lat, const NAME(box) *box,
                                 conv_pad_mode fold, idx image, int nr, idx j)
{
    const idx image_area = box->rows * box->pitch, end = j + nr;
    idx n = j / image_area, row = j % image_area / box->pitch, column = j % box->pitch;
    *segments = 0;
    for (idx at = j; n < box->n;) {
        const int len = (int)min_idx(end - at, box->w - column);
        *segments = NAME(add_segments)(s, *segments, lat, fold, (box->n0 + n) * image, box->h0 + row, box->w0 + column,
                                       (int)(at - j), len);
        if (column + len < box->w)
            return end;
        column = 0;
        if (++row == box->h) {
            row = 0;
            n++;
        }
        at = n * image_area + row * box->pitch;
        if (at >= end)
            return n < box->n ? at : -1;
    }
    return -1;
}

static void NAME(direct_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const lattice *lat = &t.lat;
    const NAME(box) box = NAME(task_box)(plan, &t);
    const idx taps = lat->h.taps * lat->w.taps;
    if (box.n <= 0 || box.h <= 0 || box.w <= 0 || t.m0 >= t.m1)
        return;

    REAL *buffer = (REAL *)(call->scratch + worker * plan->task_bytes);
    int32_t *off = (int32_t *)(buffer + MR * 4 * NV * LANES);
    REAL *packed = (REAL *)((char *)off + round_up(plan->channels * taps * (idx)sizeof *off, ALIGNMENT));
    NAME(block) g = NAME(task_block)(call, &t, buffer);
    const NAME(source) src = NAME(task_source)(call, &t);
    const idx image = plan->p.groups * lat->result_channels * g.dst_row;
    const conv_pad_mode fold = g.fold ? plan->p.pad_mode : CONV_ZEROS;
    const REAL *a = g.a;
    NAME(segment) s[4 * NV * LANES];

    g.off = off;
    NAME(direct_offsets)(off, lat, &box, plan->channels);
    for (idx c0 = 0; c0 < lat->source_channels; c0 += plan->channels) {
        const idx c1 = min_idx(c0 + plan->channels, lat->source_channels);
        g.first = c0 == 0;
        g.last = c1 == lat->source_channels;
        g.a = a + c0 * taps;
        g.k = (c1 - c0) * taps;
        NAME(pack_rows)(packed, &src, lat, &box, c0, c1);
        const idx rows = NAME(row_block)(g.k);
        for (idx m = t.m0; m < t.m1; m += rows)
            for (idx j = 0, next; j >= 0; j = next) {
                int segments;
                next = NAME(direct_segments)(s, &segments, lat, &box, fold, image, plan->nv * LANES, j);
                NAME(block_column)(&g, m, min_idx(m + rows, t.m1), packed + j, s, segments);
            }
    }
}

/* w (oc, ic, kh, kw) of each group to (phase)(ic, oc, taps of the phase): the weights of bwd_data's lattices. A task is
 * one input channel of one group. */
static void NAME(prepare_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx group = index / p->ic, c = index % p->ic, taps = p->kh * p->kw;
    const REAL *w = (const REAL *)call->weights + group * p->oc * p->ic * taps + c * taps;
    REAL *prepared = (REAL *)call->prepared + group * p->oc * p->ic * taps;
    (void)worker;
    for (idx ph = 0; ph < plan->phases_h; ph++)
        for (idx pw = 0; pw < plan->phases_w; pw++) {
            const lattice lat = plan_lattice(plan, ph, pw);
            REAL *dst = prepared + NAME(phase_offset)(p, ph, pw, lat.h.taps) + c * p->oc * lat.h.taps * lat.w.taps;
            for (idx o = 0; o < p->oc; o++)
                for (idx th = 0; th < lat.h.taps; th++)
                    for (idx tw = 0; tw < lat.w.taps; tw++)
                        *dst++ = w[o * p->ic * taps + (lat.h.tap_first + th * lat.h.tap_step) * p->kw +
                                   lat.w.tap_first + tw * lat.w.tap_step];
        }
}

/* Rows [m0, m1) of dy over the positions [k0, k1) run on over images, dense: dst[(m - m0) * (k1 - k0) + k - k0]. */
static void NAME(pack_gradient)(REAL *dst, const REAL *dy, idx image, idx points, idx m0, idx m1, idx k0, idx k1)
{
    for (idx m = m0; m < m1; m++)
        for (idx k = k0, len; k < k1; k += len) {
            const REAL *from = dy + k / points * image + m * points + k % points;
            len = min_idx(k1 - k, points - k % points);
            for (idx i = 0; i < len; i++)
                *dst++ = from[i];
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
    REAL *panels = buffer + MR * 4 * NV * LANES;
    const idx depth = plan->depth, rows = WEIGHTS_ROWS;
    REAL *gradient = panels + ceil_div(plan->chunk_w, nr) * depth * nr;
    int32_t *off = (int32_t *)(gradient + rows * depth);
    const REAL *dy = (const REAL *)call->weights + t.group * p->oc * points;
    const idx dy_image = p->groups * p->oc * points;
    const NAME(source) src = NAME(task_source)(call, &t);
    NAME(block) g = {.off = off, .nv = plan->nv, .buffer = buffer, .dst_row = columns, .dst_step = 1,
                     .dst = (REAL *)call->dst + t.group * p->oc * columns, .kblock = accumulation_block(positions)};

    for (idx k = 0; k < depth; k++)
        off[k] = (int32_t)(k * nr);
    for (idx k0 = 0; k0 < positions; k0 += depth) {
        const idx k1 = min_idx(k0 + depth, positions);
        const int one_image = k0 / points == (k1 - 1) / points;
        g.first = k0 == 0;
        g.k = k1 - k0;
        for (idx j = j0; j < j1; j += nr)
            NAME(pack_positions)(panels + (j - j0) * depth, nr, &src, &t.lat, j, (int)min_idx(nr, j1 - j), k0, k1);
        for (idx m = t.m0; m < t.m1; m += rows) {
            const idx m1 = min_idx(m + rows, t.m1);
            g.lda = one_image ? points : g.k;
            g.a = one_image ? dy + k0 / points * dy_image + k0 % points : gradient;
            g.a_first = one_image ? 0 : m;
            if (!one_image)
                NAME(pack_gradient)(gradient, dy, dy_image, points, m, m1, k0, k1);
            for (idx j = j0; j < j1; j += nr) {
                const NAME(segment) s = {j, 0, (int)min_idx(nr, j1 - j)};
                NAME(block_column)(&g, m, m1, panels + (j - j0) * depth, &s, 1);
            }
        }
    }
}
