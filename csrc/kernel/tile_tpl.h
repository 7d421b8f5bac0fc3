/* tile -- the microkernel: every multiplication of a convolution by GEMM or direct is done here.
 *
 *   out[i][j] = act(prev[i][j] + bias[i] + sum_k a[i*lda + k] * b[off[k] + j])     i < M, j < V * LANES
 *
 * Rows of b are found through off: packed panels of im2col (off[k] = k * row), rows packed once and read at the shift of
 * each tap (direct), or a matrix in place. b's rows may start anywhere; V * LANES elements of each are read.
 * Registers: M*V accumulators, V for b's row, one broadcast: 14*2 + 2 + 1 of 32 (AVX-512), 6*2 + 2 + 1 of 16.
 */
typedef struct {
    idx k;
    const REAL *a;
    idx lda;
    const REAL *b;
    const int32_t *off;
    const REAL *prev; /* NULL: zero */
    idx ldprev;
    REAL *out;
    idx ldout;
    const REAL *bias; /* NULL: zero */
    int relu;
} NAME(tile_args);

__attribute__((always_inline)) static inline void NAME(tile_body)(const int M, const int V,
                                                                  const NAME(tile_args) *restrict t)
{
    vec acc[MR][4 * NV];
    const REAL *a = t->a, *b = t->b;
    const int32_t *off = t->off;
    const idx lda = t->lda, count = t->k;

#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            acc[i][v] = (vec){0};

    for (idx k = 0; k < count; k++) {
        const REAL *row = b + off[k];
        vec bv[4 * NV];
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            bv[v] = NAME(load)(row + v * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] += a[i * lda + k] * bv[v];
    }

#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            vec y = acc[i][v];
            if (t->prev)
                y += NAME(load)(t->prev + i * t->ldprev + v * LANES);
            if (t->bias)
                y += t->bias[i];
            if (t->relu)
                y = NAME(relu)(y);
            NAME(store)(t->out + i * t->ldout + v * LANES, y);
        }
}
