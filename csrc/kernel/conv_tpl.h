/* conv -- forward and the gradient of the input: gemm and direct over the lattices of a plan.
 *
 * A task is one (phase, group, chunk of outputs, chunk of rows); it packs its source and calls block_columns. Tasks
 * share nothing but what they read, and write disjoint outputs, so who runs them and in which order cannot matter.
 */
typedef struct {
    idx phase_h, phase_w, group, chunk, m0, m1;
    lattice lat;
} NAME(task);

/* rows: of the result, in one group. */
static NAME(task) NAME(task_decode)(const conv_plan *plan, idx task)
{
    NAME(task) t = {0};
    const idx both = plan->chunks * plan->m_chunks, of_both = task % both;
    const idx m_chunk = plan->rows_first ? of_both / plan->chunks : of_both % plan->m_chunks;
    t.chunk = plan->rows_first ? of_both % plan->chunks : of_both / plan->m_chunks;
    task /= both;
    t.group = task % plan->p.groups;
    task /= plan->p.groups;
    t.phase_w = task % plan->phases_w;
    t.phase_h = task / plan->phases_w;
    t.lat = plan_lattice(plan, t.phase_h, t.phase_w);
    idx step = ceil_div(plan->m_rows, plan->m_chunks);
    t.m0 = min_idx(m_chunk * step, plan->m_rows);
    t.m1 = min_idx(t.m0 + step, plan->m_rows);
    if (plan->weights == WEIGHTS_BY_TILES) {
        const even_tiles tiles = weights_tiles(plan);
        t.m0 = tile_start(tiles, tile_holding(tiles, t.m0));
        t.m1 = tile_start(tiles, tile_holding(tiles, t.m1));
    }
    return t;
}

static NAME(block) NAME(task_block)(const conv_call *call, const NAME(task) *t, REAL *buffer)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx k = t->lat.source_channels * t->lat.h.taps * t->lat.w.taps;
    NAME(block) g = {.nv = plan->nv, .buffer = buffer, .few_row = LANES, .lda = weights_pitch(plan, k), .kblock = accumulation_block(k),
                     .dst_row = t->lat.h.out_size * t->lat.w.out_size, .dst_step = t->lat.w.out_step};
    g.a = (const REAL *)call->weights + t->group * weights_laid_out(plan) + weights_before(plan, t->phase_h, t->phase_w);
    g.dst = (REAL *)call->dst + t->group * t->lat.result_channels * g.dst_row;
    g.beside = call->beside ? (const REAL *)call->beside + t->group * t->lat.result_channels * g.dst_row : NULL;
    g.bias = call->bias ? (const REAL *)call->bias + t->group * t->lat.result_channels : NULL;
    if (plan->weights == WEIGHTS_BY_TILES) {
        g.tiles = weights_tiles(plan);
        g.tiles_ahead = k * t->lat.result_channels * (idx)sizeof(REAL) > WEIGHTS_NEAR ? TILES_AHEAD : 0;
    }
    if (p->pass == CONV_FWD) {
        g.relu = p->activation == CONV_RELU;
    } else {
        g.fold = p->pad_mode != CONV_ZEROS;
    }
    return g;
}

static NAME(source) NAME(task_source)(const conv_call *call, const NAME(task) *t)
{
    const conv_problem *p = &call->plan->p;
    const REAL *first = call->src;
    const idx plane = t->lat.h.size * t->lat.w.size, image = p->groups * t->lat.source_channels * plane;
    /* The gradient's own padding is always of zeros: its mode says where the results fold, not what is read. */
    return (NAME(source)){.first = first + t->group * t->lat.source_channels * plane, .begin = first,
                          .end = first + p->n * image,
                          .image = image, .plane = plane,
                          .mode = p->pass == CONV_BWD_DATA ? CONV_ZEROS : p->pad_mode};
}

/* Columns [begin, end) in panels of one width. */
typedef struct {
    idx begin, end;
    int nv;
    int few; /* columns alone, packed without gaps; 0: vectors */
} NAME(panels);

/* Columns [j0, j1): whole panels, one as narrow as its tile for what is left, and one for the few after its whole vectors. */
static int NAME(panel_runs)(const conv_plan *plan, idx j0, idx j1, NAME(panels) *run)
{
    const idx left = (j1 - j0) % (plan->nv * LANES), alone = columns_alone(plan, NV, left, LANES);
    const idx ends[] = {j1 - left, j1 - alone, j1};
    const int widths[] = {plan->nv, narrowest_tile(plan->nv, NV, left - alone, LANES), 1};
    int runs = 0;
    for (int i = 0; i < 3; j0 = ends[i++])
        if (ends[i] > j0)
            run[runs++] = (NAME(panels)){j0, ends[i], widths[i], i == 2 ? (int)alone : 0};
    return runs;
}

/* The columns of a run, of channels [c0, c1); those that are alone lie next to the next term's, or their lines would be as many as the weights'. */
static void NAME(pack_panels)(REAL *first, idx depth, const NAME(panels) *run, const NAME(source) *src, const lattice *lat, idx c0, idx c1)
{
    NAME(pack_im2col)(first, depth * run->nv * LANES, run->nv * LANES, src, lat, c0, c1, run->begin, run->end);
    const idx terms = run->few > 0 ? (c1 - c0) * lat->h.taps * lat->w.taps : 0;
    for (idx k = 1; k < terms; k++)
        for (int c = 0; c < run->few; c++)
            first[k * run->few + c] = first[k * LANES + c];
}

/* The rows at hand times all panels. */
static void NAME(gemm_columns)(NAME(block) *g, const REAL *panels, idx depth, const NAME(panels) *run, int runs, const lattice *lat,
                               conv_pad_mode fold, idx image)
{
    const idx points = lat->h.grid * lat->w.grid, j0 = run[0].begin;
    const idx width = lattice_dense(lat) && !g->fold ? points : lat->w.grid; /* of what lies in one row */
    const NAME(panels) *const rest = run + runs - 1;
    NAME(segment) s[4 * NV * LANES];
    idx n = j0 / points, row = j0 % points / width, column = j0 % width;
    g->alone = NULL;
    for (int q = 0; q < runs; q++) {
        const int nr = run[q].nv * LANES;
        const idx together = NAME(columns_together)(g, g->k * nr * (idx)sizeof(REAL));
        g->nv = run[q].nv;
        g->few_row = run[q].few > 0 ? run[q].few : LANES;
        for (idx j = run[q].begin, more; j < run[q].end; j += (1 + more) * nr) {
            int segments = 0, len;
            for (int done = 0; done < nr && j + done < run[q].end; done += len) {
                len = (int)min_idx(min_idx(nr - done, run[q].end - j - done), width - column);
                segments = NAME(add_segments)(s, segments, lat, fold, n * image, row, column, done, len);
                column += len;
                if (column == width) {
                    column = 0;
                    if (++row * width == points) {
                        row = 0;
                        n++;
                    }
                }
            }
            const int goes_on = column > 0 && NAME(dense)(g, s, segments); /* in the same row */
            more = goes_on ? min_idx(min_idx(run[q].end - j - nr, width - 1 - column) / nr, together - 1) : 0;
            column += more * nr;
            if (goes_on && rest->few == 1 && j + (1 + more) * nr == rest->begin && NAME(takes_along)(g)) {
                g->alone = panels + (rest->begin - j0) * depth;
                runs--;
            }
            NAME(block_columns)(g, panels + (j - j0) * depth, more, depth * nr, s, segments);
        }
    }
}

static void NAME(gemm_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const NAME(task) t = NAME(task_decode)(plan, index);
    const lattice *lat = &t.lat;
    const idx points = lat->h.grid * lat->w.grid, taps = lat->h.taps * lat->w.taps;
    if (points == 0 || t.m0 >= t.m1)
        return;
    const idx chunks_w = ceil_div(points, plan->chunk_w);
    const idx n0 = t.chunk / chunks_w * plan->chunk_n, n1 = min_idx(n0 + plan->chunk_n, plan->p.n);
    const idx j0 = n0 * points + t.chunk % chunks_w * plan->chunk_w;
    const idx j1 = plan->chunk_n > 1 ? n1 * points : min_idx(j0 + plan->chunk_w, n1 * points);
    if (j0 >= j1)
        return;

    idx *const held = (idx *)(call->scratch + worker * plan->task_bytes), columns = index / (plan->chunks * plan->m_chunks) * plan->chunks + t.chunk;
    REAL *buffer = (REAL *)((char *)held + ALIGNMENT);
    REAL *panels = buffer + BUFFER_ROWS * NV * LANES;
    const idx depth = plan->channels * taps;
    NAME(block) g = NAME(task_block)(call, &t, buffer);
    const NAME(source) src = NAME(task_source)(call, &t);
    const idx image = plan->p.groups * lat->result_channels * g.dst_row;
    const conv_pad_mode fold = g.fold ? plan->p.pad_mode : CONV_ZEROS;
    NAME(panels) run[3];
    const int runs = NAME(panel_runs)(plan, j0, j1, run);

    for (idx c0 = 0; c0 < lat->source_channels; c0 += plan->channels) {
        const idx c1 = min_idx(c0 + plan->channels, lat->source_channels);
        g.first = c0 == 0;
        g.last = c1 == lat->source_channels;
        g.a_term = c0 * taps;
        g.k = (c1 - c0) * taps;
        for (int q = 0; q < runs && *held != columns; q++)
            NAME(pack_panels)(panels + (run[q].begin - j0) * depth, depth, run + q, &src, lat, c0, c1);
        *held = g.first && g.last ? columns : PANELS_NONE;
        const idx rows = row_block(t.m1 - t.m0, g.k, MR, sizeof(REAL), g.dst_row * (idx)sizeof(REAL), plan->p.n);
        for (g.m1 = t.m0; g.m1 < t.m1;) {
            g.nv = plan->nv;
            NAME(block_rows)(&g, rows, t.m1);
            NAME(gemm_columns)(&g, panels, depth, run, runs, lat, fold, image);
        }
    }
}

static NAME(box) NAME(task_box)(const conv_plan *plan, const NAME(task) *t)
{
    const conv_axis *h = &t->lat.h, *w = &t->lat.w;
    const idx chunks_w = ceil_div(w->grid, plan->chunk_w), chunks_h = ceil_div(h->grid, plan->chunk_h);
    NAME(box) box = {.fh = axis_row_layout(h), .fw = axis_row_layout(w)};
    if (chunks_w == 0 || chunks_h == 0)
        return box;
    box.w0 = t->chunk % chunks_w * plan->chunk_w;
    box.h0 = t->chunk / chunks_w % chunks_h * plan->chunk_h;
    box.n0 = t->chunk / chunks_w / chunks_h * plan->chunk_n;
    box.w = min_idx(plan->chunk_w, w->grid - box.w0);
    box.h = min_idx(plan->chunk_h, h->grid - box.h0);
    box.n = max_idx(0, min_idx(plan->chunk_n, plan->p.n - box.n0));
    box.rows = box.h + box.fh.span;
    box.pitch = plan->pitch;
    box.area = line_pitch(box.n * box.rows * box.pitch, sizeof(REAL)); /* planes a power of two apart would share a few sets of the cache */
    return box;
}

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
