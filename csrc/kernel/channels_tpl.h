/* channels -- direct with lanes over the result's channels: short rows, whose columns would not fill a vector.
 *
 * The source is broadcast, element by element, from where it lies (view_tpl.h); the weights are the panel. A task goes
 * unit by unit: as many images (or the one chunk of an image) as fill tiles, computed as rows (point, channel), all
 * lattices of them, and turned round, LANES outputs at a time, on their way to (channel, point): the outputs of a strided
 * gradient come from several lattices but are stored side by side. All units look alike, so the tables of one, where its
 * points are and where its outputs go, are made once.
 */
/* A lattice of the task. */
typedef struct {
    lattice lat;
    idx k, h, w;          /* terms; points of an image */
    REAL *panel;          /* (k, nr) weights */
    int32_t *at;          /* k: where each tap is in the source */
    idx shift;            /* of the source */
    idx *point;           /* by row of the unit: where it is in the source */
    idx first;            /* of its rows in the unit */
} NAME(channels_part);

typedef struct {
    NAME(channels_part) *part;
    int parts;
    idx pitch;            /* elements of a row: the widest tile's */
    REAL *rows;           /* (row, pitch) */
    REAL *bias;           /* pitch */
    idx *order;           /* by output: where its row is in `rows` */
    NAME(segment) *segment; /* of each LANES outputs, from LANES * block on: where they belong */
    int *segments;
    idx outputs;          /* of the unit */
} NAME(channels_unit);

/* Where output i of the unit belongs, from its first image on. */
static idx NAME(channels_output)(const conv_plan *plan, const lattice *lat, const NAME(box) *box, idx i)
{
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const idx plane = lat->h.out_size * lat->w.out_size, image = plan->p.groups * lat->result_channels * plane;
    const idx points = whole ? plane : box->h * box->w, width = whole ? lat->w.out_size : box->w;
    const idx n = i / points, y = i % points / width, x = i % width;
    return n * image + (box->h0 + y) * lat->w.out_size + box->w0 + x;
}

/* The tables of a unit of so many images. */
static void NAME(channels_tables)(NAME(channels_unit) *u, const conv_plan *plan, const NAME(view) *view, idx images)
{
    const int whole = plan->p.pass == CONV_BWD_DATA;
    idx row = 0;
    for (int q = 0; q < u->parts; q++) {
        NAME(channels_part) *part = u->part + q;
        const lattice *lat = &part->lat;
        const idx plane = whole ? lat->h.out_size * lat->w.out_size : part->h * part->w;
        const idx pitch = whole ? lat->w.out_size : part->w, step = whole ? lat->w.out_step : 1;
        idx *point = part->point;
        part->first = row;
        for (idx n = 0; n < images; n++)
            for (idx y = 0; y < part->h; y++) {
                idx *order = u->order + n * plane + y * pitch;
                if (whole)
                    order = u->order + n * plane + (lat->h.out_first + y * lat->h.out_step) * pitch + lat->w.out_first;
                for (idx x = 0; x < part->w; x++, order += step) {
                    *point++ = NAME(view_point)(view, n, y, x);
                    *order = u->pitch * row++;
                }
            }
    }
    u->outputs = row;
    for (idx i = 0; i < LANES; i++)
        u->order[row + i] = 0; /* the last turn is whole; its surplus is not stored */
}

/* Where the outputs of a unit that is a chunk of an image belong. */
static void NAME(channels_segments)(NAME(channels_unit) *u, const conv_plan *plan, const NAME(box) *box)
{
    for (idx i = 0; i < u->outputs; i += LANES) {
        NAME(segment) *s = u->segment + i;
        int segments = 0;
        for (int j = 0; j < min_idx(LANES, u->outputs - i); j++) {
            const idx out = NAME(channels_output)(plan, &u->part->lat, box, i + j);
            if (segments > 0 && out == s[segments - 1].out + s[segments - 1].count)
                s[segments - 1].count++;
            else
                s[segments++] = (NAME(segment)){out, j, 1};
        }
        u->segments[i / LANES] = segments;
    }
}

/* The rows of one lattice. */
static void NAME(channels_rows)(const NAME(channels_unit) *u, const NAME(channels_part) *part, int nv, idx images,
                                const REAL *source, const REAL *bias, int relu)
{
    const idx count = images * part->h * part->w, kblock = lattice_block(&part->lat);
    NAME(tile_run) *const run = NAME(tile_of)(nv, NAME(LISTED_A), NAME(PANEL_B));
    const idx tiles = max_idx(1, ceil_div(count, min_idx(NAME(tile_rows)(nv), CHANNELS_ROWS))), low = count / tiles, higher = (low + 1) * (count % tiles);
    for (idx i = 0, height; i < count; i += height) {
        REAL *rows = u->rows + (part->first + i) * u->pitch;
        const NAME(tile_args) args = {.k = part->k, .kblock = kblock, .a = source + part->shift, .row = part->point + i,
                                      .b = part->panel, .at = part->at, .out = rows, .ldout = u->pitch, .prev = bias, .relu = relu};
        height = low + (i < higher);
        run(&args, (int)height);
    }
}

/* The rows of N outputs that follow one another, LANES channels of them, to dst (channel, plane). */
__attribute__((always_inline)) static inline void NAME(channels_turn)(REAL *dst, idx plane, const REAL *rows, const idx *order,
                                                                      const int N)
{
    const REAL *row[LANES];
    vec r[LANES];
#pragma GCC unroll 16
    for (int j = 0; j < N; j++)
        row[j] = rows + order[j];
    NAME(turn)(r, row, N);
#pragma GCC unroll 16
    for (int c = 0; c < LANES; c++, dst += plane)
        __builtin_memcpy(dst, (const char *)&r[c % N] + c / N * N * (int)sizeof(REAL), N * sizeof(REAL));
}

/* The same of fewer outputs and channels: whole vectors but for those that would end beyond `limit`. */
static void NAME(channels_turn_some)(REAL *dst, idx plane, const REAL *rows, const idx *order, idx outputs, idx channels,
                                     const REAL *limit)
{
    REAL turned[LANES * LANES];
    NAME(channels_turn)(turned, LANES, rows, order, LANES);
    for (const REAL *from = turned; from < turned + channels * LANES; from += LANES, dst += plane)
        if (dst + LANES <= limit)
            NAME(store)(dst, NAME(load)(from));
        else
            NAME(copy)(dst, from, outputs);
}

/* The unit's outputs for `count` channels where it is whole images, to dst (image, channel, point). What a vector writes
 * past the end of its plane, or of the channels, is written again: the end of a plane goes before its beginning, and its
 * channel before the next. `limit`: where what the caller's loop writes ends. */
static void NAME(channels_planes)(const NAME(channels_unit) *u, REAL *dst, idx image, idx plane, idx count, const REAL *limit,
                                  idx next_limit)
{
    const int few = LANES < 4 ? LANES : 4;
    for (const idx *order = u->order; order < u->order + u->outputs; order += plane, dst += image, limit += next_limit)
        for (idx o = 0; o < count; o += LANES)
            for (idx end = plane, i; end > 0; end = i) {
                const idx left = end % LANES, fours = left > 0 && 4 * left <= 3 * LANES; /* which is cheaper */
                i = (end - 1) & (fours ? -few : -LANES);
                const REAL *const rows = u->rows + o;
                REAL *const to = dst + o * plane + i;
                if (to + (LANES - 1) * plane + LANES > limit)
                    NAME(channels_turn_some)(to, plane, rows, order + i, min_idx(LANES, plane - i), min_idx(LANES, count - o), limit);
                else if (fours)
                    NAME(channels_turn)(to, plane, rows, order + i, few);
                else
                    NAME(channels_turn)(to, plane, rows, order + i, LANES);
            }
}

/* The same of a chunk of an image, to dst (channel, point). */
static void NAME(channels_chunk)(const NAME(channels_unit) *u, REAL *dst, idx plane, idx count)
{
    REAL turned[LANES * LANES];
    for (idx i = 0; i < u->outputs; i += LANES)
        for (idx o = 0; o < count; o += LANES) {
            const NAME(segment) *s = u->segment + i;
            NAME(channels_turn)(turned, LANES, u->rows + o, u->order + i, LANES);
            for (idx c = 0; c < min_idx(LANES, count - o); c++)
                for (int q = 0; q < u->segments[i / LANES]; q++)
                    NAME(copy)(dst + (o + c) * plane + s[q].out, turned + c * LANES + s[q].column, s[q].count);
        }
}

/* Carves the task's scratch, and looks up the lattices and their taps; returns where the padded source may go. */
static REAL *NAME(channels_parts)(NAME(channels_unit) *u, const conv_plan *plan, char *scratch)
{
    const idx nr = plan->nv * LANES, k = plan->channels * plan->p.kh * plan->p.kw, units = channels_unit_points(plan);
    idx *point;
    int32_t *at;
    REAL *panel = (REAL *)scratch;
    u->parts = (int)(plan->phases_h * plan->phases_w);
    u->pitch = nr;
    u->rows = panel + (k + u->parts * LANES) * nr;
    u->bias = u->rows + units * nr;
    u->part = (NAME(channels_part) *)(u->bias + nr);
    point = (idx *)(u->part + u->parts);
    u->order = point + units;
    u->segment = (NAME(segment) *)(u->order + units + LANES);
    u->segments = (int *)(u->segment + units + LANES);
    at = (int32_t *)(u->segments + units + 1);
    for (int q = 0; q < u->parts; q++) {
        NAME(channels_part) *part = u->part + q;
        part->lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
        part->k = plan->channels * part->lat.h.taps * part->lat.w.taps;
        part->h = part->lat.h.grid;
        part->w = part->lat.w.grid;
        part->panel = panel;
        part->at = at;
        part->point = point;
        panel += (part->k + LANES) * nr;
        at += part->k;
        point += plan->depth * part->h * part->w;
    }
    return (REAL *)((char *)scratch + channels_table_bytes(plan, sizeof(REAL)));
}

/* Where a part's source and taps are, in a view of the envelope of all. */
static void NAME(channels_taps)(NAME(channels_part) *part, const lattice *all, NAME(view) view)
{
    const lattice *lat = &part->lat;
    int32_t *at = part->at;
    /* a lattice of a forward pass is the envelope; that of a gradient has steps and distances of 1 */
    part->shift = (lat->h.first - all->h.first) * view.row + (lat->w.first - all->w.first) * view.column;
    view.tap_row = lat->h.delta * view.tap_row / all->h.delta;
    view.tap_column = lat->w.delta * view.tap_column / all->w.delta;
    for (idx c = 0; c < lat->source_channels; c++)
        for (idx th = 0; th < lat->h.taps; th++)
            for (idx tw = 0; tw < lat->w.taps; tw++)
                *at++ = (int32_t)NAME(view_tap)(&view, c, th, tw);
}

static void NAME(channels_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    NAME(task) t = NAME(task_decode)(plan, index);
    const lattice all = plan_envelope(plan);
    NAME(task) joined = t;
    joined.lat.h = all.h;
    joined.lat.w = all.w;
    const NAME(box) box = NAME(task_box)(plan, &joined);
    if (box.n <= 0 || box.h <= 0 || box.w <= 0 || t.m0 >= t.m1)
        return;

    NAME(channels_unit) u = {0};
    idx *const held = (idx *)(call->scratch + worker * plan->task_bytes), panels = t.group * all.result_channels + t.m0;
    REAL *const packed = NAME(channels_parts)(&u, plan, (char *)held + ALIGNMENT);
    const NAME(source) src = NAME(task_source)(call, &t);
    const NAME(block) g = NAME(task_block)(call, &t, NULL);
    const idx image = plan->p.groups * all.result_channels * g.dst_row;
    NAME(box) unit = box; /* the images at hand */
    NAME(view) view = {0};
    for (int q = 0; q < u.parts && plan->p.pass == CONV_FWD; q++) {
        u.part[q].h = box.h;
        u.part[q].w = box.w;
    }

    /* units of whole images; and nothing between two of them but what this loop writes */
    const int whole = channels_unit_points(plan) == plan->depth * g.dst_row;
    const int alone = plan->p.groups == 1 && t.m1 - t.m0 == all.result_channels && all.result_channels <= u.pitch;
    for (idx o = t.m0, nr; o < t.m1; o += nr) {
        const int nv = NAME(tile_vectors)(plan->nv, t.m1 - o);
        nr = nv * LANES;
        const idx channels = min_idx(nr, t.m1 - o);
        for (int q = 0; q < u.parts && *held != panels; q++) {
            const NAME(channels_part) *part = u.part + q;
            t.phase_h = q / plan->phases_w;
            t.phase_w = q % plan->phases_w;
            t.lat = part->lat;
            const NAME(block) each = NAME(task_block)(call, &t, NULL);
            NAME(pack_matrix)(part->panel, nr, each.a + o * each.lda, 1, each.lda, part->k, channels,
                              each.a + (all.result_channels - 1) * each.lda + part->k);
        }
        *held = channels == t.m1 - t.m0 ? panels : PANELS_NONE;
        for (idx c = 0; g.bias && c < nr; c++)
            u.bias[c] = c < channels ? g.bias[o + c] : 0;
        unit.n = 0;
        for (idx n = 0; n < box.n; n += unit.n) {
            const int anew = unit.n != min_idx(plan->depth, box.n - n);
            unit.n0 = box.n0 + n;
            unit.n = min_idx(plan->depth, box.n - n);
            if (o == t.m0 || unit.n < box.n) /* that of a single unit serves all columns */
                view = NAME(box_view)(&src, &all, &unit, 0, plan->channels, packed);
            NAME(view_call)(&src, &all, &unit, plan->channels);
            for (int q = 0; q < u.parts && anew; q++)
                NAME(channels_taps)(u.part + q, &all, view);
            if (anew)
                NAME(channels_tables)(&u, plan, &view, unit.n);
            if (anew && !whole)
                NAME(channels_segments)(&u, plan, &box);
            for (int q = 0; q < u.parts; q++)
                NAME(channels_rows)(&u, u.part + q, nv, unit.n, view.base, g.bias ? u.bias : NULL, g.relu);
            REAL *const first = g.dst + (box.n0 + n) * image, *const dst = first + o * g.dst_row;
            const REAL *const end = first + t.m1 * g.dst_row;
            if (!whole)
                NAME(channels_chunk)(&u, dst, g.dst_row, channels);
            else if (alone)
                NAME(channels_planes)(&u, dst, image, g.dst_row, channels, end + (box.n - 1 - n) * image, 0);
            else
                NAME(channels_planes)(&u, dst, image, g.dst_row, channels, end, image);
        }
    }
}
