/* forward -- the table of fwd and of bwd_data, which is a forward convolution over lattices; and its rows that take any problem: how
 * each cuts its work, what it costs, what it cannot do.
 */
#include "algorithm.h"

/* ---- cycles of one core on paper ----
 *
 * direct and gemm do (columns computed) * rows * k multiply-adds, two vectors a cycle, or load what these need, two a cycle: for few
 * rows that is more. direct loses the columns between rows;
 * gemm moves every element once for each tap, and a run of it has a cost of its own. */

/* Of `columns` side by side: tiles, of which the last may be narrower. */
static double row_cycles(const conv_plan *plan, idx rows, idx columns, double crossing)
{
    const idx nr = tile_columns(plan), last = columns % nr;
    const double whole = (double)(columns / nr) * tile_cycles(plan, rows, plan->nv, crossing);
    return last == 0 ? whole : whole + tile_cycles(plan, rows, narrowest_tile(plan->nv, plan->kernels->nv, last, lanes_of(plan)), crossing);
}

#define ALONE_CYCLES 2 /* columns that are alone take so much less of a vector's time in a pass of their own: measured */

/* Of columns that no vector is spent on; one alone takes `along` times less than it. */
static double alone_cycles(const conv_plan *plan, idx rows, idx columns, int along)
{
    return columns == 0 ? 0 : tile_cycles(plan, rows, 1, 0) / (columns == 1 ? along : ALONE_CYCLES);
}

#define TASK_CYCLES 580 /* to begin with a box or with a row of panels: less than it takes, since images share them */
#define PANEL_CYCLES 100 /* to begin with a panel */

/* Cycles in which the tiles of all rows begin and end, for a vector of columns: what there is to few products. */
static double tile_ends(const conv_plan *plan, idx rows)
{
    return (double)ceil_div(rows, highest_tile(plan)) * TILE_CYCLES / (double)plan->nv + (double)rows;
}

/* ---- direct: a box of source rows packed once or read where it lies, every tap a shift of it ---- */

#define DIRECT_ROWS 256   /* channels whose rows are read in place for kernels of one point */
#define DIRECT_LONE 4     /* of so few points: others fill vectors with the points of many images, which the choice does not see: measured */
#define DIRECT_TASK 1000  /* cycles to begin with an image of those: measured */
#define DIRECT_ALONE 6    /* to copy what is alone of a row of those */
#define DIRECT_COLLIDES 2 /* cycles of a line for each tile of rows but the first: measured */
#define DIRECT_SUMS 131072 /* bytes of results that wait for the rest of their channels */
#define DIRECT_LONG 512 /* elements of a packed row, from which on it is packed as fast as the rows of many channels */
#define DIRECT_ONCE 3 /* cycles more for a vector that is packed for one tap: measured */
#define IN_PLACE_LINE 8 /* cycles of a line from memory or to it: measured */
#define IN_PLACE_LIMIT 536870912.0 /* offsets have 32 bits */

#define EDGE_CYCLES 100 /* for a row's two edges */
#define IN_PLACE_LEAST 32768 /* elements of a padded plane whose edges are not much */

/* Rows of stride 1: for kernels of one point, and for so few rows of the result that each is read once; a copy would not pay. Nothing pads
 * them, or little. */
static int direct_in_place(const conv_plan *plan, const lattice *lat)
{
    const lattice all = plan->envelope;
    const axis_run h = axis_inner(&all.h), w = axis_inner(&all.w);
    const double inner = (double)(h.p1 - h.p0) * (double)(w.p1 - w.p0), points = (double)all.h.grid * (double)all.w.grid;
    const int pays = lat->result_channels <= plan->kernels->mr || (direct_points(lat) && lattice_inside(&all));
    return pays && (plan->p.pass == CONV_FWD || plan->p.pad_mode == CONV_ZEROS) &&
           lat->h.step == 1 && lat->w.step == 1 && (lattice_inside(&all) || (inner > IN_PLACE_LEAST && inner > 0.9 * points)) &&
           (double)lat->source_channels * (double)lat->h.size * (double)lat->w.size < IN_PLACE_LIMIT;
}

/* Streams of the source, a few at a time. Blocks of sqrt(k) / 4 terms and more keep the error bound, see accumulation_block. */
static void direct_block_in_place(conv_plan *plan, const lattice *lat)
{
    const idx taps = lat->h.taps * lat->w.taps, streams = far_lines(plan, lat) > 0 ? DIRECT_STREAMS / 2 : DIRECT_STREAMS;
    const double root = __builtin_sqrt((double)(lat->source_channels * taps));
    plan->channels = even(lat->source_channels, max_idx(direct_points(lat) ? DIRECT_ROWS : streams, (idx)(root / (4 * (double)taps)) + 1));
    plan->chunk_n = 1;
    plan->chunk_h = max_idx(1, lat->h.grid);
    plan->chunk_w = max_idx(1, lat->w.grid);
    plan->pitch = lat->w.size;
    if (plan->channels < lat->source_channels) { /* sums that are taken up again */
        const idx columns = DIRECT_SUMS / (element_bytes(plan) * lat->result_channels);
        plan->chunk_w = even(plan->chunk_w, columns);
        plan->chunk_h = plan->chunk_w < lat->w.grid ? 1 : even(plan->chunk_h, columns / plan->chunk_w);
    }
}

static double direct_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const double terms = (double)plan->channels * (double)s.taps;
    double box = direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
    if (plan->in_place) /* but for edges, or the tile that ends where the array does */
        box = max_double((double)direct_piece_of(plan, lat.h.grid, lat.w.grid, lanes_of(plan)).area * (double)plan->channels,
                         terms * (double)tile_columns(plan));
    return (double)tile_bytes(plan) + terms * sizeof(int32_t) + 2 * ALIGNMENT +
           (box + (double)s.span_w + 2 * (double)tile_columns(plan)) * (double)element_bytes(plan);
}

/* Cycles in which the rows of a vector of columns come from the second-level cache for one channel, where a small tile waits
 * for them: each is a line or two for few products. Where most terms bring a line of their own, some are lost even if there is room for all. */
static double direct_misses(const conv_plan *plan, const lattice *lat)
{
    const double lines = direct_lines(plan, lat, lanes_of(plan)), passes = (double)ceil_div(lat->result_channels, plan->kernels->mr);
    const double full = (double)plan->channels * lines * ALIGNMENT / FIRST_CACHE, taps = (double)(lat->h.taps * lat->w.taps);
    const double lost = full > 1 ? 1 : lines > 0.6 * taps ? full : 0;
    if (plan->in_place && direct_points(lat)) { /* called in time, unless they push each other out of the first-level cache */
        const int collide = cache_sets(lat->w.size * element_bytes(plan)) == 1;
        return collide ? DIRECT_COLLIDES * (double)(ceil_div(lat->result_channels, highest_tile(plan)) - 1) * lines / plan->nv : 0;
    }
    return small_tiles(plan) ? lost * passes * lines * 2.5 / plan->nv : 0;
}

static double direct_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const double lanes = (double)lanes_of(plan);
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const idx nr = tile_columns(plan), pitch = plan->pitch;
    const int alone_in_rows = pitch % nr == 0 || (plan->in_place && plan->chunk_w < lat.w.grid); /* a tile has one row */
    const idx row = alone_in_rows ? round_up(plan->chunk_w, lanes_of(plan)) : pitch;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    const double columns = boxes * (double)(plan->chunk_h * row);
    const double packed_rows = plan->in_place ? 0 : boxes * (double)(plan->chunk_h + s.span_h) * (double)s.planes;
    /* tiles in which a row ends are stored piece by piece: measured */
    const int whole_row = plan->chunk_h == 1 || (lattice_dense(&lat) && pitch == lat.w.grid); /* of one image: the choice knows no batch */
    const double pieces = lat.w.out_step > 1 ? 1 + (double)row / (double)nr
                          : alone_in_rows || whole_row ? plan->chunk_w % nr > 0 : min_double(2, 1 + (double)row / (double)nr);
    const double blocks = (double)ceil_div(lat.source_channels, plan->channels); /* of channels, each a sum of its own */
    const double stores = (2 * blocks - 1) * boxes * (double)plan->chunk_h * pieces * (double)lat.result_channels * 16;
    const int alone = lat.source_channels == 1, small = alone && small_tiles(plan);
    const double moved = step_cycles(lat.w.step) + (s.taps == 1 ? DIRECT_ONCE : 0);
    const double packs = packed_rows * (18 + (double)pitch / lanes * moved) * (alone && pitch < DIRECT_LONG ? 2 : 1);
    const double ends = blocks * columns / lanes * tile_ends(plan, lat.result_channels);
    const double edges = lattice_inside(&lat) ? 0 : 4 * TASK_CYCLES + EDGE_CYCLES * (double)(lat.h.grid * lat.source_channels);
    /* rows that start anywhere come slower from the second-level cache than a panel does: 1.15; one channel's, read in place, are a stream in
     * 1-D, and many in 2-D, which a small tile outruns where they are short: measured */
    const int in_line = plan->in_place && direct_points(&lat) && plan->chunk_h == 1;
    const idx few = in_line ? columns_alone(plan, plan->kernels->nv, plan->chunk_w % nr, lanes_of(plan)) : 0;
    const double tiles = alone_in_rows || few > 0 ? (double)plan->chunk_h * row_cycles(plan, lat.result_channels, plan->chunk_w - few, 0.8) + alone_cycles(plan, lat.result_channels, few, ALONE_CYCLES)
                                       : row_cycles(plan, lat.result_channels, plan->chunk_h * pitch, 0.8);
    const int stream = small_tiles(plan) && (lat.h.taps == 1 || plan->chunk_w >= 2 * DIRECT_LONG);
    const double packed = lat.w.step > 1 && !alone && !small_tiles(plan) ? 1.45 : 1.15; /* rows of a stride are several planes: measured */
    const int called = plan->in_place && direct_points(&lat) && small_tiles(plan); /* beside few products: measured */
    const double crossing = called ? 1.3 : !alone || !plan->in_place ? packed : stream ? 1.1 : 1.6;
    const double products = crossing * boxes * tiles * (double)s.taps;
    const double channel = products + (small ? 1.7 : 1) * (columns / lanes * direct_misses(plan, &lat) + packs) + (few > 0 ? DIRECT_ALONE * boxes : 0);
    const double lone = in_line ? 1 + DIRECT_LONE / (double)max_idx(1, plan->chunk_w) : 1;
    return lone * lattices * ((double)lat.source_channels * channel + ends + stores + (in_line ? DIRECT_TASK : TASK_CYCLES)) + laid_out(plan) +
           (plan->in_place ? edges + IN_PLACE_LINE * far_lines(plan, &lat) : COPIED_LINE * far_lines(plan, &lat));
}

/* Rows of a box, and images where they are small. */
static void direct_rows(conv_plan *plan, const lattice *lat, const direct_shape *s, double budget)
{
    if (plan->chunk_w < lat->w.grid)
        return;
    const double row = direct_box(plan, s, 1, 1, plan->chunk_w) / (double)(1 + s->span_h) * (double)plan->channels;
    plan->chunk_h = even(max_idx(1, lat->h.grid), (idx)(budget / row) - s->span_h);
    plan->chunk_n = 1;
    if (plan->chunk_h >= lat->h.grid)
        plan->chunk_n = max_idx(1, min_idx(plan->p.n, (idx)(budget / (row * (double)(plan->chunk_h + s->span_h)))));
}

static void direct_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const double budget = CACHE_BYTES / (double)element_bytes(plan);
    /* blocks of channels cut every sum: none shorter than half of what the error bound allows for */
    const idx shortest = ceil_div(accumulation_block(lat.source_channels * s.taps), 2 * s.taps);
    plan->nv = vectors_for(plan, &lat);
    plan->m_rows = lat.result_channels;
    plan->in_place = direct_in_place(plan, &lat);
    if (plan->in_place) {
        const int tiled = plan->weights == WEIGHTS_BY_TILES || plan->p.oh * plan->p.ow >= POINTS_PACKED; /* packs_at_once, for any batch */
        if (direct_points(&lat) && tiled) /* rows that do not collide */
            plan->nv = vectors_for_rows(plan->kernels, lat.result_channels);
        direct_block_in_place(plan, &lat);
        return;
    }
    const idx nr = tile_columns(plan);
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    plan->chunk_w = max_idx(1, lat.w.grid);
    while (plan->chunk_w > 8 * nr && direct_box(plan, &s, 1, 1, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_w = even(lat.w.grid, plan->chunk_w / 2);
    plan->pitch = direct_pitch(plan->chunk_w, s.span_w, nr, lanes_of(plan));
    /* Where most terms bring a line of their own, a small tile waits for them: they stay in the first-level cache while the tiles of all
     * rows pass. The sums of short rows are moved piece by piece, once for every block. */
    const double lines = direct_lines(plan, &lat, lanes_of(plan));
    if (small_tiles(plan) && lines > 0.6 * (double)s.taps && lat.result_channels > plan->kernels->mr && plan->chunk_w >= nr)
        plan->channels = even(lat.source_channels, max_idx((idx)(FIRST_CACHE / (lines * ALIGNMENT)), shortest));
    const double channel = direct_box(plan, &s, 1, 1, plan->chunk_w);
    if (channel * (double)plan->channels > 2 * budget)
        plan->channels = even(plan->channels, max_idx((idx)(budget / channel), shortest));
    direct_rows(plan, &lat, &s, budget);
    /* Boxes of few rows pack what they share with their neighbours again: of fewer channels they have more rows, and more sums. */
    idx best = plan->channels;
    double least = direct_cost(plan);
    for (idx channels = best; s.span_h > 0 && plan->chunk_w >= lat.w.grid && plan->chunk_h < lat.h.grid && channels >= 2 * shortest;) {
        channels = ceil_div(channels, 2);
        plan->channels = even(lat.source_channels, channels);
        direct_rows(plan, &lat, &s, budget);
        const double cycles = direct_cost(plan);
        if (cycles < least) {
            least = cycles;
            best = plan->channels;
        }
    }
    plan->channels = best;
    direct_rows(plan, &lat, &s, budget);
}

static const conv_algorithm direct_algorithm = {
    .id = CONV_DIRECT, .kernel = KERNEL_DIRECT, .reason = "source rows are packed once and every tap is a shift of them",
    .block = direct_block, .cost = direct_cost, .chunks = box_chunks, .task_bytes = direct_task_bytes,
    .limit = DIRECT_LIMIT, /* every shift in 32 bits */
};

/* ---- gemm: panels of im2col, columns run on over rows and short images ---- */

#define GEMM_COLUMNS 128 /* of a panel at least, where an image has them: each passes by all the weights once */

static void gemm_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
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
    const lattice lat = plan->largest;
    const double depth = (double)plan->channels * (double)lat.h.taps * (double)lat.w.taps;
    const double columns = (double)round_up(plan->chunk_n * plan->chunk_w, tile_columns(plan));
    return (double)tile_bytes(plan) + 3 * ALIGNMENT + depth * columns * (double)element_bytes(plan);
}

static idx gemm_chunks(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    return ceil_div(plan->p.n, plan->chunk_n) * ceil_div(max_idx(1, lat.h.grid * lat.w.grid), plan->chunk_w);
}

/* Measured over images of 3 to 112 pixels: */
#define GEMM_PRODUCTS 1.1 /* of the cycles on paper: weights and panels are read from further away */
#define GEMM_ALONE 8      /* a tile takes a column along for so much of a vector's time */
#define GEMM_APART 1.2    /* cycles to store a result alone */

/* Cycles for a vector of elements `step` apart, into a panel and out of it. */
static double panel_cycles(idx step)
{
    static const double cycles[] = {5, 8, 9, 13, 20};
    return cycles[min_idx(step, 5) - 1];
}

/* Cycles to pack the panels of `points`. */
static double gemm_packs(const conv_plan *plan, const lattice *lat, idx points)
{
    const idx nr = tile_columns(plan);
    const double runs = (double)points / (double)min_idx(nr, max_idx(1, lat->w.grid)) + (double)points / (double)nr;
    const double taps = (double)(lat->h.taps * lat->w.taps), blocks = (double)ceil_div(lat->source_channels, plan->channels);
    return blocks * taps * runs * machine_of(plan)->gemm_run +
           (double)lat->source_channels * taps * (runs + (double)(ceil_div(points, nr) * plan->nv) * panel_cycles(lat->w.step));
}

static double gemm_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx nr = tile_columns(plan), points = max_idx(1, lat.h.grid * lat.w.grid);
    const double panels = (double)ceil_div(points, nr), vectors = panels * (double)plan->nv;
    const double filled = taps_filled(plan), k = (double)(lat.source_channels * lat.h.taps * lat.w.taps) * filled;
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double apart = lat.w.out_step > 1 ? GEMM_APART * (double)points : 0, tail = points % nr == 0 ? 0 : 15; /* of the tile that an image ends in */
    const double stores = (double)lat.result_channels * (apart + tail);
    const idx alone = columns_alone(plan, plan->kernels->nv, points % nr, lanes_of(plan));
    const double tiles = row_cycles(plan, lat.result_channels, points - alone, 0) + alone_cycles(plan, lat.result_channels, alone, GEMM_ALONE);
    return lattices * (k * GEMM_PRODUCTS * tiles + filled * gemm_packs(plan, &lat, points) + vectors * tile_ends(plan, lat.result_channels) +
                       stores + TASK_CYCLES + panels * PANEL_CYCLES) +
           laid_out(plan) + COPIED_LINE * far_lines(plan, &lat);
}

/* A task's columns and rows cost as many more of them as would take the time to read its weights again, and to pack its panels again. */
#define GEMM_READ 32 /* columns: measured */
#define GEMM_AGAIN 4 /* of the cycles to pack them from a near cache: the source may be in another core's; measured */

/* The time of all tasks, in rows times columns, where rows are cut into m and columns by `width` and packing is as much as `packs` rows: threads that get even shares of the rows wait for nobody,
 * others for who has the last of the widest tasks; and all a little for who was disturbed. Who goes on with the same columns has packed them. */
static double gemm_makespan(const conv_plan *plan, idx others, idx points, double packs, idx m, idx width)
{
    const idx chunks = ceil_div(points, width);
    const int held = others * chunks == 1 && plan->channels >= plan->largest.source_channels;
    const double rows = (double)ceil_div(plan->m_rows, m) + (held ? 0 : packs), widest = rows * (double)(min_idx(width, points) + GEMM_READ);
    const double last = rows * (double)(round_up(points - (chunks - 1) * width, lanes_of(plan)) + GEMM_READ);
    const double all = (double)others * ((double)(chunks - 1) * widest + last);
    return widest / 8 + (m % plan->threads == 0 ? all * (double)m / plan->threads : (double)ceil_div(others * chunks * m, plan->threads) * widest) +
           (held ? packs * (double)(points + GEMM_READ) : 0);
}

/* The cheapest cut, of columns into panels and of rows. */
static void gemm_cut(conv_plan *plan, idx others)
{
    const lattice lat = plan->largest;
    const idx threads = plan->threads, points = max_idx(1, lat.h.grid * lat.w.grid), nr = tile_columns(plan), panels = ceil_div(points, nr);
    const idx ways[] = {1, 2, threads, 2 * threads, 4 * threads}, few = ceil_div(points, plan->chunk_w), given = plan->chunk_w;
    const double vectors = (double)ceil_div(points, lanes_of(plan)), k = (double)(lat.source_channels * lat.h.taps * lat.w.taps);
    const double packs = GEMM_AGAIN * gemm_packs(plan, &lat, points) / (k * vectors / 2);
    double least = 1e300;
    for (idx chunks = few; chunks <= max_idx(few, min_idx(panels, 4 * threads)); chunks++)
        for (int i = 0; i < 5; i++) {
            const idx width = chunks == few ? given : even(panels, ceil_div(panels, chunks)) * nr;
            if (ways[i] > max_idx(min_idx(threads, plan->m_rows), plan->m_rows / (2 * plan->kernels->mr)))
                continue;
            const double time = gemm_makespan(plan, others, points, packs, ways[i], width);
            if (time < least) {
                least = time;
                plan->m_chunks = ways[i];
                plan->chunk_w = width;
            }
        }
    plan->rows_first = plan->m_rows > points * lat.h.step * lat.w.step / (lat.h.taps * lat.w.taps); /* the weights are more than the source */
}

static const conv_algorithm gemm_algorithm = {
    .id = CONV_GEMM, .kernel = KERNEL_GEMM, .reason = "panels of im2col: dense columns are worth a copy for each tap",
    .block = gemm_block, .cost = gemm_cost, .chunks = gemm_chunks, .task_bytes = gemm_task_bytes, .limit = PANEL_LIMIT,
    .cut = gemm_cut,
};

/* ---- ref: a task is an output channel of an image ---- */

static void ref_block(conv_plan *plan)
{
    plan->channels = plan->chunk_n = plan->chunk_h = plan->chunk_w = plan->nv = 1;
}

static idx ref_chunks(const conv_plan *plan)
{
    return plan->p.n * plan->p.oc;
}

static double last_resort(const conv_plan *plan)
{
    (void)plan;
    return 1e300;
}

/* The seven loops are those of the forward pass. */
static int forward_pass(const conv_plan *plan)
{
    return plan->p.pass == CONV_FWD;
}

static const conv_algorithm ref_algorithm = {
    .id = CONV_REF, .kernel = KERNEL_REF, .reason = "the seven loops, asked for by name or where nothing else fits",
    .applicable = forward_pass, .block = ref_block, .cost = last_resort, .chunks = ref_chunks, .task_bytes = no_scratch,
};

/* ---- the table: where two cost the same, the first ---- */

const conv_algorithm *const forward_algorithms[] = {
    &direct_algorithm, &channels_algorithm, &batch_algorithm, &winograd_algorithm, &planes_algorithm, &slide_algorithm, &stencil_algorithm,
    &scale_algorithm, &gemm_algorithm, &col2im_algorithm, &col2im_rows_algorithm, &windows_algorithm, &fft_algorithm, &ref_algorithm, NULL,
};
