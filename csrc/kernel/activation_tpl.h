/* activation -- leaky ReLU and GELU, and their gradients; a sum and its ReLU. */

static void NAME(leaky_relu_run)(const void *call, idx begin, idx end, char *scratch)
{
    const activation *a = call;
    const REAL *x = a->x, *dy = a->dy, slope = (REAL)a->slope;
    REAL *y = a->y;
    (void)scratch;
    end = min_idx(a->count, end * ACTIVATION_UNIT);
    if (dy)
        for (idx i = begin * ACTIVATION_UNIT; i < end; i++)
            y[i] = x[i] > 0 ? dy[i] : dy[i] * slope;
    else
        for (idx i = begin * ACTIVATION_UNIT; i < end; i++)
            y[i] = x[i] > 0 ? x[i] : x[i] * slope;
}

/* x * Phi(x) with Phi(x) = (1 + erf(x / sqrt(2))) / 2, or its approximation (1 + tanh(u)) / 2,
 * u = sqrt(2 / pi) (x + 0.044715 x^3); the gradient is dy * (Phi(x) + x * Phi'(x)). */
static void NAME(gelu_run)(const void *call, idx begin, idx end, char *scratch)
{
    const activation *a = call;
    const REAL *x = a->x, *dy = a->dy, half = (REAL)0.5, root = (REAL)0.79788456080286535588, cube = (REAL)0.044715;
    REAL *y = a->y;
    (void)scratch;
    for (idx i = begin * ACTIVATION_UNIT; i < min_idx(a->count, end * ACTIVATION_UNIT); i++) {
        const REAL t = a->approximate ? TANH(root * (x[i] + cube * x[i] * x[i] * x[i])) : ERF(x[i] * (REAL)0.70710678118654752440);
        const REAL phi = half * (1 + t);
        if (!dy)
            y[i] = x[i] * phi;
        else {
            const REAL density = a->approximate ? half * (1 - t * t) * root * (1 + 3 * cube * x[i] * x[i])
                                                : half * root * EXP(-half * x[i] * x[i]); /* 1 / sqrt(2 pi) = root / 2 */
            y[i] = dy[i] * (phi + x[i] * density);
        }
    }
}

static void NAME(add_run)(const void *call, idx begin, idx end, char *scratch)
{
    const addition *s = call;
    const REAL *a = s->a, *b = s->b;
    REAL *y = s->y;
    (void)scratch;
    end = min_idx(s->count, end * ACTIVATION_UNIT);
    if (!s->relu)
        for (idx i = begin * ACTIVATION_UNIT; i < end; i++)
            y[i] = a[i] + b[i];
    else
        for (idx i = begin * ACTIVATION_UNIT; i < end; i++) {
            const REAL sum = a[i] + b[i];
            y[i] = sum < 0 ? 0 : sum; /* keeps a NaN */
        }
}
