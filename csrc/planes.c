/* planes -- one channel to each result, in fwd and bwd_data: depthwise convolutions, signals, images of one channel.
 */
#include "algorithm.h"

#define BAND_BYTES 131072 /* of the copy of a band of rows: it stays in the second-level cache while its tiles pass */

/* ---- stencil: bands of rows of some planes ---- */

/* Cycles of a step for `rows` by `vectors`: the loads, two a cycle, or the products. */
static double stencil_step(const conv_plan *plan, double rows, double vectors)
{
    const double loads = (machine_of(plan)->stencil_loads * vectors + rows) / 2, products = rows * vectors / 2;
    return max_double(loads, products);
}

/* Cycles for `rows` rows side by side, by `vectors`, of so many columns. */
static double stencil_rows(const conv_plan *plan, const lattice *lat, int rows, int vectors, double columns)
{
    const double taps = (double)(lat->h.taps * lat->w.taps), lag = (double)(lat->h.step * lat->w.taps);
    const double blocks = taps <= 53 ? 1 : rows > 1 ? 1.5 : 1.25; /* long sums are cut: measured */
    /* stores, and the copy from the second-level cache: measured */
    double cycles = blocks * (taps - (rows - 1) * lag) * stencil_step(plan, rows, vectors) + 30 + 12 * rows * vectors;
    for (int r = 1; r < rows; r++)
        cycles += 2 * lag * stencil_step(plan, r, vectors) + 5;
    return columns / (double)(lanes_of(plan) * vectors) * cycles;
}

/* For a plane of the result, `rows` rows at a time, then two and one of those that are left; single rows run on over all columns of the copy. */
static double stencil_plane(const conv_plan *plan, const lattice *lat, int rows, int vectors)
{
    const idx grid = lat->h.grid, left = grid % rows, lanes = lanes_of(plan);
    if (rows == 1) {
        const idx all = (max_idx(1, grid) - 1) * stencil_box_of(plan, lat, lanes).pitch + lat->w.grid;
        return stencil_rows(plan, lat, 1, vectors, (double)round_up(all, lanes));
    }
    const double columns = (double)round_up(lat->w.grid, vectors * lanes);
    double cycles = (double)(grid / rows) * stencil_rows(plan, lat, rows, vectors, columns);
    if (left >= 2)
        cycles += stencil_rows(plan, lat, 2, 2, columns);
    return left % 2 == 0 ? cycles : cycles + stencil_rows(plan, lat, 1, 2, columns);
}

static void stencil_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx lanes = lanes_of(plan);
    const int wide = small_tiles(plan) ? 4 : 8;
    const int shapes[][2] = {{2, wide}, {2, 2}, {4, wide / 2}, {4, 2}};
    const int dense = lat.h.delta * lat.h.delta == 1; /* neighbours share source rows */
    plan->chunk_h = max_idx(1, lat.h.grid);
    plan->depth = 1;
    plan->nv = wide;
    double least = stencil_plane(plan, &lat, 1, wide);
    for (int i = 0; i < 4; i++) {
        const int rows = shapes[i][0], vectors = shapes[i][1];
        if (!dense || rows > lat.h.grid || (rows - 1) * lat.h.step >= lat.h.taps || lat.w.grid < vectors * lanes)
            continue;
        const double cycles = stencil_plane(plan, &lat, rows, vectors);
        if (cycles < least) {
            least = cycles;
            plan->depth = rows;
            plan->nv = vectors;
        }
    }
    const stencil_box box = stencil_box_of(plan, &lat, lanes);
    const double row = (double)(box.pitch * element_bytes(plan) * box.h.period * box.w.period);
    const double rows = BAND_BYTES / row - (double)box.h.span;
    plan->chunk_h = round_up(even(plan->chunk_h, (idx)(rows > 8 ? min_double(rows, 1e9) : 8)), plan->depth);
    const double plane = least * (double)lat.result_channels;
    plan->chunk_n = max_idx(1, min_idx(plan->p.n * plan->p.groups, (idx)(PLANES_WORK / (plane + 1))));
}

static idx stencil_chunks(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    return ceil_div(plan->p.n * plan->p.groups, plan->chunk_n) * ceil_div(lat.h.grid, plan->chunk_h);
}

static double stencil_task_bytes(const conv_plan *plan)
{
    return (double)stencil_box_of(plan, &plan->largest, lanes_of(plan)).total * (double)element_bytes(plan) + 2 * ALIGNMENT;
}

#define STENCIL_LINE 11   /* cycles of a line from memory or to it; as many again with a stride: measured */
#define STENCIL_APART 1.5 /* cycles to store a result alone; every second one goes with its neighbours */

static double stencil_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const stencil_box box = stencil_box_of(plan, &plan->largest, lanes_of(plan));
    const double rows = (double)(lat.h.grid * box.h.period * box.w.period);
    const double plane = 140 + 3 * (double)(lat.h.taps * lat.w.taps) + 25 * (double)lat.h.grid;
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double apart = lat.w.out_step == 1 ? 0 : STENCIL_APART * (double)lat.w.grid / (lat.w.out_step == 2 ? 2 : 1);
    return lattices * ((machine_of(plan)->stencil * stencil_plane(plan, &lat, (int)plan->depth, plan->nv) + apart * (double)lat.h.grid + plane) * (double)lat.result_channels +
                       STENCIL_LINE * (double)min_idx(2, lat.w.step) * far_lines(plan, &lat) / lattices +
                       rows * (8 + (double)box.pitch / (double)lanes_of(plan) * (lat.w.step == 1 ? 2 : lat.w.step == 2 ? 8 : 16)));
}

/* One channel to a result, and for the gradient points that belong to one output each. */
static int plane_by_plane(const conv_plan *plan)
{
    return one_channel(plan) && (plan->p.pass == CONV_FWD || plan->p.pad_mode == CONV_ZEROS);
}

const conv_algorithm stencil_algorithm = {
    .id = CONV_STENCIL, .kernel = KERNEL_STENCIL, .reason = "one channel to each result: rows summed side by side from one padded copy",
    .applicable = plane_by_plane, .block = stencil_block, .cost = stencil_cost, .chunks = stencil_chunks, .task_bytes = stencil_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .spans = 1, .task = ROWS_OF_LATTICES,
};

/* ---- slide: bands of rows and runs of columns of some planes ---- */

#define SLIDE_COLUMNS 16384
#define SLIDE_LONGEST 64  /* results that a source row meets */
#define SLIDE_AGAIN 56    /* rows, of a kernel that walks down more than once: a strip stays in the first-level cache */
#define SLIDE_TWICE 1.15  /* of the time, where several walks read planes that the first-level cache does not keep: measured */
#define SLIDE_TALL 1.1 /* of the time with small tiles, where a source row meets five results and more: measured */
#define SLIDE_TALLER 1.2 /* and where several walks share them */
#define SLIDE_WIDE 0.7 /* of the time with tiles that are not small: loads of two lines overlap, measured */
#define SLIDE_TAP 6  /* cycles to go on to a tap that does not lie beside the one before, measured */
#define SLIDE_WALK 70 /* cycles to begin and end a strip, measured: 1-D is not for this */

/* Cycles of a strip's step: products, two vectors a cycle and eight in flight; or loads, likewise, of two lines for most. */
static double slide_step(const conv_plan *plan, const slide_shape *s, double vectors)
{
    const lattice lat = plan->largest;
    const double kw = (double)lat.w.taps, rows = (double)s->depth;
    const double chains = vectors * (double)s->part, parts = __builtin_ceil((double)s->across / (double)s->part);
    const double products = vectors * kw * (double)lat.h.taps * (chains < 8 ? 8 / chains : 1);
    const double loads = parts * rows * kw * (vectors * (s->edges == s->strips ? 2.9 : 1.9)) + (double)lat.h.taps * kw / 2;
    const double tap = axis_distance(&lat.w) > 1 ? SLIDE_TAP : 2;
    return ((products > loads ? products : loads) + 3 * vectors * parts) / 2 + 8 * parts + tap * rows * kw;
}

/* Cycles of one result plane's row. */
static double slide_row(const conv_plan *plan, const slide_shape *s)
{
    const lattice lat = plan->largest;
    const double vectors = (double)ceil_div(lat.w.grid, lanes_of(plan)), strips = (double)ceil_div((idx)vectors, s->vectors);
    return strips * slide_step(plan, s, vectors / strips);
}

/* Windows so short that a table of their rows is a small thing, and no product of sizes overflows. */
static int slide_short(const lattice *lat)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    const double rows = (double)h->taps * __builtin_fabs((double)h->delta) + 16.0 * (double)h->step;
    const double columns = (double)w->taps * __builtin_fabs((double)w->delta) + (double)w->step;
    return rows < DIRECT_LIMIT / 64 && columns < DIRECT_LIMIT / 64;
}

/* Results that a source row meets. */
static idx slide_across(const lattice *lat)
{
    return ceil_div(lat->h.taps, lat->h.step / gcd_idx(lat->h.step, axis_distance(&lat->h)));
}

/* Products that a walk sums. */
static idx slide_terms(const conv_plan *plan, const lattice *lat)
{
    const idx step = lat->h.step / gcd_idx(lat->h.step, axis_distance(&lat->h));
    return min_idx(lat->h.taps, slide_part(plan->kernels->mr, max_idx(1, slide_across(lat))) * step) * lat->w.taps;
}

static void slide_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    plan->chunk_h = max_idx(1, lat.h.grid);
    plan->chunk_w = even(max_idx(1, lat.w.grid), SLIDE_COLUMNS);
    slide_shape s = slide_shape_of(plan);
    const double row = slide_row(plan, &s), bytes = (double)(s.period * s.pitch * element_bytes(plan));
    double rows = min_double(2 * PLANES_WORK / row, 2 * BAND_BYTES / bytes / (double)lat.h.step);
    if (s.part < s.across)
        rows = min_double(rows, SLIDE_AGAIN);
    plan->chunk_h = even(plan->chunk_h, max_idx((idx)min_double(rows, 1e9), (s.part < s.across ? 4 : 8) * s.across * s.apart));
    plan->chunk_n = plan->chunk_h < lat.h.grid ? 1 :
        max_idx(1, min_idx(plan->p.n * plan->p.groups, (idx)(PLANES_WORK / (row * (double)(lat.h.grid * lat.result_channels) + 1))));
}

static idx slide_chunks(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    return ceil_div(plan->p.n * plan->p.groups, plan->chunk_n) * ceil_div(lat.h.grid, plan->chunk_h) * ceil_div(lat.w.grid, plan->chunk_w);
}

static double slide_task_bytes(const conv_plan *plan)
{
    return (double)slide_shape_of(plan).total + ALIGNMENT;
}

static double slide_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const slide_shape s = slide_shape_of(plan);
    const double far = machine_of(plan)->slide_far * far_lines(plan, &lat), shuffles = lat.w.step > 1 ? 1.7 : 1; /* measured */
    const double plane = (double)lat.h.size * (double)lat.w.size + (double)lat.h.grid * (double)lat.w.grid;
    const double bytes = plane * (double)element_bytes(plan);
    const double lines = bytes > 2 * FIRST_CACHE ? machine_of(plan)->slide_line * bytes / ALIGNMENT : 0;
    const double tall = !small_tiles(plan) ? SLIDE_WIDE : s.across < 5 ? 1 : s.part < s.across ? SLIDE_TALLER : SLIDE_TALL;
    const double walked = (s.part < s.across && bytes > FIRST_CACHE ? SLIDE_TWICE : 1) * shuffles * tall;
    const double steps = (double)(lat.h.grid + (s.across - 1) * s.apart * ceil_div(lat.h.grid, plan->chunk_h));
    const double copy = s.in_place ? 2 : (double)s.period * (60 + (double)s.pitch / (double)lanes_of(plan) * (lat.w.step == 1 ? 4 : 16));
    const double walks = (double)ceil_div(s.across, s.part) * (double)s.apart * (double)ceil_div(lat.h.grid, plan->chunk_h) *
                         (double)ceil_div(lat.w.grid, s.vectors * lanes_of(plan));
    const double begins = SLIDE_WALK * walks + 2 * (double)(lat.h.taps * lat.w.taps) + 40;
    return (double)lat.result_channels * (walked * slide_row(plan, &s) * steps + begins + lines) +
           (double)(lat.h.grid * lat.h.step) * copy + far;
}

/* Plane by plane, gradients of stride 1; a table of the kernel's rows is a small thing, and no walk's sum needs blocks. */
static int slide_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    if (!plane_by_plane(plan) || (p->pass == CONV_BWD_DATA && p->stride_h * p->stride_w > 1))
        return 0;
    const lattice lat = plan->largest;
    return slide_short(&lat) && slide_across(&lat) <= SLIDE_LONGEST && slide_terms(plan, &lat) <= accumulation_block(lat.h.taps * lat.w.taps);
}

const conv_algorithm slide_algorithm = {
    .id = CONV_SLIDE, .kernel = KERNEL_SLIDE, .reason = "one channel to each result: accumulators slide down over rows read where they lie",
    .applicable = slide_applies, .block = slide_block, .cost = slide_cost, .chunks = slide_chunks, .task_bytes = slide_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .spans = 1,
};

/* ---- planes: bands of planes side by side in the lanes ---- */

#define PLANES_BAND 196608 /* bytes of a band: they stay in the second-level cache */
#define PLANES_COLUMNS 64 /* of a band that does not have whole rows, at least */
#define PLANES_TILE 15   /* cycles to begin and end some results of a row; for each row of the kernel a third */
#define PLANES_BLOCK 500 /* cycles to begin with a block */
#define PLANES_LINE 4    /* cycles of a line from memory or to it, of which many are under way: measured */

/* Cycles of the products of a lattice: a load for each, and one of weights for some; or neither, where taps are taken together. */
static double planes_lattice_cycles(const conv_plan *plan, const lattice *lat)
{
    const double tiles = (double)ceil_div(lat->w.grid, 8), width = (double)lat->w.grid, taps = (double)lat->w.taps;
    /* what results wait for each other */
    const double together = width / tiles, product = together < 8 ? min_double(4, 4 / max_double(1, together)) : 0.5;
    double rows = 0;
    for (idx th = 0; th < lat->h.taps; th++) {
        const axis_run points = axis_points(&lat->h, th);
        rows += (double)(plan->p.pad_mode == CONV_ZEROS ? points.p1 - points.p0 : lat->h.grid);
    }
    return rows * (width * taps * max_double(planes_together(lat) ? 0.5 : 0.6, product) + tiles * PLANES_TILE / 3) + (double)lat->h.grid * tiles * PLANES_TILE;
}

/* Of a block, all of its bands. */
static double planes_block_cycles(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const conv_axis *h = &plan->envelope.h, *w = &plan->envelope.w;
    const planes_box box = planes_box_of(plan, lanes_of(plan));
    const double lanes = (double)lanes_of(plan), weights = (double)(p->kh * p->kw), points = (double)h->out_size * (double)w->out_size;
    const double bands = (double)box.down * (double)box.across, source = box.across > 1 ? bands * (double)box.row * (double)box.rows :
        box.down > 1 ? bands * (double)box.rows * (double)w->size : (double)h->size * (double)w->size;
    double products = 0;
    for (idx q = 0; q < plan->phases_h * plan->phases_w; q++) {
        const lattice lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
        products += planes_lattice_cycles(plan, &lat);
    }
    const double near = (double)box.total <= FIRST_CACHE ? 1 : machine_of(plan)->planes_near;
    return bands * PLANES_BLOCK + near * (machine_of(plan)->planes_turn * (source + points + weights + 1.5 * lanes) + products);
}

/* A band of these points of each axis, and how much room it takes. */
static double planes_band_bytes(conv_plan *plan, idx points_h, idx points_w)
{
    plan->chunk_h = points_h;
    plan->chunk_w = points_w;
    return (double)planes_box_of(plan, lanes_of(plan)).total;
}

/* Whole rows, as many as stay near; or parts of a few, where padding is zeros and no part of a row is read from its other end. */
static void planes_block(conv_plan *plan)
{
    const conv_axis *h = &plan->envelope.h, *w = &plan->envelope.w;
    const idx rows = max_idx(1, ceil_div(h->out_size, planes_stride(plan, plan->p.stride_h)));
    const idx columns = max_idx(1, ceil_div(w->out_size, planes_stride(plan, plan->p.stride_w)));
    idx band_h = rows, band_w = columns;
    while (band_h > 1 && planes_band_bytes(plan, band_h, columns) > PLANES_BAND)
        band_h = ceil_div(band_h, 2);
    while (plan->p.pad_mode == CONV_ZEROS && band_w > 2 * PLANES_COLUMNS && planes_band_bytes(plan, band_h, band_w) > PLANES_BAND)
        band_w = ceil_div(band_w, 2);
    plan->chunk_h = even(rows, band_h);
    plan->chunk_w = even(columns, band_w);
    plan->nv = 1;
    const planes_box box = planes_box_of(plan, lanes_of(plan));
    plan->chunk_n = max_idx(1, (idx)(PLANES_WORK / planes_block_cycles(plan) * (double)(box.down * box.across)));
}

static double planes_cost(const conv_plan *plan)
{
    const lattice all = plan->envelope;
    const double lanes = (double)lanes_of(plan), results = (double)(plan->p.groups * all.result_channels);
    /* of one example: where it has fewer results than lanes, other images may fill them, or none */
    const double blocks = results < lanes ? 1 : (double)ceil_div((idx)results, lanes_of(plan));
    return blocks * planes_block_cycles(plan) / (double)plan->p.groups + PLANES_LINE * far_lines(plan, &all);
}

static idx planes_chunks(const conv_plan *plan)
{
    const planes_box box = planes_box_of(plan, lanes_of(plan));
    return ceil_div(planes_blocks_of(plan, lanes_of(plan)).count * box.down * box.across, plan->chunk_n);
}

static double planes_task_bytes(const conv_plan *plan)
{
    return (double)planes_box_of(plan, lanes_of(plan)).total + ALIGNMENT;
}

/* Plane by plane, and sums that can be cut between the rows of the kernel. */
static int planes_apply(const conv_plan *plan)
{
    return plane_by_plane(plan) && planes_cut(plan->p.kh * plan->p.kw, plan->p.kw) > 0;
}

const conv_algorithm planes_algorithm = {
    .id = CONV_PLANES, .kernel = KERNEL_PLANES, .reason = "one channel to each result: lanes over planes side by side",
    .applicable = planes_apply, .block = planes_block, .cost = planes_cost, .chunks = planes_chunks, .task_bytes = planes_task_bytes,
    .limit = CACHE_BYTES, .regroups = 1, .spans = 1, .task = EVERY_LATTICE,
};
