/* scale -- one tap on one channel: planes times a number. The order is that of every sum: a product is added to zero, then comes the bias.
 */
__attribute__((always_inline)) static inline vec NAME(scaled)(vec x, REAL weight, REAL bias, int relu)
{
    vec y = {0};
    y += weight * x;
    y += bias;
    return relu ? NAME(relu)(y) : y;
}

/* y = act(weight * x + bias). */
__attribute__((always_inline)) static inline void NAME(scale_run)(REAL *y, const REAL *x, idx count, REAL weight, REAL bias, const int relu)
{
    idx i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            NAME(store)(y + i + v * LANES, NAME(scaled)(NAME(load)(x + i + v * LANES), weight, bias, relu));
    for (; i < count; i += LANES) {
        REAL left[LANES];
        NAME(store)(left, NAME(scaled)(NAME(load_some)(x + i, count - i, x + count), weight, bias, relu));
        NAME(copy)(y + i, left, min_idx(LANES, count - i));
    }
}

static void NAME(scale_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx points = p->ih * p->iw, parts = ceil_div(points, plan->chunk_w), results = plan->largest.result_channels;
    const idx first = index / parts * plan->chunk_n, end = min_idx(first + plan->chunk_n, p->n * p->groups);
    const idx begin = index % parts * plan->chunk_w, count = min_idx(plan->chunk_w, points - begin);
    (void)worker;
    for (idx plane = first; plane < end; plane++)
        for (idx m = 0; m < results; m++) {
            const idx result = plane % p->groups * results + m;
            const REAL *x = (const REAL *)call->src + plane * points + begin, weight = ((const REAL *)call->weights)[result];
            const REAL bias = call->bias ? ((const REAL *)call->bias)[result] : 0;
            REAL *y = (REAL *)call->dst + (plane * results + m) * points + begin;
            if (p->pass == CONV_FWD && p->activation == CONV_RELU)
                NAME(scale_run)(y, x, count, weight, bias, 1);
            else
                NAME(scale_run)(y, x, count, weight, bias, 0);
        }
}
