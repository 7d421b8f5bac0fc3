/* pack -- the source of a convolution laid out for the microkernel: im2col panels, or rows (positions: positions_tpl.h).
 *
 * Each packer covers one cache-sized piece and is the only place that knows about padding; nothing behind it does.
 * `source` carries the bounds of the array, so that a whole vector may be moved where a few elements are wanted.
 */
typedef struct {
    const REAL *first; /* group's first channel of image 0 */
    const REAL *begin, *end; /* of the whole array, and one past it */
    idx image, plane;  /* strides in elements */
    conv_pad_mode mode;
} NAME(source);

/* dst[i] = s[i * step], i < count, by whole vectors where dst has the room for them, in elements, and the source does not end before. */
__attribute__((always_inline)) static inline void NAME(copy_step)(const int step, REAL *restrict dst, const REAL *restrict s, idx count,
                                                                  const REAL *end, idx room)
{
    idx i = 0;
    for (; i < count && i + LANES <= room && s + step * (i + LANES) <= end; i += LANES)
        NAME(store)(dst + i, NAME(load_step)(s + step * i, step));
    if (step == 1 && i < count)
        NAME(copy)(dst + i, s + i, count - i);
    for (; step > 1 && i < count; i++)
        dst[i] = s[i * step];
}

#define COPY_CASE(S) case S: NAME(copy_step)(S, dst, s, count, end, room); break;
static inline void NAME(copy_run)(REAL *restrict dst, const REAL *restrict s, idx count, idx step, const REAL *end, idx room)
{
    switch (step) {
        CASES_4(COPY_CASE)
    default:
        for (idx i = 0; i < count; i++)
            dst[i] = s[i * step];
    }
}
#undef COPY_CASE

static inline void NAME(zero_run)(REAL *dst, idx count)
{
    for (idx i = 0; i < count; i++)
        dst[i] = 0;
}

/* The points of a run whose source lies inside the axis: base + i*step in [0, size) for i in [lo, hi). */
typedef struct {
    idx base, lo, hi;
} NAME(inside);

static inline NAME(inside) NAME(run_inside)(idx base, idx step, idx size, idx count)
{
    idx lo = base < 0 ? min_idx(ceil_div(-base, step), count) : 0;
    idx hi = base < size ? min_idx(ceil_div(size - base, step), count) : 0;
    return hi > lo ? (NAME(inside)){base, lo, hi} : (NAME(inside)){base, count, count};
}

/* Elements [from, to) of a run that lie in the padding of a source row. */
static inline void NAME(pad_run)(REAL *dst, const REAL *row, idx base, idx from, idx to, idx step, idx size,
                                 conv_pad_mode mode)
{
    if (mode == CONV_ZEROS)
        NAME(zero_run)(dst + from, to - from);
    else
        for (idx i = from; i < to; i++)
            dst[i] = row[pad_index(mode, base + i * step, size)];
}

/* One run of a source row, padded: dst[i] = row[base + i*step]. row == NULL is a row of zeros. */
static inline void NAME(pack_run)(REAL *dst, const REAL *row, NAME(inside) r, idx step, idx count, idx size,
                                  const NAME(source) *src, idx room)
{
    if (!row) {
        NAME(zero_run)(dst, count);
        return;
    }
    if (r.hi > r.lo)
        NAME(copy_run)(dst + r.lo, row + r.base + r.lo * step, r.hi - r.lo, step, src->end, room - r.lo);
    if (r.lo > 0 || r.hi < count) {
        NAME(pad_run)(dst, row, r.base, 0, r.lo, step, size, src->mode);
        NAME(pad_run)(dst, row, r.base, r.hi, count, step, size, src->mode);
    }
}

/* pack_run where dst has room for a vector more than the run, as a packed row has: nothing is moved element by element where zeros pad and
 * `known` is the step, up to SHUFFLED_STEP; else it is 0. What is `ahead` of the row, if not 0, is called. */
__attribute__((always_inline)) static inline void NAME(pack_row)(const int known, REAL *dst, const REAL *row, NAME(inside) r, idx step,
                                                                 idx count, idx size, idx ahead, const NAME(source) *src)
{
    if (known == 0 || src->mode != CONV_ZEROS) {
        NAME(pack_run)(dst, row, r, step, count, size, src, PTRDIFF_MAX);
        return;
    }
    if (!row)
        r.lo = r.hi = count;
    for (idx i = 0; i < r.lo; i += LANES)
        NAME(store)(dst + i, (vec){0});
    for (idx i = r.lo; i < r.hi; i += LANES) {
        const REAL *const from = row + r.base + i * known;
        if (from + known * LANES > src->end) {
            NAME(copy_run)(dst + i, from, min_idx(LANES, r.hi - i), known, src->end, 0);
            continue;
        }
        for (int line = 0; line < known * VECTOR_BYTES && ahead > 0; line += ALIGNMENT)
            __builtin_prefetch((const char *)(from + ahead) + line);
        NAME(store)(dst + i, NAME(load_step)(from, known));
    }
    for (idx i = r.hi; i < count; i += LANES)
        NAME(store)(dst + i, (vec){0});
}

/* A vector of a panel's row: lane i is source element from + i * step where lo <= i < hi, else zero; lanes below `own`
 * belong to the run before and stay. What it holds beyond its run belongs to runs that come later. */
typedef struct {
    idx dst, from; /* from the first row of a channel, and of its plane */
    int lo, hi, own, real; /* real: lanes of the run, beyond which nothing need be read */
} NAME(pack_lanes);

#define PACK_LIST 192

/* Vectors that own all their lanes from the front, the others from the back: these are stored last, and no branch depends
 * on an element of the list. */
typedef struct {
    NAME(pack_lanes) vector[PACK_LIST];
    int front, back;
    idx lowest, highest; /* of from */
} NAME(pack_list);

__attribute__((always_inline)) static inline vec NAME(pack_vector)(const int step, const NAME(pack_lanes) *p, const REAL *plane)
{
    const mask lane = NAME(iota)(), inside = (lane >= (mask){0} + p->lo) & (lane < (mask){0} + p->hi);
    return (vec)((mask)NAME(load_step)(plane + p->from, step) & inside);
}

/* Its own lanes one by one, where a vector would pass the end of the array. */
static inline void NAME(pack_some)(const int step, const NAME(pack_lanes) *p, REAL *dst, const REAL *plane)
{
    for (int i = p->own; i < LANES; i++)
        dst[p->dst + i] = i >= p->lo && i < p->hi && i < p->real ? plane[p->from + i * step] : 0;
}

/* All vectors of the list, channel by channel, so that the lines of a plane are used while they are near. */
__attribute__((always_inline)) static inline void NAME(pack_channels)(const int step, const NAME(pack_list) *list, REAL *dst,
                                                                      idx next, const REAL *plane, idx channels,
                                                                      const NAME(source) *src)
{
    const NAME(pack_lanes) *const first = list->vector, *const last = list->vector + PACK_LIST - 1;
    const NAME(pack_lanes) *const front = first + list->front, *const back = last - list->back;
    for (idx c = 0; c < channels; c++, dst += next, plane += src->plane) {
        if (plane + list->lowest < src->first || plane + list->highest + step * LANES > src->end) {
            for (const NAME(pack_lanes) *p = first; p < front; p++)
                NAME(pack_some)(step, p, dst, plane);
            for (const NAME(pack_lanes) *p = last; p > back; p--)
                NAME(pack_some)(step, p, dst, plane);
            continue;
        }
        for (const NAME(pack_lanes) *p = first; p < front; p++) {
            __builtin_prefetch(plane + src->plane + p->from); /* the next channel's is elsewhere */
            NAME(store)(dst + p->dst, NAME(pack_vector)(step, p, plane));
        }
        for (const NAME(pack_lanes) *p = last; p > back; p--) {
            const mask own = NAME(iota)() >= (mask){0} + p->own, v = (mask)NAME(pack_vector)(step, p, plane);
            NAME(store)(dst + p->dst, (vec)((v & own) | ((mask)NAME(load)(dst + p->dst) & ~own)));
        }
    }
}

#define PACK_CASE(S) case S: NAME(pack_channels)(S, list, dst, next, plane, channels, src); break;
static void NAME(pack_flush)(NAME(pack_list) *list, REAL *dst, idx next, const REAL *plane, idx channels, idx step,
                             const NAME(source) *src)
{
    switch (step) {
        CASES_4(PACK_CASE)
    }
    list->front = list->back = 0;
}
#undef PACK_CASE

/* Appends a segment of a panel to the list: `len` points from (row, column) on of an image, columns j on. */
static void NAME(pack_segment)(NAME(pack_list) *list, REAL *panels, idx panel, int nr, int j, int len, const lattice *lat,
                               idx image, idx row, idx column, const REAL *plane, idx channels, const NAME(source) *src)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    for (idx th = 0; th < h->taps; th++) {
        const idx y = row * h->step + tap_position(h, th);
        const int real = y >= 0 && y < h->size;
        for (idx tw = 0; tw < w->taps; tw++) {
            const NAME(inside) r = NAME(run_inside)(column * w->step + tap_position(w, tw), w->step, w->size, len);
            const int some = real && r.lo < r.hi;
            for (int q = j; q < j + len; q += LANES) {
                const int at = q + LANES > nr ? nr - LANES : q, first = at - j;
                const idx from = some ? image + y * w->size + r.base + first * w->step : 0;
                const int begun = list->front + list->back;
                if (begun == PACK_LIST)
                    NAME(pack_flush)(list, panels, h->taps * w->taps * nr, plane, channels, w->step, src);
                list->lowest = begun % PACK_LIST ? min_idx(list->lowest, from) : from;
                list->highest = begun % PACK_LIST ? max_idx(list->highest, from) : from;
                list->vector[first < 0 ? PACK_LIST - 1 - list->back++ : list->front++] = (NAME(pack_lanes)){
                    .dst = panel + (th * w->taps + tw) * nr + at, .from = from, .lo = some ? (int)r.lo - first : LANES,
                    .hi = r.hi < len ? (int)r.hi - first : LANES, .own = max_idx(0, -first), .real = len - first};
            }
        }
    }
}

/* im2col: panel[k * nr + j] for k = (c, th, tw), columns j0 .. j1 of the points (image, row, column) run on, nr to a panel,
 * panels `size` apart. */
static void NAME(pack_im2col)(REAL *panels, idx size, int nr, const NAME(source) *src, const lattice *lat, idx c0, idx c1,
                              idx j0, idx j1)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx taps = h->taps * w->taps, points = h->grid * w->grid, channels = c1 - c0;
    const REAL *const plane = src->first + c0 * src->plane;
    const int listed = src->mode == CONV_ZEROS && w->step <= SHUFFLED_STEP;
    idx image = j0 / points, row = j0 % points / w->grid, column = j0 % w->grid;
    NAME(pack_list) list;
    list.front = list.back = 0;
    int len;
    for (idx at = j0; at < j1; at += len) {
        const int j = (int)((at - j0) % nr);
        const idx panel = (at - j0) / nr * size;
        len = (int)min_idx(min_idx(j1 - at, nr - j), w->grid - column);
        if (listed)
            NAME(pack_segment)(&list, panels, panel, nr, j, len, lat, image * src->image, row, column, plane, channels, src);
        else
            for (idx th = 0; th < h->taps; th++) {
                const idx y = pad_index(src->mode, row * h->step + tap_position(h, th), h->size);
                for (idx tw = 0; tw < w->taps; tw++) {
                    const NAME(inside) r =
                        NAME(run_inside)(column * w->step + tap_position(w, tw), w->step, w->size, len);
                    for (idx c = 0; c < channels; c++)
                        NAME(pack_run)(panels + panel + ((c * h->taps + th) * w->taps + tw) * nr + j,
                                       y < 0 ? NULL : plane + image * src->image + c * src->plane + y * w->size, r, w->step,
                                       len, w->size, src, nr - j);
                }
            }
        column += len;
        if (column == w->grid) {
            column = 0;
            if (++row == h->grid) {
                row = 0;
                image++;
            }
        }
    }
    if (listed)
        NAME(pack_flush)(&list, panels, taps * nr, plane, channels, w->step, src);
    const int used = (int)((j1 - j0) % nr);
    for (idx k = 0; used > 0 && k < channels * taps; k++)
        NAME(zero_run)(panels + (j1 - j0) / nr * size + k * nr + used, nr - used);
}

/* A box of lattice points whose source rows direct packs once, split by residue modulo the step:
 * dst[c][residue_h][residue_w][image][row][column], so that every tap is a shift. */
typedef struct {
    idx n0, h0, w0;       /* first image and point */
    idx n, h, w;          /* images, points */
    idx rows, pitch, area; /* packed rows of an image, elements of a row, elements of [image][row][column] */
    axis_rows fh, fw;
} NAME(box);

/* The rows of one residue: which of the source they are, and what of them is inside. */
typedef struct {
    idx row;
    NAME(inside) in;
} NAME(pack_residue);

#define PACK_RESIDUES 16 /* that are found once for all channels */

static NAME(pack_residue) NAME(pack_residue_of)(const lattice *lat, const NAME(box) *box, idx rh, idx rw)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx at_h = tap_position(h, rh), at_w = tap_position(w, rw), column = at_w - floor_div(at_w, w->step) * w->step;
    return (NAME(pack_residue)){.row = (box->h0 + box->fh.lowest) * h->step + at_h - floor_div(at_h, h->step) * h->step,
                                .in = NAME(run_inside)((box->w0 + box->fw.lowest) * w->step + column, w->step, w->size, box->w + box->fw.span)};
}

__attribute__((always_inline)) static inline void NAME(pack_rows_of)(const int known, REAL *dst, const NAME(source) *src, const lattice *lat,
                                                                     const NAME(box) *box, idx c0, idx c1)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx width = box->w + box->fw.span, residues = box->fh.period * box->fw.period;
    const int several = residues > 1;
    NAME(pack_residue) found[PACK_RESIDUES];
    for (idx c = c0; c < c1; c++)
        for (idx i = 0; i < residues; i++, dst += box->area) {
            const NAME(pack_residue) r = i < PACK_RESIDUES && c > c0 ? found[i] : NAME(pack_residue_of)(lat, box, i / box->fw.period, i % box->fw.period);
            if (i < PACK_RESIDUES)
                found[i] = r;
            const idx ahead = (!several || i % box->fw.period == 0) && c + 1 < c1 ? src->plane : 0; /* the next channel's is elsewhere */
            REAL *to = dst;
            for (idx n = box->n0; n < box->n0 + box->n; n++) {
                const REAL *const plane = src->first + n * src->image + c * src->plane;
                for (idx q = 0; q < box->rows; q++, to += box->pitch) {
                    const idx y = pad_index(src->mode, r.row + q * h->step, h->size);
                    NAME(pack_row)(known, to, y < 0 ? NULL : plane + y * w->size, r.in, w->step, width, w->size, ahead, src);
                }
            }
        }
}

#define PACK_ROWS_CASE(S) case S: NAME(pack_rows_of)(S, dst, src, lat, box, c0, c1); break;
static void NAME(pack_rows)(REAL *dst, const NAME(source) *src, const lattice *lat, const NAME(box) *box, idx c0, idx c1)
{
    switch (lat->w.step) {
        CASES_4(PACK_ROWS_CASE)
    default:
        NAME(pack_rows_of)(0, dst, src, lat, box, c0, c1);
    }
}
#undef PACK_ROWS_CASE

/* dst[i * width + j] = src[i * row + j * col] for i < rows, j < columns; anything up to `width`, a multiple of LANES,
 * and in up to LANES rows after the last. `end`: one past the source's array. */
static void NAME(pack_matrix)(REAL *restrict dst, idx width, const REAL *restrict src, idx row, idx col, idx rows,
                              idx columns, const REAL *end)
{
    enum { LINE = ALIGNMENT / sizeof(REAL) };
    if (col == 1) {
        const idx whole = columns / LANES * LANES;
        for (idx i = 0; i < rows; i++, dst += width, src += row) {
            for (idx j = 0; j < whole; j += LANES)
                NAME(store)(dst + j, NAME(load)(src + j));
            NAME(copy)(dst + whole, src + whole, columns - whole);
        }
        return;
    }
    /* a whole line of LANES columns before the next: more of them than the first-level cache has ways may share a set */
    for (idx line = 0; line < rows; line += LINE)
        for (idx j = 0; j < columns; j += LANES) {
            for (idx c = j; row == 1 && c < min_idx(j + LANES, columns); c++) /* many streams: what is next is called in time */
                __builtin_prefetch(src + line + 2 * LINE + c * col);
            for (idx i = line; i < min_idx(line + LINE, rows); i += LANES) {
                /* whole squares, read and written past the last row and column where there is something to read */
                if (row == 1 && src + i + (j + LANES - 1) * col + LANES <= end) {
                    NAME(transpose)(dst + i * width + j, width, src + i + j * col, col);
                    continue;
                }
                for (idx c = j; c < min_idx(j + LANES, columns); c++)
                    for (idx r = i; r < min_idx(i + LANES, rows); r++)
                        dst[r * width + c] = src[r * row + c * col];
            }
        }
}
