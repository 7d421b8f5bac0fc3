/* tile -- the microkernel: every product of a convolution by GEMM, direct or outer products is done here.
 *
 *   out[i][j] = act(prev[i][j] + bias[i] + sum_k a[ai + ka] * b[kb + j])       i < M, j < V * LANES
 *
 * The sum is cut into blocks of kblock terms, each summed from zero and added to those before (decisions/0004).
 *
 *   PANEL_B:  ai = i * lda, ka = k, kb = k * V * LANES. b is a dense panel.
 *   GATHER_B: ai = i * lda, ka = k, kb = at[k]. Rows of b are found through `at`: source rows packed once, or where they
 *             lie, and read at the shift of each tap (direct), or a matrix in place.
 *   GATHER_A: ai = row[i], ka = at[k], kb = k * V * LANES. a is read at listed positions (bwd_weights: the positions of a
 *             padded plane that have an output, at the shift row[i] of each tap).
 *   COLUMN_A: ai = i, ka = k * lda, kb = at[k]. a lies column by column: a transposed matrix in place.
 *
 * b's rows may start anywhere; V * LANES elements of each are read.
 * Registers: M*V accumulators, V for b's row, one broadcast: 14*2 + 2 + 1 of 32 (AVX-512), 6*2 + 2 + 1 of 16. Rows of
 * a at one distance need a pointer for every five of them (p, +l, +2l, +3l, +4l are addressing modes or nearly); a
 * pointer each, as the compiler would have it, spills half of them and costs 18 % of the peak.
 */
enum { NAME(PANEL_B), NAME(GATHER_B), NAME(GATHER_A), NAME(COLUMN_A) };

#define ROWS_PER_POINTER 5
/* Terms of a turn of the loop. With few products to a term, a core that another thread has half of cannot also decode the loop's own
 * instructions at the pace of the multiplications: 66 of 95 GF/s with one term, 79 with four. */
#define TERMS (MR >= 14 ? 1 : 4)

typedef struct {
    idx k, kblock;
    const REAL *a;
    idx lda;        /* but GATHER_A */
    const idx *row; /* GATHER_A */
    const REAL *b;
    const int32_t *at; /* but PANEL_B */
    const REAL *prev; /* NULL: zero */
    idx ldprev;
    REAL *out;
    idx ldout;
    const REAL *bias; /* NULL: zero */
    int relu;
} NAME(tile_args);

/* Where the loop over terms stands. Rows of a: in bytes, as addressing modes have them. */
typedef struct {
    const char *a[MR];
    const REAL *b;
    const int32_t *at;
    idx lda, lda3;
} NAME(tile_at);

/* Up to four multiples of a distance, where the third is at hand. */
__attribute__((always_inline)) static inline idx NAME(times)(const int n, idx distance, idx three)
{
    return n == 3 ? three : n * distance;
}

/* The next `terms` terms of all sums. */
__attribute__((always_inline)) static inline void NAME(tile_terms)(const int M, const int V, const int mode, const int terms,
                                                                   vec acc[MR][4 * NV], NAME(tile_at) *t)
{
    const int listed = mode == NAME(GATHER_A), column = mode == NAME(COLUMN_A), dense = listed || mode == NAME(PANEL_B);
    const int pointers = listed ? M : column ? 1 : (M + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER;
#pragma GCC unroll 4
    for (int u = 0; u < terms; u++) {
        /* Addresses are made anew for each term: as a pointer or an index for each row, and for each term, they spill. */
        if (listed)
            __asm__ volatile("" : : : "memory");
        else
            __asm__ volatile("" : "+r"(t->lda), "+r"(t->lda3) : : "memory");
        if (!listed)
#pragma GCC unroll 16
            for (int i = 0; i < pointers; i++)
                __asm__("" : "+r"(t->a[i]));
        const REAL *const row = t->b + (dense ? u * V * LANES : t->at[u]);
        const idx ka = (listed ? t->at[u] : column ? 0 : u) * (idx)sizeof(REAL) + (column ? NAME(times)(u, t->lda, t->lda3) : 0);
        REAL av[MR];
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            const char *const near = t->a[listed ? i : column ? 0 : i / ROWS_PER_POINTER] + ka;
            const idx far = listed ? 0 : column ? i * (idx)sizeof(REAL) : NAME(times)(i % ROWS_PER_POINTER, t->lda, t->lda3);
            av[i] = *(const REAL *)(near + far);
        }
        /* what there are fewer of waits in registers */
        vec bv[4 * NV];
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            if (M < V)
                __asm__ volatile("" : : : "memory");
            bv[v] = NAME(load)(row + v * LANES);
#pragma GCC unroll 16
            for (int i = 0; M < V && i < M; i++)
                acc[i][v] += av[i] * bv[v];
        }
#pragma GCC unroll 16
        for (int i = 0; M >= V && i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] += av[i] * bv[v];
    }
    if (!listed)
#pragma GCC unroll 16
        for (int i = 0; i < pointers; i++)
            t->a[i] += terms * (column ? t->lda : (idx)sizeof(REAL));
    if (mode != NAME(PANEL_B))
        t->at += terms;
    if (dense)
        t->b += terms * V * LANES;
}

__attribute__((always_inline)) static inline void NAME(tile_body)(const int M, const int V, const int mode,
                                                                  const NAME(tile_args) *restrict t)
{
    vec acc[MR][4 * NV];
    REAL sum[MR * NV * LANES] __attribute__((aligned(VECTOR_BYTES))); /* of the blocks that are done */
    const idx count = t->k, lda = t->lda * (idx)sizeof(REAL);
    NAME(tile_at) at = {.b = t->b, .at = t->at, .lda = lda, .lda3 = 3 * lda};

#pragma GCC unroll 16
    for (int i = 0; i < M; i++) /* those that there are */
        if (mode == NAME(GATHER_A) || i * ROWS_PER_POINTER < M)
            at.a[i] = (const char *)(t->a + (mode == NAME(GATHER_A) ? t->row[i] : ROWS_PER_POINTER * i * t->lda));

    const REAL *prev = t->prev;
    idx ldprev = t->ldprev;
    for (idx k = 0;;) {
        const idx end = k + t->kblock < count ? k + t->kblock : count;
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                acc[i][v] = (vec){0};
        for (idx turns = (end - k) / TERMS; turns > 0; turns--)
            NAME(tile_terms)(M, V, mode, TERMS, acc, &at);
        if (TERMS > 1)
#pragma GCC unroll 1
            for (idx rest = (end - k) % TERMS; rest > 0; rest--)
                NAME(tile_terms)(M, V, mode, 1, acc, &at);
        k = end;
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
