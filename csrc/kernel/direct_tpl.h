/* direct -- forward and the gradient of the input: every tap is a shift of source rows, packed once or read where they lie. */

/* From one channel to the next in the packed source, whose planes are `area` apart. */
static idx NAME(channel_shift)(const NAME(box) *box, idx area)
{
    return box->fh.period * box->fw.period * area;
}

/* Where the rows of a tap of the first channel start there. */
static idx NAME(tap_shift)(const lattice *lat, const NAME(box) *box, idx area, idx th, idx tw)
{
    const idx row = floor_div(tap_position(&lat->h, th), lat->h.step) - box->fh.lowest;
    const idx column = floor_div(tap_position(&lat->w, tw), lat->w.step) - box->fw.lowest;
    const idx plane = th % box->fh.period * box->fw.period + tw % box->fw.period;
    return plane * area + row * box->pitch + column;
}

static void NAME(direct_offsets)(int32_t *off, const lattice *lat, const NAME(box) *box, idx area, idx channels)
{
    const idx taps = lat->h.taps * lat->w.taps;
    const int32_t channel = (int32_t)NAME(channel_shift)(box, area);
    for (idx th = 0, k = 0; th < lat->h.taps; th++)
        for (idx tw = 0; tw < lat->w.taps; tw++)
            off[k++] = (int32_t)NAME(tap_shift)(lat, box, area, th, tw);
    for (idx k = taps; k < channels * taps; k++)
        off[k] = off[k - taps] + channel;
}

/* A packed element, and the point that it is: `at` < 0 after the last. */
typedef struct {
    idx at, n, row, column;
} NAME(cursor);

/* The column tile that starts at a cursor, which moves on to the next: its segments. Elements that hold no point (between rows, between
 * images) are computed and thrown away, or passed over at a tile's start. */
static int NAME(direct_segments)(NAME(segment) *s, const lattice *lat, const NAME(box) *box, conv_pad_mode fold, idx image, int nr,
                                 NAME(cursor) *c)
{
    const idx image_area = box->rows * box->pitch, first = c->at, end = first + nr;
    int segments = 0;
    for (;;) {
        const int len = (int)min_idx(end - c->at, box->w - c->column);
        segments = NAME(add_segments)(s, segments, lat, fold, (box->n0 + c->n) * image, box->h0 + c->row, box->w0 + c->column,
                                      (int)(c->at - first), len);
        c->at = end;
        c->column += len;
        if (c->column < box->w)
            return segments;
        c->column = 0;
        if (++c->row == box->h) {
            c->row = 0;
            c->n++;
        }
        c->at = c->n < box->n ? c->n * image_area + c->row * box->pitch : -1;
        if (c->at < 0 || c->at >= end)
            return segments;
    }
}

/* The tile of k rows at b as a panel, for one that begins before the end of the array and would be read beyond it, or is narrow. */
static void NAME(direct_panel)(REAL *panel, const REAL *b, const NAME(block) *g, idx k, idx nr, const REAL *end)
{
    for (idx i = 0; i < k; i++, panel += nr) {
        const REAL *const row = b + (g->at ? g->at[i] : i * g->ldb);
        const idx inside = max_idx(0, min_idx(nr, end - row));
        NAME(copy)(panel, row, inside);
        for (idx j = inside; j < nr; j++)
            panel[j] = 0;
    }
}

/* A part of a task's box, packed or in place; where the offsets and the packed rows are. */
typedef struct {
    const conv_call *call;
    const NAME(task) *t;
    REAL *buffer, *packed;
    const REAL *end; /* of the source */
    int32_t *off;
} NAME(direct);

/* The rows at hand times the columns of a box, of which the first is at b; its rows lie `ldb` apart, or where the table has them. Where they
 * are read in place, a tile that begins after `readable` would pass the end of the array; else that is NULL. */
static void NAME(direct_columns)(const NAME(direct) *d, const NAME(box) *box, NAME(block) *g, const REAL *b, idx ldb, const REAL *readable, idx together)
{
    const conv_plan *plan = d->call->plan;
    const lattice *lat = &d->t->lat;
    const idx nr = plan->nv * LANES, image = plan->p.groups * lat->result_channels * g->dst_row;
    const idx alone = ldb > 0 && box->h * box->n == 1 ? columns_alone(plan, NV, box->w % nr, LANES) : 0; /* after whole vectors */
    NAME(segment) s[4 * NV * LANES];
    for (NAME(cursor) c = {0}; c.at >= 0;) {
        const REAL *tile = b + c.at;
        const idx left = box->w - c.column, width = left < nr && left > alone && alone > 0 ? left - alone : nr;
        const int segments = NAME(direct_segments)(s, lat, box, g->fold ? plan->p.pad_mode : CONV_ZEROS, image, (int)width, &c);
        idx more = 0;
        g->nv = narrowest_tile(plan->nv, NV, NAME(columns_of)(s, segments), LANES);
        g->at = ldb > 0 ? NULL : d->off;
        g->ldb = ldb;
        if (readable && (tile > readable || left == alone)) {
            NAME(direct_panel)(d->packed, tile, g, g->k, g->nv * LANES, d->end);
            g->at = NULL;
            g->ldb = 0;
            tile = d->packed;
        } else if (g->nv == plan->nv && c.column > 0 && NAME(dense)(g, s, segments)) {
            more = min_idx(together - 1, (box->w - 1 - c.column) / nr);
            if (readable)
                more = min_idx(more, (readable - tile) / nr);
            c.at += more * nr;
            c.column += more * nr;
        }
        NAME(block_columns)(g, tile, more, nr, s, segments);
    }
}

/* A box, packed or in place, some channels at a time. */
static void NAME(direct_part)(const NAME(direct) *d, const NAME(box) *box, int in_place)
{
    const conv_plan *plan = d->call->plan;
    const lattice *lat = &d->t->lat;
    const NAME(source) src = NAME(task_source)(d->call, d->t);
    const idx ldb = in_place && direct_points(lat) ? src.plane : 0, taps = lat->h.taps * lat->w.taps;
    const idx nr = plan->nv * LANES, m0 = d->t->m0, m1 = d->t->m1, lines = (idx)direct_lines(plan, lat, LANES);
    NAME(block) g = NAME(task_block)(d->call, d->t, d->buffer);
    if (in_place && lat->h.taps > 1 && lat->result_channels > 1 && plan->channels * lat->h.taps > DIRECT_STREAMS) {
        g.ahead = ROWS_AHEAD / (idx)sizeof(REAL);
        g.every = lat->w.taps;
    }
    if (ldb == 0)
        NAME(direct_offsets)(d->off, lat, box, in_place ? src.plane : box->area, plan->channels);
    for (idx c0 = 0; c0 < lat->source_channels; c0 += plan->channels) {
        const idx c1 = min_idx(c0 + plan->channels, lat->source_channels);
        const REAL *rows = d->packed, *readable = NULL;
        g.first = c0 == 0;
        g.last = c1 == lat->source_channels;
        g.a_term = c0 * taps;
        g.k = (c1 - c0) * taps;
        if (in_place) {
            rows = src.first + box->n0 * src.image + c0 * src.plane + (box->h0 + box->fh.lowest) * box->pitch + box->w0 + box->fw.lowest;
            readable = src.end - nr - ((c1 - c0 - 1) * src.plane + box->fh.span * box->pitch + box->fw.span);
        } else {
            NAME(pack_rows)(d->packed, &src, lat, box, c0, c1);
        }
        const idx block = ldb > 0 ? m1 - m0 : row_block(m1 - m0, g.k, MR, sizeof(REAL), g.dst_row * (idx)sizeof(REAL), plan->p.n);
        for (g.m1 = m0; g.m1 < m1;) {
            g.nv = plan->nv;
            NAME(block_rows)(&g, block, m1);
            const idx together = NAME(columns_together)(&g, min_idx((c1 - c0) * lines * ALIGNMENT, g.k * nr * (idx)sizeof(REAL)));
            NAME(direct_columns)(d, box, &g, rows, ldb, readable, together);
        }
    }
}

/* Packs a box by pieces. */
static void NAME(direct_packed)(const NAME(direct) *d, NAME(box) box)
{
    const idx h1 = box.h0 + box.h, w1 = box.w0 + box.w;
    const direct_piece piece = direct_piece_of(d->call->plan, box.h, box.w, LANES);
    for (idx h0 = box.h0; h0 < h1; h0 += piece.h)
        for (idx w0 = box.w0; w0 < w1; w0 += piece.w) {
            NAME(box) part = box;
            part.h0 = h0;
            part.w0 = w0;
            part.h = min_idx(piece.h, h1 - h0);
            part.w = min_idx(piece.w, w1 - w0);
            part.pitch = piece.pitch;
            part.rows = part.h + part.fh.span;
            part.area = part.n * part.rows * part.pitch;
            NAME(direct_part)(d, &part, 0);
        }
}

/* What no tap leaves the source from is read in place, the edges around it are packed: above, below, left, right. */
static void NAME(direct_in_place)(const NAME(direct) *d, const NAME(box) *box)
{
    const axis_run inside_h = axis_inner(&d->t->lat.h), inside_w = axis_inner(&d->t->lat.w);
    const idx h0 = box->h0, h1 = h0 + box->h, w0 = box->w0, w1 = w0 + box->w;
    const idx a = max_idx(h0, min_idx(h1, inside_h.p0)), b = max_idx(a, min_idx(h1, inside_h.p1));
    const idx c = max_idx(w0, min_idx(w1, inside_w.p0)), e = max_idx(c, min_idx(w1, inside_w.p1));
    const idx parts[][4] = {{a, b, c, e}, {h0, a, w0, w1}, {b, h1, w0, w1}, {a, b, w0, c}, {a, b, e, w1}};
    for (int i = 0; i < 5; i++) {
        NAME(box) part = *box;
        part.h0 = parts[i][0];
        part.h = parts[i][1] - part.h0;
        part.w0 = parts[i][2];
        part.w = parts[i][3] - part.w0;
        if (part.h == 0 || part.w == 0)
            continue;
        if (i == 0)
            NAME(direct_part)(d, &part, 1);
        else
            NAME(direct_packed)(d, part);
    }
}

static void NAME(direct_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const NAME(box) box = NAME(task_box)(plan, &t);
    const idx terms = plan->channels * t.lat.h.taps * t.lat.w.taps;
    if (box.n <= 0 || box.h <= 0 || box.w <= 0 || t.m0 >= t.m1)
        return;
    NAME(direct) d = {.call = call, .t = &t, .end = NAME(task_source)(call, &t).end, .buffer = (REAL *)(call->scratch + worker * plan->task_bytes)};
    d.off = (int32_t *)(d.buffer + BUFFER_ROWS * NV * LANES);
    d.packed = (REAL *)((char *)d.off + round_up(terms * (idx)sizeof *d.off, ALIGNMENT));
    if (plan->in_place)
        NAME(direct_in_place)(&d, &box);
    else
        NAME(direct_part)(&d, &box, 0);
}
