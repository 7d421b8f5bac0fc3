/* elementwise -- what surrounds the products: ReLU and its gradient, the gradient of a bias. */
static void NAME(relu_run)(idx n, const void *x_, void *y_)
{
    const REAL *x = x_;
    REAL *y = y_;
    for (idx i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* keeps a NaN */
}

static void NAME(relu_grad_run)(idx n, const void *dy_, const void *y_, void *dx_)
{
    const REAL *dy = dy_, *y = y_;
    REAL *dx = dx_;
    for (idx i = 0; i < n; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

/* sum of p[0..count), in blocks: each lane sums at most 128 terms before its sum is added to the others'. */
static REAL NAME(sum_run)(const REAL *p, idx count)
{
    vec total = {0};
    REAL sum = 0;
    idx i = 0;
    while (i + LANES <= count) {
        vec block = {0};
        for (idx end = min_idx(count, i + 128 * LANES); i + LANES <= end; i += LANES)
            block += NAME(load)(p + i);
        total += block;
    }
    for (int lane = 0; lane < LANES; lane++)
        sum += total[lane];
    REAL tail = 0;
    for (; i < count; i++)
        tail += p[i];
    return sum + tail;
}

/* db[c] = sum of dy over images and positions, in blocks of images. */
static void NAME(bias_grad_run)(const conv_problem *p, const void *dy_, void *db_)
{
    const REAL *dy = dy_;
    REAL *db = db_;
    const idx channels = p->groups * p->oc, points = p->oh * p->ow;
    for (idx c = 0; c < channels; c++) {
        REAL sum = 0;
        for (idx n0 = 0; n0 < p->n; n0 += 64) {
            REAL block = 0;
            for (idx n = n0; n < min_idx(n0 + 64, p->n); n++)
                block += NAME(sum_run)(dy + (n * channels + c) * points, points);
            sum += block;
        }
        db[c] = sum;
    }
}
