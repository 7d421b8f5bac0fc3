/* slide_weights -- the gradient of the weights where one source channel makes each result, by the sliding window of
 * slide_tpl.h turned round: the kernel's taps are the accumulators.
 *
 *   dw[th][tw] = sum over images, r, j of dy[r][j] * x[r * S + th][j * S + tw - pad]
 *
 * A strip of one vector of columns walks down. Step i brings row i of dy and the source rows i*S + d, d < S: a source row
 * is loaded once for each tap of a row and meets the A rows i - a of dy that are kept, at tap row a*S + d. Rows that do not
 * exist are skipped, not multiplied by zero: a NaN stays where it belongs. Lanes are summed at the very end.
 * Registers: rows * K accumulators, A of dy, K of source.
 */
typedef struct {
    const REAL *const *row;   /* the source row of the first tap row and row 0 of dy */
    const REAL *dy, *dy_end;  /* of this strip; the array's end */
    idx rows, ldy;            /* of dy */
    idx lanes;                /* of the strip that lie in the array */
    idx column;               /* of the source, for lane 0 of the first tap */
    vec own;                  /* lanes that this strip counts: the last strip overlaps the one before */
    const vec *keep;          /* S 1: own lanes in the source, by tap; S 2: lanes of each of three vectors; NULL: all */
    REAL *sum;                /* by (tap row, tap): a vector */
} NAME(slide_grad);

/* The K vectors of source that the taps of a row meet. */
__attribute__((always_inline)) static inline void NAME(slide_taps)(const int S, const int K, const NAME(slide_grad) *t,
                                                                   const REAL *from, vec *x)
{
    const vec *keep = t->keep;
    if (S == 2)
        NAME(slide_pairs)(K, from, keep, x);
#pragma GCC unroll 8
    for (int tap = 0; tap < K; tap++)
        x[tap] = S == 2 ? NAME(slide_and)(x[tap], keep ? &t->own : NULL)
                        : NAME(slide_and)(NAME(load)(from + tap), keep ? keep + tap : NULL);
}

/* `rows` tap rows of K taps; with a stride of 2 all K of them. */
__attribute__((always_inline)) static inline void NAME(slide_gather)(const int rows, const int S, const int K,
                                                                     const NAME(slide_grad) *given)
{
    const NAME(slide_grad) t = *given;
    const int A = (rows + S - 1) / S;
    vec acc[5][8], d[5], x[8];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int tap = 0; tap < K; tap++)
            acc[i][tap] = NAME(load)(t.sum + (i * K + tap) * LANES);
#pragma GCC unroll 8
    for (int a = 0; a < A; a++)
        d[a] = (vec){0};
    for (idx i = 0; i < t.rows + A - 1; i++) {
#pragma GCC unroll 8
        for (int a = A - 1; a > 0; a--)
            d[a] = d[a - 1];
        if (i < t.rows) {
            const REAL *from = t.dy + i * t.ldy;
            d[0] = from + LANES <= t.dy_end ? NAME(load)(from) : NAME(load_some)(from, t.lanes, t.dy_end);
            d[0] = t.keep ? (vec)((mask)d[0] & (mask)t.own) : d[0];
        }
#pragma GCC unroll 2
        for (int s = 0; s < S && s < rows; s++) {
            NAME(slide_taps)(S, K, &t, t.row[i * S + s] + t.column, x);
#pragma GCC unroll 8
            for (int a = 0; a < A; a++)
                if (a * S + s < rows && i - a >= 0 && i - a < t.rows)
#pragma GCC unroll 8
                    for (int tap = 0; tap < K; tap++)
                        acc[a * S + s][tap] += d[a] * x[tap];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int tap = 0; tap < K; tap++)
            NAME(store)(t.sum + (i * K + tap) * LANES, acc[i][tap]);
}

/* As many tap rows as slide_tap_rows says, or what is left of them. */
static void NAME(slide_gather_3)(const NAME(slide_grad) *t, idx stride, idx rows)
{
    if (stride == 2)
        NAME(slide_gather)(3, 2, 3, t);
    else if (rows == 3)
        NAME(slide_gather)(3, 1, 3, t);
    else if (rows == 2)
        NAME(slide_gather)(2, 1, 3, t);
    else
        NAME(slide_gather)(1, 1, 3, t);
}

static void NAME(slide_gather_5)(const NAME(slide_grad) *t, idx stride, idx rows)
{
    if (MR >= 14 && LANES >= 8 && stride == 2)
        NAME(slide_gather)(5, 2, 5, t);
    else if (MR >= 14 && rows == 3)
        NAME(slide_gather)(3, 1, 5, t);
    else if (MR >= 14 && rows == 2)
        NAME(slide_gather)(2, 1, 5, t);
    else
        NAME(slide_gather)(1, 1, 5, t);
}

static void NAME(slide_gather_7)(const NAME(slide_grad) *t, idx rows)
{
    if (MR >= 14 && rows == 3)
        NAME(slide_gather)(3, 1, 7, t);
    else if (MR >= 14 && rows == 2)
        NAME(slide_gather)(2, 1, 7, t);
    else
        NAME(slide_gather)(1, 1, 7, t);
}

/* total += sum, sum = 0, of `count` vectors. */
static void NAME(slide_fold)(REAL *total, REAL *sum, idx count)
{
    for (idx i = 0; i < count * LANES; i += LANES) {
        NAME(store)(total + i, NAME(load)(total + i) + NAME(load)(sum + i));
        NAME(store)(sum + i, (vec){0});
    }
}

/* dst[i] = the sum of the lanes of vector i of `total`, LANES of them at a time: there is room for whole squares. */
static void NAME(slide_sums)(REAL *dst, const REAL *total, REAL *square, idx count)
{
    for (idx i = 0; i < count; i += LANES) {
        NAME(transpose)(square, LANES, total + i * LANES, LANES);
        for (int half = LANES / 2; half > 0; half /= 2) /* the tree that NAME(sum) has */
            for (int j = 0; j < half; j++)
                NAME(store)(square + j * LANES, NAME(load)(square + j * LANES) + NAME(load)(square + (j + half) * LANES));
        NAME(copy)(dst + i, square, min_idx(LANES, count - i));
    }
}

/* What one strip of one image and band adds to the tap rows [first, first + rows). */
typedef struct {
    NAME(slide_band) band;
    REAL *sum, *total, *square;
    idx first, rows, most, block;
} NAME(slide_taking);

static void NAME(slide_image)(const NAME(slide_taking) *k, const REAL *dy, const REAL *dy_end, idx *terms)
{
    const NAME(slide_band) *b = &k->band;
    const conv_axis *h = &b->lat->h, *w = &b->lat->w;
    const vec *keep = b->keep;
    const idx strips = ceil_div(b->columns, LANES);
    for (idx i = 0; i < strips; i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(b, i);
        const idx overlap = i * LANES - strip.column;
        const int partial = strip.edge || overlap > 0 || b->columns < LANES;
        const mask lane = NAME(iota)();
        NAME(slide_grad) t = {.ldy = w->grid, .dy_end = dy_end, .lanes = min_idx(LANES, b->columns), .keep = partial ? keep : NULL,
                              .column = strip.column * w->step + b->at[0]};
        t.own = (vec)((lane >= (mask){0} + (WORD)overlap) & (lane < (mask){0} + (WORD)t.lanes));
        keep += partial ? max_idx(3, w->taps) : 0;
        for (idx r = 0; r < h->grid; r += t.rows) {
            t.rows = min_idx(k->block, h->grid - r);
            if (*terms + t.rows > k->block) {
                NAME(slide_fold)(k->total, k->sum, k->rows * w->taps);
                *terms = 0;
            }
            *terms += t.rows;
            t.dy = dy + r * w->grid + strip.column;
            for (idx first = 0, rows; first < k->rows; first += rows) {
                rows = min_idx(k->most, k->rows - first);
                t.row = b->row + r * h->step + k->first + first;
                t.sum = k->sum + first * w->taps * LANES;
                if (w->taps == 3)
                    NAME(slide_gather_3)(&t, h->step, rows);
                else if (w->taps == 5)
                    NAME(slide_gather_5)(&t, h->step, rows);
                else
                    NAME(slide_gather_7)(&t, rows);
            }
        }
    }
}

static void NAME(slide_keep_own)(const NAME(slide_band) *b)
{
    const conv_axis *w = &b->lat->w;
    vec *keep = b->keep;
    for (idx i = 0; i < ceil_div(b->columns, LANES); i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(b, i);
        const idx overlap = i * LANES - strip.column, lanes = min_idx(LANES, b->columns);
        const mask lane = NAME(iota)();
        const mask own = (lane >= (mask){0} + (WORD)overlap) & (lane < (mask){0} + (WORD)lanes);
        if (!strip.edge && overlap == 0 && lanes == LANES)
            continue;
        NAME(slide_mask)(b, &strip, keep, 1);
        for (idx tap = 0; w->step == 1 && tap < w->taps; tap++)
            keep[tap] = (vec)((mask)keep[tap] & own);
        keep += max_idx(3, w->taps);
    }
}

/* Some groups' weights, or some tap rows of them, over all images. */
static void NAME(slide_weights_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const conv_axis *h = &plan->largest.h, *w = &plan->largest.w;
    const idx parts = ceil_div(h->taps, plan->depth), points = h->grid * w->grid, taps = h->taps * w->taps;
    const idx g0 = index / parts * plan->channels, g1 = min_idx(g0 + plan->channels, p->groups);
    char *const scratch = call->scratch + worker * plan->task_bytes;
    NAME(slide_taking) k = {.band = NAME(slide_band_of)(call, scratch), .first = index % parts * plan->depth,
                            .most = slide_tap_rows(plan->kernels, h->step, w->taps),
                            .block = accumulation_block(p->n * points)};
    const NAME(slide_band) *const b = &k.band;
    k.rows = min_idx(plan->depth, h->taps - k.first);
    k.sum = (REAL *)(scratch + b->shape.total);
    k.total = k.sum + round_up(taps, LANES) * LANES;
    k.square = k.total + round_up(taps, LANES) * LANES;
    NAME(slide_keep_own)(b);

    const REAL *dy = call->weights, *dy_end = dy + p->n * p->groups * p->oc * points;
    for (idx group = g0; group < g1; group++)
        for (idx m = 0; m < p->oc; m++) {
            idx terms = 0;
            NAME(zero_run)(k.sum, 2 * round_up(taps, LANES) * LANES);
            for (idx n = 0; n < p->n; n++) {
                const idx plane = n * p->groups + group;
                NAME(slide_rows)(b, b->src.first + plane * b->src.plane);
                NAME(slide_image)(&k, dy + (plane * p->oc + m) * points, dy_end, &terms);
            }
            NAME(slide_fold)(k.total, k.sum, k.rows * w->taps);
            NAME(slide_sums)((REAL *)call->dst + (group * p->oc + m) * taps + k.first * w->taps, k.total, k.square, k.rows * w->taps);
        }
}
