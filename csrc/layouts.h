/* layouts.h -- where a task keeps its pieces: planning counts the bytes with it, the templates find their way by it. */
#ifndef FASTCONV_LAYOUTS_H
#define FASTCONV_LAYOUTS_H

#include "kernels.h"
#include "lattices.h"

/* ---- tiles and products of matrices ---- */

#define BUFFER_ROWS 14   /* of nv vectors: a tile's results */
#define PREPARE_ROWS 16  /* input channels of a task that lays out weights */
#define PREPARE_AHEAD 3  /* output channels, whose weights are so far apart that they come one by one if not called */
#define DOTS_LEAST 512    /* terms of a product of rows with rows, from which on lanes run along them */
#define DOTS_BYTES 131072 /* of columns that stay in the second-level cache while rows pass */
#define MATMUL_DEPTH 512 /* of the reduction, at a time: a packed column tile of it stays in cache */

static inline idx matmul_task_bytes(idx nr, idx element)
{
    idx bytes = (BUFFER_ROWS + 1 + MATMUL_DEPTH + 16) * nr * element + MATMUL_DEPTH * (idx)sizeof(int32_t);
    return (bytes + 63) / 64 * 64;
}

/* ---- weights that are packed tile by tile ---- */

/* The tiles of a group's rows. */
static inline even_tiles weights_tiles(const conv_plan *plan)
{
    const kernel_table *k = plan->kernels;
    return tiles_of(plan->m_rows, ceil_div(plan->m_rows, plan->nv <= k->nv ? k->mr : k->mr * k->nv / plan->nv));
}

/* ---- channels: units of images, and the tables of one ---- */

#define CHANNELS_ROWS 10 /* of a tile: so many positions of the source stay in general registers */

/* Outputs of a unit: plan->depth images of a task, all of their points or those of its chunk. */
static inline idx channels_unit_points(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx image = p->pass == CONV_BWD_DATA ? p->ih * p->iw : plan->chunk_h * plan->chunk_w;
    return plan->depth * image;
}

/* Scratch of a task, but for the padded source. */
static inline idx channels_table_bytes(const conv_plan *plan, idx element)
{
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes, parts = plan->phases_h * plan->phases_w;
    const idx k = plan->channels * plan->p.kh * plan->p.kw, points = channels_unit_points(plan) + lanes;
    const idx part = (idx)(sizeof(lattice) + 10 * sizeof(idx));
    return round_up((k + parts * lanes + points) * plan->nv * lanes * element + parts * part +
                        points * (idx)(4 * sizeof(idx) + sizeof(int)) + k * (idx)sizeof(int32_t), ALIGNMENT);
}

/* ---- direct: the packed pieces of the edge of a source that is read in place ---- */

#define EDGE_BYTES 131072 /* of a piece */

typedef struct {
    idx h, w, pitch, area; /* area: of one channel, at most */
} direct_piece;

/* Of a part of h rows of w columns; no more than an edge of such rows needs for a tile, or EDGE_BYTES. */
static inline direct_piece direct_piece_of(const conv_plan *plan, idx h, idx w, idx lanes)
{
    const idx nr = plan->nv * lanes, span_h = axis_row_layout(&plan->largest.h).span, span_w = axis_row_layout(&plan->largest.w).span;
    const idx most = EDGE_BYTES / (plan->channels * dtype_bytes(plan->p.dtype));
    direct_piece piece = {.w = max_idx(1, min_idx(w, max_idx(4 * nr, most / max_idx(1, min_idx(h, 16) + span_h) - span_w)))};
    piece.pitch = direct_pitch(piece.w, span_w, nr, lanes);
    piece.h = min_idx(h, max_idx(1, most / piece.pitch - span_h));
    piece.area = max_idx(most, (1 + span_h) * (max_idx(4 * nr + span_w, most / (1 + span_h)) + nr));
    return piece;
}

/* Lines that a column tile reads of a channel: taps that lie close together share them. */
static inline double direct_lines(const conv_plan *plan, const lattice *lat, idx lanes)
{
    const axis_rows w = axis_row_layout(&lat->w);
    const double columns = (double)(plan->nv * lanes), line = (double)ALIGNMENT / (double)dtype_bytes(plan->p.dtype);
    const double apart = (double)lat->w.taps * (columns / line + 1), together = (double)w.period * (((double)w.span + columns) / line + 1);
    return (double)lat->h.taps * (apart < together ? apart : together);
}

/* ---- batch: rows of images ---- */

#define BATCH_ROWS (MR >= 14 ? 6 : 3) /* of dw, by four output channels: they, the rows and one of dy are registers */

/* Elements from one row of `images` to the next: whole lines, an odd number of them. */
static inline idx batch_pitch(const conv_plan *plan, idx images)
{
    return line_pitch(images, dtype_bytes(plan->p.dtype));
}

/* Elements of a source that is turned, plan->chunk_n images at a time, with room for whole squares. */
static inline idx batch_packed(const conv_plan *plan, const lattice *lat)
{
    const idx rows = lat->source_channels * lat->h.size * lat->w.size + plan->kernels->set[plan->p.dtype]->lanes;
    return plan->p.layout == CONV_BATCH_RESULT ? rows * batch_pitch(plan, plan->chunk_n) : 0;
}

/* ---- planes: bands of blocks, what one takes of a task's scratch, and how many there are ---- */

/* Results along an axis that a point stands for: of a gradient, one of each lattice. */
static inline idx planes_stride(const conv_plan *plan, idx stride)
{
    return plan->p.pass == CONV_BWD_DATA ? stride : 1;
}

/* Source positions that so many points in turn read. */
static inline idx planes_extent(const conv_axis *axis, idx points)
{
    return (points - 1) * axis->step + (axis->taps - 1) * axis->delta + 1;
}

typedef struct {
    idx down, across;     /* bands of a block, and of a row of it */
    idx rows, first, row; /* of the source, no padding of zeros among them; vectors of a padded row, which begins at that position */
    idx source, weights;  /* elements of turned planes, and of turned kernels */
    idx sums, total;      /* bytes of turned results; of all, the rows that a result reads among them */
} planes_box;

static inline planes_box planes_box_of(const conv_plan *plan, idx lanes)
{
    const conv_problem *p = &plan->p;
    const conv_axis *h = &plan->envelope.h, *w = &plan->envelope.w;
    const idx element = dtype_bytes(p->dtype);
    const idx results_h = plan->chunk_h * planes_stride(plan, p->stride_h), results_w = plan->chunk_w * planes_stride(plan, p->stride_w);
    planes_box box = {.down = ceil_div(h->out_size, results_h), .across = ceil_div(w->out_size, results_w)};
    box.rows = planes_extent(h, plan->chunk_h);
    if (p->pad_mode == CONV_ZEROS)
        box.rows = min_idx(box.rows, h->size);
    box.first = box.across > 1 ? w->first : min_idx(0, w->first); /* of the first band */
    box.row = box.across > 1 ? planes_extent(w, plan->chunk_w) : max_idx(w->size, w->first + planes_extent(w, plan->chunk_w)) - box.first;
    box.source = box.rows * box.row * lanes;
    box.weights = p->kh * p->kw * lanes;
    box.sums = (min_idx(h->out_size, results_h) * min_idx(w->out_size, results_w) + lanes) * lanes * element;
    box.total = (box.source + box.weights + lanes) * element + box.sums + round_up(p->kh * (idx)sizeof(void *), ALIGNMENT);
    return box;
}

/* Rows of a kernel that are summed before they are added to the others; 0 where a row alone is too long a sum. */
static inline idx planes_cut(idx taps, idx row)
{
    return accumulation_block(taps) / row;
}

typedef struct {
    idx images, steps, count; /* of one block; so many blocks of the same results; all blocks */
} planes_blocks;

static inline planes_blocks planes_blocks_of(const conv_plan *plan, idx lanes)
{
    const idx results = plan->p.groups * plan->envelope.result_channels;
    planes_blocks blocks = {.images = max_idx(1, lanes / results)};
    blocks.steps = ceil_div(plan->p.n, blocks.images);
    blocks.count = ceil_div(results, lanes) * blocks.steps;
    return blocks;
}

/* ---- stencil: where the copy of a plane lies in a task's scratch ---- */

#define STENCIL_TILE 16 /* vectors of the largest tile */

typedef struct {
    axis_rows h, w;          /* both axes are split by residue modulo the stride */
    idx low;                 /* the lowest row that result row 0 reads */
    idx pitch, part, plane;  /* of a row, of the rows of a residue, and of all rows of a residue of the columns */
    idx packed, weights, at, total; /* offsets in elements; a tile's results come first */
} stencil_box;

static inline stencil_box stencil_box_of(const conv_plan *plan, const lattice *lat, idx lanes)
{
    const idx a = tap_position(&lat->h, 0), b = tap_position(&lat->h, lat->h.taps - 1), taps = lat->h.taps * lat->w.taps;
    stencil_box box = {.h = axis_row_layout(&lat->h), .w = axis_row_layout(&lat->w), .low = min_idx(a, b)};
    box.pitch = lat->w.grid + box.w.span;
    box.part = (min_idx(plan->chunk_h, lat->h.grid) + box.h.span) * box.pitch;
    box.plane = box.h.period * box.part;
    box.weights = STENCIL_TILE * lanes;
    box.at = box.weights + round_up(taps, lanes);
    box.packed = box.at + round_up((lat->h.taps + (plan->depth - 1) * lat->h.step) * lat->w.taps, lanes);
    box.total = box.packed + round_up(box.w.period * box.plane + 9 * lanes, lanes); /* a tile may read past the last row */
    return box;
}

/* ---- slide: how a window of accumulators moves down a plane, and where a task keeps what it needs ---- */

#define SLIDE_MOST 7 /* results that a source row may meet in one walk down the plane */

/* Vectors of a strip where a source row meets `across` results: they, the source and a weight are registers. A constant to the
 * templates. */
__attribute__((always_inline)) static inline int slide_vectors(int mr, idx across)
{
    static const int vectors[2][SLIDE_MOST] = {{4, 4, 3, 3, 2, 0, 0}, {4, 4, 4, 4, 4, 3, 3}};
    return vectors[mr >= 14][across - 1];
}

/* Of how many that walk is: a source row that meets more than there are registers for is read again. Few vectors side by side would
 * load a weight for each product. */
static inline idx slide_part(int mr, idx across)
{
    return across <= (mr >= 14 ? SLIDE_MOST : 5) ? across : even(across, mr >= 14 ? 5 : 4);
}

/* Tap rows whose gradients are registers at a time; with a stride of 2 all of them. */
static inline idx slide_tap_rows(const kernel_table *k, idx stride, idx taps)
{
    return stride == 2 ? taps : k->mr >= 14 || taps == 3 ? 3 : 1;
}

typedef struct {
    idx across, part;      /* results that a source row meets, and in one walk */
    idx step, apart, unit; /* rows r, r + apart, ... of the result are a correlation of their own; step and distance
                              of its taps, in source rows: step * unit, unit */
    idx depth, full;       /* source rows of a step, and those of them that meet all of `across` */
    idx low, table;        /* first source row of result row 0; rows from there that a band reads */
    idx lowest, highest;   /* columns of point 0 that its taps reach */
    idx period, pitch;     /* of a copied row: residues, elements of one */
    idx vectors, strips, edges; /* vectors of a strip at most; strips; those that reach padding at most */
    idx slots;             /* rows copied at a time */
    int in_place;          /* rows are read where they lie, all but a few */
    idx rows, at, weights, keep, sums, copies, total; /* offsets in bytes */
} slide_shape;

static inline slide_shape slide_shape_of(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan->largest;
    const conv_axis *h = &lat.h, *w = &lat.w;
    const idx element = dtype_bytes(p->dtype), lanes = plan->kernels->set[p->dtype]->lanes;
    const idx dil = axis_distance(h), common = gcd_idx(h->step, dil);
    const idx rows = max_idx(1, min_idx(plan->chunk_h, h->grid)), columns = max_idx(1, min_idx(plan->chunk_w, w->grid));
    const axis_rows fw = axis_row_layout(w);
    const idx a = tap_position(w, 0), b = tap_position(w, w->taps - 1), first = tap_position(h, 0), last = tap_position(h, h->taps - 1);
    slide_shape s = {.step = h->step / common, .apart = dil / common, .unit = dil, .low = min_idx(first, last),
                     .lowest = min_idx(a, b), .highest = max_idx(a, b), .period = fw.period,
                     .in_place = w->step <= 2 && (p->pass == CONV_BWD_DATA || p->pad_mode == CONV_ZEROS)};
    s.across = ceil_div(h->taps, s.step);
    s.depth = min_idx(s.step, h->taps);
    s.full = h->taps - (s.across - 1) * s.step;
    s.table = (rows - 1) * h->step + s.apart * h->step * (s.across - 1) + s.unit * (s.depth - 1) + 1;
    s.part = slide_part(plan->kernels->mr, max_idx(1, s.across)); /* no taps: no lattice for this */
    s.vectors = p->pass == CONV_BWD_WEIGHTS ? 1 : slide_vectors(plan->kernels->mr, s.part);
    s.strips = ceil_div(ceil_div(columns, lanes), s.vectors);
    const idx end = (max_idx(columns, lanes) + (w->step == 2 ? lanes / 2 : 0)) * w->step + s.highest; /* one past what is read of a row */
    const idx reach = round_up(w->grid, columns) * w->step - columns * w->step + end - w->size; /* beyond a row */
    if (s.in_place) {
        s.period = 1;
        s.pitch = end - s.lowest;
        s.slots = min_idx(s.table, ceil_div(max_idx(0, -s.lowest), w->size) + ceil_div(max_idx(0, reach), w->size));
        /* strips of one vector at least, of which the last overlaps the one before */
        const idx left = max_idx(0, -s.lowest), right = max_idx(0, (w->grid - 1) * w->step + s.highest - w->size + 1);
        s.edges = min_idx(s.strips, 3 + left / (w->step * lanes) + right / (w->step * lanes));
    } else {
        s.pitch = max_idx(columns, lanes) + fw.span;
        s.slots = s.table;
    }
    s.at = s.table * (idx)sizeof(void *);
    s.weights = s.at + w->taps * (idx)sizeof(idx);
    s.keep = round_up(s.weights + s.depth * s.across * w->taps * element, ALIGNMENT);
    s.sums = s.keep + s.edges * max_idx(3, w->taps) * s.vectors * lanes * element;
    s.copies = s.sums + (s.part < s.across ? ceil_div(rows, s.apart) * s.vectors * lanes * element : 0);
    s.total = s.copies + (1 + s.slots) * s.period * s.pitch * element; /* a row of zeros, and the copied ones */
    return s;
}

/* ---- Winograd: a cut into tiles and groups of three taps, and where its pieces lie in a task's scratch ---- */

#define WINOGRAD_LEAST 16 /* terms, for each axis transformed, from which on tiles of four keep the error bound: fewer
                             do not average. F(4, 3) on normal data: 8 u S with 16 terms, F(4x4, 3x3) 10 with 32. */

typedef struct {
    idx tile_h, tile_w, frequencies;
    idx groups_h, groups_w, spare_h, spare_w; /* groups of three taps; those that the last group lacks */
    idx apart_h, apart_w;                     /* results between neighbours: a dilated axis is so many correlations, one after the other */
    idx each_h, each_w;                       /* tiles of one of them */
    idx tiles_h, tiles_w;                     /* of an image */
    idx k;                                    /* terms: groups * channels */
} winograd_shape;

static inline winograd_shape winograd_shape_of(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    winograd_shape s = {.tile_h = plan->tile_h, .tile_w = plan->tile_w, .groups_h = 1, .groups_w = 1};
    if (s.tile_h > 1)
        s.groups_h = ceil_div(lat.h.taps, 3);
    if (s.tile_w > 1)
        s.groups_w = ceil_div(lat.w.taps, 3);
    s.spare_h = s.tile_h > 1 ? 3 * s.groups_h - lat.h.taps : 0;
    s.spare_w = s.tile_w > 1 ? 3 * s.groups_w - lat.w.taps : 0;
    s.frequencies = (s.tile_h > 1 ? s.tile_h + 2 : 1) * (s.tile_w > 1 ? s.tile_w + 2 : 1);
    s.apart_h = s.tile_h > 1 ? axis_distance(&lat.h) : 1;
    s.apart_w = s.tile_w > 1 ? axis_distance(&lat.w) : 1;
    s.each_h = ceil_div(ceil_div(lat.h.grid, s.apart_h), s.tile_h);
    s.each_w = ceil_div(ceil_div(lat.w.grid, s.apart_w), s.tile_w);
    s.tiles_h = s.each_h * min_idx(s.apart_h, lat.h.grid);
    s.tiles_w = s.each_w * min_idx(s.apart_w, lat.w.grid);
    s.k = lat.source_channels * s.groups_h * s.groups_w;
    return s;
}

/* A tile: its image, its first result, and the tiles from it to the end of a row of its correlation. */
typedef struct {
    idx n, y, x, side;
} winograd_place;

/* Results of a correlation among `count` of an axis, the first its own; none where a row of tiles has fewer than others. */
static inline idx winograd_left(idx count, idx apart)
{
    return count <= 0 ? 0 : apart == 1 ? count : ceil_div(count, apart);
}

static inline winograd_place winograd_place_of(const winograd_shape *s, idx j)
{
    const idx row = j / s->tiles_w, ty = row % s->tiles_h, tx = j % s->tiles_w;
    const idx phase_h = ty < s->each_h ? 0 : ty / s->each_h, phase_w = tx < s->each_w ? 0 : tx / s->each_w;
    const idx y = ty - phase_h * s->each_h, x = tx - phase_w * s->each_w;
    return (winograd_place){row / s->tiles_h, phase_h + y * s->tile_h * s->apart_h, phase_w + x * s->tile_w * s->apart_w, s->each_w - x};
}

/* Terms that are summed before they are added to the others: tiles of four multiply the roundings of these sums by ten. */
static inline idx winograd_terms(idx k)
{
    return max_idx(8, min_idx(32, k / 4));
}

#define WINOGRAD_KEPT 3145728 /* bytes: more transformed weights come slower from memory than they are made anew */

/* Whether a plan's packed weights are transformed ones. */
static inline int winograd_keeps(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return plan->p.packed && s.frequencies * s.k * plan->p.oc * dtype_bytes(plan->p.dtype) <= WINOGRAD_KEPT;
}

/* Elements for the taps of some kernels, for zeros, and for where the taps of each group are. */
static inline idx winograd_taps_room(const winograd_shape *s, const lattice *lat, idx lanes)
{
    return round_up(lat->h.taps * lat->w.taps, lanes) * lanes + lanes + round_up(9 * s->groups_h * s->groups_w, lanes);
}

/* Offsets in elements. */
typedef struct {
    idx ldv, ldu;          /* columns of all strips; of a row of u */
    idx next_v, next_u, next_m, strip; /* from one frequency to the next, and from one strip */
    idx buffer, v, u, m, rows, gathered, zeros, pixels, suspect, taps, panel, again, total;
} winograd_scratch;

static inline winograd_scratch winograd_layout(const conv_plan *plan, idx lanes)
{
    const idx nr = plan->nv * lanes;
    const winograd_shape s = winograd_shape_of(plan);
    const lattice lat = plan->largest;
    const idx rows = plan->block_rows, taps = lat.h.taps * lat.w.taps, depth = lat.source_channels * taps;
    const idx width = min_idx(plan->chunk_h, s.tiles_w) * s.tile_w + 2 + 3 * s.groups_w;
    winograd_scratch at = {.ldv = round_up(plan->chunk_h, nr), .ldu = odd_pitch(s.k, lanes)};
    at.v = BUFFER_ROWS * plan->kernels->nv * lanes;
    at.next_v = odd_pitch(s.k * nr, lanes);
    at.next_u = odd_pitch((winograd_keeps(plan) ? lat.result_channels : rows) * at.ldu, lanes);
    at.next_m = odd_pitch(rows * nr, lanes);
    at.strip = s.frequencies * at.next_v;
    at.u = at.v + ceil_div(plan->chunk_h, nr) * at.strip + lanes;
    at.m = at.u + (winograd_keeps(plan) ? 0 : s.frequencies * at.next_u);
    at.rows = at.m + s.frequencies * at.next_m;
    at.gathered = at.rows + 6 * (round_up(width, lanes) + 5 * lanes);
    at.zeros = at.gathered + (s.apart_w > 1 ? 6 * (round_up(width, lanes) + lanes) : 0);
    at.pixels = at.zeros + round_up(width, lanes) + lanes;
    at.suspect = at.pixels + 16 * nr;
    at.taps = at.suspect + rows * at.ldv;
    at.panel = at.taps + winograd_taps_room(&s, &lat, lanes);
    at.again = at.panel + depth * lanes;
    at.total = at.again + round_up(plan->kernels->mr * depth, lanes);
    return at;
}

/* Elements of all groups' transformed weights, and of a row's taps, which are regrouped behind them. */
static inline idx winograd_packed(const conv_plan *plan)
{
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes;
    const winograd_shape s = winograd_shape_of(plan);
    return plan->p.groups * s.frequencies * winograd_layout(plan, lanes).next_u + winograd_taps_room(&s, &plan->largest, lanes);
}

/* ---- FFT: a cut into tiles, and where a task keeps its pieces ---- */

/* An axis as `apart` correlations without dilation, each of which gives every so manyth result. */
typedef struct {
    idx length;          /* of a transform */
    idx taps, chunk, least; /* results of a tile at most, and of the shortest */
    idx step, stride;    /* source positions from one element to the next; elements from one result to the next */
    idx apart, phases, number; /* results between neighbours; correlations that have any; tiles of all */
    idx grid, low, move; /* results; source position where the first begins; from there to where the next does */
} fft_axis;

static inline fft_axis fft_axis_of(const conv_axis *axis, idx length)
{
    const idx dil = axis->taps == 1 ? axis->step : axis_distance(axis);
    const idx common = gcd_idx(axis->step, dil);
    fft_axis a = {.length = length, .taps = axis->taps, .step = dil, .stride = axis->step / common, .apart = dil / common,
                  .grid = axis->grid, .move = axis->step,
                  .low = min_idx(tap_position(axis, 0), tap_position(axis, axis->taps - 1))};
    const idx points = max_idx(1, ceil_div(axis->grid, a.apart));
    a.phases = max_idx(1, min_idx(a.apart, axis->grid));
    a.chunk = even(points, (length - a.taps) / a.stride + 1);
    a.number = a.phases * ceil_div(points, a.chunk);
    a.least = max_idx(1, axis->grid / a.apart - (ceil_div(points, a.chunk) - 1) * a.chunk);
    return a;
}

/* A tile along an axis: source position of its first element, and how many are read; its first result, and how many. */
typedef struct {
    idx source, used, result, count;
} fft_place;

static inline fft_place fft_tile(const fft_axis *a, idx tile)
{
    const idx result = tile % a->phases + tile / a->phases * a->chunk * a->apart;
    const idx count = min_idx(a->chunk, ceil_div(max_idx(0, a->grid - result), a->apart));
    return (fft_place){a->low + result * a->move, (count - 1) * a->stride + a->taps, result, count};
}

typedef struct {
    fft_axis h, w;
    int plane;                  /* both axes are transformed; else tiles have one row, and as many as lanes lie in a bundle */
    idx rows;                   /* of a bundle, which for planes is a tile */
    idx tiles, units;           /* of an image; pairs of bundles */
    idx strips_h, strips_w;     /* vectors along an axis */
    idx next_h, next_w;         /* elements of a strip along w, from one to the next along h; and the other way round */
    idx bundle, spectrum, share; /* elements */
    idx at_spectra, at_strip, at_bank, at_shares, at_norms, at_sums, at_power, at_turns, at_line, total;
} fft_shape;

static inline fft_shape fft_shape_of(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes, m = lat.result_channels, c = lat.source_channels;
    fft_shape s = {.h = fft_axis_of(&lat.h, plan->tile_h), .w = fft_axis_of(&lat.w, plan->tile_w), .plane = plan->tile_h > 1};
    s.rows = s.plane ? s.h.length : lanes;
    s.tiles = s.h.number * s.w.number;
    s.units = ceil_div(s.plane ? s.tiles : ceil_div(s.tiles, lanes), 2);
    s.strips_h = s.rows / lanes;
    s.strips_w = s.w.length / lanes;
    s.next_h = 2 * (s.w.length + 1) * lanes; /* strips a power of two apart would share sets of the cache */
    s.next_w = 2 * (s.rows + 1) * lanes;
    s.bundle = s.strips_w * s.next_w;
    s.spectrum = s.strips_h * s.next_h;
    s.share = s.plane ? s.rows * s.w.length : s.w.length * lanes;
    s.at_spectra = s.bundle;
    s.at_strip = s.at_spectra + c * s.spectrum;
    s.at_bank = s.at_strip + s.next_h;
    s.at_shares = s.at_bank + m * c * s.spectrum;
    s.at_norms = s.at_shares + m * c * s.share;
    s.at_sums = s.at_norms + round_up(3 * m * c, lanes);
    s.at_power = s.at_sums + 3 * m * lanes;
    s.at_turns = s.at_power + lanes;
    s.at_line = s.at_turns + 2 * (s.h.length + s.w.length);
    s.total = s.at_line + 2 * s.w.length + 4 * lanes;
    return s;
}

/* ---- operators ---- */

#define ACTIVATION_UNIT 1024 /* elements */

/* How resample makes a block of outputs; UNIFORM: SHUFFLED, and all counts are taps. */
enum { ONE_BY_ONE, SHUFFLED, UNIFORM };

/* Elements of the row between the two steps of resample: a vector beyond the last tap of the last run may be read. */
static inline idx resample_row(const resample *r, idx lanes)
{
    return round_up(r->w.size + r->w.taps, lanes) + 2 * lanes;
}

#endif
