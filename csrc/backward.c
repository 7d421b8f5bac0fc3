/* backward -- the algorithms of bwd_weights: how each cuts its work, what it cannot do, what it costs. */
#include "algorithm.h"

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

/* Boxes of about one block of accumulation, so that the sums of a block are made and added in cache; several blocks where
 * ragged boxes would add up to too many of them for the error bound. */
static void outer_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const conv_problem *p = &plan->p;
    const idx budget = CACHE_BYTES / element_bytes(plan), positions = p->n * p->oh * p->ow;
    plan->nv = vectors_for_channels(plan, p->oc);
    plan->m_rows = p->ic;
    plan->depth = round_up(even(p->oc, 256), tile_columns(plan));
    box_of(plan, min_idx(accumulation_block(positions) * (positions > 2000000 ? 8 : 1), 2 * budget / plan->depth));
    const double channel = view_box(plan, &lat, plan->chunk_n, plan->chunk_h, plan->chunk_w);
    const double rows = (double)(p->kh * p->kw) * (double)plan->depth; /* sums of a channel */
    plan->channels = even(p->ic, (idx)min_double((double)budget / (channel > rows ? channel : rows), (double)p->ic));
}

static double outer_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const double positions = (double)(plan->chunk_n * plan->chunk_h * plan->chunk_w), lanes = (double)lanes_of(plan);
    const double box = view_box(plan, &lat, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)plan->channels;
    const double rows = (double)plan->channels * (double)s.taps, columns = (double)tile_columns(plan);
    return positions * sizeof(int32_t) + rows * sizeof(idx) + 2 * ALIGNMENT +
           (positions * (double)plan->depth + lanes * columns + (rows + lanes) * (double)plan->depth + box +
            (double)s.span_w + 2 * lanes) * (double)element_bytes(plan);
}

static idx outer_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.oc, plan->depth);
}

static void dot_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    plan->nv = 1;
    plan->m_rows = plan->p.ic * s.taps;
    /* an accumulator's lane sums one term for every vector of the box */
    box_of(plan, accumulation_block(plan->p.n * plan->p.oh * plan->p.ow) * lanes_of(plan));
    plan->pitch = plan->chunk_w + s.span_w;
    const double channel = direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) * (double)element_bytes(plan);
    plan->channels = even(plan->p.ic, (idx)min_double(CACHE_BYTES / channel, (double)plan->p.ic));
}

static double dot_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const double channels = (double)plan->channels;
    return channels * (double)s.taps * sizeof(idx) + 2 * ALIGNMENT +
           (channels * direct_box(plan, &s, plan->chunk_n, plan->chunk_h, plan->chunk_w) + (double)(s.span_w + 2 * lanes_of(plan))) *
               (double)element_bytes(plan);
}

static idx dot_chunks(const conv_plan *plan)
{
    (void)plan;
    return 1;
}

#define SLIDE_GROUPS_WORK 5e4 /* cycles of a task at most, where planes are small */

/* Cycles of one strip of an image: products, or loads of two lines for each tap and source row; what it takes to begin. */
static double slide_strip_cycles(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double most = (double)slide_tap_rows(plan->kernels, p->stride_h, p->kw), parts = __builtin_ceil((double)p->kh / most);
    const double step = most * (double)p->kw, loads = 1.9 * (double)p->stride_h * (double)p->kw + 2;
    return parts * (((double)p->oh + 2) * (6 + (step > loads ? step : loads)) + 80 + 2 * step);
}

static void slide_weights_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    plan->chunk_h = p->oh;
    plan->chunk_w = p->ow;
    plan->nv = 1;
    const double group = slide_strip_cycles(plan) * (double)ceil_div(p->ow, lanes_of(plan)) * (double)max_idx(1, p->n) * (double)p->oc;
    plan->channels = max_idx(1, min_idx(p->groups, (idx)(SLIDE_GROUPS_WORK / (group + 1))));
    /* few groups: their tap rows are tasks of their own */
    plan->depth = p->groups >= 8 || p->stride_h > 1 ? p->kh : slide_tap_rows(plan->kernels, p->stride_h, p->kw);
}

static double slide_weights_bytes(const conv_plan *plan)
{
    const double lanes = (double)lanes_of(plan), taps = (double)round_up(plan->p.kh * plan->p.kw, lanes_of(plan));
    return (double)slide_shape_of(plan).total + 2 * ALIGNMENT + (2 * taps + lanes) * lanes * (double)element_bytes(plan);
}

static idx slide_weights_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.groups, plan->channels) * ceil_div(plan->p.kh, plan->depth);
}

static void weights_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx columns = p->ic * p->kh * p->kw, positions = p->n * p->oh * p->ow;
    const idx budget = CACHE_BYTES / element_bytes(plan);
    plan->nv = vectors_for_rows(plan->kernels, p->oc);
    plan->m_rows = p->oc;
    plan->depth = max_idx(1, even(max_idx(1, positions), 1024));
    plan->chunk_w = min_idx(columns, max_idx(1, budget / (plan->depth * tile_columns(plan))) * tile_columns(plan));
}

/* Panels end in room for a vector of positions (pack_positions): of one position and eight vectors it is more than the gradient takes. */
static double weights_task_bytes(const conv_plan *plan)
{
    const idx columns = round_up(plan->chunk_w, tile_columns(plan)), element = element_bytes(plan);
    const idx panels = plan->depth * columns + lanes_of(plan) * tile_columns(plan);
    return (double)(tile_bytes(plan) + 2 * ALIGNMENT + (panels + WEIGHTS_ROWS * line_pitch(plan->depth, element)) * element);
}

static idx weights_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.ic * plan->p.kh * plan->p.kw, plan->chunk_w);
}

/* ---- cost ---- */

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
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const conv_problem *p = &plan->p;
    const double k = (double)p->oh * (double)p->ow, m = (double)p->ic * (double)s.taps, lanes = (double)lanes_of(plan);
    const double columns = (double)lanes_for_channels(plan, p->oc), turns = (double)ceil_div(p->ic, plan->channels);
    const double copy = view_box(plan, &lat, 1, plan->chunk_h, plan->chunk_w), boxes = boxes_of(plan);
    /* a tile of one vector waits for its loads; it begins and ends, and its sums are added: measured */
    const double product = plan->nv == 1 ? 0.75 : 0.5, ends = 4 + 3.0 / plan->nv;
    return m * k * columns / lanes * product + turns * k * columns / 2 + boxes * m * columns / lanes * ends +
           (double)outer_chunks(plan) * (double)p->ic * boxes * (double)plan->chunk_n *
               (copy / lanes * 2 + (copy > 0 ? 12.0 * (double)plan->chunk_h : 0));
}

#define DOT_ROW 9    /* cycles to begin with a row of a tile */
#define DOT_SUM 20   /* cycles to add up the lanes of a product, and to add it to those of other boxes: measured */
#define DOT_SOME 4   /* vectors take as long as one of which only some lanes count: measured */
#define DOT_FAR 1.35 /* of the time, where the second-level cache does not keep a box's rows of the gradient for the next channel: measured */

/* Cycles of a product of two rows of so many vectors: of taps by output channels, loads of which those of rows cross lines, two a cycle; rows
 * begin. */
static double dot_rows(const conv_plan *plan, idx taps, double vectors)
{
    const idx oc = plan->p.oc, wide = oc >= 4 ? 4 : oc >= 2 ? 2 : 1;
    const double rows = (double)ceil_div(taps, ceil_div(taps, dot_taps(plan->kernels->mr, wide))), products = rows * (double)wide;
    return (vectors * max_double(LATENCY, max_double(products, 1.6 * rows + (double)wide) / 2) + DOT_ROW) / products;
}

static double dot_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const direct_shape s = direct_shape_of(&lat);
    const conv_problem *p = &plan->p;
    const double m = (double)p->ic * (double)s.taps * (double)p->oc;
    const double boxes = boxes_of(plan) * (double)plan->chunk_n;
    const double vectors = (double)(p->ow / lanes_of(plan)) + (p->ow % lanes_of(plan) ? DOT_SOME : 0);
    const double gradient = (double)(plan->chunk_n * plan->chunk_h * plan->chunk_w * p->oc) * (double)element_bytes(plan);
    return (gradient > CACHE_BYTES ? DOT_FAR : 1) * dot_rows(plan, plan->channels * s.taps, vectors) * m * (double)p->oh +
           boxes_of(plan) * m * DOT_SUM + (double)p->ic * rows_cost(plan, &s, &lat.w, boxes);
}

static double slide_weights_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return (double)p->oc * (slide_strip_cycles(plan) * (double)ceil_div(p->ow, lanes_of(plan)) + 10 * (double)(p->kh * p->kw)) +
           100 + 3 * (double)p->ih;
}

#define WEIGHTS_RUN 8 /* cycles to begin with a run of positions of a column: measured */

static double weights_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double k = (double)p->oh * (double)p->ow;
    const double columns = (double)round_up(p->ic * p->kh * p->kw, tile_columns(plan));
    return (double)p->oc * columns / (double)lanes_of(plan) * k / 2 + k * columns * machine_of(plan)->weights_pack +
           (double)p->oc * columns / (double)lanes_of(plan) * 2 * k / (double)plan->depth +
           WEIGHTS_RUN * (double)p->oh * columns;
}

/* One source channel to each result, rows of 3, 5 or 7 taps side by side, and with a stride of 2 squares that registers hold. */
static int slide_weights_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int wide = !small_tiles(plan) && lanes_of(plan) >= 8;
    const int row = p->kw == 3 || p->kw == 5 || p->kw == 7;
    const int strides = p->stride_h == p->stride_w &&
                        (p->stride_h == 1 || (p->stride_h == 2 && p->kh == p->kw && (p->kw == 3 || (p->kw == 5 && wide))));
    return p->ic == 1 && row && strides && p->dil_w == 1 && (p->dil_h == 1 || p->kh == 1) && p->pad_mode == CONV_ZEROS &&
           p->pad_left <= lanes_of(plan) && p->ow < 1 << 20 && p->oh < 1 << 20;
}

/* ---- the table: where two cost the same, the first ---- */

static const conv_algorithm outer_algorithm = {
    .id = CONV_OUTER, .kernel = KERNEL_OUTER, .reason = "outer products of gradient and source rows read at the shift of each tap",
    .block = outer_block, .cost = outer_cost, .chunks = outer_chunks, .task_bytes = outer_task_bytes, .limit = DIRECT_LIMIT,
};

static const conv_algorithm dot_algorithm = {
    .id = CONV_DOT, .kernel = KERNEL_DOT, .reason = "few output channels: dot products along the rows",
    .block = dot_block, .cost = dot_cost, .chunks = dot_chunks, .task_bytes = dot_task_bytes, .limit = DIRECT_LIMIT,
};

static const conv_algorithm slide_weights_algorithm = {
    .id = CONV_SLIDE, .kernel = KERNEL_SLIDE_WEIGHTS,
    .reason = "one channel to each result: taps are accumulators that slide down over rows read where they lie",
    .applicable = slide_weights_applies, .block = slide_weights_block, .cost = slide_weights_cost, .chunks = slide_weights_chunks,
    .task_bytes = slide_weights_bytes, .limit = DIRECT_LIMIT, .spans = 1,
};

static const conv_algorithm gemm_algorithm = {
    .id = CONV_GEMM, .kernel = KERNEL_WEIGHTS, .reason = "positions are reduced over in panels of transposed im2col",
    .block = weights_block, .cost = weights_cost, .chunks = weights_chunks, .task_bytes = weights_task_bytes,
};

const conv_algorithm *const backward_algorithms[] = {
    &batch_weights_algorithm, &outer_algorithm, &dot_algorithm, &slide_weights_algorithm, &gemm_algorithm, NULL,
};
