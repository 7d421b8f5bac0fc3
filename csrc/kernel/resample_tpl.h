/* resample -- separable linear maps of planes: average pooling, interpolation, and the gradients of both.
 *
 * A row of the result is made in two steps: the source rows of its band are summed into one row, whole vectors of it at a
 * time; then every output sums its run of that row. Runs of neighbouring outputs begin near each other, so LANES of them
 * are a shuffle of two vectors, the same for every tap; where they begin further apart, outputs are made one by one.
 */

/* The horizontal band as the vectors want it. */
typedef struct {
    const band *w;
    idx blocks, *base;        /* where the run of a block's first output begins */
    char *way;                /* how a block is made */
    WORD *shift, *count;      /* how much later those of the others begin; their lengths */
    REAL *weights, *divisor;  /* rows of blocks * LANES */
    REAL *row;
} NAME(run_table);

static NAME(run_table) NAME(run_table_of)(const resample *r, char *scratch)
{
    const band *w = &r->w;
    NAME(run_table) t = {.w = w, .blocks = ceil_div(w->out, LANES)};
    const idx width = t.blocks * LANES;
    t.shift = (WORD *)scratch;
    t.count = t.shift + width;
    t.divisor = (REAL *)(t.count + width);
    t.weights = t.divisor + width;
    t.row = t.weights + (w->weights ? w->taps * width : 0);
    t.base = (idx *)(t.row + resample_row(r, LANES));
    t.way = (char *)(t.base + t.blocks);
    for (idx o = 0; o < width; o++) {
        const idx real = min_idx(o, w->out - 1), block = o / LANES, later = w->first[real] - w->first[block * LANES];
        if (o % LANES == 0) {
            t.base[block] = w->first[o];
            t.way[block] = w->taps >= 2 * LANES && !w->weights ? ONE_BY_ONE : UNIFORM;
        }
        if (later >= 2 * LANES)
            t.way[block] = ONE_BY_ONE;
        if (w->count[real] != w->taps)
            t.way[block] = (char)min_idx(t.way[block], SHUFFLED);
        t.shift[o] = (WORD)(later & (2 * LANES - 1));
        t.count[o] = (WORD)w->count[real];
        t.divisor[o] = w->divisor ? (REAL)w->divisor[real] : 1;
        for (idx tap = 0; w->weights && tap < w->taps; tap++)
            t.weights[tap * width + o] = (REAL)w->weights[tap * w->out + real];
    }
    return t;
}

/* `vectors` of them from the weighted sum over the band of output row o; `some`: the last reaches beyond the row. */
static inline __attribute__((always_inline)) void NAME(resample_columns)(const band *h, const REAL *x, idx width, idx o, idx i,
                                                                         int vectors, int some, const REAL *limit, REAL *row)
{
    const idx taps = h->count[o], block = accumulation_block(taps);
    const double *weights = h->weights ? h->weights + o : NULL;
    vec total[4] = {{0}};
    for (idx t0 = 0; t0 < taps; t0 += block) {
        vec sum[4] = {{0}};
        for (idx t = t0; t < min_idx(taps, t0 + block); t++) {
            const REAL *from = x + t * width + i, weight = weights ? (REAL)weights[t * h->out] : 1;
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[v] += weight * (some ? NAME(load_some)(from, width - i, limit) : NAME(load)(from + v * LANES));
        }
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            total[v] += sum[v];
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        NAME(store)(row + i + v * LANES, total[v]);
}

/* row[i] = the weighted sum over the band of output row o. */
static void NAME(resample_vertical)(const band *h, const REAL *x, idx width, idx o, const REAL *limit, REAL *row)
{
    idx i = 0;
    x += h->first[o] * width;
    for (; i + 4 * LANES <= width; i += 4 * LANES)
        NAME(resample_columns)(h, x, width, o, i, 4, 0, limit, row);
    for (; i + LANES <= width; i += LANES)
        NAME(resample_columns)(h, x, width, o, i, 1, 0, limit, row);
    if (i < width)
        NAME(resample_columns)(h, x, width, o, i, 1, 1, limit, row);
}

/* The sum of output o's run. */
static REAL NAME(resample_one)(const band *w, const REAL *row, idx o)
{
    const idx taps = w->count[o], block = accumulation_block(taps);
    const double *weights = w->weights ? w->weights + o : NULL;
    REAL total = 0;
    row += w->first[o];
    if (!weights && taps >= LANES)
        return NAME(sum)(NAME(reduce)(row, 0, NULL, 0, taps, row + taps, NULL));
    for (idx t0 = 0; t0 < taps; t0 += block) {
        REAL sum = 0;
        for (idx t = t0; t < min_idx(taps, t0 + block); t++)
            sum += weights ? row[t] * (REAL)weights[t * w->out] : row[t];
        total += sum;
    }
    return total;
}

/* LANES outputs; weighted and uniform are constants. */
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
                                                                            REAL height, int divided, REAL *y, int weighted)
{
    for (idx b = 0; b < t->blocks; b++) {
        const idx o = b * LANES, count = min_idx(LANES, t->w->out - o);
        vec sum = {0};
        if (t->way[b] == UNIFORM)
            sum = NAME(resample_block)(t, row, b, weighted, 1);
        else if (t->way[b] == SHUFFLED)
            sum = NAME(resample_block)(t, row, b, weighted, 0);
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

/* One mean of each plane: the plane is one run. */
static void NAME(resample_whole)(const resample *r, idx begin, idx end)
{
    const idx plane = r->h.size * r->w.size;
    const REAL divisor = (REAL)(r->h.divisor ? r->h.divisor[0] : 1) * (REAL)(r->w.divisor ? r->w.divisor[0] : 1);
    const REAL *x = r->x, *limit = x + r->planes * plane;
    for (idx i = begin; i < end; i++)
        ((REAL *)r->y)[i] = NAME(sum)(NAME(reduce)(x + i * plane, 0, NULL, 0, plane, limit, NULL)) / divisor;
}

static void NAME(resample_run)(const void *call, idx begin, idx end, char *scratch)
{
    const resample *r = call;
    const NAME(run_table) t = NAME(run_table_of)(r, scratch);
    const REAL *const limit = (const REAL *)r->x + r->planes * r->h.size * r->w.size;
    const int divided = r->h.divisor || r->w.divisor, unweighted = !r->h.weights && !r->w.weights;
    if (unweighted && r->h.out == 1 && r->w.out == 1 && r->h.count[0] == r->h.size && r->w.count[0] == r->w.size) {
        NAME(resample_whole)(r, begin, end);
        return;
    }
    idx plane = begin / r->h.out, o = begin % r->h.out;
    for (idx unit = begin; unit < end; unit++) {
        const REAL *x = (const REAL *)r->x + plane * r->h.size * r->w.size;
        const REAL height = r->h.divisor ? (REAL)r->h.divisor[o] : 1;
        REAL *y = (REAL *)r->y + unit * r->w.out;
        NAME(resample_vertical)(&r->h, x, r->w.size, o, limit, t.row);
        if (r->w.weights)
            NAME(resample_horizontal)(&t, t.row, height, divided, y, 1);
        else
            NAME(resample_horizontal)(&t, t.row, height, divided, y, 0);
        if (++o == r->h.out) {
            o = 0;
            plane++;
        }
    }
}
