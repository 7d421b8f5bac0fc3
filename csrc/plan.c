/* plan -- the ordered table of algorithms, and the blocking of each. Arithmetic alone: no allocation, nothing shared.
 *
 * The cheapest row of the table that applies wins; `auto` looks at one example's shape, the dtype and the ISA, never at the
 * batch or the threads, because bits must not depend on those. Blocking may depend on both: every output is the same sum
 * in the same order however the outputs are cut.
 */
#include "cpu.h"
#include "threads.h"

#define CACHE_BYTES 262144      /* of packed source in one task: half of the smallest second-level cache we care for */
#define DIRECT_LIMIT 33554432   /* beyond this a single channel's rows are not "packed once" any more */
#define PANEL_LIMIT 268435456
#define CYCLES_PER_THREAD 1.5e5  /* of the cost below: with less, waking a thread costs more than it saves */

struct conv_algorithm {
    conv_algorithm_id id;
    int kernel, passes;
    const char *reason;
    void (*block)(conv_plan *plan);
    int (*applicable)(const conv_plan *plan); /* of the blocked plan; NULL: always */
    double (*cost)(const conv_plan *plan);    /* likewise; the least wins */
    idx (*chunks)(const conv_plan *plan);
    double (*task_bytes)(const conv_plan *plan);
};

static double min_double(double a, double b)
{
    return a < b ? a : b;
}

static idx element_bytes(const conv_plan *plan)
{
    return plan->p.dtype == CONV_F32 ? 4 : 8;
}

static idx lanes_of(const conv_plan *plan)
{
    return plan->kernels->set[plan->p.dtype]->lanes;
}

static idx tile_columns(const conv_plan *plan)
{
    return plan->nv * plan->kernels->set[plan->p.dtype]->lanes;
}

static idx tile_bytes(const conv_plan *plan)
{
    const kernel_table *k = plan->kernels;
    return (idx)k->mr * 4 * k->nv * k->set[plan->p.dtype]->lanes * element_bytes(plan);
}

/* The largest lattice of the plan: phase 0 has the most taps, but not always the most points. */
static lattice largest_lattice(const conv_plan *plan)
{
    lattice lat = plan_lattice(plan, 0, 0);
    for (idx i = 1; i < plan->phases_h; i++)
        lat.h.grid = max_idx(lat.h.grid, plan_lattice(plan, i, 0).h.grid);
    for (idx i = 1; i < plan->phases_w; i++)
        lat.w.grid = max_idx(lat.w.grid, plan_lattice(plan, 0, i).w.grid);
    return lat;
}

/* Wide tiles for few rows: the accumulators must cover the latency of the multiply-add. */
static int vectors_for(const kernel_table *k, idx rows)
{
    return rows <= k->mr / 4 ? 4 * k->nv : rows <= k->mr / 2 ? 2 * k->nv : k->nv;
}

/* Cut `total` into pieces of at most `most`, all about equally long. */
static idx even(idx total, idx most)
{
    return ceil_div(total, ceil_div(total, max_idx(1, min_idx(most, total))));
}

/* ---- direct: a box of source rows packed once, every tap a shift of it ---- */

typedef struct {
    idx planes;  /* residues per channel */
    idx span_h, span_w, taps;
} direct_shape;

static direct_shape direct_shape_of(const lattice *lat)
{
    axis_rows h = axis_row_layout(&lat->h), w = axis_row_layout(&lat->w);
    return (direct_shape){h.period * w.period, h.span, w.span, lat->h.taps * lat->w.taps};
}

/* Elements of one channel's box, over all residues; -1 where that count is out of reach. */
static double direct_box(const conv_plan *plan, const direct_shape *s, idx n, idx h, idx w)
{
    return (double)s->planes * (double)n * (double)(h + s->span_h) *
           (double)direct_pitch(w, s->span_w, tile_columns(plan));
}

static void direct_block(conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const direct_shape s = direct_shape_of(&lat);
    const double budget = CACHE_BYTES / (double)element_bytes(plan);
    plan->nv = vectors_for(plan->kernels, lat.result_channels);
    plan->m_rows = lat.result_channels;
    const idx nr = tile_columns(plan);
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    plan->chunk_w = max_idx(1, lat.w.grid);
    while (plan->chunk_w > 8 * nr && direct_box(plan, &s, 1, 1, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_w = even(lat.w.grid, plan->chunk_w / 2);
    plan->pitch = direct_pitch(plan->chunk_w, s.span_w, nr);
    const double channel = direct_box(plan, &s, 1, 1, plan->chunk_w);
    /* blocks of channels cut every sum: none shorter than half of what the error bound allows for */
    const idx shortest = ceil_div(accumulation_block(lat.source_channels * s.taps), 2 * s.taps);
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
    double box = direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
    return (double)tile_bytes(plan) + (double)plan->channels * (double)s.taps * sizeof(int32_t) + 2 * ALIGNMENT +
           (box + (double)s.span_w + 2 * (double)tile_columns(plan)) * (double)element_bytes(plan);
}

static idx direct_chunks(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    return ceil_div(lat.w.grid, plan->chunk_w) * ceil_div(lat.h.grid, plan->chunk_h) *
           ceil_div(plan->p.n, plan->chunk_n);
}

/* Elements of one channel's box as a padded copy without residues (view_tpl.h); none where nothing is padded. */
static double view_box(const lattice *lat, idx n, idx h, idx w)
{
    const conv_axis *ah = &lat->h, *aw = &lat->w;
    const double rows = (double)((h - 1) * ah->step + 1) + (double)(ah->taps - 1) * (double)(ah->delta < 0 ? -ah->delta : ah->delta);
    const double columns = (double)((w - 1) * aw->step + 1) + (double)(aw->taps - 1) * (double)(aw->delta < 0 ? -aw->delta : aw->delta);
    return lattice_inside(lat) ? 0 : (double)n * rows * columns;
}

/* ---- channels: the same box, read element by element; the weights are the panel ---- */

#define CHANNELS_POINTS 1024 /* of a task: its rows stay in cache until they are turned round */

/* Points of one image; those of all lattices, for a gradient, whose box is whole planes. */
static idx channels_points(const conv_plan *plan, const lattice *lat)
{
    return plan->p.pass == CONV_BWD_DATA ? plan->p.ih * plan->p.iw : lat->h.grid * lat->w.grid;
}

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
    plan->chunk_n = 1;
    while (!whole && plan->chunk_h > 1 &&
           view_box(&all, 1, plan->chunk_h, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_h = ceil_div(plan->chunk_h, 2);
    plan->depth = whole ? channels_points(plan, &lat) : plan->chunk_h * plan->chunk_w;
    if (plan->depth >= channels_points(plan, &lat)) {
        const double image = view_box(&all, 1, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
        plan->chunk_n = max_idx(1, min_idx(CHANNELS_POINTS / plan->depth,
                                           (idx)min_double(budget / (image + 1), (double)plan->p.n)));
    }
    plan->depth *= plan->chunk_n;
}

static double channels_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan_envelope(plan);
    const double points = (double)plan->depth + (double)lanes_of(plan);
    const double k = (double)lat.source_channels * (double)lat.h.taps * (double)lat.w.taps + (double)lanes_of(plan);
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const double box = view_box(&all, plan->chunk_n, whole ? all.h.grid : plan->chunk_h, whole ? all.w.grid : plan->chunk_w);
    return (points * 3) * sizeof(idx) + k * sizeof(int32_t) + 2 * ALIGNMENT +
           ((k + points) * (double)tile_columns(plan) + 64 + box * (double)plan->channels) * (double)element_bytes(plan);
}

/* ---- gemm: panels of im2col, columns run on over rows and short images ---- */

static void gemm_block(conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const idx taps = lat.h.taps * lat.w.taps, points = max_idx(1, lat.h.grid * lat.w.grid);
    plan->nv = vectors_for(plan->kernels, lat.result_channels);
    plan->m_rows = lat.result_channels;
    const idx budget = CACHE_BYTES / element_bytes(plan), nr = tile_columns(plan);
    plan->channels = even(lat.source_channels, 2 * budget / (nr * taps));
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

/* ---- bwd_weights: boxes of positions for outer and dot, a run of positions for weights ---- */

/* A box of about `positions`, rows and images whole where that many fit. */
static void box_of(conv_plan *plan, idx positions)
{
    const conv_problem *p = &plan->p;
    plan->chunk_w = even(p->ow, positions);
    plan->chunk_h = plan->chunk_w < p->ow ? 1 : even(p->oh, positions / p->ow);
    plan->chunk_n = plan->chunk_h < p->oh || plan->chunk_w < p->ow
                        ? 1 : even(max_idx(1, p->n), positions / (p->oh * p->ow));
}

static void outer_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const conv_problem *p = &plan->p;
    const idx budget = CACHE_BYTES / element_bytes(plan);
    plan->nv = p->oc <= lanes_of(plan) ? 1 : plan->kernels->nv;
    plan->m_rows = p->ic;
    plan->depth = round_up(even(p->oc, 256), tile_columns(plan));
    box_of(plan, 2 * budget / plan->depth);
    const double channel = view_box(&lat, plan->chunk_n, plan->chunk_h, plan->chunk_w);
    plan->channels = even(p->ic, (idx)min_double((double)budget / (channel + 1), (double)p->ic));
}

static double outer_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const direct_shape s = direct_shape_of(&lat);
    const double positions = (double)(plan->chunk_n * plan->chunk_h * plan->chunk_w);
    const double box = view_box(&lat, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
    return (double)tile_bytes(plan) + positions * sizeof(int32_t) + (double)(plan->channels * s.taps) * sizeof(idx) +
           ((positions + (double)lanes_of(plan)) * (double)round_up(plan->depth, tile_columns(plan)) + box) * (double)element_bytes(plan) +
           (double)(s.span_w + 2 * lanes_of(plan)) * (double)element_bytes(plan) + 2 * ALIGNMENT;
}

static idx outer_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.oc, plan->depth);
}

static void dot_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const direct_shape s = direct_shape_of(&lat);
    plan->nv = 1;
    plan->m_rows = s.taps;
    /* an accumulator's lane sums one term for every vector of the box */
    box_of(plan, accumulation_block(plan->p.n * plan->p.oh * plan->p.ow) * lanes_of(plan));
    plan->pitch = plan->chunk_w + s.span_w;
    plan->channels = 1;
}

static double dot_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const direct_shape s = direct_shape_of(&lat);
    return (double)s.taps * sizeof(idx) + 2 * ALIGNMENT +
           (direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) + (double)(s.span_w + 2 * lanes_of(plan))) *
               (double)element_bytes(plan);
}

static idx dot_chunks(const conv_plan *plan)
{
    (void)plan;
    return 1;
}

static void weights_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx columns = p->ic * p->kh * p->kw, positions = p->n * p->oh * p->ow;
    const idx budget = CACHE_BYTES / element_bytes(plan);
    plan->nv = vectors_for(plan->kernels, p->oc);
    plan->m_rows = p->oc;
    plan->depth = max_idx(1, even(max_idx(1, positions), 1024));
    plan->chunk_w = min_idx(columns, max_idx(1, budget / (plan->depth * tile_columns(plan))) * tile_columns(plan));
}

static double weights_task_bytes(const conv_plan *plan)
{
    const idx columns = round_up(plan->chunk_w, tile_columns(plan)) + WEIGHTS_ROWS;
    return (double)(tile_bytes(plan) + 2 * ALIGNMENT +
                    plan->depth * ((idx)sizeof(int32_t) + columns * element_bytes(plan)));
}

static idx weights_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.ic * plan->p.kh * plan->p.kw, plan->chunk_w);
}

/* ---- cost, in cycles of one core on paper: the choice between direct and gemm ----
 *
 * Both do (columns computed) * rows * k multiply-adds, two vectors a cycle. direct loses the columns between rows;
 * gemm moves every element once for each tap, and a run of it has a cost of its own. */

static double direct_cost(const conv_plan *plan)
{
    const lattice lat = largest_lattice(plan);
    const direct_shape s = direct_shape_of(&lat);
    const double lanes = (double)lanes_of(plan);
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const idx nr = tile_columns(plan), pitch = plan->pitch;
    const double row = pitch % nr == 0 ? (double)round_up(plan->chunk_w, nr) : (double)pitch;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    const double columns = boxes * (double)plan->chunk_h * row;
    const double packed_rows = boxes * (double)(plan->chunk_h + s.span_h) * (double)s.planes;
    const double stores = boxes * (double)plan->chunk_h * (double)lat.result_channels * 6; /* rows end within tiles */
    return lattices * ((double)lat.source_channels * (columns / lanes * (double)lat.result_channels * (double)s.taps / 2 +
                                                      packed_rows * (18 + (double)pitch / lanes * (lat.w.step == 1 ? 2 : 8))) +
                       (pitch % nr == 0 && lat.w.out_step == 1 ? 0 : stores));
}

static double channels_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan_envelope(plan);
    const double lanes = (double)lanes_of(plan);
    const double points = (double)round_up(plan->depth, lanes_of(plan)) / (double)plan->chunk_n;
    const double columns = (double)round_up(lat.result_channels, tile_columns(plan));
    /* every lattice of a gradient has its own taps: together those of the kernel */
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double k = (double)lat.source_channels * (double)(plan->p.kh * plan->p.kw) / lattices;
    const double rows = (double)all.h.grid * (double)all.h.step * (double)lat.source_channels;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    return boxes * points * columns / lanes * k * 0.55 + boxes * points * columns * 0.6 +
           (lattice_inside(&all) ? 0 : rows * (16 + (double)(all.w.grid * all.w.step) / lanes * 2));
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
    return lattices * (columns / lanes * (double)lat.result_channels * k / 2 + stores +
                       k * (runs * 12 + columns / lanes * (lat.w.step == 1 ? 2 : 8)));
}

/* Packing the rows of `boxes` boxes of one channel. */
static double rows_cost(const conv_plan *plan, const direct_shape *s, const conv_axis *w, double boxes)
{
    return boxes * (double)(plan->chunk_h + s->span_h) * (double)s->planes *
           (12 + (double)plan->pitch / (double)lanes_of(plan) * (w->step == 1 ? 2 : 8));
}

/* Boxes of one example, a fraction where a box holds several. */
static double boxes_of(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return (double)ceil_div(p->ow, plan->chunk_w) * (double)ceil_div(p->oh, plan->chunk_h) / (double)plan->chunk_n;
}

static double outer_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const direct_shape s = direct_shape_of(&lat);
    const conv_problem *p = &plan->p;
    const double k = (double)p->oh * (double)p->ow, m = (double)p->ic * (double)s.taps;
    const double columns = (double)round_up(p->oc, tile_columns(plan));
    return m * k * columns / (double)lanes_of(plan) / 2 + k * columns / 2 +
           (double)outer_chunks(plan) * (double)p->ic * rows_cost(plan, &s, &lat.w, boxes_of(plan) * (double)plan->chunk_n) +
           boxes_of(plan) * m * columns * 3;
}

static double dot_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const direct_shape s = direct_shape_of(&lat);
    const conv_problem *p = &plan->p;
    const double m = (double)p->ic * (double)s.taps * (double)p->oc;
    const double boxes = boxes_of(plan) * (double)plan->chunk_n;
    return m * (double)p->oh * (double)ceil_div(p->ow, lanes_of(plan)) * (p->ow % lanes_of(plan) ? 1.5 : 1) +
           boxes_of(plan) * m * 20 + (double)p->ic * rows_cost(plan, &s, &lat.w, boxes);
}

static double weights_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double k = (double)p->oh * (double)p->ow;
    const double columns = (double)round_up(p->ic * p->kh * p->kw, tile_columns(plan));
    return (double)p->oc * columns / (double)lanes_of(plan) * k / 2 + k * columns * 1.5 +
           (double)p->oc * columns / (double)lanes_of(plan) * 2 * k / (double)plan->depth;
}

static double last_resort(const conv_plan *plan)
{
    (void)plan;
    return 1e300;
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
    return channels_task_bytes(plan) < 16 * CACHE_BYTES &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && plan->phases_h == p->stride_h &&
                                    plan->phases_w == p->stride_w));
}

/* The same of a box of positions. */
static int outer_fits(const conv_plan *plan)
{
    return outer_task_bytes(plan) < DIRECT_LIMIT;
}

static int dot_fits(const conv_plan *plan)
{
    return dot_task_bytes(plan) < DIRECT_LIMIT;
}

/* One panel of all the taps of a channel fits. */
static int panel_fits(const conv_plan *plan)
{
    return gemm_task_bytes(plan) < PANEL_LIMIT;
}

static int by_name_alone(const conv_plan *plan)
{
    return plan->p.algorithm == CONV_REF || plan->p.algorithm == CONV_AUTO;
}

/* ---- the table ---- */

#define FWD (1 << CONV_FWD)
#define BWD_DATA (1 << CONV_BWD_DATA)
#define BWD_WEIGHTS (1 << CONV_BWD_WEIGHTS)

static const conv_algorithm table[] = {
    {CONV_DIRECT, KERNEL_DIRECT, FWD | BWD_DATA, "source rows are packed once and every tap is a shift of them",
     direct_block, rows_fit, direct_cost, direct_chunks, direct_task_bytes},
    {CONV_CHANNELS, KERNEL_CHANNELS, FWD | BWD_DATA, "short rows: lanes over channels, the source broadcast from where it lies",
     channels_block, channels_fit, channels_cost, direct_chunks, channels_task_bytes},
    {CONV_GEMM, KERNEL_GEMM, FWD | BWD_DATA, "panels of im2col: dense columns are worth a copy for each tap",
     gemm_block, panel_fits, gemm_cost, gemm_chunks, gemm_task_bytes},
    {CONV_OUTER, KERNEL_OUTER, BWD_WEIGHTS, "outer products of gradient and source rows read at the shift of each tap",
     outer_block, outer_fits, outer_cost, outer_chunks, outer_task_bytes},
    {CONV_DOT, KERNEL_DOT, BWD_WEIGHTS, "few output channels: dot products along the rows",
     dot_block, dot_fits, dot_cost, dot_chunks, dot_task_bytes},
    {CONV_GEMM, KERNEL_WEIGHTS, BWD_WEIGHTS, "positions are reduced over in panels of transposed im2col",
     weights_block, NULL, weights_cost, weights_chunks, weights_task_bytes},
    {CONV_REF, KERNEL_REF, FWD, "the seven loops, asked for by name or where nothing else fits",
     ref_block, by_name_alone, last_resort, ref_chunks, no_scratch},
};

static const int rows = sizeof table / sizeof *table;

/* Blocks the plan for `a` and says whether that algorithm can run it. */
static int fits(conv_plan *plan, const conv_algorithm *a)
{
    if (!(a->passes & 1 << plan->p.pass))
        return 0;
    a->block(plan);
    return !a->applicable || a->applicable(plan);
}

static const conv_algorithm *choose(conv_plan *plan)
{
    const conv_algorithm *best = NULL;
    double least = 0;
    for (const conv_algorithm *a = table; a < table + rows; a++) {
        if (plan->p.algorithm != CONV_AUTO && a->id != plan->p.algorithm)
            continue;
        if (!fits(plan, a))
            continue;
        double cost = a->cost(plan);
        if (!best || cost < least) {
            best = a;
            least = cost;
        }
    }
    return best;
}

/* Smaller pieces where the threads would otherwise wait for each other: of the rows where the weights are the larger
 * operand, else of the images and rows of the box. A matter of speed alone. */
static void share(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx wanted = 4 * plan->threads, others = plan->phases_h * plan->phases_w * p->groups;
    const int kernel = plan->algorithm->kernel;
    plan->m_chunks = 1;
    if (plan->threads == 1 || kernel == KERNEL_REF)
        return;
    if (p->pass != CONV_BWD_WEIGHTS && (p->oc * p->kh * p->kw < p->n * p->ih * p->iw || kernel == KERNEL_CHANNELS)) {
        while (plan->chunk_n > 1 && others * plan->algorithm->chunks(plan) < wanted)
            plan->chunk_n = ceil_div(plan->chunk_n, 2);
        if (kernel == KERNEL_DIRECT)
            while (plan->chunk_h > 4 && others * plan->algorithm->chunks(plan) < wanted)
                plan->chunk_h = ceil_div(plan->chunk_h, 2);
    }
    const idx tasks = others * plan->algorithm->chunks(plan);
    if (tasks < wanted) /* each packs the source again: not for less than two tiles of rows, but for a thread's sake */
        plan->m_chunks = max_idx(min_idx(ceil_div(wanted, tasks), plan->m_rows / (2 * plan->kernels->mr)),
                                 tasks < plan->threads ? min_idx(plan->threads, plan->m_rows) : 1);
}

conv_status conv_plan_init(conv_plan *plan, const conv_problem *p, int max_threads)
{
    const idx element = p->dtype == CONV_F32 ? 4 : 8;
    *plan = (conv_plan){.p = *p, .kernels = cpu_kernels(), .phases_h = 1, .phases_w = 1, .depth = 1};
    if (p->pass == CONV_BWD_DATA) {
        plan->phases_h = axis_phases(p->kh, p->stride_h, p->dil_h);
        plan->phases_w = axis_phases(p->kw, p->stride_w, p->dil_w);
        plan->prepare_tasks = p->groups * p->ic;
        plan->prepared_bytes = round_up(p->groups * p->oc * p->ic * p->kh * p->kw * element, ALIGNMENT);
    }
    plan->algorithm = choose(plan);
    if (!plan->algorithm)
        return CONV_NOT_APPLICABLE;
    plan->algorithm->block(plan);
    const double cycles = min_double(plan->algorithm->cost(plan), 1e15) * (double)p->groups * (double)p->n;
    plan->threads = (int)max_idx(1, min_idx(max_threads, (idx)min_double(cycles / CYCLES_PER_THREAD, THREADS_MAX)));
    share(plan);
    plan->chunks = plan->algorithm->chunks(plan);
    plan->task_bytes = round_up((idx)plan->algorithm->task_bytes(plan), ALIGNMENT);
    plan->tasks = p->groups * plan->chunks * plan->m_chunks;
    if (plan->algorithm->kernel != KERNEL_CHANNELS) /* whose tasks do all lattices of their box */
        plan->tasks *= plan->phases_h * plan->phases_w;
    plan->scratch_bytes = plan->prepared_bytes + plan->threads * plan->task_bytes;
    return CONV_OK;
}

static const char *const names[CONV_ALGORITHMS] = {"auto", "direct", "channels", "gemm", "outer", "dot", "ref"};

const char *conv_algorithm_name(conv_algorithm_id id)
{
    return names[id];
}

conv_algorithm_id conv_plan_algorithm(const conv_plan *plan)
{
    return plan->algorithm->id;
}

const char *conv_plan_reason(const conv_plan *plan)
{
    return plan->algorithm->reason;
}

int conv_plan_kernel(const conv_plan *plan)
{
    return plan->algorithm->kernel;
}
