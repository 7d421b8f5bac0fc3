/* matmul -- c (m, n) = act(a (m, k) b (k, n) + bias (n)): the linear layer and its gradients.
 *
 * a lies by rows (a_col = 1) or by columns (a_row = 1) and is never copied. A task is a range of rows and one column tile:
 * nv vectors, or one where no more are left. b is read in place where its rows hold the whole tile and, for many rows of a, stay in the
 * first-level cache; else packed.
 */
static void NAME(matmul_task)(const void *context, idx index, int worker)
{
    const matrix_product *p = context;
    enum { NR = NV * LANES };
    REAL *buffer = (REAL *)(p->scratch + worker * matmul_task_bytes(NR, sizeof(REAL)));
    REAL *start = buffer + BUFFER_ROWS * NR, *panel = start + NR;
    int32_t *at = (int32_t *)(panel + (MATMUL_DEPTH + LANES) * NR);
    const idx tiles = ceil_div(p->n, NR), j0 = index % tiles * NR;
    const idx m0 = index / tiles * p->rows, m1 = min_idx(m0 + p->rows, p->m);
    const int count = (int)min_idx(NR, p->n - j0), nv = count <= LANES ? 1 : NV, nr = nv * LANES;
    const int kept = min_idx(p->k, MATMUL_DEPTH) <= CACHE_WAYS * cache_sets(p->b_row * (idx)sizeof(REAL)) || m1 - m0 <= 6 * NAME(tile_rows)(nv);
    const int whole = count == nr, in_place = whole && p->b_col == 1 && kept && p->b_row < INT32_MAX / MATMUL_DEPTH;
    const REAL *b = (const REAL *)p->b + j0 * p->b_col, *bias = p->bias;
    const REAL *b_end = (const REAL *)p->b + (p->k - 1) * p->b_row + (p->n - 1) * p->b_col + 1;
    REAL *const c = (REAL *)p->c + j0;
    NAME(tile_run) *const tile = NAME(tile_of)(nv, p->a_col == 1 ? NAME(ROWS_A) : NAME(COLUMNS_A), NAME(TABLE_B));
    const int highest = p->a_col == 1 ? rows_together(p->a_row * (idx)sizeof(REAL), NAME(tile_rows)(nv)) : NAME(tile_rows)(nv);

    for (int j = 0; bias && j < nr; j++)
        start[j] = j < count ? bias[j0 + j] : 0;
    for (idx k = 0; k < min_idx(p->k, MATMUL_DEPTH); k++)
        at[k] = (int32_t)(k * (in_place ? p->b_row : nr));
    for (idx k0 = 0; k0 < p->k; k0 += MATMUL_DEPTH) {
        const idx depth = min_idx(MATMUL_DEPTH, p->k - k0);
        if (!in_place)
            NAME(pack_matrix)(panel, nr, b + k0 * p->b_row, p->b_row, p->b_col, depth, count, b_end);
        for (idx m = m0, rows; m < m1; m += rows) {
            rows = min_idx(m1 - m, whole ? m1 - m : BUFFER_ROWS);
            REAL *const out = whole ? c + m * p->c_row : buffer;
            const idx ldout = whole ? p->c_row : nr;
            for (idx i = 0; !whole && k0 > 0 && i < rows; i++)
                NAME(copy)(out + i * nr, c + (m + i) * p->c_row, count);
            NAME(tile_args) t = {.k = depth, .kblock = even(depth, accumulation_block(p->k)),
                                 .b = in_place ? b + k0 * p->b_row : panel, .at = at,
                                 .lda = p->a_col == 1 ? p->a_row : p->a_col, .ldout = ldout, .ldprev = k0 == 0 ? 0 : ldout,
                                 .relu = k0 + depth == p->k && p->relu};
            for (idx i = 0, height; i < rows; i += height) {
                height = ceil_div(rows - i, ceil_div(rows - i, highest));
                t.a = (const REAL *)p->a + (m + i) * p->a_row + k0 * p->a_col;
                t.out = out + i * ldout;
                t.prev = k0 > 0 ? t.out : bias ? start : NULL;
                tile(&t, (int)height);
            }
            for (idx i = 0; !whole && i < rows; i++)
                NAME(copy)(c + (m + i) * p->c_row, out + i * nr, count);
        }
    }
}
