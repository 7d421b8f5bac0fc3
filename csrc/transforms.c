/* transforms -- the algorithms of fwd and bwd_data that multiply less than the definition does.
 */
#include "algorithm.h"

#define TRANSFORM_FAR 4194304 /* bytes of all sources, or of all results, of an example, beyond which they come from memory and go there */

/* Lines of a group's planes that do: a tile's worth of each row at a time. */
static double transform_lines(const conv_plan *plan, idx planes, idx height, idx width)
{
    const double bytes = (double)planes * (double)height * (double)width * (double)element_bytes(plan);
    return bytes * (double)plan->p.groups > TRANSFORM_FAR ? bytes / ALIGNMENT : 0;
}

static double source_lines(const conv_plan *plan, const lattice *lat)
{
    return transform_lines(plan, lat->source_channels, lat->h.size, lat->w.size);
}

static double result_lines(const conv_plan *plan, const lattice *lat)
{
    return transform_lines(plan, lat->result_channels, lat->h.grid, lat->w.grid);
}

/* ---- winograd: chunks of tiles, blocks of rows ---- */

#define WINOGRAD_BYTES 1572864 /* of transformed source and weights in a task, where one block has all rows */
#define WINOGRAD_SOURCE 5242880 /* of transformed source, where weights come block by block for all of it */
#define WINOGRAD_STAYS 524288   /* of transformed source at a time, where weights are not made again for more: the cache keeps what it just wrote */
#define WINOGRAD_LATTICES 16   /* of a gradient, whose costs are added up */
#define WINOGRAD_TILES 1024    /* of a task whose weights are transformed once */

/* Measured, along both axes and along one where they differ. */
#define WINOGRAD_PRODUCTS 1.1      /* of the cycles on paper */
#define WINOGRAD_BLOCK 3.0         /* cycles of a frequency's vector: for each block of its sum, */
#define WINOGRAD_SUM 8.0           /* for the rest of it and its results, */
#define WINOGRAD_VECTOR 5.0        /* of the source, */
#define WINOGRAD_WEIGHTS 4.5       /* of the weights */
#define WINOGRAD_SHORT_WEIGHTS 3.5
#define WINOGRAD_TAP 4.0           /* of a tap of them that another lattice uses */
#define WINOGRAD_LINE 1.0          /* of a line of weights that are kept */
#define WINOGRAD_ROW 130.0         /* cycles to begin with a row of tiles and take a group's taps down its columns */
#define WINOGRAD_SHORT_ROW 35.0
#define WINOGRAD_APART 2.0         /* cycles to gather an element, or to put one */
#define WINOGRAD_COLD 23.0         /* cycles of a line of the source's transforms where a plan is called once and others follow, as in a network; */
#define WINOGRAD_COLD_KEPT 8.0     /* beside weights that are kept */

/* Rows and columns whose transforms a task holds together, and the tiles that there is room for, all weights or a few beside them. */
typedef struct {
    idx most, tiles;
    int resident; /* weights in one block, and two strips of source */
} winograd_room;

static winograd_room winograd_room_of(const conv_plan *plan, idx rows)
{
    const winograd_shape s = winograd_shape_of(plan);
    const idx each = s.frequencies * s.k * element_bytes(plan), most = WINOGRAD_BYTES / each;
    const int resident = rows + 2 * tile_columns(plan) <= most;
    return (winograd_room){most, resident ? most - rows : WINOGRAD_SOURCE / each, resident};
}

/* Weights in one block where that leaves room for two strips of source; else blocks of a tile's rows or a few, which
 * every strip of the task shares. */
static void winograd_tile(conv_plan *plan, const lattice *lat, idx points)
{
    const idx mr = plan->kernels->mr, rows = lat->result_channels;
    plan->tile_h = lat->h.taps == 1 ? 1 : points;
    plan->tile_w = lat->w.taps == 1 ? 1 : points;
    const winograd_shape s = winograd_shape_of(plan);
    const idx tiles = max_idx(1, plan->p.n * s.h.tiles * s.w.tiles);
    plan->nv = tiles <= lanes_of(plan) ? 1 : plan->kernels->nv;
    const idx nr = tile_columns(plan), stays = WINOGRAD_STAYS / (s.frequencies * s.k * element_bytes(plan));
    const winograd_room room = winograd_room_of(plan, rows);
    const int once = room.resident || winograd_keeps(plan); /* weights, however many chunks there are */
    const idx height = winograd_highest(plan);
    plan->block_rows = room.resident ? rows : height * max_idx(1, min_idx(5, room.most / 3 / height));
    plan->chunk_h = max_idx(once ? nr : 2 * nr, min_idx(room.tiles, once ? stays : max_idx(2 * stays, rows / 4)) / nr * nr);
    plan->chunk_h = tiles <= plan->chunk_h ? tiles : round_up(even(tiles, plan->chunk_h), nr);
    plan->chunk_w = room.resident ? min_idx(tiles, WINOGRAD_TILES) : plan->chunk_h;
}

/* Products of an axis for each channel of a tile: the last point has none of a group that lacks its last tap. */
static double winograd_products(const winograd_axis *axis)
{
    return (double)((axis->points - 1) * axis->groups + axis->whole);
}

/* Cycles to gather columns that are not side by side, and to put results that are not. */
static double winograd_apart_cost(const conv_plan *plan, const winograd_shape *s, double channels, double rows)
{
    const double columns = s->w.step == 1 ? 0 : WINOGRAD_APART * channels * (double)(s->h.groups * s->h.points * s->w.groups);
    const double results = s->w.apart * plan->largest.w.out_step == 1 ? 0 : WINOGRAD_APART * rows * (double)s->h.tile;
    return (double)(s->h.tiles * s->w.tiles * s->w.tile) * (columns + results);
}

/* Cycles to transform the weights of a row, or to read what a plan has kept. */
static double winograd_weights_cost(const conv_plan *plan, const winograd_shape *s, int both)
{
    const lattice lat = plan->largest;
    const idx lanes = lanes_of(plan), vectors = lat.source_channels / lanes;
    const double each = (double)(s->frequencies * s->h.groups * s->w.groups), taps = (double)(plan->p.kh * plan->p.kw * lanes);
    if (winograd_keeps(plan))
        return WINOGRAD_LINE * (double)(s->frequencies * s->k * element_bytes(plan)) / ALIGNMENT;
    const double others = (double)(plan->p.kh * plan->p.kw - lat.h.taps * lat.w.taps);
    return (double)vectors * (each * (both ? WINOGRAD_WEIGHTS : WINOGRAD_SHORT_WEIGHTS) + WINOGRAD_TAP * others)
           + (lat.source_channels % lanes ? machine_of(plan)->winograd_some * (each + 0.1 * taps) : 0);
}

/* Cycles of the lines that no cache is near enough for. */
static double winograd_lines_cost(const conv_plan *plan, const winograd_shape *s, double strips)
{
    const lattice lat = plan->largest;
    const machine_costs *of = machine_of(plan);
    const double column = (double)(s->frequencies * s->k * element_bytes(plan)), rows = (double)lat.result_channels;
    const double lines = column * strips / ALIGNMENT, kernels = column * rows / ALIGNMENT;
    const double nr = min_double(strips, (double)(plan->kernels->nv * lanes_of(plan))); /* of an image: the choice knows no batch */
    const int kept = winograd_keeps(plan), streamed = !kept && column * rows * (double)plan->p.groups > FAR_BYTES;
    /* where not even a tile's rows and columns stay in the second-level cache, transforms go to memory and come from there */
    const int spilled = column * ((double)plan->kernels->mr + 2 * nr) > 2 * WINOGRAD_BYTES;
    /* or not all rows and a few columns do, the source's are read again and again from the third-level cache */
    const int left = column * (rows + 2 * nr) > WINOGRAD_BYTES;
    const double cold = kept ? WINOGRAD_COLD_KEPT : WINOGRAD_COLD, called = plan->p.packed * min_double(lines, (kept ? 1 : 2) * WINOGRAD_STAYS / ALIGNMENT);
    return of->winograd_far * (source_lines(plan, &lat) + result_lines(plan, &lat)) + streamed * of->winograd_line * kernels
           + left * of->winograd_left * lines + spilled * of->winograd_spilled * (kernels + lines) + cold * called;
}

static double winograd_lattice_cost(const conv_plan *plan, const lattice *each)
{
    const lattice lat = plan->largest;
    const winograd_shape s = winograd_shape_for(plan, *each);
    const int both = s.h.points > 1 && s.w.points > 1;
    const double f = (double)s.frequencies, rows = (double)lat.result_channels, channels = (double)lat.source_channels;
    const double strips = (double)round_up(s.h.tiles * s.w.tiles, lanes_of(plan)), vectors = strips / (double)lanes_of(plan);
    const double terms = channels * winograd_products(&s.h) * winograd_products(&s.w), blocks = (double)ceil_div(s.k, winograd_terms(s.k));
    const double parts = channels * (double)(s.h.tiles * (s.w.tiles / s.w.each) * s.h.groups * s.w.groups);
    return winograd_lines_cost(plan, &s, strips) + winograd_apart_cost(plan, &s, channels, rows) + rows * winograd_weights_cost(plan, &s, both)
           + ((WINOGRAD_PRODUCTS * terms / 2 + (WINOGRAD_SUM + WINOGRAD_BLOCK * blocks) * f) * rows + WINOGRAD_VECTOR * f * (double)s.k) * vectors
           + (both ? WINOGRAD_ROW : WINOGRAD_SHORT_ROW) * parts;
}

static double winograd_cost(const conv_plan *plan)
{
    double sum = 0;
    for (idx i = 0; i < plan->phases_h * plan->phases_w; i++) {
        const lattice lat = plan_lattice(plan, i / plan->phases_w, i % plan->phases_w);
        sum += winograd_lattice_cost(plan, &lat);
    }
    return sum;
}

/* Whether half its kernel at most lies in padding, of every point. */
static int winograd_meets(const conv_axis *axis)
{
    const idx low = axis_lowest(axis), after = low + axis_reach(axis) - axis->size, extent = (axis->taps - 1) * axis_distance(axis) + 1;
    return 2 * max_idx(-low, after) <= extent;
}

/* Whether an axis has three quarters of the taps of its groups, and padding of half its kernel at most: F(4, 3) multiplies the roundings of
 * groups that lack taps, or lie in padding where the others do not, by more than a tile's S has. */
static int winograd_fills(const conv_axis *axis)
{
    const winograd_axis x = winograd_axis_of(axis, 6);
    return x.groups == 1 || (4 * axis->taps >= 3 * x.reach * x.groups && winograd_meets(axis));
}

/* Whether tiles of so many points keep the error bound: those of four results need sums of many products, whose roundings average. Of 240,000
 * random problems by name, normal and positive, with any padding, one left 16 u S: one channel, tiles of two results. */
static int winograd_averages(const conv_plan *plan, idx points)
{
    static const idx least[2][2] = {{32, 48}, {100, 288}}; /* products: of an axis or two, F(4, 2) and F(4, 3) */
    const int both = plan->largest.h.taps > 1 && plan->largest.w.taps > 1;
    const lattice lat = plan_lattice(plan, plan->phases_h - 1, plan->phases_w - 1); /* that of the fewest taps */
    const idx products = lat.source_channels * lat.h.taps * lat.w.taps;
    if (points < 5)
        return both && (plan->phases_h * plan->phases_w == 1 || products >= least[both][0]); /* two of 40,000 of a stride left 16 u S, of 14 and 40 */
    return products >= least[both][points - 5] && (points == 5 || (winograd_fills(&lat.h) && winograd_fills(&lat.w)));
}

static void winograd_block(conv_plan *plan)
{
    static const idx forms[] = {6, 5, 4, 3};
    const lattice lat = plan->largest;
    idx best = forms[1];
    double least = 1e300;
    plan->m_rows = lat.result_channels;
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    plan->shares_source = 0;
    plan->prepare_tasks = plan->prepared_bytes = 0;
    for (int i = 0; i < 4; i++) {
        if (!winograd_averages(plan, forms[i]))
            continue;
        winograd_tile(plan, &lat, forms[i]);
        const double cycles = winograd_cost(plan);
        if (cycles < least) {
            best = forms[i];
            least = cycles;
        }
    }
    winograd_tile(plan, &lat, best);
}

#define WINOGRAD_STRIPS 4 /* of tiles for each thread, from which on they are split: fewer would be uneven */

/* Few tiles: threads share their transforms, made first, and split the rows. Many are split: more than a vector for each thread where the weights
 * are kept, which else are transformed again, or all. What is left splits the rows, and each task transforms the source again. Few tasks are as many for each
 * thread, or most would wait for the last. */
static void winograd_share(conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    const idx lanes = lanes_of(plan), mr = plan->kernels->mr, tiles = plan->p.n * s.h.tiles * s.w.tiles;
    const idx phases = plan->phases_h * plan->phases_w, others = plan->p.groups * phases;
    const idx each = ceil_div(plan->threads, others), tasks = ceil_div(tiles, plan->chunk_w);
    const int kept = winograd_keeps(plan);
    if (others * tasks >= 4 * plan->threads)
        return;
    const int large = s.frequencies * s.k * plan->m_rows * element_bytes(plan) > WINOGRAD_BYTES; /* more than each thread would read for itself */
    const idx few = !kept ? WINOGRAD_STRIPS * tile_columns(plan) * each : large ? lanes * each + 1 : 0;
    if (phases == 1 && tiles <= winograd_room_of(plan, plan->m_rows).tiles && tiles < few && plan->m_rows >= 2 * mr * each) {
        plan->shares_source = 1;
        plan->chunk_h = plan->chunk_w = tiles;
        plan->m_chunks = min_idx(ceil_div(4 * plan->threads, others), plan->m_rows / (2 * mr));
        plan->block_rows = min_idx(plan->block_rows, round_up(ceil_div(plan->m_rows, plan->m_chunks), winograd_highest(plan)));
        plan->prepare_tasks = others * min_idx(plan->channels, ceil_div(4 * plan->threads, others));
        plan->prepared_bytes = round_up(others * winograd_layout(plan, lanes).source * element_bytes(plan), ALIGNMENT);
    } else if (!kept && plan->m_rows > tiles) {
        plan->m_chunks = min_idx(each, ceil_div(plan->m_rows, mr));
    } else {
        plan->chunk_w = min_idx(plan->chunk_w, max_idx(lanes, round_up(ceil_div(tiles, round_up(tasks, each)), lanes)));
    }
}

static double winograd_task_bytes(const conv_plan *plan)
{
    return (double)(winograd_layout(plan, lanes_of(plan)).total * element_bytes(plan) + 2 * ALIGNMENT);
}

static idx winograd_chunks(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return ceil_div(plan->p.n * s.h.tiles * s.w.tiles, plan->chunk_w);
}

/* An axis with one tap, or with two that a stride does not part. */
static int winograd_axis_applies(const conv_axis *axis)
{
    return axis->taps == 1 || axis->taps > winograd_axis_of(axis, 3).period;
}

/* Not too many lattices, every result in one, and none whose S is far from that of results of its tile: these are not side by side. */
static int winograd_lattices(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx lattices = plan->phases_h * plan->phases_w;
    int fit = p->pad_mode == CONV_ZEROS && lattices == p->stride_h * p->stride_w && lattices <= WINOGRAD_LATTICES;
    for (idx i = 0; fit && lattices > 1 && i < lattices; i++) {
        const lattice lat = plan_lattice(plan, i / plan->phases_w, i % plan->phases_w);
        fit = winograd_meets(&lat.h) && winograd_meets(&lat.w);
    }
    return fit;
}

/* Some tile that keeps the bound, and transforms allowed. */
static int winograd_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan->largest;
    const int allowed = p->algorithm == CONV_WINOGRAD || !p->strict;
    return allowed && lat.h.taps * lat.w.taps > 1 && winograd_axis_applies(&lat.h) && winograd_axis_applies(&lat.w) &&
           (p->pass == CONV_FWD || winograd_lattices(plan)) && (winograd_averages(plan, 4) || winograd_averages(plan, 5));
}

const conv_algorithm winograd_algorithm = {
    .id = CONV_WINOGRAD, .kernel = KERNEL_WINOGRAD, .reason = "transforms of short tiles multiply less than the definition does",
    .applicable = winograd_applies, .block = winograd_block, .cost = winograd_cost, .chunks = winograd_chunks,
    .task_bytes = winograd_task_bytes, .limit = PANEL_LIMIT, .regroups = 1, .share = winograd_share,
};

/* ---- fft: pairs of tiles of an image ---- */

#define FFT_LEAST 24       /* taps: the noise of fewer is too much for the bound, and they never pay */
#define FFT_LONGEST 16384  /* transform of a row */
#define FFT_WIDEST 1024    /* transform of a plane, along an axis */
#define FFT_SHARE 8        /* pairs for each kernel in a task, so that its transform is a small part of it */

/* Cycles to transform a vector of a pair, either way: for each of its levels; to move, to turn and to measure it, more for rows, where the pair
 * has left the first-level cache, three times that where the second; to multiply it, kernels from the second-level cache or from beyond;
 * and to begin a row. Measured. */
#define FFT_LEVEL 1.9
#define FFT_MOVE 15.0
#define FFT_LINES 11.0
#define FFT_FAR 12.0
#define FFT_PRODUCT 4.0
#define FFT_FAR_PRODUCT 8.0
#define FFT_ROW 120.0
#define FFT_LINE 50.0 /* cycles of a line from memory or to it: measured */

static double fft_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const fft_shape s = fft_shape_of(plan);
    const double c = (double)lat.source_channels, m = (double)lat.result_channels;
    const double vectors = (double)s.rows * (double)s.strips_w;
    const double levels = __builtin_log2((double)s.w.length) + (s.plane ? __builtin_log2((double)s.rows) : 0);
    const idx bytes = s.bundle * element_bytes(plan), line = ALIGNMENT / element_bytes(plan);
    const double far = bytes > CACHE_BYTES ? 3 * FFT_FAR : bytes > FIRST_CACHE ? FFT_FAR : 0;
    const double apart = s.w.step > 1 || s.w.apart > 1 ? machine_of(plan)->fft_apart : 0;
    const double move = s.plane ? FFT_MOVE : FFT_MOVE + FFT_LINES;
    const double transform = vectors * (FFT_LEVEL * levels + move + far) + FFT_ROW * (double)s.rows;
    const double from = source_lines(plan, &lat), to = result_lines(plan, &lat);
    /* a line is met again for every residue of the columns that has elements in it */
    const double again = from * (double)(min_idx(s.w.step, line) - 1) + to * (double)(min_idx(s.w.apart, line) - 1);
    const double product = c * m * (double)(s.spectrum * element_bytes(plan)) > CACHE_BYTES ? FFT_FAR_PRODUCT : FFT_PRODUCT;
    return (double)s.units * ((c + m) * (transform + apart * vectors) + product * c * m * vectors) + c * m * transform +
           FFT_LINE * (from + to) + machine_of(plan)->fft_again * again;
}

/* The lengths that cost least. */
static void fft_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx lanes = lanes_of(plan), kernels = lat.source_channels * lat.result_channels;
    const int plane = lat.h.taps > 1;
    double least = 1e300;
    idx best_h = 0, best_w = 0;
    for (plan->tile_h = plane ? max_idx(16, lanes) : 1; plan->tile_h <= (plane ? FFT_WIDEST : 1); plan->tile_h *= 2)
        for (plan->tile_w = max_idx(16, lanes); plan->tile_w <= (plane ? FFT_WIDEST : FFT_LONGEST); plan->tile_w *= 2) {
            if (plan->tile_h < lat.h.taps || plan->tile_w < lat.w.taps)
                continue;
            const double cycles = fft_cost(plan);
            if (cycles < least) {
                least = cycles;
                best_h = plan->tile_h;
                best_w = plan->tile_w;
            }
        }
    plan->tile_h = best_h;
    plan->tile_w = best_w;
    plan->m_rows = lat.result_channels;
    plan->chunk_n = plan->chunk_h = 1;
    const idx units = fft_shape_of(plan).units, wanted = FFT_SHARE * ceil_div(2 * kernels, lat.source_channels + lat.result_channels);
    plan->chunk_h = even(max_idx(1, units), wanted);
    if (plan->chunk_h >= units)
        plan->chunk_n = max_idx(1, min_idx(plan->p.n, ceil_div(wanted, max_idx(1, units))));
}

static idx fft_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.n, plan->chunk_n) * ceil_div(max_idx(1, fft_shape_of(plan).units), plan->chunk_h);
}

static double fft_task_bytes(const conv_plan *plan)
{
    return (double)fft_shape_of(plan).total * (double)element_bytes(plan) + ALIGNMENT;
}

/* A kernel of some size that is wider than a column and no longer than a transform, and transforms allowed. */
static int fft_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int asked = p->algorithm == CONV_FFT;
    return (asked || (!p->strict && p->kh * p->kw >= FFT_LEAST)) && p->kw > 1 && p->kh <= FFT_WIDEST &&
           p->kw <= (p->kh > 1 ? FFT_WIDEST : FFT_LONGEST) &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && p->stride_h == 1 && p->stride_w == 1));
}

/* Every result in a vector of some pair, and the smallest of transforms. */
static double fft_at_least(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx shortest = max_idx(16, lanes_of(plan));
    const int plane = lat.h.taps > 1;
    const double c = (double)lat.source_channels, m = (double)lat.result_channels, lanes = (double)lanes_of(plan);
    const double rows = plane ? (double)max_idx(shortest, lat.h.taps) : lanes;
    const double transform = FFT_MOVE + FFT_LEVEL * (plane ? 8 : 4);
    return (double)lat.h.grid * (double)lat.w.grid / lanes / 2 * ((c + m) * transform + c * m * FFT_PRODUCT) +
           c * m * rows * (double)max_idx(shortest, lat.w.taps) / lanes * transform;
}

const conv_algorithm fft_algorithm = {
    .id = CONV_FFT, .kernel = KERNEL_FFT, .reason = "a large kernel on few channels: products of spectra multiply less than sums of products",
    .applicable = fft_applies, .block = fft_block, .cost = fft_cost, .chunks = fft_chunks, .task_bytes = fft_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .at_least = fft_at_least,
};
