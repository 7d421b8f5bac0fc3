/* col2im -- bwd_data by products of all positions: a band of dy times the weights of each tap and channel, added to dx where it belongs.
 *
 * Nothing of it is padding, and a term is loaded for all taps of all channels: for a gradient of few channels that is most of the time.
 * A task has some channels of an image, so that no other adds to them; bands, taps and positions come in one order.
 */

/* to[j * step] += from[j] for first <= j < last. What follows before `end` may be stored as it is, to the last bit, and behind the last of
 * from there is room for a vector. */
__attribute__((always_inline)) static inline void NAME(col2im_add)(REAL *to, idx step, const REAL *from, idx first, idx last, const REAL *end)
{
    idx j = first;
    for (; step == 1 && j < last && to + j + LANES <= end; j += LANES) {
        const vec sum = NAME(load)(to + j), added = sum + NAME(load)(from + j);
        NAME(store)(to + j, j + LANES <= last ? added : NAME(where)(NAME(iota)() + (WORD)j < (mask){0} + (WORD)last, added, sum));
    }
    for (; j < last; j++)
        to[j * step] += from[j];
}

/* The same with a step of two: to[first + 2 * j] += even[j], and to[first + 2 * j + 1] += odd[j] if there is an odd. */
static inline void NAME(col2im_add_turns)(REAL *to, idx width, idx first, const REAL *even, const REAL *odd, idx count, const REAL *end)
{
    const NAME(inside) in = NAME(run_inside)(first, 2, width, count), in_odd = NAME(run_inside)(first + 1, 2, width, odd ? count : 0);
    const mask low = NAME(iota)() + FIRST_OF_PIECE, high = low + (WORD)PIECE; /* where elements of two vectors go */
    if (in_odd.lo < in.lo) /* of the first pair it may be the odd one alone that lies in the row */
        NAME(col2im_add)(to + first + 1, 2, odd, in_odd.lo, min_idx(in.lo, in_odd.hi), end);
    to += first;
    idx j = in.lo;
    for (; j < in.hi && to + 2 * j + 2 * LANES <= end; j += LANES) {
        REAL *const at = to + 2 * j;
        const vec a = NAME(load)(even + j), b = odd ? NAME(load)(odd + j) : -(vec){0}; /* which changes nothing, not even a zero */
        const vec x = NAME(load_pieces)(at, 2 * PIECE), y = NAME(load_pieces)(at + PIECE, 2 * PIECE);
        const vec sum_x = x + NAME(turns_low)(a, b), sum_y = y + NAME(turns_high)(a, b);
        const idx inside = min_idx(2 * (count - j), width - first - 2 * j); /* that lie in the row; the others are stored as they are */
        const int whole = inside >= 2 * LANES;
        const mask most = (mask){0} + (WORD)min_idx(inside, 2 * LANES);
        NAME(store_pieces)(at, 2 * PIECE, whole ? sum_x : NAME(where)(low < most, sum_x, x));
        NAME(store_pieces)(at + PIECE, 2 * PIECE, whole ? sum_y : NAME(where)(high < most, sum_y, y));
    }
    NAME(col2im_add)(to, 2, even, j, in.hi, end);
    NAME(col2im_add)(to + 1, 2, odd, max_idx(j, in_odd.lo), in_odd.hi, end);
}

/* Planes of channels [c0, c1) of a group as no product has met them. */
static void NAME(col2im_blank)(const conv_call *call, REAL *dx, idx group, idx c0, idx c1)
{
    const conv_problem *p = &call->plan->p;
    for (idx c = c0; c < c1; c++)
        for (idx i = 0; i < p->ih * p->iw; i++)
            *dx++ = call->bias ? ((const REAL *)call->bias)[group * p->ic + c] : 0;
}

/* Rows [y0, y1) and columns [x0, x1) of dy. */
typedef struct {
    idx y0, y1, x0, x1;
} NAME(col2im_band);

/* Adds their products with tap (th, tw), and those with the next one if they are `beside`. */
static void NAME(col2im_tap)(const conv_problem *p, const NAME(col2im_band) *band, const REAL *products, const REAL *beside, idx th,
                             idx tw, REAL *plane, const REAL *end)
{
    const idx columns = band->x1 - band->x0, first = band->x0 * p->stride_w + tw * p->dil_w - p->pad_left;
    const NAME(inside) in = NAME(run_inside)(first, p->stride_w, p->iw, columns);
    for (idx y = band->y0, done = 0; y < band->y1; y++, done += columns) {
        const idx row = y * p->stride_h + th * p->dil_h - p->pad_top;
        REAL *const to = plane + row * p->iw;
        if (row < 0 || row >= p->ih)
            continue;
        if (p->stride_w == 2)
            NAME(col2im_add_turns)(to, p->iw, first, products + done, beside ? beside + done : NULL, columns, end);
        else if (p->stride_w == 1)
            NAME(col2im_add)(to + first, 1, products + done, in.lo, in.hi, end);
        else
            NAME(col2im_add)(to + first, p->stride_w, products + done, in.lo, in.hi, end);
    }
}

static void NAME(col2im_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx parts = ceil_div(p->ic, plan->channels), c0 = index % parts * plan->channels, c1 = min_idx(c0 + plan->channels, p->ic);
    const idx image = index / parts, group = image % p->groups, taps = p->kh * p->kw, plane = p->ih * p->iw, positions = p->oh * p->ow;
    const matrix_product largest = col2im_product(plan, plan->channels, plan->chunk_h * plan->chunk_w);
    REAL *const products = (REAL *)(call->scratch + worker * plan->task_bytes + matmul_task_bytes(&largest, NV * LANES, sizeof(REAL)));
    REAL *const dx = (REAL *)call->dst + (image * p->ic + c0) * plane, *const end = dx + (c1 - c0) * plane;
    const REAL *const dy = (const REAL *)call->src + image * p->oc * positions;
    NAME(col2im_blank)(call, dx, group, c0, c1);
    NAME(col2im_band) band = {0};
    for (; band.y0 < p->oh; band.y0 = band.y1)
        for (band.x0 = 0; band.x0 < p->ow; band.x0 = band.x1) {
            band.y1 = min_idx(band.y0 + plan->chunk_h, p->oh);
            band.x1 = min_idx(band.x0 + plan->chunk_w, p->ow);
            matrix_product product = col2im_product(plan, c1 - c0, (band.y1 - band.y0) * (band.x1 - band.x0));
            product.a = (const REAL *)call->weights + (group * p->oc * p->ic + c0) * taps;
            product.b = dy + band.y0 * p->ow + band.x0;
            product.b_row = positions;
            product.b_col = 1;
            product.c = products;
            product.c_row = product.n;
            product.scratch = call->scratch + worker * plan->task_bytes;
            NAME(matmul_task)(&product, 0, 0);
            for (idx m = 0, next; m < product.m; m = next) {
                const REAL *const first = products + m * product.n;
                next = m + min_idx(col2im_together(p), p->kw - m % p->kw);
                NAME(col2im_tap)(p, &band, first, next > m + 1 ? first + product.n : NULL, m % taps / p->kw, m % p->kw, dx + m / taps * plane, end);
            }
        }
}
