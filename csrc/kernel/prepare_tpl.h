/* prepare -- weights laid out for the microkernel: rows apart for gradients, tile by tile for plans and for calls with many columns.
 */
/* The rows of a tile, k terms each, to the rows of one term side by side: whole squares, each over what it leaves of the one before, the last by elements. */
static void NAME(tile_pack)(REAL *packed, const REAL *w, idx k, idx height)
{
    idx term = 0;
    for (; term + 2 * LANES <= k; term += LANES)
        for (idx i = (height - 1) / LANES * LANES; i >= 0; i -= LANES) {
            const REAL *rows[LANES];
            for (idx r = 0; r < LANES; r++)
                rows[r] = w + min_idx(i + r, height - 1) * k + term;
            NAME(transpose_rows)(packed + term * height + i, height, rows);
        }
    for (; term < k; term++)
        for (idx i = 0; i < height; i++)
            packed[term * height + i] = w[i * k + term];
}

/* Tiles [first, end) of a group's weights. */
static void NAME(tiles_pack)(const conv_plan *plan, const REAL *w, REAL *packed, idx first, idx end)
{
    const even_tiles tiles = weights_tiles(plan);
    const idx k = plan->p.ic * plan->p.kh * plan->p.kw;
    for (idx tile = first; tile < end; tile++) {
        const idx m = tile_start(tiles, tile);
        NAME(tile_pack)(packed + m * k, w + m * k, k, tile_start(tiles, tile + 1) - m);
    }
}

/* Those that begin in PREPARE_ROWS rows, for a call of its own. */
static void NAME(prepare_tiles)(const conv_call *call, idx index)
{
    const conv_plan *plan = call->plan;
    const idx oc = plan->p.oc, tasks = ceil_div(oc, PREPARE_ROWS), group = index / tasks, m = index % tasks * PREPARE_ROWS;
    const idx size = weights_laid_out(plan), after = m + PREPARE_ROWS;
    NAME(tiles_pack)(plan, (const REAL *)call->weights + group * size, (REAL *)call->prepared + group * size,
                     tile_from(weights_tiles(plan), m), tile_from(weights_tiles(plan), min_idx(after, oc)));
}

/* w (oc, ic, kh, kw) of a group to the rows (ic)(oc, taps of the lattice) of each lattice of bwd_data. A task is
 * PREPARE_ROWS input channels: what lies side by side in w is read at once. */
static void NAME(prepare_rows)(const conv_call *call, idx index)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx tasks = ceil_div(p->ic, PREPARE_ROWS), group = index / tasks, taps = p->kh * p->kw;
    const idx c0 = index % tasks * PREPARE_ROWS, c1 = min_idx(c0 + PREPARE_ROWS, p->ic), from = p->ic * taps;
    const REAL *w = (const REAL *)call->weights + group * p->oc * from;
    const REAL *end = (const REAL *)call->weights + p->groups * p->oc * from;
    REAL *const prepared = (REAL *)call->prepared + group * weights_laid_out(plan);
    for (idx ph = 0; ph < plan->phases_h; ph++)
        for (idx pw = 0; pw < plan->phases_w; pw++) {
            const lattice lat = plan_lattice(plan, ph, pw);
            const idx count = lat.h.taps * lat.w.taps, pitch = weights_pitch(plan, p->oc * count);
            REAL *const dst = prepared + weights_before(plan, ph, pw);
            if (taps == 1) {
                /* the pitch has room for whole squares; behind the last row begins another task's group, and nothing is moved in squares there */
                for (idx c = c0; c < c1; c += LANES)
                    NAME(pack_matrix)(dst + c * pitch, pitch, w + c, 1, p->ic, min_idx(LANES, c1 - c), p->oc, c + LANES <= c1 ? end : w);
                continue;
            }
            for (idx o = 0; o < p->oc; o++) {
                if (o + PREPARE_AHEAD < p->oc)
                    NAME(call_lines)(w + (o + PREPARE_AHEAD) * from + c0 * taps, (c1 - c0) * taps);
                for (idx c = c0; c < c1; c++) {
                    const REAL *const kernel = w + o * from + c * taps;
                    REAL *const to = dst + c * pitch + o * count;
                    if (count == taps) {
                        NAME(copy)(to, kernel, taps);
                        continue;
                    }
                    for (idx th = 0; th < lat.h.taps; th++)
                        for (idx tw = 0; tw < lat.w.taps; tw++)
                            to[th * lat.w.taps + tw] = kernel[(lat.h.tap_first + th * lat.h.tap_step) * p->kw +
                                                              lat.w.tap_first + tw * lat.w.tap_step];
                }
            }
        }
}

static void NAME(prepare_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    (void)worker;
    if (call->plan->weights == WEIGHTS_BY_TILES)
        NAME(prepare_tiles)(call, index);
    else
        NAME(prepare_rows)(call, index);
}

/* The weights of a plan that is kept: tile by tile, or w as it is and after it, for winograd, the transforms of all groups. */
static void NAME(pack)(const conv_plan *plan, const void *w, void *packed)
{
    const conv_problem *p = &plan->p;
    if (plan->weights == WEIGHTS_BY_TILES) {
        const even_tiles tiles = weights_tiles(plan);
        const idx size = weights_laid_out(plan);
        for (idx group = 0; group < p->groups; group++)
            NAME(tiles_pack)(plan, (const REAL *)w + group * size, (REAL *)packed + group * size, 0, tile_from(tiles, p->oc));
        return;
    }
    __builtin_memcpy(packed, w, sizeof(REAL) * (size_t)(p->groups * p->oc * p->ic * p->kh * p->kw));
    if (plan->packed_bytes == plan->packed_offset)
        return;
    const lattice lat = plan_lattice(plan, 0, 0);
    const winograd_shape shape = winograd_shape_of(plan);
    const winograd_scratch lay = winograd_layout(plan, LANES);
    const idx size = shape.frequencies * lay.next_u;
    REAL *const u = (REAL *)((char *)packed + plan->packed_offset);
    for (idx group = 0; group < p->groups; group++) {
        const NAME(weights) weights = NAME(group_weights)(p, &lat, w, group);
        NAME(winograd_block)(&shape, &lay, &lat, &weights, u + group * size, 0, lat.result_channels,
                             u + p->groups * size);
    }
}
