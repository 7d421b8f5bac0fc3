/* tile -- the microkernel: every product of a convolution by GEMM, direct or outer products is done here.
 *
 *   out[i][j] = act(prev[i][j] + bias[i] + sum_k a[ai + ka] * b[kb + j])       i < M, j < V * LANES
 *
 * The sum is cut into blocks of kblock terms, each summed from zero and added to those before (decisions/0004).
 *
 *   GATHER_B: ai = i * lda, ka = k, kb = at[k]. Rows of b are found through `at`: packed panels of im2col
 *             (at[k] = k * width), rows packed once and read at the shift of each tap (direct), or a matrix in place.
 *   GATHER_A: ai = row[i], ka = at[k], kb = k * V * LANES. b is a dense panel; a is read at listed positions
 *             (bwd_weights: the positions of a padded plane that have an output, at the shift row[i] of each tap).
 *   COLUMN_A: ai = i, ka = k * lda, kb = at[k]. a lies column by column: a transposed matrix in place.
 *
 * b's rows may start anywhere; V * LANES elements of each are read.
 * Registers: M*V accumulators, V for b's row, one broadcast: 14*2 + 2 + 1 of 32 (AVX-512), 6*2 + 2 + 1 of 16. Rows of
 * a at one distance need a pointer for every five of them (p, +l, +2l, +3l, +4l are addressing modes or nearly); a
 * pointer each, as the compiler would have it, spills half of them and costs 18 % of the peak.
 */
enum { NAME(GATHER_B), NAME(GATHER_A), NAME(COLUMN_A) };

#define ROWS_PER_POINTER 5

typedef struct {
    idx k, kblock;
    const REAL *a;
    idx lda;        /* GATHER_B, COLUMN_A */
    const idx *row; /* GATHER_A */
    const REAL *b;
    const int32_t *at;
    const REAL *prev; /* NULL: zero */
    idx ldprev;
    REAL *out;
    idx ldout;
    const REAL *bias; /* NULL: zero */
    int relu;
} NAME(tile_args);

__attribute__((always_inline)) static inline void NAME(tile_body)(const int M, const int V, const int gather,
                                                                  const NAME(tile_args) *restrict t)
{
    vec acc[MR][4 * NV];
    REAL sum[MR * NV * LANES] __attribute__((aligned(VECTOR_BYTES))); /* of the blocks that are done */
    const REAL *a[MR], *b = t->b;
    const int32_t *at = t->at;
    const idx count = t->k, lda = t->lda, lda3 = 3 * lda;
    const int listed = gather == NAME(GATHER_A), column = gather == NAME(COLUMN_A);
    const int pointers = listed ? M : column ? 1 : (M + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER;

#pragma GCC unroll 16
    for (int i = 0; i < pointers; i++)
        a[i] = t->a + (listed ? t->row[i] : ROWS_PER_POINTER * i * lda);

    const REAL *prev = t->prev;
    idx ldprev = t->ldprev;
    for (idx k = 0;;) {
        const idx end = k + t->kblock < count ? k + t->kblock : count;
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] = (vec){0};
        for (; k < end; k++) {
            const REAL *row = b + (listed ? k * V * LANES : at[k]);
            const idx ka = listed ? at[k] : 0;
            vec bv[4 * NV];
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                bv[v] = NAME(load)(row + v * LANES);
            if (!listed)
#pragma GCC unroll 16
                for (int i = 0; i < pointers; i++)
                    __asm__("" : "+r"(a[i])); /* not to be split into pointers for each row */
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                const int far = i % ROWS_PER_POINTER;
                const REAL *near = a[listed ? i : column ? 0 : i / ROWS_PER_POINTER];
                const REAL ai = listed ? near[ka] : column ? a[0][i] : near[far == 3 ? lda3 : far * lda];
#pragma GCC unroll 16
                for (int v = 0; v < V; v++)
                    acc[i][v] += ai * bv[v];
            }
            if (!listed)
#pragma GCC unroll 16
                for (int i = 0; i < pointers; i++)
                    a[i] += column ? lda : 1;
        }
        if (prev)
#pragma GCC unroll 16
            for (int i = 0; i < M; i++)
#pragma GCC unroll 16
                for (int v = 0; v < V; v++)
                    acc[i][v] += NAME(load)(prev + i * ldprev + v * LANES);
        if (end == count)
            break;
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                NAME(store)(sum + (i * V + v) * LANES, acc[i][v]);
        prev = sum;
        ldprev = V * LANES;
    }

    /* one branch for the whole tile, not one for every register */
    const REAL *const bias = t->bias;
    const idx ldout = t->ldout;
    const int relu = t->relu;
    REAL *const out = t->out;
    if (bias)
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] += bias[i];
    if (relu)
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] = NAME(relu)(acc[i][v]);
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            NAME(store)(out + i * ldout + v * LANES, acc[i][v]);
}
