/* dots -- c (m, n) = act(a (m, k) b (n, k)' + bias (n)), rows dense: lanes run along k, so that both are read as they lie.
 *
 * A sum is the same whatever the tile that it is part of: blocks of DOTS_BLOCK vectors or more, then a tree over lanes. A task is
 * a range of rows and of columns; its tiles pass over as many columns as stay in the second-level cache.
 */
#define DOTS_BLOCK 64
#define DOTS_SIDE 8                                                /* rows or columns of a tile, at most */
#define DOTS_EVEN 24                                               /* columns that make whole tiles of any height */
#define DOTS_SUMS (MR * NV < DOTS_EVEN ? MR * NV : DOTS_EVEN)      /* of a tile: a register for each */
#define DOTS_WIDE(m) min_idx(DOTS_SIDE, DOTS_SUMS / (m))           /* columns of a tile of m rows */

/* The next terms of all sums. What there are fewer of is held in registers. */
__attribute__((always_inline)) static inline void NAME(dots_terms)(const int M, const int N, vec acc[DOTS_EVEN],
                                                                   const REAL *const *row, const REAL *const *column, idx from, idx to)
{
    const int few = M < N ? M : N, many = M < N ? N : M;
    for (idx k = from; k < to; k += LANES) {
        vec held[DOTS_SIDE];
#pragma GCC unroll 8
        for (int f = 0; f < few; f++)
            held[f] = NAME(load)((M < N ? row : column)[f] + k);
#pragma GCC unroll 8
        for (int o = 0; o < many; o++) {
            const vec v = NAME(load)((M < N ? column : row)[o] + k);
#pragma GCC unroll 8
            for (int f = 0; f < few; f++)
                acc[M < N ? f * N + o : o * N + f] += held[f] * v;
        }
    }
}

/* Rows from i on, columns from j on. */
__attribute__((always_inline)) static inline void NAME(dots_tile)(const int M, const int N, const matrix_product *p, REAL *const *out, idx step, idx i, idx j)
{
    const idx whole = p->k / LANES * LANES, block = max_idx(DOTS_BLOCK, accumulation_block(p->k / LANES)) * LANES;
    const REAL *row[DOTS_SIDE], *column[DOTS_SIDE];
    REAL sums[DOTS_EVEN * LANES] __attribute__((aligned(VECTOR_BYTES))), total[DOTS_EVEN + LANES];
    vec acc[DOTS_EVEN];
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
        row[r] = (const REAL *)p->a + (i + r) * p->a_row;
#pragma GCC unroll 8
    for (int c = 0; c < N; c++)
        column[c] = (const REAL *)p->b + (j + c) * p->b_col;
    for (idx k = 0, next; k < p->k; k = next) {
        next = min_idx(k + block, p->k);
#pragma GCC unroll 24
        for (int s = 0; s < M * N; s++)
            acc[s] = (vec){0};
        NAME(dots_terms)(M, N, acc, row, column, k, min_idx(next, whole));
        if (next > whole) { /* what no vector holds, with zeros after it */
            REAL rest[2 * DOTS_SIDE * LANES] = {0};
#pragma GCC unroll 8
            for (int r = 0; r < M; r++) {
                NAME(copy)(rest + r * LANES, row[r] + whole, p->k - whole);
                row[r] = rest + r * LANES;
            }
#pragma GCC unroll 8
            for (int c = 0; c < N; c++) {
                NAME(copy)(rest + (DOTS_SIDE + c) * LANES, column[c] + whole, p->k - whole);
                column[c] = rest + (DOTS_SIDE + c) * LANES;
            }
            NAME(dots_terms)(M, N, acc, row, column, 0, LANES);
        }
#pragma GCC unroll 24
        for (int s = 0; s < M * N; s++)
            NAME(store)(sums + s * LANES, k > 0 ? acc[s] + NAME(load)(sums + s * LANES) : acc[s]);
    }
    NAME(sum_each)(total, sums, M * N);
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
#pragma GCC unroll 8
        for (int o = 0; o < N; o++) {
            const REAL sum = total[r * N + o] + (p->bias ? ((const REAL *)p->bias)[j + o] : 0);
            out[r][(j + o) * step] = p->relu && sum < 0 ? 0 : sum;
        }
}

/* All columns [j, end) of some rows. */
__attribute__((always_inline)) static inline void NAME(dots_rows)(const int M, const matrix_product *p, idx i, idx j, idx end)
{
    const idx points = max_idx(1, p->points);
    REAL *out[DOTS_SIDE];
    for (int r = 0; r < M; r++)
        out[r] = (REAL *)p->c + (i + r) / points * p->c_row + (i + r) % points;
    for (; j + DOTS_WIDE(M) <= end; j += DOTS_WIDE(M))
        NAME(dots_tile)(M, (int)DOTS_WIDE(M), p, out, points, i, j);
    for (; j < end; j++)
        NAME(dots_tile)(M, 1, p, out, points, i, j);
}

static void NAME(dots_task)(const void *context, idx index, int worker)
{
    const matrix_product *p = context;
    const idx tiles = ceil_div(p->n, p->columns), j0 = index % tiles * p->columns, j1 = min_idx(j0 + p->columns, p->n);
    const idx m0 = index / tiles * p->rows, m1 = min_idx(m0 + p->rows, p->m);
    const idx near = max_idx(1, DOTS_BYTES / (DOTS_EVEN * p->k * (idx)sizeof(REAL))) * DOTS_EVEN;
    (void)worker;
    for (idx j = j0, next; j < j1; j = next) {
        next = min_idx(j + near, j1);
        for (idx m = m0, rows; m < m1; m += rows) {
            rows = even(m1 - m, 4);
            if (rows == 4)
                NAME(dots_rows)(4, p, m, j, next);
            else if (rows == 3)
                NAME(dots_rows)(3, p, m, j, next);
            else if (rows == 2)
                NAME(dots_rows)(2, p, m, j, next);
            else
                NAME(dots_rows)(1, p, m, j, next);
        }
    }
}
