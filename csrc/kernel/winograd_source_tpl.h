/* winograd_source -- the source of winograd_tpl.h transformed: tiles of rows, down the columns, then along them.
 *
 * Lanes are tiles, whose columns lie as in the source and are de-interleaved in registers. A row of tiles ends where it ends: the
 * columns of the next one follow those of its tiles, so that vectors are full and are stored where a line begins.
 */
typedef struct {
    const conv_plan *plan;
    const lattice *lat;
    NAME(source) src;
    winograd_shape shape;
    winograd_scratch lay;
    idx low_h, low_w;          /* source position of the first tap of point 0 */
    idx j0, j1;                /* tiles */
    REAL *v, *u, *m, *rows, *gathered, *zeros, *ends, *pixels, *suspect, *taps, *panel, *again, *buffer;
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

/* d[j][lane] = p[lane * tile + j]: the points of LANES tiles side by side. Whole vectors are loaded, and the points that two tiles
 * share are moved over by a lane. */
__attribute__((always_inline)) static inline void NAME(winograd_points)(const int a, const REAL *p, vec *d)
{
    const int tile = winograd_tile_of(a);
    const vec first = NAME(load_pieces)(p, tile * PIECE);
    if (a == 1) {
        d[0] = first;
        return;
    }
    const vec second = NAME(load_pieces)(p + PIECE, tile * PIECE), last = NAME(load_pieces)(p + tile * PIECE, tile * PIECE);
    if (tile == 2) {
        d[0] = NAME(evens)(first, second);
        d[1] = NAME(odds)(first, second);
    } else {
        const vec third = NAME(load_pieces)(p + 2 * PIECE, tile * PIECE), fourth = NAME(load_pieces)(p + 3 * PIECE, tile * PIECE);
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

/* Tiles side by side: their source rows (NULL: zeros) transformed downwards, column by column, to rows a pitch apart; columns
 * x0 .. x0+width of the padded axis. */
__attribute__((always_inline)) static inline void NAME(winograd_down)(const int ah, const NAME(winograd) *w,
                                                                      const REAL *const *row, REAL *to, idx x0,
                                                                      idx width)
{
    const idx lo = min_idx(width, max_idx(0, -x0)), hi = max_idx(lo, min_idx(width, w->lat->w.size - x0));
    const int modes = w->src.mode != CONV_ZEROS; /* whose padding has values */
    const idx pitch = w->lay.pitch;
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
            NAME(store)(to + i * pitch + x, t[i]);
    }
    /* the rest: before lo and from x on, where anything but zeros is left; then from hi on */
    for (idx at = modes && lo > 0 ? 0 : x, end; at < (modes ? width : hi); at = end) {
        vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
        end = at < lo ? min_idx(at + LANES, lo) : at + LANES;
        for (int i = 0; i < ah; i++)
            d[i] = NAME(winograd_edge)(w, row[i], x0 + at, x0 + (modes ? width : hi));
        NAME(winograd_in)(ah, d, t);
        for (int i = 0; i < ah; i++)
            __builtin_memcpy(to + i * pitch + at, &t[i], (size_t)(end - at) * sizeof(REAL));
        if (end == lo)
            end = x;
    }
    for (int i = 0; i < (modes ? 0 : ah); i++) {
        for (idx z = 0; z < lo; z++)
            to[i * pitch + z] = 0;
        for (idx z = hi; z < width; z += LANES)
            NAME(store)(to + i * pitch + z, (vec){0});
    }
}

/* The same where the columns are `step` apart: of a stride, or a dilation. They are gathered first. */
__attribute__((always_inline)) static inline void NAME(winograd_down_apart)(const int ah, const NAME(winograd) *w, const REAL *const *row,
                                                                            REAL *rows, idx x0, idx width)
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
            NAME(store)(rows + i * w->lay.pitch + x, t[i]);
    }
}

/* Tiles [first, first + count) of a run, side by side in a row of tiles, and where their source begins. */
typedef struct {
    idx first, count, x, y;
    const REAL *image;
} NAME(winograd_part);

/* The parts of the run that begins with tile j. */
static int NAME(winograd_parts)(const NAME(winograd) *w, idx j, idx run, NAME(winograd_part) *part)
{
    int parts = 0;
    for (idx first = 0; first < run; first += part[parts++].count) {
        const winograd_place at = winograd_place_of(&w->shape, j + first);
        part[parts] = (NAME(winograd_part)){first, min_idx(run - first, at.side), at.x * w->lat->w.step + w->low_w,
                                            at.y * w->lat->h.step + w->low_h, w->src.first + at.n * w->src.image};
    }
    return parts;
}

/* A point of each tile of a run in row i, of those that a part's last tile shares with no other: the columns of the next part have their
 * place. Zeros for other tiles; all bits of w->ends, which comes before, are set for these, and none for the last of a part. */
static inline REAL *NAME(winograd_hidden)(const NAME(winograd) *w, int point, int i)
{
    return w->ends + (1 + point * WINOGRAD_MOST + i) * WINOGRAD_RUN;
}

static void NAME(winograd_ends)(const NAME(winograd) *w, const NAME(winograd_part) *part, int parts)
{
    WORD *const keep = (WORD *)w->ends;
    NAME(zero_run)(w->ends + WINOGRAD_RUN, 2 * WINOGRAD_MOST * WINOGRAD_RUN);
    for (int i = 0; i < WINOGRAD_RUN; i++)
        keep[i] = -1;
    for (int i = 0; i + 1 < parts; i++)
        keep[part[i].first + part[i].count - 1] = 0;
}

/* Source rows of channel c that a part's tiles read for a row of groups; NULL: zeros. */
__attribute__((always_inline)) static inline void NAME(winograd_lines)(const int ah, const NAME(winograd) *w, const NAME(winograd_part) *part,
                                                                       winograd_group g, idx c, const REAL **row)
{
    const winograd_axis *h = &w->shape.h;
    const lattice *lat = w->lat;
    const int read = ah - (int)(h->reach - g.taps); /* the others are for taps that the group lacks */
    const idx y0 = part->y + g.tap * axis_distance(&lat->h), from = max_idx(0, part->x);
    const idx end = min_idx(part->x + (part->count * w->shape.w.tile + w->shape.w.points) * w->shape.w.step, lat->w.size);
    for (int i = 0; i < ah; i++) {
        const idx to = y0 + i * h->step, y = to >= 0 && to < lat->h.size ? to : pad_index(w->src.mode, to, lat->h.size);
        row[i] = i < read && y >= 0 && y < lat->h.size ? part->image + c * w->src.plane + y * lat->w.size : NULL;
        if (row[i] && ah > 1) /* short rows: those of the next channel are elsewhere, and called in time */
            NAME(call_lines)(row[i] + w->src.plane + from, end - from);
    }
}

/* The parts of a run down the columns that a group of taps reads, and `more` of them. */
__attribute__((always_inline)) static inline void NAME(winograd_down_parts)(const int ah, const int aw, const NAME(winograd) *w,
                                                                            const NAME(winograd_part) *part, int parts, winograd_group gh,
                                                                            idx c, idx tap, idx more)
{
    const int tile = winograd_tile_of(aw);
    for (int k = 0; k < parts; k++, part++) {
        const REAL *row[WINOGRAD_MOST];
        REAL *const to = w->rows + part->first * tile;
        const idx x0 = part->x + tap * axis_distance(&w->lat->w), width = part->count * tile + aw - tile + more;
        NAME(winograd_lines)(ah, w, part, gh, c, row);
        if (w->shape.w.step > 1)
            NAME(winograd_down_apart)(ah, w, row, to, x0, width);
        else
            NAME(winograd_down)(ah, w, row, to, x0, width);
        for (int i = 0; i < ah && k + 1 < parts; i++)
            for (int point = 0; point < aw - tile; point++)
                NAME(winograd_hidden)(w, point, i)[part->first + part->count - 1] = to[i * w->lay.pitch + part->count * tile + point];
    }
}

/* Along the rows: `count` tiles from tile `first` of the task's on, to v[strip][f][term][column]. What only the `spare` taps of a group
 * would read, which it lacks, is not read: it belongs to no output of the tile. */
__attribute__((always_inline)) static inline void NAME(winograd_along)(const int ah, const int aw, const NAME(winograd) *w,
                                                                       const REAL *rows, int parts, int spare, idx term,
                                                                       idx first, idx count)
{
    const int tile = winograd_tile_of(aw);
    const idx frequency = w->lay.next_v, most = w->plan->nv * LANES;
    for (idx q = 0; q < count; q += LANES) {
        const idx strip = (first + q) / most, nr = NAME(winograd_vectors)(w, w->j0 + strip * most) * LANES;
        REAL *to = w->v + strip * w->lay.strip + term * nr + (first + q) % most;
        const REAL *row = rows + q * tile;
        for (int i = 0; i < ah; i++, row += w->lay.pitch) {
            vec d[WINOGRAD_MOST], t[WINOGRAD_MOST];
            NAME(winograd_points)(aw, row, d);
            if (parts > 1) {
                const mask keep = (mask)NAME(load)(w->ends + q);
#pragma GCC unroll 2
                for (int point = 0; point < aw - tile; point++)
                    d[tile + point] = (vec)(((mask)d[tile + point] & keep) | (mask)NAME(load)(NAME(winograd_hidden)(w, point, i) + q));
            }
            if (spare > 0)
                d[aw - 1] = (vec){0};
            if (spare > 1)
                d[aw - 2] = (vec){0};
            NAME(winograd_in)(aw, d, t);
#pragma GCC unroll 6
            for (int j = 0; j < aw; j++, to += frequency)
                NAME(store)(to, t[j]);
        }
    }
}

/* Row gh of groups, of channel c. Groups of a residue read the same columns, which go down once where a run has one part. */
__attribute__((always_inline)) static inline void NAME(winograd_groups)(const int ah, const int aw, const NAME(winograd) *w,
                                                                        const NAME(winograd_part) *part, int parts, idx gh, idx c,
                                                                        idx first, idx count)
{
    const winograd_axis *s = &w->shape.w;
    const int shared = parts == 1;
    for (idx residue = 0; residue < s->residues; residue++)
        for (idx gw = 0; gw < s->groups; gw++) {
            const winograd_group g = w->groups_w[gw];
            if (g.tap % s->period != residue)
                continue;
            if (g.tap == residue || !shared)
                NAME(winograd_down_parts)(ah, aw, w, part, parts, w->groups_h[gh], c, g.tap, shared ? s->reach * (s->deep - 1) : 0);
            NAME(winograd_along)(ah, aw, w, w->rows + (shared ? g.tap / s->period : 0), parts, (int)(s->reach - g.taps),
                                 winograd_before(&w->shape, gh, gw) * w->lat->source_channels + c, first, count);
        }
}

/* Channels [c0, c1) of the source of tiles [w->j0, w->j1). */
__attribute__((always_inline)) static inline void NAME(winograd_source)(const int ah, const int aw, const NAME(winograd) *w, idx c0, idx c1)
{
    NAME(winograd_part) part[WINOGRAD_RUN];
    for (idx j = w->j0, run; j < w->j1; j += run) {
        run = min_idx(w->j1 - j, WINOGRAD_RUN);
        const int parts = NAME(winograd_parts)(w, j, run, part);
        NAME(winograd_ends)(w, part, parts);
        for (idx c = c0; c < c1; c++)
            for (idx gh = 0; gh < w->shape.h.groups; gh++)
                NAME(winograd_groups)(ah, aw, w, part, parts, gh, c, j - w->j0, run);
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
