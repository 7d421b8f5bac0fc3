/* view -- a box of the source as LISTED_A reads it: element by element, at any stride, no residues.
 *
 * Point (n, y, x) of the box and tap (c, th, tw) meet at base + point(n, y, x) + tap(c, th, tw). Without padding the base
 * is the source itself; with padding the box is copied once, padded, and that is the only copy: of an axis whose points and
 * taps lie at multiples of some distance, no other positions.
 */
typedef struct {
    const REAL *base;
    idx image, row, column; /* strides of a point */
    idx channel, tap_row, tap_column; /* of a tap */
} NAME(view);

/* The axis whose points are all positions that a copy holds between the first and the last that a tap reads. */
static inline conv_axis NAME(unit_axis)(const conv_axis *axis)
{
    conv_axis unit = *axis;
    unit.step = axis_common(axis);
    unit.grid = (axis->grid - 1) * (axis->step / unit.step) + 1;
    return unit;
}

/* Where in the copy tap 0 of point 0 is, of an axis whose copy begins at `lowest`. */
static inline idx NAME(unit_first)(const conv_axis *unit, idx lowest)
{
    return floor_div(unit->first, unit->step) - lowest;
}

/* pack_rows of columns side by side and zeros for short rows: whole vectors, what lies before and behind the row cleared. What they hold
 * past the end of a padded row, the next overwrites. */
static void NAME(pack_short_rows)(REAL *dst, const NAME(source) *src, const lattice *lat, const NAME(box) *box, idx c0,
                                  idx c1)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx width = box->w + box->fw.span, left = box->w0 + box->fw.lowest, step = h->step, vectors = ceil_div(width, LANES);
    const idx top = NAME(pack_residue_of)(lat, box, 0, 0).row;
    const NAME(inside) r = NAME(run_inside)(left, 1, w->size, width);
    const REAL *const begin = src->begin, *const end = src->end - vectors * LANES;
    mask inside[VIEW_VECTORS];
    for (idx v = 0; v < vectors; v++) {
        const mask lane = NAME(iota)() + (WORD)(v * LANES);
        inside[v] = (lane >= (mask){0} + (WORD)r.lo) & (lane < (mask){0} + (WORD)r.hi);
    }
    for (idx c = c0; c < c1; c++)
        for (idx n = box->n0; n < box->n0 + box->n; n++) {
            const REAL *row = src->first + n * src->image + c * src->plane + top * w->size + left;
            for (idx y = top; y < top + box->rows * step; y += step, row += step * w->size, dst += box->pitch) {
                if (y < 0 || y >= h->size)
                    for (idx v = 0; v < vectors; v++)
                        NAME(store)(dst + v * LANES, (vec){0});
                else if (row >= begin && row <= end)
                    for (idx v = 0; v < vectors; v++)
                        NAME(store)(dst + v * LANES, (vec)((mask)NAME(load)(row + v * LANES) & inside[v]));
                else
                    for (idx i = 0; i < width; i++)
                        dst[i] = i >= r.lo && i < r.hi ? row[i] : 0;
            }
        }
}

static NAME(view) NAME(box_view)(const NAME(source) *src, const lattice *lat, const NAME(box) *box, idx c0, idx c1,
                                 REAL *packed)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    if (lattice_inside(lat))
        return (NAME(view)){.base = src->first + box->n0 * src->image + c0 * src->plane +
                                    (box->h0 * h->step + h->first) * w->size + box->w0 * w->step + w->first,
                            .image = src->image, .row = h->step * w->size, .column = w->step,
                            .channel = src->plane, .tap_row = h->delta * w->size, .tap_column = w->delta};
    lattice unit = *lat;
    unit.h = NAME(unit_axis)(h);
    unit.w = NAME(unit_axis)(w);
    const idx row = h->step / unit.h.step, column = w->step / unit.w.step;
    NAME(box) b = {.n0 = box->n0, .h0 = box->h0 * row, .w0 = box->w0 * column, .n = box->n,
                   .h = (box->h - 1) * row + 1, .w = (box->w - 1) * column + 1,
                   .fh = axis_row_layout(&unit.h), .fw = axis_row_layout(&unit.w)};
    b.rows = b.h + b.fh.span;
    b.pitch = view_pitch(b.w + b.fw.span, LANES);
    b.area = b.n * b.rows * b.pitch;
    if (b.w + b.fw.span <= VIEW_VECTORS * LANES && unit.w.step == 1 && src->mode == CONV_ZEROS)
        NAME(pack_short_rows)(packed, src, &unit, &b, c0, c1);
    else
        NAME(pack_rows)(packed, src, &unit, &b, c0, c1);
    return (NAME(view)){.base = packed + NAME(unit_first)(&unit.h, b.fh.lowest) * b.pitch + NAME(unit_first)(&unit.w, b.fw.lowest),
                        .image = b.rows * b.pitch, .row = row * b.pitch, .column = column,
                        .channel = b.area, .tap_row = h->delta / unit.h.step * b.pitch, .tap_column = w->delta / unit.w.step};
}

#define VIEW_CALLED 131072 /* bytes of a box at most, that the second-level cache keeps until it is read */

/* Calls the lines of a box that is read in place: wherever a tile met one first, it would wait for it. Inline as `call_lines` is. */
__attribute__((always_inline)) static inline void NAME(view_call)(const NAME(source) *src, const lattice *lat, const NAME(box) *box, idx channels)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx rows = (box->h - 1) * h->step + (h->taps - 1) * axis_distance(h) + 1, line = ALIGNMENT / (idx)sizeof(REAL);
    const idx columns = rows > 1 ? rows * w->size : (box->w - 1) * w->step + (w->taps - 1) * axis_distance(w) + 1;
    const REAL *const first = src->first + (box->h0 * h->step + h->first) * w->size + (rows > 1 ? 0 : box->w0 * w->step + w->first);
    if (!lattice_inside(lat) || columns < CALLED_LINES * line || box->n * channels * columns * (idx)sizeof(REAL) > VIEW_CALLED)
        return;
    for (idx n = box->n0; n < box->n0 + box->n; n++)
        for (idx c = 0; c < channels; c++)
            NAME(call_lines)(first + n * src->image + c * src->plane, columns);
}

static inline idx NAME(view_point)(const NAME(view) *v, idx n, idx y, idx x)
{
    return n * v->image + y * v->row + x * v->column;
}

static inline idx NAME(view_tap)(const NAME(view) *v, idx c, idx th, idx tw)
{
    return c * v->channel + th * v->tap_row + tw * v->tap_column;
}
