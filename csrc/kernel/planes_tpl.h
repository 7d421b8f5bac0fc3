/* planes -- one source channel to each result: lanes over planes that lie beside each other.
 *
 * A block is LANES results, of one image or of several images whose channels are few. It is solved band by band, of rows or of parts of
 * them, that stay near: their sources are turned once, so that a vector holds one element of each, in rows with room for what pads
 * them; so are the block's kernels. Then a result is a sum of products of vectors, up to PLANES_RESULTS of a row at a time for each
 * vector of weights; the results are turned back. Rows of padding by zeros are left out.
 */
#define PLANES_RESULTS 8
#define PLANES_SOON 4096 /* bytes of the next block's sources, which is so small that no prefetcher follows: they are called */

typedef struct {
    const conv_call *call;
    planes_box box;
    idx results;               /* of an image */
    idx images, lanes;         /* of a block: so many results of each image */
    idx cut;                   /* rows of the kernel that are summed before they are added to the others */
    int padded;                /* whether zeros are where the next band wants them, too */
    idx y, y_end, x, x_end;    /* source positions of a band, padding among them */
    idx h0, h1, w0, w1;        /* its points of every lattice */
    idx row, rows, column, columns; /* its results: the first, and how many */
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

/* Points [first, first + count) of a whole plane whose rows have `width` columns there, each to where the padded rows have it. */
static void NAME(planes_run)(const NAME(planes) *s, idx first, idx count, idx width, REAL *to, const REAL *end)
{
    const idx row = s->box.row * LANES;
    idx x = 0;
    for (idx e = 0; e < count; e += LANES) {
        vec r[LANES];
        const int some = (int)min_idx(LANES, count - e);
        NAME(planes_turn)(r, s->from, first + e, some, end);
        for (int i = 0; i < some; i++) {
            NAME(store)(to + x * LANES, r[i]);
            if (++x == width) {
                x = 0;
                to += row;
            }
        }
    }
}

/* Sources of a band: rows that follow each other in the array at once, if they are whole. */
static void NAME(planes_source)(const NAME(planes) *s, const lattice *lat, conv_pad_mode mode, const REAL *end)
{
    const idx width = lat->w.size, x0 = max_idx(0, s->x), columns = min_idx(width, s->x_end) - x0;
    for (idx y = s->y, next; y < s->y_end && columns > 0; y = next) {
        const idx from = pad_index(mode, y, lat->h.size);
        for (next = y + 1; columns == width && next < s->y_end && pad_index(mode, next, lat->h.size) == from + next - y;)
            next++;
        NAME(planes_run)(s, from * width + x0, (next - y) * columns, columns, s->source + ((y - s->y) * s->box.row + x0 - s->x) * LANES, end);
    }
}

/* What pads the rows. */
static void NAME(planes_pads)(const NAME(planes) *s, const lattice *lat, conv_pad_mode mode)
{
    const idx width = lat->w.size, begin = s->x < 0 ? s->x : max_idx(s->x, width);
    REAL *row = s->source - s->x * LANES;
    for (idx y = 0; y < s->box.rows; y++, row += s->box.row * LANES)
        for (idx x = begin; x < s->x_end; x = x == -1 ? width : x + 1) {
            const idx from = pad_index(mode, x, width);
            NAME(store)(row + x * LANES, from < 0 ? (vec){0} : NAME(load)(row + from * LANES));
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

/* All T taps of a row, w_step apart, for R results side by side: what lies between is read once, not once for each of both. */
__attribute__((always_inline)) static inline void NAME(planes_taps)(const int R, const int T, vec *acc, const REAL *x, const REAL *w, idx w_step)
{
    vec weights[PLANES_TAPS];
#pragma GCC unroll 7
    for (int t = 0; t < T; t++)
        weights[t] = NAME(load)(w + t * w_step);
#pragma GCC unroll 14
    for (int i = 0; i < R + T - 1; i++) {
        const vec one = NAME(load)(x + i * LANES);
#pragma GCC unroll 7
        for (int t = 0; t < T; t++)
            if (i - t >= 0 && i - t < R)
                acc[i - t] += weights[t] * one;
        __asm__("" : "+r"(x)); /* the next in its turn; the compiler would fill the registers with them and spill the sums */
    }
}

/* R results of a row, from a column on; x: where the first tap of a row is, by row. T: its taps, or 0, where they are taken one by one. */
__attribute__((always_inline)) static inline void NAME(planes_tile)(const int R, const int T, const NAME(planes) *s, const lattice *lat,
                                                                    const REAL *const *x, idx column, REAL *to)
{
    const conv_problem *p = &s->call->plan->p;
    const int back = lat->w.delta < 0; /* from the last tap on, so that positions rise */
    const idx last = back ? lat->w.taps - 1 : 0, tap_first = lat->w.tap_first + last * lat->w.tap_step;
    const idx step = lat->w.step * LANES, delta = axis_distance(&lat->w) * LANES, tap_step = (back ? -LANES : LANES) * lat->w.tap_step;
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
        const REAL *at = x[th] + column * step - last * delta;
        const REAL *w = s->weights + ((lat->h.tap_first + th * lat->h.tap_step) * p->kw + tap_first) * LANES;
        if (T > 0)
            NAME(planes_taps)(R, T, acc, at, w, tap_step);
        for (idx tw = T; tw < lat->w.taps; tw++, at += delta, w += tap_step) {
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

#define PLANES_CASE(R) case R: NAME(planes_tile)(R, T, s, lat, x, column, to); break;
__attribute__((always_inline)) static inline void NAME(planes_width)(const int T, const NAME(planes) *s, const lattice *lat, const REAL *const *x,
                                                                     idx column, idx count, REAL *to)
{
    switch (count) {
        CASES_8(PLANES_CASE)
    }
}
#undef PLANES_CASE

#define TAPS_CASE(T) case T: NAME(planes_width)(T, s, lat, x, column, count, to); break;
static void NAME(planes_results)(const NAME(planes) *s, const lattice *lat, const REAL *const *x, idx column, idx count, REAL *to)
{
    switch (planes_together(lat)) {
        TAPS_CASE(0) TAPS_CASE(3) TAPS_CASE(5) TAPS_CASE(7)
    }
}
#undef TAPS_CASE

/* One lattice of a band. */
static void NAME(planes_lattice)(const NAME(planes) *s, const lattice *lat, conv_pad_mode mode)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx count = min_idx(s->w1, w->grid) - s->w0, tiles = ceil_div(count, PLANES_RESULTS);
    const REAL **const x = (const REAL **)((char *)s->sums + s->box.sums);
    for (idx row = s->h0; row < min_idx(s->h1, h->grid); row++) {
        for (idx th = 0; th < h->taps; th++) {
            const idx y = row * h->step + tap_position(h, th);
            x[th] = mode == CONV_ZEROS && (y < 0 || y >= h->size) ? NULL : s->source + ((y - s->y) * s->box.row + w->first - s->x) * LANES;
        }
        REAL *const to = s->sums + ((h->out_first + row * h->out_step - s->row) * s->columns + w->out_first - s->column) * LANES;
        for (idx i = 0; i < tiles; i++) {
            const idx begin = s->w0 + i * count / tiles, end = s->w0 + (i + 1) * count / tiles;
            NAME(planes_results)(s, lat, x, begin, end - begin, to + begin * w->out_step * LANES);
        }
    }
}

/* Sums to `points` results of each plane, of which `lanes` are some. The last vectors overlap. */
static void NAME(planes_store)(const NAME(planes) *s, const REAL *sums, idx at, idx points, idx lanes)
{
    for (idx e = 0; e < points; e += LANES) {
        const idx begin = points >= LANES ? min_idx(e, points - LANES) : 0;
        const REAL *row[LANES];
        vec r[LANES];
        for (int i = 0; i < LANES; i++)
            row[i] = sums + (begin + i) * LANES; /* behind the sums is room for a vector's worth */
        NAME(turn)(r, row, LANES);
        for (idx l = 0; l < lanes; l++)
            if (points >= LANES)
                NAME(store)(s->to[l] + at + begin, r[l]);
            else
                NAME(copy)(s->to[l] + at, (const REAL *)&r[l], points);
    }
}

/* Where band `index` of a block lies. */
static void NAME(planes_place)(NAME(planes) *s, const lattice *all, idx index)
{
    const conv_plan *plan = s->call->plan;
    const conv_axis *h = &all->h, *w = &all->w;
    const idx stride_h = planes_stride(plan, plan->p.stride_h), stride_w = planes_stride(plan, plan->p.stride_w);
    s->h0 = index / s->box.across * plan->chunk_h;
    s->w0 = index % s->box.across * plan->chunk_w;
    s->row = s->h0 * stride_h;
    s->column = s->w0 * stride_w;
    s->rows = min_idx(plan->chunk_h * stride_h, h->out_size - s->row);
    s->columns = min_idx(plan->chunk_w * stride_w, w->out_size - s->column);
    s->h1 = s->h0 + ceil_div(s->rows, stride_h);
    s->w1 = s->w0 + ceil_div(s->columns, stride_w);
    s->y = h->first + s->h0 * h->step;
    s->y_end = s->y + planes_extent(h, s->h1 - s->h0, plan->phases_h);
    if (plan->p.pad_mode == CONV_ZEROS) {
        s->y = min_idx(max_idx(s->y, 0), h->size);
        s->y_end = min_idx(s->y_end, h->size);
    }
    s->x = s->box.first + s->w0 * w->step;
    s->x_end = s->x + s->box.row;
}

/* The source of a block to the sums of a band, and those to its results. */
static void NAME(planes_band)(NAME(planes) *s, const lattice *all, idx lanes)
{
    const conv_call *call = s->call;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const REAL *const end = (const REAL *)call->src + p->n * p->groups * all->h.size * all->w.size;
    NAME(planes_source)(s, all, p->pad_mode, end);
    if (!s->padded)
        NAME(planes_pads)(s, all, p->pad_mode);
    s->padded = p->pad_mode == CONV_ZEROS && s->box.across == 1;
    if (p->pass == CONV_BWD_DATA && (plan->phases_h < p->stride_h || plan->phases_w < p->stride_w)) /* points that no tap meets */
        for (idx i = 0; i < s->rows * s->columns; i++)
            NAME(store)(s->sums + i * LANES, NAME(load)(s->bias));
    for (idx q = 0; q < plan->phases_h * plan->phases_w; q++) {
        const lattice lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
        NAME(planes_lattice)(s, &lat, p->pad_mode);
    }
    if (s->columns == all->w.out_size)
        NAME(planes_store)(s, s->sums, s->row * s->columns, s->rows * s->columns, lanes);
    else
        for (idx row = 0; row < s->rows; row++)
            NAME(planes_store)(s, s->sums + row * s->columns * LANES, (s->row + row) * all->w.out_size + s->column, s->columns, lanes);
}

/* Results from `first` on of images from n0 on: where they are, and what they read; lanes without a result do the last once more. */
static void NAME(planes_lanes)(NAME(planes) *s, const lattice *all, idx first, idx n0, idx images, idx lanes)
{
    const conv_call *call = s->call;
    const idx source = all->h.size * all->w.size, points = all->h.out_size * all->w.out_size, m = all->result_channels;
    const idx groups = call->plan->p.groups;
    for (idx l = 0; l < LANES; l++) {
        const idx lane = l < images * lanes ? l : images * lanes - 1, n = s->images > 1 ? n0 + lane / lanes : n0;
        const idx r = first + (s->images > 1 ? lane % lanes : lane);
        s->from[l] = (const REAL *)call->src + (n * groups + (m > 1 ? r / m : r)) * source;
        s->to[l] = (REAL *)call->dst + (n * s->results + r) * points;
    }
    const idx together = s->from[LANES - 1] - s->from[0] + source;
    if (n0 + images < call->plan->p.n && together * (idx)sizeof(REAL) <= PLANES_SOON) /* the next image's planes are elsewhere */
        NAME(call_lines)(s->from[0] + images * groups * source, together);
}

static void NAME(planes_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice all = plan->envelope;
    const planes_blocks blocks = planes_blocks_of(plan, LANES);
    NAME(planes) s = {.call = call, .box = planes_box_of(plan, LANES), .results = p->groups * all.result_channels, .images = blocks.images,
                      .lanes = min_idx(LANES, p->groups * all.result_channels), .cut = planes_cut(p->kh * p->kw, p->kw)};
    s.source = (REAL *)(call->scratch + worker * plan->task_bytes);
    s.weights = s.source + s.box.source;
    s.bias = s.weights + s.box.weights;
    s.sums = s.bias + LANES;
    const idx bands = s.box.down * s.box.across, last = min_idx((index + 1) * plan->chunk_n, blocks.count * bands);
    for (idx band = index * plan->chunk_n, r0 = -1; band < last; band++) {
        const idx block = band / bands, first = block / blocks.steps * LANES, n0 = block % blocks.steps * s.images;
        const idx lanes = min_idx(s.lanes, s.results - first), images = min_idx(s.images, p->n - n0);
        if (first != r0)
            NAME(planes_weights)(&s, first);
        r0 = first;
        NAME(planes_lanes)(&s, &all, first, n0, images, lanes);
        NAME(planes_place)(&s, &all, band % bands);
        NAME(planes_band)(&s, &all, images * lanes);
    }
}
