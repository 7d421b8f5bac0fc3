/* tile -- the microkernel: every product of a convolution by GEMM, direct or outer products is done here.
 *
 *   out[i][j] = act(prev[i][j] + bias[i] + sum_k a[ai + ka] * b[kb + j])       i < M, j < V * LANES
 *
 * The sum is cut into blocks of kblock terms, each summed from zero and added to those before (decisions/0004).
 *
 * Where the terms of a are:
 *   ROWS_A:    ai = i * lda, ka = k
 *   TILED_A:   ai = i, ka = k * M: packed tile by tile, one stream
 *   LISTED_A:  ai = row[i], ka = at[k]: the positions of a padded plane that have an output, at the shift row[i] of each
 *              tap (bwd_weights, channels)
 *   COLUMNS_A: ai = i, ka = k * lda: a transposed matrix in place
 * Where the rows of b are:
 *   PANEL_B:   kb = k * V * LANES: a dense panel
 *   TABLE_B:   kb = at[k]: source rows packed once, or where they lie, and read at the shift of each tap (direct); a
 *              matrix in place
 *   ROWS_B:    kb = k * ldb: rows in place at one distance, far from each other: those some terms later are called
 *   BESIDE_B:  as PANEL_B, and one column more, whose terms are alone[k]: its sums are the lanes of one vector (TILED_A)
 *   COPIES_B:  as PANEL_B, while columns that come next are copied to panels of their own, a row of MATMUL_TOGETHER tiles with as many
 *              terms as that is vectors: they come from far, and the sums do not wait for them
 *
 * b's rows may start anywhere; V * LANES elements of each are read.
 * Registers: M*V accumulators, V for b's row, one broadcast: 14*2 + 2 + 1 of 32 (AVX-512), 6*2 + 2 + 1 of 16. Where multiplications can
 * spread a term themselves, those of every second row do: that is an instruction and a renamed register less, which count where another
 * thread has half of the core (120 GF/s instead of 109, of 139); those of every row would be as many loads as multiplications. Rows of
 * a at one distance need a pointer for every five of them (p, +l, +2l, +3l, +4l are addressing modes or nearly); a
 * pointer each, as the compiler would have it, spills half of them and costs 18 % of the peak.
 */
enum { NAME(ROWS_A), NAME(TILED_A), NAME(LISTED_A), NAME(COLUMNS_A) };
enum { NAME(PANEL_B), NAME(TABLE_B), NAME(ROWS_B), NAME(BESIDE_B), NAME(COPIES_B) };

#define ROWS_PER_POINTER 5
/* Terms of a turn of the loop. With few products to a term, a core that another thread has half of cannot also decode the loop's own
 * instructions at the pace of the multiplications: 66 of 95 GF/s with one term, 79 with four. With many it can, but where each row has a pointer. */
#define TERMS (MR >= 14 ? 1 : 4)
#define TERMS_LISTED (MR >= 14 ? 2 : 4)
#define TERMS_COPIED (MATMUL_TOGETHER * NV)
#define COPIES_AHEAD 8 /* rows that are called: an addressing mode has no more */
#define ROWS_CALLED 8  /* terms later than these; 6 to 12 are alike */

typedef struct {
    idx k, kblock;
    const REAL *a;
    idx lda;        /* ROWS_A, COLUMNS_A */
    idx ahead;      /* TILED_A: bytes from a term to the line that is called beside it */
    const idx *row; /* LISTED_A */
    const REAL *b;
    idx ldb;        /* ROWS_B, narrow_tpl.h: from one term to the next */
    const int32_t *at; /* LISTED_A, TABLE_B */
    const REAL *alone; /* BESIDE_B */
    const REAL *from;  /* COPIES_B: a row of the columns that come next, */
    idx from_row;      /* from it to the next, */
    REAL *to;          /* and where it goes */
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
    const REAL *b, *alone;
    const int32_t *at;
    idx lda, lda3, ldb, ahead, from_row;
    const char *from;
    REAL *to;
    vec beside; /* BESIDE_B: the sums of the column alone */
} NAME(tile_at);

/* Up to four multiples of a distance, where the third is at hand. */
__attribute__((always_inline)) static inline idx NAME(times)(const int n, idx distance, idx three)
{
    return n == 3 ? three : n * distance;
}

/* The next `terms` terms of all sums. */
__attribute__((always_inline)) static inline void NAME(tile_terms)(const int M, const int V, const int from_a, const int from_b,
                                                                   const int terms, vec acc[MR][4 * NV], NAME(tile_at) *t)
{
    const int rows = from_a == NAME(ROWS_A), listed = from_a == NAME(LISTED_A), columns = from_a == NAME(COLUMNS_A);
    const int spreads = V > 1 && !listed && !(rows && from_b == NAME(TABLE_B)); /* two kinds of addresses leave no registers for it */
    const int copies = from_b == NAME(COPIES_B) && terms == TERMS_COPIED;
    const int pointers = listed ? M : rows ? (M + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER : 1;
#pragma GCC unroll 4
    for (int u = 0; u < terms; u++) {
        /* Addresses are made anew for each term: as a pointer or an index for each row, and for each term, they spill. */
        if (rows || columns)
            __asm__ volatile("" : "+r"(t->lda), "+r"(t->lda3) : : "memory");
        else
            __asm__ volatile("" : : : "memory");
        if (!listed)
#pragma GCC unroll 16
            for (int i = 0; i < pointers; i++)
                __asm__("" : "+r"(t->a[i]));
        const REAL *const row = t->b + (from_b == NAME(TABLE_B) ? t->at[u] : from_b == NAME(ROWS_B) ? u * t->ldb : u * V * LANES);
        if (from_b == NAME(ROWS_B))
#pragma GCC unroll 16
            for (int line = 0; line <= V * VECTOR_BYTES / ALIGNMENT; line++) /* it may start anywhere */
                __builtin_prefetch((const char *)(row + ROWS_CALLED * t->ldb) + line * ALIGNMENT);
        const idx ka = columns ? NAME(times)(u, t->lda, t->lda3) : (listed ? t->at[u] : rows ? u : u * M) * (idx)sizeof(REAL);
        if (from_b == NAME(BESIDE_B))
            t->beside += NAME(load)((const REAL *)(t->a[0] + ka)) * t->alone[u];
        if (copies) {
            NAME(store)(t->to + u / V * MATMUL_PANEL * V * LANES + u % V * LANES, NAME(load)((const REAL *)t->from + u * LANES));
            __builtin_prefetch(t->from + COPIES_AHEAD * t->from_row + u * VECTOR_BYTES);
        }
        const REAL *term[MR];
        REAL av[MR];
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            const char *const near = t->a[listed ? i : rows ? i / ROWS_PER_POINTER : 0] + ka;
            const idx far = rows ? NAME(times)(i % ROWS_PER_POINTER, t->lda, t->lda3) : listed ? 0 : i * (idx)sizeof(REAL);
            av[i] = *(const REAL *)(near + far);
            if (spreads)
                term[i] = (const REAL *)(near + far);
        }
        /* what there are fewer of waits in registers */
        vec bv[4 * NV], wide[MR];
#pragma GCC unroll 16
        for (int i = 0; M < V && i < M; i++) {
            wide[i] = av[i] - (vec){0}; /* the one way to say it that is an instruction */
            HOLD(wide[i]);
        }
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) {
            if (M < V)
                __asm__ volatile("" : : : "memory");
            bv[v] = NAME(load)(row + v * LANES);
            if (M > 1 && M < V)
                HOLD(bv[v]);
#pragma GCC unroll 16
            for (int i = 0; M < V && i < M; i++)
                acc[i][v] += wide[i] * bv[v];
        }
#pragma GCC unroll 16
        for (int i = 0; M >= V && i < M; i++)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                if (spreads && i % 2 == 1)
                    acc[i][v] = NAME(add_times)(acc[i][v], bv[v], term[i]);
                else
                    acc[i][v] += av[i] * bv[v];
    }
    if (from_a == NAME(TILED_A) && TERMS == 1) /* with shorter vectors it costs 3 to 7 % */
        __builtin_prefetch(t->a[0] + t->ahead);
    if (!listed)
#pragma GCC unroll 16
        for (int i = 0; i < pointers; i++)
            t->a[i] += terms * (columns ? t->lda : (rows ? 1 : M) * (idx)sizeof(REAL));
    if (listed || from_b == NAME(TABLE_B)) {
        t->at += terms;
        __asm__("" : "+r"(t->at)); /* a pointer, not an index to one that is spilled */
    }
    if (from_b != NAME(TABLE_B))
        t->b += terms * (from_b == NAME(ROWS_B) ? t->ldb : V * LANES);
    if (from_b == NAME(BESIDE_B))
        t->alone += terms;
    if (copies) {
        t->from += t->from_row;
        t->to += V * LANES;
    }
}

__attribute__((always_inline)) static inline void NAME(tile_zero)(const int M, const int V, vec acc[MR][4 * NV])
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            acc[i][v] = (vec){0};
}

/* The next `count` terms, `terms` at a time. */
__attribute__((always_inline)) static inline void NAME(tile_sum)(const int M, const int V, const int from_a, const int from_b,
                                                                 const int terms, vec acc[MR][4 * NV], NAME(tile_at) *at, idx count)
{
    for (idx turns = count / terms; turns > 0; turns--)
        NAME(tile_terms)(M, V, from_a, from_b, terms, acc, at);
    if (terms > 1)
#pragma GCC unroll 1
        for (idx rest = count % terms; rest > 0; rest--)
            NAME(tile_terms)(M, V, from_a, from_b, 1, acc, at);
}

__attribute__((always_inline)) static inline void NAME(tile_add)(const int M, const int V, vec acc[MR][4 * NV], const REAL *from, idx row)
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++, from += row) {
        __asm__("" : "+r"(from)); /* one pointer that goes from row to row; the compiler would keep one for each, in memory */
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            acc[i][v] += NAME(load)(from + v * LANES);
    }
}

/* One branch for the whole tile, not one for every register. */
__attribute__((always_inline)) static inline void NAME(tile_end)(const int M, const int V, vec acc[MR][4 * NV], const REAL *bias, int relu)
{
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
}

__attribute__((always_inline)) static inline void NAME(tile_store)(const int M, const int V, vec acc[MR][4 * NV], REAL *to, idx row)
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++, to += row) {
        __asm__("" : "+r"(to));
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            NAME(store)(to + v * LANES, acc[i][v]);
    }
}

__attribute__((always_inline)) static inline void NAME(tile_body)(const int M, const int V, const int from_a, const int from_b,
                                                                  const NAME(tile_args) *restrict t)
{
    const int beside = from_b == NAME(BESIDE_B);
    vec acc[MR][4 * NV];
    REAL sum[MR * NV * LANES] __attribute__((aligned(VECTOR_BYTES))); /* of the blocks that are done */
    REAL column[LANES];                                               /* likewise */
    const idx count = t->k, lda = t->lda * (idx)sizeof(REAL);
    NAME(tile_at) at = {.b = t->b, .alone = t->alone, .at = t->at, .lda = lda, .lda3 = 3 * lda, .ldb = t->ldb, .ahead = t->ahead,
                        .from = (const char *)t->from, .from_row = t->from_row * (idx)sizeof(REAL), .to = t->to};

#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
        at.a[i] = (const char *)(t->a + (from_a == NAME(LISTED_A) ? t->row[i] : ROWS_PER_POINTER * i * t->lda)); /* if it is used */

    const REAL *prev = t->prev;
    idx ldprev = t->ldprev;
    for (int i = 0; i < M && beside && prev; i++)
        column[i] = prev[i * ldprev + V * LANES];
    for (idx k = 0;;) {
        const idx end = k + t->kblock < count ? k + t->kblock : count;
        NAME(tile_zero)(M, V, acc);
        if (from_a == NAME(LISTED_A))
            NAME(tile_sum)(M, V, from_a, from_b, TERMS_LISTED, acc, &at, end - k);
        else if (from_b == NAME(COPIES_B))
            NAME(tile_sum)(M, V, from_a, from_b, TERMS_COPIED, acc, &at, end - k);
        else
            NAME(tile_sum)(M, V, from_a, from_b, TERMS, acc, &at, end - k);
        k = end;
        if (prev)
            NAME(tile_add)(M, V, acc, prev, ldprev);
        if (beside) {
            NAME(store)(column, prev ? at.beside + NAME(load)(column) : at.beside);
            at.beside = (vec){0};
        }
        if (end == count)
            break;
        NAME(tile_store)(M, V, acc, sum, V * LANES);
        prev = sum;
        ldprev = V * LANES;
    }
    NAME(tile_end)(M, V, acc, t->bias, t->relu);
    NAME(tile_store)(M, V, acc, t->out, t->ldout);
    for (int i = 0; i < M && beside; i++) {
        const REAL last = t->bias ? column[i] + t->bias[i] : column[i];
        t->out[i * t->ldout + V * LANES] = t->relu && last < 0 ? 0 : last;
    }
}
