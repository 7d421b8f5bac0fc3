/* transform_layouts -- how the transforms cut a problem, and where they keep their pieces: Winograd, FFT.
 */
#ifndef FASTCONV_TRANSFORM_LAYOUTS_H
#define FASTCONV_TRANSFORM_LAYOUTS_H

#include "kernels.h"
#include "lattices.h"

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

#endif
