/* fft -- complex transforms of a power of two elements, in place, lanes over as many of them side by side.
 *
 * x[length][re, im][LANES]. Forward is decimation in frequency and leaves the frequencies in an order of its own; backward is
 * decimation in time, begins with that order and does not divide. Two radices: 4, and at the end a 2 where it does not go out even.
 */
#define FFT_STEP (2 * LANES) /* from one element to the next */

/* Turns of all stages but the last, from the longest on: w^j, w^2j, w^3j for j < size / 4, w = exp(-2 pi i / size).
 * `roots` holds 2 * length numbers meanwhile: products of the few whose exponents are powers of two, each the root of the one before. */
static void NAME(fft_turns)(REAL *w, idx length, WIDE *roots)
{
    WIDE re = -1, im = 0;
    roots[0] = 1;
    roots[1] = 0;
    for (idx half = length / 2; half > 0; half /= 2) {
        for (idx k = 0; k < length; k += 2 * half) {
            roots[2 * (half + k)] = roots[2 * k] * re - roots[2 * k + 1] * im;
            roots[2 * (half + k) + 1] = roots[2 * k] * im + roots[2 * k + 1] * re;
        }
        const WIDE cosine = WIDE_SQRT((1 + re) / 2);
        im = im < 0 ? im / (2 * cosine) : -1;
        re = cosine;
    }
    for (idx size = length; size > 4; size /= 4)
        for (idx j = 0; j < size / 4; j++)
            for (idx q = 1; q < 4; q++, w += 2) {
                w[0] = (REAL)roots[2 * q * j * (length / size)];
                w[1] = (REAL)roots[2 * q * j * (length / size) + 1];
            }
}

/* Four elements each, a quarter of `size` apart; `turned`: with the turns of the stage. */
__attribute__((always_inline)) static inline void NAME(fft_quads)(const int backward, const int turned, REAL *x, idx length,
                                                                  idx size, const REAL *w)
{
    const idx quarter = size / 4 * FFT_STEP;
    const REAL *const end = x + length * FFT_STEP;
    for (idx j = 0; j < size / 4; j++, w += 6)
        for (REAL *p = x + j * FFT_STEP; p < end; p += 4 * quarter) {
            vec re[4], im[4];
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                const vec a = NAME(load)(p + q * quarter), b = NAME(load)(p + q * quarter + LANES);
                const int turn = backward && turned && q > 0;
                re[q] = turn ? a * w[2 * q - 2] + b * w[2 * q - 1] : a;
                im[q] = turn ? b * w[2 * q - 2] - a * w[2 * q - 1] : b;
            }
            const vec sr = re[0] + re[2], si = im[0] + im[2], dr = re[0] - re[2], di = im[0] - im[2];
            const vec er = re[1] + re[3], ei = im[1] + im[3], fr = re[1] - re[3], fi = im[1] - im[3];
            re[0] = sr + er;
            im[0] = si + ei;
            re[1] = backward ? dr - fi : dr + fi;
            im[1] = backward ? di + fr : di - fr;
            re[2] = sr - er;
            im[2] = si - ei;
            re[3] = backward ? dr + fi : dr - fi;
            im[3] = backward ? di - fr : di + fr;
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                const vec a = re[q], b = im[q];
                const int turn = !backward && turned && q > 0;
                NAME(store)(p + q * quarter, turn ? a * w[2 * q - 2] - b * w[2 * q - 1] : a);
                NAME(store)(p + q * quarter + LANES, turn ? b * w[2 * q - 2] + a * w[2 * q - 1] : b);
            }
        }
}

/* Neighbours. */
static void NAME(fft_pairs)(REAL *x, idx length)
{
    for (REAL *p = x; p < x + length * FFT_STEP; p += 2 * FFT_STEP)
#pragma GCC unroll 2
        for (int part = 0; part < FFT_STEP; part += LANES) {
            const vec a = NAME(load)(p + part), b = NAME(load)(p + FFT_STEP + part);
            NAME(store)(p + part, a + b);
            NAME(store)(p + FFT_STEP + part, a - b);
        }
}

static void NAME(fft_forward)(REAL *x, idx length, const REAL *w)
{
    idx size = length;
    for (; size > 4; size /= 4) {
        NAME(fft_quads)(0, 1, x, length, size, w);
        w += size / 4 * 6;
    }
    if (size == 4)
        NAME(fft_quads)(0, 0, x, length, 4, w);
    else
        NAME(fft_pairs)(x, length);
}

static void NAME(fft_backward)(REAL *x, idx length, const REAL *w)
{
    idx size = length;
    for (; size > 4; size /= 4)
        w += size / 4 * 6;
    if (size == 4)
        NAME(fft_quads)(1, 0, x, length, 4, w);
    else
        NAME(fft_pairs)(x, length);
    while (size < length) {
        size *= 4;
        w -= size / 4 * 6;
        NAME(fft_quads)(1, 1, x, length, size, w);
    }
}
