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
    REAL *v, *u, *m, *rows, *gathered, *zeros, *pixels, *suspect, *taps, *panel, *again, *buffer;
    winograd_group *groups_h, *groups_w;
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
    } else if (a == 3) {
        t[0] = d[0] - d[1];
        t[1] = d[1];
        t[2] = d[2] - d[1];
    } else if (a == 4) {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[3] - d[1];
    } else if (a == 5) {
        t[0] = (d[0] - d[3]) + 1.5f * (d[1] - d[2]);
        t[1] = (d[1] + d[3]) + 2.5f * d[2];
        t[2] = d[3] - 0.5f * (d[1] + d[2]);
        t[3] = (d[2] + d[3]) - 2 * d[1];
        t[4] = (d[4] - d[1]) + 1.5f * (d[3] - d[2]);
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

/* Piece k of each of LANES tiles of `tile` elements; of two times as many, every second of which counts, where wide. */
__attribute__((always_inline)) static inline vec NAME(winograd_piece)(const int wide, const int tile, const REAL *p, const int k)
{
    if (wide == 1)
        return NAME(load_pieces)(p + k * PIECE, tile * PIECE);
    return NAME(evens)(NAME(load_pieces)(p + 2 * k * PIECE, 2 * tile * PIECE), NAME(load_pieces)(p + (2 * k + 1) * PIECE, 2 * tile * PIECE));
}

/* d[j][lane] = p[(lane * tile + j) * wide]: the points of LANES tiles side by side. Whole vectors are loaded, as winograd_down
 * stored them, and the points that two tiles share are moved over by a lane. */
__attribute__((always_inline)) static inline void NAME(winograd_points)(const int wide, const int a, const REAL *p, vec *d)
{
    const int tile = winograd_tile_of(a);
    const vec first = NAME(winograd_piece)(wide, tile, p, 0);
    if (a == 1) {
        d[0] = first;
        return;
    }
    const vec second = NAME(winograd_piece)(wide, tile, p, 1), last = NAME(winograd_piece)(wide, tile, p, tile);
    if (tile == 2) {
        d[0] = NAME(evens)(first, second);
        d[1] = NAME(odds)(first, second);
    } else {
        const vec third = NAME(winograd_piece)(wide, tile, p, 2), fourth = NAME(winograd_piece)(wide, tile, p, 3);
        const vec low0 = NAME(evens)(first, second), low1 = NAME(odds)(first, second);
        const vec high0 = NAME(evens)(third, fourth), high1 = NAME(odds)(third, fourth);
        d[0] = NAME(evens)(low0, high0);
        d[1] = NAME(evens)(low1, high1);
        d[2] = NAME(odds)(low0, high0);
        d[3] = NAME(odds)(low1, high1);
    }
    d[tile] = NAME(moved)(d[0], last, 1, 0);
    if (a == tile + 2)
        d[tile + 1] = NAME(moved)(d[1], last, 1, 1);
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
    const idx lo = min_idx(width, max_idx(0, -x0)), hi = max_idx(lo, min_idx(width, w->lat->w.size - x0));
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

/* The same where the columns are `step` apart: of a stride, or a dilation. They are gathered first. */
__attribute__((always_inline)) static inline void NAME(winograd_down_apart)(const int ah, const NAME(winograd) *w, const REAL *const *row,
                                                                            idx pitch, idx x0, idx width)
{
    const idx step = w->shape.w.step, size = w->lat->w.size, room = round_up(width, LANES) + LANES;
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
 * to terms, that are stored later; not so those after the row where `last`, which are left alone. What only the `spare` taps of a
 * group would read, which it lacks, is not read: it belongs to no output of the tile. */
__attribute__((always_inline)) static inline void NAME(winograd_along)(const int ah, const int aw, const NAME(winograd) *w,
                                                                       const REAL *rows, idx pitch, int spare, idx term, int last,
                                                                       idx first, idx count)
{
    const int m = winograd_tile_of(aw), wide = (int)winograd_wide(&w->shape.w);
    const idx frequency = w->lay.next_v, most = w->plan->nv * LANES;
    idx strip = first / most, column = first % most;
    for (idx done = 0, nr; done < count; done += nr - column, strip++, column = 0) {
        nr = NAME(winograd_vectors)(w, w->j0 + strip * most) * LANES;
        const int tiles = (int)min_idx(count - done, nr - column), room = last ? (int)(nr - column) : INT32_MAX;
        REAL *const v = w->v + strip * w->lay.strip + term * nr + column;
        const REAL *row = rows + done * m * wide;
        for (int i = 0; i < ah; i++, row += pitch)
            for (int q = 0; q < tiles; q += LANES) {
                REAL *to = v + i * aw * frequency + q;
                vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
                if (wide == 2)
                    NAME(winograd_points)(2, aw, row + q * m * 2, d);
                else
                    NAME(winograd_points)(1, aw, row + q * m, d);
                if (spare > 0)
                    d[aw - 1] = (vec){0};
                if (spare > 1)
                    d[aw - 2] = (vec){0};
                NAME(winograd_in)(aw, d, t);
#pragma GCC unroll 6
                for (int j = 0; j < aw; j++, to += frequency)
                    if (q + LANES > room)
                        __builtin_memcpy(to, &t[j], (size_t)(room - q) * sizeof(REAL));
                    else
                        NAME(store)(to, t[j]);
            }
    }
}

#define WINOGRAD_RUN 64 /* tiles of a row at a time: their points stay in the first-level cache */

/* Row gh of groups, of channel c: `count` tiles from tile j on, whose source begins in column x0 of the rows. */
__attribute__((always_inline)) static inline void NAME(winograd_groups)(const int ah, const int aw, const NAME(winograd) *w,
                                                                        const REAL *const *row, idx gh, idx c, int last, idx x0, idx j, idx count)
{
    const winograd_axis *s = &w->shape.w;
    const idx channels = w->lat->source_channels, width = count * s->tile + aw - s->tile + s->reach * (s->deep - 1), wide = winograd_wide(s);
    const idx pitch = (round_up(width, LANES) + 5 * LANES) * wide; /* what winograd_points reads past the last tile */
    const idx tap = axis_distance(&w->lat->w);
    const int gathered = s->step > wide;
    for (idx residue = 0; residue < (gathered ? s->residues : 1); residue++) {
        if (gathered)
            NAME(winograd_down_apart)(ah, w, row, pitch, x0 + residue * tap, width);
        else
            NAME(winograd_down)(ah, w, row, pitch, x0, width * wide);
        for (idx gw = 0; gw < s->groups; gw++) {
            const winograd_group g = w->groups_w[gw];
            if (!gathered || g.tap % s->period == residue)
                NAME(winograd_along)(ah, aw, w, w->rows + (gathered ? g.tap / s->period : g.tap * tap), pitch, (int)(s->reach - g.taps),
                                     winograd_before(&w->shape, gh, gw) * channels + c, last, j - w->j0, count);
        }
    }
}

/* Channels [c0, c1) of the source of tiles [w->j0, w->j1): one by one, so that the rows of v are finished while they are near. */
__attribute__((always_inline)) static inline void NAME(winograd_source)(const int ah, const int aw, const NAME(winograd) *w, idx c0, idx c1)
{
    const winograd_axis *h = &w->shape.h;
    const lattice *lat = w->lat;
    const REAL *row[WINOGRAD_MOST];
    for (idx c = c0; c < c1; c++)
        for (idx j = w->j0, count; j < w->j1; j += count) {
            const winograd_place at = winograd_place_of(&w->shape, j);
            const idx x0 = at.x * lat->w.step + w->low_w, y0 = at.y * lat->h.step + w->low_h;
            const REAL *plane = w->src.first + at.n * w->src.image + c * w->src.plane;
            count = min_idx(min_idx(w->j1 - j, at.side), WINOGRAD_RUN);
            for (idx gh = 0; gh < h->groups; gh++) {
                const winograd_group g = w->groups_h[gh];
                for (int i = 0; i < ah; i++) {
                    const idx y = pad_index(w->src.mode, y0 + g.tap * axis_distance(&lat->h) + i * h->step, lat->h.size);
                    /* rows that no output reads: below the last one, or at taps that the group lacks */
                    const int read = y >= 0 && y < lat->h.size && i < ah - (int)(h->reach - g.taps);
                    row[i] = read ? plane + y * lat->w.size : NULL;
                    if (read && ah > 1) { /* short rows: those of the next channel are elsewhere, and called in time */
                        const idx x = max_idx(0, x0);
                        NAME(call_lines)(row[i] + w->src.plane + x, min_idx(x0 + (count * w->shape.w.tile + aw) * w->shape.w.step, lat->w.size) - x);
                    }
                }
                NAME(winograd_groups)(ah, aw, w, row, gh, c, c + 1 == c1, x0, j, count);
            }
        }
}

static void NAME(winograd_transform)(const NAME(winograd) *w, idx c0, idx c1)
{
#define WINOGRAD_FORM(ah, aw)                                                                                           \
    if (w->shape.h.points == ah && w->shape.w.points == aw)                                                             \
        NAME(winograd_source)(ah, aw, w, c0, c1);
    WINOGRAD_FORMS
#undef WINOGRAD_FORM
}
