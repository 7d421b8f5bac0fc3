/* batch -- lanes over the images of a batch: for images so small that neither their rows nor their channels fill vectors.
 *
 * Arrays lie batch-last: element (image, channel, point) at (channel * plane + point) * pitch + image (batch_pitch). A point of
 * a channel is a row of images, and a convolution the product of the weights with rows that are found through a list of
 * taps: nothing is turned round, padded or copied, and a point at a border has a shorter list. What stands behind the last
 * image of a row is computed with, and never added up. The input of a first layer, which lies as the caller's arrays
 * do, is turned some images at a time.
 */
typedef struct {
    const REAL *first; /* row (channel, point) at first + (channel * plane + point) * pitch */
    idx pitch;
} NAME(batch_rows);

/* The task's images [n0, n1) of a source. */
static NAME(batch_rows) NAME(batch_source)(const conv_call *call, const NAME(task) *t, idx n0, idx n1, REAL *packed)
{
    const conv_plan *plan = call->plan;
    const idx rows = t->lat.source_channels * t->lat.h.size * t->lat.w.size, pitch = batch_pitch(plan, plan->p.n);
    if (plan->p.layout == CONV_BATCH_LAST)
        return (NAME(batch_rows)){(const REAL *)call->src + t->group * rows * pitch + n0, pitch};
    const NAME(source) src = NAME(task_source)(call, t);
    const idx width = batch_pitch(plan, n1 - n0);
    NAME(pack_matrix)(packed, width, src.first + n0 * src.image, 1, src.image, rows, n1 - n0, src.end);
    return (NAME(batch_rows)){packed, width};
}

/* dst (image, row) of src (row, image), batch-last. An image of few rows is stored as a whole vector, whose end the next ones write over. */
static void NAME(batch_to_images)(idx images, idx rows, const void *src_, void *dst_)
{
    const REAL *const src = src_;
    REAL *const dst = dst_, *const end = dst + images * rows;
    const idx pitch = line_pitch(images, sizeof(REAL)), last = max_idx(0, rows - LANES);
    for (idx n = 0; n < images; n += LANES)
        for (idx r = 0; r < rows; r += LANES) {
            const idx first = min_idx(r, last); /* the last square may begin earlier */
            const REAL *from[LANES];
            vec square[LANES];
            for (int i = 0; i < LANES; i++)
                from[i] = src + min_idx(first + i, rows - 1) * pitch + n;
            NAME(turn)(square, from, LANES);
            REAL *to = dst + n * rows + first;
            for (int i = 0; i < min_idx(LANES, images - n); i++, to += rows) {
                if (to + LANES <= end)
                    NAME(store)(to, square[i]);
                else
                    NAME(copy)(to, (const REAL *)&square[i], end - to);
            }
        }
}

/* dst (row, image), batch-last, of src (image, row). */
static void NAME(images_to_batch)(idx images, idx rows, const void *src_, void *dst_)
{
    const REAL *const src = src_, *const end = src + images * rows;
    REAL *const dst = dst_;
    const idx pitch = line_pitch(images, sizeof(REAL)), last = max_idx(0, rows - LANES);
    for (idx n = 0; n < images; n += LANES)
        for (idx r = 0; r < rows; r += LANES) {
            const idx first = min_idx(r, last);
            const REAL *from[LANES];
            REAL rest[LANES][LANES]; /* of images too near the end for a whole vector */
            vec square[LANES];
            for (int i = 0; i < LANES; i++) {
                from[i] = src + min_idx(n + i, images - 1) * rows + first;
                if (end - from[i] < LANES) {
                    NAME(copy)(rest[i], from[i], end - from[i]);
                    from[i] = rest[i];
                }
            }
            NAME(turn)(square, from, LANES);
            for (int i = 0; i < min_idx(LANES, rows - first); i++)
                NAME(store)(dst + (first + i) * pitch + n, square[i]);
        }
}

/* ---- forward, and the gradient of the input ---- */

typedef struct NAME(batch_point) NAME(batch_point);
typedef void NAME(batch_run)(const NAME(batch_point) *t, int height, idx m, idx m1, idx j, idx end, idx k0, idx k1);

/* Images [begin, end) by tiles of one width, results [0, whole) by tiles of one height. */
typedef struct {
    NAME(batch_run) *run;
    idx begin, end, high, whole;
} NAME(batch_strip);

/* A point: results [0, rows) of all images of a task. */
struct NAME(batch_point) {
    const REAL *a, *b;    /* weights (m, k), k elements apart; b's rows at b + at[k] */
    const int32_t *at;
    idx k, kblock;
    REAL *out;            /* rows `row` apart, as those of the gate */
    idx rows, row;
    const REAL *bias;     /* NULL: zero */
    const REAL *gate;     /* NULL: none; where it is not positive, out is zero */
    int relu;
    NAME(batch_strip) strips[2];
};

/* Sums where the gate is positive, elsewhere zero. */
__attribute__((always_inline)) static inline void NAME(batch_gate)(const int M, const int V, vec acc[MR][4 * NV], const REAL *gate, idx row)
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++, gate += row) {
        __asm__("" : "+r"(gate));
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            acc[i][v] = (vec)((mask)acc[i][v] & (NAME(load)(gate + v * LANES) > 0));
    }
}

/* Rows [m, m1) of a point, M at a time, images [j0, j1) by V vectors, terms [k0, k1) of their sums:
 * out = gate(relu(out + sum_k a[m][k] * b[k] + bias)), where the first block finds no out and adds the bias, as `channels` does, and the
 * last alone applies what follows the sum. A run of tiles, because one alone ends after a few products. */
__attribute__((always_inline)) static inline void NAME(batch_body)(const int M, const int V, const NAME(batch_point) *restrict t, idx m,
                                                                   idx m1, idx j0, idx j1, idx k0, idx k1)
{
    const int relu = k1 == t->k && t->relu, gated = k1 == t->k && t->gate;
    const idx lda = t->k * (idx)sizeof(REAL), row = t->row;
    for (; m < m1; m += M) {
        const REAL *const weights = t->a + m * t->k + k0, *const bias = k0 == 0 && t->bias ? t->bias + m : NULL;
        for (idx j = j0; j < j1; j += V * LANES) {
            REAL *const out = t->out + m * row + j;
            const REAL *b = t->b + j;
            __asm__("" : "+r"(b)); /* a pointer: j would be added to every tap */
            NAME(tile_at) at = {.b = b, .at = t->at + k0, .lda = lda, .lda3 = 3 * lda};
            vec acc[MR][4 * NV];
#pragma GCC unroll 16
            for (int i = 0; i < M; i++)
                at.a[i] = (const char *)(weights + ROWS_PER_POINTER * i * t->k); /* if it is used */
            NAME(tile_zero)(M, V, acc);
            NAME(tile_sum)(M, V, NAME(ROWS_A), NAME(TABLE_B), 1, acc, &at, k1 - k0); /* sums are short, and each loop ends with a wrong guess */
            if (k0 > 0)
                NAME(tile_add)(M, V, acc, out, row);
            NAME(tile_end)(M, V, acc, bias, relu);
            if (gated)
                NAME(batch_gate)(M, V, acc, t->gate + m * row + j, row);
            NAME(tile_store)(M, V, acc, out, row);
        }
    }
}

/* Rows by V vectors whose sums are registers beside what waits in others (tile_terms): V vectors, or where those are more, the rows; and one. */
#define ROWS_BESIDE(V) ((V) * (V) + (V) < REGISTERS ? (REGISTERS - 1) / (V) - 1 : (REGISTERS - 1) / ((V) + 1))
#define HIGHEST(V) (ROWS_BESIDE(V) < MR ? ROWS_BESIDE(V) : MR)

#define BATCH_CASE(M) case M: if (M <= highest) NAME(batch_body)(M, V, t, m, m1, j, end, k0, k1); break;
__attribute__((always_inline)) static inline void NAME(batch_heights)(const NAME(batch_point) *t, int height, const int V,
                                                                      const int highest, idx m, idx m1, idx j, idx end, idx k0, idx k1)
{
    switch (height) {
        CASES_MR(BATCH_CASE)
    }
}
#undef BATCH_CASE

#pragma GCC push_options
#pragma GCC optimize("ira-region=one") /* as of other tiles (block_tpl.h) */
#define BATCH_RUN(V)                                                                                                                   \
    static void NAME(batch_##V)(const NAME(batch_point) *t, int height, idx m, idx m1, idx j, idx end, idx k0, idx k1)                 \
    {                                                                                                                                  \
        NAME(batch_heights)(t, height, V, HIGHEST(V), m, m1, j, end, k0, k1);                                                          \
    }
#if MR >= 14
#define BATCH_WIDTHS CASES_8
#else /* wider ones have too few rows for what they read */
#define BATCH_WIDTHS(CASE) CASE(1) CASE(2) CASE(3)
#endif
BATCH_WIDTHS(BATCH_RUN)
#pragma GCC pop_options

/* By vectors of images. */
static const struct {
    NAME(batch_run) *run;
    int highest;
} NAME(batch_runs)[] = {{NULL, 0},
#define BATCH_ENTRY(V) {NAME(batch_##V), HIGHEST(V)},
BATCH_WIDTHS(BATCH_ENTRY)
};
#undef BATCH_ENTRY
#undef BATCH_RUN

static NAME(batch_strip) NAME(batch_strip_of)(idx rows, idx width, idx begin, idx end)
{
    const idx high = even(rows, max_idx(1, NAME(batch_runs)[width].highest));
    return (NAME(batch_strip)){NAME(batch_runs)[width].run, begin, end, high, rows / high * high};
}

/* By as few tiles as there can be, as wide as each other or by one vector less. */
static void NAME(batch_split)(NAME(batch_strip) *strips, idx rows, idx images)
{
    const idx vectors = ceil_div(images, LANES), parts = ceil_div(vectors, (idx)(sizeof NAME(batch_runs) / sizeof *NAME(batch_runs)) - 1);
    const idx wide = ceil_div(vectors, parts), narrow = wide - 1, wide_end = min_idx((vectors - narrow * parts) * wide * LANES, images);
    strips[0] = NAME(batch_strip_of)(rows, wide, 0, wide_end);
    strips[1] = NAME(batch_strip_of)(rows, narrow, wide_end, images);
}

static void NAME(batch_point_run)(const NAME(batch_point) *t)
{
    for (const NAME(batch_strip) *s = t->strips; s < t->strips + 2 && s->begin < s->end; s++) {
        idx k0 = 0;
        do {
            const idx k1 = min_idx(k0 + t->kblock, t->k);
            s->run(t, (int)s->high, 0, s->whole, s->begin, s->end, k0, k1);
            if (s->whole < t->rows)
                s->run(t, (int)(t->rows - s->whole), s->whole, t->rows, s->begin, s->end, k0, k1);
            k0 = k1;
        } while (k0 < t->k);
    }
}

/* The rows of a lattice's points that the taps of two runs meet: where they are from the point's first tap on, and the weights for
 * them, (m, k) for results [m0, m1), in place where they lie so. */
static void NAME(batch_taps)(NAME(batch_point) *g, REAL *panel, int32_t *at, const conv_call *call, const NAME(task) *t,
                             const axis_run *rh, const axis_run *rw, idx pitch)
{
    const conv_problem *p = &call->plan->p;
    const conv_axis *h = &t->lat.h, *w = &t->lat.w;
    const idx taps = p->kh * p->kw, count = (rh->t1 - rh->t0) * (rw->t1 - rw->t0);
    const int forward = p->pass == CONV_FWD;
    const idx row = forward ? p->ic * taps : taps, channel = forward ? taps : p->ic * taps;
    const REAL *const weights = (const REAL *)call->weights + t->group * p->oc * p->ic * taps;
    for (idx c = 0, k = 0; c < t->lat.source_channels; c++)
        for (idx th = rh->t0; th < rh->t1; th++)
            for (idx tw = rw->t0; tw < rw->t1; tw++)
                at[k++] = (int32_t)(((c * h->size + tap_position(h, th)) * w->size + tap_position(w, tw)) * pitch);
    g->at = at;
    g->k = t->lat.source_channels * count;
    const idx block = lattice_block(&t->lat), all = t->lat.h.taps * t->lat.w.taps;
    g->kblock = max_idx(1, block >= all ? block / max_idx(1, all) * count : block);
    g->a = forward && count == taps ? weights + t->m0 * row : panel;
    if (g->a != panel)
        return;
    for (idx th = rh->t0; th < rh->t1; th++)
        for (idx tw = rw->t0; tw < rw->t1; tw++, panel++) {
            const REAL *from = weights + (h->tap_first + th * h->tap_step) * p->kw + w->tap_first + tw * w->tap_step + t->m0 * row;
            REAL *to = panel;
            for (idx m = t->m0; m < t->m1; m++, from += row)
#pragma GCC unroll 4
                for (idx c = 0; c < t->lat.source_channels; c++, to += count)
                    *to = from[c * channel];
        }
}

/* The points of two runs. `g` has the first of all. */
static void NAME(batch_points)(NAME(batch_point) g, const lattice *lat, const axis_run *rh, const axis_run *rw, idx source_pitch, idx pitch)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const REAL *const b = g.b, *const gate = g.gate;
    REAL *const out = g.out;
    for (idx y = rh->p0; y < rh->p1; y++)
        for (idx x = rw->p0; x < rw->p1; x++) {
            const idx to = ((h->out_first + y * h->out_step) * w->out_size + w->out_first + x * w->out_step) * pitch;
            g.b = b + (y * h->step * w->size + x * w->step) * source_pitch;
            g.out = out + to;
            g.gate = gate ? gate + to : NULL;
            NAME(batch_point_run)(&g);
        }
}

/* Some images of a group, all lattices. */
static void NAME(batch_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    NAME(task) t = NAME(task_decode)(plan, index);
    const idx n0 = t.chunk * plan->chunk_n, n1 = min_idx(n0 + plan->chunk_n, plan->p.n), pitch = batch_pitch(plan, plan->p.n);
    const idx terms = t.lat.source_channels * t.lat.h.taps * t.lat.w.taps;
    REAL *const panel = (REAL *)(call->scratch + worker * plan->task_bytes), *const packed = panel + round_up(plan->m_rows * terms, LANES);
    int32_t *const at = (int32_t *)(packed + batch_packed(plan, &t.lat));
    const NAME(batch_rows) src = NAME(batch_source)(call, &t, n0, n1, packed);
    const idx plane = t.lat.h.out_size * t.lat.w.out_size, channel = t.group * t.lat.result_channels + t.m0;
    const idx first = channel * plane * pitch + n0;
    NAME(batch_point) g = {.b = src.first, .out = (REAL *)call->dst + first, .gate = call->gate ? (const REAL *)call->gate + first : NULL,
                           .rows = t.m1 - t.m0, .row = plane * pitch,
                           .bias = call->bias ? (const REAL *)call->bias + channel : NULL,
                           .relu = plan->p.pass == CONV_FWD && plan->p.activation == CONV_RELU};
    NAME(batch_split)(g.strips, g.rows, n1 - n0);
    for (idx q = 0; q < plan->phases_h * plan->phases_w; q++) {
        t.lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
        axis_run rh = {0}, rw = {0};
        while (axis_next_run(&t.lat.h, &rh))
            for (rw.p1 = 0; axis_next_run(&t.lat.w, &rw);) {
                NAME(batch_taps)(&g, panel, at, call, &t, &rh, &rw, src.pitch);
                NAME(batch_points)(g, &t.lat, &rh, &rw, src.pitch, pitch);
            }
    }
}
