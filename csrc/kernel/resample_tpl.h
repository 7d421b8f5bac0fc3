/* resample -- separable linear maps of planes: average pooling, interpolation, and the gradients of both.
 *
 * A row of the result is made in two steps: the source rows of its band are summed into one row, whole vectors of it at a
 * time; then every output sums its run of that row. Runs of neighbouring outputs begin near each other, so LANES of them
 * are a shuffle of two vectors, the same for every tap; where they begin further apart, outputs are made one by one.
 */

/* The horizontal band as the vectors want it. */
typedef struct {
    const band *w;
    idx blocks, *base;        /* where the run of a block's first output begins; -1: one by one */
    WORD *shift, *count;      /* how much later those of the others begin; their lengths */
    REAL *weights, *divisor;  /* rows of blocks * LANES */
    int uniform;              /* all counts are taps */
    REAL *row;
} NAME(run_table);

static NAME(run_table) NAME(run_table_of)(const resample *r, char *scratch)
{
    const band *w = &r->w;
    NAME(run_table) t = {.w = w, .blocks = ceil_div(w->out, LANES), .uniform = 1};
    const idx width = t.blocks * LANES;
    t.shift = (WORD *)scratch;
    t.count = t.shift + width;
    t.divisor = (REAL *)(t.count + width);
    t.weights = t.divisor + width;
    t.row = t.weights + (w->weights ? w->taps * width : 0);
    t.base = (idx *)(t.row + resample_row(r, LANES));
    for (idx o = 0; o < width; o++) {
        const idx real = min_idx(o, w->out - 1), start = o / LANES * LANES;
        const idx later = w->first[real] - w->first[start];
        if (o == start)
            t.base[o / LANES] = w->taps >= 2 * LANES && !w->weights ? -1 : w->first[o];
        if (later < 0 || later >= 2 * LANES)
            t.base[o / LANES] = -1;
        t.shift[o] = (WORD)(later & (2 * LANES - 1));
        t.count[o] = (WORD)w->count[real];
        t.uniform &= w->count[real] == w->taps;
        t.divisor[o] = w->divisor ? ((const REAL *)w->divisor)[real] : 1;
        for (idx tap = 0; w->weights && tap < w->taps; tap++)
            t.weights[tap * width + o] = ((const REAL *)w->weights)[tap * w->out + real];
    }
    return t;
}

/* row[i] = the weighted sum over the band of output row o. */
static void NAME(resample_vertical)(const band *h, const REAL *x, idx width, idx o, const REAL *limit, REAL *row)
{
    const idx taps = h->count[o], block = accumulation_block(taps);
    const REAL *weights = h->weights ? (const REAL *)h->weights + o : NULL;
    x += h->first[o] * width;
    for (idx i = 0; i < width; i += LANES) {
        vec total = {0};
        for (idx t0 = 0; t0 < taps; t0 += block) {
            vec sum = {0};
            for (idx t = t0; t < min_idx(taps, t0 + block); t++) {
                const vec v = NAME(load_some)(x + t * width + i, width - i, limit);
                sum += weights ? v * weights[t * h->out] : v;
            }
            total += sum;
        }
        NAME(store)(row + i, total);
    }
}

/* The sum of output o's run. */
static REAL NAME(resample_one)(const band *w, const REAL *row, idx o)
{
    const idx taps = w->count[o], block = accumulation_block(taps);
    const REAL *weights = w->weights ? (const REAL *)w->weights + o : NULL;
    REAL total = 0;
    row += w->first[o];
    if (!weights && taps >= LANES)
        return NAME(sum_run)(row, taps);
    for (idx t0 = 0; t0 < taps; t0 += block) {
        REAL sum = 0;
        for (idx t = t0; t < min_idx(taps, t0 + block); t++)
            sum += weights ? row[t] * weights[t * w->out] : row[t];
        total += sum;
    }
    return total;
}

/* LANES outputs; weighted and uniform are constants where this is inlined. */
static inline __attribute__((always_inline)) vec NAME(resample_block)(const NAME(run_table) *t, const REAL *row, idx b,
                                                                      int weighted, int uniform)
{
    const idx taps = t->w->taps, width = t->blocks * LANES, block = accumulation_block(taps);
    const REAL *from = row + t->base[b], *weights = t->weights + b * LANES;
    mask shift, count;
    __builtin_memcpy(&shift, t->shift + b * LANES, sizeof shift);
    __builtin_memcpy(&count, t->count + b * LANES, sizeof count);
    vec total = {0};
    for (idx t0 = 0; t0 < taps; t0 += block) {
        vec sum = {0};
        for (idx tap = t0; tap < min_idx(taps, t0 + block); tap++) {
            vec v = __builtin_shuffle(NAME(load)(from + tap), NAME(load)(from + tap + LANES), shift);
            if (!uniform) /* what a shorter run does not read cannot reach it, NaN or not */
                v = (vec)((mask)v & (count > (mask){0} + (WORD)tap));
            sum += weighted ? v * NAME(load)(weights + tap * width) : v;
        }
        total += sum;
    }
    return total;
}

static inline __attribute__((always_inline)) void NAME(resample_horizontal)(const NAME(run_table) *t, const REAL *row,
                                                                            REAL height, int divided, REAL *y,
                                                                            int weighted, int uniform)
{
    for (idx b = 0; b < t->blocks; b++) {
        const idx o = b * LANES, count = min_idx(LANES, t->w->out - o);
        vec sum = {0};
        if (t->base[b] >= 0)
            sum = NAME(resample_block)(t, row, b, weighted, uniform);
        else
            for (idx lane = 0; lane < count; lane++)
                sum[lane] = NAME(resample_one)(t->w, row, o + lane);
        if (divided)
            sum /= NAME(load)(t->divisor + o) * height;
        if (count == LANES)
            NAME(store)(y + o, sum);
        else
            NAME(copy)(y + o, (const REAL *)&sum, count);
    }
}

static void NAME(resample_run)(const void *call, idx begin, idx end, char *scratch)
{
    const resample *r = call;
    const NAME(run_table) t = NAME(run_table_of)(r, scratch);
    const REAL *const limit = (const REAL *)r->x + r->planes * r->h.size * r->w.size;
    const int divided = r->h.divisor || r->w.divisor;
    for (idx unit = begin; unit < end; unit++) {
        const idx plane = unit / r->h.out, o = unit % r->h.out;
        const REAL *x = (const REAL *)r->x + plane * r->h.size * r->w.size;
        const REAL height = r->h.divisor ? ((const REAL *)r->h.divisor)[o] : 1;
        REAL *y = (REAL *)r->y + unit * r->w.out;
        NAME(resample_vertical)(&r->h, x, r->w.size, o, limit, t.row);
        if (r->w.weights)
            t.uniform ? NAME(resample_horizontal)(&t, t.row, height, divided, y, 1, 1)
                      : NAME(resample_horizontal)(&t, t.row, height, divided, y, 1, 0);
        else
            t.uniform ? NAME(resample_horizontal)(&t, t.row, height, divided, y, 0, 1)
                      : NAME(resample_horizontal)(&t, t.row, height, divided, y, 0, 0);
    }
}
