/* fft_noise -- what a task of fft_conv_tpl.h keeps, and how it measures the noise that its transforms spread over a pair of tiles.
 */

/* The noise that spreads over a pair, in u: NOISE_WALK |x|_2 |w|_2 / sqrt(points) as a random walk leaves it, NOISE_LEVEL for each level of
 * the transform of the root of the mean square of all products, NOISE_SUM |x|_1 |w|_1 / points and NOISE_PEAK max |x| max |w|. Measured on
 * noise, constants, spikes, edges, steps and waves, 32 to 65,536 points: a sum of these by less than a tenth too small at the worst, and
 * what was held to be within the room erred by 9.4 u S. One u S is left for the rounding of the results. */
#define NOISE_WALK ((REAL)16)
#define NOISE_LEVEL ((REAL)0.625)
#define NOISE_SUM ((REAL)0.5)
#define NOISE_PEAK ((REAL)4)
#define NOISE_ROOM ((REAL)15)

typedef struct {
    const conv_plan *plan;
    const lattice *lat;
    NAME(source) src;
    NAME(weights) weights;
    fft_shape s;
    const REAL *bias; /* of the group */
    int relu;
    REAL *dst;        /* likewise, of image 0 */
    idx m0, m1;       /* rows of the result */
    REAL *bundles, *spectra, *strip, *bank, *shares, *norms, *sums, *noise, *power, *turns_h, *turns_w, *line;
} NAME(fft_conv);

/* Where tap `t` of the kernel from channel c to row m is, in the order of the source. */
static inline const REAL *NAME(fft_tap)(const NAME(fft_conv) *f, idx m, idx c, idx t)
{
    const int reversed = f->lat->h.delta < 0 || f->lat->w.delta < 0;
    return f->weights.first + m * f->weights.row + c * f->weights.channel + (reversed ? f->weights.taps - 1 - t : t);
}

/* Adds to what is known of a pair's source: sums of |x| and of its squares, the largest; and for each row of the result the mean of S
 * over some results of either bundle (fft_share). */
static void NAME(fft_measure)(const NAME(fft_conv) *f, idx c, idx strip, const REAL *x, idx length, vec *size)
{
    for (const REAL *p = x; p < x + length * FFT_STEP; p += LANES) {
        const vec a = NAME(size)(NAME(load)(p));
        size[0] += a;
        size[1] += a * a;
        size[2] = NAME(larger)(a, size[2]);
    }
    for (idx m = f->m0; m < f->m1; m++) {
        const REAL *share = f->shares + (m * f->lat->source_channels + c) * f->s.share + strip * length * LANES;
        REAL *const sums = f->sums + 2 * m * LANES;
        vec re = NAME(load)(sums), im = NAME(load)(sums + LANES);
        for (idx i = 0; i < length; i++) {
            re += NAME(load)(share + i * LANES) * NAME(size)(NAME(load)(x + i * FFT_STEP));
            im += NAME(load)(share + i * LANES) * NAME(size)(NAME(load)(x + i * FFT_STEP + LANES));
        }
        NAME(store)(sums, re);
        NAME(store)(sums + LANES, im);
    }
}

/* The noise that channel c brings, for each row of the result; of a plane in lane 0. */
static void NAME(fft_add_noise)(const NAME(fft_conv) *f, idx c, vec *size)
{
    const fft_shape *s = &f->s;
    const REAL points = (REAL)(s->plane ? s->rows * s->w.length : s->w.length);
    if (s->plane)
        for (int lane = 1; lane < LANES; lane++) {
            size[0][0] += size[0][lane];
            size[1][0] += size[1][lane];
            size[2][0] = size[2][lane] > size[2][0] ? size[2][lane] : size[2][0];
        }
    for (int lane = 0; lane < (s->plane ? 1 : LANES); lane++) {
        /* a square too small to be one is lost: either bounds the norm */
        const REAL lossy = SQRT(size[1][lane] / points + TINY), safe = SQRT(size[0][lane] / points) * SQRT(size[2][lane]);
        const REAL root = lossy < safe ? lossy : safe;
        for (idx m = f->m0; m < f->m1; m++) {
            const REAL *const norms = f->norms + 3 * (m * f->lat->source_channels + c);
            f->noise[m * LANES + lane] += NOISE_SUM * (size[0][lane] / points) * norms[0] + NOISE_WALK * root * norms[1] +
                                          NOISE_PEAK * size[2][lane] * norms[2];
        }
    }
}

/* How much each element counts in the mean of S over the results whose windows lie side by side. */
static void NAME(fft_share)(const NAME(fft_conv) *f, idx m, idx c, REAL *share)
{
    const fft_axis *h = &f->s.h, *w = &f->s.w;
    const idx apart_h = round_up(h->taps, h->stride), apart_w = round_up(w->taps, w->stride);
    const idx windows_h = ceil_div(h->least * h->stride, apart_h), windows_w = ceil_div(w->least * w->stride, apart_w);
    const REAL part = 1 / ((REAL)windows_h * (REAL)windows_w);
    NAME(zero_run)(share, f->s.share);
    for (idx i = 0; i < h->taps; i++) {
        NAME(zero_run)(f->line, w->length);
        for (idx t = 0; t < w->taps; t++)
            for (idx column = t; column < t + windows_w * apart_w; column += apart_w)
                f->line[column] = (REAL)__builtin_fabs(*NAME(fft_tap)(f, m, c, i * w->taps + t)) * part;
        if (!f->s.plane)
            for (idx column = 0; column < w->length; column++)
                NAME(store)(share + column * LANES, (vec){0} + f->line[column]);
        for (idx row = i; f->s.plane && row < i + windows_h * apart_h; row += apart_h)
            for (idx v = 0; v < f->s.strips_w; v++)
                NAME(store)(share + (v * f->s.rows + row) * LANES, NAME(load)(f->line + v * LANES));
    }
}

/* Whether the noise surely keeps row m of the result within the bound, `largest` being its largest results: of a plane, in lane 0; else by row. */
static int NAME(fft_trusted)(const NAME(fft_conv) *f, idx m, const REAL *largest)
{
    const fft_shape *s = &f->s;
    const REAL levels = (REAL)__builtin_log2((double)(s->plane ? s->rows * s->w.length : s->w.length));
    REAL *const re = f->sums + 2 * m * LANES, *const im = re + LANES, *const power = f->power;
    if (s->plane) {
        re[0] = NAME(sum)(NAME(load)(re));
        im[0] = NAME(sum)(NAME(load)(im));
        power[0] = NAME(sum)(NAME(load)(power));
    }
    int trusted = 1;
    for (int lane = 0; lane < (s->plane ? 1 : LANES); lane++) {
        const REAL mean = re[lane] > im[lane] ? re[lane] : im[lane], size = mean > largest[lane] ? mean : largest[lane];
        const REAL noise = f->noise[m * LANES + lane]; /* of zeros none; else squares may be lost */
        const REAL products = SQRT((REAL)f->lat->source_channels * power[lane] + (noise > 0 ? TINY : 0));
        trusted &= noise + NOISE_LEVEL * levels * products <= NOISE_ROOM * size;
    }
    return trusted;
}
