/* tiles.h -- tiles of results: rows and columns that registers and caches keep together, in planning and in the templates. */
#ifndef FASTCONV_TILES_H
#define FASTCONV_TILES_H

#include "arith.h"

/* Terms that one accumulator sums before it is added to the others. A sum of k terms in blocks of b errs by at most
 * b + k/b roundings; 5.5 sqrt(k) + 8 keeps that within the promised 6 sqrt(k) + 12, with room for blocks that are cut short, and
 * so does 512 where that is less. */
static inline idx accumulation_block(idx k)
{
    if (k <= 53)
        return k;
    const idx root = (idx)__builtin_sqrt((double)min_idx(k, 92 * 92));
    return min_idx(11 * root / 2 + 8, 512);
}

/* Rows cut into tiles as even as can be: the first `higher` of them have a row more than the others. */
typedef struct {
    idx height, higher;
} even_tiles;

static inline even_tiles tiles_of(idx rows, idx tiles)
{
    return (even_tiles){rows / tiles, rows % tiles};
}

static inline idx tile_start(even_tiles e, idx tile)
{
    return tile * e.height + min_idx(tile, e.higher);
}

/* The tile that holds a row. */
static inline idx tile_holding(even_tiles e, idx row)
{
    return row < e.higher * (e.height + 1) ? row / (e.height + 1) : (row - e.higher) / e.height;
}

/* The first tile that begins at a row or after it. */
static inline idx tile_from(even_tiles e, idx row)
{
    return row <= e.higher * (e.height + 1) ? ceil_div(row, e.height + 1) : e.higher + ceil_div(row - e.higher * (e.height + 1), e.height);
}

/* How many rows of weights a tile may read at once: those that fall into one set of the first-level cache, whose ways repeat
 * every 4096 bytes, push each other out (14 rows 1024 floats apart: 42 % of the peak). */
static inline int rows_together(idx bytes_apart, int mr)
{
    const idx apart = bytes_apart % 1024;
    return apart < 64 || apart > 960 ? (mr < 7 ? mr : 7) : mr;
}

#define BLOCK_ROWS 96      /* lines of results that the first-level cache keeps from one column tile to the next */
#define FAR_ROWS 12        /* of large tiles whose result goes to memory, whose pages are few: twice as many take twice the time */
#define RESULT_FAR 8388608 /* bytes of such a result */
#define CALLED_LINES 4     /* of a channel at least, to be called before tiles meet them: shorter ones follow each other as the prefetcher expects */
#define CACHE_WAYS 8       /* of the first-level cache */
#define SETS_REPEAT 4096   /* bytes after which its sets repeat */
#define COLUMN_BYTES 16384 /* of columns that pass together for one tile of rows: half of the first-level cache */

/* Sets of the first-level cache that lines `apart` bytes from each other use. */
static inline idx cache_sets(idx apart)
{
    const idx power = apart & -apart; /* of two, the greatest that divides it */
    return power == 0 || power >= SETS_REPEAT ? 1 : SETS_REPEAT / max_idx(ALIGNMENT, power);
}

/* Rows of a block of weights that stay in the second-level cache while the columns pass, in even blocks: cores with half the
 * registers have half of that cache, too. No more than have their lines of the result, `apart` bytes from row to row in each of n
 * images, in half of the ways of the first-level cache; but two tiles. */
static inline idx row_block(idx rows, idx k, idx mr, idx element, idx apart, idx n)
{
    const idx bytes = mr >= 14 ? 393216 : 131072, sets = cache_sets(apart);
    const int far = mr >= 14 && k <= 256 && n * rows * apart > RESULT_FAR;
    const idx most = min_idx(bytes / (k * element), far ? FAR_ROWS : max_idx(FAR_ROWS, min_idx(BLOCK_ROWS, CACHE_WAYS / 2 * sets)));
    return even(rows, max_idx(mr, most / mr * mr));
}

/* Elements from one packed row to the next: a multiple of the tile where few columns are lost to that, so that no tile
 * straddles two rows (the last of a row may be narrower, but if all are, they have too few accumulators); else the shortest. */
static inline idx direct_pitch(idx width, idx span, idx nr, idx lanes)
{
    const idx dense = width + span, vectors = round_up(width, lanes);
    return span > 0 && 8 * vectors >= 3 * nr && vectors * 20 <= dense * 21 ? round_up(dense, nr) : dense;
}

/* The fewest vectors that hold these columns, of the widths that there are for tiles of nv, where those of many rows have `many`. */
static inline int narrowest_tile(int nv, int many, idx columns, idx lanes)
{
    static const int widths[][5] = {{1, 2, 3, 4, 8}, {1, 3, 4, 8, 16}}; /* where many are two, or four */
    const int *width = widths[many == 4];
    while (*width < nv && *width * lanes < columns)
        width++;
    return *width;
}

#define NARROW 4 /* columns at most that need no vector of their own: narrow_tpl.h */

/* How many of so many columns those are, behind a tile of whole vectors or none. */
static inline idx columns_alone(const conv_plan *plan, int many, idx columns, idx lanes)
{
    const idx after = columns % lanes, before = columns - after;
    const int filled = before == 0 || narrowest_tile(plan->nv, many, before, lanes) * lanes == before;
    return plan->weights == WEIGHTS_BY_TILES && filled && after <= NARROW ? after : 0;
}

/* Accumulators of the dot kernel for tiles of mr rows: they, a row of dy and the rows of x fit the registers. No more taps than DOT_TAPS. */
#define DOT_PRODUCTS(mr) ((mr) >= 14 ? 24 : 12)
#define DOT_TAPS 12

/* Taps at once beside so many output channels. */
static inline idx dot_taps(int mr, idx wide)
{
    return min_idx(DOT_TAPS, DOT_PRODUCTS(mr) / wide);
}

/* Rows of the outer kernel's tile: so many positions of the source stay in general registers. */
#define OUTER_ROWS 10

/* Rows of dy that are packed at a time in bwd_weights. */
#define WEIGHTS_ROWS 112

/* Elements from one row of a padded copy to the next: short rows are a vector each, which is moved at once. */
static inline idx view_pitch(idx width, idx lanes)
{
    return width <= lanes && 2 * width > lanes ? lanes : width;
}

#endif
