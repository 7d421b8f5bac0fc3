/* winograd -- convolution by short transforms: fewer multiplications than the definition has.
 *
 *   y = A' [ sum_k (G w_k G') * (B' x_k B) ] A        for tiles of outputs
 *
 * F(4, 3) has the points 0, 1, -1, 1/2, -2 and infinity, F(4, 2) has 0, 1, -2, -1/2 and infinity, F(2, 3) has 0, 1, -1 and infinity,
 * F(2, 2) has 0, 1 and infinity; every constant of B and A is dyadic. An axis with one tap is not transformed. A stride makes a correlation of its own of every so manyth tap, and
 * a kernel longer than three (or two) is cut into groups of three (or two): both are more terms of the sum, so that k runs over
 * (group, channel). A group that lacks its last tap has nothing at infinity, where its products are left out.
 *
 * A task transforms the source of some tiles (run on over rows and images; winograd_source_tpl.h) into
 * v[strip][f][k][column], a strip being as many tiles as the microkernel has columns, or one vector where no more are left;
 * blocks of rows of the weights into u[f][row][k] or u[tile][f][k][row] (winograd_weights_tpl.h); then, strip by strip, multiplies, f by f, and
 * transforms back.
 *
 * A NaN or Inf would spread over its tile, as would an overflow in a transform: a tile that comes out with either is
 * computed again by the definition.
 */

/* A of one axis: what `a` points give. */
__attribute__((always_inline)) static inline void NAME(winograd_out)(const int a, const vec *m, vec *y)
{
    if (a == 1) {
        y[0] = m[0];
    } else if (a == 3) {
        y[0] = m[0] + m[1];
        y[1] = m[1] + m[2];
    } else if (a == 4) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] + m[3];
    } else if (a == 5) {
        y[0] = (m[0] + m[1]) + (m[2] + m[3]);
        y[1] = m[1] - 2 * m[2] - 0.5f * m[3];
        y[2] = m[1] + 4 * m[2] + 0.25f * m[3];
        y[3] = (m[1] + m[4]) - 8 * m[2] - 0.125f * m[3];
    } else {
        const vec even = m[1] + m[2], odd = m[1] - m[2];
        y[0] = m[0] + even + (m[3] + m[4]);
        y[1] = odd + 0.5f * m[3] - 2 * m[4];
        y[2] = even + 0.25f * m[3] + 4 * m[4];
        y[3] = odd + 0.125f * m[3] - 8 * m[4] + m[5];
    }
}

/* Tiles [column, column + count) of a strip lie side by side in a row of tiles. */
typedef struct {
    int column, count;
    idx out, rows, pixels; /* of the first tile's first output; rows and columns inside the result */
} NAME(winograd_segment);

/* Where point (y, x) of a lattice is in a plane of the result. */
static inline idx NAME(winograd_at)(const lattice *lat, idx y, idx x)
{
    return (lat->h.out_first + y * lat->h.out_step) * lat->w.out_size + lat->w.out_first + x * lat->w.out_step;
}

static int NAME(winograd_runs)(NAME(winograd_segment) *run, const NAME(winograd) *w, idx j, int columns, idx image)
{
    const winograd_shape *s = &w->shape;
    const lattice *lat = w->lat;
    int runs = 0;
    for (int q = 0; q < columns; q += run[runs].count, j += run[runs].count, runs++) {
        const winograd_place at = winograd_place_of(s, j);
        const idx count = min_idx(columns - q, at.side);
        run[runs] = (NAME(winograd_segment)){q, (int)count, at.n * image + NAME(winograd_at)(lat, at.y, at.x),
                                         min_idx(s->h.tile, winograd_left(lat->h.grid - at.y, s->h.apart)),
                                         min_idx(count * s->w.tile, winograd_left(lat->w.grid - at.x, s->w.apart))};
    }
    return runs;
}

/* The lanes of m vectors in turn: a[0][0], a[1][0], ... */
__attribute__((always_inline)) static inline void NAME(store_every)(const int m, REAL *p, const vec *a)
{
    const idx apart = m * PIECE;
    if (m == 1) {
        NAME(store)(p, a[0]);
    } else if (m == 2) {
        NAME(store_pieces)(p, apart, NAME(turns_low)(a[0], a[1]));
        NAME(store_pieces)(p + PIECE, apart, NAME(turns_high)(a[0], a[1]));
    } else {
        const vec even0 = NAME(turns_low)(a[0], a[2]), even1 = NAME(turns_high)(a[0], a[2]);
        const vec odd0 = NAME(turns_low)(a[1], a[3]), odd1 = NAME(turns_high)(a[1], a[3]);
        NAME(store_pieces)(p, apart, NAME(turns_low)(even0, odd0));
        NAME(store_pieces)(p + PIECE, apart, NAME(turns_high)(even0, odd0));
        NAME(store_pieces)(p + 2 * PIECE, apart, NAME(turns_low)(even1, odd1));
        NAME(store_pieces)(p + 3 * PIECE, apart, NAME(turns_high)(even1, odd1));
    }
}

/* One row of a strip's products to `pixels`; NaN in the lanes of `suspect` whose tile is not finite, and in their sum. */
__attribute__((always_inline)) static inline vec NAME(winograd_result)(const int ah, const int aw, REAL *pixels,
                                                                       const REAL *m, idx frequency, int nv, int columns,
                                                                       REAL bias, int relu, REAL *suspect)
{
    const int mh = winograd_tile_of(ah), mw = winograd_tile_of(aw), width = nv * LANES * mw;
    vec bad = {0};
    for (int q = 0; q < nv; q++) {
        vec up[4][WINOGRAD_MOST], all = {0};
#pragma GCC unroll 6
        for (int j = 0; j < aw; j++) {
            vec d[WINOGRAD_MOST], t[4];
#pragma GCC unroll 6
            for (int i = 0; i < ah; i++)
                d[i] = NAME(load)(m + (i * aw + j) * frequency + q * LANES);
            NAME(winograd_out)(ah, d, t);
#pragma GCC unroll 4
            for (int i = 0; i < mh; i++)
                up[i][j] = t[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < mh; i++) {
            vec y[4];
            NAME(winograd_out)(aw, up[i], y);
#pragma GCC unroll 4
            for (int j = 0; j < mw; j++) {
                y[j] += bias;
                all += y[j];
                if (relu)
                    y[j] = NAME(relu)(y[j]);
            }
            NAME(store_every)(mw, pixels + i * width + q * LANES * mw, y);
        }
        all = (vec)((mask)(all - all) & (NAME(iota)() < (mask){0} + (columns - q * LANES)));
        NAME(store)(suspect + q * LANES, all);
        bad += all;
    }
    return bad;
}

/* The suspect tiles of rows [m0, m1), at most MR of them, once more: im2col of one tile at a time, for the rows that need
 * it. */
static void NAME(winograd_again)(const NAME(winograd) *w, NAME(block) g, const NAME(weights) *weights, idx m0, idx m1,
                                 const REAL *suspects, idx image)
{
    const winograd_shape *s = &w->shape;
    const conv_axis *h = &w->lat->h, *along = &w->lat->w;
    const idx taps = h->taps * along->taps, depth = weights->channels * taps;
    const int outputs = (int)(s->h.tile * s->w.tile);
    for (idx m = m0; m < m1; m++)
        for (idx c = 0; c < weights->channels; c++)
            for (idx t = 0; t < taps; t++)
                w->again[(m - m0) * depth + c * taps + t] =
                    weights->first[m * weights->row + c * weights->channel + NAME(kernel_element)(weights, w->lat, t / along->taps, t % along->taps)];
    g.a = w->again;
    g.a_first = m0;
    g.lda = g.k = depth;
    g.kblock = accumulation_block(depth);
    g.nv = 1;
    g.first = g.last = 1;

    for (idx j = w->j0; j < w->j1; j++) {
        const REAL *suspect = suspects + (j - w->j0);
        const winograd_place at = winograd_place_of(s, j);
        for (idx m = m0, last; m < m1; m = last) {
            for (last = m; last < m1 && suspect[(last - m0) * w->lay.ldv] != 0; last++)
                continue;
            if (last == m) {
                last = m + 1;
                continue;
            }
            for (int first = 0; first < outputs; first += LANES) {
                NAME(segment) to[LANES];
                int segments = 0;
                for (int lane = 0; lane < LANES; lane++) {
                    const idx oy = at.y + (first + lane) / s->w.tile * s->h.apart, ox = at.x + (first + lane) % s->w.tile * s->w.apart;
                    const int real = first + lane < outputs && oy < h->grid && ox < along->grid;
                    if (real)
                        to[segments++] = (NAME(segment)){at.n * image + NAME(winograd_at)(w->lat, oy, ox), lane, 1};
                    REAL *panel = w->panel + lane;
                    for (idx c = 0; c < weights->channels; c++)
                        for (idx t = 0; t < taps; t++, panel += LANES) {
                            const idx sy = pad_index(w->src.mode, oy * h->step + w->low_h + t / along->taps * axis_distance(h), h->size);
                            const idx sx = pad_index(w->src.mode, ox * along->step + w->low_w + t % along->taps * axis_distance(along), along->size);
                            *panel = !real || sy < 0 || sx < 0 ? 0
                                     : w->src.first[at.n * w->src.image + c * w->src.plane + sy * along->size + sx];
                        }
                }
                g.m1 = m;
                NAME(block_rows)(&g, MR, last);
                NAME(block_columns)(&g, w->panel, 0, 0, to, segments);
            }
        }
    }
}

/* The products of a strip v and the u of tiles [t0, t1) of rows, f by f; `afar`: u comes from memory. */
static void NAME(winograd_multiply)(const NAME(winograd) *w, const REAL *u, idx t0, idx t1, const REAL *v, int nv, int afar)
{
    const winograd_shape *s = &w->shape;
    const idx terms = winograd_terms(s->k), channels = w->lat->source_channels;
    const int nr = nv * LANES, tiled = w->lay.tiled;
    const even_tiles tiles = w->lay.tiles;
    const idx m0 = tile_start(tiles, t0), next_u = w->lay.next_u;
    NAME(tile_run) *const run = NAME(tile_of)(nv, tiled ? NAME(TILED_A) : NAME(ROWS_A), NAME(PANEL_B));
    for (idx f = 0; f < s->frequencies; f++) {
        const winograd_span span = winograd_span_of(s, f / s->w.points, f % s->w.points);
        const idx first = span.first * channels, k = span.end * channels - first;
        if (k == 0)
            NAME(zero_run)(w->m + f * w->lay.next_m, (tile_start(tiles, t1) - m0) * nr);
        for (idx tile = t0; k > 0 && tile < t1; tile++) {
            const idx m = tile_start(tiles, tile) - m0, height = tile_start(tiles, tile + 1) - m0 - m;
            const REAL *const a = tiled ? u + ((tile - t0) * s->frequencies + f) * next_u + first * height : u + f * next_u + m * w->lay.ldu + first;
            const NAME(tile_args) t = {.k = k, .kblock = terms, .a = a, .lda = w->lay.ldu, .ahead = TILES_AHEAD,
                                       .b = v + f * w->lay.next_v + first * nr, .out = w->m + f * w->lay.next_m + m * nr, .ldout = nr};
            if (afar && TERMS > 1) /* else the tile does it */
                NAME(call_lines)(a + next_u, height * k);
            run(&t, (int)height);
        }
    }
}

/* to[i * step] = from[i], i < count. */
static inline void NAME(winograd_put)(REAL *to, const REAL *from, idx count, idx step)
{
    if (step == 1)
        NAME(copy)(to, from, count);
    else
        for (idx i = 0; i < count; i++)
            to[i * step] = from[i];
}

#define WINOGRAD_AHEAD 2 /* rows, whose results are elsewhere: their lines are called in time */

/* Tiles [t0, t1) of rows of the tiles at hand, from their v and the rows' u. */
__attribute__((always_inline)) static inline void NAME(winograd_rows)(const int ah, const int aw, const NAME(winograd) *w,
                                                                      const NAME(block) *g, const NAME(weights) *weights,
                                                                      idx image, const REAL *u, idx t0, idx t1)
{
    const winograd_shape *s = &w->shape;
    const idx m0 = tile_start(w->lay.tiles, t0), m1 = tile_start(w->lay.tiles, t1), rows = m1 - m0;
    const idx most = w->plan->nv * LANES, pitch = w->lat->w.out_size * w->lat->h.out_step * s->h.apart, step = w->lat->w.out_step * s->w.apart;
    vec bad = {0};
    for (idx j = 0; j < w->j1 - w->j0; j += most) {
        const int nv = NAME(winograd_vectors)(w, w->j0 + j), nr = nv * LANES, columns = (int)min_idx(nr, w->j1 - w->j0 - j);
        NAME(winograd_segment) run[NV * LANES];
        const int runs = NAME(winograd_runs)(run, w, w->j0 + j, columns, image);
        NAME(winograd_multiply)(w, u, t0, t1, w->v + j / most * w->lay.strip, nv, j == 0 && winograd_keeps(w->plan));
        for (idx m = 0; m < rows; m++) {
            REAL *dst = g->dst + (m0 + m) * g->dst_row;
            for (int q = 0; q < runs && m + WINOGRAD_AHEAD < rows; q++)
                for (idx y = 0; y < run[q].rows; y++)
                    for (idx x = 0; x < run[q].pixels * step; x += ALIGNMENT / (idx)sizeof(REAL))
                        __builtin_prefetch(dst + WINOGRAD_AHEAD * g->dst_row + run[q].out + y * pitch + x, 1);
            bad += NAME(winograd_result)(ah, aw, w->pixels, w->m + m * nr, w->lay.next_m, nv, columns,
                                         g->bias ? g->bias[m0 + m] : 0, g->relu, w->suspect + m * w->lay.ldv + j);
            for (int q = 0; q < runs; q++)
                for (idx y = 0; y < run[q].rows; y++)
                    NAME(winograd_put)(dst + run[q].out + y * pitch, w->pixels + (y * nr + run[q].column) * s->w.tile, run[q].pixels, step);
        }
    }
    if (NAME(sum)(bad) != 0)
        for (idx m = 0; m < rows; m += MR)
            NAME(winograd_again)(w, *g, weights, m0 + m, min_idx(m0 + m + MR, m1), w->suspect + m * w->lay.ldv, image);
}

/* What a task works with: its source, which may be shared, and its scratch. */
static NAME(winograd) NAME(winograd_begin)(const conv_call *call, const NAME(task) *t, int worker)
{
    const conv_plan *plan = call->plan;
    const lattice *lat = &t->lat;
    const winograd_scratch at = winograd_layout(plan, LANES);
    REAL *const scratch = (REAL *)(call->scratch + worker * plan->task_bytes);
    NAME(winograd) w = {.plan = plan, .lat = lat, .src = NAME(task_source)(call, t), .shape = winograd_shape_for(plan, *lat),
                        .lay = at,
                        .low_h = axis_lowest(&lat->h), .low_w = axis_lowest(&lat->w),
                        .v = plan->shares_source ? (REAL *)call->prepared + t->group * at.source : scratch + at.v, .u = scratch + at.u,
                        .m = scratch + at.m, .rows = scratch + at.rows, .gathered = scratch + at.gathered, .ends = scratch + at.ends,
                        .zeros = scratch + at.zeros,
                        .pixels = scratch + at.pixels, .suspect = scratch + at.suspect, .taps = scratch + at.taps,
                        .panel = scratch + at.panel, .again = scratch + at.again, .buffer = scratch + at.buffer,
                        .groups_h = (winograd_group *)(scratch + at.groups)};
    NAME(zero_run)(w.zeros, at.pixels - at.zeros);
    w.groups_w = w.groups_h + w.shape.h.groups;
    for (idx group = 0; group < w.shape.h.groups; group++)
        w.groups_h[group] = winograd_group_of(&w.shape.h, lat->h.taps, group);
    for (idx group = 0; group < w.shape.w.groups; group++)
        w.groups_w[group] = winograd_group_of(&w.shape.w, lat->w.taps, group);
    return w;
}

__attribute__((always_inline)) static inline void NAME(winograd_form)(const int ah, const int aw, const conv_call *call,
                                                                      const NAME(task) *t, int worker)
{
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const lattice *lat = &t->lat;
    NAME(winograd) w = NAME(winograd_begin)(call, t, worker);
    const NAME(weights) weights = NAME(group_weights)(p, lat, call->weights, t->group);
    NAME(block) g = {.dst_row = lat->h.out_size * lat->w.out_size, .dst_step = 1, .buffer = w.buffer,
                     .bias = call->bias ? (const REAL *)call->bias + t->group * lat->result_channels : NULL,
                     .relu = p->activation == CONV_RELU};
    const REAL *packed = (const REAL *)((const char *)call->weights + plan->packed_offset) + t->group * winograd_kept(plan, &w.shape, w.lay.next_u);
    const idx first = tile_holding(w.lay.tiles, t->m0), last = tile_holding(w.lay.tiles, t->m1); /* of rows */
    const idx image = p->groups * lat->result_channels * g.dst_row, begin = t->chunk * plan->chunk_w;
    const idx end = min_idx(begin + plan->chunk_w, p->n * w.shape.h.tiles * w.shape.w.tiles);
    const int kept = winograd_keeps(plan), resident = last - first <= w.lay.together; /* one block of weights, for all tiles of the task */
    g.dst = (REAL *)call->dst + t->group * lat->result_channels * g.dst_row;

    for (w.j0 = begin; first < last && w.j0 < end; w.j0 = w.j1) {
        w.j1 = min_idx(w.j0 + plan->chunk_h, end);
        if (!plan->shares_source)
            NAME(winograd_transform)(&w, 0, lat->source_channels);
        for (idx t0 = first, t1; t0 < last; t0 = t1) {
            t1 = min_idx(t0 + w.lay.together, last);
            if (!kept && (!resident || w.j0 == begin))
                NAME(winograd_block)(&w.shape, &w.lay, lat, &weights, w.u, t0, t1, w.taps);
            NAME(winograd_rows)(ah, aw, &w, &g, &weights, image, kept ? packed + t0 * w.shape.frequencies * w.lay.next_u : w.u, t0, t1);
        }
    }
}

static void NAME(winograd_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const NAME(task) t = NAME(task_decode)(call->plan, index);
    if (t.m0 >= t.m1)
        return;
#define WINOGRAD_FORM(ah, aw)                                                                                           \
    if (call->plan->tile_h == ah && call->plan->tile_w == aw)                                                           \
        NAME(winograd_form)(ah, aw, call, &t, worker);
    WINOGRAD_FORMS
#undef WINOGRAD_FORM
}

/* Some channels of a source that is shared. */
static void NAME(winograd_source_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const idx pieces = plan->prepare_tasks / plan->p.groups, piece = index % pieces;
    const NAME(task) t = {.group = index / pieces, .lat = plan->largest};
    NAME(winograd) w = NAME(winograd_begin)(call, &t, worker);
    const idx c0 = piece * t.lat.source_channels / pieces, c1 = (piece + 1) * t.lat.source_channels / pieces;
    w.j1 = plan->p.n * w.shape.h.tiles * w.shape.w.tiles;
    NAME(winograd_transform)(&w, c0, c1);
}
