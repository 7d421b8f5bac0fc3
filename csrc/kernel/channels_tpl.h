/* channels -- direct with lanes over the result's channels: short rows, whose columns would not fill a vector.
 *
 * The source is broadcast, element by element, from where it lies; the weights are the panel. The tile comes out as
 * (point, channel) and is turned round, LANES points at a time, on its way to (channel, point).
 */

/* Channels [o0, o0 + count) of up to LANES points in `tile` (point, channel), stored at dst + out[point]. */
static void NAME(channels_store)(const conv_problem *p, const REAL *tile, idx nr, REAL *dst, idx plane, const idx *out,
                                 int points, idx count, const REAL *bias)
{
    REAL turned[LANES * LANES];
    for (idx o = 0; o < count; o += LANES) {
        NAME(transpose)(turned, LANES, tile + o, nr);
        for (idx i = 0; i < min_idx(LANES, count - o); i++) {
            REAL *to = dst + (o + i) * plane;
            vec y = NAME(load)(turned + i * LANES);
            if (bias)
                y += bias[o + i];
            if (p->activation == CONV_RELU)
                y = NAME(relu)(y);
            if (out[points - 1] - out[0] == LANES - 1 && points == LANES) {
                NAME(store)(to + out[0], y);
                continue;
            }
            NAME(store)(turned + i * LANES, y);
            for (int j = 0, run; j < points; j += run) {
                for (run = 1; j + run < points && out[j + run] == out[j] + run; run++)
                    continue;
                NAME(copy)(to + out[j], turned + i * LANES + j, run);
            }
        }
    }
}

static void NAME(channels_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const lattice *lat = &t.lat;
    const NAME(box) box = NAME(task_box)(plan, &t);
    const idx k = lat->source_channels * lat->h.taps * lat->w.taps, rows = lat->result_channels;
    const int nr = plan->nv * LANES;
    if (box.n <= 0 || box.h <= 0 || box.w <= 0 || t.m0 >= t.m1)
        return;

    REAL *tile = (REAL *)(call->scratch + worker * plan->task_bytes);
    REAL *panel = tile + MR * 4 * NV * LANES; /* (k, nr) */
    idx *point = (idx *)(panel + (k + LANES) * nr);
    idx *out = point + plan->chunk_n * plan->chunk_h * plan->chunk_w + LANES;
    int32_t *at = (int32_t *)(out + plan->chunk_n * plan->chunk_h * plan->chunk_w + LANES);
    REAL *packed = (REAL *)((char *)at + round_up(k * (idx)sizeof *at, ALIGNMENT));
    const NAME(block) g = NAME(task_block)(call, &t, tile);
    const NAME(source) src = NAME(task_source)(call, &t);
    const NAME(view) view = NAME(box_view)(&src, lat, &box, 0, lat->source_channels, packed);
    const REAL *end = g.a + rows * k;
    idx count = 0;
    int highest;
    NAME(tile_run) *const run = NAME(tile_of)(plan->nv, NAME(GATHER_A), &highest);

    for (idx c = 0, i = 0; c < lat->source_channels; c++)
        for (idx th = 0; th < lat->h.taps; th++)
            for (idx tw = 0; tw < lat->w.taps; tw++)
                at[i++] = (int32_t)NAME(view_tap)(&view, c, th, tw);
    for (idx n = 0; n < box.n; n++)
        for (idx y = 0; y < box.h; y++)
            for (idx x = 0; x < box.w; x++, count++) {
                point[count] = NAME(view_point)(&view, n, y, x);
                out[count] = (box.n0 + n) * p->groups * rows * g.dst_row +
                             (lat->h.out_first + (box.h0 + y) * lat->h.out_step) * lat->w.out_size +
                             lat->w.out_first + (box.w0 + x) * lat->w.out_step;
            }
    for (idx i = 0; i < LANES; i++)
        point[count + i] = point[0]; /* the last tile is whole; what it has too much is not stored */

    for (idx o = t.m0; o < t.m1; o += nr) {
        const idx channels = min_idx(nr, t.m1 - o);
        NAME(pack_matrix)(panel, nr, g.a + o * k, 1, k, k, channels, end);
        for (idx i = 0; i < count; i += LANES) {
            const int height = LANES <= highest ? LANES : LANES / 2;
            for (int half = 0; half < LANES; half += height) {
                NAME(tile_args) args = {.a = view.base, .row = point + i + half, .out = tile + half * nr, .ldout = nr};
                for (idx k0 = 0; k0 < k; k0 += g.kblock) {
                    args.k = min_idx(g.kblock, k - k0);
                    args.b = panel + k0 * nr;
                    args.at = at + k0;
                    run(&args, height);
                    args.prev = args.out;
                    args.ldprev = nr;
                }
            }
            NAME(channels_store)(p, tile, nr, g.dst + o * g.dst_row, g.dst_row, out + i, (int)min_idx(LANES, count - i),
                                 channels, g.bias ? g.bias + o : NULL);
        }
    }
}
