/* slide -- what lies around the walk of slide_walk_tpl.h: where source rows are, masks of padding, strips, planes, the task.
 */
/* What the planes of a task share: its band of rows and its columns. */
typedef struct {
    const lattice *lat;
    slide_shape shape;
    NAME(source) src;
    idx h0, rows, w0, columns;
    const REAL **row;
    idx *at;                 /* of each tap in a row, in the order of their positions */
    REAL *zeros, *copies, *sums; /* sums: NULL where no kernel is cut */
    const REAL *weights;     /* of the result at hand */
    int far;                 /* the planes are more than caches keep */
    vec *keep;
} NAME(slide_band);

/* All rows and columns of the planes, of which none is at hand yet. */
static NAME(slide_band) NAME(slide_band_of)(const conv_call *call, char *scratch)
{
    const conv_problem *p = &call->plan->p;
    const lattice *lat = &call->plan->largest;
    const conv_axis *h = &lat->h, *w = &lat->w;
    const slide_shape s = slide_shape_of(call->plan);
    const axis_rows fw = axis_row_layout(w);
    NAME(slide_band) b = {.lat = lat, .shape = s, .rows = h->grid, .columns = w->grid, .row = (const REAL **)scratch,
                          .at = (idx *)(scratch + s.at), .zeros = (REAL *)(scratch + s.copies), .keep = (vec *)(scratch + s.keep)};
    b.src = (NAME(source)){.first = call->src, .plane = h->size * w->size, .mode = p->pass == CONV_FWD ? p->pad_mode : CONV_ZEROS};
    b.src.end = b.src.first + p->n * p->groups * b.src.plane;
    b.copies = b.zeros + s.period * s.pitch;
    b.sums = s.part < s.across ? (REAL *)(scratch + s.sums) : NULL;
    NAME(zero_run)(b.zeros, s.period * s.pitch);
    for (idx tap = 0; tap < w->taps; tap++) {
        const idx tw = w->delta < 0 ? w->taps - 1 - tap : tap, position = tap_position(w, tw);
        b.at[tap] = s.in_place ? position : tw % s.period * s.pitch + floor_div(position, w->step) - fw.lowest;
    }
    return b;
}

/* One source row, padded, by residues. */
static void NAME(slide_copy)(const NAME(slide_band) *b, REAL *to, const REAL *row)
{
    const conv_axis *w = &b->lat->w;
    const slide_shape *s = &b->shape;
    const axis_rows fw = axis_row_layout(w);
    for (idx residue = 0; residue < s->period; residue++, to += s->pitch) {
        const idx step = s->in_place ? 1 : w->step, position = tap_position(w, residue);
        const idx base = b->w0 * w->step + (s->in_place ? s->lowest : fw.lowest * step + position - floor_div(position, step) * step);
        const idx count = s->in_place ? s->pitch : b->columns + fw.span;
        NAME(pack_run)(to, row, NAME(run_inside)(base, step, w->size, count), step, count, w->size, &b->src, s->pitch);
    }
}

/* Where the source rows of a plane are; those that a vector would leave the array from are copied. Whether all are read in place. */
static int NAME(slide_rows)(const NAME(slide_band) *b, const REAL *plane)
{
    const conv_axis *h = &b->lat->h, *w = &b->lat->w;
    const slide_shape *s = &b->shape;
    const idx shift = b->w0 * w->step, used = s->unit == 1 ? h->taps : s->table, across = s->in_place ? s->lowest : 0;
    REAL *copy = b->copies;
    for (idx q = 0; q < s->table; q++) {
        const idx y = pad_index(b->src.mode, b->h0 * h->step + s->low + q, h->size);
        b->row[q] = b->zeros - across;
        if (y < 0 || y >= h->size || q % h->step >= used)
            continue;
        const REAL *row = plane + y * w->size, *from = row + shift;
        if (s->in_place && from - b->src.first >= -s->lowest && b->src.end - from >= s->pitch + s->lowest) {
            b->row[q] = from;
        } else {
            NAME(slide_copy)(b, copy, row);
            b->row[q] = copy - across;
            copy += s->period * s->pitch;
        }
    }
    return s->in_place && copy == b->copies;
}

/* The same for a plane after one whose rows were all read in place. */
static int NAME(slide_advance)(const NAME(slide_band) *b, const REAL *plane)
{
    const slide_shape *s = &b->shape;
    const REAL *const first = plane + b->w0 * b->lat->w.step, *const none = b->zeros - s->lowest;
    if (first - b->src.first < -s->lowest || b->src.end - first < b->src.plane + s->pitch + s->lowest)
        return NAME(slide_rows)(b, plane);
    for (idx q = 0; q < s->table; q++)
        b->row[q] += b->row[q] == none ? 0 : b->src.plane;
    return 1;
}

/* A strip: its first column and the last vector's, and whether a lane of it that counts reads padding. */
typedef struct {
    idx column, last, vectors;
    int edge;
} NAME(slide_strip);

static NAME(slide_strip) NAME(slide_strip_of)(const NAME(slide_band) *b, idx strip)
{
    const slide_shape *s = &b->shape;
    const conv_axis *w = &b->lat->w;
    const idx all = ceil_div(b->columns, LANES), count = ceil_div(all, s->vectors);
    const idx v0 = strip * all / count, v1 = (strip + 1) * all / count;
    NAME(slide_strip) t = {v0 * LANES, min_idx((v1 - 1) * LANES, max_idx(0, b->columns - LANES)), v1 - v0, 0};
    const idx first = (b->w0 + min_idx(t.column, t.last)) * w->step + s->lowest;
    const idx end = (b->w0 + min_idx(t.last + LANES, b->columns) - 1) * w->step + s->highest;
    t.edge = s->in_place && (first < 0 || end >= w->size);
    t.column = min_idx(t.column, t.last);
    return t;
}

/* The lanes that lie in the source: of each tap and vector of a strip, or of the three vectors that slide_pairs loads
 * for each with a stride of 2. */
static void NAME(slide_mask)(const NAME(slide_band) *b, const NAME(slide_strip) *strip, vec *keep, int square)
{
    const conv_axis *w = &b->lat->w;
    const int loads = square && w->step == 2;
    const idx outer = loads ? strip->vectors : w->taps, inner = loads ? 3 : strip->vectors, step = loads ? 1 : w->step;
    const mask lane = NAME(iota)();
    for (idx i = 0; i < outer; i++)
        for (idx j = 0; j < inner; j++) {
            const idx v = loads ? i : j, column = v < strip->vectors - 1 ? strip->column + v * LANES : strip->last;
            const idx base = (b->w0 + column) * w->step + (loads ? b->at[0] + j * LANES : b->at[i]);
            const idx lo = base < 0 ? ceil_div(-base, step) : 0, hi = ceil_div(max_idx(0, w->size - base), step);
            *keep++ = (vec)((lane >= (mask){0} + (WORD)min_idx(lo, LANES)) & (lane < (mask){0} + (WORD)min_idx(hi, LANES)));
        }
}

/* Every strip and every set of rows of one result. */
static void NAME(slide_plane)(const NAME(slide_band) *b, NAME(slide) *t, REAL *dst)
{
    const slide_shape *s = &b->shape;
    const idx width = b->lat->w.grid, stride = t->stride;
    const idx strips = ceil_div(ceil_div(b->columns, LANES), s->vectors);
    const vec *keep = b->keep;
    t->ldout = s->apart * width;
    for (idx i = 0; i < strips; i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(b, i);
        t->keep = strip.edge ? keep : NULL;
        keep += strip.edge ? max_idx(3, b->lat->w.taps) * strip.vectors : 0;
        t->column = strip.column * stride;
        t->last_out = strip.last - strip.column;
        t->last = t->last_out * stride;
        /* after the last strip comes the next plane */
        const int other = i == strips - 1 && b->rows == b->lat->h.grid && b->columns == width;
        const idx ahead = !b->far ? 0 : other ? b->src.plane - t->column : strip.vectors * LANES * stride;
        const idx ahead_out = !b->far ? 0 : other ? b->rows * width - strip.column : strip.vectors * LANES;
        for (idx r = 0; r < min_idx(s->apart, b->rows); r++) {
            t->out = dst + r * width + strip.column;
            for (idx a = 0; a < s->across; a += s->part) {
                t->across = min_idx(s->part, s->across - a);
                t->first = a == 0;
                t->final = a + t->across == s->across;
                t->full = t->final ? s->full : s->depth;
                t->ahead = t->first ? ahead : 0;
                t->ahead_out = t->final ? ahead_out : 0;
                t->row = b->row + r * b->lat->h.step + a * t->ldrow;
                t->w = b->weights + a * s->depth * t->taps;
                t->steps = ceil_div(b->rows - r, s->apart) + t->across - 1;
                NAME(slide_run)(t, strip.vectors);
            }
        }
    }
}

static void NAME(slide_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice *lat = &plan->largest;
    const conv_axis *h = &lat->h, *w = &lat->w;
    const idx across = ceil_div(w->grid, plan->chunk_w), bands = ceil_div(h->grid, plan->chunk_h), planes = p->n * p->groups;
    const idx first = index / (bands * across) * plan->chunk_n, end = min_idx(first + plan->chunk_n, planes);
    char *const scratch = call->scratch + worker * plan->task_bytes;
    NAME(slide_band) b = NAME(slide_band_of)(call, scratch);
    const slide_shape s = b.shape;
    REAL *const weights = (REAL *)(scratch + s.weights);
    b.h0 = index / across % bands * plan->chunk_h;
    b.w0 = index % across * plan->chunk_w;
    b.weights = weights;
    b.far = planes * (b.src.plane + lat->result_channels * h->grid * w->grid) * (idx)sizeof(REAL) > 4 * 262144;
    b.rows = min_idx(plan->chunk_h, h->grid - b.h0);
    b.columns = min_idx(plan->chunk_w, w->grid - b.w0);
    /* the squares of slide_any, where padding meets the first and the last vector of a strip alone */
    const int known = s.in_place && s.unit == 1 && w->delta * w->delta == 1 && h->taps == w->taps && h->step == w->step &&
                      (w->taps == 3 || (w->taps == 5 && w->step == 2)) && w->taps - 2 <= PIECE &&
                      s.lowest >= -LANES && (w->grid - 1) * w->step + s.highest - w->size < LANES;
    NAME(slide) t = {.ldrow = s.step * s.unit, .unit = s.unit, .depth = s.depth, .at = b.at, .taps = w->taps,
                     .stride = s.in_place ? (int)w->step : 1, .pairs = w->delta == 1,
                     .square = known,
                     .sums = b.sums,
                     .columns = b.columns,
                     .relu = p->pass == CONV_FWD && p->activation == CONV_RELU};
    vec *keep = b.keep;
    for (idx i = 0; i < ceil_div(ceil_div(b.columns, LANES), s.vectors); i++) {
        const NAME(slide_strip) strip = NAME(slide_strip_of)(&b, i);
        if (strip.edge) {
            NAME(slide_mask)(&b, &strip, keep, t.square);
            keep += max_idx(3, w->taps) * strip.vectors;
        }
    }

    const idx results = lat->result_channels, points = h->grid * w->grid;
    int advance = 0;
    for (idx plane = first; plane < end; plane++) {
        const REAL *source = b.src.first + plane * b.src.plane;
        advance = advance ? NAME(slide_advance)(&b, source) : NAME(slide_rows)(&b, source);
        for (idx m = 0; m < results; m++) {
            const idx result = plane % p->groups * results + m;
            NAME(slide_weights)(lat, &s, weights, (const REAL *)call->weights + result * h->taps * w->taps);
            REAL *dst = (REAL *)call->dst + (plane * results + m) * points + b.h0 * w->grid + b.w0;
            t.end = s.apart > 1 || across > 1 ? NULL : bands == 1 ? (REAL *)call->dst + end * results * points : dst + (b.rows - 1) * w->grid + b.columns;
            t.bias = call->bias ? ((const REAL *)call->bias)[result] : 0;
            NAME(slide_plane)(&b, &t, dst);
        }
    }
}
