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
    idx ahead, ahead_out;    /* elements to what the next strip reads, and to its results, which are fetched: strips are no stream; 0: near */
    const idx *at;           /* of each tap in a row */
    idx taps;                /* of a row */
    idx column, last;        /* the first column's element; elements from it to the last vector's first column */
    int stride;              /* of columns: 1 or 2 */
    int pairs;               /* taps lie side by side */
    int square;              /* 3 x 3, or 5 x 5 of stride 2, whose taps lie side by side */
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

/* x[tap] of a vector of columns two apart, for K taps side by side: three vectors from p on, of which `keep` may leave some lanes alone, hold
 * what all of them read. */
__attribute__((always_inline)) static inline void NAME(slide_pairs)(const int K, const REAL *p, const vec *keep, vec *x)
{
    vec part[3];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        part[i] = NAME(load_pieces)(p + i * PIECE, 2 * PIECE);
        if (keep)
            part[i] = (vec)((mask)part[i] & (mask)NAME(load_pieces)((const REAL *)keep + i * PIECE, 2 * PIECE));
    }
    x[0] = NAME(evens)(part[0], part[1]);
    x[1] = NAME(odds)(part[0], part[1]);
#pragma GCC unroll 8
    for (int tap = 2; tap < K; tap++)
        x[tap] = NAME(moved)(x[tap % 2], part[2], tap / 2, tap % 2);
}

/* A source row into the A results that it meets, K taps side by side, columns S apart, all known when this is compiled. `ldw`: from the
 * weights of a tap to the next's. Padding is met by the first and the last vector alone. */
__attribute__((always_inline)) static inline void NAME(slide_row_known)(const int A, const int V, const int S,
                                                                        const int K, const REAL *from, idx last,
                                                                        const vec *keep, const REAL *w, const int ldw,
                                                                        vec (*acc)[4])
{
    vec x[4], taps[4][5];
    if (S == 2)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++)
            NAME(slide_pairs)(K, from + (v < V - 1 ? 2 * v * LANES : last), keep && (v == 0 || v == V - 1) ? keep + 3 * v : NULL, taps[v]);
#pragma GCC unroll 8
    for (int tap = 0; tap < K; tap++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            const vec *k = keep && (v == 0 || v == V - 1) ? keep + tap * V + v : NULL;
            x[v] = S == 2 ? taps[v][tap] : NAME(slide_and)(NAME(load)(from + tap + (v < V - 1 ? v * LANES : last)), k);
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
    vec x[4], y[4];
    for (idx tap = 0, step; tap < t->taps; tap += step, w += step * ldw) {
        const int two = S == 2 && t->pairs && tap + 1 < t->taps;
        const REAL *from = source + t->at[tap];
        step = 1 + two;
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            const REAL *p = from + (v < V - 1 ? S * v * LANES : t->last);
            if (S == 2) {
                const vec low = NAME(load_pieces)(p, 2 * PIECE), high = NAME(load_pieces)(p + PIECE, 2 * PIECE);
                x[v] = NAME(evens)(low, high);
                y[v] = NAME(odds)(low, high);
            } else {
                x[v] = NAME(load)(p);
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
                __builtin_prefetch(source + (K > 0 ? S * V * LANES : t->ahead) + v * LANES); /* known kernels have no time for more */
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
                    __builtin_prefetch(out + (K > 0 ? V * LANES : t->ahead_out) + v * LANES, 1);
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
        CASES_4(SLIDE_CASE)
    }
}
#undef SLIDE_CASE

/* A kernel of any shape whose source rows meet A results; 3 x 3 and, of stride 2, 5 x 5, taps unrolled. */
__attribute__((always_inline)) static inline void NAME(slide_any)(const int A, const NAME(slide) *t, idx vectors)
{
    const int square = t->square;
    if (square && t->stride == 1 && A == 3)
        NAME(slide_widths)(A, 1, A, t, vectors);
    else if (square && t->stride == 2 && (A == 2 || A == 3) && 2 * A - 3 <= PIECE)
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
