/* forward -- the algorithms of fwd and of bwd_data, which is a forward convolution over lattices: how each cuts its work,
 * what it cannot do, what it costs.
 */
#include "algorithm.h"

/* ---- direct: a box of source rows packed once or read where it lies, every tap a shift of it ---- */

#define DIRECT_STREAMS 16 /* of a block that is read in place: more than the prefetcher follows */
#define IN_PLACE_LIMIT 536870912.0 /* offsets have 32 bits */

/* Rows of stride 1 that nothing pads, for so few rows of the result that each is read once: a copy would not pay. */
static int direct_in_place(const conv_plan *plan, const lattice *lat)
{
    const lattice all = plan_envelope(plan);
    return lat->result_channels <= plan->kernels->mr && (plan->p.pass == CONV_FWD || plan->p.pad_mode == CONV_ZEROS) && lat->h.step == 1 && lat->w.step == 1 && lattice_inside(&all) &&
           (double)lat->source_channels * (double)lat->h.size * (double)lat->w.size < IN_PLACE_LIMIT;
}

/* Streams of the source, a few at a time. */
static void direct_block_in_place(conv_plan *plan, const lattice *lat, idx shortest)
{
    plan->channels = even(lat->source_channels, max_idx(DIRECT_STREAMS, shortest));
    plan->chunk_n = 1;
    plan->chunk_h = max_idx(1, lat->h.grid);
    plan->chunk_w = max_idx(1, lat->w.grid);
    plan->pitch = lat->w.size;
}

static void direct_block(conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const direct_shape s = direct_shape_of(&lat);
    const double budget = CACHE_BYTES / (double)element_bytes(plan);
    /* blocks of channels cut every sum: none shorter than half of what the error bound allows for */
    const idx shortest = ceil_div(accumulation_block(lat.source_channels * s.taps), 2 * s.taps);
    plan->nv = vectors_for(plan, &lat);
    plan->m_rows = lat.result_channels;
    plan->in_place = direct_in_place(plan, &lat);
    if (plan->in_place) {
        direct_block_in_place(plan, &lat, shortest);
        return;
    }
    const idx nr = tile_columns(plan);
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    plan->chunk_w = max_idx(1, lat.w.grid);
    while (plan->chunk_w > 8 * nr && direct_box(plan, &s, 1, 1, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_w = even(lat.w.grid, plan->chunk_w / 2);
    plan->pitch = direct_pitch(plan->chunk_w, s.span_w, nr, lanes_of(plan));
    const double channel = direct_box(plan, &s, 1, 1, plan->chunk_w);
    if (channel * (double)plan->channels > 2 * budget)
        plan->channels = even(lat.source_channels, max_idx((idx)(budget / channel), shortest));
    if (plan->chunk_w >= lat.w.grid) {
        double row = channel / (double)(1 + s.span_h) * (double)plan->channels;
        plan->chunk_h = even(max_idx(1, lat.h.grid), (idx)(budget / row) - s.span_h);
        if (plan->chunk_h >= lat.h.grid)
            plan->chunk_n = max_idx(1, min_idx(plan->p.n, (idx)(budget / (row * (double)(plan->chunk_h + s.span_h)))));
    }
}

static double direct_task_bytes(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const direct_shape s = direct_shape_of(&lat);
    const double terms = (double)plan->channels * (double)s.taps;
    double box = direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
    if (plan->in_place) /* but for the tile that ends where the array does */
        return (double)tile_bytes(plan) + 2 * terms * sizeof(int32_t) + 2 * ALIGNMENT +
               terms * (double)tile_columns(plan) * (double)element_bytes(plan);
    return (double)tile_bytes(plan) + terms * sizeof(int32_t) + 2 * ALIGNMENT +
           (box + (double)s.span_w + 2 * (double)tile_columns(plan)) * (double)element_bytes(plan);
}

static idx direct_chunks(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    return ceil_div(lat.w.grid, plan->chunk_w) * ceil_div(lat.h.grid, plan->chunk_h) *
           ceil_div(plan->p.n, plan->chunk_n);
}

/* ---- channels: the same box, read element by element; the weights are the panel ---- */

#define CHANNELS_LEAST 32    /* points of a task, below which packing all the weights for it weighs */
#define CHANNELS_POINTS 1024 /* of a unit: its rows stay in cache until they are turned round */

static void channels_block(conv_plan *plan)
{
    const lattice lat = largest_lattice(plan), all = plan_envelope(plan);
    const double budget = CACHE_BYTES / (double)element_bytes(plan);
    const int whole = plan->p.pass == CONV_BWD_DATA;
    plan->nv = lat.result_channels <= lanes_of(plan) ? 1 : plan->kernels->nv;
    plan->m_rows = lat.result_channels;
    plan->channels = lat.source_channels;
    plan->chunk_w = whole ? max_idx(1, lat.w.grid) : even(lat.w.grid, CHANNELS_POINTS);
    plan->chunk_h = whole ? max_idx(1, lat.h.grid)
                          : plan->chunk_w < lat.w.grid ? 1 : even(lat.h.grid, CHANNELS_POINTS / plan->chunk_w);
    plan->chunk_n = plan->depth = 1;
    while (!whole && plan->chunk_h > 1 &&
           view_box(plan, &all, 1, plan->chunk_h, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_h = ceil_div(plan->chunk_h, 2);
    if (whole || (plan->chunk_h >= lat.h.grid && plan->chunk_w >= lat.w.grid)) {
        const idx points = channels_unit_points(plan);
        plan->chunk_n = max_idx(1, plan->p.n);
        /* images whose points do not fill four tiles of each lattice go several at a time */
        plan->depth = min_idx(plan->chunk_n, max_idx(1, 4 * CHANNELS_ROWS * plan->phases_h * plan->phases_w / points));
    }
}

static double channels_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan_envelope(plan);
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const double box = view_box(plan, &all, plan->depth, whole ? all.h.grid : plan->chunk_h, whole ? all.w.grid : plan->chunk_w);
    if ((double)lat.source_channels * (double)plan->p.kh * (double)plan->p.kw + (double)plan->p.ih * (double)plan->p.iw > DIRECT_LIMIT)
        return DIRECT_LIMIT * 64.0;
    return (double)channels_table_bytes(plan, element_bytes(plan)) + ALIGNMENT +
           (box * (double)plan->channels + 64) * (double)element_bytes(plan);
}

/* ---- gemm: panels of im2col, columns run on over rows and short images ---- */

#define GEMM_COLUMNS 128 /* of a panel at least, where an image has them: each passes by all the weights once */

static void gemm_block(conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const idx taps = lat.h.taps * lat.w.taps, points = max_idx(1, lat.h.grid * lat.w.grid);
    plan->nv = vectors_for(plan, &lat);
    plan->m_rows = lat.result_channels;
    const idx budget = CACHE_BYTES / element_bytes(plan), nr = tile_columns(plan);
    /* of an image alone: how a sum is cut must not depend on the batch */
    const idx wanted = min_idx(round_up(points, nr), max_idx(nr, GEMM_COLUMNS));
    plan->channels = even(lat.source_channels, budget / (wanted * taps));
    const idx columns = max_idx(1, budget / (plan->channels * taps * nr)) * nr;
    plan->chunk_h = 1;
    plan->chunk_w = points <= columns ? points : round_up(even(points, columns), nr);
    plan->chunk_n = points <= columns ? max_idx(1, min_idx(plan->p.n, columns / points)) : 1;
}

static double gemm_task_bytes(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const double depth = (double)plan->channels * (double)lat.h.taps * (double)lat.w.taps;
    const double columns = (double)round_up(plan->chunk_n * plan->chunk_w, tile_columns(plan));
    return (double)tile_bytes(plan) + 2 * ALIGNMENT + depth * (sizeof(int32_t) + columns * (double)element_bytes(plan));
}

static idx gemm_chunks(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    return ceil_div(plan->p.n, plan->chunk_n) * ceil_div(max_idx(1, lat.h.grid * lat.w.grid), plan->chunk_w);
}

/* ---- winograd: chunks of tiles, blocks of rows ---- */

#define WINOGRAD_BYTES 1572864 /* of transformed source and weights in a task: they share the second-level cache */
#define WINOGRAD_TILES 1024    /* of a task whose weights are transformed once */

/* Weights in one block where that leaves room for two strips of source; else blocks of a tile's rows or a few, which
 * every strip of the task shares. */
static void winograd_tile(conv_plan *plan, const lattice *lat, idx tile)
{
    const idx mr = plan->kernels->mr, rows = lat->result_channels;
    plan->tile_h = lat->h.taps == 1 ? 1 : tile;
    plan->tile_w = lat->w.taps == 1 ? 1 : tile;
    const winograd_shape s = winograd_shape_of(plan);
    const idx tiles = max_idx(1, plan->p.n * s.tiles_h * s.tiles_w);
    const idx most = WINOGRAD_BYTES / (s.frequencies * s.k * element_bytes(plan)); /* columns and rows together */
    plan->nv = tiles <= lanes_of(plan) ? 1 : plan->kernels->nv;
    const idx nr = tile_columns(plan);
    const int resident = !winograd_keeps(plan) && rows + 2 * nr <= most;
    plan->block_rows = resident ? rows : even(rows, max_idx(mr, min_idx(5 * mr, most / 3)));
    plan->chunk_h = max_idx(2 * nr, (most - plan->block_rows) / nr * nr);
    plan->chunk_h = tiles <= plan->chunk_h ? tiles : round_up(even(tiles, plan->chunk_h), nr);
    plan->chunk_w = resident ? min_idx(tiles, WINOGRAD_TILES) : plan->chunk_h;
}

static double winograd_cost(const conv_plan *plan);

static void winograd_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    plan->m_rows = lat.result_channels;
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    winograd_tile(plan, &lat, 2);
    const double two = winograd_cost(plan);
    winograd_tile(plan, &lat, 4);
    if (lat.h.taps > 1 && lat.w.taps > 1 &&
        (lat.source_channels < WINOGRAD_LEAST || winograd_shape_of(plan).k < 2 * WINOGRAD_LEAST || two < winograd_cost(plan)))
        winograd_tile(plan, &lat, 2);
}

/* Tasks that split the rows transform the source again, those that split the tiles the weights: whichever is less. */
static void winograd_share(conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    const idx lanes = lanes_of(plan), tiles = plan->p.n * s.tiles_h * s.tiles_w, others = plan->p.groups;
    const idx each = ceil_div(plan->threads, others);
    if (others * ceil_div(tiles, plan->chunk_w) >= 4 * plan->threads)
        return;
    if (!winograd_keeps(plan) && plan->m_rows > tiles)
        plan->m_chunks = min_idx(each, ceil_div(plan->m_rows, plan->kernels->mr));
    else
        plan->chunk_w = min_idx(plan->chunk_w, max_idx(lanes, round_up(ceil_div(tiles, each), lanes)));
}

static double winograd_task_bytes(const conv_plan *plan)
{
    return (double)(winograd_layout(plan, lanes_of(plan)).total * element_bytes(plan) + 2 * ALIGNMENT);
}

static idx winograd_chunks(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return ceil_div(plan->p.n * s.tiles_h * s.tiles_w, plan->chunk_w);
}

/* ---- stencil: bands of rows of some planes ---- */

#define STENCIL_BYTES 131072 /* of the copy of a band: it stays in the second-level cache while its tiles pass */
#define STENCIL_WORK 1e5     /* cycles of a task at most, where planes are small */

/* Cycles of a step for `rows` by `vectors`: the loads, of two lines for most vectors, two a cycle; or the products. */
static double stencil_step(double rows, double vectors)
{
    const double loads = (1.9 * vectors + rows) / 2, products = rows * vectors / 2;
    return loads > products ? loads : products;
}

/* Cycles for one row of the result, `rows` at a time by `vectors`. */
static double stencil_row(const conv_plan *plan, const lattice *lat, int rows, int vectors)
{
    const double lanes = (double)lanes_of(plan), taps = (double)(lat->h.taps * lat->w.taps);
    const double columns = rows == 1 ? (double)stencil_box_of(plan, lanes_of(plan)).pitch * (double)lat->h.step
                                     : (double)round_up(lat->w.grid, vectors * lanes_of(plan));
    const double lag = (double)(lat->h.step * lat->w.taps);
    double cycles = (taps - (rows - 1) * lag) * stencil_step(rows, vectors) + 30 + 12 * rows * vectors; /* stores, and the copy from the second-level cache: measured */
    for (int r = 1; r < rows; r++)
        cycles += 2 * lag * stencil_step(r, vectors) + 5;
    return columns / lanes / vectors * cycles / rows;
}

static void stencil_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const idx lanes = lanes_of(plan), taps = lat.h.taps * lat.w.taps;
    const int wide = plan->kernels->mr >= 14 ? 8 : 4;
    const int shapes[][2] = {{2, wide}, {2, 2}, {4, wide / 2}, {4, 2}};
    /* neighbours share source rows; long sums are cut between the rows of the kernel */
    const int dense = lat.h.delta * lat.h.delta == 1 && (taps <= 53 || lat.w.taps <= accumulation_block(taps));
    plan->chunk_h = max_idx(1, lat.h.grid);
    plan->depth = 1;
    plan->nv = wide;
    double least = stencil_row(plan, &lat, 1, wide);
    for (int i = 0; i < 4; i++) {
        const int rows = shapes[i][0], vectors = shapes[i][1];
        if (!dense || (rows - 1) * lat.h.step >= lat.h.taps || lat.w.grid < vectors * lanes)
            continue;
        const double cycles = stencil_row(plan, &lat, rows, vectors);
        if (cycles < least) {
            least = cycles;
            plan->depth = rows;
            plan->nv = vectors;
        }
    }
    const stencil_box box = stencil_box_of(plan, lanes);
    const double row = (double)box.pitch * (double)element_bytes(plan) * (double)axis_row_layout(&lat.w).period;
    const double rows = (STENCIL_BYTES / row - (double)box.reach) / (double)lat.h.step;
    plan->chunk_h = round_up(even(plan->chunk_h, (idx)(rows > 8 ? min_double(rows, 1e9) : 8)), plan->depth);
    const double plane = least * (double)lat.h.grid * (double)lat.result_channels;
    plan->chunk_n = max_idx(1, min_idx(plan->p.n * plan->p.groups, (idx)(STENCIL_WORK / (plane + 1))));
}

static idx stencil_chunks(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    return ceil_div(plan->p.n * plan->p.groups, plan->chunk_n) * ceil_div(lat.h.grid, plan->chunk_h);
}

static double stencil_task_bytes(const conv_plan *plan)
{
    return (double)stencil_box_of(plan, lanes_of(plan)).total * (double)element_bytes(plan) + 2 * ALIGNMENT;
}

static double stencil_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const double rows = (double)(lat.h.grid * lat.h.step), pitch = (double)stencil_box_of(plan, lanes_of(plan)).pitch;
    const double plane = 80 + 3 * (double)(lat.h.taps * lat.w.taps) + 25 * (double)lat.h.grid;
    return (stencil_row(plan, &lat, (int)plan->depth, plan->nv) * (double)lat.h.grid + plane) * (double)lat.result_channels +
           rows * (double)axis_row_layout(&lat.w).period * (8 + pitch / (double)lanes_of(plan) * (lat.w.step == 1 ? 2 : 8));
}

/* ---- slide: bands of rows and runs of columns of some planes ---- */

#define SLIDE_COLUMNS 16384
#define SLIDE_WALK 150 /* cycles to begin and end a strip, measured: 1-D is not for this */

/* Cycles of a strip's step: products, two vectors a cycle and eight in flight; or loads, likewise, of two lines for most. */
static double slide_step(const conv_plan *plan, const slide_shape *s, double vectors)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const double kw = (double)lat.w.taps, rows = (double)s->depth;
    const double chains = vectors * (double)s->across;
    const double products = vectors * kw * (double)lat.h.taps * (chains < 8 ? 8 / chains : 1);
    const double loads = rows * kw * (vectors * (s->edges == s->strips ? 2.9 : 1.9)) + (double)lat.h.taps * kw / 2;
    return ((products > loads ? products : loads) + 3 * vectors) / 2 + 8 + 2 * rows * kw;
}

/* Cycles of one result plane's row. */
static double slide_row(const conv_plan *plan, const slide_shape *s)
{
    const lattice lat = plan_lattice(plan, 0, 0);
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

static void slide_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    if (!slide_short(&lat))
        return;
    plan->chunk_h = max_idx(1, lat.h.grid);
    plan->chunk_w = even(max_idx(1, lat.w.grid), SLIDE_COLUMNS);
    slide_shape s = slide_shape_of(plan);
    const double row = slide_row(plan, &s), bytes = (double)(s.period * s.pitch * element_bytes(plan));
    const double rows = min_double(2 * STENCIL_WORK / row, 2 * STENCIL_BYTES / bytes / (double)lat.h.step);
    plan->chunk_h = even(plan->chunk_h, max_idx((idx)min_double(rows, 1e9), 8 * s.across * s.apart));
    plan->chunk_n = plan->chunk_h < lat.h.grid ? 1 :
        max_idx(1, min_idx(plan->p.n * plan->p.groups, (idx)(STENCIL_WORK / (row * (double)(lat.h.grid * lat.result_channels) + 1))));
}

static idx slide_chunks(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    return ceil_div(plan->p.n * plan->p.groups, plan->chunk_n) * ceil_div(lat.h.grid, plan->chunk_h) * ceil_div(lat.w.grid, plan->chunk_w);
}

static double slide_task_bytes(const conv_plan *plan)
{
    return (double)slide_shape_of(plan).total + ALIGNMENT;
}

static double slide_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const slide_shape s = slide_shape_of(plan);
    const double steps = (double)(lat.h.grid + (s.across - 1) * s.apart * ceil_div(lat.h.grid, plan->chunk_h));
    const double copy = s.in_place ? 2 : (double)s.period * (60 + (double)s.pitch / (double)lanes_of(plan) * (lat.w.step == 1 ? 4 : 16));
    const double walks = (double)s.apart * (double)ceil_div(lat.h.grid, plan->chunk_h) * (double)ceil_div(lat.w.grid, s.vectors * lanes_of(plan));
    return (double)lat.result_channels * (slide_row(plan, &s) * steps + SLIDE_WALK * walks + 2 * (double)(lat.h.taps * lat.w.taps) + 40) +
           (double)(lat.h.grid * lat.h.step) * copy;
}

/* ---- fft: the cut of src/fastconv/fft.py, whose arithmetic this repeats to know what it costs ---- */

#define FFT_BANK 4194304 /* points of kernels whose spectra are kept at a time */
#define FFT_TAPS 200     /* fewer never pay, and in double precision twice as many keep the error bound */

typedef struct {
    double length, number, levels;
} fft_cut;

/* The next longer cut of an axis into fewer tiles than `fewest`; *size counts the lengths {8,9,10,12,15} * 2^i. */
static int fft_next(fft_cut *cut, idx *size, double *fewest, idx kernel, idx outputs, idx stride, idx dilation)
{
    static const double factors[] = {8, 9, 10, 12, 15};
    const idx step = kernel > 1 ? dilation : stride, common = gcd_idx(stride, step);
    const idx phases = min_idx(step / common, outputs), points = outputs / phases, s = stride / common;
    for (; *fewest > 1 && *size < 5 * 40; (*size)++) {
        const double length = factors[*size % 5] * (double)((idx)1 << (*size / 5));
        const idx chunk = ((idx)length - kernel) / s + 1, number = chunk > 0 ? ceil_div(points, chunk) : points;
        if (length < (double)kernel || (double)number >= *fewest)
            continue;
        *fewest = (double)number;
        *cut = (fft_cut){kernel > 1 ? length : (double)ceil_div(points, number), (double)(number * phases),
                         kernel > 1 ? __builtin_log2(length) : 0};
        return 1;
    }
    return 0;
}

static double fft_cut_cost(double ic, double oc, const fft_cut *h, const fft_cut *w)
{
    const double points = h->length * w->length, number = h->number * w->number;
    const double longest = h->levels > w->levels ? h->levels : w->levels, size = __builtin_log2(points);
    const double transform = points * (12 + 0.75 * (h->levels + w->levels) + (size > 17 ? 4.5 * (size - 17) : 0) +
                                       (longest > 15 ? 6.6 * (longest - 15) : 0));
    const double blocks = __builtin_ceil(oc * ic * points / FFT_BANK);
    return transform * (ic * oc + number * (blocks * ic + oc)) + number * (3 * ic * oc * points + 4e4);
}

static double fft_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    double least = 1e300, fewest_h = 1e300;
    fft_cut h, w;
    for (idx i = 0; fft_next(&h, &i, &fewest_h, p->kh, p->oh, p->stride_h, p->dil_h);) {
        double fewest_w = 1e300;
        for (idx j = 0; fft_next(&w, &j, &fewest_w, p->kw, p->ow, p->stride_w, p->dil_w);)
            least = (double)p->ic * h.length * w.length > FFT_BANK
                        ? least
                        : min_double(least, fft_cut_cost((double)p->ic, (double)p->oc, &h, &w));
    }
    return p->dtype == CONV_F64 ? 1.2 * least : least;
}

/* ---- ref: a task is an output channel of an image ---- */

static void ref_block(conv_plan *plan)
{
    plan->channels = plan->chunk_n = plan->chunk_h = plan->chunk_w = plan->nv = 1;
}

static idx ref_chunks(const conv_plan *plan)
{
    return plan->p.n * plan->p.oc;
}

static double no_scratch(const conv_plan *plan)
{
    (void)plan;
    return 0;
}

/* ---- cost, in cycles of one core on paper: what `auto` compares ----
 *
 * Both do (columns computed) * rows * k multiply-adds, two vectors a cycle, or load what these need, two a cycle: for few
 * rows that is more. direct loses the columns between rows;
 * gemm moves every element once for each tap, and a run of it has a cost of its own. */

/* Cycles to move a vector of elements that are `step` apart. */
static double step_cycles(idx step)
{
    return step == 1 ? 2 : step == 2 ? 4 : 8;
}

/* Cycles for all rows of a vector of columns, at one step of k; a load that crosses cache lines counts twice. */
static double tile_cycles(const conv_plan *plan, idx rows, double crossing)
{
    const double nv = (double)plan->nv;
    const idx highest = plan->nv <= plan->kernels->nv ? plan->kernels->mr : plan->kernels->mr * plan->kernels->nv / plan->nv;
    const double tiles = (double)ceil_div(rows, highest), height = (double)rows / tiles;
    const double products = height * nv / 2, loads = (nv * (1 + crossing) + height) / 2;
    return tiles * (products > loads ? products : loads) / nv;
}

/* Cycles in which the rows of a vector of columns come from the second-level cache for one channel, where a small tile waits
 * for them: each is a line or two for few products, and taps that lie close together share lines. */
static double direct_misses(const conv_plan *plan, const lattice *lat)
{
    const axis_rows w = axis_row_layout(&lat->w);
    const double columns = (double)tile_columns(plan), line = (double)ALIGNMENT / (double)element_bytes(plan);
    const double apart = (double)lat->w.taps * (columns / line + 1);
    const double together = (double)w.period * (((double)w.span + columns) / line + 1);
    const double lines = (double)lat->h.taps * min_double(apart, together);
    const double passes = (double)ceil_div(lat->result_channels, plan->kernels->mr);
    return plan->kernels->mr < 14 && (double)lat->source_channels * lines * ALIGNMENT > FIRST_CACHE ? passes * lines * 2.5 / plan->nv : 0;
}

static double direct_cost(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const direct_shape s = direct_shape_of(&lat);
    const double lanes = (double)lanes_of(plan);
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const idx nr = tile_columns(plan), pitch = plan->pitch;
    const double row = pitch % nr == 0 ? (double)round_up(plan->chunk_w, lanes_of(plan)) : (double)pitch;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    const double columns = boxes * (double)plan->chunk_h * row;
    const double packed_rows = plan->in_place ? 0 : boxes * (double)(plan->chunk_h + s.span_h) * (double)s.planes;
    const double stores = boxes * (double)plan->chunk_h * (double)lat.result_channels * 6; /* rows end within tiles */
    /* a tile of one channel ends after a few products, each with a load of its own, and its rows are packed for it: measured */
    const int alone = lat.source_channels == 1;
    const double few = alone ? 1 + 1 / (double)lat.result_channels : 1, packs = alone ? 2 : 1;
    const double ends = alone ? 400 + 15 * columns / lanes : 0;
    const double small = alone && plan->kernels->mr < 14 ? 1.7 : 1; /* tiles, of which there are more: measured */
    /* rows that start anywhere come slower from the second-level cache than a panel does: 1.15, measured */
    return small * lattices * ((double)lat.source_channels * (1.15 * few * columns / lanes * tile_cycles(plan, lat.result_channels, 0.8) * (double)s.taps +
                                                      columns / lanes * direct_misses(plan, &lat) +
                                                      packs * packed_rows * (18 + (double)pitch / lanes * step_cycles(lat.w.step))) +
                       ends + (pitch % nr == 0 && lat.w.out_step == 1 ? 0 : stores));
}

static double channels_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan_envelope(plan);
    const double lanes = (double)lanes_of(plan);
    const double points = (double)(channels_unit_points(plan) / plan->depth); /* of one image: the choice knows no batch */
    const double columns = (double)round_up(lat.result_channels, tile_columns(plan));
    /* every lattice of a gradient has its own taps: together those of the kernel */
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double k = (double)lat.source_channels * (double)(plan->p.kh * plan->p.kw) / lattices;
    const double rows = (double)all.h.grid * (double)all.h.step * (double)lat.source_channels;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    const double packs = points < CHANNELS_LEAST ? points / CHANNELS_LEAST : 1; /* of the weights, for an image */
    const double few = lat.source_channels == 1 ? 1.7 : 1; /* which leaves a tile after a few products: measured */
    /* a small tile takes terms faster than they come where panel and lines of the source fill the first-level cache: measured */
    const double lines = (double)lat.source_channels * (double)lat.h.taps * ALIGNMENT;
    const int streams = plan->kernels->mr < 14 && k * (double)(tile_columns(plan) * element_bytes(plan)) + lines > FIRST_CACHE;
    const double step = streams ? 0.75 : 0.55;
    /* whole planes are turned and stored at once; a chunk's rows end anywhere, and each is a copy */
    const double store = boxes > 1 ? 0.6 + 16 / lanes : 0.6;
    return few * (boxes * packs * columns / lanes * k * lattices * 3 + boxes * points * columns / lanes * k * step + boxes * points * columns * store +
           (lattice_inside(&all) ? 0 : rows * (16 + (double)(all.w.grid * all.w.step) / lanes * 2)));
}

static double gemm_cost(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const double lanes = plan->kernels->set[plan->p.dtype]->lanes;
    const idx nr = tile_columns(plan), points = max_idx(1, lat.h.grid * lat.w.grid);
    const double columns = (double)round_up(points, nr);
    const double k = (double)lat.source_channels * (double)(lat.h.taps * lat.w.taps);
    const double runs = (double)points / (double)min_idx(nr, max_idx(1, lat.w.grid)) + (double)points / (double)nr;
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double stores = points % nr == 0 ? 0 : (double)lat.result_channels * 15; /* of the tile that an image ends in */
    /* one row of a panel for each row of the kernel, and for one row of weights: measured */
    const double few = lat.source_channels == 1 ? 2.7 * (1 + 1 / (double)lat.result_channels) : 1;
    return few * lattices * (columns / lanes * tile_cycles(plan, lat.result_channels, 0) * k + stores +
                       k * (runs * 12 + columns / lanes * step_cycles(lat.w.step)));
}

static double winograd_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const winograd_shape s = winograd_shape_of(plan);
    const double lanes = (double)lanes_of(plan);
    const double f = (double)s.frequencies, rows = (double)lat.result_channels, k = (double)s.k;
    const double strips = (double)round_up(s.tiles_h * s.tiles_w, lanes_of(plan));
    const double vectors = (double)s.tiles_h * (double)ceil_div(s.tiles_w, lanes_of(plan));
    return 1.3 * f * strips * rows * k / lanes / 2    /* products */
           + 11 * f * vectors * k                     /* source */
           + 11 * f * strips / lanes * rows           /* result */
           + (winograd_keeps(plan) ? 2 : 10) * f * rows * k / lanes; /* weights: read, or made */
}

static double last_resort(const conv_plan *plan)
{
    (void)plan;
    return 1e300;
}

/* ---- applicable: one sentence each ---- */

/* The rows of a channel fit, with every shift in 32 bits. */
static int rows_fit(const conv_plan *plan)
{
    return direct_task_bytes(plan) < DIRECT_LIMIT;
}

/* The same of a box and the weights, and every output belongs to exactly one point. */
static int channels_fit(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return channels_task_bytes(plan) < 32 * CACHE_BYTES &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && plan->phases_h == p->stride_h &&
                                    plan->phases_w == p->stride_w));
}

/* Neighbouring taps and points of stride 1, a reduction long enough to average the transform's errors, and transforms
 * allowed. */
static int winograd_fits(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int allowed = p->algorithm == CONV_WINOGRAD || !p->strict;
    const int taps = p->kh * p->kw > 1 && (p->kh == 1 || p->dil_h == 1) && (p->kw == 1 || p->dil_w == 1);
    return allowed && taps && p->stride_h == 1 && p->stride_w == 1 &&
           (p->pass == CONV_FWD || p->pad_mode == CONV_ZEROS) &&
           (plan->tile_h == 2 || plan_lattice(plan, 0, 0).source_channels >= WINOGRAD_LEAST) &&
           winograd_task_bytes(plan) < PANEL_LIMIT;
}

/* One channel to a result, and for the gradient one lattice that belongs to the outputs point by point. */
static int stencil_fits(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    return lat.source_channels == 1 && stencil_task_bytes(plan) < DIRECT_LIMIT &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && p->stride_h == 1 && p->stride_w == 1));
}

/* The same, for kernels of so few rows that the window is registers, and so few taps that a sum needs no blocks. */
static int slide_fits(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    const idx taps = lat.h.taps * lat.w.taps;
    return lat.source_channels == 1 && slide_short(&lat) && slide_shape_of(plan).across <= SLIDE_MOST && accumulation_block(taps) == taps &&
           slide_task_bytes(plan) < DIRECT_LIMIT &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && p->stride_h == 1 && p->stride_w == 1));
}

/* Forward, and a kernel so large that transforms may pay. */
static int fft_fits(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int asked = p->algorithm == CONV_FFT;
    return p->pass == CONV_FWD && (asked || !p->strict) && p->kh * p->kw > 1 &&
           (asked || p->kh * p->kw >= (p->dtype == CONV_F64 ? 2 * FFT_TAPS : FFT_TAPS)) && fft_cost(plan) < 1e300;
}

/* One panel of all the taps of a channel fits. */
static int panel_fits(const conv_plan *plan)
{
    return gemm_task_bytes(plan) < PANEL_LIMIT;
}

/* The seven loops are those of the forward pass. */
static int forward_pass(const conv_plan *plan)
{
    return plan->p.pass == CONV_FWD;
}

/* ---- the rows ---- */

const conv_algorithm forward_algorithms[] = {
    {CONV_DIRECT, KERNEL_DIRECT, "source rows are packed once and every tap is a shift of them",
     direct_block, rows_fit, direct_cost, direct_chunks, direct_task_bytes},
    {CONV_CHANNELS, KERNEL_CHANNELS, "short rows: lanes over channels, the source broadcast from where it lies",
     channels_block, channels_fit, channels_cost, direct_chunks, channels_task_bytes},
    {CONV_WINOGRAD, KERNEL_WINOGRAD, "stride 1: transforms of short tiles multiply less than the definition does",
     winograd_block, winograd_fits, winograd_cost, winograd_chunks, winograd_task_bytes, 1, winograd_share},
    {CONV_SLIDE, KERNEL_SLIDE, "one channel to each result, few kernel rows: accumulators slide down over rows read where they lie",
     slide_block, slide_fits, slide_cost, slide_chunks, slide_task_bytes, 1, NULL, 1},
    {CONV_STENCIL, KERNEL_STENCIL, "one channel to each result: rows summed side by side from one padded copy",
     stencil_block, stencil_fits, stencil_cost, stencil_chunks, stencil_task_bytes, 1, NULL, 1},
    {CONV_GEMM, KERNEL_GEMM, "panels of im2col: dense columns are worth a copy for each tap",
     gemm_block, panel_fits, gemm_cost, gemm_chunks, gemm_task_bytes},
    {CONV_FFT, KERNEL_FFT, "a large kernel on few channels: overlap-save through numpy.fft",
     ref_block, fft_fits, fft_cost, ref_chunks, no_scratch, 0},
    {CONV_REF, KERNEL_REF, "the seven loops, asked for by name or where nothing else fits",
     ref_block, forward_pass, last_resort, ref_chunks, no_scratch},
};

const int forward_count = sizeof forward_algorithms / sizeof *forward_algorithms;
