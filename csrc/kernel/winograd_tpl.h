/* winograd -- convolution of stride 1 by short transforms: fewer multiplications than the definition has.
 *
 *   y = A' [ sum_k (G w_k G') * (B' x_k B) ] A        for tiles of tile_h x tile_w outputs
 *
 * F(4, 3) has the points 0, 1, -1, 1/2, -2 and infinity, F(2, 3) has 0, 1, -1 and infinity; every constant of B and A is
 * dyadic. An axis without taps keeps its form (tile 1). A kernel longer than three is cut into groups of three taps, which
 * are more terms of the sum: k runs over (group, channel).
 *
 * A task transforms the source of some tiles (run on over rows and images) into v[strip][f][k][column], a strip being as
 * many tiles as the microkernel has columns, or one vector where no more are left; blocks of rows of the weights into u[f][row][k]; then, strip by strip,
 * multiplies, f by f, and transforms back. Lanes are tiles of one row, so the source is read as it lies and
 * de-interleaved in registers.
 *
 * A NaN or Inf would spread over its tile, as would an overflow in a transform: a tile that comes out with either is
 * computed again by the definition.
 */
#define WINOGRAD_MOST 6

typedef struct {
    const conv_plan *plan;
    const lattice *lat;
    NAME(source) src;
    winograd_shape shape;
    winograd_scratch lay;
    idx low_h, low_w;          /* source position of the first tap of point 0 */
    idx j0, j1;                /* tiles */
    REAL *v, *m, *rows, *gathered, *zeros, *pixels, *suspect, *panel, *again;
} NAME(winograd);

/* Row m, channel c, tap t of the weights, whatever the pass: first[m * row + c * channel + t]. */
typedef struct {
    const REAL *first, *end; /* of the group; one past the array */
    idx row, channel, channels, taps;
} NAME(weights);

/* Vectors of the strip that begins with tile j. */
static inline int NAME(winograd_vectors)(const NAME(winograd) *w, idx j)
{
    return w->j1 - j <= LANES ? 1 : w->plan->nv;
}

/* ---- the transforms, in one dimension: `a` points ---- */

__attribute__((always_inline)) static inline void NAME(winograd_in)(const int a, const vec *d, vec *t)
{
    if (a == 1) {
        t[0] = d[0];
    } else if (a == 4) {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[3] - d[1];
    } else {
        const vec even = d[4] - d[2], odd = d[3] - d[1];
        t[0] = (d[0] - d[2]) + even + 1.5f * odd;
        t[1] = even + odd + 1.5f * (d[3] + d[2]);
        t[2] = even - odd + 1.5f * (d[3] - d[2]);
        t[3] = even + 2 * odd;
        t[4] = even - 0.5f * odd;
        t[5] = (d[5] - d[3]) - odd + 1.5f * even;
    }
}

__attribute__((always_inline)) static inline void NAME(winograd_out)(const int a, const vec *m, vec *y)
{
    if (a == 1) {
        y[0] = m[0];
    } else if (a == 4) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] + m[3];
    } else {
        const vec even = m[1] + m[2], odd = m[1] - m[2];
        y[0] = m[0] + even + (m[3] + m[4]);
        y[1] = odd + 0.5f * m[3] - 2 * m[4];
        y[2] = even + 0.25f * m[3] + 4 * m[4];
        y[3] = odd + 0.125f * m[3] - 8 * m[4] + m[5];
    }
}

/* Without the factors that are not dyadic, which winograd_factor has. */
__attribute__((always_inline)) static inline void NAME(winograd_taps)(const int a, const vec *g, vec *u)
{
    if (a == 1) {
        u[0] = g[0];
        return;
    }
    const vec ends = g[0] + g[2];
    u[0] = g[0];
    u[1] = ends + g[1];
    u[2] = ends - g[1];
    u[a - 1] = g[2];
    if (a == 6) {
        u[3] = g[0] + 0.5f * g[1] + 0.25f * g[2];
        u[4] = g[0] - 2 * g[1] + 4 * g[2];
    }
}

__attribute__((always_inline)) static inline double NAME(winograd_factor)(const int a, int i)
{
    static const double four[] = {1, 0.5, 0.5, 1}, six[] = {1, 1 / 3., -1 / 3., -16 / 15., 1 / 15., 1};
    return a == 1 ? 1 : a == 4 ? four[i] : six[i];
}

/* ---- source: x to v ---- */

/* d[j][lane] = p[lane * (a - 2) + j]: the points of LANES tiles side by side. Whole vectors are loaded, as winograd_down
 * stored them, and the points that two tiles share are moved over by a lane. */
__attribute__((always_inline)) static inline void NAME(winograd_points)(const int a, const REAL *p, vec *d)
{
    const mask even = 2 * NAME(iota)(), odd = even + 1;
    const mask next = NAME(iota)() + 1, after = next - (NAME(iota)() == LANES - 1);
    const vec first = NAME(load)(p);
    if (a == 1) {
        d[0] = first;
    } else if (a == 4) {
        const vec second = NAME(load)(p + LANES), last = NAME(load)(p + 2 * LANES);
        d[0] = __builtin_shuffle(first, second, even);
        d[1] = __builtin_shuffle(first, second, odd);
        d[2] = __builtin_shuffle(d[0], last, next);
        d[3] = __builtin_shuffle(d[1], last, after);
    } else {
        const vec second = NAME(load)(p + LANES), third = NAME(load)(p + 2 * LANES);
        const vec fourth = NAME(load)(p + 3 * LANES), last = NAME(load)(p + 4 * LANES);
        const vec low0 = __builtin_shuffle(first, second, even), low1 = __builtin_shuffle(first, second, odd);
        const vec high0 = __builtin_shuffle(third, fourth, even), high1 = __builtin_shuffle(third, fourth, odd);
        d[0] = __builtin_shuffle(low0, high0, even);
        d[1] = __builtin_shuffle(low1, high1, even);
        d[2] = __builtin_shuffle(low0, high0, odd);
        d[3] = __builtin_shuffle(low1, high1, odd);
        d[4] = __builtin_shuffle(d[0], last, next);
        d[5] = __builtin_shuffle(d[1], last, after);
    }
}

/* Columns x .. x+LANES of the padded axis from x0 on, where some are padding or the array's last. */
static vec NAME(winograd_edge)(const NAME(winograd) *w, const REAL *row, idx x, idx width)
{
    const idx size = w->lat->w.size;
    vec v = {0};
    for (int lane = 0; lane < LANES; lane++) {
        const idx at = pad_index(w->src.mode, x + lane, size);
        if (row && x + lane < width && at >= 0 && at < size)
            v[lane] = row[at];
    }
    return v;
}

/* One row of tiles: its source rows (NULL: zeros) transformed downwards, column by column, into w->rows; columns
 * x0 .. x0+width of the padded axis. */
__attribute__((always_inline)) static inline void NAME(winograd_down)(const int ah, const NAME(winograd) *w,
                                                                      const REAL *const *row, idx pitch, idx x0,
                                                                      idx width)
{
    const idx lo = max_idx(0, -x0), hi = max_idx(lo, min_idx(width, w->lat->w.size - x0));
    const int modes = w->src.mode != CONV_ZEROS; /* whose padding has values */
    const REAL *from[WINOGRAD_MOST], *last = NULL;
    for (int i = 0; i < ah; i++) {
        from[i] = row[i] ? row[i] + x0 : w->zeros;
        last = row[i] && (!last || from[i] > last) ? from[i] : last;
    }
    const int whole = !last || last + round_up(hi - lo, LANES) + lo <= w->src.end;
    idx x = lo;
    for (; (whole && !modes && x < hi) || x + LANES <= hi; x += LANES) {
        vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            d[i] = NAME(load)(from[i] + x);
        NAME(winograd_in)(ah, d, t);
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            NAME(store)(w->rows + i * pitch + x, t[i]);
    }
    /* the rest: before lo and from x on, where anything but zeros is left; then from hi on */
    for (idx at = modes && lo > 0 ? 0 : x, end; at < (modes ? width : hi); at = end) {
        vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
        end = at < lo ? min_idx(at + LANES, lo) : at + LANES;
        for (int i = 0; i < ah; i++)
            d[i] = NAME(winograd_edge)(w, row[i], x0 + at, x0 + (modes ? width : hi));
        NAME(winograd_in)(ah, d, t);
        for (int i = 0; i < ah; i++)
            __builtin_memcpy(w->rows + i * pitch + at, &t[i], (size_t)(end - at) * sizeof(REAL));
        if (end == lo)
            end = x;
    }
    for (int i = 0; i < (modes ? 0 : ah); i++) {
        for (idx z = 0; z < lo; z++)
            w->rows[i * pitch + z] = 0;
        for (idx z = hi; z < width; z += LANES)
            NAME(store)(w->rows + i * pitch + z, (vec){0});
    }
}

/* The same of a dilated axis, whose columns are gathered first. */
__attribute__((always_inline)) static inline void NAME(winograd_down_apart)(const int ah, const NAME(winograd) *w, const REAL *const *row,
                                                                            idx pitch, idx x0, idx width)
{
    const idx step = w->shape.apart_w, size = w->lat->w.size, room = round_up(width, LANES) + LANES;
    const int modes = w->src.mode != CONV_ZEROS;
    for (int i = 0; i < ah; i++) {
        REAL *const to = w->gathered + i * room;
        if (!modes)
            NAME(pack_run)(to, row[i], NAME(run_inside)(x0, step, size, width), step, width, size, &w->src, room);
        for (idx x = 0; modes && x < width; x++) { /* a tile may reach beyond what the padding has */
            const idx at = pad_index(w->src.mode, x0 + x * step, size);
            to[x] = row[i] && at >= 0 && at < size ? row[i][at] : 0;
        }
    }
    for (idx x = 0; x < width; x += LANES) {
        vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            d[i] = NAME(load)(w->gathered + i * room + x);
        NAME(winograd_in)(ah, d, t);
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            NAME(store)(w->rows + i * pitch + x, t[i]);
    }
}

/* Along the rows: `count` tiles of one strip to v[f][k], from `column` on. The lanes after them belong to tiles, or to
 * terms, that are stored later; not so those from `end` on, which are left alone. What only the
 * `spare` taps of the last group would read is not read: it belongs to no output of the tile. */
__attribute__((always_inline)) static inline void NAME(winograd_along)(const int ah, const int aw,
                                                                       const NAME(winograd) *w, const REAL *rows,
                                                                       idx pitch, int spare, REAL *v, int column,
                                                                       int count, int end)
{
    const int m = aw == 1 ? 1 : aw - 2;
    const idx frequency = w->lay.next_v;
    for (int i = 0; i < ah; i++, rows += pitch)
        for (int q = 0; q < count; q += LANES) {
            REAL *to = v + i * aw * frequency + column + q;
            vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
            NAME(winograd_points)(aw, rows + q * m, d);
            if (spare > 0)
                d[aw - 1] = (vec){0};
            if (spare > 1)
                d[aw - 2] = (vec){0};
            NAME(winograd_in)(aw, d, t);
            const int over = column + q + LANES > end;
            const mask own = NAME(iota)() < (mask){0} + (count - q);
#pragma GCC unroll 6
            for (int j = 0; j < aw; j++, to += frequency) {
                if (over)
                    t[j] = (vec)(((mask)t[j] & own) | ((mask)NAME(load)(to) & ~own));
                NAME(store)(to, t[j]);
            }
        }
}

/* The source of tiles [w->j0, w->j1): channel by channel, so that the rows of v are finished while they are near. */
__attribute__((always_inline)) static inline void NAME(winograd_source)(const int ah, const int aw,
                                                                        const NAME(winograd) *w)
{
    const winograd_shape *s = &w->shape;
    const lattice *lat = w->lat;
    const idx channels = lat->source_channels, most = w->plan->nv * LANES;
    const REAL *row[WINOGRAD_MOST];
    for (idx c = 0; c < channels; c++)
        for (idx j = w->j0, count; j < w->j1; j += count) {
            const winograd_place at = winograd_place_of(s, j);
            const idx strip = (j - w->j0) / most, column = (j - w->j0) % most;
            const int nr = NAME(winograd_vectors)(w, j - column) * LANES;
            REAL *const v = w->v + strip * w->lay.strip;
            count = min_idx(min_idx(w->j1 - j, at.side), nr - column);
            const idx x0 = at.x + w->low_w, width = count * s->tile_w + aw - s->tile_w + 3 * (s->groups_w - 1);
            const idx pitch = round_up(width, LANES) + 5 * LANES; /* what winograd_points reads past the last tile */
            const REAL *plane = w->src.first + at.n * w->src.image + c * w->src.plane;
            for (idx gh = 0; gh < s->groups_h; gh++) {
                for (int i = 0; i < ah; i++) {
                    const idx y = pad_index(w->src.mode, at.y + w->low_h + (3 * gh + i) * s->apart_h, lat->h.size);
                    /* rows that no output reads: below the last one, or at spare taps */
                    const int read = y >= 0 && y < lat->h.size && (gh + 1 < s->groups_h || i < ah - s->spare_h);
                    row[i] = read ? plane + y * lat->w.size : NULL;
                    if (read && ah > 1) /* short rows: those of the next channel are elsewhere, and called in time */
                        for (idx x = max_idx(0, x0); x < min_idx(x0 + width * s->apart_w, lat->w.size); x += ALIGNMENT / (idx)sizeof(REAL))
                            __builtin_prefetch(row[i] + w->src.plane + x);
                }
                if (s->apart_w > 1)
                    NAME(winograd_down_apart)(ah, w, row, pitch, x0, width);
                else
                    NAME(winograd_down)(ah, w, row, pitch, x0, width);
                for (idx gw = 0; gw < s->groups_w; gw++)
                    NAME(winograd_along)(ah, aw, w, w->rows + 3 * gw, pitch, gw + 1 < s->groups_w ? 0 : (int)s->spare_w,
                                         v + ((gh * s->groups_w + gw) * channels + c) * nr, (int)column, (int)count,
                                         c + 1 == channels ? nr : INT32_MAX);
            }
        }
}

/* ---- weights: w to u ---- */

#define KERNELS_AHEAD 4 /* vectors of channels, called in time: they are short rows, at any distance */

/* Taps of LANES channels from c on, of result row m: taps[t][lane]. Whole vectors are turned round, the few taps after them moved one by one. */
static inline void NAME(winograd_gather)(REAL *taps, const NAME(weights) *w, idx m, idx c)
{
    const idx count = min_idx(LANES, w->channels - c), step = w->channel;
    const REAL *first = w->first + m * w->row + c * step;
    idx t = 0;
    if (count < LANES) { /* some twice */
        for (; t < w->taps; t++)
            for (int lane = 0; lane < LANES; lane++)
                taps[t * LANES + lane] = first[min_idx(lane, count - 1) * step + t];
        return;
    }
    for (int lane = 0; lane < LANES; lane++)
        __builtin_prefetch(first + (KERNELS_AHEAD * LANES + lane) * step);
    for (; w->taps - t > LANES / 4 && first + (LANES - 1) * step + t + LANES <= w->end; t += LANES)
        NAME(transpose)(taps + t * LANES, LANES, first + t, step);
    for (; t < w->taps; t++)
        NAME(store)(taps + t * LANES, NAME(load_strided)(first + t, step));
}

/* Where the taps of each group lie in `taps`, three by three; those that the last group lacks are the zeros after them. */
static void NAME(winograd_order)(int32_t *order, const winograd_shape *s, const lattice *lat)
{
    const idx th = lat->h.taps, tw = lat->w.taps;
    for (idx g = 0; g < s->groups_h * s->groups_w; g++)
        for (idx i = 0; i < 9; i++) {
            const idx y = g / s->groups_w * 3 + i / 3, x = g % s->groups_w * 3 + i % 3;
            /* the kernel's element at this distance from the first source position */
            const idx at = (lat->h.delta < 0 ? th - 1 - y : y) * tw + (lat->w.delta < 0 ? tw - 1 - x : x);
            *order++ = (int32_t)(y < th && x < tw ? at * LANES : round_up(th * tw, LANES) * LANES);
        }
}

/* Nine taps of LANES kernels to u[f * next]. */
__attribute__((always_inline)) static inline void NAME(winograd_kernel)(const int ah, const int aw, const REAL *taps, const int32_t *order,
                                                                        REAL *u, idx next)
{
    const int high = ah == 1 ? 1 : 3, wide = aw == 1 ? 1 : 3;
    vec column[WINOGRAD_MOST][3];
#pragma GCC unroll 3
    for (int x = 0; x < wide; x++) {
        vec d[3], t[WINOGRAD_MOST];
#pragma GCC unroll 3
        for (int y = 0; y < high; y++)
            d[y] = NAME(load)(taps + order[3 * y + x]);
        NAME(winograd_taps)(ah, d, t);
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            column[i][x] = t[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < ah; i++) {
        vec t[WINOGRAD_MOST];
        NAME(winograd_taps)(aw, column[i], t);
#pragma GCC unroll 6
        for (int j = 0; j < aw; j++, u += next) {
            NAME(store)(u, t[j] * (REAL)(NAME(winograd_factor)(ah, i) * NAME(winograd_factor)(aw, j)));
            __asm__("" : "+r"(u)); /* one addition each: products of `next` would be spilled */
        }
    }
}

/* Rows [m0, m1) to u[f][m - m0][k]. */
__attribute__((always_inline)) static inline void NAME(winograd_weights)(const int ah, const int aw, REAL *u,
                                                                         const winograd_scratch *lay,
                                                                         const winograd_shape *s, const lattice *lat,
                                                                         const NAME(weights) *w, idx m0, idx m1,
                                                                         REAL *taps)
{
    REAL some[WINOGRAD_MOST * WINOGRAD_MOST * LANES], *const zeros = taps + round_up(w->taps, LANES) * LANES;
    int32_t *const order = (int32_t *)(zeros + LANES);
    NAME(store)(zeros, (vec){0});
    NAME(winograd_order)(order, s, lat);
    for (idx m = m0; m < m1; m++)
        for (idx c = 0; c < w->channels; c += LANES) {
            const idx count = min_idx(LANES, w->channels - c);
            const int whole = count == LANES;
            NAME(winograd_gather)(taps, w, m, c);
            for (idx g = 0; g < s->groups_h * s->groups_w; g++) {
                REAL *const to = u + (m - m0) * lay->ldu + g * w->channels + c;
                NAME(winograd_kernel)(ah, aw, taps, order + 9 * g, whole ? to : some, whole ? lay->next_u : LANES);
                for (idx f = 0; f < (whole ? 0 : s->frequencies); f++)
                    NAME(copy)(to + f * lay->next_u, some + f * LANES, count);
            }
        }
}

static NAME(weights) NAME(group_weights)(const conv_problem *p, const lattice *lat, const REAL *w, idx group)
{
    const int forward = p->pass == CONV_FWD;
    const idx taps = p->kh * p->kw, size = p->oc * p->ic * taps;
    return (NAME(weights)){w + group * size, w + p->groups * size, forward ? p->ic * taps : taps,
                           forward ? taps : p->ic * taps, lat->source_channels, taps};
}

static void NAME(winograd_block)(const winograd_shape *s, const winograd_scratch *lay, const lattice *lat,
                                 const NAME(weights) *w, REAL *u, idx m0, idx m1, REAL *taps)
{
    if (s->tile_h == 4 && s->tile_w == 4)
        NAME(winograd_weights)(6, 6, u, lay, s, lat, w, m0, m1, taps);
    else if (s->tile_h == 2 && s->tile_w == 2)
        NAME(winograd_weights)(4, 4, u, lay, s, lat, w, m0, m1, taps);
    else if (s->tile_h == 1)
        NAME(winograd_weights)(1, 6, u, lay, s, lat, w, m0, m1, taps);
    else
        NAME(winograd_weights)(6, 1, u, lay, s, lat, w, m0, m1, taps);
}

/* ---- result: m to y ---- */

/* Tiles [column, column + count) of a strip lie side by side in a row of tiles. */
typedef struct {
    int column, count;
    idx out, rows, pixels; /* of the first tile's first output; rows and columns inside the result */
} NAME(winograd_segment);

static int NAME(winograd_runs)(NAME(winograd_segment) *run, const NAME(winograd) *w, idx j, int columns, idx image)
{
    const winograd_shape *s = &w->shape;
    const lattice *lat = w->lat;
    int runs = 0;
    for (int q = 0; q < columns; q += run[runs].count, j += run[runs].count, runs++) {
        const winograd_place at = winograd_place_of(s, j);
        const idx count = min_idx(columns - q, at.side);
        run[runs] = (NAME(winograd_segment)){q, (int)count, at.n * image + at.y * lat->w.grid + at.x,
                                         min_idx(s->tile_h, winograd_left(lat->h.grid - at.y, s->apart_h)),
                                         min_idx(count * s->tile_w, winograd_left(lat->w.grid - at.x, s->apart_w))};
    }
    return runs;
}

/* The lanes of m vectors in turn: a[0][0], a[1][0], ... */
__attribute__((always_inline)) static inline void NAME(store_every)(const int m, REAL *p, const vec *a)
{
    const mask low = NAME(iota)() / 2 + (NAME(iota)() & 1) * LANES, high = low + LANES / 2;
    if (m == 1) {
        NAME(store)(p, a[0]);
    } else if (m == 2) {
        NAME(store)(p, __builtin_shuffle(a[0], a[1], low));
        NAME(store)(p + LANES, __builtin_shuffle(a[0], a[1], high));
    } else {
        const vec even0 = __builtin_shuffle(a[0], a[2], low), even1 = __builtin_shuffle(a[0], a[2], high);
        const vec odd0 = __builtin_shuffle(a[1], a[3], low), odd1 = __builtin_shuffle(a[1], a[3], high);
        NAME(store)(p, __builtin_shuffle(even0, odd0, low));
        NAME(store)(p + LANES, __builtin_shuffle(even0, odd0, high));
        NAME(store)(p + 2 * LANES, __builtin_shuffle(even1, odd1, low));
        NAME(store)(p + 3 * LANES, __builtin_shuffle(even1, odd1, high));
    }
}

/* One row of a strip's products to `pixels`; NaN in the lanes of `suspect` whose tile is not finite, and in their sum. */
__attribute__((always_inline)) static inline vec NAME(winograd_result)(const int ah, const int aw, REAL *pixels,
                                                                       const REAL *m, idx frequency, int nv, int columns,
                                                                       REAL bias, int relu, REAL *suspect)
{
    const int mh = ah == 1 ? 1 : ah - 2, mw = aw == 1 ? 1 : aw - 2, width = nv * LANES * mw;
    vec bad = {0};
    for (int q = 0; q < nv; q++) {
        vec up[4][WINOGRAD_MOST], all = {0};
#pragma GCC unroll 6
        for (int j = 0; j < aw; j++) {
            vec d[WINOGRAD_MOST], t[4];
#pragma GCC unroll 6
            for (int i = 0; i < ah; i++)
                d[i] = NAME(load)(m + (i * aw + j) * frequency + q * LANES);
            NAME(winograd_out)(ah, d, t);
#pragma GCC unroll 4
            for (int i = 0; i < mh; i++)
                up[i][j] = t[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < mh; i++) {
            vec y[4];
            NAME(winograd_out)(aw, up[i], y);
#pragma GCC unroll 4
            for (int j = 0; j < mw; j++) {
                y[j] += bias;
                all += y[j];
                if (relu)
                    y[j] = NAME(relu)(y[j]);
            }
            NAME(store_every)(mw, pixels + i * width + q * LANES * mw, y);
        }
        all = (vec)((mask)(all - all) & (NAME(iota)() < (mask){0} + (columns - q * LANES)));
        NAME(store)(suspect + q * LANES, all);
        bad += all;
    }
    return bad;
}

/* The suspect tiles of rows [m0, m1), at most MR of them, once more: im2col of one tile at a time, for the rows that need
 * it. */
static void NAME(winograd_again)(const NAME(winograd) *w, NAME(block) g, const NAME(weights) *weights, idx m0, idx m1,
                                 const REAL *suspects, idx image)
{
    const winograd_shape *s = &w->shape;
    const conv_axis *h = &w->lat->h, *along = &w->lat->w;
    const idx depth = weights->channels * weights->taps;
    const int outputs = (int)(s->tile_h * s->tile_w);
    for (idx m = m0; m < m1; m++)
        for (idx c = 0; c < weights->channels; c++)
            for (idx t = 0; t < weights->taps; t++)
                w->again[(m - m0) * depth + c * weights->taps + t] =
                    weights->first[m * weights->row + c * weights->channel +
                                   (h->delta < 0 || along->delta < 0 ? weights->taps - 1 - t : t)];
    g.a = w->again;
    g.a_first = m0;
    g.lda = g.k = depth;
    g.kblock = accumulation_block(depth);
    g.nv = 1;
    g.first = g.last = 1;

    for (idx j = w->j0; j < w->j1; j++) {
        const REAL *suspect = suspects + (j - w->j0);
        const winograd_place at = winograd_place_of(s, j);
        for (idx m = m0, last; m < m1; m = last) {
            for (last = m; last < m1 && suspect[(last - m0) * w->lay.ldv] != 0; last++)
                continue;
            if (last == m) {
                last = m + 1;
                continue;
            }
            for (int first = 0; first < outputs; first += LANES) {
                NAME(segment) to[LANES];
                int segments = 0;
                for (int lane = 0; lane < LANES; lane++) {
                    const idx oy = at.y + (first + lane) / s->tile_w * s->apart_h, ox = at.x + (first + lane) % s->tile_w * s->apart_w;
                    const int real = first + lane < outputs && oy < h->grid && ox < along->grid;
                    if (real)
                        to[segments++] = (NAME(segment)){at.n * image + oy * along->grid + ox, lane, 1};
                    REAL *panel = w->panel + lane;
                    for (idx c = 0; c < weights->channels; c++)
                        for (idx t = 0; t < weights->taps; t++, panel += LANES) {
                            const idx sy = pad_index(w->src.mode, oy + w->low_h + t / along->taps * s->apart_h, h->size);
                            const idx sx = pad_index(w->src.mode, ox + w->low_w + t % along->taps * s->apart_w, along->size);
                            *panel = !real || sy < 0 || sx < 0 ? 0
                                     : w->src.first[at.n * w->src.image + c * w->src.plane + sy * along->size + sx];
                        }
                }
                g.m1 = m;
                NAME(block_rows)(&g, MR, last);
                NAME(block_columns)(&g, w->panel, 0, 0, to, segments);
            }
        }
    }
}

/* The products of a strip v and u, f by f. */
static void NAME(winograd_multiply)(const NAME(winograd) *w, const REAL *u, idx rows, const REAL *v, int nv)
{
    const winograd_shape *s = &w->shape;
    const idx terms = winograd_terms(s->k);
    const int nr = nv * LANES, highest = NAME(tile_rows)(nv);
    int height;
    NAME(tile_run) *const run = NAME(tile_of)(nv, NAME(ROWS_A), NAME(PANEL_B));
    for (idx f = 0; f < s->frequencies; f++)
        for (idx m = 0; m < rows; m += height) {
            const NAME(tile_args) t = {.k = s->k, .kblock = terms, .a = u + f * w->lay.next_u + m * w->lay.ldu,
                                       .lda = w->lay.ldu, .b = v + f * w->lay.next_v,
                                       .out = w->m + f * w->lay.next_m + m * nr, .ldout = nr};
            height = (int)ceil_div(rows - m, ceil_div(rows - m, highest));
            run(&t, height);
        }
}

/* to[i * step] = from[i], i < count. */
static inline void NAME(winograd_put)(REAL *to, const REAL *from, idx count, idx step)
{
    if (step == 1)
        NAME(copy)(to, from, count);
    else
        for (idx i = 0; i < count; i++)
            to[i * step] = from[i];
}

#define WINOGRAD_AHEAD 2 /* rows, whose results are elsewhere: their lines are called in time */

/* Rows [m0, m1) of the tiles at hand, from their v and the rows' u. */
__attribute__((always_inline)) static inline void NAME(winograd_rows)(const int ah, const int aw, const NAME(winograd) *w,
                                                                      const NAME(block) *g, const NAME(weights) *weights,
                                                                      idx image, const REAL *u, idx m0, idx m1)
{
    const winograd_shape *s = &w->shape;
    const idx most = w->plan->nv * LANES, rows = m1 - m0, pitch = w->lat->w.grid * s->apart_h, step = s->apart_w;
    vec bad = {0};
    for (idx j = 0; j < w->j1 - w->j0; j += most) {
        const int nv = NAME(winograd_vectors)(w, w->j0 + j), nr = nv * LANES, columns = (int)min_idx(nr, w->j1 - w->j0 - j);
        NAME(winograd_segment) run[NV * LANES];
        const int runs = NAME(winograd_runs)(run, w, w->j0 + j, columns, image);
        NAME(winograd_multiply)(w, u, rows, w->v + j / most * w->lay.strip, nv);
        for (idx m = 0; m < rows; m++) {
            REAL *dst = g->dst + (m0 + m) * g->dst_row;
            for (int q = 0; q < runs && m + WINOGRAD_AHEAD < rows; q++)
                for (idx y = 0; y < run[q].rows; y++)
                    for (idx x = 0; x < run[q].pixels * step; x += ALIGNMENT / (idx)sizeof(REAL))
                        __builtin_prefetch(dst + WINOGRAD_AHEAD * g->dst_row + run[q].out + y * pitch + x, 1);
            bad += NAME(winograd_result)(ah, aw, w->pixels, w->m + m * nr, w->lay.next_m, nv, columns,
                                         g->bias ? g->bias[m0 + m] : 0, g->relu, w->suspect + m * w->lay.ldv + j);
            for (int q = 0; q < runs; q++)
                for (idx y = 0; y < run[q].rows; y++)
                    NAME(winograd_put)(dst + run[q].out + y * pitch, w->pixels + (y * nr + run[q].column) * s->tile_w, run[q].pixels, step);
        }
    }
    if (NAME(sum)(bad) != 0)
        for (idx m = 0; m < rows; m += MR)
            NAME(winograd_again)(w, *g, weights, m0 + m, min_idx(m0 + m + MR, m1), w->suspect + m * w->lay.ldv, image);
}

__attribute__((always_inline)) static inline void NAME(winograd_form)(const int ah, const int aw, const conv_call *call,
                                                                      const NAME(task) *t, int worker)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice *lat = &t->lat;
    const winograd_scratch at = winograd_layout(plan, LANES);
    REAL *const scratch = (REAL *)(call->scratch + worker * plan->task_bytes);
    NAME(winograd) w = {.plan = plan, .lat = lat, .src = NAME(task_source)(call, t), .shape = winograd_shape_of(plan),
                        .lay = at,
                        .low_h = min_idx(tap_position(&lat->h, 0), tap_position(&lat->h, lat->h.taps - 1)),
                        .low_w = min_idx(tap_position(&lat->w, 0), tap_position(&lat->w, lat->w.taps - 1)),
                        .v = scratch + at.v, .m = scratch + at.m, .rows = scratch + at.rows, .gathered = scratch + at.gathered, .zeros = scratch + at.zeros,
                        .pixels = scratch + at.pixels, .suspect = scratch + at.suspect, .panel = scratch + at.panel,
                        .again = scratch + at.again};
    const NAME(weights) weights = NAME(group_weights)(p, lat, call->weights, t->group);
    NAME(block) g = {.dst_row = lat->h.grid * lat->w.grid, .dst_step = 1, .buffer = scratch + at.buffer,
                     .bias = call->bias ? (const REAL *)call->bias + t->group * lat->result_channels : NULL,
                     .relu = p->activation == CONV_RELU};
    const REAL *packed = (const REAL *)((const char *)call->weights + plan->packed_offset) +
                         t->group * w.shape.frequencies * at.next_u;
    const idx image = p->groups * lat->result_channels * g.dst_row, begin = t->chunk * plan->chunk_w;
    const idx end = min_idx(begin + plan->chunk_w, p->n * w.shape.tiles_h * w.shape.tiles_w);
    const int kept = winograd_keeps(plan), resident = t->m1 - t->m0 <= plan->block_rows; /* one block of weights, for all tiles of the task */
    g.dst = (REAL *)call->dst + t->group * lat->result_channels * g.dst_row;

    NAME(zero_run)(w.zeros, at.pixels - at.zeros);
    for (w.j0 = begin; w.j0 < end; w.j0 = w.j1) {
        w.j1 = min_idx(w.j0 + plan->chunk_h, end);
        NAME(winograd_source)(ah, aw, &w);
        for (idx m0 = t->m0, m1; m0 < t->m1; m0 = m1) {
            m1 = min_idx(m0 + plan->block_rows, t->m1);
            if (!kept && (!resident || w.j0 == begin))
                NAME(winograd_block)(&w.shape, &at, lat, &weights, scratch + at.u, m0, m1, scratch + at.taps);
            NAME(winograd_rows)(ah, aw, &w, &g, &weights, image, kept ? packed + m0 * at.ldu : scratch + at.u, m0, m1);
        }
    }
}

/* The weights of a plan that is kept: tile by tile, or w as it is and after it, for winograd, the transforms of all groups. */
static void NAME(pack)(const conv_plan *plan, const void *w, void *packed)
{
    const conv_problem *p = &plan->p;
    if (plan->weights == WEIGHTS_BY_TILES) {
        NAME(tiles_pack)(plan, w, packed);
        return;
    }
    __builtin_memcpy(packed, w, sizeof(REAL) * (size_t)(p->groups * p->oc * p->ic * p->kh * p->kw));
    if (plan->packed_bytes == plan->packed_offset)
        return;
    const lattice lat = plan_lattice(plan, 0, 0);
    const winograd_shape shape = winograd_shape_of(plan);
    const winograd_scratch lay = winograd_layout(plan, LANES);
    const idx size = shape.frequencies * lay.next_u;
    REAL *const u = (REAL *)((char *)packed + plan->packed_offset);
    for (idx group = 0; group < p->groups; group++) {
        const NAME(weights) weights = NAME(group_weights)(p, &lat, w, group);
        NAME(winograd_block)(&shape, &lay, &lat, &weights, u + group * size, 0, lat.result_channels,
                             u + p->groups * size);
    }
}

static void NAME(winograd_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const NAME(task) t = NAME(task_decode)(call->plan, index);
    const idx tile_h = call->plan->tile_h, tile_w = call->plan->tile_w;
    if (t.m0 >= t.m1)
        return;
    if (tile_h == 4 && tile_w == 4)
        NAME(winograd_form)(6, 6, call, &t, worker);
    else if (tile_h == 2 && tile_w == 2)
        NAME(winograd_form)(4, 4, call, &t, worker);
    else if (tile_h == 1 && tile_w == 4)
        NAME(winograd_form)(1, 6, call, &t, worker);
    else
        NAME(winograd_form)(6, 1, call, &t, worker);
}
