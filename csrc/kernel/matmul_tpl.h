/* matmul -- c (m, n) = act(a (m, k) b (k, n) + bias (n)): the linear layer and its gradients.
 *
 * A task is a range of rows and one of columns. a lies by rows (a_col = 1) or by columns (a_row = 1) and is read in place, unless that loses
 * lines of it (matmul_packs). b is read in place where its rows hold a whole tile and, for many rows of a, stay in the first-level
 * cache; else a tile is packed. Every sum has one order, whatever the tiles.
 */
typedef struct {
    const matrix_product *p;
    REAL *buffer, *start, *panel; /* a tile's results; its bias; its columns of b */
    int32_t *at;                  /* where rows of the tile's columns are, `apart` from each other */
    idx apart;
    idx packed, packed_end;       /* columns that are packed, of those before `end` */
    idx end;
    idx coming, copied;           /* the first column of those that are packed next, or -1; so many of their rows are in `other` */
    REAL *other;
    idx k0, depth, kblock;        /* terms at hand; so many are summed at once */
    idx m0, m1;                   /* rows at hand */
    const REAL *a;                /* of row m0, term k0 */
    idx lda;
    int from_a;
} NAME(product);

/* Whether b is more than the second-level cache keeps. */
static int NAME(product_far)(const matrix_product *p)
{
    return p->b_col == 1 && p->k * p->b_row * (idx)sizeof(REAL) > MATMUL_FAR;
}

/* Packs columns [j, j + count) of b, and with them the tiles beside them: what of these has been copied meanwhile is there. */
static void NAME(product_pack)(NAME(product) *t, idx j, idx count, idx nr)
{
    const matrix_product *p = t->p;
    const REAL *b = (const REAL *)p->b + t->k0 * p->b_row + j * p->b_col;
    const REAL *const end = (const REAL *)p->b + (p->k - 1) * p->b_row + (p->n - 1) * p->b_col + 1;
    const idx tiles = p->b_col == 1 ? max_idx(1, min_idx(MATMUL_TOGETHER, (t->end - j) / nr)) : 1;
    const idx together = tiles == 1 ? t->depth : ALIGNMENT / (idx)sizeof(REAL); /* rows, whose lines are in turn those of all tiles */
    if (j == t->coming) {
        REAL *const panel = t->other;
        t->other = t->panel;
        t->panel = panel;
    }
    for (idx k = j == t->coming ? t->copied : 0; k < t->depth; k += together)
        for (idx i = 0; i < tiles; i++)
            NAME(pack_matrix)(t->panel + i * MATMUL_PANEL * nr + k * nr, nr, b + k * p->b_row + i * nr, p->b_row, p->b_col,
                              min_idx(together, t->depth - k), tiles == 1 ? count : nr, end);
    t->packed = j;
    t->packed_end = j + max_idx(count, tiles * nr);
    t->coming = t->from_a == NAME(ROWS_A) && NAME(product_far)(p) && t->end - t->packed_end >= TERMS_COPIED * LANES ? t->packed_end : -1;
    t->copied = 0;
}

/* The tile for some rows: one that copies what comes next, as long as there is something. */
static NAME(tile_run) *NAME(product_copies)(NAME(product) *t, NAME(tile_args) *args)
{
    const matrix_product *p = t->p;
    const idx rows = t->depth / t->kblock * (t->kblock / TERMS_COPIED) + t->depth % t->kblock / TERMS_COPIED;
    if (t->coming < 0 || t->copied + rows > t->depth)
        return NULL;
    args->from = (const REAL *)p->b + (t->k0 + t->copied) * p->b_row + t->coming;
    args->from_row = p->b_row;
    args->to = t->other + t->copied * NV * LANES;
    t->copied += rows;
    return NAME(tile_of)(NV, NAME(ROWS_A), NAME(COPIES_B));
}

/* Columns of b from j on, as a tile of nv vectors wants them: in place or packed. */
static const REAL *NAME(product_columns)(NAME(product) *t, idx j, idx count, int nv, int in_place)
{
    const matrix_product *p = t->p;
    const idx nr = nv * LANES, apart = in_place ? p->b_row : nr;
    for (idx k = 0; apart != t->apart && k < t->depth; k++)
        t->at[k] = (int32_t)(k * apart);
    t->apart = apart;
    for (int i = 0; p->bias && i < nr; i++)
        t->start[i] = i < count ? ((const REAL *)p->bias)[j + i] : 0;
    if (in_place)
        return (const REAL *)p->b + t->k0 * p->b_row + j;
    if (j >= t->packed_end)
        NAME(product_pack)(t, j, count, nr);
    return t->panel + (j - t->packed) / nr * MATMUL_PANEL * nr;
}

/* The rows at hand times a tile of columns. */
static void NAME(product_tile)(NAME(product) *t, idx j, idx count, int nv, int in_place)
{
    const matrix_product *p = t->p;
    const idx nr = nv * LANES;
    const int whole = count == nr;
    const REAL *const b = NAME(product_columns)(t, j, count, nv, in_place);
    NAME(tile_run) *const tile = NAME(tile_of)(nv, t->from_a, in_place || t->from_a != NAME(ROWS_A) ? NAME(TABLE_B) : NAME(PANEL_B));
    const int highest = t->from_a == NAME(ROWS_A) ? rows_together(t->lda * (idx)sizeof(REAL), NAME(tile_rows)(nv)) : NAME(tile_rows)(nv);
    /* few rows wait for b, which no prefetcher follows row by row: the next tile's lines are called */
    const int calls = in_place && t->m1 - t->m0 <= 2 * highest && NAME(product_far)(p);
    for (idx k = 0; calls && k < t->depth; k++)
        NAME(call_lines)(b + t->at[k] + nr, nr);
    for (idx m = t->m0, rows; m < t->m1; m += rows) {
        rows = min_idx(t->m1 - m, whole ? t->m1 - m : BUFFER_ROWS);
        REAL *const c = (REAL *)p->c + m * p->c_row + j, *const out = whole ? c : t->buffer;
        const idx ldout = whole ? p->c_row : nr;
        for (idx i = 0; !whole && t->k0 > 0 && i < rows; i++)
            NAME(copy)(out + i * nr, c + i * p->c_row, count);
        NAME(tile_args) args = {.k = t->depth, .kblock = t->kblock, .b = b, .at = t->at,
                                .lda = t->lda, .ldout = ldout, .ldprev = t->k0 == 0 ? 0 : ldout,
                                .relu = t->k0 + t->depth == p->k && p->relu};
        for (idx i = 0, height; i < rows; i += height) {
            height = ceil_div(rows - i, ceil_div(rows - i, highest));
            args.a = t->a + (m - t->m0 + i) * (t->from_a == NAME(ROWS_A) ? t->lda : 1);
            args.out = out + i * ldout;
            args.prev = t->k0 > 0 ? args.out : p->bias ? t->start : NULL;
            NAME(tile_run) *const copies = in_place ? NULL : NAME(product_copies)(t, &args);
            (copies ? copies : tile)(&args, (int)height);
        }
        for (idx i = 0; !whole && i < rows; i++)
            NAME(copy)(c + i * p->c_row, out + i * nr, count);
    }
}

/* The rows at hand times columns [j, end): wide tiles where there are few rows. */
static void NAME(product_rows)(NAME(product) *t, idx j, idx end)
{
    const matrix_product *p = t->p;
    const idx rows = t->m1 - t->m0;
    const int far = NAME(product_far)(p), kept = t->depth <= CACHE_WAYS * cache_sets(p->b_row * (idx)sizeof(REAL)) || rows <= (far ? MR / 2 : MR);
    const int in_place = p->b_col == 1 && kept && p->b_row < INT32_MAX / MATMUL_DEPTH;
    const int wide = !in_place || t->from_a != NAME(ROWS_A) ? NV : rows <= MR / 4 ? 4 * NV : rows <= MR / 2 ? 2 * NV : NV;
    t->packed_end = 0;
    t->coming = -1;
    t->end = end;
    for (idx count; j < end; j += count) {
        const int nv = end - j >= wide * LANES ? wide : end - j > LANES ? NV : 1;
        count = min_idx(nv * LANES, end - j);
        NAME(product_tile)(t, j, count, nv, in_place && count == nv * LANES);
    }
}

static void NAME(matmul_task)(const void *context, idx index, int worker)
{
    const matrix_product *p = context;
    enum { NR = NV * LANES };
    const idx parts = ceil_div(p->n, p->columns), j0 = index % parts * p->columns, j1 = min_idx(j0 + p->columns, p->n);
    const idx m0 = index / parts * p->rows, m1 = min_idx(m0 + p->rows, p->m), pitch = matmul_pitch(p, sizeof(REAL));
    const int packs = matmul_packs(p, NR, sizeof(REAL));
    NAME(product) t = {.p = p, .buffer = (REAL *)(p->scratch + worker * matmul_task_bytes(p, NR, sizeof(REAL)))};
    t.start = t.buffer + BUFFER_ROWS * NR;
    t.panel = t.start + NR;
    t.other = t.panel + MATMUL_TOGETHER * MATMUL_PANEL * NR;
    t.at = (int32_t *)(t.other + MATMUL_TOGETHER * MATMUL_PANEL * NR);
    REAL *const packed = (REAL *)((char *)t.buffer + matmul_tile_bytes(NR, sizeof(REAL)));
    for (t.k0 = 0; t.k0 < p->k; t.k0 += MATMUL_DEPTH, t.apart = 0) {
        t.depth = min_idx(MATMUL_DEPTH, p->k - t.k0);
        t.kblock = even(t.depth, accumulation_block(p->k));
        for (t.m0 = m0; t.m0 < m1; t.m0 = t.m1) {
            t.m1 = min_idx(t.m0 + even(m1 - m0, matmul_rows(p, sizeof(REAL))), m1);
            t.a = (const REAL *)p->a + t.m0 * p->a_row + t.k0 * p->a_col;
            t.lda = p->a_col == 1 ? p->a_row : p->a_col;
            t.from_a = p->a_col == 1 ? NAME(ROWS_A) : NAME(COLUMNS_A);
            if (packs) {
                NAME(pack_matrix)(packed, pitch, t.a, 1, p->a_col, t.m1 - t.m0, t.depth, (const REAL *)p->a + (p->k - 1) * p->a_col + p->m);
                t.a = packed;
                t.lda = pitch;
                t.from_a = NAME(ROWS_A);
            }
            NAME(product_rows)(&t, j0, j1);
        }
    }
}
