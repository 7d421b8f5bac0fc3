/* prepare -- weights laid out for the microkernel: tile by tile for plans, for gradients and for calls with many columns; by rows for gradients of short rows.
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

/* Where a tap's terms are in the tiles of bwd_data: its lattice's tiles begin at `before`, and of its `count` taps it is the one at `index`. */
typedef struct {
    idx before, count, index;
} NAME(tap_place);

/* Of the taps [first, end). */
static void NAME(tap_places)(const conv_plan *plan, NAME(tap_place) *place, idx first, idx end)
{
    for (idx ph = 0; ph < plan->phases_h; ph++)
        for (idx pw = 0; pw < plan->phases_w; pw++) {
            const lattice lat = plan_lattice(plan, ph, pw);
            const idx before = weights_before(plan, ph, pw), count = lat.h.taps * lat.w.taps;
            for (idx index = 0; index < count; index++) {
                const idx th = index / lat.w.taps, tw = index % lat.w.taps;
                const idx tap = (lat.h.tap_first + th * lat.h.tap_step) * plan->p.kw + lat.w.tap_first + tw * lat.w.tap_step;
                if (tap >= first && tap < end)
                    place[tap - first] = (NAME(tap_place)){before, count, index};
            }
        }
}

/* `count` taps of the kernels of `height` channels, `taps` from each other, turned round: the terms of one output channel in the tiles that begin
 * with `at` rows of terms before theirs. What vectors hold beyond a term is written over by the next, of which there is one where `vectors` are
 * allowed; nothing is read past `beyond`. */
static void NAME(turn_kernels)(REAL *packed, const NAME(tap_place) *place, idx at, const REAL *kernel, const REAL *beyond, idx count, idx taps, idx height,
                               int vectors)
{
    idx tap = 0;
    for (; vectors && 2 * (count - tap) >= LANES && kernel + (height - 1) * taps + tap + LANES <= beyond; tap += LANES)
        for (idx i = (height - 1) / LANES * LANES; i >= 0; i -= LANES) {
            const REAL *rows[LANES];
            vec r[LANES];
            for (idx c = 0; c < LANES; c++)
                rows[c] = kernel + min_idx(i + c, height - 1) * taps + tap;
            NAME(turn)(r, rows, LANES);
            for (idx t = 0; t < min_idx(LANES, count - tap); t++) {
                const NAME(tap_place) *const q = place + tap + t;
                NAME(store)(packed + q->before + at * q->count + q->index * height + i, r[t]);
            }
        }
    for (; tap < count; tap++) {
        REAL *const to = packed + place[tap].before + at * place[tap].count + place[tap].index * height;
        for (idx i = 0; i < height; i++)
            to[i] = kernel[i * taps + tap];
    }
}

/* Kernels of one point, so many output channels that behind each is room for a vector: nothing to turn. */
static void NAME(split_rows)(REAL *packed, const REAL *w, idx count, idx oc, idx ic, const even_tiles tiles, idx first, idx end)
{
    for (idx o = 0; o < count; o++, w += ic) {
        if (o + PREPARE_CALLED < count)
            NAME(call_lines)(w + PREPARE_CALLED * ic + tile_start(tiles, first), tile_start(tiles, end) - tile_start(tiles, first));
        for (idx tile = first, c = tile_start(tiles, first), height; tile < end; tile++, c += height) {
            height = tiles.height + (tile < tiles.higher);
            REAL *const to = packed + c * oc + o * height;
            __builtin_prefetch(to + PREPARE_CALLED * height, 1);
            for (idx i = (height - 1) / LANES * LANES; i >= 0; i -= LANES)
                NAME(store)(to + i, NAME(load)(w + c + i));
        }
    }
}

/* Tiles [first, end) of the rows (ic)(oc, taps) of the lattices of bwd_data, from w (oc, ic, kh, kw) of a group. */
static void NAME(gradient_pack)(const conv_plan *plan, const REAL *w, const REAL *beyond, REAL *packed, idx first, idx end)
{
    const even_tiles tiles = weights_tiles(plan);
    const idx oc = plan->p.oc, taps = plan->p.kh * plan->p.kw, from = plan->p.ic * taps;
    const idx c0 = tile_start(tiles, first), c1 = tile_start(tiles, end), whole = oc - 1 - (LANES - 1) / max_idx(1, tiles.height);
    const idx done = taps == 1 ? max_idx(0, oc - LANES) : 0;
    NAME(tap_place) place[PREPARE_TAPS];
    for (idx t0 = 0, t1; t0 < taps; t0 = t1) {
        t1 = min_idx(t0 + PREPARE_TAPS, taps);
        NAME(tap_places)(plan, place, t0, t1);
        if (done > 0)
            NAME(split_rows)(packed + place->before, w, done, oc, from, tiles, first, end);
        for (idx o = done; o < oc; o++) {
            const REAL *const kernels = w + o * from + t0;
            if (o + PREPARE_AHEAD < oc)
                NAME(call_lines)(kernels + PREPARE_AHEAD * from + c0 * taps, (c1 - c0) * taps);
            for (idx tile = first, c = c0, height; tile < end; tile++, c += height) {
                height = tiles.height + (tile < tiles.higher);
                NAME(turn_kernels)(packed, place, c * oc + o * height, kernels + c * taps, beyond, t1 - t0, taps, height,
                                   t0 == 0 && o < whole); /* the next term of later taps may be done */
            }
        }
    }
}

/* Those that begin in PREPARE_TILED rows, for a call of its own. */
static void NAME(prepare_tiles)(const conv_call *call, idx index)
{
    const conv_plan *plan = call->plan;
    const idx rows = plan->m_rows, tasks = ceil_div(rows, PREPARE_TILED), group = index / tasks, m = index % tasks * PREPARE_TILED;
    const idx size = plan->p.oc * plan->p.ic * plan->p.kh * plan->p.kw;
    const idx first = tile_from(weights_tiles(plan), m), end = tile_from(weights_tiles(plan), min_idx(m + PREPARE_TILED, rows));
    const REAL *const w = (const REAL *)call->weights + group * size;
    REAL *const packed = (REAL *)call->prepared + group * weights_laid_out(plan);
    if (plan->p.pass == CONV_FWD)
        NAME(tiles_pack)(plan, w, packed, first, end);
    else
        NAME(gradient_pack)(plan, w, (const REAL *)call->weights + plan->p.groups * size, packed, first, end);
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
    const idx size = winograd_kept(plan, &shape, lay.next_u);
    REAL *const u = (REAL *)((char *)packed + plan->packed_offset);
    for (idx group = 0; group < p->groups; group++) {
        const NAME(weights) weights = NAME(group_weights)(p, &lat, w, group);
        NAME(winograd_block)(&shape, &lay, &lat, &weights, u + group * size, 0, tile_from(lay.tiles, plan->m_rows), u + p->groups * size);
    }
}
