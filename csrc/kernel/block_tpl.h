/* block -- one packed block of columns against a range of rows: the loops around the microkernel, and its store.
 *
 * The packers (im2col, rows, positions, matrices) differ only in how they lay out b; everything after that is here.
 * A column tile holds nr = nv * LANES columns. Where its results belong is a list of runs (`segment`): a tile whose
 * columns are one dense run is stored by the microkernel itself, any other goes through a buffer of one tile.
 */
typedef struct {
    idx out; /* of row 0, in elements */
    int column, count;
} NAME(segment);

typedef struct {
    const REAL *a;      /* row m at a + (m - a_first)*lda, of which the terms from a_term on are wanted */
    idx a_first, a_term, lda;
    even_tiles tiles;   /* of a, where it is packed tile by tile (lda terms in a row); height 0: it lies by rows */
    idx tiles_ahead;    /* bytes, from a term of those to what is called beside it; 0: nothing */
    const int32_t *at;  /* k of them: where rows of b are, */
    idx ldb;            /* or the distance from each to the next; neither: b is a panel as wide as the tile */
    idx few_row;        /* elements from one term to the next of a panel of few columns (block_narrow) */
    const REAL *alone;  /* NULL, or a column beside the last tile of columns, which it takes along */
    idx k, kblock;      /* terms, and how many may be summed at once */
    REAL *dst;          /* row m at dst + m*dst_row */
    const REAL *beside; /* NULL, or what is added, laid out as dst */
    idx dst_row;
    idx dst_step;       /* between the columns of a segment */
    const REAL *bias;   /* by row; applied with relu where `last` */
    int relu;
    idx m0, m1;         /* the rows at hand, by block_rows, */
    even_tiles heights; /* in these tiles, */
    idx kpart;          /* summed in even parts */
    int first, last;    /* of the blocks that the reduction is cut into: a later one adds to dst */
    int fold;           /* several columns may share an output: add, one after the other */
    int nv;
    REAL *buffer;       /* of one tile */
    idx ahead, every;   /* of every so many terms the row is called so many elements ahead; 0: none */
} NAME(block);

#define TILE_CASE(M) case M: if (M <= highest) NAME(tile_body)(M, V, from_a, from_b, t); break;
__attribute__((always_inline)) static inline void NAME(tile_heights)(const NAME(tile_args) *t, int height, const int V,
                                                                     const int highest, const int from_a, const int from_b)
{
    switch (height) {
        CASES_MR(TILE_CASE)
    }
}
#undef TILE_CASE

/* Rows of a tile of so many vectors that takes a column along: their sums have a vector, and a register is left for it. */
#define BESIDE_ROWS(nv) ((REGISTERS - 2) / (nv) - 1 < LANES ? (REGISTERS - 2) / (nv) - 1 : LANES)

/* Registers of a tile are allocated for the function as a whole: by loops, the loop that counts is given fewer than it fills. */
#pragma GCC push_options
#pragma GCC optimize("ira-region=one")
#define TILE(name, vectors, highest, a, b) \
    static void NAME(name)(const NAME(tile_args) *t, int height) { NAME(tile_heights)(t, height, vectors, highest, NAME(a), NAME(b)); }
#define TILES(name, a, b) \
    TILE(name##_1, 1, MR, a, b) TILE(name##_2, NV, MR, a, b) TILE(name##_4, 2 * NV, MR / 2, a, b) TILE(name##_8, 4 * NV, MR / 4, a, b) \
    TILE(name##_3, 3, NV < 3 ? MR * NV / 3 : MR, a, b)
TILES(rows_panel, ROWS_A, PANEL_B)
TILES(rows_table, ROWS_A, TABLE_B)
TILES(rows_rows, ROWS_A, ROWS_B)
TILES(tiled_panel, TILED_A, PANEL_B)
TILES(tiled_table, TILED_A, TABLE_B)
TILES(tiled_rows, TILED_A, ROWS_B)
TILE(rows_copies_2, NV, MR, ROWS_A, COPIES_B)
TILE(listed_1, 1, MR, LISTED_A, PANEL_B)
TILE(listed_2, NV, MR, LISTED_A, PANEL_B)
TILE(listed_3, 3, NV < 3 ? MR * NV / 3 : MR, LISTED_A, PANEL_B)
TILE(columns_1, 1, MR, COLUMNS_A, TABLE_B)
TILE(columns_2, NV, MR, COLUMNS_A, TABLE_B)
TILE(tiled_beside_1, 1, BESIDE_ROWS(1), TILED_A, BESIDE_B)
TILE(tiled_beside_2, NV, BESIDE_ROWS(NV), TILED_A, BESIDE_B)
TILE(tiled_beside_3, 3, BESIDE_ROWS(3), TILED_A, BESIDE_B)
#undef TILES
#undef TILE
#pragma GCC pop_options

typedef void NAME(tile_run)(const NAME(tile_args) *t, int height);

/* How high a tile of nv vectors may be. */
static int NAME(tile_rows)(int nv)
{
    return nv <= NV ? MR : MR * NV / nv;
}

/* Vectors of the next tile of those whose lanes are over channels, `left` of which are to come (vectors_for_channels). */
static int NAME(tile_vectors)(int widest, idx left)
{
    const idx vectors = ceil_div(left, LANES);
    return vectors == 1 ? 1 : widest == 3 && NV == 2 && vectors % 2 == 0 ? 2 : widest;
}

/* The instance for rows of nv vectors. */
static NAME(tile_run) *NAME(tile_of)(int nv, int from_a, int from_b)
{
#define TILES(name) {NAME(name##_1), NAME(name##_2), NAME(name##_4), NAME(name##_8), NAME(name##_3)}
    static NAME(tile_run) *const instances[][5][5] = {
        [NAME(ROWS_A)] = {[NAME(PANEL_B)] = TILES(rows_panel), [NAME(TABLE_B)] = TILES(rows_table), [NAME(ROWS_B)] = TILES(rows_rows),
                          [NAME(COPIES_B)] = {[1] = NAME(rows_copies_2)}},
        [NAME(TILED_A)] = {[NAME(PANEL_B)] = TILES(tiled_panel), [NAME(TABLE_B)] = TILES(tiled_table), [NAME(ROWS_B)] = TILES(tiled_rows),
                           [NAME(BESIDE_B)] = {NAME(tiled_beside_1), NAME(tiled_beside_2), [4] = NAME(tiled_beside_3)}},
        [NAME(LISTED_A)] = {[NAME(PANEL_B)] = {NAME(listed_1), NAME(listed_2), [4] = NAME(listed_3)}},
        [NAME(COLUMNS_A)] = {[NAME(TABLE_B)] = {NAME(columns_1), NAME(columns_2)}},
    };
#undef TILES
    return instances[from_a][from_b][nv == 1 ? 0 : nv == NV ? 1 : nv == 2 * NV ? 2 : nv == 4 * NV ? 3 : 4];
}

/* Whether the tiles of the rows at hand, as g cuts them, can take a column along. */
static int NAME(takes_along)(const NAME(block) *g)
{
    return g->tiles.height > 0 && NAME(tile_of)(g->nv, NAME(TILED_A), NAME(BESIDE_B)) != NULL &&
           g->heights.height + (g->heights.higher > 0) <= BESIDE_ROWS(g->nv);
}

static void NAME(move_in)(const NAME(block) *g, const REAL *from_row, const NAME(segment) *s, int segments, int height)
{
    const idx nr = g->nv * LANES;
    REAL *buffer = g->buffer;
    for (int i = 0; i < height; i++, from_row += g->dst_row, buffer += nr)
        for (int q = 0; q < segments; q++) {
            const REAL *from = from_row + s[q].out;
            REAL *to = buffer + s[q].column;
            if (g->dst_step == 1)
                NAME(copy)(to, from, s[q].count);
            else
                for (int j = 0; j < s[q].count; j++)
                    to[j] = from[j * g->dst_step];
        }
}

static void NAME(move_out)(const NAME(block) *g, REAL *dst, const NAME(segment) *s, int segments, int height)
{
    const idx nr = g->nv * LANES;
    const REAL *buffer = g->buffer;
    for (int i = 0; i < height; i++, dst += g->dst_row, buffer += nr)
        for (int q = 0; q < segments; q++) {
            const REAL *from = buffer + s[q].column;
            REAL *to = dst + s[q].out;
            if (g->fold)
                for (int j = 0; j < s[q].count; j++)
                    to[j * g->dst_step] += from[j];
            else if (g->dst_step == 1)
                NAME(copy)(to, from, s[q].count);
            else
                for (int j = 0; j < s[q].count; j++)
                    to[j * g->dst_step] = from[j];
        }
}

/* Goes on to the next rows, about `most` and not beyond `end`, in even tiles: 15 rows are 8 and 7. */
static void NAME(block_rows)(NAME(block) *g, idx most, idx end)
{
    g->kpart = even(g->k, g->kblock);
    g->m0 = g->m1;
    g->m1 = min_idx(g->m0 + most, end);
    if (g->tiles.height > 0) {
        const idx first = tile_holding(g->tiles, g->m0);
        if (g->m1 < end)
            g->m1 = tile_start(g->tiles, max_idx(first + 1, tile_holding(g->tiles, g->m1)));
        g->heights = (even_tiles){g->tiles.height, max_idx(0, g->tiles.higher - first)};
    } else {
        const int highest = (int)min_idx(NAME(tile_rows)(g->nv), rows_together(g->lda * (idx)sizeof(REAL), MR));
        g->heights = tiles_of(g->m1 - g->m0, ceil_div(g->m1 - g->m0, highest));
    }
}

/* Whether a column tile is one run of the result. */
static int NAME(dense)(const NAME(block) *g, const NAME(segment) *s, int segments)
{
    return segments == 1 && s[0].count == g->nv * LANES && g->dst_step == 1 && !g->fold;
}

/* Columns of a tile up to the last that is wanted. */
static int NAME(columns_of)(const NAME(segment) *s, int segments)
{
    return segments == 0 ? 0 : s[segments - 1].column + s[segments - 1].count;
}

/* Those rows times the few columns of a panel of one vector, where weights are packed tile by tile. */
static void NAME(block_narrow)(const NAME(block) *g, const REAL *b, const NAME(segment) *s, int segments)
{
    const int columns = NAME(columns_of)(s, segments), most = NAME(narrow_tiles)(columns);
    const REAL *const before = g->fold ? NULL : g->first ? g->beside : g->dst;
    NAME(tile_args) t = {.k = g->k, .kblock = g->kpart, .b = b, .ldb = g->few_row, .prev = before ? g->buffer : NULL, .ldprev = LANES,
                         .relu = g->last && g->relu, .out = g->buffer, .ldout = LANES};
    idx m = g->m0, higher = g->heights.higher;
    for (int tiles; m < g->m1; higher -= tiles) {
        const int height = (int)g->heights.height + (higher > 0);
        const idx left = min_idx(higher > 0 ? higher : PTRDIFF_MAX, (g->m1 - m) / height);
        tiles = left < most ? 1 : most;
        const int rows = tiles * height;
        t.a = g->a + (m - g->a_first) * g->lda + height * g->a_term;
        t.bias = g->last && g->bias ? g->bias + m : NULL;
        if (before)
            NAME(move_in)(g, before + m * g->dst_row, s, segments, rows);
        NAME(narrow_run)(&t, columns, tiles, height, height * g->lda);
        NAME(move_out)(g, g->dst + m * g->dst_row, s, segments, rows);
        m += rows;
    }
}

/* The rows at hand times one column tile at b, and `more` beside it, each b_next further, where the tile is dense. */
static void NAME(block_columns)(const NAME(block) *g, const REAL *b, idx more, idx b_next, const NAME(segment) *s, int segments)
{
    const int nr = g->nv * LANES, tiled = g->tiles.height > 0;
    const int from_b = g->at ? NAME(TABLE_B) : g->ldb > 0 ? NAME(ROWS_B) : NAME(PANEL_B);
    if (tiled && g->nv == 1 && from_b == NAME(PANEL_B) && !g->alone && NAME(columns_of)(s, segments) <= NARROW) {
        NAME(block_narrow)(g, b, s, segments);
        return;
    }
    const int from_a = tiled ? NAME(TILED_A) : NAME(ROWS_A);
    NAME(tile_run) *const tile = NAME(tile_of)(g->nv, from_a, from_b);
    NAME(tile_run) *const last = g->alone ? NAME(tile_of)(g->nv, from_a, NAME(BESIDE_B)) : tile;
    const int whole = NAME(dense)(g, s, segments);
    const idx called = g->at && g->ahead > 0 ? g->k : 0;
    const REAL *const before = g->fold ? NULL : g->first ? g->beside : g->dst; /* what the sums are added to */
    NAME(tile_args) t = {.k = g->k, .kblock = g->kpart, .lda = g->lda, .ldb = g->ldb, .ahead = g->tiles_ahead, .alone = g->alone, .at = g->at,
                         .relu = g->last && g->relu, .ldout = whole ? g->dst_row : nr};
    t.ldprev = t.ldout;
    idx m = g->m0, higher = g->heights.higher;
    for (int height; m < g->m1; m += height) {
        REAL *const dst = g->dst + m * g->dst_row;
        height = (int)g->heights.height + (higher-- > 0);
        t.a = g->a + (m - g->a_first) * g->lda + (tiled ? height : 1) * g->a_term;
        t.b = b;
        t.bias = g->last && g->bias ? g->bias + m : NULL;
        t.out = whole ? dst + s[0].out : g->buffer;
        t.prev = !before ? NULL : whole ? before + m * g->dst_row + s[0].out : g->buffer;
        if (before && !whole)
            NAME(move_in)(g, before + m * g->dst_row, s, segments, height);
        for (idx next = more;; next--) {
            /* what the next column needs of so many rows, which no prefetcher follows, comes while the products are made */
            for (idx e = 2 * nr - 1; e >= nr && whole; e -= ALIGNMENT / (idx)sizeof(REAL))
                for (int i = 0; i < height; i++) {
                    __builtin_prefetch(t.out + i * t.ldout + e, 1);
                    if (g->beside)
                        __builtin_prefetch(t.prev + i * t.ldprev + e);
                }
            for (idx i = 0; i < called; i += g->every)
                for (idx e = 0; e < nr; e += ALIGNMENT / (idx)sizeof(REAL))
                    __builtin_prefetch(t.b + g->at[i] + g->ahead + e);
            for (idx i = 0; i < ROWS_CALLED && g->ldb > 0 && next == 0 && m + height >= g->m1; i++)
                NAME(call_lines)(t.b + nr + i * g->ldb, nr + ALIGNMENT / (idx)sizeof(REAL));
            (next == 0 ? last : tile)(&t, height);
            if (next == 0)
                break;
            t.b += b_next;
            t.out += nr;
            t.prev += t.prev ? nr : 0;
        }
        if (!whole)
            NAME(move_out)(g, dst, s, segments, height);
    }
}

/* How many columns, each of so many bytes, may pass for one tile of rows before the next: the first-level cache keeps them and their results. */
static idx NAME(columns_together)(const NAME(block) *g, idx bytes)
{
    return g->m1 - g->m0 <= g->heights.height ? PTRDIFF_MAX : max_idx(1, COLUMN_BYTES / (bytes + g->heights.height * ALIGNMENT));
}

/* Appends the outputs of lattice points (row, column .. column+count) of one image to a tile's segments. */
static int NAME(add_segments)(NAME(segment) *s, int segments, const lattice *lat, conv_pad_mode fold, idx image,
                              idx row, idx column, int tile_column, int count)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    idx y = h->out_first + row * h->out_step;
    idx x = w->out_first + column * w->out_step;
    if (fold != CONV_ZEROS)
        y = pad_index(fold, y, h->out_size);
    for (int done = 0, run; done < count; done += run) {
        idx at = x + done * w->out_step;
        run = count - done;
        if (fold != CONV_ZEROS && (at < 0 || x + (count - 1) * w->out_step >= w->out_size)) {
            run = 1; /* points over the border are mapped one by one */
            at = pad_index(fold, at, w->out_size);
        }
        idx out = image + y * w->out_size + at;
        NAME(segment) *last = s + segments - 1;
        if (segments && last->out + last->count * w->out_step == out && last->column + last->count == tile_column + done)
            last->count += run;
        else
            s[segments++] = (NAME(segment)){out, tile_column + done, run};
    }
    return segments;
}
