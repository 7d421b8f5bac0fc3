/* stencil -- one source channel to each result: depthwise convolutions, signals and images of one channel.
 *
 * A plane's source is copied once, padded, rows and columns split by residue modulo the stride; every tap is a shift of it. Two or
 * four rows of the result are summed side by side where that pays, so that a vector of source serves all: each lags behind
 * the one above by the rows that it starts later, and no product with a zero is made. Without that, columns run on over the rows of the copy. Padding of zeros is written
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

/* acc[r] += sum of w[k - r * lag] * source[at[k]] for k0 <= k < k1 and the rows that these steps belong to. */
__attribute__((always_inline)) static inline void NAME(stencil_steps)(const int low, const int high, const int V,
                                                                      const NAME(stencil) *t, idx k0, idx k1,
                                                                      vec (*acc)[8])
{
    const REAL *const w = t->w, *const source = t->source;
    const int32_t *const at = t->at;
    const idx lag = t->lag;
    for (idx k = k0; k < k1; k++) {
        vec x[8]; /* all loaded first: folded into the products, each would be loaded once for every row */
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            x[v] = NAME(load)(source + at[k] + v * LANES);
#pragma GCC unroll 4
        for (int r = low; r < high; r++) {
            const REAL wr = w[k - r * lag];
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[r][v] += wr * x[v];
        }
    }
}

/* The same for the rows [low, high) of R, one of them the first or the last. */
__attribute__((always_inline)) static inline void NAME(stencil_some)(const int R, const int V, int low, int high,
                                                                     const NAME(stencil) *t, idx k0, idx k1,
                                                                     vec (*acc)[8])
{
    if (low == 0 && high == R)
        NAME(stencil_steps)(0, R, V, t, k0, k1, acc);
    else if (high == 1)
        NAME(stencil_steps)(0, 1, V, t, k0, k1, acc);
    else if (low == R - 1)
        NAME(stencil_steps)(R - 1, R, V, t, k0, k1, acc);
    else if (R == 4 && high == 2)
        NAME(stencil_steps)(0, 2, V, t, k0, k1, acc);
    else if (R == 4 && high == 3)
        NAME(stencil_steps)(0, 3, V, t, k0, k1, acc);
    else if (R == 4 && low == 1)
        NAME(stencil_steps)(1, 4, V, t, k0, k1, acc);
    else if (R == 4)
        NAME(stencil_steps)(2, 4, V, t, k0, k1, acc);
}

/* Adds what a block of terms came to, and begins the next. */
__attribute__((always_inline)) static inline void NAME(stencil_fold)(const int R, const int V, vec (*acc)[8], vec (*sum)[8])
{
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            sum[r][v] += acc[r][v];
            acc[r][v] = (vec){0};
        }
}

/* R rows of V vectors. A row begins `lag` steps after the one above it. Long sums are cut into blocks, all rows at once. */
__attribute__((always_inline)) static inline void NAME(stencil_tile)(const int R, const int V, const NAME(stencil) *t)
{
    vec acc[4][8], sum[4][8];
    const idx taps = t->taps, lag = t->lag, block = t->block;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            acc[r][v] = (vec){0};
    if (taps <= block) {
#pragma GCC unroll 4
        for (int r = 1; r < R; r++)
            NAME(stencil_some)(R, V, 0, r, t, (r - 1) * lag, r * lag, acc);
        NAME(stencil_steps)(0, R, V, t, (R - 1) * lag, taps, acc);
#pragma GCC unroll 4
        for (int r = 1; r < R; r++)
            NAME(stencil_some)(R, V, r, R, t, taps + (r - 1) * lag, taps + r * lag, acc);
    } else {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                sum[r][v] = (vec){0};
        /* the steps at which one row more begins or ends, and between them at most a block */
        idx k = 0, left = block;
        for (int phase = 0; phase < 2 * R - 1; phase++) {
            const int low = phase < R ? 0 : phase - R + 1, high = phase < R ? phase + 1 : R;
            const idx end = (phase < R - 1 ? 0 : taps - (R - 1) * lag) + (phase < R - 1 ? phase + 1 : phase) * lag;
            for (idx next; k < end; k = next) {
                next = min_idx(end, k + left);
                NAME(stencil_some)(R, V, low, high, t, k, next, acc);
                left -= next - k;
                if (left > 0)
                    continue;
                left = block;
                NAME(stencil_fold)(R, V, acc, sum);
            }
        }
        NAME(stencil_fold)(R, V, acc, sum);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[r][v] = sum[r][v];
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            vec y = acc[r][v] + t->bias;
            NAME(store)(t->out + r * t->ldout + v * LANES, t->relu ? NAME(relu)(y) : y);
        }
}

static void NAME(stencil_run)(const NAME(stencil) *t, int rows, int vectors)
{
    if (rows == 1 && vectors == STENCIL_WIDE)
        NAME(stencil_tile)(1, STENCIL_WIDE, t);
    else if (rows == 1 && vectors == 2)
        NAME(stencil_tile)(1, 2, t);
    else if (rows == 1)
        NAME(stencil_tile)(1, 1, t);
    else if (rows == 2 && vectors == STENCIL_WIDE)
        NAME(stencil_tile)(2, STENCIL_WIDE, t);
    else if (rows == 2)
        NAME(stencil_tile)(2, 2, t);
    else if (vectors == STENCIL_WIDE / 2)
        NAME(stencil_tile)(4, STENCIL_WIDE / 2, t);
    else
        NAME(stencil_tile)(4, 2, t);
}

/* What the planes of a task share. */
typedef struct {
    const lattice *lat;
    stencil_box box;
    idx h0, rows;         /* of the lattice */
    idx next;             /* elements of the result from one row to the next */
    REAL *packed, *buffer;
} NAME(stencil_planes);

/* Where tap row q, in the order of their positions, and one of the columns are in the copy. */
static idx NAME(stencil_at)(const NAME(stencil_planes) *s, idx q, idx tw)
{
    const conv_axis *h = &s->lat->h, *w = &s->lat->w;
    const idx row = floor_div(s->box.low + q * axis_distance(h), h->step) - s->box.h.lowest;
    const idx column = floor_div(tap_position(w, tw), w->step) - s->box.w.lowest;
    return tw % s->box.w.period * s->box.plane + q % s->box.h.period * s->box.part + row * s->box.pitch + column;
}

/* The source of a plane, from the rows that result row h0 reads on. */
static void NAME(stencil_pack)(const NAME(stencil_planes) *s, const NAME(source) *src, const REAL *plane)
{
    const conv_axis *h = &s->lat->h, *w = &s->lat->w;
    const axis_rows *const fh = &s->box.h, *const fw = &s->box.w;
    const idx width = w->grid + fw->span, rows = s->rows + fh->span;
    for (idx slot = 0; slot < fw->period * fh->period; slot++) {
        const idx column = tap_position(w, slot / fh->period), row = s->box.low + slot % fh->period * axis_distance(h);
        const idx base = fw->lowest * w->step + column - floor_div(column, w->step) * w->step;
        const idx top = (s->h0 + fh->lowest) * h->step + row - floor_div(row, h->step) * h->step;
        const NAME(inside) r = NAME(run_inside)(base, w->step, w->size, width);
        REAL *to = s->packed + slot * s->box.part;
        for (idx q = 0; q < rows; q++, to += s->box.pitch) {
            const idx y = pad_index(src->mode, top + q * h->step, h->size);
            const REAL *row = plane + y * w->size;
            if (src->mode != CONV_ZEROS)
                NAME(pack_run)(to, row, r, w->step, width, w->size, src, width);
            else if (y >= 0 && r.hi > r.lo)
                NAME(copy_run)(to + r.lo, row + base + r.lo * w->step, r.hi - r.lo, w->step, src->end, r.hi - r.lo);
        }
    }
}

/* v to p[0], p[2], ...; what lies between stays. */
static inline void NAME(store_even)(REAL *p, vec v)
{
    const mask lane = NAME(iota)(), even = (lane & 1) == 0, kept = lane & ~even;
    NAME(store)(p, __builtin_shuffle(NAME(load)(p), v, kept | (even & ((lane >> 1) + LANES))));
    NAME(store)(p + LANES, __builtin_shuffle(NAME(load)(p + LANES), v, kept | (even & ((lane >> 1) + LANES + LANES / 2))));
}

/* `count` results of a row from column `first` on. A task does all lattices of a row: what lies between results is its own. */
static inline void NAME(stencil_put)(const conv_axis *w, REAL *row, idx first, const REAL *from, idx count)
{
    if (w->out_step == 1)
        NAME(copy)(row + first, from, count);
    else {
        idx i = 0;
        for (; w->out_step == 2 && i + LANES < count; i += LANES)
            NAME(store_even)(row + 2 * (first + i), NAME(load)(from + i));
        for (; i < count; i++)
            row[(first + i) * w->out_step] = from[i];
    }
}

/* Columns that run on over all rows of the copy, a few vectors at a time; each tile is stored row by row. */
static void NAME(stencil_run_on)(const NAME(stencil_planes) *s, NAME(stencil) t, REAL *dst)
{
    const idx width = s->lat->w.grid, pitch = s->box.pitch, tile = STENCIL_WIDE * LANES;
    const idx total = (s->rows - 1) * pitch + width;
    const REAL *const source = t.source;
    t.out = s->buffer;
    for (idx j = 0; j < total; j += tile) {
        t.source = source + j;
        const idx left = total - j;
        NAME(stencil_run)(&t, 1, left > 2 * LANES ? STENCIL_WIDE : left > LANES ? 2 : 1);
        for (idx row = j / pitch; row < s->rows && row * pitch < j + tile; row++) {
            const idx from = max_idx(row * pitch, j), to = min_idx(row * pitch + width, j + tile);
            if (from < to)
                NAME(stencil_put)(&s->lat->w, dst + row * s->next, from - row * pitch, s->buffer + from - j, to - from);
        }
    }
}

/* Rows some at a time, each in tiles of which the last ends with the row. */
static void NAME(stencil_rows)(const NAME(stencil_planes) *s, NAME(stencil) t, REAL *dst, idx together, int vectors)
{
    const idx width = s->lat->w.grid, pitch = s->box.pitch, tile = vectors * LANES;
    const REAL *const source = t.source;
    const int dense = s->lat->w.out_step == 1;
    t.ldout = dense ? s->next : tile;
    for (idx row = 0, count; row < s->rows; row += count) {
        const idx left = s->rows - row;
        count = left >= together ? together : min_idx(left, 2);
        const int step = count == together ? vectors : 2; /* what is left: two rows or one, two vectors at a time */
        for (idx j = 0; j < width; j += tile) {
            j = min_idx(j, width - tile);
            for (int v = 0; v < vectors; v += step) {
                t.source = source + row * pitch + j + v * LANES;
                t.out = dense ? dst + row * s->next + j + v * LANES : s->buffer + v * LANES;
                NAME(stencil_run)(&t, (int)count, step);
            }
            for (idx i = 0; !dense && i < count; i++)
                NAME(stencil_put)(&s->lat->w, dst + (row + i) * s->next, j, s->buffer + i * tile, tile);
        }
    }
}

/* One lattice of a task. */
static void NAME(stencil_lattice)(const conv_call *call, const lattice lat, idx chunk, REAL *scratch)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx bands = ceil_div(plan->largest.h.grid, plan->chunk_h), taps = lat.h.taps * lat.w.taps;
    const idx first = chunk / bands * plan->chunk_n, end = min_idx(first + plan->chunk_n, p->n * p->groups);
    NAME(stencil_planes) s = {.lat = &lat, .box = stencil_box_of(plan, &lat, LANES), .h0 = chunk % bands * plan->chunk_h,
                              .next = lat.h.out_step * lat.w.out_size};
    s.rows = min_idx(plan->chunk_h, lat.h.grid - s.h0);
    if (s.rows <= 0 || lat.w.grid == 0)
        return;
    /* a lattice that is less than the largest may have too few taps or columns for rows together */
    const int together = plan->depth > 1 && (plan->depth - 1) * lat.h.step < lat.h.taps && lat.w.grid >= plan->nv * LANES;
    REAL *const weights = scratch + s.box.weights;
    int32_t *const at = (int32_t *)(scratch + s.box.at);
    NAME(source) src = {.first = call->src, .plane = lat.h.size * lat.w.size, .mode = p->pass == CONV_FWD ? p->pad_mode : CONV_ZEROS};
    src.end = src.first + p->n * p->groups * src.plane;
    s.packed = scratch + s.box.packed;
    s.buffer = scratch;

    if (src.mode == CONV_ZEROS)
        NAME(zero_run)(s.packed, s.box.total - s.box.packed);
    const idx rows = lat.h.taps + (together ? plan->depth - 1 : 0) * lat.h.step;
    for (idx q = 0; q < rows; q++)
        for (idx tap = 0; tap < lat.w.taps; tap++) /* in the order of their positions */
            at[q * lat.w.taps + tap] = (int32_t)NAME(stencil_at)(&s, q, lat.w.delta < 0 ? lat.w.taps - 1 - tap : tap);

    NAME(stencil) t = {.source = s.packed, .at = at, .w = weights, .taps = taps, .lag = lat.h.step * lat.w.taps,
                       .block = accumulation_block(taps), .relu = p->pass == CONV_FWD && p->activation == CONV_RELU};
    for (idx plane = first; plane < end; plane++) {
        const idx group = plane % p->groups, results = lat.result_channels;
        NAME(stencil_pack)(&s, &src, src.first + plane * src.plane);
        for (idx m = 0; m < results; m++) {
            const REAL *w = (const REAL *)call->weights + (group * results + m) * p->kh * p->kw;
            REAL *dst = (REAL *)call->dst + ((plane * results + m) * lat.h.out_size + lat.h.out_first + s.h0 * lat.h.out_step) * lat.w.out_size +
                        lat.w.out_first;
            for (idx k = 0; k < taps; k++) { /* both axes of a gradient run backwards */
                const idx t = p->pass == CONV_FWD ? k : taps - 1 - k, th = t / lat.w.taps, tw = t % lat.w.taps;
                weights[k] = w[(lat.h.tap_first + th * lat.h.tap_step) * p->kw + lat.w.tap_first + tw * lat.w.tap_step];
            }
            t.bias = call->bias ? ((const REAL *)call->bias)[group * results + m] : 0;
            if (together)
                NAME(stencil_rows)(&s, t, dst, plan->depth, plan->nv);
            else
                NAME(stencil_run_on)(&s, t, dst);
        }
    }
}

static void NAME(stencil_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    for (idx phase_w = 0; phase_w < plan->phases_w; phase_w++)
        NAME(stencil_lattice)(call, plan_lattice(plan, index / plan->chunks, phase_w), index % plan->chunks,
                              (REAL *)(call->scratch + worker * plan->task_bytes));
}
