/* stencil -- one source channel to each result: depthwise convolutions, signals and images of one channel.
 *
 * A plane's source is copied once, padded, rows split by residue modulo the stride; every tap is a shift of it. Two rows
 * of the result are summed side by side where that pays, so that a vector of source serves both: the second lags behind
 * by the rows that it starts later. Without that, columns run on over the rows of the copy. Padding of zeros is written
 * once for all planes of a task.
 */
typedef struct {
    const REAL *source;
    const int32_t *at;  /* by (source row, tap of the row): where it is */
    const REAL *w;      /* by tap */
    idx taps, lag;      /* steps that the second row starts later */
    idx block;          /* terms that are summed before they are added to the others */
    REAL *out;
    idx ldout;
    REAL bias;
    int relu;
} NAME(stencil);

/* acc[r] += sum of w[k - r * lag] * source[at[k]], k0 <= k < k1: for row 0, row 1, or both. */
__attribute__((always_inline)) static inline void NAME(stencil_steps)(const int first, const int second, const int V,
                                                                      const NAME(stencil) *t, idx k0, idx k1,
                                                                      vec (*acc)[8])
{
    const REAL *const w = t->w, *const late = t->w - t->lag;
    for (idx k = k0; k < k1; k++) {
        const REAL *row = t->source + t->at[k];
        vec x[8];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            x[v] = NAME(load)(row + v * LANES);
        if (first)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[0][v] += w[k] * x[v];
        if (second)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[1][v] += late[k] * x[v];
    }
}

/* R rows of V vectors. Every row cuts its own sum into blocks: its bits do not depend on its neighbour. */
__attribute__((always_inline)) static inline void NAME(stencil_tile)(const int R, const int V, const NAME(stencil) *t)
{
    vec acc[2][8], sum[2][8];
    const idx last = t->taps + (R - 1) * t->lag;
#pragma GCC unroll 2
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            acc[r][v] = (vec){0};
    if (t->taps <= t->block) {
        if (R == 1) {
            NAME(stencil_steps)(1, 0, V, t, 0, last, acc);
        } else {
            NAME(stencil_steps)(1, 0, V, t, 0, t->lag, acc);
            NAME(stencil_steps)(1, 1, V, t, t->lag, t->taps, acc);
            NAME(stencil_steps)(0, 1, V, t, t->taps, last, acc);
        }
    } else {
        for (int r = 0; r < R; r++)
            for (int v = 0; v < V; v++)
                sum[r][v] = (vec){0};
        for (idx k = 0, next; k < last; k = next) {
            const idx mine = k < t->taps ? min_idx((k / t->block + 1) * t->block, t->taps) : last;
            const idx lagging = k - t->lag;
            const idx other = R == 1 ? last
                              : lagging < 0 ? t->lag
                                            : t->lag + min_idx((lagging / t->block + 1) * t->block, t->taps);
            next = min_idx(mine, other);
            if (R == 1 || lagging < 0)
                NAME(stencil_steps)(1, 0, V, t, k, next, acc);
            else if (k < t->taps)
                NAME(stencil_steps)(1, 1, V, t, k, next, acc);
            else
                NAME(stencil_steps)(0, 1, V, t, k, next, acc);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                if (next == (r == 0 ? mine : other))
#pragma GCC unroll 8
                    for (int v = 0; v < V; v++) {
                        sum[r][v] += acc[r][v];
                        acc[r][v] = (vec){0};
                    }
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[r][v] = sum[r][v];
    }
#pragma GCC unroll 2
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            vec y = acc[r][v] + t->bias;
            NAME(store)(t->out + r * t->ldout + v * LANES, t->relu ? NAME(relu)(y) : y);
        }
}

static void NAME(stencil_1)(const NAME(stencil) *t, int vectors)
{
    if (vectors == STENCIL_WIDE)
        NAME(stencil_tile)(1, STENCIL_WIDE, t);
    else if (vectors == 2)
        NAME(stencil_tile)(1, 2, t);
    else
        NAME(stencil_tile)(1, 1, t);
}

static void NAME(stencil_2)(const NAME(stencil) *t, int vectors)
{
    if (vectors == STENCIL_WIDE)
        NAME(stencil_tile)(2, STENCIL_WIDE, t);
    else if (vectors == STENCIL_WIDE / 2)
        NAME(stencil_tile)(2, STENCIL_WIDE / 2, t);
    else
        NAME(stencil_tile)(2, 2, t);
}

/* What the planes of a task share. */
typedef struct {
    const lattice *lat;
    stencil_box box;
    idx h0, rows;         /* of the result */
    idx residues;         /* of a row */
    REAL *packed, *buffer;
} NAME(stencil_planes);

/* The source of a plane: rows h0*step + lowest on, each once for every residue. */
static void NAME(stencil_pack)(const NAME(stencil_planes) *s, const NAME(source) *src, const REAL *plane)
{
    const conv_axis *h = &s->lat->h, *w = &s->lat->w;
    const axis_rows fw = axis_row_layout(w);
    const idx first = s->h0 * h->step + s->box.low, width = w->grid + fw.span;
    const idx rows = (s->rows - 1) * h->step + s->box.reach;
    for (idx residue = 0; residue < fw.period; residue++) {
        const idx base = fw.lowest * w->step + tap_position(w, residue) -
                         floor_div(tap_position(w, residue), w->step) * w->step;
        const NAME(inside) r = NAME(run_inside)(base, w->step, w->size, width);
        REAL *to = s->packed + residue * s->box.plane;
        for (idx q = 0; q < rows; q++, to += s->box.pitch) {
            const idx y = pad_index(src->mode, first + q, h->size);
            const REAL *row = plane + y * w->size;
            if (src->mode != CONV_ZEROS)
                NAME(pack_run)(to, row, r, w->step, width, w->size, src, width);
            else if (y >= 0 && r.hi > r.lo)
                NAME(copy_run)(to + r.lo, row + base + r.lo * w->step, r.hi - r.lo, w->step, src->end, r.hi - r.lo);
        }
    }
}

/* Columns that run on over all rows of the copy, a few vectors at a time; each tile is stored row by row. */
static void NAME(stencil_run_on)(const NAME(stencil_planes) *s, NAME(stencil) t, REAL *dst)
{
    const idx width = s->lat->w.grid, pitch = s->box.pitch * s->lat->h.step, tile = STENCIL_WIDE * LANES;
    const idx total = (s->rows - 1) * pitch + width;
    const REAL *const source = t.source;
    t.out = s->buffer;
    for (idx j = 0; j < total; j += tile) {
        t.source = source + j;
        const idx left = total - j;
        NAME(stencil_1)(&t, left > 2 * LANES ? STENCIL_WIDE : left > LANES ? 2 : 1);
        for (idx row = j / pitch; row < s->rows && row * pitch < j + tile; row++) {
            const idx from = max_idx(row * pitch, j), to = min_idx(row * pitch + width, j + tile);
            if (from < to)
                NAME(copy)(dst + row * width + from - row * pitch, s->buffer + from - j, to - from);
        }
    }
}

/* Pairs of rows, each in tiles of which the last ends with the row. */
static void NAME(stencil_pairs)(const NAME(stencil_planes) *s, NAME(stencil) t, REAL *dst, int vectors)
{
    const idx width = s->lat->w.grid, pitch = s->box.pitch * s->lat->h.step, tile = vectors * LANES;
    const REAL *const source = t.source;
    t.ldout = width;
    for (idx row = 0; row < s->rows; row += 2)
        for (idx j = 0, next; j < width; j = next) {
            next = j + tile;
            if (next > width && next - tile > 0)
                j = width - tile;
            t.source = source + row * pitch + j;
            t.out = dst + row * width + j;
            if (row + 1 < s->rows) {
                NAME(stencil_2)(&t, vectors);
            } else { /* the last of an odd number of rows, a narrower tile at a time */
                for (idx q = 0; q < tile; q += 2 * LANES, t.source += 2 * LANES, t.out += 2 * LANES)
                    NAME(stencil_1)(&t, 2);
            }
        }
}

static void NAME(stencil_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    const idx bands = ceil_div(lat.h.grid, plan->chunk_h), taps = p->kh * p->kw, lanes = LANES;
    const idx first = index / bands * plan->chunk_n, end = min_idx(first + plan->chunk_n, p->n * p->groups);
    NAME(stencil_planes) s = {.lat = &lat, .box = stencil_box_of(plan, lanes), .h0 = index % bands * plan->chunk_h};
    s.rows = min_idx(plan->chunk_h, lat.h.grid - s.h0);
    REAL *const scratch = (REAL *)(call->scratch + worker * plan->task_bytes);
    REAL *const weights = scratch + s.box.weights;
    int32_t *const at = (int32_t *)(scratch + s.box.at);
    NAME(source) src = {.first = call->src, .plane = lat.h.size * lat.w.size, .mode = p->pass == CONV_FWD ? p->pad_mode : CONV_ZEROS};
    src.end = src.first + p->n * p->groups * src.plane;
    s.packed = scratch + s.box.packed;
    s.buffer = scratch;

    if (src.mode == CONV_ZEROS)
        NAME(zero_run)(s.packed, s.box.total - s.box.packed);
    const axis_rows fw = axis_row_layout(&lat.w);
    const idx rows = plan->depth == 2 ? lat.h.taps + lat.h.step : lat.h.taps, spread = lat.h.delta < 0 ? -lat.h.delta : lat.h.delta;
    for (idx q = 0; q < rows; q++)
        for (idx tap = 0; tap < lat.w.taps; tap++) {
            /* taps in the order of their positions */
            const idx tw = lat.w.delta < 0 ? lat.w.taps - 1 - tap : tap;
            at[q * lat.w.taps + tap] = (int32_t)(tw % fw.period * s.box.plane + q * spread * s.box.pitch +
                                                 floor_div(tap_position(&lat.w, tw), lat.w.step) - fw.lowest);
        }

    NAME(stencil) t = {.source = s.packed, .at = at, .w = weights, .taps = taps, .lag = lat.h.step * lat.w.taps,
                       .block = accumulation_block(taps), .relu = p->pass == CONV_FWD && p->activation == CONV_RELU};
    for (idx plane = first; plane < end; plane++) {
        const idx group = plane % p->groups, results = lat.result_channels;
        NAME(stencil_pack)(&s, &src, src.first + plane * src.plane);
        for (idx m = 0; m < results; m++) {
            const REAL *w = (const REAL *)call->weights + (group * results + m) * taps;
            REAL *dst = (REAL *)call->dst + ((plane * results + m) * lat.h.grid + s.h0) * lat.w.grid;
            for (idx k = 0; k < taps; k++) /* both axes of a gradient run backwards */
                weights[k] = p->pass == CONV_FWD ? w[k] : w[taps - 1 - k];
            t.bias = call->bias ? ((const REAL *)call->bias)[group * results + m] : 0;
            if (plan->depth == 2)
                NAME(stencil_pairs)(&s, t, dst, plan->nv);
            else
                NAME(stencil_run_on)(&s, t, dst);
        }
    }
}
