/* dots -- c (m, n) = act(a (m, k) b (n, k)' + bias (n)), rows dense: lanes run along k, so that both are read as they lie.
 *
 * A sum is the same whatever the tile that it is part of: blocks of DOTS_BLOCK vectors or more, then a tree over lanes. A task is
 * a range of rows and of columns.
 */
#define DOTS_BLOCK 64
#define DOTS_SIDE 8                                                /* rows or columns of a tile, at most */
#define DOTS_EVEN 24                                               /* columns that make whole tiles of any height */
#define DOTS_SUMS (MR * NV < DOTS_EVEN ? MR * NV : DOTS_EVEN)      /* of a tile: a register for each */
#define DOTS_ROWS 32                                               /* whose sums wait for the rest of their terms */
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

/* Some rows and columns of the product, and blocks of terms at a time where sums have several: those of all rows and columns pass while they
 * are in the first-level cache, and the sums so far wait, a vector each. */
typedef struct {
    const matrix_product *p;
    idx i, j, end;      /* rows from i on, columns [j, end) */
    idx from, to;       /* terms */
    REAL *sums;
} NAME(dots);

/* A tile: rows from i on, columns from j on. */
__attribute__((always_inline)) static inline void NAME(dots_tile)(const int M, const int N, const NAME(dots) *d, REAL *const *out, idx step, idx j, REAL *sums)
{
    const matrix_product *p = d->p;
    const idx whole = p->k / LANES * LANES;
    const REAL *row[DOTS_SIDE], *column[DOTS_SIDE];
    REAL total[DOTS_EVEN + LANES];
    vec acc[DOTS_EVEN];
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
        row[r] = (const REAL *)p->a + (d->i + r) * p->a_row;
#pragma GCC unroll 8
    for (int c = 0; c < N; c++)
        column[c] = (const REAL *)p->b + (j + c) * p->b_col;
#pragma GCC unroll 24
    for (int s = 0; s < M * N; s++)
        acc[s] = (vec){0};
    NAME(dots_terms)(M, N, acc, row, column, d->from, min_idx(d->to, whole));
    if (d->to > whole) { /* what no vector holds, with zeros after it */
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
        NAME(store)(sums + s * LANES, d->from > 0 ? acc[s] + NAME(load)(sums + s * LANES) : acc[s]);
    if (d->to < p->k)
        return;
    NAME(sum_each)(total, sums, M * N);
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
#pragma GCC unroll 8
        for (int o = 0; o < N; o++) {
            const REAL sum = total[r * N + o] + (p->bias ? ((const REAL *)p->bias)[j + o] : 0);
            out[r][(j + o) * step] = p->relu && sum < 0 ? 0 : sum;
        }
}

/* All columns of M rows. */
__attribute__((always_inline)) static inline void NAME(dots_rows)(const int M, const NAME(dots) *d)
{
    const matrix_product *p = d->p;
    const idx points = max_idx(1, p->points);
    REAL *out[DOTS_SIDE], *sums = d->sums;
    idx j = d->j;
    for (int r = 0; r < M; r++)
        out[r] = (REAL *)p->c + (d->i + r) / points * p->c_row + (d->i + r) % points;
    for (; j + DOTS_WIDE(M) <= d->end; j += DOTS_WIDE(M), sums += M * DOTS_WIDE(M) * LANES)
        NAME(dots_tile)(M, (int)DOTS_WIDE(M), d, out, points, j, sums);
    for (; j < d->end; j++, sums += M * LANES)
        NAME(dots_tile)(M, 1, d, out, points, j, sums);
}

/* Rows [i, i1), at most DOTS_ROWS of them. */
static void NAME(dots_block)(NAME(dots) d, idx i1, idx block)
{
    REAL sums[DOTS_ROWS * DOTS_EVEN * LANES] __attribute__((aligned(VECTOR_BYTES)));
    const idx i0 = d.i;
    for (d.from = 0; d.from < d.p->k; d.from = d.to) {
        d.to = min_idx(d.from + block, d.p->k);
        for (idx rows; d.i < i1; d.i += rows) {
            rows = even(i1 - d.i, 4);
            d.sums = sums + (d.i - i0) * (d.end - d.j) * LANES;
            if (rows == 4)
                NAME(dots_rows)(4, &d);
            else if (rows == 3)
                NAME(dots_rows)(3, &d);
            else if (rows == 2)
                NAME(dots_rows)(2, &d);
            else
                NAME(dots_rows)(1, &d);
        }
        d.i = i0;
    }
}

static void NAME(dots_task)(const void *context, idx index, int worker)
{
    const matrix_product *p = context;
    const idx tiles = ceil_div(p->n, p->columns), j0 = index % tiles * p->columns, j1 = min_idx(j0 + p->columns, p->n);
    const idx m0 = index / tiles * p->rows, m1 = min_idx(m0 + p->rows, p->m);
    const idx block = max_idx(DOTS_BLOCK, accumulation_block(p->k / LANES)) * LANES;
    (void)worker;
    for (idx j = j0; j < j1; j += DOTS_EVEN)
        for (idx m = m0; m < m1; m += DOTS_ROWS)
            NAME(dots_block)((NAME(dots)){.p = p, .i = m, .j = j, .end = min_idx(j + DOTS_EVEN, j1)}, min_idx(m + DOTS_ROWS, m1), block);
}
