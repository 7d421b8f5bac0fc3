/* layouts.h -- where a task keeps its pieces: planning counts the bytes with it, the templates find their way by it. */
#ifndef FASTCONV_LAYOUTS_H
#define FASTCONV_LAYOUTS_H

#include "kernels.h"
#include "lattices.h"

/* ---- tiles and products of matrices ---- */

#define PANELS_NONE -1   /* of nothing: a worker's scratch begins with whose panels it has, for the next task that wants the same */
#define BUFFER_ROWS 14   /* of nv vectors: a tile's results */
#define PREPARE_ROWS 16  /* of weights, in a task that lays them out, */
#define PREPARE_TILED 64 /* tile by tile: a gradient's tiles are written side by side, as many as share no sets of the first-level cache */
#define PREPARE_AHEAD 3  /* output channels, whose weights are so far apart that they come one by one if not called; */
#define PREPARE_CALLED 8 /* where a kernel is one point */
#define PREPARE_TAPS 256 /* at a time */
#define DOTS_LEAST 512    /* terms of a product of rows with rows, from which on lanes run along them */
#define MATMUL_DEPTH 512 /* of the reduction, at a time: a packed column tile of it stays in cache */
#define MATMUL_BYTES 262144 /* of rows of a */
#define MATMUL_ROWS 72
#define MATMUL_FAR 1048576 /* bytes of b and of what lies between its rows, beyond which its lines are called for few rows, and packed for some */
#define MATMUL_PANEL (MATMUL_DEPTH + 16) /* rows of a panel, with room for a square */
#define MATMUL_TOGETHER 2  /* tiles of b that are packed at once: lines side by side are fetched ahead, two of a row too few to be seen */

/* Rows of a at a time: they stay in the second-level cache while the columns pass. */
static inline idx matmul_rows(const matrix_product *p, idx element)
{
    return min_idx(p->m, max_idx(MATMUL_ROWS, MATMUL_BYTES / (min_idx(p->k, MATMUL_DEPTH) * element)));
}

/* Whether a, which lies by columns, is packed: its lines would share a few sets of the first-level cache, and many columns want them; or
 * they would come one by one from far. */
static inline int matmul_packs(const matrix_product *p, idx nr, idx element)
{
    const idx depth = min_idx(p->k, MATMUL_DEPTH);
    const int far = p->k * p->a_col * element > MATMUL_FAR, lost = depth > CACHE_WAYS * cache_sets(p->a_col * element);
    return p->a_col != 1 && ((lost && p->n >= 4 * nr) || (far && p->n >= 2 * nr));
}

/* Elements from one packed row of a to the next. */
static inline idx matmul_pitch(const matrix_product *p, idx element)
{
    return line_pitch(min_idx(p->k, MATMUL_DEPTH), element);
}

/* A tile's results, its bias, its panel, offsets. */
static inline idx matmul_tile_bytes(idx nr, idx element)
{
    return round_up((BUFFER_ROWS + 1 + 2 * MATMUL_TOGETHER * MATMUL_PANEL) * nr * element + MATMUL_DEPTH * (idx)sizeof(int32_t), ALIGNMENT);
}

/* That, then packed rows with room for whole squares. */
static inline idx matmul_task_bytes(const matrix_product *p, idx nr, idx element)
{
    const idx rows = matmul_packs(p, nr, element) ? (matmul_rows(p, element) + 16) * matmul_pitch(p, element) : 0;
    return matmul_tile_bytes(nr, element) + rows * element;
}

/* ---- col2im ---- */

/* The product of a band, but for where its operands lie: taps of channels are its rows, */
static inline matrix_product col2im_product(const conv_plan *plan, idx channels, idx positions)
{
    const idx taps = plan->p.kh * plan->p.kw;
    return (matrix_product){.m = channels * taps, .rows = channels * taps, .n = positions, .columns = positions, .k = plan->p.oc,
                            .a_row = 1, .a_col = plan->p.ic * taps};
}

/* or positions are. */
static inline matrix_product col2im_rows_product(const conv_plan *plan, idx positions, idx channels)
{
    const idx taps = plan->p.kh * plan->p.kw, columns = channels * taps;
    return (matrix_product){.m = positions, .rows = positions, .n = columns, .columns = columns, .k = plan->p.oc,
                            .a_row = line_pitch(plan->p.oc, dtype_bytes(plan->p.dtype)), .a_col = 1,
                            .b_row = plan->p.ic * taps, .b_col = 1, .c_row = columns};
}

/* Elements of a band's positions of dy, turned, with room for whole squares. */
static inline idx col2im_rows_turned(const conv_plan *plan)
{
    return (plan->depth + plan->kernels->set[plan->p.dtype]->lanes) * line_pitch(plan->p.oc, dtype_bytes(plan->p.dtype));
}

/* Taps side by side whose products are added at a time: with a stride of two they take turns. */
static inline idx col2im_together(const conv_problem *p)
{
    return p->stride_w == 2 && p->dil_w == 1 ? 2 : 1;
}

/* ---- windows of few points ---- */

#define WINDOWS_ROWS 64 /* of several images in a task */

/* Whether a window is its whole image: where images are as large as the kernel, and nothing is padded. */
static inline int windows_in_place(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->oh * p->ow == 1 && p->kh == p->ih && p->kw == p->iw && lattice_inside(&plan->largest);
}

/* Elements from one window to the next. */
static inline idx windows_pitch(const conv_plan *plan)
{
    const idx element = dtype_bytes(plan->p.dtype);
    return line_pitch(plan->p.ic * plan->p.kh * plan->p.kw + ALIGNMENT / element, element);
}

/* ---- weights that are packed tile by tile ---- */

#define PACKED_BEYOND 128 /* bytes that may be read beyond them: vectors of a tile's last rows (narrow_tpl.h) */

/* The tiles of a group's rows. */
static inline even_tiles weights_tiles(const conv_plan *plan)
{
    const kernel_table *k = plan->kernels;
    return tiles_of(plan->m_rows, ceil_div(plan->m_rows, plan->nv <= k->nv ? k->mr : k->mr * k->nv / plan->nv));
}

#define VIEW_VECTORS 4 /* of a padded row that is moved whole */

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

#define DIRECT_STREAMS 16 /* rows that are read in place at a time: more than the prefetcher follows */

/* Whether kernels are one point on more channels than that: rows that are read in place lie at one distance, and are called. */
static inline int direct_points(const lattice *lat)
{
    return lat->h.taps * lat->w.taps == 1 && lat->source_channels >= DIRECT_STREAMS;
}

/* Whether a call lays out its weights before its tasks. */
static inline int prepares_weights(const conv_plan *plan)
{
    return plan->weights != WEIGHTS_GIVEN && !plan->p.packed;
}

/* Rows that one task lays out. */
static inline idx prepared_together(const conv_plan *plan)
{
    return plan->weights == WEIGHTS_BY_TILES ? PREPARE_TILED : PREPARE_ROWS;
}

#define TILES_AHEAD 2048    /* bytes ahead of a term that weights packed by tiles are called, */
#define WEIGHTS_NEAR 262144 /* unless they are no more than these: the second-level cache keeps them beside the rest */
#define ROWS_AHEAD 1024   /* bytes ahead of the tile that more of them are called: the first-level cache lost them since they served the row before */

/* Lines that a column tile reads of a channel: taps that lie close together share them. */
static inline double direct_lines(const conv_plan *plan, const lattice *lat, idx lanes)
{
    const axis_rows w = axis_row_layout(&lat->w);
    const double columns = (double)(plan->nv * lanes), line = (double)ALIGNMENT / (double)dtype_bytes(plan->p.dtype);
    const double apart = (double)lat->w.taps * (columns / line + 1), together = (double)w.period * (((double)w.span + columns) / line + 1);
    return (double)lat->h.taps * (apart < together ? apart : together);
}

/* ---- batch: rows of images ---- */

#define REGISTERS (MR >= 14 ? 32 : 16)

/* Of dw, rows by four output channels, and so many channels by fewer rows: they, the rows and one of dy are registers. */
#define BATCH_ROWS (MR >= 14 ? 6 : 3)
#define BATCH_CHANNELS (MR >= 14 ? 5 : 4)

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
