/* slide -- one source channel to each result, a kernel of few rows: accumulators slide down the plane.
 *
 *   y[r][j] = act(bias + sum over th, tw of w[th][tw] * x[r * S + th][j * s + at[tw]])
 *
 * A strip of V vectors of columns walks down. Step i brings the source rows i*S + d, d < S, each loaded once: they meet
 * the A = ceil(kh / S) results r = i - a at tap row a*S + d. Then the oldest result is stored and all others move up by one.
 * With a dilation, rows `apart` from each other are a correlation of their own. A kernel of many rows is several, of `part`
 * steps, that walk down one after the other; their sums wait beside the plane.
 *
 * Rows are read where they lie. Lanes beyond an edge are masked, rows beyond it are one row of zeros; what a vector might
 * read outside of the array, or a padding other than zeros, is copied. Every sum has one order: rows, then columns.
 * Registers: A * V accumulators, V of source, a weight.
 */
typedef struct {
    const REAL *const *row;  /* the source rows: of step i, offset d: row[i * ldrow + d * unit] */
    idx ldrow, unit;         /* from those of a step to the next's, and from one to the next in a step */
    idx steps, across, depth, full;
    const idx *at;           /* of each tap in a row */
    idx taps;                /* of a row */
    idx column, last;        /* the first column's element; elements from it to the last vector's first column */
    int stride;              /* of columns: 1 or 2 */
    int pairs;               /* taps lie side by side */
    int square;              /* 3 x 3, or 5 x 5 of stride 2, whose taps lie side by side */
    int ahead, ahead_out;    /* the next strip is fetched, and its results: strips are no stream of addresses */
    REAL *sums;              /* of a strip whose kernel is cut, LANES for each vector; NULL: it is not */
    int first, final;        /* of the walks */
    const vec *keep;         /* lanes that lie in the source, by (tap, vector); NULL: all */
    const REAL *w;           /* by (d, tap of the row, a) */
    REAL *out, *end;         /* end: of what this task may write */
    idx ldout, columns, last_out;
    REAL bias;
    int relu;
} NAME(slide);

__attribute__((always_inline)) static inline void NAME(slide_products)(const int A, const int V, const vec *x,
                                                                       const REAL *w, vec (*acc)[4])
{
#pragma GCC unroll 8
    for (int a = 0; a < A; a++) {
        const REAL wa = w[a];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            acc[a][v] += wa * x[v];
    }
}

__attribute__((always_inline)) static inline vec NAME(slide_and)(vec x, const vec *keep)
{
    return keep ? (vec)((mask)x & (mask)*keep) : x;
}

/* A source row into the A results that it meets, K taps side by side, columns S apart, all known when this is compiled:
 * three vectors hold what all taps of a vector of results read with S = 2. `ldw`: from the weights of a tap to the next's.
 * Padding is met by the first and the last vector alone. */
__attribute__((always_inline)) static inline void NAME(slide_row_known)(const int A, const int V, const int S,
                                                                        const int K, const REAL *from, idx last,
                                                                        const vec *keep, const REAL *w, const int ldw,
                                                                        vec (*acc)[4])
{
    const mask lane = NAME(iota)();
    vec x[4], low[4], even[4], odd[4];
    if (S == 2)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            const REAL *p = from + (v < V - 1 ? 2 * v * LANES : last);
            const vec *k = keep && (v == 0 || v == V - 1) ? keep + 3 * v : NULL;
            const vec first = NAME(slide_and)(NAME(load)(p), k), second = NAME(slide_and)(NAME(load)(p + LANES), k ? k + 1 : k);
            even[v] = __builtin_shuffle(first, second, 2 * lane);
            odd[v] = __builtin_shuffle(first, second, 2 * lane + 1);
            low[v] = K > 2 ? NAME(slide_and)(NAME(load)(p + 2 * LANES), k ? k + 2 : k) : first;
        }
#pragma GCC unroll 8
    for (int tap = 0; tap < K; tap++) {
        const int m = tap / 2;
        /* lanes m and on, then from the third vector those that follow */
        const mask next = lane + m, index = next + ((next >= LANES) & (next - LANES + tap % 2));
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            const vec *k = keep && (v == 0 || v == V - 1) ? keep + tap * V + v : NULL;
            if (S == 2)
                x[v] = tap == 0 ? even[v] : tap == 1 ? odd[v] : __builtin_shuffle(tap % 2 ? odd[v] : even[v], low[v], index);
            else
                x[v] = NAME(slide_and)(NAME(load)(from + tap + (v < V - 1 ? v * LANES : last)), k);
        }
        NAME(slide_products)(A, V, x, w + tap * ldw, acc);
    }
}

/* The same for any taps. With a stride of 2, two that lie side by side come from the same elements. */
__attribute__((always_inline)) static inline void NAME(slide_row_any)(const int A, const int V, const int S,
                                                                      const NAME(slide) *t, const REAL *source,
                                                                      const vec *keep, const REAL *w, const int ldw,
                                                                      vec (*acc)[4])
{
    const mask even = 2 * NAME(iota)();
    vec x[4], y[4];
    for (idx tap = 0, step; tap < t->taps; tap += step, w += step * ldw) {
        const int two = S == 2 && t->pairs && tap + 1 < t->taps;
        const REAL *from = source + t->at[tap];
        step = 1 + two;
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            const REAL *p = from + (v < V - 1 ? S * v * LANES : t->last);
            x[v] = NAME(load)(p);
            if (S == 2) {
                const vec low = x[v], high = NAME(load)(p + LANES);
                x[v] = __builtin_shuffle(low, high, even);
                y[v] = __builtin_shuffle(low, high, even + 1);
            }
        }
        if (keep)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) {
                x[v] = NAME(slide_and)(x[v], keep + tap * V + v);
                y[v] = two ? NAME(slide_and)(y[v], keep + (tap + 1) * V + v) : y[v];
            }
        NAME(slide_products)(A, V, x, w, acc);
        if (two)
            NAME(slide_products)(A, V, y, w + ldw, acc);
    }
}

/* The source rows of a step into results [low, low + some) of A. */
__attribute__((always_inline)) static inline void NAME(slide_step)(const int A, const int V, const int S, const int K,
                                                                   const int low, const int some, const NAME(slide) *t,
                                                                   const REAL *const *row, const vec *keep,
                                                                   const REAL *w, vec (*acc)[4])
{
    const idx depth = K > 0 ? min_idx(S, K) : t->depth, full = K > 0 ? K - (A - 1) * S : t->full;
    for (idx d = 0; d < depth; d++, w += (K > 0 ? K : t->taps) * A) {
        const REAL *source = row[d * t->unit] + t->column;
        if (t->ahead)
#pragma GCC unroll 8
            for (int v = 0; v < S * V; v++)
                __builtin_prefetch(source + (S * V + v) * LANES);
        const int all = A == 1 || low + some < A || d < full; /* else the last meets no tap */
        if (K > 0 && all)
            NAME(slide_row_known)(some, V, S, K, source + t->at[0], t->last, keep, w + low, A, acc + low);
        else if (K > 0)
            NAME(slide_row_known)(some - 1, V, S, K, source + t->at[0], t->last, keep, w + low, A, acc + low);
        else if (all)
            NAME(slide_row_any)(some, V, S, t, source, keep, w + low, A, acc + low);
        else
            NAME(slide_row_any)(some - 1, V, S, t, source, keep, w + low, A, acc + low);
    }
}

__attribute__((noinline)) static void NAME(slide_store_some)(REAL *to, vec y, idx count)
{
    REAL buffer[LANES];
    NAME(store)(buffer, y);
    NAME(copy)(to, buffer, count);
}

/* Stores whole vectors where the task owns what lies behind a short row: it is written again, by the next row. */
__attribute__((always_inline)) static inline void NAME(slide_store)(const int V, const NAME(slide) *t, REAL *out,
                                                                    const vec *sum, REAL *sums)
{
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
        vec y = sum[v];
        if (sums && !t->first)
            y += NAME(load)(sums + v * LANES);
        if (sums && !t->final) {
            NAME(store)(sums + v * LANES, y);
            continue;
        }
        y += t->bias;
        y = t->relu ? NAME(relu)(y) : y;
        REAL *to = out + (v < V - 1 ? v * LANES : t->last_out);
        if (v < V - 1 || to + LANES <= t->end)
            NAME(store)(to, y);
        else
            NAME(slide_store_some)(to, y, min_idx(t->columns, LANES));
    }
}

/* Steps *i to `end`, of which the results [low, low + some) of A are of use; each but the first A - 1 completes one. */
__attribute__((always_inline)) static inline void NAME(slide_steps)(const int A, const int V, const int S, const int K,
                                                                    const int low, const int some, const NAME(slide) *t,
                                                                    idx *i, idx end, const vec *keep, const REAL *w,
                                                                    vec (*acc)[4])
{
    const REAL *const *row = t->row + *i * t->ldrow;
    REAL *out = t->out + (*i - (A - 1)) * t->ldout;
    for (; *i < end; ++*i, row += t->ldrow, out += t->ldout) {
        NAME(slide_step)(A, V, S, K, low, some, t, row, keep, w, acc);
        if (*i >= A - 1) {
            if (t->ahead_out)
#pragma GCC unroll 8
                for (int v = 0; v < V; v++)
                    __builtin_prefetch(out + (V + v) * LANES, 1);
            NAME(slide_store)(V, t, out, acc[A - 1], K == 0 && t->sums ? t->sums + (*i - (A - 1)) * V * LANES : NULL);
        }
#pragma GCC unroll 8
        for (int a = A - 1; a >= 0; a--)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++)
                acc[a][v] = a > 0 ? acc[a - 1][v] : (vec){0};
    }
}

/* A strip. S: stride of the columns. K: the kernel is K x K, its taps side by side, and S its stride both ways; 0: any.
 * Of the first and the last steps only about half of the results are of use. */
__attribute__((always_inline)) static inline void NAME(slide_walk)(const int A, const int V, const int S, const int K,
                                                                   const NAME(slide) *given, const vec *keep)
{
    const NAME(slide) t = *given; /* which no store can alias */
    /* where the steps that this saves are worth the code */
    const int kept = K == 3, half = (K == 3 && V == 1) || (K == 0 && S == 1 && A >= 5) ? (A + 1) / 2 : A;
    REAL weights[12];
    for (int k = 0; kept && k < K * S * A; k++)
        weights[k] = t.w[k];
    const REAL *const w = kept ? weights : t.w;
    vec acc[SLIDE_MOST][4];
#pragma GCC unroll 8
    for (int a = 0; a < A; a++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            acc[a][v] = (vec){0};
    idx i = 0;
    if (half < A)
        NAME(slide_steps)(A, V, S, K, 0, half, &t, &i, half, keep, w, acc);
    NAME(slide_steps)(A, V, S, K, 0, A, &t, &i, t.steps - (half < A ? half : 0), keep, w, acc);
    if (half < A)
        NAME(slide_steps)(A, V, S, K, A - half, half, &t, &i, t.steps, keep, w, acc);
}

__attribute__((always_inline)) static inline void NAME(slide_kind)(const int A, const int V, const int S, const int K,
                                                                   const NAME(slide) *t)
{
    if (K == 0)
        NAME(slide_walk)(A, V, S, K, t, t->keep);
    else if (t->keep)
        NAME(slide_walk)(A, V, S, K, t, t->keep);
    else
        NAME(slide_walk)(A, V, S, K, t, NULL);
}

#define SLIDE_CASE(V) case V: if (V <= slide_vectors(MR, A)) NAME(slide_kind)(A, V, S, K, t); break;
__attribute__((always_inline)) static inline void NAME(slide_widths)(const int A, const int S, const int K,
                                                                     const NAME(slide) *t, idx vectors)
{
    switch (vectors) {
        SLIDE_CASE(1)
        SLIDE_CASE(2)
        SLIDE_CASE(3)
        SLIDE_CASE(4)
    }
}
#undef SLIDE_CASE

/* A kernel of any shape whose source rows meet A results; 3 x 3 and, of stride 2, 5 x 5, taps unrolled. */
__attribute__((always_inline)) static inline void NAME(slide_any)(const int A, const NAME(slide) *t, idx vectors)
{
    const int square = t->square;
    if (square && t->stride == 1 && A == 3)
        NAME(slide_widths)(A, 1, A, t, vectors);
    else if (square && t->stride == 2 && (A == 2 || A == 3) && 2 * A - 3 <= LANES)
        NAME(slide_widths)(A, 2, 2 * A - 1, t, vectors);
    else if (t->stride == 1)
        NAME(slide_widths)(A, 1, 0, t, vectors);
    else
        NAME(slide_widths)(A, 2, 0, t, vectors);
}

/* A function for each: registers and code are their own. */
#define SLIDE_ACROSS(A) static void NAME(slide_##A)(const NAME(slide) *t, idx vectors) { NAME(slide_any)(A, t, vectors); }
SLIDE_ACROSS(1)
SLIDE_ACROSS(2)
SLIDE_ACROSS(3)
SLIDE_ACROSS(4)
SLIDE_ACROSS(5)
SLIDE_ACROSS(6)
SLIDE_ACROSS(7)
#undef SLIDE_ACROSS

/* Weights in the order in which a strip meets them: by walk, offset of the source row, tap of the row, result. */
static void NAME(slide_weights)(const lattice *lat, const slide_shape *s, REAL *to, const REAL *w)
{
    const idx kh = lat->h.taps, kw = lat->w.taps;
    for (idx a0 = 0, a1; a0 < s->across; a0 = a1) {
        a1 = min_idx(a0 + s->part, s->across);
        for (idx d = 0; d < s->depth; d++)
            for (idx tap = 0; tap < kw; tap++)
                for (idx a = a0; a < a1; a++) {
                    const idx row = a * s->step + d, th = lat->h.delta < 0 ? kh - 1 - row : row, tw = lat->w.delta < 0 ? kw - 1 - tap : tap;
                    *to++ = row < kh ? w[th * kw + tw] : 0;
                }
    }
}

static void NAME(slide_run)(const NAME(slide) *t, idx vectors)
{
    static void (*const run[])(const NAME(slide) *, idx) = {NAME(slide_1), NAME(slide_2), NAME(slide_3), NAME(slide_4),
                                                            NAME(slide_5), NAME(slide_6), NAME(slide_7)};
    run[t->across - 1](t, vectors);
}

/* What the planes of a task share: its band of rows and its columns. */
typedef struct {
    const lattice *lat;
    slide_shape shape;
    NAME(source) src;
    idx h0, rows, w0, columns;
    const REAL **row;
    idx *at;                 /* of each tap in a row, in the order of their positions */
    REAL *zeros, *copies, *sums; /* sums: NULL where no kernel is cut */
    const REAL *weights;     /* of the result at hand */
    int far;                 /* the planes are more than caches keep */
    vec *keep;
} NAME(slide_band);

/* All rows and columns of the planes, of which none is at hand yet. */
static NAME(slide_band) NAME(slide_band_of)(const conv_call *call, char *scratch)
{
    const conv_problem *p = &call->plan->p;
    const lattice *lat = &call->plan->largest;
    const conv_axis *h = &lat->h, *w = &lat->w;
    const slide_shape s = slide_shape_of(call->plan);
    const axis_rows fw = axis_row_layout(w);
    NAME(slide_band) b = {.lat = lat, .shape = s, .rows = h->grid, .columns = w->grid, .row = (const REAL **)scratch,
                          .at = (idx *)(scratch + s.at), .zeros = (REAL *)(scratch + s.copies), .keep = (vec *)(scratch + s.keep)};
    b.src = (NAME(source)){.first = call->src, .plane = h->size * w->size, .mode = p->pass == CONV_FWD ? p->pad_mode : CONV_ZEROS};
    b.src.end = b.src.first + p->n * p->groups * b.src.plane;
    b.copies = b.zeros + s.period * s.pitch;
    b.sums = s.part < s.across ? (REAL *)(scratch + s.sums) : NULL;
    NAME(zero_run)(b.zeros, s.period * s.pitch);
    for (idx tap = 0; tap < w->taps; tap++) {
        const idx tw = w->delta < 0 ? w->taps - 1 - tap : tap, position = tap_position(w, tw);
        b.at[tap] = s.in_place ? position : tw % s.period * s.pitch + floor_div(position, w->step) - fw.lowest;
    }
    return b;
}

/* One source row, padded, by residues. */
static void NAME(slide_copy)(const NAME(slide_band) *b, REAL *to, const REAL *row)
{
    const conv_axis *w = &b->lat->w;
    const slide_shape *s = &b->shape;
    const axis_rows fw = axis_row_layout(w);
    for (idx residue = 0; residue < s->period; residue++, to += s->pitch) {
        const idx step = s->in_place ? 1 : w->step, position = tap_position(w, residue);
        const idx base = b->w0 * w->step + (s->in_place ? s->lowest : fw.lowest * step + position - floor_div(position, step) * step);
        const idx count = s->in_place ? s->pitch : b->columns + fw.span;
        NAME(pack_run)(to, row, NAME(run_inside)(base, step, w->size, count), step, count, w->size, &b->src, s->pitch);
    }
}

/* Where the source rows of a plane are; those that a vector would leave the array from are copied. Whether any is. */
static int NAME(slide_rows)(const NAME(slide_band) *b, const REAL *plane)
{
    const conv_axis *h = &b->lat->h, *w = &b->lat->w;
    const slide_shape *s = &b->shape;
    const idx shift = b->w0 * w->step, used = s->unit == 1 ? h->taps : s->table, across = s->in_place ? s->lowest : 0;
    REAL *copy = b->copies;
    for (idx q = 0; q < s->table; q++) {
        const idx y = pad_index(b->src.mode, b->h0 * h->step + s->low + q, h->size);
        b->row[q] = b->zeros - across;
        if (y < 0 || y >= h->size || q % h->step >= used)
            continue;
        const REAL *row = plane + y * w->size, *from = row + shift;
        if (s->in_place && from - b->src.first >= -s->lowest && b->src.end - from >= s->pitch + s->lowest) {
            b->row[q] = from;
        } else {
            NAME(slide_copy)(b, copy, row);
            b->row[q] = copy - across;
            copy += s->period * s->pitch;
        }
    }
    return copy > b->copies;
}

/* The same for a plane after one whose rows were all read in place. */
static int NAME(slide_advance)(const NAME(slide_band) *b, const REAL *plane)
{
    const slide_shape *s = &b->shape;
    const REAL *const first = plane + b->w0 * b->lat->w.step, *const none = b->zeros - s->lowest;
    if (first - b->src.first < -s->lowest || b->src.end - first < b->src.plane + s->pitch + s->lowest)
        return !NAME(slide_rows)(b, plane);
    for (idx q = 0; q < s->table; q++)
        b->row[q] += b->row[q] == none ? 0 : b->src.plane;
    return 1;
}

/* A strip: its first column and the last vector's, and whether a lane of it that counts reads padding. */
typedef struct {
    idx column, last, vectors;
    int edge;
} NAME(slide_strip);

static NAME(slide_strip) NAME(slide_strip_of)(const NAME(slide_band) *b, idx strip)
{
    const slide_shape *s = &b->shape;
    const conv_axis *w = &b->lat->w;
    const idx all = ceil_div(b->columns, LANES), count = ceil_div(all, s->vectors);
    const idx v0 = strip * all / count, v1 = (strip + 1) * all / count;
    NAME(slide_strip) t = {v0 * LANES, min_idx((v1 - 1) * LANES, max_idx(0, b->columns - LANES)), v1 - v0, 0};
    const idx first = (b->w0 + min_idx(t.column, t.last)) * w->step + s->lowest;
    const idx end = (b->w0 + min_idx(t.last + LANES, b->columns) - 1) * w->step + s->highest;
    t.edge = s->in_place && (first < 0 || end >= w->size);
    t.column = min_idx(t.column, t.last);
    return t;
}

/* The lanes that lie in the source: of each tap and vector of a strip, or of the three vectors that slide_row_known loads
 * for each with a stride of 2. */
static void NAME(slide_mask)(const NAME(slide_band) *b, const NAME(slide_strip) *strip, vec *keep, int square)
{
    const conv_axis *w = &b->lat->w;
    const int loads = square && w->step == 2;
    const idx outer = loads ? strip->vectors : w->taps, inner = loads ? 3 : strip->vectors, step = loads ? 1 : w->step;
    const mask lane = NAME(iota)();
    for (idx i = 0; i < outer; i++)
        for (idx j = 0; j < inner; j++) {
            const idx v = loads ? i : j, column = v < strip->vectors - 1 ? strip->column + v * LANES : strip->last;
            const idx base = (b->w0 + column) * w->step + (loads ? b->at[0] + j * LANES : b->at[i]);
            const idx lo = base < 0 ? ceil_div(-base, step) : 0, hi = ceil_div(max_idx(0, w->size - base), step);
            *keep++ = (vec)((lane >= (mask){0} + (WORD)min_idx(lo, LANES)) & (lane < (mask){0} + (WORD)min_idx(hi, LANES)));
        }
}

/* Every strip and every set of rows of one result. */
static void NAME(slide_plane)(const NAME(slide_band) *b, NAME(slide) *t, REAL *dst)
{
    const slide_shape *s = &b->shape;
    const idx width = b->lat->w.grid, stride = t->stride;
    const idx strips = ceil_div(ceil_div(b->columns, LANES), s->vectors);
    const vec *keep = b->keep;
    t->ldout = s->apart * width;
    for (idx i = 0; i < strips; i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(b, i);
        t->keep = strip.edge ? keep : NULL;
        keep += strip.edge ? max_idx(3, b->lat->w.taps) * strip.vectors : 0;
        t->column = strip.column * stride;
        t->last_out = strip.last - strip.column;
        t->last = t->last_out * stride;
        for (idx r = 0; r < min_idx(s->apart, b->rows); r++) {
            t->out = dst + r * width + strip.column;
            for (idx a = 0; a < s->across; a += s->part) {
                t->across = min_idx(s->part, s->across - a);
                t->first = a == 0;
                t->final = a + t->across == s->across;
                t->full = t->final ? s->full : s->depth;
                t->ahead = b->far && t->first;
                t->ahead_out = b->far && t->final;
                t->row = b->row + r * b->lat->h.step + a * t->ldrow;
                t->w = b->weights + a * s->depth * t->taps;
                t->steps = ceil_div(b->rows - r, s->apart) + t->across - 1;
                NAME(slide_run)(t, strip.vectors);
            }
        }
    }
}

static void NAME(slide_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice *lat = &plan->largest;
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx across = ceil_div(w->grid, plan->chunk_w), bands = ceil_div(h->grid, plan->chunk_h), planes = p->n * p->groups;
    const idx first = index / (bands * across) * plan->chunk_n, end = min_idx(first + plan->chunk_n, planes);
    char *const scratch = call->scratch + worker * plan->task_bytes;
    NAME(slide_band) b = NAME(slide_band_of)(call, scratch);
    const slide_shape s = b.shape;
    REAL *const weights = (REAL *)(scratch + s.weights);
    b.h0 = index / across % bands * plan->chunk_h;
    b.w0 = index % across * plan->chunk_w;
    b.weights = weights;
    b.far = planes * (b.src.plane + lat->result_channels * h->grid * w->grid) * (idx)sizeof(REAL) > 4 * 262144;
    b.rows = min_idx(plan->chunk_h, h->grid - b.h0);
    b.columns = min_idx(plan->chunk_w, w->grid - b.w0);
    /* the squares of slide_any, where padding meets the first and the last vector of a strip alone */
    const int known = s.in_place && s.unit == 1 && w->delta * w->delta == 1 && h->taps == w->taps && h->step == w->step &&
                      (w->taps == 3 || (w->taps == 5 && w->step == 2)) && w->taps - 2 <= LANES &&
                      s.lowest >= -LANES && (w->grid - 1) * w->step + s.highest - w->size < LANES;
    NAME(slide) t = {.ldrow = s.step * s.unit, .unit = s.unit, .depth = s.depth, .at = b.at, .taps = w->taps,
                     .stride = s.in_place ? (int)w->step : 1, .pairs = w->delta == 1,
                     .square = known,
                     .sums = b.sums,
                     .columns = b.columns,
                     .relu = p->pass == CONV_FWD && p->activation == CONV_RELU};
    vec *keep = b.keep;
    for (idx i = 0; i < ceil_div(ceil_div(b.columns, LANES), s.vectors); i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(&b, i);
        if (strip.edge) {
            NAME(slide_mask)(&b, &strip, keep, t.square);
            keep += max_idx(3, w->taps) * strip.vectors;
        }
    }

    const idx results = lat->result_channels, points = h->grid * w->grid;
    int advance = 0;
    for (idx plane = first; plane < end; plane++) {
        const REAL *source = b.src.first + plane * b.src.plane;
        advance = advance ? NAME(slide_advance)(&b, source) : !NAME(slide_rows)(&b, source);
        for (idx m = 0; m < results; m++) {
            const idx result = plane % p->groups * results + m;
            NAME(slide_weights)(lat, &s, weights, (const REAL *)call->weights + result * h->taps * w->taps);
            REAL *dst = (REAL *)call->dst + (plane * results + m) * points + b.h0 * w->grid + b.w0;
            t.end = s.apart > 1 || across > 1 ? NULL : bands == 1 ? (REAL *)call->dst + end * results * points : dst + (b.rows - 1) * w->grid + b.columns;
            t.bias = call->bias ? ((const REAL *)call->bias)[result] : 0;
            NAME(slide_plane)(&b, &t, dst);
        }
    }
}
