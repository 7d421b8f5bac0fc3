/* fft_conv -- large kernels on few channels by overlap-save: two tiles of the source are transformed at once, as the real and the
 * imaginary part of one; the kernels are real, so their results come out as such.
 *
 * A pair lies in strips along w, [strip][row][re, im][lane]: a transform along h has its lanes over columns. Turned round block by block
 * it is [strip along h][column][re, im][lane], where the transform along w is the same loop. A kernel of one row needs none along h: a
 * bundle of LANES tiles of one row takes the place of a tile of rows.
 *
 * A transform spreads its rounding, and a NaN, over the whole pair. So every pair is held to 16 u S, S the largest of its results, and
 * one that might leave it, or is not finite, is computed again by the definition.
 */

/* Where a pair has its tiles: that of each half, or of each row of either; used and count are 0 where there is none. */
typedef struct {
    fft_place h, w;
} NAME(fft_tile);

static void NAME(fft_places)(const fft_shape *s, idx unit, NAME(fft_tile) *tiles)
{
    const idx each = s->plane ? 1 : s->rows;
    for (idx i = 0; i < 2 * each; i++) {
        const idx tile = 2 * unit * each + i;
        tiles[i] = (NAME(fft_tile)){{0}};
        if (tile < s->tiles)
            tiles[i] = (NAME(fft_tile)){fft_tile(&s->h, tile / s->w.number), fft_tile(&s->w, tile % s->w.number)};
        if (tiles[i].h.count == 0 || tiles[i].w.count == 0)
            tiles[i].h.used = tiles[i].h.count = 0;
    }
}

static inline const NAME(fft_tile) *NAME(fft_at)(const fft_shape *s, const NAME(fft_tile) *tiles, idx half, idx row)
{
    return tiles + (s->plane ? half : half * s->rows + row);
}

/* ---- into a pair and out of it ---- */

/* A row of a tile's source, zeros behind what its windows cover. */
static void NAME(fft_line)(const NAME(fft_conv) *f, const REAL *plane, idx row, const fft_place *w)
{
    const idx size = f->lat->w.size, step = f->s.w.step, at = pad_index(f->src.mode, row, f->lat->h.size);
    const REAL *const from = at < 0 ? NULL : plane + at * size;
    const NAME(inside) inside = NAME(run_inside)(w->source, step, size, w->used);
    if (step == 1)
        NAME(pack_row)(1, f->line, from, inside, 1, w->used, size, f->src.plane, &f->src);
    else
        NAME(pack_row)(0, f->line, from, inside, step, w->used, size, 0, &f->src);
    NAME(zero_run)(f->line + w->used, f->s.w.length - w->used + LANES);
}

/* The line to row `row` of bundle `half` of the pair. */
static inline void NAME(fft_put)(const NAME(fft_conv) *f, idx half, idx row)
{
    REAL *to = f->bundles + row * FFT_STEP + half * LANES;
    for (idx v = 0; v < f->s.strips_w; v++, to += f->s.next_w)
        NAME(store)(to, NAME(load)(f->line + v * LANES));
}

static void NAME(fft_fetch)(const NAME(fft_conv) *f, const NAME(fft_tile) *tiles, const REAL *plane)
{
    const fft_shape *s = &f->s;
    for (idx row = 0; row < s->rows; row++)
        for (idx half = 0; half < 2; half++) {
            const NAME(fft_tile) *const at = NAME(fft_at)(s, tiles, half, row);
            const idx element = s->plane ? row : 0;
            if (element < at->h.used)
                NAME(fft_line)(f, plane, at->h.source + element * s->h.step, &at->w);
            else
                NAME(zero_run)(f->line, s->w.length);
            NAME(fft_put)(f, half, row);
        }
}

/* ---- transforms ---- */

/* The pair, whose strips are zero from `filled` on, to its spectrum; measured as channel c. */
__attribute__((always_inline)) static inline void NAME(fft_analyse)(const int measured, const NAME(fft_conv) *f, idx c, idx filled,
                                                                    REAL *spectrum)
{
    const fft_shape *s = &f->s;
    vec size[3] = {{0}};
    for (idx v = 0; v < (s->plane ? filled : 0); v++) {
        REAL *const strip = f->bundles + v * s->next_w;
        if (measured)
            NAME(fft_measure)(f, c, v, strip, s->rows, size);
        NAME(fft_forward)(strip, s->rows, f->turns_h);
    }
    for (idx u = 0; u < s->strips_h; u++, spectrum += s->next_h) {
        for (idx v = 0; v < s->strips_w; v++)
            for (int part = 0; part < FFT_STEP; part += LANES)
                NAME(transpose)(spectrum + v * LANES * FFT_STEP + part, FFT_STEP,
                                f->bundles + v * s->next_w + u * LANES * FFT_STEP + part, FFT_STEP);
        if (measured && !s->plane)
            NAME(fft_measure)(f, c, 0, spectrum, s->w.length, size);
        NAME(fft_forward)(spectrum, s->w.length, f->turns_w);
    }
    if (measured)
        NAME(fft_add_noise)(f, c, size);
}

/* out += or = spectrum * kernel, over a strip; the sum of the products' squares. */
static vec NAME(fft_multiply)(REAL *out, const REAL *spectrum, const REAL *kernel, idx count, int first)
{
    vec power = {0};
    for (idx i = 0; i < count; i += FFT_STEP) {
        const vec ar = NAME(load)(spectrum + i), ai = NAME(load)(spectrum + i + LANES);
        const vec br = NAME(load)(kernel + i), bi = NAME(load)(kernel + i + LANES);
        const vec re = ar * br - ai * bi, im = ar * bi + ai * br;
        power += re * re + im * im;
        NAME(store)(out + i, first ? re : NAME(load)(out + i) + re);
        NAME(store)(out + i + LANES, first ? im : NAME(load)(out + i + LANES) + im);
    }
    return power;
}

/* Row m of the result, in place of the source; strips from `wanted` on are left. */
static void NAME(fft_synthesise)(const NAME(fft_conv) *f, idx m, idx wanted)
{
    const fft_shape *s = &f->s;
    const idx channels = f->lat->source_channels;
    vec power = {0};
    for (idx u = 0; u < s->strips_h; u++) {
        for (idx c = 0; c < channels; c++)
            power += NAME(fft_multiply)(f->strip, f->spectra + c * s->spectrum + u * s->next_h,
                                        f->bank + (m * channels + c) * s->spectrum + u * s->next_h, s->w.length * FFT_STEP, c == 0);
        NAME(fft_backward)(f->strip, s->w.length, f->turns_w);
        for (idx v = 0; v < wanted; v++)
            for (int part = 0; part < FFT_STEP; part += LANES)
                NAME(transpose)(f->bundles + v * s->next_w + u * LANES * FFT_STEP + part, FFT_STEP,
                                f->strip + v * LANES * FFT_STEP + part, FFT_STEP);
    }
    NAME(store)(f->power, power);
    for (idx v = 0; v < (s->plane ? wanted : 0); v++)
        NAME(fft_backward)(f->bundles + v * s->next_w, s->rows, f->turns_h);
}

/* ---- kernels ---- */

/* Spectrum, norms and shares of the kernel from channel c to row m. */
static void NAME(fft_kernel)(const NAME(fft_conv) *f, idx m, idx c)
{
    const fft_shape *s = &f->s;
    const idx at = m * f->lat->source_channels + c, taps = s->w.taps;
    const REAL scale = 1 / (REAL)(s->plane ? s->rows * s->w.length : s->w.length);
    REAL *const norms = f->norms + 3 * at, *const spectrum = f->bank + at * s->spectrum, squares = 0;
    norms[0] = norms[2] = 0;
    for (idx t = 0; t < f->weights.taps; t++) {
        const REAL size = (REAL)__builtin_fabs(*NAME(fft_tap)(f, m, c, t));
        norms[0] += size;
        squares += size * size;
        norms[2] = size > norms[2] ? size : norms[2];
    }
    norms[1] = SQRT(squares + (REAL)f->weights.taps * TINY);
    NAME(fft_share)(f, m, c, f->shares + at * s->share);
    NAME(zero_run)(f->bundles, s->bundle);
    for (idx row = 0; row < (s->plane ? s->h.taps : s->rows); row++) {
        NAME(zero_run)(f->line, s->w.length);
        for (idx t = 0; t < taps; t++)
            f->line[t] = *NAME(fft_tap)(f, m, c, (s->plane ? row * taps : 0) + t);
        NAME(fft_put)(f, 0, row);
    }
    NAME(fft_analyse)(0, f, c, ceil_div(taps, LANES), spectrum);
    for (REAL *p = spectrum; p < spectrum + s->spectrum; p += FFT_STEP) { /* conjugate: correlations are asked for */
        NAME(store)(p, NAME(load)(p) * scale);
        NAME(store)(p + LANES, NAME(load)(p + LANES) * -scale);
    }
}

/* ---- results ---- */

static inline REAL NAME(most)(vec v, REAL most)
{
    for (int lane = 0; lane < LANES; lane++)
        most = v[lane] > most ? v[lane] : most;
    return most;
}

/* The line, of `count` results, to the result's row. */
static inline void NAME(fft_write)(const NAME(fft_conv) *f, REAL *dst, idx count, idx stride)
{
    const idx apart = f->s.w.apart;
    if (apart == 1 && stride == 1)
        NAME(copy)(dst, f->line, count);
    else
        for (idx q = 0; q < count; q++)
            dst[q * apart] = f->line[q * stride];
}

/* Row m of the result from a pair; whether the noise surely is in its bounds. */
static int NAME(fft_results)(const NAME(fft_conv) *f, const NAME(fft_tile) *tiles, idx m, REAL *plane)
{
    const fft_shape *s = &f->s;
    const REAL bias = f->bias ? f->bias[m] : 0;
    REAL largest[LANES] = {0}; /* of a plane, in lane 0; else by row of a bundle */
    vec bad = {0}, peak = {0};
    for (idx row = 0; row < (s->plane ? s->h.chunk : s->rows); row++)
        for (idx half = 0; half < 2; half++) {
            const NAME(fft_tile) *const at = NAME(fft_at)(s, tiles, half, row);
            if ((s->plane ? row : 0) >= at->h.count)
                continue;
            const REAL *from = f->bundles + (s->plane ? row * s->h.stride : row) * FFT_STEP + half * LANES;
            const idx width = (at->w.count - 1) * s->w.stride + 1;
            for (idx i = 0; i < width; i += LANES, from += s->next_w) {
                vec y = NAME(load)(from) + bias;
                if (i + LANES > width)
                    y = (vec)((mask)y & (NAME(iota)() < (mask){0} + (WORD)(width - i)));
                peak = NAME(larger)(NAME(size)(y), peak);
                bad += y - y;
                NAME(store)(f->line + i, f->relu ? NAME(relu)(y) : y);
            }
            if (!s->plane) {
                largest[row] = NAME(most)(peak, largest[row]);
                peak = (vec){0};
            }
            NAME(fft_write)(f, plane + (at->h.result + (s->plane ? row * s->h.apart : 0)) * f->lat->w.grid + at->w.result,
                            at->w.count, s->w.stride);
        }
    if (s->plane)
        largest[0] = NAME(most)(peak, 0);
    return NAME(sum)(bad) == 0 && NAME(fft_trusted)(f, m, largest);
}

/* V vectors of sums += the products of `taps` taps, `next` apart, with a line, in blocks. */
__attribute__((always_inline)) static inline void NAME(fft_add_tile)(const int V, REAL *sums, const REAL *line, const REAL *tap,
                                                                     idx next, idx taps, idx block)
{
    for (idx first = 0; first < taps; first += block) {
        vec part[4] = {{0}};
        for (idx t = first; t < min_idx(first + block, taps); t++)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++)
                part[v] += tap[t * next] * NAME(load)(line + t + v * LANES);
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            NAME(store)(sums + v * LANES, NAME(load)(sums + v * LANES) + part[v]);
    }
}

/* sums[q] += the products of row i of a kernel with the line. */
static void NAME(fft_add_row)(const NAME(fft_conv) *f, REAL *sums, idx m, idx c, idx i, idx count)
{
    const idx taps = f->s.w.taps, stride = f->s.w.stride, block = accumulation_block(taps);
    const REAL *const tap = NAME(fft_tap)(f, m, c, i * taps);
    const idx next = taps > 1 ? NAME(fft_tap)(f, m, c, i * taps + 1) - tap : 1;
    if (stride == 1) {
        idx q = 0;
        for (; q + 2 * LANES < count; q += 4 * LANES)
            NAME(fft_add_tile)(4, sums + q, f->line + q, tap, next, taps, block);
        for (; q < count; q += LANES)
            NAME(fft_add_tile)(1, sums + q, f->line + q, tap, next, taps, block);
        return;
    }
    for (idx q = 0; q < count; q++)
        for (idx first = 0; first < taps; first += block) {
            REAL part = 0;
            for (idx t = first; t < min_idx(first + block, taps); t++)
                part += tap[t * next] * f->line[q * stride + t];
            sums[q] += part;
        }
}

/* The same by the definition. */
static void NAME(fft_again)(const NAME(fft_conv) *f, const NAME(fft_tile) *tiles, idx m, const REAL *source, REAL *plane)
{
    const fft_shape *s = &f->s;
    REAL *const sums = f->bundles;
    for (idx row = 0; row < (s->plane ? s->h.chunk : s->rows); row++)
        for (idx half = 0; half < 2; half++) {
            const NAME(fft_tile) *const at = NAME(fft_at)(s, tiles, half, row);
            const idx element = s->plane ? row * s->h.stride : 0, count = at->w.count;
            if ((s->plane ? row : 0) >= at->h.count)
                continue;
            NAME(zero_run)(sums, s->w.length + LANES);
            for (idx c = 0; c < f->lat->source_channels; c++)
                for (idx i = 0; i < s->h.taps; i++) {
                    NAME(fft_line)(f, source + c * f->src.plane, at->h.source + (element + i) * s->h.step, &at->w);
                    NAME(fft_add_row)(f, sums, m, c, i, count);
                }
            for (idx q = 0; q < count; q += LANES) {
                const vec y = NAME(load)(sums + q) + (f->bias ? f->bias[m] : 0);
                NAME(store)(f->line + q, f->relu ? NAME(relu)(y) : y);
            }
            NAME(fft_write)(f, plane + (at->h.result + (s->plane ? row * s->h.apart : 0)) * f->lat->w.grid + at->w.result, count, 1);
        }
}

/* ---- the task ---- */

static void NAME(fft_unit)(const NAME(fft_conv) *f, idx n, idx unit)
{
    const fft_shape *s = &f->s;
    const idx channels = f->lat->source_channels, rows = f->lat->result_channels, plane = f->lat->h.grid * f->lat->w.grid;
    const REAL *const source = f->src.first + n * f->src.image;
    REAL *const dst = f->dst + n * f->plan->p.groups * rows * plane;
    NAME(fft_tile) tiles[2 * LANES];
    NAME(fft_places)(s, unit, tiles);
    NAME(zero_run)(f->sums, 3 * rows * LANES);
    for (idx c = 0; c < channels; c++) {
        NAME(fft_fetch)(f, tiles, source + c * f->src.plane);
        NAME(fft_analyse)(1, f, c, s->strips_w, f->spectra + c * s->spectrum);
    }
    const idx wanted = ceil_div((s->w.chunk - 1) * s->w.stride + 1, LANES);
    for (idx m = f->m0; m < f->m1; m++) {
        NAME(fft_synthesise)(f, m, wanted);
        if (!NAME(fft_results)(f, tiles, m, dst + m * plane))
            NAME(fft_again)(f, tiles, m, source, dst + m * plane);
    }
}

static void NAME(fft_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const fft_shape s = fft_shape_of(plan);
    const idx groups = t.lat.result_channels, channels = t.lat.source_channels;
    const idx runs = ceil_div(s.units, plan->chunk_h), n0 = t.chunk / runs * plan->chunk_n;
    const idx u0 = t.chunk % runs * plan->chunk_h, u1 = min_idx(u0 + plan->chunk_h, s.units);
    REAL *const scratch = (REAL *)(call->scratch + worker * plan->task_bytes);
    NAME(fft_conv) f = {.plan = plan, .lat = &t.lat, .src = NAME(task_source)(call, &t), .s = s,
                        .weights = NAME(group_weights)(&plan->p, &t.lat, call->weights, t.group),
                        .bias = call->bias ? (const REAL *)call->bias + t.group * groups : NULL,
                        .relu = plan->p.pass == CONV_FWD && plan->p.activation == CONV_RELU,
                        .dst = (REAL *)call->dst + t.group * groups * t.lat.h.grid * t.lat.w.grid, .m0 = t.m0, .m1 = t.m1,
                        .bundles = scratch, .spectra = scratch + s.at_spectra, .strip = scratch + s.at_strip,
                        .bank = scratch + s.at_bank, .shares = scratch + s.at_shares, .norms = scratch + s.at_norms,
                        .sums = scratch + s.at_sums, .noise = scratch + s.at_sums + 2 * groups * LANES, .power = scratch + s.at_power,
                        .turns_h = scratch + s.at_turns, .turns_w = scratch + s.at_turns + 2 * s.h.length,
                        .line = scratch + s.at_line};
    if (t.m0 >= t.m1 || t.lat.h.grid * t.lat.w.grid == 0)
        return;
    if (s.plane)
        NAME(fft_turns)(f.turns_h, s.h.length, (WIDE *)f.bundles);
    NAME(fft_turns)(f.turns_w, s.w.length, (WIDE *)f.bundles);
    for (idx m = t.m0; m < t.m1; m++)
        for (idx c = 0; c < channels; c++)
            NAME(fft_kernel)(&f, m, c);
    for (idx n = n0; n < min_idx(n0 + plan->chunk_n, plan->p.n); n++)
        for (idx unit = u0; unit < u1; unit++)
            NAME(fft_unit)(&f, n, unit);
}
