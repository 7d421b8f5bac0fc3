/* positions -- the source of bwd_weights laid out for the microkernel: im2col transposed, whose rows are positions.
 */
/* A column of im2col transposed: where its taps are in a run of positions, NULL where that is a row of zeros. */
typedef struct {
    idx plane, th, tw; /* of its channel, from the first; of its tap */
    const REAL *row;
    NAME(inside) in;
} NAME(pack_column);

/* LANES positions of a column, from position i of the run on: where they lie, or gathered at `some`; step 0: any. */
__attribute__((always_inline)) static inline const REAL *NAME(pack_gathered)(const int step, REAL *some, const NAME(pack_column) *c, idx i,
                                                                             idx len, const conv_axis *w, const NAME(source) *src)
{
    if (!c->row) {
        NAME(store)(some, (vec){0});
        return some;
    }
    const REAL *const from = c->row + c->in.base + i * w->step;
    const int inside = i >= c->in.lo && i + LANES <= c->in.hi;
    if (step == 1 && inside)
        return from;
    if (step > 0 && (inside || src->mode == CONV_ZEROS) && from >= src->begin && from + step * LANES <= src->end) {
        const mask at = NAME(iota)() + (WORD)i, in = (at >= (mask){0} + (WORD)c->in.lo) & (at < (mask){0} + (WORD)c->in.hi);
        NAME(store)(some, (vec)((mask)NAME(load_step)(from, step) & in));
        return some;
    }
    for (idx l = 0; l < LANES; l++) {
        idx at = c->in.base + (i + l) * w->step;
        if (i + l < c->in.lo || i + l >= c->in.hi)
            at = i + l < len ? pad_index(src->mode, at, w->size) : -1;
        some[l] = at < 0 ? 0 : c->row[at];
    }
    return some;
}

/* im2col transposed: panel[k * nr + j] for positions k0 .. k1 of (image, row, column) run on, columns j = (c, th, tw)
 * from j0: the operand of bwd_weights. LANES columns are turned at a time; a run that ends within a vector is followed by what comes
 * next, and after the last position is room for that. */
__attribute__((always_inline)) static inline void NAME(pack_positions_of)(const int step, REAL *panel, int nr, const NAME(source) *src,
                                                                          const lattice *lat, idx j0, int count, idx k0, idx k1)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx taps = h->taps * w->taps, points = h->grid * w->grid;
    NAME(pack_column) lane[LANES];
    REAL some[LANES][LANES];
    const REAL *rows[LANES];
    for (int j = 0; j < nr; j += LANES) {
        for (idx l = 0; l < LANES; l++) {
            const idx m = j0 + min_idx(j + l, count - 1);
            lane[l] = (NAME(pack_column)){.plane = m / taps * src->plane, .th = m % taps / w->taps, .tw = m % w->taps};
        }
        idx image = k0 / points, row = k0 % points / w->grid, column = k0 % w->grid;
        for (idx k = k0, len, known = -1; k < k1; k += len) {
            len = min_idx(k1 - k, w->grid - column);
            for (idx l = 0; l < LANES; l++) {
                const idx y = pad_index(src->mode, row * h->step + tap_position(h, lane[l].th), h->size);
                lane[l].row = y < 0 ? NULL : src->first + image * src->image + lane[l].plane + y * w->size;
                if (len != known) /* but for the first run and the last all are rows */
                    lane[l].in = NAME(run_inside)(column * w->step + tap_position(w, lane[l].tw), w->step, w->size, len);
            }
            known = column == 0 ? len : -1;
            for (idx i = 0; i < len; i += LANES) {
                for (idx l = 0; l < LANES; l++)
                    rows[l] = NAME(pack_gathered)(step, some[l], lane + l, i, len, w, src);
                NAME(transpose_rows)(panel + (k - k0 + i) * nr + j, nr, rows);
            }
            column = 0;
            if (++row == h->grid) {
                row = 0;
                image++;
            }
        }
    }
}

#define POSITIONS_CASE(S) case S: NAME(pack_positions_of)(S, panel, nr, src, lat, j0, count, k0, k1); break;
static void NAME(pack_positions)(REAL *panel, int nr, const NAME(source) *src, const lattice *lat, idx j0, int count, idx k0, idx k1)
{
    switch (lat->w.step) {
        CASES_4(POSITIONS_CASE)
    default:
        NAME(pack_positions_of)(0, panel, nr, src, lat, j0, count, k0, k1);
    }
}
#undef POSITIONS_CASE
