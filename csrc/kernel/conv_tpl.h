/* conv -- forward and the gradient of the input over the lattices of a plan: what a task is, and gemm.
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
