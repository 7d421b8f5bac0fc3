/* matmul -- c (m, n) = a (m, k) b (k, n) + bias (n): the linear layer and its gradients, any strides of a and b.
 *
 * A task is one column tile. b is packed; a is read in place where its rows are dense, else packed.
 */
static void NAME(matmul_task)(const void *context, idx index, int worker)
{
    const matrix_product *p = context;
    enum { NR = NV * LANES };
    REAL *buffer = (REAL *)(p->scratch + worker * matmul_task_bytes(NR, sizeof(REAL)));
    REAL *panel = buffer + BUFFER_ROWS * NR, *rows = panel + (MATMUL_DEPTH + LANES) * NR;
    int32_t *off = (int32_t *)(rows + (MATMUL_ROWS + LANES) * MATMUL_DEPTH);
    const idx j0 = index * NR;
    const int count = (int)min_idx(NR, p->n - j0);
    const NAME(segment) s = {j0, 0, count};
    const REAL *b = (const REAL *)p->b + j0 * p->b_col;
    const REAL *a_end = (const REAL *)p->a + (p->m - 1) * p->a_row + (p->k - 1) * p->a_col + 1;
    const REAL *b_end = (const REAL *)p->b + (p->k - 1) * p->b_row + (p->n - 1) * p->b_col + 1;
    NAME(block) g = {.at = off, .nv = NV, .buffer = buffer, .dst = p->c, .dst_row = p->c_row, .dst_step = 1,
                     .kblock = accumulation_block(p->k)};

    for (int k = 0; k < MATMUL_DEPTH; k++)
        off[k] = k * NR;
    for (idx k0 = 0; k0 < p->k; k0 += MATMUL_DEPTH) {
        g.k = min_idx(MATMUL_DEPTH, p->k - k0);
        g.first = k0 == 0;
        NAME(pack_matrix)(panel, NR, b + k0 * p->b_row, p->b_row, p->b_col, g.k, count, b_end);
        for (idx m = 0; m < p->m; m += MATMUL_ROWS) {
            const idx m1 = min_idx(m + MATMUL_ROWS, p->m);
            const REAL *a = (const REAL *)p->a + m * p->a_row + k0 * p->a_col;
            g.a = a;
            g.lda = p->a_row;
            g.a_first = m;
            if (p->a_col != 1) {
                g.a = rows;
                g.lda = round_up(g.k, LANES);
                NAME(pack_matrix)(rows, g.lda, a, p->a_row, p->a_col, m1 - m, g.k, a_end);
            }
            NAME(block_column)(&g, m, m1, panel, &s, 1);
        }
    }
    if (p->bias)
        for (idx m = 0; m < p->m; m++)
            for (int j = 0; j < count; j++)
                ((REAL *)p->c)[m * p->c_row + j0 + j] += ((const REAL *)p->bias)[j0 + j];
}
