/* transform_layouts -- how the transforms cut a problem, and where they keep their pieces: Winograd, FFT.
 */
#ifndef FASTCONV_TRANSFORM_LAYOUTS_H
#define FASTCONV_TRANSFORM_LAYOUTS_H

#include "layouts.h"

/* ---- Winograd: a cut into tiles and groups of taps, and where its pieces lie in a task's scratch ---- */

/* Results of a tile and taps of a group, where a tile has so many points: F(2, 2), F(2, 3), F(4, 2), F(4, 3). */
static inline int winograd_tile_of(int points)
{
    return points == 1 ? 1 : points <= 4 ? 2 : 4;
}

static inline int winograd_reach_of(int points)
{
    return points == 1 ? 1 : points % 2 ? 2 : 3;
}

/* An axis as correlations of stride 1 without dilation: taps that are `period` apart read source positions `step` apart for results that
 * are `apart`. An axis with one tap is not transformed. */
typedef struct {
    idx points, tile, reach; /* of a tile, its results, taps of a group */
    idx period, step, apart;
    idx residues;            /* of the period, that taps have */
    idx groups, whole, deep; /* groups of taps, the first of which have all of theirs; groups of the first residue */
    idx each, tiles;         /* tiles of the results of one correlation, and of all */
} winograd_axis;

static inline winograd_axis winograd_axis_of(const conv_axis *axis, idx points)
{
    winograd_axis x = {.points = points, .tile = winograd_tile_of((int)points), .reach = winograd_reach_of((int)points),
                       .period = 1, .step = axis->step, .apart = 1, .residues = 1};
    if (points > 1) {
        const idx common = gcd_idx(axis->step, axis_distance(axis));
        x.period = axis->step / common;
        x.apart = axis_distance(axis) / common;
        x.step = x.apart * axis->step;
        x.residues = min_idx(x.period, axis->taps);
    }
    for (idx residue = 0; residue < x.residues; residue++) {
        const idx taps = ceil_div(axis->taps - residue, x.period);
        x.groups += ceil_div(taps, x.reach);
        x.whole += taps / x.reach;
    }
    x.deep = ceil_div(ceil_div(axis->taps, x.period), x.reach);
    x.each = ceil_div(ceil_div(axis->grid, x.apart), x.tile);
    x.tiles = x.each * min_idx(x.apart, axis->grid);
    return x;
}

/* Its first tap, counted from the first source position on, and how many it has. */
typedef struct {
    idx tap, taps;
} winograd_group;

static inline winograd_group winograd_group_of(const winograd_axis *x, idx taps, idx group)
{
    const int whole = group < x->whole;
    idx before = whole ? group : group - x->whole;
    for (idx residue = 0;; residue++) {
        const idx all = ceil_div(taps - residue, x->period), full = all / x->reach, some = all % x->reach;
        const idx here = whole ? full : some > 0;
        if (before < here)
            return (winograd_group){residue + x->period * x->reach * (whole ? before : full), whole ? x->reach : some};
        before -= here;
    }
}

typedef struct {
    winograd_axis h, w;
    idx frequencies, k; /* points of a tile; terms: groups * channels */
} winograd_shape;

/* Of a lattice: its own taps, and as many tiles as the largest has. */
static inline winograd_shape winograd_shape_for(const conv_plan *plan, lattice lat)
{
    lat.h.grid = plan->largest.h.grid;
    lat.w.grid = plan->largest.w.grid;
    winograd_shape s = {winograd_axis_of(&lat.h, plan->tile_h), winograd_axis_of(&lat.w, plan->tile_w), 0, 0};
    s.frequencies = s.h.points * s.w.points;
    s.k = lat.source_channels * s.h.groups * s.w.groups;
    return s;
}

static inline winograd_shape winograd_shape_of(const conv_plan *plan)
{
    return winograd_shape_for(plan, plan->largest);
}

/* Groups whose terms come before those of group (h, w). The last point of an axis has nothing of a group that lacks its last tap: in this order
 * the terms that a frequency has follow each other. */
static inline idx winograd_before(const winograd_shape *s, idx h, idx w)
{
    const idx lacking = s->w.groups - s->w.whole;
    if (w < s->w.whole)
        return s->h.whole * lacking + h * s->w.whole + w;
    return (h < s->h.whole ? 0 : s->h.groups * s->w.whole) + h * lacking + w - s->w.whole;
}

/* Groups [first, end) that frequency (i, j) has. */
typedef struct {
    idx first, end;
} winograd_span;

static inline winograd_span winograd_span_of(const winograd_shape *s, idx i, idx j)
{
    const idx rows = i == s->h.points - 1 ? s->h.whole : s->h.groups, first = s->h.whole * (s->w.groups - s->w.whole);
    if (j == s->w.points - 1)
        return (winograd_span){first, first + rows * s->w.whole};
    return (winograd_span){0, rows * s->w.groups};
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
    const idx row = j / s->w.tiles, ty = row % s->h.tiles, tx = j % s->w.tiles;
    const idx phase_h = ty < s->h.each ? 0 : ty / s->h.each, phase_w = tx < s->w.each ? 0 : tx / s->w.each;
    const idx y = ty - phase_h * s->h.each, x = tx - phase_w * s->w.each;
    return (winograd_place){row / s->h.tiles, phase_h + y * s->h.tile * s->h.apart, phase_w + x * s->w.tile * s->w.apart, s->w.each - x};
}

/* Terms that are summed before they are added to the others: tiles of four multiply the roundings of these sums by ten. */
static inline idx winograd_terms(idx k)
{
    return max_idx(8, min_idx(32, k / 4));
}

#define WINOGRAD_PASSING 512 /* tiles */
#define WINOGRAD_KEPT 20971520 /* bytes: a plan keeps no more transformed weights, which also are twice to four times as many as the weights */

/* Whether a plan's packed weights are transformed ones. */
static inline int winograd_keeps(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return plan->p.packed && s.frequencies * s.k * plan->p.oc * dtype_bytes(plan->p.dtype) <= WINOGRAD_KEPT;
}

/* Rows of the highest of weights_tiles, and how many of these are a block. */
static inline idx winograd_highest(const conv_plan *plan)
{
    return tile_start(weights_tiles(plan), 1);
}

static inline idx winograd_together(const conv_plan *plan)
{
    return ceil_div(plan->block_rows, winograd_highest(plan));
}

/* Whether transformed weights lie tile by tile, as the microkernel reads them: rows are transformed sooner, but read slower. A call's own where
 * enough of the source's tiles pass for each transform. */
static inline int winograd_tiled(const conv_plan *plan)
{
    const idx passing = plan->block_rows >= plan->largest.result_channels ? plan->chunk_w : plan->chunk_h;
    return winograd_keeps(plan) || (plan->kernels->mr >= 14 && passing >= WINOGRAD_PASSING);
}

/* Kernels of a row whose taps are gathered at a time. */
static inline idx winograd_gathered(idx taps, idx lanes)
{
    return max_idx(1, min_idx(lanes, 256 / taps));
}

/* Elements for the taps of some kernels, for as many lanes. */
static inline idx winograd_taps(idx taps, idx lanes)
{
    return round_up(winograd_gathered(taps, lanes) * taps, lanes) * lanes;
}

/* The same, and for zeros, and for where the taps of each group are. */
static inline idx winograd_taps_room(const winograd_shape *s, const conv_problem *p, idx lanes)
{
    return winograd_taps(p->kh * p->kw, lanes) + lanes + round_up(9 * s->h.groups * s->w.groups, lanes);
}

#define WINOGRAD_MOST 6 /* points of an axis */
#define WINOGRAD_RUN 64 /* tiles transformed at a time: their points stay in the first-level cache */

/* Offsets in elements. */
typedef struct {
    even_tiles tiles;      /* of rows, of which so many are a block; u may lie tile by tile */
    idx together;
    int tiled;
    idx ldv, ldu;          /* columns of all strips; of a row of u */
    idx source;            /* elements of v */
    idx next_v, next_u, next_m, strip; /* from one frequency to the next, and from one strip */
    idx pitch;                         /* of a run's rows */
    idx buffer, v, u, m, rows, gathered, ends, zeros, pixels, suspect, taps, panel, again, groups, total;
} winograd_scratch;

static inline winograd_scratch winograd_layout(const conv_plan *plan, idx lanes)
{
    const idx nr = plan->nv * lanes;
    const winograd_shape s = winograd_shape_of(plan);
    const lattice lat = plan->largest;
    const idx rows = plan->block_rows, taps = lat.h.taps * lat.w.taps, depth = lat.source_channels * taps;
    const idx width = min_idx(plan->chunk_h, WINOGRAD_RUN) * s.w.tile + s.w.points + s.w.reach * s.w.deep;
    const idx tables = (s.h.groups + s.w.groups) * (idx)sizeof(winograd_group) / dtype_bytes(plan->p.dtype);
    winograd_scratch at = {.ldv = round_up(plan->chunk_h, nr), .ldu = odd_pitch(s.k, lanes), .tiles = weights_tiles(plan),
                           .together = winograd_together(plan), .tiled = winograd_tiled(plan)};
    at.v = BUFFER_ROWS * plan->kernels->nv * lanes;
    at.next_v = odd_pitch(s.k * nr, lanes);
    at.next_u = odd_pitch(at.tiled ? winograd_highest(plan) * s.k + lanes : rows * at.ldu, lanes); /* vectors of a tile's last rows reach beyond them */
    at.next_m = odd_pitch(rows * nr, lanes);
    at.strip = s.frequencies * at.next_v;
    at.source = ceil_div(plan->chunk_h, nr) * at.strip;
    at.u = at.v + (plan->shares_source ? 0 : at.source);
    at.m = at.u + (winograd_keeps(plan) ? 0 : (at.tiled ? at.together : 1) * s.frequencies * at.next_u);
    at.rows = at.m + s.frequencies * at.next_m;
    at.pitch = round_up(width, lanes) + 5 * lanes; /* what winograd_points reads past the last tile */
    at.gathered = at.rows + WINOGRAD_MOST * at.pitch;
    at.ends = at.gathered + (s.w.step > 1 ? WINOGRAD_MOST * (round_up(width, lanes) + lanes) : 0);
    at.zeros = at.ends + (1 + 2 * WINOGRAD_MOST) * WINOGRAD_RUN;
    at.pixels = at.zeros + round_up(width, lanes) + lanes;
    at.suspect = at.pixels + 16 * nr;
    at.taps = at.suspect + rows * at.ldv;
    at.panel = at.taps + winograd_taps_room(&s, &plan->p, lanes);
    at.again = at.panel + depth * lanes;
    at.groups = at.again + round_up(plan->kernels->mr * depth, lanes);
    at.total = at.groups + round_up(tables, lanes);
    return at;
}

/* Elements of a group's transformed weights that a plan keeps. */
static inline idx winograd_kept(const conv_plan *plan, const winograd_shape *s, idx next_u)
{
    return tile_from(weights_tiles(plan), plan->m_rows) * s->frequencies * next_u;
}

/* Elements of all groups', and of taps, which are regrouped behind them. */
static inline idx winograd_packed(const conv_plan *plan)
{
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes;
    const winograd_shape s = winograd_shape_of(plan);
    const idx next_u = winograd_layout(plan, lanes).next_u;
    return plan->p.groups * winograd_kept(plan, &s, next_u) + winograd_taps_room(&s, &plan->p, lanes);
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
                  .grid = axis->grid, .move = axis->step, .low = axis_lowest(axis)};
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

#endif
