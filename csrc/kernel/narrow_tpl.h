/* narrow -- an image's last few columns against weights that are packed tile by tile.
 *
 * A tile of one vector would compute lanes that hold no column, and wait for its own sums. Here the rows of a tile lie in lanes, and several
 * tiles pass at once. Every sum is made as tile_tpl.h makes it, term by term: where a batch is cut must not matter.
 */
#define NARROW 4 /* columns at most */
#define ROW_VECTORS ((MR + LANES - 1) / LANES) /* that hold a tile's rows; the last reads on into the next term, see PACKED_BEYOND */
#define NARROW_SUMS 8 /* in registers: more do not come faster */
#define NARROW_MOST (BUFFER_ROWS * NV / MR < 4 ? BUFFER_ROWS * NV / MR : 4) /* tiles, whose results a buffer of one vector holds */

/* Tiles that pass at once. */
#define NARROW_TILES(columns) \
    (NARROW_SUMS / (columns) < ROW_VECTORS          ? 1                                     \
     : NARROW_SUMS / (columns) / ROW_VECTORS > NARROW_MOST ? NARROW_MOST : NARROW_SUMS / (columns) / ROW_VECTORS)

/* `tiles` of t->a, each `next` further, times the first columns of a panel of one vector. */
__attribute__((always_inline)) static inline void NAME(narrow_body)(const int tiles, const int columns, const NAME(tile_args) *t, int height,
                                                                    idx next)
{
    vec acc[NARROW_MOST][ROW_VECTORS][NARROW];
    REAL rows[NARROW_MOST][NARROW][ROW_VECTORS * LANES]; /* of the blocks that are done; first of prev */
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
        for (; k < end; k++, a += height, b += LANES)
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

typedef void NAME(narrow_run)(const NAME(tile_args) *t, int height, idx next);

#define NARROWS(columns) \
    static void NAME(narrow_##columns)(const NAME(tile_args) *t, int height, idx next) { NAME(narrow_body)(NARROW_TILES(columns), columns, t, height, next); } \
    static void NAME(narrow_one_##columns)(const NAME(tile_args) *t, int height, idx next) { NAME(narrow_body)(1, columns, t, height, next); }
NARROWS(1) NARROWS(2) NARROWS(3) NARROWS(4)
#undef NARROWS

/* The instance for so many columns, and how many tiles it takes of those that are left. */
static NAME(narrow_run) *NAME(narrow_of)(int columns, idx left, int *tiles)
{
    static const int at_once[] = {NARROW_TILES(1), NARROW_TILES(2), NARROW_TILES(3), NARROW_TILES(4)};
    static NAME(narrow_run) *const several[] = {NAME(narrow_1), NAME(narrow_2), NAME(narrow_3), NAME(narrow_4)};
    static NAME(narrow_run) *const one[] = {NAME(narrow_one_1), NAME(narrow_one_2), NAME(narrow_one_3), NAME(narrow_one_4)};
    *tiles = left < at_once[columns - 1] ? 1 : at_once[columns - 1];
    return (*tiles > 1 ? several : one)[columns - 1];
}
