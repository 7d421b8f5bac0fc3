/* channels -- direct with lanes over the result's channels: short rows, whose columns would not fill a vector.
 *
 * The source is broadcast, element by element, from where it lies (view_tpl.h); the weights are the panel. A task
 * computes its box as rows (point, channel), all lattices of it, and turns them round, LANES points at a time, on their
 * way to (channel, point): the outputs of a strided gradient come from several lattices but are stored side by side.
 */
typedef struct {
    REAL *panel;  /* (k, nr) weights of the lattice at hand */
    int32_t *at;  /* k: taps */
    idx *point;   /* by row: where it is in the source */
    idx *order;   /* by output: its row */
    idx *out;     /* by output: where it belongs */
    REAL *rows;   /* (row, nr) */
    REAL *packed; /* the padded source, where there is padding */
} NAME(channels_scratch);

/* Runs of outputs among the points [0, points). */
static int NAME(channels_segments)(NAME(segment) *s, const idx *out, int points)
{
    int segments = 0;
    for (int j = 0, run; j < points; j += run) {
        for (run = 1; j + run < points && out[j + run] == out[j] + run; run++)
            continue;
        s[segments++] = (NAME(segment)){out[j], j, run};
    }
    return segments;
}

/* `count` channels of the rows order[0 .. LANES) to dst (channel, point), where the segments say. */
static void NAME(channels_store)(const NAME(block) *g, const REAL *rows, const idx *order, REAL *dst, idx count,
                                 const REAL *bias, const NAME(segment) *s, int segments)
{
    const idx nr = g->nv * LANES;
    REAL turned[LANES * LANES];
    const REAL *row[LANES];
    for (idx o = 0; o < count; o += LANES) {
        for (int j = 0; j < LANES; j++)
            row[j] = rows + order[j] * nr + o;
        NAME(transpose_rows)(turned, LANES, row);
        for (idx i = 0; i < min_idx(LANES, count - o); i++) {
            REAL *const from = turned + i * LANES, *const to = dst + (o + i) * g->dst_row;
            vec y = NAME(load)(from);
            if (bias)
                y += bias[o + i];
            if (g->relu)
                y = NAME(relu)(y);
            NAME(store)(from, y);
            for (int q = 0; q < segments; q++)
                NAME(copy)(to + s[q].out, from + s[q].column, s[q].count);
        }
    }
}

/* Rows of one lattice for result channels [o, o + channels), from row `first` on; notes the order of the outputs. */
static idx NAME(channels_rows)(const conv_call *call, const NAME(task) *t, const NAME(box) *box, const NAME(view) *view,
                               const NAME(channels_scratch) *s, idx first, idx o, idx channels)
{
    const lattice *lat = &t->lat;
    const NAME(block) g = NAME(task_block)(call, t, NULL);
    const idx k = lat->source_channels * lat->h.taps * lat->w.taps, plane = lat->h.out_size * lat->w.out_size;
    const int nr = call->plan->nv * LANES;
    int highest;
    NAME(tile_run) *const run = NAME(tile_of)(call->plan->nv, NAME(GATHER_A), &highest);
    const int height = LANES <= highest ? LANES : LANES / 2;
    idx count = 0, taps = 0;

    NAME(pack_matrix)(s->panel, nr, g.a + o * g.lda, 1, g.lda, k, channels, g.a + (lat->result_channels - 1) * g.lda + k);
    for (idx c = 0; c < lat->source_channels; c++)
        for (idx th = 0; th < lat->h.taps; th++)
            for (idx tw = 0; tw < lat->w.taps; tw++)
                s->at[taps++] = (int32_t)NAME(view_tap)(view, c, th, tw);
    /* The box's outputs are its points, in their order; but for a gradient, whose lattices interleave in whole planes. */
    const int whole = call->plan->p.pass == CONV_BWD_DATA;
    const idx step = whole ? lat->w.out_step : 1;
    for (idx n = 0; n < box->n; n++)
        for (idx y = 0; y < box->h; y++) {
            idx from = n * view->image + y * view->row;
            idx *order = s->order + count;
            if (whole)
                order = s->order + n * plane + (lat->h.out_first + y * lat->h.out_step) * lat->w.out_size + lat->w.out_first;
            for (idx x = 0; x < box->w; x++, count++, from += view->column, order += step) {
                s->point[count] = from;
                *order = first + count;
            }
        }
    for (idx i = 0; i < LANES; i++)
        s->point[count + i] = s->point[0]; /* the last tile is whole; its surplus is not stored */

    for (idx i = 0; i < count; i += height) {
        REAL *rows = s->rows + (first + i) * nr;
        const NAME(tile_args) args = {.k = k, .kblock = even(k, g.kblock), .a = view->base, .row = s->point + i,
                                      .b = s->panel, .at = s->at, .out = rows, .ldout = nr};
        run(&args, height);
    }
    return count;
}

/* Where the outputs of a box belong. */
static idx NAME(channels_outputs)(idx *out, const conv_plan *plan, const lattice *lat, const NAME(box) *box)
{
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const idx plane = lat->h.out_size * lat->w.out_size, image = plan->p.groups * lat->result_channels * plane;
    const idx height = whole ? lat->h.out_size : box->h, width = whole ? lat->w.out_size : box->w;
    idx count = 0;
    for (idx n = 0; n < box->n; n++)
        for (idx y = 0; y < height; y++) {
            const idx first = (box->n0 + n) * image + (box->h0 + y) * lat->w.out_size + box->w0;
            for (idx x = 0; x < width; x++)
                out[count++] = first + x;
        }
    return count;
}

static void NAME(channels_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const lattice all = plan_envelope(plan);
    NAME(task) joined = t;
    joined.lat.h = all.h;
    joined.lat.w = all.w;
    const NAME(box) box = NAME(task_box)(plan, &joined);
    const idx k = plan->channels * t.lat.h.taps * t.lat.w.taps;
    const idx points = plan->depth;
    const int nr = plan->nv * LANES;
    if (box.n <= 0 || box.h <= 0 || box.w <= 0 || t.m0 >= t.m1)
        return;

    NAME(channels_scratch) s;
    s.panel = (REAL *)(call->scratch + worker * plan->task_bytes);
    s.rows = s.panel + (k + LANES) * nr;
    s.point = (idx *)(s.rows + (points + LANES) * nr);
    s.order = s.point + points + LANES;
    s.out = s.order + points + LANES;
    s.at = (int32_t *)(s.out + points + LANES);
    s.packed = (REAL *)((char *)s.at + round_up(k * (idx)sizeof *s.at, ALIGNMENT));
    const NAME(source) src = NAME(task_source)(call, &t);
    const NAME(view) view = NAME(box_view)(&src, &all, &box, 0, plan->channels, s.packed);
    const NAME(block) g = NAME(task_block)(call, &t, NULL);
    const idx outputs = NAME(channels_outputs)(s.out, plan, &t.lat, &box);

    for (idx o = t.m0; o < t.m1; o += nr) {
        const idx channels = min_idx(nr, t.m1 - o);
        idx rows = 0;
        for (idx ph = 0; ph < plan->phases_h; ph++)
            for (idx pw = 0; pw < plan->phases_w; pw++) {
                NAME(task) each = t;
                NAME(box) part = box;
                NAME(view) shifted = view;
                each.phase_h = ph;
                each.phase_w = pw;
                each.lat = plan_lattice(plan, ph, pw);
                if (plan->p.pass == CONV_BWD_DATA) {
                    part.h = each.lat.h.grid;
                    part.w = each.lat.w.grid;
                    shifted.base += (each.lat.h.first - all.h.first) * view.row + (each.lat.w.first - all.w.first) * view.column;
                    shifted.tap_row = each.lat.h.delta * view.row;
                    shifted.tap_column = each.lat.w.delta * view.column;
                }
                rows += NAME(channels_rows)(call, &each, &part, &shifted, &s, rows, o, channels);
            }
        for (idx i = 0; i < outputs; i += LANES) {
            NAME(segment) segments[LANES];
            const int count = NAME(channels_segments)(segments, s.out + i, (int)min_idx(LANES, outputs - i));
            for (idx j = outputs; j < i + LANES; j++)
                s.order[j] = 0;
            NAME(channels_store)(&g, s.rows, s.order + i, g.dst + o * g.dst_row, channels, g.bias ? g.bias + o : NULL,
                                 segments, count);
        }
    }
}
