/* winograd_source -- the source of winograd_tpl.h transformed: tiles of whole rows, down the columns, then along them.
 *
 * Lanes are tiles of one row, so the source is read as it lies and de-interleaved in registers.
 */
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

/* Vectors of the strip that begins with tile j. */
static inline int NAME(winograd_vectors)(const NAME(winograd) *w, idx j)
{
    return w->j1 - j <= LANES ? 1 : w->plan->nv;
}

/* B of one axis of `a` points. */
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

/* d[j][lane] = p[lane * (a - 2) + j]: the points of LANES tiles side by side. Whole vectors are loaded, as winograd_down
 * stored them, and the points that two tiles share are moved over by a lane. */
__attribute__((always_inline)) static inline void NAME(winograd_points)(const int a, const REAL *p, vec *d)
{
    const idx apart = (a == 1 ? 1 : a - 2) * PIECE;
    const vec first = NAME(load_pieces)(p, apart);
    if (a == 1) {
        d[0] = first;
    } else if (a == 4) {
        const vec second = NAME(load_pieces)(p + PIECE, apart), last = NAME(load_pieces)(p + 2 * PIECE, apart);
        d[0] = NAME(evens)(first, second);
        d[1] = NAME(odds)(first, second);
        d[2] = NAME(moved)(d[0], last, 1, 0);
        d[3] = NAME(moved)(d[1], last, 1, 1);
    } else {
        const vec second = NAME(load_pieces)(p + PIECE, apart), third = NAME(load_pieces)(p + 2 * PIECE, apart);
        const vec fourth = NAME(load_pieces)(p + 3 * PIECE, apart), last = NAME(load_pieces)(p + 4 * PIECE, apart);
        const vec low0 = NAME(evens)(first, second), low1 = NAME(odds)(first, second);
        const vec high0 = NAME(evens)(third, fourth), high1 = NAME(odds)(third, fourth);
        d[0] = NAME(evens)(low0, high0);
        d[1] = NAME(evens)(low1, high1);
        d[2] = NAME(odds)(low0, high0);
        d[3] = NAME(odds)(low1, high1);
        d[4] = NAME(moved)(d[0], last, 1, 0);
        d[5] = NAME(moved)(d[1], last, 1, 1);
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

/* Along the rows: `count` tiles from tile `first` of the task's on, to v[strip][f][term][column]. The lanes after them belong to tiles, or
 * to terms, that are stored later; not so those after the row where `last`, which are left alone. What only the `spare` taps of the last
 * group would read is not read: it belongs to no output of the tile. */
__attribute__((always_inline)) static inline void NAME(winograd_along)(const int ah, const int aw, const NAME(winograd) *w,
                                                                       const REAL *rows, idx pitch, int spare, idx term, int last,
                                                                       idx first, idx count)
{
    const int m = aw == 1 ? 1 : aw - 2;
    const idx frequency = w->lay.next_v, most = w->plan->nv * LANES;
    idx strip = first / most, column = first % most;
    for (idx done = 0, nr; done < count; done += nr - column, strip++, column = 0) {
        nr = NAME(winograd_vectors)(w, w->j0 + strip * most) * LANES;
        const int tiles = (int)min_idx(count - done, nr - column), room = last ? (int)(nr - column) : INT32_MAX;
        REAL *const v = w->v + strip * w->lay.strip + term * nr + column;
        const REAL *row = rows + done * m;
        for (int i = 0; i < ah; i++, row += pitch)
            for (int q = 0; q < tiles; q += LANES) {
                REAL *to = v + i * aw * frequency + q;
                vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
                NAME(winograd_points)(aw, row + q * m, d);
                if (spare > 0)
                    d[aw - 1] = (vec){0};
                if (spare > 1)
                    d[aw - 2] = (vec){0};
                NAME(winograd_in)(aw, d, t);
                const mask own = NAME(iota)() < (mask){0} + (tiles - q);
#pragma GCC unroll 6
                for (int j = 0; j < aw; j++, to += frequency) {
                    if (q + LANES > room)
                        t[j] = (vec)(((mask)t[j] & own) | ((mask)NAME(load)(to) & ~own));
                    NAME(store)(to, t[j]);
                }
            }
    }
}

#define WINOGRAD_RUN 64 /* tiles of a row at a time: their points stay in the first-level cache */

/* The source of tiles [w->j0, w->j1): channel by channel, so that the rows of v are finished while they are near. */
__attribute__((always_inline)) static inline void NAME(winograd_source)(const int ah, const int aw, const NAME(winograd) *w)
{
    const winograd_shape *s = &w->shape;
    const lattice *lat = w->lat;
    const idx channels = lat->source_channels;
    const REAL *row[WINOGRAD_MOST];
    for (idx c = 0; c < channels; c++)
        for (idx j = w->j0, count; j < w->j1; j += count) {
            const winograd_place at = winograd_place_of(s, j);
            count = min_idx(min_idx(w->j1 - j, at.side), WINOGRAD_RUN);
            const idx x0 = at.x + w->low_w, width = count * s->tile_w + aw - s->tile_w + 3 * (s->groups_w - 1);
            const idx pitch = round_up(width, LANES) + 5 * LANES; /* what winograd_points reads past the last tile */
            const REAL *plane = w->src.first + at.n * w->src.image + c * w->src.plane;
            for (idx gh = 0; gh < s->groups_h; gh++) {
                for (int i = 0; i < ah; i++) {
                    const idx y = pad_index(w->src.mode, at.y + w->low_h + (3 * gh + i) * s->apart_h, lat->h.size);
                    /* rows that no output reads: below the last one, or at spare taps */
                    const int read = y >= 0 && y < lat->h.size && (gh + 1 < s->groups_h || i < ah - s->spare_h);
                    row[i] = read ? plane + y * lat->w.size : NULL;
                    if (read && ah > 1) { /* short rows: those of the next channel are elsewhere, and called in time */
                        const idx x = max_idx(0, x0);
                        NAME(call_lines)(row[i] + w->src.plane + x, min_idx(x0 + width * s->apart_w, lat->w.size) - x);
                    }
                }
                if (s->apart_w > 1)
                    NAME(winograd_down_apart)(ah, w, row, pitch, x0, width);
                else
                    NAME(winograd_down)(ah, w, row, pitch, x0, width);
                for (idx gw = 0; gw < s->groups_w; gw++)
                    NAME(winograd_along)(ah, aw, w, w->rows + 3 * gw, pitch, gw + 1 < s->groups_w ? 0 : (int)s->spare_w,
                                         (gh * s->groups_w + gw) * channels + c, c + 1 == channels, j - w->j0, count);
            }
        }
}
