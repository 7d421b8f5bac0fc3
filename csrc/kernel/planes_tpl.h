/* planes -- one source channel to each result, small planes: lanes over planes that lie beside each other.
 *
 * A block is LANES results, of one image or of several images whose channels are few. Their sources are turned once, so that a
 * vector holds one element of each, in rows with room for what pads them; so are their kernels. Then a result is a sum of products
 * of vectors, up to PLANES_RESULTS of a row at a time for each vector of weights; the results are turned back. Rows of padding
 * by zeros are left out.
 */
#define PLANES_RESULTS 8
#define PLANES_SOON 4096 /* bytes of the next block's sources, which is so small that no prefetcher follows: they are called */

typedef struct {
    const conv_call *call;
    planes_box box;
    idx results;               /* of an image */
    idx images, lanes;         /* of a block: so many results of each image */
    idx cut;                   /* rows of the kernel that are summed before they are added to the others */
    REAL *source, *weights, *bias, *sums;
    const REAL *from[LANES];   /* the planes of a block */
    REAL *to[LANES];
} NAME(planes);

/* rows[i] + at, i < LANES, turned; no more than `count` elements of each are read where a whole vector would pass `end`. */
static inline void NAME(planes_turn)(vec *r, const REAL *const *rows, idx at, idx count, const REAL *end)
{
    const REAL *row[LANES];
    REAL some[LANES][LANES];
    for (int i = 0; i < LANES; i++) {
        row[i] = rows[i] + at;
        if (row[i] + LANES > end) {
            for (int j = 0; j < LANES; j++)
                some[i][j] = j < count ? row[i][j] : 0;
            row[i] = some[i];
        }
    }
    NAME(turn)(r, row, LANES);
}

/* Sources of the block, each element where the padded rows have it. */
static void NAME(planes_source)(const NAME(planes) *s, const lattice *lat, const REAL *end)
{
    const idx width = lat->w.size, count = lat->h.size * width, row = s->box.row * LANES;
    REAL *to = s->source + s->box.left * LANES;
    idx x = 0;
    for (idx e = 0; e < count; e += LANES) {
        vec r[LANES];
        const int some = (int)min_idx(LANES, count - e);
        NAME(planes_turn)(r, s->from, e, some, end);
        for (int i = 0; i < some; i++) {
            NAME(store)(to + x * LANES, r[i]);
            if (++x == width) {
                x = 0;
                to += row;
            }
        }
    }
}

/* What pads the rows: zeros once for all blocks, anything else for each. */
static void NAME(planes_pads)(const NAME(planes) *s, const lattice *lat, conv_pad_mode mode)
{
    const idx width = lat->w.size;
    for (idx y = 0; y < lat->h.size; y++) {
        REAL *const row = s->source + (y * s->box.row + s->box.left) * LANES;
        for (idx pad = 0; pad < s->box.row - width; pad++) {
            const idx x = pad < s->box.left ? pad - s->box.left : pad - s->box.left + width, from = pad_index(mode, x, width);
            NAME(store)(row + x * LANES, from < 0 ? (vec){0} : NAME(load)(row + from * LANES));
        }
    }
}

/* The kernels of the block's results, from result r0 of a group of images on. */
static void NAME(planes_weights)(const NAME(planes) *s, idx r0)
{
    const conv_problem *p = &s->call->plan->p;
    const idx taps = p->kh * p->kw;
    const REAL *const w = s->call->weights, *rows[LANES];
    const REAL *const bias = s->call->bias;
    for (idx l = 0; l < LANES; l++) {
        const idx lane = min_idx(l, s->images * s->lanes - 1), r = r0 + (s->images > 1 ? lane % s->lanes : lane), inside = min_idx(r, s->results - 1);
        rows[l] = w + inside * taps;
        s->bias[l] = bias ? bias[inside] : 0;
    }
    for (idx k = 0; k < taps; k += LANES) {
        vec r[LANES];
        const int some = (int)min_idx(LANES, taps - k);
        NAME(planes_turn)(r, rows, k, some, w + s->results * taps);
        for (int i = 0; i < some; i++)
            NAME(store)(s->weights + (k + i) * LANES, r[i]);
    }
}

/* R results of a row, `next` apart in the sums, over rows [t0, t1) of the kernel; x: where the first tap of a row is, by row. */
__attribute__((always_inline)) static inline void NAME(planes_tile)(const int R, const NAME(planes) *s, const lattice *lat,
                                                                    const REAL *const *x, idx column, REAL *to)
{
    const conv_problem *p = &s->call->plan->p;
    const idx step = lat->w.step * LANES, delta = lat->w.delta * LANES, tap_step = lat->w.tap_step * LANES;
    vec acc[PLANES_RESULTS], sum[PLANES_RESULTS];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
        acc[r] = sum[r] = (vec){0};
    for (idx th = 0, next = s->cut; th < lat->h.taps; th++) {
        if (th == next) {
            next += s->cut;
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                sum[r] += acc[r];
                acc[r] = (vec){0};
            }
        }
        if (!x[th])
            continue;
        const REAL *at = x[th] + column * step;
        const REAL *w = s->weights + ((lat->h.tap_first + th * lat->h.tap_step) * p->kw + lat->w.tap_first) * LANES;
        for (idx tw = 0; tw < lat->w.taps; tw++, at += delta, w += tap_step) {
            const vec weight = NAME(load)(w);
            const REAL *one = at;
#pragma GCC unroll 8
            for (int r = 0; r < R; r++, one += step)
                acc[r] += weight * NAME(load)(one);
        }
    }
    const vec bias = NAME(load)(s->bias);
    const int relu = p->pass == CONV_FWD && p->activation == CONV_RELU;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        const vec y = (s->cut < lat->h.taps ? sum[r] + acc[r] : acc[r]) + bias;
        NAME(store)(to + r * lat->w.out_step * LANES, relu ? NAME(relu)(y) : y);
    }
}

#define PLANES_CASE(R) case R: NAME(planes_tile)(R, s, lat, x, column, to); break;
static void NAME(planes_results)(const NAME(planes) *s, const lattice *lat, const REAL *const *x, idx column, idx count, REAL *to)
{
    switch (count) {
        PLANES_CASE(1)
        PLANES_CASE(2)
        PLANES_CASE(3)
        PLANES_CASE(4)
        PLANES_CASE(5)
        PLANES_CASE(6)
        PLANES_CASE(7)
        PLANES_CASE(8)
    }
}
#undef PLANES_CASE

/* One lattice of the block. */
static void NAME(planes_lattice)(const NAME(planes) *s, const lattice *lat, conv_pad_mode mode)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx tiles = ceil_div(w->grid, PLANES_RESULTS);
    const REAL **const x = (const REAL **)((char *)s->sums + s->box.sums);
    for (idx row = 0; row < h->grid; row++) {
        for (idx th = 0; th < h->taps; th++) {
            const idx y = pad_index(mode, row * h->step + tap_position(h, th), h->size);
            x[th] = y < 0 || y >= h->size ? NULL : s->source + (y * s->box.row + s->box.left + w->first) * LANES;
        }
        REAL *const to = s->sums + ((h->out_first + row * h->out_step) * w->out_size + w->out_first) * LANES;
        for (idx i = 0; i < tiles; i++) {
            const idx begin = i * w->grid / tiles, end = (i + 1) * w->grid / tiles;
            NAME(planes_results)(s, lat, x, begin, end - begin, to + begin * w->out_step * LANES);
        }
    }
}

/* The sums to the planes of the block, of which `lanes` are results. The last vectors of a plane overlap. */
static void NAME(planes_store)(const NAME(planes) *s, idx points, idx lanes)
{
    for (idx e = 0; e < points; e += LANES) {
        const idx begin = points >= LANES ? min_idx(e, points - LANES) : 0;
        const REAL *row[LANES];
        vec r[LANES];
        for (int i = 0; i < LANES; i++)
            row[i] = s->sums + (begin + i) * LANES; /* behind the sums is room for a vector's worth */
        NAME(turn)(r, row, LANES);
        for (idx l = 0; l < lanes; l++)
            if (points >= LANES)
                NAME(store)(s->to[l] + begin, r[l]);
            else
                NAME(copy)(s->to[l], (const REAL *)&r[l], points);
    }
}

static void NAME(planes_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice all = plan_lattice(plan, 0, 0);
    const conv_pad_mode mode = p->pass == CONV_FWD ? p->pad_mode : CONV_ZEROS;
    const idx source = all.h.size * all.w.size, points = all.h.out_size * all.w.out_size, m = all.result_channels;
    const planes_blocks blocks = planes_blocks_of(plan, LANES);
    REAL *const scratch = (REAL *)(call->scratch + worker * plan->task_bytes);
    NAME(planes) s = {.call = call, .box = planes_box_of(plan, LANES), .results = p->groups * m, .images = blocks.images,
                      .lanes = min_idx(LANES, p->groups * m), .cut = planes_cut(p->kh * p->kw, p->kw)};
    s.source = scratch;
    s.weights = s.source + s.box.source;
    s.bias = s.weights + s.box.weights;
    s.sums = s.bias + LANES;
    const REAL *const end = (const REAL *)call->src + p->n * p->groups * source;
    if (mode == CONV_ZEROS)
        NAME(planes_pads)(&s, &all, mode);
    const idx last = min_idx((index + 1) * plan->chunk_n, blocks.count);
    for (idx block = index * plan->chunk_n, r0 = -1; block < last; block++) {
        const idx first = block / blocks.steps * LANES, n0 = block % blocks.steps * s.images, lanes = min_idx(s.lanes, s.results - first);
        const idx images = min_idx(s.images, p->n - n0);
        if (first != r0)
            NAME(planes_weights)(&s, first);
        r0 = first;
        for (idx l = 0; l < LANES; l++) {
            const idx lane = l < images * lanes ? l : images * lanes - 1, n = images > 1 ? n0 + lane / lanes : n0;
            const idx r = first + (images > 1 ? lane % lanes : lane);
            s.from[l] = (const REAL *)call->src + (n * p->groups + (m > 1 ? r / m : r)) * source;
            s.to[l] = (REAL *)call->dst + (n * s.results + r) * points;
        }
        const idx together = s.from[LANES - 1] - s.from[0] + source;
        if (n0 + images < p->n && together * (idx)sizeof(REAL) <= PLANES_SOON) /* the next image's planes are elsewhere */
            for (idx i = 0; i < together; i += ALIGNMENT / (idx)sizeof(REAL))
                __builtin_prefetch(s.from[0] + images * p->groups * source + i);
        NAME(planes_source)(&s, &all, end);
        if (mode != CONV_ZEROS)
            NAME(planes_pads)(&s, &all, mode);
        if (plan->phases_h < p->stride_h || plan->phases_w < p->stride_w) /* points that no tap meets */
            for (idx i = 0; i < points && p->pass == CONV_BWD_DATA; i++)
                NAME(store)(s.sums + i * LANES, NAME(load)(s.bias));
        for (idx q = 0; q < plan->phases_h * plan->phases_w; q++) {
            const lattice lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
            NAME(planes_lattice)(&s, &lat, mode);
        }
        NAME(planes_store)(&s, points, images * lanes);
    }
}
