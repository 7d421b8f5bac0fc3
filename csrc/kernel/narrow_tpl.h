/* narrow -- an image's last few columns against weights that are packed tile by tile.
 *
 * A tile of one vector would compute lanes that hold no column, and wait for its own sums. Here the rows of a tile lie in lanes, and several
 * tiles pass at once. (One column beside whole vectors is taken along by their tile where that has a register left: BESIDE_B.) Every sum is made as tile_tpl.h makes it, term by term: where a batch is cut must not matter.
 */
#define ROW_VECTORS ((MR + LANES - 1) / LANES) /* that hold a tile's rows; the last reads on into the next term, see PACKED_BEYOND */
#define NARROW_SUMS 8 /* in registers: more do not come faster */

/* Tiles that pass at once: their sums have registers, their results the buffer of one. */
static inline int NAME(narrow_tiles)(int columns)
{
    return (int)max_idx(1, min_idx(min_idx(4, BUFFER_ROWS * NV / MR), NARROW_SUMS / (columns * ROW_VECTORS)));
}

/* `tiles` of t->a, each `next` further, times the first columns of a panel. */
__attribute__((always_inline)) static inline void NAME(narrow_body)(const int tiles, const int columns, const NAME(tile_args) *t, int height,
                                                                    idx next)
{
    vec acc[4][ROW_VECTORS][NARROW];
    REAL rows[4][NARROW][ROW_VECTORS * LANES]; /* of the blocks that are done; first of prev */
    const REAL *a = t->a, *b = t->b;
    int sums = t->prev != NULL;
    for (int i = 0; i < tiles && sums; i++)
        for (int c = 0; c < columns; c++)
            for (int r = 0; r < height; r++)
                rows[i][c][r] = t->prev[(i * height + r) * t->ldprev + c];
    for (idx k = 0; k < t->k;) {
        const idx end = min_idx(k + t->kblock, t->k);
#pragma GCC unroll 16
        for (int i = 0; i < tiles; i++)
#pragma GCC unroll 16
            for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 16
                for (int c = 0; c < columns; c++)
                    acc[i][v][c] = (vec){0};
        for (; k < end; k++, a += height, b += t->ldb)
#pragma GCC unroll 16
            for (int i = 0; i < tiles; i++)
#pragma GCC unroll 16
                for (int v = 0; v < ROW_VECTORS; v++) {
                    const vec av = NAME(load)(a + i * next + v * LANES);
#pragma GCC unroll 16
                    for (int c = 0; c < columns; c++)
                        acc[i][v][c] += av * b[c];
                }
#pragma GCC unroll 16
        for (int i = 0; i < tiles; i++)
#pragma GCC unroll 16
            for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 16
                for (int c = 0; c < columns; c++) {
                    REAL *const at = rows[i][c] + v * LANES;
                    NAME(store)(at, sums ? acc[i][v][c] + NAME(load)(at) : acc[i][v][c]);
                }
        sums = 1;
    }
    for (int i = 0; i < tiles; i++)
        for (int c = 0; c < columns; c++)
            for (int r = 0; r < height; r++) {
                const REAL sum = t->bias ? rows[i][c][r] + t->bias[i * height + r] : rows[i][c][r];
                t->out[(i * height + r) * t->ldout + c] = t->relu && sum < 0 ? 0 : sum;
            }
}

#define NARROW_CASE(C) case C: NAME(narrow_body)(several ? NAME(narrow_tiles)(C) : 1, C, t, height, next); break;
__attribute__((always_inline)) static inline void NAME(narrow_columns)(const int several, const NAME(tile_args) *t, int columns, int height,
                                                                       idx next)
{
    switch (columns) {
        CASES_4(NARROW_CASE)
    }
}
#undef NARROW_CASE

/* All that pass at once, or one. */
static void NAME(narrow_run)(const NAME(tile_args) *t, int columns, int tiles, int height, idx next)
{
    if (tiles > 1)
        NAME(narrow_columns)(1, t, columns, height, next);
    else
        NAME(narrow_columns)(0, t, columns, height, next);
}
